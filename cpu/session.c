// Makes a plan runnable: steps become phases (chains, pools, head), cuts are tuned, frames run on the team.
#include "cpu/session.h"

#include <math.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "cpu/frame.h"
#include "cpu/onednn.h"
#include "cpu/overlay.h"
#include "cpu/pyramid.h"
#include "cpu/results.h"
#include "runtime/base/mem.h"
#include "runtime/ranges.h"

typedef enum phase_kind {
    PHASE_CHAIN,
    PHASE_ONEDNN,
    PHASE_POOL,
    PHASE_PYRAMID_POOL,
    PHASE_BRANCHES,
    PHASE_LABELS, // from here on: phases that write the caller's memory
    PHASE_ARGMAX,
    PHASE_OVERLAY,
    PHASE_REST // what else the frame asks for: logits, confidence, scores, a late label map, the histogram's sum
} phase_kind;

typedef struct phase {
    phase_kind kind;
    int step;
    int chain;     // CHAIN
    int tensor;    // POOL: input; PYRAMID_POOL: input; ARGMAX: input
    int out, bins; // POOL
} phase;

// A frame begins when the first worker comes to it; until then it can be cancelled.
typedef enum frame_state { FRAME_QUEUED, FRAME_BEGUN, FRAME_CANCELLED } frame_state;

typedef struct job {
    uint64_t number; // its ticket
    fs_frame frame;
    fs_outputs outputs;
    bool direct;              // the first layer reads the frame as it is
    fs_frame_column *columns; // [network width], for frames of column_width
    int column_width;
    fs_results results;
    fs_overlay_mix mix;
    atomic_int state;  // frame_state
    atomic_int failed; // 1 + the step that oneDNN failed in; 0: none
} job;

// The phase that brings in a frame comes before the others, and only where it is needed.
enum { MAX_PHASES = FS_TEAM_PHASES - 3, FRAME_PHASE = FS_TEAM_PHASES - 1, FRAME_ROWS = 16 };
enum { MAX_IN_FLIGHT = 16, CUTS = 5, LABEL_ROWS = 4 };

struct fs_cpu_session {
    const fs_cpu_engine *engine;
    fs_plan *plan;
    fs_ranges ranges;
    fs_team *team;
    int in_flight;
    fs_done_fn done; // NULL: nobody is told
    void *done_user;
    uint64_t submitted, waited; // frames; only the session's one caller touches them
    uint64_t tuned;             // frames that tuning ran: tickets count from 1 behind them
    job jobs[MAX_IN_FLIGHT];
    phase phases[MAX_PHASES];
    int phase_count;
    fs_chain chains[FS_MAX_OPS];
    int chain_count;
    fs_onednn *onednn; // NULL with our own kernels
    fs_head head;
    char *arena;
    uint8_t *net_frame;             // [height][width][channels]: a frame in YUV, floats, or of another size
    fs_frame_column *columns;       // [in_flight][width]
    float *cells, *pooled, *branch; // pyramid: [50][128], [50][128], [50][32]
    uint32_t (*counts)[256];        // [threads]: pixels by class, of the frame that runs
    char *scratch;                  // [threads][scratch_bytes]
    size_t scratch_bytes;
    atomic_bool measure;
    double *clock; // [threads][1 + MAX_PHASES]: when a worker began the last measured frame, and ended each phase
    double began[FS_MAX_OPS], seconds[FS_MAX_OPS]; // by step, of that frame
};

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static phase *add_phase(fs_cpu_session *s, phase_kind kind, int step) {
    phase *p = &s->phases[s->phase_count++];
    memset(p, 0, sizeof *p);
    p->kind = kind, p->step = step;
    return p;
}

