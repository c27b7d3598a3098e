// What the depthwise, resize and element-wise kernels share: pieces of neighbouring channels, bilinear arithmetic, and
// a strip of a 3x3 depthwise convolution in registers.
#ifndef FS_CUDA_KERNELS_PIECES_CUH
#define FS_CUDA_KERNELS_PIECES_CUH

#include "cuda/kernels/device.cuh"

// A piece: N neighbouring channels of one pixel, moved by one 8- or 16-byte access and computed on as floats.
template <typename T, int N> struct fs_piece;
template <> struct fs_piece<__half, 8> { using raw = uint4; };
template <> struct fs_piece<__half, 4> { using raw = uint2; };
template <> struct fs_piece<float, 4> { using raw = float4; };
// Channels of 16 bytes.
template <typename T> constexpr int FS_PIECE = 16 / static_cast<int>(sizeof(T));

FS_DEVICE void fs_unpack_pair(float *v, unsigned pair) {
    const float2 values = __half22float2(*reinterpret_cast<const __half2 *>(&pair));
    v[0] = values.x, v[1] = values.y;
}
FS_DEVICE unsigned fs_pack_pair(const float *v) {
    const __half2 halves = __floats2half2_rn(v[0], v[1]);
    return *reinterpret_cast<const unsigned *>(&halves);
}
FS_DEVICE void fs_unpack(float (&v)[8], const uint4 &raw) {
    fs_unpack_pair(v, raw.x), fs_unpack_pair(v + 2, raw.y);
    fs_unpack_pair(v + 4, raw.z), fs_unpack_pair(v + 6, raw.w);
}
FS_DEVICE void fs_unpack(float (&v)[4], const uint2 &raw) {
    fs_unpack_pair(v, raw.x), fs_unpack_pair(v + 2, raw.y);
}
FS_DEVICE void fs_unpack(float (&v)[4], const float4 &raw) {
    v[0] = raw.x, v[1] = raw.y, v[2] = raw.z, v[3] = raw.w;
}
FS_DEVICE void fs_pack(uint4 &raw, const float (&v)[8]) {
    raw = make_uint4(fs_pack_pair(v), fs_pack_pair(v + 2), fs_pack_pair(v + 4), fs_pack_pair(v + 6));
}
FS_DEVICE void fs_pack(uint2 &raw, const float (&v)[4]) {
    raw = make_uint2(fs_pack_pair(v), fs_pack_pair(v + 2));
}
FS_DEVICE void fs_pack(float4 &raw, const float (&v)[4]) {
    raw = make_float4(v[0], v[1], v[2], v[3]);
}

template <typename T, int N> FS_DEVICE typename fs_piece<T, N>::raw fs_load_raw(const T *from) {
    return *reinterpret_cast<const typename fs_piece<T, N>::raw *>(from);
}
template <typename T, int N> FS_DEVICE void fs_store_raw(T *to, const typename fs_piece<T, N>::raw &raw) {
    *reinterpret_cast<typename fs_piece<T, N>::raw *>(to) = raw;
}
template <typename T, int N> FS_DEVICE void fs_load_piece(float (&v)[N], const T *from) {
    fs_unpack(v, fs_load_raw<T, N>(from));
}
template <typename T, int N> FS_DEVICE void fs_store_piece(T *to, const float (&v)[N]) {
    typename fs_piece<T, N>::raw raw;
    fs_pack(raw, v);
    fs_store_raw<T, N>(to, raw);
}

// Element (y, x, 0) of a map.
template <typename T> FS_DEVICE T *fs_at(const fs_map &map, int y, int x) {
    return static_cast<T *>(map.data) + (static_cast<long long>(y) * map.w + x) * map.pitch;
}

// Bilinear in two steps, down and then along, each operation rounded as the head rounds it (cpu/kernels/head.h): with
// or without fusion a resize gives the same bits.
FS_DEVICE float fs_lerp_down(float upper, float lower, float fraction) {
    return __fadd_rn(upper, __fmul_rn(__fsub_rn(lower, upper), fraction));
}
FS_DEVICE float fs_lerp_along(float left, float right, float fraction) {
    return __fmaf_rn(__fsub_rn(right, left), fraction, left);
}

// Weights and bias of N channels from `channel` on; both 16-byte aligned.
template <int N>
FS_DEVICE void fs_depthwise_weights(float (&weight)[9][N], float (&bias)[N], const float *weights, const float *biases,
                                    int channels, int channel) {
#pragma unroll
    for (int tap = 0; tap < 9; ++tap)
#pragma unroll
        for (int n = 0; n < N; n += 4) {
            const float4 w = *reinterpret_cast<const float4 *>(weights + tap * channels + channel + n);
            weight[tap][n] = w.x, weight[tap][n + 1] = w.y, weight[tap][n + 2] = w.z, weight[tap][n + 3] = w.w;
        }
#pragma unroll
    for (int n = 0; n < N; n += 4) {
        const float4 b = *reinterpret_cast<const float4 *>(biases + channel + n);
        bias[n] = b.x, bias[n + 1] = b.y, bias[n + 2] = b.z, bias[n + 3] = b.w;
    }
}

// TX x TY outputs of a 3x3 depthwise convolution, N channels each, from inputs that are read once: neighbouring outputs
// lie STEP inputs apart. load(row, column) gives a raw piece, zeros outside the map; store(row, column, sums) takes an
// output. An output's sum starts at the bias and takes its taps row by row, whatever the shape of the strip.
template <typename T, int N, int STEP, int TX, int TY, typename Load, typename Store>
FS_DEVICE void fs_depthwise_strip(const float (&weight)[9][N], const float (&bias)[N], const Load &load,
                                  const Store &store) {
    constexpr int COLUMNS = (TX - 1) * STEP + 3, ROWS = (TY - 1) * STEP + 3;
    float sum[TY][TX][N];
#pragma unroll
    for (int row = 0; row < ROWS; ++row) {
        typename fs_piece<T, N>::raw raw[COLUMNS];
#pragma unroll
        for (int column = 0; column < COLUMNS; ++column) raw[column] = load(row, column);
#pragma unroll
        for (int column = 0; column < COLUMNS; ++column) {
            float v[N];
            fs_unpack(v, raw[column]);
#pragma unroll
            for (int y = 0; y < TY; ++y)
#pragma unroll
                for (int x = 0; x < TX; ++x) {
                    const int ky = row - y * STEP, kx = column - x * STEP;
                    if (ky < 0 || ky > 2 || kx < 0 || kx > 2) continue;
#pragma unroll
                    for (int n = 0; n < N; ++n)
                        sum[y][x][n] = fmaf(v[n], weight[ky * 3 + kx][n], ky + kx == 0 ? bias[n] : sum[y][x][n]);
                }
        }
#pragma unroll
        for (int y = 0; y < TY; ++y)
#pragma unroll
            for (int x = 0; x < TX; ++x)
                if (row == y * STEP + 2) store(y, x, sum[y][x]);
    }
}

#endif
