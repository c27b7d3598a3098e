// One pixel of a frame in any format as R, G, B, A bytes, for the kernels that read frames.
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
#ifndef FS_CUDA_KERNELS_PIXELS_CUH
#define FS_CUDA_KERNELS_PIXELS_CUH

#include "cuda/kernels/device.cuh"

// fs_format of runtime/backend.h.
enum fs_k_format {
    FS_K_RGB8 = 1,
    FS_K_BGR8,
    FS_K_RGBA8,
    FS_K_BGRA8,
    FS_K_GRAY8,
    FS_K_NV12,
    FS_K_I420,
    FS_K_PLANAR_F32
};

// Bytes R, G, B, A from the lowest.
FS_DEVICE uint32_t fs_pack_rgba(int r, int g, int b, int a) {
    return static_cast<uint32_t>(r) | static_cast<uint32_t>(g) << 8 | static_cast<uint32_t>(b) << 16 |
           static_cast<uint32_t>(a) << 24;
}

// A NaN is 0. The rounding is that of cpu/frame.c.
FS_DEVICE int fs_unit_sample(const fs_frame_params &p, int c, int x, int y) {
    const float v = __ldg(reinterpret_cast<const float *>(p.plane[c] + y * p.stride[c]) + x);
    return v > 0.0f ? v < 1.0f ? static_cast<int>(__fadd_rn(__fmul_rn(255.0f, v), 0.5f)) : 255 : 0;
}

FS_DEVICE uint32_t fs_packed_pixel(const fs_frame_params &p, int x, int y) {
    if (p.format == FS_K_PLANAR_F32)
        return fs_pack_rgba(fs_unit_sample(p, 0, x, y), fs_unit_sample(p, 1, x, y), fs_unit_sample(p, 2, x, y),
                            p.channels == 4 ? fs_unit_sample(p, 3, x, y) : 255);
    const uint8_t *row = p.plane[0] + y * p.stride[0];
    if (p.format == FS_K_GRAY8) return 0xff000000u | __ldg(row + x) * 0x010101u;
    const int bytes = p.format == FS_K_RGB8 || p.format == FS_K_BGR8 ? 3 : 4;
    const uint8_t *pixel = row + static_cast<long long>(x) * bytes;
    const int first = __ldg(pixel), g = __ldg(pixel + 1), last = __ldg(pixel + 2);
    const int a = bytes == 4 ? __ldg(pixel + 3) : 255;
    return p.format == FS_K_RGB8 || p.format == FS_K_RGBA8 ? fs_pack_rgba(first, g, last, a)
                                                           : fs_pack_rgba(last, g, first, a);
}

// 65536 times the factors above.
struct fs_yuv_matrix {
    int luma, offset, red_v, green_u, green_v, blue_u;
};

FS_DEVICE fs_yuv_matrix fs_yuv_matrix_of(const fs_frame_params &p) {
    if (p.bt709)
        return p.full_range ? fs_yuv_matrix{65536, 0, 103206, 12276, 30679, 121609}
                            : fs_yuv_matrix{76309, 16, 117489, 13975, 34925, 138438};
    return p.full_range ? fs_yuv_matrix{65536, 0, 91881, 22553, 46802, 116130}
                        : fs_yuv_matrix{76309, 16, 104597, 25675, 53279, 132201};
}

// The other chroma sample of a pixel along one axis: a step towards the pixel's side, kept inside.
FS_DEVICE int fs_next_chroma(int pixel, int size) {
    const int next = pixel / 2 + (pixel % 2 ? 1 : -1), last = (size - 1) / 2;
    return next < 0 ? 0 : next > last ? last : next;
}

FS_DEVICE int fs_from_fixed(int fixed) {
    const int v = (fixed + (1 << 19)) >> 20;
    return v < 0 ? 0 : v > 255 ? 255 : v;
}

// From a luma sample and 16 times the chroma around 128.
FS_DEVICE uint32_t fs_yuv_color(const fs_yuv_matrix &m, int luma, int u16, int v16) {
    const int bright = (luma - m.offset) * 16 * m.luma;
    return fs_pack_rgba(fs_from_fixed(bright + m.red_v * v16),
                        fs_from_fixed(bright - m.green_u * u16 - m.green_v * v16),
                        fs_from_fixed(bright + m.blue_u * u16), 255);
}

FS_DEVICE uint32_t fs_yuv_pixel(const fs_frame_params &p, const fs_yuv_matrix &m, int x, int y) {
    const bool pairs = p.format == FS_K_NV12;
    const int step = pairs ? 2 : 1;
    const long long near_x = static_cast<long long>(x / 2) * step;
    const long long far_x = static_cast<long long>(fs_next_chroma(x, p.width)) * step;
    const int near_y = y / 2, far_y = fs_next_chroma(y, p.height);
    const uint8_t *u = p.plane[1], *v = pairs ? p.plane[1] + 1 : p.plane[2];
    const long long stride_v = pairs ? p.stride[1] : p.stride[2];
    const uint8_t *u_near = u + near_y * p.stride[1], *u_far = u + far_y * p.stride[1];
    const uint8_t *v_near = v + near_y * stride_v, *v_far = v + far_y * stride_v;
    const int u16 = 9 * __ldg(u_near + near_x) + 3 * (__ldg(u_near + far_x) + __ldg(u_far + near_x)) +
                    __ldg(u_far + far_x) - 16 * 128;
    const int v16 = 9 * __ldg(v_near + near_x) + 3 * (__ldg(v_near + far_x) + __ldg(v_far + near_x)) +
                    __ldg(v_far + far_x) - 16 * 128;
    return fs_yuv_color(m, __ldg(p.plane[0] + y * p.stride[0] + x), u16, v16);
}

template <bool yuv> FS_DEVICE uint32_t fs_pixel_at(const fs_frame_params &p, const fs_yuv_matrix &m, int x, int y) {
    if constexpr (yuv)
        return fs_yuv_pixel(p, m, x, y);
    else
        return fs_packed_pixel(p, x, y);
}

#endif
