// Tests of the CPU backend on the shared data, where there is any: golden checkpoints of every implementation, and a
// trained model on real street frames.
#include <criterion/criterion.h>
#include <criterion/parameterized.h>
#include <ctype.h>
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "host/image/image.h"
#include "runtime/base/mem.h"
#include "tests/cpu/network.h"
#include "tests/data.h"
#include "tests/golden/golden.h"
#include "weights/safetensors.h"

#define BF16_L2 0.12

// ---- The index: a JSON list of flat objects ------------------------------------------------------------------------

typedef struct entry {
    char checkpoint[64], input[64], expected[96];
    int classes, channels;
} entry;

enum { MAX_ENTRIES = 64 };

// The value of "key" in the object that `text` begins, without quotes; false when it is not in there.
static bool member(const char *text, const char *key, char *value, size_t size) {
    char quoted[64];
    snprintf(quoted, sizeof quoted, "\"%s\"", key);
    const char *end = strchr(text, '}'), *at = strstr(text, quoted);
    if (at == NULL || end == NULL || at > end) return false;
    at += strlen(quoted);
    while (isspace((unsigned char)*at) || *at == ':') at++;
    const size_t n = *at == '"' ? strcspn(++at, "\"") : strcspn(at, ",} \n");
    snprintf(value, size, "%.*s", (int)n, at);
    return true;
}

static int parse_index(const char *text, entry entries[MAX_ENTRIES]) {
    int count = 0;
    for (const char *at = text; count < MAX_ENTRIES && (at = strchr(at, '{')) != NULL; at++) {
        entry *e = &entries[count];
        char classes[16], channels[16];
        if (!member(at, "checkpoint", e->checkpoint, sizeof e->checkpoint) ||
            !member(at, "input", e->input, sizeof e->input) ||
            !member(at, "expected", e->expected, sizeof e->expected) ||
            !member(at, "classes", classes, sizeof classes) || !member(at, "channels", channels, sizeof channels))
            continue;
        e->classes = atoi(classes), e->channels = atoi(channels);
        count++;
    }
    return count;
}

Test(shared_index, is_understood) {
    static entry entries[MAX_ENTRIES];
    cr_assert_eq(parse_index("[ {\"checkpoint\": \"a.pth\",\n\"variant\":\"x\", \"classes\": 19, \"channels\": 3,\n "
                             "\"input\": \"i.png\", \"expected\" : \"e\"},\n {\"checkpoint\": \"b\"} ]",
                             entries),
                 1);
    cr_expect_str_eq(entries[0].checkpoint, "a.pth");
    cr_expect_str_eq(entries[0].input, "i.png");
    cr_expect_str_eq(entries[0].expected, "e");
    cr_expect(entries[0].classes == 19 && entries[0].channels == 3);
    cr_expect_eq(parse_index("", entries), 0);
}

// ---- Golden checkpoints --------------------------------------------------------------------------------------------

static bool ends_with(const char *text, const char *end) {
    return strlen(text) >= strlen(end) && strcmp(text + strlen(text) - strlen(end), end) == 0;
}

static const fs_file_tensor *tensor(const fs_safetensors *file, const char *name) {
    const fs_file_tensor *t = fs_safetensors_find(file, name);
    cr_assert_not_null(t, "%s has no %s", file->shown, name);
    return t;
}

static void *copy(const fs_file_tensor *t) {
    void *data = fs_malloc(1, t->end - t->begin);
    memcpy(data, t->data, t->end - t->begin);
    return data;
}

// The expected results as one of our own golden cases.
static fs_golden read_expected(const char *path, const entry *e) {
    fs_safetensors file;
    cr_assert_eq(fs_safetensors_open(path, &file), FS_OK, "%s", fs_error_text());
    fs_golden g = {.model = {.classes = e->classes, .channels = e->channels}};
    g.labels = copy(tensor(&file, "labels"));
    g.height = (int)tensor(&file, "labels")->shape[0], g.width = (int)tensor(&file, "labels")->shape[1];
    g.yx = copy(tensor(&file, "sample_yx"));
    g.samples = (int)tensor(&file, "sample_yx")->shape[0];
    g.logits = copy(tensor(&file, "sample_logits"));
    cr_assert_eq(tensor(&file, "sample_logits")->shape[1], (uint64_t)e->classes);
    fs_safetensors_close(&file);
    return g;
}

// Runs the network by `engine` on the picture; labels and logits are written.
static void run(fscnn_engine *engine, const fs_image *picture, uint8_t *labels, float *logits) {
    fscnn_session *session = fs_test_session(engine, picture->height, picture->width, 0);
    fscnn_frame frame;
    fscnn_frame_init(&frame, picture->channels == 4 ? FSCNN_RGBA8 : FSCNN_RGB8, picture->width, picture->height,
                     picture->pixels);
    fscnn_outputs outputs;
    fscnn_outputs_init(&outputs);
    outputs.labels = labels, outputs.logits = logits;
    cr_assert_eq(fscnn_run(session, &frame, &outputs), FSCNN_OK, "%s", fscnn_error());
    fscnn_session_close(&session);
}

