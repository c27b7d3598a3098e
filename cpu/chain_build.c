// Turns a step's operations into the stages of a chain.
#include <string.h>

#include "cpu/chain.h"
#include "runtime/base/mem.h"

typedef struct builder {
    fs_chain *chain;
    const fs_cpu_engine *engine; // NULL when only asking whether it can be built
    const fs_graph *graph;
    const fs_plan *plan;
    int stage_of[FS_MAX_TENSORS]; // tensor -> stage of this chain, -1 outside
    bool failed;
} builder;

static int stride_of(const builder *b, int tensor) {
    return b->plan ? b->plan->place[tensor].channel_stride : b->graph->tensor[tensor].c;
}

// Element type of a tensor in the arena: logits are always float.
static bool tensor_bf16(const builder *b, int tensor) {
    return b->engine && b->engine->precision == FS_BF16 && b->graph->tensor[tensor].element == FS_ELEMENT_ACTIVATION;
}

static fs_stage *add_stage(builder *b, fs_stage_kind kind, const fs_op *op) {
    if (b->chain->stages == FS_MAX_STAGES) {
        b->failed = true;
        return &b->chain->stage[0];
    }
    fs_stage *s = &b->chain->stage[b->chain->stages++];
    memset(s, 0, sizeof *s);
    const fs_tensor *t = &b->graph->tensor[op->out];
    s->kind = kind, s->op = (int)(op - b->graph->op), s->add = -1, s->ring = 1;
    s->h = t->h, s->w = t->w, s->c = t->c;
    s->stride_c = stride_of(b, op->out);
    s->bf16 = b->engine && b->engine->bf16_rows && t->element == FS_ELEMENT_ACTIVATION;
    b->stage_of[op->out] = b->chain->stages - 1;
    return s;
}

// Rows of `tensor`, through a LOAD stage when they need converting or padding.
static fs_source source_of(builder *b, int tensor, int pad_columns, bool bf16) {
    if (b->stage_of[tensor] >= 0) return (fs_source){b->stage_of[tensor], tensor};
    if (pad_columns == 0 && tensor_bf16(b, tensor) == bf16) return (fs_source){-1, tensor};
    // A LOAD for this tensor may exist already.
    for (int i = 0; i < b->chain->stages; i++) {
        const fs_stage *s = &b->chain->stage[i];
        if (s->kind == FS_STAGE_LOAD && s->source[0].tensor == tensor && s->pad_columns == pad_columns)
            return (fs_source){i, tensor};
    }
    const fs_tensor *t = &b->graph->tensor[tensor];
    if (b->chain->stages == FS_MAX_STAGES) {
        b->failed = true;
        return (fs_source){-1, tensor};
    }
    fs_stage *s = &b->chain->stage[b->chain->stages++];
    memset(s, 0, sizeof *s);
    s->kind = FS_STAGE_LOAD, s->op = -1, s->add = -1, s->ring = 4;
    s->source[s->sources++] = (fs_source){-1, tensor};
    s->h = t->h, s->w = t->w, s->c = t->c, s->stride_c = stride_of(b, tensor), s->bf16 = bf16,
    s->pad_columns = pad_columns;
    return (fs_source){b->chain->stages - 1, tensor};
}

static void add_input(builder *b, const fs_op *op, bool folded) {
    fs_stage *s = add_stage(b, FS_STAGE_INPUT, op);
    const fs_model *m = &b->graph->model;
    for (int c = 0; c < m->channels; c++) {
        s->scale[c] = folded ? 1.0f : (float)(1.0 / (255.0 * (double)m->std[c]));
        s->shift[c] = folded ? 0.0f : (float)(-(double)m->mean[c] / (double)m->std[c]);
        if (folded && b->engine) s->pad[c] = b->engine->stem_pad[c];
    }
    s->source[s->sources++] = (fs_source){-1, op->in[0]};
}

