// Binds the tensors of a file to the layers of the network that its metadata describes. Everything that does not fit is
// collected and reported at once.
#include <math.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "runtime/base/mem.h"
#include "runtime/base/text.h"
#include "weights/fold.h"
#include "weights/labels.h"
#include "weights/quant.h"
#include "weights/safetensors.h"
#include "weights/weights.h"

enum { MAX_LISTED = 20, PARTS = 6, MAX_CHANNELS = 6 * 128, MAX_WEIGHTS = 128 * 256 * 9 };

enum { PART_WEIGHT, PART_BIAS, PART_GAMMA, PART_BETA, PART_MEAN, PART_VARIANCE };
static const char *const part_names[PARTS] = {"conv.weight", "conv.bias",       "bn.weight",
                                              "bn.bias",     "bn.running_mean", "bn.running_var"};

typedef enum problem_kind { MISSING, EXTRA, SHAPE, DTYPE, VALUE, KINDS } problem_kind;
static const char *const kind_names[KINDS] = {"missing", "extra", "mis-shaped", "of a wrong dtype", "with bad values"};

typedef struct problems {
    int count[KINDS];
    char line[KINDS][MAX_LISTED][160]; // the first of each kind
} problems;

static void report(problems *p, problem_kind kind, const char *format, ...) __attribute__((format(printf, 3, 4)));
static void report(problems *p, problem_kind kind, const char *format, ...) {
    int index = p->count[kind]++;
    if (index >= MAX_LISTED) return;
    va_list args;
    va_start(args, format);
    vsnprintf(p->line[kind][index], sizeof p->line[kind][index], format, args);
    va_end(args);
}

// Writes up to MAX_LISTED lines and what they leave out. The kinds share the lines evenly, so that a flood of missing
// tensors does not hide the extra ones, which are often the same under another name.
static void list_problems(const problems *p, char *out, size_t size) {
    int shown[KINDS] = {0}, total = 0, listed = 0;
    for (int kind = 0; kind < KINDS; kind++) total += p->count[kind];
    for (int kind = 0, slots = total < MAX_LISTED ? total : MAX_LISTED; slots > 0; kind = (kind + 1) % KINDS) {
        if (shown[kind] == p->count[kind]) continue;
        shown[kind]++;
        slots--;
    }
    size_t length = 0;
    out[0] = '\0';
    for (int kind = 0; kind < KINDS; kind++) {
        for (int i = 0; i < shown[kind]; i++) {
            if (length + strlen(p->line[kind][i]) + 40 > size) continue; // leaves room for the count
            length += (size_t)snprintf(out + length, size - length, "\n  %s", p->line[kind][i]);
            listed++;
        }
    }
    if (total > listed) snprintf(out + length, size - length, "\n  and %d more", total - listed);
}

static void shape_text(int rank, const uint64_t *shape, char *out, size_t size) {
    size_t n = (size_t)snprintf(out, size, "[");
    for (int i = 0; i < rank && n < size; i++)
        n += (size_t)snprintf(out + n, size - n, i > 0 ? ",%llu" : "%llu", (unsigned long long)shape[i]);
    if (n < size) snprintf(out + n, size - n, "]");
}

