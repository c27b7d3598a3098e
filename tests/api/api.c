// Tests of the public API: what it answers, and what every misuse gets: its documented status, words, untouched
// outputs.
#include <criterion/criterion.h>
#include <criterion/parameterized.h>
#include <math.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fastscnn/fastscnn.h"
#include "runtime/base/mem.h"
#include "tests/weights/files.h"

enum { SIDE = 64, PIXELS = SIDE * SIDE, CLASSES = 19 };

static fscnn_engine *engine;
static fscnn_session *session;
static _Alignas(16) uint8_t pixels[PIXELS * 4];
static uint8_t labels[PIXELS];
static float logits[PIXELS * CLASSES];

static fscnn_session *open_session(int side, int in_flight) {
    fscnn_session_options o;
    fscnn_session_options_init(&o);
    o.width = o.height = side, o.threads = 1, o.in_flight = in_flight, o.tune = -1;
    fscnn_session *s = NULL;
    cr_assert_eq(fscnn_session_open(engine, &o, &s), FSCNN_OK, "%s", fscnn_error());
    return s;
}

static void open_both(void) {
    fscnn_engine_options o;
    fscnn_engine_options_init(&o);
    o.precision = FSCNN_PRECISION_FP32;
    cr_assert_eq(fscnn_engine_open("random:1", &o, &engine), FSCNN_OK, "%s", fscnn_error());
    session = open_session(SIDE, 2);
    for (int i = 0; i < PIXELS * 4; i++) pixels[i] = (uint8_t)(i * 7 + i / 190);
    memset(labels, 0xee, sizeof labels);
    memset(logits, 0xee, sizeof logits);
}

static void close_both(void) {
    fscnn_session_close(&session);
    fscnn_engine_close(&engine);
    cr_expect_eq(fs_mem_live_blocks(), 0, "%zu blocks leaked", fs_mem_live_blocks());
}

// Puts a text of its own into fscnn_error(), so that a failure without words is noticed.
static void forget_error(void) {
    fscnn_backend_query(FSCNN_BACKEND_CPU, NULL);
}

// A failure has its status and says something, with `fragment` in it.
static void expect_failure(fscnn_status got, fscnn_status want, const char *fragment, const char *what) {
    cr_expect_eq((int)got, (int)want, "%s: status %s, not %s (%s)", what, fscnn_status_name(got),
                 fscnn_status_name(want), fscnn_error());
    cr_expect_neq(strstr(fscnn_error(), fragment), NULL, "%s: '%s' does not say '%s'", what, fscnn_error(), fragment);
    cr_expect_eq(strstr(fscnn_error(), "fscnn_backend_query: info is NULL"), NULL, "%s: no words", what);
    forget_error();
}

static fscnn_frame good_frame(void) {
    fscnn_frame frame;
    fscnn_frame_init(&frame, FSCNN_RGB8, SIDE, SIDE, pixels);
    return frame;
}

static fscnn_outputs good_outputs(void) {
    fscnn_outputs outputs;
    fscnn_outputs_init(&outputs);
    outputs.labels = labels, outputs.logits = logits;
    return outputs;
}

static size_t touched(const void *data, size_t size) {
    size_t n = 0;
    for (size_t i = 0; i < size; i++) n += ((const uint8_t *)data)[i] != 0xee;
    return n;
}

// ---- Small answers -------------------------------------------------------------------------------------------------

TestSuite(api, .init = open_both, .fini = close_both);

Test(api, version) {
    char text[32];
    snprintf(text, sizeof text, "%d.%d.%d", FSCNN_VERSION_MAJOR, FSCNN_VERSION_MINOR, FSCNN_VERSION_PATCH);
    cr_expect_str_eq(fscnn_version_string(), text);
}

Test(api, status_names) {
    static const fscnn_status all[] = {FSCNN_OK,          FSCNN_ERR_ARGUMENT,  FSCNN_ERR_STATE,   FSCNN_ERR_UNSUPPORTED,
                                       FSCNN_ERR_TIMEOUT, FSCNN_ERR_CANCELLED, FSCNN_ERR_IO,      FSCNN_ERR_FORMAT,
                                       FSCNN_ERR_WEIGHTS, FSCNN_ERR_LIMIT,     FSCNN_ERR_MEMORY,  FSCNN_ERR_SYSTEM,
                                       FSCNN_ERR_DEVICE,  FSCNN_ERR_BACKEND,   FSCNN_ERR_INTERNAL};
    static const int numbers[] = {0, 1, 2, 3, 4, 5, 10, 11, 12, 13, 20, 21, 30, 31, 40};
    for (int i = 0; i < 15; i++) {
        cr_expect_eq((int)all[i], numbers[i], "statuses are pinned");
        cr_assert_not_null(fscnn_status_name(all[i]));
        for (int j = 0; j < i; j++) cr_expect_str_neq(fscnn_status_name(all[i]), fscnn_status_name(all[j]));
    }
    cr_expect_not_null(fscnn_status_name((fscnn_status)99));
    cr_expect_not_null(fscnn_status_name((fscnn_status)-1));
}

Test(api, class_names_and_colours) {
    cr_expect_str_eq(fscnn_engine_class_name(engine, 0), "road");
    cr_expect_str_eq(fscnn_engine_class_name(engine, 18), "bicycle");
    cr_expect_null(fscnn_engine_class_name(engine, -1));
    cr_expect_null(fscnn_engine_class_name(engine, 19));
    cr_expect_null(fscnn_engine_class_name(engine, INT32_MAX));
    cr_expect_null(fscnn_engine_class_name(engine, INT32_MIN));
    cr_expect_null(fscnn_engine_class_name(NULL, 0));
    uint8_t rgb[4] = {1, 2, 3, 4};
    expect_failure(fscnn_engine_class_color(engine, 19, rgb), FSCNN_ERR_ARGUMENT, "19", "class 19");
    expect_failure(fscnn_engine_class_color(engine, -1, rgb), FSCNN_ERR_ARGUMENT, "-1", "class -1");
    expect_failure(fscnn_engine_class_color(NULL, 0, rgb), FSCNN_ERR_ARGUMENT, "", "no engine");
    expect_failure(fscnn_engine_class_color(engine, 0, NULL), FSCNN_ERR_ARGUMENT, "", "no colour");
    cr_expect_arr_eq(rgb, ((uint8_t[4]){1, 2, 3, 4}), 4);
    cr_expect_eq(fscnn_engine_class_color(engine, 0, rgb), FSCNN_OK);
    cr_expect_arr_eq(rgb, ((uint8_t[4]){128, 64, 128, 4}), 4);
}

Test(api, engine_info) {
    fscnn_engine_info info;
    fscnn_engine_info_init(&info);
    cr_assert_eq(fscnn_engine_get_info(engine, &info), FSCNN_OK, "%s", fscnn_error());
    cr_expect_eq(info.struct_size, sizeof info);
    cr_expect_eq((int)info.backend, FSCNN_BACKEND_CPU);
    cr_expect_eq((int)info.precision, FSCNN_PRECISION_FP32);
    cr_expect(info.channels == 3 && info.classes == CLASSES);
    cr_expect_str_eq(info.variant, "paper");
    cr_expect_gt(strlen(info.device), 0);
    cr_expect(info.int8_layers == 0 && info.int8_here == 0 && info.int8_passed[0] == '\0');
    cr_expect(info.weights_bytes > 3000000 && info.weights_bytes < 20000000, "%llu",
              (unsigned long long)info.weights_bytes);
    expect_failure(fscnn_engine_get_info(NULL, &info), FSCNN_ERR_ARGUMENT, "NULL", "no engine");
    expect_failure(fscnn_engine_get_info(engine, NULL), FSCNN_ERR_ARGUMENT, "NULL", "no info");
}

