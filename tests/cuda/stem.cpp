// The stem kernels against normalise + convolution + ReLU of cpu/reference, over paddings, odd sizes, pixel layouts,
// strides and alignments.
#include <cmath>
#include <cstdint>
#include <cstring>
#include <vector>

#include "cuda/kernels/kernels.h"
#include "tests/cuda/check.h"

extern "C" {
#include "cpu/reference/reference.h"
}

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#endif

namespace {

constexpr int outputs = 32;

struct pixels {
    int bytes, order[4], channels;
};

enum padding { pad_none, pad_one, pad_same };

struct scene {
    int h, w;
    padding pad;
    pixels layout;
    int gap, shift; // bytes between rows; misalignment of the first pixel
    enum { noise, black, white } fill;
    int extra; // channels of the output map beyond 32
};

// As runtime/network.c has it.
void axis(padding pad, int n, int *out, int *lead) {
    if (pad == pad_none)
        *out = (n - 3) / 2 + 1, *lead = 0;
    else
        *out = (n + 1) / 2, *lead = pad == pad_one ? 1 : n % 2;
}

// Under AddressSanitizer on the simulator: whatever is not a pixel of a row cannot be read while this lives.
struct fence {
    fence(const check::Buffer &buffer, size_t shift, int rows, size_t used, size_t stride) : whole(buffer) {
#if defined(__SANITIZE_ADDRESS__)
        if (!check::simulated()) return;
        const char *data = static_cast<const char *>(buffer.data);
        ASAN_POISON_MEMORY_REGION(data - 256, 256 + shift);
        for (int y = 0; y + 1 < rows; y++)
            ASAN_POISON_MEMORY_REGION(data + shift + static_cast<size_t>(y) * stride + used, stride - used);
        ASAN_POISON_MEMORY_REGION(data + buffer.bytes, 256);
#else
        (void)shift, (void)rows, (void)used, (void)stride;
#endif
    }
    ~fence() {
#if defined(__SANITIZE_ADDRESS__)
        if (check::simulated())
            ASAN_UNPOISON_MEMORY_REGION(static_cast<const char *>(whole.data) - 256, whole.bytes + 512);
#endif
    }
    const check::Buffer &whole;
};

void compare(const scene &s, fs_k_type type, int sm, int variant, uint64_t seed) {
    check::Random random(seed);
    const int channels = s.layout.channels, taps = 9 * channels;
    const bool half = type == FS_K_F16;
    fs_stem_params p = {};
    p.pixel = s.layout.bytes, p.h = s.h, p.w = s.w, p.channels = channels;
    memcpy(p.order, s.layout.order, sizeof p.order);
    int oh, ow;
    axis(s.pad, s.h, &oh, &p.pad_top), axis(s.pad, s.w, &ow, &p.pad_left);

    const size_t used = static_cast<size_t>(s.w) * static_cast<size_t>(p.pixel);
    const size_t stride = used + static_cast<size_t>(s.gap), shift = static_cast<size_t>(s.shift);
    std::vector<uint8_t> bytes(shift + static_cast<size_t>(s.h - 1) * stride + used);
    for (uint8_t &b : bytes)
        b = static_cast<uint8_t>(s.fill == scene::noise ? random.bits() >> 24 : s.fill == scene::white ? 255 : 0);
    std::vector<uint8_t> frame;
    for (int y = 0; y < s.h; y++)
        for (int x = 0; x < s.w; x++)
            for (int c = 0; c < channels; c++)
                frame.push_back(bytes[shift + static_cast<size_t>(y) * stride + static_cast<size_t>(x * p.pixel) +
                                      static_cast<size_t>(p.order[c])]);

    // The algebra of cpu/engine.c: w' = w / (255 std), and the mean of the taps that are inside moves into the bias.
    // The kernel's weights are rounded first; the reference then gets w' 255 std, so that both use the same numbers.
    fs_model model;
    fs_model_init(&model, FS_PAPER);
    model.channels = channels;
    for (int c = 0; c < channels; c++)
        model.mean[c] = random.uniform(0.3f, 0.6f), model.std[c] = random.uniform(0.2f, 0.3f);
    p.scale = 1.0f / 64;
    std::vector<float> kernel(outputs * 48, 0.0f), layer(static_cast<size_t>(taps) * outputs), bias(outputs);
    std::vector<double> size(outputs, 0.0); // largest sum of absolute terms
    for (float &b : bias) b = random.uniform(-1, 1);
    std::vector<float> folded(64 * outputs);
    for (int n = 0; n < outputs; n++) {
        double inside[9] = {};
        for (int k = 0; k < taps; k++) {
            const int c = k % channels;
            const double std = static_cast<double>(model.std[c]);
            const double w =
                static_cast<double>(random.uniform(-0.5f, 0.5f)) / (255 * std * static_cast<double>(p.scale));
            const float rounded = half ? check::round_half(static_cast<float>(w)) : static_cast<float>(w);
            const double real = static_cast<double>(rounded) * static_cast<double>(p.scale);
            kernel[static_cast<size_t>(n * 48 + k)] = rounded;
            layer[static_cast<size_t>(k * outputs + n)] = static_cast<float>(real * 255 * std);
            inside[k / channels] += real * 255 * static_cast<double>(model.mean[c]);
            size[static_cast<size_t>(n)] += 2 * 255 * std::fabs(real);
        }
        size[static_cast<size_t>(n)] += std::fabs(static_cast<double>(bias[static_cast<size_t>(n)]));
        for (int mask = 0; mask < 64; mask++) {
            double b = static_cast<double>(bias[static_cast<size_t>(n)]);
            for (int t = 0; t < 9; t++)
                if (mask / 8 >> (t / 3) & 1 && mask % 8 >> (t % 3) & 1) b -= inside[t];
            folded[static_cast<size_t>(mask * outputs + n)] = static_cast<float>(b);
        }
    }

    const size_t count = static_cast<size_t>(oh) * static_cast<size_t>(ow),
                 pitch = static_cast<size_t>(outputs + s.extra);
    std::vector<float> normal(frame.size()), expected(count * outputs);
    fs_ref_normalise(frame.data(), s.h, s.w, &model, normal.data());
    fs_op op = {};
    op.kernel = 3, op.stride = 2, op.dilation = 1, op.pad_top = p.pad_top, op.pad_left = p.pad_left;
    const fs_folded weights = {layer.data(), bias.data()};
    fs_ref_conv(normal.data(), s.h, s.w, channels, &op, &weights, oh, ow, outputs, expected.data());
    fs_ref_relu(expected.data(), expected.size(), expected.data());

    check::Buffer in = check::of(bytes), biases = check::of(folded);
    check::Buffer packed = half ? check::of(check::to_half(kernel)) : check::of(kernel);
    check::Buffer out(count * pitch * (half ? 2 : 4));
    p.frame = in.as<uint8_t>() + s.shift, p.stride = static_cast<long long>(stride);
    p.weights = packed.data, p.bias = biases.as<float>();
    p.out.data = out.data, p.out.h = oh, p.out.w = ow, p.out.c = outputs, p.out.pitch = static_cast<int>(pitch);
    fs_launch launch;
    CHECK(fs_launch_stem(&p, type, sm, variant, &launch), "no variant %d", variant);
    {
        fence around(in, shift, s.h, used, stride);
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
            // Products of a u8 and a half are exact in float, so what differs is at most 40 additions and roundings of
            // the sum's terms (tensor cores truncate: 2^-23 each), the rounding of normalised values and of w' 255 std
            // in the reference (2^-24 of the same terms), and one rounding to half: 2^-11, below its normal range
            // 2^-25.
            const double want = static_cast<double>(expected[i * outputs + n]);
            const double slack = size[n] * 48 / 8388608 + (half ? std::fabs(want) / 2048 + 1.0 / 33554432 : 0);
            CHECK(std::fabs(static_cast<double>(value) - want) <= slack,
                  "%s: %dx%d pad %d, %d bytes order %d%d%d%d for %d channels, gap %d, shift %d, fill %d: row %zu "
                  "column %zu "
                  "channel %zu is %g, expected %g +- %g",
                  launch.name, s.h, s.w, static_cast<int>(s.pad), p.pixel, p.order[0], p.order[1], p.order[2],
                  p.order[3], channels, s.gap, s.shift, static_cast<int>(s.fill), i / static_cast<size_t>(ow),
                  i % static_cast<size_t>(ow), n, static_cast<double>(value), want, slack);
        }
}

void compare_all(const scene &s, uint64_t seed) {
    static const int architectures[] = {75, 80, 90};
    const int sm = architectures[seed % 3];
    compare(s, FS_K_F16, sm, 0, seed);
    compare(s, FS_K_F16, sm, 1, seed);
    compare(s, FS_K_F32, sm, 0, seed);
}

const pixels rgb = {3, {0, 1, 2, 0}, 3}, bgr = {3, {2, 1, 0, 0}, 3}, rgba = {4, {0, 1, 2, 0}, 3};
const pixels four = {4, {0, 1, 2, 3}, 4};

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

void pixel_layouts() {
    static const pixels layouts[] = {
        rgb,
        bgr,
        {3, {1, 2, 0, 0}, 3},
        rgba,
        {4, {2, 1, 0, 0}, 3},
        {4, {3, 1, 2, 0}, 3},
        {1, {0, 0, 0, 0}, 3},
        {3, {1, 1, 2, 0}, 3}, // a byte twice
        {4, {3, 0, 3, 0}, 3},
        four,
        {4, {2, 1, 0, 3}, 4},
        {4, {3, 2, 1, 0}, 4},
        {1, {0, 0, 0, 0}, 4},
        {3, {0, 1, 2, 2}, 4},
    };
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
    check::test("pixel_layouts", pixel_layouts);
    check::test("strides_and_alignments", strides_and_alignments);
    check::test("extremes", extremes);
    check::test("wide_pitch", wide_pitch);
    check::test("nan_stays_visible", nan_stays_visible);
    return check::finish();
}
