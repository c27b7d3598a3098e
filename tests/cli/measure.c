// Tests of what bench is made of: statistics, facts of the machine, the JSON reader, the latency plot.
#include <criterion/criterion.h>
#include <criterion/redirect.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "host/cli/machine.h"
#include "host/cli/plot.h"
#include "host/cli/stats.h"
#include "host/cli/tree.h"

// ---- Statistics -----------------------------------------------------------------------------------------------------

Test(stats, none_gives_zeros) {
    fs_stats stats = {.max = 7};
    fs_stats_take(NULL, 0, &stats);
    cr_assert_eq(stats.count, 0);
    cr_assert_eq(stats.mean, 0);
    cr_assert_eq(stats.max, 0);
}

Test(stats, one_sample_is_everything) {
    double sample = 3.5;
    fs_stats stats;
    fs_stats_take(&sample, 1, &stats);
    cr_assert_eq(stats.count, 1);
    cr_assert(stats.min == 3.5 && stats.mean == 3.5 && stats.p50 == 3.5 && stats.p99 == 3.5 && stats.max == 3.5);
}

Test(stats, unsorted_samples_are_sorted_first) {
    double samples[] = {5, 1, 4, 2, 3};
    fs_stats stats;
    fs_stats_take(samples, 5, &stats);
    cr_assert_eq(stats.min, 1);
    cr_assert_eq(stats.max, 5);
    cr_assert_eq(stats.mean, 3);
    cr_assert_eq(stats.p50, 3);
    cr_assert_float_eq(stats.p90, 4.6, 1e-12);
    cr_assert_float_eq(stats.p95, 4.8, 1e-12);
}

Test(stats, percentiles_of_a_hundred_and_one) {
    double samples[101];
    for (int i = 0; i <= 100; i++) samples[i] = 100 - i;
    fs_stats stats;
    fs_stats_take(samples, 101, &stats);
    cr_assert_float_eq(stats.p50, 50, 1e-9);
    cr_assert_float_eq(stats.p90, 90, 1e-9);
    cr_assert_float_eq(stats.p95, 95, 1e-9);
    cr_assert_float_eq(stats.p99, 99, 1e-9);
}

Test(stats, percentile_ends_are_the_extremes) {
    const double sorted[] = {1, 2, 8};
    cr_assert_eq(fs_percentile(sorted, 3, 0), 1);
    cr_assert_eq(fs_percentile(sorted, 3, 100), 8);
    cr_assert_eq(fs_percentile(sorted, 0, 50), 0);
}

Test(stats, percentiles_need_ten_samples_above_them) {
    const size_t needs[FS_PERCENTILES] = {1, 100, 200, 1000, 10000};
    for (int i = 0; i < FS_PERCENTILES; i++) {
        const double percent = fs_percentiles[i].percent;
        cr_assert_eq(fs_percentile_needs(percent), needs[i], "%s: %zu", fs_percentiles[i].name,
                     fs_percentile_needs(percent));
        cr_assert(fs_percentile_supported(needs[i], percent));
        cr_assert_not(fs_percentile_supported(needs[i] - 1, percent));
    }
    cr_assert_eq(fs_percentile_needs(0), 1);
}

Test(stats, the_table_names_the_fields) {
    fs_stats stats = {.p50 = 50, .p90 = 90, .p95 = 95, .p99 = 99, .p999 = 99.9};
    for (int i = 0; i < FS_PERCENTILES; i++) cr_assert_eq(stats.percentile[i], fs_percentiles[i].percent);
}

Test(stats, deviation_of_known_series) {
    double samples[] = {2, 4, 4, 4, 5, 5, 7, 9}, one = 3;
    fs_stats stats;
    fs_stats_take(samples, 8, &stats);
    cr_assert_float_eq(stats.deviation, sqrt(32.0 / 7), 1e-12);
    fs_stats_take(&one, 1, &stats);
    cr_assert_eq(stats.deviation, 0);
    cr_assert(stats.low[0] == 3 && stats.high[4] == 3);
}

static uint64_t state;

static double uniform(void) { // 0..1
    state = state * 6364136223846793005u + 1442695040888963407u;
    return (double)(state >> 11) / 9007199254740992.0;
}

