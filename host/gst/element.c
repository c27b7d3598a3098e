// The GStreamer element `fastscnn`: frames of video in, the same with class colours over them or class maps out.
//
// What happens in which thread: properties are set by the application's threads, under the object's lock; start and
// stop copy and use them where the state changes; caps and frames come in the streaming thread, one at a time.
#include <gst/gst.h>
#include <gst/video/gstvideofilter.h>
#include <gst/video/video.h>
#include <stdio.h>
#include <string.h>

#include "host/gst/model.h"
#include "host/gst/network.h"
#include "host/gst/overlay.h"

GST_DEBUG_CATEGORY_STATIC(fastscnn_debug);
#define GST_CAT_DEFAULT fastscnn_debug

#define FORMATS "{ NV12, I420, RGB, BGR, RGBA, BGRA, GRAY8 }"
// The library's limits: a frame of up to 65536 a side.
#define SIDES "width = (int) [ 1, 65536 ], height = (int) [ 1, 65536 ], framerate = (fraction) [ 0, max ]"
#define CAPS "video/x-raw, format = (string) " FORMATS ", " SIDES
#define DEFAULT_ALPHA 0.5
#define DEFAULT_SIZE "native"

typedef enum fs_mode { FS_MODE_OVERLAY, FS_MODE_LABELS } fs_mode;

enum {
    PROP_WEIGHTS = 1,
    PROP_BACKEND,
    PROP_PRECISION,
    PROP_DEVICE,
    PROP_THREADS,
    PROP_SIZE,
    PROP_TUNE,
    PROP_MODE,
    PROP_ALPHA,
    PROP_MESSAGES
};

// Values of the properties.
typedef struct fs_settings {
    char *weights, *size;
    int backend, precision, device, threads, mode;
    double alpha;
    gboolean tune, messages;
} fs_settings;

// Named as GObject's macros and tools want it.
typedef struct FastScnn {
    GstVideoFilter parent;
    fs_settings settings; // under the object's lock
    // From start to stop.
    gboolean started; // under the object's lock, too
    int mode;
    int width, height; // of the network; 0: the frames' own
    fs_network network;
    fs_overlay overlay;
    fs_canvas canvas;
    uint8_t *labels; // [height][width] of the frames, in overlay mode
    char *refused;   // what was said of the last caps, which upstream offers several times; NULL after good ones
} FastScnn;

typedef struct FastScnnClass {
    GstVideoFilterClass parent;
} FastScnnClass;

GType fs_element_get_type(void);
G_DEFINE_TYPE(FastScnn, fs_element, GST_TYPE_VIDEO_FILTER)

static char *plugin_file; // set once, when the plugin is loaded

// ---- Errors ---------------------------------------------------------------------------------------------------------

// An error message on the bus: `text` for users, with the element's state for developers.
static void complain(FastScnn *self, GQuark domain, int code, const char *text) {
    GST_ERROR_OBJECT(self, "%s", text);
    gst_element_message_full(GST_ELEMENT(self), GST_MESSAGE_ERROR, domain, code, g_strdup(text), NULL, __FILE__,
                             __func__, __LINE__);
}

// The same about caps, once.
static void refuse(FastScnn *self, GQuark domain, int code, const char *text) {
    if (g_strcmp0(self->refused, text) == 0) return;
    g_free(self->refused);
    self->refused = g_strdup(text);
    complain(self, domain, code, text);
}

static int resource_error(fscnn_status status) {
    switch (status) {
    case FSCNN_ERR_ARGUMENT:
    case FSCNN_ERR_UNSUPPORTED: return GST_RESOURCE_ERROR_SETTINGS;
    case FSCNN_ERR_IO: return GST_RESOURCE_ERROR_OPEN_READ;
    case FSCNN_ERR_FORMAT:
    case FSCNN_ERR_WEIGHTS:
    case FSCNN_ERR_LIMIT: return GST_RESOURCE_ERROR_READ;
    case FSCNN_ERR_MEMORY: return GST_RESOURCE_ERROR_NO_SPACE_LEFT;
    case FSCNN_ERR_DEVICE: return GST_RESOURCE_ERROR_NOT_FOUND;
    default: return GST_RESOURCE_ERROR_FAILED;
    }
}

