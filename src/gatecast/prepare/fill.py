"""Missing cells, filled without looking past what was known."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Bool, Float64

from gatecast.data.calendar import Times
from gatecast.data.panel import Fill, Panel, time_text
from gatecast.errors import DataError


@dataclass(frozen=True, eq=False)
class Filled:
    """Values without gaps, and where they had them. Unit: original."""

    values: Float64[np.ndarray, "T C"]
    was_missing: Bool[np.ndarray, "T C"]


def fill(panel: Panel, known: int | None = None) -> Filled:
    """Fill one series' missing cells by the panel's rule; `known` rows lie before the cut-off (all, by default).

    `last` repeats the last value seen. `linear` draws a line where both neighbours precede the cut-off and repeats
    the last value elsewhere. Under `error` a missing target raises DataError and other columns repeat their last
    value. A gap with nothing before it raises DataError.
    """
    known = panel.rows if known is None else known
    columns = [
        _fill_column(panel, c, "last" if panel.fill == "error" and c > 0 else panel.fill, known)
        for c in range(len(panel.columns))
    ]
    return Filled(np.column_stack(columns), np.isnan(panel.values))


def begun(panel: Panel) -> tuple[str, ...]:
    """The target and every other column that has a value in the first row of this one series."""
    there = ~np.isnan(panel.values[0]) if panel.rows else np.ones(len(panel.columns), dtype=bool)
    return tuple(name for name, begins in zip(panel.columns, there, strict=True) if begins or name == panel.target)


def _fill_column(panel: Panel, c: int, rule: Fill, known: int) -> Float64[np.ndarray, "T"]:
    column = panel.values[:, c]
    gaps = np.isnan(column)
    if not gaps.any():
        return column
    first = int(np.argmax(gaps))
    if rule == "error" or gaps[0]:
        what = "and nothing precedes it" if gaps[0] else f"({int(gaps.sum())} missing in all)"
        raise DataError(
            f"{panel.source}: column '{panel.columns[c]}' has no value at {time_text(panel.times[first])} {what}",
            "leave the column out, or start the series later"
            if gaps[0]
            else "fill the gaps with fill='last' or fill='linear'",
        )
    seen = np.maximum.accumulate(np.where(gaps, 0, np.arange(len(column))))
    filled = column[seen]
    if rule == "linear":
        inside = np.flatnonzero(~gaps[:known])
        between = np.flatnonzero(gaps[: inside[-1] + 1])
        filled[between] = np.interp(between, inside, column[inside])
    return filled


def last_known(panel: Panel) -> Float64[np.ndarray, "rows"]:
    """The target of every row, the last value known there where it is missing; series start with a value."""
    y = panel.values[:, 0]
    return y[np.maximum.accumulate(np.where(np.isfinite(y), np.arange(len(y)), 0))]


def regular(panel: Panel) -> Panel:
    """Every series on its calendar from its first value on: rows that are not there become rows without a value.

    Business days have no such rows: a weekday without one is a holiday. Raises DataError for a series without a value.
    """
    pieces = [_regular(series) for series in panel]
    lengths = [len(times) for _, times in pieces]
    return replace(
        panel,
        values=np.concatenate([values for values, _ in pieces]),
        times=np.concatenate([times for _, times in pieces]),
        indptr=np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64),
    )


def _regular(series: Panel) -> tuple[Float64[np.ndarray, "T C"], Times]:
    known = np.isfinite(series.values[:, 0])
    if not known.any():
        raise DataError(f"series '{series.ids[0]}' of {series.source} has no value", "leave it out")
    begin = int(known.argmax())
    values, times = series.values[begin:], series.times[begin:]
    if not series.calendar.missing(times):
        return values, times
    places = series.calendar.positions(times)
    whole = np.full((places[-1] + 1, values.shape[1]), np.nan)
    whole[places] = values
    return whole, np.concatenate([times[:1], series.calendar.future(times[0], int(places[-1]))])
