// Fills in what depends on a frame: which bound nodes run, and on which pointers, sizes and strides.
#include "cuda/bind.h"

#include <string.h>

void fs_bind_reader(fs_node *reader, const uint8_t *frame, size_t stride, int pixel, const int order[4]) {
    if (reader->family != FS_FAMILY_NORMALISE) {
        fs_stem_params *p = reader->family == FS_FAMILY_STEM ? &reader->p.stem : &reader->p.stem_ds.stem;
        p->frame = frame, p->stride = (long long)stride, p->pixel = pixel;
        memcpy(p->order, order, sizeof p->order);
    } else {
        fs_normalise_params *p = &reader->p.normalise;
        p->frame = frame, p->stride = (long long)stride, p->pixel = pixel;
        memcpy(p->order, order, sizeof p->order);
    }
}

// Whether stem or normalise can read the frame itself.
static bool reads_directly(const fs_binder *b, const fs_frame *f) {
    return f->format <= FS_GRAY8 && f->width == b->graph->width && f->height == b->graph->height;
}

// A frame at `planes` as the kernels read it.
static fs_frame_params params_of(const fs_frame *f, const fs_planes *planes, int channels) {
    enum { HD_ROWS = 720, BT709 = 2, FULL_RANGE = 2 };
    fs_frame_params p = {.format = f->format,
                         .width = f->width,
                         .height = f->height,
                         .bt709 = f->matrix ? f->matrix == BT709 : f->height >= HD_ROWS,
                         .full_range = f->range == FULL_RANGE,
                         .channels = channels};
    for (int i = 0; i < 4; i++) p.plane[i] = planes->plane[i], p.stride[i] = (long long)planes->stride[i];
    return p;
}

static void bind_input(const fs_binder *b, const fs_frame *f, const fs_planes *planes, fs_node *frame,
                       fs_node *reader) {
    static const int orders[6][4] = {[FS_RGB8] = {0, 1, 2, 3},
                                     [FS_BGR8] = {2, 1, 0, 3},
                                     [FS_RGBA8] = {0, 1, 2, 3},
                                     [FS_BGRA8] = {2, 1, 0, 3},
                                     [FS_GRAY8] = {0, 0, 0, 0}};
    static const int pixels[6] = {[FS_RGB8] = 3, [FS_BGR8] = 3, [FS_RGBA8] = 4, [FS_BGRA8] = 4, [FS_GRAY8] = 1};
    const int channels = b->graph->model.channels;
    if (reads_directly(b, f)) {
        fs_bind_reader(reader, planes->plane[0], planes->stride[0], pixels[f->format], orders[f->format]);
        return;
    }
    frame->p.frame = params_of(f, planes, channels);
    frame->p.frame.out = b->net_frame, frame->p.frame.out_w = b->graph->width, frame->p.frame.out_h = b->graph->height;
    fs_bind_reader(reader, b->net_frame, (size_t)b->graph->width * (size_t)channels, channels, orders[FS_RGBA8]);
}

// Drawn on the frame itself, or, where that is what has the size of the outputs, on what the network reads.
static void bind_overlay(const fs_binder *b, const fs_slot *slot, const fs_planes *planes, const uint8_t *classes,
                         long long stride, fs_overlay_params *p) {
    enum { RGB = 3 };
    const fs_frame *f = &slot->given;
    const int channels = b->graph->model.channels;
    if (fs_slot_resizes(slot, b->graph) || reads_directly(b, f)) {
        p->picture = params_of(f, planes, RGB);
    } else {
        const fs_frame seen = {
            .format = channels == RGB ? FS_RGB8 : FS_RGBA8, .width = b->graph->width, .height = b->graph->height};
        const fs_planes at = {{b->net_frame}, {(size_t)b->graph->width * (size_t)channels}};
        p->picture = params_of(&seen, &at, RGB);
    }
    p->labels = classes, p->labels_stride = stride;
    p->palette = slot->palette.device, p->share = slot->outputs.overlay_share;
    p->out = fs_slot_target(slot, b->graph, FS_RESULT_OVERLAY, &p->out_stride);
}

