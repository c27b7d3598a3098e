// Maps of either type in guarded device memory, for kernel tests: filled from floats, read back as floats, with the
// padding of pixels watched.
#ifndef FS_TESTS_CUDA_MAPS_H
#define FS_TESTS_CUDA_MAPS_H

#include <cmath>
#include <cstring>
#include <vector>

#include "cuda/kernels/kernels.h"
#include "tests/cuda/check.h"

extern "C" {
#include "cpu/reference/reference.h"
}

namespace maps {

using Values = std::vector<float>; // [h][w][c], tightly packed

inline int round8(int c) {
    return (c + 7) / 8 * 8;
}
inline const char *name(fs_k_type type) {
    return type == FS_K_F16 ? "f16" : "f32";
}
inline size_t size_of(fs_k_type type) {
    return type == FS_K_F16 ? 2 : 4;
}
// As a map of this type holds it.
inline Values rounded(fs_k_type type, const Values &values) {
    return type == FS_K_F16 ? check::round_half(values) : values;
}

struct Map {
    fs_k_type type;
    check::Buffer buffer;
    fs_map view;

    // Everything 0xFF, NaN: an output, before it is written.
    Map(fs_k_type t, int h, int w, int c, int pitch)
        : type(t), buffer(static_cast<size_t>(h) * static_cast<size_t>(w) * static_cast<size_t>(pitch) * size_of(t)),
          view{buffer.data, h, w, c, pitch} {
        buffer.frame();
    }
    // Filled. Padding up to a multiple of 8 channels is finite, but not zero, so that a kernel that lets it through is
    // seen; further on it stays NaN: no kernel here may use it.
    Map(fs_k_type t, int h, int w, int c, int pitch, const Values &values) : Map(t, h, w, c, pitch) {
        const size_t pixels = static_cast<size_t>(h) * static_cast<size_t>(w), stride = static_cast<size_t>(pitch);
        std::vector<unsigned char> raw(buffer.bytes, 0xFF);
        for (size_t p = 0; p < pixels; ++p)
            for (int k = 0; k < round8(c) && k < pitch; ++k) {
                const float value = k < c ? values[p * static_cast<size_t>(c) + static_cast<size_t>(k)] : 1.5f;
                const uint16_t half = check::to_half(value);
                const size_t size = size_of(t);
                memcpy(&raw[(p * stride + static_cast<size_t>(k)) * size],
                       t == FS_K_F16 ? static_cast<const void *>(&half) : &value, size);
            }
        buffer.upload(raw.data());
    }

