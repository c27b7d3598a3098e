// Hands log messages to the application's callback.
#include "runtime/base/log.h"

#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>

#include "runtime/base/services.h"

static _Atomic(fs_log_fn) log_callback;
static _Atomic(void *) log_user;
static atomic_int log_level;

void fs_set_log(fs_log_fn callback, void *user, int level) {
    // The level opens the gate last, so a listener that starts from "off" always sees its own callback and user.
    atomic_store(&log_level, 0);
    atomic_store(&log_user, user);
    atomic_store(&log_callback, callback);
    atomic_store(&log_level, callback != NULL ? level : 0);
}

int fs_log_level_now(void) {
    return atomic_load_explicit(&log_level, memory_order_relaxed);
}

void fs_log(int level, const char *format, ...) {
    const fs_services *services = fs_services_used();
    if (level > (services ? services->log_level() : fs_log_level_now())) return;
    fs_log_fn callback = services ? NULL : atomic_load(&log_callback);
    if (services == NULL && callback == NULL) return;
    char message[1024];
    va_list args;
    va_start(args, format);
    int length = vsnprintf(message, sizeof message, format, args);
    va_end(args);
    if (length < 0) return;
    if (services)
        services->log(level, message);
    else
        callback(atomic_load(&log_user), level, message);
}
