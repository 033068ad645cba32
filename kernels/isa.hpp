// The vectors of one instruction set. Included by one ISA file each, inside that file's own namespace.
#pragma once

#include "kernels.hpp"

#if defined(__x86_64__) || defined(_M_X64)
#include <immintrin.h>
#elif defined(__aarch64__)
#include <arm_neon.h>
#endif

#define GATECAST_INLINE inline __attribute__((always_inline))

namespace gatecast {
namespace GATECAST_ISA {

constexpr int vector_bytes = GATECAST_VECTOR_BYTES;
constexpr int per_row = int(row_bytes) / vector_bytes;  // vectors in a row of lanes

template <class S>
struct Simd {
    typedef S V __attribute__((vector_size(GATECAST_VECTOR_BYTES), may_alias));
    typedef S U __attribute__((vector_size(GATECAST_VECTOR_BYTES), aligned(alignof(S)), may_alias));
    static constexpr int width = GATECAST_VECTOR_BYTES / int(sizeof(S));
};

template <class S>
using Vec = typename Simd<S>::V;

// Whole numbers of 64 bits, of which `times` multiplies the lower halves.
typedef std::uint64_t Words __attribute__((vector_size(GATECAST_VECTOR_BYTES)));

using VF = Vec<float>;
using VD = Vec<double>;

template <class S>
GATECAST_INLINE Vec<S> splat(S s) {
    return s - Vec<S>{};
}

template <class S>
GATECAST_INLINE Vec<S> load(const S* at) {
    return *reinterpret_cast<const typename Simd<S>::U*>(at);
}

template <class S>
GATECAST_INLINE void store(S* at, Vec<S> v) {
    *reinterpret_cast<typename Simd<S>::U*>(at) = v;
}

// fma(a, b, c) = a b + c, rounded once where the ISA can; low(v, x) = min(v, x) and high = max, NaN in x comes out.
#if GATECAST_VECTOR_BYTES == 64
GATECAST_INLINE VF fma(VF a, VF b, VF c) { return (VF)_mm512_fmadd_ps((__m512)a, (__m512)b, (__m512)c); }
GATECAST_INLINE VD fma(VD a, VD b, VD c) { return (VD)_mm512_fmadd_pd((__m512d)a, (__m512d)b, (__m512d)c); }
GATECAST_INLINE VF low(VF v, VF x) { return (VF)_mm512_min_ps((__m512)v, (__m512)x); }
GATECAST_INLINE VF high(VF v, VF x) { return (VF)_mm512_max_ps((__m512)v, (__m512)x); }
GATECAST_INLINE VD high(VD v, VD x) { return (VD)_mm512_max_pd((__m512d)v, (__m512d)x); }
GATECAST_INLINE VF guess(VF x) { return (VF)_mm512_rcp14_ps((__m512)x); }
GATECAST_INLINE Words times(Words a, Words b) { return (Words)_mm512_mul_epu32((__m512i)a, (__m512i)b); }
#elif GATECAST_VECTOR_BYTES == 32
GATECAST_INLINE VF fma(VF a, VF b, VF c) { return (VF)_mm256_fmadd_ps((__m256)a, (__m256)b, (__m256)c); }
GATECAST_INLINE VD fma(VD a, VD b, VD c) { return (VD)_mm256_fmadd_pd((__m256d)a, (__m256d)b, (__m256d)c); }
GATECAST_INLINE VF low(VF v, VF x) { return (VF)_mm256_min_ps((__m256)v, (__m256)x); }
GATECAST_INLINE VF high(VF v, VF x) { return (VF)_mm256_max_ps((__m256)v, (__m256)x); }
GATECAST_INLINE VD high(VD v, VD x) { return (VD)_mm256_max_pd((__m256d)v, (__m256d)x); }
GATECAST_INLINE VF guess(VF x) { return (VF)_mm256_rcp_ps((__m256)x); }
GATECAST_INLINE Words times(Words a, Words b) { return (Words)_mm256_mul_epu32((__m256i)a, (__m256i)b); }
#elif defined(__aarch64__)
GATECAST_INLINE VF fma(VF a, VF b, VF c) { return (VF)vfmaq_f32((float32x4_t)c, (float32x4_t)a, (float32x4_t)b); }
GATECAST_INLINE VD fma(VD a, VD b, VD c) { return (VD)vfmaq_f64((float64x2_t)c, (float64x2_t)a, (float64x2_t)b); }
GATECAST_INLINE VF low(VF v, VF x) { return (VF)vminq_f32((float32x4_t)v, (float32x4_t)x); }
GATECAST_INLINE VF high(VF v, VF x) { return (VF)vmaxq_f32((float32x4_t)v, (float32x4_t)x); }
GATECAST_INLINE VD high(VD v, VD x) { return (VD)vmaxq_f64((float64x2_t)v, (float64x2_t)x); }
GATECAST_INLINE Words times(Words a, Words b) {
    return (Words)vmull_u32(vmovn_u64((uint64x2_t)a), vmovn_u64((uint64x2_t)b));
}
#else
template <class V>
GATECAST_INLINE V fma(V a, V b, V c) {
    return a * b + c;
}
template <class V>
GATECAST_INLINE V low(V v, V x) {
    return v < x ? v : x;
}
template <class V>
GATECAST_INLINE V high(V v, V x) {
    return v > x ? v : x;
}
GATECAST_INLINE Words times(Words a, Words b) { return (Words)_mm_mul_epu32((__m128i)a, (__m128i)b); }
#endif

#if GATECAST_VECTOR_BYTES >= 32
// 1 / x by an estimate (of 14 or 12 bits) and one or two Newton steps: r + r (1 - x r).
GATECAST_INLINE VF reciprocal(VF x) {
    VF r = guess(x);
    for (int i = 0; i < (GATECAST_VECTOR_BYTES == 64 ? 1 : 2); i++) r = fma(r, fma(-x, r, splat(1.0f)), r);
    return r;
}
#else
GATECAST_INLINE VF reciprocal(VF x) { return 1.0f / x; }
#endif

}  // namespace GATECAST_ISA
}  // namespace gatecast
