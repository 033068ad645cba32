"""Fit every model and every baseline, forecast the test span both ways, and compare."""

from __future__ import annotations

import copy
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from importlib.metadata import version
from typing import Any

import numpy as np
from jaxtyping import Bool, Float64

from gatecast.data.calendar import Calendar, infer_calendar
from gatecast.data.panel import Panel, When
from gatecast.data.read import as_panel
from gatecast.errors import DataError, ForecastError, SpecError
from gatecast.forecast.baselines import RULES, Baseline
from gatecast.forecast.forecaster import Forecaster
from gatecast.forecast.method import Method
from gatecast.forecast.result import Forecast
from gatecast.forecast.ridge import NEED as RIDGE_ROWS
from gatecast.forecast.ridge import Ridge
from gatecast.judge.board import Board, Comparison, Leaderboard, Row, Run, Scores
from gatecast.judge.freerun import free_run_facts
from gatecast.judge.metrics import coverage, score
from gatecast.judge.residuals import residuals
from gatecast.judge.significance import diebold_mariano, holm
from gatecast.judge.verdict import free_run_verdict, one_step_verdict
from gatecast.nn import native
from gatecast.prepare.fill import fill
from gatecast.prepare.split import split
from gatecast.train.loop import Watch
from gatecast.train.members import in_parallel

PACKAGES = ("gatecast", "torch", "numpy")
YARDSTICK = "the yardstick"
Fitted = tuple[Run, Method]


@dataclass(frozen=True, eq=False)
class Trial:
    """One series cut in two, and how its models are judged."""

    train: Panel
    test: Panel
    whole: Panel
    season: int
    early_start: bool

    @property
    def truth(self) -> Float64[np.ndarray, "N"]:
        """The test span's target; a missing value repeats the last one and is not scored."""
        return _target(self.whole, self.train.rows)[self.train.rows :]

    @property
    def past(self) -> Float64[np.ndarray, "T"]:
        """The training span's target without gaps."""
        return _target(self.train, self.train.rows)

    @property
    def scored(self) -> Bool[np.ndarray, "N"]:
        """Test rows whose target was observed."""
        return ~np.isnan(self.test.values[:, 0])


def leaderboard(
    data: Any,
    test_from: When,
    models: Sequence[str | Method] = ("auto",),
    *,
    seeds: int | Sequence[int] = 1,
    season: int | None = None,
    early_start: bool = False,
    watch: Watch | None = None,
) -> Leaderboard:
    """Judge models beside every baseline on the rows from `test_from` on, one step ahead and as a free run.

    `models`: specs such as "lstm:50x4", "auto", or unfitted forecasters. Every network is trained once for each of
    `seeds` (a count, or the seeds themselves). `season` replaces the calendar's m. `early_start` lets free runs
    start one row early, as the notebook did: the first value is then that of the last training row, shown as the
    first test day. A baseline that lacks rows is left out. Several series run one after another.
    Cut-offs and names are checked before anything is trained.

    >>> from gatecast.data.synthetic import ramp
    >>> board = leaderboard(ramp(60), "10 rows", models=[]).boards[0]
    >>> round(board.row("drift").shown.scores.rmse, 6)
    0.0
    """
    panel, watch = as_panel(data), watch or Watch()
    chosen = range(seeds) if isinstance(seeds, int) else [int(seed) for seed in seeds]
    if not len(chosen):
        raise SpecError(f"seeds={seeds}, expected at least one")
    methods = _methods(models)
    trials = [trial_of(series, test_from, season, early_start) for series in panel]
    boards = tuple(_board(trial, methods, list(chosen), watch) for trial in trials)
    settings = (("test from", str(test_from)), ("seeds", ", ".join(map(str, chosen))), ("fill", panel.fill))
    return Leaderboard(boards, "", versions(), settings)


def versions() -> tuple[tuple[str, str], ...]:
    """What a result depends on besides data and settings."""
    return (*((name, version(name)) for name in PACKAGES), ("recurrent layers", native.describe()))


def trial_of(series: Panel, test_from: When, season: int | None = None, early_start: bool = False) -> Trial:
    """Cut one series for a trial; raises DataError where either side would be empty."""
    train, test = split(series, test_from)
    if np.isnan(test.values[:, 0]).all():
        raise DataError(f"{series.source}: no value of '{series.target}' is known in the test span", "test earlier")
    calendar = _calendar(train, season)
    train, test, series = (replace(part, calendar=calendar) for part in (train, test, series))
    return Trial(train, test, series, calendar.season, early_start)


def _calendar(train: Panel, season: int | None) -> Calendar:
    """The rule of the training span's own times (the file's, where they have none), with the season asked for."""
    try:
        calendar = infer_calendar(train.times)
    except DataError:
        calendar = train.calendar
    return replace(calendar, period=season)


def _target(panel: Panel, known: int) -> Float64[np.ndarray, "T"]:
    return fill(panel.columns_as((panel.target,)), known).values[:, 0]


def _methods(models: Sequence[str | Method]) -> list[Method]:
    """Forecasters from specs; names must differ, because rows are found by name."""
    methods = [Forecaster(model) if isinstance(model, str) else model for model in models]
    names = [*RULES, Ridge.name, *(method.name for method in methods)]
    twice = {name for name in names if names.count(name) > 1}
    if set(names[len(RULES) + 1 :]) & {*RULES, Ridge.name}:
        raise SpecError("baselines are always on the leaderboard", "name networks only")
    if twice:
        raise SpecError(f"two models are called {', '.join(sorted(twice))}", "leave one out")
    return methods


