// The first block in one launch: u8 frame -> stem (3x3, stride 2, 32 channels) -> depthwise 3x3 stride 2 -> pointwise
// to 48 channels. The 1/2-size map, the largest of the network, never exists in memory.
//
// Layer by layer, 1024x2048 writes and reads 33.6 MB of the stem's map and 8.4 MB of the depthwise's; this reads 6.3 MB
// and writes 12.6 MB for 1.3 GFLOP in the products and 0.08 in the depthwise. It computes 8 % of the stem's pixels
// twice. Predicted, not measured: 12 us on an H100, bound by shared memory and issue slots alike, against 62.
//
// A block makes TILE_H x TILE_W pixels of the 1/4-size map:
// 1. The weights of all three layers to shared memory, then the frame's window. A tile inside the frame whose rows lie
//    alike (a stride of 16 bytes' multiple) is copied as it is, 16 bytes at a time and asynchronously, and the reads of
//    step 2 begin where the window does; K has a spare byte per window row for windows that begin at an odd address.
//    Every other tile is shifted or filled byte by byte (stem.cuh).
// 2. The stem on tensor cores, 16 pixels by 32 channels a warp, to a tile of halves. The odd last column of the tile is
//    a group of 16 pixels down. Pixels outside the 1/2-size map become zeros: the depthwise pads with those.
// 3. The depthwise in float. A warp has 16 columns of one or two rows; a lane two neighbouring columns, so that inputs
//    serve several outputs, and of each 16 channels 4 t .. 4 t + 3: with K in that order, its sums are the A fragments
//    of the pointwise and stay in registers.
// 4. The pointwise on tensor cores; N in an order that gives a lane 8 and then 4 neighbouring channels of a pixel.
//
// In the tile of halves two pixels take 128 bytes, in four quarters of 16 channels each; a quarter's place is its
// number ^ (column / 4), so that the 16 lanes which read 8 bytes each of pixels 4 columns apart meet in no bank, nor do
// the 16-byte writes of neighbouring pixels.
#include "cuda/kernels/fused.h"
#include "cuda/kernels/pieces.cuh"
#include "cuda/kernels/stem.cuh"

