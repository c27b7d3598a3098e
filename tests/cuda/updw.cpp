// The depthwise of a bilinearly resized map against the reference's resize and depthwise, and against the separate
// kernels.
#include <cstdio>
#include <string>

#include "tests/cuda/maps.h"

using namespace maps;

namespace {

constexpr fs_k_type TYPES[] = {FS_K_F16, FS_K_F32};
constexpr int CAPABILITIES[] = {75, 80, 90};

struct Case {
    int h, w, c, oh, ow, dilation;
    bool align, relu;
    int in_extra, out_extra;
};

std::string text(const Case &s, fs_k_type type, const fs_launch &launch) {
    char line[240];
    snprintf(line, sizeof line, "%s %s: %dx%dx%d to %dx%d dilation %d align %d relu %d", name(type), launch.name, s.h,
             s.w, s.c, s.oh, s.ow, s.dilation, s.align, s.relu);
    return line;
}

// The resized map as the activations' type holds it. It is computed as kernels do it, so that no value falls to the
// other side of a rounding; that this is a bilinear resize is checked against the reference: five roundings to float of
// values up to twice the largest, then one of the type.
Values resized_map(fs_k_type type, const Case &s, const Values &in) {
    const Values exact = resized(in, s.h, s.w, s.c, s.oh, s.ow, s.align);
    Values truth(exact.size());
    fs_ref_resize(in.data(), s.h, s.w, s.c, s.oh, s.ow, s.align, truth.data());
    float largest = 0.0f;
    for (float value : in)
        if (std::isfinite(value)) largest = std::fmax(largest, std::fabs(value));
    for (size_t i = 0; i < exact.size(); ++i)
        if (!std::isinf(truth[i]))
            CHECK(agrees(FS_K_F32, exact[i], truth[i], 10 * 0x1p-24 * static_cast<double>(largest)),
                  "resize %dx%d to %dx%d: %g, reference %g", s.h, s.w, s.oh, s.ow, static_cast<double>(exact[i]),
                  static_cast<double>(truth[i]));
    return rounded(type, exact);
}

// The same by two launches: resize to a map in memory, depthwise of it.
std::vector<unsigned char> separate(fs_k_type type, const fs_updw_params &fused, const Case &s) {
    const Map middle(type, s.oh, s.ow, s.c, s.c);
    const Map out(type, s.oh, s.ow, s.c, s.c + s.out_extra);
    fs_resize_params resize = {};
    resize.in = fused.in, resize.out = middle.view, resize.tap_y = fused.tap_y, resize.tap_x = fused.tap_x;
    fs_dw_params dw = {};
    dw.in = middle.view, dw.out = out.view, dw.weights = fused.weights, dw.bias = fused.bias, dw.relu = fused.relu;
    dw.stride = 1, dw.dilation = dw.pad_top = dw.pad_left = s.dilation;
    fs_launch launch;
    if (fs_launch_resize(&resize, type, 90, 0, &launch)) check::run(launch);
    if (fs_launch_dw(&dw, type, 90, 0, &launch)) check::run(launch);
    return out.bytes();
}

void run_all(const Case &s, const Values &values, const Layer &layer) {
    const check::Buffer tap_y = check::of(taps(s.h, s.oh, s.align)), tap_x = check::of(taps(s.w, s.ow, s.align));
    for (fs_k_type type : TYPES) {
        const Map in(type, s.h, s.w, s.c, s.c + s.in_extra, values);
        const Values middle = resized_map(type, s, rounded(type, values));
        const Shape shape = {s.oh, s.ow, s.c, 1, s.dilation, s.dilation, s.dilation, s.oh, s.ow};
        const Expected expected = depthwise(middle, shape, layer, s.relu);
        std::vector<fs_launch> done;
        for (int sm : CAPABILITIES) {
            int variant = 0;
            for (;; ++variant) {
                const Map out(type, s.oh, s.ow, s.c, s.c + s.out_extra);
                fs_updw_params p = {};
                p.in = in.view, p.out = out.view;
                p.tap_y = tap_y.as<fs_k_tap>(), p.tap_x = tap_x.as<fs_k_tap>();
                p.weights = layer.device_weight.as<float>(), p.bias = layer.device_bias.as<float>();
                p.relu = s.relu, p.dilation = s.dilation;
                fs_launch launch;
                if (!fs_launch_updw(&p, type, sm, variant, &launch)) break;
                bool seen = false;
                for (const fs_launch &other : done)
                    seen =
                        seen || (other.kernel == launch.kernel && !memcmp(other.grid, launch.grid, sizeof launch.grid));
                if (seen) continue;
                done.push_back(launch);
                if (!check::run(launch)) return;
                const std::string what = text(s, type, launch);
                compare(out, expected, what.c_str());
                CHECK(separate(type, p, s) == out.bytes(), "%s: other bits than the separate kernels", what.c_str());
            }
            CHECK(variant > 0, "%s %dx%dx%d: no variant for sm %d", name(type), s.h, s.w, s.c, sm);
        }
        if (check::failures() > 20) return;
    }
}

void run_random(uint64_t seed, const Case &s) {
    check::Random random(seed);
    const Layer layer(random, s.c);
    run_all(s, random_values(random, static_cast<size_t>(s.h * s.w * s.c), -2.0f, 2.0f), layer);
}

const int SIZES[][2] = {{1, 1}, {1, 9}, {9, 1}, {5, 7}, {11, 8}};

// Exactly 4 times the size, as in the network, in both corner conventions.
void four_times() {
    uint64_t seed = 1;
    for (auto &size : SIZES)
        for (int c : {8, 32, 40})
            for (int dilation : {1, 4})
                for (bool align : {false, true})
                    run_random(++seed,
                               {size[0], size[1], c, 4 * size[0], 4 * size[1], dilation, align, seed % 2 == 0, 0, 0});
}

// Any other size: the skip of an odd frame; equal, smaller and much larger ones.
void other_sizes() {
    const int outs[][2] = {{1, 1}, {1, 9}, {9, 1}, {5, 7}, {33, 17}, {16, 16}, {19, 31}};
    uint64_t seed = 1000;
    for (auto &size : SIZES)
        for (auto &out : outs)
            for (int dilation : {1, 4})
                run_random(++seed,
                           {size[0], size[1], 16, out[0], out[1], dilation, seed % 3 == 0, seed % 2 == 0, 0, 0});
}

void channels() {
    uint64_t seed = 2000;
    for (int c : {8, 16, 24, 32, 48, 64, 96, 128, 384, 576})
        for (int dilation : {1, 4})
            if (!check::quick() || c < 100) run_random(++seed, {3, 5, c, 12, 20, dilation, seed % 2 == 0, true, 0, 0});
}

void pitches() {
    uint64_t seed = 3000;
    for (int c : {8, 48})
        for (int in_extra : {0, 8, 64})
            for (int out_extra : {0, 8, 64})
                run_random(++seed, {5, 7, c, 20, 28, seed % 2 ? 1 : 4, seed % 3 == 0, true, in_extra, out_extra});
}

void large() {
    if (check::quick()) return;
    run_random(4000, {16, 32, 128, 64, 128, 1, false, true, 0, 0});
    run_random(4001, {16, 32, 128, 64, 128, 4, true, true, 0, 0});
}

// One border of the small map at a time holds values, then NaN.
void borders() {
    uint64_t seed = 5000;
    for (float value : {3.0f, NAN})
        for (int border = 0; border < 4; ++border)
            for (int dilation : {1, 4})
                for (bool align : {false, true}) {
                    check::Random random(++seed);
                    const Case s = {6, 5, 16, 24, 20, dilation, align, seed % 2 == 0, 0, 0};
                    const Layer layer(random, s.c);
                    Values values(static_cast<size_t>(s.h * s.w * s.c), 0.0f);
                    for (int i = 0; i < s.h * s.w * s.c; ++i) {
                        const int y = i / s.c / s.w, x = i / s.c % s.w;
                        const bool on[] = {y == 0, y == s.h - 1, x == 0, x == s.w - 1};
                        if (on[border]) values[static_cast<size_t>(i)] = value;
                    }
                    run_all(s, values, layer);
                }
}

void nans() {
    for (uint64_t seed = 6000; seed < (check::quick() ? 6004 : 6016); ++seed) {
        check::Random random(seed);
        const int h = 2 + random.below(6), w = 2 + random.below(6);
        const Case s = {h, w, 24, 4 * h, 4 * w, seed % 2 ? 1 : 4, seed % 3 == 0, seed % 4 < 2, 0, 0};
        const Layer layer(random, s.c);
        Values values = random_values(random, static_cast<size_t>(h * w * s.c), -2.0f, 2.0f);
        for (int n = 0; n < 3; ++n) values[static_cast<size_t>(random.below(h * w * s.c))] = NAN;
        run_all(s, values, layer);
    }
}

void extremes() {
    for (uint64_t seed = 7000; seed < 7008; ++seed) {
        check::Random random(seed);
        const Case s = {4, 5, 16, 16, 20, seed % 2 ? 1 : 4, seed % 3 == 0, seed % 4 < 2, 0, 0};
        const Layer layer(random, s.c);
        run_all(s, extreme_values(random, static_cast<size_t>(s.h * s.w * s.c), false), layer);
    }
}

void refusals() {
    fs_updw_params p = {};
    p.in = {nullptr, 8, 8, 16, 16}, p.out = {nullptr, 32, 32, 16, 16};
    fs_launch launch;
    for (fs_k_type type : TYPES)
        for (int sm : {75, 80, 86, 89, 90, 100, 120})
            for (int dilation : {1, 4}) {
                p.dilation = dilation;
                int variants = 0;
                while (fs_launch_updw(&p, type, sm, variants, &launch)) {
                    CHECK(launch.shared <= 64 << 10, "%s: %u bytes of shared memory", launch.name, launch.shared);
                    ++variants;
                }
                CHECK(variants >= 1, "%s sm %d: no variant", name(type), sm);
                CHECK(!fs_launch_updw(&p, type, sm, -1, &launch), "variant -1");
            }
    p.dilation = 3;
    CHECK(!fs_launch_updw(&p, FS_K_F16, 90, 0, &launch), "dilation 3 is taken");
}

} // namespace

int main(int argc, char **argv) {
    if (!check::begin(argc, argv)) return 77;
    check::test("four_times", four_times);
    check::test("other_sizes", other_sizes);
    check::test("channels", channels);
    check::test("pitches", pitches);
    check::test("large", large);
    check::test("borders", borders);
    check::test("nans", nans);
    check::test("extremes", extremes);
    check::test("refusals", refusals);
    return check::finish();
}
