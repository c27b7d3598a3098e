// Tests of what must not change a single bit: cuts, threads, repeats, tuning, memory reuse, what ran before.
#include <criterion/criterion.h>
#include <criterion/parameterized.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "runtime/base/mem.h"
#include "tests/cpu/network.h"

enum { CLASSES = 19, MOST = 97 * 131 };
static uint8_t labels[2][MOST];
static float logits[2][MOST * CLASSES];

typedef struct exact_case {
    fs_variant variant;
    fs_precision precision;
    int height, width;
    char table[16], off[16];
} exact_case;

static exact_case cases[] = {
    {FS_PAPER, FS_FP32, 64, 67, "", ""},          {FS_PAPER, FS_FP32, 97, 131, "sse", ""},
    {FS_PAPER, FS_BF16, 64, 67, "", ""},          {FS_PAPER, FS_BF16, 64, 67, "wide", ""},
    {FS_PAPER, FS_BF16, 64, 64, "wide", "all"},   {FS_PAPER, FS_FP32, 65, 64, "", "all"},
    {FS_TRAMAC, FS_FP32, 64, 96, "", ""},         {FS_TRAMAC, FS_BF16, 64, 64, "wide", ""},
    {FS_MMSEG, FS_FP32, 65, 103, "", ""},         {FS_MMSEG, FS_BF16, 64, 64, "wide", ""},
    {FS_PADDLESEG, FS_FP32, 97, 64, "wide", ""},  {FS_PADDLESEG, FS_BF16, 64, 65, "wide", ""},
    {FS_LEFTTHOMAS, FS_FP32, 96, 131, "", "ffm"}, {FS_LEFTTHOMAS, FS_BF16, 64, 64, "", "bottleneck"},
};
#define CASES sizeof cases / sizeof cases[0]

static const fs_kernels *table_of(const exact_case *c) {
    return c->table[0] ? fs_test_table(c->table) : fs_kernels_select(NULL);
}

static fs_test_run open_run(const exact_case *c, int threads, bool no_reuse) {
    unsigned off;
    cr_assert_eq(fs_rewrites_parse(c->off, &off), FS_OK);
    fs_weights weights = fs_test_weights(c->variant, CLASSES, 3, 31);
    const fs_test_run run =
        fs_test_run_open(&weights, c->precision, table_of(c), c->height, c->width, threads, off, no_reuse);
    fs_weights_free(&weights);
    return run;
}

// Runs into the second pair of outputs and compares it with the first.
static void expect_same(const exact_case *c, const fs_test_run *run, const uint8_t *frame, const char *what) {
    const size_t pixels = (size_t)(c->height * c->width);
    memset(labels[1], 0xee, pixels);
    memset(logits[1], 0xff, pixels * CLASSES * sizeof(float));
    fs_test_run_frame(run, frame, labels[1], logits[1]);
    cr_expect(memcmp(labels[0], labels[1], pixels) == 0 && memcmp(logits[0], logits[1], pixels * CLASSES * 4) == 0,
              "%s %s %dx%d, table '%s', without '%s': other bits with %s", fs_variant_name(c->variant),
              fs_precision_name(c->precision), c->height, c->width, c->table, c->off, what);
}

ParameterizedTestParameters(cpu_exact, cuts) {
    return cr_make_param_array(exact_case, cases, CASES);
}
ParameterizedTest(exact_case *c, cpu_exact, cuts) {
    static const int rows[] = {1000, 7, 3, 2, 1}, columns[] = {1000, 16, 5, 1};
    fs_test_run run = open_run(c, 1, false);
    uint8_t *frame = fs_test_frame(c->height, c->width, 3, 5);
    fs_test_run_frame(&run, frame, labels[0], logits[0]);
    for (int i = 0; i < 5; i++)
        for (int j = 0; j < 4; j++) {
            if (rows[i] * columns[j] < 5 && c->height * c->width > 64 * 70) continue; // single pixels cost much
            cr_assert_eq(fs_cpu_session_cut(run.session, rows[i], columns[j]), FS_OK, "%s", fs_error_text());
            char what[64];
            snprintf(what, sizeof what, "tasks of %dx%d", rows[i], columns[j]);
            expect_same(c, &run, frame, what);
        }
    fs_free(frame);
    fs_test_run_close(&run);
    cr_expect_eq(fs_mem_live_blocks(), 0);
}

