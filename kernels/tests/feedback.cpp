// Free runs against the reference, run anew over the rows that the network has seen so far.
#include "free_run.hpp"
#include "groups.hpp"
#include "network.hpp"

namespace gatecast {
namespace tests {
namespace {

constexpr Index columns = 2, look_back = 4, steps = 5;

// Weights of a linear readout, and of a linear skip from the newest `lags` rows.
struct Linear {
    Index lags;
    std::vector<double> head, head_bias, skip, skip_bias;

    Linear(Index features, Index lags_, Random& random)
        : lags(lags_),
          head(random.numbers(columns * features, 0.5)),
          head_bias(random.numbers(columns)),
          skip(random.numbers(lags * columns * columns, 0.2)),
          skip_bias(random.numbers(lags ? columns : 0)) {}

    double output(Index column, const std::vector<double>& features, const double* newest) const {
        const Index F = Index(features.size());
        double y = head_bias[std::size_t(column)];
        for (Index k = 0; k < F; k++) y += head[std::size_t(column * F + k)] * features[std::size_t(k)];
        if (lags == 0) return y;
        for (Index k = 0; k < lags * columns; k++) y += newest[k] * skip[std::size_t(k * columns + column)];
        return y + skip_bias[std::size_t(column)];
    }
};

struct Run {
    std::vector<Data> networks;
    std::vector<Linear> readouts;
    std::vector<double> windows;
    Index origins;
    bool carry;
};

// The top layer's final states after `rows` rows, for one sequence of them.
std::vector<double> features(const Data& network, const std::vector<double>& rows) {
    Data data = network;
    data.shape.batch = 1;
    data.shape.time = Index(rows.size()) / columns;
    data.x = rows;
    const Reference found = reference(data);
    const std::size_t width = std::size_t(data.shape.width());
    return {found.hn.end() - std::ptrdiff_t(width), found.hn.end()};
}

std::vector<double> expected(const Run& run) {
    std::vector<double> path;
    constexpr std::ptrdiff_t area = look_back * columns;
    for (std::ptrdiff_t n = 0; n < run.origins; n++) {
        std::vector<double> rows(run.windows.begin() + n * area, run.windows.begin() + (n + 1) * area);
        for (Index k = 0; k < steps; k++) {
            std::vector<double> mean(columns, 0.0);
            for (std::size_t m = 0; m < run.networks.size(); m++) {
                const Linear& readout = run.readouts[m];
                const auto seen = run.carry ? rows : std::vector<double>(rows.end() - area, rows.end());
                const std::vector<double> top = features(run.networks[m], seen);
                const double* newest = rows.data() + Index(rows.size()) - readout.lags * columns;
                for (Index c = 0; c < columns; c++)
                    mean[std::size_t(c)] += readout.output(c, top, newest) / double(run.networks.size());
            }
            rows.insert(rows.end(), mean.begin(), mean.end());
        }
        path.insert(path.end(), rows.begin() + area, rows.end());
    }
    return path;
}

template <class S>
Exact<double> kernel_path(const Run& run, Isa isa, Index count, int threads) {
    std::vector<std::unique_ptr<Network<S>>> networks;
    std::vector<Exact<S>> memory;
    std::vector<Feedback<S>> all;
    for (std::size_t m = 0; m < run.networks.size(); m++) {
        const Linear& r = run.readouts[m];
        networks.push_back(std::make_unique<Network<S>>(run.networks[m], isa));
        Stack<S>& stack = networks.back()->stack;
        stack.pack_steps();
        stack.pack_forward(threads);
        for (const auto* each : {&r.head, &r.head_bias, &r.skip, &r.skip_bias}) memory.push_back(Exact<S>(*each));
        const Exact<S>* at = &memory[memory.size() - 4];
        const bool skip = r.lags > 0;
        all.push_back({&stack, {at[0].get(), at[1].get(), skip ? at[2].get() : nullptr, skip ? at[3].get() : nullptr,
                                r.lags}});
    }
    Exact<S> windows(run.windows);
    Exact<double> path(run.origins * count * columns);
    afresh([&] {
        free_run(all, run.origins, look_back, columns, windows.get(), count, run.carry, path.get(), threads);
    });
    return path;
}

// One step by hand: forward, then the readout by the kernel's own product.
template <class S>
void compare_one_step(const Run& run, Isa isa) {
    Data data = run.networks[0];
    data.shape.batch = run.origins;
    data.shape.time = look_back;
    data.x = run.windows;
    data.dy.resize(std::size_t(run.origins * look_back * data.shape.width()));
    Network<S> net(data, isa);
    const Linear& r = run.readouts[0];
    const Exact<S> head(r.head), bias(r.head_bias), hn = net.forward(false).hn;
    const Index H = data.shape.units, F = data.shape.width(), D = data.shape.directions;
    Exact<double> wanted(run.origins * columns);
    for (Index n = 0; n < run.origins; n++) {
        Exact<S> top(F), y(columns);
        for (Index i = 0; i < F; i++)
            top[i] = hn[(((data.shape.layers - 1) * D + i / H) * run.origins + n) * H + i % H];
        net.stack.kernels.dot(head.get(), bias.get(), top.get(), columns, F, y.get());
        for (Index c = 0; c < columns; c++) wanted[n * columns + c] = double(y[c]);
    }
    same_bits("one sliding step", kernel_path<S>(run, isa, 1, 1), wanted);
}

template <class S>
void compare(const Run& run, Isa isa) {
    const Exact<double> path = kernel_path<S>(run, isa, steps, 1);
    near("path", path, expected(run), sizeof(S) == 8 ? 1e-12 : 1e-5);
    for (const int threads : {2, 3})
        same_bits("path by several threads", kernel_path<S>(run, isa, steps, threads), path);
    if (run.networks.size() == 1 && run.readouts[0].lags == 0 && !run.carry) compare_one_step<S>(run, isa);
}

Run make_run(Cell cell, Index origins, Index directions, Index networks, bool carry, std::uint64_t seed) {
    Random random(seed);
    Run run{{}, {}, random.numbers(origins * look_back * columns), origins, carry};
    for (Index m = 0; m < networks; m++) {
        const Index lags = (m + origins) % 2 ? 0 : 2, layers = 1 + (m + origins) % 2;
        run.networks.emplace_back(Shape{cell, columns, 5 + m, layers, directions, 1, 1, true, false, 0}, seed + 7);
        run.readouts.emplace_back(run.networks.back().shape.width(), lags, random);
    }
    return run;
}

}  // namespace

void check_free_run(Isa isa) {
    std::uint64_t seed = 6000;
    for (const Cell cell : {Cell::rnn_tanh, Cell::rnn_relu, Cell::lstm, Cell::gru})
        for (const Index origins : {1, 4, 5, 17})
            for (const Index networks : {1, 2})
                for (const bool carry : {false, true}) {
                    const Index directions = carry ? 1 : 1 + networks % 2;
                    const Run run = make_run(cell, origins, directions, networks, carry, ++seed);
                    situation = name_of(isa) + (carry ? " carried run, double " : " sliding run, double ") +
                                run.networks[0].shape.text() + " origins " + std::to_string(origins);
                    compare<double>(run, isa);
                    situation += ", now float";
                    compare<float>(run, isa);
                }
}

}  // namespace tests
}  // namespace gatecast
