// Outputs as the caller gives them to outputs as a backend takes them: what is asked for, strides, memory.
#include "host/outputs.h"

enum { OVERLAY_PIXEL = 4 }; // bytes

static const float OVERLAY_ALPHA = 0.5f;

static fs_status check_stride(size_t stride, size_t row, int height, const char *name) {
    if (stride != 0 && stride < row)
        return fs_fail(FS_ERR_ARGUMENT, "outputs.%s is %zu bytes, a row has %zu", name, stride, row);
    if (stride > PTRDIFF_MAX / (size_t)height)
        return fs_fail(FS_ERR_ARGUMENT, "outputs.%s is %zu bytes: no memory holds that many rows", name, stride);
    return FS_OK;
}

static fs_status check_alignment(const void *pointer, size_t bytes, const char *name) {
    if ((uintptr_t)pointer % bytes != 0)
        return fs_fail(FS_ERR_ARGUMENT, "outputs.%s is no multiple of %zu bytes", name, bytes);
    return FS_OK;
}

fs_status fs_outputs_check(const fscnn_engine *engine, const fs_graph *g, const fs_frame *frame,
                           const fscnn_outputs *given, fs_outputs *outputs) {
    fscnn_outputs o;
    FS_TRY(fs_take_struct(given, &o, sizeof o, "fscnn_outputs"));
    if ((unsigned)o.size > FSCNN_SIZE_FRAME)
        return fs_fail(FS_ERR_ARGUMENT, "outputs.size is none of the fscnn_output_size values");
    const bool at_frame_size = o.size == FSCNN_SIZE_FRAME;
    const int height = at_frame_size ? frame->height : g->height;
    const size_t width = (size_t)(at_frame_size ? frame->width : g->width);
    if (at_frame_size && (height > FS_OUTPUT_SIDE || width > FS_OUTPUT_SIDE))
        return fs_fail(FS_ERR_LIMIT,
                       "outputs of the size of a frame of %dx%d: at most %d a side; set outputs.size to 0",
                       frame->width, frame->height, FS_OUTPUT_SIDE);
    if (o.labels == NULL && o.logits == NULL && o.confidence == NULL && o.histogram == NULL && o.scores == NULL &&
        o.overlay == NULL)
        return fs_fail(FS_ERR_ARGUMENT,
                       "outputs ask for nothing: set labels, logits, confidence, histogram, scores or overlay");
    if ((unsigned)o.score_type > FSCNN_SCORE_F16)
        return fs_fail(FS_ERR_ARGUMENT, "outputs.score_type is none of the fscnn_score_type values");
    FS_TRY(check_stride(o.labels_stride, width, height, "labels_stride"));
    FS_TRY(check_stride(o.confidence_stride, width, height, "confidence_stride"));
    FS_TRY(check_stride(o.overlay_stride, OVERLAY_PIXEL * width, height, "overlay_stride"));
    if (!(o.overlay_alpha >= 0.0f && o.overlay_alpha <= 1.0f)) // a NaN neither
        return fs_fail(FS_ERR_ARGUMENT, "outputs.overlay_alpha is %g, not 0 to 1", (double)o.overlay_alpha);
    const float alpha = o.overlay_alpha == 0.0f ? OVERLAY_ALPHA : o.overlay_alpha;
    FS_TRY(check_alignment(o.scores, o.score_type == FSCNN_SCORE_F16 ? 2 : 4, "scores"));
    FS_TRY(check_alignment(o.histogram, sizeof *o.histogram, "histogram"));
    if ((unsigned)o.memory > FSCNN_MEMORY_DEVICE)
        return fs_fail(FS_ERR_ARGUMENT, "outputs.memory is none of the fscnn_memory values");
    if (o.memory == FSCNN_MEMORY_DEVICE && !engine->backend->device)
        return fs_fail(FS_ERR_UNSUPPORTED, "the %s backend writes host memory; set outputs.memory to it",
                       engine->backend->name);
    *outputs = (fs_outputs){.memory = o.memory,
                            .labels = o.labels,
                            .labels_stride = o.labels_stride ? o.labels_stride : width,
                            .labels_map = o.labels_map,
                            .logits = o.logits,
                            .confidence = o.confidence,
                            .confidence_stride = o.confidence_stride ? o.confidence_stride : width,
                            .histogram = o.histogram,
                            .scores = o.scores,
                            .scores_f16 = o.score_type == FSCNN_SCORE_F16,
                            .at_frame_size = at_frame_size,
                            .overlay = o.overlay,
                            .overlay_stride = o.overlay_stride ? o.overlay_stride : OVERLAY_PIXEL * width,
                            .overlay_share = (int)(alpha * FS_OVERLAY_ONE + 0.5f),
                            .palette = o.palette ? (const uint8_t(*)[3])o.palette : engine->labels.palette};
    return FS_OK;
}
