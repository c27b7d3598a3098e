// Tests of the network as data: shapes of every variant and odd sizes, work and weight counts, limits, sound structure.
#include "runtime/graph.h"

#include <criterion/criterion.h>
#include <criterion/parameterized.h>
#include <limits.h>
#include <string.h>

static fs_graph graph; // 20 KB

static const fs_graph *build(fs_variant variant, int classes, int channels, int height, int width) {
    fs_model model;
    fs_model_init(&model, variant);
    model.classes = classes, model.channels = channels;
    cr_assert_eq(fs_graph_build(&graph, &model, height, width), FS_OK, "%s", fs_error_text());
    return &graph;
}

static const fs_op *find_op(const fs_graph *g, const char *name) {
    for (int i = 0; i < g->ops; i++)
        if (strcmp(g->op[i].name, name) == 0) return &g->op[i];
    return NULL;
}

static void expect_shape(const fs_graph *g, const char *op, int h, int w, int c) {
    const fs_op *found = find_op(g, op);
    cr_assert_not_null(found, "no operation %s", op);
    const fs_tensor *t = &g->tensor[found->out];
    cr_expect(t->h == h && t->w == w && t->c == c, "%s is %dx%dx%d, not %dx%dx%d", op, t->h, t->w, t->c, h, w, c);
}

// Where a layer's output lies (power of two below the frame, or bins) and its channels, in the paper's network.
static const struct {
    const char *name;
    int level, channels; // level < 0: bins
} layer_outputs[FS_LAYERS] = {
    {"ltd.conv", 1, 32},
    {"ltd.ds1.dw", 2, 32},
    {"ltd.ds1.pw", 2, 48},
    {"ltd.ds2.dw", 3, 48},
    {"ltd.ds2.pw", 3, 64},
    {"gfe.b1.0.expand", 3, 384},
    {"gfe.b1.0.dw", 4, 384},
    {"gfe.b1.0.project", 4, 64},
    {"gfe.b1.1.expand", 4, 384},
    {"gfe.b1.1.dw", 4, 384},
    {"gfe.b1.1.project", 4, 64},
    {"gfe.b1.2.expand", 4, 384},
    {"gfe.b1.2.dw", 4, 384},
    {"gfe.b1.2.project", 4, 64},
    {"gfe.b2.0.expand", 4, 384},
    {"gfe.b2.0.dw", 5, 384},
    {"gfe.b2.0.project", 5, 96},
    {"gfe.b2.1.expand", 5, 576},
    {"gfe.b2.1.dw", 5, 576},
    {"gfe.b2.1.project", 5, 96},
    {"gfe.b2.2.expand", 5, 576},
    {"gfe.b2.2.dw", 5, 576},
    {"gfe.b2.2.project", 5, 96},
    {"gfe.b3.0.expand", 5, 576},
    {"gfe.b3.0.dw", 5, 576},
    {"gfe.b3.0.project", 5, 128},
    {"gfe.b3.1.expand", 5, 768},
    {"gfe.b3.1.dw", 5, 768},
    {"gfe.b3.1.project", 5, 128},
    {"gfe.b3.2.expand", 5, 768},
    {"gfe.b3.2.dw", 5, 768},
    {"gfe.b3.2.project", 5, 128},
    {"ppm.1", -1, 32},
    {"ppm.2", -2, 32},
    {"ppm.3", -3, 32},
    {"ppm.6", -6, 32},
    {"ppm.out", 5, 128},
    {"ffm.low.dw", 3, 128},
    {"ffm.low.pw", 3, 128},
    {"ffm.high.pw", 3, 128},
    {"cls.ds1.dw", 3, 128},
    {"cls.ds1.pw", 3, 128},
    {"cls.ds2.dw", 3, 128},
    {"cls.ds2.pw", 3, 128},
    {"cls.conv", 3, 19},
};

typedef struct variant_case {
    fs_variant variant;
} variant_case;

