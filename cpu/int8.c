// Packs calibrated layers for gemm_u8: s8 panels with a scale for each output channel.
#include "cpu/int8.h"

#include <math.h>
#include <string.h>

#include "runtime/base/mem.h"

fs_to_u8 fs_int8_input(fs_quant input) {
    return (fs_to_u8){1.0f / input.scale, input.zero};
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

// One input of a product: its rows of the weight matrix.
typedef struct part {
    const float *weight; // [rows][outputs]
    int rows;
    fs_quant input;
} part;

static double folded(const part *s, int row, int outputs, int n) {
    return (double)s->weight[(size_t)row * (size_t)outputs + (size_t)n] * (double)s->input.scale;
}

static void pack_channel(const part *parts, int count, int outputs, int n, fs_packed_u8 *packed, int8_t *panels,
                         int32_t *start, float *scale) {
    double most = 0;
    for (int s = 0; s < count; s++)
        for (int row = 0; row < parts[s].rows; row++) most = fmax(most, fabs(folded(&parts[s], row, outputs, n)));
    scale[n] = (float)(most / 127);
    start[n] = 0;
    int k = 0;
    for (int s = 0; s < count; s++)
        for (int row = 0; row < parts[s].rows; row++, k++) {
            // A scale that a float cannot hold is zero: the channel is its bias.
            const double q =
                scale[n] > 0 ? rint(folded(&parts[s], row, outputs, n) / (double)scale[n]) : 0; // ties to even
            const int value = q > 127 ? 127 : q < -127 ? -127 : (int)q;
            const size_t panel = (size_t)(n / FS_PANEL) * (size_t)packed->k * FS_PANEL;
            panels[panel + (size_t)(k / 4) * FS_PANEL * 4 + (size_t)(n % FS_PANEL) * 4 + (size_t)(k % 4)] =
                (int8_t)value;
            start[n] -= parts[s].input.zero * value;
        }
}

static fs_packed_u8 pack(packer *p, const part *parts, int count, int outputs, const float *bias) {
    fs_packed_u8 packed = {.n = (outputs + FS_PANEL - 1) / FS_PANEL * FS_PANEL};
    for (int s = 0; s < count; s++) packed.k += parts[s].rows;
    const size_t n = (size_t)packed.n;
    int8_t *panels = take(p, n * (size_t)packed.k);
    int32_t *start = take(p, n * sizeof(int32_t));
    float *scale = take(p, n * sizeof(float)), *to_bias = take(p, n * sizeof(float));
    packed.panels = panels, packed.start = start, packed.scale = scale, packed.bias = to_bias;
    if (p->block == NULL) return packed;
    for (int i = 0; i < outputs; i++) {
        pack_channel(parts, count, outputs, i, &packed, panels, start, scale);
        to_bias[i] = bias[i];
    }
    return packed;
}

// [k][outputs] of window rows, each followed by zeros; the coarse parts of all, then the fine ones.
static fs_packed_u8 pack_stem(packer *p, const float *weight, const float *bias, int channels) {
    const int row = 3 * channels, padded = (row + 3) / 4 * 4, outputs = 32;
    fs_packed_u8 packed = {.n = outputs, .k = 3 * padded};
    int8_t *panels = take(p, (size_t)(2 * packed.k * outputs));
    int32_t *start = take(p, (size_t)outputs * sizeof(int32_t)); // pixels have no zero point
    float *scale = take(p, (size_t)outputs * sizeof(float)), *to_bias = take(p, (size_t)outputs * sizeof(float));
    packed.panels = panels, packed.start = start, packed.scale = scale, packed.bias = to_bias;
    if (p->block == NULL) return packed;
    for (int n = 0; n < outputs; n++) {
        double most = 0;
        for (int k = 0; k < 3 * row; k++) most = fmax(most, fabs((double)weight[k * outputs + n]));
        scale[n] = (float)(most / (127 * 128));
        to_bias[n] = bias[n];
        for (int k = 0; k < 3 * row && scale[n] > 0; k++) {
            const double exact = rint((double)weight[k * outputs + n] / (double)scale[n]);
            const int q = (int)fmin(fmax(exact, -127 * 128), 127 * 128), coarse = (int)rint(q / 128.0);
            const int to = k / row * padded + k % row;
            int8_t *panel = panels + n / FS_PANEL * 2 * packed.k * FS_PANEL + n % FS_PANEL * 4;
            panel[to / 4 * FS_PANEL * 4 + to % 4] = (int8_t)coarse;
            panel[(packed.k + to) / 4 * FS_PANEL * 4 + to % 4] = (int8_t)(q - 128 * coarse);
        }
    }
    return packed;
}

static void pack_all(const fs_weights *w, const float *stem, const float *stem_bias, fs_int8 *int8, packer *p) {
    fs_layer layers[FS_LAYERS];
    fs_model_layers(&w->model, layers);
    int8->stem = pack_stem(p, stem, stem_bias, w->model.channels);
    for (int i = 0; i < FS_LAYERS; i++) {
        if (!(w->int8[i].scale > 0)) continue;
        const part whole = {w->layer[i].weight, layers[i].in_channels, w->int8[i]};
        int8->layer[i] = pack(p, &whole, 1, layers[i].out_channels, w->layer[i].bias);
    }
    if (!(w->int8[FS_L_FFM_LOW_PW].scale > 0)) return;
    float bias[128];
    for (int n = 0; n < 128; n++) bias[n] = w->layer[FS_L_FFM_LOW_PW].bias[n] + w->layer[FS_L_FFM_HIGH_PW].bias[n];
    const part both[2] = {{w->layer[FS_L_FFM_LOW_PW].weight, 128, w->int8[FS_L_FFM_LOW_PW]},
                          {w->layer[FS_L_FFM_HIGH_PW].weight, 64, w->int8[FS_L_FFM_HIGH_PW]}};
    int8->ffm = pack(p, both, 2, 128, bias);
}

fs_status fs_int8_pack(const fs_weights *weights, const float *stem, const float *stem_bias, const float pad[4],
                       fs_int8 *int8) {
    memset(int8, 0, sizeof *int8);
    packer measure = {NULL, 0};
    pack_all(weights, stem, stem_bias, int8, &measure);
    int8->bytes = measure.used;
    int8->block = fs_calloc(1, measure.used);
    if (int8->block == NULL) return fs_fail(FS_ERR_MEMORY, "out of memory for %zu bytes of int8 weights", measure.used);
    packer write = {int8->block, 0};
    pack_all(weights, stem, stem_bias, int8, &write);
    for (int c = 0; c < weights->model.channels; c++) {
        const double byte = rint((double)pad[c]);
        if (!(byte >= 0 && byte <= 255)) { // a mean that is no pixel's: such a stem stays as in bf16
            int8->stem = (fs_packed_u8){.panels = NULL};
            break;
        }
        int8->stem_pad[c] = (uint8_t)byte;
    }
    memcpy(int8->input, weights->int8, sizeof int8->input);
    return FS_OK;
}

void fs_int8_free(fs_int8 *int8) {
    fs_free(int8->block);
    *int8 = (fs_int8){.block = NULL};
}
