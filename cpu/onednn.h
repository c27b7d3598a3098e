// oneDNN as a second provider of convolutions: layer by layer, each layer in bands of output rows, a band a task.
//
// For comparison with our own kernels: dnnl_primitive_execute allocates its argument maps on every call, so a session
// of this provider does not keep the promise that a frame allocates nothing. All else holds: no lock, no thread of
// oneDNN's own, and bits that do not depend on the number of threads.
#ifndef FS_CPU_ONEDNN_H
#define FS_CPU_ONEDNN_H

#include <stddef.h>

#include "runtime/plan.h"

typedef struct fs_onednn fs_onednn; // the convolutions of one session

// "oneDNN 2.6.3", or NULL when this build has none. Static storage of the thread.
const char *fs_onednn_version(void);
// FS_OK, or FS_ERR_UNSUPPORTED when the build lacks oneDNN or oneDNN lacks the precision on this processor.
fs_status fs_onednn_check(fs_precision precision);
// Whether a step is one convolution (+ add) (+ relu), which is what this provider runs.
bool fs_onednn_takes(const fs_program *program, const fs_step *step);

// Prepares every step that it takes: primitives, reordered weights, memory objects that point into `arena`. `weights`
// and the arena must outlive it. FS_ERR_MEMORY, FS_ERR_BACKEND with the layer's name.
fs_status fs_onednn_open(const fs_weights *weights, const fs_plan *plan, char *arena, int workers, fs_onednn **onednn);
void fs_onednn_close(fs_onednn *onednn);         // accepts NULL
size_t fs_onednn_bytes(const fs_onednn *onednn); // of our own allocations; 0 for NULL

int fs_onednn_bands(const fs_onednn *onednn, int step);
// "jit_1x1:avx2": what oneDNN chose for a band.
const char *fs_onednn_implementation(const fs_onednn *onednn, int step, int band);
// Runs one band on a worker's thread; false when oneDNN failed.
bool fs_onednn_run(const fs_onednn *onednn, int step, int band, int worker);

#endif
