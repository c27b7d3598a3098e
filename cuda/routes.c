// The fused routes of steps: several layers in one kernel each, beside the way layer by layer.
#include "cuda/builder.h"
#include "cuda/run.h"

// A route that was just built is kept when a kernel takes each of its nodes; else its nodes are dropped. When
// measuring, and without an engine's device, all are kept: they take no memory.
static void close_route(fs_builder *b, int step, int first_node) {
    for (int i = first_node; i < b->nodes->count; i++) {
        fs_launch launch;
        fs_node probe = b->nodes->node[i];
        if (probe.family == FS_FAMILY_STEM_DS) probe.p.stem_ds.stem.pixel = probe.p.stem_ds.stem.channels;
        bool fits = fs_node_launch(&probe, b->engine->device.sm, 0, &launch);
        if (fits && b->base && b->status == FS_OK) b->status = fs_run_fits(&launch, &fits);
        if (fits) continue;
        b->nodes->count = first_node;
        return;
    }
    b->nodes->routes[step]++;
}

static fs_fused_pw fused_pw(const fs_builder *b, const fs_op *op, bool relu) {
    const fs_cuda_layer *layer = &b->engine->layer[op->layer];
    return (fs_fused_pw){layer->weights, layer->bias, b->graph->tensor[op->out].c, relu};
}

static fs_fused_dw fused_dw(const fs_builder *b, const fs_op *op, bool relu) {
    const fs_cuda_layer *layer = &b->engine->layer[op->layer];
    return (fs_fused_dw){layer->weights, layer->bias, relu, op->stride};
}

static const fs_op *nth_conv(const fs_builder *b, const fs_step *step, int n) {
    for (int i = 0; i < step->ops; i++) {
        const fs_op *op = fs_step_op(&b->plan->program, step, i);
        if (op->layer >= 0 && n-- == 0) return op;
    }
    return NULL;
}

// The tensor behind the ReLU of a convolution.
static int relu_of(const fs_builder *b, const fs_step *step, const fs_op *conv) {
    for (int i = 0; i < step->ops; i++) {
        const fs_op *op = fs_step_op(&b->plan->program, step, i);
        if (op->kind == FS_OP_RELU && op->in[0] == conv->out) return op->out;
    }
    return conv->out;
}

static fs_map scratch_map(fs_builder *b, int like) {
    const fs_tensor *t = &b->graph->tensor[like];
    const fs_placement *place = &b->plan->place[like];
    return (fs_map){fs_build_scratch(b, place->bytes), t->h, t->w, t->c, place->channel_stride};
}

// Returns the index of the route's first node.
static int begin_route(fs_builder *b) {
    b->scratch_used = 0; // one route at a time
    return b->nodes->count;
}

static void add_dsconv(fs_builder *b, int index, const fs_op *dw, const fs_op *pw, const fs_op *last, fs_map in,
                       fs_map out) {
    fs_dsconv_params *p = &fs_build_node(b, FS_FAMILY_DSCONV, index)->p.dsconv;
    p->in = in, p->out = out;
    p->dw = fused_dw(b, dw, b->graph->model.dsconv_mid_relu);
    p->pw = fused_pw(b, pw, true);
    if (last) p->last = fused_pw(b, last, false);
}

static void add_fused_dsconv(fs_builder *b, int index, const fs_step *step) {
    const int first = begin_route(b);
    const fs_op *dw = nth_conv(b, step, 0), *pw = nth_conv(b, step, 1);
    add_dsconv(b, index, dw, pw, NULL, fs_build_map(b, dw->in[0]), fs_build_map(b, step->out));
    close_route(b, index, first);
}

