#include "groups.hpp"
#include "network.hpp"

namespace gatecast {
namespace tests {
namespace {

const Cell all_cells[] = {Cell::rnn_tanh, Cell::rnn_relu, Cell::lstm, Cell::gru};

// So many sequences that several slices of `lanes` share the memory of their gradients.
constexpr Index many(Index lanes) { return 10 * lanes - 3; }

// Data in which no relu is near its kink, where there is no gradient to compare.
Data smooth(const Shape& shape, std::uint64_t seed, double distance) {
    for (;; seed += 10000) {
        Data data(shape, seed);
        if (reference(data).kink > distance) return data;
    }
}

double dot(const Exact<double>& a, const Exact<double>& b) {
    double sum = 0;
    for (Index i = 0; i < a.size(); i++) sum += a[i] * b[i];
    return sum;
}

// The number whose gradients the kernels give: <y, dy> + <hn, dhn> + <cn, dcn>.
double loss(Network<double>& net, const Outputs<double>& out, const Exact<double>& dy) {
    net.stack.pack_forward(1);
    if (net.stack.step_weights.get()) net.stack.pack_steps();
    forward(net.stack, net.batch(out), net.training, 1);
    return dot(out.y.numbers(), dy) + dot(out.hn, net.dhn) + dot(out.cn, net.dcn);
}

struct Differences {
    Network<double>& net;
    Outputs<double> out = net.outputs(false);
    Exact<double> dy = net.dy.numbers();

