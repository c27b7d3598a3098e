// Graphs of the simulated CUDA runtime: instantiated, updated, enabled and replayed node by node.
#include "tests/cuda_sim/cudart.h"

#include <algorithm>

#include "tests/simt/simt_run.h"

#pragma weak simt_params_bytes

namespace sim {
namespace {

Graph *graph_of(const char *function, cudaGraph_t handle) {
    Graph *graph = state().graphs.find(handle);
    if (!graph) misuse("%s: no live graph %p", function, static_cast<void *>(handle));
    return graph;
}

Exec *exec_of(const char *function, cudaGraphExec_t handle) {
    Exec *exec = state().execs.find(handle);
    if (!exec) misuse("%s: no live executable graph %p", function, static_cast<void *>(handle));
    return exec;
}

Node *node_of(const char *function, cudaGraphNode_t handle) {
    auto found = state().nodes.find(reinterpret_cast<uintptr_t>(handle));
    if (found != state().nodes.end()) return found->second;
    misuse("%s: no live node %p (nodes live as long as the graph that was captured)", function,
           static_cast<void *>(handle));
    return nullptr;
}

// The counterpart of a node of the captured graph.
Item *item_of(const char *function, cudaGraphExec_t exec_handle, cudaGraphNode_t node_handle) {
    Exec *exec = exec_of(function, exec_handle);
    Node *node = node_of(function, node_handle);
    if (!exec || !node) return nullptr;
    auto found = std::find(exec->nodes.begin(), exec->nodes.end(), node->handle);
    if (found != exec->nodes.end()) {
        if (exec->items.use_count() > 1) exec->items = std::make_shared<std::vector<Item>>(*exec->items);
        return &(*exec->items)[static_cast<size_t>(found - exec->nodes.begin())];
    }
    misuse("%s: the node is of another graph", function);
    return nullptr;
}

cudaError_t instantiate(const char *function, cudaGraphExec_t *handle, cudaGraph_t graph_handle,
                        unsigned long long flags) {
    Graph *graph = graph_of(function, graph_handle);
    if (!handle || !graph) return cudaErrorInvalidValue;
    const unsigned long long known = cudaGraphInstantiateFlagAutoFreeOnLaunch | cudaGraphInstantiateFlagUseNodePriority;
    if (flags & ~known) return cudaErrorNotSupported;
    auto exec = std::make_shared<Exec>();
    exec->handle = new_handle();
    for (const auto &node : graph->nodes) {
        Item item;
        item.work = node->work;
        for (const Node *before : node->after) {
            auto found = std::find(exec->nodes.begin(), exec->nodes.end(), before->handle);
            item.after.push_back(static_cast<size_t>(found - exec->nodes.begin()));
        }
        exec->nodes.push_back(node->handle);
        exec->items->push_back(std::move(item));
    }
    state().execs.objects[exec->handle] = exec;
    *handle = to<cudaGraphExec_t>(exec->handle);
    return cudaSuccess;
}

int memory_type(const void *pointer) {
    const AllocationRef allocation = allocation_at(pointer);
    return allocation ? static_cast<int>(allocation->kind) : -1;
}

} // namespace
} // namespace sim

using namespace sim;

