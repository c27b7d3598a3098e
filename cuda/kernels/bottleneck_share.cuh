// What the kernels share that split an inverted bottleneck's expanded channels over blocks: one share of E for a tile
// of 8 x 8 outputs, through all three layers. Where the shares are added up is what they differ in.
//
// A share is three or six units of 32 channels, a warp each: expansion and depthwise as in expand.cuh, one barrier,
// then the share's part of the projection, 16 pixels x 32 channels a warp at a time.
#ifndef FS_CUDA_KERNELS_BOTTLENECK_SHARE_CUH
#define FS_CUDA_KERNELS_BOTTLENECK_SHARE_CUH

#include "cuda/kernels/expand.cuh"

template <int cin, int stride> using fs_share_tile = fs_expand_tile<cin, stride, cin == 64 ? 5 : 3>;

// Weights of one unit of E for this lane's column of each of four tiles of eight channels. Column c of tile j is
// channel 8 (c / 2) + 2 j + c % 2, so that a lane ends with eight neighbours.
FS_DEVICE void fs_share_weights(uint4 (&w)[4], const fs_fused_pw &project, int e, int n0, int unit, int lane) {
    const int g = lane / 4, t = lane % 4;
    const __half *from =
        static_cast<const __half *>(project.weights) + (n0 + g / 2 * 8 + g % 2) * e + unit * 32 + t * 8;
#pragma unroll
    for (int j = 0; j < 4; j++) w[j] = *reinterpret_cast<const uint4 *>(from + j * 2 * e);
}

// Waits for the kernels in front, and lets the next one start. As many warps as units in a share. `input` is free again
// when the first item is stored. store(item, sum): of rows item % 4 * 2 and the next of the tile, sum[j][2 r + i] is
// what the share gives row r, column lane / 4, channel item / 4 * 32 + lane % 4 * 8 + 2 j + i, without bias.
template <class Tile, typename Store>
FS_DEVICE void fs_share(const fs_bottleneck_params &p, int tile_y, int tile_x, int share, unsigned char *input,
                        unsigned char *y, const Store &store) {
    const int thread = static_cast<int>(threadIdx.x), threads = static_cast<int>(blockDim.x);
    const int lane = thread % 32, warp = thread / 32, warps = threads / 32;
    {
        fs_expand_weights<Tile> weights;
        fs_expand_load_weights(weights, p.expand, p.dw, share * warps + warp, lane);
        fs_dependency_wait(); // weights are nobody's output
        const fs_expand_place place = fs_expand_place_of<Tile>(p.in, tile_y, tile_x);
        fs_expand_copy_input<Tile>(p.in, place, input, thread, threads);
        fs_dependency_release();
        fs_async_wait<0>();
        __syncthreads();
        fs_expand_unit(weights, p.in, place, input, y + warp * Tile::unit, lane);
    }

    const int items = p.project.n / 8; // 16 pixels x 32 channels
    uint4 next[4];
    if (warp < items) fs_share_weights(next, p.project, p.expand.n, warp / 4 * 32, share * warps, lane);
    __syncthreads(); // Y is complete
    // This lane's row for ldmatrix: eight channels of Y by eight pixels, their next eight pixels, then the next eight
    // channels of both.
    const unsigned char *const row = y + (lane / 16 * 8 + lane % 8) * Tile::pitch;
#pragma unroll 1
    for (int item = warp; item < items; item += warps) {
        const int m0 = item % 4, n0 = item / 4 * 32;
        const unsigned char *from = row + Tile::y_row(m0 * 2 + lane / 8 % 2);
        float sum[4][4] = {};
#pragma unroll 1
        for (int unit = 0; unit < warps; unit++, from += Tile::unit) {
            uint4 w[4];
#pragma unroll
            for (int j = 0; j < 4; j++) w[j] = next[j];
            // One unit ahead, and from the last on to the next item.
            const bool last = unit + 1 == warps;
            if (!last || item + warps < items)
                fs_share_weights(next, p.project, p.expand.n, last ? (item + warps) / 4 * 32 : n0,
                                 share * warps + (last ? 0 : unit + 1), lane);
#pragma unroll
            for (int part = 0; part < 2; part++) {
                uint32_t a[4];
                fs_ldmatrix_x4_transposed(a, from + part * 16 * Tile::pitch);
#pragma unroll
                for (int j = 0; j < 4; j++) {
                    const uint32_t b[2] = {part ? w[j].z : w[j].x, part ? w[j].w : w[j].y};
                    fs_mma_m16n8k16(sum[j], a, b);
                }
            }
        }
        store(item, sum);
    }
}

// ---- host -----------------------------------------------------------------------------------------------------------

static inline unsigned fs_share_tiles(const fs_map &out) {
    return fs_blocks(out.w, 8) * fs_blocks(out.h, 8);
}

// Warps of a block, which are the units of a share, when E is split into `splits`; 0: it cannot be, or the kernels do
// not take such a bottleneck.
static inline int fs_share_warps(const fs_bottleneck_params &p, int splits) {
    if (!fs_expand_takes(p.in, p.expand, p.dw, p.out)) return 0;
    if (p.project.relu || p.out.c != p.project.n || p.project.n % 32 || splits < 1) return 0;
    if (p.dw.stride == 2 && p.in.c != 64) return 0; // the network has no other, and their tiles are large
    if (static_cast<long long>(fs_blocks(p.out.w, 8)) * fs_blocks(p.out.h, 8) * splits > 0x7fffffff) return 0;
    const int units = p.expand.n / 32, warps = units / splits;
    return warps * splits == units && (warps == 3 || warps == 6) ? warps : 0;
}

#endif
