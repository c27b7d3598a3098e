// Resizing and class colours against plain formulas.
#include <criterion/criterion.h>
#include <criterion/parameterized.h>
#include <math.h>

#include "tests/image/pictures.h"

typedef struct sizes {
    int in_width, in_height, width, height, channels;
} sizes;

// Bilinear with half-pixel centres, in double precision.
static double sample(const fs_image *in, int width, int height, int x, int y, int c) {
    double fx = fmax(0.0, (x + 0.5) * in->width / width - 0.5), fy = fmax(0.0, (y + 0.5) * in->height / height - 0.5);
    int x0 = (int)fx, y0 = (int)fy;
    int x1 = x0 + 1 < in->width ? x0 + 1 : in->width - 1, y1 = y0 + 1 < in->height ? y0 + 1 : in->height - 1;
    if (x0 > in->width - 1) x0 = in->width - 1;
    if (y0 > in->height - 1) y0 = in->height - 1;
    double wx = fx - x0, wy = fy - y0;
#define AT(px, py) in->pixels[((py)*in->width + (px)) * in->channels + c]
    double top = AT(x0, y0) * (1 - wx) + AT(x1, y0) * wx, bottom = AT(x0, y1) * (1 - wx) + AT(x1, y1) * wx;
#undef AT
    return top * (1 - wy) + bottom * wy;
}

ParameterizedTestParameters(image_draw, resize_matches_the_formula) {
    static sizes all[] = {
        {8, 8, 16, 16, 3},    {16, 16, 8, 8, 3},  {17, 9, 64, 31, 3},  {64, 31, 17, 9, 4},
        {1, 1, 9, 7, 3},      {9, 7, 1, 1, 3},    {2, 300, 300, 2, 1}, {5, 1, 11, 4, 4},
        {100, 50, 99, 51, 3}, {3, 3, 1000, 1, 1}, {640, 4, 3, 4, 3},   {7, 7, 7, 7, 3},
    };
    return cr_make_param_array(sizes, all, sizeof all / sizeof all[0]);
}
ParameterizedTest(sizes *size, image_draw, resize_matches_the_formula) {
    fs_image in = make_picture(size->in_width, size->in_height, size->channels, false), out = {0};
    cr_assert_eq(fs_image_resize(&in, size->width, size->height, &out), FS_OK, "%s", fs_error_text());
    cr_assert(out.width == size->width && out.height == size->height && out.channels == size->channels);
    for (int y = 0; y < out.height; y++)
        for (int x = 0; x < out.width; x++)
            for (int c = 0; c < out.channels; c++) {
                double want = sample(&in, out.width, out.height, x, y, c);
                double got = out.pixels[(y * out.width + x) * out.channels + c];
                // half a level of rounding, and twice 1/4096 of the range for the weights
                cr_assert(fabs(got - want) <= 0.5 + 2 * 255.0 / 4096, "%d,%d: %g, wanted %g", x, y, got, want);
            }
    fs_image_free(&in);
    fs_image_free(&out);
    cr_assert_eq(fs_mem_live_blocks(), 0);
}

Test(image_draw, resize_to_the_same_size_changes_nothing) {
    fs_image in = make_picture(33, 21, 4, false), out = {0};
    cr_assert_eq(fs_image_resize(&in, 33, 21, &out), FS_OK);
    cr_assert(memcmp(in.pixels, out.pixels, 33 * 21 * 4) == 0);
    fs_image_free(&in);
    fs_image_free(&out);
}

Test(image_draw, resize_keeps_a_flat_picture_flat) {
    for (int level = 0; level <= 255; level += 5) {
        fs_image in = make_picture(13, 7, 1, false), out = {0};
        memset(in.pixels, level, 13 * 7);
        cr_assert_eq(fs_image_resize(&in, 101, 59, &out), FS_OK);
        for (int i = 0; i < 101 * 59; i++) cr_assert_eq(out.pixels[i], level);
        fs_image_free(&in);
        fs_image_free(&out);
    }
}

Test(image_draw, resize_refuses_bad_arguments) {
    fs_image in = make_picture(3, 3, 3, false), out = UNTOUCHED, none = {0};
    cr_assert_eq(fs_image_resize(&in, 0, 5, &out), FS_ERR_ARGUMENT);
    cr_assert_eq(fs_image_resize(&in, 5, -1, &out), FS_ERR_ARGUMENT);
    cr_assert_eq(fs_image_resize(&in, 16385, 5, &out), FS_ERR_ARGUMENT);
    cr_assert_eq(fs_image_resize(&none, 5, 5, &out), FS_ERR_ARGUMENT);
    cr_assert_eq(fs_image_resize(NULL, 5, 5, &out), FS_ERR_ARGUMENT);
    cr_assert_eq(fs_image_resize(&in, 5, 5, NULL), FS_ERR_ARGUMENT);
    cr_assert(is_untouched(&out));
    fs_image_free(&in);
}

