"""Numbers and sentences of a report: how a figure is written, never how it is found."""

from __future__ import annotations

import math
from typing import NamedTuple

from gatecast.judge.board import Board, Row
from gatecast.judge.residuals import Residuals
from gatecast.show.pens import NAIVE, is_baseline

NONE = "–"
"""Written where there is no number."""


class Cell(NamedTuple):
    """A figure of a table: what is written, the number that sorts it (None sorts last), and a range below it."""

    text: str
    value: int | float | None
    range: str = ""


def cell(value: int | float | None, text: str, span: str = "") -> Cell:
    """A cell that sorts by a finite value.

    >>> cell(0.0004, "< 0.001"), cell(float("inf"), "∞").value
    (Cell(text='< 0.001', value=0.0004, range=''), None)
    """
    return Cell(text, value if value is not None and math.isfinite(value) else None, span)


def decimals_for(best: float) -> int:
    """How many decimals show five figures of the best error of a board.

    >>> [decimals_for(best) for best in (1.384, 0.0031, 250.0, 0.0)]
    [4, 7, 2, 4]
    """
    if not math.isfinite(best) or best <= 0:
        return 4
    return min(10, max(0, 4 - math.floor(math.log10(best))))


def free_decimals(board: Board) -> int:
    """The decimals of the board's free runs, after the best of them."""
    scores = [row.shown.free_scores.rmse for row in board.rows if row.shown.free_scores is not None]
    return decimals_for(min(scores, default=0.0))


def sentence(text: str) -> str:
    """A text with its full stop."""
    return text if text.endswith((".", "!", "?")) else f"{text}."


def number(value: float | None, decimals: int) -> str:
    """A number with grouped thousands and a true minus sign.

    >>> number(-12345.678, 1), number(None, 2), number(float("inf"), 2)
    ('−12,345.7', '–', '∞')
    """
    if value is None or math.isnan(value):
        return NONE
    if math.isinf(value):
        return "∞" if value > 0 else "−∞"
    return f"{value:,.{decimals}f}".replace("-", "−")


def percent(value: float | None) -> str:
    """A signed share in per cent.

    >>> percent(3.14159), percent(-0.5), percent(-0.01)
    ('+3.1 %', '−0.5 %', '0.0 %')
    """
    if value is None or math.isnan(value):
        return NONE
    near = round(value, 1) + 0.0
    return f"{'+' if near > 0 else ''}{number(near, 1)} %"


def probability(p: float | None) -> str:
    """A p-value; below one in a thousand as a bound.

    >>> probability(0.0123), probability(2e-9)
    ('0.012', '< 0.001')
    """
    return "< 0.001" if p is not None and p < 0.001 else number(p, 3)


def duration(seconds: float) -> str:
    """Seconds as a reader says them.

    >>> duration(0.003), duration(0.42), duration(185.0)
    ('< 0.1 s', '0.4 s', '3 min 05 s')
    """
    if seconds < 0.1:
        return "< 0.1 s"
    if seconds < 59.95:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02d} s"


def answer(board: Board) -> str:
    """Who forecasts this board best one step ahead, by how much against naive, in one sentence."""
    best = board.rows[0]
    decimals = decimals_for(best.shown.scores.rmse)
    text = (
        f"Over {best.shown.scores.count:,} scored test rows ({board.test.span}), {best.name} forecasts "
        f"{board.test.target} best one step ahead: RMSE {median(best, decimals)}"
    )
    naive = next((row for row in board.rows if row.name == NAIVE), None)
    if naive is best:
        return f"{text}. No other model has a lower one."
    if naive is None:
        return f"{text}."
    return f"{text}, against {median(naive, decimals)} for naive (skill {percent(best.comparison.skill)})."


def runner_up(board: Board) -> Row | None:
    """The best network, where a baseline leads the board."""
    networks = [row for row in board.rows if not is_baseline(row)]
    return networks[0] if networks and is_baseline(board.rows[0]) else None


def errors(found: Residuals, decimals: int) -> str:
    """The mean error, and how many lags stand out."""
    mean = f"mean error {number(found.mean, decimals)}"
    lags = len(found.autocorrelation)
    return f"{mean}; {found.outside} of {lags} lags outside the band" if lags else mean


def median(row: Row, decimals: int, free: bool = False) -> str:
    """The median RMSE over seeds."""
    spread = row.spread(free)
    return number(spread[0], decimals) if spread else NONE


def seed_range(row: Row, decimals: int, free: bool = False) -> str:
    """Least and greatest RMSE over seeds; empty for a single run."""
    spread = row.spread(free)
    if spread is None or len(row.runs) < 2:
        return ""
    return f"{number(spread[1], decimals)} to {number(spread[2], decimals)}"
