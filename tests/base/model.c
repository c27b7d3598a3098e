// Tests of the variants, the switches, the layer table and the block of folded weights.
#include <criterion/criterion.h>
#include <criterion/parameterized.h>
#include <math.h>
#include <stdint.h>
#include <string.h>

#include "runtime/base/mem.h"
#include "runtime/model.h"

TestSuite(model);

typedef struct expected_variant {
    fs_variant variant;
    fs_stem_pad stem_pad;
    bool mid_relu;
    int ppm_out_kernel, ffm_dilation;
    bool align_ppm, align_ffm, align_final;
    float mean0, std0;
    long weights; // of all convolutions, 19 classes
} expected_variant;

static expected_variant variants[] = {
    {FS_PAPER, FS_STEM_PAD_ONE, false, 1, 4, false, false, false, 0.485f, 0.229f, 1114096},
    {FS_TRAMAC, FS_STEM_PAD_NONE, true, 1, 1, true, true, true, 0.485f, 0.229f, 1114096},
    {FS_MMSEG, FS_STEM_PAD_ONE, false, 3, 1, false, false, false, 0.485f, 0.229f, 1376240},
    {FS_PADDLESEG, FS_STEM_PAD_SAME, false, 3, 1, true, false, false, 0.5f, 0.5f, 1376240},
    {FS_LEFTTHOMAS, FS_STEM_PAD_ONE, false, 1, 4, true, true, true, 0.485f, 0.229f, 1114096},
};

ParameterizedTestParameters(model, variant_switches) {
    return cr_make_param_array(expected_variant, variants, sizeof variants / sizeof variants[0]);
}

ParameterizedTest(expected_variant *e, model, variant_switches) {
    fs_model model;
    fs_model_init(&model, e->variant);
    cr_assert_eq(fs_model_check(&model), FS_OK);
    cr_assert_eq(model.variant, e->variant);
    cr_assert_eq(model.channels, 3);
    cr_assert_eq(model.classes, 19);
    cr_assert_eq(model.stem_pad, e->stem_pad);
    cr_assert_eq(model.dsconv_mid_relu, e->mid_relu);
    cr_assert_eq(model.ppm_out_kernel, e->ppm_out_kernel);
    cr_assert_eq(model.ffm_dilation, e->ffm_dilation);
    cr_assert_not(model.ffm_exact_x4);
    cr_assert_eq(model.align_ppm, e->align_ppm);
    cr_assert_eq(model.align_ffm, e->align_ffm);
    cr_assert_eq(model.align_final, e->align_final);
    cr_assert_eq(model.mean[0], e->mean0);
    cr_assert_eq(model.std[0], e->std0);
    cr_assert_eq(model.mean[3], 0.4f);
    cr_assert_eq(model.std[3], 0.4f);
    cr_assert_eq(model.bn_epsilon, 1e-5f);

    fs_layer layers[FS_LAYERS];
    fs_model_layers(&model, layers);
    long weights = 0;
    for (int i = 0; i < FS_LAYERS; i++) weights += fs_layer_weight_count(&layers[i]);
    cr_assert_eq(weights, e->weights);
}

Test(model, names_go_there_and_back) {
    for (int v = 0; v < FS_VARIANTS; v++) {
        fs_variant parsed = FS_VARIANTS;
        cr_assert_eq(fs_variant_parse(fs_variant_name((fs_variant)v), &parsed), FS_OK);
        cr_assert_eq((int)parsed, v);
    }
    cr_assert_str_eq(fs_variant_name((fs_variant)77), "unknown");
}

Test(model, unknown_variant_lists_the_known) {
    fs_variant variant = FS_MMSEG;
    cr_assert_eq(fs_variant_parse("Paper", &variant), FS_ERR_ARGUMENT);
    cr_assert_eq(variant, FS_MMSEG);
    for (int v = 0; v < FS_VARIANTS; v++) cr_assert_not_null(strstr(fs_error_text(), fs_variant_name((fs_variant)v)));
}

