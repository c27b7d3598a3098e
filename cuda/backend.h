// What the library takes from the CUDA backend: its module's entry. (Tests that link the backend use the table.)
#ifndef FS_CUDA_BACKEND_H
#define FS_CUDA_BACKEND_H

#include "runtime/backend.h"
#include "runtime/base/services.h"

extern const fs_backend fs_cuda_backend;

// See fs_module_fn.
__attribute__((visibility("default"))) const fs_backend *fs_cuda_module(int abi, const fs_services *services);

#endif
