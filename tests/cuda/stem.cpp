// The stem kernels against normalise + convolution + ReLU of cpu/reference, over paddings, odd sizes, pixel layouts,
// strides and alignments.
#include "tests/cuda/stem_scene.h"

namespace {

using namespace stem_scene;

void compare(const scene &s, fs_k_type type, int sm, int variant, uint64_t seed) {
    const numbers made(s, type, seed);
    const bool half = type == FS_K_F16;
    const size_t count = static_cast<size_t>(made.oh) * static_cast<size_t>(made.ow),
                 pitch = static_cast<size_t>(outputs + s.extra);
    device on(made, type);
    check::Buffer out(count * pitch * (half ? 2 : 4));
    on.p.out.data = out.data, on.p.out.pitch = static_cast<int>(pitch);
    fs_launch launch;
    CHECK(fs_launch_stem(&on.p, type, sm, variant, &launch), "no variant %d", variant);
    {
        const fence around = on.around(made);
        if (!check::run(launch)) return;
    }
    const std::vector<float> got =
        half ? check::from_half(check::get<uint16_t>(out, count * pitch)) : check::get<float>(out, count * pitch);
    for (size_t i = 0; i < count && check::failures() < 20; i++)
        for (size_t n = 0; n < pitch; n++) {
            const float value = got[i * pitch + n];
            if (n >= outputs) { // padding that no kernel of 32 channels covers
                CHECK(std::isnan(value), "padding channel %zu of pixel %zu was written", n, i);
                continue;
            }
            // One rounding to half: 2^-11, below its normal range 2^-25.
            const double want = static_cast<double>(made.expected[i * outputs + n]);
            const double slack = made.slack(n) + (half ? std::fabs(want) / 2048 + 1.0 / 33554432 : 0);
            CHECK(std::fabs(static_cast<double>(value) - want) <= slack,
                  "%s: %dx%d pad %d, %d bytes order %d%d%d%d for %d channels, gap %d, shift %d, fill %d: row %zu "
                  "column %zu "
                  "channel %zu is %g, expected %g +- %g",
                  launch.name, s.h, s.w, static_cast<int>(s.pad), on.p.pixel, on.p.order[0], on.p.order[1],
                  on.p.order[2], on.p.order[3], on.p.channels, s.gap, s.shift, static_cast<int>(s.fill),
                  i / static_cast<size_t>(made.ow), i % static_cast<size_t>(made.ow), n, static_cast<double>(value),
                  want, slack);
        }
}

void compare_all(const scene &s, uint64_t seed) {
    static const int architectures[] = {75, 80, 90};
    const int sm = architectures[seed % 3];
    compare(s, FS_K_F16, sm, 0, seed);
    compare(s, FS_K_F16, sm, 1, seed);
    compare(s, FS_K_F32, sm, 0, seed);
}

void paddings_and_sizes() {
    static const int sizes[][2] = {{64, 64},  {65, 64}, {64, 65}, {67, 97}, {33, 131},
                                   {17, 259}, {3, 3},   {5, 4},   {4, 130}};
    uint64_t seed = 1;
    for (const auto &size : sizes)
        for (padding pad : {pad_none, pad_one, pad_same})
            for (const pixels &layout : {rgb, four})
                compare_all({size[0], size[1], pad, layout, 0, 0, scene::noise, 0}, seed++);
}

// Tiles whose window touches no border, beside those that do.
void interior_tiles() {
    compare_all({70, 420, pad_one, rgb, 12, 0, scene::noise, 0}, 100);
    compare_all({53, 401, pad_same, four, 0, 0, scene::noise, 0}, 101);
    compare_all({53, 401, pad_none, rgba, 0, 1, scene::noise, 0}, 102);
    compare_all({40, 402, pad_one, bgr, 1, 3, scene::noise, 0}, 103);
}

// The last column tile with its right edge at every distance from the frame's, in rows that touch no border too.
void right_edges() {
    uint64_t seed = 150;
    for (int w = 250; w <= 262; w++)
        for (padding pad : {pad_none, pad_one, pad_same})
            for (const pixels &layout : {rgb, four})
                compare_all({36, w, pad, layout, w % 2 ? 9 : 0, w % 4, scene::noise, 0}, seed++);
}

void pixel_layouts() {
    uint64_t seed = 200;
    for (const pixels &layout : layouts)
        for (int shift : {0, 1}) compare_all({37, 301, pad_one, layout, 5 * shift, shift, scene::noise, 0}, seed++);
}

void strides_and_alignments() {
    uint64_t seed = 300;
    for (const pixels &layout : {rgb, four})
        for (int shift = 0; shift < 4; shift++)
            for (int gap : {0, 1, 2, 3, 13, 32})
                compare_all({21, 288, pad_one, layout, gap, shift, scene::noise, 0}, seed++);
}

void extremes() {
    uint64_t seed = 400;
    for (auto fill : {scene::black, scene::white})
        for (padding pad : {pad_none, pad_one, pad_same})
            for (const pixels &layout : {rgb, four, pixels{1, {0, 0, 0, 0}, 3}})
                compare_all({35, 150, pad, layout, 3, 1, fill, 0}, seed++);
}

void wide_pitch() {
    compare_all({30, 140, pad_one, rgb, 0, 0, scene::noise, 8}, 500);
    compare_all({31, 139, pad_same, four, 0, 0, scene::noise, 32}, 501);
}

// A weight or bias that is NaN shows in every pixel of its channel, and only there.
void nan_stays_visible() {
    const int h = 20, w = 140, oh = 10, ow = 70;
    const check::Buffer frame = check::of(std::vector<uint8_t>(static_cast<size_t>(h) * w * 3, 7));
    for (int variant = 0; variant < 2; variant++)
        for (bool in_bias : {false, true}) {
            std::vector<uint16_t> weights(outputs * 48, check::to_half(0.5f));
            for (size_t i = 0; i < weights.size(); i++)
                if (i % 48 >= 27) weights[i] = 0;
            std::vector<float> bias(64 * outputs, -1.0f);
            for (size_t i = 0; i < 64 && in_bias; i++) bias[i * outputs + 13] = NAN;
            if (!in_bias) weights[13 * 48 + 13] = 0x7e00; // the middle tap: inside everywhere
            check::Buffer packed = check::of(weights), biases = check::of(bias);
            check::Buffer out(static_cast<size_t>(oh) * ow * outputs * 2);
            fs_stem_params p = {};
            p.frame = frame.as<uint8_t>(), p.stride = w * 3, p.pixel = 3, p.order[1] = 1, p.order[2] = 2;
            p.h = h, p.w = w, p.channels = 3, p.pad_top = p.pad_left = 1, p.scale = 1;
            p.weights = packed.data, p.bias = biases.as<float>();
            p.out.data = out.data, p.out.h = oh, p.out.w = ow, p.out.c = p.out.pitch = outputs;
            fs_launch launch;
            CHECK(fs_launch_stem(&p, FS_K_F16, check::sm(), variant, &launch), "no variant %d", variant);
            if (!check::run(launch)) return;
            const std::vector<float> got =
                check::from_half(check::get<uint16_t>(out, static_cast<size_t>(oh) * ow * outputs));
            for (size_t i = 0; i < got.size() && check::failures() < 20; i++)
                CHECK(std::isnan(got[i]) == (i % outputs == 13), "variant %d: value %zu is %g", variant, i,
                      static_cast<double>(got[i]));
        }
}

void variants_end() {
    fs_stem_params p = {};
    p.channels = p.pixel = 3, p.order[1] = 1, p.order[2] = 2, p.out.h = p.out.w = 32;
    fs_launch launch;
    for (int sm : {75, 80, 86, 89, 90, 100, 120}) {
        CHECK(fs_launch_stem(&p, FS_K_F16, sm, 0, &launch) && fs_launch_stem(&p, FS_K_F16, sm, 1, &launch), "sm %d",
              sm);
        CHECK(!fs_launch_stem(&p, FS_K_F16, sm, 2, &launch), "sm %d", sm);
        CHECK(fs_launch_stem(&p, FS_K_F32, sm, 0, &launch) && !fs_launch_stem(&p, FS_K_F32, sm, 1, &launch), "sm %d",
              sm);
    }
    CHECK(!fs_launch_stem(&p, FS_K_F16, 90, -1, &launch), "variant -1");
}

} // namespace

int main(int argc, char **argv) {
    if (!check::begin(argc, argv)) return 77;
    check::test("variants_end", variants_end);
    check::test("paddings_and_sizes", paddings_and_sizes);
    check::test("interior_tiles", interior_tiles);
    check::test("right_edges", right_edges);
    check::test("pixel_layouts", pixel_layouts);
    check::test("strides_and_alignments", strides_and_alignments);
    check::test("extremes", extremes);
    check::test("wide_pitch", wide_pitch);
    check::test("nan_stays_visible", nan_stays_visible);
    return check::finish();
}
