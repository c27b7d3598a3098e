// Tests of the overlay through the public API against its formula: every format and size, beside all other outputs,
// shares and palettes, four channels, refusals, running out of memory.
#include <criterion/criterion.h>
#include <criterion/parameterized.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cpu/frame.h"
#include "fastscnn/fastscnn.h"
#include "runtime/base/mem.h"
#include "tests/weights/files.h"

enum { HEIGHT = 67, WIDTH = 131, PIXELS = HEIGHT * WIDTH, CLASSES = 19, UNTOUCHED = 0xee };
// A frame of another size, wider than what the backend converts at a time (FS_FRAME_SPAN).
enum { TALL = 9, BROAD = FS_FRAME_SPAN + 101, MOST = TALL * BROAD, SIDES = 4 * MOST * sizeof(float) };

static fscnn_engine *engine;
static fscnn_session *session;
static _Alignas(16) uint8_t pixels[SIDES];
static uint8_t labels[MOST], overlay[4 * MOST], want[4 * MOST], seen[4 * MOST];

static void open_session(void) {
    fscnn_session_options s;
    fscnn_session_options_init(&s);
    s.width = WIDTH, s.height = HEIGHT, s.threads = 3, s.tune = -1;
    cr_assert_eq(fscnn_session_open(engine, &s, &session), FSCNN_OK, "%s", fscnn_error());
    for (size_t i = 0; i < sizeof pixels; i++) pixels[i] = (uint8_t)(i * 7 + i / 190 + (i >> 9) * 31);
}

static void open_with(const char *disable_fusion) {
    fscnn_engine_options o;
    fscnn_engine_options_init(&o);
    o.backend = FSCNN_BACKEND_CPU, o.precision = FSCNN_PRECISION_FP32, o.disable_fusion = disable_fusion;
    cr_assert_eq(fscnn_engine_open("random:3", &o, &engine), FSCNN_OK, "%s", fscnn_error());
    open_session();
}

static void open_both(void) {
    open_with(NULL);
}

static void close_both(void) {
    fscnn_session_close(&session);
    fscnn_engine_close(&engine);
    cr_expect_eq(fs_mem_live_blocks(), 0, "%zu blocks leaked", fs_mem_live_blocks());
}

static fscnn_outputs for_overlay(void) {
    fscnn_outputs o;
    fscnn_outputs_init(&o);
    o.overlay = overlay;
    memset(overlay, UNTOUCHED, sizeof overlay);
    return o;
}

static void run(const fscnn_frame *frame, const fscnn_outputs *outputs) {
    cr_assert_eq(fscnn_run(session, frame, outputs), FSCNN_OK, "%s", fscnn_error());
}

// The class of each pixel, from a run that asks for nothing else.
static void label(const fscnn_frame *frame, fscnn_output_size size) {
    fscnn_outputs o;
    fscnn_outputs_init(&o);
    o.labels = labels, o.size = size;
    run(frame, &o);
}

static void color_of(const uint8_t *palette, int class, uint8_t rgb[3]) {
    if (palette)
        memcpy(rgb, palette + (size_t) class * 3, 3);
    else
        cr_assert_eq(fscnn_engine_class_color(engine, class, rgb), FSCNN_OK);
}

// The formula, over `rgb` pixels of `channels` bytes and the labels.
static void draw(const uint8_t *rgb, int channels, int width, int height, float alpha, const uint8_t *palette) {
    const int share = (int)(256 * alpha + 0.5f);
    for (int y = 0; y < height; y++)
        for (int x = 0; x < width; x++) {
            const int i = y * width + x, class = labels[i];
            const bool border =
                (x + 1 < width && labels[i + 1] != class) || (y + 1 < height && labels[i + width] != class);
            uint8_t color[3];
            color_of(palette, class, color);
            for (int c = 0; c < 3; c++) {
                const int value = (rgb[i * channels + c] * (256 - share) + color[c] * share + 128) / 256;
                want[4 * i + c] = (uint8_t)(border ? value / 2 : value);
            }
            want[4 * i + 3] = 255;
        }
}

static void expect_drawn(const uint8_t *have, int width, int height, const char *what) {
    for (int i = 0; i < 4 * width * height; i++)
        if (have[i] != want[i])
            cr_assert_fail("%s: row %d, column %d, byte %d: %d, not %d", what, i / 4 / width, i / 4 % width, i % 4,
                           have[i], want[i]);
}

