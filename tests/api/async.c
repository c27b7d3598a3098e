// Polling, the completion callback, cancelling, closing with frames in flight: what each promises, on the CPU or, with
// the argument "cuda", on the CUDA backend over the simulated runtime (FASTSCNN_CUDA_MODULE; exit status 77 without
// it). A plain program over the public header, so that the race detector can run it.
#include <errno.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "fastscnn/fastscnn.h"
#include "tests/api/checks.h"

enum { HEIGHT = 64, WIDTH = 64, PIXELS = HEIGHT * WIDTH, PICTURES = 3, MOST = 64, IN_FLIGHT = 16, THREADS = 6 };

static bool cuda;
static fscnn_engine *engine;
static uint8_t pictures[PICTURES][PIXELS * 3];
// What is made of a frame: an overlay takes a phase of its own, in which workers read what others have written.
typedef struct made {
    uint8_t labels[PIXELS], overlay[PIXELS * 4];
} made;
static made want[PICTURES];

// A session with what its callback was told. Frame `ticket` is picture ticket % PICTURES, into made[ticket %
// IN_FLIGHT].
typedef struct subject {
    fscnn_session *session;
    atomic_int told; // frames; the callback counts, with the status written before
    fscnn_status status[MOST];
    made made[IN_FLIGHT];
    sem_t *entered, *go_on; // the callback of the first frame stops there
    bool calls;             // the callback tries what it may not do
} subject;

static bool whole(const subject *s, uint64_t ticket) {
    return memcmp(&s->made[ticket % IN_FLIGHT], &want[ticket % PICTURES], sizeof(made)) == 0;
}

static bool untouched(const subject *s, uint64_t ticket) {
    const uint8_t *bytes = (const uint8_t *)&s->made[ticket % IN_FLIGHT];
    for (size_t i = 0; i < sizeof(made); i++)
        if (bytes[i] != 0xee) return false;
    return true;
}

static void await(sem_t *semaphore) {
    while (sem_wait(semaphore) != 0 && errno == EINTR) {
    }
}

// The caller makes the session's own frame and outputs of them: the struct may go at once.
static fscnn_status submit(subject *s, uint64_t next, uint64_t *ticket) {
    fscnn_frame frame;
    fscnn_frame_init(&frame, FSCNN_RGB8, WIDTH, HEIGHT, pictures[next % PICTURES]);
    fscnn_outputs outputs;
    fscnn_outputs_init(&outputs);
    made *mine = &s->made[next % IN_FLIGHT];
    outputs.labels = mine->labels, outputs.overlay = mine->overlay;
    memset(mine, 0xee, sizeof *mine);
    return fscnn_submit(s->session, &frame, &outputs, ticket);
}

static void try_what_is_forbidden(subject *s) {
    uint8_t labels[PIXELS];
    fscnn_frame frame;
    fscnn_frame_init(&frame, FSCNN_RGB8, WIDTH, HEIGHT, pictures[0]);
    fscnn_outputs outputs;
    fscnn_outputs_init(&outputs);
    outputs.labels = labels;
    uint64_t ticket = 99;
    CHECK(fscnn_submit(s->session, &frame, &outputs, &ticket) == FSCNN_ERR_STATE && ticket == 99);
    CHECK(strstr(fscnn_error(), "fscnn_submit") && strstr(fscnn_error(), "callback"));
    CHECK(fscnn_run(s->session, &frame, &outputs) == FSCNN_ERR_STATE);
    CHECK(fscnn_wait(s->session, 1, -1) == FSCNN_ERR_STATE && strstr(fscnn_error(), "callback"));
    CHECK(fscnn_poll(s->session, 1) == FSCNN_ERR_STATE && strstr(fscnn_error(), "callback"));
    CHECK(fscnn_cancel(s->session) == FSCNN_ERR_STATE && strstr(fscnn_error(), "callback"));
    fscnn_session_info info;
    fscnn_session_info_init(&info);
    CHECK(fscnn_session_get_info(s->session, &info) == FSCNN_OK); // what does not change may be asked for
    fscnn_step_time times[64];
    CHECK(info.steps <= 64 &&
          fscnn_session_profile(s->session, &frame, &outputs, times, info.steps) == FSCNN_ERR_STATE);
    fscnn_session *session = s->session;
    fscnn_session_close(&session);
    CHECK(session == s->session && strstr(fscnn_error(), "fscnn_session_close"));
}

