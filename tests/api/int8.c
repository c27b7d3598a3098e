// Tests of int8 through the public API: calibrators and their misuse, what int8 and AUTO make of a file.
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "cpu/kernels/kernels.h"
#include "fastscnn/fastscnn.h"
#include "runtime/base/mem.h"
#include "tests/weights/files.h"

enum { SIDE = 64 };

static char folder[64], plain[128], made[128];
static uint8_t pixels[SIDE * SIDE * 3];

static void write_model(const char *path, const char *key, const char *value) {
    test_file file = test_file_paper();
    if (key) test_file_meta(&file, key, value);
    bytes b = test_file_bytes(&file);
    test_write(path, b.data, b.size);
    bytes_free(&b);
    test_file_free(&file);
}

static void setup(void) {
    test_folder(folder);
    snprintf(plain, sizeof plain, "%s/plain.safetensors", folder);
    snprintf(made, sizeof made, "%s/made.safetensors", folder);
    write_model(plain, NULL, NULL);
    for (size_t i = 0; i < sizeof pixels; i++) pixels[i] = (uint8_t)(i * 7 + i / 190);
}

static void teardown(void) {
    test_folder_remove(folder);
    cr_expect_eq(fs_mem_live_blocks(), 0, "%zu blocks leaked", fs_mem_live_blocks());
}

TestSuite(api_int8, .init = setup, .fini = teardown);

static void expect(fscnn_status got, fscnn_status want, const char *says) {
    cr_expect_eq((int)got, (int)want, "%s, not %s: %s", fscnn_status_name(got), fscnn_status_name(want), fscnn_error());
    if (want != FSCNN_OK) cr_expect(strstr(fscnn_error(), says), "'%s' does not say '%s'", fscnn_error(), says);
}

static fscnn_status open_as(const char *path, fscnn_precision precision, const char *kernels, fscnn_engine **engine) {
    fscnn_engine_options o;
    fscnn_engine_options_init(&o);
    o.precision = precision, o.backend = FSCNN_BACKEND_CPU, o.kernels = kernels;
    return fscnn_engine_open(path, &o, engine);
}

static fscnn_precision precision_of(fscnn_engine *engine) {
    fscnn_engine_info info;
    fscnn_engine_info_init(&info);
    cr_assert_eq(fscnn_engine_get_info(engine, &info), FSCNN_OK);
    return info.precision;
}

Test(api_int8, a_calibrated_copy_runs) {
    fscnn_calibrator *c = NULL;
    cr_assert_eq(fscnn_calibrator_open(plain, &c), FSCNN_OK, "%s", fscnn_error());
    cr_expect_eq(fscnn_calibrator_channels(c), 3);
    fscnn_calibrated_layer layer;
    fscnn_calibrated_layer_init(&layer);
    expect(fscnn_calibrator_get_layer(c, 0, &layer), FSCNN_ERR_STATE, "calibration on nothing");
    expect(fscnn_calibrator_save(c, 1e9, made), FSCNN_ERR_STATE, "calibration on nothing");

    fscnn_frame frame;
    fscnn_frame_init(&frame, FSCNN_BGR8, SIDE, SIDE, pixels);
    expect(fscnn_calibrator_add(c, &frame), FSCNN_ERR_ARGUMENT, "RGB8");
    fscnn_frame_init(&frame, FSCNN_RGB8, SIDE, SIDE - 1, pixels);
    expect(fscnn_calibrator_add(c, &frame), FSCNN_ERR_ARGUMENT, "63x64");
    fscnn_frame_init(&frame, FSCNN_RGB8, SIDE, SIDE, pixels);
    frame.stride[0] = 3;
    expect(fscnn_calibrator_add(c, &frame), FSCNN_ERR_ARGUMENT, "stride");
    frame.stride[0] = 0;
    expect(fscnn_calibrator_add(c, &frame), FSCNN_OK, "");
    expect(fscnn_calibrator_add(c, NULL), FSCNN_ERR_ARGUMENT, "NULL");
    expect(fscnn_calibrator_add(NULL, &frame), FSCNN_ERR_ARGUMENT, "NULL");

    int candidates = 0;
    for (int i = 0; i < 45; i++) {
        cr_assert_eq(fscnn_calibrator_get_layer(c, i, &layer), FSCNN_OK);
        cr_expect(!layer.candidate || (layer.scale > 0 && layer.error >= 0 && layer.zero >= 0 && layer.zero <= 255));
        candidates += layer.candidate;
    }
    cr_expect_eq(candidates, 24);
    expect(fscnn_calibrator_get_layer(c, 45, &layer), FSCNN_ERR_ARGUMENT, "45");
    expect(fscnn_calibrator_get_layer(c, -1, &layer), FSCNN_ERR_ARGUMENT, "-1");
    expect(fscnn_calibrator_save(c, 1e-12, made), FSCNN_ERR_STATE, "nothing would run in int8");
    expect(fscnn_calibrator_save(c, 0, made), FSCNN_ERR_ARGUMENT, "max_error");
    expect(fscnn_calibrator_save(c, 1e9, "/nowhere/x.safetensors"), FSCNN_ERR_IO, "/nowhere/x.safetensors");
    expect(fscnn_calibrator_save(c, 1e9, made), FSCNN_OK, "");
    fscnn_calibrator_close(&c);
    cr_expect_null(c);
    fscnn_calibrator_close(&c);

    fscnn_engine *engine = NULL;
    if (!fs_kernels_select(NULL)->int8_dot) {
        expect(open_as(made, FSCNN_PRECISION_INT8, NULL, &engine), FSCNN_ERR_UNSUPPORTED, "int8");
        cr_skip_test("this processor has no AVX-512 VNNI: int8 was only refused");
    }
    expect(open_as(made, FSCNN_PRECISION_INT8, "onednn", &engine), FSCNN_ERR_UNSUPPORTED, "onednn");
    cr_assert_eq(open_as(made, FSCNN_PRECISION_INT8, NULL, &engine), FSCNN_OK, "%s", fscnn_error());
    cr_expect_eq(precision_of(engine), FSCNN_PRECISION_INT8);
    fscnn_engine_info info;
    fscnn_engine_info_init(&info);
    cr_assert_eq(fscnn_engine_get_info(engine, &info), FSCNN_OK);
    cr_expect(info.int8_layers == 24 && info.int8_here == 0 && info.int8_passed[0] == '\0');
    fscnn_session_options o;
    fscnn_session_options_init(&o);
    o.width = o.height = SIDE, o.threads = 1, o.tune = -1;
    fscnn_session *session = NULL;
    cr_assert_eq(fscnn_session_open(engine, &o, &session), FSCNN_OK, "%s", fscnn_error());
    uint8_t labels[SIDE * SIDE];
    fscnn_outputs outputs;
    fscnn_outputs_init(&outputs);
    outputs.labels = labels;
    expect(fscnn_run(session, &frame, &outputs), FSCNN_OK, "");
    fscnn_session_close(&session);
    fscnn_engine_close(&engine);
}

