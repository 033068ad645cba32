"""A chart as a part of a page: its specification, and what stands around it as HTML."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import altair as alt

from gatecast.show.pens import on_page, theme

Spec = dict[str, Any]
Chart = alt.Chart | alt.LayerChart
Explained = tuple[str, str, Chart]
"""Title, sentence and chart of something that a model did."""


def add_figure(chart: Chart, help_text: str, specs: list[Spec]) -> dict[str, Any]:
    """Add a chart to `specs`, filling its box in the page's ink; returns what the page says about it.

    Its legend, its switches and its list of models become HTML, which wraps on a phone and is used with the keyboard.
    """
    spec: Spec = chart.to_dict()
    for layer in spec.get("layer", [spec]):
        _recolour(layer)
    spec["config"] = theme("currentColor", "transparent")
    spec["width"] = "container"
    params = {param["name"]: param for param in spec.get("params", ())}
    if "ink" in params:
        params["ink"]["value"] = "currentColor"
    title, text = str(spec.pop("title", "")), str(spec.get("description", ""))
    legend = [] if "chosen" in params else _legend(spec, params)
    spec["usermeta"] = {"models": [entry["name"] for entry in legend], "axes": _axes(spec), "table": _table(spec)}
    switches = [_unbound(param) for param in params.values() if isinstance(param.get("bind"), dict)]
    for channels in _encodings(spec):
        for channel in ("color", "strokeDash"):
            if "scale" in channels.get(channel, {}):
                channels[channel]["legend"] = None
    spec["datasets"] = {name: packed(records) for name, records in spec.get("datasets", {}).items()}
    specs.append(spec)
    return {
        "title": title,
        "text": text,
        "help": help_text,
        "at": len(specs) - 1,
        "legend": legend,
        "toggles": "models" in params,
        "switches": [each for each in switches if each["kind"] == "checkbox"],
        "zooms": "zoom" in params,
    }


def add_explained(explained: Sequence[Explained], specs: list[Spec]) -> list[dict[str, Any]]:
    """Figures for charts with a title and a sentence each, which is also the text alternative of a chart without."""
    figures = []
    for title, sentence, chart in explained:
        found = add_figure(chart, sentence, specs)
        figures.append(found | {"title": title, "text": found["text"] or f"{title}. {sentence}"})
    return figures


def packed(records: list[dict[str, Any]]) -> dict[str, Any]:
    """Records by column, `[name, values]`, where a column of texts is `[name, codes, texts]`.

    >>> packed([{"step": 1, "model": "gru"}, {"step": 2, "model": "gru"}])
    {'length': 2, 'columns': [['step', [1, 2]], ['model', [0, 0], ['gru']]]}
    """
    columns: list[list[Any]] = []
    for name in records[0] if records else ():
        values = [record[name] for record in records]
        if all(isinstance(value, str) for value in values):
            texts = list(dict.fromkeys(values))
            code = {text: i for i, text in enumerate(texts)}
            columns.append([name, [code[value] for value in values], texts])
        else:
            columns.append([name, [_short(value) for value in values]])
    return {"length": len(records), "columns": columns}


def _short(value: Any) -> Any:
    """A whole float without its `.0`, which JSON would carry."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _unbound(param: dict[str, Any]) -> dict[str, Any]:
    """A parameter whose input the page draws instead of Vega."""
    bound = param.pop("bind")
    return {"name": param["name"], "label": bound.get("name", ""), "kind": bound["input"], "on": param["value"]}


def _encodings(spec: Spec) -> Iterator[dict[str, Any]]:
    """The channels of every layer."""
    for layer in spec.get("layer", [spec]):
        yield layer.get("encoding", {})


def _recolour(part: Any, key: str = "") -> None:
    """Colours of marks and of scales by the names that the page gives them."""
    places = part.items() if isinstance(part, dict) else enumerate(part)
    for place, value in list(places):
        if isinstance(value, dict | list):
            _recolour(value, str(place))
        elif isinstance(value, str) and (place in ("color", "stroke", "fill") or key == "range"):
            part[place] = on_page(value)


def _legend(spec: Spec, params: dict[str, Any]) -> list[dict[str, Any]]:
    """Names, colours and dashes of the chart's own legend, and who is switched on."""
    scales = {
        channel: dict(zip(scale["domain"], scale["range"], strict=True))
        for channels in _encodings(spec)
        for channel in ("color", "strokeDash")
        if {"domain", "range"} <= (scale := channels.get(channel, {}).get("scale", {})).keys()
    }
    shown = [chosen["model"] for chosen in params.get("models", {}).get("value", ())]
    colours, dashes = scales.get("color", {}), scales.get("strokeDash", {})
    return [
        {
            "name": name,
            "colour": colour if isinstance(colour, str) else "currentColor",
            "dash": dashes.get(name, [1, 0]),
            "on": "models" not in params or name in shown,
        }
        for name, colour in colours.items()
    ]


def _axes(spec: Spec) -> dict[str, str]:
    """The fields of the horizontal and the vertical axis, by which Vega-Lite calls what zooms them."""
    found: dict[str, str] = {}
    for channels in _encodings(spec):
        for axis in ("x", "y"):
            if "field" in channels.get(axis, {}):
                found.setdefault(axis, channels[axis]["field"])
    return found


def _table(spec: Spec) -> dict[str, Any]:
    """The records that tell the same as the chart: the data set, its fields and titles, and which fields are dates."""
    asked = dict(spec.get("usermeta", {}).get("columns", ()))
    sets = {name: records for name, records in spec.get("datasets", {}).items() if records}
    fitting = {name: records for name, records in sets.items() if asked and asked.keys() <= records[0].keys()}
    data = max(fitting or sets, key=lambda name: len(sets[name]), default=None)
    columns = asked or ({name: name for name in sets[data][0]} if data else {})
    dates = {
        channel["field"]
        for channels in _encodings(spec)
        for channel in channels.values()
        if isinstance(channel, dict) and channel.get("type") == "temporal" and "field" in channel
    }
    return {"data": data, "columns": list(columns.items()), "dates": sorted(dates)}
