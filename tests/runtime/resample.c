// Tests of where resizes and adaptive pools read.
#include "runtime/graph.h"

#include <criterion/criterion.h>
#include <criterion/parameterized.h>
#include <math.h>

typedef struct bin_case {
    int n, two[2][2], three[3][2], six[6][2];
} bin_case;

static bin_case bins[] = {
    {8, {{0, 4}, {4, 8}}, {{0, 3}, {2, 6}, {5, 8}}, {{0, 2}, {1, 3}, {2, 4}, {4, 6}, {5, 7}, {6, 8}}},
    {12, {{0, 6}, {6, 12}}, {{0, 4}, {4, 8}, {8, 12}}, {{0, 2}, {2, 4}, {4, 6}, {6, 8}, {8, 10}, {10, 12}}},
    {16, {{0, 8}, {8, 16}}, {{0, 6}, {5, 11}, {10, 16}}, {{0, 3}, {2, 6}, {5, 8}, {8, 11}, {10, 14}, {13, 16}}},
    {20, {{0, 10}, {10, 20}}, {{0, 7}, {6, 14}, {13, 20}}, {{0, 4}, {3, 7}, {6, 10}, {10, 14}, {13, 17}, {16, 20}}},
    {23, {{0, 12}, {11, 23}}, {{0, 8}, {7, 16}, {15, 23}}, {{0, 4}, {3, 8}, {7, 12}, {11, 16}, {15, 20}, {19, 23}}},
    {32, {{0, 16}, {16, 32}}, {{0, 11}, {10, 22}, {21, 32}}, {{0, 6}, {5, 11}, {10, 16}, {16, 22}, {21, 27}, {26, 32}}},
    {40, {{0, 20}, {20, 40}}, {{0, 14}, {13, 27}, {26, 40}}, {{0, 7}, {6, 14}, {13, 20}, {20, 27}, {26, 34}, {33, 40}}},
    {64,
     {{0, 32}, {32, 64}},
     {{0, 22}, {21, 43}, {42, 64}},
     {{0, 11}, {10, 22}, {21, 32}, {32, 43}, {42, 54}, {53, 64}}},
    {2, {{0, 1}, {1, 2}}, {{0, 1}, {0, 2}, {1, 2}}, {{0, 1}, {0, 1}, {0, 1}, {1, 2}, {1, 2}, {1, 2}}},
};

static void expect_bins(int n, int count, const int want[][2]) {
    for (int i = 0; i < count; i++) {
        int begin = -1, end = -1;
        fs_pool_bin(i, count, n, &begin, &end);
        cr_expect(begin == want[i][0] && end == want[i][1], "bin %d of %d over %d is [%d, %d)", i, count, n, begin,
                  end);
    }
}

ParameterizedTestParameters(pool, bins) {
    return cr_make_param_array(bin_case, bins, sizeof bins / sizeof bins[0]);
}
ParameterizedTest(bin_case *param, pool, bins) {
    int one[1][2] = {{0, param->n}};
    expect_bins(param->n, 1, (const int(*)[2])one);
    expect_bins(param->n, 2, (const int(*)[2])param->two);
    expect_bins(param->n, 3, (const int(*)[2])param->three);
    expect_bins(param->n, 6, (const int(*)[2])param->six);
}

Test(pool, bins_cover_everything_in_order) {
    for (int n = 2; n <= 600; n++)
        for (int count = 1; count <= 6; count++) {
            int covered = 0, before = 0;
            for (int i = 0; i < count; i++) {
                int begin, end;
                fs_pool_bin(i, count, n, &begin, &end);
                cr_assert(begin < end && begin <= covered && begin >= before && end <= n, "%d of %d over %d", i, count,
                          n);
                covered = end, before = begin;
            }
            cr_assert_eq(covered, n);
        }
}

static void expect_source(int d, int in, int out, bool align, int lower, double fraction) {
    int got = -1;
    float f = -1;
    fs_resize_source(d, in, out, align, &got, &f);
    cr_expect(got == lower && f == (float)fraction, "%d of %d -> %d: %d + %.9g, not %d + %.9g", d, in, out, got,
              (double)f, lower, fraction);
}

Test(resize, fractions_of_factor_8_repeat) {
    static const int sixteenths[8] = {9, 11, 13, 15, 1, 3, 5, 7};
    for (int d = 4; d < 1020; d++) expect_source(d, 128, 1024, false, (d - 4) / 8, sixteenths[d % 8] / 16.0);
    for (int d = 0; d < 4; d++) expect_source(d, 128, 1024, false, 0, 0);
    for (int d = 1020; d < 1024; d++) expect_source(d, 128, 1024, false, 127, 0);
}

Test(resize, fractions_of_factor_4_repeat) {
    static const int eighths[4] = {5, 7, 1, 3};
    for (int d = 2; d < 126; d++) expect_source(d, 32, 128, false, (d - 2) / 4, eighths[d % 4] / 8.0);
    expect_source(0, 32, 128, false, 0, 0);
    expect_source(127, 32, 128, false, 31, 0);
}

Test(resize, aligned_corners_map_ends_to_ends) {
    static const int sizes[][2] = {{128, 1024}, {256, 2048}, {32, 128}, {64, 256},
                                   {6, 64},     {3, 32},     {2, 12},   {90, 713}};
    for (size_t s = 0; s < sizeof sizes / sizeof sizes[0]; s++) {
        int in = sizes[s][0], out = sizes[s][1];
        expect_source(0, in, out, true, 0, 0);
        expect_source(out - 1, in, out, true, in - 1, 0);
        for (int d = 0; d < out; d++) {
            int lower;
            float fraction;
            fs_resize_source(d, in, out, true, &lower, &fraction);
            cr_expect_float_eq(lower + (double)fraction, (double)d * (in - 1) / (out - 1), 1e-5);
        }
    }
    // 127 / 1023 a step
    expect_source(1, 128, 1024, true, 0, 127.0 / 1023);
    expect_source(9, 128, 1024, true, 1, 9 * 127.0 / 1023 - 1);
}

Test(resize, one_cell_is_everywhere) {
    for (int align = 0; align < 2; align++)
        for (int d = 0; d < 64; d++) expect_source(d, 1, 64, align, 0, 0);
    expect_source(0, 5, 1, true, 0, 0);
}

Test(resize, same_size_is_the_identity) {
    for (int align = 0; align < 2; align++)
        for (int d = 0; d < 713; d++) expect_source(d, 713, 713, align, d, 0);
}

Test(resize, stays_inside_and_never_goes_back) {
    for (int in = 1; in < 60; in += 3)
        for (int out = 1; out < 200; out += 7)
            for (int align = 0; align < 2; align++) {
                double before = 0;
                for (int d = 0; d < out; d++) {
                    int lower;
                    float fraction;
                    fs_resize_source(d, in, out, align, &lower, &fraction);
                    cr_assert(lower >= 0 && lower < in && fraction >= 0 && fraction <= 1);
                    cr_assert(lower < in - 1 || fraction == 0);
                    cr_assert(lower + (double)fraction >= before);
                    before = lower + (double)fraction;
                }
            }
}

Test(resize, half_pixel_centres_are_symmetric) {
    for (int d = 0; d < 713; d++) {
        int a, b;
        float fa, fb;
        fs_resize_source(d, 90, 713, false, &a, &fa);
        fs_resize_source(712 - d, 90, 713, false, &b, &fb);
        double left = a + (double)fa, right = 89 - (b + (double)fb);
        // The left end clamps at the first centre, the right end at the last.
        cr_expect_float_eq(left, right, 1e-5, "%d: %g and %g", d, left, right);
    }
}
