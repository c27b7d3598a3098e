// Tests of the simulated CUDA runtime: that it shows the mistakes it is there to show, and no others.
#include "tests/cuda_sim/simulator.h"

#include <atomic>
#include <cmath>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <thread>
#include <vector>

#include <cuda_fp16.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/simt/simt_run.h"

// In place of the SIMT layer, so that nothing but the runtime is under test.
extern "C" size_t simt_params_bytes(const void *entry) {
    return static_cast<const Kernel *>(entry)->bytes;
}
extern "C" int simt_launch(const void *entry, const unsigned *, unsigned, unsigned, const void *params) {
    return static_cast<const Kernel *>(entry)->run(params);
}
extern "C" int simt_launch_early(const void *entry, const unsigned *, unsigned, unsigned, const void *params) {
    return static_cast<const Kernel *>(entry)->run(params);
}
static unsigned clusters_launched; // the size of those of the latest launch
extern "C" int simt_launch_clusters(const void *entry, const unsigned *, unsigned, unsigned, const void *params,
                                    unsigned cluster, int) {
    clusters_launched = cluster;
    return static_cast<const Kernel *>(entry)->run(params);
}
extern "C" const char *simt_report(void) {
    return "a planted fault";
}
extern "C" void simt_register_memory(void *, size_t) {}
extern "C" void simt_unregister_memory(void *) {}

