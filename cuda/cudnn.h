// cuDNN 9 behind one door: its graph API as convolution + residual + bias + ReLU plans, loaded at run time.
#ifndef FS_CUDA_CUDNN_H
#define FS_CUDA_CUDNN_H

#include <cuda_runtime_api.h>
#include <stdbool.h>
#include <stddef.h>

#include "runtime/base/status.h"

// The loaded library. Thread-safe. Opened once per engine.
typedef struct fs_cudnn fs_cudnn;
// FS_ERR_BACKEND with the places that were looked at and what to install, when there is no usable cuDNN 9;
// FS_ERR_UNSUPPORTED in a build without its headers. FASTSCNN_CUDNN (a library's path), when set, is the only place;
// else the loader's path, the CUDA toolkit (CUDA_HOME, /usr/local/cuda), and the Python packages (nvidia/cudnn/lib, of
// VIRTUAL_ENV, of the user, of the system). Once loaded the library stays loaded.
fs_status fs_cudnn_open(fs_cudnn **cudnn);
void fs_cudnn_close(fs_cudnn *cudnn);             // accepts NULL; after all plans and handles
int fs_cudnn_version(const fs_cudnn *cudnn);      // 91900
const char *fs_cudnn_path(const fs_cudnn *cudnn); // of the library

// A device to plan for. NULL json: the current device; else a description as cuDNN's device property descriptor takes
// it, so that plans are built on a machine without a GPU (FS_ERR_UNSUPPORTED before cuDNN 9.8).
typedef struct fs_cudnn_target {
    const char *json;
} fs_cudnn_target;

// y = act(conv(x, w) + z + bias), fp16 [h][w][c] maps, float accumulation; w is [n][kernel][kernel][c]; bias is fp16
// (zeros when none). Channels and pitches should be multiples of 8 and pitches equal to the channels: else cuDNN copies
// whole maps into its workspace first.
typedef struct fs_cudnn_conv {
    int h, w, c, c_pitch;   // of x; pitch: elements from pixel to pixel
    int oh, ow, n, n_pitch; // of y, and of z
    int kernel, stride, dilation, pad_top, pad_left, pad_bottom, pad_right;
    bool residual, relu;
} fs_cudnn_conv;

// One engine with its knobs, built for one convolution. One thread at a time; belongs to one session.
typedef struct fs_cudnn_plan fs_cudnn_plan;

// Builds up to `max` plans in the order of cuDNN's own preference (heuristic mode A, then the fallback list):
// precompiled engines, no run-time compilation, float sums, the same bits each time, workspace <= limit. An engine that
// cannot is passed over; *count may be 0. On failure nothing is left behind. FS_ERR_ARGUMENT for sizes that do not fit.
fs_status fs_cudnn_plans(fs_cudnn *cudnn, const fs_cudnn_target *target, const fs_cudnn_conv *conv,
                         size_t workspace_limit, fs_cudnn_plan **plans, int max, int *count);
// The one plan that fs_cudnn_plan_name called so; *plan = NULL (and FS_OK) when this library has none such any more.
fs_status fs_cudnn_find(fs_cudnn *cudnn, const fs_cudnn_target *target, const fs_cudnn_conv *conv,
                        size_t workspace_limit, const char *name, fs_cudnn_plan **plan);
void fs_cudnn_plan_free(fs_cudnn_plan *plan);              // accepts NULL
const char *fs_cudnn_plan_name(const fs_cudnn_plan *plan); // "cudnn 32:C2G3N1", at most 39 bytes: engine, knobs
size_t fs_cudnn_plan_workspace(const fs_cudnn_plan *plan); // bytes

// What executes plans: cuDNN's handle, of one session.
typedef struct fs_cudnn_handle fs_cudnn_handle;
fs_status fs_cudnn_handle_open(fs_cudnn *cudnn, fs_cudnn_handle **handle);
void fs_cudnn_handle_close(fs_cudnn_handle *handle); // accepts NULL

// Fixes the plan's device pointers (16-byte aligned). z only with `residual`.
fs_status fs_cudnn_bind(fs_cudnn_plan *plan, const void *x, const void *w, const void *bias, const void *z, void *y,
                        void *workspace);
// Enqueues; allocates nothing of ours. Capturable.
fs_status fs_cudnn_run(fs_cudnn_handle *handle, fs_cudnn_plan *plan, cudaStream_t stream);

#endif
