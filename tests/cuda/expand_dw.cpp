// The fused expansion and depthwise against the reference, and against the layers one by one.
#include <cstdio>
#include <string>

#include "tests/cuda/expansion.h"

using namespace expansion;
using maps::Map;

namespace {

struct Shape {
    int cin, stride;
};
const Shape SHAPES[] = {{64, 1}, {64, 2}, {96, 1}, {128, 1}};

fs_expand_dw_params params_of(const Case &c, const Weights &weights, const Map &in, const fs_map &out) {
    fs_expand_dw_params p = {};
    p.in = in.view, p.out = out, p.expand = weights.expand_of(c), p.dw = weights.dw_of(c);
    return p;
}

void run_all(const Case &c, uint64_t seed) {
    const Numbers numbers = numbers_of(c, seed);
    const Weights weights(c, numbers);
    const Map in(FS_K_F16, c.h, c.w, c.cin, c.cin + c.in_extra, numbers.in);
    const Expected expected = expand_dw(c, numbers);
    std::vector<fs_launch> done;
    for (int sm : CAPABILITIES) {
        int variant = 0;
        for (;; variant++) {
            const Map out(FS_K_F16, c.oh(), c.ow(), c.e(), c.e() + c.out_extra);
            const fs_expand_dw_params p = params_of(c, weights, in, out.view);
            fs_launch launch;
            if (!fs_launch_expand_dw(&p, sm, variant, &launch)) break;
            CHECK(launch.shared <= fs_shared_limit(sm), "%s on sm %d: %u bytes shared", launch.name, sm, launch.shared);
            bool seen = false;
            for (const fs_launch &other : done)
                seen = seen || (other.kernel == launch.kernel && other.block == launch.block);
            if (seen) continue;
            done.push_back(launch);
            if (!check::run(launch)) return;
            const std::string what = text(c, launch.name);
            compare(c, out, expected, what.c_str());
            if (c.data == Data::exact && c.nan_pixel < 0) {
                const Map layers(FS_K_F16, c.oh(), c.ow(), c.e(), c.e() + c.out_extra);
                separate_expand_dw(p.in, p.expand, p.dw, layers.view);
                CHECK(layers.bytes() == out.bytes(), "%s: other bits than the layers one by one", what.c_str());
            }
        }
        CHECK(variant > 0, "%s: no variant for sm %d", text(c, "expand_dw").c_str(), sm);
    }
}

Case case_of(const Shape &s, int h, int w) {
    return {h, w, s.cin, s.cin, s.stride};
}

void sizes() {
    uint64_t seed = 0;
    for (const Shape &s : SHAPES)
        for (auto &size : SIZES)
            if (++seed % 3 == 0 || !check::quick()) run_all(case_of(s, size[0], size[1]), seed);
}

void pitches() {
    uint64_t seed = 100;
    for (const Shape &s : SHAPES)
        for (int extra : {8, 64}) {
            Case c = case_of(s, 5, 11);
            c.in_extra = extra, c.out_extra = 72 - extra;
            run_all(c, ++seed);
        }
}

void real() {
    uint64_t seed = 200;
    for (const Shape &s : SHAPES) {
        Case c = case_of(s, 10, 13);
        c.data = Data::real;
        run_all(c, ++seed);
    }
}

void borders() {
    uint64_t seed = 300;
    for (const Shape &s : SHAPES)
        for (int border = 0; border < 4; border++) {
            Case c = case_of(s, 11, 9);
            c.border = border;
            if (!check::quick() || border % 2 == 0) run_all(c, ++seed);
        }
}

void nans() {
    uint64_t seed = 400;
    for (const Shape &s : SHAPES)
        for (int pixel : {0, 8, 40, 9 * 11 - 1}) {
            Case c = case_of(s, 9, 11);
            c.nan_pixel = pixel;
            if (!check::quick() || pixel == 8) run_all(c, ++seed);
        }
}

void overflow() {
    uint64_t seed = 500;
    for (const Shape &s : SHAPES) {
        Case c = case_of(s, 6, 7);
        c.data = Data::overflow;
        run_all(c, ++seed);
    }
}

void refusals() {
    fs_launch launch;
    for (const Shape &s : SHAPES) {
        fs_expand_dw_params p = {};
        p.in = {nullptr, 16, 16, s.cin, s.cin};
        p.out = {nullptr, 15 / s.stride + 1, 15 / s.stride + 1, 6 * s.cin, 6 * s.cin};
        p.expand.n = 6 * s.cin, p.expand.relu = p.dw.relu = 1, p.dw.stride = s.stride;
        for (int sm : CAPABILITIES) CHECK(fs_launch_expand_dw(&p, sm, 0, &launch), "sm %d declines a shape", sm);
        CHECK(!fs_launch_expand_dw(&p, 90, -1, &launch), "variant -1");
        CHECK(!fs_launch_expand_dw(&p, 90, 3, &launch), "a variant that does not exist");
        const auto declined = [&](const char *what, const auto &change) {
            fs_expand_dw_params other = p;
            change(other);
            CHECK(!fs_launch_expand_dw(&other, 90, 0, &launch), "%s is taken", what);
        };
        declined("an expansion without ReLU", [](fs_expand_dw_params &o) { o.expand.relu = 0; });
        declined("a depthwise without ReLU", [](fs_expand_dw_params &o) { o.dw.relu = 0; });
        declined("stride 3", [](fs_expand_dw_params &o) { o.dw.stride = 3; });
        declined("48 channels", [](fs_expand_dw_params &o) { o.in.c = o.in.pitch = 48; });
        declined("a slice of 16", [](fs_expand_dw_params &o) { o.expand.n = o.out.c = o.out.pitch = 400; });
        declined("channels that are not there", [](fs_expand_dw_params &o) { o.out.c -= 32; });
        declined("an output of another size", [](fs_expand_dw_params &o) { o.out.w++; });
        declined("an input of too small a pitch", [](fs_expand_dw_params &o) { o.in.pitch -= 8; });
        declined("an input of an odd pitch", [](fs_expand_dw_params &o) { o.in.pitch += 4; });
        declined("an output of too small a pitch", [](fs_expand_dw_params &o) { o.out.pitch -= 8; });
        declined("an output of an odd pitch", [](fs_expand_dw_params &o) { o.out.pitch += 2; });
    }
}

} // namespace

int main(int argc, char **argv) {
    if (!check::begin(argc, argv)) return 77;
    check::test("sizes", sizes);
    check::test("pitches", pitches);
    check::test("real", real);
    check::test("borders", borders);
    check::test("nans", nans);
    check::test("overflow", overflow);
    check::test("refusals", refusals);
    return check::finish();
}
