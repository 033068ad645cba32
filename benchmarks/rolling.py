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
from foreign import CLASSICS, NEURAL, Foreign

import gatecast as gc
from gatecast.forecast.panels.baselines import global_method
from gatecast.forecast.panels.method import GlobalMethod
from gatecast.judge.backtest import COVERAGE_ENOUGH
from gatecast.judge.blocks import coverages_of
from gatecast.judge.panel_scores import PROBABILITIES, row_scores
from gatecast.prepare.scale import error_scale, seasonal_differences
from gatecast.prepare.split import Origins

PRICES = ["Open", "High", "Low", "Close"]
BIKE_PAST = ("temp", "atemp", "hum", "windspeed", "weathersit")


@dataclass(frozen=True)
class Roll:
    """A frame, its origins, what is known of it, and how its table of forecasts becomes one figure.

    `classics`: the series (all of them, if none is named) and how many of its last rows (all) AutoETS and AutoTheta
    are fitted to at every origin.
    """

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
    classics: tuple[str | None, int | None] = (None, None)

    def method(self, who: str) -> GlobalMethod:
        """The contender, not yet fitted."""
        season = self.naive_season if who == "seasonal_naive" and self.naive_season else self.season
        if who in CLASSICS or who in NEURAL:
            tail = self.classics[1] if who in CLASSICS else None
            return Foreign(self.h, model=who, tail=tail, season=season)
        columns = self.columns if who in ("Gatecast", "global_ridge") else {}
        return global_method(who, self.h, season=season, **columns)

    def note(self, who: str) -> dict[str, str]:
        """How a contender of another library is fitted; nothing of our own."""
        if who in NEURAL:
            return {"note": "fitted once, to the rows before the first origin; a missing row is its series' last value"}
        series, tail = self.classics
        rows = f"the last {tail} rows" if tail else "all rows before it"
        whose = f" of {series}, and scored there alone" if series else ""
        return {"note": f"fitted at every origin to {rows}{whose}"} if who in CLASSICS else {}


def measure_rolling(roll: Roll, who: str) -> dict[str, Any]:
    """One contender's figure; scored by the same code as every other, in units of the scale at the first origin."""
    method, series = roll.method(who), roll.classics[0] if who in CLASSICS else None
    frame = roll.frame[roll.frame["unique_id"] == series] if series else roll.frame
    spread = roll.quantiles and who not in NEURAL
    start = time.perf_counter()
    given, cuts = method.origins_of(frame, roll.origins)
    tables = list(method.once(given, cuts, PROBABILITIES if spread else {}))
    spent = method.seconds if isinstance(method, Foreign) else time.perf_counter() - start
    table = pd.concat([pd.DataFrame(each).assign(origin=o) for o, each in enumerate(tables)], ignore_index=True)
    known = given.cut(cuts[0].kept).without_empty().panel
    table["scale"] = table["unique_id"].map(dict(zip(known.ids, error_scale(known), strict=True)))
    found = {roll.bar: roll.figure(roll, {"known": known, "name": method.name}, table), "seconds": spent}
    if spread:
        scored = table.assign(**row_scores(table, method.name))
        found |= {name: float(scored[name].mean()) for name in ("CRPS", "coverage 80", "coverage 95")}
        found |= _bands(method.name, scored)
    return found | roll.note(who) | ({"rules": method.rules_} if who == "Gatecast" else {})


def _bands(name: str, scored: pd.DataFrame) -> dict[str, dict[str, Any]]:
    """Bounds around the coverage of a single series at enough origins, and whether they hold the level."""
    if scored["unique_id"].nunique() > 1 or scored["origin"].nunique() < COVERAGE_ENOUGH:
        return {}
    return {
        f"band {each.level}": {"low": each.low, "high": each.high, "within": each.within}
        for each in coverages_of(name, scored)
    }


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


def births(windows: int) -> Callable[[Path, bool], Roll]:
    """Windows of 30 days."""

    def read(folder: Path, test: bool) -> Roll:
        frame = gc.read(folder / "us_births" / "us_births_dataset.tsf").frame()
        frame = frame if test else frame.iloc[: -30 * windows]
        return Roll(f"births-{windows}", frame, 30, Origins(windows), "MASE, season 1", _mase_one, "-", {})

    return read


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
    bar, eight_weeks = "bar 0.72 of seasonal naive", (None, 8 * 168)
    return Roll("bike", frame, 24, Origins(50), "MAE", _mae, bar, columns, naive_season=168, classics=eight_weeks)


def stocks(alone: bool) -> Callable[[Path, bool], Roll]:
    """The next day's High of IBM, alone or with 30 other tickers, through a year, from ratios of the day's prices."""

    def read(folder: Path, test: bool) -> Roll:
        files = sorted([*folder.glob("ibm/IBM_*.csv"), *([] if alone else folder.glob("djia30/*.csv"))])
        frame = pd.concat([_prices(path) for path in files], ignore_index=True)
        frame = frame if test else frame[frame["ds"] < "2017-01-01"]
        rows = int(frame.loc[frame["unique_id"] == "IBM", "ds"].str.startswith("2017" if test else "2016").sum())
        name, columns, origins = (
            "ibm-1" if alone else "ibm-31",
            {"past": ("Open", "Low", "Close")},
            Origins(rows, 1, "date"),
        )
        bar = "ridge of IBM 1.384"
        return Roll(name, frame, 1, origins, "RMSE", _rmse_of_ibm, bar, columns, classics=("IBM", 500))

    return read


def _prices(path: Path) -> pd.DataFrame:
    """A ticker's highest price, and the logarithms of the other prices over it."""
    one = pd.read_csv(path)
    one[PRICES] = one[PRICES].apply(pd.to_numeric, errors="coerce")
    one[PRICES] = one[PRICES].where(one[PRICES] > 0)
    ratios = {name: np.log(one[name] / one["High"]) for name in PRICES if name != "High"}
    return pd.DataFrame({"unique_id": path.name.split("_")[0], "ds": one["Date"], "y": one["High"], **ratios})


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
    "births-20": births(20),
    "births-50": births(50),
    "bike": bike,
    "ibm-31": stocks(alone=False),
    "ibm-1": stocks(alone=True),
    "etth1-96": ett(96),
    "etth1-336": ett(336),
}
