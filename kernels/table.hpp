// The table of an instruction set: the last thing that each ISA file includes.
#pragma once

#include "lanes.hpp"
#include "scan.hpp"
#include "step.hpp"

namespace gatecast {
namespace GATECAST_ISA {

template <class S>
Index forward_size(Cell cell, Index inputs, Index units) {
    return torch_gates(cell) * units * (inputs + units);
}

template <class S>
constexpr Kernels<S> kernels = {
    &forward_size<S>, &pack_forward<S>, &pack_backward<S>, &forward<S>, &backward<S>,     &product<S>,
    &row_sums<S>,     &gather<S>,       &scatter<S>, &clear<S>, &drop<S>,    &step_size<S>,    &step_scratch<S>,
    &pack_step<S>,    &step<S>,         &dot<S>,           &peak<S>,
};

extern const Kernels<float> f32;
extern const Kernels<double> f64;
const Kernels<float> f32 = kernels<float>;
const Kernels<double> f64 = kernels<double>;

}  // namespace GATECAST_ISA
}  // namespace gatecast
