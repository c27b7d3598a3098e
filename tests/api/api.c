// The public API: every misuse has its documented status, a message, untouched outputs and objects that go on working;
// and what each call promises when it is used right.
#include <criterion/criterion.h>
#include <criterion/parameterized.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fastscnn/fastscnn.h"
#include "tests/weights/files.h"

enum { WIDTH = 72, HEIGHT = 65, PIXELS = WIDTH * HEIGHT, CLASSES = 19, CANARY = 0x5a };

// An engine, a session of WIDTH x HEIGHT, structs ready for a right call, and outputs full of canaries.
typedef struct state {
    fscnn_engine *engine;
    fscnn_session *session;
    fscnn_engine_options eo;
    fscnn_session_options so;
    fscnn_frame frame;
    fscnn_outputs outputs;
    uint8_t rgb[PIXELS * 3];
    uint8_t expected[PIXELS];
    uint8_t other[PIXELS]; // for calls that succeed on the way to the one that does not
    _Alignas(16) char bigger[512];
    // What a failing call must leave alone; only struct_size is set in the infos.
    struct untouched {
        uint8_t labels[PIXELS];
        float logits[PIXELS * CLASSES];
        uint64_t ticket;
        fscnn_engine *engine;
        fscnn_session *session;
        char *text;
        uint8_t color[3];
        fscnn_engine_info ei;
        fscnn_session_info si;
        fscnn_backend_info bi;
    } out, before;
} state;

static fscnn_session *session_of(fscnn_engine *engine, int width, int height) {
    fscnn_session_options options;
    fscnn_session_options_init(&options);
    options.width = width, options.height = height, options.threads = 1, options.tune = -1;
    fscnn_session *session = NULL;
    cr_assert_eq(fscnn_session_open(engine, &options, &session), FSCNN_OK, "%s", fscnn_error());
    return session;
}

static fscnn_engine *random_engine(fscnn_precision precision) {
    fscnn_engine_options options;
    fscnn_engine_options_init(&options);
    options.precision = precision;
    fscnn_engine *engine = NULL;
    cr_assert_eq(fscnn_engine_open("random:1", &options, &engine), FSCNN_OK, "%s", fscnn_error());
    return engine;
}

static void fill(uint8_t *pixels, size_t count) {
    uint32_t noise = 5;
    for (size_t i = 0; i < count; i++) pixels[i] = (uint8_t)((noise = noise * 1664525u + 1013904223u) >> 24);
}

static void run_plain(state *s, uint8_t *labels) {
    fscnn_frame frame;
    fscnn_frame_init(&frame, FSCNN_RGB8, WIDTH, HEIGHT, s->rgb);
    fscnn_outputs outputs;
    fscnn_outputs_init(&outputs);
    outputs.labels = labels;
    cr_assert_eq(fscnn_run(s->session, &frame, &outputs), FSCNN_OK, "%s", fscnn_error());
}

static state *state_open(void) {
    state *s = calloc(1, sizeof *s);
    cr_assert_not_null(s);
    s->engine = random_engine(FSCNN_PRECISION_FP32);
    s->session = session_of(s->engine, WIDTH, HEIGHT);
    fill(s->rgb, sizeof s->rgb);
    run_plain(s, s->expected);
    memset(&s->out, CANARY, sizeof s->out);
    s->out.ei.struct_size = sizeof s->out.ei;
    s->out.si.struct_size = sizeof s->out.si;
    s->out.bi.struct_size = sizeof s->out.bi;
    fscnn_engine_options_init(&s->eo);
    fscnn_session_options_init(&s->so);
    s->so.width = WIDTH, s->so.height = HEIGHT, s->so.threads = 1, s->so.tune = -1;
    fscnn_frame_init(&s->frame, FSCNN_RGB8, WIDTH, HEIGHT, s->rgb);
    fscnn_outputs_init(&s->outputs);
    s->outputs.labels = s->out.labels, s->outputs.logits = s->out.logits;
    return s;
}

static void state_close(state *s) {
    fscnn_session_close(&s->session);
    fscnn_engine_close(&s->engine);
    free(s);
}

// A copy of a struct as a newer header would have it: `more` bytes longer, these being `value`.
static void *longer(state *s, const void *from, size_t size, uint32_t more, int value) {
    memcpy(s->bigger, from, size);
    memset(s->bigger + size, value, more);
    const uint32_t claimed = (uint32_t)size + more;
    memcpy(s->bigger, &claimed, sizeof claimed);
    return s->bigger;
}

#define OPEN_ENGINE(weights) fscnn_engine_open(weights, &s->eo, &s->out.engine)
#define OPEN_SESSION() fscnn_session_open(s->engine, &s->so, &s->out.session)
#define RUN() fscnn_run(s->session, &s->frame, &s->outputs)
#define LONGER(x, value) longer(s, &(x), sizeof(x), 24, value)

static fscnn_status beyond_in_flight(state *s) {
    fscnn_outputs outputs = s->outputs;
    outputs.labels = s->other, outputs.logits = NULL;
    uint64_t a, b;
    cr_assert_eq(fscnn_submit(s->session, &s->frame, &outputs, &a), FSCNN_OK);
    cr_assert_eq(fscnn_submit(s->session, &s->frame, &outputs, &b), FSCNN_OK);
    cr_assert_eq(b, a + 1);
    const fscnn_status status = fscnn_submit(s->session, &s->frame, &s->outputs, &s->out.ticket);
    cr_assert_eq(fscnn_wait(s->session, b, -1), FSCNN_OK);
    return status;
}

static fscnn_status run_beyond_in_flight(state *s) {
    fscnn_outputs outputs = s->outputs;
    outputs.labels = s->other, outputs.logits = NULL;
    uint64_t a, b;
    cr_assert_eq(fscnn_submit(s->session, &s->frame, &outputs, &a), FSCNN_OK);
    cr_assert_eq(fscnn_submit(s->session, &s->frame, &outputs, &b), FSCNN_OK);
    const fscnn_status status = RUN();
    cr_assert_eq(fscnn_wait(s->session, a, -1), FSCNN_OK);
    cr_assert_eq(fscnn_wait(s->session, b, -1), FSCNN_OK);
    return status;
}

