"""A bank of exponential smoothers with fixed constants: what they know after every row, and the path they see ahead.

Additive smoothing (Holt 1957, Winters 1960, damped by Gardner & McKenzie 1985), with s of one season before:

    l' = alpha (y - s) + (1 - alpha) (l + phi b)
    b' = beta (l' - l) + (1 - beta) phi b
    s' = gamma (y - l') + (1 - gamma) s

A row without a value leaves the state as it is. The state starts with the first season of rows: its mean, and what
each row adds to it.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float32, Float64, Int64


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
    rows, smoothers = len(z), bank(season)
    found = [np.zeros((rows, len(smoothers)), dtype=np.float32) for _ in range(3)]
    started = np.arange(rows) - np.repeat(indptr[:-1], np.diff(indptr)) >= season - 1
    long_enough = np.flatnonzero(np.diff(indptr) >= season)
    by_length = long_enough[np.argsort(np.diff(indptr)[long_enough], kind="stable")]
    for first in range(0, len(by_length), CHUNK):
        chosen = by_length[first : first + CHUNK]
        _smooth_chunk(z, indptr[chosen], indptr[chosen + 1], season, smoothers, found)
    level, trend, cycle = found
    return States(level, trend, cycle, started)


def damping(smoothers: tuple[Smoother, ...], steps: int) -> Float32[np.ndarray, "n steps"]:
    """What the trend is multiplied with `k` steps ahead: phi + phi^2 + ... + phi^k; zero without a trend."""
    powers = np.array([s.phi if s.beta else 0.0 for s in smoothers])[:, None] ** np.arange(1, steps + 1)
    return np.cumsum(powers, axis=1).astype(np.float32)


def _smooth_chunk(
    z: Float64[np.ndarray, "rows"],
    starts: Int64[np.ndarray, "S"],
    stops: Int64[np.ndarray, "S"],
    season: int,
    smoothers: tuple[Smoother, ...],
    found: list[Float32[np.ndarray, "rows n"]],
) -> None:
    """All smoothers over all series of a chunk at once, row by row; writes level, trend and season of every row."""
    alpha, gamma, beta, phi = (np.array(each)[:, None] for each in zip(*smoothers, strict=True))  # [n, 1]
    phi = np.where(beta > 0, phi, 0.0)
    first = z[starts[:, None] + np.arange(season)]  # [S, m]
    known = np.isfinite(first)
    mean = np.where(known, first, 0.0).sum(axis=1) / np.maximum(known.sum(axis=1), 1)
    level = np.repeat(mean[None], len(smoothers), axis=0)  # [n, S]
    trend = np.zeros_like(level)
    around = np.where(known, first - mean[:, None], 0.0)
    cycle = np.repeat(around.T[:, None], len(smoothers), axis=1)  # [m, n, S]
    if season == 1:
        cycle[:] = 0.0
    levels, trends, seasons = found
    levels[starts + season - 1] = level.T
    for t in range(season):
        seasons[starts + t] = cycle[t].T
    for t in range(season, int((stops - starts).max())):
        going = starts + t < stops
        y = z[np.where(going, starts + t, starts)]
        seen = going & np.isfinite(y)
        y = np.where(seen, y, 0.0)
        s = cycle[t % season]
        onward = level + phi * trend
        new = alpha * (y - s) + (1 - alpha) * onward
        trend = np.where(seen, beta * (new - level) + (1 - beta) * phi * trend, trend)
        if season > 1:
            cycle[t % season] = np.where(seen, gamma * (y - new) + (1 - gamma) * s, s)
        level = np.where(seen, new, level)
        at = (starts + t)[going]
        levels[at], trends[at], seasons[at] = level.T[going], trend.T[going], cycle[t % season].T[going]
