// The door of the simulated CUDA runtime: counts calls, injects faults, keeps errors; and the controls of sim.h.
#include "tests/cuda_sim/cudart.h"

#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <cstring>

namespace sim {

thread_local bool in_host_function = false;
thread_local cudaStreamCaptureMode thread_capture_mode = cudaStreamCaptureModeGlobal;

namespace {

constexpr size_t MISUSE_LINES = 100; // kept; the count goes on

thread_local cudaError_t last_error = cudaSuccess;

cudaError_t remember(cudaError_t error) {
    if (error != cudaSuccess) last_error = error;
    return error;
}

cudaError_t injected(State &s) {
    if (s.fail_fired && s.fail_sticky) return s.fail_code;
    if (s.fail_in == 0 || --s.fail_in > 0) return cudaSuccess;
    s.fail_fired = true;
    return s.fail_code;
}

cudaError_t refusal(State &s, const char *function, unsigned traits) {
    if (const cudaError_t error = injected(s)) return error;
    if (!(traits & NO_DEVICE) && s.device.devices < 0) return cudaErrorInsufficientDriver;
    if (!(traits & NO_DEVICE) && s.device.devices == 0) return cudaErrorNoDevice;
    if (in_host_function && !(traits & ANY_THREAD)) {
        misuse("%s called from a host function", function);
        return cudaErrorNotPermitted;
    }
    if (s.sticky != cudaSuccess && !(traits & NO_DEVICE)) return s.sticky;
    if ((traits & UNSAFE) && capture_forbids_unsafe()) {
        misuse("%s during a stream capture", function);
        return cudaErrorStreamCaptureUnsupported;
    }
    return cudaSuccess;
}

} // namespace

State::State() {
    const char *seed = getenv("FS_CUDART_SEED"), *sm = getenv("FS_TEST_SM");
    random = seed ? strtoull(seed, nullptr, 10) : 1;
    device = {1, sm && *sm ? atoi(sm) : 90, nullptr, 227 << 10, 132, size_t{8} << 30};
    device_name = "Simulated H100";
    for (Stream **stream : {&legacy, &per_thread}) {
        auto made = std::make_shared<Stream>();
        made->handle = next_handle += 16;
        made->legacy = stream == &legacy;
        *stream = made.get();
        streams.objects[made->handle] = made;
    }
}

// Never destroyed: threads and destructors of the program may come late.
State &state() {
    static State *only = new State;
    return *only;
}

uintptr_t new_handle() {
    return state().next_handle += 16;
}

unsigned below(unsigned n) {
    unsigned long long &x = state().random; // splitmix64
    unsigned long long z = x += 0x9E3779B97F4A7C15u;
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
    return static_cast<unsigned>((z ^ (z >> 31)) % n);
}

void misuse(const char *format, ...) {
    char text[1024];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    State &s = state();
    ++s.misuses;
    if (s.misuse.size() < MISUSE_LINES) s.misuse.push_back(text);
}

cudaError_t api(const char *function, unsigned traits, const std::function<cudaError_t(Lock &)> &body) {
    State &s = state();
    Lock lock(s.mutex);
    ++s.calls;
    ++s.calls_named[function];
    const cudaError_t refused = refusal(s, function, traits);
    if (refused == cudaSuccess) return remember(body(lock));
    if ((traits & FREES) && refused != cudaErrorNotPermitted && refused != cudaErrorStreamCaptureUnsupported)
        body(lock);
    return remember(refused);
}

} // namespace sim

using sim::Lock;
using sim::state;

