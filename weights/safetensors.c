// Reads the safetensors container: u64 header length, JSON header, tensor bytes. Everything in the header is checked
// before anything is used; the parser accepts just the JSON that a safetensors header can contain and needs no
// recursion.
#include "weights/safetensors.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "runtime/base/mem.h"

typedef struct parser {
    const uint8_t *start, *at, *end; // the header
    fs_safetensors *file;            // being filled
    size_t strings_used;
    size_t tensor_capacity, metadata_capacity;
    bool metadata_seen;
} parser;

// Bits an element takes, for the size check. A dtype that is not here is left to whoever wants to use the tensor.
static const struct {
    const char *name;
    int bits;
    fs_dtype dtype;
} known_dtypes[] = {
    {"F32", 32, FS_DTYPE_F32},          {"F16", 16, FS_DTYPE_F16},      {"BF16", 16, FS_DTYPE_BF16},
    {"F64", 64, FS_DTYPE_OTHER},        {"I64", 64, FS_DTYPE_OTHER},    {"U64", 64, FS_DTYPE_OTHER},
    {"C64", 64, FS_DTYPE_OTHER},        {"I32", 32, FS_DTYPE_OTHER},    {"U32", 32, FS_DTYPE_OTHER},
    {"I16", 16, FS_DTYPE_OTHER},        {"U16", 16, FS_DTYPE_OTHER},    {"I8", 8, FS_DTYPE_OTHER},
    {"U8", 8, FS_DTYPE_OTHER},          {"BOOL", 8, FS_DTYPE_OTHER},    {"F8_E5M2", 8, FS_DTYPE_OTHER},
    {"F8_E4M3", 8, FS_DTYPE_OTHER},     {"F8_E8M0", 8, FS_DTYPE_OTHER}, {"F8_E4M3FNUZ", 8, FS_DTYPE_OTHER},
    {"F8_E5M2FNUZ", 8, FS_DTYPE_OTHER}, {"F6_E2M3", 6, FS_DTYPE_OTHER}, {"F6_E3M2", 6, FS_DTYPE_OTHER},
    {"F4", 4, FS_DTYPE_OTHER},
};

const char *fs_printable(const char *text, char *out, size_t out_size) {
    size_t n = 0;
    for (; text[n] != '\0' && n + 1 < out_size; n++) out[n] = text[n] >= 0x20 && text[n] < 0x7f ? text[n] : '?';
    out[n] = '\0';
    if (text[n] != '\0' && n >= 3) memcpy(out + n - 3, "...", 3);
    return out;
}

// Long paths keep their end: the file's own name says more than the root.
static void set_shown(fs_safetensors *file, const char *name) {
    size_t length = strlen(name), room = sizeof file->shown - 1;
    if (length <= room)
        memcpy(file->shown, name, length + 1);
    else
        snprintf(file->shown, sizeof file->shown, "...%s", name + length - (room - 3));
}

static fs_status out_of_memory(const fs_safetensors *file) {
    return fs_fail(FS_ERR_MEMORY, "weights file '%s': out of memory while reading it; free memory and try again",
                   file->shown);
}

static fs_status damaged(const parser *p, const char *format, ...) __attribute__((format(printf, 2, 3)));
static fs_status damaged(const parser *p, const char *format, ...) {
    char what[512];
    va_list args;
    va_start(args, format);
    vsnprintf(what, sizeof what, format, args);
    va_end(args);
    return fs_fail(FS_ERR_FORMAT, "weights file '%s' is not a sound safetensors file: %s; copy or export it again",
                   p->file->shown, what);
}

static fs_status damaged_here(const parser *p, const char *what) {
    return damaged(p, "%s at header byte %zu", what, (size_t)(p->at - p->start));
}

static fs_status too_large(const parser *p, const char *what, unsigned long long limit) {
    return fs_fail(FS_ERR_LIMIT, "weights file '%s': %s (limit %llu); this is no Fast-SCNN model", p->file->shown, what,
                   limit);
}

static void skip_space(parser *p) {
    while (p->at < p->end && (*p->at == ' ' || *p->at == '\t' || *p->at == '\n' || *p->at == '\r')) p->at++;
}

static bool next_is(parser *p, char c) {
    skip_space(p);
    return p->at < p->end && *p->at == (uint8_t)c;
}

static bool accept(parser *p, char c) {
    if (!next_is(p, c)) return false;
    p->at++;
    return true;
}

