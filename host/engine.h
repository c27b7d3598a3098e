// The engine and session behind the public handles.
#ifndef FS_HOST_ENGINE_H
#define FS_HOST_ENGINE_H

#include <stdatomic.h>

#include "fastscnn/fastscnn.h"
#include "runtime/backend.h"
#include "weights/weights.h"

struct fscnn_engine {
    atomic_int references; // the caller's handle and every session
    const fs_backend *backend;
    void *state; // the backend's engine
    fs_model model;
    fs_labels labels;
    fs_precision precision;
    fs_provider provider;
    unsigned rewrites_off;
    int ordinal; // of the device
    char device[128];
    char kind[32];                   // of machine, see fs_probe
    bool automatic;                  // the precision was left to us
    bool int8;                       // the machine runs int8
    int int8_layers;                 // with scales in the file
    char int8_passed[FS_PASSED_MAX]; // kinds of machine
};

// Frees the engine with its last reference.
void fs_engine_release(fscnn_engine *engine);
// What an engine of these options would be, without opening anything: backend, precision, rewrites. With `planning`,
// the backend need not be usable here. AUTO takes the CUDA backend where it is usable, else the CPU's.
fs_status fs_engine_choose(const fscnn_engine_options *given, bool planning, fscnn_engine *e, fs_engine_config *config);
// Once the weights are known: whether they allow int8 where it was asked for (`path` NULL: from memory), and whether
// AUTO becomes int8.
fs_status fs_engine_settle(fscnn_engine *e, const char *path, const fs_weights *weights, fs_engine_config *config);
// Weights from a file, from memory (`data` not NULL) or "random:SEED".
fs_status fs_engine_weights(const char *path, const void *data, size_t size, fs_weights *weights, fs_labels *labels);
// Copies a caller's struct of any version into `to` (size bytes): what the caller's lacks becomes zero, what it has
// more must be zero. FS_ERR_ARGUMENT when struct_size was never set.
fs_status fs_take_struct(const void *from, void *to, size_t size, const char *name);
// Writes as much of `from` as the caller's struct has room for, keeping its struct_size.
fs_status fs_give_struct(const void *from, void *to, size_t size, const char *name);

#endif
