// Tests of the byte counts that a frame's trace carries: every output, both sizes, planes of every format.
#include <criterion/criterion.h>

#include "runtime/ranges.h"

enum { W = 9, H = 5, FRAME_W = 7, FRAME_H = 3, CLASSES = 11 };

static fs_graph graph(void) {
    return (fs_graph){.height = H, .width = W, .model = {.classes = CLASSES}};
}

static size_t bytes_of(fs_outputs outputs) {
    const fs_graph g = graph();
    const fs_frame frame = {.format = FS_RGB8, .width = FRAME_W, .height = FRAME_H};
    return fs_outputs_bytes(&outputs, &frame, &g);
}

Test(ranges, every_output_counts) {
    static uint8_t bytes[1];
    static float floats[1];
    static uint32_t counts[1];
    cr_expect_eq(bytes_of((fs_outputs){0}), 0);
    cr_expect_eq(bytes_of((fs_outputs){.labels = bytes}), W * H);
    cr_expect_eq(bytes_of((fs_outputs){.confidence = bytes}), W * H);
    cr_expect_eq(bytes_of((fs_outputs){.logits = floats}), 4 * CLASSES * W * H);
    cr_expect_eq(bytes_of((fs_outputs){.scores = floats}), 4 * CLASSES * W * H);
    cr_expect_eq(bytes_of((fs_outputs){.scores = floats, .scores_f16 = true}), 2 * CLASSES * W * H);
    cr_expect_eq(bytes_of((fs_outputs){.histogram = counts}), 4 * CLASSES);
    cr_expect_eq(bytes_of((fs_outputs){.overlay = bytes, .overlay_stride = 4 * W + 7}), 4 * W * H);
    cr_expect_eq(bytes_of((fs_outputs){.overlay = bytes, .at_frame_size = true}), 4 * FRAME_W * FRAME_H);
    cr_expect_eq(bytes_of((fs_outputs){.labels = bytes, .scores = floats, .histogram = counts, .at_frame_size = true}),
                 FRAME_W * FRAME_H * (1 + 4 * CLASSES) + 4 * CLASSES);
}

Test(ranges, every_plane_of_a_frame_counts) {
    static const struct {
        fs_format format;
        size_t bytes;
    } cases[] = {{FS_RGB8, 3 * 7 * 3},           {FS_BGRA8, 4 * 7 * 3},          {FS_GRAY8, 7 * 3},
                 {FS_NV12, 7 * 3 + 2 * (4 * 2)}, {FS_I420, 7 * 3 + 2 * (4 * 2)}, {FS_PLANAR_F32, 3 * 4 * 7 * 3}};
    static float plane[1];
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const fs_frame frame = {
            .format = cases[i].format, .width = FRAME_W, .height = FRAME_H, .plane = {plane, plane, plane, NULL}};
        cr_expect_eq(fs_frame_bytes(&frame), cases[i].bytes, "format %d: %zu bytes", (int)cases[i].format,
                     fs_frame_bytes(&frame));
    }
}
