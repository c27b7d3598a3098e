// The table of one instruction set, from the kernel texts above it. Included last by tier_*.c, which names it FS_TABLE.
#if defined(FS_TIER_VNNI)
#define FS_TIER_INT8 true
#else
#define FS_TIER_INT8 false
#endif
const fs_kernels FS_TABLE = {
    .name = FS_TIER_NAME,
    .lanes = FS_LANES,
    .bf16_dot = FS_TIER_BF16,
    .int8_dot = FS_TIER_INT8,
    .gemm_f32 = gemm_f32,
    .gemm_bf16 = gemm_bf16,
    .depthwise_f32 = depthwise_f32,
    .depthwise_bf16 = depthwise_bf16,
    .depthwise_f32_to_bf16 = depthwise_f32_to_bf16,
    .gemm_u8 = gemm_u8,
    .depthwise_f32_to_u8 = depthwise_f32_to_u8,
    .depthwise_bf16_to_u8 = depthwise_bf16_to_u8,
    .u8_from_f32 = u8_from_f32,
    .u8_from_bf16 = u8_from_bf16,
    .to_f32 = to_f32,
    .to_bf16 = to_bf16,
    .relu_f32 = relu_f32,
    .add_f32 = add_f32,
    .lerp_f32 = lerp_f32,
    .lerp_bf16 = lerp_bf16,
    .stretch_f32 = stretch_f32,
    .stretch_bf16 = stretch_bf16,
    .input_f32 = input_f32,
    .sum_f32 = sum_f32,
    .sum_bf16 = sum_bf16,
    .argmax = argmax_rows,
    .head_cell = head_cell,
    .stretch_plane = stretch_plane,
    .add_exp = add_exp,
    .scale_f32 = scale_f32,
    .scale_f16 = scale_f16,
};
