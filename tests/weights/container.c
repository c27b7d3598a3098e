// Tests of the safetensors container: each rule and limit as a small hostile or odd file.
#include <criterion/criterion.h>
#include <criterion/parameterized.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "runtime/base/mem.h"
#include "tests/weights/files.h"
#include "weights/safetensors.h"
#include "weights/weights.h"

TestSuite(container);

#define ENTRY "{'dtype':'F32','shape':[2],'data_offsets':[0,8]}"
#define DTYPE(d) "{'a':{'dtype':'" d "','shape':[8],'data_offsets':[0,8]}}"
#define SHAPE(s) "{'a':{'dtype':'F32','shape':" s ",'data_offsets':[0,8]}}"
#define OFFSETS(o) "{'a':{'dtype':'F32','shape':[2],'data_offsets':" o "}}"
#define NAMED(n) "{'" n "':" ENTRY "}"

// `'` stands for `"` in headers. Sound files: the fragment is the name of the first tensor, "" for none.
typedef struct header_case {
    const char *header;
    size_t data;
    fs_status status;
    const char *fragment;
} header_case;

static const header_case headers[] = {
    // Legal, if odd.
    {"{}", 0, FS_OK, ""},
    {"{}      ", 0, FS_OK, ""},
    {"{'a':" ENTRY "}   ", 8, FS_OK, "a"},
    {"{ 'a' :\t{ 'shape' : [ 2 ] ,\n'data_offsets' : [ 0 , 8 ] ,\r\n 'dtype' : 'F32' } }", 8, FS_OK, "a"},
    {"{'a':{'dtype':'F32','shape':[],'data_offsets':[0,4]}}", 4, FS_OK, "a"},
    {"{'a':{'dtype':'F32','shape':[0],'data_offsets':[0,0]}}", 0, FS_OK, "a"},
    {"{'a':{'dtype':'F32','shape':[3,0,99999999999],'data_offsets':[0,0]}}", 0, FS_OK, "a"},
    {"{'b':{'dtype':'U8','shape':[3],'data_offsets':[4,7]},'a':{'dtype':'F32','shape':[1],'data_offsets':[0,4]}}", 7,
     FS_OK, "b"},
    {"{'a':{'dtype':'U8','shape':[0],'data_offsets':[4,4]},'b':{'dtype':'F32','shape':[1],'data_offsets':[0,4]}}", 4,
     FS_OK, "a"},
    {DTYPE("Q7_FROM_THE_FUTURE"), 8, FS_OK, "a"},
    {DTYPE("F8_E4M3FNUZ"), 8, FS_OK, "a"},
    {DTYPE("BOOL"), 8, FS_OK, "a"},
    {"{'a':{'dtype':'F4','shape':[4,4],'data_offsets':[0,8]}}", 8, FS_OK, "a"},
    {"{'a':{'dtype':'F6_E2M3','shape':[4],'data_offsets':[0,3]}}", 3, FS_OK, "a"},
    {"{'a':{'dtype':'I64','shape':[1,1,1,1,1,1,1,1],'data_offsets':[0,8]}}", 8, FS_OK, "a"},
    {NAMED("\\u0061\\/\\\"\\\\"), 8, FS_OK, "a/\"\\"},
    {NAMED("\\u00e9\\ud83d\\ude00\xe2\x82\xac"), 8, FS_OK, "\xc3\xa9\xf0\x9f\x98\x80\xe2\x82\xac"},
    {NAMED(""), 8, FS_OK, ""},
    {"{'__metadata__':{},'a':" ENTRY "}", 8, FS_OK, "a"},
    {"{'a':" ENTRY ",'__metadata__':{'x':'y','':''}}", 8, FS_OK, "a"},
    // JSON.
    {"{'a':" ENTRY "}\n", 8, FS_ERR_FORMAT, "other than spaces"},
    {"{'a':" ENTRY "}x", 8, FS_ERR_FORMAT, "other than spaces"},
    {"{'a':" ENTRY "}{}", 8, FS_ERR_FORMAT, "other than spaces"},
    {"{'a':" ENTRY, 8, FS_ERR_FORMAT, "expected '}'"},
    {"{'a':" ENTRY ",}", 8, FS_ERR_FORMAT, "expected a string"},
    {"{,'a':" ENTRY "}", 8, FS_ERR_FORMAT, "expected a string"},
    {"{'a' " ENTRY "}", 8, FS_ERR_FORMAT, "expected ':'"},
    {"{a:" ENTRY "}", 8, FS_ERR_FORMAT, "expected a string"},
    {"{'a':[]}", 0, FS_ERR_FORMAT, "expected '{'"},
    {"{'a':null}", 0, FS_ERR_FORMAT, "expected '{'"},
    {"{'a", 0, FS_ERR_FORMAT, "unfinished string"},
    {"{'a\\", 0, FS_ERR_FORMAT, "unfinished string"},
    {NAMED("\\x41"), 8, FS_ERR_FORMAT, "bad escape"},
    {NAMED("\\u12g4"), 8, FS_ERR_FORMAT, "bad escape"},
    {"{'\\u12", 0, FS_ERR_FORMAT, "bad escape"},
    {NAMED("\\u0000"), 8, FS_ERR_FORMAT, "NUL"},
    {NAMED("\\ud800"), 8, FS_ERR_FORMAT, "lone surrogate"},
    {NAMED("\\ud800\\u0041"), 8, FS_ERR_FORMAT, "lone surrogate"},
    {NAMED("\\udc00"), 8, FS_ERR_FORMAT, "lone surrogate"},
    {NAMED("a\tb"), 8, FS_ERR_FORMAT, "control character"},
    {NAMED("\x01"), 8, FS_ERR_FORMAT, "control character"},
    {NAMED("\xff"), 8, FS_ERR_FORMAT, "UTF-8"},
    {NAMED("\x80"), 8, FS_ERR_FORMAT, "UTF-8"},
    {NAMED("\xc0\xaf"), 8, FS_ERR_FORMAT, "UTF-8"},
    {NAMED("\xe0\x80\xaf"), 8, FS_ERR_FORMAT, "UTF-8"},
    {NAMED("\xed\xa0\x80"), 8, FS_ERR_FORMAT, "UTF-8"},
    {NAMED("\xf4\x90\x80\x80"), 8, FS_ERR_FORMAT, "UTF-8"},
    {NAMED("\xf0\x80\x80\x80"), 8, FS_ERR_FORMAT, "UTF-8"},
    {NAMED("\xe2\x82"), 8, FS_ERR_FORMAT, "UTF-8"},
    {"{'\xe2\x82", 0, FS_ERR_FORMAT, "UTF-8"},
    // Duplicates.
    {"{'a':" ENTRY ",'a':" ENTRY "}", 8, FS_ERR_FORMAT, "tensor 'a' appears twice"},
    {"{'a':" ENTRY ",'\\u0061':{'dtype':'U8','shape':[0],'data_offsets':[8,8]}}", 8, FS_ERR_FORMAT, "appears twice"},
    {"{'__metadata__':{},'__metadata__':{}}", 0, FS_ERR_FORMAT, "__metadata__ appears twice"},
    {"{'__metadata__':{'k':'1','j':'','k':'2'}}", 0, FS_ERR_FORMAT, "metadata key 'k' appears twice"},
    {"{'a':{'dtype':'F32','shape':[2],'shape':[2],'data_offsets':[0,8]}}", 8, FS_ERR_FORMAT, "duplicate key"},
    {"{'a':{'dtype':'F32','dtype':'F32','shape':[2],'data_offsets':[0,8]}}", 8, FS_ERR_FORMAT, "duplicate key"},
    {"{'a':{'data_offsets':[0,8],'dtype':'F32','shape':[2],'data_offsets':[0,8]}}", 8, FS_ERR_FORMAT, "duplicate key"},
    // Entries.
    {"{'a':{}}", 0, FS_ERR_FORMAT, "expected a string"},
    {"{'a':{'shape':[2],'data_offsets':[0,8]}}", 8, FS_ERR_FORMAT, "has no dtype"},
    {"{'a':{'dtype':'F32','data_offsets':[0,8]}}", 8, FS_ERR_FORMAT, "has no shape"},
    {"{'a':{'dtype':'F32','shape':[2]}}", 8, FS_ERR_FORMAT, "has no data_offsets"},
    {"{'a':{'dtype':'F32','shape':[2],'data_offsets':[0,8],'x':1}}", 8, FS_ERR_FORMAT, "unknown key"},
    {"{'a':{'dtype':32,'shape':[2],'data_offsets':[0,8]}}", 8, FS_ERR_FORMAT, "dtype must be a string"},
    {SHAPE("2"), 8, FS_ERR_FORMAT, "expected '['"},
    {SHAPE("[2"), 8, FS_ERR_FORMAT, "non-negative integer"},
    {SHAPE("[1 2]"), 8, FS_ERR_FORMAT, "expected ']'"},
    {SHAPE("[2,]"), 8, FS_ERR_FORMAT, "non-negative integer"},
    {SHAPE("[-2]"), 8, FS_ERR_FORMAT, "non-negative integer"},
    {SHAPE("[+2]"), 8, FS_ERR_FORMAT, "non-negative integer"},
    {SHAPE("['2']"), 8, FS_ERR_FORMAT, "non-negative integer"},
    {SHAPE("[2.0]"), 8, FS_ERR_FORMAT, "expected an integer"},
    {SHAPE("[2e0]"), 8, FS_ERR_FORMAT, "expected an integer"},
    {SHAPE("[02]"), 8, FS_ERR_FORMAT, "leading zero"},
    {SHAPE("[18446744073709551616]"), 8, FS_ERR_FORMAT, "beyond 64 bits"},
    {SHAPE("[99999999999999999999999]"), 8, FS_ERR_FORMAT, "beyond 64 bits"},
    {SHAPE("[3]"), 8, FS_ERR_FORMAT, "has 8 bytes where its shape and dtype need 12"},
    {SHAPE("[18446744073709551615]"), 8, FS_ERR_FORMAT, "overflows"},
    {SHAPE("[4294967296,4294967296,2]"), 8, FS_ERR_FORMAT, "overflows"},
    {SHAPE("[4611686018427387906]"), 8, FS_ERR_FORMAT, "overflows"},
    {SHAPE("[9223372036854775808,2,0]"), 8, FS_ERR_FORMAT, "overflows"},
    {SHAPE("[2,1,1,1,1,1,1,1,1]"), 8, FS_ERR_LIMIT, "too many dimensions"},
    {"{'a':{'dtype':'F4','shape':[3],'data_offsets':[0,2]}}", 2, FS_ERR_FORMAT, "has 2 bytes where"},
    // Offsets.
    {OFFSETS("[0]"), 8, FS_ERR_FORMAT, "expected ','"},
    {OFFSETS("[]"), 8, FS_ERR_FORMAT, "non-negative integer"},
    {OFFSETS("[0,8,8]"), 8, FS_ERR_FORMAT, "expected ']'"},
    {OFFSETS("[8,0]"), 8, FS_ERR_FORMAT, "ends before it begins"},
    {OFFSETS("[4,12]"), 12, FS_ERR_FORMAT, "leaving a hole"},
    {OFFSETS("[0,8]"), 7, FS_ERR_FORMAT, "truncated"},
    {OFFSETS("[0,8]"), 0, FS_ERR_FORMAT, "truncated"},
    {OFFSETS("[0,8]"), 9, FS_ERR_FORMAT, "1 bytes follow the last tensor"},
    {OFFSETS("[18446744073709551608,18446744073709551615]"), 8, FS_ERR_FORMAT, "has 7 bytes"},
    {"{'a':{'dtype':'NEW','shape':[2],'data_offsets':[0,18446744073709551615]}}", 8, FS_ERR_FORMAT, "truncated"},
    {"{}", 3, FS_ERR_FORMAT, "3 bytes follow"},
    {"{'a':" ENTRY ",'b':{'dtype':'F32','shape':[2],'data_offsets':[4,12]}}", 12, FS_ERR_FORMAT, "overlapping"},
    {"{'a':" ENTRY ",'b':" ENTRY "}", 8, FS_ERR_FORMAT, "overlapping"},
    {"{'a':" ENTRY ",'b':{'dtype':'F32','shape':[1],'data_offsets':[12,16]}}", 16, FS_ERR_FORMAT, "leaving a hole"},
    {"{'a':" ENTRY ",'b':{'dtype':'U8','shape':[0],'data_offsets':[4,4]}}", 8, FS_ERR_FORMAT, "overlapping"},
    // Metadata.
    {"{'__metadata__':'x'}", 0, FS_ERR_FORMAT, "expected '{'"},
    {"{'__metadata__':{'a':1}}", 0, FS_ERR_FORMAT, "strings only"},
    {"{'__metadata__':{'a':null}}", 0, FS_ERR_FORMAT, "strings only"},
    {"{'__metadata__':{'a':{'b':'c'}}}", 0, FS_ERR_FORMAT, "strings only"},
    {"{'__metadata__':{'a':'b',}}", 0, FS_ERR_FORMAT, "expected a string"},
    {"{'__metadata__':{'a':'b'", 0, FS_ERR_FORMAT, "expected '}'"},
    {"{'__metadata__':{'a':'\xfe'}}", 0, FS_ERR_FORMAT, "UTF-8"},
};

