// Tests of the scalar reference operations: tiny cases worked by hand, and invariants.
#include <criterion/criterion.h>
#include <criterion/parameterized.h>
#include <float.h>
#include <math.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "cpu/reference/reference.h"

enum { LARGE = 64 * 1024 };
static float in[LARGE], out[LARGE], weight[LARGE], bias[1024];
static const fs_folded layer = {weight, bias};

static void fill(float *values, size_t count, uint32_t seed) {
    uint32_t state = seed * 2654435761u + 1;
    for (size_t i = 0; i < count; i++) {
        state = state * 1664525u + 1013904223u;
        values[i] = (float)(int32_t)state * 0x1p-31f;
    }
}

static fs_op conv_op(int kernel, int stride, int dilation, int pad) {
    return (fs_op){.kernel = kernel, .stride = stride, .dilation = dilation, .pad_top = pad, .pad_left = pad};
}

static void expect(const float *got, const float *want, size_t count) {
    for (size_t i = 0; i < count; i++)
        cr_expect_eq(got[i], want[i], "element %zu: %.9g, not %.9g", i, (double)got[i], (double)want[i]);
}

Test(ref_normalise, values_of_the_formula) {
    fs_model model;
    fs_model_init(&model, FS_PADDLESEG); // mean and std 0.5
    const uint8_t frame[6] = {0, 255, 51, 102, 204, 153};
    fs_ref_normalise(frame, 1, 2, &model, out);
    const float want[6] = {-1, 1, -0.6f, -0.2f, 0.6f, 0.2f};
    for (int i = 0; i < 6; i++) cr_expect_float_eq(out[i], want[i], 1e-7f);
}

Test(ref_normalise, each_channel_has_its_own_mean) {
    fs_model model;
    fs_model_init(&model, FS_PAPER);
    model.channels = 4;
    const uint8_t frame[8] = {0, 0, 0, 0, 255, 255, 255, 255};
    fs_ref_normalise(frame, 2, 1, &model, out);
    for (int c = 0; c < 4; c++) {
        cr_expect_float_eq(out[c], -model.mean[c] / model.std[c], 1e-6f);
        cr_expect_float_eq(out[4 + c], (1 - model.mean[c]) / model.std[c], 1e-6f);
    }
}

Test(ref_conv, one_by_one_is_a_matrix_product) {
    const float x[4] = {1, 2, -3, 4};                                  // 1 x 2 x 2
    const float w[6] = {1, 10, 100, 2, 20, 200}, b[3] = {0.5f, 0, -1}; // [ci][co]
    const fs_folded l = {(float *)w, (float *)b};
    fs_op op = conv_op(1, 1, 1, 0);
    fs_ref_conv(x, 1, 2, 2, &op, &l, 1, 2, 3, out);
    expect(out, (const float[]){5.5f, 50, 499, 5.5f, 50, 499}, 6);
}

Test(ref_conv, taps_are_in_row_order) {
    fill(in, 9, 1);
    for (int tap = 0; tap < 9; tap++) {
        memset(weight, 0, sizeof weight);
        weight[tap] = 1;
        fs_op op = conv_op(3, 1, 1, 0);
        fs_ref_conv(in, 3, 3, 1, &op, &layer, 1, 1, 1, out);
        cr_expect_eq(out[0], in[tap], "tap %d", tap);
    }
}

Test(ref_conv, identity_kernel_keeps_the_map) {
    enum { H = 7, W = 5, C = 70 }; // more than one block of channels
    fill(in, H * W * C, 2);
    memset(weight, 0, sizeof weight);
    for (int c = 0; c < C; c++) weight[(4 * C + c) * C + c] = 1; // centre tap
    fs_op op = conv_op(3, 1, 1, 1);
    fs_ref_conv(in, H, W, C, &op, &layer, H, W, C, out);
    expect(out, in, H * W * C);
}

