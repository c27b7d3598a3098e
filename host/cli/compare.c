// fastscnn bench --compare: whether a second measurement is faster or slower than a first, or the same within noise.
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "host/cli/bench.h"
#include "host/cli/tree.h"
#include "runtime/base/mem.h"

enum { ROUNDS = 2000, FRAMES_MIN = 20 };
static const uint64_t SEED = 1;
static const double OTHERS_QUIET = 0.2; // processors

// Without these being equal the figures answer different questions.
static const char *const must_agree[] = {"size", "task", "io", "mode", "in_flight", "paced.rate_hz"};
// These may be what is compared; they are named where they differ.
static const char *const may_differ[] = {"backend", "device",         "precision", "kernels",
                                         "threads", "weights",        "classes",   "disable_fusion",
                                         "input",   "frames_in_turn", "version",   "commit"};
enum { MUST = sizeof must_agree / sizeof *must_agree, MAY = sizeof may_differ / sizeof *may_differ };

typedef struct side {
    const char *path;
    fs_tree tree;
    const fs_tree_value *run[FS_SIZES_MAX];
    int runs;
} side;

typedef struct row {
    const char *name, *key;
    bool shown;
    double value[2], ratio, low, high; // ratio: how many times faster the second is, with its 95 % interval
} row;

typedef struct outcome {
    const fs_tree_value *run[2];
    const char *size, *what; // of what the statistics are
    size_t frames[2];
    row rows[FS_BOOTSTRAP_STATISTICS];
    const row *decisive; // one of them
    const char *verdict;
} outcome;

// ---- Reading --------------------------------------------------------------------------------------------------------

static bool load(side *s) {
    if (!fs_tree_read(s->path, &s->tree)) return false;
    const fs_tree_value *top = s->tree.value, *runs = fs_tree_get(top, "runs");
    const char *kind = fs_tree_text(top, "kind");
    if (runs != NULL && runs->kind == FS_TREE_ARRAY) {
        const fs_tree_value *run = runs + 1;
        for (size_t i = 0; i < runs->count && s->runs < FS_SIZES_MAX; i++, run += run->size) s->run[s->runs++] = run;
    } else {
        s->run[s->runs++] = top;
    }
    bool fine = s->runs > 0 && (kind == NULL || strcmp(kind, "bench") == 0);
    for (int i = 0; i < s->runs && fine; i++)
        fine = fs_tree_text(s->run[i], "size") != NULL && fs_tree_get(s->run[i], "latency_ms") != NULL;
    if (!fine) fs_complain("'%s' was not written by fastscnn bench --json", s->path);
    return fine;
}

// A setting in words: of the run, else of the whole file.
static const char *setting(const side *s, const fs_tree_value *run, const char *name, char *text, size_t size) {
    const fs_tree_value *value = fs_tree_get(run, name);
    if (value == NULL) value = fs_tree_get(s->tree.value, name);
    if (value == NULL || value->kind == FS_TREE_NULL)
        snprintf(text, size, "none");
    else if (value->kind == FS_TREE_TEXT)
        snprintf(text, size, "%s", value->text);
    else
        snprintf(text, size, "%.10g", value->number);
    return text;
}

// Adds "name is A and B" for each of the settings that differ; returns how many do.
static int list_differences(const side sides[2], const outcome *o, const char *const *names, int count, char *text,
                            size_t size) {
    int found = 0;
    size_t length = 0;
    text[0] = '\0';
    for (int i = 0; i < count; i++) {
        char one[2][256];
        for (int k = 0; k < 2; k++) setting(&sides[k], o->run[k], names[i], one[k], sizeof one[k]);
        if (strcmp(one[0], one[1]) == 0) continue;
        if (length < size)
            length += (size_t)snprintf(text + length, size - length, "%s%s is %s and %s", found > 0 ? ", " : "",
                                       names[i], one[0], one[1]);
        found++;
    }
    return found;
}