// Parameters reach another process: an index is safe there, pointers are not.
ParameterizedTestParameters(container, header_rules) {
    size_t count = sizeof headers / sizeof headers[0];
    int *index = cr_malloc(count * sizeof *index);
    for (size_t i = 0; i < count; i++) index[i] = (int)i;
    return cr_make_param_array(int, index, count);
}

ParameterizedTest(int *index, container, header_rules) {
    const header_case *c = &headers[*index];
    bytes b = bytes_from_header(c->header, c->data);
    fs_safetensors file, before;
    memset(&file, 0x5a, sizeof file);
    before = file;
    fs_status status = fs_safetensors_parse(b.data, b.size, "odd.safetensors", &file);
    cr_assert_eq(status, c->status, "%s: status %d: %s", c->header, status, fs_error_text());
    if (status == FS_OK) {
        cr_assert_str_eq(file.tensor_count > 0 ? file.tensors[0].name : "", c->fragment);
        for (size_t i = 0; i < file.tensor_count; i++)
            cr_assert_eq(fs_safetensors_find(&file, file.tensors[i].name), &file.tensors[i]);
        fs_safetensors_close(&file);
    } else {
        cr_assert_not_null(strstr(fs_error_text(), c->fragment), "%s: %s", c->header, fs_error_text());
        cr_assert_not_null(strstr(fs_error_text(), "odd.safetensors"), "%s", fs_error_text());
        cr_assert_eq(memcmp(&file, &before, sizeof file), 0);
    }
    cr_assert_eq(fs_mem_live_blocks(), 0);
    bytes_free(&b);
}

