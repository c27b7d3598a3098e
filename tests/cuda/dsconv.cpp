// Depthwise -> pointwise (-> logits) in one launch against cpu/reference and
// against the kernels of the layers one after another: strides, channels,
// classes, odd and tiny sizes, borders, extreme values, NaN.
#include <cmath>
#include <cstdio>
#include <functional>
#include <optional>

#include "cuda/kernels/fused.h"
#include "tests/cuda/maps.h"

namespace {

using maps::Values;

constexpr int ARCHITECTURES[] = {75, 80, 86, 89, 90, 100, 120};

struct Case {
    int h, w, c, stride, n, classes = 0; // classes 0: no second pointwise
    int in_extra = 0, out_extra = 0;     // pitch beyond the channels
    float dw_scale = 1.0f, pw_scale = 1.0f;
    bool positive = false; // weights of the pointwise ones
};

// A pointwise convolution: [n][k], n padded with zeros to a multiple of 8.
struct Pointwise {
    int n, k, relu;
    Values weight, bias;
    check::Buffer weights, biases;

    Pointwise(check::Random &random, int outputs, int inputs, bool activation, float scale, bool positive)
        : Pointwise(outputs, inputs, activation,
                    maps::random_values(random, static_cast<size_t>(outputs * inputs), positive ? 0.01f : -0.3f * scale,
                                        0.3f * scale),
                    maps::random_values(random, static_cast<size_t>(outputs), -0.5f, 0.5f)) {}
    Pointwise(int outputs, int inputs, bool activation, const Values &w, const Values &b)
        : n(outputs), k(inputs), relu(activation), weight(check::round_half(w)), bias(b),
          weights(check::of(check::to_half(padded(weight, k)))), biases(check::of(padded(bias, 1))) {}
    Values padded(Values values, int row) const {
        values.resize(static_cast<size_t>(maps::round8(n) * row), 0.0f);
        return values;
    }
    fs_fused_pw view() const { return {weights.data, biases.as<float>(), n, relu}; }
};

struct Network {
    Case c;
    int oh, ow;
    Values in; // rounded to half
    maps::Layer dw;
    bool mid_relu;
    Pointwise pw;
    std::optional<Pointwise> last;
    maps::Map map;

    // Random inputs unless given.
    Network(const Case &shape, uint64_t seed, const Values &values = {})
        : Network(shape, seed, values, check::Random(seed)) {}
    fs_dsconv_params params(const maps::Map &out) const {
        fs_dsconv_params p = {};
        p.in = map.view, p.out = out.view, p.pw = pw.view();
        p.dw = {dw.device_weight.as<float>(), dw.device_bias.as<float>(), mid_relu, c.stride};
        if (last) p.last = last->view();
        return p;
    }
    int outputs() const { return last ? c.classes : c.n; }
    fs_k_type type() const { return last ? FS_K_F32 : FS_K_F16; }
    maps::Map output() const { return maps::Map(type(), oh, ow, outputs(), maps::round8(outputs()) + c.out_extra); }

