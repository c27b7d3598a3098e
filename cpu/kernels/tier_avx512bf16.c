// The CPU kernels for processors with AVX-512 and its dot products of bfloat16 and of bytes.
#define FS_TIER_AVX512BF16 1
#define FS_TIER_VNNI 1
#define FS_TABLE fs_kernels_avx512bf16
#define FS_TIER_NAME "avx512bf16"
#define FS_TIER_BF16 true
#include "cpu/kernels/kernels.h"
#include "cpu/kernels/simd.h"

#include "cpu/kernels/depthwise.h"
#include "cpu/kernels/gemm.h"
#include "cpu/kernels/head.h"
#include "cpu/kernels/int8.h"
#include "cpu/kernels/rows.h"

#include "cpu/kernels/table.h"
