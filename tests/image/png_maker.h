// Makes PNG files of any kind with libpng, for the tests that read them.
#ifndef FS_TESTS_IMAGE_PNG_MAKER_H
#define FS_TESTS_IMAGE_PNG_MAKER_H

#include <criterion/criterion.h>
#include <png.h>

#include "tests/image/pictures.h"

enum { MADE_W = 13, MADE_H = 11, PALETTE_ALPHAS = 3 };

// Sample `c` of pixel (x, y) at a bit depth, as stored in the file.
static inline unsigned png_sample(int x, int y, int c, int depth) {
    unsigned hash = (unsigned)(x * 7919 + y * 104729 + c * 1299709 + 17) * 2654435761u;
    return (hash >> 11) & ((1u << depth) - 1);
}

static inline png_color palette_entry(int index) {
    return (png_color){(png_byte)(index * 37 + 5), (png_byte)(255 - index * 11), (png_byte)(index * index * 3)};
}

static inline int png_channels(int type) {
    return type == PNG_COLOR_TYPE_RGB          ? 3
           : type == PNG_COLOR_TYPE_RGB_ALPHA  ? 4
           : type == PNG_COLOR_TYPE_GRAY_ALPHA ? 2
                                               : 1;
}

static void png_append(png_structp png, png_bytep from, size_t size) {
    fs_bytes *out = png_get_io_ptr(png);
    uint8_t *grown = fs_grow(out->data, out->size, out->size + size, 1);
    if (grown == NULL) abort();
    memcpy(grown + out->size, from, size);
    out->data = grown;
    out->size += size;
}

static void png_no_flush(png_structp png) {
    (void)png;
}

// MADE_W x MADE_H pixels of png_sample; `transparent` adds a tRNS chunk (pixel (0, 0)'s colour, or palette alphas).
__attribute__((unused)) static fs_bytes make_png(int type, int depth, bool interlaced, bool transparent) {
    fs_bytes out = {0};
    png_structp png = png_create_write_struct(PNG_LIBPNG_VER_STRING, NULL, NULL, NULL);
    png_infop info = png_create_info_struct(png);
    png_set_write_fn(png, &out, png_append, png_no_flush);
    png_set_IHDR(png, info, MADE_W, MADE_H, depth, type, interlaced ? PNG_INTERLACE_ADAM7 : PNG_INTERLACE_NONE,
                 PNG_COMPRESSION_TYPE_DEFAULT, PNG_FILTER_TYPE_DEFAULT);
    if (type == PNG_COLOR_TYPE_PALETTE) {
        png_color palette[256];
        for (int i = 0; i < 256; i++) palette[i] = palette_entry(i);
        png_set_PLTE(png, info, palette, 1 << depth);
    }
    if (transparent) {
        png_byte alphas[PALETTE_ALPHAS] = {0, 100, 200};
        png_color_16 key = {.gray = (png_uint_16)png_sample(0, 0, 0, depth),
                            .red = (png_uint_16)png_sample(0, 0, 0, depth),
                            .green = (png_uint_16)png_sample(0, 0, 1, depth),
                            .blue = (png_uint_16)png_sample(0, 0, 2, depth)};
        if (type == PNG_COLOR_TYPE_PALETTE)
            png_set_tRNS(png, info, alphas, PALETTE_ALPHAS, NULL);
        else
            png_set_tRNS(png, info, NULL, 0, &key);
    }
    png_write_info(png, info);
    png_byte rows[MADE_H][MADE_W * 8];
    png_bytep row[MADE_H];
    memset(rows, 0, sizeof rows);
    int channels = png_channels(type);
    for (int y = 0; y < MADE_H; y++) {
        row[y] = rows[y];
        for (int i = 0; i < MADE_W * channels; i++) {
            unsigned sample = png_sample(i / channels, y, i % channels, depth);
            if (depth == 16) {
                rows[y][2 * i] = (png_byte)(sample >> 8);
                rows[y][2 * i + 1] = (png_byte)sample;
            } else {
                int bit = i * depth;
                rows[y][bit / 8] |= (png_byte)(sample << (8 - depth - bit % 8));
            }
        }
    }
    png_write_image(png, row);
    png_write_end(png, NULL);
    png_destroy_write_struct(&png, &info);
    return out;
}

// What such a file means as 8-bit RGBA at (x, y).
__attribute__((unused)) static void png_meaning(int type, int depth, bool transparent, int x, int y, uint8_t rgba[4]) {
    int channels = png_channels(type);
    unsigned raw[4];
    uint8_t bytes[4];
    for (int c = 0; c < channels; c++) {
        raw[c] = png_sample(x, y, c, depth);
        bytes[c] = (uint8_t)(depth == 16 ? raw[c] >> 8 : raw[c] * 255 / ((1u << depth) - 1));
    }
    rgba[3] = 255;
    if (type == PNG_COLOR_TYPE_PALETTE) {
        static const uint8_t alphas[PALETTE_ALPHAS] = {0, 100, 200};
        png_color entry = palette_entry((int)raw[0]);
        memcpy(rgba, (uint8_t[3]){entry.red, entry.green, entry.blue}, 3);
        if (transparent && raw[0] < PALETTE_ALPHAS) rgba[3] = alphas[raw[0]];
        return;
    }
    int colors = channels >= 3 ? 3 : 1;
    bool is_key = transparent;
    for (int c = 0; c < 3; c++) rgba[c] = bytes[colors == 3 ? c : 0];
    for (int c = 0; c < colors; c++) is_key = is_key && raw[c] == png_sample(0, 0, c, depth);
    if (channels == 2 || channels == 4) rgba[3] = bytes[channels - 1];
    if (is_key) rgba[3] = 0;
}

#endif
