"""The look of every chart: which colour and dash a model has, and the quiet theme around the lines."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from gatecast.judge.board import Board, Row

INK = "#1b1f24"
"""Colour of the observed values and of all text on paper; a report replaces it by the page's own text colour."""
MUTED = "#868e98"
"""Grey of naive, of the training span and of rules: readable on white and on black."""
OBSERVED = "observed"
"""What every legend calls the truth."""
NAIVE = "naive"
"""Name of the baseline that all skill is measured against."""

# Okabe and Ito's colours (jfly.uni-koeln.de/color), without black and without yellow, which is lost on white;
# the last two are Paul Tol's muted wine and olive (personal.sron.nl/~pault).
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#AA4466", "#999933")
DARK = ("#3391DB", "#E0661A", "#00AD7E", "#D98CB8", "#E69F00", "#7CC8F2", "#B94A72", "#999933")
"""The same on dark paper, lighter where that reads better and no two come to look alike."""
NETWORK_DASHES = ([1, 0], [9, 3], [9, 3, 2, 3])
BASELINE_DASHES = ([4, 3], [2, 2], [5, 2, 1, 2])


@dataclass(frozen=True)
class Pen:
    """How one model is drawn in every chart of its board."""

    colour: str
    dash: tuple[int, ...] = (1, 0)


def is_baseline(row: Row) -> bool:
    """Whether a row is one of the baselines rather than a network."""
    return row.kind == "baseline"


def pens(board: Board) -> dict[str, Pen]:
    """A pen for every row: naive in grey, networks solid and other baselines dashed until the colours run out."""
    drawn = {NAIVE: Pen(MUTED)}
    others = [row for row in board.rows if row.name != NAIVE]
    networks = [row.name for row in others if not is_baseline(row)]
    baselines = [row.name for row in others if is_baseline(row)]
    for names, colours, dashes in (
        (networks, COLOURS, NETWORK_DASHES),
        (baselines, COLOURS[::-1], BASELINE_DASHES),
    ):
        for i, name in enumerate(names):
            dash = dashes[i // len(colours) % len(dashes)]
            drawn[name] = Pen(colours[i % len(colours)], tuple(dash))
    return drawn


def on_page(colour: str) -> str:
    """A colour as a page writes it: by the name under which `palette` gives it for light and for dark paper.

    >>> on_page("#D55E00"), on_page("#868e98")
    ('var(--pen-1)', '#868e98')
    """
    return f"var(--pen-{COLOURS.index(colour)})" if colour in COLOURS else colour


def palette() -> str:
    """The style of a page that says what the colours are, on light and dark paper and in print."""
    light, dark = (" ".join(f"--pen-{i}: {colour};" for i, colour in enumerate(colours)) for colours in (COLOURS, DARK))
    return f":root {{ {light} }}\n@media screen and (prefers-color-scheme: dark) {{ :root {{ {dark} }} }}\n"


def theme(ink: str = INK, background: str = "white") -> dict[str, Any]:
    """The Vega-Lite configuration of every chart: no frame, a faint grid, the system's own letters."""
    font = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, sans-serif"
    axis = {
        "labelColor": ink, "labelOpacity": 0.72, "labelFontSize": 11, "labelPadding": 6,
        "titleColor": ink, "titleFontSize": 12, "titleFontWeight": 500, "titleLimit": 420,
        "domain": False, "ticks": False, "gridColor": MUTED, "gridOpacity": 0.2,
    }  # fmt: skip
    return {
        "background": background,
        "font": font,
        "view": {"stroke": None, "continuousWidth": 760, "continuousHeight": 300},
        "axis": axis,
        "axisX": {"grid": False, "domain": True, "domainColor": MUTED, "labelOverlap": True, "labelFlush": True},
        "axisY": {"tickCount": 5, "titleAngle": 0, "titleAlign": "left", "titleAnchor": "end",
                  "titleX": 0, "titleY": -10},
        "legend": {
            "orient": "top", "title": None, "labelColor": ink, "labelFontSize": 12, "labelLimit": 190,
            "symbolType": "stroke", "symbolSize": 240, "symbolStrokeWidth": 2.5, "rowPadding": 5, "columnPadding": 14,
            "offset": 30,
        },
        "title": {"color": ink, "anchor": "start", "fontSize": 15, "fontWeight": 600, "offset": 12, "limit": 760},
        "line": {"strokeWidth": 1.6, "strokeJoin": "round"},
    }  # fmt: skip
