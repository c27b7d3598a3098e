// The fused inverted bottleneck against the reference, and against the layers one by one.
#include <cstdio>
#include <string>

#include "tests/cuda/expansion.h"

using namespace expansion;
using maps::Map;

namespace {

struct Shape {
    int cin, cout, stride;
};
const Shape SHAPES[] = {{64, 64, 2}, {64, 64, 1}, {64, 96, 2}, {96, 96, 1}, {96, 128, 1}, {128, 128, 1}};

fs_bottleneck_params params_of(const Case &c, const Weights &weights, const Map &in, const Map &residual,
                               const fs_map &out) {
    fs_bottleneck_params p = {};
    p.in = in.view, p.out = out;
    p.expand = weights.expand_of(c), p.dw = weights.dw_of(c), p.project = weights.project_of(c);
    if (c.residual) p.residual = c.residual == 2 ? in.view : residual.view;
    return p;
}

std::vector<unsigned char> separate(const Case &c, const fs_bottleneck_params &p) {
    const Map middle(FS_K_F16, c.oh(), c.ow(), c.e(), c.e()), out(FS_K_F16, c.oh(), c.ow(), c.cout, p.out.pitch);
    separate_expand_dw(p.in, p.expand, p.dw, middle.view);
    fs_conv_params conv = {};
    conv.in = middle.view, conv.weights = p.project.weights, conv.bias = p.project.bias, conv.out = out.view;
    conv.residual = p.residual, conv.kernel = conv.stride = conv.dilation = 1;
    fs_launch launch;
    CHECK(fs_launch_conv(&conv, FS_K_F16, 90, 0, &launch) && check::run(launch), "projection by itself");
    return out.bytes();
}

void run_all(const Case &c, uint64_t seed) {
    const Numbers numbers = numbers_of(c, seed);
    const Weights weights(c, numbers);
    const Map in(FS_K_F16, c.h, c.w, c.cin, c.cin + c.in_extra, numbers.in);
    const Map residual(FS_K_F16, c.oh(), c.ow(), c.cout, c.cout + 8, numbers.residual);
    const Expected expected = bottleneck(c, numbers);
    std::vector<fs_launch> done;
    for (int sm : CAPABILITIES) {
        for (int variant = 0;; variant++) {
            const Map out(FS_K_F16, c.oh(), c.ow(), c.cout, c.cout + c.out_extra);
            const fs_bottleneck_params p = params_of(c, weights, in, residual, out.view);
            fs_launch launch;
            if (!fs_launch_bottleneck(&p, sm, variant, &launch)) break;
            CHECK(launch.shared <= fs_shared_limit(sm), "%s on sm %d: %u bytes shared", launch.name, sm, launch.shared);
            bool seen = false;
            for (const fs_launch &other : done)
                seen = seen || (other.kernel == launch.kernel && other.block == launch.block);
            if (seen) continue;
            done.push_back(launch);
            if (!check::run(launch)) return;
            const std::string what = text(c, launch.name);
            compare(c, out, expected, what.c_str());
            if (c.data == Data::exact && c.nan_pixel < 0)
                CHECK(separate(c, p) == out.bytes(), "%s: other bits than the layers one by one", what.c_str());
        }
    }
    CHECK(!done.empty(), "%s", text(c, "no variant").c_str());
}

void sizes() {
    uint64_t seed = 0;
    for (const Shape &s : SHAPES)
        for (auto &size : SIZES) {
            Case c = {size[0], size[1], s.cin, s.cout, s.stride};
            ++seed;
            if (check::quick() && seed % 3 != 0) continue;
            c.residual = static_cast<int>(seed % 2);
            if (seed % 4 == 0 && s.cin == s.cout && s.stride == 1) c.residual = 2;
            run_all(c, seed);
        }
}

void pitches() {
    uint64_t seed = 100;
    for (const Shape &s : SHAPES)
        for (int extra : {8, 64}) {
            if (check::quick() && s.cin != 64) continue;
            Case c = {5, 11, s.cin, s.cout, s.stride};
            c.in_extra = extra, c.out_extra = 72 - extra, c.residual = 1;
            run_all(c, ++seed);
        }
}

void real() {
    uint64_t seed = 200;
    for (const Shape &s : SHAPES)
        for (int residual : {0, 1}) {
            if (check::quick() && residual) continue;
            Case c = {10, 13, s.cin, s.cout, s.stride};
            c.data = Data::real, c.residual = residual;
            run_all(c, ++seed);
        }
}

// What is zero outside the input is the expanded map: the bias of the expansion must not get there.
void borders() {
    uint64_t seed = 300;
    for (const Shape &s : SHAPES)
        for (int border = 0; border < 4; border++) {
            if (check::quick() && (s.cin != 64 || border % 2)) continue;
            Case c = {11, 9, s.cin, s.cout, s.stride};
            c.border = border;
            run_all(c, ++seed);
        }
}

void nans() {
    uint64_t seed = 400;
    for (const Shape &s : SHAPES)
        for (int pixel : {0, 8, 40, 9 * 11 - 1}) {
            if (check::quick() && pixel != 8) continue;
            Case c = {9, 11, s.cin, s.cout, s.stride};
            c.nan_pixel = pixel, c.residual = pixel == 40;
            run_all(c, ++seed);
        }
}

void overflow() {
    uint64_t seed = 500;
    for (const Shape &s : SHAPES) {
        Case c = {6, 7, s.cin, s.cout, s.stride};
        c.data = Data::overflow;
        run_all(c, ++seed);
    }
}

// The same bits every time.
void repeats() {
    for (const Shape &s : SHAPES) {
        if (check::quick() && s.cin != 64) continue;
        Case c = {12, 10, s.cin, s.cout, s.stride};
        c.data = Data::real;
        const Numbers numbers = numbers_of(c, 600);
        const Weights weights(c, numbers);
        const Map in(FS_K_F16, c.h, c.w, c.cin, c.cin, numbers.in);
        std::vector<unsigned char> before;
        for (int i = 0; i < 3; i++) {
            const Map out(FS_K_F16, c.oh(), c.ow(), c.cout, c.cout);
            const fs_bottleneck_params p = params_of(c, weights, in, in, out.view);
            fs_launch launch;
            CHECK(fs_launch_bottleneck(&p, 90, 0, &launch), "declined");
            if (!check::run(launch)) return;
            CHECK(i == 0 || before == out.bytes(), "%s: other bits", text(c, launch.name).c_str());
            before = out.bytes();
        }
    }
}

fs_bottleneck_params plain(const Shape &s) {
    fs_bottleneck_params p = {};
    p.in = {nullptr, 16, 16, s.cin, s.cin};
    p.out = {nullptr, 15 / s.stride + 1, 15 / s.stride + 1, s.cout, s.cout};
    p.expand.n = 6 * s.cin, p.expand.relu = p.dw.relu = 1, p.dw.stride = s.stride, p.project.n = s.cout;
    return p;
}

void refusals() {
    fs_launch launch;
    for (const Shape &s : SHAPES) {
        const fs_bottleneck_params p = plain(s);
        for (int sm : {80, 90, 100}) CHECK(fs_launch_bottleneck(&p, sm, 0, &launch), "sm %d declines a shape", sm);
        for (int sm : {86, 89, 120})
            CHECK(fs_launch_bottleneck(&p, sm, 0, &launch) == (s.cin == 64), "sm %d, %d channels", sm, s.cin);
        CHECK(!fs_launch_bottleneck(&p, 75, 0, &launch), "more shared memory than sm 75 has");
        CHECK(!fs_launch_bottleneck(&p, 90, -1, &launch), "variant -1");
        CHECK(!fs_launch_bottleneck(&p, 90, 1, &launch), "a variant that does not exist");
        const auto declined = [&](const char *what, const auto &change) {
            fs_bottleneck_params other = p;
            change(other);
            CHECK(!fs_launch_bottleneck(&other, 90, 0, &launch), "%s is taken", what);
        };
        declined("an expansion without ReLU", [](fs_bottleneck_params &o) { o.expand.relu = 0; });
        declined("a depthwise without ReLU", [](fs_bottleneck_params &o) { o.dw.relu = 0; });
        declined("a projection with ReLU", [](fs_bottleneck_params &o) { o.project.relu = 1; });
        declined("stride 3", [](fs_bottleneck_params &o) { o.dw.stride = 3; });
        declined("another expansion", [](fs_bottleneck_params &o) { o.expand.n -= 32; });
        declined("72 channels", [](fs_bottleneck_params &o) { o.in.c = o.in.pitch = 72, o.expand.n = 432; });
        declined("56 channels out", [](fs_bottleneck_params &o) { o.project.n = o.out.c = 56; });
        declined("an output of another size", [](fs_bottleneck_params &o) { o.out.h++; });
        declined("an input of too small a pitch", [](fs_bottleneck_params &o) { o.in.pitch -= 8; });
        declined("an input of an odd pitch", [](fs_bottleneck_params &o) { o.in.pitch += 4; });
        declined("an output of too small a pitch", [](fs_bottleneck_params &o) { o.out.pitch = o.out.c - 8; });
        declined("an output of an odd pitch", [](fs_bottleneck_params &o) { o.out.pitch += 2; });
        static char somewhere[16];
        const auto adding = [](fs_bottleneck_params &o) { o.residual = o.out, o.residual.data = somewhere; };
        fs_bottleneck_params with = p;
        adding(with);
        CHECK(fs_launch_bottleneck(&with, 90, 0, &launch), "a residual of the output's shape is declined");
        declined("a residual of another size", [&](fs_bottleneck_params &o) { adding(o), o.residual.w--; });
        declined("a residual of other channels", [&](fs_bottleneck_params &o) { adding(o), o.residual.c -= 8; });
        declined("a residual of an odd pitch", [&](fs_bottleneck_params &o) { adding(o), o.residual.pitch += 4; });
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
    check::test("repeats", repeats);
    check::test("refusals", refusals);
    return check::finish();
}
