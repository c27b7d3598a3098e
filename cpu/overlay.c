// Mixes class colours into pixels. A pixel's three products are one multiplication: no sum of two of them needs more
// than its 16 bits, since 255 * FS_OVERLAY_ONE + FS_OVERLAY_ONE / 2 is less than 65536.
#include "cpu/overlay.h"

#include "cpu/frame.h"

static uint64_t lanes(int r, int g, int b) {
    return (uint64_t)r | (uint64_t)g << 16 | (uint64_t)b << 32;
}

void fs_overlay_mix_init(fs_overlay_mix *mix, const fs_outputs *o) {
    const int share = o->overlay_share, round = FS_OVERLAY_ONE / 2;
    mix->picture = (uint64_t)(FS_OVERLAY_ONE - share);
    for (int i = 0; i < 256; i++) {
        const uint8_t *rgb = o->palette[i];
        mix->color[i] = lanes(rgb[0] * share + round, rgb[1] * share + round, rgb[2] * share + round);
    }
}

// `border` is 1 or 0: halves are what lies one bit higher.
static void mix_pixel(const fs_overlay_mix *mix, const uint8_t *pixel, uint8_t class, int border, uint8_t *out) {
    const uint64_t sum = lanes(pixel[0], pixel[1], pixel[2]) * mix->picture + mix->color[class];
    const uint64_t value = sum >> (8 + border);
    const int keep = 255 >> border;
    out[0] = (uint8_t)((int)value & keep);
    out[1] = (uint8_t)((int)(value >> 16) & keep);
    out[2] = (uint8_t)((int)(value >> 32) & keep);
    out[3] = 255;
}

// In the last row `below` is the row itself, which differs nowhere. `ends`: no pixel is right of the last one.
static void mix_span(const fs_overlay_mix *mix, const uint8_t *pixels, int channels, const uint8_t *classes,
                     const uint8_t *below, int count, bool ends, uint8_t *out) {
    const int inner = ends ? count - 1 : count;
    for (int x = 0; x < inner; x++, pixels += channels, out += 4)
        mix_pixel(mix, pixels, classes[x], (classes[x + 1] != classes[x]) | (below[x] != classes[x]), out);
    if (ends) mix_pixel(mix, pixels, classes[inner], below[inner] != classes[inner], out);
}

void fs_overlay_rows(const fs_overlay_mix *mix, const fs_outputs *o, const fs_frame *picture, const uint8_t *classes,
                     size_t stride, int y0, int y1, uint8_t *span) {
    const int channels = picture->format == FS_RGBA8 ? 4 : 3; // these are read where they lie
    for (int y = y0; y < y1; y++) {
        const uint8_t *row = classes + (size_t)y * stride, *below = y + 1 < picture->height ? row + stride : row;
        for (int x = 0; x < picture->width; x += FS_FRAME_SPAN) {
            const int left = picture->width - x, count = left < FS_FRAME_SPAN ? left : FS_FRAME_SPAN;
            const uint8_t *pixels = fs_frame_read(picture, channels, y, x, count, span);
            mix_span(mix, pixels, channels, row + x, below + x, count, count == left,
                     o->overlay + (size_t)y * o->overlay_stride + 4 * (size_t)x);
        }
    }
}