static fs_status expect(parser *p, char c) {
    if (accept(p, c)) return FS_OK;
    char what[] = "expected ' '";
    what[10] = c;
    return damaged_here(p, what);
}

// Length of the UTF-8 sequence at `s`, 0 when it is not valid (overlong, surrogate, beyond U+10FFFF, cut).
static size_t utf8_length(const uint8_t *s, const uint8_t *end) {
    if (s[0] < 0x80) return 1;
    size_t length = s[0] >= 0xf0 ? 4 : s[0] >= 0xe0 ? 3 : 2;
    if (s[0] < 0xc2 || s[0] > 0xf4 || (size_t)(end - s) < length) return 0;
    for (size_t i = 1; i < length; i++)
        if ((s[i] & 0xc0) != 0x80) return 0;
    if (s[0] == 0xe0 && s[1] < 0xa0) return 0;
    if (s[0] == 0xed && s[1] > 0x9f) return 0;
    if (s[0] == 0xf0 && s[1] < 0x90) return 0;
    if (s[0] == 0xf4 && s[1] > 0x8f) return 0;
    return length;
}

static bool hex4(const parser *p, const uint8_t *s, uint32_t *value) {
    if (p->end - s < 4) return false;
    uint32_t v = 0;
    for (int i = 0; i < 4; i++) {
        uint8_t c = s[i];
        uint32_t digit;
        if (c >= '0' && c <= '9')
            digit = c - '0';
        else if (c >= 'a' && c <= 'f')
            digit = c - 'a' + 10u;
        else if (c >= 'A' && c <= 'F')
            digit = c - 'A' + 10u;
        else
            return false;
        v = v * 16 + digit;
    }
    *value = v;
    return true;
}

static size_t utf8_write(uint32_t code, char *out) {
    if (code < 0x80) {
        out[0] = (char)code;
        return 1;
    }
    if (code < 0x800) {
        out[0] = (char)(0xc0 | code >> 6);
        out[1] = (char)(0x80 | (code & 0x3f));
        return 2;
    }
    if (code < 0x10000) {
        out[0] = (char)(0xe0 | code >> 12);
        out[1] = (char)(0x80 | (code >> 6 & 0x3f));
        out[2] = (char)(0x80 | (code & 0x3f));
        return 3;
    }
    out[0] = (char)(0xf0 | code >> 18);
    out[1] = (char)(0x80 | (code >> 12 & 0x3f));
    out[2] = (char)(0x80 | (code >> 6 & 0x3f));
    out[3] = (char)(0x80 | (code & 0x3f));
    return 4;
}

// p->at is behind the backslash. Appends the character it stands for.
static fs_status parse_escape(parser *p, char *out, size_t *length) {
    if (p->at == p->end) return damaged_here(p, "unfinished string");
    static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
    const char *simple = *p->at != '\0' ? strchr(from, *p->at) : NULL;
    if (simple != NULL) {
        out[(*length)++] = to[simple - from];
        p->at++;
        return FS_OK;
    }
    uint32_t code;
    if (*p->at != 'u' || !hex4(p, p->at + 1, &code)) return damaged_here(p, "bad escape in a string");
    const uint8_t *next = p->at + 5;
    if (code >= 0xd800 && code < 0xdc00) { // UTF-16 surrogate pair
        uint32_t low;
        if (p->end - next < 6 || next[0] != '\\' || next[1] != 'u' || !hex4(p, next + 2, &low) || low < 0xdc00 ||
            low > 0xdfff)
            return damaged_here(p, "lone surrogate in a string");
        code = 0x10000 + ((code - 0xd800) << 10) + (low - 0xdc00);
        next += 6;
    } else if (code >= 0xdc00 && code < 0xe000) {
        return damaged_here(p, "lone surrogate in a string");
    }
    if (code == 0) return damaged_here(p, "NUL character in a string");
    *length += utf8_write(code, out + *length);
    p->at = next;
    return FS_OK;
}

// Unescapes a string into file->strings. That block is as long as the header: no string grows, and its two quotes leave
// room for the terminator.
static fs_status parse_string(parser *p, const char **value, size_t *value_length) {
    if (!accept(p, '"')) return damaged_here(p, "expected a string");
    char *out = p->file->strings + p->strings_used;
    size_t length = 0;
    for (;;) {
        if (p->at == p->end) return damaged_here(p, "unfinished string");
        uint8_t c = *p->at;
        if (c == '"') break;
        if (c == '\\') {
            p->at++;
            FS_TRY(parse_escape(p, out, &length));
            continue;
        }
        if (c < 0x20) return damaged_here(p, "control character in a string");
        size_t n = utf8_length(p->at, p->end);
        if (n == 0) return damaged_here(p, "invalid UTF-8");
        memcpy(out + length, p->at, n);
        length += n;
        p->at += n;
    }
    p->at++;
    out[length] = '\0';
    p->strings_used += length + 1;
    *value = out;
    *value_length = length;
    return FS_OK;
}

