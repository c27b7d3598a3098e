// Public calls on sessions: options, frames, submit and wait, plan. Validates; backends do not.
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "host/engine.h"
#include "host/outputs.h"
#include "runtime/base/mem.h"

struct fscnn_session {
    fscnn_engine *engine;
    fs_plan *plan; // large, so apart
    void *state;   // the backend's session
    int in_flight;
    fscnn_done_fn done; // NULL: nobody is told
    void *done_user;
    atomic_uintptr_t telling; // the thread that is in `done`, 0 for none
};

void fscnn_session_options_init(fscnn_session_options *options) {
    if (options) *options = (fscnn_session_options){.struct_size = sizeof *options};
}

void fscnn_session_info_init(fscnn_session_info *info) {
    if (info) *info = (fscnn_session_info){.struct_size = sizeof *info};
}

void fscnn_outputs_init(fscnn_outputs *outputs) {
    if (outputs) *outputs = (fscnn_outputs){.struct_size = sizeof *outputs};
}

void fscnn_frame_init(fscnn_frame *frame, fscnn_format format, int32_t width, int32_t height, const void *pixels) {
    if (frame == NULL) return;
    *frame = (fscnn_frame){.struct_size = sizeof *frame, .format = format, .width = width, .height = height};
    frame->plane[0] = pixels;
}

// The plan of an engine (`state` NULL: of one that was only chosen) for a network size; 0 means the default. `machine`
// NULL: the backend's own, which a roofline of another kind of machine is as well.
static fs_status build_plan(const fscnn_engine *e, int width, int height, const char *machine, fs_plan *plan) {
    const fs_plan_options options = {.precision = e->precision,
                                     .rewrites_off = e->rewrites_off,
                                     .channel_multiple = e->backend->channel_multiple,
                                     .supports = e->backend->supports,
                                     .supports_user = e->state,
                                     .launches = e->backend->launches,
                                     .launches_on = e->backend->launches_on,
                                     .machine = fs_roofline_find(machine ? machine : e->backend->roofline)};
    FS_TRY(fs_plan_build(plan, &e->model, height ? height : 1024, width ? width : 2048, &options));
    plan->backend = e->backend->name;
    return FS_OK;
}

// ---- The completion callback ----

// Called by the backend. Remembers the thread, so that calls from inside the callback are known.
static void tell(void *user, uint64_t ticket, fs_status status) {
    fscnn_session *s = user;
    char words[512];
    if (status != FS_OK) snprintf(words, sizeof words, "%s", fs_error_text());
    if (status == FS_ERR_CANCELLED)
        fs_fail(status, "frame %llu was cancelled before it began", (unsigned long long)ticket);
    atomic_store(&s->telling, (uintptr_t)pthread_self());
    s->done(s->done_user, ticket, (fscnn_status)status);
    atomic_store(&s->telling, 0);
    if (status != FS_OK) fs_fail(status, "%s", words); // a call further up has yet to return
}

// Why `call` may not go on: this thread is in the callback of the session, which it would wait for.
static fs_status not_in_callback(const fscnn_session *s, const char *call) {
    if (s->done == NULL || atomic_load(&s->telling) != (uintptr_t)pthread_self()) return FS_OK;
    return fs_fail(FS_ERR_STATE, "%s: not from inside the completion callback of the same session", call);
}

// ---- Opening and closing ----

