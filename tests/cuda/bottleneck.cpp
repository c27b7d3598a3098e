// The fused inverted bottleneck: one block of threads a tile.
#include "tests/cuda/expansion_outline.h"

using namespace expansion;

namespace {

bool fill(const Scene &scene, const fs_map &out, int sm, int variant, Chain &chain) {
    const fs_bottleneck_params p = scene.params(out);
    chain.resize(1);
    return fs_launch_bottleneck(&p, sm, variant, chain.data());
}

bool takes(const fs_bottleneck_params &p) {
    fs_launch launch;
    return fs_launch_bottleneck(&p, 90, 0, &launch);
}

const Form FORM = {
    {{64, 64, 2}, {64, 64, 1}, {64, 96, 2}, {96, 96, 1}, {96, 128, 1}, {128, 128, 1}}, false, fill, takes};

void capabilities() {
    fs_launch launch;
    for (const Shape &s : FORM.shapes) {
        const fs_bottleneck_params p = outline::plain(s);
        for (int sm : {80, 90, 100}) CHECK(fs_launch_bottleneck(&p, sm, 0, &launch), "sm %d declines a shape", sm);
        for (int sm : {86, 89, 120})
            CHECK(fs_launch_bottleneck(&p, sm, 0, &launch) == (s.cin == 64), "sm %d, %d channels", sm, s.cin);
        CHECK(!fs_launch_bottleneck(&p, 75, 0, &launch), "more shared memory than sm 75 has");
        CHECK(!fs_launch_bottleneck(&p, 90, -1, &launch), "variant -1");
        CHECK(!fs_launch_bottleneck(&p, 90, 1, &launch), "a variant that does not exist");
    }
}

} // namespace

int main(int argc, char **argv) {
    if (!check::begin(argc, argv)) return 77;
    test_form(FORM);
    check::test("residual refusals", outline::residual_refusals);
    check::test("capabilities", capabilities);
    return check::finish();
}
