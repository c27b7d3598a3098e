// Runs one task of a chain: a rectangle of the output map, row by row, every stage keeping only the rows that are still
// needed.
#include <string.h>

#include "cpu/chain.h"

// A stage while a task runs: the columns it makes and the ring they go into.
typedef struct stage_run {
    int x0, x1;    // columns, may reach into the padding
    int next;      // the next row to make; rows next - ring .. next - 1 are kept
    char *ring;    // [ring][x1 - x0][stride_c]
    char *pad_row; // what a row outside the map reads as; NULL when nobody asks
    size_t row_bytes;
} stage_run;

typedef struct task_run {
    const fs_chain *chain;
    const fs_binding *binding;
    stage_run stage[FS_MAX_STAGES];
    float *temp; // one row of floats, see temp_bytes
    char *zeros; // one row of zeros for depthwise
} task_run;

static size_t align64(size_t n) {
    return (n + 63) & ~(size_t)63;
}
static size_t element(bool bf16) {
    return bf16 ? 2 : 4;
}
static size_t stage_element(const fs_stage *s) {
    return s->u8 ? 1 : element(s->bf16);
}

// The task's rectangle of the output map.
static void task_area(const fs_chain *c, int task, int *y0, int *y1, int *x0, int *x1) {
    const fs_stage *last = &c->stage[c->stages - 1];
    const int across = (last->w + c->columns - 1) / c->columns;
    *y0 = task / across * c->rows, *x0 = task % across * c->columns;
    *y1 = *y0 + c->rows < last->h ? *y0 + c->rows : last->h;
    *x1 = *x0 + c->columns < last->w ? *x0 + c->columns : last->w;
}

int fs_chain_tasks(const fs_chain *c) {
    const fs_stage *last = &c->stage[c->stages - 1];
    return ((last->w + c->columns - 1) / c->columns) * ((last->h + c->rows - 1) / c->rows);
}

static void widen(const fs_chain *c, task_run *t, fs_source source, int x0, int x1, int first) {
    if (source.stage < 0) return;
    const fs_stage *s = &c->stage[source.stage];
    stage_run *r = &t->stage[source.stage];
    if (x0 < -s->pad_columns) x0 = -s->pad_columns;
    if (x1 > s->w + s->pad_columns) x1 = s->w + s->pad_columns;
    if (first < 0) first = 0;
    if (r->x1 == r->x0) {
        r->x0 = x0, r->x1 = x1, r->next = first;
        return;
    }
    if (x0 < r->x0) r->x0 = x0;
    if (x1 > r->x1) r->x1 = x1;
    if (first < r->next) r->next = first;
}

// Walks back from the last stage: which columns, and from which row on, each stage is asked for.
static void find_ranges(const fs_chain *c, task_run *t, int y0, int x0, int x1) {
    for (int i = 0; i < c->stages; i++) t->stage[i].x0 = t->stage[i].x1 = t->stage[i].next = 0;
    stage_run *last = &t->stage[c->stages - 1];
    last->x0 = x0, last->x1 = x1, last->next = y0;
    for (int i = c->stages - 1; i >= 0; i--) {
        const fs_stage *s = &c->stage[i];
        const stage_run r = t->stage[i];
        for (int j = 0; j < s->sources; j++) {
            if ((s->kind == FS_STAGE_CONV && s->kernel == 3) || s->kind == FS_STAGE_DEPTHWISE) {
                const int reach = 2 * s->dilation;
                widen(c, t, s->source[j], r.x0 * s->stride - s->pad_left,
                      (r.x1 - 1) * s->stride - s->pad_left + reach + 1, r.next * s->stride - s->pad_top);
            } else if (s->kind == FS_STAGE_RESIZE) {
                int lower;
                float fraction;
                fs_resize_source(r.next, s->in_h, s->h, s->align, &lower, &fraction);
                widen(c, t, s->source[j], s->taps_x[r.x0].lower, s->taps_x[r.x1 - 1].upper + 1, lower);
            } else {
                widen(c, t, s->source[j], r.x0, r.x1, r.next);
            }
        }
    }
}

