// Tests of the command's parts: option parsing, the progress line, plane resizing.
#include <criterion/criterion.h>
#include <criterion/parameterized.h>
#include <string.h>

#include "host/cli/options.h"
#include "host/cli/progress.h"

// ---- Values ---------------------------------------------------------------------------------------------------------

typedef struct text_case {
    char text[32];
    bool fine;
    double value;
} text_case;

ParameterizedTestParameters(options, whole) {
    static text_case cases[] = {{"0", true, 0},
                                {"1024", true, 1024},
                                {"-3", true, -3},
                                {"007", true, 7},
                                {"", false, 0},
                                {"-", false, 0},
                                {" 1", false, 0},
                                {"1 ", false, 0},
                                {"1x", false, 0},
                                {"0x10", false, 0},
                                {"1e3", false, 0},
                                {"+1", false, 0},
                                {"1025", false, 0},
                                {"-11", false, 0},
                                {"1.0", false, 0},
                                {"--1", false, 0},
                                {"99999999999999999999", false, 0}};
    return cr_make_param_array(text_case, cases, sizeof cases / sizeof *cases);
}

ParameterizedTest(text_case *c, options, whole) {
    int value = 555;
    cr_assert_eq(fs_parse_whole(c->text, -10, 1024, &value), c->fine, "'%s'", c->text);
    cr_assert_eq(value, c->fine ? (int)c->value : 555, "'%s'", c->text);
}

ParameterizedTestParameters(options, real) {
    static text_case cases[] = {{"0", true, 0},     {"0.5", true, 0.5}, {".5", true, 0.5},   {"1e1", true, 10},
                                {"nan", false, 0},  {"inf", false, 0},  {"0x1p3", false, 0}, {"", false, 0},
                                {".", false, 0},    {"1,5", false, 0},  {"1.5s", false, 0},  {" 1", false, 0},
                                {"-0.1", false, 0}, {"1e9", false, 0},  {"1e999", false, 0}};
    return cr_make_param_array(text_case, cases, sizeof cases / sizeof *cases);
}

ParameterizedTest(text_case *c, options, real) {
    double value = 555;
    cr_assert_eq(fs_parse_real(c->text, 0, 100, &value), c->fine, "'%s'", c->text);
    cr_assert_eq(value, c->fine ? c->value : 555, "'%s'", c->text);
}

ParameterizedTestParameters(options, size) {
    static text_case cases[] = {{"64x96", true, 64},
                                {"16384x64", true, 16384},
                                {"63x96", false, 0},
                                {"64x16385", false, 0},
                                {"64", false, 0},
                                {"64x", false, 0},
                                {"x64", false, 0},
                                {"64X96", false, 0},
                                {"64x96x3", false, 0},
                                {" 64x96", false, 0},
                                {"64 x96", false, 0},
                                {"-64x96", false, 0},
                                {"64x-96", false, 0},
                                {"", false, 0},
                                {"x", false, 0},
                                {"native", false, 0},
                                {"00000000000000000064x96", false, 0}};
    return cr_make_param_array(text_case, cases, sizeof cases / sizeof *cases);
}

ParameterizedTest(text_case *c, options, size) {
    fs_size size = {5, 5};
    cr_assert_eq(fs_parse_size(c->text, 64, 16384, &size), c->fine, "'%s'", c->text);
    cr_assert_eq(size.height, c->fine ? (int)c->value : 5, "'%s'", c->text);
}

Test(options, sizes) {
    fs_sizes sizes = {.count = 7};
    cr_assert(fs_parse_sizes("64x96", 64, 128, &sizes));
    cr_assert_eq(sizes.count, 1);
    cr_assert(fs_parse_sizes("64x96,128x64,64x96", 64, 128, &sizes));
    cr_assert(sizes.count == 3 && sizes.item[1].height == 128 && sizes.item[2].width == 96);
    const char *bad[] = {"",
                         ",",
                         "64x96,",
                         ",64x96",
                         "64x96,,64x96",
                         "64x96, 64x96",
                         "64x96,63x96",
                         "64x96,native",
                         "64x96;64x96",
                         "64x96,0000000000000000000000000000000000000000064x96"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        cr_assert_not(fs_parse_sizes(bad[i], 64, 128, &sizes), "'%s'", bad[i]);
        cr_assert_eq(sizes.count, 3);
    }
    char many[FS_SIZES_MAX * 6 + 6] = "64x64";
    for (int i = 1; i < FS_SIZES_MAX; i++) strcat(many, ",64x64");
    cr_assert(fs_parse_sizes(many, 64, 128, &sizes));
    cr_assert_eq(sizes.count, FS_SIZES_MAX);
    strcat(many, ",64x64");
    cr_assert_not(fs_parse_sizes(many, 64, 128, &sizes));
}

