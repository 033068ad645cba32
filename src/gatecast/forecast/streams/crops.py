"""The live series of a global model whose networks read crops, or draw paths."""

from __future__ import annotations

import copy
from dataclasses import replace

import numpy as np
from jaxtyping import Float64

from gatecast.data.calendar import Times
from gatecast.data.panel import Panel
from gatecast.forecast.panels.candidates import crops_of, median
from gatecast.forecast.panels.direct import GlobalForecaster
from gatecast.forecast.panels.method import GlobalMethod
from gatecast.forecast.panels.sampling import SamplingForecaster
from gatecast.forecast.streams.core import Kept, Places
from gatecast.forecast.streams.panels import Ahead, PanelCore, Paths
from gatecast.prepare.fill import last_known
from gatecast.prepare.given import Given
from gatecast.prepare.ring import Ring
from gatecast.prepare.tails import Level, Tail


class _Read(PanelCore):
    """A core whose networks read the newest rows; `levels`: as each of their transforms sees them."""

    def __init__(self, model: GlobalMethod, levels: list[Level]) -> None:
        super().__init__(model, levels[0].ring.depth, any(level.log for level in levels))
        self._levels = levels

    def begin(self, given: Given) -> None:
        """Sums, rows and what is known at each."""
        super().begin(given)
        for level in self._levels:
            level.begin(given)

    def push(self, at: Places, times: Times, rows: Float64[np.ndarray, "n C"]) -> None:
        """One step of every sum and smoother."""
        super().push(at, times, rows)
        for level in self._levels:
            level.push(at, rows[:, 0])

    def _parts(self) -> dict[str, Kept]:
        parts = super()._parts()
        for number, level in enumerate(self._levels):
            parts |= {f"level.{number}": level.kept, f"level.{number}.rows": level.ring.kept}
        return parts

    def _tail(self, at: Places, ahead: Ahead) -> Given:
        """The newest rows of these series."""
        where, indptr = self._rows.tail(at)
        rows, times = self._rows.kept["row"][where], self._rows.kept["time"][where].astype(self.times.dtype)
        ids = tuple(self._ids[place] for place in at)
        panel = Panel(rows, times, indptr, ids, self.columns, self.calendar, "last", "live series")
        return Given(panel, ahead, self._own["static"][at])


class Direct(_Read):
    """Of a `GlobalForecaster` with direct networks."""

    def __init__(self, model: GlobalForecaster) -> None:
        self._tails = [Tail(part.candidate.transform == "log", part.crops.sizes) for part in model.parts_]
        super().__init__(model, list(self._tails))
        self._networks = model.parts_

    def _paths(self, at: Places, ahead: Ahead) -> Paths:
        given, totals, found = self._tail(at, ahead), self._totals, []
        for part, tail in zip(self._networks, self._tails, strict=True):
            units = totals.units(at, tail.transform(at, totals), tail.difference(at, totals))
            crops = crops_of(given, part.crops.sizes, part.candidate, units, tail.facts(at, totals))
            found.append(part._replace(units=units, crops=crops).paths(np.arange(len(at))))
        return median(np.concatenate(found))


class Draws(_Read):
    """Of a recursive model, alone or in the place of a `GlobalForecaster`'s direct networks.

    Paths are drawn anew for every forecast, since draws are those of all series that are asked for together.
    """

    def __init__(self, model: GlobalMethod, drawer: SamplingForecaster) -> None:
        season = model.fitted().panel.calendar.season
        super().__init__(model, [Level(drawer.log, season, drawer.context_ + season)])
        self._drawer = drawer
        self._filled = Ring(self._rows.depth, {"y": np.array(np.nan)})

    def begin(self, given: Given) -> None:
        """Sums and rows, and targets without gaps."""
        super().begin(given)
        self._filled.begin({"y": last_known(given.panel)}, given.panel.indptr)

    def push(self, at: Places, times: Times, rows: Float64[np.ndarray, "n C"]) -> None:
        """One step; a target that is missing, or has no logarithm, is the last one."""
        y = self._levels[0].usable(at, rows[:, 0])
        self._filled.write(at, {"y": np.where(np.isfinite(y), y, self._filled.newest("y", at, 1)[:, 0])})
        super().push(at, times, rows)

    def next(self, at: Places) -> Float64[np.ndarray, "n"]:
        """The mean of the networks' locations, without a draw; where columns are known ahead, as of the others."""
        if self._own["ahead"].shape[2]:
            return super().next(at)
        return self._twin(at, self._own["ahead"][at]).expected(self._ranges(at))

    def _parts(self) -> dict[str, Kept]:
        return super()._parts() | {"filled": self._filled.kept}

    def _said(self, at: Places, ahead: Ahead) -> Paths:
        order = np.argsort(np.array(self._ids, dtype=object)[at], kind="stable")  # as `predict` orders them
        paths = self._twin(at[order], ahead[order]).quantiles(ranges=self._ranges(at[order]))
        return paths[np.argsort(order)]

    def _twin(self, at: Places, ahead: Ahead) -> SamplingForecaster:
        """The drawing model over the newest rows."""
        twin, (level,), given = copy.copy(self._drawer), self._levels, self._tail(at, ahead)
        values = given.panel.values.copy()
        values[:, 0] = self._filled.kept["y"][self._filled.tail(at)[0]]
        twin.given_ = Given(replace(given.panel, values=values), ahead, given.static)
        transform, difference = level.transform(at, self._totals), level.difference(at, self._totals)
        twin.units_ = self._totals.units(at, transform, difference)
        return twin

    def _ranges(self, at: Places) -> Float64[np.ndarray, "rows 2"]:
        lengths = np.diff(self._rows.tail(at)[1])
        return np.repeat(self._levels[0].ranges(at, self._totals), lengths, axis=0)
