// JPEG reading: samplings, colour spaces with CMYK and YCCK, harmless oddities, and files that are damaged or absurd.
#include <criterion/criterion.h>
#include <criterion/parameterized.h>

#include "tests/image/pictures.h"

enum { W = 50, H = 37, MARK_APP0 = 0xe0, MARK_APP14 = 0xee, MARK_SOF = 0xc0, MARK_SOS = 0xda };

static fs_bytes make_street(int sampling, int flags) {
    fs_image picture = make_picture(W, H, 3, true);
    fs_bytes file = make_jpeg(picture.pixels, W, H, TJPF_RGB, sampling, flags);
    fs_image_free(&picture);
    return file;
}

ParameterizedTestParameters(image_jpeg, samplings) {
    static int samplings[] = {TJSAMP_444, TJSAMP_422, TJSAMP_420, TJSAMP_440, TJSAMP_411};
    return cr_make_param_array(int, samplings, sizeof samplings / sizeof samplings[0]);
}
ParameterizedTest(int *sampling, image_jpeg, samplings) {
    fs_image picture = make_picture(W, H, 3, true);
    for (int flags = 0; flags <= TJFLAG_PROGRESSIVE; flags += TJFLAG_PROGRESSIVE) {
        fs_bytes file = make_street(*sampling, flags);
        fs_image image = expect_decoded(file.data, file.size, 0);
        cr_assert(image.width == W && image.height == H && image.channels == 3);
        int difference = largest_difference(image.pixels, picture.pixels, W * H * 3);
        cr_assert_leq(difference, 12);
        fs_image_free(&image);
        fs_free(file.data);
    }
    fs_image_free(&picture);
}

// Luma three times as wide as chroma: TurboJPEG has no name for it, but decodes it.
Test(image_jpeg, unusual_sampling) {
    fs_bytes file = get_file(FS_SOURCE_DIR "/tests/fuzz/corpus/images/jpeg-odd-sampling");
    fs_image image = expect_decoded(file.data, file.size, 3);
    cr_assert(image.width == 22 && image.height == 18);
    fs_image_free(&image);
    fs_free(file.data);
}

Test(image_jpeg, gray_becomes_equal_channels) {
    fs_image picture = make_picture(W, H, 1, true);
    fs_bytes file = make_jpeg(picture.pixels, W, H, TJPF_GRAY, TJSAMP_GRAY, 0);
    fs_image image = expect_decoded(file.data, file.size, 3);
    for (int i = 0; i < W * H; i++) {
        const uint8_t *at = image.pixels + 3 * i;
        cr_assert(at[0] == at[1] && at[1] == at[2] && abs(at[0] - picture.pixels[i]) <= 4);
    }
    fs_image_free(&image);
    fs_image_free(&picture);
    fs_free(file.data);
}

Test(image_jpeg, alpha_is_opaque) {
    fs_bytes file = make_street(TJSAMP_420, 0);
    fs_image rgb = expect_decoded(file.data, file.size, 3), rgba = expect_decoded(file.data, file.size, 4);
    for (int i = 0; i < W * H; i++) {
        cr_assert_eq(rgba.pixels[4 * i + 3], 255);
        cr_assert(memcmp(rgba.pixels + 4 * i, rgb.pixels + 3 * i, 3) == 0);
    }
    fs_image_free(&rgb);
    fs_image_free(&rgba);
    fs_free(file.data);
}

// A flat field of stored ink values: JPEG keeps it within a level or two.
static fs_bytes make_ink(const uint8_t cmyk[4]) {
    static uint8_t pixels[W * H * 4];
    for (int i = 0; i < W * H; i++) memcpy(pixels + 4 * i, cmyk, 4);
    return make_jpeg(pixels, W, H, TJPF_CMYK, TJSAMP_444, 0);
}

static void expect_flat(const fs_bytes *file, int red, int green, int blue) {
    const int wanted[4] = {red, green, blue, 255};
    for (int channels = 3; channels <= 4; channels++) {
        fs_image image = expect_decoded(file->data, file->size, channels);
        cr_assert_eq(image.channels, channels);
        for (int i = 0; i < W * H * channels; i++) {
            int want = wanted[i % channels], got = image.pixels[i];
            cr_assert(abs(got - want) <= 3, "byte %d: %d, wanted %d", i, got, want);
        }
        fs_image_free(&image);
    }
}