// The frame to the 1/4-size map in one kernel, what is left of the step in another or layer by layer.
static void add_fused_ltd(fs_builder *b, int index, const fs_step *step, bool pair) {
    const int first = begin_route(b);
    const fs_op *stem = nth_conv(b, step, 0), *dw = nth_conv(b, step, 1), *pw = nth_conv(b, step, 2);
    const fs_op *next_dw = nth_conv(b, step, 3), *next_pw = nth_conv(b, step, 4);
    if (pair && next_dw == NULL) return;
    const fs_tensor *half = &b->graph->tensor[stem->out];
    const int quarter = relu_of(b, step, pw);
    if (quarter != step->out) b->inner[quarter] = fs_build_scratch(b, b->plan->place[quarter].bytes);
    fs_stem_ds_params *p = &fs_build_node(b, FS_FAMILY_STEM_DS, index)->p.stem_ds;
    p->stem = fs_build_stem_params(b, stem, (fs_map){NULL, half->h, half->w, half->c, half->c});
    p->dw = fused_dw(b, dw, b->graph->model.dsconv_mid_relu);
    p->pw = fused_pw(b, pw, true);
    p->out = fs_build_map(b, quarter);
    if (pair) {
        add_dsconv(b, index, next_dw, next_pw, NULL, fs_build_map(b, quarter), fs_build_map(b, step->out));
    } else {
        int rest = 0;
        while (rest < step->ops && fs_step_op(&b->plan->program, step, rest)->out != quarter) rest++;
        fs_build_layers(b, index, step, rest + 1);
    }
    close_route(b, index, first);
}

// The expanded channels split over blocks, for maps of fewer tiles than the GPU has multiprocessors: elsewhere the
// partial sums would only cost. By way of memory, and, where the GPU has clusters, on the chip.
static void add_split_bottleneck(fs_builder *b, int index, fs_map in, fs_map residual, fs_map out, const fs_op *expand,
                                 const fs_op *dw, const fs_op *project) {
    enum { TILE = 8 };
    const int processors = b->engine->device.processors;
    const fs_fused_pw wide = fused_pw(b, expand, true);
    const int splits = fs_bottleneck_splits(wide.n, &out, processors);
    const long long tiles = (long long)((out.h + TILE - 1) / TILE) * ((out.w + TILE - 1) / TILE);
    if (splits == 0 || tiles >= processors) return;
    const fs_bottleneck_params block = {in, wide, fused_dw(b, dw, true), fused_pw(b, project, false), residual, out};
    int first = begin_route(b);
    const void *arrived;
    fs_build_table(b, fs_bottleneck_split_counters(&out) * sizeof(unsigned), &arrived); // zeros
    fs_build_node(b, FS_FAMILY_BOTTLENECK_SPLIT, index)->p.bottleneck_split = (fs_bottleneck_split_params){
        block, fs_build_scratch(b, fs_bottleneck_split_floats(&out, splits) * sizeof(float)), (unsigned *)arrived,
        splits};
    close_route(b, index, first);

    first = begin_route(b);
    fs_build_node(b, FS_FAMILY_BOTTLENECK_CLUSTER, index)->p.bottleneck_cluster =
        (fs_bottleneck_cluster_params){block, splits};
    close_route(b, index, first);
}

static void add_fused_bottleneck(fs_builder *b, int index, const fs_step *step) {
    const fs_op *expand = nth_conv(b, step, 0), *dw = nth_conv(b, step, 1), *project = nth_conv(b, step, 2);
    const fs_op *end = fs_step_op(&b->plan->program, step, step->ops - 1);
    const fs_map in = fs_build_map(b, expand->in[0]), out = fs_build_map(b, step->out);
    const fs_map residual = end->kind == FS_OP_ADD ? in : (fs_map){0};
    int first = begin_route(b);
    fs_build_node(b, FS_FAMILY_BOTTLENECK, index)->p.bottleneck = (fs_bottleneck_params){
        in, fused_pw(b, expand, true), fused_dw(b, dw, true), fused_pw(b, project, false), residual, out};
    close_route(b, index, first);

    // Expand and depthwise, a projection behind: for small maps, where the expanded channels are what there is to
    // spread over the GPU.
    first = begin_route(b);
    const fs_map mid = scratch_map(b, dw->out);
    fs_build_node(b, FS_FAMILY_EXPAND_DW, index)->p.expand_dw =
        (fs_expand_dw_params){in, fused_pw(b, expand, true), fused_dw(b, dw, true), mid};
    fs_build_conv(b, index, project, mid, residual, step->out, false, &b->engine->layer[project->layer]);
    close_route(b, index, first);
    add_split_bottleneck(b, index, in, residual, out, expand, dw, project);
}

