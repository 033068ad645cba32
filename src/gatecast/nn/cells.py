"""Reference cells: the equations, readable; proven equal to torch.nn by the law tests.

Weights stand as in torch.nn: W_ih [G H, D], W_hh [G H, H], b_ih and b_hh [G H], the G gates stacked in the order of
`Cell.gates`. Write a_g = W_ih,g x + b_ih,g and r_g = W_hh,g h + b_hh,g.

rnn    n = tanh(a_n + r_n)                     h' = n
lstm   i, f, o = sigmoid(a + r); n = tanh(a_n + r_n)
       c' = f c + i n                          h' = o tanh(c')          kept fraction: f
gru    r, z = sigmoid(a + r); n = tanh(a_n + r r_n)
       h' = (1 - z) n + z h                                             kept fraction: z

Sources: Elman (1990); Hochreiter & Schmidhuber (1997) with the forget gate of Gers et al. (2000); Cho et al. (2014)
with the reset gate after the matrix product, as in torch.nn and Keras.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor


class State(NamedTuple):
    """What a cell carries: h [B, H], and c [B, H] (the same as h where a cell has none)."""

    h: Float[Tensor, "B H"]
    c: Float[Tensor, "B H"]


class Weights(NamedTuple):
    """One layer's weights in one direction, as torch.nn names them."""

    weight_ih: Float[Tensor, "GH D"]
    weight_hh: Float[Tensor, "GH H"]
    bias_ih: Float[Tensor, "GH"]
    bias_hh: Float[Tensor, "GH"]


Gates = tuple[Tensor, ...]
Update = Callable[[Gates, Gates, State], tuple[State, Gates]]


@dataclass(frozen=True)
class Cell:
    """A cell as a value: its gates in order, the gate that keeps the past (None: nothing is kept), its update."""

    gates: tuple[str, ...]
    kept: str | None
    update: Update

    def step(self, weights: Weights, x: Float[Tensor, "B D"], state: State) -> tuple[State, Gates]:
        """One time step: the next state, and the gates in order, each [B, H]."""
        count = len(self.gates)
        from_x = torch.nn.functional.linear(x, weights.weight_ih, weights.bias_ih).chunk(count, dim=1)
        from_h = torch.nn.functional.linear(state.h, weights.weight_hh, weights.bias_hh).chunk(count, dim=1)
        return self.update(from_x, from_h, state)


def _rnn(a: Gates, r: Gates, state: State) -> tuple[State, Gates]:
    n = torch.tanh(a[0] + r[0])
    return State(n, n), (n,)


def _lstm(a: Gates, r: Gates, state: State) -> tuple[State, Gates]:
    i, f, o = (torch.sigmoid(a[k] + r[k]) for k in (0, 1, 3))
    n = torch.tanh(a[2] + r[2])
    c = f * state.c + i * n
    return State(o * torch.tanh(c), c), (i, f, n, o)


def _gru(a: Gates, r: Gates, state: State) -> tuple[State, Gates]:
    reset, z = torch.sigmoid(a[0] + r[0]), torch.sigmoid(a[1] + r[1])
    n = torch.tanh(a[2] + reset * r[2])
    h = (1 - z) * n + z * state.h
    return State(h, h), (reset, z, n)


CELLS: dict[str, Cell] = {
    "rnn": Cell(("candidate",), None, _rnn),
    "lstm": Cell(("input", "forget", "candidate", "output"), "forget", _lstm),
    "gru": Cell(("reset", "update", "candidate"), "update", _gru),
}


class Scan(NamedTuple):
    """A whole sequence: states h and c [B, T, H], the last state, and every gate [B, T, H] by name."""

    h: Float[Tensor, "B T H"]
    c: Float[Tensor, "B T H"]
    last: State
    gates: dict[str, Tensor]


def scan(cell: Cell, weights: Weights, x: Float[Tensor, "B T D"], state: State) -> Scan:
    """Fold `step` over the T rows of x, oldest first, recording everything."""
    states, gates = [], []
    for row in x.unbind(dim=1):
        state, opened = cell.step(weights, row, state)
        states.append(state)
        gates.append(opened)
    h, c = (torch.stack([s[k] for s in states], dim=1) for k in (0, 1))
    return Scan(h, c, state, {name: torch.stack([g[k] for g in gates], dim=1) for k, name in enumerate(cell.gates)})


def zero_state(batch: int, units: int, like: Tensor) -> State:
    """The state before anything was read."""
    zero = like.new_zeros(batch, units)
    return State(zero, zero)


def weights_of(layer: torch.nn.Module, reverse: bool = False) -> Weights:
    """The weights of a single-layer torch.nn module in one direction."""
    suffix = "_l0_reverse" if reverse else "_l0"
    return Weights(*(getattr(layer, f"{name}{suffix}") for name in Weights._fields))
