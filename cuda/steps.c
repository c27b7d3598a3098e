// Turns fused steps into nodes: maps in the arena, tap tables, scratch between the kernels of one step.
#include "cuda/steps.h"

#include <string.h>

enum { ALIGN = 256, STEM_OPS = 3, PYRAMID_OPS = 19, FUSION_OPS = 7 };

static size_t round_up(size_t bytes) {
    return (bytes + ALIGN - 1) / ALIGN * ALIGN;
}

// ---- What is supported ----

static const fs_op *op_of(const fs_program *program, const fs_step *step, int i) {
    return &program->graph.op[step->op[i]];
}

// A convolution, then at most one add, then at most one ReLU.
static bool is_conv_step(const fs_program *program, const fs_step *step) {
    const fs_op_kind first = op_of(program, step, 0)->kind;
    int next = 1;
    if (first != FS_OP_CONV && first != FS_OP_DWCONV) return false;
    if (next < step->ops && first == FS_OP_CONV && op_of(program, step, next)->kind == FS_OP_ADD) next++;
    if (next < step->ops && op_of(program, step, next)->kind == FS_OP_RELU) next++;
    return next == step->ops;
}

bool fs_steps_supports(const fs_program *program, const fs_step *step) {
    switch (step->kind) {
    case FS_STEP_OP: return true;
    case FS_STEP_CONV: return is_conv_step(program, step);
    case FS_STEP_STEM: return step->ops == STEM_OPS;
    case FS_STEP_PPM: return step->ops == PYRAMID_OPS;
    case FS_STEP_FFM:
        return step->ops == FUSION_OPS; // one resize; a second one (PST900's) runs on its own
    // Layer by layer these always run; fused kernels are further routes.
    case FS_STEP_DSCONV:
    case FS_STEP_LTD:
    case FS_STEP_BOTTLENECK:
    case FS_STEP_CLASSIFIER:
    case FS_STEP_HEAD: return true;
    case FS_STEP_KINDS: break;
    }
    return false;
}

static int layers_of(const fs_program *program, const fs_step *step) {
    int layers = 0;
    for (int i = 0; i < step->ops; i++) layers += op_of(program, step, i)->layer >= 0;
    return layers;
}

int fs_steps_launches(const fs_program *program, const fs_step *step, fs_precision precision) {
    const bool fused = precision == FS_FP16;
    switch (step->kind) {
    case FS_STEP_PPM: // partial sums, folded cells, output; else: partial sums, cells, branches, up, convolution
        return fused && op_of(program, step, PYRAMID_OPS - 2)->kernel == 1 ? 3 : 5;
    case FS_STEP_FFM: return fused ? 1 : 2; // else: upsample and depthwise, one GEMM over both branches
    case FS_STEP_DSCONV:
    case FS_STEP_BOTTLENECK: return fused ? 1 : layers_of(program, step);
    case FS_STEP_LTD:
    case FS_STEP_CLASSIFIER: return fused ? layers_of(program, step) / 2 : layers_of(program, step); // 3 or 5 layers
    default: return 1;
    }
}

// ---- Routes ----

bool fs_nodes_active(const fs_nodes *nodes, int index) {
    const fs_node *n = &nodes->node[index];
    return n->route == FS_EVERY_ROUTE || n->route == nodes->route[n->step];
}

bool fs_nodes_reads(const fs_node *node) {
    return node->family == FS_FAMILY_STEM || node->family == FS_FAMILY_NORMALISE || node->family == FS_FAMILY_STEM_DS;
}

void fs_nodes_take(fs_nodes *nodes, int step, int route) {
    nodes->route[step] = route;
    for (int i = 0; i < nodes->count; i++)
        if (fs_nodes_reads(&nodes->node[i]) && fs_nodes_active(nodes, i)) nodes->reader = i;
}

// ---- Building ----

