// An inverted bottleneck in one launch for small maps, its expanded channels split over the blocks of a cluster (sm_90
// and up).
//
// Why: as bottleneck_split.cu, whose shares go through global memory and need a second launch to be added up. The
// blocks of a cluster run at the same time and read one another's shared memory, so that the sums stay on the chip.
// Algorithm: a cluster takes a tile of 8 x 8 outputs, each of its blocks a share of E (bottleneck_share.cuh) and leaves
// what it projects, [64 pixels][channels] of floats, in its own shared memory, where the input tile was. Behind a
// cluster barrier each block makes its part of the outputs: eight pixels x 32 channels a warp, the shares added in
// their order, so that the bits are those of bottleneck_split.cu; then bias, residual, one rounding and a 16-byte store
// a lane. A last barrier, which nobody waits for before it has stored, keeps every block's memory in place until all
// have read it. Sums lie in the order in which a warp's lanes hold them: writes and remote reads are 512 bytes in a
// row.
//
// At 1024x2048: 32 tiles x 3 or 4 blocks, 96 to 128 of them; 24 or 32 KB of each block read by the others together, 2.4
// or 4.2 MB in all, where the two launches move as much to L2 and back. Clusters of up to eight blocks, which every GPU
// with clusters can run. Prediction of the study: 5.8 to 8.0 us on an H100, against 8 to 10 us for the two launches.
// Not measured.
#include "cuda/kernels/bottleneck_share.cuh"
#include "cuda/kernels/pieces.cuh"

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
    // Row r of eight pixels x 32 channels: r / 2 is the item of fs_share, r % 2 the row of its two. Lane l has 32 bytes
    // in two halves, [r][2][l].
    float4 *const sums = reinterpret_cast<float4 *>(shared) + lane;
    fs_share<Tile>(p, tile_y, tile_x, rank, shared, shared + args.room, [&](int item, const float(&sum)[4][4]) {
#pragma unroll
        for (int row = 0; row < 2; row++)
#pragma unroll
            for (int j = 0; j < 4; j += 2)
                sums[((item * 2 + row) * 2 + j / 2) * 32] =
                    make_float4(sum[j][row * 2], sum[j][row * 2 + 1], sum[j + 1][row * 2], sum[j + 1][row * 2 + 1]);
    });
    fs_cluster_arrive();
    fs_cluster_wait(); // all sums are there

    const int rows = p.project.n / 4, step = args.splits * warps, ox = tile_x * 8 + lane / 4;
    int row = rank + args.splits * warp;
    if (row >= rows) fs_cluster_arrive();
#pragma unroll 1
    for (; row < rows; row += step) {
        const int oy = tile_y * 8 + row / 2 % 4 * 2 + row % 2, n = row / 8 * 32 + lane % 4 * 8;
        const bool inside = oy < p.out.h && ox < p.out.w;
        const long long pixel = static_cast<long long>(oy) * p.out.w + ox;
        float bias[8], add[8] = {}, v[8] = {};
        fs_load_piece<float, 4>(reinterpret_cast<float(&)[4]>(bias), p.project.bias + n);
        fs_load_piece<float, 4>(reinterpret_cast<float(&)[4]>(bias[4]), p.project.bias + n + 4);
        if (p.residual.data && inside)
            fs_load_piece<__half, 8>(add, static_cast<const __half *>(p.residual.data) + pixel * p.residual.pitch + n);
#pragma unroll 4
        for (int split = 0; split < args.splits; split++) {
            const float4 a = fs_cluster_load(sums + row * 64, split), b = fs_cluster_load(sums + row * 64 + 32, split);
            v[0] += a.x, v[1] += a.y, v[2] += a.z, v[3] += a.w;
            v[4] += b.x, v[5] += b.y, v[6] += b.z, v[7] += b.w;
        }
        if (row + step >= rows) fs_cluster_arrive(); // the last that this thread reads of others
#pragma unroll
        for (int i = 0; i < 8; i++) v[i] += bias[i];
        if (p.residual.data)
#pragma unroll
            for (int i = 0; i < 8; i++) v[i] += add[i];
        if (inside) fs_store_piece<__half, 8>(static_cast<__half *>(p.out.data) + pixel * p.out.pitch + n, v);
    }
    fs_cluster_wait();
#endif
}

template <int cin, int stride> void launch(ClusterArgs args, int warps, fs_launch *launch) {
    using Tile = fs_share_tile<cin, stride>;
    const int sums = 64 * args.p.project.n * static_cast<int>(sizeof(float));
    args.tiles_x = static_cast<int>(fs_blocks(args.p.out.w, 8));
    args.room = sums > Tile::input_bytes ? sums : Tile::input_bytes;
    fs_launch_fill(launch, FS_ENTRY((bottleneck_cluster<cin, stride>)),
                   warps == 3 ? "bottleneck_cluster 8x8x96" : "bottleneck_cluster 8x8x192",
                   fs_share_tiles(args.p.out) * static_cast<unsigned>(args.splits), 1, 1,
                   static_cast<unsigned>(warps * 32), static_cast<unsigned>(args.room + warps * Tile::unit), args);
    launch->cluster = static_cast<unsigned>(args.splits);
}

} // namespace

bool fs_launch_bottleneck_cluster(const fs_bottleneck_cluster_params *p, int sm, int variant, fs_launch *out) {
    const fs_bottleneck_params &block = p->block;
    if (sm < FS_K_CLUSTER_SM || variant < 0 || variant > 1 || !fs_share_warps(block, p->splits)) return false;
    // The other width of a share: 192 channels instead of 96, or 96 instead of 192.
    const bool narrow = fs_share_warps(block, p->splits) == 3;
    const int splits = variant == 0 ? p->splits : narrow ? (p->splits % 2 ? 0 : p->splits / 2) : p->splits * 2;
    const int warps = fs_share_warps(block, splits);
    const fs_map &add = block.residual, &to = block.out;
    if (!warps || splits > FS_K_CLUSTER || block.project.n > 512) return false;
    if (add.data && (add.h != to.h || add.w != to.w || add.c != to.c || !fs_expand_is_aligned(add))) return false;
    const ClusterArgs args = {block, 0, splits, 0};
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
