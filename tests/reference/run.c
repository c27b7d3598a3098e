// Tests of the whole reference network: outputs agree with one another, failures leave no trace.
#include <criterion/criterion.h>
#include <criterion/parameterized.h>
#include <math.h>
#include <stddef.h>
#include <string.h>

#include "cpu/reference/reference.h"
#include "runtime/base/mem.h"
#include "weights/weights.h"

static fs_graph graph;
static fs_labels names;
static fs_weights weights;
static uint8_t frame[128 * 160 * 4], labels[128 * 160];

static void open_network(fs_variant variant, int classes, int channels, int height, int width) {
    fs_model model;
    fs_model_init(&model, variant);
    model.classes = classes, model.channels = channels;
    cr_assert_eq(fs_weights_random(&model, 7, &weights, &names), FS_OK, "%s", fs_error_text());
    cr_assert_eq(fs_graph_build(&graph, &model, height, width), FS_OK, "%s", fs_error_text());
    uint32_t state = 1;
    for (int i = 0; i < height * width * channels; i++) {
        state = state * 1664525u + 1013904223u;
        frame[i] = (uint8_t)(state >> 24);
    }
}

typedef struct run_case {
    fs_variant variant;
    int classes, channels, height, width;
} run_case;
static run_case runs[] = {
    {FS_PAPER, 19, 3, 64, 64},      {FS_TRAMAC, 19, 3, 67, 95},      {FS_MMSEG, 2, 3, 96, 64},
    {FS_PADDLESEG, 255, 4, 64, 65}, {FS_LEFTTHOMAS, 11, 3, 127, 64},
};
ParameterizedTestParameters(ref_run, outputs_agree_with_one_another) {
    return cr_make_param_array(run_case, runs, sizeof runs / sizeof runs[0]);
}
ParameterizedTest(run_case *param, ref_run, outputs_agree_with_one_another) {
    open_network(param->variant, param->classes, param->channels, param->height, param->width);
    size_t pixels = (size_t)param->height * (size_t)param->width, classes = (size_t)param->classes;
    float *logits = fs_malloc(pixels * classes, sizeof(float));
    void *tensors[FS_MAX_TENSORS] = {0};
    cr_assert_eq(fs_ref_run(&graph, &weights, frame, labels, logits, tensors), FS_OK, "%s", fs_error_text());
    // Labels are the argmax of the logits, every tensor is there, and all is finite.
    for (size_t p = 0; p < pixels; p++) {
        size_t best = 0;
        for (size_t c = 1; c < classes; c++)
            if (logits[c * pixels + p] > logits[best * pixels + p]) best = c;
        cr_assert_eq(labels[p], best, "pixel %zu", p);
    }
    cr_expect_arr_eq(tensors[graph.labels], labels, pixels);
    cr_expect_arr_eq(tensors[graph.frame], frame, pixels * (size_t)param->channels);
    for (int i = 0; i < graph.tensors; i++) {
        cr_assert_not_null(tensors[i], "%s", graph.tensor[i].name);
        const fs_tensor *t = &graph.tensor[i];
        if (i == graph.frame || i == graph.labels) continue;
        const float *values = tensors[i];
        for (size_t k = 0; k < (size_t)t->h * (size_t)t->w * (size_t)t->c; k++)
            cr_assert(isfinite(values[k]), "%s", t->name);
    }
    for (int i = 0; i < graph.tensors; i++) fs_free(tensors[i]);

    // Asking for less changes nothing.
    static uint8_t again[sizeof labels];
    cr_assert_eq(fs_ref_run(&graph, &weights, frame, again, NULL, NULL), FS_OK);
    cr_expect_arr_eq(again, labels, pixels);
    cr_expect_eq(fs_ref_run(&graph, &weights, frame, NULL, NULL, NULL), FS_OK);
    fs_free(logits);
    fs_weights_free(&weights);
    cr_expect_eq(fs_mem_live_blocks(), 0);
}

Test(ref_run, last_bias_decides_when_all_weights_are_zero) {
    open_network(FS_PAPER, 19, 3, 64, 96);
    for (int l = 0; l < FS_LAYERS; l++) {
        memset(weights.layer[l].weight, 0, (size_t)fs_layer_weight_count(&graph.layers[l]) * sizeof(float));
        memset(weights.layer[l].bias, 0, (size_t)graph.layers[l].out_channels * sizeof(float));
    }
    for (int c = 0; c < 19; c++) weights.layer[FS_L_CLS_CONV].bias[c] = c == 13 || c == 17 ? 2.5f : -1.25f * (float)c;
    float *logits = fs_malloc(64 * 96 * 19, sizeof(float));
    cr_assert_eq(fs_ref_run(&graph, &weights, frame, labels, logits, NULL), FS_OK);
    for (int p = 0; p < 64 * 96; p++) {
        cr_expect_eq(labels[p], 13);
        for (int c = 0; c < 19; c++) cr_expect_eq(logits[c * 64 * 96 + p], weights.layer[FS_L_CLS_CONV].bias[c]);
    }
    fs_free(logits);
    fs_weights_free(&weights);
}

Test(ref_run, repeats_to_the_bit_and_depends_on_the_frame) {
    open_network(FS_PAPER, 19, 3, 128, 160);
    static uint8_t changed[sizeof labels];
    cr_assert_eq(fs_ref_run(&graph, &weights, frame, labels, NULL, NULL), FS_OK);
    cr_assert_eq(fs_ref_run(&graph, &weights, frame, changed, NULL, NULL), FS_OK);
    cr_expect_arr_eq(labels, changed, 128 * 160); // the same to the bit from run to run
    memset(frame, 128, sizeof frame);
    cr_assert_eq(fs_ref_run(&graph, &weights, frame, changed, NULL, NULL), FS_OK);
    cr_expect_arr_neq(labels, changed, 128 * 160);
    fs_weights_free(&weights);
}

Test(ref_run, every_failing_allocation_is_reported) {
    open_network(FS_TRAMAC, 5, 3, 64, 64);
    float *logits = fs_malloc(64 * 64 * 5, sizeof(float));
    size_t alive = fs_mem_live_blocks();
    int failures = 0;
    for (uint64_t n = 1;; n++) {
        void *tensors[FS_MAX_TENSORS] = {0};
        memset(labels, 0xee, sizeof labels);
        logits[0] = 12345.0f;
        fs_mem_fail_at(n, n % 2);
        fs_status status = fs_ref_run(&graph, &weights, frame, labels, logits, tensors);
        bool fired = fs_mem_fault_fired();
        fs_mem_fail_at(0, false);
        if (!fired) {
            cr_expect_eq(status, FS_OK);
            for (int i = 0; i < graph.tensors; i++) fs_free(tensors[i]);
            break;
        }
        failures++;
        cr_expect_eq(status, FS_ERR_MEMORY);
        cr_expect(labels[0] == 0xee && logits[0] == 12345.0f && tensors[0] == NULL);
        cr_expect_eq(fs_mem_live_blocks(), alive);
    }
    cr_expect_eq(failures, graph.tensors);
    fs_free(logits);
    fs_weights_free(&weights);
    cr_expect_eq(fs_mem_live_blocks(), 0);
}