typedef struct builder {
    fs_nodes *nodes;
    const fs_cuda_engine *engine;
    const fs_plan *plan;
    const fs_graph *graph;
    char *base;                  // NULL: measure
    char *tables;                // host copy of the tables
    size_t scratch_at, table_at; // where scratch and tables begin behind base
    size_t scratch_used;         // of the step at hand
    int route;                   // of the step at hand
    void *inner[FS_MAX_TENSORS]; // where tensors inside the step at hand lie, on its way layer by layer
} builder;

static size_t element_bytes(const builder *b) {
    return b->engine->type == FS_K_F16 ? 2 : 4;
}

// Scratch of the step at hand; steps share it, since one ends before the next begins.
static void *scratch(builder *b, size_t bytes) {
    void *at = b->base ? b->base + b->scratch_at + b->scratch_used : NULL;
    b->scratch_used += round_up(bytes);
    if (b->nodes->scratch < b->scratch_used) b->nodes->scratch = b->scratch_used;
    return at;
}

// Room in the tables: the host's copy to fill (NULL when measuring) and the address on the device.
static void *table(builder *b, size_t bytes, const void **device) {
    *device = b->base ? b->base + b->table_at + b->nodes->tables : NULL;
    void *host = b->tables ? b->tables + b->nodes->tables : NULL;
    b->nodes->tables += round_up(bytes);
    return host;
}

static void fill_taps(fs_k_tap *taps, int in, int out, bool align) {
    for (int d = 0; d < out; d++) {
        fs_resize_source(d, in, out, align, &taps[d].lower, &taps[d].fraction);
        taps[d].upper = taps[d].lower + 1 < in ? taps[d].lower + 1 : in - 1;
    }
}

static const fs_k_tap *taps(builder *b, int in, int out, bool align) {
    const void *device;
    fs_k_tap *host = table(b, (size_t)out * sizeof *host, &device);
    if (host) fill_taps(host, in, out, align);
    return device;
}

// The taps of the four pyramid grids to one axis of the map, one grid after the other.
static const fs_k_tap *pyramid_taps(builder *b, int out, bool align) {
    static const int bins[4] = {1, 2, 3, 6};
    const void *device;
    fs_k_tap *host = table(b, 4 * (size_t)out * sizeof *host, &device);
    for (int i = 0; i < 4 && host; i++) fill_taps(host + (size_t)i * (size_t)out, bins[i], out, align);
    return device;
}

// first[i]: the first output coordinate whose lower tap is >= i; first[in] = out.
static const int *cell_starts(builder *b, int in, int out, bool align) {
    const void *device;
    int *host = table(b, ((size_t)in + 1) * sizeof *host, &device);
    int next = 0;
    for (int d = 0; d < out && host; d++) {
        int lower;
        float fraction;
        fs_resize_source(d, in, out, align, &lower, &fraction);
        while (next <= lower) host[next++] = d;
    }
    while (host && next <= in) host[next++] = out;
    return device;
}

static fs_map map_of(const builder *b, int tensor) {
    const fs_tensor *t = &b->graph->tensor[tensor];
    const fs_placement *place = &b->plan->place[tensor];
    void *data = b->base ? b->base + place->offset : NULL;
    if (!place->used) data = b->inner[tensor];
    return (fs_map){data, t->h, t->w, t->c, place->channel_stride};
}

static bool is_logit(const builder *b, int tensor) {
    return b->graph->tensor[tensor].element == FS_ELEMENT_LOGIT;
}

static fs_node *add(builder *b, fs_family family, int step) {
    fs_node *n = &b->nodes->node[b->nodes->count++];
    memset(n, 0, sizeof *n);
    n->family = family, n->step = step, n->type = b->engine->type;
    n->route = b->nodes->routes[step]; // the route at hand is counted when it is complete
    return n;
}

