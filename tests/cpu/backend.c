// Tests of the whole CPU backend: golden cases, the scalar reference, fusion on and off, frame formats, outputs.
#include <criterion/criterion.h>
#include <criterion/parameterized.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cpu/reference/reference.h"
#include "runtime/base/mem.h"
#include "tests/cpu/network.h"
#include "tests/golden/golden.h"
#include "weights/weights.h"

// Relative L2 error of the logits that each precision may have; bf16 keeps 8 bits of every number.
#define FP32_L2 1e-5
#define BF16_L2 0.12
// Two classes closer than this many standard deviations of the logits may swap.
#define FP32_MARGIN 1e-4

static const fs_precision precisions[] = {FS_FP32, FS_BF16};

static void expect_close(const fs_difference *d, fs_precision precision, const char *what) {
    cr_expect_leq(d->l2, precision == FS_FP32 ? FP32_L2 : BF16_L2, "%s: relative error %.3g", what, d->l2);
    if (precision == FS_FP32)
        cr_expect_eq(d->worse, 0, "%s: %zu of %zu other labels are no ties", what, d->worse, d->labels);
}

static fscnn_frame rgb_frame(int height, int width, int channels, const uint8_t *pixels) {
    fscnn_frame frame;
    fscnn_frame_init(&frame, channels == 4 ? FSCNN_RGBA8 : FSCNN_RGB8, width, height, pixels);
    return frame;
}

static void run(fscnn_session *session, const fscnn_frame *frame, uint8_t *labels, float *logits) {
    fscnn_outputs outputs;
    fscnn_outputs_init(&outputs);
    outputs.labels = labels, outputs.logits = logits;
    cr_assert_eq(fscnn_run(session, frame, &outputs), FSCNN_OK, "%s", fscnn_error());
}

// ---- Golden cases: every table, both precisions --------------------------------------------------------------------

typedef struct golden_case {
    char name[FS_GOLDEN_NAME], table[16];
    fs_precision precision;
} golden_case;

ParameterizedTestParameters(cpu_golden, every_table) {
    static golden_case cases[FS_GOLDEN_MAX * FS_TEST_TABLES * 2];
    static char names[FS_GOLDEN_MAX][FS_GOLDEN_NAME];
    const fs_kernels *tables[FS_TEST_TABLES];
    const int count = fs_golden_names(names), table_count = fs_test_tables(tables);
    size_t n = 0;
    for (int i = 0; i < count; i++)
        for (int t = 0; t < table_count; t++)
            for (int p = 0; p < 2; p++, n++) {
                memcpy(cases[n].name, names[i], FS_GOLDEN_NAME);
                snprintf(cases[n].table, sizeof cases[n].table, "%s", tables[t]->name);
                cases[n].precision = precisions[p];
            }
    return cr_make_param_array(golden_case, cases, n);
}
ParameterizedTest(golden_case *param, cpu_golden, every_table) {
    fs_golden g;
    fs_weights weights;
    cr_assert_eq(fs_golden_load(param->name, &g), FS_OK, "%s", fs_error_text());
    cr_assert_eq(fs_weights_random(&g.model, g.seed, &weights, NULL), FS_OK, "%s", fs_error_text());
    const bool wide = strcmp(param->table, "wide") == 0;
    setenv("FASTSCNN_CPU_ISA", param->table, 1);
    fscnn_engine *engine = fs_test_engine(&weights, param->precision, wide ? &fs_kernels_wide : NULL, NULL);
    const fs_cpu_engine *state = engine->state;
    cr_assert_str_eq(state->kernels->name, param->table);
    cr_assert_eq(state->bf16_rows, param->precision == FS_BF16 && state->kernels->bf16_dot);
    fscnn_session *session = fs_test_session(engine, g.height, g.width, 2);
    const size_t pixels = (size_t)g.height * (size_t)g.width;
    uint8_t *labels = fs_malloc(pixels, 1);
    float *logits = fs_malloc(pixels * (size_t)g.model.classes, sizeof(float));
    const fscnn_frame frame = rgb_frame(g.height, g.width, g.model.channels, g.frame);
    run(session, &frame, labels, logits);
    const fs_golden_score score = fs_golden_compare(&g, labels, logits);
    if (param->precision == FS_FP32)
        cr_expect(fs_golden_passes_fp32(&score), "%s %s: labels %.5f, error %.3g, deviation %.3g", g.name, param->table,
                  score.labels, score.error, score.deviation);
    cr_expect_leq(score.l2, param->precision == FS_FP32 ? FP32_L2 : BF16_L2, "%s %s %s: relative error %.3g", g.name,
                  param->table, fs_precision_name(param->precision), score.l2);
    fscnn_session_close(&session);
    fscnn_engine_close(&engine);
    fs_free(labels);
    fs_free(logits);
    fs_weights_free(&weights);
    fs_golden_free(&g);
    cr_expect_eq(fs_mem_live_blocks(), 0);
}

