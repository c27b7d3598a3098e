// Label maps as pictures: plain class colours, and class colours laid over the frame they belong to.
#include <string.h>

#include "host/image/codec.h"
#include "runtime/base/mem.h"

enum { SHARE_ONE = 256 };

fs_status fs_image_color(const uint8_t *labels, int width, int height, const uint8_t (*palette)[3], int classes,
                         fs_image *out) {
    if (labels == NULL || out == NULL || classes < 0 || (classes > 0 && palette == NULL) || !fs_image_is_side(width) ||
        !fs_image_is_side(height))
        return fs_fail(FS_ERR_ARGUMENT, "colour: no labels or palette, or a size of %d x %d", width, height);
    fs_image picture;
    FS_TRY(fs_image_alloc("colour", width, height, 3, &picture));
    uint8_t table[256][3] = {{0}};
    if (classes > 0) memcpy(table, palette, (size_t)(classes > 256 ? 256 : classes) * 3);
    size_t count = (size_t)width * (size_t)height;
    for (size_t i = 0; i < count; i++) memcpy(picture.pixels + 3 * i, table[labels[i]], 3);
    *out = picture;
    return FS_OK;
}

fs_status fs_image_overlay(const fs_image *picture, const uint8_t *labels, const uint8_t (*palette)[3], int classes,
                           float alpha, fs_image *out) {
    if (picture == NULL || picture->pixels == NULL || labels == NULL || out == NULL || classes < 0 ||
        (classes > 0 && palette == NULL) || !fs_image_is_side(picture->width) || !fs_image_is_side(picture->height) ||
        (picture->channels != 1 && picture->channels != 3 && picture->channels != 4))
        return fs_fail(FS_ERR_ARGUMENT, "overlay: no picture, labels or palette");
    if (!(alpha >= 0.0f && alpha <= 1.0f)) // also refuses NaN
        return fs_fail(FS_ERR_ARGUMENT, "overlay: alpha %g; it must be 0 to 1", (double)alpha);
    int width = picture->width, height = picture->height, channels = picture->channels;
    fs_image mixed;
    FS_TRY(fs_image_alloc("overlay", width, height, 3, &mixed));
    int share = (int)(alpha * SHARE_ONE + 0.5f);
    const uint8_t *from = picture->pixels, *label = labels;
    uint8_t *to = mixed.pixels;
    for (int y = 0; y < height; y++)
        for (int x = 0; x < width; x++, label++, from += channels, to += 3) {
            bool border = (x + 1 < width && label[1] != *label) || (y + 1 < height && label[width] != *label);
            for (int c = 0; c < 3; c++) {
                int value = from[channels == 1 ? 0 : c];
                if (*label < classes)
                    value = (value * (SHARE_ONE - share) + palette[*label][c] * share + SHARE_ONE / 2) / SHARE_ONE;
                to[c] = (uint8_t)(border ? value / 2 : value);
            }
        }
    *out = mixed;
    return FS_OK;
}
