// The memory behind a block's shared memory: every array between red zones, all NaNs when a block starts.
#ifndef FS_TESTS_SIMT_ARENA_H
#define FS_TESTS_SIMT_ARENA_H

#include <cstddef>

namespace simt {

// What the largest GPUs let one block have, and what static declarations may take of it.
constexpr size_t shared_most = 227 << 10, static_shared_most = 48 << 10;

// A fresh arena with `dynamic_bytes` of dynamic shared memory.
void arena_start(size_t dynamic_bytes);
// The array whose red zones were written to, or null.
const char *arena_overflow();

// The whole arena, red zones included.
constexpr size_t arena_bytes = (shared_most + static_shared_most) + (80 << 10);
extern unsigned char arena[arena_bytes];
inline bool arena_holds(const void *address) {
    const auto *byte = static_cast<const unsigned char *>(address);
    return byte >= arena && byte < arena + arena_bytes;
}

// What [address, address + bytes) of the arena is: a part of an array of the running block, or past the ends of one.
struct Place {
    const char *array;
    ptrdiff_t offset;
    bool inside;
};
Place arena_place(const void *address, size_t bytes);

} // namespace simt

#endif
