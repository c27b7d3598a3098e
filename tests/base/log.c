// Tests of the log: levels, callback, silence by default.
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "runtime/base/log.h"

typedef struct record {
    int count, level;
    char message[2048];
} record;

static void keep(void *user, int level, const char *message) {
    record *r = user;
    r->count++;
    r->level = level;
    snprintf(r->message, sizeof r->message, "%s", message);
}

TestSuite(log);

Test(log, nothing_happens_by_default) {
    fs_log(FS_LOG_ERROR, "unheard %d", 1);
}

Test(log, messages_up_to_the_level_arrive) {
    record r = {0};
    fs_set_log(keep, &r, FS_LOG_WARNING);
    fs_log(FS_LOG_INFO, "too chatty");
    cr_assert_eq(r.count, 0);
    fs_log(FS_LOG_WARNING, "%s %d", "careful", 3);
    cr_assert_eq(r.count, 1);
    cr_assert_eq(r.level, FS_LOG_WARNING);
    cr_assert_str_eq(r.message, "careful 3");
    fs_log(FS_LOG_ERROR, "bad");
    cr_assert_eq(r.count, 2);
}

Test(log, null_callback_turns_it_off) {
    record r = {0};
    fs_set_log(keep, &r, FS_LOG_DEBUG);
    fs_set_log(NULL, NULL, FS_LOG_DEBUG);
    fs_log(FS_LOG_ERROR, "unheard");
    cr_assert_eq(r.count, 0);
}

Test(log, long_message_is_cut) {
    record r = {0};
    char big[3000];
    memset(big, 'x', sizeof big - 1);
    big[sizeof big - 1] = '\0';
    fs_set_log(keep, &r, FS_LOG_ERROR);
    fs_log(FS_LOG_ERROR, "%s", big);
    cr_assert_eq(strlen(r.message), 1023);
}
