// The head: labels or full-size logits from the 1/8-size logits.
#ifndef FS_CPU_HEAD_H
#define FS_CPU_HEAD_H

#include "cpu/kernels/kernels.h"
#include "runtime/plan.h"

typedef struct fs_head {
    int h, w;          // of the logits
    int height, width; // of the frame
    int classes, stride_c;
    bool align;             // corners
    int *lower_y, *lower_x; // [height], [width]: the grid row above, the grid column to the left
    int *first_y, *first_x; // [h + 1], [w + 1]: the first output row (column) whose lower neighbour is at least i
    float *fraction_y, *fraction_x; // [height], [width + 16]
    void *block;                    // owned
    size_t room;                    // bytes of it
} fs_head;

// For outputs of the network's size.
fs_status fs_head_init(fs_head *head, const fs_graph *graph, int stride_c);
// For outputs of another size from the logits that `like` reads. `head` is zeroed, or made so before: then it allocates
// only when it grows, and is as it was when that fails.
fs_status fs_head_resize(fs_head *head, const fs_head *like, int height, int width);
void fs_head_free(fs_head *head);

// Whatever the size of the outputs.
size_t fs_head_scratch(const fs_head *head);
// Labels of the output rows between grid rows cell0 and cell1 (first_y[cell0] .. first_y[cell1]). counts: NULL, or
// [classes], to which the pixels of each class are added.
void fs_head_labels(const fs_head *head, const fs_kernels *k, const float *logits, int cell0, int cell1,
                    uint32_t *counts, uint8_t *labels, size_t labels_stride, char *scratch);
// Full-size logits of the same rows, [classes][height][width].
void fs_head_logits(const fs_head *head, const fs_kernels *k, const float *logits, int cell0, int cell1, float *out,
                    char *scratch);
// What the softmax of the logits gives; either may be NULL.
typedef struct fs_softmax {
    uint8_t *confidence; // [height][stride]: round(255 * the largest value)
    size_t stride;
    void *scores; // [classes][height][width]: all values, float or half
    bool half;
} fs_softmax;
// The same rows of it.
void fs_head_softmax(const fs_head *head, const fs_kernels *k, const float *logits, int cell0, int cell1,
                     const fs_softmax *out, char *scratch);

#endif
