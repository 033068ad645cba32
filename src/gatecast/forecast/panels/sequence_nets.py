"""The networks of a `SequenceForecaster`: how they read, how they start and train, and what held-back rows say."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float32, Float64, Int64
from torch import Tensor

from gatecast.data.calendar import Calendar
from gatecast.data.panel import Panel
from gatecast.forecast.panels.candidates import EARLY, median
from gatecast.forecast.panels.folds import Fold, Quantiles
from gatecast.forecast.panels.rules import DAY_LONG, LOOKS, NOT_POSITIVE, steps_for
from gatecast.nn.device import CPU, device_of
from gatecast.nn.sequence import SequenceNet, Shape, read_through
from gatecast.nn.spec import StackSpec
from gatecast.prepare.given import Given
from gatecast.prepare.sequences import Reading, Sequences
from gatecast.prepare.units import fit_units
from gatecast.train.lockstep import QUANTILES, Linear, Schedule, Tick
from gatecast.train.members import in_parallel
from gatecast.train.sequence import Course, fit_start, train_sequence

FEWEST_LAGS, MOST_LAGS, SEASONS = 8, 48, 3
"""Lags of series without a season are two horizons within these limits; others see three seasons."""
WEEK = 7
"""Of seasons as long as a day, the horizon's rows of one season and of seven seasons before it are lags too."""
LEAST_STRETCH, MOST_STRETCH = 32, 96
"""Rows from which a gradient reaches back: two seasons, within these limits."""
MOST_WALKS, FEWEST_WALKS, STEP_SIZE = 32, 8, 100_000
"""Walks at once, so that a training step forecasts no more than about so many values."""
AT_ONCE = 2048
"""Rows at which forecasts are made at once: bounds memory."""

Places = Int64[np.ndarray, "V"]
Paths = Float64[np.ndarray, "E V K Q"]


class Trial(NamedTuple):
    """The series as one way of reading sees them, up to what a fold knows and as a whole, and the linear start."""

    fold: Fold
    known: Sequences
    whole: Sequences
    start: Linear

    def looked(self, nets: Sequence[SequenceNet]) -> Paths:
        """What networks expect of the held-back rows."""
        return quantiles(nets, self.whole, *self.fold.places)


class Judged(NamedTuple):
    """Whether values are read as logarithms, the looks up to the best number of steps, its scores, and why."""

    log: bool
    looks: tuple[int, ...]
    errors: Quantiles
    told: tuple[str, str]


def lags_for(calendar: Calendar, horizon: int) -> tuple[int, ...]:
    """The earlier rows whose values are read beside the newest one.

    >>> lags_for(Calendar("MS"), 12)[-1], lags_for(Calendar("h"), 2)[-4:]
    (36, (23, 24, 167, 168))
    """
    season = calendar.season
    if season < DAY_LONG:
        reach = SEASONS * season if season > 1 else min(2 * horizon, DAY_LONG)
        return tuple(range(1, max(FEWEST_LAGS, reach) + 1))
    ahead = range(min(horizon, season))
    far = {seasons * season - step for seasons in (1, WEEK) for step in ahead}
    return tuple(sorted({*range(1, min(season, MOST_LAGS) + 1), *far}))


def reading_for(given: Given, horizon: int, log: bool) -> Reading:
    """How the series are read; spreads of covariates are those of what is given."""
    lags, spread = lags_for(given.panel.calendar, horizon), fit_units(given, False).spread
    return Reading(log, lags, horizon, given.past, given.known, spread)


def untrained(stack: StackSpec, sequences: Sequences, numbers: tuple[int, ...] = (0,)) -> SequenceNet:
    """A network that knows nothing, drawn from these numbers."""
    shape = Shape(sequences.inputs, sequences.more, sequences.reading.horizon, len(QUANTILES))
    return SequenceNet(stack, shape, _generator(5, *numbers))


