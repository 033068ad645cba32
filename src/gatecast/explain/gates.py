"""What the gates of a fitted network did in one window: numbers first, from the reference cells."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float64

from gatecast.data.calendar import Times
from gatecast.forecast.forecaster import Forecaster
from gatecast.nn.cells import CELLS, scan, weights_of, zero_state
from gatecast.nn.stack import Network


@dataclass(frozen=True, eq=False)
class LayerGates:
    """Gates of one layer in one direction, [T, H] by name, in time order; `kept` names the one that keeps the past."""

    network: int
    layer: int
    cell: str
    reverse: bool
    gates: dict[str, Float64[np.ndarray, "T H"]]
    kept: str | None

    @property
    def kept_fraction(self) -> Float64[np.ndarray, "H"] | None:
        """Mean share of the old state that each unit keeps per step (LSTM f, GRU z); None for the plain RNN."""
        return self.gates[self.kept].mean(axis=0) if self.kept else None

    @property
    def time_constant(self) -> Float64[np.ndarray, "H"] | None:
        """Steps after which a unit has kept 1/e of its state, -1/ln(kept fraction); None for the plain RNN."""
        fraction = self.kept_fraction
        return None if fraction is None else -1 / np.log(fraction)


@dataclass(frozen=True, eq=False)
class GateRecord:
    """Every gate of every network over the newest window, whose rows are dated `times`."""

    model: str
    times: Times
    layers: tuple[LayerGates, ...]


def gates(model: Forecaster, data: Any = None) -> GateRecord:
    """Run the newest window (of the history, or of `data` after it) through the reference cells, recording gates."""
    window, times = model.newest_window(data)
    x = torch.from_numpy(window[None]).float()
    layers = tuple(layer for n, network in enumerate(model.networks_) for layer in _layers(n, network, x))
    return GateRecord(model.name, times, layers)


def _layers(number: int, network: Network, x: torch.Tensor) -> list[LayerGates]:
    """The gates of one network, bottom layer first; each layer reads the one below, as in the forecast."""
    found = []
    for depth, (layer, module) in enumerate(zip(network.stack.spec.layers, network.stack.layers, strict=True)):
        cell, outputs = CELLS[layer.cell], []
        for reverse in (False, True)[: 1 + layer.bidirectional]:
            rows = x.flip(1) if reverse else x
            with torch.no_grad():
                ran = scan(cell, weights_of(module, reverse), rows, zero_state(1, layer.units, x))
            opened = {name: _in_time(gate, reverse)[0].double().numpy() for name, gate in ran.gates.items()}
            found.append(LayerGates(number, depth, layer.cell, reverse, opened, cell.kept))
            outputs.append(_in_time(ran.h, reverse))
        x = torch.cat(outputs, dim=2)  # [1, T, F]
    return found


def _in_time(y: torch.Tensor, reverse: bool) -> torch.Tensor:
    return y.flip(1) if reverse else y
