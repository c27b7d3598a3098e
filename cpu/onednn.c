// The only file that knows oneDNN (v2 C API).
#include "cpu/onednn.h"

#ifdef FS_HAVE_ONEDNN

#include <dnnl.h>
#include <dnnl_debug.h>
#include <stdio.h>
#include <string.h>

#include "runtime/base/mem.h"

// Of libgomp, which this oneDNN runs on; declared here because <omp.h> belongs to the compiler, and clang's is of
// another OpenMP library.
int omp_get_max_threads(void);
void omp_set_num_threads(int threads);

enum { BANDS_MAX = 32, IMPLEMENTATION = 48, ARGS = 5 };

typedef struct band {
    int y0, y1;       // output rows
    int in0, in1;     // input rows
    int above, below; // rows of zeros beyond them
    char implementation[IMPLEMENTATION];
    dnnl_primitive_t primitive;
    dnnl_memory_t weights, bias, src, dst, scratchpad;
    bool owns_primitive, owns_weights; // else an earlier band of the layer does
    float *reordered;                  // what `weights` points to, when owned
    size_t scratch_bytes;
    dnnl_exec_arg_t arg[ARGS];
    int args;
    char *out;
    const char *residual; // copied to `out` first, so that the sum post-op adds it; NULL for none
    size_t out_bytes;
} band;

typedef struct layer {
    const char *name;
    const fs_op *conv;
    const fs_layer *shape;
    int in, out, residual; // tensors; residual -1 for none
    bool relu;
    int inputs, outputs; // channels in memory
    dnnl_data_type_t in_type, out_type;
    const float *weight, *bias;
    band *bands;
    int band_count;
} layer;

struct fs_onednn {
    const fs_plan *plan;
    dnnl_engine_t engine;
    dnnl_stream_t *streams; // by worker
    int workers;
    layer layers[FS_LAYERS];
    int layer_count;
    signed char layer_of[FS_MAX_OPS]; // by step, -1 for none
    band *bands;
    int band_count;
    float *padded; // classes rounded up to whole vectors
    char *scratch; // shared by all layers: only one runs at a time
    size_t bytes;
};

static fs_status failed(dnnl_status_t status, const char *what, const char *name) {
    return fs_fail(status == dnnl_out_of_memory ? FS_ERR_MEMORY : FS_ERR_BACKEND, "oneDNN cannot %s '%s': %s", what,
                   name, dnnl_status2str(status));
}

#define DNNL_TRY(call, what, name)                                                                                     \
    do {                                                                                                               \
        const dnnl_status_t dnnl_try_status_ = (call);                                                                 \
        if (dnnl_try_status_ != dnnl_success) return failed(dnnl_try_status_, what, name);                             \
    } while (0)

const char *fs_onednn_version(void) {
    static _Thread_local char text[32];
    const dnnl_version_t *v = dnnl_version();
    snprintf(text, sizeof text, "oneDNN %d.%d.%d", v->major, v->minor, v->patch);
    return text;
}

// A convolution (+ add) (+ relu): its parts.
static bool parse(const fs_graph *g, const fs_step *step, const fs_op **conv, int *residual, bool *relu) {
    const fs_op *first = &g->op[step->op[0]];
    if (first->kind != FS_OP_CONV && first->kind != FS_OP_DWCONV) return false;
    *conv = first, *residual = -1, *relu = false;
    int made = first->out;
    for (int i = 1; i < step->ops; i++) {
        const fs_op *op = &g->op[step->op[i]];
        if (op->kind == FS_OP_ADD && *residual < 0 && !*relu && (op->in[0] == made) != (op->in[1] == made))
            *residual = op->in[op->in[0] == made];
        else if (op->kind == FS_OP_RELU && !*relu && op->in[0] == made)
            *relu = true;
        else
            return false;
        made = op->out;
    }
    return true;
}

