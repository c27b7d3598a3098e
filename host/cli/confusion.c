// The confusion matrix of an evaluation. Sums are whole numbers of 64 bits; only a score itself is a division.
#include "host/cli/confusion.h"

#include <math.h>

#include "runtime/base/mem.h"

bool fs_confusion_init(fs_confusion *matrix, int labels) {
    *matrix = (fs_confusion){.labels = labels};
    for (int value = 0; value < 256; value++)
        matrix->truth[value] = matrix->prediction[value] = (uint16_t)(value < labels ? value : FS_VALUE_UNKNOWN);
    matrix->counts = fs_calloc((size_t)labels * (size_t)labels, sizeof *matrix->counts);
    return matrix->counts != NULL;
}

void fs_confusion_free(fs_confusion *matrix) {
    fs_free(matrix->counts);
    *matrix = (fs_confusion){0};
}

// The first pixel of `map` whose value is unknown, or `pixels`.
static size_t first_unknown(const uint8_t *map, const uint16_t table[256], size_t pixels) {
    for (size_t i = 0; i < pixels; i++)
        if (table[map[i]] == FS_VALUE_UNKNOWN) return i;
    return pixels;
}

bool fs_confusion_add(fs_confusion *matrix, const uint8_t *truth, const uint8_t *prediction, size_t pixels, size_t *at,
                      bool *in_truth) {
    const size_t bad_truth = first_unknown(truth, matrix->truth, pixels);
    const size_t bad_prediction = first_unknown(prediction, matrix->prediction, pixels);
    if (bad_truth < pixels || bad_prediction < pixels) {
        *in_truth = bad_truth < pixels;
        *at = *in_truth ? bad_truth : bad_prediction;
        return false;
    }
    // Neighbours mostly agree, so runs are counted: a counter that is bumped at every pixel waits for its own store.
    for (size_t i = 0; i < pixels;) {
        const size_t start = i;
        const uint8_t t = truth[i], p = prediction[i];
        while (i < pixels && truth[i] == t && prediction[i] == p) i++;
        const uint16_t row = matrix->truth[t];
        if (row == FS_VALUE_SKIPPED)
            matrix->skipped += i - start;
        else
            matrix->counts[(size_t)row * (size_t)matrix->labels + matrix->prediction[p]] += i - start;
    }
    return true;
}

static uint64_t count_at(const fs_confusion *matrix, int row, int column) {
    return matrix->counts[(size_t)row * (size_t)matrix->labels + (size_t)column];
}

uint64_t fs_confusion_row(const fs_confusion *matrix, int label) {
    uint64_t sum = 0;
    for (int c = 0; c < matrix->labels; c++) sum += count_at(matrix, label, c);
    return sum;
}

uint64_t fs_confusion_column(const fs_confusion *matrix, int label) {
    uint64_t sum = 0;
    for (int r = 0; r < matrix->labels; r++)
        if (!matrix->ignored[r]) sum += count_at(matrix, r, label);
    return sum;
}

uint64_t fs_confusion_counted(const fs_confusion *matrix) {
    uint64_t sum = 0;
    for (int r = 0; r < matrix->labels; r++)
        if (!matrix->ignored[r]) sum += fs_confusion_row(matrix, r);
    return sum;
}

double fs_confusion_group_iou(const fs_confusion *matrix, const bool *group) {
    uint64_t right = 0, all = 0; // all: TP + FP + FN
    for (int r = 0; r < matrix->labels; r++) {
        if (matrix->ignored[r]) continue;
        for (int c = 0; c < matrix->labels; c++) {
            const bool predicted = group[c] && !matrix->ignored[c];
            if (group[r] && predicted) right += count_at(matrix, r, c);
            if (group[r] || predicted) all += count_at(matrix, r, c);
        }
    }
    return all == 0 ? (double)NAN : (double)right / (double)all;
}

double fs_confusion_iou(const fs_confusion *matrix, int label) {
    bool group[256] = {false};
    group[label] = true;
    return fs_confusion_group_iou(matrix, group);
}

double fs_mean_score(const double *scores, int count) {
    double sum = 0;
    int numbers = 0;
    for (int i = 0; i < count; i++) {
        if (isnan(scores[i])) continue;
        sum += scores[i];
        numbers++;
    }
    return numbers == 0 ? (double)NAN : sum / numbers;
}

double fs_confusion_accuracy(const fs_confusion *matrix) {
    const uint64_t all = fs_confusion_counted(matrix);
    uint64_t right = 0;
    for (int r = 0; r < matrix->labels; r++)
        if (!matrix->ignored[r]) right += count_at(matrix, r, r);
    return all == 0 ? (double)NAN : (double)right / (double)all;
}
