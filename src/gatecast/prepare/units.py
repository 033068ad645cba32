"""Every number by which a panel is scaled, fitted once: rows that come later are read in the same units."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from jaxtyping import Float64

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
    columns = within(given)
    return Units(transform, difference, error_scale(panel), columns.mean, columns.spread())


class Within(NamedTuple):
    """Of every covariate in every series: how many values, their mean, the sum of squares around it, the largest
    size."""

    values: Float64[np.ndarray, "S F"]
    mean: Float64[np.ndarray, "S F"]
    square: Float64[np.ndarray, "S F"]
    largest: Float64[np.ndarray, "S F"]

    def spread(self) -> Float64[np.ndarray, "F"]:
        """The standard deviation around the means, over all series; 1 where it is 0."""
        spread = np.sqrt(self.square.sum(axis=0) / np.maximum(self.values.sum(axis=0), 1))
        return np.where(spread > 1e-9 * self.largest.max(axis=0, initial=0.0), spread, 1.0)


def within(given: Given) -> Within:
    """The covariates of whole series."""
    values, indptr = given.panel.values[:, 1:], given.panel.indptr
    known, starts = np.isfinite(values), indptr[:-1]
    there = np.where(known, values, 0.0)
    number = np.add.reduceat(known, starts, axis=0).astype(np.float64)
    mean = np.add.reduceat(there, starts, axis=0) / np.maximum(number, 1)
    off = np.where(known, values - np.repeat(mean, np.diff(indptr), axis=0), 0.0)
    square = np.add.reduceat(off**2, starts, axis=0)
    return Within(number, mean, square, np.maximum.reduceat(np.abs(there), starts, axis=0))


def check_sign(y: Float64[np.ndarray, "rows"], log: bool, source: str) -> None:
    """DataError for negative values where a model reads logarithms."""
    if log and (y < 0).any():
        raise DataError(f"{source} has negative values, and the model learned positive ones", "fit again")
