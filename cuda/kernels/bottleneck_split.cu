// An inverted bottleneck in two launches for small maps: its expanded channels are split over blocks.
//
// Why: at 1/32 size there are 32 tiles of 8 x 8 outputs, which would leave three quarters of a large GPU idle. The
// expanded channels are what there is to spread, and a sum over them can be cut.
// Algorithm: a block takes a tile and a share of E (bottleneck_share.cuh) and leaves its part of the projection as
// floats in scratch memory. The second kernel adds the shares of a pixel in their order, bias and
// residual, and rounds once. So the bits are the same every time, no block waits for another, and no atomic or fence is
// needed: the end of the first kernel is what the second waits for.
//
// Compared with expand_dw.cu and a projection behind it, about as many bytes go through the cache (4.2 MB each way for
// 768 to 128 channels at 32x64 in four shares, 3.1 MB there; 2.4 MB and 2.4 MB for 576 to 96 in three), but what is
// left for the second kernel is an addition instead of a GEMM with a long K on few tiles. At 1024x2048: 32 tiles x 3 or
// 4 shares, 96 to 128 blocks; 0.6 to 1.1 GFLOP, 56 % of the expansion twice (13 % with stride 2). Prediction from the
// study's terms for four shares without its exchange between multiprocessors (4.8 to 6.3 us), the scratch (1 to 2 us)
// and a second, dependent launch (2 us): 8 to 10 us on an H100, against 11.1 to 13.9 us for three launches. Not
// measured.
#include "cuda/kernels/bottleneck_share.cuh"
#include "cuda/kernels/pieces.cuh"

namespace {

struct SplitArgs {
    fs_bottleneck_split_params p;
    int tiles_x;
};

// As many warps as units in a share.
template <int cin, int stride> FS_KERNEL(192, 2) bottleneck_split(const FS_PARAM SplitArgs args) {
    using Tile = fs_share_tile<cin, stride>;
    FS_SHARED_DYNAMIC(unsigned char, shared);
    const fs_bottleneck_params &p = args.p.block;
    const int lane = static_cast<int>(threadIdx.x) % 32;
    const int tile = static_cast<int>(blockIdx.x) / args.p.splits;
    const int split = static_cast<int>(blockIdx.x) % args.p.splits;
    const int tile_y = tile / args.tiles_x, tile_x = tile % args.tiles_x;
    const auto store = [&](int item, const float(&sum)[4][4]) {
        const int m0 = item % 4, n0 = item / 4 * 32, ox = tile_x * 8 + lane / 4;
#pragma unroll
        for (int row = 0; row < 2; row++) { // rows of eight pixels
            const int oy = tile_y * 8 + m0 * 2 + row;
            if (oy >= p.out.h || ox >= p.out.w) continue;
            const long long pixel = (static_cast<long long>(split) * p.out.h + oy) * p.out.w + ox;
            float4 *const to = reinterpret_cast<float4 *>(args.p.partial + pixel * p.project.n + n0 + lane % 4 * 8);
#pragma unroll
            for (int j = 0; j < 4; j += 2)
                to[j / 2] =
                    make_float4(sum[j][row * 2], sum[j][row * 2 + 1], sum[j + 1][row * 2], sum[j + 1][row * 2 + 1]);
        }
    };
    fs_share<Tile>(p, tile_y, tile_x, split, shared, shared + Tile::input_bytes, store);
}

constexpr int SUM_THREADS = 128;

// A thread makes eight channels of a pixel.
FS_KERNEL(SUM_THREADS, 8) bottleneck_sum(const FS_PARAM fs_bottleneck_sum_params p) {
    const long long item = static_cast<long long>(blockIdx.x) * SUM_THREADS + threadIdx.x;
    const int groups = p.out.c / 8;
    const long long pixels = static_cast<long long>(p.out.h) * p.out.w, pixel = item / groups;
    if (pixel >= pixels) {
        fs_dependency_wait();
        return;
    }
    const int n = static_cast<int>(item - pixel * groups) * 8;
    float bias[8], v[8] = {};
    fs_load_piece<float, 4>(reinterpret_cast<float(&)[4]>(bias), p.bias + n);
    fs_load_piece<float, 4>(reinterpret_cast<float(&)[4]>(bias[4]), p.bias + n + 4);
    fs_dependency_wait(); // the bias is nobody's output
    fs_dependency_release();
#pragma unroll 4
    for (int split = 0; split < p.splits; split++) {
        const float *from = p.partial + (split * pixels + pixel) * p.out.c + n;
        float part[8];
        fs_load_piece<float, 4>(reinterpret_cast<float(&)[4]>(part), from);
        fs_load_piece<float, 4>(reinterpret_cast<float(&)[4]>(part[4]), from + 4);
#pragma unroll
        for (int i = 0; i < 8; i++) v[i] += part[i];
    }
#pragma unroll
    for (int i = 0; i < 8; i++) v[i] += bias[i];
    if (p.residual.data) {
        float r[8];
        fs_load_piece<__half, 8>(r, static_cast<const __half *>(p.residual.data) + pixel * p.residual.pitch + n);
#pragma unroll
        for (int i = 0; i < 8; i++) v[i] += r[i];
    }
    fs_store_piece<__half, 8>(static_cast<__half *>(p.out.data) + pixel * p.out.pitch + n, v);
}

// Warps of a block, which are the units of a share: the first that divides E.
constexpr int WARPS[] = {6, 3};

template <int cin, int stride> void launch(SplitArgs args, int warps, fs_launch *launch) {
    using Tile = fs_share_tile<cin, stride>;
    args.tiles_x = static_cast<int>(fs_blocks(args.p.block.out.w, 8));
    fs_launch_fill(launch, FS_ENTRY((bottleneck_split<cin, stride>)),
                   warps == 3 ? "bottleneck_split 8x8x96" : "bottleneck_split 8x8x192",
                   fs_share_tiles(args.p.block.out) * static_cast<unsigned>(args.p.splits), 1, 1,
                   static_cast<unsigned>(warps * 32), static_cast<unsigned>(Tile::input_bytes + warps * Tile::unit),
                   args);
}

} // namespace

