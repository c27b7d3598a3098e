// What streams and graphs of the simulated CUDA runtime carry out: kernels (over the SIMT layer), copies, host
// functions.
#include "tests/cuda_sim/cudart.h"

#include <cstring>

#include "tests/simt/simt_run.h"

#pragma weak simt_launch
#pragma weak simt_launch_early
#pragma weak simt_launch_clusters
#pragma weak simt_report
#pragma weak simt_params_bytes

namespace sim {
namespace {

constexpr size_t DEFAULT_SHARED = 48 << 10;
constexpr unsigned MAX_THREADS = 1024, MAX_GRID_YZ = 65535, MAX_CLUSTER = 8;
constexpr int CLUSTER_SM = 90; // the first with clusters

void copy(const Work &work) {
    const unsigned char *source = work.staged.empty() ? work.source : work.staged.data();
    const size_t pitch = work.staged.empty() ? work.source_pitch : work.width;
    for (size_t row = 0; row < work.height; ++row)
        memmove(work.target + row * work.target_pitch, source + row * pitch, work.width);
}

// Simulated milliseconds: a fixed cost and one by the amount, so that timing code sees plausible, repeatable numbers.
double duration(const Work &work) {
    const void *entry = work.library ? reinterpret_cast<const void *>(work.library) : work.entry;
    const auto planned = state().durations.find(entry);
    if (entry && planned != state().durations.end()) return planned->second;
    if (work.type == cudaGraphNodeTypeKernel)
        return 0.002 + 1e-7 * work.block * work.grid[0] * work.grid[1] * work.grid[2];
    return 0.001 + 1e-9 * static_cast<double>(work.width * work.height);
}

cudaError_t run_kernel(const Work &work) {
    if (!state().computes) return cudaSuccess;
    if (work.library) {
        work.library(work.params.data());
        return cudaSuccess;
    }
    const void *params = work.params.data();
    const auto launch = work.early ? simt_launch_early : simt_launch;
    const int failed = work.cluster ? simt_launch_clusters(work.entry, work.grid, work.block, work.shared, params,
                                                           work.cluster, work.early)
                                    : launch(work.entry, work.grid, work.block, work.shared, params);
    if (!failed) return cudaSuccess;
    misuse("kernel fault: %s", simt_report ? simt_report() : "");
    return cudaErrorLaunchFailure;
}

// The blocks of a cluster in this configuration; 0: it has none. `early`: whether it may start early.
cudaError_t read_attributes(const cudaLaunchConfig_t &config, unsigned *cluster, bool *early) {
    *cluster = 0, *early = false;
    for (unsigned i = 0; i < config.numAttrs; ++i) {
        const cudaLaunchAttributeID id = config.attrs[i].id;
        const cudaLaunchAttributeValue &value = config.attrs[i].val;
        if (id == cudaLaunchAttributeProgrammaticStreamSerialization) {
            // Kernels still run one after another, but each must do its part for the case that they do not.
            *early = value.programmaticStreamSerializationAllowed != 0;
            continue;
        }
        if (id == cudaLaunchAttributeClusterDimension) {
            const auto &dim = value.clusterDim;
            if (state().device.sm < CLUSTER_SM) {
                misuse("sm_%d has no clusters", state().device.sm);
                return cudaErrorNotSupported;
            }
            if (dim.x == 0 || dim.x > MAX_CLUSTER || dim.y != 1 || dim.z != 1 || config.gridDim.x % dim.x) {
                misuse("clusters of %ux%ux%u in a grid of %u blocks across", dim.x, dim.y, dim.z, config.gridDim.x);
                return cudaErrorInvalidClusterSize;
            }
            *cluster = dim.x;
            continue;
        }
        if (id == cudaLaunchAttributeIgnore || id == cudaLaunchAttributePriority ||
            id == cudaLaunchAttributeAccessPolicyWindow)
            continue; // without effect on results
        misuse("launch attribute %d is not simulated", static_cast<int>(id));
        return cudaErrorNotSupported;
    }
    return cudaSuccess;
}

void run_host(Lock &lock, const Work &work) {
    // The caller's function may take locks that other threads hold while they are in here.
    lock.unlock();
    in_host_function = true;
    work.host(work.user);
    in_host_function = false;
    lock.lock();
}

} // namespace

cudaError_t make_kernel(const char *function, const void *entry, dim3 grid, dim3 block, size_t shared, void **args,
                        Work &work) {
    State &s = state();
    const size_t bytes = entry && simt_params_bytes ? simt_params_bytes(entry) : 0;
    if (bytes == 0) {
        misuse("%s: %p is not the entry of a kernel", function, entry);
        return cudaErrorInvalidDeviceFunction;
    }
    if (!args || !args[0]) {
        misuse("%s: no parameters", function);
        return cudaErrorInvalidValue;
    }
    const bool empty = !grid.x || !grid.y || !grid.z || !block.x || block.y != 1 || block.z != 1;
    if (empty || grid.x > 0x7FFFFFFFu || grid.y > MAX_GRID_YZ || grid.z > MAX_GRID_YZ || block.x > MAX_THREADS) {
        misuse("%s: grid %ux%ux%u of blocks %ux%ux%u", function, grid.x, grid.y, grid.z, block.x, block.y, block.z);
        return cudaErrorInvalidConfiguration;
    }
    auto limit = s.shared_limit.find(entry);
    const size_t most = limit == s.shared_limit.end() ? DEFAULT_SHARED : static_cast<size_t>(limit->second);
    if (shared > (most > DEFAULT_SHARED ? most : DEFAULT_SHARED)) {
        misuse("%s: %zu bytes of dynamic shared memory, %zu allowed by cudaFuncSetAttribute", function, shared, most);
        return cudaErrorInvalidValue;
    }
    work.type = cudaGraphNodeTypeKernel;
    work.name = function;
    work.entry = entry;
    work.grid[0] = grid.x, work.grid[1] = grid.y, work.grid[2] = grid.z;
    work.block = block.x, work.shared = static_cast<unsigned>(shared);
    const auto *first = static_cast<const unsigned char *>(args[0]);
    work.params.assign(first, first + bytes);
    find_uses(work);
    return cudaSuccess;
}

void execute(Lock &lock, Work &work) {
    State &s = state();
    if (s.sticky != cudaSuccess) return; // the context is lost: nothing runs any more
    s.clock += duration(work);
    if (work.type == cudaGraphNodeTypeHost) return run_host(lock, work);
    if (work.type == cudaGraphNodeTypeEmpty) return;
    if (s.fail_work_in > 0 && --s.fail_work_in == 0) {
        s.fail_fired = true;
        s.sticky = s.fail_work_code;
        return;
    }
    for (const AllocationRef &use : work.uses) {
        if (use->alive) continue;
        misuse("%s uses memory at %p (%zu bytes) after it was freed", work.name.c_str(), static_cast<void *>(use->data),
               use->bytes);
        s.sticky = cudaErrorIllegalAddress;
        return;
    }
    if (work.type == cudaGraphNodeTypeKernel)
        s.sticky = run_kernel(work);
    else if (work.type == cudaGraphNodeTypeMemcpy)
        copy(work);
    else
        for (size_t row = 0; row < work.height; ++row)
            memset(work.target + row * work.target_pitch, work.value, work.width);
}

} // namespace sim