// Floats that a stage may need for one row in progress.
static size_t temp_floats(const fs_chain *c, int i, const stage_run *r) {
    const fs_stage *s = &c->stage[i];
    size_t n = (size_t)(r->x1 - r->x0 + 2) * (size_t)s->stride_c;
    if (s->kind == FS_STAGE_RESIZE) {
        const size_t source = (size_t)s->in_w * (size_t)s->stride_c;
        if (source > n) n = source;
    }
    if (s->kind == FS_STAGE_PPM_MIX || s->kind == FS_STAGE_PPM_CONCAT) n += 8 * 128;
    return n + 64;
}

// Lays the task's memory out behind `scratch` (NULL: only counts). Returns its size.
static size_t lay_out(const fs_chain *c, task_run *t, char *scratch) {
    size_t used = 0, temp = 0, zeros = 0;
    for (int i = 0; i < c->stages; i++) {
        const fs_stage *s = &c->stage[i];
        stage_run *r = &t->stage[i];
        const size_t floats = temp_floats(c, i, r);
        if (floats > temp) temp = floats;
        // One pixel of slack: a bf16 window row of odd length is read one element further.
        r->row_bytes = align64((size_t)(r->x1 - r->x0 + 1) * (size_t)s->stride_c * stage_element(s));
        r->ring = scratch ? scratch + used : NULL;
        used += r->row_bytes * (size_t)s->ring;
        r->pad_row = NULL;
        if (s->pad_columns) {
            r->pad_row = scratch ? scratch + used : NULL;
            used += r->row_bytes;
        }
        if (s->kind == FS_STAGE_DEPTHWISE) {
            const int source = s->source[0].stage;
            const size_t row = source >= 0 ? (size_t)(t->stage[source].x1 - t->stage[source].x0)
                                           : (size_t)c->plan->program.graph.tensor[s->source[0].tensor].w;
            if (row * (size_t)s->stride_c * 4 > zeros) zeros = row * (size_t)s->stride_c * 4;
        }
    }
    t->temp = scratch ? (float *)(scratch + used) : NULL;
    used += align64(temp * sizeof(float));
    t->zeros = scratch ? scratch + used : NULL;
    used += align64(zeros);
    if (scratch && zeros) memset(t->zeros, 0, zeros);
    return used + 256;
}

size_t fs_chain_scratch(const fs_chain *c) {
    size_t most = 0;
    const int tasks = fs_chain_tasks(c);
    for (int task = 0; task < tasks; task++) {
        task_run t = {.chain = c};
        int y0, y1, x0, x1;
        task_area(c, task, &y0, &y1, &x0, &x1);
        find_ranges(c, &t, y0, x0, x1);
        const size_t bytes = lay_out(c, &t, NULL);
        if (bytes > most) most = bytes;
    }
    return most;
}

// A row as its readers see it: element pointer to column `begin`, columns begin .. end.
typedef struct row_view {
    char *data;
    int begin, end;
} row_view;

static void make_row(task_run *t, int stage, int y);

static row_view view(task_run *t, fs_source source, int y) {
    if (source.stage >= 0) {
        const fs_stage *s = &t->chain->stage[source.stage];
        stage_run *r = &t->stage[source.stage];
        if (y < 0 || y >= s->h) return (row_view){r->pad_row, r->x0, r->x1};
        for (; r->next <= y; r->next++) make_row(t, source.stage, r->next);
        return (row_view){r->ring + (size_t)(y % s->ring) * r->row_bytes, r->x0, r->x1};
    }
    const fs_tensor *tensor = &t->chain->plan->program.graph.tensor[source.tensor];
    if (y < 0 || y >= tensor->h) return (row_view){NULL, 0, tensor->w};
    const fs_placement *p = &t->binding->place[source.tensor];
    return (row_view){t->binding->arena + p->offset + (size_t)y * (p->bytes / (size_t)tensor->h), 0, tensor->w};
}

static char *pixel(row_view v, int x, int stride_c, bool bf16) {
    return v.data + (ptrdiff_t)(x - v.begin) * stride_c * (ptrdiff_t)element(bf16);
}

static int source_stride(const task_run *t, fs_source source) {
    return source.stage >= 0 ? t->chain->stage[source.stage].stride_c : t->binding->place[source.tensor].channel_stride;
}

static bool source_bf16(const task_run *t, fs_source source) {
    if (source.stage >= 0) return t->chain->stage[source.stage].bf16;
    return t->chain->engine->precision == FS_BF16 &&
           t->chain->plan->program.graph.tensor[source.tensor].element == FS_ELEMENT_ACTIVATION;
}

