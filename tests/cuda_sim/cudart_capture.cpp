// Stream capture of the simulated CUDA runtime: what may happen meanwhile, forks and joins, the captured graph.
#include "tests/cuda_sim/cudart.h"

#include <algorithm>

namespace sim {
namespace {

// Ends the capture in every stream that takes part. True when all of them have been joined into the origin.
bool leave(Capture &capture) {
    State &s = state();
    std::vector<Node *> joined = capture.origin->tips; // everything that the origin's last nodes depend on
    for (size_t i = 0; i < joined.size(); ++i)
        for (Node *before : joined[i]->after)
            if (std::find(joined.begin(), joined.end(), before) == joined.end()) joined.push_back(before);
    bool all = true;
    for (const auto &[handle, stream] : s.streams.objects) {
        if (stream->capture.get() != &capture) continue;
        for (Node *tip : stream->tips) all = all && std::find(joined.begin(), joined.end(), tip) != joined.end();
        if (stream.get() != capture.origin) {
            stream->capture = nullptr;
            stream->tips.clear();
        }
    }
    return all;
}

void drop(Graph &graph) {
    for (const auto &node : graph.nodes) state().nodes.erase(node->handle);
    state().graphs.objects.erase(graph.handle);
}

} // namespace

bool capture_forbids_unsafe() {
    if (thread_capture_mode == cudaStreamCaptureModeRelaxed) return false;
    bool forbidden = false;
    for (const CaptureRef &capture : state().captures) {
        const bool own = capture->thread == std::this_thread::get_id() && capture->mode != cudaStreamCaptureModeRelaxed;
        const bool global =
            thread_capture_mode == cudaStreamCaptureModeGlobal && capture->mode == cudaStreamCaptureModeGlobal;
        if (!own && !global) continue;
        invalidate(*capture, "a call that is not allowed during capture");
        forbidden = true;
    }
    return forbidden;
}

void invalidate(Capture &capture, const char *why) {
    if (!capture.invalid) misuse("capture %llu invalidated: %s", capture.id, why);
    capture.invalid = true;
}

cudaError_t capturing(Stream &stream) {
    return stream.capture->invalid ? cudaErrorStreamCaptureInvalidated : cudaSuccess;
}

cudaError_t implicit_capture(const Stream &stream, bool question) {
    if (!stream.legacy) return cudaSuccess;
    cudaError_t error = cudaSuccess;
    for (const auto &[handle, other] : state().streams.objects) {
        if (!other->blocking() || !other->capture) continue;
        if (!question) invalidate(*other->capture, "use of the legacy stream while a blocking stream captures");
        error = cudaErrorStreamCaptureImplicit;
    }
    return error;
}

void record(Stream &stream, Work work) {
    Graph &graph = *stream.capture->graph;
    auto node = std::make_unique<Node>();
    node->handle = new_handle();
    node->graph = &graph;
    node->work = std::move(work);
    node->after = stream.tips;
    state().nodes[node->handle] = node.get();
    stream.tips = {node.get()};
    graph.nodes.push_back(std::move(node));
}

} // namespace sim

using namespace sim;

