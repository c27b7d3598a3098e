// The first convolution: 3x3, stride 2, from u8 pixels as the camera gives them to 32 channels, with bias and ReLU.
//
// At 1024x2048 it reads 6.3 MB and writes 33.6 MB for 0.9 GFLOP (2 x 27 x 32 x 524288), so it is bound by memory: the
// arithmetic only has to stay out of the way. A normalised or half-precision copy of the frame never exists.
//
// F16. A block makes 8 (or 4) rows of 64 output pixels. Its u8 window goes into shared memory as it is, shifted so that
// every row starts on a word (two aligned loads and a byte permutation per word). The matrix product is pixels (M) by
// channels (N) by taps (K). The bytes that one window row covers lie together, 9 of them for 3 bytes a pixel, and a
// window starts at an even byte (6 per output pixel), so K runs over byte pairs: 5 pairs per window row with a zero
// weight for the tenth byte, 15 pairs of 16, two k16 steps. With 4 bytes a pixel it is 6 pairs, 18 of 24, three steps.
// A pair becomes two halves by one permutation (0x64uu is 1024 + u) and one exact subtraction. Channel order and unused
// bytes live in the order of the weights, which sit in registers. N is permuted so that a lane's accumulators are 8
// neighbouring channels: a quad stores 64 bytes of a pixel, a warp 512 in a row, without a detour.
// Where the frame's pixels are not `channels` bytes (gray, or repeated bytes), the tile is filled byte by byte.
//
// Taps outside the frame are bytes 0 in the tile; the bias of a pixel depends on which taps are inside. Only tiles at a
// border look at that.
#include "cuda/kernels/ptx.cuh"

