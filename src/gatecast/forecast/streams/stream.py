"""`Stream`: the live series of one fitted model."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from jaxtyping import Float64

from gatecast.data.calendar import Times
from gatecast.data.frames import as_pandas
from gatecast.data.panel import Panel, as_time, time_text
from gatecast.errors import ConflictError, DataError, ForecastError, did_you_mean
from gatecast.forecast.panels.bands import probabilities
from gatecast.forecast.streams.core import Core, Kept, Places
from gatecast.forecast.streams.drift import Drift

RECENT = 32
"""Rows of every series by which one that comes again is known."""
MISSING_STEPS = 10
"""A row may come so many steps after the one that was due."""
MISSING_TIME = np.iinfo(np.int64).min
Row = float | int | None | Mapping[str, float | None] | Sequence[float | None] | np.ndarray


class Observed(NamedTuple):
    """What became of a row: "new", "missing" (new, without a target) or "known" (it changed nothing); and what the
    model and the naive forecast expected one step before, NaN where they did not."""

    series: str
    time: Any
    outcome: str
    forecast: float
    naive: float


class Arrival(NamedTuple):
    """A row that was sent: whose it is, its time and its values."""

    place: int
    time: Any
    values: Float64[np.ndarray, "C"]


class Stream:
    """Series that go on while they are forecast; every forecast is that of the model over all rows so far.

    Made by `model.stream(history)`. Rows come in the order of time. One that is due is taken in; where rows before it
    are missing, at most 10, they count as missing (a window model: as if there were no such rows). A row that is known,
    among the newest 32, changes nothing when it comes again; with another value, or older, it is a ConflictError. A
    missing value is final: a value for its time is a conflict.

    >>> import gatecast as gc
    >>> from gatecast.data.synthetic import sine
    >>> model = gc.Forecaster("gru:4", lookback=8, recipe=gc.Recipe(training=gc.Training(epochs=1)))
    >>> stream = model.fit(sine(80, period=8)).stream()
    >>> stream.observe(0.5).outcome
    'new'
    >>> list(stream.forecast(2).columns)
    ['unique_id', 'ds', 'gru:4']
    """

    def __init__(self, model: Any, core: Core) -> None:
        self.model, self._core, self._drift = model, core, Drift()
        self._places: dict[str, int] = {}
        history = model.history_ if hasattr(model, "history_") else model.panel_
        self._times: Times = np.empty((0, RECENT), dtype=history.times.dtype)
        self._rows = np.empty((0, RECENT, len(core.columns)))
        self._cycle = np.empty((0, core.calendar.season))

    @property
    def ids(self) -> tuple[str, ...]:
        """The live series."""
        return tuple(self._places)

    def last(self, series: str) -> Any:
        """The newest time of a series."""
        return self._times[self._place(series), -1]

    def begin(self, history: Any = None, static_df: Any = None) -> Stream:
        """Take in further series from their history (the model's own, without); returns the stream.

        `history`: a Panel, a path or a long frame on the model's calendar. Raises DataError for a series that is live
        already, or too short.
        """
        given = self._core.read(history, static_df)
        names = [name for each in _panels(given) for name in each.ids]
        live = next((name for name in names if name in self._places), None)
        if live is not None:
            raise DataError(f"series '{live}' is live already", "observe its rows, or forget it first")
        panel = self._core.begin(given)
        for name in panel.ids:
            self._places[name] = len(self._places)
        self._drift.begin(len(panel))
        times = np.full((len(panel), RECENT), np.datetime64("NaT") if panel.times.dtype.kind == "M" else MISSING_TIME)
        rows = np.full((len(panel), RECENT, len(self._core.columns)), np.nan)
        cycle = np.full((len(panel), self._cycle.shape[1]), np.nan)
        for s, each in enumerate(panel):
            count = min(RECENT, each.rows)
            times[s, -count:], rows[s, -count:] = each.times[-count:], each.values[-count:]
            known = pd.Series(each.values[:, 0]).ffill().to_numpy()[-cycle.shape[1] :]
            cycle[s, -len(known) :] = known
        self._times = np.concatenate([self._times, times.astype(self._times.dtype)])
        self._rows, self._cycle = np.concatenate([self._rows, rows]), np.concatenate([self._cycle, cycle])
        return self

    def forget(self, series: str) -> None:
        """Drop a series."""
        place = self._place(series)
        self._core.forget(place)
        self._drift.forget(place)
        self._times, self._rows, self._cycle = (
            np.delete(each, place, axis=0) for each in (self._times, self._rows, self._cycle)
        )
        self._places = {name: at for at, name in enumerate(each for each in self._places if each != series)}

    def observe(self, row: Row, *, series: str | None = None, time: Any = None) -> Observed:
        """Take in one row: a number (the target), numbers in the model's order of columns, or a mapping by column.

        NaN, None and a column that is left out are missing values. `series` may be left out where one is live, `time`
        where the row is the next by the calendar. Raises ConflictError, and DataError for what cannot be read.
        """
        place = self._place(series)
        due = self._core.calendar.future(self._times[place, -1], 1)[0]
        when = due if time is None else as_time(time, self._times[0])
        return self._take([Arrival(place, when, self._values(row))])[0]

    def observe_many(self, data: Any) -> tuple[Observed, ...]:
        """Take in a long frame of rows `unique_id`, `ds` and the model's columns, those of all series step by step
        together. All are taken in, or, where one raises an error, none."""
        frame = as_pandas(data)
        for name in ("unique_id", "ds"):
            if name not in frame.columns:
                raise DataError(f"the frame has no column '{name}'", did_you_mean(name, map(str, frame.columns)))
        unknown = [name for name in frame.columns if name not in ("unique_id", "ds", *self._core.columns)]
        if unknown:
            raise DataError(f"the model reads no column '{unknown[0]}'", did_you_mean(unknown[0], self._core.columns))
        values = np.full((len(frame), len(self._core.columns)), np.nan)
        for c, column in enumerate(self._core.columns):
            if column in frame.columns:
                values[:, c] = frame[column].to_numpy(dtype=np.float64, na_value=np.nan)
        pairs = zip(frame["unique_id"], frame["ds"], values, strict=True)
        return self._take([Arrival(self._place(str(i)), as_time(t, self._times[0]), row) for i, t, row in pairs])

    def forecast(
        self,
        h: int | None = None,
        *,
        series: str | Iterable[str] | None = None,
        level: Sequence[float | int] | float | int = (),
        quantiles: Sequence[float | int] | float | int = (),
        futr_df: Any = None,
    ) -> pd.DataFrame:
        """The next `h` times of every live series, or of those named, in original units.

        Columns `unique_id`, `ds`, the model's name, and bounds as in `GlobalForecaster.predict`. Bounds of a window
        model are of its first step; NaN beyond it.
        """
        names = self.ids if series is None else (series,) if isinstance(series, str) else tuple(series)
        if not names:
            raise ForecastError("no series is live", "call begin(history) first")
        if h is not None and h < 1:
            raise ForecastError(f"{h} steps asked for, expected at least 1")
        at = np.array([self._place(name) for name in names], dtype=np.int64)
        wanted = probabilities(_numbers(level), _numbers(quantiles))
        return pd.DataFrame(self._core.forecast(at, h, wanted, futr_df))

    def drift(self, series: str | None = None) -> pd.DataFrame:
        """How the model does of late: a row `unique_id, observed, model, naive, ratio, worse` for every series.

        `observed`: values that were compared with their one-step forecasts; `model`, `naive`: running mean absolute
        errors in original units, of the model and of the better of the last value and that of a season before; `worse`:
        the model has become worse than it, beyond chance. Source: `forecast.streams.drift`.
        """
        names = self.ids if series is None else (series,)
        at = np.array([self._place(name) for name in names], dtype=np.int64)
        own, kept = self._drift.kept["model"][at], self._drift.kept
        naive = kept["naive"][at, self._drift.better(at)]
        ratio = np.divide(own, naive, out=np.full(len(at), np.nan), where=naive > 0)
        columns = {"model": own, "naive": naive, "ratio": ratio, "worse": self._drift.worse(at)}
        return pd.DataFrame({"unique_id": names, "observed": kept["count"][at].astype(np.int64), **columns})

    def kept(self) -> Kept:
        """Everything that is known of the live series, as named arrays."""
        own = {"times": self._times.astype(np.int64), "recent": self._rows, "cycle": self._cycle}
        parts = (("own", own), ("drift", self._drift.kept), ("core", self._core.kept()))
        return {f"{part}.{name}": array for part, arrays in parts for name, array in arrays.items()}

    def put(self, kept: Kept, ids: tuple[str, ...]) -> Stream:
        """Take back what `kept` gave; KeyError or ValueError where it does not fit."""
        own, drift, core = (
            {name.removeprefix(f"{part}."): each for name, each in kept.items() if name.startswith(f"{part}.")}
            for part in ("own", "drift", "core")
        )
        for name, like in (("times", self._times), ("recent", self._rows), ("cycle", self._cycle)):
            if own[name].shape != (len(ids), *like.shape[1:]):
                raise ValueError(f"'{name}' of shape {own[name].shape} for {len(ids)} series")
        if {name: each.shape[1:] for name, each in drift.items()} != {
            name: each.shape[1:] for name, each in self._drift.kept.items()
        } or any(len(each) != len(ids) for each in drift.values()):
            raise ValueError("the running errors do not fit the series")
        self._times, self._rows, self._cycle = own["times"].astype(self._times.dtype), own["recent"], own["cycle"]
        self._drift.kept = {name: each.copy() for name, each in drift.items()}
        self._places = {name: at for at, name in enumerate(ids)}
        self._core.put(core, ids)
        return self

    # -- taking rows in -----------------------------------------------------------------------------------------------

    def _place(self, series: str | None) -> int:
        if series is None and len(self._places) == 1:
            return 0
        if series is None:
            raise DataError(f"{len(self._places)} series are live, and none was named", "say which with series=")
        if series not in self._places:
            raise DataError(f"no series '{series}' is live", did_you_mean(series, self.ids[:20]))
        return self._places[series]

    def _values(self, row: Row) -> Float64[np.ndarray, "C"]:
        """One row in the model's order of columns."""
        columns = self._core.columns
        if isinstance(row, Mapping):
            stray = next((name for name in row if name not in columns), None)
            if stray is not None:
                raise DataError(f"the model reads no column '{stray}'", did_you_mean(stray, columns))
            row = [row.get(name) for name in columns]
        given = list(row) if isinstance(row, Sequence | np.ndarray) else [row, *[None] * (len(columns) - 1)]
        if len(given) != len(columns):
            raise DataError(f"a row of {len(given)} numbers", f"expected {len(columns)}: {', '.join(columns)}")
        values = np.array([np.nan if each is None else each for each in given], dtype=np.float64)
        if np.isinf(values).any():
            raise DataError("a row holds an infinite number", "send numbers, or nothing where one is missing")
        return values

    def _take(self, arrivals: list[Arrival]) -> tuple[Observed, ...]:
        """Take in rows: each is checked before any is."""
        new, ends = self._new(arrivals)
        if new:
            self._core.check(np.stack([arrivals[i].values for i in new]))
        seen = {i: Observed(*self._named(each), "known", np.nan, np.nan) for i, each in enumerate(arrivals)}
        while new:
            first: dict[int, int] = {}
            for i in new:
                first.setdefault(arrivals[i].place, i)
            self._skip([arrivals[i] for i in first.values()])
            for i, each in zip(first.values(), self._push([arrivals[i] for i in first.values()]), strict=True):
                seen[i] = each
            new = [i for i in new if i not in first.values()]
        return tuple(seen[i] for i in range(len(arrivals)))

    def _new(self, arrivals: list[Arrival]) -> tuple[list[int], dict[int, Any]]:
        """Which rows are due, and the newest times after them; ConflictError or DataError for one that cannot be."""
        new: list[int] = []
        ends = {each.place: self._times[each.place, -1] for each in arrivals}
        coming: dict[tuple[int, Any], Float64[np.ndarray, "C"]] = {}
        for i, each in enumerate(arrivals):
            if each.time <= ends[each.place]:
                self._check_known(each, coming.get((each.place, each.time)))
                continue
            self._check_due(each, ends[each.place])
            ends[each.place], coming[each.place, each.time] = each.time, each.values
            new.append(i)
        return new, ends

    def _check_known(self, each: Arrival, coming: Float64[np.ndarray, "C"] | None) -> None:
        """Raise ConflictError unless a row of this time and these values was taken in."""
        name, when = self._named(each)
        found = np.flatnonzero(self._times[each.place] == each.time)
        if coming is None and not len(found):
            newest = time_text(self._times[each.place, -1])
            raise ConflictError(
                f"series '{name}': a row of {time_text(when)} comes too late, the newest is of {newest}",
                "send rows in the order of time",
            )
        known = self._rows[each.place, found[0]] if coming is None else coming
        if not np.array_equal(known, each.values, equal_nan=True):
            raise ConflictError(
                f"series '{name}' has another row at {time_text(when)}: {known.tolist()}, not {each.values.tolist()}",
                "a row that was taken in stays; begin the series again to revise it",
            )

    def _check_due(self, each: Arrival, last: Any) -> None:
        """Raise DataError for a time that is not on the calendar, or too far on."""
        name, when = self._named(each)
        calendar = self._core.calendar
        if not calendar.fits(np.array([last, when], dtype=self._times.dtype)):
            raise DataError(
                f"series '{name}': {time_text(when)} does not follow the model's calendar: {calendar.label} "
                f"({calendar.alias})",
                f"the next time is {time_text(calendar.future(last, 1)[0])}",
            )
        steps = calendar.steps_between(last, when)
        if steps > MISSING_STEPS + 1:
            raise DataError(
                f"series '{name}': {time_text(when)} is {steps} steps after {time_text(last)}, the newest row",
                f"send the rows between (at most {MISSING_STEPS} may be missing), or begin the series again",
            )

    def _named(self, each: Arrival) -> tuple[str, Any]:
        return self.ids[each.place], each.time

    def _skip(self, arrivals: list[Arrival]) -> None:
        """Rows without a value for the times before these, where the model counts such rows."""
        calendar = self._core.calendar
        while self._core.gaps and calendar.freq != "B":
            behind = [a for a in arrivals if calendar.steps_between(self._times[a.place, -1], a.time) > 1]
            if not behind:
                return
            nothing = np.full(len(self._core.columns), np.nan)
            due = [calendar.future(self._times[a.place, -1], 1)[0] for a in behind]
            self._push([Arrival(a.place, when, nothing) for a, when in zip(behind, due, strict=True)])

    def _push(self, arrivals: list[Arrival]) -> list[Observed]:
        """Take in at most one row of every series, the forecasts of which are made before."""
        at = np.array([each.place for each in arrivals], dtype=np.int64)
        times = np.array([each.time for each in arrivals], dtype=self._times.dtype)
        rows = np.stack([each.values for each in arrivals])
        said, naive = self._core.next(at), self._cycle[at][:, [-1, 0]]
        which = self._drift.better(at)
        self._core.push(at, times, rows)
        self._drift.learn(at, rows[:, 0], said, naive)
        self._remember(at, times, rows)
        guess = naive[np.arange(len(at)), which]
        kinds = np.where(np.isnan(rows[:, 0]), "missing", "new").tolist()
        numbers = zip(arrivals, kinds, said.tolist(), guess.tolist(), strict=True)
        return [Observed(*self._named(each), kind, mean, other) for each, kind, mean, other in numbers]

    def _remember(self, at: Places, times: Times, rows: Float64[np.ndarray, "n C"]) -> None:
        """The newest rows, and the last known values of one season."""
        for kept, new in ((self._times, times), (self._rows, rows)):
            kept[at] = np.concatenate([kept[at, 1:], new[:, None]], axis=1)
        known = np.where(np.isnan(rows[:, 0]), self._cycle[at, -1], rows[:, 0])
        self._cycle[at] = np.concatenate([self._cycle[at, 1:], known[:, None]], axis=1)


def _panels(given: Any) -> list[Panel]:
    """The panels of what a core has read."""
    return given if isinstance(given, list) else [given.panel]


def _numbers(given: Sequence[float | int] | float | int) -> tuple[float, ...]:
    return tuple(map(float, [given] if isinstance(given, int | float) else given))
