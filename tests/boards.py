"""A made-up leaderboard for tests of charts and reports: several seeds, bands, a refused free run, awkward names."""

from __future__ import annotations

from typing import Literal

import numpy as np
import pandas as pd

from gatecast.data.calendar import Calendar, Times
from gatecast.data.panel import Panel, series_panel
from gatecast.forecast.baselines import Baseline
from gatecast.forecast.result import Band, Forecast
from gatecast.judge.board import Board, Comparison, FreeRunFacts, Leaderboard, Row, Run, Scores
from gatecast.judge.residuals import residuals
from gatecast.train.loop import LossCurve

ATTACK = "</script><script>alert(1)</script>"
AWKWARD_TARGET = "High.[adj]:'x' \"y\" \\ <b>&amp;\u2028"
AWKWARD_MODELS = (ATTACK, "<!-- gru:50x4 -->", "datum['model'].x:Q", "ünï\u2028code {{ 7*7 }}")
PLAIN_MODELS = ("gru:50x4", "lstm:50x4", "bilstm:32", "lstm:50-gru:50")


def leaderboard(*boards: Board) -> Leaderboard:
    """Boards with a command, versions and settings."""
    return Leaderboard(
        boards=boards or (board(),),
        command="gatecast run prices.csv --target High --test-from 2017-01-01 --seeds 3 -o out/",
        versions=(("gatecast", "0.1.0"), ("torch", "2.9.0")),
        settings=(("epochs", "50"), ("lookback", "60"), ("fill", "error")),
    )


def awkward() -> Board:
    """A board whose series, target, models, findings and sentences are hostile."""
    return board(series=f"IBM {ATTACK}", target=AWKWARD_TARGET, models=AWKWARD_MODELS, finding=f"<img src=x> {ATTACK}")


def board(
    series: str = "IBM",
    target: str = "High",
    models: tuple[str, ...] = PLAIN_MODELS,
    rows: tuple[int, int] = (120, 40),
    times: Literal["days", "counter"] = "days",
    finding: str = "2 cells of Volume are missing and were filled by the last value",
) -> Board:
    """A board of one series: naive, ridge, and networks under three seeds; the last network refuses to run free."""
    rng = np.random.default_rng(7)
    whole = _panel(series, target, sum(rows), times, rng)
    cut = whole.times[rows[0] - 1]
    train, test = (whole.until(int(cut)), whole.after(int(cut))) if times == "counter" else (
        whole.until(pd.Timestamp(cut)), whole.after(pd.Timestamp(cut))
    )  # fmt: skip
    scored = np.ones(test.rows, dtype=bool)
    scored[5] = False
    names = ("naive", "ridge", *models)
    made = [_row(name, train, test, rng, place, refuses=name == names[-1]) for place, name in enumerate(names)]
    ordered = sorted(made, key=lambda row: (row.spread() or (0.0,))[0])
    return Board(series, train, test, scored, 1, tuple(ordered), (f"{whole.rows} rows, {whole.span}", finding))


def _panel(series: str, target: str, rows: int, kind: str, rng: np.random.Generator) -> Panel:
    times: Times = np.arange(1, rows + 1)
    if kind == "days":
        times = pd.date_range("2016-06-01", periods=rows, freq="B").to_numpy().astype("datetime64[ns]")
    walk = 150 + np.cumsum(rng.normal(0, 1.2, rows))
    return series_panel(walk[:, None], times, (target,), Calendar("step" if kind == "counter" else "B"), series)


def _row(name: str, train: Panel, test: Panel, rng: np.random.Generator, place: int, refuses: bool = False) -> Row:
    baseline = name in ("naive", "ridge")
    runs = tuple(_run(name, train, test, rng, place, seed, refuses) for seed in range(1 if baseline else 3))
    ordered = sorted(runs, key=lambda run: run.scores.rmse)
    comparison = (
        Comparison(None, None, None)
        if name == "naive"
        else Comparison(3.1 - 4 * place, -1.9, min(1.0, 0.0004 * 9**place))
    )
    return Row(
        name=name,
        kind="baseline" if baseline else "network",
        runs=runs,
        shown=ordered[len(ordered) // 2],
        comparison=comparison,
        verdict=f"not better than repeating yesterday's value: RMSE 0.9 % higher ({name})",
        free_verdict=ordered[0].refusal if refuses else "level with a flat line; settled to a constant from step 31",
        summary=f"{name}\n  layer 1   LSTM(1 -> 50)   10,400 parameters",
        parameters=0 if baseline else 71_051,
        model=Baseline("naive"),
    )


def _run(name: str, train: Panel, test: Panel, rng: np.random.Generator, place: int, seed: int, refuses: bool) -> Run:
    truth = test.values[:, 0]
    before = np.concatenate([train.values[-1:, 0], truth[:-1]])
    mean = before + (0 if name == "naive" else rng.normal(0, 0.3 * place, len(truth)))
    origins = np.concatenate([train.times[-1:], test.times[:-1]])
    bands = tuple(Band(level, mean - width, mean + width) for level, width in ((80.0, 1.6), (95.0, 2.5)))
    one_step = Forecast(name, "s", test.target, "one_step", origins, test.times, mean, bands)
    path = before[0] + (0 if name == "naive" else np.cumsum(rng.normal(0.1 * place, 0.3, len(truth))))
    free = Forecast(
        name, "s", test.target, "free_run", np.repeat(origins[:1], len(truth)), test.times, path + 0 * truth
    )
    facts = FreeRunFacts(np.abs(path - truth), np.abs(path - mean), 31, None)
    return Run(
        seed=seed,
        one_step=one_step,
        scores=_scores(mean, truth),
        residuals=residuals(test.times, truth, mean, np.arange(test.rows) != 5),
        free_run=None if refuses else free,
        free_scores=None if refuses else _scores(path, truth),
        free_facts=None if refuses else facts,
        coverage=((80.0, 81.2), (95.0, 93.9)),
        refusal="it predicts High only and reads 3 columns, so it cannot feed on itself" if refuses else "",
        losses=() if name in ("naive", "ridge") else _losses(name, place),
        seconds=12.4 * place,
    )


def _scores(mean: np.ndarray, truth: np.ndarray) -> Scores:
    error = mean - truth
    mae = float(np.abs(error).mean())
    return Scores(float(np.sqrt((error**2).mean())), mae, mae / 1.1 if mae > 0.5 else None, mae / 1.5, len(truth) - 1)


def _losses(name: str, place: int) -> tuple[LossCurve, ...]:
    curve = tuple(float(loss) for loss in 0.3 / place * np.exp(-np.arange(50) / 9) + 0.002 * place)
    return (LossCurve(name, curve, tuple(1.3 * loss for loss in curve), 44, "the last epoch was reached"),)
