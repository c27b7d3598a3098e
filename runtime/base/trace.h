// Ranges for profilers: NVTX's, in the domain "fastscnn", where the build has its header; nothing elsewhere.
#ifndef FS_BASE_TRACE_H
#define FS_BASE_TRACE_H

#include <stdbool.h>
#include <stdint.h>

// A name that the profiler knows; registering costs a lock and memory, so it happens when a session opens, never in a
// frame. 0 is no name and gives no range.
typedef uintptr_t fs_trace_name;
fs_trace_name fs_trace_register(const char *name);

// Opens a range of the calling thread with a payload (a frame's number, bytes); close it on the same thread. Around
// calls only, never in a function that returns early. Near free when no profiler is attached.
void fs_trace_begin(fs_trace_name name, uint64_t payload);
void fs_trace_end(void);
// A point in time with a payload.
void fs_trace_mark(fs_trace_name name, uint64_t payload);

// Whether this build has NVTX's header, and so ranges at all, as a line for people; static storage.
const char *fs_trace_about(void);
// Whether a profiler took the domain: what is only for its eyes may be left out otherwise.
bool fs_trace_active(void);

#endif
