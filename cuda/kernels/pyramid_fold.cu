// Pyramid pooling before a 1x1 output convolution in three launches: partial sums (pyramid.cu), folded cells, output.
//
// Why: layer by layer it is five launches that are all latency. A 1x1 convolution commutes with the bilinear resize, so
// what the four branches add to the output is 50 vectors of 128 floats; a resize of the sum is an addend of the output
// convolution's epilogue, and no map of it exists.
// Fold: a block a cell, 512 threads. 16 lanes add the cell's rectangles, a thread 4 channels; then the branch (16 parts
// of its sum) and its slice (4 parts). Weights are asked for first: they arrive while the sums are made. All additions
// have a fixed order. 0.2 MB of weights and sums at most are read, from L2; 0.4 M multiply-adds.
// Output: BM pixels x 64 channels a block, K = 128 in one go, in two groups of copies so that the first half is
// multiplied while the second arrives. A warp makes 16 pixels x 32 channels; channels lie permuted in shared memory, so
// that a lane's accumulators are 8 neighbours. The block's 50 x 64 floats of cells come with the second group. At
// 1024x2048 (32x64x128) 0.5 MB is read twice and 0.5 MB written, 67 MFLOP, 128 blocks of 32 pixels.
#include "cuda/kernels/fused.h"
#include "cuda/kernels/pyramid.cuh"

using namespace pyramid;

