// Feature fusion in one launch: bilinear resize of the low branch -> depthwise 3x3 -> one matrix product over both
// branches -> ReLU. Neither the resized map nor the depthwise's result exists in memory.
//
// A block makes 8x16 (or 8x8) pixels of all 128 channels:
// 1. Weights of the product to shared memory, asynchronously; they are not needed before step 4.
// 2. By groups of channels (32 at dilation 4, 64 at dilation 1): the patch of the low map below the tile, fetched into
//    registers while the group before is at work, to shared memory; from it the resized tile with its halo, rounded to
//    half and zero outside the resized map (resize.cuh). A patch that is too large, where the map is not enlarged
//    about 4 times, is read from global memory instead.
// 3. From that the depthwise, + bias, ReLU, rounded to half: 128 columns of the matrix A, in shared memory.
// 4. The skip's 64 channels take the place of the resized tile while the product over the first 128 columns runs on
//    tensor cores, then the other 64. Bias, ReLU, and 16 bytes a lane to memory.
// With less shared memory the weights come in two halves of 64 output channels, the second while the first half's
// results are stored.
//
// The depthwise of a resized map is a resize of a depthwise, or one of 16 small stencils, for some factors and corner
// conventions, at a fraction of the arithmetic; but only in real numbers: the resized values would not be rounded to
// half as the separate steps round them, so those short cuts are not taken.
//
// At 1024x2048 (32x64x128 and 128x256x64 to 128x256x128): 1.6 GFLOP in the product, 75 MFLOP in the depthwise, 47 in
// the resize at dilation 4 (halo 3); 4.7 MB read, 8.4 MB written, instead of 13 and 17 layer by layer. 256 blocks, two
// a multiprocessor. Predicted, not measured: 12 to 14 us on an H100, bound by shared memory, against 19 layer by layer.
#include "cuda/kernels/fused.h"
#include "cuda/kernels/ptx.cuh"
#include "cuda/kernels/quads.cuh"
#include "cuda/kernels/resize.cuh"

