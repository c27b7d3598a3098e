// The scalar truth: every elementary operation with double accumulation, and the whole network run one operation at a
// time.
#ifndef FS_CPU_REFERENCE_H
#define FS_CPU_REFERENCE_H

#include <stddef.h>
#include <stdint.h>

#include "runtime/graph.h"

// Tensors here are float, [h][w][c], tightly packed (labels: uint8_t [h][w]); results are rounded to float once per
// operation. The frame is u8 [h][w][channels], channels in the model's order.
void fs_ref_normalise(const uint8_t *frame, int h, int w, const fs_model *model, float *out);
void fs_ref_conv(const float *in, int h, int w, int ci, const fs_op *op, const fs_folded *layer, int oh, int ow, int co,
                 float *out);
void fs_ref_dwconv(const float *in, int h, int w, int c, const fs_op *op, const fs_folded *layer, int oh, int ow,
                   float *out);
void fs_ref_relu(const float *in, size_t count, float *out);
void fs_ref_add(const float *a, const float *b, size_t count, float *out);
void fs_ref_pool(const float *in, int h, int w, int c, int bins, float *out);
void fs_ref_resize(const float *in, int h, int w, int c, int oh, int ow, bool align, float *out);
void fs_ref_concat(const float *const *in, const int *channels, int inputs, size_t pixels, float *out);
void fs_ref_argmax(const float *in, size_t pixels, int c, uint8_t *out);

// What x becomes as the input of a product in int8, see fs_quant. The factor is 1 / scale, rounded to float.
uint8_t fs_ref_quantise(float x, fs_quant how);

// One input of a product in int8: float values [pixels][channels], weight [channels][outputs].
typedef struct fs_ref_input {
    const float *values;
    int channels;
    fs_quant quant;
    const float *weight;
} fs_ref_input;
// out [pixels][outputs] = scale[n] * sum over inputs and channels of (quantised value - zero) * quantised weight, plus
// bias[n]; the sum in integers, then float with a rounding after each operation. The weights are quantised for each
// output n, after the inputs' scales went into them: to -127..127 steps of scale[n] = their largest magnitude / 127.
void fs_ref_int8(const fs_ref_input *inputs, int count, size_t pixels, const float *bias, int outputs, float *out);

// Runs the network. Any output may be NULL. labels: [h][w]; logits: [classes][h][w] at frame size; tensors: when not
// NULL, receives every tensor by index (float*, labels as uint8_t*), each freed by the caller with fs_free.
// FS_ERR_MEMORY.
fs_status fs_ref_run(const fs_graph *graph, const fs_weights *weights, const uint8_t *frame, uint8_t *labels,
                     float *logits, void **tensors);

#endif
