// Tests of what calibration leaves in a file: scales read, unsound ones refused by name, a copy that holds the rest.
#include <criterion/criterion.h>
#include <criterion/parameterized.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/base/mem.h"
#include "tests/weights/files.h"
#include "weights/quant.h"

TestSuite(int8_metadata);

static fs_status parse(const test_file *file, fs_weights *weights) {
    bytes b = test_file_bytes(file);
    fs_status status = fs_weights_parse(b.data, b.size, "meta.safetensors", weights, NULL);
    bytes_free(&b);
    return status;
}

Test(int8_metadata, scales_are_read) {
    test_file file = test_file_paper();
    test_file_meta(&file, "fastscnn.int8.gfe.b1.0.expand", "0.0625,131");
    test_file_meta(&file, "fastscnn.int8.ffm.low.pw", "1e-3,0");
    test_file_meta(&file, "fastscnn.int8.ffm.high.pw", "2,255");
    test_file_meta(&file, "fastscnn.int8.passed", "avx512vnni,avx512bf16");
    fs_weights weights;
    cr_assert_eq(parse(&file, &weights), FS_OK, "%s", fs_error_text());
    const fs_quant *q = &weights.int8[FS_L_GFE_AT(0, 0, 0)];
    cr_expect(q->scale == 0.0625f && q->zero == 131);
    cr_expect(weights.int8[FS_L_FFM_LOW_PW].scale == 0.001f && weights.int8[FS_L_FFM_HIGH_PW].zero == 255);
    cr_expect(weights.int8[FS_L_CLS_DS1_PW].scale == 0);
    cr_expect_str_eq(weights.int8_passed, "avx512vnni,avx512bf16");
    cr_expect(fs_weights_calibrated(&weights));
    fs_weights_free(&weights);
    test_file_free(&file);
}

Test(int8_metadata, a_file_without_scales_is_not_calibrated) {
    test_file file = test_file_paper();
    fs_weights weights;
    cr_assert_eq(parse(&file, &weights), FS_OK, "%s", fs_error_text());
    cr_expect(!fs_weights_calibrated(&weights) && weights.int8_passed[0] == '\0');
    fs_weights_free(&weights);
    test_file_free(&file);
}

typedef struct bad_case {
    char key[40], value[140], says[60];
} bad_case;

static bad_case bad[] = {
    {"gfe.b1.0.expand", "", "a scale above zero"},
    {"gfe.b1.0.expand", "0.1", "a scale above zero"},
    {"gfe.b1.0.expand", "0,3", "a scale above zero"},
    {"gfe.b1.0.expand", "-0.1,3", "a scale above zero"},
    {"gfe.b1.0.expand", "nan,3", "a scale above zero"},
    {"gfe.b1.0.expand", "1e31,3", "a scale above zero"},
    {"gfe.b1.0.expand", "1e-31,3", "a scale above zero"},
    {"gfe.b1.0.expand", "0.1,256", "a scale above zero"},
    {"gfe.b1.0.expand", "0.1,-1", "a scale above zero"},
    {"gfe.b1.0.expand", "0.1,2.5", "a scale above zero"},
    {"gfe.b1.0.expand", "0.1,3 ", "a scale above zero"},
    {"gfe.b1.0.expand", "0.1,3,4", "a scale above zero"},
    {"gfe.b1.0.dw", "0.1,3", "does not run in int8"},
    {"cls.conv", "0.1,3", "does not run in int8"},
    {"gfe.b1.3.expand", "0.1,3", "no such layer"},
    {"", "0.1,3", "no such layer"},
    {"ffm.low.pw", "0.1,3", "go together"},
    {"passed", "avx512 vnni", "names of machine kinds"},
    {"passed",
     "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
     "aaaaaaa"
     "aaaaaaaa",
     "names of machine kinds"},
};

