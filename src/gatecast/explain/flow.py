"""Information flow: which steps of a forecast depend on which values of the past, measured on any forecaster.

A forecaster that ignores the newest values at its first steps gives away what matters most. The check needs no look
inside: every value of the window is changed by itself and the forecast is compared, number for number (to round-off).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float64

from gatecast.errors import ForecastError

Batch = Float64[np.ndarray, "B L"]
Forecast = Callable[[np.ndarray], np.ndarray]
NUDGES = (0.37, -0.53)
"""Changes, in units of the window's spread: a step that any of them moves depends on the value. In a positive window
the second is at most that share of the value itself, so that all stay positive."""
SAME = 8
"""The window itself stands so many times at either end of the batch: where matrix products round by the place in the
batch, its forecasts differ, and a change counts if it is larger than that."""
ROUND_OFF = 1e-5
"""Forecasts of one window that differ by more than this share of the largest were not made by one function."""


@dataclass(frozen=True, eq=False)
class Flow:
    """`moved` [K, L]: the largest change of step k when the value at lag l was changed, newest value first."""

    moved: Float64[np.ndarray, "K L"]

    @property
    def ignored(self) -> tuple[int, ...]:
        """For every step, how many of the newest values it does not depend on (L: on none of the window)."""
        uses = self.moved > 0
        return tuple(int(row.argmax()) if row.any() else len(row) for row in uses)

    @property
    def complete(self) -> bool:
        """Whether every step moves when the newest value moves."""
        return not any(self.ignored)

    @property
    def verdict(self) -> str:
        """One sentence."""
        steps, ignored = len(self.moved), self.ignored
        if self.complete and steps == 1:
            return "the forecast moves when the newest value moves"
        if self.complete:
            return f"every one of {steps} steps moves when the newest value moves"
        worst = int(np.argmax(ignored))
        blind = sum(each > 0 for each in ignored)
        return f"{blind} of {steps} steps ignore the newest value; step {worst + 1} ignores the newest {ignored[worst]}"


def information_flow(forecast: Forecast | torch.nn.Module, window: Float64[np.ndarray, "L"]) -> Flow:
    """Change every value of a window by itself and see which steps of the forecast move.

    `forecast` maps windows [B, L] (float64, oldest first) to forecasts [B, K]: a function, or a PyTorch module whose
    input is [B, L, 1] and whose output [B, K] or [B, K, 1] (run in evaluation mode and in its own precision). It must
    treat the windows of a batch alike; ForecastError where the same window gives two forecasts that differ by more than
    round-off, or a forecast without a number.

    >>> repeat = lambda windows: np.repeat(windows[:, -1:], 3, axis=1)
    >>> information_flow(repeat, np.arange(8.0)).verdict
    'every one of 3 steps moves when the newest value moves'
    >>> stale = lambda windows: windows[:, [-3, -2, -1]]
    >>> information_flow(stale, np.arange(8.0)).ignored
    (2, 1, 0)
    """
    ask = _module(forecast) if isinstance(forecast, torch.nn.Module) else forecast
    size, spread = len(window), max(float(np.std(window)), 1e-3 * float(np.abs(window).max()), 1e-6)
    down = np.minimum(spread, window) if (window > 0).all() else np.full(size, spread)
    batch = np.tile(window, (2 * SAME + len(NUDGES) * size, 1))
    for number, change in enumerate((NUDGES[0] * np.full(size, spread), NUDGES[1] * down)):
        rows, places = SAME + number * size + np.arange(size), size - 1 - np.arange(size)
        batch[rows, places] += change[places]  # row l changes lag l
    found = np.asarray(ask(batch), dtype=np.float64).reshape(len(batch), -1)  # [B, K]
    plain = np.concatenate([found[:SAME], found[-SAME:]])
    if not np.isfinite(plain).all():
        raise ForecastError("the forecast of the window has steps without a number", "pass one it can forecast from")
    noise = np.ptp(plain, axis=0)
    if noise.max() > ROUND_OFF * np.abs(plain).max():
        raise ForecastError("the same window gave two forecasts", "switch off dropout and sampling before the check")
    moved = np.abs(found[SAME:-SAME] - found[0]).reshape(len(NUDGES), size, -1).max(axis=0)
    return Flow(np.where(moved > 2 * noise, moved, 0.0).T)


def _module(network: torch.nn.Module) -> Forecast:
    """A module as a function of windows."""

    def ask(windows: Batch) -> np.ndarray:
        like = next(iter(network.parameters()), torch.zeros((), dtype=torch.float64))
        training, x = network.training, torch.from_numpy(windows[..., None]).to(like)
        network.eval()
        try:
            with torch.no_grad():
                y: torch.Tensor = network(x)
        finally:
            network.train(training)
        return y.double().cpu().numpy()

    return ask
