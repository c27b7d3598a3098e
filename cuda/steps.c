// Turns fused steps into nodes: which the kernels take, by which routes, and what is built for each.
#include "cuda/steps.h"

#include <string.h>

#include "cuda/builder.h"

enum { PYRAMID_OPS = 19, FUSION_OPS = 7 };

// ---- What is supported ----

// A convolution, then at most one add, then at most one ReLU.
static bool is_conv_step(const fs_program *program, const fs_step *step) {
    const fs_op_kind first = fs_step_op(program, step, 0)->kind;
    int next = 1;
    if (first != FS_OP_CONV && first != FS_OP_DWCONV) return false;
    if (next < step->ops && first == FS_OP_CONV && fs_step_op(program, step, next)->kind == FS_OP_ADD) next++;
    if (next < step->ops && fs_step_op(program, step, next)->kind == FS_OP_RELU) next++;
    return next == step->ops;
}

bool fs_steps_supports(const fs_program *program, const fs_step *step) {
    switch (step->kind) {
    case FS_STEP_OP: return true;
    case FS_STEP_CONV: return is_conv_step(program, step);
    case FS_STEP_STEM: return step->ops == FS_STEM_OPS;
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
    for (int i = 0; i < step->ops; i++) layers += fs_step_op(program, step, i)->layer >= 0;
    return layers;
}

// Tiles of 8 x 8 outputs for less than half of the GPU's multiprocessors.
static bool is_small(const fs_tensor *out, int processors) {
    enum { TILE = 8 * 8 };
    return out->h * out->w / TILE < processors / 2;
}

// Of a bottleneck by its first route.
static int bottleneck_launches(const fs_program *program, const fs_step *step, int sm, int processors) {
    const fs_graph *g = &program->graph;
    const fs_tensor *in = &g->tensor[step->in[0]], *out = &g->tensor[step->out];
    int stride = 1;
    for (int i = 0; i < step->ops; i++)
        if (fs_step_op(program, step, i)->kind == FS_OP_DWCONV) stride = fs_step_op(program, step, i)->stride;
    fs_bottleneck_split_params p = {
        .block = {.in = {NULL, in->h, in->w, in->c, in->c},
                  .expand = {.n = g->tensor[fs_step_op(program, step, 0)->out].c, .relu = true},
                  .dw = {.relu = true, .stride = stride},
                  .project = {.n = out->c},
                  .out = {NULL, out->h, out->w, out->c, out->c}}};
    p.splits = fs_bottleneck_splits(p.block.expand.n, &p.block.out, processors);
    fs_launch launch;
    const bool one = is_small(out, processors) ? fs_launch_bottleneck_split(&p, sm, 0, &launch)
                                               : fs_launch_bottleneck(&p.block, sm, 0, &launch);
    return one ? 1 : 2; // else: expansion and depthwise, projection
}

int fs_steps_launches(const fs_program *program, const fs_step *step, fs_precision precision,
                      const fs_roofline *machine) {
    const bool fused = precision == FS_FP16;
    if (machine == NULL || machine->sm == 0) machine = fs_roofline_find("h100");
    switch (step->kind) {
    case FS_STEP_PPM: // partial sums, folded cells, output; else: partial sums, cells, branches, up, convolution
        return fused && fs_step_op(program, step, PYRAMID_OPS - 2)->kernel == 1 ? 3 : 5;
    case FS_STEP_FFM: return fused ? 1 : 2; // else: upsample and depthwise, one GEMM over both branches
    case FS_STEP_BOTTLENECK:
        if (fused) return bottleneck_launches(program, step, machine->sm, machine->processors);
        return layers_of(program, step);
    case FS_STEP_DSCONV: return fused ? 1 : layers_of(program, step);
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

int fs_nodes_launches(const fs_nodes *nodes, int step) {
    int launches = 0;
    for (int i = 0; i < nodes->count; i++)
        launches += nodes->node[i].step == step && nodes->node[i].route != FS_EVERY_ROUTE && fs_nodes_active(nodes, i);
    return launches;
}

void fs_nodes_take(fs_nodes *nodes, int step, int route) {
    nodes->route[step] = route;
    for (int i = 0; i < nodes->count; i++)
        if (fs_nodes_reads(&nodes->node[i]) && fs_nodes_active(nodes, i)) nodes->reader = i;
}

int fs_steps_first_route(const fs_nodes *nodes, const fs_plan *plan, int processors, int step) {
    const fs_step *s = &plan->program.step[step];
    const int last = nodes->routes[step] - 1;
    const bool whole = s->kind == FS_STEP_BOTTLENECK && !is_small(&plan->program.graph.tensor[s->out], processors);
    return whole && last > 1 ? 1 : last;
}

// ---- Building ----

// The taps of the four pyramid grids to one axis of the map, one grid after the other.
static const fs_k_tap *pyramid_taps(fs_builder *b, int out, bool align) {
    static const int bins[4] = {1, 2, 3, 6};
    const void *device;
    fs_k_tap *host = fs_build_table(b, 4 * (size_t)out * sizeof *host, &device);
    for (int i = 0; i < 4 && host; i++) fs_fill_taps(host + (size_t)i * (size_t)out, bins[i], out, align);
    return device;
}

static const int *cell_starts(fs_builder *b, int in, int out, bool align) {
    const void *device;
    int *host = fs_build_table(b, ((size_t)in + 1) * sizeof *host, &device);
    if (host) fs_fill_starts(host, in, out, align);
    return device;
}

// Pools and branches work on 50 cells. A 1x1 output convolution commutes with the resize, so its slices are applied to
// the cells and the map takes on the sum of the four resized grids; before a 3x3 one the concat is made.
static void add_pyramid(fs_builder *b, int index, const fs_step *step) {
    const fs_program *program = &b->plan->program;
    const fs_op *out = fs_step_op(program, step, PYRAMID_OPS - 2);
    const fs_map in = fs_build_map(b, fs_step_op(program, step, 0)->in[0]);
    const bool folded = b->engine->ppm_slice != NULL;
    const size_t pixels = (size_t)in.h * (size_t)in.w;
    float *partial = fs_build_scratch(b, fs_pyramid_partial_floats(in.h, in.w, in.c) * sizeof(float));
    float *cells = fs_build_scratch(b, sizeof(float[FS_K_CELLS][128])),
          *branch = fs_build_scratch(b, sizeof(float[FS_K_CELLS][128]));
    const int up_channels = folded ? 128 : 256;
    const fs_map up = {fs_build_scratch(b, pixels * (size_t)up_channels * fs_build_element_bytes(b)), in.h, in.w,
                       up_channels, up_channels};

    for (int stage = 0; stage < 2; stage++)
        fs_build_node(b, FS_FAMILY_PYRAMID_POOL, index)->p.pyramid_pool =
            (fs_pyramid_pool_params){in, partial, cells, stage};
    fs_build_node(b, FS_FAMILY_PYRAMID_BRANCH, index)->p.branch =
        (fs_pyramid_branch_params){cells, b->engine->ppm_weight, b->engine->ppm_bias, b->engine->ppm_slice, branch};
    b->tap_y = pyramid_taps(b, in.h, b->graph->model.align_ppm);
    b->tap_x = pyramid_taps(b, in.w, b->graph->model.align_ppm);
    fs_build_node(b, FS_FAMILY_PYRAMID_UP, index)->p.up = (fs_pyramid_up_params){
        .cells = branch, .folded = folded, .in = in, .out = up, .tap_y = b->tap_y, .tap_x = b->tap_x};
    if (folded)
        fs_build_conv(b, index, out, in, up, step->out, true, &b->engine->ppm_main);
    else
        fs_build_conv(b, index, out, up, (fs_map){0}, step->out, true, &b->engine->layer[out->layer]);
}

static void add_fusion(fs_builder *b, int index, const fs_step *step) {
    const fs_program *program = &b->plan->program;
    const fs_op *resize = fs_step_op(program, step, 0), *dw = fs_step_op(program, step, 1);
    const fs_op *low = fs_step_op(program, step, 3), *high = fs_step_op(program, step, 4);
    const fs_map skip = fs_build_map(b, high->in[0]);
    const size_t pixels = (size_t)skip.h * (size_t)skip.w;
    const fs_map mid = {fs_build_scratch(b, pixels * 128 * fs_build_element_bytes(b)), skip.h, skip.w, 128, 128};
    const fs_map in = fs_build_map(b, resize->in[0]);
    b->tap_y = fs_build_taps(b, in.h, skip.h, resize->align_corners);
    b->tap_x = fs_build_taps(b, in.w, skip.w, resize->align_corners);
    fs_build_node(b, FS_FAMILY_UPDW, index)->p.updw = (fs_updw_params){.in = in,
                                                                       .out = mid,
                                                                       .tap_y = b->tap_y,
                                                                       .tap_x = b->tap_x,
                                                                       .weights = b->engine->layer[dw->layer].weights,
                                                                       .bias = b->engine->layer[dw->layer].bias,
                                                                       .relu = true,
                                                                       .dilation = dw->dilation};
    fs_build_conv(b, index, low, mid, (fs_map){0}, step->out, true, &b->engine->ffm);
    b->nodes->node[b->nodes->count - 1].p.conv.in2 = skip;
}

static void add_labels(fs_builder *b, int index, const fs_op *resize) {
    const fs_map logits = fs_build_map(b, resize->in[0]);
    const int height = b->graph->height, width = b->graph->width;
    const bool align = resize->align_corners;
    b->nodes->labels = b->nodes->count;
    fs_build_node(b, FS_FAMILY_LABELS, index)->p.labels =
        (fs_head_params){.logits = logits,
                         .tap_y = fs_build_taps(b, logits.h, height, align),
                         .tap_x = fs_build_taps(b, logits.w, width, align),
                         .first_y = cell_starts(b, logits.h, height, align),
                         .first_x = cell_starts(b, logits.w, width, align),
                         .height = height,
                         .width = width};
}

static void add_op(fs_builder *b, int index, const fs_step *step) {
    const fs_op *op = fs_step_op(&b->plan->program, step, 0);
    const fs_map in = fs_build_map(b, op->in[0]), out = fs_build_map(b, op->out);
    switch (op->kind) {
    case FS_OP_CONV:
    case FS_OP_DWCONV: fs_build_group(b, index, step, 0, step->ops); break;
    case FS_OP_NORMALISE: {
        fs_normalise_params *p = &fs_build_node(b, FS_FAMILY_NORMALISE, index)->p.normalise;
        p->out = out;
        memcpy(p->mean, b->graph->model.mean, sizeof p->mean);
        memcpy(p->std, b->graph->model.std, sizeof p->std);
        break;
    }
    case FS_OP_RELU:
        fs_build_node(b, FS_FAMILY_ELTWISE, index)->p.eltwise = (fs_eltwise_params){.a = in, .out = out, .relu = 1};
        break;
    case FS_OP_ADD:
        fs_build_node(b, FS_FAMILY_ELTWISE, index)->p.eltwise =
            (fs_eltwise_params){.a = in, .b = fs_build_map(b, op->in[1]), .out = out};
        break;
    case FS_OP_POOL:
        fs_build_node(b, FS_FAMILY_POOL, index)->p.pool = (fs_pool_params){.in = in, .out = out, .bins = op->bins};
        break;
    case FS_OP_RESIZE: {
        fs_node *n = fs_build_node(b, FS_FAMILY_RESIZE, index);
        if (fs_build_is_logit(b, op->out)) n->type = FS_K_F32;
        n->p.resize = (fs_resize_params){.in = in,
                                         .out = out,
                                         .tap_y = fs_build_taps(b, in.h, out.h, op->align_corners),
                                         .tap_x = fs_build_taps(b, in.w, out.w, op->align_corners)};
        break;
    }
    case FS_OP_CONCAT: {
        fs_concat_params *p = &fs_build_node(b, FS_FAMILY_CONCAT, index)->p.concat;
        p->out = out, p->inputs = op->inputs;
        for (int i = 0; i < op->inputs; i++) p->in[i] = fs_build_map(b, op->in[i]);
        break;
    }
    case FS_OP_ARGMAX:
        b->nodes->labels = b->nodes->count;
        fs_build_node(b, FS_FAMILY_ARGMAX, index)->p.argmax.in = in;
        break;
    case FS_OP_KINDS: break;
    }
}

// What is made of the classes: drawn before the map is applied to them.
static void add_overlay(fs_builder *b) {
    b->nodes->overlay = b->nodes->count;
    fs_build_node(b, FS_FAMILY_OVERLAY, b->plan->program.steps - 1)->route = FS_EVERY_ROUTE;
}

static void add_tally(fs_builder *b) {
    const int classes = b->graph->model.classes;
    b->scratch_used = 0;
    uint32_t *partial = fs_build_scratch(b, FS_K_TALLY_BLOCKS * (size_t)classes * sizeof *partial);
    for (int stage = 0; stage < 2; stage++) {
        *(stage == 0 ? &b->nodes->tally : &b->nodes->total) = b->nodes->count;
        fs_node *n = fs_build_node(b, FS_FAMILY_TALLY, b->plan->program.steps - 1);
        n->route = FS_EVERY_ROUTE;
        n->p.tally = (fs_tally_params){.height = b->graph->height,
                                       .width = b->graph->width,
                                       .classes = classes,
                                       .stage = stage,
                                       .partial = partial};
    }
}

// Full-size logits from the 1/8-size ones, for those who ask for them.
static void add_planes(fs_builder *b) {
    const fs_map logits = fs_build_map(b, b->graph->logits);
    const bool align = b->graph->model.align_final;
    b->nodes->planes = b->nodes->count;
    fs_node *n = fs_build_node(b, FS_FAMILY_PLANES, b->plan->program.steps - 1);
    n->route = FS_EVERY_ROUTE;
    n->p.planes = (fs_head_planes_params){.logits = logits,
                                          .tap_y = fs_build_taps(b, logits.h, b->graph->height, align),
                                          .tap_x = fs_build_taps(b, logits.w, b->graph->width, align),
                                          .height = b->graph->height,
                                          .width = b->graph->width};
}

size_t fs_steps_arena(const fs_plan *plan) {
    return fs_build_round_up(plan->arena_bytes);
}

fs_status fs_steps_build(fs_nodes *nodes, const fs_cuda_engine *engine, const fs_plan *plan, char *base, char *tables) {
    const size_t measured = nodes->scratch;
    memset(nodes, 0, sizeof *nodes);
    fs_builder b = {.nodes = nodes,
                    .engine = engine,
                    .plan = plan,
                    .graph = &plan->program.graph,
                    .base = base,
                    .tables = tables,
                    .scratch_at = fs_steps_arena(plan),
                    .table_at = fs_steps_arena(plan) + measured};
    nodes->frame = 0;
    fs_build_node(&b, FS_FAMILY_FRAME, 0)->route = FS_EVERY_ROUTE;
    for (int i = 0; i < plan->program.steps; i++) {
        const fs_step *step = &plan->program.step[i];
        const bool half = engine->type == FS_K_F16; // what fused kernels are for
        b.scratch_used = 0;
        switch (step->kind) {
        case FS_STEP_OP: add_op(&b, i, step); break;
        case FS_STEP_CONV: fs_build_group(&b, i, step, 0, step->ops); break;
        case FS_STEP_PPM: add_pyramid(&b, i, step); break;
        case FS_STEP_FFM: add_fusion(&b, i, step); break;
        case FS_STEP_HEAD: add_labels(&b, i, fs_step_op(&plan->program, step, 0)); break;
        case FS_STEP_STEM:
        case FS_STEP_DSCONV:
        case FS_STEP_LTD:
        case FS_STEP_BOTTLENECK:
        case FS_STEP_CLASSIFIER: fs_build_layers(&b, i, step, 0); break;
        case FS_STEP_KINDS: return fs_fail(FS_ERR_INTERNAL, "the CUDA backend cannot run step '%s'", step->name);
        }
        nodes->routes[i] = 1;
        if (half) fs_build_routes(&b, i, step);
    }
    add_overlay(&b);
    add_tally(&b);
    add_planes(&b);
    for (int i = 0; i < plan->program.steps; i++) fs_nodes_take(nodes, i, 0);
    return b.status;
}
