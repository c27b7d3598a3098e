// Tests of fusion: the steps it makes, each rewrite alone, steps that a backend declines, and soundness over all masks.
#include "runtime/fuse.h"

#include <criterion/criterion.h>
#include <criterion/parameterized.h>
#include <stdio.h>
#include <string.h>

static fs_program program;

static void build(fs_variant variant, unsigned off, fs_supports_fn supports, void *user) {
    fs_model model;
    fs_model_init(&model, variant);
    cr_assert_eq(fs_graph_build(&program.graph, &model, 1024, 2048), FS_OK, "%s", fs_error_text());
    fs_fuse(&program, off, supports, user);
}

static unsigned mask_of(const char *names) {
    unsigned mask = 0;
    cr_assert_eq(fs_rewrites_parse(names, &mask), FS_OK, "%s", fs_error_text());
    return mask;
}

static unsigned all(void) {
    return mask_of("all");
}

static const fs_step *find_step(const char *name) {
    for (int s = 0; s < program.steps; s++)
        if (strcmp(program.step[s].name, name) == 0) return &program.step[s];
    return NULL;
}

static int count_kind(fs_step_kind kind) {
    int count = 0;
    for (int s = 0; s < program.steps; s++) count += program.step[s].kind == kind;
    return count;
}

// Every operation in exactly one step and in an order that respects its inputs; in[] and out are what crosses a step's
// edge.
static void expect_sound(void) {
    const fs_graph *g = &program.graph;
    int step_of_op[FS_MAX_OPS];
    bool made[FS_MAX_TENSORS] = {0};
    for (int i = 0; i < g->ops; i++) step_of_op[i] = -1;
    made[g->frame] = true;
    for (int s = 0; s < program.steps; s++) {
        const fs_step *step = &program.step[s];
        cr_assert(step->ops > 0 && step->name[0] != '\0');
        cr_expect((step->kind == FS_STEP_OP) == (step->ops == 1), "%s", step->name);
        bool outside[FS_MAX_TENSORS] = {0};
        for (int i = 0; i < step->ops; i++) {
            const fs_op *op = &g->op[step->op[i]];
            cr_assert_eq(step_of_op[step->op[i]], -1, "%s", op->name);
            step_of_op[step->op[i]] = s;
            for (int j = 0; j < op->inputs; j++) {
                cr_assert(made[op->in[j]], "%s runs before its input is made", op->name);
                outside[op->in[j]] = true;
            }
            made[op->out] = true;
        }
        for (int i = 0; i < step->ops; i++) outside[g->op[step->op[i]].out] = false;
        for (int i = 0; i < step->inputs; i++) {
            cr_expect(outside[step->in[i]], "%s", step->name);
            outside[step->in[i]] = false;
        }
        for (int t = 0; t < g->tensors; t++) cr_expect(!outside[t], "%s lacks input %s", step->name, g->tensor[t].name);
    }
    bool *written = made;
    memset(written, 0, sizeof made);
    for (int s = 0; s < program.steps; s++) written[program.step[s].out] = true;
    cr_expect(written[g->labels] && written[g->logits]);
    for (int i = 0; i < g->ops; i++) {
        cr_assert_geq(step_of_op[i], 0, "%s is in no step", g->op[i].name);
        for (int j = 0; j < g->op[i].inputs; j++) {
            int t = g->op[i].in[j];
            if (t == g->frame) continue;
            int from = -1;
            for (int k = 0; k < i; k++)
                if (g->op[k].out == t) from = step_of_op[k];
            cr_expect(from == step_of_op[i] || written[t], "%s is lost inside its step", g->tensor[t].name);
        }
    }
}

typedef struct step_expected {
    const char *name;
    fs_step_kind kind;
} step_expected;
static const step_expected default_steps[] = {
    {"ltd", FS_STEP_LTD},
    {"gfe.b1.0", FS_STEP_BOTTLENECK},
    {"gfe.b1.1", FS_STEP_BOTTLENECK},
    {"gfe.b1.2", FS_STEP_BOTTLENECK},
    {"gfe.b2.0", FS_STEP_BOTTLENECK},
    {"gfe.b2.1", FS_STEP_BOTTLENECK},
    {"gfe.b2.2", FS_STEP_BOTTLENECK},
    {"gfe.b3.0", FS_STEP_BOTTLENECK},
    {"gfe.b3.1", FS_STEP_BOTTLENECK},
    {"gfe.b3.2", FS_STEP_BOTTLENECK},
    {"ppm", FS_STEP_PPM},
    {"ffm", FS_STEP_FFM},
    {"cls", FS_STEP_CLASSIFIER},
    {"head", FS_STEP_HEAD},
};
enum { DEFAULT_STEPS = sizeof default_steps / sizeof default_steps[0] };

