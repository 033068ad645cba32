"""Wide tables, one series to a row, as the M competitions publish them: made long."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np

from gatecast.data.table import Table, as_numbers, is_missing

COUNTED = re.compile(r"[A-Za-z]{0,2}(\d+)$")
FEWEST = 3


def unfolded(table: Table) -> Table:
    """One row per value, `unique_id` and `y`, where the table is wide: a first column of distinct names, then columns
    of numbers that are counted up (V2, V3, ... or 1, 2, ...). Any other table stays as it is.

    A series ends with its last value; its rows keep the line they came from.
    """
    names = list(table.columns)
    if not _is_wide(table, names):
        return table
    ids, cells = table.columns[names[0]], [table.columns[name] for name in names[1:]]
    there = np.column_stack([~is_missing(column) for column in cells])
    lengths = there.shape[1] - np.argmax(there[:, ::-1], axis=1)
    lengths = np.where(there.any(axis=1), lengths, 0)
    inside = np.arange(there.shape[1]) < lengths[:, None]
    whole = np.column_stack([column.astype(object) for column in cells])
    text = all(column.dtype == object for column in cells)
    values = whole[inside] if text else whole[inside].astype(np.float64)
    rows = np.repeat(np.arange(table.rows), lengths)
    note = f"{table.source} has one series to a row: read {len(ids)} series, their times counted from 0"
    columns = {"unique_id": ids[rows], "y": values}
    lines = table.places[rows]
    return replace(table, columns=columns, lines=lines, notes=(*table.notes, note))


def _is_wide(table: Table, names: list[str]) -> bool:
    """Whether names, counted headings and numbers are where they should be."""
    found = [COUNTED.match(name) for name in names[1:]]
    if len(names) <= FEWEST or not table.rows or not all(found):
        return False
    counts = [int(each[1]) for each in found if each]
    first = table.columns[names[0]]
    named = first.dtype == object and as_numbers(first).kind == "text" and len(set(first)) == table.rows
    numbers = all(as_numbers(table.columns[name], table.decimal).kind in ("number", "empty") for name in names[1:])
    return named and numbers and counts == list(range(counts[0], counts[0] + len(counts)))
