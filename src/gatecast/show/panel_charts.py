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
EDGES = tuple(f"{level} % {end}" for level in BAND_OPACITY for end in ("from", "to"))


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
    records = _records(rows, model)
    judged = {record["time"] for record in records}
    before = [dict.fromkeys(records[0]) | {"time": r["time"], "y0": r["y0"]} for r in past if r["time"] not in judged]
    titles = {"y0": OBSERVED, "y1": model, **{f"y{i}": name for i, name in enumerate(EDGES, start=2)}}
    cuts = [layers.rule_at(mark, x) for mark in layers.clock(np.unique(rows["cutoff"].to_numpy()))]
    truth = alt.Chart(layers.inline([{**r, "model": OBSERVED} for r in past])).mark_line(strokeWidth=1.3, clip=True)
    truth = truth.encode(x=x, y=_on(y, "y0"), color=layers.colour(pens)).add_params(layers.zoom())
    rule = layers.reading_rule(before + records, titles, x, layers.time_tip(whole))
    return layers.dress(
        [*cuts, truth, *_forecasts(records, x, y, pens), rule],
        layers.one_line(series),
        f"Line chart of {whole.target} of series {series} and of its forecasts by {model} with their intervals of 80 "
        f"and 95 per cent, from {rows['origin'].nunique()} origins.",
        {"time": "time", "origin": "origin", **titles},
        height=220,
    )


def score_by_step_chart(found: Backtest, score: str = "MASE") -> alt.LayerChart:
    """Every model's mean score by the step of the horizon."""
    table = found.scores(["step"]).pivot_table(index="step", columns="model", values=score)
    names = [name for name in found.models if name in table]
    pens = {name: Pen(MUTED if name == YARDSTICK else COLOURS[i % len(COLOURS)]) for i, name in enumerate(names)}
    columns = layers.Columns("step", [int(step) for step in table.index])
    fields = {columns.add(name, table[name].to_numpy()): name for name in names}
    x, y = layers.step_axis("step"), layers.value_axis(score)
    shown = layers.toggle(pens)
    lines = layers.lines(columns.records(), fields, pens, shown, x, y).add_params(shown, layers.zoom())
    rule = layers.reading_rule(columns.records(), columns.titles, x, alt.Tooltip("step:Q", title="step"))
    return layers.dress(
        [lines, rule],
        f"{score} by step ahead",
        f"Line chart of the mean {score} of {', '.join(names)} at every step ahead.",
        columns.told(),
        height=260,
    )


def _records(rows: pd.DataFrame, model: str) -> layers.Records:
    """One record per origin and step: time, truth y0, forecast y1, and the bounds in the order of EDGES."""
    sides = [f"{model}-{end}-{level}" for level in BAND_OPACITY for end in ("lo", "hi")]
    columns = [rows[name].to_numpy(dtype=np.float64) for name in ("y", model, *sides)]
    found = layers.wide("time", layers.clock(rows["ds"].to_numpy()), columns)
    return [{**r, "origin": int(o) + 1, "model": model} for r, o in zip(found, rows["origin"], strict=True)]


def _on(y: alt.Y, field: str) -> alt.Y:
    """The same axis for another field."""
    found: alt.Y = y.copy()
    found.shorthand = f"{field}:Q"
    return found


def _forecasts(records: layers.Records, x: alt.X, y: alt.Y, pens: dict[str, Pen]) -> list[alt.Chart]:
    """Two bands and a line for every origin."""
    base = alt.Chart(layers.inline(records)).encode(x=x, detail="origin:N")
    parts = []
    for i, opacity in enumerate(BAND_OPACITY.values()):
        band = base.mark_area(color=COLOURS[0], opacity=opacity, clip=True)
        parts.append(band.encode(y=_on(y, f"y{2 + 2 * i}"), y2=f"y{3 + 2 * i}:Q"))
    line = base.mark_line(clip=True, point=alt.OverlayMarkDef(size=14))
    return [*parts[::-1], line.encode(y=_on(y, "y1"), color=layers.colour(pens))]
