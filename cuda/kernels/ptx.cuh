// Inline PTX behind named functions, each with its emulation for the CPU beside it: matrix fragments, matrix multiply,
// asynchronous copies, clusters.
#ifndef FS_CUDA_KERNELS_PTX_CUH
#define FS_CUDA_KERNELS_PTX_CUH

#include "cuda/kernels/device.cuh"

// D(16x8, float) += A(16x16, half) * B(16x8, half), one warp. Fragments as the PTX ISA gives them for mma.m16n8k16:
// a[0] rows g, k 2t..2t+1; a[1] rows g+8; a[2] rows g, k 2t+8..; a[3] rows g+8, k 2t+8..; b[0] k 2t.., column g; b[1] k
// 2t+8.., column g; d[0..1] row g, columns 2t, 2t+1; d[2..3] row g+8 (g = lane / 4, t = lane % 4).
// Volatile: a multiply of the whole warp must not sink into a branch that some lanes do not take.
FS_DEVICE void fs_mma_m16n8k16(float d[4], const uint32_t a[4], const uint32_t b[2]) {
#ifdef __CUDACC__
#if __CUDA_ARCH__ >= 800
    asm volatile(
        "mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
        : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
#elif defined(__CUDA_ARCH__)
    asm volatile("mma.sync.aligned.m16n8k8.row.col.f32.f16.f16.f32 {%0,%1,%2,%3}, {%4,%5}, {%6}, {%0,%1,%2,%3};"
                 : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
                 : "r"(a[0]), "r"(a[1]), "r"(b[0]));
    asm volatile("mma.sync.aligned.m16n8k8.row.col.f32.f16.f16.f32 {%0,%1,%2,%3}, {%4,%5}, {%6}, {%0,%1,%2,%3};"
                 : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
                 : "r"(a[2]), "r"(a[3]), "r"(b[1]));
#endif
#else
    simt::mma_m16n8k16(d, a, b);
#endif
}

// Four 8x8 matrices of halves from shared memory: lane i gives the address of row i % 8 of matrix i / 8 (16 bytes,
// aligned); lane i receives of each matrix row i / 4, columns 2 (i % 4) and the next.
FS_DEVICE void fs_ldmatrix_x4(uint32_t r[4], const void *row) {
#ifdef __CUDACC__
    const unsigned address = static_cast<unsigned>(__cvta_generic_to_shared(row));
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0,%1,%2,%3}, [%4];"
                 : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
                 : "r"(address)
                 : "memory");
#else
    simt::ldmatrix_x4(r, row);
#endif
}

FS_DEVICE void fs_ldmatrix_x2(uint32_t r[2], const void *row) {
#ifdef __CUDACC__
    const unsigned address = static_cast<unsigned>(__cvta_generic_to_shared(row));
    asm volatile("ldmatrix.sync.aligned.m8n8.x2.shared.b16 {%0,%1}, [%2];"
                 : "=r"(r[0]), "=r"(r[1])
                 : "r"(address)
                 : "memory");
#else
    simt::ldmatrix_x2(r, row);
#endif
}

// ---- programmatic dependent launch ----------------------------------------------------------------------------------
//
// From sm_90 on a kernel may start while the one in front of it in the stream still runs: it fetches what no kernel
// writes (weights, biases, tables), so that the gap between two kernels is not lost. Elsewhere, and where a kernel was
// launched plainly, both functions do nothing.
//
// Rules, for every kernel:
// 1. Every thread calls fs_dependency_wait, also one that has nothing to do.
// 2. Before it a thread writes no global memory, and reads none that any kernel writes.
// 3. fs_dependency_release comes after it.
// 4. What another kernel wrote is read by plain loads or fs_async_copy16, not by __ldg, whose cache the wait does not
//    bring up to date. (The head's kernels may: they are never started early, cuda/replay.c.) What should be fetched
//    before the wait is as well: the compiler may move an __ldg behind it.
//
// Why this is enough, though memory is used again within a frame (arena, scratch) and from frame to frame: let the
// stream hold kernels 1, 2, 3 .. n. "N has ended" means that all its blocks have returned and what they wrote is
// visible to the whole device; that is what the wait of N + 1 waits for, whenever N released it.
// - When a thread of N is past its wait, all of 1 .. N - 1 have ended. By induction: the wait gives that N - 1 has
// ended.
//   So all of its threads returned, and by rule 1 each had passed its own wait before, at which time all of 1 .. N - 2
//   had ended. A kernel that was launched plainly starts when everything in front of it has ended: the same holds from
//   its first instruction on, whether it waits or not (cuDNN's kernels, copies, the first kernel of a frame).
// - By rule 2 all of N's accesses to memory that kernels write come behind its wait, so behind the end of every earlier
//   kernel. Read after write: N finds what any earlier kernel wrote. Write after read and write after write: N may
//   overwrite what N - 1 reads, or what N - 5 wrote, since their last access is over. Which kernels touch what plays no
//   part, nor when a release comes: it only says when blocks of N + 1 may take what place is left on the GPU. Blocks of
//   N never wait for those: N + 1 starts when every block of N has released it or returned, so all have started by
//   then.
// - Rule 1 is what carries the chain: were there a thread of N that returns early, N could end before N - 1 has, and N
// +
//   1, past its wait for N, would meet N - 1 still at work.
// Rule 3 keeps the kernels on the GPU at any time to two, for the sake of room for blocks. The tests' SIMT layer checks
// rules 1 and 3 at every launch, its race build rule 2 (tests/simt/simt_run.h: simt_launch_early).

