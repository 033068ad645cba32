"""A trained network as reference cells, unrolled through time, so that any state can be seen and asked for gradients.

The cells are those of `nn.cells`, which the law tables prove equal to torch.nn and to the native kernels. All numbers
are float64.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

import torch
from jaxtyping import Float64
from torch import Tensor, nn

from gatecast.errors import ForecastError
from gatecast.nn.cells import CELLS, Cell, State, Weights, weights_of, zero_state
from gatecast.nn.correction import Corrections
from gatecast.nn.stack import Network
from gatecast.nn.student import StudentNet

Readout = Callable[[Tensor, Tensor], Tensor]


class Direction(NamedTuple):
    """One layer in one direction of reading."""

    cell: Cell
    weights: Weights
    reverse: bool = False

    @property
    def units(self) -> int:
        """Units of the layer."""
        return self.weights.weight_hh.shape[1]

    @property
    def name(self) -> str:
        """The cell's name, or `cell` where it is not one of the table."""
        return next((name for name, cell in CELLS.items() if cell is self.cell), "cell")

    def jacobians(
        self, x: Float64[Tensor, "N D"], h: Float64[Tensor, "N H"], c: Float64[Tensor, "N H"]
    ) -> Float64[Tensor, "N S S"]:
        """d state' / d state of one step from each of N states.

        A state of S numbers is h, and for a cell with a memory of its own [h; c]. Every state is read S times, so that
        one backward pass gives all S rows.
        """
        size = self.size
        row, *state = (each.detach().repeat_interleave(size, dim=0) for each in (x, h, c)[: 1 + self.parts])
        for part in state:
            part.requires_grad_()
        after = torch.cat(self.cell.step(self.weights, row, State(state[0], state[-1]))[0][: self.parts], dim=1)
        own = after.view(len(x), size, size).diagonal(dim1=1, dim2=2).sum()  # number j of the j-th reading
        return torch.cat(torch.autograd.grad(own, state), dim=1).view(len(x), size, size)

    @property
    def size(self) -> int:
        """Numbers of a state."""
        return self.parts * self.units

    @property
    def parts(self) -> int:
        """2 where the cell carries c beside h, else 1."""
        return 2 if self.cell is CELLS["lstm"] else 1


class Walk(NamedTuple):
    """What one layer did in one direction, step by step in the order of its reading."""

    direction: Direction
    inputs: list[Tensor]
    states: list[State]
    gates: list[tuple[Tensor, ...]]

    def in_time(self, steps: list[Tensor]) -> Float64[Tensor, "B T H"]:
        """One tensor, oldest row first."""
        return torch.stack(steps[::-1] if self.direction.reverse else steps, dim=1)


class Trace(NamedTuple):
    """A forecast y [B, K] in scaled units, and the walks of all layers that led to it, bottom first."""

    y: Float64[Tensor, "B K"]
    walks: list[list[Walk]]


@dataclass(frozen=True, eq=False)
class Unrolled:
    """Layers of one or two directions from a zero state, and a readout of the top layer's last states and the inputs.

    `readout(state [B, F], x [B, T, D])` gives [B, K]; F counts both directions.
    """

    layers: tuple[tuple[Direction, ...], ...]
    readout: Readout

    def run(self, x: Float64[Tensor, "B T D"]) -> Trace:
        """Read x; every h and c is a node of its own, so that a gradient at it counts what it did later."""
        walks, rows = [], x
        for layer in self.layers:
            walks.append([_walk(direction, rows) for direction in layer])
            rows = torch.cat([walk.in_time([s.h for s in walk.states]) for walk in walks[-1]], dim=2)
        last = torch.cat([walk.states[-1].h for walk in walks[-1]], dim=1)
        return Trace(self.readout(last, x), walks)


def _walk(direction: Direction, rows: Tensor) -> Walk:
    inputs = list(rows.unbind(dim=1))[:: -1 if direction.reverse else 1]
    state, states, gates = zero_state(len(rows), direction.units, rows), [], []
    for row in inputs:
        state, opened = direction.cell.step(direction.weights, row, state)
        state = State(state.h.clone(), state.c.clone())
        states.append(state)
        gates.append(opened)
    return Walk(direction, inputs, states, gates)


def unroll(network: Network) -> Unrolled:
    """A window network: the target's K steps."""
    layers = tuple(
        tuple(Direction(CELLS[layer.cell], _double(weights_of(module, back)), back) for back in _ways(layer))
        for layer, module in zip(network.stack.spec.layers, network.stack.layers, strict=True)
    )
    weight, bias = (each.detach().double() for each in (network.head.weight, network.head.bias))
    skip, constant = network.skip_weight.double(), network.skip_bias.double()

    def readout(state: Tensor, x: Tensor) -> Tensor:
        y = nn.functional.linear(state, weight, bias)
        if network.lags:
            y = y + x[:, -network.lags :].flatten(1) @ skip + constant
        return y.view(len(x), *network.outputs)[..., 0]  # [B, K]

    return Unrolled(layers, readout)


def unroll_corrections(nets: Corrections, quantile: int) -> Iterator[Unrolled]:
    """The networks of a direct model of panels, each of them: one quantile of the K steps after the last anchor."""
    shape = nets.shape
    if not shape.units:
        raise ForecastError("the model was fitted without its recurrence", "explain one that has it")
    for number in range(len(nets.skip)):
        own = {name: weight[number].detach().double() for name, weight in nets.named_parameters()}
        weights = _split(own["recurrent"], shape.linear + shape.extra, shape.units, len(CELLS[shape.cell].gates))

        def readout(state: Tensor, x: Tensor, own: dict[str, Tensor] = own) -> Tensor:
            rows = x[:, -1, : shape.linear]
            if shape.width:
                state = torch.relu(torch.cat([state, rows], dim=1) @ own["hidden"] + own["hidden_bias"])
            y = (state @ own["out"] + own["bias"]).view(len(x), shape.steps, shape.quantiles)
            return y[..., quantile] + rows @ own["skip"]

        yield Unrolled(((Direction(CELLS[shape.cell], weights),),), readout)


def unroll_student(net: StudentNet) -> Unrolled:
    """A recursive model of panels: the location of the next value."""
    cell = "lstm" if isinstance(net.layer, nn.LSTM) else "gru"
    weight, bias = net.head.weight.detach().double(), net.head.bias.detach().double()

    def readout(state: Tensor, x: Tensor) -> Tensor:
        return nn.functional.linear(state, weight, bias)[:, :1]

    return Unrolled(((Direction(CELLS[cell], _double(weights_of(net.layer))),),), readout)


def _ways(layer: object) -> tuple[bool, ...]:
    return (False, True) if getattr(layer, "bidirectional", False) else (False,)


def _double(weights: Weights) -> Weights:
    return Weights(*(each.detach().double() for each in weights))


def _split(flat: Tensor, inputs: int, units: int, gates: int) -> Weights:
    """One recurrent layer's weights from one tensor that holds them in torch's order."""
    rows = gates * units
    sizes = [(rows, inputs), (rows, units), (rows,), (rows,)]
    parts = flat.split([torch.Size(size).numel() for size in sizes])
    return Weights(*(part.view(size) for part, size in zip(parts, sizes, strict=True)))
