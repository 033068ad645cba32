"""Charts of a backtest: one series with the interval around its forecast, and every model's error by step."""

from __future__ import annotations

import altair as alt
import numpy as np
import pandas as pd

from gatecast.errors import GatecastError, did_you_mean
from gatecast.judge.backtest import YARDSTICK, Backtest
from gatecast.show import layers
from gatecast.show.pens import COLOURS, MUTED, OBSERVED, Pen

LEAD_IN = 3
"""So many horizons before the first origin are drawn."""
BAND_OPACITY = {80: 0.28, 95: 0.14}


def panel_forecast_chart(found: Backtest, series: str, model: str | None = None) -> alt.LayerChart:
    """A series and a model's forecasts of it (the first model's), with intervals of 80 and 95 %, from every origin."""
    model = model or found.models[0]
    if model not in found.models:
        raise GatecastError(f"no model '{model}' in this backtest", did_you_mean(model, found.models))
    rows = found.frame[found.frame["unique_id"].astype(str) == series]
    if rows.empty:
        raise GatecastError(f"no series '{series}' was judged", did_you_mean(series, found.panel.ids[:20]))
    whole = found.panel.series(series)
    first = int(np.searchsorted(whole.times, rows["ds"].to_numpy().min()))
    tail = slice(max(0, first - LEAD_IN * found.h), None)
    x, y = layers.time_axis(whole), layers.value_axis(whole.target)
    past = layers.wide("time", layers.clock(whole.times[tail]), [whole.values[tail, 0]])
    pens = {OBSERVED: Pen(MUTED), model: Pen(COLOURS[0])}
    parts = [_truth(past, x, y, pens)]
    for _, block in rows.groupby("origin"):
        parts += _forecast(block, model, x, y, pens)
    cuts = [layers.rule_at(mark, x) for mark in layers.clock(np.unique(rows["cutoff"].to_numpy()))]
    return layers.dress(
        [*cuts, *parts],
        layers.one_line(series),
        f"Line chart of {whole.target} of series {series} and of its forecasts by {model} with their intervals of 80 "
        f"and 95 per cent, from {rows['origin'].nunique()} origins.",
        height=220,
    )


def score_by_step_chart(found: Backtest, score: str = "MASE") -> alt.LayerChart:
    """Every model's mean score by the step of the horizon."""
    table = found.scores(["step"]).pivot_table(index="step", columns="model", values=score)
    names = [name for name in found.models if name in table]
    pens = {name: Pen(MUTED if name == YARDSTICK else COLOURS[i % len(COLOURS)]) for i, name in enumerate(names)}
    records = layers.wide("step", [int(step) for step in table.index], [table[name].to_numpy() for name in names])
    x, y = layers.step_axis("step"), layers.value_axis(score)
    switch = layers.toggle(pens)
    rule = layers.reading_rule(records, names, x, alt.Tooltip("step:Q", title="step"))
    return layers.dress(
        [layers.lines(records, pens, switch, x, y), rule],
        f"{score} by step ahead",
        f"Line chart of the mean {score} of {', '.join(names)} at every step ahead.",
        height=260,
    )


def _truth(records: layers.Records, x: alt.X, y: alt.Y, pens: dict[str, Pen]) -> alt.Chart:
    named = [{"time": r["time"], "value": r["y0"], "model": OBSERVED} for r in records]
    drawn: alt.Chart = alt.Chart(layers.inline(named)).mark_line(strokeWidth=1.3)
    return drawn.encode(x=x, y=y, color=layers.colour(pens))


def _forecast(block: pd.DataFrame, model: str, x: alt.X, y: alt.Y, pens: dict[str, Pen]) -> list[alt.Chart]:
    """One origin: two bands and a line."""
    marks = layers.clock(block["ds"].to_numpy())
    parts = []
    for level, opacity in BAND_OPACITY.items():
        edges = [block[f"{model}-{end}-{level}"].to_numpy(dtype=np.float64) for end in ("lo", "hi")]
        records = layers.wide("time", marks, edges)
        band = alt.Chart(layers.inline(records)).mark_area(color=pens[model].colour, opacity=opacity)
        parts.append(band.encode(x=x, y=alt.Y("y0:Q", scale=alt.Scale(zero=False)), y2="y1:Q"))
    values = [layers.rounded(each) for each in block[model]]
    line = [{"time": t, "value": v, "model": model} for t, v in zip(marks, values, strict=True)]
    tips = [alt.Tooltip("value:Q", title=layers.one_line(model), format=",.5~g")]
    parts.append(alt.Chart(layers.inline(line)).mark_line().encode(x=x, y=y, color=layers.colour(pens), tooltip=tips))
    return parts