def course_for(sequences: Sequences, looks: tuple[int, ...], numbers: tuple[int, ...]) -> Course:
    """How one network is trained up to the last look."""
    length = min(max(LEAST_STRETCH, 2 * sequences.season), MOST_STRETCH)
    walks = min(max(STEP_SIZE // (length * sequences.reading.horizon), FEWEST_WALKS), MOST_WALKS)
    return Course(length, Schedule(looks[-1], walks), looks, _generator(6, *numbers))


def judge(
    given: Given,
    folds: tuple[Fold, ...],
    stacks: tuple[StackSpec, ...],
    seed: int,
    tick: Tick,
    device: torch.device = CPU,
) -> Judged:
    """Choose how values are read, by the linear start alone, and then the number of training steps."""
    planned = steps_for(given.panel)
    looks = (*(look for look in LOOKS if look < planned), planned)
    trials, told = _choose_reading(given, folds, stacks[0])
    jobs = [(trial, n) for trial in trials for n in range(len(stacks))]
    tick.begin("choosing", len(jobs) * planned)

    def look_on(job: tuple[Trial, int]) -> list[Paths]:
        trial, n = job
        net = untrained(stacks[n], trial.known, (seed, n)).to(device)
        net.start_at(*trial.start)
        course = course_for(trial.known, looks, (seed, n))
        return [trial.looked([net]) for _ in train_sequence(net, trial.known, course, tick)]

    seen = in_parallel(look_on, jobs)
    apart = [seen[first : first + len(stacks)] for first in range(0, len(seen), len(stacks))]
    paths = [[median(np.concatenate(each)) for each in zip(*of_fold, strict=True)] for of_fold in apart]
    mase = [
        float(np.mean([t.fold.mase(p[look]) for t, p in zip(trials, paths, strict=True)])) for look in range(len(looks))
    ]
    best = int(np.argmin(mase))
    if mase[-1] <= EARLY * mase[best]:
        best = len(looks) - 1
    errors = np.concatenate([t.fold.errors(p[best]) for t, p in zip(trials, paths, strict=True)])
    chosen = f"MASE on the last {folds[0].rows} rows of every series: {mase[best]:.3f} after {looks[best]} steps"
    return Judged(trials[0].known.reading.log, looks[: best + 1], errors, (told, chosen))


def train_nets(
    sequences: Sequences, stacks: list[StackSpec], steps: int, seed: int, tick: Tick, device: torch.device = CPU
) -> tuple[SequenceNet, ...]:
    """A trained network of every stack."""
    start = fit_start(sequences)
    tick.begin("training", len(stacks) * steps)

    def one(number: int) -> SequenceNet:
        net = untrained(stacks[number], sequences, (seed, 1, number)).to(device)
        net.start_at(*start)
        for _ in train_sequence(net, sequences, course_for(sequences, (steps,), (seed, 1, number)), tick):
            averaged = {name: weight.clone() for name, weight in net.state_dict().items()}
        net.load_state_dict(averaged)
        return net

    return in_parallel(one, range(len(stacks)))


def quantiles(nets: Sequence[SequenceNet], sequences: Sequences, series: Places, ends: Places) -> Paths:
    """What every network expects after these flat rows of these series, in original units; a series is read once."""
    lengths = np.zeros(len(sequences.starts), dtype=np.int64)
    within = ends - sequences.starts[series]
    np.maximum.at(lengths, series, within + 1)
    tops = read_through(nets, lengths, sequences.block, (series, within)).tops
    found = [
        said(nets, [top[part] for top in tops], sequences, ends[part])
        for part in np.array_split(np.arange(len(ends)), -(-len(ends) // AT_ONCE))
    ]
    return np.concatenate(found, axis=1)


def said(nets: Sequence[SequenceNet], tops: list[Float32[Tensor, "n _"]], sequences: Sequences, rows: Places) -> Paths:
    """What networks in these states say after these flat rows."""
    device = device_of(nets[0])
    x, ahead = sequences.take(rows).to(device), sequences.ahead(rows).to(device)
    with torch.inference_mode():
        y = torch.stack([net.read(top, x, ahead) for net, top in zip(nets, tops, strict=True)])
    return sequences.reading.undone(y.cpu().double().numpy(), sequences.now(rows), sequences.season)


def _choose_reading(given: Given, folds: tuple[Fold, ...], stack: StackSpec) -> tuple[list[Trial], str]:
    """The way of reading whose linear start has the least MASE on the held-back rows."""
    ways = (False, True) if _may_take_logarithms(folds[-1].known.panel) else (False,)
    found: dict[str, list[Trial]] = {}
    mase: dict[str, float] = {}
    for log in ways:
        name = "logarithms" if log else "plain values"
        found[name] = [_trial(given, fold, log) for fold in folds]
        off = []
        for trial in found[name]:
            net = untrained(stack, trial.known)
            net.start_at(*trial.start)
            off.append(trial.fold.mase(trial.looked([net])[0]))
        mase[name] = float(np.mean(off))
    best = min(mase, key=lambda name: mase[name])
    return found[best], "MASE of the linear start: " + ", ".join(f"{name} {off:.3f}" for name, off in mase.items())


def _trial(given: Given, fold: Fold, log: bool) -> Trial:
    whole = Sequences(given, reading_for(fold.known, fold.truth.shape[1], log))
    known = whole.until(fold.cuts[0].kept)
    return Trial(fold, known, whole, fit_start(known))


def _may_take_logarithms(panel: Panel) -> bool:
    """Whether no value is negative and few are zero."""
    known = panel.values[:, 0][np.isfinite(panel.values[:, 0])]
    return bool((known >= 0).all() and np.mean(known == 0) <= NOT_POSITIVE)


def _generator(*numbers: int) -> torch.Generator:
    return torch.Generator().manual_seed(int(np.random.SeedSequence(numbers).generate_state(1)[0]))
