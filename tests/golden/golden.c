// Reads golden files through the library's own safetensors reader and compares results with them.
#include "tests/golden/golden.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/base/mem.h"
#include "weights/safetensors.h"

// Programs that run on another machine than they were built on are told the folder.
static const char *folder(void) {
    const char *given = getenv("FASTSCNN_GOLDEN");
    return given && given[0] ? given : FS_SOURCE_DIR "/tests/golden";
}

int fs_golden_names(char names[FS_GOLDEN_MAX][FS_GOLDEN_NAME]) {
    char path[1024];
    snprintf(path, sizeof path, "%s/index.json", folder());
    FILE *file = fopen(path, "r");
    if (file == NULL) return 0;
    int count = 0;
    char line[1024]; // one case a line
    while (count < FS_GOLDEN_MAX && fgets(line, sizeof line, file)) {
        const char *found = strstr(line, "\"name\": \"");
        if (found && sscanf(found, "\"name\": \"%47[^\"]\"", names[count]) == 1) count++;
    }
    fclose(file);
    return count;
}

static long number(const fs_safetensors *file, const char *key) {
    const char *value = fs_safetensors_get(file, key);
    return value ? strtol(value, NULL, 10) : 0;
}

static fs_status read_model(const fs_safetensors *file, fs_model *model) {
    const char *name = fs_safetensors_get(file, "fastscnn.variant");
    fs_variant variant;
    FS_TRY(fs_variant_parse(name ? name : "", &variant));
    fs_model_init(model, variant);
    model->classes = (int)number(file, "classes");
    model->channels = (int)number(file, "channels");
    for (size_t i = 0; i < file->metadata_count; i++) {
        const char *key = file->metadata[i].key;
        if (strncmp(key, "fastscnn.", 9) != 0 || strcmp(key + 9, "variant") == 0) continue;
        FS_TRY(fs_model_set(model, key + 9, file->metadata[i].value));
    }
    return fs_model_check(model);
}

// A copy of a tensor that must have `count` elements of `size` bytes.
static fs_status copy(const fs_safetensors *file, const char *name, const char *dtype, size_t count, size_t size,
                      void *out) {
    void **target = out;
    for (size_t i = 0; i < file->tensor_count; i++) {
        if (strcmp(file->tensors[i].name, name) != 0) continue;
        if (strcmp(file->tensors[i].dtype_name, dtype) != 0 ||
            file->tensors[i].end - file->tensors[i].begin != count * size)
            break;
        *target = fs_malloc(count, size);
        if (*target == NULL) return fs_fail(FS_ERR_MEMORY, "out of memory for %s", name);
        memcpy(*target, file->tensors[i].data, count * size);
        return FS_OK;
    }
    return fs_fail(FS_ERR_FORMAT, "%s has no tensor %s of %zu %s; run tests/golden/make_golden.py", file->shown, name,
                   count, dtype);
}

static uint32_t hash32(uint32_t i, uint32_t salt) {
    uint32_t h = i * 2654435761u + salt * 2246822519u;
    h ^= h >> 15;
    h *= 2246822519u;
    return h ^ h >> 13;
}

static fs_status make_frame(fs_golden *g) {
    uint32_t height = (uint32_t)g->height, width = (uint32_t)g->width, channels = (uint32_t)g->model.channels;
    g->frame = fs_malloc((size_t)height * width, channels);
    if (g->frame == NULL) return fs_fail(FS_ERR_MEMORY, "out of memory for the frame of %s", g->name);
    uint8_t *out = g->frame;
    for (uint32_t y = 0; y < height; y++)
        for (uint32_t x = 0; x < width; x++)
            for (uint32_t c = 0; c < channels; c++)
                *out++ = (uint8_t)(((x * (3 + 2 * c) + y * (5 - c)) >> 2) + (hash32(y * width + x, c) & 31));
    return FS_OK;
}

static fs_status load(const fs_safetensors *file, fs_golden *g) {
    FS_TRY(read_model(file, &g->model));
    g->height = (int)number(file, "height");
    g->width = (int)number(file, "width");
    g->seed = (uint64_t)number(file, "seed");
    for (size_t i = 0; i < file->tensor_count; i++)
        if (strcmp(file->tensors[i].name, "sample_yx") == 0) g->samples = (int)file->tensors[i].shape[0];
    size_t samples = (size_t)g->samples;
    FS_TRY(copy(file, "labels", "U8", (size_t)g->height * (size_t)g->width, 1, &g->labels));
    FS_TRY(copy(file, "sample_yx", "I32", samples * 2, sizeof(int32_t), &g->yx));
    FS_TRY(copy(file, "sample_logits", "F32", samples * (size_t)g->model.classes, sizeof(float), &g->logits));
    for (size_t i = 0; i < samples; i++)
        if (g->yx[2 * i] < 0 || g->yx[2 * i] >= g->height || g->yx[2 * i + 1] < 0 || g->yx[2 * i + 1] >= g->width)
            return fs_fail(FS_ERR_FORMAT, "%s samples outside the frame", file->shown);
    return make_frame(g);
}

fs_status fs_golden_load(const char *name, fs_golden *golden) {
    char path[1024];
    snprintf(path, sizeof path, "%s/%s.safetensors", folder(), name);
    fs_safetensors file;
    FS_TRY(fs_safetensors_open(path, &file));
    fs_golden g = {0};
    snprintf(g.name, sizeof g.name, "%s", name);
    fs_status status = load(&file, &g);
    fs_safetensors_close(&file);
    if (status == FS_OK)
        *golden = g;
    else
        fs_golden_free(&g);
    return status;
}

void fs_golden_free(fs_golden *golden) {
    fs_free(golden->frame);
    fs_free(golden->labels);
    fs_free(golden->yx);
    fs_free(golden->logits);
    memset(golden, 0, sizeof *golden);
}

fs_golden_score fs_golden_compare(const fs_golden *golden, const uint8_t *labels, const float *logits) {
    fs_golden_score score = {0};
    size_t pixels = (size_t)golden->height * (size_t)golden->width, same = 0;
    for (size_t i = 0; i < pixels; i++) same += labels[i] == golden->labels[i];
    score.labels = (double)same / (double)pixels;

    size_t samples = (size_t)golden->samples, classes = (size_t)golden->model.classes;
    double sum = 0, squares = 0, errors = 0;
    for (size_t i = 0; i < samples; i++) {
        size_t at = (size_t)golden->yx[2 * i] * (size_t)golden->width + (size_t)golden->yx[2 * i + 1];
        for (size_t c = 0; c < classes; c++) {
            double want = (double)golden->logits[i * classes + c], error = fabs((double)logits[c * pixels + at] - want);
            if (!(error <= score.error)) score.error = isnan(error) ? (double)INFINITY : error;
            sum += want, squares += want * want, errors += error * error;
        }
    }
    double count = (double)(samples * classes);
    score.deviation = sqrt(squares / count - sum / count * (sum / count));
    score.l2 = sqrt(errors / squares);
    return score;
}

bool fs_golden_passes_fp32(const fs_golden_score *score) {
    return score->labels >= 0.999 && score->error <= 1e-3 * score->deviation + 1e-3;
}
