// Tests of plan building and the cost model: bytes and work of steps, rooflines, refused options.
#include <criterion/criterion.h>
#include <criterion/parameterized.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "runtime/plan.h"

static fs_plan plan;

static void build(fs_variant variant, fs_precision precision, unsigned off) {
    fs_model model;
    fs_model_init(&model, variant);
    fs_plan_options options = {.precision = precision, .rewrites_off = off};
    cr_assert_eq(fs_plan_build(&plan, &model, 1024, 2048, &options), FS_OK, "%s", fs_error_text());
}

static fs_cost total(void) {
    fs_cost sum = {0};
    for (int s = 0; s < plan.program.steps; s++) {
        sum.flops += plan.cost[s].flops;
        sum.read += plan.cost[s].read, sum.written += plan.cost[s].written, sum.weights += plan.cost[s].weights;
    }
    return sum;
}

static const fs_cost *cost_of(const char *name) {
    for (int s = 0; s < plan.program.steps; s++)
        if (strcmp(plan.program.step[s].name, name) == 0) return &plan.cost[s];
    cr_assert_fail("no step %s", name);
    return NULL;
}

Test(cost, work_and_weights_do_not_depend_on_fusion) {
    for (unsigned off = 0; off < 0x400; off += 0x1f) {
        build(FS_PAPER, FS_FP16, off);
        cr_expect_eq(total().flops, 2 * 6709649408.0);
        cr_expect_eq(total().weights, 2275628.0); // fp16 weights, float32 biases
    }
}

Test(cost, weights_at_each_precision) {
    build(FS_PAPER, FS_FP32, 0);
    cr_expect_eq(total().weights, 4 * 1125955.0);
    build(FS_PAPER, FS_BF16, 0);
    cr_expect_eq(total().weights, 2275628.0);
    build(FS_PAPER, FS_INT8, 0);
    cr_expect_eq(total().weights, 1114096 + 4 * 11859.0);
    build(FS_MMSEG, FS_FP32, 0);
    cr_expect_eq(total().weights, 4 * (1376240 + 11859.0));
}

Test(cost, single_operations_move_their_tensors) {
    build(FS_PAPER, FS_FP16, 0x3ff);
    const double frame = 1024.0 * 2048;
    cr_expect(cost_of("normalise")->read == frame * 3 && cost_of("normalise")->written == frame * 3 * 2);
    cr_expect_eq(cost_of("ltd.conv")->written, 33554432.0);
    cr_expect_eq(cost_of("ltd.ds1.dw")->written, 8388608.0);
    cr_expect_eq(cost_of("gfe.b1.0.expand")->written, 25165824.0);
    cr_expect_eq(cost_of("gfe.b3.2.add")->read, 2 * 524288.0);
    cr_expect_eq(cost_of("ppm.concat")->read, 524288.0 + 4 * 131072);
    cr_expect_eq(cost_of("head.resize")->written, frame * 19 * 4); // logits stay float
    cr_expect(cost_of("head.argmax")->read == frame * 19 * 4 && cost_of("head.argmax")->written == frame);
    // All convolution outputs, the logits counted at 2 bytes.
    double convolutions = 0;
    for (int s = 0; s < plan.program.steps; s++)
        if (plan.program.graph.op[plan.program.step[s].op[0]].layer >= 0) convolutions += plan.cost[s].written;
    cr_expect_eq(convolutions - 128 * 256 * 19 * 2.0, 219483264.0, "%.0f", convolutions);
}

Test(cost, what_stays_inside_a_step_is_free) {
    build(FS_PAPER, FS_FP16, 0);
    const double frame = 1024.0 * 2048, skip = 128.0 * 256 * 64 * 2;
    cr_expect(cost_of("ltd")->read == frame * 3 && cost_of("ltd")->written == skip);
    cr_expect(cost_of("gfe.b1.1")->read == 1048576 && cost_of("gfe.b1.1")->written == 1048576); // the residual once
    cr_expect(cost_of("ffm")->read == 524288 + skip && cost_of("ffm")->written == 8388608);
    cr_expect(cost_of("head")->read == 128 * 256 * 19 * 4 && cost_of("head")->written == frame);
    fs_cost fused = total();
    // The block-fused scheme's 72.35 MB less the map between the classifier's two DSConvs, written and read.
    cr_expect_float_eq((fused.read + fused.written) * 1e-6, 72.35 - 2 * 8.389, 0.01);
}

