// Tests of frames on the CPU: every format and size against a plain conversion and resize in double precision, bands
// of rows, strides, what must not be read, and whole sessions.
#include <criterion/criterion.h>
#include <criterion/parameterized.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cpu/frame.h"
#include "host/image/image.h"
#include "runtime/base/mem.h"
#include "tests/cpu/network.h"

static const fs_format formats[] = {FS_RGB8, FS_BGR8, FS_RGBA8, FS_BGRA8, FS_GRAY8, FS_NV12, FS_I420, FS_PLANAR_F32};
enum { FORMATS = 8, PLANES = 4 };

// A frame whose planes end with their last pixel: memory checkers see what is read behind it.
typedef struct scene {
    fs_frame frame;
    uint8_t *memory[PLANES];
} scene;

static void plane_size(fs_format format, int w, int h, int channels, int plane, int *row, int *rows) {
    static const int bytes[] = {[FS_RGB8] = 3, [FS_BGR8] = 3, [FS_RGBA8] = 4, [FS_BGRA8] = 4, [FS_GRAY8] = 1};
    const bool yuv = format == FS_NV12 || format == FS_I420;
    *rows = plane == 0 ? h : 0, *row = w * (format <= FS_GRAY8 ? bytes[format] : 1);
    if (yuv && plane > 0 && plane < (format == FS_NV12 ? 2 : 3))
        *rows = (h + 1) / 2, *row = (w + 1) / 2 * (format == FS_NV12 ? 2 : 1);
    if (format == FS_PLANAR_F32) *rows = plane < channels ? h : 0, *row = 4 * w;
}

static scene make(fs_format format, int w, int h, int channels, int gap, uint32_t seed) {
    scene s = {.frame = {.format = format, .width = w, .height = h}};
    uint32_t state = seed;
    for (int i = 0; i < PLANES; i++) {
        int row, rows;
        plane_size(format, w, h, channels, i, &row, &rows);
        if (rows == 0) continue;
        const int stride = row + (format == FS_PLANAR_F32 ? gap * 4 : gap + (gap ? i : 0));
        const size_t bytes = (size_t)(rows - 1) * (size_t)stride + (size_t)row;
        s.memory[i] = malloc(bytes);
        cr_assert_not_null(s.memory[i]);
        for (size_t b = 0; b < bytes; b++) s.memory[i][b] = (uint8_t)(fs_test_random(&state) >> 8);
        if (format == FS_PLANAR_F32)
            for (size_t b = 0; b + 4 <= bytes; b += 4) {
                const float v = fs_test_uniform(&state, -0.2f, 1.2f); // also outside of what a frame should have
                memcpy(s.memory[i] + b, &v, 4);
            }
        s.frame.plane[i] = s.memory[i], s.frame.stride[i] = (size_t)stride;
    }
    return s;
}

static void release(scene *s) {
    for (int i = 0; i < PLANES; i++) free(s->memory[i]);
}

// ---- The reference: real numbers, no tables ------------------------------------------------------------------------

static double sample(const fs_frame *f, int plane, int x, int y) {
    return ((const uint8_t *)f->plane[plane])[(size_t)y * f->stride[plane] + (size_t)x];
}

static double limit(double v, double most) {
    return v > 0 ? v < most ? v : most : 0;
}

// Chroma at the place of a pixel: samples lie in the middle of 2x2 pixels.
static double chroma(const fs_frame *f, int plane, int step, int first, int x, int y) {
    const int cw = (f->width + 1) / 2, ch = (f->height + 1) / 2;
    const double cx = limit((x + 0.5) / 2 - 0.5, cw - 1), cy = limit((y + 0.5) / 2 - 0.5, ch - 1);
    const int x0 = (int)cx, y0 = (int)cy, x1 = x0 + 1 < cw ? x0 + 1 : x0, y1 = y0 + 1 < ch ? y0 + 1 : y0;
    const double tx = cx - x0, ty = cy - y0;
    const double top =
        sample(f, plane, x0 * step + first, y0) * (1 - tx) + sample(f, plane, x1 * step + first, y0) * tx;
    const double bottom =
        sample(f, plane, x0 * step + first, y1) * (1 - tx) + sample(f, plane, x1 * step + first, y1) * tx;
    return top * (1 - ty) + bottom * ty;
}