static void add_conv(builder *b, int step, const fs_op *op, fs_map in, fs_map residual, int out, bool relu,
                     const fs_cuda_layer *layer) {
    fs_node *n = add(b, FS_FAMILY_CONV, step);
    n->bias_half = layer->bias_half;
    n->p.conv = (fs_conv_params){.in = in,
                                 .weights = layer->weights,
                                 .bias = layer->bias,
                                 .residual = residual,
                                 .out = map_of(b, out),
                                 .out_f32 = n->type == FS_K_F16 && is_logit(b, out),
                                 .relu = relu,
                                 .kernel = op->kernel,
                                 .stride = op->stride,
                                 .dilation = op->dilation,
                                 .pad_top = op->pad_top,
                                 .pad_left = op->pad_left};
}

// How many operations from `first` on make one kernel: a convolution with the add and the ReLU behind it.
static int group_ops(const builder *b, const fs_step *step, int first) {
    int next = first + 1;
    while (next < step->ops) {
        const fs_op *op = op_of(&b->plan->program, step, next), *before = op_of(&b->plan->program, step, next - 1);
        const bool follows = op->in[0] == before->out || (op->inputs > 1 && op->in[1] == before->out);
        if ((op->kind != FS_OP_ADD && op->kind != FS_OP_RELU) || !follows) break;
        next++;
    }
    return next - first;
}

static void add_group(builder *b, int index, const fs_step *step, int first, int ops) {
    const fs_op *op = op_of(&b->plan->program, step, first);
    const fs_cuda_layer *layer = &b->engine->layer[op->layer];
    bool relu = false;
    fs_map residual = {0};
    int made = op->out;
    for (int i = first + 1; i < first + ops; i++) {
        const fs_op *after = op_of(&b->plan->program, step, i);
        relu |= after->kind == FS_OP_RELU;
        if (after->kind == FS_OP_ADD) residual = map_of(b, after->in[after->in[0] == made]);
        made = after->out;
    }
    if (op->kind == FS_OP_CONV) {
        add_conv(b, index, op, map_of(b, op->in[0]), residual, made, relu, layer);
        return;
    }
    add(b, FS_FAMILY_DW, index)->p.dw = (fs_dw_params){.in = map_of(b, op->in[0]),
                                                       .out = map_of(b, made),
                                                       .weights = layer->weights,
                                                       .bias = layer->bias,
                                                       .relu = relu,
                                                       .stride = op->stride,
                                                       .dilation = op->dilation,
                                                       .pad_top = op->pad_top,
                                                       .pad_left = op->pad_left};
}

static fs_stem_params stem_params(const builder *b, const fs_op *conv, fs_map out) {
    return (fs_stem_params){.h = b->graph->height,
                            .w = b->graph->width,
                            .channels = b->graph->model.channels,
                            .pad_top = conv->pad_top,
                            .pad_left = conv->pad_left,
                            .scale = b->engine->stem_scale,
                            .weights = b->engine->stem.weights,
                            .bias = b->engine->stem.bias,
                            .out = out};
}

static void add_stem(builder *b, int index, const fs_step *step, int out) {
    add(b, FS_FAMILY_STEM, index)->p.stem = stem_params(b, op_of(&b->plan->program, step, 1), map_of(b, out));
}

// A step layer by layer, from one of its operations on. Each map inside it is read by the next layer alone, so two
// places in turn are enough.
static void add_layers(builder *b, int index, const fs_step *step, int begin) {
    const fs_program *program = &b->plan->program;
    int last[FS_MAX_STEP_OPS], groups = 0; // the last operation of each kernel
    size_t room[2] = {0, 0};
    for (int i = begin; i < step->ops; groups++) {
        i += op_of(program, step, i)->kind == FS_OP_NORMALISE ? STEM_OPS : group_ops(b, step, i);
        last[groups] = i - 1;
        const int made = op_of(program, step, i - 1)->out;
        if (made != step->out && room[groups % 2] < b->plan->place[made].bytes)
            room[groups % 2] = b->plan->place[made].bytes;
    }
    void *const place[2] = {scratch(b, room[0]), scratch(b, room[1])};
    for (int g = 0, first = begin; g < groups; first = last[g++] + 1) {
        const int made = op_of(program, step, last[g])->out;
        if (made != step->out) b->inner[made] = place[g % 2];
        if (op_of(program, step, first)->kind == FS_OP_NORMALISE)
            add_stem(b, index, step, made);
        else
            add_group(b, index, step, first, last[g] + 1 - first);
    }
}

