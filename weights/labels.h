// Class names and colours.
#ifndef FS_WEIGHTS_LABELS_H
#define FS_WEIGHTS_LABELS_H

#include "weights/weights.h"

// Names and colours of a model that brings none: Cityscapes for 19 classes, CamVid for 11, else "class N" and evenly
// spread hues.
void fs_labels_default(int classes, fs_labels *labels);

// Overrides them with comma-separated lists from a file's metadata: names, and colours as RRGGBB (a leading '#' is
// allowed). Either may be NULL. A file that names 11 classes but no colours gets the hues: its order need not be
// CamVid's. FS_ERR_WEIGHTS when a list is malformed or has another length than `classes`.
fs_status fs_labels_parse(int classes, const char *names, const char *palette, fs_labels *labels);

#endif
