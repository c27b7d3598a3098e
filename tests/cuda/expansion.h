// An inverted bottleneck for kernel tests: numbers, the reference step by step, and buffers of weights.
#ifndef FS_TESTS_CUDA_EXPANSION_H
#define FS_TESTS_CUDA_EXPANSION_H

#include <algorithm>

#include "cuda/kernels/fused.h"
#include "tests/cuda/maps.h"

namespace expansion {

using maps::Values;

// exact: every sum is exact in float in any order, so results are equal to the last bit, and every rounding to half in
// between takes place. overflow: the same, 2^13 times as large, so that halves overflow. real: any numbers.
enum class Data { exact, overflow, real };

struct Case {
    int h, w, cin, cout, stride;
    Data data = Data::exact;
    int in_extra = 0, out_extra = 0; // pitch beyond the channels
    int residual = 0;                // 1: a map of its own, 2: the input
    int nan_pixel = -1;              // of the input: one channel is NaN
    int border = -1;                 // only this border of the input (top, bottom, left, right) is not zero

    int e() const { return 6 * cin; }
    int oh() const { return (h - 1) / stride + 1; }
    int ow() const { return (w - 1) / stride + 1; }
};

inline std::string text(const Case &c, const char *name) {
    char line[240];
    snprintf(line, sizeof line,
             "%s: %dx%dx%d to %d stride %d, data %d, extra %d and %d, residual %d, nan %d, border %d", name, c.h, c.w,
             c.cin, c.cout, c.stride, static_cast<int>(c.data), c.in_extra, c.out_extra, c.residual, c.nan_pixel,
             c.border);
    return line;
}

inline size_t product(int a, int b, int c = 1) {
    return static_cast<size_t>(a) * static_cast<size_t>(b) * static_cast<size_t>(c);
}

struct Numbers {
    Values in, expand, expand_bias, dw, dw_bias, project, project_bias, residual; // weights as the reference has them
};

// Exact: integers up to 31 times 2^-4 in the input and in the expansion, whose sums are up to 123,000 units of 2^-8
// (more than a half's 11 bits), times weights up to 3 in what follows: far below 2^24 units but for the unlikely.
inline Numbers numbers_of(const Case &c, uint64_t seed) {
    check::Random random(seed);
    const auto fill = [&](size_t count, int most, float unit, float real) {
        Values values(count);
        for (float &value : values)
            value = c.data == Data::real ? check::round_half(random.uniform(-real, real))
                                         : static_cast<float>(random.below(2 * most + 1) - most) * unit;
        return values;
    };
    const float scale = c.data == Data::overflow ? 0x1p9f : 0x1p-4f;
    Numbers n;
    n.in = fill(product(c.h, c.w, c.cin), 31, scale, 2.0f);
    n.expand = fill(product(c.cin, c.e()), 31, 0x1p-4f, 0.3f);
    n.expand_bias = fill(product(c.e(), 1), 31, 0x1p-4f, 1.0f);
    n.dw = fill(product(9, c.e()), 3, 1.0f, 0.5f);
    n.dw_bias = fill(product(c.e(), 1), 31, 0x1p-4f, 1.0f);
    n.project = fill(product(c.e(), c.cout), 3, 1.0f, 0.1f);
    n.project_bias = fill(product(c.cout, 1), 31, 0x1p-4f, 1.0f);
    if (c.border >= 0)
        for (int y = 0; y < c.h; y++)
            for (int x = 0; x < c.w; x++) {
                const bool on[] = {y == 0, y == c.h - 1, x == 0, x == c.w - 1};
                if (!on[c.border]) std::fill_n(n.in.begin() + (y * c.w + x) * c.cin, c.cin, 0.0f);
            }
    if (c.nan_pixel >= 0) n.in[product(c.nan_pixel, c.cin) + product(c.nan_pixel % c.cin, 1)] = NAN;
    n.residual = c.residual == 2 ? n.in : fill(product(c.oh(), c.ow(), c.cout), 31, 1.0f, 2.0f);
    return n;
}

// What comes out, before its last rounding, and how far off the kernel may be before its own. A float sum differs from
// the exact one by at most its number of terms in units of 2^-24 of the sum of magnitudes; where a sum is rounded to
// half in between, it may fall to the other neighbour: 2^-10 of its value, or the least subnormal half. What is off in
// one step goes through the weights of the next.
using maps::Expected;

inline Values finite_magnitudes(const Values &values) {
    Values result = maps::magnitudes(values);
    for (float &value : result)
        if (!std::isfinite(value)) value = 0.0f;
    return result;
}

inline Expected conv1(const Expected &in, int h, int w, int k, int n, const Values &weight, const Values &bias) {
    fs_op op = {};
    op.kernel = op.stride = op.dilation = 1;
    Expected out = {Values(product(h, w, n)), Values(product(h, w, n))};
    const fs_folded folded = {const_cast<float *>(weight.data()), const_cast<float *>(bias.data())};
    fs_ref_conv(in.value.data(), h, w, k, &op, &folded, h, w, n, out.value.data());
    Values sizes = finite_magnitudes(in.value);
    for (size_t i = 0; i < sizes.size(); i++)
        sizes[i] = sizes[i] * static_cast<float>(k + 8) * 0x1p-24f + (in.slack.empty() ? 0.0f : in.slack[i]);
    const Values weight_size = maps::magnitudes(weight);
    Values bias_size = maps::magnitudes(bias);
    for (float &value : bias_size) value *= static_cast<float>(k + 8) * 0x1p-24f;
    const fs_folded folded_size = {const_cast<float *>(weight_size.data()), const_cast<float *>(bias_size.data())};
    fs_ref_conv(sizes.data(), h, w, k, &op, &folded_size, h, w, n, out.slack.data());
    return out;
}

inline void relu_and_round(Expected &x) {
    fs_ref_relu(x.value.data(), x.value.size(), x.value.data());
    x.value = check::round_half(x.value);
    for (size_t i = 0; i < x.value.size(); i++)
        if (std::isfinite(x.value[i])) x.slack[i] += std::fabs(x.value[i]) * 0x1p-10f + 0x1p-24f;
}

// The first half: rounded, as it is between the halves.
inline Expected expand_dw(const Case &c, const Numbers &n) {
    Expected expanded = conv1({n.in, {}}, c.h, c.w, c.cin, c.e(), n.expand, n.expand_bias);
    relu_and_round(expanded);
    fs_op op = {};
    op.kernel = 3, op.stride = c.stride, op.dilation = 1, op.pad_top = op.pad_left = 1;
    Expected out = {Values(product(c.oh(), c.ow(), c.e())), Values(product(c.oh(), c.ow(), c.e()))};
    const fs_folded folded = {const_cast<float *>(n.dw.data()), const_cast<float *>(n.dw_bias.data())};
    fs_ref_dwconv(expanded.value.data(), c.h, c.w, c.e(), &op, &folded, c.oh(), c.ow(), out.value.data());
    Values sizes = finite_magnitudes(expanded.value);
    for (size_t i = 0; i < sizes.size(); i++) sizes[i] = sizes[i] * 10 * 0x1p-24f + expanded.slack[i];
    const Values weight_size = maps::magnitudes(n.dw);
    Values bias_size = maps::magnitudes(n.dw_bias);
    for (float &value : bias_size) value *= 10 * 0x1p-24f;
    const fs_folded folded_size = {const_cast<float *>(weight_size.data()), const_cast<float *>(bias_size.data())};
    fs_ref_dwconv(sizes.data(), c.h, c.w, c.e(), &op, &folded_size, c.oh(), c.ow(), out.slack.data());
    relu_and_round(out);
    return out;
}

inline Expected bottleneck(const Case &c, const Numbers &n) {
    Expected out = conv1(expand_dw(c, n), c.oh(), c.ow(), c.e(), c.cout, n.project, n.project_bias);
    if (c.residual) fs_ref_add(out.value.data(), n.residual.data(), out.value.size(), out.value.data());
    return out;
}

// Exact data: the bits of the expected value, rounded once more. Real: within the slack.
inline void compare(const Case &c, const maps::Map &out, const Expected &expected, const char *what) {
    if (c.data == Data::real) {
        maps::compare(out, expected, what);
        return;
    }
    const Values values = out.read(), rounded = check::round_half(expected.value);
    for (size_t i = 0; i < values.size(); i++) {
        if (values[i] == rounded[i] || (std::isnan(values[i]) && std::isnan(rounded[i]))) continue;
        const size_t channels = product(out.view.c, 1), width = product(out.view.w, 1);
        CHECK(false, "%s: row %zu column %zu channel %zu is %.9g, expected %.9g", what, i / channels / width,
              i / channels % width, i % channels, static_cast<double>(values[i]), static_cast<double>(rounded[i]));
        return;
    }
}

// Weights in device memory as kernels take them.
struct Weights {
    check::Buffer expand, expand_bias, dw, dw_bias, project, project_bias;
    Weights(const Case &c, const Numbers &n)
        : expand(rows(n.expand, c.cin, c.e())), expand_bias(check::of(n.expand_bias)), dw(check::of(n.dw)),
          dw_bias(check::of(n.dw_bias)), project(rows(n.project, c.e(), c.cout)),
          project_bias(check::of(n.project_bias)) {}

