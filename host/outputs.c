// Outputs as the caller gives them to outputs as a backend takes them: what is asked for, strides, memory.
#include "host/outputs.h"

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

fs_status fs_outputs_check(const fscnn_engine *engine, const fs_graph *g, const fscnn_outputs *given,
                           fs_outputs *outputs) {
    fscnn_outputs o;
    FS_TRY(fs_take_struct(given, &o, sizeof o, "fscnn_outputs"));
    const size_t width = (size_t)g->width;
    if (o.labels == NULL && o.logits == NULL && o.confidence == NULL && o.histogram == NULL)
        return fs_fail(FS_ERR_ARGUMENT, "outputs ask for nothing: set labels, logits, confidence or histogram");
    FS_TRY(check_stride(o.labels_stride, width, g->height, "labels_stride"));
    FS_TRY(check_stride(o.confidence_stride, width, g->height, "confidence_stride"));
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
                            .histogram = o.histogram};
    return FS_OK;
}
