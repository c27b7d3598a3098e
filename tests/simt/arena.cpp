// The shared memory of the blocks that run: one, or those of a cluster.
#include "tests/simt/arena.h"

#include <cstring>

#include "tests/simt/block.h"
#include "tests/simt/memory.h"
#include "tests/simt/sanitizer.h"

namespace simt {

alignas(4096) unsigned char arenas[cluster_most][arena_bytes];

namespace {

// Red zones are wide: an index that is off by a row or two still lands in one. 0xff.. is a NaN as half and as float.
constexpr size_t zone_bytes = 2048, alignment = 128;
constexpr int arrays_most = 32, poison = 0xff, zone_fill = 0xa5;
static_assert(arena_bytes >= shared_most + static_shared_most + (arrays_most + 2) * (zone_bytes + alignment));

struct Array {
    const void *site;
    const char *name;
    size_t offset, bytes;
};

struct Arena {
    Array arrays[arrays_most]; // arrays[0] is the dynamic part
    int array_count;
    size_t used;
} states[cluster_most];

Array *add(int rank, const void *site, const char *name, size_t bytes) {
    Arena &to = states[rank];
    unsigned char *const arena = arenas[rank];
    Array &array = to.arrays[to.array_count++];
    array = {site, name, to.used, bytes};
    const size_t room = (bytes + alignment - 1) / alignment * alignment;
    ASAN_UNPOISON_MEMORY_REGION(arena + to.used, room + zone_bytes);
    memset(arena + to.used, poison, bytes);
    memset(arena + to.used + bytes, zone_fill, room - bytes + zone_bytes);
    ASAN_POISON_MEMORY_REGION(arena + to.used + bytes, room - bytes + zone_bytes);
    to.used += room + zone_bytes;
    return &array;
}

void *static_array(int rank, const void *site, const char *name, size_t bytes) {
    const Arena &in = states[rank];
    size_t static_bytes = bytes;
    for (int i = 1; i < in.array_count; i++) {
        if (in.arrays[i].site == site) return arenas[rank] + in.arrays[i].offset;
        static_bytes += in.arrays[i].bytes;
    }
    if (static_bytes > static_shared_most || static_bytes + in.arrays[0].bytes > shared_most ||
        in.array_count == arrays_most)
        fault("shared memory: %s (%zu bytes) is more than a block can have: %zu bytes of static arrays, %zu dynamic",
              name, bytes, static_bytes, in.arrays[0].bytes);
    return arenas[rank] + add(rank, site, name, bytes)->offset;
}

// The array whose start or preceding red zone is the last before the address.
const Array &array_at(const void *address) {
    const Arena &in = states[arena_rank(address)];
    const auto offset = static_cast<size_t>(static_cast<const unsigned char *>(address) - arenas[0]) % arena_bytes;
    int i = in.array_count - 1;
    while (i > 0 && offset + zone_bytes / 2 < in.arrays[i].offset) i--;
    return in.arrays[i];
}

#ifndef SIMT_ASAN
// A stretch equals itself moved by one byte when all its bytes are the same.
bool intact(const unsigned char *from, const unsigned char *to) {
    return from == to || (*from == zone_fill && memcmp(from, from + 1, static_cast<size_t>(to - from) - 1) == 0);
}
#endif

} // namespace

void arena_start(size_t dynamic_bytes) {
    Arena &of = states[block.rank];
    if (of.used == 0) memset(arenas[block.rank], zone_fill, zone_bytes);
    ASAN_POISON_MEMORY_REGION(arenas[block.rank], arena_bytes);
    of.array_count = 0, of.used = zone_bytes;
    add(block.rank, nullptr, "dynamic shared memory", dynamic_bytes);
}

const char *arena_overflow() {
#ifndef SIMT_ASAN // which stops at the write itself
    const Arena &of = states[block.rank];
    unsigned char *const arena = arenas[block.rank];
    if (!intact(arena, arena + zone_bytes)) {
        memset(arena, zone_fill, zone_bytes);
        return of.arrays[0].name;
    }
    for (int i = 0; i < of.array_count; i++) {
        const size_t end = i + 1 < of.array_count ? of.arrays[i + 1].offset : of.used;
        if (!intact(arena + of.arrays[i].offset + of.arrays[i].bytes, arena + end)) return of.arrays[i].name;
    }
#endif
    return nullptr;
}

Place arena_place(const void *address, size_t bytes) {
    const Array &array = array_at(address);
    const auto offset = static_cast<size_t>(static_cast<const unsigned char *>(address) - arenas[0]) % arena_bytes;
    const bool inside = offset >= array.offset && offset + bytes <= array.offset + array.bytes;
    return {array.name, static_cast<ptrdiff_t>(offset) - static_cast<ptrdiff_t>(array.offset), inside};
}

void *arena_counterpart(const void *address, int rank) {
    const Array &array = array_at(address);
    const ptrdiff_t offset = arena_place(address, 1).offset;
    // Static arrays exist from the start of a block; here, from their first declaration on.
    void *const start = &array == states[arena_rank(address)].arrays
                            ? arenas[rank] + states[rank].arrays[0].offset
                            : static_array(rank, array.site, array.name, array.bytes);
    return static_cast<unsigned char *>(start) + offset;
}

void *shared_array(const void *site, const char *name, size_t bytes) {
    return static_array(block.rank, site, name, bytes);
}

void *shared_dynamic() {
    return arenas[block.rank] + states[block.rank].arrays[0].offset;
}

} // namespace simt