static void done(void *user, uint64_t ticket, fscnn_status status) {
    subject *s = user;
    CHECK(ticket == (uint64_t)s->told + 1); // once each, in order
    s->status[ticket - 1] = status;
    CHECK(status != FSCNN_OK || whole(s, ticket)); // the outputs are there already
    CHECK(status != FSCNN_ERR_CANCELLED || (untouched(s, ticket) && strstr(fscnn_error(), "cancelled")));
    CHECK(status == FSCNN_OK || status == FSCNN_ERR_CANCELLED);
    atomic_fetch_add(&s->told, 1);
    if (ticket == 1 && s->entered) {
        sem_post(s->entered);
        await(s->go_on);
    }
    if (s->calls) try_what_is_forbidden(s);
}

static void open_session(subject *s, int threads, int in_flight, int tune) {
    memset(s, 0, sizeof *s);
    fscnn_session_options options;
    fscnn_session_options_init(&options);
    options.width = WIDTH, options.height = HEIGHT, options.threads = threads;
    options.in_flight = in_flight, options.tune = tune;
    options.done = done, options.done_user = s;
    if (fscnn_session_open(engine, &options, &s->session) != FSCNN_OK) {
        fprintf(stderr, "cannot open a session: %s\n", fscnn_error());
        exit(1);
    }
}

// Frames `first` to `last` by now: finished ones, then cancelled ones; returns how many were cancelled.
static int check_ends(const subject *s, uint64_t first, uint64_t last) {
    int cancelled = 0;
    CHECK((uint64_t)s->told >= last);
    for (uint64_t t = first; t <= last; t++) {
        cancelled += s->status[t - 1] == FSCNN_ERR_CANCELLED;
        CHECK(cancelled == 0 || s->status[t - 1] == FSCNN_ERR_CANCELLED); // none runs after a cancelled one
        CHECK(s->status[t - 1] == FSCNN_OK ? whole(s, t) : untouched(s, t));
    }
    return cancelled;
}

// ---- The callback --------------------------------------------------------------------------------------------------

static void told_of_every_frame(int threads, int in_flight) {
    static subject s;
    open_session(&s, threads, in_flight, -1);
    const uint64_t frames = cuda ? 6 : 30; // the simulation is slow
    uint64_t ticket = 0, waited = 0;
    for (uint64_t next = 1; next <= frames; next++) {
        if (next - waited > (uint64_t)in_flight) {
            waited = next % 3 ? waited + 1 : ticket; // one by one, or several at a time
            CHECK(fscnn_wait(s.session, waited, -1) == FSCNN_OK);
            CHECK((uint64_t)s.told >= waited); // told before the wait returns
        }
        CHECK(submit(&s, next, &ticket) == FSCNN_OK && ticket == next);
    }
    CHECK(fscnn_wait(s.session, ticket, -1) == FSCNN_OK && (uint64_t)s.told == frames);
    fscnn_frame frame;
    fscnn_frame_init(&frame, FSCNN_RGB8, WIDTH, HEIGHT, pictures[(frames + 1) % PICTURES]);
    fscnn_outputs outputs;
    fscnn_outputs_init(&outputs);
    outputs.labels = s.made[(frames + 1) % IN_FLIGHT].labels;
    outputs.overlay = s.made[(frames + 1) % IN_FLIGHT].overlay;
    CHECK(fscnn_run(s.session, &frame, &outputs) == FSCNN_OK && (uint64_t)s.told == frames + 1);
    fscnn_session_close(&s.session);
    CHECK((uint64_t)s.told == frames + 1);
}

// Tuning runs frames of its own, of which nobody is told: tickets count from 1.
static void not_told_of_tuning(void) {
    static subject s;
    open_session(&s, 2, 2, cuda ? -1 : 0);
    CHECK(s.told == 0);
    uint64_t ticket = 0;
    CHECK(submit(&s, 1, &ticket) == FSCNN_OK && fscnn_wait(s.session, ticket, -1) == FSCNN_OK);
    CHECK(s.told == 1 && s.status[0] == FSCNN_OK);
    fscnn_session_close(&s.session);
}