// Pools and branches work on 50 cells. A 1x1 output convolution commutes with the resize, so its slices are applied to
// the cells and the map takes on the sum of the four resized grids; before a 3x3 one the concat is made.
static void add_pyramid(builder *b, int index, const fs_step *step) {
    const fs_program *program = &b->plan->program;
    const fs_op *out = op_of(program, step, PYRAMID_OPS - 2);
    const fs_map in = map_of(b, op_of(program, step, 0)->in[0]);
    const bool folded = b->engine->ppm_slice != NULL;
    const size_t pixels = (size_t)in.h * (size_t)in.w;
    float *partial = scratch(b, fs_pyramid_partial_floats(in.h, in.w, in.c) * sizeof(float));
    float *cells = scratch(b, sizeof(float[FS_K_CELLS][128])), *branch = scratch(b, sizeof(float[FS_K_CELLS][128]));
    const int up_channels = folded ? 128 : 256;
    const fs_map up = {scratch(b, pixels * (size_t)up_channels * element_bytes(b)), in.h, in.w, up_channels,
                       up_channels};

    for (int stage = 0; stage < 2; stage++)
        add(b, FS_FAMILY_PYRAMID_POOL, index)->p.pyramid_pool = (fs_pyramid_pool_params){in, partial, cells, stage};
    add(b, FS_FAMILY_PYRAMID_BRANCH, index)->p.branch =
        (fs_pyramid_branch_params){cells, b->engine->ppm_weight, b->engine->ppm_bias, b->engine->ppm_slice, branch};
    add(b, FS_FAMILY_PYRAMID_UP, index)->p.up =
        (fs_pyramid_up_params){.cells = branch,
                               .folded = folded,
                               .in = in,
                               .out = up,
                               .tap_y = pyramid_taps(b, in.h, b->graph->model.align_ppm),
                               .tap_x = pyramid_taps(b, in.w, b->graph->model.align_ppm)};
    if (folded)
        add_conv(b, index, out, in, up, step->out, true, &b->engine->ppm_main);
    else
        add_conv(b, index, out, up, (fs_map){0}, step->out, true, &b->engine->layer[out->layer]);
}

static void add_fusion(builder *b, int index, const fs_step *step) {
    const fs_program *program = &b->plan->program;
    const fs_op *resize = op_of(program, step, 0), *dw = op_of(program, step, 1);
    const fs_op *low = op_of(program, step, 3), *high = op_of(program, step, 4);
    const fs_map skip = map_of(b, high->in[0]);
    const size_t pixels = (size_t)skip.h * (size_t)skip.w;
    const fs_map mid = {scratch(b, pixels * 128 * element_bytes(b)), skip.h, skip.w, 128, 128};
    const fs_map in = map_of(b, resize->in[0]);
    add(b, FS_FAMILY_UPDW, index)->p.updw = (fs_updw_params){.in = in,
                                                             .out = mid,
                                                             .tap_y = taps(b, in.h, skip.h, resize->align_corners),
                                                             .tap_x = taps(b, in.w, skip.w, resize->align_corners),
                                                             .weights = b->engine->layer[dw->layer].weights,
                                                             .bias = b->engine->layer[dw->layer].bias,
                                                             .relu = true,
                                                             .dilation = dw->dilation};
    add_conv(b, index, low, mid, (fs_map){0}, step->out, true, &b->engine->ffm);
    b->nodes->node[b->nodes->count - 1].p.conv.in2 = skip;
}

