// Tests that run once for every kernel table: the tiers that this processor runs, and the wide one.
#ifndef FS_TESTS_CPU_EACH_TABLE_H
#define FS_TESTS_CPU_EACH_TABLE_H

#include <criterion/criterion.h>
#include <criterion/parameterized.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "tests/cpu/network.h"

// A passing cr_assert sends a message too: per element that would take minutes.
#define CHECK(condition, ...)                                                                                          \
    do {                                                                                                               \
        if (!(condition)) cr_assert_fail(__VA_ARGS__);                                                                 \
    } while (0)

typedef struct table_case {
    char table[16];
} table_case;

static inline struct criterion_test_params all_tables(void) {
    static table_case cases[FS_TEST_TABLES];
    const fs_kernels *tables[FS_TEST_TABLES];
    const int count = fs_test_tables(tables);
    for (int i = 0; i < count; i++) snprintf(cases[i].table, sizeof cases[i].table, "%s", tables[i]->name);
    return cr_make_param_array(table_case, cases, (size_t)count);
}

// `k` is the table and `name` its name.
#define KERNEL_TEST(suite, test)                                                                                       \
    static void suite##_##test##_of(const fs_kernels *k, __attribute__((unused)) const char *name);                    \
    ParameterizedTestParameters(suite, test) {                                                                         \
        return all_tables();                                                                                           \
    }                                                                                                                  \
    ParameterizedTest(table_case *param, suite, test) {                                                                \
        const fs_kernels *table = fs_test_table(param->table);                                                         \
        cr_assert_not_null(table, "no table %s", param->table);                                                        \
        suite##_##test##_of(table, param->table);                                                                      \
    }                                                                                                                  \
    static void suite##_##test##_of(const fs_kernels *k, __attribute__((unused)) const char *name)

// low..high, both ends included
static inline int pick(uint32_t *s, int low, int high) {
    return low + (int)(fs_test_random(s) % (uint32_t)(high - low + 1));
}

static inline float widen(uint16_t half) { // of bf16
    const uint32_t u = (uint32_t)half << 16;
    float x;
    memcpy(&x, &u, 4);
    return x;
}

#endif
