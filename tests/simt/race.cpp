// The race build: kernels are compiled with -fsanitize=thread but linked with these hooks, which know blocks, warps and
// barriers, instead of with the sanitizer's own runtime, which knows the one CPU thread.
#include "tests/simt/race.h"

#include <cstdio>
#include <cstring>
#include <pthread.h>

#include "tests/simt/arena.h"
#include "tests/simt/block.h"
#include "tests/simt/cluster.h"
#include "tests/simt/observe.h"

extern "C" char __executable_start, _end; // from the linker

namespace simt {
namespace {

pthread_t launching_thread;
uint32_t epochs, epoch[cluster_most]; // so far; of the blocks of the cluster
// known[t][l]: the latest clock of lane l of its warp whose accesses the thread in slot t has seen; its own clock is
// known[t][own].
uint32_t known[fibers_most][lanes];

// What the kernel's instrumented code does. Host code of the same file, such as fs_launch_*, is instrumented as well.
void touch(const void *address, size_t bytes, Kind kind, const void *caller) {
    if (!block.current || !pthread_equal(launching_thread, pthread_self())) return;
    if (arena_holds(address)) return shared_access(address, bytes, kind, caller);
    if (fiber_stack_holds(address)) return;
    const auto *byte = static_cast<const char *>(address);
    if (byte >= &__executable_start && byte < &_end) return; // constants, the launch's parameters
    global_access(address, bytes, kind, caller);
}

} // namespace

Access access_now(Kind kind, const void *caller) {
    const Thread &thread = *block.current;
    Access access;
    access.place = static_cast<uint32_t>(reinterpret_cast<uintptr_t>(caller));
    access.epoch = epoch[block.rank], access.clock = known[thread.slot][lane_of(thread)] & 0xffffff;
    access.rank = static_cast<uint8_t>(block.rank), access.thread = static_cast<uint16_t>(thread.index);
    access.kind = kind, access.arrivals = static_cast<uint8_t>(thread.arrivals);
    return access;
}

uint32_t epoch_now() {
    return epoch[block.rank];
}

bool ordered(const Access &before) {
    const Thread &thread = *block.current;
    const int self = thread.index, other = before.thread;
    if (before.arrivals < thread.waits) return true; // it has arrived since at a cluster barrier that this one passed
    if (static_cast<int>(before.rank) != block.rank) return false;
    if (before.epoch != epoch[block.rank] || self == other) return true;
    return self / lanes == other / lanes && known[thread.slot][other % lanes] >= before.clock;
}

const char *kind_text(Kind kind) {
    return kind == Kind::read ? "read" : kind == Kind::write ? "write" : "atomic";
}

Text thread_text(const Access &access) {
    Text result;
    if (cluster.size > 1)
        snprintf(result.text, sizeof result.text, "thread %d of block %d of the cluster", access.thread, access.rank);
    else
        snprintf(result.text, sizeof result.text, "thread %d", access.thread);
    return result;
}

void observe_launch() {
    launching_thread = pthread_self();
    global_launch();
    handover_launch();
}

void observe_block() {
    epoch[block.rank] = ++epochs;
    shared_start();
    handover_start();
    for (int i = 0; i < block.thread_count; i++) {
        auto &knows = known[block.threads[i].slot];
        memset(knows, 0, sizeof knows);
        knows[i % lanes] = 1;
    }
}

void observe_barrier() {
    epoch[block.rank] = ++epochs;
}

// The lanes know from now on what any of them knew, and what they do next is new to the others.
void observe_warp_barrier(uint32_t met) {
    const int first = block.threads[warp_of(*block.current) * lanes].slot;
    uint32_t joined[lanes] = {};
    for (int i = 0; i < lanes; i++)
        for (int j = 0; met >> i & 1 && j < lanes; j++)
            if (known[first + i][j] > joined[j]) joined[j] = known[first + i][j];
    for (int i = 0; i < lanes; i++) {
        if (!(met >> i & 1)) continue;
        memcpy(known[first + i], joined, sizeof joined);
        known[first + i][i]++;
    }
}

void observe_atomic(const void *address, size_t bytes) {
    touch(address, bytes, Kind::atomic, __builtin_return_address(0));
    if (!arena_holds(address)) handover_atomic(address);
}

void observe_read(const void *address, size_t bytes, const void *caller) {
    touch(address, bytes, Kind::read, caller);
}

} // namespace simt

#define HOOK(name, bytes, kind)                                                                                        \
    void name(void *address) {                                                                                         \
        simt::touch(address, bytes, simt::Kind::kind, __builtin_return_address(0));                                    \
    }
#define HOOKS(bytes)                                                                                                   \
    HOOK(__tsan_read##bytes, bytes, read)                                                                              \
    HOOK(__tsan_write##bytes, bytes, write)                                                                            \
    HOOK(__tsan_unaligned_read##bytes, bytes, read)                                                                    \
    HOOK(__tsan_unaligned_write##bytes, bytes, write)                                                                  \
    HOOK(__tsan_volatile_read##bytes, bytes, read)                                                                     \
    HOOK(__tsan_volatile_write##bytes, bytes, write)

extern "C" {
void __tsan_init() {}
void __tsan_func_entry(void *) {}
void __tsan_func_exit() {}
HOOKS(1)
HOOKS(2)
HOOKS(4)
HOOKS(8)
HOOKS(16)
void __tsan_read_range(void *address, size_t bytes) {
    simt::touch(address, bytes, simt::Kind::read, __builtin_return_address(0));
}
void __tsan_write_range(void *address, size_t bytes) {
    simt::touch(address, bytes, simt::Kind::write, __builtin_return_address(0));
}
}
