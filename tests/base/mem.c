// Tests of the allocator: alignment, overflow, accounting, growth, fault injection.
#include <criterion/criterion.h>
#include <pthread.h>
#include <stdint.h>
#include <string.h>

#include "runtime/base/mem.h"

TestSuite(mem);

Test(mem, blocks_are_aligned_and_zeroed) {
    for (size_t size = 0; size < 300; size += 7) {
        unsigned char *block = fs_calloc(size, 1);
        cr_assert_not_null(block);
        cr_assert_eq((uintptr_t)block % FS_ALIGNMENT, 0);
        for (size_t i = 0; i < size; i++) cr_assert_eq(block[i], 0);
        memset(block, 0xff, size);
        fs_free(block);
    }
}

Test(mem, overflow_gives_null) {
    cr_assert_null(fs_malloc(SIZE_MAX, 2));
    cr_assert_null(fs_malloc(SIZE_MAX / 2 + 1, 2));
    cr_assert_null(fs_malloc(SIZE_MAX, 1));
    cr_assert_null(fs_calloc(SIZE_MAX - 32, 1));
    cr_assert_eq(fs_mem_live_blocks(), 0);
}

Test(mem, product_is_checked) {
    size_t product = 7;
    cr_assert(fs_mul(3, 5, &product));
    cr_assert_eq(product, 15);
    cr_assert(fs_mul(SIZE_MAX, 1, &product));
    cr_assert(fs_mul(SIZE_MAX, 0, &product));
    cr_assert_eq(product, 0);
    cr_assert_not(fs_mul(SIZE_MAX, 2, &product));
}

Test(mem, live_counts_follow_alloc_and_free) {
    void *a = fs_malloc(100, 3), *b = fs_calloc(1, 7), *empty = fs_malloc(0, 4);
    cr_assert_eq(fs_mem_live_blocks(), 3);
    cr_assert_eq(fs_mem_live_bytes(), 307);
    fs_free(a);
    cr_assert_eq(fs_mem_live_bytes(), 7);
    fs_free(b);
    fs_free(empty);
    fs_free(NULL);
    cr_assert_eq(fs_mem_live_blocks(), 0);
    cr_assert_eq(fs_mem_live_bytes(), 0);
}

Test(mem, grow_keeps_the_old_bytes) {
    char *block = fs_grow(NULL, 0, 4, 1);
    memcpy(block, "abcd", 4);
    block = fs_grow(block, 4, 1000, 8);
    cr_assert_eq(memcmp(block, "abcd", 4), 0);
    cr_assert_eq(fs_mem_live_blocks(), 1);
    cr_assert_eq(fs_mem_live_bytes(), 8000);
    fs_free(block);
}

Test(mem, failed_grow_leaves_the_old_block) {
    char *block = fs_malloc(4, 1);
    memcpy(block, "abcd", 4);
    cr_assert_null(fs_grow(block, 4, SIZE_MAX, 2));
    fs_mem_fail_at(1, false);
    cr_assert_null(fs_grow(block, 4, 8, 1));
    cr_assert_eq(memcmp(block, "abcd", 4), 0);
    cr_assert_eq(fs_mem_live_blocks(), 1);
    fs_free(block);
}

Test(mem, strdup_copies) {
    char *copy = fs_strdup("fast");
    cr_assert_str_eq(copy, "fast");
    fs_free(copy);
    fs_mem_fail_at(1, false);
    cr_assert_null(fs_strdup("fast"));
}

Test(mem, one_fault_fires_once) {
    fs_mem_fail_at(3, false);
    void *a = fs_malloc(1, 1), *b = fs_malloc(1, 1);
    cr_assert(a != NULL && b != NULL);
    cr_assert_not(fs_mem_fault_fired());
    cr_assert_null(fs_malloc(1, 1));
    cr_assert(fs_mem_fault_fired());
    void *c = fs_malloc(1, 1);
    cr_assert_not_null(c);
    fs_free(a);
    fs_free(b);
    fs_free(c);
}

Test(mem, sticky_fault_fires_until_turned_off) {
    fs_mem_fail_at(2, true);
    void *a = fs_malloc(1, 1);
    cr_assert_not_null(a);
    for (int i = 0; i < 5; i++) cr_assert_null(fs_calloc(1, 1));
    cr_assert(fs_mem_fault_fired());
    fs_mem_fail_at(0, false);
    cr_assert_not(fs_mem_fault_fired());
    void *b = fs_malloc(1, 1);
    cr_assert_not_null(b);
    fs_free(a);
    fs_free(b);
}

static void *allocate_many(void *failures) {
    int failed = 0;
    for (int i = 0; i < 2000; i++) {
        void *block = fs_malloc(8, 1);
        failed += block == NULL;
        fs_free(block);
    }
    *(int *)failures = failed;
    return NULL;
}

Test(mem, exactly_one_thread_sees_a_single_fault) {
    pthread_t thread[4];
    int failures[4];
    fs_mem_fail_at(500, false);
    for (int i = 0; i < 4; i++) pthread_create(&thread[i], NULL, allocate_many, &failures[i]);
    int total = 0;
    for (int i = 0; i < 4; i++) {
        pthread_join(thread[i], NULL);
        total += failures[i];
    }
    cr_assert_eq(total, 1);
    cr_assert_eq(fs_mem_live_blocks(), 0);
}
