// Streams and events of the simulated CUDA runtime: lazy queues, advanced in seeded order by the calls that wait.
#include "tests/cuda_sim/cudart.h"

namespace sim {
namespace {

bool ready(const Stream &stream) {
    if (stream.queue.empty() || stream.queue.front()->running) return false;
    for (const OperationRef &before : stream.queue.front()->after)
        if (!before->done) return false;
    return true;
}

Stream *queued_in(const Operation *operation) {
    for (const auto &[handle, stream] : state().streams.objects)
        for (const OperationRef &queued : stream->queue)
            if (queued.get() == operation) return stream.get();
    return nullptr;
}

// The ready stream that must advance before `operation` can end; null while that one runs elsewhere.
Stream *needed_for(const Operation *operation) {
    for (;;) {
        Stream *stream = queued_in(operation);
        if (!stream) return nullptr;
        const Operation *front = stream->queue.front().get(), *blocker = nullptr;
        for (const OperationRef &before : front->after)
            if (!before->done) blocker = before.get();
        if (!blocker) return ready(*stream) ? stream : nullptr;
        operation = blocker;
    }
}

Stream *any_ready() {
    std::vector<Stream *> candidates;
    for (const auto &[handle, stream] : state().streams.objects)
        if (ready(*stream)) candidates.push_back(stream.get());
    return candidates.empty() ? nullptr : candidates[below(static_cast<unsigned>(candidates.size()))];
}

Item *pick_item(Operation &operation) {
    std::vector<Item *> candidates;
    std::vector<Item> &items = operation.begun();
    for (Item &item : items) {
        bool free = !item.done;
        for (size_t before : item.after) free = free && items[before].done;
        if (free) candidates.push_back(&item);
    }
    return candidates.empty() ? nullptr : candidates[below(static_cast<unsigned>(candidates.size()))];
}

void advance(Lock &lock, Stream &stream) {
    State &s = state();
    const OperationRef operation = stream.queue.front();
    if (Item *item = pick_item(*operation)) {
        if (item->enabled) {
            operation->running = true;
            execute(lock, item->work);
            operation->running = false;
        }
        item->done = true;
    }
    for (const Item &item : operation->items)
        if (!item.done) {
            s.progress.notify_all();
            return;
        }
    operation->done = true;
    operation->finished = s.clock;
    operation->after.clear();
    operation->items.clear();
    stream.queue.pop_front();
    if (!stream.alive && stream.queue.empty()) s.streams.objects.erase(stream.handle);
    s.progress.notify_all();
}

Event *event_of(const char *function, cudaEvent_t handle) {
    Event *event = state().events.find(handle);
    if (!event) misuse("%s: no live event %p", function, static_cast<void *>(handle));
    return event;
}

cudaError_t create_stream(cudaStream_t *handle, unsigned flags, int priority) {
    if (!handle || flags & ~unsigned{cudaStreamNonBlocking}) return cudaErrorInvalidValue;
    auto stream = std::make_shared<Stream>();
    stream->handle = new_handle();
    stream->flags = flags, stream->priority = priority;
    state().streams.objects[stream->handle] = stream;
    *handle = to<cudaStream_t>(stream->handle);
    return cudaSuccess;
}

cudaError_t create_event(cudaEvent_t *handle, unsigned flags) {
    if (!handle || flags & ~unsigned{cudaEventBlockingSync | cudaEventDisableTiming}) return cudaErrorInvalidValue;
    auto event = std::make_shared<Event>();
    event->handle = new_handle(), event->flags = flags;
    state().events.objects[event->handle] = event;
    *handle = to<cudaEvent_t>(event->handle);
    return cudaSuccess;
}

// Waiting for, or asking about, an event that a capture recorded conflicts with that capture.
cudaError_t captured(const char *function, const Event &event) {
    if (!event.capture) return cudaSuccess;
    misuse("%s of an event recorded in a capture", function);
    if (!event.capture->ended) invalidate(*event.capture, function);
    return cudaErrorCapturedEvent;
}

cudaError_t busy_capturing(const char *function, const Stream &stream) {
    if (const cudaError_t error = implicit_capture(stream)) return error;
    if (!stream.capture) return cudaSuccess;
    misuse("%s of a capturing stream", function);
    invalidate(*stream.capture, function);
    return cudaErrorStreamCaptureUnsupported;
}

cudaError_t wait_captured(Stream &stream, Event &event) {
    if (event.capture) {
        if (event.capture->ended) return cudaErrorCapturedEvent;
        if (event.capture->invalid) return cudaErrorStreamCaptureInvalidated;
        if (stream.capture && stream.capture != event.capture) {
            invalidate(*stream.capture, "merge of two captures");
            invalidate(*event.capture, "merge of two captures");
            return cudaErrorStreamCaptureMerge;
        }
        stream.capture = event.capture; // a fork, where it was not capturing yet
        for (Node *tip : event.tips) {
            bool known = false;
            for (Node *other : stream.tips) known = known || other == tip;
            if (!known) stream.tips.push_back(tip);
        }
        return cudaSuccess;
    }
    misuse("cudaStreamWaitEvent of a capturing stream for an event outside its capture");
    invalidate(*stream.capture, "wait for an event outside the capture");
    return cudaErrorStreamCaptureIsolation;
}

} // namespace

Stream *stream_of(const char *function, cudaStream_t handle) {
    State &s = state();
    if (!handle || handle == cudaStreamLegacy) return s.legacy;
    if (handle == cudaStreamPerThread) return s.per_thread;
    Stream *stream = s.streams.find(handle);
    if (stream && stream->alive) return stream;
    misuse("%s: no live stream %p", function, static_cast<void *>(handle));
    return nullptr;
}

void enqueue(Stream &stream, const OperationRef &operation) {
    State &s = state();
    // The legacy stream and blocking streams wait for each other.
    if (stream.legacy) {
        for (const auto &[handle, other] : s.streams.objects)
            if (other->blocking() && other->last && !other->last->done) operation->after.push_back(other->last);
    } else if (stream.blocking() && s.legacy->last && !s.legacy->last->done) {
        operation->after.push_back(s.legacy->last);
    }
    stream.queue.push_back(operation);
    stream.last = operation;
}

cudaError_t submit(Stream &stream, Work work) {
    if (const cudaError_t error = implicit_capture(stream)) return error;
    if (stream.capture) {
        const cudaError_t error = capturing(stream);
        if (error == cudaSuccess) record(stream, std::move(work));
        return error;
    }
    auto operation = std::make_shared<Operation>();
    operation->items.emplace_back();
    operation->items.back().work = std::move(work);
    enqueue(stream, operation);
    return cudaSuccess;
}

bool step(Lock &lock, const OperationRef &towards) {
    Stream *stream = towards ? needed_for(towards.get()) : any_ready();
    if (!stream) return false;
    open_memory();
    advance(lock, *stream);
    close_memory();
    return true;
}

cudaError_t wait(Lock &lock, const OperationRef &operation) {
    State &s = state();
    if (!operation || operation->done) return s.sticky;
    // Other streams may run ahead, or not a step further than they must: the seed decides.
    const bool lazy = below(2) == 0;
    open_memory();
    while (!operation->done)
        if (!step(lock, lazy ? operation : nullptr)) s.progress.wait(lock);
    close_memory();
    return s.sticky;
}

cudaError_t wait_all(Lock &lock) {
    std::vector<OperationRef> ends;
    for (const auto &[handle, stream] : state().streams.objects)
        if (!stream->queue.empty()) ends.push_back(stream->queue.back());
    for (const OperationRef &end : ends) wait(lock, end);
    return state().sticky;
}

} // namespace sim

