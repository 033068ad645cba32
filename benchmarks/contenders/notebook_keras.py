"""The notebook's whole job in Keras: train an LSTM and a GRU on IBM's daily High, forecast 2017, run free for 251 days.

    KERAS_BACKEND=jax python notebook_keras.py PRICES.csv --epochs 50

PRICES.csv has a column High and a date column, oldest row first. Rows before 2017 train, rows of 2017 test; prices are
scaled to 0..1 by the training rows. The RMSE of each forecast, in dollars, goes to stdout as JSON, beside the seconds
each part took. Errors of repeating yesterday's price, and of a flat line from the last training day, stand beside them.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import sys
import time
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import keras
import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]
WINDOW = 60
UNITS = 50
DROPOUT = 0.2
SPLIT = "2017-01-01"
END = "2018-01-01"


def read_high(path: Path, date_column: str) -> tuple[Array, Array]:
    """The column High before 2017 and in 2017; a missing price counts as the last one."""
    train: list[float] = []
    test: list[float] = []
    last = float("nan")
    with path.open(newline="") as file:
        for row in csv.DictReader(file):
            last = float(row["High"]) if row["High"] else last
            if row[date_column] < SPLIT:
                train.append(last)
            elif row[date_column] < END:
                test.append(last)
    return np.array(train, np.float32), np.array(test, np.float32)


def windows_of(series: Array) -> Array:
    """Every run of 60 values that has a next one, of shape (count, 60, 1)."""
    return np.stack([series[i : i + WINDOW] for i in range(len(series) - WINDOW)])[..., None]


def lstm_network() -> keras.Sequential:
    """Four LSTM layers of 50 units, RMSprop."""
    model = keras.Sequential([keras.Input((WINDOW, 1))])
    for last in (False, False, False, True):
        model.add(keras.layers.LSTM(UNITS, return_sequences=not last))
        model.add(keras.layers.Dropout(DROPOUT))
    model.add(keras.layers.Dense(1))
    model.compile(optimizer=keras.optimizers.RMSprop(), loss="mean_squared_error")
    return model


def gru_network() -> keras.Sequential:
    """Four GRU layers of 50 units, SGD with momentum."""
    model = keras.Sequential([keras.Input((WINDOW, 1))])
    for last in (False, False, False, True):
        model.add(keras.layers.GRU(UNITS, return_sequences=not last))
        model.add(keras.layers.Dropout(DROPOUT))
    model.add(keras.layers.Dense(1))
    model.compile(optimizer=keras.optimizers.SGD(learning_rate=0.01, momentum=0.9), loss="mean_squared_error")
    return model


def run_free(model: keras.Model, past: Array, steps: int) -> Array:
    """Forecasts that feed on themselves, by one call of `predict` a day."""
    path = list(past[-WINDOW:])
    for _ in range(steps):
        window = np.array(path[-WINDOW:], np.float32).reshape(1, WINDOW, 1)
        path.append(model.predict(window, verbose=0)[0, 0])
    return np.array(path[WINDOW:], np.float32)


def rmse(truth: Array, forecast: Array) -> float:
    """Root mean squared error."""
    return float(np.sqrt(np.mean((truth - forecast) ** 2)))


def job(model: keras.Model, batch: int, epochs: int, train: Array, test: Array) -> dict[str, float]:
    """Fit one network and forecast with it; RMSEs in the units of the prices."""
    low, span = train.min(), train.max() - train.min()
    past, coming = (train - low) / span, (test - low) / span
    clock = [time.perf_counter()]
    model.fit(windows_of(past), past[WINDOW:], epochs=epochs, batch_size=batch, verbose=0)
    clock.append(time.perf_counter())
    inputs = windows_of(np.concatenate([past[-WINDOW:], coming]))
    one_step = model.predict(inputs, verbose=0)[:, 0] * span + low
    clock.append(time.perf_counter())
    free = run_free(model, past, len(test)) * span + low
    clock.append(time.perf_counter())
    taken = dict(zip(("fit_seconds", "predict_seconds", "free_run_seconds"), np.diff(clock).tolist(), strict=True))
    return {"one_step_rmse": rmse(test, one_step), "free_run_rmse": rmse(test, free)} | taken


def main() -> None:
    """Run both networks and print one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("prices", type=Path)
    parser.add_argument("--epochs", type=int, default=50)
    parser.add_argument("--date", default="Date", help="name of the date column, ISO dates")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    keras.utils.set_random_seed(options.seed)
    train, test = read_high(options.prices, options.date)
    found: dict[str, Any] = {"backend": keras.backend.backend(), "keras": keras.__version__, "epochs": options.epochs}
    found |= {"train_rows": len(train), "test_rows": len(test)}
    found["yesterday_rmse"] = rmse(test, np.concatenate([train[-1:], test[:-1]]))
    found["flat_rmse"] = rmse(test, np.full_like(test, train[-1]))
    found["lstm"] = job(lstm_network(), 32, options.epochs, train, test)
    found["gru"] = job(gru_network(), 150, options.epochs, train, test)
    json.dump(found, sys.stdout)
    print()


if __name__ == "__main__":
    main()
