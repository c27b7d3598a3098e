// A slot: what one frame in flight has to itself, and how its pixels come in and its results go out.
#ifndef FS_CUDA_SLOT_H
#define FS_CUDA_SLOT_H

#include <stdatomic.h>

#include "cuda/replay.h"
#include "runtime/backend.h"

// What a frame may ask for.
typedef enum fs_result {
    FS_RESULT_LABELS,
    FS_RESULT_LOGITS,
    FS_RESULT_CONFIDENCE,
    FS_RESULT_HISTOGRAM,
    FS_RESULT_SCORES,
    FS_RESULT_OVERLAY,
    FS_RESULTS
} fs_result;

// A result on its way: where the kernels write it, and where it waits for the caller. Made when first needed and grown,
// but for labels of the network's size, whose memory is lent by the session's blocks.
typedef struct fs_staging {
    uint8_t *device, *pinned;
    size_t device_room, pinned_room; // bytes
    size_t device_lent, pinned_lent; // of the room: not ours to free
} fs_staging;

// A small table of the caller's, by label or class.
enum { FS_LABEL_MAP = 256, FS_PALETTE = 256 * 3 }; // bytes
typedef struct fs_lookup {
    uint8_t *device, *pinned;
    bool known; // what it holds
} fs_lookup;

// OVER: told and handed over, or empty. Whoever takes a slot to OVER does both.
typedef enum fs_slot_state { FS_SLOT_OVER, FS_SLOT_QUEUED, FS_SLOT_CANCELLED } fs_slot_state;

// Where each output row and column lies between the logits, for outputs of the frame's size.
typedef struct fs_size_tables {
    fs_staging staging;
    int height, width; // that they are for, 0: none
    bool uploaded;
    const fs_k_tap *tap_y, *tap_x; // on the device
    const int *first_y, *first_x;
} fs_size_tables;

typedef struct fs_slot {
    // Device and pinned memory, parts of the session's blocks: a host frame's bytes, the label map, the palette.
    uint8_t *frame, *pinned_frame;
    size_t frame_bytes; // room
    fs_lookup map, palette;
    // Made when first needed: for host frames larger than the room.
    uint8_t *large_frame, *large_pinned;
    size_t large_bytes;
    fs_staging result[FS_RESULTS];
    fs_size_tables tables;
    cudaEvent_t in, computed, out; // upload done; kernels done; results at hand
    fs_replay replay;
    // Of the frame that is in it.
    fs_frame given;
    fs_outputs outputs;
    int height, width; // of the outputs
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

// Copies the frame's pixels to the device, on `stream`: from host memory through the slot's pinned memory, so that the
// caller's may be pageable; from pinned memory directly. Device memory is taken as it is. Sets *copied when something
// was enqueued.
fs_status fs_slot_upload(fs_slot *slot, cudaStream_t stream, fs_planes *planes, bool *copied);
// The label map and the palette, when the frame needs one and it differs from the slot's.
fs_status fs_slot_upload_lookups(fs_slot *slot, cudaStream_t stream, bool *copied);
// Enqueues what brings results to the host.
fs_status fs_slot_download(fs_slot *slot, const fs_graph *graph, cudaStream_t stream);
// Fills in the size of the outputs of the frame in the slot.
void fs_slot_measure(fs_slot *slot, const fs_graph *graph);
// Whether they are of another size than the network.
bool fs_slot_resizes(const fs_slot *slot, const fs_graph *graph);
// The tables of that size, where they are not there yet; fs_slot_need has made them.
fs_status fs_slot_upload_tables(fs_slot *slot, const fs_graph *graph, cudaStream_t stream, bool *copied);
// Whether the classes are needed for more than to be handed over: then they are mapped after that, and exist even where
// the frame asks for no labels.
bool fs_slot_keeps_classes(const fs_slot *slot);
// Memory for what the frame asks for, where it is not there yet. Once for each kind and larger size, so not on the
// steady path.
fs_status fs_slot_need(fs_slot *slot, const fs_graph *graph);
// Where a kernel writes a result, and the bytes from one row to the next; NULL when the frame does not need it.
void *fs_slot_target(const fs_slot *slot, const fs_graph *graph, fs_result kind, long long *stride);
size_t fs_slot_device_bytes(const fs_slot *slot); // beside the session's blocks
size_t fs_slot_pinned_bytes(const fs_slot *slot);
// Enqueues fs_slot_end behind the results, when somebody is to be told.
fs_status fs_slot_tell(fs_slot *slot, cudaStream_t stream);
// Ends the frame, once, however often it is called: hands results over to the caller's memory when `status` is FS_OK
// and it was not cancelled, and tells of it. Results must be at hand. Nothing of the handing over can fail, so that
// host memory is written by frames that succeed and by no other.
void fs_slot_end(fs_slot *slot, fs_status status);
// The event behind all that the frame does.
cudaEvent_t fs_slot_last(const fs_slot *slot);
void fs_slot_close(fs_slot *slot);

#endif
