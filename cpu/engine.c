// Packs folded weights for the kernels: panels of 16 output channels, float or bf16 pairs, in one block.
#include "cpu/engine.h"

#include <string.h>

#include "cpu/onednn.h"
#include "runtime/base/mem.h"

static int round16(int n) {
    return (n + FS_PANEL - 1) / FS_PANEL * FS_PANEL;
}

// Packing runs twice: once with block == NULL to measure, once to write.
typedef struct packer {
    char *block;
    size_t used;
} packer;

static void *take(packer *p, size_t bytes) {
    void *at = p->block ? p->block + p->used : NULL;
    p->used += (bytes + FS_ALIGNMENT - 1) / FS_ALIGNMENT * FS_ALIGNMENT;
    return at;
}

static uint16_t bf16_of(float x) { // round to nearest even; weights are finite
    uint32_t u;
    memcpy(&u, &x, 4);
    return (uint16_t)((u + (u >> 16 & 1) + 0x7fff) >> 16);
}

static float through_bf16(float x) {
    uint32_t u = (uint32_t)bf16_of(x) << 16;
    memcpy(&x, &u, 4);
    return x;
}

// Floats; floats of bf16 value; bf16 pairs.
typedef enum pack_as { PACK_FLOAT, PACK_ROUNDED, PACK_PAIRS } pack_as;

// A part of a weight matrix: rows inputs of stride `outputs`. Groups of `group` rows are followed by `gap` rows of
// zeros, which keeps every window row of a bf16 convolution even.
typedef struct pack_source {
    const float *weight;
    int rows, group, gap;
    bool rest; // pairs of what rounding the weights to bf16 leaves over
} pack_source;

static fs_packed pack(packer *p, const pack_source *source, int sources, int outputs, const float *bias, pack_as as) {
    fs_packed packed = {.n = round16(outputs)};
    for (int s = 0; s < sources; s++) packed.k += source[s].rows + source[s].rows / source[s].group * source[s].gap;
    float *to_bias = take(p, (size_t)packed.n * sizeof(float));
    char *to = take(p, (size_t)packed.n * (size_t)packed.k * (as == PACK_PAIRS ? 2 : 4));
    packed.panels = to, packed.bias = to_bias;
    if (p->block == NULL) return packed;
    for (int n = 0; n < outputs && bias; n++) to_bias[n] = bias[n];
    int k = 0;
    for (int s = 0; s < sources; s++)
        for (int row = 0; row < source[s].rows; row++) {
            for (int n = 0; n < outputs; n++) {
                float w = source[s].weight[(size_t)row * (size_t)outputs + (size_t)n];
                if (source[s].rest) w -= through_bf16(w);
                const size_t panel = (size_t)(n / FS_PANEL) * (size_t)packed.k * FS_PANEL,
                             lane = (size_t)(n % FS_PANEL);
                if (as == PACK_PAIRS)
                    ((uint16_t *)to)[panel + (size_t)(k / 2) * FS_PANEL * 2 + lane * 2 + (size_t)(k % 2)] = bf16_of(w);
                else
                    ((float *)to)[panel + (size_t)k * FS_PANEL + lane] = as == PACK_ROUNDED ? through_bf16(w) : w;
            }
            k++;
            if ((row + 1) % source[s].group == 0) k += source[s].gap;
        }
    return packed;
}

static void pack_all(fs_cpu_engine *e, const fs_weights *w, const float *stem_folded, const float *stem_bias,
                     packer *p) {
    fs_layer layers[FS_LAYERS];
    fs_model_layers(&e->model, layers);
    const pack_as as = e->bf16_rows ? PACK_PAIRS : e->precision == FS_BF16 ? PACK_ROUNDED : PACK_FLOAT;
    for (int i = 0; i < FS_LAYERS; i++) {
        const fs_layer *l = &layers[i];
        if (l->depthwise) {
            float *to = take(p, (size_t)(9 * l->out_channels) * sizeof(float)),
                  *bias = take(p, (size_t)l->out_channels * sizeof(float));
            if (p->block) {
                memcpy(to, w->layer[i].weight, (size_t)(9 * l->out_channels) * sizeof(float));
                memcpy(bias, w->layer[i].bias, (size_t)l->out_channels * sizeof(float));
            }
            e->layer[i].depthwise = to, e->layer[i].bias = bias;
            continue;
        }
        const int row = l->kernel * l->in_channels; // one row of the window
        const pack_source source = {w->layer[i].weight, l->kernel * row, row, as == PACK_PAIRS ? row % 2 : 0, false};
        e->layer[i].dense = pack(p, &source, 1, l->out_channels, w->layer[i].bias, as);
    }
    const int row = 3 * e->model.channels;
    const int gap = as == PACK_PAIRS ? row % 2 : 0;
    // The stem keeps its weights' precision, in bf16 as a sum of two: its error would spread through everything behind
    // it (measured: half of the whole network's), and u8 inputs are exact in bf16.
    const pack_source stem[2] = {{stem_folded, 3 * row, row, gap, false}, {stem_folded, 3 * row, row, gap, true}};
    e->stem_u8 = pack(p, stem, as == PACK_PAIRS ? 2 : 1, 32, stem_bias, as == PACK_PAIRS ? PACK_PAIRS : PACK_FLOAT);

    float bias[128];
    for (int n = 0; n < 128; n++) bias[n] = w->layer[FS_L_FFM_LOW_PW].bias[n] + w->layer[FS_L_FFM_HIGH_PW].bias[n];
    const pack_source ffm[2] = {{w->layer[FS_L_FFM_LOW_PW].weight, 128, 128, 0, false},
                                {w->layer[FS_L_FFM_HIGH_PW].weight, 64, 64, 0, false}};
    e->ffm = pack(p, ffm, 2, 128, bias, as);

    for (int i = 0; i < 4; i++) {
        const pack_source branch = {w->layer[FS_L_PPM + i].weight, 128, 128, 0, false};
        e->ppm_branch[i] = pack(p, &branch, 1, 32, w->layer[FS_L_PPM + i].bias, PACK_FLOAT);
    }
    if (e->model.ppm_out_kernel == 1) {
        const fs_folded *out = &w->layer[FS_L_PPM_OUT];
        const pack_source main_part = {out->weight, 128, 128, 0, false};
        e->ppm_main = pack(p, &main_part, 1, 128, out->bias, as);
        for (int i = 0; i < 4; i++) {
            const pack_source slice = {out->weight + (size_t)(128 + 32 * i) * 128, 32, 32, 0, false};
            e->ppm_slice[i] = pack(p, &slice, 1, 128, NULL, PACK_FLOAT);
        }
    }
}

