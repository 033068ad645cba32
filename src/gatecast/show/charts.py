"""Charts of a board: each function takes frozen results and returns an Altair chart.

In a notebook the chart draws itself, and a click on a name in its legend shows or hides that model.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from io import BytesIO, StringIO
from pathlib import Path

import altair as alt
import numpy as np
from jaxtyping import Float64

from gatecast.data.calendar import Times
from gatecast.errors import GatecastError, check_choice
from gatecast.forecast.result import Forecast
from gatecast.judge.board import Board, FreeRunFacts, Row
from gatecast.show import layers
from gatecast.show.files import write_atomic
from gatecast.show.layers import Records
from gatecast.show.pens import COLOURS, INK, MUTED, NAIVE, OBSERVED, Pen, is_baseline, pens

LEAD_IN = 60
"""At least this many training rows are drawn before a free run (or half the test span, if that is more)."""
BAND_OPACITY = (0.28, 0.14)
"""Of the narrower and the wider interval."""


def split_chart(board: Board) -> alt.LayerChart:
    """The whole target, training span and test span, with the cut between them."""
    x = layers.time_axis(board.test)
    parts = {"training span": Pen(MUTED), "test span": Pen(COLOURS[0])}
    records: Records = []
    for name, panel in zip(parts, (board.train, board.test), strict=True):
        marks = layers.clock(panel.times)
        values = (layers.rounded(value) for value in panel.values[:, 0])
        records += [{"time": t, "value": v, "model": name} for t, v in zip(marks, values, strict=True)]
    line = alt.Chart(layers.inline(records)).mark_line(strokeWidth=1.3, clip=True)
    line = line.encode(x=x, y=layers.value_axis(board.test.target), color=layers.colour(parts))
    cut = layers.rule_at(layers.clock(board.test.times)[0], x)
    rule = layers.reading_rule(records, {"value": board.test.target}, x, layers.time_tip(board.test))
    return layers.dress(
        [cut, line.add_params(layers.zoom()), rule],
        "Training and test span",
        f"Line chart of {board.test.target}: {board.train.rows} training rows from {board.train.span}, "
        f"then {board.test.rows} test rows from {board.test.span}.",
        {"time": "time", "value": board.test.target, "model": "part"},
        height=240,
    )


def forecast_chart(board: Board, names: Iterable[str] | None = None) -> alt.LayerChart:
    """The test span and the forecasts of it, with the intervals of the best model that has some.

    Switches show one-step forecasts, free runs (off at first) and intervals. Without `names` every model is in the
    legend and the best ones are switched on.
    """
    rows = _chosen(board, names)
    pens = _with_observed(board, rows)
    table = layers.Columns("time", layers.clock(board.test.times))
    truth = {table.add(OBSERVED, _truth(board)): OBSERVED}
    one = {table.add(row.name, _onto(row.shown.one_step, board.test.times)): row.name for row in rows}
    runs = [(row.name, row.shown.free_run) for row in rows if row.shown.free_run]
    free = {table.add(f"{name}, free run", _onto(run, board.test.times)): name for name, run in runs}
    banded = next((row for row in rows if row.shown.one_step.bands), None)
    edges = _edges(banded, table, board.test.times) if banded else []
    records = table.records()
    x, y = layers.time_axis(board.test), layers.value_axis(board.test.target)
    shown = layers.toggle([OBSERVED, *(row.name for row in (_leaders(rows) if names is None else rows))])
    switches = [layers.tick_box("one_step", "one step", True)]
    parts = [layers.lines(records, truth, pens, shown, x, y).add_params(shown, layers.zoom())]
    if banded:
        switches.append(layers.tick_box("intervals", "intervals", True))
        parts = [*_bands(records, edges, {banded.name: pens[banded.name]}, shown, x, y), *parts]
    if free:
        switches.append(layers.tick_box("free_run", "free run", False))
        loose = layers.lines(records, free, pens, shown, x, y).transform_filter("free_run")
        parts.append(loose.mark_line(clip=True, strokeWidth=3, opacity=0.55))
    parts.append(layers.lines(records, one, pens, shown, x, y).transform_filter("one_step"))
    read = {field: table.titles[field] for field in (*truth, *one)}
    rule = layers.reading_rule(records, read, x, layers.time_tip(board.test))
    extent = f" The shaded intervals belong to {banded.name}." if banded else ""
    return layers.dress(
        [*parts, rule],
        "Truth against forecasts",
        f"Line chart of {board.test.target} over {board.test.span}, observed and forecast one step ahead from the "
        f"true history by {_listing(rows)}.{extent}",
        table.told(),
        height=340,
    ).add_params(*switches)


def free_run_chart(board: Board, names: Iterable[str] | None = None) -> alt.LayerChart:
    """The test span and the free runs through it, after the end of the training span; raises where no model ran."""
    rows = [row for row in _chosen(board, names) if row.shown.free_run is not None]
    if not rows:
        raise GatecastError("no free run to draw", "choose a model that ran free; the board's rows say why one did not")
    tail = min(board.train.rows, max(LEAD_IN, board.test.rows // 2))
    times = np.concatenate([board.train.times[board.train.rows - tail :], board.test.times])
    table = layers.Columns("time", layers.clock(times))
    past = board.train.values[board.train.rows - tail :, 0]
    fields = {table.add(OBSERVED, np.concatenate([past, _truth(board)])): OBSERVED}
    fields |= {table.add(row.name, _onto(row.shown.free_run, times)): row.name for row in rows if row.shown.free_run}
    pens, records = _with_observed(board, rows), table.records()
    x, y = layers.time_axis(board.test), layers.value_axis(board.test.target)
    shown = layers.toggle(pens)
    rule = layers.reading_rule(records, table.titles, x, layers.time_tip(board.test))
    start = layers.rule_at(layers.clock(board.test.times)[0], x)
    return layers.dress(
        [start, layers.lines(records, fields, pens, shown, x, y).add_params(shown, layers.zoom()), rule],
        "Free run: fed with its own outputs",
        f"Line chart of {board.test.target}: the last {tail} training rows, then the test span {board.test.span} "
        f"observed and as free runs from one origin by {_listing(rows)}.",
        table.told(),
        height=340,
    )


def error_by_step_chart(board: Board, names: Iterable[str] | None = None) -> alt.LayerChart:
    """Absolute error of each free run by step from its origin; raises where no model ran."""
    what = f"|error| of {layers.one_line(board.test.target)}"
    return _by_step(board, names, ("Free run: error by step", what), lambda facts: facts.error)


def divergence_chart(board: Board, names: Iterable[str] | None = None) -> alt.LayerChart:
    """Distance of each free run from the same model's one-step forecasts, by step; raises where no model ran."""
    what = f"|free run - one step| of {layers.one_line(board.test.target)}"
    return _by_step(board, names, ("Free run: distance from one step", what), lambda facts: facts.divergence)


