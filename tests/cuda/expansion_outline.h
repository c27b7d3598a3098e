// What the tests of all forms of an inverted bottleneck have in common: the cases, against the reference and the layers
// one by one, and what every form must decline. A form says how its launches are filled.
#ifndef FS_TESTS_CUDA_EXPANSION_OUTLINE_H
#define FS_TESTS_CUDA_EXPANSION_OUTLINE_H

#include <memory>
#include <string>

#include "tests/cuda/expansion.h"

namespace expansion {

using maps::Map;

struct Shape {
    int cin, cout, stride;
};

// One case on the device. Scratch: the kernels' own, whatever is in it. Counters: theirs as well, zeros.
struct Scene {
    Case c;
    Numbers numbers;
    Weights weights;
    Map in, residual;
    mutable std::unique_ptr<check::Buffer> scratch, counters;

    Scene(const Case &of, uint64_t seed)
        : c(of), numbers(numbers_of(c, seed)), weights(c, numbers),
          in(FS_K_F16, c.h, c.w, c.cin, c.cin + c.in_extra, numbers.in),
          residual(FS_K_F16, c.oh(), c.ow(), c.cout, c.cout + 8, numbers.residual) {}

    fs_bottleneck_split_params split(const fs_bottleneck_params &block, int splits) const {
        const size_t floats = fs_bottleneck_split_floats(&block.out, splits);
        if (!scratch || scratch->bytes < floats * sizeof(float))
            scratch = std::make_unique<check::Buffer>(floats * sizeof(float));
        if (!counters) {
            const std::vector<unsigned> zeros(fs_bottleneck_split_counters(&block.out));
            counters = std::make_unique<check::Buffer>(check::of(zeros));
        }
        return {block, scratch->as<float>(), counters->as<unsigned>(), splits};
    }
    fs_bottleneck_params params(const fs_map &out) const {
        fs_bottleneck_params p = {};
        p.in = in.view, p.out = out;
        p.expand = weights.expand_of(c), p.dw = weights.dw_of(c), p.project = weights.project_of(c);
        if (c.residual) p.residual = c.residual == 2 ? in.view : residual.view;
        return p;
    }
};

using Chain = std::vector<fs_launch>; // one after the other

struct Form {
    std::vector<Shape> shapes;
    bool half; // it ends behind the depthwise: E channels come out
    // Variant `variant` of this form; false: there is none.
    bool (*fill)(const Scene &scene, const fs_map &out, int sm, int variant, Chain &chain);
    // Whether these parameters, without data, are taken on sm 90. E channels come out with `half`.
    bool (*takes)(const fs_bottleneck_params &p);
};

namespace outline {

inline const Form *form;

inline int channels(const Case &c) {
    return form->half ? c.e() : c.cout;
}

inline std::vector<unsigned char> separate(const Scene &scene, int pitch) {
    const Case &c = scene.c;
    const Map middle(FS_K_F16, c.oh(), c.ow(), c.e(), form->half ? pitch : c.e());
    const Map out(FS_K_F16, c.oh(), c.ow(), c.cout, form->half ? c.cout : pitch);
    const fs_bottleneck_params p = scene.params(out.view);
    separate_expand_dw(p.in, p.expand, p.dw, middle.view);
    if (form->half) return middle.bytes();
    fs_conv_params conv = {};
    conv.in = middle.view, conv.weights = p.project.weights, conv.bias = p.project.bias, conv.out = out.view;
    conv.residual = p.residual, conv.kernel = conv.stride = conv.dilation = 1;
    fs_launch launch;
    CHECK(fs_launch_conv(&conv, FS_K_F16, 90, 0, &launch) && check::run(launch), "projection by itself");
    return out.bytes();
}

inline bool run(const Chain &chain) {
    for (const fs_launch &launch : chain)
        if (!check::run(launch)) return false;
    return true;
}

// Every variant on every compute capability; equal launches run once.
inline void run_all(const Case &c, uint64_t seed) {
    const Scene scene(c, seed);
    const Expected expected = form->half ? expand_dw(c, scene.numbers) : bottleneck(c, scene.numbers);
    std::vector<fs_launch> done;
    for (int sm : CAPABILITIES)
        for (int variant = 0;; variant++) {
            const Map out(FS_K_F16, c.oh(), c.ow(), channels(c), channels(c) + c.out_extra);
            Chain chain;
            if (!form->fill(scene, out.view, sm, variant, chain)) break;
            for (const fs_launch &l : chain)
                CHECK(l.shared <= fs_shared_limit(sm), "%s on sm %d: %u bytes shared", l.name, sm, l.shared);
            bool seen = false;
            for (const fs_launch &other : done)
                seen = seen || (other.kernel == chain[0].kernel && other.block == chain[0].block);
            if (seen) continue;
            done.push_back(chain[0]);
            if (!run(chain)) return;
            const std::string what = text(c, chain[0].name);
            compare(c, out, expected, what.c_str());
            if (c.data == Data::exact && c.nan_pixel < 0)
                CHECK(separate(scene, out.view.pitch) == out.bytes(), "%s: other bits than the layers one by one",
                      what.c_str());
        }
    CHECK(!done.empty(), "%s", text(c, "no variant").c_str());
}

inline Case case_of(const Shape &s, int h, int w) {
    return {h, w, s.cin, s.cout, s.stride};
}

inline void sizes() {
    uint64_t seed = 0;
    for (const Shape &s : form->shapes)
        for (auto &size : SIZES) {
            Case c = case_of(s, size[0], size[1]);
            ++seed;
            if (check::quick() && seed % 4 != 0) continue;
            c.residual = static_cast<int>(seed % 2);
            if (seed % 4 == 0 && s.cin == s.cout && s.stride == 1) c.residual = 2;
            run_all(c, seed);
        }
}

inline void pitches() {
    uint64_t seed = 100;
    for (const Shape &s : form->shapes)
        for (int extra : {8, 64}) {
            Case c = case_of(s, 5, 11);
            c.in_extra = extra, c.out_extra = 72 - extra, c.residual = 1;
            ++seed;
            if (!check::quick() || (s.cin == 64 && extra == 64)) run_all(c, seed);
        }
}

inline void real() {
    uint64_t seed = 200;
    for (const Shape &s : form->shapes)
        for (int residual : {0, 1}) {
            Case c = case_of(s, 10, 13);
            c.data = Data::real, c.residual = residual;
            ++seed;
            if (!check::quick() || (!residual && s.cin != 128)) run_all(c, seed);
        }
}

// What is zero outside the input is the expanded map: the bias of the expansion must not get there.
inline void borders() {
    uint64_t seed = 300;
    for (const Shape &s : form->shapes)
        for (int border = 0; border < 4; border++) {
            Case c = case_of(s, 11, 9);
            c.border = border;
            ++seed;
            if (!check::quick() || (s.cin == 64 && border == static_cast<int>(seed / 4 % 4))) run_all(c, seed);
        }
}

inline void nans() {
    uint64_t seed = 400;
    for (const Shape &s : form->shapes)
        for (int pixel : {0, 8, 40, 9 * 11 - 1}) {
            Case c = case_of(s, 9, 11);
            c.nan_pixel = pixel, c.residual = pixel == 40;
            ++seed;
            if (!check::quick() || (s.cin == 64 && pixel == 8)) run_all(c, seed);
        }
}

inline void overflow() {
    uint64_t seed = 500;
    for (const Shape &s : form->shapes) {
        Case c = case_of(s, 6, 7);
        c.data = Data::overflow;
        ++seed;
        if (!check::quick() || s.cin != 128) run_all(c, seed);
    }
}

// The same bits every time, whatever was in the scratch.
inline void repeats() {
    for (const Shape &s : form->shapes) {
        if (check::quick() && s.cin != 64) continue;
        Case c = case_of(s, 12, 10);
        c.data = Data::real;
        const Scene scene(c, 600);
        std::vector<unsigned char> before;
        for (int i = 0; i < 3; i++) {
            const Map out(FS_K_F16, c.oh(), c.ow(), channels(c), channels(c));
            Chain chain;
            CHECK(form->fill(scene, out.view, 90, 0, chain), "declined");
            if (chain.empty() || !run(chain)) return;
            CHECK(i == 0 || before == out.bytes(), "%s: other bits", text(c, chain[0].name).c_str());
            before = out.bytes();
        }
    }
}

// Parameters without data, which every form takes on sm 90.
inline fs_bottleneck_params plain(const Shape &s) {
    fs_bottleneck_params p = {};
    const int size = 15 / s.stride + 1, c = form->half ? 6 * s.cin : s.cout;
    p.in = {nullptr, 16, 16, s.cin, s.cin}, p.out = {nullptr, size, size, c, c};
    p.expand.n = 6 * s.cin, p.expand.relu = p.dw.relu = 1, p.dw.stride = s.stride, p.project.n = s.cout;
    return p;
}

inline void refusals() {
    using Other = fs_bottleneck_params;
    for (const Shape &s : form->shapes) {
        const Other p = plain(s);
        CHECK(form->takes(p), "a shape is declined: %d to %d, stride %d", s.cin, s.cout, s.stride);
        const auto declined = [&](const char *what, const auto &change) {
            Other other = p;
            change(other);
            CHECK(!form->takes(other), "%s is taken", what);
        };
        declined("an expansion without ReLU", [](Other &o) { o.expand.relu = 0; });
        declined("a depthwise without ReLU", [](Other &o) { o.dw.relu = 0; });
        declined("stride 3", [](Other &o) { o.dw.stride = 3; });
        declined("another expansion", [](Other &o) { o.expand.n -= 32; });
        declined("72 channels", [](Other &o) { o.in.c = o.in.pitch = 72; });
        declined("channels that are not there", [](Other &o) { o.out.c -= 32; });
        declined("a higher output", [](Other &o) { o.out.h++; });
        declined("a wider output", [](Other &o) { o.out.w++; });
        declined("an input of too small a pitch", [](Other &o) { o.in.pitch -= 8; });
        declined("an input of an odd pitch", [](Other &o) { o.in.pitch += 4; });
        declined("an output of too small a pitch", [](Other &o) { o.out.pitch = o.out.c - 8; });
        declined("an output of an odd pitch", [](Other &o) { o.out.pitch += 2; });
        if (form->half) continue;
        declined("a projection with ReLU", [](Other &o) { o.project.relu = 1; });
        declined("56 channels out", [](Other &o) { o.project.n = o.out.c = 56; });
        declined("channels that are not projected", [](Other &o) { o.project.n += 32; });
    }
}

// For those that add the residual themselves.
inline void residual_refusals() {
    using Other = fs_bottleneck_params;
    static char somewhere[16];
    for (const Shape &s : form->shapes) {
        Other p = plain(s);
        p.residual = p.out, p.residual.data = somewhere;
        CHECK(form->takes(p), "a residual of the output's shape is declined");
        const auto declined = [&](const char *what, const auto &change) {
            Other other = p;
            change(other);
            CHECK(!form->takes(other), "%s is taken", what);
        };
        declined("a residual of another size", [](Other &o) { o.residual.w--; });
        declined("a residual of other channels", [](Other &o) { o.residual.c -= 8; });
        declined("a residual of an odd pitch", [](Other &o) { o.residual.pitch += 4; });
    }
}

} // namespace outline

inline void test_form(const Form &form) {
    outline::form = &form;
    check::test("sizes", outline::sizes);
    check::test("pitches", outline::pitches);
    check::test("real", outline::real);
    check::test("borders", outline::borders);
    check::test("nans", outline::nans);
    check::test("overflow", outline::overflow);
    check::test("repeats", outline::repeats);
    check::test("refusals", outline::refusals);
}

} // namespace expansion

#endif
