// Tests of the parts between kernels and networks: the head on whole maps, the pyramid's pools and branches.
#include <criterion/criterion.h>
#include <criterion/parameterized.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "cpu/head.h"
#include "cpu/pyramid.h"
#include "cpu/reference/reference.h"
#include "runtime/base/mem.h"
#include "tests/cpu/network.h"

static double half_value(uint16_t h) {
    const int exponent = h >> 10 & 31, mantissa = h & 1023;
    if (exponent == 31) return mantissa ? (double)NAN : INFINITY;
    return exponent ? ldexp(1024 + mantissa, exponent - 25) : ldexp(mantissa, -24);
}

// ---- The head: labels and logits of a map, against upsampling everything and taking the largest --------------------

typedef struct head_case {
    int height, width, classes;
    bool align;
    int kind; // 0: noise, 1: small integers, 2: regions, 3: equal everywhere, 4: checkers of two classes
} head_case;

static head_case heads[] = {
    {64, 64, 19, false, 0},  {64, 64, 19, true, 0},   {65, 67, 7, false, 1},   {65, 67, 7, true, 1},
    {97, 131, 2, false, 0},  {97, 131, 2, true, 1},   {64, 200, 19, false, 2}, {200, 64, 19, true, 2},
    {71, 90, 255, false, 0}, {71, 90, 255, true, 1},  {64, 72, 5, false, 3},   {64, 73, 5, true, 3},
    {99, 99, 3, false, 4},   {120, 201, 11, true, 2}, {66, 64, 4, true, 4},
};

static float logit(const head_case *c, int y, int x, int k, uint32_t *state) {
    switch (c->kind) {
    case 0: return fs_test_uniform(state, -4, 4);
    case 1: return (float)(fs_test_random(state) % 3);
    case 2: return ((y / 4 + x / 5) % c->classes == k ? 5.0f : 0.0f) + fs_test_uniform(state, 0, 0.5f);
    case 4: return (y + x) % 2 == k % 2 ? 1.0f : -1.0f;
    default: return 0.25f;
    }
}

