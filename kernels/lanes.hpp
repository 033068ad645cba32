// Between tensors and rows of lanes, and dropout on rows of lanes.
#pragma once

#include "isa.hpp"

namespace gatecast {
namespace GATECAST_ISA {

// Empty lanes hold zero.
template <class S>
void gather(const Rows<const S>& r, S* to) {
    constexpr Index L = lanes_of<S>;
    for (Index t = 0; t < r.time; t++) {
        S* rows = to + t * r.row_stride;
        for (Index lane = 0; lane < L; lane++) {
            const S* from = r.tensor + t * r.time_stride + lane * r.batch_stride;
            for (Index u = 0; u < r.units; u++) rows[u * L + lane] = lane < r.valid ? from[u] : S(0);
        }
    }
}

template <class S>
void clear(S* rows, Index count, Index valid) {
    for (Index i = 0; i < count; i++, rows += lanes_of<S>)
        for (Index lane = valid; lane < lanes_of<S>; lane++) rows[lane] = 0;
}

template <class S>
void scatter(const Rows<S>& r, const S* from) {
    constexpr Index L = lanes_of<S>;
    for (Index t = 0; t < r.time; t++)
        for (Index lane = 0; lane < r.valid; lane++) {
            S* to = r.tensor + t * r.time_stride + lane * r.batch_stride;
            const S* row = from + t * r.row_stride + lane;
            for (Index u = 0; u < r.units; u++) to[u] = row[u * L];
        }
}

// Philox4x32-7 (Salmon et al., 2011) of L lanes: words[w][lane], counter (block, time, layer, batch), key the seed. The
// upper halves of the 64-bit lanes hold rubbish, which `times` does not see.
template <Index L>
GATECAST_INLINE void philox_rows(const Dropout& d, std::uint32_t block, std::uint32_t time, std::uint32_t (&words)[4][L]) {
    constexpr Index wide = vector_bytes / 8;
    const Words a = Words{} + 0xD2511F53u, b = Words{} + 0xCD9E8D57u;
    for (Index lane = 0; lane < L; lane += wide) {
        Words sequence{};
        for (Index i = 0; i < wide; i++) sequence[i] = d.first + std::uint32_t(lane + i);
        Words w[4] = {Words{} + block, Words{} + time, Words{} + d.layer, sequence};
        std::uint32_t k0 = std::uint32_t(d.seed), k1 = std::uint32_t(d.seed >> 32);
#pragma GCC unroll 7
        for (int round = 0; round < 7; round++, k0 += 0x9E3779B9u, k1 += 0xBB67AE85u) {
            const Words p = times(a, w[0]), q = times(b, w[2]);
            w[0] = (q >> 32) ^ w[1] ^ (Words{} + k0);
            w[2] = (p >> 32) ^ w[3] ^ (Words{} + k1);
            w[1] = q;
            w[3] = p;
        }
        typedef std::uint32_t Half __attribute__((vector_size(vector_bytes / 2), aligned(4), may_alias));
        for (int j = 0; j < 4; j++) *reinterpret_cast<Half*>(&words[j][lane]) = __builtin_convertvector(w[j], Half);
    }
}

// [T][units] rows, both contiguous: to = from * (kept ? scale : 0). `from` and `to` may be the same.
template <class S>
void drop(const Dropout& d, Index time, Index units, const S* from, S* to) {
    constexpr Index L = lanes_of<S>;
    const S scale = S(d.scale);
    const std::uint32_t threshold = d.threshold;
    for (Index t = 0; t < time; t++)
        for (Index u = 0; u < units; u += 4) {
            alignas(64) std::uint32_t words[4][L];
            philox_rows<L>(d, std::uint32_t(u / 4), std::uint32_t(t), words);
            const Index count = units - u < 4 ? units - u : 4, at = (t * units + u) * L;
            for (Index j = 0; j < count; j++) {
                alignas(64) S factor[L];
                for (Index i = 0; i < L; i++) factor[i] = words[j][i] < threshold ? scale : S(0);
                for (Index i = 0; i < L; i++) to[at + j * L + i] = from[at + j * L + i] * factor[i];
            }
        }
}

}  // namespace GATECAST_ISA
}  // namespace gatecast