static void complain_resource(FastScnn *self, fscnn_status status) {
    complain(self, GST_RESOURCE_ERROR, resource_error(status), self->network.error);
}

// ---- Start and stop -------------------------------------------------------------------------------------------------

// "HxW" or "native" (0x0).
static gboolean parse_size(const char *text, int *height, int *width) {
    *height = *width = 0;
    if (strcmp(text, DEFAULT_SIZE) == 0) return TRUE;
    int end = 0;
    if (sscanf(text, "%5dx%5d%n", height, width, &end) != 2 || text[end] != '\0') return FALSE;
    return *height >= FS_NETWORK_MIN_SIDE && *height <= FS_NETWORK_MAX_SIDE && *width >= FS_NETWORK_MIN_SIDE &&
           *width <= FS_NETWORK_MAX_SIDE;
}

static gboolean open_network(FastScnn *self, const fs_settings *settings) {
    fscnn_engine_options options;
    fscnn_engine_options_init(&options);
    options.backend = (fscnn_backend)settings->backend;
    options.precision = (fscnn_precision)settings->precision;
    options.device = settings->device;
    char *weights = settings->weights != NULL ? g_strdup(settings->weights) : fs_bundled_model(plugin_file);
    if (weights == NULL) {
        complain(self, GST_RESOURCE_ERROR, GST_RESOURCE_ERROR_NOT_FOUND,
                 "no weights: no bundled model was found; set the property weights to a safetensors file");
        return FALSE;
    }
    const fscnn_status status = fs_network_open(&self->network, weights, &options);
    if (status == FSCNN_OK)
        GST_INFO_OBJECT(self, "%s: %d classes on %s", weights, self->network.info.classes, self->network.info.device);
    else
        complain_resource(self, status);
    g_free(weights);
    return status == FSCNN_OK;
}

static fs_settings copy_settings(FastScnn *self) {
    GST_OBJECT_LOCK(self);
    fs_settings copy = self->settings;
    copy.weights = g_strdup(copy.weights);
    copy.size = g_strdup(copy.size);
    GST_OBJECT_UNLOCK(self);
    return copy;
}

static void free_settings(fs_settings *settings) {
    g_free(settings->weights);
    g_free(settings->size);
    settings->weights = settings->size = NULL;
}

static gboolean start(GstBaseTransform *transform) {
    FastScnn *self = (FastScnn *)transform;
    fs_settings settings = copy_settings(self);
    gboolean fine = parse_size(settings.size, &self->height, &self->width);
    if (fine) {
        fine = open_network(self, &settings);
    } else {
        char *text = g_strdup_printf("size '%s' is neither native nor HxW with %d to %d a side, as in 512x1024",
                                     settings.size, FS_NETWORK_MIN_SIDE, FS_NETWORK_MAX_SIDE);
        complain(self, GST_RESOURCE_ERROR, GST_RESOURCE_ERROR_SETTINGS, text);
        g_free(text);
    }
    GST_OBJECT_LOCK(self);
    self->started = fine;
    self->mode = settings.mode;
    GST_OBJECT_UNLOCK(self);
    free_settings(&settings);
    return fine;
}

static gboolean stop(GstBaseTransform *transform) {
    FastScnn *self = (FastScnn *)transform;
    GST_OBJECT_LOCK(self);
    self->started = FALSE;
    GST_OBJECT_UNLOCK(self);
    fs_network_close(&self->network);
    g_free(self->labels);
    g_free(self->refused);
    self->labels = NULL;
    self->refused = NULL;
    return TRUE;
}

// ---- Caps -----------------------------------------------------------------------------------------------------------

// A structure whose format is `formats`, and that keeps of the rest what does not depend on it.
static void set_formats(GstStructure *structure, const char *formats) {
    GValue value = G_VALUE_INIT;
    g_value_init(&value, formats[0] == '{' ? GST_TYPE_LIST : G_TYPE_STRING);
    gst_value_deserialize(&value, formats);
    gst_structure_take_value(structure, "format", &value);
    gst_structure_remove_fields(structure, "colorimetry", "chroma-site", NULL);
}

