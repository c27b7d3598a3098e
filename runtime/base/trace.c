// NVTX behind a few functions; this copy of the code has one domain handle, made at the first name.
#include "runtime/base/trace.h"

#ifdef FS_HAVE_NVTX

#include <nvtx3/nvToolsExt.h>
#include <stdatomic.h>

static _Atomic(nvtxDomainHandle_t) domain;

static nvtxDomainHandle_t the_domain(void) {
    nvtxDomainHandle_t known = atomic_load_explicit(&domain, memory_order_acquire);
    if (known) return known;
    // Two threads may both make one: a profiler takes the same name for the same domain.
    known = nvtxDomainCreateA("fastscnn");
    if (known) atomic_store(&domain, known);
    return known;
}

fs_trace_name fs_trace_register(const char *name) {
    return (fs_trace_name)nvtxDomainRegisterStringA(the_domain(), name);
}

static nvtxEventAttributes_t event_of(fs_trace_name name, uint64_t payload) {
    return (nvtxEventAttributes_t){.version = NVTX_VERSION,
                                   .size = NVTX_EVENT_ATTRIB_STRUCT_SIZE,
                                   .payloadType = NVTX_PAYLOAD_TYPE_UNSIGNED_INT64,
                                   .payload.ullValue = payload,
                                   .messageType = NVTX_MESSAGE_TYPE_REGISTERED,
                                   .message.registered = (nvtxStringHandle_t)name};
}

// The domain is there before a session's first range and stays, so a range that was left out is left out at its end
// too.
void fs_trace_begin(fs_trace_name name, uint64_t payload) {
    nvtxDomainHandle_t known = atomic_load_explicit(&domain, memory_order_relaxed);
    if (known == NULL) return;
    const nvtxEventAttributes_t event = event_of(name, payload);
    nvtxDomainRangePushEx(known, &event);
}

void fs_trace_end(void) {
    nvtxDomainHandle_t known = atomic_load_explicit(&domain, memory_order_relaxed);
    if (known) nvtxDomainRangePop(known);
}

void fs_trace_mark(fs_trace_name name, uint64_t payload) {
    nvtxDomainHandle_t known = atomic_load_explicit(&domain, memory_order_relaxed);
    if (known == NULL) return;
    const nvtxEventAttributes_t event = event_of(name, payload);
    nvtxDomainMarkEx(known, &event);
}

const char *fs_trace_about(void) {
    return "NVTX ranges for profilers";
}

bool fs_trace_active(void) {
    return atomic_load_explicit(&domain, memory_order_relaxed) != NULL;
}

#else

fs_trace_name fs_trace_register(const char *name) {
    (void)name;
    return 0;
}

void fs_trace_begin(fs_trace_name name, uint64_t payload) {
    (void)name, (void)payload;
}

void fs_trace_end(void) {}

void fs_trace_mark(fs_trace_name name, uint64_t payload) {
    (void)name, (void)payload;
}

const char *fs_trace_about(void) {
    return "built without NVTX's header, so profilers see no ranges (docs/profiling.md)";
}

bool fs_trace_active(void) {
    return false;
}

#endif