bool fs_onednn_takes(const fs_program *program, const fs_step *step) {
    const fs_op *conv;
    int residual;
    bool relu;
    return parse(&program->graph, step, &conv, &residual, &relu);
}

// oneDNN takes the number of threads from OpenMP's setting of the calling thread, when a primitive is made and again
// when it runs. Bands are single-threaded; the caller's setting is put back.
static int single_threaded(void) {
    const int before = omp_get_max_threads();
    omp_set_num_threads(1);
    return before;
}

static dnnl_status_t make_attributes(bool sum, bool relu, dnnl_primitive_attr_t *attr) {
    dnnl_post_ops_t ops = NULL;
    dnnl_status_t status = dnnl_primitive_attr_create(attr);
    if (status != dnnl_success) return status;
    status = dnnl_primitive_attr_set_scratchpad_mode(*attr, dnnl_scratchpad_mode_user);
    if (status == dnnl_success) status = dnnl_post_ops_create(&ops);
    if (status == dnnl_success && sum) status = dnnl_post_ops_append_sum(ops, 1.0f);
    if (status == dnnl_success && relu) status = dnnl_post_ops_append_eltwise(ops, 1.0f, dnnl_eltwise_relu, 0, 0);
    if (status == dnnl_success) status = dnnl_primitive_attr_set_post_ops(*attr, ops);
    if (ops) dnnl_post_ops_destroy(ops);
    if (status != dnnl_success) dnnl_primitive_attr_destroy(*attr);
    return status;
}

static dnnl_memory_desc_t nhwc(int h, int w, int c, dnnl_data_type_t type) {
    dnnl_memory_desc_t md;
    dnnl_memory_desc_init_by_tag(&md, 4, (dnnl_dims_t){1, c, h, w}, type, dnnl_nhwc);
    return md;
}

// Weights of a layer, in our order (output channel fastest) or in whichever oneDNN likes.
static dnnl_memory_desc_t weights_md(const layer *l, dnnl_data_type_t type, bool any) {
    dnnl_memory_desc_t md;
    const int k = l->shape->kernel;
    if (l->shape->depthwise)
        dnnl_memory_desc_init_by_tag(&md, 5, (dnnl_dims_t){l->outputs, 1, 1, k, k}, type,
                                     any ? dnnl_format_tag_any : dnnl_hwigo);
    else
        dnnl_memory_desc_init_by_tag(&md, 4, (dnnl_dims_t){l->outputs, l->inputs, k, k}, type,
                                     any ? dnnl_format_tag_any : dnnl_hwio);
    return md;
}

static dnnl_status_t describe(const fs_onednn *d, const layer *l, const band *b, dnnl_primitive_desc_t *pd) {
    const fs_graph *g = &d->plan->program.graph;
    const fs_op *op = l->conv;
    const int in_w = g->tensor[l->in].w, out_w = g->tensor[l->out].w;
    const dnnl_memory_desc_t src = nhwc(b->in1 - b->in0, in_w, l->inputs, l->in_type);
    const dnnl_memory_desc_t dst = nhwc(b->y1 - b->y0, out_w, l->outputs, l->out_type);
    const dnnl_memory_desc_t weights = weights_md(l, l->in_type, true);
    dnnl_memory_desc_t bias;
    dnnl_memory_desc_init_by_tag(&bias, 1, (dnnl_dims_t){l->outputs}, dnnl_f32, dnnl_x);
    const int reach = (op->kernel - 1) * op->dilation + 1;
    int right = (out_w - 1) * op->stride - op->pad_left + reach - in_w;
    if (right < 0) right = 0; // a last column that no window reaches
    dnnl_convolution_desc_t desc;
    dnnl_status_t status = dnnl_dilated_convolution_forward_desc_init(
        &desc, dnnl_forward_inference, dnnl_convolution_direct, &src, &weights, &bias, &dst,
        (dnnl_dims_t){op->stride, op->stride}, (dnnl_dims_t){op->dilation - 1, op->dilation - 1},
        (dnnl_dims_t){b->above, op->pad_left}, (dnnl_dims_t){b->below, right});
    if (status != dnnl_success) return status;
    dnnl_primitive_attr_t attr;
    status = make_attributes(l->residual >= 0, l->relu, &attr);
    if (status != dnnl_success) return status;
    status = dnnl_primitive_desc_create(pd, &desc, attr, d->engine, NULL);
    dnnl_primitive_attr_destroy(attr);
    return status;
}

