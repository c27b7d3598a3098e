// A progress bar on stderr for long work: only on a terminal, at most ten redraws a second, with rate and time left.
#ifndef FS_CLI_PROGRESS_H
#define FS_CLI_PROGRESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct fs_progress {
    bool active; // false: every call is free
    bool color;
    bool drawn; // something stands on the line
    const char *label;
    uint64_t total;
    double started, redrawn; // seconds
} fs_progress;

// Active when stderr is a terminal that can redraw a line and `quiet` is false. Colour unless NO_COLOR is set.
void fs_progress_start(fs_progress *progress, const char *label, uint64_t total, bool quiet);
void fs_progress_update(fs_progress *progress, uint64_t done);
// One plain line instead of the bar, for a stretch that must not be disturbed by redraws.
void fs_progress_say(fs_progress *progress, const char *text);
// Erases the line, so that a message can be printed; the next update draws it again.
void fs_progress_clear(fs_progress *progress);

// The line itself, at most columns - 1 wide: "label [#####-----]  50% 5/10 2.1/s 2s left"; with total 0, for work of
// unknown length, "label 5 2.1/s".
void fs_progress_line(char *line, size_t size, const char *label, uint64_t done, uint64_t total, double elapsed,
                      int columns, bool color);

#endif
