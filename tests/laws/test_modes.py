"""Modes: a free run is one-step on its own outputs, window by window; the ridge inside a network sees no held row."""

from dataclasses import replace

import numpy as np
import pytest

from gatecast.data.synthetic import ramp
from gatecast.forecast import build
from gatecast.forecast.baselines import Baseline
from gatecast.forecast.forecaster import Forecaster
from gatecast.forecast.plan import Recipe, spec_plan
from gatecast.forecast.ridge import Ridge
from gatecast.prepare.scale import TRANSFORMS, fit_transform
from gatecast.train.settings import Training
from models import METHODS, network, prices, waves

STEPS = 8
SERIES = {"prices": prices(110), "waves": waves(110)}
ONCE = Training(epochs=1, batch=64, learning_rate=5e-3)
BOTH = pytest.mark.parametrize("series", SERIES)
ALONE = {
    "moving_average": METHODS["moving_average"],
    "drift": METHODS["drift"],
    "seasonal_naive": METHODS["seasonal_naive"],
    "ridge": lambda: Ridge(inputs=()),
    "lstm": lambda: network("lstm:4", dropout=0.2, recipe=Recipe("minmax", "keras", training=ONCE)),
    "bilstm": lambda: network("bilstm:3", recipe=Recipe("log", training=ONCE)),
    "mixed": lambda: network("gru:4-rnn:3", recipe=Recipe("difference", training=ONCE)),
    "average": lambda: network("lstm:3+gru:3", recipe=Recipe("standard", training=ONCE)),
    "lags": lambda: network("gru:4", recipe=Recipe("logreturn", lags=3, training=ONCE)),
}


@BOTH
@pytest.mark.parametrize("name", ALONE)
def test_every_step_of_a_free_run_is_one_step_on_the_history_with_the_runs_own_values(name, series):
    panel = SERIES[series]
    method = ALONE[name]().fit(panel)
    assert method.history_.columns == ("High",)
    run = method.free_run(STEPS)
    own = replace(
        panel,
        values=np.vstack([panel.values, np.repeat(run.mean[:, None], len(panel.columns), axis=1)]),
        times=np.concatenate([panel.times, run.times]),
        indptr=np.array([0, panel.rows + STEPS]),
    )
    np.testing.assert_allclose(run.mean, method.one_step(own).mean, rtol=1e-6)
    assert np.ptp(run.mean) > 1e-4, "a run that stands still cannot tell what it was fed with"


MANY = {
    **{f"ridge {name}": (lambda name=name: Ridge(inputs=("High", "Low", "Open"))) for name in ("prices", "waves")},
    **{
        f"gru {name}": (lambda name=name: network("gru:4", inputs=("Low", "Open"), recipe=Recipe(name, training=ONCE)))
        for name in TRANSFORMS
    },
    "linear": lambda: network("gru:4", inputs=("Low", "Open"), recipe=Recipe("relative", lags=3, training=ONCE)),
    "bilstm": lambda: network("bilstm:3", inputs=("Low",), recipe=Recipe(training=ONCE)),
}


def unscaled(transform, ahead, row):
    """One scaled step of all columns back in original units, by the table of transforms, after the true `row`."""
    moved = ahead * transform.size + transform.offset
    if transform.shape == "relative":
        target = row[0] * np.exp(moved[0])
        return np.array([target, *(target * np.exp(moved[1:]))])
    return {
        "level": lambda: moved,
        "log": lambda: np.exp(moved),
        "difference": lambda: row + moved,
        "logreturn": lambda: row * np.exp(moved),
    }[transform.shape]()


@pytest.mark.parametrize("name", MANY)
def test_a_free_run_of_many_columns_slides_its_window_over_all_its_outputs(name):
    panel = SERIES["waves" if "waves" in name else "prices"]
    method = MANY[name]().fit(panel)
    rolling = method.rolling_ if isinstance(method, Ridge) else method.rolling()
    assert len(method.history_.columns) > 1
    origins = np.array([90, panel.rows - 1])
    runs = method.free_runs(None, origins, STEPS)
    for run, origin in zip(runs, origins, strict=True):
        rows = list(method.history_.values[: origin + 1])
        for k in range(STEPS):
            scaled = rolling.transform.apply(np.array(rows))[-rolling.lookback :]
            rows.append(unscaled(rolling.transform, rolling.step(scaled[None])[0, 0], rows[-1]))
            assert run[k] == pytest.approx(rows[-1][0], rel=1e-5), f"step {k + 1} after row {origin}"