#define ERRORS(X)                                                                                                      \
    X(cudaSuccess, "no error")                                                                                         \
    X(cudaErrorInvalidValue, "invalid argument")                                                                       \
    X(cudaErrorMemoryAllocation, "out of memory")                                                                      \
    X(cudaErrorInitializationError, "initialization error")                                                            \
    X(cudaErrorCudartUnloading, "driver shutting down")                                                                \
    X(cudaErrorInvalidConfiguration, "invalid configuration argument")                                                 \
    X(cudaErrorInvalidPitchValue, "invalid pitch argument")                                                            \
    X(cudaErrorInvalidDevicePointer, "invalid device pointer")                                                         \
    X(cudaErrorInvalidMemcpyDirection, "invalid copy direction for memcpy")                                            \
    X(cudaErrorInsufficientDriver, "CUDA driver version is insufficient for CUDA runtime version")                     \
    X(cudaErrorInvalidDeviceFunction, "invalid device function")                                                       \
    X(cudaErrorNoDevice, "no CUDA-capable device is detected")                                                         \
    X(cudaErrorInvalidDevice, "invalid device ordinal")                                                                \
    X(cudaErrorNoKernelImageForDevice, "no kernel image is available for execution on the device")                     \
    X(cudaErrorECCUncorrectable, "uncorrectable ECC error encountered")                                                \
    X(cudaErrorInvalidResourceHandle, "invalid resource handle")                                                       \
    X(cudaErrorIllegalState, "the operation cannot be performed in the present state")                                 \
    X(cudaErrorNotReady, "device not ready")                                                                           \
    X(cudaErrorIllegalAddress, "an illegal memory access was encountered")                                             \
    X(cudaErrorLaunchOutOfResources, "too many resources requested for launch")                                        \
    X(cudaErrorLaunchTimeout, "the launch timed out and was terminated")                                               \
    X(cudaErrorAssert, "device-side assert triggered")                                                                 \
    X(cudaErrorHostMemoryAlreadyRegistered, "part or all of the requested memory range is already mapped")             \
    X(cudaErrorHostMemoryNotRegistered, "pointer does not correspond to a registered memory region")                   \
    X(cudaErrorMisalignedAddress, "misaligned address")                                                                \
    X(cudaErrorLaunchFailure, "unspecified launch failure")                                                            \
    X(cudaErrorNotPermitted, "operation not permitted")                                                                \
    X(cudaErrorNotSupported, "operation not supported")                                                                \
    X(cudaErrorStreamCaptureUnsupported, "operation not permitted when stream is capturing")                           \
    X(cudaErrorStreamCaptureInvalidated, "operation failed due to a previous error during capture")                    \
    X(cudaErrorStreamCaptureMerge, "operation would result in a merge of separate capture sequences")                  \
    X(cudaErrorStreamCaptureUnmatched, "capture was not ended in the same stream as it began")                         \
    X(cudaErrorStreamCaptureUnjoined, "capturing stream has unjoined work")                                            \
    X(cudaErrorStreamCaptureIsolation, "dependency created on uncaptured work in another stream")                      \
    X(cudaErrorStreamCaptureImplicit, "operation would make the legacy stream depend on a capturing blocking stream")  \
    X(cudaErrorCapturedEvent, "operation not permitted on an event last recorded in a capturing stream")               \
    X(cudaErrorStreamCaptureWrongThread, "attempt to terminate a thread-local capture sequence from another thread")   \
    X(cudaErrorGraphExecUpdateFailure, "the graph update was not performed")                                           \
    X(cudaErrorUnknown, "unknown error")

