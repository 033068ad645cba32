"""A recurrent stack that reads a series row by row, carries its state, and forecasts the whole horizon at every row.

After row t, y = [x; a] A + b + W h: x is what is read of the row, a what is known of the rows ahead, h the state of the
top layer; A is common to all quantiles, b and W are each one's own. W starts at zero, so that training starts from the
linear forecast. Source: Wen et al. (2017), "A Multi-Horizon Quantile Recurrent Forecaster", whose forking sequences
train every row of a series in one scan. Where the kernels run, a state is the same bits however a series is cut.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Float32, Int64
from torch import Tensor, nn

from gatecast.errors import SpecError
from gatecast.nn import ops
from gatecast.nn.device import device_of, on_kernels
from gatecast.nn.initial import initialise
from gatecast.nn.recurrent import description, needs_gradient, weights_of
from gatecast.nn.spec import StackSpec
from gatecast.nn.stack import MODULES

STRETCH = 512
"""Rows that are read at once outside training: bounds memory."""
AT_ONCE = 1024
"""Series that are read at once there."""


class Carried(NamedTuple):
    """The state of all layers side by side: h, and the cells c of LSTM layers (zero beside them where others are)."""

    h: Float[Tensor, "B U"]
    c: Float[Tensor, "B V"]

    def at(self, places: Tensor) -> Carried:
        """The states of these sequences."""
        return Carried(self.h[places], self.c[places])

    def put(self, places: Tensor, other: Carried) -> None:
        """Replace the states of these sequences."""
        self.h[places], self.c[places] = other.h, other.c


class Shape(NamedTuple):
    """Numbers read of a row, numbers known of the rows ahead, horizon steps, quantiles."""

    inputs: int
    more: int
    steps: int
    quantiles: int


def one_way(spec: StackSpec) -> StackSpec:
    """The stack, if all its layers read forward; else SpecError."""
    if any(layer.bidirectional for layer in spec.layers):
        raise SpecError(
            f"'{spec.text}' reads in both directions; a sequence model carries its state forward, and one from the "
            "other end would have seen the future",
            "use cells in one direction, such as lstm:32, or a window model",
        )
    return spec


class SequenceNet(nn.Module):
    """One network; SpecError for a bidirectional layer. Without a generator its weights are to be loaded.

    >>> from gatecast.nn.spec import parse
    >>> net = SequenceNet(parse("lstm:8-gru:4")[0], Shape(3, 0, 2, 7), torch.Generator().manual_seed(0))
    >>> y, state = net(torch.zeros(5, 6, 3), torch.zeros(5, 6, 0), net.begin(5))
    >>> y.shape, state.h.shape
    (torch.Size([5, 6, 2, 7]), torch.Size([5, 12]))
    """

    def __init__(self, spec: StackSpec, shape: Shape, generator: torch.Generator | None) -> None:
        super().__init__()
        one_way(spec)
        self.spec, self.shape = spec, shape
        widths = [shape.inputs, *(layer.units for layer in spec.layers)]
        self.layers = nn.ModuleList(
            MODULES[layer.cell](width, layer.units, batch_first=True)
            for layer, width in zip(spec.layers, widths, strict=False)
        )
        self.out = nn.Parameter(torch.zeros(widths[-1], shape.steps * shape.quantiles))
        self.skip = nn.Parameter(torch.zeros(shape.inputs + shape.more, shape.steps))
        self.bias = nn.Parameter(torch.zeros(shape.steps * shape.quantiles))
        if generator:
            initialise(self, "keras", generator)

    def start_at(self, weight: Float32[Tensor, "D K"], bias: Float32[Tensor, "K Q"]) -> None:
        """Start as this linear forecast."""
        with torch.no_grad():
            self.skip.copy_(weight)
            self.bias.copy_(bias.flatten())

    def begin(self, sequences: int) -> Carried:
        """The state before anything was read."""
        units = sum(layer.units for layer in self.spec.layers)
        cells = units if any(layer.cell == "lstm" for layer in self.spec.layers) else 0
        return Carried(self.out.new_zeros(sequences, units), self.out.new_zeros(sequences, cells))

    def forward(
        self, x: Float[Tensor, "B T I"], ahead: Float[Tensor, "B T A"], state: Carried
    ) -> tuple[Float[Tensor, "B T K Q"], Carried]:
        """The scaled forecasts after every row, and the state after the last."""
        top, state = self.scan(x, state)
        return self.read(top, x, ahead), state

    def read(
        self, top: Float[Tensor, "*B H"], x: Float[Tensor, "*B I"], ahead: Float[Tensor, "*B A"]
    ) -> Float[Tensor, "*B K Q"]:
        """The scaled forecasts at some rows, from the top layer's state there."""
        linear = torch.cat([x, ahead], dim=-1) @ self.skip
        own = top @ self.out + self.bias
        return own.unflatten(-1, (self.shape.steps, self.shape.quantiles)) + linear.unsqueeze(-1)

    def scan(self, x: Float[Tensor, "B T I"], state: Carried) -> tuple[Float[Tensor, "B T H"], Carried]:
        """The top layer's states after every row, and all layers' after the last."""
        if not on_kernels(x):
            return self._on_torch(x, state)
        layers = self.recurrent()
        weights = [weight for layer in layers for weight in weights_of(layer)]
        keep = needs_gradient(x, *weights)
        facts = ops.Facts(description(*layers), True, 0.0)
        starts = (self._flat(state.h), self._flat(state.c) if state.c.shape[1] else None)
        y, h, c, _ = ops.recurrent(x, starts, weights, facts, None, keep, True)
        return y, Carried(self._beside(h, len(x)), self._beside(c, len(x), ("lstm",)) if len(c) else state.c)

    def _on_torch(self, x: Tensor, state: Carried) -> tuple[Tensor, Carried]:
        found_h, found_c, first = [], [], 0
        for layer in self.recurrent():
            own = slice(first, first + layer.hidden_size)
            first = own.stop
            h, c = state.h[None, :, own].contiguous(), state.c[None, :, own].contiguous()
            x, after = layer(x, (h, c) if layer.mode == "LSTM" else h)
            after_h, after_c = after if layer.mode == "LSTM" else (after, c)
            found_h.append(after_h[0])
            found_c.append(after_c[0])
        return x, Carried(torch.cat(found_h, dim=1), torch.cat(found_c, dim=1))

    def recurrent(self) -> list[nn.RNNBase]:
        """The layers, from the input up."""
        return [layer for layer in self.layers if isinstance(layer, nn.RNNBase)]

    def _flat(self, state: Tensor) -> Tensor:
        """Layer after layer, as the kernels take it."""
        return torch.cat([part.reshape(-1) for part in state.split(self._units(), dim=1)])

    def _beside(self, flat: Tensor, sequences: int, cells: Collection[str] = MODULES) -> Tensor:
        """Side by side again; zero for layers of other cells, which the kernels leave as it was."""
        parts = flat.split([units * sequences for units in self._units()])
        kept = [
            part if layer.cell in cells else torch.zeros_like(part)
            for part, layer in zip(parts, self.spec.layers, strict=True)
        ]
        return torch.cat([part.view(sequences, -1) for part in kept], dim=1)

    def _units(self) -> list[int]:
        return [layer.units for layer in self.spec.layers]


