"""The newest rows of live series: what is due, what is known already, and what a naive forecast would say."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float64

from gatecast.data.calendar import Calendar, Times
from gatecast.data.panel import Panel, time_text
from gatecast.errors import ConflictError, DataError
from gatecast.forecast.method import MISSING_STEPS
from gatecast.forecast.streams.core import Kept, Places
from gatecast.prepare.fill import last_known
from gatecast.prepare.ring import Ring
from gatecast.prepare.tails import drop

RECENT = 32
"""Rows of every series by which one that comes again is known."""
NEVER = np.iinfo(np.int64).min

Values = Float64[np.ndarray, "C"]


class Arrival(NamedTuple):
    """A row that was sent: whose it is, its time and its values."""

    place: int
    time: Any
    values: Float64[np.ndarray, "C"]


class Recent:
    """Rows as they came, and the target as last known, of S series on one calendar."""

    def __init__(self, calendar: Calendar, times: Times, columns: int) -> None:
        self.calendar, self.ids = calendar, list[str]()
        self.like = calendar.future(times[0], 2)
        """Times by which others are read: two in a row are both midnights where rows are days, not hours."""
        nothing = np.full(columns, np.nan)
        empty = {"time": np.array(NEVER), "row": nothing, "filled": np.array(np.nan)}
        self._ring = Ring(max(RECENT, calendar.season), empty)

    @property
    def kept(self) -> Kept:
        """Everything as named arrays."""
        return self._ring.kept

    def begin(self, panel: Panel) -> None:
        """Further series with the rows of their past."""
        rows = {"time": panel.times.astype(np.int64), "row": panel.values, "filled": last_known(panel)}
        self._ring.begin(rows, panel.indptr)
        self.ids += panel.ids

    def forget(self, place: int) -> None:
        """Drop a series."""
        drop(self._ring.kept, place)
        del self.ids[place]

    def last(self, place: int) -> Any:
        """The newest time of a series."""
        return self._ring.newest("time", np.array([place]), 1)[0].astype(self.like.dtype)[0]

    def due(self, place: int) -> Any:
        """The next time of a series by the calendar."""
        return self.calendar.future(self.last(place), 1)[0]

    def naive(self, at: Places) -> Float64[np.ndarray, "n 2"]:
        """The last value, and that of one season before the next row; of a shorter series its first."""
        season = self.calendar.season
        found = self._ring.newest("filled", at, season)
        first = np.maximum(season - self._ring.kept["count"][at], 0)
        return np.stack([found[:, -1], found[np.arange(len(at)), first]], axis=1)

    def remember(self, at: Places, times: Times, rows: Float64[np.ndarray, "n C"]) -> None:
        """One more row of each."""
        filled = np.where(np.isnan(rows[:, 0]), self._ring.newest("filled", at, 1)[:, 0], rows[:, 0])
        self._ring.write(at, {"time": times.astype(np.int64), "row": rows, "filled": filled})

    def new(self, arrivals: list[Arrival]) -> list[int]:
        """Which rows are not known yet; ConflictError or DataError for one that cannot be taken in. Nothing changes."""
        found: list[int] = []
        ends = {place: self.last(place) for place in {each.place for each in arrivals}}
        coming: dict[tuple[int, Any], Values] = {}
        for i, each in enumerate(arrivals):
            if each.time <= ends[each.place]:
                self._check_known(each, coming.get((each.place, each.time)))
                continue
            self._check_due(each, ends[each.place])
            ends[each.place], coming[each.place, each.time] = each.time, each.values
            found.append(i)
        return found

    def _check_known(self, each: Arrival, coming: Values | None) -> None:
        """Raise ConflictError unless a row of this time and these values was taken in."""
        name, when, at = self.ids[each.place], time_text(each.time), np.array([each.place])
        times = self._ring.newest("time", at, RECENT)[0].astype(self.like.dtype)
        found = np.flatnonzero(times == each.time)
        if coming is None and not len(found):
            raise ConflictError(
                f"series '{name}': a row of {when} comes too late, the newest is of {time_text(times[-1])}",
                "send rows in the order of time",
            )
        known = self._ring.newest("row", at, RECENT)[0, found[0]] if coming is None else coming
        if not np.array_equal(known, each.values, equal_nan=True):
            raise ConflictError(
                f"series '{name}' has another row at {when}: {known.tolist()}, not {each.values.tolist()}",
                "a row that was taken in stays; forget the series and begin it again to revise it",
            )

    def _check_due(self, each: Arrival, last: Any) -> None:
        """Raise DataError for a time that is not on the calendar, or too far on."""
        name, when, calendar = self.ids[each.place], time_text(each.time), self.calendar
        if not calendar.fits(np.array([last, each.time], dtype=self.like.dtype)):
            raise DataError(
                f"series '{name}': {when} does not follow the model's calendar: {calendar.label} ({calendar.alias})",
                f"the next time is {time_text(calendar.future(last, 1)[0])}",
            )
        between = calendar.steps_between(last, each.time) - 1
        if between > MISSING_STEPS:
            raise DataError(
                f"series '{name}': {between} rows are missing between {time_text(last)}, the newest, and {when}",
                f"send them (at most {MISSING_STEPS} may be missing), or forget the series and begin it again",
            )
