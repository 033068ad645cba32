"""`Panel`: one or many series as one flat array plus index pointers; immutable."""

from __future__ import annotations

import operator
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import date
from typing import Any, Literal

import numpy as np
import pandas as pd
from jaxtyping import Float64, Int64

from gatecast.data.calendar import Calendar, Times
from gatecast.errors import DataError, did_you_mean

Fill = Literal["error", "last", "linear"]
When = str | int | np.integer | np.datetime64 | date
"""A time: text, a date (so are `datetime` and the `Timestamp` of pandas), or a whole number where time is a counter."""


@dataclass(frozen=True, eq=False)
class Panel:
    """Series in the caller's units, the target first, missing cells as NaN.

    `values[indptr[s]:indptr[s+1]]` are the rows of series `ids[s]`, sorted by time. Arrays are read-only.
    `fill` says how a missing target is filled once a cut-off is known (`prepare.fill`); other columns are filled
    by their last value under "error", because only the target's gaps are an error by default. What precedes the first
    value of such a column stays missing: a model that reads it there is refused.

    >>> import gatecast as gc
    >>> gc.dataset("ibm").until("2012-12-31").span
    '2000-03-01 to 2012-12-31'
    """

    values: Float64[np.ndarray, "rows columns"]
    times: Times
    indptr: Int64[np.ndarray, "pointers"]
    ids: tuple[str, ...]
    columns: tuple[str, ...]
    calendar: Calendar
    fill: Fill = "error"
    source: str = "frame"
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not (len(self.values) == len(self.times) == self.indptr[-1] and len(self.ids) == len(self.indptr) - 1):
            raise DataError(f"a panel of {len(self.values)} rows does not fit {len(self.times)} times and its pointers")
        for array in (self.values, self.times, self.indptr):
            array.flags.writeable = False

    @property
    def target(self) -> str:
        """Name of the forecast column."""
        return self.columns[0]

    @property
    def rows(self) -> int:
        """Rows over all series."""
        return len(self.values)

    @property
    def span(self) -> str:
        """First and last time, as text."""
        return f"{time_text(self.times.min())} to {time_text(self.times.max())}" if self.rows else "empty"

    def __len__(self) -> int:
        """Number of series."""
        return len(self.ids)

    def __iter__(self) -> Iterator[Panel]:
        """Each series as a panel of its own."""
        return (self._slice(s) for s in range(len(self)))

    def series(self, name: str) -> Panel:
        """The one series called `name`."""
        if name not in self.ids:
            raise DataError(f"no series '{name}' in {self.source}", did_you_mean(name, self.ids[:20]))
        return self._slice(self.ids.index(name))

    def single(self) -> Panel:
        """This panel, if it holds exactly one series."""
        if len(self) != 1:
            raise DataError(
                f"{self.source} holds {len(self)} series, expected one",
                f"take one with panel.series('{self.ids[0]}'), or run all of them one after another with `leaderboard`",
            )
        return self

    def until(self, when: When) -> Panel:
        """The rows at or before `when` (a date such as "2016-12-31", or an integer time)."""
        return self.where(self.times <= as_time(when, self.times))

    def after(self, when: When) -> Panel:
        """The rows later than `when`."""
        return self.where(self.times > as_time(when, self.times))

    def columns_as(self, names: tuple[str, ...]) -> Panel:
        """The same rows with these columns only, in this order (the first is the target)."""
        for name in names:
            if name not in self.columns:
                raise DataError(f"no column '{name}' in {self.source}", did_you_mean(name, self.columns))
        picked = np.ascontiguousarray(self.values[:, [self.columns.index(name) for name in names]])
        return replace(self, values=picked, columns=tuple(names))

    def by_name(self) -> Panel:
        """The same series in the order of their names."""
        order = sorted(range(len(self)), key=lambda s: self.ids[s])
        if order == list(range(len(self))):
            return self
        lengths = np.diff(self.indptr)[order]
        pointers = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
        rows = np.arange(self.rows) + np.repeat(self.indptr[order] - pointers[:-1], lengths)
        ids = tuple(self.ids[s] for s in order)
        return replace(self, values=self.values[rows], times=self.times[rows], indptr=pointers, ids=ids)

    def seasoned(self, season: int | None) -> Panel:
        """The same rows with a season of so many of them; None: the calendar's own."""
        return self if season is None else replace(self, calendar=replace(self.calendar, period=season))

    def without_empty(self) -> Panel:
        """The series that have a row."""
        full = np.diff(self.indptr) > 0
        pointers = np.append(self.indptr[:-1][full], self.rows).astype(np.int64)
        return replace(self, indptr=pointers, ids=tuple(i for i, kept in zip(self.ids, full, strict=True) if kept))

    def frame(self) -> pd.DataFrame:
        """The long frame `unique_id, ds, <columns>`."""
        ids = np.repeat(np.array(self.ids, dtype=object), np.diff(self.indptr))
        head = pd.DataFrame({"unique_id": ids, "ds": self.times})
        return pd.concat([head, pd.DataFrame(self.values, columns=list(self.columns))], axis=1)

    def _slice(self, s: int) -> Panel:
        rows = slice(self.indptr[s], self.indptr[s + 1])
        pointers = np.array([0, rows.stop - rows.start], dtype=np.int64)
        return replace(self, values=self.values[rows], times=self.times[rows], indptr=pointers, ids=(self.ids[s],))

    def where(self, mask: np.ndarray) -> Panel:
        """The rows where `mask` [rows] is true."""
        pointers = np.concatenate([[0], np.cumsum(mask)])[self.indptr].astype(np.int64)
        return replace(self, values=self.values[mask], times=self.times[mask], indptr=pointers)