static fs_status add_step(fs_cpu_session *s, int index) {
    const fs_step *step = &s->plan->program.step[index];
    const fs_op *first = &s->plan->program.graph.op[step->op[0]];
    if (step->kind == FS_STEP_HEAD) {
        add_phase(s, PHASE_LABELS, index);
        return FS_OK;
    }
    if (step->kind == FS_STEP_OP && first->kind == FS_OP_ARGMAX) {
        add_phase(s, PHASE_ARGMAX, index)->tensor = first->in[0];
        return FS_OK;
    }
    if (step->kind == FS_STEP_OP && first->kind == FS_OP_POOL) {
        phase *p = add_phase(s, PHASE_POOL, index);
        p->tensor = first->in[0], p->out = first->out, p->bins = first->bins;
        return FS_OK;
    }
    if (s->engine->plain.block && fs_onednn_takes(&s->plan->program, step)) {
        add_phase(s, PHASE_ONEDNN, index);
        return FS_OK;
    }
    if (step->kind == FS_STEP_PPM) {
        add_phase(s, PHASE_PYRAMID_POOL, index)->tensor = first->in[0];
        add_phase(s, PHASE_BRANCHES, index);
    }
    bool supported;
    fs_chain *chain = &s->chains[s->chain_count];
    FS_TRY(fs_chain_build(chain, s->engine, s->plan, step, &supported));
    if (!supported) return fs_fail(FS_ERR_INTERNAL, "the CPU backend cannot run step '%s'", step->name);
    chain->pooled = s->pooled;
    add_phase(s, PHASE_CHAIN, index)->chain = s->chain_count++;
    return FS_OK;
}

// The cuts to choose from, most promising first: columns keep the rings in the core's second-level cache, rows give
// every thread a few tasks. More rows a task recompute fewer halo rows, more tasks level out uneven threads.
static void cut(fs_chain *c, int choice, int threads) {
    static const struct {
        int columns, tasks; // column width (0: whole rows); tasks per thread, at least
    } choices[CUTS] = {{64, 2}, {128, 2}, {0, 2}, {64, 4}, {32, 1}};
    const fs_stage *last = &c->stage[c->stages - 1];
    const int width = choices[choice].columns;
    int across = width ? (last->w + width / 2) / width : 1;
    if (across < 1) across = 1;
    c->columns = (last->w + across - 1) / across;
    int down = (choices[choice].tasks * threads + across - 1) / across;
    if (down > last->h) down = last->h;
    c->rows = (last->h + down - 1) / down;
}

static void pool_to_tensor(const fs_cpu_session *s, const phase *p, int group) {
    const fs_graph *g = &s->plan->program.graph;
    const fs_tensor *in = &g->tensor[p->tensor];
    const fs_placement *from = &s->plan->place[p->tensor], *to = &s->plan->place[p->out];
    const bool bf16 = s->engine->precision == FS_BF16;
    float cells[36 * FS_PANEL];
    const char *map = s->arena + from->offset + (size_t)group * FS_PANEL * (bf16 ? 2 : 4);
    fs_pyramid_pool(s->engine->kernels, map, bf16, in->h, in->w, FS_PANEL, from->channel_stride, p->bins, 0, cells);
    for (int i = 0; i < p->bins * p->bins; i++) {
        const size_t at = (size_t)i * (size_t)to->channel_stride + (size_t)group * FS_PANEL;
        if (bf16)
            s->engine->kernels->to_bf16(cells + i * FS_PANEL, (uint16_t *)(s->arena + to->offset) + at, FS_PANEL);
        else
            memcpy((float *)(s->arena + to->offset) + at, cells + i * FS_PANEL, FS_PANEL * sizeof(float));
    }
}

// Bands of grid rows of the outputs of a frame.
static int bands_of(const fs_cpu_session *s) {
    return (s->head.h + LABEL_ROWS - 1) / LABEL_ROWS;
}

// Whether the last phase writes any of them.
static bool has_bands(const fs_outputs *o) {
    return o->logits || o->confidence || o->scores || fs_results_map_late(o);
}

static int phase_tasks(const fs_cpu_session *s, const phase *p, const job *j) {
    // Outputs of a frame that failed stay as they were.
    if (p->kind >= PHASE_LABELS && atomic_load(&j->failed)) return 0;
    switch (p->kind) {
    case PHASE_CHAIN: return fs_chain_tasks(&s->chains[p->chain]);
    case PHASE_ONEDNN: return fs_onednn_bands(s->onednn, p->step);
    case PHASE_POOL:
    case PHASE_PYRAMID_POOL: return s->plan->program.graph.tensor[p->tensor].c / FS_PANEL;
    case PHASE_BRANCHES: return 1;
    case PHASE_LABELS: return fs_results_classes(&j->outputs) ? bands_of(s) : 0;
    case PHASE_ARGMAX:
        if (!fs_results_classes(&j->outputs)) return 0;
        return j->results.head == &s->head ? s->head.height : bands_of(s);
    case PHASE_OVERLAY: return j->outputs.overlay ? bands_of(s) : 0;
    case PHASE_REST: return (has_bands(&j->outputs) ? bands_of(s) : 0) + (j->outputs.histogram != NULL);
    }
    return 0;
}

