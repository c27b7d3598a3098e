// Source lines of code addresses, for reports.
#ifndef FS_TESTS_SIMT_PLACE_H
#define FS_TESTS_SIMT_PLACE_H

#include "tests/simt/sync.h"

namespace simt {

// By value, because a fault leaves its thread's stack without destructors.
struct Text {
    char text[512];
};

// file:line of the call that returns to `caller`, "inlined at" the places it was inlined into.
Text place_text(const void *caller);
Text site_text(const Site &site);

} // namespace simt

#endif
