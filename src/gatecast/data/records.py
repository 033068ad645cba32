"""Rows of one or many series between a table and a panel: sorted, checked, and told in notes."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
from jaxtyping import Float64, Int64

from gatecast.data.calendar import Calendar, Times, panel_calendar
from gatecast.data.columns import Roles
from gatecast.data.dates import read_times
from gatecast.data.panel import Fill, Panel, time_text
from gatecast.data.table import Table, is_missing
from gatecast.errors import DataError

SHOWN = 5
"""How many series a note lists."""
FILLED = {
    "error": "filled with the last value",
    "last": "filled with the last value",
    "linear": "filled by a line between neighbours before the cut-off, else with the last value",
}


@dataclass(frozen=True, eq=False)
class Records:
    """One row per series and time; `codes` index `ids`, `places` say where a row came from (in `unit`s of `source`)."""

    source: str
    ids: tuple[str, ...]
    codes: Int64[np.ndarray, "rows"]
    times: Times
    date: str
    columns: tuple[str, ...]
    values: Float64[np.ndarray, "rows columns"]
    places: Int64[np.ndarray, "rows"]
    unit: str
    notes: tuple[str, ...] = ()
    calendar: Calendar | None = None

    def error(self, row: int, column: str, what: str, hint: str = "") -> DataError:
        """An error that names file, row, time and column."""
        whose = f", series '{self.ids[self.codes[row]]}'" if len(self.ids) > 1 else ""
        where = f"{self.unit} {self.places[row]} ({time_text(self.times[row])}{whose})"
        return DataError(f"{self.source}, {where}, column '{column}': {what}", hint)

    def take(self, order: Int64[np.ndarray, "rows"]) -> Records:
        """The rows in another order."""
        return replace(
            self,
            codes=self.codes[order],
            times=self.times[order],
            values=self.values[order],
            places=self.places[order],
        )


def to_records(table: Table, roles: Roles) -> Records:
    """Sorted records of a table whose columns have their roles; DataError for a time that occurs twice."""
    ids, codes = _series(table, roles.id)
    if roles.date is not None:
        times, notes = read_times(table, roles.date)
    else:
        times, notes = _row_numbers(codes), ("no date column: time is the row number 0, 1, 2, ...",)
    records = Records(
        source=table.source,
        ids=ids,
        codes=codes,
        times=times,
        date=roles.date or "",
        columns=tuple(roles.numbers),
        values=np.column_stack(list(roles.numbers.values())),
        places=table.places,
        unit=table.unit,
        notes=table.notes + notes + roles.notes,
    )
    return _in_order(records, [name for name in table.columns if name not in (roles.date, *roles.numbers)])


def to_panel(records: Records, fill: Fill) -> Panel:
    """The panel of sorted records; DataError for a missing cell that the fill rule does not allow."""
    starts = np.flatnonzero(np.diff(records.codes, prepend=-1))
    _check_missing(records, starts, fill)
    indptr = np.append(starts, len(records.codes)).astype(np.int64)
    ids = tuple(records.ids[code] for code in records.codes[starts])
    calendar = records.calendar or _calendar(records, indptr, ids)
    gaps = sum(calendar.missing(records.times[start:stop]) for start, stop in pairwise(indptr))
    notes = (*records.notes, *_missing_notes(records, fill), *_constant_notes(records, starts, ids))
    if gaps:
        notes += (f"{_counted(gaps, 'missing row')} by the calendar ({calendar.label})",)
    return Panel(records.values, records.times, indptr, ids, records.columns, calendar, fill, records.source, notes)


def _series(table: Table, id_: str | None) -> tuple[tuple[str, ...], Int64[np.ndarray, "rows"]]:
    """Names of the series in order of appearance, and which one each row belongs to."""
    if id_ is None:
        return (table.name,), np.zeros(table.rows, dtype=np.int64)
    cells = table.columns[id_]
    missing = is_missing(cells)
    if missing.any():
        raise table.error(int(missing.argmax()), id_, "no series name", "name the series of every row")
    codes: dict[str, int] = {}
    column = np.array([codes.setdefault(str(cell), len(codes)) for cell in cells.tolist()], dtype=np.int64)
    return tuple(codes), column


def _row_numbers(codes: Int64[np.ndarray, "rows"]) -> Times:
    """0, 1, 2, ... within each series."""
    order = np.argsort(codes, kind="stable")
    starts = np.flatnonzero(np.diff(codes[order], prepend=-1))
    counts = np.empty(len(codes), dtype=np.int64)
    counts[order] = np.arange(len(codes)) - np.repeat(starts, np.diff(np.append(starts, len(codes))))
    return counts


def _in_order(records: Records, others: list[str]) -> Records:
    """Records sorted by series and time; `others` are columns that might tell series apart."""
    order = np.lexsort((records.times, records.codes))
    by_series = np.argsort(records.codes, kind="stable")
    moved = not np.array_equal(order, by_series)
    records = records.take(order)
    twice = (np.diff(records.codes) == 0) & (np.diff(records.times).astype(np.int64) == 0)
    if twice.any():
        first = int(twice.argmax())
        hint = "keep one row per time; if the rows belong to several series, give the column that names them as id"
        hint += f" ({', '.join(others[:5])})" if others else ""
        what = f"this time is there twice, first in {records.unit} {records.places[first]}"
        raise records.error(first + 1, records.date, what, hint)
    return replace(records, notes=(*records.notes, "rows were not in time order: sorted")) if moved else records


def _check_missing(records: Records, starts: Int64[np.ndarray, "S"], fill: Fill) -> None:
    """DataError for a gap with nothing before it, and under `error` for any gap in the target."""
    gaps = np.isnan(records.values)
    for c, column in enumerate(records.columns):
        leading = starts[gaps[starts, c]]
        if len(leading):
            hint = "start the series later, or leave the column out"
            raise records.error(int(leading[0]), column, "no value, and nothing precedes it", hint)
    if fill == "error" and gaps[:, 0].any():
        what = f"no value ({int(gaps[:, 0].sum())} missing in this column)"
        hint = "fill with --fill last or --fill linear (in Python fill='last' or fill='linear')"
        raise records.error(int(gaps[:, 0].argmax()), records.columns[0], what, hint)


def _calendar(records: Records, indptr: Int64[np.ndarray, "pointers"], ids: tuple[str, ...]) -> Calendar:
    try:
        return panel_calendar(records.times, indptr, ids)
    except DataError as cause:
        raise DataError(f"{records.source}: {cause.message}", cause.hint) from cause


def _missing_notes(records: Records, fill: Fill) -> tuple[str, ...]:
    """How many cells of each column are missing, the first of them, and what becomes of them."""
    gaps = np.isnan(records.values)
    notes = []
    for c in np.flatnonzero(gaps.any(axis=0)):
        count, first = int(gaps[:, c].sum()), time_text(records.times[gaps[:, c].argmax()])
        where = first if count == 1 else f"first {first}"
        notes.append(f"{records.columns[c]}: {_counted(count, 'missing cell')} ({where}), {FILLED[fill]}")
    return tuple(notes)


def _constant_notes(records: Records, starts: Int64[np.ndarray, "S"], ids: tuple[str, ...]) -> tuple[str, ...]:
    """Which columns of which series have one value throughout."""
    low = np.fmin.reduceat(records.values, starts, axis=0)
    high = np.fmax.reduceat(records.values, starts, axis=0)
    long = np.diff(np.append(starts, len(records.values)))[:, None] > 1
    found = [
        f"{records.columns[c]}{f' of {ids[s]}' if len(ids) > 1 else ''} is constant at {low[s, c]:g}"
        for s, c in np.argwhere((low == high) & long)
    ]
    return (*found[:SHOWN], f"{len(found) - SHOWN} more columns are constant") if len(found) > SHOWN else tuple(found)


def _counted(count: int, what: str) -> str:
    return f"{count} {what}" if count == 1 else f"{count} {what}s"
