// Entries of kernels: what stands for a kernel where the CUDA runtime wants a function pointer.
#ifndef FS_TESTS_SIMT_ENTRY_H
#define FS_TESTS_SIMT_ENTRY_H

#include <cstddef>
#include <cstdint>

namespace simt {

constexpr uint64_t entry_magic = 0x6b65726e656c2121; // "kernel!!"

struct Entry {
    uint64_t magic;
    size_t params_bytes;
    void (*run)(const void *params); // one thread of the kernel
};

template <auto kernel> struct Call;
template <typename Params, void (*kernel)(Params)> struct Call<kernel> {
    static_assert(alignof(Params) <= 64, "a launch keeps parameters at 64 bytes");
    static constexpr size_t params_bytes = sizeof(Params);
    static void run(const void *params) { kernel(*static_cast<const Params *>(params)); }
};

template <auto kernel> inline constexpr Entry entry{entry_magic, Call<kernel>::params_bytes, Call<kernel>::run};

} // namespace simt

#endif
