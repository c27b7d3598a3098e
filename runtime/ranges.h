// The names that profilers see of a session, and the bytes of a frame: both backends show the same.
#ifndef FS_RUNTIME_RANGES_H
#define FS_RUNTIME_RANGES_H

#include "runtime/backend.h"
#include "runtime/base/trace.h"

typedef enum fs_range {
    FS_RANGE_OPEN,     // a session opens; payload: bytes of its arena
    FS_RANGE_TUNE,     // in it: tactics are timed; payload: what there is to choose for
    FS_RANGE_CAPTURE,  // CUDA, in open: the frame is captured as a graph
    FS_RANGE_SUBMIT,   // payload, here and in the rest but for the marks: the frame's number, its ticket
    FS_RANGE_UPLOAD,   // CUDA, in submit
    FS_RANGE_LAUNCH,   // CUDA, in submit
    FS_RANGE_DOWNLOAD, // CUDA, in submit
    FS_RANGE_WAIT,
    FS_RANGE_FRAME,   // CPU: on each worker, the frame, with a range per step inside
    FS_RANGE_INPUT,   // CPU, in frame: conversion and resizing, where the frame needs it
    FS_MARK_BYTES_IN, // marks, in submit; payload: bytes of pixels in, of all outputs
    FS_MARK_BYTES_OUT,
    FS_RANGES
} fs_range;

typedef struct fs_ranges {
    fs_trace_name name[FS_RANGES], step[FS_MAX_OPS];
} fs_ranges;

// When a session opens, before its first range.
void fs_ranges_register(fs_ranges *ranges, const fs_program *program);

// Where a profiler listens: marks the frame's bytes.
void fs_ranges_mark(const fs_ranges *ranges, const fs_frame *frame, const fs_outputs *outputs, const fs_graph *graph);

// Rows of plane 0..3 and the bytes of one, without what lies between strides; no rows: the format has no such plane.
void fs_plane_size(const fs_frame *frame, int plane, size_t *rows, size_t *row_bytes);
size_t fs_frame_bytes(const fs_frame *frame);
size_t fs_outputs_bytes(const fs_outputs *outputs, const fs_frame *frame, const fs_graph *graph);

#endif
