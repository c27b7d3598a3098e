// Int8 on every kernel table against the scalar reference, to the last bit: bytes, products, whole layers, depthwise.
#include <float.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "cpu/int8.h"
#include "cpu/reference/reference.h"
#include "runtime/base/mem.h"
#include "tests/cpu/each_table.h"

enum { GUARD = 64, CANARY = 0xa5 };

static uint16_t half_of(float x) {
    uint32_t u;
    memcpy(&u, &x, 4);
    return (uint16_t)((u + (u >> 16 & 1) + 0x7fff) >> 16);
}

static float *floats(size_t count, float low, float high, uint32_t *s) {
    float *at = fs_malloc(count, sizeof *at);
    for (size_t i = 0; i < count; i++) at[i] = fs_test_uniform(s, low, high);
    return at;
}

// --- Bytes ---

static const fs_quant quants[] = {{1, 0}, {1, 255}, {1, 128}, {0.5f, 3}, {0.0123f, 131}, {1e-20f, 7}, {1e20f, 200}};

KERNEL_TEST(int8, bytes_are_the_references) {
    static const float edges[] = {0.0f,   -0.0f,  0.5f,   -0.5f,  1.5f,    2.5f,    -1.5f,    -2.5f,
                                  254.5f, 255.5f, 1e30f,  -1e30f, FLT_MAX, FLT_MIN, INFINITY, -INFINITY,
                                  NAN,    -NAN,   127.5f, 128.5f, 126.5f,  -128.5f, 1e-40f,   255.0f};
    enum { COUNT = 512, EDGES = sizeof edges / sizeof *edges };
    float in[COUNT];
    uint16_t half[COUNT];
    uint8_t out[COUNT + GUARD];
    uint32_t s = 5;
    for (size_t q = 0; q < sizeof quants / sizeof *quants; q++) {
        for (int i = 0; i < COUNT; i++) {
            in[i] = i < EDGES       ? edges[i]
                    : i < 2 * EDGES ? edges[i - EDGES] * quants[q].scale
                                    : fs_test_uniform(&s, -300, 300) * quants[q].scale;
            half[i] = isnan(in[i]) ? 0x7fc0 : half_of(in[i]);
        }
        for (int count = 16; count <= COUNT; count += 112) {
            memset(out, CANARY, sizeof out);
            k->u8_from_f32(in, fs_int8_input(quants[q]), out, (size_t)count);
            for (int i = 0; i < count; i++)
                CHECK(out[i] == fs_ref_quantise(in[i], quants[q]), "%s: %g with scale %g zero %d is %d, not %d",
                      k->name, (double)in[i], (double)quants[q].scale, quants[q].zero, out[i],
                      fs_ref_quantise(in[i], quants[q]));
            for (int i = count; i < count + GUARD; i++) CHECK(out[i] == CANARY, "%s: wrote past %d", k->name, count);
            k->u8_from_bf16(half, fs_int8_input(quants[q]), out, (size_t)count);
            for (int i = 0; i < count; i++)
                CHECK(out[i] == fs_ref_quantise(widen(half[i]), quants[q]), "%s: bf16 %g is %d, not %d", k->name,
                      (double)widen(half[i]), out[i], fs_ref_quantise(widen(half[i]), quants[q]));
        }
    }
}

// --- Products ---