static double *read_times(const side *s, const fs_tree_value *run, const char *name, size_t *count) {
    const fs_tree_value *list = fs_tree_get(run, name);
    if (list == NULL || list->kind != FS_TREE_ARRAY) {
        fs_complain("'%s' has no samples: measure again with --samples", s->path);
        return NULL;
    }
    double *times = fs_malloc(list->count, sizeof *times);
    if (times == NULL) {
        fs_complain("out of memory for the samples of '%s'", s->path);
        return NULL;
    }
    for (size_t i = 0; i < list->count; i++) {
        // A list of numbers: each value is one entry of the tree.
        if (list[1 + i].kind != FS_TREE_NUMBER || list[1 + i].number < 0) {
            fs_complain("'%s': number %zu of %s is no time", s->path, i + 1, name);
            fs_free(times);
            return NULL;
        }
        times[i] = list[1 + i].number;
    }
    *count = list->count;
    return times;
}

// The series that is compared, in milliseconds: latencies, or in throughput mode the time from one frame's end to the
// next one's. Owned by the caller; NULL after a complaint.
static double *read_series(const side *s, const fs_tree_value *run, bool throughput, size_t *count) {
    double *latency = read_times(s, run, "samples.latency_ms", count);
    if (latency != NULL && throughput) {
        size_t begins = 0;
        double *begin = read_times(s, run, "samples.begin_s", &begins);
        bool fine = begin != NULL;
        if (fine && begins != *count) {
            fs_complain("'%s' has %zu begins and %zu latencies", s->path, begins, *count);
            fine = false;
        }
        for (size_t i = 0; fine && i < *count; i++) latency[i] += 1e3 * begin[i];
        for (size_t i = 0; fine && i + 1 < *count; i++) latency[i] = latency[i + 1] - latency[i];
        if (*count > 0) --*count;
        fs_free(begin);
        if (!fine) {
            fs_free(latency);
            return NULL;
        }
    }
    if (latency != NULL && *count < FRAMES_MIN) {
        fs_complain("'%s' has samples of %zu frames; a comparison needs %d: measure longer, see --frames", s->path,
                    *count, FRAMES_MIN);
        fs_free(latency);
        return NULL;
    }
    return latency;
}

// ---- Judging --------------------------------------------------------------------------------------------------------

