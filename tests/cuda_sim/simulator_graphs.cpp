// Tests of the simulated CUDA runtime: stream capture and graphs.
#include "tests/cuda_sim/simulator.h"

#include <cmath>
#include <thread>

namespace {

// ---- capture ----

void unsafe_calls_invalidate_a_capture() {
    Bench b;
    void *p = nullptr;
    float host[COUNT];
    cudaEvent_t plain;
    OK(cudaEventCreate(&plain));
    const auto calls = {
        +[](Bench &, void **out, float *, cudaEvent_t) { return cudaMalloc(out, 8); },
        +[](Bench &bench, void **, float *, cudaEvent_t) { return cudaFree(bench.device[0]); },
        +[](Bench &, void **out, float *, cudaEvent_t) { return cudaMallocHost(out, 8); },
        +[](Bench &, void **out, float *, cudaEvent_t) { return cudaHostAlloc(out, 8, 0); },
        +[](Bench &bench, void **, float *, cudaEvent_t) { return cudaFreeHost(bench.pinned[0]); },
        +[](Bench &, void **, float *host_, cudaEvent_t) { return cudaHostRegister(host_, 8, 0); },
        +[](Bench &bench, void **, float *, cudaEvent_t) { return cudaStreamSynchronize(bench.streams[0]); },
        +[](Bench &bench, void **, float *, cudaEvent_t) { return cudaStreamSynchronize(bench.streams[1]); },
        +[](Bench &bench, void **, float *, cudaEvent_t) { return cudaStreamQuery(bench.streams[0]); },
        +[](Bench &, void **, float *, cudaEvent_t) { return cudaDeviceSynchronize(); },
        +[](Bench &, void **, float *, cudaEvent_t event) { return cudaEventSynchronize(event); },
        +[](Bench &, void **, float *, cudaEvent_t event) { return cudaEventQuery(event); },
        +[](Bench &bench, void **, float *host_, cudaEvent_t) {
            return cudaMemcpy(host_, bench.device[0], BYTES, cudaMemcpyDeviceToHost);
        },
        +[](Bench &bench, void **, float *, cudaEvent_t) { return cudaMemset(bench.device[0], 0, BYTES); },
    };
    int which = 0;
    for (auto call : calls) {
        cudaGraph_t graph = reinterpret_cast<cudaGraph_t>(&b);
        cudaStreamCaptureStatus status;
        OK(cudaStreamBeginCapture(b.streams[0], cudaStreamCaptureModeThreadLocal));
        OK(b.up(b.streams[0]));
        const cudaError_t error = call(b, &p, host, plain);
        CHECK(error == cudaErrorStreamCaptureUnsupported, "call %d: %s", which, cudaGetErrorName(error));
        OK(cudaStreamIsCapturing(b.streams[0], &status));
        CHECK(status == cudaStreamCaptureStatusInvalidated, "call %d: status %d", which, status);
        FAILS(cudaErrorStreamCaptureInvalidated, b.up(b.streams[0]));
        FAILS(cudaErrorStreamCaptureInvalidated, cudaStreamEndCapture(b.streams[0], &graph));
        CHECK(graph == nullptr, "call %d", which);
        ++which;
    }
    OK(cudaStreamSynchronize(b.streams[0])); // usable again
    OK(cudaEventDestroy(plain));
    b.expected_misuses = 1;
}

void capture_modes_decide_who_is_forbidden() {
    const struct {
        cudaStreamCaptureMode mode;
        bool own_allowed, other_allowed;
    } cases[] = {{cudaStreamCaptureModeGlobal, false, false},
                 {cudaStreamCaptureModeThreadLocal, false, true},
                 {cudaStreamCaptureModeRelaxed, true, true}};
    for (const auto &c : cases) {
        for (const bool own : {true, false}) {
            Bench b;
            cudaGraph_t graph = nullptr;
            auto allocate = [&] {
                void *p = nullptr;
                const bool allowed = cudaMalloc(&p, 8) == cudaSuccess;
                CHECK(allowed == (own ? c.own_allowed : c.other_allowed), "mode %d, own %d", c.mode, own);
                if (allowed)
                    OK(cudaFree(p));
                else
                    b.expected_misuses = 1;
            };
            OK(cudaStreamBeginCapture(b.streams[0], c.mode));
            if (own)
                allocate();
            else
                std::thread(allocate).join();
            const cudaError_t end = cudaStreamEndCapture(b.streams[0], &graph);
            CHECK((end == cudaSuccess) == (own ? c.own_allowed : c.other_allowed), "%s", cudaGetErrorName(end));
            if (graph) OK(cudaGraphDestroy(graph));
        }
    }
    Bench b; // a thread may exempt itself
    cudaGraph_t graph = nullptr;
    void *p = nullptr;
    cudaStreamCaptureMode mode = cudaStreamCaptureModeRelaxed;
    OK(cudaStreamBeginCapture(b.streams[0], cudaStreamCaptureModeThreadLocal));
    OK(cudaThreadExchangeStreamCaptureMode(&mode));
    OK(cudaMalloc(&p, 8));
    OK(cudaThreadExchangeStreamCaptureMode(&mode));
    OK(cudaStreamEndCapture(b.streams[0], &graph));
    OK(cudaGraphDestroy(graph));
    OK(cudaFree(p));
}

void forks_must_be_joined() {
    for (const bool join : {true, false}) {
        Bench b;
        cudaEvent_t joined;
        cudaGraph_t graph = nullptr;
        OK(cudaEventCreate(&joined));
        OK(cudaStreamBeginCapture(b.streams[0], cudaStreamCaptureModeThreadLocal));
        OK(b.up(b.streams[0]));
        OK(cudaEventRecord(b.event, b.streams[0]));
        OK(cudaStreamWaitEvent(b.streams[1], b.event, 0));
        OK(b.plus(1, 0, 10, b.streams[1]));
        OK(b.plus(2, 0, 20, b.streams[0]));
        OK(cudaEventRecord(joined, b.streams[1]));
        if (join) {
            OK(cudaStreamWaitEvent(b.streams[0], joined, 0));
            OK(b.plus(2, 1, 5, b.streams[0]));
            OK(cudaStreamEndCapture(b.streams[0], &graph));
            cudaGraphExec_t exec;
            OK(cudaGraphInstantiate(&exec, graph, 0));
            OK(cudaGraphLaunch(exec, b.streams[1]));
            CHECK(b.fetch(2) == 16, "%g", b.fetch(2));
            OK(cudaGraphExecDestroy(exec));
            OK(cudaGraphDestroy(graph));
        } else {
            FAILS(cudaErrorStreamCaptureUnjoined, cudaStreamEndCapture(b.streams[0], &graph));
            b.expected_misuses = 1;
        }
        OK(cudaEventDestroy(joined));
    }
}

void captures_are_isolated() {
    Bench b;
    cudaGraph_t graph = nullptr;
    b.expected_misuses = 1;
    OK(cudaEventRecord(b.event, b.streams[1]));
    OK(cudaStreamBeginCapture(b.streams[0], cudaStreamCaptureModeThreadLocal));
    FAILS(cudaErrorStreamCaptureIsolation, cudaStreamWaitEvent(b.streams[0], b.event, 0));
    FAILS(cudaErrorStreamCaptureInvalidated, cudaStreamEndCapture(b.streams[0], &graph));
    OK(cudaStreamBeginCapture(b.streams[0], cudaStreamCaptureModeRelaxed));
    OK(cudaEventRecord(b.event, b.streams[0]));
    FAILS(cudaErrorCapturedEvent, cudaEventQuery(b.event));
    FAILS(cudaErrorStreamCaptureInvalidated, cudaStreamEndCapture(b.streams[0], &graph));
    OK(cudaStreamBeginCapture(b.streams[0], cudaStreamCaptureModeThreadLocal));
    std::thread([&] { FAILS(cudaErrorStreamCaptureWrongThread, cudaStreamEndCapture(b.streams[0], &graph)); }).join();
    FAILS(cudaErrorStreamCaptureInvalidated, cudaStreamEndCapture(b.streams[0], &graph));
    cudaStream_t blocking;
    OK(cudaStreamCreate(&blocking));
    OK(cudaStreamBeginCapture(blocking, cudaStreamCaptureModeRelaxed));
    cudaStreamCaptureStatus status;
    FAILS(cudaErrorStreamCaptureImplicit, cudaStreamIsCapturing(nullptr, &status));
    OK(cudaStreamIsCapturing(blocking, &status));
    CHECK(status == cudaStreamCaptureStatusActive, "a question invalidates nothing: %d", status);
    FAILS(cudaErrorStreamCaptureImplicit, b.up(nullptr));
    FAILS(cudaErrorStreamCaptureInvalidated, cudaStreamEndCapture(blocking, &graph));
    OK(cudaStreamDestroy(blocking));
}

// ---- graphs ----

void graphs_replay() {
    Bench b;
    cudaGraphNode_t nodes[4] = {}, listed[5];
    cudaGraph_t graph = b.record(nodes);
    cudaGraphExec_t exec;
    size_t count = 5;
    CHECK(std::isnan(b.fetch(2)), "recorded work ran: %g", b.fetch(2));
    OK(cudaGraphGetNodes(graph, listed, &count));
    CHECK(count == 4 && memcmp(listed, nodes, sizeof nodes) == 0 && !listed[4], "%zu nodes", count);
    cudaGraphNodeType type;
    OK(cudaGraphNodeGetType(nodes[0], &type));
    CHECK(type == cudaGraphNodeTypeMemcpy, "%d", type);
    OK(cudaGraphNodeGetType(nodes[1], &type));
    CHECK(type == cudaGraphNodeTypeKernel, "%d", type);
    OK(cudaGraphInstantiate(&exec, graph, 0));
    OK(cudaGraphUpload(exec, b.streams[0]));
    for (int round = 1; round < 4; ++round) {
        b.set(0, static_cast<float>(round));
        OK(cudaGraphLaunch(exec, b.streams[0]));
        OK(cudaStreamSynchronize(b.streams[0]));
        CHECK(b.result() == static_cast<float>(round + 110), "round %d: %g", round, b.result());
    }
    OK(cudaGraphDestroy(graph));
    b.set(0, 9);
    OK(cudaGraphLaunch(exec, b.streams[0])); // outlives the graph
    OK(cudaStreamSynchronize(b.streams[0]));
    CHECK(b.result() == 119, "%g", b.result());
    b.expected_misuses = 1; // its nodes do not
    FAILS(cudaErrorInvalidValue, cudaGraphNodeSetEnabled(exec, nodes[1], 0));
    OK(cudaGraphExecDestroy(exec));
}

void graphs_take_new_parameters() {
    Bench b;
    cudaGraphNode_t nodes[4] = {};
    cudaGraph_t graph = b.record(nodes);
    cudaGraphExec_t exec;
    OK(cudaGraphInstantiateWithFlags(&exec, graph, 0));
    cudaKernelNodeParams params;
    OK(cudaGraphKernelNodeGetParams(nodes[1], &params));
    CHECK(params.func == &add && params.blockDim.x == 32, "%p", params.func);
    AddParams changed;
    memcpy(&changed, params.kernelParams[0], sizeof changed);
    CHECK(changed.add == 10 && changed.out == b.device[1], "%g", changed.add);
    changed.add = 30;
    void *args[] = {&changed};
    params.kernelParams = args;
    OK(cudaGraphLaunch(exec, b.streams[0])); // queued before the change: keeps the old ones
    OK(cudaGraphExecKernelNodeSetParams(exec, nodes[1], &params));
    changed.add = 1000; // copied at the call
    OK(cudaStreamSynchronize(b.streams[0]));
    CHECK(b.result() == 111, "%g", b.result());
    OK(cudaGraphLaunch(exec, b.streams[0]));
    OK(cudaStreamSynchronize(b.streams[0]));
    CHECK(b.result() == 131, "%g", b.result());

    float *other = nullptr;
    OK(cudaMallocHost(reinterpret_cast<void **>(&other), BYTES));
    OK(cudaGraphExecMemcpyNodeSetParams1D(exec, nodes[3], other, b.device[2], BYTES, cudaMemcpyDeviceToHost));
    OK(cudaGraphLaunch(exec, b.streams[0]));
    OK(cudaStreamSynchronize(b.streams[0]));
    CHECK(other[0] == 131, "%g", other[0]);
    b.expected_misuses = 1;
    float pageable[COUNT];
    FAILS(cudaErrorInvalidValue,
          cudaGraphExecMemcpyNodeSetParams1D(exec, nodes[3], pageable, b.device[2], BYTES, cudaMemcpyDeviceToHost));
    FAILS(cudaErrorInvalidValue, cudaGraphExecKernelNodeSetParams(exec, nodes[0], &params));
    OK(cudaGraphExecDestroy(exec));
    OK(cudaGraphDestroy(graph));
    OK(cudaFreeHost(other));
}

void graphs_skip_disabled_nodes() {
    Bench b;
    cudaGraphNode_t nodes[4] = {};
    cudaGraph_t graph = b.record(nodes);
    cudaGraphExec_t exec;
    unsigned enabled = 2;
    OK(cudaGraphInstantiate(&exec, graph, 0));
    OK(cudaGraphLaunch(exec, b.streams[0]));
    OK(cudaStreamSynchronize(b.streams[0]));
    b.set(0, 50);
    OK(cudaGraphNodeSetEnabled(exec, nodes[1], 0));
    OK(cudaGraphNodeGetEnabled(exec, nodes[1], &enabled));
    OK(cudaGraphLaunch(exec, b.streams[0]));
    OK(cudaStreamSynchronize(b.streams[0]));
    CHECK(enabled == 0 && b.result() == 111, "device[1] is of the launch before: %g", b.result());
    OK(cudaGraphNodeSetEnabled(exec, nodes[1], 1));
    OK(cudaGraphLaunch(exec, b.streams[0]));
    OK(cudaStreamSynchronize(b.streams[0]));
    CHECK(b.result() == 160, "%g", b.result());
    OK(cudaGraphExecDestroy(exec));
    OK(cudaGraphDestroy(graph));
}

void graphs_do_not_outlive_their_memory() {
    Bench b;
    float *extra = nullptr;
    cudaGraph_t graph = nullptr;
    cudaGraphExec_t exec;
    OK(cudaMalloc(reinterpret_cast<void **>(&extra), BYTES));
    OK(cudaStreamBeginCapture(b.streams[0], cudaStreamCaptureModeThreadLocal));
    OK(launch(add, {extra, b.device[0], 1, COUNT}, b.streams[0]));
    OK(cudaStreamEndCapture(b.streams[0], &graph));
    OK(cudaGraphInstantiate(&exec, graph, 0));
    OK(cudaFree(extra));
    OK(cudaGraphLaunch(exec, b.streams[0]));
    FAILS(cudaErrorIllegalAddress, cudaStreamSynchronize(b.streams[0]));
    b.expected_misuses = 1;
    CHECK(strstr(sim_report(), "after it was freed"), "%s", sim_report());
    FAILS(cudaErrorIllegalAddress, cudaGraphExecDestroy(exec)); // the context is lost; the object goes
    FAILS(cudaErrorIllegalAddress, cudaGraphDestroy(graph));
}

void libraries_queue_work_of_their_own() {
    Bench b;
    const AddParams params = {b.device[1], b.device[0], 3, COUNT};
    auto run = [](const void *p) { (void)add.run(p); };
    cudaGraph_t graph = nullptr;
    cudaGraphExec_t exec;
    OK(cudaStreamBeginCapture(b.streams[0], cudaStreamCaptureModeThreadLocal));
    OK(b.up(b.streams[0]));
    OK(sim_enqueue(b.streams[0], "library", run, &params, sizeof params));
    OK(cudaStreamEndCapture(b.streams[0], &graph));
    OK(cudaGraphInstantiate(&exec, graph, 0));
    OK(cudaGraphLaunch(exec, b.streams[0]));
    CHECK(b.fetch(1) == 4, "%g", b.fetch(1));
    OK(cudaGraphExecDestroy(exec));
    OK(cudaGraphDestroy(graph));
}

} // namespace

void test_graphs() {
    TEST(unsafe_calls_invalidate_a_capture);
    TEST(capture_modes_decide_who_is_forbidden);
    TEST(forks_must_be_joined);
    TEST(captures_are_isolated);
    TEST(graphs_replay);
    TEST(graphs_take_new_parameters);
    TEST(graphs_skip_disabled_nodes);
    TEST(graphs_do_not_outlive_their_memory);
    TEST(libraries_queue_work_of_their_own);
}
