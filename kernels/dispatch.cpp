#include "dispatch.hpp"

#include <stdexcept>

namespace gatecast {

#define GATECAST_DECLARE(isa)           \
    namespace isa {                     \
    extern const Kernels<float> f32;    \
    extern const Kernels<double> f64;   \
    }
GATECAST_DECLARE(baseline)
#if defined(__x86_64__) || defined(_M_X64)
GATECAST_DECLARE(avx2)
GATECAST_DECLARE(avx512)
#endif

std::string name_of(Isa isa) {
    return isa == Isa::avx512 ? "avx512" : isa == Isa::avx2 ? "avx2" : "baseline";
}

std::vector<std::string> available_isas() {
    std::vector<std::string> found{"baseline"};
#if defined(__x86_64__) || defined(_M_X64)
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) found.push_back("avx2");
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512bw") &&
        __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("fma"))
        found.push_back("avx512");
#endif
    return found;
}

Isa choose_isa(const std::string& name) {
    const auto found = available_isas();
    const std::string wanted = name.empty() ? found.back() : name;
    std::string list;
    for (const auto& each : found) {
        if (each == wanted) return each == "avx512" ? Isa::avx512 : each == "avx2" ? Isa::avx2 : Isa::baseline;
        list += (list.empty() ? "" : ", ") + each;
    }
    throw std::invalid_argument("GATECAST_ISA=" + name + " cannot run here; expected one of " + list);
}

template <class S>
static const Kernels<S>& choose(const Kernels<S>& plain, const Kernels<S>& two, const Kernels<S>& five, Isa isa) {
    return isa == Isa::avx512 ? five : isa == Isa::avx2 ? two : plain;
}

#if defined(__x86_64__) || defined(_M_X64)
template <>
const Kernels<float>& kernels_of<float>(Isa isa) {
    return choose(baseline::f32, avx2::f32, avx512::f32, isa);
}
template <>
const Kernels<double>& kernels_of<double>(Isa isa) {
    return choose(baseline::f64, avx2::f64, avx512::f64, isa);
}
#else
template <>
const Kernels<float>& kernels_of<float>(Isa) {
    return baseline::f32;
}
template <>
const Kernels<double>& kernels_of<double>(Isa) {
    return baseline::f64;
}
#endif

}  // namespace gatecast
