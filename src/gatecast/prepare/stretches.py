"""Stretches of many series for networks that read one row at a time: C rows of context, then rows to forecast.

Row t is forecast from the value before it, the value of one season before it, and what is known of row t itself:
calendar and known-future columns. Values are minus the mean of the context's last season and over the context's
standard deviation, so a stretch is scaled by what precedes its forecasts.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float32, Float64, Int64
from torch import Tensor

from gatecast.prepare.given import Given
from gatecast.prepare.limits import Limits, ranges_of
from gatecast.prepare.units import Units
from gatecast.prepare.waves import waves

LEAST_SCALE = 0.1
"""The scale is at least this share of the series' mean seasonal difference."""
CLIP = 10.0
INSIDE = 4
"""A stretch begins with at least so many rows of its series."""


class Stretch(NamedTuple):
    """N stretches of T = C + K rows: values from one season before the first row on, what is known of every row, which
    values there are, and what undoes the scaling."""

    z: Float32[Tensor, "N L"]
    facts: Float32[Tensor, "N T F"]
    exists: Bool[Tensor, "N T"]
    centre: Float64[Tensor, "N"]
    scale: Float64[Tensor, "N"]

    def read(self, season: int) -> Float32[Tensor, "N T I"]:
        """What is read for every row: the value before it, that of a season before, and the facts."""
        rows = self.facts.shape[1]
        before = self.z[:, season - 1 : season - 1 + rows, None]
        return torch.cat([before, self.z[:, :rows, None], self.facts], dim=2)


class Stretches:
    """A panel as stretches; missing values are read as the last known and never scored.

    `limits`: of paths, in transformed units, from the `ranges` at every row where these are not all rows there were.
    """

    def __init__(
        self,
        given: Given,
        units: Units,
        context: int,
        horizon: int,
        ranges: Float64[np.ndarray, "rows 2"] | None = None,
    ) -> None:
        panel = given.panel
        self.season, self.context, self.horizon = panel.calendar.season, context, horizon
        z = units.transform.apply(panel)
        filled = z[np.maximum.accumulate(np.where(np.isfinite(z), np.arange(len(z)), 0))]
        self._z, self._known = torch.from_numpy(filled), torch.from_numpy(np.isfinite(z))
        self.starts, self.stops = (torch.from_numpy(each.copy()) for each in (panel.indptr[:-1], panel.indptr[1:]))
        usual = np.where(units.difference > 1e-9, units.difference, 1.0)
        self.limits = Limits(ranges_of(z, panel.indptr) if ranges is None else ranges, usual, self.season)
        self._floor = LEAST_SCALE * torch.from_numpy(usual)
        self._facts = torch.from_numpy(_facts(given, units))
        self._ahead = given.ahead.shape[1]

    @property
    def inputs(self) -> int:
        """Numbers that are read for a row."""
        return self._facts.shape[1] + 2

    def anchors(self) -> tuple[Int64[Tensor, "A"], Int64[Tensor, "A"]]:
        """Every series and row that has rows before it and one after it."""
        counts = (self.stops - self.starts - INSIDE).clamp(min=0)
        series = torch.repeat_interleave(torch.arange(len(counts)), counts)
        within = torch.arange(int(counts.sum())) - (counts.cumsum(0) - counts)[series]
        return series, self.starts[series] + INSIDE - 1 + within

    def take(self, series: Int64[Tensor, "N"], ends: Int64[Tensor, "N"], horizon: int) -> Stretch:
        """The stretches whose contexts end with the rows `ends`, with so many rows after them."""
        lo, hi = self.starts[series][:, None], self.stops[series][:, None]
        at = ends[:, None] + torch.arange(1 - self.context - self.season, horizon + 1)  # [N, m + T]
        z, inside = self._z[torch.minimum(torch.maximum(at, lo), hi - 1)], (at >= lo) & (at < hi)
        first = self.season + self.context - min(self.season, self.context)
        known = inside[:, self.season : self.season + self.context].double()
        context = z[:, self.season : self.season + self.context]
        recent = slice(first, self.season + self.context)
        centre = (z[:, recent] * inside[:, recent]).sum(1) / inside[:, recent].sum(1).clamp(min=1)
        mean = (context * known).sum(1) / known.sum(1).clamp(min=1)
        variance = ((context - mean[:, None]) ** 2 * known).sum(1) / known.sum(1).clamp(min=1)
        scale = torch.maximum(variance.sqrt(), self._floor[series])
        scaled = ((z - centre[:, None]) / scale[:, None]).clamp(-CLIP, CLIP).float() * (at >= lo)
        longer = series[:, None] * self._ahead  # by what is ahead of the series before
        rows = torch.minimum(torch.maximum(at[:, self.season :], lo), hi + self._ahead - 1)
        facts = self._facts[rows + longer]
        there = self._known[torch.minimum(torch.maximum(at, lo), hi - 1)] & inside
        return Stretch(scaled, facts, there[:, self.season :], centre, scale)


def _facts(given: Given, units: Units) -> Float32[np.ndarray, "rows F"]:
    """Calendar, known-future columns and statics of every row, and of the K rows after the end of every series."""
    panel, past, steps = given.panel, given.past, given.ahead.shape[1]
    pieces, made = [], {}
    for s in range(len(panel)):
        rows = slice(panel.indptr[s], panel.indptr[s + 1])
        key = panel.times[rows].tobytes()
        if key not in made:
            times = panel.times[rows]
            made[key] = waves(panel.calendar, np.concatenate([times, panel.calendar.future(times[-1], steps)]))
        parts = [made[key]]
        if given.known:
            known = np.concatenate([panel.values[rows, 1 + past :], given.ahead[s]])
            parts.append(np.clip(np.nan_to_num((known - units.mean[s, past:]) / units.spread[past:]), -CLIP, CLIP))
        if given.static.shape[1]:
            parts.append(np.repeat(given.static[s][None], len(made[key]), axis=0))
        pieces.append(np.concatenate(parts, axis=1))
    return np.concatenate(pieces).astype(np.float32)
