// Every kernel of every table against plain double arithmetic. Inputs end where unreadable memory begins, so that a
// read past the end crashes; outputs lie between guard bands, and whatever a kernel does not own must keep its bytes.
#include <float.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "cpu/kernels/kernels.h"
#include "tests/cpu/each_table.h"

enum { GUARD = 256, CANARY = 0xa5, HELD = 64, MOST_CLASSES = 255 };

// Memory of one case, until release().
static struct {
    void *at;
    size_t bytes;
} held[HELD];
static int held_count;

static void release(void) {
    for (int i = 0; i < held_count; i++) munmap(held[i].at, held[i].bytes);
    held_count = 0;
}

static void *pages(size_t bytes) {
    void *at = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(at != MAP_FAILED && held_count < HELD, "no memory for the test");
    held[held_count].at = at, held[held_count++].bytes = bytes;
    return at;
}

// `bytes` of zeros, right before a page that cannot be read.
static void *input(size_t bytes) {
    const size_t page = (size_t)sysconf(_SC_PAGESIZE), whole = (bytes + page - 1) / page * page;
    char *at = pages(whole + page);
    CHECK(mprotect(at + whole, page, PROT_NONE) == 0, "no guard page");
    return at + whole - bytes;
}

typedef struct output {
    uint8_t *base, *mine; // the bytes with their guard bands, and which of them the kernel owns
    void *data;
    size_t bytes; // with guard bands
} output;

static output make_output(size_t bytes) {
    output o = {.bytes = bytes + 2 * GUARD};
    o.base = pages(o.bytes), o.mine = pages(o.bytes);
    memset(o.base, CANARY, o.bytes);
    o.data = o.base + GUARD;
    return o;
}

static void own(const output *o, size_t offset, size_t bytes) {
    memset(o->mine + GUARD + offset, 1, bytes);
}

// Whether everything else is as it was.
static bool untouched(const output *o) {
    for (size_t i = 0; i < o->bytes; i++)
        if (!o->mine[i] && o->base[i] != CANARY) return false;
    return true;
}

static uint32_t bits(float x) {
    uint32_t u;
    memcpy(&u, &x, 4);
    return u;
}

static float from_bits(uint32_t u) {
    float x;
    memcpy(&x, &u, 4);
    return x;
}

enum { PLAIN, EXTREME, SPARSE, FILLS };

static float draw(uint32_t *s, int fill) {
    static const float edges[] = {0.0f, -0.0f, 1e12f,  -1e12f, 1e-12f,  -1e-12f,
                                  1.0f, -1.0f, 1e-30f, -3e9f,  FLT_MIN, 255.0f};
    const float x = fs_test_uniform(s, -2, 2);
    if (fill == EXTREME) return edges[fs_test_random(s) % (sizeof edges / sizeof *edges)];
    if (fill == SPARSE && fs_test_random(s) % 4) return fs_test_random(s) % 2 ? 0.0f : -0.0f;
    return x;
}

// Writes `count` values, as floats or as bf16.
static void *values(size_t count, bool half, uint32_t *s, int fill) {
    char *at = input(count * (half ? 2 : 4));
    for (size_t i = 0; i < count; i++) {
        const float x = draw(s, fill);
        const uint16_t high = (uint16_t)(bits(x) >> 16);
        if (half)
            memcpy(at + 2 * i, &high, 2);
        else
            memcpy(at + 4 * i, &x, 4);
    }
    return at;
}

static double get(const void *at, ptrdiff_t i, bool half) {
    return half ? (double)widen(((const uint16_t *)at)[i]) : (double)((const float *)at)[i];
}

// What `terms` rounded steps over a sum of magnitudes `scale` may cost, and rounding to bf16 on top; products below the
// smallest normal number may be lost (the native bf16 product flushes them).
static double allowed(double want, double scale, int terms, bool half) {
    const double sum = (terms + 4) * (double)FLT_EPSILON * scale + 2.0 * (terms + 4) * (double)FLT_MIN;
    return half ? sum + (fabs(want) + sum) / 256 : sum;
}

// --- Matrix products ---

typedef struct product {
    fs_gemm g;
    bool half, to_half;
    int total; // inputs of a pixel
    output c;
} product;

static product make_product(bool half, int m, int n, int segments, int most_k, int fill, uint32_t *s) {
    product p = {.half = half, .g = {.m = m, .n = n, .segments = segments}};
    for (int i = 0; i < segments; i++) {
        int k = i == 0 ? most_k : pick(s, 1, most_k);
        if (half) k = (k + 1) / 2 * 2;
        const ptrdiff_t stride = pick(s, 0, 3) ? k + pick(s, 0, 9) * (half ? 2 : 1) : pick(s, 1, k);
        p.g.segment[i].k = k, p.g.segment[i].stride = stride;
        p.g.segment[i].a = values((size_t)((m - 1) * stride + k), half, s, fill);
        p.total += k;
    }
    p.g.b = values((size_t)p.total * (size_t)n, half, s, fill == EXTREME ? EXTREME : PLAIN);
    p.g.bias = values((size_t)n, false, s, fill);
    p.g.relu = pick(s, 0, 1);
    p.g.c_float = half && pick(s, 0, 1);
    p.to_half = half && !p.g.c_float;
    if (pick(s, 0, 1)) {
        p.g.add_stride = n + pick(s, 0, 20);
        p.g.add = values((size_t)((m - 1) * p.g.add_stride + n), p.to_half, s, fill);
    }
    if (pick(s, 0, 1))
        p.g.c_stride = n + pick(s, 0, 20), p.g.c_panel = FS_PANEL;
    else
        p.g.c_stride = FS_PANEL, p.g.c_panel = m * FS_PANEL + pick(s, 0, 2) * FS_PANEL;
    const size_t elem = p.to_half ? 2 : 4;
    p.c = make_output((size_t)((m - 1) * p.g.c_stride + (n / FS_PANEL - 1) * p.g.c_panel + FS_PANEL) * elem);
    p.g.c = p.c.data;
    for (int y = 0; y < m; y++)
        for (int x = 0; x < n; x += FS_PANEL)
            own(&p.c, (size_t)(y * p.g.c_stride + x / FS_PANEL * p.g.c_panel) * elem, FS_PANEL * elem);
    return p;
}

