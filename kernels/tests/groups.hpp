// The groups of checks: each for one instruction set, but for those of threads and memory.
#pragma once

#include "dispatch.hpp"

namespace gatecast {
namespace tests {

void check_values(Isa isa);
void check_wide_layers(Isa isa);
void check_gradients(Isa isa);
void check_float_gradients(Isa isa);
void check_absent_tensors(Isa isa);
void check_threads(Isa isa);
void check_steps(Isa isa);
void check_not_a_number(Isa isa);
void check_free_run(Isa isa);
void check_two_callers(Isa isa);
void check_fork(Isa isa);
void check_dispatch();
void check_pool();
void check_workspace();

}  // namespace tests
}  // namespace gatecast
