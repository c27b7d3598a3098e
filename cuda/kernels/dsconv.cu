// Depthwise 3x3 -> pointwise in one launch, and for the classifier's end a second pointwise to float logits behind it:
// what lies between the layers stays in registers.
//
// Layer by layer the depthwise's result is written and read once more, and so is what the last 1x1 reads. At 1024x2048
// (MB read + written; GFLOP of products, GFLOP of the depthwise): 256x512x48 s2 -> 64 12.6 + 4.2; 0.20, 0.03.
// 128x256x128 -> 128 8.4 + 8.4; 1.07, 0.08. With 24 logits 8.4 + 3.1; 1.27, 0.08. Borders of tiles are read 41 % (s1)
// and 10 % (s2) more than once. Predicted, not measured: 5.6, 9.0 and 8.6 us on an H100, bound by shared memory,
// against 10, 12.6 and 17 layer by layer.
//
// A block makes TILE_H x 16 pixels with all their channels:
// 1. Weights of all layers to shared memory, then the input with its border in chunks of U * 16 channels, zeros outside
//    the map; all asynchronous. With fewer planes than chunks, a plane is filled again when its chunk is done.
// 2. For each 16 channels of a chunk that has arrived: the depthwise in float. A warp has 16 columns of ROWS rows; a
//    lane two neighbouring columns of each, so that inputs serve several outputs, and of the channels 4 t .. 4 t + 3:
//    with K in that order its sums, rounded, are the A fragments of the pointwise. Those multiply at once.
// 3. N comes in an order in which a lane has 8 neighbouring channels of a pixel in four n8 tiles: stores of 16 bytes.
// 4. With a second pointwise the rounded results are its A fragments: K in the same order, 16 bytes of a weight row for
//    two k16 steps. Its weights lie in shared memory 32 classes at a time.
//
// A unit of shared memory is 16 channels of a pixel, 32 bytes. Behind every 2 * stride columns a unit is left free: the
// 16 lanes that read 8 bytes each, four columns' worth of lanes apart, then meet in no bank. Weights have a free unit
// behind each k16 step for the same reason, on the side of the copies.
#include "cuda/kernels/fused.h"
#include "cuda/kernels/pieces.cuh"
#include "cuda/kernels/ptx.cuh"

