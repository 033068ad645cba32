"""Series with a known answer: what a forecaster must find in them can be said in advance."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from jaxtyping import Float64

from gatecast.data.calendar import Calendar
from gatecast.data.panel import Panel, series_panel
from gatecast.errors import SpecError

BURN_IN = 1000
"""Steps of an autoregression that are thrown away, so that its start from zero is forgotten."""


def ramp(rows: int = 400) -> Panel:
    """y[t] = t: the target minus the last input is the horizon step, exactly.

    >>> ramp(4).values[:, 0]
    array([0., 1., 2., 3.])
    """
    return _panel(np.arange(_at_least(rows, 1, "rows"), dtype=np.float64), "ramp")


def sine(rows: int = 400, period: int | float = 20, noise: int | float = 0.0, seed: int = 0) -> Panel:
    """y[t] = sin(2 pi t / period) + noise e[t], with e standard normal: the best one-step RMSE is `noise`.

    >>> sine(6, period=4).values[:, 0].round(3)
    array([ 0.,  1.,  0., -1., -0.,  1.])
    """
    if period <= 0:
        raise SpecError(f"a sine of period {period}, expected a period above 0")
    wave = np.sin(2 * np.pi * np.arange(_at_least(rows, 1, "rows")) / period)
    return _panel(wave + noise * np.random.default_rng(seed).standard_normal(rows), "sine")


def ar(
    coefficients: tuple[int | float, ...] = (0.6, -0.3, 0.2),
    rows: int = 1000,
    seed: int = 0,
    scale: int | float = 1.0,
) -> Panel:
    """y[t] = sum_i coefficients[i-1] y[t-i] + scale e[t], with e standard normal: the best one-step RMSE is `scale`.

    The start is forgotten: 1000 earlier steps are thrown away. Raises SpecError for coefficients whose series is not
    stationary.

    >>> ar((0.5,), rows=100).ids
    ('ar1',)
    """
    order = len(coefficients)
    roots = np.abs(np.roots([1.0, *(-each for each in coefficients)]))
    if roots.max(initial=0.0) >= 1:
        raise SpecError(
            f"an autoregression with coefficients {coefficients} is not stationary: root of size {roots.max():.3g}",
            "take coefficients whose characteristic roots are all smaller than 1, such as (0.6, -0.3, 0.2)",
        )
    shocks = scale * np.random.default_rng(seed).standard_normal(BURN_IN + _at_least(rows, 1, "rows"))
    newest_first = np.array(coefficients, dtype=np.float64)
    y = np.zeros(order + len(shocks))
    for t, shock in enumerate(shocks, start=order):
        y[t] = newest_first @ y[t - order : t][::-1] + shock
    return _panel(y[order + BURN_IN :], f"ar{order}")


def random_walk(rows: int = 1000, seed: int = 0) -> Panel:
    """y[t] = y[t-1] + e[t], with e standard normal: nothing beats repeating the last value, whose one-step RMSE is 1.

    >>> random_walk(50, seed=1).rows
    50
    """
    steps = np.random.default_rng(seed).standard_normal(_at_least(rows, 1, "rows"))
    return _panel(np.cumsum(steps), "random_walk")


def adding_problem(
    samples: int, length: int, seed: int
) -> tuple[Float64[np.ndarray, "N T 2"], Float64[np.ndarray, "N"]]:
    """The adding problem: x [N, T, 2] holds values in 0..1 and two markers, y [N] is the sum of the two marked values.

    One marker stands in each half; always answering 1 has mean squared error 1/6. Source: Hochreiter & Schmidhuber,
    Long Short-Term Memory, 1997, section 5.4; values in 0..1, the plain sum and a marker in each half as in Arjovsky,
    Shah & Bengio, Unitary Evolution Recurrent Neural Networks, 2016, section 5.2.

    >>> x, y = adding_problem(3, length=10, seed=0)
    >>> x.shape, y.shape
    ((3, 10, 2), (3,))
    """
    half = _at_least(length, 2, "steps") // 2
    generator = np.random.default_rng(seed)
    values = generator.random((_at_least(samples, 1, "samples"), length))
    rows = np.arange(samples)
    first, second = generator.integers(0, half, samples), generator.integers(half, length, samples)
    markers = np.zeros_like(values)
    markers[rows, first] = markers[rows, second] = 1.0
    return np.stack([values, markers], axis=-1), values[rows, first] + values[rows, second]


class Synthetic(NamedTuple):
    """A synthetic data set: its function, what it is, and where its test span starts by default."""

    function: Callable[[], Panel]
    description: str
    test_from: str


SYNTHETIC = {
    "ramp": Synthetic(ramp, "y[t] = t, 400 rows: every difference is known exactly", "80 rows"),
    "sine": Synthetic(sine, "a sine of period 20 without noise, 400 rows: it can be forecast exactly", "80 rows"),
    "ar3": Synthetic(
        ar, "an autoregression of order 3 (0.6, -0.3, 0.2), 1000 rows: the best one-step RMSE is 1", "200 rows"
    ),
    "random_walk": Synthetic(
        random_walk, "a Gaussian random walk, 1000 rows: nothing beats repeating the last value", "200 rows"
    ),
}


def _panel(y: Float64[np.ndarray, "T"], name: str) -> Panel:
    """One series at integer times 0, 1, 2, ..."""
    return series_panel(y[:, None], np.arange(len(y), dtype=np.int64), ("y",), Calendar("step"), name)


def _at_least(count: int, least: int, what: str) -> int:
    if count < least:
        raise SpecError(f"{count} {what}, expected at least {least}")
    return count