namespace {

// ---- streams ----

void work_runs_only_when_waited_for() {
    Bench b;
    OK(b.up(b.streams[0]));
    OK(b.plus(1, 0, 10, b.streams[0]));
    OK(b.down(b.device[1], b.streams[0]));
    CHECK(b.result() == 0, "before the wait: %g", b.result());
    OK(cudaStreamSynchronize(b.streams[0]));
    CHECK(b.result() == 11, "after the wait: %g", b.result());
}

void missing_event_wait_shows() {
    int stale = 0;
    for (unsigned long seed = 1; seed <= 40; ++seed) {
        for (const bool with_event : {true, false}) {
            Bench b(seed);
            OK(b.up(b.streams[0]));
            OK(cudaEventRecord(b.event, b.streams[0]));
            if (with_event) OK(cudaStreamWaitEvent(b.streams[1], b.event, 0));
            OK(b.plus(1, 0, 10, b.streams[1]));
            OK(b.down(b.device[1], b.streams[1]));
            OK(cudaStreamSynchronize(b.streams[1]));
            if (with_event)
                CHECK(b.result() == 11, "seed %lu: %g", seed, b.result());
            else
                stale += b.result() != 11;
        }
    }
    CHECK(stale > 0 && stale < 40, "%d of 40 seeds show the missing wait", stale);
}

// An event stands for the work before its last record, not for what is recorded later.
void waits_are_for_the_record_of_then() {
    Bench b;
    OK(cudaStreamWaitEvent(b.streams[1], b.event, 0)); // never recorded: no wait
    OK(b.up(b.streams[0]));
    OK(cudaEventRecord(b.event, b.streams[0]));
    OK(cudaStreamWaitEvent(b.streams[1], b.event, 0));
    OK(cudaEventRecord(b.event, b.streams[1]));
    OK(cudaEventSynchronize(b.event));
    CHECK(b.fetch(0) == 1, "%g", b.fetch(0));
}

void legacy_stream_waits_for_blocking_streams_only() {
    int stale = 0;
    for (unsigned long seed = 1; seed <= 40; ++seed) {
        Bench b(seed);
        cudaStream_t blocking;
        OK(cudaStreamCreate(&blocking));
        OK(b.up(blocking));
        OK(b.plus(1, 0, 10, nullptr));
        OK(b.down(b.device[1], blocking));
        OK(cudaStreamSynchronize(blocking));
        CHECK(b.result() == 11, "seed %lu: %g", seed, b.result());
        OK(cudaMemset(b.device[2], 0, BYTES)); // does not wait, and the non-blocking stream does not wait for it
        OK(b.down(b.device[2], b.streams[0]));
        OK(cudaStreamSynchronize(b.streams[0]));
        stale += b.result() != 0;
        OK(cudaStreamDestroy(blocking));
    }
    CHECK(stale > 0, "a non-blocking stream always saw the memset");
}

void queries_make_progress() {
    Bench b;
    OK(b.up(b.streams[0]));
    OK(b.down(b.device[0], b.streams[0]));
    OK(cudaEventRecord(b.event, b.streams[0]));
    int polls = 0;
    while (cudaEventQuery(b.event) == cudaErrorNotReady && polls < 100) ++polls;
    CHECK(polls == 3 && b.result() == 1, "%d polls, %g", polls, b.result());
    FAILS(cudaErrorNotReady, cudaGetLastError());
    OK(cudaStreamQuery(b.streams[0]));
    OK(b.up(b.streams[1]));
    FAILS(cudaErrorNotReady, cudaStreamQuery(b.streams[1]));
    OK(cudaStreamQuery(b.streams[1]));
}

void destroyed_streams_finish_their_work() {
    Bench b;
    cudaStream_t stream;
    OK(cudaStreamCreateWithPriority(&stream, cudaStreamNonBlocking, -1));
    OK(b.up(stream));
    OK(cudaStreamDestroy(stream));
    CHECK(b.fetch(0) == 1, "%g", b.fetch(0));
    b.expected_misuses = 1;
    FAILS(cudaErrorInvalidResourceHandle, cudaStreamSynchronize(stream));
}

void host_functions_run_in_order() {
    Bench b;
    struct Seen {
        const Bench *bench;
        float value;
        cudaError_t error;
    } seen = {&b, 0, cudaSuccess};
    OK(b.up(b.streams[0]));
    OK(b.down(b.device[0], b.streams[0]));
    OK(cudaLaunchHostFunc(
        b.streams[0],
        [](void *user) {
            auto *s = static_cast<Seen *>(user);
            s->value = s->bench->result();
            s->error = cudaStreamSynchronize(s->bench->streams[1]);
        },
        &seen));
    OK(cudaStreamSynchronize(b.streams[0]));
    CHECK(seen.value == 1, "%g", seen.value);
    CHECK(seen.error == cudaErrorNotPermitted, "%s", cudaGetErrorName(seen.error));
    b.expected_misuses = 1;
}

void events_measure_time() {
    Bench b;
    cudaEvent_t start, end;
    float ms = -1;
    OK(cudaEventCreate(&start));
    OK(cudaEventCreate(&end));
    OK(cudaEventRecord(start, b.streams[0]));
    OK(b.up(b.streams[0]));
    OK(cudaEventRecord(end, b.streams[0]));
    FAILS(cudaErrorNotReady, cudaEventElapsedTime(&ms, start, end));
    OK(cudaEventSynchronize(end));
    OK(cudaEventElapsedTime(&ms, start, end));
    CHECK(ms > 0, "%g ms", ms);
    sim_set_duration(&add, 2.5);
    OK(cudaEventRecord(start, b.streams[0]));
    for (int i = 0; i < 4; ++i) OK(b.plus(1, 0, 1, b.streams[0]));
    OK(cudaEventRecord(end, b.streams[0]));
    OK(cudaStreamSynchronize(b.streams[0]));
    OK(cudaEventElapsedTime(&ms, start, end));
    CHECK(ms == 10, "%g ms", ms);
    b.expected_misuses = 1; // without timing
    FAILS(cudaErrorInvalidResourceHandle, cudaEventElapsedTime(&ms, start, b.event));
    OK(cudaEventDestroy(start));
    OK(cudaEventDestroy(end));
}

void threads_have_their_own_streams() {
    Bench b;
    std::atomic<int> wrong{0};
    auto body = [&](int which) {
        std::vector<float> values(COUNT, static_cast<float>(which));
        for (int round = 0; round < 200; ++round) {
            float out[COUNT];
            cudaMemcpyAsync(b.device[which], values.data(), BYTES, cudaMemcpyHostToDevice, b.streams[which]);
            launch(add, {b.device[which], b.device[which], 1, COUNT}, b.streams[which]);
            cudaLaunchHostFunc(
                b.streams[which], [](void *) {}, nullptr);
            cudaMemcpyAsync(out, b.device[which], BYTES, cudaMemcpyDeviceToHost, b.streams[which]);
            wrong += out[0] != static_cast<float>(which + 1);
        }
    };
    std::thread first(body, 0), second(body, 1);
    first.join(), second.join();
    CHECK(wrong == 0, "%d wrong results", wrong.load());
}

// ---- memory ----

void fresh_memory_is_nan() {
    Bench b;
    CHECK(std::isnan(b.fetch(2)), "%g", b.fetch(2));
}

void pageable_memory_is_staged_and_pinned_is_not() {
    Bench b;
    float pageable[COUNT] = {};
    pageable[COUNT - 1] = 5;
    OK(cudaMemcpyAsync(b.device[1], pageable, BYTES, cudaMemcpyHostToDevice, b.streams[0]));
    pageable[COUNT - 1] = 6; // too late: staged
    OK(b.up(b.streams[0]));
    b.set(0, 7); // in time: read when the copy runs
    CHECK(b.fetch(1) == 5 && b.fetch(0) == 7, "%g, %g", b.fetch(1), b.fetch(0));
    OK(cudaMemcpyAsync(pageable, b.device[0], BYTES, cudaMemcpyDeviceToHost, b.streams[0]));
    CHECK(pageable[COUNT - 1] == 7, "a copy to pageable memory waits: %g", pageable[COUNT - 1]);
    OK(cudaHostRegister(pageable, sizeof pageable, cudaHostRegisterDefault));
    FAILS(cudaErrorHostMemoryAlreadyRegistered, cudaHostRegister(pageable, 4, cudaHostRegisterDefault));
    OK(cudaMemcpyAsync(pageable, b.device[1], BYTES, cudaMemcpyDeviceToHost, b.streams[0]));
    CHECK(pageable[COUNT - 1] == 7, "a copy to registered memory does not wait: %g", pageable[COUNT - 1]);
    OK(cudaStreamSynchronize(b.streams[0]));
    CHECK(pageable[COUNT - 1] == 5, "%g", pageable[COUNT - 1]);
    OK(cudaHostUnregister(pageable));
}

void pitched_copies() {
    Bench b;
    for (int i = 0; i < COUNT; ++i) b.pinned[0][i] = static_cast<float>(i);
    OK(cudaMemcpy2D(b.device[0], 2 * sizeof(float), b.pinned[0], 4 * sizeof(float), 2 * sizeof(float), 2,
                    cudaMemcpyHostToDevice));
    OK(b.down(b.device[0], b.streams[0]));
    OK(cudaStreamSynchronize(b.streams[0]));
    CHECK(b.pinned[1][1] == 1 && b.pinned[1][2] == 4 && b.pinned[1][3] == 5, "%g %g", b.pinned[1][2], b.pinned[1][3]);
    FAILS(cudaErrorInvalidPitchValue, cudaMemcpy2D(b.device[0], 4, b.pinned[0], 8, 8, 2, cudaMemcpyHostToDevice));
    b.expected_misuses = 1; // the last row ends beyond
    FAILS(cudaErrorInvalidValue, cudaMemcpy2D(b.device[0], 8, b.pinned[0], 8, 8, 5, cudaMemcpyHostToDevice));
}

void wrong_pointers_are_refused() {
    Bench b;
    float host[2 * COUNT] = {};
    b.expected_misuses = 1;
    FAILS(cudaErrorInvalidValue, cudaMemcpy(host, b.pinned[0], BYTES, cudaMemcpyHostToDevice));
    FAILS(cudaErrorInvalidValue, cudaMemcpy(b.device[0], b.pinned[0], BYTES, cudaMemcpyDeviceToHost));
    FAILS(cudaErrorInvalidValue, cudaMemcpy(b.device[0], b.device[1], BYTES, cudaMemcpyHostToDevice));
    FAILS(cudaErrorInvalidValue, cudaMemcpy(b.device[0], host, BYTES + 1, cudaMemcpyHostToDevice));
    FAILS(cudaErrorInvalidValue, cudaMemcpy(b.device[0], b.pinned[0] + 1, BYTES, cudaMemcpyHostToDevice));
    FAILS(cudaErrorInvalidValue, cudaMemset(host, 0, BYTES));
    FAILS(cudaErrorInvalidValue, cudaFree(host));
    FAILS(cudaErrorInvalidValue, cudaFree(b.pinned[0]));
    FAILS(cudaErrorInvalidValue, cudaGetLastError());
    OK(cudaGetLastError());
    CHECK(sim_misuses() == 8, "%lu misuses\n%s", sim_misuses(), sim_report());
}

void frees_of_memory_in_use_are_reported() {
    Bench b;
    float *extra = nullptr;
    OK(cudaMalloc(reinterpret_cast<void **>(&extra), BYTES));
    OK(launch(add, {b.device[1], extra, 1, COUNT}, b.streams[0])); // found in the kernel's parameters
    OK(cudaFree(extra));
    CHECK(strstr(sim_report(), "while queued work uses it"), "%s", sim_report());
    b.expected_misuses = 1;
    FAILS(cudaErrorInvalidValue, cudaFree(extra));
    OK(launch(add, {b.device[1], extra, 1, COUNT}, b.streams[0]));
    FAILS(cudaErrorIllegalAddress, cudaStreamSynchronize(b.streams[0]));
    CHECK(strstr(sim_report(), "after it was freed"), "%s", sim_report());
}

void writes_next_to_memory_are_reported() {
#ifndef __SANITIZE_ADDRESS__ // which stops the program at the write
    Bench b;
    float *extra = nullptr;
    OK(cudaMalloc(reinterpret_cast<void **>(&extra), BYTES - 4));
    OK(b.up(b.streams[0]));
    OK(launch(add, {extra, b.device[0], 1, COUNT}, b.streams[0]));
    OK(cudaStreamSynchronize(b.streams[0]));
    OK(cudaFree(extra));
    b.expected_misuses = 1;
#endif
}

void host_cannot_touch_device_memory() {
    Bench b;
    fflush(stdout);
    const pid_t child = fork();
    if (child == 0) {
        const rlimit none = {0, 0};
        setrlimit(RLIMIT_CORE, &none);
        signal(SIGSEGV, SIG_DFL);
        b.device[0][0] = 1;
        _exit(0);
    }
    int status = 0;
    waitpid(child, &status, 0);
    CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV, "status %d", status);
}

