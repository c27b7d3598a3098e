// Growable text, a minimal JSON writer, and locale-independent numbers.
#include "runtime/base/text.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/base/mem.h"

enum { MAX_DEPTH = 63 }; // one bit of fs_text.comma per level

static bool reserve(fs_text *text, size_t more) {
    size_t need;
    if (text->failed) return false;
    if (__builtin_add_overflow(text->length + 1, more, &need)) {
        text->failed = true;
        return false;
    }
    if (need <= text->capacity) return true;
    size_t capacity = text->capacity < 256 ? 256 : text->capacity;
    while (capacity < need) capacity = capacity > SIZE_MAX / 2 ? need : capacity * 2;
    char *data = fs_grow(text->data, text->length, capacity, 1);
    if (data == NULL) {
        text->failed = true;
        return false;
    }
    data[text->length] = '\0';
    text->data = data;
    text->capacity = capacity;
    return true;
}

static void append(fs_text *text, const char *bytes, size_t count) {
    if (!reserve(text, count)) return;
    memcpy(text->data + text->length, bytes, count);
    text->length += count;
    text->data[text->length] = '\0';
}

void fs_text_add(fs_text *text, const char *format, ...) {
    va_list args, again;
    va_start(args, format);
    va_copy(again, args);
    int length = vsnprintf(NULL, 0, format, args);
    va_end(args);
    if (length < 0) {
        text->failed = true;
    } else if (reserve(text, (size_t)length)) {
        vsnprintf(text->data + text->length, (size_t)length + 1, format, again);
        text->length += (size_t)length;
    }
    va_end(again);
}

fs_status fs_text_status(const fs_text *text) {
    return text->failed ? fs_fail(FS_ERR_MEMORY, "out of memory while writing text; free memory and try again") : FS_OK;
}

void fs_text_free(fs_text *text) {
    fs_free(text->data);
    *text = (fs_text){0};
}

static void quoted(fs_text *text, const char *value) {
    append(text, "\"", 1);
    for (const char *c = value; *c != '\0'; c++) {
        unsigned char byte = (unsigned char)*c;
        switch (byte) {
        case '"': append(text, "\\\"", 2); break;
        case '\\': append(text, "\\\\", 2); break;
        case '\n': append(text, "\\n", 2); break;
        case '\r': append(text, "\\r", 2); break;
        case '\t': append(text, "\\t", 2); break;
        default:
            if (byte < 0x20)
                fs_text_add(text, "\\u%04x", byte);
            else
                append(text, c, 1);
        }
    }
    append(text, "\"", 1);
}

static void separate(fs_text *text, const char *key) {
    uint64_t bit = (uint64_t)1 << text->depth;
    if (text->comma & bit) append(text, ", ", 2);
    if (text->depth > 0) text->comma |= bit;
    if (key != NULL) {
        quoted(text, key);
        append(text, ": ", 2);
    }
}

void fs_json_open(fs_text *text, const char *key, char bracket) {
    separate(text, key);
    append(text, &bracket, 1);
    if (text->depth >= MAX_DEPTH) {
        text->failed = true;
        return;
    }
    text->depth++;
    text->comma &= ~((uint64_t)1 << text->depth);
}

void fs_json_close(fs_text *text, char bracket) {
    if (text->depth > 0) text->depth--;
    append(text, bracket == '[' || bracket == ']' ? "]" : "}", 1);
}

void fs_json_string(fs_text *text, const char *key, const char *value) {
    separate(text, key);
    if (value == NULL)
        append(text, "null", 4);
    else
        quoted(text, value);
}

void fs_json_number(fs_text *text, const char *key, double value) {
    separate(text, key);
    if (!isfinite(value)) {
        append(text, "null", 4);
        return;
    }
    // The shortest of two precisions that reads back as the same double.
    char digits[64], number[64];
    snprintf(digits, sizeof digits, "%.15g", value);
    if (strtod(digits, NULL) != value) snprintf(digits, sizeof digits, "%.17g", value);
    // The application's locale may have another decimal point, even one of several bytes; JSON has one.
    size_t n = 0;
    bool in_point = false;
    for (const char *c = digits; *c != '\0'; c++) {
        bool plain = strchr("0123456789+-e", *c) != NULL;
        if (plain)
            number[n++] = *c;
        else if (!in_point)
            number[n++] = '.';
        in_point = !plain;
    }
    append(text, number, n);
}

void fs_json_integer(fs_text *text, const char *key, int64_t value) {
    separate(text, key);
    fs_text_add(text, "%lld", (long long)value);
}

void fs_json_bool(fs_text *text, const char *key, bool value) {
    separate(text, key);
    append(text, value ? "true" : "false", value ? 4 : 5);
}

bool fs_parse_number(const char *text, const char **end, double *value) {
    const char *c = text;
    bool negative = *c == '-';
    if (*c == '-' || *c == '+') c++;
    uint64_t mantissa = 0;
    int exponent = 0, digits = 0;
    bool point = false;
    for (;; c++) {
        if (*c == '.' && !point) {
            point = true;
        } else if (*c >= '0' && *c <= '9') {
            digits++;
            // Digits beyond the 19th cannot change a double by more than its last bit.
            if (mantissa < 1000000000000000000u) {
                mantissa = mantissa * 10 + (uint64_t)(*c - '0');
                if (point) exponent--;
            } else if (!point) {
                exponent++;
            }
        } else {
            break;
        }
        if (c - text > 1000) return false;
    }
    if (digits == 0) return false;
    if (*c == 'e' || *c == 'E') {
        const char *e = c + 1;
        bool down = *e == '-';
        if (*e == '-' || *e == '+') e++;
        if (*e >= '0' && *e <= '9') {
            int power = 0;
            for (; *e >= '0' && *e <= '9'; e++)
                if (power < 10000) power = power * 10 + (*e - '0');
            exponent += down ? -power : power;
            c = e;
        }
    }
    // Exact for mantissas below 2^53 and powers up to 10^22 (both are doubles, and one rounding follows).
    double result = (double)mantissa;
    if (mantissa == 0)
        result = 0;
    else if (exponent < -340 || exponent > 308)
        result = exponent < 0 ? 0 : (double)INFINITY;
    else if (exponent < 0)
        result = exponent < -300 ? result / 1e300 / pow(10, -exponent - 300) : result / pow(10, -exponent);
    else
        result *= pow(10, exponent);
    if (!isfinite(result) || (end == NULL && *c != '\0')) return false;
    *value = negative ? -result : result;
    if (end != NULL) *end = c;
    return true;
}
