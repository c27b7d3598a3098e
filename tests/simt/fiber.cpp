// Fibers for x86-64: a hand-written switch, several times faster than swapcontext, which makes a system call.
#include "tests/simt/fiber.h"

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <sys/mman.h>

#include "tests/simt/sanitizer.h"

// void simt_switch(void **save, void *load): pushes the registers that a call must keep, exchanges stacks, pops.
asm(R"(
.text
.globl simt_switch
.type simt_switch, @function
simt_switch:
    pushq %rbp
    pushq %rbx
    pushq %r12
    pushq %r13
    pushq %r14
    pushq %r15
    movq %rsp, (%rdi)
    movq %rsi, %rsp
    popq %r15
    popq %r14
    popq %r13
    popq %r12
    popq %rbx
    popq %rbp
    ret
.size simt_switch, .-simt_switch
)");
extern "C" void simt_switch(void **save, void *load);

namespace simt {
namespace {

#ifdef SIMT_ASAN
constexpr size_t usable_bytes = 256 << 10; // red zones around every local
#else
constexpr size_t usable_bytes = 64 << 10;
#endif
// Threads do the same, each on its stack, so stacks must not lie alike to the caches, or the threads of a block push
// one another out of them: a slot is an odd number of pages, and its stack starts up to a page below its end.
constexpr size_t page_bytes = 4 << 10, stagger_bytes = 512, staggers = page_bytes / stagger_bytes;
constexpr size_t stack_bytes = usable_bytes + page_bytes, guard_bytes = 16 << 10;
constexpr size_t slot_bytes = stack_bytes + guard_bytes;
static_assert(slot_bytes / page_bytes % 2 == 1);

size_t stagger(int index) {
    return static_cast<size_t>(index + index / 16) % staggers * stagger_bytes;
}

unsigned char *pool;
void *scheduler_stack_pointer;

const Fiber *running;

#ifdef SIMT_ASAN
const void *scheduler_stack;
size_t scheduler_stack_bytes;
#endif

void entered_fiber(void *asan_stack) {
#ifdef SIMT_ASAN
    __sanitizer_finish_switch_fiber(asan_stack, &scheduler_stack, &scheduler_stack_bytes);
#else
    (void)asan_stack;
#endif
}

void leaving_fiber(void **asan_stack) {
#ifdef SIMT_ASAN
    __sanitizer_start_switch_fiber(asan_stack, scheduler_stack, scheduler_stack_bytes);
#else
    (void)asan_stack;
#endif
}

void run_body() {
    entered_fiber(nullptr);
    running->body(running->argument);
    abort(); // a body ends in fiber_finish
}

unsigned char *make_pool() {
    void *p = mmap(nullptr, fibers_most * slot_bytes, PROT_READ | PROT_WRITE,
                   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (p == MAP_FAILED) {
        perror("simt: stacks of the fibers");
        abort();
    }
    for (int i = 0; i < fibers_most; i++)
        mprotect(static_cast<unsigned char *>(p) + i * slot_bytes, guard_bytes, PROT_NONE);
    return static_cast<unsigned char *>(p);
}

} // namespace

void fiber_prepare(Fiber &fiber, int index, void (*body)(void *), void *argument) {
    if (!pool) pool = make_pool();
    fiber.stack = pool + index * slot_bytes + guard_bytes;
    fiber.body = body, fiber.argument = argument;
    fiber.asan_stack = nullptr;
    // An abandoned run leaves its frames' red zones. Only then: to clear the shadow of a whole stack takes longer than
    // many a kernel.
    if (fiber.unfinished) ASAN_UNPOISON_MEMORY_REGION(fiber.stack, stack_bytes);
    fiber.unfinished = true;
    // What simt_switch pops: six registers, then run_body as the address to return to, with the alignment of a call.
    auto *top = reinterpret_cast<uintptr_t *>(fiber.stack + stack_bytes - stagger(index)) - 8;
    memset(top, 0, 8 * sizeof *top);
    top[6] = reinterpret_cast<uintptr_t>(&run_body);
    fiber.stack_pointer = top;
}

void fiber_resume(Fiber &fiber) {
    running = &fiber;
#ifdef SIMT_ASAN
    void *asan_stack = nullptr;
    __sanitizer_start_switch_fiber(&asan_stack, fiber.stack, stack_bytes);
    simt_switch(&scheduler_stack_pointer, fiber.stack_pointer);
    __sanitizer_finish_switch_fiber(asan_stack, nullptr, nullptr);
#else
    simt_switch(&scheduler_stack_pointer, fiber.stack_pointer);
#endif
}

void fiber_yield(Fiber &fiber) {
    leaving_fiber(&fiber.asan_stack);
    simt_switch(&fiber.stack_pointer, scheduler_stack_pointer);
    entered_fiber(fiber.asan_stack);
}

void fiber_finish(Fiber &fiber) {
    fiber.unfinished = false;
    fiber_abandon(fiber);
}

void fiber_abandon(Fiber &fiber) {
    leaving_fiber(nullptr);
    simt_switch(&fiber.stack_pointer, scheduler_stack_pointer);
    abort();
}

int fiber_guard_at(const void *address) {
    if (!fiber_stack_holds(address)) return -1;
    const auto offset = static_cast<size_t>(static_cast<const unsigned char *>(address) - pool);
    return offset % slot_bytes < guard_bytes ? static_cast<int>(offset / slot_bytes) : -1;
}

bool fiber_stack_holds(const void *address) {
    const auto *byte = static_cast<const unsigned char *>(address);
    return pool && byte >= pool && byte < pool + fibers_most * slot_bytes;
}

} // namespace simt