namespace {

constexpr int threads = 128, columns = 64; // output pixels in a row of a tile

// How the tile lies in shared memory, for `bytes` per pixel.
template <int bytes> struct layout {
    static constexpr int pairs = bytes == 3 ? 5 : 6;                  // per window row
    static constexpr int steps = bytes == 3 ? 2 : 3;                  // k16 each
    static constexpr int pixels = 2 * columns + (bytes == 3 ? 2 : 1); // that the reads of a row touch
    static constexpr int words = bytes == 3 ? 97 : 129;               // that the reads of a row touch
    // From row to row, so that the quads of a fragment load, which reads two rows, meet in no bank: 16 banks apart
    // where 13 neighbouring words are read, an odd number where every second word is.
    static constexpr int pitch = bytes == 3 ? 112 : 129;
};

// The frame's bytes are the tile's bytes: every channel has a byte of its own, and pixels are as large.
FS_DEVICE bool same_bytes(const fs_stem_params &p, int bytes) {
    const int *o = p.order;
    if (p.pixel != bytes || o[0] == o[1] || o[0] == o[2] || o[1] == o[2]) return false;
    return p.channels == 3 || (o[3] != o[0] && o[3] != o[1] && o[3] != o[2]);
}

// Bits of a half: the weight of channel n that meets byte `byte` of window row `row`, or zero where there is none.
template <int bytes> FS_DEVICE uint32_t weight_bits(const fs_stem_params &p, bool same, int n, int row, int byte) {
    const int column = byte / bytes, b = byte % bytes;
    int c = -1;
#pragma unroll
    for (int i = 0; i < 4; i++)
        if (i < p.channels && (same ? p.order[i] : i) == b) c = i;
    if (row > 2 || column > 2 || c < 0) return 0;
    return __ldg(static_cast<const unsigned short *>(p.weights) + n * 48 + (row * 3 + column) * p.channels + c);
}

// The matrix B as fragments in shared memory, 8 words per lane and step, each built once per block.
template <int bytes> FS_DEVICE void fill_fragments(const fs_stem_params &p, bool same, uint32_t *fragments) {
    for (int i = static_cast<int>(threadIdx.x); i < layout<bytes>::steps * 256; i += threads) {
        const int g = i % 128 / 16, t = i / 4 % 4, half = i / 128 % 2, step = i / 256;
        const int tile = half * 2 + i / 2 % 2, pair = step * 8 + i % 2 * 4 + t;
        const int n = g / 2 * 8 + tile * 2 + g % 2;
        const int row = pair / layout<bytes>::pairs, byte = pair % layout<bytes>::pairs * 2;
        fragments[i] = weight_bits<bytes>(p, same, n, row, byte) | weight_bits<bytes>(p, same, n, row, byte + 1) << 16;
    }
}

// Four bytes from any address, read as the two aligned words that hold them.
FS_DEVICE uint32_t load_word(const uint8_t *at) {
    const unsigned shift = static_cast<unsigned>(reinterpret_cast<uintptr_t>(at) & 3);
    const uint32_t *word = reinterpret_cast<const uint32_t *>(at - shift);
    return __byte_perm(__ldg(word), __ldg(word + 1), 0x3210 + 0x1111 * shift);
}

// Rows y0 .., pixels x0 .. of the frame into the tile; zeros outside the frame.
template <int bytes, int rows>
FS_DEVICE void fill_tile(const fs_stem_params &p, bool same, int y0, int x0, uint32_t *tile) {
    constexpr int words = layout<bytes>::words, pixels = layout<bytes>::pixels, pitch = layout<bytes>::pitch;
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
            tile[y * pitch + x] = load_word(corner + y * p.stride + 4 * x);
        }
    } else {
        for (int i = first; i < rows * words; i += threads) {
            const int y = i / words, x = i % words;
            const uint8_t *at = corner + y * p.stride + 4 * x;
            const long long from = begin + 4 * x; // of this word, in the frame's row
            uint32_t word = 0;
            if (y0 + y >= 0 && y0 + y < p.h) {
                if (from >= 3 && from + 8 <= end) {
                    word = load_word(at);
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

FS_DEVICE __half2 as_half2(uint32_t bits) {
    return *reinterpret_cast<__half2 *>(&bits);
}

FS_DEVICE uint32_t bits_of(__half2 pair) {
    return *reinterpret_cast<uint32_t *>(&pair);
}

// Two bytes as two halves.
FS_DEVICE uint32_t to_halves(const uint8_t *pair) {
    const uint32_t biased = __byte_perm(*reinterpret_cast<const unsigned short *>(pair), 0x64646464u, 0x4140);
    return bits_of(__hsub2(as_half2(biased), as_half2(0x64006400u))); // 1024 each
}

// Which of the three window rows (columns) from `first` lie inside 0 .. size - 1, as a bit mask.
FS_DEVICE int inside_mask(int first, int size) {
    return (first >= 0 && first < size ? 1 : 0) | (first >= -1 && first + 1 < size ? 2 : 0) |
           (first >= -2 && first + 2 < size ? 4 : 0);
}

FS_DEVICE void load_bias(const fs_stem_params &p, int ry, int rx, int n, float bias[8]) {
    const float4 *at = reinterpret_cast<const float4 *>(p.bias + (ry * 8 + rx) * 32 + n);
    const float4 low = __ldg(at), high = __ldg(at + 1);
    bias[0] = low.x, bias[1] = low.y, bias[2] = low.z, bias[3] = low.w;
    bias[4] = high.x, bias[5] = high.y, bias[6] = high.z, bias[7] = high.w;
}

FS_DEVICE uint32_t finish(float a, float b, float scale, float bias_a, float bias_b) {
    return bits_of(__floats2half2_rn(fs_relu(fmaf(a, scale, bias_a)), fs_relu(fmaf(b, scale, bias_b))));
}

// One output pixel's 8 channels from registers `from`, `from + 1` of the four accumulators.
template <int from> FS_DEVICE void store(__half *to, const float acc[4][4], float scale, const float bias[8]) {
    uint4 v;
    v.x = finish(acc[0][from], acc[0][from + 1], scale, bias[0], bias[1]);
    v.y = finish(acc[1][from], acc[1][from + 1], scale, bias[2], bias[3]);
    v.z = finish(acc[2][from], acc[2][from + 1], scale, bias[4], bias[5]);
    v.w = finish(acc[3][from], acc[3][from + 1], scale, bias[6], bias[7]);
    *reinterpret_cast<uint4 *>(to) = v;
}

template <int bytes, int tile_rows> FS_KERNEL(threads, bytes == 3 ? 8 : 6) stem_f16(const FS_PARAM fs_stem_params p) {
    using shape = layout<bytes>;
    constexpr int rows = 2 * tile_rows + 1, steps = shape::steps, step_bytes = 2 * bytes;
    FS_SHARED(uint32_t, tile, [rows * shape::pitch]);
    FS_SHARED(uint32_t, fragments, [steps * 256]);

    const int out_y = static_cast<int>(blockIdx.y) * tile_rows, out_x = static_cast<int>(blockIdx.x) * columns;
    const int y0 = 2 * out_y - p.pad_top, x0 = 2 * out_x - p.pad_left;
    const bool same = same_bytes(p, bytes);
    fill_tile<bytes, rows>(p, same, y0, x0, tile);
    fill_fragments<bytes>(p, same, fragments);

    const int lane = static_cast<int>(threadIdx.x) % 32, warp = static_cast<int>(threadIdx.x) / 32;
    const int g = lane / 4, t = lane % 4;
    // Every tap of every pixel of this tile is inside the frame: one bias for all.
    const bool interior = y0 >= 0 && y0 + rows <= p.h && x0 >= 0 && x0 + 2 * columns + 1 <= p.w;
    float bias[8];
    load_bias(p, 7, 7, 8 * t, bias);

    // This lane's pairs, as bytes from the start of a pixel's window. Pairs behind the last have weight zero and may
    // read anything: the last pair again.
    int offset[2 * steps];
#pragma unroll
    for (int i = 0; i < 2 * steps; i++) {
        int pair = 4 * i + t;
        if (pair >= 3 * shape::pairs) pair = 3 * shape::pairs - 1;
        offset[i] = pair / shape::pairs * shape::pitch * 4 + pair % shape::pairs * 2;
    }
    __syncthreads();

    uint32_t b[steps][4][2];
#pragma unroll
    for (int step = 0; step < steps; step++)
#pragma unroll
        for (int half = 0; half < 2; half++) {
            const uint4 v = reinterpret_cast<const uint4 *>(fragments)[(step * 2 + half) * 32 + lane];
            b[step][2 * half][0] = v.x, b[step][2 * half][1] = v.y;
            b[step][2 * half + 1][0] = v.z, b[step][2 * half + 1][1] = v.w;
        }

    const uint8_t *window = reinterpret_cast<const uint8_t *>(tile) + g * step_bytes;
    for (int row = warp; row < tile_rows && out_y + row < p.out.h; row += threads / 32) {
        const int y = out_y + row;
        __half *out =
            static_cast<__half *>(p.out.data) + (static_cast<long long>(y) * p.out.w + out_x) * p.out.pitch + 8 * t;
        const uint8_t *from = window + row * 2 * shape::pitch * 4;
#pragma unroll 1
        for (int part = 0; part < columns / 16; part++) {
            float acc[4][4] = {};
#pragma unroll
            for (int step = 0; step < steps; step++) {
                const uint8_t *low = from + part * 16 * step_bytes + offset[2 * step];
                const uint8_t *high = from + part * 16 * step_bytes + offset[2 * step + 1];
                const uint32_t a[4] = {to_halves(low), to_halves(low + 8 * step_bytes), to_halves(high),
                                       to_halves(high + 8 * step_bytes)};
#pragma unroll
                for (int n = 0; n < 4; n++) fs_mma_m16n8k16(acc[n], a, b[step][n]);
            }
            const int near = part * 16 + g, far = near + 8, ry = inside_mask(y0 + 2 * row, p.h);
            if (out_x + near < p.out.w) {
                if (!interior) load_bias(p, ry, inside_mask(x0 + 2 * near, p.w), 8 * t, bias);
                store<0>(out + static_cast<long long>(near) * p.out.pitch, acc, p.scale, bias);
            }
            if (out_x + far < p.out.w) {
                if (!interior) load_bias(p, ry, inside_mask(x0 + 2 * far, p.w), 8 * t, bias);
                store<2>(out + static_cast<long long>(far) * p.out.pitch, acc, p.scale, bias);
            }
        }
    }
}

constexpr int f32_threads = 256, f32_pixels = 64; // per block

// A lane a channel, a warp a pixel after the other; weights [k][32] in shared memory. To check the other by.
FS_KERNEL(f32_threads, 4) stem_f32(const FS_PARAM fs_stem_params p) {
    FS_SHARED(float, weights, [36 * 32]);
    const int n = static_cast<int>(threadIdx.x) % 32, warp = static_cast<int>(threadIdx.x) / 32;
    for (int k = warp; k < 9 * p.channels; k += f32_threads / 32)
        weights[k * 32 + n] = __ldg(static_cast<const float *>(p.weights) + n * 48 + k);
    __syncthreads();
    const long long pixels = static_cast<long long>(p.out.h) * p.out.w;
    const long long first = static_cast<long long>(blockIdx.x) * f32_pixels;
    for (int i = warp; i < f32_pixels && first + i < pixels; i += f32_threads / 32) {
        const int y = static_cast<int>((first + i) / p.out.w) * 2 - p.pad_top;
        const int x = static_cast<int>((first + i) % p.out.w) * 2 - p.pad_left;
        float sum = 0;
        for (int tap = 0; tap < 9; tap++) {
            const int iy = y + tap / 3, ix = x + tap % 3;
            if (iy < 0 || iy >= p.h || ix < 0 || ix >= p.w) continue;
            const uint8_t *pixel = p.frame + iy * p.stride + static_cast<long long>(ix) * p.pixel;
#pragma unroll
            for (int c = 0; c < 4; c++)
                if (c < p.channels)
                    sum = fmaf(static_cast<float>(__ldg(pixel + p.order[c])), weights[(tap * p.channels + c) * 32 + n],
                               sum);
        }
        const float bias = __ldg(p.bias + (inside_mask(y, p.h) * 8 + inside_mask(x, p.w)) * 32 + n);
        static_cast<float *>(p.out.data)[(first + i) * p.out.pitch + n] = fs_relu(fmaf(sum, p.scale, bias));
    }
}

template <int bytes, int tile_rows> void fill_f16(const fs_stem_params *p, const char *name, fs_launch *launch) {
    fs_launch_fill(launch, FS_ENTRY((stem_f16<bytes, tile_rows>)), name, fs_blocks(p->out.w, columns),
                   fs_blocks(p->out.h, tile_rows), 1, threads, 0, *p);
}

} // namespace

// F16 variants: 0, tiles of 8 rows; 1, of 4: more blocks where the map is small.
bool fs_launch_stem(const fs_stem_params *p, fs_k_type type, int sm, int variant, fs_launch *launch) {
    (void)sm;
    if (variant < 0 || variant > (type == FS_K_F16 ? 1 : 0)) return false;
    if (type == FS_K_F32) {
        fs_launch_fill(launch, FS_ENTRY((stem_f32)), "stem f32",
                       fs_blocks(static_cast<long long>(p->out.h) * p->out.w, f32_pixels), 1, 1, f32_threads, 0, *p);
        return true;
    }
    // Pixels of 4 bytes stay so in the tile when a model of 3 channels leaves one of them out.
    const int *o = p->order;
    const bool four = p->channels == 4 || (p->pixel == 4 && o[0] != o[1] && o[0] != o[2] && o[1] != o[2]);
    if (four && variant == 0)
        fill_f16<4, 8>(p, "stem f16 4 bytes 8x64", launch);
    else if (four)
        fill_f16<4, 4>(p, "stem f16 4 bytes 4x64", launch);
    else if (variant == 0)
        fill_f16<3, 8>(p, "stem f16 8x64", launch);
    else
        fill_f16<3, 4>(p, "stem f16 4x64", launch);
    return true;
}
