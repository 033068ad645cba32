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
import time
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from fleet import ROOT
from foreign import CLASSICS, NEURAL, forecast, plain_rows
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
SKIPPED = {"m4-hourly": ("AutoETS", *NEURAL), "etth1-96": CLASSICS, "etth1-336": CLASSICS}
"""Left out: an hour of fitting, or many."""
HEAD = """# Accuracy

Made by `make accuracy DATA=folder`; seconds on one machine, fit and predict (-: taken while it was busy, and left out).
"""
BANDS = (
    "A band is the 95 % interval of the coverage of a single series, from a moving-block bootstrap over origins, and "
    "whether the level lies within.\n"
)
WORDS = ("rules", "published", "note")


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
    quantiles, seconds = forecast(name, task.horizon, task.season, plain_rows(known))
    return quantiles, {"seconds": seconds}


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
    parts = [HEAD, BANDS]
    for name, rows in found.items():
        scores = list(dict.fromkeys(k for row in rows.values() for k in row if k not in WORDS))
        body = [[who, *(cell(row.get(k)) for k in scores)] for who, row in rows.items()]
        said = [*rows["Gatecast"]["rules"], *(f"{who}: {row['note']}" for who, row in rows.items() if "note" in row)]
        parts.append(f"## {name}\n\n" + table(("", *scores), body) + "\n" + "\n".join(said) + "\n")
        parts.append(f"Published: {rows['Gatecast']['published']}.\n")
    return "\n".join(parts)


def cell(score: Any) -> str:
    """A score as text: a number, or a band and whether it holds what it should."""
    if isinstance(score, dict):
        return f"{score['low']:.1f} to {score['high']:.1f}, {'within' if score['within'] else 'outside'}"
    return "-" if score is None else f"{score:.3f}"


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
            print(name, who, *(f"{k} {cell(v)}" for k, v in scores.items() if k not in WORDS), sep="; ", flush=True)
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
    if who in SKIPPED.get(name, ()):
        return None
    if name in TASKS:
        task = load(folder, name)
        scores, published = measure(task, who, ORIGINS[origin]), task.published
    else:
        roll = ROLLS[name](folder, origin == "test")
        scores, published = measure_rolling(roll, who), roll.published
    return {**scores, "published": published} if who == "Gatecast" else scores


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
