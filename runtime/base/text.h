// A growable text buffer that remembers failure, and a minimal JSON writer on top of it.
#ifndef FS_BASE_TEXT_H
#define FS_BASE_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "runtime/base/status.h"

typedef struct fs_text {
    char *data; // NUL-terminated once anything was added; owned, freed by fs_text_free
    size_t length;
    size_t capacity;
    bool failed;    // an allocation failed: the text is incomplete
    uint64_t comma; // JSON nesting state: bit d set = depth d already has a member
    int depth;
} fs_text; // zero-initialise

void fs_text_add(fs_text *text, const char *format, ...) __attribute__((format(printf, 2, 3)));
// FS_OK, or FS_ERR_MEMORY when an addition was lost.
fs_status fs_text_status(const fs_text *text);
void fs_text_free(fs_text *text);

// JSON: open with '{' or '[', close with the same character; `key` is NULL inside arrays.
void fs_json_open(fs_text *text, const char *key, char bracket);
void fs_json_close(fs_text *text, char bracket);
void fs_json_string(fs_text *text, const char *key, const char *value); // escaped; NULL value writes null
void fs_json_number(fs_text *text, const char *key, double value);      // non-finite writes null
void fs_json_integer(fs_text *text, const char *key, int64_t value);
void fs_json_bool(fs_text *text, const char *key, bool value);

// Reads a decimal number ("-0.5", "1e-5") at the start of `text`, whatever the locale; *end is the first byte after it.
// With a NULL `end` the whole text must be the number. False, with the outputs untouched, without one or when a double
// cannot hold it.
bool fs_parse_number(const char *text, const char **end, double *value);

#endif
