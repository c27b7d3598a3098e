// The CUDA session: buffers, streams and events of one network size, frames in flight.
#ifndef FS_CUDA_SESSION_H
#define FS_CUDA_SESSION_H

#include "cuda/engine.h"
#include "runtime/backend.h"

typedef struct fs_cuda_session fs_cuda_session; // one thread at a time

// Fills plan->tactic. The plan and the engine outlive the session.
fs_status fs_cuda_session_open(const fs_cuda_engine *engine, fs_plan *plan, const fs_session_config *config,
                               fs_cuda_session **session);
void fs_cuda_session_close(fs_cuda_session *session); // cancels what has not begun, waits for the rest; accepts NULL
void fs_cuda_session_memory(const fs_cuda_session *session, fs_session_memory *memory);
fs_status fs_cuda_session_submit(fs_cuda_session *session, const fs_frame *frame, const fs_outputs *outputs,
                                 uint64_t *ticket);
fs_status fs_cuda_session_wait(fs_cuda_session *session, uint64_t ticket, int64_t timeout_ns);
void fs_cuda_session_cancel(fs_cuda_session *session);
// Runs one frame to its end, its steps launched one by one with events between them. FS_ERR_STATE with frames in
// flight. The first call makes the events.
fs_status fs_cuda_session_profile(fs_cuda_session *session, const fs_frame *frame, const fs_outputs *outputs,
                                  fs_span *spans);
// Whether frames replay a captured graph.
bool fs_cuda_session_replays(const fs_cuda_session *session);

#endif
