"""A stream at its edges: what is taken in, what is known, what is refused, and that a refusal changes nothing."""

import copy
from dataclasses import replace

import numpy as np
import pandas as pd
import polars as pl
import pytest

import gatecast as gc
from gatecast.data.calendar import Calendar
from gatecast.edge import container
from gatecast.edge.save import KIND, load, load_model, save
from gatecast.errors import ConflictError, DataError, ForecastError, ModelFileError, SpecError
from gatecast.forecast.panels.baselines import Drift as DriftModel
from gatecast.forecast.streams.drift import FEWEST, Drift
from models import NETWORKS, network, prices, waves
from panels import monthly, shorten


@pytest.fixture(scope="module")
def model():
    panel = waves()
    return network("gru:3", inputs=("Low",)).fit(panel.until(panel.times[99]))


@pytest.fixture(scope="module")
def carried():
    with pytest.MonkeyPatch.context() as patch:
        shorten(patch, 1)
        return gc.SequenceForecaster(2, "gru:3", members=1).fit(monthly(series=3, years=4))


@pytest.fixture
def stream(model):
    return model.stream()


def day(row):
    return waves().times[row]


def state(stream):
    return {name: array.copy() for name, array in stream.kept().items()}


def assert_unchanged(stream, before):
    for name, array in stream.kept().items():
        np.testing.assert_array_equal(array, before[name], err_msg=name)


def test_a_row_is_a_number_numbers_or_a_mapping(model):
    streams = [model.stream() for _ in range(4)]
    rows = [20.0, [20.0, None], {"High": 20.0}, np.array([20.0, np.nan])]
    seen = [each.observe(row) for each, row in zip(streams, rows, strict=True)]
    assert len(set(map(str, seen))) == 1
    assert seen[0].outcome == "new" and seen[0].time == day(100) == streams[0].last("waves")
    for each in streams[1:]:
        np.testing.assert_array_equal(each.ahead(3)["gru:3"], streams[0].ahead(3)["gru:3"])


def test_a_known_row_changes_nothing_and_another_value_is_a_conflict(stream):
    stream.observe([20.0, 19.0])
    stream.observe([21.0, np.nan])
    before = state(stream)
    again = stream.observe([21.0, None], time=str(day(101))[:10])
    assert (again.outcome, str(again.forecast)) == ("known", "nan")
    assert stream.observe([20.0, 19.0], time=day(100)).outcome == "known"
    history = waves().columns_as(("High", "Low"))
    assert stream.observe(history.values[90], time=day(90)).outcome == "known"
    for row, when, match in (
        ([22.0, None], day(101), "another row at 2020-04-1"),
        ([21.0, 5.0], day(101), "another row"),
        (history.values[5], day(5), "comes too late"),
    ):
        with pytest.raises(ConflictError, match=match):
            stream.observe(row, time=when)
    assert_unchanged(stream, before)


def test_a_missing_value_is_final(stream):
    assert stream.observe(None).outcome == "missing"
    assert stream.observe({}, time=day(100)).outcome == "known"
    with pytest.raises(ConflictError, match="another row"):
        stream.observe(20.0, time=day(100))
    assert stream.observe(20.0, time=day(101)).outcome == "new"


def test_rows_may_be_missing_but_not_too_many(stream, carried):
    assert stream.observe(20.0, time=day(110)).time == day(110)
    with pytest.raises(DataError, match="11 rows are missing between"):
        stream.observe(20.0, time=day(122))
    live = carried.stream()
    ahead = Calendar("MS").future(live.last("s1"), 12)
    seen = live.observe(50.0, series="s1", time=ahead[10])
    assert seen.outcome == "new" and live.last("s1") == ahead[10]
    assert live.observe(None, series="s1", time=ahead[4]).outcome == "known", "rows between count as missing"


@pytest.mark.parametrize(
    ("call", "match"),
    [
        (lambda s: s.observe({"Hihg": 1.0}), "no column 'Hihg'"),
        (lambda s: s.observe([1.0, 2.0, 3.0]), "a row of 3 numbers"),
        (lambda s: s.observe("many"), "not a row of numbers"),
        (lambda s: s.observe(np.inf), "2020-04-11: High is inf, expected a number of at most"),
        (lambda s: s.observe([1.0, -1e200]), "Low is -1e\\+200"),
        (lambda s: s.observe(10**400), "not a row of numbers"),
        (lambda s: s.observe([[1.0], [2.0]]), "not a row of numbers"),
        (lambda s: s.observe(1.0, series="sea"), "no series 'sea' is live"),
        (lambda s: s.observe(1.0, time="2020-04-10 13:00"), "does not follow the model's calendar: daily"),
        (lambda s: s.observe(1.0, time="soon"), "not a time of this series"),
        (lambda s: s.begin(), "series 'waves' is live already"),
        (lambda s: s.begin(waves(6)), "has 6 rows, and a forecast reads 8"),
        (lambda s: s.observe_many(pd.DataFrame({"ds": [day(100)]})), "no column 'High'"),
        (lambda s: s.observe_many(pd.DataFrame({"ds": [day(100)], "High": ["x"]})), "does not hold numbers"),
        (lambda s: s.observe_many([3.0]), "cannot read rows of a list"),
    ],
)
def test_what_cannot_be_read_is_refused_and_changes_nothing(stream, call, match):
    before = state(stream)
    with pytest.raises(DataError, match=match):
        call(stream)
    assert_unchanged(stream, before)


