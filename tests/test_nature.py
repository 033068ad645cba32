"""What kind of series it is: each rule with series that differ in that rule alone."""

import numpy as np
import pytest

from gatecast.forecast.nature import find_nature

T = 600
SEEDS = pytest.mark.parametrize("seed", range(5))


def normal(seed, rows=T):
    return np.random.default_rng(seed).standard_normal(rows)


def nature(*columns, season=5):
    return find_nature(np.column_stack(columns), tuple("abcdef"[: len(columns)]), season)


def positive_walk(seed):
    return 50 * np.exp(np.cumsum(0.01 * normal(seed)))


@SEEDS
def test_a_positive_random_walk_is_relative(seed):
    found = nature(positive_walk(seed))
    assert (found.transform, found.walks) == ("relative", True)


@SEEDS
def test_a_random_walk_with_negative_values_is_a_difference(seed):
    walk = np.cumsum(normal(seed))
    found = nature(walk - np.median(walk))
    assert (found.transform, found.walks) == ("difference", True)


def test_a_walk_that_touches_zero_has_no_logarithm():
    walk = positive_walk(0)
    assert nature(walk - walk.min()).transform == "difference"
    assert nature(walk - walk.min() + 1e-6).transform == "relative"


def months(rows=144):
    return np.arange(rows)


LEVELS = {
    "sine": (np.sin(2 * np.pi * np.arange(400) / 20), 1),
    "sine of its season": (np.sin(2 * np.pi * np.arange(400) / 12), 12),
    "trend and season by month": (100 + 2 * months() + 30 * np.sin(2 * np.pi * months() / 12), 12),
    "growing season by month": ((100 + 2 * months()) * (1 + 0.3 * np.sin(2 * np.pi * months() / 12)), 12),
    "white noise": (normal(0), 7),
    "ramp": (np.arange(400.0), 1),
    "constant": (np.full(400, 3.0), 1),
}


@pytest.mark.parametrize("name", LEVELS)
def test_other_series_are_modelled_at_their_level(name):
    y, season = LEVELS[name]
    found = nature(y, season=season)
    assert (found.transform, found.walks) == ("standard", False)


def remembering(seed, memory):
    """A sum of changes, each of which is a shock plus shares of the changes `lag` steps before; all below zero."""
    change = normal(seed)
    for t in range(max(memory, default=0), T):
        change[t] += sum(share * change[t - lag] for lag, share in memory.items())
    return np.cumsum(change) - 1000


# each of these breaks one rule of a random walk and keeps the others (see the facts that are asserted)


def variance_ratio(y, reach=20):
    return (y[reach:] - y[:-reach]).var() / (reach * np.diff(y).var())


def lag_correlation(y, lag):
    change = np.diff(y)
    return np.corrcoef(change[lag:], change[:-lag])[0, 1]


def mean_error(y, back):
    """Of the last value (1), or of the value `back` steps ago."""
    return np.abs(y[back:] - y[:-back]).mean()


@SEEDS
def test_changes_that_follow_the_change_before_make_no_random_walk(seed):
    y = remembering(seed, {1: 0.45, 3: -0.25, 6: -0.15})
    assert lag_correlation(y, 1) > 0.35
    assert abs(lag_correlation(y, 5)) < 0.28
    assert 0.6 < variance_ratio(y) < 1.6
    assert nature(y).transform == "standard"


@SEEDS
def test_changes_that_follow_those_a_season_before_make_no_random_walk(seed):
    y = remembering(seed, {12: 0.5})
    assert lag_correlation(y, 12) > 0.4
    assert abs(lag_correlation(y, 1)) < 0.2
    assert 0.6 < variance_ratio(y) < 1.9
    assert nature(y, season=12).transform == "standard"


