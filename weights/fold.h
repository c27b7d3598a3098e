// Folding of batch norm into a convolution.
#ifndef FS_WEIGHTS_FOLD_H
#define FS_WEIGHTS_FOLD_H

#include "runtime/model.h"

// A layer as a weights file has it.
typedef struct fs_unfolded {
    const float *weight; // OIHW; depthwise [C,1,k,k]
    const float *bias;   // [out], NULL when there is none
    // [out] each; all NULL without batch norm
    const float *gamma, *beta, *mean, *variance;
} fs_unfolded;

// w' = w * s and b' = beta + (bias - mean) * s with s = gamma / sqrt(variance + epsilon), in double, stored float in
// the layout of fs_folded. FS_ERR_WEIGHTS when a result does not fit a float.
fs_status fs_fold(const fs_layer *layer, const fs_unfolded *in, double epsilon, const fs_folded *out);

#endif
