"""The rule by which a series' times go on: found from the dates, used to count gaps and to date the future."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import pandas as pd
from jaxtyping import Int64, Shaped

from gatecast.errors import DataError, SpecError, did_you_mean

Times = Shaped[np.ndarray, "T"]
"""datetime64[ns], or int64 where time is a plain counter."""

# frequency family -> (season m, what a report calls it, the word after "every 2")
SEASONS = {
    "h": (24, "hourly", "hours"),
    "D": (7, "daily", "days"),
    "B": (1, "business days", "business days"),
    "W": (1, "weekly", "weeks"),
    "MS": (12, "monthly", "months"),
    "ME": (12, "monthly", "months"),
    "QS": (4, "quarterly", "quarters"),
    "QE": (4, "quarterly", "quarters"),
    "YS": (1, "yearly", "years"),
    "YE": (1, "yearly", "years"),
    "BMS": (12, "monthly on the first weekday", "months, on the first weekday"),
    "BME": (12, "monthly on the last weekday", "months, on the last weekday"),
    "BQS": (4, "quarterly on the first weekday", "quarters, on the first weekday"),
    "BQE": (4, "quarterly on the last weekday", "quarters, on the last weekday"),
    "BYS": (1, "yearly on the first weekday", "years, on the first weekday"),
    "BYE": (1, "yearly on the last weekday", "years, on the last weekday"),
    "min": (1, "every minute", "minutes"),
    "s": (1, "every second", "seconds"),
    "step": (1, "integer steps", "integer steps"),
}
# frequency family -> (unit its times are counted in, units per step); units: counter, business day, day, second, month
UNITS = {
    "step": ("i", 1),
    "B": ("B", 1),
    "D": ("D", 1),
    "W": ("D", 7),
    "h": ("s", 3600),
    "min": ("s", 60),
    "s": ("s", 1),
    **{f"{business}M{side}": ("M", 1) for business in ("", "B") for side in "SE"},
    **{f"{business}Q{side}": ("M", 3) for business in ("", "B") for side in "SE"},
    **{f"{business}Y{side}": ("M", 12) for business in ("", "B") for side in "SE"},
}
MONTHS = ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")
WEEKDAYS = ("MON", "TUE", "WED", "THU", "FRI", "SAT", "SUN")
BUSINESS_SHARE = 0.9
"""Dates are business days when none is a weekend and at least this share of the weekdays is there."""
ENOUGH_TO_TELL = 6
"""Fewer rows do not tell business days from days."""
HOLIDAYS = 5
"""Up to this many weekdays without a row are taken for holidays; a longer run is told."""
DAY = np.timedelta64(1, "D")


class Hole(NamedTuple):
    """The weekdays between two rows of business days: the first and the last of them (datetime64[D]), how many."""

    first: np.datetime64
    last: np.datetime64
    weekdays: int


@dataclass(frozen=True)
class Calendar:
    """A frequency (pandas offset alias, or `step` for integer time) with its multiple and season.

    Days, weeks and months keep the time of day of the series, so that closing prices at 16:00 are business days too.
    """

    freq: str
    every: int = 1
    period: int | None = None

    @property
    def alias(self) -> str:
        """The pandas offset alias, such as `B`, `30min`, `W-SUN`; `step` for integer time."""
        return self.freq if self.every == 1 else f"{self.every}{self.freq}"

    @property
    def season(self) -> int:
        """The seasonal period m: `period` if given, else H 24, D 7, business day 1, W 1, M 12, Q 4; min: a day's."""
        if self.period is not None:
            return self.period
        if self.freq == "min":
            return max(1, 1440 // self.every)
        return SEASONS[self._family][0] if self.every == 1 else 1

    @property
    def label(self) -> str:
        """The frequency in words."""
        _, name, plural = SEASONS[self._family]
        return name if self.every == 1 else f"every {self.every} {plural}"

    @property
    def _family(self) -> str:
        return self.freq.split("-")[0]

    @property
    def _unit(self) -> str:
        return UNITS[self._family][0]

    @property
    def _step(self) -> int:
        return UNITS[self._family][1] * self.every

    def future(self, last: np.datetime64 | np.integer | int, h: int) -> Times:
        """The h times that follow `last` by the rule (business days know weekends, not holidays)."""
        start = self._array(last)
        ahead = self._count(start) + self._step * np.arange(1, h + 1, dtype=np.int64)
        return self._times(ahead, self._clock(start))

    def missing(self, times: Times) -> int:
        """How many rows the rule expects between the first and the last time and does not find (holidays: none)."""
        if len(times) < 2 or self.freq == "B":
            return 0
        return int(self.steps_between(times[0], times[-1]) + 1 - len(times))

    def holes(self, times: Times) -> tuple[Hole, ...]:
        """Runs of more than `HOLIDAYS` weekdays without a row among business days; others have `missing`."""
        if self.freq != "B":
            return ()
        counts = self._count(times)
        absent = np.diff(counts) - 1
        days = [self._times(counts + step, 0 * DAY).astype("datetime64[D]") for step in (1, -1)]
        return tuple(Hole(days[0][k], days[1][k + 1], int(absent[k])) for k in np.flatnonzero(absent > HOLIDAYS))

    def steps_between(self, first: np.datetime64 | np.integer | int, last: np.datetime64 | np.integer | int) -> int:
        """How many steps of the rule lead from `first` to `last`."""
        return int((self._count(self._array(last)) - self._count(self._array(first)))[0] // self._step)

    def positions(self, times: Times) -> Int64[np.ndarray, "T"]:
        """Steps of the rule from the first of `times` to each."""
        counts = self._count(times)
        return (counts - counts[:1]) // self._step

    def matches(self, found: Calendar) -> bool:
        """Whether `found` has this frequency; where this one has no anchor (W, QS), with whatever anchor."""
        return self.every == found.every and self.freq in (found.freq, found._family)

    def fits(self, times: Times) -> bool:
        """Whether sorted times follow the rule, rows missing or not."""
        if (times.dtype.kind == "i") != (self.freq == "step"):
            return False
        counts = self._count(times)
        on_anchor = self.freq in (self._family, anchored(self._family, times[0]))
        on_grid = np.array_equal(self._times(counts, self._clock(times[:1])), times)
        return on_anchor and on_grid and not (np.diff(counts) % self._step).any()

    def _array(self, time: np.datetime64 | np.integer | int) -> Times:
        return np.array([time], dtype=np.int64 if self.freq == "step" else "datetime64[ns]")

    def _count(self, times: Times) -> Int64[np.ndarray, "T"]:
        """Times as whole numbers of the rule's unit, rounded down."""
        if self._unit == "i":
            return times.astype(np.int64)
        if self._unit == "B":
            return np.busday_count(np.datetime64("1970-01-01"), times.astype("datetime64[D]")).astype(np.int64)
        units = times.astype(f"datetime64[{self._unit}]")
        early = times < _day_of_month(units, self._family) if self._unit == "M" else 0
        return units.astype(np.int64) - early

    def _times(self, counts: Int64[np.ndarray, "h"], clock: np.timedelta64) -> Times:
        """The inverse of `_count`, at the given time of day."""
        if self._unit == "i":
            return counts
        if self._unit == "B":
            days = np.busday_offset(np.datetime64("1970-01-01"), counts)
            return days.astype("datetime64[ns]") + clock
        units = counts.astype(f"datetime64[{self._unit}]")
        if self._unit == "M":
            units = _day_of_month(units, self._family)
        return units.astype("datetime64[ns]") + (0 * DAY if self._unit == "s" else clock)

    def _clock(self, times: Times) -> np.timedelta64:
        """Time of day of the first of `times`."""
        if self._unit == "i":
            return 0 * DAY
        return np.timedelta64(times[0] - times[0].astype("datetime64[D]"))


def infer_calendar(times: Times) -> Calendar:
    """Find the rule of sorted, distinct times; raises DataError where no rule fits.

    >>> infer_calendar(np.arange("2024-01-01", "2024-03-01", 7, dtype="datetime64[D]")).alias
    'W-MON'
    """
    if len(times) < 3:
        return Calendar("step" if times.dtype.kind == "i" else "D")
    if times.dtype.kind == "i":
        return Calendar("step", int(np.gcd.reduce(np.diff(times))))
    days = times.astype("datetime64[D]")
    same_clock = len(np.unique(times - days)) == 1
    found = _days(days) if same_clock else _seconds(times)
    if found is None:
        raise DataError(
            f"no frequency fits the {_span(times)}",
            "give the series one row per period, or replace the dates by a plain counter 1, 2, 3, ...",
        )
    return found


def calendar_of(freq: str | int) -> Calendar:
    """The rule of a pandas alias (without its anchor: of any anchor), or of integer time: "step", or its step.

    >>> calendar_of("60min").alias, calendar_of("W").alias, calendar_of("QS-APR").alias, calendar_of(1).alias
    ('h', 'W', 'QS-JAN', 'step')
    """
    if isinstance(freq, int):
        if freq < 1:
            raise SpecError(f"freq={freq}, expected a step of at least 1")
        return Calendar("step", freq)
    if freq == "step":
        return Calendar("step")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # an alias of the past
            times = pd.date_range("1970-01-01", periods=20, freq=freq).to_numpy().astype("datetime64[ns]")
        found = infer_calendar(times)
    except (ValueError, TypeError, Warning, DataError) as cause:
        raise SpecError(f"there is no frequency '{freq}'", did_you_mean(freq, SEASONS)) from cause
    if not np.array_equal(found.future(times[0], len(times) - 1), times[1:]):
        raise SpecError(f"no calendar has the frequency '{freq}'", did_you_mean(freq, SEASONS))
    return found if "-" in freq else replace(found, freq=found._family)


def panel_calendar(times: Times, indptr: Int64[np.ndarray, "pointers"], ids: Sequence[str]) -> Calendar:
    """The most common rule of a panel's series; raises DataError naming a series which does not follow it.

    A series may have gaps; one of fewer than three rows has no rule of its own and must lie on the others'.
    """
    pieces = [times[start:stop] for start, stop in pairwise(indptr)]
    if len(pieces) == 1:
        return infer_calendar(times)
    distinct = {piece.tobytes(): piece for piece in pieces}
    shared = Counter(piece.tobytes() for piece in pieces)
    votes = Counter[Calendar]()
    for key, piece in distinct.items():
        try:
            votes[infer_calendar(piece)] += shared[key] if len(piece) > 2 else 0
        except DataError:
            continue
    if not votes:
        return infer_calendar(pieces[0])
    common = votes.most_common(1)[0][0]
    stray = {key for key, piece in distinct.items() if not common.fits(piece)}
    for name, piece in zip(ids, pieces, strict=True):
        if piece.tobytes() in stray:
            raise DataError(
                f"series '{name}' ({_span(piece)}) does not follow the rule of the others: {common.label} "
                f"({common.alias})",
                "read it from a file of its own, or correct its dates",
            )
    return common


def _days(days: Times) -> Calendar | None:
    """Rules whose times are days, one time of day for all."""
    gaps = np.diff(days).astype(np.int64)
    if gaps.min() >= 28 and (monthly := _months(days)):
        return monthly
    usual, step = int(np.median(gaps)), int(np.gcd.reduce(gaps))
    if usual == 1:
        expected = np.busday_count(days[0], days[-1]) + 1
        business = np.is_busday(days).all() and len(days) >= max(BUSINESS_SHARE * expected, ENOUGH_TO_TELL)
        return Calendar("B" if business else "D")
    if np.median(gaps) != step:
        return None
    return Calendar("D", step) if step % 7 else Calendar(anchored("W", days[0]), step // 7)


def _months(days: Times) -> Calendar | None:
    """Rules at the start or the end of months, quarters and years, or on their first or last weekday."""
    months = days.astype("datetime64[M]")
    gaps = np.diff(months).astype(np.int64)
    step = int(np.gcd.reduce(gaps))
    length = "Y" if step % 12 == 0 else "Q" if step == 3 else "M"
    families = (business + length + side for business in ("", "B") for side in "SE")
    family = next((each for each in families if np.array_equal(_day_of_month(months, each), days)), None)
    if family is None or np.median(gaps) != step:
        return None
    return Calendar(anchored(family, days[0]), step // UNITS[family][1])


def _day_of_month(months: Times, family: str) -> Times:
    """The day on which a family of months, quarters or years falls in each of `months`."""
    if family.endswith("S"):
        starts = months.astype("datetime64[D]")
        return np.busday_offset(starts, 0, roll="forward") if family[0] == "B" else starts
    after = (months + 1).astype("datetime64[D]")
    return np.busday_offset(after, -1, roll="forward") if family[0] == "B" else after - DAY


def _seconds(times: Times) -> Calendar | None:
    """Rules within the day: hours, minutes, seconds."""
    seconds = times.astype("datetime64[s]")
    if (seconds != times).any():
        return None
    gaps = np.diff(seconds).astype(np.int64)
    step = int(np.gcd.reduce(gaps))
    if np.median(gaps) != step:
        return None
    freq = next(freq for freq in ("h", "min", "s") if step % UNITS[freq][1] == 0)
    return Calendar(freq, step // UNITS[freq][1])


def _span(times: Times) -> str:
    first, last = (
        str(time) if times.dtype.kind == "i" else str(time.astype("datetime64[s]")).replace("T", " ")
        for time in (times[0], times[-1])
    )
    return f"{len(times)} times from {first} to {last}"


def anchored(family: str, first: np.datetime64 | np.integer) -> str:
    """The frequency of a family that passes through `first`: W-SUN, QS-JAN (January, April, ...), YE-DEC."""
    if family == "W":
        return f"W-{WEEKDAYS[(int(first.astype('datetime64[D]').astype(np.int64)) + 3) % 7]}"
    length = family.removeprefix("B")[:1]
    if length not in ("Q", "Y"):
        return family
    month = int(first.astype("datetime64[M]").astype(np.int64)) % 12
    if length == "Q":  # the first quarter start of a year, the last quarter end
        month = month % 3 if family.endswith("S") else 9 + month % 3
    return f"{family}-{MONTHS[month]}"
