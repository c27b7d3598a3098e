// Dense convolution as an implicit GEMM: D[pixels x N] = A[pixels x K] W^T, then bias, residual and ReLU.
//
// Why: pointwise convolutions are nearly all of the network's arithmetic; the 3x3 of the pyramid's output and whatever
// is left unfused take the same path. A is never built: each 16-byte copy fetches eight channels of one tap of one
// pixel, or zeros where the tap is outside, so 1x1, strided, dilated, padded and two-source layers differ in addresses
// alone.
// Tiling (F16): a block owns BM pixels x BN channels and walks K in steps of BK through a ring of asynchronous copies
// (one barrier a step); warps own 32 x 32 or 32 x 64 of it (16 x 32 in the smallest) as m16n8k16 tensor-core tiles. In
// the tiles for small maps two groups of warps share each step's K and add their halves at the end, always in the same
// order: twice the warps to hide latency where there are few blocks. Rows of a stage are swizzled, so that neither the
// copies nor ldmatrix meet bank conflicts. Accumulators are transposed among four lanes, so that each stores 16 bytes.
// F32: the same copies, 64 x 64 tiles of fused multiply-adds. Channel counts that are no multiple of 8 (the unfused
// stem): eight channels of one pixel a thread, straight from global memory.
// At 1024x2048 the largest are b1.0's expansion (32768x384x64: 29 MB moved, 1.6 GFLOP) and feature fusion
// (32768x128x192: 21 MB, 1.6 GFLOP); the third bottleneck's pairs (2048x768x128) move 4 MB for 0.4 GFLOP.
#include "cuda/kernels/device.cuh"
#include "cuda/kernels/ptx.cuh"
#include "cuda/kernels/quads.cuh"

