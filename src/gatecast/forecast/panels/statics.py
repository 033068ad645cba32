"""Facts about series that never change: numbers as they differ from the others', words as one flag for each."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import narwhals as nw
import numpy as np
from jaxtyping import Float64

from gatecast.errors import DataError

MOST_WORDS = 64
"""A column of more different words than this is a name, not a fact."""


@dataclass(frozen=True)
class Fact:
    """One column: for numbers their mean and standard deviation, for words all that were seen (a new one is none)."""

    name: str
    mean: float = 0.0
    spread: float = 1.0
    words: tuple[str, ...] = ()

    def encode(self, cells: list[Any]) -> Float64[np.ndarray, "S G"]:
        """What is read of every series; a missing number is the mean, a missing word none of them."""
        if self.words:
            return np.array([[str(cell) == word for word in self.words] for cell in cells], dtype=np.float64)
        numbers = np.array([np.nan if cell is None else cell for cell in cells], dtype=np.float64)
        return np.nan_to_num((numbers - self.mean) / self.spread, nan=0.0)[:, None]


@dataclass(frozen=True, eq=False)
class Statics:
    """The facts, and what they are for every series that was told of."""

    id: str = "unique_id"
    facts: tuple[Fact, ...] = ()
    rows: dict[str, Float64[np.ndarray, "G"]] | None = None

    def of(self, ids: tuple[str, ...]) -> Float64[np.ndarray, "S G"]:
        """The numbers of these series; DataError naming one without a row."""
        if not self.facts or self.rows is None:
            return np.zeros((len(ids), 0))
        unknown = [name for name in ids if name not in self.rows]
        if unknown:
            raise DataError(
                f"static_df has no row for series '{unknown[0]}' ({len(unknown)} of {len(ids)} series are missing)",
                f"give one row per series, with its name in '{self.id}'",
            )
        return np.stack([self.rows[name] for name in ids])

    def others(self, static_df: Any) -> Statics:
        """The same facts of other series."""
        names, cells = _read(static_df, self.id)
        absent = next((fact.name for fact in self.facts if fact.name not in cells), None)
        if absent:
            raise DataError(f"static_df has no column '{absent}', which the model reads")
        return replace(self, rows=_encoded(self.facts, names, cells))


def fit_statics(static_df: Any, id_: str) -> Statics:
    """Learn how to read a frame of one row per series; None: there are no facts."""
    if static_df is None:
        return Statics(id_)
    names, cells = _read(static_df, id_)
    facts = tuple(_fact(name, column) for name, column in cells.items())
    return Statics(id_, facts, _encoded(facts, names, cells))


def _read(static_df: Any, id_: str) -> tuple[list[str], dict[str, list[Any]]]:
    """Series names, and the cells of every other column: floats, or text."""
    frame = nw.from_native(static_df, eager_only=True)
    if id_ not in frame.columns:
        raise DataError(f"static_df has no column '{id_}'", "name the series of every row in it")
    names = [str(name) for name in frame[id_].to_list()]
    twice = next((name for name in names if names.count(name) > 1), None) if len(set(names)) < len(names) else None
    if twice is not None:
        raise DataError(f"static_df has two rows for series '{twice}'", "give one row per series")
    cells: dict[str, list[Any]] = {}
    for name in frame.columns:
        kind = frame.schema[name]
        if name != id_:
            column = frame[name].cast(nw.Float64) if kind.is_numeric() or kind == nw.Boolean else frame[name]
            cells[name] = column.to_list()
    return names, cells


def _fact(name: str, column: list[Any]) -> Fact:
    known = [cell for cell in column if cell is not None and cell == cell]
    if not all(isinstance(cell, float) for cell in known):
        words = tuple(sorted({str(cell) for cell in known}))
        if len(words) > MOST_WORDS:
            raise DataError(
                f"static_df, column '{name}' holds {len(words)} different words, at most {MOST_WORDS} are read",
                "leave it out, or group its words",
            )
        return Fact(name, words=words)
    numbers = np.array(known or [0.0])
    return Fact(name, float(numbers.mean()), float(numbers.std()) or 1.0)


def _encoded(
    facts: tuple[Fact, ...], names: list[str], cells: dict[str, list[Any]]
) -> dict[str, Float64[np.ndarray, "G"]]:
    rows = np.column_stack([fact.encode(cells[fact.name]) for fact in facts]) if facts else np.zeros((len(names), 0))
    return dict(zip(names, rows, strict=True))
