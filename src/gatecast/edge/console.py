"""The leaderboard and its verdicts as text on stdout."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from rich.console import Console
from rich.measure import Measurement
from rich.table import Table

from gatecast.edge.text import plain
from gatecast.judge.backtest import Backtest
from gatecast.judge.board import Board, Leaderboard, Row
from gatecast.judge.panel_scores import SCORES

NONE = "-"
WIDE = 1000
"""Columns of a page that is not a terminal: nothing is wrapped or cut."""
LEFT_OUT_FIRST = ("sMAPE", "MASE", "seconds", "MAE", "p")
"""Columns that a narrow terminal does without, in this order."""


@dataclass(frozen=True)
class Column:
    """One column of the leaderboard as text, under its heading."""

    heading: str
    cells: tuple[str, ...]


def page() -> Console:
    """Stdout, as wide as the terminal, or wide enough for everything; colours follow NO_COLOR."""
    width = None if sys.stdout.isatty() else WIDE
    return Console(file=sys.stdout, width=width, markup=False, emoji=False, highlight=False)


def print_leaderboard(leaderboard: Leaderboard) -> None:
    """A table and verdicts for every series."""
    for board in leaderboard.boards:
        print_board(board, heading=len(leaderboard.boards) > 1)


def print_board(board: Board, heading: bool) -> None:
    """One series' leaderboard and the verdict on every model; `heading` names the series."""
    console = page()
    columns = [Column(name, tuple(plain(cell(row)) for row in board.rows)) for name, cell in COLUMNS.items()]
    left_out = _too_many(columns, console)
    kept = [column for column in columns if column.heading not in left_out]
    if heading:
        console.print(f"\n{plain(board.series)}", style="bold", soft_wrap=True)
    console.print()
    console.print(_table(kept), soft_wrap=False)
    if left_out:
        console.print(f"narrow terminal: {', '.join(left_out)} left out")
    console.print()
    for row in board.rows:
        console.print(plain(verdict_line(row)), soft_wrap=True)


def print_backtest(found: Backtest) -> None:
    """A panel's table of mean scores, and a verdict on every model."""
    console, scores = page(), found.scores()
    console.print()
    columns = [Column("model", tuple(scores["model"]))]
    columns += [Column(name, tuple(map(figure, scores[name]))) for name in SCORES[:-2]]
    columns += [Column(f"{name[-2:]} % holds", tuple(f"{each:.1f}" for each in scores[name])) for name in SCORES[-2:]]
    console.print(_table(columns), soft_wrap=False)
    console.print()
    for said in found.conclusions():
        console.print(plain(f"{said.model}: {said.verdict}"), soft_wrap=True)


def verdict_line(row: Row) -> str:
    """Both sentences on one model."""
    free = f". Free run: {row.free_verdict}" if row.free_verdict else ""
    return f"{row.name}: {row.verdict}{free}"


def figure(value: float | None) -> str:
    """Four significant digits; whole numbers from 1000 on.

    >>> figure(0.0312345), figure(1.5), figure(12345.6), figure(None), figure(2.5e9)
    ('0.03123', '1.500', '12346', '-', '2.5e+09')
    """
    if value is None or not math.isfinite(value):
        return NONE if value is None or math.isnan(value) else f"{value:+}"
    if value == 0 or abs(value) >= 1e7:
        return f"{value:.4g}"
    decimals = max(0, 3 - math.floor(math.log10(abs(value))))
    return f"{value:.{decimals}f}" if decimals < 8 else f"{value:.4g}"


def rmse_figure(value: float) -> str:
    """Four decimals below 100, and at least four significant digits.

    >>> rmse_figure(1.539014), rmse_figure(0.00312345), rmse_figure(312.345)
    ('1.5390', '0.003123', '312.3')
    """
    return f"{value:.4f}" if 1 <= abs(value) < 100 else figure(value)


def _rmse(row: Row, free: bool = False) -> str:
    """The median over seeds, and the range where there are several."""
    spread = row.spread(free)
    if spread is None:
        return NONE
    middle, low, high = map(rmse_figure, spread)
    return f"{middle} ({low} to {high})" if len(row.runs) > 1 else middle


def _skill(row: Row) -> str:
    skill = row.comparison.skill
    return NONE if skill is None else f"{skill:+.2f}"


def _p(row: Row) -> str:
    p = row.comparison.p
    if p is None:
        return NONE
    return "<0.001" if p < 0.001 else f"{p:.3f}"


COLUMNS: dict[str, Callable[[Row], str]] = {
    "model": lambda row: row.name,
    "RMSE": _rmse,
    "MAE": lambda row: figure(row.shown.scores.mae),
    "MASE": lambda row: figure(row.shown.scores.mase),
    "sMAPE": lambda row: figure(row.shown.scores.smape),
    "skill %": _skill,
    "p": _p,
    "free-run RMSE": lambda row: _rmse(row, free=True),
    "seconds": lambda row: f"{row.shown.seconds:.1f}",
}


def _table(columns: Sequence[Column]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for place, column in enumerate(columns):
        table.add_column(column.heading, justify="right" if place else "left", no_wrap=True, overflow="fold")
    for cells in zip(*(column.cells for column in columns), strict=True):
        table.add_row(*cells)
    return table


def _too_many(columns: Sequence[Column], console: Console) -> list[str]:
    """The headings to leave out so that the table fits."""
    left_out: list[str] = []
    for heading in ("", *LEFT_OUT_FIRST):
        left_out += [heading] if heading else []
        kept = [column for column in columns if column.heading not in left_out]
        if Measurement.get(console, console.options.update(max_width=WIDE), _table(kept)).maximum <= console.width:
            break
    return left_out
