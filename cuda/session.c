// Opens a session (memory, streams, tactics, capture), then keeps frames in flight: upload, replay, download overlap.
#include "cuda/session.h"

#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#ifdef FS_HAVE_NVTX
#include <nvtx3/nvToolsExtCudaRt.h>
#endif

#include "cuda/bind.h"
#include "cuda/tune.h"
#include "runtime/base/log.h"
#include "runtime/base/mem.h"
#include "runtime/ranges.h"

enum { MAX_IN_FLIGHT = 16, ALIGN = 256, FRAME_PIXEL = 4 };

struct fs_cuda_session {
    const fs_cuda_engine *engine;
    fs_plan *plan;
    const fs_graph *graph;
    fs_runner runner;
    fs_nodes nodes;
    fs_launch launch[FS_MAX_NODES]; // by node
    char *device, *pinned;          // the blocks
    size_t device_bytes, pinned_bytes;
    uint8_t *net_frame; // device: the frame at the network's size, when it comes in another one or in YUV
    void *workspace;    // of cuDNN
    cudaStream_t upload, compute, download, own; // compute: the caller's, or `own`
    fs_capture capture;
    bool replays;
    fs_slot slot[MAX_IN_FLIGHT];
    int in_flight;
    uint64_t submitted, waited; // frames
    fs_ranges ranges;
    fs_marks marks; // of a frame that is profiled; opened at the first
    bool profiles;  // the frame being submitted is
};

// ---- Opening ----

// Walks through a block twice: without a base to measure it, then to hand out its parts.
typedef struct carver {
    char *base;
    size_t used;
} carver;

static void *carve(carver *c, size_t bytes) {
    void *at = c->base ? c->base + c->used : NULL;
    c->used += (bytes + ALIGN - 1) / ALIGN * ALIGN;
    return at;
}

static size_t carve_device(fs_cuda_session *s, char *base) {
    const size_t pixels = (size_t)s->graph->height * (size_t)s->graph->width;
    carver c = {base, 0};
    carve(&c, fs_steps_arena(s->plan) + s->nodes.scratch + s->nodes.tables);
    s->net_frame = carve(&c, pixels * FRAME_PIXEL);
    s->workspace = s->runner.handle ? carve(&c, FS_CUDNN_WORKSPACE) : NULL;
    for (int i = 0; i < s->in_flight; i++) {
        s->slot[i].frame_bytes = pixels * FRAME_PIXEL;
        s->slot[i].frame = carve(&c, s->slot[i].frame_bytes);
        fs_staging *labels = &s->slot[i].result[FS_RESULT_LABELS];
        labels->device = carve(&c, pixels);
        labels->device_room = labels->device_lent = pixels;
        s->slot[i].map.device = carve(&c, FS_LABEL_MAP);
        s->slot[i].palette.device = carve(&c, FS_PALETTE);
    }
    return c.used;
}

static size_t carve_pinned(fs_cuda_session *s, char *base) {
    const size_t pixels = (size_t)s->graph->height * (size_t)s->graph->width;
    carver c = {base, 0};
    for (int i = 0; i < s->in_flight; i++) {
        s->slot[i].pinned_frame = carve(&c, s->slot[i].frame_bytes);
        fs_staging *labels = &s->slot[i].result[FS_RESULT_LABELS];
        labels->pinned = carve(&c, pixels);
        labels->pinned_room = labels->pinned_lent = pixels;
        s->slot[i].map.pinned = carve(&c, FS_LABEL_MAP);
        s->slot[i].palette.pinned = carve(&c, FS_PALETTE);
    }
    return c.used;
}

// One block on the device, one of pinned memory; the nodes are built for what lies where.
static fs_status fill_memory(fs_cuda_session *s) {
    FS_TRY(fs_steps_build(&s->nodes, s->engine, s->plan, NULL, NULL));
    s->device_bytes = carve_device(s, NULL);
    FS_CUDA(cudaMalloc((void **)&s->device, s->device_bytes), "allocating the session's memory");
    FS_CUDA(cudaMemset(s->device, 0, s->device_bytes), "clearing the session's memory");
    carve_device(s, s->device);
    s->pinned_bytes = carve_pinned(s, NULL);
    FS_CUDA(cudaHostAlloc((void **)&s->pinned, s->pinned_bytes, 0), "allocating pinned memory");
    carve_pinned(s, s->pinned);

    const size_t tables_at = fs_steps_arena(s->plan) + s->nodes.scratch, bytes = s->nodes.tables;
    char *tables = fs_calloc(1, bytes);
    if (tables == NULL) return fs_fail(FS_ERR_MEMORY, "out of memory for %zu bytes of tables", bytes);
    fs_status status = fs_steps_build(&s->nodes, s->engine, s->plan, s->device, tables);
    if (status == FS_OK)
        status = fs_cuda_status(cudaMemcpy(s->device + tables_at, tables, bytes, cudaMemcpyHostToDevice),
                                "uploading the tables");
    fs_free(tables);
    return status;
}

