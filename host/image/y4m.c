// YUV4MPEG2: header words, frames of planes, and the way between planes and RGB.
#include "host/image/y4m.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "host/image/codec.h"

enum { LINE = 512 };

fs_status fs_stream_read(int file, const char *name, void *data, size_t bytes, size_t *got) {
    size_t done = 0;
    while (done < bytes) {
        const ssize_t n = read(file, (char *)data + done, bytes - done);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) return fs_fail(FS_ERR_IO, "%s: cannot read: %s", name, strerror(errno));
        if (n == 0) break;
        done += (size_t)n;
    }
    *got = done;
    return FS_OK;
}

fs_status fs_stream_write(int file, const char *name, const void *data, size_t bytes) {
    for (size_t done = 0; done < bytes;) {
        const ssize_t n = write(file, (const char *)data + done, bytes - done);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) return fs_fail(FS_ERR_IO, "%s: cannot write: %s", name, strerror(errno));
        done += (size_t)n;
    }
    return FS_OK;
}

// A line without its newline. *length < 0: the stream ended before its first byte. Byte by byte: what follows the line
// must stay in the pipe.
static fs_status read_line(int file, const char *name, char *line, int *length) {
    int n = 0;
    for (;; n++) {
        size_t got = 0;
        if (n == LINE - 1) return fs_fail(FS_ERR_FORMAT, "%s: a header line of more than %d bytes", name, LINE - 2);
        FS_TRY(fs_stream_read(file, name, line + n, 1, &got));
        if (got == 0 && n == 0) {
            *length = -1;
            return FS_OK;
        }
        if (got == 0) return fs_fail(FS_ERR_FORMAT, "%s: the stream ends in a header", name);
        if (line[n] == '\n') break;
    }
    line[n] = '\0';
    *length = n;
    return FS_OK;
}

static void set_layout(fs_y4m *y) {
    const size_t pixels = (size_t)y->width * (size_t)y->height;
    size_t chroma = 0;
    if (y->chroma_x)
        chroma = (size_t)((y->width + y->chroma_x - 1) / y->chroma_x) *
                 (size_t)((y->height + y->chroma_y - 1) / y->chroma_y);
    y->frame_bytes = pixels + 2 * chroma;
}

// "420jpeg" and its kin differ in where chroma is sampled, by less than a pixel: all are read alike.
static fs_status read_chroma(const char *name, const char *word, fs_y4m *y) {
    static const struct {
        const char *word;
        int x, y;
    } known[] = {{"420jpeg", 2, 2}, {"420mpeg2", 2, 2}, {"420paldv", 2, 2}, {"420", 2, 2},
                 {"422", 2, 1},     {"444", 1, 1},      {"mono", 0, 0}};
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (strcmp(word, known[i].word) == 0) {
            y->chroma_x = known[i].x, y->chroma_y = known[i].y;
            return FS_OK;
        }
    return fs_fail(FS_ERR_UNSUPPORTED,
                   "%s: samples are '%.40s'; 420, 422, 444 and mono of 8 bits are read (ffmpeg -pix_fmt yuv420p "
                   "converts)",
                   name, word);
}

static bool whole(const char *text, int *value) {
    char *end;
    errno = 0;
    const long v = strtol(text, &end, 10);
    if (end == text || *end || errno || v < 0 || v > 1000000000) return false;
    *value = (int)v;
    return true;
}

// Where nothing is said, players take what the size suggests.
static bool is_hd(int height) {
    return height >= 720;
}