extern "C" {

cudaError_t cudaGraphInstantiate(cudaGraphExec_t *exec, cudaGraph_t graph, unsigned long long flags) {
    return api(__func__, PLAIN, [&](Lock &) { return instantiate("cudaGraphInstantiate", exec, graph, flags); });
}

cudaError_t cudaGraphInstantiateWithFlags(cudaGraphExec_t *exec, cudaGraph_t graph, unsigned long long flags) {
    return api(__func__, PLAIN,
               [&](Lock &) { return instantiate("cudaGraphInstantiateWithFlags", exec, graph, flags); });
}

cudaError_t cudaGraphUpload(cudaGraphExec_t exec_handle, cudaStream_t stream_handle) {
    return api(__func__, PLAIN, [&](Lock &) {
        Stream *stream = stream_of("cudaGraphUpload", stream_handle);
        if (!exec_of("cudaGraphUpload", exec_handle) || !stream) return cudaErrorInvalidValue;
        if (const cudaError_t error = implicit_capture(*stream)) return error;
        if (stream->capture) {
            invalidate(*stream->capture, "cudaGraphUpload");
            return cudaErrorStreamCaptureUnsupported;
        }
        enqueue(*stream, std::make_shared<Operation>());
        return cudaSuccess;
    });
}

cudaError_t cudaGraphLaunch(cudaGraphExec_t exec_handle, cudaStream_t stream_handle) {
    return api(__func__, PLAIN, [&](Lock &) {
        Exec *exec = exec_of("cudaGraphLaunch", exec_handle);
        Stream *stream = stream_of("cudaGraphLaunch", stream_handle);
        if (!exec || !stream) return cudaErrorInvalidValue;
        if (const cudaError_t error = implicit_capture(*stream)) return error;
        if (stream->capture) {
            misuse("cudaGraphLaunch into a capture is not simulated");
            invalidate(*stream->capture, "cudaGraphLaunch");
            return cudaErrorStreamCaptureUnsupported;
        }
        auto operation = std::make_shared<Operation>();
        operation->launched = exec->items; // later updates do not reach this launch
        if (exec->last && !exec->last->done) operation->after.push_back(exec->last);
        exec->last = operation;
        enqueue(*stream, operation);
        return cudaSuccess;
    });
}

cudaError_t cudaGraphExecKernelNodeSetParams(cudaGraphExec_t exec, cudaGraphNode_t node,
                                             const cudaKernelNodeParams *params) {
    return api(__func__, PLAIN, [&](Lock &) {
        Item *item = item_of("cudaGraphExecKernelNodeSetParams", exec, node);
        if (!item || !params || params->extra) return cudaErrorInvalidValue;
        if (item->work.type != cudaGraphNodeTypeKernel || item->work.library) {
            misuse("cudaGraphExecKernelNodeSetParams: not one of the caller's kernels");
            return cudaErrorInvalidValue;
        }
        Work work;
        const cudaError_t error = make_kernel("cudaGraphExecKernelNodeSetParams", params->func, params->gridDim,
                                              params->blockDim, params->sharedMemBytes, params->kernelParams, work);
        work.early = item->work.early;     // an edge of the graph, which stays
        work.cluster = item->work.cluster; // an attribute of the node, which stays
        if (error == cudaSuccess && work.cluster && work.grid[0] % work.cluster) {
            misuse("cudaGraphExecKernelNodeSetParams: clusters of %u in a grid of %u", work.cluster, work.grid[0]);
            return cudaErrorInvalidClusterSize;
        }
        if (error == cudaSuccess) item->work = std::move(work);
        return error;
    });
}

cudaError_t cudaGraphExecMemcpyNodeSetParams1D(cudaGraphExec_t exec, cudaGraphNode_t node, void *target,
                                               const void *source, size_t bytes, cudaMemcpyKind kind) {
    return api(__func__, PLAIN, [&](Lock &) {
        const char *function = "cudaGraphExecMemcpyNodeSetParams1D";
        Item *item = item_of(function, exec, node);
        if (!item || bytes == 0) return cudaErrorInvalidValue;
        if (item->work.type != cudaGraphNodeTypeMemcpy || item->work.height != 1) {
            misuse("%s: not a one-dimensional copy", function);
            return cudaErrorInvalidValue;
        }
        if (memory_type(target) != memory_type(item->work.target) ||
            memory_type(source) != memory_type(item->work.source)) {
            misuse("%s: the kind of memory differs from that at instantiation", function);
            return cudaErrorInvalidValue;
        }
        Work work = item->work;
        work.target = static_cast<unsigned char *>(target), work.target_pitch = bytes;
        work.source = static_cast<const unsigned char *>(source), work.source_pitch = bytes;
        work.width = bytes, work.kind = kind;
        if (const cudaError_t error = check_copy(function, work)) return error;
        find_uses(work);
        item->work = std::move(work);
        return cudaSuccess;
    });
}

cudaError_t cudaGraphNodeSetEnabled(cudaGraphExec_t exec, cudaGraphNode_t node, unsigned enabled) {
    return api(__func__, PLAIN, [&](Lock &) {
        Item *item = item_of("cudaGraphNodeSetEnabled", exec, node);
        if (!item) return cudaErrorInvalidValue;
        const cudaGraphNodeType type = item->work.type;
        if (type != cudaGraphNodeTypeKernel && type != cudaGraphNodeTypeMemcpy && type != cudaGraphNodeTypeMemset)
            return cudaErrorInvalidValue;
        item->enabled = enabled != 0;
        return cudaSuccess;
    });
}

cudaError_t cudaGraphNodeGetEnabled(cudaGraphExec_t exec, cudaGraphNode_t node, unsigned *enabled) {
    return api(__func__, PLAIN, [&](Lock &) {
        const Item *item = item_of("cudaGraphNodeGetEnabled", exec, node);
        if (!item || !enabled) return cudaErrorInvalidValue;
        *enabled = item->enabled;
        return cudaSuccess;
    });
}

cudaError_t cudaGraphNodeGetType(cudaGraphNode_t handle, cudaGraphNodeType *type) {
    return api(__func__, PLAIN, [&](Lock &) {
        const Node *node = node_of("cudaGraphNodeGetType", handle);
        if (!node || !type) return cudaErrorInvalidValue;
        *type = node->work.type;
        return cudaSuccess;
    });
}

// With nodes == NULL only the count; with less room than nodes, as many as fit; with more, the rest is NULL.
cudaError_t cudaGraphGetNodes(cudaGraph_t handle, cudaGraphNode_t *nodes, size_t *count) {
    return api(__func__, PLAIN, [&](Lock &) {
        const Graph *graph = graph_of("cudaGraphGetNodes", handle);
        if (!graph || !count) return cudaErrorInvalidValue;
        const size_t have = graph->nodes.size();
        if (nodes) {
            for (size_t i = 0; i < *count; ++i)
                nodes[i] = i < have ? to<cudaGraphNode_t>(graph->nodes[i]->handle) : nullptr;
        }
        *count = nodes ? std::min(*count, have) : have;
        return cudaSuccess;
    });
}

cudaError_t cudaGraphKernelNodeGetParams(cudaGraphNode_t handle, cudaKernelNodeParams *params) {
    return api(__func__, PLAIN, [&](Lock &) {
        Node *node = node_of("cudaGraphKernelNodeGetParams", handle);
        if (!node || !params || node->work.type != cudaGraphNodeTypeKernel) return cudaErrorInvalidValue;
        const Work &work = node->work;
        node->argument = node->work.params.data();
        *params = {};
        params->func = work.library ? reinterpret_cast<void *>(work.library) : const_cast<void *>(work.entry);
        params->gridDim = {work.grid[0], work.grid[1], work.grid[2]};
        params->blockDim = {work.block, 1, 1};
        params->sharedMemBytes = work.shared;
        params->kernelParams = &node->argument;
        return cudaSuccess;
    });
}

cudaError_t cudaGraphExecDestroy(cudaGraphExec_t handle) {
    return api(__func__, FREES, [&](Lock &) {
        Exec *exec = exec_of("cudaGraphExecDestroy", handle);
        if (!exec) return cudaErrorInvalidValue;
        state().execs.objects.erase(exec->handle); // launches already queued still run
        return cudaSuccess;
    });
}

cudaError_t cudaGraphDestroy(cudaGraph_t handle) {
    return api(__func__, FREES, [&](Lock &) {
        Graph *graph = graph_of("cudaGraphDestroy", handle);
        if (!graph) return cudaErrorInvalidValue;
        for (const CaptureRef &capture : state().captures)
            if (capture->graph.get() == graph) {
                misuse("cudaGraphDestroy of a graph under capture");
                return cudaErrorInvalidValue;
            }
        for (const auto &node : graph->nodes) state().nodes.erase(node->handle);
        state().graphs.objects.erase(graph->handle);
        return cudaSuccess;
    });
}

} // extern "C"
