// Emulated PTX instructions: matrix fragments, matrix multiply, asynchronous copies, clusters. cuda/kernels/ptx.cuh has
// the layouts; fragments.cpp pins them to the PTX ISA.
#ifndef FS_TESTS_SIMT_INSTRUCTIONS_H
#define FS_TESTS_SIMT_INSTRUCTIONS_H

#include <cstdint>

namespace simt {

void mma_m16n8k16(float d[4], const uint32_t a[4], const uint32_t b[2]);
void ldmatrix_x4(uint32_t r[4], const void *row);
void ldmatrix_x2(uint32_t r[2], const void *row);

// The destination holds NaNs from the issue to the wait, where the copy is made.
void async_copy16(void *to, const void *from, bool valid);
void async_commit();
void async_wait(int left);

// griddepcontrol.wait and .launch_dependents.
void dependency_wait();
void dependency_release();

// Clusters: %cluster_ctarank, barrier.cluster, and loads from the shared memory of the block of that rank, from where
// `own` is in this block's.
int cluster_rank();
void cluster_arrive();
void cluster_wait();
void cluster_load(void *to, const void *own, int rank, unsigned bytes);

} // namespace simt

#endif
