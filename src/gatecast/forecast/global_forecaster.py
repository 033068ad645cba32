"""`GlobalForecaster`: one recurrent model for all series of a panel, a correction of a closed-form linear forecast."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float64, Int64

from gatecast.errors import DataError
from gatecast.forecast.bands import Scores
from gatecast.forecast.candidates import GROUPS, Choice, Part, judge, train_parts
from gatecast.forecast.global_method import GlobalMethod
from gatecast.forecast.rules import candidates_for, sizes_for
from gatecast.prepare.given import Given
from gatecast.prepare.split import Cut
from gatecast.train.lockstep import Tick


class GlobalForecaster(GlobalMethod):
    """Direct forecasts of `h` steps for every series of a panel, from one global model.

    At each anchor the model reads the whole look-back window of a series, relative to its newest level, the paths of a
    bank of exponential smoothers, and covariates. A ridge on them gives the first forecast; a GRU or LSTM over the
    anchors learns its correction and the quantiles around it under the pinball loss. Candidates (logarithm or not, GRU
    or LSTM) and the number of training steps are chosen on the last two horizons of every series (one, where series
    are short); then the kept ones are trained again on everything, and the forecast is the median over all networks.
    Intervals are the networks' own quantiles, calibrated on the held-back horizons.

    `season`: the seasonal period in rows, where it is not the calendar's (integer time has none). `past`, `future`:
    covariates known up to the cut-off, and beyond it. After `fit`: `panel_`; `rules_`, what was derived from the data,
    and why; `choices_`, `parts_`, `scores_`.

    >>> from gatecast.data.synthetic import sine
    >>> model = GlobalForecaster(h=12).fit(sine(200, period=12))
    >>> list(model.predict(level=80).columns)
    ['unique_id', 'ds', 'Gatecast', 'Gatecast-lo-80', 'Gatecast-hi-80']
    """

    name = "Gatecast"

    def summary(self) -> str:
        """What was derived from the data, and what was trained."""
        series = len(self.fitted().panel)
        networks = [net for part in self.parts_ for net in part.nets]
        count = sum(len(net.skip) for net in networks)
        weights = sum(p.numel() for net in networks for p in net.parameters())
        lines = [f"{series} series, {self.h} steps ahead", *self.rules_, f"{count} networks, {weights:,} weights"]
        return "\n".join(lines)

    def _learn(self, given: Given, seed: int, horizons: int, tick: Tick) -> Scores:
        sizes, why_sizes = sizes_for(given, self.h)
        candidates, why_candidates = candidates_for(given.panel)
        choices, errors, judged = judge(given, sizes, candidates, seed, horizons, tick)
        self.choices_, self.parts_ = choices, train_parts(given, sizes, choices, seed, tick)
        scores = Scores(errors)
        self.rules_ = (why_sizes, why_candidates, _told(choices, self.h, judged), scores.told())
        return scores

    def _onto(self, given: Given) -> GlobalForecaster:
        if any(part.units.transform.log for part in self.parts_) and (given.panel.values[:, 0] < 0).any():
            raise DataError(
                f"{given.panel.source} has negative values, and the model learned positive ones", "fit again"
            )
        model = super()._onto(given)
        model.parts_ = tuple(part.over(given) for part in self.parts_)
        return model

    def _rolling(self, given: Given, first: Cut) -> GlobalForecaster:
        """Learn at the first origin; where every series is known there, later origins read the whole panel in place."""
        super()._rolling(given, first)
        if (first.kept > 0).all():
            self.whole_ = tuple(part.over(given, part.units) for part in self.parts_)
        return self

    def _at(self, given: Given, cut: Cut) -> tuple[Float64[np.ndarray, "V K Q"], Float64[np.ndarray, "V"]]:
        if not hasattr(self, "whole_"):
            return super()._at(given, cut)
        ends = (given.panel.indptr[:-1] + cut.kept - 1)[cut.judged]
        return _middle(self.whole_, cut.judged, ends), self.whole_[0].units.error[cut.judged]

    def _paths(self) -> Float64[np.ndarray, "S K Q"]:
        return _middle(self.parts_, np.arange(len(self.given_.panel)))


def _middle(
    parts: tuple[Part, ...], series: Int64[np.ndarray, "V"], ends: Int64[np.ndarray, "V"] | None = None
) -> Float64[np.ndarray, "V K Q"]:
    """The median of every quantile over all networks."""
    paths = [part.paths(group, series, ends) for part in parts for group in range(GROUPS)]
    return np.median(np.concatenate(paths), axis=0)


def _told(choices: tuple[Choice, ...], h: int, horizons: int) -> str:
    found = ", ".join(
        f"{c.candidate.name} {c.mase:.3f} after {c.steps} steps{'' if c.kept else ' (left out)'}" for c in choices
    )
    return f"MASE on the last {f'{horizons} times ' if horizons > 1 else ''}{h} rows of every series: {found}"
