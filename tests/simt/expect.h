// Expectations for the layer's own tests: counted, told, and gone on from.
#ifndef FS_TESTS_SIMT_EXPECT_H
#define FS_TESTS_SIMT_EXPECT_H

#include <cstdio>
#include <cstring>

#include "tests/simt/simt_run.h"

inline int expect_failures;

#define EXPECT(condition, ...)                                                                                         \
    do {                                                                                                               \
        if (!(condition)) {                                                                                            \
            expect_failures++;                                                                                         \
            printf("[FAIL] %s:%d: %s: ", __FILE__, __LINE__, #condition);                                              \
            printf(__VA_ARGS__);                                                                                       \
            printf("\n");                                                                                              \
        }                                                                                                              \
    } while (0)

// Runs a kernel that must be without fault.
template <typename Params>
void expect_launch(const void *kernel, unsigned blocks, unsigned threads, unsigned shared, const Params &params) {
    const unsigned grid[3] = {blocks, 1, 1};
    const int rc = simt_launch(kernel, grid, threads, shared, &params);
    EXPECT(rc == 0, "%s", simt_report());
}

#endif
