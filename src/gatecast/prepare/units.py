"""Every number by which a panel is scaled, fitted once: rows that come later are read in the same units."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64

from gatecast.data.panel import Panel
from gatecast.errors import DataError
from gatecast.prepare.given import Given
from gatecast.prepare.scale import SeriesTransform, error_scale, fit_series_transform, seasonal_differences


@dataclass(frozen=True, eq=False)
class Units:
    """The transform of the target, its mean seasonal difference after it, the error scale in original units; means of
    the covariates of every series, and their spread within the series of the whole panel."""

    transform: SeriesTransform
    difference: Float64[np.ndarray, "S"]
    error: Float64[np.ndarray, "S"]
    mean: Float64[np.ndarray, "S F"]
    spread: Float64[np.ndarray, "F"]


def fit_units(given: Given, log: bool) -> Units:
    """Fit them on all rows that are given."""
    panel = given.panel
    transform = fit_series_transform(panel, log)
    difference = seasonal_differences(transform.apply(panel), panel.indptr, panel.calendar.season)
    return Units(transform, difference, error_scale(panel), *_within(given))


def _within(given: Given) -> tuple[Float64[np.ndarray, "S F"], Float64[np.ndarray, "F"]]:
    """The mean of every covariate in every series, and the standard deviation around these means (1 where it is 0)."""
    values, indptr = given.panel.values[:, 1:], given.panel.indptr
    known, starts = np.isfinite(values), indptr[:-1]
    count = np.add.reduceat(known, starts, axis=0)
    mean = np.add.reduceat(np.where(known, values, 0.0), starts, axis=0) / np.maximum(count, 1)
    off = np.where(known, values - np.repeat(mean, np.diff(indptr), axis=0), 0.0)
    spread = np.sqrt((off**2).sum(axis=0) / np.maximum(known.sum(axis=0), 1))
    size = np.abs(np.where(known, values, 0.0)).max(axis=0, initial=0.0)
    return mean, np.where(spread > 1e-9 * size, spread, 1.0)


def check_sign(panel: Panel, log: bool) -> None:
    """DataError for negative values where a model reads logarithms."""
    if log and (panel.values[:, 0] < 0).any():
        raise DataError(f"{panel.source} has negative values, and the model learned positive ones", "fit again")