using namespace sim;

extern "C" {

cudaError_t cudaLaunchKernelExC(const cudaLaunchConfig_t *config, const void *entry, void **args) {
    return api(__func__, PLAIN, [&](Lock &) {
        if (!config) return cudaErrorInvalidValue;
        Work work;
        bool early = false;
        unsigned cluster = 0;
        if (const cudaError_t error = read_attributes(*config, &cluster, &early)) return error;
        Stream *stream = stream_of("cudaLaunchKernelExC", config->stream);
        if (!stream) return cudaErrorInvalidResourceHandle;
        const cudaError_t error = make_kernel("cudaLaunchKernelExC", entry, config->gridDim, config->blockDim,
                                              config->dynamicSmemBytes, args, work);
        work.early = early, work.cluster = cluster;
        return error ? error : submit(*stream, std::move(work));
    });
}

cudaError_t cudaLaunchKernel(const void *entry, dim3 grid, dim3 block, void **args, size_t shared,
                             cudaStream_t handle) {
    return api(__func__, PLAIN, [&](Lock &) {
        Stream *stream = stream_of("cudaLaunchKernel", handle);
        if (!stream) return cudaErrorInvalidResourceHandle;
        Work work;
        const cudaError_t error = make_kernel("cudaLaunchKernel", entry, grid, block, shared, args, work);
        return error ? error : submit(*stream, std::move(work));
    });
}

cudaError_t cudaLaunchHostFunc(cudaStream_t handle, cudaHostFn_t function, void *user) {
    return api(__func__, PLAIN, [&](Lock &) {
        Stream *stream = stream_of("cudaLaunchHostFunc", handle);
        if (!stream) return cudaErrorInvalidResourceHandle;
        if (!function) return cudaErrorInvalidValue;
        Work work;
        work.type = cudaGraphNodeTypeHost;
        work.name = "cudaLaunchHostFunc";
        work.host = function, work.user = user;
        return submit(*stream, std::move(work));
    });
}

cudaError_t sim_enqueue(cudaStream_t handle, const char *name, void (*function)(const void *), const void *params,
                        size_t bytes) {
    return api(__func__, PLAIN, [&](Lock &) {
        Stream *stream = stream_of(name, handle);
        if (!stream) return cudaErrorInvalidResourceHandle;
        Work work;
        work.type = cudaGraphNodeTypeKernel;
        work.name = name;
        work.library = function;
        const auto *first = static_cast<const unsigned char *>(params);
        work.params.assign(first, first + bytes);
        find_uses(work);
        return submit(*stream, std::move(work));
    });
}

cudaError_t cudaFuncSetAttribute(const void *entry, cudaFuncAttribute attribute, int value) {
    return api(__func__, PLAIN, [&](Lock &) {
        if (!simt_params_bytes || simt_params_bytes(entry) == 0) return cudaErrorInvalidDeviceFunction;
        if (attribute == cudaFuncAttributePreferredSharedMemoryCarveout) return cudaSuccess;
        if (attribute != cudaFuncAttributeMaxDynamicSharedMemorySize || value < 0 ||
            static_cast<size_t>(value) > state().device.shared_optin)
            return cudaErrorInvalidValue;
        state().shared_limit[entry] = value;
        return cudaSuccess;
    });
}

cudaError_t cudaFuncGetAttributes(cudaFuncAttributes *attributes, const void *entry) {
    return api(__func__, PLAIN, [&](Lock &) {
        if (!attributes) return cudaErrorInvalidValue;
        if (!simt_params_bytes || simt_params_bytes(entry) == 0) return cudaErrorInvalidDeviceFunction;
        auto limit = state().shared_limit.find(entry);
        *attributes = {};
        attributes->maxThreadsPerBlock = MAX_THREADS;
        attributes->numRegs = 64;
        attributes->ptxVersion = attributes->binaryVersion = state().device.sm;
        attributes->maxDynamicSharedSizeBytes =
            limit == state().shared_limit.end() ? static_cast<int>(DEFAULT_SHARED) : limit->second;
        return cudaSuccess;
    });
}

cudaError_t cudaOccupancyMaxActiveBlocksPerMultiprocessor(int *blocks, const void *entry, int threads, size_t shared) {
    return api(__func__, PLAIN, [&](Lock &) {
        if (!blocks || threads <= 0) return cudaErrorInvalidValue;
        if (!simt_params_bytes || simt_params_bytes(entry) == 0) return cudaErrorInvalidDeviceFunction;
        const int by_threads = 2048 / ((threads + 31) / 32 * 32), by_registers = 65536 / (64 * threads);
        const int by_shared = static_cast<int>((state().device.shared_optin + 1024) / (shared + 1024));
        *blocks = by_threads;
        for (const int limit : {by_registers, by_shared, 32}) *blocks = limit < *blocks ? limit : *blocks;
        return cudaSuccess;
    });
}

// As many as multiprocessors, each with one block of its own.
cudaError_t cudaOccupancyMaxActiveClusters(int *clusters, const void *entry, const cudaLaunchConfig_t *config) {
    return api(__func__, PLAIN, [&](Lock &) {
        bool early = false;
        unsigned cluster = 0;
        if (!clusters || !config) return cudaErrorInvalidValue;
        if (!simt_params_bytes || simt_params_bytes(entry) == 0) return cudaErrorInvalidDeviceFunction;
        if (const cudaError_t error = read_attributes(*config, &cluster, &early)) return error;
        *clusters = cluster ? state().device.multiprocessors / static_cast<int>(cluster) : 0;
        return cudaSuccess;
    });
}

} // extern "C"
