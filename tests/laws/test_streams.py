"""Streaming is the batch: after every row a stream forecasts what its model says of all rows so far."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from gatecast.data.calendar import Calendar
from gatecast.edge.save import load, save
from gatecast.edge.save_global import PACKERS
from gatecast.forecast.forecaster import Forecaster
from gatecast.forecast.panels.direct import GlobalForecaster
from gatecast.forecast.panels.sampling import Drawing, SamplingForecaster
from gatecast.forecast.panels.sequence import SequenceForecaster
from gatecast.forecast.streams.opening import CORES
from gatecast.nn import native
from gatecast.train.lockstep import Tick
from models import NETWORKS, prices, waves
from panels import shorten

AHEAD, NEW = 3, 14
EXACT, ROUND = 1e-6, 1e-5
"""Of the spread of a series. Networks round by how many series they read at once: exact where those are the same."""


# -- models of panels -------------------------------------------------------------------------------------------------


def panel_frame(freq, rows, positive=True, columns=(), seed=0):
    """Four series of different lengths, the shortest of a few rows, with missing values and rows that are not there."""
    rng, frames = np.random.default_rng(seed), []
    calendar = Calendar(freq)
    first = np.datetime64("2020-01-05", "ns") if freq != "step" else np.int64(3)
    whole = calendar.future(first, rows + NEW)
    for s, length in enumerate((rows, rows - 9, rows // 2, 6)):
        t = np.arange(length + NEW)
        y = 40 * (s + 1) + 9 * np.sin(2 * np.pi * t / max(2, calendar.season)) + rng.normal(0, 2, len(t)).cumsum() / 3
        y = np.maximum(y, 1.0) if positive else y - 60
        more = {name: rng.normal(5 * c, 1 + c, len(t)) for c, name in enumerate(columns)}
        frame = pd.DataFrame({"unique_id": f"s{s}", "ds": whole[-len(t) :], "y": y, **more})
        holes = rng.random(len(frame)) < 0.12
        holes[[0, length - 1]] = False
        frame.loc[holes, "y"] = np.nan
        for name in columns[:1]:
            frame.loc[rng.random(len(frame)) < 0.1, name] = np.nan
        frame["new"] = t >= length
        frames.append(frame[~(holes & (rng.random(len(frame)) < 0.5))])
    return pd.concat(frames, ignore_index=True)


def statics(frame):
    ids = frame["unique_id"].unique()
    return pd.DataFrame({"unique_id": ids, "size": np.arange(len(ids)) ** 2.0, "kind": ["a", "b", "a", "c"]})


# how a model is made -> (its frame, its settings, whether it reads facts)
FREE = {"drawing": Drawing(paths=12, networks=2)}
PANELS = {
    "monthly, log and plain": (GlobalForecaster, panel_frame("MS", 60), {}, False),
    "monthly, signs": (GlobalForecaster, panel_frame("MS", 60, positive=False), {}, False),
    "weekly, a long lag": (GlobalForecaster, panel_frame("W-SUN", 240), {}, False),
    "hourly, strides": (GlobalForecaster, panel_frame("h", 200), {}, False),
    "steps, short": (GlobalForecaster, panel_frame("step", 30), {}, False),
    "business days": (GlobalForecaster, panel_frame("B", 60), {}, False),
    "past, future and facts": (
        GlobalForecaster,
        panel_frame("QE", 50, columns=("warm", "cost", "sale")),
        {"past": ["warm", "cost"], "future": ["sale"]},
        True,
    ),
    "draws": (SamplingForecaster, panel_frame("MS", 60), FREE, False),
    "draws, signs and facts": (
        SamplingForecaster,
        panel_frame("QE", 50, positive=False, columns=("sale",)),
        {"future": ["sale"], **FREE},
        True,
    ),
}
CARRIED = {"spec": "lstm:6-gru:4", "members": 2}
PANELS |= {
    "carried": (SequenceForecaster, panel_frame("MS", 60), CARRIED, False),
    "carried, signs, past, future and facts": (
        SequenceForecaster,
        panel_frame("QE", 50, positive=False, columns=("warm", "cost", "sale")),
        {"past": ["warm", "cost"], "future": ["sale"], **CARRIED},
        True,
    ),
}
RIVAL = {"the rival of a global model": (GlobalForecaster, panel_frame("MS", 40), {}, False)}


@pytest.fixture(autouse=True)
def short_training(monkeypatch):
    shorten(monkeypatch, 8)


def fitted(kind, frame, settings, facts, rival=False):
    old = frame[~frame["new"]].drop(columns="new")
    model = kind(AHEAD, **settings).fit(old, static_df=statics(frame) if facts else None)
    if rival:
        free = SamplingForecaster(AHEAD, **FREE)
        free.train(model.given_, 0, Tick())
        model.free_, model.parts_ = free, ()
    return model, old


def ahead_of(model, frame):
    """Known-future columns of the rows after the end of every series."""
    names, rng = model.covariates.future, np.random.default_rng(len(frame))
    if not names:
        return None
    found = []
    for name, own in frame.groupby("unique_id"):
        times = model.panel_.calendar.future(own["ds"].to_numpy()[-1], AHEAD)
        found.append(pd.DataFrame({"unique_id": name, "ds": times, **{c: rng.normal(5, 1, AHEAD) for c in names}}))
    return pd.concat(found)


def forgetful(stream):
    """The stream without the forecasts that it has made already."""
    stream._core._own["ready"][:] = False
    return stream


def assert_same(stream, model, frame):
    """The stream's forecasts are those of the model over all rows, made at once or kept since the newest rows."""
    known = frame.drop(columns="new", errors="ignore")
    last = known.dropna(subset=["y"], how="all").groupby("unique_id")["ds"].max()
    assert len(last) == len(stream.ids)
    futr = ahead_of(model, known)
    batch = model.predict(known, level=[80], futr_df=futr)
    asked = {"level": [80], "futr_df": futr}
    compare(stream.forecast(**asked), batch, known, ROUND)
    compare(forgetful(stream).forecast(**asked), batch, known, EXACT)


