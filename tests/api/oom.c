// Tests of running out of memory: every allocation of every call that allocates fails once, and from then on. The call
// reports it, writes nothing, keeps nothing; afterwards everything works.
#include <criterion/criterion.h>
#include <criterion/parameterized.h>
#include <stdio.h>
#include <string.h>

#include "fastscnn/fastscnn.h"
#include "runtime/base/mem.h"
#include "tests/weights/files.h"

enum { SIDE = 64, PIXELS = SIDE * SIDE };

static fscnn_engine *engine;
static char folder[64], path[128];
static bytes model;

typedef struct oom_case {
    char what[16];
    bool sticky;
    char fusion[8];
    int precision;
} oom_case;

// One try of the call under test: its status; *made tells whether its output was written. Frees what it made.
static fscnn_status attempt(const oom_case *c, bool *made) {
    fscnn_engine_options options;
    fscnn_engine_options_init(&options);
    options.precision = (fscnn_precision)c->precision, options.disable_fusion = c->fusion;
    fscnn_engine *e = NULL;
    fscnn_session *s = NULL;
    fscnn_status status;
    if (strcmp(c->what, "random") == 0) {
        status = fscnn_engine_open("random:3", &options, &e);
    } else if (strcmp(c->what, "file") == 0) {
        status = fscnn_engine_open(path, &options, &e);
    } else if (strcmp(c->what, "memory") == 0) {
        status = fscnn_engine_open_memory(model.data, model.size, &options, &e);
    } else {
        fscnn_session_options o;
        fscnn_session_options_init(&o);
        o.width = o.height = SIDE, o.threads = 2, o.tune = strcmp(c->what, "tuned") == 0 ? 0 : -1;
        status = fscnn_session_open(engine, &o, &s);
    }
    *made = e || s;
    fscnn_session_close(&s);
    fscnn_engine_close(&e);
    return status;
}

static void open_world(const oom_case *c) {
    fscnn_engine_options options;
    fscnn_engine_options_init(&options);
    options.precision = (fscnn_precision)c->precision, options.disable_fusion = c->fusion;
    cr_assert_eq(fscnn_engine_open("random:1", &options, &engine), FSCNN_OK, "%s", fscnn_error());
    test_folder(folder);
    snprintf(path, sizeof path, "%s/w.safetensors", folder);
    test_file file = test_file_paper();
    model = test_file_bytes(&file);
    test_file_free(&file);
    test_write(path, model.data, model.size);
}

static void close_world(void) {
    fscnn_engine_close(&engine);
    bytes_free(&model);
    test_folder_remove(folder);
    cr_expect_eq(fs_mem_live_blocks(), 0);
}

static void expect_working_engine(void) {
    static uint8_t pixels[PIXELS * 3], labels[PIXELS];
    fscnn_session_options o;
    fscnn_session_options_init(&o);
    o.width = o.height = SIDE, o.threads = 2, o.tune = -1;
    fscnn_session *s = NULL;
    cr_assert_eq(fscnn_session_open(engine, &o, &s), FSCNN_OK, "%s", fscnn_error());
    fscnn_frame frame;
    fscnn_frame_init(&frame, FSCNN_RGB8, SIDE, SIDE, pixels);
    fscnn_outputs outputs;
    fscnn_outputs_init(&outputs);
    outputs.labels = labels;
    cr_expect_eq(fscnn_run(s, &frame, &outputs), FSCNN_OK, "%s", fscnn_error());
    fscnn_session_close(&s);
}

