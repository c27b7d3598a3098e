// Shared memory of the running block, as a kernel asks for it.
#ifndef FS_TESTS_SIMT_MEMORY_H
#define FS_TESTS_SIMT_MEMORY_H

#include <cstddef>

namespace simt {

// The array that the declaration `site` names: the same for all threads of a block, 128-byte aligned, NaNs at first.
void *shared_array(const void *site, const char *name, size_t bytes);
void *shared_dynamic();

} // namespace simt

#endif
