// Fuzz target: any bytes as a weights file. The reader may refuse them, but not crash, leak or read beyond them.
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include "runtime/base/mem.h"
#include "weights/weights.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static fs_labels labels;
    fs_weights weights = {0};
    fs_status status = fs_weights_parse(data, size, "fuzz.safetensors", &weights, &labels);
    if (status != FS_OK && (weights.block != NULL || fs_error_text()[0] == '\0')) abort();
    fs_weights_free(&weights);
    if (fs_mem_live_blocks() != 0) abort();
    return 0;
}