static float half_to_float(uint16_t half) {
    uint32_t sign = (uint32_t)(half & 0x8000u) << 16, exponent = half >> 10 & 31, mantissa = half & 0x3ffu;
    if (exponent == 0) { // zero and subnormals: mantissa * 2^-24 is exact
        float value = (float)mantissa * 0x1p-24f;
        return sign != 0 ? -value : value;
    }
    uint32_t bits = sign | (exponent == 31 ? 0x7f800000u : (exponent + 112) << 23) | mantissa << 13;
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

// The data may have any alignment and is little-endian, as are all machines this library builds for.
static void decode(const fs_file_tensor *tensor, size_t count, float *out) {
    if (tensor->dtype == FS_DTYPE_F32) {
        memcpy(out, tensor->data, count * sizeof *out);
        return;
    }
    for (size_t i = 0; i < count; i++) {
        uint16_t half;
        memcpy(&half, tensor->data + 2 * i, sizeof half);
        if (tensor->dtype == FS_DTYPE_F16) {
            out[i] = half_to_float(half);
        } else {
            uint32_t bits = (uint32_t)half << 16;
            memcpy(&out[i], &bits, sizeof bits);
        }
    }
}

typedef struct binding {
    const fs_safetensors *file;
    fs_model model;
    fs_layer layers[FS_LAYERS];
    const fs_file_tensor *part[FS_LAYERS][PARTS]; // NULL when absent
    bool used[FS_ST_MAX_TENSORS];
    problems problems;
    // Decoded values of one layer, in order of the parts.
    float *weight, *vector[PARTS];
    float *block;
} binding;

static fs_status out_of_memory(const binding *b) {
    return fs_fail(FS_ERR_MEMORY, "weights file '%s': out of memory while reading it; free memory and try again",
                   b->file->shown);
}

// Adds the file's name to a text that cannot know it.
static fs_status blame_file(const binding *b) {
    return fs_fail(FS_ERR_WEIGHTS, "weights file '%s': metadata: %s", b->file->shown, fs_error_text());
}

// "0.485,0.456,0.406" over the first channels; a list may leave the 4th channel to its default.
static fs_status parse_channels(const binding *b, const char *key, int channels, float values[4]) {
    const char *list = fs_safetensors_get(b->file, key);
    if (list == NULL) return FS_OK;
    float parsed[4];
    int count = 0;
    for (const char *at = list;; at++) {
        double value;
        while (*at == ' ') at++;
        if (count == 4 || !fs_parse_number(at, &at, &value) || !(fabs(value) <= 1e6)) break;
        parsed[count++] = (float)value;
        while (*at == ' ') at++;
        if (*at == '\0' && (count == channels || count == 3)) {
            memcpy(values, parsed, (size_t)count * sizeof *values);
            return FS_OK;
        }
        if (*at != ',') break;
    }
    char shown[60];
    return fs_fail(FS_ERR_WEIGHTS, "weights file '%s': metadata: %s is '%s': give %d numbers with commas between",
                   b->file->shown, key, fs_printable(list, shown, sizeof shown), channels);
}

// Channel and class counts come from the first and the last tensor. When these are odd, the counts stay as they are and
// the tensors are reported like any other.
static void infer_counts(binding *b) {
    const fs_file_tensor *stem = fs_safetensors_find(b->file, "ltd.conv.conv.weight");
    if (stem != NULL && stem->rank == 4 && (stem->shape[1] == 3 || stem->shape[1] == 4))
        b->model.channels = (int)stem->shape[1];
    const fs_file_tensor *head = fs_safetensors_find(b->file, "cls.conv.conv.weight");
    if (head != NULL && head->rank == 4 && head->shape[0] >= 2 && head->shape[0] <= FS_MAX_CLASSES)
        b->model.classes = (int)head->shape[0];
}

static fs_status read_model(binding *b) {
    static const char *const switches[] = {"stem_pad",     "dsconv_mid_relu", "ppm_out_kernel",
                                           "ffm_dilation", "ffm_exact_x4",    "align_ppm",
                                           "align_ffm",    "align_final",     "bn_epsilon"};
    fs_variant variant = FS_PAPER;
    char key[64], value[64];
    const char *text = fs_safetensors_get(b->file, "fastscnn.variant");
    if (text != NULL && fs_variant_parse(fs_printable(text, value, sizeof value), &variant) != FS_OK)
        return blame_file(b);
    fs_model_init(&b->model, variant);
    for (size_t i = 0; i < sizeof switches / sizeof switches[0]; i++) {
        snprintf(key, sizeof key, "fastscnn.%s", switches[i]);
        text = fs_safetensors_get(b->file, key);
        if (text == NULL) continue;
        if (fs_model_set(&b->model, switches[i], fs_printable(text, value, sizeof value)) != FS_OK)
            return blame_file(b);
    }
    infer_counts(b);
    FS_TRY(parse_channels(b, "fastscnn.mean", b->model.channels, b->model.mean));
    FS_TRY(parse_channels(b, "fastscnn.std", b->model.channels, b->model.std));
    return fs_model_check(&b->model) == FS_OK ? FS_OK : blame_file(b);
}

static bool check_shape(binding *b, const fs_layer *layer, int part, const fs_file_tensor *tensor) {
    uint64_t expected[4] = {(uint64_t)layer->out_channels, 0, 0, 0};
    int rank = part == PART_WEIGHT ? 4 : 1;
    if (part == PART_WEIGHT) {
        expected[1] = layer->depthwise ? 1 : (uint64_t)layer->in_channels;
        expected[2] = expected[3] = (uint64_t)layer->kernel;
    }
    if (tensor->rank == rank && memcmp(tensor->shape, expected, (size_t)rank * sizeof *expected) == 0) return true;
    char got[64], want[64];
    const char *hint = "";
    shape_text(tensor->rank, tensor->shape, got, sizeof got);
    shape_text(rank, expected, want, sizeof want);
    if (part == PART_WEIGHT && layer == &b->layers[FS_L_CLS_CONV] && tensor->rank == 4) {
        snprintf(want, sizeof want, "[2..%d,128,1,1]", FS_MAX_CLASSES);
    } else if (part == PART_WEIGHT && layer == &b->layers[FS_L_STEM] && tensor->rank == 4) {
        snprintf(want, sizeof want, "[32,3 or 4,3,3]");
    } else if (part == PART_WEIGHT && layer == &b->layers[FS_L_PPM_OUT] && tensor->rank == 4) {
        bool three = tensor->shape[2] == 3;
        hint = three ? "; set metadata fastscnn.variant to mmseg or paddleseg, or fastscnn.ppm_out_kernel to 3"
                     : "; set metadata fastscnn.ppm_out_kernel to 1";
    }
    report(&b->problems, SHAPE, "%s.%s is %s, expected %s%s", layer->name, part_names[part], got, want, hint);
    return false;
}

static void check_values(binding *b, const fs_layer *layer, int part, const float *values, size_t count) {
    for (size_t i = 0; i < count; i++) {
        const char *what = NULL;
        if (!isfinite(values[i]))
            what = "not finite";
        else if (part == PART_VARIANCE && values[i] < 0)
            what = "a negative variance";
        else if (part == PART_VARIANCE && !((double)values[i] + (double)b->model.bn_epsilon > 0))
            what = "a variance of zero without an epsilon";
        if (what == NULL) continue;
        report(&b->problems, VALUE, "%s.%s[%zu] is %g: %s", layer->name, part_names[part], i, (double)values[i], what);
        return;
    }
}

static size_t part_count(const fs_layer *layer, int part) {
    return part == PART_WEIGHT ? (size_t)fs_layer_weight_count(layer) : (size_t)layer->out_channels;
}

static void check_part(binding *b, int index, int part) {
    const fs_layer *layer = &b->layers[index];
    char name[64];
    snprintf(name, sizeof name, "%s.%s", layer->name, part_names[part]);
    const fs_file_tensor *tensor = fs_safetensors_find(b->file, name);
    if (tensor == NULL) return;
    b->used[tensor - b->file->tensors] = true;
    b->part[index][part] = tensor;
    if (!check_shape(b, layer, part, tensor)) return;
    if (tensor->dtype == FS_DTYPE_OTHER) {
        char shown[FS_ST_MAX_DTYPE + 1];
        report(&b->problems, DTYPE, "%s is %s: use F32, F16 or BF16", name,
               fs_printable(tensor->dtype_name, shown, sizeof shown));
        return;
    }
    size_t count = part_count(layer, part);
    decode(tensor, count, b->weight); // room for the largest part
    check_values(b, layer, part, b->weight, count);
}

static void check_layer(binding *b, int index) {
    const fs_layer *layer = &b->layers[index];
    for (int part = 0; part < (layer->bn ? PARTS : PART_GAMMA); part++) check_part(b, index, part);

    const fs_file_tensor *const *have = b->part[index];
    bool any_bn = have[PART_GAMMA] || have[PART_BETA] || have[PART_MEAN] || have[PART_VARIANCE];
    bool biased = index == FS_L_FFM_LOW_PW || index == FS_L_FFM_HIGH_PW; // these may do without batch norm
    for (int part = 0; part < PARTS; part++) {
        bool needed = part == PART_WEIGHT || (part == PART_BIAS && !layer->bn) ||
                      (part >= PART_GAMMA && layer->bn && (any_bn || !(biased && have[PART_BIAS])));
        if (needed && have[part] == NULL) report(&b->problems, MISSING, "missing %s.%s", layer->name, part_names[part]);
    }
}

static bool ends_with(const char *text, const char *end) {
    size_t n = strlen(text), m = strlen(end);
    return n >= m && strcmp(text + n - m, end) == 0;
}

// Names of the sources' own, so that an exported but not converted model is told apart from a damaged one.
static bool looks_unconverted(const fs_safetensors *file) {
    static const char *const foreign[] = {"learning_to_down", "global_feature_extractor", "feature_fusion",
                                          "decode_head", "state_dict"};
    for (size_t i = 0; i < file->tensor_count; i++)
        for (size_t k = 0; k < sizeof foreign / sizeof foreign[0]; k++)
            if (strstr(file->tensors[i].name, foreign[k]) != NULL) return true;
    return false;
}

static fs_status problems_status(const binding *b) {
    const problems *p = &b->problems;
    char counts[200] = "", list[1250];
    size_t n = 0;
    for (int kind = 0; kind < KINDS; kind++)
        if (p->count[kind] > 0)
            n += (size_t)snprintf(counts + n, sizeof counts - n, "%s%d %s", n > 0 ? ", " : "", p->count[kind],
                                  kind_names[kind]);
    if (n == 0) return FS_OK;
    list_problems(p, list, sizeof list);
    return fs_fail(FS_ERR_WEIGHTS, "weights file '%s' does not fit the %s network with %d classes: tensors %s; %s:%s",
                   b->file->shown, fs_variant_name(b->model.variant), b->model.classes, counts,
                   looks_unconverted(b->file) ? "its names are those of a training framework, convert it with "
                                                "python3 weights/convert.py IN -o OUT.safetensors"
                                              : "export them again with the canonical names",
                   list);
}

static fs_status check_tensors(binding *b) {
    fs_model_layers(&b->model, b->layers);
    for (int i = 0; i < FS_LAYERS; i++) check_layer(b, i);
    for (size_t i = 0; i < b->file->tensor_count; i++) {
        const fs_file_tensor *tensor = &b->file->tensors[b->file->by_name[i]];
        char shown[120];
        // A counter that only training reads.
        if (b->used[b->file->by_name[i]] || ends_with(tensor->name, ".num_batches_tracked")) continue;
        report(&b->problems, EXTRA, "extra %s", fs_printable(tensor->name, shown, sizeof shown));
    }
    return problems_status(b);
}

static fs_status fold_layers(binding *b, fs_weights *weights) {
    for (int i = 0; i < FS_LAYERS; i++) {
        const fs_layer *layer = &b->layers[i];
        float *values[PARTS] = {NULL};
        for (int part = 0; part < PARTS; part++) {
            if (b->part[i][part] == NULL) continue;
            values[part] = part == PART_WEIGHT ? b->weight : b->vector[part];
            decode(b->part[i][part], part_count(layer, part), values[part]);
        }
        fs_unfolded unfolded = {.weight = values[PART_WEIGHT],
                                .bias = values[PART_BIAS],
                                .gamma = values[PART_GAMMA],
                                .beta = values[PART_BETA],
                                .mean = values[PART_MEAN],
                                .variance = values[PART_VARIANCE]};
        if (fs_fold(layer, &unfolded, (double)b->model.bn_epsilon, &weights->layer[i]) != FS_OK)
            return fs_fail(FS_ERR_WEIGHTS, "weights file '%s': %s", b->file->shown, fs_error_text());
    }
    return FS_OK;
}

static fs_status bind_into(binding *b, fs_weights *weights, fs_labels *labels) {
    FS_TRY(read_model(b));
    b->block = fs_malloc(MAX_WEIGHTS + PARTS * MAX_CHANNELS, sizeof(float));
    if (b->block == NULL) return out_of_memory(b);
    b->weight = b->block;
    for (int part = 0; part < PARTS; part++) b->vector[part] = b->block + MAX_WEIGHTS + part * MAX_CHANNELS;
    FS_TRY(check_tensors(b));
    if (fs_labels_parse(b->model.classes, fs_safetensors_get(b->file, "fastscnn.classes"),
                        fs_safetensors_get(b->file, "fastscnn.palette"), labels) != FS_OK)
        return blame_file(b);
    if (fs_weights_alloc(weights, &b->model) != FS_OK) return out_of_memory(b);
    fs_status status = fold_layers(b, weights);
    if (status == FS_OK) status = fs_quant_read(b->file, weights);
    if (status != FS_OK) fs_weights_free(weights);
    return status;
}

static fs_status bind(const fs_safetensors *file, fs_weights *weights, fs_labels *labels) {
    binding *b = fs_calloc(1, sizeof *b);
    fs_labels *made = fs_malloc(1, sizeof *made);
    fs_weights bound = {0};
    fs_status status;
    if (b == NULL || made == NULL) {
        status = fs_fail(FS_ERR_MEMORY, "weights file '%s': out of memory while reading it; free memory and try again",
                         file->shown);
    } else {
        b->file = file;
        status = bind_into(b, &bound, made);
        fs_free(b->block);
    }
    if (status == FS_OK) {
        *weights = bound;
        if (labels != NULL) *labels = *made;
    }
    fs_free(b);
    fs_free(made);
    return status;
}

fs_status fs_weights_load(const char *path, fs_weights *weights, fs_labels *labels) {
    fs_safetensors file;
    FS_TRY(fs_safetensors_open(path, &file));
    fs_status status = bind(&file, weights, labels);
    fs_safetensors_close(&file);
    return status;
}

fs_status fs_weights_parse(const void *data, size_t size, const char *name, fs_weights *weights, fs_labels *labels) {
    fs_safetensors file;
    FS_TRY(fs_safetensors_parse(data, size, name, &file));
    fs_status status = bind(&file, weights, labels);
    fs_safetensors_close(&file);
    return status;
}
