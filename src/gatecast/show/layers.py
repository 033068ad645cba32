"""The pieces charts are layered from: inline data with fixed field names, axes, coloured lines, the reading rule.

No name of the user's becomes a field name: a name is data, or a title, which Vega-Lite quotes where it writes it
into an expression (that quoting misses the Unicode line separators, so titles are put on one line first).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import altair as alt
import numpy as np
from jaxtyping import Float64, Shaped

from gatecast.data.calendar import Times
from gatecast.data.panel import Panel
from gatecast.show.pens import INK, MUTED, OBSERVED, Pen, theme

Records = list[dict[str, Any]]
NAMED_IN_TOOLTIP = 12
"""How many models a tooltip lists; more would not fit on a phone."""
READ_AT_MOST = 1500
"""At so many places a pointer can read a chart; of longer ones only every second, third, ... row."""
ROOM = "(width > 0 && isFinite(containerSize()[0]) ? containerSize()[0] - 50 : width)"
"""The pixels a legend may fill: of the box around the chart, because the chart's own width still changes with it."""
# Vega's choice of label by what begins at a tick, with the month beside every day
DATE_LABELS = {"year": "%Y", "quarter": "%b %Y", "month": "%b %Y", "week": "%d %b", "date": "%d %b", "hours": "%H:%M"}


def rounded(value: float) -> float | None:
    """A number with six significant digits for a drawing; None where there is none.

    >>> rounded(180.9512345), rounded(float("nan"))
    (180.951, None)
    """
    return float(f"{value:.6g}") if np.isfinite(value) else None


def clock(times: Times) -> list[int]:
    """Times as Vega reads them: milliseconds since 1970 in UTC for dates, the counter itself otherwise."""
    plain = times if times.dtype.kind == "i" else times.astype("datetime64[ms]").astype(np.int64)
    return [int(each) for each in plain]


def aligned(
    values: Float64[np.ndarray, "N"], times: Shaped[np.ndarray, "N"], onto: Shaped[np.ndarray, "M"]
) -> Float64[np.ndarray, "M"]:
    """The values at the times `onto`, NaN where `times` (sorted) has none."""
    found = np.full(len(onto), np.nan)
    place = np.searchsorted(times, onto)
    inside = place < len(times)
    hit = np.flatnonzero(inside)[times[place[inside]] == onto[inside]]
    found[hit] = values[place[hit]]
    return found


def wide(head: str, marks: Sequence[int], columns: Sequence[Float64[np.ndarray, "N"]]) -> Records:
    """One record per mark: `head`, then y0, y1, ... for the columns."""
    cells = [[rounded(value) for value in column] for column in columns]
    fields = [f"y{i}" for i in range(len(cells))]
    return [dict(zip((head, *fields), row, strict=True)) for row in zip(marks, *cells, strict=True)]


@dataclass(frozen=True)
class Columns:
    """Values by place, under the fields y0, y1, ... that `add` gives out; `head` names the places.

    >>> table = Columns("step", [1, 2])
    >>> table.add("naive", np.array([3.0, np.nan])), table.records(), table.titles
    ('y0', [{'step': 1, 'y0': 3.0}, {'step': 2, 'y0': None}], {'y0': 'naive'})
    """

    head: str
    marks: Sequence[int]
    titles: dict[str, str] = field(default_factory=dict)
    values: list[Float64[np.ndarray, "N"]] = field(default_factory=list)

    def add(self, title: str, values: Float64[np.ndarray, "N"]) -> str:
        """The field of a new column."""
        name = f"y{len(self.titles)}"
        self.titles[name] = title
        self.values.append(values)
        return name

    def records(self) -> Records:
        """One record per place."""
        return wide(self.head, self.marks, self.values)

    def told(self) -> dict[str, str]:
        """Fields and titles of the whole table."""
        return {self.head: self.head, **self.titles}


def one_line(name: str) -> str:
    """A name with every run of white space, Unicode line separators too, as one space.

    >>> one_line("High\u2028(adjusted)")
    'High (adjusted)'
    """
    return " ".join(name.split())


def inline(records: Records) -> alt.InlineData:
    """Records as data that travel inside the chart, however many there are."""
    return alt.InlineData(values=records)


def time_axis(panel: Panel) -> alt.X:
    """The horizontal axis: dates in UTC, so that no reader's time zone moves a day, or the plain counter."""
    ticks = alt.ExprRef("max(3, floor(width / 110))")
    if panel.times.dtype.kind == "i":
        axis = alt.Axis(format="d", tickCount=ticks, tickMinStep=1)
        return alt.X("time:Q", title="time", scale=alt.Scale(zero=False, nice=False), axis=axis)
    axis = alt.Axis(format=DATE_LABELS, tickCount=ticks)
    return alt.X("time:T", title=None, scale=alt.Scale(type="utc"), axis=axis)


def step_axis(field: str) -> alt.X:
    """The horizontal axis of whole numbers counted from 1: steps of a free run, epochs."""
    axis = alt.Axis(format="d", tickCount=alt.ExprRef("max(3, floor(width / 80))"), tickMinStep=1)
    return alt.X(f"{field}:Q", title=field, scale=alt.Scale(zero=False, nice=False), axis=axis)


def field_of(x: alt.X) -> str:
    """The field that an axis shows."""
    return str(x.shorthand).split(":")[0]


def time_tip(panel: Panel) -> alt.Tooltip:
    """The time in a tooltip, with the clock where the series has one."""
    if panel.times.dtype.kind == "i":
        return alt.Tooltip("time:Q", title="time", format="d")
    whole_days = bool((panel.times == panel.times.astype("datetime64[D]")).all())
    if whole_days:
        return alt.Tooltip("time:T", timeUnit="utcyearmonthdate", title="date", format="%Y-%m-%d")
    return alt.Tooltip("time:T", timeUnit="utcyearmonthdatehoursminutes", title="time", format="%Y-%m-%d %H:%M")