int fs_bottleneck_splits(int expanded, const fs_map *out, int processors) {
    int splits = 0;
    for (int warps : WARPS) {
        if (expanded <= 0 || expanded % (warps * 32)) continue;
        splits = expanded / (warps * 32);
        if (3LL * splits * fs_share_tiles(*out) >= 2LL * processors) break;
    }
    return splits;
}

size_t fs_bottleneck_split_floats(const fs_map *out, int splits) {
    return static_cast<size_t>(splits) * static_cast<size_t>(out->h) * static_cast<size_t>(out->w) *
           static_cast<size_t>(out->c);
}

bool fs_launch_bottleneck_split(const fs_bottleneck_split_params *p, int sm, int variant, fs_launch *out) {
    const fs_bottleneck_params &block = p->block;
    const int warps = fs_share_warps(block, p->splits);
    if (variant != 0 || !warps) return false;
    const SplitArgs args = {*p, 0};
    fs_launch filled;
    if (block.dw.stride == 2)
        launch<64, 2>(args, warps, &filled);
    else if (block.in.c == 64)
        launch<64, 1>(args, warps, &filled);
    else if (block.in.c == 96)
        launch<96, 1>(args, warps, &filled);
    else
        launch<128, 1>(args, warps, &filled);
    if (filled.shared > fs_shared_limit(sm)) return false;
    *out = filled;
    return true;
}

bool fs_launch_bottleneck_sum(const fs_bottleneck_sum_params *p, int sm, int variant, fs_launch *out) {
    (void)sm;
    const fs_map &add = p->residual, &to = p->out;
    if (variant != 0 || p->splits < 1 || to.c % 8 || !fs_expand_is_aligned(to)) return false;
    if (add.data && (add.h != to.h || add.w != to.w || add.c != to.c || !fs_expand_is_aligned(add))) return false;
    fs_launch_fill(out, FS_ENTRY((bottleneck_sum)), "bottleneck_sum",
                   fs_blocks(static_cast<long long>(to.h) * to.w * (to.c / 8), SUM_THREADS), 1, 1, SUM_THREADS, 0, *p);
    return true;
}
