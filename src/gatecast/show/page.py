"""The pieces that every self-contained HTML page is made of: assets, scripts, a policy, charts as packed data."""

from __future__ import annotations

import base64
import hashlib
import json
from functools import cache
from importlib.resources import files
from typing import Any

import altair as alt
import vl_convert
from jinja2 import Environment, FunctionLoader, StrictUndefined
from markupsafe import Markup

from gatecast.show.pens import theme

ESCAPES = {"<": "\\u003c", ">": "\\u003e", "&": "\\u0026"}


def render(template: str, specs: list[dict[str, Any]], **facts: Any) -> bytes:
    """The page of this template, with the charts of `specs` and everything that draws them inside."""
    bundle, script = _bundle(), _asset("report.js")
    page = _environment().get_template(template)
    text = page.render(
        policy=_policy(bundle, script),
        style=Markup(_asset("report.css")),
        bundle=Markup(bundle),
        script=Markup(script),
        specs=Markup(script_json(specs)),
        **facts,
    )
    return text.encode()


def add_figure(chart: alt.LayerChart, help_text: str, specs: list[dict[str, Any]]) -> dict[str, Any]:
    """Add a chart to `specs`, filling its box in the page's ink; returns what the page says about it."""
    spec: dict[str, Any] = chart.to_dict()
    spec["datasets"] = {name: packed(records) for name, records in spec["datasets"].items()}
    spec["config"] = theme("currentColor", "transparent")
    spec["width"] = "container"
    for param in spec["params"]:
        if param["name"] == "ink":
            param["value"] = "currentColor"
    specs.append(spec)
    return {"title": spec.pop("title"), "text": spec["description"], "help": help_text, "at": len(specs) - 1}


def script_json(value: object) -> str:
    """JSON in plain ASCII that cannot end the script element around it.

    >>> script_json("</script>")
    '"\\\\u003c/script\\\\u003e"'
    """
    text = json.dumps(value, separators=(",", ":"), allow_nan=False)
    for sign, escape in ESCAPES.items():
        text = text.replace(sign, escape)
    return text


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


def _asset(name: str) -> str:
    return (files("gatecast.show") / name).read_text(encoding="utf-8")


def _environment() -> Environment:
    """Escapes every value that is not marked as the page's own, and fails on a name that the page does not know."""
    return Environment(
        loader=FunctionLoader(_asset), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )


@cache
def _bundle() -> str:
    """Vega, Vega-Lite and Vega-Embed as one script, in the version that Altair's charts are written for."""
    version = ".".join(alt.SCHEMA_VERSION.split(".")[:2])
    code: str = vl_convert.javascript_bundle("window.vegaEmbed=vegaEmbed;", version)
    return code.replace("</script", "<\\/script").replace("<!--", "<\\!--").replace("\r", "\\r")


def _policy(*scripts: str) -> str:
    """A content security policy under which only these scripts run and no request can leave the page.

    Styles are inline because Vega sets them on its elements; no script is evaluated from text, because the
    page draws with Vega's expression interpreter.
    """
    digests = (base64.b64encode(hashlib.sha256(script.encode()).digest()).decode() for script in scripts)
    allowed = " ".join(f"'sha256-{digest}'" for digest in digests)
    return (
        f"default-src 'none'; script-src {allowed}; style-src 'unsafe-inline'; img-src data:; "
        "base-uri 'none'; form-action 'none'"
    )
