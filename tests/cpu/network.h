// Whole networks for the tests of the CPU backend: any model, precision and kernel table behind the public handles.
#ifndef FS_TESTS_CPU_NETWORK_H
#define FS_TESTS_CPU_NETWORK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "cpu/session.h"
#include "host/engine.h"

// Whether a sanitizer slows this build down.
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define FS_TEST_SANITIZED true
#elif defined(__has_feature)
#define FS_TEST_SANITIZED (__has_feature(address_sanitizer) || __has_feature(thread_sanitizer))
#else
#define FS_TEST_SANITIZED false
#endif

// The kernel texts compiled for 16 lanes of plain C (tier_wide.c): the tiling of AVX-512 and the bf16 dot product run
// on every machine.
extern const fs_kernels fs_kernels_wide;

enum { FS_TEST_TABLES = 8 };
// Every table that this processor runs, then the wide one; their number.
int fs_test_tables(const fs_kernels *tables[FS_TEST_TABLES]);
const fs_kernels *fs_test_table(const char *name); // NULL when this processor cannot run it

// Calibrates on test frames of seeds 7 and 8: all layers that can be int8 are.
void fs_test_calibrate(fs_weights *weights, int height, int width);

// A public engine around `weights` (copied). kernels == NULL: what fscnn_engine_open would take.
fscnn_engine *fs_test_engine(const fs_weights *weights, fs_precision precision, const fs_kernels *kernels,
                             const char *disable_fusion);
fscnn_session *fs_test_session(fscnn_engine *engine, int height, int width, int threads);

// A backend session with its plan, for what the public API does not offer: cuts, memory without reuse.
typedef struct fs_test_run {
    fs_cpu_engine *engine;
    fs_plan *plan;
    fs_cpu_session *session;
} fs_test_run;
fs_test_run fs_test_run_open(const fs_weights *weights, fs_precision precision, const fs_kernels *kernels, int height,
                             int width, int threads, unsigned rewrites_off, bool no_reuse);
void fs_test_run_frame(const fs_test_run *run, const uint8_t *frame, uint8_t *labels, float *logits);
void fs_test_run_close(fs_test_run *run);

// [height][width][channels] of noise over slow waves, by seed.
uint8_t *fs_test_frame(int height, int width, int channels, uint32_t seed);
fs_weights fs_test_weights(fs_variant variant, int classes, int channels, uint64_t seed);
uint32_t fs_test_random(uint32_t *state);
float fs_test_uniform(uint32_t *state, float low, float high);

// How results differ from what is expected.
typedef struct fs_difference {
    double l2;     // relative L2 error of the logits; infinite when one is not a number
    double error;  // largest absolute error of a logit, in standard deviations of the expected logits
    size_t labels; // pixels with another label
    size_t worse;  // of those, how many chose a class that the expected logits put more than `margin` deviations lower
} fs_difference;
// Labels may be NULL on both sides.
fs_difference fs_test_compare(size_t pixels, int classes, const uint8_t *want_labels, const float *want,
                              const uint8_t *labels, const float *logits, double margin);

#endif
