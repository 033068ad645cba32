"""Panels that stay on disk: Parquet files of `unique_id, ds, y`, of which a few series at a time are read.

The rows of a series stand together and in the order of time, in one file or from one file to the next (files in the
order of their names). A block is the series that begin in one row group. Opening streams once over all rows, checks
them, and keeps four numbers of every row group; afterwards a block is read by itself.
"""

from __future__ import annotations

import heapq
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from jaxtyping import Float64, Int64, Shaped

from gatecast.data.calendar import Calendar, Times, panel_calendar
from gatecast.data.panel import Panel
from gatecast.data.parquet import NAMES, check_apart, files_of, row_groups, runs, series_in, times_of, values_of
from gatecast.errors import DataError

OPEN_FILES = 32
"""Files that are kept open."""
CACHE_ROWS = 500_000
"""Rows of blocks that are kept in memory."""
MOST_ROWS = 10_000
"""Of a longer series the newest rows alone are read."""


@dataclass(frozen=True, eq=False)
class Block:
    """Some series: the rows of `ids[s]` are `indptr[s]` to `indptr[s + 1]`; NaN where a value is missing."""

    ids: Shaped[np.ndarray, "S"]
    times: Times
    values: Float64[np.ndarray, "rows"]
    indptr: Int64[np.ndarray, "pointers"]

    def __len__(self) -> int:
        """Number of series."""
        return len(self.ids)

    @property
    def weights(self) -> Float64[np.ndarray, "S"]:
        """The chance of every series to be drawn, up to a factor: the root of its length; a single row teaches nothing.

        As `prepare.crops.Sampler` draws them.
        """
        return _weights(np.diff(self.indptr))

    def take(self, which: Int64[np.ndarray, "n"]) -> Block:
        """These series in this order, with at most `MOST_ROWS` rows each; one may be there several times."""
        stops = self.indptr[which + 1]
        lengths = np.minimum(stops - self.indptr[which], MOST_ROWS)
        pointers = _pointers(lengths)
        rows = np.arange(pointers[-1]) + np.repeat(stops - lengths - pointers[:-1], lengths)
        return Block(self.ids[which], self.times[rows], self.values[rows], pointers)

    def panel(self, source: str, calendar: Calendar | None = None) -> Panel:
        """A panel of them; without a calendar on the one that they follow."""
        ids = tuple(str(each) for each in self.ids)
        found = calendar or panel_calendar(self.times, self.indptr, ids)
        return Panel(self.values[:, None], self.times, self.indptr, ids, ("y",), found, "last", source)


def together(blocks: Sequence[Block]) -> Block:
    """The series of all blocks, one after another."""
    lengths = [np.diff(block.indptr) for block in blocks]
    ids, times, values = (
        np.concatenate([getattr(block, name) for block in blocks]) for name in ("ids", "times", "values")
    )
    return Block(ids, times, values, _pointers(np.concatenate(lengths)))


class Index(NamedTuple):
    """Of every row group: its first row, counted over all files (and the end); how many series begin in it, their
    weight, and the row where the first of them begins (the next one's where none does)."""

    rows: Int64[np.ndarray, "bounds"]
    begun: Int64[np.ndarray, "G"]
    weight: Float64[np.ndarray, "G"]
    first: Int64[np.ndarray, "bounds"]


