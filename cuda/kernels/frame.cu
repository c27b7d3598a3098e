// A frame in any format, pitch and size to packed u8 pixels at the network's size.
//
// The bytes are equal to the last bit to what a CPU makes of the same integers: the resize is that of
// host/image/resize.c, and YUV is converted in fixed point, pixel by pixel, rounded to u8 and only then resized.
//
// YUV. E' = Kr R + Kg G + Kb B with Kr, Kb = 0.299, 0.114 (ITU-R BT.601-7) or 0.2126, 0.0722 (ITU-R
// BT.709-6), Kg = 1 - Kr - Kb. Limited range holds 219 steps of luma from 16 and 224 of chroma around 128 (the
// same documents), full range 255 from 0 and 255 around 128 (ITU-T H.273). Solved for R, G, B on 0 .. 255:
//   R = s (Y - o)                          + 2 (1 - Kr) c         (V - 128)
//   G = s (Y - o) - 2 (1 - Kb) Kb / Kg c (U - 128) - 2 (1 - Kr) Kr / Kg c (V - 128)
//   B = s (Y - o) + 2 (1 - Kb) c (U - 128)
// with o = 16, s = 255 / 219, c = 255 / 224, or o = 0, s = c = 1. Each factor is rounded to 1/65536. A chroma sample
// lies in the middle of its 2x2 pixels, so along either axis a pixel is a quarter of a sample away from the nearest,
// and bilinear weights are 3/4 of it and 1/4 of the next one on the pixel's side (the border's own where there is
// none): U and V are sums of 16ths, kept whole. R = clamp((65536 s 16 (Y - o) + 65536 r (V16 - 2048) + 2^19) >> 20), at
// most 6e8 in between; the others likewise.
//
// A thread makes four pixels in a row, a block 512; the bytes meet in shared memory and leave 16 at a time. 1024x2048
// reads 6.3 MB (NV12: 3.1 MB) and writes 6.3 MB.
#include "cuda/kernels/device.cuh"
#include "cuda/kernels/ptx.cuh"

namespace {

enum format { rgb8 = 1, bgr8, rgba8, bgra8, gray8, nv12, i420, planar_f32 }; // fs_format of runtime/backend.h

constexpr int threads = 128, group = 4; // pixels per thread

// Bytes R, G, B, A from the lowest.
FS_DEVICE uint32_t pack(int r, int g, int b, int a) {
    return static_cast<uint32_t>(r) | static_cast<uint32_t>(g) << 8 | static_cast<uint32_t>(b) << 16 |
           static_cast<uint32_t>(a) << 24;
}

FS_DEVICE int byte_of(uint32_t pixel, int c) {
    return static_cast<int>(pixel >> (8 * c) & 255);
}

// A NaN is 0. The rounding is that of cpu/frame.c.
FS_DEVICE int unit_sample(const fs_frame_params &p, int c, int x, int y) {
    const float v = __ldg(reinterpret_cast<const float *>(p.plane[c] + y * p.stride[c]) + x);
    return v > 0.0f ? v < 1.0f ? static_cast<int>(__fadd_rn(__fmul_rn(255.0f, v), 0.5f)) : 255 : 0;
}

FS_DEVICE uint32_t packed_pixel(const fs_frame_params &p, int x, int y) {
    if (p.format == planar_f32)
        return pack(unit_sample(p, 0, x, y), unit_sample(p, 1, x, y), unit_sample(p, 2, x, y),
                    p.channels == 4 ? unit_sample(p, 3, x, y) : 255);
    const uint8_t *row = p.plane[0] + y * p.stride[0];
    if (p.format == gray8) return 0xff000000u | __ldg(row + x) * 0x010101u;
    const int bytes = p.format == rgb8 || p.format == bgr8 ? 3 : 4;
    const uint8_t *pixel = row + static_cast<long long>(x) * bytes;
    const int first = __ldg(pixel), g = __ldg(pixel + 1), last = __ldg(pixel + 2);
    const int a = bytes == 4 ? __ldg(pixel + 3) : 255;
    return p.format == rgb8 || p.format == rgba8 ? pack(first, g, last, a) : pack(last, g, first, a);
}

// 65536 times the factors above.
struct matrix {
    int luma, offset, red_v, green_u, green_v, blue_u;
};

FS_DEVICE matrix matrix_of(const fs_frame_params &p) {
    if (p.bt709)
        return p.full_range ? matrix{65536, 0, 103206, 12276, 30679, 121609}
                            : matrix{76309, 16, 117489, 13975, 34925, 138438};
    return p.full_range ? matrix{65536, 0, 91881, 22553, 46802, 116130}
                        : matrix{76309, 16, 104597, 25675, 53279, 132201};
}

// The other chroma sample of a pixel along one axis: a step towards the pixel's side, kept inside.
FS_DEVICE int next_chroma(int pixel, int size) {
    const int next = pixel / 2 + (pixel % 2 ? 1 : -1), last = (size - 1) / 2;
    return next < 0 ? 0 : next > last ? last : next;
}

FS_DEVICE int clamp_u8(int fixed) {
    const int v = (fixed + (1 << 19)) >> 20;
    return v < 0 ? 0 : v > 255 ? 255 : v;
}

FS_DEVICE uint32_t yuv_pixel(const fs_frame_params &p, const matrix &m, int x, int y) {
    const bool pairs = p.format == nv12;
    const int step = pairs ? 2 : 1;
    const long long near_x = static_cast<long long>(x / 2) * step;
    const long long far_x = static_cast<long long>(next_chroma(x, p.width)) * step;
    const int near_y = y / 2, far_y = next_chroma(y, p.height);
    const uint8_t *u = p.plane[1], *v = pairs ? p.plane[1] + 1 : p.plane[2];
    const long long stride_v = pairs ? p.stride[1] : p.stride[2];
    const uint8_t *u_near = u + near_y * p.stride[1], *u_far = u + far_y * p.stride[1];
    const uint8_t *v_near = v + near_y * stride_v, *v_far = v + far_y * stride_v;
    const int u16 = 9 * __ldg(u_near + near_x) + 3 * (__ldg(u_near + far_x) + __ldg(u_far + near_x)) +
                    __ldg(u_far + far_x) - 16 * 128;
    const int v16 = 9 * __ldg(v_near + near_x) + 3 * (__ldg(v_near + far_x) + __ldg(v_far + near_x)) +
                    __ldg(v_far + far_x) - 16 * 128;
    const int luma = (__ldg(p.plane[0] + y * p.stride[0] + x) - m.offset) * 16 * m.luma;
    return pack(clamp_u8(luma + m.red_v * v16), clamp_u8(luma - m.green_u * u16 - m.green_v * v16),
                clamp_u8(luma + m.blue_u * u16), 255);
}

template <bool yuv> FS_DEVICE uint32_t pixel_at(const fs_frame_params &p, const matrix &m, int x, int y) {
    if constexpr (yuv)
        return yuv_pixel(p, m, x, y);
    else
        return packed_pixel(p, x, y);
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
    const matrix m = matrix_of(p);

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
                    pixel[i] = blend(pixel_at<yuv>(p, m, column.first, row.first),
                                     pixel_at<yuv>(p, m, column.second, row.first),
                                     pixel_at<yuv>(p, m, column.first, row.second),
                                     pixel_at<yuv>(p, m, column.second, row.second), column.weight, row.weight);
                } else {
                    pixel[i] = pixel_at<yuv>(p, m, x, y);
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
    const bool yuv = p->format == nv12 || p->format == i420;
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
