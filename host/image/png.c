// PNG through libpng 1.6: every bit depth and colour type to 8-bit RGB or RGBA, and gray, RGB or RGBA to PNG.
#include <png.h>
#include <setjmp.h>
#include <string.h>

#include "host/image/codec.h"
#include "runtime/base/mem.h"

enum {
    IHDR_END = 33,             // signature 8, length 4, "IHDR" 4, fields 13, CRC 4
    MAX_CHUNK_BYTES = 8 << 20, // of an ancillary chunk once inflated
    DEFLATE_MAX_RATIO = 1032,  // no deflate stream expands further
    LEVEL = 4,                 // of zlib: twice as fast as the default for a few percent of size
};

// All state of one call. libpng leaves by longjmp, so nothing that is needed afterwards lives in a local variable.
typedef struct png_job {
    const char *name;
    const fs_source *source; // reading
    size_t position;
    fs_bytes out; // writing
    fs_image image;
    bool no_memory, truncated, no_labels;
    char message[160];
} png_job;

static void on_error(png_structp png, png_const_charp message) {
    png_job *job = png_get_error_ptr(png);
    strncpy(job->message, message, sizeof job->message - 1);
    png_longjmp(png, 1);
}

static void on_warning(png_structp png, png_const_charp message) {
    (void)png;
    (void)message;
}

static png_voidp on_malloc(png_structp png, png_alloc_size_t size) {
    png_job *job = png_get_mem_ptr(png);
    void *block = fs_malloc(size, 1);
    if (block == NULL) job->no_memory = true;
    return block;
}

static void on_free(png_structp png, png_voidp block) {
    (void)png;
    fs_free(block);
}

static void on_read(png_structp png, png_bytep to, size_t size) {
    png_job *job = png_get_io_ptr(png);
    if (size > job->source->size - job->position) {
        job->truncated = true;
        png_error(png, "truncated");
    }
    memcpy(to, job->source->data + job->position, size);
    job->position += size;
}

static void on_write(png_structp png, png_bytep from, size_t size) {
    png_job *job = png_get_io_ptr(png);
    if (size > job->out.capacity - job->out.size) {
        size_t capacity = job->out.capacity * 2 + size;
        uint8_t *grown = fs_grow(job->out.data, job->out.size, capacity, 1);
        if (grown == NULL) {
            job->no_memory = true;
            png_error(png, "out of memory");
        }
        job->out.data = grown;
        job->out.capacity = capacity;
    }
    memcpy(job->out.data + job->out.size, from, size);
    job->out.size += size;
}

static void on_flush(png_structp png) {
    (void)png;
}

static uint32_t big_endian(const uint8_t *bytes) {
    return (uint32_t)bytes[0] << 24 | (uint32_t)bytes[1] << 16 | (uint32_t)bytes[2] << 8 | bytes[3];
}

// Refuses giant, empty and impossible headers before libpng sees them.
static fs_status check_header(const fs_source *source) {
    const uint8_t *header = source->data;
    if (source->size < IHDR_END)
        return fs_fail(FS_ERR_FORMAT, "%s: the PNG file is cut short in its header; copy it again", source->name);
    if (memcmp(header + 12, "IHDR", 4) != 0)
        return fs_fail(FS_ERR_FORMAT, "%s: damaged PNG file (no IHDR chunk); copy it again", source->name);
    uint64_t width = big_endian(header + 16), height = big_endian(header + 20);
    FS_TRY(fs_image_check_size(source, width, height));
    static const uint8_t samples[7] = {1, 0, 3, 1, 2, 0, 4}; // by colour type
    uint8_t depth = header[24], type = header[25];
    uint64_t row_bytes = width * depth * (type < 7 ? samples[type] : 0) / 8;
    if (row_bytes * height / DEFLATE_MAX_RATIO > source->size)
        return fs_fail(FS_ERR_FORMAT, "%s: the PNG file is too short for its %llu x %llu pixels; copy it again",
                       source->name, (unsigned long long)width, (unsigned long long)height);
    return FS_OK;
}

// Has libpng convert to 8-bit RGB or RGBA; *channels 0 becomes 3 or 4.
static void convert(png_structp png, png_infop info, int type, int *channels) {
    bool alpha = (type & PNG_COLOR_MASK_ALPHA) != 0 || png_get_valid(png, info, PNG_INFO_tRNS) != 0;
    if (*channels == 0) *channels = alpha ? 4 : 3;
    png_set_expand(png); // palette to RGB, small depths to 8, tRNS to alpha
    png_set_strip_16(png);
    png_set_gray_to_rgb(png);
    if (*channels == 3 && alpha) png_set_strip_alpha(png);
    if (*channels == 4 && !alpha) png_set_add_alpha(png, 0xff, PNG_FILLER_AFTER);
}

