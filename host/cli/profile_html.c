// A profile as one page that loads nothing: tables, bars per step and a log-log roofline as inline SVG.
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "host/cli/profile.h"

static const double FS_PI = 3.14159265358979323846;
enum { WIDTH = 1060, LEFT = 190, RIGHT = 150, ROW = 22, COLORS = 8 };

// One colour a module, told apart by people who see few colours too.
static const char *const colors[COLORS] = {"#0072b2", "#e69f00", "#009e73", "#cc79a7",
                                           "#56b4e9", "#d55e00", "#7a5195", "#8c8c00"};

static const char *color_of(const fs_profile *p, const char *module) {
    for (int i = 0; i < p->modules; i++)
        if (strcmp(p->module[i].name, module) == 0) return colors[i % COLORS];
    return colors[0];
}

static void escaped(fs_text *html, const char *text) {
    for (; *text != '\0'; text++) {
        if (*text == '&')
            fs_text_add(html, "&amp;");
        else if (*text == '<')
            fs_text_add(html, "&lt;");
        else if (*text == '>')
            fs_text_add(html, "&gt;");
        else if (*text == '"')
            fs_text_add(html, "&quot;");
        else if ((unsigned char)*text >= 0x20)
            fs_text_add(html, "%c", *text);
    }
}

static double rate(double amount, double us) { // per second, in units of 1e9
    return us > 0 ? amount / us * 1e-3 : 0;
}

static void title_of(fs_text *html, const fs_profile_step *s) {
    fs_text_add(html, "<title>");
    escaped(html, s->info.name);
    fs_text_add(html, " (");
    escaped(html, s->info.kind);
    fs_text_add(html, "): %.1f us, %.1f GFLOP/s, %.1f GB/s, roofline %.1f us, %s; ", s->median_us,
                rate((double)s->info.flops, s->median_us), rate(fs_step_bytes(&s->info), s->median_us),
                s->info.roofline_us, s->info.bound);
    escaped(html, s->info.tactic);
    fs_text_add(html, "</title>");
}

// ---- Bars -----------------------------------------------------------------------------------------------------------

static void bars(const fs_profile *p, fs_text *html) {
    const int height = ROW * p->session.steps + 40, span = WIDTH - LEFT - RIGHT;
    double most = 0;
    for (int i = 0; i < p->session.steps; i++) {
        if (p->step[i].median_us > most) most = p->step[i].median_us;
        if (p->step[i].info.roofline_us > most) most = p->step[i].info.roofline_us;
    }
    if (most <= 0) most = 1;
    fs_text_add(html,
                "<svg viewBox=\"0 0 %d %d\" width=\"%d\" height=\"%d\" font-family=\"sans-serif\" "
                "font-size=\"12\" fill=\"#333\">\n",
                WIDTH, height, WIDTH, height);
    fs_text_add(html, "<rect width=\"%d\" height=\"%d\" fill=\"#fff\"/>\n", WIDTH, height);
    for (int i = 0; i < p->session.steps; i++) {
        const fs_profile_step *s = &p->step[i];
        const int y = 10 + ROW * i;
        const double bar = s->median_us / most * span, allowed = s->info.roofline_us / most * span;
        fs_text_add(html, "<g>");
        title_of(html, s);
        fs_text_add(html, "<text x=\"%d\" y=\"%d\" text-anchor=\"end\">", LEFT - 8, y + 14);
        escaped(html, s->info.name);
        fs_text_add(html, "</text><rect x=\"%d\" y=\"%d\" width=\"%.1f\" height=\"%d\" fill=\"%s\"/>", LEFT, y + 2, bar,
                    ROW - 6, color_of(p, s->module));
        fs_text_add(html, "<line x1=\"%.1f\" y1=\"%d\" x2=\"%.1f\" y2=\"%d\" stroke=\"#000\" stroke-width=\"2\"/>",
                    LEFT + allowed, y, LEFT + allowed, y + ROW - 2);
        const double end = bar > allowed ? bar : allowed;
        fs_text_add(html, "<text x=\"%.1f\" y=\"%d\">%.1f us, %.1f%%</text></g>\n", LEFT + end + 7, y + 14,
                    s->median_us, p->steps_us > 0 ? 100 * s->median_us / p->steps_us : 0);
    }
    fs_text_add(html, "<text x=\"%d\" y=\"%d\">bar: median time; black mark: what the roofline allows</text>\n</svg>\n",
                LEFT, height - 8);
}

// ---- Roofline -------------------------------------------------------------------------------------------------------

