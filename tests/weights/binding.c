// Tests of binding: whatever does not fit is listed, all at once, and nothing is written.
#include <criterion/criterion.h>
#include <criterion/parameterized.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/base/mem.h"
#include "tests/weights/files.h"
#include "weights/weights.h"

TestSuite(binding);

// Parses `file`, expects failure with untouched outputs and every fragment of the NULL-terminated list in the text.
static void expect_refused(const test_file *file, fs_status status, const char *const *fragments) {
    bytes b = test_file_bytes(file);
    fs_weights weights, weights_before;
    fs_labels labels, labels_before;
    memset(&weights, 0x5a, sizeof weights);
    memset(&labels, 0x5a, sizeof labels);
    weights_before = weights;
    labels_before = labels;
    fs_status got = fs_weights_parse(b.data, b.size, "bent.safetensors", &weights, &labels);
    cr_assert_eq(got, status, "status %d: %s", got, fs_error_text());
    cr_assert_eq(memcmp(&weights, &weights_before, sizeof weights), 0);
    cr_assert_eq(memcmp(&labels, &labels_before, sizeof labels), 0);
    cr_assert_not_null(strstr(fs_error_text(), "bent.safetensors"), "%s", fs_error_text());
    for (; *fragments != NULL; fragments++)
        cr_assert_not_null(strstr(fs_error_text(), *fragments), "'%s' is not in: %s", *fragments, fs_error_text());
    cr_assert_eq(fs_mem_live_blocks(), 0);
    bytes_free(&b);
}

#define REFUSED(file, ...) expect_refused(file, FS_ERR_WEIGHTS, (const char *const[]){__VA_ARGS__, NULL})

static void expect_accepted(const test_file *file, fs_weights *weights, fs_labels *labels) {
    bytes b = test_file_bytes(file);
    cr_assert_eq(fs_weights_parse(b.data, b.size, "good.safetensors", weights, labels), FS_OK, "%s", fs_error_text());
    bytes_free(&b); // the weights must not point into it
}

typedef struct shape_of_model {
    int variant, channels, classes;
} shape_of_model;

static shape_of_model models[] = {{FS_PAPER, 3, 19},  {FS_PAPER, 4, 5},  {FS_PAPER, 3, 2},      {FS_PAPER, 3, 255},
                                  {FS_TRAMAC, 3, 19}, {FS_MMSEG, 3, 19}, {FS_PADDLESEG, 4, 12}, {FS_LEFTTHOMAS, 3, 11}};

ParameterizedTestParameters(binding, counts_are_inferred) {
    return cr_make_param_array(shape_of_model, models, sizeof models / sizeof models[0]);
}

ParameterizedTest(shape_of_model *m, binding, counts_are_inferred) {
    fs_model model;
    fs_model_init(&model, (fs_variant)m->variant);
    model.channels = m->channels;
    model.classes = m->classes;
    test_file file = test_file_model(&model);
    test_file_meta(&file, "fastscnn.variant", fs_variant_name(model.variant));
    fs_weights weights;
    fs_labels labels;
    expect_accepted(&file, &weights, &labels);
    cr_assert_eq(weights.model.variant, model.variant);
    cr_assert_eq(weights.model.channels, m->channels);
    cr_assert_eq(weights.model.classes, m->classes);
    cr_assert_eq(labels.classes, m->classes);
    cr_assert_eq(weights.model.ppm_out_kernel, model.ppm_out_kernel);
    cr_assert_eq(weights.model.mean[3], 0.4f);
    cr_assert_eq(fs_mem_live_blocks(), 1);
    fs_weights_free(&weights);
    test_file_free(&file);
}

Test(binding, labels_are_optional) {
    test_file file = test_file_paper();
    fs_weights weights;
    expect_accepted(&file, &weights, NULL);
    fs_weights_free(&weights);
    test_file_free(&file);
}