static fs_status allocate(fs_cuda_session *s) {
    const fs_status status = fill_memory(s);
    // Clearing, and copies from pageable memory, may still be under way when they return: our streams do not wait for
    // this one, and after a failure the memory is freed.
    const cudaError_t error = cudaStreamSynchronize(NULL);
    return status == FS_OK ? fs_cuda_status(error, "waiting for the upload of the tables") : status;
}

static fs_status open_stream(cudaStream_t *stream, const char *name) {
    FS_CUDA(cudaStreamCreateWithFlags(stream, cudaStreamNonBlocking), "creating a stream");
#ifdef FS_HAVE_NVTX
    nvtxNameCudaStreamA(*stream, name);
#else
    (void)name;
#endif
    return FS_OK;
}

static fs_status open_streams(fs_cuda_session *s, const fs_session_config *config) {
    FS_TRY(open_stream(&s->upload, "fastscnn upload"));
    FS_TRY(open_stream(&s->own, "fastscnn compute"));
    FS_TRY(open_stream(&s->download, "fastscnn download"));
    s->compute = config->stream ? (cudaStream_t)config->stream : s->own;
    for (int i = 0; i < s->in_flight; i++) {
        cudaEvent_t *const events[3] = {&s->slot[i].in, &s->slot[i].computed, &s->slot[i].out};
        for (int k = 0; k < 3; k++)
            FS_CUDA(cudaEventCreateWithFlags(events[k], cudaEventDisableTiming), "creating an event");
    }
    return FS_OK;
}

static fs_status bind_frame(const fs_cuda_session *s, const fs_slot *slot, const fs_planes *planes,
                            fs_binding *binding) {
    const fs_binder binder = {s->graph, &s->nodes, s->net_frame, s->runner.sm};
    return fs_bind_frame(&binder, slot, planes, binding);
}

// ---- Tactics and capture ----

static fs_status choose_tactics(fs_cuda_session *s, const fs_session_config *config) {
    // What reads the frame is timed on the memory of the first slot.
    static const int order[4] = {0, 1, 2, 3};
    const int channels = s->graph->model.channels;
    for (int i = 0; i < s->nodes.count; i++)
        if (fs_nodes_reads(&s->nodes.node[i]))
            fs_bind_reader(&s->nodes.node[i], s->slot[0].frame, (size_t)(channels * s->graph->width), channels, order);
    if (config->tune >= 0) {
        const fs_tuner tuner = {.engine = s->engine,
                                .runner = &s->runner,
                                .workspace = s->workspace,
                                .stream = s->own,
                                .repeats = config->tune > 0 ? config->tune : FS_TUNE_REPEATS,
                                .plan = s->plan,
                                .nodes = &s->nodes};
        FS_TRY(fs_tune(&tuner));
    } else {
        for (int i = 0; i < s->plan->program.steps; i++) {
            const int asked = -2 - config->tune, last = s->nodes.routes[i] - 1;
            int route = fs_steps_first_route(&s->nodes, s->plan, s->engine->device.processors, i);
            if (asked >= 0) route = asked < last ? asked : last;
            fs_nodes_take(&s->nodes, i, route);
        }
    }
    for (int i = 0; i < s->plan->program.steps; i++) s->plan->launches[i] = fs_nodes_launches(&s->nodes, i);
    for (int i = 0; i < s->nodes.count; i++) {
        const fs_node *n = &s->nodes.node[i];
        if (!fs_nodes_active(&s->nodes, i)) continue;
        if (fs_bound_of(&s->nodes, i) >= 0) continue;
        if (!fs_node_launch(n, s->runner.sm, n->variant, &s->launch[i]))
            return fs_fail(FS_ERR_INTERNAL, "no kernel for step '%s'", s->plan->program.step[n->step].name);
        FS_TRY(fs_run_allow(&s->launch[i]));
    }
    return FS_OK;
}