// ---- Fused routes ----

// A route that was just built is kept when a kernel takes each of its nodes; else its nodes are dropped. When
// measuring, and without an engine's device, all are kept: they take no memory.
static void close_route(builder *b, int step, int first_node) {
    for (int i = first_node; i < b->nodes->count; i++) {
        fs_launch launch;
        fs_node probe = b->nodes->node[i];
        if (probe.family == FS_FAMILY_STEM_DS) probe.p.stem_ds.stem.pixel = probe.p.stem_ds.stem.channels;
        if (fs_node_launch(&probe, b->engine->device.sm, 0, &launch)) continue;
        b->nodes->count = first_node;
        return;
    }
    b->nodes->routes[step]++;
}

static fs_fused_pw fused_pw(const builder *b, const fs_op *op, bool relu) {
    const fs_cuda_layer *layer = &b->engine->layer[op->layer];
    return (fs_fused_pw){layer->weights, layer->bias, b->graph->tensor[op->out].c, relu};
}

static fs_fused_dw fused_dw(const builder *b, const fs_op *op, bool relu) {
    const fs_cuda_layer *layer = &b->engine->layer[op->layer];
    return (fs_fused_dw){layer->weights, layer->bias, relu, op->stride};
}

static const fs_op *nth_conv(const builder *b, const fs_step *step, int n) {
    for (int i = 0; i < step->ops; i++) {
        const fs_op *op = op_of(&b->plan->program, step, i);
        if (op->layer >= 0 && n-- == 0) return op;
    }
    return NULL;
}

// The tensor behind the ReLU of a convolution.
static int relu_of(const builder *b, const fs_step *step, const fs_op *conv) {
    for (int i = 0; i < step->ops; i++) {
        const fs_op *op = op_of(&b->plan->program, step, i);
        if (op->kind == FS_OP_RELU && op->in[0] == conv->out) return op->out;
    }
    return conv->out;
}

static fs_map scratch_map(builder *b, int like) {
    const fs_tensor *t = &b->graph->tensor[like];
    const fs_placement *place = &b->plan->place[like];
    return (fs_map){scratch(b, place->bytes), t->h, t->w, t->c, place->channel_stride};
}

static void begin_route(builder *b) {
    b->scratch_used = 0; // one route at a time
}

static void add_dsconv(builder *b, int index, const fs_op *dw, const fs_op *pw, const fs_op *last, fs_map in,
                       fs_map out) {
    fs_dsconv_params *p = &add(b, FS_FAMILY_DSCONV, index)->p.dsconv;
    p->in = in, p->out = out;
    p->dw = fused_dw(b, dw, b->graph->model.dsconv_mid_relu);
    p->pw = fused_pw(b, pw, true);
    if (last) p->last = fused_pw(b, last, false);
}

static void add_fused_dsconv(builder *b, int index, const fs_step *step) {
    begin_route(b);
    const int first = b->nodes->count;
    const fs_op *dw = nth_conv(b, step, 0), *pw = nth_conv(b, step, 1);
    add_dsconv(b, index, dw, pw, NULL, map_of(b, dw->in[0]), map_of(b, step->out));
    close_route(b, index, first);
}