static fs_status reorder_weights(fs_onednn *d, const layer *l, band *b, const dnnl_memory_desc_t *wanted) {
    const size_t bytes = dnnl_memory_desc_get_size(wanted);
    b->reordered = fs_malloc(1, bytes);
    if (b->reordered == NULL) return fs_fail(FS_ERR_MEMORY, "out of memory for the weights of '%s'", l->name);
    d->bytes += bytes, b->owns_weights = true;
    DNNL_TRY(dnnl_memory_create(&b->weights, wanted, d->engine, b->reordered), "hold the weights of", l->name);
    const dnnl_memory_desc_t plain = weights_md(l, dnnl_f32, false);
    dnnl_memory_t from = NULL;
    dnnl_primitive_desc_t pd = NULL;
    dnnl_primitive_t reorder = NULL;
    dnnl_status_t status = dnnl_memory_create(&from, &plain, d->engine, (void *)l->weight);
    if (status == dnnl_success)
        status = dnnl_reorder_primitive_desc_create(&pd, &plain, d->engine, wanted, d->engine, NULL);
    if (status == dnnl_success) status = dnnl_primitive_create(&reorder, pd);
    const dnnl_exec_arg_t args[2] = {{DNNL_ARG_FROM, from}, {DNNL_ARG_TO, b->weights}};
    if (status == dnnl_success) status = dnnl_primitive_execute(reorder, d->streams[0], 2, args);
    if (status == dnnl_success) status = dnnl_stream_wait(d->streams[0]);
    if (reorder) dnnl_primitive_destroy(reorder);
    if (pd) dnnl_primitive_desc_destroy(pd);
    if (from) dnnl_memory_destroy(from);
    return status == dnnl_success ? FS_OK : failed(status, "reorder the weights of", l->name);
}

// The primitive of a band and the weights in its order, both shared with earlier bands of the layer where they fit.
static fs_status make_primitive(fs_onednn *d, layer *l, int index) {
    band *b = &l->bands[index];
    for (int i = 0; i < index; i++) {
        const band *twin = &l->bands[i];
        if (twin->y1 - twin->y0 != b->y1 - b->y0 || twin->above != b->above || twin->below != b->below) continue;
        memcpy(b->implementation, twin->implementation, sizeof b->implementation);
        b->primitive = twin->primitive, b->weights = twin->weights, b->scratch_bytes = twin->scratch_bytes;
        return FS_OK;
    }
    dnnl_primitive_desc_t pd;
    DNNL_TRY(describe(d, l, b, &pd), "run", l->name);
    const char *name = NULL;
    dnnl_primitive_desc_query(pd, dnnl_query_impl_info_str, 0, &name);
    snprintf(b->implementation, sizeof b->implementation, "%s", name ? name : "?");
    b->scratch_bytes = dnnl_memory_desc_get_size(dnnl_primitive_desc_query_md(pd, dnnl_query_scratchpad_md, 0));
    const dnnl_memory_desc_t wanted = *dnnl_primitive_desc_query_md(pd, dnnl_query_weights_md, 0);
    const dnnl_status_t status = dnnl_primitive_create(&b->primitive, pd);
    dnnl_primitive_desc_destroy(pd);
    if (status != dnnl_success) return failed(status, "make a primitive for", l->name);
    b->owns_primitive = true;
    for (int i = 0; i < index; i++) {
        if (!l->bands[i].owns_weights) continue;
        const dnnl_memory_desc_t *have;
        dnnl_memory_get_memory_desc(l->bands[i].weights, &have);
        if (!dnnl_memory_desc_equal(have, &wanted)) continue;
        b->weights = l->bands[i].weights;
        return FS_OK;
    }
    return reorder_weights(d, l, b, &wanted);
}

