"""The networks that compete for a panel: built at a linear start, trained in groups, judged on a held-back horizon."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float64, Int64

from gatecast.forecast.panels.folds import Fold, Quantiles
from gatecast.forecast.panels.rules import GROUPS, LOOKS, UNITS, Candidate, batch_for, members_for, steps_for
from gatecast.nn.correction import Corrections, Shape
from gatecast.nn.device import CPU
from gatecast.prepare.crops import Crops, Sizes
from gatecast.prepare.exogenous import Exogenous
from gatecast.prepare.facts import Facts, facts_of
from gatecast.prepare.given import Given
from gatecast.prepare.units import Units, fit_units
from gatecast.prepare.waves import waves
from gatecast.train.lockstep import QUANTILES, Schedule, Tick, fit_start, flat_start, forecast, train_lockstep
from gatecast.train.members import in_parallel

TRIAL = 1
"""Networks in a group while candidates are judged."""
TOLERANCE = 1.25
"""Candidates within 25 % of the best are kept: two that differ make better medians than the better one alone."""
EARLY = 1.1
"""Training ends early only where that is better by more than 10 %: smaller differences do not last."""

Paths = Float64[np.ndarray, "E V K Q"]
Series = Int64[np.ndarray, "V"]


@dataclass(frozen=True)
class Choice:
    """A candidate, its best number of training steps, and its MASE there; `kept`: whether it takes part."""

    candidate: Candidate
    steps: int
    mase: float
    kept: bool


class Part(NamedTuple):
    """A candidate's networks with the data they read."""

    candidate: Candidate
    units: Units
    crops: Crops
    nets: tuple[Corrections, ...]

    def paths(self, series: Series, ends: Series | None = None, group: int | None = None) -> Paths:
        """What every network (of a group) expects after the flat rows `ends` (those of the newest values), in original
        units."""
        rows = None if ends is None else torch.from_numpy(ends)
        groups = self.nets if group is None else self.nets[group : group + 1]
        z = forecast(groups, self.crops, torch.from_numpy(series), rows)
        return self.units.transform.of(series).invert(z)

    def over(self, given: Given, units: Units | None = None) -> Part:
        """The same networks over other data, whose units are fitted where none are given."""
        found = units or fit_units(given, self.candidate.transform == "log")
        return self._replace(units=found, crops=crops_of(given, self.crops.sizes, self.candidate, found))


class Job(NamedTuple):
    """One group of networks to train to a planned end, the numbers of steps after which to look, and the seed."""

    part: Part
    group: int
    planned: int
    looks: tuple[int, ...]
    seed: int

    def run(self, tick: Tick) -> Iterator[int]:
        """Train; yields at every look, while the networks hold their averaged weights."""
        drawn = np.random.SeedSequence([self.seed, 2, self.group]).generate_state(1)[0]
        generator = torch.Generator().manual_seed(int(drawn))
        schedule = Schedule(self.planned, batch_for(self.part.crops.sizes))
        if not self.part.candidate.ingredients.averaging:
            schedule = replace(schedule, average=0.0)
        return train_lockstep(self.part.nets[self.group], self.part.crops, schedule, generator, self.looks, tick)


class Judged(NamedTuple):
    """The choices, and of the kept ones together the scaled errors (truth minus quantile) and the MASE."""

    choices: tuple[Choice, ...]
    errors: Quantiles
    mase: float


def make_parts(
    given: Given, sizes: Sizes, candidates: Sequence[Candidate], members: int, seed: int, device: torch.device = CPU
) -> tuple[Part, ...]:
    """Every candidate's data, and its networks at their start, on a device."""
    parts = []
    for candidate in candidates:
        units = fit_units(given, candidate.transform == "log")
        crops = crops_of(given, sizes, candidate, units)
        parts.append(Part(candidate, units, crops, untrained(candidate, crops, members, seed)))
        start = fit_start(crops) if candidate.ingredients.linear_start else flat_start(crops)
        for net in parts[-1].nets:
            net.to(device).start_at(*start)
    return tuple(parts)


def untrained(candidate: Candidate, crops: Crops, members: int, seed: int = 0) -> tuple[Corrections, ...]:
    """Groups of networks that know nothing."""
    sizes = crops.sizes
    units = UNITS if candidate.ingredients.recurrence else 0
    shape = Shape(candidate.cell, units, candidate.width, sizes.linear, crops.extra, sizes.horizon, len(QUANTILES))
    seeds = np.random.SeedSequence([seed, 1]).generate_state(GROUPS * members).reshape(GROUPS, members)
    generators = [[torch.Generator().manual_seed(int(each)) for each in group] for group in seeds]
    return tuple(Corrections(shape, group) for group in generators)