static void check_product(const product *p, const char *name, unsigned seed) {
    const fs_gemm *g = &p->g;
    CHECK(untouched(&p->c), "%s: wrote outside C (m %d n %d k %d segments %d, seed %u)", name, g->m, g->n, p->total,
          g->segments, seed);
    for (int y = 0; y < g->m; y++)
        for (int x = 0; x < g->n; x++) {
            double want = (double)g->bias[x], scale = fabs(want);
            ptrdiff_t at = (ptrdiff_t)(x / FS_PANEL) * p->total * FS_PANEL;
            int k = 0;
            for (int i = 0; i < g->segments; i++)
                for (int j = 0; j < g->segment[i].k; j++, k++) {
                    const ptrdiff_t b =
                        at + (p->half ? k / 2 * 32 + x % FS_PANEL * 2 + k % 2 : k * FS_PANEL + x % FS_PANEL);
                    const double term =
                        get(g->segment[i].a, y * g->segment[i].stride + j, p->half) * get(g->b, b, p->half);
                    want += term, scale += fabs(term);
                }
            if (g->add) {
                const double add = get(g->add, y * g->add_stride + x, p->to_half);
                want += add, scale += fabs(add);
            }
            if (g->relu && want < 0) want = 0;
            const double got = get(g->c, y * g->c_stride + x / FS_PANEL * g->c_panel + x % FS_PANEL, p->to_half);
            CHECK(fabs(got - want) <= allowed(want, scale, k, p->to_half),
                  "%s: pixel %d channel %d is %.9g, not %.9g (m %d n %d k %d segments %d add %d relu %d float %d panel "
                  "%d, seed %u)",
                  name, y, x, got, want, g->m, g->n, p->total, g->segments, g->add != NULL, g->relu, g->c_float,
                  (int)g->c_panel, seed);
        }
}

static void one_product(const fs_kernels *k, const char *name, bool half, int m, int n, int segments, int most_k,
                        unsigned seed) {
    uint32_t s = seed;
    product p = make_product(half, m, n, segments, most_k, (int)(seed % FILLS), &s);
    (half ? k->gemm_bf16 : k->gemm_f32)(&p.g);
    check_product(&p, name, seed);
    release();
}

static void every_row_count(const fs_kernels *k, const char *name, bool half) {
    for (int m = 1; m <= 40; m++) one_product(k, name, half, m, m % 2 ? 48 : 32, 1, m % 3 ? 7 : 33, 1000 + (unsigned)m);
}

static void every_size(const fs_kernels *k, const char *name, bool half) {
    static const int n[] = {16, 32, 48, 80, 96, 128, 160, 336, 768},
                     depth[] = {1, 2, 3, 31, 255, 256, 257, 319, 321, 511, 700};
    unsigned seed = 2000;
    for (size_t i = 0; i < sizeof n / sizeof *n; i++) one_product(k, name, half, 5, n[i], 1, 24, seed++);
    for (size_t i = 0; i < sizeof depth / sizeof *depth; i++) one_product(k, name, half, 7, 48, 1, depth[i], seed++);
    one_product(k, name, half, 13, 768, 1, 96, seed);
}

static void every_segment_count(const fs_kernels *k, const char *name, bool half) {
    unsigned seed = 3000;
    for (int segments = 1; segments <= FS_GEMM_SEGMENTS; segments++) {
        one_product(k, name, half, 17, 32, segments, 3, seed++);
        one_product(k, name, half, 6, 16, segments, 130, seed++);
    }
    one_product(k, name, half, 3, 32, FS_GEMM_SEGMENTS, 700, seed);
}

KERNEL_TEST(gemm_f32, any_row_count) {
    every_row_count(k, name, false);
}
KERNEL_TEST(gemm_f32, any_width_and_depth) {
    every_size(k, name, false);
}
KERNEL_TEST(gemm_f32, any_number_of_segments) {
    every_segment_count(k, name, false);
}
KERNEL_TEST(gemm_bf16, any_row_count) {
    every_row_count(k, name, true);
}
KERNEL_TEST(gemm_bf16, any_width_and_depth) {
    every_size(k, name, true);
}
KERNEL_TEST(gemm_bf16, any_number_of_segments) {
    every_segment_count(k, name, true);
}

// Pixels y0..y1 and channels n0..n1 of a product, alone.
static void part(const fs_kernels *k, const product *p, void *c, int y0, int y1, int n0, int n1) {
    fs_gemm g = p->g;
    const ptrdiff_t elem = p->half ? 2 : 4, to = p->to_half ? 2 : 4;
    for (int i = 0; i < g.segments; i++)
        g.segment[i].a = (const char *)g.segment[i].a + y0 * g.segment[i].stride * elem;
    g.b = (const char *)g.b + (ptrdiff_t)n0 * p->total * elem;
    g.bias += n0;
    if (g.add) g.add = (const char *)g.add + (y0 * g.add_stride + n0) * to;
    g.c = (char *)c + (y0 * g.c_stride + n0 / FS_PANEL * g.c_panel) * to;
    g.m = y1 - y0, g.n = n1 - n0;
    (p->half ? k->gemm_bf16 : k->gemm_f32)(&g);
}

static void any_cut(const fs_kernels *k, const char *name, bool half) {
    for (unsigned seed = 4000; seed < 4024; seed++) {
        uint32_t s = seed;
        const int m = pick(&s, 2, 40), n = pick(&s, 1, 5) * FS_PANEL, segments = pick(&s, 1, 4),
                  depth = pick(&s, 1, seed % 4 ? 60 : 400);
        product p = make_product(half, m, n, segments, depth, (int)(seed % FILLS), &s);
        part(k, &p, p.c.data, 0, m, 0, n);
        output cut = make_output(p.c.bytes - 2 * GUARD);
        for (int y = 0, y1; y < m; y = y1) {
            y1 = y + pick(&s, 1, m - y);
            for (int x = 0, x1; x < n; x = x1) {
                x1 = x + pick(&s, 1, (n - x) / FS_PANEL) * FS_PANEL;
                part(k, &p, cut.data, y, y1, x, x1);
            }
        }
        CHECK(memcmp(cut.base, p.c.base, cut.bytes) == 0,
              "%s: a cut changes bits (m %d n %d k %d segments %d, seed %u)", name, m, n, p.total, segments, seed);
        release();
    }
}

KERNEL_TEST(gemm_f32, no_cut_changes_a_bit) {
    any_cut(k, name, false);
}
KERNEL_TEST(gemm_bf16, no_cut_changes_a_bit) {
    any_cut(k, name, true);
}

