// PPM and PGM reading: comments, every kind of maxval, and headers that are damaged or absurd.
#include <criterion/criterion.h>
#include <criterion/parameterized.h>

#include "tests/image/pictures.h"

// A header as text and the samples behind it.
static fs_bytes join(const char *header, const void *samples, size_t count) {
    fs_bytes head = {.data = (uint8_t *)(uintptr_t)header, .size = strlen(header)};
    return with_inserted(&head, head.size, samples, count);
}

static void expect_pixels(const char *header, const void *samples, size_t count, int channels, const uint8_t *wanted,
                          size_t wanted_count) {
    fs_bytes file = join(header, samples, count);
    fs_image image = expect_decoded(file.data, file.size, channels);
    cr_assert_eq((size_t)image.width * (size_t)image.height * (size_t)image.channels, wanted_count);
    cr_assert(memcmp(image.pixels, wanted, wanted_count) == 0);
    fs_image_free(&image);
    fs_free(file.data);
}

Test(image_pnm, colour) {
    const uint8_t samples[] = {1, 2, 3, 4, 5, 6}, rgba[] = {1, 2, 3, 255, 4, 5, 6, 255};
    expect_pixels("P6\n2 1\n255\n", samples, 6, 0, samples, 6);
    expect_pixels("P6\n2 1\n255\n", samples, 6, 3, samples, 6);
    expect_pixels("P6\n2 1\n255\n", samples, 6, 4, rgba, 8);
}

Test(image_pnm, gray) {
    const uint8_t samples[] = {9, 200}, rgb[] = {9, 9, 9, 200, 200, 200}, rgba[] = {9, 9, 9, 255, 200, 200, 200, 255};
    expect_pixels("P5 1 2 255 ", samples, 2, 0, rgb, 6);
    expect_pixels("P5 1 2 255\n", samples, 2, 4, rgba, 8);
}

// The first byte behind the header may itself look like white space or a comment.
Test(image_pnm, samples_that_look_like_text) {
    const uint8_t samples[] = {'\n', '#', ' ', '1', '\r', '\n'};
    expect_pixels("P6\n2 1\n255\n", samples, 6, 3, samples, 6);
}

ParameterizedTestParameters(image_pnm, comments) {
    static char headers[][64] = {
        "P6#one\n2 1\n255\n",      "P6\n# a street\n# and more\n2 1\n255\n",
        "P6 2#w\n1 #h\n 255\n",    "P6\r\n2\t1\v255\f",
        "P6\n2 1\n255# the end\n", "P6\n0002 01\n0255 ",
        "P6\n2 1 # 7 7\n255\r",
    };
    return cr_make_param_array(char[64], headers, sizeof headers / sizeof headers[0]);
}
ParameterizedTest(char (*header)[64], image_pnm, comments) {
    const uint8_t samples[] = {1, 2, 3, 4, 5, 6};
    expect_pixels(*header, samples, 6, 3, samples, 6);
}

ParameterizedTestParameters(image_pnm, maxvals) {
    static int maxvals[] = {1, 2, 3, 15, 100, 127, 254, 255, 256, 1023, 4095, 32767, 65534, 65535};
    return cr_make_param_array(int, maxvals, sizeof maxvals / sizeof maxvals[0]);
}
ParameterizedTest(int *maxval, image_pnm, maxvals) {
    enum { COUNT = 300 };
    uint8_t samples[2 * COUNT], wanted[3 * COUNT];
    int bytes = *maxval > 255 ? 2 : 1;
    for (int i = 0; i < COUNT; i++) {
        int sample = i < COUNT - 1 ? (int)((int64_t)*maxval * i / (COUNT - 1)) : *maxval;
        samples[i * bytes] = (uint8_t)(bytes == 2 ? sample >> 8 : sample);
        if (bytes == 2) samples[2 * i + 1] = (uint8_t)sample;
        double scaled = *maxval == 65535 ? sample / 256 : (double)sample * 255 / *maxval + 0.5;
        wanted[3 * i] = wanted[3 * i + 1] = wanted[3 * i + 2] = (uint8_t)scaled;
    }
    cr_assert_eq(wanted[0], 0);
    cr_assert_eq(wanted[3 * COUNT - 1], 255);
    char header[64];
    snprintf(header, sizeof header, "P5\n%d 1\n%d\n", COUNT, *maxval);
    expect_pixels(header, samples, (size_t)(COUNT * bytes), 3, wanted, sizeof wanted);
}

Test(image_pnm, samples_above_maxval_count_as_maxval) {
    expect_pixels("P5 3 1 100\n", (uint8_t[]){100, 101, 255}, 3, 3,
                  (uint8_t[]){255, 255, 255, 255, 255, 255, 255, 255, 255}, 9);
}

Test(image_pnm, cut_anywhere_is_an_error) {
    const uint8_t samples[12] = {1, 2, 3};
    fs_bytes file = join("P6\n# street\n2 2\n255\n", samples, sizeof samples);
    for (size_t size = 0; size < file.size; size++) expect_failure(file.data, size, 0, FS_ERR_FORMAT);
    expect_failure(file.data, file.size - 1, 0, FS_ERR_FORMAT);
    expect_message("11 bytes of pixels, 12 expected");
    fs_free(file.data);
}

Test(image_pnm, more_than_the_pixels_is_ignored) {
    expect_pixels("P6 1 1 255\n", "abcd", 4, 3, (const uint8_t *)"abc", 3);
}

ParameterizedTestParameters(image_pnm, bad_headers) {
    static char headers[][64] = {
        "P6\n-1 5\n255\n", "P6\nx 5\n255\n",   "P6\n0 5\n255\n", "P6\n5 0\n255\n",
        "P6\n1 1\n0\n",    "P6\n1 1\n65536\n", "P6\n1 1\n255",   "P6\n1 1\n255x",
        "P6\n1 1\n",       "P6\n1.0 1\n255\n", "P6\n# no end",   "P6\n1 1\n99999999999999999999999\n",
    };
    return cr_make_param_array(char[64], headers, sizeof headers / sizeof headers[0]);
}
ParameterizedTest(char (*header)[64], image_pnm, bad_headers) {
    fs_bytes file = join(*header, "abcdefgh", 8);
    expect_failure(file.data, file.size, 0, FS_ERR_FORMAT);
    fs_free(file.data);
}

Test(image_pnm, giant_header_is_refused_before_allocation) {
    static const char *const headers[] = {"P6 100000 100000 255\n", "P5 16385 1 255\n", "P5 1 16385 65535\n",
                                          "P6 99999999999999999999 1 255\n", "P6 4294967297 1 255\n"};
    for (size_t i = 0; i < sizeof headers / sizeof headers[0]; i++) {
        fs_mem_fail_at(1, true);
        expect_failure(headers[i], strlen(headers[i]), 0, FS_ERR_LIMIT);
        cr_assert_not(fs_mem_fault_fired());
        fs_mem_fail_at(0, false);
        expect_message("16384");
    }
}

Test(image_pnm, largest_header_without_pixels_allocates_nothing) {
    fs_mem_fail_at(1, true);
    expect_failure("P6 16384 16384 65535\nabc", 24, 0, FS_ERR_FORMAT);
    cr_assert_not(fs_mem_fault_fired());
}

Test(image_pnm, other_members_of_the_family_ask_for_conversion) {
    expect_failure("P3\n1 1\n255\n1 2 3\n", 17, 0, FS_ERR_FORMAT);
    expect_message("P3");
    expect_failure("P7\nWIDTH 1\n", 11, 0, FS_ERR_FORMAT);
    expect_message("convert it first");
}
