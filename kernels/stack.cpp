#include "stack.hpp"

#include <algorithm>
#include <cmath>
#include <utility>

#include "pool.hpp"

namespace gatecast {

template <class S>
Stack<S>::Stack(const std::vector<Layer>& all, const std::vector<Weights<S>>& weights, Isa isa)
    : layers(all), kernels(kernels_of<S>(isa)) {
    for (const Layer& layer : layers) {
        first.push_back(units.size());
        for (Index d = 0; d < layer.directions; d++) {
            const Weights<S>& w = weights[units.size()];
            units.push_back({layer, w, parameters, states, packed_size_, step_size_, bias_size_});
            parameters += layer.gates() * (layer.inputs + layer.units + (w.b_ih ? 2 : 0));
            states += layer.units;
            packed_size_ += kernels.forward_size(layer.cell, layer.inputs, layer.units);
            step_size_ += kernels.step_size(layer.cell, layer.inputs, layer.units);
            bias_size_ += layer.kept();
        }
    }
}

template <class S>
void Stack<S>::pack_forward(int threads) {
    S* to = forward_weights.at_least(packed_size_);
    pack_bias();
    run_parallel(threads, int(units.size()), [&](int i) {
        const Unit<S>& u = units[std::size_t(i)];
        const Layer& l = u.layer;
        kernels.pack_forward(l.cell, l.inputs, l.units, u.weights.w_ih, u.weights.w_hh, to + u.packed);
    });
}

template <class S>
void Stack<S>::pack_backward(int threads) {
    S* to = backward_weights.at_least(packed_size_);
    run_parallel(threads, int(units.size()), [&](int i) {
        const Unit<S>& u = units[std::size_t(i)];
        const Layer& l = u.layer;
        kernels.pack_backward(l.cell, l.inputs, l.units, u.weights.w_ih, u.weights.w_hh, to + u.packed);
    });
}

template <class S>
void Stack<S>::pack_steps() {
    S* to = step_weights.at_least(step_size_);
    pack_bias();
    for (const Unit<S>& u : units)
        kernels.pack_step(u.layer.cell, u.layer.inputs, u.layer.units, u.weights.w_ih, u.weights.w_hh, to + u.step);
}

// The two biases of torch are one, but for the GRU's candidate, whose recurrent part has its own.
template <class S>
void Stack<S>::pack_bias() {
    S* to = bias.at_least(bias_size_);
    std::fill_n(to, bias_size_, S(0));
    for (const Unit<S>& u : units) {
        const Index H = u.layer.units;
        const S *x = u.weights.b_ih, *h = u.weights.b_hh;
        S* b = to + u.bias;
        if (!x) continue;
        if (u.layer.cell == Cell::gru) {
            for (Index i = 0; i < 2 * H; i++) b[H + i] = x[i] + h[i];
            std::copy_n(x + 2 * H, H, b);
            std::copy_n(h + 2 * H, H, b + 3 * H);
        } else {
            for (Index i = 0; i < u.layer.gates(); i++) b[i] = x[i] + h[i];
        }
    }
}

// Kept for backward: every input, state and gate. Otherwise one step of gates, and the outputs of two layers in turn.
template <class S>
SlicePlan Stack<S>::plan(Index time, bool keep, bool dropout) const {
    SlicePlan plan{{}, 0};
    const auto take = [&](Index rows) { return std::exchange(plan.size, plan.size + rows * lanes_of<S>); };
    Index widest = 0, tallest = 0;
    for (const Layer& layer : layers) {
        widest = std::max(widest, layer.width());
        tallest = std::max(tallest, layer.kept());
    }
    const Index input = take(time * layers[0].inputs);
    const Index one_step = take(keep ? 0 : tallest), one_state = take(keep ? 0 : widest);
    const Index outs[2] = {take(keep ? 0 : (time + 2) * widest), take(keep ? 0 : (time + 2) * widest)};
    for (std::size_t l = 0; l < layers.size(); l++) {
        const Layer& layer = layers[l];
        const bool cells = keep && layer.has_cells();
        Kept kept{};
        kept.in = l == 0 ? input : plan.layers[l - 1].out + plan.layers[l - 1].out_stride;
        if (l > 0 && keep && dropout) kept.in = take(time * layer.inputs);
        kept.out = keep ? take((time + 2) * layer.width()) : outs[l % 2];
        kept.out_stride = layer.width() * lanes_of<S>;
        kept.gates_stride = layer.gate_is_state() ? kept.out_stride : keep ? layer.kept() * lanes_of<S> : 0;
        kept.cells_stride = cells ? layer.units * lanes_of<S> : 0;
        for (Index d = 0; d < layer.directions; d++) {
            if (layer.gate_is_state())
                kept.gates[d] = kept.out + kept.out_stride + d * layer.units * lanes_of<S>;
            else
                kept.gates[d] = keep ? take(time * layer.kept()) : one_step;
            kept.cells[d] = cells ? take((time + 1) * layer.units) : one_state;
        }
        plan.layers.push_back(kept);
    }
    return plan;
}

template <class S>
Index Stack<S>::reserve_size(Index batch, Index time, bool dropout) const {
    return slices_of<S>(batch) * plan(time, true, dropout).size;
}

template <class S>
Packed<S> Stack<S>::packed(const Unit<S>& u) const {
    const auto at = [](const Buffer<S>& b, Index offset) { return b.get() ? b.get() + offset : nullptr; };
    return {u.layer.cell,
            u.layer.inputs,
            u.layer.units,
            at(forward_weights, u.packed),
            at(backward_weights, u.packed),
            at(bias, u.bias)};
}

template <class S>
Scan<S> Stack<S>::scan(const SlicePlan& plan, S* memory, std::size_t layer, Index direction, Index time) const {
    const Kept& kept = plan.layers[layer];
    const Layer& l = layers[layer];
    return {packed(unit(layer, direction)),
            direction == 1,
            time,
            memory + kept.in,
            l.inputs * lanes_of<S>,
            memory + kept.out + direction * l.units * lanes_of<S>,
            kept.out_stride,
            memory + kept.gates[direction],
            kept.gates_stride,
            l.has_cells() ? memory + kept.cells[direction] : nullptr,
            kept.cells_stride};
}

Dropout dropout_mask(const Training& training, std::size_t layer, Index first_sequence) {
    const double keep = 1 - training.dropout;
    return {training.seed, std::uint32_t(std::ldexp(keep, 32)), keep > 0 ? 1 / keep : 0, std::uint32_t(layer),
            std::uint32_t(first_sequence)};
}

template class Stack<float>;
template class Stack<double>;

}  // namespace gatecast
