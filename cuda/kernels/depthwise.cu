// 3x3 depthwise convolution, stride 1 or 2, any dilation, + bias + ReLU: bound by memory, so inputs are reused.
//
// A thread owns N channels (one piece) of a strip of TX x TY outputs. It keeps the 9 N weights in registers as floats
// and slides down the strip, so that each input of the strip is loaded once: 2x4 outputs at stride 1 take 3 loads an
// output and 2x2 at stride 2 take 6.25, not 9. What neighbouring strips share comes from L1: a block covers up to 128
// bytes of channels (a cache line) and a near-square patch of strips. With a dilation the outputs of a strip lie apart
// so that they still share inputs.
//
// Short strips of 4 channels give the most threads, for the small maps at the bottom of the network; long ones load
// fewer inputs an output and the weights, 40 N bytes, less often. With 4 channels the weights of neighbouring threads
// are contiguous; with 8 a thread has half as many loads and addresses, and twice the registers.
//
// At 1024x2048 (MFLOP; MB read + written): 512x1024x32 s2 75, 33.6 + 8.4; 128x256x384 s2 57, 25.2 + 6.3; 128x256x128
// 75, 8.4 + 8.4; 32x64x768 28, 3.1 + 3.1. At under 5 FLOP a byte of halves the memory is the limit.
#include "cuda/kernels/device.cuh"
#include "cuda/kernels/pieces.cuh"
#include "cuda/kernels/ptx.cuh"

namespace {

constexpr int THREADS = 128;

struct dw_args {
    fs_dw_params p;
    int groups, columns, rows; // of a block: pieces, strips across, strips down
    int chunks;                // blocks side by side over the channels
    int step;                  // from an output of a strip to the next
};

// Where strip i of an axis begins: `step` strips interleave, then the next `step`.
FS_DEVICE int strip_begin(int i, int step, int outputs) {
    return i / step * step * outputs + i % step;
}

template <typename T, int N, int STEP, int TX, int TY, int BLOCKS>
FS_KERNEL(THREADS, BLOCKS)
depthwise(const FS_PARAM dw_args a) {
    // Weights held over the wait would cost registers that some architectures do not have: they spill.
    fs_dependency_wait();
    fs_dependency_release();
    const fs_map &in = a.p.in, &out = a.p.out;
    const int thread = static_cast<int>(threadIdx.x), strip = thread / a.groups;
    const int row = strip / a.columns, column = strip % a.columns;
    const int block = static_cast<int>(blockIdx.x), patch = block / a.chunks;
    const int channel = (block % a.chunks * a.groups + thread % a.groups) * N;
    const int x = strip_begin(patch * a.columns + column, a.step, TX);
    const int y = strip_begin(static_cast<int>(blockIdx.y) * a.rows + row, a.step, TY);
    if (row >= a.rows || channel >= in.c || x >= out.w || y >= out.h) return;

    float weight[9][N], bias[N];
    fs_depthwise_weights(weight, bias, a.p.weights, a.p.bias, in.c, channel);

    const int iy = y * a.p.stride - a.p.pad_top, ix = x * a.p.stride - a.p.pad_left, dilation = a.p.dilation;
    int inside = 0; // a bit per column of inputs
#pragma unroll
    for (int c = 0; c < (TX - 1) * STEP + 3; ++c)
        inside |= (ix + c * dilation >= 0 && ix + c * dilation < in.w ? 1 : 0) << c;
    const T *const from = static_cast<const T *>(in.data) + channel;
    const int across = dilation * in.pitch;
    const auto load = [&](int r, int c) {
        const int sy = iy + r * dilation;
        typename fs_piece<T, N>::raw raw = {};
        if (sy >= 0 && sy < in.h && (inside >> c & 1))
            raw = fs_load_raw<T, N>(from + (static_cast<long long>(sy) * in.w + ix) * in.pitch + c * across);
        return raw;
    };
    const auto store = [&](int r, int c, float(&sum)[N]) {
        const int oy = y + r * a.step, ox = x + c * a.step;
        if (oy >= out.h || ox >= out.w) return;
        if (a.p.relu)
#pragma unroll
            for (int n = 0; n < N; ++n) sum[n] = fs_relu(sum[n]);
        fs_store_piece<T, N>(fs_at<T>(out, oy, ox) + channel, sum);
    };
    fs_depthwise_strip<T, N, STEP, TX, TY>(weight, bias, load, store);
}

// Pieces of a block: at most a cache line, the fewest idle ones, then the most.
int block_groups(int groups, int most) {
    int best = most, idle = fs_blocks(groups, most) * most - groups;
    for (int n = most - 1; n >= most / 2; --n) {
        const int rest = fs_blocks(groups, n) * n - groups;
        if (rest < idle) best = n, idle = rest;
    }
    return best;
}

template <typename T, int N, int STEP, int TX, int TY, int BLOCKS>
bool fill(const fs_dw_params &p, const char *name, fs_launch *launch) {
    dw_args a = {};
    a.p = p;
    a.step = STEP == 1 ? p.dilation / p.stride : p.dilation;
    a.groups = block_groups(p.in.c / N, 128 / static_cast<int>(N * sizeof(T)));
    a.chunks = static_cast<int>(fs_blocks(p.in.c / N, a.groups));
    // The patch that reads least: halos and idle strips count.
    const int strips = THREADS / a.groups;
    const long long across = fs_blocks(p.out.w, TX * a.step) * static_cast<long long>(a.step);
    const long long down = fs_blocks(p.out.h, TY * a.step) * static_cast<long long>(a.step);
    long long least = -1;
    for (int columns = strips; columns >= 1; --columns) {
        const int rows = strips / columns;
        const long long blocks = static_cast<long long>(fs_blocks(across, columns)) * fs_blocks(down, rows);
        const long long inputs = blocks * ((columns * TX - 1) * STEP + 3) * ((rows * TY - 1) * STEP + 3);
        if (least < 0 || inputs < least) least = inputs, a.columns = columns, a.rows = rows;
    }
    fs_launch_fill(launch, FS_ENTRY((depthwise<T, N, STEP, TX, TY, BLOCKS>)), name,
                   fs_blocks(across, a.columns) * a.chunks, fs_blocks(down, a.rows), 1, THREADS, 0, a);
    return true;
}

} // namespace