// An older caller's shorter struct gets as much as it has room for, a newer one's tail stays.
Test(api, info_structs_of_other_sizes) {
    struct {
        fscnn_engine_info info;
        uint8_t tail[64];
    } wide;
    memset(&wide, 0xee, sizeof wide);
    wide.info.struct_size = sizeof wide;
    cr_assert_eq(fscnn_engine_get_info(engine, &wide.info), FSCNN_OK, "%s", fscnn_error());
    cr_expect_eq(wide.info.struct_size, sizeof wide);
    cr_expect_eq(wide.info.classes, CLASSES);
    cr_expect_eq(touched(wide.tail, sizeof wide.tail), 0);
    memset(&wide, 0xee, sizeof wide);
    wide.info.struct_size = offsetof(fscnn_engine_info, classes);
    cr_assert_eq(fscnn_engine_get_info(engine, &wide.info), FSCNN_OK, "%s", fscnn_error());
    cr_expect_eq(wide.info.channels, 3);
    cr_expect_eq(touched(&wide.info.classes, sizeof wide - offsetof(fscnn_engine_info, classes)), 0);
    static const uint32_t bad[] = {0, 1, 3, 4097, UINT32_MAX};
    for (int i = 0; i < 5; i++) {
        memset(&wide, 0xee, sizeof wide);
        wide.info.struct_size = bad[i];
        expect_failure(fscnn_engine_get_info(engine, &wide.info), FSCNN_ERR_ARGUMENT, "_init", "engine info");
        fscnn_session_info s;
        memset(&s, 0xee, sizeof s);
        s.struct_size = bad[i];
        expect_failure(fscnn_session_get_info(session, &s), FSCNN_ERR_ARGUMENT, "_init", "session info");
        fscnn_backend_info b;
        memset(&b, 0xee, sizeof b);
        b.struct_size = bad[i];
        expect_failure(fscnn_backend_query(FSCNN_BACKEND_CPU, &b), FSCNN_ERR_ARGUMENT, "_init", "backend info");
        cr_expect_eq(touched((uint8_t *)&wide + 4, sizeof wide - 4), 0);
        cr_expect_eq(touched((uint8_t *)&s + 4, sizeof s - 4), 0);
        cr_expect_eq(touched((uint8_t *)&b + 4, sizeof b - 4), 0);
    }
}

Test(api, backend_query) {
    fscnn_backend_info info;
    fscnn_backend_info_init(&info);
    cr_assert_eq(fscnn_backend_query(FSCNN_BACKEND_CPU, &info), FSCNN_OK, "%s", fscnn_error());
    cr_expect_eq(info.usable, 1);
    cr_expect(info.device[0] && info.detail[0]);
    fscnn_backend_info_init(&info);
    cr_assert_eq(fscnn_backend_query(FSCNN_BACKEND_CUDA, &info), FSCNN_OK, "%s", fscnn_error());
    cr_expect(info.usable || info.detail[0], "an absent backend says why");
    memset((uint8_t *)&info + 4, 0xee, sizeof info - 4);
    expect_failure(fscnn_backend_query(FSCNN_BACKEND_AUTO, &info), FSCNN_ERR_ARGUMENT, "CPU", "auto");
    expect_failure(fscnn_backend_query((fscnn_backend)3, &info), FSCNN_ERR_ARGUMENT, "CPU", "backend 3");
    expect_failure(fscnn_backend_query((fscnn_backend)-1, &info), FSCNN_ERR_ARGUMENT, "CPU", "backend -1");
    cr_expect_eq(touched((uint8_t *)&info + 4, sizeof info - 4), 0);
    cr_expect_eq(fscnn_backend_query(FSCNN_BACKEND_CPU, NULL), FSCNN_ERR_ARGUMENT);
}

Test(api, inits_accept_null_and_set_the_size) {
    fscnn_engine_options_init(NULL);
    fscnn_engine_info_init(NULL);
    fscnn_session_options_init(NULL);
    fscnn_session_info_init(NULL);
    fscnn_outputs_init(NULL);
    fscnn_backend_info_init(NULL);
    fscnn_frame_init(NULL, FSCNN_RGB8, 1, 1, pixels);
    fscnn_frame frame;
    memset(&frame, 0xee, sizeof frame);
    fscnn_frame_init(&frame, FSCNN_BGRA8, 12, 34, pixels);
    cr_expect(frame.struct_size == sizeof frame && frame.format == FSCNN_BGRA8 && frame.width == 12 &&
              frame.height == 34 && frame.plane[0] == pixels && frame.plane[1] == NULL && frame.stride[0] == 0 &&
              frame.memory == FSCNN_MEMORY_HOST);
    fscnn_session_options options;
    memset(&options, 0xee, sizeof options);
    fscnn_session_options_init(&options);
    cr_expect(options.struct_size == sizeof options && options.width == 0 && options.tune == 0);
}

// ---- Engines -------------------------------------------------------------------------------------------------------

typedef struct seed_case {
    char text[48];
} seed_case;
static seed_case bad_seeds[] = {{"random:"},    {"random:x"},   {"random:-1"},
                                {"random:+1"},  {"random: 1"},  {"random:1 "},
                                {"random:0x1"}, {"random:1.5"}, {"random:99999999999999999999999"}};
ParameterizedTestParameters(api_engine, bad_seeds) {
    return cr_make_param_array(seed_case, bad_seeds, sizeof bad_seeds / sizeof bad_seeds[0]);
}
ParameterizedTest(seed_case *c, api_engine, bad_seeds) {
    fscnn_engine *e = (fscnn_engine *)&labels;
    expect_failure(fscnn_engine_open(c->text, NULL, &e), FSCNN_ERR_ARGUMENT, "random:SEED", c->text);
    cr_expect_eq((void *)e, (void *)&labels);
    cr_expect_eq(fs_mem_live_blocks(), 0);
}

Test(api_engine, good_seeds) {
    static const char *const good[] = {"random:0", "random:007", "random:18446744073709551615"};
    for (int i = 0; i < 3; i++) {
        fscnn_engine *e = NULL;
        cr_expect_eq(fscnn_engine_open(good[i], NULL, &e), FSCNN_OK, "%s: %s", good[i], fscnn_error());
        fscnn_engine_close(&e);
        cr_expect_null(e);
    }
    cr_expect_eq(fs_mem_live_blocks(), 0);
}

