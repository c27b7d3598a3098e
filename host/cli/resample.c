// Bilinear resizing of one float plane: src = (dst + 0.5) * in / out - 0.5, clamped to the plane.
#include "host/cli/resample.h"

#include <stddef.h>

typedef struct tap {
    int first, second;
    float share; // of second
} tap;

static tap tap_at(int position, int in_length, int out_length) {
    double source = ((double)position + 0.5) * in_length / out_length - 0.5;
    if (source < 0) source = 0;
    int first = (int)source;
    if (first > in_length - 1) first = in_length - 1;
    int second = first < in_length - 1 ? first + 1 : first;
    return (tap){first, second, (float)(source - first)};
}

void fs_plane_resize_row(const float *in, int in_height, int in_width, int row, int out_height, int out_width,
                         float *out) {
    tap y = tap_at(row, in_height, out_height);
    const float *top = in + (size_t)y.first * (size_t)in_width;
    const float *bottom = in + (size_t)y.second * (size_t)in_width;
    for (int column = 0; column < out_width; column++) {
        tap x = tap_at(column, in_width, out_width);
        float above = top[x.first] + (top[x.second] - top[x.first]) * x.share;
        float below = bottom[x.first] + (bottom[x.second] - bottom[x.first]) * x.share;
        out[column] = above + (below - above) * y.share;
    }
}
