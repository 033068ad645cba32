"""Small forecasters of every kind and small series to try them on, for the law tables."""

import numpy as np

from gatecast.data.calendar import Calendar
from gatecast.data.panel import Panel, series_panel
from gatecast.forecast.baselines import RULES, Baseline
from gatecast.forecast.forecaster import Forecaster
from gatecast.forecast.plan import Recipe
from gatecast.forecast.ridge import Ridge
from gatecast.train.settings import Training

QUICK = Training(epochs=2, patience=2, learning_rate=5e-3)
PLAIN = Training(epochs=2, patience=None, optimiser="keras-rmsprop", clip=None)


def network(spec: str, **options) -> Forecaster:
    recipe = options.pop("recipe", Recipe(training=QUICK))
    return Forecaster(spec, lookback=options.pop("lookback", 8), recipe=recipe, **options)


NETWORKS = {
    "rnn": lambda: network("rnn:4", recipe=Recipe("none", training=QUICK)),
    "lstm": lambda: network("lstm:4x2", dropout=0.2, recipe=Recipe("minmax", "keras", training=PLAIN)),
    "gru": lambda: network("gru:4", inputs=("Low",), recipe=Recipe("standard", training=QUICK)),
    "bilstm": lambda: network("bilstm:3", recipe=Recipe("log", training=QUICK)),
    "mixed": lambda: network("lstm:4-gru:3", recipe=Recipe("difference", training=QUICK)),
    "average": lambda: network("lstm:3+bigru:3", members=2, recipe=Recipe("logreturn", training=QUICK)),
    "linear": lambda: network("gru:4", inputs=("Low", "Open"), recipe=Recipe("relative", lags=3, training=QUICK)),
    "direct": lambda: network("gru:4", h=3, recipe=Recipe("standard", lags=2, training=QUICK)),
    "auto": lambda: Forecaster(members=1, recipe=Recipe(training=QUICK)),
}
BASELINES = {name: (lambda name=name: Baseline(name, season=5)) for name in RULES} | {"ridge": Ridge}
METHODS = BASELINES | NETWORKS


def prices(rows: int = 150, seed: int = 0) -> Panel:
    """A random walk of business-day prices: High, Low, Open, Volume."""
    rng = np.random.default_rng(seed)
    high = 50 * np.exp(np.cumsum(rng.normal(0, 0.02, rows)))
    near = high[:, None] * np.exp(-np.abs(rng.normal(0, 0.01, (rows, 2))))
    values = np.column_stack([high, near, rng.uniform(1e5, 1e6, rows)])
    times = Calendar("B").future(np.datetime64("2020-01-01", "ns"), rows)
    return series_panel(values, times, ("High", "Low", "Open", "Volume"), Calendar("B"), "prices")


def waves(rows: int = 150, seed: int = 0) -> Panel:
    """A weekly wave with noise that no rule takes for a random walk, and columns of the same names as `prices`."""
    rng = np.random.default_rng(seed)
    wave = 20 + 5 * np.sin(2 * np.pi * np.arange(rows) / 7) + rng.normal(0, 0.3, rows)
    values = np.column_stack([wave, wave - rng.uniform(0, 1, (2, rows)).T.sum(1), wave + 1, rng.uniform(1, 9, rows)])
    times = Calendar("D").future(np.datetime64("2020-01-01", "ns"), rows)
    return series_panel(values, times, ("High", "Low", "Open", "Volume"), Calendar("D"), "waves")
