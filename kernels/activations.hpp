// tanh and sigmoid on vectors, by exp and one reciprocal; NaN comes out as NaN. float: within about one unit in the last
// place, exactly 1 where tanh rounds to 1. double: the C library, lane by lane.
#pragma once

#include "isa.hpp"

namespace gatecast {
namespace GATECAST_ISA {

struct Exponential {
    VF power, rest;  // exp(x) = power (1 + rest)
};

// x = n ln 2 + r with |r| <= ln 2 / 2, power = 2^n, rest = exp(r) - 1 by its Taylor polynomial of degree 7. |x| < 88.
GATECAST_INLINE Exponential exponential(VF x) {
    typedef std::int32_t Int __attribute__((vector_size(GATECAST_VECTOR_BYTES)));
    const VF magic = splat(12582912.0f);  // 1.5 2^23: adding it rounds to a whole number, which the last bits then hold
    const VF shifted = fma(x, splat(1.44269504f), magic), n = shifted - magic;
    VF r = fma(n, splat(-0.693145752f), x);
    r = fma(n, splat(-1.42860677e-06f), r);
    VF p = fma(splat(1.0f / 5040), r, splat(1.0f / 720));
    p = fma(p, r, splat(1.0f / 120));
    p = fma(p, r, splat(1.0f / 24));
    p = fma(p, r, splat(1.0f / 6));
    p = fma(p, r, splat(0.5f));
    return {(VF)(((Int)shifted << 23) + 0x3F800000), fma(r * r, p, r)};
}

// With e = exp(-2 |x|) and d = e - 1: -d / (2 + d) where |x| is small, 1 - 2 e / (1 + e) where tanh nears 1; the sign of x.
GATECAST_INLINE VF tanh(VF x) {
    typedef std::int32_t Int __attribute__((vector_size(GATECAST_VECTOR_BYTES)));
    const Int sign = (Int)x & (Int{} + INT32_MIN);
    const VF size = (VF)((Int)x ^ sign);
    const Exponential parts = exponential(high(splat(-40.0f), size * -2.0f));
    const VF e = fma(parts.power, parts.rest, parts.power), d = fma(parts.power, parts.rest, parts.power - 1.0f);
    const Int near_one = size > 0.6f;
    const VF q = (near_one ? e + e : -d) * reciprocal(d + 2.0f);
    return (VF)((Int)(near_one ? 1.0f - q : q) ^ sign);
}

GATECAST_INLINE VF sigmoid(VF x) {
    const Exponential e = exponential(low(splat(87.0f), high(splat(-87.0f), -x)));
    const VF s = reciprocal(fma(e.power, e.rest, e.power) + 1.0f);
    return x < -87.0f ? VF{} : s;
}

GATECAST_INLINE VD tanh(VD x) {
    for (int i = 0; i < Simd<double>::width; i++) x[i] = __builtin_tanh(x[i]);
    return x;
}

GATECAST_INLINE VD sigmoid(VD x) {
    for (int i = 0; i < Simd<double>::width; i++) x[i] = 1.0 / (1.0 + __builtin_exp(-x[i]));
    return x;
}

}  // namespace GATECAST_ISA
}  // namespace gatecast
