"""`SequenceForecaster`: recurrent networks that read every series once, carry their state and forecast at every row."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, SupportsIndex

import numpy as np
from jaxtyping import Float64
from torch import nn

from gatecast.forecast.panels.bands import Scores
from gatecast.forecast.panels.candidates import median
from gatecast.forecast.panels.folds import held_back_folds
from gatecast.forecast.panels.method import counted
from gatecast.forecast.panels.networks import NetworkMethod
from gatecast.forecast.panels.sequence_nets import judge, quantiles, reading_for, train_nets
from gatecast.nn.device import find_device
from gatecast.nn.sequence import one_way
from gatecast.nn.spec import parse
from gatecast.prepare.given import Given
from gatecast.prepare.sequences import Sequences
from gatecast.prepare.split import Cut
from gatecast.prepare.units import check_sign
from gatecast.train.lockstep import Tick

SEQUENCE, MEMBERS = "lstm:32", 4


class SequenceForecaster(NetworkMethod):
    """Forecasts of `h` steps from networks that read each series once, from its first row to its last.

    `spec`: the recurrent stack, such as "lstm:32", "gru:64x2" or "lstm:32-gru:16"; "+" adds another. The forecast is
    the median over `members` networks of each. A stack in both directions is a SpecError. After every row a head says
    all steps and quantiles, and all rows of all series are learned from under the pinball loss, in stretches whose
    state is carried on. Training starts at a closed-form linear forecast; held-back rows choose whether values are
    read as logarithms (then one that is not positive counts as missing) and the number of training steps, and they
    calibrate the intervals. A backtest without refit reads every series once for all origins. `past`, `future`,
    `season` and `device` are as in `GlobalForecaster`. After `fit`: `panel_`, `nets_`, `reading_`, `rules_`,
    `scores_`. Source: Wen
    et al. (2017), "A Multi-Horizon Quantile Recurrent Forecaster", with the inputs and scales of `prepare.sequences`.

    >>> from gatecast.data.synthetic import sine
    >>> model = SequenceForecaster(h=4, spec="gru:8", members=1).fit(sine(60, period=12))
    >>> list(model.predict(level=80).columns)
    ['unique_id', 'ds', 'Gatecast-sequence', 'Gatecast-sequence-lo-80', 'Gatecast-sequence-hi-80']
    """

    name = "Gatecast-sequence"

    def __init__(
        self, h: SupportsIndex, spec: str = SEQUENCE, *, members: SupportsIndex = MEMBERS, **settings: Any
    ) -> None:
        super().__init__(h, **settings)
        self.spec, self.members = spec, counted("members", members)
        self.stacks = tuple(one_way(stack) for stack in parse(spec))

    def settings(self) -> dict[str, Any]:
        """What the model was told, beside its horizon."""
        return {"spec": self.spec, "members": self.members, **super().settings()}

    def networks(self) -> list[nn.Module]:
        """What was trained."""
        return list(self.nets_)

    def summary(self) -> str:
        """What was derived from the data, and what was trained."""
        series, weights = len(self.fitted().panel), sum(p.numel() for net in self.nets_ for p in net.parameters())
        lines = [f"{series} series, {self.h} steps ahead", *self.rules_]
        return "\n".join([*lines, f"{len(self.nets_)} networks {self.spec}, {weights:,} weights"])

    def _learn(self, given: Given, seed: int, horizons: int, tick: Tick) -> Scores:
        device = find_device(self.device)
        folds = held_back_folds(given, self.h, seed, horizons)
        judged = judge(given, folds, self.stacks, seed, tick, device)
        self.reading_ = reading_for(given, self.h, judged.log)
        sequences = Sequences(given, self.reading_)
        stacks = list(self.stacks * self.members)
        self.nets_ = train_nets(sequences, stacks, judged.looks[-1], seed, tick, device)
        scores, lags = Scores(judged.errors), self.reading_.lags
        read = f"{given.panel.calendar.label}: season {sequences.season}, {len(lags)} lags up to {lags[-1]} rows"
        self.rules_ = (read, *judged.told, scores.told())
        return scores

    def _onto(self, given: Given) -> SequenceForecaster:
        check_sign(given.panel.values[:, 0], self.reading_.log, given.panel.source)
        return super()._onto(given)

    def _paths(self) -> Float64[np.ndarray, "S K Q"]:
        panel = self.given_.panel
        sequences = Sequences(self.given_, self.reading_)
        return median(quantiles(self.nets_, sequences, np.arange(len(panel)), panel.indptr[1:] - 1))

    def _later(self, given: Given, cuts: Sequence[Cut]) -> Iterator[Float64[np.ndarray, "V K Q"]]:
        """Every series is read once: what is known at a row depends on no later one."""
        series = np.concatenate([cut.judged for cut in cuts])
        ends = np.concatenate([(given.panel.indptr[:-1] + cut.kept - 1)[cut.judged] for cut in cuts])
        paths = median(quantiles(self.nets_, Sequences(given, self.reading_), series, ends))
        yield from np.split(paths, np.cumsum([len(cut.judged) for cut in cuts])[:-1])