def test_many_rows_are_taken_in_all_or_none_in_any_order_of_time(carried):
    one, many = carried.stream(), carried.stream()
    ahead = {name: Calendar("MS").future(one.last(name), 6) for name in one.ids}
    rng, rows = np.random.default_rng(0), []
    for name, times in ahead.items():
        rows += [{"unique_id": name, "ds": t, "y": y} for t, y in zip(times, rng.uniform(20, 90, 6), strict=True)]
    frame = pd.DataFrame(rows).drop([2, 9])
    for row in frame.to_dict("records"):
        one.observe(row["y"], series=row["unique_id"], time=row["ds"])
    for series, time, y, match in (
        ("s0", Calendar("MS").future(ahead["s0"][5], 1)[0], -1.0, "negative"),
        ("s2", ahead["s2"][5], 1.0, "another row"),
        ("s9", ahead["s0"][0], 1.0, "no series 's9'"),
    ):
        before = state(many)
        bad = pd.DataFrame({"unique_id": [series], "ds": [time], "y": [y]})
        with pytest.raises(DataError, match=match):
            many.observe_many(pd.concat([frame, bad]))
        assert_unchanged(many, before)
    mixed = frame.sample(frac=1, random_state=1)
    seen = many.observe_many(pl.from_pandas(mixed))
    assert [(each.series, each.time) for each in seen] == [*zip(mixed["unique_id"], mixed["ds"], strict=True)]
    assert {each.outcome for each in seen} == {"new"}
    for name, array in many.kept().items():
        np.testing.assert_allclose(array.astype(float), one.kept()[name].astype(float), rtol=1e-5, err_msg=name)
    assert {each.outcome for each in many.observe_many(mixed)} == {"known"}
    twice = pd.DataFrame({"unique_id": "s0", "ds": Calendar("MS").future(many.last("s0"), 1).repeat(2), "y": 5.0})
    assert [each.outcome for each in many.observe_many(twice)] == ["new", "known"]


def test_series_come_and_go(carried):
    frame = monthly(series=3, years=4)
    stream = carried.stream()
    assert stream.ids == ("s0", "s1", "s2")
    with pytest.raises(DataError, match="3 series are live, and none was named"):
        stream.observe(1.0)
    kept = stream.forecast(series=["s2", "s0"])
    stream.forget("s1")
    assert stream.ids == ("s0", "s2")
    pd.testing.assert_frame_equal(stream.forecast(series=["s2", "s0"]), kept)
    stream.begin(frame[frame["unique_id"] == "s1"].assign(unique_id="again"))
    whole = carried.predict()
    np.testing.assert_allclose(
        stream.forecast(series="again")[carried.name], whole[whole["unique_id"] == "s1"][carried.name], rtol=1e-6
    )
    for name in stream.ids:
        stream.forget(name)
    with pytest.raises(ForecastError, match="no series is live"):
        stream.forecast()


def test_forecasts_that_a_model_cannot_make_are_refused(stream, carried):
    with pytest.raises(ForecastError, match="intervals of gru:3 are for one step ahead, 3 asked for"):
        stream.forecast(3, level=80)
    with pytest.raises(SpecError, match="h=0, expected at least 1"):
        stream.forecast(0)
    with pytest.raises(ForecastError, match="no series is named"):
        stream.forecast(series=[])
    with pytest.raises(ForecastError, match="no known-future column"):
        stream.forecast(futr_df=pd.DataFrame())
    with pytest.raises(ForecastError, match="too few held-back errors"):
        stream.forecast(1, level=99.99)
    with pytest.raises(ForecastError, match="fitted to forecast 3 steps at once, 4"):
        NETWORKS["direct"]().fit(prices()).stream().forecast(4)
    with pytest.raises(ForecastError, match="fitted to forecast 2 steps at once, 3"):
        carried.stream().forecast(3)
    with pytest.raises(SpecError, match="drift has no stream"):
        DriftModel(2).fit(monthly(series=2, years=3)).stream()
    with pytest.raises(ForecastError, match="has not learned anything"):
        gc.Forecaster("gru:3").stream()
    for kind in (gc.GlobalForecaster, gc.SamplingForecaster, gc.SequenceForecaster):
        with pytest.raises(ForecastError, match="has not learned anything"):
            kind(2).stream()