void pointers_are_classified() {
    Bench b;
    cudaPointerAttributes at;
    float host = 0;
    OK(cudaPointerGetAttributes(&at, b.device[0] + 1));
    CHECK(at.type == cudaMemoryTypeDevice && at.devicePointer == b.device[0] + 1, "%d", at.type);
    OK(cudaPointerGetAttributes(&at, b.pinned[0]));
    CHECK(at.type == cudaMemoryTypeHost && at.hostPointer == b.pinned[0], "%d", at.type);
    OK(cudaPointerGetAttributes(&at, &host));
    CHECK(at.type == cudaMemoryTypeUnregistered, "%d", at.type);
}

void memory_ends() {
    Bench b;
    const sim_device small = {1, 0, nullptr, 0, 0, 1000};
    void *p = &b;
    sim_set_device(&small);
    FAILS(cudaErrorMemoryAllocation, cudaMalloc(&p, 1000));
    CHECK(p == nullptr, "%p", p);
    FAILS(cudaErrorMemoryAllocation, cudaMalloc(&p, SIZE_MAX));
    const sim_device large = {1, 0, nullptr, 0, 0, size_t{8} << 30};
    sim_set_device(&large);
}

// ---- faults and counts ----

void calls_fail_on_demand() {
    Bench b;
    void *p = nullptr;
    const unsigned long before = sim_calls_named("cudaMalloc"), all = sim_calls();
    sim_fail_at(2, false, cudaErrorUnknown);
    OK(b.up(b.streams[0]));
    CHECK(!sim_fault_fired(), "too early");
    FAILS(cudaErrorUnknown, cudaMalloc(&p, 8));
    CHECK(sim_fault_fired() && p == nullptr, "%p", p);
    OK(cudaMalloc(&p, 8));
    CHECK(sim_calls_named("cudaMalloc") == before + 2 && sim_calls() == all + 3, "%lu", sim_calls() - all);
    sim_fail_at(1, true, cudaErrorECCUncorrectable);
    FAILS(cudaErrorECCUncorrectable, cudaStreamSynchronize(b.streams[0]));
    FAILS(cudaErrorECCUncorrectable, cudaFree(p)); // frees none the less
    FAILS(cudaErrorECCUncorrectable, cudaDeviceSynchronize());
    CHECK(sim_live(SIM_DEVICE_MEMORY).count == 3, "%zu", sim_live(SIM_DEVICE_MEMORY).count);
    sim_fail_at(0, false, cudaSuccess);
    OK(cudaDeviceSynchronize());
    cudaGraph_t graph = nullptr;
    OK(cudaStreamBeginCapture(b.streams[0], cudaStreamCaptureModeThreadLocal));
    sim_fail_at(1, false, cudaErrorUnknown);
    FAILS(cudaErrorUnknown, cudaStreamEndCapture(b.streams[0], &graph)); // ends none the less, without a graph
    CHECK(!graph && sim_live(SIM_GRAPH).count == 0, "%s", sim_report());
    OK(cudaStreamSynchronize(b.streams[0]));
}