// Whole files by their bytes.
typedef struct raw_case {
    const char *bytes;
    size_t size;
    const char *fragment;
} raw_case;

static const raw_case raws[] = {
    {"", 0, "0 bytes"},
    {"\x02\0\0\0\0\0\0", 7, "7 bytes"},
    {"\0\0\0\0\0\0\0\0", 8, "header is empty"},
    {"\x02\0\0\0\0\0\0\0", 8, "truncated or of another kind"},
    {"\x02\0\0\0\0\0\0\0{", 9, "truncated or of another kind"},
    {"\0\0\0\0\0\0\0\x80{}", 10, "truncated or of another kind"},
    {"\xff\xff\xff\xff\xff\xff\xff\xff{}", 10, "truncated or of another kind"},
    {"\xf8\xff\xff\xff\xff\xff\xff\xff{}", 10, "truncated or of another kind"},
    {"\x02\0\0\0\0\0\0\0[]", 10, "does not begin with '{'"},
    {"\x03\0\0\0\0\0\0\0 {}", 11, "does not begin with '{'"},
    {"\x05\0\0\0\0\0\0\0\xef\xbb\xbf{}", 13, "does not begin with '{'"},
    {"PK\x03\x04\x14\0\0\0\0\0archive/data.pkl", 26, "weights/convert.py IN -o OUT.safetensors"},
    {"\x80\x02}q\0(X\x05\0\0\0stateq\x01", 18, "weights/convert.py IN -o OUT.safetensors"},
    {"\x80\x04\x95\x10\0\0\0\0\0\0\0}", 12, "weights/convert.py IN -o OUT.safetensors"},
    {"PK\x03\x04", 4, "weights/convert.py"},
    {"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", 16, "truncated or of another kind"},
};