static fscnn_status wait_again(state *s, bool earlier) {
    fscnn_outputs outputs = s->outputs;
    outputs.labels = s->other, outputs.logits = NULL;
    uint64_t a, b;
    cr_assert_eq(fscnn_submit(s->session, &s->frame, &outputs, &a), FSCNN_OK);
    cr_assert_eq(fscnn_submit(s->session, &s->frame, &outputs, &b), FSCNN_OK);
    cr_assert_eq(fscnn_wait(s->session, b, -1), FSCNN_OK);
    return fscnn_wait(s->session, earlier ? a : b, earlier ? 0 : -1);
}

// clang-format off
#define MISUSES(X)                                                                                                     \
    X(engine_null_path, ARGUMENT, OPEN_ENGINE(NULL))                                                                   \
    X(engine_null_out, ARGUMENT, fscnn_engine_open("random:1", &s->eo, NULL))                                          \
    X(engine_no_file, IO, OPEN_ENGINE("/nonexistent/model.safetensors"))                                               \
    X(engine_empty_path, IO, OPEN_ENGINE(""))                                                                          \
    X(engine_folder, IO, OPEN_ENGINE("/tmp"))                                                                          \
    X(engine_not_a_model, FORMAT, OPEN_ENGINE(FS_SOURCE_DIR "/CMakeLists.txt"))                                        \
    X(seed_missing, ARGUMENT, OPEN_ENGINE("random:"))                                                                  \
    X(seed_word, ARGUMENT, OPEN_ENGINE("random:one"))                                                                  \
    X(seed_negative, ARGUMENT, OPEN_ENGINE("random:-1"))                                                               \
    X(seed_plus, ARGUMENT, OPEN_ENGINE("random:+1"))                                                                   \
    X(seed_space, ARGUMENT, OPEN_ENGINE("random: 1"))                                                                  \
    X(seed_fraction, ARGUMENT, OPEN_ENGINE("random:1.5"))                                                              \
    X(seed_hexadecimal, ARGUMENT, OPEN_ENGINE("random:0x10"))                                                          \
    X(seed_beyond_64_bits, ARGUMENT, OPEN_ENGINE("random:18446744073709551616"))                                       \
    X(engine_size_unset, ARGUMENT, (s->eo.struct_size = 0, OPEN_ENGINE("random:1")))                                   \
    X(engine_size_tiny, ARGUMENT, (s->eo.struct_size = 3, OPEN_ENGINE("random:1")))                                    \
    X(engine_size_huge, ARGUMENT, (s->eo.struct_size = UINT32_MAX, OPEN_ENGINE("random:1")))                           \
    X(engine_newer_field, UNSUPPORTED, fscnn_engine_open("random:1", LONGER(s->eo, 1), &s->out.engine))                \
    X(engine_backend, ARGUMENT, (s->eo.backend = (fscnn_backend)3, OPEN_ENGINE("random:1")))                           \
    X(engine_backend_negative, ARGUMENT, (s->eo.backend = (fscnn_backend)-1, OPEN_ENGINE("random:1")))                 \
    X(engine_precision, ARGUMENT, (s->eo.precision = (fscnn_precision)5, OPEN_ENGINE("random:1")))                     \
    X(engine_precision_negative, ARGUMENT, (s->eo.precision = (fscnn_precision)-1, OPEN_ENGINE("random:1")))           \
    X(engine_fp16_on_cpu, UNSUPPORTED,                                                                                 \
      (s->eo.backend = FSCNN_BACKEND_CPU, s->eo.precision = FSCNN_PRECISION_FP16, OPEN_ENGINE("random:1")))            \
    X(engine_fusion, ARGUMENT, (s->eo.disable_fusion = "none-such", OPEN_ENGINE("random:1")))                          \
    X(engine_kernels, ARGUMENT, (s->eo.kernels = "theirs", OPEN_ENGINE("random:1")))                                   \
    X(memory_null, ARGUMENT, fscnn_engine_open_memory(NULL, 8, &s->eo, &s->out.engine))                                \
    X(memory_null_out, ARGUMENT, fscnn_engine_open_memory(s->rgb, 8, &s->eo, NULL))                                    \
    X(memory_empty, FORMAT, fscnn_engine_open_memory(s->rgb, 0, &s->eo, &s->out.engine))                               \
    X(memory_noise, FORMAT, fscnn_engine_open_memory("\x02\0\0\0\0\0\0\0[]", 10, &s->eo, &s->out.engine))              \
    X(memory_size_unset, ARGUMENT,                                                                                     \
      (s->eo.struct_size = 0, fscnn_engine_open_memory(s->rgb, 8, &s->eo, &s->out.engine)))                            \
    X(info_null_engine, ARGUMENT, fscnn_engine_get_info(NULL, &s->out.ei))                                             \
    X(info_null, ARGUMENT, fscnn_engine_get_info(s->engine, NULL))                                                     \
    X(info_size_unset, ARGUMENT, (s->before.ei.struct_size = s->out.ei.struct_size = 0,                                \
      fscnn_engine_get_info(s->engine, &s->out.ei)))                                                                   \
    X(color_null_engine, ARGUMENT, fscnn_engine_class_color(NULL, 0, s->out.color))                                    \
    X(color_null, ARGUMENT, fscnn_engine_class_color(s->engine, 0, NULL))                                              \
    X(color_negative, ARGUMENT, fscnn_engine_class_color(s->engine, -1, s->out.color))                                 \
    X(color_beyond, ARGUMENT, fscnn_engine_class_color(s->engine, CLASSES, s->out.color))                              \
    X(session_null_engine, ARGUMENT, fscnn_session_open(NULL, &s->so, &s->out.session))                                \
    X(session_null_out, ARGUMENT, fscnn_session_open(s->engine, &s->so, NULL))                                         \
    X(session_size_unset, ARGUMENT, (s->so.struct_size = 0, OPEN_SESSION()))                                           \
    X(session_size_huge, ARGUMENT, (s->so.struct_size = 5000, OPEN_SESSION()))                                         \
    X(session_newer_field, UNSUPPORTED, fscnn_session_open(s->engine, LONGER(s->so, 1), &s->out.session))              \
    X(session_width_63, ARGUMENT, (s->so.width = 63, OPEN_SESSION()))                                                  \
    X(session_height_63, ARGUMENT, (s->so.height = 63, OPEN_SESSION()))                                                \
    X(session_width_negative, ARGUMENT, (s->so.width = -1, OPEN_SESSION()))                                            \
    X(session_height_negative, ARGUMENT, (s->so.height = INT32_MIN, OPEN_SESSION()))                                   \
    X(session_width_16385, ARGUMENT, (s->so.width = 16385, OPEN_SESSION()))                                            \
    X(session_height_2_30, ARGUMENT, (s->so.height = 1 << 30, OPEN_SESSION()))                                         \
    X(session_threads_negative, ARGUMENT, (s->so.threads = -1, OPEN_SESSION()))                                        \
    X(session_threads_absurd, ARGUMENT, (s->so.threads = 1 << 20, OPEN_SESSION()))                                     \
    X(session_in_flight_17, ARGUMENT, (s->so.in_flight = 17, OPEN_SESSION()))                                          \
    X(session_in_flight_negative, ARGUMENT, (s->so.in_flight = -2, OPEN_SESSION()))                                    \
    X(session_tune, ARGUMENT, (s->so.tune = 1, OPEN_SESSION()))                                                        \
    X(session_info_null_session, ARGUMENT, fscnn_session_get_info(NULL, &s->out.si))                                   \
    X(session_info_null, ARGUMENT, fscnn_session_get_info(s->session, NULL))                                           \
    X(session_info_size, ARGUMENT, (s->before.si.struct_size = s->out.si.struct_size = 2,                              \
      fscnn_session_get_info(s->session, &s->out.si)))                                                                 \
    X(run_null_session, ARGUMENT, fscnn_run(NULL, &s->frame, &s->outputs))                                             \
    X(run_null_frame, ARGUMENT, fscnn_run(s->session, NULL, &s->outputs))                                              \
    X(run_null_outputs, ARGUMENT, fscnn_run(s->session, &s->frame, NULL))                                              \
    X(submit_null_session, ARGUMENT, fscnn_submit(NULL, &s->frame, &s->outputs, &s->out.ticket))                       \
    X(submit_null_frame, ARGUMENT, fscnn_submit(s->session, NULL, &s->outputs, &s->out.ticket))                        \
    X(submit_null_outputs, ARGUMENT, fscnn_submit(s->session, &s->frame, NULL, &s->out.ticket))                        \
    X(submit_null_ticket, ARGUMENT, fscnn_submit(s->session, &s->frame, &s->outputs, NULL))                            \
    X(submit_bad_frame, ARGUMENT,                                                                                      \
      (s->frame.plane[0] = NULL, fscnn_submit(s->session, &s->frame, &s->outputs, &s->out.ticket)))                    \
    X(frame_size_unset, ARGUMENT, (s->frame.struct_size = 0, RUN()))                                                   \
    X(frame_size_huge, ARGUMENT, (s->frame.struct_size = 4097, RUN()))                                                 \
    X(frame_newer_field, UNSUPPORTED, fscnn_run(s->session, LONGER(s->frame, 1), &s->outputs))                         \
    X(frame_format_0, ARGUMENT, (s->frame.format = (fscnn_format)0, RUN()))                                            \
    X(frame_format_9, ARGUMENT, (s->frame.format = (fscnn_format)9, RUN()))                                            \
    X(frame_format_negative, ARGUMENT, (s->frame.format = (fscnn_format)-1, RUN()))                                    \
    X(frame_no_pixels, ARGUMENT, (s->frame.plane[0] = NULL, RUN()))                                                    \
    X(frame_width_0, ARGUMENT, (s->frame.width = 0, RUN()))                                                            \
    X(frame_height_0, ARGUMENT, (s->frame.height = 0, RUN()))                                                          \
    X(frame_width_negative, ARGUMENT, (s->frame.width = -WIDTH, RUN()))                                                \
    X(frame_width_2_30, ARGUMENT, (s->frame.width = 1 << 30, RUN()))                                                   \
    X(frame_narrower, ARGUMENT, (s->frame.width = WIDTH - 1, RUN()))                                                   \
    X(frame_taller, ARGUMENT, (s->frame.height = HEIGHT + 1, RUN()))                                                   \
    X(frame_turned, ARGUMENT, (s->frame.width = HEIGHT, s->frame.height = WIDTH, RUN()))                               \
    X(frame_stride_short, ARGUMENT, (s->frame.stride[0] = 3 * WIDTH - 1, RUN()))                                       \
    X(frame_stride_one, ARGUMENT, (s->frame.stride[0] = 1, RUN()))                                                     \
    X(frame_stride_absurd, ARGUMENT, (s->frame.stride[0] = SIZE_MAX, RUN()))                                           \
    X(frame_memory, ARGUMENT, (s->frame.memory = (fscnn_memory)3, RUN()))                                              \
    X(frame_on_device, UNSUPPORTED, (s->frame.memory = FSCNN_MEMORY_DEVICE, RUN()))                                    \
    X(frame_matrix, ARGUMENT, (s->frame.matrix = (fscnn_matrix)3, RUN()))                                              \
    X(frame_range, ARGUMENT, (s->frame.range = (fscnn_range)-1, RUN()))                                                \
    X(outputs_size_unset, ARGUMENT, (s->outputs.struct_size = 0, RUN()))                                               \
    X(outputs_newer_field, UNSUPPORTED, fscnn_run(s->session, &s->frame, LONGER(s->outputs, 1)))                       \
    X(outputs_none, ARGUMENT, (s->outputs.labels = NULL, s->outputs.logits = NULL, RUN()))                             \
    X(outputs_stride_short, ARGUMENT, (s->outputs.labels_stride = WIDTH - 1, RUN()))                                   \
    X(outputs_stride_absurd, ARGUMENT, (s->outputs.labels_stride = SIZE_MAX / 2, RUN()))                               \
    X(submit_beyond_in_flight, STATE, beyond_in_flight(s))                                                             \
    X(run_beyond_in_flight, STATE, run_beyond_in_flight(s))                                                            \
    X(wait_null, ARGUMENT, fscnn_wait(NULL, 1, -1))                                                                    \
    X(wait_twice, STATE, wait_again(s, false))                                                                         \
    X(wait_for_released, STATE, wait_again(s, true))                                                                   \
    X(wait_ticket_0, STATE, fscnn_wait(s->session, 0, -1))                                                             \
    X(wait_unknown, STATE, fscnn_wait(s->session, 1000, -1))                                                           \
    X(wait_unknown_huge, STATE, fscnn_wait(s->session, UINT64_MAX, 0))                                                 \
    X(plan_null_session, ARGUMENT, fscnn_session_plan(NULL, FSCNN_PLAN_TEXT, NULL, &s->out.text))                      \
    X(plan_null_text, ARGUMENT, fscnn_session_plan(s->session, FSCNN_PLAN_TEXT, NULL, NULL))                           \
    X(plan_format, ARGUMENT, fscnn_session_plan(s->session, (fscnn_plan_format)3, NULL, &s->out.text))                 \
    X(plan_device, ARGUMENT, fscnn_session_plan(s->session, FSCNN_PLAN_TEXT, "abacus", &s->out.text))                  \
    X(plan_device_empty, ARGUMENT, fscnn_session_plan(s->session, FSCNN_PLAN_JSON, "", &s->out.text))                  \
    X(query_auto, ARGUMENT, fscnn_backend_query(FSCNN_BACKEND_AUTO, &s->out.bi))                                       \
    X(query_unknown, ARGUMENT, fscnn_backend_query((fscnn_backend)9, &s->out.bi))                                      \
    X(query_null, ARGUMENT, fscnn_backend_query(FSCNN_BACKEND_CPU, NULL))                                              \
    X(query_size_unset, ARGUMENT, (s->before.bi.struct_size = s->out.bi.struct_size = 0,                               \
      fscnn_backend_query(FSCNN_BACKEND_CPU, &s->out.bi)))
