// Helpers of the element's tests.
#include "tests/gst/video.h"

#include <criterion/criterion.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

const video_format video_formats[VIDEO_FORMATS] = {
    {"RGB", FSCNN_RGB8},  {"BGR", FSCNN_BGR8},  {"RGBA", FSCNN_RGBA8},  {"BGRA", FSCNN_BGRA8},
    {"NV12", FSCNN_NV12}, {"I420", FSCNN_I420}, {"GRAY8", FSCNN_GRAY8},
};
fscnn_engine *video_engine;
static char registry[64];

void video_set_up(void) {
    // Nothing but our plugin is looked at, in this process, and nothing of it is kept.
    snprintf(registry, sizeof registry, "/tmp/fastscnn-gst-%d.registry", (int)getpid());
    setenv("GST_REGISTRY", registry, 1);
    setenv("GST_REGISTRY_FORK", "no", 1);
    setenv("GST_PLUGIN_SYSTEM_PATH_1_0", FS_BINARY_DIR "/lib/gstreamer-1.0", 1);
    setenv("GST_PLUGIN_PATH_1_0", "", 1);
    gst_init(NULL, NULL);
    fscnn_engine_options options;
    fscnn_engine_options_init(&options);
    options.backend = FSCNN_BACKEND_CPU;
    options.precision = FSCNN_PRECISION_FP32;
    cr_assert_eq(fscnn_engine_open("random:1", &options, &video_engine), FSCNN_OK, "%s", fscnn_error());
}

void video_tear_down(void) {
    fscnn_engine_close(&video_engine);
    gst_deinit();
    remove(registry);
}

GstElement *video_element(const char *property, ...) {
    GstElement *element = gst_element_factory_make("fastscnn", NULL);
    cr_assert_not_null(element, "no element fastscnn");
    g_object_set(element, "weights", "random:1", "threads", 1, "tune", FALSE, NULL);
    gst_util_set_object_arg(G_OBJECT(element), "backend", "cpu");
    gst_util_set_object_arg(G_OBJECT(element), "precision", "fp32");
    va_list arguments;
    va_start(arguments, property);
    for (const char *name = property; name != NULL; name = va_arg(arguments, const char *))
        gst_util_set_object_arg(G_OBJECT(element), name, va_arg(arguments, const char *));
    va_end(arguments);
    return element;
}

GstHarness *video_harness(GstElement *element) {
    GstHarness *harness = gst_harness_new_with_element(element, "sink", "src");
    GstBus *bus = gst_bus_new();
    gst_element_set_bus(element, bus);
    gst_object_unref(bus);
    gst_object_unref(element);
    return harness;
}

GstCaps *video_caps(const char *format, int width, int height, const char *more) {
    char text[512];
    snprintf(text, sizeof text, "video/x-raw, format=%s, width=%d, height=%d, framerate=30/1%s%s", format, width,
             height, more != NULL ? ", " : "", more != NULL ? more : "");
    GstCaps *caps = gst_caps_from_string(text);
    cr_assert_not_null(caps, "%s", text);
    return caps;
}

// Rows of a plane and the bytes of each that hold samples.
static void plane_size(const GstVideoInfo *info, int plane, int *rows, int *bytes) {
    const int width = GST_VIDEO_INFO_WIDTH(info), height = GST_VIDEO_INFO_HEIGHT(info);
    *rows = plane == 0 ? height : (height + 1) / 2;
    switch (GST_VIDEO_INFO_FORMAT(info)) {
    case GST_VIDEO_FORMAT_NV12: *bytes = plane == 0 ? width : (width + 1) / 2 * 2; break;
    case GST_VIDEO_FORMAT_I420: *bytes = plane == 0 ? width : (width + 1) / 2; break;
    default: *bytes = width * GST_VIDEO_INFO_COMP_PSTRIDE(info, 0);
    }
}

GstBuffer *video_buffer(const GstVideoInfo *info, int pad, unsigned seed, GstClockTime pts) {
    gsize offset[GST_VIDEO_MAX_PLANES] = {0}, size = 0;
    gint stride[GST_VIDEO_MAX_PLANES] = {0};
    const int planes = (int)GST_VIDEO_INFO_N_PLANES(info);
    for (int i = 0; i < planes; i++) {
        int rows, bytes;
        plane_size(info, i, &rows, &bytes);
        stride[i] = pad ? bytes + pad : GST_VIDEO_INFO_PLANE_STRIDE(info, i);
        offset[i] = pad ? size + (gsize)pad : GST_VIDEO_INFO_PLANE_OFFSET(info, i);
        size = offset[i] + (gsize)stride[i] * (gsize)rows;
    }
    if (!pad) size = GST_VIDEO_INFO_SIZE(info);
    uint8_t *data = g_malloc(size);
    memset(data, VIDEO_GUARD, size);
    unsigned noise = seed * 2654435761u + 1;
    for (int i = 0; i < planes; i++) {
        int rows, bytes;
        plane_size(info, i, &rows, &bytes);
        for (int y = 0; y < rows; y++)
            for (int x = 0; x < bytes; x++) {
                noise = noise * 1664525u + 1013904223u;
                const int shape = ((x / 37 + y / 23 + (int)seed) % 5) * 45;
                data[offset[i] + (gsize)y * (gsize)stride[i] + (gsize)x] = (uint8_t)(shape + (int)(noise >> 26));
            }
    }
    GstBuffer *buffer = gst_buffer_new_wrapped(data, size);
    if (pad)
        gst_buffer_add_video_meta_full(buffer, GST_VIDEO_FRAME_FLAG_NONE, GST_VIDEO_INFO_FORMAT(info),
                                       (guint)GST_VIDEO_INFO_WIDTH(info), (guint)GST_VIDEO_INFO_HEIGHT(info),
                                       (guint)planes, offset, stride);
    GST_BUFFER_PTS(buffer) = pts;
    GST_BUFFER_DURATION(buffer) = GST_SECOND / 30;
    return buffer;
}

