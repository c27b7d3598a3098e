// The memory plan: lifetimes packed into one arena, greedily by size (the "greedy by size" offset assignment of
// inference runtimes).
#include "runtime/base/mem.h"
#include "runtime/plan.h"

static size_t align_up(size_t bytes) {
    return (bytes + FS_ALIGNMENT - 1) / FS_ALIGNMENT * FS_ALIGNMENT;
}

static bool live_together(const fs_placement *a, const fs_placement *b) {
    return a->first <= b->last && b->first <= a->last;
}

void fs_memory_plan(fs_plan *plan, bool no_reuse) {
    int order[FS_MAX_TENSORS], count = 0;
    // Insertion sort, largest first; equal sizes keep the tensors' order, so that the plan is the same everywhere.
    for (int t = 0; t < plan->program.graph.tensors; t++) {
        if (!plan->place[t].used) continue;
        int at = count++;
        for (; at > 0 && plan->place[order[at - 1]].bytes < plan->place[t].bytes; at--) order[at] = order[at - 1];
        order[at] = t;
    }

    int placed[FS_MAX_TENSORS]; // by offset
    plan->arena_bytes = 0;
    for (int i = 0; i < count; i++) {
        fs_placement *p = &plan->place[order[i]];
        size_t offset = 0;
        for (int k = 0; k < i; k++) {
            const fs_placement *other = &plan->place[placed[k]];
            if (!no_reuse && !live_together(p, other)) continue;
            if (offset + p->bytes <= other->offset) break;
            size_t behind = align_up(other->offset + other->bytes);
            if (offset < behind) offset = behind;
        }
        p->offset = offset;
        int at = i;
        for (; at > 0 && plan->place[placed[at - 1]].offset > offset; at--) placed[at] = placed[at - 1];
        placed[at] = order[i];
        size_t end = align_up(offset + p->bytes);
        if (plan->arena_bytes < end) plan->arena_bytes = end;
    }
}
