"""One-step prediction intervals from held-back errors (split conformal).

With n scores s_i = |y_i - f_i| (or |log y_i - log f_i| where errors grow with the level), the half-width at level a is
the ceil((n + 1) a)-th smallest score. Source: Vovk, Gammerman & Shafer (2005); Lei et al. (2018), "Distribution-free
predictive inference for regression", section 2. Deviation: time series are not exchangeable, so coverage is measured
on the test span and reported, not promised; where the same rows chose the stopping epoch, scores are a little small.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64

from gatecast.forecast.result import Band

LEVELS = (80.0, 95.0)


@dataclass(frozen=True, eq=False)
class Calibration:
    """Sorted held-back scores; `ratio` says whether they are logs of ratios or differences in original units."""

    scores: Float64[np.ndarray, "n"]
    ratio: bool

    def bands(self, mean: Float64[np.ndarray, "N"]) -> tuple[Band, ...]:
        """Bands of every level for which there are enough scores (80: 4, 95: 19)."""
        return tuple(_band(self, mean, level) for level in LEVELS if _rank(level, len(self.scores)))

    def bound(self, mean: Float64[np.ndarray, "N"], p: float) -> Float64[np.ndarray, "N"] | None:
        """What lies above the truth with probability p: an end of the central band that leaves as much beyond either
        end; None where there are too few scores."""
        level = round(abs(200 * p - 100), 8)
        if not _rank(level, len(self.scores)):
            return mean if level == 0 else None
        band = _band(self, mean, level)
        return band.lo if p < 0.5 else band.hi


def calibrate(truth: Float64[np.ndarray, "n"], forecast: Float64[np.ndarray, "n"], ratio: bool) -> Calibration:
    """Scores of held-back forecasts; falls back to differences where a logarithm is impossible."""
    ratio = ratio and bool((truth > 0).all() and (forecast > 0).all())
    error = np.log(truth) - np.log(forecast) if ratio else truth - forecast
    return Calibration(np.sort(np.abs(error)), ratio)


def _rank(level: float, n: int) -> int:
    """Which smallest score bounds the band; 0 where n scores are too few."""
    rank = math.ceil((n + 1) * level / 100)
    return rank if rank <= n else 0


def _band(calibration: Calibration, mean: Float64[np.ndarray, "N"], level: float) -> Band:
    width = calibration.scores[_rank(level, len(calibration.scores)) - 1]
    if calibration.ratio:
        return Band(level, mean * np.exp(-width), mean * np.exp(width))
    return Band(level, mean - width, mean + width)
