// Running a kernel that was compiled over the SIMT layer, as C sees it: what the simulated CUDA runtime calls.
#ifndef FS_TESTS_SIMT_RUN_H
#define FS_TESTS_SIMT_RUN_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif
#pragma GCC visibility push(default) // the simulated runtime, a shared library, finds them in the program

// Runs all blocks of the grid on the calling thread; launches of several threads take turns. `params` is the kernel's
// struct, copied before the first block. Returns 0, or non-zero when the kernel did what a GPU would not forgive; the
// grid is abandoned there and simt_report has the text, until the next launch.
int simt_launch(const void *entry, const unsigned grid[3], unsigned block, unsigned shared, const void *params);
const char *simt_report(void);
// The same for a kernel that may start before the one in front of it has ended (programmatic dependent launch). A
// thread that leaves without fs_dependency_wait is a fault then; in the race build so is what a thread does before it
// to memory that another kernel may be at work on: any write, and any read of what a kernel has written or
// simt_frame_memory names.
int simt_launch_early(const void *entry, const unsigned grid[3], unsigned block, unsigned shared, const void *params);
// Either, with the blocks in clusters of `cluster` along x, 1 to 8: they run together, and the checks know their
// barrier. Reading a block's shared memory before it may have started, or when it may have left, is a fault, and in the
// race build so is what no barrier orders.
int simt_launch_clusters(const void *entry, const unsigned grid[3], unsigned block, unsigned shared, const void *params,
                         unsigned cluster, int early);

// Size of the kernel's parameter struct; 0 when `entry` is not the entry of a kernel.
size_t simt_params_bytes(const void *entry);

enum { SIMT_ROUND_ROBIN, SIMT_SKEWED };
// Order of execution from the next launch on. Round-robin: every thread goes to its next meeting point in turn, in an
// order drawn anew each round. Skewed: each warp goes as far as it can before the next one moves. The defaults are
// SIMT_SEED and SIMT_SCHEDULE (round-robin, skewed) of the environment.
void simt_configure(uint64_t seed, int schedule);

// Device memory, so that the race build can tell what a kernel may touch. No-ops in the plain build.
void simt_register_memory(void *p, size_t bytes);
void simt_unregister_memory(void *p);
// Registered memory that stands for what an earlier kernel of the frame has written.
void simt_frame_memory(void *p, size_t bytes);

#pragma GCC visibility pop
#ifdef __cplusplus
}
#endif
#endif
