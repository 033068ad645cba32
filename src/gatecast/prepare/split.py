"""Cut-offs: by date, by a count of rows, or by a share; and rolling origins."""

from __future__ import annotations

import re

import numpy as np
from jaxtyping import Float64, Int64

from gatecast.data.panel import Panel, When, as_time, time_text
from gatecast.errors import DataError

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


def without_last(panel: Panel, h: int, least: int, windows: int = 1) -> tuple[Panel, Int64[np.ndarray, "V"]]:
    """The panel without the last `windows` horizons of every series that keeps at least `least` rows; those series.

    >>> from gatecast.data.synthetic import ramp
    >>> known, judged = without_last(ramp(20), h=3, least=10, windows=2)
    >>> known.rows, judged
    (14, array([0]))
    """
    lengths = np.diff(panel.indptr)
    able = lengths >= h * windows + least
    kept = np.where(able, lengths - h * windows, lengths)
    row = np.arange(panel.rows) - np.repeat(panel.indptr[:-1], lengths)
    return panel.where(row < np.repeat(kept, lengths)), np.flatnonzero(able)


def horizon_after(panel: Panel, series: Int64[np.ndarray, "V"], h: int, windows: int = 1) -> Float64[np.ndarray, "V K"]:
    """The targets that follow what `without_last` left of `series`."""
    first = panel.indptr[series + 1] - h * windows
    return panel.values[first[:, None] + np.arange(h), 0]


def require_rows(panel: Panel, need: int, why: str) -> None:
    """Raise DataError unless the series has at least `need` rows."""
    if panel.rows < need:
        end = f"ending {time_text(panel.times[-1])}" if panel.rows else "empty"
        raise DataError(
            f"{panel.source}: series '{panel.ids[0]}' has {panel.rows} rows to learn from ({end}); {why} needs {need}",
            "use a shorter lookback, or more data",
        )
