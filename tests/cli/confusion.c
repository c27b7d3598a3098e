// Tests of the confusion matrix alone: hand-counted scores, counts beyond 32 bits, what an addition refuses, the stems.
#include <criterion/criterion.h>
#include <math.h>
#include <string.h>

#include "host/cli/cityscapes.h"
#include "host/cli/confusion.h"
#include "host/cli/pairs.h"
#include "runtime/base/mem.h"

Test(confusion, by_hand) {
    fs_confusion matrix;
    cr_assert(fs_confusion_init(&matrix, 3));
    matrix.truth[3] = matrix.truth[255] = FS_VALUE_SKIPPED;
    const uint8_t truth[] = {0, 0, 0, 1, 1, 2, 3, 255}, prediction[] = {0, 0, 1, 1, 2, 2, 0, 1};
    size_t at = 99;
    bool in_truth = false;
    cr_assert(fs_confusion_add(&matrix, truth, prediction, 8, &at, &in_truth));
    cr_assert(fs_confusion_add(&matrix, truth, prediction, 0, &at, &in_truth));
    cr_assert_eq(at, 99);
    cr_assert_eq(matrix.skipped, 2);
    cr_assert_eq(fs_confusion_counted(&matrix), 6);
    cr_assert_eq(fs_confusion_row(&matrix, 0), 3);
    cr_assert_eq(fs_confusion_column(&matrix, 1), 2);
    const double iou[3] = {2.0 / 3, 1.0 / 3, 1.0 / 2};
    for (int i = 0; i < 3; i++) cr_assert_eq(fs_confusion_iou(&matrix, i), iou[i], "class %d", i);
    cr_assert_eq(fs_confusion_accuracy(&matrix), 4.0 / 6);
    cr_assert_eq(fs_mean_score(iou, 3), (2.0 / 3 + 1.0 / 3 + 1.0 / 2) / 3);
    // 0 and 1 as one: the pixel between them is right.
    const bool group[256] = {true, true};
    cr_assert_eq(fs_confusion_group_iou(&matrix, group), 4.0 / 5);
    // An ignored truth penalises nothing, an ignored prediction is a miss.
    matrix.ignored[2] = true;
    cr_assert(isnan(fs_confusion_iou(&matrix, 2)));
    cr_assert_eq(fs_confusion_iou(&matrix, 1), 1.0 / 3);
    cr_assert_eq(fs_confusion_counted(&matrix), 5);
    cr_assert_eq(fs_confusion_accuracy(&matrix), 3.0 / 5);
    fs_confusion_free(&matrix);
}

Test(confusion, empty_and_huge) {
    fs_confusion matrix;
    cr_assert(fs_confusion_init(&matrix, 255));
    cr_assert(isnan(fs_confusion_iou(&matrix, 0)) && isnan(fs_confusion_accuracy(&matrix)));
    const double none[] = {NAN, NAN};
    cr_assert(isnan(fs_mean_score(none, 2)) && isnan(fs_mean_score(NULL, 0)));
    const double some[] = {NAN, 0.25, NAN, 0.75};
    cr_assert_eq(fs_mean_score(some, 4), 0.5);
    // A year of video: no 32-bit count holds it.
    const uint64_t year = (uint64_t)1 << 51;
    matrix.counts[254 * 255 + 254] = 3 * year;
    matrix.counts[254 * 255 + 1] = year;
    cr_assert_eq(fs_confusion_counted(&matrix), 4 * year);
    cr_assert_eq(fs_confusion_iou(&matrix, 254), 0.75);
    cr_assert_eq(fs_confusion_iou(&matrix, 1), 0);
    cr_assert(isnan(fs_confusion_iou(&matrix, 0)));
    fs_confusion_free(&matrix);
}

Test(confusion, refuses_whole_pictures) {
    fs_confusion matrix;
    cr_assert(fs_confusion_init(&matrix, 2));
    matrix.truth[2] = FS_VALUE_SKIPPED;
    const uint8_t good[4] = {0, 1, 0, 1}, skipped[4] = {2, 2, 2, 2};
    size_t at;
    bool in_truth;
    for (int i = 0; i < 4; i++) {
        uint8_t bad[4];
        memcpy(bad, good, sizeof bad);
        bad[i] = 3;
        cr_assert_not(fs_confusion_add(&matrix, bad, good, 4, &at, &in_truth));
        cr_assert(in_truth && at == (size_t)i);
        // A prediction must be a label even where the truth is not counted, and none of them is "ignored".
        bad[i] = 2;
        cr_assert_not(fs_confusion_add(&matrix, skipped, bad, 4, &at, &in_truth));
        cr_assert(!in_truth && at == (size_t)i);
    }
    cr_assert_eq(fs_confusion_counted(&matrix) + matrix.skipped, 0);
    fs_confusion_free(&matrix);
    fs_mem_fail_at(1, false);
    cr_assert_not(fs_confusion_init(&matrix, 2));
    fs_mem_fail_at(0, false);
}

Test(cityscapes, table_agrees_with_itself) {
    int evaluated = 0;
    for (int id = 0; id < FS_CITYSCAPES_LABELS; id++) {
        const fs_cityscapes_label *label = &fs_cityscapes_labels[id];
        cr_assert_not_null(label->name, "%d", id);
        cr_assert_lt(label->category, FS_CITYSCAPES_CATEGORIES);
        if (label->train_id < 0) continue;
        cr_assert_eq(label->train_id, evaluated++);
        cr_assert_eq(fs_cityscapes_ids[label->train_id], id);
        cr_assert_neq(label->category, 0);
    }
    cr_assert_eq(evaluated, FS_CITYSCAPES_CLASSES);
}

Test(pairs, stems) {
    static const struct {
        const char *name;
        int frames, plain; // lengths with and without Cityscapes' frames
    } cases[] = {
        {"x.png", 1, 1},
        {"x", 1, 1},
        {"a.b.png", 3, 3},
        {"x_labels.png", 1, 1},
        {"_labels.png", 7, 7},
        {"0001TP_008550.jpg", 13, 13},
        {"aachen_000000_000019_leftImg8bit.png", 20, 20},
        {"aachen_000000_000019_leftImg8bit_labels.png", 20, 20},
        {"aachen_000000_000019_gtFine_labelIds.png", 20, 20},
        {"aachen_000000_000019_gtCoarse_labelTrainIds.png", 20, 20},
        {"aachen_000000_000019_mine.png", 20, 25},
        {"aachen_000000_000019.png", 20, 20},
        {"aachen_000000_0000190.png", 21, 21},
        {"aachen_000000_00001.png", 19, 19},
        {"_000000_000019_mine.png", 19, 19},
        {"aachen_000000_", 14, 14},
        {"aachen_", 7, 7},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        cr_assert_eq(fs_pair_stem(cases[i].name, true), (size_t)cases[i].frames, "%s", cases[i].name);
        cr_assert_eq(fs_pair_stem(cases[i].name, false), (size_t)cases[i].plain, "%s", cases[i].name);
    }
}