ParameterizedTestParameters(container, raw_files) {
    size_t count = sizeof raws / sizeof raws[0];
    int *index = cr_malloc(count * sizeof *index);
    for (size_t i = 0; i < count; i++) index[i] = (int)i;
    return cr_make_param_array(int, index, count);
}

ParameterizedTest(int *index, container, raw_files) {
    const raw_case *c = &raws[*index];
    char folder[64], path[128];
    test_folder(folder);
    snprintf(path, sizeof path, "%s/raw.safetensors", folder);
    test_write(path, c->bytes, c->size);
    bytes b = bytes_copy(c->bytes, c->size);
    fs_safetensors file;
    cr_assert_eq(fs_safetensors_parse(b.data, b.size, "raw.safetensors", &file), FS_ERR_FORMAT);
    cr_assert_not_null(strstr(fs_error_text(), c->fragment), "%s", fs_error_text());
    cr_assert_eq(fs_safetensors_open(path, &file), FS_ERR_FORMAT);
    cr_assert_not_null(strstr(fs_error_text(), c->fragment), "%s", fs_error_text());
    cr_assert_not_null(strstr(fs_error_text(), path), "%s", fs_error_text());
    bytes_free(&b);
    test_folder_remove(folder);
}

// A header whose length happens to begin like a pickle (0x80 0x02) is no pickle.
Test(container, header_length_that_looks_like_a_pickle) {
    char header[0x280 + 1];
    memset(header, ' ', 0x280);
    header[0] = '{';
    header[1] = '}';
    header[0x280] = '\0';
    bytes b = bytes_from_header(header, 0);
    cr_assert(b.data[0] == 0x80 && b.data[1] == 0x02);
    fs_safetensors file;
    cr_assert_eq(fs_safetensors_parse(b.data, b.size, "x", &file), FS_OK);
    fs_safetensors_close(&file);
    bytes_free(&b);
}

