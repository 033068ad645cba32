"""The live series of the models of panels: running sums, and the rows that one forecast reads."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
from jaxtyping import Float64

from gatecast.data.calendar import Times
from gatecast.data.panel import Panel
from gatecast.errors import ForecastError
from gatecast.forecast.panels.candidates import crops_of, median
from gatecast.forecast.panels.direct import GlobalForecaster
from gatecast.forecast.panels.method import GlobalMethod
from gatecast.forecast.panels.method import Places as From
from gatecast.forecast.panels.sampling import SamplingForecaster
from gatecast.forecast.streams.core import Columns, Core, Kept, Places
from gatecast.forecast.streams.stream import refill
from gatecast.prepare.fill import last_known
from gatecast.prepare.given import Given
from gatecast.prepare.ring import Ring
from gatecast.prepare.tails import Level, Tail, Totals, drop
from gatecast.prepare.units import check_sign
from gatecast.train.lockstep import MEDIAN, QUANTILES

AT_ONCE = 1024
"""Series whose crops are read at once: bounds memory."""

Paths = Float64[np.ndarray, "n K Q"]
Ahead = Float64[np.ndarray, "n K F"]


class _Panels(Core):
    """What both kinds keep; `levels`: one for every transform that the networks read."""

    gaps = True

    def __init__(self, model: GlobalMethod, levels: list[Level]) -> None:
        given, count = model.fitted(), len(QUANTILES)
        self.model, self.name, self._levels = model, model.name, levels
        self.columns, self.calendar, self.times = given.panel.columns, given.panel.calendar, given.panel.times[:0]
        self.names = (model.covariates.id or "unique_id", model.covariates.date or "ds")
        nothing = np.full(len(self.columns), np.nan)
        columns = {"row": nothing, "filled": np.array(np.nan), "time": np.array(0, dtype=np.int64)}
        self._rows = Ring(levels[0].ring.depth, columns)
        self._totals, self._ids = Totals(len(self.columns) - 1), list[str]()
        self._own: Kept = {
            "static": np.zeros((0, given.static.shape[1])),
            "ahead": np.zeros((0, model.h, given.known)),
            "paths": np.zeros((0, model.h, count)),
            "ready": np.zeros(0, dtype=bool),
        }

    def read(self, history: Any, static_df: Any = None) -> Given:
        """The rows from which every series goes on."""
        given = self.model.fitted() if history is None else self.model.reading(history, static_df)
        self.check(given.panel.values)
        return given

    def begin(self, given: Given) -> None:
        """Sums of all rows, and the newest of them."""
        panel, series = given.panel, len(given.panel)
        past = {"row": panel.values, "filled": last_known(panel), "time": panel.times.astype(np.int64)}
        self._rows.begin(past, panel.indptr)
        self._totals.begin(given)
        for level in self._levels:
            level.begin(given)
        new: Kept = {name: np.zeros((series, *old.shape[1:]), old.dtype) for name, old in self._own.items()}
        new["static"] = given.static
        self._own = {name: np.concatenate([old, new[name]]) for name, old in self._own.items()}
        self._ids += panel.ids
        self._stale(np.arange(len(self._ids))[-series:])

    def forget(self, place: int) -> None:
        """Drop its sums and rows."""
        self._totals.forget(place)
        for level in self._levels:
            level.forget(place)
        drop(self._rows.kept, place)
        drop(self._own, place)
        del self._ids[place]
        self._stale(np.zeros(0, dtype=np.int64))

    def check(self, rows: Float64[np.ndarray, "n C"]) -> None:
        """A model that reads logarithms takes no negative target."""
        check_sign(rows[:, 0], any(level.log for level in self._levels), "a live series")

    def push(self, at: Places, times: Times, rows: Float64[np.ndarray, "n C"]) -> None:
        """One step of every sum and smoother."""
        season = self.calendar.season
        before, earlier = (self._rows.newest("row", at, back)[:, 0, 0] for back in (1, season))
        self._totals.add(at, rows, before, earlier)
        y = self._levels[0].usable(at, rows[:, 0])
        for level in self._levels:
            level.push(at, rows[:, 0])
        filled = np.where(np.isfinite(y), y, self._rows.newest("filled", at, 1)[:, 0])
        self._rows.write(at, {"row": rows, "filled": filled, "time": times.astype(np.int64)})
        self._stale(at)

    def forecast(self, at: Places, h: int | None, wanted: dict[str, float], futr_df: Any) -> Columns:
        """As `GlobalMethod.predict`."""
        h = self.model.h if h is None else h
        if h > self.model.h:
            raise ForecastError(f"{self.name} was fitted to forecast {self.model.h} steps, {h} asked for", f"h={h}")
        ends = self._rows.newest("time", at, 1)[:, 0].astype(self.times.dtype)
        ids, steps = np.array(self._ids, dtype=object)[at], np.arange(len(at) + 1)
        rows = Panel(self._rows.newest("row", at, 1)[:, 0], ends, steps, tuple(ids), self.columns, self.calendar)
        unknown = np.full((len(at), *self._own["ahead"].shape[1:]), np.nan)
        ahead = self.model.covariates.ahead(Given(rows, unknown, self._own["static"][at]), futr_df, h).ahead
        paths, places = self._said(at, ahead), From(ids, ends, self._totals.error(at))
        shown = np.tile(np.arange(self.model.h) < h, len(at))
        return {name: column[shown] for name, column in self.model.columns_of(paths, places, wanted).items()}

    def kept(self) -> Kept:
        """Sums, rows and what was forecast since the newest row."""
        return {f"{part}.{name}": array for part, arrays in self._parts().items() for name, array in arrays.items()}

    def put(self, kept: Kept, ids: tuple[str, ...]) -> None:
        """Sums, rows and what was forecast since the newest row."""
        for part, arrays in self._parts().items():
            refill(arrays, {name: kept[f"{part}.{name}"] for name in arrays}, len(ids))
        self._ids = list(ids)

    def _parts(self) -> dict[str, Kept]:
        parts = {"own": self._own, "rows": self._rows.kept, "totals": self._totals.kept}
        for number, level in enumerate(self._levels):
            parts |= {f"level.{number}": level.kept, f"level.{number}.rows": level.ring.kept}
        return parts

    def _stale(self, at: Places) -> None:
        """Forecasts of these series are no longer true; of all, where they share the spread of their columns."""
        self._own["ready"][slice(None) if len(self.columns) > 1 else at] = False

    def _given(self, at: Places, ahead: Ahead, filled: bool = False) -> Given:
        """The newest rows of these series; `filled`: with the last usable target where one is missing."""
        where, indptr = self._rows.tail(at)
        rows, times = self._rows.kept["row"][where], self._rows.kept["time"][where].astype(self.times.dtype)
        if filled:
            rows[:, 0] = self._rows.kept["filled"][where]
        ids = tuple(self._ids[place] for place in at)
        panel = Panel(rows, times, indptr, ids, self.columns, self.calendar, "last", "live series")
        return Given(panel, ahead, self._own["static"][at])

    def _said(self, at: Places, ahead: Ahead) -> Paths:
        """The quantiles of all steps."""
        raise NotImplementedError


class Direct(_Panels):
    """Of a `GlobalForecaster` with direct networks. A forecast is computed once for every row of a series."""

    def __init__(self, model: GlobalForecaster) -> None:
        self._tails = [Tail(part.candidate.transform == "log", part.crops.sizes) for part in model.parts_]
        super().__init__(model, list(self._tails))
        self._networks = model.parts_

    def next(self, at: Places) -> Float64[np.ndarray, "n"]:
        """The median of the first step; where columns are known ahead, that of the last forecast, if there is one."""
        if self._own["ahead"].shape[2]:
            return np.where(self._own["ready"][at], self._own["paths"][at, 0, MEDIAN], np.nan)
        return self._said(at, self._own["ahead"][at])[:, 0, MEDIAN]

    def _said(self, at: Places, ahead: Ahead) -> Paths:
        own = self._own
        same = (own["ahead"][at] == ahead) | (np.isnan(own["ahead"][at]) & np.isnan(ahead))
        new = ~(own["ready"][at] & same.all(axis=(1, 2)))
        for some in np.split(np.flatnonzero(new), np.arange(AT_ONCE, int(new.sum()), AT_ONCE)):
            if len(some):
                own["paths"][at[some]] = self._paths(at[some], ahead[some])
        own["ahead"][at], own["ready"][at] = ahead, True
        return own["paths"][at]

    def _paths(self, at: Places, ahead: Ahead) -> Paths:
        given, totals, found = self._given(at, ahead), self._totals, []
        for part, tail in zip(self._networks, self._tails, strict=True):
            units = totals.units(at, tail.transform(at, totals), tail.difference(at, totals))
            crops = crops_of(given, part.crops.sizes, part.candidate, units, tail.facts(at, totals))
            found.append(part._replace(units=units, crops=crops).paths(np.arange(len(at))))
        return median(np.concatenate(found))


class Draws(_Panels):
    """Of a recursive model, alone or in the place of a `GlobalForecaster`'s direct networks."""

    def __init__(self, model: GlobalMethod, drawer: SamplingForecaster) -> None:
        season = model.fitted().panel.calendar.season
        super().__init__(model, [Level(drawer.log, season, drawer.context_ + season)])
        self._drawer = drawer

    def next(self, at: Places) -> Float64[np.ndarray, "n"]:
        """The mean of the networks' locations, without a draw; NaN where columns are known ahead."""
        if self._own["ahead"].shape[2]:
            return np.full(len(at), np.nan)
        return self._twin(at, self._own["ahead"][at]).expected(self._ranges(at))

    def _said(self, at: Places, ahead: Ahead) -> Paths:
        order = np.argsort(np.array(self._ids, dtype=object)[at], kind="stable")
        at, ahead = at[order], ahead[order]
        return self._twin(at, ahead).quantiles(ranges=self._ranges(at))[np.argsort(order)]

    def _twin(self, at: Places, ahead: Ahead) -> SamplingForecaster:
        """The drawing model over the newest rows."""
        twin, (level,) = copy.copy(self._drawer), self._levels
        twin.given_ = self._given(at, ahead, filled=True)
        transform, difference = level.transform(at, self._totals), level.difference(at, self._totals)
        twin.units_ = self._totals.units(at, transform, difference)
        return twin

    def _ranges(self, at: Places) -> Float64[np.ndarray, "rows 2"]:
        lengths = np.diff(self._rows.tail(at)[1])
        return np.repeat(self._levels[0].ranges(at, self._totals), lengths, axis=0)
