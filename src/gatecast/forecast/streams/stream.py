"""`Stream`: the live series of one fitted model."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple, SupportsIndex

import numpy as np
import pandas as pd
from jaxtyping import Float64

from gatecast.data.frames import long_columns
from gatecast.data.panel import Panel, as_time, time_text
from gatecast.errors import DataError, ForecastError, did_you_mean
from gatecast.forecast.panels.bands import probabilities
from gatecast.forecast.panels.method import counted
from gatecast.forecast.streams.core import Columns, Core, Kept, Places
from gatecast.forecast.streams.drift import Drift
from gatecast.forecast.streams.recent import Arrival, Recent

Name = str | int
Row = float | int | None | Mapping[str, Any] | Sequence[Any] | np.ndarray
Numbers = Sequence[float | int] | float | int | np.number


LARGEST = 1e100
"""A value whose square is a number."""


class Observed(NamedTuple):
    """What became of a row: "new", "missing" (new, without a target) or "known" (it changed nothing); and what the
    model and the naive forecast expected one step before, NaN where they did not."""

    series: str
    time: Any
    outcome: str
    forecast: float
    naive: float


class Stream:
    """Series that go on while they are forecast; every forecast is that of the model over all rows so far.

    Made by `model.stream(history)`. What is kept of a series does not grow with its past, nor does the work for a row.
    Rows come in the order of time. One that is due is taken in; where at most 10 before it are missing, they count as
    missing values (of a window model: as if there were no such rows). A row among the newest 32 changes nothing when
    it comes again; with another value, or where it is older, it is a ConflictError. A missing value is final: a later
    value for its time is a conflict. A window model repeats the last value in place of a missing one.

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
        self._recent = Recent(core.calendar, core.times, len(core.columns))
        self._places: dict[str, int] = {}

    @property
    def ids(self) -> tuple[str, ...]:
        """The live series."""
        return tuple(self._places)

    @property
    def columns(self) -> tuple[str, ...]:
        """What a row holds, the target first."""
        return self._core.columns

    def last(self, series: Name) -> Any:
        """The newest time of a series."""
        return self._recent.last(self._place(series))

    def begin(self, history: Any = None, *, static_df: Any = None) -> Stream:
        """Take in further series from their history (the model's own, without); returns the stream.

        `history`: a Panel, a path or a long frame on the model's calendar; `static_df` as in `predict`. Raises
        DataError for a series that is live already, or too short.
        """
        given = self._core.read(history, static_df)
        panel = given.panel
        live = next((name for name in panel.ids if name in self._places), None)
        if live is not None:
            raise DataError(f"series '{live}' is live already", "observe its rows, or forget it first")
        self._core.begin(given)
        self._recent.begin(panel)
        self._drift.begin(len(panel))
        self._places |= {name: len(self._places) + s for s, name in enumerate(panel.ids)}
        return self

    def forget(self, series: Name) -> None:
        """Drop a series."""
        place = self._place(series)
        for each in (self._core, self._recent, self._drift):
            each.forget(place)
        self._places = {name: at for at, name in enumerate(each for each in self._places if each != str(series))}

    def observe(self, row: Row, *, series: Name | None = None, time: Any = None) -> Observed:
        """Take in one row: a number (the target), numbers in the model's order of columns, or a mapping by column.

        NaN, None and a column that is left out are missing values. `series` may be left out where one is live, `time`
        where the row is the next by the calendar. Raises ConflictError, and DataError for what cannot be read.
        """
        place = self._place(series)
        when = self._recent.due(place) if time is None else as_time(time, self._recent.like)
        return self._take([Arrival(place, when, self._values(row))])[0]

    def observe_many(self, data: Any) -> tuple[Observed, ...]:
        """Take in a long frame of rows under the model's names of columns, those of all series step by step together.

        Times are in any order. All rows are taken in, or, where one raises an error, none. The name of the series may
        be left out where one is live, and so may columns, which are missing then.
        """
        id_, date = self._core.names
        if isinstance(data, Panel):
            data = data.frame().rename(columns={"unique_id": id_, "ds": date})
        frame = long_columns(data, (date, self.columns[0]), (id_, *self.columns[1:]))
        count = len(frame[date])
        places = [self._place(None if name is None else str(name)) for name in frame.get(id_, [None] * count)]
        times = [as_time(time, self._recent.like) for time in frame[date]]
        values = np.full((count, len(self.columns)), np.nan)
        for c, column in enumerate(self.columns):
            values[:, c] = frame.get(column, np.nan)
        order = sorted(range(count), key=lambda i: times[i])
        found = self._take([Arrival(places[i], times[i], values[i]) for i in order])
        return tuple(each for _, each in sorted(zip(order, found, strict=True), key=lambda pair: pair[0]))

    def forecast(
        self,
        h: SupportsIndex | None = None,
        *,
        series: Name | Iterable[Name] | None = None,
        level: Numbers = (),
        quantiles: Numbers = (),
        futr_df: Any = None,
    ) -> pd.DataFrame:
        """The next `h` times of every live series, or of those named, in original units.

        Columns `unique_id`, `ds` (under the model's names), the model's name, and bounds as in
        `GlobalForecaster.predict`. A window model has bounds of the first step alone: more are a ForecastError.
        """
        columns = self.ahead(h, series, (level, quantiles), futr_df)
        names = dict(zip(("unique_id", "ds"), self._core.names, strict=True))
        return pd.DataFrame({names.get(name, name): column for name, column in columns.items()})

    def ahead(
        self,
        h: SupportsIndex | None = None,
        series: Name | Iterable[Name] | None = None,
        wanted: tuple[Numbers, Numbers] = ((), ()),
        futr_df: Any = None,
    ) -> Columns:
        """The columns of `forecast` as plain arrays; `wanted`: levels and quantiles."""
        at = self._at(series)
        if not len(at):
            hint = "call begin(history) first" if series is None else "name at least one"
            raise ForecastError("no series is live" if series is None else "no series is named", hint)
        return self._core.forecast(
            at, None if h is None else counted("h", h), probabilities(*map(_numbers, wanted)), futr_df
        )

    def drift(self, series: Name | Iterable[Name] | None = None) -> pd.DataFrame:
        """How the model does of late: a row `unique_id, observed, model, naive, ratio, worse` for every series.

        `observed`: values that were compared with their one-step forecasts; `model`, `naive`: running mean absolute
        errors in original units, of the model and of the better of the last value and that of a season before; `worse`:
        the model has become worse than it, beyond chance. Rule and source: `forecast.streams.drift`.
        """
        at = self._at(series)
        names = np.array(self._recent.ids, dtype=object)[at]
        return pd.DataFrame({self._core.names[0]: names, **self._drift.told(at)})

    def kept(self) -> Kept:
        """Everything that is known of the live series, as named arrays."""
        parts = self._parts()
        return {f"{part}.{name}": array for part, arrays in parts.items() for name, array in arrays.items()}

    def put(self, kept: Kept, ids: tuple[str, ...]) -> Stream:
        """Take back what `kept` gave; KeyError or ValueError where it does not fit the model."""
        if kept.keys() != self.kept().keys() or len(set(ids)) < len(ids):
            raise ValueError(f"{sorted(kept)} of series {ids[:10]}, expected {sorted(self.kept())}, every series once")
        own = {part: _part(kept, part) for part in self._parts()}
        refill(self._recent.kept, own["recent"], len(ids))
        refill(self._drift.kept, own["drift"], len(ids))
        self._core.put(own["core"], ids)
        if (self._recent.kept["count"] < 1).any() or not np.isfinite(self._drift.kept["count"]).all():
            raise ValueError("a series without rows, or errors without number")
        self._recent.ids = list(ids)
        self._places = {name: at for at, name in enumerate(ids)}
        return self

    def _parts(self) -> dict[str, Kept]:
        return {"recent": self._recent.kept, "drift": self._drift.kept, "core": self._core.kept()}

    # -- taking rows in -----------------------------------------------------------------------------------------------

    def _place(self, series: Name | None) -> int:
        series = None if series is None else str(series)
        if series is None and len(self._places) == 1:
            return 0
        if series is None:
            raise DataError(f"{len(self._places)} series are live, and none was named", "say which with series=")
        if series not in self._places:
            raise DataError(f"no series '{series}' is live", did_you_mean(series, self.ids[:20]))
        return self._places[series]

    def _at(self, series: Name | Iterable[Name] | None) -> Places:
        if series is None:
            return np.arange(len(self._places))
        named = series if isinstance(series, Iterable) and not isinstance(series, str) else [series]
        return np.array([self._place(name) for name in named], dtype=np.int64)

    def _values(self, row: Row) -> Float64[np.ndarray, "C"]:
        """One row in the model's order of columns."""
        columns = self.columns
        if isinstance(row, Mapping):
            stray = next((name for name in row if name not in columns), None)
            if stray is not None:
                raise DataError(f"the model reads no column '{stray}'", did_you_mean(str(stray), columns))
            row = [row.get(name) for name in columns]
        several = isinstance(row, Sequence | np.ndarray) and not isinstance(row, str) and np.ndim(row) > 0
        given: list[Any] = [*np.asarray(row, dtype=object)] if several else [row, *[None] * (len(columns) - 1)]
        if len(given) != len(columns):
            raise DataError(f"a row of {len(given)} numbers", f"expected {len(columns)}: {', '.join(columns)}")
        try:
            return np.array([np.nan if each is None else float(each) for each in given])
        except (TypeError, ValueError, OverflowError) as cause:
            raise DataError(f"{row!r} is not a row of numbers", "send numbers, or None where one is missing") from cause

    def _take(self, arrivals: list[Arrival]) -> list[Observed]:
        """Take in rows, the earliest first: all are checked before one is taken in."""
        waiting = self._recent.new(arrivals)
        if waiting:
            rows = np.stack([arrivals[i].values for i in waiting])
            for row, column in np.argwhere(np.abs(rows) > LARGEST):
                arrival, name = arrivals[waiting[row]], self.columns[column]
                raise DataError(
                    f"series '{self._recent.ids[arrival.place]}' at {time_text(arrival.time)}: {name} is "
                    f"{rows[row, column]:g}, expected a number of at most {LARGEST:g}",
                    "send numbers, or None where one is missing",
                )
            self._core.check(rows)
        found = [Observed(self._recent.ids[each.place], each.time, "known", np.nan, np.nan) for each in arrivals]
        while waiting:
            next_: dict[int, int] = {}
            for i in waiting:
                next_.setdefault(arrivals[i].place, i)
            some = [arrivals[i] for i in next_.values()]
            self._skip(some)
            for i, seen in zip(next_.values(), self._push(some), strict=True):
                found[i] = seen
            taken = set(next_.values())
            waiting = [i for i in waiting if i not in taken]
        return found

    def _skip(self, arrivals: list[Arrival]) -> None:
        """Rows without a value for the times before these, where the model counts such rows."""
        calendar = self._core.calendar
        behind = arrivals if self._core.gaps and calendar.freq != "B" else []
        while behind := [a for a in behind if calendar.steps_between(self._recent.last(a.place), a.time) > 1]:
            nothing = np.full(len(self.columns), np.nan)
            self._push([Arrival(a.place, self._recent.due(a.place), nothing) for a in behind])

    def _push(self, arrivals: list[Arrival]) -> list[Observed]:
        """Take in at most one row of every series, the forecasts of which are made before."""
        at = np.array([each.place for each in arrivals], dtype=np.int64)
        times = np.array([each.time for each in arrivals], dtype=self._recent.like.dtype)
        rows = np.stack([each.values for each in arrivals])
        said, naive = self._core.next(at), self._recent.naive(at)
        guess = naive[np.arange(len(at)), self._drift.better(at)]
        self._core.push(at, times, rows)
        self._drift.learn(at, rows[:, 0], said, naive)
        self._recent.remember(at, times, rows)
        kinds = np.where(np.isnan(rows[:, 0]), "missing", "new").tolist()
        facts = zip(arrivals, kinds, said.tolist(), guess.tolist(), strict=True)
        return [Observed(self._recent.ids[a.place], a.time, kind, mean, other) for a, kind, mean, other in facts]


def refill(kept: Kept, found: Kept, series: int) -> None:
    """Put the arrays that were found in place of those that are kept; ValueError where a shape is another."""
    if found.keys() != kept.keys():
        raise ValueError(f"{sorted(found)} kept, expected {sorted(kept)}")
    for name, like in kept.items():
        if found[name].shape != (series, *like.shape[1:]) or found[name].dtype != like.dtype:
            raise ValueError(f"'{name}' is {found[name].dtype} of {found[name].shape} for {series} series")
        kept[name] = found[name].copy()


def _part(kept: Kept, part: str) -> Kept:
    return {name.removeprefix(f"{part}."): each for name, each in kept.items() if name.startswith(f"{part}.")}


def _numbers(given: Numbers) -> tuple[float, ...]:
    return tuple(map(float, [given] if isinstance(given, int | float | np.number) else given))
