// What one instruction set offers: plain structs and a table of functions, shared by the engine and the ISA files.
//
// Batch in the lanes. A slice holds `lanes` sequences; all its data are rows of `lanes` numbers (64 bytes), one row
// per unit: [time][unit][lane]. Index names: T time, I inputs, H units, K rows summed over.
//
// No templates of the standard library here or in the ISA files: the linker could keep the AVX-512 copy for everybody.
#pragma once

#include <cstdint>

namespace gatecast {

using Index = std::int64_t;

constexpr Index row_bytes = 64;

template <class S>
constexpr Index lanes_of = row_bytes / Index(sizeof(S));

enum class Cell { rnn_tanh = 0, rnn_relu = 1, lstm = 2, gru = 3 };

// Gate rows per unit in the order in which a kernel keeps them, and as torch.nn stacks them in its weights.
//   rnn   n             lstm  i f n o             gru  n r z q  (torch: r z n; q = W_hn h + b_hn, the candidate's
//                                                               recurrent part, which the reset gate multiplies)
constexpr Index kept_rows(Cell cell) { return cell == Cell::lstm || cell == Cell::gru ? 4 : 1; }
constexpr Index torch_gates(Cell cell) { return cell == Cell::lstm ? 4 : cell == Cell::gru ? 3 : 1; }

// One direction of one layer, its weights packed for this instruction set.
template <class S>
struct Packed {
    Cell cell;
    Index inputs, units;
    const S* forward;   // panels of gate rows over [x; h]
    const S* backward;  // panels of x rows, then of h rows, over gate rows
    const S* bias;      // [kept_rows H]
};

// A scan over time. `out` row t + 1 is h after time t; row 0 (backwards in time: row T + 1) is the initial state.
// A stride of zero keeps one step only: inference saves nothing.
template <class S>
struct Scan {
    Packed<S> layer;
    bool reverse;
    Index time;
    const S* in;      // [T][I], row t
    Index in_stride;  // numbers from one time step to the next
    S* out;           // [T + 2][H], strided: directions stand side by side
    Index out_stride;
    S* gates;  // [T][kept_rows H]
    Index gates_stride;
    S* cells;  // [T + 1][H] in the order of the scan: c before step s at row s (LSTM only)
    Index cells_stride;
};

// Back through the same scan: gradients of pre-activations into `dgates`, of states into `dout`, of inputs into `din`.
template <class S>
struct ScanBack {
    Scan<S> scan;
    S* dgates;  // [T][kept_rows H]
    S* dout;    // [T + 2][H] strided as `out`: holds dy, gains what flows back in time; ends with dh0 in its edge row
    S* dcells;  // [H]: dc_n in, dc_0 out
    S* din;     // [T][I] rows of stride in_stride_back, or null where nobody wants them
    Index din_stride;
    bool din_add;
};

// weights[m][n] (+)= sum over time and lanes of d[t][m] x[t][n].
template <class S>
struct Product {
    const S* d;
    Index d_stride, rows;
    const S* x;
    Index x_stride, columns;
    Index time;
    S* weights;
    Index ld;
    bool add;
};

// Between [batch][time][unit] tensors of any strides and rows of lanes.
template <class S>
struct Rows {
    S* rows;
    Index row_stride;  // numbers from one time step to the next
    S* tensor;
    Index time_stride, batch_stride;
    Index time, units, valid;  // valid: lanes that hold a sequence
};

// One counter-based dropout mask: keep where the word of (seed; unit / 4, time, layer, batch)[unit % 4] < threshold.
struct Dropout {
    std::uint64_t seed;
    std::uint32_t threshold;  // keep probability times 2^32
    double scale;
    std::uint32_t layer, first;  // first: batch index of lane 0
};

// One step with the units in the lanes, for streams and tiny batches; weights [k][rows], rows padded to whole vectors.
template <class S>
struct Step {
    Cell cell;
    Index inputs, units;
    const S* weights;
    const S* bias;
    S* scratch;
    const S* x;
    const S* h;
    const S* c;
    S* h_next;
    S* c_next;
};

template <class S>
struct Kernels {
    Index (*forward_size)(Cell, Index inputs, Index units);
    void (*pack_forward)(Cell, Index inputs, Index units, const S* w_ih, const S* w_hh, S* to);
    void (*pack_backward)(Cell, Index inputs, Index units, const S* w_ih, const S* w_hh, S* to);
    void (*forward)(const Scan<S>&);
    void (*backward)(const ScanBack<S>&);
    void (*product)(const Product<S>&);
    void (*row_sums)(const S* d, Index stride, Index rows, Index time, S* sums, bool add);
    void (*gather)(const Rows<const S>&, S* to);
    void (*scatter)(const Rows<S>&, const S* from);
    void (*clear)(S* rows, Index count, Index valid);  // zeroes the lanes from `valid` on
    void (*drop)(const Dropout&, Index time, Index units, const S* from, S* to);
    Index (*step_size)(Cell, Index inputs, Index units);
    Index (*step_scratch)(Cell, Index units);
    void (*pack_step)(Cell, Index inputs, Index units, const S* w_ih, const S* w_hh, S* to);
    void (*step)(const Step<S>&);
    void (*dot)(const S* weights, const S* bias, const S* x, Index rows, Index columns, S* y);
    double (*peak)(Index rounds, S* sink);  // floating-point operations done by independent FMA chains
};

}  // namespace gatecast
