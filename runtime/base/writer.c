// Files that are written whole or not at all; the only file of the base that knows the file system.
#include "runtime/base/writer.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { MAX_LINKS = 40, NAME_TRIES = 100, MAX_ENDING = 15 };

static fs_status cannot(const char *path, int error) {
    if (error == EISDIR)
        return fs_fail(FS_ERR_IO, "cannot write '%s': it is a folder; give the name of a file in it", path);
    return fs_fail(FS_ERR_IO, "cannot write '%s': %s", path, strerror(error));
}

// Bytes of a path before its last name, with the slash.
static int folder_length(const char *path) {
    const char *slash = strrchr(path, '/');
    return slash == NULL ? 0 : (int)(slash + 1 - path);
}

// The number of a descriptor of this process that the path names ("/proc/self/fd/1"), else -1. Opened anew it would be
// written from its start, over what the process wrote before.
static int own_descriptor(const char *path) {
    char folder[PATH_MAX], resolved[PATH_MAX], own[64];
    const int length = folder_length(path);
    if (length == 0) return -1;
    snprintf(folder, sizeof folder, "%.*s", length, path);
    snprintf(own, sizeof own, "/proc/%ld/fd", (long)getpid());
    if (realpath(folder, resolved) == NULL || strcmp(resolved, own) != 0) return -1;
    char *end;
    const long number = strtol(path + length, &end, 10);
    return end != path + length && *end == '\0' && number >= 0 && number <= INT_MAX ? (int)number : -1;
}

// Follows links, the last to what may not be there yet. Returns 0 or an errno.
static int follow(const char *path, char target[PATH_MAX], int *own) {
    if (snprintf(target, PATH_MAX, "%s", path) >= PATH_MAX) return ENAMETOOLONG;
    for (int links = 0; links < MAX_LINKS; links++) {
        char link[PATH_MAX], next[PATH_MAX];
        *own = own_descriptor(target);
        if (*own >= 0) return 0;
        const ssize_t length = readlink(target, link, sizeof link - 1);
        if (length < 0) return 0; // no link; what else is wrong, opening it will tell
        link[length] = '\0';
        const int folder = link[0] == '/' ? 0 : folder_length(target);
        if (snprintf(next, sizeof next, "%.*s%s", folder, target, link) >= PATH_MAX) return ENAMETOOLONG;
        memcpy(target, next, sizeof next);
    }
    return ELOOP;
}

static const char *ending_of(const char *path) {
    const char *name = path + folder_length(path), *dot = strrchr(name, '.');
    return dot != NULL && dot != name && strlen(dot) <= MAX_ENDING ? dot : "";
}

// mkstemp would make it private (0600); this obeys the umask.
static int open_part(fs_writer *w, const char *path) {
    static atomic_uint counter;
    for (int tries = 0; tries < NAME_TRIES; tries++) {
        const unsigned number = atomic_fetch_add(&counter, 1);
        const int length = snprintf(w->part, PATH_MAX, "%.*s.fastscnn-%ld-%u%s", folder_length(w->target), w->target,
                                    (long)getpid(), number, ending_of(path));
        if (length >= PATH_MAX) return ENAMETOOLONG;
        w->file = open(w->part, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
        if (w->file >= 0) return 0;
        if (errno != EEXIST) return errno;
    }
    return EEXIST;
}

fs_status fs_writer_open(fs_writer *w, const char *path) {
    *w = (fs_writer){.file = -1};
    int own = -1, error = follow(path, w->target, &own);
    struct stat info;
    if (error != 0) return cannot(path, error);
    if (own >= 0) {
        w->file = fcntl(own, F_DUPFD_CLOEXEC, 0);
        return w->file >= 0 ? FS_OK : cannot(path, errno);
    }
    const bool there = stat(w->target, &info) == 0;
    if (there && S_ISDIR(info.st_mode)) return cannot(path, EISDIR);
    if (there && !S_ISREG(info.st_mode)) {
        w->file = open(w->target, O_WRONLY | O_CLOEXEC);
        return w->file >= 0 ? FS_OK : cannot(path, errno);
    }
    error = open_part(w, path);
    if (error == 0) return FS_OK;
    w->part[0] = '\0';
    return cannot(path, error);
}

fs_status fs_writer_put(const fs_writer *w, const char *path, const void *data, size_t bytes) {
    for (const char *from = data; bytes > 0;) {
        const ssize_t put = write(w->file, from, bytes);
        if (put < 0 && errno == EINTR) continue;
        if (put < 0) return cannot(path, errno);
        from += put;
        bytes -= (size_t)put;
    }
    return FS_OK;
}

fs_status fs_writer_close(fs_writer *w, const char *path, bool keep) {
    int error = 0;
    if (w->file >= 0 && close(w->file) != 0) error = errno;
    w->file = -1;
    if (w->part[0] != '\0') {
        if (keep && error == 0 && rename(w->part, w->target) != 0) error = errno;
        if (!keep || error != 0) unlink(w->part);
        w->part[0] = '\0';
    }
    return error == 0 || !keep ? FS_OK : cannot(path, error);
}

fs_status fs_write_whole(const char *path, const fs_part *parts, int count) {
    fs_writer writer;
    FS_TRY(fs_writer_open(&writer, path));
    fs_status status = FS_OK;
    for (int i = 0; i < count && status == FS_OK; i++)
        status = fs_writer_put(&writer, path, parts[i].data, parts[i].size);
    const fs_status closed = fs_writer_close(&writer, path, status == FS_OK);
    return status != FS_OK ? status : closed;
}
