"""Prediction intervals of a panel's direct forecasts, from the errors of a held-back horizon (split conformal).

A score is an error over the scale of its series. The scores of all series are pooled, and those of neighbouring horizon
steps as long as there are few, so that a step has at least `ENOUGH` where the panel has them. With n scores, the
interval of level a reaches from the k-th smallest to the k-th largest, k = floor((n + 1) (1 - a) / 2): asymmetric, and
wider where the model was worse. Source: Vovk, Gammerman & Shafer (2005); Lei et al. (2018), section 2. Deviation: the
held-back horizon chose the number of training steps and the kept networks, so scores are a little small; and one
horizon is one season, so coverage is measured, not promised.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64

from gatecast.errors import ForecastError

ENOUGH = 100


@dataclass(frozen=True, eq=False)
class Scores:
    """Held-back errors over their series' scale, truth minus forecast: [V, K], NaN where there was no truth."""

    values: Float64[np.ndarray, "V K"]

    def quantiles(self, probabilities: list[float]) -> Float64[np.ndarray, "Q K"]:
        """The quantiles of every horizon step, each from its own scores and its neighbours'; NaN with too few."""
        steps = self.values.shape[1]
        found = [[_quantile(self._pool(k), p) for k in range(steps)] for p in probabilities]
        return np.array(found, dtype=np.float64).reshape(len(probabilities), steps)

    def _pool(self, k: int) -> Float64[np.ndarray, "n"]:
        """Sorted scores of step k and of as many neighbours as it takes."""
        steps = self.values.shape[1]
        for reach in range(steps):
            near = self.values[:, max(0, k - reach) : k + reach + 1]
            found = near[np.isfinite(near)]
            if len(found) >= ENOUGH:
                break
        return np.sort(found)


def _quantile(scores: Float64[np.ndarray, "n"], p: float) -> float:
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