static GstCaps *transform_caps(GstBaseTransform *transform, GstPadDirection direction, GstCaps *caps, GstCaps *filter) {
    FastScnn *self = (FastScnn *)transform;
    GST_OBJECT_LOCK(self);
    const int mode = self->started ? self->mode : self->settings.mode;
    // The alpha of RGBA is the 4th channel of a model that has one.
    const gboolean four = self->started && self->network.info.channels == 4;
    GST_OBJECT_UNLOCK(self);
    const char *taken = four ? "{ RGBA, BGRA }" : FORMATS;
    GstCaps *can = gst_caps_from_string(CAPS);
    const gboolean to_sink = direction == GST_PAD_SRC;
    if (to_sink && mode == FS_MODE_LABELS) gst_caps_set_simple(can, "format", G_TYPE_STRING, "GRAY8", NULL);
    if (four && !(to_sink && mode == FS_MODE_LABELS)) set_formats(gst_caps_get_structure(can, 0), taken);
    GstCaps *result = gst_caps_intersect_full(caps, can, GST_CAPS_INTERSECT_FIRST);
    gst_caps_unref(can);
    if (mode == FS_MODE_LABELS) {
        result = gst_caps_make_writable(result);
        for (guint i = 0; i < gst_caps_get_size(result); i++)
            set_formats(gst_caps_get_structure(result, i), to_sink ? taken : "GRAY8");
    }
    if (filter != NULL) {
        GstCaps *filtered = gst_caps_intersect_full(filter, result, GST_CAPS_INTERSECT_FIRST);
        gst_caps_unref(result);
        result = filtered;
    }
    return result;
}

static gboolean format_of(GstVideoFormat format, fscnn_format *answer) {
    static const struct {
        GstVideoFormat theirs;
        fscnn_format ours;
    } formats[] = {{GST_VIDEO_FORMAT_RGB, FSCNN_RGB8},   {GST_VIDEO_FORMAT_BGR, FSCNN_BGR8},
                   {GST_VIDEO_FORMAT_RGBA, FSCNN_RGBA8}, {GST_VIDEO_FORMAT_BGRA, FSCNN_BGRA8},
                   {GST_VIDEO_FORMAT_NV12, FSCNN_NV12},  {GST_VIDEO_FORMAT_I420, FSCNN_I420},
                   {GST_VIDEO_FORMAT_GRAY8, FSCNN_GRAY8}};
    for (size_t i = 0; i < G_N_ELEMENTS(formats); i++)
        if (formats[i].theirs == format) {
            *answer = formats[i].ours;
            return TRUE;
        }
    return FALSE;
}

// Matrix and range of YUV caps. FALSE: a matrix that the library does not have.
static gboolean colors_of(const GstVideoInfo *info, fscnn_matrix *matrix, fscnn_range *range) {
    *matrix = FSCNN_MATRIX_AUTO;
    *range = FSCNN_RANGE_AUTO;
    if (!GST_VIDEO_INFO_IS_YUV(info)) return TRUE;
    if (info->colorimetry.range == GST_VIDEO_COLOR_RANGE_0_255) *range = FSCNN_RANGE_FULL;
    if (info->colorimetry.range == GST_VIDEO_COLOR_RANGE_16_235) *range = FSCNN_RANGE_LIMITED;
    if (info->colorimetry.matrix == GST_VIDEO_COLOR_MATRIX_BT601) *matrix = FSCNN_MATRIX_BT601;
    if (info->colorimetry.matrix == GST_VIDEO_COLOR_MATRIX_BT709) *matrix = FSCNN_MATRIX_BT709;
    return *matrix != FSCNN_MATRIX_AUTO || info->colorimetry.matrix == GST_VIDEO_COLOR_MATRIX_UNKNOWN;
}

