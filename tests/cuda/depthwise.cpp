// The depthwise kernels against the reference, over shapes, strides, dilations, paddings and pitches.
#include <cstdio>
#include <functional>
#include <string>

#include "tests/cuda/maps.h"

using namespace maps;

namespace {

constexpr fs_k_type TYPES[] = {FS_K_F16, FS_K_F32};
constexpr int CAPABILITIES[] = {75, 80, 90};

std::string text(const Shape &s, fs_k_type type, const fs_launch &launch, bool relu) {
    char line[240];
    snprintf(line, sizeof line, "%s %s: %dx%dx%d to %dx%d stride %d dilation %d pad %d,%d relu %d", name(type),
             launch.name, s.h, s.w, s.c, s.oh, s.ow, s.stride, s.dilation, s.pad_top, s.pad_left, relu);
    return line;
}

// Output size from the padding on each side; false when there is no output.
bool shape(Shape *s, int h, int w, int c, int stride, int dilation, int top, int left, int bottom, int right) {
    const int oh = h + top + bottom - 2 * dilation - 1, ow = w + left + right - 2 * dilation - 1;
    if (oh < 0 || ow < 0) return false;
    *s = {h, w, c, stride, dilation, top, left, oh / stride + 1, ow / stride + 1};
    return true;
}

// Runs every variant on every compute capability (equal launches once) and compares. All variants of a type add in the
// same order, so they must give the same bits.
void run_all(const Shape &s, const Values &values, const Layer &layer, bool relu, int in_extra = 0, int out_extra = 0) {
    for (fs_k_type type : TYPES) {
        const Map in(type, s.h, s.w, s.c, s.c + in_extra, values);
        const Expected expected = depthwise(rounded(type, values), s, layer, relu);
        std::vector<fs_launch> done;
        std::vector<unsigned char> first;
        for (int sm : CAPABILITIES) {
            int variant = 0;
            for (;; ++variant) {
                Map out(type, s.oh, s.ow, s.c, s.c + out_extra);
                fs_dw_params p = {};
                p.in = in.view, p.out = out.view;
                p.weights = layer.device_weight.as<float>(), p.bias = layer.device_bias.as<float>();
                p.relu = relu, p.stride = s.stride, p.dilation = s.dilation;
                p.pad_top = s.pad_top, p.pad_left = s.pad_left;
                fs_launch launch;
                if (!fs_launch_dw(&p, type, sm, variant, &launch)) break;
                bool seen = false;
                for (const fs_launch &other : done)
                    seen =
                        seen || (other.kernel == launch.kernel && !memcmp(other.grid, launch.grid, sizeof launch.grid));
                if (seen) continue;
                done.push_back(launch);
                if (!check::run(launch)) return;
                const std::string what = text(s, type, launch, relu);
                compare(out, expected, what.c_str());
                if (first.empty()) first = out.bytes();
                CHECK(first == out.bytes(), "%s: other bits than variant 0", what.c_str());
            }
            CHECK(variant > 0, "%s %dx%dx%d: no variant for sm %d", name(type), s.h, s.w, s.c, sm);
        }
        if (check::failures() > 20) return;
    }
}

void run_random(uint64_t seed, const Shape &s, int in_extra = 0, int out_extra = 0) {
    check::Random random(seed);
    const Layer layer(random, s.c);
    const Values values = random_values(random, static_cast<size_t>(s.h) * static_cast<size_t>(s.w * s.c), -2.0f, 2.0f);
    run_all(s, values, layer, seed % 2 == 0, in_extra, out_extra);
}

const int SIZES[][2] = {{1, 1}, {1, 9}, {9, 1}, {5, 7}, {33, 17}};

void shapes() {
    // Top, left, bottom, right.
    const int pads[][4] = {{0, 0, 0, 0}, {1, 1, 1, 1}, {0, 1, 1, 0}, {1, 0, 0, 1},
                           {0, 0, 1, 1}, {4, 4, 4, 4}, {4, 1, 0, 3}, {8, 8, 8, 8}};
    uint64_t seed = 1;
    for (auto &size : SIZES)
        for (int stride : {1, 2})
            for (int dilation : {1, 2, 3, 4})
                for (auto &pad : pads) {
                    Shape s = {};
                    const int c = size[0] * size[1] > 100 ? 16 : 48;
                    if (check::quick() && ++seed % 3) continue;
                    if (shape(&s, size[0], size[1], c, stride, dilation, pad[0], pad[1], pad[2], pad[3]))
                        run_random(++seed, s);
                }
}

void channels() {
    uint64_t seed = 1000;
    for (int c : {8, 16, 24, 32, 40, 48, 96, 128, 384, 576, 768})
        for (auto &size : SIZES)
            for (int stride : {1, 2})
                for (int dilation : {1, 4}) {
                    Shape s = {};
                    if (size[0] * size[1] * c > 60000 || (check::quick() && size[0] * size[1] * c > 12000)) continue;
                    if (shape(&s, size[0], size[1], c, stride, dilation, dilation, dilation, dilation, dilation))
                        run_random(++seed, s);
                }
}

void pitches() {
    uint64_t seed = 2000;
    for (int c : {8, 48, 96})
        for (int in_extra : {0, 8, 64})
            for (int out_extra : {0, 8, 64}) {
                Shape s = {};
                for (int stride : {1, 2})
                    if (shape(&s, 5, 7, c, stride, 1, 1, 1, 1, 1)) run_random(++seed, s, in_extra, out_extra);
            }
}

// Parts of the shapes of a frame, with blocks in every direction.
void large() {
    const int list[][5] = {{40, 70, 32, 2, 1},  {37, 66, 48, 2, 1},  {24, 36, 384, 2, 1}, {24, 33, 384, 1, 1},
                           {16, 64, 576, 1, 1}, {50, 64, 128, 1, 4}, {2000, 3, 8, 1, 1},  {3, 2000, 8, 2, 1}};
    uint64_t seed = 3000;
    for (auto &l : list) {
        Shape s = {};
        if (check::quick() && l[0] * l[1] * l[2] > 100000) continue;
        if (shape(&s, l[0], l[1], l[2], l[3], l[4], l[4], l[4], l[4], l[4])) run_random(++seed, s);
    }
}

const std::function<bool(int, int, int, int)> BORDERS[] = {
    [](int y, int, int, int) { return y == 0; },
    [](int y, int, int h, int) { return y == h - 1; },
    [](int, int x, int, int) { return x == 0; },
    [](int, int x, int, int w) { return x == w - 1; },
};

// One border at a time holds values, then NaN: exactly the outputs whose window meets it show them.
void borders() {
    uint64_t seed = 4000;
    for (float value : {3.0f, NAN})
        for (auto &border : BORDERS)
            for (int stride : {1, 2})
                for (int dilation : {1, 4})
                    for (int pad : {0, dilation}) {
                        check::Random random(++seed);
                        Shape s = {};
                        shape(&s, 11, 13, 16, stride, dilation, pad, pad, pad, pad);
                        const Layer layer(random, s.c);
                        Values values(static_cast<size_t>(s.h * s.w * s.c), 0.0f);
                        for (int i = 0; i < s.h * s.w * s.c; ++i)
                            if (border(i / s.c / s.w, i / s.c % s.w, s.h, s.w)) values[static_cast<size_t>(i)] = value;
                        run_all(s, values, layer, seed % 2 == 0);
                    }
}

void nans() {
    uint64_t seed = 5000;
    for (int i = 0; i < (check::quick() ? 4 : 24); ++i) {
        check::Random random(++seed);
        Shape s = {};
        const int dilation = random.below(2) ? 1 : 4, pad = random.below(2) * dilation;
        shape(&s, 9 + random.below(12), 9 + random.below(12), 8 * (1 + random.below(4)), 1 + random.below(2), dilation,
              pad, pad, pad, pad);
        const Layer layer(random, s.c);
        Values values = random_values(random, static_cast<size_t>(s.h * s.w * s.c), -2.0f, 2.0f);
        for (int n = 0; n <= i % 4; ++n) values[static_cast<size_t>(random.below(s.h * s.w * s.c))] = NAN;
        run_all(s, values, layer, i % 2 == 0);
    }
}

void extremes() {
    for (uint64_t seed = 6000; seed < 6012; ++seed) {
        check::Random random(seed);
        Shape s = {};
        shape(&s, 6, 9, 24, 1 + static_cast<int>(seed % 2), 1, 1, 1, 1, 1);
        const Layer layer(random, s.c);
        run_all(s, extreme_values(random, static_cast<size_t>(s.h * s.w * s.c), seed % 3 == 0), layer, seed % 4 < 2);
    }
}

void refusals() {
    fs_dw_params p = {};
    p.in = p.out = {nullptr, 8, 8, 16, 16};
    p.stride = p.dilation = 1;
    p.pad_top = p.pad_left = 1;
    fs_launch launch;
    for (fs_k_type type : TYPES)
        for (int sm : {75, 80, 86, 89, 90, 100, 120}) {
            int variants = 0;
            while (fs_launch_dw(&p, type, sm, variants, &launch)) ++variants;
            CHECK(variants >= 1, "%s sm %d: no variant", name(type), sm);
            for (int v = variants; v < variants + 40; ++v)
                CHECK(!fs_launch_dw(&p, type, sm, v, &launch), "%s sm %d: variant %d behind the last", name(type), sm,
                      v);
            CHECK(!fs_launch_dw(&p, type, sm, -1, &launch), "%s sm %d: variant -1", name(type), sm);
        }
    p.in.c = p.out.c = 12;
    CHECK(!fs_launch_dw(&p, FS_K_F16, 90, 0, &launch), "12 channels are taken");
    p.in.c = p.out.c = 16, p.stride = 3;
    CHECK(!fs_launch_dw(&p, FS_K_F16, 90, 0, &launch), "stride 3 is taken");
}

} // namespace

int main(int argc, char **argv) {
    if (!check::begin(argc, argv)) return 77;
    check::test("shapes", shapes);
    check::test("channels", channels);
    check::test("pitches", pitches);
    check::test("large", large);
    check::test("borders", borders);
    check::test("nans", nans);
    check::test("extremes", extremes);
    check::test("refusals", refusals);
    return check::finish();
}