static size_t borders(int width, int height) {
    size_t n = 0;
    for (int i = 0; i + 1 < width * height; i++) n += labels[i] != labels[i + 1];
    return n;
}

// ---- What is drawn -------------------------------------------------------------------------------------------------

typedef struct fusion_case {
    char off[8];
} fusion_case;
static fusion_case fusions[] = {{""}, {"head"}, {"all"}};
ParameterizedTestParameters(overlay, alone_and_with_everything) {
    return cr_make_param_array(fusion_case, fusions, 3);
}
// Nothing else that the frame asks for changes it, nor does it change that: least of all a label map, which waits for
// it.
ParameterizedTest(fusion_case *c, overlay, alone_and_with_everything) {
    open_with(c->off);
    static uint8_t map[256], mapped[PIXELS], sure[2][PIXELS];
    static float logits[2][CLASSES * PIXELS], scores[2][CLASSES * PIXELS];
    uint32_t counts[2][CLASSES];
    for (int i = 0; i < 256; i++) map[i] = (uint8_t)(i * 5 + 1);
    fscnn_frame frame;
    fscnn_frame_init(&frame, FSCNN_RGB8, WIDTH, HEIGHT, pixels);
    label(&frame, FSCNN_SIZE_NETWORK);
    cr_assert_gt(borders(WIDTH, HEIGHT), 100, "the picture has borders to draw");
    draw(pixels, 3, WIDTH, HEIGHT, 0.5f, NULL);
    fscnn_outputs o = for_overlay();
    run(&frame, &o);
    expect_drawn(overlay, WIDTH, HEIGHT, "alone");
    for (int with = 0; with < 2; with++) {
        o = for_overlay();
        if (!with) o.overlay = NULL;
        o.labels = mapped, o.labels_map = map, o.histogram = counts[with], o.confidence = sure[with];
        o.logits = logits[with], o.scores = scores[with];
        run(&frame, &o);
        for (int i = 0; i < PIXELS; i++) cr_assert_eq(mapped[i], map[labels[i]], "label %d, with %d", i, with);
    }
    expect_drawn(overlay, WIDTH, HEIGHT, "with everything");
    cr_expect_arr_eq(counts[0], counts[1], sizeof counts[0]);
    cr_expect_arr_eq(sure[0], sure[1], sizeof sure[0]);
    cr_expect_arr_eq(logits[0], logits[1], sizeof logits[0]);
    cr_expect_arr_eq(scores[0], scores[1], sizeof scores[0]);
    o = for_overlay();
    o.labels = mapped, o.labels_map = map;
    run(&frame, &o);
    for (int i = 0; i < PIXELS; i++) cr_assert_eq(mapped[i], map[labels[i]], "label %d beside the overlay alone", i);
    expect_drawn(overlay, WIDTH, HEIGHT, "beside mapped labels");
    close_both();
}

// A frame of a format in `pixels`, planes one after another, rows with a gap.
static fscnn_frame frame_of(fscnn_format format, int width, int height) {
    fscnn_frame f;
    fscnn_frame_init(&f, format, width, height, pixels);
    const size_t w = (size_t)width, h = (size_t)height, half = (w + 1) / 2;
    const size_t pixel[] = {[FSCNN_RGB8] = 3,  [FSCNN_BGR8] = 3, [FSCNN_RGBA8] = 4, [FSCNN_BGRA8] = 4,
                            [FSCNN_GRAY8] = 1, [FSCNN_NV12] = 1, [FSCNN_I420] = 1,  [FSCNN_PLANAR_F32] = 4};
    f.stride[0] = w * pixel[format] + 4;
    f.plane[1] = pixels + f.stride[0] * h;
    f.stride[1] = format == FSCNN_NV12 ? 2 * half + 3 : format == FSCNN_I420 ? half + 5 : f.stride[0];
    f.plane[2] = (const uint8_t *)f.plane[1] + f.stride[1] * (format == FSCNN_I420 ? (h + 1) / 2 : h);
    f.stride[2] = f.stride[1];
    if (format == FSCNN_PLANAR_F32) {
        float *values = (float *)(void *)pixels;
        for (size_t i = 0; i < 3 * h * f.stride[0] / sizeof(float); i++)
            values[i] = (float)(i * 37 % 1024) / 1000 - 0.01f;
    }
    return f;
}

