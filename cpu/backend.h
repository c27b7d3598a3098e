// The CPU backend's table.
#ifndef FS_CPU_BACKEND_H
#define FS_CPU_BACKEND_H

#include "runtime/backend.h"

extern const fs_backend fs_cpu_backend;

// Calibration for int8: the range of each layer's input over typical frames, found by running the reference network.
typedef struct fs_calibration fs_calibration;
// `weights` must outlive it. FS_ERR_MEMORY.
fs_status fs_calibration_open(const fs_weights *weights, fs_calibration **calibration);
// frame: [height][width][channels], channels in the model's order. Takes a few seconds a megapixel, and about 400 bytes
// a pixel. FS_ERR_MEMORY, FS_ERR_ARGUMENT for a size that the network does not take.
fs_status fs_calibration_add(fs_calibration *calibration, const uint8_t *frame, int height, int width);
// By layer: the best quantiser, and what int8 costs there: the error's root mean square over sampled outputs, relative
// to the outputs' own deviation from their means. scale 0 for layers that do not run in int8. FS_ERR_MEMORY.
fs_status fs_calibration_result(const fs_calibration *calibration, fs_quant quant[FS_LAYERS], double error[FS_LAYERS]);
void fs_calibration_close(fs_calibration *calibration); // accepts NULL

#endif
