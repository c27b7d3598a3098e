// A frame's nodes captured once as a CUDA graph and replayed; the few launches that depend on the frame are replaced in
// place.
#ifndef FS_CUDA_REPLAY_H
#define FS_CUDA_REPLAY_H

#include "cuda/marks.h"
#include "cuda/run.h"
#include "runtime/base/trace.h"

// The nodes that depend on the frame, in execution order.
typedef enum fs_bound {
    FS_BOUND_FRAME,
    FS_BOUND_READER,
    FS_BOUND_LABELS,
    FS_BOUND_OVERLAY,
    FS_BOUND_TALLY,
    FS_BOUND_TOTAL,
    FS_BOUND_PLANES,
    FS_BOUNDS
} fs_bound;

// Their launches for one frame, and which of them run at all.
typedef struct fs_binding {
    fs_launch launch[FS_BOUNDS];
    bool enabled[FS_BOUNDS];
} fs_binding;

// The index in nodes->node of a bound node.
int fs_bound_node(const fs_nodes *nodes, fs_bound bound);
// Which bound node an index in nodes->node is; -1: none.
int fs_bound_of(const fs_nodes *nodes, int index);

// Runs the enabled nodes on a stream, one launch after the other; `launches` by node, those of bound nodes come from
// `binding`. With `names` (by step) each launch stands in a range of its step. With `marks` an event stands before each
// step, and none starts before the one that precedes it has ended.
fs_status fs_run_nodes(const fs_runner *runner, const fs_nodes *nodes, const fs_launch *launches,
                       const fs_binding *binding, cudaStream_t stream, const fs_trace_name *names, fs_marks *marks);

typedef struct fs_capture {
    cudaGraph_t graph;
    cudaGraphNode_t node[FS_BOUNDS];
} fs_capture;

// Captures all nodes, disabled ones too, in thread-local mode: other threads may go on with what they do. On failure
// nothing is left capturing.
fs_status fs_capture_take(const fs_runner *runner, const fs_nodes *nodes, const fs_launch *launches,
                          const fs_binding *binding, cudaStream_t stream, fs_capture *graph);
void fs_capture_free(fs_capture *graph); // accepts a zeroed one

// An executable copy of a captured graph, and the binding that it holds now.
typedef struct fs_replay {
    cudaGraphExec_t exec;
    fs_binding bound;
} fs_replay;

// Instantiates and uploads. `binding` is the one that was captured.
fs_status fs_replay_open(const fs_capture *graph, const fs_binding *binding, cudaStream_t stream, fs_replay *replay);
void fs_replay_close(fs_replay *replay); // accepts a zeroed one
// Brings the graph to `binding` where it differs.
fs_status fs_replay_bind(const fs_capture *graph, fs_replay *replay, const fs_binding *binding);
// The same, then launches it. No synchronisation, no allocation.
fs_status fs_replay_run(const fs_capture *graph, fs_replay *replay, const fs_binding *binding, cudaStream_t stream);

#endif
