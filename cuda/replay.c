// Capture, instantiation, replay, and exchanging the launches of single nodes.
#include "cuda/replay.h"

#include <string.h>

int fs_bound_node(const fs_nodes *nodes, fs_bound bound) {
    switch (bound) {
    case FS_BOUND_FRAME: return nodes->frame;
    case FS_BOUND_READER: return nodes->reader;
    case FS_BOUND_LABELS: return nodes->labels;
    case FS_BOUND_OVERLAY: return nodes->overlay;
    case FS_BOUND_TALLY: return nodes->tally;
    case FS_BOUND_TOTAL: return nodes->total;
    case FS_BOUND_PLANES: return nodes->planes;
    case FS_BOUNDS: break;
    }
    return -1;
}

int fs_bound_of(const fs_nodes *nodes, int index) {
    for (int b = 0; b < FS_BOUNDS; b++)
        if (fs_bound_node(nodes, (fs_bound)b) == index) return b;
    return -1;
}

// The graph's node of what was enqueued last.
static fs_status last_captured(cudaStream_t stream, cudaGraphNode_t *node) {
    enum cudaStreamCaptureStatus status;
    const cudaGraphNode_t *last = NULL;
    const cudaGraphEdgeData *edges = NULL; // not looked at, but refused without where an edge is programmatic
    size_t count = 0;
    FS_CUDA(cudaStreamGetCaptureInfo(stream, &status, NULL, NULL, &last, &edges, &count), "capturing the graph");
    if (status != cudaStreamCaptureStatusActive || count != 1)
        return fs_fail(FS_ERR_BACKEND, "CUDA lost the capture of the graph");
    *node = last[0];
    return FS_OK;
}

// Whether a node may start before the one that precedes it has ended. A node that a replay may switch off is no
// predecessor to rely on, and takes no part itself.
static bool may_start_early(const fs_nodes *nodes, int index) {
    int before = index - 1;
    while (before >= 0 && !fs_nodes_active(nodes, before)) before--;
    return before >= 0 && fs_bound_of(nodes, index) < 0 && (fs_bound_of(nodes, before) < 0 || before == nodes->reader);
}

fs_status fs_run_nodes(const fs_runner *runner, const fs_nodes *nodes, const fs_launch *launches,
                       const fs_binding *binding, cudaStream_t stream, const fs_trace_name *names, fs_marks *marks) {
    fs_status status = FS_OK;
    for (int i = 0; i < nodes->count && status == FS_OK; i++) {
        const int bound = fs_bound_of(nodes, i);
        if (!fs_nodes_active(nodes, i) || (bound >= 0 && !binding->enabled[bound])) continue;
        const fs_launch *launch = bound >= 0 ? &binding->launch[bound] : &launches[i];
        if (marks) FS_TRY(fs_marks_reach(marks, nodes->node[i].step, stream));
        if (names) fs_trace_begin(names[nodes->node[i].step], (uint64_t)i);
        status = fs_run_node(runner, &nodes->node[i], launch, !marks && may_start_early(nodes, i), stream);
        if (names) fs_trace_end();
    }
    if (marks && status == FS_OK) status = fs_marks_reach(marks, marks->steps, stream);
    return status;
}

static fs_status record(const fs_runner *runner, const fs_nodes *nodes, const fs_launch *launches,
                        const fs_binding *binding, cudaStream_t stream, cudaGraphNode_t *captured) {
    for (int i = 0; i < nodes->count; i++) {
        if (!fs_nodes_active(nodes, i)) continue;
        const int bound = fs_bound_of(nodes, i);
        const fs_launch *launch = bound >= 0 ? &binding->launch[bound] : &launches[i];
        FS_TRY(fs_run_node(runner, &nodes->node[i], launch, may_start_early(nodes, i), stream));
        if (bound >= 0) FS_TRY(last_captured(stream, &captured[bound]));
    }
    return FS_OK;
}

