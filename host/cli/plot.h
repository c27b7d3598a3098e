// A benchmark's times as one self-contained SVG: histogram above, time line below, percentiles marked in both.
#ifndef FS_CLI_PLOT_H
#define FS_CLI_PLOT_H

#include <stddef.h>

#include "host/cli/stats.h"
#include "runtime/base/text.h"

typedef struct fs_sample {
    double begin;       // seconds since the measurement began, before submit
    double latency;     // milliseconds, from before submit to after wait
    double start, wake; // paced: milliseconds from when the frame was due to its submission, and until the timer woke
                        // (NAN: did not sleep)
} fs_sample;

typedef struct fs_plot {
    const char *title, *subtitle; // plain text
    const fs_sample *samples;     // in order of time, at least one
    const fs_stats *stats;        // of what is drawn
    double deadline;              // 0: latencies are drawn; else milliseconds, drawn as a line, and the times from when
                                  // a frame was due to its end
} fs_plot;

void fs_plot_times(fs_text *svg, const fs_plot *plot);

#endif
