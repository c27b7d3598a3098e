// The progress bar: drawing is separate from deciding when to draw, so that both can be tested.
#include "host/cli/progress.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

static const double REDRAW_SECONDS = 0.1;

static double now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + 1e-9 * (double)time.tv_nsec;
}

static int terminal_columns(void) {
    struct winsize size;
    return ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0 ? size.ws_col : 80;
}

void fs_progress_line(char *line, size_t size, const char *label, uint64_t done, uint64_t total, double elapsed,
                      int columns, bool color) {
    if (total == 0 && done > 0) { // no end is known
        const double rate = elapsed > 0 ? (double)done / elapsed : 0;
        char text[96];
        snprintf(text, sizeof text, "%s %llu %.1f/s", label, (unsigned long long)done, rate);
        snprintf(line, size, "%.*s", columns > 1 ? columns - 1 : 0, text);
        return;
    }
    if (done > total) done = total;
    double share = total == 0 ? 1 : (double)done / (double)total;
    char tail[96];
    int tail_length = snprintf(tail, sizeof tail, " %3.0f%% %llu/%llu", 100 * share, (unsigned long long)done,
                               (unsigned long long)total);
    if (done > 0 && elapsed > 0) {
        double rate = (double)done / elapsed;
        double left = (double)(total - done) / rate;
        const char *format = left >= 90 ? " %.1f/s %.0fmin left" : " %.1f/s %.0fs left";
        tail_length += snprintf(tail + tail_length, sizeof tail - (size_t)tail_length, format, rate,
                                left >= 90 ? left / 60 : left);
    }
    int bar = columns - 1 - (int)strlen(label) - 3 - tail_length;
    if (bar > 40) bar = 40;
    if (bar < 5) { // too narrow for a bar: the figures alone
        snprintf(line, size, "%.*s", columns > 1 ? columns - 1 : 0, tail + 1);
        return;
    }
    int full = (int)(share * bar);
    char cells[41];
    memset(cells, '#', (size_t)full);
    memset(cells + full, '-', (size_t)(bar - full));
    snprintf(line, size, "%s [%s%.*s%s%.*s]%s", label, color ? "\033[32m" : "", full, cells, color ? "\033[0m" : "",
             bar - full, cells + full, tail);
}

void fs_progress_start(fs_progress *progress, const char *label, uint64_t total, bool quiet) {
    const char *terminal = getenv("TERM"), *no_color = getenv("NO_COLOR");
    bool dumb = terminal == NULL || strcmp(terminal, "dumb") == 0;
    *progress = (fs_progress){.active = !quiet && !dumb && isatty(STDERR_FILENO) == 1,
                              .color = no_color == NULL || no_color[0] == '\0',
                              .label = label,
                              .total = total,
                              .started = now()};
}

void fs_progress_update(fs_progress *progress, uint64_t done) {
    if (!progress->active) return;
    double time = now();
    if (progress->drawn && time - progress->redrawn < REDRAW_SECONDS) return;
    char line[512];
    fs_progress_line(line, sizeof line, progress->label, done, progress->total, time - progress->started,
                     terminal_columns(), progress->color);
    fprintf(stderr, "\r\033[K%s", line);
    fflush(stderr);
    progress->drawn = true;
    progress->redrawn = time;
}

void fs_progress_say(fs_progress *progress, const char *text) {
    if (!progress->active) return;
    fprintf(stderr, "\r\033[K%.*s", terminal_columns() - 1, text);
    fflush(stderr);
    progress->drawn = true;
}

void fs_progress_clear(fs_progress *progress) {
    if (!progress->active || !progress->drawn) return;
    fputs("\r\033[K", stderr);
    fflush(stderr);
    progress->drawn = false;
}
