// The label table of Cityscapes: 34 label ids, of which 19 are evaluated, in 7 categories.
#ifndef FS_CLI_CITYSCAPES_H
#define FS_CLI_CITYSCAPES_H

#include <stdint.h>

enum { FS_CITYSCAPES_LABELS = 34, FS_CITYSCAPES_CLASSES = 19, FS_CITYSCAPES_CATEGORIES = 8 };

typedef struct fs_cityscapes_label {
    const char *name;
    int category; // index into fs_cityscapes_categories
    int train_id; // 0..18; -1: not evaluated
} fs_cityscapes_label;

// By label id. The one label with a negative id (license plate) is never written into a label map.
extern const fs_cityscapes_label fs_cityscapes_labels[FS_CITYSCAPES_LABELS];
// Category 0, void, has no evaluated label.
extern const char *const fs_cityscapes_categories[FS_CITYSCAPES_CATEGORIES];
// Label ids of train ids 0..18.
extern const uint8_t fs_cityscapes_ids[FS_CITYSCAPES_CLASSES];

#endif
