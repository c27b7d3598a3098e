// Tests of the whole reference network against the golden files.
#include <criterion/criterion.h>
#include <criterion/parameterized.h>
#include <stddef.h>
#include <string.h>

#include "cpu/reference/reference.h"
#include "runtime/base/mem.h"
#include "tests/golden/golden.h"
#include "weights/weights.h"

static fs_graph graph;
static fs_labels names;

typedef struct golden_case {
    char name[FS_GOLDEN_NAME];
} golden_case;

ParameterizedTestParameters(golden, reference) {
    static golden_case cases[FS_GOLDEN_MAX];
    static char list[FS_GOLDEN_MAX][FS_GOLDEN_NAME];
    int count = fs_golden_names(list);
    for (int i = 0; i < count; i++) memcpy(cases[i].name, list[i], FS_GOLDEN_NAME);
    return cr_make_param_array(golden_case, cases, (size_t)count);
}
ParameterizedTest(golden_case *param, golden, reference) {
    fs_golden g;
    fs_weights weights;
    cr_assert_eq(fs_golden_load(param->name, &g), FS_OK, "%s", fs_error_text());
    cr_assert_eq(fs_weights_random(&g.model, g.seed, &weights, &names), FS_OK, "%s", fs_error_text());
    cr_assert_eq(fs_graph_build(&graph, &g.model, g.height, g.width), FS_OK, "%s", fs_error_text());
    size_t pixels = (size_t)g.height * (size_t)g.width;
    uint8_t *labels = fs_malloc(pixels, 1);
    float *logits = fs_malloc(pixels * (size_t)g.model.classes, sizeof(float));
    cr_assert_eq(fs_ref_run(&graph, &weights, g.frame, labels, logits, NULL), FS_OK, "%s", fs_error_text());
    fs_golden_score score = fs_golden_compare(&g, labels, logits);
    cr_expect(fs_golden_passes_fp32(&score), "%s: labels %.5f, error %.3g, deviation %.3g", g.name, score.labels,
              score.error, score.deviation);
    // Double accumulation leaves only the rounding of each tensor to float.
    cr_expect_lt(score.l2, 2e-6, "%s: relative error %.3g", g.name, score.l2);
    fs_free(labels);
    fs_free(logits);
    fs_weights_free(&weights);
    fs_golden_free(&g);
    cr_expect_eq(fs_mem_live_blocks(), 0);
}

Test(golden, files_are_complete) {
    static char list[FS_GOLDEN_MAX][FS_GOLDEN_NAME];
    int count = fs_golden_names(list);
    cr_assert_geq(count, 16);
    bool seen[FS_VARIANTS] = {0};
    for (int i = 0; i < count; i++) {
        fs_golden g;
        cr_assert_eq(fs_golden_load(list[i], &g), FS_OK, "%s", fs_error_text());
        seen[g.model.variant] = true;
        cr_expect_geq(g.samples, 64, "%s", g.name);
        // A constant answer would prove little.
        size_t pixels = (size_t)g.height * (size_t)g.width, other = 0;
        for (size_t p = 0; p < pixels; p++) other += g.labels[p] != g.labels[0];
        cr_expect_gt(other, pixels / 20, "%s", g.name);
        fs_golden_free(&g);
    }
    for (int v = 0; v < FS_VARIANTS; v++) cr_expect(seen[v], "no case of %s", fs_variant_name((fs_variant)v));
}

Test(golden, comparison_notices_errors) {
    fs_golden g;
    cr_assert_eq(fs_golden_load("paper-65x64", &g), FS_OK, "%s", fs_error_text());
    size_t pixels = (size_t)g.height * (size_t)g.width, classes = (size_t)g.model.classes;
    uint8_t *labels = fs_malloc(pixels, 1);
    float *logits = fs_calloc(pixels * classes, sizeof(float));
    memcpy(labels, g.labels, pixels);
    for (size_t i = 0; i < (size_t)g.samples; i++)
        for (size_t c = 0; c < classes; c++)
            logits[c * pixels + (size_t)g.yx[2 * i] * (size_t)g.width + (size_t)g.yx[2 * i + 1]] =
                g.logits[i * classes + c];
    fs_golden_score score = fs_golden_compare(&g, labels, logits);
    cr_expect(fs_golden_passes_fp32(&score) && score.labels == 1 && score.error == 0 && score.l2 == 0);
    logits[0] += 0.05f * (float)score.deviation; // a corner, which is always sampled
    score = fs_golden_compare(&g, labels, logits);
    cr_expect_not(fs_golden_passes_fp32(&score));
    logits[0] = 0.0f / 0.0f;
    score = fs_golden_compare(&g, labels, logits);
    cr_expect_not(fs_golden_passes_fp32(&score));
    logits[0] = g.logits[0];
    for (size_t i = 0; i < pixels / 500; i++) labels[i] ^= 1;
    score = fs_golden_compare(&g, labels, logits);
    cr_expect_not(fs_golden_passes_fp32(&score));
    fs_free(labels);
    fs_free(logits);
    fs_golden_free(&g);
}

Test(golden, absent_case_is_an_error) {
    fs_golden g;
    cr_expect_eq(fs_golden_load("no-such-case", &g), FS_ERR_IO);
}