Test(cost, fusing_never_moves_more) {
    build(FS_TRAMAC, FS_FP32, 0x3ff);
    double before = total().read + total().written;
    static const unsigned fewer_off[] = {0x3fe, 0x3fc, 0x3f8, 0x3f0, 0x3e0, 0x3c0, 0x380, 0x300, 0x200, 0};
    for (size_t i = 0; i < sizeof fewer_off / sizeof fewer_off[0]; i++) {
        build(FS_TRAMAC, FS_FP32, fewer_off[i]);
        double now = total().read + total().written;
        cr_expect_leq(now, before, "%x", fewer_off[i]);
        before = now;
    }
}

typedef struct device_case {
    char name[16];
} device_case;
static device_case devices[] = {{"h100"}, {"h200"}, {"a100"}, {"rtx4090"}, {"t4"}, {"orin"}, {"cpu"}, {"cpu-avx2"}};
ParameterizedTestParameters(roofline, times_are_sensible) {
    return cr_make_param_array(device_case, devices, sizeof devices / sizeof devices[0]);
}
ParameterizedTest(device_case *param, roofline, times_are_sensible) {
    const fs_roofline *device = fs_roofline_find(param->name);
    cr_assert_not_null(device, "%s", param->name);
    cr_expect_str_eq(device->name, param->name);
    cr_expect_not_null(strstr(fs_roofline_names(), param->name));
    cr_expect(device->half >= device->fp32 && device->int8 >= device->half && device->launch > 0);
    double before = 1e9;
    static const fs_precision precisions[] = {FS_FP32, FS_BF16, FS_INT8};
    for (int i = 0; i < 3; i++) {
        build(FS_PAPER, precisions[i], 0);
        double sum = 0;
        for (int s = 0; s < plan.program.steps; s++) {
            double t = fs_step_roofline(&plan, s, device);
            const fs_cost *c = &plan.cost[s];
            cr_expect_gt(t, 0);
            cr_expect_geq(t * 1.0000001, (c->read + c->written + c->weights) / device->bandwidth + device->launch);
            const char *bound = fs_step_bound(&plan, s, device);
            cr_expect(!strcmp(bound, "compute") || !strcmp(bound, "memory") || !strcmp(bound, "launch"));
            sum += t;
        }
        cr_expect_leq(sum, before);
        cr_expect(sum > 20e-6 && sum < 0.2, "%s: %g s", param->name, sum);
        before = sum;
    }
}

Test(roofline, names_are_those_that_can_be_found) {
    char list[256], *save = NULL;
    snprintf(list, sizeof list, "%s", fs_roofline_names());
    size_t count = 0;
    for (char *name = strtok_r(list, ", ", &save); name; name = strtok_r(NULL, ", ", &save), count++)
        cr_expect_not_null(fs_roofline_find(name), "%s", name);
    cr_expect_eq(count, sizeof devices / sizeof devices[0]);
}

Test(roofline, unknown_device_is_null) {
    cr_expect_null(fs_roofline_find("h1000"));
    cr_expect_null(fs_roofline_find("H100"));
    cr_expect_null(fs_roofline_find(""));
    cr_expect_null(fs_roofline_find(NULL));
}

