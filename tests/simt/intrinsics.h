// Scalar device functions that the CUDA headers do not give a host compiler.
#ifndef FS_TESTS_SIMT_INTRINSICS_H
#define FS_TESTS_SIMT_INTRINSICS_H

#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>
#include <type_traits>

#include <vector_types.h>

namespace simt {

template <typename To, typename From> To bits(From from) {
    static_assert(sizeof(To) == sizeof(From), "a bit cast keeps the size");
    To to;
    memcpy(&to, &from, sizeof to);
    return to;
}

// Float to integer as the GPU does it: saturating, NaN to 0. The argument is already rounded.
template <typename Integer> Integer saturated(double x) {
    using limits = std::numeric_limits<Integer>;
    if (x != x) return 0;
    if (x <= static_cast<double>(limits::min())) return limits::min();
    return x >= static_cast<double>(limits::max()) ? limits::max() : static_cast<Integer>(x);
}

} // namespace simt

// ---- min, max: every pair of arithmetic types, like CUDA's overloads; a NaN loses against a number
// -------------------

template <typename A, typename B> std::common_type_t<A, B> min(A a, B b) {
    using T = std::common_type_t<A, B>;
    if constexpr (std::is_floating_point<T>::value)
        return std::fmin(static_cast<T>(a), static_cast<T>(b));
    else
        return static_cast<T>(b) < static_cast<T>(a) ? static_cast<T>(b) : static_cast<T>(a);
}
template <typename A, typename B> std::common_type_t<A, B> max(A a, B b) {
    using T = std::common_type_t<A, B>;
    if constexpr (std::is_floating_point<T>::value)
        return std::fmax(static_cast<T>(a), static_cast<T>(b));
    else
        return static_cast<T>(a) < static_cast<T>(b) ? static_cast<T>(b) : static_cast<T>(a);
}

// ---- float arithmetic
// ------------------------------------------------------------------------------------------------

inline float __fadd_rn(float a, float b) {
    return a + b;
}
inline float __fsub_rn(float a, float b) {
    return a - b;
}
inline float __fmul_rn(float a, float b) {
    return a * b;
}
inline float __fmaf_rn(float a, float b, float c) {
    return std::fmaf(a, b, c);
}
inline float __fdiv_rn(float a, float b) {
    return a / b;
}
inline float __frcp_rn(float a) {
    return 1.0f / a;
}
inline float __fsqrt_rn(float a) {
    return std::sqrt(a);
}
inline float __frsqrt_rn(float a) {
    return static_cast<float>(1.0 / std::sqrt(static_cast<double>(a)));
}
inline float rsqrtf(float a) noexcept {
    return __frsqrt_rn(a);
}
inline float __fdividef(float a, float b) {
    return a / b;
}
// The fast ones are exact to rounding here; a GPU differs in the last bits.
inline float __expf(float a) noexcept {
    return std::exp(a);
}
inline float __exp10f(float a) noexcept {
    return static_cast<float>(std::pow(10.0, static_cast<double>(a)));
}
inline float __logf(float a) noexcept {
    return std::log(a);
}
inline float __log2f(float a) noexcept {
    return std::log2(a);
}
inline float __log10f(float a) noexcept {
    return std::log10(a);
}
inline float __powf(float a, float b) noexcept {
    return std::pow(a, b);
}
inline float __sinf(float a) noexcept {
    return std::sin(a);
}
inline float __cosf(float a) noexcept {
    return std::cos(a);
}
inline float __saturatef(float a) {
    return a > 0.0f ? (a < 1.0f ? a : 1.0f) : 0.0f; // NaN to 0
}

// ---- conversions
// -------------------------------------------------------------------------------------------------------