static int by_value(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double ratio_of(double before, double after) {
    return after > 0 ? before / after : before > 0 ? HUGE_VAL : 1;
}

static bool judge_series(outcome *o, double *series[2], double margin, bool throughput) {
    const size_t size = (size_t)ROUNDS * FS_BOOTSTRAP_STATISTICS;
    double *resampled[2] = {fs_malloc(size, sizeof(double)), fs_malloc(size, sizeof(double))};
    double *ratios = fs_malloc(ROUNDS, sizeof *ratios);
    bool fine = resampled[0] != NULL && resampled[1] != NULL && ratios != NULL;
    for (int k = 0; k < 2 && fine; k++)
        fine = fs_bootstrap(series[k], o->frames[k], ROUNDS, SEED + (uint64_t)k, resampled[k]);
    if (fine) {
        fs_stats stats[2];
        for (int k = 0; k < 2; k++) fs_stats_take(series[k], o->frames[k], &stats[k]); // sorts: last use
        const size_t fewer = o->frames[0] < o->frames[1] ? o->frames[0] : o->frames[1];
        for (int s = 0; s < FS_BOOTSTRAP_STATISTICS; s++) {
            const fs_percentile_name *name = s > 0 ? &fs_percentiles[s - 1] : NULL;
            row *r = &o->rows[s];
            *r = (row){.name = name != NULL ? name->name : "mean", .key = name != NULL ? name->key : "mean"};
            r->shown = name == NULL || fs_percentile_supported(fewer, name->percent);
            for (int k = 0; k < 2; k++) r->value[k] = s > 0 ? stats[k].percentile[s - 1] : stats[k].mean;
            r->ratio = ratio_of(r->value[0], r->value[1]);
            for (int i = 0; i < ROUNDS; i++)
                ratios[i] = ratio_of(resampled[0][i * FS_BOOTSTRAP_STATISTICS + s],
                                     resampled[1][i * FS_BOOTSTRAP_STATISTICS + s]);
            qsort(ratios, ROUNDS, sizeof *ratios, by_value);
            r->low = fs_percentile(ratios, ROUNDS, 2.5), r->high = fs_percentile(ratios, ROUNDS, 97.5);
        }
        const row *r = o->decisive = &o->rows[throughput ? 0 : 1];
        const double least = 1 + margin / 100;
        o->verdict = r->low > 1 && r->ratio >= least        ? "faster"
                     : r->high < 1 && r->ratio * least <= 1 ? "slower"
                                                            : "noise";
    } else {
        fs_complain("out of memory for the comparison");
    }
    fs_free(resampled[0]);
    fs_free(resampled[1]);
    fs_free(ratios);
    return fine;
}

static bool judge(const fs_compare *compare, const side sides[2], outcome *o) {
    char differences[2048], size[32];
    o->size = fs_tree_text(o->run[0], "size");
    if (list_differences(sides, o, must_agree, MUST, differences, sizeof differences) > 0 && !compare->anyway) {
        fs_complain("'%s' and '%s' measure different things: %s; --anyway compares them nevertheless", sides[0].path,
                    sides[1].path, differences);
        return false;
    }
    bool throughput = true;
    for (int k = 0; k < 2; k++)
        throughput = throughput && strcmp(setting(&sides[k], o->run[k], "mode", size, sizeof size), "throughput") == 0;
    o->what = throughput ? "time a frame" : "latency";
    double *series[2] = {NULL, NULL};
    bool fine = true;
    for (int k = 0; k < 2 && fine; k++)
        fine = (series[k] = read_series(&sides[k], o->run[k], throughput, &o->frames[k])) != NULL;
    fine = fine && judge_series(o, series, compare->margin, throughput);
    fs_free(series[0]);
    fs_free(series[1]);
    return fine;
}

// Two files of one run each are a pair, whatever their sizes; else runs of the same size are. Returns how many pairs.
static int pair_up(const side sides[2], outcome outcomes[FS_SIZES_MAX]) {
    if (sides[0].runs == 1 && sides[1].runs == 1) {
        outcomes[0] = (outcome){.run = {sides[0].run[0], sides[1].run[0]}};
        return 1;
    }
    bool taken[FS_SIZES_MAX] = {false};
    int pairs = 0;
    for (int i = 0; i < sides[0].runs; i++) {
        const char *size = fs_tree_text(sides[0].run[i], "size");
        int k = 0;
        while (k < sides[1].runs && (taken[k] || strcmp(fs_tree_text(sides[1].run[k], "size"), size) != 0)) k++;
        if (k == sides[1].runs) {
            fs_complain("%s is in '%s' alone", size, sides[0].path);
            continue;
        }
        taken[k] = true;
        outcomes[pairs++] = (outcome){.run = {sides[0].run[i], sides[1].run[k]}};
    }
    for (int k = 0; k < sides[1].runs; k++)
        if (!taken[k]) fs_complain("%s is in '%s' alone", fs_tree_text(sides[1].run[k], "size"), sides[1].path);
    if (pairs == 0) fs_complain("'%s' and '%s' have no size in common", sides[0].path, sides[1].path);
    return pairs;
}

// Processors that other work kept busy while a run was measured; below 0: not recorded.
static double others(const fs_tree_value *run) {
    const fs_tree_value *value = fs_tree_get(run, "others_processors");
    return value != NULL && value->kind == FS_TREE_NUMBER ? value->number : -1;
}

// ---- Printing -------------------------------------------------------------------------------------------------------

static void print_outcome(const fs_compare *compare, const side sides[2], const outcome *o, FILE *file) {
    char text[2048], one[128];
    fprintf(file, "\n%s", o->size);
    const char *const names[] = {"task", "io", "mode"};
    for (int i = 0; i < 3; i++) fprintf(file, ", %s", setting(&sides[0], o->run[0], names[i], one, sizeof one));
    fprintf(file, ": %s in ms, %zu and %zu frames\n", o->what, o->frames[0], o->frames[1]);
    const char *const *lists[] = {must_agree, may_differ};
    const int counts[] = {MUST, MAY};
    for (int i = 0; i < 2; i++)
        if (list_differences(sides, o, lists[i], counts[i], text, sizeof text) > 0)
            fprintf(file, "differ     %s\n", text);
    fprintf(file, "%-8s %11s %11s %12s   95 %% interval\n", "", "before", "after", "before/after");
    for (int s = 0; s < FS_BOOTSTRAP_STATISTICS; s++) {
        const row *r = &o->rows[s];
        if (!r->shown) continue;
        fprintf(file, "%-8s %11.3f %11.3f %12.4f   %.4f to %.4f\n", r->name, r->value[0], r->value[1], r->ratio, r->low,
                r->high);
    }
    const row *r = o->decisive;
    fprintf(file, "%s: '%s' takes %.4f of the time of '%s', it is %.4f times as fast (%.4f to %.4f), by the %s\n",
            o->verdict, sides[1].path, 1 / r->ratio, sides[0].path, r->ratio, r->low, r->high, r->name);
    const double busy[2] = {others(o->run[0]), others(o->run[1])};
    if (busy[0] > OTHERS_QUIET || busy[1] > OTHERS_QUIET)
        fprintf(file, "       other work kept %.2f and %.2f processors busy: measure again on a quiet machine\n",
                fmax(busy[0], 0), fmax(busy[1], 0));
    if (strcmp(o->verdict, "noise") != 0) return;
    if (r->low <= 1 && r->high >= 1)
        fprintf(file, "       no difference can be told: the interval holds 1\n");
    else
        fprintf(file, "       a difference, but below --margin %g %%\n", compare->margin);
}

static void write_json(const fs_compare *compare, const side sides[2], const outcome *outcomes, int count,
                       fs_text *json) {
    fs_json_open(json, NULL, '{');
    fs_json_string(json, "kind", "bench-compare");
    fs_json_string(json, "before", sides[0].path);
    fs_json_string(json, "after", sides[1].path);
    fs_json_number(json, "margin_percent", compare->margin);
    fs_json_open(json, "runs", '[');
    for (int i = 0; i < count; i++) {
        const outcome *o = &outcomes[i];
        fs_json_open(json, NULL, '{');
        fs_json_string(json, "size", o->size);
        fs_json_string(json, "verdict", o->verdict);
        fs_json_string(json, "by", o->decisive->key);
        fs_json_string(json, "of", o->what);
        fs_json_open(json, "statistics", '{');
        for (int s = 0; s < FS_BOOTSTRAP_STATISTICS; s++) {
            const row *r = &o->rows[s];
            if (!r->shown) continue;
            fs_json_open(json, r->key, '{');
            fs_json_number(json, "before_ms", r->value[0]);
            fs_json_number(json, "after_ms", r->value[1]);
            fs_json_number(json, "times_faster", r->ratio);
            fs_json_open(json, "interval95", '[');
            fs_json_number(json, NULL, r->low);
            fs_json_number(json, NULL, r->high);
            fs_json_close(json, ']');
            fs_json_close(json, '}');
        }
        fs_json_close(json, '}');
        fs_json_close(json, '}');
    }
    fs_json_close(json, ']');
    fs_json_close(json, '}');
    fs_text_add(json, "\n");
}

static bool compare_sides(const fs_compare *compare, const side sides[2]) {
    outcome outcomes[FS_SIZES_MAX];
    const int pairs = pair_up(sides, outcomes);
    for (int i = 0; i < pairs; i++)
        if (!judge(compare, sides, &outcomes[i])) return false;
    if (pairs == 0) return false;
    const bool json_on_stdout = compare->json != NULL && strcmp(compare->json, "-") == 0;
    FILE *file = compare->quiet ? NULL : json_on_stdout ? stderr : stdout;
    if (file != NULL) {
        fprintf(file, "before     %s\nafter      %s\n", sides[0].path, sides[1].path);
        for (int i = 0; i < pairs; i++) print_outcome(compare, sides, &outcomes[i], file);
    }
    bool fine = true;
    for (int i = 0; i < pairs && compare->fail_slower; i++) fine = fine && strcmp(outcomes[i].verdict, "slower") != 0;
    if (compare->json == NULL) return fine;
    fs_text json = {0};
    write_json(compare, sides, outcomes, pairs, &json);
    if (fs_text_status(&json) == FS_OK) {
        fine = fs_text_write(compare->json, json.data, json.length) && fine;
    } else {
        fs_complain("out of memory for '%s'", compare->json);
        fine = false;
    }
    fs_text_free(&json);
    return fine;
}

int fs_bench_compare(const fs_compare *compare) {
    if (compare->json != NULL && strcmp(compare->json, "-") != 0 && !fs_output_check(compare->json))
        return FS_EXIT_FAILED;
    side sides[2] = {{.path = compare->path[0]}, {.path = compare->path[1]}};
    bool fine = load(&sides[0]) && load(&sides[1]) && compare_sides(compare, sides);
    fs_tree_free(&sides[0].tree);
    fs_tree_free(&sides[1].tree);
    return fine ? FS_EXIT_OK : FS_EXIT_FAILED;
}
