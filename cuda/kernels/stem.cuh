// What the kernels that begin with the first convolution share: the u8 window of a tile in shared memory, the weights
// as fragments that meet its bytes, and the borders of the frame.
//
// The matrix product is pixels (M) by channels (N) by taps (K). The bytes that one window row covers lie together, 9 of
// them for 3 bytes a pixel, and a window starts at an even byte (6 per output pixel), so K runs over byte pairs: 5
// pairs per window row with a zero weight for the tenth byte, 15 pairs of 16, two k16 steps. With 4 bytes a pixel it is
// 6 pairs, 18 of 24, three steps. A pair becomes two halves by one permutation (0x64uu is 1024 + u) and one exact
// subtraction. Channel order and unused bytes live in the order of the weights. N is permuted so that a lane's
// accumulators are 8 neighbouring channels.
#ifndef FS_CUDA_KERNELS_STEM_CUH
#define FS_CUDA_KERNELS_STEM_CUH

#include "cuda/kernels/ptx.cuh"

// How the window of `columns_` output pixels a row lies in shared memory: `bytes_` per pixel, `pitch_` words from row
// to row.
template <int bytes_, int columns_, int pitch_> struct fs_stem_layout {
    static constexpr int bytes = bytes_, columns = columns_, pitch = pitch_;
    static constexpr int pairs = bytes == 3 ? 5 : 6;                  // per window row
    static constexpr int steps = bytes == 3 ? 2 : 3;                  // k16 each
    static constexpr int pixels = 2 * columns + (bytes == 3 ? 2 : 1); // that the reads of a row touch
    static constexpr int words = (columns * 2 * bytes + 4 + 3) / 4;   // that the reads of a row touch
    static constexpr int step_bytes = 2 * bytes;                      // from an output pixel to the next
    static_assert(words <= pitch && pixels * bytes <= pitch * 4, "a row has room");
};

// The frame's bytes are the tile's bytes: every channel has a byte of its own, and pixels are as large.
FS_DEVICE bool fs_stem_same_bytes(const fs_stem_params &p, int bytes) {
    const int *o = p.order;
    if (p.pixel != bytes || o[0] == o[1] || o[0] == o[2] || o[1] == o[2]) return false;
    return p.channels == 3 || (o[3] != o[0] && o[3] != o[1] && o[3] != o[2]);
}

// Bits of a half: the weight of channel n that meets byte `byte` of window row `row`, or zero where there is none.
template <int bytes> FS_DEVICE uint32_t fs_stem_weight(const fs_stem_params &p, bool same, int n, int row, int byte) {
    if (byte < 0) return 0;
    const int column = byte / bytes, b = byte % bytes;
    int c = -1;
#pragma unroll
    for (int i = 0; i < 4; i++)
        if (i < p.channels && (same ? p.order[i] : i) == b) c = i;
    if (row > 2 || column > 2 || c < 0) return 0;
    return __ldg(static_cast<const unsigned short *>(p.weights) + n * 48 + (row * 3 + column) * p.channels + c);
}

// The matrix B as fragments in shared memory, 8 words per lane and step, each built once per block. The pairs of K come
// in the order of `pair_of(slot)`; `lead` bytes of a window row's first pair lie before its first tap.
template <typename Layout, int threads, typename Order>
FS_DEVICE void fs_stem_fill_fragments(const fs_stem_params &p, bool same, int lead, const Order &pair_of,
                                      uint32_t *fragments) {
    for (int i = static_cast<int>(threadIdx.x); i < Layout::steps * 256; i += threads) {
        const int g = i % 128 / 16, t = i / 4 % 4, upper = i / 128 % 2, step = i / 256;
        const int tile = upper * 2 + i / 2 % 2, pair = pair_of(step * 8 + i % 2 * 4 + t);
        const int n = g / 2 * 8 + tile * 2 + g % 2;
        const int row = pair / Layout::pairs, byte = pair % Layout::pairs * 2 - lead;
        fragments[i] = fs_stem_weight<Layout::bytes>(p, same, n, row, byte) |
                       fs_stem_weight<Layout::bytes>(p, same, n, row, byte + 1) << 16;
    }
}