static gboolean set_info(GstVideoFilter *filter, GstCaps *in_caps, GstVideoInfo *in, GstCaps *out_caps,
                         GstVideoInfo *out) {
    (void)in_caps, (void)out_caps, (void)out;
    FastScnn *self = (FastScnn *)filter;
    fs_canvas canvas = {.width = GST_VIDEO_INFO_WIDTH(in), .height = GST_VIDEO_INFO_HEIGHT(in)};
    if (!format_of(GST_VIDEO_INFO_FORMAT(in), &canvas.format)) return FALSE;
    if (!colors_of(in, &canvas.matrix, &canvas.range)) {
        refuse(self, GST_STREAM_ERROR, GST_STREAM_ERROR_FORMAT,
               "YUV frames with a matrix that is neither BT.601 nor BT.709; put videoconvert and caps with "
               "colorimetry=bt709 before");
        return FALSE;
    }
    fs_settings settings = copy_settings(self);
    const fscnn_status status = fs_network_prepare(&self->network, canvas.width, canvas.height, self->width,
                                                   self->height, settings.threads, settings.tune);
    free_settings(&settings);
    if (status == FSCNN_ERR_ARGUMENT) refuse(self, GST_STREAM_ERROR, GST_STREAM_ERROR_FORMAT, self->network.error);
    if (status != FSCNN_OK && status != FSCNN_ERR_ARGUMENT)
        refuse(self, GST_RESOURCE_ERROR, resource_error(status), self->network.error);
    if (status != FSCNN_OK) return FALSE;

    g_free(self->labels);
    self->labels = NULL;
    const gboolean overlay = self->mode == FS_MODE_OVERLAY;
    if (overlay) {
        self->labels = g_try_malloc((gsize)canvas.width * (gsize)canvas.height);
        if (self->labels == NULL) {
            refuse(self, GST_RESOURCE_ERROR, GST_RESOURCE_ERROR_NO_SPACE_LEFT, "out of memory for a frame's labels");
            return FALSE;
        }
        fs_overlay_init(&self->overlay, &canvas, (const uint8_t(*)[3])self->network.palette);
    }
    self->canvas = canvas;
    g_free(self->refused);
    self->refused = NULL;
    gst_base_transform_set_in_place(GST_BASE_TRANSFORM(self), overlay);
    GST_INFO_OBJECT(self, "frames of %dx%d, network of %dx%d (height x width)", canvas.height, canvas.width,
                    self->network.height, self->network.width);
    return TRUE;
}

// ---- Frames ---------------------------------------------------------------------------------------------------------

static void append_time(GstStructure *structure, const char *name, GstClockTime time) {
    gst_structure_set(structure, name, GST_TYPE_CLOCK_TIME, time, NULL);
}

// Posts what the frame holds: the names of the model's classes, and how many pixels have each.
static void post_counts(FastScnn *self, GstBuffer *buffer, const uint8_t *labels, size_t stride) {
    guint64 counts[256] = {0};
    for (int y = 0; y < self->canvas.height; y++, labels += stride)
        for (int x = 0; x < self->canvas.width; x++) counts[labels[x]]++;
    GValue names = G_VALUE_INIT, pixels = G_VALUE_INIT;
    gst_value_array_init(&names, (guint)self->network.info.classes);
    gst_value_array_init(&pixels, (guint)self->network.info.classes);
    for (int i = 0; i < self->network.info.classes; i++) {
        const char *name = fscnn_engine_class_name(self->network.engine, i);
        GValue text = G_VALUE_INIT, count = G_VALUE_INIT;
        g_value_init(&text, G_TYPE_STRING);
        g_value_set_string(&text, name != NULL ? name : "");
        gst_value_array_append_and_take_value(&names, &text);
        g_value_init(&count, G_TYPE_UINT64);
        g_value_set_uint64(&count, counts[i]);
        gst_value_array_append_and_take_value(&pixels, &count);
    }
    const GstSegment *segment = &GST_BASE_TRANSFORM(self)->segment;
    const GstClockTime pts = GST_BUFFER_PTS(buffer);
    GstStructure *structure = gst_structure_new("fastscnn", "width", G_TYPE_INT, self->canvas.width, "height",
                                                G_TYPE_INT, self->canvas.height, NULL);
    append_time(structure, "timestamp", pts);
    append_time(structure, "stream-time", gst_segment_to_stream_time(segment, GST_FORMAT_TIME, pts));
    append_time(structure, "running-time", gst_segment_to_running_time(segment, GST_FORMAT_TIME, pts));
    append_time(structure, "duration", GST_BUFFER_DURATION(buffer));
    gst_structure_take_value(structure, "classes", &names);
    gst_structure_take_value(structure, "pixels", &pixels);
    gst_element_post_message(GST_ELEMENT(self), gst_message_new_element(GST_OBJECT(self), structure));
}

