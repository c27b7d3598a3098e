// Pyramid pooling: four adaptive average poolings, their branches, and the way back up to a map.
//
// Everything here is bound by latency: the map is 32x64x128 (0.5 MB) at 1024x2048. So the poolings are one pass in two
// stages. Stage 0 sums the elementary cells between all bin borders. The borders of bins 1, 2 and 3 are borders of bins
// 6 too, and from 6 pixels on an axis has 11 intervals: the inner part of each of the six bins, and between neighbours
// the 0 or 1 pixels that belong to both. Below 6 pixels each pixel is an interval. A block sums one rectangle, 121 at
// most, times slices on large maps: all SMs are busy once, and a thread has all its loads in flight. Stage 1 adds the
// rectangles of each of the 50 bins. All additions have a fixed order. The branches are 50 vectors of 128 floats (0.4 M
// multiply-adds), one block each with its weights in registers. Going up, a thread makes 8
// channels of a pixel from 13 cells, which are in the L1 cache (25 KB); 0.5 MB (1 MB for the concat) are written.
#include "cuda/kernels/pyramid.cuh"

using namespace pyramid;

namespace {

// Sums pixels first, first + step .. below count of a rectangle `width` wide whose corner is `corner`, 8 channels.
template <typename T>
FS_DEVICE void sum_pixels(const T *corner, int map_width, int pitch, int width, int first, int step, int count,
                          float sum[8]) {
#pragma unroll 4
    for (int n = first; n < count; n += step) {
        const unsigned y = static_cast<unsigned>(n) / static_cast<unsigned>(width);
        const int x = n - static_cast<int>(y) * width;
        float v[8];
        load8(corner + (static_cast<long long>(y) * map_width + x) * pitch, v);
#pragma unroll
        for (int i = 0; i < 8; i++) sum[i] += v[i];
    }
}

// ---- one pooling ----------------------------------------------------------------------------------------------------

constexpr int POOL_THREADS = 512, POOL_CHANNELS = 32; // four 8-channel groups x 128 pixels at a time

// Block (bin, group of 32 channels).
template <typename T> FS_KERNEL(POOL_THREADS, 2) pool(const FS_PARAM fs_pool_params p) {
    fs_dependency_wait();
    fs_dependency_release();
    FS_SHARED(float, partial, [POOL_THREADS / 32][POOL_CHANNELS]);
    const int thread = threadIdx.x, group = thread % 4, lane = thread / 4;
    const int channel = static_cast<int>(blockIdx.y) * POOL_CHANNELS + group * 8;
    const int by = static_cast<int>(blockIdx.x) / p.bins, bx = static_cast<int>(blockIdx.x) % p.bins;
    const int top = bin_begin(by, p.bins, p.in.h), left = bin_begin(bx, p.bins, p.in.w);
    const int height = bin_end(by, p.bins, p.in.h) - top, width = bin_end(bx, p.bins, p.in.w) - left;
    float sum[8] = {};
    if (channel < p.in.c) {
        const T *corner =
            static_cast<const T *>(p.in.data) + (static_cast<long long>(top) * p.in.w + left) * p.in.pitch + channel;
        sum_pixels(corner, p.in.w, p.in.pitch, width, lane, POOL_THREADS / 4, height * width, sum);
    }
#pragma unroll
    for (int i = 0; i < 8; i++)
        for (int step = 4; step < 32; step *= 2) sum[i] += __shfl_xor_sync(0xFFFFFFFFu, sum[i], step);
    if (thread % 32 < 4) {
#pragma unroll
        for (int i = 0; i < 8; i++) partial[thread / 32][group * 8 + i] = sum[i];
    }
    __syncthreads();
    const int out_channel = static_cast<int>(blockIdx.y) * POOL_CHANNELS + thread;
    if (thread < POOL_CHANNELS && out_channel < p.out.pitch) {
        float total = 0.0f;
#pragma unroll
        for (int i = 0; i < POOL_THREADS / 32; i++) total += partial[i][thread];
        T *out = static_cast<T *>(p.out.data) + static_cast<long long>(blockIdx.x) * p.out.pitch + out_channel;
        const float area = static_cast<float>(static_cast<long long>(height) * width);
        fs_store(out, out_channel < p.in.c ? total / area : 0.0f);
    }
}

// ---- all four -------------------------------------------------------------------------------------------------------

constexpr int PARTIAL_THREADS = 128, PARTIAL_CHANNELS = 128; // 16 groups of 8 channels x 8 pixels at a time

// Block (rectangle, group of 128 channels, slice): partial[slice][rectangle][channel].
template <typename T> FS_KERNEL(PARTIAL_THREADS, 8) pyramid_partial(const FS_PARAM fs_pyramid_pool_params p) {
    fs_dependency_wait();
    fs_dependency_release();
    FS_SHARED(float, partial, [PARTIAL_THREADS / 32][PARTIAL_CHANNELS]);
    const int thread = threadIdx.x, group = thread % 16, lane = thread / 16;
    const int channel = static_cast<int>(blockIdx.y) * PARTIAL_CHANNELS + group * 8;
    const int across = intervals(p.in.w);
    const int iy = static_cast<int>(blockIdx.x) / across, ix = static_cast<int>(blockIdx.x) % across;
    const int top = interval_begin(iy, p.in.h), height = interval_begin(iy + 1, p.in.h) - top;
    const int left = interval_begin(ix, p.in.w), width = interval_begin(ix + 1, p.in.w) - left;
    const long long pixels = static_cast<long long>(height) * width;
    const int begin = static_cast<int>(pixels * blockIdx.z / gridDim.z);
    const int end = static_cast<int>(pixels * (blockIdx.z + 1) / gridDim.z);
    float sum[8] = {};
    if (channel < p.in.c) {
        const T *corner =
            static_cast<const T *>(p.in.data) + (static_cast<long long>(top) * p.in.w + left) * p.in.pitch + channel;
        sum_pixels(corner, p.in.w, p.in.pitch, width, begin + lane, PARTIAL_THREADS / 16, end, sum);
    }
#pragma unroll
    for (int i = 0; i < 8; i++) sum[i] += __shfl_xor_sync(0xFFFFFFFFu, sum[i], 16);
    if (thread % 32 < 16) {
#pragma unroll
        for (int i = 0; i < 8; i++) partial[thread / 32][group * 8 + i] = sum[i];
    }
    __syncthreads();
    const int out = static_cast<int>(blockIdx.y) * PARTIAL_CHANNELS + thread;
    if (out < p.in.c)
        p.partial[(static_cast<long long>(blockIdx.z) * gridDim.x + blockIdx.x) * p.in.c + out] =
            (partial[0][thread] + partial[1][thread]) + (partial[2][thread] + partial[3][thread]);
}

constexpr int CELL_CHANNELS = 64, CELL_LANES = 8;

// Block (cell, group of 64 channels): 8 lanes share the rectangles.
FS_KERNEL(CELL_CHANNELS *CELL_LANES, 2)
pyramid_cells(const FS_PARAM fs_pyramid_pool_params p) {
    fs_dependency_wait();
    fs_dependency_release();
    FS_SHARED(float, partial, [CELL_LANES][CELL_CHANNELS]);
    const int thread = threadIdx.x % CELL_CHANNELS, lane = static_cast<int>(threadIdx.x) / CELL_CHANNELS;
    const int channel = static_cast<int>(blockIdx.y) * CELL_CHANNELS + thread;
    const Cell cell = cell_of(static_cast<int>(blockIdx.x));
    const int by = cell.index / cell.bins, bx = cell.index % cell.bins, h = p.in.h, w = p.in.w;
    const int top = first_interval(by, cell.bins, h), left = first_interval(bx, cell.bins, w);
    const int height = last_interval(by, cell.bins, h) - top, width = last_interval(bx, cell.bins, w) - left;
    const int across = intervals(w), rectangles = across * intervals(h), mine = height * width;
    float sum = 0.0f;
    if (channel < p.in.c) {
        const int count = mine * slices(h, w);
#pragma unroll 8
        for (int n = lane; n < count; n += CELL_LANES) {
            const int slice = n / mine, at = n % mine;
            const long long rectangle = slice * rectangles + (top + at / width) * across + left + at % width;
            sum += p.partial[rectangle * p.in.c + channel];
        }
    }
    partial[lane][thread] = sum;
    __syncthreads();
    if (lane == 0 && channel < p.in.c) {
        float total = 0.0f;
#pragma unroll
        for (int i = 0; i < CELL_LANES; i++) total += partial[i][thread];
        const long long area = static_cast<long long>(bin_end(by, cell.bins, h) - bin_begin(by, cell.bins, h)) *
                               (bin_end(bx, cell.bins, w) - bin_begin(bx, cell.bins, w));
        p.cells[static_cast<long long>(blockIdx.x) * p.in.c + channel] = total / static_cast<float>(area);
    }
}

// ---- branches -------------------------------------------------------------------------------------------------------

// Block (cell), 128 threads: 4 parts of the sum x 32 outputs, then 128 outputs.
FS_KERNEL(WIDE, 1)
pyramid_branch(const FS_PARAM fs_pyramid_branch_params p) {
    FS_SHARED(float, in, [WIDE]);
    FS_SHARED(float, partial, [WIDE]);
    FS_SHARED(float, branch, [NARROW]);
    const int thread = threadIdx.x, n = thread % NARROW, part = thread / NARROW, cell = blockIdx.x;
    const int pooling = cell_of(cell).pooling;
    const float *weight = p.weight + (pooling * WIDE + part * NARROW) * NARROW + n;
    float first[NARROW], second[NARROW];
#pragma unroll
    for (int k = 0; k < NARROW; k++) first[k] = weight[k * NARROW];
#pragma unroll
    for (int k = 0; k < NARROW; k++) second[k] = p.slice ? p.slice[(pooling * NARROW + k) * WIDE + thread] : 0.0f;
    const float bias = thread < NARROW ? p.bias[pooling * NARROW + n] : 0.0f;
    fs_dependency_wait(); // weights are no kernel's output
    fs_dependency_release();
    in[thread] = p.cells[cell * WIDE + thread];
    __syncthreads();
    float sum = 0.0f;
#pragma unroll
    for (int k = 0; k < NARROW; k++) sum = fmaf(in[part * NARROW + k], first[k], sum);
    partial[thread] = sum;
    __syncthreads();
    if (thread < NARROW) {
        const float total = (partial[n] + partial[n + NARROW]) + (partial[n + 2 * NARROW] + partial[n + 3 * NARROW]);
        branch[n] = fs_relu(total + bias);
        if (!p.slice) p.out[cell * NARROW + n] = branch[n];
    }
    __syncthreads();
    if (!p.slice) return;
    sum = 0.0f;
#pragma unroll
    for (int k = 0; k < NARROW; k++) sum = fmaf(branch[k], second[k], sum);
    p.out[cell * WIDE + thread] = sum;
}

// ---- back up --------------------------------------------------------------------------------------------------------

constexpr int UP_THREADS = 128;

// A thread makes 8 channels of a pixel.
template <typename T, bool FOLDED> FS_KERNEL(UP_THREADS, 4) pyramid_up(const FS_PARAM fs_pyramid_up_params p) {
    fs_dependency_wait();
    fs_dependency_release();
    const int groups = p.out.pitch / 8;
    const long long item = static_cast<long long>(blockIdx.x) * UP_THREADS + threadIdx.x;
    const long long pixel = item / groups;
    if (pixel >= static_cast<long long>(p.out.h) * p.out.w) return;
    const int channel = static_cast<int>(item - pixel * groups) * 8;
    const int y = static_cast<int>(pixel / p.out.w), x = static_cast<int>(pixel - static_cast<long long>(y) * p.out.w);
    float v[8] = {};
    if (channel >= p.out.c) {
        // padding
    } else if (FOLDED) {
        load8(p.cells + channel, v); // the one cell of the first pooling, everywhere
        add_bilinear(p.cells + 1 * WIDE + channel, 2, WIDE, p.tap_y[p.out.h + y], p.tap_x[p.out.w + x], v);
        add_bilinear(p.cells + 5 * WIDE + channel, 3, WIDE, p.tap_y[2 * p.out.h + y], p.tap_x[2 * p.out.w + x], v);
        add_bilinear(p.cells + 14 * WIDE + channel, 6, WIDE, p.tap_y[3 * p.out.h + y], p.tap_x[3 * p.out.w + x], v);
    } else if (channel < p.in.c) {
        load8(static_cast<const T *>(p.in.data) + pixel * p.in.pitch + channel, v);
    } else {
        const int pooling = (channel - p.in.c) / NARROW, at = (channel - p.in.c) % NARROW;
        const int bins = pooling < 3 ? pooling + 1 : 6;
        const int first = pooling == 0 ? 0 : pooling == 1 ? 1 : pooling == 2 ? 5 : 14;
        add_bilinear(p.cells + first * NARROW + at, bins, NARROW, p.tap_y[pooling * p.out.h + y],
                     p.tap_x[pooling * p.out.w + x], v);
    }
    store8(static_cast<T *>(p.out.data) + pixel * p.out.pitch + channel, v);
}

} // namespace