typedef struct engine_case {
    char what[24];
    int backend, precision;
    char fusion[24], kernels[16];
    uint32_t struct_size; // 0: right
    fscnn_status want;
    char fragment[24];
} engine_case;
static engine_case engine_cases[] = {
    {"backend 3", 3, 0, "", "", 0, FSCNN_ERR_ARGUMENT, "backend 3"},
    {"backend -1", -1, 0, "", "", 0, FSCNN_ERR_ARGUMENT, "backend -1"},
    {"precision 5", 0, 5, "", "", 0, FSCNN_ERR_ARGUMENT, "precision 5"},
    {"precision -1", 0, -1, "", "", 0, FSCNN_ERR_ARGUMENT, "precision -1"},
    {"fp16 on the CPU", 1, FSCNN_PRECISION_FP16, "", "", 0, FSCNN_ERR_UNSUPPORTED, "fp16"},
    {"unknown fusion", 0, 0, "bogus", "", 0, FSCNN_ERR_ARGUMENT, "bottleneck"},
    {"second unknown", 0, 0, "head,bogus", "", 0, FSCNN_ERR_ARGUMENT, "'bogus'"},
    {"empty name", 0, 0, ",head", "", 0, FSCNN_ERR_ARGUMENT, "known"},
    {"part of a name", 0, 0, "hea", "", 0, FSCNN_ERR_ARGUMENT, "'hea'"},
    {"unknown kernels", 0, 0, "", "mkl", 0, FSCNN_ERR_ARGUMENT, "'mkl'"},
    {"struct_size 1", 0, 0, "", "", 1, FSCNN_ERR_ARGUMENT, "_init"},
    {"struct_size 3", 0, 0, "", "", 3, FSCNN_ERR_ARGUMENT, "_init"},
    {"struct_size 4", 0, 0, "", "", 4, FSCNN_OK, ""},
    {"struct_size 4097", 0, 0, "", "", 4097, FSCNN_ERR_ARGUMENT, "_init"},
    {"longer by zeros", 0, 0, "", "", sizeof(fscnn_engine_options) + 48, FSCNN_OK, ""},
    {"longer by a one", 0, 0, "", "", sizeof(fscnn_engine_options) + 49, FSCNN_ERR_UNSUPPORTED, "update"},
    {"bf16", 0, FSCNN_PRECISION_BF16, "", "", 0, FSCNN_OK, ""},
    {"no head", 1, FSCNN_PRECISION_FP32, "head", "own", 0, FSCNN_OK, ""},
    {"no fusion", 1, 0, "all", "auto", 0, FSCNN_OK, ""},
};
ParameterizedTestParameters(api_engine, options) {
    return cr_make_param_array(engine_case, engine_cases, sizeof engine_cases / sizeof engine_cases[0]);
}
ParameterizedTest(engine_case *c, api_engine, options) {
    struct {
        fscnn_engine_options o;
        uint8_t tail[64];
    } wide;
    memset(&wide, 0, sizeof wide);
    fscnn_engine_options_init(&wide.o);
    wide.o.backend = (fscnn_backend)c->backend, wide.o.precision = (fscnn_precision)c->precision;
    wide.o.disable_fusion = c->fusion[0] ? c->fusion : NULL, wide.o.kernels = c->kernels[0] ? c->kernels : NULL;
    if (c->struct_size) wide.o.struct_size = c->struct_size;
    wide.tail[48] = 1;
    fscnn_engine *e = NULL;
    forget_error();
    const fscnn_status status = fscnn_engine_open("random:2", &wide.o, &e);
    if (c->want == FSCNN_OK) {
        cr_expect_eq(status, FSCNN_OK, "%s: %s", c->what, fscnn_error());
        cr_expect_not_null(e);
        fscnn_engine_close(&e);
    } else {
        expect_failure(status, c->want, c->fragment, c->what);
        cr_expect_null(e);
    }
    cr_expect_eq(fs_mem_live_blocks(), 0);
}

// A processor without its arithmetic says that; the others ask for the scales that weights by formula have not.
Test(api_engine, int8_needs_a_processor_and_scales) {
    fscnn_engine_options o;
    fscnn_engine_options_init(&o);
    o.backend = FSCNN_BACKEND_CPU, o.precision = FSCNN_PRECISION_INT8;
    fscnn_engine *e = NULL;
    forget_error();
    const fscnn_status status = fscnn_engine_open("random:2", &o, &e);
    if (status == FSCNN_ERR_UNSUPPORTED)
        expect_failure(status, FSCNN_ERR_UNSUPPORTED, "int8", "int8 without VNNI");
    else
        expect_failure(status, FSCNN_ERR_WEIGHTS, "fastscnn calibrate", "int8 without scales");
    cr_expect_null(e);
    cr_expect_eq(fs_mem_live_blocks(), 0);
}

Test(api_engine, absent_device) {
    fscnn_backend_info info;
    fscnn_backend_info_init(&info);
    cr_assert_eq(fscnn_backend_query(FSCNN_BACKEND_CUDA, &info), FSCNN_OK);
    if (info.usable) cr_skip_test("this machine has the device");
    fscnn_engine_options o;
    fscnn_engine_options_init(&o);
    o.backend = FSCNN_BACKEND_CUDA;
    fscnn_engine *e = NULL;
    expect_failure(fscnn_engine_open("random:1", &o, &e), FSCNN_ERR_DEVICE, "CUDA", "no CUDA");
    cr_expect_null(e);
}

Test(api_engine, files_and_memory) {
    fscnn_engine *e = NULL;
    expect_failure(fscnn_engine_open(NULL, NULL, &e), FSCNN_ERR_ARGUMENT, "NULL", "no path");
    expect_failure(fscnn_engine_open("random:1", NULL, NULL), FSCNN_ERR_ARGUMENT, "NULL", "no engine");
    expect_failure(fscnn_engine_open_memory(NULL, 5, NULL, &e), FSCNN_ERR_ARGUMENT, "NULL", "no data");
    expect_failure(fscnn_engine_open("/nonexistent/a.safetensors", NULL, &e), FSCNN_ERR_IO, "nonexistent", "no file");
    expect_failure(fscnn_engine_open("", NULL, &e), FSCNN_ERR_IO, "", "empty path");
    expect_failure(fscnn_engine_open("/tmp", NULL, &e), FSCNN_ERR_IO, "/tmp", "a folder");

    test_file file = test_file_paper();
    bytes good = test_file_bytes(&file);
    expect_failure(fscnn_engine_open_memory(good.data, good.size, NULL, NULL), FSCNN_ERR_ARGUMENT, "NULL", "no engine");
    expect_failure(fscnn_engine_open_memory(good.data, good.size - 1, NULL, &e), FSCNN_ERR_FORMAT, "memory", "cut");
    expect_failure(fscnn_engine_open_memory(good.data, 0, NULL, &e), FSCNN_ERR_FORMAT, "memory", "no bytes");
    expect_failure(fscnn_engine_open_memory("not a model at all", 18, NULL, &e), FSCNN_ERR_FORMAT, "memory", "text");
    cr_expect_null(e);

    // The same bytes by file and from memory, which may be freed at once, give the same network.
    char folder[64], path[128];
    test_folder(folder);
    snprintf(path, sizeof path, "%s/w.safetensors", folder);
    test_write(path, good.data, good.size);
    fscnn_engine *both[2] = {NULL, NULL};
    cr_assert_eq(fscnn_engine_open(path, NULL, &both[0]), FSCNN_OK, "%s", fscnn_error());
    cr_assert_eq(fscnn_engine_open_memory(good.data, good.size, NULL, &both[1]), FSCNN_OK, "%s", fscnn_error());
    bytes_free(&good);
    test_folder_remove(folder);
    static float answers[2][PIXELS * CLASSES];
    for (int i = 0; i < PIXELS * 4; i++) pixels[i] = (uint8_t)(i * 5);
    for (int i = 0; i < 2; i++) {
        engine = both[i];
        fscnn_session *s = open_session(SIDE, 1);
        const fscnn_frame frame = good_frame();
        fscnn_outputs outputs = good_outputs();
        outputs.logits = answers[i];
        cr_assert_eq(fscnn_run(s, &frame, &outputs), FSCNN_OK, "%s", fscnn_error());
        fscnn_session_close(&s);
        fscnn_engine_close(&both[i]);
    }
    cr_expect_arr_eq(answers[0], answers[1], sizeof answers[0]);

    test_file_remove(&file, "cls.conv.conv.weight");
    bytes lacking = test_file_bytes(&file);
    expect_failure(fscnn_engine_open_memory(lacking.data, lacking.size, NULL, &e), FSCNN_ERR_WEIGHTS, "cls.conv",
                   "lacking");
    cr_expect_null(e);
    bytes_free(&lacking);
    test_file_free(&file);
    cr_expect_eq(fs_mem_live_blocks(), 0);
}