def as_time(when: Any, like: Times) -> np.datetime64 | np.int64:
    """A date or counter as the type of `like`; a bare month or year means its first day.

    A date that nanoseconds cannot count becomes the first or the last that they can: all rows lie on one side of it.
    A date with a zone is taken as `read` takes a column of them: the local date of a midnight among days, else UTC.
    Raises DataError for anything else, also for a number where times are dates.
    """
    try:
        if like.dtype.kind == "i":
            return np.int64(int(when) if isinstance(when, str) else operator.index(when))
        return _as_date(when, like)
    except (ValueError, TypeError, OverflowError) as cause:
        kind = (
            "a whole number, because time is a counter here"
            if like.dtype.kind == "i"
            else "a date such as '2017-01-01' (as a cut-off also '20%' or '251 rows')"
        )
        raise DataError(f"'{when}' is not a time of this series; expected {kind}") from cause


def _as_date(when: Any, like: Times) -> np.datetime64:
    stamp = pd.NaT if isinstance(when, int | float | np.number) else pd.Timestamp(when)
    if not isinstance(stamp, pd.Timestamp):
        raise ValueError("no date")
    if stamp.tzinfo is not None:
        days = stamp == stamp.normalize() and (like == like.astype("datetime64[D]")).all()
        stamp = stamp.tz_localize(None) if days else stamp.tz_convert(None)
    return min(max(stamp, pd.Timestamp.min), pd.Timestamp.max).as_unit("ns").to_datetime64()


def time_text(time: np.datetime64 | np.integer) -> str:
    """A time as short text: without the clock where it is midnight.

    >>> time_text(np.datetime64("2017-01-03T00:00:00.000000000"))
    '2017-01-03'
    """
    if isinstance(time, np.integer):
        return str(time)
    stamp = pd.Timestamp(time)
    return str(stamp.date()) if time == time.astype("datetime64[D]") else str(stamp)


def series_panel(
    values: Float64[np.ndarray, "T C"], times: Times, columns: tuple[str, ...], calendar: Calendar, name: str = "series"
) -> Panel:
    """A panel of one series from plain arrays."""
    return Panel(values, times, np.array([0, len(values)], dtype=np.int64), (name,), columns, calendar, source=name)
