// Clusters: blocks that run together, meet at a barrier of their own and read one another's shared memory.
#include "tests/simt/cluster.h"

#include <cstring>

#include "tests/simt/arena.h"
#include "tests/simt/instructions.h"
#include "tests/simt/observe.h"
#include "tests/simt/place.h"

extern uint3 blockIdx;

namespace simt {

Cluster cluster;

namespace {

Block members[cluster_most]; // of the cluster, but for the one that is `block`
uint3 first_block;

} // namespace

void cluster_enter(int rank) {
    if (rank == block.rank) return;
    members[block.rank] = block;
    const bool failed = block.failed;
    block = members[rank];
    block.failed = failed;
    blockIdx.x = first_block.x + static_cast<unsigned>(rank);
}

void cluster_start(int size, uint3 first) {
    cluster = {};
    cluster.size = size;
    cluster.threads = size * block.thread_count;
    first_block = blockIdx = first;
    block.rank = 0;
    for (int i = 1; i < size; i++) members[i] = block, members[i].rank = i;
}

void cluster_leave() {
    Cluster::Member &own = cluster.member[block.rank];
    own.left = true, cluster.left++;
    int waits = 0; // of the thread that has passed most cluster barriers: this block was here as long
    for (int i = 0; i < block.thread_count; i++)
        if (block.threads[i].waits > waits) waits = block.threads[i].waits;
    if (own.reader && own.reader_arrivals >= waits)
        fault("cluster: a block leaves while others may still read its shared memory: no cluster barrier since thread "
              "%d of its block %d read there, %s",
              own.reader_index, own.reader_rank, place_text(own.reader).text);
}

int cluster_rank() {
    return block.rank;
}

void cluster_arrive() {
    Thread &self = *block.current;
    if (self.arrivals != self.waits)
        fault("cluster barrier: a thread arrives twice without fs_cluster_wait, at %s",
              place_text(__builtin_return_address(0)).text);
    self.arrivals++;
    if (++cluster.arrived < cluster.threads) return;
    cluster.arrived = 0, cluster.barriers++;
    members[block.rank] = block;
    for (int rank = 0; rank < cluster.size; rank++)
        for (int i = 0; i < members[rank].thread_count; i++) {
            Thread &other = members[rank].threads[i];
            if (other.state == State::in_cluster) other.state = State::ready;
        }
}

void cluster_wait() {
    Thread &self = *block.current;
    const void *caller = __builtin_return_address(0);
    if (self.arrivals == self.waits)
        fault("cluster barrier: fs_cluster_wait without fs_cluster_arrive, at %s", place_text(caller).text);
    if (cluster.barriers < self.arrivals) wait_as(State::in_cluster, {nullptr, 0, caller});
    self.waits++;
}

void cluster_load(void *to, const void *own, int rank, unsigned bytes) {
    const void *caller = __builtin_return_address(0);
    const Thread &self = *block.current;
    if (reinterpret_cast<uintptr_t>(own) % bytes || !arena_holds(own) || !arena_place(own, bytes).inside)
        fault("cluster: %u bytes at %p are not a piece of a shared array, at %s", bytes, own, place_text(caller).text);
    if (rank < 0 || rank >= cluster.size)
        fault("cluster: there is no block %d in a cluster of %d, at %s", rank, cluster.size, place_text(caller).text);
    if (rank != block.rank) {
        Cluster::Member &other = cluster.member[rank];
        if (self.waits == 0)
            fault("cluster: read of the shared memory of block %d before the first cluster barrier, at %s: it may not "
                  "have started",
                  rank, place_text(caller).text);
        if (other.left)
            fault("cluster: read of the shared memory of block %d, which has left, at %s: a cluster barrier is missing "
                  "at its end",
                  rank, place_text(caller).text);
        if (!other.reader || self.arrivals >= other.reader_arrivals)
            other.reader = caller, other.reader_rank = block.rank, other.reader_index = self.index,
            other.reader_arrivals = self.arrivals;
    }
    const void *from = arena_counterpart(own, rank);
    observe_read(from, bytes, caller);
    memcpy(to, from, bytes);
}

} // namespace simt
