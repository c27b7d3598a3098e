// A strict reader of JSON. Values lie in one array in the order of the text, so nothing is allocated one by one.
#include "host/cli/tree.h"

#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "host/cli/cli.h"
#include "runtime/base/mem.h"
#include "runtime/base/text.h"

enum { DEPTH_MAX = 32 };
static const size_t FILE_MAX = (size_t)1 << 30;

typedef struct reader {
    const char *name;
    char *begin, *at, *end; // *end is '\0'
    fs_tree *tree;
    const char *error;
} reader;

static bool fail(reader *r, const char *error) {
    if (r->error == NULL) r->error = error;
    return false;
}

static void skip_blanks(reader *r) {
    while (*r->at == ' ' || *r->at == '\t' || *r->at == '\n' || *r->at == '\r') r->at++;
}

static bool add(reader *r, fs_tree_kind kind, const char *key, size_t *index) {
    fs_tree *tree = r->tree;
    if (tree->count == tree->capacity) {
        const size_t more = tree->capacity == 0 ? 256 : 2 * tree->capacity;
        fs_tree_value *grown = fs_grow(tree->value, tree->count * sizeof *grown, more, sizeof *grown);
        if (grown == NULL) return fail(r, "out of memory");
        tree->value = grown;
        tree->capacity = more;
    }
    *index = tree->count++;
    tree->value[*index] = (fs_tree_value){.kind = kind, .key = key, .size = 1};
    return true;
}

static bool hex4(const char *text, uint32_t *value) {
    *value = 0;
    for (int i = 0; i < 4; i++) {
        const char c = text[i];
        const int digit = c >= '0' && c <= '9'   ? c - '0'
                          : c >= 'a' && c <= 'f' ? c - 'a' + 10
                          : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                                 : -1;
        if (digit < 0) return false;
        *value = *value << 4 | (uint32_t)digit;
    }
    return true;
}

static char *put_utf8(char *out, uint32_t c) {
    if (c < 0x80) {
        *out++ = (char)c;
        return out;
    }
    if (c >= 0x10000) {
        *out++ = (char)(0xf0 | c >> 18);
        *out++ = (char)(0x80 | (c >> 12 & 0x3f));
    } else if (c >= 0x800) {
        *out++ = (char)(0xe0 | c >> 12);
    }
    if (c >= 0x800)
        *out++ = (char)(0x80 | (c >> 6 & 0x3f));
    else
        *out++ = (char)(0xc0 | c >> 6);
    *out++ = (char)(0x80 | (c & 0x3f));
    return out;
}

// \uXXXX, or two of them for one character beyond 16 bits; r->at is behind the 'u'.
static bool read_unicode(reader *r, char **out) {
    uint32_t c, low;
    if (!hex4(r->at, &c)) return fail(r, "\\u wants four hexadecimal digits");
    r->at += 4;
    if (c >= 0xd800 && c < 0xe000) {
        if (c >= 0xdc00 || r->at[0] != '\\' || r->at[1] != 'u' || !hex4(r->at + 2, &low) || low < 0xdc00 ||
            low >= 0xe000)
            return fail(r, "half a character");
        r->at += 6;
        c = 0x10000 + ((c - 0xd800) << 10) + (low - 0xdc00);
    }
    if (c == 0) return fail(r, "a text holds a zero");
    *out = put_utf8(*out, c);
    return true;
}

// Decodes in place: an escape is never shorter than what it stands for. r->at is at the opening quote.
static bool read_text(reader *r, const char **text) {
    char *out = ++r->at;
    *text = out;
    while (*r->at != '"') {
        if ((unsigned char)*r->at < 0x20)
            return fail(r, r->at == r->end ? "a text never ends" : "a bare control character");
        if (*r->at != '\\') {
            *out++ = *r->at++;
            continue;
        }
        r->at++;
        static const char letters[] = "\"\\/bfnrt", stands_for[] = "\"\\/\b\f\n\r\t";
        const char *letter = *r->at != '\0' ? strchr(letters, *r->at) : NULL;
        if (letter != NULL) {
            *out++ = stands_for[letter - letters];
            r->at++;
        } else if (*r->at == 'u') {
            r->at++;
            if (!read_unicode(r, &out)) return false;
        } else {
            return fail(r, "an unknown escape");
        }
    }
    r->at++;
    *out = '\0';
    return true;
}

static bool is_digit(char c) {
    return c >= '0' && c <= '9';
}

// What fs_parse_number takes is a little more than JSON has.
static bool read_number(reader *r, double *number) {
    const char *c = r->at, *end;
    if (*c == '-') c++;
    if (!is_digit(*c) || (*c == '0' && is_digit(c[1]))) return fail(r, "no number");
    while (is_digit(*c)) c++;
    if (*c == '.' && !is_digit(c[1])) return fail(r, "no number");
    if (!fs_parse_number(r->at, &end, number)) return fail(r, "a number that is too large");
    r->at += end - r->at;
    return true;
}

static bool read_word(reader *r, const char *word) {
    const size_t length = strlen(word);
    if (strncmp(r->at, word, length) != 0) return fail(r, "no value");
    r->at += length;
    return true;
}

