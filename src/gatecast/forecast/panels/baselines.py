"""Baselines for panels, with the same frames and the same calibrated intervals as the networks."""

from __future__ import annotations

from typing import Any

import numpy as np
from jaxtyping import Float64

from gatecast.errors import SpecError, did_you_mean
from gatecast.forecast.panels.bands import Scores
from gatecast.forecast.panels.candidates import Part, make_parts
from gatecast.forecast.panels.classics import CLASSICS, Classic
from gatecast.forecast.panels.direct import GlobalForecaster
from gatecast.forecast.panels.folds import held_back_folds
from gatecast.forecast.panels.method import GlobalMethod
from gatecast.forecast.panels.rules import candidates_for, sizes_for
from gatecast.forecast.panels.sampling import SamplingForecaster
from gatecast.forecast.panels.sequence import SequenceForecaster
from gatecast.prepare.fill import last_known
from gatecast.prepare.given import Given
from gatecast.train.lockstep import QUANTILES, Tick


class _Rule(GlobalMethod):
    """A point forecast from the rows alone; its intervals come from held-back errors."""

    def _learn(self, given: Given, seed: int, horizons: int, tick: Tick) -> Scores:
        errors = []
        for fold in held_back_folds(given, self.h, seed, horizons):
            paths = [self._onto(given.cut(cut.kept))._paths()[cut.judged] for cut in fold.cuts]
            errors.append(fold.errors(np.concatenate(paths)))
        return Scores(np.concatenate(errors))

    def _paths(self) -> Float64[np.ndarray, "S K Q"]:
        return np.repeat(self._points()[..., None], len(QUANTILES), axis=2)

    def _points(self) -> Float64[np.ndarray, "S K"]:
        raise NotImplementedError


class SeasonalNaive(_Rule):
    """The newest season again and again; a missing row of it is the value last known there.

    >>> from gatecast.data.synthetic import sine
    >>> model = SeasonalNaive(h=4, season=2).fit(sine(40, period=2))
    >>> model.predict()["seasonal_naive"].tolist() == 2 * sine(40, period=2).values[-2:, 0].tolist()
    True
    """

    name = "seasonal_naive"

    def _points(self) -> Float64[np.ndarray, "S K"]:
        panel, season = self.panel_, self.panel_.calendar.season
        rows = np.minimum(np.diff(panel.indptr), season)
        at = panel.indptr[1:, None] - rows[:, None] + np.arange(self.h) % rows[:, None]
        return last_known(panel)[at]


class Drift(_Rule):
    """A line through the first and the last value of every series."""

    name = "drift"

    def _points(self) -> Float64[np.ndarray, "S K"]:
        panel, filled = self.panel_, last_known(self.panel_)
        first, last = filled[panel.indptr[:-1]], filled[panel.indptr[1:] - 1]
        slope = (last - first) / np.maximum(np.diff(panel.indptr) - 1, 1)
        return last[:, None] + slope[:, None] * np.arange(1, self.h + 1)


class GlobalRidge(GlobalForecaster):
    """The closed-form linear forecast from which the networks of `GlobalForecaster` start, alone."""

    name = "global_ridge"

    def _learn(self, given: Given, seed: int, horizons: int, tick: Tick) -> Scores:
        errors = []
        for fold in held_back_folds(given, self.h, seed, horizons):
            part = self._linear(fold.known)
            whole = part.over(given, part.units)
            errors.append(fold.errors(whole.paths(*fold.places, group=0)[0]))
        self.parts_, scores = (self._linear(given),), Scores(np.concatenate(errors))
        told = "linear" + self.ingredients.told()
        self.rules_ = (sizes_for(given, self.h)[1], told, "nothing was chosen", scores.told())
        return scores

    def _linear(self, given: Given) -> Part:
        sizes, _ = sizes_for(given, self.h, self.ingredients)
        candidates, _ = candidates_for(given.panel, self.ingredients)
        part = make_parts(given, sizes, candidates[-1:], 1, 0)[0]
        return part._replace(nets=part.nets[:1])


METHODS: dict[str, type[GlobalMethod]] = {
    each.name: each
    for each in (GlobalForecaster, SamplingForecaster, SequenceForecaster, SeasonalNaive, Drift, GlobalRidge)
}


def global_method(name: str, h: int, **settings: Any) -> GlobalMethod:
    """The method of this name, not yet fitted; SpecError with the nearest name where there is none.

    >>> global_method("drift", 3).h
    3
    """
    if name in CLASSICS:
        return Classic(h, model=name, **settings)
    if name not in METHODS:
        raise SpecError(f"there is no model '{name}' for panels", did_you_mean(name, [*METHODS, *CLASSICS]))
    return METHODS[name](h, **settings)
