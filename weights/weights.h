// Weights files: open a safetensors file (or make random weights), bind it to the network, fold batch norm.
#ifndef FS_WEIGHTS_H
#define FS_WEIGHTS_H

#include <stddef.h>
#include <stdint.h>

#include "runtime/model.h"

// What a file says beyond the numbers.
typedef struct fs_labels {
    int classes;
    char name[FS_MAX_CLASSES][64]; // "class 0".. when the file names none (19 classes: the Cityscapes names)
    uint8_t palette[256][3];       // RGB by class; Cityscapes colours for 19 classes, else evenly spread hues
} fs_labels;

// Reads `path` (safetensors, canonical names), checks every tensor against the network that its metadata describes,
// folds batch norm. On failure *weights and *labels are untouched and the error text names the file and the fix.
// FS_ERR_IO, FS_ERR_FORMAT (not a sound safetensors file), FS_ERR_WEIGHTS (missing, extra, mis-shaped, wrong dtype,
// NaN: all of them listed at once), FS_ERR_LIMIT, FS_ERR_MEMORY.
fs_status fs_weights_load(const char *path, fs_weights *weights, fs_labels *labels);
// The same from memory; `name` stands for the path in messages.
fs_status fs_weights_parse(const void *data, size_t size, const char *name, fs_weights *weights, fs_labels *labels);

// Deterministic weights for any configuration: the formula of weights/formula.py, equal to the last bit there.
fs_status fs_weights_random(const fs_model *model, uint64_t seed, fs_weights *weights, fs_labels *labels);

#endif
