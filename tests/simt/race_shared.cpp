// Shared memory in the race build: for every byte the last write, two readers since, and a copy on its way to it.
#include <cstdio>

#include "tests/simt/arena.h"
#include "tests/simt/block.h"
#include "tests/simt/observe.h"
#include "tests/simt/race.h"

namespace simt {
namespace {

struct Cell {
    uint32_t block = 0; // serial number of the block whose memory the rest is about
    Access write;
    // The last reader and the last one before it that is another thread: a writer is compared with one that is not
    // itself.
    Access read[2];
    Access copy;
};
Cell cells[cluster_most][arena_bytes];
uint32_t serials, serial[cluster_most]; // so far; of the blocks of the cluster

Cell &cell_of(const unsigned char *byte) {
    const int rank = arena_rank(byte);
    Cell &cell = cells[rank][byte - arenas[rank]];
    if (cell.block != serial[rank]) cell = Cell(), cell.block = serial[rank];
    return cell;
}

// "read of 4 bytes at tile + 64 by thread 3, file:line".
Text accessed(const void *address, size_t bytes, const Access &now) {
    Text result;
    const Place place = arena_place(address, bytes);
    snprintf(result.text, sizeof result.text, "%s of %zu bytes at %s + %td by %.60s, %.360s", kind_text(now.kind),
             bytes, place.array, place.offset, thread_text(now).text, place_text(now).text);
    return result;
}

bool conflicts(const Access &before, Kind kind) {
    return before.place && !(before.kind == Kind::atomic && kind == Kind::atomic) && !ordered(before);
}

} // namespace

void shared_start() {
    serial[block.rank] = ++serials;
}

void shared_access(const void *address, size_t bytes, Kind kind, const void *caller) {
    const Access now = access_now(kind, caller);
    if (!arena_place(address, bytes).inside)
        fault("shared memory out of bounds: %s", accessed(address, bytes, now).text);
    for (size_t i = 0; i < bytes; i++) {
        Cell &cell = cell_of(static_cast<const unsigned char *>(address) + i);
        if (cell.copy.place)
            fault("access to a copy in flight: %s; copy by %s, %s", accessed(address, bytes, now).text,
                  thread_text(cell.copy).text, place_text(cell.copy).text);
        if (kind != Kind::write && !cell.write.place)
            fault("read of shared memory that nobody has written yet: %s", accessed(address, bytes, now).text);
        const Access *other = conflicts(cell.write, kind) ? &cell.write : nullptr;
        if (kind != Kind::read)
            for (const Access &read : cell.read)
                if (conflicts(read, kind)) other = &read;
        if (other)
            fault("race in shared memory: %s; no barrier since %s by %s, %s", accessed(address, bytes, now).text,
                  kind_text(other->kind), thread_text(*other).text, place_text(*other).text);
        if (kind != Kind::read) {
            cell.write = now;
        } else {
            if (!cell.read[0].by_thread_of(now)) cell.read[1] = cell.read[0];
            cell.read[0] = now;
        }
    }
}

void observe_copy_issued(void *to, const void *from, bool valid, const void *caller) {
    if (valid) observe_read(from, 16, caller);
    shared_access(to, 16, Kind::write, caller);
    for (int i = 0; i < 16; i++) cell_of(static_cast<unsigned char *>(to) + i).copy = access_now(Kind::write, caller);
}

// From now on it is an ordinary write of its thread, to be seen by others behind a barrier.
void observe_copy_done(void *to) {
    for (int i = 0; i < 16; i++) {
        Cell &cell = cell_of(static_cast<unsigned char *>(to) + i);
        cell.write = access_now(Kind::write, reinterpret_cast<const void *>(static_cast<uintptr_t>(cell.copy.place)));
        cell.copy = Access();
    }
}

} // namespace simt