    // The channels; checks that padding up to a multiple of 8 channels is zero and that behind it nothing was written.
    Values read() const {
        const size_t pixels = static_cast<size_t>(view.h) * static_cast<size_t>(view.w), size = size_of(type);
        std::vector<unsigned char> raw(buffer.bytes);
        buffer.download(raw.data());
        Values values;
        values.reserve(pixels * static_cast<size_t>(view.c));
        for (size_t p = 0; p < pixels; ++p)
            for (int k = 0; k < view.pitch; ++k) {
                const unsigned char *at = &raw[(p * static_cast<size_t>(view.pitch) + static_cast<size_t>(k)) * size];
                uint32_t bits = 0;
                memcpy(&bits, at, size);
                if (k >= view.c) {
                    const uint32_t expected = k < round8(view.c) ? 0 : type == FS_K_F16 ? 0xFFFFu : 0xFFFFFFFFu;
                    CHECK(bits == expected, "%s %dx%dx%d: padding channel %d of pixel %zu is %x", name(type), view.h,
                          view.w, view.c, k, p, static_cast<unsigned>(bits));
                    continue;
                }
                float value;
                memcpy(&value, &bits, sizeof value);
                values.push_back(type == FS_K_F16 ? check::from_half(static_cast<uint16_t>(bits)) : value);
            }
        return values;
    }
    std::vector<unsigned char> bytes() const {
        std::vector<unsigned char> raw(buffer.bytes);
        buffer.download(raw.data());
        return raw;
    }
};

inline Values random_values(check::Random &random, size_t count, float low, float high) {
    Values values(count);
    for (float &value : values) value = random.uniform(low, high);
    return values;
}
// Small ones, the largest, subnormals, both zeros, infinities.
inline Values extreme_values(check::Random &random, size_t count, bool infinities) {
    const float list[] = {0.0f,      -0.0f,        0x1p-24f, -0x1p-24f, 0x1p-14f, 65504.0f,
                          -65504.0f, 0x1.ffcp-15f, 1.0f,     -1.0f,     INFINITY, -INFINITY};
    Values values(count);
    for (float &value : values) value = list[random.below(infinities ? 12 : 10)];
    return values;
}
inline Values magnitudes(const Values &values) {
    Values result(values);
    for (float &value : result) value = std::fabs(value);
    return result;
}

// How far a result may be from `expected` (the reference, not yet rounded to the type): `slack`, what the accumulation
// in float can differ by, then one rounding: half an ulp, 2^-11 (or 2^-24) of the value, for halves at least half of
// the least subnormal. NaN and infinity must be the same; only a value within the slack of where halves overflow may be
// either.
inline bool agrees(fs_k_type type, float value, float expected, double slack) {
    if (std::isnan(value) || std::isnan(expected)) return std::isnan(value) && std::isnan(expected);
    if (std::isinf(expected)) return value == expected;
    const double e = static_cast<double>(expected), v = static_cast<double>(value), limit = 65520.0;
    if (type == FS_K_F16 && std::fabs(e) + slack >= limit && std::isinf(value)) return (v > 0) == (e > 0);
    if (std::isinf(value) || (type == FS_K_F16 && std::fabs(e) - slack >= limit)) return false;
    const double ulp = type == FS_K_F16 ? (std::fabs(e) + slack) * 0x1p-11 + 0x1p-25 : (std::fabs(e) + slack) * 0x1p-24;
    return std::fabs(v - e) <= slack + ulp;
}

// The taps of an axis, as the backend makes them.
inline std::vector<fs_k_tap> taps(int in, int out, bool align) {
    std::vector<fs_k_tap> list(static_cast<size_t>(out));
    for (int i = 0; i < out; ++i) {
        fs_k_tap &tap = list[static_cast<size_t>(i)];
        fs_resize_source(i, in, out, align, &tap.lower, &tap.fraction);
        tap.upper = tap.lower + 1 < in ? tap.lower + 1 : tap.lower;
    }
    return list;
}

// A bilinear resize operation by operation as kernels do it, down and then along, to the last bit.
inline Values resized(const Values &in, int h, int w, int c, int oh, int ow, bool align) {
    const std::vector<fs_k_tap> down = taps(h, oh, align), along = taps(w, ow, align);
    Values out;
    out.reserve(static_cast<size_t>(oh) * static_cast<size_t>(ow) * static_cast<size_t>(c));
    const auto at = [&](int y, int x, int k) {
        return in[(static_cast<size_t>(y) * static_cast<size_t>(w) + static_cast<size_t>(x)) * static_cast<size_t>(c) +
                  static_cast<size_t>(k)];
    };
    for (const fs_k_tap &y : down)
        for (const fs_k_tap &x : along)
            for (int k = 0; k < c; ++k) {
                const auto mix = [&](int column) {
                    const float a = at(y.lower, column, k), b = at(y.upper, column, k);
                    const volatile float share = (b - a) * y.fraction; // no contraction with the addition
                    return a + share;
                };
                const float left = mix(x.lower), right = mix(x.upper);
                out.push_back(std::fmaf(right - left, x.fraction, left));
            }
    return out;
}

struct Layer { // of a depthwise convolution
    Values weight, bias;
    check::Buffer device_weight, device_bias;
    Layer(check::Random &random, int c)
        : weight(random_values(random, static_cast<size_t>(9 * c), -1.0f, 1.0f)),
          bias(random_values(random, static_cast<size_t>(c), -0.5f, 0.5f)), device_weight(check::of(weight)),
          device_bias(check::of(bias)) {}
};

struct Shape { // of a depthwise convolution; h and w of its input
    int h, w, c, stride, dilation, pad_top, pad_left, oh, ow;
};

struct Expected {
    Values value, slack;
};
// The reference of a depthwise convolution. Slack: ten terms added in float, each sum rounded once, so at most 10 units
// of 2^-24 of the sum of magnitudes.
inline Expected depthwise(const Values &in, const Shape &s, const Layer &layer, bool relu) {
    fs_op op = {};
    op.kernel = 3, op.stride = s.stride, op.dilation = s.dilation, op.pad_top = s.pad_top, op.pad_left = s.pad_left;
    const size_t count = static_cast<size_t>(s.oh) * static_cast<size_t>(s.ow) * static_cast<size_t>(s.c);
    Expected expected = {Values(count), Values(count)};
    Values weight = layer.weight, bias = layer.bias;
    fs_folded folded = {weight.data(), bias.data()};
    fs_ref_dwconv(in.data(), s.h, s.w, s.c, &op, &folded, s.oh, s.ow, expected.value.data());
    if (relu) fs_ref_relu(expected.value.data(), count, expected.value.data());
    Values in_size = magnitudes(in), weight_size = magnitudes(weight), bias_size = magnitudes(bias);
    for (float &value : in_size)
        if (!std::isfinite(value)) value = 0.0f;
    folded = {weight_size.data(), bias_size.data()};
    fs_ref_dwconv(in_size.data(), s.h, s.w, s.c, &op, &folded, s.oh, s.ow, expected.slack.data());
    for (float &value : expected.slack) value *= 10 * 0x1p-24f;
    return expected;
}

// Every value of `out` against the reference; the first that differs is told.
inline void compare(const Map &out, const Expected &expected, const char *what) {
    const Values values = out.read();
    const size_t c = static_cast<size_t>(out.view.c), w = static_cast<size_t>(out.view.w);
    for (size_t i = 0; i < values.size(); ++i)
        if (!agrees(out.type, values[i], expected.value[i], static_cast<double>(expected.slack[i]))) {
            CHECK(false, "%s: row %zu column %zu channel %zu is %.9g, expected %.9g", what, i / c / w, i / c % w, i % c,
                  static_cast<double>(values[i]), static_cast<double>(expected.value[i]));
            return;
        }
}

} // namespace maps

#endif
