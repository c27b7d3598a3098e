// A kernel launch as plain data: what the backend records, replays, re-parametrises and times.
#ifndef FS_CUDA_KERNELS_LAUNCH_H
#define FS_CUDA_KERNELS_LAUNCH_H

#include <stdbool.h>
#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

enum { FS_LAUNCH_PARAMS = 320, FS_LAUNCH_NAME = 40 };

// Every kernel takes one struct by value, so a launch is its entry, a grid and the bytes of that struct. The entry is
// what cudaLaunchKernelExC and cudaKernelNodeParams.func take.
typedef struct fs_launch {
    const void *kernel;
    char name[FS_LAUNCH_NAME]; // "conv f16 128x64"; the tactic's name
    unsigned grid[3], block;   // blocks; threads per block (one dimension)
    unsigned shared;           // dynamic shared memory per block, bytes
    unsigned cluster;          // blocks of a cluster, along x, sm_90 and up; 0: no clusters
    unsigned params_bytes;
    union {
        unsigned char bytes[FS_LAUNCH_PARAMS];
        long double align;
    } params;
} fs_launch;

#ifdef __cplusplus
}
#endif
#endif