fs_status fs_y4m_read_header(int file, const char *name, fs_y4m *y4m) {
    char line[LINE];
    int length;
    FS_TRY(read_line(file, name, line, &length));
    if (length < 0) return fs_fail(FS_ERR_FORMAT, "%s: an empty stream, no YUV4MPEG2 video", name);
    if (strncmp(line, "YUV4MPEG2", 9) != 0 || (line[9] != ' ' && line[9] != '\0'))
        return fs_fail(FS_ERR_FORMAT, "%s: no YUV4MPEG2 video (its first line does not say so)", name);
    fs_y4m y = {.chroma_x = 2, .chroma_y = 2, .header_bytes = (size_t)length + 1};
    char *save = NULL;
    for (char *word = strtok_r(line + 9, " ", &save); word; word = strtok_r(NULL, " ", &save)) {
        const char *value = word + 1;
        bool fine = true;
        switch (*word) {
        case 'W': fine = whole(value, &y.width); break;
        case 'H': fine = whole(value, &y.height); break;
        case 'F': fine = sscanf(value, "%d:%d", &y.rate, &y.scale) == 2 && y.rate >= 0 && y.scale >= 0; break;
        case 'A':
            if (sscanf(value, "%d:%d", &y.aspect_x, &y.aspect_y) != 2) y.aspect_x = 0;
            break;
        case 'C': FS_TRY(read_chroma(name, value, &y)); break;
        case 'I':
            if (*value != 'p' && *value != '?')
                return fs_fail(FS_ERR_UNSUPPORTED, "%s: interlaced video; deinterlace it first (ffmpeg -vf yadif)",
                               name);
            break;
        case 'X': y.full_range |= strcmp(word, "XCOLORRANGE=FULL") == 0; break;
        default: break; // comments
        }
        if (!fine) return fs_fail(FS_ERR_FORMAT, "%s: '%.40s' in the header makes no sense", name, word);
    }
    if (y.width < 1 || y.height < 1) return fs_fail(FS_ERR_FORMAT, "%s: the header gives no size (W and H)", name);
    if (!fs_image_is_side(y.width) || !fs_image_is_side(y.height))
        return fs_fail(FS_ERR_LIMIT, "%s: %dx%d pixels (height x width) are more than %d a side", name, y.height,
                       y.width, FS_IMAGE_MAX_SIDE);
    if (y.scale == 0) y.rate = 0;
    if (y.aspect_x <= 0 || y.aspect_y <= 0) y.aspect_x = y.aspect_y = 0;
    y.bt709 = is_hd(y.height);
    set_layout(&y);
    *y4m = y;
    return FS_OK;
}

fs_status fs_y4m_read_frame(int file, const char *name, const fs_y4m *y4m, uint64_t number, uint8_t *planes,
                            bool *end) {
    char line[LINE];
    int length;
    FS_TRY(read_line(file, name, line, &length));
    *end = length < 0;
    if (*end) return FS_OK;
    if (strncmp(line, "FRAME", 5) != 0 || (line[5] != ' ' && line[5] != '\0'))
        return fs_fail(FS_ERR_FORMAT, "%s: frame %llu does not begin with FRAME: the stream is damaged", name,
                       (unsigned long long)number);
    size_t got = 0;
    FS_TRY(fs_stream_read(file, name, planes, y4m->frame_bytes, &got));
    if (got == y4m->frame_bytes) return FS_OK;
    return fs_fail(FS_ERR_FORMAT, "%s: the stream ends in frame %llu, after %zu of %zu bytes", name,
                   (unsigned long long)number, got, y4m->frame_bytes);
}

static uint8_t clamp8(int v) {
    return (uint8_t)(v < 0 ? 0 : v > 255 ? 255 : v);
}

// Coefficients of ITU-R BT.601 and BT.709 in 1/65536, for limited range scaled by 255/219 (luma) and 255/224 (chroma).
typedef struct matrix {
    int luma, red, green_blue, green_red, blue, offset;
} matrix;

static matrix matrix_of(const fs_y4m *y) {
    const double kr = y->bt709 ? 0.2126 : 0.299, kb = y->bt709 ? 0.0722 : 0.114, kg = 1 - kr - kb;
    const double luma = y->full_range ? 1 : 255.0 / 219, chroma = y->full_range ? 1 : 255.0 / 224;
    const double one = 65536;
    return (matrix){.luma = (int)(luma * one + 0.5),
                    .red = (int)(2 * (1 - kr) * chroma * one + 0.5),
                    .green_blue = (int)(2 * (1 - kb) * kb / kg * chroma * one + 0.5),
                    .green_red = (int)(2 * (1 - kr) * kr / kg * chroma * one + 0.5),
                    .blue = (int)(2 * (1 - kb) * chroma * one + 0.5),
                    .offset = y->full_range ? 0 : 16};
}

