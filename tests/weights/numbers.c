// Tests of the numbers: half formats, folding against an independent computation, layout.
#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/base/mem.h"
#include "tests/weights/files.h"
#include "weights/fold.h"
#include "weights/weights.h"

TestSuite(numbers);

static void parse_good(const test_file *file, fs_weights *weights) {
    bytes b = test_file_bytes(file);
    cr_assert_eq(fs_weights_parse(b.data, b.size, "numbers.safetensors", weights, NULL), FS_OK, "%s", fs_error_text());
    bytes_free(&b);
}

static void expect_same(const fs_weights *a, const fs_weights *b) {
    fs_layer layers[FS_LAYERS];
    fs_model_layers(&a->model, layers);
    for (int i = 0; i < FS_LAYERS; i++) {
        size_t count = (size_t)fs_layer_weight_count(&layers[i]);
        cr_assert_eq(memcmp(a->layer[i].weight, b->layer[i].weight, count * sizeof(float)), 0, "%s", layers[i].name);
        cr_assert_eq(memcmp(a->layer[i].bias, b->layer[i].bias, (size_t)layers[i].out_channels * sizeof(float)), 0);
    }
}

static void whole_file_in(const char *dtype) {
    test_file file = test_file_paper();
    fs_weights full, narrow;
    parse_good(&file, &full);
    // The test values are multiples of 1/64 of at most 2: exact in both half formats.
    for (int i = 0; i < file.count; i++) test_tensor_narrow(&file.tensor[i], dtype);
    parse_good(&file, &narrow);
    expect_same(&full, &narrow);
    fs_weights_free(&full);
    fs_weights_free(&narrow);
    test_file_free(&file);
}

Test(numbers, f16_file_reads_like_f32) {
    whole_file_in("F16");
}

Test(numbers, bf16_file_reads_like_f32) {
    whole_file_in("BF16");
}

// Reads `count` 16-bit patterns through the bias of the last layer, which folding leaves as it is.
static fs_status through_bias(const char *dtype, const uint16_t *patterns, int count, fs_weights *weights) {
    fs_model model;
    fs_model_init(&model, FS_PAPER);
    model.classes = count;
    test_file file = test_file_model(&model);
    test_tensor *bias = test_file_find(&file, "cls.conv.conv.bias");
    bias->dtype = dtype;
    bias->size = (size_t)count * 2;
    memcpy(bias->data, patterns, bias->size);
    bytes b = test_file_bytes(&file);
    fs_status status = fs_weights_parse(b.data, b.size, "half.safetensors", weights, NULL);
    bytes_free(&b);
    test_file_free(&file);
    return status;
}

Test(numbers, f16_extremes_and_subnormals) {
    const uint16_t patterns[] = {0x0000, 0x8000, 0x0001, 0x8001, 0x03ff, 0x0400,
                                 0x3c00, 0xc000, 0x7bff, 0xfbff, 0x3555, 0x0200};
    const float expected[] = {0.0f, -0.0f, 0x1p-24f, -0x1p-24f, 1023 * 0x1p-24f, 0x1p-14f,
                              1.0f, -2.0f, 65504.0f, -65504.0f, 0x1.554p-2f,     0x1p-15f};
    fs_weights weights;
    cr_assert_eq(through_bias("F16", patterns, 12, &weights), FS_OK, "%s", fs_error_text());
    const float *bias = weights.layer[FS_L_CLS_CONV].bias;
    cr_assert_eq(memcmp(bias, expected, sizeof expected), 0);
    fs_weights_free(&weights);
}

Test(numbers, every_f16_pattern_has_its_value) {
    uint16_t patterns[255];
    for (int start = 0; start < 0x10000; start += 8000) { // a sample of blocks; each load reads a whole model
        for (int i = 0; i < 255; i++) {
            patterns[i] = (uint16_t)(start + i * 31);
            if ((patterns[i] & 0x7c00) == 0x7c00) patterns[i] = (uint16_t)(patterns[i] & 0x83ff);
        }
        fs_weights weights;
        cr_assert_eq(through_bias("F16", patterns, 255, &weights), FS_OK, "%s", fs_error_text());
        for (int i = 0; i < 255; i++) {
            int exponent = patterns[i] >> 10 & 31, mantissa = patterns[i] & 0x3ff;
            double value = exponent == 0 ? ldexp(mantissa, -24) : ldexp(1024 + mantissa, exponent - 25);
            cr_assert_eq((double)weights.layer[FS_L_CLS_CONV].bias[i], patterns[i] & 0x8000 ? -value : value);
        }
        fs_weights_free(&weights);
    }
}

