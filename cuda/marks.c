// Makes, records and reads the events between the steps of a frame that is profiled.
#include "cuda/marks.h"

#include "cuda/device.h"

fs_status fs_marks_open(fs_marks *marks, int steps) {
    if (marks->start) return FS_OK;
    fs_marks made = {.steps = steps};
    fs_status status = fs_cuda_status(cudaEventCreate(&made.start), "creating an event");
    for (int i = 0; i <= steps && status == FS_OK; i++)
        status = fs_cuda_status(cudaEventCreate(&made.event[i]), "creating an event");
    if (status == FS_OK)
        *marks = made;
    else
        fs_marks_close(&made);
    return status;
}

void fs_marks_close(fs_marks *marks) {
    if (marks->start) cudaEventDestroy(marks->start);
    for (int i = 0; i <= marks->steps; i++)
        if (marks->event[i]) cudaEventDestroy(marks->event[i]);
    *marks = (fs_marks){.steps = 0};
}

fs_status fs_marks_start(fs_marks *marks, cudaStream_t stream) {
    marks->reached = 0;
    return fs_cuda_status(cudaEventRecord(marks->start, stream), "recording the start of a frame");
}

fs_status fs_marks_reach(fs_marks *marks, int step, cudaStream_t stream) {
    for (; marks->reached <= step; marks->reached++)
        FS_CUDA(cudaEventRecord(marks->event[marks->reached], stream), "recording the time of a step");
    return FS_OK;
}

fs_status fs_marks_read(const fs_marks *marks, fs_span *spans) {
    float ms[FS_MAX_OPS + 1];
    for (int i = 0; i <= marks->steps; i++)
        FS_CUDA(cudaEventElapsedTime(&ms[i], marks->start, marks->event[i]), "reading the time of a step");
    for (int i = 0; i < marks->steps; i++) spans[i] = (fs_span){1e-3 * (double)ms[i], 1e-3 * (double)ms[i + 1]};
    return FS_OK;
}
