// Tests of the dense convolution kernels (cuda/kernels/conv.cu) against cpu/reference.
//
// Most cases use small integers: every product and sum is exact in float in any order, so the result must equal the
// reference rounded once, to the last bit. Cases with real numbers allow the rounding of sums besides, see `slack`.
#include <algorithm>
#include <climits>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <string>
#include <vector>

#include "cuda/kernels/kernels.h"
#include "tests/cuda/check.h"

extern "C" {
#include "cpu/reference/reference.h"
}

namespace {

using check::Buffer;
using check::Random;

enum class Data {
    integers, // -3 .. 3: exact
    real,     // -1 .. 1
    large     // up to the largest half, with small weights
};

// One layer. pad counts rows and columns of zeros; what is behind follows from oh, ow.
struct Case {
    int h, w, ci, n;
    int kernel = 1, stride = 1, dilation = 1, pad_top = 0, pad_left = 0;
    int oh = 0, ow = 0; // 0: as many as lie fully inside h + 2 pad_top, w + 2 pad_left
    int c2 = 0;         // channels of a second source
    bool residual = false, relu = false, out_f32 = false;
    int extra = 0;       // pitch beyond the channels rounded up to 8, of every map
    bool packed = false; // in.pitch = in.c, as the normalised frame has it
    Data data = Data::integers;
    int nan_pixel = -1; // of `in`: one channel of it is a NaN
};

int round8(int n) {
    return (n + 7) / 8 * 8;
}

std::string text(const Case &c, const char *name) {
    char line[320];
    snprintf(line, sizeof line,
             "%s: %dx%dx%d -> %dx%dx%d, kernel %d stride %d dilation %d pad %d,%d c2 %d residual %d relu %d f32 out %d "
             "extra %d data %d nan %d",
             name, c.h, c.w, c.ci, c.oh, c.ow, c.n, c.kernel, c.stride, c.dilation, c.pad_top, c.pad_left, c.c2,
             c.residual, c.relu, c.out_f32, c.extra, static_cast<int>(c.data), c.nan_pixel);
    return line;
}

// A map in device memory, of halves or floats; padding channels are zeros.
Buffer map_of(const std::vector<float> &values, int pixels, int c, int pitch, bool half) {
    std::vector<float> padded(static_cast<size_t>(pixels) * pitch, 0.0f);
    for (int p = 0; p < pixels; p++)
        for (int i = 0; i < c; i++) padded[static_cast<size_t>(p) * pitch + i] = values[static_cast<size_t>(p) * c + i];
    return half ? check::of(check::to_half(padded)) : check::of(padded);
}

struct Numbers {
    std::vector<float> in, in2, residual, weight, bias; // weight: [tap][ci][n], then [c2][n]
};

float draw(Random &random, Data data, float scale, bool half) {
    if (data == Data::integers) return static_cast<float>(random.below(7) - 3);
    const float value = random.uniform(-scale, scale);
    return half ? check::round_half(value) : value;
}

Numbers numbers_of(const Case &c, bool half, Random &random) {
    Numbers x;
    const float map = c.data == Data::large ? 65504.0f : 1.0f, weight = c.data == Data::large ? 1.0f / 256 : 1.0f;
    const auto fill = [&](std::vector<float> &to, int count, float scale, bool rounded) {
        to.resize(count);
        for (float &value : to) value = draw(random, c.data, scale, rounded);
    };
    fill(x.in, c.h * c.w * c.ci, map, half);
    if (c.data == Data::large && !x.in.empty()) x.in.front() = 65504.0f, x.in.back() = -65504.0f;
    fill(x.in2, c.oh * c.ow * c.c2, map, half);
    fill(x.residual, c.residual ? c.oh * c.ow * c.n : 0, map, half);
    fill(x.weight, (c.kernel * c.kernel * c.ci + c.c2) * c.n, weight, half);
    fill(x.bias, c.n, weight, false);
    if (c.nan_pixel >= 0) x.in[static_cast<size_t>(c.nan_pixel) * c.ci + c.nan_pixel % c.ci] = NAN;
    return x;
}

// The reference, before the one rounding. magnitude: with the absolute value of every term.
std::vector<float> expected(const Case &c, Numbers x, bool magnitude) {
    if (magnitude)
        for (std::vector<float> *v : {&x.in, &x.in2, &x.residual, &x.weight, &x.bias})
            for (float &value : *v) value = fabsf(value);
    int ci = c.ci;
    int h = c.h, w = c.w, stride = c.stride;
    if (c.c2 > 0) { // one convolution over both maps' channels, of the pixels that the stride picks
        std::vector<float> both;
        for (int p = 0; p < c.oh * c.ow; p++) {
            const float *one = x.in.data() + (p / c.ow * c.stride * c.w + p % c.ow * c.stride) * c.ci;
            both.insert(both.end(), one, one + c.ci);
            both.insert(both.end(), x.in2.begin() + p * c.c2, x.in2.begin() + (p + 1) * c.c2);
        }
        x.in = both, ci += c.c2, h = c.oh, w = c.ow, stride = 1;
    }
    fs_op op = {};
    op.kernel = c.kernel, op.stride = stride, op.dilation = c.dilation;
    op.pad_top = c.pad_top, op.pad_left = c.pad_left;
    const fs_folded layer = {x.weight.data(), x.bias.data()};
    std::vector<float> out(static_cast<size_t>(c.oh) * c.ow * c.n);
    fs_ref_conv(x.in.data(), h, w, ci, &op, &layer, c.oh, c.ow, c.n, out.data());
    if (c.residual) fs_ref_add(out.data(), x.residual.data(), out.size(), out.data());
    if (c.relu) fs_ref_relu(out.data(), out.size(), out.data());
    return out;
}

// What float sums of `k` products may be off: sums pass k / 8 roundings of a tensor core's partial sums, or k of
// multiply-adds whose errors have either sign, each at most 2^-23 of a partial sum, which is below the sum of the
// absolute values.
float slack(int k, float magnitude) {
    return static_cast<float>(8 + k / 8) * magnitude * 0x1p-23f;
}

float half_ulp(float value) { // half the distance between halves at value
    return value == 0 ? 0x1p-25f : std::max(ldexpf(1.0f, ilogbf(value) - 11), 0x1p-25f);
}

struct Layer {
    Buffer in, in2, residual, weights, bias, out;
    fs_conv_params params;
    int pitch; // of out
};

Layer layer_of(const Case &c, const Numbers &x, bool half) {
    const int n8 = round8(c.n), k = c.kernel * c.kernel * c.ci + c.c2, pixels = c.oh * c.ow;
    const int in_pitch = c.packed ? c.ci : round8(c.ci) + c.extra;
    std::vector<float> weight(static_cast<size_t>(n8) * k, 0.0f), bias(n8, 0.0f);
    for (int n = 0; n < c.n; n++) {
        bias[n] = x.bias[n];
        for (int i = 0; i < k; i++) weight[static_cast<size_t>(n) * k + i] = x.weight[static_cast<size_t>(i) * c.n + n];
    }
    const size_t element = half && !c.out_f32 ? 2 : 4;
    Layer l = {map_of(x.in, c.h * c.w, c.ci, in_pitch, half),
               map_of(x.in2, c.c2 ? pixels : 0, c.c2, round8(c.c2) + c.extra, half),
               map_of(x.residual, c.residual ? pixels : 0, c.n, n8 + c.extra, half),
               half ? check::of(check::to_half(weight)) : check::of(weight),
               check::of(bias),
               Buffer(static_cast<size_t>(pixels) * (n8 + c.extra) * element),
               {},
               n8 + c.extra};
    for (const Buffer *map : {&l.in, &l.in2, &l.residual, &l.out}) map->frame();
    fs_conv_params &p = l.params;
    p.in = {l.in.data, c.h, c.w, c.ci, in_pitch};
    if (c.c2) p.in2 = {l.in2.data, c.oh, c.ow, c.c2, round8(c.c2) + c.extra};
    if (c.residual) p.residual = {l.residual.data, c.oh, c.ow, c.n, n8 + c.extra};
    p.weights = l.weights.data, p.bias = l.bias.as<float>();
    p.out = {l.out.data, c.oh, c.ow, c.n, l.pitch};
    p.out_f32 = c.out_f32, p.relu = c.relu;
    p.kernel = c.kernel, p.stride = c.stride, p.dilation = c.dilation;
    p.pad_top = c.pad_top, p.pad_left = c.pad_left;
    return l;
}

void compare(const Case &c, const Layer &l, const char *name, bool half, const std::vector<float> &want,
             const std::vector<float> &magnitude) {
    const int n8 = round8(c.n), pixels = c.oh * c.ow, k = c.kernel * c.kernel * c.ci + c.c2;
    const size_t count = static_cast<size_t>(pixels) * l.pitch;
    const bool half_out = half && !c.out_f32;
    std::vector<uint32_t> bits(count); // to tell what was not written
    std::vector<float> got(count);
    if (half_out) {
        const std::vector<uint16_t> raw = check::get<uint16_t>(l.out, count);
        for (size_t i = 0; i < count; i++) bits[i] = raw[i], got[i] = check::from_half(raw[i]);
    } else {
        bits = check::get<uint32_t>(l.out, count);
        memcpy(got.data(), bits.data(), count * sizeof(float));
    }
    const int before = check::failures();
    for (int p = 0; p < pixels && check::failures() < before + 3; p++)
        for (int n = 0; n < l.pitch; n++) {
            const size_t at = static_cast<size_t>(p) * l.pitch + n;
            if (n >= n8) {
                CHECK(bits[at] == (half_out ? 0xFFFFu : 0xFFFFFFFFu), "%s: pixel %d: wrote padding channel %d",
                      text(c, name).c_str(), p, n);
            } else if (n >= c.n) {
                CHECK(bits[at] == 0, "%s: pixel %d channel %d is %g, not zero", text(c, name).c_str(), p, n, got[at]);
            } else {
                const float exact = want[static_cast<size_t>(p) * c.n + n];
                const float rounded = half_out ? check::round_half(exact) : exact;
                bool good;
                if (std::isnan(exact)) {
                    good = std::isnan(got[at]);
                } else if (c.data == Data::integers) {
                    good = got[at] == rounded;
                } else {
                    const float room = slack(k, magnitude[static_cast<size_t>(p) * c.n + n]);
                    // Close to the largest half, either side of the step to infinity.
                    const float top = half_out ? 65520.0f : INFINITY;
                    if (std::isinf(got[at]))
                        good = fabsf(exact) + room >= top && std::signbit(got[at]) == std::signbit(exact);
                    else
                        good = fabsf(got[at] - exact) <= room + (half_out ? half_ulp(fabsf(exact) + room) : 0.0f);
                }
                CHECK(good, "%s: pixel %d channel %d is %g, expected %g", text(c, name).c_str(), p, n, got[at],
                      rounded);
            }
        }
}

// Every variant for every compute capability; a launch that an earlier one equals is not run again.
void run(Case c, fs_k_type type) {
    const int reach = (c.kernel - 1) * c.dilation + 1;
    if (c.oh == 0) c.oh = (c.h + 2 * c.pad_top - reach) / c.stride + 1;
    if (c.ow == 0) c.ow = (c.w + 2 * c.pad_left - reach) / c.stride + 1;
    const bool half = type == FS_K_F16;
    Random random(static_cast<uint64_t>(c.h * 31 + c.w) * 1009 + c.ci * 131 + c.n * 7 + c.kernel);
    const Numbers x = numbers_of(c, half, random);
    const std::vector<float> want = expected(c, x, false);
    const std::vector<float> magnitude = c.data == Data::integers ? want : expected(c, x, true);
    Layer l = layer_of(c, x, half);
    std::vector<fs_launch> seen;
    std::vector<int> abilities = {75, 80, 90};
    if (!check::simulated()) abilities = {check::sm()};
    for (const int sm : abilities)
        for (int variant = 0;; variant++) {
            fs_launch launch;
            if (!fs_launch_conv(&l.params, type, sm, variant, &launch)) {
                CHECK(variant > 0, "%s: no variant for sm %d", text(c, "none").c_str(), sm);
                break;
            }
            const auto same = [&](const fs_launch &other) { return memcmp(&other, &launch, sizeof launch) == 0; };
            if (std::any_of(seen.begin(), seen.end(), same)) continue;
            seen.push_back(launch);
            std::vector<unsigned char> unwritten(l.out.bytes, 0xFF);
            l.out.upload(unwritten.data());
            if (!check::run(launch)) {
                CHECK(false, "%s", text(c, launch.name).c_str());
                return;
            }
            compare(c, l, launch.name, half, want, magnitude);
            for (const Buffer *b : {&l.in, &l.in2, &l.residual, &l.weights, &l.bias, &l.out})
                CHECK(b->guards_intact(), "%s: wrote next to a buffer", text(c, launch.name).c_str());
        }
}

// The network's layers, on few pixels.
void network_shapes() {
    const int pairs[][2] = {{48, 32},  {64, 48},   {384, 64},  {64, 384},  {96, 384},  {576, 96},
                            {96, 576}, {128, 576}, {768, 128}, {128, 768}, {128, 128}, {24, 128}};
    for (const auto &pair : pairs) {
        Case c = {7, 11, pair[1], pair[0]};
        c.relu = pair[0] > pair[1];
        c.residual = pair[1] > pair[0];
        run(c, FS_K_F16);
    }
    Case fusion = {5, 17, 128, 128};
    fusion.c2 = 64, fusion.relu = true;
    run(fusion, FS_K_F16);
    Case logits = {9, 15, 128, 19};
    logits.out_f32 = true;
    run(logits, FS_K_F16);
    Case pyramid = {6, 7, 256, 128, 3};
    pyramid.pad_top = pyramid.pad_left = 1, pyramid.relu = true;
    run(pyramid, FS_K_F16);
    Case stem = {33, 37, 3, 32, 3, 2};
    stem.packed = stem.relu = true;
    for (const int pad : {0, 1})
        for (const int channels : {3, 4})
            for (const fs_k_type type : {FS_K_F16, FS_K_F32}) {
                stem.pad_top = stem.pad_left = pad, stem.ci = channels;
                run(stem, type);
            }
}

// More tiles than one in both directions, none of them full.
void several_tiles() {
    for (const fs_k_type type : {FS_K_F16, FS_K_F32}) {
        Case c = {13, 23, 40, 200};
        c.residual = c.relu = true;
        run(c, type);
        c = {20, 21, 16, 136, 3};
        c.pad_top = c.pad_left = 1;
        run(c, type);
    }
}

// Odd sizes, strides, dilations and paddings, uneven ones too: a size that is a multiple of the stride loses its top
// or left zeros, and what is behind the last row is as large as it must be.
void geometry() {
    const int sizes[][2] = {{1, 1}, {1, 7}, {7, 1}, {13, 17}, {8, 6}};
    int turn = 0;
    for (const auto &size : sizes)
        for (int kernel = 1; kernel <= 3; kernel += 2)
            for (int stride = 1; stride <= 2; stride++)
                for (int dilation = 1; dilation <= (kernel == 3 ? 2 : 1); dilation++)
                    for (int pad = 0; pad < 4; pad++) { // none, even, top only, left only
                        Case c = {size[0], size[1], 8 + turn % 3 * 8, 24, kernel, stride, dilation};
                        if (kernel == 1 && pad > 0) continue;
                        c.pad_top = pad == 1 || pad == 2 ? dilation : 0;
                        c.pad_left = pad == 1 || pad == 3 ? dilation : 0;
                        const int reach = (kernel - 1) * dilation;
                        if (pad == 0 && (c.h <= reach || c.w <= reach)) continue;
                        if (pad > 1) c.oh = (c.h - 1) / stride + 1, c.ow = (c.w - 1) / stride + 1;
                        c.residual = turn % 2, c.relu = turn / 2 % 2, c.extra = turn % 3 * 8;
                        run(c, FS_K_F16);
                        run(c, FS_K_F32);
                        c.ci = 3 + turn % 4, c.packed = turn % 2; // the plain kernel
                        run(c, FS_K_F16);
                        run(c, FS_K_F32);
                        turn++;
                    }
}

// Every K around the sizes of a step, in one source and in two.
void k_tails() {
    for (int k = 8; k <= 136; k += 8) {
        run({3, 5, k, 16}, FS_K_F16);
        run({3, 5, k, 16}, FS_K_F32);
    }
    for (const int k : {184, 192, 200, 248, 256, 264, 1152}) run({3, 5, k, 16}, FS_K_F16);
    for (int first = 8; first <= 40; first += 8)
        for (int second = 8; second <= 72; second += 16) {
            Case c = {3, 5, first, 16};
            c.c2 = second, c.extra = 8;
            run(c, FS_K_F16);
            run(c, FS_K_F32);
        }
    Case strided = {7, 9, 24, 16, 1, 2};
    strided.c2 = 16;
    run(strided, FS_K_F16);
    run(strided, FS_K_F32);
    Case odd = {3, 5, 5, 16};
    odd.c2 = 7;
    run(odd, FS_K_F16);
    run(odd, FS_K_F32);
    for (int channels = 8; channels <= 72; channels += 8) { // steps that cross taps
        Case c = {4, 5, channels, 8, 3};
        c.pad_top = c.pad_left = 1;
        run(c, FS_K_F16);
        run(c, FS_K_F32);
    }
}

void n_tails() {
    int turn = 0;
    for (const int n : {1, 2, 7, 8, 9, 19, 24, 31, 33, 63, 65, 127, 129, 255, 256})
        for (const bool out_f32 : {false, true}) {
            Case c = {5, 9, 24, n};
            c.out_f32 = out_f32, c.residual = turn % 2, c.relu = turn % 3 == 0, c.extra = turn % 3 * 8;
            run(c, FS_K_F16);
            if (!out_f32) run(c, FS_K_F32);
            c.ci = 3;
            run(c, FS_K_F16);
            turn++;
        }
}

void real_numbers() {
    for (const Data data : {Data::real, Data::large})
        for (const bool relu : {false, true}) {
            Case c = {7, 11, 96, 72};
            c.data = data, c.residual = true, c.relu = relu;
            run(c, FS_K_F16);
            run(c, FS_K_F32);
            c.residual = false, c.out_f32 = true;
            run(c, FS_K_F16);
            c = {6, 5, 32, 40, 3};
            c.pad_top = c.pad_left = 1, c.data = data, c.relu = relu;
            run(c, FS_K_F16);
            run(c, FS_K_F32);
            c = {9, 9, 3, 32, 3, 2};
            c.data = data, c.relu = relu, c.packed = true;
            run(c, FS_K_F16);
            run(c, FS_K_F32);
        }
    Case c = {3, 5, 768, 128};
    c.data = Data::real, c.residual = true;
    run(c, FS_K_F16);
}

// A NaN reaches exactly the outputs that see its pixel, ReLU or not, and no padding channel.
void nan_stays_visible() {
    for (const bool relu : {false, true})
        for (const int pixel : {0, 17, 53, 76})
            for (const fs_k_type type : {FS_K_F16, FS_K_F32}) {
                Case c = {7, 11, 40, 19};
                c.relu = relu, c.nan_pixel = pixel, c.residual = true;
                run(c, type);
                c.kernel = 3, c.pad_top = c.pad_left = 2, c.dilation = 2, c.residual = false;
                run(c, type);
                c.dilation = 1, c.pad_top = c.pad_left = 1, c.stride = 2, c.ci = 3, c.packed = true;
                run(c, type);
            }
}

// The list of variants: distinct names, every one right on paper for the largest map, no more than fits sm 75.
void variants() {
    fs_conv_params p = {};
    const int shapes[][4] = {{65536, 2, 48, 32},  {256, 128, 64, 48},   {128, 256, 384, 64}, {64, 128, 64, 384},
                             {32, 64, 96, 384},   {32, 64, 576, 96},    {32, 64, 128, 768},  {32, 64, 768, 128},
                             {128, 256, 19, 128}, {16384, 16384, 8, 8}, {1, 1, 8, 8}};
    for (const auto &s : shapes)
        for (const int sm : {75, 80, 86, 89, 90, 100, 120}) {
            p.in = {nullptr, s[0], s[1], s[3], s[3]}, p.out = {nullptr, s[0], s[1], s[2], round8(s[2])};
            p.kernel = p.stride = p.dilation = 1;
            std::vector<std::string> names;
            fs_launch launch;
            while (fs_launch_conv(&p, FS_K_F16, sm, static_cast<int>(names.size()), &launch)) {
                CHECK(std::find(names.begin(), names.end(), launch.name) == names.end(), "%s twice", launch.name);
                names.push_back(launch.name);
                int bm = 0, bn = 0;
                CHECK(sscanf(launch.name, "conv f16 %dx%d", &bm, &bn) == 2, "the name %s", launch.name);
                const long long tiles = ((long long)s[0] * s[1] + bm - 1) / bm * ((round8(s[2]) + bn - 1) / bn);
                CHECK(launch.grid[0] == tiles && tiles <= INT_MAX, "%s: %u blocks, expected %lld", launch.name,
                      launch.grid[0], tiles);
                CHECK(launch.grid[1] == 1 && launch.grid[2] == 1, "%s: a grid of one dimension", launch.name);
                CHECK(launch.shared <= 64 << 10, "%s: %u bytes of shared memory", launch.name, launch.shared);
            }
            CHECK(names.size() >= 4, "%zu variants", names.size());
            if (sm == 90 && !names.empty()) printf("    %dx%dx%dx%d: %s\n", s[0], s[1], s[2], s[3], names[0].c_str());
            CHECK(!fs_launch_conv(&p, FS_K_F16, sm, -1, &launch), "variant -1 exists");
        }
}

} // namespace

int main(int argc, char **argv) {
    if (!check::begin(argc, argv)) return 77;
    check::test("network_shapes", network_shapes);
    check::test("several_tiles", several_tiles);
    check::test("geometry", geometry);
    check::test("k_tails", k_tails);
    check::test("n_tails", n_tails);
    check::test("real_numbers", real_numbers);
    check::test("nan_stays_visible", nan_stays_visible);
    check::test("variants", variants);
    return check::finish();
}