static double noise(void) { // mean 0, deviation 1
    double sum = -6;
    for (int i = 0; i < 12; i++) sum += uniform();
    return sum;
}

// Of many series from one distribution about 95 % of the intervals must hold the true percentile.
Test(stats, intervals_hold_the_truth) {
    int held[3] = {0};
    state = 1;
    for (int trial = 0; trial < 400; trial++) {
        double samples[300];
        for (int i = 0; i < 300; i++) samples[i] = uniform();
        fs_stats stats;
        fs_stats_take(samples, 300, &stats);
        for (int i = 0; i < 3; i++) {
            const double truth = fs_percentiles[i].percent / 100;
            held[i] += stats.low[i] <= truth && truth <= stats.high[i];
            cr_assert(stats.low[i] <= stats.percentile[i] && stats.percentile[i] <= stats.high[i]);
        }
    }
    for (int i = 0; i < 3; i++) cr_assert(held[i] >= 372 && held[i] <= 398, "%s: %d", fs_percentiles[i].name, held[i]);
}

Test(stats, a_resample_of_equal_values_is_that_value) {
    double series[7], out[3 * FS_BOOTSTRAP_STATISTICS];
    for (int i = 0; i < 7; i++) series[i] = 2.5;
    cr_assert(fs_bootstrap(series, 7, 3, 1, out));
    for (int i = 0; i < 3 * FS_BOOTSTRAP_STATISTICS; i++) cr_assert_eq(out[i], 2.5, "%d: %g", i, out[i]);
    series[0] = 3.5;
    cr_assert(fs_bootstrap(series, 1, 3, 1, out));
    for (int i = 0; i < 3 * FS_BOOTSTRAP_STATISTICS; i++) cr_assert_eq(out[i], 3.5, "%d: %g", i, out[i]);
    cr_assert(fs_bootstrap(NULL, 0, 3, 1, out));
}

Test(stats, a_resample_counts_as_sorting_would) {
    enum { COUNT = 400, ROUNDS = 200 };
    double series[COUNT], mean = 0, p50 = 0;
    static double out[ROUNDS][FS_BOOTSTRAP_STATISTICS], again[ROUNDS][FS_BOOTSTRAP_STATISTICS];
    for (int i = 0; i < COUNT; i++) series[i] = (i * 37 % COUNT);
    cr_assert(fs_bootstrap(series, COUNT, ROUNDS, 5, out[0]));
    cr_assert(fs_bootstrap(series, COUNT, ROUNDS, 5, again[0]));
    cr_assert_arr_eq(out, again, sizeof out);
    for (int i = 0; i < ROUNDS; i++) {
        mean += out[i][0] / ROUNDS, p50 += out[i][1] / ROUNDS;
        for (int k = 2; k < FS_BOOTSTRAP_STATISTICS; k++) cr_assert_leq(out[i][k - 1], out[i][k]);
        cr_assert(out[i][1] >= 0 && out[i][5] <= COUNT - 1);
    }
    cr_assert_float_eq(mean, 199.5, 3);
    cr_assert_float_eq(p50, 199.5, 6);
}

// Latencies drift together: an interval that took neighbours for independent would be far too narrow. True spread of
// the mean of such series against that of the resamples of one.
Test(stats, resampling_blocks_sees_drift) {
    enum { COUNT = 2500, ROUNDS = 300, TRIALS = 60 };
    static double series[COUNT], out[ROUNDS][FS_BOOTSTRAP_STATISTICS];
    double means = 0, squares = 0, believed = 0;
    state = 9;
    for (int trial = 0; trial < TRIALS; trial++) {
        double drift = 0, mean = 0;
        for (int i = 0; i < COUNT; i++) {
            drift = 0.9 * drift + noise();
            series[i] = 100 + drift;
            mean += series[i] / COUNT;
        }
        means += mean / TRIALS, squares += mean * mean / TRIALS;
        cr_assert(fs_bootstrap(series, COUNT, ROUNDS, 3, out[0]));
        double sum = 0, square = 0;
        for (int i = 0; i < ROUNDS; i++) sum += out[i][0] / ROUNDS, square += out[i][0] * out[i][0] / ROUNDS;
        believed += sqrt(square - sum * sum) / TRIALS;
    }
    const double true_spread = sqrt(squares - means * means);
    cr_assert(believed > 0.7 * true_spread && believed < 1.3 * true_spread, "%f, true %f", believed, true_spread);
}