enum { PLOT_HEIGHT = 520, PLOT_LEFT = 80, PLOT_RIGHT = 30, PLOT_TOP = 20, PLOT_BOTTOM = 60 };
// Pixels; a name that is further away than NEAR gives way to a number. Two rectangles a step, and the roof's own.
enum { LABEL_HEIGHT = 12, NEAR = 110, DIRECTIONS = 24, LABELS_MAX = 512 };

// A logarithmic axis from a round number (1, 2 or 5 times a power of ten) to another.
typedef struct log_axis {
    double low, high;
} log_axis;

static double x_at(log_axis a, double value) {
    return PLOT_LEFT + log(value / a.low) / log(a.high / a.low) * (WIDTH - PLOT_LEFT - PLOT_RIGHT);
}
static double y_at(log_axis a, double value) {
    return PLOT_HEIGHT - PLOT_BOTTOM -
           log(value / a.low) / log(a.high / a.low) * (PLOT_HEIGHT - PLOT_TOP - PLOT_BOTTOM);
}

// The round number after `value`.
static double round_up(double value) {
    const double power = pow(10, floor(log10(value * 1.001)));
    return value < 1.999 * power ? 2 * power : value < 4.999 * power ? 5 * power : 10 * power;
}

static log_axis around(double low, double high) {
    log_axis a = {pow(10, floor(log10(low))), 0};
    while (round_up(a.low) <= low) a.low = round_up(a.low);
    for (a.high = round_up(a.low); a.high < high;) a.high = round_up(a.high);
    return a;
}

// What stands in the plot already: no label covers it.
typedef struct labels {
    double left[LABELS_MAX], top[LABELS_MAX], right[LABELS_MAX], bottom[LABELS_MAX];
    int count;
    int numbers; // of steps that found no room for their names
} labels;

static bool is_free(const labels *all, double left, double top, double right, double bottom) {
    if (left < PLOT_LEFT || right > WIDTH - PLOT_RIGHT || top < PLOT_TOP || bottom > PLOT_HEIGHT - PLOT_BOTTOM)
        return false;
    for (int i = 0; i < all->count; i++)
        if (left < all->right[i] && right > all->left[i] && top < all->bottom[i] && bottom > all->top[i]) return false;
    return true;
}

static void take(labels *all, double left, double top, double right, double bottom) {
    if (all->count == LABELS_MAX) return;
    all->left[all->count] = left, all->top[all->count] = top;
    all->right[all->count] = right, all->bottom[all->count++] = bottom;
}

static double width_of(const char *text) {
    return 6.2 * (double)strlen(text);
}

static void write_label(labels *all, const char *text, double left, double top, fs_text *html) {
    take(all, left, top, left + width_of(text), top + LABEL_HEIGHT);
    fs_text_add(html, "<text x=\"%.1f\" y=\"%.1f\" font-size=\"11\">", left, top + 10);
    escaped(html, text);
    fs_text_add(html, "</text>\n");
}

// Beside the disc.
static bool label_beside(labels *all, const char *text, double x, double y, double radius, fs_text *html) {
    const double wide = width_of(text), half = wide / 2, gap = radius + 3;
    const double lefts[] = {x + gap, x - gap - wide, x - half, x - half},
                 tops[] = {y - 6, y - 6, y - gap - LABEL_HEIGHT, y + gap};
    for (int i = 0; i < 4; i++) {
        if (!is_free(all, lefts[i], tops[i], lefts[i] + wide, tops[i] + LABEL_HEIGHT)) continue;
        write_label(all, text, lefts[i], tops[i], html);
        return true;
    }
    return false;
}

// In the nearest free place up to `far` away, with a line from it to the disc's centre.
static bool label_away(labels *all, const char *text, double x, double y, double far, fs_text *html) {
    const double wide = width_of(text);
    for (double distance = 16; distance <= far; distance += 6)
        for (int i = 0; i < DIRECTIONS; i++) {
            const double angle = 2 * FS_PI * i / DIRECTIONS, at_x = x + distance * cos(angle),
                         at_y = y + distance * sin(angle);
            const double left = cos(angle) >= 0 ? at_x : at_x - wide, top = at_y - LABEL_HEIGHT / 2.0;
            if (!is_free(all, left - 2, top - 1, left + wide + 2, top + LABEL_HEIGHT + 1)) continue;
            fs_text_add(html,
                        "<line x1=\"%.1f\" y1=\"%.1f\" x2=\"%.1f\" y2=\"%.1f\" stroke=\"#333\" "
                        "stroke-width=\"0.7\"/>",
                        x, y, at_x, at_y);
            write_label(all, text, left, top, html);
            return true;
        }
    return false;
}

