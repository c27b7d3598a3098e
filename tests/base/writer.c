// Tests of the one rule of writing files: old files survive failures, links and special files stay what they are.
#include <criterion/criterion.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "runtime/base/writer.h"

static char folder[] = "/tmp/fastscnn-writer-XXXXXX";

static void enter_folder(void) {
    cr_assert_not_null(mkdtemp(folder));
    cr_assert_eq(chdir(folder), 0);
}

static void remove_folder(void) {
    char command[128];
    snprintf(command, sizeof command, "rm -rf %s", folder);
    cr_assert_eq(system(command), 0);
}

TestSuite(writer, .init = enter_folder, .fini = remove_folder);

static fs_status write_text(const char *path, const char *text) {
    const size_t half = strlen(text) / 2;
    const fs_part parts[3] = {{text, half}, {NULL, 0}, {text + half, strlen(text) - half}};
    return fs_write_whole(path, parts, 3);
}

static void expect(const char *path, const char *text) {
    char have[256] = "";
    FILE *file = fopen(path, "r");
    cr_assert_not_null(file, "%s", path);
    have[fread(have, 1, sizeof have - 1, file)] = '\0';
    fclose(file);
    cr_assert_str_eq(have, text, "%s", path);
}

static void expect_kind(const char *path, mode_t kind) {
    struct stat info;
    cr_assert_eq(lstat(path, &info), 0);
    cr_assert_eq(info.st_mode & S_IFMT, kind, "%s", path);
}

// So many names in the folder: nothing temporary is left.
static void expect_names(int wanted) {
    char command[64];
    snprintf(command, sizeof command, "test $(ls -A | wc -l) = %d", wanted);
    cr_assert_eq(system(command), 0, "not %d names", wanted);
}

Test(writer, new_and_old_files) {
    const mode_t mask = umask(027);
    cr_assert_eq(write_text("a.txt", "first"), FS_OK);
    umask(mask);
    struct stat info;
    cr_assert(stat("a.txt", &info) == 0 && (info.st_mode & 0777) == 0640);
    cr_assert_eq(write_text("a.txt", "the second"), FS_OK);
    expect("a.txt", "the second");
    cr_assert_eq(write_text("a.txt", ""), FS_OK);
    expect("a.txt", "");
    expect_names(1);
}

Test(writer, unfinished_leaves_the_old_file) {
    cr_assert_eq(write_text("a.mp4", "old"), FS_OK);
    fs_writer w;
    cr_assert_eq(fs_writer_open(&w, "a.mp4"), FS_OK);
    cr_assert_eq(strncmp(w.part, ".fastscnn-", 10), 0);
    cr_assert_str_eq(w.part + strlen(w.part) - 4, ".mp4");
    cr_assert_eq(fs_writer_put(&w, "a.mp4", "new", 3), FS_OK);
    expect("a.mp4", "old");
    cr_assert_eq(fs_writer_close(&w, "a.mp4", false), FS_OK);
    cr_assert_eq(fs_writer_close(&w, "a.mp4", true), FS_OK); // nothing any more
    expect("a.mp4", "old");
    expect_names(1);
}

Test(writer, full_disk_leaves_the_old_file) {
    cr_assert_eq(write_text("a.txt", "old"), FS_OK);
    signal(SIGXFSZ, SIG_IGN);
    struct rlimit limit, few;
    getrlimit(RLIMIT_FSIZE, &limit);
    few = limit;
    few.rlim_cur = 4;
    cr_assert_eq(setrlimit(RLIMIT_FSIZE, &few), 0);
    const fs_status status = write_text("a.txt", "longer than that");
    setrlimit(RLIMIT_FSIZE, &limit);
    cr_assert_eq(status, FS_ERR_IO);
    cr_assert_not_null(strstr(fs_error_text(), "cannot write 'a.txt': File too large"), "%s", fs_error_text());
    expect("a.txt", "old");
    expect_names(1);
}

