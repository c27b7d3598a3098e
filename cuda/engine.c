// Packs folded weights for the kernels, rounded to half where activations are, and uploads them in one copy.
#include "cuda/engine.h"

#include <math.h>
#include <string.h>

#include "runtime/base/log.h"
#include "runtime/base/mem.h"

enum { STEM_OUT = 32, STEM_K = 48, ALIGN = 256 };
#define HALF_MAX 65504.0f

// Packing runs twice: once with host == NULL to measure, once to write. Device addresses run along.
typedef struct packer {
    char *host, *device;
    size_t used;
    bool half;
    const char *overflow; // the first layer whose weights do not fit half
} packer;

static void *take(packer *p, size_t bytes, const void **device) {
    void *at = p->host ? p->host + p->used : NULL;
    *device = p->device ? p->device + p->used : NULL;
    p->used += (bytes + ALIGN - 1) / ALIGN * ALIGN;
    return at;
}

static int round8(int n) {
    return (n + 7) / 8 * 8;
}

// IEEE binary16, nearest even. The compiler's own conversion is a call, which takes most of the time of opening.
static uint16_t to_half(float value) {
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    const uint32_t sign = bits >> 16 & 0x8000, magnitude = bits & 0x7fffffff;
    uint32_t half;
    if (magnitude > 0x7f800000) { // NaN
        half = 0x7e00;
    } else if (magnitude >= 0x47800000) { // 65536
        half = 0x7c00;
    } else if (magnitude < 0x38800000) { // 2^-14: beside 0.5 a float counts in the units of subnormal halves
        float counted = fabsf(value) + 0.5f;
        memcpy(&half, &counted, sizeof half);
        half -= 0x3f000000;
    } else {
        half = (magnitude - 0x38000000 + 0xfff + (magnitude >> 13 & 1)) >> 13;
    }
    return (uint16_t)(sign | half);
}

static void put(packer *p, void *to, size_t at, float value, const char *name) {
    if (!p->half) {
        ((float *)to)[at] = value;
        return;
    }
    if (fabsf(value) > HALF_MAX && p->overflow == NULL) p->overflow = name;
    ((uint16_t *)to)[at] = to_half(value);
}

// A part of a weight matrix: `rows` inputs, each with `outputs` weights, the first at `weight`.
typedef struct source {
    const float *weight;
    int rows;
} source;

// [k][n] to [n][k], n padded with zero rows to a multiple of 8.
static fs_cuda_layer pack_dense(packer *p, const source *sources, int count, int outputs, const float *bias,
                                const char *name) {
    fs_cuda_layer layer = {0};
    const int n_pad = round8(outputs);
    int k = 0;
    for (int s = 0; s < count; s++) k += sources[s].rows;
    const void *device_bias;
    void *to = take(p, (size_t)n_pad * (size_t)k * (p->half ? 2 : 4), &layer.weights);
    float *to_bias = take(p, (size_t)n_pad * sizeof(float), &device_bias);
    layer.bias = device_bias;
    void *to_half = p->half ? take(p, (size_t)n_pad * 2, &layer.bias_half) : NULL;
    if (p->host == NULL) return layer;
    for (int n = 0; n < outputs; n++) {
        to_bias[n] = bias[n];
        if (p->half) put(p, to_half, (size_t)n, bias[n], name);
        size_t at = (size_t)n * (size_t)k;
        for (int s = 0; s < count; s++)
            for (int row = 0; row < sources[s].rows; row++)
                put(p, to, at++, sources[s].weight[(size_t)row * (size_t)outputs + (size_t)n], name);
    }
    return layer;
}

static const float *pack_floats(packer *p, const float *from, size_t count) {
    const void *device;
    float *to = take(p, count * sizeof(float), &device);
    if (to) memcpy(to, from, count * sizeof(float));
    return device;
}

