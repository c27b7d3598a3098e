// What `segment` reads videos from and writes them to: Y4M here, anything else through ffmpeg.
#ifndef FS_CLI_VIDEO_FILES_H
#define FS_CLI_VIDEO_FILES_H

#include "host/cli/child.h"
#include "host/image/y4m.h"
#include "runtime/base/writer.h"

typedef struct fs_video_source {
    const char *name; // in messages
    fs_child decoder;
    int file;
    fs_y4m y4m;
    uint64_t frames; // 0: unknown
} fs_video_source;

// Opens a video, "-" being Y4M on standard input, and reads its header; complains on failure. Close it in either case.
bool fs_video_source_open(fs_video_source *source, const char *path);
// stop: before its end. Whether the stream ended well; complains if not.
bool fs_video_source_close(fs_video_source *source, bool stop);

typedef struct fs_video_sink {
    const char *path; // NULL: not wanted
    fs_writer out;    // not used for standard output
    fs_child encoder;
    int file;
    fs_y4m y4m;
    uint8_t *planes; // of a frame in colour
    uint64_t frames; // written
    bool failed;
    bool kept; // once closed: the file is there, with its frames
} fs_video_sink;

// Opens a video of frames like these in size and rate, gray for labels; "-": Y4M on standard output. The file appears
// when it is closed. Complains on failure; close it in either case.
bool fs_video_sink_open(fs_video_sink *sink, bool gray, const char *path, const fs_y4m *like);
// pixels [height][width]: RGB, or one byte for gray. Complains on failure, of ffmpeg's when it is closed.
bool fs_video_sink_put(fs_video_sink *sink, const uint8_t *pixels);
// Waits for ffmpeg's end, so that closing takes no time.
void fs_video_sink_finish(fs_video_sink *sink);
// The file gets its name, with the frames written so far; without any, or after a failure, what was there before stays.
// Complains on failure.
bool fs_video_sink_close(fs_video_sink *sink);

#endif