namespace {

// ---- folded cells ---------------------------------------------------------------------------------------------------

constexpr int FOLD_THREADS = 512, FOLD_LANES = FOLD_THREADS * 4 / WIDE;
constexpr int FIRST_PARTS = FOLD_THREADS / NARROW, FIRST_K = WIDE / FIRST_PARTS; // of the branch's convolution
constexpr int SECOND_PARTS = FOLD_THREADS / WIDE, SECOND_K = NARROW / SECOND_PARTS;

FS_KERNEL(FOLD_THREADS, 1) pyramid_fold(const FS_PARAM fs_pyramid_fold_params p) {
    FS_SHARED(float, partial, [FOLD_LANES][WIDE]);
    FS_SHARED(float, in, [WIDE]);
    FS_SHARED(float, first_part, [FIRST_PARTS][NARROW]);
    FS_SHARED(float, branch, [NARROW]);
    FS_SHARED(float, second_part, [SECOND_PARTS][WIDE]);
    const int thread = static_cast<int>(threadIdx.x);
    const Cell cell = cell_of(static_cast<int>(blockIdx.x));
    const int n1 = thread % NARROW, part1 = thread / NARROW, n2 = thread % WIDE, part2 = thread / WIDE;
    float first[FIRST_K], second[SECOND_K];
#pragma unroll
    for (int k = 0; k < FIRST_K; k++) first[k] = p.weight[(cell.pooling * WIDE + part1 * FIRST_K + k) * NARROW + n1];
#pragma unroll
    for (int k = 0; k < SECOND_K; k++) second[k] = p.slice[(cell.pooling * NARROW + part2 * SECOND_K + k) * WIDE + n2];
    fs_dependency_wait(); // weights are no kernel's output
    fs_dependency_release();

    const int by = cell.index / cell.bins, bx = cell.index % cell.bins;
    const int top = first_interval(by, cell.bins, p.h), left = first_interval(bx, cell.bins, p.w);
    const int height = last_interval(by, cell.bins, p.h) - top, width = last_interval(bx, cell.bins, p.w) - left;
    const int across = intervals(p.w), rectangles = across * intervals(p.h), mine = height * width;
    const int channel = thread % (WIDE / 4) * 4, lane = thread / (WIDE / 4), count = mine * slices(p.h, p.w);
    float4 sum = make_float4(0.0f, 0.0f, 0.0f, 0.0f);
#pragma unroll 8
    for (int n = lane; n < count; n += FOLD_LANES) {
        const int slice = n / mine, at = n - slice * mine, row = at / width;
        const int rectangle = slice * rectangles + (top + row) * across + left + at - row * width;
        const float4 v = *reinterpret_cast<const float4 *>(p.partial + rectangle * WIDE + channel);
        sum.x += v.x, sum.y += v.y, sum.z += v.z, sum.w += v.w;
    }
    *reinterpret_cast<float4 *>(&partial[lane][channel]) = sum;
    __syncthreads();
    if (thread < WIDE) {
        float total = 0.0f;
#pragma unroll
        for (int i = 0; i < FOLD_LANES; i++) total += partial[i][thread];
        const long long area = static_cast<long long>(bin_end(by, cell.bins, p.h) - bin_begin(by, cell.bins, p.h)) *
                               (bin_end(bx, cell.bins, p.w) - bin_begin(bx, cell.bins, p.w));
        in[thread] = total / static_cast<float>(area);
    }
    __syncthreads();
    float dot = 0.0f;
#pragma unroll
    for (int k = 0; k < FIRST_K; k++) dot = fmaf(in[part1 * FIRST_K + k], first[k], dot);
    first_part[part1][n1] = dot;
    __syncthreads();
    if (thread < NARROW) {
        float total = 0.0f;
#pragma unroll
        for (int i = 0; i < FIRST_PARTS; i++) total += first_part[i][thread];
        branch[thread] = fs_relu(total + __ldg(p.bias + cell.pooling * NARROW + thread));
    }
    __syncthreads();
    dot = 0.0f;
#pragma unroll
    for (int k = 0; k < SECOND_K; k++) dot = fmaf(branch[part2 * SECOND_K + k], second[k], dot);
    second_part[part2][n2] = dot;
    __syncthreads();
    if (thread < WIDE)
        p.out[static_cast<int>(blockIdx.x) * WIDE + thread] =
            (second_part[0][thread] + second_part[1][thread]) + (second_part[2][thread] + second_part[3][thread]);
}

// ---- output ---------------------------------------------------------------------------------------------------------

constexpr int BN = 64, ROW_CHUNKS = WIDE / 8, HALF_CHUNKS = ROW_CHUNKS / 2;

// Byte offset of 16-byte chunk `chunk` of row `row`: eight rows of the same chunk lie in different banks.
FS_DEVICE int row_offset(int row, int chunk) {
    return (row * ROW_CHUNKS + (chunk ^ (row & 7))) * 16;
}
// Where channel 8 t + 2 j + e of 32 lies: column 2 t + e of tile j, which is lane t's.
FS_DEVICE int channel_row(int n) {
    return (n & ~31) + (n / 2 % 4) * 8 + (n / 8 % 4) * 2 + n % 2;
}

// One half of K to shared memory: weights, pixels.
template <int BM>
FS_DEVICE void copy_weights(const fs_pyramid_out_params &p, int n0, int half, int thread, unsigned char *w) {
    constexpr int threads = 4 * BM;
    const int chunk = half * HALF_CHUNKS + thread % HALF_CHUNKS;
#pragma unroll
    for (int row = thread / HALF_CHUNKS; row < BN; row += threads / HALF_CHUNKS)
        fs_async_copy16(w + row_offset(channel_row(row), chunk),
                        static_cast<const __half *>(p.pw.weights) + (n0 + row) * WIDE + chunk * 8, true);
}
template <int BM>
FS_DEVICE void copy_pixels(const fs_pyramid_out_params &p, long long pixels, long long m0, int half, int thread,
                           unsigned char *a) {
    constexpr int threads = 4 * BM;
    const int chunk = half * HALF_CHUNKS + thread % HALF_CHUNKS;
#pragma unroll
    for (int row = thread / HALF_CHUNKS; row < BM; row += threads / HALF_CHUNKS) {
        const bool inside = m0 + row < pixels;
        const __half *map = static_cast<const __half *>(p.in.data);
        fs_async_copy16(a + row_offset(row, chunk), inside ? map + (m0 + row) * p.in.pitch + chunk * 8 : map, inside);
    }
}

template <int BM> FS_KERNEL(4 * BM, 128 / BM) pyramid_out(const FS_PARAM fs_pyramid_out_params p) {
    FS_SHARED(unsigned char, a, [BM * WIDE * 2]);
    FS_SHARED(unsigned char, w, [BN * WIDE * 2]);
    FS_SHARED(float, cells, [FS_K_CELLS * BN]);
    constexpr int threads = 4 * BM, row_bytes = WIDE * 2;
    const int thread = static_cast<int>(threadIdx.x), lane = thread % 32, warp = thread / 32;
    const long long m0 = static_cast<long long>(blockIdx.x / 2) * BM;
    const long long pixels = static_cast<long long>(p.in.h) * p.in.w;
    const int n0 = static_cast<int>(blockIdx.x % 2) * BN; // both halves of a pixel's channels at the same time
    for (int half = 0; half < 2; half++) copy_weights<BM>(p, n0, half, thread, w);
    fs_dependency_wait(); // weights are no kernel's output
    copy_pixels<BM>(p, pixels, m0, 0, thread, a);
    fs_async_commit(); // all weights too
    copy_pixels<BM>(p, pixels, m0, 1, thread, a);
    for (int i = thread; i < FS_K_CELLS * BN / 4; i += threads) {
        const int row = i / (BN / 4), column = i % (BN / 4) * 4;
        fs_async_copy16(cells + row * BN + column, p.cells + row * WIDE + n0 + column, true);
    }
    fs_async_commit();
    fs_dependency_release();

    const int warp_m = warp / 2 * 16, warp_n = warp % 2 * 32;
    const int a_row = warp_m + lane % 16, w_row = warp_n + lane % 8 + lane / 16 * 8;
    float sum[4][4] = {};
    const auto multiply = [&](int step) {
        uint32_t from[4], weight[2][4];
        fs_ldmatrix_x4(from, a + row_offset(a_row, step * 2 + lane / 16));
        const unsigned char *w_from = w + row_offset(w_row, step * 2 + lane / 8 % 2);
#pragma unroll
        for (int j = 0; j < 2; j++) fs_ldmatrix_x4(weight[j], w_from + j * 16 * row_bytes);
#pragma unroll
        for (int j = 0; j < 4; j++) fs_mma_m16n8k16(sum[j], from, &weight[j / 2][j % 2 * 2]);
    };
    fs_async_wait<1>();
    __syncthreads();
#pragma unroll
    for (int step = 0; step < HALF_CHUNKS / 2; step++) multiply(step);
    fs_async_wait<0>();
    __syncthreads();
#pragma unroll
    for (int step = HALF_CHUNKS / 2; step < HALF_CHUNKS; step++) multiply(step);

    const int n = warp_n + lane % 4 * 8; // of the block's channels
    float bias[8];
    load8(p.pw.bias + n0 + n, bias);
#pragma unroll
    for (int half = 0; half < 2; half++) {
        const long long m = m0 + warp_m + half * 8 + lane / 4;
        if (m >= pixels) continue;
        const int y = static_cast<int>(m / p.in.w), x = static_cast<int>(m - static_cast<long long>(y) * p.in.w);
        float up[8], v[8];
        load8(cells + n, up); // the one cell of the first pooling, everywhere
        add_bilinear(cells + 1 * BN + n, 2, BN, p.tap_y[p.in.h + y], p.tap_x[p.in.w + x], up);
        add_bilinear(cells + 5 * BN + n, 3, BN, p.tap_y[2 * p.in.h + y], p.tap_x[2 * p.in.w + x], up);
        add_bilinear(cells + 14 * BN + n, 6, BN, p.tap_y[3 * p.in.h + y], p.tap_x[3 * p.in.w + x], up);
#pragma unroll
        for (int i = 0; i < 8; i++) {
            v[i] = sum[i / 2][half * 2 + i % 2] + bias[i] + __half2float(__float2half_rn(up[i]));
            if (p.pw.relu) v[i] = fs_relu(v[i]);
        }
        store8(static_cast<__half *>(p.out.data) + m * p.out.pitch + n0 + n, v);
    }
}

} // namespace

