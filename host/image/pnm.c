// Binary PGM and PPM (netpbm P5, P6): comments, any maxval from 1 to 65535, and their writing.
#include <stdio.h>
#include <string.h>

#include "host/image/codec.h"
#include "runtime/base/mem.h"

typedef struct cursor {
    const uint8_t *at, *end;
} cursor;

static int peek(const cursor *cur) {
    return cur->at < cur->end ? *cur->at : -1;
}

static bool is_space(int c) {
    return c == ' ' || (c >= '\t' && c <= '\r');
}

// A comment runs from # to the end of its line and stands for white space.
static void skip_comment(cursor *cur) {
    while (peek(cur) >= 0 && peek(cur) != '\n' && peek(cur) != '\r') cur->at++;
}

// A decimal number after optional white space and comments; false at anything else.
static bool read_number(cursor *cur, uint64_t *number) {
    while (is_space(peek(cur)) || peek(cur) == '#') {
        if (peek(cur) == '#')
            skip_comment(cur);
        else
            cur->at++;
    }
    if (peek(cur) < '0' || peek(cur) > '9') return false;
    uint64_t value = 0;
    for (; peek(cur) >= '0' && peek(cur) <= '9'; cur->at++)
        if (value < UINT32_MAX) value = value * 10 + (uint64_t)(peek(cur) - '0');
    *number = value;
    return true;
}

// Width, height, maxval and the one white-space character in front of the samples.
static bool read_header(cursor *cur, uint64_t *width, uint64_t *height, uint64_t *maxval) {
    if (!read_number(cur, width) || !read_number(cur, height) || !read_number(cur, maxval)) return false;
    if (peek(cur) == '#') skip_comment(cur);
    if (!is_space(peek(cur))) return false;
    cur->at++;
    return true;
}

// A sample to 8 bits: 255 as it is, 65535 by its high byte, others scaled and rounded; above maxval counts as maxval.
static uint8_t to_byte(unsigned sample, unsigned maxval) {
    if (sample > maxval) sample = maxval;
    if (maxval == 255) return (uint8_t)sample;
    if (maxval == 65535) return (uint8_t)(sample >> 8);
    return (uint8_t)((sample * 255u + maxval / 2) / maxval);
}

static void convert(const uint8_t *from, size_t count, int samples, unsigned maxval, int channels, uint8_t *to) {
    size_t bytes = maxval > 255 ? 2 : 1;
    for (size_t i = 0; i < count; i++, to += channels) {
        for (int c = 0; c < samples; c++, from += bytes)
            to[c] = to_byte(bytes == 2 ? (unsigned)from[0] << 8 | from[1] : from[0], maxval);
        if (samples == 1) to[1] = to[2] = to[0];
        if (channels == 4) to[3] = 255;
    }
}

fs_status fs_pnm_decode(const fs_source *source, int channels, fs_image *image) {
    cursor cur = {source->data + 2, source->data + source->size};
    uint64_t width, height, maxval;
    if (!read_header(&cur, &width, &height, &maxval))
        return fs_fail(FS_ERR_FORMAT, "%s: damaged PPM or PGM header; copy it again", source->name);
    FS_TRY(fs_image_check_size(source, width, height));
    if (maxval < 1 || maxval > 65535)
        return fs_fail(FS_ERR_FORMAT, "%s: PPM or PGM with maxval %llu; it must be 1 to 65535", source->name,
                       (unsigned long long)maxval);
    int samples = source->data[1] == '5' ? 1 : 3;
    uint64_t need = width * height * (uint64_t)samples * (maxval > 255 ? 2 : 1);
    if ((uint64_t)(cur.end - cur.at) < need)
        return fs_fail(FS_ERR_FORMAT, "%s: the file is cut short: %llu bytes of pixels, %llu expected; copy it again",
                       source->name, (unsigned long long)(cur.end - cur.at), (unsigned long long)need);
    if (channels == 0) channels = 3;
    fs_image picture;
    FS_TRY(fs_image_alloc(source->name, (int)width, (int)height, channels, &picture));
    convert(cur.at, (size_t)(width * height), samples, (unsigned)maxval, channels, picture.pixels);
    *image = picture;
    return FS_OK;
}

fs_status fs_pnm_encode(const fs_image *image, const char *name, int channels, fs_bytes *out) {
    char header[64];
    int head =
        snprintf(header, sizeof header, "P%c\n%d %d\n255\n", channels == 1 ? '5' : '6', image->width, image->height);
    size_t count = (size_t)image->width * (size_t)image->height;
    size_t size = (size_t)head + count * (size_t)channels;
    uint8_t *data = fs_malloc(size, 1);
    if (data == NULL) return fs_image_no_memory(name);
    memcpy(data, header, (size_t)head);
    uint8_t *to = data + head;
    const uint8_t *from = image->pixels;
    if (channels == image->channels) {
        memcpy(to, from, count * (size_t)channels);
    } else {
        for (size_t i = 0; i < count; i++, from += image->channels, to += 3)
            for (int c = 0; c < 3; c++) to[c] = from[image->channels == 1 ? 0 : c];
    }
    *out = (fs_bytes){.data = data, .size = size, .capacity = size};
    return FS_OK;
}
