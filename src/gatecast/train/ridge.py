"""Ridge regression in closed form."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float64


def solve_ridge(
    x: Float64[np.ndarray, "N D"], y: Float64[np.ndarray, "N P"], penalty: float
) -> tuple[Float64[np.ndarray, "D P"], Float64[np.ndarray, "P"]]:
    """Minimise |y - x A - b|^2 + penalty N |A|^2 over A and b (b is not penalised).

    Solved on centred data (Hoerl & Kennard 1970), so that A = (Xc'Xc + penalty N I)^-1 Xc'Yc.

    >>> a, b = solve_ridge(np.arange(5.0)[:, None], 3 + 2 * np.arange(5.0)[:, None], 0.0)
    >>> print(a.round(6).item(), b.round(6).item())
    2.0 3.0
    """
    x_mean, y_mean = x.mean(axis=0), y.mean(axis=0)
    centred = x - x_mean
    gram = centred.T @ centred + penalty * len(x) * np.eye(x.shape[1])
    weight = np.linalg.lstsq(gram, centred.T @ (y - y_mean), rcond=None)[0]
    return weight, y_mean - x_mean @ weight


def solve_sums(
    gram: Float64[np.ndarray, "D1 D1"], moment: Float64[np.ndarray, "D1 P"], penalty: float
) -> tuple[Float64[np.ndarray, "D P"], Float64[np.ndarray, "P"]]:
    """Minimise |y - x A - b|^2 + penalty |A|^2 from gram = [x 1]'[x 1] and moment = [x 1]'y, summed in any chunks.

    >>> x, y = np.column_stack([np.arange(5.0), np.ones(5)]), 3 + 2 * np.arange(5.0)[:, None]
    >>> a, b = solve_sums(x.T @ x, x.T @ y, 0.0)
    >>> print(a.round(6).item(), b.round(6).item())
    2.0 3.0
    """
    count, x_sum, y_sum = gram[-1, -1], gram[-1, :-1], moment[-1]
    centred = gram[:-1, :-1] - np.outer(x_sum, x_sum) / count + penalty * np.eye(len(x_sum))
    weight = np.linalg.lstsq(centred, moment[:-1] - np.outer(x_sum, y_sum) / count, rcond=None)[0]
    return weight, (y_sum - x_sum @ weight) / count