namespace {

constexpr int THREADS = 256;
constexpr int LOW = 128, SKIP = 64, K = LOW + SKIP, N = 128; // channels
constexpr int WARPS_M = 4, WARPS_N = 2;
constexpr int VECTOR = 4; // channels of a thread in the depthwise

// PARTS: how often the weights' place is filled.
template <int HEIGHT, int WIDTH, int DILATION, int PARTS> struct FusionTile {
    static constexpr int height = HEIGHT, width = WIDTH, dilation = DILATION, parts = PARTS, pixels = HEIGHT * WIDTH;
    // The resized tile, and the channels of it that are there at a time.
    static constexpr int rows = HEIGHT + 2 * DILATION, columns = WIDTH + 2 * DILATION;
    static constexpr int planes = DILATION == 1 ? 2 : 1, group = planes * 32;
    static constexpr int plane_bytes = fs_resized_bytes(rows, columns);
    // A thread of the resize has `segment` pixels of a row.
    static constexpr int segments = THREADS / (rows * planes * 4), segment = (columns + segments - 1) / segments;
    // The patch of the low map: four times smaller it has up to 6x8 pixels at dilation 4, 5x7 at dilation 1.
    static constexpr int patch_pixels = DILATION == 1 ? 64 : 80, pieces = group / 8;
    static constexpr int fetches = (patch_pixels * pieces + THREADS - 1) / THREADS; // of a thread
    // A thread of the depthwise has tx x ty outputs.
    static constexpr int strips = THREADS / planes / (32 / VECTOR), tx = 2, ty = pixels / strips / tx;
    static_assert(columns % 2 == 0 && segments >= 1 && ty >= 1 && tx * ty * strips == pixels, "whole strips");
    // The product: a warp has mi x ni tiles of 16 x 8.
    static constexpr int channels = N / PARTS, wm = pixels / WARPS_M, wn = channels / WARPS_N;
    static constexpr int mi = wm / 16, ni = wn / 8;
    static_assert(wm % 16 == 0 && wn % 32 == 0, "whole tensor-core tiles");
    // Shared memory. The skip lies where the resized tile was.
    static constexpr int low_at = channels * K * 2, resized_at = low_at + pixels * LOW * 2;
    static constexpr int patch_at = resized_at + planes * plane_bytes;
    static constexpr int taps_at = patch_at + patch_pixels * group * 2;
    static constexpr int shared = taps_at + (rows + columns) * static_cast<int>(sizeof(fs_k_tap));
    // Least on a multiprocessor, which bounds the registers: where the large tile takes halves, one is all that fits.
    static constexpr int blocks = PARTS == 2 && pixels == 128 ? 1 : 2;
    static_assert(LOW % group == 0 && pixels * SKIP * 2 <= planes * plane_bytes && patch_at % 16 == 0,
                  "the skip has room");
};

// Byte offset of 16-byte piece `piece` of a pixel's K in the low part of A. Eight pixels in a row lie in different
// banks, and two pixels 1 or 2 apart (from a multiple of 2 or 4) in different halves of them, for the depthwise's
// stores.
FS_DEVICE int low_offset(int pixel, int piece) {
    const int swizzle = ((pixel ^ pixel >> 1) & 1) << 2 | (pixel & 2) | (pixel >> 2 & 1);
    return pixel * LOW * 2 + (piece ^ swizzle) * 16;
}
FS_DEVICE int skip_offset(int pixel, int piece) {
    return pixel * SKIP * 2 + (piece ^ (pixel & 7)) * 16;
}
FS_DEVICE int weight_offset(int channel, int piece) {
    return channel * K * 2 + (piece ^ (channel & 7)) * 16;
}

// Weights of output channels first .. first + count - 1.
template <int count> FS_DEVICE void copy_weights(const void *weights, int first, unsigned char *to) {
    constexpr int pieces = K / 8;
    const __half *const from = static_cast<const __half *>(weights) + first * K;
#pragma unroll 4
    for (int i = static_cast<int>(threadIdx.x); i < count * pieces; i += THREADS)
        fs_async_copy16(to + weight_offset(i / pieces, i % pieces), from + i * 8, true);
    fs_async_commit();
}

// The skip's pixels of this tile; zeros outside the map.
template <class Tile> FS_DEVICE void copy_skip(const fs_map &skip, int y0, int x0, unsigned char *to) {
    constexpr int pieces = SKIP / 8;
#pragma unroll
    for (int i = 0; i < Tile::pixels * pieces / THREADS; ++i) {
        const int at = static_cast<int>(threadIdx.x) + i * THREADS, pixel = at / pieces, piece = at % pieces;
        const int y = y0 + pixel / Tile::width, x = x0 + pixel % Tile::width;
        const bool inside = y < skip.h && x < skip.w;
        const __half *const from = fs_at<const __half>(skip, inside ? y : 0, inside ? x : 0) + piece * 8;
        fs_async_copy16(to + skip_offset(pixel, piece), from, inside);
    }
    fs_async_commit();
}

// The taps of the resized tile's rows, then of its columns; lower = -1 outside the resized map.
template <class Tile> FS_DEVICE void load_taps(const fs_fusion_params &p, int y0, int x0, fs_k_tap *taps) {
    const int i = static_cast<int>(threadIdx.x);
    if (i >= Tile::rows + Tile::columns) return;
    const bool along = i >= Tile::rows;
    const int at = along ? x0 - Tile::dilation + i - Tile::rows : y0 - Tile::dilation + i;
    fs_k_tap tap = {-1, -1, 0.0f};
    if (at >= 0 && at < (along ? p.out.w : p.out.h)) tap = (along ? p.tap_x : p.tap_y)[at];
    taps[i] = tap;
}

// First and last input row (column) that outputs `first` .. `first` + count - 1 touch, of `size` outputs.
struct Span {
    int begin, end;
};
FS_DEVICE Span span_of(const fs_k_tap *taps, int first, int count, int size) {
    const int last = first + count < size ? first + count - 1 : size - 1;
    return {taps[first > 0 ? first : 0].lower, taps[last].upper + 1};
}

// The resized tile, one group of channels. The input is the patch in shared memory or the low map from this group's
// first channel on: `input` points to its pixel `rows.begin`, `columns.begin`.
template <class Tile, typename Row>
FS_DEVICE void resize_tile(const fs_k_tap *taps, const __half *input, const Row &row_stride, int pixel_stride, int top,
                           int left, unsigned char *resized) {
    const int i = static_cast<int>(threadIdx.x), piece = i & 3, row = (i >> 2) % Tile::rows;
    const int plane = (i >> 2) / Tile::rows % Tile::planes, segment = (i >> 2) / Tile::rows / Tile::planes;
    if (segment >= Tile::segments) return;
    const int begin = segment * Tile::segment;
    const int end = begin + Tile::segment < Tile::columns ? begin + Tile::segment : Tile::columns;
    const fs_k_tap down = taps[row];
    const bool inside = down.lower >= 0;
    const __half *const first = input + plane * 32 + piece * 8;
    const __half *const upper = first + (inside ? down.lower - top : 0) * row_stride;
    const __half *const lower = first + (inside ? down.upper - top : 0) * row_stride;
    unsigned char *const to = resized + plane * Tile::plane_bytes + piece * 16;
    const auto tap = [&](int column, fs_k_tap &along) {
        along = taps[Tile::rows + column];
        return inside && along.lower >= 0;
    };
    const auto mix = [&](float(&v)[8], int x) {
        const int at = (x - left) * pixel_stride;
        fs_mix_rows<__half>(v, upper + at, lower + at, down.fraction);
    };
    const auto store = [&](int column, const uint4 &raw) {
        *reinterpret_cast<uint4 *>(to + fs_resized_at(row, column, Tile::columns)) = raw;
    };
    fs_resize_walk<__half>(begin, end, tap, mix, store);
}

// Depthwise of the resized tile into A, 4 channels of a strip of pixels a thread. Strips interleave: the outputs of one
// lie `dilation` apart.
template <class Tile>
FS_DEVICE void depthwise(const float (&weight)[9][VECTOR], const float (&bias)[VECTOR], bool relu,
                         const unsigned char *resized, int first, unsigned char *low) {
    constexpr int D = Tile::dilation, across = Tile::width / Tile::tx, quads = 32 / VECTOR;
    const int thread = static_cast<int>(threadIdx.x), quad = thread % quads;
    const int strip = thread / quads % Tile::strips, plane = thread / quads / Tile::strips;
    const int column = strip % across, row = strip / across;
    const int x = column / D * D * Tile::tx + column % D, y = row / D * D * Tile::ty + row % D;
    const unsigned char *const from = resized + plane * Tile::plane_bytes + quad * VECTOR * 2;
    const int piece = (first + plane * 32) / 8 + quad / 2;
    const auto load = [&](int r, int c) {
        return *reinterpret_cast<const uint2 *>(from + fs_resized_at(y + r * D, x + c * D, Tile::columns));
    };
    const auto store = [&](int r, int c, float(&sum)[VECTOR]) {
        if (relu)
#pragma unroll
            for (int n = 0; n < VECTOR; ++n) sum[n] = fs_relu(sum[n]);
        uint2 raw;
        fs_pack(raw, sum);
        const int pixel = (y + r * D) * Tile::width + x + c * D;
        *reinterpret_cast<uint2 *>(low + low_offset(pixel, piece) + quad % 2 * 8) = raw;
    };
    fs_depthwise_strip<__half, VECTOR, 1, Tile::tx, Tile::ty>(weight, bias, load, store);
}

// STEPS steps of 16 columns of A. a(row, piece) and w(row, piece) give the addresses that this lane names.
template <int STEPS, int MI, int NI, typename A, typename W>
FS_DEVICE void multiply(float (&sum)[MI][NI][4], const A &a_at, const W &w_at) {
    const int lane = static_cast<int>(threadIdx.x) % 32;
    // Of A, 16 pixels then their next 8 of K; of W, 8 channels, their next 8 of K, then 8 more channels.
    const int a_row = lane % 16, a_piece = lane / 16, w_row = lane % 8 + lane / 16 * 8, w_piece = lane / 8 % 2;
#pragma unroll
    for (int step = 0; step < STEPS; ++step) {
        uint32_t a[MI][4], w[NI / 2][4];
#pragma unroll
        for (int i = 0; i < MI; ++i) fs_ldmatrix_x4(a[i], a_at(i * 16 + a_row, step * 2 + a_piece));
#pragma unroll
        for (int j = 0; j < NI / 2; ++j) fs_ldmatrix_x4(w[j], w_at(j * 16 + w_row, step * 2 + w_piece));
#pragma unroll
        for (int i = 0; i < MI; ++i)
#pragma unroll
            for (int j = 0; j < NI; ++j) fs_mma_m16n8k16(sum[i][j], a[i], &w[j / 2][j % 2 * 2]);
    }
}

// Bias, ReLU, one rounding; channel n0 and pixel m0 of the tile are the warp's first.
template <class Tile>
FS_DEVICE void store_part(const fs_fusion_params &p, float (&sum)[Tile::mi][Tile::ni][4], int y0, int x0, int m0,
                          int n0) {
    const int lane = static_cast<int>(threadIdx.x) % 32;
#pragma unroll
    for (int j = 0; j < Tile::ni; j += 4) {
        const int n = n0 + j * 8 + lane % 4 * 8;
        const float4 b0 = *reinterpret_cast<const float4 *>(p.pw.bias + n);
        const float4 b1 = *reinterpret_cast<const float4 *>(p.pw.bias + n + 4);
        const float bias[8] = {b0.x, b0.y, b0.z, b0.w, b1.x, b1.y, b1.z, b1.w};
#pragma unroll
        for (int i = 0; i < Tile::mi; ++i)
#pragma unroll
            for (int side = 0; side < 2; ++side) {
                float v[4][2];
#pragma unroll
                for (int t = 0; t < 4; ++t) v[t][0] = sum[i][j + t][side * 2], v[t][1] = sum[i][j + t][side * 2 + 1];
                fs_quad_transpose(v, lane);
                const int pixel = m0 + i * 16 + side * 8 + lane / 4;
                const int y = y0 + pixel / Tile::width, x = x0 + pixel % Tile::width;
                float out[8];
#pragma unroll
                for (int c = 0; c < 8; ++c) {
                    out[c] = v[c / 2][c % 2] + bias[c];
                    if (p.pw.relu) out[c] = fs_relu(out[c]);
                }
                if (y < p.out.h && x < p.out.w) fs_store_piece<__half, 8>(fs_at<__half>(p.out, y, x) + n, out);
            }
    }
}

template <class Tile> FS_KERNEL(THREADS, Tile::blocks) fusion(const FS_PARAM fs_fusion_params p) {
    FS_SHARED_DYNAMIC(unsigned char, shared);
    unsigned char *const low = shared + Tile::low_at, *const resized = shared + Tile::resized_at;
    __half *const patch = reinterpret_cast<__half *>(shared + Tile::patch_at);
    fs_k_tap *const taps = reinterpret_cast<fs_k_tap *>(shared + Tile::taps_at);
    const int thread = static_cast<int>(threadIdx.x);
    const int y0 = static_cast<int>(blockIdx.y) * Tile::height, x0 = static_cast<int>(blockIdx.x) * Tile::width;

    copy_weights<Tile::channels>(p.pw.weights, 0, shared);
    load_taps<Tile>(p, y0, x0, taps);
    const Span rows = span_of(p.tap_y, y0 - Tile::dilation, Tile::rows, p.out.h);
    const Span columns = span_of(p.tap_x, x0 - Tile::dilation, Tile::columns, p.out.w);
    fs_dependency_wait(); // weights and taps are no kernel's output

    // This thread's pieces of the patch; none when it is too large.
    const int patch_w = columns.end - columns.begin, patch_h = rows.end - rows.begin;
    const bool staged =
        patch_w <= Tile::patch_pixels && patch_h <= Tile::patch_pixels && patch_w * patch_h <= Tile::patch_pixels;
    const int count = staged ? patch_w * patch_h * Tile::pieces : 0;
    const __half *from[Tile::fetches];
    uint4 held[Tile::fetches];
#pragma unroll
    for (int f = 0; f < Tile::fetches; ++f) {
        const int i = thread + f * THREADS, pixel = i < count ? i / Tile::pieces : 0, y = pixel / patch_w;
        from[f] =
            fs_at<const __half>(p.low, rows.begin + y, columns.begin + pixel - y * patch_w) + i % Tile::pieces * 8;
        held[f] = make_uint4(0, 0, 0, 0);
        if (i < count) held[f] = *reinterpret_cast<const uint4 *>(from[f]);
    }
    fs_dependency_release();

    const int channel = thread / (32 / VECTOR) / Tile::strips * 32 + thread % (32 / VECTOR) * VECTOR; // of the group
#pragma unroll 1
    for (int first = 0; first < LOW; first += Tile::group) {
        float weight[9][VECTOR], bias[VECTOR];
        fs_depthwise_weights(weight, bias, p.dw.weights, p.dw.bias, LOW, first + channel);
#pragma unroll
        for (int f = 0; f < Tile::fetches; ++f)
            if (thread + f * THREADS < count) *reinterpret_cast<uint4 *>(patch + (thread + f * THREADS) * 8) = held[f];
        __syncthreads(); // the patch is here, and everyone is done with the resized tile of the group before
#pragma unroll
        for (int f = 0; f < Tile::fetches; ++f)
            if (thread + f * THREADS < count && first + Tile::group < LOW)
                held[f] = *reinterpret_cast<const uint4 *>(from[f] + first + Tile::group);
        if (staged)
            resize_tile<Tile>(taps, patch, patch_w * Tile::group, Tile::group, rows.begin, columns.begin, resized);
        else
            resize_tile<Tile>(taps, fs_at<const __half>(p.low, rows.begin, columns.begin) + first,
                              static_cast<long long>(p.low.w) * p.low.pitch, p.low.pitch, rows.begin, columns.begin,
                              resized);
        __syncthreads();
        depthwise<Tile>(weight, bias, p.dw.relu, resized, first, low);
    }
    fs_async_wait<0>(); // the weights
    __syncthreads();
    unsigned char *const skip = resized;
    copy_skip<Tile>(p.skip, y0, x0, skip);

    const int warp = thread / 32, m0 = warp % WARPS_M * Tile::wm, n0 = warp / WARPS_M * Tile::wn;
    const auto low_from = [&](int row, int piece) { return low + low_offset(m0 + row, piece); };
    const auto skip_from = [&](int row, int piece) { return skip + skip_offset(m0 + row, piece); };
    const auto weights = [&](int row, int piece) { return shared + weight_offset(n0 + row, piece); };
    const auto skip_weights = [&](int row, int piece) { return shared + weight_offset(n0 + row, LOW / 8 + piece); };
#pragma unroll 1
    for (int part = 0; part < Tile::parts; ++part) {
        float sum[Tile::mi][Tile::ni][4] = {};
        multiply<LOW / 16>(sum, low_from, weights);
        if (part == 0) {
            fs_async_wait<0>(); // the skip
            __syncthreads();
        }
        multiply<SKIP / 16>(sum, skip_from, skip_weights);
        const bool more = part + 1 < Tile::parts;
        if (more) {
            __syncthreads(); // everyone is done with these weights
            copy_weights<Tile::channels>(p.pw.weights, (part + 1) * Tile::channels, shared);
        }
        store_part<Tile>(p, sum, y0, x0, m0, part * Tile::channels + n0);
        if (more) {
            fs_async_wait<0>();
            __syncthreads();
        }
    }
}

template <int HEIGHT, int WIDTH, int DILATION, int PARTS>
bool fill(const fs_fusion_params &p, const char *name, fs_launch *launch) {
    using Tile = FusionTile<HEIGHT, WIDTH, DILATION, PARTS>;
    fs_launch_fill(launch, FS_ENTRY((fusion<Tile>)), name, fs_blocks(p.out.w, WIDTH), fs_blocks(p.out.h, HEIGHT), 1,
                   THREADS, Tile::shared, p);
    return true;
}

template <int DILATION> bool fill_dilation(const fs_fusion_params &p, unsigned limit, bool wide, fs_launch *launch) {
    using Whole = FusionTile<8, 16, DILATION, 1>;
    using Halves = FusionTile<8, 16, DILATION, 2>;
    static_assert(Whole::shared <= 113 << 10 && Halves::shared <= 99 << 10, "two on sm_90, one on sm_86");
    static_assert(FusionTile<8, 8, DILATION, 2>::shared <= 64 << 10, "runs on sm_75");
    constexpr bool near = DILATION == 1;
    if (!wide) return fill<8, 8, DILATION, 2>(p, near ? "fusion 8x8 halves" : "fusion 8x8 halves d4", launch);
    if (limit >= static_cast<unsigned>(Whole::shared))
        return fill<8, 16, DILATION, 1>(p, near ? "fusion 8x16" : "fusion 8x16 d4", launch);
    return fill<8, 16, DILATION, 2>(p, near ? "fusion 8x16 halves" : "fusion 8x16 halves d4", launch);
}

} // namespace

// Variants: tiles of 8x16 and of 8x8, the smaller first for maps with few tiles; sm_75 has room for the smaller alone.
bool fs_launch_fusion(const fs_fusion_params *p, int sm, int variant, fs_launch *launch) {
    const fs_map &out = p->out, &skip = p->skip, &low = p->low;
    if (low.c != LOW || skip.c != SKIP || out.c != N || p->pw.n != N || p->dw.stride != 1 ||
        (p->dilation != 1 && p->dilation != 4) || skip.h != out.h || skip.w != out.w)
        return false;
    const unsigned limit = fs_shared_limit(sm);
    const bool both = limit >= 99u << 10;
    if (variant < 0 || variant > (both ? 1 : 0)) return false;
    const long long tiles = static_cast<long long>(fs_blocks(out.w, 16)) * fs_blocks(out.h, 8);
    const bool wide = both && (tiles >= 96) == (variant == 0);
    return p->dilation == 1 ? fill_dilation<1>(*p, limit, wide, launch) : fill_dilation<4>(*p, limit, wide, launch);
}
