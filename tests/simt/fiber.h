// Fibers: threads that the program itself switches between, on stacks from one pool with guard pages.
#ifndef FS_TESTS_SIMT_FIBER_H
#define FS_TESTS_SIMT_FIBER_H

#include <cstddef>

namespace simt {

struct Fiber {
    void *stack_pointer; // while it does not run
    unsigned char *stack;
    void *asan_stack;
    bool unfinished; // prepared, and its body has not ended
    void (*body)(void *);
    void *argument;
};

constexpr int fibers_most = 4096; // of the blocks of a cluster

// Prepares fiber `index` of the pool to run body(argument) from the start, whatever it did before.
void fiber_prepare(Fiber &fiber, int index, void (*body)(void *), void *argument);
// From the scheduler: runs the fiber until it yields or finishes.
void fiber_resume(Fiber &fiber);
// From a fiber: back to the scheduler. One that has finished, at its body's end, or is abandoned, in the middle of it,
// is never resumed.
void fiber_yield(Fiber &fiber);
void fiber_finish(Fiber &fiber);
void fiber_abandon(Fiber &fiber);

// The fiber whose stack's guard page the address is in, or -1: what a stack overflow runs into.
int fiber_guard_at(const void *address);
// Whether an address lies in the stacks of the pool.
bool fiber_stack_holds(const void *address);

} // namespace simt

#endif