static char *row_of(const fs_plan *plan, char *arena, int tensor, int y) {
    const fs_placement *p = &plan->place[tensor];
    return arena + p->offset + (size_t)y * (p->bytes / (size_t)plan->program.graph.tensor[tensor].h);
}

// Memory objects of a band, all pointing to where its data will be for the session's whole life.
static fs_status bind(fs_onednn *d, const layer *l, band *b, char *arena, char *scratch) {
    const fs_graph *g = &d->plan->program.graph;
    const dnnl_memory_desc_t src = nhwc(b->in1 - b->in0, g->tensor[l->in].w, l->inputs, l->in_type);
    const dnnl_memory_desc_t dst = nhwc(b->y1 - b->y0, g->tensor[l->out].w, l->outputs, l->out_type);
    b->out = row_of(d->plan, arena, l->out, b->y0);
    b->out_bytes = dnnl_memory_desc_get_size(&dst);
    if (l->residual >= 0) b->residual = row_of(d->plan, arena, l->residual, b->y0);
    dnnl_memory_desc_t bias;
    dnnl_memory_desc_init_by_tag(&bias, 1, (dnnl_dims_t){l->outputs}, dnnl_f32, dnnl_x);
    DNNL_TRY(dnnl_memory_create(&b->src, &src, d->engine, row_of(d->plan, arena, l->in, b->in0)), "hold the input of",
             l->name);
    DNNL_TRY(dnnl_memory_create(&b->dst, &dst, d->engine, b->out), "hold the output of", l->name);
    DNNL_TRY(dnnl_memory_create(&b->bias, &bias, d->engine, (void *)l->bias), "hold the bias of", l->name);
    const dnnl_exec_arg_t args[] = {
        {DNNL_ARG_SRC, b->src}, {DNNL_ARG_WEIGHTS, b->weights}, {DNNL_ARG_BIAS, b->bias}, {DNNL_ARG_DST, b->dst}};
    memcpy(b->arg, args, sizeof args);
    b->args = 4;
    if (b->scratch_bytes == 0) return FS_OK;
    const_dnnl_primitive_desc_t pd;
    DNNL_TRY(dnnl_primitive_get_primitive_desc(b->primitive, &pd), "describe", l->name);
    DNNL_TRY(dnnl_memory_create(&b->scratchpad, dnnl_primitive_desc_query_md(pd, dnnl_query_scratchpad_md, 0),
                                d->engine, scratch),
             "hold the scratchpad of", l->name);
    b->arg[b->args++] = (dnnl_exec_arg_t){DNNL_ARG_SCRATCHPAD, b->scratchpad};
    return FS_OK;
}

// Rows a band, from the layer's shape alone and never from the number of threads: oneDNN may add up bands of another
// height in another order, and the bits must be the same on every machine of a kind. About 60 us of one core each.
static int band_rows(const fs_plan *plan, const layer *l) {
    const fs_graph *g = &plan->program.graph;
    const fs_tensor *out = &g->tensor[l->out];
    const double bytes = (double)(plan->place[l->in].bytes + plan->place[l->out].bytes);
    const double compute = 2 * fs_op_macs(g, l->conv) / 60e9, memory = bytes / 12e9;
    double bands = (compute > memory ? compute : memory) / 60e-6;
    if (bands > BANDS_MAX) bands = BANDS_MAX;
    if (bands < 1) bands = 1;
    int rows = (int)((double)out->h / bands);
    if (rows < l->conv->dilation) rows = l->conv->dilation;
    return rows < out->h ? rows : out->h;
}