void device_faults_stick() {
    for (const bool planned : {false, true}) {
        Bench b;
        if (planned) sim_fail_work(2, cudaErrorLaunchFailure);
        OK(b.up(b.streams[0]));
        OK(launch(planned ? add : faulty, {b.device[1], b.device[0], 1, COUNT}, b.streams[0]));
        OK(b.down(b.device[0], b.streams[0]));
        FAILS(cudaErrorLaunchFailure, cudaStreamSynchronize(b.streams[0]));
        FAILS(cudaErrorLaunchFailure, cudaEventRecord(b.event, b.streams[0]));
        FAILS(cudaErrorLaunchFailure, cudaGetLastError());
        FAILS(cudaErrorLaunchFailure, cudaGetLastError());
        CHECK(b.result() == 0, "work after the fault ran: %g", b.result());
        if (!planned) CHECK(strstr(sim_report(), "a planted fault"), "%s", sim_report());
        b.expected_misuses = !planned;
    }
}

void launches_are_checked() {
    Bench b;
    const AddParams params = {b.device[1], b.device[0], 1, COUNT};
    const Kernel none = {0, nullptr};
    int blocks = 0;
    b.expected_misuses = 1;
    FAILS(cudaErrorInvalidDeviceFunction, launch(none, params, b.streams[0]));
    FAILS(cudaErrorInvalidValue, launch(add, params, b.streams[0], 100 << 10));
    OK(cudaFuncSetAttribute(&add, cudaFuncAttributeMaxDynamicSharedMemorySize, 100 << 10));
    OK(launch(add, params, b.streams[0], 100 << 10));
    FAILS(cudaErrorInvalidValue, cudaFuncSetAttribute(&add, cudaFuncAttributeMaxDynamicSharedMemorySize, 300 << 10));
    OK(cudaOccupancyMaxActiveBlocksPerMultiprocessor(&blocks, &add, 128, 100 << 10));
    CHECK(blocks == 2, "%d", blocks);
    AddParams copy = params;
    void *args[] = {&copy};
    FAILS(cudaErrorInvalidConfiguration, cudaLaunchKernel(&add, {0, 1, 1}, {32, 1, 1}, args, 0, b.streams[0]));
    FAILS(cudaErrorInvalidConfiguration, cudaLaunchKernel(&add, {1, 1, 1}, {2048, 1, 1}, args, 0, b.streams[0]));
    FAILS(cudaErrorInvalidConfiguration, cudaLaunchKernel(&add, {1, 70000, 1}, {32, 1, 1}, args, 0, b.streams[0]));
    OK(cudaDeviceSynchronize());
}

