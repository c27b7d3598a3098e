// The public log callback, handed on from the internal one.
#include <stdatomic.h>

#include "fastscnn/fastscnn.h"
#include "runtime/base/log.h"

// The internal callback has an int where the public one has an enum: different types, so a function stands between.
static _Atomic(fscnn_log_fn) listener;

static void hand_on(void *user, int level, const char *message) {
    const fscnn_log_fn callback = atomic_load(&listener);
    if (callback) callback(user, (fscnn_log_level)level, message);
}

void fscnn_set_log(fscnn_log_fn callback, void *user, fscnn_log_level level) {
    atomic_store(&listener, callback);
    fs_set_log(callback ? hand_on : NULL, user, (int)level);
}