namespace {

constexpr int STEM_N = 32, OUT_N = 48;

// BYTES per frame pixel in the window; PITCH words from row to row of it.
template <int BYTES, int TILE_H, int TILE_W, int WARPS, int PITCH> struct stem_ds_tile {
    static constexpr int bytes = BYTES, height = TILE_H, width = TILE_W, warps = WARPS, threads = 32 * WARPS;
    static constexpr int stem_rows = 2 * TILE_H + 1, stem_columns = 2 * TILE_W + 1, stem_pitch = 2 * TILE_W + 2;
    static constexpr int stem_row_bytes = stem_pitch * STEM_N * 2;
    using window = fs_stem_layout<BYTES, stem_columns, PITCH>;
    static constexpr int window_rows = 2 * stem_rows + 1;
    // 16-byte pieces of a row from an aligned address up to 15 bytes before the window.
    static constexpr int pieces = ((stem_columns - 1) * 2 * BYTES + 2 * window::pairs + 14 + 15) / 16;
    static_assert(PITCH % 4 == 0 && pieces * 4 <= PITCH, "aligned rows with room");
    // Groups of 16 pixels: across the even part of all rows, then down the last column.
    static constexpr int across = 2 * TILE_W / 16, even_groups = stem_rows * across;
    static constexpr int groups = even_groups + (stem_rows + 15) / 16;
    // The stem's fragments are read before its results are written, into the same memory.
    static constexpr int pointwise_at = stem_rows * stem_row_bytes, depthwise_at = pointwise_at + OUT_N * STEM_N * 2;
    static constexpr int window_at = depthwise_at + 10 * STEM_N * 4;
    static constexpr int shared = window_at + window_rows * PITCH * 4;
    static constexpr int rows = TILE_H * TILE_W / 16 / WARPS; // of outputs, a warp
    static_assert(rows * WARPS * 16 == TILE_H * TILE_W && TILE_W % 16 == 0 && TILE_H % rows == 0, "whole warps");
};

// Pairs of the window in K. With 6 pairs a row (two rows of them an even number of words apart), those of two rows that
// are read together must be an even and an odd word of their rows.
template <int bytes> FS_DEVICE int pair_of(int slot) {
    if (bytes == 3) return slot;
    return slot == 6 || slot == 7 ? slot + 2 : slot == 8 || slot == 9 ? slot - 2 : slot;
}

// The pointwise weights as fragments: per tile of 8 columns and lane 8 halves, the pairs of both k16 steps.
template <int threads> FS_DEVICE void fill_pointwise(const fs_fused_pw &pw, uint4 *fragments) {
    for (int i = static_cast<int>(threadIdx.x); i < OUT_N / 8 * 32; i += threads) {
        const int g = i % 32 / 4, t = i % 4, tile = i / 32;
        const int n = tile < 4 ? g / 2 * 8 + tile * 2 + g % 2 : 32 + g / 2 * 4 + (tile - 4) * 2 + g % 2;
        const uint2 *from = reinterpret_cast<const uint2 *>(static_cast<const __half *>(pw.weights) + n * STEM_N) + t;
        const uint2 low = __ldg(from), high = __ldg(from + 4);
        fragments[i] = make_uint4(low.x, low.y, high.x, high.y);
    }
}

// Weights [9][32] and behind them the bias.
template <int threads> FS_DEVICE void fill_depthwise(const fs_fused_dw &dw, float4 *to) {
    for (int i = static_cast<int>(threadIdx.x); i < 10 * STEM_N / 4; i += threads)
        to[i] = i < 9 * STEM_N / 4 ? __ldg(reinterpret_cast<const float4 *>(dw.weights) + i)
                                   : __ldg(reinterpret_cast<const float4 *>(dw.bias) + (i - 9 * STEM_N / 4));
}

// The frame's rows as they lie, from the aligned address before the window; the caller has checked that all of it is
// inside the frame.
template <typename Tile> FS_DEVICE void copy_window(const uint8_t *aligned, long long stride, unsigned char *window) {
    for (int i = static_cast<int>(threadIdx.x); i < Tile::window_rows * Tile::pieces; i += Tile::threads) {
        const int y = i / Tile::pieces, x = i % Tile::pieces;
        fs_async_copy16(window + y * Tile::window::pitch * 4 + x * 16, aligned + y * stride + x * 16, true);
    }
    fs_async_commit();
}

// The stem's pixels of the tile, from its window to halves in shared memory. The pixel at row 0 and column 0 is
// (stem_y, stem_x) of the map; `interior`: all are in the map, with all taps in the frame.
template <typename Tile, bool interior>
FS_DEVICE void stem(const fs_stem_params &p, int stem_y, int stem_x, const unsigned char *window,
                    const int (&offset)[2 * Tile::window::steps], const uint32_t (&b)[Tile::window::steps][4][2],
                    unsigned char *to) {
    constexpr unsigned rows = Tile::stem_rows;
    const unsigned lane = threadIdx.x % 32, g = lane / 4, t = lane % 4;
    float bias[8];
    fs_stem_bias(p, 7, 7, 8 * static_cast<int>(t), bias);
    const auto inside = [&](unsigned row, unsigned column) { // finds the bias of a pixel; false: it is not in the map
        const int y = stem_y + static_cast<int>(row), x = stem_x + static_cast<int>(column);
        if (y < 0 || y >= p.out.h || x < 0 || x >= p.out.w) return false;
        fs_stem_bias(p, fs_inside_mask(2 * y - p.pad_top, p.h), fs_inside_mask(2 * x - p.pad_left, p.w),
                     8 * static_cast<int>(t), bias);
        return true;
    };
    const auto place = [&](unsigned row, unsigned column) { // of this lane's 8 channels of a pixel
        const unsigned quarter = (column % 2 * 2 + t / 2) ^ (column / 4 % 4);
        return reinterpret_cast<uint4 *>(to + row * Tile::stem_row_bytes + column / 2 * 128 + quarter * 32 +
                                         t % 2 * 16);
    };
    const auto taps = [&](unsigned row, unsigned column) { // rows behind the last read the last
        return window + (row < rows ? row : rows - 1) * (2 * Tile::window::pitch * 4) +
               column * Tile::window::step_bytes;
    };
    const uint4 zeros = make_uint4(0, 0, 0, 0);
#pragma unroll 1
    for (unsigned group = threadIdx.x / 32; group < Tile::groups; group += Tile::warps) {
        const bool down = group >= Tile::even_groups;
        const unsigned row = down ? (group - Tile::even_groups) * 16 + g : group / Tile::across;
        const unsigned column = down ? Tile::stem_columns - 1 : group % Tile::across * 16 + g;
        const unsigned far_row = down ? row + 8 : row, far_column = down ? column : column + 8;
        float acc[4][4] = {};
        fs_stem_multiply<Tile::window::steps>(taps(row, column), taps(far_row, far_column), offset, b, acc);
        if (row < rows)
            *place(row, column) = interior || inside(row, column) ? fs_stem_piece<0>(acc, p.scale, bias) : zeros;
        if (far_row < rows)
            *place(far_row, far_column) =
                interior || inside(far_row, far_column) ? fs_stem_piece<2>(acc, p.scale, bias) : zeros;
    }
}

FS_DEVICE uint32_t pack(float a, float b, bool relu) {
    return relu ? fs_relu_pair(a, b) : fs_bits_of(__floats2half2_rn(a, b));
}

// Depthwise of this warp's outputs, as the A fragments of the two k16 steps of the pointwise. A fragment's row g is
// column 2 g of the warp's 16, row g + 8 the next. `stem` points to the warp's first pixel.
template <int ROWS, int ROW_BYTES>
FS_DEVICE void depthwise(const unsigned char *stem, const float *weights, bool relu, int g, int t,
                         uint32_t (&a)[ROWS][2][4]) {
#pragma unroll
    for (int step = 0; step < 2; ++step) {
        float weight[9][4], bias[4];
        fs_depthwise_weights(weight, bias, weights, weights + 9 * STEM_N, STEM_N, step * 16 + 4 * t);
        // Even and odd columns 4 g .. 4 g + 3, and column 4 g + 4.
        const unsigned char *const from = stem + g * 256 + t * 8;
        const unsigned char *const even = from + (step ^ (g & 3)) * 32, *const odd = from + ((2 + step) ^ (g & 3)) * 32;
        const unsigned char *const last = from + 256 + (step ^ ((g + 1) & 3)) * 32;
        const auto load = [&](int row, int column) {
            const unsigned char *at = column == 4 ? last : (column % 2 ? odd : even) + column / 2 * 128;
            return *reinterpret_cast<const uint2 *>(at + row * ROW_BYTES);
        };
        const auto store = [&](int row, int column, float(&sum)[4]) {
            a[row][step][column] = pack(sum[0], sum[1], relu), a[row][step][column + 2] = pack(sum[2], sum[3], relu);
        };
        fs_depthwise_strip<__half, 4, 2, 2, ROWS>(weight, bias, load, store);
    }
}

// 2 TILES neighbouring channels of one output pixel.
template <int TILES>
FS_DEVICE void store_output(__half *to, const float (&acc)[TILES][4], int from, const float (&bias)[2 * TILES],
                            bool relu) {
    uint32_t v[TILES];
#pragma unroll
    for (int tile = 0; tile < TILES; ++tile)
        v[tile] = pack(acc[tile][from] + bias[2 * tile], acc[tile][from + 1] + bias[2 * tile + 1], relu);
    if constexpr (TILES == 4)
        *reinterpret_cast<uint4 *>(to) = make_uint4(v[0], v[1], v[2], v[3]);
    else
        *reinterpret_cast<uint2 *>(to) = make_uint2(v[0], v[1]);
}

// Columns of TILES n8 tiles from tile FIRST on: a lane's are the 2 TILES channels from `n`.
template <int FIRST, int TILES, int ROWS>
FS_DEVICE void pointwise(const fs_stem_ds_params &p, const uint4 *fragments, const uint32_t (&a)[ROWS][2][4], int y,
                         int x, int n) {
    const int lane = static_cast<int>(threadIdx.x) % 32;
    float acc[ROWS][TILES][4] = {};
#pragma unroll
    for (int tile = 0; tile < TILES; ++tile) {
        const uint4 v = fragments[(FIRST + tile) * 32 + lane];
        const uint32_t low[2] = {v.x, v.y}, high[2] = {v.z, v.w};
#pragma unroll
        for (int row = 0; row < ROWS; ++row) fs_mma_m16n8k16(acc[row][tile], a[row][0], low);
#pragma unroll
        for (int row = 0; row < ROWS; ++row) fs_mma_m16n8k16(acc[row][tile], a[row][1], high);
    }
    float bias[2 * TILES];
#pragma unroll
    for (int i = 0; i < 2 * TILES; i += 4) {
        const float4 b = __ldg(reinterpret_cast<const float4 *>(p.pw.bias + n + i));
        bias[i] = b.x, bias[i + 1] = b.y, bias[i + 2] = b.z, bias[i + 3] = b.w;
    }
#pragma unroll
    for (int row = 0; row < ROWS; ++row)
#pragma unroll
        for (int column = 0; column < 2; ++column)
            if (y + row < p.out.h && x + column < p.out.w)
                store_output<TILES>(fs_at<__half>(p.out, y + row, x + column) + n, acc[row], 2 * column, bias,
                                    p.pw.relu);
}

template <typename Tile, int BLOCKS> FS_KERNEL(Tile::threads, BLOCKS) stem_ds(const FS_PARAM fs_stem_ds_params p) {
    using window = typename Tile::window;
    constexpr int steps = window::steps;
    FS_SHARED_DYNAMIC(unsigned char, shared);
    uint4 *const pointwise_weights = reinterpret_cast<uint4 *>(shared + Tile::pointwise_at);
    float *const depthwise_weights = reinterpret_cast<float *>(shared + Tile::depthwise_at);
    unsigned char *const tile = shared + Tile::window_at;

    // The tile's first pixel at 1/4 size, at 1/2 size and in the frame.
    const int out_y = static_cast<int>(blockIdx.y) * Tile::height, out_x = static_cast<int>(blockIdx.x) * Tile::width;
    const int stem_y = 2 * out_y - 1, stem_x = 2 * out_x - 1;
    const int y0 = 2 * stem_y - p.stem.pad_top, x0 = 2 * stem_x - p.stem.pad_left;

    const bool same = fs_stem_same_bytes(p.stem, Tile::bytes);
    const long long begin = static_cast<long long>(x0) * Tile::bytes;
    const long long end = static_cast<long long>(p.stem.w) * Tile::bytes;
    const uint8_t *const corner = p.stem.frame + y0 * p.stem.stride + static_cast<long long>(x0) * p.stem.pixel;
    const int shift = static_cast<int>(reinterpret_cast<uintptr_t>(corner) & 15);
    const bool as_it_is = same && p.stem.stride % 16 == 0 && (Tile::bytes == 3 || shift % 2 == 0) && y0 >= 0 &&
                          y0 + Tile::window_rows <= p.stem.h && begin >= shift &&
                          begin - shift + 16 * Tile::pieces <= end;
    const int lead = as_it_is ? shift & 1 : 0;

    const auto order = [](int slot) { return pair_of<Tile::bytes>(slot); };
    uint32_t *const fragments = reinterpret_cast<uint32_t *>(shared);
    fs_stem_fill_fragments<window, Tile::threads>(p.stem, same, lead, order, fragments);
    fill_pointwise<Tile::threads>(p.pw, pointwise_weights);
    fill_depthwise<Tile::threads>(p.dw, reinterpret_cast<float4 *>(depthwise_weights));
    fs_dependency_wait(); // weights are no kernel's output
    fs_dependency_release();
    if (as_it_is) {
        copy_window<Tile>(corner - shift, p.stem.stride, tile);
        fs_async_wait<0>();
    } else {
        fs_stem_fill_tile<window, Tile::window_rows, Tile::threads>(p.stem, same, y0, x0,
                                                                    reinterpret_cast<uint32_t *>(tile));
    }

    const int lane = static_cast<int>(threadIdx.x) % 32, warp = static_cast<int>(threadIdx.x) / 32;
    const int g = lane / 4, t = lane % 4;
    int offset[2 * steps];
    fs_stem_offsets<window>(t, order, offset);
    __syncthreads();
    uint32_t b[steps][4][2];
    fs_stem_load_fragments(fragments, lane, b);
    __syncthreads();

    // Every stem pixel of this tile is inside its map and every tap of it inside the frame.
    const bool interior = y0 >= 0 && y0 + Tile::window_rows <= p.stem.h && x0 >= 0 &&
                          x0 + 2 * Tile::stem_columns + 1 <= p.stem.w && stem_y >= 0 && stem_x >= 0 &&
                          stem_y + Tile::stem_rows <= p.stem.out.h && stem_x + Tile::stem_columns <= p.stem.out.w;
    const unsigned char *const first = tile + (as_it_is ? shift - lead : 0);
    if (interior)
        stem<Tile, true>(p.stem, stem_y, stem_x, first, offset, b, shared);
    else
        stem<Tile, false>(p.stem, stem_y, stem_x, first, offset, b, shared);
    __syncthreads();

    constexpr int halves = Tile::width / 16;
    const int row = warp / halves * Tile::rows, column = warp % halves * 16;
    uint32_t a[Tile::rows][2][4];
    depthwise<Tile::rows, Tile::stem_row_bytes>(shared + 2 * row * Tile::stem_row_bytes + column * STEM_N * 4,
                                                depthwise_weights, p.dw.relu, g, t, a);
    pointwise<0, 4>(p, pointwise_weights, a, out_y + row, out_x + column + 2 * g, 8 * t);
    pointwise<4, 2>(p, pointwise_weights, a, out_y + row, out_x + column + 2 * g, 32 + 4 * t);
}

template <int BYTES, int TILE_H, int TILE_W, int WARPS, int PITCH>
bool fill(const fs_stem_ds_params &p, const char *name, fs_launch *launch) {
    using Tile = stem_ds_tile<BYTES, TILE_H, TILE_W, WARPS, PITCH>;
    fs_launch_fill(launch, FS_ENTRY((stem_ds < Tile, WARPS == 8 ? 2 : 4 >)), name, fs_blocks(p.out.w, TILE_W),
                   fs_blocks(p.out.h, TILE_H), 1, Tile::threads, Tile::shared, p);
    return true;
}

} // namespace

