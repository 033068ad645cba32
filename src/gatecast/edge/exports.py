"""A leaderboard as files for other programs: forecasts.csv and metrics.json (docs/formats.md describes both)."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict
from importlib.metadata import version
from typing import Any

import numpy as np
import pandas as pd

from gatecast.data.panel import Panel
from gatecast.edge.cells import cell, csv_text, frame_csv, time_json
from gatecast.forecast.forecaster import Forecaster
from gatecast.forecast.panels.direct import GlobalForecaster
from gatecast.forecast.panels.method import GlobalMethod
from gatecast.forecast.panels.sequence import SequenceForecaster
from gatecast.forecast.result import Band, Forecast
from gatecast.judge.backtest import Backtest
from gatecast.judge.board import Board, Leaderboard, Row, Run, Scores
from gatecast.judge.residuals import Residuals
from gatecast.judge.tuning import Tried, Tuned
from gatecast.train.loop import LossCurve

SCHEMA = 1
LEVELS = (80.0, 95.0)
COLUMNS = (
    *("unique_id", "ds", "cutoff", "mode", "step", "model", "seed", "mean"),
    *(f"{side}_{level:g}" for level in LEVELS for side in ("lo", "hi")),
    *("truth", "scored"),
)

ModelFiles = Mapping[tuple[str, str], str]
"""(series, model) -> file name, as it stands in metrics.json."""


def forecasts_csv(leaderboard: Leaderboard) -> str:
    """Every forecast of the test spans in long form: all series, models, seeds and modes."""
    lines = (
        line
        for board in leaderboard.boards
        for row in board.rows
        for run in row.runs
        for forecast in (run.one_step, run.free_run)
        if forecast is not None
        for line in _forecast_rows(board, row, run.seed, forecast)
    )
    return csv_text(COLUMNS, lines)


def forecast_csv(forecast: Forecast) -> str:
    """One forecast beyond the data, with the columns of `Forecast.frame`."""
    return frame_csv(forecast.frame())


def forecast_json(forecast: Forecast) -> str:
    """One forecast beyond the data as a JSON document."""
    bands = {f"{side}_{band.level:g}": getattr(band, side) for band in forecast.bands for side in ("lo", "hi")}
    records = [
        {
            "ds": time_json(forecast.times[i]),
            "cutoff": time_json(forecast.origins[i]),
            "mean": _number(forecast.mean[i]),
            **{name: _number(values[i]) for name, values in bands.items()},
        }
        for i in range(len(forecast))
    ]
    about = {"model": forecast.model, "series": forecast.series, "target": forecast.target, "mode": forecast.mode}
    return dumps({"schema": SCHEMA, "gatecast": version("gatecast"), **about, "forecast": records})


def panel_json(model: GlobalMethod, frame: pd.DataFrame) -> str:
    """Forecasts of many series beyond the data as a JSON document."""
    records = [
        {"unique_id": row[0], "ds": time_json(time), **dict(zip(frame.columns[2:], map(_number, row[2:]), strict=True))}
        for row, time in zip(frame.itertuples(index=False), frame["ds"].to_numpy(), strict=True)
    ]
    about = {"model": model.name, "target": model.panel_.target}
    return dumps({"schema": SCHEMA, "gatecast": version("gatecast"), **about, "forecast": records})


def backtest_json(found: Backtest) -> str:
    """A backtest's scores, by model and by step, and what was concluded, as a JSON document."""
    tables = {"models": found.scores(), "steps": found.scores(["step"])}
    return dumps(
        {
            "schema": SCHEMA,
            "gatecast": version("gatecast"),
            "h": found.h,
            "findings": list(found.told),
            **{name: [_figures(record) for record in table.to_dict("records")] for name, table in tables.items()},
            "skills": [asdict(skill) | {"verdict": skill.verdict} for skill in found.skills()],
            "coverages": [
                asdict(each) | {"within": each.within, "verdict": each.verdict} for each in found.coverages()
            ],
        }
    )


def tuned_json(found: Tuned) -> str:
    """What was tried, what it gained and what is recommended, as a JSON document."""
    return dumps(
        {
            "schema": SCHEMA,
            "gatecast": version("gatecast"),
            "trials": [_tried(each) for each in found.trials],
            "best": _tried(found.best),
            "auto": _tried(found.auto),
            "held_back": found.held_back,
            "gain": found.gain._asdict(),
            "recommended": found.recommended,
            "verdict": found.verdict,
        }
    )


def _tried(trial: Tried) -> dict[str, Any]:
    return {"params": dict(trial.params), "error": _number(trial.error), "given_up": trial.given_up}


def _figures(record: dict[Any, Any]) -> dict[str, Any]:
    """The same with NaN as null."""
    return {str(name): _number(value) if isinstance(value, float) else value for name, value in record.items()}


