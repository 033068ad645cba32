"""What a forecast is: frozen values with their mode, origin and unit."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd
from jaxtyping import Float64

from gatecast.data.calendar import Times

Mode = Literal["one_step", "free_run", "direct"]


@dataclass(frozen=True, eq=False)
class Band:
    """A central prediction interval that should hold `level` per cent of the truths, in original units."""

    level: float
    lo: Float64[np.ndarray, "N"]
    hi: Float64[np.ndarray, "N"]


@dataclass(frozen=True, eq=False)
class Forecast:
    """N forecasts of one series, in original units.

    `one_step`: each made from the true history up to `origins[i]`, one row before `times[i]`.
    `free_run`: all from one origin, the model fed with its own outputs.
    `direct`: all from one origin, in one pass of a multi-step head.
    """

    model: str
    series: str
    target: str
    mode: Mode
    origins: Times
    times: Times
    mean: Float64[np.ndarray, "N"]
    bands: tuple[Band, ...] = ()
    unit: Literal["original"] = "original"

    def __len__(self) -> int:
        return len(self.mean)

    def frame(self) -> pd.DataFrame:
        """Long frame: unique_id, ds, cutoff, mode, Gatecast's model column, then `-lo-80`, `-hi-80`, ... columns."""
        columns: dict[str, object] = {
            "unique_id": self.series,
            "ds": self.times,
            "cutoff": self.origins,
            "mode": self.mode,
            self.model: self.mean,
        }
        for band in self.bands:
            columns[f"{self.model}-lo-{band.level:g}"] = band.lo
            columns[f"{self.model}-hi-{band.level:g}"] = band.hi
        return pd.DataFrame(columns)
