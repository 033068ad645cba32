"""The `.tsf` format of the Monash archive: lines of `name:start:v1,v2,...` below a header of `@` lines."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

import numpy as np
from jaxtyping import Float64

from gatecast.data.calendar import Calendar, Times, anchored
from gatecast.data.delimited import decode
from gatecast.data.records import Records
from gatecast.data.table import Cells, Numbers, as_numbers
from gatecast.errors import DataError, did_you_mean

NAME, START = "series_name", "start_timestamp"
STAMPS = ("%Y-%m-%d %H-%M-%S", "%Y-%m-%d")
# frequency -> the rule, or the families that the first start may be anchored in: first or last day of a month
FREQUENCIES: dict[str, tuple[str, ...] | Calendar] = {
    "yearly": ("YS", "YE"),
    "quarterly": ("QS", "QE"),
    "monthly": ("MS", "ME"),
    "weekly": ("W",),
    "daily": Calendar("D"),
    "hourly": Calendar("h"),
    "half_hourly": Calendar("min", 30),
    "10_minutes": Calendar("min", 10),
    "minutely": Calendar("min"),
    "4_seconds": Calendar("s", 4),
}


@dataclass
class Header:
    """What the `@` lines say: the attributes before the values, and the frequency."""

    attributes: list[str] = field(default_factory=list)
    frequency: str | None = None


@dataclass(frozen=True, eq=False)
class Line:
    """One series as it stands in a line of the file."""

    number: int
    name: str
    start: np.datetime64 | None
    values: Float64[np.ndarray, "T"]


def read_tsf(path: Path) -> Records:
    """Read a `.tsf` file: one column `y`; time is a counter 0, 1, 2, ... where the file has no start times."""
    text, _ = decode(path)
    header, lines = Header(), []
    in_data = False
    for number, line in enumerate(text.split("\n"), start=1):
        line = line.strip()
        if not line or line.startswith("#"):
            continue
        if in_data:
            lines.append(_series(line, number, header, path.name))
        elif line.startswith("@"):
            in_data = _header(line, number, header, path.name)
        else:
            raise DataError(f"{path.name}, line {number}: '{line[:40]}' stands before @data", "expected a line with @")
    if not lines:
        raise DataError(f"{path.name} has no series", "expected lines of name:start:v1,v2,... below @data")
    names = [line.name for line in lines]
    twice = next((line for place, line in enumerate(lines) if line.name in names[:place]), None)
    if twice is not None:
        raise DataError(f"{path.name}, line {twice.number}: series '{twice.name}' is there twice", "rename one of them")
    return _records(path, header, lines)


def _header(line: str, number: int, header: Header, source: str) -> bool:
    """Take in one `@` line; true where the data begin."""
    keyword, *words = line.split()
    if keyword == "@attribute":
        if len(words) != 2:
            raise DataError(f"{source}, line {number}: '{line}', expected @attribute with a name and a type")
        header.attributes.append(words[0])
    elif keyword == "@frequency":
        header.frequency = " ".join(words)
        if header.frequency not in FREQUENCIES:
            hint = did_you_mean(header.frequency, FREQUENCIES)
            raise DataError(f"{source}, line {number}: unknown frequency '{header.frequency}'", hint)
    return keyword == "@data"


def _series(line: str, number: int, header: Header, source: str) -> Line:
    """One line: as many attributes as were declared, then the values."""
    *attributes, cells = line.split(":")
    if len(attributes) != len(header.attributes):
        expected = ":".join([*header.attributes, "v1,v2,..."])
        raise DataError(f"{source}, line {number}: {len(attributes)} attributes before the values, expected {expected}")
    known = dict(zip(header.attributes, attributes, strict=True))
    text = np.array([cell.strip() for cell in cells.split(",")], dtype=object)
    _check(as_numbers(text), text, f"{source}, line {number}")
    start = _stamp(known[START], f"{source}, line {number}") if START in known else None
    return Line(number, known.get(NAME, f"line {number}"), start, as_numbers(text).values)


def _check(numbers: Numbers, text: Cells, where: str) -> None:
    bad = numbers.is_text | np.isinf(numbers.values)
    if bad.any():
        place = int(bad.argmax())
        raise DataError(
            f"{where}, value {place + 1}: '{text[place]}' is not a finite number", "write ? where one is missing"
        )


def _stamp(cell: str, where: str) -> np.datetime64:
    for form in STAMPS:
        try:
            return np.datetime64(datetime.strptime(cell.strip(), form), "ns")
        except ValueError:
            continue
    raise DataError(f"{where}: '{cell}' is not a start time", "expected 1969-01-31 or 1969-01-31 00-00-00")


def _records(path: Path, header: Header, lines: list[Line]) -> Records:
    lengths = [len(line.values) for line in lines]
    calendar = _calendar(header.frequency, lines[0], path.name)
    ignored = [name for name in header.attributes if name not in (NAME, START)]
    return Records(
        source=path.name,
        ids=tuple(line.name for line in lines),
        codes=np.repeat(np.arange(len(lines)), lengths),
        times=np.concatenate([_times(line, calendar, path.name) for line in lines]),
        date="start_timestamp",
        columns=("y",),
        values=np.concatenate([line.values for line in lines])[:, None],
        places=np.repeat([line.number for line in lines], lengths),
        unit="line",
        notes=(f"ignored attributes: {', '.join(ignored)}",) if ignored else (),
        calendar=calendar,
    )


def _calendar(frequency: str | None, first: Line, source: str) -> Calendar:
    """The rule of the file's frequency, through the start of the first series."""
    if first.start is None:
        return Calendar("step")
    if frequency is None:
        raise DataError(f"{source} has start times and no @frequency", f"expected one of {', '.join(FREQUENCIES)}")
    rule = FREQUENCIES[frequency]
    if isinstance(rule, Calendar):
        return rule
    rules = [Calendar(anchored(family, first.start)) for family in rule]
    fitting = next((each for each in rules if each.fits(np.array([first.start]))), None)
    if fitting is None:
        raise DataError(
            f"{source}, line {first.number}: a {frequency} series starts at {first.start.astype('datetime64[D]')}",
            "expected the first or the last day of a month",
        )
    return fitting


def _times(line: Line, calendar: Calendar, source: str) -> Times:
    """Start and the times that follow by the rule."""
    if line.start is None:
        return np.arange(len(line.values), dtype=np.int64)
    times = np.concatenate([[line.start], calendar.future(line.start, len(line.values) - 1)])
    if not calendar.fits(times[:1]):
        raise DataError(
            f"{source}, line {line.number}: series '{line.name}' starts at {line.start.astype('datetime64[D]')}, off "
            f"the rule of the first series: {calendar.label} ({calendar.alias})",
            "write it to a file of its own",
        )
    if (times[1:] <= times[:-1]).any():
        raise DataError(f"{source}, line {line.number}: series '{line.name}' runs beyond the year 2261")
    return times