ParameterizedTestParameters(cpu_head, whole_maps) {
    return cr_make_param_array(head_case, heads, sizeof heads / sizeof heads[0]);
}
ParameterizedTest(head_case *c, cpu_head, whole_maps) {
    fs_model model;
    fs_model_init(&model, FS_PAPER);
    model.classes = c->classes, model.align_final = c->align;
    fs_graph *graph = fs_calloc(1, sizeof *graph);
    cr_assert_eq(fs_graph_build(graph, &model, c->height, c->width), FS_OK, "%s", fs_error_text());
    const fs_tensor *map = &graph->tensor[graph->logits];
    const int stride_c = (c->classes + 15) / 16 * 16, h = map->h, w = map->w;
    const size_t pixels = (size_t)(c->height * c->width), classes = (size_t)c->classes;
    // One vector behind the map may be read.
    float *packed = fs_calloc((size_t)(h * w * stride_c) + 64, 4), *plain = fs_malloc((size_t)(h * w) * classes, 4);
    uint32_t state = 11;
    for (int y = 0; y < h; y++)
        for (int x = 0; x < w; x++)
            for (int k = 0; k < stride_c; k++) {
                // What pads the channels must not matter.
                const float v = k < c->classes ? logit(c, y, x, k, &state) : 1e9f;
                packed[(y * w + x) * stride_c + k] = v;
                if (k < c->classes) plain[(y * w + x) * c->classes + k] = v;
            }
    float *want = fs_malloc(pixels * classes, 4);
    fs_ref_resize(plain, h, w, c->classes, c->height, c->width, c->align, want);

    fs_head head;
    cr_assert_eq(fs_head_init(&head, graph, stride_c), FS_OK);
    const size_t space = fs_head_scratch(&head);
    char *scratch = fs_malloc(space + 64, 1);
    memset(scratch, 0x5a, space + 64);
    uint8_t *labels = fs_malloc(pixels, 1), *banded = fs_malloc(pixels, 1);
    float *logits = fs_malloc(pixels * classes, 4);
    const fs_kernels *tables[FS_TEST_TABLES];
    const int count = fs_test_tables(tables);
    for (int t = 0; t < count; t++) {
        memset(labels, 0xee, pixels);
        fs_head_labels(&head, tables[t], packed, 0, h, NULL, labels, (size_t)c->width, scratch);
        size_t wrong = 0;
        for (size_t p = 0; p < pixels; p++) {
            const float *v = want + p * classes;
            size_t best = 0;
            for (size_t k = 1; k < classes; k++)
                if (v[k] > v[best]) best = k;
            if (labels[p] != best) wrong += labels[p] >= classes || v[best] - v[labels[p]] > 4e-6f;
            if (c->kind == 3) wrong += labels[p] != 0;
        }
        cr_expect_eq(wrong, 0, "%s %dx%d, %d classes, align %d, kind %d: %zu labels", tables[t]->name, c->height,
                     c->width, c->classes, c->align, c->kind, wrong);
        // Any bands of grid rows give the same.
        for (int band = 1; band <= 5; band += 2) {
            memset(banded, 0xee, pixels);
            for (int y = 0; y < h; y += band)
                fs_head_labels(&head, tables[t], packed, y, y + band < h ? y + band : h, NULL, banded, (size_t)c->width,
                               scratch);
            cr_expect_eq(memcmp(labels, banded, pixels), 0, "%s: bands of %d", tables[t]->name, band);
        }
        for (int y = 0; y < h; y += 3)
            fs_head_logits(&head, tables[t], packed, y, y + 3 < h ? y + 3 : h, logits, scratch);
        float worst = 0;
        for (size_t p = 0; p < pixels; p++)
            for (size_t k = 0; k < classes; k++)
                worst = fmaxf(worst, fabsf(logits[k * pixels + p] - want[p * classes + k]));
        cr_expect_leq(worst, 2e-6f, "%s: logits off by %g", tables[t]->name, (double)worst);
    }
    // Confidence against the softmax of the logits, in bands; a NaN among the logits gives 0.
    uint8_t *sure = fs_malloc(pixels, 1);
    void *scores = fs_malloc(pixels * classes, 4);
    for (int t = 0; t < count; t++)
        for (int odd = 0; odd < 2; odd++) {
            float kept = packed[0];
            const fs_softmax softmax = {sure, (size_t)c->width, scores, t % 2 == odd};
            if (odd) packed[0] = NAN;
            for (int y = 0; y < h; y += 5)
                fs_head_softmax(&head, tables[t], packed, y, y + 5 < h ? y + 5 : h, &softmax, scratch);
            for (int y = 0; y < h; y += 5)
                fs_head_logits(&head, tables[t], packed, y, y + 5 < h ? y + 5 : h, logits, scratch);
            packed[0] = kept;
            double most = 0, off = 0;
            for (size_t i = 0; i < pixels; i++) {
                double sum = 0, high = -INFINITY;
                for (size_t k = 0; k < classes; k++) high = fmax(high, (double)logits[k * pixels + i]);
                for (size_t k = 0; k < classes; k++) sum += exp((double)logits[k * pixels + i] - high);
                const double exact = isnan(sum) ? 0 : 255 / sum;
                if (fabs(exact - sure[i]) > most) most = fabs(exact - sure[i]);
                for (size_t k = 0; k < classes; k++) {
                    const double value = exp((double)logits[k * pixels + i] - high) / sum;
                    const double have = softmax.half ? half_value(((uint16_t *)scores)[k * pixels + i])
                                                     : (double)((float *)scores)[k * pixels + i];
                    const double unit = softmax.half ? 0x1p-11 * value + 0x1p-25 : 0;
                    if (isnan(sum) != isnan(have)) off = INFINITY;
                    if (!isnan(sum) && fabs(have - value) - unit > off) off = fabs(have - value) - unit;
                }
            }
            cr_expect_leq(off, 2e-6, "%s: scores are off by %g, half %d", tables[t]->name, off, softmax.half);
            cr_expect_leq(most, 0.501, "%s: confidence is off by %g", tables[t]->name, most);
        }
    fs_free(sure);
    fs_free(scores);
    for (int i = 0; i < 64; i++) cr_expect_eq(scratch[space + (size_t)i], 0x5a, "writes behind its scratch memory");
    fs_head_free(&head);
    fs_free(scratch);
    fs_free(labels);
    fs_free(banded);
    fs_free(logits);
    fs_free(want);
    fs_free(plain);
    fs_free(packed);
    fs_free(graph);
    cr_expect_eq(fs_mem_live_blocks(), 0);
}

