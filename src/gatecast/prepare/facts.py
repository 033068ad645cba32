"""What is known of a series at each of its rows from all rows up to it: level, width, range and smoothers."""

from __future__ import annotations

from itertools import pairwise
from typing import NamedTuple

import numpy as np
from jaxtyping import Float64, Int64

from gatecast.prepare.limits import ranges_of
from gatecast.prepare.scale import seasonal_differences
from gatecast.prepare.smooth import States, smooth

Sums = Float64[np.ndarray, "*rows"]


class Facts(NamedTuple):
    """Of S series in rows one after another, all but `offset`, their first values, relative to that.

    `centre`: the mean of the last season's values; where all are missing, the last centre there was. `deviation`: the
    standard deviation of the look-back window, `valid` how many values it has. `ranges`: the lowest and the highest
    value so far. `difference`: the mean seasonal difference.
    """

    offset: Float64[np.ndarray, "S"]
    difference: Float64[np.ndarray, "S"]
    centre: Float64[np.ndarray, "rows"]
    deviation: Float64[np.ndarray, "rows"]
    valid: Float64[np.ndarray, "rows"]
    ranges: Float64[np.ndarray, "rows 2"]
    states: States


def facts_of(
    z: Float64[np.ndarray, "rows"],
    indptr: Int64[np.ndarray, "pointers"],
    lookback: int,
    season: int,
    difference: Float64[np.ndarray, "S"] | None = None,
) -> Facts:
    """The facts of whole series; `difference`, where it is not that of these rows."""
    offset = firsts(z, indptr)
    z = z - np.repeat(offset, np.diff(indptr))
    if difference is None:
        difference = seasonal_differences(z, indptr, season)
    centre, deviation, valid = windows_of(z, indptr, lookback, season)
    return Facts(offset, difference, centre, deviation, valid, ranges_of(z, indptr), smooth(z, indptr, season))


def deviation_of(count: Sums, total: Sums, squares: Sums) -> Sums:
    """The standard deviation of so many values with this total and this total of squares."""
    count = np.maximum(count, 1)
    return np.sqrt(np.maximum(squares / count - (total / count) ** 2, 0.0))


def firsts(z: Float64[np.ndarray, "rows"], indptr: Int64[np.ndarray, "pointers"]) -> Float64[np.ndarray, "S"]:
    """The first value of every series, 0 where it has none."""
    known = np.isfinite(z)
    first = np.minimum.reduceat(np.where(known, np.arange(len(z)), len(z)), indptr[:-1])
    return np.append(np.nan_to_num(z), 0.0)[first]


def windows_of(
    z: Float64[np.ndarray, "rows"], indptr: Int64[np.ndarray, "pointers"], lookback: int, season: int
) -> tuple[Float64[np.ndarray, "rows"], Float64[np.ndarray, "rows"], Float64[np.ndarray, "rows"]]:
    """Of every row as anchor: centre, and deviation and count of its window."""
    starts = np.repeat(indptr[:-1], np.diff(indptr))
    here, known = np.arange(len(z)), np.isfinite(z)
    filled = np.where(known, z, 0.0)
    running = [_running(each, indptr) for each in (known.astype(np.float64), filled, filled**2)]

    def over(rows: int) -> list[np.ndarray]:
        before = here - rows
        return [each - np.where(before >= starts, each[np.maximum(before, 0)], 0.0) for each in running]

    count, total, _ = over(season)
    newest = np.maximum.accumulate(np.where(count > 0, here, starts))
    centre = (total / np.maximum(count, 1))[newest]
    window = over(lookback)
    return centre, deviation_of(*window), window[0]


def _running(values: Float64[np.ndarray, "rows"], indptr: Int64[np.ndarray, "pointers"]) -> Float64[np.ndarray, "rows"]:
    """The sum of each series up to every row; each by itself, so that none loses digits to a larger one before it."""
    sums = np.empty_like(values)
    for start, stop in pairwise(indptr.tolist()):
        np.cumsum(values[start:stop], out=sums[start:stop])
    return sums
