// The confusion matrix of an evaluation, filled picture by picture, and the scores that are read off it.
#ifndef FS_CLI_CONFUSION_H
#define FS_CLI_CONFUSION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// What becomes of a value of a label map: its label 0..labels-1, or one of these.
enum { FS_VALUE_SKIPPED = 0x100, FS_VALUE_UNKNOWN = 0x101 };

typedef struct fs_confusion {
    int labels;          // 1..255
    bool ignored[256];   // labels that are not evaluated: as truth they penalise nothing, as prediction they are a miss
    uint16_t truth[256]; // by value in a truth map
    uint16_t prediction[256]; // by value in a prediction; FS_VALUE_SKIPPED does not occur
    uint64_t *counts;         // [labels][labels], rows are the truth; owned
    uint64_t skipped;         // truth pixels that are in no row
} fs_confusion;

// Labels 0..labels-1 stand for themselves; all other values are unknown. Change the tables before the first addition.
// False when memory is out.
bool fs_confusion_init(fs_confusion *matrix, int labels);
void fs_confusion_free(fs_confusion *matrix);

// Adds the pixels of one picture, or none of them: false when a value is unknown, *at then being the first such pixel,
// and *in_truth which of the maps has it.
bool fs_confusion_add(fs_confusion *matrix, const uint8_t *truth, const uint8_t *prediction, size_t pixels, size_t *at,
                      bool *in_truth);

uint64_t fs_confusion_row(const fs_confusion *matrix, int label);    // pixels of this truth
uint64_t fs_confusion_column(const fs_confusion *matrix, int label); // pixels so predicted, over rows not ignored
uint64_t fs_confusion_counted(const fs_confusion *matrix);           // pixels in rows not ignored

// TP / (TP + FP + FN) of the labels of `group` (labels entries) taken as one. FN: the rows of the group in other
// columns, ignored ones too. FP: the columns of the group in the other rows that are not ignored. Ignored labels do not
// belong to a group. NaN when there is no such pixel.
double fs_confusion_group_iou(const fs_confusion *matrix, const bool *group);
// The same of one label; NaN when it is ignored.
double fs_confusion_iou(const fs_confusion *matrix, int label);
// Mean of those scores that are numbers, added in their order; NaN when there are none.
double fs_mean_score(const double *scores, int count);
// The share of counted pixels whose prediction is the truth; NaN when there are none.
double fs_confusion_accuracy(const fs_confusion *matrix);

#endif
