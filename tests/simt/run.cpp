// Launches: every block (or cluster of blocks) of the grid in turn, its threads in an order that the seed draws.
#include "tests/simt/simt_run.h"

#include <cstdlib>
#include <cstring>
#include <mutex>
#include <numeric>

#include <vector_types.h>

#include "tests/simt/arena.h"
#include "tests/simt/block.h"
#include "tests/simt/cluster.h"
#include "tests/simt/entry.h"
#include "tests/simt/instructions.h"
#include "tests/simt/observe.h"
#include "tests/simt/overflow.h"
#include "tests/simt/place.h"

uint3 threadIdx, blockIdx;
dim3 blockDim, gridDim;

namespace simt {

Block block;

static Thread pool[fibers_most]; // threads of the blocks that run

Settings &settings() {
    static Settings the = [] {
        const char *seed = getenv("SIMT_SEED"), *schedule = getenv("SIMT_SCHEDULE");
        const bool skewed = schedule && strcmp(schedule, "skewed") == 0;
        return Settings{seed ? strtoull(seed, nullptr, 0) : 1, skewed ? SIMT_SKEWED : SIMT_ROUND_ROBIN};
    }();
    return the;
}

namespace {

struct Random {
    uint64_t state;
    // splitmix64
    uint64_t bits() {
        uint64_t x = state += 0x9e3779b97f4a7c15;
        x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9;
        x = (x ^ x >> 27) * 0x94d049bb133111eb;
        return x ^ x >> 31;
    }
    unsigned below(unsigned n) { return static_cast<unsigned>(static_cast<unsigned __int128>(bits()) * n >> 64); }
};

// 0 .. count - 1 in a random order.
struct Order {
    int item[fibers_most / lanes], count;
    Order(int n, Random &random) : count(n) {
        for (int i = 0; i < n; i++) {
            const auto j = static_cast<int>(random.below(static_cast<unsigned>(i) + 1));
            item[i] = item[j], item[j] = i;
        }
    }
    const int *begin() const { return item; }
    const int *end() const { return item + count; }
};

// Orders of a warp's lanes. A warp moves millions of times in a test, so a launch draws some orders, and a move takes
// one of them from any place on.
struct LaneOrders {
    static constexpr unsigned count = 32;
    uint8_t lane[count][2 * lanes];
    void draw(Random &random) {
        for (auto &row : lane) {
            const Order order(lanes, random);
            for (int i = 0; i < 2 * lanes; i++) row[i] = static_cast<uint8_t>(order.item[i % lanes]);
        }
    }
    const uint8_t *take(Random &random) const {
        const uint64_t bits = random.bits();
        return lane[bits % count] + bits / count % lanes;
    }
};

struct Run {
    const Entry *entry;
    alignas(64) unsigned char params[4096];
    Random random;
    LaneOrders orders;
};
Run &run() {
    static Run the;
    return the;
}

void thread_body(void *argument) {
    auto &thread = *static_cast<Thread *>(argument);
    run().entry->run(run().params);
    if (block.early && !thread.waited)
        fault("dependent launch: a thread leaves without fs_dependency_wait: the kernel behind this one could start "
              "before the one in front of it has ended");
    if (thread.arrivals != thread.waits)
        fault("cluster barrier: a thread leaves between fs_cluster_arrive and fs_cluster_wait");
    thread.state = State::done;
    if (++block.done == block.thread_count) cluster_leave();
    fiber_finish(thread.fiber);
}

void resume(Thread &thread) {
    block.current = &thread;
    threadIdx = {static_cast<unsigned>(thread.index), 0, 0};
    fiber_resume(thread.fiber);
    block.current = nullptr;
}

// Each ready lane of the warp once. Returns whether any moved.
bool step_warp(int warp) {
    bool moved = false;
    const uint8_t *order = run().orders.take(run().random);
    for (int i = 0; i < lanes; i++) {
        Thread *thread = thread_at(warp, order[i]);
        if (!thread || thread->state != State::ready) continue;
        resume(*thread);
        if (block.failed) return false;
        moved = true;
    }
    return moved;
}

void start_block(unsigned shared) {
    block.done = block.at_barrier = 0;
    block.barrier_sum = {};
    block.threads = pool + block.rank * block.thread_count;
    for (int i = 0; i < block.thread_count; i++) {
        Thread &thread = block.threads[i];
        thread.index = i, thread.slot = block.rank * block.thread_count + i;
        thread.state = State::ready, thread.waited = false;
        thread.arrivals = thread.waits = 0;
        fiber_prepare(thread.fiber, thread.slot, thread_body, &thread);
    }
    memset(block.waiting, 0, sizeof block.waiting);
    observe_block();
    arena_start(shared);
    copies_start();
}

// Told of a block that waits for itself, if there is one, rather than of one that waits for the others.
void nothing_moves() {
    int waiting = -1;
    for (int rank = 0; rank < cluster.size; rank++) {
        cluster_enter(rank);
        bool inside = block.at_barrier > 0;
        for (int warp = 0; warp < block.warp_count; warp++) inside |= block.waiting[warp] != 0;
        if (inside || (waiting < 0 && block.done < block.thread_count)) waiting = rank;
    }
    cluster_enter(waiting);
    fault_deadlock();
}

// The warps of all blocks of a cluster take turns.
void run_cluster(unsigned shared, int size, uint3 first) {
    cluster_start(size, first);
    for (int rank = 0; rank < size; rank++) {
        cluster_enter(rank);
        start_block(shared);
    }
    const bool skewed = settings().schedule == SIMT_SKEWED;
    while (cluster.left < size && !block.failed) {
        bool moved = false;
        for (int warp : Order(size * block.warp_count, run().random)) {
            cluster_enter(warp / block.warp_count);
            while (step_warp(warp % block.warp_count)) {
                moved = true;
                if (!skewed) break;
            }
            if (block.failed) return;
        }
        if (!moved) return nothing_moves();
    }
    for (int rank = 0; rank < size && !block.failed; rank++) {
        cluster_enter(rank);
        const char *array = arena_overflow();
        if (array) fault("shared memory: written before or behind %s", array);
    }
}

// Blocks have no order on a GPU: they run in steps of a number that has no divisor in common with their count.
void run_grid(uint64_t blocks, unsigned shared, unsigned size) {
    const uint64_t clusters = blocks / size;
    const unsigned across = gridDim.x / size;
    uint64_t step = clusters > 1 ? run().random.bits() % clusters | 1 : 1;
    while (std::gcd(step, clusters) != 1) step++;
    uint64_t index = run().random.bits() % clusters;
    for (uint64_t i = 0; i < clusters && !block.failed; i++) {
        index = static_cast<uint64_t>((static_cast<unsigned __int128>(index) + step) % clusters);
        const uint3 first = {static_cast<unsigned>(index % across) * size,
                             static_cast<unsigned>(index / across % gridDim.y),
                             static_cast<unsigned>(index / across / gridDim.y)};
        run_cluster(shared, static_cast<int>(size), first);
    }
}

} // namespace

void wait_as(State state, Site site) {
    Thread &self = *block.current;
    self.state = state, self.site = site;
    fiber_yield(self.fiber);
}

void dependency_wait() {
    block.current->waited = true;
}

void dependency_release() {
    if (!block.current->waited)
        fault("dependent launch: fs_dependency_release before fs_dependency_wait, at %s",
              place_text(__builtin_return_address(0)).text);
}

} // namespace simt

