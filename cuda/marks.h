// Events on a stream around each step of one frame: when it ran, by the device's own clock.
#ifndef FS_CUDA_MARKS_H
#define FS_CUDA_MARKS_H

#include <cuda_runtime_api.h>

#include "runtime/backend.h"

typedef struct fs_marks {
    cudaEvent_t start;                 // when the frame was submitted
    cudaEvent_t event[FS_MAX_OPS + 1]; // [i]: before step i, which is behind step i - 1
    int steps;
    int reached; // events recorded for the frame so far
} fs_marks;

// Makes the events; does nothing when they are there. Not on the frame path.
fs_status fs_marks_open(fs_marks *marks, int steps);
void fs_marks_close(fs_marks *marks); // accepts a zeroed one

// Records the start of a frame; then, before each node, that its step is reached, and behind the last node that `steps`
// is.
fs_status fs_marks_start(fs_marks *marks, cudaStream_t stream);
fs_status fs_marks_reach(fs_marks *marks, int step, cudaStream_t stream);
// Of a frame that has ended.
fs_status fs_marks_read(const fs_marks *marks, fs_span *spans);

#endif