bool fs_launch_pool(const fs_pool_params *p, fs_k_type type, int sm, int variant, fs_launch *launch) {
    (void)sm;
    if (variant != 0) return false;
    const void *entry = type == FS_K_F16 ? FS_ENTRY((pool<__half>)) : FS_ENTRY((pool<float>));
    fs_launch_fill(launch, entry, type == FS_K_F16 ? "pool f16" : "pool f32", static_cast<unsigned>(p->bins * p->bins),
                   fs_blocks(p->out.pitch, POOL_CHANNELS), 1, POOL_THREADS, 0, *p);
    return true;
}

size_t fs_pyramid_partial_floats(int h, int w, int c) {
    return static_cast<size_t>(intervals(h) * intervals(w) * slices(h, w)) * static_cast<size_t>(c);
}

bool fs_launch_pyramid_pool(const fs_pyramid_pool_params *p, fs_k_type type, int sm, int variant, fs_launch *launch) {
    (void)sm;
    if (variant != 0) return false;
    if (p->stage == 1) {
        fs_launch_fill(launch, FS_ENTRY((pyramid_cells)), "pyramid cells", FS_K_CELLS,
                       fs_blocks(p->in.c, CELL_CHANNELS), 1, CELL_CHANNELS * CELL_LANES, 0, *p);
        return true;
    }
    const void *entry = type == FS_K_F16 ? FS_ENTRY((pyramid_partial<__half>)) : FS_ENTRY((pyramid_partial<float>));
    fs_launch_fill(launch, entry, type == FS_K_F16 ? "pyramid partial f16" : "pyramid partial f32",
                   static_cast<unsigned>(intervals(p->in.h) * intervals(p->in.w)), fs_blocks(p->in.c, PARTIAL_CHANNELS),
                   static_cast<unsigned>(slices(p->in.h, p->in.w)), PARTIAL_THREADS, 0, *p);
    return true;
}

