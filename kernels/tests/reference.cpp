#include "reference.hpp"

#include <cmath>

#include "check.hpp"

namespace gatecast {
namespace tests {

std::string Shape::text() const {
    static const char* const names[] = {"rnn_tanh", "rnn_relu", "lstm", "gru"};
    const auto number = [](const char* name, Index value) { return std::string(name) + std::to_string(value); };
    return std::string(names[int(cell)]) + number(" inputs ", inputs) + number(" units ", units) +
           number(" layers ", layers) + number(" directions ", directions) + number(" batch ", batch) +
           number(" time ", time) + (bias ? "" : " no bias") + (states ? " h0" : "") + (dropout > 0 ? " dropout" : "");
}

Data::Data(const Shape& s, std::uint64_t number) : shape(s), seed(number * 0x123456789abcdefu) {
    Random random(number);
    const Index G = s.gates(), H = s.units, blocks = s.layers * s.directions * s.batch * H;
    const double scale = 1 / std::sqrt(double(H));
    for (Index l = 0; l < s.layers; l++)
        for (Index d = 0; d < s.directions; d++) {
            const Index biases = s.bias ? G : 0;
            units.push_back({random.numbers(G * s.inputs_of(l), scale), random.numbers(G * H, scale),
                             random.numbers(biases, scale), random.numbers(biases, scale)});
        }
    x = random.numbers(s.batch * s.time * s.inputs);
    if (s.states) h0 = random.numbers(blocks);
    if (s.states && s.cell == Cell::lstm) c0 = random.numbers(blocks);
    dy = random.numbers(s.batch * s.time * s.width());
    dhn = random.numbers(blocks);
    if (s.cell == Cell::lstm) dcn = random.numbers(blocks);
}

namespace {

double sigmoid(double x) { return 1 / (1 + std::exp(-x)); }

std::vector<double> affine(const std::vector<double>& w, const std::vector<double>& bias, const double* x, Index rows) {
    const Index columns = Index(w.size()) / rows;
    std::vector<double> y(static_cast<std::size_t>(rows));
    for (Index r = 0; r < rows; r++) {
        double sum = bias.empty() ? 0 : bias[std::size_t(r)];
        for (Index k = 0; k < columns; k++) sum += w[std::size_t(r * columns + k)] * x[k];
        y[std::size_t(r)] = sum;
    }
    return y;
}

// One time step of one sequence: replaces h and c, and writes the gates.
void step(const Shape& s, const UnitWeights& w, const double* x, std::vector<double>& h, std::vector<double>& c,
          double* gates, double& kink) {
    const std::size_t H = std::size_t(s.units);
    const std::vector<double> a = affine(w.w_ih, w.b_ih, x, s.gates()), b = affine(w.w_hh, w.b_hh, h.data(), s.gates());
    for (std::size_t u = 0; u < H; u++) {
        const auto sum = [&](std::size_t gate) { return a[gate * H + u] + b[gate * H + u]; };
        if (s.cell == Cell::lstm) {
            const double i = sigmoid(sum(0)), f = sigmoid(sum(1)), n = std::tanh(sum(2)), o = sigmoid(sum(3));
            c[u] = f * c[u] + i * n;
            h[u] = o * std::tanh(c[u]);
            gates[u] = i, gates[H + u] = f, gates[2 * H + u] = n, gates[3 * H + u] = o;
        } else if (s.cell == Cell::gru) {
            const double r = sigmoid(sum(0)), z = sigmoid(sum(1)), n = std::tanh(a[2 * H + u] + r * b[2 * H + u]);
            h[u] = (1 - z) * n + z * h[u];
            gates[u] = r, gates[H + u] = z, gates[2 * H + u] = n;
        } else {
            if (s.cell == Cell::rnn_relu && sum(0) != 0) kink = std::fmin(kink, std::fabs(sum(0)));
            gates[u] = h[u] = s.cell == Cell::rnn_tanh ? std::tanh(sum(0)) : std::fmax(sum(0), 0);
        }
    }
}

// One direction of one layer over in [B][T][I], from and to the states of its block.
Trace scan(const Data& data, const UnitWeights& w, bool reverse, const std::vector<double>& in, std::size_t block,
           Reference& out) {
    const Shape& s = data.shape;
    const std::size_t H = std::size_t(s.units), T = std::size_t(s.time), B = std::size_t(s.batch);
    const std::size_t I = in.size() / (B * T), G = std::size_t(s.gates());
    const bool cells = s.cell == Cell::lstm;
    Trace trace{std::vector<double>(B * T * G), std::vector<double>(B * T * H), {}};
    if (cells) trace.c.resize(B * T * H);
    for (std::size_t b = 0; b < B; b++) {
        const std::size_t at = (block * B + b) * H;
        std::vector<double> h(H, 0.0), c(H, 0.0);
        if (!data.h0.empty()) std::copy_n(&data.h0[at], H, h.begin());
        if (!data.c0.empty()) std::copy_n(&data.c0[at], H, c.begin());
        for (std::size_t k = 0; k < T; k++) {
            const std::size_t row = b * T + (reverse ? T - 1 - k : k);
            step(s, w, &in[row * I], h, c, &trace.gates[row * G], out.kink);
            std::copy_n(h.begin(), H, &trace.h[row * H]);
            if (cells) std::copy_n(c.begin(), H, &trace.c[row * H]);
        }
        std::copy_n(h.begin(), H, &out.hn[at]);
        if (cells) std::copy_n(c.begin(), H, &out.cn[at]);
    }
    return trace;
}

// Philox4x32-7: Salmon et al. (2011), "Parallel random numbers: as easy as 1, 2, 3".
std::uint32_t philox(std::uint64_t seed, std::uint32_t (&counter)[4], std::size_t word) {
    std::uint32_t k0 = std::uint32_t(seed), k1 = std::uint32_t(seed >> 32);
    for (int round = 0; round < 7; round++, k0 += 0x9E3779B9u, k1 += 0xBB67AE85u) {
        const std::uint64_t a = std::uint64_t(0xD2511F53u) * counter[0], b = std::uint64_t(0xCD9E8D57u) * counter[2];
        counter[0] = std::uint32_t(b >> 32) ^ counter[1] ^ k0;
        counter[2] = std::uint32_t(a >> 32) ^ counter[3] ^ k1;
        counter[1] = std::uint32_t(b);
        counter[3] = std::uint32_t(a);
    }
    return counter[word];
}

void drop(const Data& data, Index layer, std::vector<double>& rows) {
    const Shape& s = data.shape;
    for (Index i = 0; i < Index(rows.size()); i++) {
        const Index u = i % s.width(), t = i / s.width() % s.time, b = i / s.width() / s.time;
        std::uint32_t counter[4] = {std::uint32_t(u / 4), std::uint32_t(t), std::uint32_t(layer), std::uint32_t(b)};
        const bool kept = philox(data.seed, counter, std::size_t(u % 4)) < std::ldexp(1 - s.dropout, 32);
        rows[std::size_t(i)] = kept ? rows[std::size_t(i)] / (1 - s.dropout) : 0;
    }
}

}  // namespace

Reference reference(const Data& data) {
    const Shape& s = data.shape;
    const std::size_t H = std::size_t(s.units), D = std::size_t(s.directions), rows = std::size_t(s.batch * s.time);
    const std::size_t states = data.units.size() * std::size_t(s.batch) * H;
    Reference out;
    out.hn.resize(states);
    out.cn.resize(s.cell == Cell::lstm ? states : 0);
    std::vector<double> in = data.x;
    for (Index l = 0; l < s.layers; l++) {
        std::vector<double> y(rows * D * H);
        for (std::size_t d = 0; d < D; d++) {
            const std::size_t block = std::size_t(l) * D + d;
            out.units.push_back(scan(data, data.units[block], d == 1, in, block, out));
            for (std::size_t row = 0; row < rows; row++)
                std::copy_n(&out.units.back().h[row * H], H, &y[(row * D + d) * H]);
        }
        in = std::move(y);
        if (s.dropout > 0 && l + 1 < s.layers) drop(data, l, in);
    }
    out.y = std::move(in);
    return out;
}

}  // namespace tests
}  // namespace gatecast