namespace {

constexpr int TILE_W = 16, UNIT = 32; // pixels; bytes
constexpr int CLASS_TILES = 4;        // n8 tiles of classes that are resident

// U: units a chunk. TILES: n8 tiles of the pointwise. ROWS: of outputs, a warp. PLANES: chunks that are resident.
template <int STRIDE, int U, int TILES, int WARPS, int ROWS, int PLANES, bool LAST, int BLOCKS> struct dsconv_tile {
    static constexpr int stride = STRIDE, units = U, tiles = TILES, groups = TILES / 4, rows = ROWS;
    static constexpr int planes = PLANES, threads = 32 * WARPS, blocks = BLOCKS, height = WARPS * ROWS;
    static constexpr bool last = LAST;
    static constexpr int in_rows = (height - 1) * STRIDE + 3, in_columns = (TILE_W - 1) * STRIDE + 3;
    static constexpr int row_bytes = (in_columns * U + (in_columns - 1) / (2 * STRIDE)) * UNIT;
    static constexpr int plane_bytes = in_rows * row_bytes;
    static constexpr int step_bytes = TILES * 8 * UNIT + UNIT; // pointwise weights of a k16 step
    static constexpr int class_bytes = groups * 32 * 16;       // second pointwise: of a tile of 8 classes
    static_assert(TILES % 4 == 0, "whole groups of four tiles");
};

// Offsets in shared memory, bytes; the pointwise weights come first.
struct dsconv_args {
    fs_dsconv_params p;
    int depthwise, bias, classes, planes;
    int class_tiles; // n8 tiles of classes
};

// ---- copies, all asynchronous ---------------------------------------------------------------------------------------

// Pointwise weights, 8 bytes a lane and k16 step of a tile: channel 8 a + 2 q + b of a group of 32 is column 2 a + b of
// the group's tile q. Zeros for channels behind the last.
template <class Tile> FS_DEVICE void copy_pointwise(const fs_fused_pw &pw, int channels, unsigned char *to) {
    const int pieces = channels / 8, count = (pw.n + 31) / 32 * 32 * pieces;
    for (int i = static_cast<int>(threadIdx.x); i < count; i += Tile::threads) {
        const int n = i / pieces, piece = i - n * pieces;
        const int tile = n / 32 * 4 + n % 8 / 2, column = n % 32 / 8 * 2 + n % 2;
        const __half *from = static_cast<const __half *>(pw.weights);
        if (n < pw.n) from += i * 8;
        fs_async_copy16(to + piece / 2 * Tile::step_bytes + (tile * 8 + column) * UNIT + piece % 2 * 16, from,
                        n < pw.n);
    }
}

// Weights [9][channels] of the depthwise, its bias; the bias of the pointwise.
template <class Tile>
FS_DEVICE void copy_small(const fs_fused_dw &dw, const fs_fused_pw &pw, int channels, unsigned char *depthwise,
                          unsigned char *bias) {
    const int weights = 9 * channels / 4, all = weights + channels / 4;
    for (int i = static_cast<int>(threadIdx.x); i < all + Tile::tiles * 2; i += Tile::threads) {
        const int n = (i - all) * 4;
        const bool inside = i < all || n < pw.n;
        const float *from = i < weights ? dw.weights + i * 4 : i < all ? dw.bias + (i - weights) * 4 : pw.bias;
        if (i >= all && inside) from += n;
        fs_async_copy16(i < all ? depthwise + i * 16 : bias + n * 4, from, inside);
    }
}

// Weights of up to CLASS_TILES tiles of classes: 16 bytes a lane, tile and 32 channels, in a warp's order.
template <class Tile>
FS_DEVICE void copy_classes(const fs_fused_pw &last, int channels, int first, int class_tiles, unsigned char *to) {
    constexpr int pieces = Tile::groups * 4;
    const int tiles = class_tiles - first < CLASS_TILES ? class_tiles - first : CLASS_TILES;
    for (int i = static_cast<int>(threadIdx.x); i < tiles * 8 * pieces; i += Tile::threads) {
        const int n = i / pieces, piece = i % pieces;
        const bool inside = piece * 8 < channels;
        const __half *from = static_cast<const __half *>(last.weights);
        if (inside) from += (first * 8 + n) * channels + piece * 8;
        fs_async_copy16(to + ((n / 8 * Tile::groups + piece / 4) * 32 + n % 8 * 4 + piece % 4) * 16, from, inside);
    }
}

// A chunk of the input of the tile whose first input pixel is (y0, x0).
template <class Tile> FS_DEVICE void copy_chunk(const fs_map &in, int y0, int x0, int chunk, unsigned char *plane) {
    constexpr int pieces = 2 * Tile::units;
    const int first = chunk * Tile::units * 16;
    for (int i = static_cast<int>(threadIdx.x); i < Tile::in_rows * Tile::in_columns * pieces; i += Tile::threads) {
        const int piece = i % pieces, row = i / pieces / Tile::in_columns, column = i / pieces % Tile::in_columns;
        const int y = y0 + row, x = x0 + column, channel = first + piece * 8;
        if (channel >= in.c) continue;
        const bool inside = y >= 0 && y < in.h && x >= 0 && x < in.w;
        const __half *from = static_cast<const __half *>(in.data);
        if (inside) from = fs_at<const __half>(in, y, x) + channel;
        fs_async_copy16(plane + row * Tile::row_bytes + (column * Tile::units + column / (2 * Tile::stride)) * UNIT +
                            piece * 16,
                        from, inside);
    }
}

// ---- products -------------------------------------------------------------------------------------------------------

// Depthwise of this lane's 2 x ROWS pixels and 4 channels, as A fragments: row g of a fragment is column 2 g of the
// warp's 16, row g + 8 the next. `from` points to the lane's first input, `weights` to its channels.
template <class Tile>
FS_DEVICE void depthwise(const unsigned char *from, const float *weights, int channels, bool relu,
                         uint32_t (&a)[Tile::rows][4]) {
    float weight[9][4], bias[4];
    fs_depthwise_weights(weight, bias, weights, weights + 9 * channels, channels, 0);
    const auto load = [&](int row, int column) {
        const int unit = column * Tile::units + column / (2 * Tile::stride);
        return *reinterpret_cast<const uint2 *>(from + row * Tile::row_bytes + unit * UNIT);
    };
    const auto store = [&](int row, int column, float(&sum)[4]) {
        if (relu)
#pragma unroll
            for (int n = 0; n < 4; ++n) sum[n] = fs_relu(sum[n]);
        a[row][column] = fs_pack_pair(sum), a[row][column + 2] = fs_pack_pair(sum + 2);
    };
    fs_depthwise_strip<__half, 4, Tile::stride, 2, Tile::rows>(weight, bias, load, store);
}

// One k16 step of the pointwise. `weights` points to this lane's fragment of the first tile.
template <class Tile>
FS_DEVICE void multiply(const unsigned char *weights, int n, const uint32_t (&a)[Tile::rows][4],
                        float (&acc)[Tile::rows][Tile::tiles][4]) {
#pragma unroll
    for (int group = 0; group < Tile::groups; ++group) {
        if (group * 32 >= n) break;
#pragma unroll
        for (int tile = group * 4; tile < group * 4 + 4; ++tile) {
            const uint2 v = *reinterpret_cast<const uint2 *>(weights + tile * 8 * UNIT);
            const uint32_t b[2] = {v.x, v.y};
#pragma unroll
            for (int row = 0; row < Tile::rows; ++row) fs_mma_m16n8k16(acc[row][tile], a[row], b);
        }
    }
}

// The 8 neighbouring channels that a lane has of one pixel (`second`: of the fragment's rows 8 .. 15) in a group.
template <class Tile>
FS_DEVICE uint4 finish(const float (&acc)[Tile::tiles][4], int group, int second, const float (&bias)[8], bool relu) {
    float v[8];
#pragma unroll
    for (int n = 0; n < 8; ++n) {
        v[n] = acc[group * 4 + n / 2][second * 2 + n % 2] + bias[n];
        if (relu) v[n] = fs_relu(v[n]);
    }
    uint4 raw;
    fs_pack(raw, v);
    return raw;
}

FS_DEVICE void load_bias(float (&bias)[8], const unsigned char *from) {
    const float4 low = *reinterpret_cast<const float4 *>(from), high = *reinterpret_cast<const float4 *>(from + 16);
    bias[0] = low.x, bias[1] = low.y, bias[2] = low.z, bias[3] = low.w;
    bias[4] = high.x, bias[5] = high.y, bias[6] = high.z, bias[7] = high.w;
}

// Logits of up to CLASS_TILES tiles of classes, from tile `first` on.
template <class Tile>
FS_DEVICE void multiply_classes(const dsconv_args &args, const unsigned char *weights, int first, int y, int x,
                                const uint4 (&mid)[Tile::rows][Tile::groups][2]) {
    const int lane = static_cast<int>(threadIdx.x) % 32, t = lane % 4;
    const fs_map &out = args.p.out;
    float acc[CLASS_TILES][Tile::rows][4] = {};
#pragma unroll
    for (int group = 0; group < Tile::groups; ++group)
#pragma unroll
        for (int tile = 0; tile < CLASS_TILES; ++tile) {
            if (first + tile >= args.class_tiles) break;
            const uint4 v = *reinterpret_cast<const uint4 *>(weights + (tile * Tile::groups + group) * 512 + lane * 16);
            const uint32_t low[2] = {v.x, v.y}, high[2] = {v.z, v.w};
#pragma unroll
            for (int row = 0; row < Tile::rows; ++row) {
                const uint4 &one = mid[row][group][0], &two = mid[row][group][1];
                const uint32_t a[4] = {one.x, two.x, one.y, two.y}, b[4] = {one.z, two.z, one.w, two.w};
                fs_mma_m16n8k16(acc[tile][row], a, low);
                fs_mma_m16n8k16(acc[tile][row], b, high);
            }
        }
#pragma unroll
    for (int tile = 0; tile < CLASS_TILES; ++tile) {
        if (first + tile >= args.class_tiles) break;
        const int n = (first + tile) * 8 + 2 * t;
        const float bias[2] = {n < out.c ? __ldg(args.p.last.bias + n) : 0.0f,
                               n + 1 < out.c ? __ldg(args.p.last.bias + n + 1) : 0.0f};
#pragma unroll
        for (int row = 0; row < Tile::rows; ++row)
#pragma unroll
            for (int second = 0; second < 2; ++second) {
                if (y + row >= out.h || x + second >= out.w) continue;
                float v[2] = {acc[tile][row][second * 2] + bias[0], acc[tile][row][second * 2 + 1] + bias[1]};
#pragma unroll
                for (int i = 0; i < 2; ++i) {
                    if (args.p.last.relu) v[i] = fs_relu(v[i]);
                    if (n + i >= out.c) v[i] = 0.0f; // even where zero weights met a NaN
                }
                *reinterpret_cast<float2 *>(fs_at<float>(out, y + row, x + second) + n) = make_float2(v[0], v[1]);
            }
    }
}

// ---- the kernel -----------------------------------------------------------------------------------------------------

template <class Tile> FS_KERNEL(Tile::threads, Tile::blocks) dsconv(const FS_PARAM dsconv_args args) {
    constexpr int planes = Tile::planes;
    FS_SHARED_DYNAMIC(unsigned char, shared);
    const fs_dsconv_params &p = args.p;
    unsigned char *const plane = shared + args.planes;
    const int tile_y = static_cast<int>(blockIdx.y) * Tile::height, tile_x = static_cast<int>(blockIdx.x) * TILE_W;
    const int in_y = tile_y * Tile::stride - 1, in_x = tile_x * Tile::stride - 1;
    const int chunks = (p.in.c + Tile::units * 16 - 1) / (Tile::units * 16);

    copy_pointwise<Tile>(p.pw, p.in.c, shared);
    copy_small<Tile>(p.dw, p.pw, p.in.c, shared + args.depthwise, shared + args.bias);
    if (Tile::last) copy_classes<Tile>(p.last, p.pw.n, 0, args.class_tiles, shared + args.classes);
    fs_dependency_wait(); // weights are no kernel's output
#pragma unroll 1
    for (int chunk = 0; chunk < planes; ++chunk) { // the first group has the weights too
        if (chunk < chunks) copy_chunk<Tile>(p.in, in_y, in_x, chunk, plane + chunk * Tile::plane_bytes);
        fs_async_commit();
    }
    fs_dependency_release();

    const int lane = static_cast<int>(threadIdx.x) % 32, warp = static_cast<int>(threadIdx.x) / 32;
    const int g = lane / 4, t = lane % 4;
    const unsigned char *const first = plane + warp * Tile::rows * Tile::stride * Tile::row_bytes +
                                       g * (2 * Tile::stride * Tile::units + 1) * UNIT + t * 8;
    float acc[Tile::rows][Tile::tiles][4] = {};
    const unsigned char *weights = shared + lane * 8;
    const float *depthwise_weights = reinterpret_cast<const float *>(shared + args.depthwise) + t * 4;
    int now = 0;
#pragma unroll 1
    for (int chunk = 0; chunk < chunks; ++chunk) {
        fs_async_wait<planes - 1>();
        __syncthreads();
        const unsigned char *from = first + now * Tile::plane_bytes;
        const int rest = p.in.c / 16 - chunk * Tile::units, steps = rest < Tile::units ? rest : Tile::units;
#pragma unroll 1
        for (int step = 0; step < steps; ++step) {
            uint32_t a[Tile::rows][4];
            depthwise<Tile>(from, depthwise_weights, p.in.c, p.dw.relu, a);
            multiply<Tile>(weights, p.pw.n, a, acc);
            from += UNIT, weights += Tile::step_bytes, depthwise_weights += 16;
        }
        if (chunk + planes < chunks) {
            __syncthreads(); // everyone is done with this plane
            copy_chunk<Tile>(p.in, in_y, in_x, chunk + planes, plane + now * Tile::plane_bytes);
        }
        fs_async_commit(); // an empty group too, so that the count of open groups stays right
        now = now == planes - 1 ? 0 : now + 1;
    }

    const int y = tile_y + warp * Tile::rows, x = tile_x + 2 * g;
    uint4 mid[Tile::rows][Tile::groups][2];
#pragma unroll
    for (int group = 0; group < Tile::groups; ++group) {
        const int n = group * 32 + t * 8;
        float bias[8];
        load_bias(bias, shared + args.bias + n * 4);
#pragma unroll
        for (int row = 0; row < Tile::rows; ++row)
#pragma unroll
            for (int second = 0; second < 2; ++second) {
                const uint4 v = finish<Tile>(acc[row], group, second, bias, p.pw.relu);
                if (Tile::last)
                    mid[row][group][second] = n < p.pw.n ? v : make_uint4(0, 0, 0, 0);
                else if (n < p.pw.n && y + row < p.out.h && x + second < p.out.w)
                    fs_store_raw<__half, 8>(fs_at<__half>(p.out, y + row, x + second) + n, v);
            }
    }
    if constexpr (Tile::last) {
#pragma unroll 1
        for (int tile = 0; tile < args.class_tiles; tile += CLASS_TILES) {
            if (tile > 0) {
                __syncthreads();
                copy_classes<Tile>(p.last, p.pw.n, tile, args.class_tiles, shared + args.classes);
                fs_async_commit();
                fs_async_wait<0>();
                __syncthreads();
            }
            multiply_classes<Tile>(args, shared + args.classes, tile, y, x, mid);
        }
    }
}

template <class Tile> bool fill(const fs_dsconv_params &p, int sm, const char *name, fs_launch *launch) {
    dsconv_args args = {};
    args.p = p;
    args.class_tiles = Tile::last ? (p.last.n + 7) / 8 : 0;
    args.depthwise = p.in.c / 16 * Tile::step_bytes;
    args.bias = args.depthwise + 10 * p.in.c * 4;
    args.classes = args.bias + Tile::tiles * 8 * 4;
    args.planes = args.classes + (args.class_tiles < CLASS_TILES ? args.class_tiles : CLASS_TILES) * Tile::class_bytes;
    const unsigned shared = static_cast<unsigned>(args.planes + Tile::planes * Tile::plane_bytes);
    if (shared > fs_shared_limit(sm)) return false;
    fs_launch_fill(launch, FS_ENTRY((dsconv<Tile>)), name, fs_blocks(p.out.w, TILE_W), fs_blocks(p.out.h, Tile::height),
                   1, Tile::threads, shared, args);
    return true;
}

using filler = bool (*)(const fs_dsconv_params &, int, const char *, fs_launch *);
struct candidate {
    filler fill;
    const char *name;
};

// Stride 1, up to 128 to 128 channels. `whole` and `tall` need more than the 64 KB of sm_75.
template <bool LAST> using whole = dsconv_tile<1, 4, 16, 4, 2, 2, LAST, 2>; // the input is there at once
template <bool LAST> using tall = dsconv_tile<1, 2, 16, 8, 2, 2, LAST, 1>;
template <bool LAST> using small = dsconv_tile<1, 1, 16, 4, 2, 2, LAST, 2>;
// Stride 2, up to 48 to 64 channels.
using narrow_many = dsconv_tile<2, 3, 8, 8, 1, 1, false, 2>;
using narrow = dsconv_tile<2, 3, 8, 4, 2, 1, false, 3>;
using narrow_low = dsconv_tile<2, 3, 8, 4, 1, 1, false, 4>;

} // namespace

