// Which instruction set runs: the best that the processor has, or the one that GATECAST_ISA names.
#pragma once

#include <string>
#include <vector>

#include "kernels.hpp"

namespace gatecast {

enum class Isa { baseline, avx2, avx512 };

std::vector<std::string> available_isas();

// Raises std::invalid_argument for a name that is unknown or that this processor lacks.
Isa choose_isa(const std::string& name);
std::string name_of(Isa isa);

template <class S>
const Kernels<S>& kernels_of(Isa isa);

}  // namespace gatecast