// Adobe stores inverted ink, 255 being none: red = C * K / 255.
Test(image_jpeg, ycck_of_adobe_is_inverted) {
    fs_bytes file = make_ink((uint8_t[]){250, 128, 20, 204});
    cr_assert(find_marker(&file, MARK_APP14) != 0);
    expect_flat(&file, 250 * 204 / 255, 128 * 204 / 255, 20 * 204 / 255);
    fs_free(file.data);
}

// With the transform byte at 0 the planes are CMYK themselves. Equal inks v are stored by the encoder as
// Y = 255 - v and neutral chroma, so the planes now read C = 255 - v, M = Y = 128.
Test(image_jpeg, cmyk_of_adobe_is_inverted) {
    fs_bytes file = make_ink((uint8_t[]){55, 55, 55, 153});
    size_t adobe = find_marker(&file, MARK_APP14);
    cr_assert_eq(file.data[adobe + 15], 2);
    file.data[adobe + 15] = 0;
    expect_flat(&file, 200 * 153 / 255, 128 * 153 / 255, 128 * 153 / 255);
    fs_free(file.data);
}

// Without Adobe's segment 0 means no ink: red = (255 - C) * (255 - K) / 255.
Test(image_jpeg, cmyk_without_adobe_is_not_inverted) {
    fs_bytes file = make_ink((uint8_t[]){55, 55, 55, 102});
    file.data[find_marker(&file, MARK_APP14) + 1] = 0xed; // now an APP13 that nobody reads
    expect_flat(&file, 55 * 153 / 255, 127 * 153 / 255, 127 * 153 / 255);
    fs_free(file.data);
}

Test(image_jpeg, white_and_black_ink) {
    fs_bytes white = make_ink((uint8_t[]){255, 255, 255, 255}), black = make_ink((uint8_t[]){255, 255, 255, 0});
    expect_flat(&white, 255, 255, 255);
    expect_flat(&black, 0, 0, 0);
    fs_free(white.data);
    fs_free(black.data);
}

// Three components stored as RGB: an Adobe segment with transform 0 and no JFIF segment.
Test(image_jpeg, stored_as_rgb) {
    static uint8_t pixels[W * H * 3];
    for (int i = 0; i < W * H; i++) memcpy(pixels + 3 * i, (uint8_t[]){90, 90, 90}, 3);
    fs_bytes file = make_jpeg(pixels, W, H, TJPF_RGB, TJSAMP_444, 0); // Y = 90, Cb = Cr = 128
    file.data[find_marker(&file, MARK_APP0) + 1] = 0xef;
    static const uint8_t adobe[16] = {0xff, MARK_APP14, 0, 14, 'A', 'd', 'o', 'b', 'e', 0, 100, 0, 0, 0, 0, 0};
    fs_bytes rgb = with_inserted(&file, 2, adobe, sizeof adobe);
    expect_flat(&rgb, 90, 128, 128);
    fs_free(rgb.data);
    fs_free(file.data);
}

static void expect_error_at_every_cut(int sampling, int flags, size_t step) {
    fs_bytes file = make_street(sampling, flags);
    for (size_t size = 0; size < file.size; size += step) expect_failure(file.data, size, 3, FS_ERR_FORMAT);
    expect_failure(file.data, file.size - 1, 3, FS_ERR_FORMAT);
    expect_failure(file.data, file.size - 2, 3, FS_ERR_FORMAT);
    expect_message("cut short");
    fs_free(file.data);
}

Test(image_jpeg, cut_anywhere_is_an_error) {
    expect_error_at_every_cut(TJSAMP_420, 0, 1);
}

Test(image_jpeg, cut_progressive_is_an_error) {
    expect_error_at_every_cut(TJSAMP_420, TJFLAG_PROGRESSIVE, 1);
}

// The decoder would fill the rest with gray and go on.
Test(image_jpeg, missing_data_in_front_of_the_end_is_an_error) {
    fs_bytes file = make_street(TJSAMP_444, 0);
    size_t scan = find_marker(&file, MARK_SOS);
    for (int part = 1; part < 8; part++) {
        size_t at = scan + 14 + (file.size - scan - 16) * (size_t)part / 8;
        if (file.data[at - 1] == 0xff) at--;
        fs_bytes cut = with_inserted(&(fs_bytes){.data = file.data, .size = at}, at, "\xff\xd9", 2);
        expect_failure(cut.data, cut.size, 3, FS_ERR_FORMAT);
        fs_free(cut.data);
    }
    fs_free(file.data);
}