// Loads the kernels of every kind of frame: CUDA loads a kernel at its first use, which would be in a frame.
static fs_status load_frame_kernels(const fs_cuda_session *s) {
    const fs_format formats[] = {FS_RGB8, FS_RGBA8, FS_GRAY8, FS_NV12};
    const fs_planes planes = {{s->slot[0].frame, s->slot[0].frame, s->slot[0].frame}, {4, 4, 4}};
    for (int i = 0; i < 4; i++)
        for (int larger = 0; larger < 2; larger++) {
            fs_slot slot = {
                .given = {.format = formats[i], .width = s->graph->width + larger, .height = s->graph->height},
                .outputs = {.memory = FS_MEMORY_DEVICE,
                            .labels = s->slot[0].result[FS_RESULT_LABELS].device,
                            .logits = (float *)(void *)s->device,
                            .histogram = (uint32_t *)(void *)s->device,
                            .overlay = (uint8_t *)s->device,
                            .scores_f16 = larger,
                            .at_frame_size = larger}};
            fs_slot_measure(&slot, s->graph);
            fs_binding binding;
            FS_TRY(bind_frame(s, &slot, &planes, &binding));
            for (int b = 0; b < FS_BOUNDS; b++)
                if (binding.enabled[b]) FS_TRY(fs_run_allow(&binding.launch[b]));
        }
    return FS_OK;
}

// A binding that names every bound node's kernel, for the capture: what a frame of the network's size gives, and one of
// another format. Its pointers are valid, though it never runs.
static fs_status bind_everything(fs_cuda_session *s, fs_binding *binding) {
    fs_slot slot = s->slot[0];
    const fs_planes planes = {{slot.frame, slot.frame, slot.frame},
                              {(size_t)s->graph->width, (size_t)s->graph->width, (size_t)s->graph->width}};
    slot.outputs = (fs_outputs){.memory = FS_MEMORY_DEVICE,
                                .labels = slot.result[FS_RESULT_LABELS].device,
                                .labels_stride = (size_t)s->graph->width,
                                .logits = (float *)(void *)s->device,
                                .histogram = (uint32_t *)(void *)s->device,
                                .overlay = (uint8_t *)s->device};
    fs_slot_measure(&slot, s->graph);
    slot.given = (fs_frame){.format = FS_NV12, .width = s->graph->width, .height = s->graph->height};
    FS_TRY(bind_frame(s, &slot, &planes, binding));
    for (int b = 0; b < FS_BOUNDS; b++) FS_TRY(fs_run_allow(&binding->launch[b]));
    return FS_OK;
}

// What a frame does to a graph, exchanging nodes and switching them off and on, is tried on the first slot's while
// there is still another way to go.
static fs_status rehearse(fs_cuda_session *s) {
    const size_t width = (size_t)s->graph->width;
    const fs_planes planes = {{s->slot[0].frame, s->slot[0].frame, s->slot[0].frame}, {4 * width, width, width}};
    const fs_format kinds[2] = {FS_NV12, FS_RGBA8};
    for (int i = 0; i < 2; i++) {
        fs_slot slot = {.given = {.format = kinds[i], .width = s->graph->width, .height = s->graph->height},
                        .outputs = {.memory = FS_MEMORY_DEVICE, .labels_stride = width}};
        fs_slot_measure(&slot, s->graph);
        if (i == 1) slot.outputs.labels = s->slot[0].result[FS_RESULT_LABELS].device;
        fs_binding binding;
        FS_TRY(bind_frame(s, &slot, &planes, &binding));
        FS_TRY(fs_replay_bind(&s->capture, &s->slot[0].replay, &binding));
    }
    FS_CUDA(cudaGraphLaunch(s->slot[0].replay.exec, s->own), "trying the graph");
    return fs_cuda_status(cudaStreamSynchronize(s->own), "trying the graph");
}

