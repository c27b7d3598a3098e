// Builds safetensors files in memory for the tests.
#include "tests/weights/files.h"

#include <criterion/criterion.h>
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void put_length(uint8_t *at, uint64_t length) {
    for (int i = 0; i < 8; i++) at[i] = (uint8_t)(length >> (8 * i));
}

bytes bytes_from_header(const char *header, size_t data_size) {
    size_t length = strlen(header);
    bytes b = {.data = calloc(1, 8 + length + data_size), .size = 8 + length + data_size};
    put_length(b.data, length);
    for (size_t i = 0; i < length; i++) b.data[8 + i] = header[i] == '\'' ? '"' : (uint8_t)header[i];
    return b;
}

bytes bytes_copy(const void *data, size_t size) {
    bytes b = {.data = malloc(size > 0 ? size : 1), .size = size};
    if (size > 0) memcpy(b.data, data, size);
    return b;
}

void bytes_free(bytes *b) {
    free(b->data);
    *b = (bytes){0};
}

test_tensor *test_file_add(test_file *file, const char *name, const char *dtype, int element_size, int rank,
                           const uint64_t *shape) {
    file->tensor = realloc(file->tensor, (size_t)(file->count + 1) * sizeof *file->tensor);
    test_tensor *t = &file->tensor[file->count++];
    *t = (test_tensor){.dtype = dtype, .rank = rank};
    snprintf(t->name, sizeof t->name, "%s", name);
    size_t count = 1;
    for (int i = 0; i < rank; i++) count *= t->shape[i] = shape[i];
    t->size = count * (size_t)element_size;
    t->data = calloc(1, t->size + 1);
    return t;
}

static void add_floats(test_file *file, const char *layer, const char *part, int rank, const uint64_t *shape, float low,
                       float high) {
    char name[100];
    snprintf(name, sizeof name, "%s.%s", layer, part);
    test_tensor *t = test_file_add(file, name, "F32", 4, rank, shape);
    float *values = test_tensor_floats(t);
    // Multiples of 1/64: exact in every dtype here.
    uint32_t state = (uint32_t)file->count * 2654435761u;
    for (size_t i = 0; i < t->size / 4; i++) {
        state = state * 1664525u + 1013904223u;
        values[i] = low + (high - low) * (float)(state >> 26) / 64;
    }
}

test_file test_file_model(const fs_model *model) {
    test_file file = {0};
    fs_layer layers[FS_LAYERS];
    fs_model_layers(model, layers);
    for (int i = 0; i < FS_LAYERS; i++) {
        const fs_layer *l = &layers[i];
        const uint64_t shape[4] = {(uint64_t)l->out_channels, l->depthwise ? 1 : (uint64_t)l->in_channels,
                                   (uint64_t)l->kernel, (uint64_t)l->kernel};
        add_floats(&file, l->name, "conv.weight", 4, shape, -1, 1);
        if (!l->bn) {
            add_floats(&file, l->name, "conv.bias", 1, shape, -1, 1);
            continue;
        }
        add_floats(&file, l->name, "bn.weight", 1, shape, 0.5f, 1.5f);
        add_floats(&file, l->name, "bn.bias", 1, shape, -1, 1);
        add_floats(&file, l->name, "bn.running_mean", 1, shape, -1, 1);
        add_floats(&file, l->name, "bn.running_var", 1, shape, 0.5f, 1.5f);
    }
    return file;
}

test_file test_file_paper(void) {
    fs_model model;
    fs_model_init(&model, FS_PAPER);
    return test_file_model(&model);
}

test_tensor *test_file_find(test_file *file, const char *name) {
    for (int i = 0; i < file->count; i++)
        if (strcmp(file->tensor[i].name, name) == 0) return &file->tensor[i];
    cr_assert_fail("no tensor %s in the test file", name);
    return NULL;
}

void test_file_remove(test_file *file, const char *name) {
    test_tensor *t = test_file_find(file, name);
    free(t->data);
    int index = (int)(t - file->tensor);
    memmove(t, t + 1, (size_t)(file->count - index - 1) * sizeof *t);
    file->count--;
}

void test_file_meta(test_file *file, const char *key, const char *value) {
    size_t n = strlen(file->metadata);
    snprintf(file->metadata + n, sizeof file->metadata - n, "%s\"%s\":\"%s\"", n > 0 ? "," : "", key, value);
}

void test_tensor_narrow(test_tensor *tensor, const char *dtype) {
    size_t count = tensor->size / 4;
    for (size_t i = 0; i < count; i++) {
        uint32_t bits;
        memcpy(&bits, tensor->data + 4 * i, 4);
        uint16_t half = (uint16_t)(bits >> 16);
        if (strcmp(dtype, "F16") == 0) {
            uint32_t exponent = bits >> 23 & 255;
            half = (uint16_t)(bits >> 16 & 0x8000);
            if (exponent != 0) half = (uint16_t)(half | (exponent - 112) << 10 | (bits >> 13 & 0x3ff));
        }
        memcpy(tensor->data + 2 * i, &half, 2);
    }
    tensor->size = count * 2;
    tensor->dtype = dtype;
}

float *test_tensor_floats(test_tensor *tensor) {
    return (float *)(void *)tensor->data;
}

bytes test_file_bytes(const test_file *file) {
    size_t room = 200 + sizeof file->metadata + (size_t)file->count * 700, n = 0, data_size = 0;
    char *header = malloc(room);
    n += (size_t)snprintf(header, room, "{\"__metadata__\":{%s}", file->metadata);
    for (int i = 0; i < file->count; i++) {
        const test_tensor *t = &file->tensor[i];
        n += (size_t)snprintf(header + n, room - n, ",\"%s\":{\"dtype\":\"%s\",\"shape\":[", t->name, t->dtype);
        for (int d = 0; d < t->rank; d++)
            n += (size_t)snprintf(header + n, room - n, d > 0 ? ",%llu" : "%llu", (unsigned long long)t->shape[d]);
        n += (size_t)snprintf(header + n, room - n, "],\"data_offsets\":[%zu,%zu]}", data_size, data_size + t->size);
        data_size += t->size;
    }
    n += (size_t)snprintf(header + n, room - n, "}");
    bytes b = {.data = malloc(8 + n + data_size), .size = 8 + n + data_size};
    put_length(b.data, n);
    memcpy(b.data + 8, header, n);
    free(header);
    uint8_t *at = b.data + 8 + n;
    for (int i = 0; i < file->count; i++) {
        memcpy(at, file->tensor[i].data, file->tensor[i].size);
        at += file->tensor[i].size;
    }
    return b;
}

void test_file_free(test_file *file) {
    for (int i = 0; i < file->count; i++) free(file->tensor[i].data);
    free(file->tensor);
    *file = (test_file){0};
}

void test_folder(char path[64]) {
    strcpy(path, "/tmp/fastscnn-test-XXXXXX");
    cr_assert_not_null(mkdtemp(path));
}

void test_folder_remove(const char *path) {
    DIR *folder = opendir(path);
    cr_assert_not_null(folder);
    for (struct dirent *entry; (entry = readdir(folder)) != NULL;) {
        char file[400];
        snprintf(file, sizeof file, "%s/%s", path, entry->d_name);
        if (entry->d_name[0] != '.') unlink(file);
    }
    closedir(folder);
    rmdir(path);
}

void test_write(const char *path, const void *data, size_t size) {
    FILE *file = fopen(path, "wb");
    cr_assert_not_null(file);
    cr_assert_eq(fwrite(data, 1, size, file), size);
    cr_assert_eq(fclose(file), 0);
}