// Rows of `tensor` as u8: a depthwise that feeds nothing else writes them itself.
static fs_source quantised_source(builder *b, int tensor, fs_to_u8 how) {
    int readers = 0;
    for (int i = 0; i < b->graph->ops; i++)
        for (int j = 0; j < b->graph->op[i].inputs; j++) readers += b->graph->op[i].in[j] == tensor;
    const int made = b->stage_of[tensor];
    if (made >= 0 && b->chain->stage[made].kind == FS_STAGE_DEPTHWISE && readers == 1) {
        fs_stage *s = &b->chain->stage[made];
        s->u8 = true, s->bf16 = false, s->to_u8 = how;
        return (fs_source){made, tensor};
    }
    if (b->chain->stages == FS_MAX_STAGES) {
        b->failed = true;
        return (fs_source){-1, tensor};
    }
    fs_stage *s = &b->chain->stage[b->chain->stages++];
    const fs_tensor *t = &b->graph->tensor[tensor];
    memset(s, 0, sizeof *s);
    s->kind = FS_STAGE_QUANTISE, s->op = -1, s->add = -1, s->ring = 1;
    s->source[s->sources++] = (fs_source){made, tensor};
    s->h = t->h, s->w = t->w, s->c = t->c, s->stride_c = stride_of(b, tensor), s->u8 = true, s->to_u8 = how;
    return (fs_source){b->chain->stages - 1, tensor};
}

static void add_conv_int8(builder *b, const fs_op *op) {
    const fs_source from = quantised_source(b, op->in[0], fs_int8_input(b->engine->int8.input[op->layer]));
    fs_stage *s = add_stage(b, FS_STAGE_CONV, op);
    s->source[s->sources++] = from;
    s->kernel = s->stride = s->dilation = 1;
    s->dense_u8 = &b->engine->int8.layer[op->layer];
}

static void add_conv(builder *b, const fs_op *op) {
    if (b->engine && b->engine->int8.layer[op->layer].panels) {
        add_conv_int8(b, op);
        return;
    }
    const int pad = op->kernel / 2;
    const bool bf16 = b->engine && b->engine->bf16_rows;
    const fs_source from = source_of(b, op->in[0], pad, bf16);
    if (pad && from.stage >= 0) {
        fs_stage *source = &b->chain->stage[from.stage];
        if (source->kind != FS_STAGE_INPUT && source->kind != FS_STAGE_LOAD && source->kind != FS_STAGE_PPM_CONCAT)
            b->failed = true;
        source->pad_columns = 1, source->ring = 3;
    }
    fs_stage *s = add_stage(b, FS_STAGE_CONV, op);
    s->source[s->sources++] = from;
    s->kernel = op->kernel, s->stride = op->stride, s->dilation = op->dilation;
    s->pad_top = op->pad_top, s->pad_left = op->pad_left;
    if (!b->engine) return;
    const bool folded = from.stage >= 0 && b->chain->stage[from.stage].kind == FS_STAGE_INPUT;
    s->dense = folded ? &b->engine->stem_u8 : &b->engine->layer[op->layer].dense;
    if (folded && b->engine->int8.stem.panels) {
        fs_stage *input = &b->chain->stage[from.stage];
        input->u8 = true, input->bf16 = false;
        memcpy(input->pad_u8, b->engine->int8.stem_pad, sizeof input->pad_u8);
        s->dense_u8 = &b->engine->int8.stem;
    }
}

static void add_depthwise(builder *b, const fs_op *op) {
    const bool bf16 = b->engine && b->engine->bf16_rows;
    const fs_source from = source_of(b, op->in[0], 0, bf16);
    if (from.stage >= 0) {
        fs_stage *source = &b->chain->stage[from.stage];
        const int reach = 2 * op->dilation + 1;
        if (source->ring < reach) source->ring = reach;
    }
    fs_stage *s = add_stage(b, FS_STAGE_DEPTHWISE, op);
    s->source[s->sources++] = from;
    s->kernel = 3, s->stride = op->stride, s->dilation = op->dilation, s->pad_top = op->pad_top,
    s->pad_left = op->pad_left;
    if (b->engine) s->depthwise = b->engine->layer[op->layer].depthwise, s->bias = b->engine->layer[op->layer].bias;
}

