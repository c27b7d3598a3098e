// Helpers of the element's tests: GStreamer with our plugin alone, frames of every format, and what the library says.
#ifndef FS_TESTS_GST_VIDEO_H
#define FS_TESTS_GST_VIDEO_H

#include <gst/check/gstharness.h>
#include <gst/gst.h>
#include <gst/video/video.h>
#include <stdbool.h>
#include <stdint.h>

#include "fastscnn/fastscnn.h"

// .init and .fini of the suites: GStreamer with the built plugin and no other, an engine of random weights in fp32.
void video_set_up(void);
void video_tear_down(void);
extern fscnn_engine *video_engine;

// The element with the engine's weights and one thread, and `more` pairs of property and text, ending in NULL.
GstElement *video_element(const char *property, ...);
// The same in a harness.
GstHarness *video_harness(GstElement *element);

typedef struct video_format {
    const char *name; // of GStreamer
    fscnn_format format;
} video_format;
enum { VIDEO_FORMATS = 7 };
extern const video_format video_formats[VIDEO_FORMATS];

GstCaps *video_caps(const char *format, int width, int height, const char *more);
// A frame of noise and shapes; `pad` bytes behind each row and before each plane, filled with VIDEO_GUARD; 0: a plain
// buffer without GstVideoMeta.
enum { VIDEO_GUARD = 0xa5 };
GstBuffer *video_buffer(const GstVideoInfo *info, int pad, unsigned seed, GstClockTime pts);
bool video_guards_intact(GstBuffer *buffer, const GstVideoInfo *info);

// Labels by the library, of a buffer; `width` and `height` of the network, 0: the frame's. g_free it.
uint8_t *video_labels(const GstVideoInfo *info, GstBuffer *buffer, int width, int height);
// The element message of the next frame, or NULL when none is there. gst_message_unref it.
GstMessage *video_message(GstBus *bus);
// The text of the next error message, "" without one. g_free it.
char *video_error(GstBus *bus, GQuark domain, int code);

#endif
