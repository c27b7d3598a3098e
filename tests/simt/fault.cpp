// Faults: what a GPU would not forgive ends the run and is told with the block, the thread, seed and schedule.
#include <cstdarg>
#include <cstdio>
#include <string>

#include <vector_types.h>

#include "tests/simt/block.h"
#include "tests/simt/cluster.h"
#include "tests/simt/place.h"
#include "tests/simt/simt_run.h"

extern uint3 blockIdx;

namespace simt {
namespace {

thread_local std::string report; // of this CPU thread's latest launch

// "0..3, 7".
std::string lanes_text(uint32_t mask) {
    std::string text;
    for (int i = 0; i < lanes; i++) {
        if (!(mask >> i & 1)) continue;
        int last = i;
        while (last + 1 < lanes && mask >> (last + 1) & 1) last++;
        text += (text.empty() ? "" : ", ") + std::to_string(i) + (last > i ? ".." + std::to_string(last) : "");
        i = last;
    }
    return text;
}

std::string whereabouts(const Thread *thread) {
    if (!thread) return "is not in the block";
    if (thread->state == State::done) return "has left the kernel";
    const char *in = thread->state == State::at_barrier   ? "__syncthreads"
                     : thread->state == State::in_cluster ? "fs_cluster_wait"
                                                          : thread->collective->name;
    return std::string("waits in ") + in + " at " + site_text(thread->site).text;
}

} // namespace

void fault_none() {
    block.failed = false;
    report.clear();
}

void fault(const char *format, ...) {
    char text[2048], where[160];
    va_list list;
    va_start(list, format);
    vsnprintf(text, sizeof text, format, list);
    va_end(list);
    const Settings &set = settings();
    int length = snprintf(where, sizeof where, " [block %u,%u,%u", blockIdx.x, blockIdx.y, blockIdx.z);
    if (block.current) length += snprintf(where + length, sizeof where - length, ", thread %d", block.current->index);
    snprintf(where + length, sizeof where - length, "; seed %llu, %s schedule]",
             static_cast<unsigned long long>(set.seed), set.schedule == SIMT_SKEWED ? "skewed" : "round-robin");
    if (!block.failed) report = std::string(text) + where;
    block.failed = true;
    if (block.current) fiber_abandon(block.current->fiber);
}

void fault_deadlock() {
    const Thread *in_barrier = nullptr, *in_collective = nullptr, *in_cluster = nullptr;
    for (int i = 0; i < block.thread_count; i++) {
        const Thread &thread = block.threads[i];
        if (thread.state == State::at_barrier) in_barrier = &thread;
        if (thread.state == State::in_collective) in_collective = &thread;
        if (thread.state == State::in_cluster) in_cluster = &thread;
    }
    if (!in_collective && in_cluster) {
        if (in_barrier)
            fault("divergent barrier: thread %d %s, thread %d %s", in_barrier->index, whereabouts(in_barrier).c_str(),
                  in_cluster->index, whereabouts(in_cluster).c_str());
        else
            fault("cluster barrier: %d of %d threads of the cluster have arrived where thread %d %s", cluster.arrived,
                  cluster.threads, in_cluster->index, whereabouts(in_cluster).c_str());
        return;
    }
    if (!in_collective) {
        fault("early exit: %d of %d threads left the kernel before the barrier at %s", block.done, block.thread_count,
              site_text(in_barrier->site).text);
        return;
    }
    const Thread &one = *in_collective;
    uint32_t missing = 0;
    const Thread *first = nullptr;
    int first_lane = -1;
    for (int i = lanes - 1; i >= 0; i--) {
        const Thread *other = thread_at(warp_of(one), i);
        if (!(one.mask >> i & 1)) continue;
        if (other && other->state == State::in_collective && other->collective == one.collective &&
            other->mask == one.mask)
            continue;
        missing |= 1u << i, first = other, first_lane = i;
    }
    fault("deadlock: %s at %s, mask 0x%08x, warp %d, waits for lanes %s; lane %d %s", one.collective->name,
          site_text(one.site).text, one.mask, warp_of(one), lanes_text(missing).c_str(), first_lane,
          whereabouts(first).c_str());
}

} // namespace simt

const char *simt_report(void) {
    return simt::report.c_str();
}
