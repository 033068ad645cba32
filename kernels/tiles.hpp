// The two products that take nearly all of the time, tiled so that every accumulator stays in a register.
//
// multiply  c[m] = start + sum_k a[m][k] x[k]: weights packed in panels of some rows, [panel][k][row], so that they
//           stream; one accumulator per output and k in order, so that a step with units in the lanes gives the same
//           bits.
// product   w[m][n] = sum over time and lanes of d[m] x[n]: a dot-product tile, its lanes added at the end.
#pragma once

#include <utility>

#include "isa.hpp"

namespace gatecast {
namespace GATECAST_ISA {

// Largest panel, and the product's tile: chosen per ISA by its registers. double serves checks, not speed.
template <class S>
struct Tile {
    static constexpr int rows = sizeof(S) == 8 ? 4 : GATECAST_PANEL_ROWS;
    static constexpr int d = sizeof(S) == 8 ? 2 : GATECAST_PRODUCT_D;
    static constexpr int x = sizeof(S) == 8 ? 2 : GATECAST_PRODUCT_X;
};

template <class S>
struct Segment {
    const S* rows;
    Index count;
};

enum class Start { zero, bias, add };

template <class S, int R>
GATECAST_INLINE const S* accumulate(const S* a, Segment<S> x, Vec<S> (&c)[R][per_row]) {
    constexpr int width = Simd<S>::width;
    const S* b = x.rows;
    for (Index k = 0; k < x.count; k++, a += R, b += per_row * width) {
        Vec<S> row[per_row];
#pragma GCC unroll 8
        for (int v = 0; v < per_row; v++) row[v] = load(b + v * width);
#pragma GCC unroll 32
        for (int i = 0; i < R; i++) {
            const Vec<S> w = splat(a[i]);
#pragma GCC unroll 8
            for (int v = 0; v < per_row; v++) c[i][v] = fma(w, row[v], c[i][v]);
        }
    }
    return a;
}

template <class S, int R>
void panel(const S* a, Segment<S> x, Segment<S> h, Start start, const S* bias, S* to) {
    constexpr int width = Simd<S>::width;
    Vec<S> c[R][per_row];
#pragma GCC unroll 32
    for (int i = 0; i < R; i++)
#pragma GCC unroll 8
        for (int v = 0; v < per_row; v++)
            c[i][v] = start == Start::add    ? load(to + (i * per_row + v) * width)
                      : start == Start::bias ? splat(bias[i])
                                             : Vec<S>{};
    a = accumulate<S, R>(a, x, c);
    accumulate<S, R>(a, h, c);
#pragma GCC unroll 32
    for (int i = 0; i < R; i++)
#pragma GCC unroll 8
        for (int v = 0; v < per_row; v++) store(to + (i * per_row + v) * width, c[i][v]);
}

template <class S>
using Panel = void (*)(const S*, Segment<S>, Segment<S>, Start, const S*, S*);

// The panels of 1, 2, ... rows.
template <class S, int... R>
constexpr Panel<S> panel_of(std::integer_sequence<int, R...>, Index rows) {
    constexpr Panel<S> all[] = {&panel<S, R + 1>...};
    return all[rows - 1];
}

// Calls f(first, count) for the fewest parts of at most `most` rows, of nearly equal height.
template <class F>
GATECAST_INLINE void in_parts(Index rows, Index most, F f) {
    const Index parts = (rows + most - 1) / most;
    for (Index p = 0, at = 0; p < parts; p++) {
        const Index height = rows / parts + (p < rows % parts);
        f(at, height);
        at += height;
    }
}

template <class S>
void multiply(const S* packed, Index rows, Segment<S> x, Segment<S> h, Start start, const S* bias, S* to) {
    const Index depth = x.count + h.count;
    in_parts(rows, Tile<S>::rows, [&](Index m, Index height) {
        const Panel<S> run = panel_of<S>(std::make_integer_sequence<int, Tile<S>::rows>(), height);
        run(packed + m * depth, x, h, start, bias ? bias + m : nullptr, to + m * lanes_of<S>);
    });
}

// Pack `rows` x `depth` values w(row, k) into panels.
template <class S, class W>
GATECAST_INLINE S* pack(Index rows, Index depth, S* to, W w) {
    in_parts(rows, Tile<S>::rows, [&](Index m, Index height) {
        for (Index k = 0; k < depth; k++)
            for (Index i = 0; i < height; i++) to[m * depth + k * height + i] = w(m + i, k);
    });
    return to + rows * depth;
}


// Adds the halves of every segment of `segment` lanes of a and b: a's sums stand before b's.
template <class S, int segment, int... P>
GATECAST_INLINE Vec<S> fold(Vec<S> a, Vec<S> b, std::integer_sequence<int, P...>) {
    constexpr int width = Simd<S>::width, half = segment / 2;
    constexpr auto from = [](int p) { return p % segment < half ? p : p - half + width; };  // a's lane, or b's
#if defined(__clang__)
    return __builtin_shufflevector(a, b, from(P)...) + __builtin_shufflevector(a, b, (from(P) + half)...);
#else
    typedef decltype(a < b) Mask;
    return __builtin_shuffle(a, b, Mask{from(P)...}) + __builtin_shuffle(a, b, Mask{(from(P) + half)...});
#endif
}

// The lane sums of `width` vectors, as the lanes of one vector.
template <class S, int count = Simd<S>::width>
GATECAST_INLINE Vec<S> lane_sums(const Vec<S>* v) {
    if constexpr (count == 1) {
        return v[0];
    } else {
        Vec<S> half[count / 2];
#pragma GCC unroll 16
        for (int i = 0; i < count / 2; i++)
            half[i] = fold<S, count>(v[i], v[i + count / 2], std::make_integer_sequence<int, Simd<S>::width>());
        return lane_sums<S, count / 2>(half);
    }
}

template <class S, int M, int N>
void product_tile(const Product<S>& p, Index m, Index n) {
    constexpr int width = Simd<S>::width, padded = (M * N + width - 1) / width * width;
    Vec<S> c[M][N] = {};
    const S* d = p.d + m * lanes_of<S>;
    const S* x = p.x + n * lanes_of<S>;
    for (Index t = 0; t < p.time; t++, d += p.d_stride, x += p.x_stride)
#pragma GCC unroll 8
        for (int v = 0; v < per_row; v++) {
            Vec<S> column[N];
#pragma GCC unroll 8
            for (int j = 0; j < N; j++) column[j] = load(x + (j * per_row + v) * width);
#pragma GCC unroll 8
            for (int i = 0; i < M; i++) {
                const Vec<S> row = load(d + (i * per_row + v) * width);
#pragma GCC unroll 8
                for (int j = 0; j < N; j++) c[i][j] = fma(row, column[j], c[i][j]);
            }
        }
    alignas(64) Vec<S> all[padded] = {};
    alignas(64) S sums[padded];
    for (int i = 0; i < M; i++)
        for (int j = 0; j < N; j++) all[i * N + j] = c[i][j];
    for (int at = 0; at < padded; at += width) store(sums + at, lane_sums<S>(all + at));
    for (int i = 0; i < M; i++) {
        S* w = p.weights + (m + i) * p.ld + n;
        for (int j = 0; j < N; j++) w[j] = p.add ? w[j] + sums[i * N + j] : sums[i * N + j];
    }
}

template <class S>
using ProductTile = void (*)(const Product<S>&, Index, Index);

// The tiles of 1, 2, ... rows by 1, 2, ... columns.
template <class S, int... T>
constexpr ProductTile<S> product_tile_of(std::integer_sequence<int, T...>, Index rows, Index columns) {
    constexpr int wide = Tile<S>::x;
    constexpr ProductTile<S> all[] = {&product_tile<S, T / wide + 1, T % wide + 1>...};
    return all[(rows - 1) * wide + columns - 1];
}

template <class S>
void product(const Product<S>& p) {
    constexpr auto tiles = std::make_integer_sequence<int, Tile<S>::d * Tile<S>::x>();
    in_parts(p.rows, Tile<S>::d, [&](Index m, Index rows) {
        in_parts(p.columns, Tile<S>::x,
                 [&](Index n, Index columns) { product_tile_of<S>(tiles, rows, columns)(p, m, n); });
    });
}

template <class S>
void row_sums(const S* d, Index stride, Index rows, Index time, S* sums, bool add) {
    constexpr int width = Simd<S>::width;
    for (Index m = 0; m < rows; m++) {
        Vec<S> total[width] = {};
        const S* at = d + m * lanes_of<S>;
        for (Index t = 0; t < time; t++, at += stride)
            for (int v = 0; v < per_row; v++) total[0] += load(at + v * width);
        const S sum = lane_sums<S>(total)[0];
        sums[m] = add ? sums[m] + sum : sum;
    }
}

}  // namespace GATECAST_ISA
}  // namespace gatecast