// This lane's pairs, as bytes from the start of a pixel's window. Pairs behind the last have weight zero and may read
// anything: the last pair again.
template <typename Layout, typename Order>
FS_DEVICE void fs_stem_offsets(int t, const Order &pair_of, int (&offset)[2 * Layout::steps]) {
#pragma unroll
    for (int i = 0; i < 2 * Layout::steps; i++) {
        int pair = pair_of(4 * i + t);
        if (pair >= 3 * Layout::pairs) pair = 3 * Layout::pairs - 1;
        offset[i] = pair / Layout::pairs * Layout::pitch * 4 + pair % Layout::pairs * 2;
    }
}

template <int steps>
FS_DEVICE void fs_stem_load_fragments(const uint32_t *fragments, int lane, uint32_t (&b)[steps][4][2]) {
#pragma unroll
    for (int step = 0; step < steps; step++)
#pragma unroll
        for (int pair = 0; pair < 2; pair++) {
            const uint4 v = reinterpret_cast<const uint4 *>(fragments)[(step * 2 + pair) * 32 + lane];
            b[step][2 * pair][0] = v.x, b[step][2 * pair][1] = v.y;
            b[step][2 * pair + 1][0] = v.z, b[step][2 * pair + 1][1] = v.w;
        }
}

// Four bytes from any address, read as the two aligned words that hold them.
FS_DEVICE uint32_t fs_load_word(const uint8_t *at) {
    const unsigned shift = static_cast<unsigned>(reinterpret_cast<uintptr_t>(at) & 3);
    const uint32_t *word = reinterpret_cast<const uint32_t *>(at - shift);
    return __byte_perm(__ldg(word), __ldg(word + 1), 0x3210 + 0x1111 * shift);
}

// Rows y0 .., pixels x0 .. of the frame into the tile; zeros outside the frame.
template <typename Layout, int rows, int threads>
FS_DEVICE void fs_stem_fill_tile(const fs_stem_params &p, bool same, int y0, int x0, uint32_t *tile) {
    constexpr int words = Layout::words, pixels = Layout::pixels, pitch = Layout::pitch, bytes = Layout::bytes;
    const int first = static_cast<int>(threadIdx.x);
    const uint8_t *corner = p.frame + y0 * p.stride + static_cast<long long>(x0) * p.pixel;
    const long long begin = static_cast<long long>(x0) * bytes, end = static_cast<long long>(p.w) * bytes;
    if (!same) {
        uint8_t *to = reinterpret_cast<uint8_t *>(tile);
        for (int i = first; i < rows * pixels; i += threads) {
            const int y = i / pixels, x = i % pixels;
            const bool inside = y0 + y >= 0 && y0 + y < p.h && x0 + x >= 0 && x0 + x < p.w;
            const uint8_t *at = corner + y * p.stride + x * p.pixel;
#pragma unroll
            for (int c = 0; c < bytes; c++)
                to[y * pitch * 4 + x * bytes + c] = inside ? __ldg(at + p.order[c]) : static_cast<uint8_t>(0);
        }
    } else if (y0 >= 0 && y0 + rows <= p.h && begin >= 3 && begin + 4 * words + 4 <= end) {
#pragma unroll 8
        for (int i = first; i < rows * words; i += threads) {
            const int y = i / words, x = i % words;
            tile[y * pitch + x] = fs_load_word(corner + y * p.stride + 4 * x);
        }
    } else {
        for (int i = first; i < rows * words; i += threads) {
            const int y = i / words, x = i % words;
            const uint8_t *at = corner + y * p.stride + 4 * x;
            const long long from = begin + 4 * x; // of this word, in the frame's row
            uint32_t word = 0;
            if (y0 + y >= 0 && y0 + y < p.h) {
                if (from >= 3 && from + 8 <= end) {
                    word = fs_load_word(at);
                } else {
#pragma unroll
                    for (int b = 0; b < 4; b++)
                        if (from + b >= 0 && from + b < end) word |= static_cast<uint32_t>(__ldg(at + b)) << (8 * b);
                }
            }
            tile[y * pitch + x] = word;
        }
    }
}

