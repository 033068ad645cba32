"""The networks that compete for a panel: built at a linear start, trained in groups, judged on a held-back horizon."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float64, Int64

from gatecast.data.panel import Panel
from gatecast.errors import DataError
from gatecast.forecast.rules import LOOKS, UNITS, Candidate, batch_for, steps_for
from gatecast.nn.correction import Corrections, Shape
from gatecast.prepare.crops import Crops, Sizes
from gatecast.prepare.scale import SeriesTransform, error_scale, fit_series_transform
from gatecast.prepare.split import horizon_after, without_last
from gatecast.prepare.waves import waves
from gatecast.train.lockstep import Linear, Schedule, fit_start, forecast, train_lockstep
from gatecast.train.members import in_parallel

GROUPS = 2
"""Networks of a candidate are trained in so many groups, side by side; those of a group in lockstep."""
TRIAL = 1
"""Networks in a group while candidates are judged."""
TOLERANCE = 1.05
"""Candidates within 5 % of the best are kept."""
EARLY = 1.03
"""Training ends early only where that is better by more than 3 %: a whole schedule has annealed its rate."""
FEWEST_ROWS = 4
"""A series that is judged keeps at least so many rows to learn from."""
JUDGED = 2000
"""At most so many series judge the candidates."""

Paths = Float64[np.ndarray, "E V K"]
Targets = Float64[np.ndarray, "V K"]


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
    transform: SeriesTransform
    crops: Crops
    nets: tuple[Corrections, ...]

    def paths(self, group: int, series: Int64[np.ndarray, "V"]) -> Paths:
        """What every network of a group expects after the end of `series`, in original units."""
        z = forecast(self.nets[group], self.crops, torch.from_numpy(series))
        return self.transform.of(series).invert(z)

    def over(self, panel: Panel, transform: SeriesTransform | None = None) -> Part:
        """The same networks over other data, whose transform is fitted where none is given."""
        found = transform or fit_series_transform(panel, self.transform.log)
        return self._replace(transform=found, crops=crops_of(panel, self.crops.sizes, self.candidate, found))


class Job(NamedTuple):
    """One group of networks to train to a planned end, the numbers of steps after which to look, and the seed."""

    part: Part
    group: int
    planned: int
    looks: tuple[int, ...]
    seed: int

    def run(self) -> Iterator[int]:
        """Train; yields at every look, while the networks hold their averaged weights."""
        drawn = np.random.SeedSequence([self.seed, 2, self.group]).generate_state(1)[0]
        generator = torch.Generator().manual_seed(int(drawn))
        schedule = Schedule(self.planned, batch_for(self.part.crops.sizes))
        return train_lockstep(self.part.nets[self.group], self.part.crops, schedule, generator, self.looks)


class Judged(NamedTuple):
    """The choices, the scaled errors (truth minus forecast) of the kept ones together, and of how many horizons."""

    choices: tuple[Choice, ...]
    errors: Targets
    horizons: int


class Fold(NamedTuple):
    """What is known before a held-back horizon, the series that are judged, their truths and their scales."""

    known: Panel
    judged: Int64[np.ndarray, "V"]
    truth: Targets
    scale: Float64[np.ndarray, "V"]

    def errors(self, paths: Targets) -> Targets:
        """Truth minus forecast over the scale."""
        return (self.truth - paths) / self.scale[:, None]

    def mase(self, paths: Targets) -> float:
        """Mean over series of the mean absolute scaled error; a series without a truth is left out."""
        known = np.isfinite(self.truth)
        judged = known.any(axis=1)
        errors = np.where(known, np.nan_to_num(np.abs(self.errors(paths)), nan=np.inf), 0.0)
        return float(np.mean((errors.sum(axis=1) / known.sum(axis=1).clip(1))[judged])) if judged.any() else 0.0


def members_for(kept: int) -> int:
    """Networks in a group of each of `kept` candidates: 4, 8 or 6 networks vote."""
    return 2 if kept < 3 else 1


def make_parts(
    panel: Panel, sizes: Sizes, candidates: Sequence[Candidate], members: int, seed: int
) -> tuple[Part, ...]:
    """Every candidate's data, and its networks at their linear start; what candidates have in common is made once."""
    made: dict[tuple[str, str], tuple[SeriesTransform, Crops, Linear]] = {}
    for candidate in candidates:
        kind = (candidate.transform, candidate.normal)
        if kind not in made:
            transform = fit_series_transform(panel, candidate.transform == "log")
            crops = crops_of(panel, sizes, candidate, transform)
            made[kind] = (transform, crops, fit_start(crops))
    parts = []
    for candidate in candidates:
        transform, crops, start = made[candidate.transform, candidate.normal]
        parts.append(Part(candidate, transform, crops, untrained(candidate, crops, members, seed)))
        for net in parts[-1].nets:
            net.start_at(*start)
    return tuple(parts)


