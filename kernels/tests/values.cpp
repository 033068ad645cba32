#include "groups.hpp"
#include "network.hpp"

namespace gatecast {
namespace tests {
namespace {

template <class S>
constexpr double close = sizeof(S) == 8 ? 1e-12 : 1e-5;

template <class S>
void compare(const Reference& wanted, const Outputs<S>& got) {
    near("y", got.y.numbers(), wanted.y, close<S>);
    near("hn", got.hn, wanted.hn, close<S>);
    if (!wanted.cn.empty()) near("cn", got.cn, wanted.cn, close<S>);
}

template <class S>
void compare_records(const Reference& wanted, const Network<S>& net, const Outputs<S>& got) {
    const Shape& s = net.shape;
    const Index rows = s.batch * s.time;
    for (Index unit = 0; unit < units_in(s); unit++) {
        const Trace& trace = wanted.units[std::size_t(unit)];
        Exact<S> gates(rows * s.gates()), h(rows * s.units), c = net.cells() ? Exact<S>(rows * s.units) : Exact<S>();
        record(net.stack, net.batch(got), s.dropout > 0, std::size_t(unit / s.directions), unit % s.directions,
               gates.get(), h.get(), c.get());
        near("recorded gates", gates, trace.gates, close<S>);
        near("recorded h", h, trace.h, close<S>);
        if (net.cells()) near("recorded c", c, trace.c, close<S>);
    }
}

template <class S>
void compare_all(const Data& data, const Reference& wanted, Isa isa, Order order) {
    Network<S> net(data, isa, order);
    afresh([&] {
        const Outputs<S> inferred = net.forward(false), kept = net.forward(true);
        compare(wanted, inferred);
        same_bits("y kept for backward", kept.y.numbers(), inferred.y.numbers());
        same_bits("hn kept for backward", kept.hn, inferred.hn);
        same_bits("cn kept for backward", kept.cn, inferred.cn);
        compare_records(wanted, net, kept);
    });
}

void compare_types(const Data& data, Isa isa, Order order) {
    const Reference wanted = reference(data);
    situation = name_of(isa) + " double " + data.shape.text();
    compare_all<double>(data, wanted, isa, order);
    situation = name_of(isa) + " float " + data.shape.text();
    compare_all<float>(data, wanted, isa, order);
}

}  // namespace

void check_values(Isa isa) {
    for_shapes([&](const Shape& shape, Order order, std::size_t number) {
        compare_types(Data(shape, number + 1), isa, order);
    });
}

// Wider than the largest panel and than eight vectors, and not by whole ones.
void check_wide_layers(Isa isa) {
    std::uint64_t number = 1000;
    for (const Cell cell : {Cell::rnn_tanh, Cell::rnn_relu, Cell::lstm, Cell::gru})
        for (const Index units : {16, 29, 43, 65})
            for (const Index batch : {1, 17}) {
                const Shape shape{cell, 7, units, 1 + batch % 3, 1 + units % 2, batch, 2, true, batch > 1, 0};
                compare_types(Data(shape, ++number), isa, Order::batch_first);
            }
}

}  // namespace tests
}  // namespace gatecast