// clang-format on

#define FUNCTION(name, status, call)                                                                                   \
    static fscnn_status misuse_##name(state *s) {                                                                      \
        (void)s;                                                                                                       \
        return call;                                                                                                   \
    }
MISUSES(FUNCTION)

#define ROW(name, status, call) {#name, FSCNN_ERR_##status, misuse_##name},
static const struct misuse {
    const char *name;
    fscnn_status status;
    fscnn_status (*call)(state *s);
} misuses[] = {MISUSES(ROW)};
enum { MISUSE_COUNT = sizeof misuses / sizeof misuses[0] };

// Numbers, because addresses may differ in the process that runs the case.
static int numbers[MISUSE_COUNT];

ParameterizedTestParameters(api, misuse) {
    for (int i = 0; i < MISUSE_COUNT; i++) numbers[i] = i;
    return cr_make_param_array(int, numbers, MISUSE_COUNT);
}

ParameterizedTest(int *number, api, misuse) {
    const struct misuse *m = &misuses[*number];
    state *s = state_open();
    s->before = s->out;
    const fscnn_status status = m->call(s);
    cr_assert_eq(status, m->status, "%s: got %s, wanted %s (%s)", m->name, fscnn_status_name(status),
                 fscnn_status_name(m->status), fscnn_error());
    cr_assert_gt(strlen(fscnn_error()), 10, "%s: message '%s'", m->name, fscnn_error());
    cr_assert_eq(memcmp(&s->out, &s->before, sizeof s->out), 0, "%s: an output was written", m->name);
    run_plain(s, s->other);
    cr_assert_eq(memcmp(s->other, s->expected, PIXELS), 0, "%s: the session computes something else now", m->name);
    fscnn_session *another = session_of(s->engine, 64, 64);
    fscnn_session_close(&another);
    state_close(s);
}

