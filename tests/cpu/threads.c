// Threads: many sessions of one engine at once, several frames in flight, sessions opened and closed under one another.
// A plain program, so that the race detector can run it; every result is compared with one computed alone.
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cpu/team.h"
#include "fastscnn/fastscnn.h"
#include "tests/api/checks.h"

enum { HEIGHT = 64, WIDTH = 96, PIXELS = HEIGHT * WIDTH, CLASSES = 19, THREADS = 8, FRAMES = 20, PICTURES = 4 };

static fscnn_engine *engine;
static uint8_t pictures[PICTURES][PIXELS * 3], want[PICTURES][PIXELS];

static fscnn_session *open_session(int threads, int in_flight, int tune) {
    fscnn_session_options options;
    fscnn_session_options_init(&options);
    options.width = WIDTH, options.height = HEIGHT, options.threads = threads;
    options.in_flight = in_flight, options.tune = tune;
    fscnn_session *session = NULL;
    if (fscnn_session_open(engine, &options, &session) != FSCNN_OK) {
        fprintf(stderr, "cannot open a session: %s\n", fscnn_error());
        exit(1);
    }
    return session;
}

static fscnn_frame picture(int i) {
    fscnn_frame frame;
    fscnn_frame_init(&frame, FSCNN_RGB8, WIDTH, HEIGHT, pictures[i]);
    return frame;
}

static fscnn_outputs into(uint8_t *labels) {
    fscnn_outputs outputs;
    fscnn_outputs_init(&outputs);
    outputs.labels = labels;
    return outputs;
}

// A session of its own, frames one by one, twenty pictures long.
static void *run_frames(void *argument) {
    const int first = *(int *)argument;
    fscnn_session *session = open_session(2, 2, -1);
    uint8_t *labels = malloc(PIXELS);
    for (int i = 0; i < FRAMES; i++) {
        const fscnn_frame frame = picture((first + i) % PICTURES);
        const fscnn_outputs outputs = into(labels);
        memset(labels, 0xee, PIXELS);
        CHECK(fscnn_run(session, &frame, &outputs) == FSCNN_OK);
        CHECK(memcmp(labels, want[(first + i) % PICTURES], PIXELS) == 0);
    }
    free(labels);
    fscnn_session_close(&session);
    return NULL;
}

static void many_sessions(void) {
    pthread_t thread[THREADS];
    int number[THREADS];
    for (int i = 0; i < THREADS; i++) {
        number[i] = i;
        CHECK(pthread_create(&thread[i], NULL, run_frames, &number[i]) == 0);
    }
    for (int i = 0; i < THREADS; i++) pthread_join(thread[i], NULL);
}

// Four frames in flight: waited for one by one, polled, or several at a time.
static void frames_in_flight(int threads, int in_flight) {
    static uint8_t labels[16][PIXELS];
    fscnn_session *session = open_session(threads, in_flight, -1);
    uint64_t submitted = 0, waited = 0;
    for (int i = 0; i < 60; i++) {
        const fscnn_frame frame = picture(i % PICTURES);
        const fscnn_outputs outputs = into(labels[i % in_flight]);
        memset(labels[i % in_flight], 0xee, PIXELS);
        CHECK(fscnn_submit(session, &frame, &outputs, &submitted) == FSCNN_OK);
        CHECK(submitted == (uint64_t)i + 1);
        if (submitted - waited < (uint64_t)in_flight) continue;
        uint64_t ticket = waited + 1;
        if (i % 3 == 1) {
            fscnn_status status;
            while ((status = fscnn_wait(session, ticket, 0)) == FSCNN_ERR_TIMEOUT) {
            }
            CHECK(status == FSCNN_OK);
        } else {
            if (i % 3 == 2) ticket = submitted;
            CHECK(fscnn_wait(session, ticket, i % 2 ? -1 : INT64_MAX) == FSCNN_OK);
        }
        for (; waited < ticket; waited++)
            CHECK(memcmp(labels[waited % (uint64_t)in_flight], want[waited % PICTURES], PIXELS) == 0);
    }
    // What has begun is finished by closing, what has not is cancelled: whole labels, then untouched ones.
    fscnn_session_close(&session);
    bool cancelled = false;
    for (; waited < submitted; waited++) {
        const uint8_t *mine = labels[waited % (uint64_t)in_flight];
        cancelled = cancelled || memcmp(mine, want[waited % PICTURES], PIXELS) != 0;
        for (int p = 0; cancelled && p < PIXELS; p++) CHECK(mine[p] == 0xee);
    }
}

// Sessions that come and go, some with a frame still running, some without any.
static void *open_and_close(void *argument) {
    const int number = *(int *)argument;
    uint8_t *labels = malloc(PIXELS);
    for (int i = 0; i < 10; i++) {
        fscnn_session *session = open_session(1 + (number + i) % 3, 1 + i % 3, i == 5 ? 0 : -1);
        const fscnn_frame frame = picture(i % PICTURES);
        const fscnn_outputs outputs = into(labels);
        uint64_t ticket;
        memset(labels, 0xee, PIXELS);
        if (i % 3) CHECK(fscnn_submit(session, &frame, &outputs, &ticket) == FSCNN_OK);
        if (i % 3 == 2) CHECK(fscnn_wait(session, ticket, -1) == FSCNN_OK);
        fscnn_session_close(&session);
        if (i % 3 == 2) CHECK(memcmp(labels, want[i % PICTURES], PIXELS) == 0);
        if (i % 3 == 1) CHECK(labels[0] == 0xee || memcmp(labels, want[i % PICTURES], PIXELS) == 0);
    }
    free(labels);
    return NULL;
}

