// PNG reading: every colour type and bit depth, transparency, interlacing, and files that are damaged or absurd.
#include <criterion/criterion.h>
#include <criterion/parameterized.h>
#include <zlib.h>

#include "tests/image/pictures.h"
#include "tests/image/png_maker.h"

typedef struct variety {
    int type, depth, interlaced, transparent;
} variety;

static void check_variety(const variety *kind, int channels) {
    fs_bytes file = make_png(kind->type, kind->depth, kind->interlaced, kind->transparent);
    fs_image image = expect_decoded(file.data, file.size, channels);
    bool alpha = kind->transparent || (kind->type & PNG_COLOR_MASK_ALPHA) != 0;
    int wanted = channels != 0 ? channels : alpha ? 4 : 3;
    cr_assert_eq(image.width, MADE_W);
    cr_assert_eq(image.height, MADE_H);
    cr_assert_eq(image.channels, wanted);
    for (int y = 0; y < MADE_H; y++)
        for (int x = 0; x < MADE_W; x++) {
            uint8_t rgba[4];
            png_meaning(kind->type, kind->depth, kind->transparent, x, y, rgba);
            const uint8_t *got = image.pixels + (y * MADE_W + x) * wanted;
            cr_assert(memcmp(got, rgba, (size_t)wanted) == 0, "pixel %d,%d: %d %d %d, wanted %d %d %d", x, y, got[0],
                      got[1], got[2], rgba[0], rgba[1], rgba[2]);
        }
    fs_image_free(&image);
    fs_free(file.data);
    cr_assert_eq(fs_mem_live_blocks(), 0);
}

#define PLAIN_AND_INTERLACED(type, depth)                                                                              \
    {type, depth, 0, 0}, {                                                                                             \
        type, depth, 1, 0                                                                                              \
    }
ParameterizedTestParameters(image_png, every_kind) {
    static variety kinds[] = {
        PLAIN_AND_INTERLACED(PNG_COLOR_TYPE_GRAY, 1),        PLAIN_AND_INTERLACED(PNG_COLOR_TYPE_GRAY, 2),
        PLAIN_AND_INTERLACED(PNG_COLOR_TYPE_GRAY, 4),        PLAIN_AND_INTERLACED(PNG_COLOR_TYPE_GRAY, 8),
        PLAIN_AND_INTERLACED(PNG_COLOR_TYPE_GRAY, 16),       PLAIN_AND_INTERLACED(PNG_COLOR_TYPE_PALETTE, 1),
        PLAIN_AND_INTERLACED(PNG_COLOR_TYPE_PALETTE, 2),     PLAIN_AND_INTERLACED(PNG_COLOR_TYPE_PALETTE, 4),
        PLAIN_AND_INTERLACED(PNG_COLOR_TYPE_PALETTE, 8),     PLAIN_AND_INTERLACED(PNG_COLOR_TYPE_RGB, 8),
        PLAIN_AND_INTERLACED(PNG_COLOR_TYPE_RGB, 16),        PLAIN_AND_INTERLACED(PNG_COLOR_TYPE_GRAY_ALPHA, 8),
        PLAIN_AND_INTERLACED(PNG_COLOR_TYPE_GRAY_ALPHA, 16), PLAIN_AND_INTERLACED(PNG_COLOR_TYPE_RGB_ALPHA, 8),
        PLAIN_AND_INTERLACED(PNG_COLOR_TYPE_RGB_ALPHA, 16),
    };
    return cr_make_param_array(variety, kinds, sizeof kinds / sizeof kinds[0]);
}
ParameterizedTest(variety *kind, image_png, every_kind) {
    check_variety(kind, 0);
    check_variety(kind, 3);
    check_variety(kind, 4);
}