static void pixel(const fs_frame *f, int channels, int x, int y, double rgba[4]) {
    rgba[3] = 255;
    if (f->format == FS_PLANAR_F32) {
        for (int c = 0; c < channels; c++) {
            float v;
            memcpy(&v, (const char *)f->plane[c] + (size_t)y * f->stride[c] + (size_t)x * 4, 4);
            rgba[c] = limit(255.0 * (double)v, 255);
        }
    } else if (f->format == FS_NV12 || f->format == FS_I420) {
        const bool pairs = f->format == FS_NV12, bt709 = f->matrix ? f->matrix == 2 : f->height >= 720;
        const bool full = f->range == 2;
        const double kr = bt709 ? 0.2126 : 0.299, kb = bt709 ? 0.0722 : 0.114, kg = 1 - kr - kb;
        const double luma = full ? sample(f, 0, x, y) : (sample(f, 0, x, y) - 16) * 255 / 219;
        const double scale = full ? 1 : 255.0 / 224;
        const double u = scale * (chroma(f, 1, pairs ? 2 : 1, 0, x, y) - 128);
        const double v = scale * (chroma(f, pairs ? 1 : 2, pairs ? 2 : 1, pairs, x, y) - 128);
        rgba[0] = limit(luma + 2 * (1 - kr) * v, 255);
        rgba[1] = limit(luma - 2 * (1 - kb) * kb / kg * u - 2 * (1 - kr) * kr / kg * v, 255);
        rgba[2] = limit(luma + 2 * (1 - kb) * u, 255);
    } else if (f->format == FS_GRAY8) {
        rgba[0] = rgba[1] = rgba[2] = sample(f, 0, x, y);
    } else {
        const int bytes = f->format == FS_RGB8 || f->format == FS_BGR8 ? 3 : 4;
        const bool swapped = f->format == FS_BGR8 || f->format == FS_BGRA8;
        for (int c = 0; c < 3; c++) rgba[c] = sample(f, 0, x * bytes + (swapped ? 2 - c : c), y);
        if (bytes == 4) rgba[3] = sample(f, 0, x * bytes + 3, y);
    }
}

static void resized(const fs_frame *f, int channels, int w, int h, int x, int y, double rgba[4]) {
    const double sx = limit((x + 0.5) * f->width / w - 0.5, f->width - 1);
    const double sy = limit((y + 0.5) * f->height / h - 0.5, f->height - 1);
    const int x0 = (int)sx, y0 = (int)sy;
    const int x1 = x0 + 1 < f->width ? x0 + 1 : x0, y1 = y0 + 1 < f->height ? y0 + 1 : y0;
    double corner[4][4];
    pixel(f, channels, x0, y0, corner[0]), pixel(f, channels, x1, y0, corner[1]);
    pixel(f, channels, x0, y1, corner[2]), pixel(f, channels, x1, y1, corner[3]);
    for (int c = 0; c < 4; c++) {
        const double top = corner[0][c] + (corner[1][c] - corner[0][c]) * (sx - x0);
        const double bottom = corner[2][c] + (corner[3][c] - corner[2][c]) * (sx - x0);
        rgba[c] = top + (bottom - top) * (sy - y0);
    }
}

static uint8_t *convert(const fs_frame *f, int channels, int w, int h, int band) {
    const size_t bytes = (size_t)w * (size_t)h * (size_t)channels;
    uint8_t *out = malloc(bytes);
    char *scratch = fs_malloc(1, fs_frame_scratch(w, channels));
    fs_frame_column *columns = fs_malloc((size_t)w, sizeof *columns);
    cr_assert(out && scratch && columns);
    memset(out, 0xee, bytes);
    fs_frame_columns(f->width, w, columns);
    for (int y = 0; y < h; y += band)
        fs_frame_rows(f, channels, columns, w, h, y, y + band < h ? y + band : h, out, scratch);
    fs_free(columns);
    fs_free(scratch);
    return out;
}

