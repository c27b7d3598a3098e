// A benchmark as data: what was asked, what each size gave, and what measures and prints it.
#ifndef FS_CLI_BENCH_H
#define FS_CLI_BENCH_H

#include <stdio.h>

#include "host/cli/machine.h"
#include "host/cli/plot.h"
#include "host/cli/stats.h"
#include "host/cli/workload.h"

typedef enum fs_bench_mode { FS_BENCH_LATENCY, FS_BENCH_THROUGHPUT, FS_BENCH_PACED } fs_bench_mode;
extern const char *const fs_bench_mode_names[]; // NULL-terminated

// What one network size gave.
typedef struct fs_bench_run {
    fs_size size;
    fscnn_session_info info;
    int frames_in_turn; // of the input
    char input[512];    // in words
    double setup_ms;    // engine and session

    fs_sample *samples; // [count], in order of time; owned
    size_t count, capacity;
    double seconds; // measured
    bool interrupted;
    fs_stats latency;
    double mhz[2]; // of the machine before and after; 0: unknown
    double others; // processors that other processes kept busy meanwhile, as 0.25; below 0: unknown

    // Paced: frames that there was no time to start and frames that ended after the next was due; in milliseconds, how
    // late the timer woke, and how late after they were due frames were submitted and done.
    size_t dropped, missed;
    fs_stats wake, start, finish;
} fs_bench_run;

typedef struct fs_bench {
    fs_setup setup;
    fs_sizes sizes;
    fs_workload_choice choice;
    int mode, in_flight, frames; // frames: 0: as many as the duration allows
    double rate;                 // frames a second in paced mode
    double warmup, duration;     // seconds
    const char *json, *plot;
    bool samples, quiet, profile_window;

    fs_model_open model;
    fscnn_backend_info backend;
    fs_machine machine;
    double engine_ms;
    fs_bench_run run[FS_SIZES_MAX];
    int runs; // finished
} fs_bench;

// Warms up, measures and summarises. Complains; returns an exit code. Ctrl-C ends it early with what there is.
int fs_bench_measure(fs_bench *bench, fs_bench_run *run, fscnn_session *session, const fs_workload *work);

void fs_bench_print_head(const fs_bench *bench, FILE *file); // the first run's session is open
// One size: everything. Several: one table, to which each size adds a row as soon as it is measured.
void fs_bench_print_run(const fs_bench *bench, const fs_bench_run *run, FILE *file);
void fs_bench_print_foot(const fs_bench *bench, FILE *file);
// The finished runs: one as an object, several as an object with `runs`.
void fs_bench_json(const fs_bench *bench, fs_text *json);

// The other form of the verb: compares two JSON files. Complains; returns an exit code.
typedef struct fs_compare {
    const char *path[2];
    const char *json; // NULL: none
    double margin;    // percent; a smaller difference is noise whatever the interval says
    bool anyway, quiet;
    bool fail_slower; // a slower run is a failure, for scripts
} fs_compare;
int fs_bench_compare(const fs_compare *compare);

#endif
