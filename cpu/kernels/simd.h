// One vector of floats per instruction set: the few operations that the kernels are written in. Included by tier_*.c
// only.
#ifndef FS_CPU_SIMD_H
#define FS_CPU_SIMD_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#define FS_INLINE static inline __attribute__((always_inline))

#if defined(FS_TIER_AVX512) || defined(FS_TIER_AVX512BF16)
#include <immintrin.h>
#define FS_LANES 16
typedef __m512 vf;
FS_INLINE vf vf_load(const float *p) {
    return _mm512_loadu_ps(p);
}
FS_INLINE void vf_store(float *p, vf v) {
    _mm512_storeu_ps(p, v);
}
FS_INLINE vf vf_set1(float x) {
    return _mm512_set1_ps(x);
}
FS_INLINE vf vf_fma(vf a, vf b, vf c) {
    return _mm512_fmadd_ps(a, b, c);
}
FS_INLINE vf vf_add(vf a, vf b) {
    return _mm512_add_ps(a, b);
}
FS_INLINE vf vf_sub(vf a, vf b) {
    return _mm512_sub_ps(a, b);
}
FS_INLINE vf vf_mul(vf a, vf b) {
    return _mm512_mul_ps(a, b);
}
FS_INLINE vf vf_max(vf a, vf b) {
    return _mm512_max_ps(a, b);
}
FS_INLINE vf vf_min(vf a, vf b) {
    return _mm512_min_ps(a, b);
}
FS_INLINE vf vf_load_u8(const uint8_t *p) {
    return _mm512_cvtepi32_ps(_mm512_cvtepu8_epi32(_mm_loadu_si128((const __m128i *)p)));
}
FS_INLINE vf vf_load_bf16(const uint16_t *p) {
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(_mm256_loadu_si256((const __m256i *)p)), 16));
}
#if defined(FS_TIER_AVX512BF16)
FS_INLINE void vf_store_bf16(uint16_t *p, vf v) {
    _mm256_storeu_si256((__m256i *)p, (__m256i)_mm512_cvtneps_pbh(v));
}
#else
FS_INLINE void vf_store_bf16(uint16_t *p, vf v) { // round to nearest even; NaN stays NaN
    __m512i u = _mm512_castps_si512(v);
    __m512i odd = _mm512_and_si512(_mm512_srli_epi32(u, 16), _mm512_set1_epi32(1));
    __m512i r = _mm512_srli_epi32(_mm512_add_epi32(u, _mm512_add_epi32(odd, _mm512_set1_epi32(0x7fff))), 16);
    r = _mm512_mask_mov_epi32(r, _mm512_cmp_ps_mask(v, v, _CMP_UNORD_Q), _mm512_set1_epi32(0x7fc0));
    _mm256_storeu_si256((__m256i *)p, _mm512_cvtepi32_epi16(r));
}
#endif
// Where value > best: best = value, index = k.
typedef __m512i vi;
FS_INLINE vi vi_set1(int x) {
    return _mm512_set1_epi32(x);
}
FS_INLINE vi vi_load(const void *p) {
    return _mm512_loadu_si512(p);
}
FS_INLINE vi vi_add(vi a, vi b) {
    return _mm512_add_epi32(a, b);
}
FS_INLINE vi vi_times128(vi v) {
    return _mm512_slli_epi32(v, 7);
}
FS_INLINE vf vi_to_float(vi v) {
    return _mm512_cvtepi32_ps(v);
}
FS_INLINE vi vf_round(vf v) { // to nearest even; |v| below 2^22
    return _mm512_cvtps_epi32(v);
}
FS_INLINE void vf_argmax(vf value, vi k, vf *best, vi *index) {
    __mmask16 m = _mm512_cmp_ps_mask(value, *best, _CMP_GT_OQ);
    *best = _mm512_mask_mov_ps(*best, m, value);
    *index = _mm512_mask_mov_epi32(*index, m, k);
}
FS_INLINE void vi_store_u8(uint8_t *p, vi v) {
    _mm_storeu_si128((__m128i *)p, _mm512_cvtepi32_epi8(v));
}
#define FS_HAS_PICK
FS_INLINE vi vi_min(vi a, vi b) {
    return _mm512_min_epi32(a, b);
}
FS_INLINE vf vf_pick(vf v, vi lane) { // lane[i] is where element i comes from
    return _mm512_permutexvar_ps(lane, v);
}