Test(image_jpeg, extraneous_bytes_are_harmless) {
    fs_bytes file = make_street(TJSAMP_420, 0);
    fs_image plain = expect_decoded(file.data, file.size, 3);
    fs_bytes between = with_inserted(&file, find_marker(&file, MARK_SOF), "\x01\x02\x03", 3);
    fs_bytes behind = with_inserted(&file, file.size, "\xff\xd8trailing", 10);
    const fs_bytes *odd[2] = {&between, &behind};
    for (int i = 0; i < 2; i++) {
        fs_image image = expect_decoded(odd[i]->data, odd[i]->size, 3);
        cr_assert(memcmp(image.pixels, plain.pixels, W * H * 3) == 0);
        fs_image_free(&image);
        fs_free(odd[i]->data);
    }
    fs_image_free(&plain);
    fs_free(file.data);
}

Test(image_jpeg, exif_orientation_is_not_applied) {
    static const uint8_t exif[] = {0xff, 0xe1, 0,    34, 'E', 'x', 'i', 'f', 0, 0, 'M', 'M', 0, 42, 0, 0, 0, 8,
                                   0,    1,    0x01, 18, 0,   3,   0,   0,   0, 1, 0,   6,   0, 0,  0, 0, 0, 0};
    fs_bytes file = make_street(TJSAMP_420, 0), turned = with_inserted(&file, 2, exif, sizeof exif);
    fs_image image = expect_decoded(turned.data, turned.size, 3);
    cr_assert(image.width == W && image.height == H);
    fs_image_free(&image);
    fs_free(file.data);
    fs_free(turned.data);
}

static void set_size(fs_bytes *file, int width, int height) {
    uint8_t *frame = file->data + find_marker(file, MARK_SOF);
    frame[5] = (uint8_t)(height >> 8);
    frame[6] = (uint8_t)height;
    frame[7] = (uint8_t)(width >> 8);
    frame[8] = (uint8_t)width;
}

Test(image_jpeg, giant_header_is_refused_before_allocation) {
    fs_bytes file = make_street(TJSAMP_420, 0);
    static const int sizes[][2] = {{65535, 65535}, {16385, 1}, {1, 16385}, {65500, 65500}};
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

Test(image_jpeg, more_pixels_than_the_file_can_hold_are_refused_before_allocation) {
    fs_bytes file = make_street(TJSAMP_420, 0);
    set_size(&file, 16384, 16384);
    fs_mem_fail_at(1, true);
    expect_failure(file.data, file.size, 0, FS_ERR_FORMAT);
    cr_assert_not(fs_mem_fault_fired());
    fs_mem_fail_at(0, false);
    fs_free(file.data);
}

Test(image_jpeg, zero_size) {
    fs_bytes file = make_street(TJSAMP_420, 0);
    set_size(&file, 0, H);
    expect_failure(file.data, file.size, 0, FS_ERR_FORMAT);
    set_size(&file, W, 0);
    expect_failure(file.data, file.size, 0, FS_ERR_FORMAT);
    fs_free(file.data);
}

Test(image_jpeg, twelve_bits_and_lossless_ask_for_conversion) {
    fs_bytes file = make_street(TJSAMP_420, 0);
    size_t frame = find_marker(&file, MARK_SOF);
    file.data[frame + 4] = 12;
    expect_failure(file.data, file.size, 0, FS_ERR_FORMAT);
    expect_message("convert it first");
    file.data[frame + 4] = 8;
    file.data[frame + 1] = 0xc3;
    expect_failure(file.data, file.size, 0, FS_ERR_FORMAT);
    expect_message("convert it first");
    fs_free(file.data);
}

Test(image_jpeg, any_changed_byte_is_survived) {
    fs_bytes file = make_street(TJSAMP_420, 0);
    for (size_t i = 2; i < file.size; i++) {
        uint8_t old = file.data[i];
        static const uint8_t values[] = {0x00, 0xff, 0x7f};
        for (size_t v = 0; v < sizeof values; v++) {
            file.data[i] = values[v];
            const fs_source source = {file.data, file.size, "street.img", 512};
            fs_image image = UNTOUCHED;
            fs_status status = fs_image_decode_within(&source, 3, &image);
            if (status == FS_OK)
                fs_image_free(&image);
            else
                cr_assert(is_untouched(&image) && (status == FS_ERR_FORMAT || status == FS_ERR_LIMIT), "%s",
                          fs_error_text());
        }
        file.data[i] = old;
    }
    cr_assert_eq(fs_mem_live_blocks(), 1);
    fs_free(file.data);
}