static fs_status open_session(fscnn_session *s, const fscnn_session_options *o) {
    const fscnn_engine *e = s->engine;
    if (o->threads < 0 || o->threads > 256)
        return fs_fail(FS_ERR_ARGUMENT, "threads = %d is outside 0..256 (0: all cores)", o->threads);
    if (o->in_flight < 0 || o->in_flight > 16)
        return fs_fail(FS_ERR_ARGUMENT, "in_flight = %d is outside 0..16 (0: 2)", o->in_flight);
    if ((o->stream || o->eager) && !e->backend->device)
        return fs_fail(FS_ERR_UNSUPPORTED, "stream and eager are options of the CUDA backend, not of the %s backend",
                       e->backend->name);
    if (o->tune < -1 || o->tune > 0) return fs_fail(FS_ERR_ARGUMENT, "tune = %d is neither 0 nor -1", o->tune);
    s->in_flight = o->in_flight ? o->in_flight : 2;
    s->plan = fs_calloc(1, sizeof *s->plan);
    if (s->plan == NULL) return fs_fail(FS_ERR_MEMORY, "out of memory for the plan");
    FS_TRY(build_plan(e, o->width, o->height, NULL, s->plan));
    s->done = o->done, s->done_user = o->done_user;
    const fs_session_config config = {.threads = o->threads,
                                      .in_flight = s->in_flight,
                                      .tune = o->tune,
                                      .eager = o->eager != 0,
                                      .stream = o->stream,
                                      .done = o->done ? tell : NULL,
                                      .done_user = s};
    return e->backend->session_open(e->state, s->plan, &config, &s->state);
}

fscnn_status fscnn_session_open(fscnn_engine *engine, const fscnn_session_options *given, fscnn_session **session) {
    if (engine == NULL || session == NULL)
        return (fscnn_status)fs_fail(FS_ERR_ARGUMENT, "fscnn_session_open: engine and session must not be NULL");
    fscnn_session_options o;
    fscnn_session_options_init(&o);
    if (given) {
        const fs_status status = fs_take_struct(given, &o, sizeof o, "fscnn_session_options");
        if (status != FS_OK) return (fscnn_status)status;
    }
    fscnn_session *s = fs_calloc(1, sizeof *s);
    if (s == NULL) return (fscnn_status)fs_fail(FS_ERR_MEMORY, "out of memory for a session");
    s->engine = engine;
    const fs_status status = open_session(s, &o);
    if (status != FS_OK) {
        fs_free(s->plan);
        fs_free(s);
        return (fscnn_status)status;
    }
    atomic_fetch_add(&engine->references, 1);
    *session = s;
    return FSCNN_OK;
}

void fscnn_session_close(fscnn_session **session) {
    if (session == NULL || *session == NULL) return;
    fscnn_session *s = *session;
    if (not_in_callback(s, "fscnn_session_close") != FS_OK) return;
    s->engine->backend->session_close(s->state);
    fs_engine_release(s->engine);
    fs_free(s->plan);
    fs_free(s);
    *session = NULL;
}

fscnn_status fscnn_session_get_info(const fscnn_session *s, fscnn_session_info *info) {
    if (s == NULL || info == NULL)
        return (fscnn_status)fs_fail(FS_ERR_ARGUMENT, "fscnn_session_get_info: session and info must not be NULL");
    fs_session_memory memory = {0};
    s->engine->backend->session_memory(s->state, &memory);
    double flops = 0;
    for (int i = 0; i < s->plan->program.steps; i++) flops += s->plan->cost[i].flops;
    const fscnn_session_info answer = {
        .struct_size = sizeof answer,
        .width = s->plan->program.graph.width,
        .height = s->plan->program.graph.height,
        .threads = memory.threads,
        .in_flight = s->in_flight,
        .steps = s->plan->program.steps,
        .arena_bytes = memory.arena,
        .scratch_bytes = memory.scratch,
        .host_bytes = memory.host,
        .flops = (uint64_t)flops,
    };
    return (fscnn_status)fs_give_struct(&answer, info, sizeof answer, "fscnn_session_info");
}

// Bytes of a tightly packed row of each plane of a format; 0 where the format has no such plane.
static size_t row_bytes(fs_format format, int width, int channels, int plane) {
    const size_t w = (size_t)width, half = (w + 1) / 2;
    switch (format) {
    case FS_RGB8:
    case FS_BGR8: return plane == 0 ? 3 * w : 0;
    case FS_RGBA8:
    case FS_BGRA8: return plane == 0 ? 4 * w : 0;
    case FS_GRAY8: return plane == 0 ? w : 0;
    case FS_NV12: return plane == 0 ? w : plane == 1 ? 2 * half : 0;
    case FS_I420: return plane == 0 ? w : plane < 3 ? half : 0;
    case FS_PLANAR_F32: return plane < channels ? sizeof(float) * w : 0;
    }
    return 0;
}

