// Tests of what the element makes of a frame: labels and overlays of every format, odd sizes, strides, colours, sizes.
#include <criterion/criterion.h>
#include <criterion/parameterized.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "host/image/image.h"
#include "runtime/base/status.h"
#include "tests/gst/video.h"

TestSuite(gst_element, .init = video_set_up, .fini = video_tear_down, .timeout = 240);

static const int sizes[][2] = {{64, 64}, {97, 65}, {66, 131}, {160, 96}};
enum { SIZES = (int)(sizeof sizes / sizeof *sizes) };

typedef struct frame_case {
    int format, size, pad;
} frame_case;

static struct criterion_test_params all_frames(void) {
    static frame_case cases[VIDEO_FORMATS * SIZES * 2];
    int count = 0;
    for (int format = 0; format < VIDEO_FORMATS; format++)
        for (int size = 0; size < SIZES; size++)
            for (int pad = 0; pad < 2; pad++) cases[count++] = (frame_case){format, size, pad * 13};
    return cr_make_param_array(frame_case, cases, (size_t)count);
}

// Pushes caps and a frame; the buffer that comes out.
static GstBuffer *push(GstHarness *h, GstCaps *caps, GstBuffer *buffer) {
    gst_harness_set_src_caps(h, caps);
    cr_assert_eq(gst_harness_push(h, buffer), GST_FLOW_OK);
    GstBuffer *out = gst_harness_pull(h);
    cr_assert_not_null(out);
    return out;
}

static void read_rows(GstBuffer *buffer, const GstVideoInfo *info, int plane, int rows, int bytes, uint8_t *to) {
    GstVideoFrame frame;
    cr_assert(gst_video_frame_map(&frame, info, buffer, GST_MAP_READ | GST_VIDEO_FRAME_MAP_FLAG_NO_REF));
    const uint8_t *at = GST_VIDEO_FRAME_PLANE_DATA(&frame, plane);
    for (int y = 0; y < rows; y++, at += GST_VIDEO_FRAME_PLANE_STRIDE(&frame, plane))
        memcpy(to + (size_t)y * (size_t)bytes, at, (size_t)bytes);
    gst_video_frame_unmap(&frame);
}

static uint8_t *labels_out(GstHarness *h, GstBuffer *out) {
    GstCaps *caps = gst_pad_get_current_caps(h->sinkpad);
    GstVideoInfo info;
    cr_assert(gst_video_info_from_caps(&info, caps));
    gst_caps_unref(caps);
    cr_assert_eq(GST_VIDEO_INFO_FORMAT(&info), GST_VIDEO_FORMAT_GRAY8);
    const int width = GST_VIDEO_INFO_WIDTH(&info), height = GST_VIDEO_INFO_HEIGHT(&info);
    uint8_t *labels = g_malloc((gsize)width * (gsize)height);
    read_rows(out, &info, 0, height, width, labels);
    return labels;
}

ParameterizedTestParameters(gst_element, labels_are_the_librarys) {
    return all_frames();
}

ParameterizedTest(frame_case *c, gst_element, labels_are_the_librarys) {
    const int width = sizes[c->size][0], height = sizes[c->size][1];
    GstCaps *caps = video_caps(video_formats[c->format].name, width, height, NULL);
    GstVideoInfo info;
    cr_assert(gst_video_info_from_caps(&info, caps));
    GstBuffer *in = gst_buffer_ref(video_buffer(&info, c->pad, 7, 0));
    GstBuffer *before = gst_buffer_copy_deep(in);
    GstHarness *h = video_harness(video_element("mode", "labels", NULL));
    GstBuffer *out = push(h, caps, gst_buffer_ref(in));
    uint8_t *got = labels_out(h, out), *want = video_labels(&info, in, 0, 0);
    cr_expect_eq(memcmp(got, want, (size_t)width * (size_t)height), 0, "%s %dx%d pad %d", video_formats[c->format].name,
                 width, height, c->pad);
    int distinct = 0;
    for (int i = 1; i < width * height; i++) distinct += got[i] != got[0];
    cr_expect(distinct > 0, "one class alone proves little");
    GstMapInfo a, b;
    cr_assert(gst_buffer_map(in, &a, GST_MAP_READ) && gst_buffer_map(before, &b, GST_MAP_READ));
    cr_expect(a.size == b.size && memcmp(a.data, b.data, a.size) == 0, "the input was changed");
    gst_buffer_unmap(in, &a);
    gst_buffer_unmap(before, &b);
    g_free(got);
    g_free(want);
    gst_buffer_unref(out);
    gst_buffer_unref(in);
    gst_buffer_unref(in);
    gst_buffer_unref(before);
    gst_harness_teardown(h);
}

