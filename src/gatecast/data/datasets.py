"""`dataset`: a bundled or synthetic data set by name. Sources and licences are in NOTICE too."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from gatecast.data.panel import Fill, Panel
from gatecast.data.read import read
from gatecast.data.synthetic import SYNTHETIC
from gatecast.errors import SpecError, did_you_mean

__all__ = ["DATASETS", "SYNTHETIC", "Dataset", "dataset", "dataset_path"]

BUNDLED = Path(__file__).parent / "bundled"
QUANDL = "Quandl WIKI prices, by way of the PyPI package bokeh_sampledata 2026.1"
PUBLIC_DOMAIN = "public domain, as declared by the publisher"


@dataclass(frozen=True)
class Dataset:
    """A bundled file and how it is read; `series` names its one series where that is not the set's name.

    `test_from` is the test span that `gatecast run` takes by default: a date or a count of rows.
    """

    name: str
    file: str
    target: str
    date: str
    id: str | None
    fill: Fill
    test_from: str
    description: str
    source: str
    licence: str
    series: str | None = None


_SETS = (
    Dataset(
        name="ibm",
        file="ibm.csv",
        target="High",
        date="Date",
        id=None,
        fill="error",
        test_from="2012-03-01",
        description="IBM, daily open, high, low, close (US dollars) and volume (shares), 2000-03-01 to 2013-03-01, "
        "3270 rows; as quoted: no split falls in these years, dividends are not adjusted for",
        source=QUANDL,
        licence=PUBLIC_DOMAIN,
        series="IBM",
    ),
    Dataset(
        name="stocks",
        file="stocks.csv",
        target="High",
        date="Date",
        id="unique_id",
        fill="error",
        test_from="2012-03-01",
        description="AAPL, IBM, MSFT, GOOG, daily open, high, low, close (US dollars) and volume (shares), 2000-03-01 "
        "(GOOG: 2004-08-19) to 2013-03-01, 3270 rows each (GOOG: 2148); prices are scaled by adjusted close / close "
        "for splits and dividends up to the archive's date (rounded to 4 decimals), volume is as reported",
        source=QUANDL,
        licence=PUBLIC_DOMAIN,
    ),
    Dataset(
        name="seattle_weather",
        file="seattle_weather.csv",
        target="temp_max",
        date="date",
        id=None,
        fill="error",
        test_from="2015-01-01",
        description="Seattle, daily precipitation (mm), highest and lowest temperature (degrees Celsius) and wind "
        "(m/s), 2012-01-01 to 2015-12-31, 1461 rows, no gaps",
        source="NOAA, by way of the PyPI package vega_datasets 0.9.0",
        licence="public domain",
    ),
    Dataset(
        name="co2",
        file="co2.csv",
        target="co2",
        date="date",
        id=None,
        fill="linear",
        test_from="104 rows",
        description="Mauna Loa, weekly mean of atmospheric CO2 (ppm by volume), 1958-03-29 to 2001-12-29, 2284 rows; "
        "59 weeks have no value: filled by a line between neighbours before the cut-off, else with the last value",
        source="C. D. Keeling and T. P. Whorf, Scripps Institution of Oceanography, through CDIAC, by way of the "
        "PyPI package statsmodels 0.15.0",
        licence="public domain",
    ),
    Dataset(
        name="air_passengers",
        file="air_passengers.csv",
        target="passengers",
        date="month",
        id=None,
        fill="error",
        test_from="24 rows",
        description="International airline passengers, monthly totals (thousands), 1949-01 to 1960-12, 144 rows",
        source="G. E. P. Box and G. M. Jenkins, Time Series Analysis: Forecasting and Control, series G, by way of "
        "the PyPI package pmdarima 2.1.1",
        licence="144 published numbers; no licence is claimed for them",
    ),
)
DATASETS = {each.name: each for each in _SETS}


def dataset(name: str) -> Panel:
    """The bundled or synthetic data set called `name`; SpecError for an unknown name.

    >>> panel = dataset("air_passengers")
    >>> panel.rows, panel.target, panel.calendar.label
    (144, 'passengers', 'monthly')
    >>> dataset("ramp").span
    '0 to 399'
    """
    if name in SYNTHETIC:
        return SYNTHETIC[name].function()
    found = _bundled(name, [*DATASETS, *SYNTHETIC])
    panel = read(dataset_path(name), found.target, date=found.date, id=found.id, fill=found.fill)
    return replace(panel, source=name, ids=(found.series,) if found.series else panel.ids)


def dataset_path(name: str) -> Path:
    """The file of the bundled data set called `name`; SpecError for an unknown name, or a synthetic one.

    >>> dataset_path("ibm").name
    'ibm.csv'
    """
    return BUNDLED / _bundled(name, DATASETS).file


def _bundled(name: str, known: list[str] | dict[str, Dataset]) -> Dataset:
    """The entry of a bundled set, or an error that lists the `known` names."""
    if name in DATASETS:
        return DATASETS[name]
    if name in SYNTHETIC:
        raise SpecError(f"data set '{name}' is computed and has no file", f"make it with dataset('{name}')")
    raise SpecError(f"unknown data set '{name}'", did_you_mean(name, known))