ParameterizedTestParameters(image_draw, labels_take_the_nearest) {
    static sizes all[] = {{8, 8, 16, 16, 1}, {16, 16, 8, 8, 1}, {17, 9, 64, 31, 1},   {64, 31, 17, 9, 1},
                          {1, 1, 9, 7, 1},   {9, 7, 1, 1, 1},   {100, 50, 99, 51, 1}, {5, 5, 5, 5, 1}};
    return cr_make_param_array(sizes, all, sizeof all / sizeof all[0]);
}
ParameterizedTest(sizes *size, image_draw, labels_take_the_nearest) {
    fs_image in = make_picture(size->in_width, size->in_height, 1, false);
    static uint8_t out[64 * 64 * 4 + 2];
    size_t count = (size_t)(size->width * size->height);
    memset(out, 0xa5, sizeof out);
    cr_assert_eq(fs_labels_resize(in.pixels, in.width, in.height, size->width, size->height, out + 1), FS_OK);
    cr_assert(out[0] == 0xa5 && out[count + 1] == 0xa5);
    for (int y = 0; y < size->height; y++)
        for (int x = 0; x < size->width; x++) {
            int from_x = (int)floor((x + 0.5) * in.width / size->width + 1e-9);
            int from_y = (int)floor((y + 0.5) * in.height / size->height + 1e-9);
            cr_assert_eq(out[1 + y * size->width + x], in.pixels[from_y * in.width + from_x], "%d,%d", x, y);
        }
    fs_image_free(&in);
}

Test(image_draw, labels_resize_refuses_bad_arguments) {
    uint8_t in[4] = {1, 2, 3, 4}, out[4] = {9, 9, 9, 9};
    cr_assert_eq(fs_labels_resize(in, 2, 2, 0, 2, out), FS_ERR_ARGUMENT);
    cr_assert_eq(fs_labels_resize(in, -2, 2, 2, 2, out), FS_ERR_ARGUMENT);
    cr_assert_eq(fs_labels_resize(NULL, 2, 2, 2, 2, out), FS_ERR_ARGUMENT);
    cr_assert_eq(fs_labels_resize(in, 2, 2, 2, 2, NULL), FS_ERR_ARGUMENT);
    for (int i = 0; i < 4; i++) cr_assert_eq(out[i], 9);
}

static const uint8_t palette[3][3] = {{128, 64, 128}, {0, 0, 0}, {250, 170, 31}};

Test(image_draw, colours_are_the_palette_and_unknown_is_black) {
    const uint8_t labels[6] = {0, 1, 2, 3, 255, 0};
    const uint8_t wanted[18] = {128, 64, 128, 0, 0, 0, 250, 170, 31, 0, 0, 0, 0, 0, 0, 128, 64, 128};
    fs_image out = {0};
    cr_assert_eq(fs_image_color(labels, 3, 2, palette, 3, &out), FS_OK);
    cr_assert(out.width == 3 && out.height == 2 && out.channels == 3);
    cr_assert(memcmp(out.pixels, wanted, sizeof wanted) == 0);
    fs_image_free(&out);
    cr_assert_eq(fs_image_color(labels, 3, 2, NULL, 0, &out), FS_OK);
    for (int i = 0; i < 18; i++) cr_assert_eq(out.pixels[i], 0);
    fs_image_free(&out);
}

Test(image_draw, colour_refuses_bad_arguments) {
    const uint8_t labels[1] = {0};
    fs_image out = UNTOUCHED;
    cr_assert_eq(fs_image_color(NULL, 1, 1, palette, 3, &out), FS_ERR_ARGUMENT);
    cr_assert_eq(fs_image_color(labels, 0, 1, palette, 3, &out), FS_ERR_ARGUMENT);
    cr_assert_eq(fs_image_color(labels, 1, 1, NULL, 3, &out), FS_ERR_ARGUMENT);
    cr_assert_eq(fs_image_color(labels, 1, 1, palette, 3, NULL), FS_ERR_ARGUMENT);
    cr_assert(is_untouched(&out));
}