// A step's name, or where that finds no room its number in the table of steps.
static void label(labels *all, const char *name, int step, double x, double y, double radius, fs_text *html) {
    char number[16];
    snprintf(number, sizeof number, "%d", step);
    if (label_beside(all, name, x, y, radius, html) || label_away(all, name, x, y, NEAR, html)) return;
    if (label_away(all, number, x, y, WIDTH, html)) all->numbers++;
}

static void grid(log_axis x, log_axis y, fs_text *html) {
    const double left = PLOT_LEFT, right = WIDTH - PLOT_RIGHT, top = PLOT_TOP, bottom = PLOT_HEIGHT - PLOT_BOTTOM;
    for (double tick = x.low; tick <= x.high * 1.001; tick = round_up(tick)) {
        const double at = x_at(x, tick);
        fs_text_add(html, "<line x1=\"%.1f\" y1=\"%.1f\" x2=\"%.1f\" y2=\"%.1f\" stroke=\"#ddd\"/>", at, top, at,
                    bottom);
        fs_text_add(html, "<text x=\"%.1f\" y=\"%.1f\" text-anchor=\"middle\">%g</text>\n", at, bottom + 18, tick);
    }
    for (double tick = y.low; tick <= y.high * 1.001; tick = round_up(tick)) {
        const double at = y_at(y, tick);
        fs_text_add(html, "<line x1=\"%.1f\" y1=\"%.1f\" x2=\"%.1f\" y2=\"%.1f\" stroke=\"#ddd\"/>", left, at, right,
                    at);
        fs_text_add(html, "<text x=\"%.1f\" y=\"%.1f\" text-anchor=\"end\">%g</text>\n", left - 8, at + 4, tick);
    }
    fs_text_add(html, "<text x=\"%.1f\" y=\"%.1f\" text-anchor=\"middle\">operations a byte (FLOP/B)</text>\n",
                (left + right) / 2, bottom + 42);
    fs_text_add(html,
                "<text x=\"20\" y=\"%.1f\" text-anchor=\"middle\" transform=\"rotate(-90 20 %.1f)\">GFLOP/s"
                "</text>\n",
                (top + bottom) / 2, (top + bottom) / 2);
}

static void roof(const fscnn_step_info *info, log_axis x, log_axis y, labels *names, fs_text *html) {
    const double peak = info->peak_flops * 1e-9, bandwidth = info->peak_bandwidth * 1e-9, ridge = peak / bandwidth;
    // The slope enters the plot from the left or from below.
    double from = x.low;
    if (from * bandwidth < y.low) from = y.low / bandwidth;
    fs_text_add(html, "<path d=\"M%.1f %.1fL%.1f %.1fL%.1f %.1f\" fill=\"none\" stroke=\"#333\" stroke-width=\"2\"/>\n",
                x_at(x, from), y_at(y, from * bandwidth), x_at(x, ridge), y_at(y, peak), x_at(x, x.high),
                y_at(y, peak));
    fs_text_add(html, "<text x=\"%d\" y=\"%.1f\" text-anchor=\"end\">%.0f GFLOP/s</text>\n", WIDTH - PLOT_RIGHT - 6,
                y_at(y, peak) - 7, peak);
    take(names, WIDTH - PLOT_RIGHT - 106, y_at(y, peak) - 19, WIDTH - PLOT_RIGHT, y_at(y, peak) - 3);
    // Under the slope, right of its lower end: there it crosses neither the slope nor the flat part.
    const double base = fmin(y_at(y, from * bandwidth) + 16, PLOT_HEIGHT - PLOT_BOTTOM - 6);
    fs_text_add(html, "<text x=\"%.1f\" y=\"%.1f\">%.0f GB/s</text>\n", x_at(x, from) + 10, base, bandwidth);
    take(names, x_at(x, from) + 8, base - 12, x_at(x, from) + 90, base + 4);
}

static bool has_point(const fs_profile_step *s) {
    return s->info.flops > 0 && s->median_us > 0 && fs_step_bytes(&s->info) > 0;
}

// Centre and radius of a step's disc: its area is the step's share of the time.
static double disc(const fs_profile *p, const fs_profile_step *s, log_axis x, log_axis y, double *at_x, double *at_y) {
    *at_x = x_at(x, (double)s->info.flops / fs_step_bytes(&s->info));
    *at_y = y_at(y, rate((double)s->info.flops, s->median_us));
    return 3 + 26 * sqrt(p->steps_us > 0 ? s->median_us / p->steps_us : 0);
}

