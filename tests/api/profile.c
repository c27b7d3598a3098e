// Tests of steps and profiling in the public API: what steps say of themselves, times in order, misuse, the same bits.
#include <criterion/criterion.h>
#include <string.h>

#include "fastscnn/fastscnn.h"
#include "runtime/base/mem.h"

enum { HEIGHT = 64, WIDTH = 96, PIXELS = HEIGHT * WIDTH, STEPS_MAX = 128 };

static fscnn_engine *engine;
static fscnn_session *session;
static fscnn_session_info info;
static uint8_t pixels[3 * PIXELS], labels[PIXELS], again[PIXELS];
static fscnn_frame frame;
static fscnn_outputs outputs;

static void open_with(const char *disable_fusion, int threads) {
    fscnn_engine_options e;
    fscnn_engine_options_init(&e);
    e.backend = FSCNN_BACKEND_CPU, e.disable_fusion = disable_fusion;
    cr_assert_eq(fscnn_engine_open("random:1", &e, &engine), FSCNN_OK, "%s", fscnn_error());
    fscnn_session_options o;
    fscnn_session_options_init(&o);
    o.width = WIDTH, o.height = HEIGHT, o.threads = threads, o.tune = -1;
    cr_assert_eq(fscnn_session_open(engine, &o, &session), FSCNN_OK, "%s", fscnn_error());
    fscnn_session_info_init(&info);
    cr_assert_eq(fscnn_session_get_info(session, &info), FSCNN_OK);
    cr_assert(info.steps > 0 && info.steps <= STEPS_MAX);
    for (int i = 0; i < 3 * PIXELS; i++) pixels[i] = (uint8_t)(i * 7 + i / 190);
    fscnn_frame_init(&frame, FSCNN_RGB8, WIDTH, HEIGHT, pixels);
    fscnn_outputs_init(&outputs);
    outputs.labels = labels;
}

static void open_both(void) {
    open_with(NULL, 2);
}

static void close_both(void) {
    fscnn_session_close(&session);
    fscnn_engine_close(&engine);
    cr_expect_eq(fs_mem_live_blocks(), 0, "%zu blocks leaked", fs_mem_live_blocks());
}

static void expect_times(const fscnn_step_time *times) {
    double last = 0;
    for (int i = 0; i < info.steps; i++) {
        cr_expect(times[i].begin_us >= last - 1e-6, "step %d begins at %g, before %g", i, times[i].begin_us, last);
        cr_expect(times[i].end_us >= times[i].begin_us, "step %d ends at %g", i, times[i].end_us);
        last = times[i].end_us;
    }
    cr_expect(last > 0 && last < 60e6, "a frame of %g us", last);
}

Test(api_profile, steps_describe_themselves, .init = open_both, .fini = close_both) {
    double flops = 0;
    for (int i = 0; i < info.steps; i++) {
        fscnn_step_info step;
        fscnn_step_info_init(&step);
        cr_assert_eq(fscnn_session_get_step(session, i, NULL, &step), FSCNN_OK, "%s", fscnn_error());
        cr_expect(step.name[0] && step.kind[0] && step.tactic[0], "step %d", i);
        cr_expect(step.launches >= 1 && step.height >= 1 && step.width >= 1 && step.channels >= 1);
        cr_expect(step.read_bytes > 0 && step.written_bytes > 0 && step.roofline_us > 0);
        cr_expect(step.peak_flops > 0 && step.peak_bandwidth > 0);
        cr_expect_str_eq(step.roofline, "cpu");
        cr_expect_gt(strlen(step.roofline_about), 0);
        flops += (double)step.flops;
    }
    cr_expect_eq((uint64_t)flops, info.flops);
}

Test(api_profile, the_roofline_may_be_another_machine, .init = open_both, .fini = close_both) {
    fscnn_step_info here, there;
    fscnn_step_info_init(&here), fscnn_step_info_init(&there);
    cr_assert_eq(fscnn_session_get_step(session, 0, "cpu", &here), FSCNN_OK);
    cr_assert_eq(fscnn_session_get_step(session, 0, "h100", &there), FSCNN_OK);
    cr_expect_lt(there.roofline_us, here.roofline_us);
    cr_expect_gt(there.peak_flops, here.peak_flops);
    cr_expect_str_eq(there.roofline, "h100");
}

Test(api_profile, get_step_misuse, .init = open_both, .fini = close_both) {
    fscnn_step_info step, kept;
    memset(&step, 0xee, sizeof step);
    step.struct_size = sizeof step;
    kept = step;
    cr_expect_eq(fscnn_session_get_step(NULL, 0, NULL, &step), FSCNN_ERR_ARGUMENT);
    cr_expect_eq(fscnn_session_get_step(session, 0, NULL, NULL), FSCNN_ERR_ARGUMENT);
    cr_expect_eq(fscnn_session_get_step(session, -1, NULL, &step), FSCNN_ERR_ARGUMENT);
    cr_expect_eq(fscnn_session_get_step(session, info.steps, NULL, &step), FSCNN_ERR_ARGUMENT);
    cr_expect_not_null(strstr(fscnn_error(), "outside"), "%s", fscnn_error());
    cr_expect_eq(fscnn_session_get_step(session, 0, "abacus", &step), FSCNN_ERR_ARGUMENT);
    cr_expect_not_null(strstr(fscnn_error(), "h100"), "%s", fscnn_error());
    cr_expect_eq(memcmp(&step, &kept, sizeof step), 0, "written by a call that failed");
    step.struct_size = 0;
    cr_expect_eq(fscnn_session_get_step(session, 0, NULL, &step), FSCNN_ERR_ARGUMENT);
    fscnn_step_info_init(NULL);
}

