// Labels without full-size logits: cells whose corners agree are filled, the others computed class by class where it
// matters.
#include "cpu/head.h"

#include <float.h>
#include <string.h>

#include "runtime/base/mem.h"

enum { COLUMNS = 128 }; // that a softmax is worked out for at a time

static void axis(int in, int out, bool align, int *lower, float *fraction, int *first) {
    int next = 0;
    for (int d = 0; d < out; d++) {
        fs_resize_source(d, in, out, align, &lower[d], &fraction[d]);
        while (next <= lower[d]) first[next++] = d;
    }
    while (next <= in) first[next++] = out;
}

fs_status fs_head_resize(fs_head *head, const fs_head *like, int height, int width) {
    const size_t pixels = (size_t)height + (size_t)width, ints = pixels + (size_t)(like->h + like->w + 2);
    const size_t floats_at = ints * sizeof(int), bytes = floats_at + (pixels + 16) * sizeof(float);
    fs_head made = *like;
    made.block = head->block, made.room = head->room;
    if (bytes > made.room) {
        made.block = fs_calloc(1, bytes), made.room = bytes;
        if (made.block == NULL) return fs_fail(FS_ERR_MEMORY, "out of memory for outputs of %dx%d", width, height);
        fs_free(head->block);
    }
    char *const block = made.block;
    made.height = height, made.width = width;
    made.lower_y = (int *)(void *)block, made.lower_x = made.lower_y + height;
    made.first_y = made.lower_x + width, made.first_x = made.first_y + made.h + 1;
    made.fraction_y = (float *)(void *)(block + floats_at), made.fraction_x = made.fraction_y + height;
    axis(made.h, height, made.align, made.lower_y, made.fraction_y, made.first_y);
    axis(made.w, width, made.align, made.lower_x, made.fraction_x, made.first_x);
    memset(made.fraction_x + width, 0, 16 * sizeof(float));
    *head = made;
    return FS_OK;
}

fs_status fs_head_init(fs_head *head, const fs_graph *g, int stride_c) {
    const fs_tensor *t = &g->tensor[g->logits];
    const fs_head like = {.h = t->h, .w = t->w, .classes = t->c, .stride_c = stride_c, .align = g->model.align_final};
    memset(head, 0, sizeof *head);
    return fs_head_resize(head, &like, g->height, g->width);
}

void fs_head_free(fs_head *head) {
    fs_free(head->block);
    memset(head, 0, sizeof *head);
}

size_t fs_head_scratch(const fs_head *head) {
    const size_t labels = 2 * (size_t)head->w + 5 * (size_t)head->classes * sizeof(float);
    const size_t logits = (size_t)head->w * (size_t)(head->stride_c + head->classes + 1) * sizeof(float) +
                          (size_t)(head->classes + 2) * COLUMNS * sizeof(float);
    return (labels > logits ? labels : logits) + 512;
}

static size_t align64(size_t n) {
    return (n + 63) & ~(size_t)63;
}

void fs_head_labels(const fs_head *head, const fs_kernels *k, const float *logits, int cell0, int cell1,
                    uint32_t *counts, uint8_t *labels, size_t labels_stride, char *scratch) {
    const ptrdiff_t row = (ptrdiff_t)head->w * head->stride_c;
    uint8_t *above = (uint8_t *)scratch, *below = above + head->w;
    float *classes = (float *)(void *)(scratch + align64(2 * (size_t)head->w));
    for (int i = cell0; i < cell1; i++) {
        const int y0 = head->first_y[i], ny = head->first_y[i + 1] - y0;
        const int lower = i + 1 < head->h ? i + 1 : i;
        const float *top = logits + i * row, *bottom = logits + lower * row;
        // The winner at each grid point; the row below becomes the row above of the next round.
        if (i == cell0) k->argmax(top, head->stride_c, head->w, head->classes, above);
        k->argmax(bottom, head->stride_c, head->w, head->classes, below);
        const float *fy = head->fraction_y + y0;
        uint8_t *out = labels + (size_t)y0 * labels_stride;
        for (int j = 0; j < head->w && ny > 0;) {
            const int x0 = head->first_x[j];
            int end = j;
            // All four corners agree: so does every pixel between them. Neighbouring cells of one class are filled
            // together.
            while (end < head->w) {
                const int right = end + 1 < head->w ? end + 1 : end;
                if (above[end] != above[j] || below[end] != above[j] || above[right] != above[j] ||
                    below[right] != above[j])
                    break;
                end++;
            }
            if (end > j) {
                const size_t nx = (size_t)(head->first_x[end] - x0);
                for (int y = 0; y < ny; y++) memset(out + (size_t)y * labels_stride + x0, above[j], nx);
                if (counts) counts[above[j]] += (uint32_t)nx * (uint32_t)ny;
                j = end;
                continue;
            }
            const int right = j + 1 < head->w ? j + 1 : j, nx = head->first_x[j + 1] - x0;
            const float *const corner[4] = {
                top + (ptrdiff_t)j * head->stride_c, top + (ptrdiff_t)right * head->stride_c,
                bottom + (ptrdiff_t)j * head->stride_c, bottom + (ptrdiff_t)right * head->stride_c};
            if (nx > 0)
                k->head_cell(corner, head->classes, head->fraction_x + x0, nx, fy, ny, out + x0,
                             (ptrdiff_t)labels_stride, classes);
            for (int y = 0; y < ny && counts; y++)
                for (int x = x0; x < x0 + nx; x++) counts[out[(size_t)y * labels_stride + (size_t)x]]++;
            j++;
        }
        uint8_t *swap = above;
        above = below, below = swap;
    }
}

