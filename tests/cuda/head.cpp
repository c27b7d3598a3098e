// The head kernels: labels bit for bit, planes and confidence, argmax; both conventions, odd sizes, ties, NaN.
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <limits>
#include <vector>

#include "cuda/kernels/kernels.h"
#include "tests/cuda/check.h"

extern "C" {
#include "cpu/reference/reference.h"
}

using check::Buffer;
using check::Random;

namespace {

constexpr float INF = std::numeric_limits<float>::infinity(), NOT = std::numeric_limits<float>::quiet_NaN();

struct Axis {
    std::vector<fs_k_tap> tap;
    std::vector<int> first;
    Axis(int in, int out, bool align) : tap(static_cast<size_t>(out)) {
        for (int d = 0; d < out; d++) {
            fs_k_tap &t = tap[static_cast<size_t>(d)];
            fs_resize_source(d, in, out, align, &t.lower, &t.fraction);
            t.upper = std::min(t.lower + 1, in - 1);
            while (static_cast<int>(first.size()) <= t.lower) first.push_back(d);
        }
        while (static_cast<int>(first.size()) <= in) first.push_back(out);
    }
};

enum Kind { RANDOM, PLATEAU, TIES, NANS, ONE_HOT, EXTREME, KINDS };
const char *const kind_name[KINDS] = {"random", "plateau", "ties", "NaN", "one-hot", "extreme"};

struct Image {
    int h, w, classes, pitch;
    std::vector<float> v;

