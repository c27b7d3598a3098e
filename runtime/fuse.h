// Fusion: the graph's operations grouped into steps by an ordered list of small named rewrites.
#ifndef FS_RUNTIME_FUSE_H
#define FS_RUNTIME_FUSE_H

#include "runtime/graph.h"

typedef enum fs_step_kind {
    FS_STEP_OP,         // one operation, not fused
    FS_STEP_CONV,       // conv or depthwise (+ add) (+ relu)
    FS_STEP_STEM,       // normalise + conv (+ relu)
    FS_STEP_DSCONV,     // depthwise (+ relu) + pointwise (+ relu)
    FS_STEP_LTD,        // stem + DSConv (+ DSConv)
    FS_STEP_BOTTLENECK, // expand + depthwise + project (+ add)
    FS_STEP_PPM,        // pools, branches, resizes, concat and the output convolution
    FS_STEP_FFM,        // resize + depthwise + pointwise, + pointwise of the skip, add, relu
    FS_STEP_CLASSIFIER, // DSConvs + final pointwise
    FS_STEP_HEAD,       // resize + argmax
    FS_STEP_KINDS
} fs_step_kind;

const char *fs_step_kind_name(fs_step_kind kind);

enum { FS_MAX_STEP_OPS = 32 };

// Operations that one kernel (or one fused loop) computes together. Running op[] one by one gives the same result.
typedef struct fs_step {
    fs_step_kind kind;
    char name[FS_NAME];
    int op[FS_MAX_STEP_OPS], ops;  // indices into graph->op, in execution order
    int in[FS_MAX_INPUTS], inputs; // tensors made outside
    int out;                       // the one tensor used outside
} fs_step;

typedef struct fs_program {
    fs_graph graph;
    fs_step step[FS_MAX_OPS]; // in execution order
    int steps;
} fs_program;

// The rewrites in the order they run; rewrite i has bit 1 << i.
typedef struct fs_rewrite {
    const char *name; // "conv-relu"
    const char *what; // one sentence
} fs_rewrite;
extern const fs_rewrite fs_rewrites[];
extern const int fs_rewrite_count;

// Comma-separated names ("head,ppm"; "all"; NULL or "" for none) to a mask. FS_ERR_ARGUMENT lists the names.
fs_status fs_rewrites_parse(const char *names, unsigned *mask);

// Whether a backend can run a fused step; a declined merge leaves the parts as they were.
typedef bool (*fs_supports_fn)(void *user, const fs_program *program, const fs_step *step);

// Makes one step per operation of program->graph, then applies every rewrite whose bit is not in `off`.
// supports == NULL accepts all.
void fs_fuse(fs_program *program, unsigned off, fs_supports_fn supports, void *user);

#endif