def _by_step(
    board: Board,
    names: Iterable[str] | None,
    words: tuple[str, str],
    pick: Callable[[FreeRunFacts], np.ndarray],
) -> alt.LayerChart:
    """One line per free run over its steps; `words`: the title and what the lines are."""
    rows = [row for row in _chosen(board, names) if row.shown.free_facts is not None]
    if not rows:
        raise GatecastError("no free run to draw", "choose a model that ran free; the board's rows say why one did not")
    values = {row.name: pick(row.shown.free_facts) for row in rows if row.shown.free_facts is not None}
    steps = max(map(len, values.values()))
    table = layers.Columns("step", range(1, steps + 1))
    fields = {table.add(name, _padded(each, steps)): name for name, each in values.items()}
    pens = _pens_of(board, rows)
    x = layers.step_axis("step")
    y = alt.Y("value:Q", title=words[1], scale=alt.Scale(zero=True))
    shown = layers.toggle(pens)
    lines = layers.lines(table.records(), fields, pens, shown, x, y).add_params(shown, layers.zoom())
    return layers.dress(
        [lines, layers.reading_rule(table.records(), table.titles, x, alt.Tooltip("step:Q", title="step"))],
        words[0],
        f"Line chart of {words[1]} over {steps} steps of free runs by {_listing(rows)}.",
        table.told(),
    )


def loss_chart(board: Board) -> alt.LayerChart:
    """Loss by epoch of every network, held back dashed, a dot at the epoch kept; raises where none was trained."""
    rows = [row for row in board.rows if any(curve.train for curve in row.shown.losses)]
    if not rows:
        raise GatecastError("no loss curve to draw", "baselines are not trained; put a network on the board")
    records, kept = _loss_records(rows)
    positive = all(each["value"] > 0 for each in records)
    pens = _pens_of(board, rows)
    shown = layers.toggle(pens)
    x = layers.step_axis("epoch")
    scale = alt.Scale(type="log", nice=False) if positive else alt.Scale(zero=False)
    y = alt.Y("value:Q", title="loss (scaled units)", scale=scale, axis=alt.Axis(gridOpacity=0.12))
    parts = alt.StrokeDash(
        "part:N",
        scale=alt.Scale(domain=["training", "held back"], range=[[1, 0], [4, 3]]),
        legend=alt.Legend(orient="bottom", columns=2, offset=8),
    )
    tips = ["curve:N", "part:N", "epoch:Q", alt.Tooltip("value:Q", title="loss", format=",.4~g")]
    all_points, kept_points = (
        alt.Chart(layers.inline(each)).transform_filter(shown).encode(x=x, y=y, color=layers.colour(pens))
        for each in (records, kept)
    )
    line = all_points.mark_line(strokeWidth=1.3, clip=True).encode(strokeDash=parts, detail="curve:N")
    touched = all_points.mark_point(opacity=0, size=90, filled=True, clip=True).encode(tooltip=tips)
    dot = kept_points.mark_point(filled=True, size=55, clip=True).encode(tooltip=tips)
    return layers.dress(
        [line.add_params(shown, layers.zoom()), touched, dot],
        "Loss by epoch",
        f"Line chart of the training loss by epoch, and of the held-back loss where there is one, of {_listing(rows)}; "
        "a dot marks the epoch whose weights were kept.",
        {"curve": "network", "part": "part", "epoch": "epoch", "value": "loss"},
    )


