// The element's use of the library: opens engine and session, and asks for labels of the frame's size.
#include "host/gst/network.h"

#include <stdarg.h>
#include <stdio.h>

__attribute__((format(printf, 3, 4))) static fscnn_status fail(fs_network *self, fscnn_status status,
                                                               const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(self->error, sizeof self->error, format, arguments);
    va_end(arguments);
    return status;
}

// The same with the library's own words.
static fscnn_status pass_on(fs_network *self, fscnn_status status) {
    return status == FSCNN_OK ? status : fail(self, status, "%s", fscnn_error());
}

fscnn_status fs_network_open(fs_network *self, const char *weights, const fscnn_engine_options *options) {
    *self = (fs_network){.engine = NULL};
    fscnn_engine_info_init(&self->info);
    fscnn_status status = fscnn_engine_open(weights, options, &self->engine);
    if (status == FSCNN_OK) status = fscnn_engine_get_info(self->engine, &self->info);
    for (int i = 0; status == FSCNN_OK && i < self->info.classes && i < 256; i++)
        status = fscnn_engine_class_color(self->engine, i, self->palette[i]);
    pass_on(self, status);
    if (status != FSCNN_OK) fscnn_engine_close(&self->engine);
    return status;
}

void fs_network_close(fs_network *self) {
    fscnn_session_close(&self->session);
    fscnn_engine_close(&self->engine);
}

static fscnn_status open_session(fs_network *self, int width, int height, int threads, bool tune) {
    fscnn_session_close(&self->session);
    fscnn_session_options options;
    fscnn_session_options_init(&options);
    options.width = self->width = width, options.height = self->height = height;
    options.threads = threads;
    options.in_flight = 1;
    options.tune = tune ? 0 : -1;
    return pass_on(self, fscnn_session_open(self->engine, &options, &self->session));
}

fscnn_status fs_network_prepare(fs_network *self, int frame_width, int frame_height, int width, int height, int threads,
                                bool tune) {
    self->frame_width = self->frame_height = 0;
    if (width == 0 || height == 0) {
        width = frame_width, height = frame_height;
        const int shorter = width < height ? width : height, longer = width < height ? height : width;
        if (shorter < FS_NETWORK_MIN_SIDE || longer > FS_NETWORK_MAX_SIDE)
            return fail(self, FSCNN_ERR_ARGUMENT,
                        "frames of %dx%d pixels (height x width), but the network takes %d to %d a side; set size=HxW "
                        "to resize",
                        height, width, FS_NETWORK_MIN_SIDE, FS_NETWORK_MAX_SIDE);
    }
    if (self->session == NULL || self->width != width || self->height != height) {
        const fscnn_status status = open_session(self, width, height, threads, tune);
        if (status != FSCNN_OK) return status;
    }
    self->frame_width = frame_width, self->frame_height = frame_height;
    return FSCNN_OK;
}

fscnn_status fs_network_run(fs_network *self, const fscnn_frame *frame, uint8_t *labels, size_t stride) {
    if (frame->width != self->frame_width || frame->height != self->frame_height)
        return fail(self, FSCNN_ERR_STATE, "a frame of %dx%d pixels (height x width) where %dx%d were announced",
                    frame->height, frame->width, self->frame_height, self->frame_width);
    fscnn_outputs outputs;
    fscnn_outputs_init(&outputs);
    outputs.labels = labels;
    outputs.labels_stride = stride;
    outputs.size = FSCNN_SIZE_FRAME;
    return pass_on(self, fscnn_run(self->session, frame, &outputs));
}
