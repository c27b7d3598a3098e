// A strict reader of safetensors files: container and header only, the numbers stay where they are.
#ifndef FS_WEIGHTS_SAFETENSORS_H
#define FS_WEIGHTS_SAFETENSORS_H

#include <stddef.h>
#include <stdint.h>

#include "runtime/base/status.h"

// Caps of this library; the format itself allows more. The networks have at most 238 tensors in about 22 KB of header.
enum {
    FS_ST_MAX_HEADER = 1 << 20,
    FS_ST_MAX_TENSORS = 4096,
    FS_ST_MAX_RANK = 8,
    FS_ST_MAX_NAME = 256, // bytes of a tensor name
    FS_ST_MAX_DTYPE = 15, // bytes of a dtype that messages can show; the longest known one has 11
};

typedef enum fs_dtype { FS_DTYPE_OTHER, FS_DTYPE_F32, FS_DTYPE_F16, FS_DTYPE_BF16 } fs_dtype;

typedef struct fs_file_tensor {
    const char *name; // UTF-8
    fs_dtype dtype;
    char dtype_name[FS_ST_MAX_DTYPE + 1]; // as in the file
    int rank;
    uint64_t shape[FS_ST_MAX_RANK];
    uint64_t begin, end; // bytes, relative to the data
    const uint8_t *data; // any alignment
} fs_file_tensor;

typedef struct fs_metadata {
    const char *key, *value; // UTF-8
} fs_metadata;

typedef struct fs_safetensors {
    char shown[304];         // the file's name in messages, shortened from the left
    fs_file_tensor *tensors; // in the header's order
    size_t tensor_count;
    uint32_t *by_name;     // indices of tensors, sorted
    fs_metadata *metadata; // sorted by key
    size_t metadata_count;
    char *strings; // what all names point into
    void *map;     // of a file; NULL when the caller holds the bytes
    size_t map_size;
} fs_safetensors;

// Maps `path` read-only and checks it. Free with fs_safetensors_close. On failure *file is untouched. FS_ERR_IO,
// FS_ERR_FORMAT, FS_ERR_LIMIT, FS_ERR_MEMORY.
fs_status fs_safetensors_open(const char *path, fs_safetensors *file);
// The same over bytes that outlive *file; `name` stands for the path in messages.
fs_status fs_safetensors_parse(const void *data, size_t size, const char *name, fs_safetensors *file);
void fs_safetensors_close(fs_safetensors *file);

// NULL when absent.
const fs_file_tensor *fs_safetensors_find(const fs_safetensors *file, const char *name);
const char *fs_safetensors_get(const fs_safetensors *file, const char *key);

// Copies text from a file into a message: anything but printable ASCII becomes '?', and it is cut to fit. Returns
// `out`.
const char *fs_printable(const char *text, char *out, size_t out_size);

#endif