static fs_status check_frame(const fscnn_session *s, const fscnn_frame *given, fs_frame *frame) {
    fscnn_frame f;
    FS_TRY(fs_take_struct(given, &f, sizeof f, "fscnn_frame"));
    if (f.format < FSCNN_RGB8 || f.format > FSCNN_PLANAR_F32)
        return fs_fail(FS_ERR_ARGUMENT, "frame.format %d is none of the fscnn_format values", f.format);
    if (f.width < 1 || f.height < 1 || f.width > 65536 || f.height > 65536)
        return fs_fail(FS_ERR_ARGUMENT, "frame size %dx%d is not a picture's", f.width, f.height);
    if ((unsigned)f.memory > FSCNN_MEMORY_DEVICE || (unsigned)f.matrix > FSCNN_MATRIX_BT709 ||
        (unsigned)f.range > FSCNN_RANGE_FULL)
        return fs_fail(FS_ERR_ARGUMENT, "frame.memory, matrix or range is none of its values");
    *frame = (fs_frame){.format = (fs_format)f.format,
                        .width = f.width,
                        .height = f.height,
                        .memory = f.memory,
                        .matrix = f.matrix,
                        .range = f.range};
    for (int i = 0; i < 4; i++) {
        const size_t row = row_bytes(frame->format, f.width, s->plan->program.graph.model.channels, i);
        if (row == 0) continue;
        if (f.plane[i] == NULL) return fs_fail(FS_ERR_ARGUMENT, "frame.plane[%d] is NULL", i);
        if (f.stride[i] != 0 && f.stride[i] < row)
            return fs_fail(FS_ERR_ARGUMENT, "frame.stride[%d] is %zu bytes, a row has %zu", i, f.stride[i], row);
        if (f.stride[i] > PTRDIFF_MAX / (size_t)f.height)
            return fs_fail(FS_ERR_ARGUMENT, "frame.stride[%d] is %zu bytes: no memory holds %d such rows", i,
                           f.stride[i], f.height);
        if (f.format == FSCNN_PLANAR_F32 && ((uintptr_t)f.plane[i] | f.stride[i]) % sizeof(float) != 0)
            return fs_fail(FS_ERR_ARGUMENT, "frame.plane[%d] or its stride is no multiple of 4 bytes: it holds floats",
                           i);
        frame->plane[i] = f.plane[i], frame->stride[i] = f.stride[i] ? f.stride[i] : row;
    }
    return s->engine->backend->accepts(frame, &s->plan->program.graph);
}

static fs_status submit(fscnn_session *s, const fscnn_frame *frame, const fscnn_outputs *outputs, uint64_t *ticket) {
    if (s == NULL || frame == NULL || outputs == NULL || ticket == NULL)
        return fs_fail(FS_ERR_ARGUMENT, "session, frame, outputs and ticket must not be NULL");
    FS_TRY(not_in_callback(s, "fscnn_submit"));
    fs_frame f;
    fs_outputs o;
    FS_TRY(check_frame(s, frame, &f));
    FS_TRY(fs_outputs_check(s->engine, &s->plan->program.graph, &f, outputs, &o));
    return s->engine->backend->submit(s->state, &f, &o, ticket);
}

fscnn_status fscnn_submit(fscnn_session *s, const fscnn_frame *frame, const fscnn_outputs *outputs, uint64_t *ticket) {
    return (fscnn_status)submit(s, frame, outputs, ticket);
}

static fs_status wait_for(fscnn_session *s, uint64_t ticket, int64_t timeout_ns, const char *call) {
    if (s == NULL) return fs_fail(FS_ERR_ARGUMENT, "%s: session is NULL", call);
    FS_TRY(not_in_callback(s, call));
    return s->engine->backend->wait(s->state, ticket, timeout_ns);
}

fscnn_status fscnn_wait(fscnn_session *s, uint64_t ticket, int64_t timeout_ns) {
    return (fscnn_status)wait_for(s, ticket, timeout_ns, "fscnn_wait");
}

fscnn_status fscnn_poll(fscnn_session *s, uint64_t ticket) {
    return (fscnn_status)wait_for(s, ticket, 0, "fscnn_poll");
}

