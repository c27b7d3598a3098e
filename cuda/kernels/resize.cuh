// What the kernels that build a bilinearly resized tile share: a walk along a row of it, and how it lies in shared
// memory to be read by strips of a depthwise convolution.
#ifndef FS_CUDA_KERNELS_RESIZE_CUH
#define FS_CUDA_KERNELS_RESIZE_CUH

#include "cuda/kernels/pieces.cuh"

// Bytes of a pixel in the tile: 32 halves or 16 floats. More channels are more planes.
constexpr int FS_RESIZED_PIXEL = 64;

// Bytes of a plane of the tile.
constexpr int fs_resized_bytes(int rows, int columns) {
    return rows * (columns + 1) * FS_RESIZED_PIXEL;
}

// Byte offset of a pixel in a plane of an even number of columns. 128-byte phases of a warp touch two pixels. Row pitch
// is an odd number of pixels, so that two rows meet different halves of the banks when the tile is written; and within
// a row the columns of each second pair are swapped, so that two columns 1 apart (from an even one) or 2 apart do when
// it is read.
FS_DEVICE int fs_resized_at(int row, int column, int columns) {
    return (row * (columns + 1) + (column ^ (column >> 1 & 1))) * FS_RESIZED_PIXEL;
}

// Resized pixels begin .. end-1 of one row, one piece of channels. What the two steps of the bilinear share, the mix of
// two input rows, is computed once per input column and reused by the outputs beside it. tap(column, along) gives a
// column's tap or returns false outside the resized map, where a pixel is zero; mix(v, x) mixes input column x of the
// two input rows; store(column, raw) takes a pixel.
template <typename T, typename Tap, typename Mix, typename Store>
FS_DEVICE void fs_resize_walk(int begin, int end, const Tap &tap, const Mix &mix, const Store &store) {
    constexpr int V = FS_PIECE<T>;
    float left[V], right[V], rise[V];
#pragma unroll
    for (int n = 0; n < V; ++n) left[n] = right[n] = rise[n] = 0.0f;
    int at_left = -1, at_right = -1; // their input columns
#pragma unroll 1
    for (int column = begin; column < end; ++column) {
        typename fs_piece<T, V>::raw raw = {};
        fs_k_tap along;
        if (tap(column, along)) {
            if (along.lower != at_left || along.upper != at_right) {
                if (along.lower == at_right) {
#pragma unroll
                    for (int n = 0; n < V; ++n) left[n] = right[n];
                } else if (along.lower != at_left) {
                    mix(left, along.lower);
                }
                if (along.upper != at_right) mix(right, along.upper);
                at_left = along.lower, at_right = along.upper;
#pragma unroll
                for (int n = 0; n < V; ++n) rise[n] = __fsub_rn(right[n], left[n]); // as in fs_lerp_along
            }
            float v[V];
#pragma unroll
            for (int n = 0; n < V; ++n) v[n] = __fmaf_rn(rise[n], along.fraction, left[n]);
            fs_pack(raw, v);
        }
        store(column, raw);
    }
}

// One piece of channels of an input column between two input rows: one step of the bilinear.
template <typename T, int V> FS_DEVICE void fs_mix_rows(float (&v)[V], const T *upper, const T *lower, float fraction) {
    float low[V];
    fs_load_piece<T, V>(v, upper);
    fs_load_piece<T, V>(low, lower);
#pragma unroll
    for (int n = 0; n < V; ++n) v[n] = fs_lerp_down(v[n], low[n], fraction);
}

#endif
