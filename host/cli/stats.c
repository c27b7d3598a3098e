// Statistics of a measured series.
#include "host/cli/stats.h"

#include <stdlib.h>

static int by_value(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

double fs_percentile(const double *sorted, size_t count, double percent) {
    if (count == 0) return 0;
    double rank = percent / 100 * (double)(count - 1);
    if (rank <= 0) return sorted[0];
    size_t below = (size_t)rank;
    if (below >= count - 1) return sorted[count - 1];
    double share = rank - (double)below;
    return sorted[below] + (sorted[below + 1] - sorted[below]) * share;
}

bool fs_percentile_supported(size_t count, double percent) {
    return (double)count * (100 - percent) >= 100;
}

void fs_stats_take(double *samples, size_t count, fs_stats *stats) {
    *stats = (fs_stats){.count = count};
    if (count == 0) return;
    qsort(samples, count, sizeof *samples, by_value);
    double sum = 0;
    for (size_t i = 0; i < count; i++) sum += samples[i];
    stats->min = samples[0];
    stats->mean = sum / (double)count;
    stats->p50 = fs_percentile(samples, count, 50);
    stats->p90 = fs_percentile(samples, count, 90);
    stats->p95 = fs_percentile(samples, count, 95);
    stats->p99 = fs_percentile(samples, count, 99);
    stats->max = samples[count - 1];
}
