"""Is it better than naive, or was it luck?"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float64
from scipy import stats

Values = Float64[np.ndarray, "N"]


def diebold_mariano(errors: Values, rival: Values) -> tuple[float, float] | None:
    """Test equal expected squared one-step errors; returns the statistic and the two-sided p, or None if undefined.

    d_t = e_t^2 - r_t^2 and DM = mean(d) / sqrt(var(d) / n), times sqrt((n - 1) / n), against Student's t with n - 1
    degrees of freedom. Negative: `errors` are the smaller. Undefined where d is constant or n < 2.
    Source: Diebold & Mariano (1995); Harvey, Leybourne & Newbold (1997), eq. 9 at horizon 1.

    >>> diebold_mariano(np.ones(10), np.ones(10)) is None
    True
    """
    d, n = errors**2 - rival**2, len(errors)
    if n < 2 or np.ptp(d) <= 1e-12 * max(1e-300, float(np.abs(d).max())):
        return None
    statistic = float(d.mean() / math.sqrt(d.var() / n) * math.sqrt((n - 1) / n))
    return statistic, float(2 * stats.t.sf(abs(statistic), df=n - 1))


def holm(p_values: Sequence[float | None]) -> list[float | None]:
    """Adjust p-values of one family so that any false finding is as unlikely as stated; None stays None.

    Source: Holm (1979), "A simple sequentially rejective multiple test procedure".

    >>> holm([0.01, None, 0.04])
    [0.02, None, 0.04]
    """
    order = sorted((p, i) for i, p in enumerate(p_values) if p is not None)
    adjusted: list[float | None] = [None] * len(p_values)
    highest = 0.0
    for rank, (p, i) in enumerate(order):
        highest = max(highest, min(1.0, p * (len(order) - rank)))
        adjusted[i] = highest
    return adjusted
