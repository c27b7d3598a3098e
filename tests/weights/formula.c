// Tests of the weights by formula: pinned bits, and the same bits from weights/formula.py.
#include <criterion/criterion.h>
#include <criterion/parameterized.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/base/mem.h"
#include "tests/weights/files.h"
#include "weights/weights.h"

TestSuite(formula);

static uint64_t digest(const fs_weights *weights) {
    fs_layer layers[FS_LAYERS];
    fs_model_layers(&weights->model, layers);
    uint64_t hash = 0xCBF29CE484222325u;
    for (int i = 0; i < FS_LAYERS; i++) {
        long count = fs_layer_weight_count(&layers[i]);
        for (long k = 0; k < count + layers[i].out_channels; k++) {
            float value = k < count ? weights->layer[i].weight[k] : weights->layer[i].bias[k - count];
            uint32_t bits;
            memcpy(&bits, &value, sizeof bits);
            hash = (hash ^ bits) * 0x100000001B3u;
        }
    }
    return hash;
}

typedef struct formula_case {
    int variant, classes, channels;
    uint64_t seed;
    uint64_t digest;
} formula_case;

static formula_case cases[] = {
    {FS_PAPER, 19, 3, 1, 0xf1824464bba90eea},           {FS_TRAMAC, 19, 3, 2, 0xf17c810d832ddf20},
    {FS_MMSEG, 19, 3, 3, 0x1c6774c5bda2601d},           {FS_PADDLESEG, 19, 3, 0, 0x27344bad8e2ca245},
    {FS_LEFTTHOMAS, 11, 3, 5, 0xe69128c98c839208},      {FS_PAPER, 5, 4, 1, 0x8756bbc901b821e1},
    {FS_PAPER, 255, 3, UINT64_MAX, 0x2e6aca6085466335},
};

static void make(const formula_case *c, fs_weights *weights, fs_labels *labels) {
    fs_model model;
    fs_model_init(&model, (fs_variant)c->variant);
    model.classes = c->classes;
    model.channels = c->channels;
    cr_assert_eq(fs_weights_random(&model, c->seed, weights, labels), FS_OK, "%s", fs_error_text());
    cr_assert_eq(memcmp(&weights->model, &model, sizeof model), 0);
}

ParameterizedTestParameters(formula, bits_are_pinned) {
    return cr_make_param_array(formula_case, cases, sizeof cases / sizeof cases[0]);
}

ParameterizedTest(formula_case *c, formula, bits_are_pinned) {
    fs_weights weights;
    fs_labels labels;
    make(c, &weights, &labels);
    cr_assert_eq(labels.classes, c->classes);
    cr_assert_eq(digest(&weights), c->digest, "%d %d %d: 0x%016llx", c->variant, c->classes, c->channels,
                 (unsigned long long)digest(&weights));
    cr_assert_eq(fs_mem_live_blocks(), 1);
    fs_weights_free(&weights);
}

ParameterizedTestParameters(formula, python_gives_the_same_bits) {
    return cr_make_param_array(formula_case, cases, sizeof cases / sizeof cases[0]);
}

ParameterizedTest(formula_case *c, formula, python_gives_the_same_bits) {
    if (system("python3 -c 'import numpy' >/dev/null 2>&1") != 0) {
        fprintf(stderr, "SKIP: python3 with numpy is not installed\n");
        cr_skip_test("python3 with numpy is not installed");
    }
    char folder[64], path[128], command[600];
    test_folder(folder);
    snprintf(path, sizeof path, "%s/formula.safetensors", folder);
    snprintf(command, sizeof command,
             "python3 '%s/weights/formula.py' --variant %s --classes %d --channels %d --seed %llu -o %s", FS_SOURCE_DIR,
             fs_variant_name((fs_variant)c->variant), c->classes, c->channels, (unsigned long long)c->seed, path);
    cr_assert_eq(system(command), 0, "%s", command);
    fs_weights loaded, made;
    fs_labels labels, made_labels;
    cr_assert_eq(fs_weights_load(path, &loaded, &labels), FS_OK, "%s", fs_error_text());
    make(c, &made, &made_labels);
    cr_assert_eq(memcmp(&loaded.model, &made.model, sizeof made.model), 0);
    cr_assert_eq(memcmp(&labels, &made_labels, sizeof labels), 0);
    cr_assert_eq(digest(&loaded), digest(&made));
    fs_weights_free(&loaded);
    fs_weights_free(&made);
    test_folder_remove(folder);
}

Test(formula, seeds_and_tensors_differ) {
    fs_weights a, b;
    make(&(formula_case){FS_PAPER, 19, 3, 1, 0}, &a, NULL);
    make(&(formula_case){FS_PAPER, 19, 3, 2, 0}, &b, NULL);
    cr_assert_neq(memcmp(a.layer[0].weight, b.layer[0].weight, 864 * 4), 0);
    cr_assert_neq(memcmp(a.layer[FS_L_PPM].weight, a.layer[FS_L_PPM + 1].weight, 4096 * 4), 0);
    fs_weights_free(&a);
    fs_weights_free(&b);
}

// Classes and channels do not disturb the other layers: each tensor has its own key.
Test(formula, layers_do_not_depend_on_each_other) {
    fs_weights a, b;
    make(&(formula_case){FS_PAPER, 19, 3, 1, 0}, &a, NULL);
    make(&(formula_case){FS_TRAMAC, 7, 4, 1, 0}, &b, NULL);
    cr_assert_eq(memcmp(a.layer[FS_L_GFE].weight, b.layer[FS_L_GFE].weight, 64 * 384 * 4), 0);
    fs_weights_free(&a);
    fs_weights_free(&b);
}

Test(formula, bad_model_is_refused) {
    fs_model model;
    fs_model_init(&model, FS_PAPER);
    model.classes = 1;
    fs_weights weights;
    cr_assert_eq(fs_weights_random(&model, 1, &weights, NULL), FS_ERR_ARGUMENT);
    cr_assert_eq(fs_mem_live_blocks(), 0);
}