// One product of random bytes, all extreme ones with `extreme`, against integers and single float operations.
static void one_product(const fs_kernels *k, int m, int n, int segments, int depth, bool extreme, uint32_t seed) {
    uint32_t s = seed;
    fs_gemm_u8 g = {.m = m, .n = n, .segments = segments, .relu = pick(&s, 0, 1), .c_float = pick(&s, 0, 1)};
    uint8_t *a[6] = {NULL};
    int total = 0;
    g.coarse = segments > 1 && !extreme ? pick(&s, 0, segments - 1) : 0;
    for (int i = 0; i < segments; i++) {
        g.segment[i].k = i == 0 ? depth : 4 * pick(&s, 1, 48);
        g.segment[i].stride = g.segment[i].k + pick(&s, 0, 2) * 16;
        const size_t bytes = (size_t)((m - 1) * g.segment[i].stride + g.segment[i].k);
        a[i] = fs_malloc(bytes, 1); // exactly, so that a sanitizer sees a read beyond
        for (size_t j = 0; j < bytes; j++) a[i][j] = (uint8_t)(extreme ? 255 : pick(&s, 0, 255));
        g.segment[i].a = a[i];
        total += g.segment[i].k;
    }
    int8_t *b = fs_malloc((size_t)(total * n), 1);
    for (int i = 0; i < total * n; i++)
        b[i] = (int8_t)(extreme ? (i / 4 % FS_PANEL % 2 ? -128 : 127) : pick(&s, -128, 127));
    int32_t *start = fs_malloc((size_t)n, sizeof *start);
    for (int i = 0; i < n; i++) start[i] = pick(&s, -80000, 80000);
    float *scale = floats((size_t)n, 0, 1e-3f, &s), *bias = floats((size_t)n, -3, 3, &s);
    g.b = b, g.start = start, g.scale = scale, g.bias = bias;
    const bool panels = pick(&s, 0, 1);
    g.c_stride = panels ? FS_PANEL : n + pick(&s, 0, 20), g.c_panel = panels ? (m + 1) * FS_PANEL : FS_PANEL;
    g.add_stride = n + 4;
    float *add = floats((size_t)(m * g.add_stride), -2, 2, &s);
    uint16_t *half = fs_malloc((size_t)(m * g.add_stride), sizeof *half);
    for (int i = 0; i < m * g.add_stride; i++) half[i] = half_of(add[i]);
    if (pick(&s, 0, 1)) g.add = g.c_float ? (void *)add : (void *)half;
    const size_t elem = g.c_float ? 4 : 2,
                 bytes = (size_t)((m - 1) * g.c_stride + (n / FS_PANEL - 1) * g.c_panel + FS_PANEL) * elem;
    uint8_t *c = fs_malloc(bytes + GUARD, 1), *want = fs_malloc(bytes + GUARD, 1);
    memset(c, CANARY, bytes + GUARD), memset(want, CANARY, bytes + GUARD);
    g.c = c;
    k->gemm_u8(&g);
    for (int y = 0; y < m; y++)
        for (int x = 0; x < n; x++) {
            int32_t sum = start[x];
            int at = 0;
            for (int i = 0; i < segments; i++)
                for (int j = (sum *= i && i == g.coarse ? 128 : 1, 0); j < g.segment[i].k; j++, at++)
                    sum += a[i][y * g.segment[i].stride + j] *
                           b[x / FS_PANEL * total * FS_PANEL + at / 4 * 64 + x % FS_PANEL * 4 + at % 4];
            const float product = (float)sum * scale[x];
            float r = product + bias[x];
            if (g.add) r += g.c_float ? add[y * g.add_stride + x] : widen(half[y * g.add_stride + x]);
            if (g.relu && !(r > 0)) r = 0;
            const size_t to = (size_t)(y * g.c_stride + x / FS_PANEL * g.c_panel + x % FS_PANEL) * elem;
            const uint16_t rounded = half_of(r);
            if (g.c_float)
                memcpy(want + to, &r, 4);
            else
                memcpy(want + to, &rounded, 2);
        }
    CHECK(memcmp(c, want, bytes + GUARD) == 0,
          "%s: other bits (m %d n %d k %d segments %d add %d relu %d float %d, seed %u)", k->name, m, n, total,
          segments, g.add != NULL, g.relu, g.c_float, seed);
    for (int i = 0; i < 6; i++) fs_free(a[i]);
    fs_free(b), fs_free(start), fs_free(scale), fs_free(bias), fs_free(add), fs_free(half), fs_free(c), fs_free(want);
}