    fs_fused_pw expand_of(const Case &c) const { return {expand.data, expand_bias.as<float>(), c.e(), 1}; }
    fs_fused_dw dw_of(const Case &c) const { return {dw.as<float>(), dw_bias.as<float>(), 1, c.stride}; }
    fs_fused_pw project_of(const Case &c) const { return {project.data, project_bias.as<float>(), c.cout, 0}; }

  private:
    static check::Buffer rows(const Values &values, int k, int n) { // from [k][n]
        Values turned(values.size());
        for (int i = 0; i < k; i++)
            for (int j = 0; j < n; j++) turned[product(j, k) + product(i, 1)] = values[product(i, n) + product(j, 1)];
        return check::of(check::to_half(turned));
    }
};

// Layer by layer, by the kernels of the layers: expansion and depthwise.
inline void separate_expand_dw(const fs_map &in, const fs_fused_pw &expand, const fs_fused_dw &dw, const fs_map &out) {
    const maps::Map middle(FS_K_F16, in.h, in.w, expand.n, expand.n);
    fs_conv_params conv = {};
    conv.in = in, conv.weights = expand.weights, conv.bias = expand.bias, conv.out = middle.view;
    conv.relu = 1, conv.kernel = conv.stride = conv.dilation = 1;
    fs_dw_params depthwise = {};
    depthwise.in = middle.view, depthwise.out = out, depthwise.weights = dw.weights, depthwise.bias = dw.bias;
    depthwise.relu = 1, depthwise.stride = dw.stride, depthwise.dilation = 1;
    depthwise.pad_top = depthwise.pad_left = 1;
    fs_launch launch;
    CHECK(fs_launch_conv(&conv, FS_K_F16, 90, 0, &launch) && check::run(launch), "expansion by itself");
    CHECK(fs_launch_dw(&depthwise, FS_K_F16, 90, 0, &launch) && check::run(launch), "depthwise by itself");
}

constexpr int CAPABILITIES[] = {75, 80, 86, 89, 90, 100, 120};
// Sizes of the input: one pixel, one row, one column, whole tiles, one more and one less.
const int SIZES[][2] = {{1, 1}, {1, 9}, {9, 1}, {2, 2}, {7, 8}, {8, 8}, {9, 17}, {16, 15}, {17, 16}, {31, 18}};

} // namespace expansion

#endif
