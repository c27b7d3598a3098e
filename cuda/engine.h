// The CUDA engine: folded weights in the layouts of the kernels, one block of device memory shared by all sessions.
#ifndef FS_CUDA_ENGINE_H
#define FS_CUDA_ENGINE_H

#include "cuda/cudnn.h"
#include "cuda/device.h"
#include "cuda/kernels/kernels.h"
#include "runtime/plan.h"

// Device pointers of one layer. Dense: weights[n][k] as fs_conv_params has them; depthwise: float [9][c].
typedef struct fs_cuda_layer {
    const void *weights;
    const float *bias;     // n rounded up to a multiple of 8
    const void *bias_half; // the same in half, for cuDNN; F16 and dense only
} fs_cuda_layer;

typedef struct fs_cuda_engine {
    fs_device device;
    fs_model model;
    fs_precision precision; // FS_FP16 or FS_FP32
    fs_k_type type;
    fs_cuda_layer layer[FS_LAYERS];
    fs_cuda_layer stem; // mean and std folded in: weights [32][48], bias [64][32], see fs_stem_params
    float stem_scale;
    fs_cuda_layer ffm;                              // low and high pointwise one after the other along K, biases summed
    fs_cuda_layer ppm_main;                         // ppm.out's inputs that the map itself feeds; 1x1 form only
    const float *ppm_weight, *ppm_bias, *ppm_slice; // see fs_pyramid_branch_params; slice: 1x1 form only
    void *block;                                    // device memory behind all of it
    size_t bytes;
    fs_cudnn *cudnn; // NULL when it is not used
} fs_cuda_engine;

// Packs and uploads. FS_ERR_WEIGHTS when a weight does not fit half precision; FS_ERR_MEMORY, FS_ERR_BACKEND. With
// `want_cudnn` cuDNN is loaded where it is found, else a log line says why our own kernels run alone.
fs_status fs_cuda_engine_open(const fs_weights *weights, fs_precision precision, int ordinal, bool want_cudnn,
                              fs_cuda_engine **engine);
void fs_cuda_engine_close(fs_cuda_engine *engine);

#endif