ParameterizedTestParameters(graph, shapes_at_1024x2048) {
    static variant_case cases[FS_VARIANTS];
    for (int v = 0; v < FS_VARIANTS; v++) cases[v].variant = (fs_variant)v;
    return cr_make_param_array(variant_case, cases, FS_VARIANTS);
}
ParameterizedTest(variant_case *param, graph, shapes_at_1024x2048) {
    const fs_graph *g = build(param->variant, 19, 3, 1024, 2048);
    for (int i = 0; i < FS_LAYERS; i++) {
        int level = layer_outputs[i].level;
        int h = level < 0 ? -level : 1024 >> level, w = level < 0 ? -level : 2048 >> level;
        if (i == 0 && param->variant == FS_TRAMAC) h = 511, w = 1023;
        expect_shape(g, layer_outputs[i].name, h, w, layer_outputs[i].channels);
    }
    expect_shape(g, "normalise", 1024, 2048, 3);
    expect_shape(g, "gfe.b1.1.add", 64, 128, 64);
    expect_shape(g, "gfe.b3.2.add", 32, 64, 128);
    expect_shape(g, "ppm.6.pool", 6, 6, 128);
    expect_shape(g, "ppm.3.resize", 32, 64, 32);
    expect_shape(g, "ppm.concat", 32, 64, 256);
    expect_shape(g, "ffm.resize", 128, 256, 128);
    expect_shape(g, "ffm.add", 128, 256, 128);
    expect_shape(g, "head.resize", 1024, 2048, 19);
    expect_shape(g, "head.argmax", 1024, 2048, 1);
    cr_expect_eq(g->tensor[g->logits].element, FS_ELEMENT_LOGIT);
    cr_expect_eq(g->tensor[g->labels].element, FS_ELEMENT_LABEL);
    cr_expect_eq(g->tensor[g->frame].element, FS_ELEMENT_FRAME);
}

// A side of n pixels at 1/2, 1/4, ... 1/32, with a padded stem and with one that has no padding.
typedef struct side_case {
    int n, padded[5], bare[5];
} side_case;

static side_case sides[] = {
    {360, {180, 90, 45, 23, 12}, {179, 90, 45, 23, 12}},
    {400, {200, 100, 50, 25, 13}, {199, 100, 50, 25, 13}},
    {600, {300, 150, 75, 38, 19}, {299, 150, 75, 38, 19}},
    {640, {320, 160, 80, 40, 20}, {319, 160, 80, 40, 20}},
    {660, {330, 165, 83, 42, 21}, {329, 165, 83, 42, 21}},
    {713, {357, 179, 90, 45, 23}, {356, 178, 89, 45, 23}},
    {720, {360, 180, 90, 45, 23}, {359, 180, 90, 45, 23}},
    {769, {385, 193, 97, 49, 25}, {384, 192, 96, 48, 24}},
    {1260, {630, 315, 158, 79, 40}, {629, 315, 158, 79, 40}},
    {1280, {640, 320, 160, 80, 40}, {639, 320, 160, 80, 40}},
    {1584, {792, 396, 198, 99, 50}, {791, 396, 198, 99, 50}},
    {1601, {801, 401, 201, 101, 51}, {800, 400, 200, 100, 50}},
    {64, {32, 16, 8, 4, 2}, {31, 16, 8, 4, 2}},
    {65, {33, 17, 9, 5, 3}, {32, 16, 8, 4, 2}},
    {16384, {8192, 4096, 2048, 1024, 512}, {8191, 4096, 2048, 1024, 512}},
    {16383, {8192, 4096, 2048, 1024, 512}, {8191, 4096, 2048, 1024, 512}},
};
static const char *const at_level[5] = {"ltd.conv", "ltd.ds1.pw", "ltd.ds2.pw", "gfe.b1.0.project", "gfe.b2.0.project"};

