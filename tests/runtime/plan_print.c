// Tests of plan printing: a table that fits the screen, JSON that parses, Graphviz with every step.
#include <criterion/criterion.h>
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/base/mem.h"
#include "runtime/plan.h"

static fs_plan plan;

static void build(fs_variant variant, int height, int width, unsigned off) {
    fs_model model;
    fs_model_init(&model, variant);
    fs_plan_options options = {.precision = FS_BF16, .rewrites_off = off, .channel_multiple = 16};
    cr_assert_eq(fs_plan_build(&plan, &model, height, width, &options), FS_OK, "%s", fs_error_text());
}

typedef void printer(const fs_plan *plan, const fs_roofline *device, fs_text *text);
static fs_text print(printer *p, const char *device) {
    fs_text text = {0};
    p(&plan, fs_roofline_find(device), &text);
    cr_assert_eq(fs_text_status(&text), FS_OK);
    return text;
}

static int count(const char *text, const char *what) {
    int n = 0;
    for (const char *at = text; (at = strstr(at, what)) != NULL; at += strlen(what)) n++;
    return n;
}

// ---- Text ----

static size_t longest_line(const char *text) {
    size_t longest = 0;
    for (const char *at = text; *at;) {
        size_t n = strcspn(at, "\n");
        cr_expect(n == 0 || at[n - 1] != ' ', "blank at the end of: %.*s", (int)n, at);
        if (n > longest) longest = n;
        at += n + (at[n] == '\n');
    }
    return longest;
}

Test(print_text, fits_in_120_columns) {
    static const int sizes[][2] = {{1024, 2048}, {64, 64}, {16384, 16384}};
    for (int s = 0; s < 3; s++)
        for (int off = 0; off < 2; off++)
            for (int tactic = 0; tactic < 2; tactic++) {
                build(FS_TRAMAC, sizes[s][0], sizes[s][1], off ? 0x3ff : 0);
                for (int k = 0; tactic && k < plan.program.steps; k++) strcpy(plan.tactic[k], "bands x8");
                fs_text text = print(fs_plan_print_text, "cpu");
                cr_expect_leq(longest_line(text.data), 120, "%d x %d: %zu\n%s", sizes[s][0], sizes[s][1],
                              longest_line(text.data), text.data);
                fs_text_free(&text);
            }
}

Test(print_text, has_every_step_and_the_totals) {
    build(FS_PAPER, 1024, 2048, 0);
    strcpy(plan.tactic[3], "bands-of-4");
    fs_text text = print(fs_plan_print_text, "h100");
    for (int s = 0; s < plan.program.steps; s++) {
        char row[64];
        snprintf(row, sizeof row, "\n%2d %s ", s, plan.program.step[s].name);
        cr_expect_not_null(strstr(text.data, row), "%s", row);
    }
    cr_expect_not_null(strstr(text.data, "Fast-SCNN paper, 1024x2048, 3 channels, 19 classes, bf16"));
    cr_expect_not_null(strstr(text.data, "13419.3"));
    cr_expect_not_null(strstr(text.data, "13.419 GFLOP"));
    cr_expect_not_null(strstr(text.data, " 100%"));
    cr_expect_not_null(strstr(text.data, "NVIDIA H100"));
    cr_expect_not_null(strstr(text.data, "bands-of-4"));
    cr_expect_not_null(strstr(text.data, "1024x2048x1"));
    fs_text_free(&text);
}

Test(print_text, totals_are_the_sums_of_their_columns) {
    build(FS_PAPER, 1024, 2048, 0);
    fs_text text = print(fs_plan_print_text, "cpu");
    double flops = 0, wanted = 0;
    for (const char *at = text.data; at && *at; at = strchr(at, '\n') ? strchr(at, '\n') + 1 : NULL) {
        int step, ops;
        char name[64], kind[32], shape[32];
        double mflop;
        if (sscanf(at, "%d %63s %31s %d %31s %lf", &step, name, kind, &ops, shape, &mflop) == 6) flops += mflop;
        if (sscanf(at, " total %d %lf", &ops, &mflop) == 2) wanted = mflop;
    }
    cr_expect_float_eq(flops, wanted, 1.0);
    cr_expect_float_eq(wanted, 13419.3, 0.05);
    fs_text_free(&text);
}

Test(print_text, works_without_a_device) {
    build(FS_PAPER, 256, 512, 0);
    fs_text text = {0};
    fs_plan_print_text(&plan, NULL, &text);
    cr_expect_null(strstr(text.data, "share"));
    cr_expect_null(strstr(text.data, "frames/s"));
    cr_expect_not_null(strstr(text.data, "cls"));
    fs_text_free(&text);
}

// ---- JSON ----