fscnn_status fscnn_cancel(fscnn_session *s) {
    if (s == NULL) return (fscnn_status)fs_fail(FS_ERR_ARGUMENT, "fscnn_cancel: session is NULL");
    const fs_status status = not_in_callback(s, "fscnn_cancel");
    if (status == FS_OK) s->engine->backend->cancel(s->state);
    return (fscnn_status)status;
}

fscnn_status fscnn_run(fscnn_session *s, const fscnn_frame *frame, const fscnn_outputs *outputs) {
    uint64_t ticket;
    const fs_status status = submit(s, frame, outputs, &ticket);
    return status == FS_OK ? fscnn_wait(s, ticket, -1) : (fscnn_status)status;
}

// ---- Steps and profiling ----

static fs_status profile(fscnn_session *s, const fscnn_frame *frame, const fscnn_outputs *outputs,
                         fscnn_step_time *times, int count) {
    if (s == NULL || frame == NULL || outputs == NULL || times == NULL)
        return fs_fail(FS_ERR_ARGUMENT, "session, frame, outputs and times must not be NULL");
    FS_TRY(not_in_callback(s, "fscnn_session_profile"));
    const int steps = s->plan->program.steps;
    if (count != steps) return fs_fail(FS_ERR_ARGUMENT, "count is %d, the session has %d steps", count, steps);
    fs_frame f;
    fs_outputs o;
    FS_TRY(check_frame(s, frame, &f));
    FS_TRY(fs_outputs_check(s->engine, &s->plan->program.graph, &f, outputs, &o));
    fs_span spans[FS_MAX_OPS];
    FS_TRY(s->engine->backend->profile(s->state, &f, &o, spans));
    for (int i = 0; i < steps; i++) times[i] = (fscnn_step_time){1e6 * spans[i].begin, 1e6 * spans[i].end};
    return FS_OK;
}

fscnn_status fscnn_session_profile(fscnn_session *s, const fscnn_frame *frame, const fscnn_outputs *outputs,
                                   fscnn_step_time *times, int32_t count) {
    return (fscnn_status)profile(s, frame, outputs, times, count);
}

void fscnn_step_info_init(fscnn_step_info *info) {
    if (info) *info = (fscnn_step_info){.struct_size = sizeof *info};
}

fscnn_status fscnn_session_get_step(const fscnn_session *s, int32_t index, const char *device, fscnn_step_info *info) {
    if (s == NULL || info == NULL)
        return (fscnn_status)fs_fail(FS_ERR_ARGUMENT, "fscnn_session_get_step: session and info must not be NULL");
    const fs_plan *plan = s->plan;
    if (index < 0 || index >= plan->program.steps)
        return (fscnn_status)fs_fail(FS_ERR_ARGUMENT, "step %d is outside 0..%d", index, plan->program.steps - 1);
    const fs_roofline *roofline = fs_roofline_find(device ? device : s->engine->backend->roofline);
    if (roofline == NULL)
        return (fscnn_status)fs_fail(FS_ERR_ARGUMENT, "no device '%s' for the roofline; known: %s", device,
                                     fs_roofline_names());
    const fs_step *step = &plan->program.step[index];
    const fs_tensor *out = &plan->program.graph.tensor[step->out];
    const fs_cost *cost = &plan->cost[index];
    const fscnn_step_info answer = {
        .struct_size = sizeof answer,
        .launches = plan->launches[index],
        .name = step->name,
        .kind = fs_step_kind_name(step->kind),
        .tactic = plan->tactic[index],
        .height = out->h,
        .width = out->w,
        .channels = out->c,
        .flops = (uint64_t)cost->flops,
        .read_bytes = (uint64_t)cost->read,
        .written_bytes = (uint64_t)cost->written,
        .weight_bytes = (uint64_t)cost->weights,
        .roofline = roofline->name,
        .roofline_about = roofline->description,
        .roofline_us = 1e6 * fs_step_roofline(plan, index, roofline),
        .bound = fs_step_bound(plan, index, roofline),
        .peak_flops = fs_roofline_rate(plan, roofline),
        .peak_bandwidth = roofline->bandwidth,
    };
    return (fscnn_status)fs_give_struct(&answer, info, sizeof answer, "fscnn_step_info");
}