static void frame_task(const fs_cpu_session *s, const job *j, int task, char *scratch) {
    const fs_graph *g = &s->plan->program.graph;
    const int y0 = task * FRAME_ROWS, y1 = y0 + FRAME_ROWS < g->height ? y0 + FRAME_ROWS : g->height;
    fs_frame_rows(&j->frame, g->model.channels, j->columns, g->width, g->height, y0, y1, s->net_frame, scratch);
}

// The pixels that the first layer reads.
static fs_binding bind_frame(const fs_cpu_session *s, const job *j) {
    static const int orders[6][4] = {[FS_RGB8] = {0, 1, 2, 3},
                                     [FS_BGR8] = {2, 1, 0, 3},
                                     [FS_RGBA8] = {0, 1, 2, 3},
                                     [FS_BGRA8] = {2, 1, 0, 3},
                                     [FS_GRAY8] = {0, 0, 0, 0}};
    static const int pixels[6] = {[FS_RGB8] = 3, [FS_BGR8] = 3, [FS_RGBA8] = 4, [FS_BGRA8] = 4, [FS_GRAY8] = 1};
    const fs_graph *g = &s->plan->program.graph;
    const fs_format format = j->direct ? j->frame.format : FS_RGBA8; // the order of net_frame
    fs_binding b = {.arena = s->arena, .place = s->plan->place};
    b.frame = j->direct ? j->frame.plane[0] : s->net_frame;
    b.frame_pixel = j->direct ? pixels[format] : g->model.channels;
    b.frame_stride = j->direct ? j->frame.stride[0] : (size_t)g->width * (size_t)g->model.channels;
    memcpy(b.frame_order, orders[format], sizeof b.frame_order);
    return b;
}

// Classes of a band of grid rows, or of one row of the full-size logits that there are where the head is not fused, and
// what is made of them.
static void label_task(const fs_cpu_session *s, const phase *p, const job *j, int task, int worker, char *scratch) {
    const fs_kernels *k = s->engine->kernels;
    const fs_outputs *o = &j->outputs;
    const fs_head *head = j->results.head;
    uint32_t *counts = o->histogram ? s->counts[worker] : NULL;
    size_t stride;
    if (p->kind == PHASE_LABELS || head != &s->head) {
        const float *logits = (const float *)(s->arena + s->plan->place[s->plan->program.graph.logits].offset);
        const int cell0 = task * LABEL_ROWS, cell1 = cell0 + LABEL_ROWS < head->h ? cell0 + LABEL_ROWS : head->h;
        uint8_t *classes = fs_results_row(&j->results, o, 0, &stride);
        fs_head_labels(head, k, logits, cell0, cell1, counts, classes, stride, scratch);
        if (!fs_results_map_late(o)) fs_results_finish(&j->results, o, head->first_y[cell0], head->first_y[cell1]);
    } else {
        const fs_placement *place = &s->plan->place[p->tensor];
        const float *in = (const float *)(s->arena + place->offset) +
                          (size_t)task * (size_t)head->width * (size_t)place->channel_stride;
        uint8_t *classes = fs_results_row(&j->results, o, task, &stride);
        k->argmax(in, place->channel_stride, head->width, head->classes, classes);
        if (counts) fs_results_count(classes, head->width, counts);
        if (!fs_results_map_late(o)) fs_results_finish(&j->results, o, task, task + 1);
    }
}

static void overlay_task(const fs_cpu_session *s, const job *j, int task, char *scratch) {
    const fs_graph *g = &s->plan->program.graph;
    const fs_head *head = j->results.head;
    fs_frame picture = j->frame;
    if (head == &s->head && !j->direct)
        picture = (fs_frame){.format = g->model.channels == 4 ? FS_RGBA8 : FS_RGB8,
                             .width = g->width,
                             .height = g->height,
                             .plane = {s->net_frame},
                             .stride = {(size_t)g->width * (size_t)g->model.channels}};
    const int cell0 = task * LABEL_ROWS, cell1 = cell0 + LABEL_ROWS < head->h ? cell0 + LABEL_ROWS : head->h;
    size_t stride;
    const uint8_t *classes = fs_results_row(&j->results, &j->outputs, 0, &stride);
    fs_overlay_rows(&j->mix, &j->outputs, &picture, classes, stride, head->first_y[cell0], head->first_y[cell1],
                    (uint8_t *)scratch);
}

