// The CPU kernels for any x86-64 processor (and, compiled elsewhere, any processor).
#define FS_TIER_SSE 1
#define FS_TABLE fs_kernels_sse
#define FS_TIER_NAME "sse"
#define FS_TIER_BF16 false
#include "cpu/kernels/kernels.h"
#include "cpu/kernels/simd.h"

#include "cpu/kernels/depthwise.h"
#include "cpu/kernels/gemm.h"
#include "cpu/kernels/head.h"
#include "cpu/kernels/int8.h"
#include "cpu/kernels/rows.h"

#include "cpu/kernels/table.h"
