// Copies and memsets of the simulated CUDA runtime, with the documented rules for pinned and pageable memory.
#include "tests/cuda_sim/cudart.h"

#include <cstring>

namespace sim {
namespace {

bool pageable(const void *pointer) {
    return !allocation_at(pointer);
}

Work copy_of(void *target, size_t target_pitch, const void *source, size_t source_pitch, size_t width, size_t height,
             cudaMemcpyKind kind) {
    Work work;
    work.type = cudaGraphNodeTypeMemcpy;
    work.target = static_cast<unsigned char *>(target), work.target_pitch = target_pitch;
    work.source = static_cast<const unsigned char *>(source), work.source_pitch = source_pitch;
    work.width = width, work.height = height, work.kind = kind;
    return work;
}

// Pageable source: what it holds now. The caller may overwrite it at once.
void stage(Work &work) {
    work.staged.resize(work.width * work.height);
    for (size_t row = 0; row < work.height; ++row)
        memcpy(work.staged.data() + row * work.width, work.source + row * work.source_pitch, work.width);
}

cudaError_t queue_copy(const char *function, Lock &lock, cudaStream_t handle, Work work, bool synchronous) {
    Stream *stream = stream_of(function, handle);
    if (!stream) return cudaErrorInvalidResourceHandle;
    if (const cudaError_t error = check_copy(function, work)) return error;
    if (work.width == 0 || work.height == 0) return cudaSuccess;
    work.name = function;
    const bool from_host = work.kind == cudaMemcpyHostToDevice || work.kind == cudaMemcpyHostToHost;
    const bool to_host = work.kind == cudaMemcpyDeviceToHost || work.kind == cudaMemcpyHostToHost;
    const bool pageable_source = from_host && pageable(work.source), pageable_target = to_host && pageable(work.target);
    if (stream->capture) {
        if (pageable_source || pageable_target) misuse("%s: pageable memory in a captured copy", function);
    } else if (pageable_source) {
        stage(work);
    }
    find_uses(work);
    const cudaMemcpyKind kind = work.kind;
    const bool was_capturing = stream->capture != nullptr;
    if (const cudaError_t error = submit(*stream, std::move(work))) return error;
    if (was_capturing) return cudaSuccess;
    const bool waits = synchronous ? kind != cudaMemcpyDeviceToDevice : pageable_target || kind == cudaMemcpyHostToHost;
    return waits ? wait(lock, stream->last) : cudaSuccess;
}

cudaError_t queue_memset(const char *function, cudaStream_t handle, void *target, int value, size_t bytes) {
    Stream *stream = stream_of(function, handle);
    if (!stream) return cudaErrorInvalidResourceHandle;
    Work work;
    work.type = cudaGraphNodeTypeMemset;
    work.name = function;
    work.target = static_cast<unsigned char *>(target), work.target_pitch = bytes;
    work.width = bytes, work.value = value;
    if (const cudaError_t error = check_copy(function, work)) return error;
    if (bytes == 0) return cudaSuccess;
    find_uses(work);
    return submit(*stream, std::move(work));
}

} // namespace
} // namespace sim

using namespace sim;

extern "C" {

// Device to device it does not wait, as documented; nor does cudaMemset.
cudaError_t cudaMemcpy(void *target, const void *source, size_t bytes, cudaMemcpyKind kind) {
    return api(__func__, UNSAFE, [&](Lock &lock) {
        return queue_copy("cudaMemcpy", lock, nullptr, copy_of(target, bytes, source, bytes, bytes, 1, kind), true);
    });
}

cudaError_t cudaMemcpyAsync(void *target, const void *source, size_t bytes, cudaMemcpyKind kind, cudaStream_t stream) {
    return api(__func__, PLAIN, [&](Lock &lock) {
        return queue_copy("cudaMemcpyAsync", lock, stream, copy_of(target, bytes, source, bytes, bytes, 1, kind),
                          false);
    });
}

cudaError_t cudaMemcpy2D(void *target, size_t target_pitch, const void *source, size_t source_pitch, size_t width,
                         size_t height, cudaMemcpyKind kind) {
    return api(__func__, UNSAFE, [&](Lock &lock) {
        return queue_copy("cudaMemcpy2D", lock, nullptr,
                          copy_of(target, target_pitch, source, source_pitch, width, height, kind), true);
    });
}

cudaError_t cudaMemcpy2DAsync(void *target, size_t target_pitch, const void *source, size_t source_pitch, size_t width,
                              size_t height, cudaMemcpyKind kind, cudaStream_t stream) {
    return api(__func__, PLAIN, [&](Lock &lock) {
        return queue_copy("cudaMemcpy2DAsync", lock, stream,
                          copy_of(target, target_pitch, source, source_pitch, width, height, kind), false);
    });
}

cudaError_t cudaMemset(void *target, int value, size_t bytes) {
    return api(__func__, UNSAFE, [&](Lock &) { return queue_memset("cudaMemset", nullptr, target, value, bytes); });
}

cudaError_t cudaMemsetAsync(void *target, int value, size_t bytes, cudaStream_t stream) {
    return api(__func__, PLAIN, [&](Lock &) { return queue_memset("cudaMemsetAsync", stream, target, value, bytes); });
}

} // extern "C"
