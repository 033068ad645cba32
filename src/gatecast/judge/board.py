"""The leaderboard as frozen values: everything a report shows, computed before it is shown."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import median_high

import numpy as np
from jaxtyping import Bool, Float64

from gatecast.data.panel import Panel
from gatecast.forecast.method import Method
from gatecast.forecast.result import Forecast
from gatecast.judge.residuals import Residuals
from gatecast.train.loop import LossCurve


@dataclass(frozen=True)
class Scores:
    """Errors over the scored forecasts, in original units; sMAPE runs from 0 to 200; MASE is None if its scale is 0."""

    rmse: float
    mae: float
    mase: float | None
    smape: float
    count: int


@dataclass(frozen=True)
class Comparison:
    """One-step errors against naive: skill in per cent of RMSE; Diebold-Mariano, two-sided, Holm-adjusted `p`.

    `statistic` and `p` are None where the test is undefined (a constant loss difference).
    """

    skill: float | None
    statistic: float | None
    p: float | None


@dataclass(frozen=True, eq=False)
class FreeRunFacts:
    """How a free run went: |error| and distance from the one-step forecast by step; when it settled or left the range.

    `settled_at` and `left_range_at` are step numbers from 1, or None.
    """

    error: Float64[np.ndarray, "N"]
    divergence: Float64[np.ndarray, "N"]
    settled_at: int | None
    left_range_at: int | None


@dataclass(frozen=True, eq=False)
class Run:
    """One model under one seed; `scores` and `residuals` are of the one-step forecasts.

    `free_run` is None where the model refuses it; `refusal` says why.
    """

    seed: int
    one_step: Forecast
    scores: Scores
    residuals: Residuals
    free_run: Forecast | None
    free_scores: Scores | None
    free_facts: FreeRunFacts | None
    coverage: tuple[tuple[float, float], ...]
    refusal: str
    losses: tuple[LossCurve, ...]
    seconds: float


@dataclass(frozen=True, eq=False)
class Row:
    """A model's place: its runs over seeds, the one shown (median one-step RMSE), the comparison and two sentences.

    `model` is the fitted method of the shown run.
    """

    name: str
    kind: str
    runs: tuple[Run, ...]
    shown: Run
    comparison: Comparison
    verdict: str
    free_verdict: str
    summary: str
    parameters: int
    model: Method

    def spread(self, free: bool = False) -> tuple[float, float, float] | None:
        """Median (of an even number the higher middle), least and greatest RMSE over seeds; None if there is none."""
        chosen = [run.free_scores if free else run.scores for run in self.runs]
        values = [scores.rmse for scores in chosen if scores is not None]
        return (median_high(values), min(values), max(values)) if values else None


@dataclass(frozen=True, eq=False)
class Board:
    """One series' leaderboard, rows sorted by one-step RMSE. `scored` marks the test rows whose target was observed."""

    series: str
    train: Panel
    test: Panel
    scored: Bool[np.ndarray, "N"]
    season: int
    rows: tuple[Row, ...]
    findings: tuple[str, ...]

    def row(self, name: str) -> Row:
        """The row called `name`."""
        return next(row for row in self.rows if row.name == name)


@dataclass(frozen=True, eq=False)
class Leaderboard:
    """Boards of all series that ran, with what is needed to run it again."""

    boards: tuple[Board, ...]
    command: str
    versions: tuple[tuple[str, str], ...]
    settings: tuple[tuple[str, str], ...]
