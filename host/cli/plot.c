// Draws the plot of a benchmark. Both panels share one rule: an axis runs from a round number to a round number with 3
// to 8 ticks.
#include "host/cli/plot.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { WIDTH = 960, LEFT = 72, RIGHT = 112, END = WIDTH - RIGHT, BINS = 64 };
enum { HEAD = 66, ROW = 15, HISTOGRAM = 230, LINE = 220, BETWEEN = 66, BELOW = 46 };
static const double LETTER = 6.4; // mean width of a character of a label, with some room

static const char *const colors[FS_PERCENTILES] = {"#1b8a6b", "#c08a12", "#d2691e", "#c8374b", "#7a3b93"};
static const char deadline_color[] = "#111";

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

static double value_of(const fs_plot *plot, const fs_sample *sample) {
    return plot->deadline > 0 ? sample->start + sample->latency : sample->latency;
}

static double done_at(const fs_sample *sample) {
    return sample->begin + 1e-3 * sample->latency;
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

// Three digits that count, as a label has them: 0.123, 12.3, 1234.
static void short_number(double value, char text[32]) {
    snprintf(text, 32, "%.*f", value >= 100 ? 1 : value >= 10 ? 2 : 3, value);
}

// Ground, grid, tick labels and axis titles of a panel from `top` to `bottom`.
static void draw_axes(fs_text *svg, const axis *x, const axis *y, const char *x_title, const char *y_title, int top,
                      int bottom) {
    fs_text_add(svg, "<rect class=\"ground\" x=\"%d\" y=\"%d\" width=\"%d\" height=\"%d\"/>\n", LEFT, top, END - LEFT,
                bottom - top);
    for (int i = 0; i <= axis_ticks(x); i++) {
        double value = x->low + i * x->step, at = place(x, value, LEFT, END);
        fs_text_add(svg, "<line class=\"grid\" x1=\"%.1f\" y1=\"%d\" x2=\"%.1f\" y2=\"%d\"/>", at, top, at, bottom);
        fs_text_add(svg, "<text x=\"%.1f\" y=\"%d\" text-anchor=\"middle\">%.*f</text>\n", at, bottom + 17, x->decimals,
                    value);
    }
    for (int i = 0; i <= axis_ticks(y); i++) {
        double value = y->low + i * y->step, at = place(y, value, bottom, top);
        fs_text_add(svg, "<line class=\"grid\" x1=\"%d\" y1=\"%.1f\" x2=\"%d\" y2=\"%.1f\"/>", LEFT, at, END, at);
        fs_text_add(svg, "<text x=\"%d\" y=\"%.1f\" text-anchor=\"end\">%.*f</text>\n", LEFT - 8, at + 4, y->decimals,
                    value);
    }
    fs_text_add(svg, "<line class=\"base\" x1=\"%d\" y1=\"%d\" x2=\"%d\" y2=\"%d\"/>\n", LEFT, bottom, END, bottom);
    const int middle = (top + bottom) / 2;
    fs_text_add(svg, "<text class=\"title\" x=\"%d\" y=\"%d\" text-anchor=\"middle\">%s</text>\n", (LEFT + END) / 2,
                bottom + 36, x_title);
    fs_text_add(svg,
                "<text class=\"title\" x=\"18\" y=\"%d\" text-anchor=\"middle\" transform=\"rotate(-90 18 %d)\">%s"
                "</text>\n",
                middle, middle, y_title);
}

// ---- Marks ----------------------------------------------------------------------------------------------------------

typedef struct mark {
    char name[48]; // "p50 12.34"
    double value;
    const char *color;
    int row; // of its label above the histogram, 0 is next to the panel
} mark;

enum { MARKS_MAX = FS_PERCENTILES + 1 };

static void add_mark(mark *m, const char *name, double value, const char *color) {
    char number[32];
    short_number(value, number);
    snprintf(m->name, sizeof m->name, "%s %s", name, number);
    m->value = value, m->color = color;
}

// The percentiles that the number of frames allows, and the deadline.
static int take_marks(const fs_plot *plot, mark marks[MARKS_MAX]) {
    int count = 0;
    for (int i = 0; i < FS_PERCENTILES; i++)
        if (fs_percentile_supported(plot->stats->count, fs_percentiles[i].percent))
            add_mark(&marks[count++], fs_percentiles[i].name, plot->stats->percentile[i], colors[i]);
    if (plot->deadline > 0) add_mark(&marks[count++], "deadline", plot->deadline, deadline_color);
    return count;
}

static double label_from(const mark *m, double at) { // left end of a label centred on its mark, kept inside
    const double width = LETTER * (double)strlen(m->name);
    const double from = at - width / 2, last = WIDTH - 4 - width;
    return from < 4 ? 4 : from > last ? last : from;
}

static int by_mark(const void *a, const void *b) {
    const double x = ((const mark *)a)->value, y = ((const mark *)b)->value;
    return (x > y) - (x < y);
}

// Labels that would touch go to rows of their own, the nearest free one. Returns the number of rows.
static int give_rows(mark *marks, int count, const axis *x) {
    int rows = 0;
    for (int i = 0; i < count; i++) {
        const double from = label_from(&marks[i], place(x, marks[i].value, LEFT, END));
        const double to = from + LETTER * (double)strlen(marks[i].name);
        bool used[MARKS_MAX] = {false};
        for (int k = 0; k < i; k++) {
            if (marks[k].value > x->high) continue;
            const double other = label_from(&marks[k], place(x, marks[k].value, LEFT, END));
            if (other < to + LETTER && from < other + LETTER * (double)strlen(marks[k].name) + LETTER)
                used[marks[k].row] = true;
        }
        marks[i].row = 0;
        while (used[marks[i].row]) marks[i].row++;
        if (marks[i].row + 1 > rows && marks[i].value <= x->high) rows = marks[i].row + 1;
    }
    return rows;
}

// ---- Panels ---------------------------------------------------------------------------------------------------------

// One slow frame must not squash the rest into a single bar: what lies far beyond p99 is counted, not drawn.
static axis histogram_axis(const fs_stats *stats) {
    const double reach = stats->p99 + 2 * (stats->p99 - stats->min);
    return axis_over(stats->min, fmin(stats->max, reach));
}

static void draw_histogram(fs_text *svg, const fs_plot *plot, const mark *marks, int mark_count, int top, int bottom) {
    const fs_stats *stats = plot->stats;
    const axis x = histogram_axis(stats);
    size_t bin[BINS] = {0}, most = 1, beyond = 0;
    for (size_t i = 0; i < stats->count; i++) {
        double share = (value_of(plot, &plot->samples[i]) - x.low) / (x.high - x.low);
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
    draw_axes(svg, &x, &y, plot->deadline > 0 ? "from due to done, ms" : "latency, ms", "frames", top, bottom);
    const double cell = (double)(END - LEFT) / BINS;
    for (int i = 0; i < BINS; i++) {
        if (bin[i] == 0) continue;
        double height = bottom - place(&y, (double)bin[i], bottom, top);
        if (height < 1) height = 1; // a single frame among many is still to be seen
        fs_text_add(svg, "<rect class=\"bar\" x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" height=\"%.1f\"/>\n",
                    LEFT + i * cell + 0.5, bottom - height, cell - 1, height);
    }
    for (int i = 0; i < mark_count; i++) {
        const mark *m = &marks[i];
        if (m->value > x.high || m->value < x.low) continue; // a deadline that is far away
        const double at = place(&x, m->value, LEFT, END);
        const int label = top - 8 - ROW * m->row;
        fs_text_add(svg, "<line class=\"mark\" stroke=\"%s\" x1=\"%.1f\" y1=\"%d\" x2=\"%.1f\" y2=\"%d\"/>", m->color,
                    at, label + 3, at, bottom);
        fs_text_add(svg, "<text class=\"label\" fill=\"%s\" x=\"%.1f\" y=\"%d\">%s</text>\n", m->color,
                    label_from(m, at), label, m->name);
    }
    if (beyond > 0) {
        char number[32];
        short_number(stats->max, number);
        fs_text_add(svg, "<text x=\"%d\" y=\"%d\">%zu beyond,</text><text x=\"%d\" y=\"%d\">up to %s</text>\n", END + 8,
                    bottom - 16, beyond, END + 8, bottom, number);
    }
}

// The range of the times that end in a column of pixels, and their mean: no outlier is lost at any frame count.
typedef struct column {
    int x;
    double low, high, mean;
    size_t count;
} column;

static column next_column(const fs_plot *plot, const axis *x, size_t *i) {
    column c = {.x = (int)place(x, done_at(&plot->samples[*i]), LEFT, END), .low = INFINITY, .high = -INFINITY};
    double sum = 0;
    for (; *i < plot->stats->count && (int)place(x, done_at(&plot->samples[*i]), LEFT, END) == c.x; ++*i) {
        const double value = value_of(plot, &plot->samples[*i]);
        c.low = fmin(c.low, value), c.high = fmax(c.high, value);
        sum += value;
        c.count++;
    }
    c.mean = sum / (double)c.count;
    return c;
}

static void draw_time_line(fs_text *svg, const fs_plot *plot, const mark *marks, int mark_count, int top, int bottom) {
    const size_t count = plot->stats->count;
    axis x = axis_over(0, done_at(&plot->samples[count - 1]));
    axis y = axis_over(0, fmax(plot->stats->max, plot->deadline));
    draw_axes(svg, &x, &y, "time, s", plot->deadline > 0 ? "from due to done, ms" : "latency, ms", top, bottom);
    fs_text_add(svg, "<path class=\"range\" d=\"");
    for (size_t i = 0; i < count;) {
        const column c = next_column(plot, &x, &i);
        if (c.count > 1)
            fs_text_add(svg, "M%d %.1fV%.1f", c.x, place(&y, c.low, bottom, top), place(&y, c.high, bottom, top));
    }
    fs_text_add(svg, "\"/>\n<path class=\"line\" d=\"");
    for (size_t i = 0, first = 1; i < count; first = 0) {
        const column c = next_column(plot, &x, &i);
        fs_text_add(svg, "%c%d %.1f", first ? 'M' : 'L', c.x, place(&y, c.mean, bottom, top));
    }
    fs_text_add(svg, "\"/>\n");
    if (count <= 150)
        for (size_t i = 0; i < count; i++)
            fs_text_add(svg, "<circle class=\"dot\" cx=\"%.1f\" cy=\"%.1f\" r=\"2.4\"/>\n",
                        place(&x, done_at(&plot->samples[i]), LEFT, END),
                        place(&y, value_of(plot, &plot->samples[i]), bottom, top));
    mark sorted[MARKS_MAX];
    memcpy(sorted, marks, sizeof sorted);
    qsort(sorted, (size_t)mark_count, sizeof *sorted, by_mark);
    double label = bottom + ROW;
    for (int i = 0; i < mark_count; i++) {
        const double at = place(&y, sorted[i].value, bottom, top);
        fs_text_add(svg, "<line class=\"mark\" stroke=\"%s\" x1=\"%d\" y1=\"%.1f\" x2=\"%d\" y2=\"%.1f\"/>\n",
                    sorted[i].color, LEFT, at, END + 4, at);
        label = fmin(at + 4, label - 13); // pushed up where two would touch
        fs_text_add(svg, "<text class=\"label\" fill=\"%s\" x=\"%d\" y=\"%.1f\">%s</text>\n", sorted[i].color, END + 8,
                    label, sorted[i].name);
    }
}

void fs_plot_times(fs_text *svg, const fs_plot *plot) {
    mark marks[MARKS_MAX] = {{.value = 0}};
    const int mark_count = take_marks(plot, marks);
    const axis x = histogram_axis(plot->stats);
    const int top = HEAD + ROW * (1 + give_rows(marks, mark_count, &x)), histogram_end = top + HISTOGRAM;
    const int line_top = histogram_end + BETWEEN, line_end = line_top + LINE, height = line_end + BELOW;
    fs_text_add(svg,
                "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %d %d\" width=\"%d\" height=\"%d\" "
                "font-family=\"system-ui,'DejaVu Sans',sans-serif\" font-size=\"11.5\" fill=\"#4a5563\">\n",
                WIDTH, height, WIDTH, height);
    fs_text_add(svg, "<style>.ground{fill:#f7f9fb}.grid{stroke:#dfe5eb}.base{stroke:#4a5563}.bar{fill:#4a7fb5}"
                     ".range{fill:none;stroke:#b3cde6}.line{fill:none;stroke:#2f6399;stroke-width:1.3;"
                     "stroke-linejoin:round}.dot{fill:#2f6399}.mark{stroke-dasharray:5 3;stroke-width:1.2}"
                     ".label{font-size:11.5px}.title{fill:#1f2933}</style>\n");
    fs_text_add(svg,
                "<rect width=\"100%%\" height=\"100%%\" fill=\"#fff\"/>\n<text x=\"%d\" y=\"30\" font-size=\"18\" "
                "font-weight=\"600\" fill=\"#1f2933\">",
                LEFT);
    add_escaped(svg, plot->title);
    fs_text_add(svg, "</text>\n<text x=\"%d\" y=\"50\">", LEFT);
    add_escaped(svg, plot->subtitle);
    fs_text_add(svg, "</text>\n");
    draw_histogram(svg, plot, marks, mark_count, top, histogram_end);
    draw_time_line(svg, plot, marks, mark_count, line_top, line_end);
    fs_text_add(svg, "</svg>\n");
}