ParameterizedTestParameters(graph, sides_that_are_not_multiples_of_32) {
    return cr_make_param_array(side_case, sides, sizeof sides / sizeof sides[0]);
}
ParameterizedTest(side_case *param, graph, sides_that_are_not_multiples_of_32) {
    for (int v = 0; v < FS_VARIANTS; v++) {
        const int *want = v == FS_TRAMAC ? param->bare : param->padded;
        for (int upright = 0; upright < 2; upright++) {
            const fs_graph *g = build((fs_variant)v, 19, 3, upright ? param->n : 96, upright ? 96 : param->n);
            for (int level = 0; level < 5; level++) {
                const fs_tensor *t = &g->tensor[find_op(g, at_level[level])->out];
                cr_expect_eq(upright ? t->h : t->w, want[level], "%s %s: %d", fs_variant_name((fs_variant)v),
                             at_level[level], upright ? t->h : t->w);
            }
            // What lies behind the bottlenecks returns to the skip's size, then to the frame's.
            const fs_tensor *skip = &g->tensor[find_op(g, "ltd.ds2.pw")->out];
            expect_shape(g, "ffm.low.dw", skip->h, skip->w, 128);
            expect_shape(g, "cls.conv", skip->h, skip->w, 19);
            expect_shape(g, "head.argmax", g->height, g->width, 1);
        }
    }
}

typedef struct mac_case {
    fs_variant variant;
    int classes, channels, height, width;
    double macs;
} mac_case;

static mac_case macs[] = {
    {FS_PAPER, 19, 3, 1024, 2048, 6709649408.0},      {FS_TRAMAC, 19, 3, 1024, 2048, 6708323168.0},
    {FS_MMSEG, 19, 3, 1024, 2048, 7246520320.0},      {FS_PADDLESEG, 19, 3, 1024, 2048, 7246520320.0},
    {FS_LEFTTHOMAS, 19, 3, 1024, 2048, 6709649408.0}, {FS_PAPER, 19, 3, 512, 1024, 1677565952.0},
    {FS_PAPER, 19, 3, 256, 512, 419545088.0},         {FS_PAPER, 12, 3, 256, 512, 417710080.0},
    {FS_PAPER, 19, 3, 720, 1280, 2965608960.0},       {FS_PAPER, 5, 4, 720, 1280, 3006159360.0},
    {FS_PAPER, 5, 4, 360, 640, 763308800.0},          {FS_PAPER, 19, 3, 660, 1584, 3390236000.0},
    {FS_PAPER, 11, 3, 360, 480, 562164800.0},         {FS_PAPER, 11, 3, 720, 960, 2213198720.0},
};
ParameterizedTestParameters(graph, multiply_adds) {
    return cr_make_param_array(mac_case, macs, sizeof macs / sizeof macs[0]);
}
ParameterizedTest(mac_case *param, graph, multiply_adds) {
    const fs_graph *g = build(param->variant, param->classes, param->channels, param->height, param->width);
    double total = 0;
    for (int i = 0; i < g->ops; i++) total += fs_op_macs(g, &g->op[i]);
    cr_expect_eq(total, param->macs, "%.0f instead of %.0f", total, param->macs);
}

