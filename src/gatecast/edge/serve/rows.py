"""Rows from JSON to the arrays that a model reads, and times and numbers back into JSON."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import datetime
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float64

from gatecast.data.calendar import Times
from gatecast.data.panel import Panel, as_time, series_panel, time_text
from gatecast.edge.serve.schemas import Row
from gatecast.errors import DataError, did_you_mean


class Reader:
    """Reads rows for one model, whose columns and calendar are those of `panel`."""

    def __init__(self, panel: Panel) -> None:
        self.columns, self.calendar, self.fill = panel.columns, panel.calendar, panel.fill
        self.like = panel.times[:1]

    def table(self, rows: Sequence[Row]) -> tuple[Times, Float64[np.ndarray, "T C"]]:
        """Times, each later than the one before, and values, NaN where missing; DataError names the row, from 0."""
        times = np.array([self._time(at, row.time) for at, row in enumerate(rows)], dtype=self.like.dtype)
        for at in np.flatnonzero(times[1:] <= times[:-1]):
            raise DataError(
                f"row {at + 1} ({time_text(times[at + 1])}) is not later than the row before",
                "send every time once, in order",
            )
        values = [self._values(at, row.value) for at, row in enumerate(rows)]
        return times, np.array(values, dtype=np.float64).reshape(len(rows), len(self.columns))

    def panel(self, name: str, times: Times, values: Float64[np.ndarray, "T C"]) -> Panel:
        """A series on the model's calendar, from its first target on; DataError where its times are not on it."""
        known = np.isfinite(values[:, 0])
        if not known.any():
            raise DataError(f"series '{name}' has no value of {self.columns[0]}", "send rows with values")
        first = int(known.argmax())
        if not self.calendar.fits(times):
            raise DataError(
                f"the times of series '{name}' do not follow the model's calendar: {self.calendar.label} "
                f"({self.calendar.alias})",
                "send rows of that frequency",
            )
        return series_panel(values[first:], times[first:], self.columns, self.calendar, name)

    def frame(self, name: str, times: Times, values: Float64[np.ndarray, "T C"]) -> pd.DataFrame:
        """The long frame `unique_id, ds` and the model's columns."""
        head = {"unique_id": np.full(len(times), name, dtype=object), "ds": times}
        return pd.DataFrame({**head, **{column: values[:, at] for at, column in enumerate(self.columns)}})

    def ahead(self, name: str, rows: Sequence[Row]) -> pd.DataFrame | None:
        """The columns that are known ahead; None without rows."""
        if not rows:
            return None
        times, values = self.table(rows)
        return self.frame(name, times, values)

    def stored(self, times: Times, values: Float64[np.ndarray, "T C"]) -> dict[str, Any]:
        """Times and values as JSON that gives the same bits again."""
        return {"at": times.astype(np.int64).tolist(), "values": [[number(each) for each in row] for row in values]}

    def restored(self, content: dict[str, Any]) -> tuple[Times, Float64[np.ndarray, "T C"]]:
        """What was stored."""
        values = np.array(content["values"], dtype=np.float64).reshape(len(content["at"]), len(self.columns))
        return np.array(content["at"], dtype=np.int64).astype(self.like.dtype), values

    def time_of(self, at: int) -> np.datetime64 | np.integer:
        """A stored time."""
        return np.array([at], dtype=np.int64).astype(self.like.dtype)[0]

    def _time(self, at: int, given: str | int) -> Any:
        try:
            if isinstance(given, str) and self.like.dtype.kind == "M":
                datetime.fromisoformat(given)
            return as_time(given, self.like)
        except (ValueError, DataError) as cause:
            expected = "a whole number, because time is a counter here"
            if self.like.dtype.kind == "M":
                expected = "ISO 8601, such as '2017-01-03' or '2017-01-03T16:00:00'"
            raise DataError(f"row {at}: '{given}' is not a time of this model", f"expected {expected}") from cause

    def _values(self, at: int, given: float | dict[str, float | None] | None) -> list[float]:
        """One row in the model's order of columns; a number is the target."""
        named = given if isinstance(given, dict) else {self.columns[0]: given}
        for name in named:
            if name not in self.columns:
                raise DataError(f"row {at}: the model reads no column '{name}'", did_you_mean(name, self.columns))
        found = (named.get(name) for name in self.columns)
        return [math.nan if value is None else value for value in found]


def number(value: Any) -> float | None:
    """A number as JSON has it: null for NaN and the infinities."""
    return float(value) if value is not None and math.isfinite(value) else None
