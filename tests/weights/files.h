// Builds safetensors files in memory: from a header text, or a whole model whose tensors a test then bends.
#ifndef FS_TESTS_WEIGHTS_FILES_H
#define FS_TESTS_WEIGHTS_FILES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "runtime/model.h"

typedef struct bytes {
    uint8_t *data; // exactly `size` long, so that a sanitizer sees any read beyond
    size_t size;
} bytes;

// The 8-byte length, `header` with each ' turned into ", and `data_size` zero bytes.
bytes bytes_from_header(const char *header, size_t data_size);
bytes bytes_copy(const void *data, size_t size);
void bytes_free(bytes *b);

typedef struct test_tensor {
    char name[300];
    const char *dtype; // "F32"
    int rank;
    uint64_t shape[8];
    uint8_t *data;
    size_t size;
} test_tensor;

typedef struct test_file {
    test_tensor *tensor;
    int count;
    char metadata[8192]; // members of __metadata__ as JSON, "" for none
} test_file;

// Every tensor of `model` with small deterministic values; running_var is above 0.5.
test_file test_file_model(const fs_model *model);
test_file test_file_paper(void); // the paper's network, 3 channels, 19 classes
test_tensor *test_file_find(test_file *file, const char *name);
void test_file_remove(test_file *file, const char *name);
// Appends a tensor of zeros.
test_tensor *test_file_add(test_file *file, const char *name, const char *dtype, int element_size, int rank,
                           const uint64_t *shape);
void test_file_meta(test_file *file, const char *key, const char *value);
// Rewrites F32 data as F16 or BF16 (cut, not rounded; values must be in the half's normal range).
void test_tensor_narrow(test_tensor *tensor, const char *dtype);
float *test_tensor_floats(test_tensor *tensor);
bytes test_file_bytes(const test_file *file);
void test_file_free(test_file *file);

// A new folder under /tmp; remove it with test_folder_remove (files in it included).
void test_folder(char path[64]);
void test_folder_remove(const char *path);
void test_write(const char *path, const void *data, size_t size);

#endif
