"""Scores of every single forecast of a panel; tables are means of them."""

from __future__ import annotations

import numpy as np
import pandas as pd
from jaxtyping import Float64

SCORES = ("MASE", "CRPS", "sMAPE", "MAE", "RMSE", "coverage 80", "coverage 95")
GRID = tuple(round(0.1 * each, 1) for each in range(1, 10))
PROBABILITIES = {
    **{"lo-95": 0.025, "lo-80": 0.1, "hi-80": 0.9, "hi-95": 0.975},
    **{f"q-{p}": p for p in GRID[1:-1]},
}
"""What is asked of every model: the bounds of two intervals, and with them nine quantiles."""

Column = Float64[np.ndarray, "rows"]


def pinball(truth: Column, quantile: Column, p: float) -> Column:
    """The pinball loss of one quantile, doubled: the absolute error at the median (Koenker & Bassett 1978).

    >>> pinball(np.array([1.0, 3.0]), np.array([2.0, 2.0]), 0.9).round(6)
    array([0.2, 1.8])
    """
    error = truth - quantile
    return np.asarray(np.abs(error) + (2 * p - 1) * error)


def row_scores(table: pd.DataFrame, name: str) -> dict[str, Column]:
    """Scores of every row of `table`, which holds `y`, `scale`, the forecast `name` and its bounds; NaN without `y`.

    MASE and CRPS are over `scale`; CRPS is the mean over nine quantiles (Gneiting & Ranjan 2011); `RMSE` is still
    squared here.
    """
    y, scale, f = (table[each].to_numpy(dtype=np.float64) for each in ("y", "scale", name))
    quantile = {p: table[f"{name}-{suffix}"].to_numpy(dtype=np.float64) for suffix, p in PROBABILITIES.items()}
    quantile[0.5] = f
    size = np.abs(y) + np.abs(f)
    known = np.isfinite(y)

    def inside(low: float, high: float) -> Column:
        return np.where(known, 100.0 * ((quantile[low] <= y) & (y <= quantile[high])), np.nan)

    return {
        "MASE": np.abs(y - f) / scale,
        "CRPS": np.mean([pinball(y, quantile[p], p) for p in GRID], axis=0) / scale,
        "sMAPE": np.where(size > 0, 200 * np.abs(y - f) / np.where(size > 0, size, 1.0), np.where(known, 0.0, np.nan)),
        "MAE": np.abs(y - f),
        "RMSE": (y - f) ** 2,
        "coverage 80": inside(0.1, 0.9),
        "coverage 95": inside(0.025, 0.975),
    }
