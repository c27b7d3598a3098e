// A CPU session: a plan made runnable as phases, with its arena, scratch memory and worker team.
#ifndef FS_CPU_SESSION_H
#define FS_CPU_SESSION_H

#include "cpu/chain.h"
#include "cpu/team.h"
#include "runtime/backend.h"

typedef struct fs_cpu_session fs_cpu_session;

fs_status fs_cpu_session_open(const fs_cpu_engine *engine, fs_plan *plan, const fs_session_config *config,
                              fs_cpu_session **session);
void fs_cpu_session_close(fs_cpu_session *session); // cancels what has not begun, finishes the rest
void fs_cpu_session_memory(const fs_cpu_session *session, fs_session_memory *memory);
fs_status fs_cpu_session_submit(fs_cpu_session *session, const fs_frame *frame, const fs_outputs *outputs,
                                uint64_t *ticket);
fs_status fs_cpu_session_wait(fs_cpu_session *session, uint64_t ticket, int64_t timeout_ns);
void fs_cpu_session_cancel(fs_cpu_session *session);

// Runs one frame to its end and says when each step ran: until its last worker was done. FS_ERR_STATE with frames in
// flight.
fs_status fs_cpu_session_profile(fs_cpu_session *session, const fs_frame *frame, const fs_outputs *outputs,
                                 fs_span *spans);
// Tests: cuts every chain into tasks of at most rows x columns.
fs_status fs_cpu_session_cut(fs_cpu_session *session, int rows, int columns);

#endif
