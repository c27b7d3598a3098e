// Frames for the kernels that begin with the stem: pixel layouts, strides, alignments and paddings, weights folded as
// the engine folds them, and what cpu/reference makes of it.
#ifndef FS_TESTS_CUDA_STEM_SCENE_H
#define FS_TESTS_CUDA_STEM_SCENE_H

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

namespace stem_scene {

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
inline void axis(padding pad, int n, int *out, int *lead) {
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

// The numbers of a scene on the host.
struct numbers {
    fs_stem_params p = {}; // without pointers
    int oh, ow;
    size_t used, stride, shift; // of the frame's rows, bytes; of its first pixel
    std::vector<uint8_t> bytes;
    std::vector<float> kernel, folded; // weights [32][48], biases [64][32]
    std::vector<double> size;          // largest sum of absolute terms, a channel
    std::vector<float> expected;       // [oh][ow][32] of the reference

    numbers(const scene &s, fs_k_type type, uint64_t seed);
    // How far a float sum of channel n may be from the reference. Products of a u8 and a half are exact in float, so
    // what differs is at most 40 additions and roundings of the sum's terms (tensor cores truncate: 2^-23 each), and
    // the rounding of normalised values and of w' 255 std in the reference (2^-24 of the same terms).
    double slack(size_t n) const { return size[n] * 48 / 8388608; }
};

inline numbers::numbers(const scene &s, fs_k_type type, uint64_t seed) {
    check::Random random(seed);
    const int channels = s.layout.channels, taps = 9 * channels;
    const bool half = type == FS_K_F16;
    p.pixel = s.layout.bytes, p.h = s.h, p.w = s.w, p.channels = channels;
    memcpy(p.order, s.layout.order, sizeof p.order);
    axis(s.pad, s.h, &oh, &p.pad_top), axis(s.pad, s.w, &ow, &p.pad_left);

    used = static_cast<size_t>(s.w) * static_cast<size_t>(p.pixel);
    stride = used + static_cast<size_t>(s.gap), shift = static_cast<size_t>(s.shift);
    bytes.resize(shift + static_cast<size_t>(s.h - 1) * stride + used);
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
    kernel.assign(outputs * 48, 0.0f), size.assign(outputs, 0.0), folded.resize(64 * outputs);
    std::vector<float> layer(static_cast<size_t>(taps) * outputs), bias(outputs);
    for (float &b : bias) b = random.uniform(-1, 1);
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

    std::vector<float> normal(frame.size());
    expected.resize(static_cast<size_t>(oh) * static_cast<size_t>(ow) * outputs);
    fs_ref_normalise(frame.data(), s.h, s.w, &model, normal.data());
    fs_op op = {};
    op.kernel = 3, op.stride = 2, op.dilation = 1, op.pad_top = p.pad_top, op.pad_left = p.pad_left;
    const fs_folded weights = {layer.data(), bias.data()};
    fs_ref_conv(normal.data(), s.h, s.w, channels, &op, &weights, oh, ow, outputs, expected.data());
    fs_ref_relu(expected.data(), expected.size(), expected.data());
}

// Frame, weights and biases in device memory, and the stem's parameters but for its output's memory.
struct device {
    check::Buffer frame, weights, biases;
    fs_stem_params p;

    device(const numbers &made, fs_k_type type)
        : frame(check::of(made.bytes)),
          weights(type == FS_K_F16 ? check::of(check::to_half(made.kernel)) : check::of(made.kernel)),
          biases(check::of(made.folded)), p(made.p) {
        p.frame = frame.as<uint8_t>() + made.shift, p.stride = static_cast<long long>(made.stride);
        p.weights = weights.data, p.bias = biases.as<float>();
        p.out.h = made.oh, p.out.w = made.ow, p.out.c = p.out.pitch = outputs;
    }
    fence around(const numbers &made) const { return {frame, made.shift, p.h, made.used, made.stride}; }
};

const pixels rgb = {3, {0, 1, 2, 0}, 3}, bgr = {3, {2, 1, 0, 0}, 3}, rgba = {4, {0, 1, 2, 0}, 3};
const pixels four = {4, {0, 1, 2, 3}, 4};
// Every order that a frame may have, and bytes that repeat.
const pixels layouts[] = {
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

} // namespace stem_scene

#endif