static fscnn_engine *open_engine(const char *path, fscnn_precision precision) {
    fscnn_engine_options options;
    fscnn_engine_options_init(&options);
    options.precision = precision;
    fscnn_engine *engine;
    cr_assert_eq(fscnn_engine_open(path, &options, &engine), FSCNN_OK, "%s", fscnn_error());
    return engine;
}

ParameterizedTestParameters(shared_golden, every_entry) {
    static entry entries[MAX_ENTRIES];
    static char text[65536], path[4096];
    const char *folder = fs_test_data();
    int count = 0;
    if (folder) {
        snprintf(path, sizeof path, "%s/golden/index.json", folder);
        FILE *file = fopen(path, "r");
        if (file) {
            text[fread(text, 1, sizeof text - 1, file)] = '\0';
            fclose(file);
            count = parse_index(text, entries);
        }
    }
    // An empty entry skips; an index that nobody understands fails.
    if (count == 0) entries[0] = (entry){.classes = folder ? -1 : 0}, count = 1;
    return cr_make_param_array(entry, entries, (size_t)count);
}
ParameterizedTest(entry *e, shared_golden, every_entry) {
    const char *folder = fs_test_data();
    if (folder == NULL) cr_skip_test("no shared test data");
    cr_assert_gt(e->classes, 0, "no entry in %s/golden/index.json", folder);
    char weights[8300], path[4200], temporary[64] = "";
    snprintf(weights, sizeof weights, "%s/golden/%s", folder, e->checkpoint);
    if (!ends_with(e->checkpoint, ".safetensors")) {
        const char *python = getenv("FASTSCNN_PYTHON");
        snprintf(temporary, sizeof temporary, "/tmp/fastscnn-shared-XXXXXX");
        cr_assert_not_null(mkdtemp(temporary));
        char command[17000];
        snprintf(command, sizeof command, "'%s' -B '%s/weights/convert.py' '%s' -o '%s/w.safetensors' >&2",
                 python ? python : "python3", FS_SOURCE_DIR, weights, temporary);
        cr_assert_eq(system(command), 0, "cannot convert %s", e->checkpoint);
        snprintf(weights, sizeof weights, "%s/w.safetensors", temporary);
    }
    snprintf(path, sizeof path, "%s/golden/%s", folder, e->expected);
    fs_golden golden = read_expected(path, e);
    snprintf(path, sizeof path, "%s/golden/%s", folder, e->input);
    fs_image picture;
    cr_assert_eq(fs_image_read(path, e->channels, &picture), FS_OK, "%s", fs_error_text());
    cr_assert(picture.height == golden.height && picture.width == golden.width, "%s", e->input);
    const size_t pixels = (size_t)golden.height * (size_t)golden.width;
    uint8_t *labels = fs_malloc(pixels, 1);
    float *logits = fs_malloc(pixels * (size_t)e->classes, sizeof(float));

    fscnn_engine *engine = open_engine(weights, FSCNN_PRECISION_FP32);
    run(engine, &picture, labels, logits);
    fscnn_engine_close(&engine);
    fs_golden_score score = fs_golden_compare(&golden, labels, logits);
    fprintf(stderr, "%s: fp32 labels %.6f, relative error %.2g", e->expected, score.labels, score.l2);
    cr_expect(fs_golden_passes_fp32(&score), "%s: labels %.6f, error %.3g, deviation %.3g", e->expected, score.labels,
              score.error, score.deviation);

    engine = open_engine(weights, FSCNN_PRECISION_BF16);
    run(engine, &picture, labels, logits);
    fscnn_engine_close(&engine);
    score = fs_golden_compare(&golden, labels, logits);
    fprintf(stderr, "; bf16 labels %.4f, relative error %.3g", score.labels, score.l2);
    cr_expect_leq(score.l2, BF16_L2, "%s in bf16: relative error %.3g", e->expected, score.l2);

    // What a processor with bf16 arithmetic runs, by emulation: slow, so not on the largest pictures.
    if (pixels < (FS_TEST_SANITIZED ? 300000 : 1200000)) {
        fs_weights plain;
        fs_labels names;
        cr_assert_eq(fs_weights_load(weights, &plain, &names), FS_OK, "%s", fs_error_text());
        engine = fs_test_engine(&plain, FS_BF16, &fs_kernels_wide, NULL);
        fs_weights_free(&plain);
        run(engine, &picture, labels, logits);
        fscnn_engine_close(&engine);
        score = fs_golden_compare(&golden, labels, logits);
        fprintf(stderr, "; bf16 products labels %.4f, relative error %.3g", score.labels, score.l2);
        cr_expect_leq(score.l2, BF16_L2, "%s with bf16 products: relative error %.3g", e->expected, score.l2);
    }
    fprintf(stderr, "\n");
    fs_free(labels);
    fs_free(logits);
    fs_golden_free(&golden);
    fs_image_free(&picture);
    if (temporary[0]) {
        unlink(weights);
        rmdir(temporary);
    }
    cr_expect_eq(fs_mem_live_blocks(), 0);
}

