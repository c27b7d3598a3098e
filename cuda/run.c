// The one place that launches: kernels through cudaLaunchKernelExC, convolutions of cuDNN through its plan.
#include "cuda/run.h"

#include <pthread.h>
#include <stdio.h>

fs_status fs_run_allow(const fs_launch *launch) {
    // The limit belongs to the kernel, not to a launch: sessions that open at once must not lower it for one another.
    static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
    struct cudaFuncAttributes attributes;
    pthread_mutex_lock(&lock);
    cudaError_t error = cudaFuncGetAttributes(&attributes, launch->kernel);
    if (error == cudaSuccess && attributes.maxDynamicSharedSizeBytes < (int)launch->shared)
        error = cudaFuncSetAttribute(launch->kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, (int)launch->shared);
    pthread_mutex_unlock(&lock);
    return fs_cuda_status(error, "loading a kernel");
}

// A capture keeps the attributes in the graph's node.
static cudaLaunchConfig_t configure(const fs_launch *launch, bool early, cudaStream_t stream,
                                    cudaLaunchAttribute attributes[2]) {
    unsigned count = 0;
    if (early)
        attributes[count++] = (cudaLaunchAttribute){.id = cudaLaunchAttributeProgrammaticStreamSerialization,
                                                    .val.programmaticStreamSerializationAllowed = 1};
    if (launch->cluster)
        attributes[count++] =
            (cudaLaunchAttribute){.id = cudaLaunchAttributeClusterDimension, .val.clusterDim = {launch->cluster, 1, 1}};
    return (cudaLaunchConfig_t){.attrs = attributes,
                                .numAttrs = count,
                                .gridDim = {launch->grid[0], launch->grid[1], launch->grid[2]},
                                .blockDim = {launch->block, 1, 1},
                                .dynamicSmemBytes = launch->shared,
                                .stream = stream};
}

fs_status fs_run_fits(const fs_launch *launch, bool *fits) {
    *fits = true;
    if (launch->cluster == 0) return FS_OK;
    cudaLaunchAttribute attributes[2];
    const cudaLaunchConfig_t config = configure(launch, false, NULL, attributes);
    int clusters = 0;
    FS_TRY(fs_run_allow(launch));
    const cudaError_t error = cudaOccupancyMaxActiveClusters(&clusters, launch->kernel, &config);
    *fits = error == cudaSuccess && clusters > 0;
    if (error != cudaErrorInvalidClusterSize && error != cudaErrorNotSupported)
        return fs_cuda_status(error, "asking for clusters");
    cudaGetLastError();
    return FS_OK;
}

fs_status fs_run_node(const fs_runner *runner, const fs_node *node, const fs_launch *launch, bool early,
                      cudaStream_t stream) {
    if (node->plan) return fs_cudnn_run(runner->handle, node->plan, stream);
    cudaLaunchAttribute attributes[2];
    const cudaLaunchConfig_t config = configure(launch, runner->early && early, stream, attributes);
    // The runtime copies the parameters and writes none.
    void *arguments[1] = {(void *)(uintptr_t)launch->params.bytes};
    const cudaError_t error = cudaLaunchKernelExC(&config, launch->kernel, arguments);
    if (error == cudaSuccess) return FS_OK;
    char what[64];
    snprintf(what, sizeof what, "launching '%s'", launch->name);
    return fs_cuda_status(error, what);
}
