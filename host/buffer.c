// Public calls on buffers: memory for frames and outputs where the backend can reach it best.
#include <string.h>

#include "host/engine.h"
#include "runtime/base/mem.h"

fscnn_status fscnn_buffer_alloc(fscnn_engine *e, fscnn_memory memory, size_t bytes, void **buffer) {
    if (e == NULL || buffer == NULL || bytes == 0)
        return (fscnn_status)fs_fail(FS_ERR_ARGUMENT, "fscnn_buffer_alloc: engine, buffer and bytes must not be zero");
    if ((unsigned)memory > FSCNN_MEMORY_DEVICE)
        return (fscnn_status)fs_fail(FS_ERR_ARGUMENT, "fscnn_buffer_alloc: memory is none of the fscnn_memory values");
    if (e->backend->device) return (fscnn_status)e->backend->buffer_alloc(e->state, (fs_memory)memory, bytes, buffer);
    if (memory == FSCNN_MEMORY_DEVICE)
        return (fscnn_status)fs_fail(FS_ERR_UNSUPPORTED, "the %s backend has no device memory", e->backend->name);
    void *made = fs_calloc(1, bytes);
    if (made == NULL) return (fscnn_status)fs_fail(FS_ERR_MEMORY, "out of memory for a buffer of %zu bytes", bytes);
    *buffer = made;
    return FSCNN_OK;
}

void fscnn_buffer_free(fscnn_engine *e, fscnn_memory memory, void **buffer) {
    if (e == NULL || buffer == NULL || *buffer == NULL) return;
    if (e->backend->device)
        e->backend->buffer_free(e->state, (fs_memory)memory, *buffer);
    else
        fs_free(*buffer);
    *buffer = NULL;
}

fscnn_status fscnn_buffer_copy(fscnn_engine *e, void *to, const void *from, size_t bytes) {
    if (e == NULL || to == NULL || from == NULL)
        return (fscnn_status)fs_fail(FS_ERR_ARGUMENT, "fscnn_buffer_copy: engine, to and from must not be NULL");
    if (e->backend->device) return (fscnn_status)e->backend->buffer_copy(e->state, to, from, bytes);
    memmove(to, from, bytes);
    return FSCNN_OK;
}