// The frame to the 1/4-size map in one kernel, what is left of the step in another or layer by layer.
static void add_fused_ltd(builder *b, int index, const fs_step *step, bool pair) {
    begin_route(b);
    const int first = b->nodes->count;
    const fs_op *stem = nth_conv(b, step, 0), *dw = nth_conv(b, step, 1), *pw = nth_conv(b, step, 2);
    const fs_op *next_dw = nth_conv(b, step, 3), *next_pw = nth_conv(b, step, 4);
    if (pair && next_dw == NULL) return;
    const fs_tensor *half = &b->graph->tensor[stem->out];
    const int quarter = relu_of(b, step, pw);
    if (quarter != step->out) b->inner[quarter] = scratch(b, b->plan->place[quarter].bytes);
    fs_stem_ds_params *p = &add(b, FS_FAMILY_STEM_DS, index)->p.stem_ds;
    p->stem = stem_params(b, stem, (fs_map){NULL, half->h, half->w, half->c, half->c});
    p->dw = fused_dw(b, dw, b->graph->model.dsconv_mid_relu);
    p->pw = fused_pw(b, pw, true);
    p->out = map_of(b, quarter);
    int rest = 0;
    while (rest < step->ops && op_of(&b->plan->program, step, rest)->out != quarter) rest++;
    if (pair)
        add_dsconv(b, index, next_dw, next_pw, NULL, map_of(b, quarter), map_of(b, step->out));
    else
        add_layers(b, index, step, rest + 1);
    close_route(b, index, first);
}

static void add_fused_bottleneck(builder *b, int index, const fs_step *step) {
    const fs_op *expand = nth_conv(b, step, 0), *dw = nth_conv(b, step, 1), *project = nth_conv(b, step, 2);
    const fs_op *end = op_of(&b->plan->program, step, step->ops - 1);
    const fs_map in = map_of(b, expand->in[0]), out = map_of(b, step->out);
    const fs_map residual = end->kind == FS_OP_ADD ? in : (fs_map){0};
    begin_route(b);
    int first = b->nodes->count;
    add(b, FS_FAMILY_BOTTLENECK, index)->p.bottleneck = (fs_bottleneck_params){
        in, fused_pw(b, expand, true), fused_dw(b, dw, true), fused_pw(b, project, false), residual, out};
    close_route(b, index, first);

    // Expand and depthwise, a projection behind: for small maps, where the expanded channels are what there is to
    // spread over the GPU.
    begin_route(b);
    first = b->nodes->count;
    const fs_map mid = scratch_map(b, dw->out);
    add(b, FS_FAMILY_EXPAND_DW, index)->p.expand_dw =
        (fs_expand_dw_params){in, fused_pw(b, expand, true), fused_dw(b, dw, true), mid};
    add_conv(b, index, project, mid, residual, step->out, false, &b->engine->layer[project->layer]);
    close_route(b, index, first);
}

static void add_fused_classifier(builder *b, int index, const fs_step *step) {
    begin_route(b);
    const int first = b->nodes->count;
    const fs_op *op[5];
    for (int i = 0; i < 5; i++) op[i] = nth_conv(b, step, i);
    const fs_map between = scratch_map(b, op[1]->out);
    add_dsconv(b, index, op[0], op[1], NULL, map_of(b, op[0]->in[0]), between);
    add_dsconv(b, index, op[2], op[3], op[4], between, map_of(b, step->out));
    close_route(b, index, first);
}

static void add_fused_fusion(builder *b, int index, const fs_step *step) {
    begin_route(b);
    const int first = b->nodes->count;
    const fs_program *program = &b->plan->program;
    const fs_op *resize = op_of(program, step, 0), *dw = op_of(program, step, 1);
    const fs_map low = map_of(b, resize->in[0]), skip = map_of(b, op_of(program, step, 4)->in[0]);
    // The layers made the same tables just before.
    const fs_updw_params *layers = &b->nodes->node[first - 2].p.updw;
    add(b, FS_FAMILY_FUSION, index)->p.fusion =
        (fs_fusion_params){.low = low,
                           .skip = skip,
                           .out = map_of(b, step->out),
                           .tap_y = layers->tap_y,
                           .tap_x = layers->tap_x,
                           .dw = fused_dw(b, dw, true),
                           .dilation = dw->dilation,
                           .pw = {b->engine->ffm.weights, b->engine->ffm.bias, 128, true}};
    close_route(b, index, first);
}

