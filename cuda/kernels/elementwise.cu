// What is left when fusion is off: normalisation of a frame, add and ReLU, bilinear resize, concatenation.
//
// All of it only moves memory: a thread takes 16 bytes of channels of one pixel, neighbours in a warp the next ones,
// and a row of blocks one row of the map. Channels behind a map's last are written as zeros up to a multiple of 8.
#include "cuda/kernels/device.cuh"
#include "cuda/kernels/pieces.cuh"
#include "cuda/kernels/ptx.cuh"

namespace {

constexpr int THREADS = 256;

// Pieces of a pixel, the padding up to a multiple of 8 channels included.
template <typename T> FS_DEVICE int pieces(int channels) {
    return (channels + 7) / 8 * (8 / FS_PIECE<T>);
}

// The piece of this thread in row blockIdx.y; false behind the end of the row.
template <typename T> FS_DEVICE bool own_piece(const fs_map &out, int &x, int &channel) {
    const int count = pieces<T>(out.c);
    const unsigned i = blockIdx.x * static_cast<unsigned>(THREADS) + threadIdx.x;
    x = static_cast<int>(i / static_cast<unsigned>(count));
    channel = static_cast<int>(i % static_cast<unsigned>(count)) * FS_PIECE<T>;
    return x < out.w;
}

template <typename T, int V> FS_DEVICE void store_own(const fs_map &out, int y, int x, int channel, float (&v)[V]) {
#pragma unroll
    for (int n = 0; n < V; ++n)
        if (channel + n >= out.c) v[n] = 0.0f;
    fs_store_piece<T, V>(fs_at<T>(out, y, x) + channel, v);
}

template <typename T, typename Params>
bool fill(const Params &p, const void *entry, const char *name, fs_launch *launch) {
    const long long count = (p.out.c + 7) / 8 * (8 / FS_PIECE<T>);
    fs_launch_fill(launch, entry, name, fs_blocks(p.out.w * count, THREADS), static_cast<unsigned>(p.out.h), 1, THREADS,
                   0, p);
    return true;
}

// ---- normalise ------------------------------------------------------------------------------------------------------

// A thread takes 8 neighbouring pixels, counted through the rows: C times 8 values, which are whole 16-byte stores.
template <typename T, int C> FS_KERNEL(THREADS, 3) normalise(const FS_PARAM fs_normalise_params p) {
    fs_dependency_wait();
    fs_dependency_release();
    constexpr int PIXELS = 8, V = FS_PIECE<T>;
    const int count = p.out.h * p.out.w; // at most 2^28
    const int first = static_cast<int>(blockIdx.x * static_cast<unsigned>(THREADS) + threadIdx.x) * PIXELS;
    if (first >= count) return;
    float scale[C];
#pragma unroll
    for (int c = 0; c < C; ++c) scale[c] = 1.0f / p.std[c];
    float v[PIXELS * C];
    int y = first / p.out.w, x = first % p.out.w;
#pragma unroll
    for (int i = 0; i < PIXELS; ++i) {
        const uint8_t *const pixel = p.frame + y * p.stride + static_cast<long long>(x) * p.pixel;
#pragma unroll
        for (int c = 0; c < C; ++c)
            v[i * C + c] = first + i < count ? (pixel[p.order[c]] * (1.0f / 255.0f) - p.mean[c]) * scale[c] : 0.0f;
        if (++x == p.out.w) x = 0, ++y;
    }
    T *const to = static_cast<T *>(p.out.data) + static_cast<long long>(first) * C;
    if (first + PIXELS <= count) {
#pragma unroll
        for (int i = 0; i < PIXELS * C; i += V) {
            float piece[V];
#pragma unroll
            for (int n = 0; n < V; ++n) piece[n] = v[i + n];
            fs_store_piece<T, V>(to + i, piece);
        }
    } else {
#pragma unroll
        for (int i = 0; i < PIXELS * C; ++i)
            if (i < (count - first) * C) fs_store(to + i, v[i]);
    }
}

// ---- add, ReLU ------------------------------------------------------------------------------------------------------

template <typename T> FS_KERNEL(THREADS, 4) eltwise(const FS_PARAM fs_eltwise_params p) {
    fs_dependency_wait();
    fs_dependency_release();
    constexpr int V = FS_PIECE<T>;
    const int y = static_cast<int>(blockIdx.y);
    int x, channel;
    if (!own_piece<T>(p.out, x, channel)) return;
    float v[V];
    fs_load_piece<T, V>(v, fs_at<const T>(p.a, y, x) + channel);
    if (p.b.data) {
        float b[V];
        fs_load_piece<T, V>(b, fs_at<const T>(p.b, y, x) + channel);
#pragma unroll
        for (int n = 0; n < V; ++n) v[n] += b[n];
    }
    if (p.relu)
#pragma unroll
        for (int n = 0; n < V; ++n) v[n] = fs_relu(v[n]);
    store_own<T, V>(p.out, y, x, channel, v);
}

// ---- resize ---------------------------------------------------------------------------------------------------------

template <typename T> FS_KERNEL(THREADS, 4) resize(const FS_PARAM fs_resize_params p) {
    fs_dependency_wait();
    fs_dependency_release();
    constexpr int V = FS_PIECE<T>;
    const int y = static_cast<int>(blockIdx.y);
    int x, channel;
    if (!own_piece<T>(p.out, x, channel)) return;
    const fs_k_tap down = p.tap_y[y], along = p.tap_x[x];
    float a[V], b[V], c[V], d[V];
    fs_load_piece<T, V>(a, fs_at<const T>(p.in, down.lower, along.lower) + channel);
    fs_load_piece<T, V>(b, fs_at<const T>(p.in, down.lower, along.upper) + channel);
    fs_load_piece<T, V>(c, fs_at<const T>(p.in, down.upper, along.lower) + channel);
    fs_load_piece<T, V>(d, fs_at<const T>(p.in, down.upper, along.upper) + channel);
#pragma unroll
    for (int n = 0; n < V; ++n)
        a[n] = fs_lerp_along(fs_lerp_down(a[n], c[n], down.fraction), fs_lerp_down(b[n], d[n], down.fraction),
                             along.fraction);
    store_own<T, V>(p.out, y, x, channel, a);
}

// ---- concatenation --------------------------------------------------------------------------------------------------

// One channel of the concatenation, zero behind the last.
template <typename T> FS_DEVICE T concat_channel(const fs_concat_params &p, int y, int x, int channel) {
    T value = T(0.0f);
    int begin = 0;
#pragma unroll
    for (int i = 0; i < 5; ++i) {
        if (i >= p.inputs) break;
        const int end = begin + p.in[i].c;
        if (channel >= begin && channel < end) value = fs_at<const T>(p.in[i], y, x)[channel - begin];
        begin = end;
    }
    return value;
}

// WHOLE: every input has a multiple of 8 channels, so that a piece comes from one of them.
template <typename T, bool WHOLE> FS_KERNEL(THREADS, 4) concat(const FS_PARAM fs_concat_params p) {
    fs_dependency_wait();
    fs_dependency_release();
    constexpr int V = FS_PIECE<T>;
    const int y = static_cast<int>(blockIdx.y);
    int x, channel;
    if (!own_piece<T>(p.out, x, channel)) return;
    T *const to = fs_at<T>(p.out, y, x) + channel;
    if constexpr (WHOLE) {
        const T *from = nullptr;
        int begin = 0;
#pragma unroll
        for (int i = 0; i < 5; ++i) {
            if (i >= p.inputs) break;
            if (channel >= begin) from = fs_at<const T>(p.in[i], y, x) + (channel - begin);
            begin += p.in[i].c;
        }
        fs_store_raw<T, V>(to, fs_load_raw<T, V>(from));
    } else {
#pragma unroll
        for (int n = 0; n < V; ++n) to[n] = concat_channel<T>(p, y, x, channel + n);
    }
}

} // namespace

