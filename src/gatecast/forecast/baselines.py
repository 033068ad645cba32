"""Baselines with the forecasters' contract: what every network has to beat."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
from jaxtyping import Float64, Int64

from gatecast.data.panel import Panel
from gatecast.errors import check_choice
from gatecast.forecast.method import Held, Method, held_back_rows
from gatecast.prepare.fill import fill
from gatecast.prepare.scale import Equivariance
from gatecast.prepare.split import held_back, require_rows
from gatecast.prepare.window import past_matrix
from gatecast.train.loop import Watch

AVERAGED = 5
HOLDOUT = 0.1

Series = Float64[np.ndarray, "T"]
Rows = Int64[np.ndarray, "N"]


@dataclass(frozen=True)
class Rule:
    """A baseline: rows it needs, the number it learns from y, and the path y-hat [N, K] on from each origin."""

    describe: str
    need: Callable[[int], int]
    learn: Callable[[Series, int], float]
    path: Callable[[Series, Rows, int, int, float], Float64[np.ndarray, "N K"]]


def _last(y: Series, at: Rows, steps: int, season: int, learned: float) -> Float64[np.ndarray, "N K"]:
    return np.repeat(y[at, None], steps, axis=1)


def _drift(y: Series, at: Rows, steps: int, season: int, learned: float) -> Float64[np.ndarray, "N K"]:
    return y[at, None] + learned * np.arange(1, steps + 1)


def _season(y: Series, at: Rows, steps: int, season: int, learned: float) -> Float64[np.ndarray, "N K"]:
    return past_matrix(y[:, None], at, season)[:, np.arange(steps) % season, 0]  # [N, K]


def _average(y: Series, at: Rows, steps: int, season: int, learned: float) -> Float64[np.ndarray, "N K"]:
    path = past_matrix(y[:, None], at, AVERAGED)[..., 0]  # [N, 5 + k]
    for _ in range(steps):
        path = np.concatenate([path, path[:, -AVERAGED:].mean(axis=1, keepdims=True)], axis=1)
    return path[:, AVERAGED:]  # [N, K]


def _slope(y: Series, season: int) -> float:
    return float(y[-1] - y[0]) / max(1, len(y) - 1)


def _nothing(y: Series, season: int) -> float:
    return 0.0


RULES: dict[str, Rule] = {
    "naive": Rule("repeats the last value", lambda m: 1, _nothing, _last),
    "drift": Rule("the last value plus the mean step of the training span", lambda m: 2, _slope, _drift),
    "seasonal_naive": Rule("repeats the value one season ago", lambda m: m, _nothing, _season),
    "moving_average": Rule(f"the mean of the last {AVERAGED} values", lambda m: AVERAGED, _nothing, _average),
}


class Baseline(Method):
    """A rule without training: naive, drift, seasonal_naive or moving_average.

    Source: Hyndman & Athanasopoulos, Forecasting: Principles and Practice, 3rd ed., section 5.2.

    >>> from gatecast.data.synthetic import ramp
    >>> Baseline("drift").fit(ramp(50)).predict(h=2).mean
    array([50., 51.])
    """

    kind: ClassVar[Literal["baseline", "network"]] = "baseline"

    def __init__(self, name: str, season: int | None = None) -> None:
        check_choice(name, RULES, "baseline")
        self.name = name
        self.season = season

    @property
    def equivariance(self) -> Equivariance:
        """Baselines follow every shift and scale."""
        return "shift and scale"

    @property
    def description(self) -> str:
        """The rule in words."""
        return RULES[self.name].describe

    def _learn(self, panel: Panel, seed: int, watch: Watch) -> Panel:
        self.season_ = self.season or panel.calendar.season
        require_rows(panel, RULES[self.name].need(self.season_), f"'{self.name}'")
        panel = panel.columns_as((panel.target,))
        self.learned_ = RULES[self.name].learn(fill(panel).values[:, 0], self.season_)
        return panel

    def _ahead(self, values: Float64[np.ndarray, "T C"], anchors: Rows) -> Float64[np.ndarray, "N"]:
        return self._onward(values, anchors, 1)[:, 0]

    def _onward(self, values: Float64[np.ndarray, "T C"], origins: Rows, steps: int) -> Float64[np.ndarray, "N steps"]:
        return RULES[self.name].path(values[:, 0], origins, steps, self.season_, self.learned_)

    def _held(self, panel: Panel) -> Held | None:
        held, rule = held_back(panel.rows, HOLDOUT), RULES[self.name]
        if panel.rows - held < max(2, rule.need(self.season_)):
            return None
        values, at = held_back_rows(panel, held, 1)
        y = values[:, 0]
        learned = rule.learn(y[: panel.rows - held], self.season_)
        return y[at + 1], rule.path(y, at, 1, self.season_, learned)[:, 0]