ParameterizedTestParameters(image_png, transparent_colour) {
    static variety kinds[] = {
        {PNG_COLOR_TYPE_GRAY, 1, 0, 1},    {PNG_COLOR_TYPE_GRAY, 8, 1, 1},    {PNG_COLOR_TYPE_GRAY, 16, 0, 1},
        {PNG_COLOR_TYPE_PALETTE, 2, 0, 1}, {PNG_COLOR_TYPE_PALETTE, 8, 1, 1}, {PNG_COLOR_TYPE_RGB, 8, 0, 1},
        {PNG_COLOR_TYPE_RGB, 16, 1, 1},
    };
    return cr_make_param_array(variety, kinds, sizeof kinds / sizeof kinds[0]);
}
ParameterizedTest(variety *kind, image_png, transparent_colour) {
    check_variety(kind, 0);
    check_variety(kind, 3);
    check_variety(kind, 4);
}

static void put_u32(uint8_t *to, uint32_t value) {
    for (int i = 0; i < 4; i++) to[i] = (uint8_t)(value >> (24 - 8 * i));
}

// Overwrites the size in the header and repairs its checksum.
static void set_size(fs_bytes *file, uint32_t width, uint32_t height) {
    put_u32(file->data + 16, width);
    put_u32(file->data + 20, height);
    put_u32(file->data + 29, (uint32_t)crc32(0, file->data + 12, 17));
}

Test(image_png, cut_anywhere_is_an_error) {
    fs_bytes file = make_png(PNG_COLOR_TYPE_RGB, 8, false, false);
    for (size_t size = 0; size < file.size; size++) expect_failure(file.data, size, 0, FS_ERR_FORMAT);
    fs_free(file.data);
}

Test(image_png, cut_interlaced_is_an_error) {
    fs_bytes file = make_png(PNG_COLOR_TYPE_RGB_ALPHA, 16, true, false);
    for (size_t size = 0; size < file.size; size += 3) expect_failure(file.data, size, 3, FS_ERR_FORMAT);
    fs_free(file.data);
}

Test(image_png, cut_says_so) {
    fs_bytes file = make_png(PNG_COLOR_TYPE_RGB, 8, false, false);
    expect_failure(file.data, file.size - 20, 0, FS_ERR_FORMAT);
    expect_message("cut short");
    fs_free(file.data);
}

Test(image_png, any_changed_byte_is_survived) {
    fs_bytes file = make_png(PNG_COLOR_TYPE_PALETTE, 4, true, true);
    for (size_t i = 0; i < file.size; i++)
        for (int flip = 1; flip <= 0x80; flip *= 8) {
            file.data[i] ^= (uint8_t)flip;
            fs_image image = UNTOUCHED;
            fs_status status = fs_image_decode(file.data, file.size, "street.img", 4, &image);
            if (status == FS_OK)
                fs_image_free(&image);
            else
                cr_assert(is_untouched(&image) && (status == FS_ERR_FORMAT || status == FS_ERR_LIMIT));
            cr_assert_eq(fs_mem_live_blocks(), 1);
            file.data[i] ^= (uint8_t)flip;
        }
    fs_free(file.data);
}

Test(image_png, wrong_checksum_is_an_error) {
    fs_bytes file = make_png(PNG_COLOR_TYPE_GRAY, 8, false, false);
    file.data[file.size - 12 - 3] ^= 1; // the last checksum of IDAT, in front of the 12 bytes of IEND
    expect_failure(file.data, file.size, 0, FS_ERR_FORMAT);
    expect_message("damaged PNG");
    fs_free(file.data);
}

Test(image_png, giant_header_is_refused_before_allocation) {
    fs_bytes file = make_png(PNG_COLOR_TYPE_RGB, 8, false, false);
    static const uint32_t sizes[][2] = {
        {100000, 100000}, {16385, 1}, {1, 16385}, {0x7fffffff, 0x7fffffff}, {0xffffffff, 2}};
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        set_size(&file, sizes[i][0], sizes[i][1]);
        fs_mem_fail_at(1, true);
        expect_failure(file.data, file.size, 0, FS_ERR_LIMIT);
        cr_assert_not(fs_mem_fault_fired());
        fs_mem_fail_at(0, false);
        expect_message("16384");
    }
    fs_free(file.data);
}