KERNEL_TEST(int8, products_of_any_size) {
    uint32_t seed = 100;
    for (int m = 1; m <= 40; m++) one_product(k, m, m % 2 ? 48 : 32, 1, m % 3 ? 8 : 32, false, seed++);
    static const int n[] = {16, 32, 48, 96, 128, 384, 768}, depth[] = {4, 12, 64, 128, 260, 576, 768};
    for (size_t i = 0; i < sizeof n / sizeof *n; i++) {
        one_product(k, 5, n[i], 1, 24, false, seed++);
        one_product(k, 14, 48, 2, depth[i], false, seed++);
        one_product(k, 25, 32, 1, depth[i], false, seed++);
        one_product(k, 19, 32, 6, 12, false, seed++);
    }
}

KERNEL_TEST(int8, largest_sums_do_not_saturate) {
    for (uint32_t seed = 300; seed < 312; seed++) one_product(k, 13, 64, 1 + (int)seed % 2, 768, true, seed);
}

// Float rows to bytes to a layer's outputs, with weights packed as an engine does.
KERNEL_TEST(int8, a_layer_is_the_references) {
    static const int layers[] = {FS_L_LTD_DS1_PW, FS_L_GFE_AT(0, 0, 0), FS_L_GFE_AT(2, 2, 2), FS_L_CLS_DS1_PW};
    fs_weights w = fs_test_weights(FS_PAPER, 19, 3, 3);
    fs_layer table[FS_LAYERS];
    fs_model_layers(&w.model, table);
    uint32_t s = 77;
    for (int i = 0; i < FS_LAYERS; i++)
        if (fs_layer_takes_int8(i)) w.int8[i] = (fs_quant){fs_test_uniform(&s, 0.001f, 0.2f), pick(&s, 0, 255)};
    // A channel of zeros and one whose scale a float cannot hold give their bias.
    const int outputs = table[layers[1]].out_channels;
    for (int i = 0; i < table[layers[1]].in_channels; i++)
        w.layer[layers[1]].weight[i * outputs] = 0, w.layer[layers[1]].weight[i * outputs + 5] = 1e-44f;
    fs_int8 packed;
    float stem[27 * 32], stem_bias[32], pad[4] = {123.675f, 0, 255, 0};
    for (int i = 0; i < 27 * 32; i++) stem[i] = i % 32 == 7 ? 0 : fs_test_uniform(&s, -0.01f, 0.01f);
    for (int i = 0; i < 32; i++) stem_bias[i] = (float)i;
    cr_assert_eq(fs_int8_pack(&w, stem, stem_bias, pad, &packed), FS_OK);
    cr_expect(packed.stem_pad[0] == 124 && packed.stem_pad[2] == 255);
    for (int i = 0; i < 27 * 32; i++) { // what the two bytes of a weight stand for
        const int n = i % 32, at = i / 32 / 9 * 12 + i / 32 % 9;
        const int8_t *panel = packed.stem.panels + n / 16 * 2 * 36 * 16 + n % 16 * 4 + at % 4;
        const int q = 128 * panel[at / 4 * 64] + panel[(36 + at) / 4 * 64];
        const float scale = packed.stem.scale[n];
        cr_assert(fabsf((float)q * scale - stem[i]) <= 0.51f * scale && scale < 0.01f / 16000, "weight %d", i);
    }
    enum { PIXELS = 29 };
    for (size_t i = 0; i <= sizeof layers / sizeof *layers; i++) { // the last: both of the feature fusion
        const bool fusion = i == sizeof layers / sizeof *layers;
        const int parts = fusion ? 2 : 1, first = fusion ? FS_L_FFM_LOW_PW : layers[i], n = table[first].out_channels;
        const fs_packed_u8 *p = fusion ? &packed.ffm : &packed.layer[first];
        fs_gemm_u8 g = {.m = PIXELS, .n = p->n, .b = p->panels, .start = p->start, .scale = p->scale, .bias = p->bias};
        fs_ref_input input[2];
        float *in[2] = {NULL}, bias[768];
        uint8_t *bytes[2] = {NULL};
        for (int j = 0; j < n; j++) bias[j] = w.layer[first].bias[j] + (fusion ? w.layer[FS_L_FFM_HIGH_PW].bias[j] : 0);
        for (int j = 0; j < parts; j++) {
            const int layer = j ? FS_L_FFM_HIGH_PW : first, channels = table[layer].in_channels;
            in[j] = floats((size_t)(PIXELS * channels), -10, 10, &s);
            bytes[j] = fs_malloc((size_t)(PIXELS * channels), 1);
            k->u8_from_f32(in[j], fs_int8_input(w.int8[layer]), bytes[j], (size_t)(PIXELS * channels));
            g.segment[j].a = bytes[j], g.segment[j].stride = g.segment[j].k = channels, g.segments++;
            input[j] = (fs_ref_input){in[j], channels, w.int8[layer], w.layer[layer].weight};
        }
        float *want = fs_malloc((size_t)(PIXELS * n), sizeof *want),
              *got = fs_malloc((size_t)(PIXELS * n), sizeof *got);
        g.c = got, g.c_stride = n, g.c_panel = FS_PANEL, g.c_float = true;
        k->gemm_u8(&g);
        fs_ref_int8(input, parts, PIXELS, bias, n, want);
        CHECK(memcmp(got, want, (size_t)(PIXELS * n) * sizeof *want) == 0, "%s: layer %s: other bits", k->name,
              fusion ? "ffm" : table[first].name);
        for (int j = 0; j < 2; j++) fs_free(in[j]), fs_free(bytes[j]);
        fs_free(want), fs_free(got);
    }
    fs_int8_free(&packed);
    fs_weights_free(&w);
}

