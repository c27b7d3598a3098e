// Statistics of a measured series: extremes, mean, spread, percentiles, and how many samples a percentile needs.
#ifndef FS_CLI_STATS_H
#define FS_CLI_STATS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { FS_PERCENTILES = 5 };
typedef struct fs_percentile_name {
    const char *name, *key; // "p99.9" for people, "p999" for JSON
    double percent;
} fs_percentile_name;
extern const fs_percentile_name fs_percentiles[FS_PERCENTILES]; // in the order of fs_stats.percentile

typedef struct fs_stats {
    size_t count;
    double min, mean, max, deviation; // standard deviation; all 0 when there is no sample
    union {
        struct {
            double p50, p90, p95, p99, p999;
        };
        double percentile[FS_PERCENTILES];
    };
    // 95 % interval of each percentile by order statistics: holds for any distribution of independent samples.
    double low[FS_PERCENTILES], high[FS_PERCENTILES];
} fs_stats;

// Sorts `samples` in place (finite numbers) and summarises them.
void fs_stats_take(double *samples, size_t count, fs_stats *stats);
// Percentile in 0..100 of sorted samples, linear between the two nearest ranks; 0 when there is none.
double fs_percentile(const double *sorted, size_t count, double percent);
// How many samples a percentile below 100 needs to be worth printing: ten are expected above it (p90: 100, p95: 200,
// p99: 1000, p99.9: 10000). The median, whose interval shows what it is worth, and what lies below need one.
size_t fs_percentile_needs(double percent);
bool fs_percentile_supported(size_t count, double percent);

enum { FS_BOOTSTRAP_STATISTICS = 1 + FS_PERCENTILES }; // the mean, then fs_percentiles
// Resamples a series in the order of time `rounds` times and takes the mean and the percentiles of each resample into
// out[rounds][FS_BOOTSTRAP_STATISTICS]. Whole blocks of about sqrt(count) neighbours are drawn (circular block
// bootstrap), because neighbours in time share the machine's mood and are no independent witnesses. The same seed gives
// the same answer. False when out of memory.
bool fs_bootstrap(const double *series, size_t count, int rounds, uint64_t seed, double *out);

#endif