// ---- Structs of other versions

Test(api, structs_of_newer_versions_with_zeros) {
    state *s = state_open();
    fscnn_engine *engine = NULL;
    fscnn_session *session = NULL;
    cr_assert_eq(fscnn_engine_open("random:1", LONGER(s->eo, 0), &engine), FSCNN_OK, "%s", fscnn_error());
    cr_assert_eq(fscnn_session_open(engine, LONGER(s->so, 0), &session), FSCNN_OK, "%s", fscnn_error());
    cr_assert_eq(fscnn_run(session, LONGER(s->frame, 0), &s->outputs), FSCNN_OK, "%s", fscnn_error());
    cr_assert_eq(memcmp(s->out.labels, s->expected, PIXELS), 0);
    cr_assert_eq(fscnn_run(session, &s->frame, LONGER(s->outputs, 0)), FSCNN_OK, "%s", fscnn_error());
    fscnn_session_close(&session);
    fscnn_engine_close(&engine);
    state_close(s);
}

Test(api, structs_of_older_versions) {
    state *s = state_open();
    fscnn_engine *engine = NULL;
    s->eo.struct_size = sizeof s->eo.struct_size; // all else is as if zero, whatever follows
    s->eo.backend = (fscnn_backend)77;
    cr_assert_eq(fscnn_engine_open("random:1", &s->eo, &engine), FSCNN_OK, "%s", fscnn_error());
    fscnn_engine_close(&engine);
    fscnn_session *session = NULL;
    s->so.struct_size = offsetof(fscnn_session_options, tune);
    s->so.tune = 99;
    cr_assert_eq(fscnn_session_open(s->engine, &s->so, &session), FSCNN_OK, "%s", fscnn_error());
    fscnn_session_close(&session);
    s->outputs.struct_size = offsetof(fscnn_outputs, logits);
    cr_assert_eq(RUN(), FSCNN_OK, "%s", fscnn_error());
    cr_assert_eq(memcmp(s->out.labels, s->expected, PIXELS), 0);
    for (size_t i = 0; i < sizeof s->out.logits; i++) cr_assert_eq(((uint8_t *)s->out.logits)[i], CANARY);
    state_close(s);
}

