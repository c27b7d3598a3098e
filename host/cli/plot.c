// Draws the latency plot. Both panels share one rule: an axis runs from a round number to a round number with 3 to 8
// ticks.
#include "host/cli/plot.h"

#include <math.h>
#include <string.h>

enum { WIDTH = 960, HEIGHT = 640, LEFT = 80, RIGHT = 30, BINS = 60, COLUMNS = WIDTH - LEFT - RIGHT };

typedef struct axis {
    double low, high, step;
    int decimals;
} axis;

static axis axis_over(double low, double high) {
    double span = high > low ? high - low : (high != 0 ? fabs(high) * 0.1 : 1);
    double power = pow(10, floor(log10(span / 5)));
    double step = power;
    if (span / step > 7) step = 2 * power;
    if (span / step > 7) step = 5 * power;
    if (span / step > 7) step = 10 * power;
    axis result = {floor(low / step) * step, ceil(high / step) * step, step, 0};
    if (result.high <= result.low) result.high = result.low + step;
    for (double digit = step; digit < 0.999 && result.decimals < 6; digit *= 10) result.decimals++;
    return result;
}

static int axis_ticks(const axis *scale) {
    return (int)lround((scale->high - scale->low) / scale->step);
}

static double place(const axis *scale, double value, double from, double to) {
    return from + (value - scale->low) / (scale->high - scale->low) * (to - from);
}

static void add_escaped(fs_text *svg, const char *text) {
    for (; *text != '\0'; text++) {
        if (*text == '&')
            fs_text_add(svg, "&amp;");
        else if (*text == '<')
            fs_text_add(svg, "&lt;");
        else if (*text == '>')
            fs_text_add(svg, "&gt;");
        else if ((unsigned char)*text >= 0x20)
            fs_text_add(svg, "%c", *text);
    }
}

// Frame, grid, tick labels and axis titles of a panel from `top` to `bottom`.
static void draw_axes(fs_text *svg, const axis *x, const axis *y, const char *x_title, const char *y_title, int top,
                      int bottom) {
    const int right = WIDTH - RIGHT;
    for (int i = 0; i <= axis_ticks(x); i++) {
        double value = x->low + i * x->step, at = place(x, value, LEFT, right);
        fs_text_add(svg, "<line class=\"grid\" x1=\"%.1f\" y1=\"%d\" x2=\"%.1f\" y2=\"%d\"/>", at, top, at, bottom);
        fs_text_add(svg, "<text x=\"%.1f\" y=\"%d\" text-anchor=\"middle\">%.*f</text>\n", at, bottom + 16, x->decimals,
                    value);
    }
    for (int i = 0; i <= axis_ticks(y); i++) {
        double value = y->low + i * y->step, at = place(y, value, bottom, top);
        fs_text_add(svg, "<line class=\"grid\" x1=\"%d\" y1=\"%.1f\" x2=\"%d\" y2=\"%.1f\"/>", LEFT, at, right, at);
        fs_text_add(svg, "<text x=\"%d\" y=\"%.1f\" text-anchor=\"end\">%.*f</text>\n", LEFT - 6, at + 4, y->decimals,
                    value);
    }
    fs_text_add(svg, "<rect class=\"frame\" x=\"%d\" y=\"%d\" width=\"%d\" height=\"%d\"/>\n", LEFT, top, right - LEFT,
                bottom - top);
    int middle = (top + bottom) / 2;
    fs_text_add(svg, "<text x=\"%d\" y=\"%d\" text-anchor=\"middle\">%s</text>\n", (LEFT + right) / 2, bottom + 34,
                x_title);
    fs_text_add(svg, "<text x=\"20\" y=\"%d\" text-anchor=\"middle\" transform=\"rotate(-90 20 %d)\">%s</text>\n",
                middle, middle, y_title);
}

