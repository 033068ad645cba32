#include "free_run.hpp"

#include <algorithm>

namespace gatecast {
namespace {

// What the readout sees: the top layer's final states of all directions, [N][F].
template <class S>
void gather_top(const Stack<S>& stack, Index origins, const S* hn, S* features) {
    const Layer& top = stack.layers.back();
    for (Index d = 0; d < top.directions; d++) {
        const S* block = hn + stack.unit(stack.layers.size() - 1, d).state * origins;
        for (Index n = 0; n < origins; n++)
            std::copy_n(block + n * top.units, top.units, features + n * top.width() + d * top.units);
    }
}

template <class S>
void read_out(const Feedback<S>& network, Index columns, const S* features, const S* newest, double share, double* row) {
    const Readout<S>& r = network.readout;
    const Index width = network.stack->layers.back().width();
    for (Index c = 0; c < columns; c++) {
        S y;
        network.stack->kernels.dot(r.head + c * width, r.head_bias + c, features, 1, width, &y);
        if (r.lags > 0) {
            S linear = r.skip_bias[c];
            for (Index k = 0; k < r.lags * columns; k++) linear += newest[k] * r.skip[k * columns + c];
            y += linear;
        }
        row[c] += share * double(y);
    }
}

// A network's states between the steps of a run, and its features.
template <class S>
struct Memory {
    std::vector<S> h, c, features;
};

template <class S>
void read_window(const Feedback<S>& network, Index origins, Index look_back, Index columns, const S* windows,
                 Memory<S>& memory, int threads) {
    Batch<S> batch{origins, look_back, windows, columns, look_back * columns, nullptr, nullptr, nullptr,
                   0,       0,         memory.h.data(), memory.c.data(), nullptr};
    forward(*network.stack, batch, Training{}, threads);
    gather_top(*network.stack, origins, memory.h.data(), memory.features.data());
}

// States lie [unit][N][H] after a scan; one sequence's step wants them [unit][H].
template <class S>
void read_row(const Feedback<S>& network, Index origins, const S* rows, Index apart, Memory<S>& memory) {
    const Stack<S>& stack = *network.stack;
    std::vector<S> h(std::size_t(stack.states)), c(h.size());
    const auto move = [&](std::vector<S>& all, std::vector<S>& one, Index n, bool out) {
        for (const Unit<S>& u : stack.units)
            for (Index i = 0; i < u.layer.units; i++) {
                S& a = all[std::size_t(u.state * origins + n * u.layer.units + i)];
                S& b = one[std::size_t(u.state + i)];
                out ? b = a : a = b;
            }
    };
    for (Index n = 0; n < origins; n++) {
        move(memory.h, h, n, true);
        move(memory.c, c, n, true);
        const S* top = step(stack, rows + n * apart, h.data(), c.data());
        std::copy_n(top, stack.layers.back().units, memory.features.data() + n * stack.layers.back().units);
        move(memory.h, h, n, false);
        move(memory.c, c, n, false);
    }
}

}  // namespace

template <class S>
void free_run(const std::vector<Feedback<S>>& networks, Index origins, Index look_back, Index columns, S* windows,
              Index steps, bool carry, double* path, int threads) {
    const Index area = look_back * columns;
    std::vector<Memory<S>> memories;
    for (const Feedback<S>& n : networks)
        memories.push_back({std::vector<S>(std::size_t(n.stack->states * origins)),
                            std::vector<S>(std::size_t(n.stack->states * origins)),
                            std::vector<S>(std::size_t(n.stack->layers.back().width() * origins))});
    std::fill_n(path, origins * steps * columns, 0.0);
    for (Index k = 0; k < steps; k++) {
        for (std::size_t m = 0; m < networks.size(); m++) {
            if (k == 0 || !carry)
                read_window(networks[m], origins, look_back, columns, windows, memories[m], threads);
            else
                read_row(networks[m], origins, windows + area - columns, area, memories[m]);
            for (Index n = 0; n < origins; n++)
                read_out(networks[m], columns, memories[m].features.data() + n * networks[m].stack->layers.back().width(),
                         windows + (n + 1) * area - networks[m].readout.lags * columns, 1.0 / double(networks.size()),
                         path + (n * steps + k) * columns);
        }
        for (Index n = 0; n < origins; n++) {
            S* window = windows + n * area;
            std::copy(window + columns, window + area, window);
            for (Index c = 0; c < columns; c++) window[area - columns + c] = S(path[(n * steps + k) * columns + c]);
        }
    }
}

template void free_run<float>(const std::vector<Feedback<float>>&, Index, Index, Index, float*, Index, bool, double*,
                              int);
template void free_run<double>(const std::vector<Feedback<double>>&, Index, Index, Index, double*, Index, bool, double*,
                               int);

}  // namespace gatecast
