"""AutoETS, AutoTheta and AutoARIMA of statsforecast, fitted to every series by itself, as methods for panels."""

from __future__ import annotations

from typing import Any, SupportsIndex

import numpy as np
import pandas as pd
from jaxtyping import Float64

from gatecast.errors import import_extra
from gatecast.forecast.panels.bands import Scores
from gatecast.forecast.panels.method import GlobalMethod
from gatecast.prepare.fill import last_known
from gatecast.prepare.given import Given
from gatecast.train.lockstep import QUANTILES, Tick

CLASSICS = ("AutoETS", "AutoTheta", "AutoARIMA")
LEVELS = (95, 80, 50)
"""The levels whose bounds are `QUANTILES`, from the outside in."""


class Classic(GlobalMethod):
    """One of `CLASSICS`; needs `pip install gatecast[classics]`. Its intervals are its own, not calibrated here.

    It reads the target alone; a missing value counts as the one before it.
    """

    def __init__(self, h: SupportsIndex, *, model: str, **settings: Any) -> None:
        super().__init__(h, **settings)
        self.name = model

    def settings(self) -> dict[str, Any]:
        """What the model was told, beside its horizon."""
        return {"model": self.name, **super().settings()}

    def _learn(self, given: Given, seed: int, horizons: int, tick: Tick) -> Scores:
        return Scores(np.zeros((0, self.h, len(QUANTILES))))

    def _paths(self) -> Float64[np.ndarray, "S K Q"]:
        models = import_extra("statsforecast.models", "classics")
        engine = import_extra("statsforecast", "classics").StatsForecast
        panel = self.panel_
        lengths = np.diff(panel.indptr)
        rows = np.arange(panel.rows) - np.repeat(panel.indptr[:-1], lengths)
        ids = np.repeat(np.arange(len(panel)), lengths)
        frame = pd.DataFrame({"unique_id": ids, "ds": rows, "y": last_known(panel)})
        model = getattr(models, self.name)(season_length=panel.calendar.season)
        found = engine(models=[model], freq=1).forecast(df=frame, h=self.h, level=list(LEVELS))
        columns = [f"{self.name}-lo-{level}" for level in LEVELS]
        columns += [self.name, *(f"{self.name}-hi-{level}" for level in reversed(LEVELS))]
        paths = found.sort_values(["unique_id", "ds"])[columns].to_numpy(dtype=np.float64)
        return np.sort(paths.reshape(len(panel), self.h, len(QUANTILES)), axis=2)
