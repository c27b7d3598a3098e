// A frame in any format, pitch and size to packed u8 pixels at the network's size.
//
// The bytes are equal to the last bit to what a CPU makes of the same integers: the resize is that of
// host/image/resize.c, and YUV is converted in fixed point, pixel by pixel, rounded to u8 and only then resized.
//
// A thread makes four pixels in a row, a block 512; the bytes meet in shared memory and leave 16 at a time. 1024x2048
// reads 6.3 MB (NV12: 3.1 MB) and writes 6.3 MB.
#include "cuda/kernels/pixels.cuh"
#include "cuda/kernels/ptx.cuh"

namespace {

constexpr int threads = 128, group = 4; // pixels per thread

FS_DEVICE int byte_of(uint32_t pixel, int c) {
    return static_cast<int>(pixel >> (8 * c) & 255);
}

// Where an output sample lies between two input samples: weight of the second in 1/2048.
struct tap {
    int first, second, weight;
};

// tap_at of host/image/resize.c. 32 bits hold its products: 2 in out < 2^32 for every frame (65536) and network
// (16384).
FS_DEVICE tap tap_at(int i, int in, int out) {
    const unsigned reach = static_cast<unsigned>(out), step = 2 * reach;
    const unsigned centre = (2 * static_cast<unsigned>(i) + 1) * static_cast<unsigned>(in);
    const unsigned twice = centre < reach ? 0 : centre - reach, first = twice / step;
    if (first + 1 >= static_cast<unsigned>(in)) return tap{in - 1, in - 1, 0};
    return tap{static_cast<int>(first), static_cast<int>(first) + 1,
               static_cast<int>(((twice - first * step) * 2048 + reach) / step)};
}

// Four pixels between two rows and two columns, as resize_row of host/image/resize.c.
FS_DEVICE uint32_t blend(uint32_t left_top, uint32_t right_top, uint32_t left_bottom, uint32_t right_bottom, int along,
                         int down) {
    uint32_t pixel = 0;
#pragma unroll
    for (int c = 0; c < 4; c++) {
        const int above = byte_of(left_top, c) * (2048 - along) + byte_of(right_top, c) * along;
        const int below = byte_of(left_bottom, c) * (2048 - along) + byte_of(right_bottom, c) * along;
        pixel |= static_cast<uint32_t>((above * (2048 - down) + below * down + (1 << 21)) >> 22) << (8 * c);
    }
    return pixel;
}

template <bool yuv, bool resized> FS_KERNEL(threads, yuv &&resized ? 6 : 8) frame(const FS_PARAM fs_frame_params p) {
    fs_dependency_wait();
    fs_dependency_release();
    FS_SHARED(uint32_t, packed, [threads * group]);
    const long long first = static_cast<long long>(blockIdx.x) * (threads * group),
                    total = static_cast<long long>(p.out_h) * p.out_w;
    const int lane = static_cast<int>(threadIdx.x);
    const fs_yuv_matrix m = fs_yuv_matrix_of(p);

    uint32_t pixel[group] = {};
    const long long mine = first + lane * group;
    if (mine < total) {
        // As many pixels as 32 bits count.
        int y = static_cast<int>(static_cast<unsigned>(mine) / static_cast<unsigned>(p.out_w));
        int x = static_cast<int>(mine - static_cast<long long>(y) * p.out_w);
        tap row = {};
        if constexpr (resized) row = tap_at(y, p.height, p.out_h);
#pragma unroll
        for (int i = 0; i < group; i++) {
            if (mine + i < total) {
                if constexpr (resized) {
                    const tap column = tap_at(x, p.width, p.out_w);
                    pixel[i] = blend(fs_pixel_at<yuv>(p, m, column.first, row.first),
                                     fs_pixel_at<yuv>(p, m, column.second, row.first),
                                     fs_pixel_at<yuv>(p, m, column.first, row.second),
                                     fs_pixel_at<yuv>(p, m, column.second, row.second), column.weight, row.weight);
                } else {
                    pixel[i] = fs_pixel_at<yuv>(p, m, x, y);
                }
                if (++x == p.out_w) {
                    x = 0, y++;
                    if constexpr (resized) row = tap_at(y, p.height, p.out_h);
                }
            }
        }
    }

    // Four pixels of three bytes are three words: r0 g0 b0 r1, g1 b1 r2 g2, b2 r3 g3 b3.
    if (p.channels == 3) {
        packed[3 * lane] = __byte_perm(pixel[0], pixel[1], 0x4210);
        packed[3 * lane + 1] = __byte_perm(pixel[1], pixel[2], 0x5421);
        packed[3 * lane + 2] = __byte_perm(pixel[2], pixel[3], 0x6542);
    } else {
        *reinterpret_cast<uint4 *>(packed + 4 * lane) = make_uint4(pixel[0], pixel[1], pixel[2], pixel[3]);
    }
    __syncthreads();

    uint8_t *out = p.out + first * p.channels;
    const int count = static_cast<int>(total - first < threads * group ? total - first : threads * group);
    const int bytes = count * p.channels;
    const int wide = reinterpret_cast<uintptr_t>(out) % 16 == 0 ? bytes / 16 : 0;
    if (lane < wide) reinterpret_cast<uint4 *>(out)[lane] = reinterpret_cast<const uint4 *>(packed)[lane];
    for (int i = wide * 16 + lane; i < bytes; i += threads) out[i] = reinterpret_cast<const uint8_t *>(packed)[i];
}

template <bool yuv, bool resized> void fill(const fs_frame_params *p, const char *name, fs_launch *launch) {
    fs_launch_fill(launch, FS_ENTRY((frame<yuv, resized>)), name,
                   fs_blocks(static_cast<long long>(p->out_h) * p->out_w, threads * group), 1, 1, threads, 0, *p);
}

} // namespace

bool fs_launch_frame(const fs_frame_params *p, int sm, int variant, fs_launch *launch) {
    (void)sm;
    if (variant != 0) return false;
    // Beyond any frame and network that host/ accepts: positions of more than 32 bits.
    const long long most = 1LL << 31, out_w = p->out_w, out_h = p->out_h;
    if (out_w * p->width >= most || out_h * p->height >= most || out_w * out_h > most || out_w > 65536 || out_h > 65536)
        return false;
    const bool yuv = p->format == FS_K_NV12 || p->format == FS_K_I420;
    const bool resized = p->width != p->out_w || p->height != p->out_h;
    if (yuv && resized)
        fill<true, true>(p, "frame yuv resized", launch);
    else if (yuv)
        fill<true, false>(p, "frame yuv", launch);
    else if (resized)
        fill<false, true>(p, "frame packed resized", launch);
    else
        fill<false, false>(p, "frame packed", launch);
    return true;
}
