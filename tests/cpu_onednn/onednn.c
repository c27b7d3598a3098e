// Tests of the oneDNN provider: results, bits, what it chooses to run, failures, leaks, threads.
#include <criterion/criterion.h>
#include <criterion/parameterized.h>
#include <dirent.h>
#include <dlfcn.h>
#include <malloc.h>
#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "cpu/backend.h"
#include "cpu/engine.h"
#include "cpu/onednn.h"
#include "fastscnn/fastscnn.h"
#include "runtime/base/mem.h"
#include "tests/golden/golden.h"
#include "weights/weights.h"

#define NEEDS_ONEDNN                                                                                                   \
    if (fs_onednn_version() == NULL) cr_skip_test("this build has no oneDNN")

// libgomp is there only when oneDNN is.
static int openmp_threads(void) {
    int (*get)(void);
    *(void **)&get = dlsym(RTLD_DEFAULT, "omp_get_max_threads");
    return get ? get() : -1;
}

// ---- Faults: these stand before those of libdnnl
// ----------------------------------------------------------------------

enum { DNNL_OK = 0, DNNL_OUT_OF_MEMORY = 1, DNNL_RUNTIME_ERROR = 5 };

static struct fault {
    const char *name; // of the function that fails; NULL: none
    int at;           // how many of its calls from now; 1: the next
    int status;
} fault;

static int fails(const char *name) {
    if (fault.name == NULL || strcmp(fault.name, name) != 0) return 0;
    return __atomic_sub_fetch(&fault.at, 1, __ATOMIC_RELAXED) == 0 ? fault.status : 0;
}