def untrained(candidate: Candidate, crops: Crops, members: int, seed: int = 0) -> tuple[Corrections, ...]:
    """Groups of networks that know nothing."""
    sizes = crops.sizes
    shape = Shape(candidate.cell, UNITS, candidate.width, sizes.linear, crops.extra, sizes.horizon)
    seeds = np.random.SeedSequence([seed, 1]).generate_state(GROUPS * members).reshape(GROUPS, members)
    generators = [[torch.Generator().manual_seed(int(each)) for each in group] for group in seeds]
    return tuple(Corrections(shape, group) for group in generators)


def crops_of(panel: Panel, sizes: Sizes, candidate: Candidate, transform: SeriesTransform) -> Crops:
    """A panel as a candidate reads it."""
    features = waves(panel.calendar, panel.times)
    return Crops(transform.apply(panel), panel.indptr, features, sizes, candidate.normal)


def train_parts(panel: Panel, sizes: Sizes, choices: tuple[Choice, ...], seed: int) -> tuple[Part, ...]:
    """The kept candidates, trained on all of `panel` for as many steps as were chosen."""
    kept = [choice for choice in choices if choice.kept]
    members = members_for(len(kept))
    parts = make_parts(panel, sizes, [choice.candidate for choice in kept], members, seed)
    planned = steps_for(panel)
    jobs = [
        Job(part, group, planned, (choice.steps,), seed)
        for part, choice in zip(parts, kept, strict=True)
        for group in range(GROUPS)
    ]
    in_parallel(_finish, jobs)
    return parts


def judge(panel: Panel, sizes: Sizes, candidates: tuple[Candidate, ...], seed: int) -> Judged:
    """Train every candidate without the horizons that it is judged by, and look at it as it learns.

    Where half of the series are long enough, each group of networks is judged by a horizon of its own, the last one
    or the one before it; else both by the last.
    """
    folds = [_fold(panel, sizes, window, seed) for window in (1, 2)]
    if not len(folds[0].judged):
        longest = int(np.diff(panel.indptr).max())
        raise DataError(
            f"{panel.source}: the longest series has {longest} rows, too few to hold back {sizes.horizon} and learn",
            f"forecast at most {max(1, longest - FEWEST_ROWS)} steps, or give longer series",
        )
    judge_of = [0, 1]  # group -> fold
    if 2 * len(folds[1].judged) < len(folds[0].judged):
        folds, judge_of = folds[:1], [0, 0]
    planned = steps_for(panel)
    looks = (*(look for look in LOOKS if look < planned), planned)
    trials = [make_parts(fold.known, sizes, candidates, TRIAL, seed) for fold in folds]
    everyone = range(len(candidates))
    jobs = [Job(trials[judge_of[g]][n], g, planned, looks, seed) for n in everyone for g in range(GROUPS)]
    judged = [folds[each].judged for each in judge_of]
    seen = in_parallel(lambda job: [job.part.paths(job.group, judged[job.group]) for _ in job.run()], jobs)
    paths = [seen[number * GROUPS : (number + 1) * GROUPS] for number in range(len(candidates))]

    def middle(fold: int, look: int, who: Sequence[int]) -> Targets:
        """The median over the networks of some candidates that a fold judges."""
        found = [paths[n][g][look] for n in who for g in range(GROUPS) if judge_of[g] == fold]
        return np.median(np.concatenate(found), axis=0)

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
    return Judged(choices, np.concatenate(errors), len(folds))


def _fold(panel: Panel, sizes: Sizes, window: int, seed: int) -> Fold:
    for least in (2 * sizes.season, sizes.season + 1, FEWEST_ROWS):
        known, judged = without_last(panel, sizes.horizon, max(least, FEWEST_ROWS), window)
        if len(judged):
            break
    if len(judged) > JUDGED:
        judged = np.sort(np.random.default_rng([seed, 3]).choice(judged, JUDGED, replace=False))
    truth = horizon_after(panel, judged, sizes.horizon, window)
    return Fold(known, judged, truth, error_scale(known)[judged])


def _finish(job: Job) -> None:
    """Train a group to its last look and leave it with its averaged weights."""
    net = job.part.nets[job.group]
    for _ in job.run():
        averaged = {name: weight.clone() for name, weight in net.state_dict().items()}
    net.load_state_dict(averaged)
