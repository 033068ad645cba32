"""The live series of a window model: of each the newest rows, as many as one forecast rescans."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float64

from gatecast.data.calendar import Times
from gatecast.data.panel import Panel
from gatecast.data.read import as_panel
from gatecast.errors import DataError, ForecastError
from gatecast.forecast.modes import direct, free_run
from gatecast.forecast.panels.covariates import on_calendar
from gatecast.forecast.streams.core import Columns, Core, Kept, Places
from gatecast.prepare.fill import fill

if TYPE_CHECKING:
    from gatecast.forecast.forecaster import Forecaster


class Windows(Core):
    """Rows are filled as they come: a missing value repeats the last one, which under the rule `error` is refused for
    the target."""

    gaps = False

    def __init__(self, model: Forecaster) -> None:
        history = model._history()
        self.model, self.name, self.columns = model, model.name, history.columns
        self.calendar, self._rolling = history.calendar, model.rolling()
        self._rows = np.empty((0, self._rolling.need, len(self.columns)))
        self._ends = history.times[:0]
        self._ids: list[str] = []
        self._next = np.empty(0)

    def read(self, history: Any, static_df: Any = None) -> list[Panel]:
        """The series, each with at least the rows that one forecast reads."""
        if static_df is not None:
            raise ForecastError("a window model reads no facts of its series", "leave static_df out")
        if history is None:
            return [self.model.tail()]
        own = self.model._history()
        given = on_calendar(as_panel(history).columns_as(self.columns), self.calendar)
        rule = "error" if own.fill == "error" and given.fill == "error" else "last"
        found = [replace(each, fill=rule) for each in given]
        short = next((each for each in found if each.rows < self._rolling.need), None)
        if short is not None:
            raise DataError(
                f"series '{short.ids[0]}' has {short.rows} rows, and a forecast reads {self._rolling.need}",
                "begin with more rows",
            )
        return [replace(each, values=fill(each).values) for each in found]

    def begin(self, given: list[Panel]) -> Panel:
        """Keep the newest rows of each."""
        tails = [each.values[-self._rolling.need :] for each in given]
        self._rows = np.concatenate([self._rows, np.stack(tails)])
        self._ends = np.concatenate([self._ends, [each.times[-1] for each in given]]).astype(self._ends.dtype)
        self._ids += [each.ids[0] for each in given]
        self._next = np.concatenate([self._next, np.full(len(given), np.nan)])
        pointers = np.cumsum([0, *(each.rows for each in given)])
        values, times = (np.concatenate([getattr(each, name) for each in given]) for name in ("values", "times"))
        return replace(given[0], values=values, times=times, indptr=pointers, ids=tuple(each.ids[0] for each in given))

    def forget(self, place: int) -> None:
        """Drop its rows."""
        self._rows, self._ends = np.delete(self._rows, place, axis=0), np.delete(self._ends, place)
        self._next = np.delete(self._next, place)
        del self._ids[place]

    def check(self, rows: Float64[np.ndarray, "n C"]) -> None:
        """Under the rule `error` every target is there; under a logarithm it is positive."""
        missing = np.isnan(rows)
        if missing[:, 0].any() and self.model._history().fill == "error":
            raise DataError(
                f"a row has no value of {self.columns[0]}",
                "fit the model with fill='last' or fill='linear', or send a value",
            )
        self._rolling.transform.usable(rows[~missing.any(axis=1)])

    def push(self, at: Places, times: Times, rows: Float64[np.ndarray, "n C"]) -> None:
        """The window moves by one row."""
        filled = np.where(np.isnan(rows), self._rows[at, -1], rows)
        self._rows[at] = np.concatenate([self._rows[at, 1:], filled[:, None]], axis=1)
        self._ends[at], self._next[at] = times, np.nan

    def next(self, at: Places) -> Float64[np.ndarray, "n"]:
        """The first step, computed once for every row."""
        unknown = at[np.isnan(self._next[at])]
        if len(unknown):
            self._next[unknown] = self._direct(unknown)[:, 0]
        return self._next[at]

    def forecast(self, at: Places, h: int | None, wanted: dict[str, float], futr_df: Any) -> Columns:
        """A free run, or the steps of a multi-step head; bounds of the first step alone, from the held-back errors."""
        if futr_df is not None:
            raise ForecastError("a window model reads no known-future column", "leave futr_df out")
        h = self.model.h if h is None else h
        if self.model.h > 1 and h > self.model.h:
            raise ForecastError(f"{self.name} was fitted to forecast {self.model.h} steps, {h} asked for", f"h={h}")
        if h == 1:
            mean = self.next(at)[:, None]
        else:
            mean = self._direct(at)[:, :h] if self.model.h > 1 else free_run(self._rolling, *self._flat(at), h)
        bounds = {f"{self.name}-{suffix}": self._bound(mean, p) for suffix, p in wanted.items()}
        return {
            "unique_id": np.repeat(np.array(self._ids, dtype=object)[at], h),
            "ds": np.concatenate([self.calendar.future(self._ends[place], h) for place in at]),
            self.name: mean.reshape(-1),
            **{column: bound.reshape(-1) for column, bound in bounds.items()},
        }

    def kept(self) -> Kept:
        """Rows and their ends."""
        return {"rows": self._rows, "ends": self._ends.astype(np.int64)}

    def put(self, kept: Kept, ids: tuple[str, ...]) -> None:
        """Rows and their ends."""
        if kept["rows"].shape != (len(ids), *self._rows.shape[1:]) or len(kept["ends"]) != len(ids):
            raise ValueError(f"rows of shape {kept['rows'].shape} for {len(ids)} series")
        self._rows, self._ends, self._ids = kept["rows"].copy(), kept["ends"].astype(self._ends.dtype), list(ids)
        self._next = np.full(len(ids), np.nan)

    def _direct(self, at: Places) -> Float64[np.ndarray, "n K"]:
        return direct(self._rolling, *self._flat(at))

    def _flat(self, at: Places) -> tuple[Float64[np.ndarray, "T C"], Places]:
        """The rows of these series one after another, and where each ends."""
        rows = self._rows[at]
        return rows.reshape(-1, rows.shape[2]), rows.shape[1] * np.arange(1, len(at) + 1) - 1

    def _bound(self, mean: Float64[np.ndarray, "n K"], p: float) -> Float64[np.ndarray, "n K"]:
        """NaN beyond the first step, and where too few errors were held back."""
        found = np.full(mean.shape, np.nan)
        if self.model.calibration_:
            found[:, 0] = self.model.calibration_.bound(mean[:, 0], p)
        return found
