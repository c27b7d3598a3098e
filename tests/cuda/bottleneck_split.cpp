// The bottleneck whose expanded channels are split over blocks, with every number of shares; and how many are chosen.
#include "tests/cuda/expansion_outline.h"

using namespace expansion;

namespace {

// With shares of 96 channels, then of 192.
bool fill(const Scene &scene, const fs_map &out, int sm, int variant, Chain &chain) {
    if (variant > 1) return false;
    const fs_bottleneck_params block = scene.params(out);
    const fs_bottleneck_split_params p = scene.split(block, block.expand.n / (variant ? 192 : 96));
    chain.resize(1);
    return fs_launch_bottleneck_split(&p, sm, 0, chain.data());
}

bool takes(const fs_bottleneck_params &p) {
    const fs_bottleneck_split_params split = {p, nullptr, nullptr, 6 * p.in.c / 96};
    fs_launch launch;
    return fs_launch_bottleneck_split(&split, 90, 0, &launch);
}

// The network's blocks, and fewer and more outputs than it has.
const Form FORM = {
    {{64, 64, 1}, {64, 64, 2}, {64, 96, 2}, {96, 96, 1}, {96, 128, 1}, {128, 128, 1}, {64, 32, 1}, {96, 160, 1}},
    false,
    fill,
    takes};

// The counters are zero again, so that the next launch finds them so.
void counters() {
    for (const Shape &s : {Shape{64, 64, 1}, Shape{96, 96, 1}}) {
        Case c = outline::case_of(s, 9, 17); // six tiles
        const Scene scene(c, 700);
        for (int splits : {6 * c.cin / 96, 6 * c.cin / 192}) {
            const Map out(FS_K_F16, c.oh(), c.ow(), c.cout, c.cout);
            const fs_bottleneck_split_params p = scene.split(scene.params(out.view), splits);
            CHECK(fs_bottleneck_split_counters(&out.view) == 6, "counters of six tiles");
            fs_launch launch;
            for (int i = 0; i < 2; i++) {
                CHECK(fs_launch_bottleneck_split(&p, 90, 0, &launch), "declined");
                if (!check::run(launch)) return;
                for (unsigned count : check::get<unsigned>(*scene.counters, 6))
                    CHECK(count == 0, "%s: a counter is left at %u", launch.name, count);
            }
        }
    }
}

void split_refusals() {
    fs_launch launch;
    for (const Shape &s : FORM.shapes) {
        const fs_bottleneck_split_params p = {outline::plain(s), nullptr, nullptr, 6 * s.cin / 96};
        for (int sm : CAPABILITIES) CHECK(fs_launch_bottleneck_split(&p, sm, 0, &launch), "sm %d declines a shape", sm);
        CHECK(!fs_launch_bottleneck_split(&p, 90, -1, &launch), "variant -1");
        CHECK(!fs_launch_bottleneck_split(&p, 90, 1, &launch), "a variant that does not exist");
        for (int splits : {0, 5, 3 * p.splits}) { // none, not a divisor of E, of 32 channels
            const fs_bottleneck_split_params other = {p.block, nullptr, nullptr, splits};
            CHECK(!fs_launch_bottleneck_split(&other, 90, 0, &launch), "%d shares are taken", splits);
        }
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
    check::test("counters", counters);
    check::test("residual refusals", outline::residual_refusals);
    check::test("split refusals", split_refusals);
    check::test("shares", shares);
    return check::finish();
}