FS_DEVICE __half2 fs_as_half2(uint32_t bits) {
    return *reinterpret_cast<__half2 *>(&bits);
}

FS_DEVICE uint32_t fs_bits_of(__half2 pair) {
    return *reinterpret_cast<uint32_t *>(&pair);
}

// Two bytes as two halves.
FS_DEVICE uint32_t fs_to_halves(const uint8_t *pair) {
    const uint32_t biased = __byte_perm(*reinterpret_cast<const unsigned short *>(pair), 0x64646464u, 0x4140);
    return fs_bits_of(__hsub2(fs_as_half2(biased), fs_as_half2(0x64006400u))); // 1024 each
}

// 32 channels of 16 pixels: `near` and `far` are the windows of this lane's two pixels in the tile. The sums of a pixel
// are acc[.][0..1] and acc[.][2..3], 8 neighbouring channels in the order of the first index.
template <int steps>
FS_DEVICE void fs_stem_multiply(const uint8_t *near, const uint8_t *far, const int (&offset)[2 * steps],
                                const uint32_t (&b)[steps][4][2], float (&acc)[4][4]) {
#pragma unroll
    for (int step = 0; step < steps; step++) {
        const int low = offset[2 * step], high = offset[2 * step + 1];
        const uint32_t a[4] = {fs_to_halves(near + low), fs_to_halves(far + low), fs_to_halves(near + high),
                               fs_to_halves(far + high)};
#pragma unroll
        for (int n = 0; n < 4; n++) fs_mma_m16n8k16(acc[n], a, b[step][n]);
    }
}

// Which of the three window rows (columns) from `first` lie inside 0 .. size - 1, as a bit mask.
FS_DEVICE int fs_inside_mask(int first, int size) {
    return (first >= 0 && first < size ? 1 : 0) | (first >= -1 && first + 1 < size ? 2 : 0) |
           (first >= -2 && first + 2 < size ? 4 : 0);
}

FS_DEVICE void fs_stem_bias(const fs_stem_params &p, int ry, int rx, int n, float (&bias)[8]) {
    const float4 *at = reinterpret_cast<const float4 *>(p.bias + (ry * 8 + rx) * 32 + n);
    const float4 low = __ldg(at), high = __ldg(at + 1);
    bias[0] = low.x, bias[1] = low.y, bias[2] = low.z, bias[3] = low.w;
    bias[4] = high.x, bias[5] = high.y, bias[6] = high.z, bias[7] = high.w;
}

// Two floats as halves, after ReLU that keeps a NaN visible: where there is an instruction for it, of both at once.
FS_DEVICE uint32_t fs_relu_pair(float a, float b) {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 800
    return fs_bits_of(__hmax2_nan(__floats2half2_rn(a, b), fs_as_half2(0)));
#else
    return fs_bits_of(__floats2half2_rn(fs_relu(a), fs_relu(b)));
#endif
}

FS_DEVICE uint32_t fs_stem_finish(float a, float b, float scale, float bias_a, float bias_b) {
    return fs_relu_pair(fmaf(a, scale, bias_a), fmaf(b, scale, bias_b));
}

// One output pixel's 8 channels from registers `from`, `from + 1` of the four accumulators.
template <int from> FS_DEVICE uint4 fs_stem_piece(const float (&acc)[4][4], float scale, const float (&bias)[8]) {
    uint4 v;
    v.x = fs_stem_finish(acc[0][from], acc[0][from + 1], scale, bias[0], bias[1]);
    v.y = fs_stem_finish(acc[1][from], acc[1][from + 1], scale, bias[2], bias[3]);
    v.z = fs_stem_finish(acc[2][from], acc[2][from + 1], scale, bias[4], bias[5]);
    v.w = fs_stem_finish(acc[3][from], acc[3][from + 1], scale, bias[6], bias[7]);
    return v;
}

// Pixels of 4 bytes stay so in the tile when a model of 3 channels leaves one of them out.
static inline bool fs_stem_four_bytes(const fs_stem_params &p) {
    const int *o = p.order;
    return p.channels == 4 || (p.pixel == 4 && o[0] != o[1] && o[0] != o[2] && o[1] != o[2]);
}

#endif
