"""Cut-offs: by date, by a count of rows, or by a share; and rolling origins."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal, NamedTuple, cast, get_args

import numpy as np
from jaxtyping import Float64, Int64

from gatecast.data.panel import Panel, When, as_time, time_text
from gatecast.errors import DataError, SpecError, check_choice

By = Literal["auto", "date", "series"]

COUNT = re.compile(r"\s*(\d+)\s*rows?\s*$")
SHARE = re.compile(r"\s*(\d+(?:\.\d+)?)\s*%\s*$")


def split(panel: Panel, test_from: When) -> tuple[Panel, Panel]:
    """Cut one series in two: rows before `test_from`, and from it on.

    `test_from` is a time ("2017-01-01", or an integer for integer time), a count ("251 rows") or a share ("20%").
    Raises DataError where either side would be empty.

    >>> from gatecast.data.synthetic import ramp
    >>> train, test = split(ramp(100), "20%")
    >>> train.rows, test.rows
    (80, 20)
    """
    row = _first_test_row(panel.single(), test_from)
    if not 0 < row < panel.rows:
        raise DataError(
            f"a test span from '{test_from}' leaves {row} rows to train on and {panel.rows - row} to test in "
            f"{panel.source}, which runs from {panel.span}",
            "choose a date inside the data, or a share such as '20%'",
        )
    cut = panel.times[row]
    return panel.where(panel.times < cut), panel.where(panel.times >= cut)


def _first_test_row(panel: Panel, test_from: When) -> int:
    """Index of the first test row (0 or the number of rows where nothing is left on one side)."""
    text = str(test_from)
    if counted := COUNT.match(text):
        return max(0, panel.rows - int(counted[1]))
    if shared := SHARE.match(text):
        return panel.rows - round(panel.rows * float(shared[1]) / 100)
    return int(np.searchsorted(panel.times, as_time(test_from, panel.times)))


def rolling_origins(first: int, last: int, count: int) -> Int64[np.ndarray, "count"]:
    """`count` evenly spaced origins (index of the last known row) from `first` to `last`, both included.

    >>> rolling_origins(10, 20, 3)
    array([10, 15, 20])
    """
    return np.unique(np.linspace(first, last, count).round().astype(np.int64))


def held_back(rows: int, share: float, least: int = 1) -> int:
    """How many rows at the end of a training span are held back: `share` of them, at least `least`."""
    return max(least, round(rows * share))


def horizon_from(panel: Panel, test_from: When | None) -> int:
    """The rows of a panel's test span: of a series of median length for a share, of the calendar for a date.

    None: a year of months, quarters or weeks, two weeks of days, a day of hours, else ten rows; at most a quarter of
    the median series.

    >>> from gatecast.data.synthetic import ramp
    >>> horizon_from(ramp(100), "20%"), horizon_from(ramp(100), None)
    (20, 10)
    """
    usual = int(np.median(np.diff(panel.indptr)))
    if test_from is None:
        season, family = panel.calendar.season, panel.calendar.freq.split("-")[0]
        rule = {"D": 14, "W": 52, "B": 20}.get(family, season if season > 1 else 10)
        return max(1, min(rule, usual // 4))
    text = str(test_from)
    if counted := COUNT.match(text):
        rows = int(counted[1])
    elif shared := SHARE.match(text):
        rows = round(usual * float(shared[1]) / 100)
    else:
        rows = int((np.unique(panel.times) >= as_time(test_from, panel.times)).sum())
    if not 0 < rows < usual:
        raise DataError(
            f"a test span from '{test_from}' is {rows} rows of {panel.source}, whose series have {usual}",
            "choose a date inside the data, or a share such as '20%'",
        )
    return rows


class Cut(NamedTuple):
    """How many rows of every series are known at an origin, and the series whose horizon after it is judged."""

    kept: Int64[np.ndarray, "S"]
    judged: Int64[np.ndarray, "V"]


@dataclass(frozen=True)
class Origins:
    """Rolling origins: so many, `step` rows apart (None: a horizon), by date, by series or as fits (see `origins`)."""

    n_windows: int = 1
    step_size: int | None = None
    by: By = "auto"

    def __post_init__(self) -> None:
        kind_of_cut(self.by)
        if self.n_windows < 1 or (self.step_size is not None and self.step_size < 1):
            raise SpecError(f"{self}: expected at least one window, and a step of at least one row")


def kind_of_cut(name: str) -> By:
    """`name`, if it is one of the kinds of `Origins`.

    >>> kind_of_cut("date")
    'date'
    """
    return cast(By, check_choice(name, get_args(By), "kind of cut-off"))


def cut_back(panel: Panel, rows: int, least: int) -> Cut:
    """Without the last `rows` rows of every series that keeps at least `least`; the others stay whole.

    >>> from gatecast.data.synthetic import ramp
    >>> cut_back(ramp(20), rows=6, least=10).kept
    array([14])
    """
    lengths = np.diff(panel.indptr)
    able = lengths >= rows + least
    return Cut(np.where(able, lengths - rows, lengths), np.flatnonzero(able))


def cut_at(panel: Panel, when: np.datetime64 | np.integer) -> Cut:
    """What is known at `when`; judged are the series that have a row then, and one after."""
    kept = np.add.reduceat(panel.times <= when, panel.indptr[:-1]).astype(np.int64)
    newest = panel.times[panel.indptr[:-1] + np.maximum(kept, 1) - 1]
    return Cut(kept, np.flatnonzero((newest == when) & (kept < np.diff(panel.indptr))))


def origins(panel: Panel, h: int, wanted: Origins) -> tuple[Cut, ...]:
    """Rolling origins, the earliest first, each with a whole horizon after it, the newest at the end.

    By date: one date for all series, counted on the calendar of all of them together. By series: each series counts
    its own rows back; one that is too short is not known at all. `auto`: by date where times are dates and at least
    half of the series have a row at every one of them. Raises DataError where an origin has no series to judge.

    >>> from gatecast.data.synthetic import ramp
    >>> [int(cut.kept[0]) for cut in origins(ramp(20), 3, Origins(2))]
    [14, 17]
    """
    windows, step, by = wanted.n_windows, wanted.step_size or h, wanted.by
    back = [h + step * (windows - 1 - each) for each in range(windows)]
    found: list[Cut] = []
    if by != "series":
        shared = np.unique(panel.times)
        found = [cut_at(panel, shared[-1 - rows]) for rows in back if rows < len(shared)]
        fewest = min((len(cut.judged) for cut in found), default=0)
        dated = panel.times.dtype.kind != "i" and len(found) == windows and 2 * fewest >= len(panel)
        if by == "auto" and not dated:
            found = []
    if by == "series" or (by == "auto" and not found):
        cuts = [cut_back(panel, rows, 1) for rows in back]
        found = [Cut(np.where(np.isin(np.arange(len(panel)), c.judged), c.kept, 0), c.judged) for c in cuts]
    if len(found) < windows or not all(len(cut.judged) for cut in found):
        raise DataError(
            f"no series of {panel.source} has {back[0]} rows to give away for {windows} origins of {h} rows",
            "ask for fewer windows or a shorter horizon",
        )
    return tuple(found)


def horizon_after(panel: Panel, cut: Cut, h: int) -> Float64[np.ndarray, "V K"]:
    """The targets that follow what the judged series know; NaN where there is none."""
    at = (panel.indptr[:-1] + cut.kept)[cut.judged, None] + np.arange(h)
    there = at < panel.indptr[cut.judged + 1, None]
    return np.where(there, panel.values[np.where(there, at, 0), 0], np.nan)


def require_rows(panel: Panel, need: int, why: str) -> None:
    """Raise DataError unless the series has at least `need` rows."""
    if panel.rows < need:
        end = f"ending {time_text(panel.times[-1])}" if panel.rows else "empty"
        raise DataError(
            f"{panel.source}: series '{panel.ids[0]}' has {panel.rows} rows to learn from ({end}); {why} needs {need}",
            "use a shorter lookback, or more data",
        )