Test(cpu_golden, isa_is_a_limit) {
    fs_weights weights = fs_test_weights(FS_PAPER, 19, 3, 1);
    for (const fs_kernels *const *k = fs_kernels_runnable(); *k; k++) {
        setenv("FASTSCNN_CPU_ISA", (*k)->name, 1);
        fscnn_engine *engine;
        cr_assert_eq(fscnn_engine_open("random:1", NULL, &engine), FSCNN_OK, "%s", fscnn_error());
        fscnn_engine_info info;
        fscnn_engine_info_init(&info);
        cr_assert_eq(fscnn_engine_get_info(engine, &info), FSCNN_OK);
        cr_expect_not_null(strstr(info.device, (*k)->name), "%s", info.device);
        cr_expect_eq(info.precision, (*k)->bf16_dot ? FSCNN_PRECISION_BF16 : FSCNN_PRECISION_FP32);
        fscnn_engine_close(&engine);
    }
    // What nobody knows, or this processor lacks, falls back to the best.
    setenv("FASTSCNN_CPU_ISA", "mmx", 1);
    fs_cpu_engine *state;
    cr_assert_eq(fs_cpu_engine_open(&weights, FS_FP32, getenv("FASTSCNN_CPU_ISA"), &state), FS_OK);
    cr_expect_eq(state->kernels, fs_kernels_runnable()[0]);
    fs_cpu_engine_close(state);
    fs_weights_free(&weights);
}

// ---- The scalar reference: odd sizes, all variants -----------------------------------------------------------------

typedef struct reference_case {
    fs_variant variant;
    int height, width, classes, channels;
    bool exact_x4;
} reference_case;

