// A frame in any format and size to packed u8 pixels at the network's size, row by row. The bytes are those of
// cuda/kernels/frame.cu and host/image/resize.c, to the last bit.
#ifndef FS_CPU_FRAME_H
#define FS_CPU_FRAME_H

#include "runtime/backend.h"

enum { FS_FRAME_SPAN = 2048 }; // pixels that fs_frame_read takes at most

// Where an output column lies between two input columns: weight of the second in 1/2048.
typedef struct fs_frame_column {
    int first, second, weight;
} fs_frame_column;

// Whether the first layer can read the frame as it is: packed, and of the network's size.
bool fs_frame_is_direct(const fs_frame *frame, int width, int height);
// Pixels x .. x + count - 1 of row y as R, G, B (, A) bytes; A is 255 where the format has none. `out` has room for
// count * channels bytes; the answer is `out`, or the frame's own memory where that is the same.
const uint8_t *fs_frame_read(const fs_frame *frame, int channels, int y, int x, int count, uint8_t *out);

// columns[out]: half-pixel centres, each position rounded once to 1/2048.
void fs_frame_columns(int in, int out, fs_frame_column *columns);
// Bytes of scratch that fs_frame_rows needs.
size_t fs_frame_scratch(int width, int channels);
// Rows y0 .. y1 - 1 of the frame resized to width x height: [height][width][channels] at `out`. `columns` is for the
// frame's width. Frames up to 65536 a side, outputs up to 16384.
void fs_frame_rows(const fs_frame *frame, int channels, const fs_frame_column *columns, int width, int height, int y0,
                   int y1, uint8_t *out, char *scratch);

#endif