bool fs_launch_pyramid_branch(const fs_pyramid_branch_params *p, int sm, int variant, fs_launch *launch) {
    (void)sm;
    if (variant != 0) return false;
    fs_launch_fill(launch, FS_ENTRY((pyramid_branch)), p->slice ? "pyramid branch folded" : "pyramid branch",
                   FS_K_CELLS, 1, 1, WIDE, 0, *p);
    return true;
}

bool fs_launch_pyramid_up(const fs_pyramid_up_params *p, fs_k_type type, int sm, int variant, fs_launch *launch) {
    (void)sm;
    if (variant != 0 || (!p->folded && p->in.c % 8 != 0)) return false;
    const long long items = static_cast<long long>(p->out.h) * p->out.w * (p->out.pitch / 8);
    const void *f16 = p->folded ? FS_ENTRY((pyramid_up<__half, true>)) : FS_ENTRY((pyramid_up<__half, false>));
    const void *f32 = p->folded ? FS_ENTRY((pyramid_up<float, true>)) : FS_ENTRY((pyramid_up<float, false>));
    fs_launch_fill(launch, type == FS_K_F16 ? f16 : f32,
                   p->folded ? (type == FS_K_F16 ? "pyramid up folded f16" : "pyramid up folded f32")
                             : (type == FS_K_F16 ? "pyramid up concat f16" : "pyramid up concat f32"),
                   fs_blocks(items, UP_THREADS), 1, 1, UP_THREADS, 0, *p);
    return true;
}