// ---- Pyramid pooling -----------------------------------------------------------------------------------------------

typedef struct pool_case {
    int h, w, stride;
} pool_case;
static pool_case pools[] = {{2, 2, 128},   {2, 7, 128},   {6, 6, 128}, {5, 3, 144},
                            {32, 64, 128}, {23, 51, 128}, {7, 13, 160}};
ParameterizedTestParameters(cpu_pyramid, pools) {
    return cr_make_param_array(pool_case, pools, sizeof pools / sizeof pools[0]);
}
ParameterizedTest(pool_case *c, cpu_pyramid, pools) {
    static const int bins[4] = {1, 2, 3, 6};
    const size_t size = (size_t)(c->h * c->w * c->stride);
    float *map = fs_malloc(size, 4), *plain = fs_malloc((size_t)(c->h * c->w) * 128, 4);
    uint16_t *half = fs_malloc(size, 2);
    float cells[36 * 128], want[36 * 128];
    const fs_kernels *tables[FS_TEST_TABLES];
    const int count = fs_test_tables(tables);
    uint32_t state = 5;
    for (size_t i = 0; i < size; i++) {
        const float x = fs_test_uniform(&state, -3, 5);
        uint32_t u;
        memcpy(&u, &x, 4);
        u &= 0xffff0000u; // a bf16 number, so that both maps hold the same
        memcpy(&map[i], &u, 4);
        half[i] = (uint16_t)(u >> 16);
    }
    for (int p = 0; p < c->h * c->w; p++) memcpy(plain + p * 128, map + p * c->stride, 128 * 4);
    for (int b = 0; b < 4; b++) {
        fs_ref_pool(plain, c->h, c->w, 128, bins[b], want);
        for (int t = 0; t < count; t++)
            for (int bf16 = 0; bf16 < 2; bf16++) {
                memset(cells, 0xff, sizeof cells);
                for (int c0 = 0; c0 < 128; c0 += 16)
                    fs_pyramid_pool(tables[t], bf16 ? (void *)half : (void *)map, bf16, c->h, c->w, 128, c->stride,
                                    bins[b], c0, cells);
                double worst = 0;
                for (int i = 0; i < bins[b] * bins[b] * 128; i++)
                    worst = fmax(worst, fabs((double)cells[i] - (double)want[i]));
                cr_expect(worst < 1e-5, "%s bf16 %d, %dx%d in %d bins: off by %g", tables[t]->name, bf16, c->h, c->w,
                          bins[b], worst);
            }
    }
    fs_free(map);
    fs_free(plain);
    fs_free(half);
    cr_expect_eq(fs_mem_live_blocks(), 0);
}

