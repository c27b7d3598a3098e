// The memory behind shared memory, an arena for each block of a cluster: every array between red zones, all NaNs when
// a block starts.
#ifndef FS_TESTS_SIMT_ARENA_H
#define FS_TESTS_SIMT_ARENA_H

#include <cstddef>

#include "tests/simt/block.h"

namespace simt {

// What the largest GPUs let one block have, and what static declarations may take of it.
constexpr size_t shared_most = 227 << 10, static_shared_most = 48 << 10;

// A fresh arena for `block`, with `dynamic_bytes` of dynamic shared memory.
void arena_start(size_t dynamic_bytes);
// The array of `block` whose red zones were written to, or null.
const char *arena_overflow();

// A whole arena, red zones included.
constexpr size_t arena_bytes = (shared_most + static_shared_most) + (80 << 10);
extern unsigned char arenas[cluster_most][arena_bytes];
inline bool arena_holds(const void *address) {
    const auto *byte = static_cast<const unsigned char *>(address);
    return byte >= arenas[0] && byte < arenas[0] + sizeof arenas;
}

// The rank of the block whose arena it is in.
inline int arena_rank(const void *address) {
    return static_cast<int>(static_cast<size_t>(static_cast<const unsigned char *>(address) - arenas[0]) / arena_bytes);
}

// What [address, address + bytes) of an arena is: a part of an array of its block, or past the ends of one.
struct Place {
    const char *array;
    ptrdiff_t offset;
    bool inside;
};
Place arena_place(const void *address, size_t bytes);
// The same byte of the same array in the block of rank `rank`; `address` is inside an array.
void *arena_counterpart(const void *address, int rank);

} // namespace simt

#endif