typedef struct variant_case {
    fs_variant variant;
} variant_case;
ParameterizedTestParameters(fuse, default_steps) {
    static variant_case cases[FS_VARIANTS];
    for (int v = 0; v < FS_VARIANTS; v++) cases[v].variant = (fs_variant)v;
    return cr_make_param_array(variant_case, cases, FS_VARIANTS);
}
ParameterizedTest(variant_case *param, fuse, default_steps) {
    build(param->variant, 0, NULL, NULL);
    expect_sound();
    cr_assert_eq(program.steps, DEFAULT_STEPS);
    for (int s = 0; s < DEFAULT_STEPS; s++) {
        cr_expect_str_eq(program.step[s].name, default_steps[s].name);
        cr_expect_eq(program.step[s].kind, default_steps[s].kind, "%s", program.step[s].name);
        cr_expect_eq(program.step[s].inputs, strcmp(program.step[s].name, "ffm") == 0 ? 2 : 1);
    }
}

Test(fuse, all_off_is_one_step_an_operation) {
    for (int v = 0; v < FS_VARIANTS; v++) {
        build((fs_variant)v, all(), NULL, NULL);
        expect_sound();
        cr_assert_eq(program.steps, program.graph.ops);
        for (int s = 0; s < program.steps; s++) {
            const fs_op *op = &program.graph.op[s];
            cr_expect_str_eq(program.step[s].name, op->name);
            cr_expect_eq(program.step[s].kind, FS_STEP_OP);
            cr_expect_eq(program.step[s].out, op->out);
            cr_expect_eq(program.step[s].inputs, op->inputs);
        }
    }
}

typedef struct rewrite_case {
    char name[16];
    int off_steps, on_steps; // number of steps with it off and all else on; with it on and all else off
} rewrite_case;
static rewrite_case rewrites[] = {
    {"residual", 14, 95 - 6 - 1}, // six bottlenecks and the feature fusion have an add
    {"conv-relu", 14, 95 - 29},   // stem, 4 pointwise, 18 bottleneck, 5 ppm and ffm.low.dw; ffm.add is no convolution
    {"stem", 17, 95 - 2},         // ltd needs it
    {"dsconv", 14, 95 - 8},       // ltd and the classifier swallow theirs
    {"ltd", 16, 95},
    {"bottleneck", 32, 95 - 3 * 4 - 6 * 5},
    {"ppm", 27, 95 - 18},
    {"ffm", 17, 95 - 6},
    {"classifier", 16, 95 - 6},
    {"head", 15, 95 - 1},
};
ParameterizedTestParameters(fuse, one_rewrite_off_or_on) {
    return cr_make_param_array(rewrite_case, rewrites, sizeof rewrites / sizeof rewrites[0]);
}
ParameterizedTest(rewrite_case *param, fuse, one_rewrite_off_or_on) {
    unsigned mask = mask_of(param->name);
    build(FS_PAPER, mask, NULL, NULL);
    expect_sound();
    cr_expect_eq(program.steps, param->off_steps, "%s off: %d steps", param->name, program.steps);
    build(FS_PAPER, all() & ~mask, NULL, NULL);
    expect_sound();
    cr_expect_eq(program.steps, param->on_steps, "%s on: %d steps", param->name, program.steps);
}

Test(fuse, switched_off_blocks_fall_back_to_smaller_steps) {
    build(FS_PAPER, mask_of("bottleneck"), NULL, NULL);
    const fs_step *project = find_step("gfe.b2.1.project");
    cr_assert_not_null(project);
    cr_expect(project->kind == FS_STEP_CONV && project->inputs == 2); // with its residual
    cr_expect_eq(find_step("gfe.b2.1.expand")->kind, FS_STEP_CONV);
    cr_expect_eq(find_step("gfe.b2.0.project")->kind, FS_STEP_OP);

    build(FS_PAPER, mask_of("ltd"), NULL, NULL);
    cr_expect(find_step("stem")->kind == FS_STEP_STEM && find_step("ltd.ds2")->kind == FS_STEP_DSCONV);

    build(FS_PAPER, mask_of("ffm"), NULL, NULL);
    const fs_step *high = find_step("ffm.high.pw");
    cr_expect(high->kind == FS_STEP_CONV && high->inputs == 2 && high->ops == 3); // conv, add, relu

    build(FS_PAPER, mask_of("ppm"), NULL, NULL);
    cr_expect(find_step("ppm.concat")->inputs == 5 && find_step("ppm.3")->kind == FS_STEP_CONV);

    build(FS_PAPER, mask_of("head"), NULL, NULL);
    cr_expect(find_step("head.resize") != NULL && find_step("head.argmax") != NULL);
}

Test(fuse, every_mask_is_sound) {
    for (unsigned mask = 0; mask <= all(); mask++) {
        build(mask % 2 ? FS_TRAMAC : FS_PADDLESEG, mask, NULL, NULL);
        expect_sound();
    }
}