// ---- The machine ----------------------------------------------------------------------------------------------------

static char root[] = "/tmp/fastscnn-machine-XXXXXX";

static void put(const char *name, const char *text) {
    char path[256];
    snprintf(path, sizeof path, "%s%s", root, name);
    for (char *slash = path + strlen(root) + 1; (slash = strchr(slash, '/')) != NULL; slash++) {
        *slash = '\0';
        mkdir(path, 0777);
        *slash = '/';
    }
    FILE *file = fopen(path, "w");
    cr_assert_not_null(file, "%s", path);
    fputs(text, file);
    fclose(file);
}

static void make_root(void) {
    cr_assert_not_null(mkdtemp(root));
}

static void remove_root(void) {
    char line[128];
    snprintf(line, sizeof line, "rm -rf %s", root);
    cr_assert_eq(system(line), 0);
}

Test(machine, reads_what_the_system_says, .init = make_root, .fini = remove_root) {
    put("/proc/cpuinfo", "processor\t: 0\nmodel name\t: Test CPU @ 3 GHz\ncpu MHz\t\t: 1000.5\nphysical id\t: 0\n"
                         "core id\t\t: 0\n\nprocessor\t: 1\nmodel name\t: Other\ncpu MHz\t\t: 2000.5\n"
                         "physical id\t: 0\ncore id\t\t: 0\n\nprocessor\t: 2\nphysical id\t: 1\ncore id\t\t: 0\n");
    put("/proc/meminfo", "MemTotal:       1024 kB\nMemFree: 3 kB\n");
    fs_machine m;
    fs_machine_read(root, &m);
    cr_assert_str_eq(m.cpu, "Test CPU @ 3 GHz");
    cr_assert_eq(m.processors, 3);
    cr_assert_eq(m.cores, 2); // two threads of one core, and a second package
    cr_assert_eq(m.mhz, 1500.5);
    cr_assert_eq(m.memory_bytes, 1 << 20);
    cr_assert_eq(m.mhz_max, 0);
    cr_assert_str_eq(m.governor, "");
    put("/sys/devices/system/cpu/cpu0/cpufreq/cpuinfo_max_freq", "3200000\n");
    put("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor", "powersave\n");
    put("/sys/devices/system/cpu/cpu0/cpufreq/scaling_cur_freq", "800000\n");
    put("/sys/devices/system/cpu/cpu1/cpufreq/scaling_cur_freq", "1800000\n");
    fs_machine_read(root, &m);
    cr_assert_eq(m.mhz_max, 3200);
    cr_assert_eq(m.mhz, 1300); // fresher than cpuinfo's
    cr_assert_eq(fs_machine_mhz(root), 1300);
    cr_assert_str_eq(m.governor, "powersave");
    char what[512], clocks[512];
    fs_machine_describe(&m, what, clocks, sizeof what);
    cr_assert_not_null(strstr(what, "Test CPU @ 3 GHz, 3 processors on 2 cores, "), "%s", what);
    cr_assert_not_null(strstr(clocks, "1300 MHz now, 3200 MHz at most, governor powersave"), "%s", clocks);
}

Test(machine, what_is_not_there_is_unknown, .init = make_root, .fini = remove_root) {
    fs_machine m;
    for (int i = 0; i < 2; i++) {
        fs_machine_read(root, &m);
        cr_assert(m.processors == 0 && m.cores == 0 && m.mhz == 0 && m.memory_bytes == 0, "round %d", i);
        fs_text json = {0};
        fs_machine_json(&json, NULL, &m);
        cr_assert_not_null(strstr(json.data, "\"cpu\": null"), "%s", json.data);
        cr_assert_not_null(strstr(json.data, "\"mhz_max\": null"), "%s", json.data);
        fs_text_free(&json);
        put("/proc/cpuinfo", "");
        put("/proc/meminfo", "nonsense\n");
        put("/sys/devices/system/cpu/cpu0/cpufreq/scaling_cur_freq", "");
        put("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor", "\n");
    }
    char what[512], clocks[512];
    fs_machine_describe(&m, what, clocks, sizeof what);
    cr_assert_not_null(strstr(clocks, "clock unknown, highest unknown, governor unknown"), "%s", clocks);
}

