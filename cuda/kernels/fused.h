// Fused kernels: whole blocks of the network in one launch, so that what lies between their layers stays on the chip.
// Half precision only (FS_K_F16); conventions of kernels.h. Each is one of several routes for a step: it may decline
// parameters (false for variant 0), and then the step runs layer by layer.
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

// ---- dsconv.cu: depthwise -> pointwise (-> a second pointwise) ------------------------------------------------------

// in.c is 48 or 128 (a multiple of 16 up to 128), pw.n 64 or 128 (a multiple of 8 up to 128), stride 1 or 2. With
// last.weights not NULL a second pointwise over pw's result (rounded to half) makes float logits: last.n classes, 2 to
// 255; `out` is float then, and padding up to a multiple of 8 classes is written.
typedef struct fs_dsconv_params {
    fs_map in;
    fs_fused_dw dw;
    fs_fused_pw pw, last;
    fs_map out;
} fs_dsconv_params;
bool fs_launch_dsconv(const fs_dsconv_params *p, int sm, int variant, fs_launch *launch);

// ---- bottleneck.cu: expand -> depthwise -> project (+ residual): the expanded map never exists ----------------------

// expand.n = E = 6 in.c, expand and depthwise with ReLU, project without; residual (data NULL: none) has the output's
// shape and may be `in`.
typedef struct fs_bottleneck_params {
    fs_map in;
    fs_fused_pw expand;
    fs_fused_dw dw;
    fs_fused_pw project;
    fs_map residual, out;
} fs_bottleneck_params;
bool fs_launch_bottleneck(const fs_bottleneck_params *p, int sm, int variant, fs_launch *launch);

// ---- bottleneck_split.cu: the same for maps of fewer tiles than the GPU has multiprocessors -------------------------

// The channels are split over blocks. partial: what each share of E gives, scratch memory of the launch; arrived: zero
// before the first launch, and left zero by every launch. E is any multiple of 96, splits shares of 96 or 192 channels;
// project.n a multiple of 32.
typedef struct fs_bottleneck_split_params {
    fs_bottleneck_params block;
    float *partial;
    unsigned *arrived;
    int splits;
} fs_bottleneck_split_params;
// In how many shares to split E: as few as occupy two thirds of the GPU's multiprocessors. 0: it cannot be split.
int fs_bottleneck_splits(int expanded, const fs_map *out, int processors);
size_t fs_bottleneck_split_floats(const fs_map *out, int splits); // in partial
size_t fs_bottleneck_split_counters(const fs_map *out);           // in arrived
bool fs_launch_bottleneck_split(const fs_bottleneck_split_params *p, int sm, int variant, fs_launch *launch);

// ---- bottleneck_cluster.cu: the same, but the shares are added up inside clusters of blocks, sm_90 and up -----------

// The first with clusters; blocks that every such GPU can run together.
enum { FS_K_CLUSTER_SM = 90, FS_K_CLUSTER = 8 };

// splits as above, at most FS_K_CLUSTER; project.n at most 512. Variant 1: shares of the other width.
typedef struct fs_bottleneck_cluster_params {
    fs_bottleneck_params block;
    int splits;
} fs_bottleneck_cluster_params;
bool fs_launch_bottleneck_cluster(const fs_bottleneck_cluster_params *p, int sm, int variant, fs_launch *launch);

// ---- expand_dw.cu ---------------------------------------------------------------------------------------------------

// A bottleneck's first half: expand -> depthwise into `out` (c = E); a projection by conv.cu follows. For small maps,
// where the expanded channels are what there is to spread over the GPU: blocks are tiles x channel slices.
typedef struct fs_expand_dw_params {
    fs_map in;
    fs_fused_pw expand;
    fs_fused_dw dw;
    fs_map out;
} fs_expand_dw_params;
bool fs_launch_expand_dw(const fs_expand_dw_params *p, int sm, int variant, fs_launch *launch);

// ---- fusion.cu: feature fusion: resize -> depthwise -> one GEMM over both branches -> ReLU --------------------------

// low: the map that is resized to the size of `skip` (taps as in fs_updw_params), 128 channels; dw: stride 1, ReLU,
// dilation 1 or 4, zero padding = dilation outside the resized map. pw: K = 128 (low) + 64 (skip), n = 128, ReLU.
typedef struct fs_fusion_params {
    fs_map low, skip, out;
    const fs_k_tap *tap_y, *tap_x;
    fs_fused_dw dw;
    int dilation;
    fs_fused_pw pw;
} fs_fusion_params;
bool fs_launch_fusion(const fs_fusion_params *p, int sm, int variant, fs_launch *launch);

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