def test_intervals_of_the_first_step_are_those_of_the_batch(model):
    panel = waves()
    stream, batch = model.stream(), model.one_step(panel)
    for row in range(100, 130):
        found = stream.forecast(1, level=[80])
        band = batch.bands[0]
        wanted = [batch.mean[row - 100], band.lo[row - 100], band.hi[row - 100]]
        np.testing.assert_allclose(found.iloc[0, 2:].to_numpy(dtype=float), wanted, rtol=1e-6)
        same = stream.forecast(1, quantiles=[0.1, 0.5, 0.9]).iloc[0, 3:].to_numpy(dtype=float)
        np.testing.assert_array_equal(same, found.iloc[0, [3, 2, 4]].to_numpy(dtype=float))
        stream.observe(panel.columns_as(("High", "Low")).values[row])


def test_a_forecast_is_computed_once_for_every_row(model):
    counted = copy.copy(model)
    stream, calls = counted.stream(), []
    step = stream._core._rolling.step
    stream._core._rolling = replace(stream._core._rolling, step=lambda x: calls.append(len(x)) or step(x))
    for y in (20.0, 21.0, 19.0):
        stream.observe(y)
        stream.forecast(1, level=80)
        stream.forecast(1)
    assert calls == [1] * 4


def test_a_damaged_file_of_a_stream_is_refused(stream, tmp_path):
    path = save(stream, tmp_path / "live.gatecast")
    assert load(path).ids == stream.ids
    with pytest.raises(SpecError, match="holds the live series of a model"):
        load_model(path)
    for name, change in (
        ("core.rows", lambda array: array[:, 1:]),
        ("recent.row", lambda array: array[:0]),
        ("drift.count", lambda array: array.astype(np.float32)),
    ):
        tensors, facts = container.read(path, KIND)
        tensors[f"stream.{name}"] = change(tensors[f"stream.{name}"])
        bad = container.write(tmp_path / "bad.gatecast", KIND, tensors, facts)
        with pytest.raises(ModelFileError, match="does not describe a model"):
            load(bad)
    for change in (
        lambda tensors, _: tensors.pop("stream.core.ends"),
        lambda tensors, _: tensors.update({"stream.core.more": np.zeros(1)}),
        lambda tensors, _: tensors["stream.recent.count"].fill(0),
        lambda tensors, _: tensors["stream.drift.count"].fill(np.nan),
        lambda _, facts: facts.update(stream=["waves", "waves"]),
    ):
        tensors, facts = container.read(path, KIND)
        change(tensors, facts)
        with pytest.raises(ModelFileError, match="does not describe a model"):
            load(container.write(tmp_path / "bad.gatecast", KIND, tensors, facts))


def test_a_later_fit_of_the_model_is_not_the_streams(model, carried, tmp_path):
    for fitted, refit in (
        (model, lambda own: own.fit(waves().columns_as(("High", "Low")))),
        (carried, lambda own: own.fit(monthly(series=2, years=3, seed=7))),
    ):
        own = copy.copy(fitted)
        stream, twin = own.stream(), fitted.stream()
        with pytest.MonkeyPatch.context() as patch:
            shorten(patch, 1)
            refit(own)
        again = load(save(stream, tmp_path / "live.gatecast"))
        for each in (stream, again):
            pd.testing.assert_frame_equal(each.forecast(1, level=80), twin.forecast(1, level=80), check_exact=True)


@pytest.mark.parametrize("freq", ["h", "12h", "D"])
def test_times_with_a_zone_are_read_as_the_model_read_them(freq):
    times = pd.date_range("2021-01-01", periods=120, freq=freq, tz="Europe/Berlin")
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"unique_id": "a", "ds": times, "y": 50 + rng.normal(size=120)})
    with pytest.MonkeyPatch.context() as patch:
        shorten(patch, 1)
        live = gc.SequenceForecaster(2, "gru:3", members=1).fit(frame[:90]).stream()
    for row in frame[90:].itertuples():
        assert live.observe(row.y, time=row.ds).outcome == "new"
    assert live.last("a") == gc.read(frame).times[-1]
    np.testing.assert_allclose(live.forecast(2)[live.model.name], live.model.predict(frame)[live.model.name], rtol=1e-6)


def test_series_that_are_numbered_may_be_asked_for_by_number():
    frame = monthly(series=2, years=4)
    frame["unique_id"] = frame["unique_id"].str[1:].astype(int)
    with pytest.MonkeyPatch.context() as patch:
        shorten(patch, 1)
        live = gc.SequenceForecaster(2, "gru:3", members=1).fit(frame).stream()
    assert live.observe(50.0, series=1).series == "1"
    pd.testing.assert_frame_equal(live.forecast(series=1), live.forecast(series=["1"]))
    live.forget(0)
    assert live.ids == ("1",)


