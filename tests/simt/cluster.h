// The cluster that runs: how its blocks take turns, its barrier, and who has read whose shared memory. Internal to the
// layer; a plain launch is a cluster of one block.
#ifndef FS_TESTS_SIMT_CLUSTER_H
#define FS_TESTS_SIMT_CLUSTER_H

#include <vector_types.h>

#include "tests/simt/block.h"

namespace simt {

struct Cluster {
    int size, left;       // blocks; that have left
    int threads, arrived; // of all blocks; at the cluster barrier
    int barriers;         // that are complete
    struct Member {
        bool left;
        // The thread of another block that may be the last to have read this one's shared memory.
        const void *reader; // where; null: none
        int reader_rank, reader_index, reader_arrivals;
    } member[cluster_most];
};
extern Cluster cluster;

// Makes the block of this rank the one that runs.
void cluster_enter(int rank);
// For a fresh cluster, whose blocks are those from `first` on along x.
void cluster_start(int size, uint3 first);
// The block that runs has no threads any more: a fault if others may still read its shared memory.
void cluster_leave();

} // namespace simt

#endif
