// The one place that launches: kernels through cudaLaunchKernelExC, convolutions of cuDNN through its plan.
#include "cuda/run.h"

#include <stdio.h>

fs_status fs_run_allow(const fs_launch *launch) {
    enum { WITHOUT_ASKING = 48 << 10 };
    if (launch->shared <= WITHOUT_ASKING) return FS_OK;
    return fs_cuda_status(
        cudaFuncSetAttribute(launch->kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, (int)launch->shared),
        "asking for shared memory");
}

fs_status fs_run_node(const fs_runner *runner, const fs_node *node, const fs_launch *launch, bool early,
                      cudaStream_t stream) {
    if (node->plan) return fs_cudnn_run(runner->handle, node->plan, stream);
    cudaLaunchAttribute overlap = {.id = cudaLaunchAttributeProgrammaticStreamSerialization,
                                   .val.programmaticStreamSerializationAllowed = 1};
    const cudaLaunchConfig_t config = {.attrs = &overlap,
                                       .numAttrs = runner->early && early ? 1 : 0,
                                       .gridDim = {launch->grid[0], launch->grid[1], launch->grid[2]},
                                       .blockDim = {launch->block, 1, 1},
                                       .dynamicSmemBytes = launch->shared,
                                       .stream = stream};
    // The runtime copies the parameters and writes none.
    void *arguments[1] = {(void *)(uintptr_t)launch->params.bytes};
    const cudaError_t error = cudaLaunchKernelExC(&config, launch->kernel, arguments);
    if (error == cudaSuccess) return FS_OK;
    char what[64];
    snprintf(what, sizeof what, "launching '%s'", launch->name);
    return fs_cuda_status(error, what);
}