Test(graph, multiply_adds_by_kind_and_part) {
    const fs_graph *g = build(FS_PAPER, 19, 3, 1024, 2048);
    double stem = 0, dense = 0, depthwise = 0, other = 0, part[FS_BLOCKS] = {0};
    for (int i = 0; i < g->ops; i++) {
        const fs_op *op = &g->op[i];
        double n = fs_op_macs(g, op);
        part[op->block] += n;
        if (op->layer == FS_L_STEM)
            stem += n;
        else if (op->kind == FS_OP_CONV)
            dense += n;
        else if (op->kind == FS_OP_DWCONV)
            depthwise += n;
        else
            other += n;
    }
    cr_expect_eq(stem, 452984832.0);
    cr_expect_eq(dense, 5939339264.0);
    cr_expect_eq(depthwise, 317325312.0);
    cr_expect_eq(other, 0.0);
    double gfe = 0;
    for (int i = 0; i < 9; i++) gfe += part[FS_BLOCK_BOTTLENECK + i];
    cr_expect_eq(part[FS_BLOCK_STEM] + part[FS_BLOCK_LTD_DS1] + part[FS_BLOCK_LTD_DS2], 806879232.0);
    cr_expect_eq(gfe, 3763470336.0);
    cr_expect_eq(part[FS_BLOCK_PPM], 67313664.0);
    cr_expect_eq(part[FS_BLOCK_FFM], 843055104.0);
    cr_expect_eq(part[FS_BLOCK_CLS_DS1] + part[FS_BLOCK_CLS_DS2] + part[FS_BLOCK_CLS_CONV], 1228931072.0);
    cr_expect_eq(part[FS_BLOCK_HEAD], 0.0);
}

static long conv_weights(fs_variant variant, int classes, int channels) {
    fs_model model;
    fs_model_init(&model, variant);
    model.classes = classes, model.channels = channels;
    fs_layer layers[FS_LAYERS];
    fs_model_layers(&model, layers);
    long total = 0;
    for (int i = 0; i < FS_LAYERS; i++) total += fs_layer_weight_count(&layers[i]);
    return total;
}

typedef struct count_case {
    fs_variant variant;
    long weights;
} count_case;
static count_case counts[] = {
    {FS_PAPER, 1114096}, {FS_TRAMAC, 1114096}, {FS_MMSEG, 1376240}, {FS_PADDLESEG, 1376240}, {FS_LEFTTHOMAS, 1114096}};
ParameterizedTestParameters(graph, convolution_weights) {
    return cr_make_param_array(count_case, counts, sizeof counts / sizeof counts[0]);
}
ParameterizedTest(count_case *param, graph, convolution_weights) {
    long got = conv_weights(param->variant, 19, 3);
    cr_expect_eq(got, param->weights, "%ld", got);
    // A class adds 128 weights and a bias, an input channel 9 x 32 weights.
    cr_expect_eq(conv_weights(param->variant, 20, 3) - got, 128);
    cr_expect_eq(conv_weights(param->variant, 19, 4) - got, 288);
}

Test(graph, layer_table) {
    fs_model model;
    fs_model_init(&model, FS_PAPER);
    fs_layer layers[FS_LAYERS];
    fs_model_layers(&model, layers);
    int norms = 0, depthwise = 0, channels = 0;
    long weights = 0;
    for (int i = 0; i < FS_LAYERS; i++) {
        cr_expect_str_eq(layers[i].name, layer_outputs[i].name);
        cr_expect_eq(layers[i].out_channels, layer_outputs[i].channels);
        norms += layers[i].bn, depthwise += layers[i].depthwise, channels += layers[i].out_channels;
        weights += fs_layer_weight_count(&layers[i]);
    }
    cr_expect_eq(norms, 44);
    cr_expect_eq(depthwise, 14);
    cr_expect_eq(weights + channels, 1125955); // folded: one bias an output channel
}

