// What the race build wants to know beyond loads and stores. race.cpp watches; unobserved.cpp does nothing.
#ifndef FS_TESTS_SIMT_OBSERVE_H
#define FS_TESTS_SIMT_OBSERVE_H

#include <cstddef>
#include <cstdint>

namespace simt {

void observe_launch();
void observe_block();
void observe_barrier();                    // all threads of the block have arrived
void observe_warp_barrier(uint32_t lanes); // these lanes of the current warp have met
void observe_copy_issued(void *to, const void *from, bool valid, const void *caller);
void observe_copy_done(void *to);
void observe_atomic(const void *address, size_t bytes);
void observe_fence(); // of the current thread, for the whole device
void observe_read(const void *address, size_t bytes, const void *caller);

} // namespace simt

#endif
