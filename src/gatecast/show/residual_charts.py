"""Charts of one-step errors, for one model at a time: how they hang together, and how they are spread."""

from __future__ import annotations

import altair as alt

from gatecast.errors import GatecastError, check_choice
from gatecast.judge.board import Board, Row
from gatecast.show import layers
from gatecast.show.layers import Records
from gatecast.show.pens import MUTED, pens


def autocorrelation_chart(board: Board, model: str | None = None) -> alt.LayerChart:
    """Autocorrelation of a model's one-step errors by lag, with the band that holds 95 per cent of white noise.

    A list below the chart chooses another model; raises where the test span is too short for any lag.
    """
    facts = {row.name: row.shown.residuals for row in board.rows}
    if not any(len(each.autocorrelation) for each in facts.values()):
        raise GatecastError("no autocorrelation to draw", "judge on a longer test span: a lag needs four errors")
    records = [
        {"model": name, "lag": lag, "value": layers.rounded(value)}
        for name, each in facts.items()
        for lag, value in enumerate(each.autocorrelation, start=1)
    ]
    band = layers.rounded(next(iter(facts.values())).band)
    x = layers.step_axis("lag").scale(zero=False, nice=False, padding=6)
    y = alt.Y("value:Q", title="autocorrelation")
    bar = _of_the_chosen(board, records).mark_rule(strokeWidth=3).encode(x=x, y=y, y2=alt.Y2Datum(0))
    tips = [alt.Tooltip("lag:Q"), alt.Tooltip("value:Q", title="autocorrelation", format=".3~f")]
    edges = [{"low": -band, "high": band}] if band else []
    shade = alt.Chart(layers.inline(edges)).mark_rect(color=MUTED, opacity=0.18).encode(y="low:Q", y2="high:Q")
    zero = alt.Chart(layers.inline([{"zero": 0}])).mark_rule(color=MUTED, strokeWidth=1).encode(y="zero:Q")
    return layers.dress(
        [shade, zero, bar.encode(tooltip=tips)],
        "Autocorrelation of the errors",
        f"Bar chart of the autocorrelation of the one-step errors of {board.test.target} by lag, with the band that "
        "holds 95 per cent of the bars of white noise.",
        {"model": "model", "lag": "lag", "value": "autocorrelation"},
        height=240,
    ).add_params(_choice(board, model))


def error_histogram(board: Board, model: str | None = None) -> alt.LayerChart:
    """How many of a model's one-step errors (truth - forecast) lie where; a list chooses another model."""
    records = [
        {"model": row.name, "low": layers.rounded(low), "high": layers.rounded(high), "count": int(count)}
        for row in board.rows
        for low, high, count in _bins(row)
    ]
    what = f"error of {layers.one_line(board.test.target)}"
    x = alt.X("low:Q", title=what, scale=alt.Scale(zero=False, nice=False), axis=alt.Axis(tickCount=6))
    tips = [
        alt.Tooltip("low:Q", title="from", format=",.4~g"),
        alt.Tooltip("high:Q", title="to", format=",.4~g"),
        alt.Tooltip("count:Q", title="errors"),
    ]
    bar = _of_the_chosen(board, records).mark_bar(binSpacing=1)
    zero = alt.Chart(layers.inline([{"low": 0}])).mark_rule(color=MUTED, strokeDash=[3, 3]).encode(x="low:Q")
    return layers.dress(
        [bar.encode(x=x, x2="high:Q", y=alt.Y("count:Q", title="test rows"), y2=alt.Y2Datum(0), tooltip=tips), zero],
        "Histogram of the errors",
        f"Histogram of the one-step errors of {board.test.target}, truth minus forecast.",
        {"model": "model", "low": "from", "high": "to", "count": "errors"},
        height=240,
    ).add_params(_choice(board, model))


def _bins(row: Row) -> list[tuple[float, float, int]]:
    found = row.shown.residuals
    return list(zip(found.edges[:-1].tolist(), found.edges[1:].tolist(), found.counts.tolist(), strict=True))


def _choice(board: Board, model: str | None) -> alt.Parameter:
    names = [row.name for row in board.rows]
    return layers.choice(names, check_choice(model or names[0], names, "model"))


def _of_the_chosen(board: Board, records: Records) -> alt.Chart:
    """The records of the chosen model in its colour."""
    drawn: alt.Chart = alt.Chart(layers.inline(records)).transform_filter("datum.model === chosen")
    scale = alt.Scale(domain=list(pens(board)), range=[pen.colour for pen in pens(board).values()])
    return drawn.encode(color=alt.Color("model:N", scale=scale, legend=None))
