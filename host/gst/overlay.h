// Draws class colours over a picture where it lies, in its own format: packed RGB, gray, or YUV without a detour by
// RGB.
#ifndef FS_GST_OVERLAY_H
#define FS_GST_OVERLAY_H

#include <stddef.h>
#include <stdint.h>

#include <fastscnn/fastscnn.h>

// Pixels to draw on. Formats: all of fscnn_format but planes of floats.
typedef struct fs_canvas {
    fscnn_format format;
    int width, height;
    fscnn_matrix matrix; // NV12, I420, as in fscnn_frame
    fscnn_range range;
    uint8_t *plane[4];
    size_t stride[4]; // bytes; 0 is not allowed here
} fs_canvas;

// What the classes look like in a format: the three samples of each class in the order of memory (RGB formats), Y, U, V
// (NV12, I420), or Y alone (gray).
typedef struct fs_overlay {
    uint8_t color[256][3];
    int black; // luma of black
} fs_overlay;

// `matrix` and so on of the canvas, its size for their defaults.
void fs_overlay_init(fs_overlay *overlay, const fs_canvas *canvas, const uint8_t palette[256][3]);
// Mixes: alpha in 0..1 is the colours' share. Pixels whose right or lower neighbour has another label are drawn at half
// brightness. In RGB these are the bytes of `fastscnn segment --overlay`. Chroma is the mean over the pixels that share
// it. An A sample stays as it is.
void fs_overlay_draw(const fs_overlay *overlay, const fs_canvas *canvas, const uint8_t *labels, size_t stride,
                     float alpha);

#endif
