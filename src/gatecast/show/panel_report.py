"""One HTML file that holds a whole backtest and opens from disk with no network."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from gatecast.judge.backtest import Backtest
from gatecast.judge.leaderboard import versions
from gatecast.judge.panel_scores import SCORES
from gatecast.show.figures import Explained, add_explained, add_figure
from gatecast.show.files import write_atomic
from gatecast.show.page import render
from gatecast.show.panel_charts import panel_forecast_chart, score_by_step_chart
from gatecast.show.wording import cell, number

DRAWN = 6
"""Series that are drawn, evenly chosen from the best forecast one to the worst."""


def panel_report(found: Backtest, path: str | Path, command: str = "", explained: Sequence[Explained] = ()) -> Path:
    """Write a backtest as one self-contained HTML page and return its path.

    `explained`: title, sentence and chart of what the models did; without any the page has no such section.
    """
    specs: list[dict[str, Any]] = []
    by_step = add_figure(score_by_step_chart(found), "One origin's step 1 is the first row after its cut-off.", specs)
    drawn = [add_figure(panel_forecast_chart(found, name), help_text, specs) for name, help_text in _shown(found)]
    table = found.scores()
    rows = [
        {"name": str(row["model"]), "cells": [cell(float(row[name]), number(float(row[name]), 3)) for name in SCORES]}
        for _, row in table.iterrows()
    ]
    facts = {
        "kind": "backtest",
        "title": f"{found.panel.target}, {found.frame['unique_id'].nunique()} series, {found.h} steps ahead",
        "told": found.told,
        "scores": SCORES,
        "rows": rows,
        "verdicts": found.conclusions(),
        "by_step": by_step,
        "drawn": drawn,
        "command": command,
        "explained": add_explained(explained, specs),
        "again": versions(),
    }
    return write_atomic(Path(path), render("panel.html", specs, **facts))


def _shown(found: Backtest) -> list[tuple[str, str]]:
    """Series to draw, and how well the first model forecast each."""
    own = found.rows[found.rows["model"] == found.models[0]]
    ranked = own.groupby("unique_id")["MASE"].mean().dropna().sort_values(kind="stable")
    places = np.unique(np.linspace(0, len(ranked) - 1, min(DRAWN, len(ranked))).round().astype(int))
    return [
        (str(ranked.index[at]), f"MASE {ranked.iloc[at]:.3f}, number {at + 1} of {len(ranked)} from the best forecast.")
        for at in places
    ]
