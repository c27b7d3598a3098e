// Tests of what the metadata says: variant, switches, mean and std, class names, colours.
#include <criterion/criterion.h>
#include <criterion/parameterized.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/base/mem.h"
#include "tests/weights/files.h"
#include "weights/labels.h"
#include "weights/weights.h"

TestSuite(metadata);

static fs_status parse(const test_file *file, fs_weights *weights, fs_labels *labels) {
    bytes b = test_file_bytes(file);
    fs_status status = fs_weights_parse(b.data, b.size, "meta.safetensors", weights, labels);
    bytes_free(&b);
    return status;
}

Test(metadata, none_means_paper_with_imagenet_mean_and_std) {
    test_file file = test_file_paper();
    fs_weights weights;
    fs_labels labels;
    cr_assert_eq(parse(&file, &weights, &labels), FS_OK, "%s", fs_error_text());
    fs_model paper;
    fs_model_init(&paper, FS_PAPER);
    cr_assert_eq(memcmp(&weights.model.mean, &paper.mean, sizeof paper.mean), 0);
    cr_assert_eq(weights.model.variant, FS_PAPER);
    cr_assert_str_eq(labels.name[0], "road");
    cr_assert_str_eq(labels.name[18], "bicycle");
    cr_assert_eq(memcmp(labels.palette[13], "\0\0\x8e", 3), 0);
    fs_weights_free(&weights);
    test_file_free(&file);
}

Test(metadata, overrides_apply_after_the_variant) {
    test_file file = test_file_paper();
    test_file_meta(&file, "fastscnn.align_final", "0");
    test_file_meta(&file, "fastscnn.stem_pad", "same");
    test_file_meta(&file, "fastscnn.bn_epsilon", "0.001");
    test_file_meta(&file, "fastscnn.variant", "tramac");
    fs_weights weights;
    cr_assert_eq(parse(&file, &weights, NULL), FS_OK, "%s", fs_error_text());
    cr_assert_eq(weights.model.variant, FS_TRAMAC);
    cr_assert_eq(weights.model.stem_pad, FS_STEM_PAD_SAME);
    cr_assert(weights.model.dsconv_mid_relu && weights.model.align_ppm && weights.model.align_ffm);
    cr_assert_not(weights.model.align_final);
    cr_assert_eq(weights.model.bn_epsilon, 0.001f);
    fs_weights_free(&weights);
    test_file_free(&file);
}

Test(metadata, unknown_keys_are_ignored) {
    test_file file = test_file_paper();
    test_file_meta(&file, "format", "pt");
    test_file_meta(&file, "fastscnn.trained_on", "something");
    test_file_meta(&file, "stem_pad", "nonsense");
    fs_weights weights;
    cr_assert_eq(parse(&file, &weights, NULL), FS_OK, "%s", fs_error_text());
    fs_weights_free(&weights);
    test_file_free(&file);
}

Test(metadata, mean_and_std_are_read) {
    test_file file = test_file_paper();
    test_file_meta(&file, "fastscnn.mean", "0.1, 0.25 ,3e-1");
    test_file_meta(&file, "fastscnn.std", "1,0.5,.25");
    fs_weights weights;
    cr_assert_eq(parse(&file, &weights, NULL), FS_OK, "%s", fs_error_text());
    const float mean[] = {0.1f, 0.25f, 0.3f}, std[] = {1, 0.5f, 0.25f};
    cr_assert_eq(memcmp(weights.model.mean, mean, sizeof mean), 0);
    cr_assert_eq(memcmp(weights.model.std, std, sizeof std), 0);
    fs_weights_free(&weights);
    test_file_free(&file);
}

Test(metadata, fourth_channel_has_a_default_and_an_override) {
    fs_model model;
    fs_model_init(&model, FS_PAPER);
    model.channels = 4;
    test_file file = test_file_model(&model);
    test_file_meta(&file, "fastscnn.mean", "0.1,0.2,0.3");
    test_file_meta(&file, "fastscnn.std", "0.1,0.2,0.3,0.225");
    fs_weights weights;
    cr_assert_eq(parse(&file, &weights, NULL), FS_OK, "%s", fs_error_text());
    cr_assert_eq(weights.model.mean[2], 0.3f);
    cr_assert_eq(weights.model.mean[3], 0.4f);
    cr_assert_eq(weights.model.std[3], 0.225f);
    fs_weights_free(&weights);
    test_file_free(&file);
}

typedef struct meta_case {
    const char *key, *value, *fragment;
} meta_case;