static void draw_disc(const fs_profile *p, const fs_profile_step *s, log_axis x, log_axis y, labels *names,
                      fs_text *html) {
    if (!has_point(s)) return;
    double at_x, at_y;
    const double radius = disc(p, s, x, y, &at_x, &at_y);
    fs_text_add(html, "<g>");
    title_of(html, s);
    fs_text_add(html,
                "<circle cx=\"%.1f\" cy=\"%.1f\" r=\"%.1f\" fill=\"%s\" fill-opacity=\"0.75\" "
                "stroke=\"#fff\"/>",
                at_x, at_y, radius, color_of(p, s->module));
    fs_text_add(html, "</g>\n");
    take(names, at_x - radius, at_y - radius, at_x + radius, at_y + radius);
}

static void roofline(const fs_profile *p, fs_text *html) {
    const fscnn_step_info *info = &p->step[0].info;
    const double ridge = info->peak_flops / info->peak_bandwidth, peak = info->peak_flops * 1e-9;
    double low_x = ridge, high_x = ridge, low_y = peak, high_y = peak;
    int without = 0;
    labels names = {.count = 0};
    for (int i = 0; i < p->session.steps; i++) {
        const fs_profile_step *s = &p->step[i];
        if (!has_point(s)) {
            without++;
            continue;
        }
        const double x = (double)s->info.flops / fs_step_bytes(&s->info), y = rate((double)s->info.flops, s->median_us);
        low_x = fmin(low_x, x), high_x = fmax(high_x, x), low_y = fmin(low_y, y), high_y = fmax(high_y, y);
    }
    const log_axis x = around(low_x / 1.5, high_x * 1.5), y = around(low_y / 1.5, high_y * 1.5);
    fs_text_add(html,
                "<svg viewBox=\"0 0 %d %d\" width=\"%d\" height=\"%d\" font-family=\"sans-serif\" "
                "font-size=\"12\" fill=\"#333\">\n",
                WIDTH, PLOT_HEIGHT, WIDTH, PLOT_HEIGHT);
    fs_text_add(html, "<rect width=\"%d\" height=\"%d\" fill=\"#fff\"/>\n", WIDTH, PLOT_HEIGHT);
    grid(x, y, html);
    roof(info, x, y, &names, html);
    // Large ones first, so that none hides another: by falling time, steps of equal time in their order.
    double before = INFINITY;
    for (;;) {
        double most = -INFINITY;
        for (int i = 0; i < p->session.steps; i++)
            if (p->step[i].median_us < before) most = fmax(most, p->step[i].median_us);
        if (isinf(most)) break;
        for (int i = 0; i < p->session.steps; i++)
            if (p->step[i].median_us == most) draw_disc(p, &p->step[i], x, y, &names, html);
        before = most;
    }
    for (int i = 0; i < p->session.steps; i++)
        if (has_point(&p->step[i])) {
            double px, py;
            const double radius = disc(p, &p->step[i], x, y, &px, &py);
            label(&names, p->step[i].info.name, i, px, py, radius, html);
        }
    fs_text_add(html, "</svg>\n");
    if (names.numbers > 0) fs_text_add(html, "<p>A number is that of the step in the table of steps.</p>\n");
    if (without > 0)
        fs_text_add(html, "<p>%d step%s without arithmetic %s in the tables only.</p>\n", without,
                    without == 1 ? "" : "s", without == 1 ? "is" : "are");
}

// ---- Tables ---------------------------------------------------------------------------------------------------------

static void cells(const fs_profile *p, double us, double flops, double bytes, double roofline_us, fs_text *html) {
    fs_text_add(html,
                "<td>%.1f</td><td>%.1f%%</td><td>%.1f</td><td>%.1f</td><td>%.1f</td><td>%.1f</td><td>%.1f</td>"
                "<td>%.1f%%</td>",
                us, p->steps_us > 0 ? 100 * us / p->steps_us : 0, flops * 1e-6, bytes * 1e-3, rate(flops, us),
                rate(bytes, us), roofline_us, us > 0 ? 100 * roofline_us / us : 0);
}

static const char columns[] = "<th>median us</th><th>share</th><th>MFLOP</th><th>kB</th><th>GFLOP/s</th><th>GB/s</th>"
                              "<th>roofline us</th><th>reached</th>";

