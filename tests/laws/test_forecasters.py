"""Every forecaster, baselines included: contract, poisoned future, declared unit, flow of information."""

import copy
from dataclasses import replace

import numpy as np
import pytest
import torch

from gatecast.edge.save import load, save
from gatecast.forecast.baselines import RULES
from gatecast.forecast.forecaster import Forecaster
from gatecast.nn.cells import CELLS
from gatecast.nn.spec import parse
from gatecast.prepare.fill import fill
from gatecast.prepare.scale import TRANSFORMS
from models import BASELINES, METHODS, NETWORKS, prices, waves

CUT = 120
SERIES = {"prices": prices(), "waves": waves()}
ALL = pytest.mark.parametrize("name", METHODS)
BOTH = pytest.mark.parametrize("series", SERIES)


def train_of(panel):
    return panel.until(panel.times[CUT - 1])


def numbers(method):
    """Everything a fitted forecaster decided or learned, as comparable text and arrays."""
    found = {"history": method.history_.values, "scores": method.calibration_.scores if method.calibration_ else []}
    if isinstance(method, Forecaster):
        found |= {"plan": str(method.plan_), "offset": method.transform_.offset, "size": method.transform_.size}
        for i, each in enumerate(method.networks_):
            found |= {f"{i}.{name}": weight.numpy() for name, weight in each.state_dict().items()}
    return found


def same(one, other):
    assert one.keys() == other.keys()
    for key in one:
        np.testing.assert_array_equal(one[key], other[key], err_msg=key)


def test_the_tables_hold_every_kind():
    fitted = [make().fit(train_of(SERIES["prices"])) for make in NETWORKS.values()]
    assert {layer.cell for f in fitted for stack in f.plan_.stacks for layer in stack.layers} == set(CELLS)
    assert {f.transform_.name for f in fitted} == set(TRANSFORMS)
    assert set(BASELINES) == {*RULES, "ridge"}
    assert any(layer.bidirectional for f in fitted for stack in parse(f.plan_.stacks[0].text) for layer in stack.layers)


@ALL
@BOTH
def test_contract(name, series, tmp_path):
    panel, method = SERIES[series], METHODS[name]()
    before = torch.get_rng_state()
    assert method.fit(train_of(panel), seed=3) is method
    learned = copy.deepcopy(numbers(method))
    one, free, ahead = method.one_step(panel), method.free_run(9), method.predict(3)
    same(numbers(method), learned)
    assert torch.equal(torch.get_rng_state(), before), "the global generator was touched"
    assert len(one) == panel.rows - CUT
    np.testing.assert_array_equal(one.times, panel.times[CUT:])
    np.testing.assert_array_equal(one.origins, panel.times[CUT - 1 : -1])
    np.testing.assert_array_equal(free.times, panel.calendar.future(panel.times[CUT - 1], 9))
    assert (one.mode, free.mode) == ("one_step", "free_run")
    assert np.isfinite([*one.mean, *free.mean, *ahead.mean]).all()
    again = METHODS[name]().fit(train_of(SERIES["waves"])).fit(train_of(panel), seed=3)
    same(numbers(again), learned)
    np.testing.assert_array_equal(again.one_step(panel).mean, one.mean)
    if isinstance(method, Forecaster):
        loaded = load(save(method, tmp_path / "m.gatecast"))
        np.testing.assert_array_equal(loaded.one_step(panel).mean, one.mean)
        np.testing.assert_array_equal(loaded.free_run(9).mean, free.mean)
        np.testing.assert_array_equal(loaded.predict(3).mean, ahead.mean)
        assert loaded.summary() == method.summary()


def poisons(panel, first, kind):
    """The panel with rows from `first` on replaced."""
    values = panel.values.copy()
    if kind == "shuffled":
        values[first:] = np.random.default_rng(1).permutation(values[first:])
    else:
        values[first:] = {"huge": 1e9, "tiny": 1e-9, "negative": -1e9}[kind]
    return replace(panel, values=values)


@ALL
@BOTH
@pytest.mark.parametrize("kind", ["huge", "tiny", "negative", "shuffled"])
def test_poison_after_an_origin_moves_no_forecast_made_at_it(name, series, kind):
    panel = SERIES[series]
    method = METHODS[name]().fit(train_of(panel))
    first = CUT + 7
    poisoned = poisons(panel, first, kind)
    clean, dirty = method.one_step(panel), method.one_step(poisoned)
    until = first - CUT + 1
    np.testing.assert_array_equal(clean.mean[:until], dirty.mean[:until])
    for mine, theirs in zip(clean.bands, dirty.bands, strict=True):
        np.testing.assert_array_equal(mine.lo[:until], theirs.lo[:until])
    assert not np.array_equal(clean.mean[until:], dirty.mean[until:]), "the poison reached nothing: a blind test"
    origins = np.arange(CUT - 1, first)
    np.testing.assert_array_equal(method.free_runs(panel, origins, 6), method.free_runs(poisoned, origins, 6))


