"""Dates, counters and years: a column of times, in a format that one cell shows and all cells must follow.

Understood without being told: ISO 8601 (2020-01-31, 2020-01-31 14:30, 2020-01-31T14:30:00Z, 2020-01), 2020/01/31,
2020.01.31, 20200131, 31.01.2020, 31 Jan 2020, 31-Jan-2020, Jan 31, 2020, Jan 2020, 2020M01, 01/2020, 2020Q1, and
31/01/2020 or 01/31/2020 where a day above 12 settles the order. A column of whole numbers is a counter, except for
years 1700 to 2200 in a column called `date` or with `year` in its name, and 20200131. Times with a zone become UTC,
except where all are midnights: those are dates, and stay the dates they are whatever summer time does.
"""

from __future__ import annotations

import re
from datetime import datetime

import numpy as np
import pandas as pd
from jaxtyping import Bool

from gatecast.data.calendar import Times
from gatecast.data.table import Cells, Table, is_missing

YEARS = (1700, 2200)
IN_UTC = "its times are in UTC here"
LOCAL_DATES = "its times are all midnight there, so its dates are kept and the zone is dropped"
NOT_THIS_ONE = "correct the cell; if this is not the column of dates, name that one (date='...', --date)"
ISO = re.compile(r"\d{4}-\d\d(-\d\d([T ]\d\d(:\d\d(:\d\d(\.\d+)?)?(Z|[+-]\d\d(:?\d\d)?)?)?)?)?", re.ASCII)
ZONE = re.compile(r":\d\d(?:\.\d+)?(Z|[+-]\d\d(:?\d\d)?)$", re.ASCII)
MIDNIGHT = re.compile(r"[ T]00:00(:00(\.0+)?)?$", re.ASCII)
CLOCK = re.compile(r"([ T])\d{1,2}:\d\d(:\d\d)?(\.\d+)?( ?[AaPp][Mm])?$", re.ASCII)
QUARTER = re.compile(r"(\d{4})[- ]?[Qq]([1-4])|[Qq]([1-4])[-/ ]?(\d{4})", re.ASCII)
SLASHED = re.compile(r"(\d{1,2})([/-])(\d{1,2})\2\d{4}(?=\D|$)", re.ASCII)
WHOLE = re.compile(r"[+-]?\d{1,18}", re.ASCII)
FORMATS = (
    *("%Y-%m-%d", "%Y/%m/%d", "%Y.%m.%d", "%d.%m.%Y"),
    *("%Y-%m", "%Y/%m", "%Y.%m", "%m.%Y", "%YM%m", "%m/%Y", "%m-%Y"),
    *("%d-%b-%Y", "%d/%b/%Y", "%d-%B-%Y", "%d %b %Y", "%d %B %Y", "%b %d, %Y", "%B %d, %Y", "%b %d %Y"),
    *("%b-%Y", "%Y-%b", "%B-%Y", "%b %Y", "%B %Y", "%Y %b", "%Y %B"),
)


def looks_like_date(cell: str, date_format: str | None = None) -> bool:
    """Whether a text cell is a date (plain numbers are not, unless `date_format` is given).

    >>> looks_like_date("31.01.2020"), looks_like_date("03/04/2020"), looks_like_date("20200131")
    (True, True, False)
    """
    if date_format is not None:
        return _strptime(cell, date_format)
    if ISO.fullmatch(cell) or QUARTER.fullmatch(cell) or SLASHED.match(cell):
        return True
    return _format_of(cell) is not None


def read_times(table: Table, column: str) -> tuple[Times, tuple[str, ...]]:
    """The times of a column and what was decided on the way; DataError names the first cell that is no time."""
    cells = table.require(column)
    missing = is_missing(cells)
    if missing.any():
        raise table.error(int(missing.argmax()), column, "no date", "give every row a date, or leave the row out")
    if cells.dtype.kind == "M":
        return cells, ()
    text = _as_text(table, column, cells)
    if table.date_format is not None:
        return _parse(table, column, text, table.date_format), ()
    whole = np.array([WHOLE.fullmatch(cell) is not None for cell in text])
    if whole.all():
        return _whole_numbers(column, text.astype(np.int64), text)
    if whole.mean() >= 0.5:
        row = int((~whole).argmax())
        what = f"{text[row]!r} is not a whole number as most cells of the column are"
        raise table.error(row, column, what, NOT_THIS_ONE)
    return _text_times(table, column, text)


def _as_text(table: Table, column: str, cells: Cells) -> Cells:
    """Numbers as text: a date column of floats holds whole numbers or is refused."""
    if cells.dtype == object:
        return cells
    broken = cells.astype(np.float64) % 1 != 0
    if broken.any():
        row = int(broken.argmax())
        raise table.error(row, column, f"{cells[row]} is neither a date nor a whole number", NOT_THIS_ONE)
    return np.array([str(int(cell)) for cell in cells], dtype=object)


def _whole_numbers(column: str, numbers: Times, text: Cells) -> tuple[Times, tuple[str, ...]]:
    """Years, dates such as 20200131, or a counter."""
    name = column.lower()
    if ("year" in name or name == "date") and YEARS[0] <= numbers.min() and numbers.max() <= YEARS[1]:
        years = (numbers - 1970).astype("datetime64[Y]").astype("datetime64[ns]")
        return years, (f"{column} holds years, dated on their first day",)
    if all(len(cell) == 8 for cell in text):
        days = pd.to_datetime(pd.Series(text), format="%Y%m%d", errors="coerce")
        if days.notna().all() and YEARS[0] <= days.dt.year.min() and days.dt.year.max() <= YEARS[1]:
            return days.to_numpy().astype("datetime64[ns]"), (f"{column} was read as %Y%m%d",)
    return numbers, (f"{column} is a counter, not a date",)