// Infinities, NaN and what cancels: every channel its own pair of inputs, so that nothing hides behind rounding.
static void not_only_numbers(const fs_kernels *k, const char *name, bool half) {
    static const float left[] = {INFINITY, INFINITY, INFINITY, NAN, 1e12f, -INFINITY, 0.0f, 3.0f};
    static const float right[] = {1.0f, -INFINITY, INFINITY, 1.0f, -1e12f, 5.0f, -0.0f, -3.0f};
    for (int m = 1; m <= 13; m++) {
        const size_t elem = half ? 2 : 4;
        char *a = input((size_t)(m * 2) * elem), *b = input(2 * FS_PANEL * elem);
        for (int i = 0; i < m * 2; i++) memcpy(a + (size_t)i * elem, (char *)&(float){1.0f} + 4 - elem, elem);
        for (int i = 0; i < FS_PANEL; i++)
            for (int j = 0; j < 2; j++) {
                const float x = (j ? right : left)[i % 8];
                memcpy(b + (size_t)(half ? i * 2 + j : j * FS_PANEL + i) * elem, (const char *)&x + 4 - elem, elem);
            }
        output o = make_output((size_t)(m * FS_PANEL) * 4);
        own(&o, 0, (size_t)(m * FS_PANEL) * 4);
        fs_gemm g = {.m = m,
                     .n = FS_PANEL,
                     .segments = 1,
                     .b = b,
                     .bias = input(FS_PANEL * 4),
                     .c = o.data,
                     .c_stride = FS_PANEL};
        g.segment[0].a = a, g.segment[0].stride = 2, g.segment[0].k = 2, g.c_panel = FS_PANEL, g.c_float = half;
        (half ? k->gemm_bf16 : k->gemm_f32)(&g);
        CHECK(untouched(&o), "%s: wrote outside C (m %d)", name, m);
        for (int i = 0; i < m * FS_PANEL; i++) {
            // bf16 cuts 1e12 on both sides alike: it still cancels.
            const float want = left[i % 8] + right[i % 8], got = ((float *)o.data)[i];
            CHECK(isnan(want) ? isnan(got) : got == want, "%s: %g + %g gives %g (m %d)", name, (double)left[i % 8],
                  (double)right[i % 8], (double)got, m);
        }
        release();
    }
}

KERNEL_TEST(gemm_f32, infinities_nan_and_cancellation) {
    not_only_numbers(k, name, false);
}
KERNEL_TEST(gemm_bf16, infinities_nan_and_cancellation) {
    not_only_numbers(k, name, true);
}

// --- Depthwise ---

typedef struct depth_kind {
    bool from_half, to_half;
} depth_kind;

static const depth_kind depth_kinds[] = {{false, false}, {true, true}, {false, true}};

static void run_depthwise(const fs_kernels *k, const depth_kind *kind, const fs_depthwise *d) {
    (kind->from_half ? k->depthwise_bf16 : kind->to_half ? k->depthwise_f32_to_bf16 : k->depthwise_f32)(d);
}

static fs_depthwise make_depthwise(const depth_kind *kind, int stride, int dilation, bool panels, int fill, uint32_t *s,
                                   output *o) {
    fs_depthwise d = {
        .stride = stride, .dilation = dilation, .pad_left = pick(s, 0, 2 * dilation), .relu = pick(s, 0, 1)};
    const int width = pick(s, 1, 40);
    d.channels = pick(s, 1, 5) * FS_PANEL;
    d.x0 = pick(s, 0, 3) ? 0 : pick(s, 0, 12), d.x1 = d.x0 + width;
    // The source may hold all columns that are read, or begin late and end early.
    const int first = d.x0 * stride - d.pad_left, last = (d.x1 - 1) * stride - d.pad_left + 2 * dilation + 1;
    d.begin = first < 0 ? 0 : first, d.end = last < d.begin + 1 ? d.begin + 1 : last;
    if (pick(s, 0, 1)) d.begin += pick(s, 0, (d.end - d.begin - 1) < 5 ? d.end - d.begin - 1 : 5);
    if (pick(s, 0, 1)) d.end -= pick(s, 0, (d.end - d.begin - 1) < 9 ? d.end - d.begin - 1 : 9);
    const int columns = d.end - d.begin;
    d.pixel_stride = panels ? FS_PANEL : d.channels + pick(s, 0, 1) * FS_PANEL;
    d.panel_stride = panels ? (columns + pick(s, 1, 3)) * FS_PANEL : FS_PANEL;
    const ptrdiff_t count = (columns - 1) * d.pixel_stride + (d.channels / FS_PANEL - 1) * d.panel_stride + FS_PANEL;
    for (int ky = 0; ky < 3; ky++) d.row[ky] = values((size_t)count, kind->from_half, s, fill);
    d.weight = values((size_t)(9 * d.channels), false, s, fill), d.bias = values((size_t)d.channels, false, s, fill);
    d.out_stride = d.channels + pick(s, 0, 1) * FS_PANEL;
    const size_t elem = kind->to_half ? 2 : 4;
    *o = make_output((size_t)((width - 1) * d.out_stride + d.channels) * elem);
    for (int x = 0; x < width; x++) own(o, (size_t)(x * d.out_stride) * elem, (size_t)d.channels * elem);
    d.out = o->data;
    return d;
}

static void check_depthwise(const fs_depthwise *d, const depth_kind *kind, const output *o, const char *name,
                            unsigned seed) {
    CHECK(untouched(o), "%s: wrote outside the row (stride %d dilation %d columns %d..%d, seed %u)", name, d->stride,
          d->dilation, d->x0, d->x1, seed);
    for (int x = d->x0; x < d->x1; x++)
        for (int c = 0; c < d->channels; c++) {
            double want = (double)d->bias[c], scale = fabs(want);
            for (int t = 0; t < 9; t++) {
                const int sx = x * d->stride - d->pad_left + t % 3 * d->dilation;
                if (sx < d->begin || sx >= d->end) continue;
                const ptrdiff_t at = (sx - d->begin) * d->pixel_stride + c / FS_PANEL * d->panel_stride + c % FS_PANEL;
                const double term = get(d->row[t / 3], at, kind->from_half) * (double)d->weight[t * d->channels + c];
                want += term, scale += fabs(term);
            }
            if (d->relu && want < 0) want = 0;
            const double got = get(d->out, (x - d->x0) * d->out_stride + c, kind->to_half);
            CHECK(fabs(got - want) <= allowed(want, scale, 9, kind->to_half),
                  "%s: column %d channel %d is %.9g, not %.9g (stride %d dilation %d pad %d source %d..%d columns "
                  "%d..%d channels %d "
                  "panel %d relu %d, seed %u)",
                  name, x, c, got, want, d->stride, d->dilation, d->pad_left, d->begin, d->end, d->x0, d->x1,
                  d->channels, (int)d->panel_stride, d->relu, seed);
        }
}

static void every_depthwise(const fs_kernels *k, const char *name, const depth_kind *kind) {
    static const int shape[][2] = {{1, 1}, {2, 1}, {1, 4}, {2, 4}, {1, 2}};
    for (unsigned seed = 5000; seed < 5120; seed++) {
        uint32_t s = seed;
        output o;
        const fs_depthwise d = make_depthwise(kind, shape[seed % 5][0], shape[seed % 5][1], seed / 5 % 2,
                                              (int)(seed / 10 % FILLS), &s, &o);
        run_depthwise(k, kind, &d);
        check_depthwise(&d, kind, &o, name, seed);
        release();
    }
}

