// What the kernels with tensor-core accumulators share: turning a quad of lanes' pairs of channels into 16 bytes a
// lane.
#ifndef FS_CUDA_KERNELS_QUADS_CUH
#define FS_CUDA_KERNELS_QUADS_CUH

#include "cuda/kernels/device.cuh"

// Lane t of a quad has columns 2t, 2t + 1 of four tiles of 8 columns; afterwards it has the 8 columns of tile t.
FS_DEVICE void fs_quad_transpose(float (&v)[4][2], int lane) {
#pragma unroll
    for (int bit = 1; bit <= 2; bit *= 2)
#pragma unroll
        for (int j = 0; j < 4; j++)
#pragma unroll
            for (int e = 0; e < 2; e++) {
                if (j & bit) continue;
                const bool upper = lane & bit;
                const float got = __shfl_xor_sync(0xffffffffu, upper ? v[j][e] : v[j | bit][e], bit);
                v[j][e] = upper ? got : v[j][e];
                v[j | bit][e] = upper ? v[j | bit][e] : got;
            }
}

#endif
