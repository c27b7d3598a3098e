// Half-precision device functions that cuda_fp16.h does not give a host compiler.
#ifndef FS_TESTS_SIMT_INTRINSICS_HALF_H
#define FS_TESTS_SIMT_INTRINSICS_HALF_H

#include <cmath>

#include <cuda_fp16.h>

#include "tests/simt/intrinsics.h"

namespace simt {

template <typename Op> __half each(__half a, Op op) {
    return __float2half_rn(op(__half2float(a)));
}
template <typename Op> __half2 each(__half2 a, Op op) {
    return __halves2half2(each(__low2half(a), op), each(__high2half(a), op));
}

} // namespace simt

// ---- fused multiply-add: through double, where the product and the sum are exact enough to be rounded once
// -----------

inline __half __hfma(__half a, __half b, __half c) {
    const double x = __half2float(a), y = __half2float(b), z = __half2float(c);
    return __double2half(x * y + z);
}
inline __half __hfma_sat(__half a, __half b, __half c) {
    return __float2half_rn(__saturatef(__half2float(__hfma(a, b, c))));
}
// ReLU as the GPU has it: negative and -0 to +0, NaN stays NaN.
inline __half __hfma_relu(__half a, __half b, __half c) {
    const __half x = __hfma(a, b, c);
    return __half2float(x) > 0.0f || __hisnan(x) ? x : __ushort_as_half(0);
}
inline __half2 __hfma2(__half2 a, __half2 b, __half2 c) {
    return __halves2half2(__hfma(__low2half(a), __low2half(b), __low2half(c)),
                          __hfma(__high2half(a), __high2half(b), __high2half(c)));
}
inline __half2 __hfma2_sat(__half2 a, __half2 b, __half2 c) {
    return __halves2half2(__hfma_sat(__low2half(a), __low2half(b), __low2half(c)),
                          __hfma_sat(__high2half(a), __high2half(b), __high2half(c)));
}
inline __half2 __hfma2_relu(__half2 a, __half2 b, __half2 c) {
    return __halves2half2(__hfma_relu(__low2half(a), __low2half(b), __low2half(c)),
                          __hfma_relu(__high2half(a), __high2half(b), __high2half(c)));
}

// ---- rounding and transcendental functions
// ---------------------------------------------------------------------------

#define SIMT_HALF_FUNCTION(name, expression)                                                                           \
    inline __half h##name(__half a) {                                                                                  \
        return simt::each(a, [](float x) -> float { return expression; });                                             \
    }                                                                                                                  \
    inline __half2 h2##name(__half2 a) {                                                                               \
        return simt::each(a, [](float x) -> float { return expression; });                                             \
    }
SIMT_HALF_FUNCTION(exp, std::exp(x))
SIMT_HALF_FUNCTION(exp2, std::exp2(x))
SIMT_HALF_FUNCTION(log, std::log(x))
SIMT_HALF_FUNCTION(log2, std::log2(x))
SIMT_HALF_FUNCTION(sqrt, std::sqrt(x))
SIMT_HALF_FUNCTION(rsqrt, rsqrtf(x))
SIMT_HALF_FUNCTION(rcp, 1.0f / x)
SIMT_HALF_FUNCTION(floor, std::floor(x))
SIMT_HALF_FUNCTION(ceil, std::ceil(x))
SIMT_HALF_FUNCTION(trunc, std::trunc(x))
SIMT_HALF_FUNCTION(rint, std::nearbyint(x))
#undef SIMT_HALF_FUNCTION

inline int __half2int_rn(__half a) {
    return __float2int_rn(__half2float(a));
}
inline int __half2int_rd(__half a) {
    return __float2int_rd(__half2float(a));
}
inline int __half2int_ru(__half a) {
    return __float2int_ru(__half2float(a));
}
inline unsigned __half2uint_rn(__half a) {
    return __float2uint_rn(__half2float(a));
}

#endif