KERNEL_TEST(depthwise, f32) {
    every_depthwise(k, name, &depth_kinds[0]);
}
KERNEL_TEST(depthwise, bf16) {
    every_depthwise(k, name, &depth_kinds[1]);
}
KERNEL_TEST(depthwise, f32_to_bf16) {
    every_depthwise(k, name, &depth_kinds[2]);
}

KERNEL_TEST(depthwise, no_cut_changes_a_bit) {
    for (unsigned seed = 6000; seed < 6060; seed++) {
        uint32_t s = seed;
        const depth_kind *kind = &depth_kinds[seed % 3];
        output o;
        const fs_depthwise d =
            make_depthwise(kind, seed / 3 % 3 == 1 ? 2 : 1, seed / 3 % 3 == 2 ? 4 : 1, seed % 2, PLAIN, &s, &o);
        run_depthwise(k, kind, &d);
        output cut = make_output(o.bytes - 2 * GUARD);
        for (int x = d.x0, x1; x < d.x1; x = x1) {
            x1 = x + pick(&s, 1, d.x1 - x);
            fs_depthwise part_of = d;
            part_of.x0 = x, part_of.x1 = x1;
            part_of.out = (char *)cut.data + (x - d.x0) * d.out_stride * (kind->to_half ? 2 : 4);
            run_depthwise(k, kind, &part_of);
        }
        CHECK(memcmp(cut.base, o.base, o.bytes) == 0, "%s: a cut changes bits (kind %u columns %d..%d, seed %u)", name,
              seed % 3, d.x0, d.x1, seed);
        release();
    }
}

KERNEL_TEST(depthwise, no_layout_changes_a_bit) {
    for (unsigned seed = 6100; seed < 6145; seed++) {
        uint32_t s = seed;
        const depth_kind *kind = &depth_kinds[seed % 3];
        const size_t elem = kind->from_half ? 2 : 4;
        output o;
        fs_depthwise d =
            make_depthwise(kind, seed / 3 % 3 == 1 ? 2 : 1, seed / 3 % 3 == 2 ? 4 : 1, true, PLAIN, &s, &o);
        run_depthwise(k, kind, &d);
        output again = make_output(o.bytes - 2 * GUARD);
        fs_depthwise pixels = d;
        pixels.pixel_stride = d.channels, pixels.panel_stride = FS_PANEL, pixels.out = again.data;
        for (int ky = 0; ky < 3; ky++) {
            char *row = input((size_t)(d.end - d.begin) * (size_t)d.channels * elem);
            for (int x = 0; x < d.end - d.begin; x++)
                for (int c = 0; c < d.channels; c += FS_PANEL)
                    memcpy(row + (size_t)(x * d.channels + c) * elem,
                           (const char *)d.row[ky] +
                               (size_t)(x * d.pixel_stride + c / FS_PANEL * d.panel_stride) * elem,
                           FS_PANEL * elem);
            pixels.row[ky] = row;
        }
        run_depthwise(k, kind, &pixels);
        CHECK(memcmp(again.base, o.base, o.bytes) == 0, "%s: panels and pixels differ (kind %u, seed %u)", name,
              seed % 3, seed);
        release();
    }
}

// --- Conversions ---

KERNEL_TEST(to_f32, every_pattern) {
    const size_t count = 65536;
    uint16_t *in = input(count * 2);
    for (size_t i = 0; i < count; i++) in[i] = (uint16_t)i;
    for (size_t skip = 0; skip < 2; skip++) {
        output o = make_output(count * 4);
        own(&o, 0, (count - skip) * 4);
        k->to_f32(in + skip, o.data, count - skip);
        CHECK(untouched(&o), "%s: wrote past %zu values", name, count - skip);
        const uint32_t *got = o.data;
        for (size_t i = 0; i < count - skip; i++)
            CHECK(got[i] == (uint32_t)(i + skip) << 16, "%s: pattern %04zx gives %08x", name, i + skip, got[i]);
    }
    release();
}

// Round to nearest even by arithmetic on the pattern; only for numbers.
static uint16_t nearest(uint32_t u) {
    const uint32_t low = u & 0xffff, high = u >> 16;
    return (uint16_t)(high + (low > 0x8000 || (low == 0x8000 && high % 2) ? 1 : 0));
}

static void check_half(const char *name, uint32_t u, uint16_t got) {
    if ((u & 0x7fffffff) > 0x7f800000) {
        CHECK((got & 0x7fff) > 0x7f80, "%s: NaN %08x becomes %04x", name, u, got);
        return;
    }
    // The native conversion takes numbers below the smallest normal one as zero.
    if (strcmp(name, "avx512bf16") == 0 && (u & 0x7fffffff) < 0x00800000 && got == (u >> 31 << 15)) return;
    CHECK(got == nearest(u), "%s: %08x becomes %04x, not %04x", name, u, got, nearest(u));
}

KERNEL_TEST(to_bf16, rounds_every_pattern_to_nearest_even) {
    static const uint32_t low[] = {0, 1, 0x7fff, 0x8000, 0x8001, 0xffff};
    const size_t lows = sizeof low / sizeof *low, count = 65536 * lows - 1;
    uint32_t *in = input(count * 4);
    for (size_t i = 0; i < count; i++) in[i] = (uint32_t)(i / lows) << 16 | low[i % lows];
    output o = make_output(count * 2);
    own(&o, 0, count * 2);
    k->to_bf16((const float *)in, o.data, count);
    CHECK(untouched(&o), "%s: wrote past %zu values", name, count);
    for (size_t i = 0; i < count; i++) check_half(name, in[i], ((uint16_t *)o.data)[i]);
    CHECK(((uint16_t *)o.data)[(size_t)0x7f80 * lows] == 0x7f80 &&
              ((uint16_t *)o.data)[(size_t)0xff80 * lows] == 0xff80,
          "%s: infinities change", name);
    release();
}

KERNEL_TEST(to_bf16, rounds_the_known_cases) {
    static const struct {
        uint32_t from;
        uint16_t to;
    } known[] = {
        {0x3f800000, 0x3f80}, {0x3f808000, 0x3f80}, {0x3f818000, 0x3f82}, {0x3f808001, 0x3f81}, {0x3f817fff, 0x3f81},
        {0x80000000, 0x8000}, {0x7f7fffff, 0x7f80}, {0xff7fffff, 0xff80}, {0x7f7f7fff, 0x7f7f}, {0x7f800000, 0x7f80},
    };
    const size_t lots = sizeof known / sizeof *known;
    for (size_t count = 1; count <= 40; count++) {
        float *in = input(count * 4);
        for (size_t i = 0; i < count; i++) in[i] = from_bits(known[i % lots].from);
        output o = make_output(count * 2);
        own(&o, 0, count * 2);
        k->to_bf16(in, o.data, count);
        CHECK(untouched(&o), "%s: wrote past %zu values", name, count);
        for (size_t i = 0; i < count; i++)
            CHECK(((uint16_t *)o.data)[i] == known[i % lots].to, "%s: %08x becomes %04x (value %zu of %zu)", name,
                  known[i % lots].from, ((uint16_t *)o.data)[i], i, count);
        release();
    }
}

