// A recurrent stack: its layers, its weights in the kernels' order, and where a slice of the batch keeps its memory.
#pragma once

#include <memory>
#include <new>
#include <vector>

#include "dispatch.hpp"

namespace gatecast {

// Aligned memory that only grows; its contents are lost when it does.
template <class S>
class Buffer {
   public:
    S* at_least(Index count) {
        if (count > size_) {
            memory_.reset();
            memory_.reset(static_cast<S*>(::operator new(std::size_t(count) * sizeof(S), alignment)));
            size_ = count;
        }
        return memory_.get();
    }
    S* get() const { return memory_.get(); }

   private:
    static constexpr std::align_val_t alignment{std::size_t(row_bytes)};
    struct Free {
        void operator()(S* at) const { ::operator delete(at, alignment); }
    };
    std::unique_ptr<S, Free> memory_;
    Index size_ = 0;
};

// Scratch of the thread that asks, until it asks again.
template <class S>
S* arena(Index count) {
    thread_local Buffer<S> memory;
    return memory.at_least(count);
}

struct Layer {
    Cell cell;
    Index inputs, units, directions;
    Index width() const { return units * directions; }
    Index gates() const { return torch_gates(cell) * units; }
    Index kept() const { return kept_rows(cell) * units; }
    bool has_cells() const { return cell == Cell::lstm; }
    bool gate_is_state() const { return cell == Cell::rnn_tanh || cell == Cell::rnn_relu; }
};

// The weights of one direction as torch.nn holds them; biases are null where there are none.
template <class S>
struct Weights {
    const S *w_ih, *w_hh, *b_ih, *b_hh;
};

// One direction of one layer, and where its parts begin: in the flat gradient, in the flat states (in units), in the
// packed weights.
template <class S>
struct Unit {
    Layer layer;
    Weights<S> weights;
    Index gradient, state, packed, step, bias;
};

// Where a slice keeps one layer: offsets and strides in numbers. A stride of zero keeps one time step.
struct Kept {
    Index in, out, out_stride, gates[2], gates_stride, cells[2], cells_stride;
};

struct SlicePlan {
    std::vector<Kept> layers;
    Index size;
};

template <class S>
class Stack {
   public:
    Stack(const std::vector<Layer>& layers, const std::vector<Weights<S>>& weights, Isa isa);

    // Copies of the weights for scans forwards, scans backwards, and single steps. A call makes those it misses, so
    // threads may share a stack only once they are made.
    void pack_forward(int threads);
    void pack_backward(int threads);
    void pack_steps();

    SlicePlan plan(Index time, bool keep, bool dropout) const;
    Index reserve_size(Index batch, Index time, bool dropout) const;

    const Unit<S>& unit(std::size_t layer, Index direction) const { return units[first[layer] + std::size_t(direction)]; }
    Packed<S> packed(const Unit<S>& unit) const;
    Scan<S> scan(const SlicePlan& plan, S* memory, std::size_t layer, Index direction, Index time) const;

    std::vector<Layer> layers;
    std::vector<Unit<S>> units;
    std::vector<std::size_t> first;  // first unit of every layer
    Index parameters = 0, states = 0;
    const Kernels<S>& kernels;
    Buffer<S> forward_weights, backward_weights, step_weights, bias;

   private:
    void pack_bias();
    Index packed_size_ = 0, step_size_ = 0, bias_size_ = 0;
};

// Dropout between layers, from a counter: the same whatever the slices, threads and instruction set.
struct Training {
    double dropout = 0;
    std::uint64_t seed = 0;
};

Dropout dropout_mask(const Training& training, std::size_t layer, Index first_sequence);

// Tensors of a call. x and y have any strides over time and batch. States are flat: a block [B][H] for every layer and
// direction in torch's order. Null: zeros where it is read, not wanted where it is written.
template <class S>
struct Batch {
    Index batch, time;
    const S* x;
    Index x_time, x_batch;
    const S *h0, *c0;
    S* y;
    Index y_time, y_batch;
    S *hn, *cn;
    S* reserve;  // kept for backward; null: inference, which keeps nothing
};

template <class S>
struct Gradients {
    const S* dy;
    Index dy_time, dy_batch;
    const S *dhn, *dcn;
    S* dx;
    Index dx_time, dx_batch;
    S *dh0, *dc0;
    S* weights;  // flat: every unit's w_ih, w_hh, b_ih, b_hh in torch's order; null: frozen
};

template <class S>
void forward(Stack<S>& stack, const Batch<S>& batch, const Training& training, int threads);

template <class S>
void backward(Stack<S>& stack, const Batch<S>& batch, const Gradients<S>& gradients, const Training& training,
              int threads);

// One time step of all layers for one sequence, x [I]; h and c are flat and replaced. Returns the top layer's h.
template <class S>
const S* step(const Stack<S>& stack, const S* x, S* h, S* c);

// What a reserve holds of one direction of one layer, as torch lays it out: gates [B][T][G H], h and c [B][T][H].
template <class S>
void record(const Stack<S>& stack, const Batch<S>& batch, bool dropout, std::size_t layer, Index direction, S* gates,
            S* h, S* c);

template <class S>
Index slices_of(Index batch) {
    return (batch + lanes_of<S> - 1) / lanes_of<S>;
}

// Sequences in a slice.
template <class S>
Index filled(Index batch, Index slice) {
    const Index left = batch - slice * lanes_of<S>;
    return left < lanes_of<S> ? left : lanes_of<S>;
}

// The rows [B][H] of a state block that a slice holds, as a tensor of one time step.
template <class S>
Rows<S> state_rows(S* block, const Layer& layer, Index batch, Index slice) {
    constexpr Index lanes = row_bytes / Index(sizeof(S));
    return {nullptr, 0, block + slice * lanes * layer.units, 0, layer.units, 1, layer.units, filled<S>(batch, slice)};
}

}  // namespace gatecast
