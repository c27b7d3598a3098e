// What the tests of the simulated CUDA runtime share: two kernels that are plain functions, and a bench of buffers and
// streams that is freed, and checked for leaks and misuse, at the end.
#ifndef FS_TESTS_CUDA_SIM_SIMULATOR_H
#define FS_TESTS_CUDA_SIM_SIMULATOR_H

#include <cstring>

#include <cuda_runtime_api.h>

#include "tests/cuda/check.h"
#include "tests/cuda_sim/sim.h"

void test_graphs(); // simulator_graphs.cpp

#define TEST(name) check::test(#name, name)
// The call succeeds.
#define OK(call)                                                                                                       \
    do {                                                                                                               \
        const cudaError_t got = (call);                                                                                \
        CHECK(got == cudaSuccess, "%s: %s", #call, cudaGetErrorName(got));                                             \
    } while (0)
// The call returns just this error.
#define FAILS(code, call)                                                                                              \
    do {                                                                                                               \
        const cudaError_t got = (call);                                                                                \
        CHECK(got == (code), "%s: %s, expected %s", #call, cudaGetErrorName(got), #code);                              \
    } while (0)

struct Kernel {
    size_t bytes;
    int (*run)(const void *params);
};

struct AddParams {
    float *out;
    const float *in;
    float add;
    int count;
};
inline const Kernel add = {sizeof(AddParams), [](const void *params) {
                               const auto *p = static_cast<const AddParams *>(params);
                               for (int i = 0; i < p->count; ++i) p->out[i] = p->in[i] + p->add;
                               return 0;
                           }};
inline const Kernel faulty = {sizeof(AddParams), [](const void *) { return 1; }};

constexpr int COUNT = 8;
constexpr size_t BYTES = COUNT * sizeof(float);

inline cudaError_t launch(const Kernel &kernel, AddParams params, cudaStream_t stream, unsigned shared = 0) {
    cudaLaunchConfig_t config = {};
    config.gridDim = {1, 1, 1}, config.blockDim = {32, 1, 1};
    config.stream = stream, config.dynamicSmemBytes = shared;
    void *args[] = {&params};
    return cudaLaunchKernelExC(&config, &kernel, args);
}

// What most tests need; freed, and checked for leaks and misuse, at the end.
struct Bench {
    float *device[3] = {}, *pinned[2] = {};
    cudaStream_t streams[2] = {};
    cudaEvent_t event = nullptr;
    unsigned long expected_misuses = 0; // at least 1 when not 0

    explicit Bench(unsigned long seed = 1) {
        sim_reset(seed);
        for (float *&p : device) OK(cudaMalloc(reinterpret_cast<void **>(&p), BYTES));
        for (float *&p : pinned) OK(cudaMallocHost(reinterpret_cast<void **>(&p), BYTES));
        for (cudaStream_t &s : streams) OK(cudaStreamCreateWithFlags(&s, cudaStreamNonBlocking));
        OK(cudaEventCreateWithFlags(&event, cudaEventDisableTiming));
        set(0, 1.0f);
        set(1, 0.0f);
    }
    ~Bench() {
        const unsigned long found = sim_misuses();
        CHECK((found > 0) == (expected_misuses > 0), "%lu misuses\n%s", found, sim_report());
        sim_reset(1); // a lost context would refuse
        OK(cudaEventDestroy(event));
        for (cudaStream_t s : streams) OK(cudaStreamDestroy(s));
        for (float *p : pinned) OK(cudaFreeHost(p));
        for (float *p : device) OK(cudaFree(p));
        CHECK(sim_live(SIM_ALL).count == 0, "left behind:\n%s", sim_report());
    }
    void set(int which, float value) {
        for (int i = 0; i < COUNT; ++i) pinned[which][i] = value;
    }
    cudaError_t up(cudaStream_t stream) { // pinned[0] to device[0]
        return cudaMemcpyAsync(device[0], pinned[0], BYTES, cudaMemcpyHostToDevice, stream);
    }
    cudaError_t down(const float *from, cudaStream_t stream) { // to pinned[1]
        return cudaMemcpyAsync(pinned[1], from, BYTES, cudaMemcpyDeviceToHost, stream);
    }
    cudaError_t plus(int to, int from, float value, cudaStream_t stream) {
        return launch(add, {device[to], device[from], value, COUNT}, stream);
    }
    float result() const { return pinned[1][COUNT - 1]; }
    float fetch(int which) const { // of device[which], after everything
        float values[COUNT];
        OK(cudaDeviceSynchronize());
        OK(cudaMemcpy(values, device[which], BYTES, cudaMemcpyDeviceToHost));
        return values[COUNT - 1];
    }
    // up; device[1] = device[0] + 10; device[2] = device[1] + 100; down of device[2]
    cudaGraph_t record(cudaGraphNode_t nodes[4]) {
        cudaGraph_t graph = nullptr;
        int made = 0;
        auto node = [&] {
            cudaStreamCaptureStatus status;
            const cudaGraphNode_t *last = nullptr;
            size_t count = 0;
            OK(cudaStreamGetCaptureInfo(streams[0], &status, nullptr, nullptr, &last, nullptr, &count));
            CHECK(status == cudaStreamCaptureStatusActive && count == 1, "status %d, %zu nodes", status, count);
            if (count == 1) nodes[made++] = last[0];
        };
        OK(cudaStreamBeginCapture(streams[0], cudaStreamCaptureModeThreadLocal));
        OK(up(streams[0]));
        node();
        OK(plus(1, 0, 10, streams[0]));
        node();
        OK(plus(2, 1, 100, streams[0]));
        node();
        OK(down(device[2], streams[0]));
        node();
        OK(cudaStreamEndCapture(streams[0], &graph));
        return graph;
    }
};

#endif
