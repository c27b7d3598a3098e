// Tests of single chains: any cut into tasks gives the same bits, whatever the scratch memory holds, and nothing but
// the output map and the scratch memory is written.
#include <criterion/criterion.h>
#include <criterion/parameterized.h>
#include <stdio.h>
#include <string.h>

#include "cpu/backend.h"
#include "cpu/pyramid.h"
#include "runtime/base/mem.h"
#include "tests/cpu/network.h"

typedef struct chain_case {
    fs_variant variant;
    fs_precision precision;
    int height, width, channels;
    char off[16]; // fusion
    char table[16];
} chain_case;

static chain_case cases[] = {
    {FS_PAPER, FS_FP32, 97, 131, 3, "", "best"},     {FS_PAPER, FS_FP32, 97, 131, 3, "all", "best"},
    {FS_PAPER, FS_BF16, 97, 131, 3, "", "sse"},      {FS_PAPER, FS_BF16, 97, 131, 3, "", "wide"},
    {FS_PAPER, FS_BF16, 64, 67, 3, "all", "wide"},   {FS_TRAMAC, FS_FP32, 64, 70, 4, "", "best"},
    {FS_TRAMAC, FS_BF16, 64, 70, 4, "", "wide"},     {FS_MMSEG, FS_FP32, 65, 103, 3, "", "best"},
    {FS_MMSEG, FS_BF16, 65, 103, 3, "", "wide"},     {FS_MMSEG, FS_BF16, 65, 103, 3, "ltd", "wide"},
    {FS_PADDLESEG, FS_FP32, 96, 97, 3, "", "best"},  {FS_PADDLESEG, FS_BF16, 96, 97, 3, "", "wide"},
    {FS_LEFTTHOMAS, FS_FP32, 71, 64, 3, "", "best"}, {FS_LEFTTHOMAS, FS_BF16, 71, 64, 3, "ffm", "wide"},
};

typedef struct chain_world {
    fs_plan *plan;
    fs_cpu_engine *engine;
    char *arena, *before; // what it holds before every run
    size_t bytes;
    uint8_t *frame;
    float *pooled;
    char *scratch;
    size_t scratch_bytes;
} chain_world;

static void open_world(chain_world *w, const chain_case *c) {
    memset(w, 0, sizeof *w);
    fs_weights weights = fs_test_weights(c->variant, 19, c->channels, 3);
    const fs_kernels *table = strcmp(c->table, "best") == 0 ? fs_kernels_select(NULL) : fs_test_table(c->table);
    cr_assert_eq(fs_cpu_engine_open_with(&weights, c->precision, table, &w->engine), FS_OK);
    w->plan = fs_calloc(1, sizeof *w->plan);
    fs_plan_options options = {.precision = c->precision,
                               .no_reuse = true,
                               .channel_multiple = fs_cpu_backend.channel_multiple,
                               .supports = fs_cpu_backend.supports};
    cr_assert_eq(fs_rewrites_parse(c->off, &options.rewrites_off), FS_OK);
    cr_assert_eq(fs_plan_build(w->plan, &weights.model, c->height, c->width, &options), FS_OK);
    fs_weights_free(&weights);
    w->frame = fs_test_frame(c->height, c->width, c->channels, 4);
    w->bytes = w->plan->arena_bytes + 256;
    w->arena = fs_calloc(1, w->bytes), w->before = fs_calloc(1, w->bytes);
    uint32_t state = 99;
    const fs_graph *g = &w->plan->program.graph;
    for (int t = 0; t < g->tensors; t++) {
        const fs_placement *p = &w->plan->place[t];
        if (!p->used) continue;
        const bool half = c->precision == FS_BF16 && g->tensor[t].element == FS_ELEMENT_ACTIVATION;
        for (size_t i = 0; i < p->bytes; i += half ? 2 : 4) {
            const float x = fs_test_uniform(&state, -2, 4);
            uint32_t u;
            memcpy(&u, &x, 4);
            if (half)
                memcpy(w->before + p->offset + i, (char *)&u + 2, 2);
            else
                memcpy(w->before + p->offset + i, &x, 4);
        }
    }
    w->pooled = fs_malloc(FS_PYRAMID_CELLS * 128, sizeof(float));
    for (int i = 0; i < FS_PYRAMID_CELLS * 128; i++) w->pooled[i] = fs_test_uniform(&state, -1, 1);
}

static void close_world(chain_world *w) {
    fs_free(w->arena);
    fs_free(w->before);
    fs_free(w->frame);
    fs_free(w->pooled);
    fs_free(w->scratch);
    fs_free(w->plan);
    fs_cpu_engine_close(w->engine);
}

enum { GUARD = 256 };