// Class names, colours and channels come from the file.
Test(api_engine, metadata_reaches_the_caller) {
    fs_model model;
    fs_model_init(&model, FS_TRAMAC);
    model.classes = 3, model.channels = 4;
    test_file file = test_file_model(&model);
    test_file_meta(&file, "fastscnn.variant", "tramac");
    test_file_meta(&file, "fastscnn.classes", "sand,sea,sky");
    test_file_meta(&file, "fastscnn.palette", "010203,0a0b0c,ff00fe");
    bytes data = test_file_bytes(&file);
    fscnn_engine *e = NULL;
    cr_assert_eq(fscnn_engine_open_memory(data.data, data.size, NULL, &e), FSCNN_OK, "%s", fscnn_error());
    fscnn_engine_info info;
    fscnn_engine_info_init(&info);
    cr_assert_eq(fscnn_engine_get_info(e, &info), FSCNN_OK);
    cr_expect(info.channels == 4 && info.classes == 3);
    cr_expect_str_eq(info.variant, "tramac");
    cr_expect_str_eq(fscnn_engine_class_name(e, 1), "sea");
    cr_expect_null(fscnn_engine_class_name(e, 3));
    uint8_t rgb[3];
    cr_expect_eq(fscnn_engine_class_color(e, 2, rgb), FSCNN_OK);
    cr_expect_arr_eq(rgb, ((uint8_t[3]){255, 0, 254}), 3);
    // Three channels cannot feed four.
    engine = e;
    fscnn_session *s = open_session(SIDE, 1);
    const fscnn_frame frame = good_frame();
    const fscnn_outputs outputs = good_outputs();
    expect_failure(fscnn_run(s, &frame, &outputs), FSCNN_ERR_ARGUMENT, "RGBA8", "RGB into 4 channels");
    fscnn_session_close(&s);
    fscnn_engine_close(&e);
    bytes_free(&data);
    test_file_free(&file);
    cr_expect_eq(fs_mem_live_blocks(), 0);
}

// ---- Sessions ------------------------------------------------------------------------------------------------------

typedef struct session_case {
    int width, height, threads, in_flight, tune;
    uint32_t struct_size;
    fscnn_status want;
    char fragment[24];
} session_case;
#define GIGA (1 << 30)
#define LONGER sizeof(fscnn_session_options)
static session_case session_cases[] = {
    {63, 64, 1, 1, -1, 0, FSCNN_ERR_ARGUMENT, "63"},
    {64, 63, 1, 1, -1, 0, FSCNN_ERR_ARGUMENT, "63"},
    {-1, 64, 1, 1, -1, 0, FSCNN_ERR_ARGUMENT, "-1"},
    {64, -1, 1, 1, -1, 0, FSCNN_ERR_ARGUMENT, "-1"},
    {1, 1, 1, 1, -1, 0, FSCNN_ERR_ARGUMENT, "outside"},
    {16385, 64, 1, 1, -1, 0, FSCNN_ERR_ARGUMENT, "16385"},
    {64, 16385, 1, 1, -1, 0, FSCNN_ERR_ARGUMENT, "16385"},
    {GIGA, GIGA, 1, 1, -1, 0, FSCNN_ERR_ARGUMENT, "outside"},
    {INT32_MIN, 64, 1, 1, -1, 0, FSCNN_ERR_ARGUMENT, "outside"},
    {64, 64, -1, 1, -1, 0, FSCNN_ERR_ARGUMENT, "threads"},
    {64, 64, 257, 1, -1, 0, FSCNN_ERR_ARGUMENT, "threads"},
    {64, 64, 1, -1, -1, 0, FSCNN_ERR_ARGUMENT, "in_flight"},
    {64, 64, 1, 17, -1, 0, FSCNN_ERR_ARGUMENT, "in_flight"},
    {64, 64, 1, 1, 1, 0, FSCNN_ERR_ARGUMENT, "tune"},
    {64, 64, 1, 1, -2, 0, FSCNN_ERR_ARGUMENT, "tune"},
    {64, 64, 1, 1, -1, 1, FSCNN_ERR_ARGUMENT, "_init"},
    {64, 64, 1, 1, -1, 5000, FSCNN_ERR_ARGUMENT, "_init"},
    {64, 64, 1, 1, -1, LONGER + 48, FSCNN_OK, ""},
    {64, 64, 1, 1, -1, LONGER + 49, FSCNN_ERR_UNSUPPORTED, "update"},
    {64, 64, 1, 16, 0, 0, FSCNN_OK, ""},
    {64, 64, 40, 1, -1, 0, FSCNN_OK, ""}, // more threads than anything has work for
    {64, 1000, 0, 0, -1, 0, FSCNN_OK, ""},
};
ParameterizedTestParameters(api_session, options) {
    return cr_make_param_array(session_case, session_cases, sizeof session_cases / sizeof session_cases[0]);
}
ParameterizedTest(session_case *c, api_session, options, .init = open_both, .fini = close_both) {
    struct {
        fscnn_session_options o;
        uint8_t tail[64];
    } wide;
    memset(&wide, 0, sizeof wide);
    fscnn_session_options_init(&wide.o);
    wide.o.width = c->width, wide.o.height = c->height, wide.o.threads = c->threads, wide.o.in_flight = c->in_flight;
    wide.o.tune = c->tune;
    if (c->struct_size) wide.o.struct_size = c->struct_size;
    wide.tail[48] = 1;
    char what[96];
    snprintf(what, sizeof what, "%d x %d, threads %d, in_flight %d, tune %d, size %u", c->width, c->height, c->threads,
             c->in_flight, c->tune, c->struct_size);
    fscnn_session *s = NULL;
    forget_error();
    const fscnn_status status = fscnn_session_open(engine, &wide.o, &s);
    if (c->want != FSCNN_OK) {
        expect_failure(status, c->want, c->fragment, what);
        cr_expect_null(s);
        return;
    }
    cr_assert_eq(status, FSCNN_OK, "%s: %s", what, fscnn_error());
    fscnn_session_info info;
    fscnn_session_info_init(&info);
    cr_expect_eq(fscnn_session_get_info(s, &info), FSCNN_OK);
    cr_expect(info.width == c->width && info.height == c->height, "%s", what);
    cr_expect(c->threads ? info.threads == c->threads : info.threads >= 1, "%s: %d threads", what, info.threads);
    cr_expect_eq(info.in_flight, c->in_flight ? c->in_flight : 2, "%s", what);
    cr_expect(info.steps > 5 && info.arena_bytes > 0 && info.scratch_bytes > 0 && info.flops > 1000000, "%s", what);
    fscnn_session_close(&s);
    cr_expect_null(s);
}

