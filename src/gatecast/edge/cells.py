"""How a value is written into CSV and JSON: numbers in full precision, times in ISO 8601."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterable
from typing import Any

import numpy as np
import pandas as pd

from gatecast.data.panel import time_text


def time_json(time: np.datetime64 | np.integer) -> str | int:
    """A time as ISO 8601 text (without the clock at midnight), or a counter as a number.

    >>> time_json(np.datetime64("2017-01-03T05:00:00", "ns"))
    '2017-01-03T05:00:00'
    """
    return int(time) if isinstance(time, np.integer) else time_text(time).replace(" ", "T")


def cell(value: Any) -> str:
    """A value as CSV text: nothing for NaN.

    >>> cell(0.1), cell(float("nan")), cell(np.int64(3))
    ('0.1', '', '3')
    """
    if isinstance(value, pd.Timestamp):
        value = value.to_datetime64()
    if isinstance(value, np.datetime64 | np.integer):
        return str(time_json(value))
    if isinstance(value, float | np.floating):
        return "" if math.isnan(value) else repr(float(value))
    return str(value)


def csv_text(heading: Iterable[str], lines: Iterable[Iterable[str]]) -> str:
    """Comma-separated text with a line of column names."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(heading)
    writer.writerows(lines)
    return text.getvalue()


def frame_csv(frame: pd.DataFrame) -> str:
    """A frame as CSV, without its index."""
    columns = (frame[name].array for name in frame)
    return csv_text(map(str, frame.columns), (map(cell, record) for record in zip(*columns, strict=True)))