// Fills the columns of a padded row that lie outside the map.
static void pad_columns(const fs_stage *s, const stage_run *r, char *row) {
    for (int x = r->x0; x < r->x1; x++) {
        if (x >= 0 && x < s->w) {
            x = s->w - 1;
            continue;
        }
        for (int c = 0; c < s->c; c++) {
            const ptrdiff_t at = (ptrdiff_t)(x - r->x0) * s->stride_c + c;
            if (s->u8) {
                ((uint8_t *)row)[at] = s->pad_u8[c & 3];
            } else if (s->bf16) {
                uint32_t u;
                memcpy(&u, &s->pad[c & 3], 4);
                ((uint16_t *)row)[at] = (uint16_t)((u + (u >> 16 & 1) + 0x7fff) >> 16);
            } else {
                ((float *)row)[at] = s->pad[c & 3];
            }
        }
    }
    // A bf16 window of odd length reads one element behind the row: its weight is zero, so it must not be a NaN.
    if (s->bf16) ((uint16_t *)row)[(ptrdiff_t)(r->x1 - r->x0) * s->stride_c] = 0;
}

// The frame's bytes as they are, for a stem in int8.
static void make_input_u8(task_run *t, const fs_stage *s, const stage_run *r, int y, char *out) {
    const fs_binding *b = t->binding;
    const int x0 = r->x0 < 0 ? 0 : r->x0, x1 = r->x1 > s->w ? s->w : r->x1;
    const uint8_t *in = b->frame + (size_t)y * b->frame_stride + (size_t)x0 * (size_t)b->frame_pixel;
    uint8_t *to = (uint8_t *)out + (ptrdiff_t)(x0 - r->x0) * s->stride_c;
    bool packed = b->frame_pixel == s->c;
    for (int c = 0; c < s->c; c++) packed &= b->frame_order[c] == c;
    if (packed)
        memcpy(to, in, (size_t)(x1 - x0) * (size_t)s->c);
    else
        for (int x = 0; x < x1 - x0; x++)
            for (int c = 0; c < s->c; c++) *to++ = in[(ptrdiff_t)x * b->frame_pixel + b->frame_order[c]];
    if (s->pad_columns) pad_columns(s, r, out);
}

static void make_input(task_run *t, const fs_stage *s, const stage_run *r, int y, char *out) {
    const fs_kernels *k = t->chain->engine->kernels;
    const fs_binding *b = t->binding;
    const int x0 = r->x0 < 0 ? 0 : r->x0, x1 = r->x1 > s->w ? s->w : r->x1, n = x1 - x0;
    const uint8_t *in = b->frame + (size_t)y * b->frame_stride + (size_t)x0 * (size_t)b->frame_pixel;
    float *to = s->bf16 ? t->temp : (float *)out + (ptrdiff_t)(x0 - r->x0) * s->stride_c;
    bool packed = b->frame_pixel == s->c;
    for (int c = 0; c < s->c; c++) packed &= b->frame_order[c] == c;
    if (packed) {
        k->input_f32(in, to, (size_t)n, s->c, s->scale, s->shift);
    } else {
        // Through the same kernel, so that every format gives the same bits.
        enum { CHUNK = 64 };
        uint8_t samples[CHUNK * 4];
        for (int x = 0; x < n; x += CHUNK) {
            const int pixels = n - x < CHUNK ? n - x : CHUNK;
            for (int i = 0; i < pixels; i++)
                for (int c = 0; c < s->c; c++)
                    samples[i * s->c + c] = in[(ptrdiff_t)(x + i) * b->frame_pixel + b->frame_order[c]];
            k->input_f32(samples, to + (ptrdiff_t)x * s->c, (size_t)pixels, s->c, s->scale, s->shift);
        }
    }
    if (s->bf16) k->to_bf16(to, (uint16_t *)out + (ptrdiff_t)(x0 - r->x0) * s->stride_c, (size_t)(n * s->c));
    if (s->pad_columns) pad_columns(s, r, out);
}