static int bands_of(const fs_plan *plan, const layer *l) {
    const int h = plan->program.graph.tensor[l->out].h, rows = band_rows(plan, l);
    return (h + rows - 1) / rows;
}

static void cut(const fs_plan *plan, layer *l) {
    const fs_op *op = l->conv;
    const int h = plan->program.graph.tensor[l->out].h, in_h = plan->program.graph.tensor[l->in].h,
              rows = band_rows(plan, l);
    for (int i = 0; i < l->band_count; i++) {
        band *b = &l->bands[i];
        b->y0 = i * rows, b->y1 = b->y0 + rows < h ? b->y0 + rows : h;
        const int top = b->y0 * op->stride - op->pad_top;
        const int bottom = (b->y1 - 1) * op->stride - op->pad_top + (op->kernel - 1) * op->dilation + 1;
        b->in0 = top > 0 ? top : 0, b->in1 = bottom < in_h ? bottom : in_h;
        b->above = b->in0 - top, b->below = bottom - b->in1;
    }
}

static dnnl_data_type_t type_of(const fs_plan *plan, int tensor) {
    return plan->precision == FS_BF16 && plan->program.graph.tensor[tensor].element == FS_ELEMENT_ACTIVATION ? dnnl_bf16
                                                                                                             : dnnl_f32;
}

// Only the last layer has channels that do not fill whole vectors: its weights and bias are padded with zeros.
static fs_status pad_outputs(fs_onednn *d, layer *l) {
    const size_t rows = (size_t)l->inputs * (size_t)l->shape->kernel * (size_t)l->shape->kernel;
    const size_t from = (size_t)l->shape->out_channels, to = (size_t)l->outputs;
    d->padded = fs_calloc((rows + 1) * to, sizeof(float));
    if (d->padded == NULL) return fs_fail(FS_ERR_MEMORY, "out of memory for the weights of '%s'", l->name);
    d->bytes += (rows + 1) * to * sizeof(float);
    for (size_t i = 0; i < rows; i++) memcpy(d->padded + i * to, l->weight + i * from, from * sizeof(float));
    memcpy(d->padded + rows * to, l->bias, from * sizeof(float));
    l->weight = d->padded, l->bias = d->padded + rows * to;
    return FS_OK;
}

static fs_status add_layer(fs_onednn *d, const fs_weights *weights, int index) {
    const fs_plan *plan = d->plan;
    const fs_graph *g = &plan->program.graph;
    const fs_step *step = &plan->program.step[index];
    layer *l = &d->layers[d->layer_count];
    d->layer_of[index] = -1;
    if (!parse(g, step, &l->conv, &l->residual, &l->relu)) return FS_OK;
    d->layer_of[index] = (signed char)d->layer_count++;
    l->name = step->name, l->in = l->conv->in[0], l->out = step->out;
    l->shape = &g->layers[l->conv->layer];
    l->weight = weights->layer[l->conv->layer].weight, l->bias = weights->layer[l->conv->layer].bias;
    l->inputs = plan->place[l->in].channel_stride, l->outputs = plan->place[l->out].channel_stride;
    l->in_type = type_of(plan, l->in), l->out_type = type_of(plan, l->out);
    if (l->inputs != l->shape->in_channels ||
        (l->residual >= 0 && plan->place[l->residual].bytes != plan->place[l->out].bytes))
        return fs_fail(FS_ERR_INTERNAL, "the maps around '%s' are laid out in a way that oneDNN cannot read", l->name);
    if (l->outputs != l->shape->out_channels) FS_TRY(pad_outputs(d, l));
    l->band_count = bands_of(plan, l);
    d->band_count += l->band_count;
    return FS_OK;
}

