// The device that the simulated CUDA runtime plays: its count, versions, properties and attributes.
#include "tests/cuda_sim/cudart.h"

#include <cstdio>
#include <cstring>

#include <cuda_profiler_api.h>

namespace sim {
namespace {

constexpr int OLD_DRIVER = 11040; // what cudaDriverGetVersion says with cudaErrorInsufficientDriver
constexpr int RESERVED_SHARED = 1024;

int attribute(cudaDeviceAttr wanted, bool &known) {
    const sim_device &d = state().device;
    switch (wanted) {
    case cudaDevAttrComputeCapabilityMajor: return d.sm / 10;
    case cudaDevAttrComputeCapabilityMinor: return d.sm % 10;
    case cudaDevAttrMultiProcessorCount: return d.multiprocessors;
    case cudaDevAttrMaxSharedMemoryPerBlock: return 48 << 10;
    case cudaDevAttrMaxSharedMemoryPerBlockOptin: return static_cast<int>(d.shared_optin);
    case cudaDevAttrMaxSharedMemoryPerMultiprocessor: return static_cast<int>(d.shared_optin) + RESERVED_SHARED;
    case cudaDevAttrReservedSharedMemoryPerBlock: return RESERVED_SHARED;
    case cudaDevAttrMaxThreadsPerBlock: return 1024;
    case cudaDevAttrMaxThreadsPerMultiProcessor: return 2048;
    case cudaDevAttrMaxBlocksPerMultiprocessor: return 32;
    case cudaDevAttrMaxRegistersPerBlock:
    case cudaDevAttrMaxRegistersPerMultiprocessor: return 65536;
    case cudaDevAttrWarpSize: return 32;
    case cudaDevAttrMaxBlockDimX:
    case cudaDevAttrMaxBlockDimY: return 1024;
    case cudaDevAttrMaxBlockDimZ: return 64;
    case cudaDevAttrMaxGridDimX: return 0x7FFFFFFF;
    case cudaDevAttrMaxGridDimY:
    case cudaDevAttrMaxGridDimZ: return 65535;
    case cudaDevAttrL2CacheSize: return 50 << 20;
    case cudaDevAttrClockRate: return 1755000;         // kHz
    case cudaDevAttrMemoryClockRate: return 2619000;   // kHz
    case cudaDevAttrGlobalMemoryBusWidth: return 5120; // bits
    case cudaDevAttrConcurrentKernels:
    case cudaDevAttrUnifiedAddressing:
    case cudaDevAttrCanMapHostMemory:
    case cudaDevAttrHostRegisterSupported:
    case cudaDevAttrCanUseHostPointerForRegisteredMem:
    case cudaDevAttrStreamPrioritiesSupported:
    case cudaDevAttrCooperativeLaunch: return 1;
    case cudaDevAttrAsyncEngineCount: return 3;
    case cudaDevAttrIntegrated:
    case cudaDevAttrComputeMode:
    case cudaDevAttrKernelExecTimeout:
    case cudaDevAttrMemoryPoolsSupported:
    case cudaDevAttrManagedMemory:
    case cudaDevAttrPageableMemoryAccess:
    case cudaDevAttrPciBusId:
    case cudaDevAttrPciDeviceId:
    case cudaDevAttrPciDomainId: return 0;
    default: known = false; return 0;
    }
}

void fill(cudaDeviceProp &p) {
    const sim_device &d = state().device;
    memset(&p, 0, sizeof p);
    snprintf(p.name, sizeof p.name, "%s", state().device_name.c_str());
    p.totalGlobalMem = d.memory;
    p.major = d.sm / 10, p.minor = d.sm % 10;
    p.multiProcessorCount = d.multiprocessors;
    p.sharedMemPerBlock = 48 << 10;
    p.sharedMemPerBlockOptin = d.shared_optin;
    p.sharedMemPerMultiprocessor = d.shared_optin + RESERVED_SHARED;
    p.reservedSharedMemPerBlock = RESERVED_SHARED;
    p.regsPerBlock = p.regsPerMultiprocessor = 65536;
    p.warpSize = 32;
    p.memPitch = 0x7FFFFFFF;
    p.maxThreadsPerBlock = 1024, p.maxThreadsPerMultiProcessor = 2048, p.maxBlocksPerMultiProcessor = 32;
    p.maxThreadsDim[0] = p.maxThreadsDim[1] = 1024, p.maxThreadsDim[2] = 64;
    p.maxGridSize[0] = 0x7FFFFFFF, p.maxGridSize[1] = p.maxGridSize[2] = 65535;
    p.totalConstMem = 64 << 10;
    p.textureAlignment = 512, p.texturePitchAlignment = 32;
    p.canMapHostMemory = p.concurrentKernels = p.unifiedAddressing = p.streamPrioritiesSupported = 1;
    p.cooperativeLaunch = p.hostRegisterSupported = p.canUseHostPointerForRegisteredMem = 1;
    p.asyncEngineCount = 3;
    p.memoryBusWidth = 5120;
    p.l2CacheSize = 50 << 20;
}

} // namespace
} // namespace sim

