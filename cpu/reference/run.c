// Runs the whole network through the reference operations, one at a time, each tensor freed after its last reader.
#include "cpu/reference/reference.h"

#include <string.h>

#include "runtime/base/mem.h"

static size_t tensor_count(const fs_tensor *t) {
    return (size_t)t->h * (size_t)t->w * (size_t)t->c;
}

static int last_reader(const fs_graph *graph, int tensor) {
    int last = -1;
    for (int i = 0; i < graph->ops; i++)
        for (int j = 0; j < graph->op[i].inputs; j++)
            if (graph->op[i].in[j] == tensor) last = i;
    return last;
}

static void run_op(const fs_graph *graph, const fs_weights *weights, const fs_op *op, void *const *tensor) {
    const fs_tensor *in = &graph->tensor[op->in[0]], *out = &graph->tensor[op->out];
    const fs_folded *layer = op->layer >= 0 ? &weights->layer[op->layer] : NULL;
    const void *source = tensor[op->in[0]];
    void *result = tensor[op->out];
    switch (op->kind) {
    case FS_OP_NORMALISE: fs_ref_normalise(source, in->h, in->w, &graph->model, result); break;
    case FS_OP_CONV: fs_ref_conv(source, in->h, in->w, in->c, op, layer, out->h, out->w, out->c, result); break;
    case FS_OP_DWCONV: fs_ref_dwconv(source, in->h, in->w, in->c, op, layer, out->h, out->w, result); break;
    case FS_OP_RELU: fs_ref_relu(source, tensor_count(out), result); break;
    case FS_OP_ADD: fs_ref_add(source, tensor[op->in[1]], tensor_count(out), result); break;
    case FS_OP_POOL: fs_ref_pool(source, in->h, in->w, in->c, op->bins, result); break;
    case FS_OP_RESIZE: fs_ref_resize(source, in->h, in->w, in->c, out->h, out->w, op->align_corners, result); break;
    case FS_OP_CONCAT: {
        const float *part[FS_MAX_INPUTS];
        int channels[FS_MAX_INPUTS];
        for (int i = 0; i < op->inputs; i++) part[i] = tensor[op->in[i]], channels[i] = graph->tensor[op->in[i]].c;
        fs_ref_concat(part, channels, op->inputs, (size_t)out->h * (size_t)out->w, result);
        break;
    }
    case FS_OP_ARGMAX: fs_ref_argmax(source, (size_t)in->h * (size_t)in->w, in->c, result); break;
    case FS_OP_KINDS: break;
    }
}

// [h][w][c] to [c][h][w].
static void planes(const float *in, size_t pixels, int c, float *out) {
    for (size_t p = 0; p < pixels; p++)
        for (int k = 0; k < c; k++) out[(size_t)k * pixels + p] = in[p * (size_t)c + (size_t)k];
}

fs_status fs_ref_run(const fs_graph *graph, const fs_weights *weights, const uint8_t *frame, uint8_t *labels,
                     float *logits, void **tensors) {
    void *tensor[FS_MAX_TENSORS] = {0};
    fs_status status = FS_OK;
    for (int i = -1; i < graph->ops && status == FS_OK; i++) {
        int out = i < 0 ? graph->frame : graph->op[i].out;
        const fs_tensor *t = &graph->tensor[out];
        bool bytes = t->element == FS_ELEMENT_FRAME || t->element == FS_ELEMENT_LABEL;
        size_t size = bytes ? 1 : sizeof(float);
        tensor[out] = fs_malloc(tensor_count(t), size);
        if (tensor[out] == NULL) {
            status = fs_fail(FS_ERR_MEMORY, "out of memory for tensor %s (%dx%dx%d) of the reference network", t->name,
                             t->h, t->w, t->c);
        } else if (i < 0) {
            memcpy(tensor[out], frame, tensor_count(t));
        } else {
            const fs_op *op = &graph->op[i];
            run_op(graph, weights, op, tensor);
            if (op->kind == FS_OP_ARGMAX) continue; // its input is still wanted as the frame-size logits
            for (int j = 0; j < op->inputs && tensors == NULL; j++)
                if (last_reader(graph, op->in[j]) == i) {
                    fs_free(tensor[op->in[j]]);
                    tensor[op->in[j]] = NULL;
                }
        }
    }
    if (status == FS_OK) {
        const fs_op *argmax = &graph->op[graph->ops - 1];
        const fs_tensor *scores = &graph->tensor[argmax->in[0]];
        size_t pixels = (size_t)scores->h * (size_t)scores->w;
        if (labels != NULL) memcpy(labels, tensor[graph->labels], pixels);
        if (logits != NULL) planes(tensor[argmax->in[0]], pixels, scores->c, logits);
    }
    if (status == FS_OK && tensors != NULL) {
        memcpy(tensors, tensor, (size_t)graph->tensors * sizeof tensor[0]);
    } else {
        for (int i = 0; i < graph->tensors; i++) fs_free(tensor[i]);
    }
    return status;
}
