// The one allocator: each block carries a 64-byte header with its size, so that live bytes can be accounted.
#include "runtime/base/mem.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/base/services.h"

typedef struct block_header {
    size_t bytes;
} block_header;
_Static_assert(sizeof(block_header) <= FS_ALIGNMENT, "the header must fit in front of an aligned block");

static atomic_size_t live_blocks;
static atomic_size_t live_bytes;

// Allocations until the injected fault, counting it: 0 = hook off, 1 = the next one fails.
static _Atomic uint64_t fault_countdown;
static atomic_bool fault_sticky;
static atomic_bool fault_fired;

static bool fault_now(void) {
    uint64_t left = atomic_load_explicit(&fault_countdown, memory_order_relaxed);
    if (left == 0) return false;
    for (;;) {
        if (left == 0) return false;
        uint64_t next = left > 1 ? left - 1 : (atomic_load(&fault_sticky) ? 1 : 0);
        if (atomic_compare_exchange_weak(&fault_countdown, &left, next)) break;
    }
    if (left > 1) return false;
    atomic_store(&fault_fired, true);
    return true;
}

bool fs_mul(size_t a, size_t b, size_t *product) {
    return !__builtin_mul_overflow(a, b, product);
}

void *fs_malloc(size_t count, size_t size) {
    const fs_services *services = fs_services_used();
    if (services) return services->allocate(count, size);
    size_t bytes, total;
    if (!fs_mul(count, size, &bytes) || __builtin_add_overflow(bytes, FS_ALIGNMENT, &total)) return NULL;
    if (total > PTRDIFF_MAX || fault_now()) return NULL;
    void *base = NULL;
    if (posix_memalign(&base, FS_ALIGNMENT, total) != 0) return NULL;
    ((block_header *)base)->bytes = bytes;
    atomic_fetch_add_explicit(&live_blocks, 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&live_bytes, bytes, memory_order_relaxed);
    return (char *)base + FS_ALIGNMENT;
}

void *fs_calloc(size_t count, size_t size) {
    void *block = fs_malloc(count, size);
    if (block != NULL) memset(block, 0, count * size);
    return block;
}

void *fs_grow(void *old, size_t old_bytes, size_t new_count, size_t size) {
    void *block = fs_malloc(new_count, size);
    if (block == NULL) return NULL;
    size_t keep = old_bytes < new_count * size ? old_bytes : new_count * size;
    if (old != NULL) memcpy(block, old, keep);
    fs_free(old);
    return block;
}

void fs_free(void *block) {
    if (block == NULL) return;
    const fs_services *services = fs_services_used();
    if (services) {
        services->release(block);
        return;
    }
    void *base = (char *)block - FS_ALIGNMENT;
    atomic_fetch_sub_explicit(&live_blocks, 1, memory_order_relaxed);
    atomic_fetch_sub_explicit(&live_bytes, ((block_header *)base)->bytes, memory_order_relaxed);
    free(base);
}

char *fs_strdup(const char *text) {
    size_t size = strlen(text) + 1;
    char *copy = fs_malloc(size, 1);
    if (copy != NULL) memcpy(copy, text, size);
    return copy;
}

void fs_mem_fail_at(uint64_t n, bool sticky) {
    atomic_store(&fault_countdown, 0);
    atomic_store(&fault_sticky, sticky);
    atomic_store(&fault_fired, false);
    atomic_store(&fault_countdown, n);
}

bool fs_mem_fault_fired(void) {
    return atomic_load(&fault_fired);
}

size_t fs_mem_live_blocks(void) {
    return atomic_load(&live_blocks);
}

size_t fs_mem_live_bytes(void) {
    return atomic_load(&live_bytes);
}
