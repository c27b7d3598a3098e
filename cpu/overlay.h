// The frame in RGB with the colours of the classes mixed in: the formula is at fs_outputs, the bytes are those of
// cuda/kernels/overlay.cu.
#ifndef FS_CPU_OVERLAY_H
#define FS_CPU_OVERLAY_H

#include "runtime/backend.h"

// Four numbers of 16 bits, R, G, B from the lowest and 0: what a class adds to a pixel (its colour times its share, and
// the rounding); and the factor of the picture.
typedef struct fs_overlay_mix {
    uint64_t color[256];
    uint64_t picture;
} fs_overlay_mix;

void fs_overlay_mix_init(fs_overlay_mix *mix, const fs_outputs *outputs);
// Rows y0 .. y1 - 1 of the outputs' overlay, of the size of `picture`. classes: [height][stride], those of row y1 are
// read too. `span` has room for FS_FRAME_SPAN pixels of 3 bytes.
void fs_overlay_rows(const fs_overlay_mix *mix, const fs_outputs *outputs, const fs_frame *picture,
                     const uint8_t *classes, size_t stride, int y0, int y1, uint8_t *span);

#endif
