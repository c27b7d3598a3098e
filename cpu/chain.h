// A chain: a step's operations as stages that hand rows to one another through small rings, so that what lies between
// them never leaves the core's cache. The last stage asks for rows, each stage makes the rows it is asked for.
#ifndef FS_CPU_CHAIN_H
#define FS_CPU_CHAIN_H

#include "cpu/engine.h"

enum { FS_MAX_STAGES = 16, FS_STAGE_SOURCES = 5 };

typedef enum fs_stage_kind {
    FS_STAGE_INPUT,     // u8 frame rows to numbers
    FS_STAGE_LOAD,      // rows of a tensor: converted, or widened by padding columns
    FS_STAGE_QUANTISE,  // rows to u8, for a product in int8
    FS_STAGE_CONV,      // 1x1 or 3x3 by gemm, one or two inputs (+ add) (+ relu)
    FS_STAGE_DEPTHWISE, // (+ relu)
    FS_STAGE_RESIZE,
    FS_STAGE_ADD,
    FS_STAGE_RELU,
    FS_STAGE_CONCAT,
    FS_STAGE_PPM_MIX,   // sum of the four upsampled pyramid branches after their slice of ppm.out
    FS_STAGE_PPM_CONCAT // the map and its four upsampled branches side by side
} fs_stage_kind;

// Where rows come from: a stage of this chain, or a tensor.
typedef struct fs_source {
    int stage; // -1: tensor
    int tensor;
} fs_source;

typedef struct fs_stage {
    fs_stage_kind kind;
    int op; // the operation whose result this is
    fs_source source[FS_STAGE_SOURCES];
    int sources;
    int add;               // CONV: index into source[] of the tensor to add, -1 for none
    int h, w, c, stride_c; // of its rows; stride_c: channels per pixel in memory
    bool bf16;             // element of its rows
    bool u8;               // element of its rows, before bf16: made by to_u8
    fs_to_u8 to_u8;        // QUANTISE, DEPTHWISE
    bool panels;           // its rows lie panel by panel, [c / 16][columns][16], not pixel by pixel
    int kernel, stride, dilation, pad_top, pad_left;
    bool relu;
    const fs_packed *dense;
    const fs_packed_u8 *dense_u8; // CONV in int8, whose inputs are u8 rows; else NULL
    const float *depthwise, *bias;
    float scale[4], shift[4], pad[4]; // INPUT; pad also for LOAD (zeros)
    uint8_t pad_u8[4];                // INPUT whose rows are the raw bytes
    int pad_columns;      // INPUT, LOAD, PPM_CONCAT: columns outside the map that a 3x3 convolution may ask for
    const fs_tap *taps_x; // RESIZE: [w]; PPM: [4][w]
    int in_h;             // RESIZE: rows of the source
    int in_w;
    bool align;
    int ring; // rows kept
} fs_stage;

typedef struct fs_chain {
    const fs_cpu_engine *engine;
    const fs_plan *plan;
    fs_stage stage[FS_MAX_STAGES];
    int stages;
    int out;             // tensor
    const float *pooled; // PPM: the 50 cells' 128-vectors (1x1 form) or 32-vectors (3x3 form); of the session
    // How the output map is cut into tasks; any cut gives the same bits.
    int rows, columns;
    fs_tap *taps; // owned; behind all taps_x
} fs_chain;

// One frame in, as the chain's tensors see it.
typedef struct fs_binding {
    char *arena;
    const fs_placement *place;
    const uint8_t *frame;
    size_t frame_stride;
    int frame_pixel;    // bytes per pixel of the frame: 3 or 4
    int frame_order[4]; // which byte of a pixel is channel c
} fs_binding;

// Builds the chain of a step. False in *supported when the step is none that a chain can run.
fs_status fs_chain_build(fs_chain *chain, const fs_cpu_engine *engine, const fs_plan *plan, const fs_step *step,
                         bool *supported);
void fs_chain_free(fs_chain *chain);

// Whether the step could be built; no allocation.
bool fs_chain_supports(const fs_program *program, const fs_step *step);

// Number of tasks of the current cut, and the scratch bytes that one task needs.
int fs_chain_tasks(const fs_chain *chain);
size_t fs_chain_scratch(const fs_chain *chain);
// Runs one task with a worker's scratch memory.
void fs_chain_run(const fs_chain *chain, const fs_binding *binding, int task, char *scratch);

#endif
