"""The information-flow check, run on this library's own models."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from jaxtyping import Float64

from gatecast.explain.flow import Flow, information_flow
from gatecast.explain.unrolled import unroll
from gatecast.forecast.forecaster import Forecaster
from gatecast.forecast.panels.method import GlobalMethod
from gatecast.forecast.panels.sampling import SamplingForecaster

NEWEST = 48
"""Values of a panel's series that are changed, from the newest back."""


def model_flow(model: Forecaster | GlobalMethod, data: Any = None) -> Flow:
    """Which steps of a fitted model's forecast depend on which values of the target: all of the newest window, or the
    newest 48 of the longest series of a panel. A window model is asked for what its networks forecast in one pass.

    >>> from gatecast.forecast.panels.baselines import SeasonalNaive
    >>> from gatecast.data.synthetic import sine
    >>> model_flow(SeasonalNaive(h=3, season=4).fit(sine(40, period=4))).ignored
    (3, 2, 1)
    """
    return _of_windows(model, data) if isinstance(model, Forecaster) else _of_panel(model, data)


def _of_windows(model: Forecaster, data: Any) -> Flow:
    newest = torch.from_numpy(model.newest_window(data)[0])
    networks = [unroll(network) for network in model.networks_]

    def ask(windows: Float64[np.ndarray, "B L"]) -> np.ndarray:
        x = newest.repeat(len(windows), 1, 1)
        x[..., 0] = torch.from_numpy(windows)
        return torch.stack([each.forecast(x) for each in networks]).mean(dim=0).numpy()

    return information_flow(ask, newest[:, 0].numpy())


def _of_panel(model: GlobalMethod, data: Any) -> Flow:
    given = model.fitted() if data is None else model.over(data).fitted()
    lengths = np.diff(given.panel.indptr)
    s = int(lengths.argmax())
    own = given.panel.values[given.panel.indptr[s] : given.panel.indptr[s + 1], 0]
    window = own[-NEWEST:].copy()
    window[np.isnan(window)] = np.nanmean(own)

    def ask(windows: Float64[np.ndarray, "B L"]) -> np.ndarray:
        if isinstance(model, SamplingForecaster) or getattr(model, "free_", None):
            return np.concatenate([model.medians(given.copies(s, each[None])) for each in windows])  # the same draws
        return model.medians(given.copies(s, windows))

    return information_flow(ask, window)
