"""`make accuracy DATA=folder`: the global model beside baselines and published scores, on public panels.

    python benchmarks/accuracy.py FOLDER [--only cif,tourism] [--origin test]

`--origin previous` (the default) ends every series one horizon early: rules are chosen there. `--origin test` scores
the test span, writes benchmarks/ACCURACY.md and appends to benchmarks/accuracy_log.csv: every look is on record.
All contenders are scored by the same code; seconds are fit and predict together.
"""

from __future__ import annotations

import argparse
import csv
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from fleet import HERE, ROOT, python_of
from tables import table

from gatecast.data.panel import Panel
from gatecast.forecast.global_forecaster import GlobalForecaster
from panels import TASKS, Array, Task, load

PAGE = ROOT / "benchmarks" / "ACCURACY.md"
RESULTS = ROOT / "benchmarks" / "accuracy.json"
LOG = ROOT / "benchmarks" / "accuracy_log.csv"
ORIGINS = {"test": 1, "previous": 2, "earlier": 3}
LEVELS = (80, 95)


def gatecast(task: Task, known: Panel) -> tuple[Array, dict[str, Any]]:
    """The global model with nothing but its rules."""
    model = GlobalForecaster(task.horizon, season=task.season).fit(known)
    frame = model.predict(level=LEVELS if len(known) > 20 else ())
    bounds = {c: frame[c].to_numpy().reshape(len(known), -1) for c in frame.columns if "-lo-" in c or "-hi-" in c}
    return frame["Gatecast"].to_numpy().reshape(len(known), -1), {"rules": model.rules_, "bounds": bounds}


def seasonal_naive(task: Task, known: Panel) -> tuple[Array, dict[str, Any]]:
    """The last season again and again."""
    newest = known.indptr[1:, None] - task.season + np.arange(task.horizon) % task.season
    return known.values[newest, 0], {}


def baseline(name: str) -> Callable[[Task, Panel], tuple[Array, dict[str, Any]]]:
    """One of the product's own baselines."""

    def run(task: Task, known: Panel) -> tuple[Array, dict[str, Any]]:
        return _forecast(global_method(name, task.horizon, season=task.season), known)

    return run


def statsforecast(model: str) -> Callable[[Task, Panel], tuple[Array, dict[str, Any]]]:
    """A classic from another environment."""

    def run(task: Task, known: Panel) -> tuple[Array, dict[str, Any]]:
        with tempfile.TemporaryDirectory() as folder:
            given, found = Path(folder) / "in.parquet", Path(folder) / "out.npy"
            ids = np.repeat(np.arange(len(known)), np.diff(known.indptr))
            row = np.arange(known.rows) - known.indptr[ids]
            pd.DataFrame({"unique_id": ids, "ds": row, "y": known.values[:, 0]}).to_parquet(given)
            script = [python_of("statsforecast"), str(HERE / "statsforecast_contender.py"), model]
            sizes = [str(task.horizon), str(task.season)]
            done = subprocess.run(
                [*script, *sizes, str(given), str(found)], check=True, stdout=subprocess.PIPE, text=True
            )
            return np.load(found, allow_pickle=False), json.loads(done.stdout.strip().splitlines()[-1])

    return run


CONTENDERS: dict[str, Callable[[Task, Panel], tuple[Array, dict[str, Any]]]] = {
    "Gatecast": gatecast,
    "seasonal naive": seasonal_naive,
    "global ridge": global_ridge,
    "AutoETS": statsforecast("AutoETS"),
    "AutoTheta": statsforecast("AutoTheta"),
}
SKIPPED = {"m4-hourly": ("AutoETS",)}
"""Left out: hours of fitting."""


def measure(task: Task, who: str, origin: int) -> dict[str, Any]:
    """One contender's scores on one panel."""
    known, truths = task.cut(origin)
    start = time.perf_counter()
    forecasts, more = CONTENDERS[who](task, known)
    spent = more.pop("seconds", time.perf_counter() - start)
    found = {**task.score(known, truths, forecasts), "seconds": spent}
    for level in LEVELS if more.get("bounds") else ():
        ends = [more["bounds"][f"Gatecast-{end}-{level}"] for end in ("lo", "hi")]
        inside = [(lo[: len(y)] <= y) & (y <= hi[: len(y)]) for y, lo, hi in zip(truths, *ends, strict=True)]
        found[f"coverage-{level}"] = 100 * float(np.mean(np.concatenate(inside)))
    return {**found, "rules": more["rules"]} if "rules" in more else found


def page(found: dict[str, Any]) -> str:
    """All scores as Markdown."""
    parts = ["# Accuracy\n\nMade by `make accuracy DATA=folder`; seconds on one machine, fit and predict.\n"]
    for name, rows in found.items():
        scores = [k for k in rows["Gatecast"] if k not in ("rules", "published")]
        body = [[who, *(f"{row[k]:.3f}" if k in row else "-" for k in scores)] for who, row in rows.items()]
        parts.append(f"## {name}\n\n" + table(("", *scores), body) + "\n" + "\n".join(rows["Gatecast"]["rules"]) + "\n")
        parts.append(f"Published: {rows['Gatecast']['published']}.\n")
    return "\n".join(parts)


def main() -> int:
    """Run what was asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--only", default=",".join(TASKS))
    parser.add_argument("--contenders", default=",".join(CONTENDERS))
    parser.add_argument("--origin", choices=ORIGINS, default="previous")
    options = parser.parse_args()
    found: dict[str, Any] = json.loads(RESULTS.read_text()) if RESULTS.exists() and options.origin == "test" else {}
    for name in options.only.split(","):
        task = load(options.folder, name)
        for who in options.contenders.split(","):
            if who in SKIPPED.get(name, ()):
                continue
            scores = measure(task, who, ORIGINS[options.origin])
            print(name, who, {k: round(v, 4) for k, v in scores.items() if k != "rules"}, flush=True)
            if who == "Gatecast":
                scores["published"] = task.published
                print(*scores["rules"], sep="\n", flush=True)
            found.setdefault(name, {})[who] = scores
            if options.origin == "test":
                _log(name, who, scores)
    if options.origin == "test":
        RESULTS.write_text(json.dumps(found, indent=1) + "\n")
        PAGE.write_text(page(found))
    return 0


def _log(panel: str, who: str, scores: dict[str, Any]) -> None:
    """One line for every look at a test span, with the commit that the rules were made on."""
    head = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True
    )
    commit = head.stdout.strip()
    new = not LOG.exists()
    with LOG.open("a", newline="") as file:
        writer = csv.writer(file)
        if new:
            writer.writerow(["date", "parent commit", "panel", "contender", "MASE", "sMAPE", "seconds"])
        numbers = (round(scores[k], 4) for k in ("MASE", "sMAPE", "seconds"))
        writer.writerow([date.today(), commit, panel, who, *numbers])


if __name__ == "__main__":
    sys.exit(main())