extern "C" {

cudaError_t cudaStreamBeginCapture(cudaStream_t handle, cudaStreamCaptureMode mode) {
    return api(__func__, PLAIN, [&](Lock &) {
        State &s = state();
        Stream *stream = stream_of("cudaStreamBeginCapture", handle);
        if (!stream) return cudaErrorInvalidResourceHandle;
        if (mode < cudaStreamCaptureModeGlobal || mode > cudaStreamCaptureModeRelaxed) return cudaErrorInvalidValue;
        if (stream->legacy) return cudaErrorStreamCaptureUnsupported;
        if (stream->capture) return cudaErrorIllegalState;
        auto graph = std::make_shared<Graph>();
        graph->handle = new_handle();
        s.graphs.objects[graph->handle] = graph;
        auto capture = std::make_shared<Capture>();
        capture->id = s.next_capture++;
        capture->graph = graph, capture->origin = stream;
        capture->thread = std::this_thread::get_id(), capture->mode = mode;
        s.captures.push_back(capture);
        stream->capture = capture;
        stream->tips.clear();
        return cudaSuccess;
    });
}

cudaError_t cudaStreamEndCapture(cudaStream_t handle, cudaGraph_t *graph) {
    const cudaError_t result = api(__func__, FREES, [&](Lock &) {
        State &s = state();
        Stream *stream = stream_of("cudaStreamEndCapture", handle);
        if (!stream) return cudaErrorInvalidResourceHandle;
        if (!graph) return cudaErrorInvalidValue;
        *graph = nullptr;
        const CaptureRef capture = stream->capture;
        if (!capture) return cudaErrorIllegalState;
        if (capture->origin != stream) {
            invalidate(*capture, "cudaStreamEndCapture of another stream");
            return cudaErrorStreamCaptureUnmatched;
        }
        if (capture->mode != cudaStreamCaptureModeRelaxed && capture->thread != std::this_thread::get_id()) {
            invalidate(*capture, "cudaStreamEndCapture from another thread");
            return cudaErrorStreamCaptureWrongThread;
        }
        const bool joined = leave(*capture);
        stream->capture = nullptr;
        stream->tips.clear();
        capture->ended = true;
        s.captures.erase(std::find(s.captures.begin(), s.captures.end(), capture));
        if (capture->invalid || !joined) {
            if (!joined && !capture->invalid) misuse("cudaStreamEndCapture: a forked stream was not joined");
            drop(*capture->graph);
            return capture->invalid ? cudaErrorStreamCaptureInvalidated : cudaErrorStreamCaptureUnjoined;
        }
        *graph = to<cudaGraph_t>(capture->graph->handle);
        return cudaSuccess;
    });
    if (result != cudaSuccess && graph && *graph) { // an injected error: ended, without a result
        Lock lock(state().mutex);
        drop(*state().graphs.find(*graph));
        *graph = nullptr;
    }
    return result;
}

cudaError_t cudaStreamIsCapturing(cudaStream_t handle, cudaStreamCaptureStatus *status) {
    return api(__func__, PLAIN, [&](Lock &) {
        Stream *stream = stream_of("cudaStreamIsCapturing", handle);
        if (!stream) return cudaErrorInvalidResourceHandle;
        if (!status) return cudaErrorInvalidValue;
        if (const cudaError_t error = implicit_capture(*stream, true)) return error;
        *status = !stream->capture           ? cudaStreamCaptureStatusNone
                  : stream->capture->invalid ? cudaStreamCaptureStatusInvalidated
                                             : cudaStreamCaptureStatusActive;
        return cudaSuccess;
    });
}

cudaError_t cudaStreamGetCaptureInfo(cudaStream_t handle, cudaStreamCaptureStatus *status, unsigned long long *id,
                                     cudaGraph_t *graph, const cudaGraphNode_t **dependencies,
                                     const cudaGraphEdgeData **edges, size_t *count) {
    return api(__func__, PLAIN, [&](Lock &) {
        Stream *stream = stream_of("cudaStreamGetCaptureInfo", handle);
        if (!stream) return cudaErrorInvalidResourceHandle;
        if (!status || (edges && !dependencies)) return cudaErrorInvalidValue;
        if (const cudaError_t error = implicit_capture(*stream, true)) return error;
        const Capture *capture = stream->capture.get();
        *status = !capture           ? cudaStreamCaptureStatusNone
                  : capture->invalid ? cudaStreamCaptureStatusInvalidated
                                     : cudaStreamCaptureStatusActive;
        if (*status != cudaStreamCaptureStatusActive) return cudaSuccess; // the other outputs are undefined then
        static const cudaGraphEdgeData no_edge_data[64] = {};
        stream->tips_handles.clear();
        for (const Node *tip : stream->tips) stream->tips_handles.push_back(to<cudaGraphNode_t>(tip->handle));
        if (id) *id = capture->id;
        if (graph) *graph = to<cudaGraph_t>(capture->graph->handle);
        if (dependencies) *dependencies = stream->tips_handles.data();
        if (edges) *edges = no_edge_data;
        if (count) *count = stream->tips_handles.size();
        return cudaSuccess;
    });
}

cudaError_t cudaThreadExchangeStreamCaptureMode(cudaStreamCaptureMode *mode) {
    return api(__func__, PLAIN, [&](Lock &) {
        if (!mode || *mode < cudaStreamCaptureModeGlobal || *mode > cudaStreamCaptureModeRelaxed)
            return cudaErrorInvalidValue;
        std::swap(*mode, thread_capture_mode);
        return cudaSuccess;
    });
}

} // extern "C"
