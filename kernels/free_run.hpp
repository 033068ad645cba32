// Networks that feed on their own outputs.
#pragma once

#include "stack.hpp"

namespace gatecast {

// y = head [C][F] h + head_bias + skip applied to the newest `lags` rows of the window (skip [lags C][C], as x @ skip).
template <class S>
struct Readout {
    const S *head, *head_bias, *skip, *skip_bias;
    Index lags;
};

// A network with its frozen weights.
template <class S>
struct Feedback {
    Stack<S>* stack;
    Readout<S> readout;
};

// Writes `steps` rows of C columns on from each of N windows [N][L][C] into path [N][steps][C]; the mean of all
// networks is fed back. Sliding: each step rescans the window from a zero state. Carrying: the window is read once, then
// every row written is read as one more step.
template <class S>
void free_run(const std::vector<Feedback<S>>& networks, Index origins, Index look_back, Index columns, S* windows,
              Index steps, bool carry, double* path, int threads);

}  // namespace gatecast