// Captures once; every slot has an executable copy of its own, so that its pointers stay in it.
static fs_status capture(fs_cuda_session *s) {
    fs_binding binding;
    FS_TRY(bind_everything(s, &binding));
    // cuDNN loads its kernels at their first run, which a capture does not allow.
    if (s->runner.handle) {
        for (int i = 0; i < s->nodes.count; i++)
            if (s->nodes.node[i].plan && fs_nodes_active(&s->nodes, i))
                FS_TRY(fs_run_node(&s->runner, &s->nodes.node[i], &s->launch[i], false, s->own));
        FS_CUDA(cudaStreamSynchronize(s->own), "running cuDNN for the first time");
    }
    FS_TRY(fs_capture_take(&s->runner, &s->nodes, s->launch, &binding, s->own, &s->capture));
    for (int i = 0; i < s->in_flight; i++) FS_TRY(fs_replay_open(&s->capture, &binding, s->own, &s->slot[i].replay));
    FS_CUDA(cudaStreamSynchronize(s->own), "uploading the graph");
    return rehearse(s);
}

static void close_replays(fs_cuda_session *s) {
    for (int i = 0; i < s->in_flight; i++) fs_replay_close(&s->slot[i].replay);
    fs_capture_free(&s->capture);
}

static fs_status prepare_replay(fs_cuda_session *s) {
    fs_status status = capture(s);
    if (status == FS_ERR_BACKEND && s->runner.early) {
        // Graphs with programmatic edges are younger than the rest: try without.
        fs_log(FS_LOG_INFO, "no dependent launches in the graph: %s", fs_error_text());
        close_replays(s);
        s->runner.early = false;
        status = capture(s);
    }
    if (status == FS_OK) {
        s->replays = true;
        return FS_OK;
    }
    close_replays(s);
    if (status == FS_ERR_MEMORY || status == FS_ERR_INTERNAL) return status;
    // Where the device is lost, single launches would fail as well.
    FS_CUDA(cudaStreamSynchronize(s->own), "waiting for the capture to end");
    fs_log(FS_LOG_WARNING, "the frame cannot be captured as a graph, so it is launched step by step: %s",
           fs_error_text());
    return FS_OK;
}

static void name_tactics(fs_cuda_session *s) {
    bool cudnn = false;
    memset(s->plan->launches, 0, sizeof s->plan->launches);
    for (int i = 0; i < s->nodes.count; i++) {
        const fs_node *n = &s->nodes.node[i];
        if (n->route == FS_EVERY_ROUTE || !fs_nodes_active(&s->nodes, i)) continue;
        s->plan->launches[n->step]++;
        fs_launch launch = s->launch[i];
        // The reader's and the labels' launches come with the frame; their variants are what they are by now.
        if (launch.kernel == NULL) fs_node_launch(n, s->runner.sm, n->variant, &launch);
        snprintf(s->plan->tactic[n->step], FS_NAME, "%s", n->plan ? fs_cudnn_plan_name(n->plan) : launch.name);
        cudnn |= n->plan != NULL;
    }
    snprintf(s->plan->kernels, FS_NAME, "%s", cudnn ? "own, cudnn" : "own");
}

static fs_status open_parts(fs_cuda_session *s, const fs_session_config *config) {
    if (s->engine->cudnn && config->tune >= 0) {
        const fs_status status = fs_cudnn_handle_open(s->engine->cudnn, &s->runner.handle);
        if (status == FS_ERR_MEMORY) return status;
        if (status != FS_OK) fs_log(FS_LOG_WARNING, "running on our own kernels alone: %s", fs_error_text());
    }
    FS_TRY(allocate(s));
    FS_TRY(open_streams(s, config));
    fs_trace_begin(s->ranges.name[FS_RANGE_TUNE], (uint64_t)s->nodes.count);
    fs_status status = choose_tactics(s, config);
    fs_trace_end();
    FS_TRY(status);
    FS_TRY(load_frame_kernels(s));
    if (!config->eager) {
        fs_trace_begin(s->ranges.name[FS_RANGE_CAPTURE], (uint64_t)s->in_flight);
        status = prepare_replay(s);
        fs_trace_end();
        FS_TRY(status);
    }
    name_tactics(s);
    return FS_OK;
}