static void rest_task(const fs_cpu_session *s, const job *j, int task, char *scratch) {
    const fs_outputs *o = &j->outputs;
    const fs_head *head = j->results.head;
    if (!has_bands(o) || task == bands_of(s)) {
        fs_results_histogram((const uint32_t(*)[256])s->counts, fs_team_threads(s->team), head->classes, o->histogram);
        return;
    }
    const fs_kernels *k = s->engine->kernels;
    const float *logits = (const float *)(s->arena + s->plan->place[s->plan->program.graph.logits].offset);
    const int cell0 = task * LABEL_ROWS, cell1 = cell0 + LABEL_ROWS < head->h ? cell0 + LABEL_ROWS : head->h;
    if (fs_results_map_late(o)) fs_results_finish(&j->results, o, head->first_y[cell0], head->first_y[cell1]);
    if (o->logits) fs_head_logits(head, k, logits, cell0, cell1, o->logits, scratch);
    const fs_softmax softmax = {o->confidence, o->confidence_stride, o->scores, o->scores_f16};
    if (o->confidence || o->scores) fs_head_softmax(head, k, logits, cell0, cell1, &softmax, scratch);
}

static void run_task(fs_cpu_session *s, const phase *p, job *j, int task, int worker, char *scratch) {
    const fs_kernels *k = s->engine->kernels;
    const fs_graph *g = &s->plan->program.graph;
    switch (p->kind) {
    case PHASE_CHAIN: {
        const fs_binding b = bind_frame(s, j);
        fs_chain_run(&s->chains[p->chain], &b, task, scratch);
        break;
    }
    case PHASE_ONEDNN:
        if (!fs_onednn_run(s->onednn, p->step, task, worker)) atomic_store(&j->failed, 1 + p->step);
        break;
    case PHASE_POOL: pool_to_tensor(s, p, task); break;
    case PHASE_PYRAMID_POOL: {
        static const int bins[4] = {1, 2, 3, 6}, first[4] = {0, 1, 5, 14};
        const fs_tensor *t = &g->tensor[p->tensor];
        const fs_placement *place = &s->plan->place[p->tensor];
        for (int i = 0; i < 4; i++)
            fs_pyramid_pool(k, s->arena + place->offset, s->engine->precision == FS_BF16, t->h, t->w, t->c,
                            place->channel_stride, bins[i], task * FS_PANEL, s->cells + first[i] * 128);
        break;
    }
    case PHASE_BRANCHES: fs_pyramid_branches(s->engine, s->cells, s->branch, s->pooled); break;
    case PHASE_LABELS:
    case PHASE_ARGMAX: label_task(s, p, j, task, worker, scratch); break;
    case PHASE_OVERLAY: overlay_task(s, j, task, scratch); break;
    case PHASE_REST: rest_task(s, j, task, scratch); break;
    }
}

static job *job_of(fs_cpu_session *s, uint64_t frame) {
    return &s->jobs[frame % (uint64_t)s->in_flight];
}

// Whether the frame is to be run: all workers get the same answer.
static bool begin(job *j) {
    int state = FRAME_QUEUED;
    return atomic_compare_exchange_strong(&j->state, &state, FRAME_BEGUN) || state == FRAME_BEGUN;
}

// How a frame that is over has ended.
static fs_status outcome(fs_cpu_session *s, uint64_t frame) {
    const job *j = job_of(s, frame);
    const unsigned long long ticket = frame - s->tuned;
    if (atomic_load(&j->state) == FRAME_CANCELLED)
        return fs_fail(FS_ERR_CANCELLED, "frame %llu was cancelled before it began", ticket);
    const int failed = atomic_load(&j->failed);
    if (failed == 0) return FS_OK;
    return fs_fail(FS_ERR_BACKEND, "oneDNN failed to run '%s' in frame %llu", s->plan->program.step[failed - 1].name,
                   ticket);
}