@ALL
@pytest.mark.parametrize("rule", ["last", "linear"])
def test_gaps_are_filled_without_the_future(name, rule):
    """A gap across the cut-off and gaps after it: no later value may reach a forecast made before it."""
    values = SERIES["prices"].values.copy()
    values[50:53, 0] = values[CUT - 2 : CUT + 1, 0] = values[CUT + 10 : CUT + 13, 0] = np.nan
    values[60, 1] = values[CUT + 4, 1] = np.nan
    panel = replace(SERIES["prices"], values=values, fill=rule)
    method = METHODS[name]().fit(train_of(panel))
    for first in (CUT + 1, CUT + 5, CUT + 13):
        poisoned = poisons(panel, first, "huge")
        poisoned.values.flags.writeable = True
        poisoned.values[np.isnan(values)] = np.nan
        until = first - CUT + 1
        np.testing.assert_array_equal(method.one_step(panel).mean[:until], method.one_step(poisoned).mean[:until])


@ALL
@BOTH
def test_forecasts_follow_the_declared_change_of_unit(name, series):
    panel, train = SERIES[series], train_of(SERIES[series])
    method = METHODS[name]().fit(train)
    follows = {"shift and scale": (4.0, 256.0), "scale": (4.0, 0.0), "none": (1.0, 0.0)}
    size, shift = follows[method.equivariance]
    moved = replace(panel, values=panel.values * size + shift)
    again = METHODS[name]().fit(train_of(moved))
    spread = panel.values[:, 0].std()
    np.testing.assert_allclose(
        (again.one_step(moved).mean - shift) / size, method.one_step(panel).mean, atol=2e-3 * spread
    )
    np.testing.assert_allclose((again.free_run(5).mean - shift) / size, method.free_run(5).mean, atol=1e-2 * spread)
    if method.equivariance == "none":
        larger = replace(panel, values=panel.values * 4)
        other = METHODS[name]().fit(train_of(larger)).one_step(larger).mean / 4
        assert np.abs(other - method.one_step(panel).mean).max() > 1e-2 * spread


@pytest.mark.parametrize("name", NETWORKS)
def test_every_horizon_step_moves_when_the_newest_value_moves(name):
    """Two leading libraries fail this: their first steps are computed from states that never saw the newest values."""
    method = NETWORKS[name]().fit(train_of(SERIES["prices"]), seed=1)
    rolling = method.rolling()
    window = rolling.transform.apply(SERIES["prices"].columns_as(method.plan_.columns).values)[-rolling.lookback :]
    nudged = window.copy()
    nudged[-1, 0] += 0.5
    moved = np.abs(rolling.step(nudged[None]) - rolling.step(window[None]))[0]
    assert moved.shape == (method.h, len(method.plan_.columns))
    assert (moved > 1e-7).all()


@ALL
@BOTH
def test_window_models_free_run_and_one_step_agree(name, series):
    panel = SERIES[series]
    method = METHODS[name]().fit(train_of(panel))
    one = method.one_step(panel).mean
    origins = np.arange(CUT - 1, panel.rows - 1)
    fed_with_truth = method.free_runs(panel, origins, 4)
    np.testing.assert_allclose(fed_with_truth[:, 0], one, rtol=1e-6)
    np.testing.assert_allclose(method.free_run(4).mean, fed_with_truth[0], rtol=1e-6)
    if method.kind == "network" and method.h > 1:
        np.testing.assert_allclose(method.predict(1).mean, one[:1], rtol=1e-6)


@pytest.mark.parametrize("name", ["drift", "ridge", "linear"])
def test_the_ramp_is_forecast_exactly_by_whoever_can_extrapolate(name):
    from gatecast.data.synthetic import ramp

    panel = ramp(80)
    method = METHODS[name]() if name != "linear" else Forecaster("gru:2", lookback=6, recipe=_linear())
    train = panel.until(59)
    error = method.fit(train).one_step(panel).mean - panel.values[60:, 0]
    np.testing.assert_allclose(error, 0, atol=0.15)
    assert fill(train).values[-1, 0] == 59


def _linear():
    from gatecast.forecast.plan import Recipe
    from gatecast.train.settings import Training

    return Recipe("standard", lags=4, training=Training(epochs=1, learning_rate=1e-9))