fscnn_status fscnn_engine_profiler_window(fscnn_engine *e, int32_t on) {
    if (e == NULL) return (fscnn_status)fs_fail(FS_ERR_ARGUMENT, "fscnn_engine_profiler_window: engine is NULL");
    if (e->backend->profiler_window == NULL)
        return (fscnn_status)fs_fail(FS_ERR_UNSUPPORTED,
                                     "the %s backend has no profiler window: cudaProfilerStart and Stop belong to the "
                                     "CUDA backend",
                                     e->backend->name);
    return (fscnn_status)e->backend->profiler_window(e->state, on != 0);
}

// ---- Plan ----

static fs_status print_plan(const fs_plan *plan, fscnn_plan_format format, const char *device, char **text) {
    const fs_roofline *roofline = fs_roofline_find(device);
    if (roofline == NULL)
        return fs_fail(FS_ERR_ARGUMENT, "no device '%s' for the roofline; known: %s", device, fs_roofline_names());
    fs_text out = {0};
    switch (format) {
    case FSCNN_PLAN_TEXT: fs_plan_print_text(plan, roofline, &out); break;
    case FSCNN_PLAN_JSON: fs_plan_print_json(plan, roofline, &out); break;
    case FSCNN_PLAN_DOT: fs_plan_print_dot(plan, roofline, &out); break;
    default: return fs_fail(FS_ERR_ARGUMENT, "plan format %d is none of the fscnn_plan_format values", format);
    }
    const fs_status status = fs_text_status(&out);
    if (status != FS_OK) {
        fs_text_free(&out);
        return status;
    }
    *text = out.data; // from fs_malloc; fscnn_text_free gives it back
    return FS_OK;
}

fscnn_status fscnn_session_plan(const fscnn_session *s, fscnn_plan_format format, const char *device, char **text) {
    if (s == NULL || text == NULL)
        return (fscnn_status)fs_fail(FS_ERR_ARGUMENT, "fscnn_session_plan: session and text must not be NULL");
    return (fscnn_status)print_plan(s->plan, format, device ? device : s->engine->backend->roofline, text);
}

static fs_status describe(const char *weights, const fscnn_engine_options *engine_options,
                          const fscnn_session_options *o, fscnn_plan_format format, const char *device, char **text,
                          fscnn_engine *e, fs_plan *plan) {
    fs_engine_config config;
    FS_TRY(fs_engine_choose(engine_options, true, e, &config));
    fs_weights bound = {0};
    FS_TRY(fs_engine_weights(weights, NULL, 0, &bound, &e->labels));
    const fs_status fits = fs_engine_settle(e, weights, &bound, &config);
    e->model = bound.model;
    fs_weights_free(&bound);
    FS_TRY(fits);
    FS_TRY(build_plan(e, o->width, o->height, device, plan));
    return print_plan(plan, format, device ? device : e->backend->roofline, text);
}

fscnn_status fscnn_plan_describe(const char *weights, const fscnn_engine_options *engine_options,
                                 const fscnn_session_options *session_options, fscnn_plan_format format,
                                 const char *device, char **text) {
    if (weights == NULL || text == NULL)
        return (fscnn_status)fs_fail(FS_ERR_ARGUMENT, "fscnn_plan_describe: weights and text must not be NULL");
    fscnn_session_options o;
    fscnn_session_options_init(&o);
    fs_status status = session_options ? fs_take_struct(session_options, &o, sizeof o, "fscnn_session_options") : FS_OK;
    if (status != FS_OK) return (fscnn_status)status;
    fscnn_engine *e = fs_calloc(1, sizeof *e);
    fs_plan *plan = fs_calloc(1, sizeof *plan);
    if (e && plan)
        status = describe(weights, engine_options, &o, format, device, text, e, plan);
    else
        status = fs_fail(FS_ERR_MEMORY, "out of memory for a plan");
    fs_free(plan);
    fs_free(e);
    return (fscnn_status)status;
}

void fscnn_text_free(char **text) {
    if (text == NULL) return;
    fs_free(*text);
    *text = NULL;
}
