// The Python module: raw addresses, shapes and strides in, nothing of PyTorch's headers. Its callers check shapes.
#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include <chrono>
#include <cstdlib>

#include "free_run.hpp"
#include "pool.hpp"
#include "workspace.hpp"

namespace nb = nanobind;

namespace gatecast {
namespace {

using Address = std::uint64_t;

template <class S>
S* at(Address address) {
    return reinterpret_cast<S*>(address);
}

Isa isa() {
    static const Isa chosen = [] {
        const char* name = std::getenv("GATECAST_ISA");
        return choose_isa(name ? name : "");
    }();
    return chosen;
}

// layers: (cell, inputs, units, directions) each; weights: four addresses per layer and direction.
template <class S>
Stack<S> make_stack(const std::vector<std::vector<Index>>& layers, const std::vector<Address>& weights) {
    std::vector<Layer> all;
    std::vector<Weights<S>> each;
    for (const auto& l : layers) all.push_back({Cell(l[0]), l[1], l[2], l[3]});
    for (std::size_t i = 0; i + 3 < weights.size(); i += 4)
        each.push_back({at<const S>(weights[i]), at<const S>(weights[i + 1]), at<const S>(weights[i + 2]),
                        at<const S>(weights[i + 3])});
    return Stack<S>(all, each, isa());
}

// Addresses of the tensors of a call by name; 0 where there is none. Strides: over time, over batch.
struct Tensors {
    Index batch, time;
    Address x, h0, c0, y, hn, cn, reserve, dy, dhn, dcn, dx, dh0, dc0, weights;
    Index x_time, x_batch, y_time, y_batch, dy_time, dy_batch, dx_time, dx_batch;
    double dropout;
    std::uint64_t seed;
    int threads;
};

template <class S>
Batch<S> batch_of(const Tensors& t) {
    return {t.batch,      t.time,   at<const S>(t.x), t.x_time,    t.x_batch,   at<const S>(t.h0), at<const S>(t.c0),
            at<S>(t.y), t.y_time, t.y_batch,        at<S>(t.hn), at<S>(t.cn), at<S>(t.reserve)};
}

template <class S>
void bind_stack(nb::module_& m, const char* name) {
    using Net = Stack<S>;
    nb::class_<Net>(m, name)
        .def("__init__", [](Net* self, const std::vector<std::vector<Index>>& layers,
                            const std::vector<Address>& weights) { new (self) Net(make_stack<S>(layers, weights)); })
        .def_ro("parameters", &Net::parameters)
        .def_ro("states", &Net::states)
        .def("reserve_bytes",
             [](const Net& n, Index batch, Index time, bool dropout) {
                 return n.reserve_size(batch, time, dropout) * Index(sizeof(S));
             })
        .def("forward",
             [](Net& n, const Tensors& t) {
                 nb::gil_scoped_release free;
                 forward(n, batch_of<S>(t), Training{t.dropout, t.seed}, t.threads);
             })
        .def("backward",
             [](Net& n, const Tensors& t) {
                 nb::gil_scoped_release free;
                 backward(n, batch_of<S>(t),
                          Gradients<S>{at<const S>(t.dy), t.dy_time, t.dy_batch, at<const S>(t.dhn), at<const S>(t.dcn),
                                       at<S>(t.dx), t.dx_time, t.dx_batch, at<S>(t.dh0), at<S>(t.dc0), at<S>(t.weights)},
                          Training{t.dropout, t.seed}, t.threads);
             })
        .def("record",
             [](const Net& n, const Tensors& t, Index layer, Index direction, Address gates, Address h, Address c) {
                 nb::gil_scoped_release free;
                 record(n, batch_of<S>(t), t.dropout > 0, std::size_t(layer), direction, at<S>(gates), at<S>(h), at<S>(c));
             })
        .def("freeze",
             [](Net& n, int threads) {
                 n.pack_steps();
                 n.pack_forward(threads);
             })
        .def("step", [](const Net& n, Address x, Address h, Address c, Address y) {
            const S* top = step(n, at<const S>(x), at<S>(h), at<S>(c));
            std::copy_n(top, n.layers.back().units, at<S>(y));
        });
}

// networks: (frozen stack, head, head bias, skip, skip bias, lags).
template <class S>
void bind_free_run(nb::module_& m) {
    using Row = std::vector<Address>;
    m.def("free_run", [](const std::vector<Stack<S>*>& stacks, const std::vector<Row>& readouts, const Row& shape,
                         Address windows, bool carry, Address path, int threads) {
        std::vector<Feedback<S>> networks;
        for (std::size_t i = 0; i < stacks.size(); i++) {
            const Row& r = readouts[i];
            networks.push_back({stacks[i], {at<const S>(r[0]), at<const S>(r[1]), at<const S>(r[2]), at<const S>(r[3]),
                                            Index(r[4])}});
        }
        nb::gil_scoped_release free;
        free_run(networks, Index(shape[0]), Index(shape[1]), Index(shape[2]), at<S>(windows), Index(shape[3]), carry,
                 at<double>(path), threads);
    });
}

// Billions of floating-point operations per second of `threads` threads of independent fused multiply-adds.
double peak_gflops(int threads, double seconds) {
    const Kernels<float>& kernels = kernels_of<float>(isa());
    std::vector<double> done(std::size_t(threads), 0.0);
    const auto now = [] { return std::chrono::steady_clock::now(); };
    const auto start = now();
    const auto spent = [&] { return std::chrono::duration<double>(now() - start).count(); };
    run_parallel(threads, threads, [&](int i) {
        float sink[16] = {0.999f, 0.001f};
        while (spent() < seconds) done[std::size_t(i)] += kernels.peak(100000, sink);
    });
    double total = 0;
    for (double each : done) total += each;
    return total / spent() / 1e9;
}

// The factors (0 or 1 / keep) of one layer's dropout for a batch, into [B][T][units] float32.
void dropout_factors(double dropout, std::uint64_t seed, Index layer, Index batch, Index time, Index units, Address to) {
    const Kernels<float>& kernels = kernels_of<float>(isa());
    Buffer<float> buffer;
    const Index count = time * units * lanes_of<float>;
    float* rows = buffer.at_least(count);
    for (Index slice = 0; slice < slices_of<float>(batch); slice++) {
        const Index first = slice * lanes_of<float>;
        std::fill_n(rows, count, 1.0f);
        kernels.drop(dropout_mask(Training{dropout, seed}, std::size_t(layer), first), time, units, rows, rows);
        kernels.scatter({nullptr, units * lanes_of<float>, at<float>(to) + first * time * units, units, time * units,
                         time, units, filled<float>(batch, slice)},
                        rows);
    }
}

}  // namespace
}  // namespace gatecast