// The pyramid before a 1x1 output convolution: the cells are finished in one kernel, and the output's GEMM takes on
// their resized grids.
static void add_fused_pyramid(builder *b, int index, const fs_step *step) {
    begin_route(b);
    const int first = b->nodes->count;
    const fs_cuda_engine *e = b->engine;
    const fs_map in = map_of(b, op_of(&b->plan->program, step, 0)->in[0]);
    float *partial = scratch(b, fs_pyramid_partial_floats(in.h, in.w, in.c) * sizeof(float));
    float *cells = scratch(b, sizeof(float[FS_K_CELLS][128]));
    add(b, FS_FAMILY_PYRAMID_POOL, index)->p.pyramid_pool = (fs_pyramid_pool_params){.in = in, .partial = partial};
    add(b, FS_FAMILY_PYRAMID_FOLD, index)->p.pyramid_fold =
        (fs_pyramid_fold_params){partial, in.h, in.w, e->ppm_weight, e->ppm_bias, e->ppm_slice, cells};
    add(b, FS_FAMILY_PYRAMID_OUT, index)->p.pyramid_out =
        (fs_pyramid_out_params){.in = in,
                                .out = map_of(b, step->out),
                                .pw = {e->ppm_main.weights, e->ppm_main.bias, b->graph->tensor[step->out].c, true},
                                .cells = cells,
                                .tap_y = pyramid_taps(b, in.h, b->graph->model.align_ppm),
                                .tap_x = pyramid_taps(b, in.w, b->graph->model.align_ppm)};
    close_route(b, index, first);
}