Test(model, switches_take_their_values) {
    fs_model m;
    fs_model_init(&m, FS_PAPER);
    cr_assert_eq(fs_model_set(&m, "stem_pad", "none"), FS_OK);
    cr_assert_eq(m.stem_pad, FS_STEM_PAD_NONE);
    cr_assert_eq(fs_model_set(&m, "stem_pad", "same"), FS_OK);
    cr_assert_eq(m.stem_pad, FS_STEM_PAD_SAME);
    cr_assert_eq(fs_model_set(&m, "stem_pad", "one"), FS_OK);
    cr_assert_eq(m.stem_pad, FS_STEM_PAD_ONE);
    cr_assert_eq(fs_model_set(&m, "dsconv_mid_relu", "1"), FS_OK);
    cr_assert(m.dsconv_mid_relu);
    cr_assert_eq(fs_model_set(&m, "dsconv_mid_relu", "0"), FS_OK);
    cr_assert_not(m.dsconv_mid_relu);
    cr_assert_eq(fs_model_set(&m, "ppm_out_kernel", "3"), FS_OK);
    cr_assert_eq(m.ppm_out_kernel, 3);
    cr_assert_eq(fs_model_set(&m, "ffm_dilation", "1"), FS_OK);
    cr_assert_eq(m.ffm_dilation, 1);
    cr_assert_eq(fs_model_set(&m, "ffm_exact_x4", "1"), FS_OK);
    cr_assert(m.ffm_exact_x4);
    cr_assert_eq(fs_model_set(&m, "align_ppm", "1"), FS_OK);
    cr_assert_eq(fs_model_set(&m, "align_ffm", "1"), FS_OK);
    cr_assert_eq(fs_model_set(&m, "align_final", "1"), FS_OK);
    cr_assert(m.align_ppm && m.align_ffm && m.align_final);
    cr_assert_eq(fs_model_set(&m, "bn_epsilon", "1e-3"), FS_OK);
    cr_assert_eq(m.bn_epsilon, 1e-3f);
}

typedef struct bad_switch {
    char key[24], value[12], fragment[32];
} bad_switch;

static bad_switch bad_switches[] = {
    {"stem_pad", "two", "none, one or same"}, {"stem_pad", "", "none, one or same"},
    {"dsconv_mid_relu", "true", "0 or 1"},    {"ppm_out_kernel", "5", "1 or 3"},
    {"ppm_out_kernel", "33", "1 or 3"},       {"ffm_dilation", "2", "1 or 4"},
    {"ffm_exact_x4", "2", "0 or 1"},          {"align_ppm", " 1", "0 or 1"},
    {"align_ffm", "yes", "0 or 1"},           {"align_final", "", "0 or 1"},
    {"bn_epsilon", "-1e-5", "from 0 to 1"},   {"bn_epsilon", "nan", "from 0 to 1"},
    {"bn_epsilon", "1e-5x", "from 0 to 1"},   {"bn_eps", "1", "unknown model switch"},
    {"", "1", "unknown model switch"},
};

ParameterizedTestParameters(model, bad_switch_values) {
    return cr_make_param_array(bad_switch, bad_switches, sizeof bad_switches / sizeof bad_switches[0]);
}

ParameterizedTest(bad_switch *bad, model, bad_switch_values) {
    fs_model model, before;
    fs_model_init(&model, FS_PAPER);
    before = model;
    cr_assert_eq(fs_model_set(&model, bad->key, bad->value), FS_ERR_ARGUMENT);
    cr_assert_not_null(strstr(fs_error_text(), bad->fragment), "%s", fs_error_text());
    cr_assert_eq(memcmp(&model, &before, sizeof model), 0);
}

