"""Horizons that are held back from a panel, to judge models by and to calibrate their intervals."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Float64, Int64

from gatecast.errors import DataError
from gatecast.forecast.bands import spread
from gatecast.prepare.given import Given
from gatecast.prepare.scale import error_scale
from gatecast.prepare.split import Cut, cut_back, horizon_after
from gatecast.train.lockstep import MEDIAN

FEWEST_ROWS = 4
"""A series that is judged keeps at least so many rows to learn from."""
JUDGED = 2000
"""At most so many series judge."""

Targets = Float64[np.ndarray, "V K"]
Quantiles = Float64[np.ndarray, "V K Q"]


class Fold(NamedTuple):
    """What is known before a held-back horizon, the series that are judged, their truths and their scales."""

    known: Given
    judged: Int64[np.ndarray, "V"]
    truth: Targets
    scale: Float64[np.ndarray, "V"]

    def errors(self, paths: Quantiles) -> Quantiles:
        """Truth minus every quantile, over the spread of the quantiles."""
        return (self.truth[..., None] - paths) / spread(paths, self.scale)[..., None]

    def mase(self, paths: Quantiles) -> float:
        """Mean over series of the mean absolute scaled error; a series without a truth is left out."""
        known = np.isfinite(self.truth)
        judged = known.any(axis=1)
        off = np.abs(self.truth - paths[..., MEDIAN]) / self.scale[:, None]
        errors = np.where(known, np.nan_to_num(off, nan=np.inf), 0.0)
        return float(np.mean((errors.sum(axis=1) / known.sum(axis=1).clip(1))[judged])) if judged.any() else 0.0


def held_back_folds(given: Given, h: int, seed: int, most: int = 2) -> tuple[Fold, ...]:
    """The last horizon of every series, and the one before it where half as many series are long enough for that.

    Raises DataError where no series is long enough for one.
    """
    folds = [_fold(given, h, window, seed) for window in range(1, most + 1)]
    if not len(folds[0].judged):
        longest = int(np.diff(given.panel.indptr).max())
        raise DataError(
            f"{given.panel.source}: the longest series has {longest} rows, too few to hold back {h} and learn",
            f"forecast at most {max(1, longest - FEWEST_ROWS)} steps, or give longer series",
        )
    return tuple(fold for fold in folds if 2 * len(fold.judged) >= len(folds[0].judged))


def _fold(given: Given, h: int, window: int, seed: int) -> Fold:
    season = given.panel.calendar.season
    for least in (2 * season, season + 1, FEWEST_ROWS):
        kept, judged = cut_back(given.panel, h * window, max(least, FEWEST_ROWS))
        if len(judged):
            break
    if len(judged) > JUDGED:
        judged = np.sort(np.random.default_rng([seed, 3]).choice(judged, JUDGED, replace=False))
    known = given.cut(kept)
    return Fold(known, judged, horizon_after(given.panel, Cut(kept, judged), h), error_scale(known.panel)[judged])