// (u / 255 - mean) / std into the stem: w' = w / (255 std), b' = b - sum of w mean / std over every tap. A padded tap
// is zero after normalisation, so the u8 rows are padded with 255 mean.
static void fold_stem(const fs_weights *weights, float folded[9 * 4 * 32], float bias[32], float pad[4]) {
    const fs_model *m = &weights->model;
    const fs_folded *stem = &weights->layer[FS_L_STEM];
    for (int n = 0; n < 32; n++) {
        double b = stem->bias[n];
        for (int t = 0; t < 9; t++)
            for (int c = 0; c < m->channels; c++) {
                const int at = (t * m->channels + c) * 32 + n;
                const double std = m->std[c];
                folded[at] = (float)(stem->weight[at] / (255.0 * std));
                b -= (double)folded[at] * 255.0 * m->mean[c];
            }
        bias[n] = (float)b;
    }
    for (int c = 0; c < m->channels; c++) pad[c] = 255.0f * m->mean[c];
}

fs_status fs_cpu_engine_open_with(const fs_weights *weights, fs_precision precision, const fs_kernels *kernels,
                                  fs_cpu_engine **engine) {
    fs_cpu_engine *e = fs_calloc(1, sizeof *e);
    if (e == NULL) return fs_fail(FS_ERR_MEMORY, "out of memory for the engine");
    e->kernels = kernels;
    e->precision = precision;
    e->bf16_rows = precision == FS_BF16 && e->kernels->bf16_dot;
    e->model = weights->model;

    float folded[9 * 4 * 32], bias[32];
    fold_stem(weights, folded, bias, e->stem_pad);

    packer measure = {NULL, 0};
    pack_all(e, weights, folded, bias, &measure);
    e->bytes = measure.used;
    e->block = fs_calloc(1, measure.used);
    if (e->block == NULL) {
        fs_free(e);
        return fs_fail(FS_ERR_MEMORY, "out of memory for %zu bytes of packed weights", measure.used);
    }
    packer write = {e->block, 0};
    pack_all(e, weights, folded, bias, &write);
    *engine = e;
    return FS_OK;
}

fs_status fs_cpu_engine_open(const fs_weights *weights, fs_precision precision, const char *limit,
                             fs_cpu_engine **engine) {
    return fs_cpu_engine_open_with(weights, precision, fs_kernels_select(limit), engine);
}

fs_status fs_cpu_engine_add_int8(fs_cpu_engine *e, const fs_weights *weights) {
    float folded[9 * 4 * 32], bias[32], pad[4] = {0};
    fold_stem(weights, folded, bias, pad);
    FS_TRY(fs_int8_pack(weights, folded, bias, pad, &e->int8));
    e->bytes += e->int8.bytes;
    return FS_OK;
}

fs_status fs_cpu_engine_add_onednn(fs_cpu_engine *e, const fs_weights *weights) {
    FS_TRY(fs_onednn_check(e->precision));
    FS_TRY(fs_weights_alloc(&e->plain, &e->model));
    fs_layer layers[FS_LAYERS];
    fs_model_layers(&e->model, layers);
    for (int i = 0; i < FS_LAYERS; i++) {
        const size_t count = (size_t)fs_layer_weight_count(&layers[i]), outputs = (size_t)layers[i].out_channels;
        memcpy(e->plain.layer[i].weight, weights->layer[i].weight, count * sizeof(float));
        memcpy(e->plain.layer[i].bias, weights->layer[i].bias, outputs * sizeof(float));
        e->bytes += (count + outputs) * sizeof(float);
    }
    return FS_OK;
}

void fs_cpu_engine_close(fs_cpu_engine *engine) {
    if (engine == NULL) return;
    fs_weights_free(&engine->plain);
    fs_int8_free(&engine->int8);
    fs_free(engine->block);
    fs_free(engine);
}
