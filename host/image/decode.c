// Pictures in: detection by content, the checks that all formats share, and the way to the format's decoder.
#include <string.h>

#include "host/image/codec.h"
#include "runtime/base/mem.h"

void fs_image_free(fs_image *image) {
    if (image == NULL) return;
    fs_free(image->pixels);
    *image = (fs_image){0};
}

fs_status fs_image_no_memory(const char *name) {
    return fs_fail(FS_ERR_MEMORY, "%s: not enough memory for the picture; use a smaller one", name);
}

fs_status fs_image_check_size(const fs_source *source, uint64_t width, uint64_t height) {
    if (width == 0 || height == 0)
        return fs_fail(FS_ERR_FORMAT, "%s: the header says %llux%llu pixels (height x width); the file is damaged",
                       source->name, (unsigned long long)height, (unsigned long long)width);
    if (width > (uint64_t)source->max_side || height > (uint64_t)source->max_side)
        return fs_fail(FS_ERR_LIMIT,
                       "%s: %llux%llu pixels (height x width) are over the limit of %d a side; scale it down",
                       source->name, (unsigned long long)height, (unsigned long long)width, source->max_side);
    return FS_OK;
}

fs_status fs_image_alloc(const char *name, int width, int height, int channels, fs_image *image) {
    size_t bytes;
    if (!fs_mul((size_t)width * (size_t)channels, (size_t)height, &bytes)) return fs_image_no_memory(name);
    uint8_t *pixels = fs_malloc(bytes, 1);
    if (pixels == NULL) return fs_image_no_memory(name);
    *image = (fs_image){.width = width, .height = height, .channels = channels, .pixels = pixels};
    return FS_OK;
}

fs_image_kind fs_image_detect(const uint8_t *head, size_t size) {
    static const uint8_t png[8] = {0x89, 'P', 'N', 'G', '\r', '\n', 0x1a, '\n'};
    if (size >= sizeof png && memcmp(head, png, sizeof png) == 0) return FS_KIND_PNG;
    if (size >= 3 && head[0] == 0xff && head[1] == 0xd8 && head[2] == 0xff) return FS_KIND_JPEG;
    if (size >= 3 && head[0] == 'P' && (head[1] == '5' || head[1] == '6') && strchr(" \t\r\n\v\f#", head[2]) != NULL &&
        head[2] != '\0')
        return FS_KIND_PNM;
    return FS_KIND_UNKNOWN;
}

fs_status fs_image_unknown(const char *name, const uint8_t *head, size_t size) {
    if (size == 0) return fs_fail(FS_ERR_FORMAT, "%s: the file is empty", name);
    if (size >= 3 && head[0] == 'P' && head[1] >= '1' && head[1] <= '7' && strchr(" \t\r\n#", head[2]) != NULL)
        return fs_fail(FS_ERR_FORMAT,
                       "%s: a P%c picture; only binary PGM (P5) and PPM (P6) are read: convert it first, e.g. with "
                       "ImageMagick",
                       name, head[1]);
    return fs_fail(FS_ERR_FORMAT, "%s: not a PNG, JPEG or PPM file; convert it first, e.g. with ImageMagick", name);
}

fs_status fs_image_decode_within(const fs_source *source, int channels, fs_image *image) {
    if (channels != 0 && channels != 3 && channels != 4)
        return fs_fail(FS_ERR_ARGUMENT, "%s: cannot convert to %d channels; ask for 3 or 4, or 0 for either",
                       source->name, channels);
    switch (fs_image_detect(source->data, source->size)) {
    case FS_KIND_PNG: return fs_png_decode(source, channels, image);
    case FS_KIND_JPEG: return fs_jpeg_decode(source, channels, image);
    case FS_KIND_PNM: return fs_pnm_decode(source, channels, image);
    case FS_KIND_UNKNOWN: break;
    }
    return fs_image_unknown(source->name, source->data, source->size);
}

fs_status fs_image_decode(const void *data, size_t size, const char *name, int channels, fs_image *image) {
    if ((data == NULL && size > 0) || image == NULL)
        return fs_fail(FS_ERR_ARGUMENT, "%s: no data or no image to decode into", name == NULL ? "(memory)" : name);
    const fs_source source = {
        .data = data, .size = size, .name = name == NULL ? "(memory)" : name, .max_side = FS_IMAGE_MAX_SIDE};
    return fs_image_decode_within(&source, channels, image);
}

fs_status fs_image_read(const char *path, int channels, fs_image *image) {
    if (path == NULL || image == NULL) return fs_fail(FS_ERR_ARGUMENT, "no path or no image to read a picture into");
    fs_bytes bytes = {0};
    FS_TRY(fs_file_read_image(path, &bytes));
    fs_status status = fs_image_decode(bytes.data, bytes.size, path, channels, image);
    fs_free(bytes.data);
    return status;
}

fs_status fs_labels_read(const char *path, fs_image *labels) {
    if (path == NULL || labels == NULL) return fs_fail(FS_ERR_ARGUMENT, "no path or no image to read labels into");
    fs_bytes bytes = {0};
    FS_TRY(fs_file_read_image(path, &bytes));
    const fs_source source = {.data = bytes.data, .size = bytes.size, .name = path, .max_side = FS_IMAGE_MAX_SIDE};
    fs_status status = FS_OK;
    switch (fs_image_detect(bytes.data, bytes.size)) {
    case FS_KIND_PNG: status = fs_png_decode(&source, FS_AS_LABELS, labels); break;
    case FS_KIND_UNKNOWN: status = fs_image_unknown(path, bytes.data, bytes.size); break;
    default: status = fs_fail(FS_ERR_FORMAT, "%s: label maps are read from PNG files; convert it without loss", path);
    }
    fs_free(bytes.data);
    return status;
}
