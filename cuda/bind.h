// The launches of a frame that depend on it.
#ifndef FS_CUDA_BIND_H
#define FS_CUDA_BIND_H

#include "cuda/slot.h"

// What they are made from, of one session.
typedef struct fs_binder {
    const fs_graph *graph;
    const fs_nodes *nodes;
    uint8_t *net_frame; // device: the frame at the network's size, when it comes in another one or in YUV
    int sm;
} fs_binder;

// Where stem or normalise finds its pixels.
void fs_bind_reader(fs_node *reader, const uint8_t *frame, size_t stride, int pixel, const int order[4]);
// The launches of the frame in `slot`, whose pixels are at `planes`. Launches of disabled nodes are left as they are.
fs_status fs_bind_frame(const fs_binder *binder, const fs_slot *slot, const fs_planes *planes, fs_binding *binding);

#endif