Test(machine, tells_others_work_from_ones_own, .init = make_root, .fini = remove_root) {
    cr_assert_lt(fs_machine_moment(root).busy, 0); // no /proc/stat
    put("/proc/stat", "cpu  100 20 30 9999 999 4 5 6 77 7\ncpu0 1 1 1 1 1 1 1 1 0 0\n");
    const fs_moment now = fs_machine_moment(root);
    cr_assert_float_eq(now.busy * (double)sysconf(_SC_CLK_TCK), 165,
                       1e-6); // neither idle, nor iowait, nor guests twice
    put("/proc/stat", "cpu 100 20\n");
    cr_assert_lt(fs_machine_moment(root).busy, 0);
    const fs_moment from = {.busy = 1000, .own = 5, .at = 50};
    cr_assert_float_eq(fs_machine_others(from, (fs_moment){1007, 9, 54}), 0.75, 1e-9);
    cr_assert_eq(fs_machine_others(from, (fs_moment){1003.9, 9, 54}), 0); // ticks are coarse
    cr_assert_lt(fs_machine_others(from, (fs_moment){-1, 9, 54}), 0);
    cr_assert_lt(fs_machine_others(from, (fs_moment){1000.1, 5, 50.1}), 0); // shorter than its ticks can tell
}

Test(machine, this_one_has_processors) {
    fs_machine m;
    fs_machine_read("", &m);
    cr_assert(m.processors > 0 && m.usable > 0 && m.memory_bytes > 0);
    cr_assert_neq(m.system[0], '\0');
}

// ---- JSON -----------------------------------------------------------------------------------------------------------

static fs_tree parsed(const char *text) {
    fs_tree tree = {0};
    cr_assert(fs_tree_parse("text", text, strlen(text), &tree), "%s", text);
    return tree;
}

Test(tree, reads_every_kind) {
    fs_tree tree = parsed(" {\"a\": [1, -2.5e1, []], \"b\": {\"c\": {\"d\": \"e\"}}, \"t\": true, \"f\": false,"
                          "\"n\": null, \"b\": 7, \"\": {}} ");
    const fs_tree_value *top = tree.value, *list = fs_tree_get(top, "a");
    cr_assert(top->count == 7 && list->count == 3 && list[1].number == 1 && list[2].number == -25);
    cr_assert_eq(list[3].kind, FS_TREE_ARRAY);
    cr_assert_str_eq(fs_tree_text(top, "b.c.d"), "e"); // the first of two of one name
    cr_assert_eq(fs_tree_get(top, "t")->kind, FS_TREE_TRUE);
    cr_assert_eq(fs_tree_get(top, "f")->kind, FS_TREE_FALSE);
    cr_assert_eq(fs_tree_get(top, "n")->kind, FS_TREE_NULL);
    cr_assert_eq(fs_tree_get(top, "")->kind, FS_TREE_OBJECT);
    double number = 5;
    cr_assert_not(fs_tree_number(top, "t", &number));
    cr_assert_eq(number, 5);
    const char *absent[] = {"x", "b.x", "a.b", "b.c.d.e", "a.1", "bb"};
    for (size_t i = 0; i < sizeof absent / sizeof *absent; i++) cr_assert_null(fs_tree_get(top, absent[i]));
    cr_assert_null(fs_tree_text(NULL, "a"));
    fs_tree_free(&tree);
    fs_tree_free(&tree);
}

Test(tree, decodes_texts) {
    fs_tree tree = parsed("[\"\\\"\\\\\\/\\b\\f\\n\\r\\t\", \"\\u0041\\u00e4\\u20AC\\ud83d\\ude00\", \"\xc3\xa4\"]");
    cr_assert_str_eq(tree.value[1].text, "\"\\/\b\f\n\r\t");
    cr_assert_str_eq(tree.value[2].text, "A\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80");
    cr_assert_str_eq(tree.value[3].text, "\xc3\xa4");
    fs_tree_free(&tree);
}

Test(tree, a_lone_value_is_json) {
    fs_tree tree = parsed("3");
    cr_assert(tree.count == 1 && tree.value->number == 3);
    fs_tree_free(&tree);
}

