// The CPU engine: folded weights packed for the kernels, shared read-only by all its sessions.
#ifndef FS_CPU_ENGINE_H
#define FS_CPU_ENGINE_H

#include "cpu/int8.h"
#include "cpu/kernels/kernels.h"
#include "runtime/plan.h"

// A dense layer packed for gemm: K inputs by N (padded to 16) outputs.
typedef struct fs_packed {
    const void *panels; // f32 or bf16 pairs, see fs_gemm.b
    const float *bias;  // [n]
    int k, n;
} fs_packed;

typedef struct fs_cpu_layer {
    fs_packed dense;        // convolutions
    const float *depthwise; // [9][channels]
    const float *bias;      // of the depthwise
} fs_cpu_layer;

typedef struct fs_cpu_engine {
    const fs_kernels *kernels;
    fs_precision precision;
    bool bf16_rows; // rows between stages are bf16 and products use the bf16 dot; else rows are float
    fs_model model;
    fs_cpu_layer layer[FS_LAYERS];
    fs_packed stem_u8; // stem with mean and std folded in: takes raw u8 values, pads with stem_pad; in bf16 K holds the
                       // weights twice, rounded and what rounding left over
    float stem_pad[4]; // 255 * mean: what a zero of the normalised frame is in u8 units
    fs_packed ffm;     // low and high pointwise one after the other along K, biases summed
    fs_packed ppm_branch[4]; // always float
    fs_packed ppm_slice[4];  // always float: 32 inputs of ppm.out, no bias; 1x1 form only
    fs_packed ppm_main;      // the 128 inputs of ppm.out that the map itself feeds; 1x1 form only
    fs_int8 int8;            // calibrated layers; empty (block NULL) unless the engine was opened for int8
    fs_weights plain;        // as they came, for oneDNN; empty (block NULL) with our own kernels
    char *block;             // the one allocation behind all of it; owned
    size_t bytes;
} fs_cpu_engine;

// FS_ERR_MEMORY. `limit` names the highest instruction set to use, NULL for the best.
fs_status fs_cpu_engine_open(const fs_weights *weights, fs_precision precision, const char *limit,
                             fs_cpu_engine **engine);
// The same with a given kernel table, which this processor must be able to run.
fs_status fs_cpu_engine_open_with(const fs_weights *weights, fs_precision precision, const fs_kernels *kernels,
                                  fs_cpu_engine **engine);
// Makes a bf16 engine an int8 one: the calibrated layers run in int8, the rest as before. FS_ERR_MEMORY. Before the
// first session only.
fs_status fs_cpu_engine_add_int8(fs_cpu_engine *engine, const fs_weights *weights);
// Keeps a copy of the weights, which makes the engine's sessions run their convolutions by oneDNN. FS_ERR_UNSUPPORTED
// when this build or this processor cannot, FS_ERR_MEMORY. Before the first session only.
fs_status fs_cpu_engine_add_onednn(fs_cpu_engine *engine, const fs_weights *weights);
void fs_cpu_engine_close(fs_cpu_engine *engine);

#endif