#elif defined(FS_TIER_AVX2)
#include <immintrin.h>
#define FS_LANES 8
typedef __m256 vf;
FS_INLINE vf vf_load(const float *p) {
    return _mm256_loadu_ps(p);
}
FS_INLINE void vf_store(float *p, vf v) {
    _mm256_storeu_ps(p, v);
}
FS_INLINE vf vf_set1(float x) {
    return _mm256_set1_ps(x);
}
FS_INLINE vf vf_fma(vf a, vf b, vf c) {
    return _mm256_fmadd_ps(a, b, c);
}
FS_INLINE vf vf_add(vf a, vf b) {
    return _mm256_add_ps(a, b);
}
FS_INLINE vf vf_sub(vf a, vf b) {
    return _mm256_sub_ps(a, b);
}
FS_INLINE vf vf_mul(vf a, vf b) {
    return _mm256_mul_ps(a, b);
}
FS_INLINE vf vf_max(vf a, vf b) {
    return _mm256_max_ps(a, b);
}
FS_INLINE vf vf_min(vf a, vf b) {
    return _mm256_min_ps(a, b);
}
FS_INLINE vf vf_load_u8(const uint8_t *p) {
    return _mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(_mm_loadl_epi64((const __m128i *)p)));
}
FS_INLINE vf vf_load_bf16(const uint16_t *p) {
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(_mm_loadu_si128((const __m128i *)p)), 16));
}
FS_INLINE void vf_store_bf16(uint16_t *p, vf v) { // round to nearest even; NaN stays NaN
    __m256i u = _mm256_castps_si256(v);
    __m256i odd = _mm256_and_si256(_mm256_srli_epi32(u, 16), _mm256_set1_epi32(1));
    __m256i r = _mm256_srli_epi32(_mm256_add_epi32(u, _mm256_add_epi32(odd, _mm256_set1_epi32(0x7fff))), 16);
    r = _mm256_blendv_epi8(r, _mm256_set1_epi32(0x7fc0), _mm256_castps_si256(_mm256_cmp_ps(v, v, _CMP_UNORD_Q)));
    __m256i packed = _mm256_permute4x64_epi64(_mm256_packus_epi32(r, r), 0x08);
    _mm_storeu_si128((__m128i *)p, _mm256_castsi256_si128(packed));
}
typedef __m256i vi;
FS_INLINE vi vi_set1(int x) {
    return _mm256_set1_epi32(x);
}
FS_INLINE vi vi_load(const void *p) {
    return _mm256_loadu_si256((const __m256i *)p);
}
FS_INLINE vi vi_add(vi a, vi b) {
    return _mm256_add_epi32(a, b);
}
FS_INLINE vi vi_times128(vi v) {
    return _mm256_slli_epi32(v, 7);
}
FS_INLINE vf vi_to_float(vi v) {
    return _mm256_cvtepi32_ps(v);
}
FS_INLINE vi vf_round(vf v) { // to nearest even; |v| below 2^22
    return _mm256_cvtps_epi32(v);
}
FS_INLINE void vf_argmax(vf value, vi k, vf *best, vi *index) {
    __m256 m = _mm256_cmp_ps(value, *best, _CMP_GT_OQ);
    *best = _mm256_blendv_ps(*best, value, m);
    *index = _mm256_blendv_epi8(*index, k, _mm256_castps_si256(m));
}
FS_INLINE void vi_store_u8(uint8_t *p, vi v) {
    __m128i w = _mm_packus_epi32(_mm256_castsi256_si128(v), _mm256_extracti128_si256(v, 1));
    _mm_storel_epi64((__m128i *)p, _mm_packus_epi16(w, w));
}
#define FS_HAS_PICK
FS_INLINE vi vi_min(vi a, vi b) {
    return _mm256_min_epi32(a, b);
}
FS_INLINE vf vf_pick(vf v, vi lane) {
    return _mm256_permutevar8x32_ps(v, lane);
}