Test(tree, refuses_what_is_not_json, .init = cr_redirect_stderr) {
    const char *bad[] = {"",
                         " ",
                         "{",
                         "}",
                         "[1",
                         "[1,]",
                         "[,1]",
                         "{\"a\"}",
                         "{\"a\":}",
                         "{a:1}",
                         "{\"a\":1,}",
                         "{\"a\":1]",
                         "[1}",
                         "[1 2]",
                         "tru",
                         "nul",
                         "\"a",
                         "\"a\nb\"",
                         "\"\\x\"",
                         "\"\\u12g4\"",
                         "\"\\ud83d\"",
                         "\"\\udc00\"",
                         "\"\\u0000\"",
                         "01",
                         "+1",
                         ".5",
                         "1.",
                         "-",
                         "1e999",
                         "NaN",
                         "1 1",
                         "[1]]",
                         "[1],",
                         "{\"a\":1 \"b\":2}"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        fs_tree tree = {0};
        cr_assert_not(fs_tree_parse("text", bad[i], strlen(bad[i]), &tree), "'%s'", bad[i]);
        cr_assert_null(tree.value);
    }
    fs_tree tree = {0};
    cr_assert_not(fs_tree_parse("text", "[1]\0x", 5, &tree));
    cr_assert_not(fs_tree_parse("text", "\"a\0b\"", 5, &tree));
    cr_assert_not(fs_tree_read("/nonexistent/file.json", &tree));
    cr_assert_not(fs_tree_read("/tmp", &tree));
}

Test(tree, depth_is_limited, .init = cr_redirect_stderr) {
    for (int depth = 30; depth <= 34; depth++) {
        char text[80] = "";
        for (int i = 0; i < depth; i++) strcat(text, "[");
        for (int i = 0; i < depth; i++) strcat(text, "]");
        fs_tree tree = {0};
        cr_assert_eq(fs_tree_parse("text", text, strlen(text), &tree), depth <= 32, "%d", depth);
        fs_tree_free(&tree);
    }
}

// What the command writes comes back the same, however it is cut off in between.
Test(tree, reads_what_is_written_and_no_part_of_it, .init = cr_redirect_stderr) {
    fs_text json = {0};
    fs_json_open(&json, NULL, '{');
    fs_json_string(&json, "s", "a\"\\\n\t\x01\xc3\xa4");
    fs_json_number(&json, "x", 0.1);
    fs_json_number(&json, "nan", NAN);
    fs_json_open(&json, "l", '[');
    for (int i = 0; i < 500; i++) fs_json_number(&json, NULL, i / 7.0);
    fs_json_close(&json, ']');
    fs_json_close(&json, '}');
    fs_tree tree = parsed(json.data);
    cr_assert_str_eq(fs_tree_text(tree.value, "s"), "a\"\\\n\t\x01\xc3\xa4");
    double x = 0;
    cr_assert(fs_tree_number(tree.value, "x", &x) && x == 0.1);
    const fs_tree_value *list = fs_tree_get(tree.value, "l");
    cr_assert_eq(list->count, 500);
    for (int i = 0; i < 500; i++) cr_assert_float_eq(list[1 + i].number, i / 7.0, 1e-13);
    fs_tree_free(&tree);
    for (size_t length = 0; length < json.length; length++)
        cr_assert_not(fs_tree_parse("text", json.data, length, &tree), "%zu", length);
    fs_text_free(&json);
}

// ---- Plot -----------------------------------------------------------------------------------------------------------

static size_t occurrences(const char *text, const char *part) {
    size_t count = 0;
    for (const char *at = strstr(text, part); at != NULL; at = strstr(at + 1, part)) count++;
    return count;
}

static fs_text plot(fs_sample *samples, size_t count, double deadline) {
    double values[2048];
    for (size_t i = 0; i < count; i++) values[i] = samples[i].latency + (deadline > 0 ? samples[i].start : 0);
    fs_stats stats;
    fs_stats_take(values, count, &stats);
    fs_text svg = {0};
    fs_plot_times(&svg, &(fs_plot){"A <title> & more", "sub", samples, &stats, deadline});
    cr_assert_eq(fs_text_status(&svg), FS_OK);
    return svg;
}

