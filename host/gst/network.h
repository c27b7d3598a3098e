// The element's use of the library, free of GStreamer: one engine, a session that follows the frames, labels of their
// size.
#ifndef FS_GST_NETWORK_H
#define FS_GST_NETWORK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <fastscnn/fastscnn.h>

enum { FS_NETWORK_MIN_SIDE = 64, FS_NETWORK_MAX_SIDE = 16384 };

// Zeroed: closed. One thread at a time.
typedef struct fs_network {
    fscnn_engine *engine;
    fscnn_engine_info info;
    uint8_t palette[256][3]; // RGB of each class
    char error[1024];        // of the last failure
    // Set by fs_network_prepare.
    fscnn_session *session;
    int width, height;             // of the session
    int frame_width, frame_height; // of the frames
} fs_network;

// Opens the weights. On failure `network` stays closed, with `error` set.
fscnn_status fs_network_open(fs_network *network, const char *weights, const fscnn_engine_options *options);
void fs_network_close(fs_network *network); // fine when closed
// Gets ready for frames of a size. width and height are the network's size; 0: the frames' own. A session of the right
// size is kept. After a failure there is no session, and another size may be tried.
fscnn_status fs_network_prepare(fs_network *network, int frame_width, int frame_height, int width, int height,
                                int threads, bool tune);
// Labels a frame of the prepared size into labels[frame_height][stride]. Frames of another size than the network's are
// resized to it, and the scores brought to the frame's size before the best class is taken, as in `fastscnn segment`.
fscnn_status fs_network_run(fs_network *network, const fscnn_frame *frame, uint8_t *labels, size_t stride);

#endif