static void draw_histogram(fs_text *svg, const fs_sample *samples, const fs_stats *stats, int top, int bottom) {
    // One slow frame must not squash the rest into a single bar: what lies far beyond p99 is counted, not drawn.
    double reach = stats->p99 + 2 * (stats->p99 - stats->min);
    double high = stats->max < reach ? stats->max : reach;
    axis x = axis_over(stats->min, high);
    size_t bin[BINS] = {0}, most = 1, beyond = 0;
    for (size_t i = 0; i < stats->count; i++) {
        double share = (samples[i].latency - x.low) / (x.high - x.low);
        if (share > 1 + 1e-9) {
            beyond++;
            continue;
        }
        int index = (int)(share * BINS);
        if (index < 0) index = 0;
        if (index > BINS - 1) index = BINS - 1;
        if (++bin[index] > most) most = bin[index];
    }
    axis y = axis_over(0, (double)most);
    if (y.step < 1) y = (axis){0, (double)most, 1, 0};
    draw_axes(svg, &x, &y, "latency, ms", "frames", top, bottom);
    double cell = (double)COLUMNS / BINS;
    for (int i = 0; i < BINS; i++) {
        if (bin[i] == 0) continue;
        double height = bottom - place(&y, (double)bin[i], bottom, top);
        fs_text_add(svg, "<rect class=\"bar\" x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" height=\"%.1f\"/>\n",
                    LEFT + i * cell, bottom - height, cell - 1, height);
    }
    const struct {
        const char *name;
        double value, percent;
    } marks[] = {{"p50", stats->p50, 50}, {"p90", stats->p90, 90}, {"p99", stats->p99, 99}};
    for (size_t i = 0; i < sizeof marks / sizeof *marks; i++) {
        if (!fs_percentile_supported(stats->count, marks[i].percent)) continue;
        double at = place(&x, marks[i].value, LEFT, WIDTH - RIGHT);
        int label = top + 14 + 15 * (int)i;
        fs_text_add(svg, "<line class=\"mark\" x1=\"%.1f\" y1=\"%d\" x2=\"%.1f\" y2=\"%d\"/>", at, top, at, bottom);
        bool flip = at > WIDTH - RIGHT - 100;
        fs_text_add(svg, "<text class=\"mark-text\" x=\"%.1f\" y=\"%d\" text-anchor=\"%s\">%s %.2f</text>\n",
                    at + (flip ? -4 : 4), label, flip ? "end" : "start", marks[i].name, marks[i].value);
    }
    if (beyond > 0)
        fs_text_add(svg, "<text x=\"%d\" y=\"%d\" text-anchor=\"end\">%zu beyond, up to %.2f ms</text>\n",
                    WIDTH - RIGHT - 6, bottom - 8, beyond, stats->max);
}

static double done_at(const fs_sample *sample) {
    return sample->begin + 1e-3 * sample->latency;
}

// Each pixel column shows the range of the latencies that end in it, so that no outlier is lost at any frame count.
static void draw_time_line(fs_text *svg, const fs_sample *samples, const fs_stats *stats, int top, int bottom) {
    axis x = axis_over(0, done_at(&samples[stats->count - 1]));
    axis y = axis_over(0, stats->max);
    draw_axes(svg, &x, &y, "time, s", "latency, ms", top, bottom);
    fs_text_add(svg, "<path class=\"line\" d=\"");
    size_t i = 0;
    bool first = true;
    while (i < stats->count) {
        int column = (int)place(&x, done_at(&samples[i]), LEFT, WIDTH - RIGHT);
        double low = samples[i].latency, high = low;
        size_t begin = i;
        for (i++; i < stats->count && (int)place(&x, done_at(&samples[i]), LEFT, WIDTH - RIGHT) == column; i++) {
            if (samples[i].latency < low) low = samples[i].latency;
            if (samples[i].latency > high) high = samples[i].latency;
        }
        fs_text_add(svg, "%c%d %.1f", first ? 'M' : 'L', column, place(&y, low, bottom, top));
        if (i - begin > 1) fs_text_add(svg, "V%.1f", place(&y, high, bottom, top));
        first = false;
    }
    fs_text_add(svg, "\"/>\n");
    if (stats->count == 1)
        fs_text_add(svg, "<circle class=\"bar\" cx=\"%.1f\" cy=\"%.1f\" r=\"3\"/>\n",
                    place(&x, done_at(&samples[0]), LEFT, WIDTH - RIGHT), place(&y, samples[0].latency, bottom, top));
}

void fs_plot_latency(fs_text *svg, const char *title, const char *subtitle, const fs_sample *samples,
                     const fs_stats *stats) {
    fs_text_add(svg,
                "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %d %d\" width=\"%d\" height=\"%d\" "
                "font-family=\"sans-serif\" font-size=\"12\" fill=\"#333\">\n",
                WIDTH, HEIGHT, WIDTH, HEIGHT);
    fs_text_add(
        svg, "<style>.grid{stroke:#ddd}.frame{fill:none;stroke:#333}.bar{fill:#3b75af}.line{fill:none;stroke:#3b75af;"
             "stroke-width:1}.mark{stroke:#c0392b;stroke-dasharray:4 3}.mark-text{fill:#c0392b}</style>\n");
    fs_text_add(
        svg, "<rect width=\"100%%\" height=\"100%%\" fill=\"#fff\"/>\n<text x=\"%d\" y=\"28\" font-size=\"17\">", LEFT);
    add_escaped(svg, title);
    fs_text_add(svg, "</text>\n<text x=\"%d\" y=\"48\">", LEFT);
    add_escaped(svg, subtitle);
    fs_text_add(svg, "</text>\n");
    draw_histogram(svg, samples, stats, 70, 300);
    draw_time_line(svg, samples, stats, 370, 590);
    fs_text_add(svg, "</svg>\n");
}