class ParquetPanel:
    """A panel that is larger than memory: one Parquet file, or a folder of them, with the columns `unique_id, ds, y`.

    Memory is taken for a few blocks, whatever the number of series, so row groups should be small: `write_parquet`
    writes them so. `rows`, `series` and `groups` count what is there, `read` the row groups that were read since.
    Raises DataError where columns are absent or of another kind, where rows of a series do not stand together or are
    not in the order of time, and for a series without a value.
    """

    def __init__(self, path: str | Path) -> None:
        self.path, self.read = Path(path), 0
        self._files = files_of(self.path)
        self._open: OrderedDict[int, pq.ParquetFile] = OrderedDict()
        self._cache: OrderedDict[int, Block] = OrderedDict()
        counts = [row_groups(file) for file in self._files]
        self._groups = [(f, g) for f, sizes in enumerate(counts) for g in range(len(sizes))]
        self.index = _index(self._files, _pointers(np.array([n for sizes in counts for n in sizes], dtype=np.int64)))
        self.rows, self.series = int(self.index.rows[-1]), int(self.index.begun.sum())
        self.groups = len(self._groups)
        self._mass = np.concatenate([[0.0], np.cumsum(self.index.weight)])

    @property
    def source(self) -> str:
        """The name of the file or folder."""
        return self.path.name

    def block(self, group: int) -> Block:
        """The series that begin in a row group."""
        if group in self._cache:
            self._cache.move_to_end(group)
            return self._cache[group]
        index = self.index
        first, stop = (int(each) for each in index.first[group : group + 2])
        last = int(np.searchsorted(index.rows, stop, side="left"))  # the first row group that is not needed
        table = pa.concat_tables([self._read(each) for each in range(group, last)], promote_options="permissive")
        self._cache[group] = found = _block(table.slice(first - int(index.rows[group]), stop - first))
        while len(self._cache) > 1 and sum(len(each.values) for each in self._cache.values()) > CACHE_ROWS:
            self._cache.popitem(last=False)
        return found

    def at_share(self, share: float | np.floating) -> int:
        """The row group whose series hold this share, 0 to 1, of all weight."""
        if not self._mass[-1]:
            raise DataError(f"{self.source}: no series has two rows", "give longer series")
        at = int(np.searchsorted(self._mass, share * self._mass[-1], side="right")) - 1
        return min(max(at, 0), int(np.flatnonzero(self.index.weight)[-1]))

    def blocks(self) -> Iterator[Block]:
        """All series in their order, a block at a time."""
        for group in np.flatnonzero(self.index.begun).tolist():
            yield self.block(group)

    def sample(self, rows: int, seed: int) -> Block:
        """Series that were drawn with equal chances, of about so many rows together and no more (but for a single one);
        all of them where they have no more."""
        wanted = self.series if rows >= self.rows else min(self.series, max(1, rows * self.series // self.rows))
        drawn = np.random.default_rng([seed, 7]).choice(self.series, wanted, replace=False)
        numbers, priority = np.sort(drawn), np.argsort(drawn)
        starts = _pointers(self.index.begun)
        groups = np.searchsorted(starts, numbers, side="right") - 1
        kept: list[tuple[int, int, Block]] = []
        total = 0
        for number, group, turn in zip(numbers.tolist(), groups.tolist(), priority.tolist(), strict=True):
            one = self.block(group).take(np.array([number - starts[group]]))
            heapq.heappush(kept, (-turn, number, one))  # the last ones drawn make room
            total += len(one.values)
            while total > rows and len(kept) > 1:
                total -= len(heapq.heappop(kept)[2].values)
        return together([one for _, _, one in sorted(kept, key=lambda each: each[1])])

    def _read(self, number: int) -> pa.Table:
        """A row group's columns."""
        file, group = self._groups[number]
        if file not in self._open:
            if len(self._open) >= OPEN_FILES:
                self._open.popitem(last=False)[1].close()
            self._open[file] = pq.ParquetFile(self._files[file])
        self._open.move_to_end(file)
        self.read += 1
        return self._open[file].read_row_group(group, columns=list(NAMES), use_threads=False)


def _weights(lengths: Int64[np.ndarray, "S"]) -> Float64[np.ndarray, "S"]:
    return np.sqrt(np.minimum(lengths, MOST_ROWS)) * (lengths > 1)


def _pointers(lengths: Int64[np.ndarray, "S"]) -> Int64[np.ndarray, "pointers"]:
    return np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)


def _block(table: pa.Table) -> Block:
    """The series of some rows."""
    names, ends = runs(table["unique_id"])
    return Block(names, times_of(table["ds"]).copy(), values_of(table["y"]).copy(), np.append(0, ends))


def _index(files: list[Path], rows: Int64[np.ndarray, "bounds"]) -> Index:
    """Check every row, and count what begins where."""
    groups = len(rows) - 1
    begun, weight = np.zeros(groups, dtype=np.int64), np.zeros(groups)
    first = np.full(groups + 1, rows[-1])
    in_order = True
    before: Any = None
    for names, starts, lengths in series_in(files):
        at = np.searchsorted(rows, starts, side="right") - 1
        np.add.at(begun, at, 1)
        np.add.at(weight, at, _weights(lengths))
        np.minimum.at(first, at, starts)
        rising = names if before is None else np.concatenate([[before], names])
        in_order = in_order and bool((rising[1:] > rising[:-1]).all())
        before = names[-1]
    if not rows[-1]:
        raise DataError(f"{files[0].parent.name} has no rows", "expected one row per series and time")
    if not in_order:
        check_apart(files)
    return Index(rows, begun, weight, np.minimum.accumulate(first[::-1])[::-1])
