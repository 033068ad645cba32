"""Prediction intervals of direct forecasts: the networks' own quantiles, moved by what held-back horizons say.

A score is a held-back truth minus the quantile that was forecast for it, over the spread of the quantiles there. The
scores of all series are pooled, and those of neighbouring horizon steps as long as there are few, so that a step has
at least `ENOUGH` where the panel has them. The bound of probability p is the own quantile plus spread times the k-th
smallest of n scores, k = ceil((n + 1) p) above the median and floor((n + 1) p) below: asymmetric, wider where the
networks were too sure and narrower where they were not. With too few scores for p the own quantile stays as it is,
and p beyond the outermost is refused.
Source: Romano, Patterson & Candes (2019), "Conformalized quantile regression", with one-sided scores (section 5).
Deviation: the held-back horizons chose the number of training steps and the kept networks, so scores are a little
small; and one horizon is one season, so coverage is measured, not promised.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64

from gatecast.errors import ForecastError
from gatecast.train.lockstep import QUANTILES

ENOUGH = 100
FEWEST = 19
"""With fewer scores nothing is calibrated."""
NARROW, WIDE = QUANTILES.index(0.1), QUANTILES.index(0.9)
LEAST_SPREAD = 0.1
"""The spread is at least this share of the series' error scale."""


def spread(paths: Float64[np.ndarray, "V K Q"], scale: Float64[np.ndarray, "V"]) -> Float64[np.ndarray, "V K"]:
    """How far the outer quantiles lie apart."""
    return np.maximum(paths[..., WIDE] - paths[..., NARROW], LEAST_SPREAD * scale[:, None])


def between(quantiles: Float64[np.ndarray, "V K Q"], p: float) -> Float64[np.ndarray, "V K"]:
    """The quantile p, on a line between its neighbours; beyond the outermost, that one."""
    at = float(np.interp(p, QUANTILES, np.arange(len(QUANTILES))))
    low = min(int(at), len(QUANTILES) - 2)
    return quantiles[..., low] + (at - low) * (quantiles[..., low + 1] - quantiles[..., low])


@dataclass(frozen=True, eq=False)
class Scores:
    """Held-back errors, truth minus quantile, over the spread: [V, K, Q], NaN where there was no truth."""

    values: Float64[np.ndarray, "V K Q"]

    def bounds(
        self, paths: Float64[np.ndarray, "S K Q"], scale: Float64[np.ndarray, "S"], probabilities: list[float]
    ) -> Float64[np.ndarray, "P S K"]:
        """The calibrated bound of every probability, in rising order of them."""
        width = spread(paths, scale)
        found = [between(paths, p) + width * self.moved(p) for p in sorted(probabilities)]
        return np.maximum.accumulate(np.array(found).reshape(len(found), *width.shape), axis=0)

    def told(self) -> str:
        """How many scores there are, and what they are enough for."""
        count = int(np.isfinite(self.values[..., 0]).sum())
        if count < FEWEST:
            return f"intervals: the networks' own quantiles; {count} held-back errors are too few to calibrate them"
        return f"intervals: own quantiles, calibrated on {count} held-back errors"

    def moved(self, p: float) -> Float64[np.ndarray, "K"]:
        """By how many spreads the own quantile of every step is moved; 0 with too few scores.

        ForecastError where these are too few and p lies beyond the networks' outermost quantile.
        """
        count = int(np.isfinite(self.values[..., 0]).sum())
        own = between(self.values, p)
        steps = range(own.shape[1])
        found = np.array([_rank_of(self._pool(own, k), p) if count >= FEWEST else math.nan for k in steps])
        if np.isnan(found).any() and not QUANTILES[0] <= p <= QUANTILES[-1]:
            widest = 100 * (QUANTILES[-1] - QUANTILES[0])
            raise ForecastError(
                f"{count} held-back errors are too few for a bound of probability {p:g}",
                f"ask for levels up to {widest:g}, or fit more or longer series",
            )
        return np.nan_to_num(found, nan=0.0)

    def _pool(self, own: Float64[np.ndarray, "V K"], k: int) -> Float64[np.ndarray, "n"]:
        """Sorted scores of step k and of as many neighbours as it takes."""
        found = own[:, :0].reshape(-1)
        for reach in range(own.shape[1]):
            near = own[:, max(0, k - reach) : k + reach + 1]
            found = near[np.isfinite(near)]
            if len(found) >= ENOUGH:
                break
        return np.sort(found)


def _rank_of(scores: Float64[np.ndarray, "n"], p: float) -> float:
    """The score that a new one is below with probability p at least (p > 1/2) or at most; NaN where n is too small."""
    n = len(scores)
    rank = math.ceil((n + 1) * p) if p >= 0.5 else math.floor((n + 1) * p)
    return float(scores[rank - 1]) if 1 <= rank <= n else math.nan


def probabilities(level: tuple[float | int, ...], quantiles: tuple[float | int, ...]) -> dict[str, float]:
    """The column suffix and the probability of every bound that was asked for.

    >>> probabilities((90,), ())
    {'lo-90': 0.05, 'hi-90': 0.95}
    """
    if level and quantiles:
        raise ForecastError("both level and quantiles were given", "give one of them")
    wrong = [each for each in level if not 0 < each < 100] + [each for each in quantiles if not 0 < each < 1]
    if wrong:
        raise ForecastError(f"{wrong[0]:g} is no level", "expected levels such as 80 or 95, or quantiles such as 0.9")
    found = {}
    for each in sorted(level):
        found[f"lo-{each:g}"] = round(0.5 - each / 200, 10)
        found[f"hi-{each:g}"] = round(0.5 + each / 200, 10)
    return found | {f"q-{each:g}": each for each in sorted(quantiles)}