static void add_fused_classifier(fs_builder *b, int index, const fs_step *step) {
    const int first = begin_route(b);
    const fs_op *op[5];
    for (int i = 0; i < 5; i++) op[i] = nth_conv(b, step, i);
    const fs_map between = scratch_map(b, op[1]->out);
    add_dsconv(b, index, op[0], op[1], NULL, fs_build_map(b, op[0]->in[0]), between);
    add_dsconv(b, index, op[2], op[3], op[4], between, fs_build_map(b, step->out));
    close_route(b, index, first);
}

static void add_fused_fusion(fs_builder *b, int index, const fs_step *step) {
    const int first = begin_route(b);
    const fs_program *program = &b->plan->program;
    const fs_op *resize = fs_step_op(program, step, 0), *dw = fs_step_op(program, step, 1);
    const fs_map low = fs_build_map(b, resize->in[0]), skip = fs_build_map(b, fs_step_op(program, step, 4)->in[0]);
    fs_build_node(b, FS_FAMILY_FUSION, index)->p.fusion =
        (fs_fusion_params){.low = low,
                           .skip = skip,
                           .out = fs_build_map(b, step->out),
                           .tap_y = b->tap_y,
                           .tap_x = b->tap_x,
                           .dw = fused_dw(b, dw, true),
                           .dilation = dw->dilation,
                           .pw = {b->engine->ffm.weights, b->engine->ffm.bias, 128, true}};
    close_route(b, index, first);
}

// The pyramid before a 1x1 output convolution: the cells are finished in one kernel, and the output's GEMM takes on
// their resized grids.
static void add_fused_pyramid(fs_builder *b, int index, const fs_step *step) {
    const int first = begin_route(b);
    const fs_cuda_engine *e = b->engine;
    const fs_map in = fs_build_map(b, fs_step_op(&b->plan->program, step, 0)->in[0]);
    float *partial = fs_build_scratch(b, fs_pyramid_partial_floats(in.h, in.w, in.c) * sizeof(float));
    float *cells = fs_build_scratch(b, sizeof(float[FS_K_CELLS][128]));
    fs_build_node(b, FS_FAMILY_PYRAMID_POOL, index)->p.pyramid_pool =
        (fs_pyramid_pool_params){.in = in, .partial = partial};
    fs_build_node(b, FS_FAMILY_PYRAMID_FOLD, index)->p.pyramid_fold =
        (fs_pyramid_fold_params){partial, in.h, in.w, e->ppm_weight, e->ppm_bias, e->ppm_slice, cells};
    fs_build_node(b, FS_FAMILY_PYRAMID_OUT, index)->p.pyramid_out =
        (fs_pyramid_out_params){.in = in,
                                .out = fs_build_map(b, step->out),
                                .pw = {e->ppm_main.weights, e->ppm_main.bias, b->graph->tensor[step->out].c, true},
                                .cells = cells,
                                .tap_y = b->tap_y,
                                .tap_x = b->tap_x};
    close_route(b, index, first);
}

void fs_build_routes(fs_builder *b, int index, const fs_step *step) {
    switch (step->kind) {
    case FS_STEP_DSCONV: add_fused_dsconv(b, index, step); break;
    case FS_STEP_LTD:
        add_fused_ltd(b, index, step, false);
        add_fused_ltd(b, index, step, true);
        break;
    case FS_STEP_BOTTLENECK: add_fused_bottleneck(b, index, step); break;
    case FS_STEP_CLASSIFIER: add_fused_classifier(b, index, step); break;
    case FS_STEP_PPM:
        if (b->engine->ppm_slice) add_fused_pyramid(b, index, step);
        break;
    case FS_STEP_FFM: add_fused_fusion(b, index, step); break;
    default: break;
    }
}