@SEEDS
def test_noise_about_a_level_that_jumped_once_is_no_random_walk(seed):
    """The jump hides the noise in variances and correlations, but the mean of five forecasts it better."""
    y = normal(seed) - 1000
    y[T // 2 :] += 45
    assert abs(lag_correlation(y, 1)) < 0.25
    assert 0.6 < variance_ratio(y) < 1.6
    assert nature(y).transform == "standard"


def test_a_season_that_jumped_once_is_no_random_walk():
    """Steps up and down by one, and one jump: last season's value is nearer than the last value."""
    change = np.tile(np.repeat([1.0, -1.0], 6), T // 12)
    change[T // 2] += 44
    y = np.cumsum(change) - 1000
    assert mean_error(y, 12) < mean_error(y, 1)
    assert max(abs(lag_correlation(y, lag)) for lag in (1, 12)) < 0.28
    assert 0.6 < variance_ratio(y) < 1.6
    assert nature(y, season=12).transform == "standard"


@SEEDS
@pytest.mark.parametrize("kind", ["returning", "trending"])
def test_changes_that_do_not_add_up_like_a_walks_make_no_random_walk(kind, seed):
    """A level that slowly returns, and a slope that slowly turns: both look like a walk from one step to the next."""
    y = normal(seed)
    if kind == "returning":
        for t in range(1, T):
            y[t] += 0.85 * y[t - 1]
    else:
        y = np.cumsum(y + 0.55 * np.sin(2 * np.pi * np.arange(T) / 200))
    y = y - 1000
    assert max(abs(lag_correlation(y, lag)) for lag in (1, 5)) < 0.25
    assert variance_ratio(y) < 0.45 if kind == "returning" else variance_ratio(y) > 2.2
    assert nature(y).transform == "standard"


def test_too_few_rows_decide_nothing():
    walk = positive_walk(0)
    assert nature(walk[:35], season=12).transform == "standard"
    assert nature(walk[:14]).transform == "standard"


# the columns that belong to the target: three rules, each broken alone

Y = positive_walk(3)


def kept(other):
    return "b" in nature(Y, other).columns


@pytest.mark.parametrize(("share", "belongs"), [(0.9, True), (1.1, False)])
@pytest.mark.parametrize("side", ["above", "below"])
def test_the_median_must_lie_within_the_targets_range(share, belongs, side):
    """The target itself, moved: same spread, correlation 1."""
    room = Y.max() - np.median(Y) if side == "above" else Y.min() - np.median(Y)
    assert kept(Y + share * room) is belongs


@pytest.mark.parametrize(("factor", "belongs"), [(2.9, True), (3.1, False), (1 / 2.9, True), (1 / 3.1, False)])
def test_the_spread_must_be_within_a_factor_of_three(factor, belongs):
    """The target itself, stretched about its median: same median, correlation 1."""
    assert kept(np.median(Y) + factor * (Y - np.median(Y))) is belongs


@pytest.mark.parametrize(
    ("correlation", "belongs"), [(0.52, True), (0.48, False), (0.0, False), (-0.48, False), (-0.9, False)]
)
def test_the_correlation_must_be_at_least_one_half(correlation, belongs):
    """Same spread, median in the middle, and exactly this correlation."""
    z = (Y - Y.mean()) / Y.std()
    e = normal(9)
    e -= e.mean()
    e -= z * (e @ z) / (z @ z)
    other = Y.mean() + Y.std() * (correlation * z + np.sqrt(1 - correlation**2) * e / e.std())
    assert np.corrcoef(Y, other)[0, 1] == pytest.approx(correlation, abs=1e-9)
    assert Y.min() < np.median(other) < Y.max()
    assert kept(other) is belongs


def test_a_constant_column_does_not_belong_nor_anything_to_a_constant_target():
    assert not kept(np.full(T, np.median(Y)))
    assert nature(np.full(T, 50.0), np.full(T, 50.0), Y).columns == ("a",)


def test_columns_keep_their_order_and_the_target_stays_first():
    found = nature(Y, 100 * Y, Y + 0.1, -Y, Y - 0.1)
    assert found.columns == ("a", "c", "e")


def test_only_columns_that_are_kept_decide_whether_a_logarithm_is_possible():
    near = Y.copy()
    near[10] = -1.0
    assert nature(Y, near).columns == ("a", "b")
    assert nature(Y, near).transform == "difference"
    assert nature(Y, -Y).transform == "relative"