// ---- Overlay --------------------------------------------------------------------------------------------------------

static void get_palette(uint8_t palette[256][3]) {
    memset(palette, 0, sizeof(uint8_t[256][3]));
    for (int i = 0; i < 19; i++) cr_assert_eq(fscnn_engine_class_color(video_engine, i, palette[i]), FSCNN_OK);
}

// In RGB: the very bytes that the command writes.
static void expect_rgb(const frame_case *c, const GstVideoInfo *info, GstBuffer *in, GstBuffer *out, float alpha) {
    const int width = GST_VIDEO_INFO_WIDTH(info), height = GST_VIDEO_INFO_HEIGHT(info);
    const int step = GST_VIDEO_INFO_COMP_PSTRIDE(info, 0);
    const bool swapped = c->format == 1 || c->format == 3;
    const size_t bytes = (size_t)width * (size_t)height * (size_t)step;
    uint8_t *from = g_malloc(bytes), *to = g_malloc(bytes), *rgb = g_malloc(bytes), palette[256][3];
    read_rows(in, info, 0, height, width * step, from);
    read_rows(out, info, 0, height, width * step, to);
    for (size_t i = 0; i < (size_t)width * (size_t)height; i++)
        for (size_t k = 0; k < 3; k++) rgb[3 * i + k] = from[(size_t)step * i + (swapped ? 2 - k : k)];
    get_palette(palette);
    uint8_t *labels = video_labels(info, in, 0, 0);
    const size_t w = (size_t)width, h = (size_t)height;
    const int share = (int)(256 * alpha + 0.5f);
    size_t wrong = 0;
    for (size_t i = 0; i < w * h; i++) {
        const bool right = i % w + 1 < w && labels[i + 1] != labels[i],
                   below = i + w < w * h && labels[i + w] != labels[i];
        for (size_t k = 0; k < 3; k++) {
            const int value = (rgb[3 * i + k] * (256 - share) + palette[labels[i]][k] * share + 128) / 256;
            wrong += to[(size_t)step * i + (swapped ? 2 - k : k)] != (right || below ? value / 2 : value);
        }
        if (step == 4) wrong += to[4 * i + 3] != from[4 * i + 3];
    }
    cr_expect_eq(wrong, 0, "%s %dx%d: %zu samples are wrong", video_formats[c->format].name, width, height, wrong);
    g_free(labels);
    g_free(from), g_free(to), g_free(rgb);
}

// Y, U and V of a colour in floating point, by the definitions of BT.601 and BT.709.
static void yuv_of(const uint8_t rgb[3], bool bt709, bool full, double yuv[3]) {
    const double kr = bt709 ? 0.2126 : 0.299, kb = bt709 ? 0.0722 : 0.114, kg = 1 - kr - kb;
    const double y = (kr * rgb[0] + kg * rgb[1] + kb * rgb[2]) / 255;
    const double u = (rgb[2] / 255.0 - y) / (2 * (1 - kb)), v = (rgb[0] / 255.0 - y) / (2 * (1 - kr));
    yuv[0] = full ? 255 * y : 16 + 219 * y;
    yuv[1] = 128 + (full ? 255 : 224) * u;
    yuv[2] = 128 + (full ? 255 : 224) * v;
}

typedef struct yuv_case {
    const GstVideoInfo *info;
    const uint8_t *labels;
    double alpha, color[256][3], black;
} yuv_case;

static bool border(const yuv_case *c, int x, int y) {
    const int width = GST_VIDEO_INFO_WIDTH(c->info), height = GST_VIDEO_INFO_HEIGHT(c->info), at = y * width + x;
    return (x + 1 < width && c->labels[at + 1] != c->labels[at]) ||
           (y + 1 < height && c->labels[at + width] != c->labels[at]);
}

static double drawn(const yuv_case *c, int x, int y, int component, double value) {
    const double zero = component == 0 ? c->black : 128;
    const int label = c->labels[y * GST_VIDEO_INFO_WIDTH(c->info) + x];
    const double mixed = value * (1 - c->alpha) + c->color[label][component] * c->alpha;
    return border(c, x, y) ? zero + (mixed - zero) / 2 : mixed;
}