static void make_load(task_run *t, const fs_stage *s, const stage_run *r, int y, char *out) {
    const fs_kernels *k = t->chain->engine->kernels;
    const bool from_bf16 = source_bf16(t, s->source[0]);
    const int x0 = r->x0 < 0 ? 0 : r->x0, x1 = r->x1 > s->w ? s->w : r->x1;
    const char *in = pixel(view(t, s->source[0], y), x0, s->stride_c, from_bf16);
    char *to = out + (ptrdiff_t)(x0 - r->x0) * s->stride_c * (ptrdiff_t)element(s->bf16);
    const size_t n = (size_t)(x1 - x0) * (size_t)s->stride_c;
    if (from_bf16 == s->bf16)
        memcpy(to, in, n * element(s->bf16));
    else if (from_bf16)
        k->to_f32((const uint16_t *)in, (float *)to, n);
    else
        k->to_bf16((const float *)in, (uint16_t *)to, n);
    if (s->pad_columns) pad_columns(s, r, out);
}

static void make_quantise(task_run *t, const fs_stage *s, const stage_run *r, int y, char *out) {
    const fs_kernels *k = t->chain->engine->kernels;
    const bool bf16 = source_bf16(t, s->source[0]);
    const char *in = pixel(view(t, s->source[0], y), r->x0, s->stride_c, bf16);
    const size_t n = (size_t)(r->x1 - r->x0) * (size_t)s->stride_c;
    if (bf16)
        k->u8_from_bf16((const uint16_t *)in, s->to_u8, (uint8_t *)out, n);
    else
        k->u8_from_f32((const float *)in, s->to_u8, (uint8_t *)out, n);
}

static void make_conv_u8(task_run *t, const fs_stage *s, const stage_run *r, int y, char *out, int out_stride) {
    fs_gemm_u8 g = {.m = r->x1 - r->x0,
                    .n = s->dense_u8->n,
                    .b = s->dense_u8->panels,
                    .start = s->dense_u8->start,
                    .scale = s->dense_u8->scale,
                    .bias = s->dense_u8->bias,
                    .relu = s->relu,
                    .c = out,
                    .c_stride = s->panels ? FS_PANEL : out_stride,
                    .c_panel = s->panels ? (r->x1 - r->x0) * FS_PANEL : FS_PANEL,
                    .c_float = !s->bf16};
    if (s->kernel == 3) { // the stem: the window once with the coarse parts of the weights, once with the fine ones
        const fs_stage *input = &t->chain->stage[s->source[0].stage];
        const int top = y * s->stride - s->pad_top;
        view(t, s->source[0], top + 2 < input->h ? top + 2 : input->h - 1); // all three rows must be there together
        for (int ky = 0; ky < 3; ky++) {
            const row_view v = view(t, s->source[0], top + ky);
            g.segment[ky].a =
                (const uint8_t *)v.data + (ptrdiff_t)(r->x0 * s->stride - s->pad_left - v.begin) * input->stride_c;
            g.segment[ky].stride = (ptrdiff_t)input->stride_c * s->stride;
            g.segment[ky].k = s->dense_u8->k / 3;
            g.segment[3 + ky] = g.segment[ky];
        }
        g.segments = 6, g.coarse = 3;
    }
    for (int j = 0; j < s->sources && s->kernel == 1; j++) {
        const row_view v = view(t, s->source[j], y);
        const int stride = source_stride(t, s->source[j]);
        if (j == s->add) {
            g.add = pixel(v, r->x0, stride, s->bf16), g.add_stride = stride;
            continue;
        }
        g.segment[g.segments].a = (const uint8_t *)v.data + (ptrdiff_t)(r->x0 - v.begin) * stride;
        g.segment[g.segments].stride = stride;
        g.segment[g.segments++].k = t->chain->stage[s->source[j].stage].c;
    }
    t->chain->engine->kernels->gemm_u8(&g);
}

