// Out of memory at each allocation in turn, once and from then on: right status, no leak, outputs untouched, usable
// after.
#include <criterion/criterion.h>
#include <criterion/parameterized.h>
#include <stdio.h>
#include <string.h>

#include "runtime/base/mem.h"
#include "tests/weights/files.h"
#include "weights/weights.h"

TestSuite(memory);

enum { PARSE, LOAD, RANDOM, REFUSE, WAYS };

typedef struct fault_case {
    int way;
    bool sticky;
} fault_case;

static fault_case faults[] = {{PARSE, false},  {PARSE, true},  {LOAD, false},   {LOAD, true},
                              {RANDOM, false}, {RANDOM, true}, {REFUSE, false}, {REFUSE, true}};

static fs_status attempt(int way, const bytes *b, const char *path, fs_weights *weights, fs_labels *labels) {
    if (way == LOAD) return fs_weights_load(path, weights, labels);
    if (way != RANDOM) return fs_weights_parse(b->data, b->size, "memory.safetensors", weights, labels);
    fs_model model;
    fs_model_init(&model, FS_PAPER);
    return fs_weights_random(&model, 1, weights, labels);
}

ParameterizedTestParameters(memory, each_allocation_fails) {
    return cr_make_param_array(fault_case, faults, sizeof faults / sizeof faults[0]);
}

ParameterizedTest(fault_case *c, memory, each_allocation_fails) {
    test_file file = test_file_paper();
    for (int i = 0; i < 40; i++) { // enough metadata that its array grows
        char key[16];
        snprintf(key, sizeof key, "k%d", i);
        test_file_meta(&file, key, "v");
    }
    if (c->way == REFUSE) test_file_remove(&file, "ppm.1.conv.weight");
    for (int i = 0; i < 300; i++) { // and that the array of tensors does
        char name[64];
        snprintf(name, sizeof name, "x%d.num_batches_tracked", i);
        test_file_add(&file, name, "I64", 8, 0, NULL);
    }
    bytes b = test_file_bytes(&file);
    char folder[64], path[128];
    test_folder(folder);
    snprintf(path, sizeof path, "%s/model.safetensors", folder);
    test_write(path, b.data, b.size);

    fs_weights weights, weights_before;
    fs_labels labels, labels_before;
    memset(&weights, 0x5a, sizeof weights);
    memset(&labels, 0x5a, sizeof labels);
    weights_before = weights;
    labels_before = labels;
    uint64_t n = 1;
    for (;; n++) {
        fs_mem_fail_at(n, c->sticky);
        fs_status status = attempt(c->way, &b, path, &weights, &labels);
        bool fired = fs_mem_fault_fired();
        fs_mem_fail_at(0, false);
        if (!fired) {
            cr_assert_eq(status, c->way == REFUSE ? FS_ERR_WEIGHTS : FS_OK, "%s", fs_error_text());
            break;
        }
        cr_assert_eq(status, FS_ERR_MEMORY, "allocation %d: status %d: %s", (int)n, status, fs_error_text());
        cr_assert_not_null(strstr(fs_error_text(), "out of memory"), "%s", fs_error_text());
        if (c->way != RANDOM) cr_assert_not_null(strstr(fs_error_text(), ".safetensors"), "%s", fs_error_text());
        cr_assert_eq(memcmp(&weights, &weights_before, sizeof weights), 0, "allocation %d", (int)n);
        cr_assert_eq(memcmp(&labels, &labels_before, sizeof labels), 0, "allocation %d", (int)n);
        cr_assert_eq(fs_mem_live_blocks(), 0, "allocation %d", (int)n);
    }
    cr_assert_geq(n, c->way == RANDOM ? 3 : 9, "only %d allocations were tried", (int)n - 1);
    if (c->way != REFUSE) fs_weights_free(&weights);
    cr_assert_eq(fs_mem_live_blocks(), 0);
    cr_assert_eq(fs_mem_live_bytes(), 0);
    bytes_free(&b);
    test_file_free(&file);
    test_folder_remove(folder);
}