    double at(double& number) const {
        constexpr double by = 1e-5;
        const double before = number;
        number = before + by;
        const double above = loss(net, out, dy);
        number = before - by;
        const double below = loss(net, out, dy);
        number = before;
        return (above - below) / (2 * by);
    }
    std::vector<double> of(const Exact<double>& all) const {
        std::vector<double> slopes;
        for (Index i = 0; i < all.size(); i++) slopes.push_back(at(all[i]));
        return slopes;
    }
};

void compare_with_differences(const Data& data, Isa isa, Order order) {
    situation = name_of(isa) + " double " + data.shape.text();
    Network<double> net(data, isa, order);
    const GradientsOf<double> got = net.backward(net.forward(true));
    const Differences differences{net};
    constexpr double close = 1e-7;
    std::vector<double> dx, dw;
    for (Index i = 0; i < data.shape.batch * data.shape.time * data.shape.inputs; i++)
        dx.push_back(differences.at(net.x.memory[net.x.place(i)]));
    near("dx", got.dx.numbers(), dx, close);
    for (const Exact<double>& each : net.weights)
        for (const double slope : differences.of(each)) dw.push_back(slope);
    near("gradients of the weights", got.weights, dw, close);
    if (data.shape.states) near("dh0", got.dh0, differences.of(net.h0), close);
    if (data.shape.states && net.cells()) near("dc0", got.dc0, differences.of(net.c0), close);
}

void compare_types(const Data& data, Isa isa, Order order) {
    situation = name_of(isa) + " float " + data.shape.text();
    Network<double> exact(data, isa, order);
    Network<float> net(data, isa, order);
    afresh([&] {
        const GradientsOf<float> got = net.backward(net.forward(true));
        const GradientsOf<double> wanted = exact.backward(exact.forward(true));
        const auto compare = [](const char* what, const Exact<float>& a, const Exact<double>& b) {
            near(what, a.get(), b.get(), b.size(), 1e-5);
        };
        compare("dx", got.dx.numbers(), wanted.dx.numbers());
        compare("gradients of the weights", got.weights, wanted.weights);
        compare("dh0", got.dh0, wanted.dh0);
        compare("dc0", got.dc0, wanted.dc0);
    });
}

template <class S>
void compare_absent_outputs(const Data& data, Isa isa) {
    Network<S> net(data, isa);
    const Outputs<S> all = net.forward(true);
    const GradientsOf<S> full = net.backward(all);
    const auto without = [&](auto drop) {
        GradientsOf<S> g = net.space();
        Gradients<S> some = net.gradients(g);
        drop(some);
        afresh([&] { backward(net.stack, net.batch(all), some, net.training, 1); });
        return g;
    };
    const GradientsOf<S> frozen = without([](Gradients<S>& g) { g.weights = nullptr; });
    same_bits("dx of frozen weights", frozen.dx.numbers(), full.dx.numbers());
    const GradientsOf<S> only = without([](Gradients<S>& g) { g.dx = g.dh0 = g.dc0 = nullptr; });
    same_bits("gradients of the weights alone", only.weights, full.weights);
    for (const bool keep : {false, true}) {
        Outputs<S> out = net.outputs(keep);
        Batch<S> batch = net.batch(out);
        batch.y = nullptr;
        forward(net.stack, batch, net.training, 1);
        same_bits("hn without y", out.hn, all.hn);
        batch = net.batch(out);
        batch.hn = batch.cn = nullptr;
        forward(net.stack, batch, net.training, 1);
        same_bits("y without hn", out.y.numbers(), all.y.numbers());
    }
}

// Null reads as zeros.
template <class S>
void compare_absent_inputs(const Data& data, Isa isa) {
    Data zeros = data;
    for (auto* each : {&zeros.h0, &zeros.c0, &zeros.dhn, &zeros.dcn}) std::fill(each->begin(), each->end(), 0.0);
    Network<S> zero(zeros, isa), net(zeros, isa);
    for (auto* each : {&net.h0, &net.c0, &net.dhn, &net.dcn}) *each = Exact<S>();
    const Outputs<S> wanted = zero.forward(true), got = net.forward(true);
    same_bits("y from no state", got.y.numbers(), wanted.y.numbers());
    same_bits("gradients of the weights without dhn", net.backward(got).weights, zero.backward(wanted).weights);
    zero.dhn = Exact<S>(data.dhn);
    net.dhn = Exact<S>(data.dhn);
    std::fill_n(zero.dy.memory.get(), zero.dy.memory.size(), S(0));
    GradientsOf<S> g = net.space();
    Gradients<S> some = net.gradients(g);
    some.dy = nullptr;
    backward(net.stack, net.batch(got), some, net.training, 1);
    same_bits("gradients of the weights without dy", g.weights, zero.backward(wanted).weights);
}

}  // namespace

void check_gradients(Isa isa) {
    std::uint64_t number = 0;
    for (const Cell cell : all_cells)
        for (Index layers = 1; layers <= 3; layers++)
            for (Index directions = 1; directions <= 2; directions++, number++) {
                const Shape shape{cell, 2, 1 + Index(number % 3), layers, directions, layers == 2 ? 3 : 9,
                                  3, number % 4 != 1, number % 4 != 2, layers == 3 ? 0.3 : 0};
                compare_with_differences(smooth(shape, number + 1, 1e-3), isa, Order(number % 3));
            }
    for (const Cell cell : all_cells) {
        const Shape shape{cell, 1, 1, 1, 1, many(8), 2, true, true, 0};
        compare_with_differences(smooth(shape, ++number, 1e-4), isa, Order::batch_first);
    }
}

void check_float_gradients(Isa isa) {
    for_shapes([&](const Shape& shape, Order order, std::size_t number) {
        compare_types(smooth(shape, number + 1, 2e-6), isa, order);
    });
    for (const Cell cell : all_cells)
        compare_types(smooth(Shape{cell, 2, 3, 2, 2, many(16), 2, true, true, 0.3}, 7000, 2e-6), isa, Order::gaps);
}

void check_absent_tensors(Isa isa) {
    std::uint64_t number = 5000;
    for (const Cell cell : all_cells)
        for (const Index batch : {2, 17}) {
            const Data data(Shape{cell, 3, 5, 2, 2, batch, 4, true, true, batch == 2 ? 0 : 0.3}, ++number);
            situation = name_of(isa) + " absent tensors " + data.shape.text();
            compare_absent_outputs<float>(data, isa);
            compare_absent_outputs<double>(data, isa);
            compare_absent_inputs<float>(data, isa);
            compare_absent_inputs<double>(data, isa);
        }
}

}  // namespace tests
}  // namespace gatecast
