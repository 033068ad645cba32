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
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from jaxtyping import Bool, Float64, Int64, Shaped

from gatecast.data.calendar import Calendar, Times, panel_calendar
from gatecast.data.panel import Panel, time_text
from gatecast.errors import DataError

NAMES = ("unique_id", "ds", "y")
AT_ONCE = 131_072
"""Rows that are checked at once."""
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
    flat = [np.concatenate([getattr(block, name) for block in blocks]) for name in ("ids", "times", "values")]
    return Block(*flat, _pointers(np.concatenate(lengths)))


class Index(NamedTuple):
    """Of every row group: its first row, counted over all files (and the end); how many series begin in it, their
    weight, and the row where the first of them begins (the next one's where none does)."""

    rows: Int64[np.ndarray, "bounds"]
    begun: Int64[np.ndarray, "G"]
    weight: Float64[np.ndarray, "G"]
    first: Int64[np.ndarray, "bounds"]


class ParquetPanel:
    """A panel that is larger than memory: one Parquet file, or a folder of them, with the columns `unique_id, ds, y`.

    Memory is taken for a few blocks, whatever the number of series, so row groups should be small: `edge.parquet` writes
    them so. `rows`, `series`, `groups` count what is there, `read` the row groups that were read since opening. Raises
    DataError where columns are absent or of another kind, where rows of a series do not stand together or are not in
    the order of time, and for a series without a value.
    """

    def __init__(self, path: str | Path) -> None:
        self.path, self.read = Path(path), 0
        self._files = _files(self.path)
        self._open: OrderedDict[int, pq.ParquetFile] = OrderedDict()
        self._cache: OrderedDict[int, Block] = OrderedDict()
        counts = [_row_groups(file) for file in self._files]
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


def _files(path: Path) -> list[Path]:
    """The Parquet files of a folder in the order of their names, or the one file."""
    if not path.exists():
        raise DataError(f"there is no file or folder '{path}'", f"relative paths start from {Path.cwd()}")
    found = sorted(path.glob("*.parquet")) if path.is_dir() else [path]
    if not found:
        raise DataError(f"there is no .parquet file in '{path}'", "name a folder of Parquet files, or one file")
    return found


def _row_groups(path: Path) -> list[int]:
    """The rows of every row group, once the columns are known to be what they should."""
    try:
        with pq.ParquetFile(path) as file:
            _check_columns(path, file.schema_arrow)
            return [file.metadata.row_group(g).num_rows for g in range(file.num_row_groups)]
    except (pa.ArrowInvalid, OSError) as cause:
        raise DataError(f"{path.name} is not a Parquet file that can be read: {cause}") from cause


def _check_columns(path: Path, schema: pa.Schema) -> None:
    kinds = {
        "unique_id": ("text or whole numbers", lambda t: _is_text(t) or pa.types.is_integer(t)),
        "ds": (
            "dates without a time zone, or whole numbers",
            lambda t: pa.types.is_date(t) or pa.types.is_integer(t) or (pa.types.is_timestamp(t) and t.tz is None),
        ),
        "y": ("numbers", lambda t: pa.types.is_integer(t) or pa.types.is_floating(t) or pa.types.is_decimal(t)),
    }
    for name, (expected, fits) in kinds.items():
        if name not in schema.names:
            raise DataError(
                f"{path.name} has no column '{name}', but {', '.join(schema.names)}",
                f"rename its columns to {', '.join(NAMES)}",
            )
        kind = schema.field(name).type
        if not fits(kind):
            raise DataError(f"{path.name}: column '{name}' holds {kind}, expected {expected}", "write it anew")


def _is_text(kind: pa.DataType) -> bool:
    return bool(
        pa.types.is_string(kind)
        or pa.types.is_large_string(kind)
        or (pa.types.is_dictionary(kind) and _is_text(kind.value_type))
    )


def _runs(column: pa.ChunkedArray | pa.Array) -> tuple[Shaped[np.ndarray, "R"], Int64[np.ndarray, "R"]]:
    """The names that follow one another, and the row after the last of each."""
    whole = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    if pa.types.is_dictionary(whole.type):
        whole = whole.cast(whole.type.value_type)
    runs = pc.run_end_encode(whole)
    return runs.values.to_numpy(zero_copy_only=False), runs.run_ends.to_numpy().astype(np.int64)


def _times(column: pa.ChunkedArray | pa.Array) -> Times:
    """datetime64[ns] or int64."""
    whole = pa.types.is_integer(column.type)
    return column.to_numpy(zero_copy_only=False).astype(np.int64 if whole else "datetime64[ns]", copy=False)


def _values(column: pa.ChunkedArray | pa.Array) -> Float64[np.ndarray, "rows"]:
    return column.cast(pa.float64()).to_numpy(zero_copy_only=False)


def _block(table: pa.Table) -> Block:
    """The series of some rows."""
    names, ends = _runs(table["unique_id"])
    return Block(names, _times(table["ds"]).copy(), _values(table["y"]).copy(), np.append(0, ends))


# -- the one pass over all rows -------------------------------------------------------------------------------------------