static void run_phases(fs_cpu_session *s, job *j, int worker, uint64_t ticket) {
    char *scratch = s->scratch + (size_t)worker * s->scratch_bytes;
    const bool measure = atomic_load_explicit(&s->measure, memory_order_relaxed);
    double *clock = s->clock + worker * (1 + MAX_PHASES);
    // Nobody reads them any more: all are behind the last frame's last barrier.
    if (j->outputs.histogram) memset(s->counts[worker], 0, sizeof *s->counts);
    if (!j->direct) {
        const int tasks = (s->plan->program.graph.height + FRAME_ROWS - 1) / FRAME_ROWS;
        int task;
        fs_trace_begin(s->ranges.name[FS_RANGE_INPUT], j->number);
        while ((task = fs_team_take(s->team, ticket, FRAME_PHASE, tasks)) >= 0) frame_task(s, j, task, scratch);
        fs_trace_end();
        fs_team_barrier(s->team, ticket, FRAME_PHASE);
    }
    if (measure) clock[0] = now();
    // A phase without tasks meets at its barrier as well: behind the frame's last one the job is another frame's.
    for (int i = 0; i < s->phase_count; i++) {
        const phase *p = &s->phases[i];
        const int tasks = phase_tasks(s, p, j);
        if (tasks > 0) {
            int task;
            fs_trace_begin(s->ranges.step[p->step], j->number);
            while ((task = fs_team_take(s->team, ticket, i, tasks)) >= 0) run_task(s, p, j, task, worker, scratch);
            fs_trace_end();
        }
        if (measure) clock[1 + i] = now();
        fs_team_barrier(s->team, ticket, i);
    }
}

static void run_frame(void *user, int worker, uint64_t ticket) {
    fs_cpu_session *s = user;
    job *j = job_of(s, ticket);
    if (begin(j)) {
        fs_trace_begin(s->ranges.name[FS_RANGE_FRAME], j->number);
        run_phases(s, j, worker, ticket);
        fs_trace_end();
    } else {
        // Behind the first barrier all have seen the job, which may be another frame's then; behind the second the
        // counters of the next frame are cleared.
        fs_team_barrier(s->team, ticket, 0);
        fs_team_barrier(s->team, ticket, 1);
    }
    // Before the frame counts as completed: who waits for it finds the callback returned.
    if (worker == 0 && s->done) s->done(s->done_user, ticket - s->tuned, outcome(s, ticket));
}

// Between frames.
static void measure(fs_cpu_session *s, bool on) {
    atomic_store(&s->measure, on);
}

// After a measured frame: a phase ends when its last worker does. What a worker sees of its own is no measure: one that
// wakes up late finds the next phase done by the others.
static void collect(fs_cpu_session *s) {
    const int threads = fs_team_threads(s->team);
    double last = s->clock[0];
    for (int w = 1; w < threads; w++) last = fmin(last, s->clock[w * (1 + MAX_PHASES)]);
    memset(s->seconds, 0, sizeof s->seconds);
    for (int i = 0; i < s->phase_count; i++) {
        const int step = s->phases[i].step;
        if (i == 0 || step != s->phases[i - 1].step) s->began[step] = last;
        double end = last;
        for (int w = 0; w < threads; w++) end = fmax(end, s->clock[w * (1 + MAX_PHASES) + 1 + i]);
        s->seconds[step] += end - last;
        last = end;
    }
}

static fs_status allocate_scratch(fs_cpu_session *s) {
    const fs_graph *g = &s->plan->program.graph;
    const size_t frame = fs_frame_scratch(g->width, g->model.channels), head = fs_head_scratch(&s->head);
    size_t most = head > frame ? head : frame;
    for (int i = 0; i < s->chain_count; i++) {
        const size_t bytes = fs_chain_scratch(&s->chains[i]);
        if (bytes > most) most = bytes;
    }
    // An odd number of cache lines between workers, and a page apart.
    most = (most + 4095) / 4096 * 4096 + 64;
    if (most <= s->scratch_bytes) return FS_OK;
    char *grown = fs_calloc((size_t)fs_team_threads(s->team), most);
    if (grown == NULL) return fs_fail(FS_ERR_MEMORY, "out of memory for %zu bytes of scratch a thread", most);
    fs_free(s->scratch);
    s->scratch = grown, s->scratch_bytes = most;
    return FS_OK;
}

