"""The contract of every forecaster, baseline or network: fit, one_step, free_run, predict."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import replace
from typing import Any, ClassVar, Literal, TypeVar

import numpy as np
from jaxtyping import Float64, Int64

from gatecast.data.calendar import Times
from gatecast.data.panel import Panel, time_text
from gatecast.data.read import as_panel
from gatecast.errors import DataError, ForecastError
from gatecast.forecast.intervals import Calibration, calibrate
from gatecast.forecast.result import Forecast, Mode
from gatecast.prepare.fill import fill
from gatecast.prepare.scale import Equivariance
from gatecast.prepare.window import anchors
from gatecast.train.loop import Watch

Values = Float64[np.ndarray, "T C"]
Rows = Int64[np.ndarray, "N"]
Held = tuple[Float64[np.ndarray, "n"], Float64[np.ndarray, "n"]]
MISSING_STEPS = 10
"""New data may start at most this many steps after a model's history ends."""

M = TypeVar("M", bound="Method")


class Method(ABC):
    """A forecaster of one series. `fit` learns from a panel; everything else only reads what was learned.

    After `fit`: `history_` (the training rows), `calibration_` (held-back errors, None if nothing was held back).
    Subclasses say how they learn and how they go on; all array arguments are filled values in original units, and
    an origin or anchor is the index of the last row that a forecast may know.
    """

    name: str
    kind: ClassVar[Literal["baseline", "network"]]
    history_: Panel
    calibration_: Calibration | None

    def fit(self: M, data: Any, *, seed: int = 0, watch: Watch | None = None) -> M:
        """Learn from one series (a Panel or a frame); forgets any earlier fit and returns self.

        `seed` decides every random draw. `watch` says who follows the training and where its checkpoints go.
        """
        panel = as_panel(data).single()
        if not panel.rows:
            raise DataError(f"{panel.source} has no rows to learn from", "check the dates of the training span")
        panel = self._learn(panel, seed, watch or Watch())
        self.history_ = panel
        held = self._held(panel)
        self.calibration_ = calibrate(*held, ratio=self._ratio()) if held else None
        return self

    def one_step(self, data: Any) -> Forecast:
        """Forecast every row of `data` after the training span, each from the true history before it."""
        panel, known = self._continue(data)
        values = fill(panel, known).values
        anchors = np.arange(known - 1, panel.rows - 1)
        if not len(anchors):
            raise ForecastError(
                f"no row after the training span, which ends {time_text(self.history_.times[-1])}",
                "pass data that go on after it, or use predict(h=...) for the future",
            )
        mean = self._ahead(values, anchors)
        bands = self.calibration_.bands(mean) if self.calibration_ else ()
        return replace(self._forecast("one_step", panel.times[anchors], panel.times[anchors + 1], mean), bands=bands)

    def free_run(self, steps: int, data: Any = None, times: Times | None = None) -> Forecast:
        """Let the model write `steps` values on its own, from the end of its history (or of `data`).

        `times` dates them; by default the calendar rule does. Raises ForecastError where the model cannot feed back.
        """
        panel, known = self._continue(data)
        values, last = fill(panel, known).values, panel.rows - 1
        mean = self._onward(values, np.array([last]), _positive(steps))[0]
        return self._written("free_run", panel, mean, times)

    def predict(self, h: int = 1, data: Any = None) -> Forecast:
        """Forecast the next `h` times after the history (or after `data`): a free run, as one-step models do."""
        return self.free_run(h, data)

    def free_runs(self, data: Any, origins: Int64[np.ndarray, "N"], steps: int) -> Float64[np.ndarray, "N steps"]:
        """Free runs from many origins at once, counted in rows of history followed by `data`; original units."""
        panel, known = self._continue(data)
        return self._onward(fill(panel, known).values, origins, _positive(steps))

    @property
    @abstractmethod
    def equivariance(self) -> Equivariance:
        """The change of unit that forecasts follow: shift and scale, scale only, or none."""

    @abstractmethod
    def _learn(self, panel: Panel, seed: int, watch: Watch) -> Panel:
        """Learn; returns the panel with the columns that the model keeps."""

    @abstractmethod
    def _ahead(self, values: Float64[np.ndarray, "T C"], anchors: Int64[np.ndarray, "N"]) -> Float64[np.ndarray, "N"]:
        """The target one row after each anchor."""

    @abstractmethod
    def _onward(
        self, values: Float64[np.ndarray, "T C"], origins: Int64[np.ndarray, "N"], steps: int
    ) -> Float64[np.ndarray, "N steps"]:
        """The target `steps` rows on from each origin, without any later truth."""

    @abstractmethod
    def _held(self, panel: Panel) -> Held | None:
        """Observed truth and one-step forecasts of rows at the end of the training span that were not learned from."""

    def _ratio(self) -> bool:
        """Whether errors grow with the level."""
        return False

    def _continue(self, data: Any) -> tuple[Panel, int]:
        """The history followed by the newer rows of `data`, and how many rows the history has."""
        history = self._history()
        if data is None:
            return history, history.rows
        given = as_panel(data).single().columns_as(history.columns)
        _check_continues(history, given)
        newer = given.after(history.times[-1])
        joined = replace(
            history,
            fill=history.fill if given.fill == "error" else given.fill,
            values=np.concatenate([history.values, newer.values]),
            times=np.concatenate([history.times, newer.times]),
            indptr=np.array([0, history.rows + newer.rows], dtype=np.int64),
        )
        return joined, history.rows

    def _history(self) -> Panel:
        if not hasattr(self, "history_"):
            raise ForecastError(f"{self.name} has not learned anything yet", "call fit(panel) first")
        return self.history_

    def _written(self, mode: Mode, panel: Panel, mean: Float64[np.ndarray, "N"], times: Times | None) -> Forecast:
        """A forecast from the last row of `panel`."""
        if times is None:
            times = panel.calendar.future(panel.times[-1], len(mean))
        return self._forecast(mode, np.repeat(panel.times[-1:], len(mean)), times, mean)

    def _forecast(self, mode: Mode, origins: Times, times: Times, mean: Float64[np.ndarray, "N"]) -> Forecast:
        return Forecast(self.name, self.history_.ids[0], self.history_.target, mode, origins, times, mean)