Test(api_session, defaults, .init = open_both, .fini = close_both) {
    fscnn_session *s = NULL;
    fscnn_session_options o;
    fscnn_session_options_init(&o);
    o.tune = -1, o.threads = 1;
    cr_assert_eq(fscnn_session_open(engine, &o, &s), FSCNN_OK, "%s", fscnn_error());
    fscnn_session_info info;
    fscnn_session_info_init(&info);
    cr_assert_eq(fscnn_session_get_info(s, &info), FSCNN_OK);
    cr_expect(info.width == 2048 && info.height == 1024 && info.in_flight == 2);
    cr_expect(info.flops > 13000000000u && info.flops < 14000000000u, "%llu", (unsigned long long)info.flops);
    fscnn_session_close(&s);
    expect_failure(fscnn_session_open(NULL, &o, &s), FSCNN_ERR_ARGUMENT, "NULL", "no engine");
    expect_failure(fscnn_session_open(engine, &o, NULL), FSCNN_ERR_ARGUMENT, "NULL", "no session");
    expect_failure(fscnn_session_get_info(NULL, &info), FSCNN_ERR_ARGUMENT, "NULL", "no session");
    expect_failure(fscnn_session_get_info(session, NULL), FSCNN_ERR_ARGUMENT, "NULL", "no info");
}

Test(api_session, closing_twice_or_nothing) {
    fscnn_engine_close(NULL);
    fscnn_session_close(NULL);
    fscnn_engine_close(&engine); // NULL still
    fscnn_session_close(&session);
    fscnn_text_free(NULL);
    char *text = NULL;
    fscnn_text_free(&text);
    open_both();
    fscnn_session_close(&session);
    cr_expect_null(session);
    fscnn_session_close(&session);
    fscnn_engine_close(&engine);
    cr_expect_null(engine);
    fscnn_engine_close(&engine);
    cr_expect_eq(fs_mem_live_blocks(), 0);
}

Test(api_session, outlives_the_engine_handle, .init = open_both) {
    fscnn_session *second = open_session(96, 1);
    fscnn_engine_close(&engine);
    const fscnn_frame frame = good_frame();
    const fscnn_outputs outputs = good_outputs();
    cr_expect_eq(fscnn_run(session, &frame, &outputs), FSCNN_OK, "%s", fscnn_error());
    cr_expect_eq(touched(labels, sizeof labels), sizeof labels);
    fscnn_session_close(&second);
    cr_expect_eq(fscnn_run(session, &frame, &outputs), FSCNN_OK, "%s", fscnn_error());
    cr_expect_gt(fs_mem_live_blocks(), 0);
    fscnn_session_close(&session);
    cr_expect_eq(fs_mem_live_blocks(), 0);
}

// ---- Frames and outputs --------------------------------------------------------------------------------------------

typedef struct frame_case {
    char what[28];
    int format, width, height;
    int planes; // how many are set
    size_t stride;
    int memory, matrix, range;
    uint32_t struct_size;
    fscnn_status want;
    char fragment[24];
} frame_case;
#define FRAME_LONGER sizeof(fscnn_frame)
static frame_case frame_cases[] = {
    {"format 0", 0, 64, 64, 1, 0, 0, 0, 0, 0, FSCNN_ERR_ARGUMENT, "format"},
    {"format 9", 9, 64, 64, 1, 0, 0, 0, 0, 0, FSCNN_ERR_ARGUMENT, "format"},
    {"format -1", -1, 64, 64, 1, 0, 0, 0, 0, 0, FSCNN_ERR_ARGUMENT, "format"},
    {"width 0", FSCNN_RGB8, 0, 64, 1, 0, 0, 0, 0, 0, FSCNN_ERR_ARGUMENT, "0x64"},
    {"height -1", FSCNN_RGB8, 64, -1, 1, 0, 0, 0, 0, 0, FSCNN_ERR_ARGUMENT, "64x-1"},
    {"width 65537", FSCNN_RGB8, 65537, 64, 1, 0, 0, 0, 0, 0, FSCNN_ERR_ARGUMENT, "65537"},
    {"width 63", FSCNN_RGB8, 63, 64, 1, 0, 0, 0, 0, 0, FSCNN_OK, ""},
    {"one pixel", FSCNN_I420, 1, 1, 3, 0, 0, 0, 0, 0, FSCNN_OK, ""},
    {"larger than the network", FSCNN_NV12, 90, 67, 2, 0, 0, 1, 2, 0, FSCNN_OK, ""},
    {"huge", FSCNN_RGB8, INT32_MAX, INT32_MAX, 1, 0, 0, 0, 0, 0, FSCNN_ERR_ARGUMENT, "frame size"},
    {"no pixels", FSCNN_RGB8, 64, 64, 0, 0, 0, 0, 0, 0, FSCNN_ERR_ARGUMENT, "plane[0]"},
    {"RGB stride 191", FSCNN_RGB8, 64, 64, 1, 191, 0, 0, 0, 0, FSCNN_ERR_ARGUMENT, "191"},
    {"RGBA stride 255", FSCNN_RGBA8, 64, 64, 1, 255, 0, 0, 0, 0, FSCNN_ERR_ARGUMENT, "255"},
    {"gray stride 63", FSCNN_GRAY8, 64, 64, 1, 63, 0, 0, 0, 0, FSCNN_ERR_ARGUMENT, "63"},
    {"stride 1", FSCNN_BGR8, 64, 64, 1, 1, 0, 0, 0, 0, FSCNN_ERR_ARGUMENT, "stride"},
    {"absurd stride", FSCNN_RGB8, 64, 64, 1, SIZE_MAX, 0, 0, 0, 0, FSCNN_ERR_ARGUMENT, "stride[0]"},
    {"no memory so large", FSCNN_RGB8, 64, 64, 1, PTRDIFF_MAX / 63, 0, 0, 0, 0, FSCNN_ERR_ARGUMENT, "stride[0]"},
    {"NV12", FSCNN_NV12, 64, 64, 2, 0, 0, 0, 0, 0, FSCNN_OK, ""},
    {"NV12 lacks a plane", FSCNN_NV12, 64, 64, 1, 0, 0, 0, 0, 0, FSCNN_ERR_ARGUMENT, "plane[1]"},
    {"I420", FSCNN_I420, 64, 64, 3, 0, 0, 0, 0, 0, FSCNN_OK, ""},
    {"I420 lacks a plane", FSCNN_I420, 64, 64, 2, 0, 0, 0, 0, 0, FSCNN_ERR_ARGUMENT, "plane[2]"},
    {"planar floats", FSCNN_PLANAR_F32, 64, 64, 3, 0, 0, 0, 0, 0, FSCNN_OK, ""},
    {"floats lack a plane", FSCNN_PLANAR_F32, 64, 64, 2, 0, 0, 0, 0, 0, FSCNN_ERR_ARGUMENT, "plane[2]"},
    {"float stride 255", FSCNN_PLANAR_F32, 64, 64, 3, 255, 0, 0, 0, 0, FSCNN_ERR_ARGUMENT, "255"},
    {"float stride 257", FSCNN_PLANAR_F32, 64, 64, 3, 257, 0, 0, 0, 0, FSCNN_ERR_ARGUMENT, "multiple of 4"},
    {"device memory", FSCNN_RGB8, 64, 64, 1, 0, 2, 0, 0, 0, FSCNN_ERR_UNSUPPORTED, "host memory"},
    {"memory 3", FSCNN_RGB8, 64, 64, 1, 0, 3, 0, 0, 0, FSCNN_ERR_ARGUMENT, "memory"},
    {"memory -1", FSCNN_RGB8, 64, 64, 1, 0, -1, 0, 0, 0, FSCNN_ERR_ARGUMENT, "memory"},
    {"matrix 3", FSCNN_RGB8, 64, 64, 1, 0, 0, 3, 0, 0, FSCNN_ERR_ARGUMENT, "matrix"},
    {"range 3", FSCNN_RGB8, 64, 64, 1, 0, 0, 0, 3, 0, FSCNN_ERR_ARGUMENT, "range"},
    {"struct_size 1", FSCNN_RGB8, 64, 64, 1, 0, 0, 0, 0, 1, FSCNN_ERR_ARGUMENT, "_init"},
    {"struct_size 4", FSCNN_RGB8, 64, 64, 1, 0, 0, 0, 0, 4, FSCNN_ERR_ARGUMENT, "format 0"},
    {"struct_size 4097", FSCNN_RGB8, 64, 64, 1, 0, 0, 0, 0, 4097, FSCNN_ERR_ARGUMENT, "_init"},
    {"longer by a one", FSCNN_RGB8, 64, 64, 1, 0, 0, 0, 0, FRAME_LONGER + 49, FSCNN_ERR_UNSUPPORTED, "update"},
    {"longer by zeros", FSCNN_RGB8, 64, 64, 1, 0, 0, 0, 0, FRAME_LONGER + 48, FSCNN_OK, ""},
    {"shorter", FSCNN_RGB8, 64, 64, 1, 0, 0, 0, 0, offsetof(fscnn_frame, memory), FSCNN_OK, ""},
    {"matrix and range", FSCNN_RGB8, 64, 64, 1, 0, 0, 2, 2, 0, FSCNN_OK, ""},
    {"tight stride", FSCNN_RGBA8, 64, 64, 1, 256, 0, 0, 0, 0, FSCNN_OK, ""},
};
ParameterizedTestParameters(api_frames, fields) {
    return cr_make_param_array(frame_case, frame_cases, sizeof frame_cases / sizeof frame_cases[0]);
}
ParameterizedTest(frame_case *c, api_frames, fields, .init = open_both, .fini = close_both) {
    struct {
        fscnn_frame f;
        uint8_t tail[64];
    } wide;
    memset(&wide, 0, sizeof wide);
    fscnn_frame_init(&wide.f, (fscnn_format)c->format, c->width, c->height, NULL);
    for (int i = 0; i < c->planes; i++) wide.f.plane[i] = pixels;
    wide.f.stride[0] = c->stride, wide.f.memory = (fscnn_memory)c->memory;
    wide.f.matrix = (fscnn_matrix)c->matrix, wide.f.range = (fscnn_range)c->range;
    if (c->struct_size) wide.f.struct_size = c->struct_size;
    wide.tail[48] = 1;
    const fscnn_outputs outputs = good_outputs();
    forget_error();
    if (c->want == FSCNN_OK) {
        cr_expect_eq(fscnn_run(session, &wide.f, &outputs), FSCNN_OK, "%s: %s", c->what, fscnn_error());
        return;
    }
    expect_failure(fscnn_run(session, &wide.f, &outputs), c->want, c->fragment, c->what);
    uint64_t ticket = 12345;
    expect_failure(fscnn_submit(session, &wide.f, &outputs, &ticket), c->want, c->fragment, c->what);
    cr_expect_eq(ticket, 12345);
    cr_expect(touched(labels, sizeof labels) == 0 && touched(logits, sizeof logits) == 0, "%s: outputs written",
              c->what);
    // A refused frame costs no place among those in flight.
    const fscnn_frame frame = good_frame();
    cr_expect_eq(fscnn_run(session, &frame, &outputs), FSCNN_OK, "%s: %s", c->what, fscnn_error());
}