@pytest.mark.parametrize("name", ["drift", "linear", "ridge"])
def test_a_free_run_goes_on_with_the_ramp(name):
    still = Recipe("standard", lags=4, training=Training(epochs=1, learning_rate=1e-12))
    exact = {
        "drift": lambda: Baseline("drift"),
        "ridge": Ridge,
        "linear": lambda: Forecaster("gru:2", lookback=6, recipe=still),
    }
    run = exact[name]().fit(ramp(60)).free_run(10).mean
    np.testing.assert_allclose(run, np.arange(60.0, 70.0), atol=0.3)


H = 3
ROWS, HELD, LAGS = 100, 10, 3


def linear_plan(predicts):
    recipe = Recipe("standard", lags=LAGS, predicts=predicts, training=Training(holdout=HELD / ROWS))
    return spec_plan("gru:2", ("a", "b")).given({"lookback": 6}, recipe)


def walks(seed=0):
    return np.cumsum(np.random.default_rng(seed).normal(size=(ROWS, 2)), axis=0)


def skip(plan, transform, values):
    """The linear part of the one network of a plan, before any training."""
    (task,) = build.make_tasks(plan, transform, values, H, seed=0)
    return task.network.skip_weight.numpy(), task.network.skip_bias.numpy()


def ridge_by_least_squares(z, penalty):
    """The same ridge as one least-squares problem with extra rows, window after window: an outside witness."""
    x = np.array([z[t - LAGS + 1 : t + 1].ravel() for t in range(LAGS - 1, len(z) - H)])
    y = np.array([z[t + 1 : t + H + 1].ravel() for t in range(LAGS - 1, len(z) - H)])
    extra = np.sqrt(penalty * len(x)) * np.eye(x.shape[1])
    weight = np.linalg.lstsq(
        np.vstack([x - x.mean(0), extra]), np.vstack([y - y.mean(0), np.zeros((x.shape[1], y.shape[1]))])
    )[0]
    return weight, y.mean(0) - x.mean(0) @ weight


@pytest.mark.parametrize("predicts", ["all", "target"])
@pytest.mark.parametrize("penalty", build.PENALTIES)
def test_the_linear_skip_learns_from_the_rows_before_the_held_ones(penalty, predicts, monkeypatch):
    monkeypatch.setattr(build, "PENALTIES", (penalty,))
    plan, values = linear_plan(predicts), walks()
    transform = fit_transform("standard", values)
    weight, bias = skip(plan, transform, values)
    other = values.copy()
    other[-HELD:] = 100 * np.random.default_rng(1).normal(size=(HELD, 2))
    for mine, theirs in zip(skip(plan, transform, other), (weight, bias), strict=True):
        np.testing.assert_array_equal(mine, theirs)
    other[-HELD - 1] += 5
    assert np.abs(skip(plan, transform, other)[0] - weight).max() > 1e-4, "the last row before them must count"
    expected = ridge_by_least_squares(transform.apply(values)[:-HELD], penalty)
    for mine, theirs in zip((weight, bias), expected, strict=True):
        theirs = theirs if predicts == "all" else theirs[..., ::2]
        np.testing.assert_allclose(mine, theirs, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("seed", range(6))
def test_the_skips_penalty_is_the_one_that_forecasts_the_held_rows_best(seed):
    plan, values = linear_plan("all"), walks(seed)
    transform = fit_transform("standard", values)
    z = transform.apply(values)
    fits = {penalty: ridge_by_least_squares(z[:-HELD], penalty) for penalty in build.PENALTIES}
    anchors = range(ROWS - HELD - 1, ROWS - H)

    def loss(penalty):
        weight, bias = fits[penalty]
        ahead = [z[t - LAGS + 1 : t + 1].ravel() @ weight[:, 0] + bias[0] for t in anchors]
        return np.mean((np.array(ahead) - [z[t + 1, 0] for t in anchors]) ** 2)

    best = min(fits, key=loss)
    np.testing.assert_allclose(skip(plan, transform, values)[0], fits[best][0], rtol=1e-4, atol=1e-5)
