// Stack overflow of a kernel's thread, told before the process dies of it.
#ifndef FS_TESTS_SIMT_OVERFLOW_H
#define FS_TESTS_SIMT_OVERFLOW_H

namespace simt {

// For the calling thread, from now on. Other faults keep their handler.
void overflow_watch();

} // namespace simt

#endif
