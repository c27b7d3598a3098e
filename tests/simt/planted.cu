// The kernels of planted.h. Reports about a bug must name lines that are marked "<- " and the
// bug's name, or the name up to an underscore, and no others.
#include "tests/simt/planted.h"

#include "cuda/kernels/ptx.cuh"

namespace {

constexpr int threads = planted_threads;

FS_DEVICE int element() {
    return static_cast<int>(blockIdx.x * threads + threadIdx.x);
}
FS_DEVICE int reversed() {
    return static_cast<int>(blockIdx.x * threads + threads - 1 - threadIdx.x);
}

// ---- barriers
// ----------------------------------------------------------------------------------------------------------

template <bool good> FS_KERNEL(threads, 1) read_after_write(const FS_PARAM planted_params p) {
    FS_SHARED(float, tile, [threads]);
    tile[threadIdx.x] = p.in[element()]; // <- read_after_write
    if (good) __syncthreads();
    p.out[element()] = tile[threads - 1 - threadIdx.x]; // <- read_after_write
}

// The shuffle between keeps warps that take turns in step, as they happen to be on a GPU.
template <bool good> FS_KERNEL(threads, 1) write_after_read(const FS_PARAM planted_params p) {
    FS_SHARED(float, tile, [threads]);
    float value = 0;
    for (int pass = 0; pass < 2; pass++) {
        tile[threadIdx.x] = pass == 0 ? p.in[element()] : 1.0f; // <- write_after_read
        __syncthreads();
        const float read = tile[threads - 1 - threadIdx.x]; // <- write_after_read
        const float same = __shfl_sync(0xffffffff, read, static_cast<int>(threadIdx.x % 32));
        value = pass == 0 ? same : value * same;
        if (good) __syncthreads();
    }
    p.out[element()] = value;
}

template <bool good> FS_KERNEL(threads, 1) warp_barrier_for_block(const FS_PARAM planted_params p) {
    FS_SHARED(float, tile, [threads]);
    tile[threadIdx.x] = p.in[element()]; // <- warp_barrier_for_block
    good ? __syncthreads() : __syncwarp();
    p.out[element()] = tile[threads - 1 - threadIdx.x]; // <- warp_barrier_for_block
}

template <bool good> FS_KERNEL(threads, 1) no_warp_barrier(const FS_PARAM planted_params p) {
    FS_SHARED(float, tile, [threads]);
    tile[threadIdx.x] = p.in[element()]; // <- no_warp_barrier
    if (good) __syncwarp();
    const int other = static_cast<int>(threadIdx.x ^ 31);
    p.out[blockIdx.x * threads + threads - 1 - other] = tile[other]; // <- no_warp_barrier
}

template <bool good> FS_KERNEL(threads, 1) divergent_barrier(const FS_PARAM planted_params p) {
    FS_SHARED(float, tile, [threads]);
    tile[threadIdx.x] = p.in[element()];
    if (good || threadIdx.x < 32)
        __syncthreads(); // <- divergent_barrier
    else
        __syncthreads(); // <- divergent_barrier
    p.out[element()] = tile[threads - 1 - threadIdx.x];
}

template <bool good> FS_KERNEL(threads, 1) early_exit(const FS_PARAM planted_params p) {
    FS_SHARED(float, tile, [threads]);
    tile[threadIdx.x] = p.in[element()];
    if (!good && threadIdx.x == 77) return;
    __syncthreads(); // <- early_exit
    p.out[element()] = tile[threads - 1 - threadIdx.x];
}

// All threads store the same: harmless on most days, undefined on all.
template <bool good> FS_KERNEL(threads, 1) same_value(const FS_PARAM planted_params p) {
    FS_SHARED(int, flag, [1]);
    if (!good || threadIdx.x == 0) flag[0] = 1; // <- same_value
    __syncthreads();
    p.out[element()] = flag[0] ? p.in[reversed()] : 0.0f;
}

template <bool good> FS_KERNEL(threads, 1) atomic_then_read(const FS_PARAM planted_params p) {
    FS_SHARED(int, count, [1]);
    if (threadIdx.x == 0) count[0] = 0;
    __syncthreads();
    atomicAdd(&count[0], 1); // <- atomic_then_read
    if (good) __syncthreads();
    p.out[element()] = count[0] == threads ? p.in[reversed()] : 0.0f; // <- atomic_then_read
}

// ---- shared memory
// -----------------------------------------------------------------------------------------------------

template <bool good> FS_KERNEL(threads, 1) unwritten(const FS_PARAM planted_params p) {
    FS_SHARED(float, tile, [threads + 8]);
    tile[threadIdx.x] = p.in[element()];
    if (good && threadIdx.x < 8) tile[threads + threadIdx.x] = 0;
    __syncthreads();
    p.out[element()] = tile[threads - 1 - threadIdx.x] + tile[threads + threadIdx.x % 8]; // <- unwritten
}

// fmaxf drops the NaN that would have told.
template <bool good> FS_KERNEL(threads, 1) unwritten_maximum(const FS_PARAM planted_params p) {
    FS_SHARED(float, tile, [threads + 8]);
    tile[threadIdx.x] = p.in[element()];
    if (good && threadIdx.x < 8) tile[threads + threadIdx.x] = 0;
    __syncthreads();
    p.out[element()] = fmaxf(tile[threads - 1 - threadIdx.x], tile[threads + threadIdx.x % 8]); // <- unwritten_maximum
}

template <bool good> FS_KERNEL(threads, 1) shared_write_past(const FS_PARAM planted_params p) {
    FS_SHARED(float, tile, [threads]);
    FS_SHARED(float, next, [threads]);
    tile[threadIdx.x] = p.in[element()];
    next[threadIdx.x] = 0;
    if (!good && threadIdx.x == 9) tile[p.past] = 1; // <- shared_write_past
    __syncthreads();
    p.out[element()] = tile[threads - 1 - threadIdx.x] + next[threadIdx.x];
}

template <bool good> FS_KERNEL(threads, 1) shared_read_past(const FS_PARAM planted_params p) {
    FS_SHARED(float, tile, [threads]);
    tile[threadIdx.x] = p.in[element()];
    __syncthreads();
    p.out[element()] = tile[threads - 1 - threadIdx.x];
    if (!good && tile[p.past] == 12345.0f) p.out[element()] = 0; // <- shared_read_past
}

// The launch asks for planted_shared bytes.
template <bool good> FS_KERNEL(threads, 1) dynamic_write_past(const FS_PARAM planted_params p) {
    FS_SHARED_DYNAMIC(float, tile);
    tile[threadIdx.x] = p.in[element()];
    if (!good && threadIdx.x == 100) tile[p.past] = 1; // <- dynamic_write_past
    __syncthreads();
    p.out[element()] = tile[threads - 1 - threadIdx.x];
}

template <bool good> FS_KERNEL(threads, 1) misaligned(const FS_PARAM planted_params p) {
    FS_SHARED(float, tile, [threads + 8]);
    tile[threadIdx.x] = p.in[element()];
    if (threadIdx.x < 8) tile[threads + threadIdx.x] = 0;
    __syncthreads();
    const auto *wide = reinterpret_cast<const float4 *>(tile + (good ? 4 : p.one)); // <- misaligned
    const float first = wide[threadIdx.x / 4].x;                                    // <- misaligned
    p.out[element()] = tile[threads - 1 - threadIdx.x] + 0 * first;
}

// Too deep a recursion for a thread's stack.
float descend(int depth, float x) {
    volatile float local[256];
    local[depth % 256] = x;
    return depth == 0 ? x : descend(depth - 1, x) + 0 * local[depth % 256];
}
template <bool good> FS_KERNEL(threads, 1) stack_overflow(const FS_PARAM planted_params p) {
    p.out[element()] = descend(good ? 3 : p.past * 8, p.in[reversed()]);
}

// ---- global memory
// -----------------------------------------------------------------------------------------------------

template <bool good> FS_KERNEL(threads, 1) global_write_past(const FS_PARAM planted_params p) {
    p.out[element()] = p.in[reversed()];
    if (!good && element() == planted_blocks * threads - 1) p.out[element() + p.one] = 0; // <- global_write_past
}

template <bool good> FS_KERNEL(threads, 1) global_read_before(const FS_PARAM planted_params p) {
    p.out[element()] = p.in[reversed()];
    if (!good && element() == 0 && p.in[-p.one] == 12345.0f) p.out[0] = 0; // <- global_read_before
}

template <bool good> FS_KERNEL(threads, 1) blocks_write_same(const FS_PARAM planted_params p) {
    p.out[element()] = p.in[reversed()]; // <- blocks_write_same
    if (!good && threadIdx.x == 0 && blockIdx.x > 0)
        p.out[element() - 1] = p.in[element() - threads]; // <- blocks_write_same
}

template <bool good> FS_KERNEL(threads, 1) threads_write_same(const FS_PARAM planted_params p) {
    p.out[good ? element() : (element() & ~1)] = p.in[reversed()]; // <- threads_write_same
}

// ---- blocks that hand over to the last one
// -----------------------------------------------------------------------------

// Every block leaves its part in memory, and the last to arrive makes all outputs.
template <bool barrier, bool release, bool acquire, int last = planted_blocks>
FS_DEVICE void hand_over(const planted_params &p, bool late = false) {
    FS_SHARED(unsigned, arrived, [1]);
    if (!late) p.middle[element()] = p.in[reversed()]; // <- handover
    if (barrier) __syncthreads();
    if (threadIdx.x == 0) {
        if (release) __threadfence();
        arrived[0] = atomicAdd(p.count, 1u);
        if (acquire) __threadfence();
    }
    if (late) p.middle[element()] = p.in[reversed()]; // <- handover
    __syncthreads();
    if (arrived[0] != last - 1) return;
    for (int i = static_cast<int>(threadIdx.x); i < planted_blocks * threads; i += threads)
        p.out[i] = p.middle[i]; // <- handover
}
template <bool good> FS_KERNEL(threads, 1) handover_no_barrier(const FS_PARAM planted_params p) {
    hand_over<good, true, true>(p); // <- handover
}
template <bool good> FS_KERNEL(threads, 1) handover_no_release(const FS_PARAM planted_params p) {
    hand_over<true, good, true>(p); // <- handover
}
template <bool good> FS_KERNEL(threads, 1) handover_no_acquire(const FS_PARAM planted_params p) {
    hand_over<true, true, good>(p); // <- handover
}
template <bool good> FS_KERNEL(threads, 1) handover_too_late(const FS_PARAM planted_params p) {
    hand_over<true, true, true>(p, !good); // <- handover
}
template <bool good> FS_KERNEL(threads, 1) handover_not_the_last(const FS_PARAM planted_params p) {
    hand_over<true, true, true, good ? planted_blocks : planted_blocks - 1>(p); // <- handover
}

// ---- asynchronous copies
// -----------------------------------------------------------------------------------------------

// The first quarter of the threads copies, 16 bytes each, in two groups.
template <int wait, bool barrier> FS_DEVICE void copies(const planted_params &p) {
    FS_SHARED(float, tile, [2][threads]);
    const int from = static_cast<int>(threadIdx.x % 32) * 4;
    for (int group = 0; group < 2; group++) {
        if (threadIdx.x < 32)
            fs_async_copy16(&tile[group][from], p.in + blockIdx.x * threads + from, group == 1); // <- copy
        fs_async_commit();
    }
    if (wait >= 0) fs_async_wait<wait >= 0 ? wait : 0>(); // <- copy
    if (barrier) __syncthreads();
    const int i = static_cast<int>(threads - 1 - threadIdx.x);
    p.out[element()] = tile[0][i] + tile[1][i]; // <- copy
}
template <bool good> FS_KERNEL(threads, 1) copy_not_waited(const FS_PARAM planted_params p) {
    copies<good ? 0 : -1, true>(p); // <- copy_not_waited
}
template <bool good> FS_KERNEL(threads, 1) copy_wait_too_weak(const FS_PARAM planted_params p) {
    copies<good ? 0 : 1, true>(p); // <- copy_wait_too_weak
}
template <bool good> FS_KERNEL(threads, 1) copy_without_barrier(const FS_PARAM planted_params p) {
    copies<0, good>(p); // <- copy_without_barrier
}

// The next copy into a buffer that slower warps still read.
template <bool good> FS_KERNEL(threads, 1) copy_too_early(const FS_PARAM planted_params p) {
    FS_SHARED(float, tile, [threads]);
    tile[threadIdx.x] = p.in[element()];
    __syncthreads();
    const float read = tile[threads - 1 - threadIdx.x]; // <- copy_too_early
    const float value = __shfl_sync(0xffffffff, read, static_cast<int>(threadIdx.x % 32));
    if (good) __syncthreads();
    if (threadIdx.x < 32) fs_async_copy16(&tile[threadIdx.x * 4], p.in, false); // <- copy_too_early
    fs_async_commit();
    fs_async_wait<0>();
    __syncthreads();
    p.out[element()] = value + tile[threadIdx.x];
}

// ---- warps
// -------------------------------------------------------------------------------------------------------------

template <bool good> FS_KERNEL(threads, 1) shuffle_lanes_missing(const FS_PARAM planted_params p) {
    float value = p.in[reversed()];
    if (good || threadIdx.x % 32 < 16) value += 0 * __shfl_xor_sync(0xffffffff, value, 1); // <- shuffle_lanes_missing
    p.out[element()] = value;
}

template <bool good> FS_KERNEL(threads, 1) shuffle_after_exit(const FS_PARAM planted_params p) {
    p.out[element()] = p.in[reversed()];
    if (!good && threadIdx.x % 32 == 31) return;
    const float value = __shfl_sync(0xffffffff, p.in[reversed()], 0); // <- shuffle_after_exit
    if (value < 0) p.out[element()] = 0;
}

template <bool good> FS_KERNEL(threads, 1) shuffle_outside_mask(const FS_PARAM planted_params p) {
    float value = p.in[reversed()];
    if (threadIdx.x % 32 < 16) {
        const float other = __shfl_xor_sync(0xffff, value, good ? 8 : 16); // <- shuffle_outside_mask
        value = value + 0 * other;
    }
    p.out[element()] = value;
}

template <bool good> FS_KERNEL(threads, 1) vote_not_in_mask(const FS_PARAM planted_params p) {
    const unsigned votes = __ballot_sync(good ? 0xffffffff : 0x7fffffff, 1); // <- vote_not_in_mask
    p.out[element()] = votes ? p.in[reversed()] : 0.0f;
}

template <bool good> FS_KERNEL(threads, 1) partial_matrix_load(const FS_PARAM planted_params p) {
    FS_SHARED(float, tile, [threads]);
    tile[threadIdx.x] = p.in[element()];
    __syncthreads();
    uint32_t r[4] = {};
    if (good || threadIdx.x % 32 < 8) fs_ldmatrix_x4(r, &tile[threadIdx.x / 4 * 4]); // <- partial_matrix_load
    p.out[element()] = tile[threads - 1 - threadIdx.x] + 0 * static_cast<float>(r[0] & 1);
}

// ---- dependent launch ----------------------------------------------------------------------------------------------

// What every kernel of a frame does: wait, work, and let the next one start.
template <bool good> FS_KERNEL(threads, 1) read_before_dependency(const FS_PARAM planted_params p) {
    const float early = good ? 0 : p.in[reversed()]; // <- read_before_dependency
    fs_dependency_wait();
    fs_dependency_release();
    p.out[element()] = good ? p.in[reversed()] : early;
}

template <bool good> FS_KERNEL(threads, 1) copy_before_dependency(const FS_PARAM planted_params p) {
    FS_SHARED(float, tile, [threads]);
    const int piece = static_cast<int>(threadIdx.x) * 4;
    const float *from = p.in + blockIdx.x * threads + piece;
    if (!good && piece < threads) fs_async_copy16(tile + piece, from, true); // <- copy_before_dependency
    fs_dependency_wait();
    if (good && piece < threads) fs_async_copy16(tile + piece, from, true);
    fs_async_commit();
    fs_async_wait<0>();
    __syncthreads();
    p.out[element()] = tile[threads - 1 - threadIdx.x];
}

// The kernel in front may still read what is written here.
template <bool good> FS_KERNEL(threads, 1) write_before_dependency(const FS_PARAM planted_params p) {
    if (!good) p.out[element()] = 0; // <- write_before_dependency
    fs_dependency_wait();
    p.out[element()] = p.in[reversed()];
}

// Threads with nothing to do leave: then this kernel may have ended before the one in front of it has.
template <bool good> FS_KERNEL(threads, 1) leaves_without_waiting(const FS_PARAM planted_params p) {
    const bool idle = blockIdx.x == 1 && threadIdx.x >= 96;
    if (!good && idle) return;
    fs_dependency_wait();
    p.out[element()] = p.in[reversed()];
}

template <bool good> FS_KERNEL(threads, 1) release_before_dependency(const FS_PARAM planted_params p) {
    if (good) fs_dependency_wait();
    fs_dependency_release(); // <- release_before_dependency
    if (!good) fs_dependency_wait();
    p.out[element()] = p.in[reversed()];
}

// ---- clusters
// ----------------------------------------------------------------------------------------------------------

FS_DEVICE void cluster_barrier() {
    fs_cluster_arrive();
    fs_cluster_wait();
}

// A block has the next block's elements and takes its own from the one before it, four at a time.
struct Passed {
    int next, previous;
};
FS_DEVICE Passed neighbours() {
    const int rank = fs_cluster_rank();
    return {(rank + 1) % planted_blocks, (rank + planted_blocks - 1) % planted_blocks};
}
FS_DEVICE void reverse(const planted_params &p, const float4 &v) {
    float *const to = p.out + blockIdx.x * threads + threads - 4 - threadIdx.x * 4;
    to[0] = v.w, to[1] = v.z, to[2] = v.y, to[3] = v.x;
}

template <bool good> FS_KERNEL(threads, 1) cluster_read_too_early(const FS_PARAM planted_params p) {
    FS_SHARED(float4, tile, [threads / 4]);
    const Passed block = neighbours();
    reinterpret_cast<float *>(tile)[threadIdx.x] = p.in[block.next * threads + static_cast<int>(threadIdx.x)];
    good ? cluster_barrier() : __syncthreads();
    if (threadIdx.x < 32) reverse(p, fs_cluster_load(tile + threadIdx.x, block.previous)); // <- cluster_read_too_early
    cluster_barrier();
}

// The neighbour may not be as far as the second pass, or a pass ahead.
template <bool good> FS_KERNEL(threads, 1) cluster_barrier_for_block(const FS_PARAM planted_params p) {
    FS_SHARED(float4, tile, [threads / 4]);
    const Passed block = neighbours();
    const float own = p.in[block.next * threads + static_cast<int>(threadIdx.x)];
    reinterpret_cast<float *>(tile)[threadIdx.x] = 0; // <- cluster_barrier_for_block
    cluster_barrier();
    reinterpret_cast<float *>(tile)[threadIdx.x] = own; // <- cluster_barrier_for_block
    good ? cluster_barrier() : __syncthreads();
    if (threadIdx.x < 32)
        reverse(p, fs_cluster_load(tile + threadIdx.x, block.previous)); // <- cluster_barrier_for_block
    cluster_barrier();
}

// The block overwrites what another may still read.
template <bool good> FS_KERNEL(threads, 1) cluster_overwrite(const FS_PARAM planted_params p) {
    FS_SHARED(float4, tile, [threads / 4]);
    const Passed block = neighbours();
    reinterpret_cast<float *>(tile)[threadIdx.x] = p.in[block.next * threads + static_cast<int>(threadIdx.x)];
    cluster_barrier();
    float4 v = {};
    if (threadIdx.x < 32) v = fs_cluster_load(tile + threadIdx.x, block.previous); // <- cluster_overwrite
    good ? cluster_barrier() : __syncthreads();
    reinterpret_cast<float *>(tile)[threadIdx.x] = 0; // <- cluster_overwrite
    if (threadIdx.x < 32) reverse(p, v);
    cluster_barrier();
}

template <bool good> FS_KERNEL(threads, 1) cluster_leaves_early(const FS_PARAM planted_params p) {
    FS_SHARED(float4, tile, [threads / 4]);
    const Passed block = neighbours();
    reinterpret_cast<float *>(tile)[threadIdx.x] = p.in[block.next * threads + static_cast<int>(threadIdx.x)];
    cluster_barrier();
    if (threadIdx.x < 32) reverse(p, fs_cluster_load(tile + threadIdx.x, block.previous)); // <- cluster_leaves_early
    if (good) cluster_barrier();
}

// A barrier that is over before the read does not hold the block.
template <bool good> FS_KERNEL(threads, 1) cluster_arrives_early(const FS_PARAM planted_params p) {
    FS_SHARED(float4, tile, [threads / 4]);
    const Passed block = neighbours();
    reinterpret_cast<float *>(tile)[threadIdx.x] = p.in[block.next * threads + static_cast<int>(threadIdx.x)];
    cluster_barrier();
    if (!good) fs_cluster_arrive();
    if (threadIdx.x < 32) reverse(p, fs_cluster_load(tile + threadIdx.x, block.previous)); // <- cluster_arrives_early
    if (good) fs_cluster_arrive();
    fs_cluster_wait();
}

template <bool good> FS_KERNEL(threads, 1) cluster_thread_missing(const FS_PARAM planted_params p) {
    if (!good && blockIdx.x == 1 && threadIdx.x == 77) return;
    fs_cluster_arrive();
    fs_cluster_wait(); // <- cluster_thread_missing
    p.out[element()] = p.in[reversed()];
}

template <bool good> FS_KERNEL(threads, 1) cluster_not_waited(const FS_PARAM planted_params p) {
    p.out[element()] = p.in[reversed()];
    fs_cluster_arrive();
    if (good) fs_cluster_wait();
}

template <bool good> FS_KERNEL(threads, 1) cluster_arrives_twice(const FS_PARAM planted_params p) {
    p.out[element()] = p.in[reversed()];
    fs_cluster_arrive();
    if (!good) fs_cluster_arrive(); // <- cluster_arrives_twice
    fs_cluster_wait();
}

template <bool good> FS_KERNEL(threads, 1) cluster_read_past(const FS_PARAM planted_params p) {
    FS_SHARED(float4, tile, [threads / 4]);
    reinterpret_cast<float *>(tile)[threadIdx.x] = 0;
    p.out[element()] = p.in[reversed()];
    cluster_barrier();
    fs_cluster_load(tile + (good ? 0 : p.past / 4), 0); // <- cluster_read_past
    cluster_barrier();
}

template <bool good> FS_KERNEL(threads, 1) cluster_no_such_block(const FS_PARAM planted_params p) {
    FS_SHARED(float4, tile, [threads / 4]);
    reinterpret_cast<float *>(tile)[threadIdx.x] = 0;
    p.out[element()] = p.in[reversed()];
    cluster_barrier();
    fs_cluster_load(tile, good ? 0 : planted_blocks); // <- cluster_no_such_block
    cluster_barrier();
}

} // namespace