// The 50 cells through their branch, and through their slice of the output convolution where that is 1x1.
Test(cpu_pyramid, branches) {
    static const int first[5] = {0, 1, 5, 14, 50};
    static const fs_variant variants[] = {FS_PAPER, FS_MMSEG};
    static float cells[50 * 128], scratch[50 * 32], out[50 * 128 + 16];
    uint32_t state = 6;
    for (int i = 0; i < 50 * 128; i++) cells[i] = fs_test_uniform(&state, -1, 1);
    const fs_kernels *tables[FS_TEST_TABLES];
    const int count = fs_test_tables(tables);
    bool seen[2] = {false, false};
    for (int v = 0; v < 2; v++)
        for (int t = 0; t < count; t++) {
            fs_weights weights = fs_test_weights(variants[v], 19, 3, 8);
            const bool slices = weights.model.ppm_out_kernel == 1;
            seen[slices] = true;
            fs_cpu_engine *engine;
            cr_assert_eq(fs_cpu_engine_open_with(&weights, t % 2 ? FS_BF16 : FS_FP32, tables[t], &engine), FS_OK);
            memset(out, 0xee, sizeof out);
            fs_pyramid_branches(engine, cells, scratch, out);
            double worst = 0;
            for (int level = 0; level < 4; level++) {
                const fs_folded *branch = &weights.layer[FS_L_PPM + level], *mix = &weights.layer[FS_L_PPM_OUT];
                for (int i = first[level]; i < first[level + 1]; i++) {
                    double hidden[32];
                    for (int n = 0; n < 32; n++) {
                        double sum = (double)branch->bias[n];
                        for (int k = 0; k < 128; k++)
                            sum += (double)cells[i * 128 + k] * (double)branch->weight[k * 32 + n];
                        hidden[n] = sum > 0 ? sum : 0;
                        if (!slices) worst = fmax(worst, fabs((double)out[i * 32 + n] - hidden[n]));
                    }
                    for (int n = 0; n < 128 && slices; n++) {
                        double sum = 0;
                        for (int k = 0; k < 32; k++)
                            sum += hidden[k] * (double)mix->weight[(128 + 32 * level + k) * 128 + n];
                        worst = fmax(worst, fabs((double)out[i * 128 + n] - sum));
                    }
                }
            }
            cr_expect(worst < 1e-4, "%s %s: off by %g", tables[t]->name, fs_variant_name(variants[v]), worst);
            const size_t used = slices ? 50 * 128 * 4 : 50 * 32 * 4;
            for (size_t i = used; i < sizeof out; i++)
                cr_assert_eq(((uint8_t *)out)[i], 0xee, "writes behind its output");
            fs_cpu_engine_close(engine);
            fs_weights_free(&weights);
        }
    cr_expect(seen[0] && seen[1]);
    cr_expect_eq(fs_mem_live_blocks(), 0);
}

// Outputs of other sizes than the network's, one after the other with the same tables.
Test(cpu_head, other_sizes) {
    static const int sizes[][2] = {{9, 13}, {5, 200}, {131, 65}, {1, 1}, {8, 8}, {200, 3}};
    enum { CLASSES = 6, STRIDE = 16, SIDE = 72, MOST = 131 * 200 };
    static float plain[81 * CLASSES], want[MOST * CLASSES], logits[MOST * CLASSES];
    static uint8_t labels[MOST];
    for (int align = 0; align < 2; align++) {
        fs_model model;
        fs_model_init(&model, FS_PAPER);
        model.classes = CLASSES, model.align_final = align;
        fs_graph *graph = fs_calloc(1, sizeof *graph);
        cr_assert_eq(fs_graph_build(graph, &model, SIDE, SIDE), FS_OK, "%s", fs_error_text());
        fs_head network, head = {0};
        cr_assert_eq(fs_head_init(&network, graph, STRIDE), FS_OK);
        cr_assert(network.h * network.w == 81);
        float *packed = fs_calloc(81 * STRIDE + 64, sizeof *packed);
        char *scratch = fs_malloc(1, fs_head_scratch(&network));
        uint32_t state = 5;
        for (int i = 0; i < 81 * CLASSES; i++)
            plain[i] = packed[i / CLASSES * STRIDE + i % CLASSES] = fs_test_uniform(&state, -4, 4);
        const fs_kernels *tables[FS_TEST_TABLES];
        const int count = fs_test_tables(tables);
        for (size_t s = 0; s < sizeof sizes / sizeof sizes[0]; s++) {
            const int height = sizes[s][0], width = sizes[s][1];
            const size_t pixels = (size_t)(height * width);
            cr_assert_eq(fs_head_resize(&head, &network, height, width), FS_OK);
            cr_assert(fs_head_scratch(&head) == fs_head_scratch(&network));
            fs_ref_resize(plain, 9, 9, CLASSES, height, width, align, want);
            for (int t = 0; t < count; t++) {
                uint32_t counts[CLASSES] = {0}, seen[CLASSES] = {0};
                for (int y = 0; y < 9; y += 2) {
                    const int end = y + 2 < 9 ? y + 2 : 9;
                    fs_head_labels(&head, tables[t], packed, y, end, counts, labels, (size_t)width, scratch);
                    fs_head_logits(&head, tables[t], packed, y, end, logits, scratch);
                }
                for (size_t p = 0; p < pixels; p++) {
                    const float *v = want + p * CLASSES;
                    cr_assert_lt(labels[p], CLASSES);
                    seen[labels[p]]++;
                    for (int c = 0; c < CLASSES; c++) {
                        cr_assert_leq(v[c], v[labels[p]] + 4e-6f, "%s %dx%d: pixel %zu", tables[t]->name, height, width,
                                      p);
                        cr_assert_leq(fabsf(logits[(size_t)c * pixels + p] - v[c]), 2e-6f);
                    }
                }
                cr_assert_arr_eq(counts, seen, sizeof counts, "%s %dx%d: counts", tables[t]->name, height, width);
            }
        }
        fs_head_free(&head);
        fs_head_free(&network);
        fs_free(scratch);
        fs_free(packed);
        fs_free(graph);
    }
    cr_expect_eq(fs_mem_live_blocks(), 0);
}

