"""Small panels for tests, and training that lasts a moment."""

import numpy as np
import pandas as pd

from gatecast.forecast.panels import rules


def shorten(patch, steps=8):
    """Let every network train for a few steps."""
    patch.setattr(rules, "FEWEST_STEPS", steps)
    patch.setattr(rules, "MOST_STEPS", steps)


def monthly(series=5, years=8, seed=0):
    """A long frame of positive seasonal series of different lengths."""
    rng, frames = np.random.default_rng(seed), []
    for s in range(series):
        rows = 12 * years - 5 * s
        t = np.arange(rows)
        y = rng.uniform(20, 200) * (1 + 0.3 * np.sin(2 * np.pi * t / 12 + s)) * np.exp(rng.normal(0, 0.03, rows))
        dates = pd.date_range("2010-01-01", periods=12 * years, freq="MS")[-rows:]
        frames.append(pd.DataFrame({"unique_id": f"s{s}", "ds": dates, "y": y}))
    return pd.concat(frames, ignore_index=True)
