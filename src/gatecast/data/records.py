"""Rows of one or many series between a table and a panel: sorted, checked, and told in notes."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
from jaxtyping import Bool, Float64, Int64

from gatecast.data.calendar import HOLIDAYS, Calendar, Times, panel_calendar
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
    """The panel of sorted records, every series from its first target on; DataError for a series without any, and for
    a missing target that the fill rule does not allow."""
    records = _from_first_target(records)
    _check_missing(records, fill)
    starts, indptr = _bounds(records)
    leading = _leading(records, indptr)
    ids = tuple(records.ids[code] for code in records.codes[starts])
    calendar = records.calendar or _calendar(records, indptr, ids)
    gaps = sum(calendar.missing(records.times[start:stop]) for start, stop in pairwise(indptr))
    notes = (
        *(*records.notes, *_leading_notes(records, leading, indptr, ids), *_missing_notes(records, leading, fill)),
        *(*_constant_notes(records, starts, ids), *_hole_notes(records, calendar, indptr, ids)),
    )
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


def _bounds(records: Records) -> tuple[Int64[np.ndarray, "S"], Int64[np.ndarray, "pointers"]]:
    """The first row of every series, and the same with the number of rows."""
    starts = np.flatnonzero(np.diff(records.codes, prepend=-1))
    return starts, np.append(starts, len(records.codes)).astype(np.int64)


def _from_first_target(records: Records) -> Records:
    """Without the rows of every series that precede its first target."""
    starts, indptr = _bounds(records)
    early, target = _leading(records, indptr)[:, 0], records.columns[0]
    empty = np.logical_and.reduceat(early, starts)
    if empty.any():
        raise records.error(
            int(starts[empty.argmax()]), target, "no value, nor in any later row", "leave the series out"
        )
    if not early.any():
        return records
    late, rows = int(early[starts].sum()), _counted(int(early.sum()), "row")
    whose = f" values of {late} series" if late > 1 else f" value of {records.ids[records.codes[early.argmax()]]}"
    note = f"{target}: {rows} before the first{whose if len(records.ids) > 1 else ' value'} left out"
    return replace(records.take(np.flatnonzero(~early)), notes=(*records.notes, note))


def _leading(records: Records, indptr: Int64[np.ndarray, "pointers"]) -> Bool[np.ndarray, "rows columns"]:
    """Which missing cells have no value of their series before them."""
    seen = np.cumsum(~np.isnan(records.values), axis=0)
    before = np.vstack([np.zeros_like(seen[:1]), seen])[indptr[:-1]]
    return np.asarray(seen == np.repeat(before, np.diff(indptr), axis=0))


def _check_missing(records: Records, fill: Fill) -> None:
    """DataError under `error` for a gap in the target."""
    target, gaps = records.columns[0], np.isnan(records.values[:, 0])
    if fill == "error" and gaps.any():
        what = f"no value ({int(gaps.sum())} missing in this column)"
        hint = "fill with --fill last or --fill linear (in Python fill='last' or fill='linear')"
        raise records.error(int(gaps.argmax()), target, what, hint)


def _calendar(records: Records, indptr: Int64[np.ndarray, "pointers"], ids: tuple[str, ...]) -> Calendar:
    try:
        return panel_calendar(records.times, indptr, ids)
    except DataError as cause:
        raise DataError(f"{records.source}: {cause.message}", cause.hint) from cause


def _leading_notes(
    records: Records,
    leading: Bool[np.ndarray, "rows columns"],
    indptr: Int64[np.ndarray, "pointers"],
    ids: tuple[str, ...],
) -> tuple[str, ...]:
    """Which columns of which series begin after their series, and when."""
    notes = []
    for s, c in np.argwhere(leading[indptr[:-1]]):
        first = indptr[s] + int(leading[indptr[s] : indptr[s + 1], c].sum())
        when = f"before {time_text(records.times[first])}" if first < indptr[s + 1] else "at all"
        whose = f" of {ids[s]}" if len(ids) > 1 else ""
        notes.append(f"{records.columns[c]}{whose}: no value {when}; models that read it are refused")
    return _shortened(notes, "columns begin late")


def _missing_notes(records: Records, leading: Bool[np.ndarray, "rows columns"], fill: Fill) -> tuple[str, ...]:
    """How many cells of each column are missing later on, the first of them, and what becomes of them."""
    gaps = np.isnan(records.values) & ~leading
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
    return _shortened(found, "columns are constant")


def _hole_notes(
    records: Records, calendar: Calendar, indptr: Int64[np.ndarray, "pointers"], ids: tuple[str, ...]
) -> tuple[str, ...]:
    """The longest run of absent weekdays that is no holiday, and how many there are."""
    holes = [
        (hole, name)
        for name, (start, stop) in zip(ids, pairwise(indptr), strict=True)
        for hole in calendar.holes(records.times[start:stop])
    ]
    if not holes:
        return ()
    longest, name = max(holes, key=lambda each: each[0].weekdays)
    note = f"no rows from {longest.first} to {longest.last} ({longest.weekdays} weekdays)"
    note += f", the longest of {len(holes)} gaps of more than {HOLIDAYS} weekdays" if len(holes) > 1 else ""
    return (f"{name}: {note}" if len(ids) > 1 else note,)


def _shortened(notes: list[str], what: str) -> tuple[str, ...]:
    """The first notes, and how many more `what` there are."""
    return (*notes[:SHOWN], f"{len(notes) - SHOWN} more {what}") if len(notes) > SHOWN else tuple(notes)


def _counted(count: int, what: str) -> str:
    return f"{count} {what}" if count == 1 else f"{count} {what}s"
