// Tests over the shared checkpoints, where there are any.
#include <criterion/criterion.h>
#include <criterion/parameterized.h>
#include <stdio.h>
#include <string.h>

#include "tests/data.h"
#include "weights/weights.h"

TestSuite(shared);

typedef struct checkpoint {
    char path[48];
    int channels, classes;
} checkpoint;

static checkpoint checkpoints[] = {{"golden/paper-19c3ch.safetensors", 3, 19},
                                   {"golden/paper-12c3ch.safetensors", 3, 12},
                                   {"golden/paper-5c4ch.safetensors", 4, 5},
                                   {"weights/camvid11.safetensors", 3, 11}};

ParameterizedTestParameters(shared, checkpoint_loads) {
    return cr_make_param_array(checkpoint, checkpoints, sizeof checkpoints / sizeof checkpoints[0]);
}

ParameterizedTest(checkpoint *c, shared, checkpoint_loads) {
    const char *folder = fs_test_data();
    if (folder == NULL) cr_skip_test("no shared test data");
    char path[4096];
    snprintf(path, sizeof path, "%s/%s", folder, c->path);
    fs_weights weights;
    fs_labels labels;
    cr_assert_eq(fs_weights_load(path, &weights, &labels), FS_OK, "%s", fs_error_text());
    cr_assert_eq(weights.model.variant, FS_PAPER);
    cr_assert_eq(weights.model.channels, c->channels);
    cr_assert_eq(weights.model.classes, c->classes);
    if (c->classes == 11) {
        cr_assert_str_eq(labels.name[4], "pavement");
        cr_assert_eq(memcmp(labels.palette[4], "\x3c\x28\xde", 3), 0);
    }
    fs_weights_free(&weights);
}

typedef struct refused {
    char path[64], fragment[40];
    int status;
} refused;

static refused refusals[] = {
    {"golden/tramac-19c3ch.pth", "weights/convert.py IN", FS_ERR_FORMAT},
    {"golden/mmseg-19c3ch.pth", "weights/convert.py IN", FS_ERR_FORMAT},
    {"golden/paddleseg-19c3ch.pdparams", "weights/convert.py IN", FS_ERR_FORMAT},
    {"golden/input-256x512x3.png", "of another kind", FS_ERR_FORMAT},
    {"golden/paper-12c3ch-256x512.expected.safetensors", "222 missing, 3 extra", FS_ERR_WEIGHTS},
};

ParameterizedTestParameters(shared, other_files_are_refused) {
    return cr_make_param_array(refused, refusals, sizeof refusals / sizeof refusals[0]);
}

ParameterizedTest(refused *r, shared, other_files_are_refused) {
    const char *folder = fs_test_data();
    if (folder == NULL) cr_skip_test("no shared test data");
    char path[4096];
    snprintf(path, sizeof path, "%s/%s", folder, r->path);
    fs_weights weights;
    cr_assert_eq((int)fs_weights_load(path, &weights, NULL), r->status);
    cr_assert_not_null(strstr(fs_error_text(), r->fragment), "%s", fs_error_text());
}
