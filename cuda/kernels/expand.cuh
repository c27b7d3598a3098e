// What the kernels share that begin with an expansion: 32 expanded channels of a tile of 8 x 8 outputs by one warp,
// from the input's halo tile in shared memory through the expansion (1x1) and the depthwise 3x3.
//
// The expansion is D^T[channel x pixel] = W X^T: channels are M, so that a warp holds its weights in registers, and the
// accumulators of a lane are two neighbouring pixels of one channel. They are rounded into the warp's strip, channel by
// channel, from which each lane runs the depthwise of one channel: every input is read once, nine weights are all that
// a lane needs, and nobody outside the warp is waited for. The halo is walked from top to bottom in bands of four rows
// (a first band of one or two), so that a strip holds four rows; what an output row has received so far stays in
// registers. At the end the strip becomes the warp's part of Y: [32 channels][64 pixels].
//
// K of both products comes in the order of 16-byte loads: lane t of a quad has elements 8t .. 8t + 7 of each 32, as
// four registers of two k16 steps. That is fine for a sum as long as both operands agree, and weights go from their
// rows in memory to fragments without shared memory. Strip row r therefore holds channel fs_expand_channel(r), and Y,
// read by transposing ldmatrix, gives a lane eight neighbouring channels of a pixel.
//
// Rows of strip and Y are an odd number of 16 bytes apart, pixels of the input tile have the halves of their 128-byte
// rows swapped in every second column: every access to shared memory below is free of bank conflicts.
#ifndef FS_CUDA_KERNELS_EXPAND_CUH
#define FS_CUDA_KERNELS_EXPAND_CUH

#include "cuda/kernels/fused.h"
#include "cuda/kernels/ptx.cuh"

// ---- wrappers -------------------------------------------------------------------------------------------------------

// As fs_ldmatrix_x4, but lane i receives of each matrix column i / 4, rows 2 (i % 4) and the next.
FS_DEVICE void fs_ldmatrix_x4_transposed(uint32_t r[4], const void *row) {
#ifdef __CUDACC__
    const unsigned address = static_cast<unsigned>(__cvta_generic_to_shared(row));
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0,%1,%2,%3}, [%4];"
                 : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
                 : "r"(address)
                 : "memory");
#else
    // Row y, column x of a matrix is half x % 2 of lane 4 y + x / 2.
    uint32_t plain[4];
    fs_ldmatrix_x4(plain, row);
    const int lane = static_cast<int>(threadIdx.x % 32), x = lane / 4, y = lane % 4 * 2;
    for (int i = 0; i < 4; i++) {
        const uint32_t upper = __shfl_sync(0xffffffffu, plain[i], 4 * y + x / 2);
        const uint32_t lower = __shfl_sync(0xffffffffu, plain[i], 4 * y + 4 + x / 2);
        r[i] = (upper >> x % 2 * 16 & 0xffffu) | lower >> x % 2 * 16 << 16;
    }
#endif
}

// ReLU and rounding of two values to halves, the first in the low half. NaN stays NaN.
FS_DEVICE uint32_t fs_pack_relu(float first, float second) {
#if defined(__CUDACC__) && __CUDA_ARCH__ >= 800
    uint32_t pair;
    asm("cvt.rn.relu.f16x2.f32 %0, %1, %2;" : "=r"(pair) : "f"(second), "f"(first));
    return pair;
#else
    const __half2 halves = __floats2half2_rn(fs_relu(first), fs_relu(second));
    return reinterpret_cast<const uint32_t &>(halves);
#endif
}

FS_DEVICE float2 fs_unpack_halves(uint32_t pair) {
    return __half22float2(reinterpret_cast<const __half2 &>(pair));
}

// ---- geometry -------------------------------------------------------------------------------------------------------

// batch: how many times eight pixels are expanded at once.
template <int cin_, int stride_, int batch_> struct fs_expand_tile {
    static constexpr int cin = cin_, stride = stride_, batch = batch_;
    static constexpr int rows = 7 * stride + 3, pairs = 4 * stride + 1; // of the halo: 10 x 10 or 17 x 18 pixels
    static constexpr int columns = 2 * pairs;                           // one more than needed with stride 2
    static constexpr int steps = cin / 32, chunks = cin / 8;            // of K; 16-byte pieces of a pixel
    static constexpr int input_bytes = rows * columns * cin * 2;
    static constexpr int bands = stride == 1 ? 2 : 4;
    // Bytes from one row of strip and Y to the next, and of one warp's 32 channels. With stride 2 a strip fills its
    // row, and outputs wait in registers until it is done with. With stride 1 there is room for half of them behind the
    // 80 bytes of the strip, and before that for eight of the depthwise's weights: registers are short then.
    static constexpr int pitch = stride == 1 ? 176 : 144, unit = 32 * pitch;
    static constexpr int taps = 80;
    // Where row `row` of eight outputs is in a row of Y.
    FS_DEVICE constexpr int y_row(int row) { return stride == 2 ? row * 16 : row < 4 ? 112 + row * 16 : row * 16 - 64; }
    static_assert(cin == 64 || cin == 96 || cin == 128, "the swizzle");
    static_assert(stride == 1 || stride == 2, "the bands");
    static_assert(input_bytes % 128 == 0, "what follows is aligned");
};

