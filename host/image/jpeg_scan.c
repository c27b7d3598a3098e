// Reads a JPEG's marker structure (ITU-T T.81, annex B) without decoding: size, kind, and whether the file is whole.
#include <string.h>

#include "host/image/codec.h"

enum { SOI = 0xd8, EOI = 0xd9, SOS = 0xda, APP14 = 0xee, TEM = 0x01 };

static bool is_frame_header(uint8_t marker) {
    return marker >= 0xc0 && marker <= 0xcf && marker != 0xc4 && marker != 0xc8 && marker != 0xcc;
}

static bool is_alone(uint8_t marker) { // no length and no payload
    return marker == TEM || marker == SOI || (marker >= 0xd0 && marker <= 0xd7);
}

// The next marker from *pos on, skipping what is between (entropy-coded data has FF00 for a data byte FF), or 0.
static uint8_t next_marker(const uint8_t *data, size_t size, size_t *pos) {
    while (*pos < size) {
        const uint8_t *mark = memchr(data + *pos, 0xff, size - *pos);
        if (mark == NULL) break;
        *pos = (size_t)(mark - data) + 1;
        while (*pos < size && data[*pos] == 0xff) ++*pos;
        if (*pos < size && data[(*pos)++] != 0) return data[*pos - 1];
    }
    *pos = size;
    return 0;
}

bool fs_jpeg_scan(const uint8_t *data, size_t size, fs_jpeg_layout *layout) {
    fs_jpeg_layout found = {0};
    bool have_frame = false, have_scan = false;
    size_t pos = 2; // past SOI
    for (uint8_t marker; (marker = next_marker(data, size, &pos)) != 0;) {
        if (marker == EOI) {
            found.complete = have_scan;
            break;
        }
        if (is_alone(marker)) continue;
        if (size - pos < 2) break;
        size_t length = (size_t)data[pos] << 8 | data[pos + 1];
        if (length < 2 || length > size - pos) break;
        const uint8_t *segment = data + pos + 2;
        if (is_frame_header(marker) && !have_frame && length >= 8) {
            have_frame = true;
            found.height = segment[1] << 8 | segment[2];
            found.width = segment[3] << 8 | segment[4];
            found.components = segment[5];
            found.arithmetic = marker >= 0xc9;
        }
        if (marker == APP14 && length >= 14 && memcmp(segment, "Adobe", 5) == 0) found.adobe = true;
        if (marker == SOS) have_scan = true;
        pos += length;
    }
    if (have_frame) *layout = found;
    return have_frame;
}
