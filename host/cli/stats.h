// Statistics of a measured series: extremes, mean, percentiles, and how many samples a percentile needs.
#ifndef FS_CLI_STATS_H
#define FS_CLI_STATS_H

#include <stdbool.h>
#include <stddef.h>

typedef struct fs_stats {
    size_t count;
    double min, mean, p50, p90, p95, p99, max; // all 0 when there is no sample
} fs_stats;

// Sorts `samples` in place (finite numbers) and summarises them.
void fs_stats_take(double *samples, size_t count, fs_stats *stats);
// Percentile in 0..100 of sorted samples, linear between the two nearest ranks; 0 when there is none.
double fs_percentile(const double *sorted, size_t count, double percent);
// Whether `count` samples say anything about it: at least one is expected above it (p90: 10, p95: 20, p99: 100).
bool fs_percentile_supported(size_t count, double percent);

#endif
