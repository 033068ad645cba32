"""Charts of an explanation: gradients by lag, gates through a window, what was used, and where free runs go."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import altair as alt
import numpy as np
from jaxtyping import Float64

from gatecast.explain.decay import Decay
from gatecast.explain.explanation import Explanation, layer_name
from gatecast.explain.flow import Flow
from gatecast.explain.freeruns import FreeRuns
from gatecast.explain.gates import GateRecord, LayerGates
from gatecast.explain.influence import Influence
from gatecast.explain.memory import LayerMemory, Memory
from gatecast.show import layers
from gatecast.show.figures import Explained
from gatecast.show.pens import COLOURS, MUTED, Pen

Lines = dict[str, Float64[np.ndarray, "n"]]
STRIP = 0.45
"""The series stands above a heat map of gates in a strip of this share of its height."""
MOST_HEATMAPS = 4


def memory_chart(found: Memory) -> alt.LayerChart:
    """How much one step of the forecast depends on the inputs, and what is left of its gradient in every layer, by lag,
    on a logarithmic scale."""
    lines = {_named(each): each.gradient for each in found.layers}
    return _by_lag(
        {**lines, "inputs": found.inputs},
        ("Gradient through time", "size of the gradient"),
        f"Line chart on a logarithmic scale of the gradient of step {found.step} of the forecast of {found.model}, "
        "at the states of every layer and at the inputs, by lag.",
        log=True,
    )


def singular_chart(found: Memory) -> alt.LayerChart:
    """The largest singular value of every one-step Jacobian, by lag: below 1 a step shrinks whatever passes it."""
    lines = {_named(each): each.singular for each in found.layers}
    return _by_lag(
        lines,
        ("Largest singular value of one step", "singular value"),
        f"Line chart of the largest singular value of the one-step Jacobian of {found.model}, by lag.",
        level=1.0,
    )


def decay_chart(found: Decay) -> alt.LayerChart:
    """The decay of information: each cell's gradient at the state by lag, untrained (dashed) and trained."""
    pens, lines = {}, {}
    for number, row in enumerate(found.rows):
        for when, memory, dash in (("untrained", row.untrained, (4, 3)), ("trained", row.trained, (1, 0))):
            gradient = memory.layers[0].gradient
            name = f"{row.cell} {when}"
            lines[name] = gradient / gradient[0] if gradient[0] > 0 else gradient
            pens[name] = Pen(COLOURS[number % len(COLOURS)], dash)
    return _by_lag(
        lines,
        (f"Decay of information through time: {found.task}", "gradient, last step = 1"),
        f"Line chart on a logarithmic scale of how the gradient at the state fades with the lag, {found.task}, for "
        f"{', '.join(row.cell for row in found.rows)}, untrained and trained.",
        log=True,
        pens=pens,
    )


def influence_chart(found: Influence) -> alt.LayerChart:
    """What taking a value away changes in the forecast, by lag and column."""
    lines = {name: found.occlusion[:, c] for c, name in enumerate(found.columns)}
    return _by_lag(
        lines,
        ("What the forecast used", "change of the forecast, scaled"),
        f"Line chart of the mean change of the forecast of {found.model} when a value is replaced by its column's "
        "mean, by lag and column.",
    )


def runs_chart(found: FreeRuns, differences: FreeRuns | None = None) -> alt.LayerChart:
    """Errors of free runs from many starts by step, beside those of one-step forecasts at the same rows."""
    lines = {"free run": found.error, "one step": found.one_step, "distance between them": found.divergence}
    if differences:
        lines["free run on differences"] = differences.error
    return _by_lag(
        lines,
        ("Free runs from many starts", "mean absolute error"),
        f"Line chart of the mean absolute error by step of free runs of {found.model} from {found.starts} starts, "
        "and of one-step forecasts of the same rows.",
        head="step",
    )


def gate_chart(record: GateRecord, layer: LayerGates) -> alt.LayerChart:
    """The keeping gate of every unit through the window (the state, where a cell has none), under the series itself.

    Units stand in the order of what they keep on average.
    """
    what = f"{layer.kept} gate" if layer.kept else "state"
    shown = layer.gates[layer.kept] if layer.kept else layer.h
    shown = shown[:, np.argsort(shown.mean(axis=0))]
    steps, units = shown.shape
    records = [
        {"step": t, "time": str(record.times[t])[:10], "unit": u, "value": layers.rounded(float(shown[t, u]))}
        for t in range(steps)
        for u in range(units)
    ]
    values = record.values
    spread = max(float(np.ptp(values)), 1e-12)
    line = [
        {"step": t, "height": layers.rounded(units * (1.05 + STRIP * float(v - values.min()) / spread))}
        for t, v in enumerate(values)
    ]
    ends = {0: str(record.times[0])[:10], steps - 1: str(record.times[-1])[:10]}
    label = " : ".join(f"datum.value == {at} ? '{text}'" for at, text in ends.items()) + " : ''"
    x = alt.X(
        "step:Q",
        title=None,
        scale=alt.Scale(domain=[-0.5, steps - 0.5], nice=False),
        axis=alt.Axis(values=list(ends), labelExpr=label),
    )
    y = alt.Y("low:Q", title="unit", scale=alt.Scale(domain=[-0.5, units * (1.1 + STRIP)], nice=False))
    low = 0.0 if layer.kept else -1.0
    base = alt.Chart(layers.inline(records)).transform_calculate(
        left="datum.step - 0.5", right="datum.step + 0.5", low="datum.unit - 0.5", high="datum.unit + 0.5"
    )
    cells = base.mark_rect().encode(
        x=_on(x, "left:Q"),
        x2="right:Q",
        y=y,
        y2="high:Q",
        color=alt.Color(
            "value:Q",
            scale=alt.Scale(scheme="cividis", domain=[low, 1.0]),
            legend=alt.Legend(title=None, orient="right", gradientLength=120),
        ),
        tooltip=[alt.Tooltip("time:N"), alt.Tooltip("unit:Q"), alt.Tooltip("value:Q", title=what, format=".3f")],
    )
    series = alt.Chart(layers.inline(line)).mark_line(color=MUTED, strokeWidth=2).encode(x=x, y="height:Q")
    return layers.dress(
        [cells, series],
        f"{_named(layer)}: {what}",
        f"Heat map of the {what} of {units} units of {_named(layer)} over {steps} steps of one window, with "
        "the series in a strip above it.",
        {"step": "step", "time": "time", "unit": "unit", "value": what},
        height=260,
    )


