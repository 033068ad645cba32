"""What the gates and states of a fitted network did while it read: numbers first, from the reference cells."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float64

from gatecast.data.calendar import Times
from gatecast.data.panel import When, as_time
from gatecast.errors import ForecastError
from gatecast.explain.reading import Model, readings
from gatecast.explain.unrolled import Walk
from gatecast.forecast.forecaster import Forecaster
from gatecast.prepare.window import past_matrix

CLOSED, OPEN = 0.1, 0.9
"""A gate below or above these is saturated; Karpathy, Johnson & Fei-Fei (2015), "Visualizing and understanding
recurrent networks", section 4.2."""
SILENT = 1e-3
"""A unit whose state never moves by more than this is dead: its output lies in -1..1."""


@dataclass(frozen=True, eq=False)
class LayerGates:
    """Gates of one layer in one direction, [T, H] by name, and its states, in time order; `kept` names the gate that
    keeps the past (None: nothing is kept)."""

    network: int
    layer: int
    cell: str
    reverse: bool
    gates: dict[str, Float64[np.ndarray, "T H"]]
    kept: str | None
    h: Float64[np.ndarray, "T H"]
    c: Float64[np.ndarray, "T H"] | None

    @property
    def kept_fraction(self) -> Float64[np.ndarray, "H"] | None:
        """Mean share of the old state that each unit keeps per step (LSTM f, GRU z); None for the plain RNN."""
        return self.gates[self.kept].mean(axis=0) if self.kept else None

    @property
    def time_constant(self) -> Float64[np.ndarray, "H"] | None:
        """Steps after which 1/e of a state is left if each keeps the mean share, -1/ln(kept fraction), infinite where
        all is kept; None for the plain RNN. Shares multiply, so where the gate moves less is left than this says."""
        fraction = self.kept_fraction
        with np.errstate(divide="ignore"):
            return None if fraction is None else 1 / np.abs(np.log(fraction))

    def saturated(self, gate: str) -> tuple[float, float]:
        """The shares of steps and units in which a gate was closed (below 0.1) and open (above 0.9)."""
        opened = self.gates[gate]
        return float(np.mean(opened < CLOSED)), float(np.mean(opened > OPEN))

    @property
    def dead(self) -> int:
        """Units whose state stayed within 0.001 through the window; one row cannot show any."""
        return int(np.sum(np.ptp(self.h, axis=0) < SILENT)) if len(self.h) > 1 else 0

    @property
    def always_open(self) -> int:
        """Units whose keeping gate was never below 0.9: they remember and hardly learn of anything new."""
        return int(np.sum((self.gates[self.kept] > OPEN).all(axis=0))) if self.kept else 0


@dataclass(frozen=True, eq=False)
class GateRecord:
    """Every gate and state of every network; the rows of the arrays are dated `times`."""

    model: str
    times: Times
    layers: tuple[LayerGates, ...]
    values: Float64[np.ndarray, "T"]
    """The target in the unit that the network reads."""


def gates(model: Model, data: Any = None, at: When | None = None) -> GateRecord:
    """Gates and states through one window: the newest (of the history, or of `data` after it), or the one that ends
    `at` a time.

    A model of a panel shows one window of one series, its `times` being rows before the last that it reads.
    ForecastError for a time without a whole window.

    >>> from gatecast.data.synthetic import sine
    >>> from gatecast.forecast.plan import Recipe
    >>> from gatecast.train.settings import Training
    >>> model = Forecaster("gru:4", lookback=12, recipe=Recipe(training=Training(epochs=1)))
    >>> gates(model.fit(sine(90, period=12))).layers[0].gates["update"].shape
    (12, 4)
    """
    found = readings(model, data, 1)
    if isinstance(model, Forecaster):
        window, times = _window(model, data, at)
    elif at is not None:
        raise ForecastError("at= is for the window of one series", "pass the panel up to that time as data")
    else:
        window = found[0].x[-1].numpy()
        times = np.arange(1 - len(window), 1) * found[0].stride
    layers = []
    for number, reading in enumerate(found):
        x = torch.from_numpy(window[None]) if isinstance(model, Forecaster) else reading.x[-1:]
        for depth, walks in enumerate(reading.network.run(x).walks):
            layers += [_layer(number, depth, walk) for walk in walks]
    return GateRecord(model.name, times, tuple(layers), window[:, 0])


def _window(model: Forecaster, data: Any, at: When | None) -> tuple[Float64[np.ndarray, "L C"], Times]:
    """The scaled window that ends at a time, and its times."""
    if at is None:
        return model.newest_window(data)
    z, panel, _ = model.scaled(data)
    lookback = model.plan_.lookback
    row = np.flatnonzero(panel.times == as_time(at, panel.times))
    if not len(row) or row[0] < lookback + model.transform_.lost - 1:
        raise ForecastError(f"no whole window of {lookback} rows ends at {at}", "name the time of a later row")
    return past_matrix(z, row, lookback)[0], past_matrix(panel.times[:, None], row, lookback)[0, :, 0]


def _layer(number: int, depth: int, walk: Walk) -> LayerGates:
    """A walk over one window as arrays."""
    cell, reverse = walk.direction.cell, walk.direction.reverse

    def array(steps: list[torch.Tensor]) -> Float64[np.ndarray, "T H"]:
        return walk.in_time(steps)[0].numpy()

    opened = {name: array([each[k] for each in walk.gates]) for k, name in enumerate(cell.gates)}
    h, c = (array([state[part] for state in walk.states]) for part in (0, 1))
    memory = c if walk.direction.parts == 2 else None
    return LayerGates(number, depth, walk.direction.name, reverse, opened, cell.kept, h, memory)