// Runs all tasks of one cut from the same beginning.
static void run_chain(chain_world *w, fs_chain *chain, int rows, int columns, int poison, bool backwards) {
    const fs_stage *last = &chain->stage[chain->stages - 1];
    chain->rows = rows < last->h ? rows : last->h, chain->columns = columns < last->w ? columns : last->w;
    const size_t need = fs_chain_scratch(chain);
    if (need > w->scratch_bytes) {
        fs_free(w->scratch);
        w->scratch = fs_malloc(1, need + GUARD);
        w->scratch_bytes = need;
    }
    memset(w->scratch, poison, need);
    memset(w->scratch + need, 0x5a, GUARD);
    memcpy(w->arena, w->before, w->bytes);
    const fs_graph *g = &w->plan->program.graph;
    fs_binding binding = {.arena = w->arena,
                          .place = w->plan->place,
                          .frame = w->frame,
                          .frame_stride = (size_t)(g->width * g->model.channels),
                          .frame_pixel = g->model.channels,
                          .frame_order = {0, 1, 2, 3}};
    const int tasks = fs_chain_tasks(chain);
    for (int i = 0; i < tasks; i++) fs_chain_run(chain, &binding, backwards ? tasks - 1 - i : i, w->scratch);
    for (int i = 0; i < GUARD; i++)
        cr_assert_eq(w->scratch[need + (size_t)i], 0x5a, "cut %dx%d writes behind its scratch memory", rows, columns);
}

ParameterizedTestParameters(cpu_chains, any_cut_and_any_scratch_give_the_same_bits) {
    return cr_make_param_array(chain_case, cases, sizeof cases / sizeof cases[0]);
}
ParameterizedTest(chain_case *c, cpu_chains, any_cut_and_any_scratch_give_the_same_bits) {
    static const int cuts[][2] = {{1000, 1000}, {1, 1000}, {2, 5}, {3, 16}, {7, 1}, {1, 1}};
    chain_world w;
    open_world(&w, c);
    int chains = 0;
    for (int s = 0; s < w.plan->program.steps; s++) {
        const fs_step *step = &w.plan->program.step[s];
        if (step->kind == FS_STEP_HEAD) continue;
        fs_chain chain;
        bool supported;
        cr_assert_eq(fs_chain_build(&chain, w.engine, w.plan, step, &supported), FS_OK, "%s", fs_error_text());
        if (!supported) continue;
        chains++;
        chain.pooled = w.pooled;
        const fs_placement *out = &w.plan->place[step->out];
        char *want = fs_malloc(out->bytes, 1);
        run_chain(&w, &chain, 1000, 1000, 0, false);
        memcpy(want, w.arena + out->offset, out->bytes);
        for (size_t i = 0; i < sizeof cuts / sizeof cuts[0]; i++) {
            // One-pixel tasks recompute much: small maps are enough for them.
            if (cuts[i][1] == 1 && chain.stage[chain.stages - 1].h > 30) continue;
            run_chain(&w, &chain, cuts[i][0], cuts[i][1], 0xff, i % 2 == 1);
            size_t wrong = 0, touched = 0;
            for (size_t b = 0; b < out->bytes; b++) wrong += w.arena[out->offset + b] != want[b];
            for (size_t b = 0; b < w.bytes; b++)
                if (b < out->offset || b >= out->offset + out->bytes) touched += w.arena[b] != w.before[b];
            cr_expect(wrong == 0 && touched == 0, "%s %s %s, step %s, cut %dx%d: %zu bytes differ, %zu touched",
                      fs_variant_name(c->variant), fs_precision_name(c->precision), c->table, step->name, cuts[i][0],
                      cuts[i][1], wrong, touched);
        }
        fs_free(want);
        fs_chain_free(&chain);
    }
    cr_expect_geq(chains, 12);
    close_world(&w);
    cr_expect_eq(fs_mem_live_blocks(), 0);
}

// A step may be declined while planning only, never while opening: what supports() says, building does.
Test(cpu_chains, building_keeps_the_promise_of_supports) {
    for (int v = 0; v < FS_VARIANTS; v++) {
        chain_case c = {(fs_variant)v, FS_FP32, 64, 64, 3, "", "best"};
        for (int off = 0; off <= fs_rewrite_count; off++) {
            snprintf(c.off, sizeof c.off, "%s", off < fs_rewrite_count ? fs_rewrites[off].name : "");
            chain_world w;
            open_world(&w, &c);
            for (int s = 0; s < w.plan->program.steps; s++) {
                const fs_step *step = &w.plan->program.step[s];
                fs_chain chain;
                bool supported;
                cr_assert_eq(fs_chain_build(&chain, w.engine, w.plan, step, &supported), FS_OK);
                cr_expect_eq(supported, fs_chain_supports(&w.plan->program, step), "%s", step->name);
                fs_chain_free(&chain);
            }
            close_world(&w);
        }
    }
    cr_expect_eq(fs_mem_live_blocks(), 0);
}