// ---- Command lines --------------------------------------------------------------------------------------------------

static struct {
    bool flag;
    const char *text;
    int whole, choice;
    double real;
    fs_size size;
} got;

static const char *const colors[] = {"red", "green", "blue", NULL};
static const fs_option main_options[] = {
    {.name = "flag", .letter = 'f', .kind = FS_OPTION_FLAG, .value = &got.flag, .help = "a flag"},
    {.name = "text",
     .letter = 't',
     .kind = FS_OPTION_TEXT,
     .value = &got.text,
     .placeholder = "FILE",
     .help = "a file\nsecond line"},
    {.name = "whole",
     .kind = FS_OPTION_WHOLE,
     .value = &got.whole,
     .placeholder = "N",
     .low = 0,
     .high = 9,
     .help = "a number"},
};
static const fs_option more_options[] = {
    {.name = "real",
     .kind = FS_OPTION_REAL,
     .value = &got.real,
     .placeholder = "S",
     .low = 0,
     .high = 9,
     .help = "seconds"},
    {.name = "choice",
     .kind = FS_OPTION_CHOICE,
     .value = &got.choice,
     .placeholder = "C",
     .choices = colors,
     .help = "a colour"},
    {.name = "size",
     .kind = FS_OPTION_NATIVE,
     .value = &got.size,
     .placeholder = "HxW",
     .low = 64,
     .high = 128,
     .help = "a size"},
};
static fs_command command = {.name = "paint",
                             .synopsis = "[OPTION]...",
                             .about = "Paints.",
                             .examples = "  paint --flag",
                             .options = main_options,
                             .count = 3,
                             .shared = more_options,
                             .shared_count = 3,
                             .operands = true};

static char message[512];
static int operand, argument_count;
static char *arguments[32];

// Splits `line` at blanks and parses it.
static fs_parse parse(const char *line) {
    static char copy[512];
    snprintf(copy, sizeof copy, "paint %s", line);
    argument_count = 0;
    for (char *word = strtok(copy, " "); word != NULL; word = strtok(NULL, " ")) arguments[argument_count++] = word;
    arguments[argument_count] = NULL;
    message[0] = '\0';
    return fs_options_parse(&command, argument_count, arguments, &operand, message, sizeof message);
}

Test(options, nothing_given_keeps_defaults) {
    got.whole = 4;
    cr_assert_eq(parse(""), FS_PARSE_GO);
    cr_assert_eq(got.whole, 4);
    cr_assert_null(got.text);
    cr_assert_eq(operand, 1);
}

Test(options, every_kind_in_both_forms) {
    cr_assert_eq(parse("--flag --text=a --whole 3 --real=0.5 --choice blue --size 64x100"), FS_PARSE_GO, "%s", message);
    cr_assert(got.flag);
    cr_assert_str_eq(got.text, "a");
    cr_assert_eq(got.whole, 3);
    cr_assert_eq(got.real, 0.5);
    cr_assert_eq(got.choice, 2);
    cr_assert(got.size.height == 64 && got.size.width == 100);
}

Test(options, letters_cluster_and_join) {
    cr_assert_eq(parse("--whole=3 -ftname"), FS_PARSE_GO, "%s", message);
    cr_assert(got.flag);
    cr_assert_str_eq(got.text, "name");
    cr_assert_eq(parse("-t -f"), FS_PARSE_GO);
    cr_assert_str_eq(got.text, "-f");
}

Test(options, native_is_zero_by_zero) {
    got.size = (fs_size){1, 1};
    cr_assert_eq(parse("--size native"), FS_PARSE_GO);
    cr_assert(got.size.height == 0 && got.size.width == 0);
}

Test(options, the_last_value_counts) {
    cr_assert_eq(parse("--whole 1 --whole 2"), FS_PARSE_GO);
    cr_assert_eq(got.whole, 2);
}

Test(options, operands_and_options_mix) {
    cr_assert_eq(parse("a.png --flag b.png"), FS_PARSE_GO);
    cr_assert_eq(argument_count - operand, 2);
    cr_assert_str_eq(arguments[operand], "a.png");
    cr_assert_str_eq(arguments[operand + 1], "b.png");
}

Test(options, two_dashes_end_the_options) {
    cr_assert_eq(parse("-- --flag"), FS_PARSE_GO);
    cr_assert_not(got.flag);
    cr_assert_str_eq(arguments[operand], "--flag");
}

