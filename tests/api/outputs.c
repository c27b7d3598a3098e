// Tests of a frame's outputs through the public API: each alone and with others, refusals, running out of memory.
#include <criterion/criterion.h>
#include <criterion/parameterized.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "fastscnn/fastscnn.h"
#include "runtime/base/mem.h"

enum { HEIGHT = 67, WIDTH = 131, PIXELS = HEIGHT * WIDTH, CLASSES = 19, UNTOUCHED = 0xee };

static fscnn_engine *engine;
static fscnn_session *session;
static _Alignas(16) uint8_t pixels[4 * 200 * 300];

static void open_with(const char *disable_fusion) {
    fscnn_engine_options o;
    fscnn_engine_options_init(&o);
    o.backend = FSCNN_BACKEND_CPU, o.precision = FSCNN_PRECISION_FP32, o.disable_fusion = disable_fusion;
    cr_assert_eq(fscnn_engine_open("random:3", &o, &engine), FSCNN_OK, "%s", fscnn_error());
    fscnn_session_options s;
    fscnn_session_options_init(&s);
    s.width = WIDTH, s.height = HEIGHT, s.threads = 3, s.in_flight = 2, s.tune = -1;
    cr_assert_eq(fscnn_session_open(engine, &s, &session), FSCNN_OK, "%s", fscnn_error());
    for (size_t i = 0; i < sizeof pixels; i++) pixels[i] = (uint8_t)(i * 7 + i / 190 + (i >> 9) * 31);
}

static void open_both(void) {
    open_with(NULL);
}

static void close_both(void) {
    fscnn_session_close(&session);
    fscnn_engine_close(&engine);
    cr_expect_eq(fs_mem_live_blocks(), 0, "%zu blocks leaked", fs_mem_live_blocks());
}

static fscnn_frame a_frame(void) {
    fscnn_frame frame;
    fscnn_frame_init(&frame, FSCNN_RGB8, WIDTH, HEIGHT, pixels);
    return frame;
}

static fscnn_outputs no_outputs(void) {
    fscnn_outputs outputs;
    fscnn_outputs_init(&outputs);
    return outputs;
}

static void run(const fscnn_frame *frame, const fscnn_outputs *outputs) {
    cr_assert_eq(fscnn_run(session, frame, outputs), FSCNN_OK, "%s", fscnn_error());
}

static void expect_failure(const fscnn_outputs *outputs, fscnn_status want, const char *fragment) {
    const fscnn_frame frame = a_frame();
    const fscnn_status got = fscnn_run(session, &frame, outputs);
    cr_expect_eq((int)got, (int)want, "%s: %s (%s)", fragment, fscnn_status_name(got), fscnn_error());
    cr_expect_not_null(strstr(fscnn_error(), fragment), "'%s' does not say '%s'", fscnn_error(), fragment);
}

static size_t touched(const void *data, size_t size) {
    size_t n = 0;
    for (size_t i = 0; i < size; i++) n += ((const uint8_t *)data)[i] != UNTOUCHED;
    return n;
}

// ---- Histogram -----------------------------------------------------------------------------------------------------

typedef struct fusion_case {
    char off[8];
} fusion_case;
static fusion_case fusions[] = {{""}, {"head"}, {"all"}};
ParameterizedTestParameters(outputs, histogram) {
    return cr_make_param_array(fusion_case, fusions, 3);
}
// Alone, beside labels, and of the classes before the map; frame after frame.
ParameterizedTest(fusion_case *c, outputs, histogram) {
    open_with(c->off);
    static uint8_t labels[PIXELS], map[256];
    for (int i = 0; i < 256; i++) map[i] = (uint8_t)(i * 5 + 1);
    for (int round = 0; round < 3; round++) {
        fscnn_frame frame = a_frame();
        frame.plane[0] = pixels + 1000 * round;
        fscnn_outputs o = no_outputs();
        o.labels = labels;
        run(&frame, &o);
        uint32_t want[CLASSES] = {0}, have[CLASSES + 1], sum = 0;
        for (int i = 0; i < PIXELS; i++) want[labels[i]]++;
        for (int kind = 0; kind < 3; kind++) {
            memset(have, UNTOUCHED, sizeof have);
            o.histogram = have, o.labels = kind == 0 ? NULL : labels, o.labels_map = kind == 2 ? map : NULL;
            run(&frame, &o);
            cr_expect_arr_eq(have, want, sizeof want, "kind %d without '%s'", kind, c->off);
            cr_expect_eq(have[CLASSES], 0xeeeeeeeeu, "written behind the last class");
        }
        for (int k = 0; k < CLASSES; k++) sum += have[k];
        cr_expect_eq(sum, PIXELS);
    }
    close_both();
}

Test(outputs, histogram_refusals, .init = open_both, .fini = close_both) {
    static _Alignas(4) uint8_t room[4 * CLASSES + 8];
    memset(room, UNTOUCHED, sizeof room);
    fscnn_outputs o = no_outputs();
    o.histogram = (uint32_t *)(void *)room, o.struct_size = offsetof(fscnn_outputs, histogram);
    expect_failure(&o, FSCNN_ERR_ARGUMENT, "nothing"); // an older struct
    o.struct_size = sizeof o;
    const uintptr_t odd = (uintptr_t)room + 2;
    memcpy(&o.histogram, &odd, sizeof odd);
    expect_failure(&o, FSCNN_ERR_ARGUMENT, "histogram");
    cr_expect_eq(touched(room, sizeof room), 0);
}

