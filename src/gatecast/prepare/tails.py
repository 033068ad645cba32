"""What live series are known by: running sums in place of their past, and the newest rows that a forecast reads.

A panel that ends where the live series end gives the same numbers, to rounding: `Totals` say the units that were fitted
to all rows, `Tail` the facts of the rows that are kept. One exception, because a logarithm of another unit would change
the whole past: the unit of a logarithm stays that of the rows a series began with. Where that is 0, a value of 0 that
comes later is read as missing.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Float64, Int64

from gatecast.prepare.crops import Sizes
from gatecast.prepare.facts import Facts, deviation_of, firsts, windows_of
from gatecast.prepare.given import Given
from gatecast.prepare.ring import Places, Ring
from gatecast.prepare.scale import (
    SeriesTransform,
    difference_sums,
    fit_series_transform,
    mean_size,
    usual_error,
)
from gatecast.prepare.smooth import Inner, States, bank, first_season, smooth_exactly, update
from gatecast.prepare.units import Units, Within, within

INNER = ("level", "trend", "season")
WINDOW = ("centre", "deviation", "valid")
Kept = dict[str, np.ndarray]
Values = Float64[np.ndarray, "n"]


class Sums(NamedTuple):
    """Sums of absolute values, and how many."""

    total: Float64[np.ndarray, "n"]
    number: Float64[np.ndarray, "n"]

    def mean(self) -> Float64[np.ndarray, "n"]:
        """NaN where there is none."""
        return np.where(self.number > 0, self.total / np.maximum(self.number, 1), np.nan)


class Totals:
    """The sums of S live series from which their units follow, as named arrays in `kept`; original units."""

    def __init__(self, columns: int) -> None:
        self.kept: Kept = {name: np.zeros(0) for name in ("largest", *_named("size"), *_named("gone"), *_named("step"))}
        self.kept |= {f"columns.{name}": np.zeros((0, columns)) for name in Within._fields}

    def begin(self, given: Given) -> None:
        """Further series, from all rows of their past."""
        panel = given.panel
        y, starts = panel.values[:, 0], panel.indptr[:-1]
        known, size = np.isfinite(y), np.abs(y)
        new = {
            "largest": np.fmax.reduceat(size, starts),
            "size.total": np.add.reduceat(np.where(known, size, 0.0), starts),
            "size.number": np.add.reduceat(known, starts),
        }
        for name, rows in (("gone", panel.calendar.season), ("step", 1)):
            sums = difference_sums(y, panel.indptr, rows)
            new |= dict(zip(_named(name), sums, strict=True))
        new |= {f"columns.{name}": array for name, array in within(given)._asdict().items()}
        self.kept = {name: np.concatenate([old, new[name]]) for name, old in self.kept.items()}

    def add(self, at: Places, rows: Float64[np.ndarray, "n C"], before: Values, season: Values) -> None:
        """One more row of each, where the target was `before` one row and one `season` ago."""
        y, columns = rows[:, 0], rows[:, 1:]
        self.kept["largest"][at] = np.fmax(self.kept["largest"][at], np.abs(y))
        for name, size in (("size", y), ("gone", y - season), ("step", y - before)):
            _count(self.kept, name, at, size)
        old = Within(*(self.kept[f"columns.{name}"][at] for name in Within._fields))
        known = np.isfinite(columns)
        off = np.where(known, columns - old.mean, 0.0)
        number = old.values + known
        mean = old.mean + off / np.maximum(number, 1)  # Welford (1962)
        square = old.square + np.where(known, off * (columns - mean), 0.0)
        new = Within(number, mean, square, np.fmax(old.largest, np.abs(columns)))
        for name, array in new._asdict().items():
            self.kept[f"columns.{name}"][at] = array

    def units(self, at: Places, transform: SeriesTransform, difference: Values) -> Units:
        """The units of these series; the spread of covariates and an error scale in place of one that a series has
        not are those of all live series."""
        columns = Within(*(self.kept[f"columns.{name}"] for name in Within._fields))
        return Units(transform, difference, self.error(at), columns.mean[at], columns.spread())

    def error(self, at: Places) -> Values:
        """What errors are measured by."""
        gone, step = (sums_of(self.kept, name).mean() for name in ("gone", "step"))
        return usual_error(gone, step, self.kept["largest"])[at]

    def size(self, at: Places) -> Values:
        """The mean absolute values."""
        return mean_size(*(each[at] for each in sums_of(self.kept, "size")))

    def difference(self, at: Places) -> Values:
        """The mean seasonal differences."""
        return sums_of(self.kept, "gone").mean()[at]


class Level:
    """Live series as one transform reads them: how far they have ranged, and their mean seasonal difference.

    Everything is kept relative to the first value, of the logarithm, or of the values before they are divided.
    """

    def __init__(self, log: bool, season: int, depth: int) -> None:
        self.log, self.season = log, season
        self.ring = Ring(max(depth, season), {"x": np.array(np.nan), **self._columns()})
        self.kept: Kept = {name: np.zeros(0) for name in ("shift", "first", "low", "high", *_named("gone"))}

    def begin(self, given: Given) -> None:
        """Further series, from all rows of their past."""
        panel = given.panel
        indptr, starts = panel.indptr, panel.indptr[:-1]
        shift = fit_series_transform(panel, True).unit if self.log else np.ones(len(panel))
        x = SeriesTransform(self.log, shift).apply(panel)
        first, (total, count) = firsts(x, indptr), difference_sums(x, indptr, self.season)
        x = x - np.repeat(first, np.diff(indptr))
        low, high = np.fmin.reduceat(x, starts), np.fmax.reduceat(x, starts)
        new = {"shift": shift, "first": first, "low": low, "high": high, "gone.total": total, "gone.number": count}
        self._begin(x, indptr, new)
        self.kept = {name: np.concatenate([old, new[name]]) for name, old in self.kept.items()}

    def push(self, at: Places, y: Values) -> None:
        """One more target of each."""
        x = self._moved(at, y)
        _count(self.kept, "gone", at, x - self.ring.newest("x", at, self.season)[:, 0])
        for name, keep in (("low", np.fmin), ("high", np.fmax)):
            self.kept[name][at] = keep(self.kept[name][at], x)
        self.ring.write(at, {"x": x, **self._facts_after(at, x)})

    def transform(self, at: Places, totals: Totals) -> SeriesTransform:
        """The transform of these series now."""
        return SeriesTransform(self.log, self.kept["shift"][at] if self.log else totals.size(at))

    def difference(self, at: Places, totals: Totals) -> Values:
        """The mean seasonal difference after it."""
        return sums_of(self.kept, "gone").mean()[at] / self._divisor(at, totals)

    def ranges(self, at: Places, totals: Totals) -> Float64[np.ndarray, "n 2"]:
        """The lowest and the highest value after it."""
        first, by = self.kept["first"][at], self._divisor(at, totals)
        return np.stack([(first + self.kept[name][at]) / by for name in ("low", "high")], axis=1)

    def usable(self, at: Places, y: Values) -> Values:
        """The targets that this transform can read, NaN in place of the others."""
        return np.where(np.isfinite(self._moved(at, y)), y, np.nan)

    def _moved(self, at: Places, y: Values) -> Values:
        """What is kept of a target."""
        return SeriesTransform(self.log, self.kept["shift"][at]).moved(y) - self.kept["first"][at]

    def _divisor(self, at: Places, totals: Totals) -> Values:
        return np.ones(len(at)) if self.log else totals.size(at)

    def _columns(self) -> Kept:
        """What a row that never was holds, beside x."""
        return {}

    def _begin(self, x: Float64[np.ndarray, "rows"], indptr: Int64[np.ndarray, "pointers"], new: Kept) -> None:
        """Put the rows of the past into the ring, and into `new` what else is kept."""
        self.ring.begin({"x": x}, indptr)

    def _facts_after(self, at: Places, x: Values) -> Kept:
        """The other columns of the row that is written."""
        return {}


class Tail(Level):
    """The newest rows of live series as a crop reads them, each with its `Facts`."""

    def __init__(self, log: bool, sizes: Sizes) -> None:
        self.sizes, self.bank = sizes, bank(sizes.season)
        super().__init__(log, sizes.season, max(sizes.reach, sizes.season))
        many = len(self.bank)
        self.kept |= {"level": np.zeros((0, many)), "trend": np.zeros((0, many))}
        self.kept["cycle"] = np.zeros((0, sizes.season, many))

    def facts(self, at: Places, totals: Totals) -> Facts:
        """The facts of all rows that are kept of these series, one series after another, in transformed units."""
        where, indptr = self.ring.tail(at)
        lengths, kept, by = np.diff(indptr), self.ring.kept, self._divisor(at, totals)
        divisor = np.repeat(by, lengths)
        rows = np.repeat(kept["count"][at] - indptr[1:], lengths) + np.arange(indptr[-1])
        level, trend, season = ((kept[name][where] / divisor[:, None]).astype(np.float32) for name in INNER)
        ends = np.stack([self.kept[name][at] / by for name in ("low", "high")], axis=1)
        return Facts(
            self.kept["first"][at] / by,
            self.difference(at, totals),
            kept["centre"][where] / divisor,
            kept["deviation"][where] / divisor,
            kept["valid"][where],
            np.repeat(ends, lengths, axis=0),
            States(level, trend, season, rows >= self.season - 1),
        )

    def _columns(self) -> Kept:
        facts: Kept = {name: np.zeros(()) for name in WINDOW}
        return facts | {name: np.zeros(len(self.bank)) for name in INNER}

    def _begin(self, x: Float64[np.ndarray, "rows"], indptr: Int64[np.ndarray, "pointers"], new: Kept) -> None:
        lengths, m = np.diff(indptr), self.season
        level, trend, season = smooth_exactly(x, indptr, m)
        columns = dict(zip(WINDOW, windows_of(x, indptr, self.sizes.lookback, m), strict=True))
        self.ring.begin({"x": x, **columns, "level": level, "trend": trend, "season": season}, indptr)
        new |= {"level": level[indptr[1:] - 1], "trend": trend[indptr[1:] - 1]}
        rows = np.maximum(np.arange(-m, 0) + lengths[:, None], 0)  # of the last season, by its phase
        cycle = np.zeros((len(lengths), m, len(self.bank)))
        np.put_along_axis(cycle, (rows % m)[..., None], season[rows + indptr[:-1, None]], axis=1)
        new["cycle"] = cycle

    def _facts_after(self, at: Places, x: Values) -> Kept:
        m, length = self.season, self.sizes.lookback
        window = np.concatenate([self.ring.newest("x", at, max(m, length) - 1), x[:, None]], axis=1)
        known = np.isfinite(window)
        filled = np.where(known, window, 0.0)
        recent, total = known[:, -m:].sum(axis=1), filled[:, -m:].sum(axis=1)
        centre = np.where(recent > 0, total / np.maximum(recent, 1), self.ring.newest("centre", at, 1)[:, 0])
        filled, valid = filled[:, -length:], known[:, -length:].sum(axis=1).astype(np.float64)
        deviation = deviation_of(valid, filled.sum(axis=1), (filled**2).sum(axis=1))
        facts = dict(zip(WINDOW, (centre, deviation, valid), strict=True))
        return facts | self._smoothed(at, x, window[:, -m:])

    def _smoothed(self, at: Places, x: Values, season: Float64[np.ndarray, "n m"]) -> Kept:
        """The smoothers after this row: nothing, the start from the first season, or one step."""
        rows, m, kept = self.ring.kept["count"][at], self.season, self.kept
        begin = rows == m - 1
        phase = rows % m
        now = Inner(kept["level"][at].T, kept["trend"][at].T, kept["cycle"][at, phase].T)
        after = update(self.bank, now, np.where(rows >= m, x, np.nan))
        level, trend, cycle = (each.T for each in after)
        if begin.any():
            first, around = first_season(season[begin])
            level[begin] = first[:, None]
            kept["cycle"][at[begin]] = around[..., None]
            cycle[begin] = around[:, -1:]
            for back in range(m - 1):
                self.ring.rewrite(
                    "season", at[begin], m - 2 - back, np.repeat(around[:, [back]], len(self.bank), axis=1)
                )
        kept["level"][at], kept["trend"][at], kept["cycle"][at, phase] = level, trend, cycle
        return {"level": level, "trend": trend, "season": cycle}


def drop(kept: Kept, place: int) -> None:
    """Take the row of a series out of every array."""
    for name, array in kept.items():
        kept[name] = np.delete(array, place, axis=0)


def sums_of(kept: Kept, name: str) -> Sums:
    """The sums of this name."""
    return Sums(*(kept[each] for each in _named(name)))


def _named(name: str) -> tuple[str, str]:
    return f"{name}.total", f"{name}.number"


def _count(kept: Kept, name: str, at: Places, change: Values) -> None:
    """Add the sizes of what there is."""
    known = np.isfinite(change)
    for each, more in zip(_named(name), (np.where(known, np.abs(change), 0.0), known), strict=True):
        kept[each][at] += more