static fs_status parse_u64(parser *p, uint64_t *value) {
    skip_space(p);
    const uint8_t *first = p->at;
    uint64_t v = 0;
    while (p->at < p->end && *p->at >= '0' && *p->at <= '9') {
        if (__builtin_mul_overflow(v, 10, &v) || __builtin_add_overflow(v, (uint64_t)(*p->at - '0'), &v))
            return damaged_here(p, "integer beyond 64 bits");
        p->at++;
    }
    if (p->at == first) return damaged_here(p, "expected a non-negative integer");
    if (*first == '0' && p->at - first > 1) return damaged_here(p, "integer with a leading zero");
    if (p->at < p->end && (*p->at == '.' || *p->at == 'e' || *p->at == 'E'))
        return damaged_here(p, "expected an integer");
    *value = v;
    return FS_OK;
}

static fs_status parse_metadata(parser *p) {
    if (p->metadata_seen) return damaged_here(p, "__metadata__ appears twice");
    p->metadata_seen = true;
    fs_safetensors *file = p->file;
    FS_TRY(expect(p, '{'));
    if (accept(p, '}')) return FS_OK;
    do {
        fs_metadata item;
        size_t length;
        FS_TRY(parse_string(p, &item.key, &length));
        FS_TRY(expect(p, ':'));
        if (!next_is(p, '"')) return damaged_here(p, "__metadata__ may hold strings only");
        FS_TRY(parse_string(p, &item.value, &length));
        if (file->metadata_count == p->metadata_capacity) {
            size_t capacity = p->metadata_capacity == 0 ? 16 : p->metadata_capacity * 2;
            void *grown = fs_grow(file->metadata, file->metadata_count * sizeof item, capacity, sizeof item);
            if (grown == NULL) return out_of_memory(file);
            file->metadata = grown;
            p->metadata_capacity = capacity;
        }
        file->metadata[file->metadata_count++] = item;
    } while (accept(p, ','));
    return expect(p, '}');
}

static fs_status parse_shape(parser *p, fs_file_tensor *tensor) {
    FS_TRY(expect(p, '['));
    if (accept(p, ']')) return FS_OK;
    do {
        if (tensor->rank == FS_ST_MAX_RANK) return too_large(p, "a tensor has too many dimensions", FS_ST_MAX_RANK);
        FS_TRY(parse_u64(p, &tensor->shape[tensor->rank++]));
    } while (accept(p, ','));
    return expect(p, ']');
}

static fs_status parse_dtype(parser *p, fs_file_tensor *tensor, int *bits) {
    const char *dtype;
    size_t length;
    if (!next_is(p, '"')) return damaged_here(p, "a dtype must be a string");
    FS_TRY(parse_string(p, &dtype, &length));
    fs_printable(dtype, tensor->dtype_name, sizeof tensor->dtype_name);
    for (size_t i = 0; i < sizeof known_dtypes / sizeof known_dtypes[0]; i++) {
        if (strcmp(dtype, known_dtypes[i].name) != 0) continue;
        tensor->dtype = known_dtypes[i].dtype;
        *bits = known_dtypes[i].bits;
    }
    return FS_OK;
}

// An unknown dtype has bits = 0: its size cannot be checked.
static fs_status check_tensor_size(const parser *p, const fs_file_tensor *tensor, int bits) {
    char shown[80];
    fs_printable(tensor->name, shown, sizeof shown);
    if (tensor->end < tensor->begin) return damaged(p, "tensor '%s' ends before it begins", shown);
    uint64_t total = 1;
    bool overflow = false;
    for (int i = 0; i < tensor->rank; i++) overflow |= __builtin_mul_overflow(total, tensor->shape[i], &total);
    overflow |= __builtin_mul_overflow(total, (uint64_t)(bits > 0 ? bits : 1), &total);
    if (overflow) return damaged(p, "the shape of tensor '%s' overflows", shown);
    if (bits > 0 && (total % 8 != 0 || total / 8 != tensor->end - tensor->begin))
        return damaged(p, "tensor '%s' has %llu bytes where its shape and dtype need %llu", shown,
                       (unsigned long long)(tensor->end - tensor->begin), (unsigned long long)((total + 7) / 8));
    return FS_OK;
}