// Each level is an object or array whose members are still being read.
static bool read_all(reader *r) {
    size_t open[DEPTH_MAX];
    int depth = 0;
    bool first = true; // of the innermost open one
    for (;;) {
        skip_blanks(r);
        const char *key = NULL;
        if (depth > 0) {
            fs_tree_value *parent = &r->tree->value[open[depth - 1]];
            const bool object = parent->kind == FS_TREE_OBJECT;
            if (*r->at == (object ? '}' : ']')) {
                r->at++;
                parent->size = r->tree->count - open[--depth];
                first = false;
                if (depth == 0) break;
                continue;
            }
            if (!first) {
                if (*r->at != ',') return fail(r, object ? "',' or '}' is missing" : "',' or ']' is missing");
                r->at++;
                skip_blanks(r);
                if (*r->at == '}' || *r->at == ']') return fail(r, "a comma before the end");
            }
            parent->count++;
            if (object) {
                if (*r->at != '"') return fail(r, "a name is missing");
                if (!read_text(r, &key)) return false;
                skip_blanks(r);
                if (*r->at != ':') return fail(r, "':' is missing");
                r->at++;
                skip_blanks(r);
            }
        }
        size_t index;
        const char c = *r->at;
        const fs_tree_kind kind = c == '{'   ? FS_TREE_OBJECT
                                  : c == '[' ? FS_TREE_ARRAY
                                  : c == '"' ? FS_TREE_TEXT
                                  : c == 't' ? FS_TREE_TRUE
                                  : c == 'f' ? FS_TREE_FALSE
                                  : c == 'n' ? FS_TREE_NULL
                                             : FS_TREE_NUMBER;
        if (!add(r, kind, key, &index)) return false;
        fs_tree_value *value = &r->tree->value[index];
        first = false;
        switch (kind) {
        case FS_TREE_OBJECT:
        case FS_TREE_ARRAY:
            if (depth == DEPTH_MAX) return fail(r, "nested too deeply");
            r->at++;
            open[depth++] = index;
            first = true;
            continue;
        case FS_TREE_TEXT:
            if (!read_text(r, &value->text)) return false;
            break;
        case FS_TREE_TRUE:
            if (!read_word(r, "true")) return false;
            break;
        case FS_TREE_FALSE:
            if (!read_word(r, "false")) return false;
            break;
        case FS_TREE_NULL:
            if (!read_word(r, "null")) return false;
            break;
        case FS_TREE_NUMBER:
            if (!read_number(r, &value->number)) return false;
            break;
        }
        if (depth == 0) break;
    }
    skip_blanks(r);
    return r->at == r->end || fail(r, "something behind the end");
}

// Takes over `source`, which has room for a terminating zero.
static bool parse_owned(const char *name, char *source, size_t length, fs_tree *tree) {
    source[length] = '\0';
    *tree = (fs_tree){.source = source};
    reader r = {.name = name, .begin = source, .at = source, .end = source + length, .tree = tree};
    if (read_all(&r)) return true;
    fs_complain("'%s' is no JSON: byte %zu: %s", name, (size_t)(r.at - r.begin), r.error);
    fs_tree_free(tree);
    return false;
}

bool fs_tree_parse(const char *name, const char *text, size_t length, fs_tree *tree) {
    char *source = fs_malloc(length + 1, 1);
    if (source == NULL) {
        fs_complain("out of memory for '%s'", name);
        return false;
    }
    memcpy(source, text, length);
    return parse_owned(name, source, length, tree);
}

bool fs_tree_read(const char *path, fs_tree *tree) {
    FILE *file = fopen(path, "rb");
    if (file == NULL) {
        fs_complain("cannot read '%s': %s", path, strerror(errno));
        return false;
    }
    size_t length = 0, capacity = 0;
    char *source = NULL;
    const char *error = NULL;
    for (;;) {
        if (length + 1 >= capacity) {
            const size_t more = capacity == 0 ? 65536 : 2 * capacity;
            char *grown = more > FILE_MAX ? NULL : fs_grow(source, length, more, 1);
            if (grown == NULL) {
                error = more > FILE_MAX ? "the file is too large" : "out of memory";
                break;
            }
            source = grown;
            capacity = more;
        }
        const size_t got = fread(source + length, 1, capacity - length - 1, file);
        length += got;
        if (got == 0) break;
    }
    if (error == NULL && ferror(file)) error = strerror(errno);
    fclose(file);
    if (error == NULL) return parse_owned(path, source, length, tree);
    fs_complain("cannot read '%s': %s", path, error);
    fs_free(source);
    return false;
}

void fs_tree_free(fs_tree *tree) {
    fs_free(tree->source);
    fs_free(tree->value);
    *tree = (fs_tree){.source = NULL};
}

const fs_tree_value *fs_tree_get(const fs_tree_value *object, const char *name) {
    const char *dot = strchr(name, '.');
    const size_t length = dot != NULL ? (size_t)(dot - name) : strlen(name);
    if (object == NULL || object->kind != FS_TREE_OBJECT) return NULL;
    const fs_tree_value *member = object + 1;
    for (size_t i = 0; i < object->count; i++, member += member->size)
        if (strncmp(member->key, name, length) == 0 && member->key[length] == '\0')
            return dot != NULL ? fs_tree_get(member, dot + 1) : member;
    return NULL;
}

const char *fs_tree_text(const fs_tree_value *object, const char *name) {
    const fs_tree_value *value = fs_tree_get(object, name);
    return value != NULL && value->kind == FS_TREE_TEXT ? value->text : NULL;
}

bool fs_tree_number(const fs_tree_value *object, const char *name, double *number) {
    const fs_tree_value *value = fs_tree_get(object, name);
    if (value == NULL || value->kind != FS_TREE_NUMBER) return false;
    *number = value->number;
    return true;
}
