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

// One thread's copies: those not yet committed, and the committed groups, oldest first.
struct Copies {
    std::vector<Copy> open;
    std::vector<std::vector<Copy>> groups;
};
Copies copies[fibers_most];

void complete(const std::vector<Copy> &group) {
    for (const Copy &copy : group) {
        if (copy.from)
            memcpy(copy.to, copy.from, 16);
        else
            memset(copy.to, 0, 16);
        observe_copy_done(copy.to);
    }
}

} // namespace

void copies_start() {
    for (int i = 0; i < block.thread_count; i++) {
        Copies &own = copies[block.threads[i].slot];
        own.open.clear(), own.groups.clear();
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
    copies[block.current->slot].open.push_back({to, valid ? from : nullptr});
}

void async_commit() {
    Copies &own = copies[block.current->slot];
    own.groups.push_back(std::move(own.open));
    own.open.clear();
}

void async_wait(int left) {
    auto &groups = copies[block.current->slot].groups;
    const int finished = static_cast<int>(groups.size()) - left;
    if (finished <= 0) return;
    for (int i = 0; i < finished; i++) complete(groups[static_cast<size_t>(i)]);
    groups.erase(groups.begin(), groups.begin() + finished);
}

} // namespace simt
