// A profiler for tests: a library that NVTX loads by NVTX_INJECTION64_PATH, and that writes down what it is told.
#include "tests/trace/recorder.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include <nvtx3/nvToolsExt.h>

#define EXPORTED __attribute__((visibility("default")))
enum { MAX_EVENTS = RECORDER_MOST, MAX_NAMES = 1 << 12, MAX_DEPTH = 64 };

static recorder_event events[MAX_EVENTS];
static char *names[MAX_NAMES]; // what handles of domains and strings are pointers to
static int count, name_count;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static _Thread_local struct {
    const char *name;
    uint64_t payload;
} open_ranges[MAX_DEPTH];
static _Thread_local int depth, thread;
static int threads;

static void record(recorder_kind kind, const char *domain, const char *name, uint64_t payload, int at) {
    pthread_mutex_lock(&lock);
    if (thread == 0) thread = ++threads;
    if (count < MAX_EVENTS) events[count++] = (recorder_event){kind, domain, name, payload, at, thread};
    pthread_mutex_unlock(&lock);
}

static const char *keep(const char *name) {
    char *copy = strdup(name);
    pthread_mutex_lock(&lock);
    if (name_count < MAX_NAMES)
        names[name_count++] = copy;
    else
        free(copy), copy = NULL;
    pthread_mutex_unlock(&lock);
    return copy;
}

static nvtxDomainHandle_t domain_create(const char *name) {
    const char *kept = keep(name);
    record(RECORDER_DOMAIN, kept, kept, 0, 0);
    return (nvtxDomainHandle_t)(uintptr_t)kept;
}

static nvtxStringHandle_t register_string(nvtxDomainHandle_t domain, const char *name) {
    const char *kept = keep(name);
    record(RECORDER_REGISTER, (const char *)domain, kept, 0, 0);
    return (nvtxStringHandle_t)(uintptr_t)kept;
}

static const char *name_of(const nvtxEventAttributes_t *event) {
    return event->messageType == NVTX_MESSAGE_TYPE_REGISTERED ? (const char *)event->message.registered : NULL;
}

static uint64_t payload_of(const nvtxEventAttributes_t *event) {
    return event->payloadType == NVTX_PAYLOAD_TYPE_UNSIGNED_INT64 ? event->payload.ullValue : 0;
}

static void mark(nvtxDomainHandle_t domain, const nvtxEventAttributes_t *event) {
    record(RECORDER_MARK, (const char *)domain, name_of(event), payload_of(event), depth);
}

static int range_push(nvtxDomainHandle_t domain, const nvtxEventAttributes_t *event) {
    const char *name = name_of(event);
    const uint64_t payload = payload_of(event);
    if (depth < MAX_DEPTH) open_ranges[depth].name = name, open_ranges[depth].payload = payload;
    record(RECORDER_PUSH, (const char *)domain, name, payload, depth);
    return depth++;
}

static int range_pop(nvtxDomainHandle_t domain) {
    if (depth > 0) depth--;
    const int at = depth < MAX_DEPTH ? depth : MAX_DEPTH - 1;
    record(RECORDER_POP, (const char *)domain, open_ranges[at].name, open_ranges[at].payload, depth);
    open_ranges[at].name = NULL;
    return depth;
}

static void name_stream(void *stream, const char *name) {
    record(RECORDER_STREAM, NULL, keep(name), (uint64_t)(uintptr_t)stream, 0);
}

EXPORTED int recorder_count(void) {
    return count;
}

EXPORTED const recorder_event *recorder_at(int index) {
    return &events[index];
}

static int take(const NvtxExportTableCallbacks *callbacks, NvtxCallbackModule module, unsigned id,
                NvtxFunctionPointer function) {
    NvtxFunctionTable table = NULL;
    unsigned size = 0;
    if (!callbacks->GetModuleFunctionTable(module, &table, &size) || id >= size) return 0;
    *table[id] = function;
    return 1;
}

EXPORTED int InitializeInjectionNvtx2(NvtxGetExportTableFunc_t get_table);
int InitializeInjectionNvtx2(NvtxGetExportTableFunc_t get_table) {
    const NvtxExportTableCallbacks *callbacks = get_table(NVTX_ETID_CALLBACKS);
    const NvtxCallbackModule core = NVTX_CB_MODULE_CORE2;
    return callbacks && callbacks->struct_size >= sizeof *callbacks &&
           take(callbacks, core, NVTX_CBID_CORE2_DomainCreateA, (NvtxFunctionPointer)domain_create) &&
           take(callbacks, core, NVTX_CBID_CORE2_DomainRegisterStringA, (NvtxFunctionPointer)register_string) &&
           take(callbacks, core, NVTX_CBID_CORE2_DomainMarkEx, (NvtxFunctionPointer)mark) &&
           take(callbacks, core, NVTX_CBID_CORE2_DomainRangePushEx, (NvtxFunctionPointer)range_push) &&
           take(callbacks, core, NVTX_CBID_CORE2_DomainRangePop, (NvtxFunctionPointer)range_pop) &&
           take(callbacks, NVTX_CB_MODULE_CUDART, NVTX_CBID_CUDART_NameCudaStreamA, (NvtxFunctionPointer)name_stream);
}
