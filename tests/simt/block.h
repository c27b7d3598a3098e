// The block that runs: its threads, where each of them waits, and how a fault ends the run. Internal to the layer.
// The blocks of a cluster run together and take turns at being `block`.
#ifndef FS_TESTS_SIMT_BLOCK_H
#define FS_TESTS_SIMT_BLOCK_H

#include <cstdint>

#include "tests/simt/fiber.h"
#include "tests/simt/sync.h"

namespace simt {

constexpr int lanes = 32, threads_most = 1024, warps_most = threads_most / lanes;
constexpr int cluster_most = 8; // blocks of a cluster, what every GPU that has clusters can run

enum class State : uint8_t { ready, at_barrier, in_collective, in_cluster, done };

struct Thread {
    Fiber fiber;
    int index; // in the block
    int slot;  // in the cluster
    State state;
    bool waited;         // for the kernels in front of this one
    Site site;           // of the barrier or collective where it waits
    int arrivals, waits; // at cluster barriers
    // In a collective:
    const Collective *collective;
    uint32_t mask;
    void *lane;
};

struct Block {
    int rank; // in the cluster
    Thread *threads;
    int thread_count, warp_count, done;
    int at_barrier;
    Count barrier_sum, barrier_result;
    uint32_t waiting[warps_most]; // lanes of the warp that wait in a collective
    Thread *current;              // null outside of a kernel
    bool failed;
    bool early; // the kernel may have started before the one in front of it ended
};
extern Block block;

struct Settings {
    uint64_t seed;
    int schedule; // SIMT_ROUND_ROBIN, SIMT_SKEWED
};
Settings &settings();

inline int warp_of(const Thread &thread) {
    return thread.index / lanes;
}
inline int lane_of(const Thread &thread) {
    return thread.index % lanes;
}
inline Thread *thread_at(int warp, int lane) {
    const int index = warp * lanes + lane;
    return index < block.thread_count ? &block.threads[index] : nullptr;
}

// Leaves the current thread waiting in `state` at `site` until another makes it ready.
void wait_as(State state, Site site);

// What nobody can go on from, told with the block and thread that run. From a kernel's thread it does not return.
__attribute__((format(printf, 1, 2))) void fault(const char *format, ...);
// Before a launch.
void fault_none();
// Nothing can move: why. Threads that left early, lanes that are missing.
void fault_deadlock();

// Forgets the asynchronous copies of the block before.
void copies_start();

} // namespace simt

#endif
