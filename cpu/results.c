// Where classes go and what is made of them, row by row, by the worker that has just computed them.
#include "cpu/results.h"

#include "runtime/base/mem.h"

bool fs_results_classes(const fs_outputs *o) {
    return o->labels || o->histogram || o->overlay;
}

bool fs_results_map_late(const fs_outputs *o) {
    return o->overlay && o->labels && o->labels_map;
}

fs_status fs_results_prepare(fs_results *r, const fs_head *network, const fs_frame *f, const fs_outputs *o) {
    const fs_head *head = network;
    if (o->at_frame_size && (f->height != network->height || f->width != network->width)) {
        if (r->own.height != f->height || r->own.width != f->width)
            FS_TRY(fs_head_resize(&r->own, network, f->height, f->width));
        head = &r->own;
    }
    const size_t bytes = (size_t)head->height * (size_t)head->width;
    if (fs_results_classes(o) && o->labels == NULL && bytes > r->room) {
        uint8_t *grown = fs_malloc(bytes, 1);
        if (grown == NULL) return fs_fail(FS_ERR_MEMORY, "out of memory for the classes of %zu pixels", bytes);
        fs_free(r->classes);
        r->classes = grown, r->room = bytes;
    }
    r->head = head;
    return FS_OK;
}

void fs_results_free(fs_results *r) {
    fs_head_free(&r->own);
    fs_free(r->classes);
    *r = (fs_results){0};
}

size_t fs_results_bytes(const fs_results *r) {
    return r->own.room + r->room;
}

uint8_t *fs_results_row(const fs_results *r, const fs_outputs *o, int y, size_t *stride) {
    *stride = o->labels ? o->labels_stride : (size_t)r->head->width;
    return (o->labels ? o->labels : r->classes) + (size_t)y * *stride;
}

void fs_results_finish(const fs_results *r, const fs_outputs *o, int y0, int y1) {
    if (o->labels == NULL || o->labels_map == NULL) return;
    for (int y = y0; y < y1; y++) {
        uint8_t *row = o->labels + (size_t)y * o->labels_stride;
        for (int x = 0; x < r->head->width; x++) row[x] = o->labels_map[row[x]];
    }
}

void fs_results_count(const uint8_t *row, int width, uint32_t *counts) {
    for (int x = 0; x < width; x++) counts[row[x]]++;
}

void fs_results_histogram(const uint32_t (*counts)[256], int threads, int classes, uint32_t *histogram) {
    for (int c = 0; c < classes; c++) {
        uint32_t sum = 0;
        for (int t = 0; t < threads; t++) sum += counts[t][c];
        histogram[c] = sum;
    }
}
