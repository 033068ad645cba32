"""Units: the one place where values change between original and scaled, and back, exactly.

A transform is a shape (what is modelled: the level, its log, its change, ...) and an affine scale fitted on the
training span. Column 0 is the target.

    level       z[t] = x[t]
    log         z[t] = log x[t]
    difference  z[t] = x[t] - x[t-1]
    logreturn   z[t] = log x[t] - log x[t-1]
    relative    target: its log return; other columns: log x[t] - log target[t] (prices of one day, on one scale)

A panel of many series has a `SeriesTransform`: a logarithm or a division, with one number for every series.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Float64, Int64, Shaped

from gatecast.data.panel import Panel
from gatecast.errors import DataError, check_choice

ROUNDING = 1e-9
"""Changes below this share of a series' largest value are no changes."""
Equivariance = Literal["shift and scale", "scale", "none"]

# name -> (shape, scale, what change of unit the transform follows)
TRANSFORMS: dict[str, tuple[str, str, Equivariance]] = {
    "none": ("level", "none", "none"),
    "minmax": ("level", "minmax", "shift and scale"),
    "standard": ("level", "standard", "shift and scale"),
    "log": ("log", "standard", "scale"),
    "difference": ("difference", "standard", "shift and scale"),
    "logreturn": ("logreturn", "standard", "scale"),
    "relative": ("relative", "standard", "scale"),
}


@dataclass(frozen=True, eq=False)
class Transform:
    """A fitted change of unit: z = (shape(x) - offset) / size, column by column."""

    name: str
    offset: Float64[np.ndarray, "C"]
    size: Float64[np.ndarray, "C"]

    @property
    def shape(self) -> str:
        """What is modelled: level, log, difference, logreturn or relative."""
        return TRANSFORMS[self.name][0]

    @property
    def equivariance(self) -> Equivariance:
        """The change of unit of the data that forecasts follow."""
        return TRANSFORMS[self.name][2]

    @property
    def lost(self) -> int:
        """Rows at the start that have no scaled value, because it needs a row before."""
        return lost_rows(self.name)

    @property
    def multiplicative(self) -> bool:
        """Whether errors are proportional to the level."""
        return self.shape in ("log", "logreturn", "relative")

    def usable(self, values: Float64[np.ndarray, "T C"]) -> Float64[np.ndarray, "T C"]:
        """Values that the transform can take: where it needs logarithms, one that is not positive counts as missing.

        Such a value repeats the last positive one of its column, so no later value is used.
        """
        bad = ~(values > 0)
        if not self.multiplicative or not bad.any():
            return values
        rows = np.arange(len(values))[:, None]
        seen = np.maximum.accumulate(np.where(bad, 0, rows), axis=0)
        return np.take_along_axis(values, seen, axis=0)

    def target_only(self) -> Transform:
        """The same transform for the target column alone, which never depends on the others."""
        return Transform(self.name, self.offset[:1], self.size[:1])

    def apply(self, values: Float64[np.ndarray, "T C"], columns: tuple[str, ...] = ()) -> Float64[np.ndarray, "T C"]:
        """Original to scaled; the first `lost` rows are NaN."""
        return (_shape(self.shape, values, columns) - self.offset) / self.size

    def invert(
        self, z: Float64[np.ndarray, "N K C"], level: Float64[np.ndarray, "N C"]
    ) -> Float64[np.ndarray, "N K C"]:
        """Scaled to original, for K steps after each of N origins whose last true row is `level` (original)."""
        moved = z * self.size + self.offset
        if self.shape == "level":
            return moved
        if self.shape == "log":
            return np.exp(moved)
        if self.shape == "difference":
            return level[:, None] + np.cumsum(moved, axis=1)
        if self.shape == "logreturn":
            return level[:, None] * np.exp(np.cumsum(moved, axis=1))
        target = level[:, None, :1] * np.exp(np.cumsum(moved[..., :1], axis=1))
        return np.concatenate([target, target * np.exp(moved[..., 1:])], axis=-1)


def lost_rows(name: str) -> int:
    """Rows at the start that the transform `name` has no value for."""
    return int(TRANSFORMS[name][0] in ("difference", "logreturn", "relative"))


def fit_transform(name: str, values: Float64[np.ndarray, "T C"], columns: tuple[str, ...] = ()) -> Transform:
    """Fit `name` (one of TRANSFORMS) on the training rows; a constant column keeps size 1.

    Raises DataError where a logarithm meets a value that is not positive, naming column and row.

    >>> fit_transform("minmax", np.array([[2.0], [4.0], [3.0]])).apply(np.array([[4.0]]))
    array([[1.]])
    """
    check_choice(name, TRANSFORMS, "transform")
    shape, scale, _ = TRANSFORMS[name]
    shaped = _shape(shape, values, columns)
    shaped = shaped[~np.isnan(shaped).any(axis=1)]
    offset, size = np.zeros(values.shape[1]), np.ones(values.shape[1])
    if scale == "minmax":
        offset, size = shaped.min(axis=0), np.ptp(shaped, axis=0)
    elif scale == "standard":
        offset, size = shaped.mean(axis=0), shaped.std(axis=0)
    constant = size <= 1e-12 * np.maximum(np.abs(offset), 1e-300)
    return Transform(name, offset, np.where(constant, 1.0, size))


def _shape(shape: str, values: Float64[np.ndarray, "T C"], columns: tuple[str, ...]) -> Float64[np.ndarray, "T C"]:
    if shape == "level":
        return values
    moving = values if shape == "difference" else _log(values, columns)
    if shape == "log":
        return moving
    change = np.diff(moving, axis=0, prepend=np.nan)
    if shape == "relative":
        change[1:, 1:] = moving[1:, 1:] - moving[1:, :1]
    return change