// ---- Size ----------------------------------------------------------------------------------------------------------

// A frame of the network's size gives the same either way; one of another size gives maps of its own, counted as they
// are, with strides of its width.
Test(outputs, size, .init = open_both, .fini = close_both) {
    enum { TALL = 101, BROAD = 203, STRIDE = BROAD + 3 };
    static uint8_t small[PIXELS], same[PIXELS], large[TALL * STRIDE];
    fscnn_frame frame = a_frame();
    fscnn_outputs o = no_outputs();
    o.labels = small;
    run(&frame, &o);
    o.labels = same, o.size = FSCNN_SIZE_FRAME;
    run(&frame, &o);
    cr_expect_arr_eq(small, same, PIXELS);
    fscnn_frame_init(&frame, FSCNN_RGB8, BROAD, TALL, pixels);
    uint32_t histogram[CLASSES], want[CLASSES] = {0};
    memset(large, UNTOUCHED, sizeof large);
    o.labels = large, o.labels_stride = STRIDE, o.histogram = histogram;
    run(&frame, &o);
    size_t between = 0;
    for (int i = 0; i < TALL * STRIDE; i++)
        if (i % STRIDE >= BROAD) {
            between += large[i] != UNTOUCHED;
        } else {
            cr_assert_lt(large[i], CLASSES);
            want[large[i]]++;
        }
    cr_expect_eq(between, 0);
    cr_expect_arr_eq(histogram, want, sizeof want);
}

Test(outputs, size_refusals, .init = open_both, .fini = close_both) {
    static uint8_t labels[PIXELS];
    memset(labels, UNTOUCHED, sizeof labels);
    fscnn_outputs o = no_outputs();
    o.labels = labels, o.size = (fscnn_output_size)2;
    expect_failure(&o, FSCNN_ERR_ARGUMENT, "outputs.size");
    o.size = FSCNN_SIZE_FRAME, o.labels_stride = WIDTH - 1;
    expect_failure(&o, FSCNN_ERR_ARGUMENT, "labels_stride");
    o.labels_stride = 0;
    fscnn_frame frame;
    fscnn_frame_init(&frame, FSCNN_GRAY8, 16385, 1, pixels);
    cr_expect_eq((int)fscnn_run(session, &frame, &o), FSCNN_ERR_LIMIT, "%s", fscnn_error());
    cr_expect_not_null(strstr(fscnn_error(), "16384"));
    cr_expect_eq(touched(labels, sizeof labels), 0);
}

// ---- Scores --------------------------------------------------------------------------------------------------------

Test(outputs, scores, .init = open_both, .fini = close_both) {
    static float scores[CLASSES * PIXELS];
    static uint16_t halves[CLASSES * PIXELS + 1];
    static uint8_t labels[PIXELS];
    const fscnn_frame frame = a_frame();
    fscnn_outputs o = no_outputs();
    o.scores = scores, o.labels = labels;
    run(&frame, &o);
    for (int i = 0; i < PIXELS; i++) {
        double sum = 0, high = 0;
        for (int k = 0; k < CLASSES; k++) {
            const double v = (double)scores[k * PIXELS + i];
            sum += v, high = v > high ? v : high;
        }
        cr_assert(sum > 1 - 1e-5 && sum < 1 + 1e-5, "pixel %d sums up to %g", i, sum);
        cr_assert_geq((double)scores[labels[i] * PIXELS + i], high - 1e-5);
    }
    memset(halves, UNTOUCHED, sizeof halves);
    o.scores = halves, o.score_type = FSCNN_SCORE_F16;
    run(&frame, &o);
    cr_expect_eq(halves[CLASSES * PIXELS], 0xeeee, "written behind the last class");
    cr_expect_eq(touched(halves, sizeof halves - 2) > 0, 1);
    o.score_type = (fscnn_score_type)2;
    expect_failure(&o, FSCNN_ERR_ARGUMENT, "score_type");
    o.score_type = FSCNN_SCORE_F32, o.scores = halves + 1;
    expect_failure(&o, FSCNN_ERR_ARGUMENT, "scores");
}

// ---- Memory --------------------------------------------------------------------------------------------------------

// The first frame that needs memory of its own may fail for it; then nothing is written, and the next one is fine.
Test(outputs, no_memory, .init = open_both, .fini = close_both) {
    uint32_t histogram[CLASSES];
    fscnn_frame frame;
    fscnn_frame_init(&frame, FSCNN_RGB8, WIDTH + 20, HEIGHT + 3, pixels);
    fscnn_outputs o = no_outputs();
    o.histogram = histogram, o.size = FSCNN_SIZE_FRAME;
    memset(histogram, UNTOUCHED, sizeof histogram);
    for (uint64_t n = 1; n <= 2; n++) { // the tables of its size, its classes
        fs_mem_fail_at(n, true);
        const fscnn_status status = fscnn_run(session, &frame, &o);
        fs_mem_fail_at(0, false);
        cr_expect_eq((int)status, FSCNN_ERR_MEMORY, "%s", fscnn_status_name(status));
        cr_expect_eq(touched(histogram, sizeof histogram), 0);
    }
    for (int i = 0; i < 2; i++) run(&frame, &o); // each place in flight
    fs_mem_fail_at(1, true);
    run(&frame, &o);
    cr_expect_not(fs_mem_fault_fired(), "a frame allocates");
    fs_mem_fail_at(0, false);
}