ParameterizedTestParameters(int8_metadata, unsound_scales_name_file_and_key) {
    return cr_make_param_array(bad_case, bad, sizeof bad / sizeof *bad);
}
ParameterizedTest(bad_case *c, int8_metadata, unsound_scales_name_file_and_key) {
    test_file file = test_file_paper();
    char key[80];
    snprintf(key, sizeof key, "fastscnn.int8.%s", c->key);
    test_file_meta(&file, key, c->value);
    fs_weights weights = {.block = NULL};
    cr_expect_eq(parse(&file, &weights), FS_ERR_WEIGHTS, "%s = '%s'", c->key, c->value);
    const char *text = fs_error_text();
    cr_expect(strstr(text, "meta.safetensors") && strstr(text, key) && strstr(text, c->says) &&
                  strstr(text, "calibrate"),
              "%s", text);
    cr_expect_null(weights.block, "outputs touched");
    test_file_free(&file);
}

Test(int8_metadata, a_copy_holds_the_rest_and_new_scales) {
    char folder[64], in[128], out[128];
    test_folder(folder);
    snprintf(in, sizeof in, "%s/in.safetensors", folder);
    snprintf(out, sizeof out, "%s/out.safetensors", folder);
    test_file file = test_file_paper();
    test_file_meta(&file, "fastscnn.mean", "0.5,0.25,0.125");
    test_file_meta(&file, "note", "caf\xc3\xa9 \\\"quoted\\\" \\n");
    test_file_meta(&file, "fastscnn.int8.cls.ds1.pw", "9,9");
    test_file_meta(&file, "fastscnn.int8.passed", "avx512bf16");
    bytes b = test_file_bytes(&file);
    test_write(in, b.data, b.size);
    bytes_free(&b);
    test_file_free(&file);
    fs_quant quant[FS_LAYERS] = {{0, 0}};
    quant[FS_L_GFE_AT(1, 2, 2)] = (fs_quant){0.012345678f, 77};
    cr_assert_eq(fs_quant_save(in, quant, out), FS_OK, "%s", fs_error_text());
    fs_weights before, after;
    cr_assert_eq(fs_weights_load(in, &before, NULL), FS_OK, "%s", fs_error_text());
    cr_assert_eq(fs_weights_load(out, &after, NULL), FS_OK, "%s", fs_error_text());
    cr_expect(memcmp(quant, after.int8, sizeof quant) == 0, "scales come back to the bit, old ones are gone");
    cr_expect_str_eq(after.int8_passed, "", "a new calibration is not admitted by the old one");
    cr_expect_eq(memcmp(&before.model, &after.model, sizeof after.model), 0);
    for (int i = 0; i < FS_LAYERS; i++) cr_expect_eq(before.layer[i].weight[0], after.layer[i].weight[0]);
    fs_safetensors one, two;
    cr_assert_eq(fs_safetensors_open(in, &one), FS_OK);
    cr_assert_eq(fs_safetensors_open(out, &two), FS_OK);
    cr_expect_str_eq(fs_safetensors_get(&one, "note"), fs_safetensors_get(&two, "note"));
    cr_expect_eq(one.tensor_count, two.tensor_count);
    for (size_t i = 0; i < one.tensor_count; i++) {
        const fs_file_tensor *t = &one.tensors[i], *u = &two.tensors[i];
        cr_expect_str_eq(t->name, u->name);
        cr_expect(t->end - t->begin == u->end - u->begin && memcmp(t->data, u->data, t->end - t->begin) == 0, "%s",
                  t->name);
    }
    fs_safetensors_close(&one), fs_safetensors_close(&two);
    // Onto itself, and where nothing can be written.
    cr_expect_eq(fs_quant_save(out, quant, out), FS_OK, "%s", fs_error_text());
    cr_expect_eq(fs_quant_save(out, quant, "/nowhere/at/all.safetensors"), FS_ERR_IO);
    cr_expect(strstr(fs_error_text(), "/nowhere/at/all.safetensors"), "%s", fs_error_text());
    fs_weights_free(&before), fs_weights_free(&after);
    test_folder_remove(folder);
}