Test(writer, links_stay_and_targets_are_replaced) {
    cr_assert(mkdir("far", 0777) == 0 && symlink("far/b", "one") == 0 && symlink("one", "two") == 0);
    cr_assert_eq(write_text("two", "dangling"), FS_OK, "%s", fs_error_text());
    expect("far/b", "dangling");
    cr_assert_eq(write_text("two", "there"), FS_OK);
    expect("far/b", "there");
    cr_assert_eq(symlink("b", "far/c"), 0); // relative to its own folder
    cr_assert_eq(write_text("far/c", "relative"), FS_OK);
    expect("far/b", "relative");
    char path[64];
    snprintf(path, sizeof path, "%s/far/b", folder);
    cr_assert_eq(symlink(path, "absolute"), 0);
    cr_assert_eq(write_text("absolute", "whole path"), FS_OK);
    expect("far/b", "whole path");
    expect_kind("one", S_IFLNK), expect_kind("two", S_IFLNK), expect_kind("far/c", S_IFLNK);
    expect_kind("absolute", S_IFLNK), expect_kind("far/b", S_IFREG);
    expect_names(4);
}

// Only special files of the test's own are used: run as root, a mistake would replace a device of the machine.
Test(writer, special_files_are_written_into) {
    cr_assert(mkfifo("fifo", 0600) == 0 && symlink("fifo", "to_fifo") == 0);
    const int reader = open("fifo", O_RDONLY | O_NONBLOCK);
    char got[16] = "";
    const char *const names[] = {"fifo", "to_fifo"};
    for (int i = 0; i < 2; i++) {
        cr_assert_eq(write_text(names[i], "through"), FS_OK);
        cr_assert(read(reader, got, sizeof got) == 7 && memcmp(got, "through", 7) == 0);
    }
    close(reader);
    expect_kind("fifo", S_IFIFO), expect_kind("to_fifo", S_IFLNK);
    expect_names(2);
    if (mknod("full", S_IFCHR | 0600, makedev(1, 7)) != 0) return; // root's alone
    cr_assert_eq(write_text("full", "through"), FS_ERR_IO);
    expect_kind("full", S_IFCHR);
    expect_names(3);
}

// Opened anew, /dev/stdout would begin at the start of the file that standard output was sent to.
Test(writer, own_descriptors_go_on_where_they_are) {
    const int file = open("log", O_RDWR | O_CREAT, 0600);
    cr_assert_eq(write(file, "before ", 7), 7);
    char name[64];
    snprintf(name, sizeof name, "/dev/fd/%d", file);
    cr_assert_eq(write_text(name, "this "), FS_OK, "%s", fs_error_text());
    snprintf(name, sizeof name, "/proc/self/fd/%d", file);
    cr_assert_eq(symlink(name, "link"), 0);
    cr_assert_eq(write_text("link", "and that"), FS_OK, "%s", fs_error_text());
    expect("log", "before this and that");
    snprintf(name, sizeof name, "/dev/fd/%d", file);
    close(file);
    cr_assert_eq(write_text(name, "nowhere"), FS_ERR_IO);
    expect_names(2);
}

Test(writer, what_cannot_be_written_says_why) {
    cr_assert(mkdir("folder", 0777) == 0 && symlink("loop", "loop") == 0 && symlink("none/x", "nowhere") == 0);
    char endless[2 * PATH_MAX];
    memset(endless, 'x', sizeof endless);
    endless[sizeof endless - 1] = '\0';
    const struct {
        const char *path, *why;
    } cases[] = {{"folder", "it is a folder"}, {"loop", "symbolic links"}, {"nowhere", "No such file"},
                 {"", "cannot write"},         {endless, "cannot write"},  {"none/x", "No such file"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        cr_assert_eq(write_text(cases[i].path, "text"), FS_ERR_IO);
        cr_assert_not_null(strstr(fs_error_text(), cases[i].why), "%s", fs_error_text());
    }
    expect_names(3);
}