static fs_status parse_tensor(parser *p, const char *name) {
    fs_file_tensor tensor = {.name = name};
    int bits = 0;
    bool have_dtype = false, have_shape = false, have_offsets = false;
    FS_TRY(expect(p, '{'));
    do {
        const char *key;
        size_t length;
        FS_TRY(parse_string(p, &key, &length));
        FS_TRY(expect(p, ':'));
        bool *have = strcmp(key, "dtype") == 0          ? &have_dtype
                     : strcmp(key, "shape") == 0        ? &have_shape
                     : strcmp(key, "data_offsets") == 0 ? &have_offsets
                                                        : NULL;
        if (have == NULL) return damaged_here(p, "unknown key in a tensor's entry");
        if (*have) return damaged_here(p, "duplicate key in a tensor's entry");
        *have = true;
        if (have == &have_dtype) {
            FS_TRY(parse_dtype(p, &tensor, &bits));
        } else if (have == &have_shape) {
            FS_TRY(parse_shape(p, &tensor));
        } else {
            FS_TRY(expect(p, '['));
            FS_TRY(parse_u64(p, &tensor.begin));
            FS_TRY(expect(p, ','));
            FS_TRY(parse_u64(p, &tensor.end));
            FS_TRY(expect(p, ']'));
        }
    } while (accept(p, ','));
    FS_TRY(expect(p, '}'));
    char shown[80];
    if (!have_dtype || !have_shape || !have_offsets)
        return damaged(p, "tensor '%s' has no %s", fs_printable(name, shown, sizeof shown),
                       !have_dtype   ? "dtype"
                       : !have_shape ? "shape"
                                     : "data_offsets");
    FS_TRY(check_tensor_size(p, &tensor, bits));

    fs_safetensors *file = p->file;
    if (file->tensor_count == FS_ST_MAX_TENSORS) return too_large(p, "it holds too many tensors", FS_ST_MAX_TENSORS);
    if (file->tensor_count == p->tensor_capacity) {
        size_t capacity = p->tensor_capacity == 0 ? 256 : p->tensor_capacity * 2;
        void *grown = fs_grow(file->tensors, file->tensor_count * sizeof tensor, capacity, sizeof tensor);
        if (grown == NULL) return out_of_memory(file);
        file->tensors = grown;
        p->tensor_capacity = capacity;
    }
    file->tensors[file->tensor_count++] = tensor;
    return FS_OK;
}

static fs_status parse_header(parser *p) {
    FS_TRY(expect(p, '{'));
    if (!accept(p, '}')) {
        do {
            const char *name;
            size_t length;
            FS_TRY(parse_string(p, &name, &length));
            FS_TRY(expect(p, ':'));
            if (strcmp(name, "__metadata__") == 0) {
                FS_TRY(parse_metadata(p));
                continue;
            }
            if (length > FS_ST_MAX_NAME) return too_large(p, "a tensor name is too long", FS_ST_MAX_NAME);
            FS_TRY(parse_tensor(p, name));
        } while (accept(p, ','));
        FS_TRY(expect(p, '}'));
    }
    for (; p->at < p->end; p->at++)
        if (*p->at != ' ') return damaged_here(p, "something other than spaces after the JSON");
    return FS_OK;
}

typedef int (*compare_fn)(const void *items, uint32_t a, uint32_t b);

// Heapsort: in place and O(n log n) for any input (the C library's qsort may allocate).
static void sort_indices(uint32_t *index, size_t count, const void *items, compare_fn compare) {
    for (size_t built = count / 2, heap = count; heap > 1;) {
        uint32_t value;
        if (built > 0) {
            value = index[--built];
        } else {
            heap--;
            value = index[heap];
            index[heap] = index[0];
        }
        size_t hole = built;
        for (size_t child; (child = 2 * hole + 1) < heap; hole = child) {
            if (child + 1 < heap && compare(items, index[child], index[child + 1]) < 0) child++;
            if (compare(items, value, index[child]) >= 0) break;
            index[hole] = index[child];
        }
        index[hole] = value;
    }
}

static int compare_names(const void *items, uint32_t a, uint32_t b) {
    const fs_file_tensor *tensors = items;
    return strcmp(tensors[a].name, tensors[b].name);
}

