// What queueing a frame costs the calling thread on the CUDA backend, over the simulated runtime: CPU time of
// fscnn_submit, for each kind of memory. The simulation's own bookkeeping is in the figure, the kernels are not: they
// run when somebody waits. FASTSCNN_CUDA_MODULE names the module; exit status 77 without it.
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "fastscnn/fastscnn.h"

enum { SIDE = 64, PIXELS = SIDE * SIDE, FRAMES = 16 };
static const double LIMIT_US = 20;

static int fail(const char *what) {
    fprintf(stderr, "submit: %s: %s\n", what, fscnn_error());
    return 1;
}

static double cpu_us(void) {
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return 1e6 * (double)t.tv_sec + 1e-3 * (double)t.tv_nsec;
}

static void done(void *user, uint64_t ticket, fscnn_status status) {
    (void)ticket, (void)status;
    ++*(int *)user;
}

static int ascending(const void *a, const void *b) {
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

// The median cost of filling all slots, from pixels and labels in `memory`; negative: failed. As many frames as may be
// in flight are queued in one go, since the simulation runs its kernels on this processor when somebody waits, and
// would leave caches cold that a GPU leaves warm. A first round, in which graphs learn their pointers, is not counted.
static double median_cost(fscnn_engine *engine, fscnn_session *session, fscnn_memory memory) {
    void *rgb[FRAMES] = {0}, *labels[FRAMES] = {0};
    static uint8_t pixels[PIXELS * 3];
    for (int i = 0; i < PIXELS * 3; i++) pixels[i] = (uint8_t)(i * 5 + i / 91);
    bool fine = true;
    for (int i = 0; i < FRAMES; i++)
        fine = fine && fscnn_buffer_alloc(engine, memory, sizeof pixels, &rgb[i]) == FSCNN_OK &&
               fscnn_buffer_copy(engine, rgb[i], pixels, sizeof pixels) == FSCNN_OK &&
               fscnn_buffer_alloc(engine, memory, PIXELS, &labels[i]) == FSCNN_OK;
    double cost[FRAMES];
    for (int round = 0; fine && round < 2; round++) {
        uint64_t ticket = 0;
        for (int i = 0; fine && i < FRAMES; i++) {
            fscnn_frame frame;
            fscnn_frame_init(&frame, FSCNN_RGB8, SIDE, SIDE, rgb[i]);
            fscnn_outputs outputs;
            fscnn_outputs_init(&outputs);
            outputs.labels = labels[i];
            frame.memory = outputs.memory = memory;
            const double began = cpu_us();
            fine = fscnn_submit(session, &frame, &outputs, &ticket) == FSCNN_OK;
            cost[i] = cpu_us() - began;
        }
        fine = fine && fscnn_wait(session, ticket, -1) == FSCNN_OK;
    }
    if (!fine) fail("a frame");
    for (int i = 0; i < FRAMES; i++) {
        fscnn_buffer_free(engine, memory, &rgb[i]);
        fscnn_buffer_free(engine, memory, &labels[i]);
    }
    if (!fine) return -1;
    qsort(cost, FRAMES, sizeof cost[0], ascending);
    return cost[FRAMES / 2];
}

int main(void) {
    const char *module = getenv("FASTSCNN_CUDA_MODULE");
    FILE *file = module ? fopen(module, "r") : NULL;
    if (file == NULL) {
        printf("no simulated module at FASTSCNN_CUDA_MODULE: skipped\n");
        return 77;
    }
    fclose(file);
    fscnn_engine *engine = NULL;
    fscnn_session *session = NULL, *telling = NULL;
    int told = 0;
    fscnn_engine_options engine_options;
    fscnn_engine_options_init(&engine_options);
    engine_options.backend = FSCNN_BACKEND_CUDA;
    fscnn_session_options options;
    fscnn_session_options_init(&options);
    options.width = options.height = SIDE, options.in_flight = FRAMES, options.tune = -1;
    if (fscnn_engine_open("random:1", &engine_options, &engine) || fscnn_session_open(engine, &options, &session))
        return fail("opening");
    options.done = done, options.done_user = &told;
    if (fscnn_session_open(engine, &options, &telling)) return fail("opening");
    static const char *const names[] = {"host", "pinned", "device"};
    int status = 0;
    for (int memory = FSCNN_MEMORY_HOST; memory <= FSCNN_MEMORY_DEVICE; memory++) {
        const double cost = median_cost(engine, session, (fscnn_memory)memory);
        const double with_callback = median_cost(engine, telling, (fscnn_memory)memory);
        printf("%s memory: submit takes %.1f us of CPU time, with a callback %.1f us (medians of %d)\n", names[memory],
               cost, with_callback, FRAMES);
        if (cost < 0 || cost >= LIMIT_US || with_callback < 0 || with_callback >= LIMIT_US) status = 1;
    }
    if (told != 2 * FRAMES * (FSCNN_MEMORY_DEVICE + 1)) status = 1;
    fscnn_session_close(&session);
    fscnn_session_close(&telling);
    fscnn_engine_close(&engine);
    if (status) fprintf(stderr, "submit: more than %.0f us, or not every frame\n", LIMIT_US);
    return status;
}
