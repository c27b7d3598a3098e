// The backend table: what the CPU and the CUDA backend offer to host/. A table holds no state; engines and sessions do.
#ifndef FS_RUNTIME_BACKEND_H
#define FS_RUNTIME_BACKEND_H

#include <stddef.h>
#include <stdint.h>

#include "runtime/plan.h"

enum { FS_BACKEND_ABI = 1 };

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

// Outputs as host/ has validated them: labels_stride filled in.
typedef struct fs_outputs {
    uint8_t *labels;
    size_t labels_stride; // bytes
    const uint8_t *labels_map;
    float *logits; // [classes][height][width]
} fs_outputs;

typedef struct fs_probe {
    bool usable;
    char device[128];
    char detail[512];    // libraries and precisions, or why not and what to do
    unsigned precisions; // bit 1 << fs_precision for each it can run
    fs_precision best;   // what AUTO becomes
} fs_probe;

// Whose convolutions the CPU backend runs. Fixed by the caller and never by a measurement: the two round differently.
typedef enum fs_provider { FS_PROVIDER_OWN, FS_PROVIDER_ONEDNN } fs_provider;

typedef struct fs_engine_config {
    fs_precision precision; // a concrete one
    int device;
    fs_provider provider; // CPU
} fs_engine_config;

typedef struct fs_session_config {
    int threads;   // 0: all cores
    int in_flight; // >= 1
    int tune;      // 0: time the tactics; -1: take the first
} fs_session_config;

typedef struct fs_session_memory {
    size_t arena, scratch; // bytes
    int threads;
} fs_session_memory;

typedef struct fs_backend {
    int abi; // FS_BACKEND_ABI; host/ refuses a module with another
    const char *name;
    int channel_multiple; // of activations in memory

    void (*probe)(fs_probe *probe);
    // FS_OK when a frame of this kind and size can be taken by a session of height x width; else why not.
    fs_status (*accepts)(const fs_frame *frame, const fs_graph *graph);
    // `user`: the engine that will run the step, NULL for one of default configuration.
    bool (*supports)(void *user, const fs_program *program, const fs_step *step);

    // Copies what it needs of `weights`.
    fs_status (*engine_open)(const fs_weights *weights, const fs_engine_config *config, void **engine);
    void (*engine_close)(void *engine);
    size_t (*engine_bytes)(const void *engine); // prepared weights

    // Fills plan->tactic. The plan outlives the session.
    fs_status (*session_open)(void *engine, fs_plan *plan, const fs_session_config *config, void **session);
    void (*session_close)(void *session); // waits for frames in flight
    void (*session_memory)(const void *session, fs_session_memory *memory);

    // As fscnn_submit and fscnn_wait.
    fs_status (*submit)(void *session, const fs_frame *frame, const fs_outputs *outputs, uint64_t *ticket);
    fs_status (*wait)(void *session, uint64_t ticket, int64_t timeout_ns);
} fs_backend;

#endif
