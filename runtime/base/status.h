// Status codes, the per-thread error text, and the macros that carry them up a call chain.
#ifndef FS_BASE_STATUS_H
#define FS_BASE_STATUS_H

// Values are pinned and equal those of the public fscnn_status (host/engine.c asserts it), in bands of ten:
// 1.. caller's mistakes, 10.. files, 20.. resources, 30.. devices, 40.. our own faults.
typedef enum fs_status {
    FS_OK = 0,
    FS_ERR_ARGUMENT = 1,    // NULL, out of range, contradictory
    FS_ERR_STATE = 2,       // right call, wrong moment
    FS_ERR_UNSUPPORTED = 3, // valid, but this build or backend cannot do it
    FS_ERR_TIMEOUT = 4,     // the wait ended before the work did
    FS_ERR_CANCELLED = 5,   // taken back before it began
    FS_ERR_IO = 10,         // cannot open, read or write
    FS_ERR_FORMAT = 11,     // not the format it claims to be, truncated or damaged
    FS_ERR_WEIGHTS = 12,    // a sound file whose tensors do not fit the network
    FS_ERR_LIMIT = 13,      // larger than this library accepts
    FS_ERR_MEMORY = 20,     // an allocation failed
    FS_ERR_SYSTEM = 21,     // the operating system refused (threads, mapping)
    FS_ERR_DEVICE = 30,     // no usable device
    FS_ERR_BACKEND = 31,    // a backend library failed
    FS_ERR_INTERNAL = 40,   // a bug in this library
} fs_status;

// Short constant name ("FS_ERR_IO"-style without prefix: "io error"); never NULL.
const char *fs_status_name(fs_status status);

// Stores a printf-formatted text as this thread's error and returns `status`. Texts longer than 2047 bytes are cut.
fs_status fs_fail(fs_status status, const char *format, ...) __attribute__((format(printf, 2, 3)));

// This thread's text of the last failure; "" when nothing failed yet. Valid until this thread's next failure.
const char *fs_error_text(void);

// Returns from the enclosing function with the status of a failed call.
#define FS_TRY(call)                                                                                                   \
    do {                                                                                                               \
        fs_status fs_try_status_ = (call);                                                                             \
        if (fs_try_status_ != FS_OK) return fs_try_status_;                                                            \
    } while (0)

#endif
