// The int8 part of a CPU engine: calibrated layers, their weights as s8 panels for gemm_u8.
#ifndef FS_CPU_INT8_H
#define FS_CPU_INT8_H

#include "cpu/kernels/kernels.h"
#include "runtime/plan.h"

// A dense layer packed for gemm_u8. panels == NULL: the layer stays precise.
typedef struct fs_packed_u8 {
    const int8_t *panels;
    const int32_t *start;
    const float *scale, *bias; // [n]
    int k, n;
} fs_packed_u8;

typedef struct fs_int8 {
    fs_quant input[FS_LAYERS]; // scale 0: precise
    fs_packed_u8 layer[FS_LAYERS];
    fs_packed_u8 stem; // reads raw pixels; weights of 15 bits, k counts one of the two parts
    uint8_t stem_pad[4];
    fs_packed_u8 ffm; // both pointwise one after the other along K; in place of their two layers
    char *block;      // the one allocation behind all of it; owned
    size_t bytes;
} fs_int8;

// Packs the calibrated layers of `weights`, and the stem: `stem` [3][3][channels][32] and `stem_bias` are its weights
// for raw pixels, `pad` what a padded pixel is (outside 0..255 the stem stays as it is). FS_ERR_MEMORY.
//
// The stem's pixels are bytes as they come, so nothing is lost there, and its weights have 15 bits, since their error
// spreads through everything behind it: scale[n] = (float)(max over k of |w| / 16256), q[k][n] = w / scale[n] = 128 *
// coarse + fine, fine within -64..64. A window row is followed by zero weights up to a multiple of 4.
//
// The others:
// The input's scale goes into the weights, so that inputs of different scales share one sum: w'[k][n] = w[k][n] * scale
// of k's input, in double; scale[n] = (float)(max over k of |w'| / 127); q[k][n] = w' / scale[n] to the nearest, ties
// to even; start[n] = - sum over k of zero * q. cpu/reference/int8.c says the same in plain loops.
fs_status fs_int8_pack(const fs_weights *weights, const float *stem, const float *stem_bias, const float pad[4],
                       fs_int8 *int8);
void fs_int8_free(fs_int8 *int8); // accepts a zeroed struct

// How rows become a layer's input.
fs_to_u8 fs_int8_input(fs_quant input);

#endif