// In YUV and gray: within rounding of the same in floating point, chroma as the mean of its pixels.
static void expect_yuv(const GstVideoInfo *info, GstBuffer *in, GstBuffer *out, double alpha) {
    const int width = GST_VIDEO_INFO_WIDTH(info), height = GST_VIDEO_INFO_HEIGHT(info);
    const bool gray = GST_VIDEO_INFO_IS_GRAY(info), pairs = GST_VIDEO_INFO_FORMAT(info) == GST_VIDEO_FORMAT_NV12;
    const bool bt709 = !gray && info->colorimetry.matrix == GST_VIDEO_COLOR_MATRIX_BT709;
    const bool full = gray || info->colorimetry.range == GST_VIDEO_COLOR_RANGE_0_255;
    uint8_t palette[256][3], *labels = video_labels(info, in, 0, 0);
    yuv_case c = {.info = info, .labels = labels, .alpha = alpha, .black = full ? 0 : 16};
    get_palette(palette);
    for (int i = 0; i < 256; i++) yuv_of(palette[i], bt709, full, c.color[i]);
    const int chroma_width = (width + 1) / 2, chroma_height = (height + 1) / 2;
    double worst[3] = {0};
    for (int component = 0; component < (gray ? 1 : 3); component++) {
        const int plane = component == 2 && pairs ? 1 : component, step = pairs && component ? 2 : 1;
        const int w = component ? chroma_width : width, h = component ? chroma_height : height;
        uint8_t *from = g_malloc((gsize)(w * h * step)), *to = g_malloc((gsize)(w * h * step));
        read_rows(in, info, plane, h, w * step, from);
        read_rows(out, info, plane, h, w * step, to);
        for (int y = 0; y < h; y++)
            for (int x = 0; x < w; x++) {
                const int at = (y * w + x) * step + (pairs && component == 2);
                double sum = 0;
                int pixels = 0;
                for (int j = component ? 2 * y : y; j < (component ? 2 * y + 2 : y + 1) && j < height; j++)
                    for (int i = component ? 2 * x : x; i < (component ? 2 * x + 2 : x + 1) && i < width; i++, pixels++)
                        sum += drawn(&c, i, j, component, from[at]);
                const double error = fabs(to[at] - sum / pixels);
                if (error > worst[component]) worst[component] = error;
            }
        g_free(from), g_free(to);
    }
    // Half from the colour's rounding, half from mixing, up to one from halving; the share is a multiple of 1/256.
    for (int i = 0; i < 3; i++)
        cr_expect_leq(worst[i], 2.0, "component %d of %s is %g off", i,
                      gst_video_format_to_string(GST_VIDEO_INFO_FORMAT(info)), worst[i]);
    g_free(labels);
}

ParameterizedTestParameters(gst_element, overlay_of_every_format) {
    return all_frames();
}

ParameterizedTest(frame_case *c, gst_element, overlay_of_every_format) {
    static const float alphas[SIZES] = {0.5f, 0.25f, 1.0f, 0.0f};
    const float alpha = alphas[(c->size + c->format) % SIZES];
    GstCaps *caps = video_caps(video_formats[c->format].name, sizes[c->size][0], sizes[c->size][1], NULL);
    GstVideoInfo info;
    cr_assert(gst_video_info_from_caps(&info, caps));
    GstBuffer *in = video_buffer(&info, c->pad, 3, 0);
    GstBuffer *before = gst_buffer_copy_deep(in);
    char text[32];
    snprintf(text, sizeof text, "%g", (double)alpha);
    GstHarness *h = video_harness(video_element("alpha", text, NULL));
    GstBuffer *out = push(h, caps, in);
    cr_expect_eq(out, in, "the frame was copied");
    cr_expect(video_guards_intact(out, &info), "bytes between the rows were written");
    if (GST_VIDEO_INFO_IS_RGB(&info))
        expect_rgb(c, &info, before, out, alpha);
    else
        expect_yuv(&info, before, out, (double)alpha);
    gst_buffer_unref(out);
    gst_buffer_unref(before);
    gst_harness_teardown(h);
}

