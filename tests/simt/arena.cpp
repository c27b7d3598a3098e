// The shared memory of the running block. Blocks run one after another, so there is one arena.
#include "tests/simt/arena.h"

#include <cstring>

#include "tests/simt/block.h"
#include "tests/simt/memory.h"
#include "tests/simt/sanitizer.h"

namespace simt {

alignas(4096) unsigned char arena[arena_bytes];

namespace {

// Red zones are wide: an index that is off by a row or two still lands in one. 0xff.. is a NaN as half and as float.
constexpr size_t zone_bytes = 2048, alignment = 128;
constexpr int arrays_most = 32, poison = 0xff, zone_fill = 0xa5;
static_assert(arena_bytes >= shared_most + static_shared_most + (arrays_most + 2) * (zone_bytes + alignment));

struct Array {
    const void *site;
    const char *name;
    size_t offset, bytes;
} arrays[arrays_most]; // arrays[0] is the dynamic part
int array_count;
size_t used;

Array *add(const void *site, const char *name, size_t bytes) {
    Array &array = arrays[array_count++];
    array = {site, name, used, bytes};
    const size_t room = (bytes + alignment - 1) / alignment * alignment;
    ASAN_UNPOISON_MEMORY_REGION(arena + used, room + zone_bytes);
    memset(arena + used, poison, bytes);
    memset(arena + used + bytes, zone_fill, room - bytes + zone_bytes);
    ASAN_POISON_MEMORY_REGION(arena + used + bytes, room - bytes + zone_bytes);
    used += room + zone_bytes;
    return &array;
}

#ifndef SIMT_ASAN
// A stretch equals itself moved by one byte when all its bytes are the same.
bool intact(const unsigned char *from, const unsigned char *to) {
    return from == to || (*from == zone_fill && memcmp(from, from + 1, static_cast<size_t>(to - from) - 1) == 0);
}
#endif

} // namespace

void arena_start(size_t dynamic_bytes) {
    if (used == 0) memset(arena, zone_fill, zone_bytes);
    ASAN_POISON_MEMORY_REGION(arena, sizeof arena);
    array_count = 0, used = zone_bytes;
    add(nullptr, "dynamic shared memory", dynamic_bytes);
}

const char *arena_overflow() {
#ifndef SIMT_ASAN // which stops at the write itself
    if (!intact(arena, arena + zone_bytes)) {
        memset(arena, zone_fill, zone_bytes);
        return arrays[0].name;
    }
    for (int i = 0; i < array_count; i++) {
        const size_t end = i + 1 < array_count ? arrays[i + 1].offset : used;
        if (!intact(arena + arrays[i].offset + arrays[i].bytes, arena + end)) return arrays[i].name;
    }
#endif
    return nullptr;
}

Place arena_place(const void *address, size_t bytes) {
    const auto offset = static_cast<size_t>(static_cast<const unsigned char *>(address) - arena);
    int i = array_count - 1; // the array whose start or preceding red zone is the last before the address
    while (i > 0 && offset + zone_bytes / 2 < arrays[i].offset) i--;
    const Array &array = arrays[i];
    const bool inside = offset >= array.offset && offset + bytes <= array.offset + array.bytes;
    return {array.name, static_cast<ptrdiff_t>(offset) - static_cast<ptrdiff_t>(array.offset), inside};
}

void *shared_array(const void *site, const char *name, size_t bytes) {
    size_t static_bytes = bytes;
    for (int i = 1; i < array_count; i++) {
        if (arrays[i].site == site) return arena + arrays[i].offset;
        static_bytes += arrays[i].bytes;
    }
    if (static_bytes > static_shared_most || static_bytes + arrays[0].bytes > shared_most || array_count == arrays_most)
        fault("shared memory: %s (%zu bytes) is more than a block can have: %zu bytes of static arrays, %zu dynamic",
              name, bytes, static_bytes, arrays[0].bytes);
    return arena + add(site, name, bytes)->offset;
}

void *shared_dynamic() {
    return arena + arrays[0].offset;
}

} // namespace simt
