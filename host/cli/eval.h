// What an evaluation measured, and how it is told: a table for people, JSON for programs.
#ifndef FS_CLI_EVAL_H
#define FS_CLI_EVAL_H

#include <stdbool.h>
#include <stddef.h>

#include "host/cli/cityscapes.h"
#include "host/cli/cli.h"
#include "host/cli/confusion.h"

enum { FS_NAME_MAX = 64 };

typedef struct fs_evaluation {
    fs_confusion matrix;
    bool cityscapes;              // label ids: the matrix has all 34 labels, and there are categories
    int ignore;                   // the value that is ignored beside the first one past the classes; -1 with label ids
    char names[256][FS_NAME_MAX]; // of the labels, no two alike
    // What was evaluated.
    const char *images, *truth, *predictions; // folders; of images and predictions one is NULL
    bool scenes;                              // in their place, generated streets from this seed on
    int scene_seed;
    size_t found, evaluated; // pairs
    bool interrupted;        // before all were tried
    size_t unused;           // files without a partner that nothing asked for
    const char **failed;     // [failures] paths; borrowed
    size_t failures;
    double seconds;
    // How; NULL where no network ran.
    const fs_model_open *model;
    fs_size size; // of the network; 0x0: each picture's own
    int threads;
    // Scores, filled by fs_evaluation_score.
    double iou[256], miou, accuracy;
    double category_iou[FS_CITYSCAPES_CATEGORIES], category_miou;
} fs_evaluation;

void fs_evaluation_score(fs_evaluation *evaluation);
void fs_evaluation_print(const fs_evaluation *evaluation, FILE *file);
// Complains on failure.
bool fs_evaluation_write(const fs_evaluation *evaluation, const char *path);

#endif