// A frame that others read as well stays as it is.
Test(gst_element, shared_frame_is_copied) {
    GstCaps *caps = video_caps("RGB", 96, 64, NULL);
    GstVideoInfo info;
    cr_assert(gst_video_info_from_caps(&info, caps));
    GstBuffer *in = video_buffer(&info, 0, 3, 0), *before = gst_buffer_copy_deep(in);
    GstHarness *h = video_harness(video_element(NULL));
    GstBuffer *out = push(h, caps, gst_buffer_ref(in));
    cr_expect_neq(out, in);
    GstMapInfo a, b, c;
    cr_assert(gst_buffer_map(in, &a, GST_MAP_READ) && gst_buffer_map(before, &b, GST_MAP_READ) &&
              gst_buffer_map(out, &c, GST_MAP_READ));
    cr_expect_eq(memcmp(a.data, b.data, a.size), 0);
    cr_expect_neq(memcmp(a.data, c.data, a.size), 0);
    gst_buffer_unmap(in, &a);
    gst_buffer_unmap(before, &b);
    gst_buffer_unmap(out, &c);
    gst_buffer_unref(in);
    gst_buffer_unref(before);
    gst_buffer_unref(out);
    gst_harness_teardown(h);
}

// ---- Colours and sizes ----------------------------------------------------------------------------------------------

static const char *const colorimetries[] = {"colorimetry=bt601", "colorimetry=bt709", "colorimetry=1:4:16:4",
                                            "colorimetry=1:3:5:1"};

Test(gst_element, colorimetry_of_the_caps) {
    uint8_t *got[4];
    for (int i = 0; i < 4; i++) {
        GstCaps *caps = video_caps("NV12", 160, 96, colorimetries[i]);
        GstVideoInfo info;
        cr_assert(gst_video_info_from_caps(&info, caps));
        GstBuffer *in = video_buffer(&info, 0, 11, 0);
        GstHarness *h = video_harness(video_element("mode", "labels", NULL));
        GstBuffer *out = push(h, gst_caps_ref(caps), gst_buffer_ref(in));
        got[i] = labels_out(h, out);
        uint8_t *want = video_labels(&info, in, 0, 0);
        cr_expect_eq(memcmp(got[i], want, 160 * 96), 0, "%s", colorimetries[i]);
        g_free(want);
        gst_buffer_unref(out);
        gst_harness_teardown(h);

        GstBuffer *before = gst_buffer_copy_deep(in);
        h = video_harness(video_element(NULL));
        out = push(h, caps, in);
        expect_yuv(&info, before, out, 0.5);
        gst_buffer_unref(before);
        gst_buffer_unref(out);
        gst_harness_teardown(h);
    }
    for (int i = 0; i < 4; i++)
        for (int k = 0; k < i; k++)
            cr_expect_neq(memcmp(got[i], got[k], 160 * 96), 0, "%s and %s give the same", colorimetries[i],
                          colorimetries[k]);
    for (int i = 0; i < 4; i++) g_free(got[i]);
}

typedef struct size_case {
    int width, height, network_width, network_height;
} size_case;

ParameterizedTestParameters(gst_element, labels_are_resized_as_the_command_does) {
    static size_case cases[] = {{161, 97, 96, 64}, {64, 64, 128, 96},  {33, 20, 64, 64},
                                {1, 1, 64, 64},    {320, 200, 64, 65}, {96, 64, 96, 65}};
    return cr_make_param_array(size_case, cases, sizeof cases / sizeof *cases);
}

ParameterizedTest(size_case *c, gst_element, labels_are_resized_as_the_command_does) {
    char size[32];
    snprintf(size, sizeof size, "%dx%d", c->network_height, c->network_width);
    for (int format = 0; format < VIDEO_FORMATS; format += 4) { // RGB, NV12
        GstCaps *caps = video_caps(video_formats[format].name, c->width, c->height, NULL);
        GstVideoInfo info;
        cr_assert(gst_video_info_from_caps(&info, caps));
        GstBuffer *in = gst_buffer_ref(video_buffer(&info, 0, 5, 0));
        GstHarness *h = video_harness(video_element("mode", "labels", "size", size, NULL));
        GstBuffer *out = push(h, caps, gst_buffer_ref(in));
        uint8_t *got = labels_out(h, out);
        uint8_t *want = video_labels(&info, in, c->network_width, c->network_height);
        int wrong = 0;
        for (int i = 0; i < c->width * c->height; i++) wrong += got[i] != want[i];
        cr_expect_eq(wrong, 0, "%s %dx%d by %s: %d labels differ", video_formats[format].name, c->height, c->width,
                     size, wrong);
        g_free(got);
        g_free(want);
        gst_buffer_unref(out);
        gst_buffer_unref(in);
        gst_buffer_unref(in);
        gst_harness_teardown(h);
    }
}