// --- Depthwise ---

KERNEL_TEST(int8, depthwise_bytes_are_its_floats_quantised) {
    uint32_t s = 9;
    for (int round = 0; round < 40; round++) {
        const int channels = FS_PANEL * pick(&s, 1, 5), width = pick(&s, 9, 40), stride = pick(&s, 1, 2),
                  dilation = stride == 1 && round % 3 == 0 ? 4 : 1, out = (width + stride - 1) / stride;
        const bool half = round % 2;
        float *weight = floats((size_t)(9 * channels), -1, 1, &s), *bias = floats((size_t)channels, -1, 1, &s);
        float *row[3];
        uint16_t *half_row[3];
        fs_depthwise d = {.end = width,
                          .pixel_stride = channels,
                          .panel_stride = FS_PANEL,
                          .x1 = out,
                          .stride = stride,
                          .dilation = dilation,
                          .pad_left = dilation,
                          .channels = channels,
                          .weight = weight,
                          .bias = bias,
                          .relu = round % 4 < 2,
                          .out_stride = channels,
                          .to_u8 = fs_int8_input((fs_quant){0.02f, round % 5 * 60})};
        for (int i = 0; i < 3; i++) {
            row[i] = floats((size_t)(width * channels), -1, 1, &s);
            half_row[i] = fs_malloc((size_t)(width * channels), sizeof **half_row);
            for (int j = 0; j < width * channels; j++)
                half_row[i][j] = half_of(row[i][j]), row[i][j] = widen(half_row[i][j]);
            d.row[i] = row[i];
        }
        float *wide = fs_malloc((size_t)(out * channels), sizeof *wide);
        uint8_t *want = fs_malloc((size_t)(out * channels), 1), *got = fs_calloc((size_t)(out * channels) + GUARD, 1);
        d.out = wide;
        k->depthwise_f32(&d);
        k->u8_from_f32(wide, d.to_u8, want, (size_t)(out * channels));
        memset(got, CANARY, (size_t)(out * channels) + GUARD);
        d.out = got;
        for (int i = 0; i < 3 && half; i++) d.row[i] = half_row[i];
        (half ? k->depthwise_bf16_to_u8 : k->depthwise_f32_to_u8)(&d);
        CHECK(memcmp(got, want, (size_t)(out * channels)) == 0, "%s: round %d: other bytes", k->name, round);
        for (int i = 0; i < GUARD; i++) CHECK(got[out * channels + i] == CANARY, "%s: wrote past its row", k->name);
        for (int i = 0; i < 3; i++) fs_free(row[i]), fs_free(half_row[i]);
        fs_free(weight), fs_free(bias), fs_free(wide), fs_free(want), fs_free(got);
    }
}
