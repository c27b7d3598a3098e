// A long run: 20,000 small frames by four sessions of one engine, each in a thread of its own; neither memory nor file
// descriptors may grow. Then sessions and engines that come and go. A plain program, so that the race detector can run
// it, with fewer frames; there, and under other sanitizers, resident memory says nothing and is not looked at.
#include <dirent.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fastscnn/fastscnn.h"
#include "runtime/base/mem.h"
#include "tests/api/checks.h"

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
enum { SANITIZED = 1, FRAMES = 100, COMINGS = 5 };
#else
enum { SANITIZED = 0, FRAMES = 5000, COMINGS = 100 };
#endif
enum { SIDE = 64, PIXELS = SIDE * SIDE, LARGE = 96, SESSIONS = 4, PICTURES = 6, IN_FLIGHT = 2 };

static fscnn_engine *engine;
// The last picture is a large one, which the session resizes.
static uint8_t pictures[PICTURES][LARGE * LARGE * 3], want[PICTURES][PIXELS];
static pthread_barrier_t barrier;

// What this process holds at one moment.
typedef struct usage {
    long resident, descriptors, threads; // resident in bytes
    size_t blocks;                       // of the library's allocator
} usage;

static long entries(const char *path) {
    DIR *folder = opendir(path);
    long n = 0;
    if (folder == NULL) return -1;
    while (readdir(folder)) n++;
    closedir(folder);
    return n;
}

static usage now(void) {
    usage u = {
        .descriptors = entries("/proc/self/fd"), .threads = entries("/proc/self/task"), .blocks = fs_mem_live_blocks()};
    FILE *file = fopen("/proc/self/statm", "r");
    long total;
    if (file == NULL || fscanf(file, "%ld %ld", &total, &u.resident) != 2) u.resident = -1;
    if (file) fclose(file);
    u.resident *= sysconf(_SC_PAGESIZE);
    return u;
}

static fscnn_frame picture(int i) {
    const int side = i == PICTURES - 1 ? LARGE : SIDE;
    fscnn_frame frame;
    fscnn_frame_init(&frame, FSCNN_RGB8, side, side, pictures[i]);
    return frame;
}

// Frames `from` to `to` of a session, two in flight; every label is looked at.
static void frames(fscnn_session *session, int from, int to) {
    static _Thread_local uint8_t labels[IN_FLIGHT][PIXELS];
    uint64_t tickets[IN_FLIGHT];
    for (int i = from; i < to + IN_FLIGHT; i++) {
        uint8_t *mine = labels[i % IN_FLIGHT];
        if (i >= from + IN_FLIGHT) {
            CHECK(fscnn_wait(session, tickets[i % IN_FLIGHT], -1) == FSCNN_OK);
            CHECK_SAYING(memcmp(mine, want[(i - IN_FLIGHT) % PICTURES], PIXELS) == 0, "frame %d", i - IN_FLIGHT);
        }
        if (i >= to) continue;
        const fscnn_frame frame = picture(i % PICTURES);
        const fscnn_outputs outputs = labels_alone(mine);
        memset(mine, 0xee, PIXELS);
        CHECK(fscnn_submit(session, &frame, &outputs, &tickets[i % IN_FLIGHT]) == FSCNN_OK);
    }
}

static usage early, late;

// A tenth of the frames, a look at the process while all sessions are idle, the rest, another look.
static void *soak(void *argument) {
    const int first = *(int *)argument;
    fscnn_session *session = small_session(engine, SIDE, IN_FLIGHT);
    if (session) frames(session, first, first + FRAMES / 10);
    if (pthread_barrier_wait(&barrier) == PTHREAD_BARRIER_SERIAL_THREAD) early = now();
    pthread_barrier_wait(&barrier);
    if (session) frames(session, first + FRAMES / 10, first + FRAMES);
    if (pthread_barrier_wait(&barrier) == PTHREAD_BARRIER_SERIAL_THREAD) late = now();
    pthread_barrier_wait(&barrier);
    fscnn_session_close(&session);
    return NULL;
}

