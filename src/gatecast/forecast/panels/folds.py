"""Rows that are held back from a panel, to judge models by and to calibrate their intervals."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Float64, Int64

from gatecast.errors import DataError
from gatecast.forecast.panels.bands import spread
from gatecast.prepare.given import Given
from gatecast.prepare.scale import error_scale
from gatecast.prepare.split import Cut, cut_back, horizon_after
from gatecast.train.lockstep import MEDIAN

FEWEST_ROWS = 4
"""A series that is judged keeps at least so many rows to learn from."""
JUDGED, JUDGED_STEPS = 2000, 48_000
"""At most so many forecasts judge, and fewer of long horizons: at most so many steps, or one forecast per series."""
HELD_SHARE, MOST_HELD = 20, 365
"""Of long series one row in so many is held back, at most 365, where that is more than a horizon: of days a year, so
that intervals have seen all of it."""

Targets = Float64[np.ndarray, "V K"]
Quantiles = Float64[np.ndarray, "V K Q"]
Series = Int64[np.ndarray, "V"]


class Fold(NamedTuple):
    """Origins in rows that are held back: learned is what is known at the first; truths and scales of all origins.

    `given` holds the rows after it too, for forecasts from the later origins.
    """

    given: Given
    cuts: tuple[Cut, ...]
    truth: Targets
    scale: Float64[np.ndarray, "V"]

    @property
    def known(self) -> Given:
        """What may be learned."""
        return self.given.cut(self.cuts[0].kept)

    @property
    def rows(self) -> int:
        """How many rows are held back."""
        return self.truth.shape[1] + int((self.cuts[-1].kept - self.cuts[0].kept).max())

    @property
    def places(self) -> tuple[Series, Series]:
        """The series of every forecast, and the last row that it may know, of `given`."""
        starts = self.given.panel.indptr[:-1]
        ends = [(starts + cut.kept - 1)[cut.judged] for cut in self.cuts]
        return np.concatenate([cut.judged for cut in self.cuts]), np.concatenate(ends)

    def errors(self, paths: Quantiles) -> Quantiles:
        """Truth minus every quantile, over the spread of the quantiles."""
        return (self.truth[..., None] - paths) / spread(paths, self.scale)[..., None]

    def mase(self, paths: Quantiles) -> float:
        """Mean over forecasts of the mean absolute scaled error; one without a truth is left out."""
        known = np.isfinite(self.truth)
        judged = known.any(axis=1)
        off = np.abs(self.truth - paths[..., MEDIAN]) / self.scale[:, None]
        errors = np.where(known, np.nan_to_num(off, nan=np.inf), 0.0)
        return float(np.mean((errors.sum(axis=1) / known.sum(axis=1).clip(1))[judged])) if judged.any() else 0.0


def held_back_folds(given: Given, h: int, seed: int, most: int = 2) -> tuple[Fold, ...]:
    """The end of every series, and the rows before it where half as many series are long enough for that.

    A fold is one horizon, or more rows of long series, with a forecast from each that has a horizon after it. Raises
    DataError where no series is long enough for one.
    """
    usual = int(np.median(np.diff(given.panel.indptr)))
    held = max(h, min(usual // HELD_SHARE, MOST_HELD))
    folds = [_fold(given, h, (held, window), seed) for window in range(1, most + 1)]
    if not len(folds[0].truth):
        longest = int(np.diff(given.panel.indptr).max())
        raise DataError(
            f"{given.panel.source}: the longest series has {longest} rows, too few to hold back {h} and learn",
            f"forecast at most {max(1, longest - FEWEST_ROWS)} steps, or give longer series",
        )
    return tuple(fold for fold in folds if 2 * len(fold.truth) >= len(folds[0].truth))


def _fold(given: Given, h: int, rows: tuple[int, int], seed: int) -> Fold:
    """The `rows[1]`-th block of `rows[0]` rows from the end."""
    held, window = rows
    season = given.panel.calendar.season
    for least in (2 * season, season + 1, FEWEST_ROWS):
        kept, judged = cut_back(given.panel, held * window, max(least, FEWEST_ROWS))
        if len(judged):
            break
    if len(judged) > JUDGED:
        judged = np.sort(np.random.default_rng([seed, 3]).choice(judged, JUDGED, replace=False))
    most = min(JUDGED, JUDGED_STEPS // h)
    count = max(1, min(held - h + 1, most // max(1, len(judged))))
    later = np.unique(np.linspace(0, held - h, count).astype(np.int64))
    able = np.isin(np.arange(len(kept)), judged)
    cuts = tuple(Cut(np.where(able, kept + rows, kept), judged) for rows in later)
    truth = np.concatenate([horizon_after(given.panel, cut, h) for cut in cuts])
    scale = error_scale(given.cut(kept).panel)[judged]
    return Fold(given, cuts, truth, np.tile(scale, len(cuts)))
