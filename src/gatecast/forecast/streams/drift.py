"""Whether a model in use has become worse than a naive forecast: running one-step errors, and a control chart.

With d the absolute error of the model minus that of the naive forecast, the chart follows the exponentially weighted
mean of d with weight lambda = 0.02 (the plain mean until it remembers 50 values) and flags it above
3.5 sigma sqrt(lambda / (2 - lambda)), sigma being the weighted standard deviation of d, from 50 values on. The flag
goes when the model does better again. A mean below a millionth of the values' size is rounding, and not flagged.
Source: Roberts (1959), "Control chart tests based on geometric moving averages"; Lucas & Saccucci (1990) for its
limits; d as in Diebold & Mariano (1995). Deviation: sigma is estimated along the way, and neighbouring d may be alike,
so the rate of false alarms is measured (`tests/test_streams.py`), not promised.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float64

from gatecast.forecast.streams.core import Kept, Places

LAMBDA = 0.02
LIMIT = 3.5
ROUNDING = 1e-6
"""Of the values' size: an error that is none."""
FEWEST = 50
"""Values that are observed before anything is flagged."""
Values = Float64[np.ndarray, "n"]
NAMES = ("count", "model", "size", "naive", "gap", "square")


class Drift:
    """Of S series; two naive forecasts, the last value and that of a season before, the better of which counts."""

    def __init__(self) -> None:
        self.kept: Kept = {name: np.zeros((0, 2) if name in NAMES[3:] else 0) for name in NAMES}

    def begin(self, series: int) -> None:
        """Series of which nothing is known."""
        for name, old in self.kept.items():
            self.kept[name] = np.concatenate([old, np.zeros((series, *old.shape[1:]))])

    def forget(self, place: int) -> None:
        """Drop a series."""
        self.kept = {name: np.delete(old, place, axis=0) for name, old in self.kept.items()}

    def learn(self, at: Places, truth: Values, said: Values, naive: Float64[np.ndarray, "n 2"]) -> None:
        """Compare the forecasts of these values; those that are missing, or that were not forecast, do not count."""
        usable = np.isfinite(truth) & np.isfinite(said) & np.isfinite(naive).all(axis=1)
        at, truth, said, naive = at[usable], truth[usable], said[usable], naive[usable]
        own, other = np.abs(truth - said), np.abs(truth[:, None] - naive)
        self.kept["count"][at] += 1
        weight = np.maximum(LAMBDA, 1 / self.kept["count"][at])
        gap = own[:, None] - other
        found = (("model", own), ("size", np.abs(truth)), ("naive", other), ("gap", gap), ("square", gap**2))
        for name, value in found:
            old = self.kept[name][at]
            self.kept[name][at] = old + (value - old) * (weight if old.ndim == 1 else weight[:, None])

    def told(self, at: Places) -> dict[str, np.ndarray]:
        """The columns observed, model, naive, ratio and worse."""
        own, naive = self.kept["model"][at], self.kept["naive"][at, self.better(at)]
        ratio = np.divide(own, naive, out=np.full(len(at), np.nan), where=naive > 0)
        observed = self.kept["count"][at].astype(np.int64)
        return {"observed": observed, "model": own, "naive": naive, "ratio": ratio, "worse": self.worse(at)}

    def better(self, at: Places) -> Places:
        """Which of the naive forecasts has made the smaller errors."""
        return self.kept["naive"][at].argmin(axis=1)

    def worse(self, at: Places) -> Bool[np.ndarray, "n"]:
        """Whether the model is worse than the better of them, beyond chance."""
        which = self.better(at)
        gap, square = (self.kept[name][at, which] for name in ("gap", "square"))
        sigma = np.sqrt(np.maximum(square - gap**2, 0.0))
        limit = LIMIT * sigma * np.sqrt(LAMBDA / (2 - LAMBDA))
        return (self.kept["count"][at] >= FEWEST) & (gap > np.maximum(limit, ROUNDING * self.kept["size"][at]))
