// Chooses a tactic for every node: a variant of our own kernel or an engine of cuDNN, timed once on the device.
#ifndef FS_CUDA_TUNE_H
#define FS_CUDA_TUNE_H

#include "cuda/run.h"

enum {
    FS_CUDNN_WORKSPACE = 8 << 20, // bytes that a cuDNN engine may ask for
    FS_TUNE_REPEATS = 10          // runs between two events: a single one is within the clock's error
};

typedef struct fs_tuner {
    const fs_cuda_engine *engine;
    const fs_runner *runner;
    void *workspace;     // FS_CUDNN_WORKSPACE bytes, or NULL
    cudaStream_t stream; // idle; used and left idle
    int repeats;         // runs that a candidate is timed over, in each of a few rounds
    const fs_plan *plan;
    fs_nodes *nodes; // bound to memory that may be written
} fs_tuner;

// Takes the winners that the cache file knows, times the rest and saves them. FS_ERR_MEMORY, FS_ERR_BACKEND.
fs_status fs_tune(const fs_tuner *tuner);
#endif