bool fs_launch_normalise(const fs_normalise_params *p, fs_k_type type, int sm, int variant, fs_launch *launch) {
    (void)sm;
    const int channels = p->out.c;
    if (variant != 0 || (channels != 3 && channels != 4) || p->out.pitch != channels) return false;
    const void *const f16 = channels == 3 ? FS_ENTRY((normalise<__half, 3>)) : FS_ENTRY((normalise<__half, 4>));
    const void *const f32 = channels == 3 ? FS_ENTRY((normalise<float, 3>)) : FS_ENTRY((normalise<float, 4>));
    const long long pixels = static_cast<long long>(p->out.h) * p->out.w;
    fs_launch_fill(launch, type == FS_K_F16 ? f16 : f32, type == FS_K_F16 ? "normalise f16" : "normalise f32",
                   fs_blocks(pixels, THREADS * 8), 1, 1, THREADS, 0, *p);
    return true;
}

bool fs_launch_eltwise(const fs_eltwise_params *p, fs_k_type type, int sm, int variant, fs_launch *launch) {
    (void)sm;
    if (variant != 0) return false;
    return type == FS_K_F16 ? fill<__half>(*p, FS_ENTRY((eltwise<__half>)), "eltwise f16", launch)
                            : fill<float>(*p, FS_ENTRY((eltwise<float>)), "eltwise f32", launch);
}

bool fs_launch_resize(const fs_resize_params *p, fs_k_type type, int sm, int variant, fs_launch *launch) {
    (void)sm;
    if (variant != 0) return false;
    return type == FS_K_F16 ? fill<__half>(*p, FS_ENTRY((resize<__half>)), "resize f16", launch)
                            : fill<float>(*p, FS_ENTRY((resize<float>)), "resize f32", launch);
}

bool fs_launch_concat(const fs_concat_params *p, fs_k_type type, int sm, int variant, fs_launch *launch) {
    (void)sm;
    if (variant != 0 || p->inputs < 1 || p->inputs > 5) return false;
    bool whole = true;
    for (int i = 0; i < p->inputs; ++i) whole = whole && p->in[i].c % 8 == 0;
    if (whole)
        return type == FS_K_F16 ? fill<__half>(*p, FS_ENTRY((concat<__half, true>)), "concat f16", launch)
                                : fill<float>(*p, FS_ENTRY((concat<float, true>)), "concat f32", launch);
    return type == FS_K_F16 ? fill<__half>(*p, FS_ENTRY((concat<__half, false>)), "concat f16 any", launch)
                            : fill<float>(*p, FS_ENTRY((concat<float, false>)), "concat f32 any", launch);
}