#define FAILING(name, parameters, arguments)                                                                           \
    int name parameters;                                                                                               \
    int name parameters {                                                                                              \
        const int status = fails(#name);                                                                               \
        if (status) return status;                                                                                     \
        int(*real) parameters;                                                                                         \
        *(void **)&real = dlsym(RTLD_NEXT, #name);                                                                     \
        return real arguments;                                                                                         \
    }

FAILING(dnnl_engine_create, (void *engine, int kind, size_t index), (engine, kind, index))
FAILING(dnnl_stream_create, (void *stream, void *engine, unsigned flags), (stream, engine, flags))
FAILING(dnnl_memory_create, (void *memory, const void *md, void *engine, void *handle), (memory, md, engine, handle))
FAILING(dnnl_primitive_desc_create, (void *pd, const void *op, const void *attr, void *engine, const void *hint),
        (pd, op, attr, engine, hint))
FAILING(dnnl_reorder_primitive_desc_create,
        (void *pd, const void *from, void *from_engine, const void *to, void *to_engine, const void *attr),
        (pd, from, from_engine, to, to_engine, attr))
FAILING(dnnl_primitive_create, (void *primitive, const void *pd), (primitive, pd))
FAILING(dnnl_primitive_execute, (const void *primitive, void *stream, int count, const void *args),
        (primitive, stream, count, args))
FAILING(dnnl_primitive_attr_create, (void *attr), (attr))
FAILING(dnnl_post_ops_create, (void *ops), (ops))

// ---- Networks
// ---------------------------------------------------------------------------------------------------------

static fs_labels names;

typedef struct network {
    void *engine, *session;
    fs_plan *plan;
} network;

static fs_weights make_weights(fs_variant variant, int classes, int channels) {
    fs_model model;
    fs_model_init(&model, variant);
    model.classes = classes, model.channels = channels;
    fs_weights weights;
    cr_assert_eq(fs_weights_random(&model, 7, &weights, &names), FS_OK, "%s", fs_error_text());
    return weights;
}

static fs_status open_network(const fs_weights *weights, fs_precision precision, fs_provider provider, int height,
                              int width, int threads, unsigned rewrites_off, network *n) {
    *n = (network){0};
    n->plan = fs_calloc(1, sizeof *n->plan);
    if (n->plan == NULL) return fs_fail(FS_ERR_MEMORY, "out of memory for the plan");
    const fs_engine_config engine = {.precision = precision, .provider = provider};
    FS_TRY(fs_cpu_backend.engine_open(weights, &engine, &n->engine));
    const fs_plan_options options = {.precision = precision,
                                     .rewrites_off = rewrites_off,
                                     .channel_multiple = fs_cpu_backend.channel_multiple,
                                     .supports = fs_cpu_backend.supports,
                                     .supports_user = n->engine};
    FS_TRY(fs_plan_build(n->plan, &weights->model, height, width, &options));
    const fs_session_config session = {.threads = threads, .in_flight = 2, .tune = -1};
    return fs_cpu_backend.session_open(n->engine, n->plan, &session, &n->session);
}

static void close_network(network *n) {
    if (n->session) fs_cpu_backend.session_close(n->session);
    if (n->engine) fs_cpu_backend.engine_close(n->engine);
    fs_free(n->plan);
    *n = (network){0};
}

typedef struct result {
    int height, width, classes;
    uint8_t *labels;
    float *logits;
} result;

static result make_result(const fs_graph *g) {
    const size_t pixels = (size_t)g->height * (size_t)g->width;
    result r = {.height = g->height, .width = g->width, .classes = g->model.classes};
    r.labels = fs_calloc(pixels, 1), r.logits = fs_calloc(pixels * (size_t)r.classes, sizeof(float));
    cr_assert(r.labels && r.logits);
    return r;
}

static void free_result(result *r) {
    fs_free(r->labels);
    fs_free(r->logits);
}

static size_t logits_of(const result *r) {
    return (size_t)r->height * (size_t)r->width * (size_t)r->classes;
}

static fs_status submit(const network *n, const uint8_t *pixels, result *r, uint64_t *ticket) {
    const fs_graph *g = &n->plan->program.graph;
    const fs_frame frame = {.format = g->model.channels == 4 ? FS_RGBA8 : FS_RGB8,
                            .width = g->width,
                            .height = g->height,
                            .plane = {pixels},
                            .stride = {(size_t)g->width * (size_t)g->model.channels}};
    const fs_outputs outputs = {.labels = r->labels, .labels_stride = (size_t)g->width, .logits = r->logits};
    return fs_cpu_backend.submit(n->session, &frame, &outputs, ticket);
}

static fs_status run(const network *n, const uint8_t *pixels, result *r) {
    uint64_t ticket;
    FS_TRY(submit(n, pixels, r, &ticket));
    return fs_cpu_backend.wait(n->session, ticket, -1);
}

static uint8_t *make_frame(int height, int width, int channels) {
    uint8_t *frame = fs_malloc((size_t)height * (size_t)width, (size_t)channels), *at = frame;
    cr_assert_not_null(frame);
    uint32_t state = 5;
    for (int y = 0; y < height; y++)
        for (int x = 0; x < width; x++)
            for (int c = 0; c < channels; c++)
                *at++ =
                    (uint8_t)(x * (2 + c) + y * (3 - c) / 2 + (int)((state = state * 1664525u + 1013904223u) >> 26));
    return frame;
}

// Opens, runs one frame, closes.
static result compute(const fs_weights *weights, fs_precision precision, fs_provider provider, int height, int width,
                      int threads, unsigned rewrites_off, const uint8_t *frame) {
    network n;
    cr_assert_eq(open_network(weights, precision, provider, height, width, threads, rewrites_off, &n), FS_OK, "%s",
                 fs_error_text());
    result r = make_result(&n.plan->program.graph);
    cr_assert_eq(run(&n, frame, &r), FS_OK, "%s", fs_error_text());
    close_network(&n);
    return r;
}

// Relative L2 error; infinite when a number is none.
static double difference(const result *want, const result *have) {
    double errors = 0, squares = 0;
    for (size_t i = 0; i < logits_of(want); i++) {
        const double w = (double)want->logits[i], e = (double)have->logits[i] - w;
        errors += e * e, squares += w * w;
    }
    return isnan(errors) ? (double)INFINITY : sqrt(errors / squares);
}

static bool same_bits(const result *a, const result *b) {
    return memcmp(a->labels, b->labels, (size_t)a->height * (size_t)a->width) == 0 &&
           memcmp(a->logits, b->logits, logits_of(a) * sizeof(float)) == 0;
}

static double agreement(const result *a, const result *b) {
    const size_t pixels = (size_t)a->height * (size_t)a->width;
    size_t same = 0;
    for (size_t i = 0; i < pixels; i++) same += a->labels[i] == b->labels[i];
    return (double)same / (double)pixels;
}

// ---- Results
// ----------------------------------------------------------------------------------------------------------

typedef struct golden_case {
    char name[FS_GOLDEN_NAME];
} golden_case;

ParameterizedTestParameters(onednn, golden) {
    static golden_case cases[FS_GOLDEN_MAX];
    static char list[FS_GOLDEN_MAX][FS_GOLDEN_NAME];
    const int count = fs_golden_names(list);
    for (int i = 0; i < count; i++) memcpy(cases[i].name, list[i], FS_GOLDEN_NAME);
    return cr_make_param_array(golden_case, cases, (size_t)count);
}
ParameterizedTest(golden_case *param, onednn, golden) {
    NEEDS_ONEDNN;
    fs_golden g;
    fs_weights weights;
    cr_assert_eq(fs_golden_load(param->name, &g), FS_OK, "%s", fs_error_text());
    cr_assert_eq(fs_weights_random(&g.model, g.seed, &weights, &names), FS_OK, "%s", fs_error_text());
    result r = compute(&weights, FS_FP32, FS_PROVIDER_ONEDNN, g.height, g.width, 2, 0, g.frame);
    const fs_golden_score score = fs_golden_compare(&g, r.labels, r.logits);
    cr_expect(fs_golden_passes_fp32(&score), "%s: labels %.5f, error %.3g, deviation %.3g", g.name, score.labels,
              score.error, score.deviation);
    free_result(&r);
    fs_weights_free(&weights);
    fs_golden_free(&g);
    cr_expect_eq(fs_mem_live_blocks(), 0);
}

typedef struct shape {
    int variant, classes, channels, height, width;
} shape;

ParameterizedTestParameters(onednn, every_isa_agrees_with_own_kernels_and_threads_change_no_bit) {
    // Large enough for several bands a layer; odd sizes give them uneven ends.
    static shape shapes[] = {
        {FS_PAPER, 19, 3, 256, 512},      {FS_PAPER, 2, 4, 353, 517},      {FS_PAPER, 255, 3, 131, 197},
        {FS_TRAMAC, 19, 3, 257, 511},     {FS_TRAMAC, 5, 4, 240, 320},     {FS_MMSEG, 16, 3, 301, 403},
        {FS_MMSEG, 17, 3, 64, 1024},      {FS_PADDLESEG, 19, 3, 255, 257}, {FS_PADDLESEG, 11, 4, 512, 256},
        {FS_LEFTTHOMAS, 33, 3, 321, 333}, {FS_LEFTTHOMAS, 19, 3, 64, 64},  {FS_PAPER, 19, 3, 1024, 64},
    };
    return cr_make_param_array(shape, shapes, sizeof shapes / sizeof shapes[0]);
}
ParameterizedTest(shape *p, onednn, every_isa_agrees_with_own_kernels_and_threads_change_no_bit) {
    NEEDS_ONEDNN;
    fs_weights weights = make_weights((fs_variant)p->variant, p->classes, p->channels);
    uint8_t *frame = make_frame(p->height, p->width, p->channels);
    result own = compute(&weights, FS_FP32, FS_PROVIDER_OWN, p->height, p->width, 2, 0, frame), first = {0};
    for (int threads = 1; threads <= 3; threads++) {
        result r = compute(&weights, FS_FP32, FS_PROVIDER_ONEDNN, p->height, p->width, threads, 0, frame);
        if (threads == 1) {
            const double error = difference(&own, &r);
            cr_expect_lt(error, 2e-5, "relative error %.3g", error);
            cr_expect_gt(agreement(&own, &r), 0.999);
            first = r;
            continue;
        }
        cr_expect(same_bits(&first, &r), "%d threads give other bits than 1", threads);
        free_result(&r);
    }
    free_result(&first);
    free_result(&own);
    fs_free(frame);
    fs_weights_free(&weights);
    cr_expect_eq(fs_mem_live_blocks(), 0);
}

Test(onednn, results_hold_with_every_rewrite_left_out) {
    NEEDS_ONEDNN;
    fs_weights weights = make_weights(FS_TRAMAC, 19, 3);
    uint8_t *frame = make_frame(130, 222, 3);
    result own = compute(&weights, FS_FP32, FS_PROVIDER_OWN, 130, 222, 2, 0, frame);
    for (int i = 0; i <= fs_rewrite_count; i++) {
        const unsigned off = i == fs_rewrite_count ? (1u << fs_rewrite_count) - 1 : 1u << i;
        result r = compute(&weights, FS_FP32, FS_PROVIDER_ONEDNN, 130, 222, 2, off, frame);
        const double error = difference(&own, &r);
        cr_expect_lt(error, 2e-5, "without %s: relative error %.3g", i < fs_rewrite_count ? fs_rewrites[i].name : "any",
                     error);
        free_result(&r);
    }
    free_result(&own);
    fs_free(frame);
    fs_weights_free(&weights);
}

Test(onednn, every_isa_bf16_runs_where_the_processor_can_and_is_refused_elsewhere) {
    NEEDS_ONEDNN;
    fs_weights weights = make_weights(FS_PAPER, 19, 3);
    if (fs_onednn_check(FS_BF16) != FS_OK) {
        network n;
        const fs_status status = open_network(&weights, FS_BF16, FS_PROVIDER_ONEDNN, 128, 128, 1, 0, &n);
        cr_expect_eq(status, FS_ERR_UNSUPPORTED);
        cr_expect(strstr(fs_error_text(), "bf16") && strstr(fs_error_text(), "oneDNN"), "%s", fs_error_text());
        close_network(&n);
    } else {
        uint8_t *frame = make_frame(257, 391, 3);
        result want = compute(&weights, FS_FP32, FS_PROVIDER_OWN, 257, 391, 2, 0, frame);
        result r = compute(&weights, FS_BF16, FS_PROVIDER_ONEDNN, 257, 391, 2, 0, frame);
        const double error = difference(&want, &r);
        // 8 bits of mantissa through some forty layers.
        cr_expect_lt(error, 0.05, "relative error %.3g", error);
        free_result(&want);
        free_result(&r);
        fs_free(frame);
    }
    fs_weights_free(&weights);
    cr_expect_eq(fs_mem_live_blocks(), 0);
}

Test(onednn, frames_in_flight_do_not_mix) {
    NEEDS_ONEDNN;
    fs_weights weights = make_weights(FS_PAPER, 19, 3);
    uint8_t *frame[2] = {make_frame(192, 256, 3), fs_calloc(192 * 256, 3)};
    network n;
    cr_assert_eq(open_network(&weights, FS_FP32, FS_PROVIDER_ONEDNN, 192, 256, 2, 0, &n), FS_OK, "%s", fs_error_text());
    result want[2], have[2];
    for (int i = 0; i < 2; i++) {
        want[i] = make_result(&n.plan->program.graph), have[i] = make_result(&n.plan->program.graph);
        cr_assert_eq(run(&n, frame[i], &want[i]), FS_OK, "%s", fs_error_text());
    }
    for (int round = 0; round < 4; round++) {
        uint64_t ticket[2];
        for (int i = 0; i < 2; i++) cr_assert_eq(submit(&n, frame[i], &have[i], &ticket[i]), FS_OK);
        for (int i = 0; i < 2; i++) {
            cr_assert_eq(fs_cpu_backend.wait(n.session, ticket[i], -1), FS_OK, "%s", fs_error_text());
            cr_expect(same_bits(&want[i], &have[i]));
        }
    }
    cr_expect_not(same_bits(&want[0], &want[1]));
    for (int i = 0; i < 2; i++) free_result(&want[i]), free_result(&have[i]), fs_free(frame[i]);
    close_network(&n);
    fs_weights_free(&weights);
}

// ---- What runs
// --------------------------------------------------------------------------------------------------------

static void expect_fast_implementations(const fs_weights *weights, fs_precision precision, int height, int width) {
    network n = {.plan = fs_calloc(1, sizeof *n.plan)};
    const fs_engine_config config = {.precision = precision, .provider = FS_PROVIDER_ONEDNN};
    cr_assert_eq(fs_cpu_backend.engine_open(weights, &config, &n.engine), FS_OK, "%s", fs_error_text());
    const fs_plan_options options = {.precision = precision,
                                     .channel_multiple = fs_cpu_backend.channel_multiple,
                                     .supports = fs_cpu_backend.supports,
                                     .supports_user = n.engine};
    cr_assert_eq(fs_plan_build(n.plan, &weights->model, height, width, &options), FS_OK, "%s", fs_error_text());
    char *arena = fs_malloc(1, n.plan->arena_bytes + 256);
    fs_onednn *d;
    cr_assert_eq(fs_onednn_open(weights, n.plan, arena, 2, &d), FS_OK, "%s", fs_error_text());
    int layers = 0;
    for (int s = 0; s < n.plan->program.steps; s++) {
        const fs_step *step = &n.plan->program.step[s];
        int convolutions = 0;
        for (int i = 0; i < step->ops; i++) convolutions += n.plan->program.graph.op[step->op[i]].layer >= 0;
        const bool own_stem = precision == FS_BF16 && step->kind == FS_STEP_STEM;
        cr_expect(convolutions == 0 || own_stem || fs_onednn_takes(&n.plan->program, step), "%s", step->name);
        if (!fs_onednn_takes(&n.plan->program, step)) continue;
        layers++;
        const int bands = fs_onednn_bands(d, s);
        cr_expect_geq(bands, 1);
        for (int b = 0; b < bands; b++) {
            const char *name = fs_onednn_implementation(d, s, b);
            cr_expect(name[0] != '\0' && strncmp(name, "ref", 3) != 0 && strstr(name, ":ref") == NULL,
                      "%s %s %dx%d, band %d of %d: %s", fs_variant_name(weights->model.variant), step->name, height,
                      width, b, bands, name);
        }
    }
    cr_expect_eq(layers, FS_LAYERS - (precision == FS_BF16));
    cr_expect_gt(fs_onednn_bytes(d), precision == FS_BF16 ? 2000000 : 4000000); // 1.1 million weights at least
    fs_onednn_close(d);
    fs_free(arena);
    close_network(&n);
}

ParameterizedTestParameters(onednn, every_isa_runs_no_reference_implementation) {
    static int variants[FS_VARIANTS];
    for (int i = 0; i < FS_VARIANTS; i++) variants[i] = i;
    return cr_make_param_array(int, variants, FS_VARIANTS);
}
ParameterizedTest(int *variant, onednn, every_isa_runs_no_reference_implementation) {
    NEEDS_ONEDNN;
    static const int sizes[][2] = {{64, 64}, {97, 131}, {353, 517}, {1024, 2048}};
    for (int channels = 3; channels <= 4; channels++)
        for (int bf16 = 0; bf16 < 2; bf16++) {
            if (bf16 && fs_onednn_check(FS_BF16) != FS_OK) continue;
            for (int s = 0; s < 4; s++) {
                fs_weights weights = make_weights((fs_variant)*variant, s == 0 ? 255 : 19, channels);
                expect_fast_implementations(&weights, bf16 ? FS_BF16 : FS_FP32, sizes[s][0], sizes[s][1]);
                fs_weights_free(&weights);
            }
        }
    cr_expect_eq(fs_mem_live_blocks(), 0);
}

Test(onednn, plan_names_kernels_and_implementations) {
    NEEDS_ONEDNN;
    fs_weights weights = make_weights(FS_PAPER, 19, 3);
    network n;
    cr_assert_eq(open_network(&weights, FS_FP32, FS_PROVIDER_ONEDNN, 256, 512, 1, 0, &n), FS_OK, "%s", fs_error_text());
    cr_expect_str_eq(n.plan->kernels, "onednn");
    int named = 0, single = 0;
    for (int s = 0; s < n.plan->program.steps; s++) {
        named += strncmp(n.plan->tactic[s], "onednn ", 7) == 0;
        single += n.plan->program.step[s].kind == FS_STEP_CONV || n.plan->program.step[s].kind == FS_STEP_OP;
    }
    cr_expect_eq(named, FS_LAYERS);
    cr_expect_eq(single, n.plan->program.steps - 1, "only the head is fused");
    close_network(&n);
    cr_assert_eq(open_network(&weights, FS_FP32, FS_PROVIDER_OWN, 256, 512, 1, 0, &n), FS_OK, "%s", fs_error_text());
    cr_expect_str_eq(n.plan->kernels, "own");
    for (int s = 0; s < n.plan->program.steps; s++) cr_expect_null(strstr(n.plan->tactic[s], "onednn"));
    close_network(&n);
    fs_weights_free(&weights);
}

// ---- Threads
// ----------------------------------------------------------------------------------------------------------

static int live_threads(void) {
    DIR *folder = opendir("/proc/self/task");
    int count = 0;
    for (struct dirent *e; (e = readdir(folder)) != NULL;) count += e->d_name[0] != '.';
    closedir(folder);
    return count;
}

Test(onednn, starts_no_threads_of_its_own_and_leaves_openmp_alone) {
    NEEDS_ONEDNN;
    const int threads = live_threads(), openmp = openmp_threads();
    fs_weights weights = make_weights(FS_PAPER, 19, 3);
    uint8_t *frame = make_frame(256, 512, 3);
    network n;
    cr_assert_eq(open_network(&weights, FS_FP32, FS_PROVIDER_ONEDNN, 256, 512, 3, 0, &n), FS_OK, "%s", fs_error_text());
    result r = make_result(&n.plan->program.graph);
    for (int i = 0; i < 3; i++) cr_assert_eq(run(&n, frame, &r), FS_OK, "%s", fs_error_text());
    cr_expect_eq(live_threads(), threads + 3);
    cr_expect_eq(openmp_threads(), openmp);
    cr_expect_geq(openmp, 1);
    free_result(&r);
    close_network(&n);
    fs_free(frame);
    fs_weights_free(&weights);
}

typedef struct user {
    const fs_weights *weights;
    const uint8_t *frame;
    result result;
} user;

static void *use(void *argument) {
    user *u = argument;
    u->result = compute(u->weights, FS_FP32, FS_PROVIDER_ONEDNN, 200, 264, 2, 0, u->frame);
    return NULL;
}

Test(onednn, sessions_opened_by_several_threads_at_once_agree) {
    NEEDS_ONEDNN;
    fs_weights weights = make_weights(FS_MMSEG, 19, 3);
    uint8_t *frame = make_frame(200, 264, 3);
    pthread_t thread[3];
    user users[3];
    for (int i = 0; i < 3; i++) {
        users[i] = (user){.weights = &weights, .frame = frame};
        cr_assert_eq(pthread_create(&thread[i], NULL, use, &users[i]), 0);
    }
    for (int i = 0; i < 3; i++) pthread_join(thread[i], NULL);
    for (int i = 1; i < 3; i++) cr_expect(same_bits(&users[0].result, &users[i].result));
    for (int i = 0; i < 3; i++) free_result(&users[i].result);
    fs_free(frame);
    fs_weights_free(&weights);
}

// ---- Failures and leaks
// -------------------------------------------------------------------------------------------------

Test(onednn, each_failed_allocation_is_reported_and_leaves_nothing) {
    NEEDS_ONEDNN;
    fs_weights weights = make_weights(FS_PAPER, 19, 3);
    const size_t before = fs_mem_live_blocks();
    int failures = 0;
    for (uint64_t at = 1;; at++) {
        fs_mem_fail_at(at, false);
        network n;
        const fs_status status = open_network(&weights, FS_FP32, FS_PROVIDER_ONEDNN, 96, 128, 2, 0, &n);
        const bool fired = fs_mem_fault_fired();
        fs_mem_fail_at(0, false);
        cr_expect(fired ? status == FS_ERR_MEMORY : status == FS_OK, "allocation %d: %s", (int)at, fs_error_text());
        close_network(&n);
        cr_assert_eq(fs_mem_live_blocks(), before, "allocation %d leaks", (int)at);
        if (!fired) break;
        failures++;
    }
    cr_expect_gt(failures, FS_LAYERS);
    fs_weights_free(&weights);
}

Test(onednn, each_failure_of_the_library_while_opening_is_reported_and_leaves_nothing) {
    NEEDS_ONEDNN;
    static const char *const functions[] = {"dnnl_engine_create",         "dnnl_stream_create",
                                            "dnnl_memory_create",         "dnnl_primitive_desc_create",
                                            "dnnl_primitive_attr_create", "dnnl_primitive_create",
                                            "dnnl_primitive_execute",     "dnnl_reorder_primitive_desc_create",
                                            "dnnl_post_ops_create"};
    fs_weights weights = make_weights(FS_PAPER, 19, 3);
    const size_t before = fs_mem_live_blocks();
    for (size_t f = 0; f < sizeof functions / sizeof functions[0]; f++) {
        int at = 1;
        for (;; at += at < 8 ? 1 : 29) { // the first few and a sample of the rest
            const int status = at & 1 ? DNNL_RUNTIME_ERROR : DNNL_OUT_OF_MEMORY;
            fault = (struct fault){functions[f], at, status};
            network n;
            const fs_status have = open_network(&weights, FS_FP32, FS_PROVIDER_ONEDNN, 96, 128, 2, 0, &n);
            const bool fired = fault.at <= 0;
            fault.name = NULL;
            const fs_status want = status == DNNL_OUT_OF_MEMORY ? FS_ERR_MEMORY : FS_ERR_BACKEND;
            cr_expect(fired ? have == want : have == FS_OK, "%s %d: %d, %s", functions[f], at, have, fs_error_text());
            if (fired) cr_expect_not_null(strstr(fs_error_text(), "oneDNN cannot "), "%s", fs_error_text());
            close_network(&n);
            cr_assert_eq(fs_mem_live_blocks(), before, "%s %d leaks", functions[f], at);
            if (!fired) break;
        }
        cr_expect_gt(at, 1, "%s is never called", functions[f]);
    }
    fault = (struct fault){"dnnl_primitive_create", 1, DNNL_RUNTIME_ERROR};
    network n;
    cr_expect_eq(open_network(&weights, FS_FP32, FS_PROVIDER_ONEDNN, 96, 128, 2, 0, &n), FS_ERR_BACKEND);
    cr_expect_not_null(strstr(fs_error_text(), "ltd.conv"), "%s", fs_error_text());
    close_network(&n);
    fs_weights_free(&weights);
}

Test(onednn, failed_frame_is_reported_once_and_its_outputs_stay) {
    NEEDS_ONEDNN;
    fs_weights weights = make_weights(FS_PAPER, 19, 3);
    uint8_t *frame = make_frame(256, 320, 3);
    network n;
    cr_assert_eq(open_network(&weights, FS_FP32, FS_PROVIDER_ONEDNN, 256, 320, 2, 0, &n), FS_OK, "%s", fs_error_text());
    result want = make_result(&n.plan->program.graph), r = make_result(&n.plan->program.graph);
    cr_assert_eq(run(&n, frame, &want), FS_OK, "%s", fs_error_text());
    for (int at = 1; at < 200; at += 37) {
        memset(r.labels, 77, 256 * 320);
        memset(r.logits, 0, logits_of(&r) * sizeof(float));
        fault = (struct fault){"dnnl_primitive_execute", at, DNNL_RUNTIME_ERROR};
        cr_expect_eq(run(&n, frame, &r), FS_ERR_BACKEND);
        cr_expect_not_null(strstr(fs_error_text(), "oneDNN failed to run '"), "%s", fs_error_text());
        if (at == 1) cr_expect_not_null(strstr(fs_error_text(), "'ltd.conv'"), "%s", fs_error_text());
        fault.name = NULL;
        bool touched = false;
        for (size_t i = 0; i < 256 * 320; i++) touched |= r.labels[i] != 77;
        for (size_t i = 0; i < logits_of(&r); i++) touched |= r.logits[i] != 0;
        cr_expect_not(touched, "call %d", at);
        cr_expect_eq(run(&n, frame, &r), FS_OK, "%s", fs_error_text());
        cr_expect(same_bits(&want, &r));
    }
    // With two in flight only the one that failed says so.
    uint64_t ticket[2];
    fault = (struct fault){"dnnl_primitive_execute", 3, DNNL_RUNTIME_ERROR};
    for (int i = 0; i < 2; i++) cr_assert_eq(submit(&n, frame, i ? &r : &want, &ticket[i]), FS_OK);
    cr_expect_eq(fs_cpu_backend.wait(n.session, ticket[0], -1), FS_ERR_BACKEND);
    cr_expect_eq(fs_cpu_backend.wait(n.session, ticket[1], -1), FS_OK);
    fault.name = NULL;
    free_result(&want);
    free_result(&r);
    close_network(&n);
    fs_free(frame);
    fs_weights_free(&weights);
    cr_expect_eq(fs_mem_live_blocks(), 0);
}

Test(onednn, opening_and_closing_again_and_again_takes_no_more_memory) {
    NEEDS_ONEDNN;
    fs_weights weights = make_weights(FS_LEFTTHOMAS, 19, 3);
    uint8_t *frame = make_frame(128, 160, 3);
    size_t settled = 0;
    // oneDNN keeps primitives for reuse, so the first rounds may grow.
    for (int i = 0; i < 12; i++) {
        result r = compute(&weights, FS_FP32, FS_PROVIDER_ONEDNN, 128, 160, 2, 0, frame);
        free_result(&r);
        const size_t used = mallinfo2().uordblks;
        if (i == 3) settled = used;
        if (i > 3) cr_expect_lt(used, settled + 16384, "round %d: %zu bytes more", i, used - settled);
    }
    fs_free(frame);
    fs_weights_free(&weights);
    cr_expect_eq(fs_mem_live_blocks(), 0);
}

// ---- Public choice
// ------------------------------------------------------------------------------------------------------

Test(onednn_choice, kernels_are_chosen_by_name) {
    static const struct {
        const char *asked, *becomes; // NULL: refused
    } cases[] = {{NULL, "own"}, {"auto", "own"},  {"own", "own"}, {"onednn", "onednn"},
                 {"", NULL},    {"OneDNN", NULL}, {"mkl", NULL}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        fscnn_engine_options options;
        fscnn_engine_options_init(&options);
        cr_expect_null(options.kernels);
        options.precision = FSCNN_PRECISION_FP32, options.kernels = cases[i].asked;
        fscnn_engine *engine = NULL;
        const fscnn_status status = fscnn_engine_open("random:1", &options, &engine);
        if (cases[i].becomes == NULL) {
            cr_expect_eq(status, FSCNN_ERR_ARGUMENT, "'%s'", cases[i].asked);
            cr_expect_not_null(strstr(fscnn_error(), "onednn"), "%s", fscnn_error());
            cr_expect_null(engine);
            continue;
        }
        if (strcmp(cases[i].becomes, "onednn") == 0 && fs_onednn_version() == NULL) {
            cr_expect_eq(status, FSCNN_ERR_UNSUPPORTED);
            cr_expect_not_null(strstr(fscnn_error(), "no oneDNN"), "%s", fscnn_error());
            continue;
        }
        cr_assert_eq(status, FSCNN_OK, "%s", fscnn_error());
        fscnn_engine_info info;
        fscnn_engine_info_init(&info);
        cr_assert_eq(fscnn_engine_get_info(engine, &info), FSCNN_OK);
        cr_expect_str_eq(info.kernels, cases[i].becomes);
        fscnn_engine_close(&engine);
    }
    cr_expect_eq(fs_mem_live_blocks(), 0);
}

Test(onednn_choice, options_of_before_the_field_mean_own_kernels) {
    fscnn_engine_options options;
    fscnn_engine_options_init(&options);
    options.struct_size = offsetof(fscnn_engine_options, kernels);
    options.kernels = "not looked at";
    fscnn_engine *engine;
    cr_assert_eq(fscnn_engine_open("random:1", &options, &engine), FSCNN_OK, "%s", fscnn_error());
    fscnn_engine_info info;
    fscnn_engine_info_init(&info);
    cr_assert_eq(fscnn_engine_get_info(engine, &info), FSCNN_OK);
    cr_expect_str_eq(info.kernels, "own");
    fscnn_engine_close(&engine);
}

Test(onednn_choice, backend_query_tells_of_onednn) {
    fscnn_backend_info info;
    fscnn_backend_info_init(&info);
    cr_assert_eq(fscnn_backend_query(FSCNN_BACKEND_CPU, &info), FSCNN_OK);
    const char *version = fs_onednn_version();
    cr_expect_not_null(strstr(info.detail, version ? version : "without oneDNN"), "%s", info.detail);
}

Test(onednn_choice, plan_json_says_whose_kernels) {
    fscnn_engine_options options;
    fscnn_engine_options_init(&options);
    options.precision = FSCNN_PRECISION_FP32, options.kernels = fs_onednn_version() ? "onednn" : "own";
    fscnn_engine *engine;
    cr_assert_eq(fscnn_engine_open("random:1", &options, &engine), FSCNN_OK, "%s", fscnn_error());
    fscnn_session_options session_options;
    fscnn_session_options_init(&session_options);
    session_options.width = 128, session_options.height = 64;
    fscnn_session *session;
    cr_assert_eq(fscnn_session_open(engine, &session_options, &session), FSCNN_OK, "%s", fscnn_error());
    char *text, want[64];
    cr_assert_eq(fscnn_session_plan(session, FSCNN_PLAN_JSON, NULL, &text), FSCNN_OK);
    snprintf(want, sizeof want, "\"kernels\": \"%s\"", options.kernels);
    cr_expect_not_null(strstr(text, want), "%.200s", text);
    fscnn_text_free(&text);
    fscnn_session_close(&session);
    fscnn_engine_close(&engine);
}
