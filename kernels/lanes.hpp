// Between tensors and rows of lanes, and dropout on rows of lanes.
#pragma once

#include "isa.hpp"

namespace gatecast {
namespace GATECAST_ISA {

// Empty lanes repeat the last sequence (so that they are finite where it is), or hold zero.
template <class S>
void gather(const Rows<const S>& r, S* to, bool repeat_last) {
    constexpr Index L = lanes_of<S>;
    for (Index t = 0; t < r.time; t++) {
        S* rows = to + t * r.row_stride;
        for (Index lane = 0; lane < L; lane++) {
            const bool filled = lane < r.valid;
            const S* from = r.tensor + t * r.time_stride + (filled ? lane : r.valid - 1) * r.batch_stride;
            if (filled || repeat_last)
                for (Index u = 0; u < r.units; u++) rows[u * L + lane] = from[u];
            else
                for (Index u = 0; u < r.units; u++) rows[u * L + lane] = 0;
        }
    }
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

// Philox4x32-10 (Salmon et al., 2011) of all lanes: words[w][lane], counter (block, time, layer, batch), key the seed.
template <Index L>
GATECAST_INLINE void philox_rows(const Dropout& d, std::uint32_t block, std::uint32_t time, std::uint32_t (&w)[4][L]) {
    std::uint32_t k0 = std::uint32_t(d.seed), k1 = std::uint32_t(d.seed >> 32);
    for (Index i = 0; i < L; i++) {
        w[0][i] = block;
        w[1][i] = time;
        w[2][i] = d.layer;
        w[3][i] = d.first + std::uint32_t(i);
    }
    for (int round = 0; round < 10; round++, k0 += 0x9E3779B9u, k1 += 0xBB67AE85u)
        for (Index i = 0; i < L; i++) {
            const std::uint64_t a = std::uint64_t(0xD2511F53u) * w[0][i], b = std::uint64_t(0xCD9E8D57u) * w[2][i];
            w[0][i] = std::uint32_t(b >> 32) ^ w[1][i] ^ k0;
            w[2][i] = std::uint32_t(a >> 32) ^ w[3][i] ^ k1;
            w[1][i] = std::uint32_t(b);
            w[3][i] = std::uint32_t(a);
        }
}

// [T][units] rows, both contiguous: to = from * (kept ? scale : 0). `from` and `to` may be the same.
template <class S>
void drop(const Dropout& d, Index time, Index units, const S* from, S* to) {
    constexpr Index L = lanes_of<S>;
    const S scale = S(d.scale);
    for (Index t = 0; t < time; t++)
        for (Index u = 0; u < units; u += 4) {
            alignas(64) std::uint32_t words[4][L];
            philox_rows<L>(d, std::uint32_t(u / 4), std::uint32_t(t), words);
            const Index count = units - u < 4 ? units - u : 4, at = (t * units + u) * L;
            for (Index j = 0; j < count; j++)
                for (Index i = 0; i < L; i++)
                    to[at + j * L + i] = from[at + j * L + i] * (words[j][i] < d.threshold ? scale : S(0));
        }
}

}  // namespace GATECAST_ISA
}  // namespace gatecast