namespace {

// What a kernel is given: the layer, and the extents of its GEMM.
struct ConvArgs {
    fs_conv_params p;
    int m, n8, k; // pixels, channels padded to a multiple of 8, length of a weight row
    int tiles_n;  // a block is tile (x / tiles_n, x % tiles_n): neighbours share pixels, which then come from L2
};

// ---- one thread's copies --------------------------------------------------------------------------------------------

template <class Tile> struct Copies {
    using Element = typename Tile::Element;
    static constexpr int chunk = 16 / sizeof(Element);   // elements of K in one copy
    static constexpr int per_row = Tile::bk / chunk;     // copies in a row of a stage
    static constexpr int step = Tile::threads / per_row; // rows from one copy of a thread to its next
    static constexpr int pixels = Tile::bm / step, channels = Tile::bn / step; // copies of a thread in A and in W
    static_assert(pixels * step == Tile::bm && channels * step == Tile::bn, "every thread copies equally much");
    static_assert(step % 8 == 0, "all rows of a thread have one swizzle");

    const Element *a[pixels]; // where the next copies come from
    unsigned inside;          // bit i: a[i] is a tap inside the map
    const Element *w;         // this thread's first weight row, at k
    int k;
    // K runs over segments: the taps of `in`, then `in2`. Where this thread is, and how many channels the segment has.
    int segment, channel, segment_channels;
    int m, n, to; // first pixel and channel; where its first copy goes in a stage, bytes
};

// Byte offset of 16-byte chunk `chunk` of row `row`. Eight rows of the same chunk lie in different banks.
template <class Tile> FS_DEVICE int stage_offset(int row, int chunk) {
    constexpr int per_row = Copies<Tile>::per_row;
    static_assert(per_row == 4 || per_row == 8, "rows of 64 or 128 bytes");
    const int swizzle = per_row == 4 ? (row >> 1) & 3 : row & 7;
    return (row * per_row + (chunk ^ swizzle)) * 16;
}

// Moves to the segment that `channel` is in and finds the taps there.
template <class Tile> FS_DEVICE void enter_segment(Copies<Tile> &c, const ConvArgs &args) {
    using Element = typename Tile::Element;
    const fs_conv_params &p = args.p;
    const int taps = p.kernel * p.kernel;
    while (c.channel >= c.segment_channels) {
        c.channel -= c.segment_channels;
        c.segment++;
        c.segment_channels = c.segment < taps ? p.in.c : p.in2.data && c.segment == taps ? p.in2.c : 1 << 30;
    }
    const bool second = c.segment >= taps;
    const int ky = second ? 0 : c.segment / p.kernel, kx = second ? 0 : c.segment - ky * p.kernel;
    const int stride = second ? 1 : p.stride;
    const int dy = second ? 0 : ky * p.dilation - p.pad_top, dx = second ? 0 : kx * p.dilation - p.pad_left;
    const bool past = c.segment_channels == 1 << 30; // behind the end of K
    const Element *base = static_cast<const Element *>(second && !past ? p.in2.data : p.in.data);
    const int h = second ? p.in2.h : p.in.h, w = second ? p.in2.w : p.in.w;
    const int pitch = second ? p.in2.pitch : p.in.pitch;
    c.inside = 0;
#pragma unroll
    for (int i = 0; i < Copies<Tile>::pixels; i++) {
        const int m = c.m + i * Copies<Tile>::step;
        const int oy = static_cast<int>(static_cast<unsigned>(m) / static_cast<unsigned>(p.out.w));
        const int y = oy * stride + dy, x = (m - oy * p.out.w) * stride + dx;
        const bool inside = !past && m < args.m && y >= 0 && y < h && x >= 0 && x < w;
        c.inside |= static_cast<unsigned>(inside) << i;
        c.a[i] = inside ? base + (static_cast<long long>(y) * w + x) * pitch + c.channel : base;
    }
}

template <class Tile> FS_DEVICE void begin_copies(Copies<Tile> &c, const ConvArgs &args, int m0, int n0, int thread) {
    using Element = typename Tile::Element;
    constexpr int per_row = Copies<Tile>::per_row;
    const int row = thread / per_row, column = thread % per_row;
    c.k = column * Copies<Tile>::chunk;
    c.m = m0 + row, c.n = n0 + row;
    c.to = stage_offset<Tile>(row, column);
    c.w = static_cast<const Element *>(args.p.weights) + static_cast<long long>(c.n) * args.k + c.k;
    c.segment = -1, c.channel = c.k, c.segment_channels = 0; // the first copies enter the first segment
}

// Issue this thread's copies of one step of K into a stage (BM rows of A, then BN rows of W) and move on.
template <class Tile> FS_DEVICE void copy_pixels(Copies<Tile> &c, const ConvArgs &args, unsigned char *stage) {
    constexpr int row_bytes = Copies<Tile>::per_row * 16, step = Copies<Tile>::step;
    if (c.channel >= c.segment_channels) enter_segment(c, args);
#pragma unroll
    for (int i = 0; i < Copies<Tile>::pixels; i++) {
        fs_async_copy16(stage + c.to + i * step * row_bytes, c.a[i], c.inside >> i & 1);
        c.a[i] += Tile::bk;
    }
    c.channel += Tile::bk;
}

template <class Tile> FS_DEVICE void copy_weights(Copies<Tile> &c, const ConvArgs &args, unsigned char *stage) {
    using Element = typename Tile::Element;
    constexpr int row_bytes = Copies<Tile>::per_row * 16, step = Copies<Tile>::step;
#pragma unroll
    for (int i = 0; i < Copies<Tile>::channels; i++) {
        const bool inside = c.k < args.k && c.n + i * step < args.n8;
        const Element *from =
            inside ? c.w + static_cast<long long>(i * step) * args.k : static_cast<const Element *>(args.p.weights);
        fs_async_copy16(stage + Tile::bm * row_bytes + c.to + i * step * row_bytes, from, inside);
    }
    c.w += Tile::bk, c.k += Tile::bk;
}

// The ring: calls step(stage) with each step's data in place.
template <class Tile, class Step>
FS_DEVICE void walk_k(const ConvArgs &args, int m0, int n0, unsigned char *shared, Step step) {
    const int steps = (args.k + Tile::bk - 1) / Tile::bk;
    Copies<Tile> copies = {};
    begin_copies(copies, args, m0, n0, static_cast<int>(threadIdx.x));
    // Weights are no kernel's output: those of the first steps go ahead. They belong to the first group.
#pragma unroll 1
    for (int s = 0; s < Tile::stages - 1 && s < steps; s++) copy_weights(copies, args, shared + s * Tile::stage_bytes);
    fs_dependency_wait();
    fs_dependency_release();
    int now = 0, next = 0;
    // The first turns only fill the ring. One loop for both keeps the code of the copies of pixels, by far the longest
    // part of a kernel, in one place.
#pragma unroll 1
    for (int s = 1 - Tile::stages; s < steps; s++) {
        if (s >= 0) {
            fs_async_wait<Tile::stages - 2>();
            __syncthreads(); // this step is here, and everyone is done with the last, whose place is filled next
        }
        if (s + Tile::stages - 1 < steps) {
            copy_pixels(copies, args, shared + next * Tile::stage_bytes);
            if (s >= 0) copy_weights(copies, args, shared + next * Tile::stage_bytes);
        }
        fs_async_commit(); // an empty group too, so that the count of open groups stays right
        next = next == Tile::stages - 1 ? 0 : next + 1;
        if (s < 0) continue;
        step(shared + now * Tile::stage_bytes);
        now = now == Tile::stages - 1 ? 0 : now + 1;
    }
}

// ---- what happens to sums -------------------------------------------------------------------------------------------

FS_DEVICE void load8(float v[8], const float *from) {
    const float4 low = *reinterpret_cast<const float4 *>(from), high = *reinterpret_cast<const float4 *>(from + 4);
    v[0] = low.x, v[1] = low.y, v[2] = low.z, v[3] = low.w;
    v[4] = high.x, v[5] = high.y, v[6] = high.z, v[7] = high.w;
}

FS_DEVICE void load8(float v[8], const __half *from) {
    const uint4 packed = *reinterpret_cast<const uint4 *>(from);
    const uint32_t word[4] = {packed.x, packed.y, packed.z, packed.w};
#pragma unroll
    for (int i = 0; i < 4; i++) {
        const float2 pair = __half22float2(reinterpret_cast<const __half2 &>(word[i]));
        v[2 * i] = pair.x, v[2 * i + 1] = pair.y;
    }
}

FS_DEVICE void store8(float *to, const float v[8]) {
    *reinterpret_cast<float4 *>(to) = make_float4(v[0], v[1], v[2], v[3]);
    *reinterpret_cast<float4 *>(to + 4) = make_float4(v[4], v[5], v[6], v[7]);
}

FS_DEVICE void store8(__half *to, const float v[8]) {
    uint32_t word[4];
#pragma unroll
    for (int i = 0; i < 4; i++) {
        const __half2 pair = __floats2half2_rn(v[2 * i], v[2 * i + 1]);
        word[i] = reinterpret_cast<const uint32_t &>(pair);
    }
    *reinterpret_cast<uint4 *>(to) = make_uint4(word[0], word[1], word[2], word[3]);
}

// Channels n .. n + 7 of pixel m: bias, residual, ReLU, one rounding. Behind the last channel: zeros, even where the
// sum of zero weights is a NaN.
template <class Element> FS_DEVICE void finish8(const ConvArgs &args, int m, int n, float v[8], const float bias[8]) {
    const fs_conv_params &p = args.p;
    float residual[8] = {};
    if (p.residual.data)
        load8(residual,
              static_cast<const Element *>(p.residual.data) + static_cast<long long>(m) * p.residual.pitch + n);
#pragma unroll
    for (int i = 0; i < 8; i++) {
        v[i] = v[i] + bias[i] + residual[i];
        if (p.relu) v[i] = fs_relu(v[i]);
        if (n + i >= p.out.c) v[i] = 0.0f;
    }
    const long long to = static_cast<long long>(m) * p.out.pitch + n;
    if (sizeof(Element) == sizeof(float) || p.out_f32)
        store8(static_cast<float *>(p.out.data) + to, v);
    else
        store8(static_cast<__half *>(p.out.data) + to, v);
}

// ---- F16 on tensor cores --------------------------------------------------------------------------------------------

// bm_ x bn_ outputs a block, bk_ of K a step; warps_m x warps_n warps, times warps_k groups that share each step's K.
template <int bm_, int bn_, int bk_, int stages_, int warps_m_, int warps_n_, int warps_k_, int blocks_>
struct HalfTile {
    using Element = __half;
    static constexpr int bm = bm_, bn = bn_, bk = bk_, stages = stages_;
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ < 800
    static constexpr int blocks = 1; // shared memory holds no more of the largest
#else
    static constexpr int blocks = blocks_; // least on a multiprocessor, which bounds the registers
#endif
    static constexpr int warps_m = warps_m_, warps_n = warps_n_, warps_k = warps_k_;
    static constexpr int threads = 32 * warps_m * warps_n * warps_k;
    static constexpr int stage_bytes = (bm + bn) * bk * 2;
    static constexpr int wm = bm / warps_m, wn = bn / warps_n; // a warp's outputs
    static constexpr int mi = wm / 16, ni = wn / 8;            // in tiles of 16 x 8
    static constexpr int ki = bk / 16 / warps_k;               // a warp's k16 of a step
    static constexpr int exchange_bytes = warps_k == 1 ? 0 : threads * mi * ni * 2 * 4;
    static_assert(wm % 16 == 0 && wn % 32 == 0 && ki >= 1 && (warps_k == 1 || warps_k == 2), "whole tensor-core tiles");
    static_assert(exchange_bytes <= stage_bytes && stages * stage_bytes <= 49152, "runs everywhere");
};

template <class Tile> FS_KERNEL(Tile::threads, Tile::blocks) conv_f16(const FS_PARAM ConvArgs args) {
    constexpr int mi = Tile::mi, ni = Tile::ni, row_bytes = Tile::bk * 2;
    FS_SHARED_DYNAMIC(unsigned char, shared);
    const int thread = static_cast<int>(threadIdx.x), lane = thread % 32, warp = thread / 32;
    const int group = warp / (Tile::warps_m * Tile::warps_n); // of K
    const int warp_m = warp % Tile::warps_m * Tile::wm, warp_n = warp / Tile::warps_m % Tile::warps_n * Tile::wn;
    const int tile_m = static_cast<int>(blockIdx.x) / args.tiles_n;
    const int m0 = tile_m * Tile::bm, n0 = (static_cast<int>(blockIdx.x) - tile_m * args.tiles_n) * Tile::bn;

    float sum[mi][ni][4] = {};
    // Rows that this lane names to ldmatrix: of A, 16 pixels then their next 8 of K; of W, 8 channels, their next 8 of
    // K, then 8 more channels. 16 rows further the swizzle is the same.
    const int a_row = warp_m + lane % 16, a_chunk = lane / 16;
    const int w_row = warp_n + lane % 8 + lane / 16 * 8, w_chunk = lane / 8 % 2;
    walk_k<Tile>(args, m0, n0, shared, [&](const unsigned char *stage) {
#pragma unroll
        for (int k = 0; k < Tile::ki; k++) {
            const int chunk = (group * Tile::ki + k) * 2;
            const unsigned char *a_from = stage + stage_offset<Tile>(a_row, chunk + a_chunk);
            const unsigned char *w_from = stage + Tile::bm * row_bytes + stage_offset<Tile>(w_row, chunk + w_chunk);
            uint32_t a[mi][4], w[ni / 2][4];
#pragma unroll
            for (int i = 0; i < mi; i++) fs_ldmatrix_x4(a[i], a_from + i * 16 * row_bytes);
#pragma unroll
            for (int j = 0; j < ni / 2; j++) fs_ldmatrix_x4(w[j], w_from + j * 16 * row_bytes);
#pragma unroll
            for (int i = 0; i < mi; i++)
#pragma unroll
                for (int j = 0; j < ni; j++) fs_mma_m16n8k16(sum[i][j], a[i], &w[j / 2][j % 2 * 2]);
        }
    });

    if constexpr (Tile::warps_k == 2) {
        // Group 0 finishes rows 0..7 of each 16, group 1 rows 8..15: each hands the other half over. A sum of two
        // terms does not depend on their order.
        float *const given = reinterpret_cast<float *>(shared);
        const int partner = thread ^ (Tile::threads / 2);
        __syncthreads();
#pragma unroll
        for (int i = 0; i < mi; i++)
#pragma unroll
            for (int j = 0; j < ni; j++)
#pragma unroll
                for (int e = 0; e < 2; e++)
                    given[((i * ni + j) * 2 + e) * Tile::threads + thread] = group ? sum[i][j][e] : sum[i][j][2 + e];
        __syncthreads();
#pragma unroll
        for (int i = 0; i < mi; i++)
#pragma unroll
            for (int j = 0; j < ni; j++)
#pragma unroll
                for (int e = 0; e < 2; e++) {
                    // Kept in place 0, 1 by both groups.
                    const float own = group ? sum[i][j][2 + e] : sum[i][j][e];
                    sum[i][j][e] = own + given[((i * ni + j) * 2 + e) * Tile::threads + partner];
                }
    }

    constexpr int halves = Tile::warps_k == 2 ? 1 : 2; // of 16 rows, that this warp finishes
#pragma unroll
    for (int j = 0; j < ni; j += 4) {
        const int n = n0 + warp_n + j * 8 + lane % 4 * 8;
        float bias[8] = {};
        if (n < args.n8) load8(bias, args.p.bias + n);
#pragma unroll
        for (int i = 0; i < mi; i++)
#pragma unroll
            for (int half = 0; half < halves; half++) {
                float v[4][2];
#pragma unroll
                for (int t = 0; t < 4; t++) v[t][0] = sum[i][j + t][half * 2], v[t][1] = sum[i][j + t][half * 2 + 1];
                fs_quad_transpose(v, lane);
                const int m = m0 + warp_m + i * 16 + (half + group) * 8 + lane / 4;
                if (m < args.m && n < args.n8) finish8<__half>(args, m, n, v[0], bias);
            }
    }
}

// ---- F32, and odd channel counts ------------------------------------------------------------------------------------

struct FloatTile {
    using Element = float;
    static constexpr int bm = 64, bn = 64, bk = 16, stages = 3, threads = 256, blocks = 2;
    static constexpr int stage_bytes = (bm + bn) * bk * 4;
};

// A thread has pixels y, y + 16 .. and channels x, x + 16 .. of the tile, 4 x 4 of them.
FS_KERNEL(FloatTile::threads, FloatTile::blocks) conv_f32(const FS_PARAM ConvArgs args) {
    using Tile = FloatTile;
    constexpr int row_bytes = Tile::bk * 4;
    FS_SHARED_DYNAMIC(unsigned char, shared);
    const int thread = static_cast<int>(threadIdx.x), ty = thread / 16, tx = thread % 16;
    const int tile_m = static_cast<int>(blockIdx.x) / args.tiles_n;
    const int m0 = tile_m * Tile::bm, n0 = (static_cast<int>(blockIdx.x) - tile_m * args.tiles_n) * Tile::bn;

    float sum[4][4] = {};
    walk_k<Tile>(args, m0, n0, shared, [&](const unsigned char *stage) {
#pragma unroll
        for (int chunk = 0; chunk < 4; chunk++) {
            float4 a[4], w[4];
#pragma unroll
            for (int i = 0; i < 4; i++) {
                a[i] = *reinterpret_cast<const float4 *>(stage + stage_offset<Tile>(ty + i * 16, chunk));
                w[i] = *reinterpret_cast<const float4 *>(stage + Tile::bm * row_bytes +
                                                         stage_offset<Tile>(tx + i * 16, chunk));
            }
#pragma unroll
            for (int i = 0; i < 4; i++)
#pragma unroll
                for (int j = 0; j < 4; j++) {
                    sum[i][j] = fmaf(a[i].x, w[j].x, sum[i][j]);
                    sum[i][j] = fmaf(a[i].y, w[j].y, sum[i][j]);
                    sum[i][j] = fmaf(a[i].z, w[j].z, sum[i][j]);
                    sum[i][j] = fmaf(a[i].w, w[j].w, sum[i][j]);
                }
        }
    });

    const fs_conv_params &p = args.p;
#pragma unroll
    for (int i = 0; i < 4; i++)
#pragma unroll
        for (int j = 0; j < 4; j++) {
            const int m = m0 + ty + i * 16, n = n0 + tx + j * 16;
            if (m >= args.m || n >= args.n8) continue;
            float v = sum[i][j] + p.bias[n];
            if (p.residual.data)
                v += static_cast<const float *>(p.residual.data)[static_cast<long long>(m) * p.residual.pitch + n];
            if (p.relu) v = fs_relu(v);
            static_cast<float *>(p.out.data)[static_cast<long long>(m) * p.out.pitch + n] = n < p.out.c ? v : 0.0f;
        }
}

// Any channel count: a thread makes eight channels of one pixel.
template <class Element> FS_KERNEL(128, 4) conv_direct(const FS_PARAM ConvArgs args) {
    fs_dependency_wait();
    fs_dependency_release();
    const fs_conv_params &p = args.p;
    const long long index = static_cast<long long>(blockIdx.x) * 128 + threadIdx.x;
    const int per_pixel = args.n8 / 8;
    const int m = static_cast<int>(index / per_pixel), n = static_cast<int>(index - (long long)m * per_pixel) * 8;
    if (m >= args.m) return;
    const int oy = m / p.out.w, ox = m - oy * p.out.w;
    const Element *weight = static_cast<const Element *>(p.weights) + static_cast<long long>(n) * args.k;
    float sum[8] = {};
    const auto dot = [&](const Element *in, int channels) {
        for (int c = 0; c < channels; c++) {
            const float x = fs_load(in + c);
#pragma unroll
            for (int i = 0; i < 8; i++)
                sum[i] = fmaf(x, fs_load(weight + static_cast<long long>(i) * args.k + c), sum[i]);
        }
    };
    for (int tap = 0; tap < p.kernel * p.kernel; tap++, weight += p.in.c) {
        const int ky = tap / p.kernel, kx = tap - ky * p.kernel;
        const int y = oy * p.stride - p.pad_top + ky * p.dilation, x = ox * p.stride - p.pad_left + kx * p.dilation;
        if (y < 0 || y >= p.in.h || x < 0 || x >= p.in.w) continue;
        dot(static_cast<const Element *>(p.in.data) + (static_cast<long long>(y) * p.in.w + x) * p.in.pitch, p.in.c);
    }
    if (p.in2.data) dot(static_cast<const Element *>(p.in2.data) + static_cast<long long>(m) * p.in2.pitch, p.in2.c);
    float bias[8];
    load8(bias, p.bias + n);
    finish8<Element>(args, m, n, sum, bias);
}

// ---- launches -------------------------------------------------------------------------------------------------------

struct Shape {
    const void *kernel;
    const char *name;
    int bm, bn, bk, stages, stage_bytes, threads;
};

template <class Tile> Shape shape_of(const void *kernel, const char *name) {
    return {kernel, name, Tile::bm, Tile::bn, Tile::bk, Tile::stages, Tile::stage_bytes, Tile::threads};
}

using Tile128x128 = HalfTile<128, 128, 32, 3, 4, 2, 1, 2>;
using Tile128x64 = HalfTile<128, 64, 32, 4, 4, 1, 1, 3>;
using Tile64x64 = HalfTile<64, 64, 64, 3, 2, 2, 2, 2>;
using Tile128x32 = HalfTile<128, 32, 32, 4, 4, 1, 1, 4>;
using Tile64x32 = HalfTile<64, 32, 64, 4, 2, 1, 2, 4>;
using Tile32x32 = HalfTile<32, 32, 64, 4, 2, 1, 2, 4>;

void launch_tile(const Shape &shape, ConvArgs args, fs_launch *launch) {
    const int tiles_m = (args.m + shape.bm - 1) / shape.bm;
    args.tiles_n = (args.n8 + shape.bn - 1) / shape.bn;
    const int steps = (args.k + shape.bk - 1) / shape.bk; // a short K needs no more stages than steps
    const int stages = steps < shape.stages ? steps : shape.stages;
    fs_launch_fill(launch, shape.kernel, shape.name, static_cast<unsigned>(tiles_m) * args.tiles_n, 1, 1, shape.threads,
                   static_cast<unsigned>(stages * shape.stage_bytes), args);
}

} // namespace

