// Converts and resizes frames. The formulas, with their derivation, are at the top of cuda/kernels/pixels.cuh: all in
// integers, so that the backends agree to the last bit.
#include "cpu/frame.h"

#include <string.h>

enum { WEIGHT_BITS = 11, WEIGHT_ONE = 1 << WEIGHT_BITS, HD_ROWS = 720, MATRIX_BT709 = 2, RANGE_FULL = 2 };

bool fs_frame_is_direct(const fs_frame *f, int width, int height) {
    return f->format <= FS_GRAY8 && f->width == width && f->height == height;
}

// 65536 times the factors of R = s (Y - o) + rv (V - 128), and so on.
typedef struct matrix {
    int luma, offset, red_v, green_u, green_v, blue_u;
} matrix;

static matrix matrix_of(const fs_frame *f) {
    static const matrix matrices[2][2] = {
        {{76309, 16, 104597, 25675, 53279, 132201}, {65536, 0, 91881, 22553, 46802, 116130}},
        {{76309, 16, 117489, 13975, 34925, 138438}, {65536, 0, 103206, 12276, 30679, 121609}}};
    const bool bt709 = f->matrix ? f->matrix == MATRIX_BT709 : f->height >= HD_ROWS;
    return matrices[bt709][f->range == RANGE_FULL];
}

// The other chroma sample of a pixel along one axis: a step towards the pixel's side, kept inside.
static int next_chroma(int pixel, int size) {
    const int next = pixel / 2 + (pixel % 2 ? 1 : -1), last = (size - 1) / 2;
    return next < 0 ? 0 : next > last ? last : next;
}

static uint8_t from_fixed(int fixed) {
    const int v = (fixed + (1 << 19)) >> 20;
    return (uint8_t)(v < 0 ? 0 : v > 255 ? 255 : v);
}

static void read_yuv(const fs_frame *f, int channels, int y, int x, int count, uint8_t *out) {
    const matrix m = matrix_of(f);
    const bool pairs = f->format == FS_NV12;
    const int step = pairs ? 2 : 1, last = (f->width - 1) / 2;
    const size_t near_y = (size_t)(y / 2), far_y = (size_t)next_chroma(y, f->height);
    const size_t stride_v = f->stride[pairs ? 1 : 2];
    const uint8_t *luma = (const uint8_t *)f->plane[0] + (size_t)y * f->stride[0] + x;
    const uint8_t *u = f->plane[1], *v = pairs ? u + 1 : f->plane[2];
    const uint8_t *u_near = u + near_y * f->stride[1], *u_far = u + far_y * f->stride[1];
    const uint8_t *v_near = v + near_y * stride_v, *v_far = v + far_y * stride_v;
    // Chroma mixed down the columns, once for the two pixels that share it; a border sample is its own neighbour.
    int16_t mixed_u[FS_FRAME_SPAN / 2 + 3] = {0}, mixed_v[FS_FRAME_SPAN / 2 + 3] = {0};
    const int begin = x / 2 - 1, samples = (x + count - 1) / 2 + 2 - begin;
    for (int i = 0; i < samples; i++) {
        const int sample = begin + i < 0 ? 0 : begin + i > last ? last : begin + i;
        const ptrdiff_t at = (ptrdiff_t)sample * step;
        mixed_u[i] = (int16_t)(3 * u_near[at] + u_far[at]);
        mixed_v[i] = (int16_t)(3 * v_near[at] + v_far[at]);
    }
    for (int i = 0; i < count; i++) {
        const int near = (x + i) / 2 - begin, far = (x + i) % 2 ? near + 1 : near - 1;
        const int u16 = 3 * mixed_u[near] + mixed_u[far] - 16 * 128, v16 = 3 * mixed_v[near] + mixed_v[far] - 16 * 128;
        const int bright = (luma[i] - m.offset) * 16 * m.luma;
        uint8_t *to = out + (ptrdiff_t)i * channels;
        to[0] = from_fixed(bright + m.red_v * v16);
        to[1] = from_fixed(bright - m.green_u * u16 - m.green_v * v16);
        to[2] = from_fixed(bright + m.blue_u * u16);
        if (channels == 4) to[3] = 255;
    }
}

static uint8_t from_unit(float v) {
    return (uint8_t)(v > 0.0f ? v < 1.0f ? (int)(255.0f * v + 0.5f) : 255 : 0); // a NaN is 0
}

static void read_planar(const fs_frame *f, int channels, int y, int x, int count, uint8_t *out) {
    for (int c = 0; c < channels; c++) {
        const char *row = (const char *)f->plane[c] + (size_t)y * f->stride[c];
        const float *in = (const float *)(const void *)row + x;
        for (int i = 0; i < count; i++) out[(ptrdiff_t)i * channels + c] = from_unit(in[i]);
    }
}

static void read_packed(const fs_frame *f, int channels, const uint8_t *in, int pixel, int count, uint8_t *out) {
    const int first = f->format == FS_BGR8 || f->format == FS_BGRA8 ? 2 : 0, green = pixel > 1,
              last = 2 * green - first;
    for (int i = 0; i < count; i++, in += pixel, out += channels) {
        out[0] = in[first], out[1] = in[green], out[2] = in[green ? last : 0];
        if (channels == 4) out[3] = pixel == 4 ? in[3] : 255;
    }
}

