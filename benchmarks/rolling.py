"""Tasks with one fit and many origins: what is forecast from each, and the figure that a bar is set on.

`--origin previous` ends the data one whole test span early.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from gatecast.forecast.panels.baselines import global_method
from gatecast.judge.panel_scores import PROBABILITIES, row_scores
from gatecast.prepare.scale import seasonal_differences
from gatecast.prepare.split import Origins

PRICES = ["Open", "High", "Low", "Close"]
BIKE_PAST = ("temp", "atemp", "hum", "windspeed", "weathersit")


@dataclass(frozen=True)
class Roll:
    """A frame, its origins, what is known of it, and how its table of forecasts becomes one figure."""

    name: str
    frame: pd.DataFrame
    h: int
    origins: Origins
    bar: str
    figure: Callable[[Roll, dict[str, Any], pd.DataFrame], float]
    published: str
    columns: dict[str, tuple[str, ...]]
    season: int | None = None
    naive_season: int | None = None
    quantiles: bool = True


def measure_rolling(roll: Roll, who: str) -> dict[str, Any]:
    """One contender's figure; scored by the same code as every other."""
    baseline = who != "Gatecast"
    season = roll.naive_season if who == "seasonal_naive" and roll.naive_season else roll.season
    method = global_method(who, roll.h, season=season, **({} if baseline and who != "global_ridge" else roll.columns))
    start = time.perf_counter()
    given, cuts = method.origins_of(roll.frame, roll.origins)
    tables = method.over_origins(given, cuts, PROBABILITIES if roll.quantiles else {}, refit=False)
    spent = time.perf_counter() - start
    table = pd.concat([pd.DataFrame(each) for each in tables], ignore_index=True)
    known = given.cut(cuts[0].kept)
    found = {roll.bar: roll.figure(roll, {"known": known.panel, "name": method.name}, table), "seconds": spent}
    if roll.quantiles:
        scores = {name: float(np.nanmean(each)) for name, each in row_scores(table, method.name).items()}
        found |= {name: scores[name] for name in ("CRPS", "coverage 80", "coverage 95")}
    return found | ({"rules": method.rules_} if who == "Gatecast" else {})


def _mase_one(roll: Roll, facts: dict[str, Any], table: pd.DataFrame) -> float:
    """MASE with season 1: the scale of the rows before the first origin."""
    known = facts["known"]
    scale = float(seasonal_differences(known.values[:, 0], known.indptr, 1)[0])
    return float((table["y"] - table[facts["name"]]).abs().mean() / scale)


def _mae(roll: Roll, facts: dict[str, Any], table: pd.DataFrame) -> float:
    return float((table["y"] - table[facts["name"]]).abs().mean())


def _mse(roll: Roll, facts: dict[str, Any], table: pd.DataFrame) -> float:
    return float(((table["y"] - table[facts["name"]]) ** 2).mean())


def _rmse_of_ibm(roll: Roll, facts: dict[str, Any], table: pd.DataFrame) -> float:
    own = table[table["unique_id"] == "IBM"]
    return float(np.sqrt(((own["y"] - own[facts["name"]]) ** 2).mean()))


def births(folder: Path, test: bool) -> Roll:
    """20 windows of 30 days."""
    import gatecast as gc

    panel = gc.read(folder / "us_births" / "us_births_dataset.tsf")
    frame = panel.frame()
    frame = frame if test else frame.iloc[:-600]
    return Roll("births-20", frame, 30, Origins(20), "MASE, season 1", _mase_one, "-", {})


def bike(folder: Path, test: bool) -> Roll:
    """24 hours from each of the last 50 midnights; weather as past columns, holidays and working days known."""
    text = (folder / "bike_sharing" / "hour.csv").read_text(encoding="latin-1").replace("\x00", "")
    lines = [line for line in text.splitlines() if line.strip("\x1a")]
    raw = pd.DataFrame([line.split(",") for line in lines[1:]], columns=lines[0].split(","))
    hours = pd.to_datetime(raw["dteday"]) + pd.to_timedelta(raw["hr"].astype(int), unit="h")
    numbers = raw[[*BIKE_PAST, "holiday", "workingday"]].apply(pd.to_numeric, errors="coerce")
    frame = pd.concat([pd.DataFrame({"ds": hours, "y": pd.to_numeric(raw["cnt"])}), numbers], axis=1)
    frame = frame if test else frame[frame["ds"] < "2012-11-12"]
    columns = {"past": BIKE_PAST, "future": ("holiday", "workingday")}
    return Roll("bike", frame, 24, Origins(50), "MAE", _mae, "bar 0.72 of seasonal naive", columns, naive_season=168)


def stocks(folder: Path, test: bool) -> Roll:
    """The next day's High of 31 tickers through a year, from ratios of the day's prices to it; IBM's is scored."""
    frames = []
    for path in sorted([*folder.glob("ibm/IBM_*.csv"), *folder.glob("djia30/*.csv")]):
        one = pd.read_csv(path)
        one[PRICES] = one[PRICES].apply(pd.to_numeric, errors="coerce")
        one[PRICES] = one[PRICES].where(one[PRICES] > 0)
        ratios = {name: np.log(one[name] / one["High"]) for name in PRICES if name != "High"}
        name = path.name.split("_")[0]
        frames.append(pd.DataFrame({"unique_id": name, "ds": one["Date"], "y": one["High"], **ratios}))
    frame = pd.concat(frames, ignore_index=True)
    frame = frame if test else frame[frame["ds"] < "2017-01-01"]
    rows = int(frame.loc[frame["unique_id"] == "IBM", "ds"].str.startswith("2017" if test else "2016").sum())
    columns = {"past": ("Open", "Low", "Close")}
    return Roll("ibm-31", frame, 1, Origins(rows, 1, "date"), "RMSE", _rmse_of_ibm, "ridge of IBM 1.384", columns)


def ett(h: int) -> Callable[[Path, bool], Roll]:
    """Seven channels, standardised on the training rows, every window of the test rows."""

    def read(folder: Path, test: bool) -> Roll:
        raw = pd.read_csv(folder / "ett" / "ETTh1.csv")
        train = raw.iloc[:8640, 1:]
        scaled = (raw.iloc[:, 1:] - train.mean()) / train.std(ddof=0)
        scaled = scaled.iloc[: 14400 if test else 11520].assign(ds=raw["date"])
        frame = scaled.melt("ds", var_name="unique_id", value_name="y")
        published = {96: "SegRNN 0.351-0.368, ridge 0.370", 336: "xLSTM-Mixer 0.408, ridge 0.426"}[h]
        windows = Origins(2880 - h + 1, 1, "date")
        return Roll(f"etth1-{h}", frame, h, windows, "MSE", _mse, published, {}, quantiles=False)

    return read


ROLLS: dict[str, Callable[[Path, bool], Roll]] = {
    "births-20": births,
    "bike": bike,
    "ibm-31": stocks,
    "etth1-96": ett(96),
    "etth1-336": ett(336),
}
