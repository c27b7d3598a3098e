// A signal handler on a stack of its own: the one that overflowed has no room for it.
#include "tests/simt/overflow.h"

#include <csignal>
#include <cstdio>
#include <unistd.h>

#include "tests/simt/fiber.h"
#include "tests/simt/sanitizer.h"

namespace simt {
namespace {

struct sigaction previous;

void handle(int, siginfo_t *info, void *) {
    const int thread = fiber_guard_at(info->si_addr);
    if (thread >= 0) {
        char text[128];
        const int length = snprintf(text, sizeof text, "simt: stack overflow in thread %d of a block\n", thread);
        if (write(STDERR_FILENO, text, static_cast<size_t>(length)) < 0) _exit(1);
    }
    sigaction(SIGSEGV, &previous, nullptr); // the access is tried again, and meets it
}

} // namespace

void overflow_watch() {
#ifdef SIMT_ASAN
    return; // it has a handler of its own
#endif
    static thread_local unsigned char stack[16 << 10];
    static thread_local bool watching;
    if (watching) return;
    watching = true;
    stack_t other = {};
    other.ss_sp = stack, other.ss_size = sizeof stack;
    sigaltstack(&other, nullptr);
    struct sigaction action = {};
    action.sa_sigaction = handle;
    action.sa_flags = SA_SIGINFO | SA_ONSTACK;
    struct sigaction before;
    sigaction(SIGSEGV, &action, &before);
    if (before.sa_sigaction != handle) previous = before;
}

} // namespace simt
