// The published variants of Fast-SCNN as switches, the table of layers, and the block that folded weights live in.
#include "runtime/model.h"

#include <math.h>
#include <string.h>

#include "runtime/base/mem.h"
#include "runtime/base/text.h"

static const char *const variant_names[FS_VARIANTS] = {"paper", "tramac", "mmseg", "paddleseg", "leftthomas"};
static const char *const stem_pad_names[] = {"one", "none", "same"}; // in the order of fs_stem_pad

void fs_model_init(fs_model *model, fs_variant variant) {
    *model = (fs_model){
        .variant = variant,
        .channels = 3,
        .classes = 19,
        .stem_pad = FS_STEM_PAD_ONE,
        .ppm_out_kernel = 1,
        .ffm_dilation = 4,
        .mean = {0.485f, 0.456f, 0.406f, 0.4f},
        .std = {0.229f, 0.224f, 0.225f, 0.4f},
        .bn_epsilon = 1e-5f,
    };
    switch (variant) {
    case FS_PAPER:
    case FS_VARIANTS: break;
    case FS_TRAMAC:
        model->stem_pad = FS_STEM_PAD_NONE;
        model->dsconv_mid_relu = true;
        model->ffm_dilation = 1;
        model->align_ppm = model->align_ffm = model->align_final = true;
        break;
    case FS_MMSEG:
        model->ppm_out_kernel = 3;
        model->ffm_dilation = 1;
        break;
    case FS_PADDLESEG:
        model->stem_pad = FS_STEM_PAD_SAME;
        model->ppm_out_kernel = 3;
        model->ffm_dilation = 1;
        model->align_ppm = true;
        for (int c = 0; c < 3; c++) model->mean[c] = model->std[c] = 0.5f;
        break;
    case FS_LEFTTHOMAS: model->align_ppm = model->align_ffm = model->align_final = true; break;
    }
}

const char *fs_variant_name(fs_variant variant) {
    return (unsigned)variant < FS_VARIANTS ? variant_names[variant] : "unknown";
}

fs_status fs_variant_parse(const char *name, fs_variant *variant) {
    for (int v = 0; v < FS_VARIANTS; v++) {
        if (strcmp(name, variant_names[v]) != 0) continue;
        *variant = (fs_variant)v;
        return FS_OK;
    }
    return fs_fail(FS_ERR_ARGUMENT, "unknown model variant '%.40s': use paper, tramac, mmseg, paddleseg or leftthomas",
                   name);
}

fs_status fs_model_set(fs_model *model, const char *key, const char *value) {
    struct {
        const char *key;
        bool *field;
    } flags[] = {
        {"dsconv_mid_relu", &model->dsconv_mid_relu},
        {"ffm_exact_x4", &model->ffm_exact_x4},
        {"align_ppm", &model->align_ppm},
        {"align_ffm", &model->align_ffm},
        {"align_final", &model->align_final},
    };
    for (size_t i = 0; i < sizeof flags / sizeof flags[0]; i++) {
        if (strcmp(key, flags[i].key) != 0) continue;
        if (strcmp(value, "0") != 0 && strcmp(value, "1") != 0)
            return fs_fail(FS_ERR_ARGUMENT, "model switch %s is '%.40s': use 0 or 1", key, value);
        *flags[i].field = value[0] == '1';
        return FS_OK;
    }
    if (strcmp(key, "stem_pad") == 0) {
        for (int i = 0; i < 3; i++) {
            if (strcmp(value, stem_pad_names[i]) != 0) continue;
            model->stem_pad = (fs_stem_pad)i;
            return FS_OK;
        }
        return fs_fail(FS_ERR_ARGUMENT, "model switch stem_pad is '%.40s': use none, one or same", value);
    }
    if (strcmp(key, "ppm_out_kernel") == 0) {
        if (strcmp(value, "1") != 0 && strcmp(value, "3") != 0)
            return fs_fail(FS_ERR_ARGUMENT, "model switch ppm_out_kernel is '%.40s': use 1 or 3", value);
        model->ppm_out_kernel = value[0] - '0';
        return FS_OK;
    }
    if (strcmp(key, "ffm_dilation") == 0) {
        if (strcmp(value, "1") != 0 && strcmp(value, "4") != 0)
            return fs_fail(FS_ERR_ARGUMENT, "model switch ffm_dilation is '%.40s': use 1 or 4", value);
        model->ffm_dilation = value[0] - '0';
        return FS_OK;
    }
    if (strcmp(key, "bn_epsilon") == 0) {
        double epsilon;
        if (!fs_parse_number(value, NULL, &epsilon) || !(epsilon >= 0 && epsilon <= 1))
            return fs_fail(FS_ERR_ARGUMENT, "model switch bn_epsilon is '%.40s': use a number from 0 to 1", value);
        model->bn_epsilon = (float)epsilon;
        return FS_OK;
    }
    return fs_fail(
        FS_ERR_ARGUMENT,
        "unknown model switch '%.40s': use stem_pad, dsconv_mid_relu, ppm_out_kernel, ffm_dilation, ffm_exact_x4, "
        "align_ppm, align_ffm, align_final or bn_epsilon",
        key);
}

