"""A small model, its rows as JSON, and a client of a server in this process."""

from functools import cache

import numpy as np
from fastapi.testclient import TestClient

import gatecast as gc
from gatecast.data.panel import Panel, time_text
from gatecast.edge.serve.app import create_app
from gatecast.edge.serve.live import Live
from gatecast.edge.serve.settings import Limits
from gatecast.edge.serve.store import Store
from models import QUICK, prices

FITTED = 120
HERE = "http://127.0.0.1"


@cache
def whole() -> Panel:
    """Prices of business days, of which the first `FITTED` were learned from."""
    return prices(200)


@cache
def model() -> gc.Forecaster:
    """Reads High and Low, one step ahead."""
    fitted = gc.Forecaster("gru:4", lookback=8, inputs=("Low",), recipe=gc.Recipe("standard", training=QUICK))
    return fitted.fit(rows_of(0, FITTED))


def rows_of(start: int, stop: int) -> Panel:
    """Rows of the prices, as a panel."""
    return whole().where((np.arange(whole().rows) >= start) & (np.arange(whole().rows) < stop))


def as_json(start: int, stop: int) -> list[dict]:
    """Rows of the prices, as a client sends them."""
    panel = rows_of(start, stop)
    pairs = zip(panel.times, panel.values, strict=True)
    return [{"time": time_text(time), "value": {"High": row[0], "Low": row[1]}} for time, row in pairs]


def live(path=None, limits: Limits | None = None, fitted=None, **options) -> Live:
    """The live series of the model, in memory or in a file."""
    return Live(fitted or model(), Store(path, "digest"), limits or Limits(), **options)


def client(series: Live | None = None, token: str | None = None, **headers: str) -> TestClient:
    """A client of a server over these series; use it in a `with`."""
    return TestClient(create_app(series or live(), token), base_url=HERE, headers=headers)
