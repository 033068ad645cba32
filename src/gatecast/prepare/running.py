"""What is kept of every series while it is read row by row: bounded, and nothing of it knows a later row.

With z the transformed target and z_t its last known value at row t, a series keeps z_t of the rows that the lags reach,
the range of z, and running means: of z, of |z_t - mean before t|, which is the scale, and of every covariate. A
running mean is the plain one until so many values as it remembers, and forgets at that pace afterwards: those of z
remember `SEASONS` seasons, those of covariates everything.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float64, Int64

ROUNDING = 1e-9
"""Changes below this share of a series' largest value are no changes."""
MEMORY, SEASONS = 32, 4
"""Values that the mean and the scale remember, unless so many seasons are more."""
FEWEST = 4
"""Values that a series has before what follows is learned from."""
UNSEEN = 0.1
"""The scale of a series of one value, as a share of it."""
SCALARS = ("rows", "count", "newest", "mean", "swings", "swing", "low", "high", "missing")

Places = Int64[np.ndarray, "n"]


class Now(NamedTuple):
    """What is known after the newest row: the last value, the scale, the mean, the range, whether the row had no
    value, how many rows there were, whether there is enough to learn from, and covariates and their means."""

    newest: Float64[np.ndarray, "n"]
    scale: Float64[np.ndarray, "n"]
    mean: Float64[np.ndarray, "n"]
    low: Float64[np.ndarray, "n"]
    high: Float64[np.ndarray, "n"]
    missing: Float64[np.ndarray, "n"]
    rows: Float64[np.ndarray, "n"]
    usable: Bool[np.ndarray, "n"]
    columns: Float64[np.ndarray, "n F"]
    centre: Float64[np.ndarray, "n F"]


class Running:
    """The memory of S series with F covariates and lags up to `reach` rows, as named arrays in `kept`.

    >>> running = Running(series=1, columns=0, season=2, reach=3)
    >>> for value in (1.0, 4.0, 2.0, np.nan):
    ...     running.step(np.array([0]), np.array([value]), np.zeros((1, 0)))
    >>> now = running.now(np.array([0]))
    >>> now.newest.item(), now.low.item(), now.high.item(), now.missing.item()
    (2.0, 1.0, 4.0, 1.0)
    """

    def __init__(self, series: int, columns: int, season: int, reach: int) -> None:
        self.depth, self.memory = reach + 1, float(max(MEMORY, SEASONS * season))
        self.kept = {name: np.zeros(series) for name in SCALARS}
        self.kept["newest"] = np.full(series, np.nan)
        for name in ("last", "seen", "centre"):
            self.kept[name] = np.zeros((series, columns))
        self.kept["past"] = np.full((series, self.depth), np.nan)

    def step(self, at: Places, z: Float64[np.ndarray, "n"], columns: Float64[np.ndarray, "n F"]) -> None:
        """Read one more row of the series at these places, NaN where a value is missing."""
        kept, rows = self.kept, self.kept["rows"][at].astype(np.int64)
        known, before = np.isfinite(z), kept["newest"][at]
        swing = np.where(kept["count"][at] > 0, np.abs(z - kept["mean"][at]), np.nan)
        self._average(at, "swings", "swing", swing, self.memory)
        self._average(at, "count", "mean", z, self.memory)
        self._average(at, "seen", "centre", columns, np.inf)
        newest = np.where(known, z, before)
        fresh = at[known & ~np.isfinite(before)]
        kept["low"][fresh] = kept["high"][fresh] = z[known & ~np.isfinite(before)]
        kept["low"][at], kept["high"][at] = np.fmin(kept["low"][at], z), np.fmax(kept["high"][at], z)
        kept["newest"][at], kept["missing"][at], kept["last"][at] = newest, ~known, columns
        kept["past"][at, rows % self.depth] = newest
        kept["rows"][at] = rows + 1

    def now(self, at: Places) -> Now:
        """What is known of the series at these places."""
        found = {name: self.kept[name][at] for name in SCALARS}
        largest = np.maximum(np.abs(found["low"]), np.abs(found["high"]))
        usable = (found["count"] >= FEWEST) & (found["swing"] > ROUNDING * largest)
        scale = np.where(found["count"] > 1, np.maximum(found["swing"], ROUNDING * largest), UNSEEN * largest)
        return Now(
            found["newest"],
            np.where(scale > 0, scale, 1.0),
            found["mean"],
            found["low"],
            found["high"],
            found["missing"],
            found["rows"],
            usable,
            self.kept["last"][at],
            self.kept["centre"][at],
        )

    def lagged(self, at: Places, lags: Int64[np.ndarray, "L"]) -> Float64[np.ndarray, "n L"]:
        """The last known values of so many rows before the newest; of the first row where there are fewer."""
        rows = self.kept["rows"][at].astype(np.int64)[:, None]
        return self.kept["past"][at[:, None], np.maximum(rows - 1 - lags, 0) % self.depth]

    def _average(self, at: Places, count: str, mean: str, x: Float64[np.ndarray, "n *f"], memory: float) -> None:
        """Let a running mean learn x where it is a number."""
        known, seen, old = np.isfinite(x), self.kept[count][at], self.kept[mean][at]
        seen = seen + known
        self.kept[count][at] = np.minimum(seen, memory)
        weight = 1 / np.clip(seen, 1, memory)
        self.kept[mean][at] = old + np.where(known, x - old, 0.0) * weight
