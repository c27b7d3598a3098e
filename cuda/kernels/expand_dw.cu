// First half of an inverted bottleneck in one launch: 1x1 expansion -> ReLU -> depthwise 3x3 -> ReLU.
//
// Why: the expanded map is six times the block's input. At 1/32 size it fits the cache, but writing it, waiting and
// reading it again costs a launch; and 32 tiles of 8 x 8 pixels alone would leave most of the GPU idle.
// Algorithm: expand.cuh. A block is a tile of 8 x 8 outputs and a slice of 32 channels per warp; warps share the input
// tile and are independent otherwise. Y leaves transposed, by 16-byte stores of eight channels.
// The halo of a tile is expanded again by its neighbours: 56 % more products with stride 1, 13 % with stride 2.
// At 1024x2048 (32x64x128, 768 channels): 32 tiles x 8 slices of 3 warps, 0.63 GFLOP in the expansion and 28 MFLOP in
// the depthwise, 0.5 MB read (6.5 MB from L2) and 3.1 MB written. Prediction of the study for this and the projection
// together: about 10 us on an H100, against 13.9 us for three launches.
#include "cuda/kernels/expand.cuh"

namespace {

struct ExpandArgs {
    fs_expand_dw_params p;
    int tiles_x, slices;
};

template <int cin, int stride> FS_KERNEL(192, 2) expand_dw(const FS_PARAM ExpandArgs args) {
    using Tile = fs_expand_tile<cin, stride, cin == 64 ? 5 : 3>;
    FS_SHARED_DYNAMIC(unsigned char, shared);
    const fs_expand_dw_params &p = args.p;
    const int thread = static_cast<int>(threadIdx.x), threads = static_cast<int>(blockDim.x);
    const int lane = thread % 32, warp = thread / 32;
    const int tile = static_cast<int>(blockIdx.x) / args.slices, slice = static_cast<int>(blockIdx.x) % args.slices;
    const int tile_y = tile / args.tiles_x, tile_x = tile % args.tiles_x;
    const int unit = slice * (threads / 32) + warp;
    unsigned char *const y = shared + Tile::input_bytes + warp * Tile::unit;

    fs_expand_weights<Tile> weights;
    if (unit * 32 < p.expand.n) fs_expand_load_weights(weights, p.expand, p.dw, unit, lane);
    fs_dependency_wait(); // weights are nobody's output
    const fs_expand_place place = fs_expand_place_of<Tile>(p.in, tile_y, tile_x);
    fs_expand_copy_input<Tile>(p.in, place, shared, thread, threads);
    fs_dependency_release();
    fs_async_wait<0>();
    __syncthreads();
    if (unit * 32 >= p.expand.n) return; // the last slice may have warps to spare
    fs_expand_unit(weights, p.in, place, shared, y, lane);
    __syncwarp();

    const int ox = tile_x * 8 + lane / 4;
#pragma unroll
    for (int row = 0; row < 8; row++) {
        uint32_t word[4]; // channels 8t .. 8t + 7 of pixel g of the row
        fs_ldmatrix_x4_transposed(word, y + lane * Tile::pitch + Tile::y_row(row));
        const int oy = tile_y * 8 + row;
        if (oy < p.out.h && ox < p.out.w)
            *reinterpret_cast<uint4 *>(static_cast<__half *>(p.out.data) +
                                       (static_cast<long long>(oy) * p.out.w + ox) * p.out.pitch + unit * 32 +
                                       lane % 4 * 8) = make_uint4(word[0], word[1], word[2], word[3]);
    }
}

template <int cin, int stride> void launch(ExpandArgs args, int warps, const char *name, fs_launch *launch) {
    args.tiles_x = static_cast<int>(fs_blocks(args.p.out.w, 8));
    args.slices = static_cast<int>(fs_blocks(args.p.expand.n / 32, static_cast<unsigned>(warps)));
    const unsigned tiles = static_cast<unsigned>(args.tiles_x) * fs_blocks(args.p.out.h, 8);
    fs_launch_fill(launch, FS_ENTRY((expand_dw<cin, stride>)), name, tiles * static_cast<unsigned>(args.slices), 1, 1,
                   static_cast<unsigned>(warps * 32),
                   static_cast<unsigned>(fs_expand_tile < cin, stride,
                                         cin == 64 ? 5 : 3 > ::input_bytes + warps * fs_expand_tile < cin, stride,
                                         cin == 64 ? 5 : 3 > ::unit),
                   args);
}

} // namespace

bool fs_launch_expand_dw(const fs_expand_dw_params *p, int sm, int variant, fs_launch *out) {
    struct Variant {
        int warps;
        const char *name;
    };
    constexpr Variant variants[] = {{3, "expand_dw 8x8x96"}, {6, "expand_dw 8x8x192"}, {2, "expand_dw 8x8x64"}};
    if (variant < 0 || variant >= 3 || !fs_expand_takes(p->in, p->expand, p->dw, p->out)) return false;
    if (p->out.c != p->expand.n) return false;
    const ExpandArgs args = {*p, 0, 0};
    const Variant &v = variants[variant];
    fs_launch filled;
    if (p->dw.stride == 1) {
        if (p->in.c == 64) launch<64, 1>(args, v.warps, v.name, &filled);
        if (p->in.c == 96) launch<96, 1>(args, v.warps, v.name, &filled);
        if (p->in.c == 128) launch<128, 1>(args, v.warps, v.name, &filled);
    } else {
        if (p->in.c != 64) return false; // the network has no other, and their tiles are large
        launch<64, 2>(args, v.warps, v.name, &filled);
    }
    if (filled.shared > fs_shared_limit(sm)) return false;
    *out = filled;
    return true;
}
