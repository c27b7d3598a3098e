// Feature fusion in one launch against the reference's resize, depthwise and convolution, and against the separate
// kernels to the last bit.
#include <algorithm>
#include <cstdio>
#include <string>

#include "cuda/kernels/fused.h"
#include "tests/cuda/maps.h"

using namespace maps;

namespace {

constexpr int LOW = 128, SKIP = 64, K = LOW + SKIP, N = 128;

struct Case {
    int h, w, oh, ow, dilation; // of the low map, of the skip
    bool align = false, dw_relu = true, relu = true;
    int low_extra = 0, skip_extra = 0, out_extra = 0; // pitch beyond the channels
};

std::string text(const Case &s, const char *name) {
    char line[240];
    snprintf(line, sizeof line, "%s: %dx%d to %dx%d dilation %d align %d relu %d %d extra %d %d %d", name, s.h, s.w,
             s.oh, s.ow, s.dilation, s.align, s.dw_relu, s.relu, s.low_extra, s.skip_extra, s.out_extra);
    return line;
}

size_t elements(int h, int w, int c) {
    return static_cast<size_t>(h) * static_cast<size_t>(w) * static_cast<size_t>(c);
}

struct Product { // weights [k][n] for the reference, [n][k] as halves for the kernels
    Values weight, bias;
    check::Buffer device_weight, device_bias;
    explicit Product(check::Random &random)
        : weight(check::round_half(random_values(random, K * N, -1.0f, 1.0f))),
          bias(random_values(random, N, -0.5f, 0.5f)), device_weight(check::of(check::to_half(transposed(weight)))),
          device_bias(check::of(bias)) {}
    static Values transposed(const Values &kn) {
        Values nk(kn.size());
        for (size_t k = 0; k < K; ++k)
            for (size_t n = 0; n < N; ++n) nk[n * K + k] = kn[k * N + n];
        return nk;
    }
};

// The product of the reference; magnitude: with the absolute value of every term.
Values product(const Case &s, const Values &mid, const Values &skip, const Product &layer, bool magnitude) {
    Values both, weight = layer.weight, bias = layer.bias;
    both.reserve(elements(s.oh, s.ow, K));
    for (int p = 0; p < s.oh * s.ow; ++p) {
        both.insert(both.end(), mid.begin() + p * LOW, mid.begin() + (p + 1) * LOW);
        both.insert(both.end(), skip.begin() + p * SKIP, skip.begin() + (p + 1) * SKIP);
    }
    if (magnitude) both = magnitudes(both), weight = magnitudes(weight), bias = magnitudes(bias);
    fs_op op = {};
    op.kernel = op.stride = op.dilation = 1;
    const fs_folded folded = {weight.data(), bias.data()};
    Values out(elements(s.oh, s.ow, N));
    fs_ref_conv(both.data(), s.oh, s.ow, K, &op, &folded, s.oh, s.ow, N, out.data());
    if (s.relu && !magnitude) fs_ref_relu(out.data(), out.size(), out.data());
    return out;
}

// Slack: the depthwise in float may fall to the other side of a rounding to half, so each of its values is one of two
// neighbours, and the product carries their distance; then what a float sum of K products may be off, roundings of a
// tensor core's partial sums, each at most 2^-23 of the sum of magnitudes.
Expected reference(const Case &s, const Values &low, const Values &skip, const Layer &dw, const Product &pw) {
    const Values up = check::round_half(resized(low, s.h, s.w, LOW, s.oh, s.ow, s.align));
    const Shape shape = {s.oh, s.ow, LOW, 1, s.dilation, s.dilation, s.dilation, s.oh, s.ow};
    Expected mid = depthwise(up, shape, dw, s.dw_relu);
    Values spread(mid.value.size());
    for (size_t i = 0; i < spread.size(); ++i) {
        const float value = mid.value[i], slack = mid.slack[i];
        const float most = check::round_half(value + slack), least = check::round_half(value - slack);
        spread[i] = std::isfinite(most - least) ? most - least : 0.0f;
        mid.value[i] = check::round_half(value);
    }
    Expected out = {product(s, mid.value, skip, pw, false), product(s, mid.value, skip, pw, true)};
    for (float &value : out.slack) value *= (8 + K / 8) * 0x1p-23f;
    const Values none(skip.size(), 0.0f);
    const Values carried = product(s, spread, none, pw, true);
    for (size_t i = 0; i < carried.size(); ++i) {
        const size_t n = i % N;
        out.slack[i] += carried[i] - std::fabs(pw.bias[n]) * (1 - 0x1p-20f); // the bias is no part of it
    }
    return out;
}

// The same by two launches.
std::vector<unsigned char> separate(const fs_fusion_params &p, const Case &s) {
    const Map mid(FS_K_F16, s.oh, s.ow, LOW, LOW), out(FS_K_F16, s.oh, s.ow, N, N + s.out_extra);
    fs_updw_params updw = {};
    updw.in = p.low, updw.out = mid.view, updw.tap_y = p.tap_y, updw.tap_x = p.tap_x;
    updw.weights = p.dw.weights, updw.bias = p.dw.bias, updw.relu = p.dw.relu, updw.dilation = p.dilation;
    fs_conv_params conv = {};
    conv.in = mid.view, conv.in2 = p.skip, conv.weights = p.pw.weights, conv.bias = p.pw.bias, conv.out = out.view;
    conv.relu = p.pw.relu, conv.kernel = conv.stride = conv.dilation = 1;
    fs_launch launch;
    const int sm = check::simulated() ? 90 : check::sm();
    if (fs_launch_updw(&updw, FS_K_F16, sm, 0, &launch)) check::run(launch);
    // A tile that adds K in one order, as the fused kernel does.
    for (int variant = 0; fs_launch_conv(&conv, FS_K_F16, sm, variant, &launch); ++variant)
        if (!strcmp(launch.name, "conv f16 128x64")) {
            check::run(launch);
            return out.bytes();
        }
    CHECK(false, "no tile of conv.cu to compare with");
    return {};
}

// Every variant for every compute capability; one that has run is not run again.
void run_all(const Case &s, const Values &low, const Values &skip, uint64_t seed, bool truth = true) {
    check::Random random(seed);
    const Layer dw(random, LOW);
    const Product pw(random);
    const check::Buffer tap_y = check::of(taps(s.h, s.oh, s.align)), tap_x = check::of(taps(s.w, s.ow, s.align));
    const Map low_map(FS_K_F16, s.h, s.w, LOW, LOW + s.low_extra, low);
    const Map skip_map(FS_K_F16, s.oh, s.ow, SKIP, SKIP + s.skip_extra, skip);
    fs_fusion_params p = {};
    p.low = low_map.view, p.skip = skip_map.view;
    p.tap_y = tap_y.as<fs_k_tap>(), p.tap_x = tap_x.as<fs_k_tap>();
    p.dw = {dw.device_weight.as<float>(), dw.device_bias.as<float>(), s.dw_relu, 1};
    p.dilation = s.dilation;
    p.pw = {pw.device_weight.data, pw.device_bias.as<float>(), N, s.relu};

    Expected expected;
    if (truth) expected = reference(s, check::round_half(low), check::round_half(skip), dw, pw);
    std::vector<unsigned char> bytes;
    std::vector<const void *> done;
    std::vector<int> abilities = {75, 80, 86, 90, 120};
    if (!check::simulated()) abilities = {check::sm()};
    for (int sm : abilities) {
        int variant = 0;
        for (;; ++variant) {
            const Map out(FS_K_F16, s.oh, s.ow, N, N + s.out_extra);
            p.out = out.view;
            fs_launch launch;
            if (!fs_launch_fusion(&p, sm, variant, &launch)) break;
            CHECK(launch.shared <= fs_shared_limit(sm), "%s: %u bytes on sm %d", launch.name, launch.shared, sm);
            if (std::find(done.begin(), done.end(), launch.kernel) != done.end()) continue;
            done.push_back(launch.kernel);
            const std::string what = text(s, launch.name);
            if (!check::run(launch)) {
                CHECK(false, "%s", what.c_str());
                return;
            }
            if (truth) compare(out, expected, what.c_str());
            if (bytes.empty()) bytes = separate(p, s);
            CHECK(bytes == out.bytes(), "%s: other bits than the separate kernels", what.c_str());
        }
        CHECK(variant == (sm == 75 ? 1 : 2), "%s: %d variants on sm %d", text(s, "fusion").c_str(), variant, sm);
    }
}

void run_random(uint64_t seed, const Case &s) {
    check::Random random(seed);
    const Values low = random_values(random, elements(s.h, s.w, LOW), -2.0f, 2.0f);
    run_all(s, low, random_values(random, elements(s.oh, s.ow, SKIP), -2.0f, 2.0f), seed + 1);
}

const int SIZES[][2] = {{1, 1}, {1, 5}, {5, 1}, {3, 4}, {4, 7}};

// Exactly 4 times the size, as in the network, in both corner conventions.
void four_times() {
    uint64_t seed = 1;
    for (auto &size : SIZES)
        for (int dilation : {1, 4})
            for (bool align : {false, true}) {
                Case s = {size[0], size[1], 4 * size[0], 4 * size[1], dilation, align};
                s.dw_relu = ++seed % 3 != 0, s.relu = seed % 4 != 0;
                run_random(seed, s);
            }
}

// Any other size: the skip of an odd frame; equal, smaller and much larger ones, so that the patch below a tile has a
// few pixels or more than there is room for.
void other_sizes() {
    const int outs[][2] = {{1, 1}, {1, 17}, {17, 1}, {9, 15}, {8, 16}, {13, 18}};
    uint64_t seed = 1000;
    for (auto &size : SIZES)
        for (auto &out : outs)
            for (int dilation : {1, 4})
                if (++seed % 3 == 0 || !check::quick())
                    run_random(seed, {size[0], size[1], out[0], out[1], dilation, seed % 3 == 0});
}

// Reduced, and enlarged by less than 4: patches around the largest that is staged.
void large_patches() {
    uint64_t seed = 2000;
    for (int dilation : {1, 4})
        for (bool align : {false, true}) {
            run_random(++seed, {40, 40, 10, 20, dilation, align});
            run_random(++seed, {16, 24, 16, 24, dilation, align});
            if (!check::quick())
                for (int low = 5; low <= 14; low += 3) run_random(++seed, {low, 2 * low, 16, 32, dilation, align});
        }
}

void pitches() {
    uint64_t seed = 3000;
    for (int extra : {8, 64})
        for (int which = 0; which < 3; ++which) {
            Case s = {3, 5, 11, 19, which % 2 ? 1 : 4};
            (which == 0 ? s.low_extra : which == 1 ? s.skip_extra : s.out_extra) = extra;
            run_random(++seed, s);
        }
}

// Enough tiles that the larger goes first; many blocks in both directions, none full at the end.
void large() {
    if (check::quick()) return;
    run_random(4000, {25, 30, 99, 118, 1, false});
    run_random(4001, {25, 30, 98, 117, 4, true});
}

// One border of the low map, or of the skip, at a time holds values, then NaN: seen where it must be and nowhere else.
void borders() {
    uint64_t seed = 5000;
    for (float value : {3.0f, NAN})
        for (int border = 0; border < 8; ++border)
            for (int dilation : {1, 4}) {
                if (++seed % 4 && check::quick()) continue;
                const bool in_skip = border >= 4;
                const Case s = {3, 5, 12, 20, dilation, seed % 3 == 0, true, seed % 2 == 0};
                Values low(elements(s.h, s.w, LOW), 0.0f), skip(elements(s.oh, s.ow, SKIP), 0.0f);
                Values &map = in_skip ? skip : low;
                const int h = in_skip ? s.oh : s.h, w = in_skip ? s.ow : s.w, c = in_skip ? SKIP : LOW;
                for (int i = 0; i < h * w * c; ++i) {
                    const int y = i / c / w, x = i / c % w;
                    const bool on[] = {y == 0, y == h - 1, x == 0, x == w - 1};
                    if (on[border % 4] && i % c % 37 == 5) map[static_cast<size_t>(i)] = value;
                }
                run_all(s, low, skip, seed);
            }
}

void nans() {
    for (uint64_t seed = 6000; seed < (check::quick() ? 6002 : 6012); ++seed) {
        check::Random random(seed);
        const int h = 1 + random.below(5), w = 1 + random.below(5);
        const Case s = {h,    w,           1 + random.below(20), 1 + random.below(24), seed % 2 ? 1 : 4, seed % 3 == 0,
                        true, seed % 4 < 2};
        Values low = random_values(random, elements(s.h, s.w, LOW), -2.0f, 2.0f);
        Values skip = random_values(random, elements(s.oh, s.ow, SKIP), -2.0f, 2.0f);
        low[static_cast<size_t>(random.below(static_cast<int>(low.size())))] = NAN;
        skip[static_cast<size_t>(random.below(static_cast<int>(skip.size())))] = NAN;
        run_all(s, low, skip, seed);
    }
}

// The largest halves overflow between the layers; infinities and what they become are those of the separate kernels.
void extremes() {
    for (uint64_t seed = 7000; seed < (check::quick() ? 7002 : 7008); ++seed) {
        check::Random random(seed);
        const Case s = {3, 4, 12, 16, seed % 2 ? 1 : 4, seed % 3 == 0, seed % 4 < 2};
        const Values low = extreme_values(random, elements(s.h, s.w, LOW), seed % 8 > 3);
        run_all(s, low, extreme_values(random, elements(s.oh, s.ow, SKIP), false), seed, false);
    }
}

void refusals() {
    fs_fusion_params p = {};
    const auto reset = [&] {
        p = {};
        p.low = {nullptr, 8, 8, LOW, LOW}, p.skip = {nullptr, 32, 32, SKIP, SKIP}, p.out = {nullptr, 32, 32, N, N};
        p.dw.stride = 1, p.dilation = 4, p.pw.n = N;
    };
    fs_launch launch;
    for (int sm : {75, 80, 86, 87, 89, 90, 100, 120})
        for (int dilation : {1, 4})
            for (int size : {1, 32, 128, 256}) {
                reset();
                p.dilation = dilation, p.skip.h = p.out.h = p.skip.w = p.out.w = size;
                const void *first = nullptr;
                int variants = 0;
                for (; fs_launch_fusion(&p, sm, variants, &launch); ++variants) {
                    CHECK(launch.shared <= fs_shared_limit(sm), "%s: %u bytes, sm %d", launch.name, launch.shared, sm);
                    CHECK(launch.kernel != first, "%s twice on sm %d", launch.name, sm);
                    first = launch.kernel;
                }
                CHECK(variants == (sm == 75 ? 1 : 2), "sm %d: %d variants", sm, variants);
                CHECK(!fs_launch_fusion(&p, sm, -1, &launch), "variant -1");
                CHECK(!fs_launch_fusion(&p, sm, variants + 1, &launch), "a variant behind the last");
            }
    const auto refused = [&](const char *what) {
        CHECK(!fs_launch_fusion(&p, 90, 0, &launch), "%s is taken", what);
        reset();
    };
    reset();
    p.dilation = 2, refused("dilation 2");
    p.dw.stride = 2, refused("stride 2");
    p.low.c = 96, refused("a low branch of 96 channels");
    p.skip.c = 48, refused("a skip of 48 channels");
    p.out.c = 64, refused("an output of 64 channels");
    p.pw.n = 64, refused("a product of 64 channels");
    p.skip.h = 31, refused("a skip of another height");
    p.skip.w = 33, refused("a skip of another width");
    CHECK(fs_launch_fusion(&p, 90, 0, &launch), "what remains is refused");
}

} // namespace

int main(int argc, char **argv) {
    if (!check::begin(argc, argv)) return 77;
    check::test("four_times", four_times);
    check::test("other_sizes", other_sizes);
    check::test("large_patches", large_patches);
    check::test("pitches", pitches);
    check::test("large", large);
    check::test("borders", borders);
    check::test("nans", nans);
    check::test("extremes", extremes);
    check::test("refusals", refusals);
    return check::finish();
}