Test(model, check_refuses_each_field_out_of_range) {
    fs_model good;
    fs_model_init(&good, FS_PAPER);
#define REFUSED(change)                                                                                                \
    do {                                                                                                               \
        fs_model m = good;                                                                                             \
        change;                                                                                                        \
        cr_assert_eq(fs_model_check(&m), FS_ERR_ARGUMENT, #change);                                                    \
    } while (0)
    REFUSED(m.variant = FS_VARIANTS);
    REFUSED(m.channels = 2);
    REFUSED(m.channels = 5);
    REFUSED(m.classes = 1);
    REFUSED(m.classes = 256);
    REFUSED(m.classes = -3);
    REFUSED(m.stem_pad = (fs_stem_pad)3);
    REFUSED(m.ppm_out_kernel = 2);
    REFUSED(m.ffm_dilation = 0);
    REFUSED(m.bn_epsilon = -1);
    REFUSED(m.bn_epsilon = NAN);
    REFUSED(m.mean[1] = INFINITY);
    REFUSED(m.std[2] = 0);
    REFUSED(m.std[0] = -0.5f);
    REFUSED(m.std[0] = NAN);
    REFUSED(m.std[0] = 1e-45f);
    // A 3-channel model does not look at the 4th.
    good.std[3] = 0;
    cr_assert_eq(fs_model_check(&good), FS_OK);
    REFUSED(m.channels = 4);
}

Test(model, layer_table_chains) {
    fs_model model;
    fs_model_init(&model, FS_PAPER);
    model.channels = 4;
    model.classes = 7;
    fs_layer l[FS_LAYERS];
    fs_model_layers(&model, l);
    cr_assert_eq(l[FS_L_STEM].in_channels, 4);
    cr_assert_eq(l[FS_L_CLS_CONV].out_channels, 7);
    for (int b = 0; b < 3; b++) {
        for (int r = 0; r < 3; r++) {
            const fs_layer *expand = &l[FS_L_GFE_AT(b, r, 0)];
            cr_assert_eq(expand[0].out_channels, 6 * expand[0].in_channels);
            cr_assert_eq(expand[1].in_channels, expand[0].out_channels);
            cr_assert(expand[1].depthwise && expand[1].kernel == 3);
            cr_assert_eq(expand[2].in_channels, expand[1].out_channels);
            if (b + r > 0) cr_assert_eq(expand[0].in_channels, expand[-1].out_channels);
        }
    }
    cr_assert_str_eq(l[FS_L_GFE_AT(1, 2, 0)].name, "gfe.b2.2.expand");
    cr_assert_str_eq(l[FS_L_PPM + 3].name, "ppm.6");
    cr_assert_str_eq(l[FS_L_FFM_HIGH_PW].name, "ffm.high.pw");
    cr_assert_eq(l[FS_L_FFM_HIGH_PW].in_channels, 64);
    for (int i = 0; i < FS_LAYERS; i++) {
        cr_assert_eq(l[i].bn, i != FS_L_CLS_CONV);
        for (int k = 0; k < i; k++) cr_assert_str_neq(l[i].name, l[k].name);
        if (l[i].depthwise) cr_assert_eq(l[i].in_channels, l[i].out_channels);
    }
}

Test(model, weights_block_holds_every_layer_apart) {
    fs_model model;
    fs_model_init(&model, FS_MMSEG);
    fs_weights weights;
    cr_assert_eq(fs_weights_alloc(&weights, &model), FS_OK);
    cr_assert_eq(fs_mem_live_blocks(), 1);
    fs_layer layers[FS_LAYERS];
    fs_model_layers(&model, layers);
    const float *end = weights.block;
    for (int i = 0; i < FS_LAYERS; i++) {
        cr_assert_geq(weights.layer[i].weight, end);
        cr_assert_eq((uintptr_t)weights.layer[i].weight % FS_ALIGNMENT, 0);
        end = weights.layer[i].weight + fs_layer_weight_count(&layers[i]);
        cr_assert_geq(weights.layer[i].bias, end);
        cr_assert_eq((uintptr_t)weights.layer[i].bias % FS_ALIGNMENT, 0);
        end = weights.layer[i].bias + layers[i].out_channels;
    }
    cr_assert_leq((size_t)(end - weights.block) * sizeof(float), fs_mem_live_bytes());
    fs_weights_free(&weights);
    cr_assert_null(weights.block);
    fs_weights_free(&weights);
    cr_assert_eq(fs_mem_live_blocks(), 0);
}

Test(model, weights_alloc_without_memory_touches_nothing) {
    fs_model model;
    fs_model_init(&model, FS_PAPER);
    fs_weights weights, before;
    memset(&weights, 0x5a, sizeof weights);
    before = weights;
    fs_mem_fail_at(1, false);
    cr_assert_eq(fs_weights_alloc(&weights, &model), FS_ERR_MEMORY);
    cr_assert_eq(memcmp(&weights, &before, sizeof weights), 0);
}
