// The CPU kernels for processors with AVX2 and FMA.
#define FS_TIER_AVX2 1
#define FS_TABLE fs_kernels_avx2
#define FS_TIER_NAME "avx2"
#define FS_TIER_BF16 false
#include "cpu/kernels/kernels.h"
#include "cpu/kernels/simd.h"

#include "cpu/kernels/depthwise.h"
#include "cpu/kernels/gemm.h"
#include "cpu/kernels/head.h"
#include "cpu/kernels/int8.h"
#include "cpu/kernels/rows.h"

#include "cpu/kernels/table.h"