const char planted_wrong[] = "wrong result";

#define TWINS(kernel) #kernel, FS_ENTRY((kernel <false>)), FS_ENTRY((kernel <true>))
#define CLUSTER(kernel, report) TWINS(kernel), report, report, report, nullptr, nullptr, false, planted_blocks
const Planted planted[] = {
    {TWINS(read_after_write), planted_wrong, planted_wrong, "shared memory", nullptr},
    {TWINS(write_after_read), nullptr, planted_wrong, "race in shared memory", nullptr},
    {TWINS(warp_barrier_for_block), nullptr, planted_wrong, "shared memory", nullptr},
    {TWINS(no_warp_barrier), planted_wrong, planted_wrong, "shared memory", nullptr},
    {TWINS(divergent_barrier), "divergent barrier", "divergent barrier", "divergent barrier", nullptr},
    {TWINS(early_exit), "early exit: 1 of 128", "early exit: 1 of 128", "early exit: 1 of 128", nullptr},
    {TWINS(same_value), nullptr, nullptr, "race in shared memory", nullptr},
    {TWINS(atomic_then_read), planted_wrong, planted_wrong, "race in shared memory", nullptr},
    {TWINS(unwritten), planted_wrong, planted_wrong, "nobody has written", nullptr},
    {TWINS(unwritten_maximum), nullptr, nullptr, "nobody has written", nullptr},
    {TWINS(shared_write_past), "behind tile", "behind tile", "shared memory out of bounds", "out of bounds for type"},
    {TWINS(shared_read_past), nullptr, nullptr, "shared memory out of bounds", "out of bounds for type"},
    {TWINS(dynamic_write_past), "behind dynamic", "behind dynamic", "shared memory out of bounds", "use-after-poison"},
    {TWINS(misaligned), nullptr, nullptr, nullptr, "misaligned address"},
    {TWINS(stack_overflow), nullptr, nullptr, nullptr, "stack-overflow", "stack overflow in thread"},
    {TWINS(global_write_past), nullptr, nullptr, "global memory out of bounds", "heap-buffer-overflow"},
    {TWINS(global_read_before), nullptr, nullptr, "global memory out of bounds", "heap-buffer-overflow"},
    {TWINS(blocks_write_same), nullptr, nullptr, "conflict in global memory", nullptr},
    {TWINS(threads_write_same), planted_wrong, planted_wrong, "conflict in global memory", nullptr},
    {TWINS(handover_no_barrier), nullptr, nullptr, "conflict in global memory", nullptr},
    {TWINS(handover_no_release), nullptr, nullptr, "conflict in global memory", nullptr},
    {TWINS(handover_no_acquire), nullptr, nullptr, "conflict in global memory", nullptr},
    {TWINS(handover_too_late), nullptr, nullptr, "conflict in global memory", nullptr},
    {TWINS(handover_not_the_last), planted_wrong, planted_wrong, "conflict in global memory", nullptr},
    {TWINS(copy_not_waited), planted_wrong, planted_wrong, "copy in flight", nullptr},
    {TWINS(copy_wait_too_weak), planted_wrong, planted_wrong, "copy in flight", nullptr},
    {TWINS(copy_without_barrier), planted_wrong, planted_wrong, "shared memory", nullptr},
    {TWINS(copy_too_early), nullptr, planted_wrong, "race in shared memory", nullptr},
    {TWINS(shuffle_lanes_missing), "waits for lanes 16..31", "waits for lanes 16..31", "deadlock", nullptr},
    {TWINS(shuffle_after_exit), "lane 31 has left", "lane 31 has left", "deadlock", nullptr},
    {TWINS(shuffle_outside_mask), "not in the mask", "not in the mask", "not in the mask", nullptr},
    {TWINS(vote_not_in_mask), "not in its own mask", "not in its own mask", "not in its own mask", nullptr},
    {TWINS(partial_matrix_load), "waits for lanes 8..31", "waits for lanes 8..31", "deadlock", nullptr},
    {TWINS(read_before_dependency), nullptr, nullptr, "before fs_dependency_wait", nullptr, nullptr, true},
    {TWINS(copy_before_dependency), nullptr, nullptr, "before fs_dependency_wait", nullptr, nullptr, true},
    {TWINS(write_before_dependency), nullptr, nullptr, "before fs_dependency_wait", nullptr, nullptr, true},
    {TWINS(leaves_without_waiting), "leaves without", "leaves without", "leaves without", nullptr, nullptr, true},
    {TWINS(release_before_dependency), "before fs_dependency_wait", "before fs_dependency_wait",
     "before fs_dependency_wait", nullptr, nullptr, true},
    {CLUSTER(cluster_read_too_early, "before the first cluster barrier")},
    {TWINS(cluster_barrier_for_block), nullptr, nullptr, "race in shared memory", nullptr, nullptr, false, 3},
    {TWINS(cluster_overwrite), nullptr, nullptr, "race in shared memory", nullptr, nullptr, false, 3},
    {CLUSTER(cluster_leaves_early, "cluster: ")},
    {CLUSTER(cluster_arrives_early, "may still read its shared memory")},
    {CLUSTER(cluster_thread_missing, "383 of 384 threads of the cluster have arrived")},
    {CLUSTER(cluster_not_waited, "leaves between")},
    {CLUSTER(cluster_arrives_twice, "arrives twice")},
    {CLUSTER(cluster_read_past, "not a piece of a shared array")},
    {CLUSTER(cluster_no_such_block, "no block 3 in a cluster of 3")},
};
const int planted_count = static_cast<int>(sizeof planted / sizeof *planted);
