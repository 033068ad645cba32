"""The live series of a window model: of each the newest rows, as many as one forecast rescans."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from jaxtyping import Float64

from gatecast.data.calendar import Times
from gatecast.data.panel import Panel
from gatecast.data.read import read
from gatecast.errors import DataError, ForecastError
from gatecast.forecast.forecaster import Forecaster
from gatecast.forecast.modes import direct, free_run
from gatecast.forecast.panels.covariates import on_calendar
from gatecast.forecast.streams.core import Columns, Core, Kept, Places
from gatecast.forecast.streams.stream import refill
from gatecast.prepare.fill import fill
from gatecast.prepare.given import Given


class Windows(Core):
    """Rows are filled as they come: a missing value, or one that has no logarithm where one is taken, is the last."""

    gaps = False

    def __init__(self, model: Forecaster) -> None:
        history = model.history_
        self.model, self.name, self.columns = model, model.name, history.columns
        self.calendar, self.times, self._rolling = history.calendar, history.times[:1], model.rolling()
        self._ids: list[str] = []
        self._kept: Kept = {
            "rows": np.zeros((0, self._rolling.need, len(self.columns))),
            "ends": np.zeros(0, dtype=np.int64),
            "said": np.zeros((0, model.h)),
            "ready": np.zeros(0, dtype=bool),
        }

    def read(self, history: Any, static_df: Any = None) -> Given:
        """Series with at least the rows that one forecast reads."""
        if static_df is not None:
            raise ForecastError("a window model reads no facts of its series", "leave static_df out")
        own, need = self.model.history_, self._rolling.need
        if history is None:
            panel = own
        else:
            found = history if isinstance(history, Panel) else read(history, own.target, fill="last")
            panel = on_calendar(found.columns_as(self.columns), self.calendar)
            panel = replace(panel, fill="last" if panel.fill == "error" else panel.fill)
        for each in panel:
            if each.rows < need:
                raise DataError(
                    f"series '{each.ids[0]}' of {panel.source} has {each.rows} rows, and a forecast reads {need}",
                    "begin with more rows",
                )
            self._filled(each)
        return Given(panel, np.zeros((len(panel), 0, 0)), np.zeros((len(panel), 0)))

    def begin(self, given: Given) -> None:
        """Keep the newest rows of each."""
        panel = given.panel
        new = {
            "rows": np.stack([self._filled(each)[-self._rolling.need :] for each in panel]),
            "ends": panel.times[panel.indptr[1:] - 1].astype(np.int64),
            "said": np.zeros((len(panel), self.model.h)),
            "ready": np.zeros(len(panel), dtype=bool),
        }
        self._kept = {name: np.concatenate([old, new[name]]) for name, old in self._kept.items()}
        self._ids += panel.ids

    def forget(self, place: int) -> None:
        """Drop its rows."""
        self._kept = {name: np.delete(old, place, axis=0) for name, old in self._kept.items()}
        del self._ids[place]

    def check(self, rows: Float64[np.ndarray, "n C"]) -> None:
        """Every row can be taken in."""

    def push(self, at: Places, times: Times, rows: Float64[np.ndarray, "n C"]) -> None:
        """The window moves by one row."""
        before = self._kept["rows"][at]
        bad = np.isnan(rows) | (self._rolling.transform.multiplicative & ~(rows > 0))
        row = np.where(bad, before[:, -1], rows)
        self._kept["rows"][at] = np.concatenate([before[:, 1:], row[:, None]], axis=1)
        self._kept["ends"][at], self._kept["ready"][at] = times.astype(np.int64), False

    def next(self, at: Places) -> Float64[np.ndarray, "n"]:
        """The first step of the head, which is computed once for every row."""
        return self._direct(at)[:, 0]

    def forecast(self, at: Places, h: int | None, wanted: dict[str, float], futr_df: Any) -> Columns:
        """The steps of a multi-step head, or a free run; bounds of the first step, from the held-back errors."""
        h = self.model.h if h is None else h
        if futr_df is not None:
            raise ForecastError("a window model reads no known-future column", "leave futr_df out")
        if 1 < self.model.h < h:
            raise ForecastError(
                f"{self.name} was fitted to forecast {self.model.h} steps at once, {h} asked for", f"fit it with h={h}"
            )
        if wanted and h > 1:
            raise ForecastError(
                f"intervals of {self.name} are for one step ahead, {h} asked for",
                "ask for h=1, or fit a GlobalForecaster, whose intervals are for every step",
            )
        mean = self._direct(at)[:, :h] if h <= self.model.h else free_run(self._rolling, *self._flat(at), h)
        ends = self._kept["ends"][at].astype(self.times.dtype)
        return {
            "unique_id": np.repeat(np.array(self._ids, dtype=object)[at], h),
            "ds": np.concatenate([self.calendar.future(end, h) for end in ends]),
            self.name: mean.reshape(-1),
            **{f"{self.name}-{suffix}": self._bound(mean[:, 0], p) for suffix, p in wanted.items()},
        }

    def kept(self) -> Kept:
        """Rows, their ends, and the newest forecasts."""
        return self._kept

    def put(self, kept: Kept, ids: tuple[str, ...]) -> None:
        """Rows, their ends, and the newest forecasts."""
        refill(self._kept, kept, len(ids))
        self._ids = list(ids)

    def _filled(self, series: Panel) -> Float64[np.ndarray, "T C"]:
        """The rows of one series, without gaps and without values that have no logarithm."""
        values = self._rolling.transform.usable(fill(series).values)
        self._rolling.transform.apply(values[-self._rolling.need :], self.columns)
        return values

    def _direct(self, at: Places) -> Float64[np.ndarray, "n K"]:
        kept = self._kept
        new = at[~kept["ready"][at]]
        if len(new):
            kept["said"][new], kept["ready"][new] = direct(self._rolling, *self._flat(new)), True
        return kept["said"][at]

    def _flat(self, at: Places) -> tuple[Float64[np.ndarray, "T C"], Places]:
        """The rows of these series one after another, and where each ends."""
        rows = self._kept["rows"][at]
        return rows.reshape(-1, rows.shape[2]), rows.shape[1] * np.arange(1, len(at) + 1) - 1

    def _bound(self, mean: Float64[np.ndarray, "n"], p: float) -> Float64[np.ndarray, "n"]:
        calibration = self.model.calibration_
        found = None if calibration is None else calibration.bound(mean, p)
        if found is None:
            raise ForecastError(
                f"{self.name} has too few held-back errors for a bound of probability {p:g}",
                "ask for a lower level, or fit with more rows held back (Training's patience and holdout)",
            )
        return found