Test(api, infos_of_other_versions) {
    state *s = state_open();
    fscnn_engine_info info;
    memset(&info, CANARY, sizeof info);
    info.struct_size = offsetof(fscnn_engine_info, variant);
    cr_assert_eq(fscnn_engine_get_info(s->engine, &info), FSCNN_OK);
    cr_assert_eq(info.classes, CLASSES);
    cr_assert_eq(info.struct_size, offsetof(fscnn_engine_info, variant));
    for (size_t i = info.struct_size; i < sizeof info; i++) cr_assert_eq(((uint8_t *)&info)[i], CANARY);
    fscnn_engine_info_init(&info);
    fscnn_engine_info *newer = LONGER(info, CANARY);
    cr_assert_eq(fscnn_engine_get_info(s->engine, newer), FSCNN_OK);
    cr_assert_eq(newer->classes, CLASSES);
    cr_assert_eq(newer->struct_size, sizeof info + 24);
    state_close(s);
}

Test(api, init_functions_take_null) {
    fscnn_engine_options_init(NULL);
    fscnn_engine_info_init(NULL);
    fscnn_backend_info_init(NULL);
    fscnn_session_options_init(NULL);
    fscnn_session_info_init(NULL);
    fscnn_outputs_init(NULL);
    fscnn_frame_init(NULL, FSCNN_RGB8, 1, 1, NULL);
}

// ---- Words

Test(api, version) {
    char want[32];
    snprintf(want, sizeof want, "%d.%d.%d", FSCNN_VERSION_MAJOR, FSCNN_VERSION_MINOR, FSCNN_VERSION_PATCH);
    cr_assert_str_eq(fscnn_version_string(), want);
}

Test(api, status_names) {
    static const struct {
        int value;
        const char *name;
    } names[] = {{0, "ok"},       {1, "argument"},  {2, "state"},    {3, "unsupported"}, {4, "timeout"}, {10, "io"},
                 {11, "format"},  {12, "weights"},  {13, "limit"},   {20, "memory"},     {21, "system"}, {30, "device"},
                 {31, "backend"}, {40, "internal"}, {-1, "unknown"}, {1000, "unknown"}};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        cr_assert_str_eq(fscnn_status_name((fscnn_status)names[i].value), names[i].name);
}

Test(api, error_text_is_empty_first_and_names_the_file) {
    cr_assert_str_eq(fscnn_error(), "");
    fscnn_engine *engine = NULL;
    cr_assert_eq(fscnn_engine_open("/nonexistent/file.safetensors", NULL, &engine), FSCNN_ERR_IO);
    cr_assert_not_null(strstr(fscnn_error(), "/nonexistent/file.safetensors"), "%s", fscnn_error());
}

Test(api, classes_of_cityscapes) {
    fscnn_engine *engine = random_engine(FSCNN_PRECISION_AUTO);
    static const struct {
        int index;
        const char *name;
        uint8_t rgb[3];
    } known[] = {{0, "road", {128, 64, 128}},
                 {10, "sky", {70, 130, 180}},
                 {13, "car", {0, 0, 142}},
                 {18, "bicycle", {119, 11, 32}}};
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        uint8_t rgb[3];
        cr_assert_str_eq(fscnn_engine_class_name(engine, known[i].index), known[i].name);
        cr_assert_eq(fscnn_engine_class_color(engine, known[i].index, rgb), FSCNN_OK);
        cr_assert_eq(memcmp(rgb, known[i].rgb, 3), 0, "colour of %s", known[i].name);
    }
    for (int i = 0; i < CLASSES; i++) cr_assert_gt(strlen(fscnn_engine_class_name(engine, i)), 0);
    cr_assert_null(fscnn_engine_class_name(engine, -1));
    cr_assert_null(fscnn_engine_class_name(engine, CLASSES));
    cr_assert_null(fscnn_engine_class_name(engine, INT32_MAX));
    cr_assert_null(fscnn_engine_class_name(NULL, 0));
    fscnn_engine_close(&engine);
}

typedef struct heard {
    int messages, level;
    char last[1024];
} heard;

static void hear(void *user, fscnn_log_level level, const char *message) {
    heard *h = user;
    h->messages++, h->level = (int)level;
    snprintf(h->last, sizeof h->last, "%s", message);
}

Test(api, log) {
    heard h = {0};
    fscnn_set_log(hear, &h, FSCNN_LOG_INFO);
    fscnn_engine *engine = random_engine(FSCNN_PRECISION_FP32);
    fscnn_engine_close(&engine);
    cr_assert_gt(h.messages, 0);
    cr_assert_leq(h.level, FSCNN_LOG_INFO);
    cr_assert_not_null(strstr(h.last, "19 classes"), "%s", h.last);

    const int messages = h.messages;
    fscnn_set_log(hear, &h, FSCNN_LOG_ERROR);
    engine = random_engine(FSCNN_PRECISION_FP32);
    fscnn_engine_close(&engine);
    fscnn_set_log(NULL, NULL, FSCNN_LOG_DEBUG);
    engine = random_engine(FSCNN_PRECISION_FP32);
    fscnn_engine_close(&engine);
    cr_assert_eq(h.messages, messages);
}

// ---- Handles

Test(api, close_takes_null_and_closes_once) {
    fscnn_engine_close(NULL);
    fscnn_session_close(NULL);
    fscnn_text_free(NULL);
    fscnn_engine *engine = NULL;
    fscnn_session *session = NULL;
    char *text = NULL;
    fscnn_engine_close(&engine);
    fscnn_session_close(&session);
    fscnn_text_free(&text);
    engine = random_engine(FSCNN_PRECISION_FP32);
    session = session_of(engine, 64, 64);
    cr_assert_eq(fscnn_session_plan(session, FSCNN_PLAN_TEXT, NULL, &text), FSCNN_OK);
    for (int i = 0; i < 2; i++) {
        fscnn_text_free(&text);
        cr_assert_null(text);
        fscnn_session_close(&session);
        cr_assert_null(session);
        fscnn_engine_close(&engine);
        cr_assert_null(engine);
    }
}

Test(api, sessions_outlive_the_engine_handle) {
    state *s = state_open();
    fscnn_session *second = session_of(s->engine, WIDTH, HEIGHT);
    fscnn_engine_close(&s->engine);
    run_plain(s, s->other);
    cr_assert_eq(memcmp(s->other, s->expected, PIXELS), 0);
    fscnn_session_close(&s->session);
    s->session = second;
    run_plain(s, s->other);
    cr_assert_eq(memcmp(s->other, s->expected, PIXELS), 0);
    char *text = NULL;
    cr_assert_eq(fscnn_session_plan(second, FSCNN_PLAN_JSON, NULL, &text), FSCNN_OK);
    fscnn_text_free(&text);
    state_close(s);
}