fs_status fs_model_check(const fs_model *model) {
    if ((unsigned)model->variant >= FS_VARIANTS)
        return fs_fail(FS_ERR_ARGUMENT, "model variant %d is unknown: use 0 to %d", (int)model->variant,
                       FS_VARIANTS - 1);
    if (model->channels != 3 && model->channels != 4)
        return fs_fail(FS_ERR_ARGUMENT, "the model has %d input channels: use 3 (RGB) or 4 (RGB and A)",
                       model->channels);
    if (model->classes < 2 || model->classes > FS_MAX_CLASSES)
        return fs_fail(FS_ERR_ARGUMENT, "the model has %d classes: use 2 to %d", model->classes, FS_MAX_CLASSES);
    if ((unsigned)model->stem_pad > FS_STEM_PAD_SAME)
        return fs_fail(FS_ERR_ARGUMENT, "model switch stem_pad is %d: use none, one or same", (int)model->stem_pad);
    if (model->ppm_out_kernel != 1 && model->ppm_out_kernel != 3)
        return fs_fail(FS_ERR_ARGUMENT, "model switch ppm_out_kernel is %d: use 1 or 3", model->ppm_out_kernel);
    if (model->ffm_dilation != 1 && model->ffm_dilation != 4)
        return fs_fail(FS_ERR_ARGUMENT, "model switch ffm_dilation is %d: use 1 or 4", model->ffm_dilation);
    if (!(model->bn_epsilon >= 0 && model->bn_epsilon <= 1))
        return fs_fail(FS_ERR_ARGUMENT, "model switch bn_epsilon is %g: use a number from 0 to 1",
                       (double)model->bn_epsilon);
    for (int c = 0; c < model->channels; c++) {
        if (!isfinite(model->mean[c])) return fs_fail(FS_ERR_ARGUMENT, "the mean of input channel %d is not finite", c);
        if (!isfinite(model->std[c]) || model->std[c] <= 0 || !isfinite(1.0f / model->std[c]))
            return fs_fail(FS_ERR_ARGUMENT, "the std of input channel %d is %g: use a number above 0", c,
                           (double)model->std[c]);
    }
    return FS_OK;
}

static const char *const layer_names[FS_LAYERS] = {
    "ltd.conv",
    "ltd.ds1.dw",
    "ltd.ds1.pw",
    "ltd.ds2.dw",
    "ltd.ds2.pw",
    "gfe.b1.0.expand",
    "gfe.b1.0.dw",
    "gfe.b1.0.project",
    "gfe.b1.1.expand",
    "gfe.b1.1.dw",
    "gfe.b1.1.project",
    "gfe.b1.2.expand",
    "gfe.b1.2.dw",
    "gfe.b1.2.project",
    "gfe.b2.0.expand",
    "gfe.b2.0.dw",
    "gfe.b2.0.project",
    "gfe.b2.1.expand",
    "gfe.b2.1.dw",
    "gfe.b2.1.project",
    "gfe.b2.2.expand",
    "gfe.b2.2.dw",
    "gfe.b2.2.project",
    "gfe.b3.0.expand",
    "gfe.b3.0.dw",
    "gfe.b3.0.project",
    "gfe.b3.1.expand",
    "gfe.b3.1.dw",
    "gfe.b3.1.project",
    "gfe.b3.2.expand",
    "gfe.b3.2.dw",
    "gfe.b3.2.project",
    "ppm.1",
    "ppm.2",
    "ppm.3",
    "ppm.6",
    "ppm.out",
    "ffm.low.dw",
    "ffm.low.pw",
    "ffm.high.pw",
    "cls.ds1.dw",
    "cls.ds1.pw",
    "cls.ds2.dw",
    "cls.ds2.pw",
    "cls.conv",
};
_Static_assert((int)FS_L_COUNT == (int)FS_LAYERS, "the layer indices and the layer count must agree");