class _Open(NamedTuple):
    """The series whose end has not been seen."""

    name: Any
    start: int
    values: int
    last: Any


def _index(files: list[Path], rows: Int64[np.ndarray, "bounds"]) -> Index:
    """Check every row, and count what begins where."""
    groups = len(rows) - 1
    begun, weight = np.zeros(groups, dtype=np.int64), np.zeros(groups)
    first = np.full(groups + 1, rows[-1])
    in_order = True
    before: Any = None
    for names, starts, lengths in _series(files):
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
        _check_apart(files)
    return Index(rows, begun, weight, np.minimum.accumulate(first[::-1])[::-1])


def _series(files: list[Path]) -> Iterator[tuple[Shaped[np.ndarray, "n"], Int64[np.ndarray, "n"], Int64[np.ndarray, "n"]]]:
    """Names, first rows and lengths of the series, as their ends are seen; DataError for rows that cannot be used."""
    still: _Open | None = None
    offset, kind = 0, None
    for path, batch in _batches(files):
        names, ends = _runs(batch["unique_id"])
        times, values = _times(batch["ds"]), _values(batch["y"])
        kind = kind or times.dtype.kind
        bounds = np.append(0, ends)
        _check_rows(path, names, times, bounds)
        if times.dtype.kind != kind:
            raise DataError(f"{path.name}: 'ds' is of another kind than in {files[0].name}", "write all files alike")
        starts, known = offset + bounds[:-1], np.add.reduceat(np.isfinite(values), bounds[:-1])
        if still and still.name == names[0]:
            if times[0] <= still.last:
                raise _disorder(path, names[0], times[0])
            starts[0], known[0] = still.start, known[0] + still.values
        elif still:
            _check_known(path, np.array([still.name]), np.array([still.values]))
            yield np.array([still.name]), np.array([still.start]), np.array([offset - still.start])
        offset += len(values)
        still = _Open(names[-1], int(starts[-1]), int(known[-1]), times[-1])
        if len(names) > 1:
            _check_known(path, names[:-1], known[:-1])
            yield names[:-1], starts[:-1], np.diff(starts)
    if still:
        _check_known(files[-1], np.array([still.name]), np.array([still.values]))
        yield np.array([still.name]), np.array([still.start]), np.array([offset - still.start])


def _batches(files: list[Path], columns: Sequence[str] = NAMES) -> Iterator[tuple[Path, pa.RecordBatch]]:
    """All rows, some at a time."""
    for path in files:
        with pq.ParquetFile(path) as file:
            for batch in file.iter_batches(AT_ONCE, columns=list(columns), use_threads=False):
                if batch.num_rows:
                    yield path, batch


def _check_rows(
    path: Path, names: Shaped[np.ndarray, "R"], times: Times, bounds: Int64[np.ndarray, "pointers"]
) -> None:
    """Raise DataError for a row without a name or a time, and for times that do not rise."""
    if pd.isna(names).any():
        raise DataError(f"{path.name}, column 'unique_id': a row without a series name", "name the series of every row")
    if times.dtype.kind == "M" and np.isnat(times).any():
        whose = names[np.searchsorted(bounds, int(np.isnat(times).argmax()), side="right") - 1]
        raise DataError(f"{path.name}, column 'ds': a row of series '{whose}' has no time", "leave the row out")
    falls = np.append(False, times[1:] <= times[:-1])
    falls[bounds[:-1]] = False
    if falls.any():
        row = int(falls.argmax())
        raise _disorder(path, names[np.searchsorted(bounds, row, side="right") - 1], times[row])


def _disorder(path: Path, name: Any, time: Any) -> DataError:
    return DataError(
        f"{path.name}, series '{name}': {time_text(time)} comes after a later time, or twice",
        "sort the rows by unique_id and ds, one row per time",
    )


def _check_known(path: Path, names: Shaped[np.ndarray, "n"], known: Int64[np.ndarray, "n"]) -> None:
    if not known.all():
        raise DataError(f"{path.name}: series '{names[int(known.argmin())]}' has no value", "leave it out")


def _check_apart(files: list[Path]) -> None:
    """Raise DataError where rows of a series stand in several places; 8 bytes for every series are needed for that."""

    def hashes() -> Iterator[tuple[Path, Shaped[np.ndarray, "n"], Shaped[np.ndarray, "n"]]]:
        before: Any = None
        for path, batch in _batches(files, NAMES[:1]):
            names, _ = _runs(batch["unique_id"])
            names, before = names[int(names[0] == before) :], names[-1]
            yield path, names, pd.util.hash_array(names)

    everyone = np.sort(np.concatenate([found for _, _, found in hashes()]))
    twice = np.unique(everyone[1:][everyone[1:] == everyone[:-1]])
    seen = set()
    for path, names, found in hashes() if len(twice) else ():
        for name in names[np.isin(found, twice)]:
            if name in seen:
                raise DataError(
                    f"{path.name}: the rows of series '{name}' do not stand together",
                    "sort the rows by unique_id and ds before they are written",
                )
            seen.add(name)
