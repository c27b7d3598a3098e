// Out of memory at each allocation in turn, once and from then on, in every call that allocates: FSCNN_ERR_MEMORY with
// a message, nothing leaked, outputs untouched, and everything works afterwards.
#include <criterion/criterion.h>
#include <criterion/parameterized.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fastscnn/fastscnn.h"
#include "runtime/base/mem.h"
#include "tests/weights/files.h"

enum { SIZE = 64, PIXELS = SIZE * SIZE, MOST = 5000 };
enum { OPEN_RANDOM, OPEN_FILE, OPEN_MEMORY, OPEN_BF16, SESSION, SESSION_TUNED, PLAN_TEXT, PLAN_JSON, PLAN_DOT, CALLS };

// What the calls start from, and where they put their result.
typedef struct state {
    bytes file;
    char folder[64], path[128];
    fscnn_engine *engine;
    fscnn_session *session;
    struct {
        fscnn_engine *engine;
        fscnn_session *session;
        char *text;
    } out;
} state;

static fscnn_status attempt(state *s, int call) {
    fscnn_engine_options engine;
    fscnn_engine_options_init(&engine);
    engine.precision = call == OPEN_BF16 ? FSCNN_PRECISION_BF16 : FSCNN_PRECISION_FP32;
    fscnn_session_options session;
    fscnn_session_options_init(&session);
    session.width = SIZE, session.height = SIZE, session.threads = 2, session.tune = call == SESSION_TUNED ? 0 : -1;
    switch (call) {
    case OPEN_RANDOM:
    case OPEN_BF16: return fscnn_engine_open("random:1", &engine, &s->out.engine);
    case OPEN_FILE: return fscnn_engine_open(s->path, &engine, &s->out.engine);
    case OPEN_MEMORY: return fscnn_engine_open_memory(s->file.data, s->file.size, &engine, &s->out.engine);
    case SESSION:
    case SESSION_TUNED: return fscnn_session_open(s->engine, &session, &s->out.session);
    case PLAN_TEXT: return fscnn_session_plan(s->session, FSCNN_PLAN_TEXT, NULL, &s->out.text);
    case PLAN_JSON: return fscnn_session_plan(s->session, FSCNN_PLAN_JSON, NULL, &s->out.text);
    default: return fscnn_session_plan(s->session, FSCNN_PLAN_DOT, NULL, &s->out.text);
    }
}

static void run(fscnn_session *session, uint8_t *labels) {
    static uint8_t pixels[PIXELS * 3];
    uint32_t noise = 9;
    for (int i = 0; i < PIXELS * 3; i++) pixels[i] = (uint8_t)((noise = noise * 1664525u + 1013904223u) >> 24);
    fscnn_frame frame;
    fscnn_frame_init(&frame, FSCNN_RGB8, SIZE, SIZE, pixels);
    fscnn_outputs outputs;
    fscnn_outputs_init(&outputs);
    outputs.labels = labels;
    cr_assert_eq(fscnn_run(session, &frame, &outputs), FSCNN_OK, "%s", fscnn_error());
}

// The result of a call that succeeded does what it is for; then it is freed.
static void use(state *s, int call, const uint8_t *expected) {
    uint8_t labels[PIXELS];
    if (call <= OPEN_BF16) {
        fscnn_engine *kept = s->engine;
        s->engine = s->out.engine;
        cr_assert_eq(attempt(s, SESSION), FSCNN_OK, "%s", fscnn_error());
        s->engine = kept;
        run(s->out.session, labels);
        fscnn_session_close(&s->out.session);
        fscnn_engine_close(&s->out.engine);
        if (call == OPEN_RANDOM) cr_assert_eq(memcmp(labels, expected, PIXELS), 0);
    } else if (call <= SESSION_TUNED) {
        run(s->out.session, labels);
        cr_assert_eq(memcmp(labels, expected, PIXELS), 0);
        fscnn_session_close(&s->out.session);
    } else {
        cr_assert_gt(strlen(s->out.text), 100);
        fscnn_text_free(&s->out.text);
    }
}

typedef struct fault_case {
    int call, sticky;
} fault_case;