ParameterizedTestParameters(cpu_reference, odd_sizes) {
    static const int sizes[][2] = {{64, 64}, {65, 67}, {97, 131}, {64, 200}, {200, 64}};
    static reference_case cases[32];
    size_t n = 0;
    for (int v = 0; v < FS_VARIANTS; v++)
        for (int s = 0; s < 5; s++)
            cases[n++] = (reference_case){(fs_variant)v, sizes[s][0], sizes[s][1], 19, 3, false};
    for (int v = 0; v < FS_VARIANTS; v++) // few and many classes, a 4th channel, in turns
        cases[n++] = (reference_case){(fs_variant)v, 71, 77, v % 2 ? 2 : 255, v % 3 == 2 ? 3 : 4, false};
    cases[n++] = (reference_case){FS_TRAMAC, 97, 131, 5, 4, true};
    return cr_make_param_array(reference_case, cases, n);
}
ParameterizedTest(reference_case *c, cpu_reference, odd_sizes) {
    fs_model model;
    fs_model_init(&model, c->variant);
    model.classes = c->classes, model.channels = c->channels, model.ffm_exact_x4 |= c->exact_x4;
    fs_weights weights;
    cr_assert_eq(fs_weights_random(&model, 100, &weights, NULL), FS_OK, "%s", fs_error_text());
    fs_graph *graph = fs_calloc(1, sizeof *graph);
    cr_assert_eq(fs_graph_build(graph, &model, c->height, c->width), FS_OK, "%s", fs_error_text());
    const size_t pixels = (size_t)c->height * (size_t)c->width, values = pixels * (size_t)c->classes;
    uint8_t *frame = fs_test_frame(c->height, c->width, c->channels, 7);
    uint8_t *want_labels = fs_malloc(pixels, 1), *labels = fs_malloc(pixels, 1);
    float *want = fs_malloc(values, sizeof(float)), *logits = fs_malloc(values, sizeof(float));
    cr_assert_eq(fs_ref_run(graph, &weights, frame, want_labels, want, NULL), FS_OK, "%s", fs_error_text());
    const fscnn_frame input = rgb_frame(c->height, c->width, c->channels, frame);
    const fs_kernels *tables[FS_TEST_TABLES];
    const int count = fs_test_tables(tables);
    for (int t = 0; t < count; t++)
        for (int p = 0; p < 2; p++) {
            fscnn_engine *engine = fs_test_engine(&weights, precisions[p], tables[t], NULL);
            fscnn_session *session = fs_test_session(engine, c->height, c->width, 1);
            run(session, &input, labels, logits);
            const fs_difference d = fs_test_compare(pixels, c->classes, want_labels, want, labels, logits, FP32_MARGIN);
            char what[128];
            snprintf(what, sizeof what, "%s %dx%d, %d classes, %d channels, %s, %s", fs_variant_name(c->variant),
                     c->height, c->width, c->classes, c->channels, tables[t]->name, fs_precision_name(precisions[p]));
            expect_close(&d, precisions[p], what);
            fscnn_session_close(&session);
            fscnn_engine_close(&engine);
        }
    fs_free(frame);
    fs_free(labels);
    fs_free(want_labels);
    fs_free(logits);
    fs_free(want);
    fs_free(graph);
    fs_weights_free(&weights);
    cr_expect_eq(fs_mem_live_blocks(), 0);
}

// ---- Fusion switched off, one rewrite at a time and all together ---------------------------------------------------

typedef struct fusion_case {
    char off[32];
    fs_precision precision;
} fusion_case;

ParameterizedTestParameters(cpu_fusion, off_changes_only_rounding) {
    static fusion_case cases[64];
    size_t n = 0;
    for (int p = 0; p < 2; p++)
        for (int i = 0; i <= fs_rewrite_count; i++, n++) {
            snprintf(cases[n].off, sizeof cases[n].off, "%s", i < fs_rewrite_count ? fs_rewrites[i].name : "all");
            cases[n].precision = precisions[p];
        }
    return cr_make_param_array(fusion_case, cases, n);
}
ParameterizedTest(fusion_case *c, cpu_fusion, off_changes_only_rounding) {
    enum { HEIGHT = 97, WIDTH = 131, CLASSES = 19, PIXELS = HEIGHT * WIDTH };
    static uint8_t labels[2][PIXELS];
    static float logits[2][PIXELS * CLASSES];
    uint8_t *frame = fs_test_frame(HEIGHT, WIDTH, 3, 3);
    const fscnn_frame input = rgb_frame(HEIGHT, WIDTH, 3, frame);
    const fs_kernels *tables[2] = {fs_kernels_select(NULL), &fs_kernels_wide};
    for (int v = 0; v < FS_VARIANTS; v++)
        for (int t = 0; t < 2; t++) {
            fs_weights weights = fs_test_weights((fs_variant)v, CLASSES, 3, 5);
            for (int off = 0; off < 2; off++) {
                fscnn_engine *engine = fs_test_engine(&weights, c->precision, tables[t], off ? c->off : NULL);
                fscnn_session *session = fs_test_session(engine, HEIGHT, WIDTH, 2);
                run(session, &input, labels[off], logits[off]);
                fscnn_session_close(&session);
                fscnn_engine_close(&engine);
            }
            const fs_difference d =
                fs_test_compare(PIXELS, CLASSES, labels[0], logits[0], labels[1], logits[1], FP32_MARGIN);
            char what[96];
            snprintf(what, sizeof what, "%s without %s, %s, %s", fs_variant_name((fs_variant)v), c->off,
                     tables[t]->name, fs_precision_name(c->precision));
            expect_close(&d, c->precision, what);
            if (c->precision == FS_FP32) cr_expect_leq(d.error, 1e-4, "%s: %.3g deviations", what, d.error);
            fs_weights_free(&weights);
        }
    fs_free(frame);
}

