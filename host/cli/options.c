// Option tables on top of getopt_long: strict values, whole names, errors that name the option and the fix.
#include "host/cli/options.h"

#include <errno.h>
#include <getopt.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { FIRST_OPTION = 256, HELP_OPTION = FIRST_OPTION + FS_OPTIONS_MAX, HELP_COLUMN = 28 };

static const fs_option *option_at(const fs_command *command, size_t index) {
    return index < command->count ? &command->options[index] : &command->shared[index - command->count];
}

bool fs_parse_whole(const char *text, long low, long high, int *value) {
    const char *digits = text[0] == '-' ? text + 1 : text;
    if (digits[0] == '\0' || digits[strspn(digits, "0123456789")] != '\0') return false;
    errno = 0;
    long parsed = strtol(text, NULL, 10);
    if (errno != 0 || parsed < low || parsed > high) return false;
    *value = (int)parsed;
    return true;
}

bool fs_parse_real(const char *text, double low, double high, double *value) {
    if (text[0] == '\0' || text[strspn(text, "0123456789.eE+-")] != '\0') return false;
    char *end = NULL;
    double parsed = strtod(text, &end);
    if (end == text || *end != '\0' || !isfinite(parsed) || parsed < low || parsed > high) return false;
    *value = parsed;
    return true;
}

bool fs_parse_size(const char *text, int low, int high, fs_size *value) {
    const char *cross = strchr(text, 'x');
    char height[16];
    if (cross == NULL || cross == text || (size_t)(cross - text) >= sizeof height) return false;
    memcpy(height, text, (size_t)(cross - text));
    height[cross - text] = '\0';
    fs_size size;
    if (!fs_parse_whole(height, low, high, &size.height) || !fs_parse_whole(cross + 1, low, high, &size.width))
        return false;
    *value = size;
    return true;
}

bool fs_parse_sizes(const char *text, int low, int high, fs_sizes *value) {
    fs_sizes sizes = {.count = 0};
    for (const char *part = text;; part++) {
        const size_t length = strcspn(part, ",");
        char one[40];
        if (length >= sizeof one || sizes.count == FS_SIZES_MAX) return false;
        memcpy(one, part, length);
        one[length] = '\0';
        if (!fs_parse_size(one, low, high, &sizes.item[sizes.count++])) return false;
        part += length;
        if (*part == '\0') break;
    }
    *value = sizes;
    return true;
}

static void choices_text(const char *const *choices, char *text, size_t size) {
    size_t length = 0;
    text[0] = '\0';
    for (size_t i = 0; choices[i] != NULL && length < size; i++) {
        const char *link = i == 0 ? "" : choices[i + 1] == NULL ? " or " : ", ";
        length += (size_t)snprintf(text + length, size - length, "%s%s", link, choices[i]);
    }
}

static bool set_choice(const fs_option *option, const char *text) {
    for (int i = 0; option->choices[i] != NULL; i++) {
        if (strcmp(option->choices[i], text) == 0) {
            *(int *)option->value = i;
            return true;
        }
    }
    return false;
}

static bool set_value(const fs_option *option, const char *text, char *error, size_t size) {
    char wants[256] = "";
    bool fine = false;
    switch (option->kind) {
    case FS_OPTION_FLAG:
        *(bool *)option->value = true;
        fine = true;
        break;
    case FS_OPTION_TEXT:
        snprintf(wants, sizeof wants, "%s", option->placeholder);
        fine = text[0] != '\0';
        if (fine) *(const char **)option->value = text;
        break;
    case FS_OPTION_WHOLE:
        snprintf(wants, sizeof wants, "a whole number from %.0f to %.0f", option->low, option->high);
        fine = fs_parse_whole(text, (long)option->low, (long)option->high, option->value);
        break;
    case FS_OPTION_REAL:
        snprintf(wants, sizeof wants, "a number from %g to %g", option->low, option->high);
        fine = fs_parse_real(text, option->low, option->high, option->value);
        break;
    case FS_OPTION_CHOICE:
        choices_text(option->choices, wants, sizeof wants);
        fine = set_choice(option, text);
        break;
    case FS_OPTION_NATIVE:
        if (strcmp(text, "native") == 0) {
            *(fs_size *)option->value = (fs_size){0, 0};
            return true;
        }
        // fall through
    case FS_OPTION_SIZE:
        snprintf(wants, sizeof wants, "HxW in pixels, height first, such as 1024x2048, %.0f to %.0f a side%s",
                 option->low, option->high, option->kind == FS_OPTION_NATIVE ? ", or native" : "");
        fine = fs_parse_size(text, (int)option->low, (int)option->high, option->value);
        break;
    case FS_OPTION_SIZES:
        if (strcmp(text, "native") == 0) {
            *(fs_sizes *)option->value = (fs_sizes){.count = 1};
            return true;
        }
        snprintf(wants, sizeof wants,
                 "HxW in pixels, height first, such as 1024x2048, %.0f to %.0f a side, up to %d with commas between "
                 "them, or native",
                 option->low, option->high, FS_SIZES_MAX);
        fine = fs_parse_sizes(text, (int)option->low, (int)option->high, option->value);
        break;
    }
    if (!fine) snprintf(error, size, "option '--%s' wants %s, not '%s'", option->name, wants, text);
    return fine;
}