// Every half from 0 to 1, and what lies half-way between two: ties go to the even one.
Test(cpu_head, halves) {
    enum { COUNT = 2 * 0x3c00 + 2 };
    static float in[COUNT], scale[COUNT];
    static uint16_t out[COUNT];
    const fs_kernels *tables[FS_TEST_TABLES];
    const int count = fs_test_tables(tables);
    for (int i = 0; i < COUNT - 1; i++) {
        const double below = half_value((uint16_t)(i / 2)), above = half_value((uint16_t)((i + 1) / 2));
        in[i] = (float)((below + above) / 2), scale[i] = 1.0f;
    }
    in[COUNT - 1] = NAN, scale[COUNT - 1] = 1.0f;
    for (int t = 0; t < count; t++) {
        tables[t]->scale_f16(in, scale, out, COUNT);
        for (int i = 0; i < COUNT - 1; i++)
            cr_assert_eq(out[i], i % 2 ? (i / 2 + 1) & ~1 : i / 2, "%s: %d", tables[t]->name, i);
        cr_expect(isnan(half_value(out[COUNT - 1])));
    }
}

// exp, over all that a difference of logits may be.
Test(cpu_head, exponentials) {
    enum { COUNT = 20003 };
    static float in[COUNT], values[COUNT], high[COUNT], sum[COUNT];
    const fs_kernels *tables[FS_TEST_TABLES];
    const int count = fs_test_tables(tables);
    for (int t = 0; t < count; t++) {
        for (int i = 0; i < COUNT; i++) in[i] = -90.0f * (float)i / COUNT, high[i] = sum[i] = 0.0f;
        in[1] = -INFINITY, in[2] = NAN, in[3] = -3e38f;
        memcpy(values, in, sizeof values);
        tables[t]->add_exp(values, high, sum, COUNT);
        cr_expect_arr_eq(values + 3, sum + 3, (COUNT - 3) * sizeof *sum, "%s", tables[t]->name);
        for (int i = 4; i < COUNT; i++) {
            const double want = exp((double)in[i]);
            cr_assert_leq(fabs((double)sum[i] - want), want * 1e-6 + 1e-37, "%s: exp(%g) = %g", tables[t]->name,
                          (double)in[i], (double)sum[i]);
        }
        cr_expect(sum[0] == 1.0f && sum[1] >= 0.0f && sum[1] < 1e-37f && isnan(sum[2]) && sum[3] < 1e-37f, "%s",
                  tables[t]->name);
    }
}
