"""The server over every kind of model: what it answers, that its examples are true, and what a crash leaves."""

import sqlite3
from functools import cache

import numpy as np
import pandas as pd
import pytest

import gatecast as gc
from gatecast.edge.serve.live import Live
from gatecast.edge.serve.settings import Limits
from gatecast.edge.serve.store import Store
from models import QUICK, prices
from panels import monthly, shorten
from serving import client

FRAME = monthly(series=3, years=5).assign(price=lambda frame: frame.index % 7 + 1.0)
PLAIN = FRAME[["unique_id", "ds", "y"]]
STATIC = pd.DataFrame({"shop": ["s0", "s1", "s2"], "size": [1.0, 2.0, 4.0], "town": ["Ulm", "Bonn", "Ulm"]})
SMALL = {"spec": "gru:3", "members": 1}
NAMED = {"unique_id": "shop", "ds": "month"}
MODELS = {
    "window": lambda: gc.Forecaster("gru:4", lookback=8, recipe=gc.Recipe(training=QUICK)).fit(prices(80)),
    "window, 3 steps": lambda: gc.Forecaster("gru:4", lookback=8, h=3, recipe=gc.Recipe(training=QUICK)).fit(
        prices(80)
    ),
    "direct": lambda: gc.GlobalForecaster(2, without=("rival", "ensemble")).fit(PLAIN),
    "draws": lambda: gc.SamplingForecaster(2, drawing=gc.Drawing(paths=8, networks=1)).fit(PLAIN),
    "sequence": lambda: gc.SequenceForecaster(2, **SMALL).fit(PLAIN),
    "counter": lambda: gc.SequenceForecaster(2, **SMALL).fit(PLAIN.assign(ds=PLAIN.groupby("unique_id").cumcount())),
    "ahead": lambda: gc.SequenceForecaster(2, **SMALL, future=["price"]).fit(FRAME),
    "named": lambda: gc.SequenceForecaster(2, **SMALL, id="shop", date="month").fit(
        PLAIN.rename(columns=NAMED), static_df=STATIC
    ),
}


@cache
def fitted(kind):
    with pytest.MonkeyPatch.context() as patch:
        shorten(patch, 1)
        return MODELS[kind]()


def live(kind, path=None):
    return Live(fitted(kind), Store(path, "digest"), Limits())


def answered(answer):
    assert answer.status_code == 200, answer.text
    return answer.json()


def rows_after(asked, kind, steps, h=2):
    """The next rows of the model's first series, and what is known ahead of each."""
    model = fitted(kind)
    panel = model.history_ if isinstance(model, gc.Forecaster) else model.panel_
    own = panel.series(panel.ids[0])
    times = own.calendar.future(own.times[-1], steps + h)
    times = [int(t) if own.times.dtype.kind == "i" else str(t)[:10] for t in times]
    values = np.random.default_rng(0).uniform(60, 90, steps).tolist()
    more = {"price": 3.0} if kind == "ahead" else {}
    rows = [{"time": t, "value": {panel.target: y, **more}} for t, y in zip(times, values, strict=False)]
    ahead = [[{"time": t, "value": more} for t in times[i : i + h]] if more else [] for i in range(steps)]
    return panel.ids[0], rows, ahead


@pytest.mark.parametrize("kind", MODELS)
def test_every_example_of_the_description_is_answered(kind):
    with client(live(kind)) as asked:
        document = answered(asked.get("/openapi.json"))
        for path, ways in document["paths"].items():
            for method, way in ways.items():
                for parameter in way.get("parameters", ()):
                    if parameter["in"] == "path":
                        path = path.replace("{id}", parameter["schema"]["examples"][0])
                if "requestBody" not in way:
                    continue
                schema = way["requestBody"]["content"]["application/json"]["schema"]["$ref"].rpartition("/")[2]
                for example in document["components"]["schemas"][schema]["examples"]:
                    answered(asked.request(method, path, json=example))


@pytest.mark.parametrize("kind", MODELS)
def test_a_series_goes_on_and_a_crash_leaves_all_of_it(kind, tmp_path):
    series = live(kind, tmp_path / "state")
    with client(series) as asked:
        name, rows, ahead = rows_after(asked, kind, 5)
        assert answered(asked.get(f"/v1/series/{name}"))["recent"], "the model's own rows are there to be shown"
        for row, known in zip(rows, ahead, strict=True):
            answered(asked.post(f"/v1/series/{name}/forecast", json={"ahead": known}))
            (told,) = answered(asked.post(f"/v1/series/{name}/observe", json={"rows": [row]}))["rows"]
            assert told["outcome"] == "new" and told["time"] == row["time"] and told["forecast"] is not None
        about = answered(asked.get(f"/v1/series/{name}"))
        assert about["drift"]["observed"] == len(rows) and about["last"] == rows[-1]["time"]
        with sqlite3.connect(tmp_path / "copy") as copy:
            series.store.connection.backup(copy)
        copy.close()
        question = {"ahead": rows_after(asked, kind, 6)[2][5]}
        said = answered(asked.post(f"/v1/series/{name}/forecast", json=question))
    with client(live(kind, tmp_path / "copy")) as again:
        assert answered(again.get(f"/v1/series/{name}")) == about
        assert answered(again.post(f"/v1/series/{name}/forecast", json=question)) == said


def test_facts_and_columns_known_ahead_are_asked_for_by_name():
    with client(live("ahead")) as asked:
        told = asked.get("/v1/series/s0/forecast")
        assert told.status_code == 422 and "price" in told.json()["error"] and "ahead" in told.json()["hint"]
    with client(live("named")) as asked:
        example = answered(asked.get("/openapi.json"))["components"]["schemas"]["Rows"]["examples"][0]
        for static, error in (
            ({}, "the fact 'size'"),
            ({**example["static"], "colour": "red"}, "reads no fact 'colour'"),
        ):
            told = asked.post("/v1/series/new/observe", json={**example, "static": static})
            assert told.status_code == 422 and error in told.json()["error"]
        answered(asked.post("/v1/series/new/observe", json=example))
        more = {"rows": [{"time": "2015-01-01", "value": 70.0}], "static": example["static"]}
        assert "keeps the facts" in asked.post("/v1/series/new/observe", json=more).json()["error"]


@pytest.mark.parametrize("time", [2**53 + 1, -(2**63), 10**30, "6_1", "٦١", True, 61.0, "2016-01-01"])
def test_a_counter_that_is_none_is_refused(time):
    with client(live("counter")) as asked:
        for path in ("/v1/series/s0/observe", "/v1/series/new/observe"):
            told = asked.post(path, json={"rows": [{"time": time, "value": 1.0}]})
            assert told.status_code == 422, told.text


def test_rows_far_apart_are_refused_at_once():
    """Every row that is missing would be filled in."""
    rows = [{"time": t, "value": 1.0 + t % 12} for t in (*range(60), 2_000_000)]
    with client(live("counter")) as asked:
        for path, body in (("/v1/series/new/observe", {"rows": rows}), ("/v1/forecast", {"history": rows})):
            told = asked.post(path, json=body)
            assert told.status_code == 422 and "1999940 rows" in told.json()["error"]


@pytest.mark.parametrize("time", ["0001-01-01", "1677-09-21", "1699-12-31", "2200-01-01", "9999-12-31"])
def test_dates_that_cannot_be_counted_are_refused(time):
    with client(live("sequence")) as asked:
        told = asked.post("/v1/series/s0/observe", json={"rows": [{"time": time, "value": 1.0}]})
        assert told.status_code == 422 and time in told.json()["error"]