@pytest.mark.parametrize("kind", [gc.GlobalForecaster, gc.SequenceForecaster, gc.SamplingForecaster])
def test_what_was_forecast_with_columns_known_ahead_is_compared_for_every_series(kind):
    frame = monthly(series=3, years=4).assign(sale=lambda rows: 1.0 + rows.index % 5)
    settings = {"spec": "gru:3", "members": 1} if kind is gc.SequenceForecaster else {}
    with pytest.MonkeyPatch.context() as patch:
        shorten(patch, 1)
        live = kind(2, future=["sale"], **settings).fit(frame).stream()
    (time,) = Calendar("MS").future(live.last("s0"), 1)
    assert np.isnan(live.observe({"y": 60.0, "sale": 2.0}, series="s1").forecast), "nothing was said of it"
    one_row = pd.DataFrame({"unique_id": ["s0", "s2"], "ds": time, "sale": 2.0})
    said = live.forecast(1, series=["s0", "s2"], futr_df=one_row).set_index("unique_id")[live.model.name]
    for name in ("s0", "s2"):
        seen = live.observe({"y": 60.0, "sale": 2.0}, series=name, time=time)
        np.testing.assert_allclose(seen.forecast, said[name], rtol=1e-9)
    assert live.drift()["observed"].tolist() == [1, 0, 1]


# -- drift ------------------------------------------------------------------------------------------------------------


def compared(own, other, values, series=200):
    """Charts of many series after so many values with these error sizes."""
    rng, drift, at, ever = np.random.default_rng(0), Drift(), np.arange(series), np.zeros(series, dtype=bool)
    drift.begin(series)
    for _ in range(values):
        said, naive = own * rng.normal(size=series), other * rng.normal(size=series)
        drift.learn(at, np.zeros(series), said, np.stack([naive, naive], axis=1))
        ever |= drift.worse(at)
    return drift, at, ever


def test_a_model_as_good_as_naive_is_rarely_flagged_and_one_that_is_worse_nearly_always():
    assert compared(1.0, 1.0, 1000)[2].mean() <= 0.08
    assert compared(0.7, 1.0, 1000)[2].mean() == 0
    assert compared(1.6, 1.0, 200)[2].mean() >= 0.99


def test_rounding_is_no_error():
    drift, at = Drift(), np.array([0, 1])
    drift.begin(2)
    for _ in range(60):
        truth = np.array([7.0, 1234.6])
        drift.learn(at, truth, truth + np.array([4e-9, 0.8]), np.stack([truth, truth], axis=1))
    assert drift.worse(at).tolist() == [False, True]


def test_the_chart_is_its_equations():
    rng, drift = np.random.default_rng(1), Drift()
    drift.begin(1)
    truth, said, naive = rng.normal(size=(3, 90))
    weights = np.zeros(0)
    for k in range(90):
        drift.learn(np.array([0]), truth[k : k + 1], said[k : k + 1], np.array([[naive[k], 9.0]]))
        weight = max(0.02, 1 / (k + 1))
        weights = np.append(weights * (1 - weight), weight)
    own, other = np.abs(truth - said), np.abs(truth - naive)
    gap = own - other
    mean = weights @ gap
    told = drift.told(np.array([0]))
    np.testing.assert_allclose([told["model"][0], told["naive"][0]], [weights @ own, weights @ other], rtol=1e-12)
    np.testing.assert_allclose(drift.kept["gap"][0, 0], mean, rtol=1e-9)
    np.testing.assert_allclose(drift.kept["square"][0, 0] - drift.kept["gap"][0, 0] ** 2, weights @ (gap - mean) ** 2)
    assert told["observed"][0] == 90


def test_a_stream_compares_its_model_with_the_naive_forecasts(model):
    panel = waves().columns_as(("High", "Low"))
    stream, batch, y = model.stream(), model.one_step(waves()), waves().values[:, 0]
    seen = [stream.observe(panel.values[row]) for row in range(100, 100 + FEWEST)]
    np.testing.assert_allclose([each.forecast for each in seen], batch.mean[:FEWEST], rtol=1e-6)
    rows = np.arange(100, 100 + FEWEST)
    assert {each.naive for each in seen} <= {*y[rows - 1], *y[rows - 7]}
    told = stream.drift().iloc[0]
    off = np.abs(batch.mean[:FEWEST] - y[rows]).mean()
    np.testing.assert_allclose(told["model"], off, rtol=1e-6)
    np.testing.assert_allclose(told["naive"], np.abs(y[rows] - y[rows - 7]).mean(), rtol=1e-9)
    assert told["observed"] == FEWEST and told["worse"] == (off > told["naive"])