static void layer_set(fs_layer layers[FS_LAYERS], int index, int in, int out, int kernel, bool depthwise) {
    layers[index] = (fs_layer){.name = layer_names[index],
                               .in_channels = in,
                               .out_channels = out,
                               .kernel = kernel,
                               .depthwise = depthwise,
                               .bn = index != FS_L_CLS_CONV};
}

void fs_model_layers(const fs_model *model, fs_layer layers[FS_LAYERS]) {
    layer_set(layers, FS_L_STEM, model->channels, 32, 3, false);
    layer_set(layers, FS_L_LTD_DS1_DW, 32, 32, 3, true);
    layer_set(layers, FS_L_LTD_DS1_PW, 32, 48, 1, false);
    layer_set(layers, FS_L_LTD_DS2_DW, 48, 48, 3, true);
    layer_set(layers, FS_L_LTD_DS2_PW, 48, 64, 1, false);

    static const int block_channels[3] = {64, 96, 128};
    int in = 64;
    for (int b = 0; b < 3; b++) {
        for (int r = 0; r < 3; r++) {
            int wide = 6 * in, out = block_channels[b];
            layer_set(layers, FS_L_GFE_AT(b, r, 0), in, wide, 1, false);
            layer_set(layers, FS_L_GFE_AT(b, r, 1), wide, wide, 3, true);
            layer_set(layers, FS_L_GFE_AT(b, r, 2), wide, out, 1, false);
            in = out;
        }
    }
    for (int bin = 0; bin < 4; bin++) layer_set(layers, FS_L_PPM + bin, 128, 32, 1, false);
    layer_set(layers, FS_L_PPM_OUT, 256, 128, model->ppm_out_kernel, false);

    layer_set(layers, FS_L_FFM_LOW_DW, 128, 128, 3, true);
    layer_set(layers, FS_L_FFM_LOW_PW, 128, 128, 1, false);
    layer_set(layers, FS_L_FFM_HIGH_PW, 64, 128, 1, false);

    layer_set(layers, FS_L_CLS_DS1_DW, 128, 128, 3, true);
    layer_set(layers, FS_L_CLS_DS1_PW, 128, 128, 1, false);
    layer_set(layers, FS_L_CLS_DS2_DW, 128, 128, 3, true);
    layer_set(layers, FS_L_CLS_DS2_PW, 128, 128, 1, false);
    layer_set(layers, FS_L_CLS_CONV, 128, model->classes, 1, false);
}

long fs_layer_weight_count(const fs_layer *layer) {
    long taps = (long)layer->kernel * layer->kernel;
    return taps * layer->out_channels * (layer->depthwise ? 1 : layer->in_channels);
}

fs_status fs_weights_alloc(fs_weights *weights, const fs_model *model) {
    fs_layer layers[FS_LAYERS];
    fs_model_layers(model, layers);
    // Every array starts on its own cache line.
    const size_t line = FS_ALIGNMENT / sizeof(float);
    size_t total = 0;
    for (int i = 0; i < FS_LAYERS; i++) {
        total += ((size_t)fs_layer_weight_count(&layers[i]) + line - 1) / line * line;
        total += ((size_t)layers[i].out_channels + line - 1) / line * line;
    }
    float *block = fs_calloc(total, sizeof(float));
    if (block == NULL)
        return fs_fail(FS_ERR_MEMORY, "out of memory for the weights (%zu bytes); free memory and try again",
                       total * sizeof(float));
    *weights = (fs_weights){.model = *model, .block = block};
    for (int i = 0; i < FS_LAYERS; i++) {
        weights->layer[i].weight = block;
        block += ((size_t)fs_layer_weight_count(&layers[i]) + line - 1) / line * line;
        weights->layer[i].bias = block;
        block += ((size_t)layers[i].out_channels + line - 1) / line * line;
    }
    return FS_OK;
}

void fs_weights_free(fs_weights *weights) {
    fs_free(weights->block);
    *weights = (fs_weights){0};
}

bool fs_layer_takes_int8(int layer) {
    if (layer >= FS_L_GFE && layer < FS_L_PPM) return (layer - FS_L_GFE) % 3 != 1;
    return layer == FS_L_LTD_DS1_PW || layer == FS_L_LTD_DS2_PW || layer == FS_L_FFM_LOW_PW ||
           layer == FS_L_FFM_HIGH_PW || layer == FS_L_CLS_DS1_PW || layer == FS_L_CLS_DS2_PW;
}

bool fs_weights_calibrated(const fs_weights *weights) {
    for (int i = 0; i < FS_LAYERS; i++)
        if (weights->int8[i].scale > 0) return true;
    return false;
}