Test(binding, one_missing_tensor_is_named) {
    test_file file = test_file_paper();
    test_file_remove(&file, "gfe.b2.1.dw.bn.running_var");
    REFUSED(&file, "1 missing", "missing gfe.b2.1.dw.bn.running_var", "paper network");
    test_file_free(&file);
}

// Each part of a layer is required.
static const char *const required[] = {"ltd.conv.conv.weight",       "ltd.conv.bn.weight",     "ppm.6.bn.bias",
                                       "ppm.out.bn.running_mean",    "ffm.low.dw.conv.weight", "ffm.low.pw.bn.weight",
                                       "ffm.high.pw.bn.running_var", "cls.conv.conv.weight",   "cls.conv.conv.bias"};

ParameterizedTestParameters(binding, required_tensor) {
    size_t count = sizeof required / sizeof required[0];
    int *index = cr_malloc(count * sizeof *index);
    for (size_t i = 0; i < count; i++) index[i] = (int)i;
    return cr_make_param_array(int, index, count);
}

ParameterizedTest(int *index, binding, required_tensor) {
    test_file file = test_file_paper();
    test_file_remove(&file, required[*index]);
    char line[100];
    snprintf(line, sizeof line, "missing %s", required[*index]);
    REFUSED(&file, "tensors 1 missing;", line);
    test_file_free(&file);
}

Test(binding, empty_file_lists_twenty_and_counts_the_rest) {
    test_file file = {0};
    REFUSED(&file, "222 missing", "missing ltd.conv.conv.weight", "and 202 more");
    const char *text = fs_error_text();
    int lines = 0;
    for (const char *c = text; (c = strstr(c, "\n  missing")) != NULL; c++) lines++;
    cr_assert_eq(lines, 20);
}

Test(binding, every_kind_of_problem_is_reported_at_once) {
    test_file file = test_file_paper();
    test_file_remove(&file, "ltd.ds1.dw.conv.weight");
    test_file_add(&file, "head.extra", "F32", 4, 1, (uint64_t[]){3});
    test_file_find(&file, "ltd.ds1.pw.conv.weight")->shape[0] = 32;
    test_file_find(&file, "ltd.ds1.pw.conv.weight")->shape[1] = 48;
    test_file_find(&file, "ltd.conv.bn.bias")->dtype = "I32";
    test_tensor_floats(test_file_find(&file, "ppm.3.conv.weight"))[77] = NAN;
    REFUSED(&file, "1 missing, 1 extra, 1 mis-shaped, 1 of a wrong dtype, 1 with bad values",
            "missing ltd.ds1.dw.conv.weight", "extra head.extra",
            "ltd.ds1.pw.conv.weight is [32,48,1,1], expected [48,32,1,1]",
            "ltd.conv.bn.bias is I32: use F32, F16 or BF16", "ppm.3.conv.weight[77] is nan: not finite");
    test_file_free(&file);
}

Test(binding, many_long_names_still_leave_a_whole_message) {
    test_file file = test_file_paper();
    for (int i = 0; i < 100; i++) {
        char name[260];
        memset(name, 'n', sizeof name);
        snprintf(name + 240, 20, "%d", i);
        test_file_add(&file, name, "F32", 4, 1, (uint64_t[]){1});
    }
    REFUSED(&file, "100 extra", "extra nnnn", " more");
    cr_assert_lt(strlen(fs_error_text()), 2047);
    test_file_free(&file);
}

Test(binding, infinities_count_as_bad_values) {
    test_file file = test_file_paper();
    test_tensor_floats(test_file_find(&file, "ltd.conv.conv.weight"))[0] = INFINITY;
    test_tensor_floats(test_file_find(&file, "cls.conv.conv.bias"))[18] = -INFINITY;
    REFUSED(&file, "2 with bad values", "ltd.conv.conv.weight[0] is inf", "cls.conv.conv.bias[18] is -inf");
    test_file_free(&file);
}

Test(binding, negative_variance_is_refused) {
    test_file file = test_file_paper();
    test_tensor_floats(test_file_find(&file, "gfe.b1.0.dw.bn.running_var"))[383] = -1e-9f;
    REFUSED(&file, "gfe.b1.0.dw.bn.running_var[383]", "negative variance");
    test_file_free(&file);
}