typedef struct output_case {
    char what[28];
    bool labels, logits;
    size_t stride;
    uint32_t struct_size;
    fscnn_status want;
    char fragment[24];
} output_case;
#define OUTPUT_LONGER sizeof(fscnn_outputs)
static output_case output_cases[] = {
    {"nothing", false, false, 0, 0, FSCNN_ERR_ARGUMENT, "nothing"},
    {"nothing but a stride", false, false, 64, 0, FSCNN_ERR_ARGUMENT, "nothing"},
    {"stride 63", true, false, 63, 0, FSCNN_ERR_ARGUMENT, "63"},
    {"stride 1", true, true, 1, 0, FSCNN_ERR_ARGUMENT, "labels_stride"},
    {"absurd stride", true, true, SIZE_MAX, 0, FSCNN_ERR_ARGUMENT, "labels_stride"},
    {"no memory so large", true, true, PTRDIFF_MAX / 63, 0, FSCNN_ERR_ARGUMENT, "labels_stride"},
    {"struct_size 1", true, true, 0, 1, FSCNN_ERR_ARGUMENT, "_init"},
    {"struct_size 3", true, true, 0, 3, FSCNN_ERR_ARGUMENT, "_init"},
    {"struct_size 4", true, true, 0, 4, FSCNN_ERR_ARGUMENT, "nothing"},
    {"struct_size 4097", true, true, 0, 4097, FSCNN_ERR_ARGUMENT, "_init"},
    {"longer by a one", true, true, 0, OUTPUT_LONGER + 49, FSCNN_ERR_UNSUPPORTED, "update"},
    {"longer by zeros", true, true, 0, OUTPUT_LONGER + 48, FSCNN_OK, ""},
    {"labels alone", true, false, 64, 0, FSCNN_OK, ""},
    {"logits alone", false, true, 0, 0, FSCNN_OK, ""},
    {"logits, idle stride", false, true, 64, 0, FSCNN_OK, ""},
    {"older, without confidence", true, true, 0, offsetof(fscnn_outputs, confidence), FSCNN_OK, ""},
    {"older, nothing it knows", false, false, 0, offsetof(fscnn_outputs, confidence), FSCNN_ERR_ARGUMENT, "nothing"},
};
ParameterizedTestParameters(api_outputs, fields) {
    return cr_make_param_array(output_case, output_cases, sizeof output_cases / sizeof output_cases[0]);
}
ParameterizedTest(output_case *c, api_outputs, fields, .init = open_both, .fini = close_both) {
    struct {
        fscnn_outputs o;
        uint8_t tail[64];
    } wide;
    memset(&wide, 0, sizeof wide);
    fscnn_outputs_init(&wide.o);
    wide.o.labels = c->labels ? labels : NULL, wide.o.logits = c->logits ? logits : NULL;
    wide.o.labels_stride = c->stride;
    if (c->struct_size) wide.o.struct_size = c->struct_size;
    wide.tail[48] = 1;
    const fscnn_frame frame = good_frame();
    forget_error();
    const fscnn_status status = fscnn_run(session, &frame, &wide.o);
    if (c->want != FSCNN_OK) {
        expect_failure(status, c->want, c->fragment, c->what);
        cr_expect(touched(labels, sizeof labels) == 0 && touched(logits, sizeof logits) == 0, "%s", c->what);
        return;
    }
    cr_expect_eq(status, FSCNN_OK, "%s: %s", c->what, fscnn_error());
    cr_expect_eq(touched(labels, sizeof labels), c->labels ? sizeof labels : 0, "%s", c->what);
    cr_expect(c->logits == (touched(logits, sizeof logits) > 0), "%s", c->what);
}

