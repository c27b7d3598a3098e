// Opens networks for tests and compares what they compute.
#include "tests/cpu/network.h"

#include <criterion/criterion.h>
#include <math.h>
#include <string.h>

#include "cpu/backend.h"
#include "runtime/base/mem.h"

int fs_test_tables(const fs_kernels *tables[FS_TEST_TABLES]) {
    int count = 0;
    for (const fs_kernels *const *k = fs_kernels_runnable(); *k; k++) tables[count++] = *k;
    tables[count++] = &fs_kernels_wide;
    return count;
}

const fs_kernels *fs_test_table(const char *name) {
    const fs_kernels *tables[FS_TEST_TABLES];
    const int count = fs_test_tables(tables);
    for (int i = 0; i < count; i++)
        if (strcmp(tables[i]->name, name) == 0) return tables[i];
    return NULL;
}

void fs_test_calibrate(fs_weights *weights, int height, int width) {
    fs_calibration *c;
    cr_assert_eq(fs_calibration_open(weights, &c), FS_OK, "%s", fs_error_text());
    for (uint32_t seed = 7; seed <= 8; seed++) {
        uint8_t *frame = fs_test_frame(height, width, weights->model.channels, seed);
        cr_assert_eq(fs_calibration_add(c, frame, height, width), FS_OK, "%s", fs_error_text());
        fs_free(frame);
    }
    fs_quant quant[FS_LAYERS];
    double error[FS_LAYERS];
    cr_assert_eq(fs_calibration_result(c, quant, error), FS_OK, "%s", fs_error_text());
    fs_calibration_close(c);
    memcpy(weights->int8, quant, sizeof quant);
}

// An engine of the CPU backend, int8 on top of bf16 as the backend makes it.
static fs_cpu_engine *open_engine(const fs_weights *weights, fs_precision precision, const fs_kernels *kernels) {
    fs_cpu_engine *engine;
    const bool int8 = precision == FS_INT8;
    cr_assert_eq(fs_cpu_engine_open_with(weights, int8 ? FS_BF16 : precision, kernels, &engine), FS_OK, "%s",
                 fs_error_text());
    if (int8) cr_assert_eq(fs_cpu_engine_add_int8(engine, weights), FS_OK, "%s", fs_error_text());
    return engine;
}

fscnn_engine *fs_test_engine(const fs_weights *weights, fs_precision precision, const fs_kernels *kernels,
                             const char *disable_fusion) {
    fscnn_engine *e = fs_calloc(1, sizeof *e);
    cr_assert_not_null(e);
    atomic_init(&e->references, 1);
    e->backend = &fs_cpu_backend;
    e->model = weights->model;
    e->precision = precision;
    cr_assert_eq(fs_rewrites_parse(disable_fusion, &e->rewrites_off), FS_OK, "%s", fs_error_text());
    if (kernels) {
        e->state = open_engine(weights, precision, kernels);
    } else {
        const fs_engine_config config = {.precision = precision};
        cr_assert_eq(e->backend->engine_open(weights, &config, &e->state), FS_OK, "%s", fs_error_text());
    }
    return e;
}

fscnn_session *fs_test_session(fscnn_engine *engine, int height, int width, int threads) {
    fscnn_session_options options;
    fscnn_session_options_init(&options);
    options.height = height, options.width = width, options.threads = threads, options.tune = -1;
    fscnn_session *session = NULL;
    cr_assert_eq(fscnn_session_open(engine, &options, &session), FSCNN_OK, "%s", fscnn_error());
    return session;
}

