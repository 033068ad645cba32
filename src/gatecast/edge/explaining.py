"""The work of `gatecast explain`: a saved model with newer data, or the adding problem, explained; and its files."""

from __future__ import annotations

import json
from importlib.metadata import version
from pathlib import Path

from gatecast.edge.exports import SCHEMA
from gatecast.edge.inputs import newer_data
from gatecast.edge.options import Layout, Source
from gatecast.edge.panel_jobs import open_panel
from gatecast.edge.progress import counting
from gatecast.edge.save import load_model
from gatecast.explain.decay import Decay, adding_decay
from gatecast.explain.explanation import Explanation, explain, plain_facts
from gatecast.forecast.forecaster import Forecaster
from gatecast.nn.cells import CELLS
from gatecast.show.explain_report import explain_report
from gatecast.show.files import write_atomic


def explain_file(model: Path, data: str | None, layout: Layout, compare: bool) -> Explanation:
    """Explain a saved model over newer rows of its series, or over a panel."""
    fitted = load_model(model)
    if isinstance(fitted, Forecaster):
        return explain(fitted, newer_data(fitted.history_, data, layout) if data else None, compare=compare)
    newer = open_panel(data, Source(target=fitted.panel_.target), layout)[0] if data else None
    return explain(fitted, newer, compare=compare)


def explain_adding(length: int, steps: int, quiet: bool) -> Decay:
    """An RNN, an LSTM and a GRU on the adding problem, with a bar."""
    with counting(quiet) as watch:
        watch.begin("training", steps * len(CELLS))
        return adding_decay(length, steps, watch=watch.step)


def document(found: Explanation | Decay) -> str:
    """All numbers as JSON."""
    facts = {"schema": SCHEMA, "gatecast": version("gatecast"), **plain_facts(found)}
    return json.dumps(facts, allow_nan=False, indent=1) + "\n"


def write_explanation(found: Explanation | Decay, folder: Path, command: str) -> None:
    """explain.html and explain.json."""
    folder.mkdir(parents=True, exist_ok=True)
    write_atomic(folder / "explain.json", document(found).encode())
    explain_report(found, folder / "explain.html", command)
