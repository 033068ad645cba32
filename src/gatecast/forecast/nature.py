"""What kind of series it is, by stated rules on the training span: the columns that belong together, and the unit."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64

WALK_CORRELATION = 0.3
"""A random walk's changes correlate less than this with the change before, and with the one a season before."""
SAME_SPREAD = 3.0
SAME_COURSE = 0.5
AVERAGED = 5
REACH = 20
ROWS_PER_REACH = 15
WALK_RATIO = (0.5, 2.0)
"""A random walk's variance ratio over 20 steps (fewer on short series) lies here; Lo & MacKinlay (1988) expect 1."""


@dataclass(frozen=True)
class Nature:
    """The columns on the target's own scale (the target first), the transform that suits them, and why."""

    columns: tuple[str, ...]
    transform: str
    reason: str

    @property
    def walks(self) -> bool:
        """Whether the target is a random walk."""
        return self.transform in ("relative", "logreturn", "difference")


def find_nature(values: Float64[np.ndarray, "T C"], columns: tuple[str, ...], season: int) -> Nature:
    """Apply the rules to filled training values in original units, the target in column 0.

    Columns: the median lies within the target's range, the spread is within a factor of 3 of the target's, and the
    correlation with it is at least 0.5. Transform: `relative` (log return of the target, others as log ratios to it)
    for a positive random walk, `difference` for another random walk, `standard` otherwise.

    A random walk: the last value forecasts one step at least as well (MAE) as the mean of the last five and the value
    a season ago; changes correlate by less than 0.3 with the one before and the one a season before; and the variance
    of 20-step changes is 0.5 to 2 times that of 20 single ones.
    """
    kept = [c for c in range(len(columns)) if c == 0 or _same_scale(values[:, 0], values[:, c])]
    names = tuple(columns[c] for c in kept)
    if not _random_walk(values[:, 0], season):
        return Nature(names, "standard", f"{columns[0]} is not a random walk: its standardised level is modelled")
    if (values[:, kept] > 0).all():
        return Nature(names, "relative", f"{columns[0]} is a positive random walk, like a price: returns are modelled")
    return Nature(names, "difference", f"{columns[0]} is a random walk: its differences are modelled")


def _same_scale(target: Float64[np.ndarray, "T"], other: Float64[np.ndarray, "T"]) -> bool:
    spread, course = target.std(), other.std()
    if not (target.min() <= np.median(other) <= target.max() and spread > 0 and course > 0):
        return False
    near = 1 / SAME_SPREAD <= course / spread <= SAME_SPREAD
    return bool(near and np.corrcoef(target, other)[0, 1] >= SAME_COURSE)


def _random_walk(y: Float64[np.ndarray, "T"], season: int) -> bool:
    """The last value is as good as the last five's mean and last season's value; changes add up, uncorrelated."""
    change = np.diff(y)
    if len(y) < 3 * max(season, AVERAGED) or change.std() == 0:
        return False
    steady = np.convolve(y, np.ones(AVERAGED) / AVERAGED, "valid")[:-1]
    rivals = [np.abs(y[AVERAGED:] - steady).mean(), np.abs(y[season:] - y[:-season]).mean()]
    lags = {1, season}
    reach = max(1, min(REACH, len(y) // ROWS_PER_REACH))
    far = y[reach:] - y[:-reach]
    return bool(
        WALK_RATIO[0] <= far.var() / (reach * change.var()) <= WALK_RATIO[1]
        and np.abs(change).mean() <= min(rivals) * (1 + 1e-9)
        and all(abs(np.corrcoef(change[lag:], change[:-lag])[0, 1]) < WALK_CORRELATION for lag in lags)
    )
