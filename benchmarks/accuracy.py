"""`make accuracy DATA=folder`: the global model beside baselines, classics and published scores, on public panels.

    python benchmarks/accuracy.py FOLDER [--only cif,tourism] [--origin test]

`--origin previous` (the default) ends every series one horizon, or one test span, early: rules are chosen there.
`--origin test` scores the test span, writes benchmarks/ACCURACY.md and appends to benchmarks/accuracy_log.csv: every
look is on record. All contenders are scored by the same code; seconds are fit and predict together.
"""

from __future__ import annotations

import argparse
import csv
import json
import subprocess
import sys
import tempfile
import time
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from fleet import HERE, ROOT, python_of
from rolling import ROLLS, measure_rolling
from tables import table

from gatecast.data.panel import Panel
from gatecast.forecast.panels.bands import between
from gatecast.forecast.panels.baselines import global_method
from gatecast.judge.panel_scores import PROBABILITIES, row_scores
from gatecast.train.lockstep import MEDIAN, QUANTILES
from panels import TASKS, Array, Task, load

PAGE = ROOT / "benchmarks" / "ACCURACY.md"
RESULTS = ROOT / "benchmarks" / "accuracy.json"
LOG = ROOT / "benchmarks" / "accuracy_log.csv"
ORIGINS = {"test": 1, "previous": 2, "earlier": 3}
OWN = ("Gatecast", "seasonal_naive", "drift", "global_ridge")
CLASSICS = ("AutoETS", "AutoTheta")
NEURAL = ("NeuralForecast LSTM", "NeuralForecast GRU")
SKIPPED = {"m4-hourly": ("AutoETS", *NEURAL)}
"""Left out: an hour of fitting."""
WORDS = ("rules", "published")


def own(name: str, task: Task, known: Panel) -> tuple[Array, dict[str, Any]]:
    """Quantiles [S, K, Q] of one of the product's models, and what it decided."""
    method = global_method(name, task.horizon, season=task.season).fit(known)
    frame = method.predict(quantiles=QUANTILES)
    columns = [f"{name}-q-{q:g}" for q in QUANTILES]
    found = frame[columns].to_numpy().reshape(len(known), task.horizon, len(QUANTILES)).copy()
    found[..., MEDIAN] = frame[name].to_numpy().reshape(len(known), -1)
    return found, {"rules": method.rules_} if name == "Gatecast" else {}


def foreign(name: str, task: Task, known: Panel) -> tuple[Array, dict[str, Any]]:
    """The same of a contender in an environment of its own."""
    kind = "neuralforecast" if name in NEURAL else "statsforecast"
    script = {"statsforecast": "statsforecast_contender.py", "neuralforecast": "neuralforecast_accuracy.py"}[kind]
    with tempfile.TemporaryDirectory() as folder:
        given, found = Path(folder) / "in.parquet", Path(folder) / "out.npy"
        ids = np.repeat(np.arange(len(known)), np.diff(known.indptr))
        row = np.arange(known.rows) - known.indptr[ids]
        pd.DataFrame({"unique_id": ids, "ds": row, "y": known.values[:, 0]}).to_parquet(given)
        command = [python_of(kind), str(HERE / script), name.split()[-1], str(task.horizon), str(task.season)]
        done = subprocess.run([*command, str(given), str(found)], check=True, stdout=subprocess.PIPE, text=True)
        return np.load(found, allow_pickle=False), json.loads(done.stdout.strip().splitlines()[-1])


def measure(task: Task, who: str, origin: int) -> dict[str, Any]:
    """One contender's scores on one panel."""
    known, truths = task.cut(origin)
    start = time.perf_counter()
    quantiles, more = (own if who in OWN else foreign)(who, task, known)
    spent = more.pop("seconds", time.perf_counter() - start)
    found = {**task.score(known, truths, quantiles[..., quantiles.shape[-1] // 2]), "seconds": spent}
    return {**found, **spread_scores(task.scale(known), truths, quantiles), **more}


def spread_scores(scale: Array, truths: list[Array], quantiles: Array) -> dict[str, float]:
    """CRPS in units of the seasonal naive error, and coverage, for contenders that say quantiles."""
    if quantiles.shape[-1] == 1:
        return {}
    lengths = [len(y) for y in truths]
    rows = {"y": np.concatenate(truths), "scale": np.repeat(scale, lengths)}
    for suffix, p in {**PROBABILITIES, "": 0.5}.items():
        bound = between(quantiles, p)
        name = f"f-{suffix}" if suffix else "f"
        rows[name] = np.concatenate([each[:n] for each, n in zip(bound, lengths, strict=True)])
    scores = row_scores(pd.DataFrame(rows), "f")
    return {name: float(np.nanmean(scores[name])) for name in ("CRPS", "coverage 80", "coverage 95")}


def page(found: dict[str, Any]) -> str:
    """All scores as Markdown."""
    parts = ["# Accuracy\n\nMade by `make accuracy DATA=folder`; seconds on one machine, fit and predict.\n"]
    for name, rows in found.items():
        scores = [k for k in rows["Gatecast"] if k not in WORDS]
        body = [[who, *(f"{row[k]:.3f}" if k in row else "-" for k in scores)] for who, row in rows.items()]
        parts.append(f"## {name}\n\n" + table(("", *scores), body) + "\n" + "\n".join(rows["Gatecast"]["rules"]) + "\n")
        parts.append(f"Published: {rows['Gatecast']['published']}.\n")
    return "\n".join(parts)


def main() -> int:
    """Run what was asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--only", default=",".join([*TASKS, *ROLLS]))
    parser.add_argument("--contenders", default=",".join([*OWN, *CLASSICS, *NEURAL]))
    parser.add_argument("--origin", choices=ORIGINS, default="previous")
    options = parser.parse_args()
    found: dict[str, Any] = json.loads(RESULTS.read_text()) if RESULTS.exists() and options.origin == "test" else {}
    for name in options.only.split(","):
        for who in options.contenders.split(","):
            scores = _one(options.folder, name, who, options.origin)
            if scores is None:
                continue
            print(name, who, {k: round(v, 4) for k, v in scores.items() if k not in WORDS}, flush=True)
            if who == "Gatecast":
                print(*scores["rules"], sep="\n", flush=True)
            found.setdefault(name, {})[who] = scores
            if options.origin == "test":
                _log(name, who, scores)
                RESULTS.write_text(json.dumps(found, indent=1) + "\n")
    if options.origin == "test":
        PAGE.write_text(page(found))
    return 0


def _one(folder: Path, name: str, who: str, origin: str) -> dict[str, Any] | None:
    """One contender on one task; None where it is left out."""
    if name in TASKS:
        task = load(folder, name)
        skipped = who in SKIPPED.get(name, ())
        scores = None if skipped else measure(task, who, ORIGINS[origin])
        published = task.published
    else:
        roll = ROLLS[name](folder, origin == "test")
        scores = measure_rolling(roll, who) if who in OWN else None
        published = roll.published
    return {**scores, "published": published} if scores and who == "Gatecast" else scores


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
        first = next(iter(scores))  # the figure of the bar
        numbers = (scores.get("MASE", scores[first]), scores.get("sMAPE"), scores["seconds"])
        writer.writerow([date.today(), commit, panel, who, *("" if n is None else round(n, 4) for n in numbers)])


if __name__ == "__main__":
    sys.exit(main())
