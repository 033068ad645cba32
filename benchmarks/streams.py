"""What one observed value costs, by kind of model and length of the past.

    python benchmarks/streams.py [--values 200] [--lengths 1000,10000,100000]

Prints a Markdown table: median milliseconds of `observe` and `forecast` together, for streams whose series began with
so many rows, measured in turns, and the longest past against the shortest. Networks are hardly trained: what they say
costs the same.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from statistics import median
from time import perf_counter
from typing import Any

import numpy as np
import pandas as pd
from tables import streams_table

import gatecast as gc
from gatecast.forecast.panels import rules

HOURS = pd.date_range("2000-01-01", periods=200_000, freq="h")
TRAINED = 1000
"""Rows that every model learns from."""


def load(rows: int) -> pd.DataFrame:
    """An hourly series with a day in it, from a start that does not depend on its length."""
    hours = np.arange(rows)
    y = 100 + 20 * np.sin(2 * np.pi * hours / 24) + np.random.default_rng(0).normal(0, 3, rows)
    return pd.DataFrame({"unique_id": "load", "ds": HOURS[:rows], "y": y})


def models() -> dict[str, Any]:
    """A fitted model of every kind."""
    frame, recipe = load(TRAINED), gc.Recipe(training=gc.Training(epochs=1))
    rules.FEWEST_STEPS = rules.MOST_STEPS = 2
    drawing = gc.Drawing(networks=1)
    return {
        "window, one step (gru:32)": gc.Forecaster("gru:32", recipe=recipe).fit(frame),
        "window, 24 steps (gru:32)": gc.Forecaster("gru:32", h=24, recipe=recipe).fit(frame),
        "crop (GlobalForecaster)": gc.GlobalForecaster(24).fit(frame),
        "sequence (lstm:32 x 4)": gc.SequenceForecaster(24).fit(frame),
        "draws (200 paths)": gc.SamplingForecaster(24, drawing=drawing).fit(frame),
    }


def milliseconds(streams: list[gc.Stream], values: int) -> list[float]:
    """The median time of every stream, one value to each in turn."""
    seen: list[list[float]] = [[] for _ in streams]
    for y in np.random.default_rng(1).uniform(80, 120, values + 5):
        for stream, times in zip(streams, seen, strict=True):
            start = perf_counter()
            stream.observe(float(y))
            stream.forecast()
            times.append(1e3 * (perf_counter() - start))
    return [median(times[5:]) for times in seen]


def measure(lengths: Sequence[int] = (1_000, 10_000, 100_000), values: int = 200) -> dict[str, list[float]]:
    """Milliseconds by length of the past, of every kind of model; `rows` holds the lengths."""
    found = {"rows": [float(length) for length in lengths]}
    for name, model in models().items():
        found[name] = milliseconds([model.stream(load(length)) for length in lengths], values)
    return found


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--values", type=int, default=200)
    parser.add_argument("--lengths", default="1000,10000,100000")
    options = parser.parse_args()
    print(streams_table(measure([int(each) for each in options.lengths.split(",")], options.values)))


if __name__ == "__main__":
    main()
