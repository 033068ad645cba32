"""What a kind of model keeps of its live series."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

import numpy as np
from jaxtyping import Float64, Int64, Shaped

from gatecast.data.calendar import Calendar, Times
from gatecast.prepare.given import Given

Places = Int64[np.ndarray, "n"]
Columns = dict[str, Shaped[np.ndarray, "rows"]]
Kept = dict[str, np.ndarray]


class Core(ABC):
    """Live series, counted from 0 in the order in which they began; all values in original units.

    `columns`: what is observed, the target first; `names`: what frames call the series and the time; `times`: any
    times of the model's kind. `gaps`: whether a row that the calendar expects and that never came is a row without a
    value (a panel model's), or no row at all (a window model's).
    """

    name: str
    columns: tuple[str, ...]
    names: tuple[str, str] = ("unique_id", "ds")
    calendar: Calendar
    times: Times
    gaps: bool

    @abstractmethod
    def read(self, history: Any, static_df: Any = None) -> Given:
        """History (the model's own, without) as the model reads it; DataError where it cannot go on from it."""

    @abstractmethod
    def begin(self, given: Given) -> None:
        """Take in further series with their history."""

    @abstractmethod
    def forget(self, place: int) -> None:
        """Drop a series; those after it move up."""

    @abstractmethod
    def check(self, rows: Float64[np.ndarray, "n C"]) -> None:
        """Raise DataError for rows that this model cannot take in."""

    @abstractmethod
    def push(self, at: Places, times: Times, rows: Float64[np.ndarray, "n C"]) -> None:
        """One more row for each of these series, NaN where a value is missing."""

    @abstractmethod
    def next(self, at: Places) -> Float64[np.ndarray, "n"]:
        """The forecast of the next row of each of these series; NaN where it depends on columns that are not known."""

    @abstractmethod
    def forecast(self, at: Places, h: int | None, wanted: dict[str, float], futr_df: Any) -> Columns:
        """`unique_id`, `ds`, the forecast and the bounds that are `wanted` (suffix -> probability) of h steps."""

    @abstractmethod
    def kept(self) -> Kept:
        """Everything that the series are known by, as named arrays."""

    @abstractmethod
    def put(self, kept: Kept, ids: tuple[str, ...]) -> None:
        """Take back what `kept` gave; KeyError or ValueError where it does not fit the model."""
