"""What each ingredient of the global model is worth: MASE with one of them switched off, on the previous origin.

    python benchmarks/ablation.py FOLDER [--only cif,hospital,tourism] [--seeds 1]

No test span is looked at. The recursive rival is off in all rows but its own, so that every other row is about the
direct networks. Differences under one per cent are within the noise of the seed.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np

from gatecast.forecast.panels.direct import GlobalForecaster
from gatecast.forecast.panels.rules import INGREDIENTS
from panels import Task, load

ROWS: dict[str, tuple[str, ...]] = {
    "everything": ("rival",),
    **{f"no {name}": ("rival", name) for name in INGREDIENTS if name != "rival"},
    "with the recursive rival": (),
}
"""What is switched off."""


def score(task: Task, without: tuple[str, ...], seed: int) -> float:
    """MASE one horizon before the end."""
    known, truths = task.cut(2)
    model = GlobalForecaster(task.horizon, season=task.season, without=without)
    frame = model.fit(known, seed=seed).predict()
    return task.score(known, truths, frame["Gatecast"].to_numpy().reshape(len(known), -1))["MASE"]


def main() -> None:
    """One line for every ingredient."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--only", default="cif,hospital,tourism")
    parser.add_argument("--seeds", type=int, default=1)
    options = parser.parse_args()
    tasks = [load(options.folder, name) for name in options.only.split(",")]
    print("".ljust(26), *(task.name.rjust(10) for task in tasks))
    for name, without in ROWS.items():
        cells = [np.mean([score(task, without, seed) for seed in range(options.seeds)]) for task in tasks]
        print(name.ljust(26), *(f"{cell:10.4f}" for cell in cells), flush=True)


if __name__ == "__main__":
    sys.exit(main())