// ---- Information

Test(api, engine_info) {
    fscnn_engine *engine = random_engine(FSCNN_PRECISION_BF16);
    fscnn_engine_info info;
    fscnn_engine_info_init(&info);
    cr_assert_eq(fscnn_engine_get_info(engine, &info), FSCNN_OK);
    cr_assert_eq(info.backend, FSCNN_BACKEND_CPU);
    cr_assert_eq(info.precision, FSCNN_PRECISION_BF16);
    cr_assert_eq(info.channels, 3);
    cr_assert_eq(info.classes, CLASSES);
    cr_assert_str_eq(info.variant, "paper");
    cr_assert_str_eq(info.kernels, "own");
    cr_assert_gt(strlen(info.device), 0);
    cr_assert_gt(info.weights_bytes, 1000000); // 1.1 million parameters
    fscnn_engine_close(&engine);
    engine = random_engine(FSCNN_PRECISION_AUTO);
    cr_assert_eq(fscnn_engine_get_info(engine, &info), FSCNN_OK);
    cr_assert_neq(info.precision, FSCNN_PRECISION_AUTO);
    fscnn_engine_close(&engine);
}

Test(api, session_info) {
    fscnn_engine *engine = random_engine(FSCNN_PRECISION_FP32);
    fscnn_session_options options;
    fscnn_session_options_init(&options);
    options.width = 131, options.height = 97, options.threads = 3, options.in_flight = 16, options.tune = -1;
    fscnn_session *session = NULL;
    cr_assert_eq(fscnn_session_open(engine, &options, &session), FSCNN_OK);
    fscnn_session_info info;
    fscnn_session_info_init(&info);
    cr_assert_eq(fscnn_session_get_info(session, &info), FSCNN_OK);
    cr_assert_eq(info.width, 131);
    cr_assert_eq(info.height, 97);
    cr_assert_eq(info.threads, 3);
    cr_assert_eq(info.in_flight, 16);
    cr_assert_gt(info.steps, 3);
    cr_assert_gt(info.arena_bytes, 131 * 97);
    cr_assert_gt(info.scratch_bytes, 0);
    cr_assert_gt(info.flops, 1000000);
    fscnn_session_close(&session);
    fscnn_engine_close(&engine);
}

Test(api, backend_query) {
    fscnn_backend_info info;
    fscnn_backend_info_init(&info);
    cr_assert_eq(fscnn_backend_query(FSCNN_BACKEND_CPU, &info), FSCNN_OK);
    cr_assert_eq(info.usable, 1);
    cr_assert_gt(strlen(info.device), 0);
    cr_assert_gt(strlen(info.detail), 0);
    fscnn_backend_info_init(&info);
    cr_assert_eq(fscnn_backend_query(FSCNN_BACKEND_CUDA, &info), FSCNN_OK);
    cr_assert(info.usable == 0 || info.usable == 1);
    cr_assert_gt(strlen(info.detail), 0);
    fscnn_engine_options options;
    fscnn_engine_options_init(&options);
    options.backend = FSCNN_BACKEND_CUDA;
    fscnn_engine *engine = NULL;
    const fscnn_status status = fscnn_engine_open("random:1", &options, &engine);
    cr_assert_eq(status, info.usable ? FSCNN_OK : FSCNN_ERR_DEVICE);
    fscnn_engine_close(&engine);
}

static struct plan_case {
    int format;
    char device[16]; // "" for NULL
} plans[] = {{FSCNN_PLAN_TEXT, ""},     {FSCNN_PLAN_JSON, ""},        {FSCNN_PLAN_DOT, ""},
             {FSCNN_PLAN_TEXT, "h100"}, {FSCNN_PLAN_JSON, "a100"},    {FSCNN_PLAN_DOT, "orin"},
             {FSCNN_PLAN_TEXT, "cpu"},  {FSCNN_PLAN_JSON, "rtx4090"}, {FSCNN_PLAN_DOT, "cpu"}};

ParameterizedTestParameters(api, plan) {
    return cr_make_param_array(struct plan_case, plans, sizeof plans / sizeof plans[0]);
}

ParameterizedTest(struct plan_case *c, api, plan) {
    state *s = state_open();
    char *text = NULL;
    const char *device = c->device[0] ? c->device : NULL;
    cr_assert_eq(fscnn_session_plan(s->session, (fscnn_plan_format)c->format, device, &text), FSCNN_OK, "%s",
                 fscnn_error());
    cr_assert_gt(strlen(text), 500);
    const size_t length = strlen(text);
    if (c->format == FSCNN_PLAN_JSON) cr_assert(text[0] == '{' && strrchr(text, '}') > text + length - 3);
    if (c->format == FSCNN_PLAN_DOT) cr_assert(strncmp(text, "digraph", 7) == 0);
    cr_assert_not_null(strstr(text, "gfe.b1.0"), "the plan does not name its steps");
    fscnn_text_free(&text);
    cr_assert_null(text);
    state_close(s);
}

// ---- Weights

static fscnn_engine *from_file_and_memory(const test_file *file, state *s, uint8_t *labels[2]) {
    bytes b = test_file_bytes(file);
    char folder[64], path[128];
    test_folder(folder);
    snprintf(path, sizeof path, "%s/model.safetensors", folder);
    test_write(path, b.data, b.size);
    fscnn_engine *engine = NULL;
    for (int i = 0; i < 2; i++) {
        fscnn_engine_close(&engine);
        s->eo.precision = FSCNN_PRECISION_FP32;
        const fscnn_status status =
            i ? fscnn_engine_open_memory(b.data, b.size, &s->eo, &engine) : fscnn_engine_open(path, &s->eo, &engine);
        cr_assert_eq(status, FSCNN_OK, "%s", fscnn_error());
        if (i) { // both were copied
            memset(b.data, 0, b.size);
            bytes_free(&b);
        } else {
            test_write(path, "", 0);
        }
        fscnn_session_close(&s->session);
        s->session = session_of(engine, WIDTH, HEIGHT);
        run_plain(s, labels[i]);
    }
    test_folder_remove(folder);
    return engine;
}

