"""Regenerate the CSV files of `src/gatecast/data/bundled` from the PyPI packages that publish them.

Run it as `python tools/bundle_datasets.py`; it downloads about 26 MB into a temporary folder and installs nothing.
"""

from __future__ import annotations

import ast
import io
import subprocess
import sys
import tempfile
from pathlib import Path
from zipfile import ZipFile

import pandas as pd

BUNDLED = Path(__file__).parents[1] / "src" / "gatecast" / "data" / "bundled"
STOCKS = "bokeh_sampledata==2026.1"
WEATHER = "vega_datasets==0.9.0"
CO2 = "statsmodels==0.15.0"
PASSENGERS = "pmdarima==2.1.1"
PRICES = ["Open", "High", "Low", "Close"]
TICKERS = ["AAPL", "IBM", "MSFT", "GOOG"]


def member(package: str, path: str, folder: Path) -> bytes:
    """The content of one file in the wheel of `package`, which is downloaded into `folder`."""
    command = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--only-binary=:all:", "-d", str(folder)]
    subprocess.run([*command, package], check=True)
    (wheel,) = folder.glob(f"{package.split('==')[0]}-*.whl")
    with ZipFile(wheel) as archive:
        return archive.read(path)


def quoted_ibm(quotes: pd.DataFrame) -> pd.DataFrame:
    """IBM as quoted: it had no split in these years."""
    return quotes.loc[quotes["Ticker"] == "IBM", ["Date", *PRICES, "Volume"]]


def adjusted_stocks(quotes: pd.DataFrame) -> pd.DataFrame:
    """The four tickers, prices times adjusted close / close, so that splits and dividends leave no jump."""
    factor = quotes["Adj Close"] / quotes["Close"]
    adjusted = quotes.assign(**{name: (quotes[name] * factor).round(4) for name in PRICES})
    named = adjusted.rename(columns={"Ticker": "unique_id"})[["unique_id", "Date", *PRICES, "Volume"]]
    return pd.concat([named[named["unique_id"] == ticker] for ticker in TICKERS])


def weather(raw: bytes) -> pd.DataFrame:
    """The columns of numbers, with ISO dates."""
    frame = pd.read_csv(io.BytesIO(raw), parse_dates=["date"], date_format="%Y/%m/%d")
    return frame[["date", "precipitation", "temp_max", "temp_min", "wind"]]


def co2(raw: bytes) -> pd.DataFrame:
    """Weekly means with ISO dates; weeks without a measurement stay empty."""
    return pd.read_csv(io.BytesIO(raw), parse_dates=["date"], date_format="%Y%m%d")


def passengers(module: bytes) -> pd.DataFrame:
    """The one list of 144 numbers in a Python module, read without running it."""
    lists = [node for node in ast.walk(ast.parse(module)) if isinstance(node, ast.List) and len(node.elts) == 144]
    (numbers,) = (ast.literal_eval(node) for node in lists)
    months = pd.date_range("1949-01-01", periods=144, freq="MS")
    return pd.DataFrame({"month": months, "passengers": numbers})


def main() -> None:
    """Download the packages and write every file."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        stocks = member(STOCKS, "bokeh_sampledata/_data/stocks.csv.gz", folder)
        quotes = pd.read_csv(io.BytesIO(stocks), compression="gzip")
        frames = {
            "ibm": quoted_ibm(quotes),
            "stocks": adjusted_stocks(quotes),
            "seattle_weather": weather(member(WEATHER, "vega_datasets/_data/seattle-weather.csv", folder)),
            "co2": co2(member(CO2, "statsmodels/datasets/co2/co2.csv", folder)),
            "air_passengers": passengers(member(PASSENGERS, "pmdarima/datasets/airpassengers.py", folder)),
        }
    for file, frame in frames.items():
        frame.to_csv(BUNDLED / f"{file}.csv", index=False, lineterminator="\n", date_format="%Y-%m-%d")


if __name__ == "__main__":
    main()