Test(graph, operations_use_what_earlier_ones_made) {
    static const int sizes[][2] = {{64, 64}, {1024, 2048}, {360, 640}, {713, 1601}, {16384, 16384}, {65, 16383}};
    for (int v = 0; v < FS_VARIANTS; v++)
        for (size_t s = 0; s < sizeof sizes / sizeof sizes[0]; s++) {
            const fs_graph *g = build((fs_variant)v, 19, 3, sizes[s][0], sizes[s][1]);
            bool made[FS_MAX_TENSORS] = {0}, used[FS_LAYERS] = {0};
            made[g->frame] = true;
            cr_assert_leq(g->ops, FS_MAX_OPS);
            cr_assert_eq(g->tensors, g->ops + 1);
            for (int i = 0; i < g->ops; i++) {
                const fs_op *op = &g->op[i];
                for (int j = 0; j < op->inputs; j++) cr_expect(made[op->in[j]], "%s", op->name);
                cr_expect(!made[op->out], "%s", op->name);
                made[op->out] = true;
                cr_expect_str_eq(g->tensor[op->out].name, op->name);
                cr_expect(find_op(g, op->name) == op, "%s appears twice", op->name);
                const fs_tensor *t = &g->tensor[op->out];
                cr_expect(t->h > 0 && t->w > 0 && t->c > 0, "%s", op->name);
                if (op->layer < 0) continue;
                cr_expect(!used[op->layer], "%s", op->name);
                used[op->layer] = true;
                cr_expect_eq(g->tensor[op->in[0]].c, g->layers[op->layer].in_channels, "%s", op->name);
            }
            for (int l = 0; l < FS_LAYERS; l++) cr_expect(used[l], "%s", g->layers[l].name);
        }
}

Test(graph, every_convolution_reads_inside_its_padding) {
    for (int v = 0; v < FS_VARIANTS; v++) {
        const fs_graph *g = build((fs_variant)v, 19, 3, 713, 1602);
        for (int i = 0; i < g->ops; i++) {
            const fs_op *op = &g->op[i];
            if (op->layer < 0) continue;
            const fs_tensor *in = &g->tensor[op->in[0]], *out = &g->tensor[op->out];
            int reach = op->dilation * (op->kernel - 1);
            // The last output's window begins inside the map, and no window lies wholly in the padding.
            cr_expect_leq((out->h - 1) * op->stride - op->pad_top, in->h - 1, "%s", op->name);
            cr_expect_leq((out->w - 1) * op->stride - op->pad_left, in->w - 1, "%s", op->name);
            cr_expect_leq(op->pad_top, reach);
            cr_expect_leq(op->pad_left, reach);
        }
    }
}

Test(graph, stem_padding_of_each_kind) {
    const fs_op *op = &build(FS_PAPER, 19, 3, 128, 129)->op[1];
    cr_expect(op->pad_top == 1 && op->pad_left == 1);
    expect_shape(&graph, "ltd.conv", 64, 65, 32);
    op = &build(FS_TRAMAC, 19, 3, 128, 129)->op[1];
    cr_expect(op->pad_top == 0 && op->pad_left == 0);
    expect_shape(&graph, "ltd.conv", 63, 64, 32);
    op = &build(FS_PADDLESEG, 19, 3, 128, 129)->op[1]; // even: all of it behind; odd: one on each side
    cr_expect(op->pad_top == 0 && op->pad_left == 1);
    expect_shape(&graph, "ltd.conv", 64, 65, 32);
}

Test(graph, switches_reach_the_operations) {
    const fs_graph *g = build(FS_PAPER, 19, 3, 256, 512);
    cr_expect(find_op(g, "ltd.ds1.dw.relu") == NULL && find_op(g, "cls.ds2.dw.relu") == NULL);
    cr_expect(find_op(g, "ffm.low.dw")->dilation == 4 && find_op(g, "ffm.low.dw")->pad_top == 4);
    cr_expect(find_op(g, "ppm.out")->kernel == 1 && find_op(g, "ppm.out")->pad_left == 0);
    cr_expect(!find_op(g, "head.resize")->align_corners && !find_op(g, "ppm.2.resize")->align_corners);
    g = build(FS_TRAMAC, 19, 3, 256, 512);
    cr_expect(find_op(g, "ltd.ds1.dw.relu") != NULL && find_op(g, "cls.ds2.dw.relu") != NULL);
    cr_expect(find_op(g, "ffm.low.dw")->dilation == 1 && find_op(g, "ffm.low.dw")->pad_top == 1);
    cr_expect(find_op(g, "head.resize")->align_corners && find_op(g, "ffm.resize")->align_corners);
    g = build(FS_MMSEG, 19, 3, 256, 512);
    cr_expect(find_op(g, "ppm.out")->kernel == 3 && find_op(g, "ppm.out")->pad_left == 1);
    cr_expect(!find_op(g, "ppm.1.resize")->align_corners && !find_op(g, "ffm.resize")->align_corners);
    g = build(FS_PADDLESEG, 19, 3, 256, 512);
    cr_expect(find_op(g, "ppm.6.resize")->align_corners && !find_op(g, "ffm.resize")->align_corners);
    cr_expect(!find_op(g, "head.resize")->align_corners);
}

