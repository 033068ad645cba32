"""Rows from JSON to the arrays that a model reads, and times and numbers back into JSON."""

from __future__ import annotations

import math
import re
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
from gatecast.forecast.panels.method import GlobalMethod

LARGEST = 2**53
"""The largest whole number that JSON's readers tell from its neighbours."""
WHOLE = re.compile(r"-?[0-9]{1,17}")
YEARS = range(1700, 2200)
"""Those of the dates that can be counted in nanoseconds, with room for what follows them."""


class Reader:
    """Reads rows for one model: its columns, its calendar, and what its frames call series and time.

    `most`: rows that may be missing within one request. `future`: columns that are known ahead; `facts`: those of a
    series that never change.
    """

    def __init__(self, model: Any, most: int) -> None:
        panel = known_rows(model)
        self.columns, self.calendar, self.most = panel.columns, panel.calendar, most
        self.like, self.target = panel.calendar.future(panel.times[0], 2), panel.target
        self.id, self.date = "unique_id", "ds"
        self.future: tuple[str, ...] = ()
        self.facts: tuple[str, ...] = ()
        if isinstance(model, GlobalMethod):
            told = model.covariates
            self.id, self.date, self.future = told.id or self.id, told.date or self.date, told.future
            self.facts = tuple(fact.name for fact in model.static_.facts)

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
        missing = self.calendar.missing(times)
        if missing > self.most:
            raise DataError(
                f"{missing} rows of series '{name}' are missing between {time_text(times[0])} and "
                f"{time_text(times[-1])}, at most {self.most} may be",
                "send the newest rows alone, or start the server with a larger --max-rows",
            )
        if not self.calendar.fits(times):
            raise DataError(
                f"the times of series '{name}' do not follow the model's calendar: {self.calendar.label} "
                f"({self.calendar.alias})",
                "send rows of that frequency",
            )
        return series_panel(values[first:], times[first:], self.columns, self.calendar, name)

    def frame(self, name: str, times: Times, values: Float64[np.ndarray, "T C"]) -> pd.DataFrame:
        """The long frame of series, time and the model's columns, as the model calls them."""
        head = {self.id: np.full(len(times), name, dtype=object), self.date: times}
        return pd.DataFrame({**head, **{column: values[:, at] for at, column in enumerate(self.columns)}})

    def ahead(self, rows: Sequence[Row]) -> tuple[Times, Float64[np.ndarray, "T C"]] | None:
        """Rows of the columns that are known ahead; None where the model reads none. DataError where they lack."""
        if self.future and not rows:
            raise DataError(
                f"the model reads {', '.join(self.future)} of the rows to forecast",
                "POST them as `ahead`, row by row",
            )
        if rows and not self.future:
            raise DataError("the model reads no column that is known ahead", "leave `ahead` out")
        return self.table(rows) if rows else None

    def static(self, name: str, given: dict[str, float | str | None] | None) -> pd.DataFrame | None:
        """The facts of a series as a frame of one row; None where the model reads none."""
        given = given or {}
        stray = next((each for each in given if each not in self.facts), None)
        if stray is not None:
            raise DataError(f"the model reads no fact '{stray}'", did_you_mean(stray, self.facts))
        absent = next((each for each in self.facts if each not in given), None)
        if absent is not None:
            raise DataError(f"the model reads the fact '{absent}' of every series", "send it in `static`")
        return pd.DataFrame({self.id: [name], **{each: [given[each]] for each in self.facts}}) if self.facts else None

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
        dated = self.like.dtype.kind == "M"
        try:
            there = datetime.fromisoformat(str(given)).year in YEARS if dated else abs(_whole(given)) <= LARGEST
            if there:
                return as_time(given, self.like)
        except (ValueError, DataError):
            there = False
        expected = f"a whole number of at most {LARGEST}, because time is a counter here"
        if dated:
            expected = f"ISO 8601 from {YEARS[0]} to {YEARS[-1]}, such as '2017-01-03' or '2017-01-03T16:00:00'"
        raise DataError(f"row {at}: '{given}' is not a time of this model", f"expected {expected}")

    def _values(self, at: int, given: float | dict[str, float | None] | None) -> list[float]:
        """One row in the model's order of columns; a number is the target."""
        named = given if isinstance(given, dict) else {self.columns[0]: given}
        for name in named:
            if name not in self.columns:
                raise DataError(f"row {at}: the model reads no column '{name}'", did_you_mean(name, self.columns))
        found = (named.get(name) for name in self.columns)
        return [math.nan if value is None else value for value in found]


def known_rows(model: Any) -> Panel:
    """The rows that a model knows of its own series."""
    panel: Panel = model.panel_ if isinstance(model, GlobalMethod) else model.history_
    return panel


def _whole(given: str | int) -> int:
    """A whole number in plain digits; ValueError for anything else."""
    if not WHOLE.fullmatch(str(given)):
        raise ValueError("no whole number")
    return int(given)


def number(value: Any) -> float | None:
    """A number as JSON has it: null for NaN and the infinities."""
    return float(value) if value is not None and math.isfinite(value) else None
