"""What each ingredient of the global model is worth: MASE with one of them switched off, on the previous origin.

    python benchmarks/ablation.py FOLDER [--only cif,hospital,tourism] [--seeds 1]

No test span is looked at. The recursive rival is off in all rows but its own, so that every other row is about the
direct networks. Differences under one per cent are within the noise of the seed.
"""

from __future__ import annotations

import argparse
import contextlib
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import torch

from gatecast.forecast.panels import candidates, direct, rules
from gatecast.forecast.panels.direct import GlobalForecaster
from gatecast.nn.correction import Corrections
from gatecast.prepare.crops import Crop, Crops
from gatecast.train import lockstep
from gatecast.train.lockstep import Linear, Schedule
from panels import Task, load

Switch = Callable[[], Any]
_take, _start, _average = Crops.take, lockstep.fit_start, Schedule.__init__.__defaults__


def _no_states(self: Corrections, x: torch.Tensor) -> torch.Tensor:
    return torch.zeros(*x.shape[:3], self.shape.units)


def _no_paths(self: Crops, series: torch.Tensor, ends: torch.Tensor) -> Crop:
    crop = _take(self, series, ends)
    crop.read[..., self.sizes.lookback : self.sizes.relative] = 0.0
    return crop


def _no_start(crops: Crops) -> Linear:
    found = _start(crops)
    middle = found.bias[:, lockstep.MEDIAN].mean()
    return Linear(torch.zeros_like(found.weight), torch.full_like(found.bias, float(middle)))


def _only(name: str) -> Switch:
    usual = rules.candidates_for

    def chosen(panel: Any) -> Any:
        found, why = usual(panel)
        return tuple(each for each in found if each.name == name) or found, why

    return lambda: patch.object(direct, "candidates_for", chosen)


def _defaults(**changed: float) -> Switch:
    names = list(Schedule.__dataclass_fields__)[1:]
    values = tuple(changed.get(name, old) for name, old in zip(names, _average or (), strict=True))
    return lambda: patch.object(Schedule.__init__, "__defaults__", values)


def _median_alone() -> Any:
    """Train for the median only: the pinball losses of all quantiles of one number are its absolute error."""
    usual = lockstep.loss

    def loss(y: torch.Tensor, crop: Crop, sizes: Any) -> torch.Tensor:
        return usual(y[..., lockstep.MEDIAN : lockstep.MEDIAN + 1].expand_as(y), crop, sizes)

    return patch.object(lockstep, "loss", loss)


def _no_waves(calendar: Any, times: np.ndarray) -> np.ndarray:
    return np.zeros((len(times), 0), dtype=np.float32)


SWITCHES: dict[str, Switch] = {
    "everything": contextlib.nullcontext,
    "no recurrence": lambda: patch.object(Corrections, "_states", _no_states),
    "no linear start": lambda: patch.object(candidates, "fit_start", _no_start),
    "no smoothers": lambda: patch.object(Crops, "take", _no_paths),
    "no calendar": lambda: patch.object(
        candidates, "waves", lambda calendar, times: np.zeros((len(times), 0), np.float32)
    ),
    "no averaged weights": _defaults(average=0.0),
    "no weight decay": _defaults(decay=1e-4),
    "median alone": _median_alone,
    "scale/gru alone": _only("scale/gru"),
    "log/lstm alone": _only("log/lstm"),
    "two networks": lambda: patch.object(candidates, "members_for", lambda kept: 1),
    "with the recursive rival": lambda: patch.object(direct, "runs_free", rules.runs_free),
}


def score(task: Task, seed: int) -> float:
    """MASE one horizon before the end."""
    known, truths = task.cut(2)
    frame = GlobalForecaster(task.horizon, season=task.season).fit(known, seed=seed).predict()
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
    for name, switch in SWITCHES.items():
        cells = []
        for task in tasks:
            with patch.object(direct, "runs_free", lambda given, h: False), switch():
                cells.append(np.mean([score(task, seed) for seed in range(options.seeds)]))
        print(name.ljust(26), *(f"{cell:10.4f}" for cell in cells), flush=True)


if __name__ == "__main__":
    sys.exit(main())