def compare(alive, batch, known, exact):
    assert list(alive.columns) == list(batch.columns)
    for name in ("unique_id", "ds"):
        assert alive[name].tolist() == batch[name].tolist()
    size = known.groupby("unique_id")["y"].std().reindex(batch["unique_id"]).to_numpy()
    for column in batch.columns[2:]:
        assert (np.abs(alive[column].to_numpy() - batch[column].to_numpy()) <= exact * size).all(), column


def rows_to_come(frame, seed):
    """New rows one by one, each series in its own order of time, the series mixed."""
    rng, new = np.random.default_rng(seed), frame[frame["new"]]
    waiting = {name: list(own.index) for name, own in new.groupby("unique_id")}
    while waiting:
        name = rng.choice(sorted(waiting))
        yield waiting[name].pop(0)
        waiting = {each: rows for each, rows in waiting.items() if rows}


def taken_in(stream, row, columns):
    return stream.observe({c: row[c] for c in columns}, series=row["unique_id"], time=row["ds"])


def all_but(quick, names):
    """Every name; those but one run with all laws."""
    return [name if name == quick else pytest.param(name, marks=pytest.mark.slow) for name in names]


@pytest.mark.parametrize("name", all_but("steps, short", [*PANELS, *RIVAL]))
def test_a_stream_of_a_panel_is_the_batch_after_every_row(name):
    kind, frame, settings, facts = (PANELS | RIVAL)[name]
    model, known = fitted(kind, frame, settings, facts, name in RIVAL)
    stream, columns = model.stream(), list(frame.columns[2:-1])
    assert_same(stream, model, known)
    for k, i in enumerate(rows_to_come(frame, 0)):
        taken_in(stream, frame.loc[i], columns)
        known = pd.concat([known, frame.loc[[i]].drop(columns="new")]).sort_values(["unique_id", "ds"])
        if k % 7 == 0:
            assert_same(stream, model, known)
    assert_same(stream, model, known)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["monthly, log and plain", "past, future and facts", "draws", "carried"])