static void add_resize(builder *b, const fs_op *op) {
    const fs_tensor *in = &b->graph->tensor[op->in[0]], *out = &b->graph->tensor[op->out];
    const bool rows_bf16 = b->engine && b->engine->bf16_rows && in->element == FS_ELEMENT_ACTIVATION;
    const fs_source from = source_of(b, op->in[0], 0, rows_bf16);
    if (from.stage >= 0 && b->chain->stage[from.stage].ring < 2) b->chain->stage[from.stage].ring = 2;
    fs_stage *s = add_stage(b, FS_STAGE_RESIZE, op);
    s->source[s->sources++] = from;
    s->in_h = in->h, s->in_w = in->w, s->align = op->align_corners;
    if (b->chain->taps) {
        fs_tap *taps = b->chain->taps;
        for (int i = 0; i < b->chain->stages - 1; i++)
            if (b->chain->stage[i].kind == FS_STAGE_RESIZE) taps += b->chain->stage[i].w;
        for (int x = 0; x < out->w; x++) {
            fs_resize_source(x, in->w, out->w, op->align_corners, &taps[x].lower, &taps[x].fraction);
            taps[x].upper = taps[x].lower + 1 < in->w ? taps[x].lower + 1 : in->w - 1;
        }
        s->taps_x = taps;
    }
}

// An add that follows a convolution joins it: as its residual, or, when both sides are pointwise convolutions of this
// chain, as one product over both inputs.
static void add_add(builder *b, const fs_op *op) {
    const int left = b->stage_of[op->in[0]], right = b->stage_of[op->in[1]];
    fs_stage *l = left >= 0 ? &b->chain->stage[left] : NULL, *r = right >= 0 ? &b->chain->stage[right] : NULL;
    const int last = b->chain->stages - 1;
    if (l && r && right == last && l->kind == FS_STAGE_CONV && r->kind == FS_STAGE_CONV && l->kernel == 1 &&
        r->kernel == 1 && !l->relu && !r->relu && b->graph->op[l->op].layer == FS_L_FFM_LOW_PW &&
        b->graph->op[r->op].layer == FS_L_FFM_HIGH_PW) {
        // The low stage becomes the product of both; what only the high one had (a LOAD) stays before it.
        const fs_source high = r->source[0];
        fs_stage both = *l;
        both.source[both.sources++] = high;
        if (b->engine) both.dense = &b->engine->ffm;
        if (both.dense_u8) both.dense_u8 = &b->engine->int8.ffm;
        // Remove the low stage, keep order: its place closes up, the merged stage is last.
        for (int i = left; i < last; i++) b->chain->stage[i] = b->chain->stage[i + 1];
        for (int i = left; i < last; i++)
            for (int j = 0; j < b->chain->stage[i].sources; j++)
                if (b->chain->stage[i].source[j].stage > left) b->chain->stage[i].source[j].stage--;
        for (int j = 0; j < both.sources; j++)
            if (both.source[j].stage > left) both.source[j].stage--;
        b->chain->stage[last - 1] = both;
        b->chain->stages--;
        b->stage_of[op->in[0]] = b->stage_of[op->in[1]] = -1;
        b->stage_of[op->out] = last - 1;
        return;
    }
    const bool bf16 = b->engine && b->engine->bf16_rows;
    const int conv = r && right == last && r->kind == FS_STAGE_CONV ? 1 : 0;
    fs_stage *c = conv ? r : l;
    if (c && (conv ? right : left) == last && c->kind == FS_STAGE_CONV && !c->relu && c->add < 0) {
        const int other = op->in[conv ? 0 : 1];
        const fs_source from = source_of(b, other, 0, bf16);
        if (b->chain->stages - 1 != last) { // a LOAD came after the convolution: swap, so that sources precede
            fs_stage load = b->chain->stage[last + 1];
            b->chain->stage[last + 1] = b->chain->stage[last];
            b->chain->stage[last] = load;
            c = &b->chain->stage[last + 1];
            c->add = c->sources, c->source[c->sources++] = (fs_source){last, other};
            b->stage_of[op->in[conv]] = last + 1;
            b->stage_of[op->out] = last + 1;
            return;
        }
        c->add = c->sources, c->source[c->sources++] = from;
        b->stage_of[op->out] = last;
        return;
    }
    const fs_source a = source_of(b, op->in[0], 0, bf16), d = source_of(b, op->in[1], 0, bf16);
    fs_stage *s = add_stage(b, FS_STAGE_ADD, op);
    s->source[0] = a, s->source[1] = d, s->sources = 2;
}

