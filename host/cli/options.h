// Options of the command: tables of options per verb, strict values, help text and errors, on top of getopt_long.
#ifndef FS_CLI_OPTIONS_H
#define FS_CLI_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

typedef struct fs_size {
    int height, width; // both 0: native
} fs_size;

enum { FS_SIZES_MAX = 16 };
typedef struct fs_sizes {
    fs_size item[FS_SIZES_MAX];
    int count; // at least 1
} fs_sizes;

typedef enum fs_option_kind {
    FS_OPTION_FLAG,   // bool; takes no value
    FS_OPTION_TEXT,   // const char *, not empty
    FS_OPTION_WHOLE,  // int, low..high
    FS_OPTION_REAL,   // double, low..high
    FS_OPTION_CHOICE, // int: index into choices
    FS_OPTION_SIZE,   // fs_size: HxW, each side low..high
    FS_OPTION_NATIVE, // fs_size: HxW, or "native" for 0x0
    FS_OPTION_SIZES,  // fs_sizes: HxW with commas between them, or "native" for 0x0 alone
} fs_option_kind;

typedef struct fs_option {
    const char *name; // without dashes
    char letter;      // one-letter form, 0 for none
    fs_option_kind kind;
    void *value; // of the kind's type; keeps its content when the option is not given
    const char *placeholder;
    const char *help;           // lines separated by \n
    const char *const *choices; // FS_OPTION_CHOICE: NULL-terminated
    double low, high;
} fs_option;

enum { FS_OPTIONS_MAX = 48 }; // per verb, all tables together

typedef struct fs_command {
    const char *name;
    const char *synopsis; // what follows the name in the usage line
    const char *about;
    const char *examples;
    const fs_option *options;
    size_t count;
    const fs_option *shared; // a second table, shown under its own heading; may be NULL
    size_t shared_count;
    bool operands; // whether the verb takes arguments that are no options
} fs_command;

typedef enum fs_parse { FS_PARSE_GO, FS_PARSE_HELP, FS_PARSE_BAD } fs_parse;

// Parses argv[1..]; argv is permuted so that operands begin at *operand. Every verb has --help (-h). A repeated
// option's last value counts; names must be whole. On FS_PARSE_BAD `error` says what is wrong with which option.
fs_parse fs_options_parse(const fs_command *command, int argc, char **argv, int *operand, char *error,
                          size_t error_size);
void fs_options_help(const fs_command *command, FILE *file);

// Strict values: the whole text must be the value, with no blanks, no hexadecimal, no nan or infinity.
bool fs_parse_whole(const char *text, long low, long high, int *value);
bool fs_parse_real(const char *text, double low, double high, double *value);
bool fs_parse_size(const char *text, int low, int high, fs_size *value);
bool fs_parse_sizes(const char *text, int low, int high, fs_sizes *value); // up to FS_SIZES_MAX, commas between them

#endif