def _log(values: Float64[np.ndarray, "T C"], columns: tuple[str, ...]) -> Float64[np.ndarray, "T C"]:
    bad = np.argwhere(~(values > 0))
    if len(bad):
        row, c = bad[0]
        name = columns[c] if columns else str(c)
        raise DataError(
            f"a logarithm needs positive values; column '{name}' has {values[row, c]:g} in row {row} of the series",
            "use transform='standard' or 'difference', or treat such values as missing",
        )
    return np.log(values)


@dataclass(frozen=True, eq=False)
class SeriesTransform:
    """One number u per series: z = log(max(y, 0) + u), or z = y / u."""

    log: bool
    unit: Float64[np.ndarray, "S"]

    def apply(self, panel: Panel) -> Float64[np.ndarray, "rows"]:
        """The transformed target of every row; NaN where it is missing, or has no logarithm in this unit."""
        codes = np.repeat(np.arange(len(panel)), np.diff(panel.indptr))
        return self.of(codes).moved(panel.values[:, 0])

    def moved(self, y: Float64[np.ndarray, "S"]) -> Float64[np.ndarray, "S"]:
        """One transformed value of every series."""
        return logarithm(y, self.unit) if self.log else y / self.unit

    def invert(self, z: Float64[np.ndarray, "E S K Q"]) -> Float64[np.ndarray, "E S K Q"]:
        """Back to original units."""
        unit = self.unit[:, None, None]
        return np.maximum(np.exp(z) - unit, 0.0) if self.log else z * unit

    def of(self, series: Int64[np.ndarray, "V"]) -> SeriesTransform:
        """The transform of these series alone."""
        return SeriesTransform(self.log, self.unit[series])


def logarithm(y: Float64[np.ndarray, "rows"], unit: Float64[np.ndarray, "rows"]) -> Float64[np.ndarray, "rows"]:
    """log(max(y, 0) + u); NaN where that is none."""
    moved = np.maximum(y, 0) + unit
    return np.log(np.where(moved > 0, moved, np.nan))


def fit_series_transform(panel: Panel, log: bool) -> SeriesTransform:
    """Under a logarithm, 0 for a positive series and else 5 % of its mean size; without, its mean size."""
    y, starts = panel.values[:, 0], panel.indptr[:-1]
    known = np.isfinite(y)
    mean = mean_size(np.add.reduceat(np.abs(np.where(known, y, 0.0)), starts), np.add.reduceat(known, starts))
    return SeriesTransform(log, np.where(np.fmin.reduceat(y, starts) > 0, 0.0, 0.05 * mean) if log else mean)


def mean_size(total: Float64[np.ndarray, "S"], count: Shaped[np.ndarray, "S"]) -> Float64[np.ndarray, "S"]:
    """The mean absolute value of series, 1 where that is 0."""
    mean = total / np.maximum(count, 1)
    return np.where(mean > 0, mean, 1.0)


def seasonal_differences(
    z: Float64[np.ndarray, "rows"], indptr: Int64[np.ndarray, "pointers"], season: int
) -> Float64[np.ndarray, "S"]:
    """Mean absolute difference to the value of one season before, of every series; NaN where there is none.

    >>> seasonal_differences(np.array([1.0, 2.0, 4.0, 9.0]), np.array([0, 3, 4]), 1)
    array([1.5, nan])
    """
    sums, counts = difference_sums(z, indptr, season)
    return np.where(counts > 0, sums / np.maximum(counts, 1), np.nan)


def difference_sums(
    z: Float64[np.ndarray, "rows"], indptr: Int64[np.ndarray, "pointers"], season: int
) -> tuple[Float64[np.ndarray, "S"], Int64[np.ndarray, "S"]]:
    """The sum of absolute differences to the value of one season before, and how many there are."""
    series = len(indptr) - 1
    codes = np.repeat(np.arange(series), np.diff(indptr))[season:]
    gone = np.abs(z[season:] - z[:-season])
    usable = np.isfinite(gone) & (np.arange(len(z))[season:] - season >= indptr[codes])
    counts = np.bincount(codes[usable], minlength=series)
    return np.bincount(codes[usable], gone[usable], series).astype(np.float64), counts


def error_scale(panel: Panel) -> Float64[np.ndarray, "S"]:
    """What errors of every series are measured by: its mean absolute seasonal difference.

    Where a series has none, or it is no more than rounding: its mean absolute difference from row to row, else the
    median of the others, or 1.
    """
    y, indptr = panel.values[:, 0], panel.indptr
    size = np.abs(y)
    largest = np.fmax.reduceat(size, indptr[:-1]) if len(panel) else size
    seasonal, single = (seasonal_differences(y, indptr, rows) for rows in (panel.calendar.season, 1))
    return usual_error(seasonal, single, largest)


def usual_error(
    seasonal: Float64[np.ndarray, "S"], single: Float64[np.ndarray, "S"], largest: Float64[np.ndarray, "S"]
) -> Float64[np.ndarray, "S"]:
    """`error_scale` from mean absolute differences over a season and from row to row, and the largest sizes."""
    seasonal, single = (np.where(each > ROUNDING * largest, each, np.nan) for each in (seasonal, single))
    found = np.where(np.isfinite(seasonal), seasonal, single)
    usable = np.isfinite(found)
    return np.where(usable, found, np.median(found[usable]) if usable.any() else 1.0)