Test(binding, zero_variance_needs_an_epsilon) {
    test_file file = test_file_paper();
    test_tensor_floats(test_file_find(&file, "ltd.conv.bn.running_var"))[3] = 0;
    fs_weights weights;
    expect_accepted(&file, &weights, NULL);
    fs_weights_free(&weights);
    test_file_meta(&file, "fastscnn.bn_epsilon", "0");
    REFUSED(&file, "ltd.conv.bn.running_var[3]", "without an epsilon");
    test_file_free(&file);
}

Test(binding, fold_that_overflows_is_refused) {
    test_file file = test_file_paper();
    test_tensor_floats(test_file_find(&file, "ltd.conv.bn.weight"))[0] = 3e38f;
    test_tensor_floats(test_file_find(&file, "ltd.conv.bn.running_var"))[0] = 0;
    REFUSED(&file, "layer ltd.conv overflows");
    test_file_free(&file);
}

Test(binding, num_batches_tracked_is_ignored) {
    test_file file = test_file_paper();
    test_file_add(&file, "ltd.conv.bn.num_batches_tracked", "I64", 8, 0, NULL);
    test_file_add(&file, "auxlayer.1.num_batches_tracked", "Q3", 8, 0, NULL);
    fs_weights weights;
    expect_accepted(&file, &weights, NULL);
    fs_weights_free(&weights);
    test_file_free(&file);
}

Test(binding, unknown_dtype_is_an_error_for_a_used_tensor) {
    test_file file = test_file_paper();
    test_file_find(&file, "ltd.conv.bn.weight")->dtype = "F24";
    REFUSED(&file, "ltd.conv.bn.weight is F24: use F32, F16 or BF16");
    test_file_free(&file);
}

Test(binding, doubles_are_refused) {
    test_file file = test_file_paper();
    test_file_remove(&file, "cls.conv.conv.bias");
    test_file_add(&file, "cls.conv.conv.bias", "F64", 8, 1, (uint64_t[]){19});
    REFUSED(&file, "cls.conv.conv.bias is F64");
    test_file_free(&file);
}

Test(binding, batch_norm_on_the_last_layer_is_extra) {
    test_file file = test_file_paper();
    test_file_add(&file, "cls.conv.bn.weight", "F32", 4, 1, (uint64_t[]){19});
    REFUSED(&file, "1 extra", "extra cls.conv.bn.weight");
    test_file_free(&file);
}

static void strip_batch_norm(test_file *file, const char *layer) {
    char name[64];
    const char *const parts[] = {"weight", "bias", "running_mean", "running_var"};
    for (int i = 0; i < 4; i++) {
        snprintf(name, sizeof name, "%s.bn.%s", layer, parts[i]);
        test_file_remove(file, name);
    }
}

Test(binding, fusion_branches_may_have_a_bias_instead_of_batch_norm) {
    test_file file = test_file_paper();
    strip_batch_norm(&file, "ffm.low.pw");
    strip_batch_norm(&file, "ffm.high.pw");
    REFUSED(&file, "8 missing", "missing ffm.low.pw.bn.weight", "missing ffm.high.pw.bn.running_var");
    float *low = test_tensor_floats(test_file_add(&file, "ffm.low.pw.conv.bias", "F32", 4, 1, (uint64_t[]){128}));
    low[5] = 0.75f;
    test_file_add(&file, "ffm.high.pw.conv.bias", "F32", 4, 1, (uint64_t[]){128});
    fs_weights weights;
    expect_accepted(&file, &weights, NULL);
    cr_assert_eq(weights.layer[FS_L_FFM_LOW_PW].bias[5], 0.75f);
    const float *source = test_tensor_floats(test_file_find(&file, "ffm.low.pw.conv.weight"));
    cr_assert_eq(weights.layer[FS_L_FFM_LOW_PW].weight[2 * 128 + 7], source[7 * 128 + 2]);
    fs_weights_free(&weights);
    test_file_free(&file);
}

