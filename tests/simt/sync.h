// Barriers, warp shuffles and votes. Every meeting point knows the line it was called from.
#ifndef FS_TESTS_SIMT_SYNC_H
#define FS_TESTS_SIMT_SYNC_H

#include <cstdint>

namespace simt {

// Where a thread calls from: a line, or the return address of an emulated instruction.
struct Site {
    const char *file;
    int line;
    const void *caller = nullptr;
};

// What a block barrier tells every thread about the predicates that the threads brought.
struct Count {
    int true_ones, threads;
};
Count barrier(bool predicate, Site site);

// A warp collective. Each lane of `mask` brings a pointer to its own `lane` record; the last to arrive runs `compute`
// over all of them (the pointers of lanes outside the mask are null) and all go on.
struct Collective {
    const char *name;
    void (*compute)(void *const lanes[32]);
};
void meet(const Collective &what, uint32_t mask, void *lane, Site site);

void warp_barrier(uint32_t mask, Site site);
uint32_t ballot(uint32_t mask, bool predicate, Site site);
uint32_t active_lanes();

// Copies `bytes` from the value of lane `source` to *result, each lane its own source.
void shuffle(const char *name, uint32_t mask, int source, const void *value, void *result, unsigned bytes, Site site);
int lane_index();

template <typename T> T shuffled(const char *name, uint32_t mask, T value, int source, Site site) {
    static_assert(sizeof(T) <= 8, "a shuffle moves registers");
    T result = value;
    shuffle(name, mask, source, &value, &result, sizeof(T), site);
    return result;
}

} // namespace simt

#define SIMT_HERE const char *file = __builtin_FILE(), int line = __builtin_LINE()
#define SIMT_SITE                                                                                                      \
    simt::Site {                                                                                                       \
        file, line                                                                                                     \
    }

inline void __syncthreads(SIMT_HERE) {
    simt::barrier(false, SIMT_SITE);
}
inline int __syncthreads_count(int predicate, SIMT_HERE) {
    return simt::barrier(predicate != 0, SIMT_SITE).true_ones;
}
inline int __syncthreads_or(int predicate, SIMT_HERE) {
    return simt::barrier(predicate != 0, SIMT_SITE).true_ones > 0;
}
inline int __syncthreads_and(int predicate, SIMT_HERE) {
    const simt::Count count = simt::barrier(predicate != 0, SIMT_SITE);
    return count.true_ones == count.threads;
}

inline void __syncwarp(unsigned mask = 0xffffffff, SIMT_HERE) {
    simt::warp_barrier(mask, SIMT_SITE);
}

// `width` lanes, a power of two, form a group; a source outside the group gives the lane its own value.
template <typename T> T __shfl_sync(unsigned mask, T value, int source, int width = 32, SIMT_HERE) {
    const int first = simt::lane_index() & ~(width - 1);
    return simt::shuffled("__shfl_sync", mask, value, first + (source & (width - 1)), SIMT_SITE);
}
template <typename T> T __shfl_up_sync(unsigned mask, T value, unsigned delta, int width = 32, SIMT_HERE) {
    const int lane = simt::lane_index(), first = lane & ~(width - 1), source = lane - static_cast<int>(delta);
    return simt::shuffled("__shfl_up_sync", mask, value, source < first ? lane : source, SIMT_SITE);
}
template <typename T> T __shfl_down_sync(unsigned mask, T value, unsigned delta, int width = 32, SIMT_HERE) {
    const int lane = simt::lane_index(), last = lane | (width - 1), source = lane + static_cast<int>(delta);
    return simt::shuffled("__shfl_down_sync", mask, value, source > last ? lane : source, SIMT_SITE);
}
template <typename T> T __shfl_xor_sync(unsigned mask, T value, int lanes, int width = 32, SIMT_HERE) {
    const int lane = simt::lane_index(), last = lane | (width - 1), source = lane ^ lanes;
    return simt::shuffled("__shfl_xor_sync", mask, value, source > last ? lane : source, SIMT_SITE);
}

inline unsigned __ballot_sync(unsigned mask, int predicate, SIMT_HERE) {
    return simt::ballot(mask, predicate != 0, SIMT_SITE);
}
inline int __any_sync(unsigned mask, int predicate, SIMT_HERE) {
    return simt::ballot(mask, predicate != 0, SIMT_SITE) != 0;
}
inline int __all_sync(unsigned mask, int predicate, SIMT_HERE) {
    return simt::ballot(mask, predicate != 0, SIMT_SITE) == mask;
}
inline unsigned __activemask() {
    return simt::active_lanes();
}

#endif