// Where a tile lies.
struct fs_expand_place {
    int y, x;    // of the halo's first row and column in the input
    bool border; // some of the halo is outside the input
};

template <class Tile> FS_DEVICE fs_expand_place fs_expand_place_of(const fs_map &in, int tile_y, int tile_x) {
    fs_expand_place place;
    place.y = tile_y * 8 * Tile::stride - 1, place.x = tile_x * 8 * Tile::stride - 1;
    place.border = place.y < 0 || place.x < 0 || place.y + Tile::rows > in.h || place.x + Tile::columns > in.w;
    return place;
}

// The channel (of 32) in strip row `row`.
FS_DEVICE int fs_expand_channel(int row) {
    return row / 2 % 4 * 8 + row / 8 * 2 + row % 2;
}

// Byte offset of 16-byte piece `chunk` of pixel `pixel`. The number of columns is even, so that a pixel's parity is
// that of its column.
template <class Tile> FS_DEVICE int fs_expand_offset(int pixel, int chunk) {
    return (pixel * Tile::chunks + (Tile::cin % 64 ? chunk : chunk ^ (pixel & 1) << 2)) * 16;
}

// Issues the copies of the halo tile; zeros outside the input (the depthwise's padding is made later: there the
// expanded map is zero, not the input).
template <class Tile>
FS_DEVICE void fs_expand_copy_input(const fs_map &in, const fs_expand_place &place, unsigned char *input, int thread,
                                    int threads) {
    for (int i = thread; i < Tile::rows * Tile::columns * Tile::chunks; i += threads) {
        const int pixel = i / Tile::chunks, chunk = i % Tile::chunks;
        const int y = place.y + pixel / Tile::columns, x = place.x + pixel % Tile::columns;
        const bool inside = y >= 0 && y < in.h && x >= 0 && x < in.w;
        const __half *from = static_cast<const __half *>(in.data);
        if (inside) from += (static_cast<long long>(y) * in.w + x) * in.pitch + chunk * 8;
        fs_async_copy16(input + fs_expand_offset<Tile>(pixel, chunk), from, inside);
    }
    fs_async_commit();
}

// ---- a warp's weights -----------------------------------------------------------------------------------------------

template <class Tile> struct fs_expand_weights {
    uint32_t a[2][Tile::steps][2][4]; // fragments: 16 strip rows, 32 of K, 16 of them
    float start[2][2];                // bias of rows g and g + 8 of each 16
    float taps[10];                   // of the depthwise, for this lane's strip row: nine weights, the bias
};

// Plain loads: the compiler would move __ldg behind fs_dependency_wait.
template <class Tile>
FS_DEVICE void fs_expand_load_weights(fs_expand_weights<Tile> &w, const fs_fused_pw &expand, const fs_fused_dw &dw,
                                      int unit, int lane) {
    const int g = lane / 4, t = lane % 4;
#pragma unroll
    for (int i = 0; i < 2; i++) {
        const int upper = unit * 32 + fs_expand_channel(i * 16 + g);
        const int lower = unit * 32 + fs_expand_channel(i * 16 + 8 + g);
        const uint4 *from_upper =
            reinterpret_cast<const uint4 *>(static_cast<const __half *>(expand.weights) + upper * Tile::cin + t * 8);
        const uint4 *from_lower =
            reinterpret_cast<const uint4 *>(static_cast<const __half *>(expand.weights) + lower * Tile::cin + t * 8);
#pragma unroll
        for (int k = 0; k < Tile::steps; k++) {
            const uint4 u = from_upper[k * 4], l = from_lower[k * 4];
            w.a[i][k][0][0] = u.x, w.a[i][k][0][1] = l.x, w.a[i][k][0][2] = u.y, w.a[i][k][0][3] = l.y;
            w.a[i][k][1][0] = u.z, w.a[i][k][1][1] = l.z, w.a[i][k][1][2] = u.w, w.a[i][k][1][3] = l.w;
        }
        w.start[i][0] = expand.bias[upper], w.start[i][1] = expand.bias[lower];
    }
    const int channel = unit * 32 + fs_expand_channel(lane);
#pragma unroll
    for (int tap = 0; tap < 9; tap++) w.taps[tap] = dw.weights[tap * expand.n + channel];
    w.taps[9] = dw.bias[channel];
}