// The frame in RGB at a size, by what brings frames to the network's (its own tests: tests/cuda/frame.cpp).
static void convert(const fscnn_frame *f, int width, int height) {
    fs_frame frame = {
        .format = (fs_format)f->format, .width = f->width, .height = f->height, .matrix = f->matrix, .range = f->range};
    memcpy(frame.plane, f->plane, sizeof frame.plane);
    memcpy(frame.stride, f->stride, sizeof frame.stride);
    fs_frame_column *columns = malloc((size_t)width * sizeof *columns);
    char *scratch = malloc(fs_frame_scratch(width, 3));
    cr_assert(columns && scratch);
    fs_frame_columns(f->width, width, columns);
    fs_frame_rows(&frame, 3, columns, width, height, 0, height, seen, scratch);
    free(columns);
    free(scratch);
}

typedef struct format_case {
    int format, width, height, size;
} format_case;
static format_case *format_cases(size_t *count) {
    static format_case cases[8 * 6];
    static const int sizes[][3] = {{WIDTH, HEIGHT, FSCNN_SIZE_NETWORK},  {WIDTH, HEIGHT, FSCNN_SIZE_FRAME},
                                   {WIDTH + 18, 53, FSCNN_SIZE_NETWORK}, {WIDTH + 18, 53, FSCNN_SIZE_FRAME},
                                   {BROAD, TALL, FSCNN_SIZE_FRAME},      {1, 3, FSCNN_SIZE_FRAME}};
    for (int format = 1; format <= 8; format++)
        for (int i = 0; i < 6; i++) cases[(*count)++] = (format_case){format, sizes[i][0], sizes[i][1], sizes[i][2]};
    return cases;
}

// The picture under it is the frame at the size of the outputs, from every format.
Test(overlay, formats_and_sizes, .init = open_both, .fini = close_both) {
    size_t count = 0;
    const format_case *cases = format_cases(&count);
    for (size_t i = 0; i < count; i++) {
        const format_case *c = &cases[i];
        char what[64];
        snprintf(what, sizeof what, "format %d, %dx%d, size %d", c->format, c->width, c->height, c->size);
        const fscnn_frame frame = frame_of((fscnn_format)c->format, c->width, c->height);
        const int width = c->size ? c->width : WIDTH, height = c->size ? c->height : HEIGHT;
        convert(&frame, width, height);
        label(&frame, (fscnn_output_size)c->size);
        draw(seen, 3, width, height, 0.5f, NULL);
        fscnn_outputs o = for_overlay();
        o.size = (fscnn_output_size)c->size;
        run(&frame, &o);
        expect_drawn(overlay, width, height, what);
        for (size_t at = 4 * (size_t)(width * height); at < sizeof overlay; at++)
            cr_assert_eq(overlay[at], UNTOUCHED, "%s: written behind the last row", what);
    }
}

// All shares from next to nothing to all, over a picture of zeros and of 255, with colours of zeros and of 255, at a
// stride and an address that no word is at.
Test(overlay, shares_palettes_and_strides, .init = open_both, .fini = close_both) {
    enum { STRIDE = 4 * WIDTH + 5 };
    static const float alphas[] = {0, 1e-9f, 1.0f / 512, 0.3f, 0.5f, 0.999f, 1};
    static uint8_t palette[256 * 3], rows[HEIGHT * STRIDE + 1];
    for (int i = 0; i < 256 * 3; i++) palette[i] = (uint8_t)(i % 5 == 0 ? 255 : i % 3 == 0 ? 0 : i * 11);
    for (int i = 0; i < 3 * PIXELS; i++) pixels[i] = (uint8_t)(i % 7 == 0 ? 255 : i % 4 == 0 ? 0 : pixels[i]);
    fscnn_frame frame;
    fscnn_frame_init(&frame, FSCNN_RGB8, WIDTH, HEIGHT, pixels);
    label(&frame, FSCNN_SIZE_NETWORK);
    for (size_t a = 0; a < sizeof alphas / sizeof *alphas; a++) {
        memset(rows, UNTOUCHED, sizeof rows);
        fscnn_outputs o = for_overlay();
        o.overlay = rows + 1, o.overlay_stride = STRIDE, o.overlay_alpha = alphas[a], o.palette = palette;
        run(&frame, &o);
        draw(pixels, 3, WIDTH, HEIGHT, alphas[a] == 0 ? 0.5f : alphas[a], palette);
        cr_expect_eq(rows[0], UNTOUCHED);
        for (int y = 0; y < HEIGHT; y++) {
            memcpy(overlay + (size_t)y * 4 * WIDTH, rows + 1 + (size_t)y * STRIDE, 4 * WIDTH);
            for (int x = 4 * WIDTH; x < STRIDE; x++)
                cr_assert_eq(rows[1 + y * STRIDE + x], UNTOUCHED, "written between the rows");
        }
        expect_drawn(overlay, WIDTH, HEIGHT, "share");
    }
}