// Memory may wobble by what the C library keeps for its threads, but not by a byte a frame.
static void compare(const char *what, const usage *before, const usage *after, long slack) {
    printf("%s: resident %ld -> %ld KiB, descriptors %ld -> %ld, threads %ld -> %ld, blocks %zu -> %zu\n", what,
           before->resident / 1024, after->resident / 1024, before->descriptors, after->descriptors, before->threads,
           after->threads, before->blocks, after->blocks);
    CHECK_SAYING(before->descriptors > 0 && before->descriptors == after->descriptors, "%s: descriptors", what);
    CHECK_SAYING(before->threads == after->threads, "%s: threads", what);
    CHECK_SAYING(before->blocks == after->blocks, "%s: blocks", what);
    if (!SANITIZED) {
        CHECK_SAYING(before->resident > 0, "%s: no /proc", what);
        CHECK_SAYING(after->resident - before->resident <= slack, "%s: grown by %ld bytes", what,
                     after->resident - before->resident);
    }
}

static void four_sessions(void) {
    pthread_t thread[SESSIONS];
    int first[SESSIONS];
    pthread_barrier_init(&barrier, NULL, SESSIONS);
    for (int i = 0; i < SESSIONS; i++) {
        first[i] = i;
        CHECK_SAYING(pthread_create(&thread[i], NULL, soak, &first[i]) == 0, "no thread");
    }
    for (int i = 0; i < SESSIONS; i++) pthread_join(thread[i], NULL);
    pthread_barrier_destroy(&barrier);
    compare("frames", &early, &late, 256 * 1024);
}

static void come_and_go(int times) {
    for (int i = 0; i < times; i++) {
        fscnn_engine *other = NULL;
        if (i % 10 == 0) CHECK(fscnn_engine_open("random:4", NULL, &other) == FSCNN_OK);
        fscnn_session *session = small_session(other ? other : engine, SIDE, IN_FLIGHT);
        fscnn_engine_close(&other); // lives as long as the session
        const fscnn_frame frame = picture(i % PICTURES);
        uint8_t labels[PIXELS];
        const fscnn_outputs outputs = labels_alone(labels);
        uint64_t ticket;
        CHECK(fscnn_submit(session, &frame, &outputs, &ticket) == FSCNN_OK);
        fscnn_session_close(&session); // with a frame in flight
    }
}

int main(void) {
    if (fscnn_engine_open("random:4", NULL, &engine) != FSCNN_OK) {
        fprintf(stderr, "%s\n", fscnn_error());
        return 1;
    }
    uint32_t state = 7;
    fscnn_session *alone = small_session(engine, SIDE, IN_FLIGHT);
    for (int i = 0; i < PICTURES; i++) {
        for (int p = 0; p < LARGE * LARGE * 3; p++) {
            state = state * 1664525u + 1013904223u;
            pictures[i][p] = (uint8_t)(p / (3 + i) + (int)(state >> 27));
        }
        const fscnn_frame frame = picture(i);
        const fscnn_outputs outputs = labels_alone(want[i]);
        CHECK(fscnn_run(alone, &frame, &outputs) == FSCNN_OK);
        if (i > 0)
            CHECK_SAYING(memcmp(want[i], want[i - 1], PIXELS) != 0, "pictures with the same labels test nothing");
    }
    fscnn_session_close(&alone);
    four_sessions();
    come_and_go(COMINGS);
    const usage before = now();
    come_and_go(COMINGS);
    const usage after = now();
    compare("sessions", &before, &after, 1024 * 1024);
    fscnn_engine_close(&engine);
    CHECK_SAYING(fs_mem_live_blocks() == 0, "%zu blocks are left", fs_mem_live_blocks());
    return atomic_load(&failures) != 0;
}