KERNEL_TEST(convert, any_count) {
    for (size_t count = 0; count <= 70; count++) {
        uint32_t s = 7000 + (uint32_t)count;
        const uint16_t *half = values(count, true, &s, PLAIN);
        const float *full = values(count, false, &s, EXTREME);
        output up = make_output(count * 4), down = make_output(count * 2);
        own(&up, 0, count * 4), own(&down, 0, count * 2);
        k->to_f32(half, up.data, count), k->to_bf16(full, down.data, count);
        CHECK(untouched(&up) && untouched(&down), "%s: wrote past %zu values", name, count);
        for (size_t i = 0; i < count; i++) {
            CHECK(((uint32_t *)up.data)[i] == (uint32_t)half[i] << 16, "%s: value %zu of %zu to float", name, i, count);
            check_half(name, bits(full[i]), ((uint16_t *)down.data)[i]);
        }
        release();
    }
}

// --- Element by element ---

// max(x, 0) as the vector units have it: zero is positive zero, and a NaN becomes zero.
KERNEL_TEST(relu, numbers_zeros_and_nan) {
    static const uint32_t special[] = {0x80000000, 0x7fc00000, 0xffc00001, 0x7f800000,
                                       0xff800000, 0x00000001, 0x80000001, 0x7f800001};
    for (size_t count = 0; count <= 70; count++) {
        uint32_t s = 7100 + (uint32_t)count;
        float *in = values(count, false, &s, EXTREME);
        for (size_t i = 0; i < count; i += 2) in[i] = from_bits(special[fs_test_random(&s) % 8]);
        output o = make_output(count * 4);
        own(&o, 0, count * 4);
        k->relu_f32(in, o.data, count);
        CHECK(untouched(&o), "%s: wrote past %zu values", name, count);
        for (size_t i = 0; i < count; i++)
            CHECK(((uint32_t *)o.data)[i] == (in[i] > 0 ? bits(in[i]) : 0), "%s: value %zu of %zu, %08x, becomes %08x",
                  name, i, count, bits(in[i]), ((uint32_t *)o.data)[i]);
        k->relu_f32(in, in, count);
        CHECK(count == 0 || memcmp(in, o.data, count * 4) == 0, "%s: in place differs (%zu values)", name, count);
        release();
    }
}

KERNEL_TEST(add, any_count) {
    for (size_t count = 0; count <= 70; count++) {
        uint32_t s = 7200 + (uint32_t)count;
        float *a = values(count, false, &s, (int)(count % FILLS));
        const float *b = values(count, false, &s, (int)(count % FILLS));
        if (count > 3) a[count - 1] = INFINITY, a[1] = NAN;
        output o = make_output(count * 4);
        own(&o, 0, count * 4);
        k->add_f32(a, b, o.data, count);
        CHECK(untouched(&o), "%s: wrote past %zu values", name, count);
        for (size_t i = 0; i < count; i++) {
            const float want = a[i] + b[i], got = ((float *)o.data)[i];
            CHECK(isnan(want) ? isnan(got) : bits(got) == bits(want), "%s: value %zu of %zu is %.9g, not %.9g", name, i,
                  count, (double)got, (double)want);
        }
        k->add_f32(a, b, a, count);
        CHECK(count == 0 || memcmp(a, o.data, count * 4) == 0, "%s: in place differs (%zu values)", name, count);
        release();
    }
}

static void check_mix(const char *name, double a, double b, double t, double before, double got, bool half, size_t at,
                      unsigned seed) {
    const double want = before + a + (b - a) * t;
    CHECK(fabs(got - want) <= allowed(want, fabs(a) + fabs(b) + fabs(before), 3, half),
          "%s: value %zu is %.9g, not %.9g (%g to %g at %g on %g, seed %u)", name, at, got, want, a, b, t, before,
          seed);
}

static float fraction(uint32_t *s) {
    return pick(s, 0, 3) == 0 ? 0.0f : pick(s, 0, 7) == 0 ? 1.0f : fs_test_uniform(s, 0, 1);
}

static void every_lerp(const fs_kernels *k, const char *name, bool half) {
    for (unsigned seed = 7300; seed < 7340; seed++) {
        uint32_t s = seed;
        const size_t count = (size_t)pick(&s, 0, 20) * 16;
        const void *a = values(count, half, &s, (int)(seed % FILLS)), *b = values(count, half, &s, (int)(seed % FILLS));
        const float t = fraction(&s);
        output o = make_output(count * 4);
        own(&o, 0, count * 4);
        if (half)
            k->lerp_bf16(a, b, t, o.data, count);
        else
            k->lerp_f32(a, b, t, o.data, count);
        CHECK(untouched(&o), "%s: wrote past %zu values (seed %u)", name, count, seed);
        for (size_t i = 0; i < count; i++)
            check_mix(name, get(a, (ptrdiff_t)i, half), get(b, (ptrdiff_t)i, half), (double)t, 0,
                      get(o.data, (ptrdiff_t)i, false), false, i, seed);
        release();
    }
}

KERNEL_TEST(lerp, f32) {
    every_lerp(k, name, false);
}
KERNEL_TEST(lerp, bf16) {
    every_lerp(k, name, true);
}

static fs_tap *make_taps(int count, int begin, int columns, uint32_t *s) {
    fs_tap *taps = input((size_t)count * sizeof *taps);
    for (int x = 0; x < count; x++) {
        const int lower = pick(s, 0, columns - 1);
        taps[x] = (fs_tap){begin + lower, begin + (lower + 1 < columns ? lower + 1 : lower), fraction(s)};
    }
    return taps;
}

