"""What the networks of a fitted model read: every network unrolled, with a sample of the windows of its forecasts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float64
from torch import Tensor

from gatecast.data.panel import Panel
from gatecast.data.read import as_panel
from gatecast.errors import ForecastError, SpecError
from gatecast.explain.unrolled import Unrolled, unroll, unroll_corrections, unroll_student
from gatecast.forecast.forecaster import Forecaster
from gatecast.forecast.panels.direct import GlobalForecaster
from gatecast.forecast.panels.method import GlobalMethod
from gatecast.forecast.panels.sampling import SamplingForecaster
from gatecast.prepare.window import past_matrix, spaced
from gatecast.train.lockstep import MEDIAN

Model = Forecaster | GlobalMethod
WINDOWS = 32
RECENT = 250
"""Without newer rows, windows are taken from so many rows at the end of what was learned."""


@dataclass(frozen=True, eq=False)
class Reading:
    """A network and windows x [N, T, D] that it reads, scaled, oldest step first; a step is `stride` rows.

    `columns`: names of the D inputs, where each is a column of the data.
    """

    network: Unrolled
    x: Float64[Tensor, "N T D"]
    columns: tuple[str, ...]
    stride: int = 1


def readings(model: Model, data: Any = None, windows: int = WINDOWS) -> tuple[Reading, ...]:
    """Every network with at most so many windows, spread over the rows of `data` after the history.

    Without newer rows they come from the last 250 rows of what was learned. ForecastError before `fit`.

    >>> from gatecast.data.synthetic import sine
    >>> from gatecast.forecast.plan import Recipe
    >>> from gatecast.train.settings import Training
    >>> model = Forecaster("gru:4", lookback=12, recipe=Recipe(training=Training(epochs=1)))
    >>> readings(model.fit(sine(90, period=12)), windows=5)[0].x.shape
    torch.Size([5, 12, 1])
    """
    if isinstance(model, Forecaster):
        return _of_windows(model, data, windows)
    fitted = model if data is None else model.over(data)
    fitted.fitted()
    if isinstance(fitted, GlobalForecaster):
        return _of_crops(fitted, windows) if fitted.free_ is None else _of_stretches(fitted.free_, windows)
    if isinstance(fitted, SamplingForecaster):
        return _of_stretches(fitted, windows)
    raise SpecError(f"a {type(fitted).__name__} cannot be explained", "explain a window, direct or recursive model")


def learned_rows(model: Forecaster, data: Any) -> Panel:
    """The rows that a model learned from; a loaded one keeps only its last, so those of `data` up to there."""
    history = model.history_
    if data is None:
        return history
    given = as_panel(data).single().columns_as(history.columns).until(history.times[-1])
    return given if given.rows > history.rows else history


def _of_windows(model: Forecaster, data: Any, windows: int) -> tuple[Reading, ...]:
    """Windows whose next row lies after the history, else the recent ones."""
    z, panel, known = model.scaled(data)
    first = known - 1 if panel.rows > known else panel.rows - RECENT
    at = np.arange(max(first, model.plan_.lookback + model.transform_.lost - 1), panel.rows - (panel.rows > known))
    if not len(at):
        raise ForecastError(f"{model.name} has no whole window of {model.plan_.lookback} rows", "pass more history")
    x = torch.from_numpy(past_matrix(z, spaced(at, windows), model.plan_.lookback))
    return tuple(Reading(unroll(net), x, model.plan_.columns) for net in model.networks_)


def _of_crops(model: GlobalForecaster, windows: int) -> tuple[Reading, ...]:
    found = []
    for part in model.parts_:
        series, ends = part.crops.whole(RECENT, windows)
        if not len(series):
            series = torch.from_numpy(spaced(np.arange(len(model.panel_)), windows))
            ends = part.crops.stops[series] - 1
        x = part.crops.take(series, ends).read.double()
        for nets in part.nets:
            found += [Reading(net, x, (), part.crops.sizes.stride) for net in unroll_corrections(nets, MEDIAN)]
    return tuple(found)


def _of_stretches(model: SamplingForecaster, windows: int) -> tuple[Reading, ...]:
    series = spaced(np.arange(len(model.panel_)), windows)
    ends = model.panel_.indptr[1:][series] - 1
    x = model.read(series, ends).double()
    return tuple(Reading(unroll_student(net), x, ()) for net in model.nets_)
