// The CPU kernels as 16 lanes of plain C, with the bf16 dot product by emulation: for tests on any machine.
#define FS_TIER_SSE 1
#define FS_LANES 16
#define FS_TABLE fs_kernels_wide
#define FS_TIER_NAME "wide"
#define FS_TIER_BF16 true
#include "tests/cpu/network.h"

#include "cpu/kernels/simd.h"

// Forced inlining with constant sizes is for speed; with emulated vectors it would take the compiler minutes.
#undef FS_INLINE
#define FS_INLINE static

#include "cpu/kernels/depthwise.h"
#include "cpu/kernels/gemm.h"
#include "cpu/kernels/head.h"
#include "cpu/kernels/int8.h"
#include "cpu/kernels/rows.h"

#include "cpu/kernels/table.h"
