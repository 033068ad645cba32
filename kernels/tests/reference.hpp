// Recurrent stacks as their equations say, one number at a time in double: what the kernels are checked against.
#pragma once

#include <string>
#include <vector>

#include "kernels.hpp"

namespace gatecast {
namespace tests {

struct Shape {
    Cell cell = Cell::lstm;
    Index inputs = 2, units = 3, layers = 1, directions = 1, batch = 9, time = 4;
    bool bias = true, states = true;
    double dropout = 0;

    Index gates() const { return torch_gates(cell) * units; }
    Index width() const { return units * directions; }
    Index inputs_of(Index layer) const { return layer == 0 ? inputs : width(); }
    std::string text() const;
};

struct UnitWeights {
    std::vector<double> w_ih, w_hh, b_ih, b_hh;
};

// A network and a batch. Tensors are [batch][time][...]; states are [layer and direction][batch][unit].
struct Data {
    Shape shape;
    std::uint64_t seed;
    std::vector<UnitWeights> units;
    std::vector<double> x, h0, c0, dy, dhn, dcn;

    explicit Data(const Shape& shape, std::uint64_t seed = 1);
};

// What one direction of one layer did, in time order: gates [B][T][G H] in torch's order, h and c [B][T][H].
struct Trace {
    std::vector<double> gates, h, c;
};

struct Reference {
    std::vector<Trace> units;
    std::vector<double> y, hn, cn;
    double kink = 1;  // how near to its kink a relu came
};

Reference reference(const Data& data);

}  // namespace tests
}  // namespace gatecast
