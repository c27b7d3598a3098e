// The services of this copy of the base code, and those of the library that loaded it.
#include "runtime/base/services.h"

#include <stdatomic.h>

#include "runtime/base/log.h"
#include "runtime/base/mem.h"
#include "runtime/base/status.h"

static _Atomic(const fs_services *) used;

static void set_error(const char *text) {
    fs_fail(FS_ERR_INTERNAL, "%s", text);
}

static void log_message(int level, const char *message) {
    fs_log(level, "%s", message);
}

const fs_services *fs_services_own(void) {
    static const fs_services own = {.set_error = set_error,
                                    .log_level = fs_log_level_now,
                                    .log = log_message,
                                    .allocate = fs_malloc,
                                    .release = fs_free};
    return &own;
}

void fs_services_use(const fs_services *services) {
    atomic_store(&used, services);
}

const fs_services *fs_services_used(void) {
    return atomic_load_explicit(&used, memory_order_acquire);
}
