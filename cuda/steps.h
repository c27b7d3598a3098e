// A plan's steps as nodes over device memory: which kernels run, in which order, on which pointers.
#ifndef FS_CUDA_STEPS_H
#define FS_CUDA_STEPS_H

#include "cuda/engine.h"
#include "cuda/node.h"

enum { FS_MAX_NODES = 2 * FS_MAX_OPS, FS_EVERY_ROUTE = -1 };

// The nodes of a frame in execution order. A step may have several routes: layer by layer (route 0), or by fused
// kernels. Nodes of all routes stand side by side; those of the chosen one are active.
//
// Some nodes depend on the frame at hand (its pointers, format, outputs) and are filled in by the session: `frame`
// converts or resizes into the network's own u8 frame where that is needed, `reader` (what the first step begins with)
// reads the frame; `labels`, `overlay`, `tally` (counts classes, applies the map), `total` (adds the counts up) and
// `planes` write what was asked for.
typedef struct fs_nodes {
    fs_node node[FS_MAX_NODES];
    int count;
    int routes[FS_MAX_OPS]; // by step, 1: only layers
    int route[FS_MAX_OPS];  // the chosen one
    int frame, reader, labels, overlay, tally, total, planes;
    // Sizes in bytes of the session's device memory behind the arena, and where they lie.
    size_t scratch, tables;
} fs_nodes;

// Whether the kernels run a step as one, and how many launches it takes where no route is timed, on a machine (NULL: an
// H100).
bool fs_steps_supports(const fs_program *program, const fs_step *step);
int fs_steps_launches(const fs_program *program, const fs_step *step, fs_precision precision,
                      const fs_roofline *machine);

// Whether a node belongs to its step's chosen route.
bool fs_nodes_active(const fs_nodes *nodes, int index);
// Kernels of a step by its chosen route, without those that a frame may do without.
int fs_nodes_launches(const fs_nodes *nodes, int step);
// Chooses a route for a step, and finds the reader again.
void fs_nodes_take(fs_nodes *nodes, int step, int route);
// The route of a step where none is timed: the most fused one, but for bottlenecks of fewer tiles than the GPU has
// processors for, whose channels are spread instead.
int fs_steps_first_route(const fs_nodes *nodes, const fs_plan *plan, int processors, int step);
// Whether a node of this family reads the frame.
bool fs_nodes_reads(const fs_node *node);

// Device memory of a session as one block: the plan's arena, scratch of single steps, tables. Measures with base ==
// NULL: only nodes->scratch and nodes->tables are meaningful then.
size_t fs_steps_arena(const fs_plan *plan); // bytes in front of the scratch
// Builds the nodes. With base != NULL, `tables` (nodes->tables bytes of zeros on the host) receives what must be copied
// to base + arena + scratch before the first frame.
fs_status fs_steps_build(fs_nodes *nodes, const fs_cuda_engine *engine, const fs_plan *plan, char *base, char *tables);

#endif