Test(ref_conv, ones_count_the_taps_inside) {
    for (size_t i = 0; i < 64; i++) in[i] = weight[i] = 1;
    fs_op op = conv_op(3, 1, 1, 1);
    fs_ref_conv(in, 4, 4, 1, &op, &layer, 4, 4, 1, out);
    const float want[16] = {4, 6, 6, 4, 6, 9, 9, 6, 6, 9, 9, 6, 4, 6, 6, 4};
    expect(out, want, 16);
}

// Which taps a stride-2 stem reads of an axis of n pixels: counts of taps inside, per output, for the three paddings.
typedef struct stem_case {
    int n, lead, outputs, taps[4];
} stem_case;
static stem_case stems[] = {
    {6, 1, 3, {2, 3, 3}},    {6, 0, 2, {3, 3}},    {6, 0, 3, {3, 3, 2}}, // one, none, same on an even axis
    {7, 1, 4, {2, 3, 3, 2}}, {7, 0, 3, {3, 3, 3}},
};
ParameterizedTestParameters(ref_conv, stem_padding) {
    return cr_make_param_array(stem_case, stems, sizeof stems / sizeof stems[0]);
}
ParameterizedTest(stem_case *param, ref_conv, stem_padding) {
    for (size_t i = 0; i < 64; i++) in[i] = weight[i] = 1;
    fs_op op = conv_op(3, 2, 1, param->lead);
    fs_ref_conv(in, param->n, param->n, 1, &op, &layer, param->outputs, param->outputs, 1, out);
    for (int y = 0; y < param->outputs; y++)
        for (int x = 0; x < param->outputs; x++)
            cr_expect_eq(out[y * param->outputs + x], (float)(param->taps[y] * param->taps[x]), "%d, %d", y, x);
}

Test(ref_conv, padding_is_zero_and_not_the_border_pixel) {
    for (int i = 0; i < 9; i++) in[i] = 5, weight[i] = 0;
    weight[0] = 1; // above and to the left
    fs_op op = conv_op(3, 1, 1, 1);
    fs_ref_conv(in, 3, 3, 1, &op, &layer, 3, 3, 1, out);
    expect(out, (const float[]){0, 0, 0, 0, 5, 5, 0, 5, 5}, 9);
}

Test(ref_conv, padding_hides_a_weight_that_is_not_finite) {
    for (int i = 0; i < 9; i++) in[i] = 1, weight[i] = i == 0 ? INFINITY : 1;
    fs_op op = conv_op(3, 1, 1, 1);
    fs_ref_conv(in, 1, 1, 1, &op, &layer, 1, 1, 1, out);
    cr_expect_eq(out[0], 1.0f);
}

Test(ref_conv, sums_in_double) {
    // In float 2^24 + 1 + ... + 1 - 2^24 stays 0.
    enum { C = 258 };
    for (int i = 0; i < C; i++) in[i] = 1, weight[i] = 1;
    in[0] = 0x1p24f, in[C - 1] = -0x1p24f;
    fs_op op = conv_op(1, 1, 1, 0);
    fs_ref_conv(in, 1, 1, C, &op, &layer, 1, 1, 1, out);
    cr_expect_eq(out[0], (float)(C - 2));
}

Test(ref_conv, is_linear_up_to_rounding) {
    enum { H = 6, W = 7, CI = 5, CO = 9 };
    static float other[H * W * CI], sum[H * W * CI], a[H * W * CO], b[H * W * CO];
    fill(in, H * W * CI, 3), fill(other, H * W * CI, 4), fill(weight, 9 * CI * CO, 5);
    for (int i = 0; i < H * W * CI; i++) sum[i] = in[i] + other[i];
    fs_op op = conv_op(3, 1, 1, 1);
    fs_ref_conv(in, H, W, CI, &op, &layer, H, W, CO, a);
    fs_ref_conv(other, H, W, CI, &op, &layer, H, W, CO, b);
    fs_ref_conv(sum, H, W, CI, &op, &layer, H, W, CO, out);
    for (int i = 0; i < H * W * CO; i++) cr_expect_float_eq(out[i], a[i] + b[i], 1e-5f);
}

