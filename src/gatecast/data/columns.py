"""Which column is what: by the names given, else by common names, else by what the cells hold."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64

from gatecast.data.dates import YEARS, looks_like_date
from gatecast.data.table import PLAIN_NUMBERS, Cells, Numbers, Table, as_numbers, is_missing
from gatecast.errors import DataError

DATE_NAMES = ("ds", "date", "datetime", "timestamp", "time")
"""A column of this name is the date, whatever it holds."""
PERIOD_NAMES = ("month", "day", "week", "quarter", "year", "period", "index")
"""A column of this name is the date if it holds dates, years (a name with `year`) or a counter (`period`, `index`)."""
TARGET_NAMES = ("y", "target", "value", "close", "price", "sales", "demand", "load", "count")
ID_NAMES = ("unique_id", "id", "item_id", "series", "series_id", "ticker", "symbol", "name")
COUNTER_NAMES = ("column 1", "unnamed: 0", "index", "id", "row", "instant")


@dataclass(frozen=True)
class Columns:
    """The column names that were given; None is found out."""

    date: str | None = None
    target: str | None = None
    id: str | None = None


@dataclass(frozen=True, eq=False)
class Roles:
    """What each column is for. `numbers` holds the value columns, the target first."""

    date: str | None
    id: str | None
    numbers: dict[str, Float64[np.ndarray, "rows"]]
    notes: tuple[str, ...]


def find_roles(table: Table, given: Columns, needs_target: bool = True) -> Roles:
    """Give every column its role; DataError where a name is unknown, a number is text, or the target is unclear."""
    asked = [name for name in (given.date, given.target, given.id) if name is not None]
    for name in asked:
        table.require(name)
    if len(set(asked)) < len(asked):
        raise DataError(f"date, target and id are given as {', '.join(asked)}, expected different columns")
    date = given.date or table.date or _find_date(table, {given.target, given.id})
    rest = {name: as_numbers(cells, table.decimal) for name, cells in table.columns.items() if name != date}
    id_ = given.id or _find_id(table, rest, given.target)
    rest.pop(id_ or "", None)
    counters = [name for name in rest if name != given.target and _counts_rows(name, rest[name])]
    kinds = {name: rest[name].kind for name in rest}
    numeric = [name for name in rest if kinds[name] in ("number", "mixed") and name not in counters]
    if not numeric and given.target is None:
        listing = ", ".join(list(table.columns)[:10])
        raise DataError(f"{table.source} has no column of numbers; its columns are {listing}", PLAIN_NUMBERS)
    if needs_target:
        target = given.target or _find_target(table, numeric)
        numeric = [target, *(name for name in numeric if name != target)]
    for name in numeric:
        _check_numbers(table, name, rest[name])
    ignored = {
        kind: [name for name in rest if kinds[name] == kind and name not in numeric] for kind in ("text", "empty")
    }
    ignored["row counter"] = counters
    notes = tuple(f"ignored {kind} columns: {', '.join(names)}" for kind, names in ignored.items() if names)
    return Roles(date, id_, {name: rest[name].values for name in numeric}, notes)


def _find_date(table: Table, taken: set[str | None]) -> str | None:
    """The date column by its name, else the first whose first cell is a date.

    Text under a name such as `month` that is no date is taken too, where there is nothing else, to be refused.
    """
    free = [name for name in table.columns if name not in taken]
    folded = {name.lower(): name for name in reversed(free)}
    for name in DATE_NAMES:
        if name in folded:
            return folded[name]
    for name in PERIOD_NAMES:
        if name in folded and _holds_periods(name, table.columns[folded[name]], table.date_format):
            return folded[name]
    dated = next((name for name in free if _holds_dates(table.columns[name], table.date_format)), None)
    texts = (folded[name] for name in PERIOD_NAMES if name in folded)
    return dated or next((name for name in texts if as_numbers(table.columns[name]).kind == "text"), None)


def _holds_dates(cells: Cells, date_format: str | None) -> bool:
    if cells.dtype != object:
        return cells.dtype.kind == "M"
    first = next((cell for cell, missing in zip(cells, is_missing(cells), strict=True) if not missing), None)
    return first is not None and looks_like_date(first, date_format)


def _holds_periods(name: str, cells: Cells, date_format: str | None) -> bool:
    if _holds_dates(cells, date_format):
        return True
    numbers = as_numbers(cells) if cells.dtype.kind != "M" else None
    if numbers is None or numbers.kind != "number" or np.isnan(numbers.values).any() or (numbers.values % 1).any():
        return False
    if name == "year":
        return bool(YEARS[0] <= numbers.values.min() and numbers.values.max() <= YEARS[1])
    return name in ("period", "index")


def _find_id(table: Table, rest: dict[str, Numbers], target: str | None) -> str | None:
    """The id column by its name, unless it numbers the rows; else a text column with one value throughout."""
    texts = [name for name in rest if name != target and rest[name].kind == "text"]
    folded = {name.lower(): name for name in reversed(rest) if name != target}
    for wanted in ID_NAMES:
        name = folded.get(wanted)
        if name is None or (wanted in ("name", "series") and name not in texts):
            continue
        if (wanted == "unique_id" and name in texts) or table.rows == 1 or len(set(table.columns[name])) < table.rows:
            return name
    return next((name for name in texts if len(set(table.columns[name])) == 1), None)


def _find_target(table: Table, numeric: list[str]) -> str:
    folded = {name.lower(): name for name in reversed(numeric)}
    by_name = next((folded[name] for name in TARGET_NAMES if name in folded), None)
    if by_name is not None or len(numeric) == 1:
        return by_name or numeric[0]
    listing = ", ".join(numeric[:10]) + (", ..." if len(numeric) > 10 else "")
    raise DataError(
        f"{table.source} does not say which column to forecast; the columns of numbers are {listing}",
        f"give the target, for example target='{numeric[0]}' or --target {numeric[0]}",
    )


def _counts_rows(name: str, numbers: Numbers) -> bool:
    """Whether a column such as `id` or one without a name merely counts the rows from 0 or 1."""
    if name.lower() not in COUNTER_NAMES or numbers.kind != "number":
        return False
    return any(np.array_equal(numbers.values, np.arange(len(numbers.values)) + start) for start in (0, 1))


def _check_numbers(table: Table, name: str, numbers: Numbers) -> None:
    """DataError for the first text or infinite cell of a value column."""
    cells = table.columns[name]
    if numbers.is_text.any():
        row = int(numbers.is_text.argmax())
        raise table.error(row, name, f"{cells[row]!r} is not a number", PLAIN_NUMBERS)
    infinite = np.isinf(numbers.values)
    if infinite.any():
        row = int(infinite.argmax())
        raise table.error(row, name, f"{str(cells[row])!r} is infinite", "correct the cell, or leave it empty")
    if numbers.kind == "empty":
        raise DataError(f"{table.source}: column '{name}' has no values")
