"""Intervals: ranks counted by hand, coverage on errors that are alike, and scores from rows that were not learned."""

import numpy as np
import pytest
from scipy.stats import binomtest

from gatecast.forecast.forecaster import Forecaster
from gatecast.forecast.intervals import Calibration, calibrate
from gatecast.forecast.plan import Recipe
from gatecast.train.settings import Training
from models import BASELINES, QUICK, prices, waves

SERIES = {"prices": prices(), "waves": waves()}
HELD = 15
"""A tenth of the 150 rows of either series."""


@pytest.mark.parametrize(
    ("n", "ranks"),
    [
        (0, {}),
        (3, {}),
        (4, {80: 4}),
        (9, {80: 8}),
        (18, {80: 16}),
        (19, {80: 16, 95: 19}),
        (20, {80: 17, 95: 20}),
        (99, {80: 80, 95: 95}),
        (100, {80: 81, 95: 96}),
    ],
)
def test_the_half_width_is_the_score_of_the_rank_counted_by_hand(n, ranks):
    scores = np.arange(1.0, n + 1)  # the score of rank r is r
    bands = Calibration(scores, False).bands(np.array([1000.0, -1000.0]))
    assert {band.level: band.hi[0] - 1000 for band in bands} == ranks
    for band in bands:
        np.testing.assert_array_equal(band.hi - band.lo, 2 * ranks[band.level])
        np.testing.assert_array_equal((band.hi + band.lo) / 2, [1000.0, -1000.0])


def test_ratio_bands_multiply_and_divide_by_the_same_factor():
    bands = Calibration(np.log(np.arange(1.0, 20.0)), True).bands(np.array([3.0, 50.0]))
    for band, factor in zip(bands, (16, 19), strict=True):
        np.testing.assert_allclose(band.hi, np.array([3.0, 50.0]) * factor)
        np.testing.assert_allclose(band.lo, np.array([3.0, 50.0]) / factor)


def test_scores_are_sorted_sizes_of_errors_and_differences_where_a_logarithm_is_impossible():
    truth, forecast = np.array([2.0, 8.0, 3.0]), np.array([4.0, 1.0, 3.0])
    plain, ratio = calibrate(truth, forecast, False), calibrate(truth, forecast, True)
    np.testing.assert_array_equal(plain.scores, [0, 2, 7])
    np.testing.assert_allclose(ratio.scores, [0, np.log(2), np.log(8)])
    assert (plain.ratio, ratio.ratio) == (False, True)
    for bad in (np.array([0.0, 8.0, 3.0]), np.array([-2.0, 8.0, 3.0])):
        assert not calibrate(bad, forecast, True).ratio
        assert not calibrate(forecast, bad, True).ratio


@pytest.mark.parametrize("ratio", [False, True])
@pytest.mark.parametrize("n", [19, 39])
def test_bands_cover_what_they_say_where_errors_are_alike(n, ratio):
    """With (n + 1) a whole, a new error of the same kind lies inside with probability a exactly."""
    rng = np.random.default_rng(n + ratio)
    tries, inside = 2000, {80.0: 0, 95.0: 0}
    for errors in rng.standard_normal((tries, n + 1)):
        forecast = rng.uniform(1, 100, n + 1)
        truth = forecast * np.exp(errors) if ratio else forecast + errors
        for band in calibrate(truth[:n], forecast[:n], ratio).bands(forecast[n:]):
            inside[band.level] += int(band.lo[0] <= truth[n] <= band.hi[0])
    for level, hits in inside.items():
        assert binomtest(hits, tries, level / 100).pvalue > 1e-3, f"{hits} of {tries} inside {level}"


@pytest.mark.parametrize("series", SERIES)
@pytest.mark.parametrize("name", BASELINES)
def test_scores_are_errors_on_the_last_tenth_of_the_method_fitted_on_the_rest(name, series):
    panel = SERIES[series]
    whole = BASELINES[name]().fit(panel)
    earlier = BASELINES[name]().fit(panel.until(panel.times[-HELD - 1]))
    assert earlier.history_.columns == whole.history_.columns
    truth, forecast = panel.values[-HELD:, 0], earlier.one_step(panel).mean
    ratio = name == "ridge" and series == "prices"
    errors = np.log(truth / forecast) if ratio else truth - forecast
    assert whole.calibration_.ratio == ratio
    np.testing.assert_allclose(whole.calibration_.scores, np.sort(np.abs(errors)), rtol=1e-9, atol=1e-12)
    if name in ("drift", "ridge"):
        seen = np.sort(np.abs(truth - whole.free_runs(None, np.arange(149 - HELD, 149), 1)[:, 0]))
        assert not np.allclose(seen, np.sort(np.abs(truth - forecast)), rtol=1e-6), "the held rows were learned from"


def test_scores_of_naive_and_drift_by_hand():
    y = SERIES["prices"].values[:, 0]
    steps = y[-HELD:] - y[-HELD - 1 : -1]
    slope = (y[-HELD - 1] - y[0]) / (len(y) - HELD - 1)
    for name, errors in (("naive", steps), ("drift", steps - slope)):
        scores = BASELINES[name]().fit(SERIES["prices"]).calibration_.scores
        np.testing.assert_allclose(scores, np.sort(np.abs(errors)), rtol=1e-9)


@pytest.mark.parametrize("transform", ["standard", "logreturn"])
def test_scores_of_a_network_are_its_errors_on_the_rows_it_held_back(transform):
    panel = SERIES["prices"]
    model = Forecaster("gru:3", lookback=8, recipe=Recipe(transform, training=QUICK)).fit(panel)
    truth = panel.values[-HELD:, 0]
    forecast = model.free_runs(None, np.arange(149 - HELD, 149), 1)[:, 0]
    errors = np.log(truth / forecast) if transform == "logreturn" else truth - forecast
    np.testing.assert_allclose(model.calibration_.scores, np.sort(np.abs(errors)), rtol=1e-6)


def test_a_network_that_holds_nothing_back_promises_no_interval():
    training = Training(epochs=1, patience=None)
    model = Forecaster("gru:3", lookback=8, recipe=Recipe(training=training)).fit(
        SERIES["waves"].until(SERIES["waves"].times[99])
    )
    assert model.calibration_ is None
    assert model.one_step(SERIES["waves"]).bands == ()
