// What the kernels share that split an inverted bottleneck's expanded channels over blocks: one share of E for a tile
// of 8 x 8 outputs, through all three layers, and the addition of the shares. Where these lie is what they differ in.
//
// A share is three or six units of 32 channels, a warp each: expansion and depthwise as in expand.cuh, one barrier,
// then the share's part of the projection, 16 pixels x 32 channels a warp at a time.
//
// Sums are rows of eight pixels x 32 channels, [row][2][32 lanes] of float4, in the order in which a warp's lanes hold
// them: every access is 512 bytes in a row. Row r has the pixels r / 2 % 4 * 2 + r % 2 of the tile from above, from
// channel r / 8 * 32 on; lane l the pixel l / 4 of them and eight channels from l % 4 * 8 on, in two halves.
#ifndef FS_CUDA_KERNELS_BOTTLENECK_SHARE_CUH
#define FS_CUDA_KERNELS_BOTTLENECK_SHARE_CUH

#include "cuda/kernels/expand.cuh"
#include "cuda/kernels/pieces.cuh"

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

// Waits for the kernels in front, and lets the next one start. As many warps as units in a share. `sums`, with this
// lane's offset, receives what the share gives, without bias; it may be where `input` is.
template <class Tile>
FS_DEVICE void fs_share(const fs_bottleneck_params &p, int tile_y, int tile_x, int share, unsigned char *input,
                        unsigned char *y, float4 *sums) {
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
#pragma unroll
        for (int i = 0; i < 2; i++)
#pragma unroll
            for (int j = 0; j < 4; j += 2)
                sums[((item * 2 + i) * 2 + j / 2) * 32] =
                    make_float4(sum[j][i * 2], sum[j][i * 2 + 1], sum[j + 1][i * 2], sum[j + 1][i * 2 + 1]);
    }
}

FS_DEVICE int fs_share_rows(const fs_bottleneck_params &p) {
    return p.project.n / 4;
}

// One row of the outputs by one warp: shares in their order, bias, residual, one rounding. load(split, i) is this
// lane's half i of the row in a share; loaded() is called behind the last of them.
template <typename Load, typename Loaded>
FS_DEVICE void fs_share_output(const fs_bottleneck_params &p, int tile_y, int tile_x, int row, int lane, int splits,
                               const Load &load, const Loaded &loaded) {
    const int oy = tile_y * 8 + row / 2 % 4 * 2 + row % 2, ox = tile_x * 8 + lane / 4;
    const int n = row / 8 * 32 + lane % 4 * 8;
    const bool inside = oy < p.out.h && ox < p.out.w;
    const long long pixel = static_cast<long long>(oy) * p.out.w + ox;
    float bias[8], add[8] = {}, v[8] = {};
    fs_load_piece<float, 4>(reinterpret_cast<float(&)[4]>(bias), p.project.bias + n);
    fs_load_piece<float, 4>(reinterpret_cast<float(&)[4]>(bias[4]), p.project.bias + n + 4);
    if (p.residual.data && inside)
        fs_load_piece<__half, 8>(add, static_cast<const __half *>(p.residual.data) + pixel * p.residual.pitch + n);
#pragma unroll 4
    for (int split = 0; split < splits; split++) {
        const float4 a = load(split, 0), b = load(split, 1);
        v[0] += a.x, v[1] += a.y, v[2] += a.z, v[3] += a.w;
        v[4] += b.x, v[5] += b.y, v[6] += b.z, v[7] += b.w;
    }
    loaded();
#pragma unroll
    for (int i = 0; i < 8; i++) v[i] += bias[i];
    if (p.residual.data)
#pragma unroll
        for (int i = 0; i < 8; i++) v[i] += add[i];
    if (inside) fs_store_piece<__half, 8>(static_cast<__half *>(p.out.data) + pixel * p.out.pitch + n, v);
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
    const fs_map &add = p.residual, &to = p.out;
    if (add.data && (add.h != to.h || add.w != to.w || add.c != to.c || !fs_expand_is_aligned(add))) return 0;
    if (static_cast<long long>(fs_blocks(p.out.w, 8)) * fs_blocks(p.out.h, 8) * splits > 0x7fffffff) return 0;
    const int units = p.expand.n / 32, warps = units / splits;
    return warps * splits == units && (warps == 3 || warps == 6) ? warps : 0;
}

// fill(tile) with the tile that a bottleneck takes, of those that fs_share_warps allows.
template <typename Fill> static inline void fs_share_take(const fs_bottleneck_params &p, const Fill &fill) {
    if (p.dw.stride == 2)
        fill(fs_share_tile<64, 2>());
    else if (p.in.c == 64)
        fill(fs_share_tile<64, 1>());
    else if (p.in.c == 96)
        fill(fs_share_tile<96, 1>());
    else
        fill(fs_share_tile<128, 1>());
}

#endif