static void add_relu(builder *b, const fs_op *op) {
    const int from = b->stage_of[op->in[0]];
    if (from >= 0 && from == b->chain->stages - 1 &&
        (b->chain->stage[from].kind == FS_STAGE_CONV || b->chain->stage[from].kind == FS_STAGE_DEPTHWISE)) {
        b->chain->stage[from].relu = true;
        b->stage_of[op->out] = from;
        return;
    }
    const fs_source source = source_of(b, op->in[0], 0, b->engine && b->engine->bf16_rows);
    fs_stage *s = add_stage(b, FS_STAGE_RELU, op);
    s->source[s->sources++] = source;
}

static void add_concat(builder *b, const fs_op *op) {
    const bool bf16 = b->engine && b->engine->bf16_rows;
    fs_source from[FS_MAX_INPUTS];
    for (int i = 0; i < op->inputs; i++) from[i] = source_of(b, op->in[i], 0, bf16);
    fs_stage *s = add_stage(b, FS_STAGE_CONCAT, op);
    for (int i = 0; i < op->inputs; i++) s->source[s->sources++] = from[i];
}

// The whole pyramid: pools and branches run before the chain, what remains is the mix and the output convolution.
static void add_ppm(builder *b, const fs_step *step) {
    const fs_graph *g = b->graph;
    const fs_op *out = NULL, *concat = NULL;
    for (int i = 0; i < step->ops; i++) {
        const fs_op *op = &g->op[step->op[i]];
        if (op->kind == FS_OP_CONCAT) concat = op;
        if (op->layer == FS_L_PPM_OUT) out = op;
    }
    if (!out || !concat) {
        b->failed = true;
        return;
    }
    const bool slices = out->kernel == 1, bf16 = b->engine && b->engine->bf16_rows;
    const fs_source map = source_of(b, concat->in[0], 0, bf16);
    fs_stage *mix = add_stage(b, slices ? FS_STAGE_PPM_MIX : FS_STAGE_PPM_CONCAT, concat);
    if (slices)
        mix->c = mix->stride_c = 128;
    else
        mix->source[mix->sources++] = map;
    mix->align = g->model.align_ppm;
    if (b->chain->taps) {
        static const int bins[4] = {1, 2, 3, 6};
        mix->taps_x = b->chain->taps;
        for (int i = 0; i < 4; i++)
            for (int x = 0; x < mix->w; x++) {
                fs_tap *t = &b->chain->taps[i * mix->w + x];
                fs_resize_source(x, bins[i], mix->w, mix->align, &t->lower, &t->fraction);
                t->upper = t->lower + 1 < bins[i] ? t->lower + 1 : bins[i] - 1;
            }
    }
    if (!slices) {
        add_conv(b, out);
        b->chain->stage[b->chain->stages - 1].relu = true;
        return;
    }
    const int mix_at = b->chain->stages - 1;
    fs_stage *s = add_stage(b, FS_STAGE_CONV, out);
    s->source[0] = map, s->source[1] = (fs_source){mix_at, concat->out}, s->sources = 2, s->add = 1;
    s->kernel = s->stride = s->dilation = 1, s->relu = true;
    if (b->engine) s->dense = &b->engine->ppm_main;
}

