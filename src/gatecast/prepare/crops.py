"""Crops of many series: what a network reads at each of C anchors, and what it should have said, gathered by index.

An anchor is the last row that a forecast may know. The step at an anchor reads the whole look-back window before it,
the season of one long lag before it and the paths of the smoother bank, all minus the anchor's centre and over its
scale, so that everything is relative to the newest level. Nothing is stored per window: a batch gathers its crops from
flat arrays of one row per value.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float32, Float64, Int64
from torch import Tensor

from gatecast.errors import SpecError
from gatecast.prepare.exogenous import Exogenous
from gatecast.prepare.facts import Facts, facts_of
from gatecast.prepare.limits import Limits
from gatecast.prepare.smooth import Smoother, bank, damping

INPUT_CLIP = 8.0
LEAST_DIFFERENCE = 1e-9
"""Seasonal differences of transformed values below this are rounding."""
LEAST_SCALE = 0.1
"""The scale of a window is at least this share of the series' mean absolute seasonal difference."""
FEWEST_BACK, MOST_BACK = 5, 48
"""Covariates are read over one season back, within these limits."""

Normal = Literal["level", "spread"]
"""What a window is divided by: nothing (its level is subtracted), or also its standard deviation."""


@dataclass(frozen=True)
class Sizes:
    """In rows: look-back K, season m, long lag (0: none), horizon h, and from anchor to anchor p; and C anchors.

    `past` and `known`: so many covariates up to an anchor, and so many that reach over the horizon. `smoothers`:
    whether their paths are read.
    """

    lookback: int
    anchors: int
    stride: int
    season: int
    long_lag: int
    horizon: int
    past: int = 0
    known: int = 0
    smoothers: bool = True

    def __post_init__(self) -> None:
        if 0 < self.long_lag < self.horizon:
            raise SpecError(
                f"a lag of {self.long_lag} rows cannot be read for {self.horizon} rows ahead: not yet known"
            )

    @property
    def least(self) -> int:
        """Rows of a window that must be there before a forecast from it is scored."""
        return min(self.lookback, max(self.season + 1, 4))

    @property
    def history(self) -> int:
        """Rows before the last anchor, and it, that a crop reads in its windows."""
        return self.lookback + (self.anchors - 1) * self.stride

    @property
    def reach(self) -> int:
        """Rows before the last anchor, and it, that a crop reads in all."""
        rows = max(self.lookback, self.season, self.back, self.long_lag + 1 if self.long_lag else 0)
        return rows + (self.anchors - 1) * self.stride

    @property
    def back(self) -> int:
        """Rows back from an anchor in which covariates are read."""
        return min(self.lookback, max(FEWEST_BACK, min(self.season, MOST_BACK)))

    @property
    def covariates(self) -> int:
        """Numbers of covariates at an anchor."""
        return self.past * self.back + self.known * (self.back + self.horizon)

    @property
    def bank(self) -> tuple[Smoother, ...]:
        """The smoothers whose paths are read."""
        return bank(self.season) if self.smoothers else ()

    @property
    def relative(self) -> int:
        """Numbers of the series itself at an anchor: window, smoother paths, long lag."""
        paths = sum(len(self.path(smoother)) for smoother in self.bank)
        return self.lookback + paths + (self.horizon if self.long_lag else 0)

    def path(self, smoother: Smoother) -> list[int]:
        """The horizon steps, from 0, at which a smoother's path is read: its first season, which is then repeated, and
        where it has a trend the last step, from which all others follow."""
        first = list(range(min(self.horizon, self.season)))
        return [*first, self.horizon - 1] if smoother.beta and self.horizon > self.season else first

    @property
    def linear(self) -> int:
        """Numbers at an anchor that the linear part reads: of the series itself and of the covariates."""
        return self.relative + self.covariates


class Crop(NamedTuple):
    """N crops of C anchors. `read`: what a network reads; `linear`: its first columns, which the linear part reads too.

    Targets are in normalised units, `exists` says which of them there are; `centre` and `scale` undo the
    normalisation; `valid` counts the rows that a window really has.
    """

    read: Float32[Tensor, "N C I"]
    linear: Float32[Tensor, "N C D"]
    target: Float32[Tensor, "N C K"]
    exists: Bool[Tensor, "N C K"]
    centre: Float32[Tensor, "N C"]
    scale: Float32[Tensor, "N C"]
    valid: Float32[Tensor, "N C"]


