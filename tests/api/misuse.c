// Every misuse of the public API: its documented status and words, no crash, outputs untouched, the objects usable
// after it. The table in docs/api-errors.md is what this program prints with the argument "table", and is compared with
// it. With the argument "cuda" the same rows on the CUDA backend over the simulated runtime (FASTSCNN_CUDA_MODULE; exit
// status 77 without it).
#include <math.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fastscnn/fastscnn.h"

enum { SIDE = 64, PIXELS = SIDE * SIDE, CLASSES = 19, STEPS = 64, ON_CPU = 1, ON_CUDA = 2, EVERYWHERE = 3 };
static const char DOCUMENT[] = FS_SOURCE_DIR "/docs/api-errors.md";

static int here; // ON_CPU or ON_CUDA
static int failures;
static char table[65536];
static size_t table_length;

static fscnn_engine *engine;
static fscnn_session *session;
static _Alignas(16) uint8_t pixels[PIXELS * 12];
static uint8_t labels[PIXELS], want[PIXELS];
static fscnn_frame frame;
static fscnn_outputs outputs;

static void fail(const char *call, const char *misuse, const char *format, ...) __attribute__((format(printf, 3, 4)));
static void fail(const char *call, const char *misuse, const char *format, ...) {
    va_list args;
    va_start(args, format);
    fprintf(stderr, "%s, %s: ", call, misuse);
    vfprintf(stderr, format, args);
    fprintf(stderr, "\n");
    va_end(args);
    failures++;
}

// ---- Rows ----------------------------------------------------------------------------------------------------------

// Rows of the same words follow each other and stand in the table once.
static void print_row(int backends, const char *call, const char *misuse, const char *status, const char *words) {
    static char last[512];
    char line[512];
    const char *backend = backends == ON_CPU ? "CPU: " : backends == ON_CUDA ? "CUDA: " : "";
    snprintf(line, sizeof line, "| `%s` | %s%s | %s | %s |\n", call, backend, misuse, status, words);
    if (strcmp(line, last) == 0) return;
    memcpy(last, line, sizeof last);
    table_length += (size_t)snprintf(table + table_length, sizeof table - table_length, "%s", line);
    if (table_length >= sizeof table) abort();
}

static bool poisoned(void) {
    for (int i = 0; i < PIXELS; i++)
        if (labels[i] != 0xee) return false;
    return true;
}

// Frames, outputs and a text of the thread's error that no failure of the library has.
static void fresh(void) {
    memset(labels, 0xee, sizeof labels);
    fscnn_frame_init(&frame, FSCNN_RGB8, SIDE, SIDE, pixels);
    fscnn_outputs_init(&outputs);
    outputs.labels = labels;
    fscnn_engine_class_color(NULL, 4711, NULL);
}

// The session still works. The simulated device is slow, so there not after each row.
static void still_usable(const char *call, const char *misuse) {
    static int rows;
    if (here == ON_CUDA && ++rows % 10) return;
    fresh();
    if (fscnn_run(session, &frame, &outputs) != FSCNN_OK || memcmp(labels, want, PIXELS) != 0)
        fail(call, misuse, "the session is not usable afterwards: %s", fscnn_error());
}

static void check_row(const char *call, const char *misuse, fscnn_status wanted, const char *words, fscnn_status got) {
    if (got != wanted)
        fail(call, misuse, "%s, not %s (%s)", fscnn_status_name(got), fscnn_status_name(wanted), fscnn_error());
    if (strstr(fscnn_error(), words) == NULL || strstr(fscnn_error(), "4711"))
        fail(call, misuse, "'%s' does not say '%s'", fscnn_error(), words);
    if (!poisoned()) fail(call, misuse, "outputs were written");
    still_usable(call, misuse);
    fresh();
}

