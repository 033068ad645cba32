"""Scores of point forecasts (through utilsforecast) and the coverage of intervals."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
from jaxtyping import Float64
from utilsforecast import losses

from gatecast.forecast.result import Band
from gatecast.judge.board import Scores

Values = Float64[np.ndarray, "N"]


def score(truth: Values, mean: Values, train: Float64[np.ndarray, "T"], season: int) -> Scores:
    """RMSE, MAE, MASE (scaled by the training span's seasonal naive error, m = season) and sMAPE in 0..200.

    Source: Hyndman & Koehler (2006) for MASE; sMAPE = mean of 200 |y - f| / (|y| + |f|). `train` has no gaps.

    >>> score(np.array([1.0, 2.0]), np.array([1.0, 4.0]), np.array([0.0, 1.0, 2.0]), 1).mae
    1.0
    """
    frame = pd.DataFrame({"unique_id": "one", "y": truth, "f": mean})
    past = pd.DataFrame({"unique_id": "one", "y": train})

    def of(measured: pd.DataFrame) -> float:
        return float(measured["f"].iloc[0])

    scaled = len(train) > season and bool(np.any(train[season:] != train[:-season]))
    mase = of(losses.mase(frame, ["f"], season, past)) if scaled else None
    return Scores(
        rmse=of(losses.rmse(frame, ["f"])),
        mae=of(losses.mae(frame, ["f"])),
        mase=mase if mase is None or math.isfinite(mase) else None,
        smape=200 * of(losses.smape(frame, ["f"])),
        count=len(truth),
    )


def coverage(truth: Values, bands: tuple[Band, ...], scored: np.ndarray) -> tuple[tuple[float, float], ...]:
    """For each band its level and the per cent of scored truths that it holds."""
    return tuple(
        (band.level, float(100 * np.mean(((band.lo <= truth) & (truth <= band.hi))[scored]))) for band in bands
    )
