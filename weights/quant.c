// Reads and writes what calibration leaves in a weights file: how the input of each int8 layer is quantised.
#include "weights/quant.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/base/text.h"
#include "runtime/base/writer.h"

static const char prefix[] = "fastscnn.int8.";

static fs_status unsound(const fs_safetensors *file, const fs_metadata *entry, const char *why) {
    char key[80], value[60];
    return fs_fail(
        FS_ERR_WEIGHTS, "weights file '%s': metadata: %s is '%s': %s; calibrate the file again with fastscnn calibrate",
        file->shown, fs_printable(entry->key, key, sizeof key), fs_printable(entry->value, value, sizeof value), why);
}

// "0.0123,128": scale and zero point.
static bool parse_quant(const char *text, fs_quant *quant) {
    double scale, zero;
    if (!fs_parse_number(text, &text, &scale) || *text++ != ',' || !fs_parse_number(text, &text, &zero) ||
        *text != '\0')
        return false;
    if (!(scale >= 1e-30 && scale <= 1e30) || !(zero >= 0 && zero <= 255) || zero != (double)(int)zero) return false;
    *quant = (fs_quant){(float)scale, (int)zero};
    return true;
}

static bool sound_names(const char *text) {
    const size_t length = strlen(text);
    return length < FS_PASSED_MAX && text[strspn(text, "abcdefghijklmnopqrstuvwxyz0123456789,")] == '\0';
}

static fs_status read_entry(const fs_safetensors *file, const fs_metadata *entry, const fs_layer *layers,
                            fs_weights *weights) {
    const char *name = entry->key + strlen(prefix);
    if (strcmp(name, "passed") == 0) {
        if (!sound_names(entry->value)) return unsound(file, entry, "names of machine kinds with commas are expected");
        memcpy(weights->int8_passed, entry->value, strlen(entry->value) + 1);
        return FS_OK;
    }
    for (int i = 0; i < FS_LAYERS; i++) {
        if (strcmp(name, layers[i].name) != 0) continue;
        if (!fs_layer_takes_int8(i)) return unsound(file, entry, "this layer does not run in int8");
        if (!parse_quant(entry->value, &weights->int8[i]))
            return unsound(file, entry,
                           "a scale above zero and a zero point from 0 to 255 are expected, as 0.0123,128");
        return FS_OK;
    }
    return unsound(file, entry, "there is no such layer");
}

fs_status fs_quant_read(const fs_safetensors *file, fs_weights *weights) {
    fs_layer layers[FS_LAYERS];
    fs_model_layers(&weights->model, layers);
    const fs_metadata *last = NULL;
    for (size_t i = 0; i < file->metadata_count; i++) {
        const fs_metadata *entry = &file->metadata[i];
        if (strncmp(entry->key, prefix, strlen(prefix)) != 0) continue;
        FS_TRY(read_entry(file, entry, layers, weights));
        if (strncmp(entry->key, "fastscnn.int8.ffm.", 18) == 0) last = entry;
    }
    // They are one product.
    if (last && !(weights->int8[FS_L_FFM_LOW_PW].scale > 0) != !(weights->int8[FS_L_FFM_HIGH_PW].scale > 0))
        return unsound(file, last, "ffm.low.pw and ffm.high.pw go together");
    return FS_OK;
}

// The header as before but for the metadata of calibration.
static void write_header(const fs_safetensors *file, const fs_quant quant[FS_LAYERS], fs_text *text) {
    fs_layer layers[FS_LAYERS];
    fs_model model;
    fs_model_init(&model, FS_PAPER); // names are the same in every model
    fs_model_layers(&model, layers);
    fs_json_open(text, NULL, '{');
    fs_json_open(text, "__metadata__", '{');
    for (size_t i = 0; i < file->metadata_count; i++)
        if (strncmp(file->metadata[i].key, prefix, strlen(prefix)) != 0)
            fs_json_string(text, file->metadata[i].key, file->metadata[i].value);
    for (int i = 0; i < FS_LAYERS; i++) {
        if (!(quant[i].scale > 0)) continue;
        char key[80], value[48];
        snprintf(key, sizeof key, "%s%s", prefix, layers[i].name);
        snprintf(value, sizeof value, "%.9g,%d", (double)quant[i].scale, quant[i].zero);
        char *comma = strchr(value, ','); // the locale's, if it is not the one between
        if (comma != strrchr(value, ',')) *comma = '.';
        fs_json_string(text, key, value);
    }
    fs_json_close(text, '}');
    for (size_t i = 0; i < file->tensor_count; i++) {
        const fs_file_tensor *t = &file->tensors[i];
        fs_json_open(text, t->name, '{');
        fs_json_string(text, "dtype", t->dtype_name);
        fs_json_open(text, "shape", '[');
        for (int d = 0; d < t->rank; d++) fs_json_integer(text, NULL, (int64_t)t->shape[d]);
        fs_json_close(text, ']');
        fs_json_open(text, "data_offsets", '[');
        fs_json_integer(text, NULL, (int64_t)t->begin), fs_json_integer(text, NULL, (int64_t)t->end);
        fs_json_close(text, ']');
        fs_json_close(text, '}');
    }
    fs_json_close(text, '}');
    while (text->length % 8 && !text->failed) fs_text_add(text, " ");
}

static fs_status write_file(const char *path, const fs_text *header, const fs_safetensors *file) {
    uint8_t length[8];
    for (int i = 0; i < 8; i++) length[i] = (uint8_t)((uint64_t)header->length >> (8 * i));
    size_t bytes = 0;
    const uint8_t *data = NULL; // the tensors lie one after the other, without holes
    for (size_t i = 0; i < file->tensor_count; i++) {
        bytes += (size_t)(file->tensors[i].end - file->tensors[i].begin);
        if (file->tensors[i].begin == 0 && (data == NULL || file->tensors[i].end > 0)) data = file->tensors[i].data;
    }
    const fs_part parts[3] = {{length, sizeof length}, {header->data, header->length}, {data, bytes}};
    return fs_write_whole(path, parts, 3);
}

fs_status fs_quant_save(const char *in, const fs_quant quant[FS_LAYERS], const char *out) {
    fs_safetensors file;
    FS_TRY(fs_safetensors_open(in, &file));
    fs_text header = {0};
    write_header(&file, quant, &header);
    fs_status status = fs_text_status(&header);
    if (status == FS_OK) status = write_file(out, &header, &file);
    fs_text_free(&header);
    fs_safetensors_close(&file);
    return status;
}
