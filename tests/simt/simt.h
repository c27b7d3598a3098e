// The CPU's side of cuda/kernels/device.cuh: everything that CUDA gives a kernel, over threads that are fibers.
#ifndef FS_TESTS_SIMT_H
#define FS_TESTS_SIMT_H

#include <cstdint>

#include <cuda_fp16.h>
#include <cuda_runtime.h>

#include "tests/simt/atomics.h"
#include "tests/simt/entry.h"
#include "tests/simt/instructions.h"
#include "tests/simt/intrinsics.h"
#include "tests/simt/intrinsics_half.h"
#include "tests/simt/memory.h"
#include "tests/simt/sync.h"

extern uint3 threadIdx, blockIdx;
extern dim3 blockDim, gridDim;
constexpr int warpSize = 32;

// The CUDA headers define these as nothing for a host compiler, which would make every thread's own array of a shared
// one: refuse the word instead.
#undef __shared__
#define __shared__ static_assert(false, "declare shared memory with FS_SHARED or FS_SHARED_DYNAMIC");
#undef __launch_bounds__
#define __launch_bounds__(...)

#define FS_KERNEL(threads, blocks) void
#define FS_PARAM
#define FS_DEVICE [[maybe_unused, gnu::always_inline]] static inline

// One object for the whole block: the declaration's own static names it.
#define FS_SHARED(type, name, extent)                                                                                  \
    static char fs_shared_##name;                                                                                      \
    type(&name) extent = *static_cast<type(*) extent>(simt::shared_array(&fs_shared_##name, #name, sizeof(type extent)))
#define FS_SHARED_DYNAMIC(type, name) type *const name = static_cast<type *>(simt::shared_dynamic())

#define FS_UNPAREN(...) __VA_ARGS__
#define FS_ENTRY(kernel) static_cast<const void *>(&simt::entry<FS_UNPAREN kernel>)

#endif