static void every_stretch(const fs_kernels *k, const char *name, bool half, bool panels, bool accumulate) {
    for (unsigned seed = 7400; seed < 7440; seed++) {
        uint32_t s = seed;
        const int count = pick(&s, 1, 40), columns = pick(&s, 1, 20), begin = pick(&s, 0, 9),
                  channels = pick(&s, 1, 8) * FS_PANEL;
        const ptrdiff_t in_stride = channels + pick(&s, 0, 1) * 16;
        const ptrdiff_t out_stride = panels ? FS_PANEL : channels + pick(&s, 0, 1) * 16;
        const ptrdiff_t out_panel = panels ? (count + pick(&s, 0, 2)) * FS_PANEL : FS_PANEL;
        const float *in = values((size_t)((columns - 1) * in_stride + channels), false, &s, (int)(seed % FILLS));
        const fs_tap *taps = make_taps(count, begin, columns, &s);
        const size_t elem = half ? 2 : 4;
        const size_t elements = (size_t)((count - 1) * out_stride + (channels / FS_PANEL - 1) * out_panel + FS_PANEL);
        output o = make_output(elements * elem);
        for (int x = 0; x < count; x++)
            for (int c = 0; c < channels; c += FS_PANEL) {
                const ptrdiff_t at = x * out_stride + c / FS_PANEL * out_panel;
                own(&o, (size_t)at * elem, FS_PANEL * elem);
                for (int i = 0; accumulate && i < FS_PANEL; i++) ((float *)o.data)[at + i] = draw(&s, PLAIN);
            }
        const float *before = memcpy(pages(elements * 4), o.data, elements * elem);
        if (half)
            k->stretch_bf16(in, begin, taps, count, channels, in_stride, o.data, out_stride);
        else
            k->stretch_f32(in, begin, taps, count, channels, in_stride, o.data, out_stride, out_panel, accumulate);
        CHECK(untouched(&o), "%s: wrote elsewhere (count %d channels %d, seed %u)", name, count, channels, seed);
        for (int x = 0; x < count; x++)
            for (int c = 0; c < channels; c++) {
                const ptrdiff_t at = x * out_stride + c / FS_PANEL * out_panel + c % FS_PANEL;
                const float *a = in + (taps[x].lower - begin) * in_stride,
                            *b = in + (taps[x].upper - begin) * in_stride;
                check_mix(name, (double)a[c], (double)b[c], (double)taps[x].fraction,
                          accumulate ? (double)before[at] : 0, get(o.data, at, half), half, (size_t)at, seed);
            }
        release();
    }
}

KERNEL_TEST(stretch, f32_pixels) {
    every_stretch(k, name, false, false, false);
}
KERNEL_TEST(stretch, f32_panels) {
    every_stretch(k, name, false, true, false);
}
KERNEL_TEST(stretch, f32_accumulates_into_pixels) {
    every_stretch(k, name, false, false, true);
}
KERNEL_TEST(stretch, f32_accumulates_into_panels) {
    every_stretch(k, name, false, true, true);
}
KERNEL_TEST(stretch, bf16) {
    every_stretch(k, name, true, false, false);
}

// Enlarged up to twelvefold, or shrunk, as the outputs of a frame's size are; with the highest so far, or without.
KERNEL_TEST(stretch, plane) {
    for (unsigned seed = 7500; seed < 7700; seed++) {
        uint32_t s = seed;
        const int columns = pick(&s, 1, 60), count = seed % 4 == 0 ? pick(&s, 1, columns) : pick(&s, 1, 12 * columns);
        const float *in = values((size_t)columns, false, &s, (int)(seed % FILLS));
        int *lower = input((size_t)count * sizeof *lower);
        float *between = input((size_t)count * sizeof *between);
        for (int x = 0; x < count; x++) lower[x] = (int)((int64_t)x * columns / count), between[x] = fraction(&s);
        output o = make_output((size_t)count * 4), high = make_output((size_t)count * 4);
        own(&o, 0, (size_t)count * 4), own(&high, 0, (size_t)count * 4);
        float *before = input((size_t)count * sizeof *before);
        for (int x = 0; x < count; x++) ((float *)high.data)[x] = before[x] = draw(&s, PLAIN);
        k->stretch_plane(in, columns, lower, between, count, o.data, seed % 3 ? high.data : NULL);
        CHECK(untouched(&o) && untouched(&high), "%s: wrote past %d values (seed %u)", name, count, seed);
        for (int x = 0; x < count; x++) {
            const int upper = lower[x] + 1 < columns ? lower[x] + 1 : lower[x];
            const float got = ((float *)o.data)[x], raised = ((float *)high.data)[x];
            check_mix(name, (double)in[lower[x]], (double)in[upper], (double)between[x], 0, (double)got, false,
                      (size_t)x, seed);
            const float want = seed % 3 && got > before[x] ? got : before[x]; // a NaN is not higher
            CHECK(raised == want, "%s: the highest at %d of %d is %g, not %g (seed %u)", name, x, count, (double)raised,
                  (double)want, seed);
        }
        release();
    }
}

static void every_input(const fs_kernels *k, const char *name, int channels) {
    for (int pixels = 0; pixels <= 70; pixels++) {
        uint32_t s = 7600 + (uint32_t)pixels;
        const size_t count = (size_t)(pixels * channels);
        uint8_t *in = input(count);
        for (size_t i = 0; i < count; i++) in[i] = i < 2 ? (uint8_t)(i * 255) : (uint8_t)fs_test_random(&s);
        const float *scale = values((size_t)channels, false, &s, PLAIN),
                    *shift = values((size_t)channels, false, &s, PLAIN);
        output o = make_output(count * 4), cut = make_output(count * 4);
        own(&o, 0, count * 4), own(&cut, 0, count * 4);
        k->input_f32(in, o.data, (size_t)pixels, channels, scale, shift);
        CHECK(untouched(&o), "%s: wrote past %d pixels of %d", name, pixels, channels);
        for (size_t i = 0; i < count; i++) {
            const size_t c = i % (size_t)channels;
            const double scaled = (double)in[i] * (double)scale[c], want = scaled + (double)shift[c];
            const double got = get(o.data, (ptrdiff_t)i, false);
            CHECK(fabs(got - want) <= allowed(want, fabs(scaled) + fabs((double)shift[c]), 1, false),
                  "%s: sample %zu of %d pixels of %d is %.9g, not %.9g", name, i, pixels, channels, got, want);
        }
        const int middle = pick(&s, 0, pixels);
        k->input_f32(in, cut.data, (size_t)middle, channels, scale, shift);
        k->input_f32(in + middle * channels, (float *)cut.data + middle * channels, (size_t)(pixels - middle), channels,
                     scale, shift);
        CHECK(memcmp(cut.base, o.base, o.bytes) == 0, "%s: cutting %d pixels of %d at %d changes bits", name, pixels,
              channels, middle);
        release();
    }
}

KERNEL_TEST(input, three_channels) {
    every_input(k, name, 3);
}
KERNEL_TEST(input, four_channels) {
    every_input(k, name, 4);
}

static void every_sum(const fs_kernels *k, const char *name, bool half) {
    for (unsigned seed = 7700; seed < 7760; seed++) {
        uint32_t s = seed;
        const int count = pick(&s, 0, 70), channels = pick(&s, 1, 8) * FS_PANEL;
        const ptrdiff_t stride = channels + pick(&s, 0, 2) * FS_PANEL;
        const void *in = values(count ? (size_t)((count - 1) * stride + channels) : 0, half, &s, (int)(seed % FILLS));
        const float *before = values((size_t)channels, false, &s, PLAIN);
        output o = make_output((size_t)channels * 4);
        own(&o, 0, (size_t)channels * 4);
        memcpy(o.data, before, (size_t)channels * 4);
        if (half)
            k->sum_bf16(in, stride, count, channels, o.data);
        else
            k->sum_f32(in, stride, count, channels, o.data);
        CHECK(untouched(&o), "%s: wrote past %d sums (seed %u)", name, channels, seed);
        for (int c = 0; c < channels; c++) {
            double want = (double)before[c], scale = fabs(want);
            for (int p = 0; p < count; p++) {
                const double x = get(in, p * stride + c, half);
                want += x, scale += fabs(x);
            }
            CHECK(fabs(get(o.data, c, false) - want) <= allowed(want, scale, count, false),
                  "%s: channel %d of %d over %d pixels is %.9g, not %.9g (seed %u)", name, c, channels, count,
                  get(o.data, c, false), want, seed);
        }
        release();
    }
}

