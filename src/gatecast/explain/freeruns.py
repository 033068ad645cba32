"""Free runs from many starting points: how fast they leave the one-step forecasts, and where they end.

One trajectory is an anecdote. Here the model runs free from many origins; at every step its path is compared with the
truth and with what the same model forecasts one step ahead from the true history.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from jaxtyping import Float64

from gatecast.data.read import as_panel
from gatecast.errors import ForecastError
from gatecast.explain.reading import learned_rows
from gatecast.forecast.forecaster import Forecaster
from gatecast.forecast.method import Method
from gatecast.forecast.plan import Recipe
from gatecast.prepare.window import future_matrix, spaced

STARTS = 50
STEPS = 100
TAIL = 0.25
"""A path is judged settled or cyclic by this last share of it."""
SAME = 0.02
"""Values within this share of the usual step from one newer row to the next count as the same."""


@dataclass(frozen=True, eq=False)
class FreeRuns:
    """Means over all starts, by step: |path - truth|, |path - one step|, and the one-step forecast's own error.

    An error is that of the starts whose truth is known at the step; NaN where none is.

    `constant`, `cyclic`: shares of the starts whose path ends on one value, or repeats itself; `period`: the median
    period of those that do (0: none does).
    """

    model: str
    starts: int
    error: Float64[np.ndarray, "K"]
    divergence: Float64[np.ndarray, "K"]
    one_step: Float64[np.ndarray, "K"]
    constant: float
    cyclic: float
    period: int

    @property
    def doubled_at(self) -> int | None:
        """The first step at which the free run's error is more than twice that of one step on average; None: never."""
        over = self.error > 2 * float(np.mean(self.one_step[np.isfinite(self.one_step)]))
        return int(over.argmax()) + 1 if over.any() else None


def free_runs(model: Method, data: Any, starts: int = STARTS, steps: int = STEPS) -> FreeRuns:
    """Let a fitted model of one series run free from many rows of `data` after its history.

    ForecastError where the model does not predict all that it reads, or where fewer than `steps` newer rows are there,
    or none of them has a value.
    """
    one, history = model.one_step(data), model.history_
    known, newer = history.rows, len(one)
    true = as_panel(data).single().columns_as((history.target,)).after(history.times[-1]).values
    origins = np.arange(known - 1, known + newer - steps)
    if not len(origins):
        raise ForecastError(f"{newer} newer rows are too few for free runs of {steps} steps", "ask for fewer steps")
    origins = spaced(origins, starts)
    paths = model.free_runs(data, origins, steps)
    truth, ahead = (future_matrix(each, origins - known, steps)[..., 0] for each in (true, one.mean[:, None]))
    if np.isnan(truth).all():
        raise ForecastError(f"no newer row has a value of '{history.target}'", "pass data that hold its true values")
    (usual,) = _known_mean(np.abs(np.diff(true, axis=0)))
    periods = np.array([period_of(path, SAME * usual) for path in paths])
    return FreeRuns(
        model.name,
        len(origins),
        _known_mean(np.abs(paths - truth)),
        np.abs(paths - ahead).mean(axis=0),
        _known_mean(np.abs(ahead - truth)),
        float(np.mean(periods == 1)),
        float(np.mean(periods > 1)),
        int(np.median(periods[periods > 1])) if (periods > 1).any() else 0,
    )


def _known_mean(values: Float64[np.ndarray, "N K"]) -> Float64[np.ndarray, "K"]:
    """The mean of every column's known values, NaN where it has none."""
    known = ~np.isnan(values)
    total, count = np.where(known, values, 0.0).sum(axis=0), known.sum(axis=0)
    return np.divide(total, count, out=np.full(len(count), np.nan), where=count > 0)


def period_of(path: Float64[np.ndarray, "K"], tolerance: float) -> int:
    """The least period with which the end of a path repeats itself; 1 is a constant, 0 none.

    The last quarter of the path is compared with the rows one period before it, and must hold two periods.

    >>> wave = np.tile([0.0, 1.0, 3.0], 20)
    >>> period_of(wave, 1e-9), period_of(np.ones(60), 1e-9), period_of(np.arange(60.0), 1e-9)
    (3, 1, 0)
    """
    tail = max(2, int(TAIL * len(path)))
    for period in range(1, tail // 2 + 1):
        if np.abs(path[-tail:] - path[-tail - period : len(path) - period]).max() <= tolerance:
            return period
    return 0


def as_differences(model: Forecaster, data: Any = None, seed: int = 0) -> Forecaster:
    """The same network, fitted anew on the same rows, that reads and predicts differences instead of levels.

    `data` hold the rows that a loaded model learned from.
    """
    recipe = replace(model.recipe or Recipe(), transform="difference")
    twin = Forecaster(
        model.spec,
        lookback=model.lookback,
        h=model.h,
        dropout=model.dropout,
        inputs=model.inputs,
        members=model.members,
        recipe=recipe,
    )
    return twin.fit(learned_rows(model, data), seed=seed)
