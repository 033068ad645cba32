// A network in the kernels' terms, made of the numbers of `Data`, with every buffer of exactly the documented size.
#pragma once

#include "check.hpp"
#include "reference.hpp"
#include "stack.hpp"

namespace gatecast {
namespace tests {

// A tensor [B][T][width]: batch first, time first, or with gaps between its rows.
enum class Order { batch_first, time_first, gaps };

template <class S>
struct Tensor {
    Index batch, time, width, time_stride, batch_stride;
    Exact<S> memory;

    Tensor(Order order, Index B, Index T, Index W) : batch(B), time(T), width(W), time_stride(W), batch_stride(T * W) {
        if (order == Order::time_first) time_stride = B * W, batch_stride = W;
        if (order == Order::gaps) time_stride = W + 2, batch_stride = T * (W + 2) + 1;
        memory = Exact<S>((B - 1) * batch_stride + (T - 1) * time_stride + W);
    }
    Tensor(Order order, Index B, Index T, const std::vector<double>& from)
        : Tensor(order, B, T, Index(from.size()) / (B * T)) {
        for (Index i = 0; i < Index(from.size()); i++) memory[place(i)] = S(from[std::size_t(i)]);
    }
    Index place(Index i) const {
        return i / (width * time) * batch_stride + i / width % time * time_stride + i % width;
    }
    // Its numbers [B][T][width]; the gaps between them must be as they were.
    Exact<S> numbers() const {
        Exact<S> all(batch * time * width);
        std::vector<char> inside(std::size_t(memory.size()), 0);
        for (Index i = 0; i < all.size(); i++) {
            all[i] = memory[place(i)];
            inside[std::size_t(place(i))] = 1;
        }
        for (Index i = 0; i < memory.size(); i++)
            if (!inside[std::size_t(i)] && memory[i] != S(untouched)) fail("a kernel wrote between a tensor's rows");
        return all;
    }
};

template <class S>
struct Outputs {
    Tensor<S> y;
    Exact<S> hn, cn, reserve;
};

template <class S>
struct GradientsOf {
    Tensor<S> dx;
    Exact<S> dh0, dc0, weights;
};

inline Index units_in(const Shape& s) { return s.layers * s.directions; }

template <class S>
struct Network {
    Shape shape;
    Training training;
    Order order;
    std::vector<Exact<S>> weights;
    Stack<S> stack;
    Tensor<S> x, dy;
    Exact<S> h0, c0, dhn, dcn;

    Network(const Data& d, Isa isa, Order o = Order::batch_first)
        : shape(d.shape),
          training{d.shape.dropout, d.seed},
          order(o),
          weights(copies(d)),
          stack(layers(d.shape), addresses(weights), isa),
          x(o, d.shape.batch, d.shape.time, d.x),
          dy(o, d.shape.batch, d.shape.time, d.dy),
          h0(copy(d.h0)),
          c0(copy(d.c0)),
          dhn(copy(d.dhn)),
          dcn(copy(d.dcn)) {}

    bool cells() const { return shape.cell == Cell::lstm; }
    Index states() const { return units_in(shape) * shape.batch * shape.units; }

    Batch<S> batch(const Outputs<S>& out) const {
        return {shape.batch, shape.time, x.memory.get(), x.time_stride, x.batch_stride, h0.get(), c0.get(),
                out.y.memory.get(), out.y.time_stride, out.y.batch_stride, out.hn.get(), out.cn.get(),
                out.reserve.get()};
    }
    Outputs<S> outputs(bool keep) const {
        const Index reserve = stack.reserve_size(shape.batch, shape.time, shape.dropout > 0);
        return {Tensor<S>(order, shape.batch, shape.time, shape.width()), Exact<S>(states()),
                cells() ? Exact<S>(states()) : Exact<S>(), keep ? Exact<S>(reserve) : Exact<S>()};
    }
    Outputs<S> forward(bool keep, int threads = 1) {
        Outputs<S> out = outputs(keep);
        gatecast::forward(stack, batch(out), training, threads);
        return out;
    }
    Gradients<S> gradients(const GradientsOf<S>& g) const {
        return {dy.memory.get(), dy.time_stride, dy.batch_stride, dhn.get(), dcn.get(), g.dx.memory.get(),
                g.dx.time_stride, g.dx.batch_stride, g.dh0.get(), g.dc0.get(), g.weights.get()};
    }
    GradientsOf<S> space() const {
        return {Tensor<S>(order, shape.batch, shape.time, shape.inputs), Exact<S>(states()),
                cells() ? Exact<S>(states()) : Exact<S>(), Exact<S>(stack.parameters)};
    }
    GradientsOf<S> backward(const Outputs<S>& out, int threads = 1) {
        GradientsOf<S> g = space();
        gatecast::backward(stack, batch(out), gradients(g), training, threads);
        return g;
    }

   private:
    static Exact<S> copy(const std::vector<double>& from) { return from.empty() ? Exact<S>() : Exact<S>(from); }

    static std::vector<Exact<S>> copies(const Data& d) {
        std::vector<Exact<S>> all;
        for (const UnitWeights& u : d.units)
            for (const auto* each : {&u.w_ih, &u.w_hh, &u.b_ih, &u.b_hh}) all.push_back(copy(*each));
        return all;
    }
    static std::vector<Weights<S>> addresses(const std::vector<Exact<S>>& w) {
        std::vector<Weights<S>> all;
        for (std::size_t i = 0; i < w.size(); i += 4)
            all.push_back({w[i].get(), w[i + 1].get(), w[i + 2].get(), w[i + 3].get()});
        return all;
    }
    static std::vector<Layer> layers(const Shape& s) {
        std::vector<Layer> all;
        for (Index l = 0; l < s.layers; l++) all.push_back({s.cell, s.inputs_of(l), s.units, s.directions});
        return all;
    }
};

// Every cell, depth and direction with batches around the widths of slices; bias, states, dropout, sizes and the order
// of tensors take turns, so that every pair of them meets often.
template <class F>
void for_shapes(F f) {
    const Index units[] = {1, 2, 3, 5, 8, 13, 4}, times[] = {5, 2, 1, 3, 4}, inputs[] = {1, 2, 3};
    std::size_t number = 0;
    for (const Cell cell : {Cell::rnn_tanh, Cell::rnn_relu, Cell::lstm, Cell::gru})
        for (Index layers = 1; layers <= 3; layers++)
            for (Index directions = 1; directions <= 2; directions++)
                for (const Index batch : {1, 3, 7, 8, 9, 15, 16, 17, 40})
                    for (int turn = 0; turn < 4; turn++, number++) {
                        const double dropout = layers > 1 && (number / 4 + std::size_t(turn)) % 2 ? 0.3 : 0;
                        f(Shape{cell, inputs[number % 3], units[number % 7], layers, directions, batch,
                                times[number % 5], turn % 2 == 0, turn < 2, dropout},
                          Order(number % 3), number);
                    }
}

}  // namespace tests
}  // namespace gatecast
