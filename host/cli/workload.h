// What bench and profile feed a session with: frames (a generated street or a picture) and room for the results.
#ifndef FS_CLI_WORKLOAD_H
#define FS_CLI_WORKLOAD_H

#include "host/cli/cli.h"
#include "host/image/image.h"

enum { FS_FRAMES_MAX = 64, FS_OUTPUTS_MAX = 16 };

extern const char *const fs_io_names[];   // NULL-terminated, indexed by fscnn_memory
extern const char *const fs_task_names[]; // NULL-terminated: labels, scores

typedef struct fs_workload {
    fscnn_engine *engine;
    fscnn_memory memory; // of frames and results
    bool scores;         // float32 scores instead of u8 labels
    fs_image image[FS_FRAMES_MAX];
    int frames;
    void *input[FS_FRAMES_MAX]; // the same pixels in `memory`; NULL: the images themselves
    void *output[FS_OUTPUTS_MAX];
    int outputs;
} fs_workload;

// Before a session is opened: whether the backend has the memory `io`, and the picture `input` (NULL: none), whose size
// becomes *size where that is 0x0. Complains; returns an exit code.
int fs_workload_read(const fs_model_open *model, fscnn_memory io, const char *input, fs_image *picture, fs_size *size);
// Makes `frames` frames of `size` that differ (0: up to four, as far as 64 MB go), and `outputs` results. With
// `picture` they are copies of it, resized where it must be. Complains on failure; returns an exit code. Close it in
// any case, before the engine.
int fs_workload_open(fs_workload *workload, const fs_model_open *model, fs_size size, int frames, int outputs,
                     const fs_image *picture);
void fs_workload_close(fs_workload *workload); // accepts a zeroed one
// The frame and outputs of frame `number`, which take turns.
void fs_workload_bind(const fs_workload *workload, uint64_t number, fscnn_frame *frame, fscnn_outputs *outputs);
// "generated street scene, 4 frames in turn" into `text`; `input` is the picture's name or NULL.
void fs_workload_describe(const fs_workload *workload, const char *input, char *text, size_t size);

#endif
