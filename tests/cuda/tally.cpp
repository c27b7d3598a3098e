// The tally kernels: counts of classes at any size, stride and alignment, and the label map in place.
#include <vector>

#include "cuda/kernels/kernels.h"
#include "tests/cuda/check.h"

using check::Buffer;
using check::Random;

namespace {

struct Scene {
    int height, width, extra, offset, classes;
    bool counts, mapped;
};

// Areas of one class with single pixels of others between them.
std::vector<uint8_t> classes_of(const Scene &s, size_t stride, uint64_t seed) {
    Random random(seed);
    std::vector<uint8_t> bytes(static_cast<size_t>(s.offset) + static_cast<size_t>(s.height) * stride, 0xEE);
    for (int y = 0; y < s.height; y++)
        for (int x = 0; x < s.width; x++)
            bytes[static_cast<size_t>(s.offset) + static_cast<size_t>(y) * stride + static_cast<size_t>(x)] =
                static_cast<uint8_t>(random.below(5) ? (y / 7 + x / 11) % s.classes : random.below(s.classes));
    return bytes;
}

void run(const Scene &s) {
    const size_t stride = static_cast<size_t>(s.width + s.extra), classes = static_cast<size_t>(s.classes);
    const std::vector<uint8_t> given = classes_of(s, stride, static_cast<uint64_t>(s.width * 100 + s.classes));
    std::vector<uint8_t> map(256);
    for (size_t i = 0; i < 256; i++) map[i] = static_cast<uint8_t>(255 - 3 * i);
    const Buffer labels = check::of(given), table = check::of(map);
    Buffer partial(FS_K_TALLY_BLOCKS * classes * 4), histogram(classes * 4);
    fs_tally_params p = {};
    p.labels = labels.as<uint8_t>() + s.offset, p.stride = static_cast<long long>(stride);
    p.height = s.height, p.width = s.width, p.classes = s.classes;
    p.map = s.mapped ? table.as<uint8_t>() : nullptr;
    p.partial = s.counts ? partial.as<uint32_t>() : nullptr, p.histogram = histogram.as<uint32_t>();
    fs_launch launch;
    for (p.stage = 0; p.stage < (s.counts ? 2 : 1); p.stage++) {
        CHECK(fs_launch_tally(&p, check::sm(), 0, &launch), "no variant 0");
        check::run(launch);
    }
    std::vector<uint32_t> want(classes, s.counts ? 0 : 0xFFFFFFFFu);
    const auto have = check::get<uint8_t>(labels, given.size());
    size_t wrong = 0;
    for (size_t n = 0; n < given.size(); n++) {
        const size_t at = n - static_cast<size_t>(s.offset);
        const bool inside = n >= static_cast<size_t>(s.offset) && at % stride < static_cast<size_t>(s.width);
        if (inside && s.counts) want[given[n]]++;
        wrong += have[n] != (inside && s.mapped ? map[given[n]] : given[n]);
    }
    CHECK(wrong == 0, "%dx%d + %d, offset %d, map %d: %zu bytes are wrong", s.height, s.width, s.extra, s.offset,
          s.mapped, wrong);
    CHECK(check::get<uint32_t>(histogram, classes) == want, "%dx%d + %d, %d classes: counts", s.height, s.width,
          s.extra, s.classes);
    CHECK(labels.guards_intact() && partial.guards_intact() && histogram.guards_intact(), "guard bands");
}

void sizes() {
    for (int height : {1, 3, 127, 128, 129, 300})
        for (int width : {1, 2, 5, 64, 257}) {
            if (check::quick() && height > 130) continue;
            run({height, width, 0, 0, 19, true, (height + width) % 2 == 0});
        }
}

void rows() {
    for (int offset : {0, 1, 2, 4})
        for (int extra : {0, 1, 4, 13}) run({9, 68, extra, offset, 7, true, true});
}

void classes() {
    for (int count : {2, 11, 33, 255, 256}) run({20, 90, 2, 0, count, true, count % 2 == 0});
}

void map_alone() {
    run({20, 90, 2, 0, 19, false, true});
    run({20, 92, 0, 0, 19, false, true});
}

// More of one class than 16 bits count.
void one_class() {
    run({check::quick() ? 40 : 300, 301, 0, 0, 1, true, false});
}

} // namespace

int main(int argc, char **argv) {
    if (!check::begin(argc, argv)) return 77;
    check::test("sizes", sizes);
    check::test("alignment of rows", rows);
    check::test("numbers of classes", classes);
    check::test("the map alone", map_alone);
    check::test("one class", one_class);
    return check::finish();
}
