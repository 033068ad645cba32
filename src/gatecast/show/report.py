"""One HTML file that holds a whole leaderboard and opens from disk with no network."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import altair as alt

from gatecast.errors import GatecastError
from gatecast.judge.board import Board, Leaderboard, Row
from gatecast.show import charts, wording
from gatecast.show.files import write_atomic
from gatecast.show.page import add_figure, render
from gatecast.show.pens import NAIVE, is_baseline, pens

# the order of the page; each with the reading help under it
FIGURES: tuple[tuple[Callable[[Board], alt.LayerChart], str], ...] = (
    (charts.split_chart, "Every model was fitted on the training span alone."),
    (
        charts.forecast_chart,
        "Each point was forecast from the true history up to the row before it. Shaded: the prediction intervals.",
    ),
    (charts.free_run_chart, "All from one origin, with no look at the truth after the dashed line."),
    (charts.error_by_step_chart, "Distance between free run and truth, step by step."),
    (charts.divergence_chart, "Distance between a model's free run and its own one-step forecasts, step by step."),
    (charts.loss_chart, "Solid: training; dashed: held back; the dot marks the weights that were kept."),
)


def report(leaderboard: Leaderboard, path: str | Path) -> Path:
    """Write the leaderboard as one self-contained HTML page and return its path; raises GatecastError if it cannot."""
    if not leaderboard.boards:
        raise GatecastError("a report needs at least one board", "run `leaderboard` on a panel with a series first")
    specs: list[dict[str, Any]] = []
    boards = [_section(board, i, specs) for i, board in enumerate(leaderboard.boards, start=1)]
    facts = {
        "kind": "report",
        "title": _title(leaderboard),
        "sentence": wording.sentence,
        "boards": boards,
        "run": leaderboard,
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
    rows = [_row(board, row) | {"pen": drawn[row.name]} for row in board.rows]
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
        "covered": [row | {"cells": _coverage(row["row"], levels)} for row in rows if row["row"].shown.coverage],
        "figures": figures,
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


def _row(board: Board, row: Row) -> dict[str, Any]:
    """One line of the leaderboard as text."""
    shown, scores = row.shown, row.shown.scores
    decimals, free = wording.decimals_for(board.rows[0].shown.scores.rmse), wording.free_decimals(board)
    return {
        "row": row,
        "baseline": is_baseline(row),
        "naive": row.name == NAIVE,
        "rmse": wording.median(row, decimals),
        "rmse_range": wording.seed_range(row, decimals),
        "mae": wording.number(scores.mae, decimals),
        "mase": wording.number(scores.mase, 3),
        "smape": wording.number(scores.smape, 3),
        "skill": wording.percent(row.comparison.skill),
        "p": wording.probability(row.comparison.p),
        "free": wording.median(row, free, free=True),
        "free_range": wording.seed_range(row, free, free=True),
        "free_shown": wording.number(shown.free_scores.rmse if shown.free_scores else None, free),
        "seconds": wording.duration(shown.seconds),
        "parameters": f"{row.parameters:,}" if row.parameters else wording.NONE,
    }


def _coverage(row: Row, levels: list[float]) -> list[str]:
    got = dict(row.shown.coverage)
    return [f"{got[level]:.1f} %" if level in got else wording.NONE for level in levels]
