// What calibration leaves in a weights file: the metadata fastscnn.int8.*, read and written.
#ifndef FS_WEIGHTS_QUANT_H
#define FS_WEIGHTS_QUANT_H

#include "weights/safetensors.h"
#include "weights/weights.h"

// Fills weights->int8 and int8_passed. FS_ERR_WEIGHTS names the file, the key and the fix.
fs_status fs_quant_read(const fs_safetensors *file, fs_weights *weights);
// Writes a copy of the weights file `in` with these scales (0: none) in place of what calibration it had. The file
// `out` appears whole or not at all; it may be `in`. FS_ERR_IO, else as fs_weights_load.
fs_status fs_quant_save(const char *in, const fs_quant quant[FS_LAYERS], const char *out);

#endif
