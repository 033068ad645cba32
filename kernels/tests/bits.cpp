// Equal bits: for any number of threads, step by step, and beside a sequence that is not a number.
#include <limits>

#include "groups.hpp"
#include "network.hpp"

namespace gatecast {
namespace tests {
namespace {

const Cell all_cells[] = {Cell::rnn_tanh, Cell::rnn_relu, Cell::lstm, Cell::gru};

template <class S>
void compare_threads(const Data& data, Isa isa) {
    Network<S> net(data, isa);
    const Outputs<S> one = net.forward(true, 1);
    const GradientsOf<S> alone = net.backward(one, 1);
    for (const int threads : {2, 3}) {
        Network<S> other(data, isa);
        const Outputs<S> inferred = other.forward(false, threads), out = other.forward(true, threads);
        same_bits("y inferred", inferred.y.numbers(), one.y.numbers());
        same_bits("y", out.y.numbers(), one.y.numbers());
        same_bits("hn", out.hn, one.hn);
        same_bits("cn", out.cn, one.cn);
        const GradientsOf<S> together = other.backward(out, threads);
        same_bits("dx", together.dx.numbers(), alone.dx.numbers());
        same_bits("dh0", together.dh0, alone.dh0);
        same_bits("dc0", together.dc0, alone.dc0);
        same_bits("gradients of the weights", together.weights, alone.weights);
    }
}

// Every sequence of a batch, one row at a time, against a scan of them all.
template <class S>
void compare_steps(const Data& data, Isa isa) {
    Network<S> net(data, isa);
    const Shape& s = net.shape;
    const Outputs<S> scanned = net.forward(true);
    const Exact<S> y = scanned.y.numbers();
    net.stack.pack_steps();
    afresh([&] {
        for (Index b = 0; b < s.batch; b++) {
            Exact<S> h(net.stack.states), c = net.cells() ? Exact<S>(net.stack.states) : Exact<S>();
            for (Index i = 0; i < h.size(); i++) {
                const Index from = (i / s.units * s.batch + b) * s.units + i % s.units;
                h[i] = net.h0[from];
                if (net.cells()) c[i] = net.c0[from];
            }
            for (Index t = 0; t < s.time; t++) {
                Exact<S> row(s.inputs);
                std::copy_n(net.x.memory.get() + (b * s.time + t) * s.inputs, s.inputs, row.get());
                const S* top = step(net.stack, row.get(), h.get(), c.get());
                same_bits("a step", top, y.get() + (b * s.time + t) * s.units, s.units);
            }
            if (net.cells())
                same_bits("c after the last step", c.get() + (s.layers - 1) * s.units,
                          scanned.cn.get() + ((s.layers - 1) * s.batch + b) * s.units, s.units);
        }
    });
}

template <class S>
void spoil_one(const Data& data, Isa isa, Index spoilt) {
    Network<S> net(data, isa), other(data, isa);
    const Shape& s = net.shape;
    other.x.memory[(spoilt * s.time + 1) * s.inputs] = std::numeric_limits<S>::quiet_NaN();
    for (const bool keep : {false, true}) {
        const Exact<S> y = net.forward(keep).y.numbers(), spoilt_y = other.forward(keep).y.numbers();
        const Index row = s.units, sequence = s.time * row;
        for (Index b = 0; b < s.batch; b++) {
            const S *got = spoilt_y.get() + b * sequence, *wanted = y.get() + b * sequence;
            same_bits("a sequence before or beside NaN", got, wanted, b == spoilt ? row : sequence);
            if (b != spoilt) continue;
            for (Index i = row; i < sequence; i++) check(std::isnan(got[i]), "NaN went in and a number came out");
        }
    }
}

}  // namespace

void check_threads(Isa isa) {
    std::uint64_t number = 2000;
    for (const Cell cell : all_cells)
        for (const Index batch : {2, 40, 150}) {
            const Data data(Shape{cell, 2, 5, 2, 2, batch, 3, true, true, batch == 40 ? 0.4 : 0}, ++number);
            situation = name_of(isa) + " threads, float " + data.shape.text();
            compare_threads<float>(data, isa);
            situation = name_of(isa) + " threads, double " + data.shape.text();
            compare_threads<double>(data, isa);
        }
    const Data wide(Shape{Cell::lstm, 40, 70, 1, 1, 33, 1, true, true, 0}, ++number);  // gradients in several chunks
    situation = name_of(isa) + " threads " + wide.shape.text();
    compare_threads<float>(wide, isa);
    compare_threads<double>(wide, isa);
}

void check_steps(Isa isa) {
    std::uint64_t number = 3000;
    for (const Cell cell : all_cells)
        for (const Index units : {1, 3, 4, 7, 8, 16, 33, 43})
            for (const Index layers : {1, 2}) {
                const Data data(Shape{cell, 1 + units % 4, units, layers, 1, 5, 3, layers == 1, true, 0}, ++number);
                situation = name_of(isa) + " steps, float " + data.shape.text();
                compare_steps<float>(data, isa);
                situation = name_of(isa) + " steps, double " + data.shape.text();
                compare_steps<double>(data, isa);
            }
}

void check_not_a_number(Isa isa) {
    std::uint64_t number = 4000;
    for (const Cell cell : all_cells)
        for (const Index batch : {2, 9, 17}) {
            const Data data(Shape{cell, 2, 5, 2, 1, batch, 3, true, true, 0}, ++number);
            situation = name_of(isa) + " NaN, float " + data.shape.text();
            spoil_one<float>(data, isa, batch - 1);
            spoil_one<float>(data, isa, 0);
            situation = name_of(isa) + " NaN, double " + data.shape.text();
            spoil_one<double>(data, isa, batch - 1);
        }
}

}  // namespace tests
}  // namespace gatecast
