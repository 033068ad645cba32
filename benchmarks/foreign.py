"""Contenders of other libraries, each in an environment of its own: a long frame goes in, quantiles come back."""

from __future__ import annotations

import json
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from fleet import HERE, python_of
from numpy.typing import NDArray

from gatecast.data.panel import Panel
from gatecast.forecast.panels.bands import Scores
from gatecast.forecast.panels.method import GlobalMethod
from gatecast.prepare.fill import last_known
from gatecast.prepare.given import Given
from gatecast.prepare.split import Cut
from gatecast.train.lockstep import QUANTILES, Tick

Array = NDArray[np.float64]
Places = NDArray[np.int64]
CLASSICS = ("AutoETS", "AutoTheta")
NEURAL = ("NeuralForecast LSTM", "NeuralForecast GRU")
SCRIPTS = {
    **dict.fromkeys(CLASSICS, ("statsforecast", "statsforecast_contender.py")),
    **dict.fromkeys(NEURAL, ("neuralforecast", "neuralforecast_accuracy.py")),
}


def forecast(
    name: str, h: int, season: int, frame: pd.DataFrame, later: tuple[pd.DataFrame, Places] | None = None
) -> tuple[Array, float]:
    """Quantiles [V, h, Q] after the end of every series of `frame` (7 of a classic, 1 of a network), and seconds.

    `later`: a network learns from `frame` and forecasts from these places of another frame (rows: a series, and how
    many rows of it are known).
    """
    environment, script = SCRIPTS[name]
    with tempfile.TemporaryDirectory() as folder:
        given, found, whole, places = (
            Path(folder) / file for file in ("in.parquet", "out.npy", "whole.parquet", "at.npy")
        )
        frame.to_parquet(given)
        command = [
            python_of(environment),
            str(HERE / script),
            name.split()[-1],
            str(h),
            str(season),
            str(given),
            str(found),
        ]
        if later:
            later[0].to_parquet(whole)
            np.save(places, later[1])
            command += [str(whole), str(places)]
        done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
        seconds = float(json.loads(done.stdout.strip().splitlines()[-1])["seconds"])
        return np.load(found, allow_pickle=False), seconds


def plain_rows(panel: Panel) -> pd.DataFrame:
    """Numbers of series and rows, and the target, the last known one where it is missing."""
    ids = np.repeat(np.arange(len(panel)), np.diff(panel.indptr))
    return pd.DataFrame({"unique_id": ids, "ds": np.arange(panel.rows) - panel.indptr[ids], "y": last_known(panel)})


class Foreign(GlobalMethod):
    """A foreign contender at rolling origins: a classic is fitted anew at each, to the last `tail` rows of every series
    (all of them, by default); a network once, to what is known at the first. `seconds`: of fits and forecasts."""

    def __init__(self, h: int, *, model: str, tail: int | None = None, **settings: Any) -> None:
        super().__init__(h, **settings)
        self.name, self.tail, self.seconds = model, tail, 0.0

    def _learn(self, given: Given, seed: int, horizons: int, tick: Tick) -> Scores:
        """Nothing yet: all origins are one call."""
        return Scores(np.zeros((0, self.h, len(QUANTILES))))

    def _later(self, given: Given, cuts: Sequence[Cut]) -> Iterator[Array]:
        """Every origin's quantiles."""
        counts = [len(cut.judged) for cut in cuts]
        places = np.concatenate([np.column_stack([cut.judged, cut.kept[cut.judged]]) for cut in cuts])
        rows, season = plain_rows(given.panel), given.panel.calendar.season
        if self.name in CLASSICS:
            found, self.seconds = forecast(self.name, self.h, season, self._each(rows, given.panel, places))
        else:
            learned = plain_rows(given.cut(cuts[0].kept).without_empty().panel)
            found, self.seconds = forecast(self.name, self.h, season, learned, (rows, places))
            found = np.repeat(found, len(QUANTILES), axis=2)
        yield from np.split(found, np.cumsum(counts)[:-1])

    def _each(self, rows: pd.DataFrame, panel: Panel, places: Places) -> pd.DataFrame:
        """What is known at every place, as a series of its own."""
        pieces = []
        for number, (series, kept) in enumerate(places.tolist()):
            stop = panel.indptr[series] + kept
            start = max(panel.indptr[series], stop - (self.tail or kept))
            pieces.append(rows.iloc[start:stop].assign(unique_id=number))
        return pd.concat(pieces, ignore_index=True)
