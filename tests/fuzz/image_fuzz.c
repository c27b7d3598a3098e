// libFuzzer target: any bytes as a picture. Decodes with a small size limit, so that memory stays bounded.
#include <stdlib.h>
#include <string.h>

#include "host/image/codec.h"
#include "runtime/base/mem.h"

enum { FUZZ_MAX_SIDE = 256 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void decode(const uint8_t *data, size_t size, int channels) {
    const fs_source source = {data, size, "fuzz", FUZZ_MAX_SIDE};
    fs_image image = {0};
    if (fs_image_decode_within(&source, channels, &image) != FS_OK) {
        if (image.pixels != NULL || strncmp(fs_error_text(), "fuzz: ", 6) != 0) abort();
        return;
    }
    if (image.width < 1 || image.width > FUZZ_MAX_SIDE || image.height < 1 || image.height > FUZZ_MAX_SIDE) abort();
    if (channels != 0 ? image.channels != channels : image.channels != 3 && image.channels != 4) abort();
    // Touches every byte: a buffer smaller than it claims shows up under AddressSanitizer.
    uint64_t sum = 0;
    for (size_t i = 0; i < (size_t)image.width * (size_t)image.height * (size_t)image.channels; i++)
        sum += image.pixels[i];
    if (sum == UINT64_MAX) abort();
    fs_image_free(&image);
}

static uint32_t crc32_of(const uint8_t *data, size_t size) {
    uint32_t crc = 0xffffffff;
    for (size_t i = 0; i < size; i++) {
        crc ^= data[i];
        for (int bit = 0; bit < 8; bit++) crc = crc >> 1 ^ (0xedb88320u & (0u - (crc & 1)));
    }
    return ~crc;
}

// Makes every chunk's checksum right, without which hardly a mutated PNG would get past libpng's first check.
static void repair_png(uint8_t *data, size_t size) {
    for (size_t at = 8; at + 12 <= size;) {
        uint32_t length =
            (uint32_t)data[at] << 24 | (uint32_t)data[at + 1] << 16 | (uint32_t)data[at + 2] << 8 | data[at + 3];
        if (length > size - at - 12) return;
        uint32_t crc = crc32_of(data + at + 4, length + 4);
        for (int i = 0; i < 4; i++) data[at + 8 + length + (size_t)i] = (uint8_t)(crc >> (24 - 8 * i));
        at += 12 + (size_t)length;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    decode(data, size, 0);
    if (fs_image_detect(data, size) != FS_KIND_PNG) {
        decode(data, size, 3);
        decode(data, size, 4);
    } else {
        uint8_t *repaired = fs_malloc(size, 1);
        if (repaired == NULL) abort();
        memcpy(repaired, data, size);
        repair_png(repaired, size);
        decode(repaired, size, 3);
        decode(repaired, size, 4);
        fs_free(repaired);
    }
    if (fs_mem_live_blocks() != 0) abort();
    return 0;
}
