// The frame in RGB with the colours of its classes mixed in, borders at half brightness, as RGBA.
//
// A thread goes down four rows of four pixels, so that a row's classes are read once for itself and for the row above
// it; a warp reads and writes 128 pixels in a row. Four classes and the picture's bytes come in whole words where they
// lie so, and 16 bytes leave at a time. Colours are multiplied by their share once a block, in shared memory, and the
// products of R and B share a word: 255 * 256 + 128 needs 16 bits. Bound by memory: 1024x2048 reads 2.1 MB of classes
// and 6.3 MB of RGB and writes 8.4 MB.
#include "cuda/kernels/pixels.cuh"
#include "cuda/kernels/ptx.cuh"

namespace {

constexpr int THREADS = 128, ALONG = 64, GROUP = 4, ROWS = 4; // threads; threads, then pixels side by side; pixels down

FS_DEVICE bool aligned(const void *pointer, long long stride, int bytes) {
    return (reinterpret_cast<uintptr_t>(pointer) | static_cast<uintptr_t>(stride)) % static_cast<unsigned>(bytes) == 0;
}

// Classes x .. x + 3 of a row from the lowest byte, and that of x + 4. Behind the row's end its last one is repeated.
struct Classes {
    uint32_t four, next;
};

FS_DEVICE Classes classes_at(const fs_overlay_params &p, bool words, int x, int y) {
    const uint8_t *row = p.labels + y * p.labels_stride;
    const int last = p.picture.width - 1;
    Classes c = {0, row[x + GROUP < last ? x + GROUP : last]};
    if (words && x + GROUP - 1 <= last) {
        c.four = *reinterpret_cast<const uint32_t *>(row + x);
    } else {
#pragma unroll
        for (int n = 0; n < GROUP; n++) c.four |= static_cast<uint32_t>(row[x + n < last ? x + n : last]) << (8 * n);
    }
    return c;
}

// Four packed pixels of whole words: R, G, B from the lowest byte, or B, G, R.
FS_DEVICE void unpack(uint32_t (&pixel)[GROUP], const uint32_t *word, int format) {
    if (format == FS_K_GRAY8) {
        const uint32_t gray = __ldg(word);
#pragma unroll
        for (int n = 0; n < GROUP; n++) pixel[n] = (gray >> (8 * n) & 255) * 0x010101u;
    } else if (format == FS_K_RGB8 || format == FS_K_BGR8) {
        // r0 g0 b0 r1, g1 b1 r2 g2, b2 r3 g3 b3.
        const uint32_t a = __ldg(word), b = __ldg(word + 1), c = __ldg(word + 2);
        pixel[0] = a, pixel[1] = __byte_perm(a, b, 0x6543), pixel[2] = __byte_perm(b, c, 0x5432), pixel[3] = c >> 8;
    } else {
#pragma unroll
        for (int n = 0; n < GROUP; n++) pixel[n] = __ldg(word + n);
    }
    if (format == FS_K_BGR8 || format == FS_K_BGRA8) {
#pragma unroll
        for (int n = 0; n < GROUP; n++) pixel[n] = __byte_perm(pixel[n], 0, 0x4012);
    }
}

FS_DEVICE int bytes_of(int format) {
    return format == FS_K_GRAY8 ? 1 : format == FS_K_RGB8 || format == FS_K_BGR8 ? 3 : 4;
}

// Where a thread's pixels begin, and whether what it reads and writes lies in words: of four classes, of pixels, of one
// pixel, of all four.
struct Strip {
    int x, y;
    bool classes, pixels, one, four;
};

// Four chroma samples mixed down the columns, times 4; samples outside are their neighbours. The first is the one in
// front of the thread's pixels.
FS_DEVICE void mix_down(int (&mixed)[GROUP], const uint8_t *near, const uint8_t *far, int first, int last, int step) {
#pragma unroll
    for (int n = 0; n < GROUP; n++) {
        const int sample = first + n < 0 ? 0 : first + n > last ? last : first + n;
        mixed[n] = 3 * __ldg(near + sample * step) + __ldg(far + sample * step);
    }
}

// Four pixels share four chroma samples of two rows. The same integers as fs_yuv_pixel.
FS_DEVICE void read_yuv(uint32_t (&pixel)[GROUP], const fs_frame_params &f, const Strip &s, int y) {
    const bool pairs = f.format == FS_K_NV12;
    const int step = pairs ? 2 : 1, first = s.x / 2 - 1, last = (f.width - 1) / 2;
    const long long stride_v = f.stride[pairs ? 1 : 2], near = y / 2, far = fs_next_chroma(y, f.height);
    const uint8_t *u = f.plane[1], *v = pairs ? f.plane[1] + 1 : f.plane[2];
    int mixed_u[GROUP], mixed_v[GROUP];
    mix_down(mixed_u, u + near * f.stride[1], u + far * f.stride[1], first, last, step);
    mix_down(mixed_v, v + near * stride_v, v + far * stride_v, first, last, step);
    const uint8_t *luma = f.plane[0] + y * f.stride[0] + s.x;
    uint32_t four = 0;
    if (s.pixels) {
        four = __ldg(reinterpret_cast<const uint32_t *>(luma));
    } else {
#pragma unroll
        for (int n = 0; n < GROUP; n++)
            if (s.x + n < f.width) four |= static_cast<uint32_t>(__ldg(luma + n)) << (8 * n);
    }
    const fs_yuv_matrix m = fs_yuv_matrix_of(f);
#pragma unroll
    for (int n = 0; n < GROUP; n++) {
        const int here = n / 2 + 1, beside = n % 2 ? here + 1 : here - 1;
        pixel[n] = fs_yuv_color(m, static_cast<int>(four >> (8 * n) & 255), 3 * mixed_u[here] + mixed_u[beside] - 2048,
                                3 * mixed_v[here] + mixed_v[beside] - 2048);
    }
}

FS_DEVICE void read_packed(uint32_t (&pixel)[GROUP], const fs_frame_params &f, const Strip &s, int y) {
    if (s.pixels) {
        const uint8_t *at = f.plane[0] + y * f.stride[0] + static_cast<long long>(s.x) * bytes_of(f.format);
        return unpack(pixel, reinterpret_cast<const uint32_t *>(at), f.format);
    }
#pragma unroll
    for (int n = 0; n < GROUP; n++) pixel[n] = fs_packed_pixel(f, s.x + n < f.width ? s.x + n : f.width - 1, y);
}

FS_DEVICE void write(const fs_overlay_params &p, const Strip &s, int y, const uint32_t (&pixel)[GROUP]) {
    uint8_t *out = p.out + y * p.out_stride + static_cast<long long>(s.x) * 4;
    if (s.four) {
        *reinterpret_cast<uint4 *>(out) = make_uint4(pixel[0], pixel[1], pixel[2], pixel[3]);
        return;
    }
#pragma unroll
    for (int n = 0; n < GROUP; n++, out += 4) {
        if (s.x + n >= p.picture.width) continue;
        if (s.one) {
            *reinterpret_cast<uint32_t *>(out) = pixel[n];
        } else {
#pragma unroll
            for (int c = 0; c < 4; c++) out[c] = static_cast<uint8_t>(pixel[n] >> (8 * c));
        }
    }
}

template <bool yuv> FS_KERNEL(THREADS, yuv ? 6 : 8) overlay(const FS_PARAM fs_overlay_params p) {
    fs_dependency_wait();
    fs_dependency_release();
    FS_SHARED(uint2, colors, [256]); // R and B, G: times the share, and the rounding
    const unsigned share = static_cast<unsigned>(p.share), keep = 256 - share;
    for (int n = static_cast<int>(threadIdx.x); n < 256; n += THREADS) {
        const uint8_t *rgb = p.palette + 3 * n;
        const unsigned r = __ldg(rgb), g = __ldg(rgb + 1), b = __ldg(rgb + 2);
        colors[n] = make_uint2((r * share + 128) | (b * share + 128) << 16, g * share + 128);
    }
    __syncthreads();
    const fs_frame_params &f = p.picture;
    Strip s;
    s.x = (static_cast<int>(blockIdx.x) * ALONG + static_cast<int>(threadIdx.x) % ALONG) * GROUP;
    s.y = (static_cast<int>(blockIdx.y) * (THREADS / ALONG) + static_cast<int>(threadIdx.x) / ALONG) * ROWS;
    if (s.x >= f.width || s.y >= f.height) return;
    const bool whole = s.x + GROUP <= f.width;
    s.classes = aligned(p.labels, p.labels_stride, 4);
    s.pixels = whole && f.format != FS_K_PLANAR_F32 && aligned(f.plane[0], f.stride[0], 4);
    s.one = aligned(p.out, p.out_stride, 4);
    s.four = whole && aligned(p.out, p.out_stride, 16);

    Classes here = classes_at(p, s.classes, s.x, s.y);
#pragma unroll 1
    for (int y = s.y; y < s.y + ROWS && y < f.height; y++) {
        const Classes below = y + 1 < f.height ? classes_at(p, s.classes, s.x, y + 1) : here;
        // A byte that is not zero: the right or the lower neighbour is of another class.
        const uint32_t differs = (here.four ^ __byte_perm(here.four, here.next, 0x4321)) | (here.four ^ below.four);
        uint32_t pixel[GROUP];
        if constexpr (yuv)
            read_yuv(pixel, f, s, y);
        else
            read_packed(pixel, f, s, y);
#pragma unroll
        for (int n = 0; n < GROUP; n++) {
            const uint2 color = colors[here.four >> (8 * n) & 255];
            const uint32_t rb = (pixel[n] & 0xff00ffu) * keep + color.x, g = (pixel[n] >> 8 & 255) * keep + color.y;
            const uint32_t mixed = (rb >> 8 & 0xff00ffu) | (g & 0xff00u);
            pixel[n] = ((differs >> (8 * n) & 255) != 0 ? mixed >> 1 & 0x7f7f7fu : mixed) | 0xff000000u;
        }
        write(p, s, y, pixel);
        here = below;
    }
}

} // namespace

bool fs_launch_overlay(const fs_overlay_params *p, int sm, int variant, fs_launch *launch) {
    (void)sm;
    if (variant != 0) return false;
    const bool yuv = p->picture.format == FS_K_NV12 || p->picture.format == FS_K_I420;
    fs_launch_fill(launch, yuv ? FS_ENTRY((overlay<true>)) : FS_ENTRY((overlay<false>)),
                   yuv ? "overlay yuv" : "overlay packed", fs_blocks(p->picture.width, ALONG * GROUP),
                   fs_blocks(p->picture.height, THREADS / ALONG * ROWS), 1, THREADS, 0, *p);
    return true;
}