inline int __float_as_int(float x) {
    return simt::bits<int>(x);
}
inline unsigned __float_as_uint(float x) {
    return simt::bits<unsigned>(x);
}
inline float __int_as_float(int x) {
    return simt::bits<float>(x);
}
inline float __uint_as_float(unsigned x) {
    return simt::bits<float>(x);
}
inline long long __double_as_longlong(double x) {
    return simt::bits<long long>(x);
}
inline double __longlong_as_double(long long x) {
    return simt::bits<double>(x);
}
inline int __float2int_rn(float x) {
    return simt::saturated<int>(std::nearbyint(x));
}
inline int __float2int_rz(float x) {
    return simt::saturated<int>(std::trunc(x));
}
inline int __float2int_rd(float x) {
    return simt::saturated<int>(std::floor(x));
}
inline int __float2int_ru(float x) {
    return simt::saturated<int>(std::ceil(x));
}
inline unsigned __float2uint_rn(float x) {
    return simt::saturated<unsigned>(std::nearbyint(x));
}
inline unsigned __float2uint_rz(float x) {
    return simt::saturated<unsigned>(std::trunc(x));
}
inline unsigned __float2uint_rd(float x) {
    return simt::saturated<unsigned>(std::floor(x));
}
inline unsigned __float2uint_ru(float x) {
    return simt::saturated<unsigned>(std::ceil(x));
}
inline float __int2float_rn(int x) {
    return static_cast<float>(x);
}
inline float __uint2float_rn(unsigned x) {
    return static_cast<float>(x);
}

// ---- integers
// ----------------------------------------------------------------------------------------------------------

inline int __popc(unsigned x) {
    return __builtin_popcount(x);
}
inline int __popcll(unsigned long long x) {
    return __builtin_popcountll(x);
}
inline int __ffs(int x) {
    return __builtin_ffs(x);
}
inline int __ffsll(long long x) {
    return __builtin_ffsll(x);
}
inline int __clz(int x) {
    return x == 0 ? 32 : __builtin_clz(static_cast<unsigned>(x));
}
inline int __clzll(long long x) {
    return x == 0 ? 64 : __builtin_clzll(static_cast<unsigned long long>(x));
}
inline unsigned __brev(unsigned x) {
    unsigned reversed = 0;
    for (int i = 0; i < 32; i++) reversed |= (x >> i & 1) << (31 - i);
    return reversed;
}
// Byte i of the result is byte (selector nibble i) & 7 of the eight bytes b:a, or its sign spread out if bit 3 is set.
inline unsigned __byte_perm(unsigned a, unsigned b, unsigned selector) {
    const uint64_t bytes = static_cast<uint64_t>(b) << 32 | a;
    unsigned result = 0;
    for (int i = 0; i < 4; i++) {
        const unsigned select = selector >> (4 * i) & 15;
        unsigned byte = static_cast<unsigned>(bytes >> (8 * (select & 7)) & 255);
        if (select & 8) byte = byte & 128 ? 255 : 0;
        result |= byte << (8 * i);
    }
    return result;
}
inline int __dp4a(int a, int b, int c) {
    int64_t sum = c;
    for (int i = 0; i < 32; i += 8) sum += static_cast<int8_t>(a >> i) * static_cast<int8_t>(b >> i);
    return static_cast<int>(static_cast<uint32_t>(sum)); // wraps
}
inline unsigned __dp4a(unsigned a, unsigned b, unsigned c) {
    for (int i = 0; i < 32; i += 8) c += (a >> i & 255) * (b >> i & 255);
    return c;
}
inline int __mulhi(int a, int b) {
    return static_cast<int>(static_cast<int64_t>(a) * b >> 32);
}
inline unsigned __umulhi(unsigned a, unsigned b) {
    return static_cast<unsigned>(static_cast<uint64_t>(a) * b >> 32);
}
inline unsigned __funnelshift_l(unsigned low, unsigned high, unsigned shift) {
    return static_cast<unsigned>((static_cast<uint64_t>(high) << 32 | low) << (shift & 31) >> 32);
}
inline unsigned __funnelshift_r(unsigned low, unsigned high, unsigned shift) {
    return static_cast<unsigned>((static_cast<uint64_t>(high) << 32 | low) >> (shift & 31));
}

// ---- loads and stores with a cache hint
// ------------------------------------------------------------------------------

template <typename T> T __ldg(const T *p) {
    return *p;
}
template <typename T> T __ldca(const T *p) {
    return *p;
}
template <typename T> T __ldcg(const T *p) {
    return *p;
}
template <typename T> T __ldcs(const T *p) {
    return *p;
}
template <typename T> void __stcg(T *p, T value) {
    *p = value;
}
template <typename T> void __stcs(T *p, T value) {
    *p = value;
}
template <typename T> void __stwt(T *p, T value) {
    *p = value;
}

#endif
