// Argmax of a full-size float map: the last step where the head is not fused.
//
// Four lanes a pixel read its classes in 16-byte pieces, so that a warp reads 8 pixels as they lie; two shuffles bring
// value and index together. Bytes bound: 200 MB at 1024x2048 and 19 classes (pitch 24), 38 M comparisons.
#include "cuda/kernels/device.cuh"
#include "cuda/kernels/ptx.cuh"

namespace {

constexpr int THREADS = 256, PIXELS = THREADS / 4;

FS_KERNEL(THREADS, 4)
argmax_f32(const FS_PARAM fs_argmax_params p) {
    fs_dependency_wait();
    fs_dependency_release();
    const int part = threadIdx.x % 4, y = blockIdx.y;
    const int x = static_cast<int>(blockIdx.x) * PIXELS + static_cast<int>(threadIdx.x) / 4;
    const bool inside = x < p.in.w;
    const float *v =
        static_cast<const float *>(p.in.data) + (static_cast<long long>(y) * p.in.w + (inside ? x : 0)) * p.in.pitch;
    const int classes = p.in.c;
    // No lane's first index is 0 but that of class 0, so that a NaN there stays unchallenged, as on the CPU.
    float best = -INFINITY;
    int index = 0;
    for (int k = part * 4; k < classes; k += 16) {
        const float4 four = __ldg(reinterpret_cast<const float4 *>(v + k)); // padding reaches the next multiple of 8
        if (four.x > best) best = four.x, index = k;
        if (k + 1 < classes && four.y > best) best = four.y, index = k + 1;
        if (k + 2 < classes && four.z > best) best = four.z, index = k + 2;
        if (k + 3 < classes && four.w > best) best = four.w, index = k + 3;
        if (k == 0 && !(four.x == four.x)) best = INFINITY, index = 0;
    }
    for (int step = 1; step < 4; step *= 2) {
        const float other = __shfl_xor_sync(0xFFFFFFFFu, best, step);
        const int k = __shfl_xor_sync(0xFFFFFFFFu, index, step);
        if (other > best || (other == best && k < index)) best = other, index = k;
    }
    if (inside && part == 0)
        p.labels[y * p.labels_stride + x] = p.map ? __ldg(p.map + index) : static_cast<uint8_t>(index);
}

} // namespace

bool fs_launch_argmax(const fs_argmax_params *p, int sm, int variant, fs_launch *launch) {
    (void)sm;
    if (variant != 0) return false;
    fs_launch_fill(launch, FS_ENTRY((argmax_f32)), "argmax", fs_blocks(p->in.w, PIXELS), static_cast<unsigned>(p->in.h),
                   1, THREADS, 0, *p);
    return true;
}
