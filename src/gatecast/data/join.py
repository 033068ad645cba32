"""Columns of other files, joined by time as past inputs."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd

from gatecast.data.records import Records
from gatecast.errors import DataError


def join(main: Records, other: Records) -> Records:
    """Add the columns of `other`, one series, to every row of `main` with the same time.

    A column `Close` of the series AAPL is called `AAPL.Close`. Times that `other` lacks are missing cells; times that
    `main` lacks are left out. DataError where `other` holds several series, or shares no time with `main`.
    """
    if len(other.ids) != 1:
        raise DataError(
            f"{other.source} holds {len(other.ids)} series, and only a single series can be joined",
            "write the series to join to a file of its own",
        )
    columns = tuple(f"{other.ids[0]}.{column}" for column in other.columns)
    twice = sorted(set(columns) & set(main.columns))
    if twice:
        raise DataError(f"{other.source}: a column '{twice[0]}' is there already", "rename the file or its series")
    found = (
        pd.Index(other.times).get_indexer(pd.Index(main.times))
        if other.times.dtype == main.times.dtype
        else np.full(len(main.times), -1)
    )
    if (found < 0).all():
        raise DataError(
            f"{other.source} shares no time with {main.source}", "both need the same kind of dates, or of counter"
        )
    values = np.where(found[:, None] < 0, np.nan, other.values[found])
    absent = int((found < 0).sum())
    note = f"joined {', '.join(columns)} of {other.source}"
    note += f"; {absent} of {len(found)} rows have no match there" if absent else ""
    return replace(
        main,
        columns=main.columns + columns,
        values=np.column_stack([main.values, values]),
        notes=(*main.notes, note, *(f"{other.source}: {said}" for said in other.notes)),
    )