// ---- expansion of a band --------------------------------------------------------------------------------------------

// The tensor core takes eight pixels at a time: four slots of two neighbours. In a band of four rows slot s is row s,
// and the eights are the columns of pairs; so a lane's addresses move by constants. The first band: with stride 1 (two
// rows) slots alternate between the rows; with stride 2 (one row) they follow each other. Pairs behind the last lie in
// the next row of the input and in padding of the strip.
template <class Tile, bool first> struct fs_expand_band {
    static constexpr int rows = first ? Tile::rows - 4 * Tile::bands : 4;
    static constexpr int slot_rows = rows, slot_columns = 4 / rows; // what four slots cover
    static constexpr int eights = (Tile::pairs + slot_columns - 1) / slot_columns;
    static constexpr int row_words = first ? eights * slot_columns : Tile::pairs; // of a strip's row
    static_assert(rows * row_words * 4 <= (Tile::stride == 1 ? Tile::taps : Tile::pitch), "the strip holds it");
    FS_DEVICE int row(int slot) { return slot % slot_rows; }
    FS_DEVICE int column(int slot) { return slot / slot_rows; }
};

// `count` eights from number `begin` on, of the band whose first row is `row` of the halo.
template <class Tile, bool first, int count>
FS_DEVICE void fs_expand_eights(const fs_expand_weights<Tile> &w, const fs_map &in, const fs_expand_place &place,
                                const unsigned char *input, unsigned char *strip, int row, int begin, int lane) {
    using Band = fs_expand_band<Tile, first>;
    constexpr int step = Band::slot_columns;
    const int g = lane / 4, t = lane % 4;
    const int pixel = (row + Band::row(g / 2)) * Tile::columns + (Band::column(g / 2) + begin * step) * 2 + g % 2;
    const unsigned char *const from[2] = {input + fs_expand_offset<Tile>(pixel, t),
                                          input + fs_expand_offset<Tile>(pixel, 4 + t)};
    float sum[count][2][4];
#pragma unroll
    for (int j = 0; j < count; j++)
#pragma unroll
        for (int i = 0; i < 2; i++)
#pragma unroll
            for (int e = 0; e < 4; e++) sum[j][i][e] = w.start[i][e / 2];
#pragma unroll
    for (int k = 0; k < Tile::steps; k++)
#pragma unroll
        for (int j = 0; j < count; j++) {
            const uint4 x = *reinterpret_cast<const uint4 *>(from[k % 2] + k / 2 * 128 + j * step * 4 * Tile::cin);
            const uint32_t b[2][2] = {{x.x, x.y}, {x.z, x.w}};
#pragma unroll
            for (int part = 0; part < 2; part++)
#pragma unroll
                for (int i = 0; i < 2; i++) fs_mma_m16n8k16(sum[j][i], w.a[i][k][part], b[part]);
        }
    const int y = place.y + row + Band::row(t), column = Band::column(t) + begin * step;
    unsigned char *const to = strip + g * Tile::pitch + (Band::row(t) * Band::row_words + column) * 4;
#pragma unroll
    for (int j = 0; j < count; j++) {
        uint32_t mask = 0xffffffffu;
        if (place.border) { // the expanded map is zero there
            const int x = place.x + (column + j * step) * 2;
            mask = (x >= 0 && x < in.w ? 0xffffu : 0u) | (x + 1 >= 0 && x + 1 < in.w ? 0xffff0000u : 0u);
            if (y < 0 || y >= in.h) mask = 0;
        }
#pragma unroll
        for (int i = 0; i < 2; i++)
#pragma unroll
            for (int part = 0; part < 2; part++)
                *reinterpret_cast<uint32_t *>(to + (i * 16 + part * 8) * Tile::pitch + j * step * 4) =
                    fs_pack_relu(sum[j][i][part * 2], sum[j][i][part * 2 + 1]) & mask;
    }
}