bool fs_launch_conv(const fs_conv_params *p, fs_k_type type, int sm, int variant, fs_launch *launch) {
    (void)sm; // one text for all: the wrappers of ptx.cuh differ
    const bool second = p->in2.data != nullptr;
    ConvArgs args = {*p, p->out.h * p->out.w, (p->out.c + 7) / 8 * 8, 0, 1};
    args.k = p->kernel * p->kernel * p->in.c + (second ? p->in2.c : 0);
    const bool eights = p->in.c % 8 == 0 && (!second || p->in2.c % 8 == 0);
    if (!eights) {
        if (variant != 0) return false;
        const bool f32 = type == FS_K_F32;
        fs_launch_fill(launch, f32 ? FS_ENTRY((conv_direct<float>)) : FS_ENTRY((conv_direct<__half>)),
                       f32 ? "conv f32 direct" : "conv f16 direct",
                       fs_blocks(static_cast<long long>(args.m) * (args.n8 / 8), 128), 1, 1, 128, 0, args);
        return true;
    }
    if (type == FS_K_F32) {
        if (variant != 0) return false;
        launch_tile(shape_of<FloatTile>(FS_ENTRY((conv_f32)), "conv f32 64x64"), args, launch);
        return true;
    }

    const Shape shapes[] = {
        shape_of<Tile128x128>(FS_ENTRY((conv_f16<Tile128x128>)), "conv f16 128x128"),
        shape_of<Tile128x64>(FS_ENTRY((conv_f16<Tile128x64>)), "conv f16 128x64"),
        shape_of<Tile64x64>(FS_ENTRY((conv_f16<Tile64x64>)), "conv f16 64x64"),
        shape_of<Tile128x32>(FS_ENTRY((conv_f16<Tile128x32>)), "conv f16 128x32"),
        shape_of<Tile64x32>(FS_ENTRY((conv_f16<Tile64x32>)), "conv f16 64x32"),
        shape_of<Tile32x32>(FS_ENTRY((conv_f16<Tile32x32>)), "conv f16 32x32"),
    };
    constexpr int count = sizeof shapes / sizeof shapes[0];
    if (variant < 0 || variant >= count) return false;
    // The guess: the largest tile that fills about 100 multiprocessors and wastes no more than a quarter of its
    // channels; else the smallest. Measuring decides where it can.
    int guess = count - 1;
    for (int i = 0; i < count - 1; i++) {
        const Shape &s = shapes[i];
        const long long tiles_m = (args.m + s.bm - 1) / s.bm, tiles_n = (args.n8 + s.bn - 1) / s.bn;
        if (tiles_m * tiles_n < 96 || (s.bn > 32 && 4 * args.n8 < 3 * tiles_n * s.bn)) continue;
        guess = i;
        break;
    }
    const int chosen = variant == 0 ? guess : variant <= guess ? variant - 1 : variant;
    launch_tile(shapes[chosen], args, launch);
    return true;
}
