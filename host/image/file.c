// Whole files in: bounded reading of regular files and pipes.
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "host/image/codec.h"
#include "runtime/base/mem.h"

// The largest picture within the limits (16-bit RGB of 16384 x 16384) is 1.5 GiB.
#define MAX_FILE_BYTES ((size_t)2 << 30)
enum { FIRST_READ = 64 << 10 };

static fs_status cannot(const char *verb, const char *path, int error) {
    return fs_fail(FS_ERR_IO, "%s: cannot %s: %s", path, verb, strerror(error));
}

// Reads until `want` bytes, the end or an error (-1, errno).
static ssize_t read_fully(int file, uint8_t *to, size_t want) {
    size_t have = 0;
    while (have < want) {
        ssize_t got = read(file, to + have, want - have);
        if (got < 0 && errno == EINTR) continue;
        if (got < 0) return -1;
        if (got == 0) break;
        have += (size_t)got;
    }
    return (ssize_t)have;
}

static fs_status read_open_file(int file, const char *path, fs_bytes *out) {
    struct stat info;
    if (fstat(file, &info) != 0) return cannot("read", path, errno);
    if (S_ISDIR(info.st_mode)) return fs_fail(FS_ERR_IO, "%s: cannot read: it is a folder; name a picture file", path);

    // One byte more than the file's size lets the last read see the end. Pipes and /proc files say size 0.
    size_t hint = S_ISREG(info.st_mode) && info.st_size > 0 ? (size_t)info.st_size + 1 : FIRST_READ;
    for (;;) {
        size_t capacity = out->size < FIRST_READ ? FIRST_READ : (hint > out->size ? hint : out->size * 2);
        if (capacity > MAX_FILE_BYTES) capacity = MAX_FILE_BYTES;
        uint8_t *grown = fs_grow(out->data, out->size, capacity, 1);
        if (grown == NULL) return fs_image_no_memory(path);
        out->data = grown;
        out->capacity = capacity;
        ssize_t got = read_fully(file, out->data + out->size, capacity - out->size);
        if (got < 0) return cannot("read", path, errno);
        bool first = out->size == 0;
        out->size += (size_t)got;
        if (first && fs_image_detect(out->data, out->size) == FS_KIND_UNKNOWN)
            return fs_image_unknown(path, out->data, out->size);
        if (out->size < capacity) return FS_OK;
        if (capacity == MAX_FILE_BYTES)
            return fs_fail(FS_ERR_LIMIT, "%s: the file is over the limit of %zu MiB; scale the picture down", path,
                           MAX_FILE_BYTES >> 20);
    }
}

fs_status fs_file_read_image(const char *path, fs_bytes *out) {
    int file = open(path, O_RDONLY | O_CLOEXEC);
    if (file < 0) return cannot("open", path, errno);
    fs_bytes bytes = {0};
    fs_status status = read_open_file(file, path, &bytes);
    close(file);
    if (status != FS_OK) {
        fs_free(bytes.data);
        return status;
    }
    *out = bytes;
    return FS_OK;
}