def model_json(model: Forecaster | GlobalForecaster | SequenceForecaster) -> str:
    """What `fit` made, as a JSON document."""
    head = {"schema": SCHEMA, "gatecast": version("gatecast"), "model": model.name}
    if isinstance(model, GlobalForecaster | SequenceForecaster):
        return dumps({**head, "series": len(model.panel_), "target": model.panel_.target, "rules": list(model.rules_)})
    document = {
        **head,
        "series": model.history_.ids[0],
        "target": model.history_.target,
        "parameters": model.parameters,
        "summary": model.summary().splitlines(),
        "losses": [_losses(curve) for curve in model.curves_],
    }
    return dumps(document)


def metrics_json(leaderboard: Leaderboard, files: ModelFiles) -> str:
    """Everything that was measured, as strict JSON."""
    versions = dict(leaderboard.versions)
    document = {
        "schema": SCHEMA,
        "gatecast": versions.get("gatecast"),
        "command": leaderboard.command,
        "settings": dict(leaderboard.settings),
        "versions": versions,
        "series": [_series(board, files) for board in leaderboard.boards],
    }
    return dumps(document)


def dumps(document: Mapping[str, Any]) -> str:
    """Strict JSON: NaN or an infinity that was overlooked raises ValueError instead of being written."""
    return json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def _forecast_rows(board: Board, row: Row, seed: int, forecast: Forecast) -> Iterator[list[str]]:
    """The lines of one forecast; `step` counts from its cut-off."""
    bands = {band.level: band for band in forecast.bands}
    edges = [side for level in LEVELS for side in _edges(bands.get(level))]
    truth = board.test.values[:, 0]
    for i in range(len(forecast)):
        yield [
            board.series,
            cell(forecast.times[i]),
            cell(forecast.origins[i]),
            forecast.mode,
            str(i + 1 if forecast.mode == "free_run" else 1),
            row.name,
            str(seed),
            cell(forecast.mean[i]),
            *("" if side is None else cell(side[i]) for side in edges),
            cell(truth[i]),
            str(bool(board.scored[i])).lower(),
        ]


def _edges(band: Band | None) -> tuple[np.ndarray | None, np.ndarray | None]:
    return (band.lo, band.hi) if band else (None, None)


def _series(board: Board, files: ModelFiles) -> dict[str, Any]:
    return {
        "name": board.series,
        "target": board.test.target,
        "calendar": board.train.calendar.alias,
        "season": board.season,
        "train": _span(board.train),
        "test": {**_span(board.test), "scored": int(board.scored.sum())},
        "findings": list(board.findings),
        "models": [_model(row, files.get((board.series, row.name))) for row in board.rows],
    }


def _span(panel: Panel) -> dict[str, Any]:
    return {"rows": panel.rows, "from": time_json(panel.times[0]), "to": time_json(panel.times[-1])}


def _model(row: Row, file: str | None) -> dict[str, Any]:
    comparison = row.comparison
    return {
        "name": row.name,
        "kind": row.kind,
        "parameters": row.parameters,
        "file": file,
        "verdict": row.verdict,
        "free_verdict": row.free_verdict,
        "comparison": {
            "skill": _number(comparison.skill),
            "statistic": _number(comparison.statistic),
            "p": _number(comparison.p),
        },
        "shown_seed": row.shown.seed,
        "runs": [_run(run) for run in row.runs],
    }


def _run(run: Run) -> dict[str, Any]:
    free = None
    if run.free_scores is not None:
        facts = run.free_facts
        free = {
            "scores": _scores(run.free_scores),
            "settled_at": facts.settled_at if facts else None,
            "left_range_at": facts.left_range_at if facts else None,
        }
    return {
        "seed": run.seed,
        "seconds": _number(run.seconds),
        "one_step": {"scores": _scores(run.scores), "residuals": _residuals(run.residuals)},
        "coverage": [{"level": level, "share": _number(share)} for level, share in run.coverage],
        "free_run": free,
        "refusal": run.refusal or None,
        "losses": [_losses(curve) for curve in run.losses],
    }


def _residuals(found: Residuals) -> dict[str, Any]:
    return {"mean": _number(found.mean), "autocorrelation": _numbers(found.autocorrelation), "band": found.band}


def _losses(curve: LossCurve) -> dict[str, Any]:
    return {
        "name": curve.name,
        "train": _numbers(curve.train),
        "valid": _numbers(curve.valid),
        "kept_epoch": curve.kept_epoch,
        "ending": curve.ending,
    }


def _scores(scores: Scores) -> dict[str, Any]:
    names = ("rmse", "mae", "mase", "smape")
    return {**{name: _number(getattr(scores, name)) for name in names}, "count": scores.count}


def _numbers(values: Iterable[float]) -> list[float | None]:
    return [_number(value) for value in values]


def _number(value: float | None) -> float | None:
    """The number, or None where JSON has none."""
    return float(value) if value is not None and math.isfinite(value) else None
