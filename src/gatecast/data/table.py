"""A table as it was read: columns of raw cells, and where each row came from."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Bool, Float64, Int64, Shaped

from gatecast.errors import DataError, did_you_mean

Cells = Shaped[np.ndarray, "rows"]
"""One column: text (object array of str), float64, int64 or datetime64[ns]."""

MISSING = frozenset({"", "na", "n/a", "nan", "null", "none", "?", "-"})
"""How a missing cell may be spelled, in capitals or not."""
PLAIN_NUMBERS = "write plain numbers such as 1234.5, without thousands separators, units or currency signs"
_NUMBER = {
    mark: re.compile(
        rf"[+-]?(?:\d+[{mark}]?\d*|[{mark}]\d+)(?:e[+-]?\d+)?|[+-]?inf(?:inity)?", re.ASCII | re.IGNORECASE
    )
    for mark in ".,"
}


@dataclass(frozen=True, eq=False)
class Table:
    """Named columns in file order. `lines` are the line numbers of the rows in the file; a frame has none.

    `decimal` is the mark in the numbers among the text cells, `date` a column that is known to be the date.
    """

    source: str
    name: str
    columns: dict[str, Cells]
    lines: Int64[np.ndarray, "rows"] | None = None
    decimal: str = "."
    date_format: str | None = None
    date: str | None = None
    notes: tuple[str, ...] = ()

    @property
    def rows(self) -> int:
        """Number of rows."""
        return len(next(iter(self.columns.values()))) if self.columns else 0

    @property
    def unit(self) -> str:
        """What `places` count: lines of a file from 1, or rows of a frame from 0."""
        return "row" if self.lines is None else "line"

    @property
    def places(self) -> Int64[np.ndarray, "rows"]:
        """Where each row came from."""
        return np.arange(self.rows, dtype=np.int64) if self.lines is None else self.lines

    def require(self, name: str) -> Cells:
        """The cells of a column; DataError with the nearest name where there is none."""
        if name not in self.columns:
            raise DataError(f"{self.source} has no column '{name}'", did_you_mean(name, self.columns))
        return self.columns[name]

    def error(self, row: int, column: str, what: str, hint: str = "") -> DataError:
        """An error that names file, row and column."""
        return DataError(f"{self.source}, {self.unit} {self.places[row]}, column '{column}': {what}", hint)


@dataclass(frozen=True, eq=False)
class Numbers:
    """A column read as numbers: NaN where a cell is missing or is text; `is_text` tells which."""

    values: Float64[np.ndarray, "rows"]
    is_text: Bool[np.ndarray, "rows"]

    @property
    def kind(self) -> Literal["empty", "number", "mixed", "text"]:
        """What the column is: mixed where at least half of its filled cells, but not all, are numbers."""
        text = int(self.is_text.sum())
        numbers = len(self.values) - int(np.isnan(self.values).sum())
        if not text:
            return "number" if numbers else "empty"
        return "mixed" if numbers >= text else "text"


def as_numbers(cells: Cells, decimal: str = ".") -> Numbers:
    """Read a column as numbers; times are text.

    >>> numbers = as_numbers(np.array(["1.5", "NA", "abc"], dtype=object))
    >>> numbers.values, numbers.is_text
    (array([1.5, nan, nan]), array([False, False,  True]))
    """
    if cells.dtype.kind in "fiu":
        return Numbers(cells.astype(np.float64), np.zeros(len(cells), dtype=bool))
    if cells.dtype.kind == "M":
        return Numbers(np.full(len(cells), np.nan), np.ones(len(cells), dtype=bool))
    matches = _NUMBER[decimal].fullmatch
    good = np.fromiter((matches(cell) is not None for cell in cells), dtype=bool, count=len(cells))
    numbers = cells[good]
    if decimal == ",":
        numbers = np.array([cell.replace(",", ".") for cell in numbers], dtype=object)
    values = np.full(len(cells), np.nan)
    values[good] = numbers.astype(np.float64)
    return Numbers(values, ~good & ~is_missing(cells))


def is_missing(cells: Cells) -> Bool[np.ndarray, "rows"]:
    """Which cells are missing: see `MISSING` for text, NaN and NaT otherwise."""
    if cells.dtype == object:
        return np.fromiter((cell.lower() in MISSING for cell in cells), dtype=bool, count=len(cells))
    return np.zeros(len(cells), dtype=bool) if cells.dtype.kind in "iu" else np.isnan(cells)
