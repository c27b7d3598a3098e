// Deterministic weights by formula: the same bits as weights/formula.py, so that only expected results need to be
// stored.
#include <math.h>
#include <stdio.h>

#include "runtime/base/mem.h"
#include "weights/fold.h"
#include "weights/labels.h"
#include "weights/weights.h"

enum { MAX_CHANNELS = 6 * 128, MAX_WEIGHTS = 128 * 256 * 9 };

static const uint64_t golden_gamma = 0x9E3779B97F4A7C15u;

// The finaliser of SplitMix64 over a counter: element i needs no other element.
static double uniform(uint64_t key, uint64_t i) {
    uint64_t z = key + (i + 1) * golden_gamma;
    z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9u;
    z = (z ^ z >> 27) * 0x94D049BB133111EBu;
    z ^= z >> 31;
    return (double)(z >> 40) * 0x1p-24;
}

// FNV-1a over "<layer>.<part>", mixed with the seed.
static uint64_t tensor_key(const char *layer, const char *part, uint64_t seed) {
    char name[64];
    snprintf(name, sizeof name, "%s.%s", layer, part);
    uint64_t hash = 0xCBF29CE484222325u;
    for (const char *c = name; *c != '\0'; c++) hash = (hash ^ (uint8_t)*c) * 0x100000001B3u;
    return hash ^ seed * golden_gamma;
}

// (u + offset) * scale for a bias or a batch norm statistic, in double and cast once.
static void fill_vector(const fs_layer *layer, const char *part, uint64_t seed, double offset, double scale,
                        float *out) {
    uint64_t key = tensor_key(layer->name, part, seed);
    for (int i = 0; i < layer->out_channels; i++) out[i] = (float)((uniform(key, (uint64_t)i) + offset) * scale);
}

static void fill_gamma(const fs_layer *layer, uint64_t seed, float *out) {
    uint64_t key = tensor_key(layer->name, "bn.weight", seed);
    for (int i = 0; i < layer->out_channels; i++) out[i] = (float)(0.8 + 0.4 * uniform(key, (uint64_t)i));
}

static void fill_weight(const fs_layer *layer, uint64_t seed, float *out) {
    uint64_t key = tensor_key(layer->name, "conv.weight", seed);
    long count = fs_layer_weight_count(layer);
    int fan_in = (layer->depthwise ? 1 : layer->in_channels) * layer->kernel * layer->kernel;
    double bound = sqrt(6.0 / fan_in);
    for (long i = 0; i < count; i++) out[i] = (float)((2 * uniform(key, (uint64_t)i) - 1) * bound);
}

fs_status fs_weights_random(const fs_model *model, uint64_t seed, fs_weights *weights, fs_labels *labels) {
    FS_TRY(fs_model_check(model));
    float *block = fs_malloc(MAX_WEIGHTS + 5 * MAX_CHANNELS, sizeof(float));
    if (block == NULL) return fs_fail(FS_ERR_MEMORY, "out of memory for random weights; free memory and try again");
    float *vector[5];
    for (int i = 0; i < 5; i++) vector[i] = block + MAX_WEIGHTS + i * MAX_CHANNELS;

    fs_weights made = {0};
    fs_status status = fs_weights_alloc(&made, model);
    fs_layer layers[FS_LAYERS];
    fs_model_layers(model, layers);
    for (int i = 0; i < FS_LAYERS && status == FS_OK; i++) {
        const fs_layer *layer = &layers[i];
        bool bn = layer->bn && !(model->variant == FS_LEFTTHOMAS && (i == FS_L_FFM_LOW_PW || i == FS_L_FFM_HIGH_PW));
        fs_unfolded unfolded = {.weight = block};
        fill_weight(layer, seed, block);
        if (bn) {
            fill_gamma(layer, seed, vector[0]);
            fill_vector(layer, "bn.bias", seed, -0.5, 0.4, vector[1]);
            fill_vector(layer, "bn.running_mean", seed, -0.5, 0.2, vector[2]);
            fill_vector(layer, "bn.running_var", seed, 0.5, 1, vector[3]);
            unfolded.gamma = vector[0];
            unfolded.beta = vector[1];
            unfolded.mean = vector[2];
            unfolded.variance = vector[3];
        } else {
            fill_vector(layer, "conv.bias", seed, -0.5, 0.2, vector[4]);
            unfolded.bias = vector[4];
        }
        status = fs_fold(layer, &unfolded, (double)model->bn_epsilon, &made.layer[i]);
    }
    fs_free(block);
    if (status != FS_OK) {
        fs_weights_free(&made);
        return status;
    }
    *weights = made;
    if (labels != NULL) fs_labels_default(model->classes, labels);
    return FS_OK;
}
