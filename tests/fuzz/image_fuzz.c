// libFuzzer target: any bytes as a picture. Decodes with a small size limit, so that memory stays bounded.
#include <stdlib.h>

#include "host/image/codec.h"

enum { FUZZ_MAX_SIDE = 256 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    const fs_source source = {data, size, "fuzz", FUZZ_MAX_SIDE};
    static const int channels[3] = {0, 3, 4};
    for (int i = 0; i < 3; i++) {
        fs_image image = {0};
        fs_status status = fs_image_decode_within(&source, channels[i], &image);
        if (status != FS_OK) {
            if (image.pixels != NULL || fs_error_text()[0] == '\0') abort();
            continue;
        }
        if (image.width < 1 || image.width > FUZZ_MAX_SIDE || image.height < 1 || image.height > FUZZ_MAX_SIDE) abort();
        if (channels[i] != 0 ? image.channels != channels[i] : image.channels != 3 && image.channels != 4) abort();
        // Reads every byte: a decoder that leaves some unwritten shows up under MemorySanitizer and valgrind.
        volatile uint8_t sink = 0;
        for (size_t at = 0; at < (size_t)image.width * (size_t)image.height * (size_t)image.channels; at++)
            sink ^= image.pixels[at];
        fs_image_free(&image);
    }
    return 0;
}