static void bind_outputs(const fs_binder *b, const fs_slot *slot, const fs_planes *given, fs_node node[FS_BOUNDS],
                         bool enabled[FS_BOUNDS]) {
    const fs_outputs *o = &slot->outputs;
    const bool keeps = fs_slot_keeps_classes(slot);
    const uint8_t *map = o->labels && o->labels_map ? slot->map.device : NULL;
    long long stride, confidence_stride, unused;
    uint8_t *out = fs_slot_target(slot, b->graph, FS_RESULT_LABELS, &stride);
    fs_node *labels = &node[FS_BOUND_LABELS];
    fs_head_planes_params *planes = &node[FS_BOUND_PLANES].p.planes;
    if (fs_slot_resizes(slot, b->graph)) {
        const fs_size_tables *t = &slot->tables;
        planes->tap_y = t->tap_y, planes->tap_x = t->tap_x;
        planes->height = slot->height, planes->width = slot->width;
        // Where the head is not fused, the full-size logits that there are have the wrong size.
        labels->family = FS_FAMILY_LABELS, labels->variant = 0;
        labels->p.labels = (fs_head_params){.logits = planes->logits,
                                            .tap_y = t->tap_y,
                                            .tap_x = t->tap_x,
                                            .first_y = t->first_y,
                                            .first_x = t->first_x,
                                            .height = slot->height,
                                            .width = slot->width};
    }
    if (labels->family == FS_FAMILY_LABELS) {
        labels->p.labels.labels = out, labels->p.labels.labels_stride = stride;
        labels->p.labels.map = keeps ? NULL : map;
    } else {
        labels->p.argmax.labels = out, labels->p.argmax.labels_stride = stride;
        labels->p.argmax.map = keeps ? NULL : map;
    }
    if (o->overlay) bind_overlay(b, slot, given, out, stride, &node[FS_BOUND_OVERLAY].p.overlay);
    fs_tally_params *tally = &node[FS_BOUND_TALLY].p.tally, *total = &node[FS_BOUND_TOTAL].p.tally;
    tally->labels = out, tally->stride = stride, tally->map = map;
    tally->height = total->height = slot->height, tally->width = slot->width;
    if (o->histogram == NULL) tally->partial = NULL;
    total->histogram = fs_slot_target(slot, b->graph, FS_RESULT_HISTOGRAM, &unused);
    planes->out = fs_slot_target(slot, b->graph, FS_RESULT_LOGITS, &unused);
    planes->scores = fs_slot_target(slot, b->graph, FS_RESULT_SCORES, &unused);
    planes->scores_f16 = o->scores_f16;
    planes->confidence = fs_slot_target(slot, b->graph, FS_RESULT_CONFIDENCE, &confidence_stride);
    planes->confidence_stride = confidence_stride;
    enabled[FS_BOUND_LABELS] = out != NULL;
    enabled[FS_BOUND_OVERLAY] = o->overlay != NULL;
    enabled[FS_BOUND_TALLY] = o->histogram || (keeps && map);
    enabled[FS_BOUND_TOTAL] = o->histogram != NULL;
    enabled[FS_BOUND_PLANES] = planes->out || planes->scores || planes->confidence;
}

fs_status fs_bind_frame(const fs_binder *b, const fs_slot *slot, const fs_planes *planes, fs_binding *binding) {
    fs_node node[FS_BOUNDS];
    for (int i = 0; i < FS_BOUNDS; i++) node[i] = b->nodes->node[fs_bound_node(b->nodes, (fs_bound)i)];
    bind_input(b, &slot->given, planes, &node[FS_BOUND_FRAME], &node[FS_BOUND_READER]);
    bind_outputs(b, slot, planes, node, binding->enabled);
    binding->enabled[FS_BOUND_FRAME] = !reads_directly(b, &slot->given);
    binding->enabled[FS_BOUND_READER] = true;
    for (int i = 0; i < FS_BOUNDS; i++)
        if (binding->enabled[i] && !fs_node_launch(&node[i], b->sm, node[i].variant, &binding->launch[i]))
            return fs_fail(FS_ERR_INTERNAL, "no kernel takes this frame or these outputs");
    return FS_OK;
}
