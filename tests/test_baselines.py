"""Baselines: every value counted by hand."""

import numpy as np
import pytest

from gatecast.data.synthetic import ramp
from gatecast.forecast.baselines import Baseline
from models import prices, waves

PANEL = prices()
Y = PANEL.values[:, 0]
CUT = 100
ORIGINS = np.array([CUT - 1, CUT + 3, CUT + 20, len(Y) - 1])


def fitted(name, season=None):
    return Baseline(name, season).fit(PANEL.until(PANEL.times[CUT - 1]))


@pytest.mark.parametrize(
    ("season", "ahead"),
    [
        (1, [39, 39, 39, 39, 39, 39, 39, 39]),
        (2, [38, 39, 38, 39, 38, 39, 38, 39]),
        (3, [37, 38, 39, 37, 38, 39, 37, 38]),
        (7, [33, 34, 35, 36, 37, 38, 39, 33]),
        (12, [28, 29, 30, 31, 32, 33, 34, 35]),
    ],
)
def test_seasonal_naive_repeats_the_last_season(season, ahead):
    model = Baseline("seasonal_naive", season).fit(ramp(30))
    np.testing.assert_array_equal(model.free_runs(ramp(40), np.array([39]), 8)[0], ahead)
    np.testing.assert_array_equal(model.free_runs(ramp(40), np.array([34]), 8)[0], np.array(ahead) - 5)
    np.testing.assert_array_equal(model.one_step(ramp(40)).mean, np.arange(30, 40) - season)


@pytest.mark.parametrize("season", [2, 5, 11])
def test_seasonal_naive_is_the_newest_known_value_a_whole_number_of_seasons_ago(season):
    runs = fitted("seasonal_naive", season).free_runs(PANEL, ORIGINS, 25)
    for run, origin in zip(runs, ORIGINS, strict=True):
        for k in range(1, 26):
            row = origin + k
            while row > origin:
                row -= season
            assert run[k - 1] == Y[row]


def test_the_season_comes_from_the_calendar_where_none_is_given():
    daily = waves(60)
    run = Baseline("seasonal_naive").fit(daily).free_run(9).mean
    np.testing.assert_array_equal(run, [*daily.values[-7:, 0], *daily.values[-7:-5, 0]])


def test_moving_average_goes_on_with_its_own_means():
    runs = fitted("moving_average").free_runs(PANEL, ORIGINS, 12)
    for run, origin in zip(runs, ORIGINS, strict=True):
        known = list(Y[: origin + 1])
        for _ in range(12):
            known.append(sum(known[-5:]) / 5)
        np.testing.assert_allclose(run, known[origin + 1 :], rtol=1e-12)


def test_moving_average_of_the_ramp():
    run = Baseline("moving_average").fit(ramp(10)).free_run(3).mean
    np.testing.assert_allclose(run, [(5 + 6 + 7 + 8 + 9) / 5, (6 + 7 + 8 + 9 + 7) / 5, (7 + 8 + 9 + 7 + 7.4) / 5])


def test_drift_adds_the_mean_step_of_the_training_span_from_any_origin():
    slope = (Y[CUT - 1] - Y[0]) / (CUT - 1)
    runs = fitted("drift").free_runs(PANEL, ORIGINS, 9)
    for run, origin in zip(runs, ORIGINS, strict=True):
        np.testing.assert_allclose(run, [Y[origin] + slope * k for k in range(1, 10)], rtol=1e-12)


def test_naive_stands_still():
    runs = fitted("naive").free_runs(PANEL, ORIGINS, 4)
    np.testing.assert_array_equal(runs, np.array([[Y[origin]] * 4 for origin in ORIGINS]))