using namespace simt;

__attribute__((no_sanitize("address"))) size_t simt_params_bytes(const void *entry) {
    if (!entry || reinterpret_cast<uintptr_t>(entry) % alignof(Entry)) return 0;
    const auto *e = static_cast<const Entry *>(entry);
    return e->magic == entry_magic ? e->params_bytes : 0;
}

void simt_configure(uint64_t seed, int schedule) {
    settings().seed = seed;
    settings().schedule = schedule;
}

namespace {

int launch(const void *entry, const unsigned grid[3], unsigned threads, unsigned shared, const void *params,
           unsigned cluster, bool early) {
    static std::mutex one_at_a_time;
    const std::lock_guard<std::mutex> guard(one_at_a_time);
    block.early = early;
    overflow_watch();
    Run &r = run();
    fault_none();
    blockIdx = {0, 0, 0};
    const size_t bytes = simt_params_bytes(entry);
    const uint64_t blocks = static_cast<uint64_t>(grid[0]) * grid[1] * grid[2];
    if (bytes == 0 || bytes > sizeof r.params)
        fault("launch: %p is not the entry of a kernel", entry);
    else if (blocks == 0 || grid[0] > 0x7fffffff || grid[1] > 65535 || grid[2] > 65535)
        fault("launch: a grid of %u x %u x %u blocks", grid[0], grid[1], grid[2]);
    else if (threads == 0 || threads > threads_most)
        fault("launch: a block of %u threads", threads);
    else if (shared > shared_most)
        fault("launch: %u bytes of dynamic shared memory; a block has at most %zu", shared, shared_most);
    else if (cluster == 0 || cluster > cluster_most || grid[0] % cluster || threads * cluster > fibers_most)
        fault("launch: clusters of %u blocks of %u threads in a grid of %u", cluster, threads, grid[0]);
    if (block.failed) return 1;

    r.entry = static_cast<const Entry *>(entry);
    memcpy(r.params, params, bytes);
    r.random.state = settings().seed;
    r.orders.draw(r.random);
    gridDim = dim3(grid[0], grid[1], grid[2]);
    blockDim = dim3(threads, 1, 1);
    block.thread_count = static_cast<int>(threads);
    block.warp_count = (block.thread_count + lanes - 1) / lanes;
    observe_launch();
    run_grid(blocks, shared, cluster);
    return block.failed;
}

} // namespace

int simt_launch(const void *entry, const unsigned grid[3], unsigned threads, unsigned shared, const void *params) {
    return launch(entry, grid, threads, shared, params, 1, false);
}

int simt_launch_early(const void *entry, const unsigned grid[3], unsigned threads, unsigned shared,
                      const void *params) {
    return launch(entry, grid, threads, shared, params, 1, true);
}

int simt_launch_clusters(const void *entry, const unsigned grid[3], unsigned threads, unsigned shared,
                         const void *params, unsigned cluster, int early) {
    return launch(entry, grid, threads, shared, params, cluster, early != 0);
}