def held_back_rows(panel: Panel, held: int, lookback: int, lost: int = 0) -> tuple[Values, Rows]:
    """Values filled as before the last `held` rows were known, and the anchors whose targets there were observed."""
    first = panel.rows - held
    filled = fill(panel, first)
    at = anchors(range(first, panel.rows), lookback, 1, lost)
    return filled.values, at[~filled.was_missing[at + 1, 0]]


def _check_continues(history: Panel, given: Panel) -> None:
    """Raise DataError unless `given` is the same series: same kind of time, no hole before it, the same last value."""
    end = f"the model's history, which ends {time_text(history.times[-1])}"
    if given.times.dtype.kind != history.times.dtype.kind or not given.rows:
        raise DataError(f"{given.source} has no rows on the time axis of {end}", "pass the same series")
    if given.times[-1] < history.times[-1]:
        raise DataError(f"{given.source} ends {time_text(given.times[-1])}, before {end}", "pass newer data")
    newer = given.after(history.times[-1])
    gap = history.calendar.steps_between(history.times[-1], newer.times[0]) if newer.rows else 0
    if gap > MISSING_STEPS:
        raise DataError(
            f"the new data start {time_text(newer.times[0])}, {gap} steps after {end}",
            "pass data that overlap or follow the history, or fit again",
        )
    shared = given.values[given.times == history.times[-1], 0]
    known = history.values[-1, 0]
    if len(shared) and np.isfinite(shared[0]) and np.isfinite(known) and not np.isclose(shared[0], known):
        raise DataError(
            f"{given.source} has {shared[0]:g} where {end}, has {known:g}: another series, or a revised one",
            "fit again, or pass only the rows after the history",
        )


def _positive(steps: int) -> int:
    if steps < 1:
        raise ForecastError(f"{steps} steps asked for, expected at least 1")
    return steps
