// The element's use of the library: opens engine and session, and brings labels to the frame's size.
#include "host/gst/network.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// Where a pixel of the frame lies between two columns (or rows) of the network's grid.
struct fs_network_column {
    int first, second;
    float share; // of second
};

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

static void forget_frames(fs_network *self) {
    free(self->labels);
    free(self->logits);
    free(self->columns);
    self->labels = NULL, self->logits = NULL, self->columns = NULL;
    self->frame_width = self->frame_height = 0;
}

void fs_network_close(fs_network *self) {
    forget_frames(self);
    fscnn_session_close(&self->session);
    fscnn_engine_close(&self->engine);
}

// Source position (i + 0.5) * in / out - 0.5, clamped to the grid.
static fs_network_column column_at(int i, int in, int out) {
    double source = ((double)i + 0.5) * in / out - 0.5;
    if (source < 0) source = 0;
    int first = (int)source;
    if (first > in - 1) first = in - 1;
    const int second = first < in - 1 ? first + 1 : first;
    return (fs_network_column){first, second, (float)(source - first)};
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
    forget_frames(self);
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
    if (width == frame_width && height == frame_height) return FSCNN_OK;
    const size_t pixels = (size_t)width * (size_t)height;
    self->labels = malloc(pixels);
    self->logits = calloc(pixels * (size_t)self->info.classes, sizeof *self->logits);
    self->columns = calloc((size_t)frame_width, sizeof *self->columns);
    if (self->labels == NULL || self->logits == NULL || self->columns == NULL) {
        forget_frames(self);
        return fail(self, FSCNN_ERR_MEMORY, "out of memory for the scores of %dx%d pixels; set a smaller size", height,
                    width);
    }
    for (int x = 0; x < frame_width; x++) self->columns[x] = column_at(x, width, frame_width);
    return FSCNN_OK;
}

// The class with the highest score between four cells of the grid; the lowest index of equals.
static uint8_t best_between(const fs_network *self, size_t top, size_t bottom, fs_network_column x, float share_y) {
    const size_t plane = (size_t)self->width * (size_t)self->height;
    const float *scores = self->logits;
    float best = 0;
    int class = 0;
    for (int c = 0; c < self->info.classes; c++, scores += plane) {
        const float *a = scores + top, *b = scores + bottom;
        const float above = a[x.first] + (a[x.second] - a[x.first]) * x.share;
        const float below = b[x.first] + (b[x.second] - b[x.first]) * x.share;
        const float score = above + (below - above) * share_y;
        if (c == 0 || score > best) best = score, class = c;
    }
    return (uint8_t) class;
}

// A class that is the best one in all four cells around a pixel is the best one between them, so scores are mixed only
// where the labels around differ.
static void resize_labels(const fs_network *self, uint8_t *out, size_t stride) {
    for (int y = 0; y < self->frame_height; y++, out += stride) {
        const fs_network_column row = column_at(y, self->height, self->frame_height);
        const size_t top = (size_t)row.first * (size_t)self->width, bottom = (size_t)row.second * (size_t)self->width;
        const uint8_t *above = self->labels + top, *below = self->labels + bottom;
        for (int x = 0; x < self->frame_width; x++) {
            const fs_network_column at = self->columns[x];
            const uint8_t label = above[at.first];
            const bool same = label == above[at.second] && label == below[at.first] && label == below[at.second];
            out[x] = same ? label : best_between(self, top, bottom, at, row.share);
        }
    }
}

fscnn_status fs_network_run(fs_network *self, const fscnn_frame *frame, uint8_t *labels, size_t stride) {
    if (frame->width != self->frame_width || frame->height != self->frame_height)
        return fail(self, FSCNN_ERR_STATE, "a frame of %dx%d pixels (height x width) where %dx%d were announced",
                    frame->height, frame->width, self->frame_height, self->frame_width);
    fscnn_outputs outputs;
    fscnn_outputs_init(&outputs);
    const bool resized = self->labels != NULL;
    outputs.labels = resized ? self->labels : labels;
    outputs.labels_stride = resized ? 0 : stride;
    outputs.logits = self->logits;
    const fscnn_status status = pass_on(self, fscnn_run(self->session, frame, &outputs));
    if (status == FSCNN_OK && resized) resize_labels(self, labels, stride);
    return status;
}
