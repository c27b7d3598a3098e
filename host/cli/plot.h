// A benchmark's latencies as one self-contained SVG: histogram above, time line below.
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

// Adds the SVG to `svg`. `title` and `subtitle` are plain text. Samples in order of time; at least one.
void fs_plot_latency(fs_text *svg, const char *title, const char *subtitle, const fs_sample *samples,
                     const fs_stats *stats);

#endif