// Variants: tiles of 8x32 and of 8x16, whichever has more warps on a multiprocessor first, then of 4x16 for small maps.
// The largest needs more than the 64 KB of sm_75.
bool fs_launch_stem_ds(const fs_stem_ds_params *p, int sm, int variant, fs_launch *launch) {
    const fs_map &stem = p->stem.out, &out = p->out;
    if (stem.c != STEM_N || (p->stem.channels != 3 && p->stem.channels != 4) || p->dw.stride != 2 || p->pw.n != OUT_N ||
        out.c != OUT_N || out.pitch < OUT_N || out.pitch % 8 || out.h != (stem.h + 1) / 2 || out.w != (stem.w + 1) / 2)
        return false;
    const bool four = fs_stem_four_bytes(p->stem);
    const bool wide = fs_shared_limit(sm) >= 99u << 10, wide_first = fs_shared_limit(sm) > 200u << 10;
    enum tile { wide_tile, square_tile, small_tile };
    const tile order[] = {wide_first ? wide_tile : square_tile,
                          wide_first ? square_tile
                          : wide     ? wide_tile
                                     : small_tile,
                          small_tile};
    if (variant < 0 || variant > (wide ? 2 : 1)) return false;
    switch (order[variant]) {
    case wide_tile:
        return four ? fill<4, 8, 32, 8, 136>(*p, "stem+ds 4 bytes 8x32", launch)
                    : fill<3, 8, 32, 8, 112>(*p, "stem+ds 8x32", launch);
    case square_tile:
        return four ? fill<4, 8, 16, 8, 72>(*p, "stem+ds 4 bytes 8x16", launch)
                    : fill<3, 8, 16, 8, 56>(*p, "stem+ds 8x16", launch);
    default:
        return four ? fill<4, 4, 16, 4, 72>(*p, "stem+ds 4 bytes 4x16", launch)
                    : fill<3, 4, 16, 4, 80>(*p, "stem+ds 4x16", launch);
    }
}