ParameterizedTestParameters(cpu_exact, threads) {
    return cr_make_param_array(exact_case, cases, CASES);
}
ParameterizedTest(exact_case *c, cpu_exact, threads) {
    static const int threads[] = {1, 2, 3, 8};
    uint8_t *frame = fs_test_frame(c->height, c->width, 3, 6);
    for (int i = 0; i < 4; i++) {
        fs_test_run run = open_run(c, threads[i], false);
        if (i == 0) fs_test_run_frame(&run, frame, labels[0], logits[0]);
        char what[64];
        snprintf(what, sizeof what, "%d threads", threads[i]);
        expect_same(c, &run, frame, what);
        fs_test_run_close(&run);
    }
    fs_free(frame);
    cr_expect_eq(fs_mem_live_blocks(), 0);
}

// A frame does not depend on those before it.
ParameterizedTestParameters(cpu_exact, repeats) {
    return cr_make_param_array(exact_case, cases, CASES);
}
ParameterizedTest(exact_case *c, cpu_exact, repeats) {
    uint8_t *frame = fs_test_frame(c->height, c->width, 3, 7), *other = fs_test_frame(c->height, c->width, 3, 8);
    fs_test_run run = open_run(c, 2, false);
    fs_test_run_frame(&run, frame, labels[0], logits[0]);
    const size_t pixels = (size_t)(c->height * c->width);
    for (size_t i = 0; i < pixels * CLASSES; i++) cr_assert(isfinite(logits[0][i]));
    for (int i = 0; i < 4; i++) {
        if (i == 2) memset(other, 255, pixels * 3);
        if (i == 3) memset(other, 0, pixels * 3);
        fs_test_run_frame(&run, other, labels[1], logits[1]);
        cr_expect_neq(memcmp(logits[0], logits[1], pixels * CLASSES * 4), 0, "another frame, the same answer");
        expect_same(c, &run, frame, "another frame before");
    }
    fs_test_run_close(&run);
    fs_test_run again = open_run(c, 2, false);
    expect_same(c, &again, frame, "a new engine");
    fs_test_run_close(&again);
    fs_free(frame);
    fs_free(other);
}

ParameterizedTestParameters(cpu_exact, memory_without_reuse) {
    return cr_make_param_array(exact_case, cases, CASES);
}
ParameterizedTest(exact_case *c, cpu_exact, memory_without_reuse) {
    uint8_t *frame = fs_test_frame(c->height, c->width, 3, 9);
    fs_test_run run = open_run(c, 2, false), apart = open_run(c, 2, true);
    cr_expect_gt(apart.plan->arena_bytes, run.plan->arena_bytes);
    fs_test_run_frame(&run, frame, labels[0], logits[0]);
    expect_same(c, &apart, frame, "each tensor apart");
    expect_same(c, &apart, frame, "each tensor apart, again");
    fs_test_run_close(&run);
    fs_test_run_close(&apart);
    fs_free(frame);
}