fs_status fs_cuda_session_open(const fs_cuda_engine *engine, fs_plan *plan, const fs_session_config *config,
                               fs_cuda_session **session) {
    fs_cuda_session *s = fs_calloc(1, sizeof *s);
    if (s == NULL) return fs_fail(FS_ERR_MEMORY, "out of memory for a session");
    s->engine = engine, s->plan = plan, s->graph = &plan->program.graph;
    s->in_flight = config->in_flight, s->runner.sm = engine->device.sm;
    for (int i = 0; i < s->in_flight; i++)
        s->slot[i].graph = s->graph, s->slot[i].done = config->done, s->slot[i].done_user = config->done_user;
    s->runner.early = engine->device.sm >= FS_CUDA_EARLY_SM;
    fs_ranges_register(&s->ranges, &plan->program);
    fs_trace_begin(s->ranges.name[FS_RANGE_OPEN], plan->arena_bytes);
    int before = engine->device.ordinal;
    fs_status status = fs_device_enter(engine->device.ordinal, &before);
    if (status == FS_OK) status = open_parts(s, config);
    fs_trace_end();
    fs_device_leave(engine->device.ordinal, before);
    if (status != FS_OK) {
        fs_cuda_session_close(s);
        return status;
    }
    *session = s;
    return FS_OK;
}

// ---- Frames ----

static fs_slot *slot_of(fs_cuda_session *s, uint64_t frame) {
    return &s->slot[frame % (uint64_t)s->in_flight];
}

static fs_status bring_in(fs_cuda_session *s, fs_slot *slot, fs_planes *planes) {
    bool copied = false;
    FS_TRY(fs_slot_upload(slot, s->upload, planes, &copied));
    FS_TRY(fs_slot_upload_lookups(slot, s->upload, &copied));
    FS_TRY(fs_slot_upload_tables(slot, s->graph, s->upload, &copied));
    if (!copied) return FS_OK;
    FS_CUDA(cudaEventRecord(slot->in, s->upload), "recording the upload");
    return fs_cuda_status(cudaStreamWaitEvent(s->compute, slot->in, 0), "waiting for the upload");
}

static fs_status launch_frame(fs_cuda_session *s, fs_slot *slot, const fs_planes *planes) {
    fs_binding binding;
    FS_TRY(bind_frame(s, slot, planes, &binding));
    if (s->replays && !s->profiles)
        FS_TRY(fs_replay_run(&s->capture, &slot->replay, &binding, s->compute));
    else
        FS_TRY(fs_run_nodes(&s->runner, &s->nodes, s->launch, &binding, s->compute,
                            fs_trace_active() ? s->ranges.step : NULL, s->profiles ? &s->marks : NULL));
    return fs_cuda_status(cudaEventRecord(slot->computed, s->compute), "recording the frame");
}

static fs_status bring_out(fs_cuda_session *s, fs_slot *slot) {
    const bool device = slot->outputs.memory == FS_MEMORY_DEVICE;
    if (device && slot->done == NULL) return FS_OK;
    FS_CUDA(cudaStreamWaitEvent(s->download, slot->computed, 0), "waiting for the frame");
    if (!device) FS_TRY(fs_slot_download(slot, s->graph, s->download));
    FS_TRY(fs_slot_tell(slot, s->download)); // not on the compute stream, which may be the caller's
    return fs_cuda_status(cudaEventRecord(slot->out, s->download), "recording the results");
}

static fs_status submit(fs_cuda_session *s, fs_slot *slot, uint64_t number) {
    fs_planes planes;
    FS_TRY(fs_slot_need(slot, s->graph));
    if (s->profiles) FS_TRY(fs_marks_start(&s->marks, s->compute));
    fs_trace_begin(s->ranges.name[FS_RANGE_UPLOAD], number);
    fs_status status = bring_in(s, slot, &planes);
    fs_trace_end();
    if (status != FS_OK) return status;
    fs_trace_begin(s->ranges.name[FS_RANGE_LAUNCH], number);
    status = launch_frame(s, slot, &planes);
    fs_trace_end();
    if (status != FS_OK) return status;
    fs_trace_begin(s->ranges.name[FS_RANGE_DOWNLOAD], number);
    status = bring_out(s, slot);
    fs_trace_end();
    return status;
}

// After a failure in mid-frame: what was enqueued ends before its buffers are used again. The first failure is the one
// to report, so the text is kept.
static void settle(fs_cuda_session *s) {
    cudaStreamSynchronize(s->upload);
    cudaStreamSynchronize(s->compute);
    cudaStreamSynchronize(s->download);
    cudaGetLastError();
}

