// Forward: slices of the batch through all layers; tiny batches without memory go step by step, units in the lanes.
#include <algorithm>

#include "pool.hpp"
#include "stack.hpp"

namespace gatecast {
namespace {

constexpr Index tiny = 3;  // batches up to this size use the step kernels where nothing is kept

template <class S>
void start_state(const Stack<S>& stack, const Scan<S>& scan, const Unit<S>& unit, const Batch<S>& b, Index slice) {
    const Layer& layer = unit.layer;
    S* h = scan.out + (scan.reverse ? scan.time + 1 : 0) * scan.out_stride;
    std::fill_n(scan.out + (scan.reverse ? 0 : scan.time + 1) * scan.out_stride, layer.units * lanes_of<S>, S(0));
    const auto set = [&](const S* from, S* to) {
        if (from)
            stack.kernels.gather(state_rows(from + unit.state * b.batch, layer, b.batch, slice), to);
        else
            std::fill_n(to, layer.units * lanes_of<S>, S(0));
    };
    set(b.h0, h);
    if (scan.cells) set(b.c0, scan.cells);
}

template <class S>
void final_state(const Stack<S>& stack, const Scan<S>& scan, const Unit<S>& unit, const Batch<S>& b, Index slice) {
    const S* h = scan.out + (scan.reverse ? 1 : scan.time) * scan.out_stride;
    if (b.hn) stack.kernels.scatter(state_rows(b.hn + unit.state * b.batch, unit.layer, b.batch, slice), h);
    if (b.cn && scan.cells)
        stack.kernels.scatter(state_rows(b.cn + unit.state * b.batch, unit.layer, b.batch, slice),
                              scan.cells + scan.time * scan.cells_stride);
}

// Nothing that empty lanes came to hold (a relu may overflow in them) may reach the weights' gradient.
template <class S>
void clear_empty_lanes(const Stack<S>& stack, const SlicePlan& plan, Index time, Index valid, S* memory) {
    for (std::size_t l = 0; l < stack.layers.size(); l++) {
        stack.kernels.clear(memory + plan.layers[l].in, time * stack.layers[l].inputs, valid);
        stack.kernels.clear(memory + plan.layers[l].out, (time + 2) * stack.layers[l].width(), valid);
    }
}

template <class S>
void forward_slice(const Stack<S>& stack, const Batch<S>& b, const SlicePlan& plan, const Training& training,
                   Index slice, S* memory) {
    const Index first = slice * lanes_of<S>, valid = filled<S>(b.batch, slice), inputs = stack.layers[0].inputs;
    stack.kernels.gather({nullptr, inputs * lanes_of<S>, b.x + first * b.x_batch, b.x_time, b.x_batch, b.time, inputs,
                          valid},
                         memory + plan.layers[0].in);
    for (std::size_t l = 0; l < stack.layers.size(); l++) {
        for (Index d = 0; d < stack.layers[l].directions; d++) {
            const Scan<S> scan = stack.scan(plan, memory, l, d, b.time);
            start_state(stack, scan, stack.unit(l, d), b, slice);
            stack.kernels.forward(scan);
            final_state(stack, scan, stack.unit(l, d), b, slice);
        }
        const Kept& kept = plan.layers[l];
        if (training.dropout > 0 && l + 1 < stack.layers.size())
            stack.kernels.drop(dropout_mask(training, l, first), b.time, stack.layers[l].width(),
                               memory + kept.out + kept.out_stride, memory + plan.layers[l + 1].in);
    }
    const Kept& top = plan.layers.back();
    if (b.y)
        stack.kernels.scatter({nullptr, top.out_stride, b.y + first * b.y_batch, b.y_time, b.y_batch, b.time,
                               stack.layers.back().width(), valid},
                              memory + top.out + top.out_stride);
    if (b.reserve && valid < lanes_of<S>) clear_empty_lanes(stack, plan, b.time, valid, memory);
}

template <class S>
Index scratch_of_steps(const Stack<S>& stack) {
    Index most = 0;
    for (const Layer& l : stack.layers) most = std::max(most, stack.kernels.step_scratch(l.cell, l.units));
    return most;
}

template <class S>
Step<S> step_of(const Stack<S>& stack, const Unit<S>& u, const S* x, S* scratch) {
    return {u.layer.cell, u.layer.inputs, u.layer.units, stack.step_weights.get() + u.step, stack.bias.get() + u.bias,
            scratch,      x,              nullptr,       nullptr,                           nullptr,
            nullptr};
}

// One direction of one layer over the rows `in` [T][I] into its part of `out` [T][width], from state h (and c).
template <class S>
void steps(const Stack<S>& stack, const Unit<S>& u, bool reverse, Index time, const S* in, S* out, S* scratch, S* h,
           S* c) {
    const Index width = u.layer.width();
    for (Index step = 0; step < time; step++) {
        const Index t = reverse ? time - 1 - step : step;
        Step<S> s = step_of(stack, u, in + t * u.layer.inputs, scratch);
        s.h = s.h_next = h;
        s.c = u.layer.has_cells() ? c : nullptr;
        s.c_next = c;
        stack.kernels.step(s);
        std::copy_n(h, u.layer.units, out + t * width);
    }
}

template <class S>
void forward_sequence(const Stack<S>& stack, const Batch<S>& b, Index sequence) {
    Index widest = stack.layers[0].inputs;
    for (const Layer& l : stack.layers) widest = std::max(widest, l.width());
    const Index rows = b.time * widest;
    S* memory = arena<S>(2 * rows + 2 * widest + scratch_of_steps(stack));
    S *in = memory, *out = memory + rows, *h = out + rows, *c = h + widest, *scratch = c + widest;
    for (Index t = 0; t < b.time; t++)
        std::copy_n(b.x + sequence * b.x_batch + t * b.x_time, stack.layers[0].inputs, in + t * stack.layers[0].inputs);
    for (std::size_t l = 0; l < stack.layers.size(); l++, std::swap(in, out))
        for (Index d = 0; d < stack.layers[l].directions; d++) {
            const Unit<S>& u = stack.unit(l, d);
            const Index H = u.layer.units, at = u.state * b.batch + sequence * H;
            const auto set = [&](const S* from, S* to) {
                from ? std::copy_n(from + at, H, to) : std::fill_n(to, H, S(0));
            };
            set(b.h0, h);
            set(b.c0, c);
            steps(stack, u, d == 1, b.time, in, out + d * H, scratch, h, c);
            if (b.hn) std::copy_n(h, H, b.hn + at);
            if (b.cn && u.layer.has_cells()) std::copy_n(c, H, b.cn + at);
        }
    const Index width = stack.layers.back().width();
    if (b.y)
        for (Index t = 0; t < b.time; t++)
            std::copy_n(in + t * width, width, b.y + sequence * b.y_batch + t * b.y_time);
}

}  // namespace

template <class S>
void forward(Stack<S>& stack, const Batch<S>& batch, const Training& training, int threads) {
    if (!batch.reserve && batch.batch <= tiny && training.dropout == 0) {
        if (!stack.step_weights.get()) stack.pack_steps();
        run_parallel(threads, int(batch.batch), [&](int i) { forward_sequence(stack, batch, i); });
        return;
    }
    if (!stack.forward_weights.get()) stack.pack_forward(threads);
    const SlicePlan plan = stack.plan(batch.time, batch.reserve != nullptr, training.dropout > 0);
    run_parallel(threads, int(slices_of<S>(batch.batch)), [&](int i) {
        S* memory = batch.reserve ? batch.reserve + i * plan.size : arena<S>(plan.size);
        forward_slice(stack, batch, plan, training, i, memory);
    });
}

template <class S>
const S* step(const Stack<S>& stack, const S* x, S* h, S* c) {
    S* scratch = arena<S>(scratch_of_steps(stack));
    for (const Unit<S>& u : stack.units) {
        Step<S> s = step_of(stack, u, x, scratch);
        s.h = s.h_next = h + u.state;
        s.c = u.layer.has_cells() ? c + u.state : nullptr;
        s.c_next = u.layer.has_cells() ? c + u.state : nullptr;
        stack.kernels.step(s);
        x = s.h;
    }
    return x;
}

#define GATECAST_INSTANTIATE(S)                                                     \
    template void forward<S>(Stack<S>&, const Batch<S>&, const Training&, int);     \
    template const S* step<S>(const Stack<S>&, const S*, S*, S*);
GATECAST_INSTANTIATE(float)
GATECAST_INSTANTIATE(double)

}  // namespace gatecast