Test(container, header_of_the_largest_length_passes_and_one_more_does_not) {
    for (int more = 0; more < 2; more++) {
        size_t length = FS_ST_MAX_HEADER + (size_t)more;
        char *header = malloc(length + 1);
        memset(header, ' ', length);
        memcpy(header, "{}", 2);
        header[length] = '\0';
        bytes b = bytes_from_header(header, 0);
        fs_safetensors file;
        cr_assert_eq(fs_safetensors_parse(b.data, b.size, "big", &file), more ? FS_ERR_LIMIT : FS_OK);
        if (more)
            cr_assert_not_null(strstr(fs_error_text(), "limit 1048576"), "%s", fs_error_text());
        else
            fs_safetensors_close(&file);
        bytes_free(&b);
        free(header);
    }
}

Test(container, names_of_256_bytes_pass_and_257_do_not) {
    for (int more = 0; more < 2; more++) {
        char header[600], name[300];
        memset(name, 'n', sizeof name);
        name[FS_ST_MAX_NAME + more] = '\0';
        snprintf(header, sizeof header, "{'%s':" ENTRY "}", name);
        bytes b = bytes_from_header(header, 8);
        fs_safetensors file;
        cr_assert_eq(fs_safetensors_parse(b.data, b.size, "long", &file), more ? FS_ERR_LIMIT : FS_OK);
        if (more)
            cr_assert_not_null(strstr(fs_error_text(), "limit 256"), "%s", fs_error_text());
        else
            fs_safetensors_close(&file);
        bytes_free(&b);
    }
}

