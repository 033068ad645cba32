"""NeuralForecast's LSTM or GRU by its defaults.

    python neuralforecast_accuracy.py MODEL H SEASON in.parquet out.npy [whole.parquet at.npy]

Writes forecasts [series, H, 1] in the order of the series' numbers and prints the seconds of fitting and forecasting.
With `whole.parquet` the forecasts are those from the places in `at.npy` (a series of it, and how many rows are known).
"""

from __future__ import annotations

import json
import sys
import time

import numpy as np
import pandas as pd
from neural import QUIET, hush
from neuralforecast import NeuralForecast, models

AT_ONCE = 1000
"""Places that are forecast from at once: bounds memory."""


def known_at(frame: pd.DataFrame, places: np.ndarray, rows: int) -> pd.DataFrame:
    """The last rows that are known at every place, as series of their own."""
    if places[:, 1].min() < rows:
        raise ValueError(f"a place with {places[:, 1].min()} known rows, expected at least {rows}")
    starts = np.flatnonzero(np.diff(frame["unique_id"].to_numpy(), prepend=-1))
    at = (starts[places[:, 0]] + places[:, 1])[:, None] + np.arange(-rows, 0)
    return frame.iloc[at.reshape(-1)].assign(unique_id=np.repeat(np.arange(len(places)), rows))


def main() -> None:
    """Fit and forecast, quietly; short series are padded at their start."""
    hush()
    answers, sys.stdout = sys.stdout, sys.stderr
    name, h, given, found = sys.argv[1], int(sys.argv[2]), sys.argv[4], sys.argv[5]
    model = getattr(models, name)(h=h, start_padding_enabled=True, **QUIET)
    frame = pd.read_parquet(given)
    start = time.perf_counter()
    forecaster = NeuralForecast(models=[model], freq=1)
    forecaster.fit(frame)
    newer = [None]
    if len(sys.argv) > 6:
        whole, places = pd.read_parquet(sys.argv[6]), np.load(sys.argv[7])
        parts = np.split(places, range(AT_ONCE, len(places), AT_ONCE))
        newer = (known_at(whole, part, 2 * model.input_size) for part in parts)
    out = [forecaster.predict(each).sort_values(["unique_id", "ds"])[name].to_numpy() for each in newer]
    spent = time.perf_counter() - start
    np.save(found, np.concatenate(out).reshape(-1, h, 1))
    answers.write(json.dumps({"seconds": spent}) + "\n")


if __name__ == "__main__":
    main()
