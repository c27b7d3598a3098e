// Shared inside host/image: the codecs behind fs_image_decode and fs_image_write, and reading whole files.
#ifndef FS_HOST_IMAGE_CODEC_H
#define FS_HOST_IMAGE_CODEC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "host/image/image.h"

// An encoded picture in memory; `name` stands for its path in messages.
typedef struct fs_source {
    const uint8_t *data;
    size_t size;
    const char *name;
    int max_side; // pixels; a header beyond it is FS_ERR_LIMIT before anything is allocated
} fs_source;

// Bytes on the heap; zero-initialise, freed with fs_free(data).
typedef struct fs_bytes {
    uint8_t *data;
    size_t size;
    size_t capacity;
} fs_bytes;

typedef enum fs_image_kind { FS_KIND_UNKNOWN, FS_KIND_PNG, FS_KIND_JPEG, FS_KIND_PNM } fs_image_kind;

// What the first bytes of a file say it is; FS_KIND_HEAD of them are enough.
enum { FS_KIND_HEAD = 16 };
fs_image_kind fs_image_detect(const uint8_t *head, size_t size);
fs_status fs_image_unknown(const char *name, const uint8_t *head, size_t size); // the error of FS_KIND_UNKNOWN

// fs_image_decode with a tighter limit than FS_IMAGE_MAX_SIDE (a fuzzer's memory is small).
fs_status fs_image_decode_within(const fs_source *source, int channels, fs_image *image);

static inline bool fs_image_is_side(int pixels) {
    return pixels >= 1 && pixels <= FS_IMAGE_MAX_SIDE;
}

// FS_OK when 1 <= width, height <= source->max_side; else the error that names the file and the limit.
fs_status fs_image_check_size(const fs_source *source, uint64_t width, uint64_t height);
// Allocates pixels of a checked size into *image.
fs_status fs_image_alloc(const char *name, int width, int height, int channels, fs_image *image);
fs_status fs_image_no_memory(const char *name);

// Decoders write *image only on success; channels is 0, 3 or 4 as in fs_image_decode, of PNG also FS_AS_LABELS.
enum { FS_AS_LABELS = 1 }; // one channel of unconverted numbers, as fs_labels_read gives them
fs_status fs_png_decode(const fs_source *source, int channels, fs_image *image);
fs_status fs_jpeg_decode(const fs_source *source, int channels, fs_image *image);
fs_status fs_pnm_decode(const fs_source *source, int channels, fs_image *image);

// Encoders write *out only on success.
fs_status fs_png_encode(const fs_image *image, const char *name, fs_bytes *out);
fs_status fs_jpeg_encode(const fs_image *image, const char *name, fs_bytes *out);
fs_status fs_pnm_encode(const fs_image *image, const char *name, int channels, fs_bytes *out); // 1: P5, 3: P6

// What a JPEG's markers say, read without decoding.
typedef struct fs_jpeg_layout {
    int width, height, components;
    bool arithmetic;
    bool adobe;    // an Adobe APP14 segment: four-component pictures are then stored inverted
    bool complete; // EOI follows the last scan: the file was not cut short
} fs_jpeg_layout;
// false when no frame header is found.
bool fs_jpeg_scan(const uint8_t *data, size_t size, fs_jpeg_layout *layout);

// Reads a whole file or pipe. Looks at its head first, so that a huge file of another kind is not read at all.
fs_status fs_file_read_image(const char *path, fs_bytes *out);

#endif
