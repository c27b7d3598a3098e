// YUV4MPEG2 streams (.y4m): uncompressed video with a header in words, read from and written to file descriptors, so
// that pipes do as well as files.
#ifndef FS_HOST_IMAGE_Y4M_H
#define FS_HOST_IMAGE_Y4M_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "runtime/base/status.h"

typedef struct fs_y4m {
    int width, height;
    int rate, scale;        // frames per second is rate / scale; 0 / 0 when unknown
    int chroma_x, chroma_y; // pixels that share a chroma sample; 0: there is none (gray)
    int aspect_x, aspect_y; // of a pixel; 0 / 0 when unknown
    bool full_range;        // 0..255 rather than 16..235
    bool bt709;             // matrix: BT.709 rather than BT.601
    size_t header_bytes;    // of a stream that was read
    size_t frame_bytes;     // of the planes of a frame
} fs_y4m;

// Reads a header. 8 bits a sample in 4:2:0, 4:2:2, 4:4:4 or gray; sides up to FS_IMAGE_MAX_SIDE. `name` stands for the
// stream in messages. The format does not tell the matrix: BT.709 from 720 rows up, else BT.601. *y4m is untouched on
// failure. FS_ERR_FORMAT, FS_ERR_UNSUPPORTED, FS_ERR_LIMIT, FS_ERR_IO.
fs_status fs_y4m_read_header(int file, const char *name, fs_y4m *y4m);
// Reads the planes of a frame, [frame_bytes]. *end: the stream ended before it, which is no failure. `number` stands in
// messages. FS_ERR_FORMAT when the stream ends in mid-frame.
fs_status fs_y4m_read_frame(int file, const char *name, const fs_y4m *y4m, uint64_t number, uint8_t *planes, bool *end);
// Planes to interleaved RGB [height][width][3]; chroma is repeated.
void fs_y4m_to_rgb(const fs_y4m *y4m, const uint8_t *planes, uint8_t *rgb);

// What a stream of our own is: 4:2:0 (or gray), limited range (gray: full), BT.709 from 720 rows up, else BT.601.
fs_y4m fs_y4m_describe(int width, int height, int rate, int scale, bool gray);
fs_status fs_y4m_write_header(int file, const char *name, const fs_y4m *y4m);
// RGB to the planes of a described stream; a chroma sample is the mean of its pixels.
void fs_y4m_from_rgb(const fs_y4m *y4m, const uint8_t *rgb, uint8_t *planes);
fs_status fs_y4m_write_frame(int file, const char *name, const fs_y4m *y4m, const uint8_t *planes);

// The whole of `bytes`, through interruptions. read: *got < bytes at the end of the stream.
fs_status fs_stream_read(int file, const char *name, void *data, size_t bytes, size_t *got);
fs_status fs_stream_write(int file, const char *name, const void *data, size_t bytes);

#endif
