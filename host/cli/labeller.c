// Labels pictures of any size with one model: a session that follows their size, or has its own.
#include "host/cli/labeller.h"

#include <string.h>

static bool use_session(fs_labeller *self, int height, int width) {
    if (self->session != NULL && self->session_info.height == height && self->session_info.width == width) return true;
    fscnn_session_close(&self->session);
    return fs_setup_session(self->setup, self->model.engine, height, width, 1, self->tune ? 0 : -1, &self->session,
                            &self->session_info) == FS_EXIT_OK;
}

// Pictures without transparency have no A in their files.
static void drop_alpha(uint8_t *pixels, size_t count) {
    for (size_t i = 1; i < count; i++) memmove(pixels + 3 * i, pixels + 4 * i, 3);
}

static bool run_network(fs_labeller *self, const char *path, const fs_image *image, uint8_t *labels, float *logits,
                        uint8_t *overlay, double *seconds) {
    fscnn_frame frame;
    fscnn_frame_init(&frame, image->channels == 4 ? FSCNN_RGBA8 : FSCNN_RGB8, image->width, image->height,
                     image->pixels);
    fscnn_outputs outputs;
    fscnn_outputs_init(&outputs);
    outputs.labels = labels;
    outputs.logits = logits;
    outputs.overlay = overlay;
    outputs.overlay_alpha = (float)self->alpha;
    outputs.size = FSCNN_SIZE_FRAME;
    double start = fs_seconds();
    if (fscnn_run(self->session, &frame, &outputs) != FSCNN_OK) {
        fs_complain("%s: %s", path, fscnn_error());
        return false;
    }
    *seconds = fs_seconds() - start;
    if (overlay != NULL) drop_alpha(overlay, (size_t)image->width * (size_t)image->height);
    return true;
}

bool fs_labeller_read(const fs_labeller *self, const char *path, fs_image *picture) {
    int channels = self->model.info.channels;
    if (fs_image_read(path, channels == 4 ? 0 : channels, picture) != FS_OK) {
        fs_complain("%s", fs_error_text());
        return false;
    }
    if (channels == 4 && picture->channels != 4) {
        fs_complain(
            "%s: the model takes a 4th channel in the picture's alpha, which this one lacks; 255 is taken for it",
            path);
        fs_image_free(picture);
        if (fs_image_read(path, channels, picture) != FS_OK) {
            fs_complain("%s", fs_error_text());
            return false;
        }
    }
    return true;
}

bool fs_labeller_run(fs_labeller *self, const char *path, const fs_image *picture, uint8_t *labels, float *logits,
                     uint8_t *overlay, double *seconds) {
    fs_size size = self->size;
    if (size.height == 0) {
        size = (fs_size){picture->height, picture->width};
        if (size.height < FS_LABELLER_MIN_SIDE || size.width < FS_LABELLER_MIN_SIDE ||
            size.height > FS_LABELLER_MAX_SIDE || size.width > FS_LABELLER_MAX_SIDE) {
            fs_complain(
                "%s: %dx%d pixels (height x width), but the network takes %d to %d a side; pass --size HxW to resize",
                path, size.height, size.width, FS_LABELLER_MIN_SIDE, FS_LABELLER_MAX_SIDE);
            return false;
        }
    }
    return use_session(self, size.height, size.width) &&
           run_network(self, path, picture, labels, logits, overlay, seconds);
}

int fs_labeller_open(fs_labeller *self, const char *verb) {
    const int code = fs_setup_open(self->setup, verb, false, &self->model);
    if (code != FS_EXIT_OK) return code;
    for (int i = 0; i < self->model.info.classes && i < 256; i++)
        fscnn_engine_class_color(self->model.engine, i, self->palette[i]);
    return FS_EXIT_OK;
}

void fs_labeller_close(fs_labeller *self) {
    fscnn_session_close(&self->session);
    fscnn_engine_close(&self->model.engine);
}