static void not_allowed_inside(void) {
    static subject s;
    open_session(&s, 2, 2, -1);
    s.calls = true;
    uint64_t ticket = 0;
    for (uint64_t next = 1; next <= 4; next++)
        CHECK(submit(&s, next, &ticket) == FSCNN_OK && fscnn_wait(s.session, ticket, -1) == FSCNN_OK);
    CHECK(s.told == 4);
    fscnn_session_close(&s.session);
    CHECK(s.session == NULL);
}

// ---- Polling -------------------------------------------------------------------------------------------------------

static double seconds(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void polling(void) {
    static subject s;
    open_session(&s, 2, 3, -1);
    uint64_t ticket = 0;
    for (uint64_t next = 1; next <= 3; next++) CHECK(submit(&s, next, &ticket) == FSCNN_OK);
    CHECK(fscnn_poll(s.session, 0) == FSCNN_ERR_STATE && fscnn_poll(s.session, 4) == FSCNN_ERR_STATE);
    fscnn_status status;
    for (uint64_t t = 1; t <= 3; t += 2) { // the second is released by the third
        while ((status = fscnn_poll(s.session, t)) == FSCNN_ERR_TIMEOUT) CHECK(strstr(fscnn_error(), "running"));
        CHECK(status == FSCNN_OK && whole(&s, t) && (uint64_t)s.told >= t);
        CHECK(fscnn_poll(s.session, t) == FSCNN_ERR_STATE && strstr(fscnn_error(), "already"));
    }
    CHECK(fscnn_wait(s.session, 2, -1) == FSCNN_ERR_STATE && whole(&s, 2));
    fscnn_session_close(&s.session);
}

// The only worker is held up in the callback of the first frame.
static void polling_never_blocks(void) {
    static subject s;
    sem_t entered, go_on;
    sem_init(&entered, 0, 0);
    sem_init(&go_on, 0, 0);
    open_session(&s, 1, 2, -1);
    s.entered = &entered, s.go_on = &go_on;
    uint64_t ticket = 0;
    for (uint64_t next = 1; next <= 2; next++) CHECK(submit(&s, next, &ticket) == FSCNN_OK);
    await(&entered);
    const double began = seconds();
    for (int i = 0; i < 1000; i++) CHECK(fscnn_poll(s.session, 1 + (uint64_t)i % 2) == FSCNN_ERR_TIMEOUT);
    CHECK(seconds() - began < 10);
    sem_post(&go_on);
    CHECK(fscnn_wait(s.session, 2, -1) == FSCNN_OK && whole(&s, 1) && whole(&s, 2));
    fscnn_session_close(&s.session);
    sem_destroy(&entered);
    sem_destroy(&go_on);
}

// ---- Cancelling ----------------------------------------------------------------------------------------------------

// With one frame begun and four that have not: those are cancelled, and the session goes on.
static void cancelling(void) {
    static subject s;
    sem_t entered, go_on;
    sem_init(&entered, 0, 0);
    sem_init(&go_on, 0, 0);
    open_session(&s, 1, 5, -1);
    CHECK(fscnn_cancel(s.session) == FSCNN_OK); // nothing to do
    if (!cuda) s.entered = &entered, s.go_on = &go_on;
    uint64_t ticket = 0;
    for (uint64_t next = 1; next <= 5; next++) CHECK(submit(&s, next, &ticket) == FSCNN_OK);
    if (!cuda) await(&entered); // the simulated device does nothing before somebody waits or asks
    CHECK(fscnn_cancel(s.session) == FSCNN_OK && fscnn_cancel(s.session) == FSCNN_OK);
    CHECK(submit(&s, 6, &ticket) == FSCNN_ERR_STATE); // they stay in flight until they are waited for
    if (!cuda) sem_post(&go_on);
    CHECK(fscnn_wait(s.session, 1, -1) == FSCNN_OK && whole(&s, 1));
    CHECK(fscnn_wait(s.session, 2, -1) == FSCNN_ERR_CANCELLED && strstr(fscnn_error(), "frame 2 was cancelled"));
    CHECK(fscnn_wait(s.session, 2, -1) == FSCNN_ERR_STATE); // waited for
    fscnn_status status;
    while ((status = fscnn_poll(s.session, 3)) == FSCNN_ERR_TIMEOUT) {
    }
    CHECK(status == FSCNN_ERR_CANCELLED && strstr(fscnn_error(), "frame 3 was cancelled"));
    CHECK(submit(&s, 6, &ticket) == FSCNN_OK && ticket == 6);
    CHECK(fscnn_wait(s.session, 6, -1) == FSCNN_OK); // releases 4 and 5
    CHECK(check_ends(&s, 1, 5) == 4 && whole(&s, 6) && s.status[5] == FSCNN_OK);
    fscnn_session_close(&s.session);
    sem_destroy(&entered);
    sem_destroy(&go_on);
}

// At any moment: what a wait says is what the callback said, and outputs are whole or untouched.
static void cancelling_at_any_moment(int threads) {
    static subject s;
    const uint64_t frames = cuda ? 3 : 8;
    for (int round = 0; round < (cuda ? 2 : 12); round++) {
        open_session(&s, threads, (int)frames, -1);
        uint64_t ticket = 0;
        for (uint64_t next = 1; next <= frames; next++) CHECK(submit(&s, next, &ticket) == FSCNN_OK);
        fscnn_wait(s.session, frames, round * 300000);
        CHECK(fscnn_cancel(s.session) == FSCNN_OK);
        for (uint64_t t = 1; t <= frames; t++) {
            const fscnn_status status = fscnn_wait(s.session, t, -1);
            if (status == FSCNN_ERR_STATE) continue; // all were done in time
            CHECK((uint64_t)s.told >= t && s.status[t - 1] == status);
        }
        check_ends(&s, 1, frames);
        fscnn_session_close(&s.session);
    }
}

static void closing_with_frames_in_flight(int threads) {
    static subject s;
    int cancelled = 0;
    const int in_flight = cuda ? 3 : IN_FLIGHT - 1;
    for (int round = 0; round < (cuda ? 2 : 10); round++) {
        open_session(&s, threads, in_flight, -1);
        uint64_t ticket = 0;
        for (uint64_t next = 1; next <= (uint64_t)in_flight; next++) CHECK(submit(&s, next, &ticket) == FSCNN_OK);
        if (round % 3 == 1) CHECK(fscnn_wait(s.session, 2, -1) == FSCNN_OK);
        fscnn_session_close(&s.session);
        CHECK(s.session == NULL);
        cancelled += check_ends(&s, 1, (uint64_t)in_flight); // all were told of by now
        CHECK(fscnn_wait(s.session, ticket, -1) == FSCNN_ERR_ARGUMENT && fscnn_cancel(s.session) == FSCNN_ERR_ARGUMENT);
        CHECK(fscnn_poll(s.session, ticket) == FSCNN_ERR_ARGUMENT);
    }
    CHECK(cancelled > 0); // so many frames are not done in the time that closing takes to begin
}

// ---- Many sessions -------------------------------------------------------------------------------------------------

static void *one_of_many(void *argument) {
    subject *s = argument;
    for (int round = 0; round < 4; round++) {
        open_session(s, 1 + round % 2, 4, -1);
        uint64_t ticket = 0;
        for (uint64_t next = 1; next <= 4; next++) CHECK(submit(s, next, &ticket) == FSCNN_OK);
        while (fscnn_poll(s->session, 1) == FSCNN_ERR_TIMEOUT) {
        }
        if (round % 2) CHECK(fscnn_cancel(s->session) == FSCNN_OK);
        if (round > 1) fscnn_wait(s->session, 4, -1);
        fscnn_session_close(&s->session);
        check_ends(s, 1, 4);
    }
    return NULL;
}

static void many_sessions(void) {
    pthread_t thread[THREADS];
    static subject subjects[THREADS];
    for (int i = 0; i < THREADS; i++) CHECK(pthread_create(&thread[i], NULL, one_of_many, &subjects[i]) == 0);
    for (int i = 0; i < THREADS; i++) pthread_join(thread[i], NULL);
}

// ---- CUDA: outputs that the device writes ---------------------------------------------------------------------------

// They are finished whatever is cancelled, and the callback comes behind them.
static void device_outputs(fscnn_memory memory) {
    static subject s;
    open_session(&s, 1, 3, -1);
    void *labels = NULL;
    static uint8_t back[PIXELS];
    CHECK(fscnn_buffer_alloc(engine, memory, PIXELS, &labels) == FSCNN_OK);
    fscnn_frame frame;
    fscnn_outputs outputs;
    fscnn_outputs_init(&outputs);
    outputs.labels = labels, outputs.memory = memory;
    for (uint64_t t = 1; t <= 3; t++) { // what the callback looks at is there beforehand
        s.made[t % IN_FLIGHT] = want[t % PICTURES];
        uint64_t ticket = 0;
        fscnn_frame_init(&frame, FSCNN_RGB8, WIDTH, HEIGHT, pictures[t % PICTURES]);
        CHECK(fscnn_submit(s.session, &frame, &outputs, &ticket) == FSCNN_OK);
    }
    CHECK(fscnn_cancel(s.session) == FSCNN_OK);
    CHECK(fscnn_wait(s.session, 3, -1) == FSCNN_OK && s.told == 3);
    CHECK(fscnn_buffer_copy(engine, back, labels, PIXELS) == FSCNN_OK);
    CHECK(memcmp(back, want[3 % PICTURES].labels, PIXELS) == 0);
    check_ends(&s, 1, 3);
    fscnn_session_close(&s.session);
    fscnn_buffer_free(engine, memory, &labels);
}

static void prepare(void) {
    fscnn_engine_options engine_options;
    fscnn_engine_options_init(&engine_options);
    engine_options.backend = cuda ? FSCNN_BACKEND_CUDA : FSCNN_BACKEND_CPU;
    if (fscnn_engine_open("random:3", &engine_options, &engine) != FSCNN_OK) {
        fprintf(stderr, "%s\n", fscnn_error());
        exit(1);
    }
    uint32_t state = 5;
    fscnn_session_options options;
    fscnn_session_options_init(&options);
    options.width = WIDTH, options.height = HEIGHT, options.threads = 1, options.tune = -1;
    fscnn_session *alone = NULL;
    CHECK(fscnn_session_open(engine, &options, &alone) == FSCNN_OK);
    for (int i = 0; i < PICTURES; i++) {
        for (int p = 0; p < PIXELS * 3; p++) {
            state = state * 1664525u + 1013904223u;
            pictures[i][p] = (uint8_t)(p / (3 + i) + (int)(state >> 27));
        }
        fscnn_frame frame;
        fscnn_frame_init(&frame, FSCNN_RGB8, WIDTH, HEIGHT, pictures[i]);
        fscnn_outputs outputs;
        fscnn_outputs_init(&outputs);
        outputs.labels = want[i].labels, outputs.overlay = want[i].overlay;
        CHECK(fscnn_run(alone, &frame, &outputs) == FSCNN_OK);
        CHECK(i == 0 || memcmp(want[i].labels, want[i - 1].labels, PIXELS) != 0); // else nothing is tested
    }
    fscnn_session_close(&alone);
}

int main(int argc, char **argv) {
    cuda = argc > 1 && strcmp(argv[1], "cuda") == 0;
    const char *module = getenv("FASTSCNN_CUDA_MODULE");
    FILE *file = cuda && module ? fopen(module, "r") : NULL;
    if (file) fclose(file);
    if (cuda && file == NULL) {
        printf("no simulated module at FASTSCNN_CUDA_MODULE: skipped\n");
        return 77;
    }
    prepare();
    told_of_every_frame(1, 1);
    if (!cuda) told_of_every_frame(2, 3); // the simulation has no threads
    if (!cuda) told_of_every_frame(4, 7);
    not_told_of_tuning();
    not_allowed_inside();
    polling();
    if (!cuda) polling_never_blocks();
    cancelling();
    if (!cuda) cancelling_at_any_moment(1);
    cancelling_at_any_moment(3);
    closing_with_frames_in_flight(1);
    if (!cuda) closing_with_frames_in_flight(4);
    if (!cuda) many_sessions();
    if (cuda) device_outputs(FSCNN_MEMORY_PINNED);
    if (cuda) device_outputs(FSCNN_MEMORY_DEVICE);
    fscnn_engine_close(&engine);
    if (failures) fprintf(stderr, "%d failures\n", atomic_load(&failures));
    return failures != 0;
}