def save_chart(chart: alt.TopLevelMixin, path: str | Path) -> Path:
    """Write a chart as PNG (twice the size, for sharp print) or SVG, by the suffix of `path`, and return the path."""
    path = Path(path)
    kind = path.suffix.lower()
    if kind == ".png":
        picture = BytesIO()
        chart.save(picture, format="png", scale_factor=2)
        return write_atomic(path, picture.getvalue())
    if kind == ".svg":
        drawing = StringIO()
        chart.save(drawing, format="svg")
        return write_atomic(path, drawing.getvalue().encode())
    raise GatecastError(f"a chart cannot be saved as '{path.name}'", "end the name in .png or .svg")


def _chosen(board: Board, names: Iterable[str] | None) -> list[Row]:
    """The rows called `names`, in the board's order; all of them without names."""
    if names is None:
        return list(board.rows)
    known = [row.name for row in board.rows]
    wanted = {check_choice(name, known, "model") for name in names}
    return [row for row in board.rows if row.name in wanted]


def _leaders(rows: Sequence[Row]) -> list[Row]:
    """What a crowded legend starts with: the best row, the best network, and naive."""
    best_network = [row for row in rows if not is_baseline(row)][:1]
    named = {row.name: row for row in [*rows[:1], *best_network, *(row for row in rows if row.name == NAIVE)]}
    return list(named.values())


def _pens_of(board: Board, rows: Sequence[Row]) -> dict[str, Pen]:
    """Pens for these rows, in legend order."""
    drawn = pens(board)
    return {row.name: drawn[row.name] for row in rows}


def _with_observed(board: Board, rows: Sequence[Row]) -> dict[str, Pen]:
    """Pens for the truth and these rows."""
    return {OBSERVED: Pen(INK), **_pens_of(board, rows)}


def _truth(board: Board) -> Float64[np.ndarray, "N"]:
    """The observed target of the test span; a row that was filled, not observed, is a gap."""
    return np.where(board.scored, board.test.values[:, 0], np.nan)


def _onto(forecast: Forecast, times: Times) -> Float64[np.ndarray, "T"]:
    return layers.aligned(forecast.mean, forecast.times, times)


def _padded(values: Float64[np.ndarray, "N"], length: int) -> Float64[np.ndarray, "M"]:
    return np.concatenate([values, np.full(length - len(values), np.nan)])


def _listing(rows: Sequence[Row]) -> str:
    return ", ".join(row.name for row in rows)


def _edges(row: Row, table: layers.Columns, times: Times) -> list[tuple[str, str]]:
    """The fields of a model's intervals, low and high, the widest first."""
    forecast = row.shown.one_step
    found = []
    for band in sorted(forecast.bands, key=lambda band: -band.level):
        low, high = (layers.aligned(edge, forecast.times, times) for edge in (band.lo, band.hi))
        name = f"{row.name}, {band.level:g} %"
        found.append((table.add(f"{name} from", low), table.add(f"{name} to", high)))
    return found


def _bands(
    records: Records,
    edges: list[tuple[str, str]],
    pens: dict[str, Pen],
    shown: alt.Parameter,
    x: alt.X,
    y: alt.Y,
) -> list[alt.Chart]:
    """The widest interval first, so that the narrower one lies on it."""
    ((name, pen),) = pens.items()
    drawn = []
    for low, high in edges:
        area = layers.named(records, {low: name}, shown).transform_filter("intervals")
        strength = BAND_OPACITY[0] if (low, high) == edges[-1] else BAND_OPACITY[1]
        area = area.mark_area(color=pen.colour, opacity=strength, clip=True)
        drawn.append(area.encode(x=x, y=y, y2=f"{high}:Q"))
    return drawn


def _loss_records(rows: Sequence[Row]) -> tuple[Records, Records]:
    """Every finite loss by epoch from 1, and the points kept (on the held-back curve where there is one)."""
    records: Records = []
    kept: Records = []
    for row in rows:
        for number, curve in enumerate(row.shown.losses, start=1):
            head = {"model": row.name, "curve": f"{curve.name} ({number})"}
            for part, losses in (("training", curve.train), ("held back", curve.valid)):
                for epoch, loss in enumerate(losses, start=1):
                    value = layers.rounded(loss)
                    if value is not None:
                        records.append({**head, "part": part, "epoch": epoch, "value": value})
            part = "held back" if curve.valid else "training"
            here = {**head, "part": part, "epoch": curve.kept_epoch}
            kept += [each for each in records if here.items() <= each.items()]
    return records, kept
