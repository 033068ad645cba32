"""One global model of a panel that does not fit into memory, trained by one process or by many.

What is chosen, the linear start and the scores that calibrate the intervals come from a sample of series; the networks
are then trained on crops of all series, which are read a few at a time.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple, SupportsIndex

import numpy as np
import torch
from torch import Tensor

from gatecast.data.store import Block, ParquetPanel
from gatecast.errors import SpecError
from gatecast.forecast.panels.bands import Scores
from gatecast.forecast.panels.candidates import Choice, Judged, judge, make_parts
from gatecast.forecast.panels.covariates import on_calendar
from gatecast.forecast.panels.direct import GlobalForecaster, told_of
from gatecast.forecast.panels.folds import Fold, held_back_folds
from gatecast.forecast.panels.method import counted
from gatecast.forecast.panels.rules import (
    GROUPS,
    Candidate,
    Ingredients,
    batch_for,
    candidates_for,
    members_for,
    sizes_for,
)
from gatecast.nn.device import find_device
from gatecast.prepare.crops import Crop, Crops, Sizes
from gatecast.prepare.given import Given
from gatecast.prepare.strata import ROUND, Strata, crops_at, strata
from gatecast.train.lockstep import QUANTILES, Schedule, Tick
from gatecast.train.loop import Memory, Store
from gatecast.train.team import Team, team
from gatecast.train.together import Course, Kept, train_together

SAMPLE_ROWS = 100_000
"""Rows, at most, of the series by which candidates are judged."""
SHARED = 32
"""Crops in a batch, per network, are a multiple of this, so that so many processes can share them."""
JUDGED = ("choices", "errors", "mase")


def fit_large(
    model: GlobalForecaster,
    data: str | Path | ParquetPanel,
    *,
    steps: SupportsIndex,
    batch: SupportsIndex | None = None,
    seed: int = 0,
    watch: Tick | None = None,
    store: Store | None = None,
) -> GlobalForecaster:
    """Fit `model` to a panel on disk: its networks learn from all series, `steps` steps long; returns the model.

    `data`: a Parquet file, or a folder of them, of `unique_id, ds, y` (see `ParquetPanel`). A sample of series that
    fits into memory chooses the candidates, gives the linear start and calibrates the intervals; it is what the model
    remembers: give `predict` the data to forecast. No recursive network competes. Every step draws `batch` crops for
    every network (the rule's number, rounded up to a multiple of 32), one from each of so many parts of the series.
    Under `torchrun` the parts are shared by all processes, and each returns the same model. `store` keeps a checkpoint
    every 50 steps, and the loss of every step: a fit that was killed goes on from there with the same numbers. Raises
    DataError for data that cannot be used, SpecError for a model with covariates.
    """
    panel = data if isinstance(data, ParquetPanel) else ParquetPanel(data)
    named = (*model.covariates.past, *model.covariates.future)
    if named:
        raise SpecError(f"a large fit reads the target alone, and the model names {', '.join(named)}", "leave it out")
    with team() as us:
        if us.size == 1:
            us = Team(device=str(find_device(model.device)))
        fitting = _Large(model, replace(model.ingredients, rival=False), panel, us, watch or Tick(), seed)
        fitting.fit(counted("steps", steps), None if batch is None else counted("batch", batch), store or Memory())
    return model.to(model.device)


class _Rounds:
    """The crops of every step, for every group of every part, from series that are read once a round."""

    def __init__(self, model: GlobalForecaster, draws: Strata, team: Team) -> None:
        self._model, self._draws, self._own = model, draws, team.share(draws.parts)
        self._number, self._crops = -1, list[Crops]()

    def __call__(self, step: int) -> list[Crop]:
        """This process's crops of a step."""
        if step // ROUND != self._number:
            self._number = step // ROUND
            given = given_in(self._model, self._draws.round(self._number, self._own), self._draws.store.source)
            self._crops = [part.over(given).crops for part in self._model.parts_ for _ in range(GROUPS)]
        shape = (len(self._crops), len(self._model.parts_[0].nets[0].skip))
        which, where = self._draws.places(step, shape, self._own)
        return [crops_at(*each) for each in zip(self._crops, which, where, strict=True)]


def given_in(model: GlobalForecaster, block: Block, source: str) -> Given:
    """Series that were read, on the model's calendar."""
    panel = block.panel(source, model.panel_.calendar)
    return model.covariates.given(on_calendar(panel, model.panel_.calendar), model.h, None)


class _Large(NamedTuple):
    """A fit in progress."""

    model: GlobalForecaster
    ingredients: Ingredients
    panel: ParquetPanel
    team: Team
    tick: Tick
    seed: int

    def fit(self, steps: int, batch: int | None, store: Store) -> None:
        """Choose on a sample, train on everything, and settle the model."""
        model, seed = self.model, self.seed
        sample = self.panel.sample(SAMPLE_ROWS, seed).panel(self.panel.source)
        model.static_ = model.covariates.statics(None)
        model.given_ = given = model.given_of(sample, model.static_)
        sizes, why_sizes = sizes_for(given, model.h, self.ingredients)
        candidates, why_candidates = candidates_for(given.panel, self.ingredients)
        each = batch or -(-batch_for(sizes) // SHARED) * SHARED
        self.team.share(each)
        key = self._key(steps, each)
        state = store.read(key)
        folds = held_back_folds(given, model.h, seed)
        carried = self._judged(folds, sizes, candidates, state.tensors if state else None)
        choices = _choices(candidates, carried["choices"])
        kept = [choice.candidate for choice in choices if choice.kept]
        members = members_for(len(kept), self.ingredients)
        model.free_, model.parts_ = None, make_parts(given, sizes, kept, members, seed)
        self.tick.begin("training", steps)
        curve = train_together(
            [net for part in model.parts_ for net in part.nets],
            _Rounds(model, strata(self.panel, each, members, seed), self.team),
            Course(sizes, Schedule(steps, each), self.team, self.tick),
            Kept(store, key, state, carried),
        )
        errors = carried["errors"].numpy()
        model.scores_ = Scores(errors)
        told = told_of(Judged(choices, errors, float(carried["mase"])), folds, None, False)
        told += f"; judged on {len(sample)} of {self.panel.series} series"
        told += f", trained {steps} steps of {each} crops on all: loss {np.mean(curve.train[-ROUND:]):.4f} at the end"
        model.choices_ = tuple(replace(each, steps=steps) if each.kept else each for each in choices)
        model.rules_ = (why_sizes, why_candidates, told, model.scores_.told())

    def _judged(
        self,
        folds: tuple[Fold, ...],
        sizes: Sizes,
        candidates: tuple[Candidate, ...],
        known: dict[str, Tensor] | None,
    ) -> dict[str, Tensor]:
        """What the first process finds out about the candidates, as tensors that all have."""
        count = sum(len(fold.truth) for fold in folds)
        shapes = ((len(candidates), 3), (count, self.model.h, len(QUANTILES)), ())
        found = {name: torch.zeros(shape, dtype=torch.float64) for name, shape in zip(JUDGED, shapes, strict=True)}
        if known:
            found = {name: known[name] for name in JUDGED}
        elif self.team.leads:
            judged = judge(folds, sizes, candidates, self.seed, self.tick, torch.device(self.team.device))
            rows = [[choice.steps, choice.mase, choice.kept] for choice in judged.choices]
            values = (rows, judged.errors, judged.mase)
            found = {
                name: torch.as_tensor(each, dtype=torch.float64) for name, each in zip(JUDGED, values, strict=True)
            }
        return {name: self.team.from_first(each) for name, each in found.items()}

    def _key(self, steps: int, batch: int) -> str:
        """A name for this very fit: its checkpoint is of use for no other. The data are known by what is kept of every
        row group and by all values of the sample."""
        model, panel, sample = self.model, self.panel, self.model.panel_
        settings = (model.h, model.season, self.ingredients.off, model.freq, steps, batch, self.seed, torch.__version__)
        digest = hashlib.sha256(repr(settings).encode())
        for part in (*panel.index, sample.times, sample.values):
            digest.update(np.ascontiguousarray(part).tobytes())
        return digest.hexdigest()[:16]


def _choices(candidates: Sequence[Candidate], rows: Tensor) -> tuple[Choice, ...]:
    return tuple(
        Choice(candidate, int(steps), mase, bool(kept))
        for candidate, (steps, mase, kept) in zip(candidates, rows.tolist(), strict=True)
    )