// ---- Frame formats -------------------------------------------------------------------------------------------------

enum { F_HEIGHT = 66, F_WIDTH = 75, F_PIXELS = F_HEIGHT * F_WIDTH, F_CLASSES = 19, F_STRIDE = 4 * F_WIDTH + 13 };

// One picture in a format, rows padded with garbage up to F_STRIDE (stride) or packed (0).
static uint8_t *in_format(fscnn_format format, const uint8_t *rgba, size_t stride) {
    static const int bytes[] = {0, 3, 3, 4, 4, 1};
    static const int orders[][4] = {{0}, {0, 1, 2, 3}, {2, 1, 0, 3}, {0, 1, 2, 3}, {2, 1, 0, 3}, {0, 0, 0, 0}};
    const size_t n = (size_t)bytes[format], row = stride ? stride : n * F_WIDTH;
    // The last row has no padding behind it: reading there is an error.
    uint8_t *out = fs_malloc(row * (F_HEIGHT - 1) + n * F_WIDTH, 1);
    memset(out, 0xa5, row * (F_HEIGHT - 1) + n * F_WIDTH);
    for (int y = 0; y < F_HEIGHT; y++)
        for (int x = 0; x < F_WIDTH; x++)
            for (size_t c = 0; c < n; c++)
                out[(size_t)y * row + (size_t)x * n + c] = rgba[(y * F_WIDTH + x) * 4 + orders[format][c]];
    return out;
}

typedef struct format_case {
    fscnn_format format;
    int channels;
    bool padded;
} format_case;
static format_case formats[] = {
    {FSCNN_RGB8, 3, true},  {FSCNN_BGR8, 3, false},  {FSCNN_BGR8, 3, true},   {FSCNN_RGBA8, 3, false},
    {FSCNN_RGBA8, 3, true}, {FSCNN_BGRA8, 3, false}, {FSCNN_BGRA8, 3, true},  {FSCNN_GRAY8, 3, false},
    {FSCNN_GRAY8, 3, true}, {FSCNN_RGBA8, 4, true},  {FSCNN_BGRA8, 4, false}, {FSCNN_BGRA8, 4, true},
};
ParameterizedTestParameters(cpu_formats, give_what_rgb_gives) {
    return cr_make_param_array(format_case, formats, sizeof formats / sizeof formats[0]);
}
ParameterizedTest(format_case *c, cpu_formats, give_what_rgb_gives) {
    static uint8_t labels[2][F_PIXELS];
    static float logits[2][F_PIXELS * F_CLASSES];
    uint8_t *rgba = fs_test_frame(F_HEIGHT, F_WIDTH, 4, 9);
    if (c->format == FSCNN_GRAY8) // gray means three equal channels
        for (int i = 0; i < F_PIXELS; i++) rgba[4 * i + 1] = rgba[4 * i + 2] = rgba[4 * i];
    uint8_t *plain = in_format(c->channels == 4 ? FSCNN_RGBA8 : FSCNN_RGB8, rgba, 0);
    uint8_t *other = in_format(c->format, rgba, c->padded ? F_STRIDE : 0);
    fs_weights weights = fs_test_weights(FS_PAPER, F_CLASSES, c->channels, 5);
    const fs_kernels *tables[2] = {fs_kernels_select(NULL), &fs_kernels_wide};
    for (int p = 0; p < 2; p++)
        for (int off = 0; off < 2; off++) { // without the stem's fusion, frames are normalised first
            fscnn_engine *engine = fs_test_engine(&weights, precisions[p], tables[p], off ? "stem" : NULL);
            fscnn_session *session = fs_test_session(engine, F_HEIGHT, F_WIDTH, 2);
            fscnn_frame frame = rgb_frame(F_HEIGHT, F_WIDTH, c->channels, plain);
            run(session, &frame, labels[0], logits[0]);
            fscnn_frame_init(&frame, c->format, F_WIDTH, F_HEIGHT, other);
            frame.stride[0] = c->padded ? F_STRIDE : 0;
            run(session, &frame, labels[1], logits[1]);
            cr_expect_arr_eq(labels[0], labels[1], sizeof labels[0], "format %d, stem fusion off: %d", c->format, off);
            cr_expect_arr_eq(logits[0], logits[1], sizeof logits[0], "format %d, stem fusion off: %d", c->format, off);
            fscnn_session_close(&session);
            fscnn_engine_close(&engine);
        }
    fs_weights_free(&weights);
    fs_free(other);
    fs_free(plain);
    fs_free(rgba);
}

