// Backend modules: libfastscnn-cuda.so is looked for and loaded at run time, so one build runs with and without it.
#ifndef FS_HOST_MODULE_H
#define FS_HOST_MODULE_H

#include "runtime/backend.h"

// The CUDA backend's table, or NULL with a text of why there is none (static storage). Loads it at the first call, from
// FASTSCNN_CUDA_MODULE, or the folder of this library. Any thread; stays loaded.
const fs_backend *fs_module_cuda(const char **reason);

#endif
