// Checks of the kernels without Python: for every instruction set that this processor has.
#include <chrono>

#include "check.hpp"
#include "groups.hpp"

namespace {

using gatecast::tests::passed;

template <class F>
void group(const char* name, const std::string& where, F f) {
    const auto start = std::chrono::steady_clock::now();
    const long before = passed;
    gatecast::tests::situation = where + " " + name;
    f();
    const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    std::printf("%-9s %-58s %6ld checks %6.1f s\n", where.c_str(), name, passed - before, seconds);
    std::fflush(stdout);
}

void groups_of(const std::string& name, bool forks) {
    using namespace gatecast::tests;
    const gatecast::Isa isa = gatecast::choose_isa(name);
    group("values, final states and records against the reference", name, [&] { check_values(isa); });
    group("wide layers against the reference", name, [&] { check_wide_layers(isa); });
    group("gradients in double against finite differences", name, [&] { check_gradients(isa); });
    group("gradients in float against those in double", name, [&] { check_float_gradients(isa); });
    group("absent tensors", name, [&] { check_absent_tensors(isa); });
    group("the same bits for any number of threads", name, [&] { check_threads(isa); });
    group("the same bits step by step", name, [&] { check_steps(isa); });
    group("NaN stays in its sequence", name, [&] { check_not_a_number(isa); });
    group("free runs", name, [&] { check_free_run(isa); });
    group("two callers at once", name, [&] { check_two_callers(isa); });
    if (forks) group("after a fork", name, [&] { check_fork(isa); });
}

}  // namespace

// --no-fork: QEMU's user mode gives up when a forked child starts a thread.
int main(int count, char** words) {
    const bool forks = count < 2 || std::string(words[1]) != "--no-fork";
    using namespace gatecast::tests;
    group("choice of instruction set", "any", check_dispatch);
    group("pool of threads", "any", check_pool);
    group("workspace", "any", check_workspace);
    for (const std::string& name : gatecast::available_isas()) groups_of(name, forks);
    std::printf("%ld checks passed\n", passed.load());
}