Test(api_int8, calibrators_refuse_what_is_no_file) {
    fscnn_calibrator *c = NULL;
    expect(fscnn_calibrator_open("random:1", &c), FSCNN_ERR_ARGUMENT, "random:1");
    expect(fscnn_calibrator_open("/nowhere/x.safetensors", &c), FSCNN_ERR_IO, "/nowhere/x.safetensors");
    expect(fscnn_calibrator_open(NULL, &c), FSCNN_ERR_ARGUMENT, "NULL");
    expect(fscnn_calibrator_open(plain, NULL), FSCNN_ERR_ARGUMENT, "NULL");
    cr_expect_null(c);
}

Test(api_int8, without_scales_int8_says_how_to_calibrate) {
    if (!fs_kernels_select(NULL)->int8_dot) cr_skip_test("this processor has no AVX-512 VNNI");
    fscnn_engine *engine = NULL;
    expect(open_as(plain, FSCNN_PRECISION_INT8, NULL, &engine), FSCNN_ERR_WEIGHTS, "fastscnn calibrate");
    cr_expect(strstr(fscnn_error(), "plain.safetensors"), "%s", fscnn_error());
    expect(open_as("random:1", FSCNN_PRECISION_INT8, NULL, &engine), FSCNN_ERR_WEIGHTS, "random:1");
    cr_expect_null(engine);
}

Test(api_int8, auto_takes_int8_only_where_it_was_admitted) {
    const fs_kernels *k = fs_kernels_select(NULL);
    char list[64];
    const struct {
        const char *format;
        bool admits;
    } lists[] = {{"%s", true},     {"other,%s", true}, {"%s,other", true},
                 {"other", false}, {"%sx", false},     {"x%s", false}};
    for (size_t i = 0; i < sizeof lists / sizeof *lists; i++) {
        test_file file = test_file_paper();
        snprintf(list, sizeof list, lists[i].format, k->name);
        test_file_meta(&file, "fastscnn.int8.gfe.b1.0.expand", "0.05,128");
        test_file_meta(&file, "fastscnn.int8.passed", list);
        bytes b = test_file_bytes(&file);
        test_write(made, b.data, b.size);
        bytes_free(&b);
        test_file_free(&file);
        fscnn_engine *engine = NULL;
        cr_assert_eq(open_as(made, FSCNN_PRECISION_AUTO, NULL, &engine), FSCNN_OK, "%s", fscnn_error());
        cr_expect_eq(precision_of(engine) == FSCNN_PRECISION_INT8, lists[i].admits && k->int8_dot, "'%s'", list);
        fscnn_engine_info info;
        fscnn_engine_info_init(&info);
        cr_assert_eq(fscnn_engine_get_info(engine, &info), FSCNN_OK);
        cr_expect_eq(info.int8_here, lists[i].admits && k->int8_dot, "'%s'", list);
        cr_expect_eq(info.int8_layers, 1);
        cr_expect_str_eq(info.int8_passed, list);
        fscnn_engine_close(&engine);
    }
    // Scales alone admit nothing, and neither does an admission without scales.
    fscnn_engine *engine = NULL;
    write_model(made, "fastscnn.int8.gfe.b1.0.expand", "0.05,128");
    cr_assert_eq(open_as(made, FSCNN_PRECISION_AUTO, NULL, &engine), FSCNN_OK);
    cr_expect_neq(precision_of(engine), FSCNN_PRECISION_INT8);
    fscnn_engine_close(&engine);
    write_model(made, "fastscnn.int8.passed", k->name);
    cr_assert_eq(open_as(made, FSCNN_PRECISION_AUTO, NULL, &engine), FSCNN_OK);
    cr_expect_neq(precision_of(engine), FSCNN_PRECISION_INT8);
    fscnn_engine_close(&engine);
}

Test(api_int8, corrupt_scales_name_file_and_key) {
    write_model(made, "fastscnn.int8.gfe.b1.0.expand", "much");
    fscnn_engine *engine = NULL;
    expect(open_as(made, FSCNN_PRECISION_FP32, NULL, &engine), FSCNN_ERR_WEIGHTS, "fastscnn.int8.gfe.b1.0.expand");
    cr_expect(strstr(fscnn_error(), "made.safetensors"), "%s", fscnn_error());
    cr_expect_null(engine);
}