NB_MODULE(_kernels, m) {
    using namespace gatecast;
    nb::class_<Tensors> tensors(m, "Tensors");
    tensors.def(nb::init<>());
#define GATECAST_FIELD(name) tensors.def_rw(#name, &Tensors::name);
    GATECAST_FIELD(batch) GATECAST_FIELD(time) GATECAST_FIELD(x) GATECAST_FIELD(h0) GATECAST_FIELD(c0)
    GATECAST_FIELD(y) GATECAST_FIELD(hn) GATECAST_FIELD(cn) GATECAST_FIELD(reserve) GATECAST_FIELD(dy)
    GATECAST_FIELD(dhn) GATECAST_FIELD(dcn) GATECAST_FIELD(dx) GATECAST_FIELD(dh0) GATECAST_FIELD(dc0)
    GATECAST_FIELD(weights) GATECAST_FIELD(x_time) GATECAST_FIELD(x_batch) GATECAST_FIELD(y_time)
    GATECAST_FIELD(y_batch) GATECAST_FIELD(dy_time) GATECAST_FIELD(dy_batch) GATECAST_FIELD(dx_time)
    GATECAST_FIELD(dx_batch) GATECAST_FIELD(dropout) GATECAST_FIELD(seed) GATECAST_FIELD(threads)
    bind_stack<float>(m, "StackFloat");
    bind_stack<double>(m, "StackDouble");
    bind_free_run<float>(m);
    bind_free_run<double>(m);
    m.def("isa", [] { return name_of(isa()); });
    m.def("available_isas", &available_isas);
    m.def("available_processors", &available_processors);
    m.def("peak_gflops", &peak_gflops, nb::call_guard<nb::gil_scoped_release>());
    m.def("dropout_factors", &dropout_factors);
    m.def("workspace", [](Index bytes) {
        void* memory = borrow(bytes);
        nb::capsule owner(memory, [](void* p) noexcept { give_back(p); });
        return nb::ndarray<nb::pytorch, std::uint8_t, nb::ndim<1>>(memory, {std::size_t(bytes)}, owner);
    });
}
