// Atomic operations and fences. Threads are fibers of one CPU thread, so plain arithmetic is atomic.
#ifndef FS_TESTS_SIMT_ATOMICS_H
#define FS_TESTS_SIMT_ATOMICS_H

#include "tests/simt/observe.h"

namespace simt {

// To the race build an atomic is one event, not a read and a write: the change itself is not instrumented.
template <typename T, typename Change> __attribute__((no_sanitize("thread"))) T change_at(T *address, Change change) {
    const T old = *address;
    *address = change(old);
    return old;
}
template <typename T, typename Change> __attribute__((always_inline)) inline T atomically(T *address, Change change) {
    observe_atomic(address, sizeof(T));
    return change_at(address, change);
}

} // namespace simt

template <typename T> __attribute__((always_inline)) inline T atomicAdd(T *address, T value) {
    return simt::atomically(address, [=](T old) { return static_cast<T>(old + value); });
}
template <typename T> __attribute__((always_inline)) inline T atomicSub(T *address, T value) {
    return simt::atomically(address, [=](T old) { return static_cast<T>(old - value); });
}
template <typename T> __attribute__((always_inline)) inline T atomicMax(T *address, T value) {
    return simt::atomically(address, [=](T old) { return old < value ? value : old; });
}
template <typename T> __attribute__((always_inline)) inline T atomicMin(T *address, T value) {
    return simt::atomically(address, [=](T old) { return value < old ? value : old; });
}
template <typename T> __attribute__((always_inline)) inline T atomicAnd(T *address, T value) {
    return simt::atomically(address, [=](T old) { return old & value; });
}
template <typename T> __attribute__((always_inline)) inline T atomicOr(T *address, T value) {
    return simt::atomically(address, [=](T old) { return old | value; });
}
template <typename T> __attribute__((always_inline)) inline T atomicXor(T *address, T value) {
    return simt::atomically(address, [=](T old) { return old ^ value; });
}
template <typename T> __attribute__((always_inline)) inline T atomicExch(T *address, T value) {
    return simt::atomically(address, [=](T) { return value; });
}
template <typename T> __attribute__((always_inline)) inline T atomicCAS(T *address, T compare, T value) {
    return simt::atomically(address, [=](T old) { return old == compare ? value : old; });
}
__attribute__((always_inline)) inline unsigned atomicInc(unsigned *address, unsigned limit) {
    return simt::atomically(address, [=](unsigned old) { return old >= limit ? 0 : old + 1; });
}

inline void __threadfence() {
    simt::observe_fence();
}
inline void __threadfence_system() {
    simt::observe_fence();
}
inline void __threadfence_block() {}

#endif
