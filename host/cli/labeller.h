// Labels pictures of any size with one model: a session that follows their size, and scores brought back to it.
#ifndef FS_CLI_LABELLER_H
#define FS_CLI_LABELLER_H

#include "host/cli/cli.h"
#include "host/image/image.h"

enum { FS_LABELLER_MIN_SIDE = 64, FS_LABELLER_MAX_SIDE = 16384, FS_LABELLER_OVERLAY = 4 };

typedef struct fs_labeller {
    const fs_setup *setup;
    fs_size size; // of the network; 0x0: each picture's own
    bool tune;    // worth it from some 16 pictures on
    double alpha; // the colours' share in overlays; 0: the library's own
    // Set by open.
    fs_model_open model;
    uint8_t palette[256][3];
    fscnn_session *session;
    fscnn_session_info session_info;
} fs_labeller;

// Opens the model; complains on failure. Returns an exit code.
int fs_labeller_open(fs_labeller *labeller, const char *verb);
void fs_labeller_close(fs_labeller *labeller);
// Reads a picture with the model's channels. Complains on failure, and of a 4th channel that is not there.
bool fs_labeller_read(const fs_labeller *labeller, const char *path, fs_image *picture);
// Of a picture, at its own size: labels [height][width] and, unless NULL, scores [classes][height][width] before
// softmax and the picture with the classes' colours, RGB [height][width][3], in memory that has room for
// FS_LABELLER_OVERLAY bytes a pixel.
// *seconds: of the library alone. `path` stands in messages. Complains on failure.
bool fs_labeller_run(fs_labeller *labeller, const char *path, const fs_image *picture, uint8_t *labels, float *logits,
                     uint8_t *overlay, double *seconds);

#endif
