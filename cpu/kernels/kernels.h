// The row kernels of the CPU backend: one table per instruction set, each compiled from the same text in cpu/kernels/.
#ifndef FS_CPU_KERNELS_H
#define FS_CPU_KERNELS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { FS_PANEL = 16, FS_GEMM_SEGMENTS = 10 }; // output channels per packed panel; segments of one product

// C[m][n] = relu(bias[n] + sum over segments and k of A_s[m][k] * B[k][n] + add[m][n]).
// A pixel's inputs may lie in several segments: the rows of a 3x3 window, or two maps. Floats throughout, or bf16
// pairs.
typedef struct fs_gemm {
    int m; // pixels
    int n; // output channels, a multiple of FS_PANEL (packing pads)
    int segments;
    struct {
        const void *a;    // first pixel
        ptrdiff_t stride; // elements from one pixel to the next
        int k;            // inputs per pixel; even in bf16
    } segment[FS_GEMM_SEGMENTS];
    const void *b;     // f32: [n / 16][K][16]; bf16: [n / 16][K / 2][16][2], K the sum of all k
    const float *bias; // [n]
    const void *add;   // NULL, or like c
    ptrdiff_t add_stride;
    bool relu;
    void *c;            // f32 product: float; bf16 product: bf16, or float when c_float
    ptrdiff_t c_stride; // elements from one pixel to the next
    ptrdiff_t c_panel;  // elements from one panel of 16 channels to the next; 16 when a pixel's channels lie together
    bool c_float;
} fs_gemm;

// How a float becomes u8: x * inverse, at least -zero (a NaN too) and at most 255 - zero, rounded to the nearest (ties
// to even), plus zero.
typedef struct fs_to_u8 {
    float inverse;
    int zero;
} fs_to_u8;

// C[m][n] = relu(scale[n] * (start[n] + sum over segments and k of A_s[m][k] * B[k][n]) + bias[n] + add[m][n]): u8 by
// s8 in 32-bit integers, exact; then float, rounded after each operation, the same on every instruction set.
typedef struct fs_gemm_u8 {
    int m, n; // as in fs_gemm
    int segments;
    int coarse; // the first so many segments count 128-fold: weights of 15 bits as two bytes
    struct {
        const uint8_t *a;
        ptrdiff_t stride;
        int k; // a multiple of 4
    } segment[6];
    const int8_t *b;           // [n / 16][K / 4][16][4]
    const int32_t *start;      // [n]: what the inputs' zero points add, negated
    const float *scale, *bias; // [n]
    const void *add;           // NULL, or like c
    ptrdiff_t add_stride;
    bool relu;
    void *c; // bf16, or float when c_float
    ptrdiff_t c_stride, c_panel;
    bool c_float;
} fs_gemm_u8;

// One output row of a depthwise 3x3. row[ky] points at source column `begin`; columns outside begin..end are zero.
typedef struct fs_depthwise {
    const void *row[3];
    int begin, end;         // source columns that exist
    ptrdiff_t pixel_stride; // elements from one source pixel to the next
    ptrdiff_t panel_stride; // elements from one panel of 16 source channels to the next
    int x0, x1;             // output columns
    int stride, dilation, pad_left;
    int channels;        // a multiple of FS_PANEL
    const float *weight; // [9][channels]
    const float *bias;   // [channels]
    bool relu;
    void *out;            // output column x0
    ptrdiff_t out_stride; // elements
    fs_to_u8 to_u8;       // where the output is u8
} fs_depthwise;

// Bilinear positions along one axis.
typedef struct fs_tap {
    int lower, upper;
    float fraction;
} fs_tap;

