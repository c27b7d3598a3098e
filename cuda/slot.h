// A slot: what one frame in flight has to itself, and how its pixels come in and its results go out.
#ifndef FS_CUDA_SLOT_H
#define FS_CUDA_SLOT_H

#include <stdatomic.h>

#include "cuda/replay.h"
#include "runtime/backend.h"

// OVER: told and handed over, or empty. Whoever takes a slot to OVER does both.
typedef enum fs_slot_state { FS_SLOT_OVER, FS_SLOT_QUEUED, FS_SLOT_CANCELLED } fs_slot_state;

typedef struct fs_slot {
    // Device and pinned memory, parts of the session's blocks: a host frame's bytes, labels, the label map.
    uint8_t *frame, *pinned_frame;
    size_t frame_bytes; // room
    uint8_t *labels, *pinned_labels;
    uint8_t *map, *pinned_map;
    bool map_known;
    // Made when first needed, because few need them: for host frames larger than the room, and for logits and
    // confidence to the host.
    uint8_t *large_frame, *large_pinned;
    size_t large_bytes;
    float *logits, *pinned_logits;
    uint8_t *confidence, *pinned_confidence;
    cudaEvent_t in, computed, out; // upload done; kernels done; results at hand
    fs_replay replay;
    // Of the frame that is in it.
    fs_frame given;
    fs_outputs outputs;
    uint64_t ticket;
    // fs_slot_state, and how the frame ended (fs_status). With a callback the driver's thread writes them, too.
    atomic_int state, outcome;
    // Of the session.
    const fs_graph *graph;
    fs_done_fn done; // NULL: nobody is told
    void *done_user;
} fs_slot;

// Where a frame's planes are on the device once they are there: the caller's own memory, or the slot's with rows
// packed.
typedef struct fs_planes {
    const uint8_t *plane[4];
    size_t stride[4];
} fs_planes;

// Rows and bytes per row of a plane; 0 rows where the format has no such plane.
void fs_plane_size(const fs_frame *frame, int plane, size_t *rows, size_t *row_bytes);
// Copies the frame's pixels to the device, on `stream`: from host memory through the slot's pinned memory, so that the
// caller's may be pageable; from pinned memory directly. Device memory is taken as it is. Sets *copied when something
// was enqueued.
fs_status fs_slot_upload(fs_slot *slot, cudaStream_t stream, fs_planes *planes, bool *copied);
// The label map, when the frame has one and it differs from the slot's.
fs_status fs_slot_upload_map(fs_slot *slot, cudaStream_t stream, bool *copied);
// Enqueues what brings results to the host.
fs_status fs_slot_download(fs_slot *slot, const fs_graph *graph, cudaStream_t stream);
// Enqueues fs_slot_end behind the results, when somebody is to be told.
fs_status fs_slot_tell(fs_slot *slot, cudaStream_t stream);
// Ends the frame, once, however often it is called: hands results over to the caller's memory when `status` is FS_OK
// and it was not cancelled, and tells of it. Results must be at hand. Nothing of the handing over can fail, so that
// host memory is written by frames that succeed and by no other.
void fs_slot_end(fs_slot *slot, fs_status status);
// The event behind all that the frame does.
cudaEvent_t fs_slot_last(const fs_slot *slot);
// Memory for logits and confidence on their way to the host, where the frame asks for them.
fs_status fs_slot_need_planes(fs_slot *slot, const fs_graph *graph);
void fs_slot_close(fs_slot *slot);

#endif
