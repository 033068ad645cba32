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

from gatecast.show.pens import palette

ESCAPES = {"<": "\\u003c", ">": "\\u003e", "&": "\\u0026"}


def render(template: str, specs: list[dict[str, Any]], **facts: Any) -> bytes:
    """The page of this template, with the charts of `specs` and everything that draws them inside."""
    bundle, script = _bundle(), _asset("report.js")
    page = _environment().get_template(template)
    text = page.render(
        policy=_policy(bundle, script),
        style=Markup(palette() + _asset("report.css")),
        bundle=Markup(bundle),
        script=Markup(script),
        specs=Markup(script_json(specs)),
        **facts,
    )
    return text.encode()


def script_json(value: object) -> str:
    """JSON in plain ASCII that cannot end the script element around it.

    >>> script_json("</script>")
    '"\\\\u003c/script\\\\u003e"'
    """
    text = json.dumps(value, separators=(",", ":"), allow_nan=False)
    for sign, escape in ESCAPES.items():
        text = text.replace(sign, escape)
    return text


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
