// What a profiler sees of the CPU backend: NVTX's domain, names, ranges and marks of every thread, by a recorder.
//
// NVTX looks for a profiler once, when it is first called, so this program runs the part without one and then replaces
// itself by a copy whose environment names the recorder.
#include <dlfcn.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fastscnn/fastscnn.h"
#include "runtime/base/mem.h"
#include "runtime/base/trace.h"
#include "tests/trace/recorder.h"

enum { HEIGHT = 64, WIDTH = 96, PIXELS = HEIGHT * WIDTH, CLASSES = 19, WORKERS = 3, MAX_STEPS = 128 };

static int failures;
static fscnn_engine *engine;
static uint8_t pixels[4 * PIXELS * 3], labels[2][PIXELS];

#define CHECK(condition, ...)                                                                                          \
    do {                                                                                                               \
        if (!(condition)) {                                                                                            \
            fprintf(stderr, "%s:%d: not so: %s: ", __FILE__, __LINE__, #condition);                                    \
            fprintf(stderr, __VA_ARGS__);                                                                              \
            fprintf(stderr, "\n");                                                                                     \
            failures++;                                                                                                \
        }                                                                                                              \
    } while (0)

static fscnn_session_options options(int tune) {
    fscnn_session_options o;
    fscnn_session_options_init(&o);
    o.width = WIDTH, o.height = HEIGHT, o.threads = WORKERS, o.in_flight = 2, o.tune = tune;
    return o;
}

static fscnn_session *open_session(int tune) {
    const fscnn_session_options o = options(tune);
    fscnn_session *session = NULL;
    if (fscnn_session_open(engine, &o, &session) != FSCNN_OK) {
        fprintf(stderr, "cannot open a session: %s\n", fscnn_error());
        exit(1);
    }
    return session;
}

static fscnn_status submit(fscnn_session *session, int i, uint64_t *ticket) {
    fscnn_frame frame;
    fscnn_frame_init(&frame, FSCNN_RGB8, WIDTH, HEIGHT, pixels);
    fscnn_outputs outputs;
    fscnn_outputs_init(&outputs);
    outputs.labels = labels[i];
    return fscnn_submit(session, &frame, &outputs, ticket);
}

static void run(fscnn_session *session) {
    uint64_t ticket;
    const fscnn_status status = submit(session, 0, &ticket);
    CHECK(status == FSCNN_OK && fscnn_wait(session, ticket, -1) == FSCNN_OK, "%s", fscnn_error());
}

// ---- Without a profiler ----

static void without_profiler(void) {
    fscnn_session *session = open_session(0);
    CHECK(!fs_trace_active(), "a profiler though none was named");
    run(session);
    CHECK(fs_trace_register("x") == 0, "a name though nobody takes it");
    fscnn_session_close(&session);
}

#ifdef FS_RECORDER

static uint8_t confidence[PIXELS];
static float logits[PIXELS * CLASSES];
static recorder_count_fn events;
static recorder_at_fn event_at;

// ---- Reading the record; sessions are closed first, so that their workers are at rest ----

static bool is(const recorder_event *e, recorder_kind kind, const char *name, uint64_t payload) {
    return e->kind == kind && e->name && strcmp(e->name, name) == 0 && e->payload == payload;
}

// Events of one thread from `first` on; none are lost.
static int of_thread(int first, int thread, const recorder_event *out[], int most) {
    int n = 0;
    for (int i = first; i < events(); i++)
        if (event_at(i)->thread == thread && n < most) out[n++] = event_at(i);
    return n;
}

static int last_thread(void) {
    int last = 0;
    for (int i = 0; i < events(); i++)
        if (event_at(i)->thread > last) last = event_at(i)->thread;
    return last;
}

static int count(int first, recorder_kind kind, const char *name) {
    int n = 0;
    for (int i = first; i < events(); i++)
        n += event_at(i)->kind == kind && event_at(i)->name && strcmp(event_at(i)->name, name) == 0;
    return n;
}

// On every thread: ranges close in the order of a stack, all have names of our domain, none stays open.
static void expect_balanced(int first, const char *what, int number) {
    enum { DEPTH = 8 };
    for (int thread = 1; thread <= last_thread(); thread++) {
        const recorder_event *open[DEPTH];
        int depth = 0;
        for (int i = first; i < events(); i++) {
            const recorder_event *e = event_at(i);
            if (e->thread != thread || (e->kind != RECORDER_PUSH && e->kind != RECORDER_POP)) continue;
            CHECK(e->name && e->domain && strcmp(e->domain, "fastscnn") == 0, "%s %d: a range of nobody", what, number);
            if (e->kind == RECORDER_PUSH) {
                CHECK(e->depth == depth && depth < DEPTH, "%s %d: '%s' at depth %d", what, number, e->name, e->depth);
                if (depth < DEPTH) open[depth++] = e;
            } else {
                CHECK(depth > 0 && open[depth - 1]->name == e->name, "%s %d: '%s' closes", what, number, e->name);
                depth -= depth > 0;
            }
        }
        CHECK(depth == 0, "%s %d: thread %d has %d open ranges", what, number, thread, depth);
    }
}

// A frame registers nothing: names are known since its session opened.
static void expect_no_names(int first, const char *what) {
    for (int i = first; i < events(); i++)
        CHECK(event_at(i)->kind == RECORDER_PUSH || event_at(i)->kind == RECORDER_POP ||
                  event_at(i)->kind == RECORDER_MARK,
              "%s: '%s' is registered", what, event_at(i)->name);
}

static int step_names(const fscnn_session *session, char names[][64]) {
    fscnn_session_info info;
    fscnn_session_info_init(&info);
    CHECK(fscnn_session_get_info(session, &info) == FSCNN_OK && info.steps <= MAX_STEPS, "%s", fscnn_error());
    for (int i = 0; i < info.steps; i++) {
        fscnn_step_info step;
        fscnn_step_info_init(&step);
        CHECK(fscnn_session_get_step(session, i, NULL, &step) == FSCNN_OK, "%s", fscnn_error());
        snprintf(names[i], 64, "%s", step.name);
    }
    return info.steps;
}

// ---- The tests ----

static void opening(void) {
    enum { MANY = 4096 };
    static const recorder_event *mine[MANY];
    static char names[MAX_STEPS][64];
    const int first = events();
    fscnn_session *session = open_session(0);
    CHECK(fs_trace_active(), "the profiler was not found");
    const int steps = step_names(session, names);
    fscnn_session_info info;
    fscnn_session_info_init(&info);
    CHECK(fscnn_session_get_info(session, &info) == FSCNN_OK, "%s", fscnn_error());
    fscnn_session_close(&session);
    expect_balanced(first, "opening", 0);
    CHECK(event_at(first)->kind == RECORDER_DOMAIN && strcmp(event_at(first)->name, "fastscnn") == 0, "no domain");
    CHECK(count(first, RECORDER_DOMAIN, "fastscnn") == 1, "%d domains", count(first, RECORDER_DOMAIN, "fastscnn"));
    const char *const known[] = {"open", "tune", "submit", "wait", "frame", "input", "bytes in", "bytes out"};
    for (int i = 0; i < 8; i++)
        CHECK(count(first, RECORDER_REGISTER, known[i]) == 1, "%s: %d times", known[i],
              count(first, RECORDER_REGISTER, known[i]));
    for (int i = 0; i < steps; i++)
        CHECK(count(first, RECORDER_REGISTER, names[i]) == 1, "step %s: %d times", names[i],
              count(first, RECORDER_REGISTER, names[i]));

    // The opening thread: open around tune around frames, one submitted and waited for after the other.
    const int n = of_thread(first, event_at(first)->thread, mine, MANY);
    int at = 0;
    while (at < n && mine[at]->kind != RECORDER_PUSH) at++;
    CHECK(at + 4 <= n && is(mine[at], RECORDER_PUSH, "open", info.arena_bytes) && mine[at]->depth == 0, "no open");
    CHECK(strcmp(mine[at + 1]->name, "tune") == 0 && mine[at + 1]->depth == 1 && mine[at + 1]->payload > 0, "no tune");
    CHECK(is(mine[n - 1], RECORDER_POP, "open", info.arena_bytes), "opening does not end");
    CHECK(mine[n - 2]->kind == RECORDER_POP && strcmp(mine[n - 2]->name, "tune") == 0, "tuning does not end");
    CHECK((n - at - 4) % 6 == 0 && n - at > 4, "%d events of tuning", n - at - 4);
    for (int i = at + 2, frame = 1; i + 6 < n; i += 6, frame++)
        CHECK(is(mine[i], RECORDER_PUSH, "submit", (uint64_t)frame) && mine[i]->depth == 2 &&
                  is(mine[i + 5], RECORDER_POP, "wait", (uint64_t)frame),
              "frame %d of tuning", frame);

    // A second session takes the domain that is there; left untimed it does not tune.
    const int second = events();
    session = open_session(-1);
    fscnn_session_close(&session);
    CHECK(count(second, RECORDER_DOMAIN, "fastscnn") == 0, "a second domain");
    CHECK(count(second, RECORDER_PUSH, "open") == 1 && count(second, RECORDER_PUSH, "tune") == 0, "untimed opening");
}

// One worker's frame: the input where it is converted, then every step in the plan's order, each at least once.
static int expect_frame(const recorder_event *const e[], int n, uint64_t number, bool input, int steps,
                        char names[][64]) {
    int at = 0;
    CHECK(n > 2 && is(e[0], RECORDER_PUSH, "frame", number) && e[0]->depth == 0, "frame %d does not begin",
          (int)number);
    at++;
    if (input) {
        CHECK(at + 1 < n && is(e[at], RECORDER_PUSH, "input", number) && is(e[at + 1], RECORDER_POP, "input", number),
              "frame %d: no input", (int)number);
        at += 2;
    }
    for (int step = 0; step < steps; step++) {
        int times = 0;
        for (; at + 1 < n && is(e[at], RECORDER_PUSH, names[step], number); at += 2, times++)
            CHECK(e[at]->depth == 1 && is(e[at + 1], RECORDER_POP, names[step], number), "'%s' on level %d",
                  names[step], e[at]->depth);
        CHECK(times > 0, "frame %d: no step '%s' but '%s'", (int)number, names[step], at < n ? e[at]->name : "nothing");
    }
    CHECK(at < n && is(e[at], RECORDER_POP, "frame", number), "frame %d does not end", (int)number);
    return at + 1;
}

static int expect_submit(const recorder_event *const e[], int n, uint64_t number, size_t in, size_t out) {
    CHECK(n >= 4 && is(e[0], RECORDER_PUSH, "submit", number) && e[0]->depth == 0 &&
              is(e[1], RECORDER_MARK, "bytes in", in) && is(e[2], RECORDER_MARK, "bytes out", out) &&
              e[1]->depth == 1 && is(e[3], RECORDER_POP, "submit", number),
          "submit %d", (int)number);
    return 4;
}

static int expect_wait(const recorder_event *const e[], int n, uint64_t number) {
    CHECK(n >= 2 && is(e[0], RECORDER_PUSH, "wait", number) && is(e[1], RECORDER_POP, "wait", number), "wait %d",
          (int)number);
    return 2;
}

// Frames in flight, then one in NV12 of another size with all outputs; refused calls leave no trace.
static void frames(bool tuned) {
    enum { MANY = 2048, ODD_W = 131, ODD_H = 77 };
    static const recorder_event *e[MANY];
    static char names[MAX_STEPS][64];
    const int began = events(), threads = last_thread();
    fscnn_session *session = open_session(tuned ? 0 : -1);
    const int steps = step_names(session, names), first = events();
    uint64_t ticket[3] = {0};
    for (int i = 0; i < 2; i++) CHECK(submit(session, i, &ticket[i]) == FSCNN_OK, "%s", fscnn_error());
    CHECK(submit(session, 0, &ticket[2]) == FSCNN_ERR_STATE, "a third frame of two");
    CHECK(fscnn_wait(session, 9, -1) == FSCNN_ERR_STATE, "a wait for a frame of the future");
    CHECK(fscnn_wait(session, ticket[0], -1) == FSCNN_OK, "%s", fscnn_error());
    CHECK(fscnn_wait(session, ticket[1], -1) == FSCNN_OK, "%s", fscnn_error());
    CHECK(fscnn_wait(session, ticket[1], -1) == FSCNN_ERR_STATE, "a second wait");
    fscnn_frame frame;
    fscnn_frame_init(&frame, FSCNN_NV12, ODD_W, ODD_H, pixels);
    frame.plane[1] = pixels + ODD_W * ODD_H;
    fscnn_outputs outputs;
    fscnn_outputs_init(&outputs);
    outputs.labels = labels[0], outputs.logits = logits, outputs.confidence = confidence;
    CHECK(fscnn_submit(session, &frame, &outputs, &ticket[2]) == FSCNN_OK, "%s", fscnn_error());
    CHECK(fscnn_wait(session, ticket[2], -1) == FSCNN_OK, "%s", fscnn_error());
    fscnn_session_close(&session);
    expect_balanced(began, "frames", tuned);
    expect_no_names(first, "frames");

    const size_t nv12 = (size_t)ODD_W * ODD_H + (size_t)(ODD_W + 1) / 2 * 2 * ((ODD_H + 1) / 2);
    int n = of_thread(first, event_at(first)->thread, e, MANY), at = 0;
    at += expect_submit(e + at, n - at, 1, PIXELS * 3, PIXELS);
    at += expect_submit(e + at, n - at, 2, PIXELS * 3, PIXELS);
    for (uint64_t i = 1; i <= 2; i++) at += expect_wait(e + at, n - at, i);
    at += expect_submit(e + at, n - at, 3, nv12, (size_t)PIXELS * (2 + CLASSES * sizeof(float)));
    at += expect_wait(e + at, n - at, 3);
    CHECK(at == n, "%d more events of the caller", n - at);

    int workers = 0;
    for (int thread = 1; thread <= last_thread(); thread++) {
        n = of_thread(first, thread, e, MANY);
        if (n == 0 || thread == event_at(first)->thread) continue;
        CHECK(thread > threads, "thread %d is of an older session", thread);
        workers++;
        at = tuned && e[0]->kind == RECORDER_POP; // a worker may leave the last frame of tuning late
        for (uint64_t i = 1; i <= 3; i++) at += expect_frame(e + at, n - at, i, i == 3, steps, names);
        CHECK(at == n, "worker %d: %d more events", thread, n - at);
    }
    CHECK(workers == WORKERS, "%d workers", workers);
}

// Whichever allocation fails while a session opens, its ranges close. A wait that runs out of time is a range too.
static void failing(void) {
    int failed = 0;
    for (uint64_t n = 1; n < 200; n++) {
        const int first = events();
        const fscnn_session_options o = options(0);
        fscnn_session *session = NULL;
        fs_mem_fail_at(n, false);
        const fscnn_status status = fscnn_session_open(engine, &o, &session);
        const bool fired = fs_mem_fault_fired();
        fs_mem_fail_at(0, false);
        fscnn_session_close(&session);
        expect_balanced(first, "failing allocation", (int)n);
        failed += status != FSCNN_OK;
        if (!fired) break;
    }
    CHECK(failed >= 5, "%d sessions failed to open", failed);

    fscnn_session *session = open_session(-1);
    const int first = events();
    uint64_t ticket = 0;
    CHECK(submit(session, 0, &ticket) == FSCNN_OK, "%s", fscnn_error());
    while (fscnn_wait(session, ticket, 0) == FSCNN_ERR_TIMEOUT) continue;
    fscnn_session_close(&session);
    expect_balanced(first, "polling", 0);
    CHECK(count(first, RECORDER_PUSH, "wait") >= 1, "no wait");
}

static void *use_session(void *argument) {
    fscnn_session *session = argument;
    for (int i = 0; i < 5; i++) {
        fscnn_frame frame;
        fscnn_frame_init(&frame, FSCNN_GRAY8, WIDTH, HEIGHT, pixels);
        uint8_t out[PIXELS];
        fscnn_outputs outputs;
        fscnn_outputs_init(&outputs);
        outputs.labels = out;
        if (fscnn_run(session, &frame, &outputs) != FSCNN_OK) return session;
    }
    return NULL;
}

// Two callers with a session each: every thread's ranges stay its own.
static void two_callers(void) {
    fscnn_session *session[2] = {open_session(-1), open_session(-1)};
    const int first = events();
    pthread_t thread[2];
    for (int i = 0; i < 2; i++) CHECK(pthread_create(&thread[i], NULL, use_session, session[i]) == 0, "no thread");
    for (int i = 0; i < 2; i++) {
        void *failed;
        pthread_join(thread[i], &failed);
        CHECK(failed == NULL, "a frame of caller %d failed", i);
        fscnn_session_close(&session[i]);
    }
    expect_balanced(first, "two callers", 0);
    expect_no_names(first, "two callers");
    CHECK(count(first, RECORDER_PUSH, "submit") == 10, "%d submits", count(first, RECORDER_PUSH, "submit"));
    CHECK(count(first, RECORDER_PUSH, "frame") == 10 * WORKERS, "%d frames", count(first, RECORDER_PUSH, "frame"));
}

static bool find_recorder(void) {
    void *recorder = dlopen(FS_RECORDER, RTLD_NOW);
    void *const symbols[2] = {recorder ? dlsym(recorder, RECORDER_COUNT) : NULL,
                              recorder ? dlsym(recorder, RECORDER_AT) : NULL};
    memcpy(&events, &symbols[0], sizeof events);
    memcpy(&event_at, &symbols[1], sizeof event_at);
    if (events == NULL || event_at == NULL) fprintf(stderr, "%s: %s\n", FS_RECORDER, dlerror());
    return events && event_at;
}

static int recorded_part(void) {
    if (!find_recorder()) return 1;
    opening();
    for (int tuned = 0; tuned < 2; tuned++) frames(tuned);
    failing();
    two_callers();
    CHECK(events() < RECORDER_MOST, "the record is full");
    return 0;
}

#endif

int main(int argc, char **argv) {
    (void)argc, (void)argv;
#ifdef FS_RECORDER
    const char *profiler = getenv("NVTX_INJECTION64_PATH");
    const bool recorded = profiler && strcmp(profiler, FS_RECORDER) == 0;
    if (!recorded) unsetenv("NVTX_INJECTION64_PATH");
#else
    const bool recorded = false;
#endif
    for (size_t i = 0; i < sizeof pixels; i++) pixels[i] = (uint8_t)(i * 2654435761u >> 13);
    fscnn_engine_options o;
    fscnn_engine_options_init(&o);
    o.backend = FSCNN_BACKEND_CPU;
    if (fscnn_engine_open("random:3", &o, &engine) != FSCNN_OK) {
        fprintf(stderr, "cannot open an engine: %s\n", fscnn_error());
        return 1;
    }
    if (!recorded) {
        without_profiler();
        fscnn_engine_close(&engine);
#ifdef FS_RECORDER
        if (failures) return 1;
        setenv("NVTX_INJECTION64_PATH", FS_RECORDER, 1);
        execv("/proc/self/exe", argv);
        return 1;
#else
        fprintf(stderr, "skipped: this build found no header of NVTX, so its ranges were left out\n");
        return failures ? 1 : 77;
#endif
    }
#ifdef FS_RECORDER
    if (recorded_part() != 0) return 1;
#endif
    fscnn_engine_close(&engine);
    if (failures) return 1;
    printf("ranges of the CPU backend: fine\n");
    return 0;
}
