// Normalisation, add and ReLU, bilinear resize and concatenation against the reference.
#include <cstdio>

#include "tests/cuda/maps.h"

using namespace maps;

namespace {

constexpr fs_k_type TYPES[] = {FS_K_F16, FS_K_F32};
constexpr int CAPABILITIES[] = {75, 80, 90};
const int SIZES[][2] = {{1, 1}, {1, 9}, {9, 1}, {5, 7}, {33, 17}};

size_t count_of(int h, int w, int c) {
    return static_cast<size_t>(h) * static_cast<size_t>(w) * static_cast<size_t>(c);
}

// Every variant on every compute capability; after(launch) looks at the result. Equal launches run once.
template <typename Params, typename Launch, typename After>
void run_all(const Params &p, fs_k_type type, const Launch &fill, const After &after) {
    std::vector<fs_launch> done;
    for (int sm : CAPABILITIES) {
        int variant = 0;
        for (;; ++variant) {
            fs_launch launch;
            if (!fill(&p, type, sm, variant, &launch)) break;
            bool seen = false;
            for (const fs_launch &other : done) seen = seen || other.kernel == launch.kernel;
            if (seen) continue;
            done.push_back(launch);
            if (check::run(launch)) after(launch);
        }
        CHECK(variant > 0, "%s: no variant for sm %d", name(type), sm);
        fs_launch launch;
        CHECK(!fill(&p, type, sm, -1, &launch), "%s: variant -1", name(type));
    }
}

// ---- normalise
// ----------------------------------------------------------------------------------------------------------

void normalise_one(uint64_t seed, int h, int w, int channels, int pixel, int gap, int shift, const int (&order)[4]) {
    check::Random random(seed);
    const size_t stride = static_cast<size_t>(w * pixel + gap);
    // Ends with the last pixel of the last row, so that the guard band starts where reading must end.
    std::vector<uint8_t> bytes(static_cast<size_t>(shift) + static_cast<size_t>(h - 1) * stride +
                               static_cast<size_t>(w * pixel));
    for (uint8_t &byte : bytes) byte = static_cast<uint8_t>(random.bits() >> 24);
    const check::Buffer frame = check::of(bytes);
    fs_model model = {};
    fs_normalise_params p = {};
    model.channels = channels;
    for (int c = 0; c < channels; ++c) {
        p.mean[c] = model.mean[c] = random.uniform(0.2f, 0.7f);
        p.std[c] = model.std[c] = random.uniform(0.15f, 0.4f);
        p.order[c] = order[c];
    }
    std::vector<uint8_t> packed;
    for (int y = 0; y < h; ++y)
        for (int x = 0; x < w; ++x)
            for (int c = 0; c < channels; ++c)
                packed.push_back(bytes[static_cast<size_t>(shift) + static_cast<size_t>(y) * stride +
                                       static_cast<size_t>(x * pixel + order[c])]);
    Values truth(packed.size());
    fs_ref_normalise(packed.data(), h, w, &model, truth.data());
    p.frame = frame.as<uint8_t>() + shift, p.stride = static_cast<long long>(stride), p.pixel = pixel;
    for (fs_k_type type : TYPES) {
        check::Buffer out(truth.size() * size_of(type));
        p.out = {out.data, h, w, channels, channels};
        run_all(p, type, fs_launch_normalise, [&](const fs_launch &launch) {
            const Values values = type == FS_K_F16 ? check::from_half(check::get<uint16_t>(out, truth.size()))
                                                   : check::get<float>(out, truth.size());
            // Five roundings to float of values up to 1 / std < 7.
            for (size_t i = 0; i < truth.size(); ++i)
                if (!agrees(type, values[i], truth[i], 5 * 7 * 0x1p-24)) {
                    CHECK(false, "%s %dx%dx%d, pixel %d bytes, gap %d: value %zu is %.9g, expected %.9g", launch.name,
                          h, w, channels, pixel, gap, i, static_cast<double>(values[i]), static_cast<double>(truth[i]));
                    return;
                }
        });
    }
}

void normalise() {
    uint64_t seed = 1;
    for (auto &size : SIZES)
        for (int gap : {0, 5})
            for (int shift : {0, 1, 3}) {
                normalise_one(++seed, size[0], size[1], 3, 3, gap, shift, {0, 1, 2, 0});
                normalise_one(++seed, size[0], size[1], 3, 3, gap, shift, {2, 1, 0, 0});
                normalise_one(++seed, size[0], size[1], 3, 4, gap, shift, {2, 1, 0, 3});
                normalise_one(++seed, size[0], size[1], 3, 1, gap, shift, {0, 0, 0, 0});
                normalise_one(++seed, size[0], size[1], 4, 4, gap, shift, {0, 1, 2, 3});
                normalise_one(++seed, size[0], size[1], 4, 4, gap, shift, {2, 1, 0, 3});
            }
    normalise_one(++seed, 70, 130, 3, 3, 0, 0, {0, 1, 2, 0});
    normalise_one(++seed, 71, 129, 4, 4, 4, 0, {2, 1, 0, 3});
}

// ---- add, ReLU
// ----------------------------------------------------------------------------------------------------------

// Equal to the last bit: one addition in float and the rounding of the type, in the reference as in the kernel.
void eltwise_one(int h, int w, int c, const int (&extra)[3], const Values &a, const Values &b, bool add, bool relu) {
    for (fs_k_type type : TYPES) {
        const Map first(type, h, w, c, round8(c) + extra[0], a), second(type, h, w, c, round8(c) + extra[1], b);
        const Map out(type, h, w, c, round8(c) + extra[2]);
        Values truth = rounded(type, a);
        if (add) fs_ref_add(truth.data(), rounded(type, b).data(), truth.size(), truth.data());
        if (relu) fs_ref_relu(truth.data(), truth.size(), truth.data());
        truth = rounded(type, truth);
        fs_eltwise_params p = {};
        p.a = first.view, p.out = out.view, p.relu = relu;
        if (add) p.b = second.view;
        run_all(p, type, fs_launch_eltwise, [&](const fs_launch &launch) {
            const Values values = out.read();
            for (size_t i = 0; i < values.size(); ++i)
                if (!(values[i] == truth[i] || (std::isnan(values[i]) && std::isnan(truth[i])))) {
                    CHECK(false, "%s %dx%dx%d add %d relu %d: value %zu is %.9g, expected %.9g", launch.name, h, w, c,
                          add, relu, i, static_cast<double>(values[i]), static_cast<double>(truth[i]));
                    return;
                }
        });
    }
}

void eltwise() {
    check::Random random(100);
    for (auto &size : SIZES)
        for (int c : {8, 19, 48, 96})
            for (int mode = 0; mode < 4; ++mode) {
                const size_t count = count_of(size[0], size[1], c);
                const Values a = random_values(random, count, -2.0f, 2.0f),
                             b = random_values(random, count, -2.0f, 2.0f);
                eltwise_one(size[0], size[1], c, {0, 0, 0}, a, b, mode & 1, mode & 2);
                if (c != 96) eltwise_one(size[0], size[1], c, {8, 0, 16}, a, b, mode & 1, mode & 2);
            }
    for (int c : {384, 576}) {
        const Values a = random_values(random, count_of(5, 7, c), -2.0f, 2.0f);
        eltwise_one(5, 7, c, {0, 0, 0}, a, a, true, true);
    }
}

void eltwise_extremes() {
    check::Random random(200);
    for (int mode = 0; mode < 4; ++mode) {
        Values a = extreme_values(random, count_of(9, 7, 24), true), b = extreme_values(random, a.size(), true);
        for (int n = 0; n < 20; ++n) a[static_cast<size_t>(random.below(static_cast<int>(a.size())))] = NAN;
        for (int n = 0; n < 20; ++n) b[static_cast<size_t>(random.below(static_cast<int>(b.size())))] = NAN;
        eltwise_one(9, 7, 24, {0, 8, 0}, a, b, mode & 1, mode & 2);
    }
}

// ---- resize
// -------------------------------------------------------------------------------------------------------------

// To the last bit as kernels define the arithmetic, and near the reference: five roundings to float of values up to
// twice the largest, one rounding of the type.
void resize_one(int h, int w, int c, int oh, int ow, bool align, int in_extra, int out_extra, const Values &in) {
    const check::Buffer tap_y = check::of(taps(h, oh, align)), tap_x = check::of(taps(w, ow, align));
    float largest = 0.0f;
    for (float value : in)
        if (std::isfinite(value)) largest = std::fmax(largest, std::fabs(value));
    for (fs_k_type type : TYPES) {
        const Values source = rounded(type, in);
        const Values exact = rounded(type, resized(source, h, w, c, oh, ow, align));
        Values truth(exact.size());
        fs_ref_resize(source.data(), h, w, c, oh, ow, align, truth.data());
        const Map from(type, h, w, c, round8(c) + in_extra, in), out(type, oh, ow, c, round8(c) + out_extra);
        fs_resize_params p = {};
        p.in = from.view, p.out = out.view, p.tap_y = tap_y.as<fs_k_tap>(), p.tap_x = tap_x.as<fs_k_tap>();
        run_all(p, type, fs_launch_resize, [&](const fs_launch &launch) {
            const Values values = out.read();
            for (size_t i = 0; i < values.size(); ++i) {
                const bool same = values[i] == exact[i] || (std::isnan(values[i]) && std::isnan(exact[i]));
                if (!same || !agrees(type, values[i], truth[i], 10 * 0x1p-24 * static_cast<double>(largest))) {
                    CHECK(false, "%s %dx%dx%d to %dx%d align %d: value %zu is %.9g, expected %.9g, reference %.9g",
                          launch.name, h, w, c, oh, ow, align, i, static_cast<double>(values[i]),
                          static_cast<double>(exact[i]), static_cast<double>(truth[i]));
                    return;
                }
            }
        });
    }
}

void resize() {
    check::Random random(300);
    const int outs[][2] = {{1, 1}, {1, 9}, {9, 1}, {5, 7}, {33, 17}, {40, 56}};
    for (auto &size : SIZES)
        for (auto &out : outs)
            for (bool align : {false, true})
                for (int c : {8, 19, 32}) {
                    const Values in = random_values(random, count_of(size[0], size[1], c), -20.0f, 20.0f);
                    const int extra = random.below(2) * 8;
                    resize_one(size[0], size[1], c, out[0], out[1], align, extra, 8 - extra, in);
                }
    resize_one(3, 4, 128, 24, 32, false, 0, 0, random_values(random, count_of(3, 4, 128), -1.0f, 1.0f));
}

void resize_extremes() {
    check::Random random(400);
    for (int i = 0; i < 8; ++i) {
        const int c = i % 2 ? 16 : 11;
        Values in = extreme_values(random, count_of(5, 6, c), false);
        for (int n = 0; n < i; ++n) in[static_cast<size_t>(random.below(static_cast<int>(in.size())))] = NAN;
        resize_one(5, 6, c, 20, 23, i % 3 == 0, 0, 0, in);
    }
}

// ---- concatenation
// ------------------------------------------------------------------------------------------------------

void concat_one(uint64_t seed, int h, int w, const std::vector<int> &channels, int in_extra, int out_extra) {
    check::Random random(seed);
    int total = 0;
    for (int c : channels) total += c;
    for (fs_k_type type : TYPES) {
        fs_concat_params p = {};
        std::vector<Map> in;
        std::vector<Values> values;
        std::vector<const float *> pointers;
        for (int c : channels) {
            Values part = random_values(random, count_of(h, w, c), -70000.0f, 70000.0f); // also infinite as halves
            part[static_cast<size_t>(random.below(static_cast<int>(part.size())))] = NAN;
            in.emplace_back(type, h, w, c, round8(c) + in_extra, part);
            values.push_back(rounded(type, part));
            p.in[p.inputs++] = in.back().view;
        }
        for (const Values &part : values) pointers.push_back(part.data());
        Values truth(count_of(h, w, total));
        fs_ref_concat(pointers.data(), channels.data(), p.inputs, count_of(h, w, 1), truth.data());
        const Map out(type, h, w, total, round8(total) + out_extra);
        p.out = out.view;
        run_all(p, type, fs_launch_concat, [&](const fs_launch &launch) {
            const Values result = out.read();
            for (size_t i = 0; i < result.size(); ++i)
                if (memcmp(&result[i], &truth[i], sizeof(float)) && !(std::isnan(result[i]) && std::isnan(truth[i]))) {
                    CHECK(false, "%s %dx%d, %d inputs, %d channels: value %zu is %.9g, expected %.9g", launch.name, h,
                          w, p.inputs, total, i, static_cast<double>(result[i]), static_cast<double>(truth[i]));
                    return;
                }
        });
    }
}

void concat() {
    const std::vector<std::vector<int>> lists = {
        {8},     {128, 32, 32, 32, 32}, {8, 8}, {384, 576},      {16, 48, 96},   {1},
        {19, 5}, {3, 8, 1, 24, 7},      {8, 3}, {1, 1, 1, 1, 1}, {13, 16, 8, 32}};
    uint64_t seed = 500;
    for (auto &size : SIZES)
        for (auto &list : lists)
            for (int extra : {0, 8})
                if (!check::quick() || size[0] < 30) concat_one(++seed, size[0], size[1], list, extra, extra ? 0 : 16);
}

void refusals() {
    fs_launch launch;
    fs_normalise_params n = {};
    n.out = {nullptr, 8, 8, 5, 5};
    CHECK(!fs_launch_normalise(&n, FS_K_F16, 90, 0, &launch), "5 channels are taken");
    fs_concat_params c = {};
    c.out = {nullptr, 8, 8, 16, 16};
    for (int inputs : {0, 6}) {
        c.inputs = inputs;
        CHECK(!fs_launch_concat(&c, FS_K_F16, 90, 0, &launch), "%d inputs are taken", inputs);
    }
    fs_eltwise_params e = {};
    fs_resize_params r = {};
    n.out = e.out = r.out = {nullptr, 8, 8, 3, 3};
    CHECK(!fs_launch_normalise(&n, FS_K_F16, 90, 1, &launch), "normalise: variant 1");
    CHECK(!fs_launch_eltwise(&e, FS_K_F16, 90, 1, &launch), "eltwise: variant 1");
    CHECK(!fs_launch_resize(&r, FS_K_F16, 90, 1, &launch), "resize: variant 1");
}

} // namespace

int main(int argc, char **argv) {
    if (!check::begin(argc, argv)) return 77;
    check::test("normalise", normalise);
    check::test("eltwise", eltwise);
    check::test("eltwise_extremes", eltwise_extremes);
    check::test("resize", resize);
    check::test("resize_extremes", resize_extremes);
    check::test("concat", concat);
    check::test("refusals", refusals);
    return check::finish();
}
