// An inverted bottleneck in one launch for small maps, its expanded channels split over the blocks of a cluster (sm_90
// and up).
//
// Why: as bottleneck_split.cu, whose shares go through global memory and are added up by one block a tile. The blocks
// of a cluster run at the same time and read one another's shared memory: the sums stay on the chip, and all add.
// Algorithm: a cluster takes a tile of 8 x 8 outputs, each of its blocks a share of E (bottleneck_share.cuh) and leaves
// what it projects, [64 pixels][channels] of floats, in its own shared memory, where the input tile was. Behind a
// cluster barrier each block makes its part of the outputs: eight pixels x 32 channels a warp, the shares added in
// their order, so that the bits are those of bottleneck_split.cu. A last barrier, which nobody waits for before it has
// stored, keeps every block's memory in place until all have read it.
//
// At 1024x2048: 32 tiles x 3 or 4 blocks, 96 to 128 of them; 24 or 32 KB of each block read by the others together, 2.4
// or 4.2 MB in all, where the form through memory moves as much to L2 and back. Clusters of up to eight blocks, which
// every GPU with clusters can run. Prediction of the study: 5.8 to 8.0 us on an H100, against 7 to 10 us through
// memory. Not measured.
#include "cuda/kernels/bottleneck_share.cuh"

namespace {

struct ClusterArgs {
    fs_bottleneck_params p;
    int tiles_x, splits, room; // bytes in front of Y: the input, then the sums
};

template <int cin, int stride> FS_KERNEL(192, 2) bottleneck_cluster(const FS_PARAM ClusterArgs args) {
#if !defined(__CUDACC__) || __CUDA_ARCH__ >= 900
    using Tile = fs_share_tile<cin, stride>;
    FS_SHARED_DYNAMIC(unsigned char, shared);
    const fs_bottleneck_params &p = args.p;
    const int lane = static_cast<int>(threadIdx.x) % 32, warp = static_cast<int>(threadIdx.x) / 32;
    const int warps = static_cast<int>(blockDim.x) / 32, rank = fs_cluster_rank();
    const int tile = static_cast<int>(blockIdx.x) / args.splits;
    const int tile_y = tile / args.tiles_x, tile_x = tile % args.tiles_x;
    float4 *const sums = reinterpret_cast<float4 *>(shared) + lane;
    fs_share<Tile>(p, tile_y, tile_x, rank, shared, shared + args.room, sums);
    fs_cluster_arrive();
    fs_cluster_wait(); // all sums are there

    const int rows = fs_share_rows(p), step = args.splits * warps;
    int row = rank + args.splits * warp;
    if (row >= rows) fs_cluster_arrive();
#pragma unroll 1
    for (; row < rows; row += step)
        fs_share_output(
            p, tile_y, tile_x, row, lane, args.splits,
            [&](int split, int i) { return fs_cluster_load(sums + row * 64 + i * 32, split); },
            [&] {
                if (row + step >= rows) fs_cluster_arrive(); // the last that this thread reads of others
            });
    fs_cluster_wait();
#endif
}

} // namespace

bool fs_launch_bottleneck_cluster(const fs_bottleneck_cluster_params *p, int sm, int variant, fs_launch *out) {
    const fs_bottleneck_params &block = p->block;
    if (sm < FS_K_CLUSTER_SM || variant < 0 || variant > 1 || !fs_share_warps(block, p->splits)) return false;
    // The other width of a share: 192 channels instead of 96, or 96 instead of 192.
    const bool narrow = fs_share_warps(block, p->splits) == 3;
    const int splits = variant == 0 ? p->splits : narrow ? (p->splits % 2 ? 0 : p->splits / 2) : p->splits * 2;
    const int warps = fs_share_warps(block, splits);
    if (!warps || splits > FS_K_CLUSTER || block.project.n > 512) return false;
    const int sums = 64 * block.project.n * static_cast<int>(sizeof(float));
    fs_launch filled;
    fs_share_take(block, [&](auto tile) {
        using Tile = decltype(tile);
        const int room = sums > Tile::input_bytes ? sums : Tile::input_bytes;
        const ClusterArgs args = {block, static_cast<int>(fs_blocks(block.out.w, 8)), splits, room};
        fs_launch_fill(&filled, FS_ENTRY((bottleneck_cluster<Tile::cin, Tile::stride>)),
                       warps == 3 ? "bottleneck_cluster 8x8x96" : "bottleneck_cluster 8x8x192",
                       fs_share_tiles(block.out) * static_cast<unsigned>(splits), 1, 1,
                       static_cast<unsigned>(warps * 32), static_cast<unsigned>(room + warps * Tile::unit), args);
    });
    filled.cluster = static_cast<unsigned>(splits);
    if (filled.shared > fs_shared_limit(sm)) return false;
    *out = filled;
    return true;
}
