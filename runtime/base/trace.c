// NVTX behind four functions; this copy of the code has one domain handle, made at the first name.
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

void fs_trace_begin(fs_trace_name name, uint64_t payload) {
    nvtxEventAttributes_t event = {.version = NVTX_VERSION,
                                   .size = NVTX_EVENT_ATTRIB_STRUCT_SIZE,
                                   .payloadType = NVTX_PAYLOAD_TYPE_UNSIGNED_INT64,
                                   .payload.ullValue = payload,
                                   .messageType = NVTX_MESSAGE_TYPE_REGISTERED,
                                   .message.registered = (nvtxStringHandle_t)name};
    nvtxDomainRangePushEx(atomic_load_explicit(&domain, memory_order_relaxed), &event);
}

void fs_trace_end(void) {
    nvtxDomainRangePop(atomic_load_explicit(&domain, memory_order_relaxed));
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

bool fs_trace_active(void) {
    return false;
}

#endif