typedef struct fs_kernels {
    const char *name; // "avx2"
    int lanes;
    bool bf16_dot; // whether gemm_bf16 is native: else bf16 runs as float arithmetic over bf16 storage
    bool int8_dot; // whether gemm_u8 is native: else it is there for tests only

    void (*gemm_f32)(const fs_gemm *g);
    void (*gemm_bf16)(const fs_gemm *g);
    void (*depthwise_f32)(const fs_depthwise *d);
    void (*depthwise_bf16)(const fs_depthwise *d);
    void (*depthwise_f32_to_bf16)(const fs_depthwise *d);
    void (*gemm_u8)(const fs_gemm_u8 *g);
    void (*depthwise_f32_to_u8)(const fs_depthwise *d);
    void (*depthwise_bf16_to_u8)(const fs_depthwise *d);
    // count a multiple of 16
    void (*u8_from_f32)(const float *in, fs_to_u8 how, uint8_t *out, size_t count);
    void (*u8_from_bf16)(const uint16_t *in, fs_to_u8 how, uint8_t *out, size_t count);
    // count elements, any count.
    void (*to_f32)(const uint16_t *in, float *out, size_t count);
    void (*to_bf16)(const float *in, uint16_t *out, size_t count);
    void (*relu_f32)(const float *in, float *out, size_t count);
    void (*add_f32)(const float *a, const float *b, float *out, size_t count);
    // out[i] = a[i] + (b[i] - a[i]) * t, count a multiple of 16
    void (*lerp_f32)(const float *a, const float *b, float t, float *out, size_t count);
    void (*lerp_bf16)(const uint16_t *a, const uint16_t *b, float t, float *out, size_t count);
    // Horizontal bilinear of one row of float pixels: out[x][c] = mix(in[lower - begin], in[upper - begin]); c a
    // multiple of 16. accumulate: adds to out.
    void (*stretch_f32)(const float *in, int begin, const fs_tap *taps, int count, int channels, ptrdiff_t in_stride,
                        float *out, ptrdiff_t out_stride, ptrdiff_t out_panel, bool accumulate);
    void (*stretch_bf16)(const float *in, int begin, const fs_tap *taps, int count, int channels, ptrdiff_t in_stride,
                         uint16_t *out, ptrdiff_t out_stride);
    // u8 samples times scale plus shift, per channel with period `channels` (3 or 4).
    void (*input_f32)(const uint8_t *in, float *out, size_t pixels, int channels, const float *scale,
                      const float *shift);
    // sums[c] += in[p][c] over count pixels, channels a multiple of 16
    void (*sum_f32)(const float *in, ptrdiff_t stride, int count, int channels, float *sums);
    void (*sum_bf16)(const uint16_t *in, ptrdiff_t stride, int count, int channels, float *sums);

    // Index of the largest of classes values at each of count pixels (lowest on ties).
    void (*argmax)(const float *in, ptrdiff_t stride, int count, int classes, uint8_t *out);
    // Labels of the pixels between four corners, see head.h.
    void (*head_cell)(const float *const corner[4], int classes, const float *fx, int nx, const float *fy, int ny,
                      uint8_t *out, ptrdiff_t out_stride, float *scratch);
    // One full-size row of one class: out[x] = mix(in[lower], in[lower + 1], fraction), of columns that exist; lower
    // ascends. high: NULL, or what is raised to out[x] where that is higher.
    void (*stretch_plane)(const float *in, int columns, const int *lower, const float *fraction, int count, float *out,
                          float *high);
    // values[i] = exp(values[i] - high[i]), values[i] <= high[i]; sum[i] += that. Relative error below 1e-6, a NaN
    // stays one.
    void (*add_exp)(float *values, const float *high, float *sum, size_t count);
    // out[i] = in[i] * scale[i], which is 0 .. 1 or a NaN; as float or as half.
    void (*scale_f32)(const float *in, const float *scale, float *out, size_t count);
    void (*scale_f16)(const float *in, const float *scale, uint16_t *out, size_t count);
} fs_kernels;

// The best table for this processor, at most `limit` ("sse", "avx2", "avx512", "avx512vnni", "avx512bf16"; NULL for no
// limit).
const fs_kernels *fs_kernels_select(const char *limit);
// Every table that this processor can run, best first; NULL-terminated.
const fs_kernels *const *fs_kernels_runnable(void);

extern const fs_kernels fs_kernels_sse, fs_kernels_avx2, fs_kernels_avx512, fs_kernels_avx512vnni,
    fs_kernels_avx512bf16;

#endif