  private:
    Network(const Case &shape, uint64_t seed, const Values &values, check::Random random)
        : c(shape), oh((c.h - 1) / c.stride + 1), ow((c.w - 1) / c.stride + 1),
          in(check::round_half(values.empty()
                                   ? maps::random_values(random, static_cast<size_t>(c.h * c.w * c.c), -2.0f, 2.0f)
                                   : values)),
          dw(random, c.c), mid_relu(seed % 2), pw(random, c.n, c.c, seed % 3 != 0, c.pw_scale, c.positive),
          map(FS_K_F16, c.h, c.w, c.c, c.c + c.in_extra, in) {
        if (c.classes) last.emplace(random, c.classes, c.n, seed % 5 == 0, c.pw_scale, c.positive);
        if (c.dw_scale != 1.0f) {
            for (float &w : dw.weight) w *= c.dw_scale;
            dw.device_weight.upload(dw.weight.data());
        }
    }
};

// Kernel by kernel.
Values layered(const Network &net, int sm) {
    const Case &c = net.c;
    maps::Map mid(FS_K_F16, net.oh, net.ow, c.c, c.c), wide(FS_K_F16, net.oh, net.ow, c.n, c.n), out = net.output();
    fs_dw_params first = {};
    first.in = net.map.view, first.out = mid.view;
    first.weights = net.dw.device_weight.as<float>(), first.bias = net.dw.device_bias.as<float>();
    first.relu = net.mid_relu, first.stride = c.stride, first.dilation = first.pad_top = first.pad_left = 1;
    const auto convolution = [](const Pointwise &pw, const maps::Map &from, const maps::Map &to) {
        fs_conv_params p = {};
        p.in = from.view, p.out = to.view, p.weights = pw.weights.data, p.bias = pw.biases.as<float>();
        p.relu = pw.relu, p.kernel = p.stride = p.dilation = 1, p.out_f32 = to.type == FS_K_F32;
        return p;
    };
    fs_launch launch;
    CHECK(fs_launch_dw(&first, FS_K_F16, sm, 0, &launch) && check::run(launch), "depthwise");
    const fs_conv_params second = convolution(net.pw, mid, net.last ? wide : out);
    CHECK(fs_launch_conv(&second, FS_K_F16, sm, 0, &launch) && check::run(launch), "pointwise");
    if (net.last) {
        const fs_conv_params third = convolution(*net.last, wide, out);
        CHECK(fs_launch_conv(&third, FS_K_F16, sm, 0, &launch) && check::run(launch), "second pointwise");
    }
    return out.read();
}

// A sum in float differs a little from the reference's, which may turn a
// rounding to half: one ulp, 2^-10 of the value or 2^-24. Such errors go
// through the next layer's weights.
Values turned(const maps::Expected &layer) {
    Values error(layer.value.size());
    for (size_t i = 0; i < error.size(); i++)
        error[i] = layer.slack[i] + std::fabs(layer.value[i]) * 0x1p-10f + 0x1p-24f;
    return error;
}

// Of a pointwise whose inputs are off by at most `error`. k + 2 roundings of
// sums in float.
maps::Expected pointwise(const Pointwise &pw, const Values &in, const Values &error) {
    maps::Expected expected;
    const size_t k = static_cast<size_t>(pw.k), n = static_cast<size_t>(pw.n);
    for (size_t at = 0; at < in.size(); at += k)
        for (size_t o = 0; o < n; o++) {
            double sum = static_cast<double>(pw.bias[o]), off = 0, size = std::fabs(sum);
            for (size_t i = 0; i < k; i++) {
                const double w = static_cast<double>(pw.weight[o * k + i]), x = static_cast<double>(in[at + i]);
                sum += w * x;
                size += std::fabs(w * x);
                off += std::fabs(w) * static_cast<double>(error[at + i]);
            }
            if (pw.relu && sum < 0) sum = 0;
            expected.value.push_back(static_cast<float>(sum));
            expected.slack.push_back(static_cast<float>(off + size * (pw.k + 2) * 0x1p-23));
        }
    return expected;
}

maps::Expected reference(const Network &net) {
    const Case &c = net.c;
    const maps::Shape shape = {c.h, c.w, c.c, c.stride, 1, 1, 1, net.oh, net.ow};
    const maps::Expected mid = maps::depthwise(net.in, shape, net.dw, net.mid_relu);
    const maps::Expected wide = pointwise(net.pw, check::round_half(mid.value), turned(mid));
    return net.last ? pointwise(*net.last, check::round_half(wide.value), turned(wide)) : wide;
}

// Every variant of one compute capability; the first of each kernel and grid in
// `done` only.
void compare(const Network &net, const std::vector<int> &architectures, uint64_t seed) {
    const Case &c = net.c;
    const maps::Expected expected = reference(net);
    std::vector<fs_launch> done;
    Values chain;
    for (int sm : architectures) {
        int variant = 0;
        for (;; variant++) {
            const maps::Map out = net.output();
            const fs_dsconv_params p = net.params(out);
            fs_launch launch;
            if (!fs_launch_dsconv(&p, sm, variant, &launch)) break;
            bool seen = false;
            for (const fs_launch &other : done) seen = seen || other.kernel == launch.kernel;
            if (seen) continue;
            done.push_back(launch);
            char what[200];
            snprintf(what, sizeof what,
                     "%s, sm %d: %dx%dx%d stride %d to %d, %d classes, pitch +%d "
                     "+%d, seed %d",
                     launch.name, sm, c.h, c.w, c.c, c.stride, c.n, c.classes, c.in_extra, c.out_extra,
                     static_cast<int>(seed));
            if (!check::run(launch)) {
                CHECK(false, "%s", what);
                return;
            }
            maps::compare(out, expected, what);
            if (chain.empty()) chain = layered(net, sm);
            const std::vector<unsigned char> once = out.bytes();
            const Values values = out.read();
            // The same roundings in both: few halves differ at all, by a rounding
            // that a sum's order has turned.
            size_t differ = 0;
            for (size_t i = 0; i < values.size() && check::failures() < 20; i++) {
                if (values[i] != chain[i] && !(std::isnan(values[i]) && std::isnan(chain[i]))) differ++;
                CHECK(maps::agrees(net.type(), values[i], chain[i], static_cast<double>(expected.slack[i])),
                      "%s: value %zu is %g, layer by layer %g", what, i, static_cast<double>(values[i]),
                      static_cast<double>(chain[i]));
            }
            CHECK(net.last || differ <= values.size() / 20 + 4, "%s: %zu of %zu values differ from the layers'", what,
                  differ, values.size());
            CHECK(check::run(launch) && out.bytes() == once, "%s: another run gives other bits", what);
            if (check::failures() > 20) return;
        }
        CHECK(variant > 0, "sm %d declines %dx%dx%d stride %d to %d, %d classes", sm, c.h, c.w, c.c, c.stride, c.n,
              c.classes);
    }
}

// The three lists of variants: 227, 99 and 64 KB.
void compare(const Case &c, uint64_t seed) {
    compare(Network(c, seed), {90, 86, 75}, seed);
}

const Case NETWORK[] = {{0, 0, 32, 2, 48}, {0, 0, 48, 2, 64}, {0, 0, 128, 1, 128}, {0, 0, 128, 1, 128, 19}};

void sizes() {
    static const int list[][2] = {{1, 1},  {1, 2},  {2, 1},   {2, 2},   {3, 5},
                                  {1, 40}, {40, 1}, {17, 33}, {16, 32}, {37, 66}};
    uint64_t seed = 1;
    for (const Case &kind : NETWORK)
        for (const auto &size : list) {
            Case c = kind;
            c.h = size[0], c.w = size[1];
            ++seed;
            if (check::quick() && (c.h * c.w > 600 || seed % 2)) continue;
            compare(c, seed);
        }
}

// Every distance of the map's edges from the tiles'.
void edges() {
    uint64_t seed = 100;
    for (const Case &kind : NETWORK)
        for (int i = 0; i < 9; i++) {
            Case c = kind;
            c.h = (14 + i) * c.stride - i % 2, c.w = (24 - 2 * i) * c.stride - (i + 1) % 2;
            ++seed;
            if (check::quick() && i % 4) continue;
            compare(c, seed);
        }
}

void channels() {
    uint64_t seed = 200;
    for (int c : {16, 32, 48, 64, 80, 96, 112, 128})
        for (int n : {8, 24, 32, 40, 64, 96, 120, 128}) {
            ++seed;
            if (check::quick() && seed % 5) continue;
            compare({9, 18, c, 1, n}, seed);
            if (c <= 48 && n <= 64) compare({19, 35, c, 2, n}, seed + 100);
            if (seed % 3 == 0) compare({5, 17, c, 1, n, 5 + c / 8}, seed + 200);
        }
}

void classes() {
    uint64_t seed = 500;
    for (int count : {2, 3, 7, 8, 9, 16, 19, 24, 25, 31, 32, 33, 34, 64, 65, 150, 171, 255}) {
        ++seed;
        if (check::quick() && seed % 4) continue;
        compare({9, 17, 128, 1, 128, count, 0, static_cast<int>(seed % 3) * 8}, seed);
    }
    compare({9, 17, 64, 1, 72, 40}, 600);
}

void pitches() {
    uint64_t seed = 700;
    for (const Case &kind : NETWORK)
        for (int extra : {8, 64}) {
            Case c = kind;
            c.h = 11, c.w = 19, c.in_extra = extra, c.out_extra = 72 - extra;
            compare(c, ++seed);
        }
}

// One border at a time holds values, then NaN: exactly the outputs whose window
// meets it show them.
void borders() {
    static const std::function<bool(int, int, int, int)> list[] = {
        [](int y, int, int, int) { return y == 0; }, [](int y, int, int h, int) { return y == h - 1; },
        [](int, int x, int, int) { return x == 0; }, [](int, int x, int, int w) { return x == w - 1; }};
    uint64_t seed = 800;
    for (const Case &kind : NETWORK)
        for (float value : {3.0f, NAN})
            for (const auto &border : list) {
                Case c = kind;
                c.h = 18 * c.stride - 1, c.w = 17 * c.stride;
                ++seed;
                if (check::quick() && seed % 5) continue;
                Values values(static_cast<size_t>(c.h * c.w * c.c), 0.0f);
                for (int i = 0; i < c.h * c.w * c.c; i++)
                    if (border(i / c.c / c.w, i / c.c % c.w, c.h, c.w)) values[static_cast<size_t>(i)] = value;
                compare(Network(c, seed, values), {90, 75}, seed);
            }
}

void nans_and_infinities() {
    uint64_t seed = 900;
    for (int i = 0; i < (check::quick() ? 4 : 24); i++) {
        Case c = NETWORK[i % 4];
        check::Random random(++seed);
        c.h = 5 + random.below(30), c.w = 5 + random.below(40);
        if (i % 3 == 0 && c.stride == 1) c.n = 40; // channels behind the last in a group of 32
        const size_t count = static_cast<size_t>(c.h * c.w * c.c);
        Values values = maps::random_values(random, count, -2.0f, 2.0f);
        for (int k = 0; k <= i % 3; k++)
            values[static_cast<size_t>(random.below(static_cast<int>(count)))] = i / 4 % 2 ? NAN
                                                                                 : k       ? -INFINITY
                                                                                           : INFINITY;
        compare(Network(c, seed, values), {90, 86, 75}, seed);
    }
}

// Infinity of one sign as far as the logits: what lies behind the last of 40 channels must not make a NaN of it.
void infinite_logits() {
    for (uint64_t seed = 950; seed < 956; seed++) {
        Case c = {9, 18, 32, 1, 40, 5};
        c.positive = true;
        const Network plain(c, seed);
        Values values = plain.in;
        values[(4 * 18 + 7) * 32 + 11] = INFINITY;
        const Network net(c, seed, values);
        const Values expected = reference(net).value;
        size_t infinite = 0;
        for (float value : expected) infinite += std::isinf(value);
        CHECK(infinite > 0, "seed %d has no infinite logit", static_cast<int>(seed));
        compare(net, {90, 86, 75}, seed);
    }
}

// The largest halves, subnormals, zeros; weights so small that no layer
// overflows.
void extremes() {
    uint64_t seed = 1000;
    for (int i = 0; i < 8; i++) {
        Case c = NETWORK[i % 4];
        c.h = 17, c.w = 21, c.dw_scale = 1.0f / 16, c.pw_scale = 1.0f / 64;
        check::Random random(++seed);
        compare(Network(c, seed, maps::extreme_values(random, static_cast<size_t>(c.h * c.w * c.c), false)),
                {90, 86, 75}, seed);
    }
}

// A NaN among weights or biases shows where that number is used, and only
// there.
void nan_weights() {
    enum { dw_weight, dw_bias, pw_weight, pw_bias, last_weight, last_bias, places };
    uint64_t seed = 1100;
    for (const Case &kind : NETWORK)
        for (int place = 0; place < places; place++) {
            Case c = kind;
            c.h = 9 * c.stride, c.w = 18 * c.stride;
            if (!c.classes && place >= last_weight) continue;
            ++seed;
            Network net(c, seed - seed % 3 + 1); // pw.relu: NaN must survive it
            Values &changed = place == dw_weight   ? net.dw.weight
                              : place == dw_bias   ? net.dw.bias
                              : place == pw_weight ? net.pw.weight
                              : place == pw_bias   ? net.pw.bias
                              : place == last_bias ? net.last->bias
                                                   : net.last->weight;
            changed[place == dw_weight     ? static_cast<size_t>(4 * c.c + 13)
                    : place == pw_weight   ? static_cast<size_t>(37 * c.c + 13)
                    : place == last_weight ? static_cast<size_t>(11 * c.n + 13)
                    : place == dw_bias     ? 13
                    : place == pw_bias     ? 37
                                           : 11] = NAN;
            const check::Buffer dw = check::of(net.dw.weight), dw_bias_of = check::of(net.dw.bias);
            const check::Buffer pw = check::of(check::to_half(net.pw.weight)), pw_bias_of = check::of(net.pw.bias);
            for (int variant = 0; variant < 3; variant++) {
                const maps::Map out = net.output();
                fs_dsconv_params p = net.params(out);
                p.dw.weights = dw.as<float>(), p.dw.bias = dw_bias_of.as<float>();
                p.pw.weights = pw.data, p.pw.bias = pw_bias_of.as<float>();
                std::optional<Pointwise> last;
                if (net.last) {
                    last.emplace(c.classes, c.n, false, net.last->weight, net.last->bias);
                    p.last = last->view();
                }
                fs_launch launch;
                CHECK(fs_launch_dsconv(&p, 90, variant, &launch), "no variant %d", variant);
                if (!check::run(launch)) return;
                const Values got = out.read();
                for (size_t i = 0; i < got.size() && check::failures() < 20; i++) {
                    const size_t n = i % static_cast<size_t>(net.outputs());
                    const bool expected = place < pw_weight || (place < last_weight ? c.classes || n == 37 : n == 11);
                    CHECK(std::isnan(got[i]) == expected, "place %d, %s: value %zu is %g", place, launch.name, i,
                          static_cast<double>(got[i]));
                }
            }
        }
}

void declines() {
    const auto good_params = [](int c, int stride, int n, int classes) {
        static const float something[4] = {};
        fs_dsconv_params p = {};
        p.in = {nullptr, 65, 40, c, c};
        p.dw.stride = stride, p.pw.n = n;
        p.out = {nullptr, 64 / stride + 1, 39 / stride + 1, n, n};
        if (classes) p.last.weights = something, p.last.n = p.out.c = classes, p.out.pitch = maps::round8(classes);
        return p;
    };
    fs_launch launch;
    for (int sm : ARCHITECTURES)
        for (const Case &kind : NETWORK) {
            const fs_dsconv_params p = good_params(kind.c, kind.stride, kind.n, kind.classes);
            int variant = 0;
            for (; fs_launch_dsconv(&p, sm, variant, &launch); variant++)
                CHECK(launch.shared <= fs_shared_limit(sm), "%s: %u bytes on sm %d", launch.name, launch.shared, sm);
            CHECK(variant == (sm == 75 && kind.c > 32 ? 1 : 3), "sm %d: %d variants of %d -> %d", sm, variant, kind.c,
                  kind.n);
            for (int v = variant; v < variant + 20; v++)
                CHECK(!fs_launch_dsconv(&p, sm, v, &launch), "sm %d: variant %d behind the last", sm, v);
            CHECK(!fs_launch_dsconv(&p, sm, -1, &launch), "sm %d: variant -1", sm);
        }
    using Change = void (*)(fs_dsconv_params &);
    static const struct {
        const char *what;
        Change change;
    } list[] = {
        {"24 channels", [](fs_dsconv_params &p) { p.in.c = 24, p.in.pitch = 24; }},
        {"144 channels", [](fs_dsconv_params &p) { p.in.c = p.in.pitch = 144; }},
        {"no channels", [](fs_dsconv_params &p) { p.in.c = 0; }},
        {"input pitch 130", [](fs_dsconv_params &p) { p.in.pitch = 130; }},
        {"input pitch 120", [](fs_dsconv_params &p) { p.in.pitch = 120; }},
        {"stride 3", [](fs_dsconv_params &p) { p.dw.stride = 3; }},
        {"stride 2, so many channels", [](fs_dsconv_params &p) { p.dw.stride = 2, p.out.h = 33, p.out.w = 20; }},
        {"136 outputs", [](fs_dsconv_params &p) { p.pw.n = p.out.c = p.out.pitch = 136; }},
        {"100 outputs", [](fs_dsconv_params &p) { p.pw.n = p.out.c = 100, p.out.pitch = 104; }},
        {"a map of other channels", [](fs_dsconv_params &p) { p.out.c = 120; }},
        {"output pitch 132", [](fs_dsconv_params &p) { p.out.pitch = 132; }},
        {"output pitch 120", [](fs_dsconv_params &p) { p.out.pitch = 120; }},
        {"another height", [](fs_dsconv_params &p) { p.out.h = 64; }},
        {"another width", [](fs_dsconv_params &p) { p.out.w = 41; }},
        {"an empty map", [](fs_dsconv_params &p) { p.in.h = 0, p.out.h = 0; }},
    };
    for (const auto &item : list)
        for (int sm : ARCHITECTURES) {
            fs_dsconv_params p = good_params(128, 1, 128, 0);
            item.change(p);
            CHECK(!fs_launch_dsconv(&p, sm, 0, &launch), "sm %d takes %s", sm, item.what);
        }
    for (int count : {1, 256}) {
        const fs_dsconv_params p = good_params(128, 1, 128, count);
        CHECK(!fs_launch_dsconv(&p, 90, 0, &launch), "%d classes", count);
    }
    const fs_dsconv_params two = good_params(48, 2, 64, 19);
    CHECK(!fs_launch_dsconv(&two, 90, 0, &launch), "classes with stride 2");
}

} // namespace

int main(int argc, char **argv) {
    if (!check::begin(argc, argv)) return 77;
    check::test("declines", declines);
    check::test("sizes", sizes);
    check::test("edges", edges);
    check::test("channels", channels);
    check::test("classes", classes);
    check::test("pitches", pitches);
    check::test("borders", borders);
    check::test("nans_and_infinities", nans_and_infinities);
    check::test("infinite_logits", infinite_logits);
    check::test("extremes", extremes);
    check::test("nan_weights", nan_weights);
    return check::finish();
}