template <class Tile, bool first>
FS_DEVICE void fs_expand_rows(const fs_expand_weights<Tile> &w, const fs_map &in, const fs_expand_place &place,
                              const unsigned char *input, unsigned char *strip, int row, int lane) {
    constexpr int eights = fs_expand_band<Tile, first>::eights;
    if constexpr (eights == 9) {
#pragma unroll 1
        for (int begin = 0; begin < 9; begin += 3)
            fs_expand_eights<Tile, first, 3>(w, in, place, input, strip, row, begin, lane);
    } else if constexpr (eights <= Tile::batch) {
        fs_expand_eights<Tile, first, eights>(w, in, place, input, strip, row, 0, lane);
    } else if constexpr (eights <= 2 * Tile::batch) {
        fs_expand_eights<Tile, first, Tile::batch>(w, in, place, input, strip, row, 0, lane);
        fs_expand_eights<Tile, first, eights - Tile::batch>(w, in, place, input, strip, row, Tile::batch, lane);
    } else {
        fs_expand_eights<Tile, first, Tile::batch>(w, in, place, input, strip, row, 0, lane);
        fs_expand_eights<Tile, first, Tile::batch>(w, in, place, input, strip, row, Tile::batch, lane);
        fs_expand_eights<Tile, first, eights - 2 * Tile::batch>(w, in, place, input, strip, row, 2 * Tile::batch, lane);
    }
}

// ---- depthwise ------------------------------------------------------------------------------------------------------

// A row of the window into a row of outputs.
template <int stride, int columns>
FS_DEVICE void fs_expand_add_row(float (&sum)[8], const float (&v)[columns], const float *weight) {
#pragma unroll
    for (int x = 0; x < 8; x++)
#pragma unroll
        for (int k = 0; k < 3; k++) sum[x] = fmaf(v[x * stride + k], weight[k], sum[x]);
}

FS_DEVICE void fs_expand_begin(float (&sum)[8], float start) {
#pragma unroll
    for (int x = 0; x < 8; x++) sum[x] = start;
}

FS_DEVICE uint4 fs_expand_finish(const float (&sum)[8]) {
    return make_uint4(fs_pack_relu(sum[0], sum[1]), fs_pack_relu(sum[2], sum[3]), fs_pack_relu(sum[4], sum[5]),
                      fs_pack_relu(sum[6], sum[7]));
}

// Eight of the weights, kept behind a strip's row while the warp expands.
template <class Tile> FS_DEVICE void fs_expand_put_taps(const float (&taps)[10], unsigned char *unit, int lane) {
    float4 *const to = reinterpret_cast<float4 *>(unit + lane * Tile::pitch + Tile::taps);
#pragma unroll
    for (int i = 0; i < 2; i++) to[i] = make_float4(taps[4 * i], taps[4 * i + 1], taps[4 * i + 2], taps[4 * i + 3]);
}

template <class Tile> FS_DEVICE void fs_expand_get_taps(float (&taps)[10], const unsigned char *unit, int lane) {
    const float4 *const from = reinterpret_cast<const float4 *>(unit + lane * Tile::pitch + Tile::taps);
#pragma unroll
    for (int i = 0; i < 2; i++) {
        const float4 v = from[i];
        taps[4 * i] = v.x, taps[4 * i + 1] = v.y, taps[4 * i + 2] = v.z, taps[4 * i + 3] = v.w;
    }
}

// This lane's channel of a band. upper, middle: the output rows that still wait for their last row and for their last
// two (stride 1) rows; with stride 2 `upper` alone. done: receives the rows that are complete, in order.
template <class Tile, bool first>
FS_DEVICE void fs_expand_depthwise(const fs_expand_weights<Tile> &weights, const unsigned char *strip,
                                   float (&upper)[8], float (&middle)[8], uint4 *done, int lane) {
    using Band = fs_expand_band<Tile, first>;
    float taps[10];
#pragma unroll
    for (int i = 0; i < 10; i++) taps[i] = weights.taps[i];
    if constexpr (Tile::stride == 1) fs_expand_get_taps<Tile>(taps, strip, lane);
    constexpr int loads = (Band::rows * Band::row_words + 3) / 4, columns = 7 * Tile::stride + 3;
    const uint4 *const from = reinterpret_cast<const uint4 *>(strip + lane * Tile::pitch);
    uint32_t word[loads * 4];
#pragma unroll
    for (int i = 0; i < loads; i++) {
        const uint4 raw = from[i];
        word[4 * i] = raw.x, word[4 * i + 1] = raw.y, word[4 * i + 2] = raw.z, word[4 * i + 3] = raw.w;
    }
#pragma unroll
    for (int row = 0; row < Band::rows; row++) {
        float v[2 * Tile::pairs];
#pragma unroll
        for (int i = 0; i < Tile::pairs; i++) {
            const float2 two = fs_unpack_halves(word[row * Band::row_words + i]);
            v[2 * i] = two.x, v[2 * i + 1] = two.y;
        }
        static_assert(columns <= 2 * Tile::pairs, "the row is there");
        if constexpr (Tile::stride == 1) {
            if (first && row == 0) { // of the halo
                fs_expand_begin(upper, taps[9]);
                fs_expand_add_row<1>(upper, v, taps);
            } else if (first) {
                fs_expand_add_row<1>(upper, v, taps + 3);
                fs_expand_begin(middle, taps[9]);
                fs_expand_add_row<1>(middle, v, taps);
            } else {
                float lower[8];
                fs_expand_add_row<1>(upper, v, taps + 6);
                done[row] = fs_expand_finish(upper);
                fs_expand_add_row<1>(middle, v, taps + 3);
                fs_expand_begin(lower, taps[9]);
                fs_expand_add_row<1>(lower, v, taps);
#pragma unroll
                for (int x = 0; x < 8; x++) upper[x] = middle[x], middle[x] = lower[x];
            }
        } else {
            if (!first && row % 2 == 0) {
                fs_expand_add_row<2>(upper, v, taps + 3);
            } else {
                if (!first) {
                    fs_expand_add_row<2>(upper, v, taps + 6);
                    done[row / 2] = fs_expand_finish(upper);
                }
                fs_expand_begin(upper, taps[9]);
                fs_expand_add_row<2>(upper, v, taps);
            }
        }
    }
}