// What `expression`, a status, must be, and what fscnn_error() then says.
#define ROW(backends, call, misuse, status, words, expression)                                                         \
    do {                                                                                                               \
        print_row(backends, call, misuse, "`" #status "`", "`" words "`");                                             \
        if ((backends)&here) check_row(call, misuse, FSCNN_ERR_##status, words, (expression));                         \
    } while (0)

// Calls without a status: `outcome` in words, and whether it is so.
#define QUIET(call, misuse, outcome, condition)                                                                        \
    do {                                                                                                               \
        print_row(EVERYWHERE, call, misuse, outcome, "");                                                              \
        if (!(condition)) fail(call, misuse, "not so: %s", outcome);                                                   \
    } while (0)

// An expression that first sets fields; gives the last value.
#define WITH(...) (__VA_ARGS__)

static void section(const char *title) {
    table_length +=
        (size_t)snprintf(table + table_length, sizeof table - table_length,
                         "%s**%s**\n\n| call | misuse | status | `fscnn_error()` says |\n|---|---|---|---|\n",
                         table_length ? "\n" : "", title);
}

// ---- Engines -------------------------------------------------------------------------------------------------------

static fscnn_engine_options engine_options(void) {
    fscnn_engine_options o;
    fscnn_engine_options_init(&o);
    o.backend = here == ON_CUDA ? FSCNN_BACKEND_CUDA : FSCNN_BACKEND_CPU;
    return o;
}

static fscnn_status open_with(const fscnn_engine_options *o) {
    fscnn_engine *none = NULL;
    const fscnn_status status = fscnn_engine_open("random:1", o, &none);
    if (none) fail("fscnn_engine_open", "", "an engine was opened");
    fscnn_engine_close(&none);
    return status;
}

static fscnn_status open_file(const char *weights) {
    fscnn_engine *none = NULL;
    const fscnn_status status = fscnn_engine_open(weights, NULL, &none);
    if (none) fail("fscnn_engine_open", weights, "an engine was opened");
    return status;
}

static void engines(void) {
    fscnn_engine *none = NULL;
    fscnn_engine_options o;
    section("Engines");
    const char *call = "fscnn_engine_open";
    ROW(3, call, "`weights` or `engine` is NULL", ARGUMENT, "must not be NULL", fscnn_engine_open(NULL, NULL, &none));
    ROW(3, call, "`weights` or `engine` is NULL", ARGUMENT, "must not be NULL",
        fscnn_engine_open("random:1", NULL, NULL));
    ROW(3, call, "no such file", IO, "cannot be opened", open_file("/no/such/file.safetensors"));
    ROW(3, call, "a file of another kind", FORMAT, "not a sound safetensors file", open_file(DOCUMENT));
    ROW(3, call, "`random:` without a number", ARGUMENT, "write random:SEED", open_file("random:x"));
    o = engine_options(), o.struct_size = 0;
    ROW(3, call, "`struct_size` was never set", ARGUMENT, "fscnn_engine_options_init first", open_with(&o));
    struct {
        fscnn_engine_options known;
        uint64_t more;
    } newer = {engine_options(), 1};
    newer.known.struct_size = sizeof newer;
    ROW(3, call, "a newer struct asks for what this version does not know", UNSUPPORTED, "update the library",
        open_with(&newer.known));
    o = engine_options(), o.backend = (fscnn_backend)7;
    ROW(3, call, "`backend` is none of its values", ARGUMENT, "none of the fscnn_backend values", open_with(&o));
    o = engine_options(), o.precision = (fscnn_precision)9;
    ROW(3, call, "`precision` is none of its values", ARGUMENT, "none of the fscnn_precision values", open_with(&o));
    o = engine_options(), o.precision = here == ON_CUDA ? FSCNN_PRECISION_BF16 : FSCNN_PRECISION_FP16;
    ROW(3, call, "`precision` is one that the backend does not run", UNSUPPORTED, "does not run", open_with(&o));
    o = engine_options(), o.device = -1;
    ROW(3, call, "`device` is negative", ARGUMENT, "no GPU's ordinal", open_with(&o));
    o = engine_options(), o.device = 99;
    ROW(ON_CUDA, call, "`device` is a GPU that is not there", DEVICE, "there is no GPU 99", open_with(&o));
    o = engine_options(), o.disable_fusion = "head,nonsense";
    ROW(3, call, "`disable_fusion` has an unknown name", ARGUMENT, "'nonsense'", open_with(&o));
    o = engine_options(), o.kernels = "mkl";
    ROW(3, call, "`kernels` is unknown", ARGUMENT, "known: auto, own, onednn", open_with(&o));
    o = engine_options(), o.kernels = "onednn";
    ROW(ON_CUDA, call, "`kernels` is onednn", UNSUPPORTED, "belong to the CPU backend", open_with(&o));
    call = "fscnn_engine_open_memory";
    ROW(3, call, "`data` or `engine` is NULL", ARGUMENT, "must not be NULL",
        fscnn_engine_open_memory(NULL, 8, NULL, &none));
    ROW(3, call, "`data` or `engine` is NULL", ARGUMENT, "must not be NULL",
        fscnn_engine_open_memory(pixels, 8, NULL, NULL));
    ROW(3, call, "bytes of another kind, or none", FORMAT, "weights in memory",
        fscnn_engine_open_memory(pixels, sizeof pixels, NULL, &none));
    ROW(3, call, "bytes of another kind, or none", FORMAT, "weights in memory",
        fscnn_engine_open_memory(pixels, 0, NULL, &none));
    fscnn_engine_close(NULL);
    fscnn_engine_close(&none);
    QUIET("fscnn_engine_close", "NULL, a pointer to NULL, an engine closed before", "nothing happens", none == NULL);
    fscnn_engine_info info;
    fscnn_engine_info_init(&info);
    call = "fscnn_engine_get_info";
    ROW(3, call, "`engine` or `info` is NULL", ARGUMENT, "must not be NULL", fscnn_engine_get_info(NULL, &info));
    ROW(3, call, "`engine` or `info` is NULL", ARGUMENT, "must not be NULL", fscnn_engine_get_info(engine, NULL));
    ROW(3, call, "`struct_size` was never set", ARGUMENT, "fscnn_engine_info_init first",
        WITH(info.struct_size = 0, fscnn_engine_get_info(engine, &info)));
    QUIET("fscnn_engine_class_name", "`engine` is NULL, no such class", "returns NULL",
          !fscnn_engine_class_name(NULL, 0) && !fscnn_engine_class_name(engine, -1) &&
              !fscnn_engine_class_name(engine, CLASSES));
    uint8_t rgb[3];
    call = "fscnn_engine_class_color";
    ROW(3, call, "NULL, no such class", ARGUMENT, "is not one of the model's", fscnn_engine_class_color(NULL, 0, rgb));
    ROW(3, call, "NULL, no such class", ARGUMENT, "is not one of the model's",
        fscnn_engine_class_color(engine, CLASSES, rgb));
    ROW(3, call, "NULL, no such class", ARGUMENT, "is not one of the model's",
        fscnn_engine_class_color(engine, 0, NULL));
    call = "fscnn_engine_profiler_window";
    ROW(3, call, "`engine` is NULL", ARGUMENT, "engine is NULL", fscnn_engine_profiler_window(NULL, 1));
    ROW(ON_CPU, call, "any engine", UNSUPPORTED, "has no profiler window", fscnn_engine_profiler_window(engine, 1));
    fscnn_backend_info backend;
    fscnn_backend_info_init(&backend);
    call = "fscnn_backend_query";
    ROW(3, call, "`info` is NULL", ARGUMENT, "info is NULL", fscnn_backend_query(FSCNN_BACKEND_CPU, NULL));
    ROW(3, call, "AUTO, or none of the values", ARGUMENT, "ask for FSCNN_BACKEND_CPU",
        fscnn_backend_query(FSCNN_BACKEND_AUTO, &backend));
    ROW(3, call, "AUTO, or none of the values", ARGUMENT, "ask for FSCNN_BACKEND_CPU",
        fscnn_backend_query((fscnn_backend)9, &backend));
    ROW(3, call, "`struct_size` was never set", ARGUMENT, "fscnn_backend_info_init first",
        WITH(backend.struct_size = 0, fscnn_backend_query(FSCNN_BACKEND_CPU, &backend)));
}

static void buffers(void) {
    void *none = NULL;
    // A sanitizer ends the program at what it finds absurd; the library finds this to overflow before asking for it.
    const size_t too_many = here == ON_CPU ? SIZE_MAX - 8 : SIZE_MAX / 4;
    section("Buffers");
    const char *call = "fscnn_buffer_alloc";
    ROW(3, call, "NULL, or no bytes", ARGUMENT, "must not be zero",
        fscnn_buffer_alloc(NULL, FSCNN_MEMORY_HOST, 8, &none));
    ROW(3, call, "NULL, or no bytes", ARGUMENT, "must not be zero",
        fscnn_buffer_alloc(engine, FSCNN_MEMORY_HOST, 8, NULL));
    ROW(3, call, "NULL, or no bytes", ARGUMENT, "must not be zero",
        fscnn_buffer_alloc(engine, FSCNN_MEMORY_HOST, 0, &none));
    ROW(3, call, "`memory` is none of its values", ARGUMENT, "none of the fscnn_memory values",
        fscnn_buffer_alloc(engine, (fscnn_memory)3, 8, &none));
    ROW(3, call, "more bytes than there are", MEMORY, "out of",
        fscnn_buffer_alloc(engine, FSCNN_MEMORY_PINNED, too_many, &none));
    ROW(ON_CPU, call, "`memory` is DEVICE", UNSUPPORTED, "has no device memory",
        fscnn_buffer_alloc(engine, FSCNN_MEMORY_DEVICE, 8, &none));
    fscnn_buffer_free(NULL, FSCNN_MEMORY_HOST, &none);
    fscnn_buffer_free(engine, FSCNN_MEMORY_HOST, NULL);
    fscnn_buffer_free(engine, FSCNN_MEMORY_HOST, &none);
    QUIET("fscnn_buffer_free", "NULL, a pointer to NULL, a buffer freed before", "nothing happens", none == NULL);
    call = "fscnn_buffer_copy";
    ROW(3, call, "NULL", ARGUMENT, "must not be NULL", fscnn_buffer_copy(NULL, labels, pixels, 8));
    ROW(3, call, "NULL", ARGUMENT, "must not be NULL", fscnn_buffer_copy(engine, NULL, pixels, 8));
    ROW(3, call, "NULL", ARGUMENT, "must not be NULL", fscnn_buffer_copy(engine, labels, NULL, 8));
}

// ---- Sessions ------------------------------------------------------------------------------------------------------

static fscnn_session_options small(void) {
    fscnn_session_options o;
    fscnn_session_options_init(&o);
    o.width = o.height = SIDE, o.threads = 1, o.in_flight = 2, o.tune = -1;
    return o;
}

static fscnn_status open_session(const fscnn_session_options *o) {
    fscnn_session *none = NULL;
    const fscnn_status status = fscnn_session_open(engine, o, &none);
    if (none) fail("fscnn_session_open", "", "a session was opened");
    fscnn_session_close(&none);
    return status;
}

static void sessions(void) {
    fscnn_session *none = NULL;
    fscnn_session_options o;
    section("Sessions");
    const char *call = "fscnn_session_open";
    ROW(3, call, "`engine` or `session` is NULL", ARGUMENT, "must not be NULL", fscnn_session_open(NULL, NULL, &none));
    ROW(3, call, "`engine` or `session` is NULL", ARGUMENT, "must not be NULL", fscnn_session_open(engine, NULL, NULL));
    o = small(), o.struct_size = 3;
    ROW(3, call, "`struct_size` was never set", ARGUMENT, "fscnn_session_options_init first", open_session(&o));
    o = small(), o.width = 63;
    ROW(3, call, "`width` or `height` is not 64 to 16384", ARGUMENT, "is outside", open_session(&o));
    o = small(), o.height = 16385;
    ROW(3, call, "`width` or `height` is not 64 to 16384", ARGUMENT, "is outside", open_session(&o));
    o = small(), o.threads = 257;
    ROW(3, call, "`threads` is negative or above 256", ARGUMENT, "is outside 0..256", open_session(&o));
    o = small(), o.threads = -1;
    ROW(3, call, "`threads` is negative or above 256", ARGUMENT, "is outside 0..256", open_session(&o));
    o = small(), o.in_flight = 17;
    ROW(3, call, "`in_flight` is negative or above 16", ARGUMENT, "is outside 0..16", open_session(&o));
    o = small(), o.in_flight = -1;
    ROW(3, call, "`in_flight` is negative or above 16", ARGUMENT, "is outside 0..16", open_session(&o));
    o = small(), o.tune = 1;
    ROW(3, call, "`tune` is neither 0 nor -1", ARGUMENT, "is neither 0 nor -1", open_session(&o));
    o = small(), o.eager = 1;
    ROW(ON_CPU, call, "`stream` or `eager` is set", UNSUPPORTED, "options of the CUDA backend", open_session(&o));
    o = small(), o.stream = pixels;
    ROW(ON_CPU, call, "`stream` or `eager` is set", UNSUPPORTED, "options of the CUDA backend", open_session(&o));
    fscnn_session_close(NULL);
    fscnn_session_close(&none);
    QUIET("fscnn_session_close", "NULL, a pointer to NULL, a session closed before", "nothing happens", none == NULL);
    fscnn_session_info info;
    fscnn_session_info_init(&info);
    call = "fscnn_session_get_info";
    ROW(3, call, "`session` or `info` is NULL", ARGUMENT, "must not be NULL", fscnn_session_get_info(NULL, &info));
    ROW(3, call, "`session` or `info` is NULL", ARGUMENT, "must not be NULL", fscnn_session_get_info(session, NULL));
    ROW(3, call, "`struct_size` was never set", ARGUMENT, "fscnn_session_info_init first",
        WITH(info.struct_size = 0, fscnn_session_get_info(session, &info)));
}

static void plans(void) {
    fscnn_session_info session_info;
    fscnn_session_info_init(&session_info);
    fscnn_session_get_info(session, &session_info);
    const int steps = session_info.steps;
    char *text = NULL;
    section("Plans and steps");
    const char *call = "fscnn_session_plan";
    ROW(3, call, "`session` or `text` is NULL", ARGUMENT, "must not be NULL",
        fscnn_session_plan(NULL, FSCNN_PLAN_TEXT, NULL, &text));
    ROW(3, call, "`session` or `text` is NULL", ARGUMENT, "must not be NULL",
        fscnn_session_plan(session, FSCNN_PLAN_TEXT, NULL, NULL));
    ROW(3, call, "`format` is none of its values", ARGUMENT, "none of the fscnn_plan_format values",
        fscnn_session_plan(session, (fscnn_plan_format)3, NULL, &text));
    ROW(3, call, "`device` is unknown", ARGUMENT, "no device 'abacus'",
        fscnn_session_plan(session, FSCNN_PLAN_TEXT, "abacus", &text));
    call = "fscnn_plan_describe";
    ROW(3, call, "`weights` or `text` is NULL", ARGUMENT, "must not be NULL",
        fscnn_plan_describe(NULL, NULL, NULL, FSCNN_PLAN_TEXT, NULL, &text));
    ROW(3, call, "`weights` or `text` is NULL", ARGUMENT, "must not be NULL",
        fscnn_plan_describe("random:1", NULL, NULL, FSCNN_PLAN_TEXT, NULL, NULL));
    fscnn_text_free(NULL);
    fscnn_text_free(&text);
    QUIET("fscnn_text_free", "NULL, a pointer to NULL, a text freed before", "nothing happens", text == NULL);
    fscnn_step_info info;
    fscnn_step_info_init(&info);
    call = "fscnn_session_get_step";
    ROW(3, call, "`session` or `info` is NULL", ARGUMENT, "must not be NULL",
        fscnn_session_get_step(NULL, 0, NULL, &info));
    ROW(3, call, "`session` or `info` is NULL", ARGUMENT, "must not be NULL",
        fscnn_session_get_step(session, 0, NULL, NULL));
    ROW(3, call, "no such step", ARGUMENT, "is outside 0..", fscnn_session_get_step(session, -1, NULL, &info));
    ROW(3, call, "no such step", ARGUMENT, "is outside 0..", fscnn_session_get_step(session, steps, NULL, &info));
    ROW(3, call, "`device` is unknown", ARGUMENT, "no device 'abacus'",
        fscnn_session_get_step(session, 0, "abacus", &info));
    ROW(3, call, "`struct_size` was never set", ARGUMENT, "fscnn_step_info_init first",
        WITH(info.struct_size = 0, fscnn_session_get_step(session, 0, NULL, &info)));
    fscnn_step_time times[STEPS];
    call = "fscnn_session_profile";
    ROW(3, call, "NULL", ARGUMENT, "must not be NULL", fscnn_session_profile(NULL, &frame, &outputs, times, steps));
    ROW(3, call, "NULL", ARGUMENT, "must not be NULL", fscnn_session_profile(session, NULL, &outputs, times, steps));
    ROW(3, call, "NULL", ARGUMENT, "must not be NULL", fscnn_session_profile(session, &frame, NULL, times, steps));
    ROW(3, call, "NULL", ARGUMENT, "must not be NULL", fscnn_session_profile(session, &frame, &outputs, NULL, steps));
    ROW(3, call, "`count` is not the number of steps", ARGUMENT, "the session has",
        fscnn_session_profile(session, &frame, &outputs, times, steps - 1));
}

// ---- Frames --------------------------------------------------------------------------------------------------------

static fscnn_status submit(void) {
    uint64_t ticket = 4712;
    const fscnn_status status = fscnn_submit(session, &frame, &outputs, &ticket);
    if (ticket != 4712) fail("fscnn_submit", "", "a ticket was given out");
    return status;
}

static void frames(void) {
    uint64_t ticket = 0;
    section("Frames and outputs (`fscnn_submit`, and alike `fscnn_run` and `fscnn_session_profile`)");
    const char *call = "fscnn_submit";
    ROW(3, call, "NULL, a session closed before", ARGUMENT, "must not be NULL",
        fscnn_submit(NULL, &frame, &outputs, &ticket));
    ROW(3, call, "NULL, a session closed before", ARGUMENT, "must not be NULL",
        fscnn_submit(session, NULL, &outputs, &ticket));
    ROW(3, call, "NULL, a session closed before", ARGUMENT, "must not be NULL",
        fscnn_submit(session, &frame, NULL, &ticket));
    ROW(3, call, "NULL, a session closed before", ARGUMENT, "must not be NULL",
        fscnn_submit(session, &frame, &outputs, NULL));
    ROW(3, "fscnn_run", "NULL, a session closed before", ARGUMENT, "must not be NULL",
        fscnn_run(NULL, &frame, &outputs));
    ROW(3, call, "`frame.struct_size` was never set", ARGUMENT, "fscnn_frame_init first",
        WITH(frame.struct_size = 0, submit()));
    ROW(3, call, "`frame.format` is none of its values", ARGUMENT, "none of the fscnn_format values",
        WITH(frame.format = (fscnn_format)0, submit()));
    ROW(3, call, "`frame.format` is none of its values", ARGUMENT, "none of the fscnn_format values",
        WITH(frame.format = (fscnn_format)9, submit()));
    ROW(3, call, "`frame.width` or `height` is not 1 to 65536", ARGUMENT, "is not a picture's",
        WITH(frame.width = 0, submit()));
    ROW(3, call, "`frame.width` or `height` is not 1 to 65536", ARGUMENT, "is not a picture's",
        WITH(frame.height = 65537, submit()));
    ROW(3, call, "`frame.memory`, `matrix` or `range` is none of its values", ARGUMENT, "none of its values",
        WITH(frame.memory = (fscnn_memory)3, submit()));
    ROW(3, call, "`frame.memory`, `matrix` or `range` is none of its values", ARGUMENT, "none of its values",
        WITH(frame.matrix = (fscnn_matrix)-1, submit()));
    ROW(3, call, "`frame.memory`, `matrix` or `range` is none of its values", ARGUMENT, "none of its values",
        WITH(frame.range = (fscnn_range)3, submit()));
    ROW(3, call, "a plane that the format has is NULL", ARGUMENT, "is NULL", WITH(frame.plane[0] = NULL, submit()));
    ROW(3, call, "a plane that the format has is NULL", ARGUMENT, "frame.plane[1] is NULL",
        WITH(frame.format = FSCNN_NV12, submit()));
    ROW(3, call, "a stride is less than a row", ARGUMENT, "a row has", WITH(frame.stride[0] = 3 * SIDE - 1, submit()));
    ROW(3, call, "a stride that no memory holds", ARGUMENT, "no memory holds",
        WITH(frame.stride[0] = SIZE_MAX / 2, submit()));
    ROW(3, call, "planes of floats not at multiples of 4 bytes", ARGUMENT, "no multiple of 4 bytes",
        WITH(frame.format = FSCNN_PLANAR_F32, frame.plane[0] = pixels + 1, submit()));
    ROW(ON_CPU, call, "`frame.memory` is PINNED or DEVICE", UNSUPPORTED, "takes frames in host memory",
        WITH(frame.memory = FSCNN_MEMORY_DEVICE, submit()));
    ROW(3, call, "`outputs.struct_size` was never set", ARGUMENT, "fscnn_outputs_init first",
        WITH(outputs.struct_size = 0, submit()));
    ROW(3, call, "no output is asked for", ARGUMENT, "ask for nothing", WITH(outputs.labels = NULL, submit()));
    ROW(3, call, "an output's stride is less than a row", ARGUMENT, "outputs.labels_stride is",
        WITH(outputs.labels_stride = SIDE - 1, submit()));
    ROW(3, call, "an output's stride is less than a row", ARGUMENT, "outputs.overlay_stride is",
        WITH(outputs.overlay = labels, outputs.overlay_stride = 4 * SIDE - 1, submit()));
    ROW(3, call, "`outputs.overlay_alpha` is no number, or not 0 to 1", ARGUMENT, "outputs.overlay_alpha is",
        WITH(outputs.overlay = labels, outputs.overlay_alpha = NAN, submit()));
    ROW(3, call, "`outputs.overlay_alpha` is no number, or not 0 to 1", ARGUMENT, "outputs.overlay_alpha is",
        WITH(outputs.overlay = labels, outputs.overlay_alpha = 1.01f, submit()));
    ROW(3, call, "`outputs.memory` is none of its values", ARGUMENT, "none of the fscnn_memory values",
        WITH(outputs.memory = (fscnn_memory)3, submit()));
    ROW(ON_CPU, call, "`outputs.memory` is DEVICE", UNSUPPORTED, "writes host memory",
        WITH(outputs.memory = FSCNN_MEMORY_DEVICE, submit()));
}

// ---- Tickets -------------------------------------------------------------------------------------------------------

static fscnn_status profile(fscnn_session *s) {
    fscnn_session_info info;
    fscnn_session_info_init(&info);
    fscnn_step_time times[STEPS];
    const fscnn_status status = fscnn_session_get_info(s, &info);
    return status ? status : fscnn_session_profile(s, &frame, &outputs, times, info.steps);
}

// A session that two frames fill.
static fscnn_session *busy(uint8_t *first, uint8_t *second) {
    const fscnn_session_options o = small();
    fscnn_session *s = NULL;
    uint64_t ticket = 0;
    if (fscnn_session_open(engine, &o, &s) != FSCNN_OK) abort();
    for (int i = 0; i < 2; i++) {
        fscnn_outputs mine = outputs;
        mine.labels = i ? second : first;
        if (fscnn_submit(s, &frame, &mine, &ticket) != FSCNN_OK || ticket != (uint64_t)i + 1)
            fail("fscnn_submit", "", "frame %d: %s", i, fscnn_error());
    }
    return s;
}

// Inside the callback of a session: a call, and its status.
typedef struct inside {
    fscnn_session *session;
    int which;
    fscnn_status status;
    char words[256];
} inside;

static void callback(void *user, uint64_t ticket, fscnn_status status) {
    inside *c = user;
    static uint8_t other[PIXELS];
    (void)status;
    fscnn_outputs mine = outputs;
    mine.labels = other;
    switch (c->which) {
    case 0: c->status = fscnn_submit(c->session, &frame, &mine, &ticket); break;
    case 1: c->status = fscnn_run(c->session, &frame, &mine); break;
    case 2: c->status = fscnn_wait(c->session, ticket, -1); break;
    case 3: c->status = fscnn_poll(c->session, ticket); break;
    case 4: c->status = fscnn_cancel(c->session); break;
    case 5: c->status = profile(c->session); break;
    default: {
        fscnn_session *mine_too = c->session;
        fscnn_session_close(&mine_too);
        c->status = mine_too ? FSCNN_ERR_STATE : FSCNN_OK;
    }
    }
    snprintf(c->words, sizeof c->words, "%s", fscnn_error());
}

static void inside_the_callback(void) {
    static const char *const calls[] = {"fscnn_submit",       "fscnn_run",    "fscnn_wait",
                                        "fscnn_poll",         "fscnn_cancel", "fscnn_session_profile",
                                        "fscnn_session_close"};
    section("Inside the completion callback of the same session");
    inside c = {0};
    fscnn_session_options o = small();
    o.done = callback, o.done_user = &c;
    if (fscnn_session_open(engine, &o, &c.session) != FSCNN_OK) abort();
    for (c.which = 0; c.which < 7; c.which++) {
        const bool closes = c.which == 6;
        print_row(EVERYWHERE, calls[c.which], "called there", closes ? "nothing happens" : "`STATE`",
                  "`inside the completion callback`");
        fscnn_outputs mine = outputs;
        static uint8_t other[PIXELS];
        mine.labels = other;
        if (fscnn_run(c.session, &frame, &mine) != FSCNN_OK || memcmp(other, want, PIXELS) != 0)
            fail(calls[c.which], "inside the callback", "the frame failed: %s", fscnn_error());
        if (c.status != FSCNN_ERR_STATE || !strstr(c.words, "inside the completion callback"))
            fail(calls[c.which], "inside the callback", "%s: %s", fscnn_status_name(c.status), c.words);
    }
    fscnn_session_close(&c.session);
}

static void tickets(void) {
    static uint8_t first[PIXELS], second[PIXELS];
    fscnn_session *closed = NULL, *s;
    section("Tickets");
    ROW(3, "fscnn_wait", "NULL, a session closed before", ARGUMENT, "session is NULL", fscnn_wait(closed, 1, -1));
    ROW(3, "fscnn_poll", "NULL, a session closed before", ARGUMENT, "session is NULL", fscnn_poll(closed, 1));
    ROW(3, "fscnn_cancel", "NULL, a session closed before", ARGUMENT, "session is NULL", fscnn_cancel(closed));

    s = busy(first, second);
    uint64_t ticket = 0;
    ROW(3, "fscnn_submit", "`in_flight` frames have not been waited for", STATE, "wait for one first",
        fscnn_submit(s, &frame, &outputs, &ticket));
    ROW(3, "fscnn_run", "`in_flight` frames have not been waited for", STATE, "wait for one first",
        fscnn_run(s, &frame, &outputs));
    ROW(3, "fscnn_session_profile", "frames are in flight", STATE, "are in flight", profile(s));
    ROW(3, "fscnn_wait", "a ticket never given", STATE, "no frame has ticket", fscnn_wait(s, 3, -1));
    ROW(3, "fscnn_wait", "a ticket never given", STATE, "no frame has ticket", fscnn_wait(s, 0, -1));
    ROW(3, "fscnn_poll", "a ticket never given", STATE, "no frame has ticket", fscnn_poll(s, UINT64_MAX));
    if (fscnn_wait(s, 2, -1) != FSCNN_OK || memcmp(first, want, PIXELS) || memcmp(second, want, PIXELS))
        fail("fscnn_wait", "after misuse", "%s", fscnn_error());
    const char *twice = "a ticket waited for before, or released by a later one";
    ROW(3, "fscnn_wait", twice, STATE, "was waited for already", fscnn_wait(s, 2, -1));
    ROW(3, "fscnn_wait", twice, STATE, "was waited for already", fscnn_wait(s, 1, 0));
    ROW(3, "fscnn_poll", twice, STATE, "was waited for already", fscnn_poll(s, 1));
    fscnn_session_close(&s);
}

// ---- The rest ------------------------------------------------------------------------------------------------------

static void calibration(void) {
    const char *model = FS_SOURCE_DIR "/weights/models/street11.safetensors";
    section("Calibration");
    fscnn_calibrator *c = NULL, *none = NULL;
    const char *call = "fscnn_calibrator_open";
    ROW(3, call, "`weights` or `calibrator` is NULL", ARGUMENT, "must not be NULL", fscnn_calibrator_open(NULL, &c));
    ROW(3, call, "`weights` or `calibrator` is NULL", ARGUMENT, "must not be NULL", fscnn_calibrator_open(model, NULL));
    ROW(3, call, "weights by formula", ARGUMENT, "is no file", fscnn_calibrator_open("random:1", &c));
    ROW(3, call, "no such file", IO, "nowhere", fscnn_calibrator_open("nowhere.safetensors", &c));
    if (c != NULL) fail(call, "a failure", "wrote the calibrator");
    if (fscnn_calibrator_open(model, &c) != FSCNN_OK) abort();

    const char *save = "fscnn_calibrator_save", *get = "fscnn_calibrator_get_layer", *add = "fscnn_calibrator_add";
    const char *out = "no/such/folder/out.safetensors";
    fscnn_calibrated_layer layer;
    fscnn_calibrated_layer_init(&layer);
    ROW(3, get, "before the first frame", STATE, "calibration on nothing", fscnn_calibrator_get_layer(c, 0, &layer));
    ROW(3, save, "before the first frame", STATE, "calibration on nothing", fscnn_calibrator_save(c, 0.5, out));
    ROW(3, add, "NULL, a calibrator closed before", ARGUMENT, "must not be NULL", fscnn_calibrator_add(none, &frame));
    ROW(3, add, "NULL, a calibrator closed before", ARGUMENT, "must not be NULL", fscnn_calibrator_add(c, NULL));
    ROW(3, add, "another format than the model's", ARGUMENT, "takes frames of RGB8",
        WITH(frame.format = FSCNN_GRAY8, fscnn_calibrator_add(c, &frame)));
    ROW(3, add, "memory other than the host's", ARGUMENT, "in host memory",
        WITH(frame.memory = FSCNN_MEMORY_DEVICE, fscnn_calibrator_add(c, &frame)));
    ROW(3, add, "sides that are not 64 to 16384", ARGUMENT, "the network takes",
        WITH(frame.height = 8, fscnn_calibrator_add(c, &frame)));
    ROW(3, add, "a stride is less than a row", ARGUMENT, "a row has",
        WITH(frame.stride[0] = 3, fscnn_calibrator_add(c, &frame)));
    if (fscnn_calibrator_add(c, &frame) != FSCNN_OK) fail(add, "after misuse", "%s", fscnn_error());
    ROW(3, get, "`calibrator` or `layer` is NULL", ARGUMENT, "must not be NULL",
        fscnn_calibrator_get_layer(c, 0, NULL));
    ROW(3, get, "no such layer", ARGUMENT, "is not one of 0..44", fscnn_calibrator_get_layer(c, 45, &layer));
    ROW(3, get, "`struct_size` was never set", ARGUMENT, "fscnn_calibrated_layer_init first",
        WITH(layer.struct_size = 0, fscnn_calibrator_get_layer(c, 0, &layer)));
    ROW(3, save, "`calibrator` or `path` is NULL", ARGUMENT, "must not be NULL", fscnn_calibrator_save(c, 1, NULL));
    ROW(3, save, "`max_error` is not above 0", ARGUMENT, "must be above 0", fscnn_calibrator_save(c, 0, out));
    ROW(3, save, "no layer has so small an error", STATE, "nothing would run", fscnn_calibrator_save(c, 1e-30, out));
    ROW(3, save, "the file cannot be written", IO, "no/such/folder", fscnn_calibrator_save(c, 1, out));
    QUIET("fscnn_calibrator_channels", "NULL, a calibrator closed before", "returns 0",
          fscnn_calibrator_channels(none) == 0 && fscnn_calibrator_channels(c) == 3);
    fscnn_calibrator_close(&c);
    fscnn_calibrator_close(&c);
    fscnn_calibrator_close(NULL);
    QUIET("fscnn_calibrator_close", "NULL, a pointer to NULL, a calibrator closed before", "nothing happens", !c);
}

static void small_calls(void) {
    section("Calls that cannot fail");
    fscnn_engine_options_init(NULL);
    fscnn_engine_info_init(NULL);
    fscnn_backend_info_init(NULL);
    fscnn_frame_init(NULL, FSCNN_RGB8, 1, 1, NULL);
    fscnn_outputs_init(NULL);
    fscnn_session_options_init(NULL);
    fscnn_session_info_init(NULL);
    fscnn_step_info_init(NULL);
    QUIET("fscnn_..._init", "NULL", "nothing happens", true);
    QUIET("fscnn_status_name", "none of the statuses", "returns \"unknown\"",
          strcmp(fscnn_status_name((fscnn_status)99), "unknown") == 0 &&
              strcmp(fscnn_status_name((fscnn_status)-1), "unknown") == 0);
    fscnn_set_log(NULL, NULL, (fscnn_log_level)99);
    fscnn_set_log(NULL, NULL, (fscnn_log_level)0);
    QUIET("fscnn_set_log", "NULL, a level that is none", "nobody hears anything", true);
}

// Every function of the header has a row, or has nothing that could be misused.
static void nothing_is_missing(void) {
    static const char *const harmless[] = {"fscnn_version_string", "fscnn_error"};
    static char text[65536];
    FILE *file = fopen(FS_SOURCE_DIR "/host/include/fastscnn/fastscnn.h", "r");
    if (file == NULL) return fail("the header", "", "cannot be read");
    text[fread(text, 1, sizeof text - 1, file)] = '\0';
    fclose(file);
    for (char *at = text; (at = strstr(at, "\nFSCNN_API ")) != NULL; at++) {
        char *open = strchr(at, '('), quoted[128];
        char *name = open;
        while (name > at && (name[-1] == '_' || (name[-1] >= 'a' && name[-1] <= 'z'))) name--;
        const int length = (int)(open - name);
        snprintf(quoted, sizeof quoted, "| `%.*s` |", length, name);
        bool known = strstr(table, quoted) || (length > 5 && strncmp(open - 5, "_init", 5) == 0);
        for (int i = 0; i < 2; i++)
            known |= strlen(harmless[i]) == (size_t)length && !memcmp(harmless[i], name, (size_t)length);
        if (!known) fail("the table", quoted, "has no row");
    }
}

static void compare_document(void) {
    static char text[131072];
    FILE *file = fopen(DOCUMENT, "r");
    if (file == NULL) return fail("the table", DOCUMENT, "cannot be read");
    text[fread(text, 1, sizeof text - 1, file)] = '\0';
    fclose(file);
    if (strstr(text, table) == NULL)
        fail("the table", DOCUMENT, "is not what `test_api_misuse table` prints: put that in its place");
}

static void prepare(void) {
    const fscnn_engine_options o = engine_options();
    const fscnn_session_options so = small();
    for (size_t i = 0; i < sizeof pixels; i++) pixels[i] = (uint8_t)(i * 7 + i / 190);
    if (fscnn_engine_open("random:1", &o, &engine) || fscnn_session_open(engine, &so, &session)) {
        fprintf(stderr, "%s\n", fscnn_error());
        exit(1);
    }
    fresh();
    if (fscnn_run(session, &frame, &outputs) != FSCNN_OK) fail("fscnn_run", "", "%s", fscnn_error());
    memcpy(want, labels, PIXELS);
    fresh();
}

int main(int argc, char **argv) {
    const bool cuda = argc > 1 && strcmp(argv[1], "cuda") == 0, prints = argc > 1 && strcmp(argv[1], "table") == 0;
    const char *module = getenv("FASTSCNN_CUDA_MODULE");
    FILE *file = cuda && module ? fopen(module, "r") : NULL;
    if (file) fclose(file);
    if (cuda && file == NULL) {
        printf("no simulated module at FASTSCNN_CUDA_MODULE: skipped\n");
        return 77;
    }
    here = cuda ? ON_CUDA : ON_CPU;
    prepare();
    engines();
    buffers();
    sessions();
    frames();
    tickets();
    inside_the_callback();
    plans();
    calibration();
    small_calls();
    nothing_is_missing();
    if (prints) printf("%s", table);
    if (!prints) compare_document();
    fscnn_session_close(&session);
    fscnn_engine_close(&engine);
    if (failures) fprintf(stderr, "%d failures\n", failures);
    return failures != 0;
}