def value_axis(title: str) -> alt.Y:
    """The vertical axis: the target's own units, not forced through zero."""
    return alt.Y("value:Q", title=one_line(title), scale=alt.Scale(zero=False))


def colour(pens: dict[str, Pen]) -> alt.Color:
    """Model names to colours; the observed values take the page's ink."""
    shades: list[Any] = [alt.ExprRef("ink") if name == OBSERVED else pen.colour for name, pen in pens.items()]
    cell = min(240, 46 + 13 * max(len(name) for name in pens) // 2)
    columns = alt.ExprRef(f"max(1, min(5, floor({ROOM} / {cell})))")
    return alt.Color("model:N", scale=alt.Scale(domain=list(pens), range=shades), legend=alt.Legend(columns=columns))


def dashes(pens: dict[str, Pen]) -> alt.StrokeDash:
    """Model names to dashes, with the legend shared with `colour`."""
    patterns = [list(pen.dash) for pen in pens.values()]
    return alt.StrokeDash("model:N", scale=alt.Scale(domain=list(pens), range=patterns))


def toggle(shown: Iterable[str]) -> alt.Parameter:
    """The legend as a row of switches, with these models on at first."""
    return alt.selection_point(
        name="models", fields=["model"], bind="legend", toggle="true", value=[{"model": name} for name in shown]
    )


def tick_box(name: str, label: str, on: bool) -> alt.Parameter:
    """A named switch of a chart, for `transform_filter`: a box to tick in a notebook, a button in a report."""
    return alt.param(name=name, value=on, bind=alt.binding_checkbox(name=label))


def choice(names: Sequence[str], chosen: str) -> alt.Parameter:
    """One model out of `names`, as the signal `chosen`: a list in a notebook, one list for all charts in a report."""
    return alt.param(name="chosen", value=chosen, bind=alt.binding_select(options=list(names), name="model"))


def zoom() -> alt.Parameter:
    """Zoom with Ctrl and the wheel (or a pinch), move by dragging: scrolling with wheel or finger stays the page's."""
    return alt.selection_interval(
        name="zoom",
        bind="scales",
        zoom="wheel![event.ctrlKey]",
        translate="[pointerdown[event.pointerType !== 'touch'], window:pointerup] > window:pointermove!",
    )


def named(records: Records, fields: dict[str, str], shown: alt.Parameter) -> alt.Chart:
    """The fields of `records` below one another as `value`, with the `model` that `fields` gives each, if it is on."""
    names = inline([{"key": key, "model": name} for key, name in fields.items()])
    lookup = alt.LookupData(data=names, key="key", fields=["model"])
    long = alt.Chart(inline(records)).transform_fold([*fields], as_=["key", "value"])
    found: alt.Chart = long.transform_lookup("key", from_=lookup).transform_filter(shown)
    return found


def lines(
    records: Records, fields: dict[str, str], pens: dict[str, Pen], shown: alt.Parameter, x: alt.X, y: alt.Y
) -> alt.Chart:
    """One line for every field of `records`, drawn with the pen of the model that `fields` gives it."""
    drawn = named(records, fields, shown).mark_line(clip=True, opacity=0.95)
    encoded: alt.Chart = drawn.encode(x=x, y=y, color=colour(pens), strokeDash=dashes(pens), detail="key:N")
    return encoded


def reading_rule(records: Records, titles: dict[str, str], x: alt.X, tip: alt.Tooltip) -> alt.Chart:
    """A faint rule under the pointer with the value of every field of `titles` at that place."""
    head = field_of(x)
    hover = alt.selection_point(name="pointer", fields=[head], on="pointerover", clear="pointerout", empty=False)
    named = list(titles.items())[:NAMED_IN_TOOLTIP]
    tips = [alt.Tooltip(f"{key}:Q", title=one_line(name), format=",.5~g") for key, name in named]
    records = records[:: -(-len(records) // READ_AT_MOST)]
    first, last, gaps = records[0][head], records[-1][head], max(1, len(records) - 1)
    pace = alt.ExprRef(f"max(2, abs(scale('x', {last}) - scale('x', {first})) / {gaps} + 1)")
    rule: alt.Chart = alt.Chart(inline(records)).mark_rule(color=MUTED, strokeWidth=pace, clip=True)
    rule = rule.encode(x=x, tooltip=[tip, *tips], opacity=alt.condition(hover, alt.value(0.3), alt.value(0)))
    return rule.add_params(hover)


def rule_at(mark: int, x: alt.X) -> alt.Chart:
    """A dashed vertical line at one place of the horizontal axis."""
    rule: alt.Chart = alt.Chart(inline([{field_of(x): mark}])).mark_rule(color=MUTED, strokeDash=[3, 3], strokeWidth=1)
    return rule.encode(x=x)


def dress(
    layers: Sequence[alt.Chart],
    title: str,
    description: str,
    columns: dict[str, str],
    height: int = 300,
) -> alt.LayerChart:
    """Layers as one finished chart: title, text alternative, size, theme.

    `columns` are the fields, with their titles, of the records that tell the same as the chart in a table.
    """
    told = {"columns": [[field, one_line(name)] for field, name in columns.items()]}
    chart = alt.layer(*layers, title=title, description=description, width=760, height=height, usermeta=told)
    dressed: alt.LayerChart = chart.add_params(alt.param(name="ink", value=INK)).configure(**theme())
    return dressed