// ---- Outputs -------------------------------------------------------------------------------------------------------

typedef struct output_case {
    char off[8];
    fs_precision precision;
} output_case;
static output_case output_cases[] = {{"", FS_FP32}, {"head", FS_FP32}, {"", FS_BF16}, {"head", FS_BF16}};
static fscnn_engine *out_engine;
static fscnn_session *out_session;
static uint8_t *out_frame;

static void open_outputs(const output_case *c) {
    fs_weights weights = fs_test_weights(FS_TRAMAC, F_CLASSES, 3, 5);
    out_engine = fs_test_engine(&weights, c->precision, NULL, c->off);
    fs_weights_free(&weights);
    out_session = fs_test_session(out_engine, F_HEIGHT, F_WIDTH, 2);
    out_frame = fs_test_frame(F_HEIGHT, F_WIDTH, 3, 11);
}

static void close_outputs(void) {
    fscnn_session_close(&out_session);
    fscnn_engine_close(&out_engine);
    fs_free(out_frame);
    cr_expect_eq(fs_mem_live_blocks(), 0);
}

ParameterizedTestParameters(cpu_outputs, strides_and_map) {
    return cr_make_param_array(output_case, output_cases, 4);
}
ParameterizedTest(output_case *c, cpu_outputs, strides_and_map) {
    enum { STRIDE = F_WIDTH + 9, GUARD = 64 };
    static uint8_t plain[F_PIXELS], wide[GUARD + STRIDE * F_HEIGHT + GUARD], map[256];
    open_outputs(c);
    const fscnn_frame frame = rgb_frame(F_HEIGHT, F_WIDTH, 3, out_frame);
    run(out_session, &frame, plain, NULL);
    for (int i = 0; i < 256; i++) map[i] = (uint8_t)(200 - 7 * i);
    for (int mapped = 0; mapped < 2; mapped++) {
        memset(wide, 0xee, sizeof wide);
        fscnn_outputs outputs;
        fscnn_outputs_init(&outputs);
        outputs.labels = wide + GUARD, outputs.labels_stride = STRIDE, outputs.labels_map = mapped ? map : NULL;
        cr_assert_eq(fscnn_run(out_session, &frame, &outputs), FSCNN_OK, "%s", fscnn_error());
        size_t wrong = 0, touched = 0;
        for (int i = 0; i < (int)sizeof wide; i++) {
            const int at = i - GUARD, x = at % STRIDE, y = at / STRIDE;
            if (at < 0 || y >= F_HEIGHT || x >= F_WIDTH)
                touched += wide[i] != 0xee;
            else
                wrong += wide[i] != (mapped ? map[plain[y * F_WIDTH + x]] : plain[y * F_WIDTH + x]);
        }
        cr_expect(wrong == 0 && touched == 0, "mapped %d: %zu wrong, %zu touched outside", mapped, wrong, touched);
    }
    close_outputs();
}

