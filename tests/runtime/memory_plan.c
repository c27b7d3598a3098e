// Tests of the memory plan: nothing alive overlaps, whatever the variant, size, precision and fusion; and the arena is
// tight.
#include <criterion/criterion.h>
#include <criterion/parameterized.h>
#include <string.h>

#include "runtime/base/mem.h"
#include "runtime/plan.h"

static fs_plan plan, other;

static void build(fs_plan *p, const fs_model *model, int height, int width, fs_plan_options options) {
    if (options.precision == FS_PRECISION_AUTO) options.precision = FS_FP32;
    cr_assert_eq(fs_plan_build(p, model, height, width, &options), FS_OK, "%s", fs_error_text());
}

// Lifetimes and places against what the steps really do, by brute force.
static void expect_sound(const fs_plan *p, bool no_reuse) {
    const fs_program *program = &p->program;
    const fs_graph *g = &program->graph;
    bool crosses[FS_MAX_TENSORS] = {0};
    for (int s = 0; s < program->steps; s++) crosses[program->step[s].out] = true;
    crosses[g->labels] = false;
    for (int t = 0; t < g->tensors; t++) cr_assert_eq(p->place[t].used, crosses[t], "%s", g->tensor[t].name);
    for (int s = 0; s < program->steps; s++) {
        const fs_step *step = &program->step[s];
        const fs_placement *out = &p->place[step->out];
        cr_assert(out->first == s && out->last >= s, "%s", step->name);
        for (int i = 0; i < step->inputs; i++) {
            const fs_placement *in = &p->place[step->in[i]];
            cr_assert(in->first <= s && in->last >= s, "%s reads a dead tensor", step->name);
            cr_assert(step->in[i] == g->frame || in->first < s, "%s", step->name);
        }
    }
    size_t end = 0;
    for (int a = 0; a < g->tensors; a++) {
        const fs_placement *pa = &p->place[a];
        if (!pa->used) continue;
        cr_assert(pa->offset % FS_ALIGNMENT == 0 && pa->bytes > 0);
        cr_assert_leq(pa->offset + pa->bytes, p->arena_bytes);
        if (end < pa->offset + pa->bytes) end = pa->offset + pa->bytes;
        for (int b = 0; b < a; b++) {
            const fs_placement *pb = &p->place[b];
            if (!pb->used) continue;
            bool together = no_reuse;
            for (int s = 0; s < program->steps; s++)
                together |= pa->first <= s && s <= pa->last && pb->first <= s && s <= pb->last;
            bool overlap = pa->offset < pb->offset + pb->bytes && pb->offset < pa->offset + pa->bytes;
            cr_assert(!(together && overlap), "%s and %s share memory", g->tensor[a].name, g->tensor[b].name);
        }
    }
    cr_assert_lt(p->arena_bytes - end, FS_ALIGNMENT);
}

// No plan can use less than what one step sees alive at once.
static size_t lower_bound(const fs_plan *p) {
    size_t bound = 0;
    for (int s = 0; s < p->program.steps; s++) {
        size_t alive = 0;
        for (int t = 0; t < p->program.graph.tensors; t++)
            if (p->place[t].used && p->place[t].first <= s && s <= p->place[t].last) alive += p->place[t].bytes;
        if (bound < alive) bound = alive;
    }
    return bound;
}

typedef struct size_case {
    fs_variant variant;
    int height, width;
} size_case;