// Labels a mapped frame, whose planes go into the canvas, and posts the message.
static GstFlowReturn label_frame(FastScnn *self, GstVideoFrame *video, uint8_t *labels, size_t stride) {
    fscnn_frame frame;
    fscnn_frame_init(&frame, self->canvas.format, self->canvas.width, self->canvas.height, NULL);
    frame.matrix = self->canvas.matrix;
    frame.range = self->canvas.range;
    for (guint i = 0; i < GST_VIDEO_FRAME_N_PLANES(video); i++) {
        const int bytes = GST_VIDEO_FRAME_PLANE_STRIDE(video, i);
        if (bytes <= 0) {
            complain(self, GST_STREAM_ERROR, GST_STREAM_ERROR_FORMAT,
                     "frames whose rows run upwards (a negative stride); put videoconvert before");
            return GST_FLOW_ERROR;
        }
        self->canvas.stride[i] = frame.stride[i] = (size_t)bytes;
        self->canvas.plane[i] = GST_VIDEO_FRAME_PLANE_DATA(video, i);
        frame.plane[i] = self->canvas.plane[i];
    }
    const fscnn_status status = fs_network_run(&self->network, &frame, labels, stride);
    if (status != FSCNN_OK) {
        complain(self, GST_LIBRARY_ERROR, GST_LIBRARY_ERROR_FAILED, self->network.error);
        return GST_FLOW_ERROR;
    }
    GST_OBJECT_LOCK(self);
    const gboolean messages = self->settings.messages;
    GST_OBJECT_UNLOCK(self);
    if (messages) post_counts(self, video->buffer, labels, stride);
    return GST_FLOW_OK;
}

static GstFlowReturn draw_overlay(GstVideoFilter *filter, GstVideoFrame *frame) {
    FastScnn *self = (FastScnn *)filter;
    const size_t stride = (size_t)self->canvas.width;
    const GstFlowReturn flow = label_frame(self, frame, self->labels, stride);
    if (flow != GST_FLOW_OK) return flow;
    gst_object_sync_values(GST_OBJECT(self), GST_BUFFER_PTS(frame->buffer)); // a controlled alpha
    GST_OBJECT_LOCK(self);
    const float alpha = (float)self->settings.alpha;
    GST_OBJECT_UNLOCK(self);
    fs_overlay_draw(&self->overlay, &self->canvas, self->labels, stride, alpha);
    return GST_FLOW_OK;
}

static GstFlowReturn write_labels(GstVideoFilter *filter, GstVideoFrame *in, GstVideoFrame *out) {
    return label_frame((FastScnn *)filter, in, GST_VIDEO_FRAME_PLANE_DATA(out, 0),
                       (size_t)GST_VIDEO_FRAME_PLANE_STRIDE(out, 0));
}

// ---- Properties -----------------------------------------------------------------------------------------------------

static GType backend_type(void) {
    static gsize type;
    static const GEnumValue values[] = {{FSCNN_BACKEND_AUTO, "The GPU where it is usable, else the CPU", "auto"},
                                        {FSCNN_BACKEND_CPU, "The CPU", "cpu"},
                                        {FSCNN_BACKEND_CUDA, "An NVIDIA GPU", "cuda"},
                                        {0, NULL, NULL}};
    if (g_once_init_enter(&type)) g_once_init_leave(&type, g_enum_register_static("FastScnnBackend", values));
    return type;
}

static GType precision_type(void) {
    static gsize type;
    static const GEnumValue values[] = {{FSCNN_PRECISION_AUTO, "The fastest that the machine has natively", "auto"},
                                        {FSCNN_PRECISION_FP32, "Float", "fp32"},
                                        {FSCNN_PRECISION_BF16, "bfloat16, sums in float", "bf16"},
                                        {FSCNN_PRECISION_FP16, "Half, sums in float (CUDA)", "fp16"},
                                        {FSCNN_PRECISION_INT8, "8-bit integers", "int8"},
                                        {0, NULL, NULL}};
    if (g_once_init_enter(&type)) g_once_init_leave(&type, g_enum_register_static("FastScnnPrecision", values));
    return type;
}