bool fs_launch_pyramid_fold(const fs_pyramid_fold_params *p, int sm, int variant, fs_launch *launch) {
    (void)sm;
    if (variant != 0) return false;
    fs_launch_fill(launch, FS_ENTRY((pyramid_fold)), "pyramid fold", FS_K_CELLS, 1, 1, FOLD_THREADS, 0, *p);
    return true;
}

bool fs_launch_pyramid_out(const fs_pyramid_out_params *p, int sm, int variant, fs_launch *launch) {
    (void)sm;
    if (variant < 0 || variant > 1) return false;
    if (p->in.c != WIDE || p->out.c != WIDE || p->pw.n != WIDE || p->in.pitch < WIDE || p->out.pitch < WIDE ||
        p->in.pitch % 8 != 0 || p->out.pitch % 8 != 0 || p->in.h != p->out.h || p->in.w != p->out.w)
        return false;
    const long long pixels = static_cast<long long>(p->in.h) * p->in.w;
    // The guess: the larger tile where it gives every multiprocessor something to do.
    const bool large = (pixels >= 64 * 64) != (variant == 1);
    if (large)
        fs_launch_fill(launch, FS_ENTRY((pyramid_out<64>)), "pyramid out 64x64", 2 * fs_blocks(pixels, 64), 1, 1, 256,
                       0, *p);
    else
        fs_launch_fill(launch, FS_ENTRY((pyramid_out<32>)), "pyramid out 32x64", 2 * fs_blocks(pixels, 32), 1, 1, 128,
                       0, *p);
    return true;
}
