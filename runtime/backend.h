// The backend table: what the CPU and the CUDA backend offer to host/. A table holds no state; engines and sessions do.
#ifndef FS_RUNTIME_BACKEND_H
#define FS_RUNTIME_BACKEND_H

#include <stddef.h>
#include <stdint.h>

#include "runtime/plan.h"

enum { FS_BACKEND_ABI = 5 };

typedef enum fs_format {
    FS_RGB8 = 1,
    FS_BGR8,
    FS_RGBA8,
    FS_BGRA8,
    FS_GRAY8,
    FS_NV12,
    FS_I420,
    FS_PLANAR_F32
} fs_format;

// A frame as host/ has validated it: strides filled in, planes not NULL.
typedef struct fs_frame {
    fs_format format;
    int width, height;
    const void *plane[4];
    size_t stride[4]; // bytes
    int memory, matrix, range;
} fs_frame;

typedef enum fs_memory { FS_MEMORY_HOST, FS_MEMORY_PINNED, FS_MEMORY_DEVICE } fs_memory;

enum { FS_OUTPUT_SIDE = 16384 };

// Outputs as host/ has validated them: strides filled in.
typedef struct fs_outputs {
    uint8_t *labels;
    size_t labels_stride; // bytes
    const uint8_t *labels_map;
    float *logits; // [classes][height][width]
    int memory;    // of what is written; labels_map is host memory always
    uint8_t *confidence;
    size_t confidence_stride; // bytes
    uint32_t *histogram;      // [classes]: pixels of each class, before the map
    void *scores;             // [classes][height][width]: softmax, float or half
    bool scores_f16;
    bool at_frame_size; // maps are of the frame's size, which is at most FS_OUTPUT_SIDE a side; else the network's
} fs_outputs;

typedef struct fs_probe {
    bool usable;
    char device[128];
    char detail[512];    // libraries and precisions, or why not and what to do
    unsigned precisions; // bit 1 << fs_precision for each it can run
    fs_precision best;   // what AUTO becomes
    char kind[32];       // of machine, as admissions of int8 name it ("avx512bf16"); "" where there are none
} fs_probe;

// Whose convolutions run. ANY: our own on the CPU, our own or cuDNN's by measurement on CUDA. The providers round
// differently, so on the CPU nothing but the caller changes this.
typedef enum fs_provider { FS_PROVIDER_ANY, FS_PROVIDER_OWN, FS_PROVIDER_ONEDNN } fs_provider;

typedef struct fs_engine_config {
    fs_precision precision; // a concrete one
    int device;
    fs_provider provider;
} fs_engine_config;

// As fscnn_done_fn.
typedef void (*fs_done_fn)(void *user, uint64_t ticket, fs_status status);

typedef struct fs_session_config {
    int threads;   // 0: all cores
    int in_flight; // >= 1
    // 0: time the tactics; -1: take the first; more: as 0, over so many runs of each. -2 - R, for tests: CUDA takes
    // route R of each step, or its last
    int tune;
    bool eager;      // CUDA: launch step by step instead of replaying a captured graph
    void *stream;    // CUDA: the caller's cudaStream_t to compute on, NULL for one of the session's own
    fs_done_fn done; // called when a frame is over; NULL: nobody is told
    void *done_user;
} fs_session_config;

typedef struct fs_session_memory {
    size_t arena, scratch; // bytes; of the device's memory where the backend has a device
    size_t host;           // bytes of host memory beside them, where the backend has a device
    int threads;
} fs_session_memory;

// When a step ran, in seconds since its frame was submitted.
typedef struct fs_span {
    double begin, end;
} fs_span;

typedef struct fs_backend {
    int abi; // FS_BACKEND_ABI; host/ refuses a module with another
    const char *name;
    int channel_multiple; // of activations in memory
    bool device;          // has memory of its own: frames and outputs may be FS_MEMORY_PINNED or FS_MEMORY_DEVICE, and
                          // a session may compute on the caller's stream
    const char *roofline; // the machine to plan for when none is named, as fs_roofline_find knows it

    // `device`: ordinal, for backends with devices.
    void (*probe)(int device, fs_probe *probe);
    // FS_OK when a frame of this kind and size can be taken by a session of height x width; else why not.
    fs_status (*accepts)(const fs_frame *frame, const fs_graph *graph);
    // `user`: the engine that will run the step, NULL for one of default configuration.
    bool (*supports)(void *user, const fs_program *program, const fs_step *step);
    // Kernels that a step consists of: what the roofline's cost of a launch is multiplied by.
    int (*launches)(const fs_program *program, const fs_step *step, fs_precision precision);

    // Copies what it needs of `weights`.
    fs_status (*engine_open)(const fs_weights *weights, const fs_engine_config *config, void **engine);
    void (*engine_close)(void *engine);
    size_t (*engine_bytes)(const void *engine);        // prepared weights
    const char *(*engine_kernels)(const void *engine); // "own", "onednn", "own, cudnn"; static storage

    // Memory for frames and outputs, from the device's point of view. NULL where device is false.
    fs_status (*buffer_alloc)(void *engine, fs_memory memory, size_t bytes, void **buffer);
    void (*buffer_free)(void *engine, fs_memory memory, void *buffer);
    fs_status (*buffer_copy)(void *engine, void *to, const void *from, size_t bytes); // between any two kinds

    // Fills plan->tactic. The plan outlives the session.
    fs_status (*session_open)(void *engine, fs_plan *plan, const fs_session_config *config, void **session);
    void (*session_close)(void *session); // cancels what has not begun, waits for the rest
    void (*session_memory)(const void *session, fs_session_memory *memory);

    // As fscnn_submit, fscnn_wait and fscnn_cancel.
    fs_status (*submit)(void *session, const fs_frame *frame, const fs_outputs *outputs, uint64_t *ticket);
    fs_status (*wait)(void *session, uint64_t ticket, int64_t timeout_ns);
    void (*cancel)(void *session);

    // As fscnn_session_profile; `spans` by step.
    fs_status (*profile)(void *session, const fs_frame *frame, const fs_outputs *outputs, fs_span *spans);
    // As fscnn_engine_profiler_window. NULL: there is none.
    fs_status (*profiler_window)(void *engine, bool on);
} fs_backend;

// The one symbol of a backend module: its table, or NULL when `abi` is not its FS_BACKEND_ABI.
struct fs_services;
typedef const fs_backend *(*fs_module_fn)(int abi, const struct fs_services *services);
#define FS_CUDA_MODULE_SYMBOL "fs_cuda_module"

#endif