using namespace sim;

extern "C" {

cudaError_t cudaGetDeviceCount(int *count) {
    if (count) *count = 0;
    return api(__func__, PLAIN, [&](Lock &) {
        if (!count) return cudaErrorInvalidValue;
        *count = state().device.devices;
        return cudaSuccess;
    });
}

cudaError_t cudaGetDevice(int *device) {
    return api(__func__, PLAIN, [&](Lock &) {
        if (!device) return cudaErrorInvalidValue;
        *device = 0;
        return cudaSuccess;
    });
}

// All devices of a simulated machine are the first one.
cudaError_t cudaSetDevice(int device) {
    return api(__func__, PLAIN, [&](Lock &) {
        return device < 0 || device >= state().device.devices ? cudaErrorInvalidDevice : cudaSuccess;
    });
}

cudaError_t cudaSetDeviceFlags(unsigned) {
    return api(__func__, PLAIN, [](Lock &) { return cudaSuccess; });
}

cudaError_t cudaDeviceGetAttribute(int *value, cudaDeviceAttr wanted, int device) {
    return api(__func__, PLAIN, [&](Lock &) {
        if (device < 0 || device >= state().device.devices) return cudaErrorInvalidDevice;
        if (!value) return cudaErrorInvalidValue;
        bool known = true;
        const int found = attribute(wanted, known);
        if (!known) {
            misuse("cudaDeviceGetAttribute: attribute %d is not simulated", static_cast<int>(wanted));
            return cudaErrorInvalidValue;
        }
        *value = found;
        return cudaSuccess;
    });
}

cudaError_t cudaGetDeviceProperties(cudaDeviceProp *properties, int device) {
    return api(__func__, PLAIN, [&](Lock &) {
        if (device < 0 || device >= state().device.devices) return cudaErrorInvalidDevice;
        if (!properties) return cudaErrorInvalidValue;
        fill(*properties);
        return cudaSuccess;
    });
}

// 0 without a driver.
cudaError_t cudaDriverGetVersion(int *version) {
    return api(__func__, NO_DEVICE, [&](Lock &) {
        if (!version) return cudaErrorInvalidValue;
        const int devices = state().device.devices;
        *version = devices < 0 ? OLD_DRIVER : CUDART_VERSION;
        return cudaSuccess;
    });
}

cudaError_t cudaRuntimeGetVersion(int *version) {
    return api(__func__, NO_DEVICE, [&](Lock &) {
        if (!version) return cudaErrorInvalidValue;
        *version = CUDART_VERSION;
        return cudaSuccess;
    });
}

cudaError_t cudaDeviceGetStreamPriorityRange(int *least, int *greatest) {
    return api(__func__, PLAIN, [&](Lock &) {
        if (least) *least = 0;
        if (greatest) *greatest = -5;
        return cudaSuccess;
    });
}

// There is no driver below: every symbol is unknown.
cudaError_t cudaGetDriverEntryPointByVersion(const char *, void **function, unsigned, unsigned long long,
                                             cudaDriverEntryPointQueryResult *status) {
    return api(__func__, PLAIN, [&](Lock &) {
        if (!function) return cudaErrorInvalidValue;
        *function = nullptr;
        if (status) *status = cudaDriverEntryPointSymbolNotFound;
        return cudaSuccess;
    });
}

cudaError_t cudaProfilerStart(void) {
    return api(__func__, PLAIN, [](Lock &) { return cudaSuccess; });
}

cudaError_t cudaProfilerStop(void) {
    return api(__func__, PLAIN, [](Lock &) { return cudaSuccess; });
}

} // extern "C"
