// A team of worker threads that run frames phase by phase. Tasks of a phase are handed out by a counter, phases are
// divided by a barrier; both are atomics with a short spin and a futex behind it: no lock, no allocation, no thread
// creation per frame.
#ifndef FS_CPU_TEAM_H
#define FS_CPU_TEAM_H

#include <stdint.h>

#include "runtime/base/status.h"

enum { FS_TEAM_PHASES = 160, FS_TEAM_THREADS = 256 };

typedef struct fs_team fs_team;

// Runs on every worker for every frame; calls fs_team_take and fs_team_barrier for phases 0, 1, 2 ... in order.
typedef void (*fs_team_frame_fn)(void *user, int worker, uint64_t ticket);

// Cores that this process may use.
int fs_team_cores(void);

fs_status fs_team_open(int threads, fs_team_frame_fn frame, void *user, fs_team **team);
void fs_team_close(fs_team *team); // finishes submitted frames first; accepts NULL
int fs_team_threads(const fs_team *team);

// From the submitting thread: lets the workers start frame `ticket` (1, 2, 3 ... without gaps).
void fs_team_submit(fs_team *team, uint64_t ticket);
// Whether frame `ticket` is done; waits up to timeout_ns (negative: for ever).
int fs_team_wait(fs_team *team, uint64_t ticket, int64_t timeout_ns);

// From a worker inside its frame function: the next task of `phase`, or -1 when all are taken.
int fs_team_take(fs_team *team, uint64_t ticket, int phase, int tasks);
// Returns when every worker has come here. The last phase of a frame needs one too, and a frame needs two at least: in
// the first the counters of the next frame are cleared, while the others go on.
void fs_team_barrier(fs_team *team, uint64_t ticket, int phase);

#endif
