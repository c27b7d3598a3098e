// Pixels to the device and results back, for one frame in flight.
#include "cuda/slot.h"

#include <string.h>

#include "cuda/builder.h"
#include "runtime/base/log.h"
#include "runtime/ranges.h"

enum { PLANE_ALIGN = 256, OVERLAY_PIXEL = 4 };

static size_t round_up(size_t bytes) {
    return (bytes + PLANE_ALIGN - 1) / PLANE_ALIGN * PLANE_ALIGN;
}

// Room for a host frame that is larger than the network's own. Once for each larger size, so not on the steady path.
static fs_status need_large(fs_slot *s, size_t bytes) {
    if (bytes <= s->large_bytes) return FS_OK;
    fs_log(FS_LOG_INFO, "a frame of %zu bytes is larger than the network's: more memory for it", bytes);
    uint8_t *device, *pinned;
    FS_CUDA(cudaMalloc((void **)&device, bytes), "allocating memory for a large frame");
    const fs_status status =
        fs_cuda_status(cudaHostAlloc((void **)&pinned, bytes, 0), "allocating pinned memory for a large frame");
    if (status != FS_OK) {
        cudaFree(device);
        return status;
    }
    if (s->large_frame) cudaFree(s->large_frame);
    if (s->large_pinned) cudaFreeHost(s->large_pinned);
    s->large_frame = device, s->large_pinned = pinned, s->large_bytes = bytes;
    return FS_OK;
}

static void copy_rows(uint8_t *to, size_t to_stride, const uint8_t *from, size_t from_stride, size_t row, size_t rows) {
    if (to_stride == row && from_stride == row) {
        memcpy(to, from, row * rows);
        return;
    }
    for (size_t y = 0; y < rows; y++) memcpy(to + y * to_stride, from + y * from_stride, row);
}

fs_status fs_slot_upload(fs_slot *s, cudaStream_t stream, fs_planes *planes, bool *copied) {
    const fs_frame *f = &s->given;
    size_t rows[4], row[4], offset[4], total = 0;
    for (int i = 0; i < 4; i++) {
        fs_plane_size(f, i, &rows[i], &row[i]);
        planes->plane[i] = f->plane[i], planes->stride[i] = f->stride[i];
        offset[i] = total;
        total += round_up(rows[i] * row[i]);
    }
    if (f->memory == FS_MEMORY_DEVICE) return FS_OK;
    const bool large = total > s->frame_bytes;
    if (large) FS_TRY(need_large(s, total));
    uint8_t *device = large ? s->large_frame : s->frame, *pinned = large ? s->large_pinned : s->pinned_frame;
    for (int i = 0; i < 4; i++) {
        if (rows[i] == 0) continue;
        const uint8_t *from = f->plane[i];
        size_t from_stride = f->stride[i];
        if (f->memory == FS_MEMORY_HOST) {
            copy_rows(pinned + offset[i], row[i], from, from_stride, row[i], rows[i]);
            from = pinned + offset[i], from_stride = row[i];
        }
        const cudaError_t error =
            from_stride == row[i]
                ? cudaMemcpyAsync(device + offset[i], from, row[i] * rows[i], cudaMemcpyHostToDevice, stream)
                : cudaMemcpy2DAsync(device + offset[i], row[i], from, from_stride, row[i], rows[i],
                                    cudaMemcpyHostToDevice, stream);
        FS_CUDA(error, "uploading the frame");
        *copied = true;
        planes->plane[i] = device + offset[i], planes->stride[i] = row[i];
    }
    return FS_OK;
}

static fs_status upload_lookup(fs_lookup *lookup, const void *given, size_t bytes, cudaStream_t stream, bool *copied,
                               const char *what) {
    if (given == NULL || (lookup->known && memcmp(given, lookup->pinned, bytes) == 0)) return FS_OK;
    memcpy(lookup->pinned, given, bytes);
    lookup->known = false;
    FS_CUDA(cudaMemcpyAsync(lookup->device, lookup->pinned, bytes, cudaMemcpyHostToDevice, stream), what);
    lookup->known = *copied = true;
    return FS_OK;
}

fs_status fs_slot_upload_lookups(fs_slot *s, cudaStream_t stream, bool *copied) {
    const fs_outputs *o = &s->outputs;
    const uint8_t *map = o->labels ? o->labels_map : NULL;
    FS_TRY(upload_lookup(&s->map, map, FS_LABEL_MAP, stream, copied, "uploading the label map"));
    return upload_lookup(&s->palette, o->overlay ? o->palette : NULL, FS_PALETTE, stream, copied,
                         "uploading the palette");
}

// A result as the caller sees it: rows of bytes.
typedef struct extent {
    uint8_t *caller; // NULL: not asked for
    size_t rows, row, stride;
} extent;

