// Public calls on calibrators: frames in, a weights file with int8 scales out.
#include <string.h>

#include "cpu/backend.h"
#include "host/engine.h"
#include "runtime/base/mem.h"
#include "weights/quant.h"

struct fscnn_calibrator {
    char *path;
    fs_weights weights;
    fs_calibration *calibration;
    fs_layer layers[FS_LAYERS];
    uint64_t frames;
    // Of `frames_judged` frames.
    fs_quant quant[FS_LAYERS];
    double error[FS_LAYERS];
    uint64_t frames_judged;
};

static fs_status open_calibrator(const char *path, fscnn_calibrator *c) {
    if (strncmp(path, "random:", 7) == 0)
        return fs_fail(FS_ERR_ARGUMENT, "'%s' is no file: calibrate a model that was trained", path);
    c->path = fs_malloc(strlen(path) + 1, 1);
    if (c->path == NULL) return fs_fail(FS_ERR_MEMORY, "out of memory for a calibrator");
    memcpy(c->path, path, strlen(path) + 1);
    FS_TRY(fs_weights_load(path, &c->weights, NULL));
    fs_model_layers(&c->weights.model, c->layers);
    return fs_calibration_open(&c->weights, &c->calibration);
}

fscnn_status fscnn_calibrator_open(const char *weights, fscnn_calibrator **calibrator) {
    if (weights == NULL || calibrator == NULL)
        return (fscnn_status)fs_fail(FS_ERR_ARGUMENT, "fscnn_calibrator_open: weights and calibrator must not be NULL");
    fscnn_calibrator *c = fs_calloc(1, sizeof *c);
    if (c == NULL) return (fscnn_status)fs_fail(FS_ERR_MEMORY, "out of memory for a calibrator");
    const fs_status status = open_calibrator(weights, c);
    if (status == FS_OK)
        *calibrator = c;
    else
        fscnn_calibrator_close(&c);
    return (fscnn_status)status;
}

void fscnn_calibrator_close(fscnn_calibrator **calibrator) {
    if (calibrator == NULL || *calibrator == NULL) return;
    fscnn_calibrator *c = *calibrator;
    fs_calibration_close(c->calibration);
    fs_weights_free(&c->weights);
    fs_free(c->path);
    fs_free(c);
    *calibrator = NULL;
}

int32_t fscnn_calibrator_channels(const fscnn_calibrator *c) {
    return c ? c->weights.model.channels : 0;
}

static fs_status add(fscnn_calibrator *c, const fscnn_frame *given) {
    fscnn_frame f;
    FS_TRY(fs_take_struct(given, &f, sizeof f, "fscnn_frame"));
    const int channels = c->weights.model.channels;
    const fscnn_format wanted = channels == 4 ? FSCNN_RGBA8 : FSCNN_RGB8;
    if (f.format != wanted || f.memory != FSCNN_MEMORY_HOST || f.plane[0] == NULL)
        return fs_fail(FS_ERR_ARGUMENT, "a calibrator of this model takes frames of %s in host memory",
                       channels == 4 ? "RGBA8" : "RGB8");
    if (f.width < FS_MIN_SIZE || f.height < FS_MIN_SIZE || f.width > FS_MAX_SIZE || f.height > FS_MAX_SIZE)
        return fs_fail(FS_ERR_ARGUMENT, "frame size %dx%d (height x width): the network takes %d to %d a side",
                       f.height, f.width, FS_MIN_SIZE, FS_MAX_SIZE);
    const size_t row = (size_t)f.width * (size_t)channels, stride = f.stride[0] ? f.stride[0] : row;
    if (stride < row) return fs_fail(FS_ERR_ARGUMENT, "frame.stride[0] is %zu bytes, a row has %zu", stride, row);
    uint8_t *pixels = fs_malloc((size_t)f.height, row);
    if (pixels == NULL) return fs_fail(FS_ERR_MEMORY, "out of memory for a frame of %dx%d", f.width, f.height);
    for (int y = 0; y < f.height; y++)
        memcpy(pixels + (size_t)y * row, (const uint8_t *)f.plane[0] + (size_t)y * stride, row);
    const fs_status status = fs_calibration_add(c->calibration, pixels, f.height, f.width);
    fs_free(pixels);
    if (status == FS_OK) c->frames++;
    return status;
}

