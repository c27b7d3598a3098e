// Runs nodes on a stream: one launch each, or cuDNN's plan.
#ifndef FS_CUDA_RUN_H
#define FS_CUDA_RUN_H

#include "cuda/node.h"
#include "cuda/steps.h"

// What runs the nodes of one session.
typedef struct fs_runner {
    fs_cudnn_handle *handle; // NULL without cuDNN
    int sm;
    bool early; // kernels may start while the one before them ends (programmatic dependent launch, sm_90 and later)
} fs_runner;

// Loads the kernel of a launch and allows it the dynamic shared memory that it asks for. Not on the frame path. Any
// thread.
fs_status fs_run_allow(const fs_launch *launch);
// Whether the GPU can run the clusters of a launch, if it has any: a part of a GPU may be too small for them.
fs_status fs_run_fits(const fs_launch *launch, bool *fits);
// Enqueues one node. `launch` is not looked at when cuDNN runs it. `early`: what is before it in the stream is another
// node of the same frame that surely runs, so this one may start before that has ended; it waits by itself
// (fs_dependency_wait).
fs_status fs_run_node(const fs_runner *runner, const fs_node *node, const fs_launch *launch, bool early,
                      cudaStream_t stream);

#endif