// Confidence alone, with a stride and beside the others; a caller of the older struct gets none.
Test(api_outputs, confidence, .init = open_both, .fini = close_both) {
    enum { STRIDE = SIDE + 7 };
    static uint8_t confidence[SIDE * STRIDE], packed[PIXELS];
    const fscnn_frame frame = good_frame();
    fscnn_outputs outputs;
    fscnn_outputs_init(&outputs);
    memset(confidence, 0xee, sizeof confidence);
    outputs.confidence = confidence, outputs.confidence_stride = SIDE - 1;
    expect_failure(fscnn_run(session, &frame, &outputs), FSCNN_ERR_ARGUMENT, "confidence_stride", "short stride");
    outputs.confidence_stride = SIZE_MAX;
    expect_failure(fscnn_run(session, &frame, &outputs), FSCNN_ERR_ARGUMENT, "confidence_stride", "absurd stride");
    outputs.confidence_stride = STRIDE, outputs.struct_size = offsetof(fscnn_outputs, confidence);
    expect_failure(fscnn_run(session, &frame, &outputs), FSCNN_ERR_ARGUMENT, "nothing", "an older struct");
    cr_expect_eq(touched(confidence, sizeof confidence), 0);
    outputs.struct_size = sizeof outputs;
    cr_assert_eq(fscnn_run(session, &frame, &outputs), FSCNN_OK, "%s", fscnn_error());
    fscnn_outputs all = good_outputs();
    all.confidence = packed;
    cr_assert_eq(fscnn_run(session, &frame, &all), FSCNN_OK, "%s", fscnn_error());
    for (int y = 0; y < SIDE; y++) {
        cr_expect_arr_eq(confidence + y * STRIDE, packed + y * SIDE, SIDE, "row %d", y);
        cr_expect_eq(touched(confidence + y * STRIDE + SIDE, STRIDE - SIDE), 0, "behind row %d", y);
    }
    for (int i = 0; i < PIXELS; i++) {
        double sum = 0;
        for (int c = 0; c < CLASSES; c++)
            sum += exp((double)logits[c * PIXELS + i] - (double)logits[labels[i] * PIXELS + i]);
        cr_expect_leq(fabs(255 / sum - packed[i]), 0.501, "pixel %d: %d, not %g", i, packed[i], 255 / sum);
    }
}

Test(api_frames, null_arguments, .init = open_both, .fini = close_both) {
    const fscnn_frame frame = good_frame();
    const fscnn_outputs outputs = good_outputs();
    uint64_t ticket = 12345;
    expect_failure(fscnn_submit(NULL, &frame, &outputs, &ticket), FSCNN_ERR_ARGUMENT, "NULL", "session");
    expect_failure(fscnn_submit(session, NULL, &outputs, &ticket), FSCNN_ERR_ARGUMENT, "NULL", "frame");
    expect_failure(fscnn_submit(session, &frame, NULL, &ticket), FSCNN_ERR_ARGUMENT, "NULL", "outputs");
    expect_failure(fscnn_submit(session, &frame, &outputs, NULL), FSCNN_ERR_ARGUMENT, "NULL", "ticket");
    expect_failure(fscnn_run(NULL, &frame, &outputs), FSCNN_ERR_ARGUMENT, "NULL", "session");
    expect_failure(fscnn_run(session, NULL, &outputs), FSCNN_ERR_ARGUMENT, "NULL", "frame");
    expect_failure(fscnn_run(session, &frame, NULL), FSCNN_ERR_ARGUMENT, "NULL", "outputs");
    expect_failure(fscnn_wait(NULL, 1, -1), FSCNN_ERR_ARGUMENT, "NULL", "session");
    cr_expect(ticket == 12345 && touched(labels, sizeof labels) == 0);
}

// ---- Tickets -------------------------------------------------------------------------------------------------------

Test(api_tickets, order_and_misuse, .init = open_both, .fini = close_both) {
    const fscnn_frame frame = good_frame();
    const fscnn_outputs outputs = good_outputs();
    expect_failure(fscnn_wait(session, 0, 0), FSCNN_ERR_STATE, "ticket 0", "ticket 0");
    expect_failure(fscnn_wait(session, 1, -1), FSCNN_ERR_STATE, "ticket 1", "before any frame");
    uint64_t a = 0, b = 0, c = 12345;
    cr_assert_eq(fscnn_submit(session, &frame, &outputs, &a), FSCNN_OK);
    cr_assert_eq(fscnn_submit(session, &frame, &outputs, &b), FSCNN_OK);
    cr_expect(a == 1 && b == 2);
    expect_failure(fscnn_submit(session, &frame, &outputs, &c), FSCNN_ERR_STATE, "in flight", "a third of two");
    expect_failure(fscnn_run(session, &frame, &outputs), FSCNN_ERR_STATE, "in flight", "run beside two");
    cr_expect_eq(c, 12345);
    expect_failure(fscnn_wait(session, 3, -1), FSCNN_ERR_STATE, "ticket 3", "a frame to come");
    expect_failure(fscnn_wait(session, UINT64_MAX, -1), FSCNN_ERR_STATE, "ticket", "no such frame");
    cr_expect_eq(fscnn_wait(session, a, -1), FSCNN_OK, "%s", fscnn_error());
    expect_failure(fscnn_wait(session, a, -1), FSCNN_ERR_STATE, "already", "waited twice");
    cr_expect_eq(fscnn_submit(session, &frame, &outputs, &c), FSCNN_OK, "%s", fscnn_error());
    cr_expect_eq(c, 3);
    // Waiting for the last releases all before it.
    cr_expect_eq(fscnn_wait(session, c, INT64_MAX), FSCNN_OK, "%s", fscnn_error());
    expect_failure(fscnn_wait(session, b, 0), FSCNN_ERR_STATE, "already", "released by a later one");
    expect_failure(fscnn_wait(session, c, 0), FSCNN_ERR_STATE, "already", "waited twice");
    cr_expect_eq(fscnn_run(session, &frame, &outputs), FSCNN_OK, "%s", fscnn_error());
}

Test(api_tickets, timeouts, .init = open_both, .fini = close_both) {
    enum { LARGE = 512, FRAMES = 16 };
    fscnn_session *s = open_session(LARGE, FRAMES);
    uint8_t *picture = fs_calloc(LARGE * LARGE, 3), *out = fs_calloc(LARGE * LARGE, FRAMES);
    fscnn_frame frame;
    fscnn_frame_init(&frame, FSCNN_RGB8, LARGE, LARGE, picture);
    uint64_t ticket = 0;
    for (int i = 0; i < FRAMES; i++) {
        fscnn_outputs outputs;
        fscnn_outputs_init(&outputs);
        outputs.labels = out + i * LARGE * LARGE;
        memset(outputs.labels, 0xee, LARGE * LARGE);
        cr_assert_eq(fscnn_submit(s, &frame, &outputs, &ticket), FSCNN_OK, "%s", fscnn_error());
    }
    // Sixteen frames take many milliseconds.
    expect_failure(fscnn_wait(s, ticket, 0), FSCNN_ERR_TIMEOUT, "16", "poll");
    expect_failure(fscnn_wait(s, ticket, 1), FSCNN_ERR_TIMEOUT, "16", "a nanosecond");
    expect_failure(fscnn_wait(s, ticket, 1000000), FSCNN_ERR_TIMEOUT, "16", "a millisecond");
    // The frames go on.
    cr_expect_eq(fscnn_wait(s, ticket, -1), FSCNN_OK, "%s", fscnn_error());
    for (int i = 1; i < FRAMES; i++) cr_expect_arr_eq(out, out + i * LARGE * LARGE, LARGE * LARGE);
    cr_expect_eq(touched(out, LARGE * LARGE), LARGE * LARGE);
    fscnn_session_close(&s);
    fs_free(picture);
    fs_free(out);
}