static void add_fused(builder *b, int index, const fs_step *step) {
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

static void add_labels(builder *b, int index, const fs_op *resize) {
    const fs_map logits = map_of(b, resize->in[0]);
    const int height = b->graph->height, width = b->graph->width;
    const bool align = resize->align_corners;
    b->nodes->labels = b->nodes->count;
    add(b, FS_FAMILY_LABELS, index)->p.labels = (fs_head_params){.logits = logits,
                                                                 .tap_y = taps(b, logits.h, height, align),
                                                                 .tap_x = taps(b, logits.w, width, align),
                                                                 .first_y = cell_starts(b, logits.h, height, align),
                                                                 .first_x = cell_starts(b, logits.w, width, align),
                                                                 .height = height,
                                                                 .width = width};
}

static void add_op(builder *b, int index, const fs_step *step) {
    const fs_op *op = op_of(&b->plan->program, step, 0);
    const fs_map in = map_of(b, op->in[0]), out = map_of(b, op->out);
    switch (op->kind) {
    case FS_OP_CONV:
    case FS_OP_DWCONV: add_group(b, index, step, 0, step->ops); break;
    case FS_OP_NORMALISE: {
        fs_normalise_params *p = &add(b, FS_FAMILY_NORMALISE, index)->p.normalise;
        p->out = out;
        memcpy(p->mean, b->graph->model.mean, sizeof p->mean);
        memcpy(p->std, b->graph->model.std, sizeof p->std);
        break;
    }
    case FS_OP_RELU:
        add(b, FS_FAMILY_ELTWISE, index)->p.eltwise = (fs_eltwise_params){.a = in, .out = out, .relu = 1};
        break;
    case FS_OP_ADD:
        add(b, FS_FAMILY_ELTWISE, index)->p.eltwise =
            (fs_eltwise_params){.a = in, .b = map_of(b, op->in[1]), .out = out};
        break;
    case FS_OP_POOL:
        add(b, FS_FAMILY_POOL, index)->p.pool = (fs_pool_params){.in = in, .out = out, .bins = op->bins};
        break;
    case FS_OP_RESIZE: {
        fs_node *n = add(b, FS_FAMILY_RESIZE, index);
        if (is_logit(b, op->out)) n->type = FS_K_F32;
        n->p.resize = (fs_resize_params){.in = in,
                                         .out = out,
                                         .tap_y = taps(b, in.h, out.h, op->align_corners),
                                         .tap_x = taps(b, in.w, out.w, op->align_corners)};
        break;
    }
    case FS_OP_CONCAT: {
        fs_concat_params *p = &add(b, FS_FAMILY_CONCAT, index)->p.concat;
        p->out = out, p->inputs = op->inputs;
        for (int i = 0; i < op->inputs; i++) p->in[i] = map_of(b, op->in[i]);
        break;
    }
    case FS_OP_ARGMAX:
        b->nodes->labels = b->nodes->count;
        add(b, FS_FAMILY_ARGMAX, index)->p.argmax.in = in;
        break;
    case FS_OP_KINDS: break;
    }
}

// Full-size logits from the 1/8-size ones, for those who ask for them.
static void add_planes(builder *b) {
    const fs_map logits = map_of(b, b->graph->logits);
    const bool align = b->graph->model.align_final;
    b->nodes->planes = b->nodes->count;
    fs_node *n = add(b, FS_FAMILY_PLANES, b->plan->program.steps - 1);
    n->route = FS_EVERY_ROUTE;
    n->p.planes = (fs_head_planes_params){.logits = logits,
                                          .tap_y = taps(b, logits.h, b->graph->height, align),
                                          .tap_x = taps(b, logits.w, b->graph->width, align),
                                          .height = b->graph->height,
                                          .width = b->graph->width,
                                          .mode = FS_K_LOGITS};
}

int fs_steps_first_route(const fs_nodes *nodes, const fs_plan *plan, int processors, int step) {
    enum { TILE = 8 * 8 };
    const fs_step *s = &plan->program.step[step];
    const fs_tensor *out = &plan->program.graph.tensor[s->out];
    const bool few_tiles = out->h * out->w / TILE < processors / 2;
    const int last = nodes->routes[step] - 1;
    return s->kind == FS_STEP_BOTTLENECK && last > 1 && !few_tiles ? 1 : last;
}

size_t fs_steps_arena(const fs_plan *plan) {
    return round_up(plan->arena_bytes);
}

fs_status fs_steps_build(fs_nodes *nodes, const fs_cuda_engine *engine, const fs_plan *plan, char *base, char *tables) {
    const size_t measured = nodes->scratch;
    memset(nodes, 0, sizeof *nodes);
    builder b = {.nodes = nodes,
                 .engine = engine,
                 .plan = plan,
                 .graph = &plan->program.graph,
                 .base = base,
                 .tables = tables,
                 .scratch_at = fs_steps_arena(plan),
                 .table_at = fs_steps_arena(plan) + measured};
    nodes->frame = 0;
    add(&b, FS_FAMILY_FRAME, 0)->route = FS_EVERY_ROUTE;
    for (int i = 0; i < plan->program.steps; i++) {
        const fs_step *step = &plan->program.step[i];
        const bool half = engine->type == FS_K_F16; // what fused kernels are for
        b.scratch_used = 0;
        switch (step->kind) {
        case FS_STEP_OP: add_op(&b, i, step); break;
        case FS_STEP_CONV: add_group(&b, i, step, 0, step->ops); break;
        case FS_STEP_STEM: add_stem(&b, i, step, step->out); break;
        case FS_STEP_PPM: add_pyramid(&b, i, step); break;
        case FS_STEP_FFM: add_fusion(&b, i, step); break;
        case FS_STEP_HEAD: add_labels(&b, i, op_of(&plan->program, step, 0)); break;
        case FS_STEP_DSCONV:
        case FS_STEP_LTD:
        case FS_STEP_BOTTLENECK:
        case FS_STEP_CLASSIFIER: add_layers(&b, i, step, 0); break;
        case FS_STEP_KINDS: return fs_fail(FS_ERR_INTERNAL, "the CUDA backend cannot run step '%s'", step->name);
        }
        nodes->routes[i] = 1;
        if (half) add_fused(&b, i, step);
    }
    add_planes(&b);
    for (int i = 0; i < plan->program.steps; i++) fs_nodes_take(nodes, i, 0);
    return FS_OK;
}
