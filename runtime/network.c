// Fast-SCNN written once as builder calls: the paper's network, its published variants being switches of fs_model.
#include "runtime/graph.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

const char *fs_op_kind_name(fs_op_kind kind) {
    static const char *const names[FS_OP_KINDS] = {"normalise", "conv",   "dwconv", "relu",  "add",
                                                   "pool",      "resize", "concat", "argmax"};
    return (unsigned)kind < FS_OP_KINDS ? names[kind] : "?";
}

void fs_resize_source(int d, int in, int out, bool align, int *lower, float *fraction) {
    double source = 0;
    if (align) {
        source = out > 1 ? (double)d * (in - 1) / (out - 1) : 0;
    } else {
        source = (d + 0.5) * in / out - 0.5;
        if (source < 0) source = 0;
    }
    int below = (int)source;
    if (below > in - 1) below = in - 1;
    *lower = below;
    *fraction = below < in - 1 ? (float)(source - below) : 0.0f;
}

void fs_pool_bin(int i, int bins, int n, int *begin, int *end) {
    *begin = (int)((long)i * n / bins);
    *end = (int)(((long)(i + 1) * n + bins - 1) / bins);
}

static int add_tensor(fs_graph *g, const char *name, int h, int w, int c, fs_element element) {
    fs_tensor *t = &g->tensor[g->tensors];
    snprintf(t->name, sizeof t->name, "%s", name);
    t->h = h, t->w = w, t->c = c, t->element = element;
    return g->tensors++;
}

static fs_op *add_op(fs_graph *g, fs_op_kind kind, fs_block block, const char *name, int h, int w, int c, int inputs,
                     ...) {
    fs_op *op = &g->op[g->ops++];
    memset(op, 0, sizeof *op);
    op->kind = kind, op->block = block, op->layer = -1, op->inputs = inputs;
    snprintf(op->name, sizeof op->name, "%s", name);
    va_list list;
    va_start(list, inputs);
    for (int i = 0; i < inputs; i++) op->in[i] = va_arg(list, int);
    va_end(list);
    op->out = add_tensor(g, name, h, w, c, kind == FS_OP_ARGMAX ? FS_ELEMENT_LABEL : FS_ELEMENT_ACTIVATION);
    return op;
}

static int relu(fs_graph *g, fs_block block, int in) {
    const fs_tensor *t = &g->tensor[in];
    char name[FS_NAME];
    snprintf(name, sizeof name, "%.*s.relu", FS_NAME - 6, t->name);
    return add_op(g, FS_OP_RELU, block, name, t->h, t->w, t->c, 1, in)->out;
}

// Convolution `layer` with padding dilation * (kernel / 2) on every side, (+ ReLU).
static int conv(fs_graph *g, fs_block block, int layer, int in, int stride, int dilation, bool act) {
    const fs_layer *l = &g->layers[layer];
    const fs_tensor *t = &g->tensor[in];
    int pad = dilation * (l->kernel / 2), reach = dilation * (l->kernel - 1) + 1;
    int h = (t->h + 2 * pad - reach) / stride + 1, w = (t->w + 2 * pad - reach) / stride + 1;
    fs_op *op = add_op(g, l->depthwise ? FS_OP_DWCONV : FS_OP_CONV, block, l->name, h, w, l->out_channels, 1, in);
    op->layer = layer, op->kernel = l->kernel, op->stride = stride, op->dilation = dilation;
    op->pad_top = op->pad_left = pad;
    return act ? relu(g, block, op->out) : op->out;
}

static int resize(fs_graph *g, fs_block block, const char *name, int in, int h, int w, bool align) {
    fs_op *op = add_op(g, FS_OP_RESIZE, block, name, h, w, g->tensor[in].c, 1, in);
    op->align_corners = align;
    return op->out;
}

// The stem's output length and leading pad along one axis of n pixels (kernel 3, stride 2).
static void stem_axis(fs_stem_pad pad, int n, int *out, int *lead) {
    switch (pad) {
    case FS_STEM_PAD_NONE: *out = (n - 3) / 2 + 1, *lead = 0; break;
    case FS_STEM_PAD_SAME: *out = (n + 1) / 2, *lead = n % 2; break; // even: 0 before and 1 behind; odd: 1 and 1
    default: *out = (n + 1) / 2, *lead = 1; break;
    }
}

static int stem(fs_graph *g, int frame) {
    const fs_model *m = &g->model;
    int normal =
        add_op(g, FS_OP_NORMALISE, FS_BLOCK_STEM, "normalise", g->height, g->width, m->channels, 1, frame)->out;
    int h, w, top, left;
    stem_axis(m->stem_pad, g->height, &h, &top);
    stem_axis(m->stem_pad, g->width, &w, &left);
    fs_op *op = add_op(g, FS_OP_CONV, FS_BLOCK_STEM, g->layers[FS_L_STEM].name, h, w, 32, 1, normal);
    op->layer = FS_L_STEM, op->kernel = 3, op->stride = 2, op->dilation = 1, op->pad_top = top, op->pad_left = left;
    return relu(g, FS_BLOCK_STEM, op->out);
}

static int dsconv(fs_graph *g, fs_block block, int dw, int in, int stride) {
    int mid = conv(g, block, dw, in, stride, 1, g->model.dsconv_mid_relu);
    return conv(g, block, dw + 1, mid, 1, 1, true);
}

