// The network as plain data: tensors and elementary operations in execution order, written once by runtime/network.c.
#ifndef FS_RUNTIME_GRAPH_H
#define FS_RUNTIME_GRAPH_H

#include "runtime/model.h"

enum { FS_MAX_OPS = 128, FS_MAX_TENSORS = 128, FS_MAX_INPUTS = 5, FS_NAME = 40 };

typedef enum fs_op_kind {
    FS_OP_NORMALISE, // u8 frame -> (x / 255 - mean) / std
    FS_OP_CONV,      // dense k x k, zero padding
    FS_OP_DWCONV,    // depthwise k x k, zero padding
    FS_OP_RELU,
    FS_OP_ADD,    // in[0] + in[1], equal shapes
    FS_OP_POOL,   // adaptive average pooling to bins x bins; bin i of b over n: [floor(i n / b), ceil((i + 1) n / b))
    FS_OP_RESIZE, // bilinear to the output tensor's size
    FS_OP_CONCAT, // along channels, in input order
    FS_OP_ARGMAX, // index of the largest channel, the lowest on ties
    FS_OP_KINDS
} fs_op_kind;

const char *fs_op_kind_name(fs_op_kind kind);

// What an element of a tensor is.
typedef enum fs_element {
    FS_ELEMENT_FRAME,      // u8
    FS_ELEMENT_ACTIVATION, // of the engine's precision
    FS_ELEMENT_LOGIT,      // float at every precision: the margins between classes are small
    FS_ELEMENT_LABEL       // u8
} fs_element;

// Batch 1, row-major [h][w][c].
typedef struct fs_tensor {
    char name[FS_NAME]; // of the operation that makes it
    int h, w, c;
    fs_element element;
} fs_tensor;

// The part of the network that an operation belongs to: what fusion may merge.
typedef enum fs_block {
    FS_BLOCK_STEM,
    FS_BLOCK_LTD_DS1,
    FS_BLOCK_LTD_DS2,
    FS_BLOCK_BOTTLENECK, // .. + 8
    FS_BLOCK_PPM = FS_BLOCK_BOTTLENECK + 9,
    FS_BLOCK_FFM,
    FS_BLOCK_CLS_DS1,
    FS_BLOCK_CLS_DS2,
    FS_BLOCK_CLS_CONV,
    FS_BLOCK_HEAD,
    FS_BLOCKS
} fs_block;

typedef struct fs_op {
    fs_op_kind kind;
    fs_block block;
    char name[FS_NAME];            // "gfe.b1.0.expand", "gfe.b1.0.expand.relu"
    int in[FS_MAX_INPUTS], inputs; // tensor indices
    int out;                       // tensor index
    int layer;                     // CONV, DWCONV: index into the layer table; else -1
    int kernel, stride, dilation;  // CONV, DWCONV; dilation 1 = none
    int pad_top, pad_left; // rows and columns of zeros before the first; those behind follow from the output size
    int bins;              // POOL
    bool align_corners;    // RESIZE
} fs_op;

typedef struct fs_graph {
    fs_model model;
    fs_layer layers[FS_LAYERS];
    int height, width; // of the frame
    fs_tensor tensor[FS_MAX_TENSORS];
    int tensors;
    fs_op op[FS_MAX_OPS];
    int ops;
    int frame, logits, labels; // tensor indices: input, 1/8-size logits, output
} fs_graph;

// Writes the network of `model` for one frame size. FS_ERR_ARGUMENT for a size outside FS_MIN_SIZE..FS_MAX_SIZE.
fs_status fs_graph_build(fs_graph *graph, const fs_model *model, int height, int width);

// Multiply-adds of an operation (convolutions; resizes, pools and element-wise work count 0, as papers do).
double fs_op_macs(const fs_graph *graph, const fs_op *op);

// Where a bilinear resize reads for output index d: index of the lower neighbour, and the upper one's weight in [0, 1].
// align: src = d (in - 1) / (out - 1), else max(0, (d + 0.5) in / out - 0.5); the upper neighbour is min(lower + 1, in
// - 1). In double, then the fraction cast to float: every backend calls this, so all use the same numbers.
void fs_resize_source(int d, int in, int out, bool align, int *lower, float *fraction);

// Bin i of `bins` over n: [*begin, *end).
void fs_pool_bin(int i, int bins, int n, int *begin, int *end);

#endif
