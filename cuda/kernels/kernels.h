// The kernels of the CUDA backend as C sees them: parameter structs, and one function per kernel family that fills a
// launch. Maps are [h][w][c] with the channels of a pixel together; every pointer is device memory unless said, and
// 16-byte aligned, but for a frame's planes, for labels and for an overlay.
#ifndef FS_CUDA_KERNELS_KERNELS_H
#define FS_CUDA_KERNELS_KERNELS_H

#include <stdint.h>

#include "cuda/kernels/launch.h"

#ifdef __cplusplus
extern "C" {
#endif

// What activations are. Accumulation is float either way; FS_K_F32 is there to check FS_K_F16 by.
typedef enum fs_k_type { FS_K_F16, FS_K_F32 } fs_k_type;

// Batch 1. pitch: elements from one pixel to the next, >= c, a multiple of 8 except for the normalised frame (pitch ==
// c there); rows follow each other without a gap. data is 16-byte aligned. Channels c .. pitch-1 are padding: what is
// there must be finite (zeros), and a kernel that writes a map writes zeros to the padding that it covers.
typedef struct fs_map {
    void *data;
    int h, w, c, pitch;
} fs_map;

// One output coordinate of a bilinear resize, from fs_resize_source: value = in[lower] + (in[upper] - in[lower]) *
// fraction. upper is lower or lower + 1.
typedef struct fs_k_tap {
    int lower, upper;
    float fraction;
} fs_k_tap;

// Each fs_launch_* fills *launch and returns true, or returns false when variant `variant` (0 ..) is none that can run
// these parameters on compute capability `sm` (75, 80, 86, 89, 90, 100, 120). Variant 0 always can; the first false
// ends the list unless said. Launches have no state and all variants of a family give equal results up to rounding.
// Products in 64 bits: no map size up to 16384x16384 overflows.

// ---- frame.cu: a frame in any format and pitch, to packed u8 at the network's size ----------------------------------

// format: FS_RGB8 1, BGR8 2, RGBA8 3, BGRA8 4, GRAY8 5, NV12 6, I420 7, PLANAR_F32 8 (runtime/backend.h). Resized, when
// the sizes differ, by the half-pixel bilinear of host/image/resize.c: integer weights of 1/2048 and the same rounding,
// so the bytes are equal to the last bit. YUV is converted first (chroma bilinear at its siting: centred for I420 and
// NV12, horizontally co-sited never assumed), rounded to u8, then resized; so are floats, [channels] planes of 0..1.
// Planes may have any alignment and stride, planes of floats multiples of 4 bytes. Frames up to 65536 a side, outputs
// up to 16384: beyond, variant 0 declines too.
typedef struct fs_frame_params {
    const uint8_t *plane[4];
    long long stride[4]; // bytes
    int format, width, height;
    int bt709, full_range; // NV12, I420
    uint8_t *out;          // [out_h][out_w][channels], R,G,B(,A); A is 255 where the format has none
    int out_w, out_h, channels;
} fs_frame_params;
bool fs_launch_frame(const fs_frame_params *p, int sm, int variant, fs_launch *launch);

// ---- stem.cu: first convolution, 3x3 stride 2, straight from u8 pixels, + bias + ReLU -------------------------------

// Pixel x of row y starts at frame + y * stride + x * pixel; its channel c is byte order[c]. Any alignment.
// out = relu(scale * sum over taps inside the frame of w * u8 + bias[ry][rx]): mean and std are folded into w and bias;
// taps outside contribute nothing, so bias depends on which of the window's rows and columns are inside: ry (rx) is the
// bit mask of the three window rows (columns) that are inside, 1..7, stored at bias[(ry * 8 + rx) * 32 + n].
typedef struct fs_stem_params {
    const uint8_t *frame;
    long long stride;
    int pixel, order[4]; // bytes per pixel: 1, 3 or 4
    int h, w, channels;  // of the frame; 3 or 4 channels
    int pad_top, pad_left;
    float scale;
    const void *weights; // F16: half [32][48], k = (ky * 3 + kx) * channels + c, zeros behind 9 * channels; F32: float,
                         // the same layout
    const float *bias;   // [64][32]
    fs_map out;          // c = 32
} fs_stem_params;
bool fs_launch_stem(const fs_stem_params *p, fs_k_type type, int sm, int variant, fs_launch *launch);

// ---- conv.cu: dense convolution as an implicit GEMM -----------------------------------------------------------------

// out[y][x][n] = act(sum + bias[n] + residual[y][x][n]), act = ReLU or nothing; zero padding outside `in`.
// K runs over taps, then channels of `in`, then (kernel 1 only) channels of `in2`, a second map of the output's size.
// weights[n][k], n padded with zero rows to a multiple of 8, k = kernel * kernel * in.c + in2.c; bias padded likewise.
// Writes n = 0 .. min(out.pitch, padded n) - 1. out may not alias an input; residual may equal nothing else either.
// Variants of F16 (with in.c, in2.c multiples of 8): tensor-core tiles; then one per further tile shape. Any other
// channel count: a plain kernel, the only variant. sm 75: m16n8k8 tensor-core tiles without asynchronous copies.
typedef struct fs_conv_params {
    fs_map in, in2;      // in2.data NULL: none
    const void *weights; // half or float by type
    const float *bias;   // float
    fs_map residual;     // data NULL: none; of the activations' type
    fs_map out;          // c = n
    int out_f32;         // F16 only: out is float (logits)
    int relu;
    int kernel, stride, dilation, pad_top, pad_left; // kernel 1 or 3
} fs_conv_params;
bool fs_launch_conv(const fs_conv_params *p, fs_k_type type, int sm, int variant, fs_launch *launch);

// ---- depthwise.cu: 3x3 depthwise, stride 1 or 2, dilation 1 or 4 ----------------------------------------------------

// weights float [9][c], bias float [c], c a multiple of 8.
typedef struct fs_dw_params {
    fs_map in, out;
    const float *weights, *bias;
    int relu, stride, dilation, pad_top, pad_left;
} fs_dw_params;
bool fs_launch_dw(const fs_dw_params *p, fs_k_type type, int sm, int variant, fs_launch *launch);

// Feature fusion's low branch: the depthwise (stride 1, padding = dilation) of the bilinear resize of `in` to the size
// of `out`; the resized map never exists. Zero padding is outside the *resized* map. The resized value is rounded to
// the activations' type, as the separate steps would.
typedef struct fs_updw_params {
    fs_map in, out;
    const fs_k_tap *tap_y, *tap_x; // [out.h], [out.w]
    const float *weights, *bias;   // [9][c], [c]
    int relu, dilation;
} fs_updw_params;
bool fs_launch_updw(const fs_updw_params *p, fs_k_type type, int sm, int variant, fs_launch *launch);

// ---- elementwise.cu: what is left when fusion is off ----------------------------------------------------------------

// out[y][x][c] = (u8 / 255 - mean[c]) / std[c]; out.pitch == out.c == channels.
typedef struct fs_normalise_params {
    const uint8_t *frame;
    long long stride;
    int pixel, order[4];
    float mean[4], std[4];
    fs_map out;
} fs_normalise_params;
bool fs_launch_normalise(const fs_normalise_params *p, fs_k_type type, int sm, int variant, fs_launch *launch);

// out = act(a), or out = act(a + b) with b.data not NULL; equal shapes; act is ReLU or nothing.
typedef struct fs_eltwise_params {
    fs_map a, b, out;
    int relu;
} fs_eltwise_params;
bool fs_launch_eltwise(const fs_eltwise_params *p, fs_k_type type, int sm, int variant, fs_launch *launch);

// Bilinear resize. `type` is that of both maps (logits are FS_K_F32 at every precision).
typedef struct fs_resize_params {
    fs_map in, out;
    const fs_k_tap *tap_y, *tap_x; // [out.h], [out.w]
} fs_resize_params;
bool fs_launch_resize(const fs_resize_params *p, fs_k_type type, int sm, int variant, fs_launch *launch);

// Channels of `in[i]` one after another; `inputs` of them, all of out's size.
typedef struct fs_concat_params {
    fs_map in[5];
    int inputs;
    fs_map out;
} fs_concat_params;
bool fs_launch_concat(const fs_concat_params *p, fs_k_type type, int sm, int variant, fs_launch *launch);

// ---- pyramid.cu: pyramid pooling ------------------------------------------------------------------------------------

enum { FS_K_CELLS = 50 }; // 1 + 4 + 9 + 36, in this order, each bins x bins row by row

// One adaptive average pooling to bins x bins; bin i of n covers [floor(i n / bins), ceil((i + 1) n / bins)).
typedef struct fs_pool_params {
    fs_map in, out; // out: bins x bins
    int bins;
} fs_pool_params;
bool fs_launch_pool(const fs_pool_params *p, fs_k_type type, int sm, int variant, fs_launch *launch);

// All four poolings (bins 1, 2, 3, 6) at once, in fixed order of additions: cells float [50][in.c].
// partial: scratch of fs_pyramid_partial_floats(h, w, c) floats; a second launch (stage 1) adds the partial sums.
typedef struct fs_pyramid_pool_params {
    fs_map in;
    float *partial, *cells;
    int stage; // 0: partial sums over the elementary cells between all bin borders; 1: cells from the partial sums
} fs_pyramid_pool_params;
size_t fs_pyramid_partial_floats(int h, int w, int c);
bool fs_launch_pyramid_pool(const fs_pyramid_pool_params *p, fs_k_type type, int sm, int variant, fs_launch *launch);

// branch = relu(cells . w_branch + bias), [50][32]; bin b of a cell picks w_branch[b] [128][32] and bias[b][32].
// Then, when slice is not NULL, folded = branch . slice[b] ([32][128]), [50][128]: the part of ppm.out (1x1) that this
// branch feeds. All float: the work is nothing.
typedef struct fs_pyramid_branch_params {
    const float *cells;         // [50][128]
    const float *weight, *bias; // [4][128][32], [4][32]
    const float *slice;         // [4][32][128] or NULL
    float *out;                 // [50][128] with slice, else [50][32]
} fs_pyramid_branch_params;
bool fs_launch_pyramid_branch(const fs_pyramid_branch_params *p, int sm, int variant, fs_launch *launch);

// Brings the 50 cells up to a map. folded: out (c = 128) = sum of the four bilinear resizes of [50][128]. Else out (c =
// in.c + 128) = in, then the four resizes of [50][32]: the concat. taps: [4][out.h] and [4][out.w], from each bin grid.
typedef struct fs_pyramid_up_params {
    const float *cells;
    int folded;
    fs_map in, out; // in: only when not folded
    const fs_k_tap *tap_y, *tap_x;
} fs_pyramid_up_params;
bool fs_launch_pyramid_up(const fs_pyramid_up_params *p, fs_k_type type, int sm, int variant, fs_launch *launch);

// ---- head.cu: bilinear resize of float logits and what is made of it ------------------------------------------------

// logits: float map h x w x classes (1/8 size); out size height x width. first_y[h + 1] (first_x[w + 1]): first output
// row whose lower tap is >= i, so rows first_y[i] .. first_y[i + 1] - 1 lie between grid rows i and i + 1 (cpu/head.c).
typedef struct fs_head_params {
    fs_map logits;
    const fs_k_tap *tap_y, *tap_x; // [height], [width]
    const int *first_y, *first_x;
    int height, width;
    uint8_t *labels;
    long long labels_stride;
    const uint8_t *map; // 256 entries applied to each label, or NULL
} fs_head_params;
// The lowest class of the largest value. Cells whose four corners agree are filled; elsewhere a class is dropped only
// if one same class beats it at all corners. The arithmetic of a pixel is that of cpu/kernels/head.h to the last bit:
// left = v00 + (v10 - v00) * fy, right likewise, value = fma(right - left, fx, left), no other contraction. Variant 0:
// with the shortcut; 1: dense (to check and to compare).
bool fs_launch_head_labels(const fs_head_params *p, int sm, int variant, fs_launch *launch);

// out[c][y][x]: bilinear logits (value as cpu/head.c computes it: lerp down first, then along). scores, the same shape,
// float or half: their softmax. confidence: u8 [height][confidence_stride], round(255 * largest softmax value). Any may
// be NULL.
typedef struct fs_head_planes_params {
    fs_map logits;
    const fs_k_tap *tap_y, *tap_x;
    int height, width, scores_f16;
    float *out;
    void *scores;
    uint8_t *confidence;
    long long confidence_stride;
} fs_head_planes_params;
bool fs_launch_head_planes(const fs_head_planes_params *p, int sm, int variant, fs_launch *launch);

// Argmax of a full-size float map, lowest class on ties; map as above.
typedef struct fs_argmax_params {
    fs_map in;
    uint8_t *labels;
    long long labels_stride;
    const uint8_t *map;
} fs_argmax_params;
bool fs_launch_argmax(const fs_argmax_params *p, int sm, int variant, fs_launch *launch);

// ---- tally.cu: what follows the labels ------------------------------------------------------------------------------

enum { FS_K_TALLY_BLOCKS = 128 };

// Stage 0 reads classes below `classes` (at most 256), any alignment and stride. With partial ([FS_K_TALLY_BLOCKS]
// [classes]) it counts them; with map it replaces each by its entry, in place. Stage 1: histogram[classes] from
// partial.
typedef struct fs_tally_params {
    uint8_t *labels; // [height][stride]
    long long stride;
    int height, width, classes, stage;
    const uint8_t *map;
    uint32_t *partial, *histogram;
} fs_tally_params;
bool fs_launch_tally(const fs_tally_params *p, int sm, int variant, fs_launch *launch);

// ---- overlay.cu: the frame with the colours of its classes ----------------------------------------------------------

// out[y][x] = R, G, B, A of (pixel * (256 - share) + colour * share + 128) / 256, half of it where the right or the
// lower neighbour is of another class; A is 255. Labels, palette and output may have any alignment, labels and output
// any stride. Sides up to FS_OUTPUT_SIDE (runtime/backend.h).
typedef struct fs_overlay_params {
    fs_frame_params picture; // planes, format and coding, at the size of the output; channels is 3, `out` is not used
    const uint8_t *labels;   // [height][labels_stride]
    long long labels_stride;
    const uint8_t *palette; // [256][3]: R, G, B by class
    int share;              // 0..256
    uint8_t *out;           // [height][out_stride]
    long long out_stride;
} fs_overlay_params;
bool fs_launch_overlay(const fs_overlay_params *p, int sm, int variant, fs_launch *launch);

#ifdef __cplusplus
}
#endif
#endif