Test(api, memory_is_read_like_a_file_and_copied) {
    state *s = state_open();
    uint8_t first[PIXELS], second[PIXELS], *labels[2] = {first, second};
    test_file file = test_file_paper();
    fscnn_engine *engine = from_file_and_memory(&file, s, labels);
    cr_assert_eq(memcmp(first, second, PIXELS), 0);
    fscnn_engine_close(&engine);
    test_file_free(&file);
    state_close(s);
}

Test(api, classes_without_names) {
    state *s = state_open();
    uint8_t first[PIXELS], second[PIXELS], *labels[2] = {first, second};
    fs_model model;
    fs_model_init(&model, FS_PAPER);
    model.classes = 5;
    test_file file = test_file_model(&model);
    fscnn_engine *engine = from_file_and_memory(&file, s, labels);
    cr_assert_str_eq(fscnn_engine_class_name(engine, 4), "class 4");
    cr_assert_null(fscnn_engine_class_name(engine, 5));
    for (int i = 0; i < PIXELS; i++) cr_assert_lt(first[i], 5);
    fscnn_engine_close(&engine);
    test_file_free(&file);
    state_close(s);
}

Test(api, seeds) {
    state *s = state_open();
    static const char *const same[] = {"random:1", "random:01"};
    for (int i = 0; i < 3; i++) {
        fscnn_engine *engine = NULL;
        s->eo.precision = FSCNN_PRECISION_FP32;
        cr_assert_eq(fscnn_engine_open(i < 2 ? same[i] : "random:18446744073709551615", &s->eo, &engine), FSCNN_OK);
        fscnn_session_close(&s->session);
        s->session = session_of(engine, WIDTH, HEIGHT);
        fscnn_engine_close(&engine);
        run_plain(s, s->other);
        cr_assert_eq(memcmp(s->other, s->expected, PIXELS) == 0, i < 2);
    }
    state_close(s);
}

// ---- Frames and outputs

Test(api, tickets_and_timeouts) {
    state *s = state_open();
    uint64_t first, second;
    fscnn_outputs outputs = s->outputs;
    outputs.labels = s->other, outputs.logits = NULL;
    cr_assert_eq(fscnn_submit(s->session, &s->frame, &outputs, &first), FSCNN_OK);
    cr_assert_eq(first, 2); // the fixture ran one
    fscnn_status status;
    do status = fscnn_wait(s->session, first, 0);
    while (status == FSCNN_ERR_TIMEOUT);
    cr_assert_eq(status, FSCNN_OK);
    cr_assert_eq(memcmp(s->other, s->expected, PIXELS), 0);
    cr_assert_eq(fscnn_submit(s->session, &s->frame, &outputs, &second), FSCNN_OK);
    cr_assert_eq(second, 3);
    cr_assert_eq(fscnn_wait(s->session, second, INT64_MAX), FSCNN_OK);
    cr_assert_eq(fscnn_submit(s->session, &s->frame, &outputs, &second), FSCNN_OK);
    cr_assert_eq(fscnn_wait(s->session, second, INT64_MIN), FSCNN_OK);
    state_close(s);
}

Test(api, a_poll_that_times_out_leaves_the_frame_running) {
    enum { LARGE = 1024 };
    fscnn_engine *engine = random_engine(FSCNN_PRECISION_FP32);
    fscnn_session *session = session_of(engine, LARGE, LARGE);
    uint8_t *pixels = malloc((size_t)LARGE * LARGE * 3), *labels = malloc((size_t)LARGE * LARGE);
    cr_assert(pixels && labels);
    fill(pixels, (size_t)LARGE * LARGE * 3);
    memset(labels, CANARY, (size_t)LARGE * LARGE);
    fscnn_frame frame;
    fscnn_frame_init(&frame, FSCNN_RGB8, LARGE, LARGE, pixels);
    fscnn_outputs outputs;
    fscnn_outputs_init(&outputs);
    outputs.labels = labels;
    uint64_t ticket;
    cr_assert_eq(fscnn_submit(session, &frame, &outputs, &ticket), FSCNN_OK);
    cr_assert_eq(fscnn_wait(session, ticket, 0), FSCNN_ERR_TIMEOUT);
    cr_assert_gt(strlen(fscnn_error()), 0);
    cr_assert_eq(fscnn_wait(session, ticket, 1), FSCNN_ERR_TIMEOUT);
    cr_assert_eq(fscnn_wait(session, ticket, -1), FSCNN_OK);
    for (size_t i = 0; i < (size_t)LARGE * LARGE; i++) cr_assert_lt(labels[i], CLASSES);
    // Closing waits for a frame in flight.
    memset(labels, CANARY, (size_t)LARGE * LARGE);
    cr_assert_eq(fscnn_submit(session, &frame, &outputs, &ticket), FSCNN_OK);
    fscnn_session_close(&session);
    for (size_t i = 0; i < (size_t)LARGE * LARGE; i++) cr_assert_lt(labels[i], CLASSES);
    free(pixels), free(labels);
    fscnn_engine_close(&engine);
}

// Labels of other formats, against those of an RGB8 frame with the same pixels.
static struct format_case {
    int format, pixel, order[3], padding;
} formats[] = {{FSCNN_RGB8, 3, {0, 1, 2}, 13},  {FSCNN_BGR8, 3, {2, 1, 0}, 0},   {FSCNN_BGR8, 3, {2, 1, 0}, 5},
               {FSCNN_RGBA8, 4, {0, 1, 2}, 0},  {FSCNN_RGBA8, 4, {0, 1, 2}, 60}, {FSCNN_BGRA8, 4, {2, 1, 0}, 0},
               {FSCNN_BGRA8, 4, {2, 1, 0}, 1},  {FSCNN_GRAY8, 1, {0, 0, 0}, 0},  {FSCNN_GRAY8, 1, {0, 0, 0}, 7},
               {FSCNN_RGB8, 3, {0, 1, 2}, 4096}};

