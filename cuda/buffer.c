// Allocates, frees and copies the caller's buffers on the engine's device.
#include "cuda/buffer.h"

#include "runtime/base/mem.h"

fs_status fs_buffer_alloc(const fs_cuda_engine *e, fs_memory memory, size_t bytes, void **buffer) {
    if (memory == FS_MEMORY_HOST) {
        void *made = fs_calloc(1, bytes);
        if (made == NULL) return fs_fail(FS_ERR_MEMORY, "out of memory for a buffer of %zu bytes", bytes);
        *buffer = made;
        return FS_OK;
    }
    int before;
    FS_TRY(fs_device_enter(e->device.ordinal, &before));
    void *made = NULL;
    const cudaError_t error =
        memory == FS_MEMORY_PINNED ? cudaHostAlloc(&made, bytes, cudaHostAllocPortable) : cudaMalloc(&made, bytes);
    const fs_status status = fs_cuda_status(error, "allocating a buffer");
    fs_device_leave(e->device.ordinal, before);
    if (status == FS_OK) *buffer = made;
    return status;
}

void fs_buffer_free(const fs_cuda_engine *e, fs_memory memory, void *buffer) {
    if (buffer == NULL) return;
    if (memory == FS_MEMORY_HOST) {
        fs_free(buffer);
        return;
    }
    int before;
    fs_device_enter_anyway(e->device.ordinal, &before);
    if (memory == FS_MEMORY_PINNED)
        cudaFreeHost(buffer);
    else
        cudaFree(buffer);
    cudaGetLastError();
    fs_device_leave(e->device.ordinal, before);
}

fs_status fs_buffer_copy(const fs_cuda_engine *e, void *to, const void *from, size_t bytes) {
    int before;
    FS_TRY(fs_device_enter(e->device.ordinal, &before));
    fs_status status = fs_cuda_status(cudaMemcpy(to, from, bytes, cudaMemcpyDefault), "copying a buffer");
    // A copy to the device may still be under way when it returns, and sessions' streams do not wait for it.
    if (status == FS_OK) status = fs_cuda_status(cudaStreamSynchronize(NULL), "copying a buffer");
    fs_device_leave(e->device.ordinal, before);
    return status;
}