static GType mode_type(void) {
    static gsize type;
    static const GEnumValue values[] = {
        {FS_MODE_OVERLAY, "The frame, with the colours of the classes over it", "overlay"},
        {FS_MODE_LABELS, "The number of each pixel's class, as GRAY8", "labels"},
        {0, NULL, NULL}};
    if (g_once_init_enter(&type)) g_once_init_leave(&type, g_enum_register_static("FastScnnMode", values));
    return type;
}

static void set_text(char **field, const GValue *value, const char *otherwise) {
    g_free(*field);
    *field = g_value_dup_string(value);
    if (*field == NULL) *field = g_strdup(otherwise);
}

static void set_property(GObject *object, guint id, const GValue *value, GParamSpec *spec) {
    FastScnn *self = (FastScnn *)object;
    fs_settings *s = &self->settings;
    GST_OBJECT_LOCK(self);
    switch (id) {
    case PROP_WEIGHTS: set_text(&s->weights, value, NULL); break;
    case PROP_BACKEND: s->backend = g_value_get_enum(value); break;
    case PROP_PRECISION: s->precision = g_value_get_enum(value); break;
    case PROP_DEVICE: s->device = g_value_get_int(value); break;
    case PROP_THREADS: s->threads = g_value_get_int(value); break;
    case PROP_SIZE: set_text(&s->size, value, DEFAULT_SIZE); break;
    case PROP_TUNE: s->tune = g_value_get_boolean(value); break;
    case PROP_MODE: s->mode = g_value_get_enum(value); break;
    case PROP_ALPHA: s->alpha = g_value_get_double(value); break;
    case PROP_MESSAGES: s->messages = g_value_get_boolean(value); break;
    default: G_OBJECT_WARN_INVALID_PROPERTY_ID(object, id, spec);
    }
    GST_OBJECT_UNLOCK(self);
}

static void get_property(GObject *object, guint id, GValue *value, GParamSpec *spec) {
    FastScnn *self = (FastScnn *)object;
    const fs_settings *s = &self->settings;
    GST_OBJECT_LOCK(self);
    switch (id) {
    case PROP_WEIGHTS: g_value_set_string(value, s->weights); break;
    case PROP_BACKEND: g_value_set_enum(value, s->backend); break;
    case PROP_PRECISION: g_value_set_enum(value, s->precision); break;
    case PROP_DEVICE: g_value_set_int(value, s->device); break;
    case PROP_THREADS: g_value_set_int(value, s->threads); break;
    case PROP_SIZE: g_value_set_string(value, s->size); break;
    case PROP_TUNE: g_value_set_boolean(value, s->tune); break;
    case PROP_MODE: g_value_set_enum(value, s->mode); break;
    case PROP_ALPHA: g_value_set_double(value, s->alpha); break;
    case PROP_MESSAGES: g_value_set_boolean(value, s->messages); break;
    default: G_OBJECT_WARN_INVALID_PROPERTY_ID(object, id, spec);
    }
    GST_OBJECT_UNLOCK(self);
}

static void install_properties(GObjectClass *class) {
    const GParamFlags live = G_PARAM_READWRITE | G_PARAM_STATIC_STRINGS;
    const GParamFlags at_start = live | GST_PARAM_MUTABLE_READY;
    const GParamFlags any_time = live | GST_PARAM_MUTABLE_PLAYING;
    g_object_class_install_property(
        class, PROP_WEIGHTS,
        g_param_spec_string("weights", "Weights",
                            "Safetensors weights file, or random:SEED for deterministic random weights (unset: the "
                            "bundled model)",
                            NULL, at_start));
    g_object_class_install_property(
        class, PROP_BACKEND,
        g_param_spec_enum("backend", "Backend", "Where to compute", backend_type(), FSCNN_BACKEND_AUTO, at_start));
    g_object_class_install_property(
        class, PROP_PRECISION,
        g_param_spec_enum("precision", "Precision", "Arithmetic", precision_type(), FSCNN_PRECISION_AUTO, at_start));
    g_object_class_install_property(
        class, PROP_DEVICE, g_param_spec_int("device", "Device", "Ordinal of the GPU (CUDA)", 0, 1023, 0, at_start));
    g_object_class_install_property(
        class, PROP_THREADS,
        g_param_spec_int("threads", "Threads", "CPU worker threads (0: one per available core)", 0, 256, 0, at_start));
    g_object_class_install_property(
        class, PROP_SIZE,
        g_param_spec_string("size", "Size",
                            "The network's size, HxW (height x width, 64 to 16384 a side) or native, the frames' own; "
                            "frames are resized to it, and labels back",
                            DEFAULT_SIZE, at_start));
    g_object_class_install_property(
        class, PROP_TUNE,
        g_param_spec_boolean("tune", "Tune",
                             "Time a few cuts of the work whenever a new size of the network is set up, which takes "
                             "a while and makes frames quicker",
                             TRUE, at_start));
    g_object_class_install_property(
        class, PROP_MODE, g_param_spec_enum("mode", "Mode", "What comes out", mode_type(), FS_MODE_OVERLAY, at_start));
    g_object_class_install_property(class, PROP_ALPHA,
                                    g_param_spec_double("alpha", "Alpha",
                                                        "Share of the classes' colours in the overlay", 0, 1,
                                                        DEFAULT_ALPHA, any_time | GST_PARAM_CONTROLLABLE));
    g_object_class_install_property(
        class, PROP_MESSAGES,
        g_param_spec_boolean("messages", "Messages",
                             "Post an element message 'fastscnn' for every frame, with its timestamp, the names of the "
                             "classes and how many pixels have each",
                             TRUE, any_time));
}

