// The frame kernels against a scalar conversion and host/image/resize.c, byte for byte: every format, odd sizes,
// pitches and alignments, up and down.
#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <utility>
#include <vector>

#include "cuda/kernels/kernels.h"
#include "tests/cuda/check.h"

extern "C" {
#include "cpu/frame.h"
#include "host/image/image.h"
#include "runtime/backend.h"
#include "runtime/base/status.h"
}

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#endif

namespace {

const fs_format formats[] = {FS_RGB8, FS_BGR8, FS_RGBA8, FS_BGRA8, FS_GRAY8, FS_NV12, FS_I420, FS_PLANAR_F32};

enum content { noise, smooth, zeros, full, corners };

struct scene {
    fs_format format;
    int w, h, out_w, out_h, channels;
    bool bt709, full_range;
    int gap, shift; // bytes between rows, and before the first pixel of each plane
    int out_shift;  // misalignment of the output
    content fill;
};

struct plane {
    int rows, used, stride, shift; // bytes
    std::vector<uint8_t> bytes;    // shift first; nothing behind the last pixel
    int at(int y, int byte) const { return bytes[static_cast<size_t>(shift + y * stride + byte)]; }
};

bool is_yuv(fs_format format) {
    return format == FS_NV12 || format == FS_I420;
}

std::vector<plane> planes_of(const scene &s, check::Random *random) {
    const int cw = (s.w + 1) / 2, ch = (s.h + 1) / 2;
    std::vector<plane> planes;
    const int bytes = s.format == FS_RGB8 || s.format == FS_BGR8     ? 3
                      : s.format == FS_RGBA8 || s.format == FS_BGRA8 ? 4
                                                                     : 1;
    planes.push_back({s.h, s.w * bytes, 0, 0, {}});
    if (s.format == FS_NV12) planes.push_back({ch, 2 * cw, 0, 0, {}});
    if (s.format == FS_I420) planes.push_back({ch, cw, 0, 0, {}}), planes.push_back({ch, cw, 0, 0, {}});
    if (s.format == FS_PLANAR_F32) planes.assign(static_cast<size_t>(s.channels), {s.h, 4 * s.w, 0, 0, {}});
    int index = 0;
    for (plane &p : planes) {
        if (s.format == FS_PLANAR_F32) {
            p.stride = p.used + 4 * s.gap;
            p.bytes.resize(static_cast<size_t>((p.rows - 1) * p.stride + p.used));
            for (size_t i = 0; i < p.bytes.size(); i += 4) {
                float v = static_cast<float>(random->bits() >> 8) * 0x1p-24f * 1.4f - 0.2f;
                if (s.fill == smooth) v = static_cast<float>(i % 1024) / 1020.0f;
                if (s.fill == zeros) v = -0.0f;
                if (s.fill == full) v = 1.0f;
                if (s.fill == corners) v = random->below(2) ? INFINITY : NAN;
                memcpy(&p.bytes[i], &v, 4);
            }
            continue;
        }
        p.stride = p.used + s.gap + (s.gap ? index : 0), p.shift = s.shift ? (s.shift + index) % 4 : 0;
        p.bytes.resize(static_cast<size_t>(p.shift + (p.rows - 1) * p.stride + p.used));
        size_t i = 0;
        for (uint8_t &b : p.bytes) {
            switch (s.fill) {
            case noise: b = static_cast<uint8_t>(random->bits() >> 24); break;
            case smooth: b = static_cast<uint8_t>(i / 3); break;
            case zeros: b = 0; break;
            case full: b = 255; break;
            case corners: b = random->below(2) ? 255 : 0; break;
            }
            i++;
        }
        index++;
    }
    return planes;
}

int clamp(int v) {
    return v < 0 ? 0 : v > 255 ? 255 : v;
}

// Sixteenths of the chroma at a pixel: 3/4 and 1/4 along either axis, samples centred in their 2x2 pixels.
int chroma16(const plane &p, int step, int first, int x, int y, int w, int h) {
    const int last_x = (w + 1) / 2 - 1, last_y = (h + 1) / 2 - 1;
    int sum = 0;
    for (int j = 0; j < 2; j++)
        for (int i = 0; i < 2; i++) {
            int cx = x / 2, cy = y / 2;
            if (i) cx += x % 2 ? 1 : -1;
            if (j) cy += y % 2 ? 1 : -1;
            cx = cx < 0 ? 0 : cx > last_x ? last_x : cx, cy = cy < 0 ? 0 : cy > last_y ? last_y : cy;
            sum += (i ? 1 : 3) * (j ? 1 : 3) * p.at(cy, cx * step + first);
        }
    return sum;
}

// The formula of cuda/kernels/pixels.cuh with its factors made from Kr and Kb; also close to the same in real numbers.
void yuv_to_rgb(const scene &s, int luma, int u16, int v16, uint8_t rgb[3]) {
    const double kr = s.bt709 ? 0.2126 : 0.299, kb = s.bt709 ? 0.0722 : 0.114, kg = 1 - kr - kb;
    const double scale = s.full_range ? 1 : 255.0 / 219, chroma = s.full_range ? 1 : 255.0 / 224;
    const int offset = s.full_range ? 0 : 16;
    const double red_v = 2 * (1 - kr) * chroma, blue_u = 2 * (1 - kb) * chroma;
    const double green_u = blue_u * kb / kg, green_v = red_v * kr / kg;
    const auto fixed = [](double v) { return static_cast<int>(std::lround(v * 65536)); };
    const int y = fixed(scale) * 16 * (luma - offset), u = u16 - 2048, v = v16 - 2048;
    const int sums[3] = {y + fixed(red_v) * v, y - fixed(green_u) * u - fixed(green_v) * v, y + fixed(blue_u) * u};
    const double yr = scale * (luma - offset), ur = u / 16.0, vr = v / 16.0;
    const double real[3] = {yr + red_v * vr, yr - green_u * ur - green_v * vr, yr + blue_u * ur};
    for (int c = 0; c < 3; c++) {
        rgb[c] = static_cast<uint8_t>(clamp((sums[c] + (1 << 19)) >> 20));
        const double exact = real[c] < 0 ? 0 : real[c] > 255 ? 255 : real[c];
        CHECK(std::fabs(exact - rgb[c]) < 0.51, "Y %d U %g V %g: channel %d is %d, in real numbers %g", luma, ur, vr, c,
              rgb[c], exact);
    }
}

std::vector<uint8_t> convert(const scene &s, const std::vector<plane> &planes) {
    std::vector<uint8_t> out;
    const plane &first = planes[0];
    for (int y = 0; y < s.h; y++)
        for (int x = 0; x < s.w; x++) {
            uint8_t p[4] = {0, 0, 0, 255};
            if (is_yuv(s.format)) {
                const bool pairs = s.format == FS_NV12;
                const int u = chroma16(planes[1], pairs ? 2 : 1, 0, x, y, s.w, s.h);
                const int v = chroma16(planes[pairs ? 1 : 2], pairs ? 2 : 1, pairs ? 1 : 0, x, y, s.w, s.h);
                yuv_to_rgb(s, first.at(y, x), u, v, p);
            } else if (s.format == FS_PLANAR_F32) {
                for (int c = 0; c < s.channels; c++) {
                    float v;
                    memcpy(&v, &planes[static_cast<size_t>(c)].bytes[static_cast<size_t>(y * planes[0].stride + 4 * x)],
                           4);
                    p[c] = static_cast<uint8_t>(v > 0 ? v < 1 ? static_cast<int>(255.0f * v + 0.5f) : 255 : 0);
                }
            } else if (s.format == FS_GRAY8) {
                memset(p, first.at(y, x), 3);
            } else {
                const int bytes = s.format == FS_RGB8 || s.format == FS_BGR8 ? 3 : 4;
                for (int c = 0; c < bytes; c++) p[c] = static_cast<uint8_t>(first.at(y, bytes * x + c));
                if (s.format == FS_BGR8 || s.format == FS_BGRA8) std::swap(p[0], p[2]);
            }
            out.insert(out.end(), p, p + s.channels);
        }
    return out;
}

std::vector<uint8_t> resize(const std::vector<uint8_t> &in, int w, int h, int out_w, int out_h, int channels) {
    fs_image from = {w, h, channels, const_cast<uint8_t *>(in.data())}, to = {};
    if (fs_image_resize(&from, out_w, out_h, &to) != FS_OK) {
        CHECK(false, "resize of %dx%d to %dx%d: %s", w, h, out_w, out_h, fs_error_text());
        return {};
    }
    std::vector<uint8_t> out(to.pixels, to.pixels + static_cast<size_t>(out_w) * static_cast<size_t>(out_h * channels));
    fs_image_free(&to);
    return out;
}

// Under AddressSanitizer on the simulator: what is not a pixel of a row cannot be read while this lives.
struct fence {
    fence(const check::Buffer &buffer, const plane &p) : whole(&buffer) {
#if defined(__SANITIZE_ADDRESS__)
        if (!check::simulated()) return;
        const char *data = static_cast<const char *>(buffer.data);
        ASAN_POISON_MEMORY_REGION(data - 256, static_cast<size_t>(256 + p.shift));
        for (int y = 0; y + 1 < p.rows; y++)
            ASAN_POISON_MEMORY_REGION(data + p.shift + y * p.stride + p.used, static_cast<size_t>(p.stride - p.used));
        ASAN_POISON_MEMORY_REGION(data + buffer.bytes, 256);
#else
        (void)p;
#endif
    }
    fence(fence &&other) noexcept : whole(other.whole) {
        other.whole = nullptr;
    }
    ~fence() {
#if defined(__SANITIZE_ADDRESS__)
        if (whole && check::simulated())
            ASAN_UNPOISON_MEMORY_REGION(static_cast<const char *>(whole->data) - 256, whole->bytes + 512);
#endif
    }
    const check::Buffer *whole;
};

// The kernel's bytes; empty when it did not run.
std::vector<uint8_t> run(const scene &s, const std::vector<plane> &planes) {
    fs_frame_params p = {};
    std::vector<check::Buffer> buffers;
    for (const plane &one : planes) buffers.push_back(check::of(one.bytes));
    for (size_t i = 0; i < planes.size(); i++)
        p.plane[i] = buffers[i].as<uint8_t>() + planes[i].shift, p.stride[i] = planes[i].stride;
    const size_t count = static_cast<size_t>(s.out_w) * static_cast<size_t>(s.out_h * s.channels);
    const size_t shift = static_cast<size_t>(s.out_shift);
    check::Buffer out(shift + count);
    p.format = s.format, p.width = s.w, p.height = s.h, p.bt709 = s.bt709, p.full_range = s.full_range;
    p.out = out.as<uint8_t>() + s.out_shift, p.out_w = s.out_w, p.out_h = s.out_h, p.channels = s.channels;
    fs_launch launch;
    CHECK(fs_launch_frame(&p, check::sm(), 0, &launch), "no variant 0");
    {
        std::vector<fence> fences;
        for (size_t i = 0; i < planes.size(); i++) fences.emplace_back(buffers[i], planes[i]);
        if (!check::run(launch)) return {};
    }
    std::vector<uint8_t> got = check::get<uint8_t>(out, shift + count);
    for (size_t i = 0; i < shift; i++) CHECK(got[i] == 255, "byte %zu before the output was written", i);
    got.erase(got.begin(), got.begin() + s.out_shift);
    return got;
}

// What the CPU backend makes of the same frame.
std::vector<uint8_t> on_cpu(const scene &s, const std::vector<plane> &planes) {
    fs_frame f = {};
    f.format = s.format, f.width = s.w, f.height = s.h, f.matrix = s.bt709 ? 2 : 1, f.range = s.full_range ? 2 : 1;
    for (size_t i = 0; i < planes.size(); i++)
        f.plane[i] = planes[i].bytes.data() + planes[i].shift, f.stride[i] = static_cast<size_t>(planes[i].stride);
    std::vector<uint8_t> out(static_cast<size_t>(s.out_w) * static_cast<size_t>(s.out_h * s.channels));
    std::vector<fs_frame_column> columns(static_cast<size_t>(s.out_w));
    std::vector<int32_t> scratch(fs_frame_scratch(s.out_w, s.channels) / 4);
    fs_frame_columns(s.w, s.out_w, columns.data());
    fs_frame_rows(&f, s.channels, columns.data(), s.out_w, s.out_h, 0, s.out_h, out.data(),
                  reinterpret_cast<char *>(scratch.data()));
    return out;
}

void compare(const scene &s, uint64_t seed) {
    check::Random random(seed);
    const std::vector<plane> planes = planes_of(s, &random);
    std::vector<uint8_t> want = convert(s, planes);
    if (s.w != s.out_w || s.h != s.out_h) want = resize(want, s.w, s.h, s.out_w, s.out_h, s.channels);
    CHECK(on_cpu(s, planes) == want, "the CPU's format %d %dx%d to %dx%d differs", static_cast<int>(s.format), s.w, s.h,
          s.out_w, s.out_h);
    const std::vector<uint8_t> got = run(s, planes);
    if (got.empty()) return;
    for (size_t i = 0; i < want.size() && check::failures() < 20; i++)
        CHECK(
            got[i] == want[i],
            "format %d %dx%d to %dx%d, %d channels, 709 %d, full %d, gap %d, shifts %d %d, fill %d: row %zu column %zu "
            "channel %zu is %d, expected %d",
            static_cast<int>(s.format), s.w, s.h, s.out_w, s.out_h, s.channels, s.bt709, s.full_range, s.gap, s.shift,
            s.out_shift, static_cast<int>(s.fill), i / static_cast<size_t>(s.channels) / static_cast<size_t>(s.out_w),
            i / static_cast<size_t>(s.channels) % static_cast<size_t>(s.out_w), i % static_cast<size_t>(s.channels),
            got[i], want[i]);
}

// All formats, output channels and matrices for one pair of sizes.
void compare_formats(int w, int h, int out_w, int out_h, int gap, int shift, int out_shift, content fill,
                     uint64_t seed) {
    for (fs_format format : formats)
        for (int channels = 3; channels <= 4; channels++)
            for (int coding = 0; coding < (is_yuv(format) ? 4 : 1); coding++)
                compare({format, w, h, out_w, out_h, channels, (coding & 1) != 0, (coding & 2) != 0, gap, shift,
                         out_shift, fill},
                        seed++);
}

void same_size() {
    static const int sizes[][2] = {{64, 32}, {65, 33}, {31, 17}, {1, 1},  {2, 1},
                                   {1, 2},   {3, 3},   {1, 40},  {40, 1}, {513, 2}};
    uint64_t seed = 1;
    for (const auto &size : sizes) compare_formats(size[0], size[1], size[0], size[1], 0, 0, 0, noise, seed += 100);
}

void resized() {
    static const int sizes[][4] = {
        {64, 32, 32, 16}, // half
        {32, 16, 64, 32}, // double
        {67, 43, 64, 64}, // one axis up, the other down
        {33, 65, 33, 64}, // one axis alone
        {99, 7, 10, 7},   {7, 99, 61, 5}, {1, 1, 9, 7},     {50, 40, 1, 1}, {2, 1, 5, 5},
        {1, 3, 4, 2},     {3, 3, 100, 3}, {640, 3, 64, 64}, {5, 5, 6, 6},
    };
    uint64_t seed = 2000;
    for (const auto &size : sizes) compare_formats(size[0], size[1], size[2], size[3], 0, 0, 0, noise, seed += 100);
}

void strides_and_alignments() {
    uint64_t seed = 5000;
    for (int shift = 0; shift < 4; shift++)
        for (int gap : {0, 1, 7, 32}) {
            compare_formats(35, 21, 35, 21, gap, shift, 0, noise, seed += 100);
            compare_formats(35, 21, 64, 15, gap, shift, shift, noise, seed += 100);
        }
    for (int out_shift : {1, 2, 4, 8}) compare_formats(33, 31, 33, 31, 0, 0, out_shift, noise, seed += 100);
}

void extremes() {
    uint64_t seed = 20000;
    for (content fill : {zeros, full, corners, smooth}) {
        compare_formats(37, 15, 37, 15, 0, 0, 0, fill, seed += 100);
        compare_formats(37, 15, 61, 9, 0, 0, 0, fill, seed += 100);
    }
}

// Every luma with every chroma of a coarse grid, in a frame whose 2x2 blocks are uniform and far enough apart.
void every_colour() {
    const int steps = 18; // chroma 0, 15 .. 255
    for (int coding = 0; coding < 4; coding++) {
        const scene s = {
            FS_I420, 2 * steps * 3, 256 * 2, 2 * steps * 3, 256 * 2, 3, (coding & 1) != 0, (coding & 2) != 0, 0, 0,
            0,       noise};
        check::Random random(31);
        std::vector<plane> planes = planes_of(s, &random);
        for (int y = 0; y < s.h; y++)
            for (int x = 0; x < s.w; x++)
                planes[0].bytes[static_cast<size_t>(y * s.w + x)] = static_cast<uint8_t>(y / 2);
        for (int y = 0; y < s.h / 2; y++)
            for (int x = 0; x < s.w / 2; x++) {
                const size_t i = static_cast<size_t>(y * (s.w / 2) + x);
                planes[1].bytes[i] = static_cast<uint8_t>(x / 3 * 15),
                planes[2].bytes[i] = static_cast<uint8_t>(y % 18 * 15);
            }
        const std::vector<uint8_t> want = convert(s, planes), got = run(s, planes);
        CHECK(got == want, "coding %d", coding);
    }
}

// Known colours: black, white and gray have no hue in any coding; primaries of BT.601 limited range from its tables.
void known_colours() {
    struct colour {
        bool bt709, full_range;
        uint8_t y, u, v, r, g, b;
    };
    static const colour colours[] = {
        {false, false, 16, 128, 128, 0, 0, 0},  {false, false, 235, 128, 128, 255, 255, 255},
        {true, false, 16, 128, 128, 0, 0, 0},   {true, false, 235, 128, 128, 255, 255, 255},
        {false, true, 0, 128, 128, 0, 0, 0},    {true, true, 255, 128, 128, 255, 255, 255},
        {true, true, 77, 128, 128, 77, 77, 77}, {false, false, 81, 90, 240, 254, 0, 0},
        {false, false, 145, 54, 34, 0, 255, 1}, {false, false, 41, 240, 110, 0, 0, 255},
        {true, false, 63, 102, 240, 255, 1, 0}, {true, false, 173, 42, 26, 0, 255, 1},
    };
    for (const colour &c : colours)
        for (fs_format format : {FS_NV12, FS_I420}) {
            const scene s = {format, 3, 3, 3, 3, 3, c.bt709, c.full_range, 0, 0, 0, zeros};
            check::Random random(1);
            std::vector<plane> planes = planes_of(s, &random);
            for (uint8_t &b : planes[0].bytes) b = c.y;
            for (size_t i = 0; i < planes[1].bytes.size(); i++)
                planes[1].bytes[i] = format == FS_NV12 && i % 2 ? c.v : c.u;
            if (format == FS_I420)
                for (uint8_t &b : planes[2].bytes) b = c.v;
            const std::vector<uint8_t> got = run(s, planes);
            for (size_t i = 0; i < got.size(); i += 3)
                CHECK(std::abs(got[i] - c.r) <= 1 && std::abs(got[i + 1] - c.g) <= 1 && std::abs(got[i + 2] - c.b) <= 1,
                      "Y %d U %d V %d gives %d %d %d, expected about %d %d %d", c.y, c.u, c.v, got[i], got[i + 1],
                      got[i + 2], c.r, c.g, c.b);
        }
}

// Sides beyond those of picture files, up to the widest frame onto the widest network; the test's positions are of 64
// bits, the kernel's of 32.
void huge_sides() {
    for (int w : {40000, 65536}) {
        const int out_w = 16384;
        const scene s = {FS_GRAY8, w, 1, out_w, 1, 3, false, false, 0, 0, 0, noise};
        check::Random random(77);
        const std::vector<plane> planes = planes_of(s, &random);
        const std::vector<uint8_t> got = run(s, planes);
        if (got.empty()) return;
        for (int x = 0; x < out_w && check::failures() < 20; x++) {
            int64_t twice = (2 * static_cast<int64_t>(x) + 1) * w - out_w;
            if (twice < 0) twice = 0;
            const int first = static_cast<int>(twice / (2 * out_w));
            const int weight = static_cast<int>((twice % (2 * out_w) * 2048 + out_w) / (2 * out_w));
            const int second = first + 1 < w ? first + 1 : first;
            const int sum = planes[0].at(0, first) * (2048 - weight) + planes[0].at(0, second) * weight;
            const int want = (sum * 2048 + (1 << 21)) >> 22;
            CHECK(got[static_cast<size_t>(3 * x + 1)] == want, "width %d, column %d: %d, expected %d", w, x,
                  got[static_cast<size_t>(3 * x + 1)], want);
        }
    }
}

void variants_end() {
    fs_frame_params p = {};
    p.format = FS_RGB8, p.width = p.out_w = 64, p.height = p.out_h = 64, p.channels = 3;
    fs_launch launch;
    for (int sm : {75, 80, 86, 89, 90, 100, 120})
        CHECK(fs_launch_frame(&p, sm, 0, &launch) && !fs_launch_frame(&p, sm, 1, &launch), "sm %d", sm);
    p.width = 65536, p.out_w = 16384;
    CHECK(fs_launch_frame(&p, 90, 0, &launch), "the widest frame");
    p.width = 131072;
    CHECK(!fs_launch_frame(&p, 90, 0, &launch), "positions of more than 31 bits");
}

} // namespace

int main(int argc, char **argv) {
    if (!check::begin(argc, argv)) return 77;
    check::test("variants_end", variants_end);
    check::test("known_colours", known_colours);
    check::test("every_colour", every_colour);
    check::test("same_size", same_size);
    check::test("resized", resized);
    check::test("strides_and_alignments", strides_and_alignments);
    check::test("extremes", extremes);
    check::test("huge_sides", huge_sides);
    return check::finish();
}
