// Image files for the command: PNG, JPEG and PPM/PGM to and from 8-bit interleaved pixels, with limits and clear
// errors.
#ifndef FS_HOST_IMAGE_H
#define FS_HOST_IMAGE_H

#include <stddef.h>
#include <stdint.h>

#include "runtime/base/status.h"

enum { FS_IMAGE_MAX_SIDE = 16384 }; // pixels; larger headers are refused before anything is allocated

// 8-bit interleaved pixels, rows tightly packed, top row first.
typedef struct fs_image {
    int width, height;
    int channels;    // 1 gray, 3 RGB, 4 RGBA
    uint8_t *pixels; // [height][width][channels], owned; fs_image_free
} fs_image;

void fs_image_free(fs_image *image); // accepts a zeroed struct; zeroes it

// Reads PNG (any bit depth and colour type), JPEG (RGB, gray, CMYK/YCCK) or binary PPM/PGM (P5, P6; maxval up to 65535)
// by content, not by name, and converts to `channels` (3 or 4; 0: 4 if the file has alpha, else 3). 16-bit samples keep
// the high byte; a missing alpha is 255. Samples are taken as stored: colour profiles, gamma and the Exif orientation
// are NOT applied, so a photo that a phone only marks as turned stays turned. On failure *image is untouched and the
// error names the file and what to do; a picture cut short or damaged is an error, never a half-filled image.
// FS_ERR_IO, FS_ERR_FORMAT (unknown, damaged, truncated), FS_ERR_LIMIT (a side over FS_IMAGE_MAX_SIDE), FS_ERR_MEMORY.
fs_status fs_image_read(const char *path, int channels, fs_image *image);
// The same from memory; `name` stands for the path in messages.
fs_status fs_image_decode(const void *data, size_t size, const char *name, int channels, fs_image *image);
// Reads a label map: the numbers of an 8-bit (or shallower) gray or palette PNG as they are stored, into one channel.
// Other pictures are FS_ERR_FORMAT: their numbers would be colours, or lose bits. Else as above.
fs_status fs_labels_read(const char *path, fs_image *labels);
// Whether a file name ends in .png, .jpg, .jpeg, .ppm or .pgm (any case).
int fs_image_is_name(const char *path);

// Writes by extension: .png, .jpg/.jpeg (quality 95, no chroma subsampling, no alpha), .ppm (no alpha), .pgm (gray
// only). The file appears whole or not at all (temporary name in the same folder, then rename): an older one survives a
// failure.
fs_status fs_image_write(const char *path, const fs_image *image);

// Writes a NumPy .npy (version 1.0) of little-endian float32 in C order, whole or not at all.
fs_status fs_npy_write_f32(const char *path, const float *data, const size_t *shape, int rank);

// Bilinear resize (half-pixel centres) of 8-bit pixels, and nearest-neighbour of a 1-channel label map. `out` is a new
// image, not `in`; the same holds for the calls below.
fs_status fs_image_resize(const fs_image *in, int width, int height, fs_image *out);
fs_status fs_labels_resize(const uint8_t *in, int in_width, int in_height, int width, int height, uint8_t *out);

// colour: [h][w] labels -> RGB by palette; labels without an entry (>= classes) are black.
fs_status fs_image_color(const uint8_t *labels, int width, int height, const uint8_t (*palette)[3], int classes,
                         fs_image *out);

#endif
