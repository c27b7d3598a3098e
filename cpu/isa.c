// Chooses the kernel table by what the processor and the operating system support.
#include "cpu/kernels/kernels.h"

#include <string.h>

static bool runs(const fs_kernels *k) {
#if defined(__x86_64__)
    __builtin_cpu_init();
    if (k == &fs_kernels_sse) return true;
    if (k == &fs_kernels_avx2) return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
    bool avx512 = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                  __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
    if (k == &fs_kernels_avx512) return avx512;
    avx512 = avx512 && __builtin_cpu_supports("avx512vnni");
    if (k == &fs_kernels_avx512vnni) return avx512;
    return avx512 && __builtin_cpu_supports("avx512bf16");
#else
    return k == &fs_kernels_sse;
#endif
}

// Best first.
static const fs_kernels *const all[] = {
#if defined(__x86_64__)
    &fs_kernels_avx512bf16, &fs_kernels_avx512vnni,
    &fs_kernels_avx512,     &fs_kernels_avx2,
#endif
    &fs_kernels_sse,        NULL};

const fs_kernels *const *fs_kernels_runnable(void) {
    const fs_kernels *const *k = all;
    while (!runs(*k)) k++;
    return k;
}

const fs_kernels *fs_kernels_select(const char *limit) {
    const fs_kernels *const *k = fs_kernels_runnable();
    if (limit == NULL) return *k;
    for (; *k; k++)
        if (strcmp((*k)->name, limit) == 0) return *k;
    return *fs_kernels_runnable();
}
