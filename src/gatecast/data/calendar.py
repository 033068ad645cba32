"""The rule by which a series' times go on: found from the dates, used to count gaps and to date the future."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from jaxtyping import Shaped

from gatecast.errors import DataError

Times = Shaped[np.ndarray, "T"]
"""datetime64[ns], or int64 where time is a plain counter."""

# frequency family -> (season m, what a report calls it)
SEASONS = {
    "h": (24, "hourly"),
    "D": (7, "daily"),
    "B": (1, "business days"),
    "W": (1, "weekly"),
    "MS": (12, "monthly"),
    "ME": (12, "monthly"),
    "QS": (4, "quarterly"),
    "QE": (4, "quarterly"),
    "YS": (1, "yearly"),
    "YE": (1, "yearly"),
    "min": (1, "minutes"),
    "s": (1, "seconds"),
    "step": (1, "integer steps"),
}
BUSINESS_SHARE = 0.9
"""Dates are business days when none is a weekend and at least this share of the weekdays is there."""


@dataclass(frozen=True)
class Calendar:
    """A frequency (pandas offset alias, or `step` for integer time) with its multiple and season."""

    freq: str
    every: int = 1

    @property
    def alias(self) -> str:
        """The pandas offset alias, such as `B`, `30min`, `W-SUN`; `step` for integer time."""
        return self.freq if self.every == 1 else f"{self.every}{self.freq}"

    @property
    def season(self) -> int:
        """The seasonal period m: H 24, D 7, business day 1, W 1, M 12, Q 4; minutes: the steps of a day."""
        if self.freq == "min":
            return max(1, 1440 // self.every)
        return SEASONS[self._family][0] if self.every == 1 else 1

    @property
    def label(self) -> str:
        """The frequency in words."""
        name = SEASONS[self._family][1]
        return name if self.every == 1 else f"every {self.every} {name}"

    @property
    def _family(self) -> str:
        return self.freq.split("-")[0]

    def future(self, last: np.datetime64 | np.integer | int, h: int) -> Times:
        """The h times that follow `last` by the rule (business days know weekends, not holidays)."""
        if self.freq == "step":
            return np.int64(last) + self.every * np.arange(1, h + 1, dtype=np.int64)
        offset = pd.tseries.frequencies.to_offset(self.alias)
        stamps = pd.date_range(pd.Timestamp(last) + offset, periods=h, freq=offset)
        return stamps.to_numpy().astype("datetime64[ns]")

    def missing(self, times: Times) -> int:
        """How many rows the rule expects between the first and the last time and does not find (holidays: none)."""
        if len(times) < 2 or self.freq == "B":
            return 0
        return int(self.steps_between(times[0], times[-1]) + 1 - len(times))

    def steps_between(self, first: np.datetime64 | np.integer | int, last: np.datetime64 | np.integer | int) -> int:
        """How many steps of the rule lead from `first` to `last`."""
        if self.freq == "step":
            return int((np.int64(last) - np.int64(first)) // self.every)
        if self.freq == "B":
            return int(np.busday_count(pd.Timestamp(first).date(), pd.Timestamp(last).date()))
        grid = pd.date_range(pd.Timestamp(first), pd.Timestamp(last), freq=self.alias)
        return len(grid) - 1


def infer_calendar(times: Times) -> Calendar:
    """Find the rule of sorted, distinct times; raises DataError where no rule fits.

    >>> infer_calendar(pd.date_range("2024-01-31", periods=5, freq="ME").to_numpy()).alias
    'ME'
    """
    if len(times) < 3:
        return Calendar("step" if times.dtype.kind == "i" else "D")
    if times.dtype.kind == "i":
        return Calendar("step", int(np.gcd.reduce(np.diff(times))))
    index = pd.DatetimeIndex(times)
    return _calendar_days(index) if (index == index.normalize()).all() else _clock(index)


def _calendar_days(index: pd.DatetimeIndex) -> Calendar:
    """Rules whose times are whole days."""
    gaps = np.diff(index.to_numpy().astype("datetime64[D]")).astype(int)
    usual = int(np.median(gaps))
    if usual == 1:
        expected = np.busday_count(index[0].date(), index[-1].date()) + 1
        business = (index.dayofweek < 5).all() and len(index) >= BUSINESS_SHARE * expected and len(index) >= 6
        return Calendar("B" if business else "D")
    if usual % 7 == 0 and usual <= 28 and len(set(index.dayofweek)) == 1 and (gaps % 7 == 0).all():
        return Calendar(f"W-{index[0].strftime('%a').upper()}", usual // 7)
    return _months(index, usual) or _even_days(index, gaps)


def _months(index: pd.DatetimeIndex, usual: int) -> Calendar | None:
    """Rules at the start or the end of months, quarters and years."""
    for family, low, high in (("M", 28, 31), ("Q", 89, 92), ("Y", 364, 366)):
        if not low <= usual <= high:
            continue
        anchor = "" if family == "M" else f"-{index[0].strftime('%b').upper()}"
        if (index.day == 1).all():
            return Calendar(f"{family}S{anchor}")
        if index.is_month_end.all():
            return Calendar(f"{family}E{anchor}")
    return None


def _even_days(index: pd.DatetimeIndex, gaps: np.ndarray) -> Calendar:
    """Every so many days, as a last resort."""
    step = int(np.gcd.reduce(gaps))
    if step > 1 and np.median(gaps) == step:
        return Calendar("D", step)
    raise _no_rule(index)


def _clock(index: pd.DatetimeIndex) -> Calendar:
    """Rules within the day: hours, minutes, seconds."""
    seconds = np.diff(index.to_numpy().astype("datetime64[s]")).astype(int)
    usual, step = int(np.median(seconds)), int(np.gcd.reduce(seconds))
    if usual != step:
        raise _no_rule(index)
    for freq, size in (("h", 3600), ("min", 60), ("s", 1)):
        if step % size == 0:
            return Calendar(freq, step // size)
    raise _no_rule(index)


def _no_rule(index: pd.DatetimeIndex) -> DataError:
    return DataError(
        f"no frequency fits the {len(index)} times from {index[0]} to {index[-1]}",
        "give the series one row per period, or replace the dates by a plain counter 1, 2, 3, ...",
    )
