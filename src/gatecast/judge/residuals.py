"""What the one-step errors of a model look like: their autocorrelation, their histogram, the worst rows."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float64, Int64

from gatecast.data.calendar import Times

LAGS = 30
"""So many lags, or two seasons if those are more, but never more than a quarter of the errors."""
MOST_BINS = 40
WORST = 10
WHITE = 1.959964
"""97.5 per cent of the standard normal distribution lie below."""
ROUND_OFF = 1e-12
"""Errors that vary by less than this share of their size do not vary."""


@dataclass(frozen=True, eq=False)
class Misses:
    """The rows with the largest absolute errors, the worst first; error = truth - forecast, in original units."""

    times: Times
    truth: Float64[np.ndarray, "W"]
    forecast: Float64[np.ndarray, "W"]
    error: Float64[np.ndarray, "W"]


@dataclass(frozen=True, eq=False)
class Residuals:
    """Facts about the errors (truth - forecast) of the scored rows, in original units.

    `autocorrelation` holds lags 1, 2, ..., NaN for errors that do not vary; of white noise 95 per cent lie within
    +-`band`. `counts` are the errors between neighbouring `edges`.
    """

    mean: float
    autocorrelation: Float64[np.ndarray, "lags"]
    band: float
    edges: Float64[np.ndarray, "edges"]
    counts: Int64[np.ndarray, "bins"]
    worst: Misses

    @property
    def outside(self) -> int:
        """How many lags lie outside the band."""
        return int(np.sum(np.abs(self.autocorrelation) > self.band))


def residuals(
    times: Times,
    truth: Float64[np.ndarray, "N"],
    forecast: Float64[np.ndarray, "N"],
    scored: Bool[np.ndarray, "N"],
    season: int = 1,
) -> Residuals:
    """Describe the errors of N neighbouring one-step forecasts, of which those `scored` count (at least one).

    >>> truth, forecast = np.array([1.0, 2.0, 3.0, 4.0]), np.array([1.0, 2.0, 3.5, 1.0])
    >>> found = residuals(np.arange(4), truth, forecast, np.full(4, True))
    >>> found.mean, found.worst.times.tolist()[:2], int(found.counts.sum())
    (0.625, [3, 2], 4)
    """
    error = np.where(scored, truth - forecast, np.nan)
    known = error[scored]
    lags = min(max(LAGS, 2 * season), len(known) // 4)
    counts, edges = np.histogram(known, bin_count(known))
    order = np.flatnonzero(scored)[np.argsort(-np.abs(known), kind="stable")[:WORST]]
    return Residuals(
        mean=float(known.mean()),
        autocorrelation=autocorrelation(error, lags),
        band=WHITE / float(np.sqrt(len(known))),
        edges=edges,
        counts=counts,
        worst=Misses(times[order], truth[order], forecast[order], error[order]),
    )


def bin_count(values: Float64[np.ndarray, "N"]) -> int:
    """How many bins a histogram of `values` has: bins as wide as twice the middle half over the cube root of N.

    One where the values do not vary, MOST_BINS at most. Source: Freedman & Diaconis (1981).

    >>> bin_count(np.arange(8.0)), bin_count(np.full(8, 0.1))
    (2, 1)
    """
    low, high = np.percentile(values, [25, 75])
    spread, width = float(np.ptp(values)), float(2 * (high - low) / np.cbrt(len(values)))
    if spread <= ROUND_OFF * float(np.abs(values).max()):
        return 1
    return max(1, int(np.ceil(min(MOST_BINS, spread / width)))) if width > 0 else MOST_BINS


def autocorrelation(values: Float64[np.ndarray, "N"], lags: int) -> Float64[np.ndarray, "lags"]:
    """The sample autocorrelation at lags 1 to `lags` (less than N), all sums over one mean and one variance.

    A NaN is a gap: pairs that touch it are left out of the sums. Source: Box & Jenkins (1970), section 2.1.5.

    >>> autocorrelation(np.array([1.0, -1.0, 1.0, -1.0]), 2).tolist()
    [-0.75, 0.5]
    """
    away = values - np.nanmean(values)
    away = np.where(np.isnan(away), 0.0, away)
    power = float(away @ away)
    if power <= len(away) * (ROUND_OFF * np.nanmax(np.abs(values))) ** 2:
        return np.full(lags, np.nan)
    return np.array([away[lag:] @ away[: len(away) - lag] for lag in range(1, lags + 1)]) / power
