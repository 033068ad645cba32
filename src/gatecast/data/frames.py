"""Frames of pandas and polars, through narwhals, and Parquet files."""

from __future__ import annotations

from os import PathLike
from pathlib import Path
from typing import Any

import narwhals as nw
import numpy as np
import pandas as pd
from narwhals.exceptions import NarwhalsError

from gatecast.data.calendar import Times
from gatecast.data.dates import IN_UTC, LOCAL_DATES
from gatecast.data.table import Cells, Table
from gatecast.errors import DataError, did_you_mean


def read_parquet(path: Path, date_format: str | None = None) -> Table:
    """Read a Parquet file; rows are counted from 0."""
    try:
        frame = pd.read_parquet(path)
    except (ValueError, OSError) as cause:
        raise DataError(f"{path.name} is not a Parquet file that can be read: {cause}") from cause
    return read_frame(frame, date_format, path.name, path.stem)


def read_frame_file(path: Path) -> pd.DataFrame:
    """A CSV or Parquet file as the frame it holds, unchecked."""
    if not path.is_file():
        raise DataError(f"there is no file '{path}'", f"relative paths start from {Path.cwd()}")
    try:
        return pd.read_parquet(path) if path.suffix.lower() == ".parquet" else pd.read_csv(path)
    except (ValueError, OSError) as cause:
        raise DataError(f"{path.name} cannot be read: {cause}") from cause


def long_columns(data: Any, needed: tuple[str, ...], others: tuple[str, ...]) -> dict[str, list[Any]]:
    """The cells of some columns of a frame or a file, those of the others only that are there; DataError naming a
    needed one that is not, and a cell of a column of numbers that is none.

    The first needed column holds times and the first other one names, as they are; the rest are numbers, NaN where one
    is missing.
    """
    data = read_frame_file(Path(data)) if isinstance(data, str | PathLike) else data
    try:
        frame = nw.from_native(data, eager_only=True)
    except TypeError as cause:
        raise DataError(f"cannot read rows of a {type(data).__name__}", "pass a path, or a long frame") from cause
    absent = next((name for name in needed if name not in frame.columns), None)
    if absent is not None:
        raise DataError(f"the rows have no column '{absent}'", did_you_mean(absent, frame.columns))
    found = {}
    for name in (*needed, *others):
        if name in frame.columns and name in (needed[0], others[0]):
            found[name] = frame[name].to_list()
        elif name in frame.columns:
            try:
                found[name] = frame[name].cast(nw.Float64).to_numpy().astype(np.float64).tolist()
            except (ValueError, TypeError, NarwhalsError) as cause:
                raise DataError(f"column '{name}' of the rows does not hold numbers: {cause}") from cause
    return found


def read_frame(data: Any, date_format: str | None = None, source: str = "frame", name: str = "series") -> Table:
    """Read a pandas or polars frame or series, which stays as it is; a date index of pandas is the date column."""
    index = None
    if isinstance(data, pd.Series):
        data = data.to_frame("y" if data.name is None else data.name)
    if isinstance(data, pd.DataFrame):
        data, index = _index_as_column(data, source)
    try:
        frame = nw.from_native(data, eager_only=True, allow_series=True)
    except TypeError as cause:
        raise DataError(
            f"cannot read a {type(data).__name__}", "pass a path, or a frame or series of pandas or polars"
        ) from cause
    if isinstance(frame, nw.Series):
        frame = frame.alias(frame.name or "y").to_frame()
    if not len(frame):
        raise DataError(f"{source} has no rows", "expected one row per time")
    columns = {column: _cells(frame[column], f"{source}, column '{column}'") for column in frame.columns}
    notes = tuple(
        f"{column} has a time zone: {LOCAL_DATES if _local_days(frame[column]) is not None else IN_UTC}"
        for column, kind in frame.schema.items()
        if isinstance(kind, nw.Datetime) and kind.time_zone
    )
    return Table(source, name, columns, date_format=date_format, date=index, notes=notes)


def _index_as_column(frame: pd.DataFrame, source: str) -> tuple[pd.DataFrame, str | None]:
    """A date index, or one with a name, as first column; and its name where it holds dates."""
    dated = isinstance(frame.index, pd.DatetimeIndex | pd.PeriodIndex)
    if dated or any(name is not None for name in frame.index.names):
        try:
            frame = frame.reset_index()
        except ValueError as cause:
            raise DataError(f"{source}: {cause}", "rename the index or the column") from cause
    columns = [str(column) for column in frame.columns]
    twice = next((column for column in columns if columns.count(column) > 1), None)
    if twice is not None:
        raise DataError(f"{source}: two columns are called '{twice}'", "rename one of them")
    return frame.set_axis(columns, axis=1), columns[0] if dated else None


def _cells(series: nw.Series[Any], where: str) -> Cells:
    """A column as int64, float64, datetime64[ns] (zones: local dates of midnights, else UTC) or text."""
    kind = series.dtype
    if kind.is_integer() and not series.null_count():
        return series.to_numpy().astype(np.int64)
    if kind.is_numeric() or kind == nw.Boolean:
        return series.cast(nw.Float64).to_numpy().astype(np.float64)
    if kind in (nw.Datetime, nw.Date):
        local = _local_days(series)
        times = series.to_numpy() if local is None else local
        years = times.astype("datetime64[Y]").astype(np.int64) + 1970
        outside = ~np.isnat(times) & ((years < 1678) | (years > 2261))
        if outside.any():
            row = int(outside.argmax())
            raise DataError(f"{where}, row {row}: {times[row]} lies outside the years 1678 to 2261")
        return times.astype("datetime64[ns]")
    return np.array([_text(cell) for cell in series.to_list()], dtype=object)


def _local_days(series: nw.Series[Any]) -> Times | None:
    """The local dates of times with a zone that are all midnights there; None for other times."""
    kind = series.dtype
    if not (isinstance(kind, nw.Datetime) and kind.time_zone):
        return None
    local = series.dt.replace_time_zone(None).to_numpy()
    known = local[~np.isnat(local)]
    return local if (known == known.astype("datetime64[D]")).all() else None


def _text(cell: Any) -> str:
    missing = pd.api.types.is_scalar(cell) and pd.isna(cell)
    return "" if missing else str(cell).strip()
