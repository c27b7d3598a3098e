// cuDNN's library as the files of its own see it: the functions that were loaded, and the text of a failure.
#ifndef FS_CUDA_CUDNN_LIBRARY_H
#define FS_CUDA_CUDNN_LIBRARY_H

#include <cudnn_graph.h>

#include "cuda/cudnn.h"

// Every function that is called, with the types of the header.
#define FS_CUDNN_FUNCTIONS(X)                                                                                          \
    X(cudnnGetVersion)                                                                                                 \
    X(cudnnGraphVersionCheck)                                                                                          \
    X(cudnnGetErrorString)                                                                                             \
    X(cudnnGetLastErrorString)                                                                                         \
    X(cudnnCreate)                                                                                                     \
    X(cudnnDestroy)                                                                                                    \
    X(cudnnSetStream)                                                                                                  \
    X(cudnnBackendCreateDescriptor)                                                                                    \
    X(cudnnBackendDestroyDescriptor)                                                                                   \
    X(cudnnBackendSetAttribute)                                                                                        \
    X(cudnnBackendGetAttribute)                                                                                        \
    X(cudnnBackendFinalize)                                                                                            \
    X(cudnnBackendExecute)

struct fs_cudnn {
#define MEMBER(name) __typeof__(&name) name;
    FS_CUDNN_FUNCTIONS(MEMBER)
#undef MEMBER
    void *library;
    char *path;
    int version;
};

struct fs_cudnn_handle {
    const fs_cudnn *cudnn;
    cudnnHandle_t handle;
    cudaStream_t stream; // that the handle is set to, if `set`
    bool set;
};

// The failing expression inside cuDNN, which says more than the status; reading it clears it.
void fs_cudnn_last_error(const fs_cudnn *cudnn, char *text, size_t size);
bool fs_cudnn_out_of_memory(cudnnStatus_t status);
// "cuDNN cannot <what>: ..." as the thread's error; FS_ERR_MEMORY, FS_ERR_DEVICE without a GPU, else FS_ERR_BACKEND.
fs_status fs_cudnn_failed(const fs_cudnn *cudnn, cudnnStatus_t status, const char *what);

#endif