static fs_status prepare(fs_onednn *d, const fs_weights *weights, char *arena) {
    DNNL_TRY(dnnl_engine_create(&d->engine, dnnl_cpu, 0), "start", "the CPU engine");
    d->streams = fs_calloc((size_t)d->workers, sizeof *d->streams);
    if (d->streams == NULL) return fs_fail(FS_ERR_MEMORY, "out of memory for oneDNN streams");
    for (int i = 0; i < d->workers; i++)
        DNNL_TRY(dnnl_stream_create(&d->streams[i], d->engine, dnnl_stream_default_flags), "start", "a stream");
    for (int i = 0; i < d->plan->program.steps; i++) FS_TRY(add_layer(d, weights, i));
    d->bands = fs_calloc((size_t)d->band_count, sizeof *d->bands);
    if (d->bands == NULL) return fs_fail(FS_ERR_MEMORY, "out of memory for %d bands", d->band_count);
    d->bytes += sizeof *d + (size_t)d->band_count * sizeof *d->bands;

    size_t most = 0;
    int first = 0;
    for (int i = 0; i < d->layer_count; i++) {
        layer *l = &d->layers[i];
        l->bands = d->bands + first, first += l->band_count;
        cut(d->plan, l);
        size_t scratch = 0;
        for (int j = 0; j < l->band_count; j++) {
            FS_TRY(make_primitive(d, l, j));
            scratch += (l->bands[j].scratch_bytes + FS_ALIGNMENT - 1) / FS_ALIGNMENT * FS_ALIGNMENT;
        }
        if (scratch > most) most = scratch;
    }
    d->scratch = fs_malloc(1, most);
    if (d->scratch == NULL) return fs_fail(FS_ERR_MEMORY, "out of memory for %zu bytes of oneDNN scratchpads", most);
    d->bytes += most;
    for (int i = 0; i < d->layer_count; i++) {
        const layer *l = &d->layers[i];
        char *scratch = d->scratch;
        for (int j = 0; j < l->band_count; j++) {
            FS_TRY(bind(d, l, &l->bands[j], arena, scratch));
            scratch += (l->bands[j].scratch_bytes + FS_ALIGNMENT - 1) / FS_ALIGNMENT * FS_ALIGNMENT;
        }
    }
    return FS_OK;
}

fs_status fs_onednn_open(const fs_weights *weights, const fs_plan *plan, char *arena, int workers, fs_onednn **onednn) {
    fs_onednn *d = fs_calloc(1, sizeof *d);
    if (d == NULL) return fs_fail(FS_ERR_MEMORY, "out of memory for oneDNN layers");
    d->plan = plan, d->workers = workers;
    const int threads = single_threaded();
    const fs_status status = prepare(d, weights, arena);
    omp_set_num_threads(threads);
    if (status != FS_OK) {
        fs_onednn_close(d);
        return status;
    }
    *onednn = d;
    return FS_OK;
}

void fs_onednn_close(fs_onednn *d) {
    if (d == NULL) return;
    for (int i = 0; i < d->band_count && d->bands; i++) {
        band *b = &d->bands[i];
        dnnl_memory_t const memories[] = {b->src, b->dst, b->bias, b->scratchpad, b->owns_weights ? b->weights : NULL};
        for (size_t j = 0; j < sizeof memories / sizeof memories[0]; j++)
            if (memories[j]) dnnl_memory_destroy(memories[j]);
        if (b->owns_primitive) dnnl_primitive_destroy(b->primitive);
        fs_free(b->reordered);
    }
    for (int i = 0; i < d->workers && d->streams; i++)
        if (d->streams[i]) dnnl_stream_destroy(d->streams[i]);
    if (d->engine) dnnl_engine_destroy(d->engine);
    fs_free(d->streams);
    fs_free(d->bands);
    fs_free(d->padded);
    fs_free(d->scratch);
    fs_free(d);
}

size_t fs_onednn_bytes(const fs_onednn *d) {
    return d ? d->bytes : 0;
}

static const layer *layer_at(const fs_onednn *d, int step) {
    return &d->layers[(int)d->layer_of[step]];
}

