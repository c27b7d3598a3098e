// Helpers of the image tests: pictures by formula, TurboJPEG encodings, a temporary folder, outputs that must stay put.
#ifndef FS_TESTS_IMAGE_PICTURES_H
#define FS_TESTS_IMAGE_PICTURES_H

#include <criterion/criterion.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <turbojpeg.h>
#include <unistd.h>

#include "host/image/codec.h"
#include "host/image/image.h"
#include "runtime/base/mem.h"
#include "runtime/base/status.h"

// A new picture whose bytes are a fixed hash of their position (`smooth`: gentle gradients that survive JPEG).
__attribute__((unused)) static fs_image make_picture(int width, int height, int channels, bool smooth) {
    fs_image image = {.width = width, .height = height, .channels = channels};
    image.pixels = fs_malloc((size_t)width * (size_t)height * (size_t)channels, 1);
    cr_assert(image.pixels != NULL);
    uint8_t *to = image.pixels;
    for (int y = 0; y < height; y++)
        for (int x = 0; x < width; x++)
            for (int c = 0; c < channels; c++) {
                unsigned hash = (unsigned)(x * 7919 + y * 104729 + c * 1299709) * 2654435761u;
                *to++ = smooth ? (uint8_t)(60 + 80 * x / width + 60 * y / height + 10 * c) : (uint8_t)(hash >> 13);
            }
    return image;
}

// An output that a failing call must leave alone.
static uint8_t untouched_byte;
#define UNTOUCHED ((fs_image){.width = -7, .height = -8, .channels = -9, .pixels = &untouched_byte})
__attribute__((unused)) static bool is_untouched(const fs_image *image) {
    return image->width == -7 && image->height == -8 && image->channels == -9 && image->pixels == &untouched_byte;
}

// Decodes and asserts that it fails with `status`, touches and leaks nothing, and that the message names the file.
__attribute__((unused)) static void expect_failure(const void *data, size_t size, int channels, fs_status status) {
    size_t live = fs_mem_live_blocks();
    fs_image image = UNTOUCHED;
    fs_status got = fs_image_decode(data, size, "street.img", channels, &image);
    cr_assert_eq(got, status, "status %s, wanted %s (%s)", fs_status_name(got), fs_status_name(status),
                 fs_error_text());
    cr_assert(is_untouched(&image));
    cr_assert_eq(fs_mem_live_blocks(), live);
    cr_assert(strncmp(fs_error_text(), "street.img: ", 12) == 0, "%s", fs_error_text());
}

__attribute__((unused)) static fs_image expect_decoded(const void *data, size_t size, int channels) {
    fs_image image = {0};
    fs_status got = fs_image_decode(data, size, "street.img", channels, &image);
    cr_assert_eq(got, FS_OK, "%s", fs_error_text());
    return image;
}

__attribute__((unused)) static void expect_message(const char *part) {
    cr_assert(strstr(fs_error_text(), part) != NULL, "'%s' is not in '%s'", part, fs_error_text());
}

__attribute__((unused)) static int largest_difference(const uint8_t *a, const uint8_t *b, size_t count) {
    int largest = 0;
    for (size_t i = 0; i < count; i++) {
        int difference = abs(a[i] - b[i]);
        if (difference > largest) largest = difference;
    }
    return largest;
}

// JPEG bytes by TurboJPEG itself (not by the code under test); freed with fs_free(data).
__attribute__((unused)) static fs_bytes make_jpeg(const uint8_t *pixels, int width, int height, int format,
                                                  int sampling, int flags) {
    unsigned char *data = NULL;
    unsigned long size = 0;
    tjhandle turbo = tjInitCompress();
    cr_assert(turbo != NULL);
    int result = tjCompress2(turbo, pixels, width, 0, height, format, &data, &size, sampling, 95, flags);
    cr_assert_eq(result, 0, "%s", tjGetErrorStr2(turbo));
    fs_bytes bytes = {.data = fs_malloc(size, 1), .size = size, .capacity = size};
    cr_assert(bytes.data != NULL);
    memcpy(bytes.data, data, size);
    tjFree(data);
    tjDestroy(turbo);
    return bytes;
}

// The position of a marker (its FF byte) among the segments in front of the scan, or 0.
__attribute__((unused)) static size_t find_marker(const fs_bytes *jpeg, uint8_t marker) {
    for (size_t at = 2; at + 4 <= jpeg->size && jpeg->data[at] == 0xff;
         at += 2 + ((size_t)jpeg->data[at + 2] << 8 | jpeg->data[at + 3])) {
        if (jpeg->data[at + 1] == marker) return at;
        if (jpeg->data[at + 1] == 0xda) break;
    }
    return 0;
}

// The same bytes with `count` more at `at`.
__attribute__((unused)) static fs_bytes with_inserted(const fs_bytes *from, size_t at, const void *more, size_t count) {
    fs_bytes bytes = {.data = fs_malloc(from->size + count, 1), .size = from->size + count};
    cr_assert(bytes.data != NULL);
    memcpy(bytes.data, from->data, at);
    memcpy(bytes.data + at, more, count);
    memcpy(bytes.data + at + count, from->data + at, from->size - at);
    return bytes;
}

static char temporary_folder[64];

__attribute__((unused)) static void make_folder(void) {
    strcpy(temporary_folder, "/tmp/fastscnn-image-XXXXXX");
    cr_assert(mkdtemp(temporary_folder) != NULL);
}

static int remove_entry(const char *path, const struct stat *info, int kind, struct FTW *walk) {
    (void)info;
    (void)kind;
    (void)walk;
    return remove(path);
}

__attribute__((unused)) static void remove_folder(void) {
    nftw(temporary_folder, remove_entry, 8, FTW_DEPTH | FTW_PHYS);
}

// A path in the temporary folder; valid until the fourth call from now.
__attribute__((unused)) static const char *in_folder(const char *name) {
    static char paths[4][512];
    static int next;
    char *path = paths[next++ % 4];
    snprintf(path, sizeof paths[0], "%s/%s", temporary_folder, name);
    return path;
}

__attribute__((unused)) static void put_file(const char *path, const void *data, size_t size) {
    FILE *file = fopen(path, "wb");
    cr_assert(file != NULL);
    cr_assert_eq(fwrite(data, 1, size, file), size);
    cr_assert_eq(fclose(file), 0);
}

// The bytes of a file; freed with fs_free(data).
__attribute__((unused)) static fs_bytes get_file(const char *path) {
    FILE *file = fopen(path, "rb");
    cr_assert(file != NULL, "%s", path);
    fseek(file, 0, SEEK_END);
    fs_bytes bytes = {.size = (size_t)ftell(file)};
    rewind(file);
    bytes.data = fs_malloc(bytes.size, 1);
    cr_assert(bytes.data != NULL);
    cr_assert_eq(fread(bytes.data, 1, bytes.size, file), bytes.size);
    fclose(file);
    return bytes;
}

#endif
