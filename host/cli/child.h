// ffmpeg as a child process at the other end of a pipe.
#ifndef FS_CLI_CHILD_H
#define FS_CLI_CHILD_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

typedef struct fs_child {
    pid_t id; // 0: none
    int file; // our end of the pipe, -1: closed
    int said; // what it complained about
} fs_child;

// Runs words[0], found in PATH, with words (NULL at the end); we read its output, or write its input when `writes`.
// Complains on failure.
bool fs_child_start(fs_child *child, const char *const *words, bool writes);
// Closes our end and waits until it has ended; its id stays its own until fs_child_end. Accepts one never started.
void fs_child_wait(fs_child *child);
// The same, and takes leave of it. True when it ended well and had nothing to complain about (ffmpeg often goes on
// after an error and ends with 0); `words` gets its first complaint, or "". Accepts one that was never started.
bool fs_child_end(fs_child *child, char *words, size_t size);
// Ends it whatever it does; kill alone does not wait.
void fs_child_stop(fs_child *child);
void fs_child_kill(const fs_child *child);
// What it prints, up to size - 1 bytes; false when it cannot be run, fails or complains, then what there is. Silent.
bool fs_child_ask(const char *const *words, char *text, size_t size);

#endif
