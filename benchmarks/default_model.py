"""Is the default model worth running? Its skill against naive on 31 stocks and on six years of IBM, and its free runs.

    python benchmarks/default_model.py DATA

DATA is a folder with ibm/IBM_*.csv and djia30/*.csv: the Kaggle set "DJIA 30 Stock Time Series" (columns Date, Open,
High, Low, Close, Volume, Name). Target High, one step ahead, every choice made on rows before the test year. Missing
and non-positive prices are filled with the last value; a filled target day is an input and is never scored.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np
import pandas as pd

import gatecast as gc
from gatecast.data.panel import Panel
from gatecast.judge.board import Board
from gatecast.judge.leaderboard import leaderboard
from gatecast.prepare.fill import fill
from gatecast.prepare.split import rolling_origins, split

PRICES = ["Open", "High", "Low", "Close"]
ORIGINS = 24
STEPS = 251


def stock(path: Path) -> Panel:
    """One ticker; a price that is not positive counts as missing."""
    frame = pd.read_csv(path).drop(columns="Name")
    frame[PRICES] = frame[PRICES].apply(pd.to_numeric, errors="coerce")
    frame[PRICES] = frame[PRICES].where(frame[PRICES] > 0)
    return gc.read(frame, target="High", date="Date", fill="last")


def judged(panel: Panel, year: int) -> Board:
    """The leaderboard of one test year."""
    return leaderboard(panel.until(f"{year}-12-31"), f"{year}-01-01").boards[0]


def line(name: str, board: Board) -> float:
    """Print one board's line; returns the default model's skill."""
    auto, ridge, naive = (board.row(each) for each in ("auto", "ridge", "naive"))
    p = auto.comparison.p
    print(
        f"{name:<10} naive {naive.shown.scores.rmse:8.4f}  ridge {ridge.shown.scores.rmse:8.4f}  "
        f"auto {auto.shown.scores.rmse:8.4f}  skill {auto.comparison.skill:6.2f} %  p {p:.2g}  "
        f"scored {auto.shown.scores.count}",
        flush=True,
    )
    return float(auto.comparison.skill or 0.0)


def summary(what: str, skills: list[float]) -> None:
    """The line that is quoted."""
    print(f"{what}: median skill {np.median(skills):.2f} %, least {min(skills):.2f} %, greatest {max(skills):.2f} %\n")


def free_runs(panel: Panel) -> None:
    """251-step free runs from evenly spaced origins in 2013-2016, beside the flat line and the training drift."""
    train, _ = split(panel, "2013-01-01")
    values, y = fill(panel).values, fill(panel).values[:, 0]
    model = gc.Forecaster().fit(train)
    origins = rolling_origins(train.rows - 1, panel.until("2016-12-31").rows - 1, ORIGINS)
    steps = np.arange(1, STEPS + 1)
    slope = (y[train.rows - 1] - y[0]) / (train.rows - 1)
    paths = {
        "auto": model.free_runs(panel, origins, STEPS),
        "flat line": np.repeat(y[origins, None], STEPS, axis=1),
        "drift": y[origins, None] + slope * steps,
    }
    truth = y[origins[:, None] + steps]
    print(f"free runs of {STEPS} steps from {len(origins)} origins, {len(values)} rows, fitted before 2013")
    scores = {name: np.sqrt(np.mean((path - truth) ** 2, axis=1)) for name, path in paths.items()}
    for name, rmse in scores.items():
        print(f"{name:<10} RMSE median {np.median(rmse):7.3f}  range {rmse.min():7.3f} to {rmse.max():7.3f}")
    nearer = int((scores["auto"] < scores["flat line"]).sum())
    print(f"verdict: nearer to the truth than the flat line from {nearer} of {len(origins)} origins")


def free_2017(board: Board) -> None:
    """The notebook's own free run, from the end of 2016."""
    rmse = {name: board.row(name).shown.free_scores.rmse for name in ("auto", "naive", "drift", "ridge")}
    print("from the end of 2016:", *(f"{name} {value:.3f}" for name, value in rmse.items()))
    print("verdict:", board.row("auto").free_verdict)


def main() -> None:
    """Print the three tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    folder = parser.parse_args().data
    files = sorted([*folder.glob("ibm/IBM_*.csv"), *folder.glob("djia30/*.csv")])
    if not files:
        sys.exit(f"no ibm/IBM_*.csv or djia30/*.csv in {folder}")
    print("versions:", *(f"{name} {__import__(name).__version__}" for name in ("torch", "numpy", "pandas")))
    boards, skills = {}, []
    for path in files:
        name = path.name.split("_")[0]
        boards[name] = judged(stock(path), 2017)
        skills.append(line(name, boards[name]))
    summary(f"{len(files)} tickers, test year 2017", skills)
    ibm = stock(next(folder.glob("ibm/IBM_*.csv")))
    summary("IBM, test years 2012-2016", [line(f"IBM {y}", judged(ibm, y)) for y in range(2012, 2017)])
    free_runs(ibm)
    free_2017(boards["IBM"])


if __name__ == "__main__":
    main()