static bool declines_kind(void *user, const fs_program *p, const fs_step *step) {
    (void)p;
    return step->kind != *(fs_step_kind *)user;
}
typedef struct kind_case {
    fs_step_kind kind;
} kind_case;
ParameterizedTestParameters(fuse, declined_kind_does_not_appear) {
    static kind_case cases[FS_STEP_KINDS - 1];
    for (int k = 0; k < FS_STEP_KINDS - 1; k++) cases[k].kind = (fs_step_kind)(k + 1);
    return cr_make_param_array(kind_case, cases, FS_STEP_KINDS - 1);
}
ParameterizedTest(kind_case *param, fuse, declined_kind_does_not_appear) {
    build(FS_PAPER, 0, declines_kind, &param->kind);
    expect_sound();
    cr_expect_eq(count_kind(param->kind), 0);
    cr_expect_lt(program.steps, 50);
    // What is declined as a whole is there in parts.
    if (param->kind == FS_STEP_LTD) cr_expect(find_step("stem") && find_step("ltd.ds1") && find_step("ltd.ds2"));
    if (param->kind == FS_STEP_CLASSIFIER) cr_expect(find_step("cls.ds2") && find_step("cls.conv"));
    if (param->kind == FS_STEP_HEAD) cr_expect(find_step("head.argmax") != NULL);
}

static bool declines_all(void *user, const fs_program *p, const fs_step *step) {
    (void)p, (void)step;
    ++*(int *)user;
    return false;
}
Test(fuse, a_backend_that_declines_all_runs_single_operations) {
    int asked = 0;
    build(FS_MMSEG, 0, declines_all, &asked);
    expect_sound();
    cr_expect_eq(program.steps, program.graph.ops);
    cr_expect_gt(asked, 20);
}

static bool short_ltd(void *user, const fs_program *p, const fs_step *step) {
    (void)user, (void)p;
    return step->kind != FS_STEP_LTD || step->ops <= 6;
}
Test(fuse, ltd_without_its_second_dsconv) {
    build(FS_PAPER, 0, short_ltd, NULL);
    expect_sound();
    cr_expect(find_step("ltd.stem+ds1") && find_step("ltd.stem+ds1")->kind == FS_STEP_LTD && find_step("ltd.ds2"));
}

static bool closed_steps(void *user, const fs_program *p, const fs_step *step) {
    bool *good = user;
    *good = *good && step->ops > 1 && step->inputs > 0 && step->out >= 0 && step->out < p->graph.tensors &&
            step->name[0] != '\0';
    return true;
}
Test(fuse, backend_is_asked_about_complete_steps) {
    bool good = true;
    build(FS_PAPER, 0, closed_steps, &good);
    cr_expect(good);
    cr_expect_eq(program.steps, DEFAULT_STEPS);
}

Test(fuse, exact_factor_four_is_part_of_the_fusion) {
    fs_model model;
    fs_model_init(&model, FS_TRAMAC);
    model.ffm_exact_x4 = true;
    cr_assert_eq(fs_graph_build(&program.graph, &model, 360, 640), FS_OK);
    fs_fuse(&program, 0, NULL, NULL);
    expect_sound();
    cr_expect_eq(find_step("ffm")->ops, 8); // two resizes
}

Test(rewrites, names_parse_to_masks) {
    cr_expect_eq(fs_rewrite_count, 10);
    cr_expect_eq(mask_of(NULL), 0);
    cr_expect_eq(mask_of(""), 0);
    cr_expect_eq(all(), (1u << fs_rewrite_count) - 1);
    unsigned sum = 0;
    for (int i = 0; i < fs_rewrite_count; i++) {
        cr_expect_eq(mask_of(fs_rewrites[i].name), 1u << i);
        cr_expect_gt(strlen(fs_rewrites[i].what), 10);
        sum |= 1u << i;
    }
    cr_expect_eq(sum, all());
    cr_expect_eq(mask_of("head,ppm"), mask_of("ppm,head"));
    cr_expect_eq(mask_of("head,ppm"), mask_of("ppm") | mask_of("head"));
    cr_expect_eq(mask_of("head,all"), all());
    cr_expect_eq(mask_of("head,"), mask_of("head"));
}

typedef struct bad_name {
    char names[64];
} bad_name;
static bad_name bad_names[] = {
    {"heads"}, {"head,pmp"},  {"hea"},  {" head"}, {"HEAD"},
    {","},     {"head,,ppm"}, {"all "}, {"conv"},  {"a-name-that-is-much-longer-than-any-of-ours-is"}};
ParameterizedTestParameters(rewrites, unknown_names_are_refused) {
    return cr_make_param_array(bad_name, bad_names, sizeof bad_names / sizeof bad_names[0]);
}
ParameterizedTest(bad_name *param, rewrites, unknown_names_are_refused) {
    unsigned mask = 0xabcd;
    cr_expect_eq(fs_rewrites_parse(param->names, &mask), FS_ERR_ARGUMENT, "%s", param->names);
    cr_expect_eq(mask, 0xabcd);
    for (int i = 0; i < fs_rewrite_count; i++)
        cr_expect_not_null(strstr(fs_error_text(), fs_rewrites[i].name), "%s", fs_error_text());
}

Test(rewrites, step_kinds_have_names) {
    for (int k = 0; k < FS_STEP_KINDS; k++) {
        cr_expect_str_neq(fs_step_kind_name((fs_step_kind)k), "?");
        for (int j = 0; j < k; j++)
            cr_expect_str_neq(fs_step_kind_name((fs_step_kind)k), fs_step_kind_name((fs_step_kind)j));
    }
    cr_expect_str_eq(fs_step_kind_name(FS_STEP_KINDS), "?");
}