fscnn_status fscnn_calibrator_add(fscnn_calibrator *c, const fscnn_frame *frame) {
    if (c == NULL || frame == NULL)
        return (fscnn_status)fs_fail(FS_ERR_ARGUMENT, "fscnn_calibrator_add: calibrator and frame must not be NULL");
    return (fscnn_status)add(c, frame);
}

// Quantisers and errors of all frames so far.
static fs_status judge(fscnn_calibrator *c) {
    if (c->frames == 0) return fs_fail(FS_ERR_STATE, "calibration on nothing: add typical frames first");
    if (c->frames_judged == c->frames) return FS_OK;
    FS_TRY(fs_calibration_result(c->calibration, c->quant, c->error));
    c->frames_judged = c->frames;
    return FS_OK;
}

void fscnn_calibrated_layer_init(fscnn_calibrated_layer *layer) {
    if (layer) *layer = (fscnn_calibrated_layer){.struct_size = sizeof *layer};
}

fscnn_status fscnn_calibrator_get_layer(fscnn_calibrator *c, int32_t index, fscnn_calibrated_layer *layer) {
    if (c == NULL || layer == NULL)
        return (fscnn_status)fs_fail(FS_ERR_ARGUMENT,
                                     "fscnn_calibrator_get_layer: calibrator and layer must not be NULL");
    if (index < 0 || index >= FS_LAYERS)
        return (fscnn_status)fs_fail(FS_ERR_ARGUMENT, "fscnn_calibrator_get_layer: layer %d is not one of 0..%d", index,
                                     FS_LAYERS - 1);
    const fs_status status = judge(c);
    if (status != FS_OK) return (fscnn_status)status;
    const fscnn_calibrated_layer answer = {
        .struct_size = sizeof answer,
        .candidate = fs_layer_takes_int8(index),
        .name = c->layers[index].name,
        .error = c->error[index],
        .scale = c->quant[index].scale,
        .zero = c->quant[index].zero,
    };
    return (fscnn_status)fs_give_struct(&answer, layer, sizeof answer, "fscnn_calibrated_layer");
}

fscnn_status fscnn_calibrator_save(fscnn_calibrator *c, double max_error, const char *path) {
    if (c == NULL || path == NULL)
        return (fscnn_status)fs_fail(FS_ERR_ARGUMENT, "fscnn_calibrator_save: calibrator and path must not be NULL");
    if (!(max_error > 0)) return (fscnn_status)fs_fail(FS_ERR_ARGUMENT, "max_error must be above 0");
    fs_status status = judge(c);
    if (status != FS_OK) return (fscnn_status)status;
    fs_quant chosen[FS_LAYERS];
    bool any = false;
    for (int i = 0; i < FS_LAYERS; i++) {
        const bool ffm = i == FS_L_FFM_LOW_PW || i == FS_L_FFM_HIGH_PW; // one product: both or none
        const double error = ffm && c->error[FS_L_FFM_HIGH_PW] > c->error[FS_L_FFM_LOW_PW] ? c->error[FS_L_FFM_HIGH_PW]
                             : ffm                                                         ? c->error[FS_L_FFM_LOW_PW]
                                                                                           : c->error[i];
        chosen[i] = fs_layer_takes_int8(i) && error <= max_error ? c->quant[i] : (fs_quant){0, 0};
        any |= chosen[i].scale > 0;
    }
    if (!any)
        return (fscnn_status)fs_fail(FS_ERR_STATE, "every layer's error is above %g: nothing would run in int8",
                                     max_error);
    return (fscnn_status)fs_quant_save(c->path, chosen, path);
}
