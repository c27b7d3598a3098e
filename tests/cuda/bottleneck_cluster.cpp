// The bottleneck whose expanded channels are split over the blocks of a cluster; and that it gives the bits of the form
// whose blocks meet in memory.
#include "tests/cuda/expansion_outline.h"

using namespace expansion;

namespace {

fs_bottleneck_cluster_params params_of(const fs_bottleneck_params &p) {
    return {p, p.expand.n / 96};
}

bool fill(const Scene &scene, const fs_map &out, int sm, int variant, Chain &chain) {
    const fs_bottleneck_cluster_params p = params_of(scene.params(out));
    chain.resize(1);
    if (!fs_launch_bottleneck_cluster(&p, sm, variant, chain.data())) return false;
    CHECK(chain[0].cluster >= 1 && chain[0].cluster <= 8 && chain[0].grid[0] % chain[0].cluster == 0,
          "%s: clusters of %u in a grid of %u", chain[0].name, chain[0].cluster, chain[0].grid[0]);
    return true;
}

bool takes(const fs_bottleneck_params &p) {
    const fs_bottleneck_cluster_params clusters = {p, 6 * p.in.c / 96};
    fs_launch launch;
    return fs_launch_bottleneck_cluster(&clusters, 90, 0, &launch);
}

// The network's blocks, fewer and more outputs than it has, and so many that the sums need more than the input's room.
const Form FORM = {
    {{64, 64, 1}, {64, 64, 2}, {64, 96, 2}, {96, 96, 1}, {96, 128, 1}, {128, 128, 1}, {64, 32, 1}, {96, 160, 1}},
    false,
    fill,
    takes};

// Both add the shares in one order.
void bits_of_split() {
    for (const Shape &s : FORM.shapes) {
        if (check::quick() && s.cin != 64) continue;
        Case c = outline::case_of(s, 19, 13);
        c.data = Data::real, c.residual = 1;
        const Scene scene(c, 700);
        for (int variant = 0; variant < 2; variant++) {
            const Map one(FS_K_F16, c.oh(), c.ow(), c.cout, c.cout), two(FS_K_F16, c.oh(), c.ow(), c.cout, c.cout);
            Chain chain;
            CHECK(fill(scene, one.view, 90, variant, chain), "declined");
            const fs_bottleneck_split_params p =
                scene.split(scene.params(two.view), static_cast<int>(chain[0].cluster));
            fs_launch split;
            CHECK(fs_launch_bottleneck_split(&p, 90, 0, &split), "declined");
            if (!outline::run(chain) || !check::run(split)) return;
            CHECK(one.bytes() == two.bytes(), "%s: other bits than by way of memory", text(c, chain[0].name).c_str());
        }
    }
}

void cluster_refusals() {
    fs_launch launch;
    for (const Shape &s : FORM.shapes) {
        const fs_bottleneck_cluster_params p = params_of(outline::plain(s));
        for (int sm : CAPABILITIES) CHECK(fs_launch_bottleneck_cluster(&p, sm, 0, &launch) == (sm >= 90), "sm %d", sm);
        CHECK(!fs_launch_bottleneck_cluster(&p, 90, -1, &launch), "variant -1");
        CHECK(!fs_launch_bottleneck_cluster(&p, 90, 2, &launch), "a variant that does not exist");
        for (int splits : {0, 5, 3 * p.splits}) { // none, not a divisor of E, of 32 channels
            const fs_bottleneck_cluster_params other = {p.block, splits};
            CHECK(!fs_launch_bottleneck_cluster(&other, 90, 0, &launch), "%d shares are taken", splits);
        }
        const fs_bottleneck_cluster_params wide = {p.block, p.splits / 2};
        CHECK(fs_launch_bottleneck_cluster(&wide, 90, 0, &launch) && launch.block == 192, "shares of 192 channels");
        CHECK(fs_launch_bottleneck_cluster(&wide, 90, 1, &launch) && launch.block == 96, "its other width");
    }
    fs_bottleneck_cluster_params many = params_of(outline::plain({64, 64, 1}));
    many.block.expand.n = 9 * 96, many.splits = 9; // 192 does not divide it
    for (int variant : {0, 1})
        CHECK(!fs_launch_bottleneck_cluster(&many, 90, variant, &launch), "a cluster of nine is taken");
    many.block.expand.n = 16 * 96, many.splits = 8;
    CHECK(fs_launch_bottleneck_cluster(&many, 90, 0, &launch) && launch.cluster == 8, "a cluster of eight is declined");
    CHECK(!fs_launch_bottleneck_cluster(&many, 90, 1, &launch), "a cluster of sixteen is taken");
    // Sums of 64 pixels x 512 channels fit 227 KB and not 99.
    many = params_of(outline::plain({64, 512, 1}));
    CHECK(fs_launch_bottleneck_cluster(&many, 90, 0, &launch) && launch.shared > 128 << 10,
          "512 channels are declined");
    CHECK(!fs_launch_bottleneck_cluster(&many, 120, 0, &launch), "more shared memory than sm 120 has");
    many = params_of(outline::plain({64, 544, 1}));
    CHECK(!fs_launch_bottleneck_cluster(&many, 90, 0, &launch), "544 channels are taken");
}

} // namespace

int main(int argc, char **argv) {
    if (!check::begin(argc, argv) || check::sm() < FS_K_CLUSTER_SM) return 77;
    test_form(FORM);
    check::test("residual refusals", outline::residual_refusals);
    check::test("the bits of the split form", bits_of_split);
    check::test("cluster refusals", cluster_refusals);
    return check::finish();
}