// (u / 255 - mean) / std goes into the stem: w' = w / (255 std), and each tap inside the frame takes 255 mean w' off
// the bias; a padded tap is zero after normalisation, so it takes nothing, hence one bias for each pattern of window
// rows and columns that are inside. Half weights are scaled by a power of two out of the subnormal range, and the bias
// is computed from the rounded weights, so that rounding them scales (u - mean) and not u.
static void pack_stem(packer *p, fs_cuda_engine *e, const fs_weights *w) {
    const fs_model *m = &e->model;
    const fs_folded *stem = &w->layer[FS_L_STEM];
    const int c = m->channels;
    const void *device_bias;
    void *to = take(p, (size_t)STEM_OUT * STEM_K * (p->half ? 2 : 4), &e->stem.weights);
    float *bias = take(p, (size_t)64 * STEM_OUT * sizeof(float), &device_bias);
    e->stem.bias = device_bias;
    if (p->host == NULL) return;

    double largest = 0;
    for (int i = 0; i < 9 * c * STEM_OUT; i++) {
        const double folded = fabs((double)stem->weight[i]) / (255.0 * (double)m->std[i / STEM_OUT % c]);
        if (folded > largest) largest = folded;
    }
    int exponent = 0;
    if (p->half && largest > 0) frexp(largest, &exponent); // largest * 2^-exponent in [0.5, 1)
    const double scale = p->half ? ldexp(1.0, -exponent) : 1.0;
    e->stem_scale = (float)(1.0 / scale);

    for (int n = 0; n < STEM_OUT; n++) {
        double share[9]; // what each tap takes off the bias
        for (int tap = 0; tap < 9; tap++) {
            share[tap] = 0;
            for (int i = 0; i < c; i++) {
                const int k = tap * c + i;
                const double folded = (double)stem->weight[k * STEM_OUT + n] / (255.0 * (double)m->std[i]);
                const size_t at = (size_t)n * STEM_K + (size_t)k;
                put(p, to, at, (float)(folded * scale), "ltd.conv");
                const double kept = p->half ? (double)((_Float16 *)to)[at] / scale : (double)((float *)to)[at];
                share[tap] += kept * 255.0 * (double)m->mean[i];
            }
        }
        for (int rows = 0; rows < 8; rows++)
            for (int columns = 0; columns < 8; columns++) {
                double b = (double)stem->bias[n];
                for (int tap = 0; tap < 9; tap++)
                    if ((rows >> tap / 3 & 1) && (columns >> tap % 3 & 1)) b -= share[tap];
                bias[(rows * 8 + columns) * STEM_OUT + n] = (float)b;
            }
    }
}

static void pack_pyramid(packer *p, fs_cuda_engine *e, const fs_weights *w) {
    const void *weight_at, *bias_at, *slice_at;
    float *weight = take(p, sizeof(float[4][128][32]), &weight_at);
    float *bias = take(p, sizeof(float[4][32]), &bias_at);
    const bool folds = e->model.ppm_out_kernel == 1;
    float *slice = folds ? take(p, sizeof(float[4][32][128]), &slice_at) : NULL;
    e->ppm_weight = weight_at, e->ppm_bias = bias_at, e->ppm_slice = folds ? slice_at : NULL;
    if (folds) {
        const source part = {w->layer[FS_L_PPM_OUT].weight, 128};
        e->ppm_main = pack_dense(p, &part, 1, 128, w->layer[FS_L_PPM_OUT].bias, "ppm.out");
    }
    if (p->host == NULL) return;
    for (int i = 0; i < 4; i++) {
        memcpy(weight + i * 128 * 32, w->layer[FS_L_PPM + i].weight, sizeof(float[128][32]));
        memcpy(bias + i * 32, w->layer[FS_L_PPM + i].bias, sizeof(float[32]));
        if (folds)
            memcpy(slice + i * 32 * 128, w->layer[FS_L_PPM_OUT].weight + (size_t)(128 + 32 * i) * 128,
                   sizeof(float[32][128]));
    }
}