def flow_chart(found: Flow) -> alt.LayerChart:
    """Which of the newest values every step of the forecast depends on."""
    steps, lags = found.moved.shape
    records = [
        {"step": k + 1, "lag": lag, "moves": "yes" if found.moved[k, lag] > 0 else "no"}
        for k in range(steps)
        for lag in range(lags)
    ]
    pens: dict[str, Pen] = {"yes": Pen(COLOURS[0]), "no": Pen(MUTED)}
    cells = alt.Chart(layers.inline(records)).mark_rect(stroke="white", strokeWidth=0.5)
    cells = cells.encode(
        x=alt.X("lag:O", title="lag (0 is the newest value)", axis=alt.Axis(labelAngle=0, labelOverlap=True)),
        y=alt.Y("step:O", title="step", axis=alt.Axis(labelOverlap=True)),
        color=alt.Color("moves:N", scale=alt.Scale(domain=list(pens), range=[pen.colour for pen in pens.values()])),
        tooltip=["step:O", "lag:O", "moves:N"],
    )
    return layers.dress(
        [cells],
        "Which steps depend on which values",
        f"Grid of {steps} forecast steps by {lags} lags: blue where a step moves when the value is changed; "
        f"{found.verdict}.",
        {"step": "step", "lag": "lag", "moves": "moves"},
        height=max(90, min(300, 22 * steps)),
    )


def explained(found: Explanation) -> Iterator[Explained]:
    """Title, sentence and chart of every part, for a page."""
    said = found.sentences
    yield ("Gradient through time", " ".join(said[: 1 + len(found.memory.layers)]), memory_chart(found.memory))
    if any(len(layer.singular) for layer in found.memory.layers):
        below = "Below 1 a step shrinks whatever passes it."
        yield ("One step's largest singular value", below, singular_chart(found.memory))
    first = [layer for layer in found.gates.layers if layer.network == 0][:MOST_HEATMAPS]
    for layer in first:
        sentence = next(s for s in said if s.startswith(f"{_named(layer)} "))
        yield (f"{_named(layer)} through one window", sentence, gate_chart(found.gates, layer))
    if len(found.flow.moved) > 1:
        yield ("Information flow", f"{found.flow.verdict[0].upper()}{found.flow.verdict[1:]}.", flow_chart(found.flow))
    if found.influence:
        yield (
            "What the forecast used",
            next(s for s in said if s.startswith("Used")),
            influence_chart(found.influence),
        )
    if found.runs:
        runs = " ".join(s for s in said if s.startswith("Free runs"))
        yield ("Free runs from many starts", runs, runs_chart(found.runs, found.differences))
    if found.decay:
        yield explained_decay(found.decay)


def explained_decay(found: Decay) -> Explained:
    """Title, sentence and chart of the cells side by side."""
    return (f"Decay of information: {found.task}", " ".join(found.sentences), decay_chart(found))


def _named(layer: LayerMemory | LayerGates) -> str:
    return layer_name(layer.layer, layer.cell, layer.reverse)


def _by_lag(
    lines: Lines,
    titles: tuple[str, str],
    description: str,
    *,
    head: str = "lag",
    log: bool = False,
    level: float | None = None,
    pens: dict[str, Pen] | None = None,
) -> alt.LayerChart:
    """One line for every name, against the lag (counted from 0) or the step (from 1)."""
    drawn = pens or {name: Pen(COLOURS[i % len(COLOURS)]) for i, name in enumerate(lines)}
    begin = 1 if head == "step" else 0
    count = max(len(values) for values in lines.values())
    columns = layers.Columns(head, list(range(begin, begin + count)))
    fields = {columns.add(name, _padded(values, count, log)): name for name, values in lines.items()}
    records, shown = columns.records(), layers.toggle(drawn)
    scale = alt.Scale(type="log") if log else alt.Scale(zero=False)
    axis = alt.Axis(format=".0e") if log else alt.Axis()
    x, y = layers.step_axis(head), alt.Y("value:Q", title=titles[1], scale=scale, axis=axis)
    drawing: list[Any] = [layers.lines(records, fields, drawn, shown, x, y).add_params(shown, layers.zoom())]
    if level is not None:
        rule = alt.Chart(layers.inline([{"value": level}])).mark_rule(color=MUTED, strokeDash=[3, 3])
        drawing.append(rule.encode(y=y))
    drawing.append(layers.reading_rule(records, columns.titles, x, alt.Tooltip(f"{head}:Q", title=head)))
    return layers.dress(drawing, titles[0], description, columns.told(), height=280)


def _padded(values: Float64[np.ndarray, "n"], count: int, log: bool) -> Float64[np.ndarray, "m"]:
    """As long as the longest line; what a logarithm has no place for is left out."""
    found = np.full(count, np.nan)
    found[: len(values)] = values
    return np.where(found > 0, found, np.nan) if log else found


def _on(x: alt.X, field: str) -> alt.X:
    found: alt.X = x.copy()
    found.shorthand = field
    return found