bool fs_launch_dw(const fs_dw_params *p, fs_k_type type, int sm, int variant, fs_launch *launch) {
    (void)sm;
    if (p->in.c % 8 || p->out.c != p->in.c || p->stride < 1 || p->stride > 2 || p->dilation < 1) return false;
    // Outputs one input apart (in units of the dilation), or two.
    const bool one = p->dilation % p->stride == 0;
    if (type == FS_K_F32) {
        if (variant != 0) return false;
        return one ? fill<float, 4, 1, 2, 2, 4>(*p, "depthwise f32 2x2", launch)
                   : fill<float, 4, 2, 2, 2, 4>(*p, "depthwise s2 f32 2x2", launch);
    }
    switch (variant) {
    case 0:
        return one ? fill<__half, 4, 1, 2, 2, 6>(*p, "depthwise f16 4c 2x2", launch)
                   : fill<__half, 4, 2, 2, 2, 6>(*p, "depthwise s2 f16 4c 2x2", launch);
    case 1:
        return one ? fill<__half, 4, 1, 2, 4, 5>(*p, "depthwise f16 4c 2x4", launch)
                   : fill<__half, 4, 2, 2, 4, 5>(*p, "depthwise s2 f16 4c 2x4", launch);
    case 2:
        return one ? fill<__half, 8, 1, 2, 4, 3>(*p, "depthwise f16 8c 2x4", launch)
                   : fill<__half, 8, 2, 2, 2, 3>(*p, "depthwise s2 f16 8c 2x2", launch);
    default: return false;
    }
}