static int bottleneck(fs_graph *g, int b, int r, int in, int stride) {
    fs_block block = (fs_block)(FS_BLOCK_BOTTLENECK + b * 3 + r);
    int wide = conv(g, block, FS_L_GFE_AT(b, r, 0), in, 1, 1, true);
    int mid = conv(g, block, FS_L_GFE_AT(b, r, 1), wide, stride, 1, true);
    int out = conv(g, block, FS_L_GFE_AT(b, r, 2), mid, 1, 1, false);
    if (r == 0) return out;
    const fs_tensor *t = &g->tensor[out];
    char name[FS_NAME];
    snprintf(name, sizeof name, "gfe.b%d.%d.add", b + 1, r);
    return add_op(g, FS_OP_ADD, block, name, t->h, t->w, t->c, 2, out, in)->out;
}

static int pyramid_pooling(fs_graph *g, int in) {
    static const int bins[4] = {1, 2, 3, 6};
    const fs_tensor t = g->tensor[in];
    int up[4];
    for (int i = 0; i < 4; i++) {
        char name[FS_NAME];
        snprintf(name, sizeof name, "ppm.%d.pool", bins[i]);
        fs_op *pool = add_op(g, FS_OP_POOL, FS_BLOCK_PPM, name, bins[i], bins[i], t.c, 1, in);
        pool->bins = bins[i];
        int branch = conv(g, FS_BLOCK_PPM, FS_L_PPM + i, pool->out, 1, 1, true);
        snprintf(name, sizeof name, "ppm.%d.resize", bins[i]);
        up[i] = resize(g, FS_BLOCK_PPM, name, branch, t.h, t.w, g->model.align_ppm);
    }
    int all =
        add_op(g, FS_OP_CONCAT, FS_BLOCK_PPM, "ppm.concat", t.h, t.w, 256, 5, in, up[0], up[1], up[2], up[3])->out;
    return conv(g, FS_BLOCK_PPM, FS_L_PPM_OUT, all, 1, 1, true);
}

static int feature_fusion(fs_graph *g, int low, int skip) {
    const fs_model *m = &g->model;
    const fs_tensor l = g->tensor[low], s = g->tensor[skip];
    int up = low;
    if (m->ffm_exact_x4) up = resize(g, FS_BLOCK_FFM, "ffm.x4", low, l.h * 4, l.w * 4, m->align_ffm);
    if (!m->ffm_exact_x4 || l.h * 4 != s.h || l.w * 4 != s.w)
        up = resize(g, FS_BLOCK_FFM, "ffm.resize", up, s.h, s.w, m->align_ffm);
    int mid = conv(g, FS_BLOCK_FFM, FS_L_FFM_LOW_DW, up, 1, m->ffm_dilation, true);
    int low_pw = conv(g, FS_BLOCK_FFM, FS_L_FFM_LOW_PW, mid, 1, 1, false);
    int high_pw = conv(g, FS_BLOCK_FFM, FS_L_FFM_HIGH_PW, skip, 1, 1, false);
    return relu(g, FS_BLOCK_FFM, add_op(g, FS_OP_ADD, FS_BLOCK_FFM, "ffm.add", s.h, s.w, 128, 2, low_pw, high_pw)->out);
}

fs_status fs_graph_build(fs_graph *g, const fs_model *model, int height, int width) {
    FS_TRY(fs_model_check(model));
    if (height < FS_MIN_SIZE || width < FS_MIN_SIZE || height > FS_MAX_SIZE || width > FS_MAX_SIZE)
        return fs_fail(FS_ERR_ARGUMENT,
                       "network size %dx%d (height x width) is outside %d..%d a side; resize the frame", height, width,
                       FS_MIN_SIZE, FS_MAX_SIZE);
    memset(g, 0, sizeof *g);
    g->model = *model, g->height = height, g->width = width;
    fs_model_layers(model, g->layers);

    // Sizes in comments are those of a 1024x2048 frame with padded stem.
    g->frame = add_tensor(g, "frame", height, width, model->channels, FS_ELEMENT_FRAME);
    int x = stem(g, g->frame);                              // 512 x 1024 x 32
    x = dsconv(g, FS_BLOCK_LTD_DS1, FS_L_LTD_DS1_DW, x, 2); // 256 x 512 x 48
    x = dsconv(g, FS_BLOCK_LTD_DS2, FS_L_LTD_DS2_DW, x, 2); // 128 x 256 x 64
    int skip = x;
    for (int b = 0; b < 3; b++) // 64 x 128 x 64, 32 x 64 x 96, 32 x 64 x 128
        for (int r = 0; r < 3; r++) x = bottleneck(g, b, r, x, r == 0 && b < 2 ? 2 : 1);
    x = pyramid_pooling(g, x);                                             // 32 x 64 x 128
    x = feature_fusion(g, x, skip);                                        // 128 x 256 x 128
    x = dsconv(g, FS_BLOCK_CLS_DS1, FS_L_CLS_DS1_DW, x, 1);                // 128 x 256 x 128
    x = dsconv(g, FS_BLOCK_CLS_DS2, FS_L_CLS_DS2_DW, x, 1);                // 128 x 256 x 128
    g->logits = conv(g, FS_BLOCK_CLS_CONV, FS_L_CLS_CONV, x, 1, 1, false); // 128 x 256 x classes
    g->tensor[g->logits].element = FS_ELEMENT_LOGIT;
    x = resize(g, FS_BLOCK_HEAD, "head.resize", g->logits, height, width, model->align_final);
    g->tensor[x].element = FS_ELEMENT_LOGIT;
    g->labels = add_op(g, FS_OP_ARGMAX, FS_BLOCK_HEAD, "head.argmax", height, width, 1, 1, x)->out;
    return FS_OK;
}

double fs_op_macs(const fs_graph *graph, const fs_op *op) {
    if (op->layer < 0) return 0;
    const fs_tensor *out = &graph->tensor[op->out];
    const fs_layer *layer = &graph->layers[op->layer];
    return (double)out->h * out->w * (double)fs_layer_weight_count(layer);
}