def test_a_stream_from_any_row_of_the_past_and_in_any_order_is_the_same(name):
    kind, frame, settings, facts = PANELS[name]
    model, known = fitted(kind, frame, settings, facts)
    columns, told = list(frame.columns[2:-1]), statics(frame) if facts else None
    whole = frame.drop(columns="new")
    short = whole.groupby("unique_id").head(4)
    late = whole[whole.groupby("unique_id").cumcount() >= 4]
    stream = model.stream(short, static_df=told)
    stream.observe_many(late.sample(frac=1, random_state=0))
    assert_same(stream, model, whole)
    one = model.stream(known)
    for i in rows_to_come(frame, 5):
        taken_in(one, frame.loc[i], columns)
    for series in sorted(one.ids)[::-1]:
        pd.testing.assert_series_equal(
            one.forecast(series=series, futr_df=ahead_of(model, whole))[model.name].reset_index(drop=True),
            stream.forecast(series=series, futr_df=ahead_of(model, whole))[model.name].reset_index(drop=True),
            rtol=EXACT,
        )


@pytest.mark.slow
def test_a_logarithm_keeps_the_unit_that_a_series_began_with():
    """A first zero in a positive series is missing to it, as to a batch in the units of an earlier origin."""
    model, known = fitted(GlobalForecaster, panel_frame("MS", 60), {}, False)
    log = next(part for part in model.parts_ if part.candidate.transform == "log")
    model.parts_ = (log,)
    stream = model.stream()
    stream.observe(0.0, series="s0")
    stream.observe(50.0, series="s0")
    later = stream.forecast(series="s0")
    end = model.panel_.calendar.future(stream.last("s0"), 1)[0]
    gap = pd.DataFrame({"unique_id": "s0", "ds": [end, end], "y": [np.nan, 50.0]})
    ahead = model.panel_.calendar.future(known[known["unique_id"] == "s0"]["ds"].max().to_datetime64(), 2)
    gap["ds"] = ahead
    batch = model.predict(pd.concat([known, gap]))
    np.testing.assert_allclose(later["Gatecast"], batch[batch["unique_id"] == "s0"]["Gatecast"], rtol=1e-6)


@pytest.mark.slow
def test_covariates_and_error_scales_are_those_of_all_live_series():
    """Where a batch pools over its panel, a stream pools over what is live: forget one, and it counts no more."""
    kind, frame, settings, facts = PANELS["past, future and facts"]
    model, known = fitted(kind, frame, settings, facts)
    stream = model.stream()
    stream.forecast(futr_df=ahead_of(model, known))
    stream.forget("s1")
    assert_same(stream, model, known[known["unique_id"] != "s1"])


@pytest.mark.slow
@pytest.mark.parametrize("kernels", ["native", "torch"])
@pytest.mark.parametrize("name", ["carried", "carried, signs, past, future and facts"])
def test_states_that_were_carried_row_by_row_are_the_bits_of_one_scan(name, kernels, monkeypatch):
    """With the kernels; torch.nn rounds as it likes."""
    if kernels == "torch":
        monkeypatch.setattr(native, "kernels", None)
    kind, frame, settings, facts = PANELS[name]
    model, _ = fitted(kind, frame, settings, facts)
    stream, columns = model.stream(), list(frame.columns[2:-1])
    for i in rows_to_come(frame, 2):
        taken_in(stream, frame.loc[i], columns)
    once = model.stream(frame.drop(columns="new"))
    states = {name: array for name, array in once.kept().items() if "states" in name or "running" in name}
    assert any(name.endswith(".h") for name in states)
    for name, array in states.items():
        exact = native.kernels or "running" in name
        np.testing.assert_allclose(stream.kept()[name], array, rtol=0, atol=0 if exact else 1e-6, err_msg=name)


# -- window models ----------------------------------------------------------------------------------------------------

SERIES = {"prices": prices(190), "waves": waves(190)}


def ragged(panel, seed, h):
    """Missing values, rows that are not there, and where a logarithm is not taken none that is not positive."""
    rng, values = np.random.default_rng(seed), panel.values.copy()
    holes = rng.random(values.shape) < 0.08
    holes[:3] = False
    holes[140:150] = False
    values[holes] = np.nan
    return replace(panel, values=values, fill="last").where(
        (rng.random(panel.rows) > 0.05) | (np.arange(panel.rows) < 150)
    )


