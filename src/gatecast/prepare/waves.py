"""Calendar features: sines and cosines of where a time stands in its year, week or day."""

from __future__ import annotations

import numpy as np
import pandas as pd
from jaxtyping import Float32, Float64

from gatecast.data.calendar import Calendar, Times

YEAR = 365.25
# frequency family without its side and anchor -> (what turns, harmonics)
TURNS: dict[str, tuple[tuple[str, int], ...]] = {
    "M": (("month", 3),),
    "Q": (("month", 2),),
    "W": (("year", 2),),
    "D": (("weekday", 3), ("year", 3)),
    "B": (("weekday", 2), ("year", 2)),
    "h": (("hour", 2), ("week", 2)),
    "min": (("hour", 2), ("week", 2)),
}


def waves(calendar: Calendar, times: Times) -> Float32[np.ndarray, "T F"]:
    """The features of every time; none where time is a counter or a year long.

    >>> from gatecast.data.calendar import Calendar
    >>> waves(Calendar("MS"), np.array(["2024-01-01", "2024-07-01"], dtype="datetime64[ns]"))[:, 1]
    array([ 1., -1.], dtype=float32)
    """
    columns = [
        function(2 * np.pi * harmonic * _turn(name, times))
        for name, harmonics in TURNS.get(_kind(calendar), ())
        for harmonic in range(1, harmonics + 1)
        for function in (np.sin, np.cos)
    ]
    return np.column_stack(columns).astype(np.float32) if columns else np.zeros((len(times), 0), dtype=np.float32)


def turns(calendar: Calendar) -> tuple[str, ...]:
    """What the features turn with; nothing where there are none."""
    return tuple(name for name, _ in TURNS.get(_kind(calendar), ()))


def _kind(calendar: Calendar) -> str:
    family = calendar.freq.split("-")[0]
    return family if family in TURNS else family.removeprefix("B")[:1]


def _turn(name: str, times: Times) -> Float64[np.ndarray, "T"]:
    """Which share of a year, a week or a day has passed."""
    dates = pd.DatetimeIndex(times)
    hour = (dates.hour + dates.minute / 60).to_numpy(dtype=np.float64)
    shares: dict[str, np.ndarray] = {
        "month": (dates.month.to_numpy() - 1) / 12,
        "year": (dates.day_of_year.to_numpy() - 1) / YEAR,
        "weekday": dates.day_of_week.to_numpy() / 7,
        "hour": hour / 24,
        "week": (24 * dates.day_of_week.to_numpy() + hour) / 168,
    }
    return np.asarray(shares[name], dtype=np.float64)
