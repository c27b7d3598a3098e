// Pinned and device memory that the library hands out for frames and results.
#ifndef FS_CUDA_BUFFER_H
#define FS_CUDA_BUFFER_H

#include "cuda/engine.h"
#include "runtime/backend.h"

// Host memory is fs_malloc's. FS_ERR_MEMORY, FS_ERR_BACKEND.
fs_status fs_buffer_alloc(const fs_cuda_engine *engine, fs_memory memory, size_t bytes, void **buffer);
void fs_buffer_free(const fs_cuda_engine *engine, fs_memory memory, void *buffer); // accepts NULL
// Between any two kinds of memory; returns when the bytes are there.
fs_status fs_buffer_copy(const fs_cuda_engine *engine, void *to, const void *from, size_t bytes);

#endif