// Each pixel is rounded to a byte before it is mixed, the mix is rounded once more, and positions are rounded to
// 1/2048: half a step each, and 255 / 4096 along either axis.
#define BOUND (0.51 + 0.5 + 2 * 255.0 / 4096)

static void compare(const fs_frame *f, int channels, int w, int h) {
    uint8_t *got = convert(f, channels, w, h, h), *bands = convert(f, channels, w, h, 3);
    double most = 0;
    for (int y = 0; y < h; y++)
        for (int x = 0; x < w; x++) {
            double want[4];
            resized(f, channels, w, h, x, y, want);
            for (int c = 0; c < channels; c++) {
                const double error =
                    fabs(got[((size_t)y * (size_t)w + (size_t)x) * (size_t)channels + (size_t)c] - want[c]);
                if (error > most) most = error;
            }
        }
    const double bound = f->width == w && f->height == h ? 0.51 : BOUND;
    cr_expect_leq(most, bound, "format %d %dx%d to %dx%d, %d channels, matrix %d, range %d: error %g", f->format,
                  f->width, f->height, w, h, channels, f->matrix, f->range, most);
    cr_expect_arr_eq(got, bands, (size_t)w * (size_t)h * (size_t)channels, "format %d %dx%d to %dx%d: bands differ",
                     f->format, f->width, f->height, w, h);
    free(got);
    free(bands);
}

typedef struct size_case {
    int w, h, out_w, out_h, gap;
} size_case;
static size_case sizes[] = {
    {64, 32, 64, 32, 0},   {65, 33, 65, 33, 7},   {31, 17, 31, 17, 1},    {1, 1, 1, 1, 0},       {1, 2, 1, 2, 3},
    {64, 32, 32, 16, 0},   {32, 16, 64, 32, 5},   {67, 43, 64, 64, 0},    {33, 65, 33, 64, 1},   {99, 7, 10, 7, 0},
    {7, 99, 61, 5, 13},    {1, 1, 9, 7, 0},       {50, 40, 1, 1, 2},      {2, 1, 5, 5, 0},       {1, 3, 4, 2, 0},
    {2049, 2, 2049, 2, 0}, {4100, 3, 4100, 3, 1}, {5000, 3, 70, 2, 0},    {2047, 5, 3000, 4, 0}, {16, 730, 16, 9, 0},
    {65536, 1, 64, 1, 0},  {3, 1025, 3, 1024, 0}, {640, 480, 96, 64, 16}, {24, 20, 200, 150, 0},
};
ParameterizedTestParameters(cpu_frames, formats_and_sizes) {
    return cr_make_param_array(size_case, sizes, sizeof sizes / sizeof sizes[0]);
}
ParameterizedTest(size_case *c, cpu_frames, formats_and_sizes) {
    for (int i = 0; i < FORMATS; i++)
        for (int channels = 3; channels <= 4; channels++) {
            const bool yuv = formats[i] == FS_NV12 || formats[i] == FS_I420;
            scene s = make(formats[i], c->w, c->h, channels, c->gap, (uint32_t)(c->w * 1000 + c->h + i));
            for (int coding = 0; coding < (yuv ? 9 : 1); coding++) {
                s.frame.matrix = coding % 3, s.frame.range = coding / 3;
                compare(&s.frame, channels, c->out_w, c->out_h);
            }
            release(&s);
        }
}