ParameterizedTestParameters(api, formats_equal_rgb) {
    return cr_make_param_array(struct format_case, formats, sizeof formats / sizeof formats[0]);
}

ParameterizedTest(struct format_case *c, api, formats_equal_rgb) {
    state *s = state_open();
    if (c->format == FSCNN_GRAY8) {
        for (int i = 0; i < PIXELS; i++) s->rgb[3 * i + 1] = s->rgb[3 * i + 2] = s->rgb[3 * i];
        run_plain(s, s->expected);
    }
    const size_t stride = (size_t)(WIDTH * c->pixel + c->padding);
    // No padding behind the last row: a sanitizer sees any read beyond it.
    const size_t size = stride * HEIGHT - (size_t)c->padding;
    uint8_t *pixels = malloc(size);
    cr_assert_not_null(pixels);
    memset(pixels, 0xc3, size); // padding and A are noise
    for (int y = 0; y < HEIGHT; y++)
        for (int x = 0; x < WIDTH; x++)
            for (int k = 0; k < 3; k++)
                pixels[(size_t)y * stride + (size_t)(x * c->pixel + c->order[k])] = s->rgb[3 * (y * WIDTH + x) + k];
    fscnn_frame_init(&s->frame, (fscnn_format)c->format, WIDTH, HEIGHT, pixels);
    s->frame.stride[0] = c->padding ? stride : 0;
    cr_assert_eq(RUN(), FSCNN_OK, "%s", fscnn_error());
    cr_assert_eq(memcmp(s->out.labels, s->expected, PIXELS), 0);
    free(pixels);
    state_close(s);
}

static int unsupported_formats[] = {FSCNN_NV12, FSCNN_I420, FSCNN_PLANAR_F32};

ParameterizedTestParameters(api, formats_of_the_gpu_only) {
    return cr_make_param_array(int, unsupported_formats, sizeof unsupported_formats / sizeof(int));
}

ParameterizedTest(int *format, api, formats_of_the_gpu_only) {
    state *s = state_open();
    s->frame.format = (fscnn_format)*format;
    cr_assert_eq(RUN(), FSCNN_ERR_ARGUMENT); // planes 1 and 2 are NULL
    float *planes = calloc(PIXELS, sizeof(float));
    for (int i = 0; i < 3; i++) s->frame.plane[i] = planes;
    cr_assert_eq(RUN(), FSCNN_ERR_UNSUPPORTED);
    cr_assert_eq(s->out.labels[0], CANARY);
    free(planes);
    state_close(s);
}

Test(api, labels_map) {
    state *s = state_open();
    uint8_t map[256];
    for (int i = 0; i < 256; i++) map[i] = (uint8_t)(255 - 3 * i);
    s->outputs.labels_map = map;
    cr_assert_eq(RUN(), FSCNN_OK);
    for (int i = 0; i < PIXELS; i++) cr_assert_eq(s->out.labels[i], map[s->expected[i]]);
    state_close(s);
}

static int gaps[] = {1, 8, 63, 1000};

ParameterizedTestParameters(api, labels_stride_leaves_gaps) {
    return cr_make_param_array(int, gaps, sizeof gaps / sizeof gaps[0]);
}

ParameterizedTest(int *gap, api, labels_stride_leaves_gaps) {
    state *s = state_open();
    const size_t stride = WIDTH + (size_t)*gap, size = stride * (HEIGHT - 1) + WIDTH;
    uint8_t *labels = malloc(size);
    cr_assert_not_null(labels);
    memset(labels, CANARY, size);
    s->outputs.labels = labels, s->outputs.labels_stride = stride;
    cr_assert_eq(RUN(), FSCNN_OK);
    for (size_t i = 0; i < size; i++) {
        const size_t x = i % stride, y = i / stride;
        cr_assert_eq(labels[i], x < WIDTH ? s->expected[y * WIDTH + x] : CANARY, "at row %zu, column %zu", y, x);
    }
    free(labels);
    state_close(s);
}

Test(api, only_logits) {
    state *s = state_open();
    float *both = malloc(sizeof s->out.logits);
    cr_assert_not_null(both);
    s->outputs.logits = both;
    cr_assert_eq(RUN(), FSCNN_OK);
    memset(s->out.labels, CANARY, PIXELS);
    s->outputs.labels = NULL, s->outputs.logits = s->out.logits;
    cr_assert_eq(RUN(), FSCNN_OK);
    cr_assert_eq(memcmp(both, s->out.logits, sizeof s->out.logits), 0);
    for (int i = 0; i < PIXELS; i++) cr_assert_eq(s->out.labels[i], CANARY);
    free(both);
    state_close(s);
}

static int precisions[] = {FSCNN_PRECISION_FP32, FSCNN_PRECISION_BF16};

ParameterizedTestParameters(api, labels_are_the_argmax_of_logits) {
    return cr_make_param_array(int, precisions, 2);
}

ParameterizedTest(int *precision, api, labels_are_the_argmax_of_logits) {
    state *s = state_open();
    fscnn_session_close(&s->session);
    fscnn_engine_close(&s->engine);
    s->engine = random_engine((fscnn_precision)*precision);
    s->session = session_of(s->engine, WIDTH, HEIGHT);
    cr_assert_eq(RUN(), FSCNN_OK);
    int seen[CLASSES] = {0}, several = 0, ties = 0;
    for (int i = 0; i < PIXELS; i++) {
        int best = 0;
        for (int c = 1; c < CLASSES; c++)
            if (s->out.logits[c * PIXELS + i] > s->out.logits[best * PIXELS + i]) best = c;
        const int label = s->out.labels[i];
        cr_assert_lt(label, CLASSES);
        several += seen[label]++ == 0;
        if (label == best) continue;
        // Both are interpolated in float, in another order of additions: only such a rounding may decide otherwise.
        const float top = s->out.logits[best * PIXELS + i], chosen = s->out.logits[label * PIXELS + i];
        cr_assert_leq(top - chosen, 1e-5f * (1 + fabsf(top)), "pixel %d: class %d, logits say %d", i, label, best);
        ties++;
    }
    cr_assert_gt(several, 1, "a single class cannot show anything");
    cr_assert_lt(ties, PIXELS / 100);
    state_close(s);
}
