// The pyramid's kernels against the scalar reference: poolings, branches, and the way up, at sizes from 1x1 on.
#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <vector>

#include "cuda/kernels/fused.h"
#include "tests/cuda/check.h"

extern "C" {
#include "cpu/reference/reference.h"
}

using check::Buffer;
using check::Random;

namespace {

constexpr float NOT = std::numeric_limits<float>::quiet_NaN();
constexpr int BINS[4] = {1, 2, 3, 6}, FIRST[5] = {0, 1, 5, 14, 50};
const fs_k_type TYPES[2] = {FS_K_F16, FS_K_F32};

struct Size {
    int h, w;
};
const Size SIZES[] = {{1, 1}, {2, 2}, {1, 7}, {5, 1}, {3, 5}, {6, 6}, {7, 11}, {12, 9}, {33, 63}, {32, 64}};

size_t product(int a, int b, int c = 1) {
    return static_cast<size_t>(a) * static_cast<size_t>(b) * static_cast<size_t>(c);
}

// [pixels][c] random values, representable in half.
std::vector<float> random_map(size_t count, uint64_t seed, float low = -2, float high = 3) {
    Random random(seed);
    std::vector<float> v(count);
    for (float &x : v) x = check::round_half(random.uniform(low, high));
    return v;
}

// A map on the device. Behind the channels of a pixel is what must not be looked at.
struct Map {
    Buffer buffer;
    fs_map map;
    fs_k_type type;