static void name_tactics(fs_cpu_session *s) {
    snprintf(s->plan->kernels, FS_NAME, "%s", s->onednn ? "onednn" : "own");
    for (int i = 0; i < s->phase_count; i++) {
        char *name = s->plan->tactic[s->phases[i].step];
        if (s->phases[i].kind == PHASE_CHAIN) {
            const fs_chain *c = &s->chains[s->phases[i].chain];
            snprintf(name, FS_NAME, "%s rows %dx%d", s->engine->kernels->name, c->rows, c->columns);
        } else if (s->phases[i].kind == PHASE_ONEDNN) {
            const int step = s->phases[i].step, bands = fs_onednn_bands(s->onednn, step);
            snprintf(name, FS_NAME, "onednn %s x%d", fs_onednn_implementation(s->onednn, step, bands / 2), bands);
        } else if (name[0] == '\0') {
            snprintf(name, FS_NAME, "%s", s->engine->kernels->name);
        }
    }
}

// Runs whole frames, each with another cut for every chain, and keeps the quickest per chain. All cuts give the same
// bits, so this changes speed only. Stops early when its time is up.
static fs_status tune(fs_cpu_session *s) {
    const double budget = 0.30, start = now();
    const fs_graph *g = &s->plan->program.graph;
    const size_t pixels = (size_t)g->height * (size_t)g->width;
    uint8_t *space = fs_malloc(pixels, (size_t)g->model.channels + 1);
    if (space == NULL) return fs_fail(FS_ERR_MEMORY, "out of memory for tuning");
    uint32_t noise = 1;
    for (size_t i = 0; i < pixels * (size_t)g->model.channels; i++)
        space[i] = (uint8_t)((noise = noise * 1664525u + 1013904223u) >> 24);
    fs_frame frame = {.format = g->model.channels == 4 ? FS_RGBA8 : FS_RGB8,
                      .width = g->width,
                      .height = g->height,
                      .plane = {space},
                      .stride = {(size_t)g->width * (size_t)g->model.channels}};
    fs_outputs outputs = {.labels = space + pixels * (size_t)g->model.channels, .labels_stride = (size_t)g->width};

    double best[FS_MAX_OPS];
    int choice[FS_MAX_OPS] = {0};
    for (int i = 0; i < s->chain_count; i++) best[i] = 1e30;
    measure(s, true);
    fs_status status = FS_OK;
    double longest = 0;
    for (int trial = -1; trial < 3 * CUTS; trial++) { // the first only touches memory
        const int c = trial < 0 ? 0 : trial % CUTS;
        const double began = now();
        if (trial > 0 && began - start + longest > budget) break;
        for (int i = 0; i < s->chain_count; i++) cut(&s->chains[i], c, fs_team_threads(s->team));
        status = allocate_scratch(s);
        if (status != FS_OK) break;
        uint64_t ticket;
        fs_cpu_session_submit(s, &frame, &outputs, &ticket);
        status = fs_cpu_session_wait(s, ticket, -1);
        if (status != FS_OK) break;
        if (trial < 0) continue;
        collect(s);
        for (int p = 0; p < s->phase_count; p++) {
            const phase *tried = &s->phases[p];
            if (tried->kind == PHASE_CHAIN && s->seconds[tried->step] < best[tried->chain])
                best[tried->chain] = s->seconds[tried->step], choice[tried->chain] = c;
        }
        if (now() - began > longest) longest = now() - began;
    }
    measure(s, false);
    s->tuned = s->submitted;
    for (int i = 0; i < s->chain_count; i++) cut(&s->chains[i], choice[i], fs_team_threads(s->team));
    fs_free(space);
    return status;
}

