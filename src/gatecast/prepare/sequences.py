"""Series for networks that read them from their first row on, one row at a time.

Row t is read as the last known values of earlier rows (`lags`) minus z_t over the scale of row t, z_t minus the running
mean, whether a value is missing, how old the series is, the calendar, covariates minus their running means and static
facts; what is forecast is z_(t+k) minus z_t over that scale, k = 1..K. Known-future covariates of the rows ahead are
handed to the head apart, so that a state never depends on them. All of it is causal: see `prepare.running`.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float32, Float64, Int64
from torch import Tensor

from gatecast.data.calendar import Calendar
from gatecast.prepare.exogenous import known_rows
from gatecast.prepare.given import Given
from gatecast.prepare.limits import room
from gatecast.prepare.running import Now, Running
from gatecast.prepare.scale import SeriesTransform
from gatecast.prepare.waves import waves

CLIP = 8.0
Rows = Int64[Tensor, "N T"]


@dataclass(frozen=True, eq=False)
class Reading:
    """How rows are read: whether values are logarithms, the lags and the horizon in rows, covariates known up to a row
    and ahead of it, and their spreads."""

    log: bool
    lags: tuple[int, ...]
    horizon: int
    past: int
    known: int
    spread: Float64[np.ndarray, "F"]

    def running(self, series: int, calendar: Calendar) -> Running:
        """The memory of so many series that have not begun."""
        return Running(series, len(self.spread), calendar.season, max(self.lags))

    def transform(self, series: int) -> SeriesTransform:
        """Plain values, or logarithms, in which one that is not positive counts as missing."""
        return SeriesTransform(self.log, np.full(series, 0.0 if self.log else 1.0))

    def numbers(
        self,
        now: Now,
        lagged: Float64[np.ndarray, "n L"],
        facts: Float32[np.ndarray, "n W"],
        season: int,
    ) -> Float32[np.ndarray, "n I"]:
        """What a network reads of a row; `facts`: calendar and static numbers."""
        scale = now.scale[:, None]
        own = np.column_stack([lagged - now.newest[:, None], now.newest - now.mean]) / scale
        state = np.column_stack([now.missing, now.rows / (now.rows + season)])
        columns = (now.columns - now.centre) / self.spread
        clipped = [np.clip(np.nan_to_num(each), -CLIP, CLIP) for each in (own, state, columns)]
        return np.concatenate([*clipped, facts], axis=1).astype(np.float32)

    def ahead(
        self, known: Float64[np.ndarray, "n K G"], centre: Float64[np.ndarray, "n F"]
    ) -> Float32[np.ndarray, "n A"]:
        """Known-future covariates of the rows ahead, as the head reads them; a missing one is read as the mean."""
        scaled = (known - centre[:, None, self.past :]) / self.spread[self.past :]
        return np.clip(np.nan_to_num(scaled), -CLIP, CLIP).reshape(len(known), -1).astype(np.float32)

    def limits(self, now: Now, season: int) -> tuple[Float64[np.ndarray, "n K"], Float64[np.ndarray, "n K"]]:
        """The lowest and the highest value that a forecast of every step may take."""
        reach = now.scale[:, None] * room(self.horizon, season)
        return now.low[:, None] - reach, now.high[:, None] + reach

    def undone(self, y: Float64[np.ndarray, "E n K Q"], now: Now, season: int) -> Float64[np.ndarray, "E n K Q"]:
        """Scaled forecasts in original units, quantiles in rising order, within the limits of their series; 0 for one
        that is read in logarithms and has had no positive value."""
        low, high = (each[..., None] for each in self.limits(now, season))
        z = np.sort(y, axis=3) * now.scale[:, None, None] + now.newest[:, None, None]
        return np.nan_to_num(self.transform(len(now.scale)).invert(np.clip(z, low, high)))


class Sequences:
    """A panel read row by row: `take` gathers what is read at flat rows, `targets` what should be said there.

    `running`: the memory of every series after its last row.
    """

    def __init__(self, given: Given, reading: Reading) -> None:
        panel, self.reading = given.panel, reading
        self.season, self.starts, self.stops = panel.calendar.season, panel.indptr[:-1], panel.indptr[1:]
        self.z = reading.transform(len(panel)).apply(panel)
        self._columns = panel.values[:, 1:]
        self.running = reading.running(len(panel), panel.calendar)
        self._now = _read_all(self, self.running)
        self._waves = waves(panel.calendar, panel.times)
        self._static = given.static.astype(np.float32)
        self._known, bounds = known_rows(given)
        self._known_starts = bounds[:-1]
        self._codes = np.repeat(np.arange(len(panel)), self.stops - self.starts)

    @property
    def inputs(self) -> int:
        """Numbers that are read of a row."""
        reading = self.reading
        own = len(reading.lags) + 3 + len(reading.spread)
        return own + self._waves.shape[1] + self._static.shape[1]

    @property
    def more(self) -> int:
        """Numbers of the rows ahead that the head reads."""
        return self.reading.known * self.reading.horizon

    def until(self, kept: Int64[np.ndarray, "S"]) -> Sequences:
        """The first `kept` rows of every series; known-future columns of the rows after them stay known."""
        found = copy.copy(self)
        found.stops = self.starts + kept
        return found

    def now(self, rows: Int64[np.ndarray, "n"]) -> Now:
        """What is known after these flat rows."""
        return Now(*(each[rows] for each in self._now))

    def take(self, rows: Int64[np.ndarray, "n"]) -> Float32[Tensor, "n I"]:
        """What is read of these flat rows."""
        codes, now = self._codes[rows], self.now(rows)
        lagged = self._now.newest[np.maximum(rows[:, None] - np.array(self.reading.lags), self.starts[codes][:, None])]
        facts = np.concatenate([self._waves[rows], self._static[codes]], axis=1)
        return torch.from_numpy(self.reading.numbers(now, lagged, facts, self.season))

    def block(self, series: Int64[np.ndarray, "n"], rows: Int64[np.ndarray, "T"]) -> Float32[Tensor, "n T I"]:
        """What is read of these rows, counted in each of these series."""
        return self.take((self.starts[series][:, None] + rows).reshape(-1)).view(len(series), len(rows), -1)

    def whole(self) -> tuple[Float32[Tensor, "S T I"], Int64[np.ndarray, "S"]]:
        """What is read of all series, the last row of each repeated up to the longest, and their lengths."""
        lengths = self.stops - self.starts
        rows = np.minimum(np.arange(lengths.max(initial=0)), lengths[:, None] - 1)
        return self.take((self.starts[:, None] + rows).reshape(-1)).view(*rows.shape, -1), lengths

    def ahead(self, rows: Int64[np.ndarray, "n"]) -> Float32[Tensor, "n A"]:
        """Known-future covariates of the rows ahead of these."""
        codes = self._codes[rows]
        first = self._known_starts[codes] + rows - self.starts[codes]
        steps = np.arange(1, self.reading.horizon + 1)
        known = self._known[first[:, None] + steps] if self.reading.known else np.zeros((len(rows), len(steps), 0))
        return torch.from_numpy(self.reading.ahead(known, self._now.centre[rows]))

    def targets(self, rows: Int64[np.ndarray, "n"]) -> tuple[Float32[Tensor, "n K"], Bool[Tensor, "n K"]]:
        """The scaled values of the rows ahead, and which of them are there to learn from."""
        at = rows[:, None] + np.arange(1, self.reading.horizon + 1)
        inside = at < self.stops[self._codes[rows]][:, None]
        z = np.where(inside, self.z[np.minimum(at, len(self.z) - 1)], np.nan)
        y = (z - self._now.newest[rows, None]) / self._now.scale[rows, None]
        exists = np.isfinite(y) & self._now.usable[rows, None]
        return torch.from_numpy(np.where(exists, y, 0.0).astype(np.float32)), torch.from_numpy(exists)


class Stretch(NamedTuple):
    """The next rows of B series, which of them are there, and whose series begins."""

    rows: Rows
    inside: Bool[Tensor, "B T"]
    begins: Bool[Tensor, "B"]


class Walks:
    """B walks through the series of a panel, `length` rows at a time; one that ends is followed by the next series.

    Series are drawn in random order, all of them before one is drawn again. A walk begins at the first row of its
    series; at the very first draw a random number of stretches in, so that walks through few series are out of step.
    """

    def __init__(self, sequences: Sequences, walks: int, length: int, generator: torch.Generator) -> None:
        self._starts, self._stops = (torch.from_numpy(each.copy()) for each in (sequences.starts, sequences.stops))
        self._generator, self._length = generator, length
        self._waiting = torch.empty(0, dtype=torch.int64)
        self._series = self._draw(walks)
        self._at = self._starts[self._series]
        stretches = (self._stops[self._series] - self._at - 1) // length + 1
        self._at = self._at + length * (torch.rand(walks, generator=generator) * stretches).long()
        self._begins = torch.ones(walks, dtype=torch.bool)

    def next(self) -> Stretch:
        """The next stretch of every walk; rows past the end of a series are its last one and not inside."""
        rows = self._at[:, None] + torch.arange(self._length)
        stops = self._stops[self._series][:, None]
        found = Stretch(torch.minimum(rows, stops - 1), rows < stops, self._begins)
        self._at = self._at + self._length
        self._begins = self._at >= self._stops[self._series]
        drawn = self._draw(int(self._begins.sum()))
        self._series = self._series.clone()
        self._series[self._begins] = drawn
        self._at[self._begins] = self._starts[drawn]
        return found

    def _draw(self, count: int) -> Int64[Tensor, "n"]:
        whole = torch.nonzero(self._stops > self._starts)[:, 0]
        while len(self._waiting) < count:
            order = torch.randperm(len(whole), generator=self._generator)
            self._waiting = torch.cat([self._waiting, whole[order]])
        drawn, self._waiting = self._waiting.split([count, len(self._waiting) - count])
        return drawn


def _read_all(sequences: Sequences, running: Running) -> Now:
    """What is known after every row of a panel: all series step by step together."""
    starts, lengths = sequences.starts, sequences.stops - sequences.starts
    order = np.argsort(-lengths, kind="stable")
    going = len(lengths) - np.searchsorted(np.sort(lengths), np.arange(lengths.max(initial=0)), side="right")
    found: list[np.ndarray] | None = None
    for row, count in enumerate(going.tolist()):
        at = order[:count]
        flat = starts[at] + row
        running.step(at, sequences.z[flat], sequences._columns[flat])
        now = running.now(at)
        if found is None:
            found = [np.zeros((len(sequences.z), *each.shape[1:]), dtype=each.dtype) for each in now]
        for whole, part in zip(found, now, strict=True):
            whole[flat] = part
    return Now(*(found or running.now(order)))