using namespace sim;

extern "C" {

cudaError_t cudaStreamCreate(cudaStream_t *stream) {
    return api(__func__, PLAIN, [&](Lock &) { return create_stream(stream, cudaStreamDefault, 0); });
}

cudaError_t cudaStreamCreateWithFlags(cudaStream_t *stream, unsigned flags) {
    return api(__func__, PLAIN, [&](Lock &) { return create_stream(stream, flags, 0); });
}

cudaError_t cudaStreamCreateWithPriority(cudaStream_t *stream, unsigned flags, int priority) {
    return api(__func__, PLAIN, [&](Lock &) { return create_stream(stream, flags, priority); });
}

cudaError_t cudaStreamDestroy(cudaStream_t handle) {
    return api(__func__, FREES, [&](Lock &) {
        Stream *stream = handle ? stream_of("cudaStreamDestroy", handle) : nullptr;
        if (!stream || stream->legacy || stream == state().per_thread) return cudaErrorInvalidResourceHandle;
        if (stream->capture) {
            misuse("cudaStreamDestroy of a capturing stream");
            invalidate(*stream->capture, "cudaStreamDestroy");
            stream->capture->ended = true;
        }
        stream->alive = false; // queued work still runs
        if (stream->queue.empty()) state().streams.objects.erase(stream->handle);
        return cudaSuccess;
    });
}

cudaError_t cudaStreamSynchronize(cudaStream_t handle) {
    return api(__func__, UNSAFE, [&](Lock &lock) {
        Stream *stream = stream_of("cudaStreamSynchronize", handle);
        if (!stream) return cudaErrorInvalidResourceHandle;
        const cudaError_t error = busy_capturing("cudaStreamSynchronize", *stream);
        return error ? error : wait(lock, stream->queue.empty() ? nullptr : stream->queue.back());
    });
}

cudaError_t cudaStreamQuery(cudaStream_t handle) {
    return api(__func__, UNSAFE, [&](Lock &lock) {
        Stream *stream = stream_of("cudaStreamQuery", handle);
        if (!stream) return cudaErrorInvalidResourceHandle;
        if (const cudaError_t error = busy_capturing("cudaStreamQuery", *stream)) return error;
        if (stream->queue.empty()) return cudaSuccess;
        step(lock, nullptr);
        return state().sticky ? state().sticky : cudaErrorNotReady;
    });
}

cudaError_t cudaDeviceSynchronize(void) {
    return api(__func__, UNSAFE, [&](Lock &lock) {
        // Unlike the rest it looks at every stream, so no capture of any mode or thread may be under way.
        if (!state().captures.empty()) {
            misuse("cudaDeviceSynchronize during a stream capture");
            for (const CaptureRef &capture : state().captures) invalidate(*capture, "cudaDeviceSynchronize");
            return cudaErrorStreamCaptureUnsupported;
        }
        return wait_all(lock);
    });
}

cudaError_t cudaStreamGetFlags(cudaStream_t handle, unsigned *flags) {
    return api(__func__, PLAIN, [&](Lock &) {
        Stream *stream = stream_of("cudaStreamGetFlags", handle);
        if (!stream) return cudaErrorInvalidResourceHandle;
        *flags = stream->flags;
        return cudaSuccess;
    });
}

cudaError_t cudaStreamGetPriority(cudaStream_t handle, int *priority) {
    return api(__func__, PLAIN, [&](Lock &) {
        Stream *stream = stream_of("cudaStreamGetPriority", handle);
        if (!stream) return cudaErrorInvalidResourceHandle;
        *priority = stream->priority;
        return cudaSuccess;
    });
}

cudaError_t cudaStreamGetDevice(cudaStream_t handle, int *device) {
    return api(__func__, PLAIN, [&](Lock &) {
        if (!stream_of("cudaStreamGetDevice", handle)) return cudaErrorInvalidResourceHandle;
        *device = 0;
        return cudaSuccess;
    });
}

cudaError_t cudaStreamWaitEvent(cudaStream_t stream_handle, cudaEvent_t event_handle, unsigned flags) {
    return api(__func__, PLAIN, [&](Lock &) {
        Stream *stream = stream_of("cudaStreamWaitEvent", stream_handle);
        Event *event = event_of("cudaStreamWaitEvent", event_handle);
        if (!stream || !event) return cudaErrorInvalidResourceHandle;
        if (flags != cudaEventWaitDefault) return cudaErrorNotSupported;
        if (const cudaError_t error = implicit_capture(*stream)) return error;
        if (stream->capture && stream->capture->invalid) return cudaErrorStreamCaptureInvalidated;
        if (stream->capture || event->capture) return wait_captured(*stream, *event);
        if (!event->recorded || event->recorded->done) return cudaSuccess;
        auto operation = std::make_shared<Operation>();
        operation->after.push_back(event->recorded);
        enqueue(*stream, operation);
        return cudaSuccess;
    });
}

cudaError_t cudaEventCreate(cudaEvent_t *event) {
    return api(__func__, PLAIN, [&](Lock &) { return create_event(event, cudaEventDefault); });
}

cudaError_t cudaEventCreateWithFlags(cudaEvent_t *event, unsigned flags) {
    return api(__func__, PLAIN, [&](Lock &) { return create_event(event, flags); });
}

cudaError_t cudaEventDestroy(cudaEvent_t handle) {
    return api(__func__, FREES, [&](Lock &) {
        Event *event = event_of("cudaEventDestroy", handle);
        if (!event) return cudaErrorInvalidResourceHandle;
        state().events.objects.erase(event->handle);
        return cudaSuccess;
    });
}

cudaError_t cudaEventRecord(cudaEvent_t event_handle, cudaStream_t stream_handle) {
    return api(__func__, PLAIN, [&](Lock &) {
        Stream *stream = stream_of("cudaEventRecord", stream_handle);
        Event *event = event_of("cudaEventRecord", event_handle);
        if (!stream || !event) return cudaErrorInvalidResourceHandle;
        if (const cudaError_t error = implicit_capture(*stream)) return error;
        if (stream->capture) {
            if (const cudaError_t error = capturing(*stream)) return error;
            event->capture = stream->capture;
            event->tips = stream->tips;
            return cudaSuccess;
        }
        event->capture = nullptr;
        event->recorded = std::make_shared<Operation>();
        enqueue(*stream, event->recorded);
        return cudaSuccess;
    });
}

cudaError_t cudaEventRecordWithFlags(cudaEvent_t event, cudaStream_t stream, unsigned flags) {
    if (flags == cudaEventRecordDefault) return cudaEventRecord(event, stream);
    return api(__func__, PLAIN, [&](Lock &) {
        misuse("cudaEventRecordWithFlags: external events are not simulated");
        return cudaErrorNotSupported;
    });
}

cudaError_t cudaEventQuery(cudaEvent_t handle) {
    return api(__func__, UNSAFE, [&](Lock &lock) {
        Event *event = event_of("cudaEventQuery", handle);
        if (!event) return cudaErrorInvalidResourceHandle;
        if (const cudaError_t error = captured("cudaEventQuery", *event)) return error;
        if (!event->recorded || event->recorded->done) return cudaSuccess;
        step(lock, nullptr);
        return state().sticky ? state().sticky : cudaErrorNotReady;
    });
}

cudaError_t cudaEventSynchronize(cudaEvent_t handle) {
    return api(__func__, UNSAFE, [&](Lock &lock) {
        Event *event = event_of("cudaEventSynchronize", handle);
        if (!event) return cudaErrorInvalidResourceHandle;
        const cudaError_t error = captured("cudaEventSynchronize", *event);
        return error ? error : wait(lock, event->recorded);
    });
}

cudaError_t cudaEventElapsedTime(float *ms, cudaEvent_t start_handle, cudaEvent_t end_handle) {
    return api(__func__, PLAIN, [&](Lock &) {
        Event *start = event_of("cudaEventElapsedTime", start_handle);
        Event *end = event_of("cudaEventElapsedTime", end_handle);
        if (!ms) return cudaErrorInvalidValue;
        if (!start || !end) return cudaErrorInvalidResourceHandle;
        for (Event *event : {start, end})
            if (const cudaError_t error = captured("cudaEventElapsedTime", *event)) return error;
        if (!start->recorded || !end->recorded || (start->flags | end->flags) & cudaEventDisableTiming) {
            misuse("cudaEventElapsedTime of events not recorded or without timing");
            return cudaErrorInvalidResourceHandle;
        }
        if (!start->recorded->done || !end->recorded->done) return cudaErrorNotReady;
        *ms = static_cast<float>(end->recorded->finished - start->recorded->finished);
        return cudaSuccess;
    });
}

} // extern "C"
