// The element-wise part of every cell, forwards and backwards, on vectors of any meaning (batch or units in the lanes).
//
// rnn    h' = tanh(n) or max(n, 0)
// lstm   i, f, o = sigmoid; n = tanh; c' = f c + i n; h' = o tanh(c')                 Gers et al. (2000)
// gru    r, z = sigmoid; n = tanh(a_n + r q); h' = (1 - z) n + z h                    Cho et al. (2014), as torch.nn
//
// Forward: z holds pre-activations, kept rows apart by `apart`, and is left holding the gates. Backward: from gates and
// dh (and dc) to the gradients of pre-activations.
#pragma once

#include "activations.hpp"

namespace gatecast {
namespace GATECAST_ISA {

template <class V>
GATECAST_INLINE V one_minus(V x) {
    return V{} + 1 - x;
}

// d sigmoid / dx from its value, and d tanh / dx from its value.
template <class V>
GATECAST_INLINE V sigmoid_slope(V s) {
    return s * one_minus(s);
}
template <class V>
GATECAST_INLINE V tanh_slope(V t) {
    return fma(-t, t, V{} + 1);
}

template <class S>
struct Lstm {
    using V = Vec<S>;
    static constexpr bool carries_h = false;
    static GATECAST_INLINE V forward(V (&z)[4], V, V& c) {
        z[0] = sigmoid(z[0]);
        z[1] = sigmoid(z[1]);
        z[2] = tanh(z[2]);
        z[3] = sigmoid(z[3]);
        c = fma(z[1], c, z[0] * z[2]);
        return z[3] * tanh(c);
    }
    // dh: gradient of h'. Returns what of it reaches h past the gates (if carries_h). dc: of c' in, of c out.
    static GATECAST_INLINE V backward(const V (&g)[4], V (&d)[4], V dh, V, V c_before, V c_after, V& dc) {
        const V t = tanh(c_after);
        const V inner = fma(dh * g[3], tanh_slope(t), dc);
        d[0] = inner * g[2] * sigmoid_slope(g[0]);
        d[1] = inner * c_before * sigmoid_slope(g[1]);
        d[2] = inner * g[0] * tanh_slope(g[2]);
        d[3] = dh * t * sigmoid_slope(g[3]);
        dc = inner * g[1];
        return V{};
    }
};

template <class S>
struct Gru {
    using V = Vec<S>;
    static constexpr bool carries_h = true;
    static GATECAST_INLINE V forward(V (&z)[4], V h, V&) {
        z[1] = sigmoid(z[1]);
        z[2] = sigmoid(z[2]);
        z[0] = tanh(fma(z[1], z[3], z[0]));
        return fma(z[2], h - z[0], z[0]);
    }
    static GATECAST_INLINE V backward(const V (&g)[4], V (&d)[4], V dh, V h_before, V, V, V&) {
        d[0] = dh * one_minus(g[2]) * tanh_slope(g[0]);
        d[1] = d[0] * g[3] * sigmoid_slope(g[1]);
        d[2] = dh * (h_before - g[0]) * sigmoid_slope(g[2]);
        d[3] = d[0] * g[1];
        return dh * g[2];
    }
};

template <class S, bool relu>
struct Rnn {
    using V = Vec<S>;
    static constexpr bool carries_h = false;
    static GATECAST_INLINE V forward(V (&z)[1], V, V&) {
        z[0] = relu ? high(V{}, z[0]) : tanh(z[0]);
        return z[0];
    }
    static GATECAST_INLINE V backward(const V (&g)[1], V (&d)[1], V dh, V, V, V, V&) {
        d[0] = relu ? (g[0] <= V{} ? V{} : dh) : dh * tanh_slope(g[0]);
        return V{};
    }
};

}  // namespace GATECAST_ISA
}  // namespace gatecast
