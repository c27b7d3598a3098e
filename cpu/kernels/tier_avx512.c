// The CPU kernels for processors with AVX-512 (F, BW, DQ, VL).
#define FS_TIER_AVX512 1
#define FS_TABLE fs_kernels_avx512
#define FS_TIER_NAME "avx512"
#define FS_TIER_BF16 false
#include "cpu/kernels/kernels.h"
#include "cpu/kernels/simd.h"

#include "cpu/kernels/depthwise.h"
#include "cpu/kernels/gemm.h"
#include "cpu/kernels/head.h"
#include "cpu/kernels/int8.h"
#include "cpu/kernels/rows.h"

#include "cpu/kernels/table.h"