static void named_cell(fs_text *html, const char *text) {
    fs_text_add(html, "<td class=\"name\">");
    escaped(html, text);
    fs_text_add(html, "</td>");
}

static void module_table(const fs_profile *p, fs_text *html) {
    fs_text_add(html, "<table><tr><th class=\"name\">module</th>%s<th>steps</th></tr>\n", columns);
    for (int i = 0; i < p->modules; i++) {
        const fs_profile_module *m = &p->module[i];
        fs_text_add(html, "<tr><td class=\"name\"><span style=\"color:%s\">&#9632;</span> ", color_of(p, m->name));
        escaped(html, m->name);
        fs_text_add(html, "</td>");
        cells(p, m->median_us, m->flops, m->bytes, m->roofline_us, html);
        fs_text_add(html, "<td>%d</td></tr>\n", m->steps);
    }
    fs_text_add(html, "</table>\n");
}

static void step_table(const fs_profile *p, fs_text *html) {
    fs_text_add(html,
                "<table><tr><th>#</th><th class=\"name\">step</th><th class=\"name\">kind</th><th>output</th>%s"
                "<th class=\"name\">bound</th><th>min us</th><th>p90 us</th><th class=\"name\">tactic</th></tr>\n",
                columns);
    for (int i = 0; i < p->session.steps; i++) {
        const fs_profile_step *s = &p->step[i];
        fs_text_add(html, "<tr><td>%d</td>", i);
        named_cell(html, s->info.name);
        named_cell(html, s->info.kind);
        fs_text_add(html, "<td>%dx%dx%d</td>", s->info.height, s->info.width, s->info.channels);
        cells(p, s->median_us, (double)s->info.flops, fs_step_bytes(&s->info), s->info.roofline_us, html);
        named_cell(html, s->info.bound);
        fs_text_add(html, "<td>%.1f</td><td>%.1f</td>", s->min_us, s->p90_us);
        named_cell(html, s->info.tactic);
        fs_text_add(html, "</tr>\n");
    }
    fs_text_add(html, "</table>\n");
}

void fs_profile_html(const fs_profile *p, fs_text *html) {
    const fscnn_engine_info *model = &p->model->info;
    const fscnn_step_info *first = &p->step[0].info;
    fs_text_add(html,
                "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n<title>Fast-SCNN profile, "
                "%dx%d</title>\n",
                p->size.height, p->size.width);
    fs_text_add(html,
                "<style>body{font:14px sans-serif;color:#333;max-width:1240px;margin:2em auto;padding:0 1em}"
                "h1{font-size:22px}h2{font-size:17px;margin-top:2em}table{border-collapse:collapse;font-size:12px}"
                "th,td{padding:3px 7px;text-align:right;border-bottom:1px solid #ddd;white-space:nowrap}"
                "th.name,td.name{text-align:left}svg{max-width:100%%;height:auto}.wide{overflow-x:auto}</style>\n");
    fs_text_add(html, "</head>\n<body>\n<h1>Fast-SCNN %dx%d: %.3f ms a frame, %.1f frames/s</h1>\n<p>", p->size.height,
                p->size.width, 1e-3 * p->frame_median_us, 1e6 / p->frame_median_us);
    escaped(html, model->device);
    fs_text_add(html, " (%s), %s, ", fs_backend_names[model->backend], fs_precision_names[model->precision]);
    escaped(html, model->kernels);
    fs_text_add(html, " kernels, %s, %s memory, %d threads; ", p->task, p->io, p->session.threads);
    escaped(html, p->input);
    fs_text_add(html, "; median of %zu frames, one at a time; fastscnn %s, commit ", p->frames, fscnn_version_string());
    escaped(html, FS_COMMIT);
    fs_text_add(html, ".</p>\n<p>Steps %.1f us, outside of them (hand-over, transfers, waking up) %.1f us.</p>\n",
                p->steps_us, p->outside_us);
    fs_text_add(html, "<h2>Steps</h2>\n");
    bars(p, html);
    fs_text_add(html, "<h2>Roofline of %s</h2>\n<p>", first->roofline);
    escaped(html, first->roofline_about);
    fs_text_add(html, ". A disc's area is the step's share of the time.</p>\n");
    roofline(p, html);
    fs_text_add(html, "<h2>Modules</h2>\n<div class=\"wide\">\n");
    module_table(p, html);
    fs_text_add(html, "</div>\n<h2>Table of steps</h2>\n<div class=\"wide\">\n");
    step_table(p, html);
    fs_text_add(html, "</div>\n</body>\n</html>\n");
}