static size_case cases[] = {
    {FS_PAPER, 1024, 2048},     {FS_PAPER, 64, 64},         {FS_PAPER, 660, 1584},      {FS_TRAMAC, 1024, 2048},
    {FS_TRAMAC, 360, 640},      {FS_MMSEG, 713, 1601},      {FS_MMSEG, 16384, 16384},   {FS_PADDLESEG, 769, 1281},
    {FS_PADDLESEG, 1024, 1024}, {FS_LEFTTHOMAS, 64, 16384}, {FS_LEFTTHOMAS, 512, 1024},
};
ParameterizedTestParameters(memory_plan, nothing_alive_overlaps) {
    return cr_make_param_array(size_case, cases, sizeof cases / sizeof cases[0]);
}
ParameterizedTest(size_case *param, memory_plan, nothing_alive_overlaps) {
    fs_model model;
    fs_model_init(&model, param->variant);
    unsigned all = (1u << fs_rewrite_count) - 1;
    // Each rewrite off alone, each on alone, all, none.
    for (int i = -1; i < fs_rewrite_count; i++)
        for (int inverse = 0; inverse < 2; inverse++) {
            unsigned off = i < 0 ? 0 : 1u << i;
            if (inverse) off ^= all;
            build(&plan, &model, param->height, param->width, (fs_plan_options){.rewrites_off = off});
            expect_sound(&plan, false);
            build(&other, &model, param->height, param->width,
                  (fs_plan_options){.rewrites_off = off, .no_reuse = true});
            expect_sound(&other, true);
            size_t bound = lower_bound(&plan);
            cr_expect_geq(plan.arena_bytes, bound);
            cr_expect_leq(plan.arena_bytes, other.arena_bytes);
            cr_expect_leq((double)plan.arena_bytes, 1.25 * (double)bound + 64 * 1024, "mask %x: arena %zu, bound %zu",
                          off, plan.arena_bytes, bound);
        }
}

Test(memory_plan, every_mask) {
    fs_model model;
    fs_model_init(&model, FS_PAPER);
    for (unsigned off = 0; off < 1u << fs_rewrite_count; off += 3) {
        build(&plan, &model, 113, 201, (fs_plan_options){.rewrites_off = off, .channel_multiple = 16});
        expect_sound(&plan, false);
    }
}

Test(memory_plan, fused_paper_needs_what_feature_fusion_holds) {
    fs_model model;
    fs_model_init(&model, FS_PAPER);
    build(&plan, &model, 1024, 2048, (fs_plan_options){.precision = FS_FP16});
    // Its result, the skip and the low map; the classifier behind it needs less.
    const unsigned elements = 128 * 256 * 128 + 128 * 256 * 64 + 32 * 64 * 128;
    cr_expect_eq(plan.arena_bytes, elements * 2u, "%zu", plan.arena_bytes);
    build(&plan, &model, 1024, 2048, (fs_plan_options){.precision = FS_FP32});
    cr_expect_eq(plan.arena_bytes, elements * 4u, "%zu", plan.arena_bytes);
}

Test(memory_plan, no_reuse_adds_all_sizes_up) {
    fs_model model;
    fs_model_init(&model, FS_PAPER);
    build(&plan, &model, 100, 164, (fs_plan_options){.no_reuse = true, .rewrites_off = 0x3ff});
    size_t sum = 0;
    for (int t = 0; t < plan.program.graph.tensors; t++)
        if (plan.place[t].used) sum += (plan.place[t].bytes + FS_ALIGNMENT - 1) / FS_ALIGNMENT * FS_ALIGNMENT;
    cr_expect_eq(plan.arena_bytes, sum);
}

Test(memory_plan, channels_round_up_to_the_multiple) {
    fs_model model;
    fs_model_init(&model, FS_PAPER);
    for (int multiple = 0; multiple <= 32; multiple += 8) {
        build(&plan, &model, 1024, 2048, (fs_plan_options){.channel_multiple = multiple, .rewrites_off = 0x3ff});
        expect_sound(&plan, false);
        const fs_graph *g = &plan.program.graph;
        for (int t = 0; t < g->tensors; t++) {
            bool caller = t == g->frame || t == g->labels, packed = caller || t == g->op[0].out;
            int m = multiple && !packed ? multiple : 1;
            int stride = plan.place[t].channel_stride;
            cr_expect(stride >= g->tensor[t].c && stride < g->tensor[t].c + m && stride % m == 0, "%s",
                      g->tensor[t].name);
            cr_expect_eq(plan.place[t].bytes,
                         (size_t)g->tensor[t].h * (size_t)g->tensor[t].w * (size_t)stride * (caller ? 1 : 4), "%s",
                         g->tensor[t].name);
        }
    }
}