void fs_y4m_to_rgb(const fs_y4m *y, const uint8_t *planes, uint8_t *rgb) {
    const size_t width = (size_t)y->width, pixels = width * (size_t)y->height;
    const matrix m = matrix_of(y);
    if (y->chroma_x == 0) {
        for (size_t i = 0; i < pixels; i++)
            memset(rgb + 3 * i, clamp8((m.luma * (planes[i] - m.offset) + 32768) >> 16), 3);
        return;
    }
    const size_t chroma_width = (width + (size_t)y->chroma_x - 1) / (size_t)y->chroma_x;
    const uint8_t *const cb = planes + pixels, *const cr = cb + (y->frame_bytes - pixels) / 2;
    for (int row = 0; row < y->height; row++) {
        const uint8_t *luma = planes + (size_t)row * width;
        const size_t line = (size_t)(row / y->chroma_y) * chroma_width;
        for (size_t x = 0; x < width; x++, rgb += 3) {
            const size_t at = line + x / (size_t)y->chroma_x;
            const int u = cb[at] - 128, v = cr[at] - 128;
            const int l = m.luma * (luma[x] - m.offset) + 32768;
            rgb[0] = clamp8((l + m.red * v) >> 16);
            rgb[1] = clamp8((l - m.green_blue * u - m.green_red * v) >> 16);
            rgb[2] = clamp8((l + m.blue * u) >> 16);
        }
    }
}

fs_y4m fs_y4m_describe(int width, int height, int rate, int scale, bool gray) {
    fs_y4m y = {
        .width = width, .height = height, .rate = rate, .scale = scale, .full_range = gray, .bt709 = is_hd(height)};
    if (!gray) y.chroma_x = 2, y.chroma_y = 2;
    set_layout(&y);
    return y;
}

fs_status fs_y4m_write_header(int file, const char *name, const fs_y4m *y) {
    char line[LINE];
    const bool known = y->rate > 0 && y->scale > 0;
    const int n = snprintf(line, sizeof line, "YUV4MPEG2 W%d H%d F%d:%d Ip A%d:%d C%s XCOLORRANGE=%s\n", y->width,
                           y->height, known ? y->rate : 25, known ? y->scale : 1, y->aspect_x > 0 ? y->aspect_x : 1,
                           y->aspect_x > 0 ? y->aspect_y : 1, y->chroma_x ? "420jpeg" : "mono",
                           y->full_range ? "FULL" : "LIMITED");
    return fs_stream_write(file, name, line, (size_t)n);
}

void fs_y4m_from_rgb(const fs_y4m *y, const uint8_t *rgb, uint8_t *planes) {
    const double kr = y->bt709 ? 0.2126 : 0.299, kb = y->bt709 ? 0.0722 : 0.114, kg = 1 - kr - kb;
    const int one = 65536, width = y->width, height = y->height;
    const int yr = (int)(kr * 219 / 255 * one + 0.5), yg = (int)(kg * 219 / 255 * one + 0.5),
              yb = (int)(kb * 219 / 255 * one + 0.5);
    const double ub = 0.5 * 224 / 255 * one, ur = ub * kr / (1 - kb), ug = ub * kg / (1 - kb);
    const double vr = ub, vb = ub * kb / (1 - kr), vg = ub * kg / (1 - kr);
    const size_t pixels = (size_t)width * (size_t)height;
    for (size_t i = 0; i < pixels; i++)
        planes[i] = (uint8_t)(16 + ((yr * rgb[3 * i] + yg * rgb[3 * i + 1] + yb * rgb[3 * i + 2] + one / 2) >> 16));
    uint8_t *cb = planes + pixels, *cr = cb + (y->frame_bytes - pixels) / 2;
    for (int row = 0; row < height; row += 2)
        for (int x = 0; x < width; x += 2) {
            int sum[3] = {0, 0, 0}, count = 0;
            for (int dy = 0; dy < 2 && row + dy < height; dy++)
                for (int dx = 0; dx < 2 && x + dx < width; dx++, count++)
                    for (int c = 0; c < 3; c++)
                        sum[c] += rgb[3 * ((size_t)(row + dy) * (size_t)width + (size_t)(x + dx)) + (size_t)c];
            const double r = (double)sum[0] / count, g = (double)sum[1] / count, b = (double)sum[2] / count;
            *cb++ = clamp8((int)(128.5 + (ub * b - ur * r - ug * g) / one));
            *cr++ = clamp8((int)(128.5 + (vr * r - vg * g - vb * b) / one));
        }
}

fs_status fs_y4m_write_frame(int file, const char *name, const fs_y4m *y4m, const uint8_t *planes) {
    FS_TRY(fs_stream_write(file, name, "FRAME\n", 6));
    return fs_stream_write(file, name, planes, y4m->frame_bytes);
}
