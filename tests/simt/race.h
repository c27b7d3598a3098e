// The race build's view of the running block: who may have seen whose accesses. Internal to race*.cpp.
#ifndef FS_TESTS_SIMT_RACE_H
#define FS_TESTS_SIMT_RACE_H

#include <cstddef>
#include <cstdint>

#include "tests/simt/place.h"

namespace simt {

enum class Kind : uint8_t { read, write, atomic };

// The program is linked at a fixed address below 2 GB (-no-pie), so a place in it has 32 bits.
struct Access {
    uint32_t place = 0;            // 0: none
    uint32_t epoch = 0;            // barriers of blocks before it
    uint32_t clock : 24, rank : 8; // of its thread: __syncwarp calls before it, plus one; of its block in the cluster
    uint16_t thread = 0;
    Kind kind = Kind::read;
    uint8_t arrivals = 0; // of its thread at cluster barriers before it

    Access() : clock(0), rank(0) {}
    bool by_thread_of(const Access &other) const { return thread == other.thread && rank == other.rank; }
};

Access access_now(Kind kind, const void *caller);
// Whether `before` is certain to have happened before what the current thread does now: same thread, or a barrier or
// __syncwarp between; in another block of the cluster, a cluster barrier.
bool ordered(const Access &before);
uint32_t epoch_now(); // barriers of blocks before what the current thread does now

inline Text place_text(const Access &access) {
    return place_text(reinterpret_cast<const void *>(static_cast<uintptr_t>(access.place)));
}
const char *kind_text(Kind kind);
Text thread_text(const Access &access); // "thread 3", "thread 3 of block 1 of the cluster"

// [address, address + bytes) is in an arena.
void shared_access(const void *address, size_t bytes, Kind kind, const void *caller);
void shared_start(); // of a block
// It is in neither the arena, nor a stack, nor the program's image.
void global_access(const void *address, size_t bytes, Kind kind, const void *caller);
void global_launch();
uint32_t block_number(); // of the current block in its grid

// Whether `before`, by another block of the launch, was handed over to the current thread (race_handover.cpp).
bool handed_over(const Access &before, uint32_t by);
void handover_launch();
void handover_start(); // of a block
void handover_atomic(const void *address);

} // namespace simt

#endif
