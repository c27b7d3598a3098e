// A profile as data: the steps of a session, when they ran in every measured frame, and what prints it.
#ifndef FS_CLI_PROFILE_H
#define FS_CLI_PROFILE_H

#include "host/cli/cli.h"
#include "host/cli/stats.h"
#include "runtime/base/text.h"

enum { FS_MODULE_NAME = 32 };

typedef struct fs_profile_step {
    fscnn_step_info info;
    char module[FS_MODULE_NAME]; // what stands before the first '.' of the name
    double min_us, median_us, p90_us;
} fs_profile_step;

typedef struct fs_profile_module {
    char name[FS_MODULE_NAME];
    int steps;
    double median_us, roofline_us, flops, bytes; // sums over its steps
} fs_profile_module;

typedef struct fs_profile {
    const fs_model_open *model;
    fscnn_session_info session;
    fs_size size;
    const char *task, *io;
    char input[256];  // in words
    double warmup;    // seconds
    bool interrupted; // before the asked-for frames or seconds were over
    double others;    // processors that other processes kept busy meanwhile; < 0: unknown

    fs_profile_step *step; // [session.steps]
    fs_profile_module *module;
    int modules;
    fscnn_step_time *times;   // [frames][session.steps]
    double *began, *frame_us; // [frames]: seconds since the first began; from before its submission to after its wait
    size_t frames;
    // Medians of a frame and of what it spent outside its steps; the sum of the steps' medians.
    double frame_median_us, outside_us, steps_us;
} fs_profile;

// Fills medians, modules and sums from the times; false when out of memory.
bool fs_profile_sum(fs_profile *profile);
double fs_step_bytes(const fscnn_step_info *info); // moved by one frame: maps and weights

void fs_profile_text(const fs_profile *profile, fs_text *text);
void fs_profile_json(const fs_profile *profile, fs_text *text);
// Chrome's trace format (chrome://tracing, ui.perfetto.dev): frames and steps as begin and end events.
void fs_profile_trace(const fs_profile *profile, fs_text *text);
// One page with tables, bars and a roofline plot; it loads nothing.
void fs_profile_html(const fs_profile *profile, fs_text *text);

#endif
