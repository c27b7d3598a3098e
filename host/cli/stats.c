// Statistics of a measured series.
#include "host/cli/stats.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/base/mem.h"

const fs_percentile_name fs_percentiles[FS_PERCENTILES] = {
    {"p50", "p50", 50}, {"p90", "p90", 90}, {"p95", "p95", 95}, {"p99", "p99", 99}, {"p99.9", "p999", 99.9},
};

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

size_t fs_percentile_needs(double percent) {
    if (percent <= 50) return 1;
    return (size_t)ceil(1000 / (100 - percent) - 1e-6); // 100 - 99.9 is a little more than 0.1
}

bool fs_percentile_supported(size_t count, double percent) {
    return count >= fs_percentile_needs(percent);
}

// How many samples lie below the true percentile is binomial, nearly normal where ten lie on each side.
static void interval(const double *sorted, size_t count, double percent, double *low, double *high) {
    const double share = percent / 100, centre = share * (double)count;
    const double reach = 1.96 * sqrt(centre * (1 - share));
    const double first = floor(centre - reach), last = ceil(centre + reach);
    *low = sorted[first < 1 ? 0 : (size_t)first - 1];
    *high = sorted[last + 1 > (double)count ? count - 1 : (size_t)last];
}

void fs_stats_take(double *samples, size_t count, fs_stats *stats) {
    *stats = (fs_stats){.count = count};
    if (count == 0) return;
    qsort(samples, count, sizeof *samples, by_value);
    double sum = 0, squares = 0;
    for (size_t i = 0; i < count; i++) sum += samples[i];
    stats->min = samples[0];
    stats->max = samples[count - 1];
    stats->mean = sum / (double)count;
    for (size_t i = 0; i < count; i++) squares += (samples[i] - stats->mean) * (samples[i] - stats->mean);
    stats->deviation = count > 1 ? sqrt(squares / (double)(count - 1)) : 0;
    for (int i = 0; i < FS_PERCENTILES; i++) {
        stats->percentile[i] = fs_percentile(samples, count, fs_percentiles[i].percent);
        interval(samples, count, fs_percentiles[i].percent, &stats->low[i], &stats->high[i]);
    }
}

// ---- Bootstrap ------------------------------------------------------------------------------------------------------

typedef struct ranked {
    double value;
    size_t place; // in time
} ranked;

static int by_ranked_value(const void *a, const void *b) {
    return by_value(&((const ranked *)a)->value, &((const ranked *)b)->value);
}

static uint64_t next_random(uint64_t *state) { // splitmix64
    uint64_t z = *state += 0x9e3779b97f4a7c15u;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

// Statistics of the resample in which order[r].value occurs times[r] times. One pass finds all percentiles.
static void take_counted(const ranked *order, const uint32_t *times, size_t count, double *out) {
    double sum = 0;
    size_t seen = 0;
    int at = 0;
    for (size_t r = 0; r < count; r++) {
        if (times[r] == 0) continue;
        sum += times[r] * order[r].value;
        seen += times[r];
        for (; at < FS_PERCENTILES; at++) {
            const double rank = fs_percentiles[at].percent / 100 * (double)(count - 1);
            const size_t below = (size_t)rank;
            if (seen <= below) break; // the value at `below` is further up
            size_t above = r;         // holds the value at `below` + 1
            if (seen == below + 1 && seen < count)
                for (above++; times[above] == 0;) above++;
            out[1 + at] = order[r].value + (order[above].value - order[r].value) * (rank - (double)below);
        }
    }
    out[0] = sum / (double)count;
}

bool fs_bootstrap(const double *series, size_t count, int rounds, uint64_t seed, double *out) {
    ranked *order = fs_malloc(count, sizeof *order);
    size_t *rank = fs_malloc(count, sizeof *rank);
    uint32_t *times = fs_malloc(count, sizeof *times);
    const bool fine = order != NULL && rank != NULL && times != NULL;
    if (fine && count > 0) {
        for (size_t i = 0; i < count; i++) order[i] = (ranked){series[i], i};
        qsort(order, count, sizeof *order, by_ranked_value);
        for (size_t r = 0; r < count; r++) rank[order[r].place] = r;
        size_t block = (size_t)lround(sqrt((double)count));
        if (block < 1) block = 1;
        for (int round = 0; round < rounds; round++) {
            memset(times, 0, count * sizeof *times);
            for (size_t drawn = 0; drawn < count;) {
                size_t at = (size_t)(next_random(&seed) % count);
                for (size_t i = 0; i < block && drawn < count; i++, drawn++) {
                    times[rank[at]]++;
                    at = at + 1 == count ? 0 : at + 1;
                }
            }
            take_counted(order, times, count, out + (size_t)round * FS_BOOTSTRAP_STATISTICS);
        }
    }
    fs_free(order);
    fs_free(rank);
    fs_free(times);
    return fine;
}
