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

        A state of S numbers is h, and for a cell with a memory of its own [h; c]. A cell's update is element-wise in
        r = W_hh h + b_hh and in the state, so its slopes there and W_hh are all that is needed.
        """
        count = len(self.cell.gates)
        a = nn.functional.linear(x, self.weights.weight_ih, self.weights.bias_ih).chunk(count, dim=1)
        r = nn.functional.linear(h, self.weights.weight_hh, self.weights.bias_hh).chunk(count, dim=1)
        r, state = (tuple(each.detach().clone().requires_grad_() for each in parts) for parts in (r, (h, c)))
        blocks = []
        for part in self.cell.update(a, r, State(*state))[0][: self.parts]:
            *by_r, by_h, by_c = torch.autograd.grad(
                part.sum(), [*r, *state], retain_graph=True, allow_unused=True, materialize_grads=True
            )
            through = zip(by_r, self.weights.weight_hh.chunk(count), strict=True)
            block = torch.diag_embed(by_h) + sum(slope[:, :, None] * weight for slope, weight in through)
            blocks.append(torch.cat([block, torch.diag_embed(by_c)][: self.parts], dim=2))
        return torch.cat(blocks, dim=1)

    def order(self, steps: list[Tensor]) -> list[Tensor]:
        """Steps in time in the order of reading, or the other way round."""
        return steps[::-1] if self.reverse else steps

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
        return torch.stack(self.direction.order(steps), dim=1)


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

    @torch.no_grad()
    def forecast(self, x: Float64[Tensor, "B T D"]) -> Float64[Tensor, "B K"]:
        """y of `run`, the same bits, for batches too large to keep every gate of."""
        rows, last = x, []
        for layer in self.layers:
            read = [[state.h for state, _ in _steps(way, way.order(list(rows.unbind(dim=1))))] for way in layer]
            last = [states[-1] for states in read]
            rows = torch.cat([torch.stack(way.order(h), dim=1) for way, h in zip(layer, read, strict=True)], dim=2)
        return self.readout(torch.cat(last, dim=1), x)


def _steps(direction: Direction, inputs: list[Tensor]) -> Iterator[tuple[State, tuple[Tensor, ...]]]:
    """State and gates after every input, from a zero state."""
    state = zero_state(len(inputs[0]), direction.units, inputs[0])
    for row in inputs:
        state, gates = direction.cell.step(direction.weights, row, state)
        state = State(state.h.clone(), state.c.clone())
        yield state, gates


def _walk(direction: Direction, rows: Tensor) -> Walk:
    inputs = direction.order(list(rows.unbind(dim=1)))
    states, gates = zip(*_steps(direction, inputs), strict=True)
    return Walk(direction, inputs, list(states), list(gates))


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
        own = {name: weight[number].detach().cpu().double() for name, weight in nets.named_parameters()}
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
    weight, bias = (each.detach().cpu().double() for each in (net.head.weight, net.head.bias))

    def readout(state: Tensor, x: Tensor) -> Tensor:
        return nn.functional.linear(state, weight, bias)[:, :1]

    return Unrolled(((Direction(CELLS[cell], _double(weights_of(net.layer))),),), readout)


def _ways(layer: object) -> tuple[bool, ...]:
    return (False, True) if getattr(layer, "bidirectional", False) else (False,)


def _double(weights: Weights) -> Weights:
    return Weights(*(each.detach().cpu().double() for each in weights))


def _split(flat: Tensor, inputs: int, units: int, gates: int) -> Weights:
    """One recurrent layer's weights from one tensor that holds them in torch's order."""
    rows = gates * units
    sizes = [(rows, inputs), (rows, units), (rows,), (rows,)]
    parts = flat.split([torch.Size(size).numel() for size in sizes])
    return Weights(*(part.view(size) for part, size in zip(parts, sizes, strict=True)))
