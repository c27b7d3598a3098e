// Checks for plain programs with threads, which go on after a failure; and a small session of one worker.
#ifndef FS_TESTS_API_CHECKS_H
#define FS_TESTS_API_CHECKS_H

#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>

#include "fastscnn/fastscnn.h"

static atomic_int failures; // what main returns is whether there were any

#define CHECK_SAYING(condition, ...)                                                                                   \
    do {                                                                                                               \
        if (!(condition)) {                                                                                            \
            fprintf(stderr, "%s:%d: not so: %s; ", __FILE__, __LINE__, #condition);                                    \
            fprintf(stderr, __VA_ARGS__);                                                                              \
            fprintf(stderr, "\n");                                                                                     \
            atomic_fetch_add(&failures, 1);                                                                            \
        }                                                                                                              \
    } while (0)

#define CHECK(condition) CHECK_SAYING(condition, "%s", fscnn_error())

static inline fscnn_session *small_session(fscnn_engine *engine, int side, int in_flight) {
    fscnn_session_options options;
    fscnn_session_options_init(&options);
    options.width = options.height = side, options.threads = 1, options.in_flight = in_flight, options.tune = -1;
    fscnn_session *session = NULL;
    CHECK(fscnn_session_open(engine, &options, &session) == FSCNN_OK);
    return session;
}

// What a frame is submitted with that gives labels alone.
static inline fscnn_outputs labels_alone(uint8_t *labels) {
    fscnn_outputs outputs;
    fscnn_outputs_init(&outputs);
    outputs.labels = labels;
    return outputs;
}

#endif