int fs_onednn_bands(const fs_onednn *d, int step) {
    return layer_at(d, step)->band_count;
}

const char *fs_onednn_implementation(const fs_onednn *d, int step, int index) {
    return layer_at(d, step)->bands[index].implementation;
}

bool fs_onednn_run(const fs_onednn *d, int step, int index, int worker) {
    if (omp_get_max_threads() != 1) omp_set_num_threads(1); // the first band on this thread
    const band *b = &layer_at(d, step)->bands[index];
    if (b->residual) memcpy(b->out, b->residual, b->out_bytes);
    return dnnl_primitive_execute(b->primitive, d->streams[worker], b->args, b->arg) == dnnl_success &&
           dnnl_stream_wait(d->streams[worker]) == dnnl_success;
}

fs_status fs_onednn_check(fs_precision precision) {
    if (precision == FS_FP32) return FS_OK;
    // Whether a precision is there depends on the processor, and only trying tells.
    const dnnl_data_type_t type = precision == FS_BF16 ? dnnl_bf16 : dnnl_data_type_undef;
    const dnnl_memory_desc_t map = nhwc(8, 8, 32, dnnl_bf16);
    dnnl_memory_desc_t weights;
    dnnl_convolution_desc_t desc;
    dnnl_engine_t engine;
    DNNL_TRY(dnnl_engine_create(&engine, dnnl_cpu, 0), "start", "the CPU engine");
    dnnl_primitive_desc_t pd = NULL;
    dnnl_status_t status =
        dnnl_memory_desc_init_by_tag(&weights, 4, (dnnl_dims_t){32, 32, 1, 1}, type, dnnl_format_tag_any);
    if (status == dnnl_success)
        status = dnnl_convolution_forward_desc_init(&desc, dnnl_forward_inference, dnnl_convolution_direct, &map,
                                                    &weights, NULL, &map, (dnnl_dims_t){1, 1}, (dnnl_dims_t){0, 0},
                                                    (dnnl_dims_t){0, 0});
    if (status == dnnl_success) status = dnnl_primitive_desc_create(&pd, &desc, NULL, engine, NULL);
    if (pd) dnnl_primitive_desc_destroy(pd);
    dnnl_engine_destroy(engine);
    if (status == dnnl_success) return FS_OK;
    if (status == dnnl_out_of_memory) return failed(status, "try", fs_precision_name(precision));
    return fs_fail(FS_ERR_UNSUPPORTED,
                   "%s has no %s on this processor (it needs AVX-512); use fp32, or our own kernels",
                   fs_onednn_version(), fs_precision_name(precision));
}

#else

const char *fs_onednn_version(void) {
    return NULL;
}

fs_status fs_onednn_check(fs_precision precision) {
    (void)precision;
    return fs_fail(FS_ERR_UNSUPPORTED,
                   "this build has no oneDNN: use our own kernels, or install libdnnl-dev and build again");
}

bool fs_onednn_takes(const fs_program *program, const fs_step *step) {
    (void)program, (void)step;
    return false;
}

fs_status fs_onednn_open(const fs_weights *weights, const fs_plan *plan, char *arena, int workers, fs_onednn **onednn) {
    (void)weights, (void)plan, (void)arena, (void)workers, (void)onednn;
    return fs_onednn_check(FS_FP32);
}

void fs_onednn_close(fs_onednn *onednn) {
    (void)onednn;
}

size_t fs_onednn_bytes(const fs_onednn *onednn) {
    (void)onednn;
    return 0;
}

int fs_onednn_bands(const fs_onednn *onednn, int step) {
    (void)onednn, (void)step;
    return 0;
}

const char *fs_onednn_implementation(const fs_onednn *onednn, int step, int band) {
    (void)onednn, (void)step, (void)band;
    return "";
}

bool fs_onednn_run(const fs_onednn *onednn, int step, int band, int worker) {
    (void)onednn, (void)step, (void)band, (void)worker;
    return false;
}

#endif