Test(options, operands_refused_where_none_are_taken) {
    command.operands = false;
    cr_assert_eq(parse("stray"), FS_PARSE_BAD);
    cr_assert_str_eq(message, "unexpected argument 'stray' for 'paint'");
}

Test(options, help_wins_where_it_stands) {
    cr_assert_eq(parse("--help"), FS_PARSE_HELP);
    cr_assert_eq(parse("-h --foo"), FS_PARSE_HELP);
    cr_assert_eq(parse("--foo -h"), FS_PARSE_BAD);
}

typedef struct line_case {
    char line[48];
    char error[96];
} line_case;

ParameterizedTestParameters(options, bad_line) {
    static line_case cases[] = {
        {"--foo", "unknown option '--foo' for 'paint'"},
        {"--foo=3", "unknown option '--foo' for 'paint'"},
        {"-z", "unknown option '-z' for 'paint'"},
        {"-fz", "unknown option '-z' for 'paint'"},
        {"--fla", "unknown option '--fla' for 'paint'"}, // no abbreviations
        {"--who 3", "unknown option '--who' for 'paint'"},
        {"--who=3", "unknown option '--who' for 'paint'"},
        {"--hel", "unknown option '--hel' for 'paint'"},
        {"--flag=yes", "option '--flag' takes no value here"},
        {"--text", "option '--text' needs a value: FILE"},
        {"-t", "option '--text' needs a value: FILE"},
        {"--text=", "option '--text' wants FILE, not ''"},
        {"--whole ten", "option '--whole' wants a whole number from 0 to 9, not 'ten'"},
        {"--whole 10", "option '--whole' wants a whole number from 0 to 9, not '10'"},
        {"--real 1s", "option '--real' wants a number from 0 to 9, not '1s'"},
        {"--choice pink", "option '--choice' wants red, green or blue, not 'pink'"},
        {"--choice Red", "option '--choice' wants red, green or blue, not 'Red'"},
        {"--size 64", "not '64'"},
        {"--size 64x200", "64 to 128 a side, or native, not '64x200'"},
    };
    return cr_make_param_array(line_case, cases, sizeof cases / sizeof *cases);
}

ParameterizedTest(line_case *c, options, bad_line) {
    cr_assert_eq(parse(c->line), FS_PARSE_BAD, "'%s'", c->line);
    cr_assert_not_null(strstr(message, c->error), "'%s' gave: %s", c->line, message);
}

Test(options, help_lists_every_option) {
    char *text = NULL;
    size_t length = 0;
    FILE *file = open_memstream(&text, &length);
    fs_options_help(&command, file);
    fclose(file);
    const char *parts[] = {"Usage: fastscnn paint [OPTION]...",
                           "-f, --flag",
                           "-t, --text FILE",
                           "--whole N",
                           "--choice C",
                           "--help",
                           "second line",
                           "Model and machine:",
                           "Examples:\n  paint --flag"};
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++)
        cr_assert_not_null(strstr(text, parts[i]), "'%s' in:\n%s", parts[i], text);
    free(text);
}

// ---- Progress -------------------------------------------------------------------------------------------------------

Test(progress, line_shows_share_rate_and_time_left) {
    char line[256];
    fs_progress_line(line, sizeof line, "segmenting", 5, 10, 2.5, 100, false);
    cr_assert_not_null(strstr(line, "segmenting ["), "%s", line);
    cr_assert_not_null(strstr(line, "50% 5/10 2.0/s 2s left"), "%s", line);
    cr_assert_null(strchr(line, '\033'));
    cr_assert_lt(strlen(line), 100);
}

Test(progress, colour_only_when_asked) {
    char line[256];
    fs_progress_line(line, sizeof line, "x", 1, 2, 1, 80, true);
    cr_assert_not_null(strstr(line, "\033[32m"));
}

Test(progress, fits_every_width) {
    for (int columns = 1; columns < 200; columns++) {
        char line[512];
        fs_progress_line(line, sizeof line, "segmenting", 123456, 1000000, 77.7, columns, false);
        cr_assert_lt((int)strlen(line), columns > 1 ? columns : 2, "%d: '%s'", columns, line);
    }
}

Test(progress, start_end_and_nonsense_are_safe) {
    char line[256];
    fs_progress_line(line, sizeof line, "x", 0, 0, 0, 80, false);
    cr_assert_not_null(strstr(line, "100%"));
    fs_progress_line(line, sizeof line, "x", 0, 10, 0, 80, false);
    cr_assert_not_null(strstr(line, "  0% 0/10"));
    fs_progress_line(line, sizeof line, "x", 12, 10, 1, 80, false);
    cr_assert_not_null(strstr(line, "100% 10/10"));
}