@pytest.mark.parametrize("name", all_but("linear", NETWORKS))
@pytest.mark.parametrize("series", SERIES)
def test_a_stream_of_a_window_model_is_the_batch_after_every_row(name, series):
    panel = ragged(SERIES[series], 3, AHEAD)
    model = NETWORKS[name]().fit(panel.until(panel.times[149]))
    stream, picked = model.stream(), panel.columns_as(model.history_.columns)
    steps = model.h if model.h > 1 else AHEAD
    for row in range(150, picked.rows):
        before = stream.ahead(1)[model.name][0]
        seen = stream.observe(picked.values[row], time=picked.times[row])
        assert seen.forecast == before and seen.outcome == ("missing" if np.isnan(picked.values[row, 0]) else "new")
        batch = model.predict(steps, panel.until(picked.times[row]))
        alive = stream.forecast(steps)
        assert alive["ds"].tolist() == list(pd.DatetimeIndex(batch.times))
        off = np.abs(alive[model.name].to_numpy() - batch.mean).max()
        assert off <= EXACT * np.nanstd(panel.values[:, 0]), row


@pytest.mark.slow
@pytest.mark.parametrize("name", ["average", "direct"])
def test_several_series_of_a_window_model_do_not_know_of_each_other(name):
    panel = SERIES["prices"]
    model = NETWORKS[name]().fit(panel.until(panel.times[149]))
    one, two = panel.where(np.arange(190) < 60), replace(panel, ids=("other",), values=panel.values * 1.5)
    stream = model.stream(one).begin(two.where(np.arange(190) < 80))
    alone = model.stream(two.where(np.arange(190) < 80))
    for row in range(30):
        stream.observe(two.values[80 + row, : len(stream.columns)], series="other")
        stream.observe(one.values[row % 60, : len(stream.columns)], series="prices")
        alone.observe(two.values[80 + row, : len(stream.columns)])
    np.testing.assert_allclose(
        stream.ahead(3, "other")[model.name], alone.ahead(3)[model.name], rtol=0, atol=1e-6 * two.values[:, 0].std()
    )
    stream.forget("prices")
    assert stream.ids == ("other",)
    np.testing.assert_array_equal(stream.ahead(3)[model.name], alone.ahead(3)[model.name])


# -- files ------------------------------------------------------------------------------------------------------------


def test_every_model_that_has_a_file_has_a_stream():
    assert set(CORES) == {Forecaster, *PACKERS}
    assert {kind for kind, *_ in PANELS.values()} == set(PACKERS)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["monthly, log and plain", "past, future and facts", "draws", "carried"])
def test_a_stream_that_was_saved_and_loaded_goes_on_with_the_same_bits(name, tmp_path):
    kind, frame, settings, facts = PANELS[name]
    model, known = fitted(kind, frame, settings, facts)
    columns, stream, twin = list(frame.columns[2:-1]), model.stream(), model.stream()
    cuts = set(np.random.default_rng(0).integers(0, NEW, 3).tolist())
    for number, i in enumerate(rows_to_come(frame, 1)):
        if number in cuts:
            twin = load(save(twin, tmp_path / "live.gatecast"))
        seen = [taken_in(each, frame.loc[i], columns) for each in (stream, twin)]
        assert str(seen[0]) == str(seen[1])
        known = pd.concat([known, frame.loc[[i]].drop(columns="new")])
        if number % 5 == 0:
            asked = {"futr_df": ahead_of(model, known.sort_values(["unique_id", "ds"])), "level": [80]}
            pd.testing.assert_frame_equal(stream.forecast(**asked), twin.forecast(**asked), check_exact=True)
    pd.testing.assert_frame_equal(stream.drift(), twin.drift(), check_exact=True)
    for array, same in zip(stream.kept().values(), twin.kept().values(), strict=True):
        np.testing.assert_array_equal(array, same)


@pytest.mark.slow
def test_what_is_kept_does_not_grow_with_the_past():
    model, _ = fitted(*PANELS["monthly, log and plain"])
    rng, sizes = np.random.default_rng(0), []
    stream = model.stream()
    for _ in range(3):
        sizes.append({name: array.shape for name, array in stream.kept().items()})
        for y in rng.uniform(20, 60, 40):
            stream.observe(y, series="s0")
    assert sizes[0] == sizes[1] == sizes[2]