// Everything between creation and destruction of the read struct; libpng errors end in the caller's setjmp.
static void read_picture(png_structp png, png_infop info, png_job *job, int channels) {
    int side = job->source->max_side;
    png_set_user_limits(png, (png_uint_32)side, (png_uint_32)side);
    png_set_chunk_malloc_max(png, MAX_CHUNK_BYTES);
    // Colour profiles, texts and the like are skipped unread: samples are taken as they are stored.
    png_set_keep_unknown_chunks(png, PNG_HANDLE_CHUNK_NEVER, NULL, -1);
    png_set_read_fn(png, job, on_read);
    png_read_info(png, info);

    int type = png_get_color_type(png, info);
    if (channels == FS_AS_LABELS) {
        job->no_labels =
            (type != PNG_COLOR_TYPE_GRAY && type != PNG_COLOR_TYPE_PALETTE) || png_get_bit_depth(png, info) > 8;
        if (job->no_labels) png_error(png, "no labels");
        png_set_packing(png); // small depths to a byte each, without scaling
    } else {
        convert(png, info, type, &channels);
    }
    int passes = png_set_interlace_handling(png);
    png_read_update_info(png, info);

    int width = (int)png_get_image_width(png, info), height = (int)png_get_image_height(png, info);
    if (png_get_rowbytes(png, info) != (size_t)width * (size_t)channels) png_error(png, "unexpected row size");
    if (fs_image_alloc(job->name, width, height, channels, &job->image) != FS_OK) {
        job->no_memory = true;
        png_error(png, "out of memory");
    }
    for (int pass = 0; pass < passes; pass++)
        for (int y = 0; y < height; y++)
            png_read_row(png, job->image.pixels + (size_t)y * (size_t)width * (size_t)channels, NULL);
    png_read_end(png, NULL);
}

static bool read_guarded(png_structp png, png_infop info, png_job *job, int channels) {
    if (setjmp(png_jmpbuf(png)) != 0) return false;
    read_picture(png, info, job, channels);
    return true;
}

fs_status fs_png_decode(const fs_source *source, int channels, fs_image *image) {
    FS_TRY(check_header(source));
    png_job job = {.name = source->name, .source = source};
    png_structp png =
        png_create_read_struct_2(PNG_LIBPNG_VER_STRING, &job, on_error, on_warning, &job, on_malloc, on_free);
    if (png == NULL) return fs_image_no_memory(source->name);
    png_infop info = png_create_info_struct(png);
    bool good = info != NULL && read_guarded(png, info, &job, channels);
    png_destroy_read_struct(&png, &info, NULL);
    if (good && !job.no_memory) {
        *image = job.image;
        return FS_OK;
    }
    fs_image_free(&job.image);
    if (job.no_memory) return fs_image_no_memory(source->name);
    if (job.no_labels)
        return fs_fail(FS_ERR_FORMAT, "%s: no label map: that is a gray or palette PNG of 8 bits, one number a pixel",
                       source->name);
    if (job.truncated) return fs_fail(FS_ERR_FORMAT, "%s: the PNG file is cut short; copy it again", source->name);
    return fs_fail(FS_ERR_FORMAT, "%s: damaged PNG file (%s); copy it again", source->name, job.message);
}

static bool write_guarded(png_structp png, png_infop info, png_job *job, const fs_image *image) {
    if (setjmp(png_jmpbuf(png)) != 0) return false;
    int type = image->channels == 1   ? PNG_COLOR_TYPE_GRAY
               : image->channels == 3 ? PNG_COLOR_TYPE_RGB
                                      : PNG_COLOR_TYPE_RGB_ALPHA;
    png_set_write_fn(png, job, on_write, on_flush);
    png_set_IHDR(png, info, (png_uint_32)image->width, (png_uint_32)image->height, 8, type, PNG_INTERLACE_NONE,
                 PNG_COMPRESSION_TYPE_DEFAULT, PNG_FILTER_TYPE_DEFAULT);
    png_set_compression_level(png, LEVEL);
    // Label maps (gray) are flat areas, which deflate packs best unfiltered.
    png_set_filter(png, PNG_FILTER_TYPE_BASE, image->channels == 1 ? PNG_FILTER_NONE : PNG_FAST_FILTERS);
    png_write_info(png, info);
    size_t stride = (size_t)image->width * (size_t)image->channels;
    for (int y = 0; y < image->height; y++) png_write_row(png, image->pixels + (size_t)y * stride);
    png_write_end(png, NULL);
    return true;
}

fs_status fs_png_encode(const fs_image *image, const char *name, fs_bytes *out) {
    png_job job = {.name = name};
    png_structp png =
        png_create_write_struct_2(PNG_LIBPNG_VER_STRING, &job, on_error, on_warning, &job, on_malloc, on_free);
    if (png == NULL) return fs_image_no_memory(name);
    png_infop info = png_create_info_struct(png);
    bool good = info != NULL && write_guarded(png, info, &job, image);
    png_destroy_write_struct(&png, &info);
    if (good && !job.no_memory) {
        *out = job.out;
        return FS_OK;
    }
    fs_free(job.out.data);
    if (job.no_memory) return fs_image_no_memory(name);
    return fs_fail(FS_ERR_INTERNAL, "%s: libpng refused to write the picture: %s", name, job.message);
}
