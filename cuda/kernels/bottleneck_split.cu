// An inverted bottleneck in one launch for small maps: its expanded channels are split over blocks.
//
// Why: at 1/32 size there are 32 tiles of 8 x 8 outputs, which would leave three quarters of a large GPU idle. The
// expanded channels are what there is to spread, and a sum over them can be cut.
// Algorithm: a block takes a tile and a share of E (bottleneck_share.cuh) and leaves its part of the projection as
// floats in scratch memory. The block that is the last of its tile to do so adds the shares up in their order,
// whichever it is, so the bits are the same every time. A counter a tile says which that is: it goes round, from zero
// to zero in every launch, and no block waits for another. All shares of a tile are neighbours in the grid, so that
// they run together and end at about the same time.
//
// Compared with expand_dw.cu and a projection behind it, about as many bytes go through the cache (4.2 MB each way for
// 768 to 128 channels at 32x64 in four shares, 3.1 MB there; 2.4 MB and 2.4 MB for 576 to 96 in three), but what is
// left to do is an addition instead of a launch and a GEMM with a long K on few tiles. At 1024x2048: 32 tiles x 3 or 4
// shares, 96 to 128 blocks; 0.6 to 1.1 GFLOP, 56 % of the expansion twice (13 % with stride 2). Prediction from the
// study's terms for four shares without its exchange between multiprocessors (4.8 to 6.3 us), the scratch (1 to 2 us)
// and a fence, a counter and 128 KB to add up by each of 32 blocks (1 to 2 us): 7 to 10 us on an H100, against 11.1 to
// 13.9 us for three launches. Not measured.
#include "cuda/kernels/bottleneck_share.cuh"

namespace {

struct SplitArgs {
    fs_bottleneck_split_params p;
    int tiles_x;
};

// Whether this block is the last of `count` to come here, by a counter that is zero before and after. What all of them
// wrote in front of it is visible to the last one behind it.
FS_DEVICE bool is_last(unsigned *counter, unsigned count) {
    FS_SHARED(unsigned, before, [1]);
    __syncthreads();
    if (threadIdx.x == 0) {
        __threadfence(); // the barrier has made it this thread's to hand over
        before[0] = atomicInc(counter, count - 1);
        __threadfence();
    }
    __syncthreads();
    return before[0] == count - 1;
}

// As many warps as units in a share.
template <int cin, int stride> FS_KERNEL(192, 2) bottleneck_split(const FS_PARAM SplitArgs args) {
    using Tile = fs_share_tile<cin, stride>;
    FS_SHARED_DYNAMIC(unsigned char, shared);
    const fs_bottleneck_params &p = args.p.block;
    const int lane = static_cast<int>(threadIdx.x) % 32, warp = static_cast<int>(threadIdx.x) / 32;
    const int warps = static_cast<int>(blockDim.x) / 32, splits = args.p.splits, rows = fs_share_rows(p);
    const int tile = static_cast<int>(blockIdx.x) / splits, split = static_cast<int>(blockIdx.x) % splits;
    const int tile_y = tile / args.tiles_x, tile_x = tile % args.tiles_x;
    // [tile][split][rows]
    float4 *const sums = reinterpret_cast<float4 *>(args.p.partial) + static_cast<long long>(tile) * splits * rows * 64;
    fs_share<Tile>(p, tile_y, tile_x, split, shared, shared + Tile::input_bytes, sums + split * rows * 64 + lane);
    if (!is_last(args.p.arrived + tile, static_cast<unsigned>(splits))) return;
#pragma unroll 1
    for (int row = warp; row < rows; row += warps)
        fs_share_output(
            p, tile_y, tile_x, row, lane, splits,
            [&](int of, int i) { return sums[(of * rows + row) * 64 + i * 32 + lane]; }, [] {});
}

// Warps of a block, which are the units of a share: the first that divides E.
constexpr int WARPS[] = {6, 3};

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
    return static_cast<size_t>(splits) * fs_share_tiles(*out) * 64 * static_cast<size_t>(out->c);
}

size_t fs_bottleneck_split_counters(const fs_map *out) {
    return fs_share_tiles(*out);
}

bool fs_launch_bottleneck_split(const fs_bottleneck_split_params *p, int sm, int variant, fs_launch *out) {
    const int warps = fs_share_warps(p->block, p->splits);
    if (variant != 0 || !warps) return false;
    const SplitArgs args = {*p, static_cast<int>(fs_blocks(p->block.out.w, 8))};
    fs_launch filled;
    fs_share_take(p->block, [&](auto tile) {
        using Tile = decltype(tile);
        fs_launch_fill(&filled, FS_ENTRY((bottleneck_split<Tile::cin, Tile::stride>)),
                       warps == 3 ? "bottleneck_split 8x8x96" : "bottleneck_split 8x8x192",
                       fs_share_tiles(p->block.out) * static_cast<unsigned>(p->splits), 1, 1,
                       static_cast<unsigned>(warps * 32), static_cast<unsigned>(Tile::input_bytes + warps * Tile::unit),
                       args);
    });
    if (filled.shared > fs_shared_limit(sm)) return false;
    *out = filled;
    return true;
}
