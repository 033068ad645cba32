"""A bank of exponential smoothers with fixed constants: what they know after every row, and the path they see ahead.

Additive smoothing (Holt 1957, Winters 1960, damped by Gardner & McKenzie 1985), with s of one season before:

    l' = alpha (y - s) + (1 - alpha) (l + phi b)
    b' = beta (l' - l) + (1 - beta) phi b
    s' = gamma (y - l') + (1 - gamma) s

A row without a value leaves the state as it is. The state starts with the first season of rows: its mean, and what
each row adds to it.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Float32, Float64, Int64


class Smoother(NamedTuple):
    """The constants of one smoother; beta = 0: no trend."""

    alpha: float
    gamma: float = 0.0
    beta: float = 0.0
    phi: float = 1.0


SEASONAL = (Smoother(0.1, 0.1), Smoother(0.4, 0.1), Smoother(0.8, 0.2), Smoother(0.3, 0.2, 0.1, 0.95))
PLAIN = (Smoother(0.2), Smoother(0.5), Smoother(0.5, 0.0, 0.1, 0.95), Smoother(0.8, 0.0, 0.3, 0.9))
CHUNK = 4096
"""Series that are smoothed at once: bounds memory."""


class States(NamedTuple):
    """What every smoother of the bank knows after every row; no level before `started`, its first whole season."""

    level: Float32[np.ndarray, "rows n"]
    trend: Float32[np.ndarray, "rows n"]
    season: Float32[np.ndarray, "rows n"]
    started: Bool[np.ndarray, "rows"]


def bank(season: int) -> tuple[Smoother, ...]:
    """The smoothers for series with a season of `season` rows (1: none)."""
    return SEASONAL if season > 1 else PLAIN


def smooth(z: Float64[np.ndarray, "rows"], indptr: Int64[np.ndarray, "pointers"], season: int) -> States:
    """Run the bank over every series; `z` is NaN where a value is missing.

    >>> states = smooth(np.array([1.0, 3.0, 1.0, 3.0]), np.array([0, 4]), season=2)
    >>> states.level[:, 0].tolist(), states.season[:, 0].tolist()
    ([0.0, 2.0, 2.0, 2.0], [-1.0, 1.0, -1.0, 1.0])
    """
    started = np.arange(len(z)) - np.repeat(indptr[:-1], np.diff(indptr)) >= season - 1
    level, trend, cycle = _smoothed(z, indptr, season, np.float32)
    return States(level, trend, cycle, started)


def smooth_exactly(
    z: Float64[np.ndarray, "rows"], indptr: Int64[np.ndarray, "pointers"], season: int
) -> tuple[Float64[np.ndarray, "rows n"], Float64[np.ndarray, "rows n"], Float64[np.ndarray, "rows n"]]:
    """Level, trend and season in full precision, to go on from."""
    level, trend, cycle = _smoothed(z, indptr, season, np.float64)
    return level, trend, cycle


def _smoothed(
    z: Float64[np.ndarray, "rows"], indptr: Int64[np.ndarray, "pointers"], season: int, kind: type[np.floating[Any]]
) -> list[Float[np.ndarray, "rows n"]]:
    """Level, trend and season after every row; zero where there is none yet."""
    smoothers = bank(season)
    found = [np.zeros((len(z), len(smoothers)), dtype=kind) for _ in range(3)]
    long_enough = np.flatnonzero(np.diff(indptr) >= season)
    by_length = long_enough[np.argsort(np.diff(indptr)[long_enough], kind="stable")]
    for first in range(0, len(by_length), CHUNK):
        chosen = by_length[first : first + CHUNK]
        _smooth_chunk(z, indptr[chosen], indptr[chosen + 1], season, smoothers, found)
    return found


def damping(smoothers: tuple[Smoother, ...], steps: int) -> Float32[np.ndarray, "n steps"]:
    """What the trend is multiplied with `k` steps ahead: phi + phi^2 + ... + phi^k; zero without a trend."""
    powers = np.array([s.phi if s.beta else 0.0 for s in smoothers])[:, None] ** np.arange(1, steps + 1)
    return np.cumsum(powers, axis=1).astype(np.float32)


class Inner(NamedTuple):
    """What the smoothers know of S series in between: level, trend, and of one season before the row that is next."""

    level: Float64[np.ndarray, "n S"]
    trend: Float64[np.ndarray, "n S"]
    season: Float64[np.ndarray, "n S"]


def first_season(rows: Float64[np.ndarray, "S m"]) -> tuple[Float64[np.ndarray, "S"], Float64[np.ndarray, "S m"]]:
    """The level that every smoother starts with after the first season of rows, and what each row adds to it."""
    known = np.isfinite(rows)
    level = np.where(known, rows, 0.0).sum(axis=1) / np.maximum(known.sum(axis=1), 1)
    around = np.where(known, rows - level[:, None], 0.0)
    return level, around if rows.shape[1] > 1 else 0 * around


def update(smoothers: tuple[Smoother, ...], now: Inner, y: Float64[np.ndarray, "S"]) -> Inner:
    """The equations for one more row of every series, NaN where it has no value; `season` becomes that of this row."""
    alpha, gamma, beta, phi = (np.array(each)[:, None] for each in zip(*smoothers, strict=True))  # [n, 1]
    phi, seen = np.where(beta > 0, phi, 0.0), np.isfinite(y)
    y = np.where(seen, y, 0.0)
    new = alpha * (y - now.season) + (1 - alpha) * (now.level + phi * now.trend)
    trend = beta * (new - now.level) + (1 - beta) * phi * now.trend
    season = gamma * (y - new) + (1 - gamma) * now.season
    return Inner(*(np.where(seen, after, before) for after, before in zip((new, trend, season), now, strict=True)))


def _smooth_chunk(
    z: Float64[np.ndarray, "rows"],
    starts: Int64[np.ndarray, "S"],
    stops: Int64[np.ndarray, "S"],
    season: int,
    smoothers: tuple[Smoother, ...],
    found: list[Float[np.ndarray, "rows n"]],
) -> None:
    """All smoothers over all series of a chunk at once, row by row; writes level, trend and season of every row."""
    mean, around = first_season(z[starts[:, None] + np.arange(season)])
    level = np.repeat(mean[None], len(smoothers), axis=0)  # [n, S]
    cycle = np.repeat(around.T[:, None], len(smoothers), axis=1)  # [m, n, S]
    now = Inner(level, np.zeros_like(level), cycle[0])
    levels, trends, seasons = found
    levels[starts + season - 1] = level.T
    for t in range(season):
        seasons[starts + t] = cycle[t].T
    for t in range(season, int((stops - starts).max())):
        going = starts + t < stops
        y = np.where(going, z[np.where(going, starts + t, starts)], np.nan)
        now = update(smoothers, now._replace(season=cycle[t % season]), y)
        cycle[t % season] = now.season
        at = (starts + t)[going]
        levels[at], trends[at], seasons[at] = (each.T[going] for each in now)
