// The bottleneck whose expanded channels are split over blocks, with every number of shares; its second kernel by
// itself; and how many shares are chosen.
#include "tests/cuda/expansion_outline.h"

using namespace expansion;

namespace {

// With shares of 96 channels, then of 192.
bool fill(const Scene &scene, const fs_map &out, int sm, int variant, Chain &chain) {
    if (variant > 1) return false;
    const fs_bottleneck_params block = scene.params(out);
    const int splits = block.expand.n / (variant ? 192 : 96);
    float *const partial = scene.floats(fs_bottleneck_split_floats(&out, splits));
    fs_bottleneck_split_params split = {block, partial, splits};
    split.block.residual = {}, split.block.out.data = nullptr;
    const fs_bottleneck_sum_params sum = {partial, splits, block.project.bias, block.residual, out};
    chain.resize(2);
    return fs_launch_bottleneck_split(&split, sm, 0, &chain[0]) && fs_launch_bottleneck_sum(&sum, sm, 0, &chain[1]);
}

bool takes(const fs_bottleneck_params &p) {
    const fs_bottleneck_split_params split = {p, nullptr, 6 * p.in.c / 96};
    fs_launch launch;
    return fs_launch_bottleneck_split(&split, 90, 0, &launch);
}

// The network's blocks, and fewer and more outputs than it has.
const Form FORM = {
    {{64, 64, 1}, {64, 64, 2}, {64, 96, 2}, {96, 96, 1}, {96, 128, 1}, {128, 128, 1}, {64, 32, 1}, {96, 160, 1}},
    false,
    fill,
    takes};

// The order of the shares is fixed: 1, 2^24 and -2^24 have three sums.
void order() {
    const int h = 3, w = 5, c = 24;
    const size_t count = product(h, w, c);
    for (int first = 0; first < 3; first++) {
        const float terms[3] = {1.0f, 0x1p24f, -0x1p24f};
        Values shares(3 * count), bias(product(c, 1), 0.25f);
        float sum = 0;
        for (int s = 0; s < 3; s++) {
            std::fill_n(shares.begin() + static_cast<long>(s * count), count, terms[(first + s) % 3]);
            sum += terms[(first + s) % 3];
        }
        const check::Buffer partial = check::of(shares), biases = check::of(bias);
        partial.frame();
        const Map out(FS_K_F16, h, w, c, c + 8);
        const fs_bottleneck_sum_params p = {partial.as<float>(), 3, biases.as<float>(), {}, out.view};
        fs_launch launch;
        CHECK(fs_launch_bottleneck_sum(&p, 90, 0, &launch), "declined");
        if (!check::run(launch)) return;
        for (float value : out.read())
            CHECK(value == sum + 0.25f, "%g, expected %g", static_cast<double>(value),
                  static_cast<double>(sum + 0.25f));
    }
}

void split_refusals() {
    fs_launch launch;
    for (const Shape &s : FORM.shapes) {
        const fs_bottleneck_split_params p = {outline::plain(s), nullptr, 6 * s.cin / 96};
        for (int sm : CAPABILITIES) CHECK(fs_launch_bottleneck_split(&p, sm, 0, &launch), "sm %d declines a shape", sm);
        CHECK(!fs_launch_bottleneck_split(&p, 90, -1, &launch), "variant -1");
        CHECK(!fs_launch_bottleneck_split(&p, 90, 1, &launch), "a variant that does not exist");
        for (int splits : {0, 5, 3 * p.splits}) { // none, not a divisor of E, of 32 channels
            const fs_bottleneck_split_params other = {p.block, nullptr, splits};
            CHECK(!fs_launch_bottleneck_split(&other, 90, 0, &launch), "%d shares are taken", splits);
        }
    }
}

void sum_refusals() {
    static char somewhere[16];
    fs_launch launch;
    for (const Shape &s : FORM.shapes) {
        const fs_bottleneck_sum_params sum = {nullptr, 2, nullptr, {}, outline::plain(s).out};
        CHECK(fs_launch_bottleneck_sum(&sum, 75, 0, &launch), "a sum is declined");
        CHECK(!fs_launch_bottleneck_sum(&sum, 75, 1, &launch), "a variant that does not exist");
        const auto declined = [&](const char *what, const auto &change) {
            fs_bottleneck_sum_params other = sum;
            other.residual = other.out, other.residual.data = somewhere;
            change(other);
            CHECK(!fs_launch_bottleneck_sum(&other, 90, 0, &launch), "%s is taken", what);
        };
        declined("no share", [](fs_bottleneck_sum_params &o) { o.splits = 0; });
        declined("an output of an odd pitch", [](fs_bottleneck_sum_params &o) { o.out.pitch += 2; });
        declined("12 channels", [](fs_bottleneck_sum_params &o) { o.out.c = o.residual.c = 12; });
        declined("a residual of another size", [](fs_bottleneck_sum_params &o) { o.residual.w--; });
        declined("a residual of an odd pitch", [](fs_bottleneck_sum_params &o) { o.residual.pitch += 4; });
    }
}

void shares() {
    const fs_map full = {nullptr, 32, 64, 96, 96}, one = {nullptr, 1, 1, 96, 96}, wide = {nullptr, 64, 128, 64, 64};
    CHECK(fs_bottleneck_splits(384, &full, 132) == 4, "384 channels on 132 multiprocessors");
    CHECK(fs_bottleneck_splits(576, &full, 132) == 3, "576 channels on 132 multiprocessors");
    CHECK(fs_bottleneck_splits(768, &full, 132) == 4, "768 channels on 132 multiprocessors");
    CHECK(fs_bottleneck_splits(768, &full, 16) == 4, "768 channels on 16 multiprocessors");
    CHECK(fs_bottleneck_splits(768, &one, 132) == 8, "one tile");
    CHECK(fs_bottleneck_splits(96, &one, 132) == 1, "one share");
    CHECK(fs_bottleneck_splits(384, &wide, 132) == 2, "a large map");
    CHECK(fs_bottleneck_splits(320, &one, 132) == 0 && fs_bottleneck_splits(0, &one, 132) == 0, "nothing to split");
}

} // namespace

int main(int argc, char **argv) {
    if (!check::begin(argc, argv)) return 77;
    test_form(FORM);
    check::test("order", order);
    check::test("split refusals", split_refusals);
    check::test("sum refusals", sum_refusals);
    check::test("shares", shares);
    return check::finish();
}
