// One time step with the units in the lanes: matrix-vector products for streams and tiny batches.
//
// Weights lie [k][rows], rows padded to whole vectors; every output has one accumulator that runs over k in the same
// order as in a scan, so a step gives the bits that a scan gives.
#pragma once

#include "cells.hpp"

namespace gatecast {
namespace GATECAST_ISA {

template <class S>
constexpr Index padded(Index rows) {
    return (rows + Simd<S>::width - 1) / Simd<S>::width * Simd<S>::width;
}

// acc[r] += sum_k w[k][r] x[k] over `rows` (whole vectors).
template <class S, int N>
GATECAST_INLINE void add_columns(const S* w, Index rows, const S* x, Index depth, S* acc) {
    constexpr int width = Simd<S>::width;
    Vec<S> c[N];
#pragma GCC unroll 8
    for (int i = 0; i < N; i++) c[i] = load(acc + i * width);
    for (Index k = 0; k < depth; k++, w += rows) {
        const Vec<S> value = splat(x[k]);
#pragma GCC unroll 8
        for (int i = 0; i < N; i++) c[i] = fma(load(w + i * width), value, c[i]);
    }
#pragma GCC unroll 8
    for (int i = 0; i < N; i++) store(acc + i * width, c[i]);
}

template <class S>
void add_matrix(const S* w, Index rows, const S* x, Index depth, S* acc) {
    constexpr int width = Simd<S>::width;
    Index r = 0;
    for (; r + 8 * width <= rows; r += 8 * width) add_columns<S, 8>(w + r, rows, x, depth, acc + r);
    for (; r + 2 * width <= rows; r += 2 * width) add_columns<S, 2>(w + r, rows, x, depth, acc + r);
    for (; r < rows; r += width) add_columns<S, 1>(w + r, rows, x, depth, acc + r);
}

template <class S>
Index step_size(Cell cell, Index inputs, Index units) {
    return (inputs + units) * padded<S>(torch_gates(cell) * units);
}

// Numbers of scratch that a step needs: pre-activations from x and from h, and padded states.
template <class S>
Index step_scratch(Cell cell, Index units) {
    return 2 * padded<S>(kept_rows(cell) * units + Simd<S>::width);
}

// From x: rows of W_ih in kept order; from h: rows of W_hh as in torch (for a GRU r z q).
template <class S>
void pack_step(Cell cell, Index I, Index H, const S* w_ih, const S* w_hh, S* to) {
    const Index rows = torch_gates(cell) * H, wide = padded<S>(rows);
    for (Index i = 0; i < (I + H) * wide; i++) to[i] = 0;
    for (Index k = 0; k < I; k++)
        for (Index r = 0; r < rows; r++) to[k * wide + r] = w_ih[torch_row(cell, H, r) * I + k];
    for (Index k = 0; k < H; k++)
        for (Index r = 0; r < rows; r++) to[(I + k) * wide + r] = w_hh[r * H + k];
}

template <class S, class Kind, int G>
void gates_step(const Step<S>& s, const S* z) {
    constexpr int width = Simd<S>::width;
    for (Index at = 0; at < s.units; at += width) {
        const Index count = s.units - at < width ? s.units - at : width;
        Vec<S> gate[G], h{}, c{};
        for (int g = 0; g < G; g++) gate[g] = load(z + g * s.units + at);
        for (Index i = 0; i < count; i++) h[i] = s.h[at + i];
        if (s.c)
            for (Index i = 0; i < count; i++) c[i] = s.c[at + i];
        h = Kind::forward(gate, h, c);
        for (Index i = 0; i < count; i++) s.h_next[at + i] = h[i];
        if (s.c)
            for (Index i = 0; i < count; i++) s.c_next[at + i] = c[i];
    }
}

template <class S>
void step(const Step<S>& s) {
    const Index H = s.units, rows = torch_gates(s.cell) * H, wide = padded<S>(rows);
    S* z = s.scratch;
    for (Index r = 0; r < rows; r++) z[r] = s.bias[r];
    add_matrix(s.weights, wide, s.x, s.inputs, z);
    const S* recurrent = s.weights + s.inputs * wide;
    if (s.cell == Cell::gru) {  // z holds n r z; r z go on over h, q starts anew
        S* q = s.scratch + padded<S>(4 * H + Simd<S>::width);
        for (Index r = 0; r < 2 * H; r++) q[r] = z[H + r];
        for (Index r = 0; r < H; r++) q[2 * H + r] = s.bias[3 * H + r];
        add_matrix(recurrent, wide, s.h, H, q);
        for (Index r = 0; r < 3 * H; r++) z[H + r] = q[r];
    } else {
        add_matrix(recurrent, wide, s.h, H, z);
    }
    switch (s.cell) {
        case Cell::lstm: return gates_step<S, Lstm<S>, 4>(s, z);
        case Cell::gru: return gates_step<S, Gru<S>, 4>(s, z);
        case Cell::rnn_tanh: return gates_step<S, Rnn<S, false>, 1>(s, z);
        case Cell::rnn_relu: return gates_step<S, Rnn<S, true>, 1>(s, z);
    }
}

// y = W x + b for a linear head, one accumulator per output, k in order.
template <class S>
void dot(const S* weights, const S* bias, const S* x, Index rows, Index columns, S* y) {
    for (Index r = 0; r < rows; r++) {
        Vec<S> sum = splat(bias ? bias[r] : S(0));
        for (Index k = 0; k < columns; k++) sum = fma(splat(weights[r * columns + k]), splat(x[k]), sum);
        y[r] = sum[0];
    }
}

// The rate of the fused multiply-add units: independent chains in registers. Returns operations done.
template <class S>
double peak(Index rounds, S* sink) {
    constexpr int chains = 12, width = Simd<S>::width;
    Vec<S> c[chains], a = splat(sink[0]), b = splat(sink[1]);
    for (int i = 0; i < chains; i++) c[i] = splat(S(i));
    for (Index r = 0; r < rounds; r++)
#pragma GCC unroll 12
        for (int i = 0; i < chains; i++) c[i] = fma(a, c[i], b);
    for (int i = 0; i < chains; i++) sink[i] = c[i][0];
    return 2.0 * chains * width * double(rounds);
}

}  // namespace GATECAST_ISA
}  // namespace gatecast
