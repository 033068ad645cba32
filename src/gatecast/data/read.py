"""`read`: a file or a frame becomes a `Panel`, or an error that says what is wrong with it, and where."""

from __future__ import annotations

from os import PathLike
from pathlib import Path
from typing import Any, cast, get_args

from gatecast.data.columns import Columns, find_roles
from gatecast.data.delimited import CsvFormat, read_delimited
from gatecast.data.frames import read_frame, read_parquet
from gatecast.data.join import join as join_records
from gatecast.data.panel import Fill, Panel
from gatecast.data.records import Records, to_panel, to_records
from gatecast.data.tsf import read_tsf
from gatecast.data.wide import unfolded
from gatecast.errors import DataError, check_choice

__all__ = ["Columns", "CsvFormat", "as_panel", "read"]


def read(
    source: Any,
    target: str | None = None,
    *,
    date: str | None = None,
    id: str | None = None,
    join: Any = (),
    fill: Fill | str = "error",
    format: CsvFormat | None = None,
) -> Panel:
    """Read series from a path (CSV and its relatives, `.tsf`, `.parquet`) or from a pandas or polars frame; long, or
    wide as the M competitions publish them (one series to a row: a name, then columns V2, V3, ...).

    `target`, `date` and `id` name columns; without them: the date is called ds, date, time, month, ... or is the
    first column of dates (else time is the row number), the target is called y, value, close, ... or is the only
    column of numbers, and `unique_id`, `ticker`, ... or a constant text column names the series. `join` is another
    file or frame, or a list of them, whose numbers become past inputs at equal times. A series begins at its first
    target; `fill` decides what cells that are missing later become once a cut-off is known: see `Panel`. `format` says
    how a text file is written, where that is not to be detected. Raises DataError, which names file, row and column,
    for everything that is wrong with the data.

    >>> import pandas as pd
    >>> frame = pd.DataFrame({"ds": ["2024-01-01", "2024-01-02", "2024-01-03"], "y": [1.0, None, 3.0]})
    >>> panel = read(frame, fill="last")
    >>> panel.columns, panel.span, panel.notes
    (('y',), '2024-01-01 to 2024-01-03', ('y: 1 missing cell (2024-01-02), filled with the last value',))
    """
    rule = cast(Fill, check_choice(fill, get_args(Fill), "fill rule"))
    form = format or CsvFormat()
    records = _records(source, Columns(date, target, id), form)
    for other in join if isinstance(join, list | tuple) else [join]:
        records = join_records(records, _records(other, Columns(), CsvFormat(), needs_target=False))
    return to_panel(records, rule)


def as_panel(data: Any) -> Panel:
    """`data` if it is a Panel; anything else is read with the defaults of `read`."""
    return data if isinstance(data, Panel) else read(data)


def _records(source: Any, given: Columns, form: CsvFormat, needs_target: bool = True) -> Records:
    """Sorted records of one file or frame."""
    if isinstance(source, str | PathLike):
        path = Path(source)
        if not path.is_file():
            raise DataError(f"there is no file '{source}'", f"relative paths start from {Path.cwd()}")
        if path.suffix.lower() == ".tsf":
            return _tsf_records(path, given)
        parquet = path.suffix.lower() == ".parquet"
        table = read_parquet(path, form.date_format) if parquet else read_delimited(path, form)
    else:
        table = read_frame(source, form.date_format)
    table = unfolded(table)
    return to_records(table, find_roles(table, given, needs_target))


def _tsf_records(path: Path, given: Columns) -> Records:
    records = read_tsf(path)
    if given.target not in (None, *records.columns) or given.date or given.id:
        raise DataError(f"{path.name} has a single column, y, and its own names and times", "leave the columns out")
    return records