    Image(int rows, int columns, int count, Kind kind, uint64_t seed)
        : h(rows), w(columns), classes(count), pitch((count + 7) / 8 * 8) {
        Random random(seed);
        // What lies behind the classes would win if it were looked at.
        v.assign(static_cast<size_t>(h) * static_cast<size_t>(w) * static_cast<size_t>(pitch), 1e30f);
        for (int y = 0; y < h; y++)
            for (int x = 0; x < w; x++) {
                const int region = (y / 3 * 5 + x / 4 * 3 + static_cast<int>(seed % 97)) % classes;
                const int hot = random.below(classes);
                for (int k = 0; k < classes; k++) {
                    float value = random.uniform(-4, 4);
                    if (kind == PLATEAU) value = value * 0.25f + (k == region ? 6.0f : 0.0f);
                    if (kind == TIES) value = static_cast<float>(random.below(3));
                    if (kind == NANS && random.below(12) == 0) value = NOT;
                    if (kind == ONE_HOT) value = k == hot ? 1.0f : 0.0f;
                    if (kind == EXTREME) {
                        const float odd[8] = {INF, -INF, 3.4028235e38f, -3.4028235e38f, 1e-42f, -0.0f, 0.0f, value};
                        value = odd[random.below(8)];
                    }
                    at(y, x)[k] = value;
                }
            }
    }
    float *at(int y, int x) {
        return v.data() +
               (static_cast<size_t>(y) * static_cast<size_t>(w) + static_cast<size_t>(x)) * static_cast<size_t>(pitch);
    }
    const float *at(int y, int x) const { return const_cast<Image *>(this)->at(y, x); }
    int winner(int y, int x) const {
        const float *p = at(std::min(y, h - 1), std::min(x, w - 1));
        int index = 0;
        for (int k = 1; k < classes; k++)
            if (p[k] > p[index]) index = k;
        return index;
    }
    fs_map map(const Buffer &b) const { return {b.data, h, w, classes, pitch}; }
};

float value_of(const float *const corner[4], int k, float fy, float fx) {
    const float left = corner[0][k] + (corner[2][k] - corner[0][k]) * fy;
    const float right = corner[1][k] + (corner[3][k] - corner[1][k]) * fy;
    return std::fma(right - left, fx, left);
}

// A scalar copy of cpu/head.c and cpu/kernels/head.h.
std::vector<uint8_t> expected_labels(const Image &image, const Axis &ay, const Axis &ax, bool shortcut) {
    const int height = static_cast<int>(ay.tap.size()), width = static_cast<int>(ax.tap.size());
    std::vector<uint8_t> labels(static_cast<size_t>(height) * static_cast<size_t>(width));
    std::vector<int> kept;
    for (int i = 0; i < image.h; i++)
        for (int j = 0; j < image.w; j++) {
            const int below = std::min(i + 1, image.h - 1), right = std::min(j + 1, image.w - 1);
            const float *const corner[4] = {image.at(i, j), image.at(i, right), image.at(below, j),
                                            image.at(below, right)};
            kept.clear();
            const int winner = image.winner(i, j);
            const bool uniform = shortcut && winner == image.winner(i, right) && winner == image.winner(below, j) &&
                                 winner == image.winner(below, right);
            if (uniform) kept.push_back(winner);
            int strong = 0;
            float high = -3.4e38f;
            for (int k = 0; k < image.classes; k++) {
                float low = corner[0][k];
                for (int n = 1; n < 4; n++)
                    if (corner[n][k] < low) low = corner[n][k];
                if (low > high) high = low, strong = k;
            }
            for (int k = 0; k < image.classes && !uniform; k++) {
                bool beaten = shortcut && k != strong;
                for (int n = 0; n < 4 && beaten; n++)
                    beaten = k < strong ? corner[n][k] < corner[n][strong] : corner[n][k] <= corner[n][strong];
                if (!beaten) kept.push_back(k);
            }
            for (int y = ay.first[static_cast<size_t>(i)]; y < ay.first[static_cast<size_t>(i) + 1]; y++)
                for (int x = ax.first[static_cast<size_t>(j)]; x < ax.first[static_cast<size_t>(j) + 1]; x++) {
                    const float fy = ay.tap[static_cast<size_t>(y)].fraction,
                                fx = ax.tap[static_cast<size_t>(x)].fraction;
                    int index = kept[0];
                    float best = value_of(corner, index, fy, fx);
                    for (int k : kept) {
                        const float value = value_of(corner, k, fy, fx);
                        if (value > best) best = value, index = k;
                    }
                    labels[static_cast<size_t>(y) * static_cast<size_t>(width) + static_cast<size_t>(x)] =
                        static_cast<uint8_t>(index);
                }
        }
    return labels;
}

std::vector<uint8_t> table() {
    std::vector<uint8_t> map(256);
    for (size_t i = 0; i < 256; i++) map[i] = static_cast<uint8_t>(i * 7 + 3);
    return map;
}

struct Labels {
    int offset, extra; // of the first label; bytes between rows
    bool mapped;
};

// Launches one variant and checks every byte, also those between the rows.
std::vector<uint8_t> run_labels(const Image &image, const Axis &ay, const Axis &ax, int variant, Labels how,
                                const char *what) {
    const int height = static_cast<int>(ay.tap.size()), width = static_cast<int>(ax.tap.size());
    const size_t stride = static_cast<size_t>(width + how.extra), offset = static_cast<size_t>(how.offset);
    const Buffer logits = check::of(image.v), tap_y = check::of(ay.tap), tap_x = check::of(ax.tap);
    const Buffer first_y = check::of(ay.first), first_x = check::of(ax.first), map = check::of(table());
    Buffer out(offset + static_cast<size_t>(height) * stride);
    logits.frame();
    fs_head_params p = {};
    p.logits = image.map(logits);
    p.tap_y = tap_y.as<fs_k_tap>(), p.tap_x = tap_x.as<fs_k_tap>();
    p.first_y = first_y.as<int>(), p.first_x = first_x.as<int>();
    p.height = height, p.width = width;
    p.labels = out.as<uint8_t>() + offset, p.labels_stride = static_cast<long long>(stride);
    p.map = how.mapped ? map.as<uint8_t>() : nullptr;
    fs_launch launch;
    if (!fs_launch_head_labels(&p, check::sm(), variant, &launch)) {
        CHECK(false, "%s: no variant %d", what, variant);
        return {};
    }
    check::run(launch);
    const std::vector<uint8_t> got = check::get<uint8_t>(out, out.bytes);
    const std::vector<uint8_t> expected = expected_labels(image, ay, ax, variant == 0), values = table();
    std::vector<uint8_t> labels;
    size_t wrong = 0, touched = 0, first_wrong = 0;
    for (size_t n = 0; n < got.size(); n++) {
        const size_t x = n < offset ? stride : (n - offset) % stride, y = n < offset ? 0 : (n - offset) / stride;
        if (x >= static_cast<size_t>(width)) {
            touched += got[n] != 0xFF;
            continue;
        }
        const uint8_t want = expected[y * static_cast<size_t>(width) + x];
        labels.push_back(how.mapped ? want : got[n]);
        if (got[n] != (how.mapped ? values[want] : want) && wrong++ == 0) first_wrong = n - offset;
    }
    CHECK(wrong == 0,
          "%s, variant %d, %dx%d of %d classes to %dx%d, offset %d, extra %d, map %d: %zu wrong, first %zu,%zu", what,
          variant, image.h, image.w, image.classes, height, width, how.offset, how.extra, how.mapped, wrong,
          first_wrong / stride, first_wrong % stride);
    CHECK(touched == 0, "%s, variant %d, %dx%d to %dx%d: %zu bytes between rows written", what, variant, image.h,
          image.w, height, width, touched);
    CHECK(out.guards_intact(), "%s: guard bands", what);
    return labels;
}

struct Size {
    int h, w, height, width;
};

// The shortcut may differ from the dense labels where two classes tie within the rounding of their interpolation.
void compare_variants(const Image &image, const Axis &ay, const Axis &ax, const std::vector<uint8_t> &shortcut,
                      const std::vector<uint8_t> &dense, const char *what) {
    if (shortcut.size() != dense.size()) return;
    const size_t width = ax.tap.size();
    for (size_t n = 0; n < dense.size(); n++) {
        if (shortcut[n] == dense[n]) continue;
        const fs_k_tap &y = ay.tap[n / width], &x = ax.tap[n % width];
        const float *const corner[4] = {image.at(y.lower, x.lower), image.at(y.lower, x.upper),
                                        image.at(y.upper, x.lower), image.at(y.upper, x.upper)};
        const float a = value_of(corner, shortcut[n], y.fraction, x.fraction);
        const float b = value_of(corner, dense[n], y.fraction, x.fraction);
        // Values up to 8, five roundings of at most half an ulp (2^-21) each, twice.
        CHECK(std::fabs(a - b) <= 5 * 0x1p-21f, "%s: shortcut %d (%g), dense %d (%g) at %zu", what, shortcut[n], a,
              dense[n], b, n);
    }
}

void labels_of(const Size &s, int classes, Labels how) {
    for (int kind = 0; kind < KINDS; kind++)
        for (int align = 0; align < 2; align++) {
            const Image image(s.h, s.w, classes, static_cast<Kind>(kind),
                              static_cast<uint64_t>(s.h * 1000 + s.w * 10 + classes + kind));
            const Axis ay(s.h, s.height, align != 0), ax(s.w, s.width, align != 0);
            char what[64];
            snprintf(what, sizeof what, "%s, align %d", kind_name[kind], align);
            const auto shortcut = run_labels(image, ay, ax, 0, how, what);
            const auto dense = run_labels(image, ay, ax, 1, how, what);
            if (kind != NANS && kind != EXTREME) compare_variants(image, ay, ax, shortcut, dense, what);
        }
}

void labels_sizes() {
    const Size sizes[] = {
        {8, 16, 64, 128},  // steps of 8
        {9, 8, 65, 64},    // odd
        {13, 17, 97, 131}, //
        {5, 40, 40, 320},  // two blocks a row
        {4, 33, 32, 257},  // one cell in the second block
        {8, 8, 61, 63},    // steps below 8
        {8, 16, 20, 37},   // and far below
        {1, 1, 40, 350},   // one cell, several rounds of the tile both ways
        {1, 9, 8, 72},     // one row
        {9, 1, 72, 8},     // one column
        {2, 2, 16, 16},    //
        {6, 5, 6, 5},      // the same size
        {12, 50, 7, 19},   // smaller: cells without pixels
    };
    for (const Size &s : sizes) labels_of(s, 19, {0, 0, false});
}

void labels_classes() {
    const int counts[] = {2, 3, 11, 31, 32, 33, 255};
    for (int classes : counts) labels_of({5, 7, 40, 56}, classes, {0, 8, false});
}

void labels_rows() {
    for (int offset : {0, 1, 3, 4, 8, 15})
        for (int extra : {0, 1, 3, 4, 16}) labels_of({4, 6, 32, 48}, 5, {offset, extra, (offset + extra) % 2 == 0});
    labels_of({3, 37, 24, 289}, 19, {7, 31, true}); // stride 320 from an odd address
}

// Half the regions of a street scene are far from any border: many cells, little work.
void labels_frame() {
    const int h = check::quick() ? 16 : 32, w = check::quick() ? 32 : 64;
    for (int align = 0; align < 2; align++) {
        const Image image(h, w, 19, PLATEAU, 5);
        run_labels(image, Axis(h, h * 8, align != 0), Axis(w, w * 8, align != 0), 0, {0, 0, false}, "frame");
    }
}

// ---- planes
// --------------------------------------------------------------------------------------------------------------

float half_or_float(const std::vector<uint16_t> &halves, const std::vector<float> &floats, bool half, size_t at) {
    return half ? check::from_half(halves[at]) : floats[at];
}

enum { LOGITS, SOFTMAX };

void planes_of(const Size &s, int classes, Kind kind, bool align, bool half, int mode, bool with_out,
               bool with_confidence) {
    const Image image(s.h, s.w, classes, kind, static_cast<uint64_t>(s.w * 100 + classes));
    const Axis ay(s.h, s.height, align), ax(s.w, s.width, align);
    const Buffer logits = check::of(image.v), tap_y = check::of(ay.tap), tap_x = check::of(ax.tap);
    const size_t plane = static_cast<size_t>(s.height) * static_cast<size_t>(s.width),
                 all = plane * static_cast<size_t>(classes);
    const size_t stride = static_cast<size_t>(s.width) + 5;
    Buffer out(all * (half ? 2 : 4)), confidence(static_cast<size_t>(s.height) * stride);
    logits.frame();
    fs_head_planes_params p = {};
    p.logits = image.map(logits);
    p.tap_y = tap_y.as<fs_k_tap>(), p.tap_x = tap_x.as<fs_k_tap>();
    p.height = s.height, p.width = s.width, p.scores_f16 = half;
    p.out = with_out && mode == LOGITS ? out.as<float>() : nullptr;
    p.scores = with_out && mode == SOFTMAX ? out.data : nullptr;
    p.confidence = with_confidence ? confidence.as<uint8_t>() : nullptr;
    p.confidence_stride = static_cast<long long>(stride);
    fs_launch launch;
    if (!fs_launch_head_planes(&p, check::sm(), 0, &launch)) {
        CHECK(false, "no variant 0");
        return;
    }
    check::run(launch);
    const auto halves = half ? check::get<uint16_t>(out, all) : std::vector<uint16_t>();
    const auto floats = half ? std::vector<float>() : check::get<float>(out, all);
    const auto sure = check::get<uint8_t>(confidence, confidence.bytes);
    std::vector<float> v(static_cast<size_t>(classes));
    size_t wrong = 0;
    for (size_t n = 0; n < plane; n++) {
        const size_t row = n / static_cast<size_t>(s.width), column = n % static_cast<size_t>(s.width);
        const fs_k_tap &y = ay.tap[row], &x = ax.tap[column];
        const float *const a = image.at(y.lower, x.lower), *const b = image.at(y.lower, x.upper);
        const float *const c = image.at(y.upper, x.lower), *const d = image.at(y.upper, x.upper);
        double high = -1e300, sum = 0;
        bool nan = false;
        for (size_t k = 0; k < v.size(); k++) {
            const float left = std::fma(c[k] - a[k], y.fraction, a[k]), right = std::fma(d[k] - b[k], y.fraction, b[k]);
            v[k] = left + (right - left) * x.fraction;
            nan = nan || std::isnan(v[k]);
            high = std::max(high, static_cast<double>(v[k]));
        }
        for (float value : v) sum += std::exp(static_cast<double>(value) - high);
        for (size_t k = 0; k < v.size() && with_out; k++) {
            const float got = half_or_float(halves, floats, half, k * plane + n);
            bool good;
            if (mode == LOGITS) {
                // The same operations in the same order: the same bits (any NaN for a NaN).
                const float want = v[k];
                good = std::isnan(want) ? std::isnan(got) : got == want;
            } else {
                // exp within 2 ulp, of an argument rounded to 2^-21 at most (differences up to 16): 1e-6 relative, a
                // bit more for the sum; half a unit of half, or of its subnormals.
                const double want = std::exp(static_cast<double>(v[k]) - high) / sum;
                good = nan ? std::isnan(got)
                           : std::fabs(static_cast<double>(got) - want) <=
                                 want * (half ? 0x1p-11 + 4e-6 : 4e-6) + (half ? 0x1p-25 : 0);
            }
            wrong += !good;
        }
        if (with_confidence) {
            const double want = nan ? 0 : 255 / sum;
            wrong += std::fabs(sure[row * stride + column] - want) > 0.5 + 1e-3;
        }
    }
    size_t touched = 0;
    for (size_t n = 0; n < sure.size(); n++)
        touched += (!with_confidence || n % stride >= static_cast<size_t>(s.width)) && sure[n] != 0xFF;
    for (size_t n = 0; n < all && !with_out; n++) touched += half ? halves[n] != 0xFFFF : !std::isnan(floats[n]);
    CHECK(wrong == 0, "%s, %dx%d of %d classes to %dx%d, align %d, half %d, mode %d, out %d, confidence %d: %zu wrong",
          kind_name[kind], s.h, s.w, classes, s.height, s.width, align, half, mode, with_out, with_confidence, wrong);
    CHECK(touched == 0, "%dx%d to %dx%d: %zu written elsewhere", s.h, s.w, s.height, s.width, touched);
    CHECK(out.guards_intact() && confidence.guards_intact(), "guard bands");
}

void planes() {
    const Size sizes[] = {{8, 9, 64, 65}, {1, 1, 5, 9}, {3, 40, 17, 300}, {7, 5, 4, 3}};
    for (const Size &s : sizes)
        for (int classes : {2, 11, 19, 24})
            for (int n = 0; n < 4; n++)
                planes_of(s, classes, n & 1 ? PLATEAU : RANDOM, (n & 2) != 0, false, LOGITS, true, false);
    planes_of({4, 4, 16, 16}, 255, RANDOM, false, false, LOGITS, true, false);
    planes_of({4, 4, 16, 16}, 19, NANS, false, false, LOGITS, true, true);
}

void softmax() {
    const Size sizes[] = {{8, 9, 64, 65}, {1, 1, 5, 9}, {7, 5, 4, 3}};
    for (const Size &s : sizes)
        for (int classes : {2, 3, 4, 5, 19})
            for (int n = 0; n < 8; n++)
                planes_of(s, classes, n & 1 ? PLATEAU : RANDOM, (n & 2) != 0, (n & 4) != 0, SOFTMAX, true, true);
    for (Kind kind : {TIES, ONE_HOT, NANS}) planes_of({4, 5, 16, 21}, 19, kind, true, false, SOFTMAX, true, true);
    planes_of({4, 4, 16, 16}, 255, RANDOM, false, true, SOFTMAX, true, true);
    planes_of({4, 5, 16, 21}, 19, RANDOM, false, false, LOGITS, false, true); // confidence alone
    planes_of({4, 5, 16, 21}, 19, RANDOM, false, false, LOGITS, true, true);
}

// All at once: the bits that each has alone.
void everything() {
    const Image image(5, 6, 11, RANDOM, 3);
    const Axis ay(5, 37, false), ax(6, 45, false);
    const Buffer logits = check::of(image.v), tap_y = check::of(ay.tap), tap_x = check::of(ax.tap);
    const size_t plane = 37 * 45, all = 11 * plane;
    std::vector<std::vector<uint8_t>> bytes;
    for (int what : {1, 2, 4, 7}) {
        Buffer out(all * 4), scores(all * 2), confidence(plane);
        fs_head_planes_params p = {};
        p.logits = image.map(logits);
        p.tap_y = tap_y.as<fs_k_tap>(), p.tap_x = tap_x.as<fs_k_tap>();
        p.height = 37, p.width = 45, p.scores_f16 = 1, p.confidence_stride = 45;
        if (what & 1) p.out = out.as<float>();
        if (what & 2) p.scores = scores.data;
        if (what & 4) p.confidence = confidence.as<uint8_t>();
        fs_launch launch;
        CHECK(fs_launch_head_planes(&p, check::sm(), 0, &launch), "no variant 0");
        check::run(launch);
        if (what & 1) bytes.push_back(check::get<uint8_t>(out, out.bytes));
        if (what & 2) bytes.push_back(check::get<uint8_t>(scores, scores.bytes));
        if (what & 4) bytes.push_back(check::get<uint8_t>(confidence, confidence.bytes));
    }
    for (size_t i = 0; i < 3; i++) CHECK(bytes[i] == bytes[i + 3], "output %zu differs", i);
}

// Logits so far apart that an unshifted exponential would overflow, and classes that are out of the question.
void softmax_range() {
    Image image(1, 1, 5, RANDOM, 1);
    const float value[5] = {-3e38f, 1000, 999, -1000, -3e38f};
    std::copy(value, value + 5, image.at(0, 0));
    const Axis axis(1, 3, false);
    const Buffer logits = check::of(image.v), tap = check::of(axis.tap);
    Buffer out(5 * 9 * 4), confidence(9);
    fs_head_planes_params p = {};
    p.logits = image.map(logits), p.tap_y = p.tap_x = tap.as<fs_k_tap>();
    p.height = p.width = 3;
    p.scores = out.data, p.confidence = confidence.as<uint8_t>(), p.confidence_stride = 3;
    fs_launch launch;
    CHECK(fs_launch_head_planes(&p, check::sm(), 0, &launch), "no variant 0");
    check::run(launch);
    const auto got = check::get<float>(out, 45);
    const float want[5] = {0, 0.7310586f, 0.26894143f, 0, 0};
    for (size_t n = 0; n < 45; n++) CHECK(std::fabs(got[n] - want[n / 9]) < 1e-6f, "class %zu: %g", n / 9, got[n]);
    for (uint8_t c : check::get<uint8_t>(confidence, 9)) CHECK(c == 186, "confidence %d", c);
}

// ---- argmax
// --------------------------------------------------------------------------------------------------------------

void argmax() {
    const Size sizes[] = {{1, 1, 0, 0}, {3, 5, 0, 0}, {7, 64, 0, 0}, {2, 131, 0, 0}};
    const auto values = table();
    for (const Size &s : sizes)
        for (int classes : {2, 5, 16, 19, 33, 255})
            for (int kind = 0; kind < KINDS; kind++) {
                const Image image(s.h, s.w, classes, static_cast<Kind>(kind), static_cast<uint64_t>(s.w + classes));
                const bool mapped = kind % 2 == 1;
                const size_t stride = static_cast<size_t>(s.w + 3);
                const Buffer in = check::of(image.v), map = check::of(values);
                Buffer out(stride * static_cast<size_t>(s.h) + 1);
                in.frame();
                fs_argmax_params p = {image.map(in), out.as<uint8_t>() + 1, static_cast<long long>(stride),
                                      mapped ? map.as<uint8_t>() : nullptr};
                fs_launch launch;
                CHECK(fs_launch_argmax(&p, check::sm(), 0, &launch), "no variant 0");
                check::run(launch);
                const auto got = check::get<uint8_t>(out, out.bytes);
                size_t wrong = got[0] != 0xFF;
                for (size_t n = 0; n + 1 < got.size(); n++) {
                    const int y = static_cast<int>(n / stride), x = static_cast<int>(n % stride);
                    if (x >= s.w) {
                        wrong += got[n + 1] != 0xFF;
                        continue;
                    }
                    uint8_t want;
                    fs_ref_argmax(image.at(y, x), 1, classes, &want);
                    wrong += got[n + 1] != (mapped ? values[want] : want);
                }
                CHECK(wrong == 0, "argmax %s %dx%d of %d classes: %zu wrong", kind_name[kind], s.h, s.w, classes,
                      wrong);
            }
}

void variants() {
    fs_head_params p = {};
    p.logits = {nullptr, 4, 4, 19, 24};
    fs_launch launch;
    for (int sm : {75, 80, 86, 89, 90, 100, 120}) {
        CHECK(fs_launch_head_labels(&p, sm, 0, &launch) && fs_launch_head_labels(&p, sm, 1, &launch), "sm %d", sm);
        CHECK(!fs_launch_head_labels(&p, sm, 2, &launch), "sm %d: the list ends", sm);
        CHECK(launch.grid[0] > 0 && launch.name[0], "sm %d", sm);
    }
}

} // namespace

int main(int argc, char **argv) {
    if (!check::begin(argc, argv)) return 77;
    check::test("labels, sizes", labels_sizes);
    check::test("labels, classes", labels_classes);
    check::test("labels, alignment of rows", labels_rows);
    check::test("labels, a frame", labels_frame);
    check::test("planes", planes);
    check::test("softmax", softmax);
    check::test("softmax, range", softmax_range);
    check::test("logits, softmax and confidence at once", everything);
    check::test("argmax", argmax);
    check::test("variants", variants);
    return check::finish();
}
