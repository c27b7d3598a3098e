// Finds out about the GPU in words that say what to do.
#include "cuda/device.h"

#include <stdio.h>
#include <string.h>

fs_status fs_cuda_status(cudaError_t error, const char *what) {
    if (error == cudaSuccess) return FS_OK;
    cudaGetLastError(); // a recorded error would come back from an unrelated call
    if (error == cudaErrorMemoryAllocation)
        return fs_fail(FS_ERR_MEMORY, "out of GPU memory while %s; use a smaller size or fewer frames in flight", what);
    return fs_fail(FS_ERR_BACKEND, "CUDA failed while %s: %s (%s)", what, cudaGetErrorString(error),
                   cudaGetErrorName(error));
}

static fs_status explain(cudaError_t error) {
    cudaGetLastError();
    int driver = 0, runtime = 0;
    cudaRuntimeGetVersion(&runtime);
    switch (error) {
    case cudaErrorInsufficientDriver:
        if (cudaDriverGetVersion(&driver) != cudaSuccess) driver = 0;
        cudaGetLastError();
        if (driver == 0)
            return fs_fail(FS_ERR_DEVICE,
                           "no NVIDIA driver is installed (libcuda.so.1 is missing): install one for CUDA "
                           "%d.%d or newer, or use the CPU backend",
                           runtime / 1000, runtime % 1000 / 10);
        return fs_fail(FS_ERR_DEVICE,
                       "the NVIDIA driver is too old: it is for CUDA %d.%d, this build needs %d.%d; update the driver",
                       driver / 1000, driver % 1000 / 10, runtime / 1000, runtime % 1000 / 10);
    case cudaErrorNoDevice:
        return fs_fail(FS_ERR_DEVICE, "no NVIDIA GPU is visible: check nvidia-smi and CUDA_VISIBLE_DEVICES, or use the "
                                      "CPU backend");
    case cudaErrorSystemDriverMismatch:
    case cudaErrorCompatNotSupportedOnDevice:
        return fs_fail(FS_ERR_DEVICE,
                       "the NVIDIA driver's parts do not fit together (%s): reboot, or reinstall the driver",
                       cudaGetErrorString(error));
    default:
        return fs_fail(FS_ERR_DEVICE, "the NVIDIA driver does not answer: %s (%s)", cudaGetErrorString(error),
                       cudaGetErrorName(error));
    }
}

fs_status fs_device_look(int ordinal, fs_device *device) {
    int count = 0;
    cudaError_t error = cudaGetDeviceCount(&count);
    if (error == cudaSuccess && count == 0) error = cudaErrorNoDevice;
    if (error != cudaSuccess) return explain(error);
    if (ordinal < 0 || ordinal >= count)
        return fs_fail(FS_ERR_DEVICE, "there is no GPU %d: this machine shows %d, counted from 0", ordinal, count);
    struct cudaDeviceProp properties;
    error = cudaGetDeviceProperties(&properties, ordinal);
    if (error != cudaSuccess) return explain(error);
    memset(device, 0, sizeof *device);
    device->ordinal = ordinal;
    snprintf(device->name, sizeof device->name, "%.120s", properties.name);
    device->sm = 10 * properties.major + properties.minor;
    device->processors = properties.multiProcessorCount;
    device->shared_optin = (int)properties.sharedMemPerBlockOptin;
    device->memory = properties.totalGlobalMem;
    error = cudaDriverGetVersion(&device->driver);
    if (error == cudaSuccess) error = cudaRuntimeGetVersion(&device->runtime);
    if (error != cudaSuccess) return explain(error);
    if (device->sm < FS_CUDA_MIN_SM)
        return fs_fail(
            FS_ERR_DEVICE,
            "GPU %d, %s, has compute capability %d.%d; %d.%d (Turing) or newer is needed; use another GPU or "
            "the CPU backend",
            ordinal, device->name, properties.major, properties.minor, FS_CUDA_MIN_SM / 10, FS_CUDA_MIN_SM % 10);
    return FS_OK;
}

fs_status fs_device_enter(int ordinal, int *before) {
    FS_CUDA(cudaGetDevice(before), "asking for the current GPU");
    if (*before == ordinal) return FS_OK;
    return fs_cuda_status(cudaSetDevice(ordinal), "choosing the GPU");
}

void fs_device_enter_anyway(int ordinal, int *before) {
    *before = ordinal;
    if (cudaGetDevice(before) == cudaSuccess && *before != ordinal) cudaSetDevice(ordinal);
}

void fs_device_leave(int ordinal, int before) {
    if (before != ordinal) cudaSetDevice(before);
}
