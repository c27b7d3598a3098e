// An inverted bottleneck in one launch: 1x1 expansion -> ReLU -> depthwise 3x3 -> ReLU -> 1x1 projection -> + residual.
//
// Why: the expanded map is six times the block's input (25 MB in the first block at 1024x2048), and layer by layer it
// is written and read again twice.
// Algorithm: a block makes 8 x 8 outputs. The halo of its input (10 x 10 or 17 x 17 pixels) lies in shared memory; each
// of 12 warps takes 32 expanded channels at a time through expansion and depthwise by itself (expand.cuh), so that
// warps drift apart and tensor cores and depthwise overlap. After one barrier Y, [E][64 pixels] in shared memory, is
// projected: warps own 32 or 64 pixels x 32 channels of a share of E, and the shares are added in fixed order. Y is
// read by transposing ldmatrix as the A operand, weights come from memory straight into fragments (two steps of 32
// ahead, the first two before the barrier); a lane ends with eight neighbouring channels of a pixel, one 16-byte store.
// The 8 x 8 tile gives 128 blocks at 64x128, one for each multiprocessor of an H100. Its halo is expanded again by its
// neighbours: 56 % more products with stride 1, 13 % with stride 2. At 32x64 there are 32 tiles: there
// bottleneck_split.cu, or expand_dw.cu and a separate projection, spread better over a large GPU.
// At 1024x2048 the first block (128x256x64 to 64x128x64) does 2.3 GFLOP for 5.2 MB moved, 19 MB with halo and weights
// from L2, instead of 85 MB; the second and third (64x128x64) 1.1 GFLOP for 2.1 MB. Predictions of the study on an
// H100: 11.0 us and 6.9 us, against 33.5 us and 13.4 us for three launches.
#include "cuda/kernels/expand.cuh"
#include "cuda/kernels/pieces.cuh"

