// The plain build: nobody watches.
#include "tests/simt/observe.h"
#include "tests/simt/simt_run.h"

namespace simt {

void observe_launch() {}
void observe_block() {}
void observe_barrier() {}
void observe_warp_barrier(uint32_t) {}
void observe_copy_issued(void *, const void *, bool, const void *) {}
void observe_copy_done(void *) {}
void observe_atomic(const void *, size_t) {}
void observe_fence() {}
void observe_read(const void *, size_t, const void *) {}

} // namespace simt

void simt_register_memory(void *, size_t) {}
void simt_unregister_memory(void *) {}
void simt_frame_memory(void *, size_t) {}