static int compare_offsets(const void *items, uint32_t a, uint32_t b) {
    const fs_file_tensor *tensors = items;
    if (tensors[a].begin != tensors[b].begin) return tensors[a].begin < tensors[b].begin ? -1 : 1;
    return (tensors[a].end > tensors[b].end) - (tensors[a].end < tensors[b].end);
}

static int compare_keys(const void *items, uint32_t a, uint32_t b) {
    const fs_metadata *metadata = items;
    return strcmp(metadata[a].key, metadata[b].key);
}

static uint32_t *sorted(size_t count, const void *items, compare_fn compare) {
    uint32_t *index = fs_malloc(count, sizeof *index);
    if (index == NULL) return NULL;
    for (size_t i = 0; i < count; i++) index[i] = (uint32_t)i;
    sort_indices(index, count, items, compare);
    return index;
}

static fs_status check_duplicates(parser *p) {
    fs_safetensors *file = p->file;
    char shown[80];
    file->by_name = sorted(file->tensor_count, file->tensors, compare_names);
    if (file->by_name == NULL) return out_of_memory(file);
    for (size_t i = 1; i < file->tensor_count; i++) {
        const char *name = file->tensors[file->by_name[i]].name;
        if (strcmp(name, file->tensors[file->by_name[i - 1]].name) == 0)
            return damaged(p, "tensor '%s' appears twice", fs_printable(name, shown, sizeof shown));
    }

    uint32_t *order = sorted(file->metadata_count, file->metadata, compare_keys);
    fs_metadata *metadata = fs_malloc(file->metadata_count, sizeof *metadata);
    if (order == NULL || metadata == NULL) {
        fs_free(order);
        fs_free(metadata);
        return out_of_memory(file);
    }
    for (size_t i = 0; i < file->metadata_count; i++) metadata[i] = file->metadata[order[i]];
    fs_free(order);
    fs_free(file->metadata);
    file->metadata = metadata;
    for (size_t i = 1; i < file->metadata_count; i++)
        if (strcmp(metadata[i].key, metadata[i - 1].key) == 0)
            return damaged(p, "metadata key '%s' appears twice", fs_printable(metadata[i].key, shown, sizeof shown));
    return FS_OK;
}

// The tensors must tile the data: no hole, no overlap, nothing behind the last.
static fs_status check_offsets(parser *p, const uint8_t *data, uint64_t data_size) {
    fs_safetensors *file = p->file;
    uint32_t *order = sorted(file->tensor_count, file->tensors, compare_offsets);
    if (order == NULL) return out_of_memory(file);
    uint64_t reached = 0;
    fs_status status = FS_OK;
    for (size_t i = 0; i < file->tensor_count && status == FS_OK; i++) {
        fs_file_tensor *tensor = &file->tensors[order[i]];
        char shown[80];
        if (tensor->begin != reached)
            status = damaged(p, "tensor '%s' begins at byte %llu of the data, %s", //
                             fs_printable(tensor->name, shown, sizeof shown), (unsigned long long)tensor->begin,
                             tensor->begin > reached ? "leaving a hole" : "overlapping another");
        reached = tensor->end;
    }
    fs_free(order);
    FS_TRY(status);
    if (reached > data_size)
        return damaged(p, "it is truncated: %llu bytes of tensors are announced and %llu are there",
                       (unsigned long long)reached, (unsigned long long)data_size);
    if (reached < data_size)
        return damaged(p, "%llu bytes follow the last tensor", (unsigned long long)(data_size - reached));
    for (size_t i = 0; i < file->tensor_count; i++) file->tensors[i].data = data + file->tensors[i].begin;
    return FS_OK;
}

// Python checkpoints are what people have at hand: a zip (PyTorch) or a bare pickle (old PyTorch, Paddle).
static bool looks_like_checkpoint(const uint8_t *bytes, size_t size) {
    if (size >= 4 && memcmp(bytes, "PK\x03\x04", 4) == 0) return true;
    return size >= 2 && bytes[0] == 0x80 && bytes[1] >= 2 && bytes[1] <= 5;
}

