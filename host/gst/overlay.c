// Draws class colours over a picture in its own format.
#include "host/gst/overlay.h"

#include <math.h>
#include <stdbool.h>
#include <string.h>

enum { SHARE_ONE = 256, GRAY_CHROMA = 128, HD_ROWS = 720 };

static uint8_t to_u8(double value) {
    return (uint8_t)(value < 0 ? 0 : value > 255 ? 255 : lround(value));
}

// ITU-R BT.601 and BT.709: luma weights of red and blue; limited range has luma 16..235 and chroma 16..240.
static void yuv_of(const uint8_t rgb[3], bool bt709, bool full, uint8_t yuv[3]) {
    const double red = bt709 ? 0.2126 : 0.299, blue = bt709 ? 0.0722 : 0.114;
    const double luma = red * rgb[0] + (1 - red - blue) * rgb[1] + blue * rgb[2];
    const double chroma = full ? 1 : 224.0 / 255;
    yuv[0] = to_u8(full ? luma : 16 + luma * 219 / 255);
    yuv[1] = to_u8(GRAY_CHROMA + chroma * (rgb[2] - luma) / (2 * (1 - blue)));
    yuv[2] = to_u8(GRAY_CHROMA + chroma * (rgb[0] - luma) / (2 * (1 - red)));
}

static bool is_yuv(fscnn_format format) {
    return format == FSCNN_NV12 || format == FSCNN_I420;
}

void fs_overlay_init(fs_overlay *overlay, const fs_canvas *canvas, const uint8_t palette[256][3]) {
    const bool yuv = is_yuv(canvas->format), full = !yuv || canvas->range == FSCNN_RANGE_FULL;
    const bool bt709 = yuv && (canvas->matrix ? canvas->matrix == FSCNN_MATRIX_BT709 : canvas->height >= HD_ROWS);
    const bool swapped = canvas->format == FSCNN_BGR8 || canvas->format == FSCNN_BGRA8;
    overlay->black = full ? 0 : 16;
    for (int i = 0; i < 256; i++) {
        const uint8_t *rgb = palette[i];
        if (yuv || canvas->format == FSCNN_GRAY8)
            yuv_of(rgb, bt709, full, overlay->color[i]);
        else
            memcpy(overlay->color[i], swapped ? (const uint8_t[]){rgb[2], rgb[1], rgb[0]} : rgb, 3);
    }
}

// One row of labels with what decides whether a pixel is at a border.
typedef struct row {
    const uint8_t *label, *below; // below: NULL in the last row
    int width;
} row;

static bool at_border(row r, int x) {
    return (x + 1 < r.width && r.label[x + 1] != r.label[x]) || (r.below != NULL && r.below[x] != r.label[x]);
}

static int mix(int value, int color, int share) {
    return (value * (SHARE_ONE - share) + color * share + SHARE_ONE / 2) / SHARE_ONE;
}

// `samples` of `pixel` interleaved ones are drawn.
static void draw_row(const fs_overlay *overlay, row r, uint8_t *to, int pixel, int samples, int share) {
    for (int x = 0; x < r.width; x++, to += pixel) {
        const bool border = at_border(r, x);
        for (int c = 0; c < samples; c++) {
            const int value = mix(to[c], overlay->color[r.label[x]][c], share);
            to[c] = (uint8_t)(border ? overlay->black + (value - overlay->black) / 2 : value);
        }
    }
}

// What a chroma sample becomes under the pixels that share it, at most two columns of two rows.
static uint8_t mix_chroma(const fs_overlay *overlay, const row rows[2], int count, int x, int component, int value,
                          int share) {
    int sum = 0, pixels = 0;
    for (int y = 0; y < count; y++)
        for (int i = x; i < x + 2 && i < rows[y].width; i++, pixels++) {
            const int mixed = mix(value, overlay->color[rows[y].label[i]][component], share) - GRAY_CHROMA;
            sum += at_border(rows[y], i) ? mixed / 2 : mixed;
        }
    sum += GRAY_CHROMA * pixels;
    return (uint8_t)((sum + pixels / 2) / pixels);
}

static row row_at(const fs_canvas *canvas, const uint8_t *labels, size_t stride, int y) {
    const uint8_t *label = labels + (size_t)y * stride;
    return (row){label, y + 1 < canvas->height ? label + stride : NULL, canvas->width};
}

static void draw_chroma(const fs_overlay *overlay, const fs_canvas *canvas, const uint8_t *labels, size_t stride,
                        int share) {
    const bool pairs = canvas->format == FSCNN_NV12;
    for (int y = 0; y < canvas->height; y += 2) {
        const int count = y + 1 < canvas->height ? 2 : 1;
        const row rows[2] = {row_at(canvas, labels, stride, y), row_at(canvas, labels, stride, y + count - 1)};
        uint8_t *u = canvas->plane[1] + (size_t)(y / 2) * canvas->stride[1];
        uint8_t *v = pairs ? u + 1 : canvas->plane[2] + (size_t)(y / 2) * canvas->stride[2];
        for (int x = 0; x < canvas->width; x += 2, u += pairs ? 2 : 1, v += pairs ? 2 : 1) {
            *u = mix_chroma(overlay, rows, count, x, 1, *u, share);
            *v = mix_chroma(overlay, rows, count, x, 2, *v, share);
        }
    }
}

void fs_overlay_draw(const fs_overlay *overlay, const fs_canvas *canvas, const uint8_t *labels, size_t stride,
                     float alpha) {
    const int share = (int)(alpha * SHARE_ONE + 0.5f);
    const bool one = canvas->format == FSCNN_GRAY8 || is_yuv(canvas->format);
    const bool four = canvas->format == FSCNN_RGBA8 || canvas->format == FSCNN_BGRA8;
    for (int y = 0; y < canvas->height; y++)
        draw_row(overlay, row_at(canvas, labels, stride, y), canvas->plane[0] + (size_t)y * canvas->stride[0],
                 one    ? 1
                 : four ? 4
                        : 3,
                 one ? 1 : 3, share);
    if (is_yuv(canvas->format)) draw_chroma(overlay, canvas, labels, stride, share);
}