Test(api_profile, times_are_in_order_and_the_labels_are_those_of_run, .init = open_both, .fini = close_both) {
    fscnn_step_time times[STEPS_MAX];
    for (int i = 0; i < 20; i++) {
        cr_assert_eq(fscnn_session_profile(session, &frame, &outputs, times, info.steps), FSCNN_OK, "%s",
                     fscnn_error());
        expect_times(times);
    }
    outputs.labels = again;
    cr_assert_eq(fscnn_run(session, &frame, &outputs), FSCNN_OK);
    cr_expect_eq(memcmp(labels, again, sizeof labels), 0);
}

Test(api_profile, unfused_steps_and_one_thread, .fini = close_both) {
    open_with("all", 1);
    cr_assert_gt(info.steps, 60);
    fscnn_step_time times[STEPS_MAX];
    cr_assert_eq(fscnn_session_profile(session, &frame, &outputs, times, info.steps), FSCNN_OK, "%s", fscnn_error());
    expect_times(times);
}

Test(api_profile, misuse_leaves_everything_untouched, .init = open_both, .fini = close_both) {
    fscnn_step_time times[STEPS_MAX], kept[STEPS_MAX];
    memset(times, 0xee, sizeof times);
    memcpy(kept, times, sizeof kept);
    memset(labels, 0xee, sizeof labels);
    const int n = info.steps;
    cr_expect_eq(fscnn_session_profile(NULL, &frame, &outputs, times, n), FSCNN_ERR_ARGUMENT);
    cr_expect_eq(fscnn_session_profile(session, NULL, &outputs, times, n), FSCNN_ERR_ARGUMENT);
    cr_expect_eq(fscnn_session_profile(session, &frame, NULL, times, n), FSCNN_ERR_ARGUMENT);
    cr_expect_eq(fscnn_session_profile(session, &frame, &outputs, NULL, n), FSCNN_ERR_ARGUMENT);
    cr_expect_eq(fscnn_session_profile(session, &frame, &outputs, times, n - 1), FSCNN_ERR_ARGUMENT);
    cr_expect_eq(fscnn_session_profile(session, &frame, &outputs, times, n + 1), FSCNN_ERR_ARGUMENT);
    cr_expect_not_null(strstr(fscnn_error(), "steps"), "%s", fscnn_error());
    fscnn_outputs nothing;
    fscnn_outputs_init(&nothing);
    cr_expect_eq(fscnn_session_profile(session, &frame, &nothing, times, n), FSCNN_ERR_ARGUMENT);
    cr_expect_eq(memcmp(times, kept, sizeof times), 0, "written by a call that failed");
    for (int i = 0; i < PIXELS; i++) cr_assert_eq(labels[i], 0xee);
}

Test(api_profile, not_beside_frames_in_flight, .init = open_both, .fini = close_both) {
    fscnn_step_time times[STEPS_MAX];
    uint64_t ticket;
    cr_assert_eq(fscnn_submit(session, &frame, &outputs, &ticket), FSCNN_OK);
    fscnn_outputs other = outputs;
    other.labels = again;
    cr_expect_eq(fscnn_session_profile(session, &frame, &other, times, info.steps), FSCNN_ERR_STATE);
    cr_expect_not_null(strstr(fscnn_error(), "in flight"), "%s", fscnn_error());
    cr_assert_eq(fscnn_wait(session, ticket, -1), FSCNN_OK);
    cr_expect_eq(fscnn_session_profile(session, &frame, &other, times, info.steps), FSCNN_OK, "%s", fscnn_error());
    // A profiled frame has a ticket, as one that was run.
    cr_assert_eq(fscnn_submit(session, &frame, &outputs, &ticket), FSCNN_OK);
    cr_expect_eq(ticket, 3);
    cr_assert_eq(fscnn_wait(session, ticket, -1), FSCNN_OK);
}

Test(api_profile, the_cpu_has_no_profiler_window, .init = open_both, .fini = close_both) {
    cr_expect_eq(fscnn_engine_profiler_window(engine, 1), FSCNN_ERR_UNSUPPORTED);
    cr_expect_not_null(strstr(fscnn_error(), "CUDA backend"), "%s", fscnn_error());
    cr_expect_eq(fscnn_engine_profiler_window(NULL, 1), FSCNN_ERR_ARGUMENT);
}
