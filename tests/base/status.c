// Tests of status codes and the per-thread error text.
#include <criterion/criterion.h>
#include <pthread.h>
#include <string.h>

#include "runtime/base/status.h"

TestSuite(status);

Test(status, every_code_has_its_own_name) {
    const fs_status all[] = {FS_OK,         FS_ERR_ARGUMENT, FS_ERR_STATE,   FS_ERR_UNSUPPORTED, FS_ERR_TIMEOUT,
                             FS_ERR_IO,     FS_ERR_FORMAT,   FS_ERR_WEIGHTS, FS_ERR_LIMIT,       FS_ERR_MEMORY,
                             FS_ERR_SYSTEM, FS_ERR_DEVICE,   FS_ERR_BACKEND, FS_ERR_INTERNAL};
    const size_t count = sizeof all / sizeof all[0];
    for (size_t i = 0; i < count; i++) {
        cr_assert_str_neq(fs_status_name(all[i]), "unknown");
        for (size_t k = 0; k < i; k++) cr_assert_str_neq(fs_status_name(all[i]), fs_status_name(all[k]));
    }
    cr_assert_str_eq(fs_status_name(FS_ERR_WEIGHTS), "weights");
    cr_assert_str_eq(fs_status_name((fs_status)999), "unknown");
}

Test(status, text_starts_empty_and_keeps_the_last_failure) {
    cr_assert_str_eq(fs_error_text(), "");
    cr_assert_eq(fs_fail(FS_ERR_IO, "cannot open '%s': %d", "a.png", 7), FS_ERR_IO);
    cr_assert_str_eq(fs_error_text(), "cannot open 'a.png': 7");
    cr_assert_eq(fs_fail(FS_ERR_LIMIT, "second"), FS_ERR_LIMIT);
    cr_assert_str_eq(fs_error_text(), "second");
}

Test(status, a_failure_may_quote_the_one_before) {
    fs_fail(FS_ERR_IO, "inner");
    fs_fail(FS_ERR_IO, "outer: %s", fs_error_text());
    cr_assert_str_eq(fs_error_text(), "outer: inner");
}

Test(status, long_text_is_cut_at_2047_bytes) {
    char big[5000];
    memset(big, 'x', sizeof big - 1);
    big[sizeof big - 1] = '\0';
    fs_fail(FS_ERR_IO, "%s", big);
    cr_assert_eq(strlen(fs_error_text()), 2047);
}

static void *fail_elsewhere(void *seen) {
    *(bool *)seen = fs_error_text()[0] == '\0';
    fs_fail(FS_ERR_STATE, "of another thread");
    return NULL;
}

Test(status, text_belongs_to_its_thread) {
    fs_fail(FS_ERR_IO, "mine");
    pthread_t thread;
    bool empty_there = false;
    cr_assert_eq(pthread_create(&thread, NULL, fail_elsewhere, &empty_there), 0);
    pthread_join(thread, NULL);
    cr_assert(empty_there);
    cr_assert_str_eq(fs_error_text(), "mine");
}

static fs_status forward(fs_status inner, int *reached) {
    FS_TRY(inner);
    *reached = 1;
    return FS_OK;
}

Test(status, try_returns_on_failure_only) {
    int reached = 0;
    cr_assert_eq(forward(FS_ERR_DEVICE, &reached), FS_ERR_DEVICE);
    cr_assert_eq(reached, 0);
    cr_assert_eq(forward(FS_OK, &reached), FS_OK);
    cr_assert_eq(reached, 1);
}