static void make_conv(task_run *t, const fs_stage *s, const stage_run *r, int y, char *out, int out_stride) {
    const fs_kernels *k = t->chain->engine->kernels;
    const bool bf16 = t->chain->engine->bf16_rows;
    fs_gemm g = {.m = r->x1 - r->x0,
                 .n = s->dense->n,
                 .b = s->dense->panels,
                 .bias = s->dense->bias,
                 .relu = s->relu,
                 .c = out,
                 .c_stride = s->panels ? FS_PANEL : out_stride,
                 .c_panel = s->panels ? (r->x1 - r->x0) * FS_PANEL : FS_PANEL,
                 .c_float = !s->bf16};
    if (s->kernel == 1) {
        for (int j = 0; j < s->sources; j++) {
            const row_view v = view(t, s->source[j], y);
            const int stride = source_stride(t, s->source[j]);
            const char *at = pixel(v, r->x0, stride, bf16);
            if (j == s->add) {
                g.add = at, g.add_stride = stride;
                continue;
            }
            const int inputs = s->source[j].stage >= 0 ? t->chain->stage[s->source[j].stage].c
                                                       : t->chain->plan->program.graph.tensor[s->source[j].tensor].c;
            g.segment[g.segments].a = at, g.segment[g.segments].stride = stride, g.segment[g.segments++].k = inputs;
        }
    } else {
        const int stride_c = source_stride(t, s->source[0]), row = 3 * stride_c;
        // Ask for the last row first: making it may turn the ring, and all three must be there together.
        view(t, s->source[0],
             y * s->stride - s->pad_top + 2 < t->chain->stage[s->source[0].stage].h
                 ? y * s->stride - s->pad_top + 2
                 : t->chain->stage[s->source[0].stage].h - 1);
        for (int ky = 0; ky < 3; ky++) {
            const row_view v = view(t, s->source[0], y * s->stride - s->pad_top + ky);
            g.segment[ky].a = pixel(v, r->x0 * s->stride - s->pad_left, stride_c, bf16);
            g.segment[ky].stride = (ptrdiff_t)stride_c * s->stride;
            g.segment[ky].k = bf16 ? row + row % 2 : row;
        }
        g.segments = 3;
        if (g.segment[0].k * 3 < s->dense->k) { // the weights come in two parts, see fs_cpu_engine.stem_u8
            for (int ky = 0; ky < 3; ky++) g.segment[3 + ky] = g.segment[ky];
            g.segments = 6;
        }
    }
    if (bf16)
        k->gemm_bf16(&g);
    else
        k->gemm_f32(&g);
}

static void make_depthwise(task_run *t, const fs_stage *s, const stage_run *r, int y, char *out, int out_stride) {
    const fs_kernels *k = t->chain->engine->kernels;
    fs_depthwise d = {.x0 = r->x0,
                      .x1 = r->x1,
                      .stride = s->stride,
                      .dilation = s->dilation,
                      .pad_left = s->pad_left,
                      .channels = s->c,
                      .weight = s->depthwise,
                      .bias = s->bias,
                      .relu = s->relu,
                      .out = out,
                      .out_stride = out_stride,
                      .pixel_stride = source_stride(t, s->source[0]),
                      .panel_stride = FS_PANEL};
    const int h = s->source[0].stage >= 0 ? t->chain->stage[s->source[0].stage].h
                                          : t->chain->plan->program.graph.tensor[s->source[0].tensor].h;
    const int top = y * s->stride - s->pad_top;
    for (int ky = 2; ky >= 0; ky--) { // the last row first: making it may turn the ring
        const int sy = top + ky * s->dilation;
        if (sy < 0 || sy >= h) {
            d.row[ky] = t->zeros;
            continue;
        }
        const row_view v = view(t, s->source[0], sy);
        d.row[ky] = v.data, d.begin = v.begin, d.end = v.end;
    }
    if (s->source[0].stage >= 0 && t->chain->stage[s->source[0].stage].panels)
        d.pixel_stride = FS_PANEL, d.panel_stride = (ptrdiff_t)(d.end - d.begin) * FS_PANEL;
    if (s->u8) {
        d.to_u8 = s->to_u8;
        (source_bf16(t, s->source[0]) ? k->depthwise_bf16_to_u8 : k->depthwise_f32_to_u8)(&d);
    } else if (!s->bf16)
        k->depthwise_f32(&d);
    else if (source_bf16(t, s->source[0]))
        k->depthwise_bf16(&d);
    else
        k->depthwise_f32_to_bf16(&d);
}