Test(plot, has_titles_axes_and_percentiles) {
    fs_sample samples[1000];
    for (int i = 0; i < 1000; i++) samples[i] = (fs_sample){.begin = 0.01 * i, .latency = 10 + (i * 37 % 50) * 0.1};
    fs_text svg = plot(samples, 1000, 0);
    cr_assert_eq(strncmp(svg.data, "<svg ", 5), 0);
    cr_assert_not_null(strstr(svg.data, "A &lt;title&gt; &amp; more"));
    cr_assert_eq(occurrences(svg.data, "latency, ms"), 2);
    cr_assert_not_null(strstr(svg.data, "time, s"));
    cr_assert_not_null(strstr(svg.data, "frames</text>"));
    cr_assert_not_null(strstr(svg.data, ">p99 "));
    cr_assert_not_null(strstr(svg.data, "</svg>"));
    cr_assert_eq(occurrences(svg.data, "<text"), occurrences(svg.data, "</text>"));
    fs_text_free(&svg);
}

Test(plot, few_frames_claim_no_p99) {
    fs_sample samples[100];
    for (int i = 0; i < 100; i++) samples[i] = (fs_sample){.begin = 0.1 * i, .latency = 5 + i};
    fs_text svg = plot(samples, 100, 0);
    cr_assert_null(strstr(svg.data, ">p99 "));
    cr_assert_not_null(strstr(svg.data, ">p90 "));
    fs_text_free(&svg);
}

Test(plot, a_deadline_is_drawn_with_the_times_from_due) {
    fs_sample samples[100];
    for (int i = 0; i < 100; i++) samples[i] = (fs_sample){.begin = 0.1 * i, .latency = 5, .start = 0.01 * i};
    fs_text svg = plot(samples, 100, 7);
    cr_assert_eq(occurrences(svg.data, ">deadline 7.000<"), 1); // too far away for the histogram
    cr_assert_eq(occurrences(svg.data, "from due to done, ms"), 2);
    cr_assert_eq(occurrences(svg.data, ">p50 5.495<"), 2);
    fs_text_free(&svg);
    svg = plot(samples, 100, 5.5);
    cr_assert_eq(occurrences(svg.data, ">deadline 5.500<"), 2);
    fs_text_free(&svg);
}

// The labels of marks in one place stand above one another.
Test(plot, labels_do_not_cover_each_other) {
    fs_sample samples[1500];
    for (int i = 0; i < 1500; i++) samples[i] = (fs_sample){.begin = 0.01 * i, .latency = i == 0 ? 8 : 3};
    fs_text svg = plot(samples, 1500, 0);
    double y[8];
    int count = 0;
    for (const char *at = svg.data; (at = strstr(at, "class=\"label\"")) != NULL; at++) {
        const char *where = strstr(at, " y=\"");
        cr_assert_not_null(where);
        cr_assert_lt(count, 8);
        y[count++] = strtod(where + 4, NULL);
    }
    cr_assert_eq(count, 8); // p50, p90, p95, p99 in each panel
    for (int i = 0; i < 8; i++)
        for (int k = 0; k < i; k++) cr_assert_geq(fabs(y[i] - y[k]), 12, "%d and %d: %g and %g", i, k, y[i], y[k]);
    fs_text_free(&svg);
}

Test(plot, an_outlier_does_not_squash_the_rest) {
    fs_sample samples[1000];
    for (int i = 0; i < 1000; i++) samples[i] = (fs_sample){.begin = 0.01 * i, .latency = 10 + (i % 10) * 0.1};
    samples[500].latency = 1000;
    fs_text svg = plot(samples, 1000, 0);
    cr_assert_not_null(strstr(svg.data, "1 beyond,"));
    cr_assert_not_null(strstr(svg.data, "up to 1000.0"));
    fs_text_free(&svg);
}

Test(plot, extremes_draw_finite_numbers) {
    fs_sample samples[3] = {{.begin = 0}};
    for (size_t count = 1; count <= 3; count++) {
        fs_text svg = plot(samples, count, 0);
        cr_assert_null(strstr(svg.data, "nan"));
        cr_assert_null(strstr(svg.data, "inf"));
        fs_text_free(&svg);
    }
    samples[2] = (fs_sample){.begin = 1e6, .latency = 1e7};
    fs_text svg = plot(samples, 3, 0);
    cr_assert_null(strstr(svg.data, "nan"));
    cr_assert_lt(svg.length, 100000);
    fs_text_free(&svg);
}
