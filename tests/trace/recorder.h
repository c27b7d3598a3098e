// What the recording profiler saw: one event per call of NVTX that it took.
#ifndef FS_TESTS_TRACE_RECORDER_H
#define FS_TESTS_TRACE_RECORDER_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

enum { RECORDER_MOST = 1 << 19 };

typedef enum recorder_kind {
    RECORDER_DOMAIN,   // a domain is made: name
    RECORDER_REGISTER, // a string is registered: name
    RECORDER_PUSH,     // a range opens: name, payload
    RECORDER_POP,      // the thread's last range closes: its name and payload
    RECORDER_MARK,     // a point in time: name, payload
    RECORDER_STREAM    // a CUDA stream is named: name, payload is its handle
} recorder_kind;

typedef struct recorder_event {
    recorder_kind kind;
    const char *domain; // of registrations and ranges
    const char *name;   // NULL: a range that closes where none is open, or a message that is not a registered string
    uint64_t payload;
    int depth;  // of a range among its thread's: 0 is the outermost; of a mark, the ranges around it
    int thread; // 1, 2 ... in the order in which threads were first heard of
} recorder_event;

// Events so far, of all threads, in their order; no thread may be at work while they are read. The library stops at
// RECORDER_MOST.
typedef int (*recorder_count_fn)(void);
typedef const recorder_event *(*recorder_at_fn)(int index);
#define RECORDER_COUNT "recorder_count"
#define RECORDER_AT "recorder_at"

#ifdef __cplusplus
}
#endif
#endif
