// Videos for `segment`: decoded, labelled and encoded at the same time.
#ifndef FS_CLI_VIDEO_H
#define FS_CLI_VIDEO_H

#include "host/cli/jobs.h"
#include "host/cli/labeller.h"

// Whether an operand names a video: "-" (Y4M on standard input), by its ending, or because ffprobe finds one in a file
// that is no picture.
bool fs_video_is_name(const char *path);
// By its ending alone.
bool fs_video_has_ending(const char *path);
// Whether an output of this kind can be a video of this name; says what can when not.
bool fs_video_check_name(fs_kind kind, const char *path);
// The name of an output when only a folder (NULL: the current one) is given: "<folder>/<stem>_overlay.mp4". The kinds
// of file follow the input's: .y4m gives .y4m. NULL when memory is out; fs_free it.
char *fs_video_name(const char *in, fs_kind kind, const char *folder);

typedef struct fs_video_request {
    const char *in;
    const char *out[FS_KINDS]; // NULL: not wanted; "-": Y4M on standard output
    const uint8_t *label_ids;  // applied to labels, 256 entries, or NULL
    bool quiet;
} fs_video_request;

// Runs it all with an open labeller; complains on failure. A stream that breaks off and an interrupt leave what was
// made of it, and FS_EXIT_FAILED; a second interrupt ends the program with nothing left behind.
int fs_video_segment(fs_labeller *labeller, const fs_video_request *request);

#endif