static fs_status check_container(const parser *p, const uint8_t *bytes, size_t size, uint64_t *header_size) {
    uint64_t n = 0;
    for (int i = 0; i < 8 && size >= 8; i++) n |= (uint64_t)bytes[i] << (8 * i);
    bool fits = size >= 8 && n >= 1 && n <= size - 8;
    if (fits && bytes[8] == '{') {
        if (n > FS_ST_MAX_HEADER) return too_large(p, "its header is too long", FS_ST_MAX_HEADER);
        *header_size = n;
        return FS_OK;
    }
    if (looks_like_checkpoint(bytes, size))
        return fs_fail(FS_ERR_FORMAT,
                       "weights file '%s' is a PyTorch or Paddle checkpoint, not safetensors; convert it: "
                       "python3 weights/convert.py IN -o OUT.safetensors",
                       p->file->shown);
    if (size < 8) return damaged(p, "it has %zu bytes, fewer than a header length", size);
    if (n == 0) return damaged(p, "its header is empty");
    if (!fits)
        return damaged(p, "it is truncated or of another kind: a header of %llu bytes is announced in a file of %zu",
                       (unsigned long long)n, size);
    return damaged(p, "its header does not begin with '{'");
}

// Fills p->file, which keeps what it holds on failure.
static fs_status parse_bytes(parser *p, const uint8_t *bytes, size_t size) {
    uint64_t header_size = 0;
    FS_TRY(check_container(p, bytes, size, &header_size));
    p->start = p->at = bytes + 8;
    p->end = p->start + header_size;
    p->file->strings = fs_malloc(header_size, 1);
    if (p->file->strings == NULL) return out_of_memory(p->file);
    FS_TRY(parse_header(p));
    FS_TRY(check_duplicates(p));
    return check_offsets(p, p->end, size - 8 - header_size);
}

fs_status fs_safetensors_parse(const void *data, size_t size, const char *name, fs_safetensors *file) {
    fs_safetensors filled = {0};
    set_shown(&filled, name);
    parser p = {.file = &filled};
    fs_status status = parse_bytes(&p, data, size);
    if (status == FS_OK)
        *file = filled;
    else
        fs_safetensors_close(&filled);
    return status;
}

static fs_status map_file(int fd, fs_safetensors *file) {
    struct stat info;
    if (fstat(fd, &info) != 0)
        return fs_fail(FS_ERR_IO, "weights file '%s' cannot be examined: %s", file->shown, strerror(errno));
    if (!S_ISREG(info.st_mode))
        return fs_fail(FS_ERR_IO, "weights file '%s' is not a regular file; name a safetensors file", file->shown);
    if (info.st_size == 0) return FS_OK; // nothing to map; the parser reports it
    void *map = mmap(NULL, (size_t)info.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
    if (map == MAP_FAILED)
        return fs_fail(FS_ERR_SYSTEM, "weights file '%s' cannot be mapped: %s", file->shown, strerror(errno));
    file->map = map;
    file->map_size = (size_t)info.st_size;
    return FS_OK;
}

fs_status fs_safetensors_open(const char *path, fs_safetensors *file) {
    fs_safetensors filled = {0};
    set_shown(&filled, path);
    // O_NONBLOCK: opening a FIFO must not wait for a writer.
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        return fs_fail(FS_ERR_IO, "weights file '%s' cannot be opened: %s; check the path", filled.shown,
                       strerror(errno));
    fs_status status = map_file(fd, &filled);
    close(fd);
    FS_TRY(status);
    parser p = {.file = &filled};
    status = parse_bytes(&p, filled.map, filled.map_size);
    if (status == FS_OK)
        *file = filled;
    else
        fs_safetensors_close(&filled);
    return status;
}

void fs_safetensors_close(fs_safetensors *file) {
    fs_free(file->tensors);
    fs_free(file->by_name);
    fs_free(file->metadata);
    fs_free(file->strings);
    if (file->map != NULL) munmap(file->map, file->map_size);
    *file = (fs_safetensors){0};
}

const fs_file_tensor *fs_safetensors_find(const fs_safetensors *file, const char *name) {
    size_t low = 0, high = file->tensor_count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        const fs_file_tensor *tensor = &file->tensors[file->by_name[middle]];
        int order = strcmp(name, tensor->name);
        if (order == 0) return tensor;
        if (order < 0)
            high = middle;
        else
            low = middle + 1;
    }
    return NULL;
}

const char *fs_safetensors_get(const fs_safetensors *file, const char *key) {
    size_t low = 0, high = file->metadata_count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        int order = strcmp(key, file->metadata[middle].key);
        if (order == 0) return file->metadata[middle].value;
        if (order < 0)
            high = middle;
        else
            low = middle + 1;
    }
    return NULL;
}
