"""The live series of the models of panels: running sums, and the rows that one forecast reads."""

from __future__ import annotations

from typing import Any

import numpy as np
from jaxtyping import Float64

from gatecast.data.calendar import Times
from gatecast.data.panel import Panel
from gatecast.errors import ForecastError
from gatecast.forecast.panels.method import GlobalMethod
from gatecast.forecast.panels.method import Places as From
from gatecast.forecast.streams.core import Columns, Core, Kept, Places
from gatecast.forecast.streams.stream import refill
from gatecast.prepare.given import Given
from gatecast.prepare.ring import Ring
from gatecast.prepare.tails import Totals, drop
from gatecast.prepare.units import check_sign
from gatecast.train.lockstep import MEDIAN, QUANTILES

AT_ONCE = 1024
"""Series that are forecast at once: bounds memory."""

Paths = Float64[np.ndarray, "n K Q"]
Ahead = Float64[np.ndarray, "n K F"]


class PanelCore(Core):
    """The newest `depth` rows, the sums of all rows, and the newest forecasts, each computed once for every row.

    `log`: whether a network reads logarithms.
    """

    gaps = True

    def __init__(self, model: GlobalMethod, depth: int, log: bool) -> None:
        given = model.fitted()
        self.model, self.name, self._log = model, model.name, log
        self.columns, self.calendar, self.times = given.panel.columns, given.panel.calendar, given.panel.times[:1]
        self.names = (model.covariates.id or "unique_id", model.covariates.date or "ds")
        nothing = np.full(len(self.columns), np.nan)
        empty = {"row": nothing, "time": np.array(0, dtype=np.int64)}
        self._rows = Ring(max(depth, self.calendar.season), empty)
        self._totals, self._ids = Totals(len(self.columns) - 1), list[str]()
        self._own: Kept = {
            "static": np.zeros((0, given.static.shape[1])),
            "ahead": np.zeros((0, model.h, given.known)),
            "paths": np.zeros((0, model.h, len(QUANTILES))),
            "ready": np.zeros(0, dtype=bool),
            "first": np.zeros(0),
        }

    def read(self, history: Any, static_df: Any = None) -> Given:
        """The rows from which every series goes on."""
        given = self.model.fitted() if history is None else self.model.reading(history, static_df)
        self.check(given.panel.values)
        return given

    def begin(self, given: Given) -> None:
        """Sums of all rows, and the newest of them."""
        panel, series = given.panel, len(given.panel)
        self._rows.begin({"row": panel.values, "time": panel.times.astype(np.int64)}, panel.indptr)
        self._totals.begin(given)
        new: Kept = {name: np.zeros((series, *old.shape[1:]), old.dtype) for name, old in self._own.items()}
        new["static"], new["first"] = given.static, np.full(series, np.nan)
        for name, old in self._own.items():
            self._own[name] = np.concatenate([old, new[name]])
        self._ids += panel.ids
        self._stale(np.zeros(0, dtype=np.int64))

    def forget(self, place: int) -> None:
        """Drop everything of a series."""
        for arrays in self._parts().values():
            drop(arrays, place)
        del self._ids[place]
        self._stale(np.zeros(0, dtype=np.int64))

    def check(self, rows: Float64[np.ndarray, "n C"]) -> None:
        """A model that reads logarithms takes no negative target."""
        check_sign(rows[:, 0], self._log, "a live series")

    def push(self, at: Places, times: Times, rows: Float64[np.ndarray, "n C"]) -> None:
        """One step of every sum."""
        before, earlier = (self._rows.newest("row", at, back)[:, 0, 0] for back in (1, self.calendar.season))
        self._totals.add(at, rows, before, earlier)
        self._rows.write(at, {"row": rows, "time": times.astype(np.int64)})
        self._own["first"][at] = np.nan
        self._stale(at)

    def next(self, at: Places) -> Float64[np.ndarray, "n"]:
        """The median of the first step; where columns are known ahead, what the latest forecast since the newest row
        said, if there is one."""
        if self._own["ahead"].shape[2]:
            return self._own["first"][at]
        return self._said(at, self._own["ahead"][at])[:, 0, MEDIAN]

    def forecast(self, at: Places, h: int | None, wanted: dict[str, float], futr_df: Any) -> Columns:
        """As `GlobalMethod.predict`."""
        h = self.model.h if h is None else h
        if h > self.model.h:
            raise ForecastError(
                f"{self.name} was fitted to forecast {self.model.h} steps at once, {h} asked for", f"fit it with h={h}"
            )
        ends = self._rows.newest("time", at, 1)[:, 0].astype(self.times.dtype)
        ids, steps = np.array(self._ids, dtype=object)[at], np.arange(len(at) + 1)
        rows = Panel(self._rows.newest("row", at, 1)[:, 0], ends, steps, tuple(ids), self.columns, self.calendar)
        unknown = np.full((len(at), *self._own["ahead"].shape[1:]), np.nan)
        ahead = self.model.covariates.ahead(Given(rows, unknown, self._own["static"][at]), futr_df, h).ahead
        paths, places = self._said(at, ahead), From(ids, ends, self._totals.error(at))
        self._own["first"][at] = paths[:, 0, MEDIAN]
        shown = np.tile(np.arange(self.model.h) < h, len(at))
        return {name: column[shown] for name, column in self.model.columns_of(paths, places, wanted).items()}

    def kept(self) -> Kept:
        """Everything, under the names of its parts."""
        return {f"{part}.{name}": array for part, arrays in self._parts().items() for name, array in arrays.items()}

    def put(self, kept: Kept, ids: tuple[str, ...]) -> None:
        """Everything, under the names of its parts."""
        for part, arrays in self._parts().items():
            refill(arrays, {name: kept[f"{part}.{name}"] for name in arrays}, len(ids))
        self._ids = list(ids)

    def _parts(self) -> dict[str, Kept]:
        return {"own": self._own, "rows": self._rows.kept, "totals": self._totals.kept}

    def _stale(self, at: Places) -> None:
        """Forecasts of these series are no longer true; of all, where they share the spread of their columns."""
        self._own["ready"][slice(None) if len(self.columns) > 1 else at] = False

    def _said(self, at: Places, ahead: Ahead) -> Paths:
        """The quantiles of all steps, of which those that are known are not computed again."""
        own = self._own
        same = (own["ahead"][at] == ahead) | (np.isnan(own["ahead"][at]) & np.isnan(ahead))
        new = np.flatnonzero(~(own["ready"][at] & same.all(axis=(1, 2))))
        for first in range(0, len(new), AT_ONCE):
            some = new[first : first + AT_ONCE]
            own["paths"][at[some]] = self._paths(at[some], ahead[some])
        own["ahead"][at], own["ready"][at] = ahead, True
        return own["paths"][at]

    def _paths(self, at: Places, ahead: Ahead) -> Paths:
        """The quantiles of all steps in rising order, before they are calibrated."""
        raise NotImplementedError
