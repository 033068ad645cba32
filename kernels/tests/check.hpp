// Checks that count themselves, and memory as large as asked for and no larger, so that AddressSanitizer sees overruns.
#pragma once

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "kernels.hpp"

namespace gatecast {
namespace tests {

inline std::atomic<long> passed{0};
inline std::string situation;  // what is being checked; set while only one thread runs

[[noreturn]] inline void fail(const std::string& what) {
    std::printf("FAILED  %s: %s\n", situation.c_str(), what.c_str());
    std::fflush(stdout);
    std::_Exit(1);
}

inline void check(bool ok, const char* what) {
    if (!ok) fail(what);
    passed++;
}

// Largest difference relative to the largest expected number (or to 1, if that is larger).
template <class S, class R>
void near(const char* what, const S* got, const R* wanted, Index count, double tolerance) {
    double scale = 1;
    for (Index i = 0; i < count; i++) scale = std::max(scale, std::fabs(double(wanted[i])));
    for (Index i = 0; i < count; i++)
        if (!(std::fabs(double(got[i]) - double(wanted[i])) <= tolerance * scale))
            fail(std::string(what) + "[" + std::to_string(i) + "] is " + std::to_string(got[i]) + ", not " +
                 std::to_string(wanted[i]) + " (off by " +
                 std::to_string(std::fabs(double(got[i]) - double(wanted[i])) / (tolerance * scale)) + " tolerances)");
    passed++;
}

template <class S>
void same_bits(const char* what, const S* got, const S* wanted, Index count) {
    for (Index i = 0; i < count; i++)
        if (std::memcmp(got + i, wanted + i, sizeof(S)) != 0)
            fail(std::string(what) + "[" + std::to_string(i) + "] is " + std::to_string(got[i]) + ", not the bits of " +
                 std::to_string(wanted[i]));
    passed++;
}

constexpr double untouched = -12345.0;  // fills what a kernel has yet to write

// `count` numbers that end where their memory ends, and that start off any vector's alignment.
template <class S>
class Exact {
   public:
    Exact() = default;
    explicit Exact(Index count) : memory_(new S[std::size_t(count) + 1]), size_(count) {
        std::fill_n(memory_.get(), count + 1, S(untouched));
    }
    explicit Exact(const std::vector<double>& from) : Exact(Index(from.size())) {
        std::copy(from.begin(), from.end(), get());
    }
    Exact(Exact&&) = default;
    Exact& operator=(Exact&&) = default;
    ~Exact() {
        if (memory_ && memory_[0] != S(untouched)) fail("a kernel wrote before the start of a buffer");
    }
    S* get() const { return memory_ ? memory_.get() + 1 : nullptr; }
    S& operator[](Index i) const { return get()[i]; }
    Index size() const { return size_; }

   private:
    std::unique_ptr<S[]> memory_;
    Index size_ = 0;
};

template <class S>
void near(const char* what, const Exact<S>& got, const std::vector<double>& wanted, double tolerance) {
    check(got.size() == Index(wanted.size()), what);
    near(what, got.get(), wanted.data(), got.size(), tolerance);
}

template <class S>
void same_bits(const char* what, const Exact<S>& got, const Exact<S>& wanted) {
    check(got.size() == wanted.size(), what);
    same_bits(what, got.get(), wanted.get(), got.size());
}

// Runs f on a thread of its own, whose scratch starts empty and so has exactly the size of the first call.
template <class F>
void afresh(F f) {
    std::thread(f).join();
}

// A small generator, the same everywhere: numbers in (-1, 1) that a float can hold.
class Random {
   public:
    explicit Random(std::uint64_t seed) : state_(seed * 2654435761u + 1) {}
    double next() {
        state_ = state_ * 6364136223846793005u + 1442695040888963407u;
        return double(float(std::int32_t(state_ >> 32)) / 2147483904.0f);
    }
    std::vector<double> numbers(Index count, double scale = 1) {
        std::vector<double> all(static_cast<std::size_t>(count));
        for (double& each : all) each = double(float(scale * next()));
        return all;
    }

   private:
    std::uint64_t state_;
};

}  // namespace tests
}  // namespace gatecast