Test(binding, half_a_batch_norm_is_missing_the_other_half) {
    test_file file = test_file_paper();
    test_file_add(&file, "ffm.low.pw.conv.bias", "F32", 4, 1, (uint64_t[]){128});
    test_file_remove(&file, "ffm.low.pw.bn.running_var");
    REFUSED(&file, "1 missing", "missing ffm.low.pw.bn.running_var");
    test_file_free(&file);
}

Test(binding, other_layers_need_batch_norm_even_with_a_bias) {
    test_file file = test_file_paper();
    test_file_add(&file, "ppm.out.conv.bias", "F32", 4, 1, (uint64_t[]){128});
    strip_batch_norm(&file, "ppm.out");
    REFUSED(&file, "4 missing", "missing ppm.out.bn.weight");
    test_file_free(&file);
}

Test(binding, three_by_three_pyramid_output_names_the_metadata_to_set) {
    fs_model model;
    fs_model_init(&model, FS_MMSEG);
    test_file file = test_file_model(&model);
    REFUSED(&file, "ppm.out.conv.weight is [128,256,3,3], expected [128,256,1,1]", "fastscnn.variant", "mmseg",
            "ppm_out_kernel");
    test_file_meta(&file, "fastscnn.ppm_out_kernel", "3");
    fs_weights weights;
    expect_accepted(&file, &weights, NULL);
    fs_weights_free(&weights);
    test_file_free(&file);
}

Test(binding, too_many_classes_are_named) {
    test_file file = test_file_paper();
    test_file_remove(&file, "cls.conv.conv.weight");
    test_file_remove(&file, "cls.conv.conv.bias");
    test_file_add(&file, "cls.conv.conv.weight", "F32", 4, 4, (uint64_t[]){256, 128, 1, 1});
    test_file_add(&file, "cls.conv.conv.bias", "F32", 4, 1, (uint64_t[]){256});
    REFUSED(&file, "cls.conv.conv.weight is [256,128,1,1], expected [2..255,128,1,1]");
    test_file_free(&file);
}

Test(binding, five_input_channels_are_named) {
    test_file file = test_file_paper();
    test_file_remove(&file, "ltd.conv.conv.weight");
    test_file_add(&file, "ltd.conv.conv.weight", "F32", 4, 4, (uint64_t[]){32, 5, 3, 3});
    REFUSED(&file, "ltd.conv.conv.weight is [32,5,3,3], expected [32,3 or 4,3,3]");
    test_file_free(&file);
}

Test(binding, wrong_ranks_and_zero_sizes_are_mis_shaped) {
    test_file file = test_file_paper();
    test_tensor *t = test_file_find(&file, "cls.conv.conv.weight");
    t->rank = 2;
    test_file_find(&file, "ltd.conv.bn.weight")->shape[0] = 0;
    test_file_find(&file, "ltd.conv.bn.weight")->size = 0;
    test_file_find(&file, "ltd.conv.bn.bias")->rank = 0;
    test_file_find(&file, "ltd.conv.bn.bias")->size = 4;
    t = test_file_find(&file, "ltd.conv.bn.running_mean");
    t->rank = 2;
    t->shape[1] = 1;
    REFUSED(&file, "4 mis-shaped", "cls.conv.conv.weight is [19,128], expected [19,128,1,1]",
            "ltd.conv.bn.weight is [0], expected [32]", "ltd.conv.bn.bias is [], expected [32]",
            "ltd.conv.bn.running_mean is [32,1], expected [32]");
    test_file_free(&file);
}

Test(binding, huge_dimensions_fit_the_message) {
    test_file file = test_file_paper();
    test_tensor *t = test_file_add(&file, "ltd.conv.conv.bias", "F32", 4, 1, (uint64_t[]){0});
    t->rank = 8;
    t->shape[0] = 0;
    for (int i = 1; i < 8; i++) t->shape[i] = i == 1 ? UINT64_MAX : 1;
    t->shape[2] = UINT64_MAX;
    t->shape[1] = 0; // the product stays zero without overflow
    REFUSED(&file, "1 mis-shaped", "ltd.conv.conv.bias is [0,0,18446744073709551615");
    test_file_free(&file);
}

