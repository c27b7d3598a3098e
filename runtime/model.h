// The model configuration: published variants of Fast-SCNN as switches of one struct, and the table of its layers.
#ifndef FS_RUNTIME_MODEL_H
#define FS_RUNTIME_MODEL_H

#include <stdbool.h>

#include "runtime/base/status.h"

enum {
    FS_MAX_CLASSES = 255,
    FS_MIN_SIZE = 64,    // smallest height or width the network accepts, pixels
    FS_MAX_SIZE = 16384, // largest
    FS_LAYERS = 45,      // convolutions in every variant
};

typedef enum fs_variant { FS_PAPER, FS_TRAMAC, FS_MMSEG, FS_PADDLESEG, FS_LEFTTHOMAS, FS_VARIANTS } fs_variant;

typedef enum fs_stem_pad {
    FS_STEM_PAD_ONE,  // 1 on all sides
    FS_STEM_PAD_NONE, // no padding: output (n - 3) / 2 + 1
    FS_STEM_PAD_SAME, // Paddle "same": bottom/right 1 on an even axis, 1/1 on an odd one
} fs_stem_pad;

// Everything in which the published implementations differ at inference. Switches as in their sources; see
// docs/weights.md for the table.
typedef struct fs_model {
    fs_variant variant; // where the switches came from; later only fs_weights_random looks at it
    int channels;       // input channels, 3 (RGB) or 4 (RGB + A)
    int classes;        // 2..255
    fs_stem_pad stem_pad;
    bool dsconv_mid_relu; // ReLU between depthwise and pointwise of a DSConv
    int ppm_out_kernel;   // 1 or 3
    int ffm_dilation;     // of the low branch's depthwise, 1 or 4
    bool ffm_exact_x4;    // upsample by exactly 4, then again to the skip's size (PST900); else straight to that size
    bool align_ppm, align_ffm, align_final; // align_corners of the three bilinear resizes
    float mean[4], std[4];                  // per channel, in units of 0..1; input = (u8 / 255 - mean) / std
    float bn_epsilon;
} fs_model;

// Fills `model` with a variant's switches, 3 channels, 19 classes and that variant's mean and std.
void fs_model_init(fs_model *model, fs_variant variant);
// "paper", "tramac", ... ; and back (FS_ERR_ARGUMENT when unknown, with the known names in the text).
const char *fs_variant_name(fs_variant variant);
fs_status fs_variant_parse(const char *name, fs_variant *variant);
// Sets one switch by its metadata name ("stem_pad" = "none|one|same", "dsconv_mid_relu" = "0|1", "ppm_out_kernel" =
// "1|3", "ffm_dilation" = "1|4", "ffm_exact_x4", "align_ppm", "align_ffm", "align_final" = "0|1", "bn_epsilon" = a
// number). FS_ERR_ARGUMENT with the allowed values on anything else.
fs_status fs_model_set(fs_model *model, const char *key, const char *value);
// FS_OK when every field is in range.
fs_status fs_model_check(const fs_model *model);

// Indices into the layer table; gfe blocks b (0..2), repeats r (0..2), part p (0 expand, 1 dw, 2 project).
enum {
    FS_L_STEM = 0,
    FS_L_LTD_DS1_DW,
    FS_L_LTD_DS1_PW,
    FS_L_LTD_DS2_DW,
    FS_L_LTD_DS2_PW,
    FS_L_GFE,                 // 27 layers
    FS_L_PPM = FS_L_GFE + 27, // bins 1, 2, 3, 6
    FS_L_PPM_OUT = FS_L_PPM + 4,
    FS_L_FFM_LOW_DW,
    FS_L_FFM_LOW_PW,
    FS_L_FFM_HIGH_PW,
    FS_L_CLS_DS1_DW,
    FS_L_CLS_DS1_PW,
    FS_L_CLS_DS2_DW,
    FS_L_CLS_DS2_PW,
    FS_L_CLS_CONV,
    FS_L_COUNT
};
#define FS_L_GFE_AT(b, r, p) (FS_L_GFE + ((b)*3 + (r)) * 3 + (p))

// One convolution of the network: what a weights file must hold for it.
typedef struct fs_layer {
    const char *name; // canonical, "gfe.b1.0.expand"
    int in_channels, out_channels;
    int kernel;     // 1 or 3
    bool depthwise; // weight [out,1,k,k]; else [out,in,k,k]
    bool bn;        // batch norm expected (may be absent only for ffm.low.pw and ffm.high.pw with a bias)
} fs_layer;

// The 45 layers of `model` in table order.
void fs_model_layers(const fs_model *model, fs_layer layers[FS_LAYERS]);

// Batch norm folded into weight and bias (w' = w * g / sqrt(var + eps), in double, stored float).
// Dense: weight[(ky * k + kx) * in + ci][co]; depthwise: weight[ky * k + kx][c]. Output channel runs fastest.
typedef struct fs_folded {
    float *weight;
    float *bias; // [out], zeros when the layer has none
} fs_folded;

// How the input x of a dense layer becomes u8 in int8: clamp(round(x / scale), -zero, 255 - zero) + zero. A scale of 0
// means that the layer stays precise.
typedef struct fs_quant {
    float scale;
    int zero; // what 0.0 becomes, 0..255
} fs_quant;

enum { FS_PASSED_MAX = 128 };

typedef struct fs_weights {
    fs_model model;
    fs_folded layer[FS_LAYERS];
    float *block; // the one allocation behind all of the above; owned
    // What calibration found, all zero without.
    fs_quant int8[FS_LAYERS];
    char int8_passed[FS_PASSED_MAX]; // kinds of machine on which int8 held accuracy and speed: names with commas
} fs_weights;

// Whether a layer may run in int8: pointwise, and neither a pyramid's, which is tiny, nor the last, whose results are
// the logits.
bool fs_layer_takes_int8(int layer);
// Whether any layer of a file is calibrated.
bool fs_weights_calibrated(const fs_weights *weights);

// Number of weights of a layer (without bias).
long fs_layer_weight_count(const fs_layer *layer);
// Allocates the block for `model` and points the layers into it. FS_ERR_MEMORY.
fs_status fs_weights_alloc(fs_weights *weights, const fs_model *model);
void fs_weights_free(fs_weights *weights); // accepts a zeroed struct

#endif