Test(ref_dwconv, is_a_dense_convolution_with_diagonal_weights) {
    enum { H = 9, W = 8, C = 67 };
    static float dense[9 * C * C], expected[H * W * C];
    fill(in, H * W * C, 6), fill(weight, 9 * C, 7), fill(bias, C, 8);
    for (int tap = 0; tap < 9; tap++)
        for (int c = 0; c < C; c++) dense[(tap * C + c) * C + c] = weight[tap * C + c];
    const fs_folded diagonal = {dense, bias};
    for (int stride = 1; stride <= 2; stride++) {
        int h = (H - 1) / stride + 1, w = (W - 1) / stride + 1;
        fs_op op = conv_op(3, stride, 1, 1);
        fs_ref_conv(in, H, W, C, &op, &diagonal, h, w, C, expected);
        fs_ref_dwconv(in, H, W, C, &op, &layer, h, w, out);
        expect(out, expected, (size_t)(h * w * C));
    }
}

Test(ref_dwconv, dilation_four_reads_four_away) {
    enum { N = 11 };
    memset(in, 0, sizeof in);
    in[5 * N + 5] = 1;
    for (int i = 0; i < 9; i++) weight[i] = (float)(i + 1);
    fs_op op = conv_op(3, 1, 4, 4);
    fs_ref_dwconv(in, N, N, 1, &op, &layer, N, N, out);
    for (int y = 0; y < N; y++)
        for (int x = 0; x < N; x++) {
            int dy = 5 - y, dx = 5 - x; // offset that reads the one set pixel
            bool hit = dy % 4 == 0 && dx % 4 == 0 && abs(dy) <= 4 && abs(dx) <= 4;
            float want = hit ? (float)((dy / 4 + 1) * 3 + dx / 4 + 1 + 1) : 0;
            cr_expect_eq(out[y * N + x], want, "%d, %d", y, x);
        }
}

Test(ref_dwconv, dilation_four_on_a_map_smaller_than_its_reach) {
    for (int i = 0; i < 9; i++) in[i] = 1, weight[i] = 1;
    fs_op op = conv_op(3, 1, 4, 4);
    fs_ref_dwconv(in, 3, 3, 1, &op, &layer, 3, 3, out);
    for (int i = 0; i < 9; i++) cr_expect_eq(out[i], 1.0f); // the centre tap alone lies inside
}

Test(ref_dwconv, bias_is_added_once) {
    memset(in, 0, sizeof in), fill(weight, 9 * 4, 9);
    for (int c = 0; c < 4; c++) bias[c] = (float)c - 1.5f;
    fs_op op = conv_op(3, 2, 1, 1);
    fs_ref_dwconv(in, 5, 5, 4, &op, &layer, 3, 3, out);
    for (int i = 0; i < 36; i++) cr_expect_eq(out[i], bias[i % 4]);
}

Test(ref_relu, clamps_at_zero_and_keeps_nan_visible) {
    const float x[5] = {-1, 0, 2.5f, -INFINITY, NAN};
    fs_ref_relu(x, 5, out);
    expect(out, (const float[]){0, 0, 2.5f, 0}, 4);
    cr_expect(isnan(out[4]));
}

Test(ref_relu, may_run_in_place) {
    fill(in, 1000, 10);
    fs_ref_relu(in, 1000, out);
    fs_ref_relu(in, 1000, in);
    expect(in, out, 1000);
}

Test(ref_add, adds) {
    const float a[3] = {1, -2, 0.5f}, b[3] = {2, 2, 0.25f};
    fs_ref_add(a, b, 3, out);
    expect(out, (const float[]){3, 0, 0.75f}, 3);
}

Test(ref_pool, one_bin_is_the_mean) {
    for (int i = 0; i < 6; i++) in[2 * i] = (float)i, in[2 * i + 1] = 1;
    fs_ref_pool(in, 2, 3, 2, 1, out);
    expect(out, (const float[]){2.5f, 1}, 2);
}

