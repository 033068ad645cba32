"""The panels that accuracy is measured on: where they lie, how they are read, and how they are scored."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

import gatecast as gc
from gatecast.data.calendar import Calendar
from gatecast.data.panel import Panel
from gatecast.prepare.scale import seasonal_differences

Array = NDArray[np.float64]
NAIVE2_HOURLY = (18.383, 2.395)
"""sMAPE and MASE of Naive2 on M4 hourly (the competition's own workbook)."""


@dataclass(frozen=True)
class Task:
    """A panel with its horizon (or every series' own), its season, and the score that a bar is set on."""

    name: str
    panel: Panel
    horizons: NDArray[np.int64]
    season: int
    bar: str
    published: str

    @property
    def horizon(self) -> int:
        """The longest horizon."""
        return int(self.horizons.max())

    def cut(self, origin: int) -> tuple[Panel, list[Array]]:
        """What is known `origin` horizons before the end, and the truths of the horizon that follows."""
        lengths = np.diff(self.panel.indptr)
        row = np.arange(self.panel.rows) - np.repeat(self.panel.indptr[:-1], lengths)
        known = self.panel.where(row < np.repeat(lengths - origin * self.horizons, lengths))
        first = self.panel.indptr[1:] - origin * self.horizons
        truths = [self.panel.values[a : a + h, 0] for a, h in zip(first, self.horizons, strict=True)]
        return known, truths

    def scale(self, known: Panel) -> Array:
        """The seasonal naive error of every series in what is known."""
        return seasonal_differences(known.values[:, 0], known.indptr, self.season)

    def score(self, known: Panel, truths: list[Array], forecasts: Array) -> dict[str, float]:
        """MASE, sMAPE, MAE (and OWA where Naive2 is known): means over series."""
        scale = self.scale(known)
        pairs = [(y, f[: len(y)]) for y, f in zip(truths, forecasts, strict=True)]
        errors = np.array([np.mean(np.abs(y - f)) for y, f in pairs])
        smape = float(np.mean([np.mean(200 * np.abs(y - f) / (np.abs(y) + np.abs(f))) for y, f in pairs]))
        found = {"MASE": float(np.mean(errors / scale)), "sMAPE": smape, "MAE": float(np.mean(errors))}
        if self.bar == "OWA":
            found["OWA"] = 0.5 * (smape / NAIVE2_HOURLY[0] + found["MASE"] / NAIVE2_HOURLY[1])
        return found


def load(folder: Path, name: str) -> Task:
    """One panel of the table below."""
    return TASKS[name](folder)


def _tsf(name: str, file: str, horizon: int, published: str) -> Callable[[Path], Task]:
    def read(folder: Path) -> Task:
        panel = gc.read(folder / file).by_name()
        return Task(name, panel, np.full(len(panel), horizon), panel.calendar.season, "MASE", published)

    return read


def _cif(folder: Path) -> Task:
    """The second field of a line is that series' own horizon."""
    path = folder / "cif2016" / "cif_2016_dataset.tsf"
    panel = gc.read(path).by_name()
    lines = path.read_text(encoding="latin-1").split("@data")[1].strip().splitlines()
    own = {line.split(":")[0]: int(line.split(":")[1]) for line in lines}
    return Task("cif", panel, np.array([own[name] for name in panel.ids]), 12, "MASE", "ETS 0.841, DeepAR 1.159")


def _m4_hourly(folder: Path) -> Task:
    """One series to a line, in a file of training and one of test values."""
    parts = [pd.read_csv(folder / "m4_hourly" / f"Hourly-{part}.csv", index_col=0).T for part in ("train", "test")]
    series = {name: np.concatenate([part[name].dropna().to_numpy() for part in parts]) for name in sorted(parts[0])}
    lengths = [len(values) for values in series.values()]
    panel = Panel(
        np.concatenate(list(series.values()))[:, None],
        np.concatenate([np.arange(n) for n in lengths]),
        np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64),
        tuple(series),
        ("y",),
        Calendar("step"),
        source="M4 hourly",
    )
    return Task("m4-hourly", panel, np.full(len(panel), 48), 24, "OWA", "ES-RNN 0.440, Theta 1.006")


TASKS: dict[str, Callable[[Path], Task]] = {
    "cif": _cif,
    "tourism": _tsf("tourism", "tourism_monthly/tourism_monthly_dataset.tsf", 24, "DeepAR 1.409, ETS 1.526"),
    "hospital": _tsf("hospital", "hospital/hospital_dataset.tsf", 12, "Theta 0.761, DeepAR 0.769"),
    "births": _tsf("births", "us_births/us_births_dataset.tsf", 30, "TBATS 1.453, DeepAR 1.548"),
    "m4-hourly": _m4_hourly,
}
