// The table and the JSON of an evaluation.
#include "host/cli/eval.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "runtime/base/text.h"

void fs_evaluation_score(fs_evaluation *self) {
    const fs_confusion *matrix = &self->matrix;
    for (int i = 0; i < matrix->labels; i++) self->iou[i] = fs_confusion_iou(matrix, i);
    self->miou = fs_mean_score(self->iou, matrix->labels);
    self->accuracy = fs_confusion_accuracy(matrix);
    if (!self->cityscapes) return;
    for (int c = 0; c < FS_CITYSCAPES_CATEGORIES; c++) {
        bool group[256] = {false};
        for (int i = 0; i < FS_CITYSCAPES_LABELS; i++) group[i] = fs_cityscapes_labels[i].category == c;
        self->category_iou[c] = fs_confusion_group_iou(matrix, group);
    }
    self->category_miou = fs_mean_score(self->category_iou, FS_CITYSCAPES_CATEGORIES);
}

static void print_score(FILE *file, const char *name, double score) {
    if (isnan(score))
        fprintf(file, "%-22s %7s", name, "-");
    else
        fprintf(file, "%-22s %7.4f", name, score);
}

static uint64_t ignored_pixels(const fs_confusion *matrix) {
    uint64_t sum = matrix->skipped;
    for (int i = 0; i < matrix->labels; i++)
        if (matrix->ignored[i]) sum += fs_confusion_row(matrix, i);
    return sum;
}

void fs_evaluation_print(const fs_evaluation *self, FILE *file) {
    const fs_confusion *matrix = &self->matrix;
    const double counted = (double)fs_confusion_counted(matrix), ignored = (double)ignored_pixels(matrix);
    fprintf(file, "%-22s %7s %10s %10s\n", "class", "IoU", "truth", "predicted");
    for (int i = 0; i < matrix->labels; i++) {
        if (matrix->ignored[i]) continue;
        print_score(file, self->names[i], self->iou[i]);
        fprintf(file, " %8.3f %% %8.3f %%\n", 100 * (double)fs_confusion_row(matrix, i) / counted,
                100 * (double)fs_confusion_column(matrix, i) / counted);
    }
    if (self->cityscapes) {
        fprintf(file, "\n%-22s %7s\n", "category", "IoU");
        for (int c = 0; c < FS_CITYSCAPES_CATEGORIES; c++) {
            if (c == 0) continue; // void
            print_score(file, fs_cityscapes_categories[c], self->category_iou[c]);
            fputc('\n', file);
        }
        print_score(file, "mean of categories", self->category_miou);
        fputc('\n', file);
    }
    fputc('\n', file);
    print_score(file, "mIoU", self->miou);
    fputc('\n', file);
    print_score(file, "pixel accuracy", self->accuracy);
    fprintf(file, "\n%zu %s, %.0f pixels, %.2f %% of the truth ignored\n", self->evaluated,
            self->evaluated == 1 ? "picture" : "pictures", counted + ignored, 100 * ignored / (counted + ignored));
    if (self->evaluated < self->found)
        fprintf(file, "PARTIAL: %zu of %zu pictures, %s\n", self->evaluated, self->found,
                !self->interrupted   ? "the others failed"
                : self->failures > 0 ? "interrupted, and some failed"
                                     : "interrupted");
    if (self->model == NULL) return;
    fprintf(file, "%s %s, %s, %.1f s, %s\n", fs_backend_names[self->model->info.backend],
            fs_precision_names[self->model->info.precision], self->model->info.device, self->seconds,
            self->model->weights);
}

static void add_names(const fs_evaluation *self, fs_text *json) {
    fs_json_open(json, "labels", '[');
    for (int i = 0; i < self->matrix.labels; i++) fs_json_string(json, NULL, self->names[i]);
    fs_json_close(json, ']');
    fs_json_open(json, "ignored", '[');
    for (int value = 0; value < 256; value++) {
        const int label = self->matrix.truth[value];
        if (label == FS_VALUE_SKIPPED || (label < self->matrix.labels && self->matrix.ignored[label]))
            fs_json_integer(json, NULL, value);
    }
    fs_json_close(json, ']');
}

