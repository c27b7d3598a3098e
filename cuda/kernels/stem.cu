// The first convolution: 3x3, stride 2, from u8 pixels as the camera gives them to 32 channels, with bias and ReLU.
//
// At 1024x2048 it reads 6.3 MB and writes 33.6 MB for 0.9 GFLOP (2 x 27 x 32 x 524288), so it is bound by memory: the
// arithmetic only has to stay out of the way. A normalised or half-precision copy of the frame never exists.
//
// F16. A block makes 8 (or 4) rows of 64 output pixels. Its u8 window goes into shared memory as it is, shifted so that
// every row starts on a word (two aligned loads and a byte permutation per word); stem.cuh says how it meets the
// weights, which sit in registers. A quad stores 64 bytes of a pixel, a warp 512 in a row, without a detour.
// Where the frame's pixels are not `channels` bytes (gray, or repeated bytes), the tile is filled byte by byte.
//
// Taps outside the frame are bytes 0 in the tile; the bias of a pixel depends on which taps are inside. Only tiles at a
// border look at that.
#include "cuda/kernels/stem.cuh"

namespace {

constexpr int threads = 128, columns = 64; // output pixels in a row of a tile

// From row to row, so that the quads of a fragment load, which reads two rows, meet in no bank: 16 banks apart where 13
// neighbouring words are read, an odd number where every second word is.
template <int bytes> using layout = fs_stem_layout<bytes, columns, bytes == 3 ? 112 : 129>;

// The order of the pairs in K: as they come.
FS_DEVICE int pair_of(int slot) {
    return slot;
}

template <int bytes, int tile_rows> FS_KERNEL(threads, bytes == 3 ? 8 : 6) stem_f16(const FS_PARAM fs_stem_params p) {
    fs_dependency_wait();
    fs_dependency_release();
    using shape = layout<bytes>;
    constexpr int rows = 2 * tile_rows + 1, steps = shape::steps, step_bytes = shape::step_bytes;
    FS_SHARED(uint32_t, tile, [rows * shape::pitch]);
    FS_SHARED(uint32_t, fragments, [steps * 256]);

    const int out_y = static_cast<int>(blockIdx.y) * tile_rows, out_x = static_cast<int>(blockIdx.x) * columns;
    const int y0 = 2 * out_y - p.pad_top, x0 = 2 * out_x - p.pad_left;
    const bool same = fs_stem_same_bytes(p, bytes);
    fs_stem_fill_tile<shape, rows, threads>(p, same, y0, x0, tile);
    const auto order = [](int slot) { return pair_of(slot); };
    fs_stem_fill_fragments<shape, threads>(p, same, 0, order, fragments);

    const int lane = static_cast<int>(threadIdx.x) % 32, warp = static_cast<int>(threadIdx.x) / 32;
    const int g = lane / 4, t = lane % 4;
    // Every tap of every pixel of this tile is inside the frame: one bias for all.
    const bool interior = y0 >= 0 && y0 + rows <= p.h && x0 >= 0 && x0 + 2 * columns + 1 <= p.w;
    float bias[8];
    fs_stem_bias(p, 7, 7, 8 * t, bias);
    int offset[2 * steps];
    fs_stem_offsets<shape>(t, order, offset);
    __syncthreads();

    uint32_t b[steps][4][2];
    fs_stem_load_fragments(fragments, lane, b);

    const uint8_t *window = reinterpret_cast<const uint8_t *>(tile) + g * step_bytes;
    for (int row = warp; row < tile_rows && out_y + row < p.out.h; row += threads / 32) {
        const int y = out_y + row;
        __half *out =
            static_cast<__half *>(p.out.data) + (static_cast<long long>(y) * p.out.w + out_x) * p.out.pitch + 8 * t;
        const uint8_t *from = window + row * 2 * shape::pitch * 4;
#pragma unroll 1
        for (int part = 0; part < columns / 16; part++) {
            float acc[4][4] = {};
            const uint8_t *at = from + part * 16 * step_bytes;
            fs_stem_multiply<steps>(at, at + 8 * step_bytes, offset, b, acc);
            const int near = part * 16 + g, far = near + 8, ry = fs_inside_mask(y0 + 2 * row, p.h);
            if (out_x + near < p.out.w) {
                if (!interior) fs_stem_bias(p, ry, fs_inside_mask(x0 + 2 * near, p.w), 8 * t, bias);
                *reinterpret_cast<uint4 *>(out + static_cast<long long>(near) * p.out.pitch) =
                    fs_stem_piece<0>(acc, p.scale, bias);
            }
            if (out_x + far < p.out.w) {
                if (!interior) fs_stem_bias(p, ry, fs_inside_mask(x0 + 2 * far, p.w), 8 * t, bias);
                *reinterpret_cast<uint4 *>(out + static_cast<long long>(far) * p.out.pitch) =
                    fs_stem_piece<2>(acc, p.scale, bias);
            }
        }
    }
}

constexpr int f32_threads = 256, f32_pixels = 64; // per block

// A lane a channel, a warp a pixel after the other; weights [k][32] in shared memory. To check the other by.
FS_KERNEL(f32_threads, 4) stem_f32(const FS_PARAM fs_stem_params p) {
    fs_dependency_wait();
    fs_dependency_release();
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
        const float bias = __ldg(p.bias + (fs_inside_mask(y, p.h) * 8 + fs_inside_mask(x, p.w)) * 32 + n);
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
    const bool four = fs_stem_four_bytes(*p);
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