// Waits until the kernels in front of this one have ended and their results are visible.
FS_DEVICE void fs_dependency_wait() {
#ifndef __CUDACC__
    simt::dependency_wait();
#elif __CUDA_ARCH__ >= 900
    asm volatile("griddepcontrol.wait;" ::: "memory");
#endif
}

// Lets the kernel behind this one start, once all blocks have called it (or returned): best when the loads that this
// block waits for are under way.
FS_DEVICE void fs_dependency_release() {
#ifndef __CUDACC__
    simt::dependency_release();
#elif __CUDA_ARCH__ >= 900
    asm volatile("griddepcontrol.launch_dependents;" ::: "memory");
#endif
}

// ---- asynchronous copies --------------------------------------------------------------------------------------------

// 16 bytes from global to shared memory, both 16-byte aligned; zeros when `valid` is false (then `from` is not read,
// but must be a valid address of the same map). Below sm_80 an ordinary copy. Complete after fs_async_commit and a wait
// that leaves fewer groups open, by this thread; a barrier makes it visible to others.
FS_DEVICE void fs_async_copy16(void *to, const void *from, bool valid) {
#ifdef __CUDACC__
#if __CUDA_ARCH__ >= 800
    const unsigned address = static_cast<unsigned>(__cvta_generic_to_shared(to));
    const int bytes = valid ? 16 : 0;
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(address), "l"(from), "r"(bytes) : "memory");
#else
    *static_cast<uint4 *>(to) = valid ? *static_cast<const uint4 *>(from) : make_uint4(0, 0, 0, 0);
#endif
#else
    simt::async_copy16(to, from, valid);
#endif
}

FS_DEVICE void fs_async_commit() {
#ifdef __CUDACC__
#if __CUDA_ARCH__ >= 800
    asm volatile("cp.async.commit_group;" ::: "memory");
#endif
#else
    simt::async_commit();
#endif
}

// Waits until at most `left` of this thread's groups are open.
template <int left> FS_DEVICE void fs_async_wait() {
#ifdef __CUDACC__
#if __CUDA_ARCH__ >= 800
    asm volatile("cp.async.wait_group %0;" ::"n"(left) : "memory");
#endif
#else
    simt::async_wait(left);
#endif
}

// ---- clusters -------------------------------------------------------------------------------------------------------
//
// The blocks of a cluster (fs_launch.cluster, sm_90 and up) run at the same time and may read one another's shared
// memory. Rules, which the SIMT layer checks:
// 1. Every thread of every block calls arrive and wait, in turn and equally often.
// 2. A block's memory may be read by others behind a first barrier: before it the block may not have started.
// 3. A block must not leave while others may read its memory: what they read, they read before a last barrier.
// Below sm_90 these do nothing; a kernel that uses them is empty there, and never launched.

FS_DEVICE int fs_cluster_rank() {
#ifndef __CUDACC__
    return simt::cluster_rank();
#elif __CUDA_ARCH__ >= 900
    unsigned rank;
    asm("mov.u32 %0, %%cluster_ctarank;" : "=r"(rank));
    return static_cast<int>(rank);
#else
    return 0;
#endif
}

// What a thread wrote before it arrives, in whichever memory, is visible behind the wait to all threads of the cluster.
FS_DEVICE void fs_cluster_arrive() {
#ifndef __CUDACC__
    simt::cluster_arrive();
#elif __CUDA_ARCH__ >= 900
    asm volatile("barrier.cluster.arrive.release;" ::: "memory");
#endif
}

FS_DEVICE void fs_cluster_wait() {
#ifndef __CUDACC__
    simt::cluster_wait();
#elif __CUDA_ARCH__ >= 900
    asm volatile("barrier.cluster.wait.acquire;" ::: "memory");
#endif
}

// What the block of rank `rank` has where `own` is in this block's shared memory. 16-byte aligned.
FS_DEVICE float4 fs_cluster_load(const float4 *own, int rank) {
    float4 v = make_float4(0, 0, 0, 0);
#ifndef __CUDACC__
    simt::cluster_load(&v, own, rank, sizeof v);
#elif __CUDA_ARCH__ >= 900
    unsigned address = static_cast<unsigned>(__cvta_generic_to_shared(own));
    asm("mapa.shared::cluster.u32 %0, %0, %1;" : "+r"(address) : "r"(rank));
    asm volatile("ld.shared::cluster.v4.f32 {%0,%1,%2,%3}, [%4];"
                 : "=f"(v.x), "=f"(v.y), "=f"(v.z), "=f"(v.w)
                 : "r"(address));
#endif
    return v;
}

#endif
