"""The description of the server, in which every example is a request that this very model answers."""

from __future__ import annotations

from typing import Any

import numpy as np

from gatecast.data.panel import Panel
from gatecast.edge.cells import time_json
from gatecast.edge.serve.live import Live
from gatecast.edge.serve.rows import known_rows, number
from gatecast.edge.serve.schemas import AskOnce
from gatecast.errors import GatecastError

FEWEST = 8
"""Rows of the first history that is tried."""
NEW = "example"
"""The series that goes live in the example."""


def with_examples(document: dict[str, Any], live: Live) -> dict[str, Any]:
    """An OpenAPI document, its examples of requests made of the rows that the model knows."""
    schemas, asked = document["components"]["schemas"], _question(live)
    rows = {"rows": asked["history"], "static": asked.get("static", {})}
    schemas["Rows"]["examples"] = [{name: value for name, value in rows.items() if value}]
    schemas["AskOnce"]["examples"] = [asked]
    schemas["Ask"]["examples"] = [{name: asked[name] for name in ("h", "level", "ahead") if name in asked}]
    for path, ways in document["paths"].items():
        for way in ways.values():
            for parameter in way.get("parameters", ()):
                if parameter["name"] == "id":
                    fresh = path.endswith("/observe") or not live.ordered
                    parameter["schema"]["examples"] = [NEW if fresh else live.ordered[0]]
    return document


def _question(live: Live) -> dict[str, Any]:
    """A forecast of rows that come along: as few of the model's own as it answers, with an interval if it has one."""
    panel = known_rows(live.model)
    own = panel.series(panel.ids[0])
    count = FEWEST
    while True:
        history = _rows(own, own.rows - min(count, own.rows), own.rows)
        asked = {"history": history, "h": 1, "level": [80], **_ahead(live, own), **_facts(live)}
        for given in (asked, {name: value for name, value in asked.items() if name != "level"}):
            try:
                live.forecast_once(AskOnce.model_validate(given))
                return given
            except GatecastError:
                if count >= own.rows and given is not asked:
                    return asked
        count *= 2


def _rows(panel: Panel, start: int, stop: int) -> list[dict[str, Any]]:
    """Rows of a series, as a client sends them."""
    alone = len(panel.columns) == 1
    return [
        {
            "time": time_json(time),
            "value": number(row[0]) if alone else dict(zip(panel.columns, map(number, row), strict=True)),
        }
        for time, row in zip(panel.times[start:stop], panel.values[start:stop], strict=True)
    ]


def _ahead(live: Live, panel: Panel) -> dict[str, Any]:
    """The columns that are known ahead, as they were last known."""
    names = live.reader.future
    if not names:
        return {}
    (time,) = live.reader.calendar.future(panel.times[-1], 1)
    columns = {name: panel.values[:, panel.columns.index(name)] for name in names}
    last = {name: number(column[np.isfinite(column)][-1]) for name, column in columns.items()}
    return {"ahead": [{"time": time_json(time), "value": last}]}


def _facts(live: Live) -> dict[str, Any]:
    """Facts of a series like others."""
    facts = live.model.static_.facts if live.reader.facts else ()
    return {"static": {fact.name: fact.words[0] if fact.words else fact.mean for fact in facts}} if facts else {}