// Blocks in clusters: refused where a GPU would, and kept by the node of a graph.
void clusters_are_kept() {
    Bench b;
    AddParams params = {b.device[1], b.device[0], 1, COUNT};
    void *args[] = {&params};
    cudaLaunchAttribute attribute = {};
    attribute.id = cudaLaunchAttributeClusterDimension, attribute.val.clusterDim = {3, 1, 1};
    cudaLaunchConfig_t config = {};
    config.gridDim = {6, 1, 1}, config.blockDim = {32, 1, 1}, config.stream = b.streams[0];
    config.attrs = &attribute, config.numAttrs = 1;
    int clusters = 0;
    OK(cudaOccupancyMaxActiveClusters(&clusters, &add, &config));
    CHECK(clusters == 44, "%d clusters of 3 on 132 multiprocessors", clusters);

    cudaGraph_t graph;
    cudaGraphExec_t exec;
    cudaGraphNode_t node;
    size_t nodes = 1;
    OK(cudaStreamBeginCapture(b.streams[0], cudaStreamCaptureModeThreadLocal));
    OK(cudaLaunchKernelExC(&config, &add, args));
    OK(cudaStreamEndCapture(b.streams[0], &graph));
    OK(cudaGraphGetNodes(graph, &node, &nodes));
    OK(cudaGraphInstantiate(&exec, graph, 0));
    cudaKernelNodeParams other = {};
    other.func = const_cast<Kernel *>(&add), other.gridDim = {9, 1, 1}, other.blockDim = {32, 1, 1};
    other.kernelParams = args;
    OK(cudaGraphExecKernelNodeSetParams(exec, node, &other));
    clusters_launched = 0;
    OK(cudaGraphLaunch(exec, b.streams[0]));
    OK(cudaStreamSynchronize(b.streams[0]));
    CHECK(clusters_launched == 3, "clusters of %u from a graph", clusters_launched);

    b.expected_misuses = 1;
    other.gridDim.x = 8;
    FAILS(cudaErrorInvalidClusterSize, cudaGraphExecKernelNodeSetParams(exec, node, &other));
    OK(cudaGraphExecDestroy(exec));
    OK(cudaGraphDestroy(graph));
    for (unsigned size : {0u, 4u, 9u}) {
        attribute.val.clusterDim.x = size, config.gridDim.x = size == 9 ? 9 : 6;
        FAILS(cudaErrorInvalidClusterSize, cudaLaunchKernelExC(&config, &add, args));
    }
    attribute.val.clusterDim = {2, 1, 2};
    FAILS(cudaErrorInvalidClusterSize, cudaLaunchKernelExC(&config, &add, args));
    const int sm = check::sm();
    sim_device device = {1, 89, nullptr, 0, 0, 0};
    sim_set_device(&device);
    attribute.val.clusterDim = {3, 1, 1};
    FAILS(cudaErrorNotSupported, cudaLaunchKernelExC(&config, &add, args));
    device.sm = sm;
    sim_set_device(&device);
}

