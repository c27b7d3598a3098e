// Emulated cp.async: NaNs go to the destination at issue, the data at the wait, as late as the GPU might.
#include <cstring>
#include <vector>

#include "tests/simt/arena.h"
#include "tests/simt/block.h"
#include "tests/simt/instructions.h"
#include "tests/simt/observe.h"
#include "tests/simt/place.h"

namespace simt {
namespace {

struct Copy {
    void *to;
    const void *from; // null: zeros
};

// One thread's copies that have not arrived, oldest first; a group is a stretch of them, and what lies behind the last
// group is not yet committed. The vectors keep their memory from block to block.
struct Copies {
    std::vector<Copy> queue;
    std::vector<size_t> ends; // of the committed groups
};
Copies copies[fibers_most];

void complete(const Copy &copy) {
    if (copy.from)
        memcpy(copy.to, copy.from, 16);
    else
        memset(copy.to, 0, 16);
    observe_copy_done(copy.to);
}

} // namespace

void copies_start() {
    for (int i = 0; i < block.thread_count; i++) {
        Copies &own = copies[block.threads[i].slot];
        own.queue.clear(), own.ends.clear();
    }
}

void async_copy16(void *to, const void *from, bool valid) {
    const void *caller = __builtin_return_address(0);
    if ((reinterpret_cast<uintptr_t>(to) | reinterpret_cast<uintptr_t>(from)) % 16)
        fault("cp.async at %s: %p or %p is not 16-byte aligned", place_text(caller).text, to, from);
    if (!arena_holds(to) || arena_holds(from))
        fault("cp.async at %s: from global to shared memory, not %p to %p", place_text(caller).text, from, to);
    const Place place = arena_place(to, 16);
    if (!place.inside)
        fault("cp.async at %s: shared memory out of bounds: 16 bytes at %s + %td", place_text(caller).text, place.array,
              place.offset);
    observe_copy_issued(to, from, valid, caller);
    memset(to, 0xff, 16);
    copies[block.current->slot].queue.push_back({to, valid ? from : nullptr});
}

void async_commit() {
    Copies &own = copies[block.current->slot];
    own.ends.push_back(own.queue.size());
}

void async_wait(int left) {
    auto &[queue, ends] = copies[block.current->slot];
    const auto finished = static_cast<ptrdiff_t>(ends.size()) - left;
    if (finished <= 0) return;
    const size_t arrived = ends[static_cast<size_t>(finished) - 1];
    for (size_t i = 0; i < arrived; i++) complete(queue[i]);
    queue.erase(queue.begin(), queue.begin() + static_cast<ptrdiff_t>(arrived));
    ends.erase(ends.begin(), ends.begin() + finished);
    for (size_t &end : ends) end -= arrived;
}

} // namespace simt