Test(memory_plan, logits_are_float_at_every_precision_and_live_to_the_end) {
    fs_model model;
    fs_model_init(&model, FS_PAPER);
    for (int precision = FS_FP32; precision <= FS_INT8; precision++)
        for (int off = 0; off < 2; off++) {
            build(&plan, &model, 256, 512,
                  (fs_plan_options){.precision = (fs_precision)precision, .rewrites_off = off ? 0x3ff : 0});
            const fs_placement *logits = &plan.place[plan.program.graph.logits];
            cr_expect_eq(logits->bytes, 32u * 64 * 19 * 4);
            cr_expect_eq(logits->last, plan.program.steps - 1);
        }
}

Test(memory_plan, sizes_do_not_overflow_at_the_largest_frame) {
    fs_model model;
    fs_model_init(&model, FS_PAPER);
    model.classes = 255, model.channels = 4;
    build(&plan, &model, 16384, 16384,
          (fs_plan_options){.no_reuse = true, .rewrites_off = 0x3ff, .channel_multiple = 1024});
    expect_sound(&plan, true);
    for (int t = 0; t < plan.program.graph.tensors; t++) {
        const fs_tensor *tensor = &plan.program.graph.tensor[t];
        if (strcmp(tensor->name, "head.resize") == 0) cr_expect_eq(plan.place[t].bytes, (size_t)1 << 40);
    }
    cr_expect_gt(plan.arena_bytes, (size_t)2 << 40);
    for (int s = 0; s < plan.program.steps; s++)
        cr_expect(plan.cost[s].read > 0 && plan.cost[s].written > 0 && plan.cost[s].flops >= 0);
}

Test(memory_plan, packs_by_hand) {
    // Four tensors over three steps: 0 and 1 meet, 2 and 3 meet, 1 lives on beside 2.
    memset(&plan, 0, sizeof plan);
    plan.program.graph.tensors = 5;
    plan.place[0] = (fs_placement){.used = true, .bytes = 1000, .first = 0, .last = 1};
    plan.place[1] = (fs_placement){.used = true, .bytes = 500, .first = 1, .last = 2};
    plan.place[2] = (fs_placement){.used = true, .bytes = 900, .first = 2, .last = 3};
    plan.place[3] = (fs_placement){.used = true, .bytes = 100, .first = 3, .last = 3};
    plan.place[4] = (fs_placement){.used = false, .bytes = 7777};
    fs_memory_plan(&plan, false);
    cr_expect_eq(plan.place[0].offset, 0);
    cr_expect_eq(plan.place[2].offset, 0);
    cr_expect_eq(plan.place[1].offset, 1024);
    cr_expect_eq(plan.place[3].offset, 960); // behind 2, before where 1 was
    cr_expect_eq(plan.arena_bytes, 1024 + 512);
    fs_memory_plan(&plan, true);
    cr_expect_eq(plan.arena_bytes, 1024 + 960 + 512 + 128);
}

Test(memory_plan, gap_between_two_tensors_is_used) {
    memset(&plan, 0, sizeof plan);
    plan.program.graph.tensors = 4;
    plan.place[0] = (fs_placement){.used = true, .bytes = 640, .first = 0, .last = 9};
    plan.place[1] = (fs_placement){.used = true, .bytes = 320, .first = 0, .last = 3};
    plan.place[2] = (fs_placement){.used = true, .bytes = 256, .first = 0, .last = 9};
    plan.place[3] = (fs_placement){.used = true, .bytes = 192, .first = 4, .last = 9};
    fs_memory_plan(&plan, false);
    cr_expect_eq(plan.place[3].offset, 640); // where 1 was, though 2 lies behind it
    cr_expect_eq(plan.arena_bytes, 640 + 320 + 256);
}