const uint8_t *fs_frame_read(const fs_frame *f, int channels, int y, int x, int count, uint8_t *out) {
    if (f->format == FS_NV12 || f->format == FS_I420) {
        read_yuv(f, channels, y, x, count, out);
        return out;
    }
    if (f->format == FS_PLANAR_F32) {
        read_planar(f, channels, y, x, count, out);
        return out;
    }
    const int pixel = f->format == FS_GRAY8 ? 1 : f->format == FS_RGB8 || f->format == FS_BGR8 ? 3 : 4;
    const uint8_t *in = (const uint8_t *)f->plane[0] + (size_t)y * f->stride[0] + (size_t)x * (size_t)pixel;
    if ((f->format == FS_RGB8 || f->format == FS_RGBA8) && pixel == channels) return in;
    read_packed(f, channels, in, pixel, count, out);
    return out;
}

// tap_at of host/image/resize.c: source position (i + 0.5) * in / out - 0.5, clamped, rounded once.
static fs_frame_column tap_at(int i, int in, int out) {
    int64_t twice = (2 * (int64_t)i + 1) * in - out; // position * 2 * out
    if (twice < 0) twice = 0;
    const int64_t step = 2 * (int64_t)out;
    const int first = (int)(twice / step);
    if (first >= in - 1) return (fs_frame_column){in - 1, in - 1, 0};
    return (fs_frame_column){first, first + 1, (int)(((twice % step) * WEIGHT_ONE + out) / step)};
}

void fs_frame_columns(int in, int out, fs_frame_column *columns) {
    for (int i = 0; i < out; i++) columns[i] = tap_at(i, in, out);
}

static size_t round_up(size_t bytes) {
    return (bytes + 63) / 64 * 64;
}

size_t fs_frame_scratch(int width, int channels) {
    return 2 * round_up((size_t)width * (size_t)channels * sizeof(int32_t)) + (size_t)FS_FRAME_SPAN * 4;
}

// Row y of the frame at the output's columns, 2048 times too large. The frame's pixels come in spans of a fixed size,
// so that scratch does not depend on its width.
static void stretch_row(const fs_frame *f, int channels, const fs_frame_column *columns, int width, int y, int32_t *out,
                        uint8_t *span) {
    for (int x = 0; x < width;) {
        const int begin = columns[x].first;
        int end = x + 1;
        while (end < width && columns[end].second - begin < FS_FRAME_SPAN) end++;
        const uint8_t *in = fs_frame_read(f, channels, y, begin, columns[end - 1].second + 1 - begin, span);
        for (; x < end; x++) {
            const uint8_t *left = in + (ptrdiff_t)(columns[x].first - begin) * channels;
            const uint8_t *right = in + (ptrdiff_t)(columns[x].second - begin) * channels;
            const int weight = columns[x].weight;
            for (int c = 0; c < channels; c++) *out++ = left[c] * (WEIGHT_ONE - weight) + right[c] * weight;
        }
    }
}

static void resize_rows(const fs_frame *f, int channels, const fs_frame_column *columns, int width, int height, int y0,
                        int y1, uint8_t *out, char *scratch) {
    const size_t samples = (size_t)width * (size_t)channels, row_bytes = round_up(samples * sizeof(int32_t));
    int32_t *top = (int32_t *)(void *)scratch, *bottom = (int32_t *)(void *)(scratch + row_bytes);
    uint8_t *span = (uint8_t *)scratch + 2 * row_bytes;
    int have_top = -1, have_bottom = -1; // which rows of the frame they hold
    for (int y = y0; y < y1; y++) {
        const fs_frame_column row = tap_at(y, f->height, height);
        if (row.first == have_bottom) {
            int32_t *const swap = top;
            top = bottom, bottom = swap;
            have_top = row.first, have_bottom = -1;
        }
        if (row.first != have_top) stretch_row(f, channels, columns, width, row.first, top, span);
        have_top = row.first;
        const int32_t *below = row.second == row.first ? top : bottom;
        if (row.second != row.first && row.second != have_bottom) {
            stretch_row(f, channels, columns, width, row.second, bottom, span);
            have_bottom = row.second;
        }
        uint8_t *to = out + (size_t)y * samples;
        const int round = 1 << (2 * WEIGHT_BITS - 1);
        for (size_t i = 0; i < samples; i++)
            to[i] =
                (uint8_t)((top[i] * (WEIGHT_ONE - row.weight) + below[i] * row.weight + round) >> (2 * WEIGHT_BITS));
    }
}

void fs_frame_rows(const fs_frame *f, int channels, const fs_frame_column *columns, int width, int height, int y0,
                   int y1, uint8_t *out, char *scratch) {
    if (f->width != width || f->height != height) {
        resize_rows(f, channels, columns, width, height, y0, y1, out, scratch);
        return;
    }
    for (int y = y0; y < y1; y++)
        for (int x = 0; x < width; x += FS_FRAME_SPAN) {
            const int count = width - x < FS_FRAME_SPAN ? width - x : FS_FRAME_SPAN;
            uint8_t *to = out + ((size_t)y * (size_t)width + (size_t)x) * (size_t)channels;
            const uint8_t *from = fs_frame_read(f, channels, y, x, count, to);
            if (from != to) memcpy(to, from, (size_t)count * (size_t)channels);
        }
}