// getopt_long takes any unambiguous beginning of a name; a script that relies on one breaks when an option is added.
static bool is_whole_name(const char *const *argv, int next, const char *value, const char *name) {
    const char *word = value != NULL && value == argv[next - 1] ? argv[next - 2] : argv[next - 1];
    size_t length = strcspn(word + 2, "=");
    return strlen(name) == length && strncmp(word + 2, name, length) == 0;
}

static fs_parse unknown(const fs_command *command, const char *word, char *error, size_t size) {
    snprintf(error, size, "unknown option '%.*s' for '%s'", (int)strcspn(word, "="), word, command->name);
    return FS_PARSE_BAD;
}

fs_parse fs_options_parse(const fs_command *command, int argc, char **argv, int *operand, char *error,
                          size_t error_size) {
    size_t count = command->count + command->shared_count;
    struct option names[FS_OPTIONS_MAX + 2] = {{0}};
    char letters[2 * FS_OPTIONS_MAX + 3] = ":h"; // ':' tells a missing value from an unknown option
    if (count > FS_OPTIONS_MAX) {
        snprintf(error, error_size, "'%s' has more than %d options", command->name, FS_OPTIONS_MAX);
        return FS_PARSE_BAD;
    }
    size_t length = strlen(letters);
    for (size_t i = 0; i < count; i++) {
        const fs_option *option = option_at(command, i);
        int has_value = option->kind == FS_OPTION_FLAG ? no_argument : required_argument;
        names[i] = (struct option){option->name, has_value, NULL, FIRST_OPTION + (int)i};
        if (option->letter != 0) {
            letters[length++] = option->letter;
            if (has_value == required_argument) letters[length++] = ':';
        }
    }
    names[count] = (struct option){"help", no_argument, NULL, HELP_OPTION};

    opterr = 0;
    optind = 0; // starts glibc's scanner afresh
    for (;;) {
        int code = getopt_long(argc, argv, letters, names, NULL);
        if (code == -1) break;
        bool failed = code == '?' || code == ':';
        int which = failed ? optopt : code;
        size_t index = count;
        for (size_t i = 0; i < count; i++)
            if (which == FIRST_OPTION + (int)i || (which != 0 && which == option_at(command, i)->letter)) index = i;

        if (failed && index == count && (which == 0 || which == HELP_OPTION))
            return unknown(command, argv[optind - 1], error, error_size);
        if (failed && index == count) {
            char word[3] = {'-', (char)which, '\0'};
            return unknown(command, word, error, error_size);
        }
        if (code == 'h' || code == HELP_OPTION) {
            if (code == HELP_OPTION && !is_whole_name((const char *const *)argv, optind, NULL, "help"))
                return unknown(command, argv[optind - 1], error, error_size);
            return FS_PARSE_HELP;
        }
        const fs_option *option = option_at(command, index);
        if (code == ':') {
            snprintf(error, error_size, "option '--%s' needs a value: %s", option->name, option->placeholder);
            return FS_PARSE_BAD;
        }
        if (code == '?') {
            snprintf(error, error_size, "option '--%s' takes no value here", option->name);
            return FS_PARSE_BAD;
        }
        if (code >= FIRST_OPTION && !is_whole_name((const char *const *)argv, optind, optarg, option->name)) {
            const char *word = optarg != NULL && optarg == argv[optind - 1] ? argv[optind - 2] : argv[optind - 1];
            return unknown(command, word, error, error_size);
        }
        if (!set_value(option, optarg, error, error_size)) return FS_PARSE_BAD;
    }
    if (optind < argc && !command->operands) {
        snprintf(error, error_size, "unexpected argument '%s' for '%s'", argv[optind], command->name);
        return FS_PARSE_BAD;
    }
    *operand = optind;
    return FS_PARSE_GO;
}

static void print_option(FILE *file, const fs_option *option) {
    char left[128];
    char letter[8] = "    ";
    if (option->letter != 0) snprintf(letter, sizeof letter, "-%c, ", option->letter);
    bool has_value = option->kind != FS_OPTION_FLAG;
    snprintf(left, sizeof left, "  %s--%s%s%s", letter, option->name, has_value ? " " : "",
             has_value ? option->placeholder : "");
    int column = fprintf(file, "%s", left);
    if (column >= HELP_COLUMN) {
        fputc('\n', file);
        column = 0;
    }
    for (const char *line = option->help; line != NULL;) {
        size_t length = strcspn(line, "\n");
        fprintf(file, "%*s%.*s\n", HELP_COLUMN - column, "", (int)length, line);
        column = 0;
        line = line[length] == '\n' ? line + length + 1 : NULL;
    }
}

void fs_options_help(const fs_command *command, FILE *file) {
    const fs_option help = {.name = "help", .letter = 'h', .kind = FS_OPTION_FLAG, .help = "show this text"};
    fprintf(file, "Usage: fastscnn %s %s\n\n%s\n\nOptions:\n", command->name, command->synopsis, command->about);
    for (size_t i = 0; i < command->count; i++) print_option(file, &command->options[i]);
    print_option(file, &help);
    if (command->shared_count > 0) fputs("\nModel and machine:\n", file);
    for (size_t i = 0; i < command->shared_count; i++) print_option(file, &command->shared[i]);
    fprintf(file, "\nExamples:\n%s\n", command->examples);
}