Test(ref_pool, bins_that_overlap_use_the_shared_pixels_twice) {
    // Three pixels a side in two bins: [0, 2) and [1, 3).
    for (int i = 0; i < 9; i++) in[i] = (float)(i + 1);
    fs_ref_pool(in, 3, 3, 1, 2, out);
    expect(out, (const float[]){3, 4, 6, 7}, 4);
}

Test(ref_pool, more_bins_than_pixels) {
    for (int i = 0; i < 4; i++) in[i] = (float)(i + 1);
    fs_ref_pool(in, 2, 2, 1, 6, out);
    for (int y = 0; y < 6; y++)
        for (int x = 0; x < 6; x++) cr_expect_eq(out[y * 6 + x], in[y / 3 * 2 + x / 3], "%d, %d", y, x);
}

Test(ref_pool, constant_field_stays_constant) {
    for (int i = 0; i < 12 * 23 * 70; i++) in[i] = 0.1f * (float)(i % 70);
    static const int counts[] = {1, 2, 3, 6};
    for (int k = 0; k < 4; k++) {
        fs_ref_pool(in, 12, 23, 70, counts[k], out);
        for (int i = 0; i < counts[k] * counts[k] * 70; i++) cr_expect_eq(out[i], in[i % 70]);
    }
}

Test(ref_resize, doubles_a_row_by_hand) {
    const float x[2] = {0, 4};
    fs_ref_resize(x, 1, 2, 1, 1, 4, false, out);
    expect(out, (const float[]){0, 1, 3, 4}, 4);
    fs_ref_resize(x, 1, 2, 1, 1, 5, true, out);
    expect(out, (const float[]){0, 1, 2, 3, 4}, 5);
}

Test(ref_resize, mixes_four_corners) {
    const float x[4] = {0, 1, 2, 5};
    fs_ref_resize(x, 2, 2, 1, 3, 3, true, out);
    expect(out, (const float[]){0, 0.5f, 1, 1, 2, 3, 2, 3.5f, 5}, 9);
}

Test(ref_resize, same_size_is_the_identity) {
    fill(in, 13 * 9 * 5, 11);
    for (int align = 0; align < 2; align++) {
        fs_ref_resize(in, 13, 9, 5, 13, 9, align, out);
        expect(out, in, 13 * 9 * 5);
    }
}

Test(ref_resize, constant_field_stays_constant) {
    for (int i = 0; i < 5 * 7 * 3; i++) in[i] = 0.1f + (float)(i % 3);
    static const int sizes[][2] = {{5, 7}, {40, 56}, {13, 17}, {3, 4}, {1, 1}, {39, 57}};
    for (int align = 0; align < 2; align++)
        for (int s = 0; s < 6; s++) {
            fs_ref_resize(in, 5, 7, 3, sizes[s][0], sizes[s][1], align, out);
            for (int i = 0; i < sizes[s][0] * sizes[s][1] * 3; i++) cr_expect_eq(out[i], in[i % 3]);
        }
}

Test(ref_resize, stays_between_its_corners) {
    fill(in, 8 * 8, 12);
    for (int align = 0; align < 2; align++) {
        fs_ref_resize(in, 8, 8, 1, 61, 61, align, out);
        for (int y = 0; y < 61; y++)
            for (int x = 0; x < 61; x++) {
                int top, left;
                float f;
                fs_resize_source(y, 8, 61, align, &top, &f);
                fs_resize_source(x, 8, 61, align, &left, &f);
                int bottom = top < 7 ? top + 1 : 7, right = left < 7 ? left + 1 : 7;
                float a = in[top * 8 + left], b = in[top * 8 + right], c = in[bottom * 8 + left],
                      d = in[bottom * 8 + right];
                cr_expect_geq(out[y * 61 + x], fminf(fminf(a, b), fminf(c, d)));
                cr_expect_leq(out[y * 61 + x], fmaxf(fmaxf(a, b), fmaxf(c, d)));
            }
    }
}