KERNEL_TEST(sum, f32) {
    every_sum(k, name, false);
}
KERNEL_TEST(sum, bf16) {
    every_sum(k, name, true);
}

// --- Labels ---

KERNEL_TEST(argmax, lowest_of_the_largest) {
    for (unsigned seed = 8000; seed < 8000 + 2 * MOST_CLASSES; seed++) {
        uint32_t s = seed;
        const int classes = 1 + (int)(seed - 8000) / 2, count = pick(&s, 1, 9);
        const ptrdiff_t stride = classes + pick(&s, 0, 5);
        float *in = values((size_t)((count - 1) * stride + classes), false, &s, (int)(seed % FILLS));
        if (seed % 2) // few distinct values: ties everywhere, also of both zeros
            for (ptrdiff_t i = 0; i < (count - 1) * stride + classes; i++)
                in[i] = pick(&s, 0, 1) ? 0.0f : (float)-pick(&s, 0, 2);
        if (seed % 5 == 0) in[classes - 1] = INFINITY, in[0] = -INFINITY;
        output o = make_output((size_t)count);
        own(&o, 0, (size_t)count);
        k->argmax(in, stride, count, classes, o.data);
        CHECK(untouched(&o), "%s: wrote past %d labels (seed %u)", name, count, seed);
        for (int p = 0; p < count; p++) {
            int want = classes - 1;
            for (int c = classes - 1; c >= 0; c--)
                if (in[p * stride + c] >= in[p * stride + want]) want = c;
            CHECK(((uint8_t *)o.data)[p] == want, "%s: pixel %d of %d, %d classes: label %d, not %d (seed %u)", name, p,
                  count, classes, ((uint8_t *)o.data)[p], want, seed);
        }
        release();
    }
}

typedef struct cell {
    int classes, nx, ny;
    bool exact; // no float operation rounds, so no other label is as good
    float *corner[4], *fx, *fy;
} cell;

static cell make_cell(int classes, int nx, int ny, uint32_t *s) {
    cell c = {.classes = classes, .nx = nx, .ny = ny};
    for (int i = 0; i < 4; i++) c.corner[i] = input((size_t)classes * 4);
    c.fx = input((size_t)((nx + 15) / 16 * 16) * 4), c.fy = input((size_t)ny * 4);
    // Even steps from a random phase, as a resize has them; what follows the last pixel is no position.
    const float phase = fs_test_uniform(s, 0, 1);
    for (int x = 0; x < (nx + 15) / 16 * 16; x++) c.fx[x] = x < nx ? ((float)x + phase) / (float)nx : NAN;
    for (int y = 0; y < ny; y++) c.fy[y] = ((float)y + phase) / (float)ny;
    if (pick(s, 0, 3) == 0) c.fx[0] = c.fy[0] = 0.0f;
    if (pick(s, 0, 3) == 0) c.fx[nx - 1] = c.fy[ny - 1] = 1.0f;
    return c;
}

static double mix(const cell *c, int k, double fx, double fy) {
    const double a = (double)c->corner[0][k], b = (double)c->corner[1][k], d = (double)c->corner[2][k],
                 e = (double)c->corner[3][k];
    const double left = a + (d - a) * fy, right = b + (e - b) * fy;
    return left + (right - left) * fx;
}

// Runs the kernel and evaluates every class at every pixel. Another label is right only where it is as good as the
// best, to rounding; of classes with equal corners only the first may win.
static void check_cell(const fs_kernels *k, const char *name, const cell *c, unsigned seed, uint32_t *s,
                       bool wins[MOST_CLASSES]) {
    const ptrdiff_t stride = c->nx + pick(s, 0, 5);
    output o = make_output((size_t)((c->ny - 1) * stride + c->nx)), scratch = make_output((size_t)c->classes * 17);
    for (int y = 0; y < c->ny; y++) own(&o, (size_t)(y * stride), (size_t)c->nx);
    own(&scratch, 0, (size_t)c->classes * 17);
    const float *const corner[4] = {c->corner[0], c->corner[1], c->corner[2], c->corner[3]};
    k->head_cell(corner, c->classes, c->fx, c->nx, c->fy, c->ny, o.data, stride, scratch.data);
    CHECK(untouched(&o) && untouched(&scratch),
          "%s: wrote outside %d x %d labels or the scratch of %d classes (seed %u)", name, c->nx, c->ny, c->classes,
          seed);
    float size[MOST_CLASSES] = {0};
    for (int n = 0; n < c->classes; n++)
        for (int i = 0; i < 4; i++) size[n] = fmaxf(size[n], fabsf(c->corner[i][n]));
    for (int y = 0; y < c->ny; y++)
        for (int x = 0; x < c->nx; x++) {
            int want = 0;
            double best = -INFINITY;
            for (int n = 0; n < c->classes; n++) {
                const double v = mix(c, n, (double)c->fx[x], (double)c->fy[y]);
                if (v > best) best = v, want = n;
            }
            const int got = ((uint8_t *)o.data)[y * stride + x];
            CHECK(got < c->classes, "%s: label %d of %d classes (seed %u)", name, got, c->classes, seed);
            if (wins) wins[got] = true;
            if (got == want) continue;
            CHECK(!c->exact, "%s: pixel %d,%d of %d x %d, %d classes: label %d, not %d, without rounding (seed %u)",
                  name, x, y, c->nx, c->ny, c->classes, got, want, seed);
            const double value = mix(c, got, (double)c->fx[x], (double)c->fy[y]);
            CHECK(best - value <= 1e-5 * (double)fmaxf(size[got], size[want]),
                  "%s: pixel %d,%d of %d x %d, %d classes: label %d at %.9g, not %d at %.9g (seed %u)", name, x, y,
                  c->nx, c->ny, c->classes, got, value, want, best, seed);
            for (int n = 0; n < got; n++)
                CHECK(c->corner[0][n] != c->corner[0][got] || c->corner[1][n] != c->corner[1][got] ||
                          c->corner[2][n] != c->corner[2][got] || c->corner[3][n] != c->corner[3][got],
                      "%s: label %d although class %d is the same (pixel %d,%d of %d x %d, %d classes, seed %u)", name,
                      got, n, x, y, c->nx, c->ny, c->classes, seed);
        }
}