void leaks_are_counted() {
    sim_reset(1);
    CHECK(strcmp(sim_report(), "") == 0, "%s", sim_report());
    void *p = nullptr;
    cudaEvent_t event;
    OK(cudaMalloc(&p, 1000));
    OK(cudaEventCreate(&event));
    const sim_count all = sim_live(SIM_ALL), device = sim_live(SIM_DEVICE_MEMORY);
    CHECK(all.count == 2 && device.count == 1 && device.bytes == 1000, "%zu %zu", all.count, device.bytes);
    CHECK(sim_live(SIM_EVENT).count == 1 && sim_peak_bytes() == 1000, "%zu", sim_peak_bytes());
    CHECK(strstr(sim_report(), "1 device allocations, 1000 bytes") && strstr(sim_report(), "1 events"), "%s",
          sim_report());
    OK(cudaFree(p));
    OK(cudaEventDestroy(event));
    CHECK(strcmp(sim_report(), "") == 0 && sim_peak_bytes() == 1000, "%s", sim_report());
}

void devices_vary() {
    sim_reset(1);
    int count = -1, value = 0;
    void *p = nullptr;
    sim_device device = {0, 0, nullptr, 0, 0, 0};
    sim_set_device(&device);
    FAILS(cudaErrorNoDevice, cudaGetDeviceCount(&count));
    CHECK(count == 0, "%d", count);
    FAILS(cudaErrorNoDevice, cudaMalloc(&p, 8));
    device.devices = -1;
    sim_set_device(&device);
    FAILS(cudaErrorInsufficientDriver, cudaGetDeviceCount(&count));
    OK(cudaDriverGetVersion(&value));
    CHECK(value < CUDART_VERSION, "%d", value);
    const int sm = check::sm();
    device = {1, 75, "Simulated T4", 64 << 10, 40, 0};
    sim_set_device(&device);
    cudaDeviceProp properties;
    OK(cudaGetDeviceProperties(&properties, 0));
    CHECK(properties.major == 7 && properties.minor == 5 && properties.multiProcessorCount == 40 &&
              strcmp(properties.name, "Simulated T4") == 0,
          "%s %d.%d", properties.name, properties.major, properties.minor);
    OK(cudaDeviceGetAttribute(&value, cudaDevAttrMaxSharedMemoryPerBlockOptin, 0));
    CHECK(value == 64 << 10, "%d", value);
    FAILS(cudaErrorInvalidDevice, cudaSetDevice(1));
    device = {1, sm ? sm : 90, "Simulated H100", 227 << 10, 132, 0};
    sim_set_device(&device);
    cudaGetLastError();
    CHECK(strcmp(sim_report(), "") == 0, "%s", sim_report());
}