static void pack_all(packer *p, fs_cuda_engine *e, const fs_weights *w) {
    fs_layer layers[FS_LAYERS];
    fs_model_layers(&e->model, layers);
    for (int i = 0; i < FS_LAYERS; i++) {
        const fs_layer *l = &layers[i];
        if (l->depthwise) {
            e->layer[i].weights = pack_floats(p, w->layer[i].weight, (size_t)(9 * l->out_channels));
            e->layer[i].bias = pack_floats(p, w->layer[i].bias, (size_t)l->out_channels);
            continue;
        }
        const source all = {w->layer[i].weight, l->kernel * l->kernel * l->in_channels};
        e->layer[i] = pack_dense(p, &all, 1, l->out_channels, w->layer[i].bias, l->name);
    }
    pack_stem(p, e, w);
    pack_pyramid(p, e, w);
    float bias[128];
    for (int n = 0; n < 128; n++) bias[n] = w->layer[FS_L_FFM_LOW_PW].bias[n] + w->layer[FS_L_FFM_HIGH_PW].bias[n];
    const source ffm[2] = {{w->layer[FS_L_FFM_LOW_PW].weight, 128}, {w->layer[FS_L_FFM_HIGH_PW].weight, 64}};
    e->ffm = pack_dense(p, ffm, 2, 128, bias, "ffm.low.pw");
}

static fs_status upload(fs_cuda_engine *e, const fs_weights *weights) {
    packer p = {.half = e->type == FS_K_F16};
    pack_all(&p, e, weights);
    e->bytes = p.used;
    FS_CUDA(cudaMalloc(&e->block, e->bytes), "allocating the weights");
    char *host = fs_calloc(1, e->bytes);
    if (host == NULL) return fs_fail(FS_ERR_MEMORY, "out of memory for %zu bytes of weights", e->bytes);
    p = (packer){.host = host, .device = e->block, .half = p.half};
    pack_all(&p, e, weights);
    fs_status status = FS_OK;
    if (p.overflow)
        status = fs_fail(FS_ERR_WEIGHTS, "layer %s has a weight beyond half precision (%g): use precision fp32",
                         p.overflow, (double)HALF_MAX);
    else
        status = fs_cuda_status(cudaMemcpy(e->block, host, e->bytes, cudaMemcpyHostToDevice), "uploading the weights");
    // A copy from pageable memory may still be under way when it returns, and sessions' streams do not wait for it.
    if (status == FS_OK) status = fs_cuda_status(cudaStreamSynchronize(NULL), "waiting for the upload of the weights");
    fs_free(host);
    return status;
}

fs_status fs_cuda_engine_open(const fs_weights *weights, fs_precision precision, int ordinal, bool want_cudnn,
                              fs_cuda_engine **engine) {
    fs_cuda_engine *e = fs_calloc(1, sizeof *e);
    if (e == NULL) return fs_fail(FS_ERR_MEMORY, "out of memory for an engine");
    e->model = weights->model;
    e->precision = precision, e->type = precision == FS_FP16 ? FS_K_F16 : FS_K_F32;
    int before = ordinal;
    fs_status status = fs_device_look(ordinal, &e->device);
    if (status == FS_OK) {
        status = fs_device_enter(ordinal, &before);
        if (status == FS_OK) status = upload(e, weights);
        fs_device_leave(ordinal, before);
    }
    if (status != FS_OK) {
        fs_cuda_engine_close(e);
        return status;
    }
    if (want_cudnn && e->type == FS_K_F16 && fs_cudnn_open(&e->cudnn) != FS_OK) {
        e->cudnn = NULL;
        fs_log(FS_LOG_INFO, "running on our own kernels alone: %s", fs_error_text());
    }
    *engine = e;
    return FS_OK;
}

void fs_cuda_engine_close(fs_cuda_engine *e) {
    if (e == NULL) return;
    if (e->block) {
        int before;
        fs_device_enter_anyway(e->device.ordinal, &before);
        cudaFree(e->block);
        cudaGetLastError();
        fs_device_leave(e->device.ordinal, before);
    }
    if (e->cudnn) fs_cudnn_close(e->cudnn);
    fs_free(e);
}
