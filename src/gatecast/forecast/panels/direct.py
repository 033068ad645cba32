"""`GlobalForecaster`: one recurrent model for all series of a panel, a correction of a closed-form linear forecast."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any, SupportsIndex

import numpy as np
from jaxtyping import Float64, Int64
from torch import nn

from gatecast.data.calendar import calendar_of
from gatecast.forecast.panels.bands import Scores
from gatecast.forecast.panels.candidates import Judged, Part, judge, median, train_parts
from gatecast.forecast.panels.folds import Fold, held_back_folds
from gatecast.forecast.panels.networks import NetworkMethod
from gatecast.forecast.panels.rules import against_rival, candidates_for, ingredients_without, rules_for, sizes_for
from gatecast.forecast.panels.sampling import SamplingForecaster
from gatecast.nn.device import find_device
from gatecast.prepare.given import Given
from gatecast.prepare.split import Cut
from gatecast.prepare.stretches import INSIDE
from gatecast.prepare.units import check_sign
from gatecast.train.lockstep import Tick

RIVAL_SHARE = 1.0
"""The recursive network forecasts where its MASE on the held-back rows is below this share of the direct ones'."""
PLACES = 200_000
"""Horizon steps that are forecast at once where nothing is learned anew: bounds memory."""


class GlobalForecaster(NetworkMethod):
    """Direct forecasts of `h` steps for every series of a panel, from one global model.

    At each anchor the model reads the whole look-back window of a series, relative to its newest level, the paths of a
    bank of exponential smoothers, and covariates. A ridge on them gives the first forecast; a GRU or LSTM over the
    anchors learns its correction and the quantiles around it under the pinball loss. Candidates (logarithm or not, GRU
    or LSTM) and the number of training steps are chosen on the last two horizons of every series (one, where series
    are short); then the kept ones are trained again on everything, and the forecast is the median over all networks.
    A recursive network (see `SamplingForecaster`) forecasts in their place where it was better there.
    Intervals are the networks' own quantiles, calibrated on the held-back horizons.

    `without`: ingredients that are switched off, by name (see `rules.Ingredients`). `freq`: the frequency that the data
    must have, as a pandas alias ("MS", "30min", "W-SUN"; without its anchor any will do) or for integer time "step" or
    its step. `season`: the seasonal period in rows, where it is not the calendar's (integer time has none). `past`,
    `future`: covariates known up to the cut-off, and beyond it. `device`: where networks train and forecast. After
    `fit`: `panel_`; `rules_`, what was derived from the data, and why; `choices_`, `parts_`, `scores_`.

    >>> from gatecast.data.synthetic import sine
    >>> model = GlobalForecaster(h=4).fit(sine(60, period=12))
    >>> list(model.predict(level=80).columns)
    ['unique_id', 'ds', 'Gatecast', 'Gatecast-lo-80', 'Gatecast-hi-80']
    """

    name = "Gatecast"

    free_: SamplingForecaster | None = None
    parts_: tuple[Part, ...] = ()

    def __init__(
        self,
        h: SupportsIndex,
        *,
        without: Sequence[str] = (),
        freq: str | int | None = None,
        **settings: Any,
    ) -> None:
        super().__init__(h, **settings)
        self.ingredients = ingredients_without((without,) if isinstance(without, str) else without)
        self.freq, self.calendar = freq, None if freq is None else calendar_of(freq)

    @classmethod
    def auto(cls, freq: str | int, h: SupportsIndex, **settings: Any) -> GlobalForecaster:
        """The model for this frequency, whose `rules` can be read before there are data.

        >>> print(GlobalForecaster.auto(freq="MS", h=12).rules().splitlines()[0])
        monthly: season 12, reads 36 rows at each of 24 anchors
        """
        return cls(h, freq=freq, **settings)

    def settings(self) -> dict[str, Any]:
        """What the model was told, beside its horizon."""
        return {"without": self.ingredients.off, "freq": self.freq, **super().settings()}

    def networks(self) -> list[nn.Module]:
        """What was trained, the recursive network where it was chosen."""
        return self.free_.networks() if self.free_ else [net for part in self.parts_ for net in part.nets]

    def rules(self) -> str:
        """What follows from the frequency (without one, from the calendar that was fitted), and why, one rule to a
        line; where data decide, by what. `rules_` and `summary()` say what was decided."""
        calendar = self.calendar or self.fitted().panel.calendar
        if self.season is not None:
            calendar = replace(calendar, period=self.season)
        return "\n".join(rules_for(calendar, self.h, len(self.covariates.past), self.ingredients))

    def summary(self) -> str:
        """What was derived from the data, and what was trained."""
        series = len(self.fitted().panel)
        count = len(self.free_.nets_) if self.free_ else sum(len(net.skip) for part in self.parts_ for net in part.nets)
        weights = sum(p.numel() for net in self.networks() for p in net.parameters())
        lines = [
            f"{series} series, {self.h} steps ahead",
            *self.rules_,
            f"{count} networks, {weights:,} weights",
        ]
        return "\n".join(lines)

    def _learn(self, given: Given, seed: int, horizons: int, tick: Tick) -> Scores:
        device = find_device(self.device)
        sizes, why_sizes = sizes_for(given, self.h, self.ingredients)
        candidates, why_candidates = candidates_for(given.panel, self.ingredients)
        folds = held_back_folds(given, self.h, seed, horizons)
        judged = judge(folds, sizes, candidates, seed, tick, device)
        free, errors, mase = None, judged.errors, judged.mase
        longest = min(int(np.diff(fold.known.panel.indptr).max()) for fold in folds)
        rival = self.ingredients.rival and longest > INSIDE  # fewer rows hold no step to learn from
        if rival and not against_rival(sizes.season, self.h, given.past):
            free = SamplingForecaster(self.h, **super().settings())
            errors, mase = free.judged(folds, seed, tick)
        self.choices_, self.free_, self.parts_ = judged.choices, None, ()
        if free and mase < RIVAL_SHARE * judged.mase:
            free.train(given, seed, tick)
            self.free_ = free
        else:
            errors = judged.errors
            self.parts_ = train_parts(given, sizes, judged.choices, seed, tick, device)
        scores, told = Scores(errors), told_of(judged, folds, mase if free else None, self.free_ is not None)
        self.rules_ = (why_sizes, why_candidates, told, scores.told())
        return scores

    def _onto(self, given: Given) -> GlobalForecaster:
        log = any(part.units.transform.log for part in self.parts_) or (self.free_ and self.free_.log)
        check_sign(given.panel.values[:, 0], bool(log), given.panel.source)
        model = super()._onto(given)
        model.parts_ = tuple(part.over(given) for part in self.parts_)
        model.free_ = self.free_ and self.free_.onto(given)
        return model

    def _later(self, given: Given, cuts: Sequence[Cut]) -> Iterator[Float64[np.ndarray, "V K Q"]]:
        """Where every series is known at the first origin, all of them are read in place, many at a time."""
        if self.free_ or not (cuts[0].kept > 0).all():
            yield from super()._later(given, cuts)
            return
        parts = tuple(part.over(given, part.units) for part in self.parts_)
        at_once = max(1, PLACES // (self.h * len(given.panel)))
        for begin in range(0, len(cuts), at_once):
            some = cuts[begin : begin + at_once]
            series = np.concatenate([cut.judged for cut in some])
            ends = np.concatenate([(given.panel.indptr[:-1] + cut.kept - 1)[cut.judged] for cut in some])
            yield from np.split(_middle(parts, series, ends), np.cumsum([len(cut.judged) for cut in some])[:-1])

    def _paths(self) -> Float64[np.ndarray, "S K Q"]:
        return self.free_.quantiles() if self.free_ else _middle(self.parts_, np.arange(len(self.given_.panel)))


def _middle(
    parts: tuple[Part, ...], series: Int64[np.ndarray, "V"], ends: Int64[np.ndarray, "V"] | None = None
) -> Float64[np.ndarray, "V K Q"]:
    """The median of every quantile over all networks."""
    paths = [part.paths(series, ends) for part in parts]
    return median(np.concatenate(paths))


def told_of(judged: Judged, folds: tuple[Fold, ...], free: float | None, chosen: bool) -> str:
    """What competed, and what was chosen."""
    found = ", ".join(
        f"{c.candidate.name} {c.mase:.3f} after {c.steps} steps{'' if c.kept else ' (left out)'}"
        for c in judged.choices
    )
    times = f"{len(folds)} times " if len(folds) > 1 else ""
    walk = "" if free is None else f", recursive {free:.3f} ({'chosen' if chosen else 'left out'})"
    return f"MASE on the last {times}{folds[0].rows} rows of every series: {found}, together {judged.mase:.3f}{walk}"
