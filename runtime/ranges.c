// Registers what profilers see of a session, and counts the bytes of frames and outputs.
#include "runtime/ranges.h"

void fs_ranges_register(fs_ranges *r, const fs_program *program) {
    static const char *const names[FS_RANGES] = {
        [FS_RANGE_OPEN] = "open",         [FS_RANGE_TUNE] = "tune",        [FS_RANGE_CAPTURE] = "capture",
        [FS_RANGE_SUBMIT] = "submit",     [FS_RANGE_UPLOAD] = "upload",    [FS_RANGE_LAUNCH] = "launch",
        [FS_RANGE_DOWNLOAD] = "download", [FS_RANGE_WAIT] = "wait",        [FS_RANGE_FRAME] = "frame",
        [FS_RANGE_INPUT] = "input",       [FS_MARK_BYTES_IN] = "bytes in", [FS_MARK_BYTES_OUT] = "bytes out"};
    for (int i = 0; i < FS_RANGES; i++) r->name[i] = fs_trace_register(names[i]);
    for (int i = 0; i < program->steps; i++) r->step[i] = fs_trace_register(program->step[i].name);
}

void fs_ranges_mark(const fs_ranges *r, const fs_frame *frame, const fs_outputs *outputs, const fs_graph *graph) {
    if (!fs_trace_active()) return;
    fs_trace_mark(r->name[FS_MARK_BYTES_IN], fs_frame_bytes(frame));
    fs_trace_mark(r->name[FS_MARK_BYTES_OUT], fs_outputs_bytes(outputs, frame, graph));
}

void fs_plane_size(const fs_frame *f, int plane, size_t *rows, size_t *row_bytes) {
    const size_t w = (size_t)f->width, h = (size_t)f->height, half_w = (w + 1) / 2, half_h = (h + 1) / 2;
    *rows = plane == 0 ? h : 0, *row_bytes = w;
    switch (f->format) {
    case FS_RGB8:
    case FS_BGR8: *row_bytes = 3 * w; break;
    case FS_RGBA8:
    case FS_BGRA8: *row_bytes = 4 * w; break;
    case FS_NV12:
        *row_bytes = plane == 0 ? w : 2 * half_w;
        if (plane == 1) *rows = half_h;
        break;
    case FS_I420:
        *row_bytes = plane == 0 ? w : half_w;
        if (plane == 1 || plane == 2) *rows = half_h;
        break;
    case FS_GRAY8: break;
    case FS_PLANAR_F32:
        *row_bytes = w * sizeof(float);
        if (f->plane[plane]) *rows = h;
        break;
    }
}

size_t fs_frame_bytes(const fs_frame *f) {
    size_t bytes = 0;
    for (int i = 0; i < 4; i++) {
        size_t rows, row;
        fs_plane_size(f, i, &rows, &row);
        bytes += rows * row;
    }
    return bytes;
}

size_t fs_outputs_bytes(const fs_outputs *o, const fs_frame *f, const fs_graph *g) {
    const size_t pixels =
        o->at_frame_size ? (size_t)f->height * (size_t)f->width : (size_t)g->height * (size_t)g->width;
    size_t bytes = 0;
    if (o->labels) bytes += pixels;
    if (o->logits) bytes += pixels * (size_t)g->model.classes * sizeof(float);
    if (o->scores) bytes += pixels * (size_t)g->model.classes * (o->scores_f16 ? 2 : sizeof(float));
    if (o->confidence) bytes += pixels;
    if (o->overlay) bytes += 4 * pixels;
    if (o->histogram) bytes += (size_t)g->model.classes * sizeof *o->histogram;
    return bytes;
}
