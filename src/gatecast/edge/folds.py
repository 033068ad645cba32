"""Finished parts of a backtest in a folder: one file for each, written as it ends."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from gatecast.edge import container
from gatecast.errors import ModelFileError
from gatecast.forecast.panels.kept import Columns

KIND = "fold"


class Folds:
    """A store for `Following` that survives the process; a file is named by everything that it depends on."""

    def __init__(self, folder: Path) -> None:
        self.folder = Path(folder)

    def read(self, key: str) -> list[Columns] | None:
        """The tables that were written under `key`; None where there are none, or the file is damaged or another's."""
        try:
            tensors, facts = container.read(self._path(key), KIND)
        except ModelFileError:
            return None
        if facts.get("key") != key:
            return None
        return [
            {
                name: _column(tensors[f"{t}.{c}"], dtype, words)
                for c, (name, dtype, words) in enumerate(facts["tables"][t])
            }
            for t in range(len(facts["tables"]))
        ]

    def write(self, key: str, tables: list[Columns]) -> None:
        """Keep `tables` on disk."""
        self.folder.mkdir(parents=True, exist_ok=True)
        tensors: container.Tensors = {}
        facts: list[list[tuple[str, str, list[str]]]] = [[] for _ in tables]
        for t, table in enumerate(tables):
            for c, (name, column) in enumerate(table.items()):
                tensors[f"{t}.{c}"], words = _numbers(column)
                facts[t].append((name, column.dtype.str, words))
        container.write(self._path(key), KIND, tensors, {"key": key, "tables": facts})

    def clear(self) -> None:
        """Remove every part, and the folder if nothing else is in it; drafts of a killed process too."""
        container.clear(self.folder, KIND)

    def _path(self, key: str) -> Path:
        return self.folder / f"{key}.{KIND}"


def _numbers(column: np.ndarray) -> tuple[np.ndarray, list[str]]:
    """A column as numbers: times as whole ones, words as places in a list."""
    if column.dtype.kind == "U":
        words, places = np.unique(column, return_inverse=True)
        return places.astype(np.int64), words.tolist()
    return (column.astype(np.int64) if column.dtype.kind == "M" else column), []


def _column(numbers: np.ndarray, dtype: str, words: list[str]) -> np.ndarray:
    return np.array(words, dtype)[numbers] if words else numbers.astype(dtype)
