// The first half of an inverted bottleneck: expansion and depthwise.
#include "tests/cuda/expansion_outline.h"

using namespace expansion;

namespace {

fs_expand_dw_params params_of(const fs_bottleneck_params &p) {
    return {p.in, p.expand, p.dw, p.out};
}

bool fill(const Scene &scene, const fs_map &out, int sm, int variant, Chain &chain) {
    const fs_expand_dw_params p = params_of(scene.params(out));
    chain.resize(1);
    return fs_launch_expand_dw(&p, sm, variant, chain.data());
}

bool takes(const fs_bottleneck_params &p) {
    const fs_expand_dw_params half = params_of(p);
    fs_launch launch;
    return fs_launch_expand_dw(&half, 90, 0, &launch);
}

const Form FORM = {{{64, 64, 1}, {64, 64, 2}, {96, 96, 1}, {128, 128, 1}}, true, fill, takes};

void capabilities() {
    fs_launch launch;
    for (const Shape &s : FORM.shapes) {
        fs_expand_dw_params p = params_of(outline::plain(s));
        for (int sm : CAPABILITIES) CHECK(fs_launch_expand_dw(&p, sm, 0, &launch), "sm %d declines a shape", sm);
        CHECK(!fs_launch_expand_dw(&p, 90, -1, &launch), "variant -1");
        CHECK(!fs_launch_expand_dw(&p, 90, 3, &launch), "a variant that does not exist");
        p.expand.n = p.out.c = p.out.pitch = 400;
        CHECK(!fs_launch_expand_dw(&p, 90, 0, &launch), "a slice of 16 is taken");
    }
}

} // namespace

int main(int argc, char **argv) {
    if (!check::begin(argc, argv)) return 77;
    test_form(FORM);
    check::test("capabilities", capabilities);
    return check::finish();
}