Test(ref_concat, keeps_input_order) {
    const float a[4] = {1, 2, 3, 4}, b[2] = {10, 20}, c[6] = {5, 6, 7, 8, 9, 0};
    const float *parts[3] = {a, b, c};
    const int channels[3] = {2, 1, 3};
    fs_ref_concat(parts, channels, 3, 2, out);
    expect(out, (const float[]){1, 2, 10, 5, 6, 7, 3, 4, 20, 8, 9, 0}, 12);
}

Test(ref_argmax, ties_go_to_the_lowest_index) {
    const float x[12] = {1, 3, 3, 2, 2, 2, -1, -1, -5, 0, 0, 1};
    uint8_t label[4];
    fs_ref_argmax(x, 4, 3, label);
    const uint8_t want[4] = {1, 0, 0, 2};
    cr_expect_arr_eq(label, want, 4);
}

Test(ref_argmax, zero_and_minus_zero_tie) {
    const float x[2] = {-0.0f, 0.0f};
    uint8_t label;
    fs_ref_argmax(x, 1, 2, &label);
    cr_expect_eq(label, 0);
}

Test(ref_argmax, extremes_and_255_classes) {
    for (int i = 0; i < 255; i++) in[i] = -INFINITY;
    uint8_t label;
    fs_ref_argmax(in, 1, 255, &label);
    cr_expect_eq(label, 0);
    in[254] = -FLT_MAX;
    fs_ref_argmax(in, 1, 255, &label);
    cr_expect_eq(label, 254);
    in[100] = INFINITY;
    fs_ref_argmax(in, 1, 255, &label);
    cr_expect_eq(label, 100);
}

// The two exact identities that the fused kernels rely on.
Test(ref_algebra, bilinear_upsampling_commutes_with_a_pointwise_convolution) {
    enum { H = 3, W = 4, CI = 6, CO = 5, OH = 11, OW = 13 };
    static float small[H * W * CO], large[OH * OW * CI], a[OH * OW * CO];
    fill(in, H * W * CI, 13), fill(weight, CI * CO, 14);
    fs_op op = conv_op(1, 1, 1, 0);
    for (int align = 0; align < 2; align++) {
        fs_ref_conv(in, H, W, CI, &op, &layer, H, W, CO, small);
        fs_ref_resize(small, H, W, CO, OH, OW, align, a);
        fs_ref_resize(in, H, W, CI, OH, OW, align, large);
        fs_ref_conv(large, OH, OW, CI, &op, &layer, OH, OW, CO, out);
        for (int i = 0; i < OH * OW * CO; i++) cr_expect_float_eq(out[i], a[i], 1e-6f);
    }
}

Test(ref_algebra, sum_of_two_pointwise_convolutions_is_one_over_the_concat) {
    enum { P = 10, CA = 7, CB = 4, CO = 6 };
    static float a[P * CA], b[P * CB], wa[CA * CO], wb[CB * CO], ya[P * CO], yb[P * CO], sum[P * CO],
        both[P * (CA + CB)];
    fill(a, P * CA, 15), fill(b, P * CB, 16), fill(wa, CA * CO, 17), fill(wb, CB * CO, 18);
    const fs_folded la = {wa, bias}, lb = {wb, bias};
    fs_op op = conv_op(1, 1, 1, 0);
    fs_ref_conv(a, 1, P, CA, &op, &la, 1, P, CO, ya);
    fs_ref_conv(b, 1, P, CB, &op, &lb, 1, P, CO, yb);
    fs_ref_add(ya, yb, P * CO, sum);
    memcpy(weight, wa, sizeof wa), memcpy(weight + CA * CO, wb, sizeof wb);
    const float *parts[2] = {a, b};
    const int channels[2] = {CA, CB};
    fs_ref_concat(parts, channels, 2, P, both);
    fs_ref_conv(both, 1, P, CA + CB, &op, &layer, 1, P, CO, out);
    for (int i = 0; i < P * CO; i++) cr_expect_float_eq(out[i], sum[i], 1e-6f);
}