// ---- The trained model on CamVid -----------------------------------------------------------------------------------

enum { CLASSES = 11, IMAGES = 147 };

static int by_name(const void *a, const void *b) {
    return strcmp(a, b);
}

static int list_images(const char *folder, char names[][64], int most) {
    DIR *dir = opendir(folder);
    if (dir == NULL) return 0;
    int count = 0;
    for (struct dirent *d; count < most && (d = readdir(dir)) != NULL;)
        if (ends_with(d->d_name, ".jpg")) snprintf(names[count++], 64, "%.63s", d->d_name);
    closedir(dir);
    qsort(names, (size_t)count, 64, by_name);
    return count;
}

Test(shared_camvid, trained_model) {
    const char *folder = fs_test_data();
    static char names[2 * IMAGES][64];
    char path[4200];
    if (folder == NULL) cr_skip_test("no shared test data");
    snprintf(path, sizeof path, "%s/data/camvid/test/images", folder);
    const int count = list_images(path, names, 2 * IMAGES);
    snprintf(path, sizeof path, "%s/weights/camvid11.safetensors", folder);
    if (count == 0 || access(path, R_OK) != 0) {
        fprintf(stderr, "SKIP: no CamVid test frames or no trained model under %s\n", folder);
        cr_skip_test("no CamVid");
    }
    cr_assert_eq(count, IMAGES);
    fscnn_engine *engines[2] = {open_engine(path, FSCNN_PRECISION_FP32), open_engine(path, FSCNN_PRECISION_BF16)};
    fs_weights plain;
    fs_labels class_names;
    cr_assert_eq(fs_weights_load(path, &plain, &class_names), FS_OK, "%s", fs_error_text());
    fscnn_engine *emulated = fs_test_engine(&plain, FS_BF16, &fs_kernels_wide, NULL);
    fs_weights_free(&plain);

    static uint64_t confusion[CLASSES][CLASSES]; // [truth][answer]
    uint64_t total = 0, same = 0, tried = 0, same_emulated = 0;
    for (int i = 0; i < count; i++) {
        fs_image picture, truth;
        snprintf(path, sizeof path, "%s/data/camvid/test/images/%s", folder, names[i]);
        cr_assert_eq(fs_image_read(path, 3, &picture), FS_OK, "%s", fs_error_text());
        snprintf(path, sizeof path, "%s/data/camvid/test/labels/%.*s.png", folder, (int)strlen(names[i]) - 4, names[i]);
        cr_assert_eq(fs_image_read(path, 3, &truth), FS_OK, "%s", fs_error_text());
        cr_assert(truth.width == picture.width && truth.height == picture.height, "%s", path);
        const size_t pixels = (size_t)picture.width * (size_t)picture.height;
        uint8_t *labels[3];
        for (int p = 0; p < 3; p++) {
            labels[p] = fs_malloc(pixels, 1);
            if (p < 2) run(engines[p], &picture, labels[p], NULL);
        }
        const bool emulate = i % 37 == 0;
        if (emulate) run(emulated, &picture, labels[2], NULL);
        for (size_t k = 0; k < pixels; k++) {
            const int want = truth.pixels[3 * k]; // gray: three times the same; 11 is void
            cr_assert(labels[0][k] < CLASSES);
            if (want < CLASSES) confusion[want][labels[0][k]]++;
            same += labels[0][k] == labels[1][k];
            same_emulated += emulate && labels[0][k] == labels[2][k];
        }
        total += pixels;
        tried += emulate ? pixels : 0;
        for (int p = 0; p < 3; p++) fs_free(labels[p]);
        fs_image_free(&picture);
        fs_image_free(&truth);
    }
    double iou = 0;
    uint64_t right = 0, valid = 0;
    for (int c = 0; c < CLASSES; c++) {
        uint64_t row = 0, column = 0;
        for (int k = 0; k < CLASSES; k++) row += confusion[c][k], column += confusion[k][c];
        right += confusion[c][c], valid += row;
        iou += (double)confusion[c][c] / (double)(row + column - confusion[c][c]) / CLASSES;
    }
    const double accuracy = (double)right / (double)valid;
    const double agree = (double)same / (double)total, agree_emulated = (double)same_emulated / (double)tried;
    fprintf(stderr,
            "CamVid test: mIoU %.5f, pixel accuracy %.5f; bf16 labels %.5f like fp32, with bf16 products %.5f\n", iou,
            accuracy, agree, agree_emulated);
    cr_expect_float_eq(iou, 0.4847, 0.0005, "mIoU %.5f", iou);
    cr_expect_float_eq(accuracy, 0.8146, 0.0005, "pixel accuracy %.5f", accuracy);
    cr_expect_geq(agree, 0.995, "bf16 labels agree on %.5f", agree);
    cr_expect_geq(agree_emulated, 0.995, "labels with bf16 products agree on %.5f", agree_emulated);
    for (int p = 0; p < 2; p++) fscnn_engine_close(&engines[p]);
    fscnn_engine_close(&emulated);
    cr_expect_eq(fs_mem_live_blocks(), 0);
}