static void add_scores(const fs_evaluation *self, fs_text *json) {
    fs_json_number(json, "miou", self->miou);
    fs_json_number(json, "pixel_accuracy", self->accuracy);
    fs_json_open(json, "iou", '{');
    for (int i = 0; i < self->matrix.labels; i++)
        if (!self->matrix.ignored[i]) fs_json_number(json, self->names[i], self->iou[i]);
    fs_json_close(json, '}');
    if (!self->cityscapes) return;
    fs_json_number(json, "category_miou", self->category_miou);
    fs_json_open(json, "category_iou", '{');
    for (int c = 1; c < FS_CITYSCAPES_CATEGORIES; c++)
        fs_json_number(json, fs_cityscapes_categories[c], self->category_iou[c]);
    fs_json_close(json, '}');
}

static void add_settings(const fs_evaluation *self, fs_text *json) {
    if (self->scenes) {
        fs_json_integer(json, "scene_seed", self->scene_seed);
        fs_json_integer(json, "scenes", (int64_t)self->evaluated);
    }
    fs_json_string(json, "images_folder", self->images);
    fs_json_string(json, "truth_folder", self->truth);
    fs_json_string(json, "predictions_folder", self->predictions);
    fs_json_string(json, "truth_ids", self->cityscapes ? "cityscapes" : "trainid");
    if (self->model == NULL) return;
    char size[32] = "native";
    if (self->size.height > 0) snprintf(size, sizeof size, "%dx%d", self->size.height, self->size.width);
    fs_json_string(json, "weights", self->model->weights);
    fs_json_string(json, "variant", self->model->info.variant);
    fs_json_string(json, "backend", fs_backend_names[self->model->info.backend]);
    fs_json_string(json, "device", self->model->info.device);
    fs_json_string(json, "precision", fs_precision_names[self->model->info.precision]);
    fs_json_string(json, "kernels", self->model->info.kernels);
    fs_json_string(json, "size", size);
    fs_json_integer(json, "threads", self->threads);
    fs_json_number(json, "seconds", self->seconds);
}

bool fs_evaluation_write(const fs_evaluation *self, const char *path) {
    const int labels = self->matrix.labels;
    fs_text json = {0};
    fs_json_open(&json, NULL, '{');
    fs_json_string(&json, "kind", "eval");
    fs_json_string(&json, "version", fscnn_version_string());
    fs_json_string(&json, "commit", FS_COMMIT);
    fs_json_integer(&json, "images", (int64_t)self->evaluated);
    fs_json_integer(&json, "images_found", (int64_t)self->found);
    fs_json_bool(&json, "partial", self->evaluated < self->found);
    fs_json_bool(&json, "interrupted", self->interrupted);
    fs_json_open(&json, "failed", '[');
    for (size_t i = 0; i < self->failures; i++) fs_json_string(&json, NULL, self->failed[i]);
    fs_json_close(&json, ']');
    add_scores(self, &json);
    fs_json_integer(&json, "pixels", (int64_t)fs_confusion_counted(&self->matrix));
    fs_json_integer(&json, "ignored_pixels", (int64_t)ignored_pixels(&self->matrix));
    add_settings(self, &json);
    add_names(self, &json);
    fs_json_open(&json, "confusion", '[');
    for (int r = 0; r < labels; r++) {
        fs_json_open(&json, NULL, '[');
        for (int c = 0; c < labels; c++)
            fs_json_integer(&json, NULL, (int64_t)self->matrix.counts[(size_t)r * (size_t)labels + (size_t)c]);
        fs_json_close(&json, ']');
    }
    fs_json_close(&json, ']');
    fs_json_close(&json, '}');
    fs_text_add(&json, "\n");
    bool fine = fs_text_status(&json) == FS_OK;
    if (fine)
        fine = fs_text_write(path, json.data, json.length);
    else
        fs_complain("out of memory for '%s'", path);
    fs_text_free(&json);
    return fine;
}