fs_status fs_capture_take(const fs_runner *runner, const fs_nodes *nodes, const fs_launch *launches,
                          const fs_binding *binding, cudaStream_t stream, fs_capture *graph) {
    FS_CUDA(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal), "beginning the capture");
    fs_capture made = {0};
    fs_status status = record(runner, nodes, launches, binding, stream, made.node);
    // A capture must be ended even when it failed, or the stream stays unusable.
    const cudaError_t error = cudaStreamEndCapture(stream, &made.graph);
    if (status == FS_OK) status = fs_cuda_status(error, "ending the capture");
    if (error != cudaSuccess) cudaGetLastError();
    if (status != FS_OK) {
        fs_capture_free(&made);
        return status;
    }
    *graph = made;
    return FS_OK;
}

void fs_capture_free(fs_capture *graph) {
    if (graph->graph) cudaGraphDestroy(graph->graph);
    memset(graph, 0, sizeof *graph);
}

fs_status fs_replay_open(const fs_capture *graph, const fs_binding *binding, cudaStream_t stream, fs_replay *replay) {
    fs_replay made = {.bound = *binding};
    FS_CUDA(cudaGraphInstantiate(&made.exec, graph->graph, 0), "instantiating the graph");
    // Captured nodes are all enabled, whatever the binding says.
    for (int b = 0; b < FS_BOUNDS; b++) made.bound.enabled[b] = true;
    const fs_status status = fs_cuda_status(cudaGraphUpload(made.exec, stream), "uploading the graph");
    if (status != FS_OK) {
        fs_replay_close(&made);
        return status;
    }
    *replay = made;
    return FS_OK;
}

void fs_replay_close(fs_replay *replay) {
    if (replay->exec) cudaGraphExecDestroy(replay->exec);
    memset(replay, 0, sizeof *replay);
}

static bool same_launch(const fs_launch *a, const fs_launch *b) {
    return a->kernel == b->kernel && a->block == b->block && a->shared == b->shared && a->cluster == b->cluster &&
           memcmp(a->grid, b->grid, sizeof a->grid) == 0 && a->params_bytes == b->params_bytes &&
           memcmp(a->params.bytes, b->params.bytes, a->params_bytes) == 0;
}

// Clusters are an attribute of the node, which stays: what depends on the frame has none.
static fs_status exchange(cudaGraphExec_t exec, cudaGraphNode_t node, const fs_launch *launch) {
    if (launch->cluster) return fs_fail(FS_ERR_INTERNAL, "'%s' cannot be exchanged in a graph", launch->name);
    void *arguments[1] = {(void *)(uintptr_t)launch->params.bytes};
    // The runtime declares the entry as void *, and only compares it.
    struct cudaKernelNodeParams params = {.func = (void *)(uintptr_t)launch->kernel,
                                          .gridDim = {launch->grid[0], launch->grid[1], launch->grid[2]},
                                          .blockDim = {launch->block, 1, 1},
                                          .sharedMemBytes = launch->shared,
                                          .kernelParams = arguments};
    return fs_cuda_status(cudaGraphExecKernelNodeSetParams(exec, node, &params), "exchanging a node of the graph");
}

fs_status fs_replay_bind(const fs_capture *graph, fs_replay *replay, const fs_binding *binding) {
    for (int b = 0; b < FS_BOUNDS; b++) {
        if (binding->enabled[b] && !same_launch(&binding->launch[b], &replay->bound.launch[b])) {
            FS_TRY(exchange(replay->exec, graph->node[b], &binding->launch[b]));
            replay->bound.launch[b] = binding->launch[b];
        }
        if (binding->enabled[b] != replay->bound.enabled[b]) {
            FS_CUDA(cudaGraphNodeSetEnabled(replay->exec, graph->node[b], binding->enabled[b]),
                    "switching a node of the graph");
            replay->bound.enabled[b] = binding->enabled[b];
        }
    }
    return FS_OK;
}

fs_status fs_replay_run(const fs_capture *graph, fs_replay *replay, const fs_binding *binding, cudaStream_t stream) {
    FS_TRY(fs_replay_bind(graph, replay, binding));
    return fs_cuda_status(cudaGraphLaunch(replay->exec, stream), "launching the graph");
}