Test(graph, exact_factor_four_then_the_size_of_the_skip) {
    fs_model model;
    fs_model_init(&model, FS_TRAMAC);
    model.ffm_exact_x4 = true;
    cr_assert_eq(fs_graph_build(&graph, &model, 360, 640), FS_OK);
    expect_shape(&graph, "gfe.b3.2.add", 12, 20, 128);
    expect_shape(&graph, "ffm.x4", 48, 80, 128);
    expect_shape(&graph, "ffm.resize", 45, 80, 128);
    cr_assert_eq(fs_graph_build(&graph, &model, 1024, 2048), FS_OK);
    expect_shape(&graph, "ffm.x4", 128, 256, 128);
    cr_expect_null(find_op(&graph, "ffm.resize"));
}

typedef struct size_case {
    int height, width;
} size_case;
static size_case bad_sizes[] = {{63, 64},           {64, 63},      {0, 0},       {-64, 64},
                                {64, -1},           {16385, 64},   {64, 16385},  {1, 1},
                                {INT_MAX, INT_MAX}, {INT_MIN, 64}, {1024, 65536}};
ParameterizedTestParameters(graph, refuses_sizes_outside_the_limits) {
    return cr_make_param_array(size_case, bad_sizes, sizeof bad_sizes / sizeof bad_sizes[0]);
}
ParameterizedTest(size_case *param, graph, refuses_sizes_outside_the_limits) {
    fs_model model;
    fs_model_init(&model, FS_PAPER);
    memset(&graph, 0x5a, sizeof graph);
    static fs_graph before;
    before = graph;
    cr_expect_eq(fs_graph_build(&graph, &model, param->height, param->width), FS_ERR_ARGUMENT);
    cr_expect_not_null(strstr(fs_error_text(), "64..16384"), "%s", fs_error_text());
    cr_expect_eq(memcmp(&graph, &before, sizeof graph), 0);
}

Test(graph, refuses_a_broken_model) {
    fs_model model;
    fs_model_init(&model, FS_PAPER);
    model.classes = 1;
    cr_expect_eq(fs_graph_build(&graph, &model, 256, 512), FS_ERR_ARGUMENT);
    fs_model_init(&model, FS_PAPER);
    model.channels = 5;
    cr_expect_eq(fs_graph_build(&graph, &model, 256, 512), FS_ERR_ARGUMENT);
}

Test(graph, classes_from_2_to_255) {
    static const int classes[] = {2, 5, 11, 12, 19, 255};
    for (size_t i = 0; i < sizeof classes / sizeof classes[0]; i++)
        for (int channels = 3; channels <= 4; channels++) {
            const fs_graph *g = build(FS_PAPER, classes[i], channels, 64, 96);
            cr_expect_eq(g->tensor[g->logits].c, classes[i]);
            cr_expect_eq(g->tensor[g->frame].c, channels);
        }
}

Test(graph, kinds_have_names) {
    for (int k = 0; k < FS_OP_KINDS; k++) {
        cr_expect_str_neq(fs_op_kind_name((fs_op_kind)k), "?");
        for (int j = 0; j < k; j++) cr_expect_str_neq(fs_op_kind_name((fs_op_kind)k), fs_op_kind_name((fs_op_kind)j));
    }
    cr_expect_str_eq(fs_op_kind_name(FS_OP_KINDS), "?");
}