// Closing waits for what has begun and takes back the rest.
Test(api_tickets, closing_leaves_no_half_frames, .init = open_both, .fini = close_both) {
    const fscnn_frame frame = good_frame();
    const fscnn_outputs outputs = good_outputs();
    uint64_t ticket;
    cr_assert_eq(fscnn_submit(session, &frame, &outputs, &ticket), FSCNN_OK);
    cr_assert_eq(fscnn_submit(session, &frame, &outputs, &ticket), FSCNN_OK);
    fscnn_session_close(&session);
    const size_t written = touched(labels, sizeof labels);
    cr_expect(written == sizeof labels || written == 0, "%zu labels are written", written);
}

// The structs are copied by submit: the caller may reuse them at once.
Test(api_tickets, structs_are_copied, .init = open_both, .fini = close_both) {
    fscnn_frame frame = good_frame();
    fscnn_outputs outputs = good_outputs();
    uint64_t ticket;
    cr_assert_eq(fscnn_submit(session, &frame, &outputs, &ticket), FSCNN_OK);
    memset(&frame, 0xee, sizeof frame);
    memset(&outputs, 0xee, sizeof outputs);
    cr_assert_eq(fscnn_wait(session, ticket, -1), FSCNN_OK, "%s", fscnn_error());
    cr_expect_eq(touched(labels, sizeof labels), sizeof labels);
}

// ---- Plan, log -----------------------------------------------------------------------------------------------------

typedef struct plan_case {
    fscnn_plan_format format;
    char begins[16], device[12];
} plan_case;
static plan_case plans[] = {
    {FSCNN_PLAN_TEXT, "", ""},        {FSCNN_PLAN_TEXT, "", "h100"},   {FSCNN_PLAN_JSON, "{", ""},
    {FSCNN_PLAN_JSON, "{", "a100"},   {FSCNN_PLAN_DOT, "digraph", ""}, {FSCNN_PLAN_DOT, "digraph", "orin"},
    {FSCNN_PLAN_TEXT, "", "rtx4090"}, {FSCNN_PLAN_JSON, "{", "cpu"},
};
ParameterizedTestParameters(api_plan, formats) {
    return cr_make_param_array(plan_case, plans, sizeof plans / sizeof plans[0]);
}
ParameterizedTest(plan_case *c, api_plan, formats, .init = open_both, .fini = close_both) {
    char *text = NULL;
    cr_assert_eq(fscnn_session_plan(session, c->format, c->device[0] ? c->device : NULL, &text), FSCNN_OK, "%s",
                 fscnn_error());
    cr_assert_not_null(text);
    cr_expect_eq(strncmp(text, c->begins, strlen(c->begins)), 0, "%.40s", text);
    static const char *const steps[] = {"ltd", "gfe.b1.0", "gfe.b3.2", "ppm", "ffm", "head"};
    for (int i = 0; i < 6; i++) cr_expect_not_null(strstr(text, steps[i]), "no %s", steps[i]);
    int depth = 0; // brackets match outside strings
    bool quoted = false;
    for (const char *p = text; *p && c->format != FSCNN_PLAN_TEXT; p++) {
        if (*p == '\\' && quoted && p[1])
            p++;
        else if (*p == '"')
            quoted = !quoted;
        else if (!quoted)
            depth += *p == '{' || *p == '[' ? 1 : *p == '}' || *p == ']' ? -1 : 0;
        cr_assert_geq(depth, 0);
    }
    cr_expect(depth == 0 && !quoted);
    fscnn_text_free(&text);
    cr_expect_null(text);
}

Test(api_plan, misuse, .init = open_both, .fini = close_both) {
    char *text = (char *)labels;
    expect_failure(fscnn_session_plan(NULL, FSCNN_PLAN_TEXT, NULL, &text), FSCNN_ERR_ARGUMENT, "NULL", "session");
    expect_failure(fscnn_session_plan(session, FSCNN_PLAN_TEXT, NULL, NULL), FSCNN_ERR_ARGUMENT, "NULL", "text");
    expect_failure(fscnn_session_plan(session, (fscnn_plan_format)3, NULL, &text), FSCNN_ERR_ARGUMENT, "3", "format 3");
    expect_failure(fscnn_session_plan(session, (fscnn_plan_format)-1, NULL, &text), FSCNN_ERR_ARGUMENT, "-1",
                   "format -1");
    expect_failure(fscnn_session_plan(session, FSCNN_PLAN_TEXT, "abacus", &text), FSCNN_ERR_ARGUMENT, "h100", "device");
    expect_failure(fscnn_session_plan(session, FSCNN_PLAN_TEXT, "", &text), FSCNN_ERR_ARGUMENT, "known",
                   "empty device");
    cr_expect_eq((void *)text, (void *)labels);
}

static char last_message[1024];
static int messages;
static void listen(void *user, fscnn_log_level level, const char *message) {
    cr_expect_eq(user, (void *)labels);
    cr_expect(level >= FSCNN_LOG_ERROR && level <= FSCNN_LOG_DEBUG);
    cr_expect_eq(strchr(message, '\n'), NULL);
    snprintf(last_message, sizeof last_message, "%s", message);
    messages++;
}

Test(api_log, callback_hears_what_it_asked_for) {
    fscnn_set_log(listen, labels, FSCNN_LOG_INFO);
    open_both();
    cr_expect_geq(messages, 1);
    cr_expect_not_null(strstr(last_message, "paper"), "%s", last_message);
    const int before = messages;
    const fscnn_frame frame = good_frame();
    const fscnn_outputs outputs = good_outputs();
    cr_expect_eq(fscnn_run(session, &frame, &outputs), FSCNN_OK);
    cr_expect_eq(messages, before, "never on the frame path");
    close_both();
    fscnn_set_log(listen, labels, FSCNN_LOG_ERROR);
    open_both();
    close_both();
    cr_expect_eq(messages, before, "not above its level");
    fscnn_set_log(NULL, NULL, FSCNN_LOG_DEBUG);
    open_both();
    close_both();
    cr_expect_eq(messages, before, "not any more");
}

// Each thread has its own text, "" before its first failure; a success keeps it.
Test(api_errors, text_of_the_last_failure) {
    cr_expect_str_eq(fscnn_error(), "");
    fscnn_engine *e = NULL;
    cr_expect_eq(fscnn_engine_open("random:x", NULL, &e), FSCNN_ERR_ARGUMENT);
    char first[256];
    snprintf(first, sizeof first, "%s", fscnn_error());
    cr_expect_neq(strstr(first, "random:x"), NULL);
    cr_expect_eq(fscnn_engine_open("random:1", NULL, &e), FSCNN_OK);
    cr_expect_str_eq(fscnn_error(), first);
    fscnn_engine_close(&e);
    // A very long name is cut, not overrun.
    char *name = malloc(100000);
    memset(name, 'n', 99999);
    name[99999] = '\0';
    cr_expect_eq(fscnn_engine_open(name, NULL, &e), FSCNN_ERR_IO);
    cr_expect_lt(strlen(fscnn_error()), 2048);
    free(name);
}