class Crops:
    """Transformed series as flat arrays, ready to be cropped; `z` is NaN where a value is missing.

    `calendar` holds numbers that depend on the time of a row alone, the anchor's row being read. `facts`: what is known
    at every row, where these rows are not all that there were. Centres and smoothers are relative to `offset`, the
    first value of every series in float64: a large level does not swallow small changes. `limits`: of forecasts, in
    units of `z` less the offset.
    """

    def __init__(
        self,
        z: Float64[np.ndarray, "rows"],
        indptr: Int64[np.ndarray, "pointers"],
        calendar: Float32[np.ndarray, "rows F"],
        sizes: Sizes,
        normal: Normal,
        facts: Facts | None = None,
        exogenous: Exogenous | None = None,
    ) -> None:
        self.sizes, self.normal, self._exogenous = sizes, normal, exogenous
        self.starts, self.stops = (torch.from_numpy(each.copy()) for each in (indptr[:-1], indptr[1:]))
        facts = facts or facts_of(z, indptr, sizes.lookback, sizes.season)
        lengths, states, self.offset = np.diff(indptr), facts.states, facts.offset
        z = z - np.repeat(self.offset, lengths)
        self._z = torch.from_numpy(np.nan_to_num(z).astype(np.float32))
        self._present = torch.from_numpy(np.isfinite(z))
        usual = np.where(facts.difference > LEAST_DIFFERENCE, facts.difference, 1.0)
        self.limits = Limits(facts.ranges, usual, sizes.season)
        floor, scale = np.ones(len(z)), np.ones(len(z))
        if normal == "spread":
            floor = np.repeat(usual, lengths)
            scale = np.maximum(facts.deviation, LEAST_SCALE * floor)
        columns = [facts.centre, scale, facts.valid, np.log(scale / floor), states.started]
        self._states = torch.from_numpy(
            np.column_stack([*(each.astype(np.float32) for each in columns), states.level, states.trend])
        )
        self._season = torch.from_numpy(states.season)
        self._calendar = torch.from_numpy(calendar)
        self._damping = torch.from_numpy(damping(sizes.bank, sizes.horizon))
        self._back = torch.arange(sizes.anchors - 1, -1, -1) * sizes.stride

    @property
    def extra(self) -> int:
        """Numbers at an anchor that only the recurrent layer reads."""
        static = self._exogenous.static if self._exogenous else 0
        return 1 + self._calendar.shape[1] + (self.normal == "spread") + static

    def single(self) -> Crops:
        """The same series, to be cropped at one anchor each."""
        twin = copy.copy(self)
        twin.sizes, twin._back = replace(self.sizes, anchors=1), torch.zeros(1, dtype=torch.int64)
        return twin

    def take(self, series: Int64[Tensor, "N"], ends: Int64[Tensor, "N"]) -> Crop:
        """Crops of `series` whose last anchors are the flat rows `ends`."""
        sizes, lo, hi = self.sizes, self.starts[series], self.stops[series]
        z, present = self._rows(ends, lo, hi, -sizes.history + 1, sizes.horizon)
        anchors = ends[:, None] - self._back  # [N, C]
        inside = anchors >= lo[:, None]
        at = torch.maximum(anchors, lo[:, None])
        states = self._states[at] * inside[..., None]  # [N, C, 5 + 2 n]
        centre, scale, count, spread, started = states[..., :5].split(1, dim=2)
        scale = torch.where(inside[..., None], scale, 1.0)
        read = torch.empty(*at.shape, sizes.linear + self.extra)
        windows, known = (part.unfold(1, sizes.lookback, sizes.stride)[:, : sizes.anchors] for part in (z, present))
        read[..., : sizes.lookback] = windows
        body = read[..., : self._write_paths(read, states, ends, lo)]
        body.sub_(centre).div_(scale).clamp_(-INPUT_CLIP, INPUT_CLIP)
        body[..., : sizes.lookback].mul_(known)
        body[..., sizes.lookback :].mul_(started)
        if sizes.long_lag:
            read[..., body.shape[2] : sizes.relative] = self._lagged(ends, lo, hi, scale)
        parts = [count / sizes.lookback, self._calendar[at], *self._own_scale(spread)]
        if self._exogenous and sizes.covariates:
            read[..., sizes.relative : sizes.linear] = self._exogenous.take(series, ends, sizes.anchors, sizes.stride)
        if self._exogenous:
            parts.append(self._exogenous.facts(series, sizes.anchors))
        torch.cat(parts, dim=2, out=read[..., sizes.linear :])
        ahead, exists = (part[:, sizes.lookback :].unfold(1, sizes.horizon, sizes.stride) for part in (z, present))
        target = (ahead - centre) / scale
        flat = (each[..., 0] for each in (centre, scale, count))
        return Crop(read, read[..., : sizes.linear], target, exists & inside[..., None], *flat)

    def _own_scale(self, spread: Float32[Tensor, "N C 1"]) -> list[Tensor]:
        """How wide the window is beside its series, where windows are divided by that."""
        return [0.5 * spread.clamp(-4, 4)] if self.normal == "spread" else []

    def whole(self, rows: int, most: int) -> tuple[Int64[Tensor, "N"], Int64[Tensor, "N"]]:
        """Series and flat rows of anchors with a usable window and a whole horizon, among the newest `rows` rows of
        every series: all of them, or at most `most`, evenly spaced."""
        first = torch.maximum(self.starts + self.sizes.least - 1, self.stops - rows)
        counts = (self.stops - self.sizes.horizon - first).clamp(min=0)
        total = int(counts.sum())
        series = torch.repeat_interleave(torch.arange(len(counts)), counts)
        ends = torch.arange(total) - (counts.cumsum(0) - counts - first)[series]
        every = max(1, -(-total // most))
        return series[::every], ends[::every]

    def _rows(
        self, ends: Tensor, lo: Tensor, hi: Tensor, first: int, stop: int
    ) -> tuple[Float32[Tensor, "N L"], Bool[Tensor, "N L"]]:
        """The rows `ends + first` to `ends + stop` (included) and whether they exist; zero where they do not."""
        at = ends[:, None] + torch.arange(first, stop + 1)
        inside = (at >= lo[:, None]) & (at < hi[:, None])
        at = torch.where(inside, at, lo[:, None])
        known = self._present[at] & inside
        return self._z[at] * known, known

    def _lagged(self, ends: Tensor, lo: Tensor, hi: Tensor, scale: Tensor) -> Float32[Tensor, "N C K"]:
        """The rows one long lag before the horizon, minus the one before them."""
        sizes = self.sizes
        first = -sizes.long_lag - (sizes.anchors - 1) * sizes.stride
        z, known = self._rows(ends, lo, hi, first, sizes.horizon - sizes.long_lag)
        paths, there = (part.unfold(1, sizes.horizon + 1, sizes.stride) for part in (z, known))
        gone = (paths[..., 1:] - paths[..., :1]) / scale
        return gone.clamp(-INPUT_CLIP, INPUT_CLIP) * (there[..., 1:] & there[..., :1])

    def _write_paths(self, read: Tensor, states: Tensor, ends: Tensor, lo: Tensor) -> int:
        """What every smoother expects, after the windows in `read`; returns where that ends."""
        sizes, smoothers = self.sizes, self.sizes.bank
        levels, trends = states[..., 5 : 5 + len(smoothers)], states[..., 5 + len(smoothers) :]
        if sizes.season > 1:
            first = -(sizes.anchors - 1) * sizes.stride - sizes.season + 1
            rows = torch.maximum(ends[:, None] + torch.arange(first, 1), lo[:, None])
            cycles = self._season[rows].unfold(1, sizes.season, sizes.stride)  # [N, C, n, m]
        begin = sizes.lookback
        for i, smoother in enumerate(smoothers):
            steps = sizes.path(smoother)
            path = read[..., begin : begin + len(steps)]
            path.copy_(levels[..., i : i + 1].expand_as(path))
            if sizes.season > 1:
                path.add_(cycles[:, :, i, [step % sizes.season for step in steps]])
            if smoother.beta:
                path.addcmul_(trends[..., i : i + 1], self._damping[i, steps])
            begin += len(steps)
        return begin


class Sampler:
    """Draws crops: a series with a chance that grows as the root of its length, its last anchor anywhere in it.

    Its last anchor is drawn as `anchors_at` says.
    """

    def __init__(self, crops: Crops, generator: torch.Generator) -> None:
        self._crops = crops
        lengths = crops.stops - crops.starts
        self._ends = (lengths.double().sqrt() * (lengths > 1)).cumsum(0)
        self._generator = generator

    def draw(self, count: int) -> tuple[Int64[Tensor, "N"], Int64[Tensor, "N"]]:
        """Series, and the flat rows of last anchors."""
        where = torch.rand(2, count, dtype=torch.float64, generator=self._generator)
        series = torch.searchsorted(self._ends, where[0] * self._ends[-1], right=True).clamp(max=len(self._ends) - 1)
        return series, anchors_at(self._crops, series, where[1])


def anchors_at(crops: Crops, series: Int64[Tensor, "N"], where: Float64[Tensor, "N"]) -> Int64[Tensor, "N"]:
    """The flat rows of last anchors that lie this share, from 0 to 1, of the way from the first to the last possible.

    Every anchor has a usable window, where the series is long enough for one, and at least one row after it.
    """
    stops = crops.stops[series]
    first = torch.minimum(crops.starts[series] + crops.sizes.least - 1, stops - 2)
    return first + (where * (stops - 1 - first)).long()
