// Feature fusion's low branch: the 3x3 depthwise of a bilinearly resized map that never exists in memory.
//
// A block makes 16x16 outputs of 64 bytes of channels (32 halves). First it builds the resized tile with its halo, (16
// + 2 dilation)^2 pixels, in shared memory, rounded to the activations' type and zero outside the resized map. A thread
// walks along half a row of it: what the two steps of the bilinear share, the mix of two input rows, is computed once
// per input column and reused by the outputs beside it, four at this size. Then each thread computes a strip of 2x4
// outputs from the tile, 3 reads an output.
//
// Banks: a pixel is 64 bytes, so 128-byte phases of a warp touch two pixels. Row pitch is an odd number of pixels, so
// that two rows meet different halves of the banks when the tile is written; and within a row the columns of each
// second pair are swapped, so that two columns 1 apart (from an even one) or 2 apart do when it is read.
//
// At 1024x2048, 32x64x128 to 128x256x128: 75 MFLOP for the depthwise and, at dilation 4 (halo 2.25), 35 for the resize;
// 0.5 MB read (from L2), 8.4 MB written.
#include "cuda/kernels/device.cuh"
#include "cuda/kernels/pieces.cuh"
#include "cuda/kernels/ptx.cuh"

namespace {

constexpr int THREADS = 256, TILE = 16, PIXEL = 64; // outputs a side; bytes of a pixel in the tile
constexpr int TX = 2, TY = 4;                       // outputs of a thread
constexpr int N = 4;                                // channels of a thread in the depthwise

struct updw_args {
    fs_updw_params p;
    int chunks; // blocks side by side over the channels
};

// Byte offset of a pixel in the tile.
FS_DEVICE int tile_at(int row, int column, int extent) {
    return (row * (extent + 1) + (column ^ (column >> 1 & 1))) * PIXEL;
}

// Input column x between two input rows: one step of the bilinear.
template <typename T, int V>
FS_DEVICE void mix_rows(float (&v)[V], const T *upper, const T *lower, long long offset, float fraction) {
    float low[V];
    fs_load_piece<T, V>(v, upper + offset);
    fs_load_piece<T, V>(low, lower + offset);
#pragma unroll
    for (int n = 0; n < V; ++n) v[n] = fs_lerp_down(v[n], low[n], fraction);
}

// Resized pixels (row, begin .. end-1) of the tile, one piece of channels.
template <typename T>
FS_DEVICE void resize_row(const fs_updw_params &p, unsigned char *tile, int extent, int y, int x0, int row, int begin,
                          int end, int channel, int piece) {
    constexpr int V = FS_PIECE<T>;
    const bool inside = y >= 0 && y < p.out.h;
    fs_k_tap down = {0, 0, 0.0f};
    if (inside) down = p.tap_y[y];
    const T *const upper = fs_at<const T>(p.in, down.lower, 0) + channel;
    const T *const lower = fs_at<const T>(p.in, down.upper, 0) + channel;
    float left[V], right[V], rise[V];
#pragma unroll
    for (int n = 0; n < V; ++n) left[n] = right[n] = rise[n] = 0.0f;
    int at_left = -1, at_right = -1; // their input columns
#pragma unroll 1
    for (int column = begin; column < end; ++column) {
        const int x = x0 + column;
        typename fs_piece<T, V>::raw raw = {};
        if (inside && x >= 0 && x < p.out.w) {
            const fs_k_tap along = p.tap_x[x];
            if (along.lower != at_left || along.upper != at_right) {
                if (along.lower == at_right) {
#pragma unroll
                    for (int n = 0; n < V; ++n) left[n] = right[n];
                } else if (along.lower != at_left) {
                    mix_rows(left, upper, lower, static_cast<long long>(along.lower) * p.in.pitch, down.fraction);
                }
                if (along.upper != at_right)
                    mix_rows(right, upper, lower, static_cast<long long>(along.upper) * p.in.pitch, down.fraction);
                at_left = along.lower, at_right = along.upper;
#pragma unroll
                for (int n = 0; n < V; ++n) rise[n] = __fsub_rn(right[n], left[n]); // as in fs_lerp_along
            }
            float v[V];
#pragma unroll
            for (int n = 0; n < V; ++n) v[n] = __fmaf_rn(rise[n], along.fraction, left[n]);
            fs_pack(raw, v);
        }
        fs_store_raw<T, V>(reinterpret_cast<T *>(tile + tile_at(row, column, extent) + piece * 16), raw);
    }
}

template <typename T, int DILATION, int BLOCKS> FS_KERNEL(THREADS, BLOCKS) updw(const FS_PARAM updw_args a) {
    constexpr int CHANNELS = PIXEL / static_cast<int>(sizeof(T)), GROUPS = CHANNELS / N;
    constexpr int EXTENT = TILE + 2 * DILATION; // of the tile, pixels a side
    FS_SHARED_DYNAMIC(unsigned char, tile);
    const fs_map &out = a.p.out;
    const int thread = static_cast<int>(threadIdx.x), block = static_cast<int>(blockIdx.x);
    const int first = block % a.chunks * CHANNELS;
    const int x0 = block / a.chunks * TILE, y0 = static_cast<int>(blockIdx.y) * TILE;
    const int group = thread % GROUPS, strip = thread / GROUPS, channel = first + group * N;
    float weight[9][N], bias[N];
    if (channel < out.c) fs_depthwise_weights(weight, bias, a.p.weights, a.p.bias, out.c, channel);
    fs_dependency_wait(); // weights are nobody's output
    fs_dependency_release();

#pragma unroll 1
    for (int i = thread; i < EXTENT * 8; i += THREADS) {
        const int piece = i & 3, row = (i >> 2) % EXTENT, half = (i >> 2) / EXTENT;
        const int resized = first + piece * FS_PIECE<T>;
        if (resized < out.c)
            resize_row<T>(a.p, tile, EXTENT, y0 - DILATION + row, x0 - DILATION, row, half * EXTENT / 2,
                          (half + 1) * EXTENT / 2, resized, piece);
    }
    __syncthreads();

    // Strips interleave as in depthwise.cu: the outputs of one lie `dilation` apart.
    const int column = strip % (TILE / TX), row = strip / (TILE / TX);
    const int x = column / DILATION * DILATION * TX + column % DILATION;
    const int y = row / DILATION * DILATION * TY + row % DILATION;
    if (row >= TILE / TY || channel >= out.c || x0 + x >= out.w || y0 + y >= out.h) return;

    const auto load = [&](int r, int c) {
        const int at = tile_at(y + r * DILATION, x + c * DILATION, EXTENT);
        return fs_load_raw<T, N>(reinterpret_cast<const T *>(tile + at) + group * N);
    };
    const auto store = [&](int r, int c, float(&sum)[N]) {
        const int oy = y0 + y + r * DILATION, ox = x0 + x + c * DILATION;
        if (oy >= out.h || ox >= out.w) return;
        if (a.p.relu)
#pragma unroll
            for (int n = 0; n < N; ++n) sum[n] = fs_relu(sum[n]);
        fs_store_piece<T, N>(fs_at<T>(out, oy, ox) + channel, sum);
    };
    fs_depthwise_strip<T, N, 1, TX, TY>(weight, bias, load, store);
}

template <typename T, int DILATION, int BLOCKS>
bool fill(const fs_updw_params &p, const char *name, fs_launch *launch) {
    updw_args a = {};
    a.p = p;
    a.chunks = static_cast<int>(fs_blocks(p.out.c, PIXEL / static_cast<int>(sizeof(T))));
    const unsigned extent = static_cast<unsigned>(TILE + 2 * DILATION);
    fs_launch_fill(launch, FS_ENTRY((updw<T, DILATION, BLOCKS>)), name,
                   fs_blocks(p.out.w, TILE) * static_cast<unsigned>(a.chunks), fs_blocks(p.out.h, TILE), 1, THREADS,
                   extent * (extent + 1) * PIXEL, a);
    return true;
}

} // namespace

bool fs_launch_updw(const fs_updw_params *p, fs_k_type type, int sm, int variant, fs_launch *launch) {
    (void)sm;
    if (variant != 0 || p->out.c % 8 || p->in.c != p->out.c || (p->dilation != 1 && p->dilation != 4)) return false;
    if (type == FS_K_F32)
        return p->dilation == 1 ? fill<float, 1, 2>(*p, "updw f32 16x16", launch)
                                : fill<float, 4, 2>(*p, "updw f32 16x16 d4", launch);
    return p->dilation == 1 ? fill<__half, 1, 2>(*p, "updw f16 16x16", launch)
                            : fill<__half, 4, 2>(*p, "updw f16 16x16 d4", launch);
}