    Map(int h, int w, int c, int pitch, fs_k_type kind)
        : buffer(product(h, w, pitch) * (kind == FS_K_F16 ? 2 : 4)), map{buffer.data, h, w, c, pitch}, type(kind) {
        buffer.frame();
    }
    void upload(const std::vector<float> &tight) {
        std::vector<float> padded(product(map.h, map.w, map.pitch), 5.0f);
        const size_t c = static_cast<size_t>(map.c), pitch = static_cast<size_t>(map.pitch);
        for (size_t n = 0; n < tight.size(); n++) padded[n / c * pitch + n % c] = tight[n];
        if (type == FS_K_F16)
            buffer.upload(check::to_half(padded).data());
        else
            buffer.upload(padded.data());
    }
    // All of it, padding included.
    std::vector<float> download() const {
        const size_t count = product(map.h, map.w, map.pitch);
        return type == FS_K_F16 ? check::from_half(check::get<uint16_t>(buffer, count))
                                : check::get<float>(buffer, count);
    }
};

bool close(float got, float want, double tolerance) {
    if (std::isnan(want)) return std::isnan(got);
    return std::fabs(static_cast<double>(got) - static_cast<double>(want)) <= tolerance;
}

// Half a unit of half at values up to 4, where results are stored as half.
double rounding(fs_k_type type) {
    return type == FS_K_F16 ? 0x1p-10 : 0;
}

// Differences from `want` ([pixels][c]) and padding that is not zero.
size_t wrong_values(const Map &out, const std::vector<float> &want, double tolerance) {
    const std::vector<float> got = out.download();
    const size_t c = static_cast<size_t>(out.map.c), pitch = static_cast<size_t>(out.map.pitch);
    size_t wrong = 0;
    for (size_t n = 0; n < got.size(); n++)
        wrong += n % pitch < c ? !close(got[n], want[n / pitch * c + n % pitch], tolerance) : got[n] != 0.0f;
    return wrong;
}

// Float sums of at most 66 values a thread at these sizes (values up to 3), then trees: relative to the mean of
// magnitudes, 70 roundings of 2^-24 at most, of which the mean is 3 at most.
constexpr double SUM = 3 * 70 * 0x1p-24;

void pool() {
    for (const Size &s : SIZES)
        for (int bins : {1, 2, 3, 6})
            for (int c : {128, 8, 40, 37})
                for (fs_k_type type : TYPES) {
                    if (c != 128 && s.h != 7) continue; // the tails once
                    std::vector<float> in = random_map(product(s.h, s.w, c), static_cast<uint64_t>(s.w * 100 + c));
                    if (bins == 3) in[in.size() / 2] = NOT;
                    const int rounded = (c + 7) / 8 * 8;
                    Map from(s.h, s.w, c, rounded + (c == 40 ? 8 : 0), type),
                        to(bins, bins, c, rounded + (c == 8 ? 8 : 0), type);
                    from.upload(in);
                    const fs_pool_params p = {from.map, to.map, bins};
                    fs_launch launch;
                    CHECK(fs_launch_pool(&p, type, check::sm(), 0, &launch), "no variant 0");
                    check::run(launch);
                    std::vector<float> want(product(bins, bins, c));
                    fs_ref_pool(in.data(), s.h, s.w, c, bins, want.data());
                    const size_t wrong = wrong_values(to, want, SUM + rounding(type));
                    CHECK(wrong == 0, "pool %dx%dx%d to %d, %s: %zu wrong", s.h, s.w, c, bins, launch.name, wrong);
                    CHECK(to.buffer.guards_intact() && from.buffer.guards_intact(), "guard bands");
                }
}

void pyramid_pool_of(Size s, int c, int pitch, fs_k_type type, bool nan) {
    std::vector<float> in = random_map(product(s.h, s.w, c), static_cast<uint64_t>(s.h * 7 + s.w));
    if (nan) in[in.size() / 3] = in.back() = NOT;
    Map from(s.h, s.w, c, pitch, type);
    from.upload(in);
    Buffer partial(fs_pyramid_partial_floats(s.h, s.w, c) * sizeof(float)),
        cells(product(FS_K_CELLS, c) * sizeof(float));
    std::vector<float> first;
    for (int round = 0; round < (c == 8 ? 1 : 2); round++) {
        for (int stage = 0; stage < 2; stage++) {
            const fs_pyramid_pool_params p = {from.map, partial.as<float>(), cells.as<float>(), stage};
            fs_launch launch;
            CHECK(fs_launch_pyramid_pool(&p, type, check::sm(), 0, &launch), "no variant 0");
            check::run(launch);
        }
        const std::vector<float> got = check::get<float>(cells, product(FS_K_CELLS, c));
        if (round == 1) {
            size_t different = 0;
            for (size_t n = 0; n < got.size(); n++) different += got[n] != first[n] && !std::isnan(got[n]);
            CHECK(different == 0, "%dx%dx%d: %zu other bits at the second time", s.h, s.w, c, different);
            continue;
        }
        first = got;
        for (int b = 0; b < 4; b++) {
            std::vector<float> want(product(BINS[b], BINS[b], c));
            fs_ref_pool(in.data(), s.h, s.w, c, BINS[b], want.data());
            size_t wrong = 0;
            for (size_t n = 0; n < want.size(); n++) wrong += !close(got[product(FIRST[b], c) + n], want[n], SUM);
            CHECK(wrong == 0, "%dx%dx%d, type %d, bins %d: %zu wrong", s.h, s.w, c, type, BINS[b], wrong);
        }
    }
    CHECK(partial.guards_intact() && cells.guards_intact() && from.buffer.guards_intact(), "guard bands");
}

void pyramid_pool() {
    for (const Size &s : SIZES)
        for (fs_k_type type : TYPES) {
            pyramid_pool_of(s, 128, 128, type, false);
            if (s.h < 20) pyramid_pool_of(s, 128, 136, type, true);
        }
    for (int h = 1; h <= 14; h++)
        for (int w = 1; w <= 14; w++) pyramid_pool_of({h, w}, 8, 8, FS_K_F32, false);
    pyramid_pool_of({9, 10}, 37, 40, FS_K_F16, false);
    pyramid_pool_of({9, 10}, 200, 200, FS_K_F16, true);
}

// Maps that are cut in slices as well.
void pyramid_pool_large() {
    CHECK(fs_pyramid_partial_floats(32, 64, 128) == 121 * 128, "one slice at the usual size");
    CHECK(fs_pyramid_partial_floats(512, 512, 128) == 8 * 121 * 128, "eight slices of a large map");
    pyramid_pool_of({120, 131}, 8, 8, FS_K_F16, false);
    pyramid_pool_of({512, 512}, 8, 8, FS_K_F32, true);
}

void branch() {
    const std::vector<float> cells = random_map(50 * 128, 1), weight = random_map(4 * 128 * 32, 2, -0.3f, 0.3f);
    const std::vector<float> bias = random_map(4 * 32, 3, -1, 1), slice = random_map(4 * 32 * 128, 4, -0.3f, 0.3f);
    std::vector<float> with_nan = cells;
    with_nan[7 * 128 + 5] = NOT;
    for (int folded = 0; folded < 2; folded++)
        for (int nan = 0; nan < 2; nan++) {
            const std::vector<float> &in = nan ? with_nan : cells;
            const Buffer b_cells = check::of(in), b_weight = check::of(weight), b_bias = check::of(bias);
            const Buffer b_slice = check::of(slice);
            b_cells.frame();
            const size_t n = folded ? 128 : 32;
            Buffer out(50 * n * sizeof(float));
            const fs_pyramid_branch_params p = {b_cells.as<float>(), b_weight.as<float>(), b_bias.as<float>(),
                                                folded ? b_slice.as<float>() : nullptr, out.as<float>()};
            fs_launch launch;
            CHECK(fs_launch_pyramid_branch(&p, check::sm(), 0, &launch), "no variant 0");
            check::run(launch);
            const std::vector<float> got = check::get<float>(out, 50 * n);
            for (size_t b = 0; b < 4; b++) {
                const int count = FIRST[b + 1] - FIRST[b];
                std::vector<float> w(weight.begin() + static_cast<long>(b) * 4096,
                                     weight.begin() + static_cast<long>(b + 1) * 4096);
                std::vector<float> v(bias.begin() + static_cast<long>(b) * 32,
                                     bias.begin() + static_cast<long>(b + 1) * 32);
                std::vector<float> u(slice.begin() + static_cast<long>(b) * 4096,
                                     slice.begin() + static_cast<long>(b + 1) * 4096);
                std::vector<float> zeros(128, 0.0f), wide(product(count, 32)), want(product(count, 128));
                fs_op op = {};
                op.kernel = op.stride = op.dilation = 1;
                fs_folded layer = {};
                layer.weight = w.data(), layer.bias = v.data();
                fs_ref_conv(in.data() + product(FIRST[b], 128), 1, count, 128, &op, &layer, 1, count, 32, wide.data());
                fs_ref_relu(wide.data(), wide.size(), wide.data());
                layer.weight = u.data(), layer.bias = zeros.data();
                fs_ref_conv(wide.data(), 1, count, 32, &op, &layer, 1, count, 128, want.data());
                if (!folded) want = wide;
                size_t wrong = 0;
                // 128 products up to 0.9, 36 roundings in a row at sums up to 32; then 32 products of values up to 32
                // and 0.3 with the error of the first.
                const double tolerance = 36 * 32 * 0x1p-24 * (folded ? 32 * 0.3 : 1);
                for (size_t i = 0; i < want.size(); i++)
                    wrong += !close(got[static_cast<size_t>(FIRST[b]) * n + i], want[i], tolerance);
                CHECK(wrong == 0, "folded %d, NaN %d, bins %d: %zu wrong", folded, nan, BINS[b], wrong);
            }
            CHECK(out.guards_intact(), "guard bands");
        }
}

std::vector<fs_k_tap> taps(int out, bool align) {
    std::vector<fs_k_tap> all;
    for (int bins : BINS)
        for (int d = 0; d < out; d++) {
            fs_k_tap t = {};
            fs_resize_source(d, bins, out, align, &t.lower, &t.fraction);
            t.upper = std::min(t.lower + 1, bins - 1);
            all.push_back(t);
        }
    return all;
}

void up_of(Size s, bool folded, bool align, fs_k_type type, int extra, int in_c) {
    const size_t width = folded ? 128 : 32, pixels = product(s.h, s.w);
    std::vector<float> cells = random_map(50 * width, static_cast<uint64_t>(s.w), -1, 1);
    cells[3 * width + 2] = NOT;
    const std::vector<float> in = random_map(pixels * static_cast<size_t>(in_c), 9);
    const int out_c = folded ? 128 : in_c + 128;
    Map from(s.h, s.w, in_c, in_c + extra, type), to(s.h, s.w, out_c, out_c + extra, type);
    from.upload(in);
    const Buffer b_cells = check::of(cells), tap_y = check::of(taps(s.h, align)), tap_x = check::of(taps(s.w, align));
    b_cells.frame();
    fs_pyramid_up_params p = {};
    p.cells = b_cells.as<float>(), p.folded = folded, p.out = to.map;
    if (!folded) p.in = from.map;
    p.tap_y = tap_y.as<fs_k_tap>(), p.tap_x = tap_x.as<fs_k_tap>();
    fs_launch launch;
    CHECK(fs_launch_pyramid_up(&p, type, check::sm(), 0, &launch), "no variant 0");
    check::run(launch);
    std::vector<float> part[4], want(pixels * static_cast<size_t>(out_c));
    for (int b = 0; b < 4; b++) {
        part[b].resize(pixels * width);
        fs_ref_resize(cells.data() + static_cast<size_t>(FIRST[b]) * width, BINS[b], BINS[b], static_cast<int>(width),
                      s.h, s.w, align, part[b].data());
    }
    if (folded) {
        for (size_t n = 0; n < want.size(); n++) want[n] = part[0][n] + part[1][n] + part[2][n] + part[3][n];
    } else {
        const float *const inputs[5] = {in.data(), part[0].data(), part[1].data(), part[2].data(), part[3].data()};
        const int channels[5] = {in_c, 32, 32, 32, 32};
        fs_ref_concat(inputs, channels, 5, pixels, want.data());
    }
    // Differences up to 2 and three lerps each, four sums up to 4: less than 20 roundings at 4.
    const size_t wrong = wrong_values(to, want, 20 * 4 * 0x1p-24 + rounding(type));
    CHECK(wrong == 0, "up %dx%d, folded %d, align %d, type %d, extra %d: %zu wrong", s.h, s.w, folded, align, type,
          extra, wrong);
    CHECK(to.buffer.guards_intact() && from.buffer.guards_intact(), "guard bands");
}

void up() {
    for (const Size &s : SIZES)
        for (int n = 0; n < 8; n++)
            if (!check::quick() || s.h < 20) up_of(s, (n & 1) != 0, (n & 2) != 0, TYPES[n >> 2], s.h == 7 ? 8 : 0, 128);
    up_of({3, 4}, false, false, FS_K_F16, 16, 24);
}

// ---- The route in three launches ----

void run_pool(const fs_map &in, fs_k_type type, float *partial, float *cells, int stage) {
    const fs_pyramid_pool_params p = {in, partial, cells, stage};
    fs_launch launch;
    CHECK(fs_launch_pyramid_pool(&p, type, check::sm(), 0, &launch), "no variant 0");
    check::run(launch);
}

// Folded cells against the two launches that they replace, whose own tests hold them to the reference.
void fold_of(Size s, bool nan) {
    Map from(s.h, s.w, 128, 128, FS_K_F16);
    std::vector<float> in = random_map(product(s.h, s.w, 128), static_cast<uint64_t>(s.h * 31 + s.w));
    if (nan) in[in.size() / 2 + 3] = NOT;
    from.upload(in);
    const Buffer weight = check::of(random_map(4 * 128 * 32, 2, -0.3f, 0.3f));
    const Buffer bias = check::of(random_map(4 * 32, 3, -1, 1)),
                 slice = check::of(random_map(4 * 32 * 128, 4, -0.3f, 0.3f));
    Buffer partial(fs_pyramid_partial_floats(s.h, s.w, 128) * sizeof(float));
    Buffer cells(50 * 128 * sizeof(float)), want(50 * 128 * sizeof(float)), out(50 * 128 * sizeof(float));
    for (int stage = 0; stage < 2; stage++) run_pool(from.map, FS_K_F16, partial.as<float>(), cells.as<float>(), stage);
    const fs_pyramid_branch_params branch_params = {cells.as<float>(), weight.as<float>(), bias.as<float>(),
                                                    slice.as<float>(), want.as<float>()};
    const fs_pyramid_fold_params p = {
        partial.as<float>(), s.h, s.w, weight.as<float>(), bias.as<float>(), slice.as<float>(), out.as<float>()};
    fs_launch launch;
    CHECK(fs_launch_pyramid_branch(&branch_params, check::sm(), 0, &launch), "no variant 0");
    check::run(launch);
    CHECK(!fs_launch_pyramid_fold(&p, check::sm(), 1, &launch), "a variant 1");
    CHECK(fs_launch_pyramid_fold(&p, check::sm(), 0, &launch), "no variant 0");
    check::run(launch);
    const std::vector<float> got = check::get<float>(out, 50 * 128), expected = check::get<float>(want, 50 * 128);
    size_t wrong = 0, nans = 0;
    // The means differ by SUM, the branches (128 products with weights up to 0.3, 36 roundings at sums up to 128) and
    // the slices of 32 of them as in branch().
    const double tolerance = (128 * 0.3 * SUM + 2 * 36 * 128 * 0x1p-24) * 32 * 0.3;
    for (size_t n = 0; n < got.size(); n++) {
        wrong += !close(got[n], expected[n], tolerance);
        nans += std::isnan(got[n]);
    }
    CHECK(wrong == 0, "fold %dx%d, NaN %d: %zu wrong", s.h, s.w, nan, wrong);
    CHECK(nan ? nans >= 4 * 128 : nans == 0, "fold %dx%d: %zu NaN", s.h, s.w, nans);
    check::run(launch);
    const std::vector<float> again = check::get<float>(out, 50 * 128);
    CHECK(memcmp(again.data(), got.data(), got.size() * sizeof(float)) == 0, "other bits at the second time");
    CHECK(out.guards_intact() && partial.guards_intact(), "guard bands");
}

void fold() {
    for (const Size &s : SIZES) {
        if (check::quick() && s.h > 20) continue;
        fold_of(s, false);
        fold_of(s, true);
    }
    fold_of({97, 143}, false); // slices
}

void out_of(Size s, bool align, bool relu, int in_extra, int out_extra, bool nan) {
    const size_t pixels = product(s.h, s.w);
    std::vector<float> in = random_map(pixels * 128, static_cast<uint64_t>(s.h * 100 + s.w)), up(pixels * 128);
    std::vector<float> cells = random_map(50 * 128, 21, -1, 1), w = random_map(128 * 128, 22, -0.2f, 0.2f);
    std::vector<float> bias = random_map(128, 23, -1, 1), transposed(128 * 128), want(pixels * 128);
    if (nan) in[in.size() - 77] = cells[9 * 128 + 70] = NOT;
    for (size_t n = 0; n < 128; n++)
        for (size_t k = 0; k < 128; k++) transposed[k * 128 + n] = w[n * 128 + k];
    Map from(s.h, s.w, 128, 128 + in_extra, FS_K_F16), to(s.h, s.w, 128, 128 + out_extra, FS_K_F16);
    from.upload(in);
    const Buffer b_cells = check::of(cells), b_w = check::of(check::to_half(w)), b_bias = check::of(bias);
    const Buffer tap_y = check::of(taps(s.h, align)), tap_x = check::of(taps(s.w, align));
    b_cells.frame();
    const fs_pyramid_out_params p = {from.map,
                                     to.map,
                                     {b_w.data, b_bias.as<float>(), 128, relu},
                                     b_cells.as<float>(),
                                     tap_y.as<fs_k_tap>(),
                                     tap_x.as<fs_k_tap>()};
    for (int b = 0; b < 4; b++) {
        std::vector<float> part(pixels * 128);
        fs_ref_resize(cells.data() + static_cast<size_t>(FIRST[b]) * 128, BINS[b], BINS[b], 128, s.h, s.w, align,
                      part.data());
        for (size_t n = 0; n < up.size(); n++) up[n] += part[n];
    }
    fs_op op = {};
    op.kernel = op.stride = op.dilation = 1;
    fs_folded layer = {};
    layer.weight = transposed.data(), layer.bias = bias.data();
    fs_ref_conv(in.data(), s.h, s.w, 128, &op, &layer, s.h, s.w, 128, want.data());
    for (size_t n = 0; n < want.size(); n++) want[n] += up[n];
    if (relu) fs_ref_relu(want.data(), want.size(), want.data());
    for (int variant = 0; variant < 2; variant++) {
        Buffer &buffer = to.buffer;
        std::vector<unsigned char> blank(buffer.bytes, 0xFF);
        buffer.upload(blank.data());
        fs_launch launch;
        CHECK(fs_launch_pyramid_out(&p, check::sm(), variant, &launch), "no variant %d", variant);
        check::run(launch);
        const std::vector<float> got = to.download();
        const size_t pitch = static_cast<size_t>(to.map.pitch);
        size_t wrong = 0, touched = 0;
        // 131 roundings at sums up to 128 in float; the resized cells (up to 4) and the result (up to 2^7) each
        // rounded once to half.
        for (size_t n = 0; n < got.size(); n++) {
            const size_t at = n / pitch * 128 + n % pitch;
            if (n % pitch >= 128)
                touched += !std::isnan(got[n]);
            else
                wrong += !close(got[n], want[at],
                                131 * 128 * 0x1p-24 + 0x1p-10 + std::fabs(static_cast<double>(want[at])) * 0x1p-11);
        }
        CHECK(wrong == 0, "%s, %dx%d, align %d, relu %d, NaN %d: %zu of %zu wrong", launch.name, s.h, s.w, align, relu,
              nan, wrong, want.size());
        CHECK(touched == 0, "%s, %dx%d: %zu written behind the channels", launch.name, s.h, s.w, touched);
        CHECK(to.buffer.guards_intact() && from.buffer.guards_intact(), "guard bands");
        check::run(launch);
        const std::vector<float> again = to.download();
        CHECK(memcmp(again.data(), got.data(), got.size() * sizeof(float)) == 0, "other bits at the second time");
    }
    fs_launch launch;
    CHECK(!fs_launch_pyramid_out(&p, check::sm(), 2, &launch), "a variant 2");
    CHECK(!fs_launch_pyramid_out(&p, check::sm(), -1, &launch), "a variant -1");
}

void out() {
    for (const Size &s : SIZES)
        for (int n = 0; n < 4; n++) {
            if (s.h > 20 && (check::quick() || n > 1)) continue;
            out_of(s, (n & 1) != 0, (n & 2) == 0, s.h == 7 ? 8 : 0, s.w == 9 ? 16 : 0, n == 3);
        }
    if (!check::quick()) out_of({70, 59}, true, true, 0, 0, false); // where the larger tile is the guess
}

void out_declines() {
    Map from(2, 3, 128, 136, FS_K_F16), to(2, 3, 128, 128, FS_K_F16);
    fs_pyramid_out_params good = {};
    good.in = from.map, good.out = to.map, good.pw.n = 128;
    fs_launch launch;
    CHECK(fs_launch_pyramid_out(&good, check::sm(), 0, &launch), "declined");
    for (int n = 0; n < 6; n++) {
        fs_pyramid_out_params p = good;
        if (n == 0) p.in.c = 64;
        if (n == 1) p.out.c = 120;
        if (n == 2) p.pw.n = 256;
        if (n == 3) p.in.pitch = 132;
        if (n == 4) p.out.pitch = 120;
        if (n == 5) p.out.w = 4;
        CHECK(!fs_launch_pyramid_out(&p, check::sm(), 0, &launch), "case %d taken", n);
    }
}

} // namespace

int main(int argc, char **argv) {
    if (!check::begin(argc, argv)) return 77;
    check::test("pool", pool);
    check::test("pyramid pool", pyramid_pool);
    check::test("pyramid pool, large maps", pyramid_pool_large);
    check::test("branch", branch);
    check::test("up", up);
    check::test("fold", fold);
    check::test("output", out);
    check::test("output declines", out_declines);
    return check::finish();
}
