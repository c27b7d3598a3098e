// What the pyramid's kernels share: how the map is cut into rectangles, the 50 cells, and the bilinear way up.
#ifndef FS_CUDA_KERNELS_PYRAMID_CUH
#define FS_CUDA_KERNELS_PYRAMID_CUH

#include "cuda/kernels/ptx.cuh"

namespace pyramid {

constexpr int WIDE = 128, NARROW = 32; // channels of the map and of a branch

FS_DEVICE void load8(const __half *p, float v[8]) {
    const uint4 raw = *reinterpret_cast<const uint4 *>(p);
    const uint32_t word[4] = {raw.x, raw.y, raw.z, raw.w};
#pragma unroll
    for (int i = 0; i < 4; i++) {
        __half2 two;
        memcpy(static_cast<void *>(&two), &word[i], sizeof two);
        const float2 f = __half22float2(two);
        v[2 * i] = f.x, v[2 * i + 1] = f.y;
    }
}
FS_DEVICE void load8(const float *p, float v[8]) {
    const float4 a = reinterpret_cast<const float4 *>(p)[0], b = reinterpret_cast<const float4 *>(p)[1];
    v[0] = a.x, v[1] = a.y, v[2] = a.z, v[3] = a.w, v[4] = b.x, v[5] = b.y, v[6] = b.z, v[7] = b.w;
}
FS_DEVICE void store8(__half *p, const float v[8]) {
    uint32_t word[4];
#pragma unroll
    for (int i = 0; i < 4; i++) {
        const __half2 two = __floats2half2_rn(v[2 * i], v[2 * i + 1]);
        memcpy(&word[i], &two, sizeof two);
    }
    *reinterpret_cast<uint4 *>(p) = make_uint4(word[0], word[1], word[2], word[3]);
}
FS_DEVICE void store8(float *p, const float v[8]) {
    reinterpret_cast<float4 *>(p)[0] = make_float4(v[0], v[1], v[2], v[3]);
    reinterpret_cast<float4 *>(p)[1] = make_float4(v[4], v[5], v[6], v[7]);
}

// fs_pool_bin.
__host__ __device__ constexpr int bin_begin(int i, int bins, int n) {
    return static_cast<int>(static_cast<long long>(i) * n / bins);
}
__host__ __device__ constexpr int bin_end(int i, int bins, int n) {
    return static_cast<int>((static_cast<long long>(i + 1) * n + bins - 1) / bins);
}

// One axis cut at every border of bins 1, 2, 3 and 6: f(0) = 0 | f(1) | c(1) | f(2) | c(2) .. c(5) | f(6) = n, where
// f(i) = floor(i n / 6), c(i) = ceil(i n / 6). Interval 2 i is the inner part of bin i, interval 2 i - 1 what bins i -
// 1 and i share. That order holds from 6 pixels on.
__host__ __device__ constexpr int intervals(int n) {
    return n < 6 ? n : 11;
}
__host__ __device__ constexpr int interval_begin(int i, int n) {
    return n < 6 ? i : i % 2 == 1 ? bin_begin(i / 2 + 1, 6, n) : i == 0 ? 0 : bin_end(i / 2 - 1, 6, n);
}
// Intervals [begin, end) of bin i of `bins`.
__host__ __device__ constexpr int first_interval(int i, int bins, int n) {
    return n < 6 ? bin_begin(i, bins, n) : i == 0 ? 0 : 2 * i * (6 / bins) - 1;
}
__host__ __device__ constexpr int last_interval(int i, int bins, int n) {
    return n < 6 ? bin_end(i, bins, n) : i + 1 == bins ? 11 : 2 * (i + 1) * (6 / bins);
}
// Blocks that share a rectangle: one at 32x64, several on large maps.
__host__ __device__ constexpr int slices(int h, int w) {
    const long long n = static_cast<long long>(h) * w / (36 * 128);
    return n < 1 ? 1 : n > 8 ? 8 : static_cast<int>(n);
}

// Cell `cell` of the 50: which pooling (0 .. 3), and which bin of it.
struct Cell {
    int pooling, bins, index;
};
FS_DEVICE Cell cell_of(int cell) {
    if (cell < 1) return {0, 1, cell};
    if (cell < 5) return {1, 2, cell - 1};
    if (cell < 14) return {2, 3, cell - 5};
    return {3, 6, cell - 14};
}

// Adds the bilinear mix of 8 channels of one pooling's cells (bins x bins from `cells` on, `channels` each).
FS_DEVICE void add_bilinear(const float *cells, int bins, int channels, const fs_k_tap &y, const fs_k_tap &x,
                            float sum[8]) {
    float a[8], b[8], c[8], d[8];
    load8(cells + (y.lower * bins + x.lower) * channels, a);
    load8(cells + (y.lower * bins + x.upper) * channels, b);
    load8(cells + (y.upper * bins + x.lower) * channels, c);
    load8(cells + (y.upper * bins + x.upper) * channels, d);
#pragma unroll
    for (int i = 0; i < 8; i++) {
        const float upper = fmaf(b[i] - a[i], x.fraction, a[i]), lower = fmaf(d[i] - c[i], x.fraction, c[i]);
        sum[i] += fmaf(lower - upper, y.fraction, upper);
    }
}

} // namespace pyramid

#endif