static void build(builder *b, const fs_step *step) {
    for (int i = 0; i < FS_MAX_TENSORS; i++) b->stage_of[i] = -1;
    if (step->kind == FS_STEP_PPM) {
        add_ppm(b, step);
    } else {
        for (int i = 0; i < step->ops && !b->failed; i++) {
            const fs_op *op = &b->graph->op[step->op[i]];
            switch (op->kind) {
            case FS_OP_NORMALISE: add_input(b, op, step->ops > 1); break;
            case FS_OP_CONV: add_conv(b, op); break;
            case FS_OP_DWCONV: add_depthwise(b, op); break;
            case FS_OP_RELU: add_relu(b, op); break;
            case FS_OP_ADD: add_add(b, op); break;
            case FS_OP_RESIZE: add_resize(b, op); break;
            case FS_OP_CONCAT: add_concat(b, op); break;
            default: b->failed = true; break; // pools and argmax are no rows
            }
        }
    }
    b->chain->out = step->out;
}

// Rows that only a depthwise reads lie panel by panel, so that its taps stream through the first-level cache instead of
// hopping from pixel to pixel (measured: 1.7 times the speed at 768 channels). And they stay float in bf16 too: it
// computes in float anyway, so this saves the conversions of its nine taps and one rounding.
static void arrange_for_depthwise(fs_chain *c) {
    for (int i = 0; i < c->stages; i++) {
        fs_stage *s = &c->stage[i];
        int readers = 0, depthwise = 0;
        for (int j = 0; j < c->stages; j++)
            for (int k = 0; k < c->stage[j].sources; k++)
                if (c->stage[j].source[k].stage == i) readers++, depthwise += c->stage[j].kind == FS_STAGE_DEPTHWISE;
        if (readers == 1 && depthwise == 1 && (s->kind == FS_STAGE_CONV || s->kind == FS_STAGE_RESIZE) && s->add < 0)
            s->bf16 = false, s->panels = true;
    }
}

bool fs_chain_supports(const fs_program *program, const fs_step *step) {
    fs_chain chain = {0};
    builder b = {.chain = &chain, .graph = &program->graph};
    build(&b, step);
    return !b.failed;
}

fs_status fs_chain_build(fs_chain *chain, const fs_cpu_engine *engine, const fs_plan *plan, const fs_step *step,
                         bool *supported) {
    memset(chain, 0, sizeof *chain);
    const fs_graph *g = &plan->program.graph;
    chain->engine = engine, chain->plan = plan;
    *supported = fs_chain_supports(&plan->program, step);
    if (!*supported) return FS_OK;
    size_t taps = 0;
    for (int i = 0; i < step->ops; i++) {
        const fs_op *op = &g->op[step->op[i]];
        if (step->kind == FS_STEP_PPM && op->kind == FS_OP_CONCAT)
            taps += 4 * (size_t)g->tensor[op->out].w;
        else if (step->kind != FS_STEP_PPM && op->kind == FS_OP_RESIZE)
            taps += (size_t)g->tensor[op->out].w;
    }
    if (taps) {
        chain->taps = fs_calloc(taps, sizeof *chain->taps);
        if (chain->taps == NULL) return fs_fail(FS_ERR_MEMORY, "out of memory for resize positions");
    }
    builder b = {.chain = chain, .engine = engine, .graph = g, .plan = plan};
    build(&b, step);
    if (b.failed) return fs_fail(FS_ERR_INTERNAL, "step '%s' has too many stages for a chain", step->name);
    arrange_for_depthwise(chain);
    chain->rows = g->tensor[step->out].h, chain->columns = g->tensor[step->out].w;
    return FS_OK;
}

void fs_chain_free(fs_chain *chain) {
    fs_free(chain->taps);
    chain->taps = NULL;
}