#else // Any compiler target: GCC vectors of FS_LANES floats. 4 for plain x86-64; tests compile 16 to check the wide
      // tiling.
#ifndef FS_LANES
#define FS_LANES 4
#endif
typedef float vf __attribute__((vector_size(FS_LANES * 4)));
typedef int32_t vi __attribute__((vector_size(FS_LANES * 4)));
FS_INLINE vf vf_load(const float *p) {
    vf v;
    memcpy(&v, p, sizeof v);
    return v;
}
FS_INLINE void vf_store(float *p, vf v) {
    memcpy(p, &v, sizeof v);
}
FS_INLINE vf vf_set1(float x) {
    return x - (vf){0};
}
FS_INLINE vf vf_fma(vf a, vf b, vf c) {
    return a * b + c;
}
FS_INLINE vf vf_add(vf a, vf b) {
    return a + b;
}
FS_INLINE vf vf_sub(vf a, vf b) {
    return a - b;
}
FS_INLINE vf vf_mul(vf a, vf b) {
    return a * b;
}
FS_INLINE vf vf_select(vi mask, vf a, vf b) {
    return (vf)(((vi)a & mask) | ((vi)b & ~mask));
}
FS_INLINE vf vf_max(vf a, vf b) {
    return vf_select(a > b, a, b);
}
FS_INLINE vf vf_min(vf a, vf b) {
    return vf_select(a < b, a, b);
}
FS_INLINE vf vf_load_u8(const uint8_t *p) {
    vf v;
    for (int i = 0; i < FS_LANES; i++) v[i] = p[i];
    return v;
}
FS_INLINE vf vf_load_bf16(const uint16_t *p) {
    vi v;
    for (int i = 0; i < FS_LANES; i++) v[i] = (int32_t)((uint32_t)p[i] << 16);
    return (vf)v;
}
FS_INLINE void vf_store_bf16(uint16_t *p, vf v) { // round to nearest even; NaN stays NaN
    for (int i = 0; i < FS_LANES; i++) {
        float x = v[i];
        uint32_t u;
        memcpy(&u, &x, 4);
        p[i] = x != x ? 0x7fc0 : (uint16_t)((u + (u >> 16 & 1) + 0x7fff) >> 16);
    }
}
FS_INLINE vi vi_set1(int x) {
    return x - (vi){0};
}
FS_INLINE vi vi_load(const void *p) {
    vi v;
    memcpy(&v, p, sizeof v);
    return v;
}
FS_INLINE vi vi_add(vi a, vi b) {
    return a + b;
}
FS_INLINE vi vi_times128(vi v) {
    return v * 128;
}
FS_INLINE vf vi_to_float(vi v) {
    return __builtin_convertvector(v, vf);
}
FS_INLINE vi vf_round(vf v) { // to nearest even; |v| below 2^22: adding 1.5 * 2^23 leaves the integer in the low bits
    return (vi)(v + 12582912.0f) - 0x4b400000;
}
FS_INLINE void vf_argmax(vf value, vi k, vf *best, vi *index) {
    vi m = value > *best;
    *best = vf_select(m, value, *best);
    *index = (k & m) | (*index & ~m);
}
FS_INLINE void vi_store_u8(uint8_t *p, vi v) {
    for (int i = 0; i < FS_LANES; i++) p[i] = (uint8_t)v[i];
}
#endif

