// Tests of growable text, the JSON writer and number parsing, also under a locale with another decimal point.
#include <criterion/criterion.h>
#include <locale.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/base/mem.h"
#include "runtime/base/text.h"

TestSuite(text);

Test(text, grows_over_many_additions) {
    fs_text text = {0};
    for (int i = 0; i < 1000; i++) fs_text_add(&text, "%03d,", i);
    cr_assert_eq(fs_text_status(&text), FS_OK);
    cr_assert_eq(text.length, 4000);
    cr_assert_eq(strlen(text.data), 4000);
    cr_assert_str_eq(text.data + 3996, "999,");
    fs_text_free(&text);
    cr_assert_eq(fs_mem_live_blocks(), 0);
}

Test(text, remembers_a_lost_addition) {
    fs_text text = {0};
    fs_text_add(&text, "kept");
    fs_mem_fail_at(1, false);
    fs_text_add(&text, "%0500d", 1);
    fs_text_add(&text, "more");
    cr_assert(text.failed);
    cr_assert_str_eq(text.data, "kept");
    cr_assert_eq(fs_text_status(&text), FS_ERR_MEMORY);
    fs_text_free(&text);
}

Test(text, json_nests_and_separates) {
    fs_text text = {0};
    fs_json_open(&text, NULL, '{');
    fs_json_string(&text, "name", "a");
    fs_json_open(&text, "list", '[');
    fs_json_integer(&text, NULL, -7);
    fs_json_bool(&text, NULL, true);
    fs_json_open(&text, NULL, '{');
    fs_json_close(&text, '{');
    fs_json_close(&text, '[');
    fs_json_open(&text, "empty", '[');
    fs_json_close(&text, ']');
    fs_json_string(&text, "none", NULL);
    fs_json_number(&text, "x", 0.5);
    fs_json_close(&text, '}');
    cr_assert_str_eq(text.data,
                     "{\"name\": \"a\", \"list\": [-7, true, {}], \"empty\": [], \"none\": null, \"x\": 0.5}");
    fs_text_free(&text);
}

Test(text, json_strings_are_escaped) {
    fs_text text = {0};
    fs_json_string(&text, NULL, "q\" b\\ n\n t\t r\r c\x01 \xc3\xa9");
    cr_assert_str_eq(text.data, "\"q\\\" b\\\\ n\\n t\\t r\\r c\\u0001 \xc3\xa9\"");
    fs_text_free(&text);
}

Test(text, json_numbers_read_back) {
    const double values[] = {0, -1, 0.1, 1.0 / 3, 1e300, 5e-324, 123456789012345678.0, 1e-7};
    for (size_t i = 0; i < sizeof values / sizeof values[0]; i++) {
        fs_text text = {0};
        fs_json_number(&text, NULL, values[i]);
        cr_assert_eq(strtod(text.data, NULL), values[i], "%s", text.data);
        fs_text_free(&text);
    }
    fs_text text = {0};
    fs_json_number(&text, NULL, (double)INFINITY);
    fs_json_number(&text, NULL, (double)NAN);
    cr_assert_str_eq(text.data, "nullnull");
    fs_text_free(&text);
}

Test(text, json_depth_beyond_the_limit_is_a_failure) {
    fs_text text = {0};
    for (int i = 0; i < 100; i++) fs_json_open(&text, NULL, '[');
    for (int i = 0; i < 100; i++) fs_json_close(&text, '[');
    cr_assert_eq(fs_text_status(&text), FS_ERR_MEMORY);
    fs_text_free(&text);
}

Test(text, numbers_ignore_the_locale) {
    const char *const comma_locales[] = {"de_DE.UTF-8", "fr_FR.UTF-8", "de_DE", "fr_FR"};
    bool found = false;
    for (size_t i = 0; i < 4 && !found; i++) found = setlocale(LC_ALL, comma_locales[i]) != NULL;
    fs_text text = {0};
    fs_json_number(&text, NULL, 0.25);
    cr_assert_str_eq(text.data, "0.25");
    fs_text_free(&text);
    double value = 0;
    cr_assert(fs_parse_number("0.25", NULL, &value));
    cr_assert_eq(value, 0.25);
}

Test(text, parses_numbers_as_strtod_does) {
    const char *const good[] = {"0",
                                "1",
                                "-1.5",
                                "+2",
                                "0.485",
                                ".5",
                                "5.",
                                "1e-5",
                                "1E+05",
                                "-0.229",
                                "1e22",
                                "123.456e-3",
                                "00012",
                                "1e-300",
                                "0.000000000000000000000001",
                                "9007199254740991",
                                "4.9e-7"};
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        double value = NAN;
        cr_assert(fs_parse_number(good[i], NULL, &value), "%s", good[i]);
        cr_assert_float_eq(value, strtod(good[i], NULL), fabs(strtod(good[i], NULL)) * 4e-16, "%s", good[i]);
        cr_assert_eq((float)value, strtof(good[i], NULL), "%s", good[i]);
    }
}

Test(text, refuses_what_is_no_number) {
    const char *const bad[] = {"", " ", "-", ".", "e5", "nan", "inf", "0x10", "1 ", "1,2", "1e999", "--1", "1.2.3"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        double value = 42;
        cr_assert_not(fs_parse_number(bad[i], NULL, &value), "%s", bad[i]);
        cr_assert_eq(value, 42);
    }
}

Test(text, number_reports_where_it_ends) {
    const char *text = "0.5,1", *end = NULL;
    double value;
    cr_assert(fs_parse_number(text, &end, &value));
    cr_assert_eq(end, text + 3);
    cr_assert(fs_parse_number("1e", &end, &value));
    cr_assert_str_eq(end, "e");
}
