// The one allocator of the library: checked sizes, 64-byte alignment, and a fault hook that tests turn on.
#ifndef FS_BASE_MEM_H
#define FS_BASE_MEM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define FS_ALIGNMENT 64 // bytes; a cache line and an AVX-512 vector

// 64-byte aligned, zeroed memory of count * size bytes; NULL when it overflows or there is no memory (the caller
// reports FS_ERR_MEMORY). A zero size gives a valid pointer. Freed with fs_free only.
void *fs_calloc(size_t count, size_t size);
// The same without zeroing.
void *fs_malloc(size_t count, size_t size);
// Grows (never shrinks in place) a block from this allocator, keeping `old_bytes`; NULL leaves the old block valid.
void *fs_grow(void *old, size_t old_bytes, size_t new_count, size_t size);
void fs_free(void *block);
char *fs_strdup(const char *text);

// True and *product = a * b when the product fits.
bool fs_mul(size_t a, size_t b, size_t *product);

// Tests only. The n-th allocation from now (1 = the next) fails; when `sticky`, so do all after it. 0 turns it off.
void fs_mem_fail_at(uint64_t n, bool sticky);
// Whether a fault was injected since fs_mem_fail_at, and how many blocks and bytes are alive.
bool fs_mem_fault_fired(void);
size_t fs_mem_live_blocks(void);
size_t fs_mem_live_bytes(void);

#endif
