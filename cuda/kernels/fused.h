// Fused kernels: several layers in one launch, so that what lies between them stays on the chip. Half precision only
// (FS_K_F16); conventions of kernels.h. Each is one of several routes for a step: it may decline parameters (false for
// variant 0), and then the step runs layer by layer.
#ifndef FS_CUDA_KERNELS_FUSED_H
#define FS_CUDA_KERNELS_FUSED_H

#include "cuda/kernels/kernels.h"

#ifdef __cplusplus
extern "C" {
#endif

// Most shared memory that one block may have (dynamic and static), bytes: 64 KB on sm_75, 163 KB on sm_80, 99 KB on
// sm_86, 89 and 120, 227 KB on sm_90 and 100.
static inline unsigned fs_shared_limit(int sm) {
    return (sm == 75 ? 64u : sm == 80 || sm == 87 ? 163u : sm >= 90 && sm < 120 ? 227u : 99u) << 10;
}

// A depthwise 3x3 with padding 1: weights float [9][c], bias float [c]; 16-byte aligned.
typedef struct fs_fused_dw {
    const float *weights, *bias;
    int relu, stride;
} fs_fused_dw;

// A pointwise convolution: weights half [n][k] as fs_conv_params has them (n padded to a multiple of 8), bias float.
typedef struct fs_fused_pw {
    const void *weights;
    const float *bias;
    int n, relu;
} fs_fused_pw;

// Rounding of all of them: where a layer by itself would round its result to half in memory, the fused kernel rounds as
// well, so that both routes differ by the order of sums alone.

// ---- stem_ds.cu: u8 frame -> stem -> depthwise stride 2 -> pointwise: the 1/2-size map never exists -----------------

typedef struct fs_stem_ds_params {
    fs_stem_params stem; // stem.out: its size alone (c = 32), no data
    fs_fused_dw dw;      // stride 2
    fs_fused_pw pw;      // n = 48
    fs_map out;
} fs_stem_ds_params;
bool fs_launch_stem_ds(const fs_stem_ds_params *p, int sm, int variant, fs_launch *launch);

// ---- pyramid_fold.cu: pyramid pooling with a 1x1 output convolution, behind stage 0 of fs_launch_pyramid_pool -------

// From the partial sums of a map h x w x 128 to 50 folded cells: fs_launch_pyramid_pool's stage 1, then
// fs_launch_pyramid_branch with slices (conventions there). All float.
typedef struct fs_pyramid_fold_params {
    const float *partial;
    int h, w;
    const float *weight, *bias, *slice; // not NULL
    float *out;                         // [50][128]
} fs_pyramid_fold_params;
bool fs_launch_pyramid_fold(const fs_pyramid_fold_params *p, int sm, int variant, fs_launch *launch);

// out = relu(in . w + bias + the sum of the four bilinear resizes of the folded cells, rounded to half). in and out:
// 128 channels.
typedef struct fs_pyramid_out_params {
    fs_map in, out;
    fs_fused_pw pw;                // n = 128
    const float *cells;            // [50][128]
    const fs_k_tap *tap_y, *tap_x; // [4][h], [4][w], see fs_pyramid_up_params
} fs_pyramid_out_params;
bool fs_launch_pyramid_out(const fs_pyramid_out_params *p, int sm, int variant, fs_launch *launch);

#ifdef __cplusplus
}
#endif
#endif