bool video_guards_intact(GstBuffer *buffer, const GstVideoInfo *info) {
    GstVideoFrame frame;
    cr_assert(gst_video_frame_map(&frame, info, buffer, GST_MAP_READ | GST_VIDEO_FRAME_MAP_FLAG_NO_REF));
    bool intact = true;
    for (guint i = 0; i < GST_VIDEO_INFO_N_PLANES(info); i++) {
        int rows, bytes;
        plane_size(info, (int)i, &rows, &bytes);
        const uint8_t *at = GST_VIDEO_FRAME_PLANE_DATA(&frame, i);
        const int stride = GST_VIDEO_FRAME_PLANE_STRIDE(&frame, i);
        for (int y = 0; y < rows; y++, at += stride)
            for (int x = bytes; x < stride; x++) intact = intact && at[x] == VIDEO_GUARD;
    }
    gst_video_frame_unmap(&frame);
    return intact;
}

static void run(fscnn_session *session, const GstVideoFrame *video, const fscnn_outputs *outputs) {
    const GstVideoInfo *info = &video->info;
    fscnn_frame frame;
    fscnn_frame_init(&frame, FSCNN_RGB8, GST_VIDEO_INFO_WIDTH(info), GST_VIDEO_INFO_HEIGHT(info), NULL);
    for (int i = 0; i < VIDEO_FORMATS; i++)
        if (strcmp(video_formats[i].name, gst_video_format_to_string(GST_VIDEO_INFO_FORMAT(info))) == 0)
            frame.format = video_formats[i].format;
    for (guint i = 0; i < GST_VIDEO_INFO_N_PLANES(info); i++) {
        frame.plane[i] = GST_VIDEO_FRAME_PLANE_DATA(video, i);
        frame.stride[i] = (size_t)GST_VIDEO_FRAME_PLANE_STRIDE(video, i);
    }
    if (GST_VIDEO_INFO_IS_YUV(info)) {
        frame.matrix =
            info->colorimetry.matrix == GST_VIDEO_COLOR_MATRIX_BT709 ? FSCNN_MATRIX_BT709 : FSCNN_MATRIX_BT601;
        frame.range = info->colorimetry.range == GST_VIDEO_COLOR_RANGE_0_255 ? FSCNN_RANGE_FULL : FSCNN_RANGE_LIMITED;
    }
    cr_assert_eq(fscnn_run(session, &frame, outputs), FSCNN_OK, "%s", fscnn_error());
}

uint8_t *video_labels(const GstVideoInfo *info, GstBuffer *buffer, int width, int height) {
    const int frame_width = GST_VIDEO_INFO_WIDTH(info), frame_height = GST_VIDEO_INFO_HEIGHT(info);
    const bool resized = width != 0;
    fscnn_session_options options;
    fscnn_session_options_init(&options);
    options.width = resized ? width : frame_width, options.height = resized ? height : frame_height;
    options.threads = 1, options.tune = -1;
    fscnn_session *session = NULL;
    cr_assert_eq(fscnn_session_open(video_engine, &options, &session), FSCNN_OK, "%s", fscnn_error());
    fscnn_engine_info engine;
    fscnn_engine_info_init(&engine);
    fscnn_engine_get_info(video_engine, &engine);
    GstVideoFrame frame;
    cr_assert(gst_video_frame_map(&frame, info, buffer, GST_MAP_READ | GST_VIDEO_FRAME_MAP_FLAG_NO_REF));
    uint8_t *labels = g_malloc0((gsize)frame_width * (gsize)frame_height);
    fscnn_outputs outputs;
    fscnn_outputs_init(&outputs);
    // The best class of all scores at the frame's size.
    const size_t plane = (size_t)frame_width * (size_t)frame_height;
    outputs.size = FSCNN_SIZE_FRAME;
    outputs.logits = g_malloc(plane * (size_t)engine.classes * sizeof(float));
    run(session, &frame, &outputs);
    for (size_t i = 0; i < plane; i++)
        for (int c = 1; c < engine.classes; c++)
            if (outputs.logits[(size_t)c * plane + i] > outputs.logits[(size_t)labels[i] * plane + i])
                labels[i] = (uint8_t)c;
    g_free(outputs.logits);
    gst_video_frame_unmap(&frame);
    fscnn_session_close(&session);
    return labels;
}

GstMessage *video_message(GstBus *bus) {
    return gst_bus_pop_filtered(bus, GST_MESSAGE_ELEMENT);
}

char *video_error(GstBus *bus, GQuark domain, int code) {
    GstMessage *message = gst_bus_pop_filtered(bus, GST_MESSAGE_ERROR);
    if (message == NULL) return g_strdup("");
    GError *error = NULL;
    gst_message_parse_error(message, &error, NULL);
    cr_expect(g_error_matches(error, domain, code), "'%s' is error %s %d, not %s %d", error->message,
              g_quark_to_string(error->domain), error->code, g_quark_to_string(domain), code);
    char *text = g_strdup(error->message);
    g_error_free(error);
    gst_message_unref(message);
    return text;
}