// Output row y of every class between two grid columns' places: planes[classes][w].
static void mix_down(const fs_head *head, const fs_kernels *k, const float *logits, int y, float *mixed,
                     float *planes) {
    const size_t row = (size_t)head->w * (size_t)head->stride_c;
    const size_t lower = (size_t)head->lower_y[y], upper = lower + 1 < (size_t)head->h ? lower + 1 : lower;
    k->lerp_f32(logits + lower * row, logits + upper * row, head->fraction_y[y], mixed, row);
    for (int x = 0; x < head->w; x++)
        for (int c = 0; c < head->classes; c++)
            planes[(size_t)c * (size_t)head->w + (size_t)x] = mixed[(size_t)x * (size_t)head->stride_c + (size_t)c];
}

void fs_head_logits(const fs_head *head, const fs_kernels *k, const float *logits, int cell0, int cell1, float *out,
                    char *scratch) {
    float *mixed = (float *)scratch, *planes = mixed + (size_t)head->w * (size_t)head->stride_c;
    for (int y = head->first_y[cell0]; y < head->first_y[cell1]; y++) {
        mix_down(head, k, logits, y, mixed, planes);
        for (int c = 0; c < head->classes; c++)
            k->stretch_plane(planes + (size_t)c * (size_t)head->w, head->w, head->lower_x, head->fraction_x,
                             head->width, out + ((size_t)c * (size_t)head->height + (size_t)y) * (size_t)head->width,
                             NULL);
    }
}

void fs_head_softmax(const fs_head *head, const fs_kernels *k, const float *logits, int cell0, int cell1,
                     const fs_softmax *out, char *scratch) {
    float *mixed = (float *)scratch, *planes = mixed + (size_t)head->w * (size_t)head->stride_c;
    float *values = planes + (size_t)head->w * (size_t)head->classes; // [classes][COLUMNS]
    float *high = values + (size_t)head->classes * COLUMNS, *sum = high + COLUMNS;
    const size_t plane = (size_t)head->height * (size_t)head->width;
    for (int y = head->first_y[cell0]; y < head->first_y[cell1]; y++) {
        mix_down(head, k, logits, y, mixed, planes);
        for (int x = 0; x < head->width; x += COLUMNS) {
            const int count = head->width - x < COLUMNS ? head->width - x : COLUMNS;
            for (int i = 0; i < count; i++) high[i] = -FLT_MAX, sum[i] = 0.0f;
            for (int c = 0; c < head->classes; c++)
                k->stretch_plane(planes + (size_t)c * (size_t)head->w, head->w, head->lower_x + x, head->fraction_x + x,
                                 count, values + (size_t)c * COLUMNS, high);
            for (int c = 0; c < head->classes; c++) k->add_exp(values + (size_t)c * COLUMNS, high, sum, (size_t)count);
            float *scale = sum; // also the largest value: exp(0) over the sum
            for (int i = 0; i < count; i++) scale[i] = 1.0f / sum[i];
            if (out->confidence) {
                uint8_t *to = out->confidence + (size_t)y * out->stride + x;
                for (int i = 0; i < count; i++) // 0 where a logit is a NaN
                    to[i] = (uint8_t)(scale[i] > 0.0f ? (int)(255.0f * scale[i] + 0.5f) : 0);
            }
            for (int c = 0; c < head->classes && out->scores; c++) {
                const float *v = values + (size_t)c * COLUMNS;
                const size_t at = (size_t)c * plane + (size_t)y * (size_t)head->width + (size_t)x;
                if (out->half)
                    k->scale_f16(v, scale, (uint16_t *)out->scores + at, (size_t)count);
                else
                    k->scale_f32(v, scale, (float *)out->scores + at, (size_t)count);
            }
        }
    }
}
