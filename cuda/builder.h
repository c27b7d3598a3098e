// What building nodes takes, step by step: memory behind the arena, tables, and the nodes of single layers.
#ifndef FS_CUDA_BUILDER_H
#define FS_CUDA_BUILDER_H

#include "cuda/steps.h"

enum { FS_STEM_OPS = 3 }; // that make the stem: normalise, convolution, ReLU

typedef struct fs_builder {
    fs_nodes *nodes;
    const fs_cuda_engine *engine;
    const fs_plan *plan;
    const fs_graph *graph;
    char *base;                    // NULL: measure
    char *tables;                  // host copy of the tables
    size_t scratch_at, table_at;   // where scratch and tables begin behind base
    size_t scratch_used;           // of the route at hand
    fs_status status;              // the first failure of asking the device
    const fs_k_tap *tap_y, *tap_x; // of the step at hand: made by its layers, used by its fused routes as well
    void *inner[FS_MAX_TENSORS];   // where tensors inside the step at hand lie, on its way layer by layer
} fs_builder;

const fs_op *fs_step_op(const fs_program *program, const fs_step *step, int i);
size_t fs_build_round_up(size_t bytes); // to what memory is aligned to
size_t fs_build_element_bytes(const fs_builder *b);

// Scratch of the route at hand; steps share it, since one ends before the next begins.
void *fs_build_scratch(fs_builder *b, size_t bytes);
// Room in the tables: the host's copy to fill (zeros; NULL when measuring) and the address on the device.
void *fs_build_table(fs_builder *b, size_t bytes, const void **device);
void fs_fill_taps(fs_k_tap *taps, int in, int out, bool align);
// first[i], i <= in: the first output coordinate whose lower tap is >= i; first[in] = out.
void fs_fill_starts(int *first, int in, int out, bool align);
const fs_k_tap *fs_build_taps(fs_builder *b, int in, int out, bool align);

fs_map fs_build_map(const fs_builder *b, int tensor);
bool fs_build_is_logit(const fs_builder *b, int tensor);

// An empty node of the route at hand.
fs_node *fs_build_node(fs_builder *b, fs_family family, int step);
void fs_build_conv(fs_builder *b, int step, const fs_op *op, fs_map in, fs_map residual, int out, bool relu,
                   const fs_cuda_layer *layer);
// One convolution with what follows it: `ops` operations from `first` on.
void fs_build_group(fs_builder *b, int index, const fs_step *step, int first, int ops);
fs_stem_params fs_build_stem_params(const fs_builder *b, const fs_op *conv, fs_map out);
// A step layer by layer, from one of its operations on.
void fs_build_layers(fs_builder *b, int index, const fs_step *step, int begin);

// Adds the fused routes of a step behind its layers (cuda/routes.c); those that no kernel takes are left out.
void fs_build_routes(fs_builder *b, int index, const fs_step *step);

#endif
