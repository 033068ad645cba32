"""What the book's cells draw with: Altair charts become still pictures (SVG) that follow the page's own ink.

`import drawing` in a cell is enough for every chart of `gatecast.show`; `lines` and `bars` draw anything else. Warnings
are errors in every cell.
"""

from __future__ import annotations

import itertools
import re
import warnings
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

import altair as alt
import numpy as np
import torch
import vl_convert

from gatecast.show import layers
from gatecast.show.pens import COLOURS, INK, MUTED, OBSERVED, theme

warnings.simplefilter("error")
warnings.filterwarnings("ignore", module=r"ipykernel\.")
torch.set_num_threads(1)

_numbers = itertools.count()
_NAMES = re.compile(r'(\bid="|url\(#|href="#)')


def picture(spec: Mapping[str, Any], **_: Any) -> tuple[dict[str, str], dict[str, str]]:
    """A chart's specification as an SVG inside HTML, for Altair's list of renderers."""
    still = {**spec, "params": [p for p in spec.get("params", []) if p.get("name") != "zoom"]}
    svg = vl_convert.vegalite_to_svg(still).replace(INK, "currentColor").replace('fill="white"', 'fill="none"')
    svg = _NAMES.sub(rf"\g<1>chart{next(_numbers)}-", svg)
    words = escape(str(spec.get("description", "")), quote=True)
    svg = svg.replace("<svg ", f'<svg role="img" aria-label="{words}" ', 1)
    return {"text/html": f'<figure class="chart">{svg}</figure>', "text/plain": words}, {}


alt.renderers.register("book", picture)
alt.renderers.enable("book")


def lines(
    curves: Mapping[str, Any],
    title: str,
    description: str,
    x: Sequence[Any] | np.ndarray | None = None,
    axes: tuple[str, str] = ("", ""),
    log: bool = False,
    height: int = 240,
) -> alt.LayerChart:
    """One line per curve, all over the same `x` (0, 1, 2, ... by default; dates are drawn as dates).

    `axes`: the words at x and y. A curve called observed takes the page's ink, one called naive is grey.
    """
    first = np.asarray(next(iter(curves.values())))
    marks = np.arange(len(first)) if x is None else np.asarray(x)
    dated = marks.dtype.kind == "M"
    at = layers.clock(marks) if dated else [float(each) for each in marks]
    records = [
        {"x": t, "value": layers.rounded(float(v)), "curve": name}
        for name, values in curves.items()
        for t, v in zip(at, np.asarray(values, dtype=float), strict=True)
    ]
    shades = iter(COLOURS)
    colours = [{OBSERVED: INK, "naive": MUTED}.get(name) or next(shades) for name in curves]
    across = alt.X("x:T", title=None, scale=alt.Scale(type="utc"), axis=alt.Axis(format=layers.DATE_LABELS))
    if not dated:
        whole = alt.Axis(format="d", tickMinStep=1)
        across = alt.X("x:Q", title=axes[0] or None, scale=alt.Scale(nice=False, zero=False), axis=whole)
    up = alt.Y("value:Q", title=axes[1] or None, scale=alt.Scale(type="log") if log else alt.Scale(zero=False))
    legend = alt.Legend(columns=5) if len(curves) > 1 else None
    colour = alt.Color("curve:N", scale=alt.Scale(domain=list(curves), range=colours), legend=legend)
    drawn = alt.Chart(layers.inline(records)).mark_line(strokeWidth=1.6).encode(x=across, y=up, color=colour)
    chart = alt.layer(drawn, title=title, description=description, width=700, height=height)
    dressed: alt.LayerChart = chart.configure(**theme())
    return dressed


def bars(values: Mapping[str, float], title: str, description: str, unit: str = "") -> alt.LayerChart:
    """One bar per name, in the order given, with its number at the end."""
    records = [{"name": name, "value": layers.rounded(float(value))} for name, value in values.items()]
    base = alt.Chart(layers.inline(records)).encode(
        y=alt.Y("name:N", sort=None, title=None, axis=alt.Axis(labelLimit=260)),
        x=alt.X("value:Q", title=unit or None, axis=alt.Axis(grid=False)),
    )
    words = base.mark_text(align="left", dx=6, color=INK).encode(text=alt.Text("value:Q", format=".4~g"))
    chart = alt.layer(base.mark_bar(color=COLOURS[0], height=14), words, title=title, description=description)
    sized = chart.properties(width=500, height=alt.Step(26), padding={"left": 40, "right": 5, "top": 5, "bottom": 5})
    dressed: alt.LayerChart = sized.configure(**theme())
    return dressed
