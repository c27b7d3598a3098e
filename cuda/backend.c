// The CUDA backend's table, and the one symbol of its module.
#include "cuda/backend.h"

#include <cuda_profiler_api.h>
#include <stdio.h>
#include <string.h>

#include "cuda/buffer.h"
#include "cuda/session.h"
#include "cuda/steps.h"
#include "runtime/base/trace.h"

static void probe(int ordinal, fs_probe *p) {
    memset(p, 0, sizeof *p);
    p->precisions = 1u << FS_FP32 | 1u << FS_FP16;
    p->best = FS_FP16;
    fs_device device;
    if (fs_device_look(ordinal, &device) != FS_OK) {
        snprintf(p->detail, sizeof p->detail, "%s", fs_error_text());
        return;
    }
    p->usable = true;
    snprintf(p->device, sizeof p->device, "%.80s, sm_%d, %d SMs, %zu MiB", device.name, device.sm, device.processors,
             device.memory >> 20);
    fs_cudnn *cudnn = NULL;
    char convolutions[384];
    if (fs_cudnn_open(&cudnn) == FS_OK) {
        const int version = fs_cudnn_version(cudnn);
        snprintf(convolutions, sizeof convolutions, "cuDNN %d.%d.%d (%.300s)", version / 10000, version / 100 % 100,
                 version % 100, fs_cudnn_path(cudnn));
        fs_cudnn_close(cudnn);
    } else {
        snprintf(convolutions, sizeof convolutions, "our own kernels alone: %.340s", fs_error_text());
    }
    snprintf(p->detail, sizeof p->detail, "fp16; fp32 to check it by; driver for CUDA %d.%d\n%s\n%s",
             device.driver / 1000, device.driver % 1000 / 10, convolutions, fs_trace_about());
}

static fs_status accepts(const fs_frame *frame, const fs_graph *g) {
    if (g->model.channels == 4 && frame->format != FS_RGBA8 && frame->format != FS_BGRA8 &&
        frame->format != FS_PLANAR_F32)
        return fs_fail(FS_ERR_ARGUMENT, "this model has 4 input channels: pass RGBA8 or BGRA8 with the 4th channel in "
                                        "A, or 4 planes of floats");
    return FS_OK;
}

static bool supports(void *user, const fs_program *program, const fs_step *step) {
    (void)user;
    return fs_steps_supports(program, step);
}

static fs_status engine_open(const fs_weights *weights, const fs_engine_config *config, void **engine) {
    if (config->precision != FS_FP16 && config->precision != FS_FP32)
        return fs_fail(FS_ERR_UNSUPPORTED, "the CUDA backend runs fp16 and fp32, not %s",
                       fs_precision_name(config->precision));
    fs_cuda_engine *e;
    FS_TRY(fs_cuda_engine_open(weights, config->precision, config->device, config->provider == FS_PROVIDER_ANY, &e));
    *engine = e;
    return FS_OK;
}

static void engine_close(void *engine) {
    fs_cuda_engine_close(engine);
}
static size_t engine_bytes(const void *engine) {
    return ((const fs_cuda_engine *)engine)->bytes;
}
static const char *engine_kernels(const void *engine) {
    return ((const fs_cuda_engine *)engine)->cudnn ? "own, cudnn" : "own";
}

static fs_status buffer_alloc(void *engine, fs_memory memory, size_t bytes, void **buffer) {
    return fs_buffer_alloc(engine, memory, bytes, buffer);
}
static void buffer_free(void *engine, fs_memory memory, void *buffer) {
    fs_buffer_free(engine, memory, buffer);
}
static fs_status buffer_copy(void *engine, void *to, const void *from, size_t bytes) {
    return fs_buffer_copy(engine, to, from, bytes);
}

static fs_status session_open(void *engine, fs_plan *plan, const fs_session_config *config, void **session) {
    fs_cuda_session *s;
    FS_TRY(fs_cuda_session_open(engine, plan, config, &s));
    *session = s;
    return FS_OK;
}

static void session_close(void *session) {
    fs_cuda_session_close(session);
}
static void session_memory(const void *session, fs_session_memory *memory) {
    fs_cuda_session_memory(session, memory);
}
static fs_status submit(void *session, const fs_frame *frame, const fs_outputs *outputs, uint64_t *ticket) {
    return fs_cuda_session_submit(session, frame, outputs, ticket);
}
static fs_status wait_for(void *session, uint64_t ticket, int64_t timeout_ns) {
    return fs_cuda_session_wait(session, ticket, timeout_ns);
}
static void cancel(void *session) {
    fs_cuda_session_cancel(session);
}
static fs_status profile(void *session, const fs_frame *frame, const fs_outputs *outputs, fs_span *spans) {
    return fs_cuda_session_profile(session, frame, outputs, spans);
}

static fs_status profiler_window(void *engine, bool on) {
    const int ordinal = ((const fs_cuda_engine *)engine)->device.ordinal;
    int before;
    FS_TRY(fs_device_enter(ordinal, &before));
    const fs_status status =
        fs_cuda_status(on ? cudaProfilerStart() : cudaProfilerStop(), "opening or closing the profiler's window");
    fs_device_leave(ordinal, before);
    return status;
}

const fs_backend fs_cuda_backend = {
    .abi = FS_BACKEND_ABI,
    .name = "cuda",
    .channel_multiple = 8,
    .device = true,
    .roofline = "h100",
    .probe = probe,
    .accepts = accepts,
    .supports = supports,
    .launches_on = fs_steps_launches,
    .engine_open = engine_open,
    .engine_close = engine_close,
    .engine_bytes = engine_bytes,
    .engine_kernels = engine_kernels,
    .buffer_alloc = buffer_alloc,
    .buffer_free = buffer_free,
    .buffer_copy = buffer_copy,
    .session_open = session_open,
    .session_close = session_close,
    .session_memory = session_memory,
    .submit = submit,
    .wait = wait_for,
    .cancel = cancel,
    .profile = profile,
    .profiler_window = profiler_window,
};

const fs_backend *fs_cuda_module(int abi, const fs_services *services) {
    if (abi != FS_BACKEND_ABI) return NULL;
    // Linked into the library itself (in tests) the services are this copy's own.
    if (services != fs_services_own()) fs_services_use(services);
    return &fs_cuda_backend;
}
