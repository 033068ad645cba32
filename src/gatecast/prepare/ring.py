"""The newest rows of many series in memory that does not grow: row t of a series lies at t modulo the rows kept."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from jaxtyping import Int64, Shaped

Places = Int64[np.ndarray, "n"]
Flat = Int64[np.ndarray, "rows"]
Rows = Shaped[np.ndarray, "rows *shape"]


class Ring:
    """Named columns of the newest `depth` rows of every series; `count`: all rows that a series has had.

    >>> ring = Ring(depth=2, columns={"y": np.zeros(())})
    >>> ring.begin({"y": np.array([1.0, 2.0, 3.0])}, np.array([0, 3]))
    >>> ring.write(np.array([0]), {"y": np.array([4.0])})
    >>> ring.newest("y", np.array([0]), 2)
    array([[3., 4.]])
    """

    def __init__(self, depth: int, columns: Mapping[str, Shaped[np.ndarray, "*shape"]]) -> None:
        """`columns`: what stands in a row that a series never had, in the shape and type of the column."""
        self.depth, self._empty = depth, dict(columns)
        self.kept = {name: np.zeros((0, depth, *each.shape), each.dtype) for name, each in columns.items()}
        self.kept["count"] = np.zeros(0, dtype=np.int64)

    def begin(self, columns: Mapping[str, Rows], indptr: Int64[np.ndarray, "pointers"]) -> None:
        """Further series, from the rows of their past."""
        lengths, first = np.diff(indptr), len(self.kept["count"])
        rows = np.arange(indptr[-1]) - np.repeat(indptr[:-1], lengths)
        kept = rows >= np.repeat(lengths, lengths) - self.depth
        where = (first + np.repeat(np.arange(len(lengths)), lengths)[kept], rows[kept] % self.depth)
        self.kept["count"] = np.concatenate([self.kept["count"], lengths])
        for name, empty in self._empty.items():
            more = np.broadcast_to(empty, (len(lengths), self.depth, *empty.shape))
            self.kept[name] = np.concatenate([self.kept[name], more])
            self.kept[name][where] = columns[name][kept]

    def write(self, at: Places, columns: Mapping[str, Rows]) -> None:
        """One more row of the series at these places."""
        where = self.kept["count"][at] % self.depth
        for name, values in columns.items():
            self.kept[name][at, where] = values
        self.kept["count"][at] += 1

    def rewrite(self, name: str, at: Places, back: int, values: Rows) -> None:
        """Put a column anew in the row `back` rows before the newest."""
        self.kept[name][at, (self.kept["count"][at] - 1 - back) % self.depth] = values

    def newest(self, name: str, at: Places, rows: int) -> Shaped[np.ndarray, "n rows *shape"]:
        """A column of the newest rows, oldest first, at most `depth`."""
        steps = self.kept["count"][at][:, None] + np.arange(-rows, 0)
        found, there = self.kept[name][at[:, None], steps % self.depth], steps >= 0
        return np.where(there.reshape(*there.shape, *[1] * (found.ndim - 2)), found, self._empty[name])

    def tail(self, at: Places) -> tuple[tuple[Flat, Flat], Int64[np.ndarray, "pointers"]]:
        """Where all rows that are kept of these series lie, one series after another, and where each begins."""
        lengths = np.minimum(self.kept["count"][at], self.depth)
        indptr = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
        back = np.arange(indptr[-1]) - np.repeat(indptr[1:], lengths)
        return (np.repeat(at, lengths), (np.repeat(self.kept["count"][at], lengths) + back) % self.depth), indptr
