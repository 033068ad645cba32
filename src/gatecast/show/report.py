"""One HTML file that holds a whole leaderboard and opens from disk with no network."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Callable, Iterator
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

import altair as alt
import vl_convert
from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

from gatecast.errors import GatecastError
from gatecast.judge.board import Board, Leaderboard, Row
from gatecast.show import charts, wording
from gatecast.show.files import write_atomic
from gatecast.show.pens import NAIVE, is_baseline, pens, theme

# the order of the page; each with the reading help under it
FIGURES: tuple[tuple[Callable[[Board], alt.LayerChart], str], ...] = (
    (charts.split_chart, "Every model was fitted on the training span alone."),
    (
        charts.forecast_chart,
        "Each point was forecast from the true history up to the row before it. Shaded: the prediction intervals.",
    ),
    (charts.free_run_chart, "All from one origin, with no look at the truth after the dashed line."),
    (charts.error_by_step_chart, "Distance between free run and truth, step by step."),
    (charts.divergence_chart, "Distance between a model's free run and its own one-step forecasts, step by step."),
    (charts.loss_chart, "Solid: training; dashed: held back; the dot marks the weights that were kept."),
)
ESCAPES = {"<": "\\u003c", ">": "\\u003e", "&": "\\u0026"}


def report(leaderboard: Leaderboard, path: str | Path) -> Path:
    """Write the leaderboard as one self-contained HTML page and return its path; raises GatecastError if it cannot."""
    if not leaderboard.boards:
        raise GatecastError("a report needs at least one board", "run `leaderboard` on a panel with a series first")
    bundle, script = _bundle(), _asset("report.js")
    specs: list[dict[str, Any]] = []
    page = _environment().from_string(_asset("report.html"))
    text = page.render(
        title=_title(leaderboard),
        policy=_policy(bundle, script),
        style=Markup(_asset("report.css")),
        bundle=Markup(bundle),
        script=Markup(script),
        sentence=wording.sentence,
        boards=[_section(board, i, specs) for i, board in enumerate(leaderboard.boards, start=1)],
        run=leaderboard,
        specs=Markup(script_json(specs)),
    )
    return write_atomic(Path(path), text.encode())


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
    return Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)


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


def _title(leaderboard: Leaderboard) -> str:
    boards = leaderboard.boards
    if len(boards) == 1:
        return f"{boards[0].test.target}, {boards[0].series}"
    return f"{boards[0].test.target}, {len(boards)} series"


def _section(board: Board, number: int, specs: list[dict[str, Any]]) -> dict[str, Any]:
    """What the page says about one board; its charts are added to `specs`."""
    figures = []
    for spec, help_text in _figures(board):
        figures.append({"title": spec.pop("title"), "text": spec["description"], "help": help_text, "at": len(specs)})
        specs.append(spec)
    drawn = pens(board)
    rows = [_row(board, row) | {"pen": drawn[row.name]} for row in board.rows]
    levels = sorted({level for row in board.rows for level, _ in row.shown.coverage})
    return {
        "anchor": f"series-{number}",
        "board": board,
        "answer": wording.answer(board),
        "best": rows[0],
        "runner_up": wording.runner_up(board),
        "seeds": max(len(row.runs) for row in board.rows),
        "rows": rows,
        "levels": [f"{level:g} %" for level in levels],
        "covered": [row | {"cells": _coverage(row["row"], levels)} for row in rows if row["row"].shown.coverage],
        "figures": figures,
    }


def _figures(board: Board) -> Iterator[tuple[dict[str, Any], str]]:
    """The charts this board has, as specifications that fill their box and take the page's ink."""
    missing: set[object] = set()
    if not any(row.shown.free_run for row in board.rows):
        missing |= {charts.free_run_chart, charts.error_by_step_chart, charts.divergence_chart}
    if not any(curve.train for row in board.rows for curve in row.shown.losses):
        missing.add(charts.loss_chart)
    for draw, help_text in FIGURES:
        if draw in missing:
            continue
        spec = draw(board).to_dict()
        spec["datasets"] = {name: packed(records) for name, records in spec["datasets"].items()}
        spec["config"] = theme("currentColor", "transparent")
        spec["width"] = "container"
        for param in spec["params"]:
            if param["name"] == "ink":
                param["value"] = "currentColor"
        yield spec, help_text


def _row(board: Board, row: Row) -> dict[str, Any]:
    """One line of the leaderboard as text."""
    shown, scores = row.shown, row.shown.scores
    decimals, free = wording.decimals_for(board.rows[0].shown.scores.rmse), wording.free_decimals(board)
    return {
        "row": row,
        "baseline": is_baseline(row),
        "naive": row.name == NAIVE,
        "rmse": wording.median(row, decimals),
        "rmse_range": wording.seed_range(row, decimals),
        "mae": wording.number(scores.mae, decimals),
        "mase": wording.number(scores.mase, 3),
        "smape": wording.number(scores.smape, 3),
        "skill": wording.percent(row.comparison.skill),
        "p": wording.probability(row.comparison.p),
        "free": wording.median(row, free, free=True),
        "free_range": wording.seed_range(row, free, free=True),
        "free_shown": wording.number(shown.free_scores.rmse if shown.free_scores else None, free),
        "seconds": wording.duration(shown.seconds),
        "parameters": f"{row.parameters:,}" if row.parameters else wording.NONE,
    }


def _coverage(row: Row, levels: list[float]) -> list[str]:
    got = dict(row.shown.coverage)
    return [f"{got[level]:.1f} %" if level in got else wording.NONE for level in levels]