fs_test_run fs_test_run_open(const fs_weights *weights, fs_precision precision, const fs_kernels *kernels, int height,
                             int width, int threads, unsigned rewrites_off, bool no_reuse) {
    fs_test_run run = {0};
    run.engine = open_engine(weights, precision, kernels);
    run.plan = fs_calloc(1, sizeof *run.plan);
    const fs_plan_options options = {.precision = precision,
                                     .rewrites_off = rewrites_off,
                                     .no_reuse = no_reuse,
                                     .channel_multiple = fs_cpu_backend.channel_multiple,
                                     .supports = fs_cpu_backend.supports};
    cr_assert_eq(fs_plan_build(run.plan, &weights->model, height, width, &options), FS_OK, "%s", fs_error_text());
    const fs_session_config config = {.threads = threads, .in_flight = 1, .tune = -1};
    cr_assert_eq(fs_cpu_session_open(run.engine, run.plan, &config, &run.session), FS_OK, "%s", fs_error_text());
    return run;
}

void fs_test_run_frame(const fs_test_run *run, const uint8_t *pixels, uint8_t *labels, float *logits) {
    const fs_graph *g = &run->plan->program.graph;
    const fs_frame frame = {.format = g->model.channels == 4 ? FS_RGBA8 : FS_RGB8,
                            .width = g->width,
                            .height = g->height,
                            .plane = {pixels},
                            .stride = {(size_t)g->width * (size_t)g->model.channels}};
    const fs_outputs outputs = {.labels = labels, .labels_stride = (size_t)g->width, .logits = logits};
    uint64_t ticket;
    cr_assert_eq(fs_cpu_session_submit(run->session, &frame, &outputs, &ticket), FS_OK, "%s", fs_error_text());
    cr_assert_eq(fs_cpu_session_wait(run->session, ticket, -1), FS_OK, "%s", fs_error_text());
}

void fs_test_run_close(fs_test_run *run) {
    fs_cpu_session_close(run->session);
    fs_free(run->plan);
    fs_cpu_engine_close(run->engine);
    memset(run, 0, sizeof *run);
}

uint32_t fs_test_random(uint32_t *state) {
    *state = *state * 1664525u + 1013904223u;
    return *state >> 8;
}

float fs_test_uniform(uint32_t *state, float low, float high) {
    return low + (high - low) * (float)fs_test_random(state) * 0x1p-24f;
}

uint8_t *fs_test_frame(int height, int width, int channels, uint32_t seed) {
    uint8_t *frame = fs_malloc((size_t)height * (size_t)width, (size_t)channels), *at = frame;
    cr_assert_not_null(frame);
    uint32_t state = seed;
    for (int y = 0; y < height; y++)
        for (int x = 0; x < width; x++)
            for (int c = 0; c < channels; c++)
                *at++ = (uint8_t)(x * (2 + c) + y * (3 - c) / 2 + (int)(fs_test_random(&state) & 63));
    return frame;
}

fs_weights fs_test_weights(fs_variant variant, int classes, int channels, uint64_t seed) {
    fs_model model;
    fs_model_init(&model, variant);
    model.classes = classes, model.channels = channels;
    fs_weights weights;
    cr_assert_eq(fs_weights_random(&model, seed, &weights, NULL), FS_OK, "%s", fs_error_text());
    return weights;
}

fs_difference fs_test_compare(size_t pixels, int classes, const uint8_t *want_labels, const float *want,
                              const uint8_t *labels, const float *logits, double margin) {
    fs_difference d = {0};
    const size_t count = pixels * (size_t)classes;
    double sum = 0, squares = 0, errors = 0;
    for (size_t i = 0; i < count; i++) {
        const double w = (double)want[i], e = fabs((double)logits[i] - w);
        sum += w, squares += w * w, errors += e * e;
        if (!(e <= d.error)) d.error = e;
    }
    const double deviation = sqrt(squares / (double)count - sum / (double)count * (sum / (double)count));
    d.error /= deviation;
    d.l2 = sqrt(errors / squares);
    if (isnan(d.l2)) d.l2 = d.error = (double)INFINITY;
    for (size_t p = 0; p < pixels && labels; p++) {
        if (labels[p] == want_labels[p]) continue;
        d.labels++;
        if (labels[p] >= classes ||
            (double)want[want_labels[p] * pixels + p] - (double)want[labels[p] * pixels + p] > margin * deviation)
            d.worse++;
    }
    return d;
}