static int any_classes(unsigned i, uint32_t *s) {
    static const int usual[] = {2, 3, 19, 20, 21, 150, 254, 255};
    return i % 3 ? usual[i % 8] : pick(s, 2, MOST_CLASSES);
}

KERNEL_TEST(head_cell, every_size_on_random_logits) {
    for (unsigned i = 0; i < 80; i++) {
        uint32_t s = 9000 + i;
        cell c = make_cell(any_classes(i, &s), 1 + (int)i % 40, 1 + (int)i % 20, &s);
        // Few classes at home in the cell, as in an image, or anything.
        for (int n = 0; n < c.classes; n++) {
            const float level = i % 2 ? fs_test_uniform(&s, -8, 8) : 0.0f;
            for (int j = 0; j < 4; j++) c.corner[j][n] = level + fs_test_uniform(&s, -2, 2);
        }
        check_cell(k, name, &c, 9000 + i, &s, NULL);
        release();
    }
}

KERNEL_TEST(head_cell, extreme_logits) {
    for (unsigned i = 0; i < 60; i++) {
        uint32_t s = 9100 + i;
        cell c = make_cell(any_classes(i, &s), pick(&s, 1, 40), pick(&s, 1, 20), &s);
        const float offset = i % 3 == 0 ? -1e30f : 0.0f;
        for (int n = 0; n < c.classes; n++)
            for (int j = 0; j < 4; j++) c.corner[j][n] = offset + draw(&s, EXTREME);
        check_cell(k, name, &c, 9100 + i, &s, NULL);
        release();
    }
}

KERNEL_TEST(head_cell, ties_go_to_the_lowest) {
    for (unsigned i = 0; i < 80; i++) {
        uint32_t s = 9200 + i;
        cell c = make_cell(any_classes(i, &s), pick(&s, 1, 40), pick(&s, 1, 20), &s);
        for (int n = 0; n < c.classes; n++)
            for (int j = 0; j < 4; j++) c.corner[j][n] = (float)pick(&s, 0, i % 2 ? 1 : 3);
        check_cell(k, name, &c, 9200 + i, &s, NULL);
        release();
    }
}

// Small integers at sixteenths of the cell: every operation is exact, and so are the ties.
KERNEL_TEST(head_cell, ties_without_rounding) {
    for (unsigned i = 0; i < 120; i++) {
        uint32_t s = 9500 + i;
        cell c = make_cell(i % 4 ? pick(&s, 2, 12) : any_classes(i, &s), pick(&s, 1, 21), pick(&s, 1, 20), &s);
        c.exact = true;
        for (int x = 0; x < c.nx; x++) c.fx[x] = (float)pick(&s, 0, 16) / 16;
        for (int y = 0; y < c.ny; y++) c.fy[y] = (float)pick(&s, 0, 16) / 16;
        for (int n = 0; n < c.classes; n++)
            for (int j = 0; j < 4; j++) c.corner[j][n] = (float)pick(&s, -3, 3);
        check_cell(k, name, &c, 9500 + i, &s, NULL);
        release();
    }
}

KERNEL_TEST(head_cell, first_of_duplicates) {
    for (unsigned i = 0; i < 60; i++) {
        uint32_t s = 9300 + i;
        cell c = make_cell(any_classes(i, &s), pick(&s, 1, 40), pick(&s, 1, 20), &s);
        const int distinct = 1 + pick(&s, 0, c.classes > 6 ? 6 : c.classes - 1);
        for (int n = 0; n < c.classes; n++) {
            const int from = n < distinct ? n : pick(&s, 0, distinct - 1);
            for (int j = 0; j < 4; j++) c.corner[j][n] = from == n ? draw(&s, PLAIN) : c.corner[j][from];
        }
        if (i % 4 == 0) // all equal: class 0 everywhere
            for (int n = 0; n < c.classes; n++)
                for (int j = 0; j < 4; j++) c.corner[j][n] = 1.25f;
        check_cell(k, name, &c, 9300 + i, &s, NULL);
        release();
    }
}

// A class that is first at no corner, each corner having a champion of its own, and first in the middle.
KERNEL_TEST(head_cell, winner_of_the_middle_only) {
    for (unsigned i = 0; i < 60; i++) {
        uint32_t s = 9400 + i;
        const int classes = 5 + pick(&s, 0, MOST_CLASSES - 5);
        cell c = make_cell(classes, pick(&s, 9, 40), pick(&s, 9, 20), &s);
        int role[5];
        for (int r = 0; r < 5; r++) {
            bool taken;
            do {
                role[r] = pick(&s, 0, classes - 1), taken = false;
                for (int q = 0; q < r; q++) taken |= role[q] == role[r];
            } while (taken);
        }
        for (int n = 0; n < classes; n++)
            for (int j = 0; j < 4; j++) c.corner[j][n] = fs_test_uniform(&s, -60, -50);
        for (int j = 0; j < 4; j++) {
            for (int r = 0; r < 4; r++) c.corner[j][role[r]] = r == j ? 10.0f : -10.0f;
            c.corner[j][role[4]] = fs_test_uniform(&s, 5, 6);
        }
        bool wins[MOST_CLASSES] = {false};
        check_cell(k, name, &c, 9400 + i, &s, wins);
        CHECK(wins[role[4]], "%s: class %d of %d wins nowhere (seed %u)", name, role[4], classes, 9400 + i);
        release();
    }
}

Test(tables, are_selected_by_name_best_first) {
    const fs_kernels *const *tables = fs_kernels_runnable();
    cr_assert_not_null(tables[0]);
    cr_expect_eq(fs_kernels_select(NULL), tables[0]);
    cr_expect_eq(fs_kernels_select("sse"), &fs_kernels_sse);
    for (; *tables; tables++) {
        cr_expect_eq(fs_kernels_select((*tables)->name), *tables, "%s", (*tables)->name);
        if (tables[1])
            cr_expect_geq((*tables)->lanes, tables[1]->lanes, "%s after a narrower one", tables[1]->name);
        else
            cr_expect_eq(*tables, &fs_kernels_sse, "%s is last", (*tables)->name);
    }
    cr_expect(fs_kernels_wide.lanes == 16 && fs_kernels_wide.bf16_dot);
}

// The tables are flat structures of pointers after their first members: none may be missing.
KERNEL_TEST(tables, are_complete) {
    cr_assert_str_eq(k->name, name);
    void *kernel[(sizeof *k - offsetof(fs_kernels, gemm_f32)) / sizeof(void *)];
    memcpy(kernel, (const char *)k + offsetof(fs_kernels, gemm_f32), sizeof kernel);
    for (size_t i = 0; i < sizeof kernel / sizeof *kernel; i++)
        cr_expect_not_null(kernel[i], "%s lacks kernel %zu", name, i);
}