static extent extent_of(const fs_slot *s, const fs_graph *g, fs_result kind) {
    const fs_outputs *o = &s->outputs;
    const size_t h = (size_t)s->height, w = (size_t)s->width, classes = (size_t)g->model.classes;
    switch (kind) {
    case FS_RESULT_LABELS: return (extent){o->labels, h, w, o->labels_stride};
    case FS_RESULT_CONFIDENCE: return (extent){o->confidence, h, w, o->confidence_stride};
    case FS_RESULT_LOGITS: {
        const size_t bytes = classes * h * w * sizeof(float);
        return (extent){(uint8_t *)o->logits, 1, bytes, bytes};
    }
    case FS_RESULT_SCORES: {
        const size_t bytes = classes * h * w * (o->scores_f16 ? 2 : sizeof(float));
        return (extent){o->scores, 1, bytes, bytes};
    }
    case FS_RESULT_HISTOGRAM: {
        const size_t bytes = classes * sizeof(uint32_t);
        return (extent){(uint8_t *)o->histogram, 1, bytes, bytes};
    }
    case FS_RESULT_OVERLAY: return (extent){o->overlay, h, OVERLAY_PIXEL * w, o->overlay_stride};
    case FS_RESULTS: break;
    }
    return (extent){0};
}

bool fs_slot_keeps_classes(const fs_slot *s) {
    return s->outputs.histogram != NULL || s->outputs.overlay != NULL;
}

// Whether a result exists in the slot's own device memory.
static bool is_staged(const fs_slot *s, const extent *e, fs_result kind) {
    if (e->caller) return s->outputs.memory != FS_MEMORY_DEVICE;
    return kind == FS_RESULT_LABELS && fs_slot_keeps_classes(s);
}

// Room in a staging's device memory, and in its pinned memory.
static fs_status need(fs_staging *staging, size_t device, size_t pinned) {
    if (device > staging->device_room) {
        uint8_t *made;
        FS_CUDA(cudaMalloc((void **)&made, device), "allocating memory for an output");
        if (staging->device_room > staging->device_lent) cudaFree(staging->device);
        staging->device = made, staging->device_room = device, staging->device_lent = 0;
    }
    if (pinned > staging->pinned_room) {
        uint8_t *made;
        FS_CUDA(cudaHostAlloc((void **)&made, pinned, 0), "allocating pinned memory for an output");
        if (staging->pinned_room > staging->pinned_lent) cudaFreeHost(staging->pinned);
        staging->pinned = made, staging->pinned_room = pinned, staging->pinned_lent = 0;
    }
    return FS_OK;
}

static void release(fs_staging *staging) {
    if (staging->device_room > staging->device_lent) cudaFree(staging->device);
    if (staging->pinned_room > staging->pinned_lent) cudaFreeHost(staging->pinned);
}

void fs_slot_measure(fs_slot *s, const fs_graph *g) {
    s->height = s->outputs.at_frame_size ? s->given.height : g->height;
    s->width = s->outputs.at_frame_size ? s->given.width : g->width;
}

bool fs_slot_resizes(const fs_slot *s, const fs_graph *g) {
    return s->height != g->height || s->width != g->width;
}

// Fills the tables for the size of the frame's outputs on the host's side.
static fs_status need_tables(fs_slot *s, const fs_graph *g) {
    fs_size_tables *t = &s->tables;
    if (!fs_slot_resizes(s, g) || (t->height == s->height && t->width == s->width)) return FS_OK;
    const fs_tensor *logits = &g->tensor[g->logits];
    const size_t x_at = round_up((size_t)s->height * sizeof(fs_k_tap));
    const size_t starts_at = x_at + round_up((size_t)s->width * sizeof(fs_k_tap));
    const size_t bytes = starts_at + (size_t)(logits->h + logits->w + 2) * sizeof(int);
    t->height = t->width = 0; // until all is there
    FS_TRY(need(&t->staging, bytes, bytes));
    uint8_t *device = t->staging.device, *pinned = t->staging.pinned;
    int *starts = (int *)(void *)(pinned + starts_at);
    fs_fill_taps((fs_k_tap *)(void *)pinned, logits->h, s->height, g->model.align_final);
    fs_fill_taps((fs_k_tap *)(void *)(pinned + x_at), logits->w, s->width, g->model.align_final);
    fs_fill_starts(starts, logits->h, s->height, g->model.align_final);
    fs_fill_starts(starts + logits->h + 1, logits->w, s->width, g->model.align_final);
    t->tap_y = (const fs_k_tap *)(void *)device, t->tap_x = (const fs_k_tap *)(void *)(device + x_at);
    t->first_y = (const int *)(void *)(device + starts_at), t->first_x = t->first_y + logits->h + 1;
    t->height = s->height, t->width = s->width, t->uploaded = false;
    return FS_OK;
}