ParameterizedTestParameters(cpu_outputs, each_alone_and_both) {
    return cr_make_param_array(output_case, output_cases, 4);
}
ParameterizedTest(output_case *c, cpu_outputs, each_alone_and_both) {
    static uint8_t labels[2][F_PIXELS];
    static float logits[2][F_PIXELS * F_CLASSES + 16];
    open_outputs(c);
    const fscnn_frame frame = rgb_frame(F_HEIGHT, F_WIDTH, 3, out_frame);
    memset(logits, 0x7f, sizeof logits);
    run(out_session, &frame, labels[0], logits[0]);
    run(out_session, &frame, labels[1], NULL);
    run(out_session, &frame, NULL, logits[1]);
    cr_expect_arr_eq(labels[0], labels[1], sizeof labels[0]);
    cr_expect_arr_eq(logits[0], logits[1], sizeof logits[0]);
    for (int i = 0; i < 16; i++) cr_expect_eq(memcmp(&logits[0][F_PIXELS * F_CLASSES + i], "\x7f\x7f\x7f\x7f", 4), 0);
    close_outputs();
}

// The labels are the argmax of the logits, but for ties within rounding.
typedef struct head_case {
    fs_variant variant;
    int height, width, classes;
} head_case;
static head_case heads[] = {{FS_PAPER, 97, 131, 19}, {FS_TRAMAC, 64, 64, 19},    {FS_MMSEG, 65, 67, 2},
                            {FS_PAPER, 64, 64, 255}, {FS_PADDLESEG, 200, 64, 7}, {FS_LEFTTHOMAS, 64, 200, 31}};
ParameterizedTestParameters(cpu_outputs, labels_are_the_argmax) {
    return cr_make_param_array(head_case, heads, sizeof heads / sizeof heads[0]);
}
ParameterizedTest(head_case *c, cpu_outputs, labels_are_the_argmax) {
    const size_t pixels = (size_t)c->height * (size_t)c->width;
    uint8_t *labels = fs_malloc(pixels, 1), *frame = fs_test_frame(c->height, c->width, 3, 21);
    float *logits = fs_malloc(pixels * (size_t)c->classes, sizeof(float));
    fs_weights weights = fs_test_weights(c->variant, c->classes, 3, 17);
    const fscnn_frame input = rgb_frame(c->height, c->width, 3, frame);
    const fs_kernels *tables[FS_TEST_TABLES];
    const int count = fs_test_tables(tables);
    for (int t = 0; t < count; t++)
        for (int p = 0; p < 2; p++) {
            fscnn_engine *engine = fs_test_engine(&weights, precisions[p], tables[t], NULL);
            fscnn_session *session = fs_test_session(engine, c->height, c->width, 2);
            run(session, &input, labels, logits);
            size_t others = 0, wrong = 0;
            for (size_t i = 0; i < pixels; i++) {
                size_t best = 0;
                float size = 0;
                for (size_t k = 0; k < (size_t)c->classes; k++) {
                    if (logits[k * pixels + i] > logits[best * pixels + i]) best = k;
                    size = fmaxf(size, fabsf(logits[k * pixels + i]));
                }
                if (labels[i] == best) continue;
                others++;
                if (labels[i] >= c->classes ||
                    logits[best * pixels + i] - logits[labels[i] * pixels + i] > 2e-6f * size)
                    wrong++;
            }
            cr_expect(wrong == 0 && others <= pixels / 1000 + 1, "%s %s: %zu of %zu other labels are no ties",
                      tables[t]->name, fs_precision_name(precisions[p]), wrong, others);
            fscnn_session_close(&session);
            fscnn_engine_close(&engine);
        }
    fs_weights_free(&weights);
    fs_free(labels);
    fs_free(frame);
    fs_free(logits);
}

