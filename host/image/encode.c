// Pictures out: the format follows from the file's extension, and the file appears whole or not at all.
#include <string.h>
#include <strings.h>

#include "host/image/codec.h"
#include "runtime/base/mem.h"
#include "runtime/base/writer.h"

typedef enum extension { EXT_NONE, EXT_PNG, EXT_JPEG, EXT_PPM, EXT_PGM } extension;

static extension extension_of(const char *path) {
    const char *slash = strrchr(path, '/');
    const char *name = slash == NULL ? path : slash + 1;
    const char *dot = strrchr(name, '.');
    if (dot == NULL) return EXT_NONE;
    if (strcasecmp(dot, ".png") == 0) return EXT_PNG;
    if (strcasecmp(dot, ".jpg") == 0 || strcasecmp(dot, ".jpeg") == 0) return EXT_JPEG;
    if (strcasecmp(dot, ".ppm") == 0) return EXT_PPM;
    if (strcasecmp(dot, ".pgm") == 0) return EXT_PGM;
    return EXT_NONE;
}

int fs_image_is_name(const char *path) {
    return path != NULL && extension_of(path) != EXT_NONE;
}

static fs_status encode(const char *path, const fs_image *image, fs_bytes *out) {
    switch (extension_of(path)) {
    case EXT_PNG: return fs_png_encode(image, path, out);
    case EXT_JPEG: return fs_jpeg_encode(image, path, out);
    case EXT_PPM: return fs_pnm_encode(image, path, 3, out);
    case EXT_PGM:
        if (image->channels == 1) return fs_pnm_encode(image, path, 1, out);
        return fs_fail(FS_ERR_ARGUMENT, "%s: a .pgm file holds gray pixels only; name it .ppm or .png", path);
    case EXT_NONE: break;
    }
    return fs_fail(FS_ERR_ARGUMENT, "%s: cannot tell the format; end the name in .png, .jpg, .ppm or .pgm", path);
}

fs_status fs_image_write(const char *path, const fs_image *image) {
    if (path == NULL || image == NULL || image->pixels == NULL)
        return fs_fail(FS_ERR_ARGUMENT, "%s: no picture to write", path == NULL ? "(no path)" : path);
    if (!fs_image_is_side(image->width) || !fs_image_is_side(image->height))
        return fs_fail(FS_ERR_ARGUMENT, "%s: cannot write %d x %d pixels; a side is 1 to %d", path, image->width,
                       image->height, FS_IMAGE_MAX_SIDE);
    if (image->channels != 1 && image->channels != 3 && image->channels != 4)
        return fs_fail(FS_ERR_ARGUMENT, "%s: cannot write %d channels; only 1, 3 or 4", path, image->channels);
    fs_bytes bytes = {0};
    FS_TRY(encode(path, image, &bytes));
    const fs_part part = {bytes.data, bytes.size};
    fs_status status = fs_write_whole(path, &part, 1);
    fs_free(bytes.data);
    return status;
}