static const meta_case bad_values[] = {
    {"fastscnn.variant", "icnet", "paper, tramac, mmseg, paddleseg or leftthomas"},
    {"fastscnn.variant", "", "unknown model variant ''"},
    {"fastscnn.stem_pad", "2", "none, one or same"},
    {"fastscnn.align_ppm", "true", "0 or 1"},
    {"fastscnn.bn_epsilon", "tiny", "a number from 0 to 1"},
    {"fastscnn.mean", "", "give 3 numbers"},
    {"fastscnn.mean", "0.5", "give 3 numbers"},
    {"fastscnn.mean", "0.5,0.5", "give 3 numbers"},
    {"fastscnn.mean", "0.5,0.5,0.5,0.5", "give 3 numbers"},
    {"fastscnn.mean", "0.5,0.5,0.5,", "give 3 numbers"},
    {"fastscnn.mean", "0.5,0.5,0.5,0.5,0.5", "give 3 numbers"},
    {"fastscnn.mean", "0.5;0.5;0.5", "give 3 numbers"},
    {"fastscnn.mean", "0.5,nan,0.5", "give 3 numbers"},
    {"fastscnn.mean", "0.5,1e30,0.5", "give 3 numbers"},
    {"fastscnn.std", "0.2,0,0.2", "std of input channel 1"},
    {"fastscnn.std", "0.2,0.2,-1", "std of input channel 2"},
    {"fastscnn.std", "1e-50,1,1", "std of input channel 0"},
    {"fastscnn.classes", "", "names 1 classes and the network has 19"},
    {"fastscnn.classes", "a,b", "names 2 classes"},
    {"fastscnn.classes", "a,b,c,d,e,f,g,,i,j,k,l,m,n,o,p,q,r,s", "name 7 is empty"},
    {"fastscnn.classes", "a,b,c,d,e,f,g, ,i,j,k,l,m,n,o,p,q,r,s", "name 7 is empty"},
    {"fastscnn.classes", "a,b\\n,c,d,e,f,g,h,i,j,k,l,m,n,o,p,q,r,s", "name 1 has a control character"},
    {"fastscnn.palette", "000000", "has 1 colours"},
    {"fastscnn.palette", "0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18", "colour 0 is not RRGGBB"},
    {"fastscnn.palette",
     "000000,000000,000000,000000,000000,000000,000000,000000,000000,000000,000000,000000,000000,000000,000000,000000,"
     "000000,000000,00000g",
     "colour 18 is not RRGGBB"},
};

ParameterizedTestParameters(metadata, bad_value) {
    size_t count = sizeof bad_values / sizeof bad_values[0];
    int *index = cr_malloc(count * sizeof *index);
    for (size_t i = 0; i < count; i++) index[i] = (int)i;
    return cr_make_param_array(int, index, count);
}

ParameterizedTest(int *index, metadata, bad_value) {
    const meta_case *c = &bad_values[*index];
    test_file file = test_file_paper();
    test_file_meta(&file, c->key, c->value);
    fs_weights weights;
    cr_assert_eq(parse(&file, &weights, NULL), FS_ERR_WEIGHTS);
    cr_assert_not_null(strstr(fs_error_text(), c->fragment), "%s", fs_error_text());
    cr_assert_not_null(strstr(fs_error_text(), "meta.safetensors"), "%s", fs_error_text());
    cr_assert_eq(fs_mem_live_blocks(), 0);
    test_file_free(&file);
}

Test(metadata, long_class_name_is_cut_between_characters) {
    fs_labels labels;
    char names[200];
    memset(names, 'x', 62);
    strcpy(names + 62, "\xc3\xa9\xc3\xa9,b"); // two bytes that straddle the limit of 63
    cr_assert_eq(fs_labels_parse(2, names, NULL, &labels), FS_OK, "%s", fs_error_text());
    cr_assert_eq(strlen(labels.name[0]), 62);
    cr_assert_str_eq(labels.name[1], "b");
}

Test(metadata, names_and_palette_are_read) {
    fs_labels labels;
    cr_assert_eq(fs_labels_parse(3,
                                 " sky ,r\xc3\xb6"
                                 "ad, tree line",
                                 "#0a0B0c, ffffff ,000001", &labels),
                 FS_OK);
    cr_assert_eq(labels.classes, 3);
    cr_assert_str_eq(labels.name[0], "sky");
    cr_assert_str_eq(labels.name[1], "r\xc3\xb6"
                                     "ad");
    cr_assert_str_eq(labels.name[2], "tree line");
    cr_assert_eq(memcmp(labels.palette[0], "\x0a\x0b\x0c", 3), 0);
    cr_assert_eq(memcmp(labels.palette[1], "\xff\xff\xff", 3), 0);
    cr_assert_eq(memcmp(labels.palette[2], "\0\0\1", 3), 0);
}

Test(metadata, failed_labels_touch_nothing) {
    fs_labels labels, before;
    memset(&labels, 0x5a, sizeof labels);
    before = labels;
    cr_assert_eq(fs_labels_parse(2, "a,b", "000000,xyz", &labels), FS_ERR_WEIGHTS);
    cr_assert_eq(memcmp(&labels, &before, sizeof labels), 0);
}

Test(metadata, eleven_nameless_classes_are_camvid) {
    fs_labels labels;
    fs_labels_default(11, &labels);
    cr_assert_str_eq(labels.name[0], "sky");
    cr_assert_str_eq(labels.name[10], "bicyclist");
    cr_assert_eq(memcmp(labels.palette[3], "\x80\x40\x80", 3), 0);
    // With names of their own they are some other set.
    cr_assert_eq(fs_labels_parse(11, "a,b,c,d,e,f,g,h,i,j,k", NULL, &labels), FS_OK);
    cr_assert_eq(memcmp(labels.palette[0], "\xff\0\0", 3), 0);
}

static int class_counts[] = {2, 3, 5, 12, 18, 20, 64, 254, 255};

ParameterizedTestParameters(metadata, default_colours_are_distinct) {
    return cr_make_param_array(int, class_counts, sizeof class_counts / sizeof class_counts[0]);
}

ParameterizedTest(int *classes, metadata, default_colours_are_distinct) {
    fs_labels labels;
    fs_labels_default(*classes, &labels);
    cr_assert_eq(labels.classes, *classes);
    for (int i = 0; i < *classes; i++) {
        char name[64];
        snprintf(name, sizeof name, "class %d", i);
        cr_assert_str_eq(labels.name[i], name);
        for (int k = 0; k < i; k++) cr_assert_neq(memcmp(labels.palette[i], labels.palette[k], 3), 0, "%d %d", i, k);
    }
}