Test(roofline, the_largest_term_decides) {
    memset(&plan, 0, sizeof plan);
    plan.precision = FS_FP32;
    plan.launches[0] = 1;
    const fs_roofline device = {"x", "x", 1e9, 2e9, 4e9, 1e9, 1e-3, 0, 0};
    plan.cost[0] = (fs_cost){.flops = 1e9, .read = 1e8, .written = 2e8, .weights = 1e8};
    cr_expect_float_eq(fs_step_roofline(&plan, 0, &device), 1.001, 1e-9);
    cr_expect_str_eq(fs_step_bound(&plan, 0, &device), "compute");
    plan.precision = FS_FP16;
    cr_expect_float_eq(fs_step_roofline(&plan, 0, &device), 0.501, 1e-9);
    plan.precision = FS_INT8;
    cr_expect_float_eq(fs_step_roofline(&plan, 0, &device), 0.401, 1e-9);
    cr_expect_str_eq(fs_step_bound(&plan, 0, &device), "memory");
    plan.cost[0] = (fs_cost){.flops = 10, .read = 10};
    cr_expect_str_eq(fs_step_bound(&plan, 0, &device), "launch");
    plan.launches[0] = 3;
    cr_expect_float_eq(fs_step_roofline(&plan, 0, &device), 0.003, 1e-6);
}

typedef struct option_case {
    int precision, multiple, height, width;
} option_case;
static option_case bad_options[] = {
    {FS_PRECISION_AUTO, 1, 256, 512},
    {-1, 1, 256, 512},
    {FS_INT8 + 1, 1, 256, 512},
    {FS_FP32, -1, 256, 512},
    {FS_FP32, 1025, 256, 512},
    {FS_FP32, INT_MAX, 256, 512},
    {FS_FP32, 1, 63, 512},
    {FS_FP32, 1, 256, 16385},
};
ParameterizedTestParameters(plan, refuses_options) {
    return cr_make_param_array(option_case, bad_options, sizeof bad_options / sizeof bad_options[0]);
}
ParameterizedTest(option_case *param, plan, refuses_options) {
    fs_model model;
    fs_model_init(&model, FS_PAPER);
    static fs_plan before;
    memset(&plan, 0x5a, sizeof plan);
    before = plan;
    fs_plan_options options = {.precision = (fs_precision)param->precision, .channel_multiple = param->multiple};
    cr_expect_eq(fs_plan_build(&plan, &model, param->height, param->width, &options), FS_ERR_ARGUMENT);
    cr_expect_eq(memcmp(&plan, &before, sizeof plan), 0);
}

Test(plan, same_inputs_give_the_same_bytes) {
    static fs_plan again;
    fs_model model;
    fs_model_init(&model, FS_PADDLESEG);
    fs_plan_options options = {.precision = FS_BF16, .channel_multiple = 16};
    memset(&plan, 0x11, sizeof plan), memset(&again, 0x77, sizeof again);
    cr_assert_eq(fs_plan_build(&plan, &model, 713, 1601, &options), FS_OK);
    cr_assert_eq(fs_plan_build(&again, &model, 713, 1601, &options), FS_OK);
    cr_expect_eq(plan.arena_bytes, again.arena_bytes);
    cr_expect_eq(memcmp(plan.place, again.place, sizeof plan.place), 0);
    cr_expect_eq(memcmp(plan.cost, again.cost, sizeof plan.cost), 0);
    cr_expect_eq(memcmp(plan.tactic, again.tactic, sizeof plan.tactic), 0);
    cr_expect_eq(
        memcmp(plan.program.step, again.program.step, (size_t)plan.program.steps * sizeof plan.program.step[0]), 0);
    cr_expect_lt(sizeof plan, 256 * 1024);
}

Test(plan, precisions_have_names_and_sizes) {
    cr_expect_str_eq(fs_precision_name(FS_PRECISION_AUTO), "auto");
    cr_expect_str_eq(fs_precision_name(FS_FP32), "fp32");
    cr_expect_str_eq(fs_precision_name(FS_BF16), "bf16");
    cr_expect_str_eq(fs_precision_name(FS_FP16), "fp16");
    cr_expect_str_eq(fs_precision_name(FS_INT8), "int8");
    cr_expect_str_eq(fs_precision_name((fs_precision)99), "?");
    cr_expect(fs_precision_bytes(FS_FP32) == 4 && fs_precision_bytes(FS_BF16) == 2);
    cr_expect(fs_precision_bytes(FS_FP16) == 2 && fs_precision_bytes(FS_INT8) == 2);
}
