// Backward: slices in reverse layer order. Slices are dealt to a fixed number of groups, each with gradients of its
// own, and the groups are added as a fixed tree: the same bits for any number of threads.
#include <algorithm>
#include <utility>

#include "pool.hpp"
#include "stack.hpp"

namespace gatecast {
namespace {

constexpr Index most_groups = 8;
constexpr Index chunk = 4096;  // numbers per task when groups are added

// A slice's scratch on its way back: gradients of two layers' outputs, of one layer's gates and cells, and of x.
template <class S>
struct Scratch {
    S *outs[2], *gates, *cells, *x, *sums;

    Scratch(const Stack<S>& stack, Index time) {
        Index widest = 0, tallest = 0;
        for (const Layer& l : stack.layers) {
            widest = std::max(widest, l.width());
            tallest = std::max(tallest, l.kept());
        }
        constexpr Index L = lanes_of<S>;
        const Index out = (time + 2) * widest * L;
        S* memory = arena<S>(2 * out + (time * tallest + widest + time * stack.layers[0].inputs) * L + tallest);
        const auto take = [&](Index count) { return std::exchange(memory, memory + count); };
        outs[0] = take(out);
        outs[1] = take(out);
        gates = take(time * tallest * L);
        cells = take(widest * L);
        x = take(time * stack.layers[0].inputs * L);
        sums = take(tallest);
    }
};

template <class S>
struct Call {
    Stack<S>& stack;
    const Batch<S>& batch;
    const Gradients<S>& gradients;
    const Training& training;
    SlicePlan plan;
};

// Adds (or with `set`, writes) the gradient of a final state to rows of lanes.
template <class S>
void take_state(const Call<S>& call, const Unit<S>& unit, Index slice, const S* from, S* to, bool set) {
    const Index count = unit.layer.units * lanes_of<S>;
    if (set) std::fill_n(to, count, S(0));
    if (!from) return;
    S rows[lanes_of<S>];
    auto part = state_rows(from + unit.state * call.batch.batch, unit.layer, call.batch.batch, slice);
    part.units = 1;
    for (Index u = 0; u < unit.layer.units; u++, part.tensor++) {
        call.stack.kernels.gather(part, rows);
        for (Index i = 0; i < lanes_of<S>; i++) to[u * lanes_of<S> + i] += rows[i];
    }
}

template <class S>
void give_state(const Call<S>& call, const Unit<S>& unit, Index slice, const S* from, S* to) {
    if (to)
        call.stack.kernels.scatter(
            state_rows(to + unit.state * call.batch.batch, unit.layer, call.batch.batch, slice), from);
}

// The products of one direction into its place in `to`: w_ih, w_hh, b_ih, b_hh as torch stacks their gates.
template <class S>
void weight_gradients(const Call<S>& call, const ScanBack<S>& b, const Unit<S>& unit, S* to, S* sums, bool add) {
    const Scan<S>& s = b.scan;
    const Layer& layer = unit.layer;
    const Kernels<S>& kernels = call.stack.kernels;
    const Index I = layer.inputs, H = layer.units, G = layer.gates(), stride = layer.kept() * lanes_of<S>;
    const S* before = s.out + (s.reverse ? 2 : 0) * s.out_stride;
    const auto product = [&](Index row, Index rows, const S* x, Index x_stride, Index columns, S* w) {
        kernels.product({b.dgates + row * lanes_of<S>, stride, rows, x, x_stride, columns, s.time, w, columns, add});
    };
    S* w_hh = to + G * I;
    S *b_ih = w_hh + G * H, *b_hh = b_ih + G;
    const bool gru = layer.cell == Cell::gru;  // kept rows n r z q: r z n reached x, r z q reached h
    if (gru) {
        product(H, 2 * H, s.in, s.in_stride, I, to);
        product(0, H, s.in, s.in_stride, I, to + 2 * H * I);
    } else {
        product(0, G, s.in, s.in_stride, I, to);
    }
    product(gru ? H : 0, G, before, s.out_stride, H, w_hh);
    if (!unit.weights.b_ih) return;
    kernels.row_sums(b.dgates, stride, layer.kept(), s.time, sums, false);
    for (Index g = 0; g < G; g++) {
        const S from_x = sums[gru ? (g < 2 * H ? g + H : g - 2 * H) : g], from_h = sums[gru ? g + H : g];
        b_ih[g] = add ? b_ih[g] + from_x : from_x;
        b_hh[g] = add ? b_hh[g] + from_h : from_h;
    }
}

template <class S>
void backward_layer(const Call<S>& call, const Scratch<S>& scratch, std::size_t l, Index slice, S* weights, bool add) {
    const Stack<S>& stack = call.stack;
    const Batch<S>& batch = call.batch;
    const Layer& layer = stack.layers[l];
    const Index stride = layer.width() * lanes_of<S>;
    S* dout = scratch.outs[l % 2];
    S* below = l > 0 ? scratch.outs[(l - 1) % 2] + layer.inputs * lanes_of<S> : call.gradients.dx ? scratch.x : nullptr;
    for (Index d = 0; d < layer.directions; d++) {
        const Unit<S>& unit = stack.unit(l, d);
        S* column = dout + d * layer.units * lanes_of<S>;
        const Index last = d == 1 ? 1 : batch.time, edge = d == 1 ? batch.time + 1 : 0;
        std::fill_n(column + edge * stride, layer.units * lanes_of<S>, S(0));
        take_state(call, unit, slice, call.gradients.dhn, column + last * stride, false);
        take_state(call, unit, slice, layer.has_cells() ? call.gradients.dcn : nullptr, scratch.cells, true);
        const ScanBack<S> back{stack.scan(call.plan, batch.reserve + slice * call.plan.size, l, d, batch.time),
                               scratch.gates,
                               column,
                               scratch.cells,
                               below,
                               layer.inputs * lanes_of<S>,
                               d > 0};
        stack.kernels.backward(back);
        const Index valid = filled<S>(batch.batch, slice);
        if (valid < lanes_of<S>) stack.kernels.clear(scratch.gates, batch.time * layer.kept(), valid);
        if (weights) weight_gradients(call, back, unit, weights + unit.gradient, scratch.sums, add);
        give_state(call, unit, slice, column + edge * stride, call.gradients.dh0);
        if (layer.has_cells()) give_state(call, unit, slice, scratch.cells, call.gradients.dc0);
    }
    if (l > 0 && call.training.dropout > 0)
        stack.kernels.drop(dropout_mask(call.training, l - 1, slice * lanes_of<S>), batch.time, layer.inputs, below,
                           below);
}

template <class S>
void backward_slice(const Call<S>& call, Index slice, S* weights, bool add) {
    const Stack<S>& stack = call.stack;
    const Batch<S>& batch = call.batch;
    const Gradients<S>& g = call.gradients;
    const Scratch<S> scratch(stack, batch.time);
    const std::size_t top = stack.layers.size() - 1;
    const Index width = stack.layers[top].width(), stride = width * lanes_of<S>, first = slice * lanes_of<S>;
    const Index valid = filled<S>(batch.batch, slice), inputs = stack.layers[0].inputs;
    S* dout = scratch.outs[top % 2] + stride;
    if (g.dy)
        stack.kernels.gather({nullptr, stride, g.dy + first * g.dy_batch, g.dy_time, g.dy_batch, batch.time, width, valid},
                             dout);
    else
        std::fill_n(dout, batch.time * stride, S(0));
    for (std::size_t l = top + 1; l-- > 0;) backward_layer(call, scratch, l, slice, weights, add);
    if (g.dx)
        stack.kernels.scatter({nullptr, inputs * lanes_of<S>, g.dx + first * g.dx_batch, g.dx_time, g.dx_batch,
                               batch.time, inputs, valid},
                              scratch.x);
}

// to = ((g0 + g1) + (g2 + g3)) + ..., every number by the same tree.
template <class S>
S tree(const S* groups, Index apart, Index count) {
    if (count == 1) return groups[0];
    const Index half = (count + 1) / 2;
    return tree(groups, apart, half) + tree(groups + half * apart, apart, count - half);
}

}  // namespace

template <class S>
void backward(Stack<S>& stack, const Batch<S>& batch, const Gradients<S>& gradients, const Training& training,
              int threads) {
    if (!stack.backward_weights.get()) stack.pack_backward(threads);
    const Call<S> call{stack, batch, gradients, training, stack.plan(batch.time, true, training.dropout > 0)};
    const Index slices = slices_of<S>(batch.batch), groups = std::min(slices, most_groups), P = stack.parameters;
    Buffer<S> sums;
    S* weights = !gradients.weights ? nullptr : groups == 1 ? gradients.weights : sums.at_least(groups * P);
    run_parallel(threads, int(groups), [&](int g) {
        for (Index slice = g; slice < slices; slice += groups)
            backward_slice(call, slice, weights ? weights + g * P : nullptr, slice != g);
    });
    if (weights == gradients.weights) return;
    run_parallel(threads, int((P + chunk - 1) / chunk), [&](int c) {
        for (Index i = c * chunk; i < std::min(P, (c + 1) * chunk); i++)
            gradients.weights[i] = tree(weights + i, P, groups);
    });
}

template <class S>
void record(const Stack<S>& stack, const Batch<S>& batch, bool dropout, std::size_t layer, Index direction, S* gates,
            S* h, S* c) {
    const SlicePlan plan = stack.plan(batch.time, true, dropout);
    const Layer& l = stack.layers[layer];
    const Index H = l.units, G = l.gates(), T = batch.time, L = lanes_of<S>;
    for (Index slice = 0; slice < slices_of<S>(batch.batch); slice++) {
        const Scan<S> scan = stack.scan(plan, batch.reserve + slice * plan.size, layer, direction, T);
        const Index first = slice * L, valid = filled<S>(batch.batch, slice);
        const S* states = scan.out + scan.out_stride;
        const auto give = [&](const S* from, Index stride, S* to, Index width) {
            stack.kernels.scatter({nullptr, stride, to, width, T * width, T, H, valid}, from);
        };
        give(states, scan.out_stride, h + first * T * H, H);
        for (Index g = 0; g < G / H; g++) {
            const Index row = l.cell == Cell::gru ? (g + 1) % 3 : g;  // kept n r z, torch r z n
            give(scan.gates + row * H * L, scan.gates_stride, gates + first * T * G + g * H, G);
        }
        if (!scan.cells) continue;
        for (Index t = 0; t < T; t++) {
            const Index order = scan.reverse ? T - 1 - t : t;
            stack.kernels.scatter({nullptr, 0, c + first * T * H + t * H, 0, T * H, 1, H, valid},
                                  scan.cells + (order + 1) * scan.cells_stride);
        }
    }
}

#define GATECAST_INSTANTIATE(S)                                                                                   \
    template void backward<S>(Stack<S>&, const Batch<S>&, const Gradients<S>&, const Training&, int);             \
    template void record<S>(const Stack<S>&, const Batch<S>&, bool, std::size_t, Index, S*, S*, S*);
GATECAST_INSTANTIATE(float)
GATECAST_INSTANTIATE(double)

}  // namespace gatecast
