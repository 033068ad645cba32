"""One HTML file that holds a whole leaderboard and opens from disk with no network."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import altair as alt

from gatecast.data.panel import time_text
from gatecast.errors import GatecastError
from gatecast.judge.board import Board, Leaderboard, Row
from gatecast.show import charts, wording
from gatecast.show.figures import Explained, add_explained, add_figure
from gatecast.show.files import write_atomic
from gatecast.show.page import render
from gatecast.show.pens import NAIVE, is_baseline, on_page, pens
from gatecast.show.residual_charts import autocorrelation_chart, error_histogram
from gatecast.show.wording import Cell, cell

# the order of the page; each with the reading help under it
FIGURES: tuple[tuple[Callable[[Board], alt.LayerChart], str], ...] = (
    (charts.split_chart, "Every model was fitted on the training span alone."),
    (
        charts.forecast_chart,
        "Each point was forecast from the true history up to the row before it. Shaded: prediction intervals of the "
        "best model. Wide and pale, once they are switched on: free runs.",
    ),
    (charts.free_run_chart, "All from one origin, with no look at the truth after the dashed line."),
    (charts.error_by_step_chart, "Distance between free run and truth, step by step."),
    (charts.divergence_chart, "Distance between a model's free run and its own one-step forecasts, step by step."),
    (charts.loss_chart, "Solid: training; dashed: held back; the dot marks the weights that were kept."),
)
COLUMNS = ("RMSE", "MAE", "MASE", "sMAPE", "Skill", "p (Holm)", "RMSE", "Time", "Parameters")


def report(leaderboard: Leaderboard, path: str | Path, explained: Sequence[Explained] = ()) -> Path:
    """Write the leaderboard as one self-contained HTML page and return its path; raises GatecastError if it cannot.

    `explained`: title, sentence and chart of what the models did; without any the page has no such section.
    """
    if not leaderboard.boards:
        raise GatecastError("a report needs at least one board", "run `leaderboard` on a panel with a series first")
    specs: list[dict[str, Any]] = []
    boards = [_section(board, i, specs) for i, board in enumerate(leaderboard.boards, start=1)]
    facts = {
        "kind": "report",
        "title": _title(leaderboard),
        "sentence": wording.sentence,
        "columns": COLUMNS,
        "boards": boards,
        "run": leaderboard,
        "explained": add_explained(explained, specs),
        "again": (*leaderboard.settings, *leaderboard.versions),
    }
    return write_atomic(Path(path), render("report.html", specs, **facts))


def _title(leaderboard: Leaderboard) -> str:
    boards = leaderboard.boards
    if len(boards) == 1:
        return f"{boards[0].test.target}, {boards[0].series}"
    return f"{boards[0].test.target}, {len(boards)} series"


def _section(board: Board, number: int, specs: list[dict[str, Any]]) -> dict[str, Any]:
    """What the page says about one board; its charts are added to `specs`."""
    figures = [add_figure(chart, help_text, specs) for chart, help_text in _figures(board)]
    drawn = pens(board)
    rows = [
        _row(board, row) | {"pen": {"colour": on_page(drawn[row.name].colour), "dash": drawn[row.name].dash}}
        for row in board.rows
    ]
    levels = sorted({level for row in board.rows for level, _ in row.shown.coverage})
    return {
        "anchor": f"series-{number}",
        "board": board,
        "answer": wording.answer(board),
        "best": rows[0],
        "runner_up": wording.runner_up(board),
        "seeds": max(len(row.runs) for row in board.rows),
        "rows": rows,
        "levels": [f"{level:g} %" for level in levels],
        "covered": [row | {"coverage": _coverage(row["row"], levels)} for row in rows if row["row"].shown.coverage],
        "figures": figures,
        "error_figures": [add_figure(chart, help_text, specs) for chart, help_text in _error_figures(board)],
        "clock": "Time" if board.test.times.dtype.kind == "i" else "Date",
    }


def _figures(board: Board) -> Iterator[tuple[alt.LayerChart, str]]:
    """The charts this board has, each with its reading help."""
    missing: set[object] = set()
    if not any(row.shown.free_run for row in board.rows):
        missing |= {charts.free_run_chart, charts.error_by_step_chart, charts.divergence_chart}
    if not any(curve.train for row in board.rows for curve in row.shown.losses):
        missing.add(charts.loss_chart)
    for draw, help_text in FIGURES:
        if draw in missing:
            continue
        yield draw(board), help_text


def _error_figures(board: Board) -> Iterator[tuple[alt.LayerChart, str]]:
    """The charts of one-step errors, without autocorrelation where the test span is too short for it."""
    if any(len(row.shown.residuals.autocorrelation) for row in board.rows):
        yield autocorrelation_chart(board), "Shaded: where 95 % of the bars of white noise lie."
    yield error_histogram(board), "How many errors lie where; the dashed line is no error."


def _row(board: Board, row: Row) -> dict[str, Any]:
    """One line of the leaderboard as cells, and what the page says about the model's errors."""
    shown, scores, found = row.shown, row.shown.scores, row.shown.residuals
    decimals, free = wording.decimals_for(board.rows[0].shown.scores.rmse), wording.free_decimals(board)
    number, middle, loose = wording.number, row.spread(), row.spread(free=True)
    skill, p = row.comparison.skill, row.comparison.p
    worst = found.worst
    return {
        "row": row,
        "baseline": is_baseline(row),
        "naive": row.name == NAIVE,
        "cells": [
            cell(middle and middle[0], wording.median(row, decimals), wording.seed_range(row, decimals)),
            cell(scores.mae, number(scores.mae, decimals)),
            cell(scores.mase, number(scores.mase, 3)),
            cell(scores.smape, number(scores.smape, 3)),
            cell(skill, wording.percent(skill)),
            cell(p, wording.probability(p)),
            cell(loose and loose[0], wording.median(row, free, free=True), wording.seed_range(row, free, free=True)),
            cell(shown.seconds, wording.duration(shown.seconds)),
            cell(row.parameters or None, f"{row.parameters:,}" if row.parameters else wording.NONE),
        ],
        "free_shown": cell(*_free_rmse(row, free)),
        "errors": wording.errors(found, decimals),
        "worst": [
            (time_text(time), [cell(float(value), number(float(value), decimals)) for value in values])
            for time, *values in zip(worst.times, worst.truth, worst.forecast, worst.error, strict=True)
        ],
    }


def _free_rmse(row: Row, decimals: int) -> tuple[float | None, str]:
    """Of the free run that is drawn."""
    value = row.shown.free_scores.rmse if row.shown.free_scores else None
    return value, wording.number(value, decimals)


def _coverage(row: Row, levels: list[float]) -> list[Cell]:
    got = dict(row.shown.coverage)
    return [cell(got.get(level), f"{got[level]:.1f} %" if level in got else wording.NONE) for level in levels]
