// A benchmark's latencies as one self-contained SVG: histogram above, time line below.
#ifndef FS_CLI_PLOT_H
#define FS_CLI_PLOT_H

#include <stddef.h>

#include "host/cli/stats.h"
#include "runtime/base/text.h"

typedef struct fs_sample {
    double at;      // seconds since the measurement began, when the frame was done
    double latency; // milliseconds
} fs_sample;

// Adds the SVG to `svg`. `title` and `subtitle` are plain text. Samples in order of time; at least one.
void fs_plot_latency(fs_text *svg, const char *title, const char *subtitle, const fs_sample *samples,
                     const fs_stats *stats);

#endif