class Read(NamedTuple):
    """Of several networks: the top states at the rows that were asked for, and the carried states at the ends."""

    tops: list[Float[Tensor, "V _"]]
    states: list[Carried]


@torch.inference_mode()
def read_through(
    nets: Sequence[SequenceNet],
    lengths: Int64[np.ndarray, "S"],
    rows: Callable[[Int64[np.ndarray, "n"], Int64[np.ndarray, "T"]], Float32[Tensor, "n T I"]],
    wanted: tuple[Int64[np.ndarray, "V"], Int64[np.ndarray, "V"]],
) -> Read:
    """Read S series of these lengths once, each from its first row to its last.

    `rows(series, t)` gives what is read of rows t of these series; `wanted`: series and rows whose states are returned.
    Series of one length end together, so nothing is padded. The networks are on one device; their states stay there.
    """
    order = np.argsort(-lengths, kind="stable")
    states = [net.begin(len(lengths)) for net in nets]
    tops = [net.out.new_zeros(len(wanted[0]), net.spec.layers[-1].units) for net in nets]
    device = device_of(nets[0])
    for first in range(0, len(order), AT_ONCE):
        some = order[first : first + AT_ONCE]
        place = np.full(len(lengths), -1)
        place[some] = np.arange(len(some))
        cuts = np.unique([*range(0, int(lengths[some].max(initial=0)), STRETCH), *lengths[some]])
        for begin, end in pairwise(np.unique([0, *cuts]).tolist()):
            active = some[lengths[some] >= end]
            x, at = rows(active, np.arange(begin, end)).to(device), torch.from_numpy(active).to(device)
            asked = np.flatnonzero((wanted[1] >= begin) & (wanted[1] < end) & (place[wanted[0]] >= 0))
            where = (place[wanted[0][asked]], wanted[1][asked] - begin, asked)
            which, row, to = (torch.from_numpy(each).to(device) for each in where)
            for net, state, top in zip(nets, states, tops, strict=True):
                y, after = net.scan(x, state.at(at))
                state.put(at, after)
                top[to] = y[which, row]
    return Read(tops, states)
