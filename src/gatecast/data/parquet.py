"""The Parquet files of a panel on disk: what their columns must be, and one pass over all rows that checks them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from jaxtyping import Float64, Int64, Shaped

from gatecast.data.calendar import Times
from gatecast.data.panel import time_text
from gatecast.errors import DataError

NAMES = ("unique_id", "ds", "y")
SORTED = "write all files alike, their rows sorted by unique_id and ds, one row per time"
AT_ONCE = 131_072
"""Rows that are checked at once."""


class Found(NamedTuple):
    """Some series whose ends were seen: their names, first rows, counted over all files, and lengths."""

    names: Shaped[np.ndarray, "n"]
    starts: Int64[np.ndarray, "n"]
    lengths: Int64[np.ndarray, "n"]


def files_of(path: Path) -> list[Path]:
    """The Parquet files of a folder in the order of their names, or the one file."""
    if not path.exists():
        raise DataError(f"there is no file or folder '{path}'", f"relative paths start from {Path.cwd()}")
    found = sorted(path.glob("*.parquet")) if path.is_dir() else [path]
    if not found:
        raise DataError(f"there is no .parquet file in '{path}'", "name a folder of Parquet files, or one file")
    return found


def row_groups(path: Path) -> list[int]:
    """The rows of every row group, once the columns are known to be what they should."""
    try:
        with pq.ParquetFile(path) as file:
            _check_columns(path, file.schema_arrow)
            return [file.metadata.row_group(g).num_rows for g in range(file.num_row_groups)]
    except (pa.ArrowInvalid, OSError) as cause:
        raise DataError(f"{path.name} is not a Parquet file that can be read: {cause}") from cause


def _check_columns(path: Path, schema: pa.Schema) -> None:
    """Raise DataError for a column that is not there, or of another kind than expected."""
    kinds: dict[str, tuple[str, Callable[[pa.DataType], bool]]] = {
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


def runs(column: pa.ChunkedArray | pa.Array) -> tuple[Shaped[np.ndarray, "R"], Int64[np.ndarray, "R"]]:
    """The names that follow one another, and the row after the last of each."""
    whole = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    if pa.types.is_dictionary(whole.type):
        whole = whole.cast(whole.type.value_type)
    found = pc.run_end_encode(whole)
    return found.values.to_numpy(zero_copy_only=False), found.run_ends.to_numpy().astype(np.int64)


def times_of(column: pa.ChunkedArray | pa.Array) -> Times:
    """datetime64[ns] or int64."""
    whole = pa.types.is_integer(column.type)
    return column.to_numpy(zero_copy_only=False).astype(np.int64 if whole else "datetime64[ns]", copy=False)


def values_of(column: pa.ChunkedArray | pa.Array) -> Float64[np.ndarray, "rows"]:
    """float64, NaN where there is none."""
    return column.cast(pa.float64()).to_numpy(zero_copy_only=False)


def _check_finite(
    path: Path, names: Shaped[np.ndarray, "R"], values: Float64[np.ndarray, "rows"], ends: Int64[np.ndarray, "R"]
) -> None:
    """Raise DataError for the first infinite value."""
    wrong = np.flatnonzero(np.isinf(values))
    if len(wrong):
        series = names[np.searchsorted(ends, wrong[0], side="right")]
        raise DataError(f"{path.name}, series {series!r}: 'y' is infinite", "leave the cell empty if it is missing")


class _Open(NamedTuple):
    """The series whose end has not been seen."""

    name: Any
    start: int
    values: int
    last: Any


def series_in(files: list[Path]) -> Iterator[Found]:
    """All series in their order, once their rows are known to be usable; DataError names the first that is not."""
    still: _Open | None = None
    offset, kinds = 0, ""
    for path, batch in _batches(files):
        _check_named(path, batch)
        names, ends = runs(batch["unique_id"])
        times, values = times_of(batch["ds"]), values_of(batch["y"])
        found, bounds = names.dtype.kind + times.dtype.kind, np.append(0, ends)
        kinds = kinds or found
        if found != kinds:
            raise DataError(f"{path.name}: 'unique_id' or 'ds' is of another kind than in {files[0].name}", SORTED)
        _check_rising(path, names, times, bounds)
        _check_finite(path, names, values, ends)
        starts, known = offset + bounds[:-1], np.add.reduceat(np.isfinite(values), bounds[:-1])
        if still and still.name == names[0]:
            if times[0] <= still.last:
                raise _disorder(path, names[0], times[0])
            starts[0], known[0] = still.start, known[0] + still.values
        elif still:
            names = np.concatenate([[still.name], names])
            starts, known = np.append(still.start, starts), np.append(still.values, known)
        offset += len(values)
        still = _Open(names[-1], int(starts[-1]), int(known[-1]), times[-1])
        if len(names) > 1:
            _check_known(path, names[:-1], known[:-1])
            yield Found(names[:-1], starts[:-1], np.diff(starts))
    if still:
        names, starts = np.array([still.name]), np.array([still.start])
        _check_known(files[-1], names, np.array([still.values]))
        yield Found(names, starts, offset - starts)


def _batches(files: list[Path], columns: Sequence[str] = NAMES) -> Iterator[tuple[Path, pa.RecordBatch]]:
    """All rows, some at a time."""
    for path in files:
        with pq.ParquetFile(path) as file:
            for batch in file.iter_batches(AT_ONCE, columns=list(columns), use_threads=False):
                if batch.num_rows:
                    yield path, batch


def _check_named(path: Path, batch: pa.RecordBatch) -> None:
    """Raise DataError for a row without a name or a time."""
    for name, what in (("unique_id", "name of its series"), ("ds", "time")):
        nulls = batch[name].is_null().to_numpy(zero_copy_only=False)
        if nulls.any():
            whose = batch["unique_id"][int(nulls.argmax())]
            raise DataError(f"{path.name}, column '{name}': a row of series '{whose}' has no {what}", "leave it out")


def _check_rising(
    path: Path, names: Shaped[np.ndarray, "R"], times: Times, bounds: Int64[np.ndarray, "pointers"]
) -> None:
    """Raise DataError for times of a series that do not rise."""
    falls = np.append(False, times[1:] <= times[:-1])
    falls[bounds[:-1]] = False
    if falls.any():
        row = int(falls.argmax())
        raise _disorder(path, names[np.searchsorted(bounds, row, side="right") - 1], times[row])


def _disorder(path: Path, name: Any, time: Any) -> DataError:
    return DataError(f"{path.name}, series '{name}': {time_text(time)} comes after a later time, or twice", SORTED)


def _check_known(path: Path, names: Shaped[np.ndarray, "n"], known: Int64[np.ndarray, "n"]) -> None:
    if not known.all():
        raise DataError(f"{path.name}: series '{names[int(known.argmin())]}' has no value", "leave it out")


def check_apart(files: list[Path]) -> None:
    """Raise DataError where rows of a series stand in several places; 8 bytes for every series are needed for that."""

    def hashes() -> Iterator[tuple[Path, Shaped[np.ndarray, "n"], Shaped[np.ndarray, "n"]]]:
        before: Any = None
        for path, batch in _batches(files, NAMES[:1]):
            names, _ = runs(batch["unique_id"])
            names, before = names[int(names[0] == before) :], names[-1]
            yield path, names, pd.util.hash_array(names)

    everyone = np.sort(np.concatenate([found for _, _, found in hashes()]))
    twice = np.unique(everyone[1:][everyone[1:] == everyone[:-1]])
    seen = set()
    for path, names, found in hashes() if len(twice) else ():
        for name in names[np.isin(found, twice)]:
            if name in seen:
                raise DataError(f"{path.name}: the rows of series '{name}' do not stand together", SORTED)
            seen.add(name)