Test(container, tensors_up_to_4096_and_no_more) {
    for (int more = 0; more < 2; more++) {
        int count = FS_ST_MAX_TENSORS + more;
        char *header = malloc((size_t)count * 80 + 10);
        size_t n = 0;
        for (int i = 0; i < count; i++) // descending names and offsets: the sorts have work
            n += (size_t)sprintf(header + n, "%c'%05d':{'dtype':'U8','shape':[1],'data_offsets':[%d,%d]}",
                                 i == 0 ? '{' : ',', 9999 - i, count - 1 - i, count - i);
        strcpy(header + n, "}");
        bytes b = bytes_from_header(header, (size_t)count);
        fs_safetensors file;
        fs_status status = fs_safetensors_parse(b.data, b.size, "many", &file);
        cr_assert_eq(status, more ? FS_ERR_LIMIT : FS_OK, "%s", fs_error_text());
        if (!more) {
            cr_assert_eq(file.tensor_count, FS_ST_MAX_TENSORS);
            for (int i = 0; i < count; i++) {
                char name[8];
                snprintf(name, sizeof name, "%05d", 9999 - i);
                const fs_file_tensor *t = fs_safetensors_find(&file, name);
                cr_assert_not_null(t);
                cr_assert_eq(t->begin, (uint64_t)(count - 1 - i));
            }
            cr_assert_null(fs_safetensors_find(&file, "absent"));
            fs_safetensors_close(&file);
        }
        bytes_free(&b);
        free(header);
    }
}

Test(container, metadata_is_found_by_key) {
    bytes b = bytes_from_header("{'__metadata__':{'z':'26','a':'\\u0031','m':'','fastscnn.variant':'paper'}}", 0);
    fs_safetensors file;
    cr_assert_eq(fs_safetensors_parse(b.data, b.size, "m", &file), FS_OK);
    cr_assert_str_eq(fs_safetensors_get(&file, "z"), "26");
    cr_assert_str_eq(fs_safetensors_get(&file, "a"), "1");
    cr_assert_str_eq(fs_safetensors_get(&file, "m"), "");
    cr_assert_str_eq(fs_safetensors_get(&file, "fastscnn.variant"), "paper");
    cr_assert_null(fs_safetensors_get(&file, "fastscnn"));
    cr_assert_null(fs_safetensors_get(&file, ""));
    fs_safetensors_close(&file);
    bytes_free(&b);
}

static const char small_header[] =
    "{'__metadata__':{'k':'\\u00e9'},'a':{'dtype':'F32','shape':[1,2],'data_offsets':[0,8]},"
    "'b':{'dtype':'U8','shape':[3],'data_offsets':[8,11]}} ";

Test(container, every_truncation_is_refused) {
    bytes whole = bytes_from_header(small_header, 11);
    for (size_t size = 0; size < whole.size; size++) {
        bytes part = bytes_copy(whole.data, size);
        fs_safetensors file;
        cr_assert_eq(fs_safetensors_parse(part.data, part.size, "part", &file), FS_ERR_FORMAT, "%zu bytes", size);
        bytes_free(&part);
    }
    cr_assert_eq(fs_mem_live_blocks(), 0);
    bytes_free(&whole);
}

Test(container, every_flipped_bit_is_survived) {
    bytes whole = bytes_from_header(small_header, 11);
    for (size_t bit = 0; bit < (whole.size - 11) * 8; bit++) {
        bytes bent = bytes_copy(whole.data, whole.size);
        bent.data[bit / 8] ^= (uint8_t)(1 << bit % 8);
        fs_safetensors file;
        fs_status status = fs_safetensors_parse(bent.data, bent.size, "bent", &file);
        cr_assert(status == FS_OK || status == FS_ERR_FORMAT || status == FS_ERR_LIMIT);
        if (status == FS_OK) fs_safetensors_close(&file);
        bytes_free(&bent);
    }
    cr_assert_eq(fs_mem_live_blocks(), 0);
    bytes_free(&whole);
}

