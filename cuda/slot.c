// Pixels to the device and results back, for one frame in flight.
#include "cuda/slot.h"

#include <string.h>

#include "runtime/base/log.h"

enum { LABEL_MAP = 256, PLANE_ALIGN = 256 };

static size_t round_up(size_t bytes) {
    return (bytes + PLANE_ALIGN - 1) / PLANE_ALIGN * PLANE_ALIGN;
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

fs_status fs_slot_upload_map(fs_slot *s, cudaStream_t stream, bool *copied) {
    const uint8_t *map = s->outputs.labels ? s->outputs.labels_map : NULL;
    if (map == NULL || (s->map_known && memcmp(map, s->pinned_map, LABEL_MAP) == 0)) return FS_OK;
    memcpy(s->pinned_map, map, LABEL_MAP);
    s->map_known = false;
    FS_CUDA(cudaMemcpyAsync(s->map, s->pinned_map, LABEL_MAP, cudaMemcpyHostToDevice, stream),
            "uploading the label map");
    s->map_known = *copied = true;
    return FS_OK;
}

static size_t logits_bytes(const fs_graph *g) {
    return (size_t)g->model.classes * (size_t)g->height * (size_t)g->width * sizeof(float);
}

static size_t pixels_of(const fs_graph *g) {
    return (size_t)g->height * (size_t)g->width;
}

fs_status fs_slot_need_planes(fs_slot *s, const fs_graph *g) {
    const bool staged = s->outputs.memory == FS_MEMORY_HOST;
    if (s->outputs.logits) {
        const size_t bytes = logits_bytes(g);
        if (s->logits == NULL) FS_CUDA(cudaMalloc((void **)&s->logits, bytes), "allocating memory for logits");
        if (staged && s->pinned_logits == NULL)
            FS_CUDA(cudaHostAlloc((void **)&s->pinned_logits, bytes, 0), "allocating pinned memory for logits");
    }
    if (s->outputs.confidence) {
        if (s->confidence == NULL)
            FS_CUDA(cudaMalloc((void **)&s->confidence, pixels_of(g)), "allocating memory for confidence");
        if (staged && s->pinned_confidence == NULL)
            FS_CUDA(cudaHostAlloc((void **)&s->pinned_confidence, pixels_of(g), 0),
                    "allocating pinned memory for confidence");
    }
    return FS_OK;
}

// A plane of bytes to the caller's pinned memory, or to ours.
static cudaError_t download_bytes(const fs_slot *s, const fs_graph *g, uint8_t *caller, size_t stride, uint8_t *ours,
                                  const uint8_t *from, cudaStream_t stream) {
    const size_t width = (size_t)g->width, height = (size_t)g->height;
    const bool pinned = s->outputs.memory == FS_MEMORY_PINNED;
    uint8_t *to = pinned ? caller : ours;
    return pinned && stride != width
               ? cudaMemcpy2DAsync(to, stride, from, width, width, height, cudaMemcpyDeviceToHost, stream)
               : cudaMemcpyAsync(to, from, width * height, cudaMemcpyDeviceToHost, stream);
}

fs_status fs_slot_download(fs_slot *s, const fs_graph *g, cudaStream_t stream) {
    const fs_outputs *o = &s->outputs;
    if (o->labels)
        FS_CUDA(download_bytes(s, g, o->labels, o->labels_stride, s->pinned_labels, s->labels, stream),
                "downloading the labels");
    if (o->confidence)
        FS_CUDA(download_bytes(s, g, o->confidence, o->confidence_stride, s->pinned_confidence, s->confidence, stream),
                "downloading the confidence");
    if (o->logits) {
        float *to = o->memory == FS_MEMORY_PINNED ? o->logits : s->pinned_logits;
        FS_CUDA(cudaMemcpyAsync(to, s->logits, logits_bytes(g), cudaMemcpyDeviceToHost, stream),
                "downloading the logits");
    }
    return FS_OK;
}

static void deliver(const fs_slot *s) {
    const fs_graph *g = s->graph;
    const fs_outputs *o = &s->outputs;
    if (o->memory != FS_MEMORY_HOST) return;
    if (o->logits) memcpy(o->logits, s->pinned_logits, logits_bytes(g));
    if (o->labels)
        copy_rows(o->labels, o->labels_stride, s->pinned_labels, (size_t)g->width, (size_t)g->width, (size_t)g->height);
    if (o->confidence)
        copy_rows(o->confidence, o->confidence_stride, s->pinned_confidence, (size_t)g->width, (size_t)g->width,
                  (size_t)g->height);
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
    if (s->logits) cudaFree(s->logits);
    if (s->pinned_logits) cudaFreeHost(s->pinned_logits);
    if (s->confidence) cudaFree(s->confidence);
    if (s->pinned_confidence) cudaFreeHost(s->pinned_confidence);
}
