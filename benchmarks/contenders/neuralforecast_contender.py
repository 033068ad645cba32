"""NeuralForecast's LSTM and GRU before and after `gatecast.nn.accelerate`: the losses of 100 steps, and the speed-up.

Prints one line of JSON. Dropout is off, the panel is synthetic: 50 monthly series of 200 rows.
"""

from __future__ import annotations

import json
import logging
import sys
import time
from statistics import median
from typing import Any

import numpy as np
import pandas as pd
from neuralforecast import NeuralForecast
from neuralforecast.models import GRU, LSTM

from gatecast.nn import accelerate

STEPS, ROUNDS = 100, 3


def panel() -> pd.DataFrame:
    """A long frame of noisy yearly waves."""
    rng, rows = np.random.default_rng(0), 200
    times = pd.date_range("2000-01-31", periods=rows, freq="ME")
    frames = []
    for number in range(50):
        wave = 10 + number + 3 * np.sin(2 * np.pi * np.arange(rows) / 12 + number) + rng.normal(0, 0.5, rows)
        frames.append(pd.DataFrame({"unique_id": f"s{number}", "ds": times, "y": wave}))
    return pd.concat(frames)


def train(kind: type, frame: pd.DataFrame, native: bool) -> tuple[list[float], float]:
    """Losses of every step, and seconds of the fit."""
    model = kind(
        h=12,
        input_size=48,
        encoder_n_layers=2,
        encoder_hidden_size=64,
        max_steps=STEPS,
        random_seed=1,
        accelerator="cpu",
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        enable_checkpointing=False,
    )
    forecaster = NeuralForecast(models=[model], freq="ME")
    if native:
        done = accelerate(forecaster.models[0])
        if not done.swapped:
            raise RuntimeError(f"nothing was accelerated: {done}")
    start = time.perf_counter()
    forecaster.fit(frame)
    spent = time.perf_counter() - start
    return [float(loss) for _, loss in forecaster.models[0].train_trajectories], spent


def compare(kind: type, frame: pd.DataFrame) -> dict[str, Any]:
    """Alternate torch.nn and the kernels; medians, and the largest relative difference of losses."""
    seconds: dict[bool, list[float]] = {False: [], True: []}
    losses: dict[bool, list[float]] = {}
    for _ in range(ROUNDS):
        for native in (False, True):
            losses[native], spent = train(kind, frame, native)
            seconds[native].append(spent)
    worst = max(abs(a - b) / abs(b) for a, b in zip(losses[True], losses[False], strict=True))
    slow, fast = median(seconds[False]), median(seconds[True])
    return {
        "losses_max_rel_diff": worst,
        "steps": len(losses[True]),
        "seconds_torch": slow,
        "seconds_native": fast,
        "ratio": slow / fast,
    }


def main() -> None:
    """Both models, quietly."""
    for name in ("pytorch_lightning", "lightning.pytorch", "lightning_fabric"):
        logging.getLogger(name).setLevel(logging.ERROR)
    answers, sys.stdout = sys.stdout, sys.stderr
    frame = panel()
    found = {kind.__name__.lower(): compare(kind, frame) for kind in (LSTM, GRU)}
    answers.write(json.dumps(found) + "\n")


if __name__ == "__main__":
    main()