static fs_status open_parts(fs_cpu_session *s, const fs_session_config *config) {
    s->cells = fs_calloc(2 * FS_PYRAMID_CELLS, 128 * sizeof(float));
    s->branch = fs_calloc(FS_PYRAMID_CELLS, 32 * sizeof(float));
    s->arena = fs_calloc(1, s->plan->arena_bytes + 256); // a vector may read past the last pixel
    if (s->cells == NULL || s->branch == NULL || s->arena == NULL)
        return fs_fail(FS_ERR_MEMORY, "out of memory for %zu bytes of activations", s->plan->arena_bytes);
    s->pooled = s->cells + FS_PYRAMID_CELLS * 128;
    const fs_graph *g = &s->plan->program.graph;
    const size_t width = (size_t)g->width, pixels = (size_t)g->height * width;
    s->net_frame = fs_malloc(pixels, (size_t)g->model.channels);
    s->columns = fs_malloc((size_t)s->in_flight * width, sizeof *s->columns);
    if (s->net_frame == NULL || s->columns == NULL)
        return fs_fail(FS_ERR_MEMORY, "out of memory for a frame of %dx%d", g->width, g->height);
    for (int i = 0; i < s->in_flight; i++) s->jobs[i].columns = s->columns + (size_t)i * width;
    FS_TRY(fs_head_init(&s->head, g, s->plan->place[g->logits].channel_stride));
    for (int i = 0; i < s->plan->program.steps; i++) FS_TRY(add_step(s, i));
    add_phase(s, PHASE_OVERLAY, s->plan->program.steps - 1);
    add_phase(s, PHASE_REST, s->plan->program.steps - 1);
    const int threads = config->threads > 0 ? config->threads : fs_team_cores();
    for (int i = 0; i < s->chain_count; i++) cut(&s->chains[i], 0, threads);
    if (s->engine->plain.block) FS_TRY(fs_onednn_open(&s->engine->plain, s->plan, s->arena, threads, &s->onednn));
    s->clock = fs_calloc((size_t)threads, (1 + MAX_PHASES) * sizeof(double));
    s->counts = fs_calloc((size_t)threads, sizeof *s->counts);
    if (s->clock == NULL || s->counts == NULL)
        return fs_fail(FS_ERR_MEMORY, "out of memory for the clocks and counts of %d threads", threads);
    FS_TRY(fs_team_open(threads, run_frame, s, &s->team));
    FS_TRY(allocate_scratch(s));
    if (config->tune >= 0) {
        fs_trace_begin(s->ranges.name[FS_RANGE_TUNE], (uint64_t)s->chain_count);
        const fs_status status = tune(s);
        fs_trace_end();
        FS_TRY(status);
    }
    name_tactics(s);
    s->done = config->done, s->done_user = config->done_user; // from here on: nobody is told of tuning's frames
    return FS_OK;
}

fs_status fs_cpu_session_open(const fs_cpu_engine *engine, fs_plan *plan, const fs_session_config *config,
                              fs_cpu_session **session) {
    fs_cpu_session *s = fs_calloc(1, sizeof *s);
    if (s == NULL) return fs_fail(FS_ERR_MEMORY, "out of memory for a session");
    s->engine = engine, s->plan = plan;
    s->in_flight = config->in_flight;
    fs_ranges_register(&s->ranges, &plan->program);
    fs_trace_begin(s->ranges.name[FS_RANGE_OPEN], plan->arena_bytes);
    const fs_status status = open_parts(s, config);
    fs_trace_end();
    if (status != FS_OK) {
        fs_cpu_session_close(s);
        return status;
    }
    *session = s;
    return FS_OK;
}

void fs_cpu_session_close(fs_cpu_session *s) {
    if (s == NULL) return;
    fs_cpu_session_cancel(s);
    fs_team_close(s->team);
    for (int i = 0; i < s->chain_count; i++) fs_chain_free(&s->chains[i]);
    fs_onednn_close(s->onednn);
    for (int i = 0; i < s->in_flight; i++) fs_results_free(&s->jobs[i].results);
    fs_head_free(&s->head);
    fs_free(s->counts);
    fs_free(s->scratch);
    fs_free(s->columns);
    fs_free(s->net_frame);
    fs_free(s->clock);
    fs_free(s->arena);
    fs_free(s->branch);
    fs_free(s->cells);
    fs_free(s);
}

void fs_cpu_session_memory(const fs_cpu_session *s, fs_session_memory *memory) {
    memory->arena = s->plan->arena_bytes;
    memory->threads = fs_team_threads(s->team);
    const fs_graph *g = &s->plan->program.graph;
    memory->scratch = (s->scratch_bytes + (1 + MAX_PHASES) * sizeof(double)) * (size_t)memory->threads + sizeof *s +
                      fs_onednn_bytes(s->onednn) + (size_t)g->height * (size_t)g->width * (size_t)g->model.channels +
                      (size_t)s->in_flight * (size_t)g->width * sizeof *s->columns +
                      (size_t)memory->threads * sizeof *s->counts;
    for (int i = 0; i < s->in_flight; i++) memory->scratch += fs_results_bytes(&s->jobs[i].results);
}

