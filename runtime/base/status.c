// Status names and the per-thread error text.
#include "runtime/base/status.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "runtime/base/services.h"

#define FS_ERROR_TEXT_SIZE 2048

static _Thread_local char error_text[FS_ERROR_TEXT_SIZE];

const char *fs_status_name(fs_status status) {
    switch (status) {
    case FS_OK: return "ok";
    case FS_ERR_ARGUMENT: return "argument";
    case FS_ERR_STATE: return "state";
    case FS_ERR_UNSUPPORTED: return "unsupported";
    case FS_ERR_TIMEOUT: return "timeout";
    case FS_ERR_CANCELLED: return "cancelled";
    case FS_ERR_IO: return "io";
    case FS_ERR_FORMAT: return "format";
    case FS_ERR_WEIGHTS: return "weights";
    case FS_ERR_LIMIT: return "limit";
    case FS_ERR_MEMORY: return "memory";
    case FS_ERR_SYSTEM: return "system";
    case FS_ERR_DEVICE: return "device";
    case FS_ERR_BACKEND: return "backend";
    case FS_ERR_INTERNAL: return "internal";
    }
    return "unknown";
}

fs_status fs_fail(fs_status status, const char *format, ...) {
    // Formatted aside first: an argument may be the previous text, when a caller adds its own words to it.
    char text[FS_ERROR_TEXT_SIZE];
    va_list args;
    va_start(args, format);
    if (vsnprintf(text, sizeof text, format, args) < 0) text[0] = '\0';
    va_end(args);
    memcpy(error_text, text, strlen(text) + 1);
    const fs_services *services = fs_services_used();
    if (services) services->set_error(text);
    return status;
}

const char *fs_error_text(void) {
    return error_text;
}