// Equal logits everywhere: the lowest index wins on every path.
Test(cpu_outputs, ties_go_to_the_lowest_class) {
    static uint8_t labels[F_PIXELS];
    static const char *const off[] = {"", "head", "all"};
    fs_weights weights = fs_test_weights(FS_PAPER, F_CLASSES, 3, 5);
    const long count = fs_layer_weight_count(&(fs_layer){.in_channels = 128, .out_channels = F_CLASSES, .kernel = 1});
    memset(weights.layer[FS_L_CLS_CONV].weight, 0, (size_t)count * sizeof(float));
    for (int c = 0; c < F_CLASSES; c++) weights.layer[FS_L_CLS_CONV].bias[c] = c == 5 || c == 6 || c == 18 ? 2 : -1;
    uint8_t *frame = fs_test_frame(F_HEIGHT, F_WIDTH, 3, 2);
    const fscnn_frame input = rgb_frame(F_HEIGHT, F_WIDTH, 3, frame);
    for (int p = 0; p < 2; p++)
        for (int i = 0; i < 3; i++) {
            fscnn_engine *engine = fs_test_engine(&weights, precisions[p], NULL, off[i]);
            fscnn_session *session = fs_test_session(engine, F_HEIGHT, F_WIDTH, 2);
            run(session, &input, labels, NULL);
            size_t wrong = 0;
            for (int at = 0; at < F_PIXELS; at++) wrong += labels[at] != 5;
            cr_expect_eq(wrong, 0, "%s, without '%s': %zu pixels", fs_precision_name(precisions[p]), off[i], wrong);
            fscnn_session_close(&session);
            fscnn_engine_close(&engine);
        }
    fs_free(frame);
    fs_weights_free(&weights);
}

// The extremes of a frame: black, white, and one bright pixel.
Test(cpu_outputs, flat_frames) {
    static uint8_t frame[F_PIXELS * 3], labels[2][F_PIXELS];
    static float logits[2][F_PIXELS * F_CLASSES];
    fs_weights weights = fs_test_weights(FS_PADDLESEG, F_CLASSES, 3, 5);
    fs_graph *graph = fs_calloc(1, sizeof *graph);
    cr_assert_eq(fs_graph_build(graph, &weights.model, F_HEIGHT, F_WIDTH), FS_OK);
    const fscnn_frame input = rgb_frame(F_HEIGHT, F_WIDTH, 3, frame);
    for (int fill = 0; fill < 3; fill++) {
        memset(frame, fill == 1 ? 255 : 0, sizeof frame);
        if (fill == 2) memset(frame + 3 * (F_PIXELS / 2), 255, 3);
        cr_assert_eq(fs_ref_run(graph, &weights, frame, labels[0], logits[0], NULL), FS_OK);
        for (int p = 0; p < 2; p++) {
            fscnn_engine *engine = fs_test_engine(&weights, precisions[p], p ? &fs_kernels_wide : NULL, NULL);
            fscnn_session *session = fs_test_session(engine, F_HEIGHT, F_WIDTH, 2);
            run(session, &input, labels[1], logits[1]);
            const fs_difference d =
                fs_test_compare(F_PIXELS, F_CLASSES, labels[0], logits[0], labels[1], logits[1], FP32_MARGIN);
            expect_close(&d, precisions[p], fill == 0 ? "black" : fill == 1 ? "white" : "one pixel");
            fscnn_session_close(&session);
            fscnn_engine_close(&engine);
        }
    }
    fs_free(graph);
    fs_weights_free(&weights);
}
