// NumPy .npy files, format version 1.0: magic, version, header length, a Python dict padded to 64 bytes, then the data.
#include <stdio.h>
#include <string.h>

#include "host/image/codec.h"
#include "runtime/base/mem.h"
#include "runtime/base/writer.h"

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "float data is written as it lies in memory");

enum { NPY_ALIGN = 64, NPY_PREFIX = 10, NPY_MAX_RANK = 8, NPY_HEADER_MAX = 512 };

// The header's length in bytes, a multiple of NPY_ALIGN.
static size_t make_header(const size_t *shape, int rank, char header[NPY_HEADER_MAX]) {
    char *text = header + NPY_PREFIX;
    size_t room = NPY_HEADER_MAX - NPY_PREFIX;
    size_t used = (size_t)snprintf(text, room, "{'descr': '<f4', 'fortran_order': False, 'shape': (");
    // Python writes a tuple of one as (5,), others as (2, 3).
    for (int i = 0; i < rank; i++)
        used += (size_t)snprintf(text + used, room - used, "%zu%s", shape[i],
                                 i + 1 < rank ? ", "
                                 : rank == 1  ? ","
                                              : "");
    used += (size_t)snprintf(text + used, room - used, "), }");
    size_t total = (NPY_PREFIX + used + 1 + NPY_ALIGN - 1) / NPY_ALIGN * NPY_ALIGN;
    memset(text + used, ' ', total - NPY_PREFIX - used);
    header[total - 1] = '\n';
    memcpy(header, "\x93NUMPY\x01\x00", 8);
    header[8] = (char)((total - NPY_PREFIX) & 0xff);
    header[9] = (char)((total - NPY_PREFIX) >> 8);
    return total;
}

fs_status fs_npy_write_f32(const char *path, const float *data, const size_t *shape, int rank) {
    if (path == NULL || rank < 0 || rank > NPY_MAX_RANK || (rank > 0 && shape == NULL))
        return fs_fail(FS_ERR_ARGUMENT, "%s: an array has 0 to %d dimensions, not %d",
                       path == NULL ? "(no path)" : path, NPY_MAX_RANK, rank);
    size_t bytes = sizeof(float);
    for (int i = 0; i < rank; i++)
        if (!fs_mul(bytes, shape[i], &bytes)) return fs_fail(FS_ERR_ARGUMENT, "%s: the array's size overflows", path);
    if (bytes > 0 && data == NULL) return fs_fail(FS_ERR_ARGUMENT, "%s: no array to write", path);
    char header[NPY_HEADER_MAX];
    size_t length = make_header(shape, rank, header);
    const fs_part parts[2] = {{header, length}, {data, bytes}};
    return fs_write_whole(path, parts, 2);
}
