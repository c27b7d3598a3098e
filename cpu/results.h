// What is made of the head's output for one frame: at which size, where the classes go, pixel counts, the label map.
#ifndef FS_CPU_RESULTS_H
#define FS_CPU_RESULTS_H

#include "cpu/head.h"
#include "runtime/backend.h"

// Of one frame in flight. Starts zeroed.
typedef struct fs_results {
    const fs_head *head; // the session's, or `own`
    fs_head own;         // for outputs at the frame's size
    uint8_t *classes;    // where the caller takes no labels, but what is made of them
    size_t room;         // bytes of it
} fs_results;

// Whether anything is made of the classes.
bool fs_results_classes(const fs_outputs *outputs);
// Whether the label map has to wait until the overlay is drawn, which needs the classes of a row's neighbours.
bool fs_results_map_late(const fs_outputs *outputs);
// Before the frame is queued. Allocates for the first frame that needs memory of its own, and for larger ones; leaves
// `results` usable when that fails.
fs_status fs_results_prepare(fs_results *results, const fs_head *network, const fs_frame *frame,
                             const fs_outputs *outputs);
void fs_results_free(fs_results *results);
size_t fs_results_bytes(const fs_results *results); // allocated

// Where the classes of a row are written, and how far it is to the next.
uint8_t *fs_results_row(const fs_results *results, const fs_outputs *outputs, int y, size_t *stride);
// Rows y0 .. y1 - 1 have their classes: applies the label map.
void fs_results_finish(const fs_results *results, const fs_outputs *outputs, int y0, int y1);
// Adds the pixels of a row to counts[256].
void fs_results_count(const uint8_t *row, int width, uint32_t *counts);
// histogram[c] = the sum of counts[thread][c].
void fs_results_histogram(const uint32_t (*counts)[256], int threads, int classes, uint32_t *histogram);

#endif