Test(binding, names_of_a_framework_point_to_the_converter) {
    test_file file = {0};
    test_file_add(&file, "learning_to_downsample.conv.conv.0.weight", "F32", 4, 4, (uint64_t[]){32, 3, 3, 3});
    REFUSED(&file, "weights/convert.py IN -o OUT.safetensors");
    test_file_free(&file);
}

Test(binding, labels_and_scores_file_is_no_model) {
    test_file file = {0};
    test_file_add(&file, "labels", "U8", 1, 2, (uint64_t[]){4, 4});
    REFUSED(&file, "222 missing, 1 extra", "extra labels", "and 203 more");
    test_file_free(&file);
}

Test(binding, load_reads_a_file_and_names_it) {
    test_file file = test_file_paper();
    bytes b = test_file_bytes(&file);
    char folder[64], path[128];
    test_folder(folder);
    snprintf(path, sizeof path, "%s/model.safetensors", folder);
    test_write(path, b.data, b.size);
    fs_weights loaded, parsed;
    fs_labels labels;
    cr_assert_eq(fs_weights_load(path, &loaded, &labels), FS_OK, "%s", fs_error_text());
    cr_assert_eq(fs_weights_parse(b.data, b.size, "memory", &parsed, NULL), FS_OK);
    fs_layer layers[FS_LAYERS];
    fs_model_layers(&loaded.model, layers);
    for (int i = 0; i < FS_LAYERS; i++)
        cr_assert_eq(memcmp(loaded.layer[i].weight, parsed.layer[i].weight,
                            (size_t)fs_layer_weight_count(&layers[i]) * sizeof(float)),
                     0);
    fs_weights_free(&loaded);
    fs_weights_free(&parsed);
    test_write(path, b.data, b.size - 1);
    cr_assert_eq(fs_weights_load(path, &loaded, &labels), FS_ERR_FORMAT);
    cr_assert_not_null(strstr(fs_error_text(), path));
    cr_assert_not_null(strstr(fs_error_text(), "truncated"));
    bytes_free(&b);
    test_file_free(&file);
    test_folder_remove(folder);
}

Test(binding, order_of_tensors_does_not_matter) {
    test_file file = test_file_paper();
    fs_weights forward, backward;
    expect_accepted(&file, &forward, NULL);
    for (int i = 0; i < file.count / 2; i++) {
        test_tensor t = file.tensor[i];
        file.tensor[i] = file.tensor[file.count - 1 - i];
        file.tensor[file.count - 1 - i] = t;
    }
    expect_accepted(&file, &backward, NULL);
    cr_assert_eq(memcmp(forward.layer[FS_L_PPM_OUT].weight, backward.layer[FS_L_PPM_OUT].weight, 128 * 256 * 4), 0);
    fs_weights_free(&forward);
    fs_weights_free(&backward);
    test_file_free(&file);
}

Test(binding, data_at_an_odd_address_reads_the_same) {
    test_file file = test_file_paper();
    bytes b = test_file_bytes(&file);
    uint8_t *odd = malloc(b.size + 8);
    fs_weights plain, shifted;
    cr_assert_eq(fs_weights_parse(b.data, b.size, "plain", &plain, NULL), FS_OK);
    for (size_t shift = 1; shift < 4; shift++) {
        memcpy(odd + shift, b.data, b.size);
        cr_assert_eq(fs_weights_parse(odd + shift, b.size, "odd", &shifted, NULL), FS_OK);
        cr_assert_eq(memcmp(plain.layer[FS_L_STEM].weight, shifted.layer[FS_L_STEM].weight, 864 * 4), 0);
        fs_weights_free(&shifted);
    }
    fs_weights_free(&plain);
    free(odd);
    bytes_free(&b);
    test_file_free(&file);
}
