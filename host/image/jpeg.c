// JPEG through TurboJPEG 2.1: gray, RGB, YCbCr, CMYK and YCCK to RGB or RGBA, and gray, RGB or RGBA to JPEG.
#include <string.h>
#include <turbojpeg.h>

#include "host/image/codec.h"
#include "runtime/base/mem.h"

enum { QUALITY = 95 };

static fs_status damaged(const char *name, const char *why) {
    return fs_fail(FS_ERR_FORMAT, "%s: damaged JPEG file (%s); copy it again", name, why);
}

static fs_status turbo_error(const char *name, tjhandle turbo) {
    const char *why = tjGetErrorStr2(turbo);
    if (strstr(why, "Insufficient memory") != NULL || strstr(why, "Memory allocation") != NULL)
        return fs_image_no_memory(name);
    if (strstr(why, "Unsupported") != NULL)
        return fs_fail(FS_ERR_FORMAT,
                       "%s: a kind of JPEG that is not read (%s); convert it first, e.g. with ImageMagick", name, why);
    return damaged(name, why);
}

// Warnings that leave the picture as it was meant. TurboJPEG keeps the text of a call's first warning only.
static bool is_harmless(const char *warning) {
    return strstr(warning, "extraneous bytes") != NULL || strstr(warning, "JFIF revision") != NULL ||
           strstr(warning, "Adobe color transform") != NULL || strstr(warning, "Invalid SOS parameters") != NULL;
}

// Ink to light, in place from 4 bytes a pixel to `channels`. Adobe's writers store 255 for no ink, others 0.
static void cmyk_to_rgb(uint8_t *pixels, size_t count, int channels, bool inverted) {
    const uint8_t flip = inverted ? 0 : 255;
    uint8_t *to = pixels;
    for (const uint8_t *from = pixels; count > 0; count--, from += 4, to += channels) {
        unsigned key = from[3] ^ flip;
        for (int c = 0; c < 3; c++) to[c] = (uint8_t)(((unsigned)(from[c] ^ flip) * key + 127) / 255);
        if (channels == 4) to[3] = 255;
    }
}

// Refuses what the markers already show to be giant, cut short or impossible.
static fs_status check_markers(const fs_source *source, fs_jpeg_layout *layout) {
    if (!fs_jpeg_scan(source->data, source->size, layout))
        return fs_fail(FS_ERR_FORMAT, "%s: the JPEG file is cut short or has no frame header; copy it again",
                       source->name);
    FS_TRY(fs_image_check_size(source, (uint64_t)layout->width, (uint64_t)layout->height));
    if (!layout->complete) return fs_fail(FS_ERR_FORMAT, "%s: the JPEG file is cut short; copy it again", source->name);
    // Huffman coding spends at least a bit on each 8x8 block, and no sampling leaves fewer than a block to 128 pixels.
    uint64_t pixels = (uint64_t)layout->width * (uint64_t)layout->height;
    if (!layout->arithmetic && pixels / 1024 > source->size)
        return fs_fail(FS_ERR_FORMAT, "%s: the JPEG file is too short for its %d x %d pixels; copy it again",
                       source->name, layout->width, layout->height);
    return FS_OK;
}

static fs_status decode(tjhandle turbo, const fs_source *source, int channels, fs_image *image) {
    fs_jpeg_layout layout;
    FS_TRY(check_markers(source, &layout));
    // An unusual chroma sampling makes this call fail although it can be decoded: the size tells.
    int width = 0, height = 0, sampling = -1, space = -1;
    int header = tjDecompressHeader3(turbo, source->data, source->size, &width, &height, &sampling, &space);
    if (header != 0 && (width == 0 || height == 0)) return turbo_error(source->name, turbo);
    if (width != layout.width || height != layout.height) return damaged(source->name, "contradictory headers");

    bool ink = layout.components == 4;
    int stored = ink ? 4 : channels;
    fs_image picture;
    FS_TRY(fs_image_alloc(source->name, width, height, stored, &picture));
    int format = ink ? TJPF_CMYK : channels == 4 ? TJPF_RGBA : TJPF_RGB;
    int result = tjDecompress2(turbo, source->data, source->size, picture.pixels, width, width * stored, height, format,
                               TJFLAG_ACCURATEDCT | TJFLAG_LIMITSCANS);
    if (result != 0 && (tjGetErrorCode(turbo) != TJERR_WARNING || !is_harmless(tjGetErrorStr2(turbo)))) {
        fs_image_free(&picture);
        return turbo_error(source->name, turbo);
    }
    if (ink) cmyk_to_rgb(picture.pixels, (size_t)width * (size_t)height, channels, layout.adobe);
    picture.channels = channels;
    *image = picture;
    return FS_OK;
}

fs_status fs_jpeg_decode(const fs_source *source, int channels, fs_image *image) {
    tjhandle turbo = tjInitDecompress();
    if (turbo == NULL) return fs_image_no_memory(source->name);
    fs_status status = decode(turbo, source, channels == 0 ? 3 : channels, image);
    tjDestroy(turbo);
    return status;
}

fs_status fs_jpeg_encode(const fs_image *image, const char *name, fs_bytes *out) {
    // Full chroma resolution: the edges of class colours stay sharp.
    int sampling = image->channels == 1 ? TJSAMP_GRAY : TJSAMP_444;
    int format = image->channels == 1 ? TJPF_GRAY : image->channels == 3 ? TJPF_RGB : TJPF_RGBA;
    unsigned long size = tjBufSize(image->width, image->height, sampling);
    uint8_t *data = size == (unsigned long)-1 ? NULL : fs_malloc(size, 1);
    tjhandle turbo = data == NULL ? NULL : tjInitCompress();
    if (turbo == NULL) {
        fs_free(data);
        return fs_image_no_memory(name);
    }
    unsigned long capacity = size;
    int result = tjCompress2(turbo, image->pixels, image->width, 0, image->height, format, &data, &size, sampling,
                             QUALITY, TJFLAG_NOREALLOC | TJFLAG_ACCURATEDCT);
    fs_status status = FS_OK;
    if (result != 0)
        status =
            fs_fail(FS_ERR_INTERNAL, "%s: TurboJPEG refused to write the picture: %s", name, tjGetErrorStr2(turbo));
    tjDestroy(turbo);
    if (status != FS_OK) {
        fs_free(data);
        return status;
    }
    *out = (fs_bytes){.data = data, .size = size, .capacity = capacity};
    return FS_OK;
}
