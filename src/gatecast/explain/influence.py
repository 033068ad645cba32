"""What a forecast used: the gradient at every value of its window, and what happens when a value is taken away.

gradient   mean over windows of |dy/dx_(t,c)|, times the spread of column c: the first-order change of the forecast for
           a typical change of that value (Simonyan, Vedaldi & Zisserman 2014, there for images)
occlusion  mean over windows of |y - y'|, y' being the forecast after x_(t,c) was replaced by the column's mean
           (Zeiler & Fergus 2014)

Both are in scaled units of the forecast. A gradient sees a slope at a point, an occlusion the whole way to the mean:
where they disagree the network is not linear there.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float64
from torch import Tensor

from gatecast.errors import ForecastError
from gatecast.explain.reading import WINDOWS, Model, Reading, readings

NUMBERS = 2**25
"""Numbers of states that are kept at once, of all occluded windows: bounds memory."""


@dataclass(frozen=True, eq=False)
class Influence:
    """`gradient` and `occlusion` [L, C] by lag (the newest row first) and column, means over networks and windows."""

    model: str
    columns: tuple[str, ...]
    windows: int
    gradient: Float64[np.ndarray, "L C"]
    occlusion: Float64[np.ndarray, "L C"]

    @property
    def by_column(self) -> dict[str, float]:
        """Every column's share of all occlusion."""
        total = self.occlusion.sum()
        shares = self.occlusion.sum(axis=0) / (total if total > 0 else 1.0)
        return dict(zip(self.columns, map(float, shares), strict=True))


def influence(model: Model, data: Any = None, windows: int = WINDOWS) -> Influence:
    """What the first step of a window model's forecast used, over windows spread through the rows of `data` after the
    history (see `readings`). ForecastError for a model of panels, whose inputs are not columns of the data."""
    found = readings(model, data, windows)
    if not found[0].columns:
        raise ForecastError(
            f"{model.name} reads derived numbers, not columns", "information_flow measures what its forecast uses"
        )
    pairs = [(_gradient(each), _occlusion(each)) for each in found]
    gradient, occlusion = (np.mean(each, axis=0)[::-1] for each in zip(*pairs, strict=True))
    return Influence(model.name, found[0].columns, len(found[0].x), gradient, occlusion)


def _gradient(reading: Reading) -> Float64[np.ndarray, "L C"]:
    x = reading.x.clone().requires_grad_()
    (into,) = torch.autograd.grad(reading.network.run(x).y[:, 0].sum(), x)
    return (into.abs().mean(dim=0) * _spread(reading.x)).numpy()


def _occlusion(reading: Reading) -> Float64[np.ndarray, "L C"]:
    x, (steps, columns) = reading.x, reading.x.shape[1:]
    mean = x.mean(dim=(0, 1))
    plain, found = reading.network.forecast(x)[:, 0], []
    widest = max(columns, *(sum(way.units for way in layer) for layer in reading.network.layers))
    chunk = max(1, NUMBERS // (len(x) * steps * widest))
    for places in torch.cartesian_prod(torch.arange(steps), torch.arange(columns)).split(chunk):
        many = x.repeat(len(places), 1, 1, 1)  # [P, N, L, C]
        for number, (t, c) in enumerate(places.tolist()):
            many[number, :, t, c] = mean[c]
        y = reading.network.forecast(many.flatten(0, 1))[:, 0].view(len(places), -1)
        found.append((y - plain).abs().mean(dim=1))
    return torch.cat(found).view(steps, columns).numpy()


def _spread(x: Tensor) -> Tensor:
    return x.flatten(0, 1).std(dim=0, correction=0)
