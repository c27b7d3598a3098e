// The one rule of writing files: a file is replaced when the new one is whole, a link's target in the link's place;
// devices, FIFOs and pipes are written into.
#ifndef FS_BASE_WRITER_H
#define FS_BASE_WRITER_H

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>

#include "runtime/base/status.h"

typedef struct fs_writer {
    int file;              // to write to; -1: closed
    char part[PATH_MAX];   // what is written for now, in the target's folder; "": written straight into
    char target[PATH_MAX]; // what it becomes: the path with its links followed
} fs_writer;

// Opens what will be `path`. A regular file, or none: a new file beside it, whose name begins with ".fastscnn-" and
// ends as `path` does (a program that goes by endings may be told to write it). A symbolic link is followed, also one
// to nothing yet, and stays. Anything else, and this process's own descriptors ("/dev/stdout", "/dev/fd/3"), is opened
// to be written straight into; a FIFO waits for its reader. FS_ERR_IO, with nothing left behind.
fs_status fs_writer_open(fs_writer *writer, const char *path);
// Writes it all, through interruptions. FS_ERR_IO names `path`.
fs_status fs_writer_put(const fs_writer *writer, const char *path, const void *data, size_t bytes);
// Closes; a new file gets its name when `keep`, else, and when that fails, it is removed and the older one stays.
fs_status fs_writer_close(fs_writer *writer, const char *path, bool keep);

typedef struct fs_part {
    const void *data;
    size_t size;
} fs_part;

// All of it at once: the parts one after another.
fs_status fs_write_whole(const char *path, const fs_part *parts, int count);

#endif
