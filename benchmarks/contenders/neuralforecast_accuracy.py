"""NeuralForecast's LSTM or GRU by its defaults: `python neuralforecast_accuracy.py MODEL H SEASON in.parquet out.npy`.

Writes forecasts [series, H, 1] in the order of the series' numbers and prints the seconds of fitting and forecasting.
"""

from __future__ import annotations

import json
import logging
import sys
import time

import numpy as np
import pandas as pd
from neuralforecast import NeuralForecast, models


def main() -> None:
    """Fit and forecast, quietly; short series are padded at their start."""
    for name in ("pytorch_lightning", "lightning.pytorch", "lightning_fabric"):
        logging.getLogger(name).setLevel(logging.ERROR)
    answers, sys.stdout = sys.stdout, sys.stderr
    name, h, given, found = sys.argv[1], int(sys.argv[2]), sys.argv[4], sys.argv[5]
    quiet = {
        "logger": False,
        "enable_progress_bar": False,
        "enable_model_summary": False,
        "enable_checkpointing": False,
    }
    model = getattr(models, name)(h=h, start_padding_enabled=True, random_seed=1, accelerator="cpu", **quiet)
    frame = pd.read_parquet(given)
    start = time.perf_counter()
    forecaster = NeuralForecast(models=[model], freq=1)
    forecaster.fit(frame)
    out = forecaster.predict().sort_values(["unique_id", "ds"])
    spent = time.perf_counter() - start
    np.save(found, out[name].to_numpy().reshape(-1, h, 1))
    answers.write(json.dumps({"seconds": spent}) + "\n")


if __name__ == "__main__":
    main()
