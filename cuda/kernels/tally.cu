// What follows the labels: pixels of each class, and the label map where the classes were needed before it.
//
// 128 blocks take rows in turn. A thread keeps the class that it saw last and how often, and adds to its warp's counts
// in shared memory when another one comes: the classes of a street lie in large areas, so that is seldom. A second
// launch of one block adds the blocks' counts up, in 32-bit integers: the order cannot matter. Bound by reading: 2.1 MB
// at 1024x2048 (and as much written with a map), which are still in L2.
#include "cuda/kernels/device.cuh"
#include "cuda/kernels/ptx.cuh"

namespace {

constexpr int THREADS = 256, WARPS = THREADS / 32, CLASSES = 256;

struct Run {
    unsigned *counts; // NULL: nothing is counted
    int value, length;
};

FS_DEVICE void see(Run &run, int value) {
    if (value != run.value) {
        if (run.length != 0 && run.counts) atomicAdd(run.counts + run.value, static_cast<unsigned>(run.length));
        run.value = value, run.length = 0;
    }
    run.length++;
}

FS_KERNEL(THREADS, 4)
tally_classes(const FS_PARAM fs_tally_params p) {
    fs_dependency_wait();
    fs_dependency_release();
    FS_SHARED(unsigned, counts, [WARPS * CLASSES]);
    const int thread = threadIdx.x;
    for (int n = thread; n < WARPS * CLASSES; n += THREADS) counts[n] = 0;
    __syncthreads();
    Run run = {p.partial ? counts + thread / 32 * CLASSES : nullptr, 0, 0};
    const bool aligned = (reinterpret_cast<uintptr_t>(p.labels) | static_cast<uintptr_t>(p.stride)) % 4 == 0;
    const int words = aligned ? p.width / 4 : 0;
    for (int y = static_cast<int>(blockIdx.x); y < p.height; y += static_cast<int>(gridDim.x)) {
        uint8_t *row = p.labels + y * p.stride;
        for (int q = thread; q < words; q += THREADS) {
            const uint32_t four = reinterpret_cast<const uint32_t *>(row)[q];
            uint32_t mapped = 0;
#pragma unroll
            for (int n = 0; n < 4; n++) {
                const int value = static_cast<int>(four >> (8 * n) & 255);
                see(run, value);
                if (p.map) mapped |= static_cast<uint32_t>(__ldg(p.map + value)) << (8 * n);
            }
            if (p.map) reinterpret_cast<uint32_t *>(row)[q] = mapped;
        }
        for (int x = words * 4 + thread; x < p.width; x += THREADS) {
            const int value = row[x];
            see(run, value);
            if (p.map) row[x] = __ldg(p.map + value);
        }
    }
    see(run, -1);
    if (!p.partial) return;
    __syncthreads();
    for (int k = thread; k < p.classes; k += THREADS) {
        unsigned sum = 0;
#pragma unroll
        for (int n = 0; n < WARPS; n++) sum += counts[n * CLASSES + k];
        p.partial[static_cast<int>(blockIdx.x) * p.classes + k] = sum;
    }
}

constexpr int blocks_of(int height) {
    return height < FS_K_TALLY_BLOCKS ? height : FS_K_TALLY_BLOCKS;
}

FS_KERNEL(THREADS, 1)
tally_total(const FS_PARAM fs_tally_params p) {
    fs_dependency_wait();
    fs_dependency_release();
    const int k = threadIdx.x, blocks = p.height < FS_K_TALLY_BLOCKS ? p.height : FS_K_TALLY_BLOCKS;
    if (k >= p.classes) return;
    unsigned sum = 0;
#pragma unroll 8
    for (int n = 0; n < blocks; n++) sum += p.partial[n * p.classes + k];
    p.histogram[k] = sum;
}

} // namespace

bool fs_launch_tally(const fs_tally_params *p, int sm, int variant, fs_launch *launch) {
    (void)sm;
    if (variant != 0) return false;
    if (p->stage == 0)
        fs_launch_fill(launch, FS_ENTRY((tally_classes)), "tally classes", static_cast<unsigned>(blocks_of(p->height)),
                       1, 1, THREADS, 0, *p);
    else
        fs_launch_fill(launch, FS_ENTRY((tally_total)), "tally total", 1, 1, 1, THREADS, 0, *p);
    return true;
}
