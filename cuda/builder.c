// Builds the nodes of a step layer by layer, and gives them their memory and tables.
#include "cuda/builder.h"

#include <string.h>

enum { ALIGN = 256 };

size_t fs_build_round_up(size_t bytes) {
    return (bytes + ALIGN - 1) / ALIGN * ALIGN;
}

const fs_op *fs_step_op(const fs_program *program, const fs_step *step, int i) {
    return &program->graph.op[step->op[i]];
}

size_t fs_build_element_bytes(const fs_builder *b) {
    return b->engine->type == FS_K_F16 ? 2 : 4;
}

void *fs_build_scratch(fs_builder *b, size_t bytes) {
    void *at = b->base ? b->base + b->scratch_at + b->scratch_used : NULL;
    b->scratch_used += fs_build_round_up(bytes);
    if (b->nodes->scratch < b->scratch_used) b->nodes->scratch = b->scratch_used;
    return at;
}

void *fs_build_table(fs_builder *b, size_t bytes, const void **device) {
    *device = b->base ? b->base + b->table_at + b->nodes->tables : NULL;
    void *host = b->tables ? b->tables + b->nodes->tables : NULL;
    b->nodes->tables += fs_build_round_up(bytes);
    return host;
}

void fs_fill_taps(fs_k_tap *taps, int in, int out, bool align) {
    for (int d = 0; d < out; d++) {
        fs_resize_source(d, in, out, align, &taps[d].lower, &taps[d].fraction);
        taps[d].upper = taps[d].lower + 1 < in ? taps[d].lower + 1 : in - 1;
    }
}

void fs_fill_starts(int *first, int in, int out, bool align) {
    int next = 0;
    for (int d = 0; d < out; d++) {
        int lower;
        float fraction;
        fs_resize_source(d, in, out, align, &lower, &fraction);
        while (next <= lower) first[next++] = d;
    }
    while (next <= in) first[next++] = out;
}

const fs_k_tap *fs_build_taps(fs_builder *b, int in, int out, bool align) {
    const void *device;
    fs_k_tap *host = fs_build_table(b, (size_t)out * sizeof *host, &device);
    if (host) fs_fill_taps(host, in, out, align);
    return device;
}

fs_map fs_build_map(const fs_builder *b, int tensor) {
    const fs_tensor *t = &b->graph->tensor[tensor];
    const fs_placement *place = &b->plan->place[tensor];
    void *data = b->base ? b->base + place->offset : NULL;
    if (!place->used) data = b->inner[tensor];
    return (fs_map){data, t->h, t->w, t->c, place->channel_stride};
}

bool fs_build_is_logit(const fs_builder *b, int tensor) {
    return b->graph->tensor[tensor].element == FS_ELEMENT_LOGIT;
}

fs_node *fs_build_node(fs_builder *b, fs_family family, int step) {
    fs_node *n = &b->nodes->node[b->nodes->count++];
    memset(n, 0, sizeof *n);
    n->family = family, n->step = step, n->type = b->engine->type;
    n->route = b->nodes->routes[step]; // the route at hand is counted when it is complete
    return n;
}

void fs_build_conv(fs_builder *b, int step, const fs_op *op, fs_map in, fs_map residual, int out, bool relu,
                   const fs_cuda_layer *layer) {
    fs_node *n = fs_build_node(b, FS_FAMILY_CONV, step);
    n->bias_half = layer->bias_half;
    n->p.conv = (fs_conv_params){.in = in,
                                 .weights = layer->weights,
                                 .bias = layer->bias,
                                 .residual = residual,
                                 .out = fs_build_map(b, out),
                                 .out_f32 = n->type == FS_K_F16 && fs_build_is_logit(b, out),
                                 .relu = relu,
                                 .kernel = op->kernel,
                                 .stride = op->stride,
                                 .dilation = op->dilation,
                                 .pad_top = op->pad_top,
                                 .pad_left = op->pad_left};
}

// How many operations from `first` on make one kernel: a convolution with the add and the ReLU behind it.
static int group_ops(const fs_builder *b, const fs_step *step, int first) {
    int next = first + 1;
    while (next < step->ops) {
        const fs_op *op = fs_step_op(&b->plan->program, step, next),
                    *before = fs_step_op(&b->plan->program, step, next - 1);
        const bool follows = op->in[0] == before->out || (op->inputs > 1 && op->in[1] == before->out);
        if ((op->kind != FS_OP_ADD && op->kind != FS_OP_RELU) || !follows) break;
        next++;
    }
    return next - first;
}

void fs_build_group(fs_builder *b, int index, const fs_step *step, int first, int ops) {
    const fs_op *op = fs_step_op(&b->plan->program, step, first);
    const fs_cuda_layer *layer = &b->engine->layer[op->layer];
    bool relu = false;
    fs_map residual = {0};
    int made = op->out;
    for (int i = first + 1; i < first + ops; i++) {
        const fs_op *after = fs_step_op(&b->plan->program, step, i);
        relu |= after->kind == FS_OP_RELU;
        if (after->kind == FS_OP_ADD) residual = fs_build_map(b, after->in[after->in[0] == made]);
        made = after->out;
    }
    if (op->kind == FS_OP_CONV) {
        fs_build_conv(b, index, op, fs_build_map(b, op->in[0]), residual, made, relu, layer);
        return;
    }
    fs_build_node(b, FS_FAMILY_DW, index)->p.dw = (fs_dw_params){.in = fs_build_map(b, op->in[0]),
                                                                 .out = fs_build_map(b, made),
                                                                 .weights = layer->weights,
                                                                 .bias = layer->bias,
                                                                 .relu = relu,
                                                                 .stride = op->stride,
                                                                 .dilation = op->dilation,
                                                                 .pad_top = op->pad_top,
                                                                 .pad_left = op->pad_left};
}

fs_stem_params fs_build_stem_params(const fs_builder *b, const fs_op *conv, fs_map out) {
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

static void add_stem(fs_builder *b, int index, const fs_step *step, int out) {
    fs_build_node(b, FS_FAMILY_STEM, index)->p.stem =
        fs_build_stem_params(b, fs_step_op(&b->plan->program, step, 1), fs_build_map(b, out));
}

// A step layer by layer, from one of its operations on. Each map inside it is read by the next layer alone, so two
// places in turn are enough.
void fs_build_layers(fs_builder *b, int index, const fs_step *step, int begin) {
    const fs_program *program = &b->plan->program;
    int last[FS_MAX_STEP_OPS], groups = 0; // the last operation of each kernel
    size_t room[2] = {0, 0};
    for (int i = begin; i < step->ops; groups++) {
        i += fs_step_op(program, step, i)->kind == FS_OP_NORMALISE ? FS_STEM_OPS : group_ops(b, step, i);
        last[groups] = i - 1;
        const int made = fs_step_op(program, step, i - 1)->out;
        if (made != step->out && room[groups % 2] < b->plan->place[made].bytes)
            room[groups % 2] = b->plan->place[made].bytes;
    }
    void *const place[2] = {fs_build_scratch(b, room[0]), fs_build_scratch(b, room[1])};
    for (int g = 0, first = begin; g < groups; first = last[g++] + 1) {
        const int made = fs_step_op(program, step, last[g])->out;
        if (made != step->out) b->inner[made] = place[g % 2];
        if (fs_step_op(program, step, first)->kind == FS_OP_NORMALISE)
            add_stem(b, index, step, made);
        else
            fs_build_group(b, index, step, first, last[g] + 1 - first);
    }
}