// The same seed gives the same order, another one gives another.
void seeds_repeat() {
    auto sample = [](unsigned long seed) {
        unsigned bits = 0;
        Bench b(seed);
        for (int i = 0; i < 16; ++i) {
            b.set(0, static_cast<float>(i));
            OK(b.up(b.streams[0]));
            OK(b.down(b.device[0], b.streams[1]));
            OK(cudaDeviceSynchronize());
            bits = 2 * bits + (b.result() == static_cast<float>(i));
        }
        return bits;
    };
    const unsigned first = sample(3), again = sample(3), other = sample(4);
    CHECK(first == again && first != other && first != 0 && first != 0xFFFF, "%x %x %x", first, again, other);
}

// ---- check.h ----

void halves_round_to_nearest_even() {
    for (uint32_t bits = 0; bits < 0x10000; ++bits) {
        const auto half = static_cast<uint16_t>(bits);
        const float value = check::from_half(half), next = check::from_half(static_cast<uint16_t>(half + 1));
        if (std::isnan(value)) {
            CHECK(std::isnan(check::round_half(value)), "%04x", bits);
            continue;
        }
        CHECK(check::to_half(value) == half && value == __half2float(__half(__half_raw{half})), "%04x", bits);
        if ((half & 0x7FFF) >= 0x7BFF) continue;
        const float middle = 0.5f * (value + next); // exact; goes to the even one
        const float below_it = std::nextafterf(middle, value), above_it = std::nextafterf(middle, next);
        const auto even = static_cast<uint16_t>(half & 1 ? half + 1 : half);
        CHECK(check::to_half(middle) == even && check::to_half(below_it) == half &&
                  check::to_half(above_it) == half + 1,
              "near %04x", bits);
    }
    CHECK(check::to_half(65519.99f) == 0x7BFF && check::to_half(65520.0f) == 0x7C00, "overflow");
    CHECK(check::to_half(-INFINITY) == 0xFC00 && check::to_half(0x1p-26f) == 0, "ends");
}

void guards_notice_any_write() {
    Bench b;
    for (const int at : {-128, -1, COUNT, COUNT + 127}) {
        check::Buffer buffer(BYTES);
        CHECK(buffer.guards_intact(), "fresh");
        float *outside = buffer.as<float>() + at, kept;
        OK(cudaMemcpy(&kept, outside, sizeof kept, cudaMemcpyDeviceToHost));
        CHECK(std::isnan(kept), "%g", kept);
        // Out of bounds in and out, from a buffer to another: NaN plus something is NaN, yet not the same.
        check::Buffer other(BYTES);
        OK(launch(add, {outside, other.as<float>() + at, 1, 1}, nullptr));
        CHECK(!buffer.guards_intact(), "a write at %d", at);
        OK(cudaMemcpy(outside, &kept, sizeof kept, cudaMemcpyHostToDevice));
    }
}

} // namespace

int main(int argc, char **argv) {
    if (!check::begin(argc, argv)) return 77;
    TEST(work_runs_only_when_waited_for);
    TEST(missing_event_wait_shows);
    TEST(waits_are_for_the_record_of_then);
    TEST(legacy_stream_waits_for_blocking_streams_only);
    TEST(queries_make_progress);
    TEST(destroyed_streams_finish_their_work);
    TEST(host_functions_run_in_order);
    TEST(events_measure_time);
    TEST(threads_have_their_own_streams);
    TEST(seeds_repeat);
    TEST(fresh_memory_is_nan);
    TEST(pageable_memory_is_staged_and_pinned_is_not);
    TEST(pitched_copies);
    TEST(wrong_pointers_are_refused);
    TEST(frees_of_memory_in_use_are_reported);
    TEST(writes_next_to_memory_are_reported);
    TEST(host_cannot_touch_device_memory);
    TEST(pointers_are_classified);
    TEST(memory_ends);
    TEST(halves_round_to_nearest_even);
    TEST(guards_notice_any_write);
    test_graphs();
    TEST(calls_fail_on_demand);
    TEST(device_faults_stick);
    TEST(launches_are_checked);
    TEST(clusters_are_kept);
    TEST(leaks_are_counted);
    TEST(devices_vary);
    return check::finish();
}
