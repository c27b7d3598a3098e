// Label maps as pictures: plain class colours.
#include <string.h>

#include "host/image/codec.h"
#include "runtime/base/mem.h"

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
