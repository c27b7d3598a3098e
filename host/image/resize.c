// Bilinear resize of 8-bit pixels and nearest-neighbour resize of label maps, both with half-pixel centres.
#include <string.h>

#include "host/image/codec.h"
#include "runtime/base/mem.h"

// Where an output sample lies between two input samples: weight of the second in 1/2048.
typedef struct tap {
    int first, second;
    int weight;
} tap;

enum { WEIGHT_BITS = 11, WEIGHT_ONE = 1 << WEIGHT_BITS };

// Source position (i + 0.5) * in / out - 0.5, clamped to the picture, as an exact fraction rounded once.
static tap tap_at(int i, int in, int out) {
    int64_t twice = (2 * (int64_t)i + 1) * in - out; // position * 2 * out
    if (twice < 0) twice = 0;
    int64_t step = 2 * (int64_t)out;
    int first = (int)(twice / step);
    int weight = (int)(((twice % step) * WEIGHT_ONE + out) / step);
    if (first >= in - 1) return (tap){in - 1, in - 1, 0};
    return (tap){first, first + 1, weight};
}

static void resize_row(const uint8_t *top, const uint8_t *bottom, int weight_y, const tap *columns, int width,
                       int channels, uint8_t *out) {
    const int round = 1 << (2 * WEIGHT_BITS - 1);
    for (int x = 0; x < width; x++) {
        const int left = columns[x].first * channels, right = columns[x].second * channels, weight = columns[x].weight;
        for (int c = 0; c < channels; c++) {
            int above = top[left + c] * (WEIGHT_ONE - weight) + top[right + c] * weight;
            int below = bottom[left + c] * (WEIGHT_ONE - weight) + bottom[right + c] * weight;
            *out++ = (uint8_t)((above * (WEIGHT_ONE - weight_y) + below * weight_y + round) >> (2 * WEIGHT_BITS));
        }
    }
}

fs_status fs_image_resize(const fs_image *in, int width, int height, fs_image *out) {
    if (in == NULL || in->pixels == NULL || out == NULL || !fs_image_is_side(in->width) ||
        !fs_image_is_side(in->height) || in->channels < 1 || in->channels > 4)
        return fs_fail(FS_ERR_ARGUMENT, "resize: no picture, or none to write to");
    if (!fs_image_is_side(width) || !fs_image_is_side(height))
        return fs_fail(FS_ERR_ARGUMENT, "resize: %d x %d pixels; a side is 1 to %d", width, height, FS_IMAGE_MAX_SIDE);
    fs_image picture;
    FS_TRY(fs_image_alloc("resize", width, height, in->channels, &picture));
    tap *columns = fs_malloc((size_t)width, sizeof *columns);
    if (columns == NULL) {
        fs_image_free(&picture);
        return fs_image_no_memory("resize");
    }
    for (int x = 0; x < width; x++) columns[x] = tap_at(x, in->width, width);
    size_t in_stride = (size_t)in->width * (size_t)in->channels, out_stride = (size_t)width * (size_t)in->channels;
    for (int y = 0; y < height; y++) {
        tap row = tap_at(y, in->height, height);
        resize_row(in->pixels + (size_t)row.first * in_stride, in->pixels + (size_t)row.second * in_stride, row.weight,
                   columns, width, in->channels, picture.pixels + (size_t)y * out_stride);
    }
    fs_free(columns);
    *out = picture;
    return FS_OK;
}

// The input sample whose area holds the output sample's centre: floor((i + 0.5) * in / out).
static size_t nearest(int i, int in, int out) {
    return (size_t)((2 * (int64_t)i + 1) * in / (2 * (int64_t)out));
}

fs_status fs_labels_resize(const uint8_t *in, int in_width, int in_height, int width, int height, uint8_t *out) {
    if (in == NULL || out == NULL || !fs_image_is_side(in_width) || !fs_image_is_side(in_height) ||
        !fs_image_is_side(width) || !fs_image_is_side(height))
        return fs_fail(FS_ERR_ARGUMENT, "labels: cannot resize %d x %d to %d x %d; a side is 1 to %d", in_width,
                       in_height, width, height, FS_IMAGE_MAX_SIDE);
    size_t *columns = fs_malloc((size_t)width, sizeof *columns);
    if (columns == NULL) return fs_image_no_memory("labels");
    for (int x = 0; x < width; x++) columns[x] = nearest(x, in_width, width);
    size_t last = SIZE_MAX;
    for (int y = 0; y < height; y++, out += width) {
        size_t row = nearest(y, in_height, height);
        if (row == last) {
            memcpy(out, out - width, (size_t)width);
            continue;
        }
        const uint8_t *from = in + row * (size_t)in_width;
        for (int x = 0; x < width; x++) out[x] = from[columns[x]];
        last = row;
    }
    fs_free(columns);
    return FS_OK;
}