fs_status fs_cpu_session_submit(fs_cpu_session *s, const fs_frame *frame, const fs_outputs *outputs, uint64_t *ticket) {
    if (s->submitted - s->waited >= (uint64_t)s->in_flight)
        return fs_fail(FS_ERR_STATE, "%d frames are in flight already: wait for one first", s->in_flight);
    const uint64_t next = s->submitted + 1;
    job *j = job_of(s, next);
    FS_TRY(fs_results_prepare(&j->results, &s->head, frame, outputs));
    j->number = next - s->tuned;
    fs_trace_begin(s->ranges.name[FS_RANGE_SUBMIT], j->number);
    fs_ranges_mark(&s->ranges, frame, outputs, &s->plan->program.graph);
    j->frame = *frame, j->outputs = *outputs;
    if (outputs->overlay) fs_overlay_mix_init(&j->mix, outputs);
    const fs_graph *g = &s->plan->program.graph;
    j->direct = fs_frame_is_direct(frame, g->width, g->height);
    if (!j->direct && j->column_width != frame->width) {
        fs_frame_columns(frame->width, g->width, j->columns);
        j->column_width = frame->width;
    }
    atomic_store(&j->failed, 0);
    atomic_store(&j->state, FRAME_QUEUED);
    s->submitted = next;
    *ticket = j->number;
    fs_team_submit(s->team, next);
    fs_trace_end();
    return FS_OK;
}

fs_status fs_cpu_session_wait(fs_cpu_session *s, uint64_t ticket, int64_t timeout_ns) {
    if (ticket == 0 || ticket > s->submitted - s->tuned)
        return fs_fail(FS_ERR_STATE, "no frame has ticket %llu", (unsigned long long)ticket);
    const uint64_t frame = ticket + s->tuned;
    if (frame <= s->waited)
        return fs_fail(FS_ERR_STATE, "ticket %llu was waited for already", (unsigned long long)ticket);
    fs_trace_begin(s->ranges.name[FS_RANGE_WAIT], ticket);
    const bool done = fs_team_wait(s->team, frame, timeout_ns);
    fs_trace_end();
    if (!done) return fs_fail(FS_ERR_TIMEOUT, "frame %llu is still running", (unsigned long long)ticket);
    s->waited = frame;
    return outcome(s, frame);
}

// From the latest to the oldest, so that no frame runs after one that was cancelled.
void fs_cpu_session_cancel(fs_cpu_session *s) {
    for (uint64_t frame = s->submitted; frame > s->waited; frame--) {
        int state = FRAME_QUEUED;
        atomic_compare_exchange_strong(&job_of(s, frame)->state, &state, FRAME_CANCELLED);
    }
}

fs_status fs_cpu_session_profile(fs_cpu_session *s, const fs_frame *frame, const fs_outputs *outputs, fs_span *spans) {
    if (s->submitted != s->waited)
        return fs_fail(FS_ERR_STATE, "%llu frames are in flight: wait for them before one is profiled",
                       (unsigned long long)(s->submitted - s->waited));
    measure(s, true);
    const double start = now();
    uint64_t ticket;
    fs_status status = fs_cpu_session_submit(s, frame, outputs, &ticket);
    if (status == FS_OK) status = fs_cpu_session_wait(s, ticket, -1);
    measure(s, false);
    if (status != FS_OK) return status;
    collect(s);
    for (int i = 0; i < s->plan->program.steps; i++) {
        const double begin = s->began[i] - start;
        spans[i] = (fs_span){begin, begin + s->seconds[i]};
    }
    return FS_OK;
}

fs_status fs_cpu_session_cut(fs_cpu_session *s, int rows, int columns) {
    for (int i = 0; i < s->chain_count; i++) {
        fs_chain *c = &s->chains[i];
        const fs_stage *last = &c->stage[c->stages - 1];
        c->rows = rows < last->h ? rows : last->h;
        c->columns = columns < last->w ? columns : last->w;
    }
    return allocate_scratch(s);
}