def _baselines(trial: Trial) -> list[Method]:
    """Every baseline that has enough rows to learn from (seasonal naive: where there is a season)."""
    names = [name for name in RULES if name != "seasonal_naive" or trial.season > 1]
    rules = [Baseline(name, trial.season) for name in names if RULES[name].need(trial.season) <= trial.train.rows]
    return [*rules, *([Ridge()] if trial.train.rows >= RIDGE_ROWS else [])]


def _board(trial: Trial, models: list[Method], seeds: list[int], watch: Watch) -> Board:
    """Every baseline once and every model once per seed; rows by one-step RMSE."""
    runs = {m.name: [_run(m, trial, watch, 0)] for m in _baselines(trial)}
    runs |= {m.name: list(in_parallel(partial(_run, m, trial, watch), seeds)) for m in models}
    shown = {name: _median_run(pairs) for name, pairs in runs.items()}
    compared = _compare({name: run for name, (run, _) in shown.items()}, trial)
    naive = shown["naive"][0]
    rows = [_row(shown[name], [run for run, _ in runs[name]], compared[name], naive, trial) for name in runs]
    rows.sort(key=lambda row: row.shown.scores.rmse)
    series = trial.train.ids[0]
    return Board(series, trial.train, trial.test, trial.scored, trial.season, tuple(rows), findings(trial))


def _compare(shown: dict[str, Run], trial: Trial) -> dict[str, Comparison]:
    """Every model against naive, the p-values adjusted for their number."""
    naive = shown["naive"]
    tests = {
        name: diebold_mariano(_errors(run, trial), _errors(naive, trial)) if name != "naive" else None
        for name, run in shown.items()
    }
    adjusted = holm([test[1] if test else None for test in tests.values()])
    return {
        name: Comparison(_skill(shown[name], naive), test[0] if test else None, p)
        for (name, test), p in zip(tests.items(), adjusted, strict=True)
    }


def _row(shown: Fitted, runs: list[Run], comparison: Comparison, naive: Run, trial: Trial) -> Row:
    """A model's row, with its two sentences."""
    run, method = shown
    network = method if isinstance(method, Forecaster) else None
    return Row(
        name=method.name,
        kind=method.kind,
        runs=tuple(runs),
        shown=run,
        comparison=comparison,
        verdict=YARDSTICK if run is naive else one_step_verdict(comparison, trial.train.calendar),
        free_verdict=free_run_verdict(runs, run, naive),
        summary=network.summary() if network else method.name,
        parameters=network.parameters if network else 0,
        model=method,
    )


def findings(trial: Trial) -> tuple[str, ...]:
    """What the data are, in sentences."""
    whole = trial.whole
    missing = whole.calendar.missing(whole.times)
    return (
        f"{whole.rows} rows of {', '.join(whole.columns)}, {whole.span}, {whole.calendar.label}",
        *(() if missing or whole.calendar.holes(whole.times) else ("no row is missing by the calendar",)),
        f"training span {trial.train.span} ({trial.train.rows} rows), test span {trial.test.span} "
        f"({trial.test.rows} rows, {int(trial.scored.sum())} scored); season m = {trial.season}",
        *whole.notes,
    )


def _run(method: Method, trial: Trial, watch: Watch, seed: int) -> Fitted:
    """Fit a copy of `method`, forecast the test span both ways, score."""
    started = time.perf_counter()
    fitted = copy.copy(method).fit(trial.train, seed=seed, watch=watch)
    one = fitted.one_step(trial.whole)
    refusal, free = "", None
    try:
        free = _free_run(fitted, trial)
    except ForecastError as refused:
        refusal = refused.message
    run = Run(
        seed=seed,
        one_step=one,
        scores=_scores(one, trial),
        residuals=residuals(trial.test.times, trial.truth, one.mean, trial.scored, trial.season),
        free_run=free,
        free_scores=_scores(free, trial) if free else None,
        free_facts=free_run_facts(trial.truth, free.mean, one.mean, trial.past) if free else None,
        coverage=coverage(trial.truth, one.bands, trial.scored),
        refusal=refusal,
        losses=fitted.curves_ if isinstance(fitted, Forecaster) else (),
        seconds=time.perf_counter() - started,
    )
    return run, fitted


def _free_run(fitted: Method, trial: Trial) -> Forecast:
    """From the end of the training span; with `early_start` from one row before it."""
    free = fitted.free_run(trial.test.rows, times=trial.test.times)
    if not trial.early_start:
        return free
    origin = np.array([trial.train.rows - 2])
    origins = np.repeat(trial.train.times[-2:-1], trial.test.rows)
    return replace(free, mean=fitted.free_runs(None, origin, trial.test.rows)[0], origins=origins)


def _scores(forecast: Forecast, trial: Trial) -> Scores:
    return score(trial.truth[trial.scored], forecast.mean[trial.scored], trial.past, trial.season)


def _errors(run: Run, trial: Trial) -> Float64[np.ndarray, "N"]:
    return (trial.truth - run.one_step.mean)[trial.scored]


def _skill(run: Run, naive: Run) -> float | None:
    return 100 * (1 - run.scores.rmse / naive.scores.rmse) if naive.scores.rmse > 0 else None


def _median_run(pairs: list[Fitted]) -> Fitted:
    """The run whose one-step RMSE is the median (of an even number the higher middle)."""
    return sorted(pairs, key=lambda pair: pair[0].scores.rmse)[len(pairs) // 2]