fs_status fs_cuda_session_submit(fs_cuda_session *s, const fs_frame *frame, const fs_outputs *outputs,
                                 uint64_t *ticket) {
    if (s->submitted - s->waited >= (uint64_t)s->in_flight)
        return fs_fail(FS_ERR_STATE, "%d frames are in flight already: wait for one first", s->in_flight);
    const uint64_t number = s->submitted + 1;
    fs_slot *slot = slot_of(s, number);
    slot->given = *frame, slot->outputs = *outputs, slot->ticket = number;
    fs_slot_measure(slot, s->graph);
    int before;
    FS_TRY(fs_device_enter(s->engine->device.ordinal, &before));
    atomic_store(&slot->state, FS_SLOT_QUEUED);
    fs_trace_begin(s->ranges.name[FS_RANGE_SUBMIT], number);
    fs_ranges_mark(&s->ranges, frame, outputs, s->graph);
    const fs_status status = submit(s, slot, number);
    fs_trace_end();
    if (status != FS_OK) {
        atomic_store(&slot->state, FS_SLOT_OVER); // nobody is told of a frame that was not taken
        settle(s);
    }
    fs_device_leave(s->engine->device.ordinal, before);
    if (status != FS_OK) return status;
    s->submitted = number;
    *ticket = number;
    return FS_OK;
}

static int64_t now_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

// Waits for an event until `deadline` (< 0: for ever). Polls at short intervals: the runtime has no wait with a limit.
static fs_status wait_event(cudaEvent_t event, int64_t deadline, uint64_t ticket) {
    enum { SPINS = 200, PAUSE_NS = 20000 };
    if (deadline < 0) return fs_cuda_status(cudaEventSynchronize(event), "waiting for a frame");
    for (int spin = 0;; spin++) {
        const cudaError_t error = cudaEventQuery(event);
        if (error != cudaErrorNotReady) return fs_cuda_status(error, "waiting for a frame");
        cudaGetLastError(); // "not ready" is recorded as if it were a failure
        if (now_ns() >= deadline)
            return fs_fail(FS_ERR_TIMEOUT, "frame %llu is still running", (unsigned long long)ticket);
        if (spin < SPINS)
            sched_yield();
        else
            nanosleep(&(struct timespec){.tv_nsec = PAUSE_NS}, NULL);
    }
}

// Frames up to `last` are over, and nothing of them runs any more.
static void end_frames(fs_cuda_session *s, uint64_t last, fs_status status) {
    for (; s->waited < last; s->waited++) fs_slot_end(slot_of(s, s->waited + 1), status);
}

static fs_status wait_frames(fs_cuda_session *s, uint64_t ticket, int64_t deadline) {
    for (uint64_t f = s->waited + 1; f <= ticket; f++)
        FS_TRY(wait_event(fs_slot_last(slot_of(s, f)), deadline, ticket));
    end_frames(s, ticket, FS_OK);
    return FS_OK;
}

fs_status fs_cuda_session_wait(fs_cuda_session *s, uint64_t ticket, int64_t timeout_ns) {
    if (ticket == 0 || ticket > s->submitted)
        return fs_fail(FS_ERR_STATE, "no frame has ticket %llu", (unsigned long long)ticket);
    if (ticket <= s->waited)
        return fs_fail(FS_ERR_STATE, "ticket %llu was waited for already", (unsigned long long)ticket);
    int64_t deadline = -1;
    if (timeout_ns >= 0 && __builtin_add_overflow(now_ns(), timeout_ns, &deadline)) deadline = INT64_MAX;
    int before = s->engine->device.ordinal;
    fs_status status = fs_device_enter(s->engine->device.ordinal, &before);
    if (status == FS_OK) {
        fs_trace_begin(s->ranges.name[FS_RANGE_WAIT], ticket);
        status = wait_frames(s, ticket, deadline);
        fs_trace_end();
    }
    // A frame that failed is over: its slot must become free, so nothing of it may still run.
    if (status != FS_OK && status != FS_ERR_TIMEOUT) settle(s);
    fs_device_leave(s->engine->device.ordinal, before);
    if (status == FS_ERR_TIMEOUT) return status;
    end_frames(s, ticket, status);
    const fs_status outcome = (fs_status)atomic_load(&slot_of(s, ticket)->outcome);
    if (outcome == FS_ERR_CANCELLED)
        return fs_fail(outcome, "frame %llu was cancelled before it began", (unsigned long long)ticket);
    return outcome;
}

