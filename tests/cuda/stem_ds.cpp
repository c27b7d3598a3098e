// The first block in one launch (stem, depthwise, pointwise) against cpu/reference and against the three kernels one
// after another: paddings, odd and tiny sizes, pixel layouts, every alignment of the frame, borders, NaN.
#include <cmath>
#include <cstdio>

#include "cuda/kernels/fused.h"
#include "tests/cuda/maps.h"
#include "tests/cuda/stem_scene.h"

namespace {

using namespace stem_scene;
using maps::Values;

constexpr int last = 48; // output channels
const int architectures[] = {75, 80, 86, 89, 90, 100, 120};

// The two layers behind the stem.
struct block {
    maps::Layer dw;
    Values pw, pw_bias; // [n][k]
    check::Buffer weights, biases;
    bool dw_relu, pw_relu;

    block(check::Random &random, bool middle, bool end)
        : dw(random, outputs),
          pw(check::round_half(maps::random_values(random, static_cast<size_t>(last * outputs), -0.3f, 0.3f))),
          pw_bias(maps::random_values(random, last, -0.5f, 0.5f)), weights(check::of(check::to_half(pw))),
          biases(check::of(pw_bias)), dw_relu(middle), pw_relu(end) {}
    fs_fused_dw fused_dw() const { return {dw.device_weight.as<float>(), dw.device_bias.as<float>(), dw_relu, 2}; }
    fs_fused_pw fused_pw() const { return {weights.data, biases.as<float>(), last, pw_relu}; }
};

int halved(int n) {
    return (n + 1) / 2;
}

fs_stem_ds_params fused_params(const device &on, const block &b, const maps::Map &out) {
    fs_stem_ds_params p = {};
    p.stem = on.p, p.dw = b.fused_dw(), p.pw = b.fused_pw(), p.out = out.view;
    return p;
}

// Kernel by kernel.
Values layered(const device &on, const block &b, int sm) {
    const int h = on.p.out.h, w = on.p.out.w, oh = halved(h), ow = halved(w);
    maps::Map stem(FS_K_F16, h, w, outputs, outputs), mid(FS_K_F16, oh, ow, outputs, outputs);
    maps::Map out(FS_K_F16, oh, ow, last, last);
    fs_stem_params first = on.p;
    first.out = stem.view;
    fs_dw_params second = {};
    second.in = stem.view, second.out = mid.view;
    second.weights = b.dw.device_weight.as<float>(), second.bias = b.dw.device_bias.as<float>();
    second.relu = b.dw_relu, second.stride = 2, second.dilation = second.pad_top = second.pad_left = 1;
    fs_conv_params third = {};
    third.in = mid.view, third.out = out.view, third.weights = b.weights.data, third.bias = b.biases.as<float>();
    third.relu = b.pw_relu, third.kernel = third.stride = third.dilation = 1;
    fs_launch launch;
    CHECK(fs_launch_stem(&first, FS_K_F16, sm, 0, &launch) && check::run(launch), "stem");
    CHECK(fs_launch_dw(&second, FS_K_F16, sm, 0, &launch) && check::run(launch), "depthwise");
    CHECK(fs_launch_conv(&third, FS_K_F16, sm, 0, &launch) && check::run(launch), "pointwise");
    return out.read();
}

// What the reference makes of it with the roundings to half that the layers have, and how far the kernel may be from
// it. A sum in float differs a little, which may turn a rounding to half: one ulp, 2^-10 of the value or 2^-24. Such
// errors go through the next layer's weights.
maps::Expected reference(const numbers &made, const block &b) {
    const auto error_of_half = [](float value) { return std::fabs(value) * 0x1p-10f + 0x1p-24f; };
    const Values stem = check::round_half(made.expected);
    Values stem_error(stem.size());
    for (size_t i = 0; i < stem.size(); i++)
        stem_error[i] = static_cast<float>(made.slack(i % outputs)) + error_of_half(stem[i]);

    const int oh = halved(made.oh), ow = halved(made.ow);
    const maps::Shape shape = {made.oh, made.ow, outputs, 2, 1, 1, 1, oh, ow};
    const maps::Expected mid = maps::depthwise(stem, shape, b.dw, b.dw_relu);
    const Values middle = check::round_half(mid.value);
    fs_op op = {};
    op.kernel = 3, op.stride = 2, op.dilation = op.pad_top = op.pad_left = 1;
    Values sizes = maps::magnitudes(b.dw.weight), zeros(outputs, 0.0f), mid_error(middle.size());
    fs_folded folded = {sizes.data(), zeros.data()};
    fs_ref_dwconv(stem_error.data(), made.oh, made.ow, outputs, &op, &folded, oh, ow, mid_error.data());
    for (size_t i = 0; i < middle.size(); i++) mid_error[i] += mid.slack[i] + error_of_half(middle[i]);

    maps::Expected expected;
    for (size_t i = 0; i < middle.size(); i += outputs)
        for (size_t n = 0; n < last; n++) {
            double sum = static_cast<double>(b.pw_bias[n]), error = 0, size = std::fabs(sum);
            for (size_t k = 0; k < outputs; k++) {
                const double w = static_cast<double>(b.pw[n * outputs + k]);
                sum += w * static_cast<double>(middle[i + k]);
                error += std::fabs(w) * static_cast<double>(mid_error[i + k]);
                size += std::fabs(w * static_cast<double>(middle[i + k]));
            }
            if (b.pw_relu && sum < 0) sum = 0;
            expected.value.push_back(static_cast<float>(sum));
            expected.slack.push_back(static_cast<float>(error + size * 34 * 0x1p-23));
        }
    return expected;
}

// Biases of windows that no pixel of the map has: what lies outside the map is zero, not these.
void poison_unused(numbers &made) {
    const auto masks = [](int size, int lead, int count) {
        unsigned used = 0;
        for (int i = 0; i < count; i++) {
            int mask = 0;
            for (int k = 0; k < 3; k++)
                if (2 * i - lead + k >= 0 && 2 * i - lead + k < size) mask |= 1 << k;
            used |= 1u << mask;
        }
        return used;
    };
    const unsigned rows = masks(made.p.h, made.p.pad_top, made.oh), columns = masks(made.p.w, made.p.pad_left, made.ow);
    for (unsigned m = 0; m < 64; m++)
        if (!(rows >> (m / 8) & 1 && columns >> (m % 8) & 1))
            for (size_t n = 0; n < outputs; n++) made.folded[m * outputs + n] = NAN;
}

void compare(const scene &s, int sm, uint64_t seed) {
    numbers made(s, FS_K_F16, seed);
    poison_unused(made);
    const device on(made, FS_K_F16);
    check::Random random(seed + 10000);
    const block b(random, seed % 2 == 0, seed % 3 != 0);
    const int oh = halved(made.oh), ow = halved(made.ow);
    const maps::Expected expected = reference(made, b);
    const fence around = on.around(made);
    const Values chain = layered(on, b, sm);
    for (int variant = 0;; variant++) {
        maps::Map out(FS_K_F16, oh, ow, last, last + s.extra);
        const fs_stem_ds_params p = fused_params(on, b, out);
        fs_launch launch;
        if (!fs_launch_stem_ds(&p, sm, variant, &launch)) {
            CHECK(variant >= 2, "sm %d has %d variants", sm, variant);
            break;
        }
        if (!check::run(launch)) return;
        char what[200];
        snprintf(what, sizeof what,
                 "%s, sm %d: %dx%d pad %d, %d bytes order %d%d%d%d for %d channels, gap %d, shift %d, fill %d, seed %d",
                 launch.name, sm, s.h, s.w, static_cast<int>(s.pad), p.stem.pixel, p.stem.order[0], p.stem.order[1],
                 p.stem.order[2], p.stem.order[3], p.stem.channels, s.gap, s.shift, static_cast<int>(s.fill),
                 static_cast<int>(seed));
        maps::compare(out, expected, what);
        const std::vector<unsigned char> once = out.bytes();
        const Values values = out.read();
        // The same roundings in both: few values differ at all, by a rounding that a sum's order has turned.
        size_t differ = 0;
        for (size_t i = 0; i < values.size(); i++) {
            if (values[i] != chain[i]) differ++;
            CHECK(maps::agrees(FS_K_F16, values[i], chain[i], static_cast<double>(expected.slack[i])) ||
                      check::failures() > 20,
                  "%s: value %zu is %g, layer by layer %g", what, i, static_cast<double>(values[i]),
                  static_cast<double>(chain[i]));
        }
        CHECK(differ <= values.size() / 20 + 4, "%s: %zu of %zu values differ from the layers'", what, differ,
              values.size());
        CHECK(check::run(launch) && out.bytes() == once, "%s: another run gives other bits", what);
        if (check::failures() > 20) return;
    }
}

void compare_some(const scene &s, uint64_t seed) {
    compare(s, architectures[seed % 7], seed);
}

void paddings_and_sizes() {
    static const int sizes[][2] = {{3, 3},   {3, 4},   {5, 3},    {4, 9},   {7, 6},   {33, 66},
                                   {34, 65}, {31, 63}, {37, 131}, {66, 30}, {36, 139}};
    uint64_t seed = 1;
    for (const auto &size : sizes)
        for (padding pad : {pad_none, pad_one, pad_same})
            for (const pixels &layout : {rgb, four})
                if (!check::quick() || seed % 3 == 0)
                    compare_some({size[0], size[1], pad, layout, 0, 0, scene::noise, 0}, seed++);
                else
                    seed++;
    compare_some({1, 1, pad_one, rgb, 0, 0, scene::noise, 0}, seed++);
    compare_some({1, 70, pad_one, four, 0, 0, scene::noise, 0}, seed++);
    compare_some({70, 1, pad_same, rgb, 0, 0, scene::noise, 0}, seed++);
    compare_some({2, 2, pad_same, rgba, 0, 1, scene::noise, 0}, seed++);
}

// Every distance of the map's right and lower edges from the tiles', modulo what matters.
void edges() {
    uint64_t seed = 100;
    for (int i = 0; i < 9; i++)
        for (const pixels &layout : {rgb, four}) {
            if (check::quick() && i % 4) continue;
            compare_some({28 + i, 124 + 2 * i, pad_one, layout, i % 4, i, scene::noise, 0}, seed++);
            compare_some({36 - i, 141 - 2 * i, i % 2 ? pad_same : pad_none, layout, 0, 0, scene::noise, 0}, seed++);
        }
}

// Frames with tiles that touch no border, whose rows are copied as they lie when they lie alike: every alignment.
void alignments() {
    uint64_t seed = 200;
    for (int shift = 0; shift < 16; shift++) {
        if (check::quick() && shift % 5) continue;
        compare({68, 282, pad_one, rgb, 2, shift, scene::noise, 0}, shift % 2 ? 90 : 80, seed++); // 846 + 2 = 53 * 16
        compare({68, 280, pad_same, shift % 3 ? four : rgba, 0, shift, scene::noise, 0}, 90, seed++);
    }
    compare({68, 282, pad_none, bgr, 2, 0, scene::noise, 0}, 86, seed++);
    compare({69, 281, pad_same, rgb, 5, 3, scene::noise, 0}, 75, seed++);
    // Rows that do not lie alike.
    for (int gap : {0, 1, 4, 7, 8}) compare({68, 282, pad_one, rgb, gap, 1, scene::noise, 0}, 90, seed++);
    for (int gap : {1, 2, 4, 8}) compare({68, 280, pad_one, four, gap, 2, scene::noise, 0}, 90, seed++);
}

// The right and the lower edge of the frame at every distance from where the copied pieces end.
void copied_edges() {
    uint64_t seed = 300;
    for (int h = 62; h < 66; h++) compare({h, 282, pad_one, rgb, 2, 0, scene::noise, 0}, 90, seed++);
    for (int w = check::quick() ? 262 : 255; w < 268; w++)
        compare({68, w, pad_one, rgb, 16 - w * 3 % 16, w % 16, scene::noise, 0}, 90, seed++);
}

void pixel_layouts() {
    uint64_t seed = 400;
    for (const pixels &layout : layouts) {
        const int w = 144;
        const scene s = {68, w, pad_one, layout, 0, 0, scene::noise, 0};
        compare(s, seed % 2 ? 80 : 120, seed), seed++;
        if (!check::quick())
            compare({37, 75, pad_same, layout, 5, 1, scene::noise, 0}, architectures[seed % 7], seed), seed++;
    }
}

void extremes() {
    uint64_t seed = 500;
    for (auto fill : {scene::black, scene::white})
        for (padding pad : {pad_none, pad_one, pad_same})
            for (const pixels &layout : {rgb, four, pixels{1, {0, 0, 0, 0}, 3}})
                compare_some({35, 70, pad, layout, 3, 1, fill, 0}, seed++);
}

void wide_pitch() {
    compare_some({35, 70, pad_one, rgb, 0, 0, scene::noise, 8}, 600);
    compare_some({34, 69, pad_same, four, 0, 0, scene::noise, 16}, 601);
}

// A NaN among the weights or biases of a layer shows where that number is used, and only there.
void nan_stays_visible() {
    const scene s = {69, 139, pad_one, rgb, 0, 0, scene::noise, 0}; // odd: the last row has a bias of its own
    enum { stem_weight, stem_bias, top_bias, dw_weight, dw_bias, pw_weight, pw_bias, places };
    for (int place = 0; place < places; place++) {
        numbers made(s, FS_K_F16, 700);
        if (place == stem_weight) made.kernel[13 * 48 + 13] = NAN; // the middle tap: inside everywhere
        for (size_t m = 0; m < 64; m++)
            if (place == stem_bias || (place == top_bias && m / 8 == 6)) made.folded[m * outputs + 13] = NAN;
        const device on(made, FS_K_F16);
        check::Random random(701);
        const block b(random, place % 2 == 0, true);
        Values weight = b.dw.weight, bias = b.dw.bias, pw = b.pw, end = b.pw_bias;
        (place == dw_bias ? bias[13] : bias[0]) *= place == dw_bias ? NAN : 1;
        if (place == dw_weight) weight[4 * outputs + 13] = NAN;
        if (place == pw_weight) pw[37 * outputs + 13] = NAN;
        if (place == pw_bias) end[37] = NAN;
        check::Buffer device_weight = check::of(weight), device_bias = check::of(bias);
        check::Buffer device_pw = check::of(check::to_half(pw)), device_end = check::of(end);
        for (int variant = 0; variant < 3; variant++) {
            const int oh = halved(made.oh), ow = halved(made.ow);
            maps::Map out(FS_K_F16, oh, ow, last, last);
            fs_stem_ds_params p = fused_params(on, b, out);
            p.dw.weights = device_weight.as<float>(), p.dw.bias = device_bias.as<float>();
            p.pw.weights = device_pw.data, p.pw.bias = device_end.as<float>();
            fs_launch launch;
            CHECK(fs_launch_stem_ds(&p, 90, variant, &launch), "no variant %d", variant);
            if (!check::run(launch)) return;
            const Values got = out.read();
            for (size_t i = 0; i < got.size() && check::failures() < 20; i++) {
                const size_t row = i / last / static_cast<size_t>(ow), n = i % last;
                const bool expected = place == top_bias ? row == 0 : place < pw_weight || n == 37;
                CHECK(std::isnan(got[i]) == expected, "place %d, %s: value %zu is %g", place, launch.name, i,
                      static_cast<double>(got[i]));
            }
        }
    }
}

void declines() {
    fs_stem_ds_params good = {};
    good.stem.channels = good.stem.pixel = 3, good.stem.order[1] = 1, good.stem.order[2] = 2;
    good.stem.out = {nullptr, 65, 40, 32, 32}, good.out = {nullptr, 33, 20, 48, 48};
    good.dw.stride = 2, good.pw.n = 48;
    fs_launch launch;
    for (int sm : architectures) {
        int variant = 0;
        for (; fs_launch_stem_ds(&good, sm, variant, &launch); variant++)
            CHECK(launch.shared <= fs_shared_limit(sm), "sm %d variant %d: %u bytes", sm, variant, launch.shared);
        CHECK(variant == (sm == 75 ? 2 : 3), "sm %d has %d variants", sm, variant);
        CHECK(!fs_launch_stem_ds(&good, sm, -1, &launch), "variant -1");
    }
    const auto declined = [&](void (*change)(fs_stem_ds_params &)) {
        fs_stem_ds_params p = good;
        change(p);
        return !fs_launch_stem_ds(&p, 90, 0, &launch);
    };
    CHECK(declined([](fs_stem_ds_params &p) { p.stem.out.c = 16; }), "stem of 16 channels");
    CHECK(declined([](fs_stem_ds_params &p) { p.stem.channels = 1; }), "frame of 1 channel");
    CHECK(declined([](fs_stem_ds_params &p) { p.dw.stride = 1; }), "depthwise with stride 1");
    CHECK(declined([](fs_stem_ds_params &p) { p.pw.n = 64; }), "64 outputs");
    CHECK(declined([](fs_stem_ds_params &p) { p.out.c = 40; }), "map of 40 channels");
    CHECK(declined([](fs_stem_ds_params &p) { p.out.pitch = 50; }), "pitch 50");
    CHECK(declined([](fs_stem_ds_params &p) { p.out.h = 32; }), "another height");
    CHECK(declined([](fs_stem_ds_params &p) { p.out.w = 21; }), "another width");
}

} // namespace

int main(int argc, char **argv) {
    if (!check::begin(argc, argv)) return 77;
    check::test("declines", declines);
    check::test("paddings_and_sizes", paddings_and_sizes);
    check::test("edges", edges);
    check::test("alignments", alignments);
    check::test("copied_edges", copied_edges);
    check::test("pixel_layouts", pixel_layouts);
    check::test("extremes", extremes);
    check::test("wide_pitch", wide_pitch);
    check::test("nan_stays_visible", nan_stays_visible);
    return check::finish();
}
