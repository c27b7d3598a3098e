// The GPU: whether it is usable and why not, errors of the CUDA runtime in words, the current device of a thread.
#ifndef FS_CUDA_DEVICE_H
#define FS_CUDA_DEVICE_H

#include <cuda_runtime_api.h>

#include "runtime/base/status.h"

enum {
    FS_CUDA_MIN_SM = 75,   // Turing: the first with the tensor-core instructions that the kernels use
    FS_CUDA_EARLY_SM = 90, // Hopper: the first with programmatic dependent launch
};

typedef struct fs_device {
    int ordinal;
    char name[128];
    int sm, processors;  // 90 for compute capability 9.0; multiprocessors
    int shared_optin;    // dynamic shared memory that a block may have, bytes
    int driver, runtime; // 13000 for CUDA 13.0
    size_t memory;       // bytes
} fs_device;

// Looks at one GPU. FS_ERR_DEVICE with the reason and what to do about it: no driver, too old a driver, no such GPU,
// too old a GPU.
fs_status fs_device_look(int ordinal, fs_device *device);

// Turns a failure of the runtime into a status: out of memory, or the backend's failure, with `what` was being done.
// Clears the runtime's own record of it. FS_OK for cudaSuccess.
fs_status fs_cuda_status(cudaError_t error, const char *what);
#define FS_CUDA(call, what) FS_TRY(fs_cuda_status((call), (what)))

// Makes a device current for this thread and gives back the one before, for fs_device_leave. The caller's own choice is
// never disturbed beyond a call.
fs_status fs_device_enter(int ordinal, int *before);
// To release what is on a device. A failure is passed over, and the error text stays that of the failure before.
void fs_device_enter_anyway(int ordinal, int *before);
void fs_device_leave(int ordinal, int before);

#endif