static void make_resize(task_run *t, const fs_stage *s, const stage_run *r, int y, char *out, int out_stride) {
    const fs_kernels *k = t->chain->engine->kernels;
    int lower;
    float fraction;
    fs_resize_source(y, s->in_h, s->h, s->align, &lower, &fraction);
    const int upper = lower + 1 < s->in_h ? lower + 1 : s->in_h - 1;
    const fs_tap *taps = s->taps_x + r->x0;
    const int n = r->x1 - r->x0, begin = taps[0].lower, end = taps[n - 1].upper + 1;
    const int stride = source_stride(t, s->source[0]);
    const row_view b = view(t, s->source[0], upper), a = view(t, s->source[0], lower);
    const size_t count = (size_t)(end - begin) * (size_t)stride;
    const bool in_bf16 = source_bf16(t, s->source[0]);
    const char *pa = pixel(a, begin, stride, in_bf16), *pb = pixel(b, begin, stride, in_bf16);
    if (in_bf16)
        k->lerp_bf16((const uint16_t *)pa, (const uint16_t *)pb, fraction, t->temp, count);
    else
        k->lerp_f32((const float *)pa, (const float *)pb, fraction, t->temp, count);
    if (s->bf16)
        k->stretch_bf16(t->temp, begin, taps, n, s->stride_c, stride, (uint16_t *)out, out_stride);
    else
        k->stretch_f32(t->temp, begin, taps, n, s->stride_c, stride, (float *)out, s->panels ? FS_PANEL : out_stride,
                       s->panels ? (ptrdiff_t)n * FS_PANEL : FS_PANEL, false);
}

// ADD, RELU, CONCAT: rarely used (only with their rewrite switched off), so they go through floats and stay simple.
static const float *as_floats(task_run *t, const char *row, size_t count, bool bf16, float *space) {
    if (!bf16) return (const float *)row;
    t->chain->engine->kernels->to_f32((const uint16_t *)row, space, count);
    return space;
}

static void make_elementwise(task_run *t, const fs_stage *s, const stage_run *r, int y, char *out, int out_stride) {
    const fs_kernels *k = t->chain->engine->kernels;
    const size_t pixel_bytes = (size_t)out_stride * element(s->bf16);
    for (int x = r->x0; x < r->x1; x++) {
        char *to = out + (size_t)(x - r->x0) * pixel_bytes;
        float a_space[1024], b_space[1024], sum[1024];
        if (s->kind == FS_STAGE_CONCAT) {
            for (int j = 0; j < s->sources; j++) {
                const int c = t->chain->plan->program.graph.tensor[s->source[j].tensor].c;
                memcpy(to, pixel(view(t, s->source[j], y), x, source_stride(t, s->source[j]), s->bf16),
                       (size_t)c * element(s->bf16));
                to += (size_t)c * element(s->bf16);
            }
            continue;
        }
        const size_t n = (size_t)s->c;
        const float *a = as_floats(t, pixel(view(t, s->source[0], y), x, source_stride(t, s->source[0]), s->bf16), n,
                                   s->bf16, a_space);
        float *result = s->bf16 ? sum : (float *)to;
        if (s->kind == FS_STAGE_RELU) {
            k->relu_f32(a, result, n);
        } else {
            const float *b = as_floats(t, pixel(view(t, s->source[1], y), x, source_stride(t, s->source[1]), s->bf16),
                                       n, s->bf16, b_space);
            k->add_f32(a, b, result, n);
        }
        if (s->bf16) k->to_bf16(sum, (uint16_t *)to, n);
    }
}

// Rows first, then columns, of one pyramid level: [bins][bins][channels] to a row of the map.
static void stretch_level(task_run *t, const fs_stage *s, int level, int y, int x0, int x1, int channels,
                          const float *cells, float *rows, float *out, int out_stride, bool accumulate) {
    static const int bins[4] = {1, 2, 3, 6};
    const fs_kernels *k = t->chain->engine->kernels;
    const int b = bins[level];
    int lower;
    float fraction;
    fs_resize_source(y, b, s->h, s->align, &lower, &fraction);
    const int upper = lower + 1 < b ? lower + 1 : b - 1;
    const size_t count = (size_t)(b * channels);
    k->lerp_f32(cells + (size_t)lower * count, cells + (size_t)upper * count, fraction, rows, count);
    k->stretch_f32(rows, 0, s->taps_x + level * s->w + x0, x1 - x0, channels, channels, out, out_stride, FS_PANEL,
                   accumulate);
}

