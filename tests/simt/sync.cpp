// Where threads meet: the block's barrier, and collectives of a warp's lanes.
#include "tests/simt/sync.h"

#include <cstring>

#include "tests/simt/block.h"
#include "tests/simt/observe.h"

namespace simt {
namespace {

bool same(Site a, Site b) {
    return a.line == b.line && (a.file == b.file || strcmp(a.file, b.file) == 0);
}

// All threads of the block stand at a barrier: it must be one and the same.
void compare_sites(const Thread &last) {
    for (int i = 0; i < block.thread_count; i++) {
        const Thread &thread = block.threads[i];
        if (!same(thread.site, last.site))
            fault("divergent barrier: thread %d is at %s:%d, thread %d at %s:%d", thread.index, thread.site.file,
                  thread.site.line, last.index, last.site.file, last.site.line);
    }
}

} // namespace

Count barrier(bool predicate, Site site) {
    Thread &self = *block.current;
    self.site = site;
    block.at_barrier++;
    block.barrier_sum.true_ones += predicate;
    if (block.at_barrier < block.thread_count) {
        wait_as(State::at_barrier, site);
        return block.barrier_result;
    }
    compare_sites(self);
    observe_barrier();
    for (int i = 0; i < block.thread_count; i++) block.threads[i].state = State::ready;
    block.barrier_result = {block.barrier_sum.true_ones, block.thread_count};
    block.barrier_sum = {};
    block.at_barrier = 0;
    return block.barrier_result;
}

void meet(const Collective &what, uint32_t mask, void *lane, Site site) {
    Thread &self = *block.current;
    const int warp = warp_of(self);
    const uint32_t own = 1u << lane_of(self);
    if (!(mask & own))
        fault("%s at %s:%d: lane %d is not in its own mask 0x%08x", what.name, site.file, site.line, lane_of(self),
              mask);
    self.collective = &what, self.mask = mask, self.lane = lane, self.site = site;
    block.waiting[warp] |= own;

    bool complete = (block.waiting[warp] & mask) == mask;
    for (uint32_t rest = mask; complete && rest; rest &= rest - 1) {
        const Thread &other = *thread_at(warp, __builtin_ctz(rest));
        complete = other.collective == &what && other.mask == mask;
    }
    if (!complete) {
        wait_as(State::in_collective, site);
        return;
    }
    void *all[lanes] = {};
    for (uint32_t rest = mask; rest; rest &= rest - 1)
        all[__builtin_ctz(rest)] = thread_at(warp, __builtin_ctz(rest))->lane;
    what.compute(all);
    block.waiting[warp] &= ~mask;
    for (uint32_t rest = mask; rest; rest &= rest - 1) thread_at(warp, __builtin_ctz(rest))->state = State::ready;
}

void warp_barrier(uint32_t mask, Site site) {
    static const Collective what = {"__syncwarp", [](void *const all[lanes]) {
                                        uint32_t met = 0;
                                        for (int i = 0; i < lanes; i++) met |= static_cast<uint32_t>(!!all[i]) << i;
                                        observe_warp_barrier(met);
                                    }};
    char nothing;
    meet(what, mask, &nothing, site);
}

uint32_t ballot(uint32_t mask, bool predicate, Site site) {
    struct Vote {
        bool predicate;
        uint32_t result;
    };
    static const Collective what = {"vote", [](void *const all[lanes]) {
                                        uint32_t result = 0;
                                        for (int i = 0; i < lanes; i++)
                                            if (all[i] && static_cast<Vote *>(all[i])->predicate) result |= 1u << i;
                                        for (int i = 0; i < lanes; i++)
                                            if (all[i]) static_cast<Vote *>(all[i])->result = result;
                                    }};
    Vote vote = {predicate, 0};
    meet(what, mask, &vote, site);
    return vote.result;
}

void shuffle(const char *name, uint32_t mask, int source, const void *value, void *result, unsigned bytes, Site site) {
    struct Register {
        const void *value;
        void *result;
        unsigned bytes;
        int source;
    };
    static const Collective what = {"shuffle", [](void *const all[lanes]) {
                                        for (int i = 0; i < lanes; i++) {
                                            const auto *to = static_cast<Register *>(all[i]);
                                            if (!to) continue;
                                            const auto *from = static_cast<Register *>(all[to->source]);
                                            memcpy(to->result, from->value, to->bytes);
                                        }
                                    }};
    if (!(mask >> source & 1))
        fault("%s at %s:%d: lane %d reads lane %d, which is not in the mask 0x%08x", name, site.file, site.line,
              lane_index(), source, mask);
    Register lane = {value, result, bytes, source};
    meet(what, mask, &lane, site);
}

int lane_index() {
    return lane_of(*block.current);
}

// The lanes that have not left the kernel and wait for nothing: an answer a GPU may give.
uint32_t active_lanes() {
    uint32_t active = 0;
    for (int i = 0; i < lanes; i++) {
        const Thread *thread = thread_at(warp_of(*block.current), i);
        if (thread && thread->state == State::ready) active |= 1u << i;
    }
    return active;
}

} // namespace simt