Test(image_png, more_pixels_than_the_file_can_hold_are_refused_before_allocation) {
    fs_bytes file = make_png(PNG_COLOR_TYPE_RGB, 8, false, false);
    set_size(&file, 16384, 16384);
    fs_mem_fail_at(1, true);
    expect_failure(file.data, file.size, 0, FS_ERR_FORMAT);
    cr_assert_not(fs_mem_fault_fired());
    fs_mem_fail_at(0, false);
    fs_free(file.data);
}

Test(image_png, fewer_rows_than_the_header_says) {
    fs_bytes file = make_png(PNG_COLOR_TYPE_RGB, 8, false, false);
    set_size(&file, MADE_W, MADE_H + 40);
    expect_failure(file.data, file.size, 0, FS_ERR_FORMAT);
    fs_free(file.data);
}

Test(image_png, zero_size) {
    fs_bytes file = make_png(PNG_COLOR_TYPE_RGB, 8, false, false);
    set_size(&file, 0, 5);
    expect_failure(file.data, file.size, 0, FS_ERR_FORMAT);
    set_size(&file, 5, 0);
    expect_failure(file.data, file.size, 0, FS_ERR_FORMAT);
    fs_free(file.data);
}

Test(image_png, impossible_depths_and_types) {
    fs_bytes file = make_png(PNG_COLOR_TYPE_RGB, 8, false, false);
    for (int depth = 0; depth < 20; depth++)
        for (int type = 0; type < 10; type++) {
            file.data[24] = (uint8_t)depth;
            file.data[25] = (uint8_t)type;
            set_size(&file, MADE_W, MADE_H);
            fs_image image = UNTOUCHED;
            fs_status status = fs_image_decode(file.data, file.size, "street.img", 0, &image);
            if (status == FS_OK)
                fs_image_free(&image);
            else
                cr_assert(status == FS_ERR_FORMAT && is_untouched(&image));
        }
    fs_free(file.data);
}

Test(image_png, first_chunk_must_be_the_header) {
    fs_bytes file = make_png(PNG_COLOR_TYPE_RGB, 8, false, false);
    file.data[12] = 'X';
    expect_failure(file.data, file.size, 0, FS_ERR_FORMAT);
    expect_message("IHDR");
    fs_free(file.data);
}

// Texts, profiles and unknown ancillary chunks say nothing about the samples, however wrong they are.
Test(image_png, ancillary_chunks_do_not_matter) {
    fs_bytes file = make_png(PNG_COLOR_TYPE_RGB, 8, false, false);
    fs_image plain = expect_decoded(file.data, file.size, 3);
    static const char names[][5] = {"iCCP", "tEXt", "zTXt", "gAMA", "eXIf", "abCd"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        uint8_t chunk[12 + 9];
        put_u32(chunk, 9);
        memcpy(chunk + 4, names[i], 4);
        memcpy(chunk + 8, "nonsense!", 9);
        put_u32(chunk + 17, (uint32_t)crc32(0, chunk + 4, 13));
        fs_bytes more = with_inserted(&file, 33, chunk, sizeof chunk);
        fs_image image = expect_decoded(more.data, more.size, 3);
        cr_assert(memcmp(image.pixels, plain.pixels, MADE_W * MADE_H * 3) == 0, "%s", names[i]);
        fs_image_free(&image);
        fs_free(more.data);
    }
    fs_image_free(&plain);
    fs_free(file.data);
}

Test(image_png, what_follows_the_end_is_ignored) {
    fs_bytes file = make_png(PNG_COLOR_TYPE_GRAY, 4, false, false);
    fs_bytes more = with_inserted(&file, file.size, "trailing", 8);
    fs_image image = expect_decoded(more.data, more.size, 0);
    fs_image_free(&image);
    fs_free(more.data);
    fs_free(file.data);
}
