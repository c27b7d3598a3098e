// Weights are shared: sessions of one engine, opened one after the other and from many threads at once, cost no weights
// but the first time. Measured by the library's allocator. A plain program, so that the race detector can run it.
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "fastscnn/fastscnn.h"
#include "runtime/base/mem.h"
#include "tests/api/checks.h"

enum { SIDE = 64, PIXELS = SIDE * SIDE, SESSIONS = 6, FRAMES = 5 };

static fscnn_engine *engine;
static uint8_t pixels[PIXELS * 3], want[PIXELS];
static pthread_barrier_t barrier;

static uint64_t weights_bytes(void) {
    fscnn_engine_info info;
    fscnn_engine_info_init(&info);
    CHECK(fscnn_engine_get_info(engine, &info) == FSCNN_OK);
    return info.weights_bytes;
}

static void run(fscnn_session *session, uint8_t *labels) {
    fscnn_frame frame;
    fscnn_frame_init(&frame, FSCNN_RGB8, SIDE, SIDE, pixels);
    const fscnn_outputs outputs = labels_alone(labels);
    CHECK(fscnn_run(session, &frame, &outputs) == FSCNN_OK);
}

// What a session says that it has: activations and all else.
static size_t said(const fscnn_session *session) {
    fscnn_session_info info;
    fscnn_session_info_init(&info);
    CHECK(fscnn_session_get_info(session, &info) == FSCNN_OK);
    return info.arena_bytes + info.scratch_bytes;
}

static void *one_of_many(void *unused) {
    fscnn_session *session = small_session(engine, SIDE, 0);
    pthread_barrier_wait(&barrier); // all are open: the main thread measures between the two
    pthread_barrier_wait(&barrier);
    for (int i = 0; i < FRAMES; i++) {
        uint8_t labels[PIXELS];
        run(session, labels);
        CHECK_SAYING(memcmp(labels, want, PIXELS) == 0, "frame %d", i);
    }
    fscnn_session_close(&session);
    return unused;
}

int main(void) {
    for (int i = 0; i < PIXELS * 3; i++) pixels[i] = (uint8_t)(i * 7 + i / 190);
    fscnn_engine_options options;
    fscnn_engine_options_init(&options);
    options.backend = FSCNN_BACKEND_CPU; // whose memory the allocator counts
    if (fscnn_engine_open("random:6", &options, &engine) != FSCNN_OK) {
        fprintf(stderr, "%s\n", fscnn_error());
        return 1;
    }
    const size_t engine_alone = fs_mem_live_bytes();
    const uint64_t weights = weights_bytes();
    CHECK_SAYING(engine_alone >= weights && weights > 1000000, "%zu bytes with %llu of weights", engine_alone,
                 (unsigned long long)weights);
    fscnn_session *first = small_session(engine, SIDE, 0);
    const size_t with_first = fs_mem_live_bytes();
    fscnn_session *second = small_session(engine, SIDE, 0);
    const size_t with_second = fs_mem_live_bytes(), each = with_second - with_first;
    printf("engine %zu bytes, %llu of them weights; first session %zu, second %zu (it says %zu)\n", engine_alone,
           (unsigned long long)weights, with_first - engine_alone, each, said(second));
    CHECK_SAYING(with_first - engine_alone == each, "the first session took %zu bytes", with_first - engine_alone);
    // Beside what it says a session has its plan and tables: a part of the weights would show.
    CHECK_SAYING(each < said(second) + weights / 4, "%zu bytes, it says %zu", each, said(second));
    uint8_t labels[PIXELS];
    run(first, want);
    fscnn_session_close(&first); // takes nothing away from the second
    run(second, labels);
    CHECK_SAYING(memcmp(labels, want, PIXELS) == 0, "other labels");
    CHECK_SAYING(weights_bytes() == weights, "weights grew to %llu", (unsigned long long)weights_bytes());
    fscnn_session_close(&second);
    CHECK_SAYING(fs_mem_live_bytes() == engine_alone, "%zu bytes stay", fs_mem_live_bytes() - engine_alone);

    pthread_t thread[SESSIONS];
    pthread_barrier_init(&barrier, NULL, SESSIONS + 1);
    for (int i = 0; i < SESSIONS; i++)
        CHECK_SAYING(pthread_create(&thread[i], NULL, one_of_many, NULL) == 0, "no thread");
    pthread_barrier_wait(&barrier);
    const size_t many = fs_mem_live_bytes() - engine_alone;
    CHECK_SAYING(many == SESSIONS * each, "%d sessions at once have %zu bytes, not %zu", SESSIONS, many,
                 SESSIONS * each);
    CHECK_SAYING(weights_bytes() == weights, "weights grew to %llu", (unsigned long long)weights_bytes());
    pthread_barrier_wait(&barrier);
    for (int i = 0; i < SESSIONS; i++) pthread_join(thread[i], NULL);
    pthread_barrier_destroy(&barrier);
    CHECK_SAYING(fs_mem_live_bytes() == engine_alone, "%zu bytes stay", fs_mem_live_bytes() - engine_alone);
    fscnn_engine_close(&engine);
    CHECK_SAYING(fs_mem_live_blocks() == 0, "%zu blocks are left", fs_mem_live_blocks());
    return atomic_load(&failures) != 0;
}