// The same bytes as the command's resize, which is what CUDA's kernel is held against.
Test(cpu_frames, equal_to_resized_pictures) {
    static const int pairs[][4] = {{640, 480, 64, 96}, {40, 30, 131, 97}, {100, 64, 100, 65}, {3000, 2, 2049, 3}};
    for (int i = 0; i < 4; i++)
        for (int channels = 3; channels <= 4; channels++) {
            const int w = pairs[i][0], h = pairs[i][1], out_w = pairs[i][2], out_h = pairs[i][3];
            scene s = make(channels == 3 ? FS_RGB8 : FS_RGBA8, w, h, channels, 0, 5);
            const fs_image in = {w, h, channels, s.memory[0]};
            fs_image want;
            cr_assert_eq(fs_image_resize(&in, out_w, out_h, &want), FS_OK, "%s", fs_error_text());
            uint8_t *got = convert(&s.frame, channels, out_w, out_h, 16);
            cr_expect_arr_eq(got, want.pixels, (size_t)out_w * (size_t)out_h * (size_t)channels);
            fs_image_free(&want);
            free(got);
            release(&s);
        }
}

Test(cpu_frames, floats_that_are_none) {
    const float values[] = {NAN, -NAN, INFINITY, -INFINITY, -0.0f, 1.0f, 1e-40f, 0.5f, 254.49f / 255, 254.51f / 255};
    const uint8_t want[] = {0, 0, 255, 0, 0, 255, 0, 128, 254, 255};
    const fs_frame f = {.format = FS_PLANAR_F32,
                        .width = 10,
                        .height = 1,
                        .plane = {values, values, values},
                        .stride = {sizeof values, sizeof values, sizeof values}};
    uint8_t *got = convert(&f, 3, 10, 1, 1);
    for (int i = 0; i < 10; i++) cr_expect_eq(got[3 * i + 1], want[i], "%g is %d", (double)values[i], got[3 * i + 1]);
    free(got);
}

static void run_frame(const fs_test_run *run, const fs_frame *frame, uint8_t *labels) {
    const fs_outputs outputs = {.labels = labels, .labels_stride = (size_t)run->plan->program.graph.width};
    uint64_t ticket;
    cr_assert_eq(fs_cpu_session_submit(run->session, frame, &outputs, &ticket), FS_OK, "%s", fs_error_text());
    cr_assert_eq(fs_cpu_session_wait(run->session, ticket, -1), FS_OK, "%s", fs_error_text());
}

// A session's answer to a frame of any kind is its answer to the frame converted by hand, also between other frames and
// on several threads.
Test(cpu_frames, sessions) {
    enum { H = 96, W = 131, CLASSES = 7 };
    for (int channels = 3; channels <= 4; channels++) {
        fs_weights weights = fs_test_weights(FS_PAPER, CLASSES, channels, 3);
        for (int threads = 1; threads <= 3; threads += 2) {
            fs_test_run run = fs_test_run_open(&weights, FS_FP32, fs_kernels_select(NULL), H, W, threads, 0, false);
            static uint8_t want[W * H], got[2][W * H];
            for (int i = 0; i < 3 * FORMATS; i++) {
                const fs_format format = formats[i % FORMATS];
                if (channels == 4 && format != FS_RGBA8 && format != FS_BGRA8 && format != FS_PLANAR_F32) continue;
                const int w = i < FORMATS ? W : i < 2 * FORMATS ? 2 * W + 7 : 50, h = i < FORMATS ? H : H / 2 + i;
                scene s = make(format, w, h, channels, i % 3, (uint32_t)i + 1);
                uint8_t *plain = convert(&s.frame, channels, W, H, H);
                const fs_frame same = {.format = channels == 4 ? FS_RGBA8 : FS_RGB8,
                                       .width = W,
                                       .height = H,
                                       .plane = {plain},
                                       .stride = {(size_t)(W * channels)}};
                run_frame(&run, &same, want);
                memset(got, 0xee, sizeof got);
                run_frame(&run, &s.frame, got[0]);
                run_frame(&run, &s.frame, got[1]);
                for (int k = 0; k < 2; k++)
                    cr_expect_arr_eq(got[k], want, sizeof want, "format %d %dx%d, %d channels, %d threads", format, w,
                                     h, channels, threads);
                free(plain);
                release(&s);
            }
            fs_test_run_close(&run);
        }
        fs_weights_free(&weights);
    }
    cr_expect_eq(fs_mem_live_blocks(), 0);
}
