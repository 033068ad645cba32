// The two products that take nearly all of the time, tiled so that every accumulator stays in a register.
//
// multiply  c[m] = start + sum_k a[m][k] x[k]: weights packed in panels of some rows, [panel][k][row], so that they
//           stream; one accumulator per output and k in order, so that a step with units in the lanes gives the same
//           bits.
// product   w[m][n] = sum over time and lanes of d[m] x[n]: a dot-product tile, its lanes added at the end.
#pragma once

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

template <class S, int... R>
struct Numbers {
    static constexpr Panel<S> all[] = {&panel<S, R + 1>...};
};

template <class S, int N, int... R>
struct Panels : Panels<S, N - 1, N - 1, R...> {};
template <class S, int... R>
struct Panels<S, 0, R...> : Numbers<S, R...> {};

// Calls f(first row, rows) for panels of nearly equal height.
template <class S, class F>
GATECAST_INLINE void for_panels(Index rows, F f) {
    const Index count = (rows + Tile<S>::rows - 1) / Tile<S>::rows;
    for (Index p = 0, at = 0; p < count; p++) {
        const Index height = rows / count + (p < rows % count);
        f(at, height);
        at += height;
    }
}

template <class S>
void multiply(const S* packed, Index rows, Segment<S> x, Segment<S> h, Start start, const S* bias, S* to) {
    const Index depth = x.count + h.count;
    for_panels<S>(rows, [&](Index m, Index height) {
        const Panel<S> run = Panels<S, Tile<S>::rows>::all[height - 1];
        run(packed + m * depth, x, h, start, bias ? bias + m : nullptr, to + m * lanes_of<S>);
    });
}

// Pack `rows` x `depth` values w(row, k) into panels.
template <class S, class W>
GATECAST_INLINE S* pack(Index rows, Index depth, S* to, W w) {
    for_panels<S>(rows, [&](Index m, Index height) {
        for (Index k = 0; k < depth; k++)
            for (Index i = 0; i < height; i++) to[m * depth + k * height + i] = w(m + i, k);
    });
    return to + rows * depth;
}


// [a0 + a1, ...]: adds the halves of every segment of `segment` lanes of a and b, a's sum before b's.
template <class S, int segment, int... P>
struct Fold {
    static constexpr int width = Simd<S>::width, half = segment / 2;
    static constexpr int from(int p) {
        return p % segment < half ? p : p - half + width;  // from a, or from b
    }
    static GATECAST_INLINE Vec<S> add(Vec<S> a, Vec<S> b) {
#if defined(__clang__)
        return __builtin_shufflevector(a, b, from(P)...) + __builtin_shufflevector(a, b, (from(P) + half)...);
#else
        typedef decltype(Vec<S>{} < Vec<S>{}) Mask;
        return __builtin_shuffle(a, b, Mask{from(P)...}) + __builtin_shuffle(a, b, Mask{(from(P) + half)...});
#endif
    }
};

template <class S, int segment, int N, int... P>
struct Folding : Folding<S, segment, N - 1, N - 1, P...> {};
template <class S, int segment, int... P>
struct Folding<S, segment, 0, P...> : Fold<S, segment, P...> {};

// The lane sums of `width` vectors, as the lanes of one vector.
template <class S, int count = Simd<S>::width>
GATECAST_INLINE Vec<S> lane_sums(const Vec<S>* v) {
    if constexpr (count == 1) {
        return v[0];
    } else {
        Vec<S> half[count / 2];
#pragma GCC unroll 16
        for (int i = 0; i < count / 2; i++)
            half[i] = Folding<S, count, Simd<S>::width>::add(v[i], v[i + count / 2]);
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

template <class S, int M, int N>
void product_row(const Product<S>& p, Index m) {
    Index n = 0;
    for (; n + N <= p.columns; n += N) product_tile<S, M, N>(p, m, n);
    for (; n < p.columns; n++) product_tile<S, M, 1>(p, m, n);
}

template <class S>
void product(const Product<S>& p) {
    constexpr int M = Tile<S>::d, N = Tile<S>::x;
    Index m = 0;
    for (; m + M <= p.rows; m += M) product_row<S, M, N>(p, m);
    for (; m < p.rows; m++) product_row<S, 1, N>(p, m);
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