static fault_case faults[2 * CALLS];

ParameterizedTestParameters(oom, each_allocation_fails) {
    for (int i = 0; i < 2 * CALLS; i++) faults[i] = (fault_case){i / 2, i % 2};
    return cr_make_param_array(fault_case, faults, 2 * CALLS);
}

ParameterizedTest(fault_case *c, oom, each_allocation_fails) {
    static state s, before;
    test_file file = test_file_paper();
    s.file = test_file_bytes(&file);
    test_file_free(&file);
    test_folder(s.folder);
    snprintf(s.path, sizeof s.path, "%s/model.safetensors", s.folder);
    test_write(s.path, s.file.data, s.file.size);
    cr_assert_eq(attempt(&s, OPEN_RANDOM), FSCNN_OK, "%s", fscnn_error());
    s.engine = s.out.engine;
    cr_assert_eq(attempt(&s, SESSION), FSCNN_OK, "%s", fscnn_error());
    s.session = s.out.session;
    uint8_t expected[PIXELS], labels[PIXELS];
    run(s.session, expected);
    memset(&s.out, 0x5a, sizeof s.out);
    before = s;

    const size_t blocks = fs_mem_live_blocks(), live = fs_mem_live_bytes();
    int n = 1;
    for (;; n++) {
        cr_assert_lt(n, MOST, "the faults do not end");
        fs_mem_fail_at((uint64_t)n, c->sticky);
        const fscnn_status status = attempt(&s, c->call);
        const bool fired = fs_mem_fault_fired();
        fs_mem_fail_at(0, false);
        if (!fired) {
            cr_assert_eq(status, FSCNN_OK, "%s", fscnn_error());
            break;
        }
        cr_assert_eq(status, FSCNN_ERR_MEMORY, "call %d, allocation %d: %s, %s", c->call, n, fscnn_status_name(status),
                     fscnn_error());
        cr_assert_not_null(strstr(fscnn_error(), "memory"), "call %d, allocation %d: '%s'", c->call, n, fscnn_error());
        cr_assert_eq(fs_mem_live_blocks(), blocks, "call %d, allocation %d leaks blocks", c->call, n);
        cr_assert_eq(fs_mem_live_bytes(), live, "call %d, allocation %d leaks bytes", c->call, n);
        cr_assert_eq(memcmp(&s, &before, sizeof s), 0, "call %d, allocation %d wrote its output", c->call, n);
    }
    cr_assert_gt(n, 1, "call %d allocates nothing", c->call);
    use(&s, c->call, expected);
    cr_assert_eq(fs_mem_live_blocks(), blocks);

    run(s.session, labels);
    cr_assert_eq(memcmp(labels, expected, PIXELS), 0);
    fscnn_session_close(&s.session);
    fscnn_engine_close(&s.engine);
    cr_assert_eq(fs_mem_live_blocks(), 0);
    bytes_free(&s.file);
    test_folder_remove(s.folder);
}

// Frames allocate nothing, so they run where every allocation fails; and so do the failing calls' messages.
Test(oom, frames_need_no_memory) {
    static state s;
    cr_assert_eq(attempt(&s, OPEN_RANDOM), FSCNN_OK);
    s.engine = s.out.engine;
    cr_assert_eq(attempt(&s, SESSION), FSCNN_OK);
    s.session = s.out.session;
    uint8_t expected[PIXELS], labels[PIXELS];
    run(s.session, expected);
    fs_mem_fail_at(1, true);
    for (int i = 0; i < 5; i++) {
        run(s.session, labels);
        cr_assert_eq(memcmp(labels, expected, PIXELS), 0);
        cr_assert_eq(fscnn_wait(s.session, 1, -1), FSCNN_ERR_STATE);
        cr_assert_not_null(strstr(fscnn_error(), "waited for already"));
    }
    cr_assert_not(fs_mem_fault_fired());
    fs_mem_fail_at(0, false);
    fscnn_session_close(&s.session);
    fscnn_engine_close(&s.engine);
    cr_assert_eq(fs_mem_live_blocks(), 0);
}
