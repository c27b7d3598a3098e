// Full-size planes: bilinear logits and their softmax, one plane per class each, and the confidence of the winner.
//
// A thread makes one pixel of all planes, so that a warp writes 32 neighbours of a plane. Four classes of a corner come
// in one 16-byte load, which the pixels of a cell share; they stay in the L1 cache. Softmax takes two passes over the
// classes: the running maximum and sum of exponentials, then the values; nothing is kept in between. Bound by the
// writing: 160 MB of float planes (80 MB of half) at 1024x2048 and 19 classes, 5 FLOPs and half an exponential each.
#include "cuda/kernels/device.cuh"
#include "cuda/kernels/ptx.cuh"

namespace {

constexpr int THREADS = 256;

struct Corners {
    const float *a, *b, *c, *d; // top left, top right, bottom left, bottom right
    float fy, fx;
};

// Down first, then along, with the roundings of cpu/head.c.
FS_DEVICE float mix(float a, float b, float c, float d, float fy, float fx) {
    const float left = __fmaf_rn(__fsub_rn(c, a), fy, a), right = __fmaf_rn(__fsub_rn(d, b), fy, b);
    return __fadd_rn(left, __fmul_rn(__fsub_rn(right, left), fx));
}

FS_DEVICE float4 mix4(const Corners &at, int k) {
    const float4 a = __ldg(reinterpret_cast<const float4 *>(at.a + k)),
                 b = __ldg(reinterpret_cast<const float4 *>(at.b + k));
    const float4 c = __ldg(reinterpret_cast<const float4 *>(at.c + k)),
                 d = __ldg(reinterpret_cast<const float4 *>(at.d + k));
    return make_float4(mix(a.x, b.x, c.x, d.x, at.fy, at.fx), mix(a.y, b.y, c.y, d.y, at.fy, at.fx),
                       mix(a.z, b.z, c.z, d.z, at.fy, at.fx), mix(a.w, b.w, c.w, d.w, at.fy, at.fx));
}

// One pixel of up to four planes.
template <typename T> FS_DEVICE void store4(T *out, long long plane, int count, const float4 &v) {
    fs_store(out, v.x);
    if (count > 1) fs_store(out + plane, v.y);
    if (count > 2) fs_store(out + 2 * plane, v.z);
    if (count > 3) fs_store(out + 3 * plane, v.w);
}

template <typename Score> FS_KERNEL(THREADS, 4) head_planes(const FS_PARAM fs_head_planes_params p) {
    fs_dependency_wait();
    fs_dependency_release();
    const int x = static_cast<int>(blockIdx.x) * THREADS + static_cast<int>(threadIdx.x), y = blockIdx.y;
    if (x >= p.width) return;
    const int classes = p.logits.c, pitch = p.logits.pitch;
    const fs_k_tap down = p.tap_y[y], along = p.tap_x[x];
    const float *top =
        static_cast<const float *>(p.logits.data) + static_cast<long long>(down.lower) * p.logits.w * pitch;
    const float *bottom =
        static_cast<const float *>(p.logits.data) + static_cast<long long>(down.upper) * p.logits.w * pitch;
    const long long left = static_cast<long long>(along.lower) * pitch,
                    right = static_cast<long long>(along.upper) * pitch;
    const Corners at = {top + left, top + right, bottom + left, bottom + right, down.fraction, along.fraction};

    float high = -3.402823466e38f, scale = 1.0f;
    if (p.scores || p.confidence) {
        float sum = 0.0f;
        for (int k = 0; k < classes; k += 4) {
            float4 v = mix4(at, k);
            if (k + 1 >= classes) v.y = -INFINITY;
            if (k + 2 >= classes) v.z = -INFINITY;
            if (k + 3 >= classes) v.w = -INFINITY;
            const float higher = fmaxf(fmaxf(fmaxf(v.x, v.y), fmaxf(v.z, v.w)), high);
            sum = sum * expf(high - higher) +
                  ((expf(v.x - higher) + expf(v.y - higher)) + (expf(v.z - higher) + expf(v.w - higher)));
            high = higher;
        }
        scale = 1.0f / sum; // also the largest value; a NaN among the logits is in the sum
        if (p.confidence)
            p.confidence[y * p.confidence_stride + x] =
                static_cast<uint8_t>(scale > 0.0f ? static_cast<int>(255.0f * scale + 0.5f) : 0);
    }
    if (!p.out && !p.scores) return;
    const long long plane = static_cast<long long>(p.height) * p.width;
    long long pixel = static_cast<long long>(y) * p.width + x;
    for (int k = 0; k < classes; k += 4, pixel += 4 * plane) {
        const float4 v = mix4(at, k);
        if (p.out) store4(p.out + pixel, plane, classes - k, v);
        if (p.scores)
            store4(static_cast<Score *>(p.scores) + pixel, plane, classes - k,
                   make_float4(expf(v.x - high) * scale, expf(v.y - high) * scale, expf(v.z - high) * scale,
                               expf(v.w - high) * scale));
    }
}

} // namespace

bool fs_launch_head_planes(const fs_head_planes_params *p, int sm, int variant, fs_launch *launch) {
    (void)sm;
    if (variant != 0) return false;
    const void *entry = p->scores_f16 ? FS_ENTRY((head_planes<__half>)) : FS_ENTRY((head_planes<float>));
    fs_launch_fill(launch, entry, p->scores_f16 ? "head planes f16" : "head planes f32", fs_blocks(p->width, THREADS),
                   static_cast<unsigned>(p->height), 1, THREADS, 0, *p);
    return true;
}