// The same value, loaded once: without it the compiler reads memory again in each instruction that takes the value.
FS_INLINE vf vf_in_register(vf v) {
#if defined(FS_TIER_AVX512) || defined(FS_TIER_AVX512BF16) || defined(FS_TIER_AVX2)
    __asm__("" : "+v"(v));
#endif
    return v;
}
FS_INLINE vf vf_zero(void) {
    return vf_set1(0.0f);
}
// a + (b - a) * t
FS_INLINE vf vf_lerp(vf a, vf b, vf t) {
    return vf_fma(vf_sub(b, a), t, a);
}

// acc + the product of each lane's two bf16 pairs. `a`: one pair, given to every lane; b: FS_LANES pairs, as they lie.
#if defined(FS_TIER_AVX512BF16)
FS_INLINE vf vf_dot_bf16(vf acc, const uint16_t *a, vf b) {
    int32_t pair;
    memcpy(&pair, a, 4);
    return _mm512_dpbf16_ps(acc, (__m512bh)_mm512_set1_epi32(pair), (__m512bh)b);
}
#else
// Emulated, for tests of the bf16 tiling on any processor: a call, or every tile would hold dozens of copies.
__attribute__((noinline)) static vf vf_dot_bf16(vf acc, const uint16_t *a, vf b) {
    uint16_t pairs[2 * FS_LANES];
    memcpy(pairs, &b, sizeof pairs);
    for (int half = 0; half < 2; half++) {
        uint32_t u = (uint32_t)a[half] << 16;
        float x;
        memcpy(&x, &u, 4);
        uint16_t lane[FS_LANES];
        for (int i = 0; i < FS_LANES; i++) lane[i] = pairs[2 * i + half];
        acc = vf_fma(vf_set1(x), vf_load_bf16(lane), acc);
    }
    return acc;
}
#endif

// acc + the product of each lane's four bytes with four weights. `a`: four u8, given to every lane; b: FS_LANES times
// four s8. Exact: nothing saturates.
#if defined(FS_TIER_VNNI)
FS_INLINE vi vi_dot_u8(vi acc, const uint8_t *a, vi b) {
    int32_t four;
    memcpy(&four, a, 4);
    // Not the intrinsic: around it GCC 12 copies the sum before and stores it after every product (measured: half the
    // speed).
    __asm__("vpdpbusd %2, %1, %0" : "+v"(acc) : "v"(_mm512_set1_epi32(four)), "v"(b));
    return acc;
}
#else
// Emulated, for tests on any processor: a call, as for bf16.
__attribute__((noinline)) static vi vi_dot_u8(vi acc, const uint8_t *a, vi b) {
    int8_t weight[4 * FS_LANES];
    int32_t sum[FS_LANES];
    memcpy(weight, &b, sizeof weight);
    memcpy(sum, &acc, sizeof sum);
    for (int i = 0; i < FS_LANES; i++)
        for (int j = 0; j < 4; j++) sum[i] += a[j] * weight[4 * i + j];
    return vi_load(sum);
}
#endif

// The quantiser of a layer's input, see fs_to_u8.
typedef struct quantiser {
    vf inverse, low, high;
    vi zero;
} quantiser;
FS_INLINE quantiser quantiser_make(float inverse, int zero, bool relu) { // relu: before it
    return (quantiser){vf_set1(inverse), vf_set1(relu ? 0.0f : (float)-zero), vf_set1((float)(255 - zero)),
                       vi_set1(zero)};
}
FS_INLINE void quantiser_store(const quantiser *q, uint8_t *p, vf v) {
    // In this order of operands a NaN becomes the lowest value on every instruction set.
    const vf clamped = vf_min(vf_max(vf_mul(v, q->inverse), q->low), q->high);
    vi_store_u8(p, vi_add(vf_round(clamped), q->zero));
}

#endif
