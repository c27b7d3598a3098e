// The plan: a fused program with its memory layout and costs. Plain data: printable, comparable, testable without a
// device.
#ifndef FS_RUNTIME_PLAN_H
#define FS_RUNTIME_PLAN_H

#include <stddef.h>
#include <stdint.h>

#include "runtime/base/text.h"
#include "runtime/fuse.h"

typedef enum fs_precision { FS_PRECISION_AUTO, FS_FP32, FS_BF16, FS_FP16, FS_INT8 } fs_precision; // as fscnn_precision
const char *fs_precision_name(fs_precision precision);
size_t fs_precision_bytes(fs_precision precision); // of one activation

typedef struct fs_placement {
    bool used;          // lives in the arena (false: inside a fused step, or the caller's frame or labels)
    size_t offset;      // bytes from the arena's start, a multiple of FS_ALIGNMENT
    size_t bytes;       // h * w * channel_stride * element size
    int channel_stride; // channels per pixel in memory
    int first, last;    // steps between which it is alive, inclusive
} fs_placement;

typedef struct fs_cost {
    double flops;         // 2 per multiply-add
    double read, written; // bytes of activations, frame and labels
    double weights;       // bytes
} fs_cost;

typedef struct fs_plan {
    fs_program program;
    fs_precision precision;
    fs_placement place[FS_MAX_TENSORS]; // by tensor
    size_t arena_bytes;
    fs_cost cost[FS_MAX_OPS];         // by step
    int launches[FS_MAX_OPS];         // by step: kernels (CPU: barriers) that it takes
    const char *backend;              // name of what it is for; static, NULL before
    char kernels[FS_NAME];            // whose they are ("own", "onednn"), set by the backend; "" before
    char tactic[FS_MAX_OPS][FS_NAME]; // by step, set by the backend when it has chosen; "" before
} fs_plan;

// A named machine for the roofline. flops per second at `precision`, bytes per second, seconds per launch.
typedef struct fs_roofline {
    const char *name;        // "h100"
    const char *description; // "NVIDIA H100 SXM, nominal"
    double fp32, half, int8; // operations per second (2 per multiply-add), dense; half: bf16/fp16
    double bandwidth;        // bytes per second
    double launch;           // seconds per dependent launch inside a replayed graph; CPU: per step barrier
    int sm, processors;      // GPUs: 90 for compute capability 9.0; multiprocessors
} fs_roofline;

typedef struct fs_plan_options {
    fs_precision precision;  // a concrete one
    unsigned rewrites_off;   // mask of fs_rewrites
    bool no_reuse;           // every tensor its own memory (to test that reuse changes nothing)
    int channel_multiple;    // channel_stride is rounded up to it; 0 means 1
    fs_supports_fn supports; // NULL accepts all
    void *supports_user;
    // See fs_backend; both NULL: one a step.
    int (*launches)(const fs_program *program, const fs_step *step, fs_precision precision);
    int (*launches_on)(const fs_program *program, const fs_step *step, fs_precision precision,
                       const fs_roofline *machine);
    const fs_roofline *machine; // NULL: none in particular
} fs_plan_options;

// Builds graph, steps, memory plan and costs. The frame and the labels are the caller's and not placed.
fs_status fs_plan_build(fs_plan *plan, const fs_model *model, int height, int width, const fs_plan_options *options);

// Packs lifetimes into one arena: largest first, each into the lowest gap that is free for its whole life.
void fs_memory_plan(fs_plan *plan, bool no_reuse);

// Fills cost[] from the steps and the sizes in place[]. A step reads each tensor made outside once and writes its
// output once; what stays inside costs nothing.
void fs_plan_cost(fs_plan *plan);

// NULL when unknown; fs_roofline_names() lists them, comma-separated.
const fs_roofline *fs_roofline_find(const char *name);
const char *fs_roofline_names(void);
// Operations per second at the plan's precision.
double fs_roofline_rate(const fs_plan *plan, const fs_roofline *device);
// max(flops / rate, bytes / bandwidth) + launches * launch of one step, in seconds.
double fs_step_roofline(const fs_plan *plan, int step, const fs_roofline *device);
// The largest of the three: "compute", "memory" or "launch".
const char *fs_step_bound(const fs_plan *plan, int step, const fs_roofline *device);

// `device` may be NULL: no roofline then. The caller checks fs_text_status.
void fs_plan_print_text(const fs_plan *plan, const fs_roofline *device, fs_text *text);
void fs_plan_print_json(const fs_plan *plan, const fs_roofline *device, fs_text *text);
void fs_plan_print_dot(const fs_plan *plan, const fs_roofline *device, fs_text *text);

#endif
