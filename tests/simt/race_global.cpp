// Global memory in the race build: bounds of the registered allocations, and conflicts within a launch. Blocks may
// touch the same bytes when both do so atomically, or when one handed over to the other (race_handover.cpp).
#include <cstdio>
#include <cstdlib>
#include <map>
#include <mutex>
#include <sys/mman.h>

#include <vector_types.h>

#include "tests/simt/block.h"
#include "tests/simt/race.h"
#include "tests/simt/simt_run.h"

extern uint3 blockIdx;
extern dim3 gridDim;

namespace simt {
namespace {

// One byte of an allocation. Zeros, as mmap gives them, are a launch that never was.
struct Cell {
    uint32_t launch;
    uint32_t write_block, read_block;
    bool many_readers;
    bool frame; // some kernel has written it, in whichever launch
    Access write, read;
};

struct Allocation {
    uintptr_t start;
    size_t bytes;
    Cell *cells; // mapped without reserve: only touched pages cost memory
};
std::mutex allocations_lock;
std::map<uintptr_t, Allocation> allocations; // by last byte
uint32_t launch;
Allocation latest;

bool holds(const Allocation &a, uintptr_t address, size_t bytes) {
    return address >= a.start && address - a.start < a.bytes && bytes <= a.bytes - (address - a.start);
}

bool find(uintptr_t address, size_t bytes) {
    if (holds(latest, address, bytes)) return true;
    const std::lock_guard<std::mutex> guard(allocations_lock);
    const auto found = allocations.lower_bound(address);
    if (found == allocations.end() || !holds(found->second, address, bytes)) return false;
    latest = found->second;
    return true;
}

bool is_before(const Access &access, uint32_t by) {
    return by == block_number() ? ordered(access) : handed_over(access, by);
}

// By how much an access missed the nearest allocation.
Text nearest(uintptr_t address) {
    const std::lock_guard<std::mutex> guard(allocations_lock);
    Text result = {"no allocation is near"};
    uintptr_t least = UINTPTR_MAX;
    for (const auto &entry : allocations) {
        const Allocation &a = entry.second;
        const bool before = address < a.start, inside = !before && address < a.start + a.bytes;
        const uintptr_t distance = before ? a.start - address : inside ? 0 : address - (a.start + a.bytes);
        if (distance >= least) continue;
        least = distance;
        if (inside)
            snprintf(result.text, sizeof result.text, "across the end of an allocation of %zu bytes", a.bytes);
        else
            snprintf(result.text, sizeof result.text, "%zu bytes %s an allocation of %zu bytes",
                     static_cast<size_t>(distance), before ? "before" : "behind", a.bytes);
    }
    return result;
}

void conflict(const Access &now, size_t bytes, const Access &other, uint32_t other_block) {
    fault("conflict in global memory: %s of %zu bytes by block %u, thread %d, %s; nothing orders it after the %s by "
          "block %u, thread %d, %s",
          kind_text(now.kind), bytes, block_number(), now.thread, place_text(now).text, kind_text(other.kind),
          other_block, other.thread, place_text(other).text);
}

} // namespace

uint32_t block_number() {
    return (blockIdx.z * gridDim.y + blockIdx.y) * gridDim.x + blockIdx.x;
}

void global_launch() {
    launch++;
    latest = {};
}

void global_access(const void *address, size_t bytes, Kind kind, const void *caller) {
    const auto at = reinterpret_cast<uintptr_t>(address);
    const Access now = access_now(kind, caller);
    if (!find(at, bytes))
        fault("global memory out of bounds: %s of %zu bytes by thread %d, %s; %s", kind_text(kind), bytes, now.thread,
              place_text(now).text, nearest(at).text);
    const uint32_t self = block_number();
    for (size_t i = 0; i < bytes; i++) {
        Cell &cell = latest.cells[at - latest.start + i];
        if (cell.launch != launch) {
            const bool frame = cell.frame;
            cell = Cell(), cell.launch = launch, cell.frame = frame;
        }
        if (block.early && !block.current->waited && (kind != Kind::read || cell.frame))
            fault("dependent launch: %s of %zu bytes by thread %d, %s, before fs_dependency_wait: the kernel in front "
                  "may be at work there",
                  kind_text(kind), bytes, now.thread, place_text(now).text);
        const bool both_atomic = cell.write.kind == Kind::atomic && kind == Kind::atomic;
        if (cell.write.place && !both_atomic && !is_before(cell.write, cell.write_block))
            conflict(now, bytes, cell.write, cell.write_block);
        if (kind == Kind::read) {
            cell.many_readers |= cell.read.place && cell.read_block != self;
            cell.read = now, cell.read_block = self;
        } else {
            const bool known = cell.read_block == self || handed_over(cell.read, cell.read_block);
            if (cell.read.place && (!known || cell.many_readers)) conflict(now, bytes, cell.read, cell.read_block);
            cell.write = now, cell.write_block = self, cell.frame = true;
        }
    }
}

} // namespace simt

using namespace simt;

void simt_register_memory(void *p, size_t bytes) {
    const std::lock_guard<std::mutex> guard(allocations_lock);
    if (!p || bytes == 0) return;
    void *cells =
        mmap(nullptr, bytes * sizeof(Cell), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (cells == MAP_FAILED) abort();
    const auto start = reinterpret_cast<uintptr_t>(p);
    allocations[start + bytes - 1] = {start, bytes, static_cast<Cell *>(cells)};
}

void simt_unregister_memory(void *p) {
    const std::lock_guard<std::mutex> guard(allocations_lock);
    for (auto it = allocations.begin(); it != allocations.end(); ++it) {
        if (it->second.start != reinterpret_cast<uintptr_t>(p)) continue;
        munmap(it->second.cells, it->second.bytes * sizeof(Cell));
        allocations.erase(it);
        return;
    }
}

void simt_frame_memory(void *p, size_t bytes) {
    const std::lock_guard<std::mutex> guard(allocations_lock);
    const auto at = reinterpret_cast<uintptr_t>(p);
    const auto found = allocations.lower_bound(at);
    if (found == allocations.end() || !holds(found->second, at, bytes)) abort();
    for (size_t i = 0; i < bytes; i++) found->second.cells[at - found->second.start + i].frame = true;
}