fs_status fs_slot_upload_tables(fs_slot *s, const fs_graph *g, cudaStream_t stream, bool *copied) {
    fs_size_tables *t = &s->tables;
    if (!fs_slot_resizes(s, g) || t->uploaded) return FS_OK;
    FS_CUDA(
        cudaMemcpyAsync(t->staging.device, t->staging.pinned, t->staging.pinned_room, cudaMemcpyHostToDevice, stream),
        "uploading the tables of a frame's size");
    t->uploaded = *copied = true;
    return FS_OK;
}

fs_status fs_slot_need(fs_slot *s, const fs_graph *g) {
    for (int kind = 0; kind < FS_RESULTS; kind++) {
        const extent e = extent_of(s, g, (fs_result)kind);
        const size_t bytes = e.rows * e.row;
        if (!is_staged(s, &e, (fs_result)kind)) continue;
        FS_TRY(need(&s->result[kind], bytes, e.caller && s->outputs.memory == FS_MEMORY_HOST ? bytes : 0));
    }
    return need_tables(s, g);
}

void *fs_slot_target(const fs_slot *s, const fs_graph *g, fs_result kind, long long *stride) {
    const extent e = extent_of(s, g, kind);
    const bool staged = is_staged(s, &e, kind);
    *stride = (long long)(staged ? e.row : e.stride);
    return staged ? s->result[kind].device : e.caller;
}

fs_status fs_slot_download(fs_slot *s, const fs_graph *g, cudaStream_t stream) {
    for (int kind = 0; kind < FS_RESULTS; kind++) {
        const extent e = extent_of(s, g, (fs_result)kind);
        if (e.caller == NULL) continue;
        const bool pinned = s->outputs.memory == FS_MEMORY_PINNED;
        uint8_t *to = pinned ? e.caller : s->result[kind].pinned;
        const uint8_t *from = s->result[kind].device;
        FS_CUDA(pinned && e.stride != e.row
                    ? cudaMemcpy2DAsync(to, e.stride, from, e.row, e.row, e.rows, cudaMemcpyDeviceToHost, stream)
                    : cudaMemcpyAsync(to, from, e.row * e.rows, cudaMemcpyDeviceToHost, stream),
                "downloading the results");
    }
    return FS_OK;
}

size_t fs_slot_device_bytes(const fs_slot *s) {
    size_t bytes = s->large_bytes + s->tables.staging.device_room;
    for (int kind = 0; kind < FS_RESULTS; kind++) bytes += s->result[kind].device_room - s->result[kind].device_lent;
    return bytes;
}

size_t fs_slot_pinned_bytes(const fs_slot *s) {
    size_t bytes = s->large_bytes + s->tables.staging.pinned_room;
    for (int kind = 0; kind < FS_RESULTS; kind++) bytes += s->result[kind].pinned_room - s->result[kind].pinned_lent;
    return bytes;
}

static void deliver(const fs_slot *s) {
    if (s->outputs.memory != FS_MEMORY_HOST) return;
    for (int kind = 0; kind < FS_RESULTS; kind++) {
        const extent e = extent_of(s, s->graph, (fs_result)kind);
        if (e.caller) copy_rows(e.caller, e.stride, s->result[kind].pinned, e.row, e.row, e.rows);
    }
}

void fs_slot_end(fs_slot *s, fs_status status) {
    const int state = atomic_exchange(&s->state, FS_SLOT_OVER);
    if (state == FS_SLOT_OVER) return;
    if (state == FS_SLOT_CANCELLED) status = FS_ERR_CANCELLED;
    if (status == FS_OK) deliver(s);
    atomic_store(&s->outcome, status);
    if (s->done) s->done(s->done_user, s->ticket, status);
}

// The driver does not call it after a failure of the device.
static void CUDART_CB ended(void *slot) {
    fs_slot_end(slot, FS_OK);
}

fs_status fs_slot_tell(fs_slot *s, cudaStream_t stream) {
    if (s->done == NULL) return FS_OK;
    return fs_cuda_status(cudaLaunchHostFunc(stream, ended, s), "enqueueing the callback");
}

cudaEvent_t fs_slot_last(const fs_slot *s) {
    return s->outputs.memory == FS_MEMORY_DEVICE && s->done == NULL ? s->computed : s->out;
}

void fs_slot_close(fs_slot *s) {
    fs_replay_close(&s->replay);
    if (s->in) cudaEventDestroy(s->in);
    if (s->computed) cudaEventDestroy(s->computed);
    if (s->out) cudaEventDestroy(s->out);
    if (s->large_frame) cudaFree(s->large_frame);
    if (s->large_pinned) cudaFreeHost(s->large_pinned);
    for (int kind = 0; kind < FS_RESULTS; kind++) release(&s->result[kind]);
    release(&s->tables.staging);
}