Test(container, messages_hide_terminal_codes) {
    bytes b = bytes_from_header("{'\\u001b[31m\xc3\xa9':{'dtype':'F32','shape':[1],'data_offsets':[0,8]}}", 8);
    fs_safetensors file;
    cr_assert_eq(fs_safetensors_parse(b.data, b.size, "x", &file), FS_ERR_FORMAT);
    cr_assert_not_null(strstr(fs_error_text(), "'?[31m?\?'"), "%s", fs_error_text());
    bytes_free(&b);
}

Test(container, long_path_keeps_its_end_in_messages) {
    char path[3000];
    memset(path, 'd', sizeof path);
    strcpy(path + sizeof path - 20, "/model.safetensors");
    fs_safetensors file;
    cr_assert_eq(fs_safetensors_open(path, &file), FS_ERR_IO);
    cr_assert_not_null(strstr(fs_error_text(), "d/model.safetensors'"), "%s", fs_error_text());
    cr_assert_lt(strlen(fs_error_text()), 600);
}

Test(container, absent_file_is_an_io_error) {
    fs_safetensors file;
    cr_assert_eq(fs_safetensors_open("/nonexistent/model.safetensors", &file), FS_ERR_IO);
    cr_assert_not_null(strstr(fs_error_text(), "/nonexistent/model.safetensors"));
    cr_assert_not_null(strstr(fs_error_text(), "No such file"));
    cr_assert_eq(fs_safetensors_open("", &file), FS_ERR_IO);
}

Test(container, unreadable_file_is_an_io_error) {
    if (geteuid() == 0) cr_skip_test("root reads every file");
    char folder[64], path[128];
    test_folder(folder);
    snprintf(path, sizeof path, "%s/m", folder);
    test_write(path, "x", 1);
    chmod(path, 0);
    fs_safetensors file;
    cr_assert_eq(fs_safetensors_open(path, &file), FS_ERR_IO);
    test_folder_remove(folder);
}

Test(container, folder_and_fifo_are_io_errors) {
    char folder[64], path[128];
    test_folder(folder);
    snprintf(path, sizeof path, "%s/fifo", folder);
    cr_assert_eq(mkfifo(path, 0600), 0);
    fs_safetensors file;
    cr_assert_eq(fs_safetensors_open(folder, &file), FS_ERR_IO);
    cr_assert_not_null(strstr(fs_error_text(), "not a regular file"), "%s", fs_error_text());
    cr_assert_eq(fs_safetensors_open(path, &file), FS_ERR_IO);
    test_folder_remove(folder);
}

Test(container, file_and_memory_read_the_same) {
    bytes b = bytes_from_header(small_header, 11);
    for (size_t i = b.size - 11; i < b.size; i++) b.data[i] = (uint8_t)i;
    char folder[64], path[128];
    test_folder(folder);
    snprintf(path, sizeof path, "%s/small", folder);
    test_write(path, b.data, b.size);
    fs_safetensors mapped, parsed;
    cr_assert_eq(fs_safetensors_open(path, &mapped), FS_OK, "%s", fs_error_text());
    cr_assert_eq(fs_safetensors_parse(b.data, b.size, "small", &parsed), FS_OK);
    cr_assert_eq(mapped.tensor_count, 2);
    for (size_t i = 0; i < 2; i++) {
        cr_assert_str_eq(mapped.tensors[i].name, parsed.tensors[i].name);
        size_t size = (size_t)(parsed.tensors[i].end - parsed.tensors[i].begin);
        cr_assert_eq(memcmp(mapped.tensors[i].data, parsed.tensors[i].data, size), 0);
    }
    fs_safetensors_close(&mapped);
    fs_safetensors_close(&parsed);
    fs_safetensors_close(&parsed);
    cr_assert_eq(fs_mem_live_blocks(), 0);
    bytes_free(&b);
    test_folder_remove(folder);
}