static const char *value(const char *at, int depth);
static const char *space(const char *at) {
    while (*at == ' ' || *at == '\n' || *at == '\t' || *at == '\r') at++;
    return at;
}
static const char *string(const char *at) {
    if (*at++ != '"') return NULL;
    for (; *at != '"'; at++) {
        if ((unsigned char)*at < 0x20) return NULL;
        if (*at == '\\' && !strchr("\"\\/bfnrtu", *++at)) return NULL;
    }
    return at + 1;
}
static const char *members(const char *at, char close, bool keys, int depth) {
    at = space(at);
    if (*at == close) return at + 1;
    for (;;) {
        if (keys) {
            at = string(space(at));
            if (at == NULL || *(at = space(at)) != ':') return NULL;
            at++;
        }
        at = value(at, depth + 1);
        if (at == NULL) return NULL;
        at = space(at);
        if (*at == close) return at + 1;
        if (*at++ != ',') return NULL;
    }
}
static const char *digits(const char *at) {
    if (!isdigit((unsigned char)*at)) return NULL;
    while (isdigit((unsigned char)*at)) at++;
    return at;
}
static const char *json_number(const char *at) {
    if (*at == '-') at++;
    at = *at == '0' ? at + 1 : digits(at);
    if (at && *at == '.') at = digits(at + 1);
    if (at && (*at == 'e' || *at == 'E')) at = digits(at[1] == '+' || at[1] == '-' ? at + 2 : at + 1);
    return at;
}
// The end of the JSON value at `at`, NULL when it is malformed.
static const char *value(const char *at, int depth) {
    static const char *const words[] = {"true", "false", "null"};
    if (depth > 20) return NULL;
    at = space(at);
    if (*at == '{') return members(at + 1, '}', true, depth);
    if (*at == '[') return members(at + 1, ']', false, depth);
    if (*at == '"') return string(at);
    for (int i = 0; i < 3; i++)
        if (strncmp(at, words[i], strlen(words[i])) == 0) return at + strlen(words[i]);
    return json_number(at);
}
static bool is_json(const char *text) {
    const char *end = value(text, 0);
    return end != NULL && *space(end) == '\0';
}

Test(print_json, checker_notices_errors) {
    cr_expect(is_json("{\"a\": [1, -2.5e-3, null, true, \"x\\n\"], \"b\": {}}\n"));
    static const char *const bad[] = {"{\"a\": 1,}", "[1 2]", "{a: 1}", "[1",  "\"x",
                                      "[01]",        "[1.]",  "nul",    "[]]", "[,]"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) cr_expect_not(is_json(bad[i]), "%s", bad[i]);
}

Test(print_json, parses_for_every_variant_with_and_without_fusion) {
    for (int v = 0; v < FS_VARIANTS; v++)
        for (int off = 0; off < 2; off++)
            for (int device = 0; device < 2; device++) {
                build((fs_variant)v, 360, 641, off ? 0x3ff : 0);
                fs_text text = print(fs_plan_print_json, device ? "orin" : "none");
                cr_expect(is_json(text.data), "%s", text.data);
                cr_expect_eq(count(text.data, "\"kind\":"), plan.program.steps);
                cr_expect_eq(count(text.data, "\"roofline_share\":"), device ? plan.program.steps : 0);
                fs_text_free(&text);
            }
}

Test(print_json, holds_exact_numbers) {
    build(FS_PAPER, 1024, 2048, 0);
    strcpy(plan.tactic[1], "odd \"name\"\\");
    fs_text text = print(fs_plan_print_json, "h100");
    cr_expect(is_json(text.data), "%s", text.data);
    cr_expect_not_null(strstr(text.data, "\"flops\": 13419298816"));
    cr_expect_not_null(strstr(text.data, "\"variant\": \"paper\""));
    cr_expect_not_null(strstr(text.data, "\"precision\": \"bf16\""));
    cr_expect_not_null(strstr(text.data, "\"shape\": [128, 256, 64]"));
    cr_expect_not_null(strstr(text.data, "\"tactic\": \"odd \\\"name\\\"\\\\\""));
    cr_expect_not_null(strstr(text.data, "\"tactic\": null"));
    for (int s = 0; s < plan.program.steps; s++) cr_expect_not_null(strstr(text.data, plan.program.step[s].name));
    fs_text_free(&text);
}

// ---- Graphviz ----

Test(print_dot, has_every_step_and_every_edge) {
    for (int off = 0; off < 2; off++) {
        build(FS_MMSEG, 1024, 2048, off ? 0x3ff : 0);
        fs_text text = print(fs_plan_print_dot, "cpu");
        int edges = 1; // to the labels
        for (int s = 0; s < plan.program.steps; s++) {
            char node[128];
            snprintf(node, sizeof node, "  s%d [label=\"%s\\n", s, plan.program.step[s].name);
            cr_expect_eq(count(text.data, node), 1, "%s", node);
            edges += plan.program.step[s].inputs;
        }
        cr_expect_eq(count(text.data, " -> "), edges);
        cr_expect_eq(count(text.data, "frame -> s0 [label=\"1024x2048x3\"]"), 1);
        cr_expect_eq(count(text.data, " -> labels [label=\"1024x2048x1\"]"), 1);
        cr_expect_eq(count(text.data, "{"), 1);
        cr_expect_eq(count(text.data, "}"), 1);
        cr_expect_eq(count(text.data, "\"") % 2, 0);
        fs_text_free(&text);
    }
}

Test(print_dot, escapes_tactics) {
    build(FS_PAPER, 64, 64, 0);
    strcpy(plan.tactic[0], "a\"b\\c");
    fs_text text = print(fs_plan_print_dot, "none");
    cr_expect_not_null(strstr(text.data, "a\\\"b\\\\c"));
    fs_text_free(&text);
}

Test(print, every_failing_allocation_is_remembered) {
    static printer *const printers[] = {fs_plan_print_text, fs_plan_print_json, fs_plan_print_dot};
    build(FS_PAPER, 64, 64, 0x3ff);
    for (int p = 0; p < 3; p++)
        for (uint64_t n = 1;; n++) {
            fs_text text = {0};
            fs_mem_fail_at(n, true);
            printers[p](&plan, fs_roofline_find("cpu"), &text);
            bool fired = fs_mem_fault_fired();
            fs_mem_fail_at(0, false);
            cr_expect_eq(fs_text_status(&text), fired ? FS_ERR_MEMORY : FS_OK);
            fs_text_free(&text);
            cr_expect_eq(fs_mem_live_blocks(), 0);
            if (!fired) break;
        }
}
