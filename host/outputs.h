// Checks what a caller wants of a frame, and fills in what it left at its default.
#ifndef FS_HOST_OUTPUTS_H
#define FS_HOST_OUTPUTS_H

#include "host/engine.h"

// FS_OK, or why `given` cannot be had of this frame by a session with this graph. *outputs is written only on success.
fs_status fs_outputs_check(const fscnn_engine *engine, const fs_graph *graph, const fs_frame *frame,
                           const fscnn_outputs *given, fs_outputs *outputs);

#endif