// One unit: 32 channels of the tile, from the input tile into `unit`, which is strip first and Y in the end. Only this
// warp touches `unit`; others see Y after a barrier.
template <class Tile>
FS_DEVICE void fs_expand_unit(const fs_expand_weights<Tile> &w, const fs_map &in, const fs_expand_place &place,
                              const unsigned char *input, unsigned char *unit, int lane) {
    float upper[8], middle[8];
    const int row = Tile::rows - 4 * Tile::bands;
    if constexpr (Tile::stride == 1) fs_expand_put_taps<Tile>(w.taps, unit, lane);
    fs_expand_rows<Tile, true>(w, in, place, input, unit, 0, lane);
    __syncwarp();
    unsigned char *const own = unit + lane * Tile::pitch; // the strip row, then the row of Y, that no other lane reads
    if constexpr (Tile::stride == 1) {
        uint4 done[4];
        fs_expand_depthwise<Tile, true>(w, unit, upper, middle, done, lane);
#pragma unroll 1
        for (int band = 0; band < 2; band++) {
            __syncwarp(); // everyone has read the band before
            fs_expand_rows<Tile, false>(w, in, place, input, unit, row + 4 * band, lane);
            __syncwarp();
            fs_expand_depthwise<Tile, false>(w, unit, upper, middle, done, lane);
            unsigned char *const to = own + (band == 0 ? Tile::y_row(0) : Tile::y_row(4));
#pragma unroll
            for (int i = 0; i < 4; i++) *reinterpret_cast<uint4 *>(to + i * 16) = done[i];
        }
    } else {
        uint4 done[8] = {};
        fs_expand_depthwise<Tile, true>(w, unit, upper, middle, done, lane);
#pragma unroll 1
        for (int band = 0; band < 4; band++) {
            __syncwarp();
            fs_expand_rows<Tile, false>(w, in, place, input, unit, row + 4 * band, lane);
            __syncwarp();
#pragma unroll
            for (int i = 0; i < 6; i++) done[i] = done[i + 2]; // the newest are last
            fs_expand_depthwise<Tile, false>(w, unit, upper, middle, done + 6, lane);
        }
#pragma unroll
        for (int i = 0; i < 8; i++) *reinterpret_cast<uint4 *>(own + Tile::y_row(i)) = done[i];
    }
}

// Pixels are read and written 16 bytes at a time.
static inline bool fs_expand_is_aligned(const fs_map &map) {
    return map.pitch >= map.c && map.pitch % 8 == 0;
}

// Whether the kernels here can run it; `out`: where the depthwise's result, or what is made of it, lies.
static inline bool fs_expand_takes(const fs_map &in, const fs_fused_pw &expand, const fs_fused_dw &dw,
                                   const fs_map &out) {
    return fs_expand_is_aligned(in) && fs_expand_is_aligned(out) && (in.c == 64 || in.c == 96 || in.c == 128) &&
           expand.n > 0 && expand.n % 32 == 0 && expand.relu && dw.relu && (dw.stride == 1 || dw.stride == 2) &&
           out.h == (in.h - 1) / dw.stride + 1 && out.w == (in.w - 1) / dw.stride + 1;
}

#endif
