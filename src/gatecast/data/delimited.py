"""CSV and its relatives: encoding, separator and decimal mark are detected by stated rules, or given."""

from __future__ import annotations

import codecs
import csv
import io
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path

import numpy as np

from gatecast.data.dates import looks_like_date
from gatecast.data.table import MISSING, Table, as_numbers
from gatecast.errors import DataError, SpecError

SEPARATORS = {",": "comma", ";": "semicolon", "\t": "tab", "|": "vertical bar"}
BOMS = ((codecs.BOM_UTF8, "utf-8-sig"), (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"))
ONE_COLUMN = "\x1f"
SAMPLE = 50
"""Lines on which the separator is decided."""
_COMMA_NUMBER = re.compile(r"[+-]?\d*,\d+(?:[eE][+-]?\d+)?", re.ASCII)
_MAYBE_THOUSANDS = re.compile(r"[+-]?[1-9]\d{0,2}[.,]\d{3}", re.ASCII)


@dataclass(frozen=True)
class CsvFormat:
    """How a text file is written; None is detected. `date_format` is a strftime pattern such as "%d/%m/%Y".

    Detected are: comma, semicolon, tab and vertical bar; decimal point, and decimal comma where the separator is
    not the comma; UTF-8, UTF-16 with a byte order mark, else Windows-1252; the dates that `gatecast.data.dates` names.
    """

    separator: str | None = None
    decimal: str | None = None
    encoding: str | None = None
    date_format: str | None = None

    def __post_init__(self) -> None:
        if self.separator is not None and len(self.separator) != 1:
            raise SpecError(f"separator {self.separator!r}, expected one character", "for example ';' or '\\t'")
        if self.decimal not in (None, ".", ","):
            raise SpecError(f"decimal {self.decimal!r}, expected '.' or ','")
        if self.encoding is not None:
            try:
                codecs.lookup(self.encoding)
            except LookupError as cause:
                raise SpecError(
                    f"unknown encoding '{self.encoding}'", "common ones are utf-8, cp1252 and utf-16"
                ) from cause


def read_delimited(path: Path, form: CsvFormat) -> Table:
    """Read a text file into a table of text cells; every row knows its line in the file."""
    text, encoding = decode(path, form.encoding)
    separator = form.separator or _separator(text, path.name)
    records = _records(text, separator, path.name)
    header, rows, lines = _rectangle(records, path.name)
    names = _names(header, path.name)
    columns = {name: np.array(cells, dtype=object) for name, cells in zip(names, zip(*rows, strict=True), strict=True)}
    for position, name in enumerate(names):
        if not header[position] and all(cell.lower() in MISSING for cell in columns[name]):
            del columns[name]  # a separator at the end of every line
    decimal = form.decimal or _decimal(columns, separator, path.name)
    notes = (
        [f"the separator is the {SEPARATORS.get(separator, repr(separator))}"]
        if separator not in (",", ONE_COLUMN)
        else []
    )
    notes += [f"the encoding is {encoding}"] if encoding != "utf-8" else []
    notes += ["the decimal mark is the comma"] if decimal == "," else []
    table = Table(path.name, path.stem, columns, np.array(lines, dtype=np.int64), decimal, form.date_format)
    return replace(table, notes=tuple(notes))


def decode(path: Path, encoding: str | None = None) -> tuple[str, str]:
    """The text of a file and the encoding it was read with: given, by its byte order mark, UTF-8, or Windows-1252."""
    raw = path.read_bytes()
    if not raw.strip():
        raise DataError(f"{path.name} is empty", "expected a line of column names and one line per time")
    marked = next((name for mark, name in BOMS if raw.startswith(mark)), None)
    if encoding is None and marked is None and b"\x00" in raw:
        raise DataError(
            f"{path.name} holds zero bytes, so it is not a text file, or it is UTF-16 without a byte order mark",
            "export it as CSV, or give the encoding, such as utf-16-le",
        )
    tried = [encoding] if encoding else [marked] if marked else ["utf-8", "cp1252"]
    for name in tried:
        try:
            return raw.decode(name).removeprefix("\ufeff"), "utf-8" if name == "utf-8-sig" else name
        except UnicodeDecodeError as cause:
            failure = cause
    line = raw[: failure.start].count(b"\n") + 1
    raise DataError(
        f"{path.name}, line {line}: byte 0x{raw[failure.start]:02x} is not {' or '.join(tried)} text",
        "give the encoding of the file, such as cp1252 or utf-16",
    ) from failure


def _separator(text: str, source: str) -> str:
    """The separator that splits the header, and as many as possible of the first lines alike, into most fields.

    `ONE_COLUMN`, a sign that occurs nowhere, where no candidate splits the header.
    """
    ranked = []
    for separator in SEPARATORS:
        try:
            sample = list(islice(csv.reader(io.StringIO(text, newline=""), delimiter=separator), SAMPLE))
        except csv.Error:
            continue
        widths = [len(row) for row in sample if row]
        if widths and widths[0] > 1:
            ranked.append((widths.count(widths[0]), widths[0], separator))
    if not ranked:
        return ONE_COLUMN
    ranked.sort(key=lambda entry: entry[:2], reverse=True)
    if len(ranked) > 1 and ranked[0][:2] == ranked[1][:2]:
        first, second = SEPARATORS[ranked[0][2]], SEPARATORS[ranked[1][2]]
        raise DataError(
            f"{source}: the {first} and the {second} both split every line into {ranked[0][1]} fields",
            "give the separator",
        )
    return ranked[0][2]


def _records(text: str, separator: str, source: str) -> Iterator[tuple[int, list[str]]]:
    """Line number and stripped fields of every record, blank lines included."""
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, skipinitialspace=True, strict=True)
    start = 1
    try:
        for record in reader:
            fields = [field.strip() for field in record]
            yield start, [] if fields == [""] else fields
            start = reader.line_num + 1
    except csv.Error as cause:
        raise DataError(f"{source}, line {start}: {cause}", "check the quotes in this line") from cause


def _rectangle(records: Iterator[tuple[int, list[str]]], source: str) -> tuple[list[str], list[list[str]], list[int]]:
    """Header, rows and their line numbers; DataError where a row has another number of fields than the header.

    Blank lines are left out, except between the rows of a single column, where they are missing cells.
    """
    header = next((record for _, record in records if record), [])
    rows, lines = [], []
    for line, record in records:
        if not record and len(header) > 1:
            continue
        if record and len(record) != len(header):
            raise DataError(
                f"{source}, line {line}: {_fields(len(record))}, expected {len(header)} as in the header",
                "quote a field that holds the separator, or correct this line",
            )
        rows.append(record or [""])
        lines.append(line)
    while rows and rows[-1] == [""]:
        del rows[-1], lines[-1]
    if not rows:
        raise DataError(f"{source} has a header and no rows", "expected one line per time below the column names")
    return header, rows, lines


def _fields(count: int) -> str:
    return "1 field" if count == 1 else f"{count} fields"


def _names(header: list[str], source: str) -> list[str]:
    """The column names, `column 3` for an empty one; DataError where the first line holds data or a name twice."""
    filled = np.array([cell for cell in header if cell], dtype=object)
    if all(looks_like_date(cell) or not as_numbers(filled[i : i + 1]).is_text[0] for i, cell in enumerate(filled)):
        raise DataError(
            f"{source}: the first line ({', '.join(header[:4])}) holds data, expected column names",
            "put a line of column names on top",
        )
    names = [name or f"column {position}" for position, name in enumerate(header, start=1)]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise DataError(f"{source}: two columns are called '{twice}'", "rename one of them in the first line")
    return names


def _decimal(columns: dict[str, np.ndarray], separator: str, source: str) -> str:
    """The decimal mark: a comma where the separator is another sign and some cell reads as 12,5.

    DataError where a comma, or beside whole numbers below 1000 every point, may stand for thousands.
    """
    if separator == ",":
        return "."
    commas = [cell for cells in columns.values() for cell in cells if "," in cell and _COMMA_NUMBER.fullmatch(cell)]
    doubtful = commas if all(_MAYBE_THOUSANDS.fullmatch(cell) for cell in commas) else []
    if not commas:
        doubtful = next(filter(None, map(_grouped, columns.values())), [])
    if doubtful:
        digits = re.split("[.,]", doubtful[0])
        raise DataError(
            f"{source}: '{doubtful[0]}' may be {'.'.join(digits)} or {''.join(digits)}, and no other number settles it",
            "give the decimal mark (',' for a decimal comma), or write numbers without thousands separators",
        )
    return "," if commas else "."


def _grouped(cells: np.ndarray) -> list[str]:
    """The cells with points, where all read as 1.234 and the others are whole numbers of at most three digits."""
    pointed = [cell for cell in cells if "." in cell]
    whole = [cell for cell in cells if cell.isdigit()]
    small = whole and max(map(len, whole)) <= 3
    return pointed if small and all(_MAYBE_THOUSANDS.fullmatch(cell) for cell in pointed) else []