static oom_case cases[] = {
    {"random", false, "", 1},    {"random", true, "", 2},      {"file", false, "", 1},    {"file", true, "", 2},
    {"memory", false, "", 1},    {"memory", true, "", 2},      {"session", false, "", 1}, {"session", true, "", 2},
    {"session", true, "all", 1}, {"session", false, "all", 2}, {"tuned", false, "", 1},   {"tuned", true, "", 2},
};
ParameterizedTestParameters(oom, every_allocation_fails) {
    return cr_make_param_array(oom_case, cases, sizeof cases / sizeof cases[0]);
}
ParameterizedTest(oom_case *c, oom, every_allocation_fails) {
    open_world(c);
    const size_t before = fs_mem_live_blocks(), bytes_before = fs_mem_live_bytes();
    int failures = 0;
    for (uint64_t n = 1; n < 1000; n++) {
        bool made = false;
        fscnn_backend_query(FSCNN_BACKEND_CPU, NULL); // another text in the error
        fs_mem_fail_at(n, c->sticky);
        const fscnn_status status = attempt(c, &made);
        const bool fired = fs_mem_fault_fired();
        fs_mem_fail_at(0, false);
        cr_expect(fs_mem_live_blocks() == before && fs_mem_live_bytes() == bytes_before,
                  "%s, allocation %llu: %zu blocks kept", c->what, (unsigned long long)n,
                  fs_mem_live_blocks() - before);
        if (!fired) {
            cr_expect(status == FSCNN_OK && made, "%s: %s", c->what, fscnn_error());
            break;
        }
        failures++;
        cr_expect_eq((int)status, FSCNN_ERR_MEMORY, "%s, allocation %llu: %s (%s)", c->what, (unsigned long long)n,
                     fscnn_status_name(status), fscnn_error());
        cr_expect_neq(strstr(fscnn_error(), "out of memory"), NULL, "%s: %s", c->what, fscnn_error());
        cr_expect_not(made, "%s, allocation %llu: output written", c->what, (unsigned long long)n);
    }
    cr_expect(failures >= 2 && failures < 999, "%s: %d allocations", c->what, failures);
    expect_working_engine();
    close_world();
}

typedef struct plan_case {
    int format;
    bool sticky;
} plan_case;
static plan_case plans[] = {{0, false}, {0, true}, {1, false}, {1, true}, {2, false}, {2, true}};
ParameterizedTestParameters(oom, plan_text) {
    return cr_make_param_array(plan_case, plans, sizeof plans / sizeof plans[0]);
}
ParameterizedTest(plan_case *c, oom, plan_text) {
    const oom_case world = {"plan", c->sticky, "", 1};
    open_world(&world);
    fscnn_session_options o;
    fscnn_session_options_init(&o);
    o.width = o.height = SIDE, o.threads = 1, o.tune = -1;
    fscnn_session *s = NULL;
    cr_assert_eq(fscnn_session_open(engine, &o, &s), FSCNN_OK, "%s", fscnn_error());
    const size_t before = fs_mem_live_blocks();
    int failures = 0;
    for (uint64_t n = 1; n < 1000; n++) {
        char *text = NULL;
        fs_mem_fail_at(n, c->sticky);
        const fscnn_status status = fscnn_session_plan(s, (fscnn_plan_format)c->format, "h100", &text);
        const bool fired = fs_mem_fault_fired();
        fs_mem_fail_at(0, false);
        if (!fired) {
            cr_expect(status == FSCNN_OK && text && strlen(text) > 500);
            fscnn_text_free(&text);
            break;
        }
        failures++;
        cr_expect_eq((int)status, FSCNN_ERR_MEMORY, "format %d, allocation %llu", c->format, (unsigned long long)n);
        cr_expect_null(text);
        cr_expect_eq(fs_mem_live_blocks(), before, "format %d, allocation %llu", c->format, (unsigned long long)n);
    }
    cr_expect(failures >= 1 && failures < 999);
    cr_expect_eq(fs_mem_live_blocks(), before);
    fscnn_session_close(&s);
    close_world();
}

// A frame needs no memory: it runs with every allocation failing.
Test(oom, frames_allocate_nothing) {
    const oom_case world = {"frames", true, "", 1};
    open_world(&world);
    static uint8_t pixels[PIXELS * 3], labels[PIXELS];
    static float logits[PIXELS * 19];
    fscnn_session_options o;
    fscnn_session_options_init(&o);
    o.width = o.height = SIDE, o.threads = 2, o.tune = -1;
    fscnn_session *s = NULL;
    cr_assert_eq(fscnn_session_open(engine, &o, &s), FSCNN_OK, "%s", fscnn_error());
    fscnn_frame frame;
    fscnn_frame_init(&frame, FSCNN_BGR8, SIDE, SIDE, pixels);
    fscnn_outputs outputs;
    fscnn_outputs_init(&outputs);
    outputs.labels = labels, outputs.logits = logits;
    fs_mem_fail_at(1, true);
    for (int i = 0; i < 5; i++) cr_expect_eq(fscnn_run(s, &frame, &outputs), FSCNN_OK, "%s", fscnn_error());
    cr_expect_not(fs_mem_fault_fired());
    fs_mem_fail_at(0, false);
    fscnn_session_close(&s);
    close_world();
}
