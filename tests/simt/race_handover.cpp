// What blocks hand over to each other within a launch, in the race build: the accesses of a block before a barrier,
// behind which one of its threads makes a fence and then an atomic operation; to a thread that makes an atomic
// operation on the same address later and a fence behind it, and past their next barrier to the other threads of its
// block.
//
// A GPU orders a little more: what the thread of the first fence did itself needs no barrier. No kernel relies on that.
#include <map>
#include <vector>

#include "tests/simt/block.h"
#include "tests/simt/race.h"

#include "tests/simt/observe.h"

namespace simt {
namespace {

// What `block` did before its barrier number `epoch`.
struct Past {
    uint32_t block, epoch;
};
// The past of another block, known to `thread`, and to the others of its block when they are past barrier `epoch`.
struct Known {
    Past past;
    int thread;
    uint32_t epoch;
};

std::map<const void *, std::vector<Past>> released; // by the address of the atomic operations
std::vector<Known> known[cluster_most];             // by the block's rank in the cluster
std::vector<Past> seen[fibers_most];                // by atomic operations of a thread since its last fence
uint32_t fenced[fibers_most];                       // the epoch of a thread's last fence, 0: none

bool is_known(const Known &k) {
    return k.thread == block.current->index || k.epoch < epoch_now();
}

} // namespace

bool handed_over(const Access &before, uint32_t by) {
    for (const Known &k : known[block.rank])
        if (k.past.block == by && before.epoch < k.past.epoch && is_known(k)) return true;
    return false;
}

void handover_launch() {
    released.clear();
}

void handover_start() {
    known[block.rank].clear();
    for (int i = 0; i < block.thread_count; i++) {
        seen[block.threads[i].slot].clear();
        fenced[block.threads[i].slot] = 0;
    }
}

void handover_atomic(const void *address) {
    const int slot = block.current->slot;
    std::vector<Past> &here = released[address];
    seen[slot].insert(seen[slot].end(), here.begin(), here.end());
    if (!fenced[slot]) return;
    here.push_back({block_number(), fenced[slot]});
    for (const Known &k : known[block.rank])
        if (is_known(k)) here.push_back(k.past);
}

void observe_fence() {
    const int slot = block.current->slot;
    for (const Past &past : seen[slot]) known[block.rank].push_back({past, block.current->index, epoch_now()});
    seen[slot].clear();
    fenced[slot] = epoch_now();
}

} // namespace simt
