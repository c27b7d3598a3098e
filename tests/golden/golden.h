// The golden cases of this folder for tests: models, frames and expected results (see README.md here).
#ifndef FS_TESTS_GOLDEN_H
#define FS_TESTS_GOLDEN_H

#include <stdint.h>

#include "runtime/model.h"

enum { FS_GOLDEN_MAX = 64, FS_GOLDEN_NAME = 48 };

typedef struct fs_golden {
    char name[FS_GOLDEN_NAME];
    fs_model model; // variant, switches, classes and channels of the case
    int height, width;
    uint64_t seed;   // of fs_weights_random
    uint8_t *frame;  // [height][width][channels], by the formula
    uint8_t *labels; // [height][width]
    int samples;
    int32_t *yx;   // [samples][2]
    float *logits; // [samples][classes]
} fs_golden;

// Names of all cases into `names`; their number, 0 when index.json cannot be read.
int fs_golden_names(char names[FS_GOLDEN_MAX][FS_GOLDEN_NAME]);
fs_status fs_golden_load(const char *name, fs_golden *golden);
void fs_golden_free(fs_golden *golden);

typedef struct fs_golden_score {
    double labels;    // share of pixels that agree
    double error;     // largest absolute difference of a sampled logit; infinite when one is not a number
    double deviation; // standard deviation of the expected sampled logits
    double l2;        // relative L2 error of the sampled logits
} fs_golden_score;

// labels: [height][width]; logits: [classes][height][width].
fs_golden_score fs_golden_compare(const fs_golden *golden, const uint8_t *labels, const float *logits);
// What fp32 must reach: 99.9 % of the labels, logits within 1e-3 of their standard deviation + 1e-3.
bool fs_golden_passes_fp32(const fs_golden_score *score);

#endif
