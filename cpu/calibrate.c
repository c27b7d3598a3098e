// Calibration for int8: histograms of the layers' inputs over typical frames, the quantiser that fits each best, and
// what int8 then costs at each layer.
#include <math.h>
#include <string.h>

#include "cpu/backend.h"
#include "cpu/reference/reference.h"
#include "runtime/base/mem.h"

enum {
    HALF = 2048,       // bins of a sign
    SAMPLES = 192,     // pixels of a layer's input that are kept for its error
    MOST_INPUTS = 768, // channels of a layer's input
    CLIPS = 24         // ends of the range that are tried on either side
};

// Values of [-range, range] in 2 * HALF bins; the range doubles when a value lies outside.
typedef struct histogram {
    double range;
    float low, high;
    uint64_t count[2 * HALF];
} histogram;

typedef struct layer_record {
    histogram values;
    float *sample; // [SAMPLES][channels]
    int samples;
    uint64_t pixels; // seen so far
} layer_record;

struct fs_calibration {
    const fs_weights *weights;
    fs_layer layers[FS_LAYERS];
    layer_record *record[FS_LAYERS]; // NULL for layers that do not run in int8
    uint64_t random;
};

fs_status fs_calibration_open(const fs_weights *weights, fs_calibration **calibration) {
    fs_calibration *c = fs_calloc(1, sizeof *c);
    bool fine = c != NULL;
    if (fine) {
        c->weights = weights;
        c->random = 1;
        fs_model_layers(&weights->model, c->layers);
        for (int i = 0; i < FS_LAYERS && fine; i++) {
            if (!fs_layer_takes_int8(i)) continue;
            c->record[i] = fs_calloc(1, sizeof *c->record[i]);
            fine = c->record[i] != NULL;
            if (!fine) break;
            c->record[i]->sample = fs_malloc((size_t)SAMPLES * (size_t)c->layers[i].in_channels, sizeof(float));
            fine = c->record[i]->sample != NULL;
        }
    }
    if (!fine) {
        fs_calibration_close(c);
        return fs_fail(FS_ERR_MEMORY, "out of memory for calibration");
    }
    *calibration = c;
    return FS_OK;
}

void fs_calibration_close(fs_calibration *c) {
    if (c == NULL) return;
    for (int i = 0; i < FS_LAYERS; i++) {
        if (c->record[i] == NULL) continue;
        fs_free(c->record[i]->sample);
        fs_free(c->record[i]);
    }
    fs_free(c);
}

static void widen(histogram *h) {
    for (int i = 0; i < HALF / 2; i++) {
        h->count[HALF + i] = h->count[HALF + 2 * i] + h->count[HALF + 2 * i + 1];
        h->count[HALF - 1 - i] = h->count[HALF - 1 - 2 * i] + h->count[HALF - 2 - 2 * i];
    }
    memset(h->count + HALF + HALF / 2, 0, HALF / 2 * sizeof *h->count);
    memset(h->count, 0, HALF / 2 * sizeof *h->count);
    h->range *= 2;
}

// Values are finite: weights are, and pixels are bytes; what overflows is left out.
static void count_values(histogram *h, const float *values, size_t count) {
    for (size_t i = 0; i < count; i++) {
        const float x = values[i];
        const double magnitude = fabs((double)x);
        if (!(magnitude < 1e30)) continue;
        if (x < h->low) h->low = x;
        if (x > h->high) h->high = x;
        if (h->range == 0) h->range = 0x1p-20;
        while (magnitude >= h->range) widen(h);
        const int bin = (int)(magnitude / h->range * HALF);
        h->count[x < 0 ? HALF - 1 - bin : HALF + bin]++;
    }
}

static uint64_t next_random(fs_calibration *c) {
    c->random = c->random * 6364136223846793005u + 1442695040888963407u;
    return c->random >> 33;
}

// Keeps an even choice of all pixels seen so far.
static void keep_samples(fs_calibration *c, layer_record *r, const float *values, size_t pixels, int channels) {
    for (size_t p = 0; p < pixels; p++) {
        const uint64_t at = r->samples < SAMPLES ? (uint64_t)r->samples++ : next_random(c) % (r->pixels + 1);
        r->pixels++;
        if (at < SAMPLES)
            memcpy(r->sample + at * (size_t)channels, values + p * (size_t)channels, (size_t)channels * sizeof(float));
    }
}

