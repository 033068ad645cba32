// Forward and backward through time for one direction of one layer, batch in the lanes.
#pragma once

#include "cells.hpp"
#include "tiles.hpp"

namespace gatecast {
namespace GATECAST_ISA {

// The gate rows of `kind` for all units: pre-activations in, gates out; h_before -> h_after, c_before -> c_after.
template <class S, class Kind, int G>
void gates_forward(Index units, S* z, const S* h_before, S* h_after, const S* c_before, S* c_after) {
    constexpr int width = Simd<S>::width;
    const Index apart = units * lanes_of<S>;
    for (Index at = 0; at < apart; at += width) {
        Vec<S> gate[G];
        for (int g = 0; g < G; g++) gate[g] = load(z + g * apart + at);
        Vec<S> c = c_before ? load(c_before + at) : Vec<S>{};
        store(h_after + at, Kind::forward(gate, load(h_before + at), c));
        for (int g = 0; g < G; g++) store(z + g * apart + at, gate[g]);
        if (c_before) store(c_after + at, c);
    }
}

template <class S>
void gates_forward(Cell cell, Index units, S* z, const S* h, S* h_next, const S* c, S* c_next) {
    switch (cell) {
        case Cell::lstm: return gates_forward<S, Lstm<S>, 4>(units, z, h, h_next, c, c_next);
        case Cell::gru: return gates_forward<S, Gru<S>, 4>(units, z, h, h_next, nullptr, nullptr);
        case Cell::rnn_tanh: return gates_forward<S, Rnn<S, false>, 1>(units, z, h, h_next, nullptr, nullptr);
        case Cell::rnn_relu: return gates_forward<S, Rnn<S, true>, 1>(units, z, h, h_next, nullptr, nullptr);
    }
}

// Pre-activations of all kept rows. The candidate of a GRU reads x alone, its recurrent part h alone.
template <class S>
void preactivate(const Packed<S>& layer, const S* x, const S* h, S* z) {
    const Index I = layer.inputs, H = layer.units, L = lanes_of<S>;
    const Segment<S> from_x{x, I}, from_h{h, H}, none{nullptr, 0};
    if (layer.cell != Cell::gru)
        return multiply(layer.forward, kept_rows(layer.cell) * H, from_x, from_h, Start::bias, layer.bias, z);
    const S* candidate = layer.forward + 2 * H * (I + H);
    multiply(layer.forward, 2 * H, from_x, from_h, Start::bias, layer.bias + H, z + H * L);
    multiply(candidate, H, from_x, none, Start::bias, layer.bias, z);
    multiply(candidate + H * I, H, from_h, none, Start::bias, layer.bias + 3 * H, z + 3 * H * L);
}

// Where time step `t` of a scan finds the state before it, and its number in the order of the scan.
template <class S>
struct Place {
    Index before, after, order;
    Place(const Scan<S>& s, Index t)
        : before(s.reverse ? t + 2 : t), after(t + 1), order(s.reverse ? s.time - 1 - t : t) {}
};

template <class S>
void forward(const Scan<S>& s) {
    for (Index step = 0; step < s.time; step++) {
        const Index t = s.reverse ? s.time - 1 - step : step;
        const Place<S> at(s, t);
        const S* h = s.out + at.before * s.out_stride;
        S* z = s.gates + t * s.gates_stride;
        const S* c = s.cells ? s.cells + at.order * s.cells_stride : nullptr;
        preactivate(s.layer, s.in + t * s.in_stride, h, z);
        gates_forward(s.layer.cell, s.layer.units, z, h, s.out + at.after * s.out_stride, c,
                      c ? s.cells + (at.order + 1) * s.cells_stride : nullptr);
    }
}

// What the backward pass of the gates reads and writes at one time step.
template <class S>
struct Moment {
    const S* gates;
    const S* h_before;
    const S* c_before;
    const S* c_after;
    const S* dh;
    S* dh_before;
    S* dc;
    S* dgates;
};

template <class S, class Kind, int G>
void gates_backward(Index units, const Moment<S>& m) {
    constexpr int width = Simd<S>::width;
    const Index apart = units * lanes_of<S>;
    for (Index at = 0; at < apart; at += width) {
        Vec<S> gate[G], d[G], c_before{}, c_after{}, dc{};
        for (int g = 0; g < G; g++) gate[g] = load(m.gates + g * apart + at);
        if (m.c_before) c_before = load(m.c_before + at), c_after = load(m.c_after + at), dc = load(m.dc + at);
        const Vec<S> direct =
            Kind::backward(gate, d, load(m.dh + at), load(m.h_before + at), c_before, c_after, dc);
        for (int g = 0; g < G; g++) store(m.dgates + g * apart + at, d[g]);
        if (Kind::carries_h) store(m.dh_before + at, load(m.dh_before + at) + direct);
        if (m.c_before) store(m.dc + at, dc);
    }
}

template <class S>
void gates_backward(Cell cell, Index units, const Moment<S>& m) {
    switch (cell) {
        case Cell::lstm: return gates_backward<S, Lstm<S>, 4>(units, m);
        case Cell::gru: return gates_backward<S, Gru<S>, 4>(units, m);
        case Cell::rnn_tanh: return gates_backward<S, Rnn<S, false>, 1>(units, m);
        case Cell::rnn_relu: return gates_backward<S, Rnn<S, true>, 1>(units, m);
    }
}

template <class S>
void backward(const ScanBack<S>& b) {
    const Scan<S>& s = b.scan;
    const Index I = s.layer.inputs, H = s.layer.units, L = lanes_of<S>, G = torch_gates(s.layer.cell) * H;
    const Index hidden = s.layer.cell == Cell::gru ? H * L : 0;  // the gate rows that h reached: r z q of n r z q
    const Segment<S> none{nullptr, 0};
    for (Index step = s.time - 1; step >= 0; step--) {
        const Index t = s.reverse ? s.time - 1 - step : step;
        const Place<S> at(s, t);
        S* d = b.dgates + t * kept_rows(s.layer.cell) * H * L;
        const S* c = s.cells ? s.cells + at.order * s.cells_stride : nullptr;
        S* dh_before = b.dout + at.before * s.out_stride;
        gates_backward(s.layer.cell, H,
                       Moment<S>{s.gates + t * s.gates_stride, s.out + at.before * s.out_stride, c, c ? c + s.cells_stride : nullptr,
                                 b.dout + at.after * s.out_stride, dh_before, b.dcells, d});
        multiply(s.layer.backward + I * G, H, Segment<S>{d + hidden, G}, none, Start::add, (const S*)nullptr, dh_before);
        if (b.din)
            multiply(s.layer.backward, I, Segment<S>{d, G}, none, b.din_add ? Start::add : Start::zero,
                     (const S*)nullptr, b.din + t * b.din_stride);
    }
}

// The torch row of gate row r (of kept rows) in the input and in the recurrent weights.
inline Index torch_row(Cell cell, Index units, Index r) {
    if (cell != Cell::gru) return r;
    return r < units ? r + 2 * units : r - units;  // n r z q -> n at 2H, r z at 0, q at 2H
}

template <class S>
void pack_forward(Cell cell, Index I, Index H, const S* w_ih, const S* w_hh, S* to) {
    const auto both = [&](Index row, Index k) { return k < I ? w_ih[row * I + k] : w_hh[row * H + k - I]; };
    if (cell != Cell::gru) {
        pack(kept_rows(cell) * H, I + H, to, both);
        return;
    }
    to = pack(2 * H, I + H, to, both);
    to = pack(H, I, to, [&](Index row, Index k) { return w_ih[(2 * H + row) * I + k]; });
    pack(H, H, to, [&](Index row, Index k) { return w_hh[(2 * H + row) * H + k]; });
}

template <class S>
void pack_backward(Cell cell, Index I, Index H, const S* w_ih, const S* w_hh, S* to) {
    const Index G = torch_gates(cell) * H;
    to = pack(I, G, to, [&](Index row, Index k) { return w_ih[torch_row(cell, H, k) * I + row]; });
    pack(H, G, to, [&](Index row, Index k) { return w_hh[k * H + row]; });
}

}  // namespace GATECAST_ISA
}  // namespace gatecast