Test(numbers, bf16_extremes_and_subnormals) {
    const uint16_t patterns[] = {0x0000, 0x8000, 0x0001, 0x807f, 0x3f80, 0xc000, 0x7f7f, 0x0080};
    const float expected[] = {0.0f, -0.0f, 0x1p-133f, -127 * 0x1p-133f, 1.0f, -2.0f, 0x1.fep127f, 0x1p-126f};
    fs_weights weights;
    cr_assert_eq(through_bias("BF16", patterns, 8, &weights), FS_OK, "%s", fs_error_text());
    cr_assert_eq(memcmp(weights.layer[FS_L_CLS_CONV].bias, expected, sizeof expected), 0);
    fs_weights_free(&weights);
}

Test(numbers, half_infinities_and_nans_are_refused) {
    const uint16_t f16[][2] = {{0, 0x7c00}, {0, 0xfc00}, {0, 0x7c01}, {0, 0x7e00}};
    const uint16_t bf16[][2] = {{0, 0x7f80}, {0, 0xff80}, {0, 0x7f81}, {0, 0x7fc0}};
    for (int i = 0; i < 4; i++) {
        fs_weights weights;
        cr_assert_eq(through_bias("F16", f16[i], 2, &weights), FS_ERR_WEIGHTS);
        cr_assert_not_null(strstr(fs_error_text(), "cls.conv.conv.bias[1]"), "%s", fs_error_text());
        cr_assert_eq(through_bias("BF16", bf16[i], 2, &weights), FS_ERR_WEIGHTS);
        cr_assert_not_null(strstr(fs_error_text(), "cls.conv.conv.bias[1]"), "%s", fs_error_text());
    }
}

Test(numbers, folding_follows_the_formula_in_every_layer) {
    fs_model model;
    fs_model_init(&model, FS_MMSEG);
    test_file file = test_file_model(&model);
    test_file_meta(&file, "fastscnn.variant", "mmseg");
    // Convolution biases are allowed anywhere, and take part.
    float *extra = test_tensor_floats(test_file_add(&file, "ltd.conv.conv.bias", "F32", 4, 1, (uint64_t[]){32}));
    for (int i = 0; i < 32; i++) extra[i] = (float)i / 16;
    fs_weights weights;
    parse_good(&file, &weights);
    fs_layer layers[FS_LAYERS];
    fs_model_layers(&model, layers);
    for (int i = 0; i < FS_LAYERS - 1; i++) {
        const fs_layer *l = &layers[i];
        char name[64];
        const float *part[5];
        const char *const names[] = {"conv.weight", "bn.weight", "bn.bias", "bn.running_mean", "bn.running_var"};
        for (int p = 0; p < 5; p++) {
            snprintf(name, sizeof name, "%s.%s", l->name, names[p]);
            part[p] = test_tensor_floats(test_file_find(&file, name));
        }
        int inputs = l->depthwise ? 1 : l->in_channels, taps = l->kernel * l->kernel;
        for (int co = 0; co < l->out_channels; co++) {
            double s = (double)part[1][co] / sqrt((double)part[4][co] + (double)1e-5f);
            double b = (double)part[2][co] + ((i == FS_L_STEM ? (double)extra[co] : 0) - (double)part[3][co]) * s;
            cr_assert_eq(weights.layer[i].bias[co], (float)b);
            for (int ci = 0; ci < inputs; ci++)
                for (int t = 0; t < taps; t++)
                    if (weights.layer[i].weight[(t * inputs + ci) * l->out_channels + co] !=
                        (float)((double)part[0][(co * inputs + ci) * taps + t] * s))
                        cr_assert_fail("%s output %d input %d tap %d", l->name, co, ci, t);
        }
    }
    fs_weights_free(&weights);
    test_file_free(&file);
}

Test(numbers, fold_without_batch_norm_or_bias_is_a_transpose) {
    const fs_layer layer = {.name = "t", .in_channels = 2, .out_channels = 3, .kernel = 1};
    const float source[] = {1, 2, 3, 4, 5, 6}, expected[] = {1, 3, 5, 2, 4, 6};
    float weight[6], bias[3] = {9, 9, 9};
    fs_folded out = {weight, bias};
    cr_assert_eq(fs_fold(&layer, &(fs_unfolded){.weight = source}, 1e-5, &out), FS_OK);
    cr_assert_eq(memcmp(weight, expected, sizeof expected), 0);
    cr_assert(bias[0] == 0 && bias[1] == 0 && bias[2] == 0);
}

Test(numbers, last_layer_keeps_its_bits) {
    test_file file = test_file_paper();
    fs_weights weights;
    parse_good(&file, &weights);
    const float *w = test_tensor_floats(test_file_find(&file, "cls.conv.conv.weight"));
    const float *b = test_tensor_floats(test_file_find(&file, "cls.conv.conv.bias"));
    for (int co = 0; co < 19; co++) {
        cr_assert_eq(weights.layer[FS_L_CLS_CONV].bias[co], b[co]);
        for (int ci = 0; ci < 128; ci++)
            cr_assert_eq(weights.layer[FS_L_CLS_CONV].weight[ci * 19 + co], w[co * 128 + ci]);
    }
    fs_weights_free(&weights);
    test_file_free(&file);
}