static void finalize(GObject *object) {
    free_settings(&((FastScnn *)object)->settings);
    G_OBJECT_CLASS(fs_element_parent_class)->finalize(object);
}

static void fs_element_init(FastScnn *self) {
    self->settings = (fs_settings){.size = g_strdup(DEFAULT_SIZE),
                                   .mode = FS_MODE_OVERLAY,
                                   .alpha = DEFAULT_ALPHA,
                                   .tune = TRUE,
                                   .messages = TRUE};
}

static void fs_element_class_init(FastScnnClass *class) {
    GObjectClass *object = G_OBJECT_CLASS(class);
    object->set_property = set_property;
    object->get_property = get_property;
    object->finalize = finalize;
    install_properties(object);

    GstElementClass *element = GST_ELEMENT_CLASS(class);
    gst_element_class_set_static_metadata(
        element, "Fast-SCNN segmentation", "Filter/Analyzer/Effect/Video",
        "Labels every pixel of street scenes with Fast-SCNN: colours over the frame, or a map of classes",
        "The fastscnn developers");
    static const char *const names[] = {"sink", "src"};
    for (int i = 0; i < 2; i++) {
        GstCaps *caps = gst_caps_from_string(CAPS);
        gst_element_class_add_pad_template(
            element, gst_pad_template_new(names[i], i == 0 ? GST_PAD_SINK : GST_PAD_SRC, GST_PAD_ALWAYS, caps));
        gst_caps_unref(caps);
    }
    gst_type_mark_as_plugin_api(backend_type(), 0);
    gst_type_mark_as_plugin_api(precision_type(), 0);
    gst_type_mark_as_plugin_api(mode_type(), 0);

    GstBaseTransformClass *transform = GST_BASE_TRANSFORM_CLASS(class);
    transform->start = start;
    transform->stop = stop;
    transform->transform_caps = transform_caps;
    GstVideoFilterClass *filter = GST_VIDEO_FILTER_CLASS(class);
    filter->set_info = set_info;
    filter->transform_frame = write_labels;
    filter->transform_frame_ip = draw_overlay;
}

// ---- Plugin ---------------------------------------------------------------------------------------------------------

static gboolean plugin_init(GstPlugin *plugin) {
    GST_DEBUG_CATEGORY_INIT(fastscnn_debug, "fastscnn", 0, "Fast-SCNN segmentation");
    const char *file = gst_plugin_get_filename(plugin);
    plugin_file = file != NULL ? g_canonicalize_filename(file, NULL) : NULL;
    return gst_element_register(plugin, "fastscnn", GST_RANK_NONE, fs_element_get_type());
}

#define PACKAGE "fastscnn"
GST_PLUGIN_DEFINE(GST_VERSION_MAJOR, GST_VERSION_MINOR, fastscnn, "Real-time semantic segmentation with Fast-SCNN",
                  plugin_init, FS_VERSION, "Apache 2.0", "fastscnn", "Unknown package origin")