extern "C" {

const char *cudaGetErrorName(cudaError_t error) {
    switch (error) {
#define NAME(code, text)                                                                                               \
    case code: return #code;
        ERRORS(NAME)
    default: return "unrecognized error code";
    }
}

const char *cudaGetErrorString(cudaError_t error) {
    switch (error) {
#define TEXT(code, text)                                                                                               \
    case code: return text;
        ERRORS(TEXT)
    default: return "unrecognized error code";
    }
}

cudaError_t cudaPeekAtLastError(void) {
    Lock lock(state().mutex);
    return state().sticky != cudaSuccess ? state().sticky : sim::last_error;
}

cudaError_t cudaGetLastError(void) {
    const cudaError_t error = cudaPeekAtLastError();
    sim::last_error = cudaSuccess;
    return error;
}

sim_count sim_live(sim_kind kind) {
    sim::State &s = state();
    Lock lock(s.mutex);
    sim_count live = {0, 0};
    for (const auto &[address, allocation] : s.memory) {
        if (kind == SIM_ALL || kind == allocation->kind) ++live.count, live.bytes += allocation->bytes;
    }
    size_t streams = 0;
    for (const auto &[handle, stream] : s.streams.objects) {
        streams += stream->alive && stream.get() != s.legacy && stream.get() != s.per_thread;
    }
    if (kind == SIM_ALL || kind == SIM_STREAM) live.count += streams;
    if (kind == SIM_ALL || kind == SIM_EVENT) live.count += s.events.objects.size();
    if (kind == SIM_ALL || kind == SIM_GRAPH) live.count += s.graphs.objects.size();
    if (kind == SIM_ALL || kind == SIM_GRAPH_EXEC) live.count += s.execs.objects.size();
    return live;
}

size_t sim_peak_bytes(void) {
    Lock lock(state().mutex);
    return state().peak_bytes;
}

void sim_fail_at(unsigned long n, bool sticky, cudaError_t code) {
    sim::State &s = state();
    Lock lock(s.mutex);
    s.fail_in = n, s.fail_sticky = sticky, s.fail_code = code, s.fail_fired = false;
}

void sim_fail_work(unsigned long n, cudaError_t code) {
    Lock lock(state().mutex);
    state().fail_work_in = n, state().fail_work_code = code;
}

void sim_compute(bool on) {
    Lock lock(state().mutex);
    state().computes = on;
}

void sim_set_duration(const void *entry, double ms) {
    sim::State &s = state();
    Lock lock(s.mutex);
    if (!entry)
        s.durations.clear();
    else if (ms < 0)
        s.durations.erase(entry);
    else
        s.durations[entry] = ms;
}

bool sim_fault_fired(void) {
    Lock lock(state().mutex);
    return state().fail_fired;
}

unsigned long sim_calls(void) {
    Lock lock(state().mutex);
    return state().calls;
}

unsigned long sim_calls_named(const char *function) {
    Lock lock(state().mutex);
    auto found = state().calls_named.find(function);
    return found == state().calls_named.end() ? 0 : found->second;
}

unsigned long sim_misuses(void) {
    Lock lock(state().mutex);
    return state().misuses;
}

const char *sim_report(void) {
    static thread_local std::string text;
    const struct {
        sim_kind kind;
        const char *name;
    } kinds[] = {{SIM_DEVICE_MEMORY, "device allocations"},
                 {SIM_PINNED_MEMORY, "pinned allocations"},
                 {SIM_REGISTERED_MEMORY, "registered ranges"},
                 {SIM_STREAM, "streams"},
                 {SIM_EVENT, "events"},
                 {SIM_GRAPH, "graphs"},
                 {SIM_GRAPH_EXEC, "executable graphs"}};
    text.clear();
    for (const auto &kind : kinds) {
        const sim_count live = sim_live(kind.kind);
        if (live.count == 0) continue;
        text += "alive: " + std::to_string(live.count) + " " + kind.name;
        if (live.bytes) text += ", " + std::to_string(live.bytes) + " bytes";
        text += "\n";
    }
    Lock lock(state().mutex);
    for (const std::string &line : state().misuse) text += "misuse: " + line + "\n";
    if (state().misuses > state().misuse.size()) text += "... " + std::to_string(state().misuses) + " in all\n";
    return text.c_str();
}

void sim_set_device(const sim_device *device) {
    sim::State &s = state();
    Lock lock(s.mutex);
    s.device.devices = device->devices;
    if (device->sm) s.device.sm = device->sm;
    if (device->name) s.device_name = device->name;
    if (device->shared_optin) s.device.shared_optin = device->shared_optin;
    if (device->multiprocessors) s.device.multiprocessors = device->multiprocessors;
    if (device->memory) s.device.memory = device->memory;
}

void sim_reset(unsigned long seed) {
    sim::State &s = state();
    Lock lock(s.mutex);
    s.calls = 0, s.calls_named.clear();
    s.misuses = 0, s.misuse.clear();
    s.fail_in = s.fail_work_in = 0, s.fail_sticky = s.fail_fired = false;
    s.sticky = cudaSuccess, sim::last_error = cudaSuccess;
    s.durations.clear();
    s.peak_bytes = s.device_bytes;
    s.random = seed;
}

} // extern "C"