def crops_of(given: Given, sizes: Sizes, candidate: Candidate, units: Units, facts: Facts | None = None) -> Crops:
    """A panel as a candidate reads it; `facts`, where it is the end of a longer one."""
    panel, exogenous = given.panel, None
    if sizes.covariates or given.static.size:
        exogenous = Exogenous(given, units, sizes.back, sizes.horizon)
    features, z = waves(panel.calendar, panel.times), units.transform.apply(panel)
    if not candidate.ingredients.calendar:
        features = features[:, :0]
    facts = facts or facts_of(z, panel.indptr, sizes.lookback, sizes.season, units.difference)
    return Crops(z, panel.indptr, features, sizes, candidate.normal, facts, exogenous)


def train_parts(
    given: Given, sizes: Sizes, choices: tuple[Choice, ...], seed: int, tick: Tick, device: torch.device = CPU
) -> tuple[Part, ...]:
    """The kept candidates, trained on all that is given for as many steps as were chosen."""
    kept = [choice for choice in choices if choice.kept]
    members = members_for(len(kept), kept[0].candidate.ingredients)
    parts = make_parts(given, sizes, [choice.candidate for choice in kept], members, seed, device)
    planned = steps_for(given.panel)
    jobs = [
        Job(part, group, planned, (choice.steps,), seed)
        for part, choice in zip(parts, kept, strict=True)
        for group in range(GROUPS)
    ]
    tick.begin("training", sum(job.looks[-1] for job in jobs))
    in_parallel(lambda job: _finish(job, tick), jobs)
    return parts


def judge(
    folds: tuple[Fold, ...],
    sizes: Sizes,
    candidates: tuple[Candidate, ...],
    seed: int,
    tick: Tick,
    device: torch.device = CPU,
) -> Judged:
    """Train every candidate without the horizons that it is judged by, and look at it as it learns.

    Of two horizons each judges a group of networks of its own, a single one judges both groups.
    """
    judge_of = [0, len(folds) - 1]  # group -> fold
    planned = steps_for(folds[0].given.panel)
    looks = (*(look for look in LOOKS if look < planned), planned)
    trials = [make_parts(fold.known, sizes, candidates, TRIAL, seed, device) for fold in folds]
    everyone = range(len(candidates))
    jobs = [Job(trials[judge_of[g]][n], g, planned, looks, seed) for n in everyone for g in range(GROUPS)]
    tick.begin("choosing", len(jobs) * planned)

    def look_on(job: Job) -> list[Paths]:
        fold = folds[judge_of[job.group]]
        whole = job.part.over(fold.given, job.part.units)  # the rows after the first origin, in its units
        return [whole.paths(*fold.places, group=job.group) for _ in job.run(tick)]

    seen = in_parallel(look_on, jobs)
    paths = [seen[number * GROUPS : (number + 1) * GROUPS] for number in range(len(candidates))]

    def middle(fold: int, look: int, who: Sequence[int]) -> Quantiles:
        """The median over the networks of some candidates that a fold judges."""
        found = [paths[n][g][look] for n in who for g in range(GROUPS) if judge_of[g] == fold]
        return median(np.concatenate(found))

    def mean_mase(look: int, who: Sequence[int]) -> float:
        return float(np.mean([fold.mase(middle(number, look, who)) for number, fold in enumerate(folds)]))

    together = [mean_mase(look, everyone) for look in range(len(looks))]
    best = int(np.argmin(together))
    if together[-1] <= EARLY * together[best]:
        best = len(looks) - 1
    alone = [mean_mase(best, [n]) for n in everyone]
    choices = tuple(
        Choice(candidate, looks[best], mase, kept=mase <= TOLERANCE * min(alone))
        for candidate, mase in zip(candidates, alone, strict=True)
    )
    kept = [n for n in everyone if choices[n].kept]
    errors = [fold.errors(middle(number, best, kept)) for number, fold in enumerate(folds)]
    return Judged(choices, np.concatenate(errors), mean_mase(best, kept))


def median(paths: Paths) -> Quantiles:
    """The median of every quantile over the networks; by sorting, which is quicker than numpy's own for so few."""
    ordered = np.sort(paths, axis=0)
    low, high = (len(ordered) - 1) // 2, len(ordered) // 2
    middle: Quantiles = (ordered[low] + ordered[high]) / 2
    return middle


def _finish(job: Job, tick: Tick) -> None:
    """Train a group to its last look and leave it with its averaged weights."""
    net = job.part.nets[job.group]
    for _ in job.run(tick):
        averaged = {name: weight.clone() for name, weight in net.state_dict().items()}
    net.load_state_dict(averaged)
