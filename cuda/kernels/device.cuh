// What every kernel file includes first: the same kernel text is compiled by nvcc for the GPU and, in tests, by g++
// over the SIMT layer (simt.h, found on the include path of tests only).
#ifndef FS_CUDA_KERNELS_DEVICE_CUH
#define FS_CUDA_KERNELS_DEVICE_CUH

#include <cstdint>
#include <cstdio>
#include <cstring>

#include <cuda_fp16.h>
#include <cuda_runtime.h>

#include "cuda/kernels/kernels.h"

#ifdef __CUDACC__

// A kernel: FS_KERNEL(threads per block, least blocks per SM) name(const FS_PARAM fs_x_params p) { ... }
#define FS_KERNEL(threads, blocks) __global__ void __launch_bounds__(threads, blocks)
#define FS_PARAM __grid_constant__
#define FS_DEVICE static __device__ __forceinline__
// Shared memory of a block. FS_SHARED(half, tile, [64][72]); FS_SHARED_DYNAMIC(unsigned char, raw) is the block's
// dynamic part, 128-byte aligned.
#define FS_SHARED(type, name, extent) __shared__ __align__(128) type name extent
#define FS_SHARED_DYNAMIC(type, name)                                                                                  \
    extern __shared__ __align__(128) unsigned char fs_dynamic_shared[];                                                \
    type *const name = reinterpret_cast<type *>(fs_dynamic_shared)
// The entry of a kernel (a template instance in parentheses): FS_ENTRY((conv_f16<128, 64>)).
#define FS_ENTRY(kernel) reinterpret_cast<const void *>(FS_UNPAREN kernel)
#define FS_UNPAREN(...) __VA_ARGS__

#else
#include <simt.h> // the same names for the CPU
#endif

// Fills a launch; the caller has checked the sizes.
template <typename Params>
static inline void fs_launch_fill(fs_launch *launch, const void *entry, const char *name, unsigned x, unsigned y,
                                  unsigned z, unsigned threads, unsigned shared, const Params &params) {
    static_assert(sizeof(Params) <= FS_LAUNCH_PARAMS, "a kernel's parameters fit a launch");
    memset(launch, 0, sizeof *launch);
    launch->kernel = entry;
    snprintf(launch->name, sizeof launch->name, "%s", name);
    launch->grid[0] = x, launch->grid[1] = y, launch->grid[2] = z;
    launch->block = threads, launch->shared = shared;
    launch->params_bytes = sizeof(Params);
    memcpy(launch->params.bytes, &params, sizeof params);
}

static inline unsigned fs_blocks(long long count, unsigned per_block) {
    return static_cast<unsigned>((count + per_block - 1) / per_block);
}

// Activations are half or float in memory and float in registers.
FS_DEVICE float fs_load(const __half *p) {
    return __half2float(*p);
}
FS_DEVICE float fs_load(const float *p) {
    return *p;
}
FS_DEVICE void fs_store(__half *p, float x) {
    *p = __float2half_rn(x);
}
FS_DEVICE void fs_store(float *p, float x) {
    *p = x;
}
// ReLU that keeps a NaN visible, as the reference does.
FS_DEVICE float fs_relu(float x) {
    return x < 0.0f ? 0.0f : x;
}

#endif