static void sessions_come_and_go(void) {
    pthread_t thread[THREADS];
    int number[THREADS];
    for (int i = 0; i < THREADS; i++) {
        number[i] = i;
        CHECK(pthread_create(&thread[i], NULL, open_and_close, &number[i]) == 0);
    }
    for (int i = 0; i < THREADS; i++) pthread_join(thread[i], NULL);
}

// Errors and information from many threads: each has its own text.
static void *ask(void *argument) {
    const int number = *(int *)argument;
    for (int i = 0; i < 200; i++) {
        char name[32], text[64];
        snprintf(name, sizeof name, "random:x%d", number);
        fscnn_engine *none = NULL;
        CHECK(fscnn_engine_open(name, NULL, &none) == FSCNN_ERR_ARGUMENT && none == NULL);
        snprintf(text, sizeof text, "'%s'", name);
        CHECK(strstr(fscnn_error(), text) != NULL);
        fscnn_engine_info info;
        fscnn_engine_info_init(&info);
        CHECK(fscnn_engine_get_info(engine, &info) == FSCNN_OK && info.classes == CLASSES);
        CHECK(fscnn_engine_class_name(engine, i % CLASSES) != NULL);
    }
    return NULL;
}

static void questions(void) {
    pthread_t thread[THREADS];
    int number[THREADS];
    for (int i = 0; i < THREADS; i++) {
        number[i] = i;
        CHECK(pthread_create(&thread[i], NULL, ask, &number[i]) == 0);
    }
    for (int i = 0; i < THREADS; i++) pthread_join(thread[i], NULL);
}

// The team alone: every task of every phase exactly once, phases never overlap, frames in order.
enum { TEAM_PHASES = 7, TEAM_FRAMES = 300, TEAM_TASKS = 13 };
static fs_team *team;
static atomic_int taken[TEAM_FRAMES + 1][TEAM_PHASES][TEAM_TASKS];
static int plain[TEAM_PHASES]
                [TEAM_TASKS]; // written in one phase, read by others in the next: a race if they overlapped

static void team_frame(void *user, int worker, uint64_t ticket) {
    (void)worker;
    CHECK(user == (void *)plain);
    for (int phase = 0; phase < TEAM_PHASES; phase++) {
        const int tasks = (int)((ticket + (uint64_t)phase) % (TEAM_TASKS + 1)); // none, too
        int task;
        while ((task = fs_team_take(team, ticket, phase, tasks)) >= 0) {
            atomic_fetch_add(&taken[ticket][phase][task], 1);
            int sum = 0;
            for (int i = 0; i < TEAM_TASKS && phase > 0; i++) sum += plain[phase - 1][i];
            plain[phase][task] = sum + 1;
        }
        fs_team_barrier(team, ticket, phase);
    }
}

static void team_alone(int threads) {
    memset(taken, 0, sizeof taken);
    fs_team *opened = NULL;
    // No worker looks at `team` before the first submit.
    CHECK(fs_team_open(threads, team_frame, plain, &opened) == FS_OK);
    team = opened;
    CHECK(fs_team_threads(team) == threads);
    for (uint64_t ticket = 1; ticket <= TEAM_FRAMES; ticket++) {
        fs_team_submit(team, ticket);
        if (ticket % 4 == 0) CHECK(fs_team_wait(team, ticket - 1, -1));
    }
    CHECK(fs_team_wait(team, TEAM_FRAMES, -1));
    CHECK(fs_team_wait(team, TEAM_FRAMES, 0));
    CHECK(!fs_team_wait(team, TEAM_FRAMES + 1, 0));
    CHECK(!fs_team_wait(team, TEAM_FRAMES + 1, 1000000));
    for (int t = 1; t <= TEAM_FRAMES; t++)
        for (int phase = 0; phase < TEAM_PHASES; phase++)
            for (int task = 0; task < TEAM_TASKS; task++)
                CHECK(taken[t][phase][task] == (task < (t + phase) % (TEAM_TASKS + 1)));
    fs_team_close(team);
    fs_team_close(NULL);
}

int main(void) {
    fscnn_engine_options options;
    fscnn_engine_options_init(&options);
    options.precision = FSCNN_PRECISION_FP32;
    if (fscnn_engine_open("random:4", &options, &engine) != FSCNN_OK) {
        fprintf(stderr, "%s\n", fscnn_error());
        return 1;
    }
    uint32_t state = 77;
    for (int i = 0; i < PICTURES; i++) {
        for (int p = 0; p < PIXELS * 3; p++) {
            state = state * 1664525u + 1013904223u;
            pictures[i][p] = (uint8_t)(p / (3 + i) + (int)(state >> 27));
        }
        fscnn_session *alone = open_session(1, 1, -1);
        const fscnn_frame frame = picture(i);
        const fscnn_outputs outputs = into(want[i]);
        CHECK(fscnn_run(alone, &frame, &outputs) == FSCNN_OK);
        fscnn_session_close(&alone);
        if (i > 0) CHECK(memcmp(want[i], want[i - 1], PIXELS) != 0);
    }
    for (int threads = 1; threads <= 5; threads++) team_alone(threads);
    many_sessions();
    frames_in_flight(2, 4);
    frames_in_flight(3, 1);
    frames_in_flight(1, 16);
    sessions_come_and_go();
    questions();
    fscnn_engine_close(&engine);
    if (atomic_load(&failures)) fprintf(stderr, "%d checks failed\n", atomic_load(&failures));
    return atomic_load(&failures) != 0;
}