static void make_ppm(task_run *t, const fs_stage *s, const stage_run *r, int y, char *out) {
    static const int first[4] = {0, 1, 5, 14}; // a level's first cell
    const fs_kernels *k = t->chain->engine->kernels;
    const int x0 = r->x0 < 0 ? 0 : r->x0, x1 = r->x1 > s->w ? s->w : r->x1, n = x1 - x0;
    float *rows = t->temp, *mix = t->temp + 8 * 128;
    const bool slices = s->kind == FS_STAGE_PPM_MIX;
    float *to = s->bf16 ? mix : (float *)out + (ptrdiff_t)(x0 - r->x0) * s->stride_c;
    if (slices) {
        for (int i = 0; i < 4; i++)
            stretch_level(t, s, i, y, x0, x1, 128, t->chain->pooled + first[i] * 128, rows, to, s->stride_c, i > 0);
    } else {
        const int stride = source_stride(t, s->source[0]);
        const row_view map = view(t, s->source[0], y);
        for (int x = 0; x < n; x++) {
            const char *in = pixel(map, x0 + x, stride, s->bf16);
            if (s->bf16)
                k->to_f32((const uint16_t *)in, to + (ptrdiff_t)x * s->stride_c, 128);
            else
                memcpy(to + (ptrdiff_t)x * s->stride_c, in, 128 * sizeof(float));
        }
        for (int i = 0; i < 4; i++)
            stretch_level(t, s, i, y, x0, x1, 32, t->chain->pooled + first[i] * 32, rows, to + 128 + 32 * i,
                          s->stride_c, false);
    }
    if (s->bf16)
        k->to_bf16(to, (uint16_t *)out + (ptrdiff_t)(x0 - r->x0) * s->stride_c, (size_t)n * (size_t)s->stride_c);
    if (s->pad_columns) pad_columns(s, r, out);
}

static void make_into(task_run *t, int stage, int y, char *out, int out_stride) {
    const fs_stage *s = &t->chain->stage[stage];
    const stage_run *r = &t->stage[stage];
    switch (s->kind) {
    case FS_STAGE_INPUT: (s->u8 ? make_input_u8 : make_input)(t, s, r, y, out); break;
    case FS_STAGE_LOAD: make_load(t, s, r, y, out); break;
    case FS_STAGE_QUANTISE: make_quantise(t, s, r, y, out); break;
    case FS_STAGE_CONV: (s->dense_u8 ? make_conv_u8 : make_conv)(t, s, r, y, out, out_stride); break;
    case FS_STAGE_DEPTHWISE: make_depthwise(t, s, r, y, out, out_stride); break;
    case FS_STAGE_RESIZE: make_resize(t, s, r, y, out, out_stride); break;
    case FS_STAGE_ADD:
    case FS_STAGE_RELU:
    case FS_STAGE_CONCAT: make_elementwise(t, s, r, y, out, out_stride); break;
    case FS_STAGE_PPM_MIX:
    case FS_STAGE_PPM_CONCAT: make_ppm(t, s, r, y, out); break;
    }
}

static void make_row(task_run *t, int stage, int y) {
    const fs_stage *s = &t->chain->stage[stage];
    make_into(t, stage, y, t->stage[stage].ring + (size_t)(y % s->ring) * t->stage[stage].row_bytes, s->stride_c);
}

void fs_chain_run(const fs_chain *c, const fs_binding *binding, int task, char *scratch) {
    task_run t = {.chain = c, .binding = binding};
    int y0, y1, x0, x1;
    task_area(c, task, &y0, &y1, &x0, &x1);
    find_ranges(c, &t, y0, x0, x1);
    lay_out(c, &t, scratch);
    for (int i = 0; i < c->stages; i++)
        if (t.stage[i].pad_row) {
            const fs_stage *s = &c->stage[i];
            // A row outside the map is all padding: pretend the map is empty.
            fs_stage outside = *s;
            outside.w = 0;
            stage_run r = t.stage[i];
            pad_columns(&outside, &r, t.stage[i].pad_row);
        }
    const int last = c->stages - 1;
    const fs_stage *s = &c->stage[last];
    const fs_tensor *out = &c->plan->program.graph.tensor[c->out];
    const fs_placement *p = &binding->place[c->out];
    const size_t row_bytes = p->bytes / (size_t)out->h;
    const bool to_bf16 = c->engine->precision == FS_BF16 && out->element == FS_ELEMENT_ACTIVATION;
    for (int y = y0; y < y1; y++) {
        char *row = binding->arena + p->offset + (size_t)y * row_bytes +
                    (size_t)x0 * (size_t)p->channel_stride * element(to_bf16);
        if (to_bf16 == s->bf16) {
            make_into(&t, last, y, row, p->channel_stride);
        } else {
            make_into(&t, last, y, t.stage[last].ring, s->stride_c);
            c->engine->kernels->to_bf16((const float *)t.stage[last].ring, (uint16_t *)row,
                                        (size_t)(x1 - x0) * (size_t)s->stride_c);
        }
    }
}
