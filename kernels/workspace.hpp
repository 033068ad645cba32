// Memory for what forward keeps for backward: given back, it is kept warm for the next step of training.
#pragma once

#include "kernels.hpp"

namespace gatecast {

// Aligned memory of at least `bytes`, its contents unknown.
void* borrow(Index bytes);
void give_back(void* memory);

}  // namespace gatecast