// Nothing can be taken out of a stream. What is not handed over yet can be kept from it; the oldest frame that is not
// done counts as begun. From the latest to the oldest, so that none is handed over after one that was cancelled.
void fs_cuda_session_cancel(fs_cuda_session *s) {
    int before;
    fs_device_enter_anyway(s->engine->device.ordinal, &before);
    uint64_t begun = s->waited + 1;
    while (begun < s->submitted && cudaEventQuery(fs_slot_last(slot_of(s, begun))) == cudaSuccess) begun++;
    cudaGetLastError(); // "not ready" is recorded as if it were a failure
    fs_device_leave(s->engine->device.ordinal, before);
    for (uint64_t f = s->submitted; f > begun; f--) {
        fs_slot *slot = slot_of(s, f);
        int state = FS_SLOT_QUEUED;
        if (slot->outputs.memory == FS_MEMORY_HOST)
            atomic_compare_exchange_strong(&slot->state, &state, FS_SLOT_CANCELLED);
    }
}

static fs_status open_marks(fs_cuda_session *s, fs_span *spans) {
    int before;
    FS_TRY(fs_device_enter(s->engine->device.ordinal, &before));
    const fs_status status = spans ? fs_marks_read(&s->marks, spans) : fs_marks_open(&s->marks, s->plan->program.steps);
    fs_device_leave(s->engine->device.ordinal, before);
    return status;
}

fs_status fs_cuda_session_profile(fs_cuda_session *s, const fs_frame *frame, const fs_outputs *outputs,
                                  fs_span *spans) {
    if (s->submitted != s->waited)
        return fs_fail(FS_ERR_STATE, "%llu frames are in flight: wait for them before one is profiled",
                       (unsigned long long)(s->submitted - s->waited));
    FS_TRY(open_marks(s, NULL));
    uint64_t ticket;
    s->profiles = true;
    fs_status status = fs_cuda_session_submit(s, frame, outputs, &ticket);
    s->profiles = false;
    if (status == FS_OK) status = fs_cuda_session_wait(s, ticket, -1);
    return status == FS_OK ? open_marks(s, spans) : status;
}

// ---- The rest ----

bool fs_cuda_session_replays(const fs_cuda_session *s) {
    return s->replays;
}

void fs_cuda_session_memory(const fs_cuda_session *s, fs_session_memory *memory) {
    memory->arena = s->plan->arena_bytes;
    memory->scratch = s->device_bytes - memory->arena;
    memory->host = s->pinned_bytes + sizeof *s;
    memory->threads = 0;
    for (int i = 0; i < s->in_flight; i++) {
        memory->scratch += fs_slot_device_bytes(&s->slot[i]);
        memory->host += fs_slot_pinned_bytes(&s->slot[i]);
    }
}

void fs_cuda_session_close(fs_cuda_session *s) {
    if (s == NULL) return;
    fs_cuda_session_cancel(s);
    int before;
    fs_device_enter_anyway(s->engine->device.ordinal, &before);
    // The caller's stream may have other work behind our frames: wait for the frames alone.
    cudaError_t error = cudaSuccess;
    for (uint64_t f = s->waited + 1; f <= s->submitted; f++) {
        const cudaError_t failed = cudaEventSynchronize(slot_of(s, f)->computed);
        if (error == cudaSuccess) error = failed;
    }
    cudaStream_t const streams[3] = {s->upload, s->own, s->download};
    for (int i = 0; i < 3; i++)
        if (streams[i]) {
            const cudaError_t failed = cudaStreamSynchronize(streams[i]);
            if (error == cudaSuccess) error = failed;
        }
    if (s->submitted > s->waited) end_frames(s, s->submitted, fs_cuda_status(error, "closing the session"));
    for (int i = 0; i < s->in_flight; i++) fs_slot_close(&s->slot[i]);
    fs_marks_close(&s->marks);
    fs_capture_free(&s->capture);
    for (int i = 0; i < s->nodes.count; i++) fs_cudnn_plan_free(s->nodes.node[i].plan);
    if (s->runner.handle) fs_cudnn_handle_close(s->runner.handle);
    for (int i = 0; i < 3; i++)
        if (streams[i]) cudaStreamDestroy(streams[i]);
    if (s->device) cudaFree(s->device);
    if (s->pinned) cudaFreeHost(s->pinned);
    cudaGetLastError();
    fs_device_leave(s->engine->device.ordinal, before);
    fs_free(s);
}