namespace {

struct BottleneckArgs {
    fs_bottleneck_params p;
    int tiles_x;
};

constexpr int WARPS = 12, THREADS = WARPS * 32;

template <class Tile, int cout> struct Project {
    static constexpr int m16 = cout == 128 ? 4 : 2; // 16-pixel tiles of a warp; 32 channels
    static constexpr int groups_m = 4 / m16, groups_n = cout / 32, groups = groups_m * groups_n;
    static constexpr int shares = WARPS / groups;    // of E
    static constexpr int units = Tile::cin * 6 / 32; // of 32 expanded channels
    static constexpr int steps = units / shares;     // of a share
    static constexpr int floats = m16 * 16;          // of a lane
    static_assert(shares * groups == WARPS && steps * shares == units, "warps share the work evenly");
    static_assert((shares - 1) * groups * floats * 128 <= units * Tile::unit, "the exchange fits where Y was");
};

// Weights of one unit of E for this lane's column of each of four tiles of eight channels. Column c of tile j is
// channel 8 (c / 2) + 2 j + c % 2, so that a lane ends with eight neighbours.
template <class P> FS_DEVICE void load_project(uint4 (&w)[4], const fs_fused_pw &project, int n0, int unit, int lane) {
    const int g = lane / 4, t = lane % 4;
    const __half *from =
        static_cast<const __half *>(project.weights) + (n0 + g / 2 * 8 + g % 2) * (P::units * 32) + unit * 32 + t * 8;
#pragma unroll
    for (int j = 0; j < 4; j++) w[j] = __ldg(reinterpret_cast<const uint4 *>(from + j * 2 * (P::units * 32)));
}

template <int cin, int cout, int stride> FS_KERNEL(THREADS, 1) bottleneck(const FS_PARAM BottleneckArgs args) {
    using Tile = fs_expand_tile<cin, stride, cin == 64 ? 5 : 2>;
    using P = Project<Tile, cout>;
    FS_SHARED_DYNAMIC(unsigned char, shared);
    const fs_bottleneck_params &p = args.p;
    const int thread = static_cast<int>(threadIdx.x), lane = thread % 32, warp = thread / 32;
    const int tile_y = static_cast<int>(blockIdx.x) / args.tiles_x;
    const int tile_x = static_cast<int>(blockIdx.x) % args.tiles_x;
    unsigned char *const y = shared + Tile::input_bytes;

    const fs_expand_place place = fs_expand_place_of<Tile>(p.in, tile_y, tile_x);
    {
        fs_expand_weights<Tile> weights;
        fs_expand_load_weights(weights, p.expand, p.dw, warp, lane);
        fs_dependency_wait(); // weights are nobody's output
        fs_expand_copy_input<Tile>(p.in, place, shared, thread, THREADS);
        fs_dependency_release();
        fs_async_wait<0>();
        __syncthreads();
#pragma unroll 1
        for (int unit = warp;;) {
            fs_expand_unit(weights, p.in, place, shared, y + unit * Tile::unit, lane);
            unit += WARPS;
            if (unit >= P::units) break;
            fs_expand_load_weights(weights, p.expand, p.dw, unit, lane);
        }
    }

    const int group = warp % P::groups, share = warp / P::groups;
    const int m0 = group % P::groups_m * P::m16, n0 = group / P::groups_m * 32, first = share * P::steps;
    uint4 w[2][4];
    load_project<P>(w[0], p.project, n0, first, lane);
    load_project<P>(w[1], p.project, n0, first + 1, lane);
    __syncthreads(); // Y is complete
    float sum[P::m16][4][4] = {};
    // This lane's row for ldmatrix: eight channels of Y by eight pixels, their next eight pixels, then the next eight
    // channels of both.
    const unsigned char *from =
        y + first * Tile::unit + (lane / 16 * 8 + lane % 8) * Tile::pitch + Tile::y_row(m0 * 2 + lane / 8 % 2);
#pragma unroll 2
    for (int step = 0; step < P::steps; step++) {
#pragma unroll
        for (int half = 0; half < 2; half++) {
            uint32_t a[P::m16][4];
#pragma unroll
            for (int i = 0; i < P::m16; i++)
                fs_ldmatrix_x4_transposed(a[i], from + step * Tile::unit + half * 16 * Tile::pitch +
                                                    Tile::y_row(i * 2) - Tile::y_row(0));
#pragma unroll
            for (int j = 0; j < 4; j++) {
                const uint4 &from_w = w[step % 2][j];
                const uint32_t b[2] = {half ? from_w.z : from_w.x, half ? from_w.w : from_w.y};
#pragma unroll
                for (int i = 0; i < P::m16; i++) fs_mma_m16n8k16(sum[i][j], a[i], b);
            }
        }
        if (step + 2 < P::steps) load_project<P>(w[step % 2], p.project, n0, first + step + 2, lane);
    }

    if constexpr (P::shares > 1) {
        // Share 0 adds the others' sums to its own, in order.
        __syncthreads(); // everyone is done with Y
        float4 *const given = reinterpret_cast<float4 *>(y) + lane;
        constexpr int parts = P::floats / 4;
        if (share > 0)
#pragma unroll
            for (int i = 0; i < P::m16; i++)
#pragma unroll
                for (int j = 0; j < 4; j++)
                    given[(((share - 1) * P::groups + group) * parts + i * 4 + j) * 32] =
                        make_float4(sum[i][j][0], sum[i][j][1], sum[i][j][2], sum[i][j][3]);
        __syncthreads();
        if (share > 0) return;
#pragma unroll
        for (int other = 0; other < P::shares - 1; other++)
#pragma unroll
            for (int i = 0; i < P::m16; i++)
#pragma unroll
                for (int j = 0; j < 4; j++) {
                    const float4 v = given[((other * P::groups + group) * parts + i * 4 + j) * 32];
                    sum[i][j][0] += v.x, sum[i][j][1] += v.y, sum[i][j][2] += v.z, sum[i][j][3] += v.w;
                }
    }

    const int n = n0 + lane % 4 * 8, ox = tile_x * 8 + lane / 4;
    float bias[8];
    fs_load_piece<float, 4>(reinterpret_cast<float(&)[4]>(bias), p.project.bias + n);
    fs_load_piece<float, 4>(reinterpret_cast<float(&)[4]>(bias[4]), p.project.bias + n + 4);
#pragma unroll
    for (int i = 0; i < P::m16; i++)
#pragma unroll
        for (int half = 0; half < 2; half++) { // rows of eight pixels
            const int oy = tile_y * 8 + (m0 + i) * 2 + half;
            if (oy >= p.out.h || ox >= p.out.w) continue;
            const long long pixel = static_cast<long long>(oy) * p.out.w + ox;
            float v[8];
#pragma unroll
            for (int j = 0; j < 4; j++)
                v[2 * j] = sum[i][j][half * 2] + bias[2 * j], v[2 * j + 1] = sum[i][j][half * 2 + 1] + bias[2 * j + 1];
            if (p.residual.data) {
                float r[8];
                fs_load_piece<__half, 8>(r,
                                         static_cast<const __half *>(p.residual.data) + pixel * p.residual.pitch + n);
#pragma unroll
                for (int k = 0; k < 8; k++) v[k] += r[k];
            }
            fs_store_piece<__half, 8>(static_cast<__half *>(p.out.data) + pixel * p.out.pitch + n, v);
        }
}

template <int cin, int cout, int stride> void launch(BottleneckArgs args, const char *name, fs_launch *launch) {
    using Tile = fs_expand_tile<cin, stride, cin == 64 ? 5 : 2>;
    args.tiles_x = static_cast<int>(fs_blocks(args.p.out.w, 8));
    const unsigned tiles = static_cast<unsigned>(args.tiles_x) * fs_blocks(args.p.out.h, 8);
    fs_launch_fill(launch, FS_ENTRY((bottleneck<cin, cout, stride>)), name, tiles, 1, 1, THREADS,
                   static_cast<unsigned>(Tile::input_bytes + Project<Tile, cout>::units * Tile::unit), args);
}

} // namespace

bool fs_launch_bottleneck(const fs_bottleneck_params *p, int sm, int variant, fs_launch *out) {
    if (variant != 0 || !fs_expand_takes(p->in, p->expand, p->dw, p->out)) return false;
    if (p->expand.n != 6 * p->in.c || p->project.relu || p->out.c != p->project.n) return false;
    const fs_map &add = p->residual, &to = p->out;
    if (add.data && (add.h != to.h || add.w != to.w || add.c != to.c || !fs_expand_is_aligned(add))) return false;
    const BottleneckArgs args = {*p, 0};
    fs_launch filled;
    // The network's blocks.
    const int shape = p->in.c * 10000 + p->project.n * 10 + p->dw.stride;
    switch (shape) {
    case 640641: launch<64, 64, 1>(args, "bottleneck 8x8", &filled); break;
    case 640642: launch<64, 64, 2>(args, "bottleneck 8x8", &filled); break;
    case 640962: launch<64, 96, 2>(args, "bottleneck 8x8", &filled); break;
    case 960961: launch<96, 96, 1>(args, "bottleneck 8x8", &filled); break;
    case 961281: launch<96, 128, 1>(args, "bottleneck 8x8", &filled); break;
    case 1281281: launch<128, 128, 1>(args, "bottleneck 8x8", &filled); break;
    default: return false;
    }
    if (filled.shared > fs_shared_limit(sm)) return false;
    *out = filled;
    return true;
}
