// The bottleneck whose expanded channels are split over blocks, against the reference and the layers one by one, with
// every number of shares; its second kernel by itself; and how many shares are chosen.
#include <cstdio>
#include <string>

#include "tests/cuda/expansion.h"

using namespace expansion;
using maps::Map;

namespace {

struct Shape {
    int cin, cout, stride;
};
// The network's blocks, and fewer and more outputs than it has.
const Shape SHAPES[] = {{64, 64, 1},  {64, 64, 2},   {64, 96, 2}, {96, 96, 1},
                        {96, 128, 1}, {128, 128, 1}, {64, 32, 1}, {96, 160, 1}};

struct Launches {
    fs_launch split, sum;
};

struct Params {
    fs_bottleneck_split_params split = {};
    fs_bottleneck_sum_params sum = {};
};

Params params_of(const Case &c, const Weights &weights, const Map &in, const Map &residual, const fs_map &out,
                 const check::Buffer &partial, int splits) {
    Params p;
    p.split.block.in = in.view, p.split.block.out = out, p.split.block.out.data = nullptr;
    p.split.block.expand = weights.expand_of(c), p.split.block.dw = weights.dw_of(c);
    p.split.block.project = weights.project_of(c);
    p.split.partial = partial.as<float>(), p.split.splits = splits;
    p.sum = {partial.as<float>(), splits, weights.project_bias.as<float>(), {}, out};
    if (c.residual) p.sum.residual = c.residual == 2 ? in.view : residual.view;
    return p;
}

bool fill(const Params &p, int sm, Launches &launches) {
    return fs_launch_bottleneck_split(&p.split, sm, 0, &launches.split) &&
           fs_launch_bottleneck_sum(&p.sum, sm, 0, &launches.sum);
}

std::vector<unsigned char> separate(const Case &c, const Params &p) {
    const fs_bottleneck_params &block = p.split.block;
    const Map middle(FS_K_F16, c.oh(), c.ow(), c.e(), c.e()), out(FS_K_F16, c.oh(), c.ow(), c.cout, p.sum.out.pitch);
    separate_expand_dw(block.in, block.expand, block.dw, middle.view);
    fs_conv_params conv = {};
    conv.in = middle.view, conv.weights = block.project.weights, conv.bias = block.project.bias, conv.out = out.view;
    conv.residual = p.sum.residual, conv.kernel = conv.stride = conv.dilation = 1;
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
    for (int warps : {3, 6}) {
        const int splits = c.e() / 32 / warps;
        const Map out(FS_K_F16, c.oh(), c.ow(), c.cout, c.cout + c.out_extra);
        const check::Buffer partial(fs_bottleneck_split_floats(&out.view, splits) * sizeof(float));
        const Params p = params_of(c, weights, in, residual, out.view, partial, splits);
        Launches launches;
        bool taken = false;
        for (int sm : CAPABILITIES) { // one text for all
            if (!fill(p, sm, launches)) continue;
            taken = true;
            CHECK(launches.split.shared <= fs_shared_limit(sm), "%u bytes shared on sm %d", launches.split.shared, sm);
        }
        CHECK(taken, "%s", text(c, "declined").c_str());
        if (!taken || !fill(p, 90, launches) || !check::run(launches.split) || !check::run(launches.sum)) return;
        const std::string what = text(c, launches.split.name);
        compare(c, out, expected, what.c_str());
        if (c.data == Data::exact && c.nan_pixel < 0)
            CHECK(separate(c, p) == out.bytes(), "%s: other bits than the layers one by one", what.c_str());
    }
}

void sizes() {
    uint64_t seed = 0;
    for (const Shape &s : SHAPES)
        for (auto &size : SIZES) {
            Case c = {size[0], size[1], s.cin, s.cout, s.stride};
            ++seed;
            if (check::quick() && seed % 4 != 0) continue;
            c.residual = static_cast<int>(seed % 2);
            if (seed % 4 == 0 && s.cin == s.cout && s.stride == 1) c.residual = 2;
            run_all(c, seed);
        }
}

void pitches() {
    uint64_t seed = 100;
    for (const Shape &s : SHAPES)
        for (int extra : {8, 64}) {
            if (check::quick() && (s.cin != 64 || extra == 8)) continue;
            Case c = {5, 11, s.cin, s.cout, s.stride};
            c.in_extra = extra, c.out_extra = 72 - extra, c.residual = 1;
            run_all(c, ++seed);
        }
}

void real() {
    uint64_t seed = 200;
    for (const Shape &s : SHAPES)
        for (int residual : {0, 1}) {
            if (check::quick() && (residual || s.cin == 128)) continue;
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
            if (check::quick() && (s.cin != 64 || s.cout == 64 || border % 2)) continue;
            Case c = {11, 9, s.cin, s.cout, s.stride};
            c.border = border;
            run_all(c, ++seed);
        }
}

void nans() {
    uint64_t seed = 400;
    for (const Shape &s : SHAPES)
        for (int pixel : {0, 8, 40, 9 * 11 - 1}) {
            if (check::quick() && (pixel != 8 || s.cin != 64)) continue;
            Case c = {9, 11, s.cin, s.cout, s.stride};
            c.nan_pixel = pixel, c.residual = pixel == 40;
            run_all(c, ++seed);
        }
}

void overflow() {
    uint64_t seed = 500;
    for (const Shape &s : SHAPES) {
        if (check::quick() && s.cin == 128) continue;
        Case c = {6, 7, s.cin, s.cout, s.stride};
        c.data = Data::overflow;
        run_all(c, ++seed);
    }
}

// The same bits every time, whatever was in the scratch.
void repeats() {
    for (const Shape &s : SHAPES) {
        if (check::quick() && s.cin != 64) continue;
        Case c = {12, 10, s.cin, s.cout, s.stride};
        c.data = Data::real;
        const Numbers numbers = numbers_of(c, 600);
        const Weights weights(c, numbers);
        const Map in(FS_K_F16, c.h, c.w, c.cin, c.cin, numbers.in);
        const int splits = c.e() / 96;
        const Map shape(FS_K_F16, c.oh(), c.ow(), c.cout, c.cout);
        const check::Buffer partial(fs_bottleneck_split_floats(&shape.view, splits) * sizeof(float));
        std::vector<unsigned char> before;
        for (int i = 0; i < 3; i++) {
            const Map out(FS_K_F16, c.oh(), c.ow(), c.cout, c.cout);
            const Params p = params_of(c, weights, in, in, out.view, partial, splits);
            Launches launches;
            CHECK(fill(p, 90, launches), "declined");
            if (!check::run(launches.split) || !check::run(launches.sum)) return;
            CHECK(i == 0 || before == out.bytes(), "%s: other bits", text(c, launches.split.name).c_str());
            before = out.bytes();
        }
    }
}

// The order of the shares is fixed: 1, 2^24 and -2^24 have three sums.
void order() {
    const int h = 3, w = 5, c = 24;
    const size_t count = product(h, w, c);
    for (int first = 0; first < 3; first++) {
        const float terms[3] = {1.0f, 0x1p24f, -0x1p24f};
        Values shares(3 * count), bias(product(c, 1), 0.25f);
        float sum = 0;
        for (int s = 0; s < 3; s++) {
            std::fill_n(shares.begin() + static_cast<long>(s * count), count, terms[(first + s) % 3]);
            sum += terms[(first + s) % 3];
        }
        const check::Buffer partial = check::of(shares), biases = check::of(bias);
        partial.frame();
        const Map out(FS_K_F16, h, w, c, c + 8);
        const fs_bottleneck_sum_params p = {partial.as<float>(), 3, biases.as<float>(), {}, out.view};
        fs_launch launch;
        CHECK(fs_launch_bottleneck_sum(&p, 90, 0, &launch), "declined");
        if (!check::run(launch)) return;
        for (float value : out.read())
            CHECK(value == sum + 0.25f, "%g, expected %g", static_cast<double>(value),
                  static_cast<double>(sum + 0.25f));
    }
}

void refusals() {
    fs_launch launch;
    static char somewhere[16];
    for (const Shape &s : SHAPES) {
        fs_bottleneck_split_params p = {};
        p.block.in = {nullptr, 16, 16, s.cin, s.cin};
        p.block.out = {nullptr, 15 / s.stride + 1, 15 / s.stride + 1, s.cout, s.cout};
        p.block.expand.n = 6 * s.cin, p.block.expand.relu = p.block.dw.relu = 1, p.block.dw.stride = s.stride;
        p.block.project.n = s.cout, p.splits = 6 * s.cin / 96;
        for (int sm : CAPABILITIES) CHECK(fs_launch_bottleneck_split(&p, sm, 0, &launch), "sm %d declines a shape", sm);
        CHECK(!fs_launch_bottleneck_split(&p, 90, -1, &launch), "variant -1");
        CHECK(!fs_launch_bottleneck_split(&p, 90, 1, &launch), "a variant that does not exist");
        const auto declined = [&](const char *what, const auto &change) {
            fs_bottleneck_split_params other = p;
            change(other);
            CHECK(!fs_launch_bottleneck_split(&other, 90, 0, &launch), "%s is taken", what);
        };
        using Other = fs_bottleneck_split_params;
        declined("no share", [](Other &o) { o.splits = 0; });
        declined("a share of 32 channels", [](Other &o) { o.splits *= 3; });
        declined("shares that do not divide E", [](Other &o) { o.splits = 5; });
        declined("an expansion without ReLU", [](Other &o) { o.block.expand.relu = 0; });
        declined("a depthwise without ReLU", [](Other &o) { o.block.dw.relu = 0; });
        declined("a projection with ReLU", [](Other &o) { o.block.project.relu = 1; });
        declined("stride 3", [](Other &o) { o.block.dw.stride = 3; });
        declined("72 channels", [](Other &o) { o.block.in.c = o.block.in.pitch = 72; });
        declined("56 channels out", [](Other &o) { o.block.project.n = o.block.out.c = 56; });
        declined("channels that are not projected", [](Other &o) { o.block.project.n += 32; });
        declined("an output of another size", [](Other &o) { o.block.out.h++; });
        declined("an input of an odd pitch", [](Other &o) { o.block.in.pitch += 4; });
        fs_bottleneck_sum_params sum = {nullptr, 2, nullptr, {}, p.block.out};
        CHECK(fs_launch_bottleneck_sum(&sum, 75, 0, &launch), "a sum is declined");
        CHECK(!fs_launch_bottleneck_sum(&sum, 75, 1, &launch), "a variant that does not exist");
        const auto no_sum = [&](const char *what, const auto &change) {
            fs_bottleneck_sum_params other = sum;
            other.residual = other.out, other.residual.data = somewhere;
            change(other);
            CHECK(!fs_launch_bottleneck_sum(&other, 90, 0, &launch), "%s is taken", what);
        };
        no_sum("no share", [](fs_bottleneck_sum_params &o) { o.splits = 0; });
        no_sum("an output of an odd pitch", [](fs_bottleneck_sum_params &o) { o.out.pitch += 2; });
        no_sum("12 channels", [](fs_bottleneck_sum_params &o) { o.out.c = o.residual.c = 12; });
        no_sum("a residual of another size", [](fs_bottleneck_sum_params &o) { o.residual.w--; });
        no_sum("a residual of an odd pitch", [](fs_bottleneck_sum_params &o) { o.residual.pitch += 4; });
    }
}

void shares() {
    const fs_map full = {nullptr, 32, 64, 96, 96}, one = {nullptr, 1, 1, 96, 96}, wide = {nullptr, 64, 128, 64, 64};
    CHECK(fs_bottleneck_splits(384, &full, 132) == 4, "384 channels on 132 multiprocessors");
    CHECK(fs_bottleneck_splits(576, &full, 132) == 3, "576 channels on 132 multiprocessors");
    CHECK(fs_bottleneck_splits(768, &full, 132) == 4, "768 channels on 132 multiprocessors");
    CHECK(fs_bottleneck_splits(768, &full, 16) == 4, "768 channels on 16 multiprocessors");
    CHECK(fs_bottleneck_splits(768, &one, 132) == 8, "one tile");
    CHECK(fs_bottleneck_splits(96, &one, 132) == 1, "one share");
    CHECK(fs_bottleneck_splits(384, &wide, 132) == 2, "a large map");
    CHECK(fs_bottleneck_splits(320, &one, 132) == 0 && fs_bottleneck_splits(0, &one, 132) == 0, "nothing to split");
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
    check::test("order", order);
    check::test("refusals", refusals);
    check::test("shares", shares);
    return check::finish();
}
