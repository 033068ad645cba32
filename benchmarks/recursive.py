"""When to sample and when not: the direct model beside the recursive one and its training options.

    python benchmarks/recursive.py FOLDER [--only births-20,hospital]

Everything ends one test span early (`--origin previous` of accuracy.py): no test span is looked at. Printed: mean MASE
and CRPS in units of the seasonal naive error, coverage, and seconds.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from rolling import ROLLS

from gatecast.forecast.panels.direct import GlobalForecaster
from gatecast.forecast.panels.method import GlobalMethod
from gatecast.forecast.panels.sampling import Drawing, SamplingForecaster
from gatecast.judge.panel_scores import PROBABILITIES, SCORES, row_scores
from gatecast.prepare.split import Origins
from panels import TASKS, load

KINDS: dict[str, Drawing | None] = {
    "direct": None,
    "sampling": Drawing(),
    "sampling, noise 0.1": Drawing(noise=0.1),
    "sampling, half self-fed": Drawing(self_fed=10_000),
}


def model_of(kind: str, h: int, season: int | None) -> GlobalMethod:
    """A model of this kind, not yet fitted."""
    drawing = KINDS[kind]
    if drawing is None:
        return GlobalForecaster(h, season=season)
    fed = min(drawing.self_fed, h // 2)
    return SamplingForecaster(h, season=season, drawing=replace(drawing, self_fed=fed))


def main() -> None:
    """Print a line for every task and kind."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--only", default="births-20,cif,hospital,tourism")
    options = parser.parse_args()
    for name in options.only.split(","):
        data: Any
        if name in TASKS:
            task = load(options.folder, name)
            data, h, season, origins = task.cut(1)[0], task.horizon, task.season, Origins(by="series")
        else:
            roll = ROLLS[name](options.folder, False)
            data, h, season, origins = roll.frame, roll.h, roll.season, roll.origins
        for kind in KINDS:
            model = model_of(kind, h, season)
            start = time.perf_counter()
            given, cuts = model.origins_of(data, origins)
            tables = list(model.once(given, cuts, PROBABILITIES))
            spent = time.perf_counter() - start
            table = pd.concat([pd.DataFrame(each) for each in tables], ignore_index=True)
            scores = {score: float(np.nanmean(each)) for score, each in row_scores(table, model.name).items()}
            shown = {score: round(scores[score], 3) for score in SCORES if score not in ("MAE", "RMSE", "sMAPE")}
            print(f"{name:<10} {kind:<24}", shown, f"{spent:.1f} s", flush=True)


if __name__ == "__main__":
    main()