def _text_times(table: Table, column: str, text: Cells) -> tuple[Times, tuple[str, ...]]:
    first = text[0]
    if ISO.fullmatch(first):
        return _iso_times(table, column, text)
    if QUARTER.fullmatch(first):
        days = np.array([_quarter_start(cell) for cell in text], dtype=object)
        return _parse(table, column, days, "%Y-%m-%d"), (f"{column} holds quarters, dated on their first day",)
    form = _day_month_order(table, column, text) if SLASHED.match(first) else _format_of(first)
    if form is None:
        raise table.error(
            0, column, f"{first!r} is not a date in a known format", "give the date format, such as %d/%m/%Y"
        )
    return _parse(table, column, text, form), (f"{column} was read as {form}",)


def _iso_times(table: Table, column: str, text: Cells) -> tuple[Times, tuple[str, ...]]:
    """ISO 8601: every cell with a zone, or none."""
    found = [ZONE.search(cell) for cell in text]
    zoned = np.array([each is not None for each in found])
    if not zoned.any():
        return _parse(table, column, text, "ISO8601"), ()
    if not zoned.all():
        row = int((zoned != zoned[0]).argmax())
        raise table.error(row, column, f"{text[row]!r} is {'without' if zoned[0] else 'with'} a time zone")
    local = np.array([cell[: each.start(1)] for cell, each in zip(text, found, strict=True) if each], dtype=object)
    if all(MIDNIGHT.search(cell) for cell in local):
        return _parse(table, column, local, "ISO8601"), (f"{column} has a time zone: {LOCAL_DATES}",)
    return _parse(table, column, text, "ISO8601"), (f"{column} has a time zone: {IN_UTC}",)


def _parse(table: Table, column: str, text: Cells, form: str) -> Times:
    """Text in one format as datetime64[ns], zones in UTC."""
    zoned = "%z" in form or (form == "ISO8601" and ZONE.search(text[0]) is not None)
    try:
        days = pd.to_datetime(pd.Series(text, dtype=object), format=form, errors="coerce", utc=zoned)
    except ValueError as cause:
        raise table.error(0, column, f"the date format '{form}' is not valid: {cause}") from cause
    failed = days.isna().to_numpy()
    if failed.any():
        row = int(failed.argmax())
        like = "an ISO 8601 date such as 2020-01-31" if form == "ISO8601" else f"a date in the format {form}"
        hint = "correct the cell, or give the date format, such as %d/%m/%Y"
        raise table.error(row, column, f"{str(table.columns[column][row])!r} is not {like}", hint)
    days = days.dt.tz_localize(None) if zoned else days
    outside = _outside(days)
    if outside.any():
        row = int(outside.argmax())
        raise table.error(row, column, f"{str(table.columns[column][row])!r} lies outside the years 1678 to 2261")
    return days.to_numpy().astype("datetime64[ns]")


def _outside(days: pd.Series) -> Bool[np.ndarray, "rows"]:
    """Which dates nanoseconds cannot count."""
    years = days.dt.year.to_numpy()
    return np.asarray((years < 1678) | (years > 2261))


def _day_month_order(table: Table, column: str, text: Cells) -> str:
    """Day first or month first: whichever part exceeds 12 somewhere in the column is the day."""
    found = [SLASHED.match(cell) for cell in text]
    parts = np.array([(int(each[1]), int(each[3])) if each else (0, 0) for each in found])
    day_first, month_first = bool((parts[:, 0] > 12).any()), bool((parts[:, 1] > 12).any())
    if not day_first and not month_first and (parts[:, 0] != parts[:, 1]).any():
        row = int((parts[:, 0] != parts[:, 1]).argmax())
        hint = "give the date format: %d/%m/%Y or %m/%d/%Y, with the column's own separator"
        raise table.error(row, column, f"{text[row]!r} may be day/month or month/day, and no row settles it", hint)
    settling = parts[int((parts > 12).any(axis=1).argmax())]
    mark = found[0][2] if found[0] else "/"
    order = "%d{0}%m{0}%Y" if settling[0] > 12 else "%m{0}%d{0}%Y"
    return order.format(mark) + _split_clock(text[0])[1]


def _format_of(cell: str) -> str | None:
    """The first known format that reads this cell."""
    date, clock = _split_clock(cell)
    return next((form + clock for form in FORMATS if _strptime(date, form)), None)


def _split_clock(cell: str) -> tuple[str, str]:
    """The date within a cell, and the format of the time of day behind it."""
    found = CLOCK.search(cell)
    if found is None:
        return cell, ""
    before, seconds, fraction, half = found.groups()
    form = ("%I" if half else "%H") + ":%M" + (":%S" if seconds else "") + (".%f" if fraction else "")
    return cell[: found.start()], before + form + (half[:-2] + "%p" if half else "")


def _strptime(cell: str, form: str) -> bool:
    try:
        datetime.strptime(cell, form)
    except ValueError:
        return False
    return True


def _quarter_start(cell: str) -> str:
    found = QUARTER.fullmatch(cell)
    if found is None:
        return cell
    year, quarter = found[1] or found[4], int(found[2] or found[3])
    return f"{year}-{3 * quarter - 2:02d}-01"
