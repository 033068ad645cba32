"""Windows as index pairs: gathered when a batch is made, never stored.

An anchor e is the last row a forecast may know. Its window is rows e-L+1 .. e, its targets are rows e+1 .. e+K.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int64, Shaped

from gatecast.errors import ForecastError


@dataclass(frozen=True, eq=False)
class Windows:
    """All windows of one scaled series, as a view by anchor; every column is read, the first `predicted` forecast."""

    z: Float[torch.Tensor, "T C"]
    lookback: int
    horizon: int
    predicted: int

    def inputs(self, anchors: Int64[torch.Tensor, "B"]) -> Float[torch.Tensor, "B L C"]:
        """The rows that each forecast reads."""
        return self.z[anchors[:, None] + torch.arange(1 - self.lookback, 1, device=anchors.device)]  # [B, L, C]

    def targets(self, anchors: Int64[torch.Tensor, "B"]) -> Float[torch.Tensor, "B K P"]:
        """The rows that each forecast is about."""
        rows = anchors[:, None] + torch.arange(1, self.horizon + 1, device=anchors.device)
        return self.z[rows][..., : self.predicted]  # [B, K, P]


def anchors(rows: range, lookback: int, horizon: int = 1, lost: int = 0) -> Int64[np.ndarray, "N"]:
    """Every anchor whose targets lie in `rows` and whose window starts at or after row `lost`.

    Windows may read rows before `rows`, never a target's own row or later. Of R rows, all with enough past,
    R - horizon + 1 anchors remain.

    >>> anchors(range(3, 6), lookback=3)
    array([2, 3, 4])
    """
    first = max(rows.start - 1, lost + lookback - 1)
    return np.arange(first, max(first, rows.stop - horizon), dtype=np.int64)


def spaced(at: Int64[np.ndarray, "N"], count: int) -> Int64[np.ndarray, "n"]:
    """At most `count` of these anchors, evenly spaced, the first and the last among them.

    >>> spaced(np.arange(10), 4)
    array([0, 3, 6, 9])
    """
    return at[np.unique(np.linspace(0, len(at) - 1, min(count, len(at))).round().astype(np.int64))]


def past_matrix(z: Shaped[np.ndarray, "T C"], at: Int64[np.ndarray, "N"], lookback: int) -> Shaped[np.ndarray, "N L C"]:
    """The last `lookback` rows up to each anchor, newest row last; ForecastError for an anchor with fewer."""
    if len(at) and at.min() < lookback - 1:
        raise ForecastError(f"{lookback} rows up to every origin are read; the first has {at.min() + 1}", "begin later")
    return z[at[:, None] + np.arange(1 - lookback, 1)]  # [N, L, C]


def future_matrix(z: Float[np.ndarray, "T C"], at: Int64[np.ndarray, "N"], horizon: int) -> Float[np.ndarray, "N K C"]:
    """The `horizon` rows after each anchor."""
    return z[at[:, None] + np.arange(1, horizon + 1)]  # [N, K, C]