// The picture of a model of four channels is R, G, B, whatever A is; the overlay's A is 255.
Test(overlay, four_channels) {
    fs_model model;
    fs_model_init(&model, FS_PAPER);
    model.classes = 5, model.channels = 4;
    test_file file = test_file_model(&model);
    bytes data = test_file_bytes(&file);
    test_file_free(&file);
    fscnn_engine_options options;
    fscnn_engine_options_init(&options);
    options.backend = FSCNN_BACKEND_CPU;
    cr_assert_eq(fscnn_engine_open_memory(data.data, data.size, &options, &engine), FSCNN_OK, "%s", fscnn_error());
    bytes_free(&data);
    open_session();
    static const int widths[] = {WIDTH, WIDTH + 7};
    for (int i = 0; i < 2; i++)
        for (int size = 0; size < 2; size++) {
            fscnn_frame frame;
            fscnn_frame_init(&frame, i ? FSCNN_BGRA8 : FSCNN_RGBA8, widths[i], HEIGHT, pixels);
            frame.stride[0] = 4 * (size_t)widths[i];
            const int width = size ? widths[i] : WIDTH;
            convert(&frame, width, HEIGHT);
            label(&frame, (fscnn_output_size)size);
            draw(seen, 3, width, HEIGHT, 0.25f, NULL);
            fscnn_outputs o = for_overlay();
            o.size = (fscnn_output_size)size, o.overlay_alpha = 0.25f;
            run(&frame, &o);
            expect_drawn(overlay, width, HEIGHT, "four channels");
        }
    close_both();
}

// ---- Refusals and memory -------------------------------------------------------------------------------------------

static void expect_failure(const fscnn_outputs *outputs, const char *fragment) {
    fscnn_frame frame;
    fscnn_frame_init(&frame, FSCNN_RGB8, WIDTH, HEIGHT, pixels);
    const fscnn_status got = fscnn_run(session, &frame, outputs);
    cr_expect_eq((int)got, FSCNN_ERR_ARGUMENT, "%s: %s (%s)", fragment, fscnn_status_name(got), fscnn_error());
    cr_expect_not_null(strstr(fscnn_error(), fragment), "'%s' does not say '%s'", fscnn_error(), fragment);
}

Test(overlay, refusals, .init = open_both, .fini = close_both) {
    static const float bad[] = {NAN, -NAN, INFINITY, -INFINITY, -1e-9f, 1.0001f};
    fscnn_outputs o = for_overlay();
    for (int i = 0; i < 6; i++) {
        o.overlay_alpha = bad[i];
        expect_failure(&o, "overlay_alpha");
    }
    o.overlay_alpha = 0, o.overlay_stride = 4 * WIDTH - 1;
    expect_failure(&o, "overlay_stride");
    o.overlay_stride = SIZE_MAX;
    expect_failure(&o, "overlay_stride");
    o.overlay_stride = 0, o.struct_size = offsetof(fscnn_outputs, overlay);
    expect_failure(&o, "nothing"); // an older struct
    for (size_t i = 0; i < sizeof overlay; i++) cr_assert_eq(overlay[i], UNTOUCHED);
}

// The first frame that needs memory for its classes may fail for it; then nothing is written, and the next one is fine.
Test(overlay, no_memory, .init = open_both, .fini = close_both) {
    fscnn_frame frame;
    fscnn_frame_init(&frame, FSCNN_RGB8, WIDTH + 20, HEIGHT + 3, pixels);
    fscnn_outputs o = for_overlay();
    o.size = FSCNN_SIZE_FRAME;
    for (uint64_t n = 1; n <= 2; n++) { // the tables of its size, its classes
        fs_mem_fail_at(n, true);
        const fscnn_status status = fscnn_run(session, &frame, &o);
        fs_mem_fail_at(0, false);
        cr_expect_eq((int)status, FSCNN_ERR_MEMORY, "%s", fscnn_status_name(status));
        for (size_t i = 0; i < sizeof overlay; i++) cr_assert_eq(overlay[i], UNTOUCHED);
    }
    for (int i = 0; i < 2; i++) run(&frame, &o); // each place in flight
    fs_mem_fail_at(1, true);
    run(&frame, &o);
    cr_expect_not(fs_mem_fault_fired(), "a frame allocates");
    fs_mem_fail_at(0, false);
}
