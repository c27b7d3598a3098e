// What bench and profile feed a session with: frames (a generated street or a picture) and room for the results.
#ifndef FS_CLI_WORKLOAD_H
#define FS_CLI_WORKLOAD_H

#include "host/cli/cli.h"
#include "host/image/image.h"

enum { FS_FRAMES_MAX = 64, FS_OUTPUTS_MAX = 16 };

extern const char *const fs_io_names[];   // NULL-terminated, indexed by fscnn_memory
extern const char *const fs_task_names[]; // NULL-terminated: labels, scores

// What the command line says of a workload.
typedef struct fs_workload_choice {
    int io, task;       // indices into the names above
    const char *input;  // a picture; NULL: a generated street
    const char *inputs; // as typed; NULL: not given
    int frames;         // what that means: how many, FS_INPUTS_DEFAULT or FS_INPUTS_ROTATING
} fs_workload_choice;

enum { FS_WORKLOAD_OPTIONS = 4, FS_INPUTS_DEFAULT = 0, FS_INPUTS_ROTATING = -1 };
// The options that fill it: --io, --task, --input, --inputs.
void fs_workload_options(fs_workload_choice *choice, fs_option options[FS_WORKLOAD_OPTIONS]);
// Understands --inputs; false after a complaint that names the verb.
bool fs_workload_inputs(fs_workload_choice *choice, const char *verb);

typedef struct fs_workload {
    fscnn_engine *engine;
    const char *source;  // the picture's name; NULL: a generated street
    fscnn_memory memory; // of frames and results
    bool scores;         // float32 scores instead of u8 labels
    fs_image image[FS_FRAMES_MAX];
    int frames;
    void *input[FS_FRAMES_MAX]; // the same pixels in `memory`; NULL: the images themselves
    void *output[FS_OUTPUTS_MAX];
    int outputs;
} fs_workload;

// Before a session is opened: whether the backend has the memory asked for, and the picture asked for, if any, whose
// size becomes *size where that is 0x0. Complains; returns an exit code.
int fs_workload_read(const fs_model_open *model, const fs_workload_choice *choice, fs_image *picture, fs_size *size);
// Makes the frames of `size`, which differ, and `outputs` results. FS_INPUTS_DEFAULT: up to four frames, as far as 64
// MB go; FS_INPUTS_ROTATING: more than a cache holds, as the help says. Of a picture all are copies, resized where it
// must be. Complains on failure; returns an exit code. Close it in any case, before the engine.
int fs_workload_open(fs_workload *workload, const fs_model_open *model, const fs_workload_choice *choice, fs_size size,
                     int outputs, const fs_image *picture);
void fs_workload_close(fs_workload *workload); // accepts a zeroed one
// The frame and outputs of frame `number`, which take turns.
void fs_workload_bind(const fs_workload *workload, uint64_t number, fscnn_frame *frame, fscnn_outputs *outputs);
// "generated street scene, 4 frames in turn" into `text`.
void fs_workload_describe(const fs_workload *workload, char *text, size_t size);

#endif
