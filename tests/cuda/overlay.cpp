// The overlay kernel against its formula over the CPU's conversion of a frame: every format and alignment, odd sizes,
// shares from none to all, classes that change at every pixel and nowhere.
#include <algorithm>
#include <cmath>
#include <cstring>
#include <vector>

#include "cuda/kernels/kernels.h"
#include "tests/cuda/check.h"

extern "C" {
#include "cpu/frame.h"
#include "runtime/backend.h"
}

using check::Buffer;
using check::Random;

namespace {

enum Content { AREAS, NOISE, ONE_CLASS, STRIPES_DOWN, STRIPES_ALONG };

struct Scene {
    fs_format format;
    int width, height, share;
    Content content;
    int gap, shift; // of the planes and the classes: bytes between rows, and in front of the first
    int out_gap, out_shift;
    bool bt709, full_range;
};

struct Plane {
    std::vector<uint8_t> bytes;
    size_t stride;
};

std::vector<Plane> planes_of(const Scene &s, Random &random) {
    const size_t w = static_cast<size_t>(s.width), h = static_cast<size_t>(s.height), half = (w + 1) / 2;
    std::vector<std::pair<size_t, size_t>> sizes; // row, rows
    switch (s.format) {
    case FS_RGB8:
    case FS_BGR8: sizes = {{3 * w, h}}; break;
    case FS_RGBA8:
    case FS_BGRA8: sizes = {{4 * w, h}}; break;
    case FS_GRAY8: sizes = {{w, h}}; break;
    case FS_NV12: sizes = {{w, h}, {2 * half, (h + 1) / 2}}; break;
    case FS_I420: sizes = {{w, h}, {half, (h + 1) / 2}, {half, (h + 1) / 2}}; break;
    case FS_PLANAR_F32: sizes = {{4 * w, h}, {4 * w, h}, {4 * w, h}}; break;
    }
    const bool floats = s.format == FS_PLANAR_F32;
    std::vector<Plane> planes;
    for (const auto &[row, rows] : sizes) {
        const size_t stride = row + static_cast<size_t>(floats ? 4 * s.gap : s.gap);
        // Not a byte behind the last pixel.
        const size_t bytes = static_cast<size_t>(floats ? 0 : s.shift) + (rows - 1) * stride + row;
        Plane p = {std::vector<uint8_t>(bytes), stride};
        for (uint8_t &b : p.bytes)
            b = static_cast<uint8_t>(random.below(8) ? random.below(256) : 255 * random.below(2));
        for (size_t i = 0; floats && i + 4 <= bytes; i += 4) {
            const float v = random.below(9) ? random.uniform(-0.1f, 1.1f) : NAN;
            memcpy(&p.bytes[i], &v, 4);
        }
        planes.push_back(std::move(p));
    }
    return planes;
}

int class_at(const Scene &s, int x, int y, Random &random) {
    switch (s.content) {
    case AREAS: return random.below(20) ? (y / 5 + x / 9) % 256 : random.below(256);
    case NOISE: return random.below(256);
    case ONE_CLASS: return 255;
    case STRIPES_DOWN: return x % 2;
    case STRIPES_ALONG: return y % 2 ? 254 : 3;
    }
    return 0;
}

void run(const Scene &s) {
    Random random(static_cast<uint64_t>(s.width * 1000 + s.height * 10 + s.format));
    const size_t w = static_cast<size_t>(s.width), h = static_cast<size_t>(s.height);
    const size_t shift = static_cast<size_t>(s.format == FS_PLANAR_F32 ? 0 : s.shift);
    const std::vector<Plane> planes = planes_of(s, random);
    const size_t class_shift = static_cast<size_t>(s.shift), class_stride = w + static_cast<size_t>(s.gap);
    std::vector<uint8_t> classes(class_shift + (h - 1) * class_stride + w, 77), palette(256 * 3);
    for (int y = 0; y < s.height; y++)
        for (int x = 0; x < s.width; x++)
            classes[class_shift + static_cast<size_t>(y) * class_stride + static_cast<size_t>(x)] =
                static_cast<uint8_t>(class_at(s, x, y, random));
    for (uint8_t &b : palette) b = static_cast<uint8_t>(random.below(4) ? random.below(256) : 255 * random.below(2));

    fs_overlay_params p = {};
    fs_frame frame = {};
    std::vector<Buffer> buffers;
    for (const Plane &plane : planes) {
        buffers.push_back(check::of(plane.bytes));
        buffers.back().frame();
    }
    for (size_t i = 0; i < planes.size(); i++) {
        p.picture.plane[i] = buffers[i].as<uint8_t>() + shift;
        p.picture.stride[i] = static_cast<long long>(planes[i].stride);
        frame.plane[i] = planes[i].bytes.data() + shift, frame.stride[i] = planes[i].stride;
    }
    frame.format = s.format, frame.width = s.width, frame.height = s.height;
    frame.matrix = s.bt709 ? 2 : 1, frame.range = s.full_range ? 2 : 1;
    p.picture.format = s.format, p.picture.width = s.width, p.picture.height = s.height, p.picture.channels = 3;
    p.picture.bt709 = s.bt709, p.picture.full_range = s.full_range;
    const Buffer labels = check::of(classes), colors = check::of(palette);
    labels.frame();
    p.labels = labels.as<uint8_t>() + class_shift, p.labels_stride = static_cast<long long>(class_stride);
    p.palette = colors.as<uint8_t>(), p.share = s.share;
    const size_t out_shift = static_cast<size_t>(s.out_shift), out_stride = 4 * w + static_cast<size_t>(s.out_gap);
    const size_t out_bytes = out_shift + (h - 1) * out_stride + 4 * w;
    Buffer out(out_bytes);
    p.out = out.as<uint8_t>() + out_shift, p.out_stride = static_cast<long long>(out_stride);
    fs_launch launch;
    CHECK(fs_launch_overlay(&p, check::sm(), 0, &launch), "no variant 0");
    if (!check::run(launch)) return;

    std::vector<uint8_t> want(out_bytes, 255), span(3 * w); // what is not written stays as it was
    for (int y = 0; y < s.height; y++) {
        for (int x = 0; x < s.width; x += FS_FRAME_SPAN) {
            const int count = std::min<int>(FS_FRAME_SPAN, s.width - x);
            uint8_t *to = &span[3 * static_cast<size_t>(x)];
            const uint8_t *from = fs_frame_read(&frame, 3, y, x, count, to);
            if (from != to) memcpy(to, from, 3 * static_cast<size_t>(count));
        }
        const uint8_t *row = &classes[class_shift + static_cast<size_t>(y) * class_stride];
        for (size_t x = 0; x < w; x++) {
            const bool border =
                (x + 1 < w && row[x + 1] != row[x]) || (y + 1 < s.height && row[class_stride + x] != row[x]);
            for (size_t c = 0; c < 3; c++) {
                const int value = (span[3 * x + c] * (256 - s.share) + palette[3 * row[x] + c] * s.share + 128) / 256;
                want[out_shift + static_cast<size_t>(y) * out_stride + 4 * x + c] =
                    static_cast<uint8_t>(border ? value / 2 : value);
            }
        }
    }
    const std::vector<uint8_t> have = check::get<uint8_t>(out, out_bytes);
    for (size_t i = 0; i < out_bytes && check::failures() < 20; i++)
        CHECK(have[i] == want[i],
              "format %d, %dx%d, share %d, content %d, gaps %d %d, shifts %d %d: byte %zu is %d, expected %d", s.format,
              s.width, s.height, s.share, s.content, s.gap, s.out_gap, s.shift, s.out_shift, i, have[i], want[i]);
}

constexpr fs_format FORMATS[] = {FS_RGB8, FS_BGR8, FS_RGBA8, FS_BGRA8, FS_GRAY8, FS_NV12, FS_I420, FS_PLANAR_F32};

void formats() {
    for (fs_format format : FORMATS)
        for (int coding = 0; coding < (format == FS_NV12 || format == FS_I420 ? 4 : 1); coding++)
            run({format, 70, 19, 128, AREAS, 0, 0, 0, 0, (coding & 1) != 0, (coding & 2) != 0});
}

// Below, at and above what a thread, a warp and a block take.
void sizes() {
    for (int width : {1, 2, 3, 4, 5, 8, 127, 128, 129, 255, 256, 257, 516})
        for (int height : {1, 2, 4, 5, 8, 9, 17}) {
            if (check::quick() && width > 130 && height > 5) continue;
            run({(width + height) % 2 ? FS_RGB8 : FS_I420, width, height, 100, AREAS, 0, 0, 0, 0, false, false});
        }
}

// Words and 16 bytes at every address and stride where they do not lie so, and where they do.
void alignments() {
    for (fs_format format : FORMATS)
        for (int shift : {0, 1, 2, 3, 4, 8})
            for (int gap : {0, 1, 4, 8}) {
                if (check::quick() && (shift == 2 || gap == 8)) continue;
                run({format, 36, 6, 77, AREAS, gap, shift, gap, shift, true, false});
                run({format, 34, 6, 77, AREAS, 0, 0, gap, shift, true, false});
                run({format, 36, 6, 77, AREAS, gap, shift, 0, 0, true, false});
            }
    // Words up to a row's end, and rows that end within one.
    for (int over : {1, 2, 3}) run({FS_GRAY8, 36 - over, 6, 77, NOISE, over, 0, over, 0, false, false});
}

void shares() {
    for (int share : {0, 1, 2, 64, 127, 128, 129, 255, 256})
        run({FS_RGB8, 100, 12, share, NOISE, 0, 0, 0, 0, false, false});
}

void contents() {
    for (Content content : {AREAS, NOISE, ONE_CLASS, STRIPES_DOWN, STRIPES_ALONG})
        for (int width : {64, 301}) run({FS_BGRA8, width, 18, 128, content, 0, 0, 0, 0, false, false});
}

void variants_end() {
    fs_overlay_params p = {};
    fs_launch launch;
    for (int side : {1, 16384}) {
        p.picture.width = p.picture.height = side, p.picture.format = FS_RGB8;
        for (int sm : {75, 80, 86, 89, 90, 100, 120})
            CHECK(fs_launch_overlay(&p, sm, 0, &launch) && !fs_launch_overlay(&p, sm, 1, &launch), "sm %d", sm);
        const unsigned most = 65535;
        CHECK(launch.grid[0] >= 1 && launch.grid[1] >= 1 && launch.grid[1] <= most, "blocks of a side of %d", side);
    }
}

} // namespace

int main(int argc, char **argv) {
    if (!check::begin(argc, argv)) return 77;
    check::test("variants_end", variants_end);
    check::test("formats", formats);
    check::test("sizes", sizes);
    check::test("alignments", alignments);
    check::test("shares", shares);
    check::test("contents", contents);
    return check::finish();
}
