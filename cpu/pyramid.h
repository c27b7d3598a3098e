// Pyramid pooling's small part: adaptive pools, branch convolutions and their slices of the output convolution.
#ifndef FS_CPU_PYRAMID_H
#define FS_CPU_PYRAMID_H

#include "cpu/engine.h"

enum { FS_PYRAMID_CELLS = 50 }; // 1 + 4 + 9 + 36

// Averages of one bin level for channels c0 .. c0 + 15 of a map: cells [bins * bins][channels].
void fs_pyramid_pool(const fs_kernels *k, const void *map, bool bf16, int h, int w, int channels, int stride_c,
                     int bins, int c0, float *cells);
// Branch convolutions and ReLU on the 50 cells; with a 1x1 output convolution then its slices, so that what remains is
// to add upsampled vectors (bilinear resize commutes with a 1x1 convolution). scratch: 50 * 32 floats. out: [50][128]
// or [50][32].
void fs_pyramid_branches(const fs_cpu_engine *engine, const float *cells, float *scratch, float *out);

#endif