// Variants: tiles of 8x16 first where two blocks of them fit a multiprocessor, else the one with more warps in a block.
bool fs_launch_dsconv(const fs_dsconv_params *p, int sm, int variant, fs_launch *launch) {
    const fs_map &in = p->in, &out = p->out;
    const bool last = p->last.weights != nullptr, one = p->dw.stride == 1;
    if (variant < 0 || (!one && p->dw.stride != 2) || in.c < 16 || in.c % 16 || in.pitch < in.c || in.pitch % 8 ||
        p->pw.n < 8 || p->pw.n % 8 || in.c > (one ? 128 : 48) || p->pw.n > (one ? 128 : 64) || (last && !one))
        return false;
    const int n = last ? p->last.n : p->pw.n;
    if ((last && (n < 2 || n > 255)) || out.c != n || out.pitch < (n + 7) / 8 * 8 || out.pitch % 8 || in.h < 1 ||
        in.w < 1 || out.h != (in.h - 1) / p->dw.stride + 1 || out.w != (in.w - 1) / p->dw.stride + 1)
        return false;
    const candidate plain[] = {{fill<whole<false>>, "dsconv 8x16"},
                               {fill<tall<false>>, "dsconv 16x16"},
                               {fill<small<false>>, "dsconv 8x16 ring"}};
    const candidate classes[] = {{fill<whole<true>>, "dsconv+1x1 8x16"},
                                 {fill<tall<true>>, "dsconv+1x1 16x16"},
                                 {fill<small<true>>, "dsconv+1x1 8x16 ring"}};
    const candidate halving[] = {{fill<narrow_many>, "dsconv s2 8x16 8 warps"},
                                 {fill<narrow>, "dsconv s2 8x16"},
                                 {fill<narrow_low>, "dsconv s2 4x16"}};
    const candidate *const list = !one ? halving : last ? classes : plain;
    const bool swapped = one && fs_shared_limit(sm) < 200u << 10;
    // Those that fit, in order.
    for (int i = 0; i < 3; ++i) {
        const candidate &c = list[swapped && i < 2 ? 1 - i : i];
        if (c.fill(*p, sm, c.name, launch) && variant-- == 0) return true;
    }
    return false;
}