fs_status fs_calibration_add(fs_calibration *c, const uint8_t *frame, int height, int width) {
    fs_graph *g = fs_malloc(1, sizeof *g);
    if (g == NULL) return fs_fail(FS_ERR_MEMORY, "out of memory for calibration");
    void *tensors[FS_MAX_TENSORS] = {0};
    fs_status status = fs_graph_build(g, &c->weights->model, height, width);
    if (status == FS_OK) status = fs_ref_run(g, c->weights, frame, NULL, NULL, tensors);
    for (int i = 0; i < g->ops && status == FS_OK; i++) {
        const fs_op *op = &g->op[i];
        if (op->layer < 0 || c->record[op->layer] == NULL) continue;
        const fs_tensor *in = &g->tensor[op->in[0]];
        const size_t pixels = (size_t)in->h * (size_t)in->w;
        layer_record *r = c->record[op->layer];
        count_values(&r->values, tensors[op->in[0]], pixels * (size_t)in->c);
        keep_samples(c, r, tensors[op->in[0]], pixels, in->c);
    }
    for (int i = 0; status == FS_OK && i < g->tensors; i++) fs_free(tensors[i]);
    fs_free(g);
    return status;
}

// Squared error of the values between two ends of the range and of those clipped to them.
static double clip_error(const histogram *h, double low, double high) {
    const double step = (high - low) / 255, width = h->range / HALF;
    double error = 0;
    for (int i = 0; i < 2 * HALF; i++) {
        if (h->count[i] == 0) continue;
        const double x = (i - HALF + 0.5) * width;
        double e = step * step / 12;
        if (x > high) e = (x - high) * (x - high);
        if (x < low) e = (x - low) * (x - low);
        error += e * (double)h->count[i];
    }
    return error;
}

// The range with the least squared error. 0 lies in it, so that it is exact.
static fs_quant best_quant(const histogram *h) {
    double best = INFINITY, best_low = 0, best_high = 0;
    for (int i = 0; i < (h->low < 0 ? CLIPS : 1); i++)
        for (int j = 0; j < (h->high > 0 ? CLIPS : 1); j++) {
            const double low = (double)h->low * (1 - 0.03 * i), high = (double)h->high * (1 - 0.03 * j);
            const double error = clip_error(h, low, high);
            if (error < best) best = error, best_low = low, best_high = high;
        }
    const double scale = (best_high - best_low) / 255;
    if (!(scale >= 1e-30)) return (fs_quant){1, 0}; // nothing but zeros
    return (fs_quant){(float)scale, (int)(0.5 - best_low / scale)};
}

// Relative error of int8 at one layer, over its samples.
static double layer_error(const fs_calibration *c, int layer, fs_quant quant, float *precise, float *rough) {
    const layer_record *r = c->record[layer];
    const int inputs = c->layers[layer].in_channels, outputs = c->layers[layer].out_channels;
    const fs_folded *folded = &c->weights->layer[layer];
    const fs_ref_input input = {r->sample, inputs, quant, folded->weight};
    const size_t pixels = (size_t)r->samples;
    fs_ref_int8(&input, 1, pixels, folded->bias, outputs, rough);
    const fs_op op = {.kernel = 1, .stride = 1, .dilation = 1};
    fs_ref_conv(r->sample, 1, (int)pixels, inputs, &op, folded, 1, (int)pixels, outputs, precise);
    double noise = 0, signal = 0;
    for (int n = 0; n < outputs; n++) {
        double mean = 0;
        for (size_t p = 0; p < pixels; p++) mean += (double)precise[p * (size_t)outputs + (size_t)n];
        mean /= (double)(pixels ? pixels : 1);
        for (size_t p = 0; p < pixels; p++) {
            const double y = (double)precise[p * (size_t)outputs + (size_t)n];
            const double e = (double)rough[p * (size_t)outputs + (size_t)n] - y;
            noise += e * e, signal += (y - mean) * (y - mean);
        }
    }
    return noise == 0 ? 0 : sqrt(noise / signal); // infinite for an output that never changes but by int8
}

fs_status fs_calibration_result(const fs_calibration *c, fs_quant quant[FS_LAYERS], double error[FS_LAYERS]) {
    float *space = fs_malloc(2 * (size_t)SAMPLES * MOST_INPUTS, sizeof *space);
    if (space == NULL) return fs_fail(FS_ERR_MEMORY, "out of memory for calibration");
    memset(quant, 0, FS_LAYERS * sizeof *quant);
    memset(error, 0, FS_LAYERS * sizeof *error);
    for (int i = 0; i < FS_LAYERS; i++) {
        if (c->record[i] == NULL) continue;
        quant[i] = best_quant(&c->record[i]->values);
        error[i] = layer_error(c, i, quant[i], space, space + (size_t)SAMPLES * MOST_INPUTS);
    }
    fs_free(space);
    return FS_OK;
}
