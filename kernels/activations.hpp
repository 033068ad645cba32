// tanh and sigmoid on vectors. float: the 13/6 rational minimax form used by Eigen's ptanh (maximum error about
// 2e-7, clamped where tanh rounds to 1); double: the C library, lane by lane. NaN comes out as NaN.
#pragma once

#include "isa.hpp"

namespace gatecast {
namespace GATECAST_ISA {

GATECAST_INLINE VF tanh(VF x) {
    const VF top = splat(7.90531110763549805f);
    x = high(-top, low(top, x));
    const VF y = x * x;
    VF p = fma(splat(-2.76076847742355e-16f), y, splat(2.00018790482477e-13f));
    p = fma(p, y, splat(-8.60467152213735e-11f));
    p = fma(p, y, splat(5.12229709037114e-08f));
    p = fma(p, y, splat(1.48572235717979e-05f));
    p = fma(p, y, splat(6.37261928875436e-04f));
    p = fma(p, y, splat(4.89352455891786e-03f));
    VF q = fma(splat(1.19825839466702e-06f), y, splat(1.18534705686654e-04f));
    q = fma(q, y, splat(2.26843463243900e-03f));
    q = fma(q, y, splat(4.89352518554385e-03f));
    return x * p * reciprocal(q);
}

GATECAST_INLINE VF sigmoid(VF x) { return fma(tanh(x * 0.5f), splat(0.5f), splat(0.5f)); }

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
