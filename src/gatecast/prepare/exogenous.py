"""Covariates as a network reads them at an anchor: past columns up to it, known-future columns past it, static facts.

A column is centred on its series' mean and divided by its spread within the series of the whole panel, so that a flag
means the same everywhere and a price is seen beside the usual one. A missing cell is read as the mean.
"""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Float32, Float64, Int64
from torch import Tensor

from gatecast.prepare.given import Given
from gatecast.prepare.units import Units

CLIP = 8.0


class Exogenous:
    """Standardised covariates in flat arrays; known-future ones reach K rows past the end of every series."""

    def __init__(self, given: Given, units: Units, back: int, horizon: int) -> None:
        panel, past, mean, spread = given.panel, given.past, units.mean, units.spread
        codes = np.repeat(np.arange(len(panel)), np.diff(panel.indptr))
        self._past = _standard(panel.values[:, 1 : 1 + past], mean[codes, :past], spread[:past])
        self._starts = torch.from_numpy(panel.indptr[:-1].copy())
        flat, bounds = known_rows(given)
        self._known = _standard(flat, np.repeat(mean[:, past:], np.diff(bounds), axis=0), spread[past:])
        self._known_starts, self._known_stops = torch.from_numpy(bounds[:-1]), torch.from_numpy(bounds[1:])
        self._static = torch.from_numpy(given.static.astype(np.float32))
        self._back, self._horizon = back, horizon

    @property
    def static(self) -> int:
        """Numbers per series."""
        return self._static.shape[1]

    def facts(self, series: Int64[Tensor, "N"], anchors: int) -> Float32[Tensor, "N C G"]:
        """The static numbers of `series` at every anchor."""
        return self._static[series][:, None].expand(-1, anchors, -1)

    def take(
        self, series: Int64[Tensor, "N"], ends: Int64[Tensor, "N"], anchors: int, stride: int
    ) -> Float32[Tensor, "N C D"]:
        """Past columns of the last `back` rows of every anchor, known ones of those and of the horizon after it."""
        lo = self._starts[series]
        first = -(anchors - 1) * stride - self._back + 1
        parts = []
        if self._past.shape[1]:
            parts.append(_windows(self._past, ends, (lo, ends + 1), first, 0, self._back, stride))
        if self._known.shape[1]:
            own = self._known_starts[series]
            reach, bounds = self._back + self._horizon, (own, self._known_stops[series])
            parts.append(_windows(self._known, ends - lo + own, bounds, first, self._horizon, reach, stride))
        return torch.cat(parts, dim=2)


def known_rows(given: Given) -> tuple[Float64[np.ndarray, "longer F"], Int64[np.ndarray, "pointers"]]:
    """The known-future columns of every row and of the K rows after the end of every series, and where series begin."""
    panel = given.panel
    longer = np.diff(panel.indptr) + given.ahead.shape[1]
    bounds = np.concatenate([[0], np.cumsum(longer)])
    if not given.known:
        return np.zeros((int(bounds[-1]), 0)), bounds
    known = panel.values[:, 1 + given.past :]
    pieces = [
        np.concatenate([known[start:stop], ahead])
        for start, stop, ahead in zip(panel.indptr[:-1], panel.indptr[1:], given.ahead, strict=True)
    ]
    return np.concatenate(pieces), bounds


def _windows(
    values: Float32[Tensor, "rows F"],
    ends: Int64[Tensor, "N"],
    bounds: tuple[Int64[Tensor, "N"], Int64[Tensor, "N"]],
    first: int,
    last: int,
    length: int,
    stride: int,
) -> Float32[Tensor, "N C D"]:
    """Windows over the rows `ends + first` to `ends + last` (included); zero where there is no such row."""
    lo, hi = (each[:, None] for each in bounds)
    at = ends[:, None] + torch.arange(first, last + 1)
    inside = (at >= lo) & (at < hi)
    rows = values[torch.where(inside, at, lo)] * inside[..., None]  # [N, L, F]
    return rows.unfold(1, length, stride).flatten(2)


def _standard(
    values: Float64[np.ndarray, "rows F"], mean: Float64[np.ndarray, "rows F"], spread: Float64[np.ndarray, "F"]
) -> Float32[Tensor, "rows F"]:
    scaled = np.clip(np.nan_to_num((values - mean) / spread, nan=0.0), -CLIP, CLIP)
    return torch.from_numpy(scaled.astype(np.float32))
