"""What a kind of model keeps of its live series."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

import numpy as np
from jaxtyping import Float64, Int64, Shaped

from gatecast.data.calendar import Calendar, Times
from gatecast.data.panel import Panel

Places = Int64[np.ndarray, "n"]
Columns = dict[str, Shaped[np.ndarray, "rows"]]
Kept = dict[str, np.ndarray]


class Core(ABC):
    """Live series, counted from 0 in the order in which they began; all values in original units.

    `gaps`: whether a row that the calendar expects and that never came is a row without a value (a panel model's), or
    no row at all (a window model's).
    """

    name: str
    columns: tuple[str, ...]
    """What is observed, the target first."""
    calendar: Calendar
    gaps: bool

    @abstractmethod
    def read(self, history: Any, static_df: Any = None) -> Any:
        """What `begin` takes: history as the model reads it. Raises DataError for one that it cannot go on from."""

    @abstractmethod
    def begin(self, given: Any) -> Panel:
        """Take in further series with their history; returns it."""

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