ParameterizedTestParameters(cpu_exact, tuned) {
    static exact_case some[4];
    memcpy(some, cases, sizeof some);
    return cr_make_param_array(exact_case, some, 4);
}
ParameterizedTest(exact_case *c, cpu_exact, tuned) {
    const size_t pixels = (size_t)(c->height * c->width);
    uint8_t *frame = fs_test_frame(c->height, c->width, 3, 10);
    fs_weights weights = fs_test_weights(c->variant, CLASSES, 3, 31);
    fscnn_engine *engine = fs_test_engine(&weights, c->precision, table_of(c), c->off);
    fs_weights_free(&weights);
    fscnn_frame input;
    fscnn_frame_init(&input, FSCNN_RGB8, c->width, c->height, frame);
    for (int i = 0; i < 2; i++) {
        fscnn_session_options options;
        fscnn_session_options_init(&options);
        options.width = c->width, options.height = c->height, options.threads = 2, options.tune = i ? 0 : -1;
        fscnn_session *session;
        cr_assert_eq(fscnn_session_open(engine, &options, &session), FSCNN_OK, "%s", fscnn_error());
        fscnn_outputs outputs;
        fscnn_outputs_init(&outputs);
        outputs.labels = labels[i], outputs.logits = logits[i];
        // Tuning runs frames of its own: tickets count from 1 all the same.
        uint64_t ticket = 0;
        cr_assert_eq(fscnn_submit(session, &input, &outputs, &ticket), FSCNN_OK, "%s", fscnn_error());
        cr_expect_eq(ticket, 1, "tuned %d: the first ticket is %llu", i, (unsigned long long)ticket);
        cr_assert_eq(fscnn_wait(session, ticket, -1), FSCNN_OK, "%s", fscnn_error());
        fscnn_session_close(&session);
    }
    cr_expect(memcmp(labels[0], labels[1], pixels) == 0 && memcmp(logits[0], logits[1], pixels * CLASSES * 4) == 0,
              "tuning changes bits");
    fscnn_engine_close(&engine);
    fs_free(frame);
    cr_expect_eq(fs_mem_live_blocks(), 0);
}

// One engine, sessions of several sizes at once: nothing is shared but the weights.
Test(cpu_exact, sessions_of_one_engine) {
    static const int sizes[3][2] = {{64, 64}, {65, 97}, {96, 131}};
    fs_weights weights = fs_test_weights(FS_PAPER, CLASSES, 3, 31);
    fscnn_engine *engine = fs_test_engine(&weights, FS_FP32, NULL, NULL);
    fscnn_session *sessions[3];
    uint8_t *frames[3];
    for (int i = 0; i < 3; i++) {
        sessions[i] = fs_test_session(engine, sizes[i][0], sizes[i][1], 1 + i);
        frames[i] = fs_test_frame(sizes[i][0], sizes[i][1], 3, 12);
    }
    for (int i = 0; i < 3; i++) {
        const exact_case c = {FS_PAPER, FS_FP32, sizes[i][0], sizes[i][1], "", ""};
        fs_test_run alone = open_run(&c, 1, false);
        fs_test_run_frame(&alone, frames[i], labels[0], logits[0]);
        fs_test_run_close(&alone);
        for (int j = 0; j < 3; j++) { // another session's frame between
            fscnn_frame frame;
            fscnn_frame_init(&frame, FSCNN_RGB8, sizes[(i + j) % 3][1], sizes[(i + j) % 3][0], frames[(i + j) % 3]);
            fscnn_outputs outputs;
            fscnn_outputs_init(&outputs);
            outputs.labels = labels[1], outputs.logits = logits[1];
            cr_assert_eq(fscnn_run(sessions[(i + j) % 3], &frame, &outputs), FSCNN_OK, "%s", fscnn_error());
            const size_t pixels = (size_t)(c.height * c.width);
            if (j == 0) cr_expect_eq(memcmp(labels[0], labels[1], pixels), 0);
            if (j == 0) cr_expect_eq(memcmp(logits[0], logits[1], pixels * CLASSES * 4), 0);
        }
    }
    for (int i = 0; i < 3; i++) {
        fscnn_session_close(&sessions[i]);
        fs_free(frames[i]);
    }
    fscnn_engine_close(&engine);
    fs_weights_free(&weights);
    cr_expect_eq(fs_mem_live_blocks(), 0);
}
